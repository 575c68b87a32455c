//! What traffic makes of rules: how often each was hit, when, and which of its terms were needed.
//!
//! A flow hits every rule that answered on its way: those that let it on as well as the one that decided. A flow of which
//! the verdict is open hits the rules that answer alike however the question turns out; what lies beyond is open. Takes
//! flows as a replay hands them out; what it keeps hangs on the network and on fixed limits alone.

mod seen;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub use self::seen::{Block, MOST_SEEN, Seen};
use self::terms::{Covering, Side, Terms, of_port};
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::policy::{Engine, Policy};
use crate::compile::world::{Open, World};
use crate::model::flow::{FiveTuple, Packet, Port};
use crate::model::index::{NicIndex, NsgIndex, PrivateEndpointIndex, SubnetIndex};
use crate::model::rule::{Direction, Protocol, Rule};
use crate::model::tag::TagName;
use crate::model::verdict::{
    Answer, Interface, Note, Reason, RulePlace, Step, StepAnswer, Verdict, VerdictKind,
};
use crate::replay::conversations::Conversation;
use crate::replay::digest::groups::TagFinder;
use crate::replay::digest::zones::{Located, ZoneFinder};
use crate::replay::digest::{again, first_packet};
use crate::replay::run::ReplayOptions;
use crate::replay::tally::{Decider, Hits};
use crate::simulate::Simulator;
use crate::simulate::ends::inside;

/// A rule by its NSG and its position in [`Nsg::rules`](crate::model::nsg::Nsg::rules).
pub type RuleKey = (NsgIndex, u32);

/// What became of all rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Every rule of every NSG.
    pub rules: BTreeMap<RuleKey, RuleUse>,
    /// NSGs that some interface asks. The rules of others cannot be hit.
    pub asked: BTreeSet<NsgIndex>,
    /// Flows that were taken.
    pub flows: u64,
    /// Those of which the verdict is open: rules may have been hit by them that are not counted.
    pub open_flows: u64,
}

/// What became of one rule.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RuleUse {
    /// The flows that hit it, with the packets of both directions.
    pub hits: Hits,
    /// Flows that did not hit it for certain, and of which nobody knows whether they hit it.
    pub open_flows: u64,
    /// Flows by their protocols.
    pub protocols: BTreeMap<Protocol, u64>,
    /// Its source.
    pub source: SideUse,
    /// Its destination.
    pub destination: SideUse,
}

/// What became of one side of a rule.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SideUse {
    /// Each term of its addresses, in order.
    pub terms: Vec<TermUse>,
    /// Each term of its ports, in order.
    pub port_terms: Vec<TermUse>,
    /// Addresses, as the rule saw them.
    pub addresses: Seen<IpAddr>,
    /// What they lie in.
    pub blocks: Seen<Block>,
    /// Service tags that hold some of `addresses`, with their flows.
    pub tags: BTreeMap<TagName, u64>,
    /// Flows whose address is not known, since Azure picks it or another backend's rules were asked.
    pub addresses_unknown: u64,
    /// Ports.
    pub ports: Seen<u16>,
    /// Flows without a port, or whose port is not known.
    pub portless: u64,
}

/// What became of one term.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TermUse {
    /// Flows that it certainly holds. A flow counts for every term that covers it.
    pub flows: u64,
    /// Flows of which nobody knows whether it holds them.
    pub open: u64,
}

impl TermUse {
    /// Whether it is certain that no flow needed it.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.flows == 0 && self.open == 0
    }
}

impl RuleUse {
    fn unused(rule: &Rule) -> Self {
        let side = |side: Side| SideUse {
            terms: vec![TermUse::default(); side.addresses(rule).len()],
            port_terms: vec![TermUse::default(); side.ports(rule).len()],
            ..SideUse::default()
        };
        Self { source: side(Side::Source), destination: side(Side::Destination), ..Self::default() }
    }
}

/// A rule that answered, and what it saw of a packet, as far as that is known.
struct Asked {
    nsg: NsgIndex,
    rule: u32,
    interface: Interface,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    /// Protocol and ports.
    tuple: Option<FiveTuple>,
}

/// Takes flows and keeps what they make of rules.
pub struct Collector<'c> {
    compiled: &'c CompiledNetwork,
    simulator: Simulator,
    at: Option<NicIndex>,
    terms: Terms<'c>,
    zones: ZoneFinder,
    usage: Usage,
}

