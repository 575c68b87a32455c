//! What the NSGs of special subnets must let through (BAS-2, AGW-1). Each expectation is worked out from the rows of the
//! clauses; the ranges of the tags are invented.

#![expect(clippy::unwrap_used, reason = "a helper that finds its input broken fails the test")]

use nsgsim::analyze::findings;
use nsgsim::ingest::azure::{Document, from_documents, tags};
use nsgsim::model::assumptions::Assumptions;
use nsgsim::model::finding::{Finding, FindingCode};
use nsgsim::model::tag::TagCatalog;
use serde_json::{Value, json};

const GATEWAY_MANAGER: &str = "203.0.113.224/29";
const AZURE_CLOUD: &str = "198.51.100.0/24";

fn id(path: &str) -> String {
    format!("/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/{path}")
}

fn reference(path: &str) -> Value {
    json!({ "id": id(path) })
}

/// A catalogue of tags with one range each.
fn catalog(entries: &[(&str, &str)]) -> TagCatalog {
    let values: Vec<Value> = entries
        .iter()
        .map(|(name, range)| json!({"name": name, "id": name, "properties": {"region": "", "addressPrefixes": [range]}}))
        .collect();
    let file = json!({"changeNumber": 1, "cloud": "Public", "values": values});
    tags::parse("tags.json", &serde_json::to_vec(&file).unwrap()).unwrap().0
}

fn both() -> TagCatalog {
    catalog(&[("GatewayManager", GATEWAY_MANAGER), ("AzureCloud", AZURE_CLOUD)])
}

/// `in 100 allow Tcp Internet * 443`: direction, priority, access, protocol, source, destination, destination ports.
fn rule(text: &str) -> Value {
    let [direction, priority, access, protocol, source, destination, ports] =
        text.split(' ').collect::<Vec<_>>().try_into().unwrap();
    json!({
        "name": format!("{direction}-{priority}"),
        "direction": if direction == "in" { "Inbound" } else { "Outbound" },
        "priority": priority.parse::<u32>().unwrap(), "access": access, "protocol": protocol,
        "sourceAddressPrefix": source, "sourcePortRange": "*", "destinationAddressPrefix": destination,
        "destinationPortRanges": ports.split(',').collect::<Vec<_>>(),
    })
}

/// A network with one subnet, 10.33.0.0/26, that holds an NSG of these rules.
fn network(subnet: &str, rules: &[&str]) -> Value {
    let rules: Vec<Value> = rules.iter().copied().map(rule).collect();
    json!({
        "virtualNetworks": [{
            "id": id("virtualNetworks/v"), "name": "v", "location": "westeurope",
            "addressSpace": {"addressPrefixes": ["10.33.0.0/16"]},
            "subnets": [{
                "id": id(&format!("virtualNetworks/v/subnets/{subnet}")), "name": subnet,
                "addressPrefix": "10.33.0.0/26", "networkSecurityGroup": reference("networkSecurityGroups/n"),
            }],
        }],
        "networkSecurityGroups": [{"id": id("networkSecurityGroups/n"), "name": "n", "securityRules": rules}],
    })
}

fn found(inventory: &Value, tags: &TagCatalog) -> Vec<Finding> {
    let document = Document { name: "a.json".to_owned(), bytes: serde_json::to_vec(inventory).unwrap() };
    let loaded = from_documents(vec![document], Some(tags)).unwrap_or_else(|error| panic!("{error}"));
    findings::all(loaded.findings, &loaded.network, tags, &loaded.nsg_places, Assumptions::default())
}

/// The rows that are reported with a code, sorted.
fn rows(findings: &[Finding], code: FindingCode) -> Vec<&str> {
    let reported = findings.iter().filter(|finding| finding.code == code);
    reported.map(|finding| finding.rule.as_deref().unwrap()).collect()
}

fn missing(findings: &[Finding]) -> Vec<&str> {
    assert_eq!(rows(findings, FindingCode::UndecidedRequiredRule), Vec::<&str>::new());
    rows(findings, FindingCode::MissingRequiredRule)
}

