//! Addresses that nothing tells apart share a number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::{HashMap, HashSet};

use super::address_set::{AddressSet, Number};
use super::intervals::Intervals;
use super::nodes::Nodes;
use super::trie::Trie;

/// A number for addresses that no set of a [`Cells`] tells apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cell(pub u32);

/// The cells into which sets of addresses cut the two address families.
///
/// A cell holds the addresses of one family that are in just the same of the given sets. It need not be one run:
/// the thousands of blocks of a service tag are one cell where nothing else cuts into them, and that keeps the
/// tables of a policy small. Cells are numbered by their lowest address, IPv4 first.
///
/// Every given set is a union of cells, and so is every union, intersection or difference of given sets.
#[derive(Clone, Debug, GetSize)]
pub struct Cells {
    v4: Nodes,
    v4_intervals: Intervals<u32>,
    v6: Trie<u128>,
    /// By cell: its lowest address.
    #[get_size(size_fn = addresses_bytes)]
    first_addresses: Box<[IpAddr]>,
    /// By cell: of how many intervals it consists.
    interval_counts: Box<[u32]>,
}

fn addresses_bytes(addresses: &[IpAddr]) -> usize {
    size_of_val(addresses)
}

impl Cells {
    /// Cuts the address families by the borders of the sets. The same set may come many times.
    #[must_use]
    pub fn build<'a>(sets: impl IntoIterator<Item = &'a AddressSet>) -> Self {
        let Partition { v4, v6, numbering } = Partition::by(sets);
        Self {
            v4: Nodes::build(&v4),
            v4_intervals: v4,
            v6: Trie::build(v6),
            first_addresses: numbering.first_addresses.into(),
            interval_counts: numbering.interval_counts.into(),
        }
    }

    /// The cell of an address.
    #[inline]
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Cell {
        match address {
            IpAddr::V4(address) => self.find_v4(address.into()),
            IpAddr::V6(address) => Cell(self.v6.find(address.into())),
        }
    }

    /// The cell of an IPv4 address, given as a number.
    #[inline]
    #[must_use]
    pub fn find_v4(&self, address: u32) -> Cell {
        Cell(self.v4.find(address))
    }

    /// The cells of many IPv4 addresses, whose loads do not wait for each other.
    ///
    /// # Panics
    ///
    /// If there are not as many places for cells as addresses.
    pub fn find_each_v4(&self, addresses: &[u32], cells: &mut [Cell]) {
        assert_eq!(addresses.len(), cells.len(), "there is a place for each cell");
        self.v4.find_each(addresses, cells);
    }

    /// The cells that make up a set, as ranges, sorted, with a gap between any two.
    ///
    /// `None` where the set is no union of cells, as may be with one that [`Cells::build`] was not given.
    #[must_use]
    pub fn cells_of(&self, set: &AddressSet) -> Option<Vec<Range<u32>>> {
        let mut cells = Vec::new();
        for (first, last) in set.ranges_v4() {
            cells.extend_from_slice(self.v4_intervals.cells_between(first, last)?);
        }
        for (first, last) in set.ranges_v6() {
            cells.extend_from_slice(self.v6.intervals().cells_between(first, last)?);
        }
        // The stable sort makes use of ascending stretches, and cells mostly ascend with their addresses.
        cells.sort();
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for intervals in cells.chunk_by(|one, next| one == next) {
            let cell = intervals[0];
            if intervals.len() != self.interval_counts[cell as usize] as usize {
                return None;
            }
            match ranges.last_mut() {
                Some(open) if open.end == cell => open.end += 1,
                _ => ranges.push(cell..cell + 1),
            }
        }
        Some(ranges)
    }

    /// The addresses of some cells, given as sorted ranges: the way back from [`Cells::cells_of`].
    #[must_use]
    pub fn addresses_of(&self, cells: &[Range<u32>]) -> AddressSet {
        AddressSet::from_ranges(chosen(&self.v4_intervals, cells), chosen(self.v6.intervals(), cells))
    }

    /// How many cells there are; their numbers run from 0.
    #[expect(clippy::len_without_is_empty, reason = "each family has a cell, so that it is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.first_addresses.len()
    }

    /// The lowest address of a cell.
    ///
    /// # Panics
    ///
    /// If the cell is not one of these.
    #[must_use]
    pub fn first_address(&self, cell: Cell) -> IpAddr {
        self.first_addresses[cell.0 as usize]
    }
}

