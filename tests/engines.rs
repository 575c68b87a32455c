//! The engines give the oracle's verdict, reason and steps on drawn networks and packets.

mod build;
#[path = "conformance/engine.rs"]
mod engine;
mod r#gen;
mod oracle;

use nsgsim::model::assumptions::{Assumptions, Choice};
use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::Direction;
use nsgsim::model::verdict::{Answer, Verdict, VerdictKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::FileFailurePersistence;

use crate::engine::{ENGINES, Judging};
use crate::r#gen::{Tape, contested};

/// A second in nanoseconds.
const S: u64 = 1_000_000_000;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/engines.proptest-regressions",
        ))),
        ..ProptestConfig::default()
    }
}

/// What is compared. Of undetermined answers only that they are: which of several open questions is named is the
/// engine's choice.
fn told(answer: &Answer) -> (VerdictKind, Option<Verdict>, Vec<nsgsim::model::verdict::Step>) {
    match answer.verdict.kind() {
        VerdictKind::Undetermined => (VerdictKind::Undetermined, None, Vec::new()),
        kind => (kind, Some(answer.verdict.clone()), answer.steps.clone()),
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
        // Now and then a packet of an earlier flow, or the same once more.
        if !history.is_empty() && tape.below(4) == 3 {
            (_, origin, packet) = history[tape.below(history.len())];
        }
        let (back_from, back) = r#gen::reply(&network, origin, &packet);
        for (origin, packet) in [(origin, packet), (back_from, back)] {
            history.push((time_ns / S, origin, packet));
            let answers: Vec<(&str, Answer)> = engines
                .iter_mut()
                .map(|(name, engine)| (*name, engine.path(origin, &packet, time_ns, None)))
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
        if packet.five_tuple.protocol.has_ports() && tape.below(8) == 7 {
            packet.five_tuple.source_port = nsgsim::model::flow::Port::NotGiven;
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
    for _ in 0..200 {
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
