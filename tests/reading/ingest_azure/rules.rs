//! Rules: what each spelling becomes, and what Azure would refuse (NSG-1 to NSG-22).

use nsgsim::ingest::azure::{Document, from_documents};
use nsgsim::model::finding::FindingCode::{self, *};
use nsgsim::model::index::Reference;
use nsgsim::model::prefix::{PortRange, read_prefix};
use nsgsim::model::rule::{
    Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule,
};
use nsgsim::model::tag::TagName;
use serde_json::{Value, json};

use super::{catalog, codes, id, load, places, read, reference};

/// A plain rule with some members put in or replaced; `null` takes one out.
fn rule(changes: &Value) -> Value {
    let mut rule = json!({
        "name": "web", "priority": 200, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "Internet", "sourceAddressPrefixes": [], "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": null, "destinationPortRanges": ["80", "443"],
        "sourceApplicationSecurityGroups": null, "description": null
    });
    for (name, value) in changes.as_object().unwrap() {
        rule[name] = value.clone();
    }
    rule
}

fn nsg(rules: &[Value]) -> Value {
    json!({ "id": id("networkSecurityGroups/nsg-app"), "name": "nsg-app", "securityRules": rules })
}

/// The one custom rule that these changes make, and the codes that are reported.
fn read_rule(changes: &Value) -> (Rule, Vec<FindingCode>) {
    let loaded = load(&[nsg(&[rule(changes)])]);
    let custom: Vec<&Rule> = loaded.network.nsgs[0].rules.iter().filter(|rule| !rule.is_default).collect();
    assert_eq!(custom.len(), 1);
    for finding in &loaded.findings {
        assert_eq!((finding.nsg.as_deref(), finding.rule.as_deref()), (Some("nsg-app"), Some("web")));
    }
    (custom[0].clone(), codes(&loaded.findings))
}

fn prefix(text: &str) -> AddressTerm {
    AddressTerm::Prefix(read_prefix(text).unwrap().prefix)
}

fn ports(texts: &[&str]) -> Vec<PortTerm> {
    texts.iter().map(|text| PortTerm::Range(text.parse::<PortRange>().unwrap())).collect()
}

#[test]
fn nsg_1_every_field_of_a_rule_is_read() {
    let (rule, codes) = read_rule(&json!({}));
    let expected = Rule {
        name: "web".to_owned(),
        priority: Priority(200),
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: ProtocolMatch::Is(Protocol::TCP),
        source: vec![AddressTerm::Tag(TagName::new("internet"))],
        source_ports: ports(&["*"]),
        destination: vec![AddressTerm::Any],
        destination_ports: ports(&["80", "443"]),
        is_default: false,
    };
    assert_eq!((rule, codes), (expected, vec![]));
}

#[test]
fn def_1_every_group_has_the_six_default_rules_last() {
    let loaded = load(&[nsg(&[rule(&json!({ "priority": 70000 }))])]);
    let names: Vec<&str> = loaded.network.nsgs[0].rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "AllowVnetInBound",
            "AllowAzureLoadBalancerInBound",
            "DenyAllInBound",
            "web",
            "AllowVnetOutBound",
            "AllowInternetOutBound",
            "DenyAllOutBound"
        ]
    );
}

#[test]
fn def_2_altered_default_rules_are_told_and_not_believed() {
    let listed = |entry: Value| {
        let group = json!({ "id": id("networkSecurityGroups/n"), "defaultSecurityRules": [entry] });
        let loaded = load(&[group]);
        let rules = &loaded.network.nsgs[0].rules;
        assert!(rules.len() == 6 && rules[0].access == Access::Allow);
        codes(&loaded.findings)
    };
    assert_eq!(listed(json!({ "name": "AllowVNetInBound", "priority": 65000 })), []);
    assert_eq!(
        listed(json!({ "name": "DenyAllInBound", "properties": { "access": "deny", "protocol": "All",
            "sourceAddressPrefix": "0.0.0.0/0", "sourcePortRanges": ["0-65535"], "direction": "inbound" } })),
        []
    );
    for altered in [
        json!({ "name": "AllowVnetInBound", "access": "Deny" }),
        json!({ "name": "AllowVnetInBound", "priority": 100 }),
        json!({ "name": "AllowVnetInBound", "sourceAddressPrefix": "Internet" }),
        json!({ "name": "AllowVnetInBound", "destinationPortRange": "443" }),
        json!({ "name": "AllowVnetInBound", "direction": "sideways" }),
        json!({ "name": "AllowAll", "priority": 65000 }),
    ] {
        assert_eq!(listed(altered.clone()), [AlteredDefaultRules], "{altered}");
    }
}

