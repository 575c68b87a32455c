//! From a source class and a destination class to a row: what the entries that hold both have to say.

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;

/// The row of each pair of classes.
#[derive(Clone, Debug, GetSize)]
pub(super) enum Pairs {
    Whole(WholePairs),
    Sparse(SparsePairs),
}

/// All pairs, by source class, then by destination class.
#[derive(Clone, Debug, GetSize)]
pub(super) struct WholePairs {
    rows: Box<[u16]>,
    destinations: u32,
}

/// For each source class the row of most of its pairs, and the others.
#[derive(Clone, Debug, GetSize)]
pub(super) struct SparsePairs {
    sources: Box<[SparseSource]>,
    others: Box<[Other]>,
}

/// Most pairs of a source class, and where the others stand.
#[derive(Clone, Copy, Debug, GetSize)]
struct SparseSource {
    /// The others of this source stand at this place and their destination class; what stands there of another source
    /// names that source.
    first: u32,
    /// The row of all pairs that stand nowhere.
    usual: u16,
}

/// A pair that has another row than most of its source class.
#[derive(Clone, Copy, Debug, GetSize)]
pub(super) struct Other {
    source: u16,
    row: u16,
}

/// In place of a source class: nothing stands here.
const NOBODY: u16 = u16::MAX;

/// Rows of one source class: what most of its pairs have, and the other pairs by destination class, ascending.
#[derive(Clone, Debug)]
pub(super) struct RowsOfSource {
    pub(super) usual: u16,
    pub(super) others: Vec<(u16, u16)>,
}

/// Up to this many bytes all pairs are laid out, which is a load less.
const SMALL_BYTES: usize = 64 << 10;

impl Pairs {
    /// Lays the rows of each source class out, whichever way takes less memory. `destinations` is how many classes of
    /// destinations there are.
    pub(super) fn build(sources: &[RowsOfSource], destinations: usize) -> Self {
        assert!(sources.len() < usize::from(NOBODY), "classes are numbered in 16 bits");
        let others: usize = sources.iter().map(|source| source.others.len()).sum();
        let whole = sources.len() * destinations * size_of::<u16>();
        let sparse = size_of::<SparseSource>() * sources.len() + (others + destinations) * size_of::<Other>();
        if whole <= SMALL_BYTES.max(sparse) {
            Self::whole(sources, destinations)
        } else {
            Self::sparse(sources, destinations)
        }
    }

    fn whole(sources: &[RowsOfSource], destinations: usize) -> Self {
        let mut rows = Vec::with_capacity(sources.len() * destinations);
        for source in sources {
            let first = rows.len();
            rows.resize(first + destinations, source.usual);
            for &(destination, row) in &source.others {
                rows[first + usize::from(destination)] = row;
            }
        }
        let destinations = u32::try_from(destinations).expect("classes are numbered in 16 bits");
        Self::Whole(WholePairs { rows: rows.into(), destinations })
    }

    /// Row displacement: the pairs of all sources go into one array, each source's shifted so that none stands where
    /// another does.
    fn sparse(sources: &[RowsOfSource], destinations: usize) -> Self {
        let mut by_length: Vec<usize> = (0..sources.len()).collect();
        by_length.sort_by_key(|&source| std::cmp::Reverse(sources[source].others.len()));
        let mut placed = vec![SparseSource { first: 0, usual: 0 }; sources.len()];
        let mut taken = Taken::default();
        let mut others: Vec<Other> = Vec::new();
        for source in by_length {
            let rows = &sources[source];
            let first = taken.displacement(&rows.others);
            others.resize(others.len().max(first + destinations), Other { source: NOBODY, row: 0 });
            for &(destination, row) in &rows.others {
                let number = u16::try_from(source).expect("fewer than NOBODY");
                others[first + usize::from(destination)] = Other { source: number, row };
                taken.take(first + usize::from(destination));
            }
            let first = u32::try_from(first).expect("the array is bounded by the pairs that were counted");
            placed[source] = SparseSource { first, usual: rows.usual };
        }
        Self::Sparse(SparsePairs { sources: placed.into(), others: others.into() })
    }

    /// The row of a pair.
    #[inline]
    pub(super) fn row(&self, source: u32, destination: u32) -> u32 {
        match self {
            Self::Whole(whole) => whole.view().row(source, destination),
            Self::Sparse(sparse) => sparse.view().row(source, destination),
        }
    }
}

/// Where all pairs lie, for a loop to keep at hand.
#[derive(Clone, Copy)]
pub(super) struct WholeView<'p> {
    rows: &'p [u16],
    destinations: u32,
}