/// Both address families cut by the borders of sets, without tables to find addresses in.
pub(super) struct Partition {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
    numbering: Numbering,
}

impl Partition {
    /// See [`Cells::build`].
    pub(super) fn by<'a>(sets: impl IntoIterator<Item = &'a AddressSet>) -> Self {
        let mut borders_v4 = vec![(0, 0)];
        let mut borders_v6 = vec![(0, 0)];
        // Tags come once a rule: where a set lies tells most repetitions without a look at its contents.
        let mut seen_at = HashSet::with_hasher(FixedState::default());
        let mut seen = HashSet::with_hasher(FixedState::default());
        for set in sets {
            if seen_at.insert(std::ptr::from_ref(set)) && seen.insert(set) {
                let mark = mark(seen.len());
                add_borders(&mut borders_v4, &set.ranges_v4(), mark);
                add_borders(&mut borders_v6, &set.ranges_v6(), mark);
            }
        }
        let mut numbering = Numbering::default();
        let (starts, signatures) = intervals(borders_v4);
        let numbers = numbering.number(&signatures, |interval| Ipv4Addr::from(starts[interval]).into());
        let v4 = Intervals::new(starts, numbers);
        let (starts, signatures) = intervals(borders_v6);
        let numbers = numbering.number(&signatures, |interval| Ipv6Addr::from(starts[interval]).into());
        Self { v4, v6: Intervals::new(starts, numbers), numbering }
    }

    /// The cell of an address.
    pub(super) fn find(&self, address: IpAddr) -> Cell {
        Cell(match address {
            IpAddr::V4(address) => self.v4.find(address.into()),
            IpAddr::V6(address) => self.v6.find(address.into()),
        })
    }

    /// How many cells there are.
    pub(super) fn count(&self) -> usize {
        self.numbering.first_addresses.len()
    }
}

/// Numbers cells in the order in which they are met.
#[derive(Default)]
struct Numbering {
    first_addresses: Vec<IpAddr>,
    interval_counts: Vec<u32>,
}

impl Numbering {
    /// The cell of each interval of one family; cells are never shared with a family numbered earlier.
    fn number(&mut self, signatures: &[u128], first_address: impl Fn(usize) -> IpAddr) -> Vec<u32> {
        let mut numbers = HashMap::with_hasher(FixedState::default());
        let number = |(interval, &signature)| {
            let cell = *numbers.entry(signature).or_insert_with(|| {
                self.first_addresses.push(first_address(interval));
                self.interval_counts.push(0);
                self.first_addresses.len() - 1
            });
            self.interval_counts[cell] += 1;
            u32::try_from(cell).expect("fewer cells than 2^30: each takes 20 bytes and more")
        };
        signatures.iter().enumerate().map(number).collect()
    }
}

/// A random-looking number for the set that came as number `index`.
///
/// The exclusive or of the marks of all sets that hold an address is its signature. Two addresses in different
/// sets share one with a chance of 2^-128: it does not happen, and saves lists of sets.
fn mark(index: usize) -> u128 {
    let hash = blake3::hash(&index.to_le_bytes());
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(mark)
}

/// Notes where a set begins and ends.
fn add_borders<A: Number>(borders: &mut Vec<(A, u128)>, ranges: &[(A, A)], mark: u128) {
    for &(first, last) in ranges {
        borders.push((first, mark));
        borders.extend(last.successor().map(|next| (next, mark)));
    }
}

/// The intervals between borders: where each begins, and its signature.
fn intervals<A: Number>(mut borders: Vec<(A, u128)>) -> (Vec<A>, Vec<u128>) {
    borders.sort_unstable();
    let mut signature = 0;
    let at_one_address = borders.chunk_by(|one, next| one.0 == next.0);
    at_one_address
        .map(|marks| {
            signature = marks.iter().fold(signature, |signature, (_, mark)| signature ^ mark);
            (marks[0].0, signature)
        })
        .unzip()
}

/// The intervals of one family that lie in the cells, as ranges of addresses.
fn chosen<A: Number>(intervals: &Intervals<A>, cells: &[Range<u32>]) -> Vec<(A, A)> {
    let is_chosen = |cell| {
        let behind = cells.partition_point(|range| range.start <= cell);
        behind > 0 && cells[behind - 1].contains(&cell)
    };
    intervals.each().filter(|&(_, _, cell)| is_chosen(cell)).map(|(first, last, _)| (first, last)).collect()
}
