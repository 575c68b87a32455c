//! Plain packets on ways where nothing but the rules of NSGs and the records of flows can decide: no question and no step
//! is made for them, only what decided is found.
//!
//! Most packets of most captures are such. What a way consists of is read off its journey, which
//! [`Simulator`](super::Simulator) would take stage by stage; where that holds anything else, or a packet is not plain, it
//! judges the packet. Packets that stand alone are judged here, many together; those of flows by
//! [`Simulator::pass`](super::Simulator::pass), one after the other.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ends::{Ends, OutOfScope, placings};
use super::journey::{End, Filter, Gate, Journey, Stage, Start, Way};
use super::simulator::SimulatorOptions;
use super::state::Entrance;
use crate::compile::cells::Cell;
use crate::compile::classifier::Key;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::policy::Engine;
use crate::model::flow::{Fragment, Packet, Port};
use crate::model::index::NicIndex;
use crate::model::reason_code::ReasonCode;
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::verdict::{Interface, Layer, Reason};

/// What decides about packets between address classes, as far as rules alone do.
pub struct Express {
    compiled: Arc<CompiledNetwork>,
    options: SimulatorOptions,
    at: Option<At>,
    lanes: Lanes,
    by_cells: HashMap<(Cell, Cell), LaneId, FixedState>,
}

/// One interface alone (IP flow verify's view), with the lanes of both directions.
struct At {
    addresses: Vec<IpAddr>,
    inbound: LaneId,
    outbound: LaneId,
    /// To itself (EVAL-9).
    itself: LaneId,
}

/// The number of a lane.
pub type LaneId = u32;

/// Which lane a packet takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PacketLane {
    /// This one; with what tables look at in the packet.
    Lane(LaneId, Key),
    /// The way between its ends is not laid yet.
    Unlaid,
    /// None: something else than rules and records may decide about it.
    None,
}

/// Lanes, each once.
#[derive(Default)]
struct Lanes {
    all: Vec<Lane>,
    ids: HashMap<Lane, LaneId, FixedState>,
}

/// A way as rules see it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Lane {
    /// These lists are asked in turn (positions in [`CompiledNetwork::policies`]); the first that denies decides, and
    /// where all allow the last does.
    Asked {
        policies: Box<[u32]>,
        ending: Ending,
        blocks_smtp: bool,
        /// Where the lists stand, if flows stay open.
        filters: Box<[LaneFilter]>,
        /// What leaves is translated, which is remembered with its flow in many ways.
        translates: bool,
        /// How long what brought the packet in remembers its flow, if it is TCP (STATE-15).
        entrance_tcp_ns: Option<u64>,
    },
    /// No end of it is in the network.
    OutOfScope(ReasonCode),
    /// Something else may decide.
    Slow,
}

/// The filters of one interface, which remember flows.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct LaneFilter {
    pub(super) interface: Interface,
    pub(super) direction: Direction,
    /// How long a flow lives there without a packet (STATE-6).
    pub(super) timeout_ns: u64,
    /// By what packets came in that arrive here (OUT-5).
    pub(super) entered: Option<Entrance>,
    /// Its lists, and which layer each is.
    pub(super) policies: Box<[(u32, Layer)]>,
}

/// A way as [`Simulator::pass`](super::Simulator::pass) takes it.
pub(super) struct FlowLane<'e> {
    pub(super) filters: &'e [LaneFilter],
    pub(super) ending: Ending,
    pub(super) translates: bool,
    pub(super) entrance_tcp_ns: Option<u64>,
}

/// What becomes of a packet that all lists allow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Ending {
    Arrives,
    Lost(Reason),
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expressed {
    /// A rule decided: of this list (position in [`CompiledNetwork::policies`]) the one at this place.
    Rule {
        /// The list.
        policy: u32,
        /// The rule's place in [`Policy::rules`](crate::compile::policy::Policy::rules).
        place: u32,
        /// What it says.
        access: Access,
    },
    /// It arrived, and no list was asked.
    Arrived,
    /// It was lost for this reason.
    Lost(Reason),
    /// It is not this network's.
    OutOfScope(ReasonCode),
    /// The way between its ends is not laid yet.
    Unlaid,
    /// Something else than rules may decide.
    Slow,
}