impl<'c> Collector<'c> {
    /// A collector of a replay with these options that has seen nothing yet.
    #[must_use]
    pub fn new(compiled: &'c Arc<CompiledNetwork>, options: &ReplayOptions) -> Self {
        let mut usage = Usage::default();
        for (nsg, own) in compiled.network.nsgs.iter().enumerate() {
            for (position, rule) in (0..).zip(&own.rules) {
                usage.rules.insert((NsgIndex::new(nsg), position), RuleUse::unused(rule));
            }
        }
        usage.asked = compiled.policies.iter().map(|policy| policy.nsg()).collect();
        Self {
            compiled,
            simulator: Simulator::new(Arc::clone(compiled), again(options.simulator)),
            at: options.at,
            terms: Terms::new(compiled),
            zones: ZoneFinder::new(Arc::clone(compiled), options.simulator.vnet),
            usage,
        }
    }

    /// Takes one flow.
    pub fn add(&mut self, flow: &Conversation) {
        self.usage.flows += 1;
        self.usage.open_flows += u64::from(flow.verdict.kind() == VerdictKind::Undetermined);
        let mut by_rule: BTreeMap<RuleKey, Vec<Asked>> = BTreeMap::new();
        let (asked, perhaps) = self.asked(flow);
        for asked in asked {
            by_rule.entry((asked.nsg, asked.rule)).or_default().push(asked);
        }
        let known = flow.first_ns != 0;
        let span = known.then_some((flow.first_ns, flow.last_ns));
        let hits = Hits { packets: flow.packets, bytes: flow.bytes, flows: 1, span };
        for key in perhaps.into_iter().filter(|key| !by_rule.contains_key(key)) {
            let of = self.usage.rules.get_mut(&key).expect("every rule has its entry from the start");
            of.open_flows += 1;
        }
        for (key, asked) in by_rule {
            self.count(key, &hits, flow.tuple.protocol, &asked);
        }
    }

    /// What was kept.
    #[must_use]
    pub fn finish(self) -> Usage {
        let mut usage = self.usage;
        let mut finder = TagFinder::new(&self.compiled.tags);
        for rule in usage.rules.values_mut() {
            for side in [&mut rule.source, &mut rule.destination] {
                for (address, flows) in &side.addresses.flows {
                    for tag in &*finder.of(*address) {
                        *side.tags.entry(tag.clone()).or_default() += flows;
                    }
                }
            }
        }
        usage
    }

    /// The rules that answered on a flow's way, and those that may have, where that is open.
    fn asked(&mut self, flow: &Conversation) -> (Vec<Asked>, BTreeSet<RuleKey>) {
        let packet = first_packet(flow);
        let judged = match (flow.at, self.at) {
            (Some((interface, direction)), _) => {
                Ok(self.simulator.logged_answer(interface, direction, &packet))
            }
            (None, Some(nic)) => self.simulator.at(nic, &packet, flow.first_ns).map(|judged| judged.answer),
            (None, None) => self.simulator.judge(&packet, flow.first_ns).map(|judged| judged.answer),
        };
        // Where earlier packets had settled it, rules alone tell another story: then the one that decided counts.
        let settled = |verdict: &Verdict| (verdict.kind(), Decider::from(verdict));
        let same = |answer: &Answer| settled(&answer.verdict) == settled(&flow.verdict);
        let Some(answer) = judged.ok().filter(same) else {
            let perhaps = self.perhaps(flow, &packet, &Answer::bare(flow.verdict.clone()));
            return (decided(&flow.verdict).into_iter().collect(), perhaps);
        };
        let perhaps = self.perhaps(flow, &packet, &answer);
        let mut asked = self.of_steps(&answer.steps, &packet);
        asked.extend(self.of_backends(&answer));
        // Whichever decided is one of them, also where it is not told what it saw.
        let deciders = answer.backends.iter().map(|backend| &backend.verdict).chain([&flow.verdict]);
        for decider in deciders.filter_map(decided) {
            let is_decider = |other: &Asked| (other.nsg, other.rule) == (decider.nsg, decider.rule);
            if !asked.iter().any(is_decider) {
                asked.push(decider);
            }
        }
        (asked, perhaps)
    }

