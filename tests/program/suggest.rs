//! Tighter rules from traffic: edits that go straight back, tried on what was held out.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::example_data::{data, network, nsgsim, records};
use nsgsim::analyze::suggest::{Options, Suggestions, suggest};
use nsgsim::analyze::usage::{Collector, Usage};
use nsgsim::compile::network::CompiledNetwork;
use nsgsim::ingest::azure::{self, Deployment};
use nsgsim::ingest::edit::Edits;
use nsgsim::model::records::Records;
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use nsgsim::report::inputs::Inputs;
use nsgsim::report::ledger::Provenance;
use nsgsim::report::suggest::SuggestReport;
use serde_json::Value;

fn learnt(compiled: &Arc<CompiledNetwork>) -> (Usage, Totals) {
    let options = ReplayOptions { flows: true, ..ReplayOptions::default() };
    let mut replay = Replay::new(Arc::clone(compiled), options);
    let mut collector = Collector::new(compiled, &options);
    replay.feed(&Records::from(&records()[..])).flows.iter().for_each(|flow| collector.add(flow));
    let (totals, flows) = replay.finish();
    flows.iter().for_each(|flow| collector.add(flow));
    (collector.finish(), totals)
}

fn every_option() -> impl Iterator<Item = Options> {
    let both = [false, true];
    both.into_iter().flat_map(move |hosts| {
        both.into_iter().map(move |remove_unused| Options { hosts, remove_unused, only: None })
    })
}

/// What the file says is what is meant: the base's export with the file applied is the network that was tried.
#[test]
fn the_written_edits_are_those_that_were_tried() {
    let compiled = network("example");
    let (usage, totals) = learnt(&compiled);
    for options in every_option() {
        let suggestions: Suggestions = suggest(&compiled, &usage, options);
        let candidate = suggestions.applied(&compiled.network);
        let report = SuggestReport {
            network: &compiled.network,
            candidate: &candidate,
            suggestions: &suggestions,
            usage: &usage,
            totals: &totals,
            trial: None,
            provenance: Provenance { inputs: Inputs::new(None, None), ..Provenance::default() },
        };
        let json: Value = serde_json::from_str(&report.json()).expect("JSON");
        for text in [report.yaml(), json["edits"].to_string()] {
            let edits =
                Edits::parse("suggested.yaml", text.as_bytes()).expect("edits are written as they are read");
            assert_eq!(edits.len(), suggestions.edits());
            assert!(edits.len() >= 9, "{text}");
            let read =
                azure::load_edited(&[data("example")], Some(&compiled.tags), &Deployment::default(), &edits);
            let [base, edited] = read.expect("the edits can be applied");
            assert_eq!(base.network, *compiled.network);
            assert_eq!(edited.network, candidate, "{options:?}");
            let news = edited.findings.iter().filter(|finding| !base.findings.contains(finding));
            assert_eq!(news.count(), 0, "a suggestion is nothing that Azure would refuse");
        }
    }
}

#[test]
fn a_suggestion_allows_nothing_more_and_denies_nothing_that_it_was_learnt_from() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for extra in [&[][..], &["--hosts"], &["--remove-unused"]] {
        let path = folder.path().join("suggested.yaml");
        let path = path.to_str().expect("UTF-8");
        let arguments =
            ["suggest", "-q", "-s", "data/example", "data/example.pcap", "--holdout", "0%", "-o", path];
        assert_eq!(nsgsim(&[&arguments[..], extra].concat()).status.code(), Some(0));

        let edited = ["--base", "data/example", "--edit", path, "--format", "json", "-q"];
        let difference = json(&[&["diff"], &edited[..]].concat(), 1);
        let flips = difference["flips"].as_array().expect("a list");
        assert!(!flips.is_empty());
        let (mut denied, mut allowed) = (0, 0);
        for flip in flips {
            denied += usize::from(flip["candidate"]["verdict"] == "deny");
            allowed += usize::from(flip["candidate"]["verdict"] == "allow");
        }
        assert!(denied > 0 && allowed == 0, "{extra:?}");

        let same = json(&[&["whatif"], &edited[..], &["data/example.pcap"]].concat(), 0);
        assert_eq!(same["totals"]["newly_denied"]["flows"], 0, "{extra:?}");
        assert_eq!(same["flips"], Value::Array(Vec::new()), "{extra:?}");
    }
}