/// How many packets are judged together.
pub const EXPRESS_BATCH: usize = 64;

impl Express {
    /// What decides in a network, or at one of its interfaces; nothing where there are no tables to ask.
    #[must_use]
    pub fn new(
        compiled: &Arc<CompiledNetwork>,
        options: SimulatorOptions,
        at: Option<NicIndex>,
    ) -> Option<Self> {
        if options.engine != Engine::Compiled || compiled.linear_only {
            return None;
        }
        let mut lanes = Lanes::default();
        let at = at.map(|nic| {
            let mut lane = |journey: &Journey| lanes.id(Lane::of(compiled, journey, options.stateful));
            let interface = &compiled.network.nics[nic.get()];
            At {
                addresses: interface.ip_configurations.iter().filter_map(|known| known.address).collect(),
                inbound: lane(&Journey::at(Interface::Nic(nic), Direction::Inbound)),
                outbound: lane(&Journey::at(Interface::Nic(nic), Direction::Outbound)),
                itself: lane(&Journey::of_nothing()),
            }
        });
        Some(Self { compiled: Arc::clone(compiled), options, at, lanes, by_cells: HashMap::default() })
    }

    /// Lays the ways between the ends of these packets, for packets of the same address classes.
    pub fn lay(&mut self, packets: &[Packet]) {
        use rayon::prelude::*;
        let mut pairs: Vec<((Cell, Cell), &Packet)> = packets
            .iter()
            .map(|packet| {
                let tuple = &packet.five_tuple;
                ((self.compiled.cell(tuple.source), self.compiled.cell(tuple.destination)), packet)
            })
            .collect();
        pairs.sort_by_key(|(cells, _)| *cells);
        pairs.dedup_by_key(|(cells, _)| *cells);
        pairs.retain(|(cells, _)| !self.by_cells.contains_key(cells));
        let lanes: Vec<Lane> = pairs.par_iter().map(|(_, packet)| self.between(packet)).collect();
        if self.by_cells.len() + lanes.len() > self.options.most_plans.max(1 << 20) {
            self.by_cells.clear();
        }
        for ((cells, _), lane) in pairs.into_iter().zip(lanes) {
            self.by_cells.insert(cells, self.lanes.id(lane));
        }
    }

    /// The way between the ends of a packet; a way that is about one address alone is no lane.
    fn between(&self, packet: &Packet) -> Lane {
        let (source, destination) = (packet.five_tuple.source, packet.five_tuple.destination);
        // These are never carried, whatever rules say (PLAT-9); they are cells of their own.
        if destination.is_multicast() || destination == IpAddr::from(Ipv4Addr::BROADCAST) {
            return Lane::Slow;
        }
        match placings(&self.compiled, source, destination, self.options.vnet) {
            Err(OutOfScope(reason)) => Lane::OutOfScope(reason),
            Ok(placings) => match &placings[..] {
                [placing] if placing.source.is_none() => {
                    let ends = Ends { observed: self.options.observed, ..placing.ends };
                    let journey = Journey::between(&self.compiled, ends, source, destination);
                    if journey.names_an_address() {
                        Lane::Slow
                    } else {
                        Lane::of(&self.compiled, &journey, self.options.stateful)
                    }
                }
                _ => Lane::Slow,
            },
        }
    }

