//! Notes on the decisions that a verdict hangs on (SIM-5): they come where a clause acts, and nowhere else, with flows
//! that are kept apart for each choice.

use std::collections::BTreeSet;

use nsgsim::model::flow::{Fragment, Origin, Packet, Port};
use nsgsim::model::index::{NicIndex, Reference};
use nsgsim::model::network::Network;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::VerdictKind::{Allow, Deny};
use nsgsim::model::verdict::{Answer, Note, VerdictKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::FileFailurePersistence;

use super::{MIN, PING, two};
use crate::build::{Build, icmp, packet, rule, tcp};
use crate::engine::{ENGINES, Engine, Judging};
use crate::r#gen::{self, contested};
use crate::oracle;

/// The choices under which the verdict would be another, with that verdict: `STATE-6=30min allow`.
fn decisions(answer: &Answer) -> BTreeSet<String> {
    let decision = |note: &Note| match note {
        Note::Decision { choice, verdict } => Some(format!("{choice} {verdict}")),
        _ => None,
    };
    answer.notes.iter().filter_map(decision).collect()
}

/// Packets in time order, in minutes, each with its verdict and the decisions that it hangs on; a change of the network
/// stands between two.
enum Event<'a> {
    Packet(u64, NicIndex, Packet, VerdictKind, &'a [&'a str]),
    Change(&'a Network),
}

fn take(network: &Network, events: &[Event<'_>]) {
    for (name, make) in ENGINES {
        let judging = Judging { weighing: true, ..Judging::default() };
        let mut engine = make(network.clone(), &TagCatalog::default(), judging);
        for event in events {
            match event {
                Event::Change(changed) => engine.change((*changed).clone()),
                Event::Packet(minute, from, packet, verdict, expected) => {
                    let answer = engine.path(Origin::Nic(*from), packet, MIN + minute * MIN, None);
                    assert_eq!(answer.verdict.kind(), *verdict, "{name} at {minute} min");
                    let expected: BTreeSet<String> = expected.iter().map(|&text| text.to_owned()).collect();
                    assert_eq!(decisions(&answer), expected, "{name} at {minute} min");
                }
            }
        }
    }
}

#[test]
fn each_choice_keeps_its_own_flows() {
    let mut net = two();
    net.filter(net.a, "nsg", &["in 100 deny * * * -> * *"]);
    let (request, reply) = (tcp("10.0.1.4:1000", "10.0.2.4:80"), tcp("10.0.2.4:80", "10.0.1.4:1000"));
    let thirty = &["STATE-6=30min allow"];
    take(
        &net.network,
        &[
            Event::Packet(0, net.a1, request, Allow, &[]),
            Event::Packet(5, net.b1, reply, Deny, thirty),
            // The record of 4 minutes is gone, that of 30 lives on by the packet before.
            Event::Packet(34, net.b1, reply, Deny, thirty),
            Event::Packet(65, net.b1, reply, Deny, &[]),
        ],
    );
}

#[test]
fn a_choice_that_begins_to_matter_late_finds_the_flows_that_are_open_then() {
    let mut net = two();
    net.filter(net.a, "nsg", &["in 100 deny * * * -> * *", "out 100 deny * * * -> * 80"]);
    let (request, reply) = (tcp("10.0.1.4:1000", "10.0.2.4:443"), tcp("10.0.2.4:443", "10.0.1.4:1000"));
    take(
        &net.network,
        &[
            Event::Packet(0, net.a1, request, Allow, &[]),
            // Only now a packet without ports meets a rule with one.
            Event::Packet(1, net.a1, icmp("10.0.1.4", "10.0.2.4", PING), Allow, &["NSG-10=ignored deny"]),
            Event::Packet(2, net.b1, reply, Allow, &[]),
        ],
    );
}

/// A later fragment has no ports either, and is denied where its first was not seen (STATE-11).
#[test]
fn a_choice_that_begins_to_matter_late_finds_the_fragments_that_were_seen() {
    let mut net = two();
    net.filter(net.a, "nsg", &["out 100 deny * * * -> * 80"]);
    let mut first = packet(Protocol::UDP, "10.0.1.4:1000", "10.0.2.4:443");
    first.fragment = Fragment::First { identification: 7 };
    let mut later = packet(Protocol::UDP, "10.0.1.4:1000", "10.0.2.4:443");
    later.fragment = Fragment::Later { identification: 7 };
    (later.five_tuple.source_port, later.five_tuple.destination_port) = (Port::None, Port::None);
    let ping = icmp("10.0.1.4", "10.0.2.4", PING);
    take(
        &net.network,
        &[
            Event::Packet(0, net.a1, first, Allow, &[]),
            Event::Packet(0, net.a1, ping, Allow, &["NSG-10=ignored deny"]),
            Event::Packet(0, net.a1, later, Allow, &[]),
        ],
    );
}

#[test]
fn a_change_takes_flows_back_under_each_choice_by_itself() {
    let mut net = two();
    net.filter(net.b, "nsg", &[]);
    net.network.nsgs[0].flush_connection = true;
    let mut changed = net.network.clone();
    changed.nsgs[0].rules.insert(0, rule("in 100 deny * * * -> * *"));
    changed.nsgs[0].sort();
    let (request, reply) = (tcp("10.0.1.4:1000", "10.0.2.4:80"), tcp("10.0.2.4:80", "10.0.1.4:1000"));
    take(
        &net.network,
        &[
            Event::Packet(0, net.a1, request, Allow, &[]),
            Event::Change(&changed),
            Event::Packet(1, net.a1, request, Deny, &[]),
            Event::Packet(2, net.b1, reply, Deny, &["STATE-5=allowed allow"]),
        ],
    );
}

#[test]
fn both_other_lists_are_noted_where_both_differ() {
    let mut net = two();
    net.filter(net.a, "nsg", &[]);
    for (name, make) in ENGINES {
        let judging = Judging { weighing: true, ..Judging::default() };
        let engine = make(net.network.clone(), &TagCatalog::default(), judging);
        let answer = engine.ip_flow(net.a1, Direction::Outbound, &tcp("10.0.1.4:1000", "25.25.0.1:443"));
        let expected = ["TAG-20=2017-09 allow", "TAG-20=2020 allow"].map(str::to_owned);
        assert_eq!(decisions(&answer), BTreeSet::from(expected), "{name}");
    }
}

#[test]
fn a_choice_that_is_taken_is_weighed_against_the_decision() {
    let mut net = two();
    net.filter(net.a, "nsg", &["in 100 deny * * * -> * 80"]);
    for (name, make) in ENGINES {
        let ignored = "NSG-10=ignored".parse().unwrap();
        let judging = Judging { assumptions: super::Assumptions::default().with(ignored), weighing: true };
        let engine = make(net.network.clone(), &TagCatalog::default(), judging);
        let answer = engine.ip_flow(net.a1, Direction::Inbound, &icmp("10.0.1.9", "10.0.1.4", PING));
        assert_eq!(answer.verdict.kind(), Deny, "{name}");
        let expected = BTreeSet::from(["NSG-10=full-range-only allow".to_owned()]);
        assert_eq!(decisions(&answer), expected, "{name}");
    }
}

#[test]
fn routes_and_private_endpoints_that_no_choice_touches_are_not_noted() {
    let mut net = two();
    net.filter(net.a, "nsg", &[]);
    let own = net.network.public_ip("own", "203.0.113.4", None);
    net.network.nics[net.a1.get()].ip_configurations[0].public_ip = Some(Reference::Here(own));
    let (inside, outside) = (tcp("10.0.1.4:1000", "10.0.2.4:80"), tcp("10.0.1.4:1000", "198.51.100.9:443"));
    take(
        &net.network,
        &[
            Event::Packet(0, net.a1, inside, Allow, &[]),
            Event::Packet(1, net.a1, outside, Allow, &[]),
            Event::Packet(2, net.b1, tcp("10.0.2.4:80", "10.0.1.4:1000"), Allow, &[]),
        ],
    );
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/assumptions"))),
        ..ProptestConfig::default()
    }
}