#[test]
fn nsg_5_protocols_are_read_in_any_letter_case() {
    for (text, protocol) in [("*", None), ("Any", None), ("ALL", None), ("eSP", Some(Protocol::ESP))] {
        let (rule, codes) = read_rule(&json!({ "protocol": text, "destinationPortRanges": ["*"] }));
        assert_eq!(rule.protocol, protocol.map_or(ProtocolMatch::Any, ProtocolMatch::Is));
        assert_eq!(codes, []);
    }
    for text in ["Icmpv6", "47", "Gre"] {
        let (rule, codes) = read_rule(&json!({ "protocol": text }));
        assert_eq!((rule.protocol, codes), (ProtocolMatch::Invalid(text.to_owned()), vec![InvalidProtocol]));
    }
}

#[test]
fn nsg_8_a_comma_is_split_and_what_is_no_range_is_kept_as_invalid() {
    let (rule, codes) =
        read_rule(&json!({ "destinationPortRanges": ["80, 443", "90-80", "8 0", "0-65535"] }));
    let mut expected = ports(&["80", "443"]);
    expected.extend([PortTerm::Invalid("90-80".to_owned()), PortTerm::Invalid("8 0".to_owned())]);
    expected.extend(ports(&["*"]));
    assert_eq!(rule.destination_ports, expected);
    assert_eq!(codes, [InvalidPortRange; 3]);
}

#[test]
fn nsg_9_singular_and_plural_are_taken_together() {
    let (rule, codes) =
        read_rule(&json!({ "sourceAddressPrefix": "10.0.0.0/8", "sourceAddressPrefixes": ["10.9.0.4"] }));
    assert_eq!(rule.source, [prefix("10.0.0.0/8"), prefix("10.9.0.4/32")]);
    assert_eq!(codes, [SingularAndPlural]);
}

#[test]
fn nsg_1_a_missing_form_is_everything_and_told() {
    let (rule, codes) = read_rule(&json!({
        "sourceAddressPrefix": "", "sourcePortRange": null, "destinationAddressPrefix": null,
        "destinationPortRanges": []
    }));
    assert_eq!((rule.source, rule.destination), (vec![AddressTerm::Any], vec![AddressTerm::Any]));
    assert_eq!((rule.source_ports, rule.destination_ports), (ports(&["*"]), ports(&["*"])));
    assert_eq!(codes, [MissingField; 4]);
    let (rule, codes) = read_rule(&json!({ "protocol": null }));
    assert_eq!((rule.protocol, codes), (ProtocolMatch::Invalid(String::new()), vec![MissingField]));
}

#[test]
fn nsg_11_and_12_addresses_in_every_spelling() {
    for (text, term, expected) in [
        ("Any", AddressTerm::Any, vec![]),
        ("0.0.0.0/0", prefix("0.0.0.0/0"), vec![]),
        ("fd00::1", prefix("fd00::1/128"), vec![]),
        ("10.0.0.5/24", prefix("10.0.0.0/24"), vec![HostBitsSet]),
        ("VIRTUAL_NETWORK", AddressTerm::Tag(TagName::new("VirtualNetwork")), vec![]),
        ("Storage.WestEurope", AddressTerm::Tag(TagName::new("storage.westeurope")), vec![]),
        (
            "10.0.0.1-10.0.0.9",
            AddressTerm::Invalid("10.0.0.1-10.0.0.9".to_owned()),
            vec![InvalidAddressPrefix],
        ),
        ("10.0.0.0/33", AddressTerm::Invalid("10.0.0.0/33".to_owned()), vec![InvalidAddressPrefix]),
    ] {
        let (rule, codes) = read_rule(&json!({ "sourceAddressPrefix": text }));
        assert_eq!((rule.source, codes), (vec![term], expected), "{text}");
    }
}

