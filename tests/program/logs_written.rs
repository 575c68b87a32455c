//! `--flow-log`: what is written of a replay is what Azure would have logged, and reads back as it was judged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::example_data::{counts, nsgsim};

fn run(arguments: &[&str]) -> String {
    let output = nsgsim(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("an answer is UTF-8")
}

/// The tuples of a log with the interface, the list and the rule that each stands under, and how often.
fn tuples(log: &str) -> BTreeMap<[String; 4], u64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(log);
    let json: Value =
        serde_json::from_slice(&fs::read(path).expect("the log was written")).expect("it is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let mut tuples = BTreeMap::new();
    for record in list(&json["records"]) {
        for acl in list(&record["flowRecords"]["flows"]) {
            for group in list(&acl["flowGroups"]) {
                for tuple in list(&group["flowTuples"]) {
                    let key = [&record["macAddress"], &acl["aclID"], &group["rule"], &tuple].map(text);
                    *tuples.entry(key).or_default() += 1;
                }
            }
        }
    }
    tuples
}

#[test]
fn a_log_that_is_replayed_is_written_as_it_was_but_for_what_is_open_at_one_interface() {
    let (read, written) = ("target/tmp/log-read.json", "target/tmp/log-written.json");
    run(&[
        "gen",
        "-q",
        "-s",
        "data/example",
        "--flows",
        "300",
        "--seed",
        "3",
        "--as",
        "vnet-flow-log",
        "-o",
        read,
    ]);
    let json = run(&["replay", "-q", "-s", "data/example", read, "--flow-log", written, "--format", "json"]);
    let json: Value = serde_json::from_str(&json).expect("an answer is JSON");
    let (mut read, written) = (tuples(read), tuples(written));
    assert!(read.len() > 300);
    // A flow that is denied further on whatever an unknown tag holds is denied as a whole, and open where the tag is asked.
    let open = json["verdicts"]["undetermined"]["flows"].as_u64().expect("a count");
    let all = read.len() as u64;
    read.retain(|tuple, _| written.contains_key(tuple));
    assert_eq!(written, read);
    assert_eq!(all - read.len() as u64, open);
}

#[test]
fn a_capture_becomes_a_log_that_agrees_with_the_rules() {
    let log = "target/tmp/log-of-capture.json";
    run(&["replay", "-q", "-s", "data/example", "data/example.pcap", "--flow-log", log]);
    let again = run(&["replay", "-q", "-s", "data/example", log, "--format", "json"]);
    let agreement = &serde_json::from_str::<Value>(&again).expect("an answer is JSON")["agreement"];
    let count = |name: &str| agreement[name].as_u64().expect("a count");
    assert_eq!(count("agree_allow") + count("agree_deny"), count("flows"));
    assert_eq!(agreement["rules"]["same"], agreement["rules"]["compared"]);
    let began = tuples(log).keys().filter(|[.., tuple]| !tuple.contains(",E,")).count();
    assert_eq!(count("flows"), began as u64);
}

#[test]
fn both_ways_of_a_flow_are_counted_as_they_went() {
    let log = "target/tmp/log-of-ways.json";
    run(&["replay", "-q", "-s", "data/example", "data/example.pcap", "--flow-log", log]);
    // A1, web-2 to app-1, TCP 8080: out of one interface and into the other.
    let by_hand = counts().rows.iter().find(|row| row.flow == "A1").expect("the counts have it").packets;
    let ends: Vec<Vec<u64>> = tuples(log)
        .keys()
        .filter(|[.., tuple]| tuple.contains(",10.20.1.5,10.20.2.4,") && tuple.contains(",8080,6,"))
        .filter_map(|[.., tuple]| tuple.split_once(",E,NX,"))
        .map(|(_, volumes)| volumes.split(',').map(|count| count.parse().expect("a count")).collect())
        .collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    for end in ends {
        let [sent, _, returned, _] = end[..] else { panic!("four counts: {end:?}") };
        assert_eq!(sent + returned, by_hand);
        assert!(sent > 0 && returned > 0, "{end:?}");
    }
}
