//! The judge: packets in, verdicts out, with the flows that are open in between.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use super::ends::{Ends, OutOfScope, Placing, placings};
use super::express::{Ending, Express, LaneFilter, LaneId};
use super::journey::Journey;
use super::logged::LoggedWays;
use super::replies;
use super::state::{Entrance, FlowKey, FlowRecord, FlowTable, Fragments};
use super::walk::{Outcome, Trace, Walk};
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::policy::{Classified, Engine};
use crate::compile::topology::TopologyClass;
use crate::model::flow::{FiveTuple, Fragment, Origin, Packet, TcpFlags};
use crate::model::index::{NicIndex, VnetIndex};
use crate::model::reason_code::ReasonCode;
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Answer, Interface, Reason, RouteStep, RuleHit, Verdict, VerdictKind};

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub struct SimulatorOptions {
    /// Which engine.
    pub engine: Engine,
    /// Flows stay open (STATE-1); otherwise every packet stands alone.
    pub stateful: bool,
    /// The network in which addresses are looked for, where several hold them.
    pub vnet: Option<VnetIndex>,
    /// The packets were seen on the wire; otherwise they are questions.
    pub observed: bool,
    /// How many flow records are kept at most.
    pub most_flows: usize,
    /// How many pairs of places the journeys are kept of at most.
    pub most_plans: usize,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            engine: Engine::Compiled,
            stateful: true,
            vnet: None,
            observed: true,
            most_flows: 1 << 20,
            most_plans: 1 << 16,
        }
    }
}

/// A verdict about a captured packet.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What became of it.
    pub answer: Answer,
    /// It was let through by records of open flows alone.
    pub continued: bool,
    /// The packet with its source as it was before translation.
    pub packet: Packet,
}

/// What became of a plain packet on its lane.
#[derive(Clone, Debug)]
pub struct Passed {
    /// What became of it.
    pub verdict: Verdict,
    /// The rule that decided, where one did: the list (position in [`CompiledNetwork::policies`]) and its place there.
    pub rule: Option<(u32, u32)>,
    /// It was let through by records of open flows alone.
    pub continued: bool,
}

/// All ways that packets between two topology classes can take.
enum Plan {
    Ways(Vec<(Placing, Journey)>),
    OutOfScope(OutOfScope),
}

/// Judges packets against one network, one after the other.
pub struct Simulator {
    compiled: Arc<CompiledNetwork>,
    options: SimulatorOptions,
    flows: FlowTable,
    fragments: Fragments<Verdict>,
    plans: HashMap<(TopologyClass, TopologyClass), Arc<Plan>, foldhash::fast::FixedState>,
    pub(super) logged_ways: LoggedWays,
}

impl Simulator {
    /// A simulator without open flows.
    #[must_use]
    pub fn new(compiled: Arc<CompiledNetwork>, options: SimulatorOptions) -> Self {
        Self {
            compiled,
            options,
            flows: FlowTable::new(options.most_flows),
            fragments: Fragments::new(options.most_flows.min(1 << 16)),
            plans: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            logged_ways: LoggedWays::default(),
        }
    }

    /// The same open flows under another reading of the same network, which need not have tables.
    #[must_use]
    pub(super) fn fork(&self, compiled: Arc<CompiledNetwork>) -> Self {
        let (flows, fragments) = (self.flows.clone(), self.fragments.clone());
        Self { flows, fragments, ..Self::new(compiled, self.options) }
    }

    /// The network in which addresses are looked for, where several hold them.
    #[must_use]
    pub fn vnet(&self) -> Option<VnetIndex> {
        self.options.vnet
    }

    /// The engine that it judges with.
    pub(super) fn engine(&self) -> Engine {
        self.options.engine
    }

    /// The network that it judges by.
    #[must_use]
    pub fn compiled(&self) -> &Arc<CompiledNetwork> {
        &self.compiled
    }