#[test]
fn nsg_21_each_fault_of_a_rule_has_its_code() {
    let groups = |count: usize| -> Vec<Value> {
        (0..count).map(|n| reference(&format!("applicationSecurityGroups/g{n}"))).collect()
    };
    let description = |length: usize| "\u{e4}".repeat(length);
    for (changes, expected) in [
        (json!({ "priority": 99 }), vec![PriorityOutOfRange]),
        (json!({ "priority": 4096 }), vec![]),
        (json!({ "priority": 4097 }), vec![PriorityOutOfRange]),
        (json!({ "description": description(140) }), vec![]),
        (json!({ "description": description(141) }), vec![DescriptionTooLong]),
        (
            json!({ "sourceAddressPrefix": null, "sourceAddressPrefixes": ["Sql", "Storage"] }),
            vec![MultipleServiceTags],
        ),
        (
            json!({ "sourceAddressPrefix": null, "sourceAddressPrefixes": ["Sql", "10.0.0.4"] }),
            vec![TagMixedWithPrefixes],
        ),
        (
            json!({ "sourceAddressPrefix": "10.0.0.0/8", "destinationAddressPrefix": "fd00::/8" }),
            vec![MixedAddressFamilies],
        ),
        (json!({ "sourceAddressPrefix": "0.0.0.0/0", "destinationAddressPrefix": "*" }), vec![]),
        (json!({ "protocol": "Icmp" }), vec![PortsOnPortlessProtocol]),
        (json!({ "protocol": "Icmp", "destinationPortRanges": ["0-99", "100-65535"] }), vec![]),
        (json!({ "sourceAddressPrefix": "AzurePlatformDNS" }), vec![PlatformTagShape]),
        (
            json!({ "destinationAddressPrefix": "azureplatformdns", "protocol": "*",
            "destinationPortRanges": ["*"] }),
            vec![PlatformTagShape],
        ),
        (
            json!({ "destinationAddressPrefix": "AzurePlatformIMDS", "protocol": "*", "direction": "Outbound",
            "destinationPortRanges": ["*"] }),
            vec![],
        ),
        (
            json!({ "sourceApplicationSecurityGroups": groups(1) }),
            vec![AsgMixedWithPrefixes, MissingResource],
        ),
    ] {
        let (_, mut codes) = read_rule(&changes);
        codes.sort();
        assert_eq!(codes, expected, "{changes}");
    }
    let (rule, codes) =
        read_rule(&json!({ "sourceAddressPrefix": null, "sourceApplicationSecurityGroups": groups(11) }));
    assert_eq!(codes.iter().filter(|code| **code == TooManyAsgs).count(), 1);
    assert!(rule.source.iter().all(|term| matches!(term, AddressTerm::Asg(Reference::Missing(_)))));
}

#[test]
fn nsg_2_names_of_rules() {
    let long = "n".repeat(81);
    for (name, expected) in [
        ("a", vec![]),
        ("good.name-1_", vec![]),
        ("_web", vec![LeadingUnderscore]),
        ("-web", vec![InvalidRuleName]),
        ("web.", vec![InvalidRuleName]),
        ("w b", vec![InvalidRuleName]),
        (long.as_str(), vec![InvalidRuleName]),
    ] {
        let loaded = load(&[nsg(&[rule(&json!({ "name": name }))])]);
        assert_eq!(codes(&loaded.findings), expected, "{name}");
    }
}

