//! Entries laid out so that a packet's first is found in a few loads: both addresses' classes, the row of their pair, and
//! what the row says of the packet's ports and protocol.

use std::sync::Arc;

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;

use super::classifier::{BATCH, Key};
use super::paged::PagedMap;
use super::pairs::{Pairs, RowFinder, RowsOfSource};
use super::services::Services;
use super::sweep::{Vectors, VectorsView};

/// How many entries a part may hold: they are numbered in 16 bits, and its vectors, while it is built, grow with the
/// square of that.
pub(super) const MOST_ENTRIES: usize = 1 << 14;

/// How many marks may be set to find out which entries meet: a fraction of a second.
pub(super) const MOST_WORK: usize = 1 << 26;

/// Some of a classifier's entries, which are asked together.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Part {
    source: Arc<PagedMap>,
    destination: Arc<PagedMap>,
    pairs: Pairs,
    outcome: Outcome,
    /// The place of each entry in its stretch of the list; behind the last stands [`super::classifier::NO_ENTRY`].
    places: Box<[u32]>,
}

/// What a row says.
#[derive(Clone, Debug, GetSize)]
enum Outcome {
    /// By row, then by column: the first entry.
    Table {
        /// By service class: the column.
        columns: Box<[u16]>,
        width: u32,
        first: Box<[u16]>,
    },
    /// The entries of a row, three at a time: a record for each row, and behind them those that go on.
    Lists { listed: Box<[Listed]>, rows: usize },
}

/// Three entries of a row, first tried first, and where the next three stand.
#[derive(Clone, Copy, Debug, GetSize)]
struct Listed {
    /// The service that each asks for; number 0 for an entry that is not there.
    services: [u16; LISTED],
    /// Behind them what stands for no entry.
    entries: [u16; LISTED + 1],
    next: u32,
}

const LISTED: usize = 3;

/// In place of a next record.
const END: u32 = u32::MAX;

/// What a part is made of.
pub(super) struct Ingredients<'e> {
    /// From cells to source classes, and the entries that hold each.
    pub(super) sources: (Arc<PagedMap>, Vectors),
    /// From cells to destination classes, and the entries that hold each.
    pub(super) destinations: (Arc<PagedMap>, Vectors),
    /// The number of the service that each entry asks for.
    pub(super) service_of: Vec<u16>,
    /// The place of each entry in its stretch of the list, ascending.
    pub(super) places: &'e [u32],
}

impl Part {
    /// Lays the entries out; nothing where that takes more than `most_bytes`, or too long to find out.
    pub(super) fn build(
        services: &Services,
        of: Ingredients<'_>,
        most_bytes: usize,
        most_work: usize,
    ) -> Option<Self> {
        let Ingredients { sources: (source, sources), destinations: (destination, destinations), .. } = of;
        let (service_of, places) = (of.service_of, of.places);
        let destinations_of = inverted(&destinations, places.len());
        let held: Vec<Vec<u16>> = sources.each().map(ones).collect();
        let work = |list: &Vec<u16>| -> usize {
            list.iter().map(|&entry| destinations_of[usize::from(entry)].len()).sum()
        };
        if held.iter().map(work).sum::<usize>() > most_work {
            return None;
        }
        let everywhere = everywhere(services.held());
        let always: Vec<bool> = service_of.iter().map(|&service| is_set(&everywhere, service)).collect();
        let mut finder = RowFinder::new(destinations.count(), &destinations_of, &always);
        let rows: Option<Vec<RowsOfSource>> = held.iter().map(|entries| finder.rows_of(entries)).collect();
        let outcome = Outcome::build(services.held(), &finder.lists, &service_of, most_bytes)?;
        let pairs = Pairs::build(&rows?, destinations.count());
        let places = places.iter().copied().chain([super::classifier::NO_ENTRY]).collect();
        let part = Self { source, destination, pairs, outcome, places };
        (part.table_bytes() <= most_bytes).then_some(part)
    }

    /// Memory of what no other classifier shares.
    pub(super) fn table_bytes(&self) -> usize {
        self.pairs.get_heap_size() + self.outcome.get_heap_size() + self.places.get_heap_size()
    }

    /// How much a look-up costs, in loads from the first-level cache.
    pub(super) fn cost(&self, held: &Vectors) -> usize {
        let maps = 2 * load_cost(self.source.get_heap_size());
        let pairs = match &self.pairs {
            Pairs::Whole(_) => load_cost(self.pairs.get_heap_size()),
            // Two loads, of which the second waits for the first.
            Pairs::Sparse(_) => 2 * load_cost(self.pairs.get_heap_size()),
        };
        let outcome = match &self.outcome {
            Outcome::Table { first, .. } => 1 + load_cost(size_of_val(&**first)),
            Outcome::Lists { listed, rows } => {
                // Half of a row's records are looked at; each waits for the one before it.
                let records = 1 + (listed.len() / rows - 1).div_ceil(2);
                records * (load_cost(size_of_val(&**listed)) + LISTED * load_cost(held.get_heap_size()))
            }
        };
        maps + pairs + outcome
    }

