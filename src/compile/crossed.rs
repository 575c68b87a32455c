//! The first entry of each combination of classes, laid out beforehand: three loads where many words would be AND-ed.

use get_size2::GetSize;

use super::classifier::Classes;
use super::sweep::{Interner, Vectors};

/// In place of an entry: none fits.
const NONE: u16 = u16::MAX;

/// How many words may be AND-ed to find out how many pairs of addresses there are: a fraction of a second.
const MOST_WORK: usize = 1 << 27;

/// For each field, which entries hold the numbers of each of its classes.
#[derive(Clone, Debug, GetSize)]
pub(super) struct ByField {
    pub(super) sources: Vectors,
    pub(super) destinations: Vectors,
    pub(super) source_ports: Vectors,
    pub(super) destination_ports: Vectors,
    pub(super) protocols: Vectors,
}

impl ByField {
    /// The place of the first entry that holds all classes: an entry is a bit, and the classes' words are AND-ed.
    #[inline]
    pub(super) fn first(&self, classes: &Classes) -> Option<u32> {
        let sources = self.sources.of(classes.source);
        let destinations = self.destinations.of(classes.destination);
        let source_ports = self.source_ports.of(classes.source_port);
        let destination_ports = self.destination_ports.of(classes.destination_port);
        let protocols = self.protocols.of(classes.protocol);
        for (index, word) in (0..).zip(0..sources.len()) {
            let fits = sources[word]
                & destinations[word]
                & source_ports[word]
                & destination_ports[word]
                & protocols[word];
            if fits != 0 {
                return Some(index * 64 + fits.trailing_zeros());
            }
        }
        None
    }
}

/// Cross-products of the fields' classes: those of both addresses, those of ports and protocol, and of these two the
/// first entry that fits both (recursive flow classification).
#[derive(Clone, Debug, GetSize)]
pub(super) struct Crossed {
    /// By source class, then by destination class: the row.
    rows: Box<[u16]>,
    destinations: usize,
    /// By protocol class, then by destination port class, then by source port class: the column.
    columns: Box<[u16]>,
    destination_ports: usize,
    source_ports: usize,
    /// By row, then by column: the first entry.
    first: Box<[u16]>,
    width: usize,
}

impl Crossed {
    /// Lays the tables out; nothing where they would take more than `most_bytes`, or too long to find that out.
    pub(super) fn build(by_field: &ByField, entries: usize, most_bytes: usize) -> Option<Self> {
        let ByField { sources, destinations, source_ports, destination_ports, protocols } = by_field;
        let services = source_ports.count() * destination_ports.count() * protocols.count();
        let pairs = sources.count() * destinations.count();
        let work = pairs.saturating_mul(sources.words_each());
        if entries == 0
            || entries >= usize::from(NONE)
            || (services + pairs) * size_of::<u16>() > most_bytes
            || work > MOST_WORK
        {
            return None;
        }
        let everywhere = common([sources, destinations]);
        let (columns, services) = cross(&everywhere, [protocols, destination_ports, source_ports])?;
        let always = common([protocols, destination_ports, source_ports]);
        let (rows, pairs) = cross(&always, [sources, destinations])?;
        let bytes = rows.len() + columns.len() + pairs.count().saturating_mul(services.count());
        if bytes.saturating_mul(size_of::<u16>()) > most_bytes {
            return None;
        }
        let (rows, first) = decided(&rows, &pairs, &services);
        Some(Self {
            rows,
            destinations: destinations.count(),
            columns,
            destination_ports: destination_ports.count(),
            source_ports: source_ports.count(),
            first,
            width: services.count(),
        })
    }

    /// The place of the first entry that holds all classes.
    #[inline]
    pub(super) fn first(&self, classes: &Classes) -> Option<u32> {
        let pair = classes.source as usize * self.destinations + classes.destination as usize;
        let ports = classes.protocol as usize * self.destination_ports + classes.destination_port as usize;
        let service = ports * self.source_ports + classes.source_port as usize;
        let cell = usize::from(self.rows[pair]) * self.width + usize::from(self.columns[service]);
        let first = self.first[cell];
        (first != NONE).then_some(first.into())
    }
}

/// All combinations of the classes of some fields, the last field's running fastest: for each the number of a group of
/// entries, and the groups. `deciding` are entries that hold whatever the other fields are: none behind one is reached.
fn cross<const FIELDS: usize>(deciding: &[u64], fields: [&Vectors; FIELDS]) -> Option<(Box<[u16]>, Vectors)> {
    let mut groups = Interner::new(fields[0].words_each());
    let mut numbers = Vec::new();
    let mut classes = [0; FIELDS];
    let mut held = vec![0; fields[0].words_each()];
    loop {
        held.fill(u64::MAX);
        for (field, class) in fields.iter().zip(classes) {
            retain(&mut held, field.of(class));
        }
        cut_behind_first(&mut held, deciding);
        numbers.push(u16::try_from(groups.id(&held)).ok()?);
        let Some(turning) =
            (0..FIELDS).rev().find(|&field| (classes[field] as usize) + 1 < fields[field].count())
        else {
            return Some((numbers.into(), groups.vectors()));
        };
        classes[turning] += 1;
        classes[turning + 1..].fill(0);
    }
}

