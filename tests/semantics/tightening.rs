//! What is suggested from traffic allows nothing more, and denies nothing of the traffic that it was learnt from.

use std::cell::Cell;
use std::sync::Arc;

use nsgsim::analyze::suggest::{Options, Suggestions, suggest};
use nsgsim::analyze::usage::Collector;
use nsgsim::analyze::whatif::WhatIf;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::network::Network;
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::records::Records;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::run::{Replay, ReplayOptions};
use nsgsim::simulate::{Simulator, SimulatorOptions};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use crate::r#gen;
use crate::r#gen::{Tape, contested};

/// How many networks each test draws, how many packets are learnt from, and how many are asked of.
const CASES: u32 = 64;
const LEARNT: usize = 120;
const ASKED: usize = 600;

/// As many cases as are asked for, or else [`CASES`].
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.map_or(CASES, |cases| cases.parse().expect("PROPTEST_CASES is a number"))
}

fn compiled(network: &Network) -> Arc<CompiledNetwork> {
    let (network, tags) = (Arc::new(network.clone()), Arc::new(r#gen::tags()));
    Arc::new(CompiledNetwork::new(network, tags, CompileOptions::default()))
}

fn records(tape: &mut Tape, network: &Network, count: usize) -> Records {
    let mut tape = tape.longer(count * 16);
    let mut time_ns = 1_700_000_000_000_000_000;
    let mut record = |number| {
        let (_, packet, seconds) = r#gen::packet(&mut tape, network);
        time_ns += seconds * 1_000_000_000;
        let location = Location { file: 0, number };
        Record { location, time_ns: Some(time_ns), wire_bytes: 60, content: Content::Packet(packet) }
    };
    (1..=count as u64).map(&mut record).collect()
}

fn learnt(compiled: &Arc<CompiledNetwork>, records: &Records, how: Options) -> Suggestions {
    let options = ReplayOptions { flows: true, ..ReplayOptions::default() };
    let mut replay = Replay::new(Arc::clone(compiled), options);
    let mut collector = Collector::new(compiled, &options);
    replay.feed(records).flows.iter().for_each(|flow| collector.add(flow));
    replay.finish().1.iter().for_each(|flow| collector.add(flow));
    suggest(compiled, &collector.finish(), how)
}

fn tightening_holds(tape: &mut Tape, network: &Network) -> Result<usize, TestCaseError> {
    let base = compiled(network);
    let records = records(tape, network, LEARNT);
    let how = Options { hosts: tape.seldom(3), remove_unused: tape.seldom(2), only: None };
    let suggestions = learnt(&base, &records, how);
    let candidate = compiled(&suggestions.applied(network));

    let side = |compiled: &Arc<CompiledNetwork>| (Arc::clone(compiled), ReplayOptions::default());
    let mut whatif = WhatIf::new(side(&base), side(&candidate));
    whatif.feed(&records);
    for (change, flip) in &whatif.finish().counts.flips {
        prop_assert!(
            change.candidate.kind != VerdictKind::Deny || change.base.kind != VerdictKind::Allow,
            "{:?} {:?}\n{:?}",
            change,
            flip.example,
            suggestions
        );
    }

    let options = SimulatorOptions { stateful: false, ..SimulatorOptions::default() };
    let mut simulators = [&base, &candidate].map(|side| Simulator::new(Arc::clone(side), options));
    let mut asked = tape.longer(ASKED * 16);
    for _ in 0..ASKED {
        let (_, packet, _) = r#gen::packet(&mut asked, network);
        let [before, after] = simulators
            .each_mut()
            .map(|simulator| simulator.judge(&packet, 0).ok().map(|judged| judged.answer.verdict.kind()));
        let allows = |kind| kind == Some(VerdictKind::Allow);
        prop_assert!(!allows(after) || allows(before), "{:?}\n{:?}", packet, suggestions);
        let denies = |kind| kind == Some(VerdictKind::Deny);
        prop_assert!(!denies(before) || denies(after), "{:?}\n{:?}", packet, suggestions);
    }
    Ok(suggestions.edits())
}

/// Draws networks, and holds what is suggested of each; the cases must have led to as many edits as are expected at least.
fn hold_each(seeds: &'static str, draw: fn(&mut Tape) -> Network, least_edits: usize) {
    let persistence = Box::new(FileFailurePersistence::Direct(seeds));
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: Some(persistence),
        ..ProptestConfig::default()
    };
    let edits = Cell::new(0);
    let held = TestRunner::new(config).run(&r#gen::tape(), |mut tape| {
        let network = draw(&mut tape);
        edits.set(edits.get() + tightening_holds(&mut tape, &network)?);
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{error}"));
    assert!(edits.get() >= least_edits, "{} edits in all", edits.get());
}

#[test]
fn what_is_suggested_only_takes_away() {
    hold_each("tests/seeds/tightening", r#gen::network, 40);
}

#[test]
fn what_is_suggested_of_contesting_rules_only_takes_away() {
    hold_each("tests/seeds/tightening_contested", contested::network, 40);
}
