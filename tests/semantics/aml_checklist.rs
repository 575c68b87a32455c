//! The checklist of Azure Machine Learning (AML-1 to AML-20): what the file says, and which rule of a small network
//! answers each row. The network and the ranges of its tags are invented; what must answer is worked out by hand.

#![expect(clippy::unwrap_used, reason = "a helper that finds its input broken fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{Document, from_documents};
use nsgsim::model::flow::Origin;
use nsgsim::model::index::NicIndex;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::tag::TagName;
use nsgsim::model::verdict::{Answer, Reason, VerdictKind};
use nsgsim::simulate::{Simulator, SimulatorOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::build::{catalog, ip, packet};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    direction: String,
    protocol: String,
    remote: Vec<End>,
    enough: Option<String>,
    local: Option<End>,
    #[serde(default)]
    ports: Vec<String>,
    purpose: String,
    needed_when: String,
    source: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct End {
    tag: Option<String>,
    private_endpoint: Option<String>,
    network: Option<String>,
    hosts: Option<String>,
    only_for: Option<String>,
    ports: Vec<String>,
}

fn checklist() -> Vec<Row> {
    let text = std::fs::read_to_string("data/aml-checklist.yaml").unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// First and last port of `443` or `29876-29877`.
fn range(text: &str) -> (u16, u16) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (first.parse().unwrap(), last.parse().unwrap())
}

#[test]
fn there_is_one_entry_a_row_in_order_and_each_is_whole() {
    let rows = checklist();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let expected: Vec<String> = (1..=20).map(|number| format!("AML-{number}")).collect();
    assert_eq!(ids, expected);
    for row in &rows {
        let id = &row.id;
        assert!(["inbound", "outbound"].contains(&row.direction.as_str()), "{id}");
        assert!(["tcp", "udp", "any"].contains(&row.protocol.as_str()), "{id}");
        assert!(row.enough.as_deref().is_none_or(|enough| enough == "one" && row.remote.len() > 1), "{id}");
        assert!(!row.purpose.is_empty() && !row.needed_when.is_empty(), "{id}");
        let is_article =
            row.source.starts_with("articles/machine-learning/") || row.source.starts_with("includes/");
        assert!(is_article && row.source.ends_with(".md"), "{id}");
        assert!(!row.remote.is_empty(), "{id}");
        for end in row.remote.iter().chain(&row.local) {
            let said = [&end.tag, &end.private_endpoint, &end.network, &end.hosts];
            assert_eq!(said.iter().filter(|word| word.is_some()).count(), 1, "{id}: {end:?}");
        }
        for end in &row.remote {
            assert!(
                end.ports.is_empty() != row.ports.is_empty(),
                "{id}: ports stand at the row or at each end"
            );
            for (first, last) in row.ports.iter().chain(&end.ports).map(|text| range(text)) {
                assert!(first <= last, "{id}");
            }
        }
    }
}

/// A row in one line: direction, protocol, ends, ports.
fn line(row: &Row) -> String {
    let ends: Vec<String> = row
        .remote
        .iter()
        .map(|end| {
            let word = [&end.tag, &end.private_endpoint, &end.network, &end.hosts].into_iter().flatten();
            let own = if end.ports.is_empty() { String::new() } else { format!(" {}", end.ports.join(",")) };
            format!("{}{own}", word.map(String::as_str).collect::<String>())
        })
        .collect();
    format!("{} {} {} {}", row.direction, row.protocol, ends.join(" | "), row.ports.join(","))
        .trim_end()
        .to_owned()
}

#[test]
fn spot_rows_say_what_the_clauses_say() {
    let rows = checklist();
    for (number, expected) in [
        (1, "inbound tcp AzureMachineLearning 44224"),
        (2, "inbound tcp BatchNodeManagement 29876-29877"),
        (3, "outbound tcp AzureActiveDirectory 80,443"),
        (4, "outbound tcp AzureMachineLearning 443,8787,18881"),
        (5, "outbound udp AzureMachineLearning 5831"),
        (6, "outbound any BatchNodeManagement.{region} 443"),
        (9, "outbound tcp Storage.{region} | storage-file 445"),
        (12, "outbound tcp AzureFrontDoor.FirstParty 443"),
        (15, "outbound tcp AzureContainerRegistry.{region} | registry 443"),
        (
            16,
            "outbound tcp workspace | storage-blob | storage-file | storage-queue | storage-table | key-vault | registry 443",
        ),
        (17, "inbound tcp VirtualNetwork 29876,29877 | AzureLoadBalancer 44224"),
        (18, "inbound tcp AzureMachineLearning 22"),
        (19, "inbound tcp clients 443"),
        (20, "outbound tcp package repositories 443"),
    ] {
        assert_eq!(line(&rows[number - 1]), expected, "AML-{number}");
    }
    let only: Vec<_> = rows[15]
        .remote
        .iter()
        .filter(|end| end.only_for.is_some())
        .map(|end| &end.private_endpoint)
        .collect();
    assert_eq!(only, [&Some("storage-queue".to_owned()), &Some("storage-table".to_owned())]);
    assert_eq!(rows[18].local.as_ref().unwrap().private_endpoint.as_deref(), Some("workspace"));
    // The regional ones, as the clauses have them.
    let regional = rows
        .iter()
        .filter(|row| row.remote.iter().flat_map(|end| &end.tag).any(|tag| tag.ends_with(".{region}")));
    let regional: Vec<&str> = regional.map(|row| row.id.as_str()).collect();
    assert_eq!(regional, ["AML-6", "AML-8", "AML-9", "AML-11", "AML-14", "AML-15"]);
}

const REGION: &str = "WestEurope";

/// Invented ranges of the tags.
const TAGS: [(&str, &str); 12] = [
    ("AzureMachineLearning", "203.0.113.0/28"),
    ("BatchNodeManagement", "203.0.113.16/28"),
    ("BatchNodeManagement.WestEurope", "203.0.113.24/29"),
    ("AzureActiveDirectory", "203.0.113.32/28"),
    ("AzureResourceManager", "203.0.113.48/28"),
    ("Storage.WestEurope", "203.0.113.64/28"),
    ("AzureFrontDoor.Frontend", "203.0.113.80/28"),
    ("MicrosoftContainerRegistry.WestEurope", "203.0.113.96/28"),
    ("AzureFrontDoor.FirstParty", "203.0.113.112/28"),
    ("AzureMonitor", "203.0.113.128/28"),
    ("AzureKeyVault.WestEurope", "203.0.113.144/28"),
    ("AzureContainerRegistry.WestEurope", "203.0.113.160/28"),
];

/// The private endpoints and their addresses.
const ENDPOINTS: [(&str, &str); 7] = [
    ("workspace", "10.60.2.4"),
    ("storage-blob", "10.60.2.5"),
    ("storage-file", "10.60.2.6"),
    ("storage-queue", "10.60.2.7"),
    ("storage-table", "10.60.2.8"),
    ("key-vault", "10.60.2.9"),
    ("registry", "10.60.2.10"),
];

const COMPUTE: &str = "10.60.1.4";
const CLIENT: &str = "10.60.3.4";
/// A package repository: on the internet, in no tag.
const REPOSITORY: &str = "198.51.100.20";

fn id(path: &str) -> String {
    format!("/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/{path}")
}

/// `out 100 Allow Tcp * Storage.WestEurope 443`, named by its first and second word.
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

fn nsg(name: &str, rules: &[&str]) -> Value {
    let rules: Vec<Value> = rules.iter().copied().map(rule).collect();
    json!({"id": id(&format!("networkSecurityGroups/{name}")), "name": name, "securityRules": rules})
}

/// A workspace whose compute has no public address: images come from Microsoft and from a registry behind a private
/// endpoint; nothing of hbi_workspace, of attached machines or of the preview.
fn workspace() -> Simulator {
    let subnet = |name: &str, prefix: &str, more: Value| {
        let mut subnet = json!({"id": id(&format!("virtualNetworks/v/subnets/{name}")), "name": name, "addressPrefix": prefix});
        subnet.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        subnet
    };
    let held = |name: &str| json!({"networkSecurityGroup": {"id": id(&format!("networkSecurityGroups/{name}"))}, "privateEndpointNetworkPolicies": "Enabled"});
    let nic = |name: &str, subnet: &str, address: &str| {
        json!({"id": id(&format!("networkInterfaces/{name}")), "name": name, "ipConfigurations": [{
            "id": id(&format!("networkInterfaces/{name}/ipConfigurations/ip")), "name": "ip", "primary": true,
            "privateIPAddress": address, "subnet": {"id": id(&format!("virtualNetworks/v/subnets/{subnet}"))}}]})
    };
    let endpoint = |(name, address): &(&str, &str)| {
        json!({"id": id(&format!("privateEndpoints/{name}")), "name": name,
            "subnet": {"id": id("virtualNetworks/v/subnets/endpoints")},
            "ipConfigurations": [{"name": "ip", "privateIPAddress": address}],
            "privateLinkServiceConnections": [{"name": "c", "privateLinkServiceId": id(&format!("services/{name}")),
                "privateLinkServiceConnectionState": {"status": "Approved"}}]})
    };
    let inventory = json!({
        "virtualNetworks": [{"id": id("virtualNetworks/v"), "name": "v", "addressSpace": {"addressPrefixes": ["10.60.0.0/16"]},
            "subnets": [subnet("compute", "10.60.1.0/24", held("nsg-compute")), subnet("endpoints", "10.60.2.0/24", held("nsg-endpoints")),
                subnet("clients", "10.60.3.0/24", json!({}))]}],
        "networkSecurityGroups": [
            nsg("nsg-compute", &[
                "in 4000 Deny * * * *",
                "out 100 Allow Tcp * AzureActiveDirectory 80,443",
                "out 110 Allow Tcp * AzureMachineLearning 443,8787,18881",
                "out 120 Allow Udp * AzureMachineLearning 5831",
                "out 130 Allow * * BatchNodeManagement.WestEurope 443",
                "out 140 Allow Tcp * AzureResourceManager 443",
                "out 150 Allow Tcp * Storage.WestEurope 443",
                "out 160 Allow Tcp * AzureFrontDoor.Frontend 443",
                "out 170 Allow Tcp * MicrosoftContainerRegistry.WestEurope 443",
                "out 180 Allow Tcp * AzureFrontDoor.FirstParty 443",
                "out 190 Allow Tcp * AzureMonitor 443",
                "out 200 Allow Tcp * 10.60.2.0/24 443,445",
                "out 4000 Deny * * * *",
            ]),
            nsg("nsg-endpoints", &["in 100 Allow Tcp VirtualNetwork 10.60.2.0/24 443,445", "in 4000 Deny * * * *"]),
        ],
        "networkInterfaces": [nic("client", "clients", CLIENT), nic("compute", "compute", COMPUTE)],
        "privateEndpoints": ENDPOINTS.iter().map(endpoint).collect::<Vec<_>>(),
    });
    let document = Document { name: "a.json".to_owned(), bytes: serde_json::to_vec(&inventory).unwrap() };
    let tags = TAGS.iter().map(|(name, range)| (*name, std::slice::from_ref(range))).collect::<Vec<_>>();
    let tags = Arc::new(catalog(&tags));
    let network =
        from_documents(vec![document], Some(&tags)).unwrap_or_else(|error| panic!("{error}")).network;
    let compiled = CompiledNetwork::new(Arc::new(network), tags, CompileOptions::default());
    Simulator::new(Arc::new(compiled), SimulatorOptions { stateful: false, ..SimulatorOptions::default() })
}

const CLIENT_NIC: usize = 0;
const COMPUTE_NIC: usize = 1;

/// What decided, as `nsg-compute out-100 allow`.
fn decider(simulator: &Simulator, answer: &Answer) -> String {
    let Some(Reason::SecurityRule(hit)) = answer.verdict.reason() else { panic!("{:?}", answer.verdict) };
    let nsg = &simulator.compiled().network.nsgs[hit.nsg.get()];
    let verdict = match answer.verdict.kind() {
        VerdictKind::Allow => "allow",
        VerdictKind::Deny => "deny",
        VerdictKind::Mixed | VerdictKind::Undetermined => panic!("{:?}", answer.verdict),
    };
    format!("{} {} {verdict}", nsg.id.name(), nsg.rules[hit.rule as usize].name)
}

/// An address of an end.
fn address(end: &End) -> &'static str {
    if let Some(tag) = &end.tag {
        let name = TagName::new(&tag.replace("{region}", REGION));
        return match name.as_str() {
            TagName::VIRTUAL_NETWORK => CLIENT,
            TagName::AZURE_LOAD_BALANCER => "168.63.129.16",
            _ => {
                let (_, range) = TAGS.iter().find(|(known, _)| name.is(known)).unwrap();
                range.split('/').next().unwrap()
            }
        };
    }
    match (&end.private_endpoint, &end.network, &end.hosts) {
        (Some(of), ..) => ENDPOINTS.iter().find(|(known, _)| known == of).unwrap().1,
        (None, Some(_), _) => CLIENT,
        (None, None, _) => REPOSITORY,
    }
}

