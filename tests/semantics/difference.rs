//! The exact difference of two networks, against packets that both are asked of one by one, without tables.

use std::sync::Arc;

use nsgsim::analyze::diff::{Difference, difference};
use nsgsim::analyze::regions::Region;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::{FiveTuple, Packet};
use nsgsim::model::network::Network;
use nsgsim::model::nsg::Nsg;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::simulate::Simulator;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::r#gen;
use crate::r#gen::{Tape, contested};
use crate::universe::{all_packets, cases, holds, packet, plain, small, small_rules};

/// How many pairs of networks each test draws, and how many packets it asks of both sides of each: in three tests more
/// than 100,000.
const CASES: u32 = 64;
const ASKED: usize = 600;

/// Two networks without tables, to ask packets of.
struct Asked([Simulator; 2]);

impl Asked {
    fn of(networks: [&Network; 2]) -> Self {
        Self(networks.map(plain))
    }

    /// What each says of a packet; nothing where no end of it is its.
    fn kinds(&mut self, tuple: &FiveTuple) -> [Option<VerdictKind>; 2] {
        let [base, candidate] = &mut self.0;
        [base, candidate].map(|simulator| {
            simulator.judge(&Packet::new(*tuple), 0).ok().map(|judged| judged.answer.verdict.kind())
        })
    }
}

/// How a packet flips of which both sides say this, as [`told`] tells it.
fn flip(kinds: [Option<VerdictKind>; 2]) -> Vec<[Option<VerdictKind>; 2]> {
    match kinds {
        [Some(base), Some(candidate)] if base == candidate => vec![],
        [None, None] => vec![],
        // Whatever the one says that judges it.
        [Some(_), None] => vec![[Some(VerdictKind::Mixed), None]],
        [None, Some(_)] => vec![[None, Some(VerdictKind::Mixed)]],
        both => vec![both],
    }
}

/// What a difference says of a packet.
fn told(difference: &Difference, tuple: &FiveTuple) -> Vec<[Option<VerdictKind>; 2]> {
    let ends = |sources: &AddressSet, destinations: &AddressSet| {
        sources.contains(tuple.source) && destinations.contains(tuple.destination)
    };
    let mut told = Vec::new();
    for (change, boxes) in &difference.flips {
        let kinds = [Some(change.base.kind), Some(change.candidate.kind)];
        told.extend(boxes.iter().filter(|one| holds(one, tuple)).map(|_| kinds));
    }
    let in_one = |boxes: &[(AddressSet, AddressSet)]| {
        boxes.iter().filter(|(sources, destinations)| ends(sources, destinations)).count()
    };
    told.extend(vec![[Some(VerdictKind::Mixed), None]; in_one(&difference.base_only)]);
    told.extend(vec![[None, Some(VerdictKind::Mixed)]; in_one(&difference.candidate_only)]);
    told
}

fn compiled(network: &Network) -> Arc<CompiledNetwork> {
    let tags = TAGS.with(Arc::clone);
    Arc::new(CompiledNetwork::new(Arc::new(network.clone()), tags, CompileOptions::default()))
}

