//! The engines give the oracle's verdict, reason, steps, routes, translation and backends on drawn networks and packets.

use std::net::IpAddr;

use nsgsim::model::assumptions::{Assumptions, Choice};
use nsgsim::model::flow::{Icmp, Origin, Packet, Port};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::Direction;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{
    Answer, BackendAnswer, Reason, RouteStep, Step, StepAnswer, Translation, Verdict, VerdictKind,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::FileFailurePersistence;

use crate::engine::{ENGINES, Judging};
use crate::r#gen;
use crate::r#gen::{Tape, accounts, contested, errors};
use crate::oracle;

/// A second in nanoseconds.
const S: u64 = 1_000_000_000;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/engines"))),
        ..ProptestConfig::default()
    }
}

/// What is compared: all but notes and the way of replies. Of undetermined answers only that they are: which of several
/// open questions is named is the engine's choice. Of packets that are not let through no translation: none arrived.
#[derive(Debug, Default, PartialEq)]
struct Told {
    verdict: Option<Verdict>,
    steps: Vec<Step>,
    routes: Vec<RouteStep>,
    translation: Translation,
    backends: Vec<(Option<NicIndex>, Option<IpAddr>, VerdictKind)>,
}

/// Of an open answer what it shows; which of its questions it names is each one's own choice.
fn told(answer: &Answer) -> Told {
    let kind = answer.verdict.kind();
    if matches!(answer.verdict, Verdict::Undetermined(Unknown::TooManyUnknowns | Unknown::TooManyWays)) {
        return Told::default();
    }
    let backend = |at: &BackendAnswer| (at.nic, at.address, at.verdict.kind());
    Told {
        verdict: (kind != VerdictKind::Undetermined).then(|| answer.verdict.clone()),
        steps: answer.steps.clone(),
        routes: answer.routes.clone(),
        translation: if kind == VerdictKind::Deny { Translation::default() } else { answer.translation },
        backends: answer.backends.iter().map(backend).collect(),
    }
}

/// One other choice for one clause.
fn another_choice(tape: &mut Tape) -> Judging {
    let decided = Assumptions::default();
    let alternatives: Vec<Choice> = decided.alternatives().collect();
    let choice = alternatives[tape.below(alternatives.len())];
    Judging { assumptions: decided.with(choice), weighing: false }
}

/// Where networks and packets are drawn from.
struct Drawn {
    network: fn(&mut Tape) -> Network,
    packet: fn(&mut Tape, &Network) -> (Origin, Packet, u64),
}