#[test]
fn nsg_2_and_3_the_later_rule_is_the_duplicate() {
    let loaded = load(&[nsg(&[
        rule(&json!({ "name": "a" })),
        rule(&json!({ "name": "A", "direction": "Outbound" })),
        rule(&json!({ "name": "c" })),
    ])]);
    assert_eq!(
        places(&loaded),
        [
            (DuplicateRuleName, "a.json#/securityRules/1/name"),
            (DuplicatePriority, "a.json#/securityRules/2/priority"),
        ]
    );
}

#[test]
fn lim_1_sizes_of_a_group() {
    let many = |count: usize| -> Vec<Value> {
        let change = |n: usize| json!({ "name": format!("r{n}"), "priority": 100 + n });
        (0..count).map(|n| rule(&change(n))).collect()
    };
    assert_eq!(codes(&load(&[nsg(&many(1000))]).findings), []);
    assert_eq!(codes(&load(&[nsg(&many(1001))]).findings), [TooManyRules]);
    let addresses = |count: usize| -> Value {
        let list: Vec<String> = (0..count).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
        rule(&json!({ "sourceAddressPrefix": null, "sourceAddressPrefixes": list }))
    };
    assert_eq!(codes(&load(&[nsg(&[addresses(4000)])]).findings), []);
    assert_eq!(codes(&load(&[nsg(&[addresses(4001)])]).findings), [TooManyPrefixes]);
}

#[test]
fn tag_4_tags_are_looked_up_only_in_a_catalogue() {
    let rules = [
        rule(&json!({ "name": "a", "priority": 100, "sourceAddressPrefix": "storage" })),
        rule(&json!({ "name": "b", "priority": 101, "sourceAddressPrefix": "Storage.uswest" })),
        rule(&json!({ "name": "c", "priority": 102, "sourceAddressPrefix": "AzureLoadBalancer" })),
    ];
    let documents =
        vec![Document { name: "a.json".to_owned(), bytes: serde_json::to_vec(&nsg(&rules)).unwrap() }];
    let unknown = |names: &[&str]| -> Vec<String> {
        let tags = catalog(names.iter().copied());
        let loaded = from_documents(documents.clone(), Some(&tags)).unwrap();
        assert!(loaded.findings.iter().all(|finding| finding.code == UnknownServiceTag));
        loaded.findings.into_iter().map(|finding| finding.rule.unwrap()).collect()
    };
    assert_eq!(unknown(&["Storage"]), ["b"]);
    assert_eq!(unknown(&[]), ["a", "b"]);
    assert_eq!(codes(&load(&[nsg(&rules)]).findings), []);
}

#[test]
fn what_leaves_nothing_to_evaluate_is_an_error_with_its_place() {
    for (changes, message) in [
        (json!({ "priority": "abc" }), "/priority: rule `web`: priority `abc` is not an integer"),
        (json!({ "priority": 1.5 }), "/priority: rule `web`: priority `1.5` is not an integer"),
        (
            json!({ "priority": -1 }),
            "/priority: rule `web`: priority `-1` is not an integer from 0 to 4294967295",
        ),
        (json!({ "priority": null }), ": rule `web`: priority is missing: expected an integer"),
        (
            json!({ "direction": "In" }),
            "/direction: rule `web`: direction `In` is not `Inbound` or `Outbound`",
        ),
        (json!({ "access": "Permit" }), "/access: rule `web`: access `Permit` is not `Allow` or `Deny`"),
        (json!({ "access": null }), ": rule `web`: access is missing: expected `Allow` or `Deny`"),
        (
            json!({ "destinationPortRanges": [80] }),
            "/destinationPortRanges/0: rule `web`: destinationPortRanges `80` is not a text",
        ),
        (
            json!({ "destinationPortRanges": "80" }),
            "/destinationPortRanges: rule `web`: destinationPortRanges `80` is not a list",
        ),
        (
            json!({ "sourceApplicationSecurityGroups": [{}] }),
            "/sourceApplicationSecurityGroups/0: rule `web`: id is missing: expected a resource ID",
        ),
    ] {
        let error = read(&[nsg(&[rule(&changes)])]).unwrap_err();
        assert_eq!(error.to_string(), format!("a.json#/securityRules/0{message}"));
    }
}
