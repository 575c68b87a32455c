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
use crate::compile::policy::{Classified, Engine};
use crate::compile::ports::PortPlace;
use crate::compile::topology::TopologyClass;
use crate::model::flow::{Fragment, Packet, Port};
use crate::model::index::NicIndex;
use crate::model::reason_code::ReasonCode;
use crate::model::records::Plain;
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::verdict::{Interface, Layer, Reason, Snat};

/// What decides about packets between topology classes, as far as rules alone do.
pub struct Express {
    compiled: Arc<CompiledNetwork>,
    options: SimulatorOptions,
    at: Option<At>,
    lanes: Lanes,
    laid: Laid,
}

/// The lane of each pair of topology classes, as far as it is laid.
enum Laid {
    /// By the source's class, then by the destination's: one more than the lane's number, or 0.
    Table { lanes: Box<[u32]>, classes: usize },
    /// Where there are too many classes for a table.
    Pairs(HashMap<Pair, LaneId, FixedState>),
}

/// The classes of source and destination.
type Pair = (TopologyClass, TopologyClass);

/// How many pairs of classes a table has room for: 16 MiB.
const MOST_IN_TABLE: usize = 1 << 22;

/// With more pairs of classes than this where there is no table, all are laid anew.
const MOST_PAIRS: usize = 1 << 20;

/// With more lanes than this all are laid anew.
const MOST_LANES: usize = 1 << 17;

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
    /// This one.
    Lane(LaneId),
    /// The way between its ends is not laid yet.
    Unlaid,
    /// It is not this network's.
    OutOfScope(ReasonCode),
    /// None: something else than rules and records may decide about it.
    None,
}

