//! The bench: its keys repeat and reach the rules, and its check asks both engines.

mod example_data;

use std::collections::BTreeSet;

use example_data::{network, nsgsim};
use nsgsim::analyze::bench::keys;
use nsgsim::compile::policy::Engine;
use nsgsim::compile::world::World;
use serde_json::Value;

#[test]
fn the_same_seed_draws_the_same_keys_and_another_seed_others() {
    let compiled = network("example");
    let drawn = |seed| keys(&compiled, seed, 1000).expect("the example has NSGs");
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
}

#[test]
fn keys_reach_most_rules_of_the_lists_that_they_are_asked_of() {
    let compiled = network("example");
    let keys = keys(&compiled, 1, 20_000).expect("the example has NSGs");
    let (mut asked, mut hit) = (BTreeSet::new(), BTreeSet::new());
    for key in &keys {
        let cells = (compiled.cell(key.tuple.source), compiled.cell(key.tuple.destination));
        let policy = &compiled.policies[key.policy];
        asked.insert(key.policy);
        if let Ok(Some(decision)) = policy.decide(Engine::Compiled, &key.tuple, cells, &World::default()) {
            hit.insert((key.policy, decision.rule));
        }
    }
    let rules: usize = asked.iter().map(|policy| compiled.policies[*policy].rules.len()).sum();
    assert!(hit.len() * 10 > rules * 8, "{} of {rules} rules were hit", hit.len());
}

#[test]
fn both_engines_are_asked_at_least_as_often_as_promised_and_agree() {
    let command =
        ["bench", "-s", "data/example", "--lookups", "500", "--threads", "1,2", "--format", "json", "-q"];
    let output = nsgsim(&[&command[..], &["--explain-plan"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    assert_eq!(json["schema"], "nsgsim/bench/1");
    assert!(json["agreement"]["checked"].as_u64() >= Some(100_000));
    assert_eq!(json["agreement"]["differences"], Value::Array(Vec::new()));
    // Three subjects on one thread and on two.
    let measures = json["measures"].as_array().expect("a list of measures");
    assert_eq!(measures.len(), 6);
    for measure in measures {
        let [least, median, most] =
            ["least", "median", "most"].map(|member| measure["per_second"][member].as_f64());
        assert!(Some(0.0) < least && least <= median && median <= most, "{measure}");
    }
    let plan = json["plan"].as_array().expect("a list of policies");
    assert_eq!(Some(plan.len() as u64), json["policies"].as_u64());
    // Two roots of 65,536 entries look addresses up, for all policies; each has a class for every protocol.
    let roots = 2 * 65_536 * 4;
    let rows: Vec<u64> = plan.iter().map(|row| row["bytes"].as_u64().expect("a count")).collect();
    let whole = json["memory_bytes"].as_u64().expect("a count");
    assert!(rows.iter().all(|&row| 256 < row && roots + row < whole), "{rows:?} of {whole}");
}
