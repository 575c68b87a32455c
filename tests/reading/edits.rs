//! A network with edits applied is the network of an export that its owner changed likewise, findings included.

#![expect(clippy::unwrap_used, reason = "a helper that finds its input broken fails the test")]

use nsgsim::ingest::azure::{Deployment, Document, Loaded, from_documents, from_documents_edited};
use nsgsim::ingest::edit::Edits;
use nsgsim::model::finding::FindingCode::{self, *};
use serde_json::{Value, json};

fn id(path: &str) -> String {
    format!("/subscriptions/0/resourceGroups/rg-a/providers/Microsoft.Network/{path}")
}

fn reference(path: &str) -> Value {
    json!({ "id": id(path) })
}

fn rule(name: &str, priority: u32, direction: &str) -> Value {
    json!({
        "name": name, "priority": priority, "direction": direction, "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourceAddressPrefixes": [], "sourcePortRange": "*",
        "destinationAddressPrefix": null, "destinationAddressPrefixes": ["10.0.1.0/24", "10.0.2.0/24"],
        "destinationPortRange": null, "destinationPortRanges": ["80", "443"],
        "description": "what it is for"
    })
}

/// Two NSGs, two subnets that hold the first, an interface, a route table, an application security group.
fn export() -> Value {
    json!({
        "networkSecurityGroups": [
            {
                "id": id("networkSecurityGroups/nsg-app"), "name": "nsg-app", "resourceGuid": "guid-app",
                "securityRules": [rule("web", 200, "Inbound"), rule("out", 200, "Outbound"), rule("ops", 300, "Inbound")],
                "subnets": [reference("virtualNetworks/vnet-a/subnets/snet-app"), reference("virtualNetworks/vnet-a/subnets/snet-db")],
            },
            { "id": id("networkSecurityGroups/nsg-db"), "name": "nsg-db", "securityRules": [] },
        ],
        "applicationSecurityGroups": [{ "id": id("applicationSecurityGroups/asg-web"), "name": "asg-web" }],
        "virtualNetworks": [{
            "id": id("virtualNetworks/vnet-a"), "name": "vnet-a",
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [
                {
                    "name": "snet-app", "id": id("virtualNetworks/vnet-a/subnets/snet-app"),
                    "addressPrefix": "10.0.1.0/24", "networkSecurityGroup": reference("networkSecurityGroups/nsg-app"),
                    "routeTable": reference("routeTables/rt-a"),
                },
                {
                    "name": "snet-db", "id": id("virtualNetworks/vnet-a/subnets/snet-db"),
                    "addressPrefix": "10.0.2.0/24", "networkSecurityGroup": reference("networkSecurityGroups/nsg-app"),
                },
            ],
        }],
        "networkInterfaces": [{
            "id": id("networkInterfaces/nic-1"), "name": "nic-1",
            "ipConfigurations": [{
                "name": "one", "privateIPAddress": "10.0.1.4",
                "subnet": reference("virtualNetworks/vnet-a/subnets/snet-app"),
            }],
        }],
        "routeTables": [{
            "id": id("routeTables/rt-a"), "name": "rt-a",
            "routes": [{ "name": "to-fw", "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.4" }],
        }],
    })
}

fn documents(values: &[Value]) -> Vec<Document> {
    let names = ["a.json", "b.json", "c.json"];
    let document = |(name, value): (&&str, &Value)| Document {
        name: (*name).to_owned(),
        bytes: serde_json::to_vec(value).unwrap(),
    };
    names.iter().zip(values).map(document).collect()
}

fn try_edited(values: &[Value], edits: &str) -> Result<[Loaded; 2], String> {
    let edits = Edits::parse("edit.yaml", edits.as_bytes()).map_err(|error| error.to_string())?;
    from_documents_edited(&documents(values), None, &Deployment::default(), &edits)
        .map_err(|error| error.to_string())
}

fn edited(values: &[Value], edits: &str) -> [Loaded; 2] {
    try_edited(values, edits).unwrap_or_else(|error| panic!("{error}"))
}

