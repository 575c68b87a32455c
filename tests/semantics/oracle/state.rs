//! Records of open flows (STATE).

use std::collections::BTreeMap;
use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use nsgsim::model::id::ResourceId;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::Reason;

/// What tells flows apart at one interface (STATE-2, STATE-10).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct FlowKey {
    protocol: Protocol,
    local: (IpAddr, Port),
    remote: (IpAddr, Port),
    echo: Option<u16>,
}

impl FlowKey {
    /// The flow of a packet that goes this way.
    pub(crate) fn of(tuple: &FiveTuple, icmp: Option<Icmp>, direction: Direction) -> Self {
        let source = (tuple.source, tuple.source_port);
        let destination = (tuple.destination, tuple.destination_port);
        let (local, remote) = match direction {
            Direction::Inbound => (destination, source),
            Direction::Outbound => (source, destination),
        };
        let echo = match icmp {
            Some(Icmp::Echo { identifier, .. }) => Some(identifier),
            _ => None,
        };
        Self { protocol: tuple.protocol, local, remote, echo }
    }

    /// STATE-10: the flow whose packet an ICMP error quotes, where it quotes one. The quoted packet went the other
    /// way.
    pub(crate) fn quoted(packet: &Packet, direction: Direction) -> Option<Self> {
        let Some(Icmp::Error { quoted: Some(quoted) }) = packet.icmp else { return None };
        let other = match direction {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        // The identifier of a quoted echo stands in both ports, which an echo does not have.
        let echo = match (quoted.protocol, quoted.source_port) {
            (Protocol::ICMP | Protocol::ICMPV6, Port::Number(identifier)) => {
                Some(Icmp::Echo { identifier, request: true })
            }
            _ => None,
        };
        let ports = if echo.is_some() {
            (Port::None, Port::None)
        } else {
            (quoted.source_port, quoted.destination_port)
        };
        let quoted = FiveTuple { source_port: ports.0, destination_port: ports.1, ..quoted };
        Some(Self::of(&quoted, echo, other))
    }
}

/// What a flow came in by: its replies leave by the same (OUT-5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entrance {
    /// Nothing that anybody has told.
    Nothing,
    /// A public address of the interface's own.
    PublicIp(ResourceId),
    /// A frontend of a load balancer; the address is not known where the packet was seen behind it.
    Frontend { public: bool, address: Option<IpAddr>, port: Port },
    /// A Private Link service (PLS-1).
    PrivateLink,
}

/// What an interface knows of a flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    /// The packet that created it, as the interface saw it.
    pub(crate) first: Packet,
    /// Which way that packet went.
    pub(crate) direction: Direction,
    /// What the flow came in by (OUT-5).
    pub(crate) entrance: Entrance,
    /// STATE-15: after how many idle minutes what translated the flow forgets it.
    pub(crate) forgotten_after_min: Option<u32>,
    /// When its first packet was seen.
    born_ns: u64,
    /// When a packet of the flow was last seen.
    last_ns: u64,
    /// The inbound and the outbound side have sent FIN (STATE-7).
    fin: (bool, bool),
    /// The NSG's or admin rule that denies the flow since it was evaluated again (STATE-5).
    pub(crate) revoked_by: Option<Reason>,
    /// The record exists only if this question has one of its answers.
    pub(crate) doubt: Option<Unknown>,
}

impl Record {
    pub(crate) fn new(first: Packet, direction: Direction, entrance: Entrance, now_ns: u64) -> Self {
        Self {
            first,
            direction,
            entrance,
            forgotten_after_min: None,
            born_ns: now_ns,
            last_ns: now_ns,
            fin: (false, false),
            revoked_by: None,
            doubt: None,
        }
    }

    /// STATE-6, STATE-15: idle for longer than the network, or what translated the flow, waits; exactly as long is
    /// alive.
    pub(crate) fn is_expired(&self, now_ns: u64, network_min: u32) -> bool {
        let timeout_min = self.forgotten_after_min.map_or(network_min, |min| min.min(network_min));
        let timeout_ns = u64::from(timeout_min) * 60 * 1_000_000_000;
        now_ns.saturating_sub(self.last_ns) > timeout_ns
    }

    /// Notes a packet of the flow. Says whether the flow is over with it (STATE-7).
    pub(crate) fn see(&mut self, flags: Option<TcpFlags>, direction: Direction, now_ns: u64) -> bool {
        self.last_ns = self.last_ns.max(now_ns);
        let Some(flags) = flags else { return false };
        let both_had_sent_fin = self.fin == (true, true);
        match direction {
            Direction::Inbound => self.fin.0 |= flags.fin,
            Direction::Outbound => self.fin.1 |= flags.fin,
        }
        flags.rst || (both_had_sent_fin && flags.ack && !flags.fin)
    }
}

/// Where a record stands: by the interface's ID, because an index does not survive a change of the network.
pub(crate) type Slot = (ResourceId, FlowKey);

/// The records of all interfaces.
pub(crate) type Records = BTreeMap<Slot, Record>;

/// One set of records from those of all worlds: what the worlds do not agree on hangs on `because`.
pub(crate) fn merge(worlds: &[Records], because: Option<&Unknown>) -> Records {
    let mut merged = Records::new();
    for key in worlds.iter().flat_map(BTreeMap::keys) {
        if merged.contains_key(key) {
            continue;
        }
        let everywhere = worlds.iter().all(|world| world.contains_key(key));
        let mut found = worlds.iter().filter_map(|world| world.get(key));
        let first = found.next().expect("some world has the key");
        // A flow that began anew in one world was over in another that did not see the packet.
        let same = |other: &Record| other.born_ns == first.born_ns || other.last_ns == first.last_ns;
        let alike = found.all(|other| other.doubt == first.doubt && same(other));
        // Where one world has met the packet and another has not, the packet was the last one of the flow.
        // Of several such the first counts, as it does for steps; if a reply would be translated in one and not in
        // another, that is what remains to be told (OUT-5).
        let here = || worlds.iter().rev().filter_map(|world| world.get(key));
        let latest = here().max_by_key(|record| (record.entrance != Entrance::Nothing, record.last_ns));
        let mut record = latest.expect("some world has the key").clone();
        let alike = alike && here().all(|other| other.entrance == record.entrance);
        if !everywhere || !alike {
            let doubts = worlds.iter().filter_map(|world| world.get(key)?.doubt.clone());
            record.doubt = doubts.chain(because.map(innermost)).next();
        }
        merged.insert(key.clone(), record);
    }
    merged
}

/// LB-6: the records after a packet that one of several backends got: each way leaves what it would leave alone.
pub(crate) fn keep_all<'a>(before: &Records, ways: impl IntoIterator<Item = &'a Records>) -> Records {
    let mut kept = before.clone();
    for after in ways {
        for (slot, record) in after {
            if before.get(slot) != Some(record) {
                kept.insert(slot.clone(), record.clone());
            }
        }
        for slot in before.keys() {
            if !after.contains_key(slot) {
                kept.remove(slot);
            }
        }
    }
    kept
}

/// The question behind a doubt about an earlier packet.
fn innermost(question: &Unknown) -> Unknown {
    match question {
        Unknown::FlowIsOpen { because } => innermost(because),
        other => other.clone(),
    }
}
