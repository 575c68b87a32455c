//! A packet takes its journey, in one world or in all that are possible.
//!
//! `follow` goes from stage to stage in one world; the other files are what it meets: `filter` an interface, `platform`
//! its exemptions, `balance` a load balancer, `exit` the way to the internet, `service` the firewall of a service.

mod admin;
mod balance;
mod exit;
mod filter;
mod follow;
mod platform;
mod service;
mod traces;

use std::cell::Cell;
use std::net::IpAddr;

pub(super) use self::traces::Trace;
use self::traces::{How, Touch};
use super::journey::Journey;
use super::state::{Entrance, FlowTable};
use crate::compile::network::CompiledNetwork;
use crate::compile::policy::Engine;
use crate::compile::world::{Open, World};
use crate::model::flow::{FiveTuple, Icmp, Packet, Port};
use crate::model::index::LoadBalancerIndex;
use crate::model::rule::Protocol;
use crate::model::unknown::{Feature, Unknown};
use crate::model::verdict::{
    Answer, BackendAnswer, Note, Reason, RouteStep, Step, StepAnswer, Translation, Verdict,
};

/// How many worlds are tried for one packet.
const MOST_WORLDS: usize = 64;

/// How many ways through load balancers are tried for one packet in one world.
const MOST_WAYS: usize = 4096;

/// A packet on its way.
pub(super) struct Walk<'a> {
    compiled: &'a CompiledNetwork,
    engine: Engine,
    /// Open flows; nothing: every packet stands alone.
    flows: Option<&'a FlowTable>,
    packet: &'a Packet,
    time_ns: u64,
    /// Ways through load balancers so far, in the world that is looked at.
    ways: Cell<usize>,
    /// A fragment whose first was not seen is no packet to be judged by rules (STATE-11).
    follows_fragments: bool,
}

/// How far a packet has come in one world, and as what.
#[derive(Clone)]
struct Course {
    /// The packet as it is now.
    seen: FiveTuple,
    /// What it quotes if it is an ICMP error, rewritten with it (STATE-10).
    quoted: Option<FiveTuple>,
    /// Its source is a public address that Azure picks (SIM-10).
    picked: bool,
    /// By what it came in.
    entered: Option<Entrance>,
    /// It answers a flow that came in by this.
    answers: Option<Entrance>,
    /// It answers a flow that came in by a Private Link service, and nobody on the way made it another's.
    to_consumer: bool,
    /// What last let it through.
    last: Reason,
    met: Met,
}

/// What a packet met on its way.
#[derive(Clone, Default)]
struct Met {
    touches: Vec<Touch>,
    steps: Vec<Step>,
    routes: Vec<RouteStep>,
    notes: Vec<Note>,
    translation: Translation,
    backends: Vec<BackendAnswer>,
    /// The shortest memory of what translates it on the way, in minutes (STATE-15).
    translated_min: Option<u32>,
}

/// How a packet fared in one world.
struct Leaf {
    end: LeafEnd,
    met: Met,
}

/// How a packet ended in one world.
#[derive(Clone, Debug)]
enum LeafEnd {
    Arrived(Reason),
    Denied(Reason),
    /// The answer to this question itself ended it.
    Refused(Unknown),
    /// The members of a load balancer disagree.
    Mixed(LoadBalancerIndex),
}

/// How a packet ended, whatever the reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Arrived,
    Denied,
    Mixed,
}

impl LeafEnd {
    fn kind(&self) -> Kind {
        match self {
            Self::Arrived(_) => Kind::Arrived,
            Self::Denied(_) | Self::Refused(_) => Kind::Denied,
            Self::Mixed(_) => Kind::Mixed,
        }
    }

    /// The verdict; that of a packet which only a question denied is open.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Arrived(reason) => Verdict::Allow(*reason),
            Self::Denied(reason) => Verdict::Deny(*reason),
            Self::Refused(question) => Verdict::Undetermined(question.clone()),
            Self::Mixed(balancer) => Verdict::Mixed(*balancer),
        }
    }
}

/// What became of a packet, and what it leaves behind.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) traces: Vec<Trace>,
    /// No rule was asked: every filter on the way passed it by a record.
    pub(super) continued: bool,
}

