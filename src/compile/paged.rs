//! Maps from a dense range of numbers to small ids, in one piece or in pages that maps share.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::{HashMap, HashTable};

const PAGE_LENGTH: usize = 256;

type Page<I> = [I; PAGE_LENGTH];

/// Numbers from 0 up to some length, each with an id: one load a look-up where the pool has room for it, otherwise
/// three, one after the other.
///
/// Pages with the same content exist once in all maps of one [`PagePool`], and so do whole maps. A policy that
/// knows a few subnets is almost all one page, and policies with the same tags share what the tags look like.
#[derive(Clone, Debug, GetSize)]
pub struct PagedMap {
    pages: Pages,
}

#[derive(Clone, Debug, GetSize)]
enum Pages {
    /// Without pages.
    Flat(Box<[u16]>),
    Narrow(Box<[Arc<Page<u16>>]>),
    /// For a map with an id above 65,535.
    Wide(Box<[Arc<Page<u32>>]>),
}

impl PagedMap {
    /// The id of a number.
    ///
    /// # Panics
    ///
    /// If the number lies in a page behind the map's end.
    #[inline]
    #[must_use]
    pub fn get(&self, number: u32) -> u32 {
        let (page, entry) = (number as usize / PAGE_LENGTH, number as usize % PAGE_LENGTH);
        match &self.pages {
            Pages::Flat(ids) => ids[number as usize].into(),
            Pages::Narrow(pages) => pages[page][entry].into(),
            Pages::Wide(pages) => pages[page][entry],
        }
    }

    /// The ids, where they are in one piece.
    #[inline]
    pub(super) fn flat(&self) -> Option<&[u16]> {
        match &self.pages {
            Pages::Flat(ids) => Some(ids),
            Pages::Narrow(_) | Pages::Wide(_) => None,
        }
    }
}

/// From `first` on, up to the next run, all numbers have the same id.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Run {
    /// The first number.
    pub first: u32,
    /// The id of all.
    pub id: u32,
}

/// Builds maps and keeps one copy of each page. Dropped once all are built: the maps own what they need.
#[derive(Debug, Default)]
pub struct PagePool {
    /// Up to this length a map is in one piece.
    flat_length: usize,
    flat: HashMap<(usize, Box<[Run]>), Arc<PagedMap>, FixedState>,
    narrow: Shelf<u16>,
    wide: Shelf<u32>,
}

impl PagePool {
    /// A pool whose maps are in one piece up to this length.
    #[must_use]
    pub fn with_flat(flat_length: usize) -> Self {
        Self { flat_length, ..Self::default() }
    }

    /// The map of the numbers below `length`; the runs ascend from number 0.
    ///
    /// # Panics
    ///
    /// If the first run does not begin at 0.
    pub fn map(&mut self, length: usize, runs: &[Run]) -> Arc<PagedMap> {
        assert_eq!(runs.first().map(|run| run.first), Some(0), "the first run begins at 0");
        let is_narrow = runs.iter().all(|run| u16::try_from(run.id).is_ok());
        if is_narrow && length <= self.flat_length {
            let flat = || Arc::new(PagedMap { pages: Pages::Flat(flat(length, runs)) });
            Arc::clone(self.flat.entry((length, runs.into())).or_insert_with(flat))
        } else if is_narrow {
            self.narrow.map(length, runs, Pages::Narrow)
        } else {
            self.wide.map(length, runs, Pages::Wide)
        }
    }
}

fn flat(length: usize, runs: &[Run]) -> Box<[u16]> {
    let ends = runs[1..].iter().map(|run| run.first as usize).chain([length]);
    let mut ids = Vec::with_capacity(length);
    for (run, end) in runs.iter().zip(ends) {
        ids.resize(end, narrowed(run.id));
    }
    ids.into()
}

/// The pages and maps of one width.
#[derive(Debug)]
struct Shelf<I> {
    pages: Vec<Arc<Page<I>>>,
    by_content: HashTable<u32>,
    /// Pages with one id throughout, which are most.
    uniform: HashMap<u32, u32, FixedState>,
    /// By the numbers of their pages.
    maps: HashMap<Box<[u32]>, Arc<PagedMap>, FixedState>,
}

impl<I> Default for Shelf<I> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            by_content: HashTable::new(),
            uniform: HashMap::default(),
            maps: HashMap::default(),
        }
    }
}

impl<I: Copy + Default + Eq + Hash + TryFrom<u32>> Shelf<I> {
    fn map(
        &mut self,
        length: usize,
        runs: &[Run],
        pages: impl FnOnce(Box<[Arc<Page<I>>]>) -> Pages,
    ) -> Arc<PagedMap> {
        let mut run = 0;
        let numbers: Box<[u32]> =
            (0..length.div_ceil(PAGE_LENGTH)).map(|page| self.page(page, runs, &mut run)).collect();
        if let Some(map) = self.maps.get(&numbers) {
            return Arc::clone(map);
        }
        let shared = numbers.iter().map(|&number| Arc::clone(&self.pages[number as usize])).collect();
        let map = Arc::new(PagedMap { pages: pages(shared) });
        self.maps.insert(numbers, Arc::clone(&map));
        map
    }

    /// The number of the page with what the runs say; `run` is the one in which the page before ended.
    fn page(&mut self, page: usize, runs: &[Run], run: &mut usize) -> u32 {
        let begins_by =
            |run: usize, number: usize| runs.get(run).is_some_and(|run| run.first as usize <= number);
        let first = page * PAGE_LENGTH;
        while begins_by(*run + 1, first) {
            *run += 1;
        }
        let id = runs[*run].id;
        if !begins_by(*run + 1, first + PAGE_LENGTH - 1) {
            if let Some(&number) = self.uniform.get(&id) {
                return number;
            }
            let number = self.shared([narrowed(id); PAGE_LENGTH]);
            self.uniform.insert(id, number);
            return number;
        }
        let mut content = [I::default(); PAGE_LENGTH];
        for (entry, id) in content.iter_mut().enumerate() {
            while begins_by(*run + 1, first + entry) {
                *run += 1;
            }
            *id = narrowed(runs[*run].id);
        }
        self.shared(content)
    }

    fn shared(&mut self, content: Page<I>) -> u32 {
        let hasher = FixedState::default();
        let hash = hasher.hash_one(content);
        if let Some(&number) = self.by_content.find(hash, |&number| *self.pages[number as usize] == content) {
            return number;
        }
        let number = u32::try_from(self.pages.len()).expect("fewer pages than 2^32: each takes 512 bytes");
        self.pages.push(Arc::new(content));
        let pages = &self.pages;
        self.by_content.insert_unique(hash, number, |&number| hasher.hash_one(*pages[number as usize]));
        number
    }
}

fn narrowed<I: TryFrom<u32>>(id: u32) -> I {
    I::try_from(id).ok().expect("a map is narrow only if its ids are")
}
