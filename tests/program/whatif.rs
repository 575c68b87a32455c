//! Two networks over the same traffic: what flips, and what does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::example_data::{counts, network, nsgsim, records, spelled_side, synthetic};
use nsgsim::analyze::whatif::{Comparison, Side, WhatIf};
use nsgsim::compile::network::CompiledNetwork;
use nsgsim::model::record::Record;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use serde_json::Value;

const CAPTURE: &str = "data/example.pcap";
const BASE: &str = "data/example";
const CANDIDATE: &str = "data/example-candidate";

fn compare(base: &Arc<CompiledNetwork>, candidate: &Arc<CompiledNetwork>, records: &[Record]) -> Comparison {
    let side = |compiled: &Arc<CompiledNetwork>| (Arc::clone(compiled), ReplayOptions::default());
    let mut whatif = WhatIf::new(side(base), side(candidate));
    whatif.feed(&records.into());
    whatif.finish()
}

fn replay(compiled: &Arc<CompiledNetwork>, records: &[Record]) -> Totals {
    let mut replay = Replay::new(Arc::clone(compiled), ReplayOptions::default());
    replay.feed(&records.into());
    replay.finish().0
}

#[test]
fn the_flips_of_the_example_are_those_worked_out_by_hand() {
    let (base, candidate) = (network("example"), network("example-candidate"));
    let comparison = compare(&base, &candidate, &records());
    let hand = counts();
    // All packets of a flow share the fate of its first one.
    let packets =
        |flow: &str| -> u64 { hand.rows.iter().filter(|row| row.flow == flow).map(|row| row.packets).sum() };
    let mut expected: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for flipped in &hand.flipped {
        let (flows, all) = expected.entry((flipped.before.clone(), flipped.after.clone())).or_default();
        *flows += 1;
        *all += packets(&flipped.flow);
    }
    let spell =
        |compiled: &CompiledNetwork, side: &Side| spelled_side(&compiled.network, side.kind, &side.decider);
    let ours: BTreeMap<_, _> = comparison
        .counts
        .flips
        .iter()
        .map(|(change, flip)| {
            let sides = (spell(&base, &change.base), spell(&candidate, &change.candidate));
            (sides, (flip.hits.flows, flip.hits.packets))
        })
        .collect();
    assert_eq!(ours, expected);

    let into = |verdict: &str| hand.flipped.iter().filter(|flow| flow.after.0 == verdict).count() as u64;
    let counts = &comparison.counts;
    assert_eq!(counts.newly(VerdictKind::Deny).flows, into("deny"));
    assert_eq!(counts.newly(VerdictKind::Allow).flows, into("allow"));
    assert_eq!(counts.newly(VerdictKind::Undetermined).flows, into("undetermined"));
    assert_eq!((counts.newly_determined().flows, counts.all().flows), (0, hand.flipped.len() as u64));
}

#[test]
fn each_side_is_what_a_replay_of_its_own_says() {
    let (base, candidate) = (network("example"), network("example-candidate"));
    let records = synthetic(&base, 2000);
    let comparison = compare(&base, &candidate, &records);
    assert_eq!(comparison.base, replay(&base, &records));
    assert_eq!(comparison.candidate, replay(&candidate, &records));
    assert!(!comparison.counts.flips.is_empty(), "the traffic reaches what changed");
}

#[test]
fn the_way_back_undoes_every_flip() {
    let (base, candidate) = (network("example"), network("example-candidate"));
    let records = records();
    let there = compare(&base, &candidate, &records).counts.flips;
    let back = compare(&candidate, &base, &records).counts.flips;
    let there: Vec<_> =
        there.into_iter().map(|(change, flip)| (change.base, change.candidate, flip)).collect();
    let mut back: Vec<_> =
        back.into_iter().map(|(change, flip)| (change.candidate, change.base, flip)).collect();
    back.sort_by_key(|(base, candidate, _)| (*base, *candidate));
    assert_eq!(there, back);
}

#[test]
fn a_network_against_itself_flips_nothing() {
    let base = network("example");
    for records in [records(), synthetic(&base, 2000)] {
        let comparison = compare(&base, &base, &records);
        assert!(comparison.counts.flips.is_empty());
        assert_eq!((comparison.counts.base_only, comparison.counts.candidate_only), (0, 0));
        assert!(comparison.counts.both > 0);
    }
}

