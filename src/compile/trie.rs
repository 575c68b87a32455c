//! The interval of an IPv6 address, in a few loads.

use std::ops::Range;

use get_size2::GetSize;

use super::address_set::Number;
use super::intervals::Intervals;

/// A radix trie flattened into one table: a root of 65,536 entries for the first 16 bits, below it blocks of 256
/// for 8 more each. An entry is one of three: a *leaf*, where all addresses of the block lie in one interval; a
/// *scan* from an interval on, where few intervals share the block; or the number of a further block.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Trie<A> {
    intervals: Intervals<A>,
    table: Vec<u32>,
}

const ROOT_BITS: u32 = 16;
const ROOT_LENGTH: usize = 1 << ROOT_BITS;
const BLOCK_BITS: u32 = 8;
const BLOCK_LENGTH: usize = 1 << BLOCK_BITS;
/// How many intervals may share a block that is scanned. Up to eight first addresses lie in two cache lines or three,
/// which costs no more than one further block; a lone host would otherwise take 14 blocks of a kilobyte each.
const SCAN_LIMIT: usize = 8;

/// The two upper bits of an entry tell its kind; the rest is the cell, the first interval or the block.
const KIND: u32 = 0b11 << 30;
const LEAF: u32 = 0b10 << 30;
const SCAN: u32 = 0b01 << 30;

impl<A: Number> Trie<A> {
    /// Flattens the intervals.
    pub(super) fn build(intervals: Intervals<A>) -> Self {
        let mut trie = Self { intervals, table: vec![0; ROOT_LENGTH] };
        trie.fill(0..ROOT_LENGTH, A::FIRST, A::BITS - ROOT_BITS, 0);
        trie.table.shrink_to_fit();
        trie
    }

    /// The intervals that it finds.
    pub(super) fn intervals(&self) -> &Intervals<A> {
        &self.intervals
    }

    /// Fills one block, whose first address is `first` and whose slots have `shift` bits each; `interval` is
    /// where `first` lies.
    fn fill(&mut self, block: Range<usize>, first: A, shift: u32, mut interval: usize) {
        for (slot, index) in block.enumerate() {
            let slot_first = first.slot_first(slot, shift);
            while self.intervals.starts.get(interval + 1).is_some_and(|&start| start <= slot_first) {
                interval += 1;
            }
            let slot_last = slot_first.slot_last(shift);
            // How many borders lie in the slot, counted no further than to the limit.
            let borders = self.intervals.starts[interval + 1..].iter().take(SCAN_LIMIT);
            let further = borders.take_while(|&&start| start <= slot_last).count();
            self.table[index] = if further == 0 {
                LEAF | self.intervals.cells[interval]
            } else if further < SCAN_LIMIT {
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
        while self.intervals.starts.get(interval + 1).is_some_and(|&start| start <= address) {
            interval += 1;
        }
        self.intervals.cells[interval]
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
    use crate::compile::intervals::Intervals;

    /// The entries that intervals from these addresses on take, the first from `::` on.
    fn entries(borders: &[u128]) -> usize {
        let starts: Vec<u128> = [0].iter().chain(borders).copied().collect();
        let cells = (0..).take(starts.len()).collect();
        Trie::build(Intervals::new(starts, cells)).table.len()
    }

    #[test]
    fn only_a_block_of_more_intervals_than_are_scanned_has_a_table_of_its_own() {
        assert_eq!(entries(&[]), ROOT_LENGTH);
        // Borders in fd00::/16, each at the start of a /24.
        let borders: Vec<u128> = (1..=8).map(|slot| 0xfd00 << 112 | slot << 104).collect();
        assert_eq!(entries(&borders[..7]), ROOT_LENGTH);
        assert_eq!(entries(&borders), ROOT_LENGTH + BLOCK_LENGTH);
        // And below it in fd00:100::/24.
        let nested: Vec<u128> = (0..=8)
            .map(|slot| (0xfd00 << 112) | (1 << 104) | (slot << 96))
            .chain(borders[1..].iter().copied())
            .collect();
        assert_eq!(entries(&nested), ROOT_LENGTH + 2 * BLOCK_LENGTH);
    }
}