    /// The place of the first entry that the packet fits, or [`super::classifier::NO_ENTRY`].
    #[inline]
    pub(super) fn first_match(&self, services: &Services, key: &Key, service: u32) -> u32 {
        let source = self.source.get(key.source.0);
        let destination = self.destination.get(key.destination.0);
        let row = self.pairs.row(source, destination);
        let entry = match &self.outcome {
            Outcome::Table { columns, width, first } => {
                first[(row * width + u32::from(columns[service as usize])) as usize].into()
            }
            Outcome::Lists { listed, .. } => listed_first(listed, services.held().view(), row, service),
        };
        self.places[entry]
    }

    /// As [`Part::first_match`], for many: an answer counts where it stands ahead of the one that is there.
    #[inline(always)]
    pub(super) fn first_matches(
        &self,
        services: &Services,
        keys: &[Key],
        of: &[u32; BATCH],
        found: &mut [u32],
    ) {
        let mut rows = [0; BATCH];
        self.rows(keys, &mut rows);
        let places = &*self.places;
        match &self.outcome {
            Outcome::Table { columns, width, first } => {
                let (columns, width, first) = (&**columns, *width, &**first);
                for ((found, &row), &service) in found.iter_mut().zip(&rows).zip(of) {
                    let cell = row * width + u32::from(columns[service as usize]);
                    *found = (*found).min(places[usize::from(first[cell as usize])]);
                }
            }
            Outcome::Lists { listed, .. } => {
                let (listed, held) = (&**listed, services.held().view());
                for ((found, &row), &service) in found.iter_mut().zip(&rows).zip(of) {
                    let entry = listed_first(listed, held, row, service);
                    *found = (*found).min(places[entry]);
                }
            }
        }
    }

    /// The row of each packet's pair of addresses.
    #[inline(always)]
    fn rows(&self, keys: &[Key], rows: &mut [u32; BATCH]) {
        // The forms are asked once for all.
        match (self.source.flat(), self.destination.flat(), &self.pairs) {
            (Some(source), Some(destination), Pairs::Whole(whole)) => {
                let whole = whole.view();
                for (row, key) in rows.iter_mut().zip(keys) {
                    let (source, destination) =
                        (source[key.source.0 as usize], destination[key.destination.0 as usize]);
                    *row = whole.row(source.into(), destination.into());
                }
            }
            (Some(source), Some(destination), Pairs::Sparse(sparse)) => {
                let sparse = sparse.view();
                for (row, key) in rows.iter_mut().zip(keys) {
                    let (source, destination) =
                        (source[key.source.0 as usize], destination[key.destination.0 as usize]);
                    *row = sparse.row(source.into(), destination.into());
                }
            }
            _ => {
                for (row, key) in rows.iter_mut().zip(keys) {
                    let source = self.source.get(key.source.0);
                    *row = self.pairs.row(source, self.destination.get(key.destination.0));
                }
            }
        }
    }
}

#[inline(always)]
fn listed_first(listed: &[Listed], held: VectorsView<'_>, row: u32, service: u32) -> usize {
    let asked = held.of(service);
    let mut record = &listed[row as usize];
    loop {
        // PERF: no branch on which of them fits, which is as good as random.
        let [first, second, third] = record.services.map(|service| u32::from(is_set(asked, service)));
        let fits = first | second << 1 | third << 2;
        if fits != 0 || record.next == END {
            return record.entries[(fits | 1 << LISTED).trailing_zeros() as usize].into();
        }
        record = &listed[record.next as usize];
    }
}

#[inline(always)]
fn is_set(words: &[u64], bit: u16) -> bool {
    words[usize::from(bit) / 64] >> (bit % 64) & 1 == 1
}

impl Outcome {
    fn build(held: &Vectors, lists: &[Vec<u16>], service_of: &[u16], most_bytes: usize) -> Option<Self> {
        let lists_bytes =
            size_of::<Listed>() * lists.iter().map(|list| list.len().div_ceil(LISTED).max(1)).sum::<usize>();
        // PERF: a table is one load where a list is several; up to a quarter of the second-level cache it stays there.
        let (columns, parts_of) = columns(held, lists, service_of);
        let width = parts_of.len();
        let table_bytes = width.saturating_mul(lists.len()) * size_of::<u16>();
        if table_bytes <= most_bytes.min(lists_bytes.saturating_mul(2).max(SMALL_TABLE_BYTES)) {
            return Some(Self::table(columns, &parts_of, held, lists, service_of));
        }
        (lists_bytes <= most_bytes).then(|| Self::listed(lists, service_of))
    }