/// Where sparse pairs lie, for a loop to keep at hand.
#[derive(Clone, Copy)]
pub(super) struct SparseView<'p> {
    sources: &'p [SparseSource],
    others: &'p [Other],
}

impl WholePairs {
    #[inline(always)]
    pub(super) fn view(&self) -> WholeView<'_> {
        WholeView { rows: &self.rows, destinations: self.destinations }
    }
}

impl SparsePairs {
    #[inline(always)]
    pub(super) fn view(&self) -> SparseView<'_> {
        SparseView { sources: &self.sources, others: &self.others }
    }
}

impl WholeView<'_> {
    #[inline(always)]
    pub(super) fn row(self, source: u32, destination: u32) -> u32 {
        self.rows[(source * self.destinations + destination) as usize].into()
    }
}

impl SparseView<'_> {
    #[inline(always)]
    pub(super) fn row(self, source: u32, destination: u32) -> u32 {
        let SparseSource { first, usual } = self.sources[source as usize];
        let other = self.others[(first + destination) as usize];
        if u32::from(other.source) == source { other.row.into() } else { usual.into() }
    }
}

/// Which places of the array of displaced pairs are taken.
#[derive(Default)]
struct Taken {
    /// A bit for each place.
    words: Vec<u64>,
}

/// How many free places are tried before pairs go behind all others.
const MOST_TRIES: usize = 1 << 12;

impl Taken {
    fn is_taken(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    fn take(&mut self, place: usize) {
        self.words.resize(self.words.len().max(place / 64 + 1), 0);
        self.words[place / 64] |= 1 << (place % 64);
    }

    /// Free places from one on, ascending; it ends behind the last that is taken.
    fn free_from(&self, begin: usize) -> impl Iterator<Item = usize> {
        let words = self.words.iter().enumerate().skip(begin / 64);
        let free = words.flat_map(|(index, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 0).map(move |bit| index * 64 + bit)
        });
        free.chain([self.words.len() * 64]).map(move |place| place.max(begin))
    }

    /// By how much pairs are shifted so that none stands at a place that is taken.
    fn displacement(&self, pairs: &[(u16, u16)]) -> usize {
        let Some(&(lowest, _)) = pairs.first() else { return 0 };
        let lowest = usize::from(lowest);
        let is_free = |first: &usize| {
            pairs.iter().all(|&(destination, _)| !self.is_taken(first + usize::from(destination)))
        };
        let tried = self.free_from(lowest).map(|place| place - lowest).take(MOST_TRIES);
        let behind_all = (self.words.len() * 64).saturating_sub(lowest);
        { tried }.find(is_free).unwrap_or(behind_all)
    }
}

/// Finds out which rows a source class has, one class after another.
pub(super) struct RowFinder<'e> {
    /// For each entry, the destination classes that hold it.
    destinations_of: &'e [Vec<u16>],
    /// Entries that hold every service: none behind such a one decides.
    always: &'e [bool],
    signatures: Vec<u128>,
    settled: Vec<bool>,
    touched: Vec<u16>,
    rows: HashMap<u128, u16, FixedState>,
    /// The entries of each row, first tried first.
    pub(super) lists: Vec<Vec<u16>>,
}

impl<'e> RowFinder<'e> {
    pub(super) fn new(destinations: usize, destinations_of: &'e [Vec<u16>], always: &'e [bool]) -> Self {
        Self {
            destinations_of,
            always,
            signatures: vec![0; destinations],
            settled: vec![false; destinations],
            touched: Vec::new(),
            rows: HashMap::from_iter([(0, 0)]),
            lists: vec![Vec::new()],
        }
    }