/// A rule for each row of BAS-2, each by its row, and nothing else. `in-1` admits a chosen address, so that it does not
/// fulfil the other rows on the side: `GatewayManager` and the platform's address are in `Internet` (TAG-10).
const BASTION: [(&str, &str); 8] = [
    ("in-1", "in 100 Allow Tcp 192.0.3.7 * 443"),
    ("in-2", "in 110 Allow Tcp GatewayManager * 443"),
    ("in-3", "in 120 Allow * VirtualNetwork VirtualNetwork 8080,5701"),
    ("in-4", "in 130 Allow Tcp AzureLoadBalancer * 443"),
    ("out-1", "out 100 Allow * * VirtualNetwork 22,3389"),
    ("out-2", "out 110 Allow * VirtualNetwork VirtualNetwork 8080,5701"),
    ("out-3", "out 120 Allow Tcp * AzureCloud 443"),
    ("out-4", "out 130 Allow * * Internet 80"),
];
const NOTHING_ELSE: [&str; 2] = ["in 4096 Deny * * * *", "out 4096 Deny * * * *"];

fn bastion_rules(but: &str) -> Vec<&'static str> {
    let rules = BASTION.iter().filter(|(row, _)| *row != but).map(|(_, rule)| *rule);
    rules.chain(NOTHING_ELSE).collect()
}

#[test]
fn bas_2_each_row_that_is_absent_is_reported_and_no_other() {
    let whole = found(&network("AzureBastionSubnet", &bastion_rules("none")), &both());
    assert_eq!(missing(&whole), Vec::<&str>::new());
    for (row, _) in BASTION {
        let findings = found(&network("AzureBastionSubnet", &bastion_rules(row)), &both());
        assert_eq!(missing(&findings), [row]);
    }
    let nothing = found(&network("AzureBastionSubnet", &NOTHING_ELSE), &both());
    assert_eq!(missing(&nothing), BASTION.map(|(row, _)| row));
}

#[test]
fn bas_2_the_default_rules_lack_the_two_rows_from_outside() {
    let findings = found(&network("AzureBastionSubnet", &[]), &both());
    assert_eq!(missing(&findings), ["in-1", "in-2"]);
}

#[test]
fn bas_2_a_packet_counts_not_a_literal_rule() {
    // One rule for HTTPS from everywhere carries the three rows to 443; the default rules carry the rest.
    let findings = found(&network("AzureBastionSubnet", &["in 100 Allow * * 10.33.0.0/26 443"]), &both());
    assert_eq!(missing(&findings), Vec::<&str>::new());
    // The literal rules are there, behind a deny that goes first.
    let mut rules = bastion_rules("none");
    rules.push("in 90 Deny Tcp GatewayManager * *");
    rules.push("out 90 Deny * * 10.33.7.0/24 3389");
    assert_eq!(missing(&found(&network("AzureBastionSubnet", &rules), &both())), ["in-2", "out-1"]);
}

#[test]
fn bas_2_every_port_and_every_address_of_a_row_counts() {
    for (row, narrower) in [
        ("in-2", "in 110 Allow Tcp 203.0.113.224/30 * 443"),
        ("in-3", "in 120 Allow * VirtualNetwork VirtualNetwork 8080"),
        ("in-3", "in 120 Allow * 10.33.0.0/26 * 8080,5701"),
        ("in-4", "in 130 Allow Tcp AzureLoadBalancer 10.33.0.0/27 443"),
        ("out-1", "out 100 Allow * * VirtualNetwork 22"),
        ("out-2", "out 110 Allow * 10.33.0.0/27 VirtualNetwork 8080,5701"),
        ("out-3", "out 120 Allow Tcp * 198.51.100.0/25 443"),
        ("out-4", "out 130 Allow * * 0.0.0.0/1 80"),
    ] {
        let mut rules = bastion_rules(row);
        rules.push(narrower);
        assert_eq!(missing(&found(&network("AzureBastionSubnet", &rules), &both())), [row], "{narrower}");
    }
}