    fn table(
        columns: Box<[u16]>,
        parts_of: &[u32],
        held: &Vectors,
        lists: &[Vec<u16>],
        service_of: &[u16],
    ) -> Self {
        let width = parts_of.len();
        let none = u16::try_from(service_of.len()).expect("a part's entries are numbered in 16 bits");
        // Which columns each service holds.
        let mut columns_of: HashMap<u16, Vec<u16>, FixedState> = HashMap::default();
        for &entry in lists.iter().flatten() {
            let service = service_of[usize::from(entry)];
            columns_of.entry(service).or_insert_with(|| {
                let holds = |&(_, &class): &(u16, &u32)| is_set(held.of(class), service);
                (0..).zip(parts_of).filter(holds).map(|(column, _)| column).collect()
            });
        }
        let mut first = vec![none; width * lists.len()];
        for (row, list) in first.chunks_exact_mut(width).zip(lists) {
            // The last tried first, so that those ahead of it take its place.
            for &entry in list.iter().rev() {
                for &column in &columns_of[&service_of[usize::from(entry)]] {
                    row[usize::from(column)] = entry;
                }
            }
        }
        let width = u32::try_from(width).expect("no more than service classes, which 16 bits number");
        Self::Table { columns, width, first: first.into() }
    }

    fn listed(lists: &[Vec<u16>], service_of: &[u16]) -> Self {
        let none = u16::try_from(service_of.len()).expect("a part's entries are numbered in 16 bits");
        let record = |entries: &[u16]| {
            let mut listed = Listed { services: [0; LISTED], entries: [none; LISTED + 1], next: END };
            for (place, &entry) in entries.iter().enumerate() {
                listed.services[place] = service_of[usize::from(entry)];
                listed.entries[place] = entry;
            }
            listed
        };
        let mut listed: Vec<Listed> =
            lists.iter().map(|list| record(&list[..list.len().min(LISTED)])).collect();
        for (row, list) in lists.iter().enumerate() {
            let mut last = row;
            for entries in list.chunks(LISTED).skip(1) {
                listed[last].next = u32::try_from(listed.len()).expect("fewer records than END");
                last = listed.len();
                listed.push(record(entries));
            }
        }
        Self::Lists { listed: listed.into(), rows: lists.len() }
    }
}

const SMALL_TABLE_BYTES: usize = 256 << 10;

/// The column of each service class: classes that no entry of these lists tells apart share one. And a class of each
/// column.
fn columns(held: &Vectors, lists: &[Vec<u16>], service_of: &[u16]) -> (Box<[u16]>, Vec<u32>) {
    let mut asked = vec![0_u64; held.words_each()];
    for &entry in lists.iter().flatten() {
        let service = usize::from(service_of[usize::from(entry)]);
        asked[service / 64] |= 1 << (service % 64);
    }
    let mut known: HashMap<Vec<u64>, u16, FixedState> = HashMap::default();
    let mut parts_of = Vec::new();
    let columns = (0..).zip(held.each()).map(|(class, words)| {
        let told: Vec<u64> = words.iter().zip(&asked).map(|(word, asked)| word & asked).collect();
        *known.entry(told).or_insert_with(|| {
            parts_of.push(class);
            u16::try_from(parts_of.len() - 1).expect("no more columns than service classes")
        })
    });
    (columns.collect(), parts_of)
}

/// The services that every packet fits.
fn everywhere(held: &Vectors) -> Vec<u64> {
    let mut everywhere = vec![u64::MAX; held.words_each()];
    for words in held.each() {
        for (all, word) in everywhere.iter_mut().zip(words) {
            *all &= word;
        }
    }
    everywhere
}

/// The places of the bits that are set.
fn ones(words: &[u64]) -> Vec<u16> {
    let mut places = Vec::new();
    for (index, &word) in words.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            let place = index * 64 + rest.trailing_zeros() as usize;
            places.push(u16::try_from(place).expect("a part's entries are numbered in 16 bits"));
            rest &= rest - 1;
        }
    }
    places
}

/// For each entry the classes that it holds, ascending.
fn inverted(classes: &Vectors, entries: usize) -> Vec<Vec<u16>> {
    let mut held = vec![Vec::new(); entries];
    for (class, words) in classes.each().enumerate() {
        let class = u16::try_from(class).expect("no more classes than twice the entries of a part");
        for entry in ones(words) {
            held[usize::from(entry)].push(class);
        }
    }
    held
}

/// What a load from a table of so many bytes costs, beside one from the first-level cache. Roughly: which of two forms is
/// the better one does not hang on the last quarter.
fn load_cost(bytes: usize) -> usize {
    match bytes {
        0..0x8000 => 1,
        0x8000..0x4_0000 => 2,
        0x4_0000..0x10_0000 => 4,
        0x10_0000..0x40_0000 => 8,
        _ => 24,
    }
}