    /// The lane of each of up to [`EXPRESS_BATCH`] packets.
    ///
    /// # Panics
    ///
    /// If there are more, or not as many places for lanes.
    pub fn lanes(&self, packets: &[&Packet], into: &mut [PacketLane]) {
        assert_eq!(packets.len(), into.len(), "there is a place for each lane");
        let mut batch = Lookups::default();
        self.find_cells(packets, &mut batch.keys);
        for ((packet, key), lane) in packets.iter().zip(&batch.keys).zip(into) {
            *lane = if !is_plain(packet) {
                PacketLane::None
            } else {
                match self.lane_id(packet, key) {
                    Err(Expressed::Unlaid) => PacketLane::Unlaid,
                    Err(_) => PacketLane::None,
                    Ok(id) => match &self.lanes.all[id as usize] {
                        Lane::Asked { blocks_smtp, .. } if !(*blocks_smtp && is_mail(key, packet)) => {
                            PacketLane::Lane(id, *key)
                        }
                        _ => PacketLane::None,
                    },
                }
            };
        }
    }

    /// The lane of this number.
    pub(super) fn flow_lane(&self, id: LaneId) -> Option<FlowLane<'_>> {
        match &self.lanes.all[id as usize] {
            Lane::Asked { filters, ending, translates, entrance_tcp_ns, .. } => Some(FlowLane {
                filters,
                ending: *ending,
                translates: *translates,
                entrance_tcp_ns: *entrance_tcp_ns,
            }),
            Lane::OutOfScope(_) | Lane::Slow => None,
        }
    }

    /// Judges up to [`EXPRESS_BATCH`] packets that stand alone.
    ///
    /// # Panics
    ///
    /// If there are more, or not as many places for answers.
    pub fn judge(&self, packets: &[&Packet], into: &mut [Expressed]) {
        assert_eq!(packets.len(), into.len(), "there is a place for each answer");
        let mut batch = Lookups::default();
        self.find_cells(packets, &mut batch.keys);
        let mut lanes = [&Lane::Slow; EXPRESS_BATCH];
        for (((lane, packet), key), answer) in lanes.iter_mut().zip(packets).zip(&batch.keys).zip(&mut *into)
        {
            *answer = Expressed::Slow;
            if is_plain(packet) {
                match self.lane(packet, key) {
                    Ok(found) => *lane = found,
                    Err(expressed) => *answer = expressed,
                }
            }
        }
        for (place, (lane, answer)) in lanes.iter().zip(&mut *into).enumerate() {
            match lane {
                Lane::Slow => {}
                Lane::OutOfScope(reason) => *answer = Expressed::OutOfScope(*reason),
                Lane::Asked { blocks_smtp: true, .. } if is_mail(&batch.keys[place], packets[place]) => {}
                Lane::Asked { policies, ending, .. } => {
                    *answer = match ending {
                        Ending::Arrives => Expressed::Arrived,
                        Ending::Lost(reason) => Expressed::Lost(*reason),
                    };
                    if !policies.is_empty() {
                        batch.waiting.push((policies[0], place));
                    }
                }
            }
        }
        let mut turn = 0;
        while !batch.waiting.is_empty() {
            self.ask(&mut batch, &lanes, turn, into);
            turn += 1;
        }
    }

    /// Asks each waiting packet's list, and leaves those waiting that have another to ask.
    fn ask(&self, batch: &mut Lookups, lanes: &[&Lane], turn: usize, into: &mut [Expressed]) {
        let Lookups { keys, waiting, next } = batch;
        // Packets that ask the same list go through its tables together.
        if !waiting.is_sorted_by_key(|(policy, _)| *policy) {
            waiting.sort_unstable();
        }
        for same in waiting.chunk_by(|one, other| one.0 == other.0) {
            let policy = same[0].0;
            let list = &self.compiled.policies[policy as usize];
            let mut asked = [keys[0]; EXPRESS_BATCH];
            for (key, &(_, place)) in asked.iter_mut().zip(same) {
                *key = keys[place];
            }
            let mut found = [None; EXPRESS_BATCH];
            list.classify_each(&asked[..same.len()], &mut found[..same.len()]);
            for (&(_, place), found) in same.iter().zip(found) {
                let Lane::Asked { policies, ending, .. } = lanes[place] else { continue };
                let Some(rule) = found else {
                    into[place] = Expressed::Slow;
                    continue;
                };
                let access = list.rules[rule].access;
                let decided = Expressed::Rule {
                    policy,
                    place: u32::try_from(rule).expect("a list holds fewer than 2^32 rules"),
                    access,
                };
                let further = policies.get(turn + 1).filter(|_| access == Access::Allow);
                match further {
                    Some(policy) => next.push((*policy, place)),
                    None if access == Access::Deny || *ending == Ending::Arrives => into[place] = decided,
                    None => {}
                }
            }
        }
        waiting.clear();
        std::mem::swap(waiting, next);
    }

    fn find_cells(&self, packets: &[&Packet], keys: &mut [Key; EXPRESS_BATCH]) {
        let (mut sources, mut destinations) = ([0; EXPRESS_BATCH], [0; EXPRESS_BATCH]);
        let mut all_v4 = true;
        for (place, packet) in packets.iter().enumerate() {
            match (packet.five_tuple.source, packet.five_tuple.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    (sources[place], destinations[place]) = (source.into(), destination.into());
                }
                _ => all_v4 = false,
            }
        }
        let cells = &self.compiled.cells;
        let (mut source_cells, mut destination_cells) = ([Cell(0); EXPRESS_BATCH], [Cell(0); EXPRESS_BATCH]);
        let count = packets.len();
        cells.find_each_v4(&sources[..count], &mut source_cells[..count]);
        cells.find_each_v4(&destinations[..count], &mut destination_cells[..count]);
        for (place, packet) in packets.iter().enumerate() {
            let tuple = &packet.five_tuple;
            let (mut source, mut destination) = (source_cells[place], destination_cells[place]);
            let is_v4 = all_v4 || (tuple.source.is_ipv4() && tuple.destination.is_ipv4());
            if !is_v4 {
                (source, destination) = (cells.find(tuple.source), cells.find(tuple.destination));
            }
            keys[place] = Key {
                source,
                destination,
                source_port: tuple.source_port.number().into(),
                destination_port: tuple.destination_port.number().into(),
                protocol: tuple.protocol,
            };
        }
    }

    fn lane(&self, packet: &Packet, key: &Key) -> Result<&Lane, Expressed> {
        Ok(&self.lanes.all[self.lane_id(packet, key)? as usize])
    }

    fn lane_id(&self, packet: &Packet, key: &Key) -> Result<LaneId, Expressed> {
        let Some(at) = &self.at else {
            return self.by_cells.get(&(key.source, key.destination)).copied().ok_or(Expressed::Unlaid);
        };
        let tuple = &packet.five_tuple;
        match (at.addresses.contains(&tuple.source), at.addresses.contains(&tuple.destination)) {
            (true, true) => Ok(at.itself),
            (true, false) => Ok(at.outbound),
            (false, true) => Ok(at.inbound),
            (false, false) => Err(Expressed::OutOfScope(ReasonCode::NotAtNic)),
        }
    }
}

