//! What was denied: who sent it, and the largest flows with the steps that each took.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::ReplayPage;
use super::marks::{Count, Mark, gauge};
use crate::model::flow::FiveTuple;
use crate::model::network::Network;
use crate::model::verdict::{Answer, VerdictKind};
use crate::replay::conversations::Conversation;
use crate::replay::digest::zones::{Located, ZoneFinder};
use crate::replay::digest::{again, first_packet};
use crate::replay::tally::{Decider, Hits, Tally};
use crate::report::explain::{Explanation, step_row};
use crate::report::inputs::Inputs;
use crate::report::ledger::Provenance;
use crate::report::names::{Names, socket};
use crate::report::places::place;
use crate::report::pseudonyms::Shown;
use crate::report::style::Style;
use crate::report::time::{counted, rfc3339};
use crate::simulate::{Simulator, Weighing};

/// How many senders are shown.
const TALKERS_SHOWN: usize = 15;

/// Who sent the most that was denied.
pub(super) struct Talkers {
    pub(super) rows: Vec<Talker>,
    /// What is not in them, in words.
    pub(super) beyond: Vec<String>,
}

/// One sender.
pub(super) struct Talker {
    pub(super) address: String,
    /// Who has the address, and in which subnet.
    pub(super) who: String,
    pub(super) within: String,
    pub(super) packets: Count,
    pub(super) flows: Count,
    pub(super) bytes: Count,
    pub(super) destinations: Count,
    /// What decided about most of it.
    pub(super) decided_by: String,
    pub(super) gauge: String,
}

#[derive(Default)]
struct Sent<'t> {
    hits: Hits,
    destinations: BTreeSet<IpAddr>,
    deciders: BTreeMap<&'t Decider, u64>,
}

impl Talkers {
    pub(super) fn new(shown: Shown<'_>, tally: &Tally, finder: &mut ZoneFinder) -> Self {
        let network = shown.network;
        let names = Names { network };
        let mut senders: BTreeMap<IpAddr, Sent<'_>> = BTreeMap::new();
        for (group, hits) in &tally.denied {
            let sent = senders.entry(group.source).or_default();
            sent.hits.merge(hits);
            sent.destinations.insert(group.destination);
            *sent.deciders.entry(&group.decider).or_default() += weight(hits);
        }
        let mut senders: Vec<_> = senders.into_iter().collect();
        senders.sort_by_key(|(address, sent)| (Reverse(weight(&sent.hits)), *address));
        let most = senders.first().map_or(0, |(_, sent)| weight(&sent.hits));
        let row = |(address, sent): &(IpAddr, Sent<'_>)| {
            let (who, within) = who(network, finder.locate(*address));
            Talker {
                address: shown.masked(address).to_string(),
                who,
                within,
                packets: Count(sent.hits.packets),
                flows: Count(sent.hits.flows),
                bytes: Count(sent.hits.bytes),
                destinations: Count(sent.destinations.len() as u64),
                decided_by: main_decider(names, sent),
                gauge: gauge("fill-deny", weight(&sent.hits), most),
            }
        };
        let rows = senders.iter().take(TALKERS_SHOWN).map(row).collect();
        let mut beyond = Vec::new();
        if senders.len() > TALKERS_SHOWN {
            beyond.push(counted((senders.len() - TALKERS_SHOWN) as u64, "more sender"));
        }
        if tally.denied_beyond.flows > 0 {
            beyond.push(format!(
                "{} of senders that were not told apart",
                counted(tally.denied_beyond.flows, "flow")
            ));
        }
        Self { rows, beyond }
    }
}

/// By how much a sender stands out: by packets, or by flows where logs count no packets of what is denied.
fn weight(hits: &Hits) -> u64 {
    hits.packets.max(hits.flows)
}

fn main_decider(names: Names<'_>, sent: &Sent<'_>) -> String {
    let mut deciders: Vec<_> = sent.deciders.iter().collect();
    deciders.sort_by_key(|(decider, packets)| (Reverse(**packets), **decider));
    let Some((decider, _)) = deciders.first() else { return String::new() };
    let more = if deciders.len() > 1 { format!(" and {} more", deciders.len() - 1) } else { String::new() };
    format!("{}{more}", names.decider(decider).line())
}

/// Who has an address and in which subnet, `nic-web-1` and `snet-web`, or where it lies.
fn who(network: &Network, located: Located) -> (String, String) {
    let subnet = located.subnet.map(|subnet| network.subnets[subnet.get()].id.name().to_owned());
    match (located.nic, subnet) {
        (Some(nic), subnet) => (network.nic_name(nic).to_owned(), subnet.unwrap_or_default()),
        (None, Some(subnet)) => (subnet, String::new()),
        (None, None) => (place(network, located.zone).name, String::new()),
    }
}

/// The same in one line.
fn who_line(network: &Network, located: Located) -> String {
    let (who, within) = who(network, located);
    if within.is_empty() { who } else { format!("{who}, {within}") }
}

/// The largest denied flows.
pub(super) struct Denied {
    pub(super) rows: Vec<Row>,
    /// How many there are in all.
    pub(super) all: Count,
    /// How many are left out, in words.
    pub(super) left_out: Option<String>,
}

