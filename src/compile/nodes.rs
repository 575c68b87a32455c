//! The interval of an IPv4 address, in three loads and one compare of eight borders at once.

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;

use super::cells::Cell;
use super::instructions::{Batch, LANES, Lanes, SINGLE, dispatch};
use super::intervals::Intervals;

/// A radix trie of three levels without branches.
///
/// The upper 16 bits choose an entry of `root`; it tells how many further bits choose an entry of `directory`, and from
/// where on; that tells the same for `nodes`. A node holds up to eight intervals, found by comparing all their first
/// addresses at once. Both levels are as wide as the intervals below ask for: a lone host takes one node of 32 bytes,
/// where a table of 256 entries a level would take a kilobyte or two. PERF: what the tables take decides, not how many
/// instructions there are: beyond the second-level cache a load costs ten times as much.
#[derive(Clone, Debug, GetSize)]
pub(super) struct Nodes {
    root: Box<[Slots; ROOT_LENGTH]>,
    directory: Box<[Further]>,
    nodes: Kept,
}

const ROOT_LENGTH: usize = 1 << 16;

/// How many intervals a node holds.
const FAN: usize = LANES;

/// Where in the directory the slots of a root entry begin, and how far the lower 16 bits of an address are shifted to
/// choose one, which stands in the lowest five bits.
#[derive(Clone, Copy, Debug, Eq, GetSize, Hash, PartialEq)]
struct Slots(u32);

/// The same for the nodes of a directory entry. `first` is what must be added to the shifted bits, which still count the
/// slots before this entry's.
#[derive(Clone, Copy, Debug, Eq, GetSize, Hash, PartialEq)]
struct Further {
    first: u32,
    shift: u32,
}

impl Slots {
    fn new(first: usize, bits: u32) -> Self {
        let first = u32::try_from(first).expect("fewer slots than 2^27: each takes eight bytes and more");
        assert!(first < 1 << 27, "fewer slots than 2^27: each takes eight bytes and more");
        Self(first << 5 | (16 - bits))
    }

    #[inline(always)]
    fn chosen(self, low: u32) -> usize {
        (self.0 >> 5) as usize + (low >> (self.0 & 31)) as usize
    }
}

impl Further {
    /// The nodes of one slot: `low` is its first address's lower half.
    fn new(first: usize, low: usize, shift: u32) -> Self {
        let first = u32::try_from(first).expect("fewer nodes than 2^32: each takes 32 bytes and more");
        let before = u32::try_from(low >> shift).expect("at most 16 bits");
        Self { first: first.wrapping_sub(before), shift }
    }

    #[inline(always)]
    fn chosen(self, low: u32) -> usize {
        self.first.wrapping_add(low >> (self.shift & 31)) as usize
    }
}

/// Nodes with numbers as wide as the highest asks for.
#[derive(Clone, Debug, GetSize)]
enum Kept {
    Narrow(Box<[Node<u16>]>),
    Wide(Box<[Node<u32>]>),
}

/// Up to eight intervals that follow each other.
#[derive(Clone, Copy, Debug, Eq, GetSize, Hash, PartialEq)]
#[repr(C)]
struct Node<V> {
    /// The lower 16 bits of the first address of each, the first one's 0; behind the last interval 65,535, which holds
    /// no address below it and repeats the last cell.
    firsts: [u16; FAN],
    cells: [V; FAN],
}

impl<V: Copy> Node<V> {
    #[inline(always)]
    fn find(&self, lanes: impl Lanes, address: u32) -> V {
        // The first of them is 0.
        self.cells[(lanes.count_up_to(&self.firsts, address as u16) - 1) % FAN]
    }
}

