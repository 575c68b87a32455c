//! The example network, its candidate, its capture, and what was worked out about them by hand.
#![allow(dead_code, reason = "each test target uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{self, tags};
use nsgsim::ingest::capture::CaptureReader;
use nsgsim::ingest::synth::{SynthOptions, flows};
use nsgsim::model::network::Network;
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::records::Records;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::tally::Decider;

/// A file or folder beside the example.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// Reads and compiles `example` or `example-candidate` with the tags built in.
pub(crate) fn network(name: &str) -> Arc<CompiledNetwork> {
    let tags = Arc::new(tags::bundled());
    let loaded = azure::load(&[data(name)], Some(&tags)).expect("the example can be read");
    Arc::new(CompiledNetwork::new(Arc::new(loaded.network), tags, CompileOptions::default()))
}

/// The records of the example's capture.
pub(crate) fn records() -> Vec<Record> {
    let mut reader = CaptureReader::open(&data("example.pcap"), 0).expect("the example can be opened");
    let mut records = Records::default();
    while reader.read_batch(1000, &mut records).expect("the example can be read") > 0 {}
    records.iter().collect()
}

/// Seeded traffic for a network: more than the example's capture holds.
pub(crate) fn synthetic(compiled: &CompiledNetwork, flow_count: u64) -> Vec<Record> {
    let options =
        SynthOptions { flows: flow_count, seed: 7, skew: None, start_ns: 1_700_000_000_000_000_000 };
    let packets = flows(&compiled.network, &compiled.tags, &options).expect("the example has interfaces");
    let record = |(number, packet): (u64, nsgsim::ingest::synth::SynthPacket)| Record {
        location: Location { file: 0, number },
        time_ns: Some(packet.time_ns),
        wire_bytes: 60 + u32::from(packet.payload_bytes),
        content: Content::Packet(packet.packet),
    };
    (1..).zip(packets).map(record).collect()
}

/// Runs the command.
pub(crate) fn nsgsim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nsgsim"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .expect("the command can be started")
}

/// A row of the first table of `example-counts.md`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) flow: String,
    /// `web-2 to app-1, TCP 8080`.
    pub(crate) ends: String,
    pub(crate) packets: u64,
    pub(crate) verdict: String,
    pub(crate) decided_by: String,
}

/// A row of the last table: what each network says of the first packet of a flow, as verdict and what decided.
#[derive(Clone, Debug)]
pub(crate) struct Flipped {
    pub(crate) flow: String,
    pub(crate) before: (String, String),
    pub(crate) after: (String, String),
}

/// What was worked out by hand.
pub(crate) struct Counts {
    pub(crate) rows: Vec<Row>,
    /// Name of the line to its count and the counts of its parts.
    pub(crate) ledger: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
    /// Packets by verdict and what decided about their flow, as [`spelled_side`] has them.
    pub(crate) rules: BTreeMap<(String, String), u64>,
    pub(crate) flipped: Vec<Flipped>,
}

/// Reads `example-counts.md`.
pub(crate) fn counts() -> Counts {
    let text = fs::read_to_string(data("example-counts.md")).expect("the counts can be read");
    let [flows, ledger, rules, flipped] = tables(&text).try_into().expect("the counts are four tables");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let rows = flows.into_iter().map(|cells| Row {
        flow: cells[0].clone(),
        ends: cells[1].clone(),
        packets: number(&cells[2]),
        verdict: cells[3].clone(),
        decided_by: cells[4].clone(),
    });
    let part = |part: &str| {
        let (name, count) = part.trim().rsplit_once(' ').expect("a name and a number");
        (name.to_owned(), number(count))
    };
    let parts = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(part).collect();
    let lines = ledger.into_iter().map(|cells| (cells[0].clone(), (number(&cells[1]), parts(&cells[2]))));
    let mut by_rule = BTreeMap::new();
    for cells in rules {
        let [nsg, rule, allow, deny, _] = &cells[..] else { panic!("five cells: {cells:?}") };
        let by = if nsg.is_empty() { rule.clone() } else { format!("{nsg}/{rule}") };
        for (verdict, packets) in [("allow", allow), ("deny", deny)] {
            if !packets.is_empty() {
                by_rule.insert((verdict.to_owned(), by.clone()), number(packets));
            }
        }
    }
    let side = |text: &str| {
        let (verdict, by) = text.split_once(", ").expect("a verdict and what decided");
        // What follows a colon is the reason in words.
        (verdict.to_owned(), by.split(':').next().unwrap_or(by).to_owned())
    };
    let flipped = flipped.into_iter().map(|cells| Flipped {
        flow: cells[0].clone(),
        before: side(&cells[1]),
        after: side(&cells[2]),
    });
    Counts { rows: rows.collect(), ledger: lines.collect(), rules: by_rule, flipped: flipped.collect() }
}

/// The cells of each table without its head.
fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    let mut tables: Vec<Vec<Vec<String>>> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(line) = line.strip_prefix('|') else {
            inside = false;
            continue;
        };
        if !inside {
            tables.push(Vec::new());
        }
        inside = true;
        let cells = line.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        tables.last_mut().expect("a table was just begun").push(cells);
    }
    tables.into_iter().map(|table| table.into_iter().skip(2).collect()).collect()
}

/// What decided, as the hand-made tables spell it.
pub(crate) fn spelled(network: &Network, decider: &Decider) -> String {
    match decider {
        Decider::Rule { nsg, rule, .. } => {
            let rule = &network.nsgs[nsg.get()].rules[*rule as usize].name;
            format!("{}/{rule}", network.nsg_name(*nsg))
        }
        Decider::PlatformRule(service) => format!("platform, {}", service.name()),
        Decider::NoSecurityGroup => "no security group".to_owned(),
        Decider::NatGateway(gateway) => {
            format!("NAT gateway {}", network.nat_gateways[gateway.get()].id.name())
        }
        Decider::OutboundConnectivity => "no outbound connectivity".to_owned(),
        Decider::NoEndpoint => "route, `noEndpoint`".to_owned(),
        Decider::Open(code) => code.to_string(),
        other => format!("{other:?}"),
    }
}

/// A verdict and what decided, as the hand-made tables spell them.
pub(crate) fn spelled_side(network: &Network, kind: VerdictKind, decider: &Decider) -> (String, String) {
    (kind.to_string(), spelled(network, decider))
}
