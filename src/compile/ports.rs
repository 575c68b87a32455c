//! Sets of ports and of protocols.

use foldhash::fast::FixedState;
use get_size2::GetSize;
use hashbrown::HashMap;

use super::paged::Run;
use crate::model::prefix::PortRange;
use crate::model::rule::{Protocol, ProtocolMatch};

/// A set of ports, and what a rule's port field says of packets that carry none.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortSet {
    /// Sorted, with a gap between any two.
    ranges: Vec<PortRange>,
    /// A packet without ports fits.
    portless: bool,
}

impl PortSet {
    /// Every port: `*`.
    #[must_use]
    pub fn all() -> Self {
        Self { ranges: vec![PortRange::ALL], portless: true }
    }

    /// The ports that are in any of the ranges.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let mut sorted: Vec<PortRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut ranges: Vec<PortRange> = Vec::new();
        for range in sorted {
            let joined = ranges.last().and_then(|open| {
                let touches = u32::from(range.first()) <= u32::from(open.last()) + 1;
                PortRange::new(open.first(), open.last().max(range.last())).filter(|_| touches)
            });
            match (joined, ranges.last_mut()) {
                (Some(joined), Some(open)) => *open = joined,
                _ => ranges.push(range),
            }
        }
        // Nothing but the whole range stands for a packet without ports (NSG-10).
        let portless = ranges == [PortRange::ALL];
        Self { ranges, portless }
    }

    /// The same ports, in a field that does not count for packets without any (NSG-10, `ignored`).
    #[must_use]
    pub fn with_portless(self) -> Self {
        Self { portless: true, ..self }
    }

    /// Whether this is the whole range, however it was written.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.ranges == [PortRange::ALL]
    }

    /// Whether a packet with this port fits; one that carries none fits the whole range only (NSG-10),
    /// or what was made [with it](Self::with_portless).
    #[must_use]
    pub fn contains(&self, port: Option<u16>) -> bool {
        match port {
            Some(port) => self.ranges.iter().any(|range| range.contains(port)),
            None => self.portless,
        }
    }

    /// The ports of the set that are in the range too.
    #[must_use]
    pub fn within(&self, range: PortRange) -> Self {
        let cut =
            |own: &PortRange| PortRange::new(own.first().max(range.first()), own.last().min(range.last()));
        Self::from_ranges(self.ranges.iter().filter_map(cut))
    }

    /// The ports as ranges, sorted, with a gap between any two.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }
}

/// A set of IP protocols.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProtocolSet {
    bits: [u64; 4],
}

impl ProtocolSet {
    /// Every protocol, ESP and AH included (NSG-6).
    #[must_use]
    pub fn all() -> Self {
        Self { bits: [u64::MAX; 4] }
    }

    /// One protocol.
    #[must_use]
    pub fn one(protocol: Protocol) -> Self {
        let mut set = Self::default();
        set.insert(protocol);
        set
    }

    /// What a rule's protocol field covers; nothing is known of a field that Azure does not take.
    #[must_use]
    pub fn of(field: &ProtocolMatch) -> Option<Self> {
        match field {
            ProtocolMatch::Any => Some(Self::all()),
            ProtocolMatch::Is(protocol) => Some(Self::one(*protocol)),
            ProtocolMatch::Invalid(_) => None,
        }
    }

    /// The protocols that both sets hold.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let mut bits = self.bits;
        for (word, other) in bits.iter_mut().zip(other.bits) {
            *word &= other;
        }
        Self { bits }
    }

    /// Adds a protocol.
    pub fn insert(&mut self, protocol: Protocol) {
        self.bits[usize::from(protocol.0 / 64)] |= 1 << (protocol.0 % 64);
    }

    /// The set less one protocol.
    #[must_use]
    pub fn without(self, protocol: Protocol) -> Self {
        let mut bits = self.bits;
        bits[usize::from(protocol.0 / 64)] &= !(1 << (protocol.0 % 64));
        Self { bits }
    }

    /// Whether the protocol is one of them.
    #[must_use]
    pub fn contains(self, protocol: Protocol) -> bool {
        self.bits[usize::from(protocol.0 / 64)] >> (protocol.0 % 64) & 1 == 1
    }
}

/// A port, or the place behind all ports for a packet that carries none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PortPlace(u32);

impl PortPlace {
    /// The place of a packet without ports.
    pub const NONE: Self = Self(NO_PORT);
}

impl From<Option<u16>> for PortPlace {
    #[inline]
    fn from(port: Option<u16>) -> Self {
        Self(port.map_or(NO_PORT, u32::from))
    }
}