    /// Live flow records, and first fragments, that had to leave because their table was full.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.flows.evicted + self.fragments.evicted
    }

    /// The journey of a packet whose start is known (SIM-6, `path`).
    pub fn path(&mut self, ends: Ends, packet: &Packet, time_ns: u64) -> Answer {
        self.judge_from(ends, packet, time_ns).answer
    }

    /// As [`Simulator::path`], with what a count of flows needs to know.
    pub fn judge_from(&mut self, ends: Ends, packet: &Packet, time_ns: u64) -> Judged {
        let FiveTuple { source, destination, .. } = packet.five_tuple;
        let journey = Journey::between(&self.compiled, ends, source, destination);
        let (mut answer, continued) = self.take_fragment(ends, &journey, packet, time_ns);
        if packet.five_tuple.protocol == Protocol::TCP && answer.verdict.kind() == VerdictKind::Allow {
            answer.asymmetric =
                replies::are_asymmetric(&self.compiled, &journey, &packet.five_tuple, &answer.steps);
        }
        Judged { answer, continued, packet: *packet }
    }

    /// The route that an interface's packets to an address take (SIM-6, `nextHop`); nothing where none does.
    ///
    /// # Errors
    ///
    /// Fails with what the inputs do not hold, where the route hangs on it.
    pub fn next_hop(&self, nic: NicIndex, destination: IpAddr) -> Result<Option<RouteStep>, Unknown> {
        Journey::next_hop(&self.compiled, nic, destination)
    }

    /// One interface's filters alone, without state: what IP flow verify answers (SIM-6, NW-1).
    #[must_use]
    pub fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        let journey = Journey::at(Interface::Nic(nic), direction);
        self.walk(packet, 0, false).taking_fragments_as_packets().take(&journey).answer
    }

    /// One interface's filters alone, for a packet that was captured there.
    ///
    /// # Errors
    ///
    /// Fails where neither end of the packet is the interface.
    pub fn at(&mut self, nic: NicIndex, packet: &Packet, time_ns: u64) -> Result<Judged, OutOfScope> {
        let interface = &self.compiled.network.nics[nic.get()];
        let FiveTuple { source, destination, .. } = packet.five_tuple;
        let (sends, receives) = (interface.has(source), interface.has(destination));
        if !sends && !receives {
            return Err(OutOfScope(ReasonCode::NotAtNic));
        }
        let direction = if sends { Direction::Outbound } else { Direction::Inbound };
        // A packet to itself does not leave the guest (EVAL-9).
        let journey = if sends && receives {
            Journey::of_nothing()
        } else {
            Journey::at(Interface::Nic(nic), direction)
        };
        let (answer, continued) = self.take_fragment(Origin::Nic(nic).into(), &journey, packet, time_ns);
        Ok(Judged { answer, continued, packet: *packet })
    }

    /// The journey of a captured packet: its ends are found by its addresses.
    ///
    /// # Errors
    ///
    /// Fails where neither end is in the network.
    pub fn judge(&mut self, packet: &Packet, time_ns: u64) -> Result<Judged, OutOfScope> {
        let FiveTuple { source, destination, .. } = packet.five_tuple;
        let plan = self.plan(source, destination);
        let ways = match &*plan {
            Plan::OutOfScope(out) => return Err(*out),
            Plan::Ways(ways) => ways,
        };
        let mut judged: Option<Judged> = None;
        for (placing, journey) in ways {
            let mut packet = *packet;
            packet.five_tuple.source = placing.source.unwrap_or(packet.five_tuple.source);
            let (answer, continued) = self.take_fragment(placing.ends, journey, &packet, time_ns);
            match &mut judged {
                None => judged = Some(Judged { answer, continued, packet }),
                // Networks that agree leave nothing open.
                Some(first) if first.answer.verdict.kind() == answer.verdict.kind() => {}
                Some(first) => {
                    let address = destination;
                    first.answer.verdict = Verdict::Undetermined(Unknown::AmbiguousPlace { address });
                }
            }
        }
        Ok(judged.expect("a plan has at least one way"))
    }

    /// A plain packet on a lane: what became of it, and whether records alone let it through. Nothing where something else
    /// than rules and records may decide: then nothing has changed, and [`Simulator::judge`] is to be asked.
    ///
    /// It answers as that does, which is tested (`tests/express.rs`): the record of a flow first, then rules (EVAL-1), and
    /// the records that the packet leaves behind (STATE-1, STATE-7).
    pub fn pass(
        &mut self,
        express: &Express,
        lane: LaneId,
        tuple: &FiveTuple,
        tcp: Option<TcpFlags>,
        time_ns: u64,
    ) -> Option<Passed> {
        let lane = express.flow_lane(lane)?;
        let syn = tcp.is_some_and(TcpFlags::opens);
        let is_tcp = tuple.protocol == Protocol::TCP;
        let mut met: [Option<(FlowKey, Met)>; MOST_FILTERS] = [None; MOST_FILTERS];
        if lane.filters.len() > MOST_FILTERS {
            return None;
        }
        let (mut last, mut denied, mut asked) = (Reason::NoSecurityGroup, None, None);
        let mut rule_of_last = None;
        for (filter, met) in lane.filters.iter().zip(&mut met) {
            let LaneFilter { interface, direction, timeout_ns, ref policies, .. } = *filter;
            let flow = FlowKey::new(interface, direction, tuple, None);
            let record = self.flows.alive(&flow, time_ns, timeout_ns).filter(|_| !syn);
            if let Some(record) = record {
                // What came in by something goes back by it (OUT-5): by a public address it leaves whatever the way out is,
                // and inside it changes the packet.
                let returns = match record.entered.filter(|_| direction == Direction::Outbound) {
                    None => true,
                    Some(Entrance::Instance(_) | Entrance::Frontend { public: true, .. }) => {
                        lane.ending == Ending::Arrives
                    }
                    Some(Entrance::Frontend { public: false, .. } | Entrance::PrivateLink) => false,
                };
                if !record.is_certain() || !returns {
                    return None;
                }
                *met = Some((flow, Met::Continues));
                last = Reason::FlowState { interface, direction };
                rule_of_last = None;
                continue;
            }
            for &(position, layer) in policies {
                let policy = &self.compiled.policies[position as usize];
                let key = asked.get_or_insert_with(|| self.compiled.key(tuple));
                let Classified { place, access } = policy.classify_key(key)?;
                let rule = policy.rules[place as usize].position;
                let hit = RuleHit { interface, direction, layer, nsg: policy.nsg(), rule };
                last = Reason::SecurityRule(hit);
                rule_of_last = Some((position, place));
                if access == Access::Deny {
                    denied = Some(last);
                    break;
                }
            }
            if denied.is_some() {
                *met = Some((flow, Met::Denied));
                break;
            }
            // How long what translates it remembers the flow hangs on by what it leaves.
            if lane.translates {
                return None;
            }
            *met = Some((flow, Met::Opens));
        }
        let mut continued = false;
        for ((flow, met), filter) in met.into_iter().flatten().zip(lane.filters) {
            let direction = filter.direction;
            match met {
                Met::Continues => {
                    continued = true;
                    self.flows.pass(&flow, direction, time_ns, tcp);
                }
                Met::Opens => {
                    let translated_min = lane.entrance_tcp_min.filter(|_| is_tcp);
                    let mut record = FlowRecord::new(direction, filter.entered, translated_min, time_ns);
                    if record.pass(direction, time_ns, tcp) {
                        self.flows.end(&flow);
                    } else {
                        let compiled = &self.compiled;
                        self.flows.keep(flow, record, |interface| compiled.idle_timeout_ns(interface));
                    }
                }
                // A connection that begins anew ends the one before it (STATE-7).
                Met::Denied if syn => self.flows.end(&flow),
                Met::Denied => {}
            }
        }
        let (verdict, rule) = match (denied, lane.ending) {
            (Some(reason), _) => (Verdict::Deny(reason), rule_of_last),
            (None, Ending::Lost(reason)) => (Verdict::Deny(reason), None),
            (None, Ending::Arrives) => (Verdict::Allow(last), rule_of_last),
        };
        Some(Passed { verdict, rule, continued: continued && asked.is_none() })
    }

    /// Has the records of a packet's flow at the interfaces of its lane brought into the caches.
    pub fn fetch(&self, express: &Express, lane: LaneId, tuple: &FiveTuple) {
        let Some(lane) = express.flow_lane(lane) else { return };
        for filter in lane.filters {
            self.flows.fetch(&FlowKey::new(filter.interface, filter.direction, tuple, None));
        }
    }

    /// Puts a changed network in place: open flows stay open, but for those under an NSG that flushes (STATE-4, STATE-5).
    ///
    /// The networks may differ in the rules of their NSGs only: interfaces and subnets keep their indices.
    pub fn change(&mut self, compiled: Arc<CompiledNetwork>) {
        let before = std::mem::replace(&mut self.compiled, compiled);
        self.plans.clear();
        self.logged_ways.clear();
        let after = Arc::clone(&self.compiled);
        let engine = self.options.engine;
        self.flows.review(|key, record| {
            // The rule that took a flow back may have moved or gone.
            if record.revoked().is_none() && !flushes(&before, &after, key.interface(), record.opened) {
                return None;
            }
            let packet = Packet::new(key.opener(record.opened));
            let walk = Walk::new(&after, engine, None, &packet, 0);
            Some(walk.take(&Journey::at(key.interface(), record.opened)).answer.verdict)
        });
    }

    pub(super) fn walk<'a>(&'a self, packet: &'a Packet, time_ns: u64, stateful: bool) -> Walk<'a> {
        let flows = stateful.then_some(&self.flows);
        Walk::new(&self.compiled, self.options.engine, flows, packet, time_ns)
    }

    fn plan(&mut self, source: IpAddr, destination: IpAddr) -> Arc<Plan> {
        let classes = (self.compiled.class(source), self.compiled.class(destination));
        // Whether a packet goes to its own sender (EVAL-9) no class says.
        let is_own = source == destination;
        if let Some(plan) = self.plans.get(&classes).filter(|_| !is_own) {
            return Arc::clone(plan);
        }
        let compiled = &self.compiled;
        let plan = match placings(compiled, source, destination, self.options.vnet) {
            Err(out) => Plan::OutOfScope(out),
            Ok(placings) => Plan::Ways(
                placings
                    .into_iter()
                    .map(|mut placing| {
                        placing.ends.observed = self.options.observed;
                        let source = placing.source.unwrap_or(source);
                        (placing, Journey::between(compiled, placing.ends, source, destination))
                    })
                    .collect(),
            ),
        };
        let plan = Arc::new(plan);
        // A plan that names an address of the packet is not another packet's of the same classes.
        if plan.is_shared() && !is_own && !self.compiled.linear_only {
            if self.plans.len() >= self.options.most_plans {
                self.plans.clear();
            }
            self.plans.insert(classes, Arc::clone(&plan));
        }
        plan
    }

    /// Later fragments follow their first one (STATE-11).
    fn take_fragment(
        &mut self,
        ends: Ends,
        journey: &Journey,
        packet: &Packet,
        time_ns: u64,
    ) -> (Answer, bool) {
        let seen = &packet.five_tuple;
        // What the packet names does not tell datagrams apart.
        let ends = Ends { target: None, ..ends };
        match packet.fragment {
            Fragment::Whole => self.take(journey, packet, time_ns),
            Fragment::First { identification } => {
                let (answer, continued) = self.take(journey, packet, time_ns);
                self.fragments.first((ends, *seen, identification), time_ns, answer.verdict.clone());
                (answer, continued)
            }
            Fragment::Later { identification } => {
                match self.fragments.later((ends, *seen, identification), time_ns) {
                    Some(verdict) => (Answer::bare(verdict), false),
                    // The first filters that it comes to deny it.
                    None => self.take(journey, packet, time_ns),
                }
            }
        }
    }

    fn take(&mut self, journey: &Journey, packet: &Packet, time_ns: u64) -> (Answer, bool) {
        let Outcome { answer, traces, continued } =
            self.walk(packet, time_ns, self.options.stateful).take(journey);
        if self.options.stateful {
            let compiled = &self.compiled;
            for trace in traces {
                match trace {
                    Trace::Continued(key, direction) => {
                        self.flows.pass(&key, direction, time_ns, packet.tcp);
                    }
                    Trace::Ended(key) => self.flows.end(&key),
                    Trace::Kept(key, record) => {
                        self.flows.keep(key, record, |interface| compiled.idle_timeout_ns(interface));
                    }
                }
            }
        }
        (answer, continued)
    }
}

