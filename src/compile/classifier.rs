//! The first of many entries that a packet fits, in a few loads.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;
use serde::Serialize;

use super::address_set::AddressSet;
use super::cells::{Cell, Cells};
use super::instructions::{Batch, Lanes, dispatch};
use super::paged::{PagePool, PagedMap};
use super::part::{self, Ingredients, Part};
use super::ports::{PortPlace, PortSet, ProtocolSet};
use super::services::{PortTables, Service, ServiceClasses, Services};
use super::sweep::{Vectors, sweep};
use super::vectors::{self, Chunk};
use crate::model::rule::Protocol;

/// What one rule looks at. A packet fits if all five fields hold it (NSG-7).
#[derive(Clone, Debug)]
pub struct Entry {
    /// Source addresses.
    pub source: Arc<AddressSet>,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination addresses.
    pub destination: Arc<AddressSet>,
    /// Destination ports.
    pub destination_ports: PortSet,
    /// IP protocols.
    pub protocols: ProtocolSet,
}

/// What a classifier looks at in a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Key {
    /// The cell of the source address.
    pub source: Cell,
    /// The cell of the destination address.
    pub destination: Cell,
    /// Source port.
    pub source_port: PortPlace,
    /// Destination port.
    pub destination_port: PortPlace,
    /// IP protocol.
    pub protocol: Protocol,
}

/// What classifiers share, while they are built. Good for one [`Cells`]; dropped when all are built.
#[derive(Debug)]
pub struct Pools {
    pages: PagePool,
    ports: PortTables,
    /// How many bytes the tables of one classifier may take, beside those that it shares.
    table_bytes: usize,
    form: Option<Form>,
    /// The cells of each set met, by where the set lies. Each set is held, so that no other comes to lie there.
    by_place: HashMap<usize, (Arc<AddressSet>, CellRanges), FixedState>,
    by_content: HashMap<Arc<AddressSet>, CellRanges, FixedState>,
}

type CellRanges = Arc<[Range<u32>]>;

/// What the tables of all classifiers may take together, beside those that they share.
const MOST_TABLE_BYTES: usize = 128 << 20;

/// What the tables of one classifier may take.
const MOST_TABLE_BYTES_EACH: usize = 64 << 20;

/// What the maps from cells to classes of all classifiers may take where each is in one piece.
const MOST_FLAT_BYTES: usize = 32 << 20;

/// No stretch is cut shorter than this.
const SHORTEST_STRETCH: usize = 1 << 10;

/// How much work may go into finding out whether one part does: a hundredth of a second.
const ONE_PART_WORK: usize = 1 << 22;

/// Up to this size one part is taken without a look at several.
const SMALL_BYTES: usize = 128 << 10;

impl Pools {
    /// Pools for so many classifiers. Each has the same room for tables, so that its form hangs on none before it.
    #[must_use]
    pub fn for_classifiers(count: usize) -> Self {
        let count = count.max(1);
        // Two maps for each of four parts.
        let flat_length = MOST_FLAT_BYTES / count / 8 / size_of::<u16>();
        Self::new((MOST_TABLE_BYTES / count).min(MOST_TABLE_BYTES_EACH), flat_length, None)
    }

    /// Pools for classifiers of one form, whatever that takes, as far as their entries can be laid out in it.
    #[must_use]
    pub fn of_form(form: Form) -> Self {
        Self::new(usize::MAX, usize::MAX, Some(form))
    }

    fn new(table_bytes: usize, flat_length: usize, form: Option<Form>) -> Self {
        Self {
            pages: PagePool::with_flat(flat_length),
            ports: PortTables::default(),
            table_bytes,
            form,
            by_place: HashMap::default(),
            by_content: HashMap::default(),
        }
    }

    fn cells_of(&mut self, cells: &Cells, set: &Arc<AddressSet>) -> CellRanges {
        let place = Arc::as_ptr(set).addr();
        if let Some((_, ranges)) = self.by_place.get(&place) {
            return Arc::clone(ranges);
        }
        let ranges = self.by_content.entry(Arc::clone(set)).or_insert_with(|| {
            cells.cells_of(set).expect("every entry's sets were given when the cells were built").into()
        });
        let ranges = Arc::clone(ranges);
        self.by_place.insert(place, (Arc::clone(set), Arc::clone(&ranges)));
        ranges
    }
}

/// Finds the first entry that a packet fits. Never changes once built; all threads share it.
#[derive(Clone, Debug, GetSize)]
pub struct Classifier {
    matching: Matching,
}