impl From<u16> for PortPlace {
    #[inline]
    fn from(port: u16) -> Self {
        Self(port.into())
    }
}

/// The place of a packet without ports, behind all ports.
pub(super) const NO_PORT: u32 = u16::MAX as u32 + 1;
/// How many places there are: all ports, and none.
pub(super) const PLACES: u32 = NO_PORT + 1;

/// A number for each port and for the packet that carries none.
///
/// In pages rather than one array of 65,537: a policy's ports are few pages, which stay in the first-level cache.
/// Policies that split the ports alike share the whole table.
#[derive(Clone, Debug, GetSize)]
pub struct PortTable {
    /// For each page of places, where its numbers begin.
    pages: Box<[u32; PAGES]>,
    numbers: Box<[u32]>,
}

const PAGE_LENGTH: usize = 256;
/// A power of two, so that no place needs a check; only the first of those behind the ports is used.
const PAGES: usize = 512;

impl PortTable {
    /// The table of these runs of places, the first from 0 on: the id of each run, times `factor`.
    pub(super) fn build(runs: &[Run], factor: u32) -> Self {
        let mut known: HashMap<[u32; PAGE_LENGTH], u32, FixedState> = HashMap::default();
        let (mut pages, mut numbers) = (Box::new([0; PAGES]), Vec::new());
        let mut run = 0;
        for (page, begin) in pages.iter_mut().enumerate() {
            let mut content = [0; PAGE_LENGTH];
            for (entry, number) in content.iter_mut().enumerate() {
                let place = page * PAGE_LENGTH + entry;
                while runs.get(run + 1).is_some_and(|run| run.first as usize <= place) {
                    run += 1;
                }
                *number = runs[run].id * factor;
            }
            *begin = *known.entry(content).or_insert_with(|| {
                numbers.extend(content);
                u32::try_from(numbers.len() - PAGE_LENGTH).expect("no more than there are places")
            });
        }
        Self { pages, numbers: numbers.into() }
    }

    /// Where it lies, for a loop to keep at hand.
    #[inline(always)]
    pub(super) fn view(&self) -> PortView<'_> {
        PortView { pages: &self.pages, numbers: &self.numbers }
    }
}

/// Where a table of ports lies.
#[derive(Clone, Copy)]
pub(super) struct PortView<'t> {
    pages: &'t [u32; PAGES],
    numbers: &'t [u32],
}

impl PortView<'_> {
    /// The number of a port, or of none.
    #[inline(always)]
    pub(super) fn number(self, PortPlace(place): PortPlace) -> u32 {
        let begin = self.pages[place as usize / PAGE_LENGTH % PAGES];
        self.numbers[begin as usize + place as usize % PAGE_LENGTH]
    }
}

#[cfg(test)]
mod tests {
    use super::{PortSet, ProtocolSet};
    use crate::model::rule::Protocol;

    fn set(texts: &[&str]) -> PortSet {
        PortSet::from_ranges(texts.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn ranges_that_touch_or_overlap_are_one() {
        assert_eq!(set(&["20-30", "5", "6-9", "25-40", "22"]), set(&["5-9", "20-40"]));
        assert_eq!(set(&["5-9", "20-40"]).ranges().len(), 2);
    }

    #[test]
    fn the_whole_range_is_known_however_it_is_written() {
        for texts in [&["*"][..], &["0-65535"], &["32768-65535", "0-32767"], &["80", "*"]] {
            assert!(set(texts).is_all(), "{texts:?}");
        }
        assert!(!set(&["1-65535"]).is_all());
    }

    /// NSG-10.
    #[test]
    fn a_packet_without_ports_fits_the_whole_range_only() {
        assert!(PortSet::all().contains(None));
        assert!(!set(&["0-65534"]).contains(None));
        assert!(!PortSet::default().contains(None));
    }

    /// NSG-10, `ignored`.
    #[test]
    fn a_field_that_does_not_count_fits_a_packet_without_ports() {
        let narrow = set(&["80"]).with_portless();
        assert!(narrow.contains(None) && narrow.contains(Some(80)) && !narrow.contains(Some(81)));
        assert!(!narrow.is_all());
    }

    #[test]
    fn a_protocol_set_holds_what_was_put_in() {
        let mut set = ProtocolSet::one(Protocol::TCP);
        set.insert(Protocol(255));
        let held: Vec<u8> = (0..=255).filter(|&number| set.contains(Protocol(number))).collect();
        assert_eq!(held, [6, 255]);
        assert!((0..=255).all(|number| ProtocolSet::all().contains(Protocol(number))));
    }
}
