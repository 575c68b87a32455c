//! What is suggested from traffic allows nothing more, and denies nothing of the traffic that it was learnt from.

use std::cell::Cell;
use std::sync::Arc;

use nsgsim::analyze::suggest::{Options, Suggestions, suggest};
use nsgsim::analyze::usage::Collector;
use nsgsim::analyze::whatif::WhatIf;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::Reference;
use nsgsim::model::network::Network;
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::records::Records;
use nsgsim::model::rule::Protocol;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::run::{Replay, ReplayOptions};
use nsgsim::simulate::{Simulator, SimulatorOptions};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use crate::build::{Build, ip, rule};
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

/// A packet, and the seconds since the last one.
type Draw = fn(&mut Tape, &Network) -> (Packet, u64);

fn any_packet(tape: &mut Tape, network: &Network) -> (Packet, u64) {
    let (_, packet, seconds) = r#gen::packet(tape, network);
    (packet, seconds)
}

/// Two subnets of private addresses and one of public ones, all behind one NSG of wide rules, most of which allow, with
/// all else denied: whatever a rule loses shows.
fn busy(tape: &mut Tape) -> Network {
    const ADDRESSES: [&str; 9] = [
        "*",
        "VirtualNetwork",
        "Internet",
        "10.0.0.0/16",
        "10.0.0.0/8",
        "203.0.113.0/24",
        "Storage",
        "AzureCloud",
        "10.0.1.0/24,10.0.2.0/24",
    ];
    const PORTS: [&str; 5] = ["*", "*", "0-1023", "80-81,443", "8000-9000"];
    let mut tape = tape.longer(200);
    let mut network = Network::default();
    let mut rules = Vec::new();
    for direction in ["in", "out"] {
        for number in 0..5 {
            let mut word = |words: &[&str]| words[tape.below(words.len())].to_owned();
            let access = word(&["allow", "allow", "allow", "deny"]);
            let protocol = word(&["*", "*", "tcp", "udp"]);
            let (from, to, ports) = (word(&ADDRESSES), word(&ADDRESSES), word(&PORTS));
            let priority = 100 + number;
            let text = format!("{direction} {priority} {access} {protocol} {from} * -> {to} {ports}");
            rules.push(rule(&text));
        }
        rules.push(rule(&format!("{direction} 4096 deny * * * -> * *")));
    }
    let nsg = network.nsg("nsg", rules);
    let vnet = network.vnet("vnet", &["10.0.0.0/16", "203.0.113.0/28"]);
    for (name, range, address) in [
        ("one", "10.0.1.0/24", "10.0.1.4"),
        ("two", "10.0.2.0/24", "10.0.2.4"),
        ("public", "203.0.113.0/28", "203.0.113.4"),
    ] {
        let subnet = network.subnet(vnet, name, range);
        network.subnets[subnet.get()].nsg = Some(Reference::Here(nsg));
        network.nic(subnet, &format!("nic-{name}"), &[address]);
    }
    network
}

fn busy_packet(tape: &mut Tape, _network: &Network) -> (Packet, u64) {
    const ADDRESSES: [&str; 8] = [
        "10.0.1.4",
        "10.0.2.4",
        "203.0.113.4",
        "10.0.1.4",
        "203.0.113.200",
        "198.51.100.7",
        "198.51.100.200",
        "9.9.9.9",
    ];
    let mut address = || ip(ADDRESSES[tape.below(ADDRESSES.len())]);
    let (source, destination) = (address(), address());
    let protocol = [Protocol::TCP, Protocol::TCP, Protocol::UDP, Protocol::ICMP][tape.below(4)];
    let [source_port, destination_port] = if protocol == Protocol::ICMP {
        [Port::None; 2]
    } else {
        let ports = [22, 80, 81, 82, 443, 8080, 30_000];
        [
            Port::Number(40_000 + u16::try_from(tape.below(200)).expect("below 200")),
            Port::Number(ports[tape.below(ports.len())]),
        ]
    };
    (Packet::new(FiveTuple { source, destination, protocol, source_port, destination_port }), 300)
}

fn records(tape: &mut Tape, network: &Network, count: usize, draw: Draw) -> Records {
    let mut tape = tape.longer(count * 16);
    let mut time_ns = 1_700_000_000_000_000_000;
    let mut record = |number| {
        let (packet, seconds) = draw(&mut tape, network);
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

fn tightening_holds(tape: &mut Tape, network: &Network, draw: Draw) -> Result<usize, TestCaseError> {
    let base = compiled(network);
    let records = records(tape, network, LEARNT, draw);
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
        let (packet, _) = draw(&mut asked, network);
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
fn hold_each(seeds: &'static str, (draw, packet): (fn(&mut Tape) -> Network, Draw), least_edits: usize) {
    let persistence = Box::new(FileFailurePersistence::Direct(seeds));
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: Some(persistence),
        ..ProptestConfig::default()
    };
    let edits = Cell::new(0);
    let held = TestRunner::new(config).run(&r#gen::tape(), |mut tape| {
        let network = draw(&mut tape);
        edits.set(edits.get() + tightening_holds(&mut tape, &network, packet)?);
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{error}"));
    assert!(edits.get() >= least_edits, "{} edits in all", edits.get());
}

#[test]
fn what_is_suggested_only_takes_away() {
    hold_each("tests/seeds/tightening", (r#gen::network, any_packet), 40);
}

#[test]
fn what_is_suggested_of_contesting_rules_only_takes_away() {
    hold_each("tests/seeds/tightening_contested", (contested::network, any_packet), 40);
}

#[test]
fn what_is_suggested_of_wide_rules_only_takes_away() {
    hold_each("tests/seeds/tightening_wide", (busy, busy_packet), 200);
}
