//! One address family cut into intervals, and the interval of an address in a few loads.

use std::ops::Range;

use get_size2::GetSize;

use super::address_set::Number;

/// Intervals of addresses that fill a whole family, each with the number of its cell.
///
/// A radix trie flattened into one table: a root of 65,536 entries for the first 16 bits, below it blocks of 256
/// for 8 more each. An entry is one of three: a *leaf*, where all addresses of the block lie in one interval; a
/// *scan* from an interval on, where few intervals share the block; or the number of a further block.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Trie<A> {
    /// The first address of each interval, ascending from the family's first.
    starts: Box<[A]>,
    /// The cell of each interval.
    cells: Box<[u32]>,
    table: Vec<u32>,
    /// How many intervals may share a block that is scanned.
    scan_limit: usize,
}

const ROOT_BITS: u32 = 16;
const ROOT_LENGTH: usize = 1 << ROOT_BITS;
const BLOCK_BITS: u32 = 8;
const BLOCK_LENGTH: usize = 1 << BLOCK_BITS;

/// The two upper bits of an entry tell its kind; the rest is the cell, the first interval or the block.
const KIND: u32 = 0b11 << 30;
const LEAF: u32 = 0b10 << 30;
const SCAN: u32 = 0b01 << 30;

impl<A: Number> Trie<A> {
    /// Flattens the intervals that begin at `starts` (ascending, the family's first address first).
    ///
    /// Blocks with up to `scan_limit` intervals get no table of their own. IPv6 needs this: a lone host would
    /// otherwise take 14 blocks of a kilobyte each.
    pub(super) fn build(starts: Vec<A>, cells: Vec<u32>, scan_limit: usize) -> Self {
        assert_eq!(starts.first(), Some(&A::FIRST), "intervals begin at the family's first address");
        assert_eq!(starts.len(), cells.len(), "every interval has a cell");
        let mut trie =
            Self { starts: starts.into(), cells: cells.into(), table: vec![0; ROOT_LENGTH], scan_limit };
        trie.fill(0..ROOT_LENGTH, A::FIRST, A::BITS - ROOT_BITS, 0);
        trie.table.shrink_to_fit();
        trie
    }

    /// Fills one block, whose first address is `first` and whose slots have `shift` bits each; `interval` is
    /// where `first` lies.
    fn fill(&mut self, block: Range<usize>, first: A, shift: u32, mut interval: usize) {
        for (slot, index) in block.enumerate() {
            let slot_first = first.slot_first(slot, shift);
            while self.starts.get(interval + 1).is_some_and(|&start| start <= slot_first) {
                interval += 1;
            }
            let slot_last = slot_first.slot_last(shift);
            // How many borders lie in the slot, counted no further than to the limit.
            let borders = self.starts[interval + 1..].iter().take(self.scan_limit.max(1));
            let further = borders.take_while(|&&start| start <= slot_last).count();
            self.table[index] = if further == 0 {
                LEAF | self.cells[interval]
            } else if further < self.scan_limit {
                SCAN | number(interval)
            } else {
                let offset = self.table.len();
                self.table.resize(offset + BLOCK_LENGTH, 0);
                self.fill(offset..offset + BLOCK_LENGTH, slot_first, shift - BLOCK_BITS, interval);
                number((offset - ROOT_LENGTH) / BLOCK_LENGTH)
            };
        }
    }

    /// The cell of an address.
    #[inline]
    pub(super) fn find(&self, address: A) -> u32 {
        let mut shift = A::BITS - ROOT_BITS;
        let mut entry = self.table[address.slot(shift)];
        loop {
            match entry & KIND {
                LEAF => return entry & !KIND,
                SCAN => return self.scan(entry & !KIND, address),
                _ => {
                    shift -= BLOCK_BITS;
                    let slot = address.slot(shift) % BLOCK_LENGTH;
                    entry = self.table[ROOT_LENGTH + entry as usize * BLOCK_LENGTH + slot];
                }
            }
        }
    }

    fn scan(&self, interval: u32, address: A) -> u32 {
        let mut interval = interval as usize;
        while self.starts.get(interval + 1).is_some_and(|&start| start <= address) {
            interval += 1;
        }
        self.cells[interval]
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
    pub(super) fn intervals(&self) -> impl Iterator<Item = (A, A, u32)> {
        let lasts = self.starts[1..].iter().map(|&start| start.predecessor()).chain([A::LAST]);
        self.starts.iter().zip(lasts).zip(&self.cells).map(|((&first, last), &cell)| (first, last, cell))
    }
}

/// A number as it stands in an entry beside its kind.
fn number(index: usize) -> u32 {
    let number = u32::try_from(index).expect("fewer intervals than 2^30: each takes 8 bytes and more");
    assert_eq!(number & KIND, 0, "fewer intervals than 2^30: each takes 8 bytes and more");
    number
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_LENGTH, ROOT_LENGTH, Trie};

    /// The entries that intervals from these addresses on take, the first from 0.0.0.0 on, where blocks of up to three
    /// are scanned.
    fn entries(borders: &[u32]) -> usize {
        let starts: Vec<u32> = [0].iter().chain(borders).copied().collect();
        let cells = (0..).take(starts.len()).collect();
        Trie::build(starts, cells, 3).table.len()
    }

    #[test]
    fn only_a_block_of_more_intervals_than_are_scanned_has_a_table_of_its_own() {
        assert_eq!(entries(&[]), ROOT_LENGTH);
        // One border after another of 10.0.0.0/16, each at the start of a /24.
        assert_eq!(entries(&[0x0a00_0100]), ROOT_LENGTH);
        assert_eq!(entries(&[0x0a00_0100, 0x0a00_0200]), ROOT_LENGTH);
        assert_eq!(entries(&[0x0a00_0100, 0x0a00_0200, 0x0a00_0300]), ROOT_LENGTH + BLOCK_LENGTH);
        assert_eq!(
            entries(&[0x0a00_0100, 0x0a00_0200, 0x0a00_0300, 0x0a00_0400]),
            ROOT_LENGTH + BLOCK_LENGTH
        );
        // And below it of 10.0.1.0/24.
        let hosts = [0x0a00_0101, 0x0a00_0102, 0x0a00_0103];
        assert_eq!(entries(&hosts), ROOT_LENGTH + 2 * BLOCK_LENGTH);
    }
}