/// Up to [`EXPRESS_BATCH`] packets.
#[derive(Clone, Copy)]
pub enum Packets<'p> {
    /// Plain ones.
    Plain(&'p [Plain]),
    /// Of any kind.
    Any(&'p [&'p Packet]),
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
        leaves: Option<Leaves>,
        /// How long what brought the packet in remembers its flow, if it is TCP (STATE-15).
        entrance_tcp_min: Option<u32>,
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
    pub(super) entrance_tcp_min: Option<u32>,
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
        let laid = Laid::for_classes(compiled.classes.count());
        Some(Self { compiled: Arc::clone(compiled), options, at, lanes, laid })
    }

    /// Forgets all lanes where they are many or lie between many pairs of classes, those of one interface alone excepted.
    /// Numbers that were handed out before are void.
    pub fn forget_if_many(&mut self) {
        let pairs = match &self.laid {
            Laid::Table { .. } => 0,
            Laid::Pairs(pairs) => pairs.len(),
        };
        if self.at.is_none() && (self.lanes.all.len() > MOST_LANES || pairs > MOST_PAIRS) {
            self.lanes = Lanes::default();
            self.laid = Laid::for_classes(self.compiled.classes.count());
        }
    }

    /// Lays the ways from sources to destinations, for packets between the same topology classes.
    pub fn lay(&mut self, ends: impl IntoIterator<Item = (IpAddr, IpAddr)>) {
        use rayon::prelude::*;
        let class = |address| self.compiled.class(address);
        let mut pairs: Vec<(Pair, (IpAddr, IpAddr))> =
            ends.into_iter().map(|ends| ((class(ends.0), class(ends.1)), ends)).collect();
        pairs.sort_unstable();
        pairs.dedup_by_key(|(pair, _)| *pair);
        pairs.retain(|(pair, _)| self.laid.get(*pair).is_none());
        let lanes: Vec<Lane> =
            pairs.par_iter().map(|(_, ends)| Lane::between(&self.compiled, self.options, *ends)).collect();
        for ((pair, _), lane) in pairs.into_iter().zip(lanes) {
            self.laid.put(pair, self.lanes.id(lane));
        }
    }

    /// The lane of each packet.
    ///
    /// # Panics
    ///
    /// If there are more than [`EXPRESS_BATCH`], or not as many places for lanes.
    pub fn lanes(&self, packets: Packets<'_>, into: &mut [PacketLane]) {
        let mut keys = [NO_KEY; EXPRESS_BATCH];
        self.find(packets, &mut keys, into);
        for (lane, key) in into.iter_mut().zip(&keys) {
            if let PacketLane::Lane(id) = *lane {
                *lane = match &self.lanes.all[id as usize] {
                    Lane::Asked { blocks_smtp, .. } if !(*blocks_smtp && is_mail(key)) => *lane,
                    Lane::OutOfScope(reason) => PacketLane::OutOfScope(*reason),
                    Lane::Asked { .. } | Lane::Slow => PacketLane::None,
                }
            }
        }
    }

    /// The lane of this number.
    pub(super) fn flow_lane(&self, id: LaneId) -> Option<FlowLane<'_>> {
        match &self.lanes.all[id as usize] {
            Lane::Asked { filters, ending, leaves, entrance_tcp_min, .. } => Some(FlowLane {
                filters,
                ending: *ending,
                translates: leaves.is_some(),
                entrance_tcp_min: *entrance_tcp_min,
            }),
            Lane::OutOfScope(_) | Lane::Slow => None,
        }
    }

    /// Judges packets that stand alone.
    ///
    /// # Panics
    ///
    /// If there are more than [`EXPRESS_BATCH`], or not as many places for answers.
    pub fn judge(&self, packets: Packets<'_>, into: &mut [Expressed]) {
        let mut keys = [NO_KEY; EXPRESS_BATCH];
        let mut taken = [PacketLane::None; EXPRESS_BATCH];
        let taken = &mut taken[..into.len()];
        self.find(packets, &mut keys, taken);
        let mut lanes = [&Lane::Slow; EXPRESS_BATCH];
        let (mut waiting, mut next) = (Waiting::default(), Waiting::default());
        for (place, (taken, answer)) in (0..).zip(taken.iter().zip(&mut *into)) {
            let lane = match *taken {
                PacketLane::Lane(id) => &self.lanes.all[id as usize],
                PacketLane::Unlaid => {
                    *answer = Expressed::Unlaid;
                    continue;
                }
                PacketLane::OutOfScope(reason) => {
                    *answer = Expressed::OutOfScope(reason);
                    continue;
                }
                PacketLane::None => &Lane::Slow,
            };
            *answer = match lane {
                Lane::OutOfScope(reason) => Expressed::OutOfScope(*reason),
                Lane::Slow => Expressed::Slow,
                Lane::Asked { blocks_smtp: true, .. } if is_mail(&keys[usize::from(place)]) => {
                    Expressed::Slow
                }
                Lane::Asked { policies, ending, .. } => {
                    if let Some(&policy) = policies.first() {
                        waiting.push(policy, place);
                        lanes[usize::from(place)] = lane;
                    }
                    match ending {
                        Ending::Arrives => Expressed::Arrived,
                        Ending::Lost(reason) => Expressed::Lost(*reason),
                    }
                }
            };
        }
        let mut turn = 0;
        while waiting.count > 0 {
            self.ask(&keys, (&mut waiting, &mut next), &lanes, turn, into);
            std::mem::swap(&mut waiting, &mut next);
            turn += 1;
        }
    }

    /// Asks each waiting packet's list; those that have another to ask wait for the next turn.
    fn ask(
        &self,
        keys: &[Key; EXPRESS_BATCH],
        (waiting, next): (&mut Waiting, &mut Waiting),
        lanes: &[&Lane; EXPRESS_BATCH],
        turn: usize,
        into: &mut [Expressed],
    ) {
        next.count = 0;
        // Packets that ask the same list go through its tables together.
        let waiting = waiting.by_policy();
        for same in waiting.chunk_by(|one, other| one.0 == other.0) {
            let policy = same[0].0;
            let list = &self.compiled.policies[policy as usize];
            let mut found = [None; EXPRESS_BATCH];
            let found = &mut found[..same.len()];
            let is_all = same.len() == into.len();
            if is_all && same.iter().enumerate().all(|(number, &(_, place))| number == usize::from(place)) {
                list.classify_each(&keys[..same.len()], found);
            } else {
                let mut asked = [NO_KEY; EXPRESS_BATCH];
                for (key, &(_, place)) in asked.iter_mut().zip(same) {
                    *key = keys[usize::from(place)];
                }
                list.classify_each(&asked[..same.len()], found);
            }
            for (&(_, place), found) in same.iter().zip(found) {
                let answer = &mut into[usize::from(place)];
                let Lane::Asked { policies, ending, .. } = lanes[usize::from(place)] else { continue };
                let Some(Classified { place: rule, access }) = *found else {
                    *answer = Expressed::Slow;
                    continue;
                };
                let decided = Expressed::Rule { policy, place: rule, access };
                let further = policies.get(turn + 1).filter(|_| access == Access::Allow);
                match further {
                    Some(policy) => next.push(*policy, place),
                    None if access == Access::Deny || *ending == Ending::Arrives => *answer = decided,
                    None => {}
                }
            }
        }
    }

    /// What tables look at in each packet, and the lane between its ends.
    fn find(&self, packets: Packets<'_>, keys: &mut [Key; EXPRESS_BATCH], lanes: &mut [PacketLane]) {
        let cells = &self.compiled.cells;
        match packets {
            Packets::Plain(packets) => {
                assert_eq!(packets.len(), lanes.len(), "there is a place for each lane");
                let (mut ends, mut found) = ([0; EXPRESS_BATCH], [Cell(0); EXPRESS_BATCH]);
                let (ends, found) = (&mut ends[..packets.len()], &mut found[..packets.len()]);
                for (end, packet) in ends.iter_mut().zip(packets) {
                    *end = packet.source.into();
                }
                cells.find_each_v4(ends, found);
                for ((key, packet), &source) in keys.iter_mut().zip(packets).zip(&*found) {
                    *key = Key {
                        source,
                        destination: source,
                        source_port: packet.source_port.into(),
                        destination_port: packet.destination_port.into(),
                        protocol: packet.transport.into(),
                    };
                }
                for (end, packet) in ends.iter_mut().zip(packets) {
                    *end = packet.destination.into();
                }
                cells.find_each_v4(ends, found);
                let each = keys.iter_mut().zip(packets).zip(found).zip(lanes);
                for (((key, packet), destination), lane) in each {
                    key.destination = *destination;
                    *lane = match is_plain(key.protocol, packet.source_port, packet.destination_port) {
                        true => self.lane(key, (packet.source.into(), packet.destination.into())),
                        false => PacketLane::None,
                    };
                }
            }
            Packets::Any(packets) => {
                assert_eq!(packets.len(), lanes.len(), "there is a place for each lane");
                for ((packet, key), lane) in packets.iter().zip(keys).zip(lanes) {
                    let tuple = &packet.five_tuple;
                    *key = self.compiled.key(tuple);
                    *lane = match is_whole_and_plain(packet) {
                        true => self.lane(key, (tuple.source, tuple.destination)),
                        false => PacketLane::None,
                    };
                }
            }
        }
    }

    #[inline]
    fn lane(&self, key: &Key, (source, destination): (IpAddr, IpAddr)) -> PacketLane {
        let Some(at) = &self.at else {
            // Whether a packet goes to its own sender (EVAL-9) no class says.
            if source == destination {
                return PacketLane::None;
            }
            let classes = &self.compiled.classes;
            let found = self.laid.get((classes.of(key.source), classes.of(key.destination)));
            return found.map_or(PacketLane::Unlaid, PacketLane::Lane);
        };
        match (at.addresses.contains(&source), at.addresses.contains(&destination)) {
            (true, true) => PacketLane::Lane(at.itself),
            (true, false) => PacketLane::Lane(at.outbound),
            (false, true) => PacketLane::Lane(at.inbound),
            (false, false) => PacketLane::OutOfScope(ReasonCode::NotAtNic),
        }
    }
}

