//! Open flows: what each interface remembers (STATE).

use std::net::IpAddr;

use hashbrown::HashMap;

use super::ends::Ends;
use crate::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use crate::model::rule::{Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Reason, Verdict};

/// What a record is found by (STATE-2): the same for both directions of a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowKey {
    interface: Interface,
    protocol: Protocol,
    local: (IpAddr, Port),
    remote: (IpAddr, Port),
}

impl FlowKey {
    /// The key of a packet as an interface sees it. Echo requests and replies are told apart by their identifier
    /// (STATE-10).
    #[must_use]
    pub fn new(interface: Interface, direction: Direction, seen: &FiveTuple, icmp: Option<Icmp>) -> Self {
        let (source_port, destination_port) = match icmp {
            Some(Icmp::Echo { identifier, .. }) => (Port::Number(identifier), Port::Number(identifier)),
            _ => (seen.source_port, seen.destination_port),
        };
        let (source, destination) = ((seen.source, source_port), (seen.destination, destination_port));
        let (local, remote) = match direction {
            Direction::Inbound => (destination, source),
            Direction::Outbound => (source, destination),
        };
        Self { interface, protocol: seen.protocol, local, remote }
    }

    /// Where the record is kept.
    #[must_use]
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// The packet that the record's first packet looked like, for evaluating it again (STATE-5).
    #[must_use]
    pub fn opener(&self, opened: Direction) -> FiveTuple {
        let (source, destination) = match opened {
            Direction::Inbound => (self.remote, self.local),
            Direction::Outbound => (self.local, self.remote),
        };
        let ports = self.protocol.has_ports();
        FiveTuple {
            source: source.0,
            destination: destination.0,
            protocol: self.protocol,
            source_port: if ports { source.1 } else { Port::None },
            destination_port: if ports { destination.1 } else { Port::None },
        }
    }
}

/// By what a flow came in to an interface: its replies leave by the same (OUT-5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Entrance {
    /// A public address that maps to the interface's; nothing: one that the inventory does not know.
    Instance(Option<IpAddr>),
    /// A frontend of a load balancer.
    Frontend {
        /// Its address, where it is known.
        address: Option<IpAddr>,
        /// The port that the client called.
        port: Port,
        /// It is a public one.
        public: bool,
    },
    /// A Private Link service.
    PrivateLink,
}

/// One interface's memory of one flow.
#[derive(Clone, Debug)]
pub struct FlowRecord {
    /// Which way its first packet went.
    pub opened: Direction,
    /// Time of its last packet.
    pub last_ns: u64,
    /// By what it came in, for a flow that was opened from outside through a translation.
    pub entered: Option<Entrance>,
    /// How long what translates the flow remembers it without a packet, where something does (STATE-15).
    pub translated_ns: Option<u64>,
    /// Whether the flow was let in hangs on this.
    pub doubt: Option<Box<Unknown>>,
    /// A rule change took it back (STATE-5).
    pub revoked: Option<Reason>,
    fin_inbound: bool,
    fin_outbound: bool,
}

impl FlowRecord {
    /// A record of a flow whose first packet passes now.
    #[must_use]
    pub fn new(opened: Direction, entered: Option<Entrance>, now_ns: u64) -> Self {
        Self {
            opened,
            last_ns: now_ns,
            entered,
            translated_ns: None,
            doubt: None,
            revoked: None,
            fin_inbound: false,
            fin_outbound: false,
        }
    }

    /// Whether it is remembered still: exactly the idle time is alive (STATE-6), and a translated flow dies with its
    /// translation (STATE-15).
    fn is_alive(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let most = self.translated_ns.map_or(timeout_ns, |translated| translated.min(timeout_ns));
        now_ns.saturating_sub(self.last_ns) <= most
    }

    /// Notes a packet that passed by the record. Returns whether the flow ends with it (STATE-7): by a reset, or by
    /// the last ACK after both sides sent their FIN.
    #[must_use]
    pub fn pass(&mut self, direction: Direction, now_ns: u64, tcp: Option<TcpFlags>) -> bool {
        self.last_ns = self.last_ns.max(now_ns);
        let Some(flags) = tcp else { return false };
        let both_closed = self.fin_inbound && self.fin_outbound;
        if flags.fin {
            match direction {
                Direction::Inbound => self.fin_inbound = true,
                Direction::Outbound => self.fin_outbound = true,
            }
        }
        flags.rst || (both_closed && flags.ack && !flags.fin)
    }
}

/// The records of all interfaces, bounded in number.
#[derive(Clone, Debug)]
pub struct FlowTable {
    records: HashMap<FlowKey, FlowRecord, foldhash::fast::FixedState>,
    most: usize,
    /// Live records that had to leave because the table was full.
    pub evicted: u64,
}