/// Drawn networks are of use here only if decisions matter in them: those of many clauses come up.
#[test]
fn drawn_packets_hang_on_decisions_of_many_clauses() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut clauses = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let tape = r#gen::tape().new_tree(&mut runner).expect("tapes are always drawn");
        let mut tape = tape.current();
        let network = contested::network(&mut tape);
        let mut oracle = oracle::Oracle::new(network.clone(), r#gen::tags()).weighing();
        for number in 0..5 {
            let (origin, packet, _) = contested::packet(&mut tape, &network);
            let (back_from, back) = r#gen::reply(&network, origin, &packet);
            for (minutes, origin, packet) in [(0, origin, packet), (5, back_from, back)] {
                let time_ns = MIN + (number * 10 + minutes) * MIN;
                for note in oracle.path(origin, &packet, time_ns, None).notes {
                    if let Note::Decision { choice, .. } = note {
                        *clauses.entry(choice.clause()).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    println!("{clauses:?}");
    assert!(clauses.len() >= 5, "{clauses:?}");
}

proptest! {
    #![proptest_config(config())]

    /// The oracle judges under every choice from the first packet on; what the simulator leaves out must not show.
    #[test]
    fn decisions_are_those_of_the_oracle(mut tape in r#gen::tape()) {
        let (network, tags) = (contested::network(&mut tape), r#gen::tags());
        let judging = Judging { weighing: true, ..Judging::default() };
        let of = |wanted: &str| {
            let (_, make) = ENGINES.iter().find(|(name, _)| *name == wanted).unwrap();
            make(network.clone(), &tags, judging)
        };
        let (mut oracle, mut compiled): (Box<dyn Engine>, Box<dyn Engine>) = (of("oracle"), of("compiled"));
        let (mut time_ns, mut history) = (MIN, Vec::new());
        for number in 0..5 {
            let (origin, packet, seconds) = contested::packet(&mut tape, &network);
            time_ns += seconds * 1_000_000_000;
            let (back_from, back) = r#gen::reply(&network, origin, &packet);
            for (origin, packet) in [(origin, packet), (back_from, back)] {
                history.push((time_ns, origin, packet));
                let expected = oracle.path(origin, &packet, time_ns, None);
                let found = compiled.path(origin, &packet, time_ns, None);
                prop_assert_eq!(
                    decisions(&found), decisions(&expected),
                    "{:?} {:?}: {:?}, the oracle {:?}\nafter {:?}\nnetwork: {:#?}",
                    origin, packet, found.verdict, expected.verdict, history, network
                );
            }
            if number == 2 && !network.nsgs.is_empty() {
                let mut changed = network.clone();
                let position = tape.below(changed.nsgs.len());
                changed.nsgs[position].rules.insert(0, r#gen::rule(&mut tape, 9));
                changed.nsgs[position].sort();
                oracle.change(changed.clone());
                compiled.change(changed);
            }
        }
    }
}