/// What a finding says, without its place: that is the edit's in one network and the export's in the other.
fn said(loaded: &Loaded) -> Vec<(FindingCode, Option<String>, Option<String>, String)> {
    let said = |finding: &nsgsim::model::finding::Finding| {
        (finding.code, finding.nsg.clone(), finding.rule.clone(), finding.message.clone())
    };
    let mut said: Vec<_> = loaded.findings.iter().map(said).collect();
    said.sort();
    said
}

/// The export with edits is the export that `change` makes, and is another than before.
#[track_caller]
fn same(edits: &str, change: impl Fn(&mut Value)) -> Vec<FindingCode> {
    let mut changed = export();
    change(&mut changed);
    let by_hand = from_documents(documents(&[changed]), None).unwrap();
    let [base, candidate] = edited(&[export()], edits);
    assert_eq!(candidate.network, by_hand.network);
    assert_eq!(said(&candidate), said(&by_hand));
    assert_ne!(candidate.network, base.network);
    assert_eq!(base.network, from_documents(documents(&[export()]), None).unwrap().network);
    candidate.findings.iter().map(|finding| finding.code).collect()
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

const ADDED: &str = "- add_rule:
    nsg: NSG-app
    name: AllowMetrics
    direction: inbound
    priority: 210
    access: deny
    protocol: udp
    source: [10.20.1.0/24, 10.20.3.7]
    source_ports: 1024-65535
    destination: VirtualNetwork
    destination_ports: [9100, 9200-9210]
";

#[test]
fn an_added_rule_is_one_of_the_export() {
    let codes = same(ADDED, |export| {
        push(
            &mut export["networkSecurityGroups"][0]["securityRules"],
            json!({
                "name": "AllowMetrics", "priority": 210, "direction": "Inbound", "access": "Deny", "protocol": "Udp",
                "sourceAddressPrefixes": ["10.20.1.0/24", "10.20.3.7"], "sourcePortRange": "1024-65535",
                "destinationAddressPrefix": "VirtualNetwork", "destinationPortRanges": ["9100", "9200-9210"],
            }),
        );
    });
    assert_eq!(codes, []);
}

#[test]
fn source_ports_are_all_where_none_are_given_and_groups_are_named_with_asg() {
    let edits = "- add_rule: {nsg: nsg-db, name: FromWeb, direction: Inbound, priority: 100, access: Allow, \
                 protocol: '*', source: 'asg:ASG-WEB', destination: '*', destination_ports: 1433}";
    let added = json!({
        "name": "FromWeb", "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "*",
        "sourceApplicationSecurityGroups": [reference("applicationSecurityGroups/asg-web")],
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "1433",
    });
    same(edits, |export| push(&mut export["networkSecurityGroups"][1]["securityRules"], added.clone()));
}

#[test]
fn a_changed_rule_keeps_what_is_not_given() {
    same("- change_rule: {nsg: nsg-app, name: WEB, priority: 150}", |export| {
        export["networkSecurityGroups"][0]["securityRules"][0]["priority"] = json!(150);
    });
    same(
        "- change_rule: {nsg: nsg-app, name: out, access: deny, protocol: icmp, destination: Internet, \
         destination_ports: '*', source: ['asg:asg-web'], source_ports: ['*']}",
        |export| {
            let rule = &mut export["networkSecurityGroups"][0]["securityRules"][1];
            rule["access"] = json!("Deny");
            rule["protocol"] = json!("Icmp");
            rule["sourceAddressPrefix"] = Value::Null;
            rule["sourceApplicationSecurityGroups"] = json!([reference("applicationSecurityGroups/asg-web")]);
            rule["destinationAddressPrefixes"] = json!([]);
            rule["destinationAddressPrefix"] = json!("Internet");
            rule["destinationPortRanges"] = json!(["*"]);
        },
    );
}

#[test]
fn two_rules_can_change_places_and_directions() {
    let edits = "- change_rule: {nsg: nsg-app, name: web, priority: 300}
- change_rule: {nsg: nsg-app, name: ops, priority: 200}
- change_rule: {nsg: nsg-app, name: out, direction: inbound, priority: 250}";
    same(edits, |export| {
        let rules = &mut export["networkSecurityGroups"][0]["securityRules"];
        rules[0]["priority"] = json!(300);
        rules[2]["priority"] = json!(200);
        rules[1]["direction"] = json!("Inbound");
        rules[1]["priority"] = json!(250);
    });
}

#[test]
fn a_removed_rule_is_gone_and_its_name_and_number_are_free() {
    same("- remove_rule: {nsg: nsg-app, name: web}", |export| {
        export["networkSecurityGroups"][0]["securityRules"].as_array_mut().unwrap().remove(0);
    });
    let edits = "- remove_rule: {nsg: nsg-app, name: ops}
- add_rule: {nsg: nsg-app, name: ops, direction: outbound, priority: 300, access: allow, protocol: tcp, \
                 source: '*', destination: 10.0.1.0/24, destination_ports: 22}";
    same(edits, |export| {
        let rules = &mut export["networkSecurityGroups"][0]["securityRules"];
        rules[2] = json!({
            "name": "ops", "priority": 300, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "10.0.1.0/24",
            "destinationPortRange": "22",
        });
    });
}

#[test]
fn an_nsg_is_attached_in_the_place_of_another_and_both_say_so() {
    same("- attach_nsg: {nsg: nsg-db, subnet: snet-db}", |export| {
        export["virtualNetworks"][0]["subnets"][1]["networkSecurityGroup"] =
            reference("networkSecurityGroups/nsg-db");
        let snet_db = export["networkSecurityGroups"][0]["subnets"].as_array_mut().unwrap().remove(1);
        export["networkSecurityGroups"][1]["subnets"] = json!([snet_db]);
    });
    same("- attach_nsg: {nsg: nsg-db, nic: nic-1}", |export| {
        export["networkInterfaces"][0]["networkSecurityGroup"] = reference("networkSecurityGroups/nsg-db");
    });
}

#[test]
fn an_nsg_is_detached() {
    same("- detach_nsg: {subnet: snet-app}", |export| {
        export["virtualNetworks"][0]["subnets"][0]["networkSecurityGroup"] = Value::Null;
        export["networkSecurityGroups"][0]["subnets"].as_array_mut().unwrap().remove(0);
    });
    // There and back again is no change at all.
    let there_and_back = "- attach_nsg: {nsg: nsg-db, nic: nic-1}
- detach_nsg: {nic: nic-1}
- attach_nsg: {nsg: nsg-db, subnet: snet-app}
- attach_nsg: {nsg: nsg-app, subnet: snet-app}";
    let [base, candidate] = edited(&[export()], there_and_back);
    assert_eq!(candidate.network, base.network);
}

#[test]
fn routes_come_and_go() {
    same(
        "- add_route: {route_table: rt-a, name: to-corp, prefix: 192.168.0.0/16, next_hop: VirtualAppliance, address: 10.0.9.5}
- add_route: {route_table: rt-a, name: storage, prefix: Storage, next_hop: Internet}",
        |export| {
            let routes = &mut export["routeTables"][0]["routes"];
            push(
                routes,
                json!({ "name": "to-corp", "addressPrefix": "192.168.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.5" }),
            );
            push(
                routes,
                json!({ "name": "storage", "addressPrefix": "Storage", "nextHopType": "Internet" }),
            );
        },
    );
    same("- remove_route: {route_table: rt-a, name: TO-FW}", |export| {
        export["routeTables"][0]["routes"] = json!([]);
    });
}

/// What Azure would refuse is told of edits as it is of exports (NSG-21), at the place of the edit.
#[test]
fn an_edited_rule_gets_the_findings_of_an_exported_one() {
    let cases: [(&str, &str, Value, FindingCode); 8] = [
        ("priority: 90", "priority", json!(90), PriorityOutOfRange),
        ("protocol: gre", "protocol", json!("gre"), InvalidProtocol),
        (
            "source: 10.0.0.1-10.0.0.9",
            "sourceAddressPrefix",
            json!("10.0.0.1-10.0.0.9"),
            InvalidAddressPrefix,
        ),
        ("source: 10.0.0.5/24", "sourceAddressPrefix", json!("10.0.0.5/24"), HostBitsSet),
        ("source: 'fd00::/64'", "sourceAddressPrefix", json!("fd00::/64"), MixedAddressFamilies),
        ("source: AzurePlatformDNS", "sourceAddressPrefix", json!("AzurePlatformDNS"), PlatformTagShape),
        ("source_ports: 70000", "sourcePortRange", json!("70000"), InvalidPortRange),
        ("protocol: icmp", "protocol", json!("icmp"), PortsOnPortlessProtocol),
    ];
    for (edit, member, value, code) in cases {
        let edit = format!("- change_rule:\n    nsg: nsg-app\n    name: web\n    {edit}");
        let codes = same(&edit, |export| {
            export["networkSecurityGroups"][0]["securityRules"][0][member] = value.clone();
        });
        assert_eq!(codes, [code], "{edit}");
    }
    let mixed =
        "- change_rule: {nsg: nsg-app, name: web, source: [Internet, Storage, 10.0.0.0/8, 'asg:asg-web']}";
    let [_, candidate] = edited(&[export()], mixed);
    let codes: Vec<FindingCode> = candidate.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [MultipleServiceTags, TagMixedWithPrefixes, AsgMixedWithPrefixes]);
}

