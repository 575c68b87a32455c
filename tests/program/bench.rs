//! The bench: its keys repeat and reach the rules, and its check asks both engines.

use std::collections::{BTreeMap, BTreeSet};

use crate::example_data::{network, nsgsim};
use nsgsim::analyze::bench::{SKEWED_KEYS, keys, skewed_keys};
use nsgsim::compile::policy::Engine;
use nsgsim::compile::world::World;
use nsgsim::model::zipf::Zipf;
use serde_json::Value;

#[test]
fn the_same_seed_draws_the_same_keys_and_another_seed_others() {
    let compiled = network("example");
    let drawn = |seed| keys(&compiled, seed, 1000).expect("the example has NSGs");
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
}

#[test]
fn skewed_keys_come_from_a_pool_and_by_the_laws_shares() {
    let compiled = network("example");
    let drawn = |seed, exponent| {
        let zipf = Zipf::new(exponent, SKEWED_KEYS).expect("an exponent");
        skewed_keys(&compiled, seed, 20_000, &zipf).expect("the example has NSGs")
    };
    assert_eq!(drawn(3, 1.5), drawn(3, 1.5));
    assert_ne!(drawn(3, 1.5), drawn(4, 1.5));
    let pool = keys(&compiled, 3, SKEWED_KEYS).expect("the example has NSGs");
    let busiest = |exponent| {
        let mut counts = BTreeMap::<String, usize>::new();
        for key in drawn(3, exponent) {
            *counts.entry(format!("{key:?}")).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).expect("keys were drawn")
    };
    // With exponent 1.5 the first of many ranks has 1 / 2.61 of all, 7,670; the deviation is 69.
    let (key, count) = busiest(1.5);
    assert_eq!(key, format!("{:?}", pool[0]));
    assert!((7300..8100).contains(&count), "{count}");
    assert!(busiest(0.0).1 < 100);
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
        assert_eq!(measure["latency"]["batch"], 256);
        let [p50, p99] = ["p50_ns", "p99_ns"].map(|member| measure["latency"][member].as_f64());
        assert!(Some(0.0) < p50 && p50 <= p99, "{measure}");
    }
    assert_eq!((&json["seed"], &json["repeats"], &json["skew"]), (&1.into(), &5.into(), &Value::Null));
    assert_eq!(json["machine"]["os"], std::env::consts::OS);
    assert_eq!(json["machine"]["arch"], std::env::consts::ARCH);
    assert_eq!(json["inputs"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["inputs"]["network"].as_str().expect("a hash").starts_with("blake3:"));
    let plan = json["plan"].as_array().expect("a list of policies");
    assert_eq!(Some(plan.len() as u64), json["policies"].as_u64());
    // Two roots of 65,536 entries look addresses up, for all policies; each has a class for every protocol.
    let roots = 2 * 65_536 * 4;
    let rows: Vec<u64> = plan.iter().map(|row| row["bytes"].as_u64().expect("a count")).collect();
    let whole = json["memory_bytes"].as_u64().expect("a count");
    assert!(rows.iter().all(|&row| 256 < row && roots + row < whole), "{rows:?} of {whole}");
}

#[test]
fn a_result_is_no_worse_than_itself_and_not_compared_with_one_of_another_skew() {
    let folder = tempfile::tempdir().expect("a folder for results");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (plain, skewed) = (path("plain.json"), path("skewed.json"));
    let measure =
        ["bench", "-s", "data/example", "--lookups", "300", "--threads", "1", "--format", "json", "-q"];
    let made = |more: &[&str]| nsgsim(&[&measure[..], more].concat()).status.code();
    assert_eq!(made(&["-o", &plain]), Some(0));
    assert_eq!(made(&["--skew", "zipf:1.1", "-o", &skewed]), Some(0));
    let same = nsgsim(&["bench", "compare", &plain, &plain, "--format", "json"]);
    assert_eq!(same.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&same.stdout).expect("the answer is JSON");
    assert_eq!((&json["schema"], &json["regressions"]), (&"nsgsim/bench-compare/1".into(), &0.into()));
    let compared = json["compared"].as_array().expect("a list of figures");
    // Three subjects, the compile time and the memory.
    assert_eq!(compared.len(), 5);
    assert!(compared.iter().all(|one| one["ratio"] == 1.0), "{compared:?}");
    let other = nsgsim(&["bench", "compare", &plain, &skewed]);
    assert_eq!(other.status.code(), Some(2));
    let error = String::from_utf8_lossy(&other.stderr);
    assert!(error.contains("skew differs: `none` and `zipf:1.1`"), "{error}");
}