impl Plan {
    /// Whether nothing in it is about one address alone: then packets of the same topology classes share it.
    fn is_shared(&self) -> bool {
        match self {
            Self::OutOfScope(_) => true,
            Self::Ways(ways) => !ways.iter().any(|(_, journey)| journey.names_an_address()),
        }
    }
}

/// How many interfaces' filters a lane may have: those of its two ends, and of a machine that forwards between them.
const MOST_FILTERS: usize = 4;

/// What a packet meets at the filters of an interface.
#[derive(Clone, Copy)]
enum Met {
    /// The record of its flow.
    Continues,
    /// Rules that let it in.
    Opens,
    /// Rules that do not.
    Denied,
}

/// Whether a change makes the flows at an interface be evaluated again: an NSG there flushes, and its rules changed or
/// it did not flush before (NSG-20, STATE-5).
fn flushes(
    before: &CompiledNetwork,
    after: &CompiledNetwork,
    interface: Interface,
    direction: Direction,
) -> bool {
    after.layers(interface, direction).iter().any(|layer| {
        let PolicyReference::Compiled(position) = layer.policy else { return false };
        let nsg = &after.network.nsgs[after.policies[position].nsg().get()];
        let earlier = before.network.nsgs.iter().find(|earlier| earlier.id == nsg.id);
        nsg.flush_connection
            && earlier.is_some_and(|earlier| !earlier.flush_connection || earlier.rules != nsg.rules)
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::{Simulator, SimulatorOptions};
    use crate::compile::network::{CompileOptions, CompiledNetwork};
    use crate::model::id::ResourceId;
    use crate::model::network::{IpConfiguration, Network, Nic};

    const ONE: &str = "10.0.0.4";
    const OTHER: &str = "10.0.0.5";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nic(address: &str) -> Nic {
        let id = ResourceId::new(&format!("/subscriptions/0/networkInterfaces/{address}")).unwrap();
        let configuration = IpConfiguration {
            id: id.child("ipConfigurations", "c"),
            address: Some(ip(address)),
            primary: true,
            public_ip: None,
            asgs: Vec::new(),
            backend_pools: Vec::new(),
            inbound_nat_rules: Vec::new(),
        };
        Nic {
            id,
            ip_configurations: vec![configuration],
            subnet: None,
            nsg: None,
            ip_forwarding: false,
            mac: None,
            machine: None,
        }
    }

    /// Two interfaces of which nobody knows where they are.
    fn simulator(most_plans: usize) -> Simulator {
        let network = Network { nics: vec![nic(ONE), nic(OTHER)], ..Network::default() };
        let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default());
        Simulator::new(Arc::new(compiled), SimulatorOptions { most_plans, ..SimulatorOptions::default() })
    }

    #[test]
    fn a_plan_is_laid_once_for_packets_between_the_same_classes() {
        let mut simulator = simulator(8);
        let first = simulator.plan(ip("198.51.100.8"), ip(ONE));
        assert!(Arc::ptr_eq(&first, &simulator.plan(ip("198.51.100.9"), ip(ONE))));
        assert!(!Arc::ptr_eq(&first, &simulator.plan(ip("198.51.100.9"), ip(OTHER))));
        // Neither end is in the network.
        simulator.plan(ip("198.51.100.9"), ip("198.51.100.8"));
        assert_eq!(simulator.plans.len(), 3);
    }

    #[test]
    fn as_many_plans_are_kept_as_the_options_say() {
        let mut simulator = simulator(2);
        let mut kept_after = |source: &str, destination: &str| {
            simulator.plan(ip(source), ip(destination));
            simulator.plans.len()
        };
        assert_eq!(kept_after("198.51.100.9", ONE), 1);
        assert_eq!(kept_after("198.51.100.9", OTHER), 2);
        assert_eq!(kept_after("198.51.100.8", ONE), 2);
        // Full, it starts anew.
        assert_eq!(kept_after(ONE, "198.51.100.9"), 1);
    }
}
