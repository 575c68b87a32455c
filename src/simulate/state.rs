//! Open flows: what each interface remembers (STATE).

use std::net::{IpAddr, Ipv4Addr};

use hashbrown::HashMap;

use super::ends::Ends;
use super::flow_map::{FlowMap, FlowMapKey};
use crate::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use crate::model::index::{NicIndex, PrivateEndpointIndex, ServiceAccountIndex, SubnetIndex};
use crate::model::rule::{Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Reason, Verdict};

/// What a record is found by (STATE-2): the same for both directions of a flow.
///
/// PERF: 16 bytes for most packets, which is what the table of records is made for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowKey(Kept);

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Kept {
    /// Both addresses, then both ports, the protocol, and the interface's kind and number; the local end first.
    Packed(FlowMapKey),
    /// IPv6, packets without ports, and interfaces beyond four million of a kind.
    Whole(WholeKey),
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct WholeKey {
    interface: Interface,
    protocol: Protocol,
    local: (IpAddr, Port),
    remote: (IpAddr, Port),
}

impl FlowKey {
    /// The key of a packet as an interface sees it. Echo requests and replies are told apart by their identifier
    /// (STATE-10).
    #[inline]
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
        let whole = WholeKey { interface, protocol: seen.protocol, local, remote };
        Self(whole.packed().map_or(Kept::Whole(whole), Kept::Packed))
    }

    /// Where the record is kept.
    #[must_use]
    pub fn interface(&self) -> Interface {
        self.whole().interface
    }

    /// The packet that the record's first packet looked like, for evaluating it again (STATE-5).
    #[must_use]
    pub fn opener(&self, opened: Direction) -> FiveTuple {
        let WholeKey { protocol, local, remote, .. } = self.whole();
        let (source, destination) = match opened {
            Direction::Inbound => (remote, local),
            Direction::Outbound => (local, remote),
        };
        let ports = protocol.has_ports();
        FiveTuple {
            source: source.0,
            destination: destination.0,
            protocol,
            source_port: if ports { source.1 } else { Port::None },
            destination_port: if ports { destination.1 } else { Port::None },
        }
    }

    fn whole(&self) -> WholeKey {
        match self.0 {
            Kept::Packed(packed) => WholeKey::unpacked(packed),
            Kept::Whole(whole) => whole,
        }
    }
}

impl WholeKey {
    #[inline]
    fn packed(&self) -> Option<FlowMapKey> {
        let ((IpAddr::V4(local), Port::Number(local_port)), (IpAddr::V4(remote), Port::Number(remote_port))) =
            (self.local, self.remote)
        else {
            return None;
        };
        let (kind, number) = match self.interface {
            Interface::Nic(nic) => (0, nic.get()),
            Interface::Unlisted(subnet) => (1, subnet.get()),
            Interface::Endpoint(endpoint) => (2, endpoint.get()),
            Interface::Service(account) => (3, account.get()),
        };
        if number >= 1 << 22 {
            return None;
        }
        let addresses = u64::from(u32::from(local)) << 32 | u64::from(u32::from(remote));
        let ports = u64::from(local_port) << 16 | u64::from(remote_port);
        Some([addresses, (ports << 8 | u64::from(self.protocol.0)) << 24 | kind << 22 | number as u64])
    }