    /// The rows of a source class that these entries hold; nothing where there are more than 16 bits can number.
    ///
    /// The entries of a pair are known by the exclusive or of their marks, as the sets of a cell are.
    pub(super) fn rows_of(&mut self, entries: &[u16]) -> Option<RowsOfSource> {
        for &entry in entries {
            let mark = mark(entry);
            for &destination in &self.destinations_of[usize::from(entry)] {
                let place = usize::from(destination);
                if self.settled[place] {
                    continue;
                }
                if self.signatures[place] == 0 {
                    self.touched.push(destination);
                }
                self.signatures[place] ^= mark;
                self.settled[place] = self.always[usize::from(entry)];
            }
        }
        self.touched.sort_unstable();
        let mut found: Vec<(u16, u16)> = Vec::with_capacity(self.touched.len());
        let mut counts: HashMap<u16, usize, FixedState> = HashMap::default();
        counts.insert(0, self.signatures.len() - self.touched.len());
        for position in 0..self.touched.len() {
            let destination = self.touched[position];
            let signature = self.signatures[usize::from(destination)];
            let row = match self.rows.get(&signature) {
                Some(&row) => row,
                None => {
                    let row = u16::try_from(self.lists.len()).ok()?;
                    self.lists.push(self.list(entries, destination));
                    self.rows.insert(signature, row);
                    row
                }
            };
            found.push((destination, row));
            *counts.entry(row).or_default() += 1;
        }
        for destination in self.touched.drain(..) {
            self.signatures[usize::from(destination)] = 0;
            self.settled[usize::from(destination)] = false;
        }
        // The lower row where two are as frequent: the same tables on every run.
        let usual = counts.iter().max_by_key(|&(&row, &count)| (count, std::cmp::Reverse(row)));
        let usual = *usual.expect("row 0 was counted").0;
        let mut others = found;
        if usual != 0 {
            others = with_gaps(&others, self.signatures.len());
        }
        others.retain(|&(_, row)| row != usual);
        Some(RowsOfSource { usual, others })
    }

    /// The entries of a source class that a destination class holds too, up to one that holds every service.
    fn list(&self, entries: &[u16], destination: u16) -> Vec<u16> {
        let mut list = Vec::new();
        for &entry in entries {
            if self.destinations_of[usize::from(entry)].binary_search(&destination).is_ok() {
                list.push(entry);
                if self.always[usize::from(entry)] {
                    break;
                }
            }
        }
        list
    }
}

/// All destination classes with their rows: those that are not among the found have row 0.
fn with_gaps(found: &[(u16, u16)], destinations: usize) -> Vec<(u16, u16)> {
    let mut found = found.iter().copied().peekable();
    let all = (0..destinations).map(|destination| {
        let destination = u16::try_from(destination).expect("classes are numbered in 16 bits");
        found.next_if(|&(next, _)| next == destination).unwrap_or((destination, 0))
    });
    all.collect()
}

/// A random-looking number for an entry, never 0 alone nor together with those of other entries.
fn mark(entry: u16) -> u128 {
    let mut mark = (u128::from(entry) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    mark ^= mark >> 67;
    mark = mark.wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb);
    mark ^= mark >> 61;
    mark.wrapping_mul(0xff51_afd7_ed55_8ccd_c4ce_b9fe_1a85_ec53)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Pairs, RowsOfSource};

    const DESTINATIONS: usize = 40;

    /// Source classes with a few pairs that have rows of their own, some with many.
    fn sources() -> impl Strategy<Value = Vec<RowsOfSource>> {
        let pairs = prop_oneof![4 => 0..4_usize, 1 => 0..DESTINATIONS];
        let others = pairs.prop_flat_map(|count| {
            proptest::collection::btree_map(0..DESTINATIONS as u16, any::<u16>(), 0..=count)
        });
        let source = (any::<u16>(), others)
            .prop_map(|(usual, others)| RowsOfSource { usual, others: others.into_iter().collect() });
        proptest::collection::vec(source, 1..60)
    }

    proptest! {
        #[test]
        fn displaced_or_not_each_pair_has_its_row(sources in sources()) {
            let laid = [Pairs::whole(&sources, DESTINATIONS), Pairs::sparse(&sources, DESTINATIONS)];
            for (number, source) in (0..).zip(&sources) {
                for destination in 0..DESTINATIONS as u16 {
                    let own = source.others.iter().find(|(other, _)| *other == destination);
                    let expected = own.map_or(source.usual, |(_, row)| *row);
                    for pairs in &laid {
                        prop_assert_eq!(pairs.row(number, destination.into()), u32::from(expected));
                    }
                }
            }
        }
    }

    /// A thousand sources with a pair each: whole, that is a thousand rows of forty.
    #[test]
    fn sparse_pairs_take_little() {
        let lone = |source: u16| RowsOfSource { usual: 0, others: vec![(source % 40, source)] };
        let sources: Vec<RowsOfSource> = (0..1000).map(lone).collect();
        let Pairs::Sparse(sparse) = Pairs::build(&sources, DESTINATIONS) else {
            panic!("80,000 bytes are more than are laid out whole")
        };
        // No more places than pairs, and what the last source's classes reach beyond.
        assert!(sparse.others.len() <= 1000 + 2 * DESTINATIONS, "{}", sparse.others.len());
    }
}