/// The entries that hold every class of every field.
fn common<const FIELDS: usize>(fields: [&Vectors; FIELDS]) -> Vec<u64> {
    let mut held = vec![u64::MAX; fields[0].words_each()];
    for field in fields {
        (0..field.count()).for_each(|class| retain(&mut held, field.of(number(class))));
    }
    held
}

fn retain(held: &mut [u64], others: &[u64]) {
    for (word, other) in held.iter_mut().zip(others) {
        *word &= other;
    }
}

/// Clears what stands behind the first entry that is in both.
fn cut_behind_first(held: &mut [u64], deciding: &[u64]) {
    let Some(position) = held.iter().zip(deciding).position(|(word, deciding)| word & deciding != 0) else {
        return;
    };
    let last = (held[position] & deciding[position]).trailing_zeros();
    held[position] &= u64::MAX >> (63 - last);
    held[position + 1..].fill(0);
}

/// The first entry for each pair and service. Pairs that all services treat alike share a row.
fn decided(rows: &[u16], pairs: &Vectors, services: &Vectors) -> (Box<[u16]>, Box<[u16]>) {
    let width = services.count();
    let mut kinds = Interner::new(width);
    let mut row = vec![0; width];
    let row_of: Vec<u16> = (0..pairs.count())
        .map(|pair| {
            for (service, first) in row.iter_mut().enumerate() {
                *first = first_of_both(pairs.of(number(pair)), services.of(number(service)));
            }
            u16::try_from(kinds.id(&row)).expect("no more rows than groups of pairs")
        })
        .collect();
    (rows.iter().map(|&pair| row_of[usize::from(pair)]).collect(), kinds.into_words())
}

fn number(position: usize) -> u32 {
    u32::try_from(position).expect("groups are numbered in 16 bits")
}

fn first_of_both(one: &[u64], other: &[u64]) -> u16 {
    let shared = one.iter().zip(other).map(|(one, other)| one & other);
    let found = shared.enumerate().find(|(_, word)| *word != 0);
    let place = found.map(|(position, word)| position * 64 + word.trailing_zeros() as usize);
    place.map_or(NONE, |place| u16::try_from(place).expect("entries are numbered in 16 bits"))
}

#[cfg(test)]
mod tests {
    use super::{ByField, Crossed, cut_behind_first};
    use crate::compile::sweep::{Vectors, sweep};

    /// One field with these entries, each of one range below 10.
    fn field(ranges: &[std::ops::Range<u32>]) -> Vectors {
        sweep(10, ranges.iter().map(std::slice::from_ref)).1
    }

    /// Two entries that differ in the source, before a third that holds all.
    fn by_field() -> ByField {
        let all = || field(&[0..10, 0..10, 0..10]);
        ByField {
            sources: field(&[0..4, 4..6, 0..10]),
            destinations: field(&[0..5, 0..5, 0..10]),
            source_ports: all(),
            destination_ports: all(),
            protocols: all(),
        }
    }

    #[test]
    fn pairs_with_one_outcome_share_a_row() {
        let crossed = Crossed::build(&by_field(), 3, usize::MAX).expect("there is room");
        // Three classes of sources by two of destinations, and of ports and protocols nothing is told apart.
        assert_eq!((crossed.rows.len(), crossed.columns.len()), (6, 1));
        let mut first = crossed.first.to_vec();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
    }

    #[test]
    fn tables_are_laid_out_to_the_last_byte_of_their_room_and_not_beyond() {
        let bytes = (6 + 1 + 3) * 2;
        assert!(Crossed::build(&by_field(), 3, bytes).is_some());
        assert!(Crossed::build(&by_field(), 3, bytes - 1).is_none());
    }

    #[test]
    fn what_stands_behind_the_first_deciding_entry_is_cut() {
        let mut held = [0b1110, u64::MAX, 1];
        cut_behind_first(&mut held, &[0, 0b1000, u64::MAX]);
        assert_eq!(held, [0b1110, 0b1111, 0]);
        cut_behind_first(&mut held, &[0b1001, 0, 0]);
        assert_eq!(held, [0b1110, 0, 0]);
        cut_behind_first(&mut held, &[0, u64::MAX, 0]);
        assert_eq!(held, [0b1110, 0, 0]);
    }
}
