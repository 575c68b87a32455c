//! `nsgsim diff`: what it shows, `explain` confirms.

use serde_json::Value;

use crate::example_data::nsgsim;

const BASE: &str = "data/example";
const CANDIDATE: &str = "data/example-candidate";

fn json(arguments: &[&str]) -> (Value, Option<i32>) {
    let answer = nsgsim(arguments);
    let json = serde_json::from_slice(&answer.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer.stderr)));
    (json, answer.status.code())
}

#[test]
fn explain_confirms_every_witness_on_both_sides() {
    let (difference, status) =
        json(&["diff", "-q", "--base", BASE, "--cand", CANDIDATE, "--format", "json", "--threads", "1"]);
    assert_eq!(status, Some(1), "something flips");
    let again =
        nsgsim(&["diff", "-q", "--base", BASE, "--cand", CANDIDATE, "--format", "json", "--threads", "2"]);
    assert_eq!(difference, serde_json::from_slice::<Value>(&again.stdout).expect("the answer is JSON"));
    let flips = difference["flips"].as_array().expect("a list of flips");
    assert!(flips.len() > 5, "{} flips", flips.len());
    for flip in flips {
        assert_ne!(flip["base"]["verdict"], flip["candidate"]["verdict"]);
        for region in flip["regions"].as_array().expect("a list of regions") {
            let text = |member: &str| region["witness"][member].as_str().expect("a text");
            for (network, side) in [(BASE, "base"), (CANDIDATE, "candidate")] {
                let (explained, _) = json(&[
                    "explain",
                    "-q",
                    "-s",
                    network,
                    "--from",
                    text("from"),
                    "--to",
                    text("to"),
                    "--proto",
                    text("proto"),
                    "--format",
                    "json",
                ]);
                assert_eq!(explained["verdict"], flip[side]["verdict"], "{region} in {network}");
            }
        }
    }
}

#[test]
fn only_what_is_asked_for_fails() {
    let status = |candidate: &str, fail_on: &str| {
        nsgsim(&["diff", "-q", "--base", BASE, "--cand", candidate, "--fail-on", fail_on]).status.code()
    };
    for (fail_on, expected) in [("any", 1), ("newly-denied", 1), ("newly-allowed", 1), ("none", 0)] {
        assert_eq!(status(CANDIDATE, fail_on), Some(expected), "--fail-on {fail_on}");
        assert_eq!(status(BASE, fail_on), Some(0), "against itself, --fail-on {fail_on}");
    }
}

/// A rule that opens SSH from the internet, in a plan that holds the network before and after it.
#[test]
fn a_terraform_plan_alone_is_both_networks() {
    let group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";
    let resources = |rules: Value| {
        serde_json::json!({ "root_module": { "resources": [
            { "address": "azurerm_virtual_network.v", "type": "azurerm_virtual_network", "values": {
                "id": format!("{group}/virtualNetworks/v"), "name": "v", "address_space": ["10.0.0.0/16"] } },
            { "address": "azurerm_subnet.s", "type": "azurerm_subnet", "values": {
                "id": format!("{group}/virtualNetworks/v/subnets/s"), "name": "s",
                "virtual_network_name": "v", "resource_group_name": "g", "address_prefixes": ["10.0.1.0/24"] } },
            { "address": "azurerm_network_security_group.n", "type": "azurerm_network_security_group", "values": {
                "id": format!("{group}/networkSecurityGroups/n"), "name": "n", "security_rule": rules } },
            { "address": "azurerm_subnet_network_security_group_association.a",
              "type": "azurerm_subnet_network_security_group_association", "values": {
                "subnet_id": format!("{group}/virtualNetworks/v/subnets/s"),
                "network_security_group_id": format!("{group}/networkSecurityGroups/n") } },
            { "address": "azurerm_network_interface.i", "type": "azurerm_network_interface", "values": {
                "id": format!("{group}/networkInterfaces/i"), "name": "i", "ip_configuration": [{
                    "name": "c", "private_ip_address": "10.0.1.4", "private_ip_address_version": "IPv4",
                    "subnet_id": format!("{group}/virtualNetworks/v/subnets/s"), "primary": true }] } },
        ] } })
    };
    let rule = serde_json::json!([{ "name": "OpenSsh", "priority": 100, "direction": "Inbound", "access": "Deny",
        "protocol": "Tcp", "source_address_prefix": "10.0.1.0/24", "source_port_range": "*",
        "destination_address_prefix": "*", "destination_port_range": "22" }]);
    let plan = serde_json::json!({ "terraform_version": "1.9.0",
        "prior_state": { "values": resources(serde_json::json!([])) }, "planned_values": resources(rule) });
    let folder = tempfile::tempdir().expect("a folder for a plan");
    let path = folder.path().join("plan.json");
    std::fs::write(&path, plan.to_string()).expect("a plan can be written");
    let path = path.to_str().expect("the path is a text");
    for side in ["--base", "--cand"] {
        let (difference, status) = json(&["diff", "-q", side, path, "--format", "json"]);
        assert_eq!(status, Some(1));
        let flips = difference["flips"].as_array().expect("a list of flips");
        for flip in flips {
            assert_eq!(flip["candidate"]["decided_by"]["rule"], "OpenSsh");
            for service in
                flip["regions"].as_array().expect("a list").iter().map(|region| &region["services"])
            {
                let ports = serde_json::json!([{ "protocols": ["tcp"], "source_ports": ["*"],
                    "destination_ports": ["22"] }]);
                assert_eq!(service, &ports);
            }
        }
        assert!(!flips.is_empty());
    }
    // What it leads to is what assertions are tried on.
    let assertions = folder.path().join("assertions.yaml");
    for (assertion, expected) in [
        ("- deny: {from: 10.0.1.0/24, to: i, proto: tcp/22}", Some(0)),
        ("- allow: {from: 10.0.1.9, to: i, proto: tcp/22}", Some(1)),
        // What stands at an interface that the plan lacks nobody knows.
        ("- allow: {from: 10.0.1.9, to: i, proto: tcp/23}", Some(3)),
    ] {
        std::fs::write(&assertions, assertion).expect("assertions can be written");
        let answer = nsgsim(&["test", "-q", "-s", path, assertions.to_str().expect("the path is a text")]);
        assert_eq!(answer.status.code(), expected, "{assertion}");
    }
}
