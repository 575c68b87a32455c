//! Flows in short: what a page shows of them, however many there were.
//!
//! A [`Collector`] takes flows as a replay hands them out, one after the other in any order, and keeps a [`Digest`]:
//! sums, and the largest of the denied flows. Digests add up in any order and grouping, and their size hangs on the network
//! and on fixed limits alone.

pub mod groups;
pub mod timeline;
pub mod zones;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::timeline::Timeline;
use self::zones::{Zone, ZoneFinder};
use super::conversations::Conversation;
use super::run::ReplayOptions;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Icmp, Packet, Port};
use crate::model::index::NicIndex;
use crate::model::record::Location;
use crate::model::rule::Protocol;
use crate::model::verdict::{Answer, Reason, RulePlace, StepAnswer, VerdictKind};
use crate::simulate::{Simulator, SimulatorOptions};

/// How many denied flows are kept: the largest.
pub const MOST_DENIED: usize = 1000;

/// How much of something there was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Volume {
    /// Flows.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Volume {
    fn of(flow: &Conversation) -> Self {
        Self { flows: 1, packets: flow.packets, bytes: flow.bytes }
    }

    /// Adds another volume to this one.
    pub fn merge(&mut self, other: &Self) {
        self.flows += other.flows;
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Volumes by what became of the flows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByVerdict([Volume; 4]);

impl ByVerdict {
    /// The volume of one verdict.
    #[must_use]
    pub fn of(&self, kind: VerdictKind) -> &Volume {
        &self.0[kind as usize]
    }

    /// The volume of all verdicts.
    #[must_use]
    pub fn all(&self) -> Volume {
        let mut all = Volume::default();
        self.0.iter().for_each(|one| all.merge(one));
        all
    }

    fn add(&mut self, kind: VerdictKind, volume: &Volume) {
        self.0[kind as usize].merge(volume);
    }

    /// Adds other volumes to these.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.merge(other);
        }
    }
}

/// What is kept of flows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Digest {
    /// All flows.
    pub verdicts: ByVerdict,
    /// By when they began.
    pub timeline: Timeline,
    /// By where they came from and where they went.
    pub pairs: BTreeMap<(Zone, Zone), ByVerdict>,
    /// By the rules on their ways: those that let them on as well as the one that decided.
    pub rules: BTreeMap<RulePlace, Volume>,
    denied: BTreeMap<Rank, Conversation>,
}

/// The order of denied flows: the most packets first, then the most bytes; the rest tells flows apart.
type Rank = (Reverse<u64>, Reverse<u64>, Location, FiveTuple, u64);

impl Digest {
    /// The largest denied flows, by packets and then bytes: at most [`MOST_DENIED`].
    pub fn denied(&self) -> impl ExactSizeIterator<Item = &Conversation> {
        self.denied.values()
    }

    fn keep_denied(&mut self, flow: &Conversation) {
        let Conversation { packets, bytes, location, tuple, first_ns, .. } = *flow;
        let rank = (Reverse(packets), Reverse(bytes), location, tuple, first_ns);
        if self.denied.len() == MOST_DENIED
            && self.denied.last_key_value().is_some_and(|(last, _)| *last < rank)
        {
            return;
        }
        self.denied.insert(rank, flow.clone());
        if self.denied.len() > MOST_DENIED {
            self.denied.pop_last();
        }
    }

    /// Adds another digest to this one.
    pub fn merge(&mut self, other: &Self) {
        self.verdicts.merge(&other.verdicts);
        self.timeline.merge(&other.timeline);
        for (pair, volumes) in &other.pairs {
            self.pairs.entry(*pair).or_default().merge(volumes);
        }
        for (rule, volume) in &other.rules {
            self.rules.entry(*rule).or_default().merge(volume);
        }
        for flow in other.denied.values() {
            self.keep_denied(flow);
        }
    }
}

/// Takes flows and keeps what a page shows of them.
pub struct Collector {
    digest: Digest,
    finder: ZoneFinder,
    simulator: Simulator,
    at: Option<NicIndex>,
}