impl Laid {
    fn for_classes(classes: usize) -> Self {
        match classes.checked_mul(classes) {
            Some(pairs) if pairs <= MOST_IN_TABLE => Self::Table { lanes: vec![0; pairs].into(), classes },
            _ => Self::Pairs(HashMap::default()),
        }
    }

    #[inline]
    fn get(&self, pair: Pair) -> Option<LaneId> {
        match self {
            Self::Table { lanes, classes } => lanes[place(pair, *classes)].checked_sub(1),
            Self::Pairs(pairs) => pairs.get(&pair).copied(),
        }
    }

    fn put(&mut self, pair: Pair, lane: LaneId) {
        match self {
            Self::Table { lanes, classes } => lanes[place(pair, *classes)] = lane + 1,
            Self::Pairs(pairs) => {
                pairs.insert(pair, lane);
            }
        }
    }
}

#[inline]
fn place((source, destination): Pair, classes: usize) -> usize {
    source.0 as usize * classes + destination.0 as usize
}

/// Up to so many lists are told apart one by one.
const FEW_POLICIES: usize = 4;

/// In place of a key that is not looked up yet.
const NO_KEY: Key = Key {
    source: Cell(0),
    destination: Cell(0),
    source_port: PortPlace::NONE,
    destination_port: PortPlace::NONE,
    protocol: Protocol(0),
};

