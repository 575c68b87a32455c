//! From the ranges of many entries to classes of numbers that the same entries hold.

use std::hash::{BuildHasher, Hash};
use std::ops::Range;

use bitvec::order::Lsb0;
use bitvec::vec::BitVec;
use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashTable;

use super::paged::Run;

/// For each class, which entries hold its numbers: bit `i` of a class's words is entry `i`.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Vectors {
    words: Box<[u64]>,
    words_each: usize,
    count: usize,
}

/// Where vectors lie, for a loop to keep at hand.
#[derive(Clone, Copy)]
pub(super) struct VectorsView<'v> {
    words: &'v [u64],
    words_each: usize,
}

impl<'v> VectorsView<'v> {
    /// The words of a class.
    #[inline(always)]
    pub(super) fn of(self, class: u32) -> &'v [u64] {
        let first = class as usize * self.words_each;
        &self.words[first..first + self.words_each]
    }
}

impl Vectors {
    /// Where they lie.
    #[inline(always)]
    pub(super) fn view(&self) -> VectorsView<'_> {
        VectorsView { words: &self.words, words_each: self.words_each }
    }

    /// The words of a class.
    #[inline]
    pub(super) fn of(&self, class: u32) -> &[u64] {
        self.view().of(class)
    }

    /// The words of each class in turn.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u64]> {
        (0..).take(self.count()).map(|class| self.of(class))
    }

    /// How many words each class has.
    pub(super) fn words_each(&self) -> usize {
        self.words_each
    }

    /// How many classes there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// Cuts the numbers below `length` into runs that the same entries hold, and numbers the distinct groups of
/// entries as classes. An entry's ranges are sorted and have a gap between any two.
///
/// Costs the borders of all ranges, sorted, and one vector a run: never entries times numbers.
pub(super) fn sweep<'a>(
    length: u32,
    entries: impl ExactSizeIterator<Item = &'a [Range<u32>]>,
) -> (Vec<Run>, Vectors) {
    let mut holding = BitVec::<u64, Lsb0>::repeat(false, entries.len());
    // Ranges of one entry do not touch, so that each border turns its entry on or off.
    let mut borders: Vec<(u32, u32)> = Vec::new();
    for (entry, ranges) in (0..).zip(entries) {
        for range in ranges {
            borders.push((range.start, entry));
            borders.push((range.end, entry));
        }
    }
    borders.retain(|&(border, entry)| {
        if border == 0 {
            holding.set(entry as usize, true);
        }
        0 < border && border < length
    });
    // The stable sort merges what each entry brings in order.
    borders.sort();

    let mut classes = Interner::new(holding.as_raw_slice().len());
    let mut runs = vec![Run { first: 0, id: classes.id(holding.as_raw_slice()) }];
    for at_one_number in borders.chunk_by(|one, next| one.0 == next.0) {
        for &(_, entry) in at_one_number {
            let entry = entry as usize;
            let held = holding[entry];
            holding.set(entry, !held);
        }
        runs.push(Run { first: at_one_number[0].0, id: classes.id(holding.as_raw_slice()) });
    }
    (runs, classes.vectors())
}

/// Gives equal vectors the same id, in the order of their first coming.
pub(super) struct Interner<W> {
    words: Vec<W>,
    words_each: usize,
    count: u32,
    ids: HashTable<u32>,
    hasher: FixedState,
}

impl<W: Copy + Eq + Hash> Interner<W> {
    /// For vectors of so many words.
    pub(super) fn new(words_each: usize) -> Self {
        let hasher = FixedState::default();
        Self { words: Vec::new(), words_each, count: 0, ids: HashTable::new(), hasher }
    }

    /// The id of a vector.
    pub(super) fn id(&mut self, vector: &[W]) -> u32 {
        let Self { words, words_each, hasher, .. } = self;
        let of = |id: u32| {
            let first = id as usize * *words_each;
            first..first + *words_each
        };
        let hash = hasher.hash_one(vector);
        if let Some(&id) = self.ids.find(hash, |&id| words[of(id)] == *vector) {
            return id;
        }
        words.extend_from_slice(vector);
        let id = self.count;
        self.count += 1;
        self.ids.insert_unique(hash, id, |&id| hasher.hash_one(&words[of(id)]));
        id
    }
}

impl Interner<u64> {
    /// The vectors of classes.
    pub(super) fn vectors(self) -> Vectors {
        Vectors { words_each: self.words_each, count: self.count as usize, words: self.words.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::sweep;
    use crate::compile::paged::Run;

    #[test]
    fn equal_groups_of_entries_share_a_class() {
        let entries = [vec![0..5, 6..10], vec![2..4, 6..8]];
        let (runs, vectors) = sweep(10, entries.iter().map(Vec::as_slice));
        let firsts_and_ids: Vec<_> = runs.iter().map(|run| (run.first, run.id)).collect();
        assert_eq!(firsts_and_ids, [(0, 0), (2, 1), (4, 0), (5, 2), (6, 1), (8, 0)]);
        assert_eq!([0, 1, 2].map(|class| vectors.of(class)[0]), [0b01, 0b11, 0b00]);
    }

    #[test]
    fn without_entries_there_is_one_class_and_no_word() {
        let (runs, vectors) = sweep(10, [].into_iter());
        assert_eq!(runs, [Run { first: 0, id: 0 }]);
        assert!(vectors.of(0).is_empty());
    }
}