#[test]
fn bas_2_rows_for_every_protocol_are_asked_with_tcp() {
    let mut rules = bastion_rules("out-1");
    rules.push("out 100 Allow Tcp * VirtualNetwork 22,3389");
    assert_eq!(missing(&found(&network("AzureBastionSubnet", &rules), &both())), Vec::<&str>::new());
    let mut rules = bastion_rules("out-1");
    rules.push("out 100 Allow Udp * VirtualNetwork 22,3389");
    assert_eq!(missing(&found(&network("AzureBastionSubnet", &rules), &both())), ["out-1"]);
}

#[test]
fn bas_2_the_finding_names_the_place_the_rule_and_a_packet() {
    let findings = found(&network("AzureBastionSubnet", &bastion_rules("out-3")), &both());
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.place, "a.json#/networkSecurityGroups/0");
    assert_eq!(finding.nsg.as_deref(), Some("n"));
    let text = &finding.message;
    assert!(text.contains("at subnet `AzureBastionSubnet` (BAS-2)"), "{text}");
    assert!(text.contains("to 198.51.100.0, port 443, is denied by `out-4096`"), "{text}");
}

#[test]
fn bas_2_is_about_subnets_of_that_name_in_any_letter_case() {
    let rules = NOTHING_ELSE;
    assert_eq!(missing(&found(&network("azurebastionsubnet", &rules), &both())).len(), 8);
    assert_eq!(missing(&found(&network("AzureBastionSubnet2", &rules), &both())), Vec::<&str>::new());
    // Without the subnet the NSG's own account of where it is counts (JSON-3).
    let mut inventory = network("AzureBastionSubnet", &rules);
    inventory["virtualNetworks"] = json!([]);
    inventory["networkSecurityGroups"][0]["subnets"] =
        json!([reference("virtualNetworks/v/subnets/AzureBastionSubnet")]);
    assert_eq!(missing(&found(&inventory, &both())).len(), 8);
    // Rules for the tags of the rows hold wherever the subnet lies. Whether an address is a public one does not show
    // without the subnet: it may be connected to it (TAG-10).
    let mut rules = bastion_rules("in-3");
    let mut inventory = network("AzureBastionSubnet", &rules);
    inventory["virtualNetworks"] = json!([]);
    inventory["networkSecurityGroups"][0]["subnets"] =
        json!([reference("virtualNetworks/v/subnets/AzureBastionSubnet")]);
    let findings = found(&inventory, &both());
    assert_eq!(rows(&findings, FindingCode::UndecidedRequiredRule), ["in-1"]);
    assert_eq!(rows(&findings, FindingCode::MissingRequiredRule), ["in-3"]);
    rules.push("in 105 Allow Tcp Internet * 443");
    inventory["networkSecurityGroups"][0]["securityRules"] = rules.into_iter().map(rule).collect();
    assert_eq!(missing(&found(&inventory, &both())), ["in-3"]);
}

#[test]
fn tag_15_an_unknown_tag_leaves_a_row_undecided_only_where_it_matters() {
    let none = TagCatalog::default();
    let undecided = |rules: &[&str]| {
        let findings = found(&network("AzureBastionSubnet", rules), &none);
        let missing = rows(&findings, FindingCode::MissingRequiredRule).join(" ");
        (missing, rows(&findings, FindingCode::UndecidedRequiredRule).join(" "))
    };
    // Whatever the tags hold: a rule for the tag admits it, and nothing admits it where all is denied.
    assert_eq!(undecided(&bastion_rules("none")), (String::new(), String::new()));
    assert_eq!(undecided(&NOTHING_ELSE).0, "in-1 in-2 in-3 in-4 out-1 out-2 out-3 out-4");
    // The rule for the unknown tag admits no client; whether it admits the platform's address is open.
    assert_eq!(
        undecided(&["in 100 Allow Tcp GatewayManager * 443", "in 4096 Deny * * * *"]),
        ("in-1 in-3".to_owned(), "in-4".to_owned())
    );
    // Both tags are Azure's own public ranges, and those are in Internet (TAG-10).
    assert_eq!(undecided(&[]), ("in-1 in-2".to_owned(), String::new()));
    assert_eq!(undecided(&["in 100 Allow Tcp Internet * 443"]), (String::new(), String::new()));
    assert_eq!(undecided(&["out 100 Deny Tcp * Internet *"]).0, "in-1 in-2 out-3 out-4");
    // Whether the tag holds more than a range, or less, is not known.
    let mut rules = bastion_rules("in-2");
    rules.push("in 105 Allow Tcp 203.0.113.0/24 * 443");
    assert_eq!(undecided(&rules), (String::new(), "in-2".to_owned()));
    // Another tag that no file has may hold clients, and may hold the addresses of the row.
    let mut rules = bastion_rules("in-1");
    rules.retain(|rule| !rule.contains("GatewayManager"));
    rules.push("in 100 Allow Tcp AzureTrafficManager * 443");
    assert_eq!(undecided(&rules), (String::new(), "in-1 in-2".to_owned()));
}