    /// The rules that may have answered where a question was open, whatever the answer to it is: at the interfaces whose
    /// steps are known, and at those of the flow's ends.
    ///
    /// LIMIT: of the interfaces that pass a flow on, behind the first question, nothing is told.
    fn perhaps(&mut self, flow: &Conversation, packet: &Packet, answer: &Answer) -> BTreeSet<RuleKey> {
        let is_open = answer.verdict.kind() == VerdictKind::Undetermined
            || answer.notes.iter().any(|note| matches!(note, Note::DidNotMatter(_)));
        if !is_open {
            return BTreeSet::new();
        }
        let steps = answer.steps.iter();
        let mut places: Vec<(Interface, Direction, FiveTuple)> =
            steps.map(|step| (step.interface, step.direction, step.seen)).collect();
        let tuple = packet.five_tuple;
        match (flow.at, self.at) {
            (Some((interface, direction)), _) => places.push((interface, direction, tuple)),
            (None, Some(nic)) => {
                let both = [Direction::Inbound, Direction::Outbound];
                places.extend(both.map(|direction| (Interface::Nic(nic), direction, tuple)));
            }
            (None, None) => places.extend(self.ends(&tuple)),
        }
        let mut rules = BTreeSet::new();
        for (interface, direction, seen) in places {
            for layer in self.compiled.layers(interface, direction) {
                if let PolicyReference::Compiled(policy) = layer.policy {
                    may_answer(self.compiled, &self.compiled.policies[policy], &seen, &mut rules);
                }
            }
        }
        rules
    }

    /// The interfaces of a flow's ends, with what they see of it.
    fn ends(&mut self, tuple: &FiveTuple) -> Vec<(Interface, Direction, FiveTuple)> {
        let network = &self.compiled.network;
        let arriving =
            FiveTuple { destination: self.compiled.places.private(network, tuple.destination), ..*tuple };
        let interface = |end: Located| match (end.nic, end.subnet) {
            (Some(nic), _) => Some(Interface::Nic(nic)),
            (None, subnet) => subnet.map(Interface::Unlisted),
        };
        let (from, to) = self.zones.ends(tuple.source, tuple.destination);
        let mut ends: Vec<_> =
            interface(from).map(|from| (from, Direction::Outbound, *tuple)).into_iter().collect();
        ends.extend(interface(to).map(|to| (to, Direction::Inbound, arriving)));
        for (position, endpoint) in network.private_endpoints.iter().enumerate() {
            if endpoint.addresses.contains(&tuple.destination) {
                let endpoint = Interface::Endpoint(PrivateEndpointIndex::new(position));
                ends.push((endpoint, Direction::Inbound, arriving));
            }
        }
        ends
    }

    fn of_steps(&self, steps: &[Step], packet: &Packet) -> Vec<Asked> {
        // A packet from inside to a public address of the network comes back under a source that Azure picks, which nobody
        // knows: the steps behind that show the one before it.
        let FiveTuple { source, destination, .. } = packet.five_tuple;
        let is_picked = self.compiled.places.public(destination).is_some()
            && !inside(self.compiled, source, None).is_empty();
        let known =
            |step: &Step| !(is_picked && step.direction == Direction::Inbound && step.seen.source == source);
        let of_rule = |step: &Step| match &step.answer {
            StepAnswer::Rule(hit) => Some(Asked {
                nsg: hit.nsg,
                rule: hit.rule,
                interface: step.interface,
                source: known(step).then_some(step.seen.source),
                destination: Some(step.seen.destination),
                tuple: Some(step.seen),
            }),
            StepAnswer::AdminRule(..)
            | StepAnswer::PlatformRule(_)
            | StepAnswer::ServiceFirewall(_)
            | StepAnswer::FlowTable
            | StepAnswer::PublicIpGate(_) => None,
        };
        steps.iter().filter_map(of_rule).collect()
    }

    /// The rules at the backends whose way the steps do not show: there the packet comes in as at the one that they show.
    fn of_backends(&self, answer: &Answer) -> Vec<Asked> {
        let mut asked = Vec::new();
        let shown = answer.steps.iter().rev().find(|step| step.direction == Direction::Inbound);
        for backend in &answer.backends {
            if let (Some(nic), Some(address), Some(shown)) = (backend.nic, backend.address, shown)
                && shown.interface != Interface::Nic(nic)
            {
                let packet = Packet::new(FiveTuple { destination: address, ..shown.seen });
                let steps = self.simulator.ip_flow(nic, Direction::Inbound, &packet).steps;
                asked.extend(self.of_steps(&steps, &packet));
            }
        }
        asked
    }