/// What a batch looks up.
struct Lookups {
    keys: [Key; EXPRESS_BATCH],
    /// Lists to ask, each for the packet at this place.
    waiting: Vec<(u32, usize)>,
    next: Vec<(u32, usize)>,
}

impl Default for Lookups {
    fn default() -> Self {
        let port = 0.into();
        let (source, destination) = (Cell(0), Cell(0));
        let key =
            Key { source, destination, source_port: port, destination_port: port, protocol: Protocol(0) };
        let places = || Vec::with_capacity(EXPRESS_BATCH);
        Self { keys: [key; EXPRESS_BATCH], waiting: places(), next: places() }
    }
}

/// A whole TCP or UDP packet with its ports that no service of the platform is exempt for, nor networks refuse to carry
/// (PLAT-5, PLAT-9).
fn is_plain(packet: &Packet) -> bool {
    let tuple = &packet.five_tuple;
    let (Port::Number(source), Port::Number(destination)) = (tuple.source_port, tuple.destination_port)
    else {
        return false;
    };
    let is_special = |port: u16| matches!(port, 67 | 68 | 65330);
    packet.fragment == Fragment::Whole
        && match tuple.protocol {
            Protocol::TCP => true,
            Protocol::UDP => !is_special(source) && !is_special(destination),
            _ => false,
        }
}

