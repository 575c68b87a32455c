//! Exports of effective rules among the files bring their own list of `Internet` (TAG-20, NW-6).

use nsgsim::model::finding::FindingCode::{DifferingInternet, UnknownKind};
use nsgsim::model::observed::ObservedInternet;
use serde_json::{Value, json};

use super::network::two_tiers;
use super::{Loaded, load, places, read, reference};

/// The rules in effect of an NSG, of which one leads to `Internet`.
fn in_effect(expanded: &[&str]) -> Value {
    json!({
        "networkSecurityGroup": reference("networkSecurityGroups/nsg-app"),
        "association": { "networkInterface": reference("networkInterfaces/web-nic") },
        "effectiveSecurityRules": [
            rule("VirtualNetwork", &json!(["10.20.0.0/16", "168.63.129.16/32"])),
            rule("Internet", &json!(expanded)),
            rule("0.0.0.0/0", &Value::Null)
        ]
    })
}

fn rule(destination: &str, expanded: &Value) -> Value {
    json!({
        "name": "defaultSecurityRules/AllowInternetOutBound", "protocol": "All", "access": "Allow",
        "priority": 65001, "direction": "Outbound",
        "sourcePortRange": "0-65535", "destinationPortRange": "0-65535",
        "sourceAddressPrefix": "0.0.0.0/0", "expandedSourceAddressPrefix": null,
        "destinationAddressPrefix": destination, "expandedDestinationAddressPrefix": expanded
    })
}

fn dated(date: &str, expanded: &[&str]) -> Value {
    json!({ "date": date, "value": [in_effect(expanded)] })
}

fn observed(loaded: &Loaded) -> Option<(Vec<String>, &str, Option<&str>)> {
    let ObservedInternet { prefixes, source, date } = loaded.network.observed_internet.as_ref()?;
    Some((prefixes.iter().map(ToString::to_string).collect(), source, date.as_deref()))
}

#[test]
fn nw_6_every_envelope_is_read() {
    let entry = || in_effect(&["52.0.0.0/9", "25.25.0.0/16"]);
    let mut inventory = two_tiers();
    inventory["effectiveNetworkSecurityGroups"] = json!([entry()]);
    for (export, place) in [
        (json!([entry()]), "b.json#/0"),
        (json!({ "value": [entry()], "nextLink": null }), "b.json#/value/0"),
        (json!({ "networkSecurityGroups": [entry()] }), "b.json#/networkSecurityGroups/0"),
        (entry(), "b.json#"),
        (inventory, "b.json#/effectiveNetworkSecurityGroups/0"),
    ] {
        let loaded = load(&[two_tiers(), export]);
        assert_eq!(places(&loaded), []);
        let prefixes = vec!["25.25.0.0/16".to_owned(), "52.0.0.0/9".to_owned()];
        assert_eq!(observed(&loaded), Some((prefixes, place, None)));
        // It says nothing else of the network.
        assert_eq!(loaded.network.nsgs.len(), 1);
    }
    assert!(load(&[two_tiers()]).network.observed_internet.is_none());
}

#[test]
fn ranges_within_others_are_not_listed_and_a_source_counts_as_well() {
    let mut entry = in_effect(&[]);
    let list = json!(["52.0.0.0/9", "52.128.0.0/9", "52.1.0.0/16"]);
    let inbound = &mut entry["effectiveSecurityRules"][1];
    inbound["sourceAddressPrefix"] = json!("INTERNET");
    inbound["expandedSourceAddressPrefix"] = list;
    inbound["destinationAddressPrefix"] = json!("0.0.0.0/0");
    inbound["expandedDestinationAddressPrefix"] = Value::Null;
    let loaded = load(&[two_tiers(), json!([entry])]);
    assert_eq!(observed(&loaded), Some((vec!["52.0.0.0/8".to_owned()], "b.json#/0", None)));
}

#[test]
fn an_export_without_a_list_is_left_out_and_told() {
    let mut entry = in_effect(&[]);
    entry["effectiveSecurityRules"][1]["expandedDestinationAddressPrefix"] = Value::Null;
    let loaded = load(&[two_tiers(), json!([entry])]);
    assert_eq!(places(&loaded), [(UnknownKind, "b.json#/0")]);
    assert!(loaded.network.observed_internet.is_none());
}

#[test]
fn tag_20_equal_lists_are_one_whatever_their_dates() {
    let lists = [dated("2026-11-01", &["52.0.0.0/9"]), json!([in_effect(&["52.0.0.0/10", "52.64.0.0/10"])])];
    for order in [[0, 1], [1, 0]] {
        let loaded = load(&[two_tiers(), lists[order[0]].clone(), lists[order[1]].clone()]);
        assert_eq!(places(&loaded), []);
        let (prefixes, _, date) = observed(&loaded).unwrap();
        assert_eq!((prefixes, date), (vec!["52.0.0.0/9".to_owned()], Some("2026-11-01")));
    }
}

#[test]
fn tag_20_of_lists_that_differ_the_newest_counts() {
    let (old, new) = (dated("2026-10-31", &["52.0.0.0/9"]), dated("2026-11-01", &["53.0.0.0/9"]));
    for (documents, newest, older) in [
        ([two_tiers(), old.clone(), new.clone()], "c.json#/value/0", "b.json#/value/0"),
        ([two_tiers(), new, old], "b.json#/value/0", "c.json#/value/0"),
    ] {
        let loaded = load(&documents);
        assert_eq!(places(&loaded), [(DifferingInternet, older)]);
        assert!(loaded.findings[0].message.contains(newest), "{}", loaded.findings[0].message);
        let expected = (vec!["53.0.0.0/9".to_owned()], newest, Some("2026-11-01"));
        assert_eq!(observed(&loaded), Some(expected));
    }
}

#[test]
fn tag_20_lists_that_differ_without_dates_that_tell_are_refused_and_both_named() {
    let undated = json!([in_effect(&["53.0.0.0/9"])]);
    for other in [undated, dated("2026-10-31", &["53.0.0.0/9"])] {
        let error =
            read(&[two_tiers(), dated("2026-10-31", &["52.0.0.0/9"]), other]).unwrap_err().to_string();
        assert!(error.starts_with("c.json#/"), "{error}");
        assert!(
            error.contains("differs from what stands at b.json#/value/0, and dates do not tell"),
            "{error}"
        );
    }
}

#[test]
fn a_date_that_is_none_is_refused_with_its_place() {
    let error = read(&[two_tiers(), dated("lately", &["52.0.0.0/9"])]).unwrap_err().to_string();
    assert_eq!(error, "b.json#/date: date `lately` is not a day such as `2026-11-20`");
}