/// A flow table of these flows, a second apart: `source destination port`.
struct Flows {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Flows {
    fn new(flows: impl IntoIterator<Item = (String, String, u16)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut table = "src,dst,sport,dport,proto,ts\n".to_owned();
        for (number, (source, destination, port)) in (1..).zip(flows) {
            let time = 1_700_000_000 + number;
            writeln!(table, "{source},{destination},{},{port},tcp,{time}", 40_000 + number)
                .expect("writing to a string works");
        }
        let path = folder.path().join("flows.csv");
        fs::write(&path, table).expect("it can be written");
        Self { _folder: folder, path }
    }

    fn suggested(&self, extra: &[&str]) -> Value {
        let path = self.path.to_str().expect("UTF-8");
        json(&[&["suggest", "-q", "-s", "data/example", path, "--format", "json"], extra].concat(), 0)
    }
}

fn json(arguments: &[&str], status: i32) -> Value {
    let output = nsgsim(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?} {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn peers(ports: impl IntoIterator<Item = u16>) -> Flows {
    let flow = |port| ("10.30.1.4".to_owned(), "10.30.1.5".to_owned(), port);
    Flows::new(ports.into_iter().map(flow))
}

const PEERS: [&str; 4] = ["--rule", "nsg-ml-compute/AllowClusterPeers", "--holdout", "0%"];

#[test]
fn ports_are_joined_and_too_many_stay_as_they_are() {
    let few = peers([29_500, 29_501, 29_502, 6000, 65_535]).suggested(&PEERS);
    let change = &few["edits"][0]["change_rule"];
    assert_eq!(change["destination_ports"], serde_json::json!(["6000", "29500-29502", "65535"]));
    assert_eq!(change["protocol"], "tcp");
    // Its prefixes are those of the subnet.
    assert_eq!((&change["source"], &change["destination"]), (&Value::Null, &Value::Null));

    for count in [17, 300] {
        let many = peers((0..count).map(|number| 1000 + 2 * number)).suggested(&PEERS);
        assert_eq!(many["edits"][0]["change_rule"]["destination_ports"], Value::Null, "{count}");
        assert_eq!(many["kept"][0]["field"], "destination_ports", "{count}");
        assert_eq!(many["kept"][0]["why"], "too_many", "{count}");
    }
}

#[test]
fn blocks_beyond_what_a_rule_holds_well_stay_as_they_are() {
    let from_internet = |count: u8| {
        let outside = |number: u8| (format!("45.{number}.1.9"), "10.20.1.4".to_owned(), 443);
        Flows::new((0..count).map(outside))
    };
    let only = ["--rule", "nsg-web/AllowHttpsFromInternet", "--holdout", "0%"];
    let few = from_internet(32).suggested(&only);
    assert_eq!(few["edits"][0]["change_rule"]["source"].as_array().map(Vec::len), Some(32), "{few}");
    let many = from_internet(33).suggested(&only);
    assert_eq!(many["edits"], Value::Array(Vec::new()));
    assert_eq!((&many["kept"][0]["field"], &many["kept"][0]["why"]), (&"source".into(), &"too_many".into()));
}

#[test]
fn the_latest_flows_are_held_out() {
    let flows = |late: &str| {
        let flow = |number| {
            let source = if number < 8 { "10.10.1.5" } else { late };
            (source.to_owned(), "10.20.1.5".to_owned(), 22)
        };
        Flows::new((0..10).map(flow))
    };
    let only = ["--rule", "nsg-web/AllowSshFromCorp"];
    for (late, denials) in [("10.10.1.5", 0), ("10.10.3.4", 2)] {
        let answer = flows(late).suggested(&only);
        assert_eq!((&answer["learnt"]["flows"], &answer["trial"]["flows"]), (&8.into(), &2.into()));
        assert_eq!(answer["trial"]["allowed"], 2);
        assert_eq!(answer["trial"]["false_denials"]["flows"], denials, "{late}");
        assert_eq!(answer["trial"]["learnt_flips"], Value::Array(Vec::new()));
    }
    let answer = flows("10.10.3.4").suggested(&[&only[..], &["--holdout", "50%"]].concat());
    assert_eq!((&answer["learnt"]["flows"], &answer["trial"]["flows"]), (&5.into(), &5.into()));
}

#[test]
fn flows_of_one_moment_cannot_be_parted() {
    let flows = peers([29_500]);
    let path = flows.path.to_str().expect("UTF-8");
    let output = nsgsim(&["suggest", "-q", "-s", "data/example", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let talk = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(talk.contains("cannot be parted by time"), "{talk}");
}