/// How entries are kept.
#[derive(Clone, Debug, GetSize)]
enum Matching {
    /// One stretch of entries after another.
    Stretches(Box<[Stretch]>),
    /// Chunks in the order of their entries.
    Vectors(Box<[Chunk]>),
}

/// Entries that follow each other, laid out in parts, of which the answer that stands ahead counts.
#[derive(Clone, Debug, GetSize)]
struct Stretch {
    /// The place of its first entry in the whole list.
    first: u32,
    services: Services,
    parts: Box<[Part]>,
}

/// How a classifier keeps its entries. All forms give the same answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The pairs of both addresses' classes crossed with ports and protocol (recursive flow classification).
    Crossed,
    /// The same for several parts of the entries, by which of their sides are wide: crossing narrow sources with wide
    /// destinations with wide sources and narrow destinations would multiply them.
    Split,
    /// The same for one stretch of the entries after another, where that of all takes too much room: the first stretch
    /// that has an answer has it.
    Stretches,
    /// A bit for each entry and class: a look-up AND-s the words of five classes.
    Vectors,
}

/// In place of an entry: none fits.
pub const NO_ENTRY: u32 = u32::MAX;

/// How many packets go through a step together: enough that the loads of one wait for those of none before it.
pub(super) const BATCH: usize = 64;

impl Classifier {
    /// Compiles entries, first of them first.
    ///
    /// # Panics
    ///
    /// If the source or destination of an entry is no union of cells: [`Cells::build`] must have been given it,
    /// or sets of which it is made.
    #[must_use]
    pub fn build(cells: &Cells, pools: &mut Pools, entries: &[Entry]) -> Self {
        let lengths = match pools.form {
            Some(Form::Vectors) => Vec::new(),
            Some(Form::Stretches) => vec![entries.len().div_ceil(3).max(1)],
            Some(Form::Crossed | Form::Split) => vec![entries.len().max(1)],
            None => stretch_lengths(entries.len()),
        };
        let laid = lengths.into_iter().find_map(|length| stretches(cells, pools, entries, length));
        let matching = laid.unwrap_or_else(|| Builder::new(cells, pools, entries).vectors(pools));
        Self { matching }
    }

    /// The place of the first entry that the packet fits.
    #[inline]
    #[must_use]
    pub fn first_match(&self, key: &Key) -> Option<u32> {
        match &self.matching {
            Matching::Stretches(stretches) => {
                stretches.iter().find_map(|Stretch { first, services, parts }| {
                    let class = services.class(key);
                    let found = parts.iter().map(|part| part.first_match(services, key, class)).min();
                    found.filter(|&place| place != NO_ENTRY).map(|place| first + place)
                })
            }
            Matching::Vectors(chunks) => {
                let mut ahead = 0;
                chunks.iter().find_map(|chunk| {
                    let found = chunk.first_match(key).map(|place| ahead + place);
                    ahead += vectors::CHUNK as u32;
                    found
                })
            }
        }
    }

    /// For each packet the place of the first entry that it fits, or [`NO_ENTRY`].
    ///
    /// # Panics
    ///
    /// If there are not as many places for answers as packets.
    pub fn first_matches(&self, keys: &[Key], found: &mut [u32]) {
        assert_eq!(keys.len(), found.len(), "there is a place for each answer");
        match &self.matching {
            Matching::Stretches(stretches) => dispatch(FirstMatches { stretches, keys, found }),
            Matching::Vectors(_) => {
                for (found, key) in found.iter_mut().zip(keys) {
                    *found = self.first_match(key).unwrap_or(NO_ENTRY);
                }
            }
        }
    }

    /// How the entries are kept.
    #[must_use]
    pub fn form(&self) -> Form {
        match &self.matching {
            Matching::Stretches(stretches) => match &**stretches {
                [] => Form::Crossed,
                [Stretch { parts, .. }] if parts.len() == 1 => Form::Crossed,
                [_] => Form::Split,
                _ => Form::Stretches,
            },
            Matching::Vectors(_) => Form::Vectors,
        }
    }
}

/// How long stretches may be, the longest first.
fn stretch_lengths(count: usize) -> Vec<usize> {
    let mut lengths = vec![count.clamp(1, part::MOST_ENTRIES)];
    while let Some(length) = lengths.last().map(|length| length / 2).filter(|&half| half >= SHORTEST_STRETCH)
    {
        lengths.push(length);
    }
    lengths
}