/// Lists to ask, each for the packet at a place of the batch.
struct Waiting {
    all: [(u32, u8); EXPRESS_BATCH],
    count: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { all: [(0, 0); EXPRESS_BATCH], count: 0 }
    }
}

impl Waiting {
    fn push(&mut self, policy: u32, place: u8) {
        self.all[self.count] = (policy, place);
        self.count += 1;
    }

    /// All of them, those with the same list together.
    fn by_policy(&mut self) -> &[(u32, u8)] {
        let waiting = &mut self.all[..self.count];
        // PERF: most captures ask few lists, for which sorting does too much.
        let mut sorted = 0;
        for _ in 0..FEW_POLICIES {
            let Some(&(policy, _)) = waiting.get(sorted) else { return waiting };
            let unsorted = sorted..waiting.len();
            for place in unsorted {
                if waiting[place].0 == policy {
                    waiting.swap(sorted, place);
                    sorted += 1;
                }
            }
        }
        waiting[sorted..].sort_unstable();
        waiting
    }
}

/// A whole packet with its ports that is [plain](is_plain).
pub(super) fn is_whole_and_plain(packet: &Packet) -> bool {
    let tuple = &packet.five_tuple;
    match (packet.fragment, tuple.source_port, tuple.destination_port) {
        (Fragment::Whole, Port::Number(source), Port::Number(destination)) => {
            is_plain(tuple.protocol, source, destination)
        }
        _ => false,
    }
}

/// TCP or UDP that no service of the platform is exempt for, nor networks refuse to carry (PLAT-5, PLAT-9).
#[inline]
fn is_plain(protocol: Protocol, source_port: u16, destination_port: u16) -> bool {
    // Those of DHCP, and the one of the host's own.
    let is_special = |port: u16| matches!(port, 67 | 68 | 65330);
    match protocol {
        Protocol::TCP => true,
        Protocol::UDP => !is_special(source_port) && !is_special(destination_port),
        _ => false,
    }
}

fn is_mail(key: &Key) -> bool {
    key.protocol == Protocol::TCP && key.destination_port == 25.into()
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

/// What decides about packets between two topology classes, each packet standing alone.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Decides {
    /// These lists, for every protocol that networks carry and every port but those that the platform keeps for itself.
    Rules(RulesWay),
    /// No end of it is in the network.
    OutOfScope,
    /// Something else may.
    Other,
}

/// A way on which the rules of NSGs decide.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RulesWay {
    /// The lists that are asked in turn (positions in [`CompiledNetwork::policies`]): the first that denies decides, and
    /// where all allow the last does.
    pub policies: Box<[u32]>,
    /// Why a packet that all of them allow is lost all the same, if it is.
    pub lost: Option<Reason>,
    /// How it leaves to the internet, which not every protocol can, where it does.
    pub leaves: Option<Leaves>,
    /// The platform may block mail.
    pub blocks_smtp: bool,
}