#[test]
fn explain_confirms_every_example_on_both_sides() {
    let answer = nsgsim(&["whatif", "--base", BASE, "--cand", CANDIDATE, CAPTURE, "--format", "json", "-q"]);
    assert_eq!(answer.status.code(), Some(1), "something flips");
    let json: Value = serde_json::from_slice(&answer.stdout).expect("the answer is JSON");
    assert_eq!(json["schema"], "nsgsim/whatif/1");
    let flips = json["flips"].as_array().expect("a list of flips");
    assert_eq!(flips.len(), counts().flipped.len());
    for flip in flips {
        let [from, to, proto] =
            ["from", "to", "proto"].map(|member| flip["example"][member].as_str().expect("a text"));
        for (side, network) in [("base", BASE), ("candidate", CANDIDATE)] {
            let ends = ["--from", from, "--to", to, "--proto", proto];
            let command = [&["explain", "-s", network, "--format", "json", "-q"][..], &ends].concat();
            let explained = nsgsim(&command);
            let explained: Value = serde_json::from_slice(&explained.stdout).expect("the answer is JSON");
            assert_eq!(explained["verdict"], flip[side]["verdict"], "{ends:?} under the {side}");
            if let Some(rule) = flip[side]["decided_by"]["nsg"].as_str() {
                assert_eq!(explained["decided_by"]["nsg"], rule, "{ends:?} under the {side}");
            }
            assert_eq!(explained["decided_by"]["rule"].as_str(), rule_of(&flip[side]), "{ends:?}, {side}");
        }
    }
}

/// The deciding rule; undetermined sides have a code instead.
fn rule_of(side: &Value) -> Option<&str> {
    if side["verdict"] == "undetermined" { None } else { side["decided_by"]["rule"].as_str() }
}

#[test]
fn the_exit_status_says_what_was_asked_for() {
    let status = |candidate: &str, fail_on: &str| {
        let sides = ["whatif", "--base", BASE, "--cand", candidate, CAPTURE, "-q", "--fail-on", fail_on];
        nsgsim(&sides).status.code()
    };
    // The candidate newly denies three flows, allows one and leaves one open.
    for (fail_on, expected) in [("any", 1), ("newly-denied", 1), ("newly-allowed", 1), ("none", 0)] {
        assert_eq!(status(CANDIDATE, fail_on), Some(expected), "--fail-on {fail_on}");
        assert_eq!(status(BASE, fail_on), Some(0), "against itself, --fail-on {fail_on}");
    }
    let limited =
        nsgsim(&["whatif", "--base", BASE, "--cand", BASE, CAPTURE, "-q", "--max-undetermined", "9"]);
    assert_eq!(limited.status.code(), Some(3), "10 records are undetermined");
    assert_eq!(nsgsim(&["whatif", "--base", BASE, CAPTURE]).status.code(), Some(2), "no candidate");
}

#[test]
fn a_terraform_plan_alone_is_both_networks() {
    let vnet = |prefix: &str| {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
        serde_json::json!({ "root_module": { "resources": [{
            "address": "azurerm_virtual_network.v", "type": "azurerm_virtual_network",
            "values": { "id": id, "name": "v", "address_space": [prefix] } }] } })
    };
    let plan = serde_json::json!({ "terraform_version": "1.9.0", "planned_values": vnet("10.0.0.0/8"),
        "prior_state": { "values": vnet("10.0.0.0/8") } });
    let folder = tempfile::tempdir().expect("a folder for a plan");
    let path = folder.path().join("plan.json");
    std::fs::write(&path, plan.to_string()).expect("a plan can be written");
    let path = path.to_str().expect("the path is a text");
    for side in ["--base", "--cand"] {
        let answer = nsgsim(&["whatif", side, path, CAPTURE, "-q"]);
        assert_eq!(answer.status.code(), Some(0), "{}", String::from_utf8_lossy(&answer.stderr));
        let answer = nsgsim(&["whatif", side, BASE, CAPTURE, "-q"]);
        assert_eq!(answer.status.code(), Some(2));
        let message = "only one of --base and --cand is given and it holds no Terraform plan: expected both";
        assert!(String::from_utf8_lossy(&answer.stderr).contains(message));
        let answer = nsgsim(&["whatif", side, "-", CAPTURE, "-q"]);
        assert!(String::from_utf8_lossy(&answer.stderr).contains("standard input can be read only once"));
    }
}

#[test]
fn both_networks_and_the_tags_are_named() {
    let answer = nsgsim(&["whatif", "--base", BASE, "--cand", CANDIDATE, CAPTURE, "--format", "json", "-q"]);
    let json: Value = serde_json::from_slice(&answer.stdout).expect("the answer is JSON");
    let digest = |network: &str| {
        let replayed = nsgsim(&["replay", "-s", network, CAPTURE, "--format", "json", "-q"]);
        let json: Value = serde_json::from_slice(&replayed.stdout).expect("the answer is JSON");
        (json["inputs"]["network"].clone(), json["ledger"].clone(), json["verdicts"].clone())
    };
    let (base, candidate) = (digest(BASE), digest(CANDIDATE));
    assert_eq!((&json["inputs"]["network"], &json["inputs"]["candidate"]), (&base.0, &candidate.0));
    assert_ne!(base.0, candidate.0);
    assert_eq!((&json["ledger"]["base"], &json["ledger"]["candidate"]), (&base.1, &candidate.1));
    assert_eq!((&json["verdicts"]["base"], &json["verdicts"]["candidate"]), (&base.2, &candidate.2));
}