impl Nodes {
    pub(super) fn build(intervals: &Intervals<u32>) -> Self {
        let mut builder = Builder::default();
        let mut begin = 0;
        let mut without_borders: HashMap<u32, Slots, FixedState> = HashMap::default();
        let root: Vec<Slots> = (0..=u16::MAX)
            .map(|upper| {
                let first = u32::from(upper) << 16;
                let starts = &intervals.starts[begin..];
                if starts.get(1).is_none_or(|&next| next > first | 0xffff) {
                    // PERF: most entries have no border, and those of one cell have all the same.
                    let cell = intervals.cells[begin];
                    let whole = || builder.block(first, &starts[..1], &[cell]);
                    return *without_borders.entry(cell).or_insert_with(whole);
                }
                let inside = starts.partition_point(|&start| start <= first | 0xffff);
                let before = starts.partition_point(|&start| start <= first) - 1;
                let block = begin + before..begin + inside;
                begin = block.end - 1;
                builder.block(first, &intervals.starts[block.clone()], &intervals.cells[block])
            })
            .collect();
        let root = root.into_boxed_slice().try_into().expect("there is one entry for each upper half");
        let is_narrow = intervals.cells.iter().all(|&cell| u16::try_from(cell).is_ok());
        let nodes = if is_narrow {
            let narrow = |node: Node<u32>| Node {
                firsts: node.firsts,
                cells: node.cells.map(|cell| u16::try_from(cell).expect("all cells are")),
            };
            Kept::Narrow(builder.nodes.into_iter().map(narrow).collect())
        } else {
            Kept::Wide(builder.nodes.into())
        };
        Self { root, directory: builder.directory.into(), nodes }
    }

    /// The cell of an address.
    #[inline]
    pub(super) fn find(&self, address: u32) -> u32 {
        match &self.nodes {
            Kept::Narrow(nodes) => self.levels(nodes).find(SINGLE, address).into(),
            Kept::Wide(nodes) => self.levels(nodes).find(SINGLE, address),
        }
    }

    /// The cell of each address.
    pub(super) fn find_each(&self, addresses: &[u32], cells: &mut [Cell]) {
        dispatch(FindEach { nodes: self, addresses, cells });
    }

    #[inline(always)]
    fn levels<'n, V>(&'n self, nodes: &'n [Node<V>]) -> Levels<'n, V> {
        Levels { root: &self.root, directory: &self.directory, nodes }
    }
}

/// Where the three levels lie. PERF: a loop keeps these in registers; through the boxes it would load them for each
/// address anew.
#[derive(Clone, Copy)]
struct Levels<'n, V> {
    root: &'n [Slots; ROOT_LENGTH],
    directory: &'n [Further],
    nodes: &'n [Node<V>],
}

impl<V: Copy> Levels<'_, V> {
    #[inline(always)]
    fn find(self, lanes: impl Lanes, address: u32) -> V {
        let low = address & 0xffff;
        let further = self.directory[self.root[(address >> 16) as usize].chosen(low)];
        self.nodes[further.chosen(low)].find(lanes, low)
    }
}

struct FindEach<'a> {
    nodes: &'a Nodes,
    addresses: &'a [u32],
    cells: &'a mut [Cell],
}

impl Batch for FindEach<'_> {
    #[inline(always)]
    fn run(self, lanes: impl Lanes) {
        let Self { nodes, addresses, cells } = self;
        // The width is asked once for all.
        match &nodes.nodes {
            Kept::Narrow(narrow) => {
                let levels = nodes.levels(narrow);
                for (cell, &address) in cells.iter_mut().zip(addresses) {
                    *cell = Cell(levels.find(lanes, address).into());
                }
            }
            Kept::Wide(wide) => {
                let levels = nodes.levels(wide);
                for (cell, &address) in cells.iter_mut().zip(addresses) {
                    *cell = Cell(levels.find(lanes, address));
                }
            }
        }
    }
}

#[derive(Default)]
struct Builder {
    directory: Vec<Further>,
    nodes: Vec<Node<u32>>,
    /// Where lone nodes and entries stand, which many blocks share.
    lone_nodes: HashMap<Node<u32>, usize, FixedState>,
    lone_entries: HashMap<Further, usize, FixedState>,
}