#[test]
fn an_undecided_row_names_what_it_hangs_on_and_is_no_reason_to_refuse() {
    let mut rules = bastion_rules("in-2");
    rules.push("in 105 Allow Tcp 203.0.113.0/24 * 443");
    let findings = found(&network("AzureBastionSubnet", &rules), &TagCatalog::default());
    let is_it = |finding: &&Finding| finding.code == FindingCode::UndecidedRequiredRule;
    let finding = findings.iter().find(is_it).unwrap();
    assert!(
        finding.message.ends_with("hangs on service tag `GatewayManager`, which is not known"),
        "{finding}"
    );
    assert!(finding.code.is_warning() && !FindingCode::MissingRequiredRule.is_warning());
}

#[test]
fn bas_2_chosen_addresses_are_those_of_clients() {
    for (rules, expected) in [
        (&["in 100 Allow Tcp 192.0.3.7 * 443", "in 110 Allow Tcp GatewayManager * 443"][..], &[][..]),
        // The platform and those who manage gateways are no clients (in-2, in-4).
        (&["in 110 Allow Tcp GatewayManager * 443", "in 120 Allow Tcp AzureLoadBalancer * 443"], &["in-1"]),
        // Nor does a private address come from the internet.
        (&["in 100 Allow Tcp 10.1.0.0/16 * 443", "in 110 Allow Tcp GatewayManager * 443"], &["in-1"]),
        // Some are shut out, others come in.
        (
            &[
                "in 90 Deny * 192.0.3.7 * *",
                "in 100 Allow Tcp 192.0.3.0/24 * 443",
                "in 110 Allow Tcp GatewayManager * 443",
            ],
            &[],
        ),
    ] {
        assert_eq!(missing(&found(&network("AzureBastionSubnet", rules), &both())), expected, "{rules:?}");
    }
}

/// The network with an Application Gateway of this SKU in its subnet.
fn with_gateway(sku: &Value, rules: &[&str]) -> Value {
    let mut inventory = network("gateways", rules);
    inventory["applicationGateways"] = json!([{
        "id": id("applicationGateways/g"), "name": "g", "location": "westeurope", "sku": sku,
        "gatewayIPConfigurations": [{"name": "c", "subnet": reference("virtualNetworks/v/subnets/gateways")}],
    }]);
    inventory
}

fn v2() -> Value {
    json!({"name": "WAF_v2", "tier": "WAF_v2", "capacity": 2})
}

#[test]
fn agw_1_each_row_that_is_absent_is_reported_and_no_other() {
    let all = [
        ("agw-in-ports", "in 100 Allow Tcp GatewayManager * 65200-65535"),
        ("agw-in-probes", "in 110 Allow * AzureLoadBalancer * *"),
        ("agw-out-internet", "out 100 Allow * * Internet *"),
    ];
    let but = |row: &str| -> Vec<&str> {
        let rules = all.iter().filter(|(name, _)| *name != row).map(|(_, rule)| *rule);
        rules.chain(NOTHING_ELSE).collect()
    };
    assert_eq!(missing(&found(&with_gateway(&v2(), &but("none")), &both())), Vec::<&str>::new());
    for (row, _) in all {
        assert_eq!(missing(&found(&with_gateway(&v2(), &but(row)), &both())), [row]);
    }
    // The default rules let probes in and everything out; nobody manages the gateway through them.
    assert_eq!(missing(&found(&with_gateway(&v2(), &[]), &both())), ["agw-in-ports"]);
    // Without a gateway in it the subnet needs nothing.
    assert_eq!(missing(&found(&network("gateways", &NOTHING_ELSE), &both())), Vec::<&str>::new());
}

