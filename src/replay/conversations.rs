//! Which packets belong together: the conversations that are open, found by their five-tuples.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::counts::DeciderId;
use super::tally::Hit;
use crate::model::flow::{FiveTuple, Port, TcpFlags};
use crate::model::flow_log::Volume;
use crate::model::record::{Location, Record};
use crate::model::recorded::{RecordedFlow, RecordedVerdict};
use crate::model::rule::Direction;
use crate::model::verdict::{Interface, Verdict, VerdictKind};
use crate::simulate::flow_map::{FlowMap, FlowMapKey};
use std::net::IpAddr;

/// A pause after which packets that no record joins count as a new flow: the default idle time (STATE-6).
const PAUSE_NS: u64 = 240_000_000_000;

impl<'r> From<&'r Record> for Seen<'r> {
    fn from(record: &'r Record) -> Self {
        Self { location: record.location, hit: record.into(), returned: Returned::default(), recorded: None }
    }
}

impl<'r> From<&'r RecordedFlow> for Seen<'r> {
    fn from(flow: &'r RecordedFlow) -> Self {
        let Volume { packets, bytes } = flow.returned;
        let returned = Returned { packets: packets.unwrap_or(0), bytes: bytes.unwrap_or(0) };
        Self { location: flow.location, hit: flow.into(), returned, recorded: flow.verdict.as_ref() }
    }
}

/// Packets of one five-tuple, both directions if it was let in, that belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conversation {
    /// The five-tuple of its first packet, sources as they were before translation; the identifier of an echo
    /// stands in place of its ports.
    pub tuple: FiveTuple,
    /// What became of its first packet.
    pub verdict: Verdict,
    /// Where its first packet stands.
    pub location: Location,
    /// Time of the first and the last packet, by the clock of the replay.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Which of them went back, from the first packet's destination to its source.
    pub returned: Returned,
    /// What its record said became of it, where it was recorded and not captured.
    pub recorded: Option<RecordedVerdict>,
    /// The interface that logged it, and which way it began there, where it was logged.
    pub at: Option<(Interface, Direction)>,
}

/// What went back in a conversation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Returned {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Returned {
    /// Adds what was counted of a record.
    pub(super) fn add(&mut self, packets: u64, bytes: u64) {
        self.packets = self.packets.saturating_add(packets);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What is remembered of a conversation to tell which packets are its own.
///
/// PERF: less than a cache line with its key for IPv4; what only rows show stands elsewhere.
#[derive(Clone, Copy, Debug)]
struct Open {
    last_ns: u64,
    /// Where its first packet stands.
    first: Location,
    /// What decided about its first packet.
    decider: DeciderId,
    kind: VerdictKind,
    fin_forward: bool,
    fin_back: bool,
    closed: bool,
}

/// The conversations of one share of the flows, bounded in number.
pub(super) struct Conversations {
    packed: FlowMap<Open>,
    /// Those whose five-tuples cannot be packed.
    others: HashMap<FiveTuple, Open, FixedState>,
    most: usize,
    /// What rows show of those that are open, where they are wanted.
    rows: Option<HashMap<Key, Conversation, FixedState>>,
    /// Those that ended, in the order of their ends, where rows are wanted.
    pub(super) ended: Vec<Conversation>,
}

/// What rows show of a packet, or of a recorded flow.
#[derive(Clone, Copy)]
pub struct Seen<'r> {
    /// Where it stands.
    pub location: Location,
    /// What is counted of it.
    pub hit: Hit,
    /// Which of that went from its destination to its source.
    pub returned: Returned,
    /// What its record said became of it.
    pub recorded: Option<&'r RecordedVerdict>,
}

/// A packet that is to join a conversation.
pub(super) struct Joining<'r> {
    pub(super) seen: Seen<'r>,
    /// Its five-tuple, as [`Conversation::tuple`] has it.
    pub(super) tuple: FiveTuple,
    /// The same with the private addresses behind public ones: both directions of a flow that was seen outside are one
    /// conversation.
    pub(super) private: FiveTuple,
    pub(super) tcp: Option<TcpFlags>,
    pub(super) verdict: &'r Verdict,
    pub(super) decider: DeciderId,
    /// Records of open flows alone let it through.
    pub(super) continued: bool,
    pub(super) now_ns: u64,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Key {
    Packed(FlowMapKey),
    Other(FiveTuple),
}

impl Conversations {
    /// Keeps at most `most`; those that end are handed out if `rows` are wanted.
    pub(super) fn new(most: usize, rows: bool) -> Self {
        Self {
            packed: FlowMap::default(),
            others: HashMap::default(),
            most,
            rows: rows.then(HashMap::default),
            ended: Vec::new(),
        }
    }

    /// A packet that stands alone, as a conversation of its own.
    pub(super) fn alone(&mut self, joining: &Joining<'_>) {
        if self.rows.is_some() {
            let mut alone = joining.conversation();
            alone.add(joining, true);
            self.ended.push(alone);
        }
    }