fn is_mail(key: &Key, packet: &Packet) -> bool {
    key.protocol == Protocol::TCP && packet.five_tuple.destination_port == Port::Number(25)
}

impl Lanes {
    fn id(&mut self, lane: Lane) -> LaneId {
        let Self { all, ids } = self;
        *ids.entry(lane).or_insert_with_key(|lane| {
            all.push(lane.clone());
            u32::try_from(all.len() - 1).expect("fewer lanes than 2^32: each is kept in memory")
        })
    }
}

impl Lane {
    /// What a journey is for plain packets.
    fn of(compiled: &CompiledNetwork, journey: &Journey, stateful: bool) -> Self {
        let mut filters = Vec::new();
        let mut ending = match journey.end {
            End::Arrives => Ending::Arrives,
            End::Lost(reason) => Ending::Lost(reason),
        };
        let (mut blocks_smtp, mut translates) = (false, false);
        let (mut entered, mut entrance_tcp_ns) = (None, None);
        let mut stages = journey.stages.iter().peekable();
        while let Some(stage) = stages.next() {
            let is_plain = match stage {
                Stage::Start(start) => is_ordinary(start),
                Stage::Filter(filter) => match LaneFilter::of(compiled, filter, entered) {
                    Some(filter) => {
                        filters.push(filter);
                        true
                    }
                    None => false,
                },
                Stage::Route(_) | Stage::Note(_) => true,
                Stage::CameIn(entrance, timer_min) => {
                    entered = Some(*entrance);
                    let timer_ns = timer_min.map(|minutes| u64::from(minutes) * 60_000_000_000);
                    entrance_tcp_ns = entrance_tcp_ns.into_iter().chain(timer_ns).min();
                    true
                }
                // What leaves goes under another source: nothing may ask for that behind it.
                Stage::Exit(exit) if stages.peek().is_none() => {
                    (blocks_smtp, translates) = (exit.blocks_smtp, true);
                    match exit.by {
                        Way::Through(_) | Way::Somehow => true,
                        Way::None => {
                            ending = Ending::Lost(Reason::OutboundConnectivity { interface: exit.interface });
                            true
                        }
                        Way::Balanced { .. } | Way::ThroughIf(..) | Way::SomehowIf(_) => false,
                    }
                }
                _ => false,
            };
            if !is_plain {
                return Self::Slow;
            }
        }
        let policies =
            filters.iter().flat_map(|filter| &filter.policies).map(|(policy, _)| *policy).collect();
        if !stateful {
            filters.clear();
            entrance_tcp_ns = None;
        }
        Self::Asked { policies, ending, blocks_smtp, filters: filters.into(), translates, entrance_tcp_ns }
    }
}

/// Inbound, the platform exempts nothing but the ports of DHCP, which are not [plain](is_plain).
fn is_ordinary(start: &Start) -> bool {
    start.spoofed_by.is_none() && (!start.platform || start.direction == Direction::Inbound)
}

impl LaneFilter {
    /// What a filter asks, if that is rules of NSGs alone.
    fn of(compiled: &CompiledNetwork, filter: &Filter, entered: Option<Entrance>) -> Option<Self> {
        let Filter { interface, direction, ref gate } = *filter;
        let layers = compiled.layers(interface, direction);
        if !compiled.admin(interface, direction).is_empty() || (layers.is_empty() && *gate != Gate::Open) {
            return None;
        }
        let policies = layers.iter().map(|layer| match layer.policy {
            PolicyReference::Compiled(position) => {
                let position =
                    u32::try_from(position).expect("fewer lists than 2^32: each is kept in memory");
                Some((position, layer.layer))
            }
            _ => None,
        });
        let policies = policies.collect::<Option<_>>()?;
        let timeout_ns = compiled.idle_timeout_ns(interface);
        let entered = entered.filter(|_| direction == Direction::Inbound);
        Some(Self { interface, direction, timeout_ns, entered, policies })
    }
}