/// Stretches of one length; nothing where one of them cannot be laid out in the room that there is.
fn stretches(cells: &Cells, pools: &mut Pools, entries: &[Entry], length: usize) -> Option<Matching> {
    let (mut room, mut first) = (pools.table_bytes, 0);
    let mut stretches = Vec::new();
    for entries in entries.chunks(length) {
        let (services, parts) = Builder::new(cells, pools, entries).parts(pools, room)?;
        let table_bytes: usize = parts.iter().map(Part::table_bytes).sum();
        room = room.checked_sub(services.get_heap_size() + table_bytes)?;
        stretches.push(Stretch { first, services, parts: parts.into() });
        first += u32::try_from(entries.len()).expect("entries are numbered in 32 bits");
    }
    Some(Matching::Stretches(stretches.into()))
}

struct FirstMatches<'a> {
    stretches: &'a [Stretch],
    keys: &'a [Key],
    found: &'a mut [u32],
}

impl Batch for FirstMatches<'_> {
    #[inline(always)]
    fn run(self, _lanes: impl Lanes) {
        let Self { stretches, keys, found } = self;
        let mut classes = [0; BATCH];
        for (keys, found) in keys.chunks(BATCH).zip(found.chunks_mut(BATCH)) {
            found.fill(NO_ENTRY);
            let Some((Stretch { services, parts, .. }, others)) = stretches.split_first() else { continue };
            services.classes(keys, &mut classes);
            for part in parts {
                part.first_matches(services, keys, &classes, found);
            }
            if others.is_empty() {
                continue;
            }
            // Further stretches are asked for what those ahead of them do not answer.
            let mut asking: Vec<(Key, usize)> = (0..)
                .zip(keys)
                .filter(|(place, _)| found[*place] == NO_ENTRY)
                .map(|(place, key)| (*key, place))
                .collect();
            let mut asked = Vec::with_capacity(BATCH);
            for Stretch { first, services, parts } in others {
                if asking.is_empty() {
                    break;
                }
                asked.clear();
                asked.extend(asking.iter().map(|(key, _)| *key));
                services.classes(&asked, &mut classes);
                let mut answers = [NO_ENTRY; BATCH];
                let answers = &mut answers[..asked.len()];
                for part in parts {
                    part.first_matches(services, &asked, &classes, answers);
                }
                let mut answers = answers.iter();
                asking.retain(|(_, place)| {
                    let answer = *answers.next().expect("there is one for each");
                    if answer != NO_ENTRY {
                        found[*place] = first + answer;
                    }
                    answer == NO_ENTRY
                });
            }
        }
    }
}

/// What the fields of the entries hold, ready to be laid out.
struct Builder {
    /// How many cells there are.
    length: u32,
    sources: Vec<CellRanges>,
    destinations: Vec<CellRanges>,
    services: Vec<Service>,
    /// For each entry the position of its service.
    service_of: Vec<usize>,
}

impl Builder {
    fn new(cells: &Cells, pools: &mut Pools, entries: &[Entry]) -> Self {
        let mut services = Vec::new();
        let mut known: HashMap<Service, usize, FixedState> = HashMap::default();
        let service_of = entries.iter().map(|entry| {
            let service = Service {
                source_ports: entry.source_ports.clone(),
                destination_ports: entry.destination_ports.clone(),
                protocols: entry.protocols,
            };
            *known.entry(service).or_insert_with_key(|service| {
                services.push(service.clone());
                services.len() - 1
            })
        });
        let service_of = service_of.collect();
        Self {
            length: u32::try_from(cells.len()).expect("cells are numbered in 32 bits"),
            sources: entries.iter().map(|entry| pools.cells_of(cells, &entry.source)).collect(),
            destinations: entries.iter().map(|entry| pools.cells_of(cells, &entry.destination)).collect(),
            services,
            service_of,
        }
    }

    /// The classes of one side of some entries, and which of these hold each.
    fn side(&self, pools: &mut Pools, side: &[CellRanges], places: &[u32]) -> (Arc<PagedMap>, Vectors) {
        let ranges: Vec<&[Range<u32>]> = places.iter().map(|&place| &*side[place as usize]).collect();
        let (runs, vectors) = sweep(self.length, ranges.into_iter());
        (pools.pages.map(self.length as usize, &runs), vectors)
    }

    /// The places of all entries.
    fn all(&self) -> Vec<u32> {
        (0..).zip(&self.service_of).map(|(place, _)| place).collect()
    }