/// One denied flow.
pub(super) struct Row {
    pub(super) packets: Count,
    pub(super) bytes: Count,
    /// When its first packet was, whole and in parts; empty where nobody knows.
    pub(super) first: String,
    pub(super) day: String,
    pub(super) time: String,
    pub(super) source: String,
    pub(super) source_who: String,
    pub(super) destination: String,
    pub(super) destination_who: String,
    pub(super) protocol: String,
    pub(super) decided_by: String,
    pub(super) steps: Vec<Step>,
    pub(super) remarks: Vec<String>,
    /// Where its first packet stands.
    pub(super) place: String,
    /// How to ask about it.
    pub(super) question: String,
}

/// One filter that was asked.
pub(super) struct Step {
    pub(super) access: Mark,
    pub(super) direction: String,
    pub(super) filter: String,
    pub(super) rule: String,
    pub(super) about: String,
}

/// Judges the first packets of flows again: at one interface, or on their whole journeys.
enum Judge {
    At(Box<Simulator>),
    Journey(Box<Weighing>),
}

impl Denied {
    pub(super) fn new(page: &ReplayPage<'_>, finder: &mut ZoneFinder) -> Self {
        let ReplayPage { compiled, shown, options, digest, provenance, .. } = *page;
        let simulator = again(options.simulator);
        let mut judge = match options.at {
            Some(_) => Judge::At(Box::new(Simulator::new(Arc::clone(compiled), simulator))),
            None => Judge::Journey(Box::new(Weighing::new(Arc::clone(compiled), simulator))),
        };
        let mut logged = Simulator::new(Arc::clone(compiled), simulator);
        let mut answer = |flow: &Conversation| {
            let packet = first_packet(flow);
            if let Some((interface, direction)) = flow.at {
                return Some(logged.logged_answer(interface, direction, &packet));
            }
            let judged = match (&mut judge, options.at) {
                (Judge::At(simulator), Some(nic)) => simulator.at(nic, &packet, flow.first_ns),
                (Judge::Journey(weighing), _) => weighing.judge(&packet, flow.first_ns),
                (Judge::At(_), None) => unreachable!("an interface is named where one is judged at"),
            };
            judged.ok().map(|judged| judged.answer)
        };
        let rows: Vec<Row> =
            digest.denied().map(|flow| row(shown, flow, answer(flow).as_ref(), provenance, finder)).collect();
        let all = digest.verdicts.of(VerdictKind::Deny).flows;
        let left_out = all.saturating_sub(rows.len() as u64);
        Self { rows, all: Count(all), left_out: (left_out > 0).then(|| counted(left_out, "smaller flow")) }
    }
}

fn row(
    shown: Shown<'_>,
    flow: &Conversation,
    answer: Option<&Answer>,
    provenance: &Provenance,
    finder: &mut ZoneFinder,
) -> Row {
    let network = shown.network;
    let names = Names { network };
    // Who has an address is found by the true one.
    let FiveTuple { source, destination, .. } = first_packet(flow).five_tuple;
    let (source_who, destination_who) =
        (who_line(network, finder.locate(source)), who_line(network, finder.locate(destination)));
    let (flow, answer) = (&shown.masked(flow), answer.map(|answer| shown.masked(answer)));
    let answer = answer.as_ref();
    let tuple = first_packet(flow).five_tuple;
    let place = provenance.place(flow.location);
    let (steps, remarks) = answer.map(|answer| told(names, flow, answer)).unwrap_or_default();
    let first = if flow.first_ns == 0 { String::new() } else { rfc3339(flow.first_ns) };
    let (day, time) = first.split_once('T').unwrap_or_default();
    Row {
        packets: Count(flow.packets),
        bytes: Count(flow.bytes),
        day: day.to_owned(),
        time: time.trim_end_matches('Z').to_owned(),
        first: first.clone(),
        source: socket(tuple.source, tuple.source_port),
        source_who,
        destination: socket(tuple.destination, tuple.destination_port),
        destination_who,
        protocol: tuple.protocol.to_string(),
        decided_by: names.decider(&Decider::from(&flow.verdict)).line(),
        steps,
        remarks,
        place: format!("{} record {}", place.file, place.record),
        question: names.explain(&tuple, flow.at).join(" "),
    }
}

/// The steps of a flow's first packet and what there is to say about them.
fn told(names: Names<'_>, flow: &Conversation, answer: &Answer) -> (Vec<Step>, Vec<String>) {
    let steps = answer.steps.iter().map(|step| {
        let [direction, filter, _, rule, about] = step_row(names, step);
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        Step { access: Mark::of_access(step.access), direction, filter, rule, about }
    });
    let explanation = Explanation {
        network: names.network,
        packet: flow.tuple,
        answer,
        next_in_line: None,
        tried: Vec::new(),
        inputs: Inputs::default(),
    };
    let mut remarks = explanation.remarks(Style::default());
    if answer.verdict.kind() != flow.verdict.kind() {
        let otherwise = format!(
            "by itself the packet would be: {}; what the replay had seen before it decided",
            answer.verdict.kind()
        );
        remarks.insert(0, otherwise);
    }
    (steps.collect(), remarks)
}
