//! The rules in force at an interface: what names stand for there, and that what nobody knows is never shown as empty.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use crate::program::nsgsim;
use serde_json::{Value, json};

fn said(arguments: &[&str]) -> String {
    let output = nsgsim(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `effective --expand` at an interface of the example.
fn effective(nic: &str, direction: &str) -> Value {
    let arguments = ["effective", "-q", "-s", "data/example", "--nic", nic, "--direction", direction];
    serde_json::from_str(&said(&[&arguments[..], &["--expand", "--format", "json"]].concat())).unwrap()
}

fn rule<'v>(answer: &'v Value, layer: usize, name: &str) -> &'v Value {
    let rules = answer["layers"][layer]["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["rule"] == name).unwrap()
}

#[test]
fn eval_2_and_3_the_filters_stand_in_the_order_of_asking() {
    let layers = |direction: &str| {
        let answer = effective("nic-web-1", direction);
        let layer = |layer: &Value| {
            format!("{} {}", layer["layer"].as_str().unwrap(), layer["nsg"].as_str().unwrap())
        };
        answer["layers"].as_array().unwrap().iter().map(layer).collect::<Vec<_>>()
    };
    assert_eq!(layers("in"), ["SubnetNsg nsg-web", "NicNsg nsg-web-1"]);
    assert_eq!(layers("out"), ["NicNsg nsg-web-1", "SubnetNsg nsg-web"]);
}

#[test]
fn tag_9_virtual_network_holds_all_of_ipv4_behind_a_default_route_to_an_appliance() {
    let batch = effective("nic-batch-1", "out");
    assert_eq!(rule(&batch, 0, "AllowVnetOutBound")["expanded_source"], json!(["0.0.0.0/0", "fd00:20::/48"]));
    // The appliance's own subnet has another table, or none: the hub, both spokes and the platform.
    let nva = effective("nic-nva-1", "out");
    let hub = json!(["10.10.0.0/16", "10.20.0.0/16", "10.30.0.0/16", "168.63.129.16/32", "fd00:20::/48"]);
    assert_eq!(rule(&nva, 0, "AllowVnetOutBound")["expanded_source"], hub);
}

#[test]
fn asg_2_a_group_stands_for_its_members_private_addresses() {
    let app = effective("nic-app-1", "in");
    // web-1 to web-3 with both their addresses, as few blocks as hold just these.
    let web = json!(["10.20.1.4/31", "10.20.1.6/32", "fd00:20:0:1::4/127", "fd00:20:0:1::6/128"]);
    assert_eq!(rule(&app, 0, "AllowWebToApp")["expanded_source"], web);
}

#[test]
fn tag_15_an_unknown_tag_is_unknown_and_not_empty() {
    let answer = effective("nic-compute-1", "out");
    let registry = rule(&answer, 0, "AllowContainerRegistry");
    let unknown = json!([{
        "field": "destination", "code": "UNKNOWN_TAG", "name": "AzureContainerRegistry.WestEuorpe"
    }]);
    assert_eq!(registry["unknown"], unknown);
    assert_eq!(registry["expanded_destination"], json!([]));
    assert_eq!(rule(&answer, 0, "AllowStorage")["unknown"], json!([]));
    let arguments = ["effective", "-q", "-s", "data/example", "--nic", "nic-compute-1", "--expand"];
    let table = said(&arguments);
    assert!(table.contains("\n  AzureContainerRegistry.WestEuorpe: unknown\n"), "{table}");
    let rows = said(&[&arguments[..], &["--format", "csv"]].concat());
    let row = rows.lines().find(|row| row.contains("AllowContainerRegistry")).unwrap();
    assert!(row.ends_with(",destination UNKNOWN_TAG AzureContainerRegistry.WestEuorpe"), "{row}");
}

#[test]
fn sim_4_a_missing_nsg_has_no_list_of_rules_at_all() {
    let lost = "tests/cli/bad/missing-nsg.json";
    let arguments = ["effective", "-q", "-s", lost, "--nic", "nic-a", "--format"];
    let answer: Value = serde_json::from_str(&said(&[&arguments[..], &["json"]].concat())).unwrap();
    let id = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg-lost";
    for (layer, direction) in answer["layers"].as_array().unwrap().iter().zip(["inbound", "outbound"]) {
        let expected =
            json!({"layer": "SubnetNsg", "nsg": "nsg-lost", "direction": direction, "missing": id});
        assert_eq!(layer, &expected);
    }
    let rows = said(&[&arguments[..], &["csv"]].concat());
    assert!(rows.contains(&format!("nic-a,inbound,SubnetNsg,nsg-lost,{id},,,")), "{rows}");
}
