//! The first of many entries that a packet fits, in a few loads.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;
use serde::Serialize;

use super::address_set::AddressSet;
use super::cells::{Cell, Cells};
use super::crossed::{ByField, Crossed};
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
#[derive(Debug)]
pub struct Pools {
    pages: PagePool,
    /// How many bytes the cross-products of one classifier may take.
    crossed_bytes: usize,
    /// The cells of each set met, by where the set lies. Each set is held, so that no other comes to lie there.
    by_place: HashMap<usize, (Arc<AddressSet>, CellRanges), FixedState>,
    by_content: HashMap<Arc<AddressSet>, CellRanges, FixedState>,
}

type CellRanges = Arc<[Range<u32>]>;

/// What the cross-products of all classifiers may take together.
const MOST_CROSSED_BYTES: usize = 64 << 20;

/// What those of one classifier may take: larger ones miss the caches so often that AND-ing a few words is faster
/// (`cargo bench --bench classify`).
const MOST_CROSSED_BYTES_EACH: usize = 1 << 20;

impl Pools {
    /// Pools for so many classifiers. Each has the same room for cross-products, so that its form hangs on none before
    /// it.
    #[must_use]
    pub fn for_classifiers(count: usize) -> Self {
        Self::with_room((MOST_CROSSED_BYTES / count.max(1)).min(MOST_CROSSED_BYTES_EACH))
    }

    /// Pools for classifiers whose cross-products take no more than so many bytes each.
    #[must_use]
    pub fn with_room(crossed_bytes: usize) -> Self {
        Self {
            pages: PagePool::default(),
            crossed_bytes,
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
        let by_field = ByField { sources, destinations, source_ports, destination_ports, protocols };
        let matching = match Crossed::build(&by_field, entries.len(), pools.crossed_bytes) {
            Some(crossed) => Matching::Crossed(crossed),
            None => Matching::Vectors(by_field),
        };
        Self { fields: Fields { source, destination, source_port, destination_port, protocol }, matching }
    }

    /// The place of the first entry that the packet fits.
    #[inline]
    #[must_use]
    pub fn first_match(&self, key: &Key) -> Option<u32> {
        self.matching.first(&self.fields.classes(key))
    }

    /// How the entries are kept.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.matching {
            Matching::Crossed(_) => Form::Crossed,
            Matching::Vectors(_) => Form::Vectors,
        }
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
pub(super) struct Classes {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) source_port: u32,
    pub(super) destination_port: u32,
    pub(super) protocol: u32,
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

/// From classes to the first entry that holds all of them.
///
/// Nothing but [`Classes`] goes in: another form of the same answer can stand here without the rest knowing.
#[derive(Clone, Debug, GetSize)]
enum Matching {
    Crossed(Crossed),
    Vectors(ByField),
}

/// How a classifier keeps its entries. All forms give the same answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Cross-products of the fields' classes, down to the first entry.
    Crossed,
    /// A bit for each entry and class: a look-up AND-s the words of five classes.
    Vectors,
}

impl Matching {
    #[inline]
    fn first(&self, classes: &Classes) -> Option<u32> {
        match self {
            Self::Crossed(crossed) => crossed.first(classes),
            Self::Vectors(by_field) => by_field.first(classes),
        }
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