/// How packets leave to the internet that rules let out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Leaves {
    /// By no means.
    Nowhere,
    /// By means that the inventory does not tell.
    Somehow,
    /// By these.
    By(Snat),
}

/// What decides between two addresses.
#[must_use]
pub fn decides(compiled: &CompiledNetwork, options: SimulatorOptions, ends: (IpAddr, IpAddr)) -> Decides {
    match Lane::between(compiled, SimulatorOptions { stateful: false, ..options }, ends) {
        Lane::Asked { policies, ending, blocks_smtp, leaves, .. } => {
            let lost = match ending {
                Ending::Arrives => None,
                Ending::Lost(reason) => Some(reason),
            };
            Decides::Rules(RulesWay { policies, lost, leaves, blocks_smtp })
        }
        Lane::OutOfScope(_) => Decides::OutOfScope,
        Lane::Slow => Decides::Other,
    }
}

impl Lane {
    /// The way between two addresses; a way that is about one address alone is no lane.
    fn between(
        compiled: &CompiledNetwork,
        options: SimulatorOptions,
        (source, destination): (IpAddr, IpAddr),
    ) -> Self {
        match placings(compiled, source, destination, options.vnet) {
            Err(OutOfScope(reason)) => Self::OutOfScope(reason),
            Ok(placings) => match &placings[..] {
                // What is never carried are classes of their own.
                [placing] if placing.source.is_none() && !is_never_carried(destination) => {
                    let ends = Ends { observed: options.observed, ..placing.ends };
                    let journey = Journey::between(compiled, ends, source, destination);
                    if journey.names_an_address() {
                        Self::Slow
                    } else {
                        Self::of(compiled, &journey, options.stateful)
                    }
                }
                _ => Self::Slow,
            },
        }
    }

    /// What a journey is for plain packets.
    fn of(compiled: &CompiledNetwork, journey: &Journey, stateful: bool) -> Self {
        let mut filters = Vec::new();
        let mut ending = match journey.end {
            End::Arrives => Ending::Arrives,
            End::Lost(reason) => Ending::Lost(reason),
        };
        let (mut blocks_smtp, mut leaves) = (false, None);
        let (mut entered, mut entrance_tcp_min) = (None, None);
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
                    entrance_tcp_min = entrance_tcp_min.into_iter().chain(*timer_min).min();
                    true
                }
                // What leaves goes under another source: nothing may ask for that behind it.
                Stage::Exit(exit) if stages.peek().is_none() => {
                    blocks_smtp = exit.blocks_smtp;
                    leaves = match exit.by {
                        Way::Through(by) => Some(Leaves::By(by)),
                        Way::Somehow => Some(Leaves::Somehow),
                        Way::None => {
                            ending = Ending::Lost(Reason::OutboundConnectivity { interface: exit.interface });
                            Some(Leaves::Nowhere)
                        }
                        Way::Balanced { .. } | Way::ThroughIf(..) | Way::SomehowIf(_) => None,
                    };
                    leaves.is_some()
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
            entrance_tcp_min = None;
        }
        Self::Asked { policies, ending, blocks_smtp, filters: filters.into(), leaves, entrance_tcp_min }
    }
}

/// Destinations that are never carried, whatever rules say (PLAT-9).
pub(super) fn is_never_carried(destination: IpAddr) -> bool {
    destination.is_multicast() || destination == IpAddr::from(Ipv4Addr::BROADCAST)
}

/// Inbound, the platform exempts nothing but the ports of DHCP, which are not [plain](is_plain).
pub(super) fn is_ordinary(start: &Start) -> bool {
    start.spoofed_by.is_none() && (!start.platform || start.direction == Direction::Inbound)
}

impl LaneFilter {
    /// What a filter asks, if that is rules of NSGs alone.
    pub(super) fn of(compiled: &CompiledNetwork, filter: &Filter, entered: Option<Entrance>) -> Option<Self> {
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