const PLAIN: Drawn = Drawn { network: r#gen::network, packet: r#gen::packet };
const CONTESTED: Drawn = Drawn { network: contested::network, packet: contested::packet };

/// Packets and their replies, a change of a rule in the midst.
fn journeys(tape: &mut Tape, drawn: &Drawn, judging: Judging) -> Result<(), TestCaseError> {
    let (network, tags) = ((drawn.network)(tape), r#gen::tags());
    let mut engines: Vec<_> =
        ENGINES.iter().map(|(name, make)| (*name, make(network.clone(), &tags, judging))).collect();
    let mut time_ns = 86_400 * S;
    let mut network: Network = network;
    let mut history = Vec::new();
    for number in 0..6 {
        let (mut origin, mut packet, seconds) = (drawn.packet)(tape, &network);
        time_ns += seconds * S;
        // Now and then a packet of an earlier flow, the same once more, or an error about one.
        if !history.is_empty() && tape.below(4) == 3 {
            (_, origin, packet, _) = history[tape.below(history.len())];
            if tape.below(4) == 3 && !matches!(packet.icmp, Some(Icmp::Error { .. })) {
                (origin, packet) = errors::error(tape, &network, origin, &packet);
            }
        }
        let target = accounts::target(tape, &network, packet.five_tuple.destination);
        let (back_from, back) = r#gen::reply(&network, origin, &packet);
        for (origin, packet, target) in [(origin, packet, target), (back_from, back, None)] {
            history.push((time_ns / S, origin, packet, target));
            let answers: Vec<(&str, Answer)> = engines
                .iter_mut()
                .map(|(name, engine)| (*name, engine.path(origin, &packet, time_ns, target)))
                .collect();
            for (name, answer) in &answers[1..] {
                let expected = &answers[0].1;
                prop_assert_eq!(
                    told(answer),
                    told(expected),
                    "{} differs from the oracle ({:?}, {:?})\nunder {:?}\nafter {:#?}\nnetwork: {:#?}",
                    name,
                    answer.verdict,
                    expected.verdict,
                    judging.assumptions.overridden().next(),
                    history,
                    network
                );
                // ROUTE-20: where both can tell whether replies take another way.
                if let (Some(found), Some(expected)) = (answer.asymmetric, expected.asymmetric) {
                    prop_assert_eq!(
                        found,
                        expected,
                        "{}: replies to {:?} {:#?}\nunder {:?}\nnetwork: {:#?}",
                        name,
                        origin,
                        packet,
                        judging.assumptions.overridden().next(),
                        network
                    );
                }
            }
        }
        if number == 3 && !network.nsgs.is_empty() {
            let position = tape.below(network.nsgs.len());
            let rule = r#gen::rule(tape, 9);
            network.nsgs[position].rules.insert(0, rule);
            network.nsgs[position].sort();
            for (_, engine) in &mut engines {
                engine.change(network.clone());
            }
        }
    }
    Ok(())
}

/// Single packets at single interfaces, ports not given included.
fn at_interfaces(tape: &mut Tape, drawn: &Drawn, judging: Judging) -> Result<(), TestCaseError> {
    let (network, tags) = ((drawn.network)(tape), r#gen::tags());
    let engines: Vec<_> =
        ENGINES.iter().map(|(name, make)| (*name, make(network.clone(), &tags, judging))).collect();
    for _ in 0..12 {
        let (_, mut packet, _) = (drawn.packet)(tape, &network);
        let nic = NicIndex::new(tape.below(network.nics.len()));
        let direction = if tape.below(2) == 0 { Direction::Inbound } else { Direction::Outbound };
        if packet.five_tuple.protocol.has_ports() {
            match tape.below(8) {
                6 => packet.five_tuple.destination_port = Port::NotGiven,
                7 => packet.five_tuple.source_port = Port::NotGiven,
                _ => {}
            }
        }
        let expected = engines[0].1.ip_flow(nic, direction, &packet);
        for (name, engine) in &engines[1..] {
            let answer = engine.ip_flow(nic, direction, &packet);
            prop_assert_eq!(
                told(&answer),
                told(&expected),
                "{} differs from the oracle ({:?}, {:?})\nunder {:?}\nat {:?} {:?}: {:?}\nnetwork: {:#?}",
                name,
                answer.verdict,
                expected.verdict,
                judging.assumptions.overridden().next(),
                nic,
                direction,
                packet,
                network
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn engines_take_the_oracles_journeys(mut tape in r#gen::tape()) {
        journeys(&mut tape, &PLAIN, Judging::default())?;
    }

    #[test]
    fn engines_name_the_oracles_rule_at_an_interface(mut tape in r#gen::tape()) {
        at_interfaces(&mut tape, &PLAIN, Judging::default())?;
    }

    #[test]
    fn engines_take_the_oracles_journeys_under_other_choices(mut tape in r#gen::tape()) {
        let judging = another_choice(&mut tape);
        journeys(&mut tape, &CONTESTED, judging)?;
    }

    #[test]
    fn engines_name_the_oracles_rule_under_other_choices(mut tape in r#gen::tape()) {
        let judging = another_choice(&mut tape);
        at_interfaces(&mut tape, &CONTESTED, judging)?;
    }

    #[test]
    fn the_oracle_gives_the_same_answer_twice(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let tags = r#gen::tags();
        let mut two = [0, 1].map(|_| oracle::Oracle::new(network.clone(), tags.clone()));
        for _ in 0..6 {
            let (origin, packet, seconds) = r#gen::packet(&mut tape, &network);
            let [one, other] = two.each_mut().map(|oracle| oracle.path(origin, &packet, seconds * S, None));
            prop_assert_eq!(one, other);
        }
    }
}

/// The drawn packets are of use only if they meet rules, records, routes and load balancers: all verdicts come up.
#[test]
fn drawn_packets_come_to_all_verdicts() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let tape = r#gen::tape().new_tree(&mut runner).expect("tapes are always drawn");
        let mut tape = tape.current();
        let network = r#gen::network(&mut tape);
        let mut oracle = oracle::Oracle::new(network.clone(), r#gen::tags());
        for _ in 0..6 {
            let (origin, packet, _): (Origin, _, _) = r#gen::packet(&mut tape, &network);
            *kinds.entry(oracle.path(origin, &packet, S, None).verdict.kind()).or_insert(0) += 1;
        }
    }
    println!("{kinds:?}");
    for kind in [VerdictKind::Allow, VerdictKind::Deny, VerdictKind::Undetermined] {
        assert!(kinds.get(&kind).is_some_and(|count| *count > 50), "{kinds:?}");
    }
    // It takes two healthy backends that disagree.
    assert!(kinds.get(&VerdictKind::Mixed).is_some_and(|count| *count > 10), "{kinds:?}");
}

/// What is drawn on top of rules and routes comes up too: firewalls of services, mail, errors about open flows.
#[test]
fn drawn_packets_come_to_firewalls_and_mail_and_quote_open_flows() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut firewalls, mut mail, mut errors) = (0, 0, 0);
    for _ in 0..400 {
        let tape = r#gen::tape().new_tree(&mut runner).expect("tapes are always drawn");
        let mut tape = tape.current();
        let network = r#gen::network(&mut tape);
        let mut oracle = oracle::Oracle::new(network.clone(), r#gen::tags());
        for _ in 0..6 {
            let (origin, packet, _) = r#gen::packet(&mut tape, &network);
            let target = accounts::target(&mut tape, &network, packet.five_tuple.destination);
            let answer = oracle.path(origin, &packet, S, target);
            let is_mail = packet.five_tuple.destination_port == Port::Number(25);
            let stopped = matches!(answer.verdict, Verdict::Deny(Reason::UnsupportedTraffic { .. }));
            let asked = |step: &Step| matches!(step.answer, StepAnswer::ServiceFirewall(_));
            firewalls += usize::from(answer.steps.iter().any(asked));
            mail += usize::from(is_mail && stopped);
            let (from, error) = errors::error(&mut tape, &network, origin, &packet);
            let known = oracle.path(from, &error, S, None);
            errors += usize::from(known.steps.iter().any(|step| step.answer == StepAnswer::FlowTable));
        }
    }
    println!("{firewalls} at firewalls, {mail} mails stopped, {errors} errors about open flows");
    assert!(firewalls > 20 && mail > 10 && errors > 50, "{firewalls}, {mail}, {errors}");
}