#[test]
fn a_finding_stands_where_the_edit_stands_and_an_old_one_where_it_stood() {
    let mut old = export();
    old["networkSecurityGroups"][0]["securityRules"][2]["protocol"] = json!("gre");
    let edits = "- change_rule:\n    nsg: nsg-app\n    name: web\n    source: [10.0.0.0/8, 10.0.0.9/8]\n";
    let [_, candidate] = edited(&[old], edits);
    let places: Vec<&str> = candidate.findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["a.json#/networkSecurityGroups/0/securityRules/2/protocol", "edit.yaml:4:26"]);
    // A rule as a whole is the edit's that changed or made it.
    let mixed = "- change_rule: {nsg: nsg-app, name: web, source: ['asg:asg-web', 10.0.0.0/8]}";
    let [_, candidate] = edited(&[export()], mixed);
    assert_eq!(candidate.findings[0].place, "edit.yaml:1:3");
    let [_, candidate] = edited(&[export()], &ADDED.replace("udp", "icmp"));
    let places: Vec<&str> = candidate.findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["edit.yaml:1:3"]);
    assert_eq!(candidate.findings[0].code, PortsOnPortlessProtocol);
}

/// Rules and subnets that were exported on their own, and members under `properties`, are edited alike.
#[test]
fn parts_that_were_exported_on_their_own_are_edited_too() {
    let parent = id("networkSecurityGroups/nsg-app");
    let group = json!([{
        "id": parent, "type": "Microsoft.Network/networkSecurityGroups",
        "properties": { "SecurityRules": [{ "name": "web", "properties": rule("web", 200, "Inbound") }] },
    }]);
    let own = json!([{
        "id": format!("{parent}/securityRules/ops"), "type": "Microsoft.Network/networkSecurityGroups/securityRules",
        "properties": rule("ops", 300, "Inbound"),
    }]);
    let vnet = json!([
        { "id": id("virtualNetworks/vnet-a"), "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } } },
        {
            "id": id("virtualNetworks/vnet-a/subnets/snet-app"), "type": "Microsoft.Network/virtualNetworks/subnets",
            "properties": { "addressPrefix": "10.0.1.0/24", "NetworkSecurityGroup": reference("networkSecurityGroups/nsg-app") },
        },
    ]);
    let edits = "- change_rule: {nsg: nsg-app, name: web, priority: 100, destination: '*'}
- change_rule: {nsg: nsg-app, name: ops, access: deny}
- detach_nsg: {subnet: snet-app}";
    let (mut group_after, mut own_after, mut vnet_after) = (group.clone(), own.clone(), vnet.clone());
    let web = &mut group_after[0]["properties"]["SecurityRules"][0]["properties"];
    web["priority"] = json!(100);
    web["destinationAddressPrefixes"] = json!(["*"]);
    own_after[0]["properties"]["access"] = json!("Deny");
    vnet_after[1]["properties"]["NetworkSecurityGroup"] = Value::Null;
    let [_, candidate] = edited(&[group, own, vnet], edits);
    let by_hand = from_documents(documents(&[group_after, own_after, vnet_after]), None).unwrap();
    assert_eq!(candidate.network, by_hand.network);
    assert_eq!(said(&candidate), said(&by_hand));
}

/// What stands twice in the exports, and differs after the edit only, is no difference of the exports.
#[test]
fn a_resource_that_was_exported_twice_is_edited_once() {
    let edits = "- remove_rule: {nsg: nsg-app, name: web}";
    let [base, candidate] = edited(&[export(), export()], edits);
    assert_eq!(base.findings, []);
    assert_eq!(candidate.findings, []);
    assert_eq!(candidate.network, edited(&[export()], edits)[1].network);
}

#[test]
fn an_empty_file_changes_nothing() {
    for text in ["", "# nothing yet\n", "[]"] {
        let [base, candidate] = edited(&[export()], text);
        assert_eq!(base.network, candidate.network, "{text:?}");
        assert!(Edits::parse("edit.yaml", text.as_bytes()).unwrap().is_empty());
    }
}

#[test]
fn what_names_nothing_or_collides_is_refused_with_its_place() {
    let cases = [
        (
            "- remove_rule: {nsg: nsg-ap, name: web}",
            "edit.yaml:1:22: `nsg-ap`: no network security group of this name or ID in the network",
        ),
        (
            "- remove_rule: {nsg: nsg-app, name: wbe}",
            "edit.yaml:1:37: `wbe`: no rule of this name in network security group `nsg-app`",
        ),
        (
            "- change_rule: {nsg: nsg-app, name: denyallinbound, priority: 100}",
            "edit.yaml:1:37: `denyallinbound` is a default rule, which nobody can change or remove: a rule ahead of \
             it overrides it",
        ),
        (
            "- remove_rule: {nsg: nsg-app, name: web}\n- remove_rule: {nsg: nsg-app, name: web}",
            "edit.yaml:2:37: `web`: no rule of this name in network security group `nsg-app`",
        ),
        (
            "- change_rule: {nsg: nsg-app, name: web, priority: 300}",
            "edit.yaml:1:52: priority `300`: the inbound rule `ops` has it already: expected another (NSG-3)",
        ),
        (
            "- change_rule: {nsg: nsg-app, name: out, direction: inbound}",
            "edit.yaml:1:53: priority `200`: the inbound rule `web` has it already: expected another (NSG-3)",
        ),
        (
            "- change_rule: {nsg: nsg-app, name: web, priority: 400}\n- change_rule: {nsg: nsg-app, name: ops, priority: 400}",
            "edit.yaml:2:52: priority `400`: the inbound rule `web` has it already: expected another (NSG-3)",
        ),
        (
            "- attach_nsg: {nsg: nsg-app, subnet: snet-a}",
            "edit.yaml:1:38: `snet-a`: no subnet of this name or ID in the network",
        ),
        (
            "- attach_nsg: {nsg: nsg-app, nic: nic-2}",
            "edit.yaml:1:35: `nic-2`: no interface of this name or ID in the network",
        ),
        (
            "- detach_nsg: {nic: nic-1}",
            "edit.yaml:1:21: `nic-1`: no network security group is attached to the interface",
        ),
        (
            "- change_rule: {nsg: nsg-app, name: web, source: 'asg:asg-app'}",
            "edit.yaml:1:50: `asg-app`: no application security group of this name or ID in the network",
        ),
        (
            "- add_route: {route_table: rt-a, name: to-FW, prefix: 10.0.0.0/8, next_hop: None}",
            "edit.yaml:1:40: `to-FW`: route table `rt-a` has a route of this name already: expected another",
        ),
        (
            "- remove_route: {route_table: rt-a, name: to-corp}",
            "edit.yaml:1:43: `to-corp`: no route of this name in route table `rt-a`",
        ),
    ];
    for (edits, expected) in cases {
        assert_eq!(try_edited(&[export()], edits).unwrap_err(), expected, "{edits}");
    }
    let same_name = ADDED.replace("AllowMetrics", "OUT");
    assert_eq!(
        try_edited(&[export()], &same_name).unwrap_err(),
        "edit.yaml:3:11: `OUT`: network security group `nsg-app` has a rule of this name already: expected another \
         (NSG-2)"
    );
}

#[test]
fn a_name_of_several_resources_or_rules_is_refused_and_an_id_is_taken() {
    let mut twice = export();
    let other =
        "/subscriptions/0/resourceGroups/rg-b/providers/Microsoft.Network/networkSecurityGroups/nsg-app";
    push(&mut twice["networkSecurityGroups"], json!({ "id": other, "name": "nsg-app", "securityRules": [] }));
    let edits = "- remove_rule: {nsg: nsg-app, name: web}";
    let error = try_edited(&[twice.clone()], edits).unwrap_err();
    let expected = format!(
        "edit.yaml:1:22: `nsg-app`: several are called so, expected the ID: {}, {other}",
        id("networkSecurityGroups/nsg-app")
    );
    assert_eq!(error, expected);
    let by_id = edits.replace("nsg-app", &id("networkSecurityGroups/nsg-app"));
    let [base, candidate] = edited(&[twice], &by_id);
    assert_eq!(base.network.nsgs[0].rules.len(), candidate.network.nsgs[0].rules.len() + 1);

    let mut rules = export();
    rules["networkSecurityGroups"][0]["securityRules"][2]["name"] = json!("Web");
    assert_eq!(
        try_edited(&[rules], edits).unwrap_err(),
        "edit.yaml:1:37: `web`: several rules of network security group `nsg-app` are called so: expected one"
    );
}

#[test]
fn the_files_of_the_page_on_edits_are_those_that_it_shows() {
    let page = std::fs::read_to_string("tests/cli/edit.md").unwrap();
    for name in ["metrics", "all"] {
        let file = std::fs::read_to_string(format!("tests/cli/edit/{name}.yaml")).unwrap();
        assert!(page.contains(&format!("```yaml\n{file}```\n")), "{name}");
    }
}

#[test]
fn what_is_no_edit_is_refused_with_its_place() {
    let cases = [
        ("add_rule: {}", "edit.yaml:1:1: `add_rule`: expected a list"),
        ("- drop_rule: {nsg: a, name: b}", "edit.yaml:1:3: "),
        ("- remove_rule: {nsg: a}", "edit.yaml:1:17: missing field `name`"),
        ("- remove_rule: {nsg: a, name: b, priority: 3}", "edit.yaml:1:34: unknown field `priority`"),
        (
            "- change_rule: {nsg: a, name: b}",
            "edit.yaml:1:3: nothing is changed: expected at least one field",
        ),
        ("- change_rule: {nsg: a, name: b, access: permit}", "edit.yaml:1:42: "),
        ("- change_rule: {nsg: a, name: b, priority: high}", "edit.yaml:1:44: "),
        (
            "- change_rule: {nsg: a, name: b, source: []}",
            "edit.yaml:1:42: the list is empty: expected at least one",
        ),
        (
            "- change_rule: {nsg: a, name: b, source: ['']}",
            "edit.yaml:1:43: nothing stands here: expected a text",
        ),
        ("- change_rule: {nsg: a, name: b, source: {x: 1}}", "edit.yaml:1:42: "),
        ("- attach_nsg: {subnet: a}", "edit.yaml:1:3: `nsg` is missing: expected the one that is attached"),
        ("- attach_nsg: {nsg: a, subnet: b, nic: c}", "edit.yaml:1:3: expected either `subnet` or `nic`"),
        ("- detach_nsg: {}", "edit.yaml:1:3: expected either `subnet` or `nic`"),
        (
            "- detach_nsg: {nsg: a, subnet: b}",
            "edit.yaml:1:21: `nsg` has no place here: whichever is attached",
        ),
        (
            "- add_route: {route_table: a, name: b, prefix: 0.0.0.0/0, next_hop: VirtualAppliance}",
            "edit.yaml:1:3: `address` is missing: expected that of the virtual appliance",
        ),
        (
            "- add_route: {route_table: a, name: b, prefix: 0.0.0.0/0, next_hop: Internet, address: 10.0.0.4}",
            "edit.yaml:1:88: `address` beside next hop `Internet`: expected none",
        ),
        (
            "- add_route: {route_table: a, name: b, prefix: 0.0.0.0/0, next_hop: VirtualAppliance, address: fw}",
            "edit.yaml:1:96: `fw`: expected an IP address",
        ),
        (
            "- remove_rule: {nsg: a, nsg: b, name: c}",
            "edit.yaml:1:25: `nsg` stands here a second time: expected it once",
        ),
        ("- remove_rule: {nsg: a, name", "edit.yaml:"),
    ];
    for (edits, expected) in cases {
        let error = Edits::parse("edit.yaml", edits.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{edits}: {error}");
    }
}