thread_local! {
    /// One catalogue for both sides, as a run has.
    static TAGS: Arc<TagCatalog> = Arc::new(r#gen::tags());
}

fn difference_is_what_packets_show(
    tape: &mut Tape,
    base: &Network,
    candidate: &Network,
) -> Result<(), TestCaseError> {
    let sides = [base, candidate].map(compiled);
    let difference = difference(&sides[0], &sides[1], None);
    let mut asked = Asked::of([base, candidate]);
    for (change, boxes) in &difference.flips {
        for one in boxes {
            let expected = [Some(change.base.kind), Some(change.candidate.kind)];
            prop_assert_eq!(asked.kinds(&one.witness), expected, "{:?}", one);
            prop_assert_eq!(told(&difference, &one.witness), vec![expected], "{:?}", one);
        }
    }
    let boxes: Vec<&Region> = difference.flips.values().flatten().collect();
    // Each packet reads fewer than 40 numbers.
    let mut tape = tape.longer(40 * ASKED);
    for _ in 0..ASKED {
        let tuple = packet(&mut tape, base, &boxes);
        if tuple.source == tuple.destination || tuple.source.is_ipv4() != tuple.destination.is_ipv4() {
            continue;
        }
        prop_assert_eq!(
            told(&difference, &tuple),
            flip(asked.kinds(&tuple)),
            "{:?}\nbase: {:#?}\ncandidate: {:#?}",
            tuple,
            base,
            candidate
        );
    }
    Ok(())
}

/// A rule more, a rule less, another access, another order, or nothing.
fn change_rules(tape: &mut Tape, network: &mut Network) {
    if network.nsgs.is_empty() {
        return;
    }
    for _ in 0..1 + tape.below(2) {
        let nsg = tape.below(network.nsgs.len());
        let added = r#gen::rule(tape, 9);
        let rules = &mut network.nsgs[nsg].rules;
        let custom = rules.iter().filter(|rule| !rule.is_default).count();
        match tape.below(3) {
            1 if custom > 0 => {
                let at = rules.iter().position(|rule| !rule.is_default).expect("there is one");
                rules.remove(at);
            }
            2 if custom > 1 => {
                let places: Vec<usize> =
                    (0..rules.len()).filter(|place| !rules[*place].is_default).take(2).collect();
                let (one, other) = (rules[places[0]].priority, rules[places[1]].priority);
                rules[places[0]].priority = other;
                rules[places[1]].priority = one;
            }
            _ => rules.push(added),
        }
        network.nsgs[nsg].sort();
    }
}

/// What is no rule changes too.
fn change_more(tape: &mut Tape, network: &mut Network) {
    change_rules(tape, network);
    for subnet in &mut network.subnets {
        if tape.seldom(2) {
            subnet.nsg = None;
        }
        if tape.seldom(3) {
            subnet.route_table = None;
        }
        if tape.seldom(3) {
            subnet.nat_gateway = None;
        }
    }
    for nic in &mut network.nics {
        if tape.seldom(3) {
            nic.nsg = None;
        }
        if tape.seldom(3) {
            for configuration in &mut nic.ip_configurations {
                configuration.public_ip = None;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(8),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/seeds/difference_of_small",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_difference_of_small_networks_is_that_of_all_their_packets(mut tape in r#gen::tape()) {
        let base = small(&mut tape);
        let mut candidate = base.clone();
        match tape.below(2) {
            0 => change_rules(&mut tape, &mut candidate),
            _ => candidate.nsgs[0] = Nsg::new(base.nsgs[0].id.clone(), small_rules(&mut tape)),
        }
        let sides = [&base, &candidate].map(compiled);
        let difference = difference(&sides[0], &sides[1], None);
        let mut asked = Asked::of([&base, &candidate]);
        for tuple in all_packets() {
            prop_assert_eq!(told(&difference, &tuple), flip(asked.kinds(&tuple)), "{:?}", tuple);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/seeds/difference",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_network_does_not_differ_from_itself(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let sides = [&network, &network].map(compiled);
        prop_assert_eq!(difference(&sides[0], &sides[1], None), Difference::default());
        // Other catalogues of the same tags: nothing is known to be the same, and everything is asked.
        let apart = CompiledNetwork::new(
            Arc::new(network),
            Arc::new(r#gen::tags()),
            CompileOptions::default(),
        );
        prop_assert_eq!(difference(&sides[0], &Arc::new(apart), None), Difference::default());
    }

    #[test]
    fn rules_that_change_flip_what_packets_show(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let mut candidate = network.clone();
        change_rules(&mut tape, &mut candidate);
        difference_is_what_packets_show(&mut tape, &network, &candidate)?;
    }

    #[test]
    fn rules_that_contest_flip_what_packets_show(mut tape in r#gen::tape()) {
        let network = contested::network(&mut tape);
        let mut candidate = network.clone();
        change_rules(&mut tape, &mut candidate);
        difference_is_what_packets_show(&mut tape, &network, &candidate)?;
    }

    #[test]
    fn whatever_changes_flips_what_packets_show(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let mut candidate = network.clone();
        change_more(&mut tape, &mut candidate);
        difference_is_what_packets_show(&mut tape, &network, &candidate)?;
    }
}