impl Builder {
    /// The slots of the 65,536 addresses from `first` on, which these intervals fill.
    fn block(&mut self, first: u32, starts: &[u32], cells: &[u32]) -> Slots {
        let borders: Vec<u16> = starts[1..].iter().map(|&start| start as u16).collect();
        let (bits, below) = layout(&borders);
        let interval_at = |low: usize| borders.partition_point(|&border| usize::from(border) <= low);
        let mut entries = Vec::with_capacity(below.len());
        for (slot, &further) in below.iter().enumerate() {
            let length = 1_usize << (16 - bits - further);
            let nodes: Vec<Node<u32>> = (0..1_usize << further)
                .map(|sub| {
                    let low = (slot << (16 - bits)) + sub * length;
                    let held = interval_at(low)..interval_at(low + length - 1) + 1;
                    let last = cells[held.end - 1];
                    let mut node = Node { firsts: [u16::MAX; FAN], cells: [last; FAN] };
                    for (place, interval) in held.enumerate() {
                        node.firsts[place] = if place == 0 { 0 } else { borders[interval - 1] };
                        node.cells[place] = cells[interval];
                    }
                    node
                })
                .collect();
            let place = shared(&mut self.nodes, &mut self.lone_nodes, nodes);
            entries.push(Further::new(place, slot << (16 - bits), 16 - bits - further));
        }
        debug_assert_eq!(first & 0xffff, 0, "blocks are those of the upper 16 bits");
        Slots::new(shared(&mut self.directory, &mut self.lone_entries, entries), bits)
    }
}

/// Puts items behind the others and tells where; a lone one is put once.
fn shared<T: Copy + Eq + std::hash::Hash>(
    all: &mut Vec<T>,
    lone: &mut HashMap<T, usize, FixedState>,
    items: Vec<T>,
) -> usize {
    let end = all.len();
    match *items {
        [item] => *lone.entry(item).or_insert_with(|| {
            all.push(item);
            end
        }),
        _ => {
            all.extend(items);
            end
        }
    }
}

/// How many bits choose an entry of the directory and, for each entry, how many choose a node: as few bytes as can be
/// with no more than eight intervals a node.
fn layout(borders: &[u16]) -> (u32, Vec<u32>) {
    if borders.len() < FAN {
        return (0, vec![0]);
    }
    let ways = (0..=8).map(|bits| {
        let inside = |slot: u32| {
            let first = slot << (16 - bits);
            let last = first + (0xffff >> bits);
            let begin = borders.partition_point(|&border| u32::from(border) <= first);
            &borders[begin..borders.partition_point(|&border| u32::from(border) <= last)]
        };
        let slots = (0..1_u32 << bits).map(inside);
        // The node of a slot without borders is shared with all others of its cell.
        let (below, nodes): (Vec<u32>, Vec<usize>) = slots
            .map(|inside| {
                let further = bits_for(inside, 16 - bits);
                (further, if inside.is_empty() { 0 } else { 1 << further })
            })
            .unzip();
        let nodes: usize = nodes.iter().sum();
        let bytes = nodes * size_of::<Node<u16>>() + below.len() * size_of::<Further>();
        (bytes, bits, below)
    });
    let (_, bits, below) = ways.min_by_key(|(bytes, ..)| *bytes).expect("there are nine ways");
    (bits, below)
}

/// How many of a slot's bits must choose a node, so that no node has more than eight intervals.
fn bits_for(borders: &[u16], slot_bits: u32) -> u32 {
    let fits = |bits: u32| {
        let shift = slot_bits - bits;
        borders.chunk_by(|&one, &next| u32::from(one) >> shift == u32::from(next) >> shift).all(|inside| {
            // A border at the node's own first address begins its first interval.
            let at_begin = usize::from(u32::from(inside[0]) & ((1 << shift) - 1) == 0);
            inside.len() - at_begin < FAN
        })
    };
    (0..slot_bits).find(|&bits| fits(bits)).expect("a node of eight addresses has no more intervals")
}