impl<'a> Walk<'a> {
    /// A packet before its way.
    pub(super) fn new(
        compiled: &'a CompiledNetwork,
        engine: Engine,
        flows: Option<&'a FlowTable>,
        packet: &'a Packet,
        time_ns: u64,
    ) -> Self {
        Self { compiled, engine, flows, packet, time_ns, ways: Cell::new(1), follows_fragments: true }
    }

    /// Judges a later fragment by rules, as a packet without ports (NW-1).
    pub(super) fn taking_fragments_as_packets(self) -> Self {
        Self { follows_fragments: false, ..self }
    }

    /// Takes the journey in all worlds that are possible.
    pub(super) fn take(&self, journey: &Journey) -> Outcome {
        let mut leaves = Vec::new();
        // Most packets meet no question, and need no list of worlds.
        let mut next = Some(World::default());
        let mut waiting = Vec::new();
        let mut first_question = None;
        while let Some(world) = next.take().or_else(|| waiting.pop()) {
            match self.in_world(journey, &world) {
                Ok(leaf) => leaves.push((world, leaf)),
                Err(open) => {
                    let Open(question) = *open;
                    if question == Unknown::TooManyWays {
                        return self.given_up(question, &leaves, first_question.as_ref());
                    }
                    first_question.get_or_insert_with(|| question.clone());
                    if leaves.len() + waiting.len() + 2 > MOST_WORLDS {
                        return self.given_up(Unknown::TooManyUnknowns, &leaves, first_question.as_ref());
                    }
                    // The world in which the answer is no is looked at first.
                    waiting.push(world.with(question.clone(), true));
                    waiting.push(world.with(question, false));
                }
            }
        }
        self.summarise(leaves, first_question)
    }

    /// The packet that an ICMP error quotes.
    fn quoted(&self) -> Option<FiveTuple> {
        let Some(Icmp::Error { quoted }) = self.packet.icmp else { return None };
        quoted
    }

    fn in_world(&self, journey: &Journey, world: &World) -> Result<Leaf, Box<Open>> {
        self.ways.set(1);
        let start = Course {
            seen: self.packet.five_tuple,
            quoted: self.quoted(),
            picked: false,
            entered: None,
            answers: None,
            to_consumer: false,
            last: Reason::NoSecurityGroup,
            met: Met::default(),
        };
        self.follow(journey, start, world)
    }

    /// A verdict stands if all worlds agree on it; its reason is that of the first world that has one.
    fn summarise(&self, leaves: Vec<(World, Leaf)>, first_question: Option<Unknown>) -> Outcome {
        let traces = match (&leaves[..], &first_question) {
            ([(_, leaf)], _) => self.certain_traces(leaf),
            (_, Some(question)) => {
                let leaves: Vec<&Leaf> = leaves.iter().map(|(_, leaf)| leaf).collect();
                self.doubtful_traces(&leaves, true, question)
            }
            (_, None) => unreachable!("it takes a question to make a second world"),
        };
        let agreed = leaves.iter().all(|(_, leaf)| leaf.end.kind() == leaves[0].1.end.kind());
        let chosen =
            leaves.iter().position(|(_, leaf)| !matches!(leaf.end, LeafEnd::Refused(_))).unwrap_or(0);
        let asked = leaves[chosen].1.met.steps.iter().any(|step| step.answer != StepAnswer::FlowTable);
        let mut met = if agreed { Met::default() } else { common(&leaves) };
        let did_not_matter: Vec<Note> = if agreed {
            let questions = leaves.iter().flat_map(|(world, _)| world.questions());
            questions.map(|question| Note::DidNotMatter(question.clone())).collect()
        } else {
            Vec::new()
        };
        let (_, leaf) = leaves.into_iter().nth(chosen).expect("a walk ends in at least one world");
        let by_record = |touch: &Touch| matches!(touch.how, How::Continues(_));
        let continued = !asked && leaf.met.touches.iter().any(by_record);
        if agreed {
            met = leaf.met;
        }
        for note in did_not_matter {
            if !met.notes.contains(&note) {
                met.notes.push(note);
            }
        }
        let verdict = match leaf.end {
            LeafEnd::Refused(_) => None,
            ref settled => agreed.then(|| settled.verdict()),
        };
        let verdict = verdict.unwrap_or_else(|| {
            Verdict::Undetermined(first_question.expect("worlds differ only by the answers to questions"))
        });
        let Met { steps, routes, notes, translation, backends, .. } = met;
        let answer = Answer { verdict, steps, routes, translation, notes, asymmetric: None, backends };
        Outcome { answer, traces, continued }
    }

