//! One address family cut into intervals, each with the number of its cell.

use get_size2::GetSize;

use super::address_set::Number;

/// Intervals of addresses that fill a whole family, ascending, each with the number of its cell.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Intervals<A> {
    /// The first address of each interval, ascending from the family's first.
    pub(super) starts: Box<[A]>,
    /// The cell of each interval.
    pub(super) cells: Box<[u32]>,
}

impl<A: Number> Intervals<A> {
    /// Intervals that begin at `starts`: ascending, the family's first address first.
    pub(super) fn new(starts: Vec<A>, cells: Vec<u32>) -> Self {
        assert_eq!(starts.first(), Some(&A::FIRST), "intervals begin at the family's first address");
        assert_eq!(starts.len(), cells.len(), "every interval has a cell");
        Self { starts: starts.into(), cells: cells.into() }
    }

    /// The cell of an address.
    pub(super) fn find(&self, address: A) -> u32 {
        self.cells[self.starts.partition_point(|&start| start <= address) - 1]
    }

    /// The cells of the intervals that fill `first` to `last`; nothing where these are no borders.
    pub(super) fn cells_between(&self, first: A, last: A) -> Option<&[u32]> {
        let begin = self.starts.binary_search(&first).ok()?;
        let end = match last.successor() {
            Some(next) => self.starts.binary_search(&next).ok()?,
            None => self.starts.len(),
        };
        Some(&self.cells[begin..end])
    }

    /// The intervals in order: first address, last address, cell.
    pub(super) fn each(&self) -> impl Iterator<Item = (A, A, u32)> {
        let lasts = self.starts[1..].iter().map(|&start| start.predecessor()).chain([A::LAST]);
        self.starts.iter().zip(lasts).zip(&self.cells).map(|((&first, last), &cell)| (first, last, cell))
    }
}