impl FlowTable {
    /// A table of at most `most` records.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            records: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            most: most.max(1),
            evicted: 0,
        }
    }

    /// The record that a packet belongs to, if it is alive: exactly the idle time is alive still (STATE-6). A SYN
    /// never belongs to one (STATE-7).
    #[must_use]
    pub fn live(&self, key: &FlowKey, packet: &Packet, now_ns: u64, timeout_ns: u64) -> Option<&FlowRecord> {
        if packet.tcp.is_some_and(TcpFlags::opens) {
            return None;
        }
        self.alive(key, now_ns, timeout_ns)
    }

    /// The record of a key, if it is alive, whatever the packet.
    #[must_use]
    pub fn alive(&self, key: &FlowKey, now_ns: u64, timeout_ns: u64) -> Option<&FlowRecord> {
        self.records.get(key).filter(|record| record.is_alive(now_ns, timeout_ns))
    }

    /// Notes that a packet passed by the record of its flow.
    pub fn pass(&mut self, key: &FlowKey, direction: Direction, now_ns: u64, tcp: Option<TcpFlags>) {
        if self.records.get_mut(key).is_some_and(|record| record.pass(direction, now_ns, tcp)) {
            self.records.remove(key);
        }
    }

    /// Forgets a flow.
    pub fn end(&mut self, key: &FlowKey) {
        self.records.remove(key);
    }

    /// Puts a record in place of what there was of its flow.
    pub fn keep(&mut self, key: FlowKey, record: FlowRecord, timeout_ns: impl Fn(Interface) -> u64) {
        if self.records.len() >= self.most && !self.records.contains_key(&key) {
            self.make_room(record.last_ns, timeout_ns);
        }
        self.records.insert(key, record);
    }

    /// Expired records leave first; if that is not enough the longest idle eighth does, and is counted.
    fn make_room(&mut self, now_ns: u64, timeout_ns: impl Fn(Interface) -> u64) {
        self.records.retain(|key, record| record.is_alive(now_ns, timeout_ns(key.interface)));
        if self.records.len() < self.most {
            return;
        }
        let mut idle: Vec<(u64, FlowKey)> =
            self.records.iter().map(|(key, record)| (record.last_ns, *key)).collect();
        idle.sort_unstable();
        let leaving = (self.most / 8).max(1);
        for (_, key) in &idle[..leaving.min(idle.len())] {
            self.records.remove(key);
            self.evicted += 1;
        }
    }

    /// Looks at every record again after a change of rules (STATE-5): `judge` says what becomes of one, if anything.
    pub fn review(&mut self, judge: impl Fn(&FlowKey, &FlowRecord) -> Option<Verdict>) {
        for (key, record) in &mut self.records {
            match judge(key, record) {
                None => {}
                Some(Verdict::Allow(_)) => record.revoked = None,
                Some(Verdict::Deny(reason)) => record.revoked = Some(reason),
                Some(Verdict::Mixed(_)) => unreachable!("one interface alone is judged"),
                Some(Verdict::Undetermined(unknown)) => {
                    record.revoked = None;
                    record.doubt = Some(Box::new(unknown));
                }
            }
        }
    }
}

/// What tells datagrams apart: where they start, their addresses and protocol (ports are the first fragment's alone), and
/// their identification.
type Datagram = (Ends, FiveTuple, u32);

/// What became of the first fragments of datagrams: later ones follow them (STATE-11).
#[derive(Clone, Debug)]
pub struct Fragments<V> {
    first: HashMap<Datagram, (u64, V), foldhash::fast::FixedState>,
    most: usize,
    /// Live datagrams that had to leave because the table was full.
    pub evicted: u64,
}

/// How long a first fragment is remembered.
///
/// LIMIT: Azure's own time is not documented; 30 seconds is what Linux waits for the rest of a datagram.
const FRAGMENT_TIMEOUT_NS: u64 = 30_000_000_000;

impl<V: Clone> Fragments<V> {
    /// A table of at most `most` datagrams.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let first = HashMap::with_hasher(foldhash::fast::FixedState::default());
        Self { first, most: most.max(1), evicted: 0 }
    }

    /// Notes what became of a first fragment.
    pub fn first(&mut self, datagram: Datagram, now_ns: u64, verdict: V) {
        if self.first.len() >= self.most {
            self.first.retain(|_, (last_ns, _)| now_ns.saturating_sub(*last_ns) <= FRAGMENT_TIMEOUT_NS);
            if self.first.len() >= self.most {
                self.evicted += self.first.len() as u64;
                self.first.clear();
            }
        }
        self.first.insert(without_ports(datagram), (now_ns, verdict));
    }

    /// What became of the first fragment of this datagram.
    #[must_use]
    pub fn later(&self, datagram: Datagram, now_ns: u64) -> Option<V> {
        let (last_ns, verdict) = self.first.get(&without_ports(datagram))?;
        (now_ns.saturating_sub(*last_ns) <= FRAGMENT_TIMEOUT_NS).then(|| verdict.clone())
    }
}

fn without_ports((ends, tuple, identification): Datagram) -> Datagram {
    (ends, FiveTuple { source_port: Port::None, destination_port: Port::None, ..tuple }, identification)
}