    /// The answer about a packet of which more hangs open than is tried.
    fn given_up(
        &self,
        question: Unknown,
        leaves: &[(World, Leaf)],
        first_question: Option<&Unknown>,
    ) -> Outcome {
        let leaves: Vec<&Leaf> = leaves.iter().map(|(_, leaf)| leaf).collect();
        let traces = self.doubtful_traces(&leaves, false, first_question.unwrap_or(&question));
        let answer = Answer::bare(Verdict::Undetermined(question));
        Outcome { answer, traces, continued: false }
    }
}

impl Course {
    /// The port that the packet goes to, for the translation of an answer.
    fn rewritten(&self) -> (IpAddr, Option<u16>) {
        (self.seen.destination, self.seen.destination_port.number())
    }

    /// Something on the way translates its flow, and forgets it after so many minutes without a packet (STATE-15).
    fn remembered_for(&mut self, minutes: u32) {
        let known = self.met.translated_min;
        self.met.translated_min = Some(known.map_or(minutes, |known| known.min(minutes)));
    }

    /// The packet leaves under another source. What it quotes went there.
    fn sent_from(&mut self, address: Option<IpAddr>, port: Port) {
        let Some(address) = address else {
            self.picked = true;
            return;
        };
        if let Some(quoted) = &mut self.quoted
            && quoted.destination == self.seen.source
        {
            quoted.destination = address;
            if quoted.protocol.has_ports() && port.number().is_some() {
                quoted.destination_port = port;
            }
        }
        self.seen.source = address;
        if self.seen.protocol.has_ports() && port.number().is_some() {
            self.seen.source_port = port;
        }
    }

    /// The packet goes to another destination. What it quotes came from there.
    fn sent_to(&mut self, address: IpAddr) {
        if let Some(quoted) = &mut self.quoted
            && quoted.source == self.seen.destination
        {
            quoted.source = address;
        }
        self.seen.destination = address;
    }
}

impl Leaf {
    fn new(course: Course, end: LeafEnd) -> Self {
        let mut met = course.met;
        // What is translated anywhere on the way is forgotten everywhere on it.
        for touch in &mut met.touches {
            if let How::Opens { translated_min, .. } = &mut touch.how {
                *translated_min = met.translated_min;
            }
        }
        Self { end, met }
    }
}

/// What all worlds share, for an answer that is open.
fn common(leaves: &[(World, Leaf)]) -> Met {
    let first = &leaves[0].1.met;
    let shared = |length: &dyn Fn(&Met) -> usize| {
        leaves.iter().map(|(_, leaf)| length(&leaf.met)).min().unwrap_or_default()
    };
    let steps = shared(&|met| matching(&first.steps, &met.steps));
    let routes = shared(&|met| matching(&first.routes, &met.routes));
    let everywhere = |note: &&Note| leaves.iter().all(|(_, leaf)| leaf.met.notes.contains(note));
    let Translation { destination, snat, source } = first.translation;
    let same = |is: &dyn Fn(&Translation) -> bool| leaves.iter().all(|(_, leaf)| is(&leaf.met.translation));
    Met {
        steps: first.steps[..steps].to_vec(),
        routes: first.routes[..routes].to_vec(),
        notes: first.notes.iter().filter(everywhere).cloned().collect(),
        translation: Translation {
            destination: destination.filter(|_| same(&|other| other.destination == destination)),
            snat: snat.filter(|_| same(&|other| other.snat == snat)),
            source: source.filter(|_| same(&|other| other.source == source)),
        },
        ..Met::default()
    }
}

/// How many entries two lists share from the start.
fn matching<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Whether a public address or a load balancer carries other traffic than its clause names.
const UNSUPPORTED: Unknown = Unknown::FeatureAllows { feature: Feature::UnmappedProtocol, resource: None };

/// The protocols that a public address is said to map (PIP-1); no clause says what becomes of others.
fn is_mapped(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 | Protocol::ESP)
}