/// Every packet of a row, with what decides about it.
fn asked(simulator: &mut Simulator, row: &Row) -> Vec<String> {
    let protocols = match row.protocol.as_str() {
        "tcp" => vec![Protocol::TCP],
        "udp" => vec![Protocol::UDP],
        _ => vec![Protocol::TCP, Protocol::UDP],
    };
    let mut found = Vec::new();
    for end in &row.remote {
        for (first, last) in row.ports.iter().chain(&end.ports).map(|text| range(text)) {
            for port in [first, last] {
                for protocol in &protocols {
                    let remote = address(end);
                    let local = row.local.as_ref().map_or(COMPUTE, address);
                    let private = end.private_endpoint.is_some() || row.local.is_some();
                    let inbound = row.direction == "inbound";
                    let (from, to) = if inbound { (remote, local) } else { (local, remote) };
                    let packet = packet(*protocol, &format!("{from}:50000"), &format!("{to}:{port}"));
                    // To a private endpoint both ends' rules count, so the packet makes its whole way.
                    let answer = if private {
                        let nic = if inbound { CLIENT_NIC } else { COMPUTE_NIC };
                        assert!(simulator.compiled().network.nics[nic].has(ip(from)));
                        simulator.path(Origin::Nic(NicIndex::new(nic)).into(), &packet, 0)
                    } else {
                        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
                        simulator.ip_flow(NicIndex::new(COMPUTE_NIC), direction, &packet)
                    };
                    found.push(decider(simulator, &answer));
                }
            }
        }
    }
    found.dedup();
    found
}