    /// The entries in parts that take no more than there is room.
    fn parts(&self, pools: &mut Pools, room: usize) -> Option<(Services, Vec<Part>)> {
        let form = pools.form;
        let asked: Vec<&Service> = self.services.iter().collect();
        let services = Services::build(&mut pools.ports, &asked)?;
        let room = room.checked_sub(services.get_heap_size())?;
        let all = self.all();
        let one = match form {
            Some(Form::Split) => None,
            _ if all.len() > part::MOST_ENTRIES => None,
            _ => self.part(pools, &services, &all, room, ONE_PART_WORK),
        };
        let several = match &one {
            _ if form == Some(Form::Crossed) => None,
            Some(part) if part.table_bytes() <= SMALL_BYTES => None,
            _ => self.split(pools, &services, &all, room),
        };
        let cost = |parts: &[Part]| parts.iter().map(|part| part.cost(services.held())).sum::<usize>();
        let parts = match (one, several) {
            (None, None) => return None,
            (Some(one), None) => vec![one],
            (None, Some(several)) => several,
            (Some(one), Some(several)) => {
                let one = vec![one];
                if cost(&one) <= cost(&several) { one } else { several }
            }
        };
        Some((services, parts))
    }

    fn part(
        &self,
        pools: &mut Pools,
        services: &Services,
        places: &[u32],
        room: usize,
        most_work: usize,
    ) -> Option<Part> {
        let number = |place: &u32| {
            u16::try_from(self.service_of[*place as usize] + 1).expect("services are numbered in 16 bits")
        };
        let ingredients = Ingredients {
            sources: self.side(pools, &self.sources, places),
            destinations: self.side(pools, &self.destinations, places),
            service_of: places.iter().map(number).collect(),
            places,
        };
        Part::build(services, ingredients, room, most_work)
    }

    /// Parts by which sides are wide; nothing where they take more than there is room.
    fn split(&self, pools: &mut Pools, services: &Services, all: &[u32], room: usize) -> Option<Vec<Part>> {
        let (wide_sources, wide_destinations) =
            (wide(self.length, &self.sources), wide(self.length, &self.destinations));
        let mut groups: [Vec<u32>; 4] = Default::default();
        for &place in all {
            let group = 2 * usize::from(wide_sources[place as usize])
                + usize::from(wide_destinations[place as usize]);
            groups[group].push(place);
        }
        let mut rest = room;
        let mut parts = Vec::new();
        for places in groups.iter().flat_map(|group| group.chunks(part::MOST_ENTRIES)) {
            let part = self.part(pools, services, places, rest, part::MOST_WORK)?;
            rest -= part.table_bytes();
            parts.push(part);
        }
        Some(parts)
    }

    fn vectors(&self, pools: &mut Pools) -> Matching {
        let all = self.all();
        let chunk = |places: &[u32]| {
            let services: Vec<&Service> =
                places.iter().map(|&place| &self.services[self.service_of[place as usize]]).collect();
            Chunk::new(
                self.side(pools, &self.sources, places),
                self.side(pools, &self.destinations, places),
                ServiceClasses::new(&services),
                &mut pools.ports,
            )
        };
        Matching::Vectors(all.chunks(vectors::CHUNK).map(chunk).collect())
    }
}

/// A side is wide that holds an eighth of the borders of all: most of what others tell apart lies inside it.
const WIDE_SHARE: usize = 8;

/// Which sides are wide.
fn wide(length: u32, sides: &[CellRanges]) -> Vec<bool> {
    let mut borders: Vec<u32> =
        sides.iter().flat_map(|ranges| ranges.iter()).flat_map(|range| [range.start, range.end]).collect();
    borders.retain(|&border| border < length);
    borders.sort_unstable();
    borders.dedup();
    let below = |number: u32| borders.partition_point(|&border| border < number);
    let is_wide = |ranges: &CellRanges| {
        let inside: usize = ranges.iter().map(|range| below(range.end) - below(range.start)).sum();
        inside * WIDE_SHARE >= borders.len()
    };
    sides.iter().map(is_wide).collect()
}

#[cfg(test)]
mod tests {
    use super::stretch_lengths;

    #[test]
    fn stretches_are_halved_down_to_a_thousand() {
        assert_eq!(stretch_lengths(0), [1]);
        assert_eq!(stretch_lengths(1), [1]);
        assert_eq!(stretch_lengths(2_047), [2_047]);
        assert_eq!(stretch_lengths(10_000), [10_000, 5_000, 2_500, 1_250]);
        assert_eq!(stretch_lengths(100_000), [16_384, 8_192, 4_096, 2_048, 1_024]);
    }
}