impl Collector {
    /// A collector of a replay with these options that has seen nothing yet.
    #[must_use]
    pub fn new(compiled: Arc<CompiledNetwork>, options: &ReplayOptions) -> Self {
        Self {
            digest: Digest::default(),
            finder: ZoneFinder::new(Arc::clone(&compiled), options.simulator.vnet),
            simulator: Simulator::new(compiled, again(options.simulator)),
            at: options.at,
        }
    }

    /// Takes one flow.
    pub fn add(&mut self, flow: &Conversation) {
        let (kind, volume) = (flow.verdict.kind(), Volume::of(flow));
        self.digest.verdicts.add(kind, &volume);
        self.digest.timeline.add(flow.first_ns, kind, &volume);
        let pair = self.finder.zones(flow.tuple.source, flow.tuple.destination);
        self.digest.pairs.entry(pair).or_default().add(kind, &volume);
        let packet = first_packet(flow);
        let judged = match (flow.at, self.at) {
            (Some((interface, direction)), _) => {
                Ok(self.simulator.logged_answer(interface, direction, &packet))
            }
            (None, Some(nic)) => self.simulator.at(nic, &packet, flow.first_ns).map(|judged| judged.answer),
            (None, None) => self.simulator.judge(&packet, flow.first_ns).map(|judged| judged.answer),
        };
        // Where earlier packets had settled it, rules alone tell another story: then the one that decided counts.
        let judged = judged.ok().filter(|answer| answer.verdict.kind() == kind);
        let mut rules = judged.as_ref().map(rules_of).unwrap_or_default();
        rules.extend(flow.verdict.reason().and_then(rule_of));
        for rule in rules {
            self.digest.rules.entry(rule).or_default().merge(&volume);
        }
        if kind == VerdictKind::Deny {
            self.digest.keep_denied(flow);
        }
    }

    /// What was kept.
    #[must_use]
    pub fn finish(self) -> Digest {
        self.digest
    }
}

/// How a flow's first packet is judged once more, by itself, as the replay judged it.
#[must_use]
pub fn again(options: SimulatorOptions) -> SimulatorOptions {
    // No flow stays open.
    SimulatorOptions { stateful: false, most_flows: 1, ..options }
}

/// The first packet of a flow, as far as its row tells: no flags, and a whole datagram.
#[must_use]
pub fn first_packet(flow: &Conversation) -> Packet {
    let tuple = flow.tuple;
    match (tuple.protocol, tuple.source_port) {
        // An echo's identifier stands in place of its ports.
        (Protocol::ICMP | Protocol::ICMPV6, Port::Number(identifier)) => {
            let five_tuple = FiveTuple { source_port: Port::None, destination_port: Port::None, ..tuple };
            Packet { icmp: Some(Icmp::Echo { identifier, request: true }), ..Packet::new(five_tuple) }
        }
        _ => Packet::new(tuple),
    }
}

/// The rules that answered on a packet's way, each once. Behind a load balancer the way is the one to the first backend;
/// of the others the rule that decided is known.
fn rules_of(answer: &Answer) -> BTreeSet<RulePlace> {
    let of_step = |answer: &StepAnswer| match answer {
        StepAnswer::Rule(hit) => Some(RulePlace::Nsg { nsg: hit.nsg, rule: hit.rule }),
        StepAnswer::AdminRule(hit, _) => Some(RulePlace::Admin(hit.rule)),
        StepAnswer::PlatformRule(_)
        | StepAnswer::ServiceFirewall(_)
        | StepAnswer::FlowTable
        | StepAnswer::PublicIpGate(_) => None,
    };
    let steps = answer.steps.iter().filter_map(|step| of_step(&step.answer));
    let backends = answer.backends.iter().filter_map(|backend| rule_of(backend.verdict.reason()?));
    steps.chain(backends).collect()
}

/// The rule that settled a verdict, where one did.
fn rule_of(reason: &Reason) -> Option<RulePlace> {
    match reason {
        Reason::SecurityRule(hit) => Some(RulePlace::Nsg { nsg: hit.nsg, rule: hit.rule }),
        Reason::AdminRule(hit) => Some(RulePlace::Admin(hit.rule)),
        _ => None,
    }
}