#[test]
fn each_row_is_answered_by_the_rule_that_is_meant_for_it() {
    let mut simulator = workspace();
    let rows = checklist();
    let found: BTreeMap<&str, String> =
        rows.iter().map(|row| (row.id.as_str(), asked(&mut simulator, row).join(", "))).collect();
    let shut_in = "nsg-compute in-4000 deny";
    let shut_out = "nsg-compute out-4000 deny";
    let private = "nsg-endpoints in-100 allow";
    for (id, expected) in [
        // No public address, nothing of the preview, no machine attached: nothing comes in.
        ("AML-1", shut_in),
        ("AML-2", shut_in),
        ("AML-17", shut_in),
        ("AML-18", shut_in),
        ("AML-3", "nsg-compute out-100 allow"),
        ("AML-4", "nsg-compute out-110 allow"),
        ("AML-5", "nsg-compute out-120 allow"),
        ("AML-6", "nsg-compute out-130 allow"),
        ("AML-7", "nsg-compute out-140 allow"),
        ("AML-8", "nsg-compute out-150 allow"),
        // Files only privately: of the two ends that will do, one is open.
        ("AML-9", "nsg-compute out-4000 deny, nsg-endpoints in-100 allow"),
        ("AML-10", "nsg-compute out-160 allow"),
        ("AML-11", "nsg-compute out-170 allow"),
        ("AML-12", "nsg-compute out-180 allow"),
        ("AML-13", "nsg-compute out-190 allow"),
        // hbi_workspace is not set.
        ("AML-14", shut_out),
        ("AML-15", "nsg-compute out-4000 deny, nsg-endpoints in-100 allow"),
        ("AML-16", private),
        ("AML-19", private),
        ("AML-20", shut_out),
    ] {
        assert_eq!(found[id], expected, "{id}");
    }
    assert_eq!(found.len(), 20);
}