#[test]
fn agw_1_the_ports_hang_on_the_generation() {
    let narrow = ["in 100 Allow Tcp GatewayManager * 65503-65534"];
    let wide = ["in 100 Allow Tcp GatewayManager * 65200-65535"];
    let one_short = ["in 100 Allow Tcp GatewayManager * 65200-65534"];
    let v1 = || json!({"name": "Standard_Medium", "tier": "Standard"});
    let is_missing =
        |sku: Value, rules: &[&str]| !missing(&found(&with_gateway(&sku, rules), &both())).is_empty();
    assert!(!is_missing(v1(), &narrow) && !is_missing(v1(), &wide));
    assert!(is_missing(v2(), &narrow) && !is_missing(v2(), &wide) && is_missing(v2(), &one_short));
    assert!(is_missing(v1(), &["in 100 Allow Tcp GatewayManager * 65503-65533"]));
    // Without a SKU it may be either.
    assert!(!is_missing(Value::Null, &wide) && is_missing(Value::Null, &[]));
    let findings = found(&with_gateway(&Value::Null, &narrow), &both());
    assert_eq!(rows(&findings, FindingCode::UndecidedRequiredRule), ["agw-in-ports"]);
    assert_eq!(rows(&findings, FindingCode::MissingRequiredRule), Vec::<&str>::new());
}

#[test]
fn agw_1_no_part_of_the_internet_is_shut() {
    let in_ports = "in 100 Allow Tcp GatewayManager * 65200-65535";
    for deny in
        ["out 100 Deny Udp * Internet *", "out 100 Deny * * 192.0.3.0/24 *", "out 100 Deny Tcp * * 25"]
    {
        let findings = found(&with_gateway(&v2(), &[in_ports, deny]), &both());
        assert_eq!(missing(&findings), ["agw-out-internet"], "{deny}");
    }
    let findings = found(&with_gateway(&v2(), &[in_ports, "out 100 Deny * * 10.9.0.0/16 *"]), &both());
    assert_eq!(missing(&findings), Vec::<&str>::new());
}

#[test]
fn agw_1_gateways_are_read_from_terraform_too() {
    let resource = |kind: &str, values: Value| {
        json!({
            "address": format!("{kind}.x"), "mode": "managed", "type": kind, "name": "x",
            "provider_name": "registry.terraform.io/hashicorp/azurerm", "values": values,
        })
    };
    let vnet = id("virtualNetworks/v");
    let subnet = id("virtualNetworks/v/subnets/gateways");
    let state = json!({"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": {"resources": [
        resource("azurerm_virtual_network", json!({"id": vnet, "name": "v", "resource_group_name": "rg", "location": "westeurope", "address_space": ["10.33.0.0/16"]})),
        resource("azurerm_subnet", json!({"id": subnet, "name": "gateways", "resource_group_name": "rg", "virtual_network_name": "v", "address_prefixes": ["10.33.0.0/26"]})),
        resource("azurerm_network_security_group", json!({"id": id("networkSecurityGroups/n"), "name": "n", "resource_group_name": "rg", "location": "westeurope", "security_rule": []})),
        resource("azurerm_subnet_network_security_group_association", json!({"id": subnet, "subnet_id": subnet, "network_security_group_id": id("networkSecurityGroups/n")})),
        resource("azurerm_application_gateway", json!({"id": id("applicationGateways/g"), "name": "g", "resource_group_name": "rg", "location": "westeurope",
            "sku": [{"name": "Standard_v2", "tier": "Standard_v2", "capacity": 1}],
            "gateway_ip_configuration": [{"name": "c", "subnet_id": subnet}]})),
    ]}}});
    let findings = found(&state, &both());
    assert_eq!(missing(&findings), ["agw-in-ports"], "{findings:?}");
}