    /// Finds the conversation that a packet belongs to, or opens one: where its first packet stands, whether this is
    /// the first, and what decided about the first.
    pub(super) fn join(&mut self, joining: &Joining<'_>) -> (Location, bool, DeciderId) {
        let Joining { seen, private, tcp, decider, now_ns, .. } = *joining;
        let (key, kind) = (Key::of(private), joining.verdict.kind());
        let forward = self.get(key).is_some();
        let found = if forward { key } else { Key::of(private.reversed()) };
        if let Some(open) = self.get(found) {
            let recent = now_ns.saturating_sub(open.last_ns) <= PAUSE_NS;
            let again = forward && recent && open.decider == decider;
            let reopened = open.closed && tcp.is_some_and(TcpFlags::opens);
            if !reopened && ((joining.continued && open.kind == kind) || again) {
                open.add(tcp, forward, now_ns);
                let (first, decider) = (open.first, open.decider);
                if let Some(row) = self.rows.as_mut().and_then(|rows| rows.get_mut(&found)) {
                    row.add(joining, forward);
                }
                return (first, false, decider);
            }
        }
        // The same five-tuple with another verdict, or after a pause: another flow.
        self.end(key);
        if self.packed.len() + self.others.len() >= self.most {
            self.make_room(now_ns);
        }
        let first = seen.location;
        let mut open = Open {
            last_ns: now_ns,
            first,
            decider,
            kind,
            fin_forward: false,
            fin_back: false,
            closed: false,
        };
        open.add(tcp, true, now_ns);
        match key {
            Key::Packed(key) => self.packed.insert(key, open),
            Key::Other(key) => self.others.insert(key, open),
        };
        if let Some(rows) = &mut self.rows {
            let mut row = joining.conversation();
            row.add(joining, true);
            rows.insert(key, row);
        }
        (first, true, decider)
    }

    /// Has the conversation that a packet of this direction opened brought into the caches.
    #[inline]
    pub(super) fn fetch(&self, tuple: FiveTuple) {
        if let Key::Packed(key) = Key::of(tuple) {
            self.packed.fetch(&key);
        }
    }

    fn get(&mut self, key: Key) -> Option<&mut Open> {
        match key {
            Key::Packed(key) => self.packed.get_mut(&key),
            Key::Other(key) => self.others.get_mut(&key),
        }
    }

    fn end(&mut self, key: Key) {
        let ended = match key {
            Key::Packed(key) => self.packed.remove(&key),
            Key::Other(key) => self.others.remove(&key),
        };
        if let (Some(_), Some(rows)) = (ended, &mut self.rows) {
            self.ended.extend(rows.remove(&key));
        }
    }

    /// Conversations that paused leave first, then the longest idle eighth: they only end earlier than they might.
    fn make_room(&mut self, now_ns: u64) {
        let packed = self.packed.iter().map(|(key, open)| (open.last_ns, open.first, Key::Packed(*key)));
        let others = self.others.iter().map(|(key, open)| (open.last_ns, open.first, Key::Other(*key)));
        let mut idle: Vec<(u64, Location, Key)> = packed.chain(others).collect();
        // No two begin with the same packet.
        idle.sort_unstable_by_key(|(last_ns, first, _)| (*last_ns, *first));
        let paused = idle.partition_point(|(last_ns, ..)| now_ns.saturating_sub(*last_ns) > PAUSE_NS);
        let leaving = paused.max(self.most / 8).max(1);
        for (_, _, key) in idle.into_iter().take(leaving) {
            self.end(key);
        }
    }

    /// Ends everything that is open.
    pub(super) fn finish(&mut self) {
        self.packed.clear();
        self.others.clear();
        if let Some(rows) = &mut self.rows {
            let mut open: Vec<Conversation> = rows.drain().map(|(_, open)| open).collect();
            // One row of a table may tell of several flows.
            open.sort_unstable_by_key(|open| (open.location, open.tuple));
            self.ended.extend(open);
        }
    }
}

impl Joining<'_> {
    fn conversation(&self) -> Conversation {
        Conversation {
            tuple: self.tuple,
            verdict: self.verdict.clone(),
            location: self.seen.location,
            first_ns: self.now_ns,
            last_ns: self.now_ns,
            packets: 0,
            bytes: 0,
            returned: Returned::default(),
            recorded: self.seen.recorded.cloned(),
            at: None,
        }
    }
}

impl Conversation {
    /// Counts what joins it: of this direction, or of the other one.
    fn add(&mut self, joining: &Joining<'_>, forward: bool) {
        let Seen { hit, returned, .. } = joining.seen;
        self.packets = self.packets.saturating_add(hit.packets);
        self.bytes = self.bytes.saturating_add(hit.bytes);
        if forward {
            self.returned.add(returned.packets, returned.bytes);
        } else {
            let sent =
                (hit.packets.saturating_sub(returned.packets), hit.bytes.saturating_sub(returned.bytes));
            self.returned.add(sent.0, sent.1);
        }
        self.last_ns = self.last_ns.max(joining.now_ns);
    }
}

impl Open {
    fn add(&mut self, tcp: Option<TcpFlags>, forward: bool, now_ns: u64) {
        self.last_ns = self.last_ns.max(now_ns);
        if let Some(flags) = tcp {
            if flags.fin {
                if forward {
                    self.fin_forward = true;
                } else {
                    self.fin_back = true;
                }
            }
            self.closed |= flags.rst || (self.fin_forward && self.fin_back);
        }
    }
}

impl Key {
    fn of(tuple: FiveTuple) -> Self {
        let FiveTuple { source, destination, protocol, source_port, destination_port } = tuple;
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
            return Self::Other(tuple);
        };
        let addresses = u64::from(u32::from(source)) << 32 | u64::from(u32::from(destination));
        // 18 bits a port, 8 the protocol: none runs into another.
        let ports = u64::from(bits(source_port)) << 18 | u64::from(bits(destination_port));
        Self::Packed([addresses, ports << 8 | u64::from(protocol.0)])
    }
}

/// A number below 2^18 for each value of a port field.
fn bits(port: Port) -> u32 {
    match port {
        Port::Number(number) => number.into(),
        Port::None => 1 << 16,
        Port::NotGiven => 2 << 16,
    }
}