    fn count(&mut self, key: RuleKey, hits: &Hits, protocol: Protocol, asked: &[Asked]) {
        let (nsg, position) = key;
        let place = RulePlace::Nsg { nsg, rule: position };
        let network = &self.compiled.network;
        let rule = &network.nsgs[nsg.get()].rules[position as usize];
        let mut sides = [Sighted::default(), Sighted::default()];
        for (side, sighted) in [Side::Source, Side::Destination].into_iter().zip(&mut sides) {
            for one in asked {
                let (address, port) = match side {
                    Side::Source => (one.source, one.tuple.map(|tuple| tuple.source_port)),
                    Side::Destination => (one.destination, one.tuple.map(|tuple| tuple.destination_port)),
                };
                let terms = side.addresses(rule).len();
                sighted.terms.merge(match address {
                    Some(address) => self.terms.of_address((place, rule), side, one.interface, address),
                    None => Covering::unknown(terms),
                });
                match address {
                    Some(address) => {
                        sighted.addresses.insert(address);
                        sighted.blocks.insert(self.block(one, side, address));
                    }
                    None => sighted.addresses_unknown = true,
                }
                sighted.port_terms.merge(match port {
                    Some(port) => of_port(side.ports(rule), port),
                    None => Covering::unknown(side.ports(rule).len()),
                });
                match port {
                    Some(Port::Number(number)) => {
                        sighted.ports.insert(number);
                    }
                    Some(Port::None | Port::NotGiven) | None => sighted.portless = true,
                }
            }
        }
        let entry = self.usage.rules.get_mut(&key).expect("every rule has its entry from the start");
        entry.hits.merge(hits);
        *entry.protocols.entry(protocol).or_default() += 1;
        let [source, destination] = sides;
        source.count(&mut entry.source);
        destination.count(&mut entry.destination);
    }

    /// What an address lies in. One that several networks have is looked for in that of the other end.
    fn block(&mut self, asked: &Asked, side: Side, address: IpAddr) -> Block {
        let (Some(source), Some(destination)) = (asked.source, asked.destination) else {
            return Block::around(address);
        };
        let (from, to) = self.zones.ends(source, destination);
        let located = if side == Side::Source { from } else { to };
        let network = &self.compiled.network;
        let range = |subnet: SubnetIndex| {
            let prefixes = &network.subnets[subnet.get()].prefixes;
            let prefix = prefixes.iter().find(|prefix| prefix.contains(&address))?;
            Some(Block { prefix: *prefix, subnet: Some(subnet) })
        };
        located.subnet.and_then(range).unwrap_or_else(|| Block::around(address))
    }
}

/// What one flow showed of a side of a rule, each thing once however often the rule was asked.
#[derive(Default)]
struct Sighted {
    terms: Covering,
    port_terms: Covering,
    addresses: BTreeSet<IpAddr>,
    blocks: BTreeSet<Block>,
    addresses_unknown: bool,
    ports: BTreeSet<u16>,
    portless: bool,
}

impl Sighted {
    fn count(self, side: &mut SideUse) {
        let add = |list: &mut [TermUse], covering: &Covering| {
            covering.sure.iter().for_each(|term| list[*term].flows += 1);
            covering.open.difference(&covering.sure).for_each(|term| list[*term].open += 1);
        };
        add(&mut side.terms, &self.terms);
        add(&mut side.port_terms, &self.port_terms);
        self.addresses.into_iter().for_each(|address| side.addresses.add(address));
        self.blocks.into_iter().for_each(|block| side.blocks.add(block));
        side.addresses_unknown += u64::from(self.addresses_unknown);
        self.ports.into_iter().for_each(|port| side.ports.add(port));
        side.portless += u64::from(self.portless);
    }
}

/// How many ways to answer open questions are tried for one list of rules.
const MOST_WORLDS: usize = 64;

/// Adds the rules of a list that decide about a packet under some answers to what is open.
fn may_answer(compiled: &CompiledNetwork, policy: &Policy, tuple: &FiveTuple, rules: &mut BTreeSet<RuleKey>) {
    let cells = (compiled.cell(tuple.source), compiled.cell(tuple.destination));
    let mut waiting = vec![World::default()];
    let mut tried = 0;
    while tried < MOST_WORLDS
        && let Some(world) = waiting.pop()
    {
        tried += 1;
        match policy.decide(Engine::Linear, tuple, cells, &world) {
            Ok(decision) => rules.extend(decision.map(|decision| (policy.nsg(), decision.rule))),
            Err(open) => {
                let Open(question) = *open;
                waiting.push(world.with(question.clone(), true));
                waiting.push(world.with(question, false));
            }
        }
    }
    if !waiting.is_empty() {
        rules.extend(policy.rules.iter().map(|rule| (policy.nsg(), rule.position)));
    }
}

/// The rule that settled a verdict, where one did. What it saw is not told.
fn decided(verdict: &Verdict) -> Option<Asked> {
    let Some(Reason::SecurityRule(hit)) = verdict.reason() else { return None };
    let (nsg, rule, interface) = (hit.nsg, hit.rule, hit.interface);
    Some(Asked { nsg, rule, interface, source: None, destination: None, tuple: None })
}
