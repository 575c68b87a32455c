//! The first of many entries that a packet fits, in a few loads.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;

use super::address_set::AddressSet;
use super::cells::{Cell, Cells};
use super::paged::{PagePool, PagedMap};
use super::ports::{NO_PORT, PLACES, PortSet, PortTable, ProtocolSet};
use super::sweep::{Vectors, sweep};
use crate::model::prefix::PortRange;
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
    /// IP protocol.
    pub protocol: Protocol,
    /// Source port; `None` if the packet carries no ports (NSG-10).
    pub source_port: Option<u16>,
    /// Destination port; `None` if the packet carries no ports (NSG-10).
    pub destination_port: Option<u16>,
}

/// What classifiers share, while they are built. Good for one [`Cells`]; dropped when all are built.
#[derive(Debug, Default)]
pub struct Pools {
    pages: PagePool,
    /// The cells of each set met, by where the set lies. Each set is held, so that no other comes to lie there.
    by_place: HashMap<usize, (Arc<AddressSet>, CellRanges), FixedState>,
    by_content: HashMap<Arc<AddressSet>, CellRanges, FixedState>,
}

type CellRanges = Arc<[Range<u32>]>;

impl Pools {
    /// Pools that hold nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
    fields: Fields,
    matching: Matching,
}

impl Classifier {
    /// Compiles entries, first of them first.
    ///
    /// # Panics
    ///
    /// If the source or destination of an entry is no union of cells: [`Cells::build`] must have been given it,
    /// or sets of which it is made.
    #[must_use]
    pub fn build(cells: &Cells, pools: &mut Pools, entries: &[Entry]) -> Self {
        let length = u32::try_from(cells.len()).expect("cells are numbered in 32 bits");
        let (source, sources) =
            addresses(length, pools, entries, |pools, entry| pools.cells_of(cells, &entry.source));
        let (destination, destinations) =
            addresses(length, pools, entries, |pools, entry| pools.cells_of(cells, &entry.destination));
        let (source_port, source_ports) = ports(pools, entries, |entry| &entry.source_ports);
        let (destination_port, destination_ports) = ports(pools, entries, |entry| &entry.destination_ports);
        let (protocol, protocols) = protocols(entries);
        Self {
            fields: Fields { source, destination, source_port, destination_port, protocol },
            matching: Matching {
                sources,
                destinations,
                source_ports,
                destination_ports,
                protocols,
                words: entries.len().div_ceil(64),
            },
        }
    }

    /// The place of the first entry that the packet fits.
    #[inline]
    #[must_use]
    pub fn first_match(&self, key: &Key) -> Option<u32> {
        self.first_match_from(key, 0)
    }

    /// The place of the first entry from place `from` on that the packet fits.
    #[inline]
    #[must_use]
    pub fn first_match_from(&self, key: &Key, from: u32) -> Option<u32> {
        self.matching.first_from(&self.fields.classes(key), from)
    }
}

/// From the fields of a packet to their classes.
#[derive(Clone, Debug, GetSize)]
struct Fields {
    source: Arc<PagedMap>,
    destination: Arc<PagedMap>,
    source_port: PortTable,
    destination_port: PortTable,
    protocol: Box<[u8; 256]>,
}

/// The class of each field of a packet.
struct Classes {
    source: u32,
    destination: u32,
    source_port: u32,
    destination_port: u32,
    protocol: u32,
}

impl Fields {
    #[inline]
    fn classes(&self, key: &Key) -> Classes {
        Classes {
            source: self.source.get(key.source.0),
            destination: self.destination.get(key.destination.0),
            source_port: self.source_port.class(key.source_port),
            destination_port: self.destination_port.class(key.destination_port),
            protocol: self.protocol[usize::from(key.protocol.0)].into(),
        }
    }
}

/// From classes to the first entry that holds all of them: an entry is a bit, and the classes' words are AND-ed.
///
/// Nothing but [`Classes`] goes in: another form of the same answer can stand here without the rest knowing.
#[derive(Clone, Debug, GetSize)]
struct Matching {
    sources: Vectors,
    destinations: Vectors,
    source_ports: Vectors,
    destination_ports: Vectors,
    protocols: Vectors,
    words: usize,
}

impl Matching {
    #[inline]
    fn first_from(&self, classes: &Classes, from: u32) -> Option<u32> {
        let sources = self.sources.of(classes.source);
        let destinations = self.destinations.of(classes.destination);
        let source_ports = self.source_ports.of(classes.source_port);
        let destination_ports = self.destination_ports.of(classes.destination_port);
        let protocols = self.protocols.of(classes.protocol);
        let first_word = from / 64;
        let mut unmasked = u64::MAX << (from % 64);
        for (index, word) in (first_word..).zip(first_word as usize..self.words) {
            let fits = sources[word]
                & destinations[word]
                & source_ports[word]
                & destination_ports[word]
                & protocols[word]
                & unmasked;
            if fits != 0 {
                return Some(index * 64 + fits.trailing_zeros());
            }
            unmasked = u64::MAX;
        }
        None
    }
}

fn addresses(
    length: u32,
    pools: &mut Pools,
    entries: &[Entry],
    cells_of: impl Fn(&mut Pools, &Entry) -> CellRanges,
) -> (Arc<PagedMap>, Vectors) {
    let ranges: Vec<CellRanges> = entries.iter().map(|entry| cells_of(pools, entry)).collect();
    let (runs, vectors) = sweep(length, ranges.iter().map(|ranges| &ranges[..]));
    (pools.pages.map(length as usize, &runs), vectors)
}

fn ports(pools: &mut Pools, entries: &[Entry], field: impl Fn(&Entry) -> &PortSet) -> (PortTable, Vectors) {
    let places = |entry| -> Vec<Range<u32>> {
        let set = field(entry);
        let range = |range: &PortRange| u32::from(range.first())..u32::from(range.last()) + 1;
        let mut places: Vec<Range<u32>> = set.ranges().iter().map(range).collect();
        // The place of a packet without ports lies behind the last port (NSG-10).
        if set.contains(None) {
            match places.last_mut() {
                Some(last) if last.end == NO_PORT => last.end = PLACES,
                _ => places.push(NO_PORT..PLACES),
            }
        }
        places
    };
    let ranges: Vec<Vec<Range<u32>>> = entries.iter().map(places).collect();
    let (runs, vectors) = sweep(PLACES, ranges.iter().map(Vec::as_slice));
    (PortTable::build(&mut pools.pages, &runs), vectors)
}

fn protocols(entries: &[Entry]) -> (Box<[u8; 256]>, Vectors) {
    let numbers = |entry: &Entry| -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for number in (0..=u8::MAX).filter(|&number| entry.protocols.contains(Protocol(number))) {
            let number = u32::from(number);
            match ranges.last_mut() {
                Some(open) if open.end == number => open.end += 1,
                _ => ranges.push(number..number + 1),
            }
        }
        ranges
    };
    let ranges: Vec<Vec<Range<u32>>> = entries.iter().map(numbers).collect();
    let (runs, vectors) = sweep(256, ranges.iter().map(Vec::as_slice));
    let mut classes = Box::new([0; 256]);
    for run in &runs {
        let class = u8::try_from(run.id).expect("256 protocols make 256 classes at most");
        classes[run.first as usize..].fill(class);
    }
    (classes, vectors)
}