    fn unpacked([addresses, rest]: FlowMapKey) -> Self {
        // What does not fit is the other part's.
        let address = |from: u32| IpAddr::from(Ipv4Addr::from((addresses >> from) as u32));
        let port = |from: u32| Port::Number((rest >> from) as u16);
        let number = (rest & ((1 << 22) - 1)) as usize;
        let interface = match rest >> 22 & 3 {
            0 => Interface::Nic(NicIndex::new(number)),
            1 => Interface::Unlisted(SubnetIndex::new(number)),
            2 => Interface::Endpoint(PrivateEndpointIndex::new(number)),
            _ => Interface::Service(ServiceAccountIndex::new(number)),
        };
        Self {
            interface,
            protocol: Protocol((rest >> 24) as u8),
            local: (address(32), port(48)),
            remote: (address(0), port(32)),
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
///
/// PERF: with its key it fits a cache line; what few flows have stands apart.
#[derive(Clone, Debug)]
pub struct FlowRecord {
    /// Time of its last packet.
    pub last_ns: u64,
    /// By what it came in, for a flow that was opened from outside through a translation.
    pub entered: Option<Entrance>,
    /// Which way its first packet went.
    pub opened: Direction,
    fin_inbound: bool,
    fin_outbound: bool,
    /// How many minutes what translates the flow remembers it without a packet; [`NOT_TRANSLATED`] where nothing does
    /// (STATE-15).
    translated_min: u32,
    trouble: Option<Box<Trouble>>,
}

const NOT_TRANSLATED: u32 = u32::MAX;

const MINUTE_NS: u64 = 60_000_000_000;

/// What most flows have nothing of.
#[derive(Clone, Debug, Default)]
struct Trouble {
    doubt: Option<Box<Unknown>>,
    revoked: Option<Reason>,
}

impl FlowRecord {
    /// A record of a flow whose first packet passes now. `translated_min` is how many minutes what translates it remembers
    /// it without a packet, where something does (STATE-15).
    #[must_use]
    pub fn new(
        opened: Direction,
        entered: Option<Entrance>,
        translated_min: Option<u32>,
        now_ns: u64,
    ) -> Self {
        let translated_min = translated_min.unwrap_or(NOT_TRANSLATED);
        Self {
            last_ns: now_ns,
            entered,
            opened,
            fin_inbound: false,
            fin_outbound: false,
            translated_min,
            trouble: None,
        }
    }

    /// Whether the flow was let in hangs on this.
    #[must_use]
    pub fn doubt(&self) -> Option<&Unknown> {
        self.trouble.as_ref()?.doubt.as_deref()
    }

    /// A rule change took it back (STATE-5).
    #[must_use]
    pub fn revoked(&self) -> Option<Reason> {
        self.trouble.as_ref()?.revoked
    }

    /// Whether nothing is open about it, nor was it taken back.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.doubt.is_none() && trouble.revoked.is_none())
    }

    /// Whether the flow was let in hangs on this from now on.
    pub fn set_doubt(&mut self, doubt: Option<Box<Unknown>>) {
        if doubt.is_some() || self.trouble.is_some() {
            self.trouble.get_or_insert_default().doubt = doubt;
        }
    }

    fn set_revoked(&mut self, revoked: Option<Reason>) {
        if revoked.is_some() || self.trouble.is_some() {
            self.trouble.get_or_insert_default().revoked = revoked;
        }
    }

    /// Whether it is remembered still: exactly the idle time is alive (STATE-6), and a translated flow dies with its
    /// translation (STATE-15).
    fn is_alive(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let most = timeout_ns.min(u64::from(self.translated_min).saturating_mul(MINUTE_NS));
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
    packed: FlowMap<FlowRecord>,
    /// Those whose keys cannot be packed.
    others: HashMap<WholeKey, FlowRecord, foldhash::fast::FixedState>,
    most: usize,
    /// Live records that had to leave because the table was full.
    pub evicted: u64,
}

impl FlowTable {
    /// A table of at most `most` records.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { packed: FlowMap::default(), others: HashMap::default(), most: most.max(1), evicted: 0 }
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
        self.get(key).filter(|record| record.is_alive(now_ns, timeout_ns))
    }

    /// Has the record of a key brought into the caches.
    #[inline]
    pub fn fetch(&self, key: &FlowKey) {
        if let Kept::Packed(packed) = &key.0 {
            self.packed.fetch(packed);
        }
    }

    fn get(&self, key: &FlowKey) -> Option<&FlowRecord> {
        match &key.0 {
            Kept::Packed(packed) => self.packed.get(packed),
            Kept::Whole(whole) => self.others.get(whole),
        }
    }

    fn get_mut(&mut self, key: &FlowKey) -> Option<&mut FlowRecord> {
        match &key.0 {
            Kept::Packed(packed) => self.packed.get_mut(packed),
            Kept::Whole(whole) => self.others.get_mut(whole),
        }
    }

    fn len(&self) -> usize {
        self.packed.len() + self.others.len()
    }

    /// Notes that a packet passed by the record of its flow.
    pub fn pass(&mut self, key: &FlowKey, direction: Direction, now_ns: u64, tcp: Option<TcpFlags>) {
        if self.get_mut(key).is_some_and(|record| record.pass(direction, now_ns, tcp)) {
            self.end(key);
        }
    }

    /// Forgets a flow.
    pub fn end(&mut self, key: &FlowKey) {
        match &key.0 {
            Kept::Packed(packed) => self.packed.remove(packed),
            Kept::Whole(whole) => self.others.remove(whole),
        };
    }

    /// Puts a record in place of what there was of its flow.
    pub fn keep(&mut self, key: FlowKey, record: FlowRecord, timeout_ns: impl Fn(Interface) -> u64) {
        if self.len() >= self.most && self.get(&key).is_none() {
            self.make_room(record.last_ns, timeout_ns);
        }
        match key.0 {
            Kept::Packed(packed) => self.packed.insert(packed, record),
            Kept::Whole(whole) => self.others.insert(whole, record),
        };
    }

    /// Expired records leave first; if that is not enough the longest idle eighth does, and is counted.
    fn make_room(&mut self, now_ns: u64, timeout_ns: impl Fn(Interface) -> u64) {
        let is_alive = |interface, record: &FlowRecord| record.is_alive(now_ns, timeout_ns(interface));
        self.packed.retain(|key, record| is_alive(WholeKey::unpacked(*key).interface, record));
        self.others.retain(|key, record| is_alive(key.interface, record));
        if self.len() < self.most {
            return;
        }
        let packed = self.packed.iter().map(|(key, record)| (record.last_ns, FlowKey(Kept::Packed(*key))));
        let others = self.others.iter().map(|(key, record)| (record.last_ns, FlowKey(Kept::Whole(*key))));
        let mut idle: Vec<(u64, FlowKey)> = packed.chain(others).collect();
        idle.sort_unstable();
        let leaving = (self.most / 8).max(1);
        for (_, key) in &idle[..leaving.min(idle.len())] {
            self.end(key);
            self.evicted += 1;
        }
    }

    /// Looks at every record again after a change of rules (STATE-5): `judge` says what becomes of one, if anything.
    pub fn review(&mut self, judge: impl Fn(&FlowKey, &FlowRecord) -> Option<Verdict>) {
        let packed = self.packed.iter_mut().map(|(key, record)| (FlowKey(Kept::Packed(*key)), record));
        let others = self.others.iter_mut().map(|(key, record)| (FlowKey(Kept::Whole(*key)), record));
        for (key, record) in packed.chain(others) {
            match judge(&key, record) {
                None => {}
                Some(Verdict::Allow(_)) => record.set_revoked(None),
                Some(Verdict::Deny(reason)) => record.set_revoked(Some(reason)),
                Some(Verdict::Mixed(_)) => unreachable!("one interface alone is judged"),
                Some(Verdict::Undetermined(unknown)) => {
                    record.set_revoked(None);
                    record.set_doubt(Some(Box::new(unknown)));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FlowKey, FlowRecord, Interface, Kept, WholeKey};
    use crate::model::flow::Port;
    use crate::model::index::{NicIndex, PrivateEndpointIndex, ServiceAccountIndex, SubnetIndex};
    use crate::model::rule::Protocol;

    #[test]
    fn a_record_and_its_key_fit_a_cache_line() {
        assert!(size_of::<Option<FlowRecord>>() + 16 <= 64);
    }

    proptest! {
        #[test]
        fn a_key_that_is_packed_comes_out_as_it_was(
            local: [u8; 4],
            remote: [u8; 4],
            ports: [u16; 2],
            protocol: u8,
            (kind, number) in (0..4, 0..5_000_000_usize),
        ) {
            let interface = match kind {
                0 => Interface::Nic(NicIndex::new(number)),
                1 => Interface::Unlisted(SubnetIndex::new(number)),
                2 => Interface::Endpoint(PrivateEndpointIndex::new(number)),
                _ => Interface::Service(ServiceAccountIndex::new(number)),
            };
            let [local_port, remote_port] = ports.map(Port::Number);
            let (local, remote) = ((local.into(), local_port), (remote.into(), remote_port));
            let whole = WholeKey { interface, protocol: Protocol(protocol), local, remote };
            let packed = whole.packed();
            prop_assert_eq!(packed.is_some(), number < 1 << 22);
            if let Some(packed) = packed {
                prop_assert_eq!(FlowKey(Kept::Packed(packed)).whole(), whole);
            }
        }
    }
}
