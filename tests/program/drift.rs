//! `nsgsim tags drift`: what it shows, `explain` confirms with the tags of either side.

use std::path::Path;

use serde_json::Value;

use crate::example_data::nsgsim;

fn json(arguments: &[&str]) -> Value {
    let answer = nsgsim(arguments);
    serde_json::from_slice(&answer.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer.stderr)))
}

/// Every region of a drift, asked of `explain` under both states of the tags; how many regions there were.
fn confirmed(network: &str, old: &str, new: &str) -> usize {
    let drift = json(&["tags", "drift", "-q", old, new, "-s", network, "--format", "json", "--threads", "2"]);
    let again = json(&["tags", "drift", "-q", old, new, "-s", network, "--format", "json", "--threads", "1"]);
    assert_eq!(drift, again);
    let mut regions = 0;
    for flip in drift["difference"]["flips"].as_array().expect("a list of flips") {
        for region in flip["regions"].as_array().expect("a list of regions") {
            let text = |member: &str| region["witness"][member].as_str().expect("a text");
            for (tags, side) in [(old, "base"), (new, "candidate")] {
                let (from, to, proto) = (text("from"), text("to"), text("proto"));
                let ends = ["--from", from, "--to", to, "--proto", proto, "--format", "json"];
                let explained =
                    json(&[&["explain", "-q", "-s", network, "--tags", tags][..], &ends].concat());
                assert_eq!(explained["verdict"], flip[side]["verdict"], "{region} with {tags}");
                let reason = &flip[side]["decided_by"];
                if let Some(rule) = reason.get("rule").filter(|_| explained["verdict"] != "undetermined") {
                    assert_eq!(&explained["decided_by"]["rule"], rule, "{region} with {tags}");
                }
            }
            regions += 1;
        }
    }
    regions
}

#[test]
fn explain_confirms_every_region() {
    let [old, new] = ["old", "new"].map(|state| format!("tests/cli/drift/{state}.json"));
    // What came to `AzureBackup` and what went, and of what went the hosts that no interface has.
    assert_eq!(confirmed("tests/cli/drift/network.json", &old, &new), 4);
    assert_eq!(confirmed("tests/cli/drift/network.json", &old, &old), 0);
}

#[test]
fn explain_confirms_every_region_between_two_published_states() {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED") else {
        println!("NSGSIM_SHARED is not set: no published tags to read");
        return;
    };
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join(shared);
    let [old, new] = ["public-cn371-2025-10-08", "public-cn376-2025-11-10"].map(|state| {
        let path = shared.join("data/service-tags").join(format!("{state}.json.gz"));
        path.to_str().expect("the path is a text").to_owned()
    });
    let regions = confirmed("data/example", &old, &new);
    assert!(regions >= 7, "{regions} regions");
}
