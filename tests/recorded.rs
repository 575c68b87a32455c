//! Answers that the real service gave, recorded by its tools' own tests.
//!
//! The recordings stand in `azure/recorded` of the folder that the environment variable `NSGSIM_SHARED` names (under
//! `data`), and in the folders of `NSGSIM_RECORDED`, separated by `:`. Without either there is nothing to do.

#[path = "conformance/engine.rs"]
mod engine;
mod oracle;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use nsgsim::ingest::azure::{Document, from_documents};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::nsg::Nsg;
use nsgsim::model::prefix::Prefix;
use nsgsim::model::rule::{Direction, Protocol, ProtocolMatch, Rule};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{Answer, StepAnswer, VerdictKind};
use serde_json::{Value, json};

use crate::engine::ENGINES;

/// Answers that hang on what their recording does not hold: its name, the number of the query in it, and what is
/// missing.
const EXCUSED: [(&str, usize, &str); 4] = [
    (
        "cli-2018-09-11-test_network_watcher_vm-6fa6e3",
        3,
        "the NSG `cleanupservice` that something else had put on the subnet, whose rule decided",
    ),
    (
        "cli-2019-02-20-test_network_watcher_vm-6a22bb",
        3,
        "the NSG `cleanupservice` that something else had put on the subnet, whose rule decided",
    ),
    (
        "xplat-cli-2017-02-13-network_watchers_ip-flow-verify_should_display_ip_flow_details-354001",
        0,
        "every resource, and the question",
    ),
    (
        "xplat-cli-2017-08-15-network_watchers_ip-flow-verify_should_perform_verify_ip_flow_operati",
        0,
        "every resource",
    ),
];

/// A recording.
struct Recording {
    name: String,
    content: Value,
}

fn recordings() -> Vec<Recording> {
    let shared = env::var_os("NSGSIM_SHARED").map(|shared| Path::new(&shared).join("data/azure/recorded"));
    let more = env::var_os("NSGSIM_RECORDED").unwrap_or_default();
    let more: Vec<PathBuf> = env::split_paths(&more).filter(|folder| folder != Path::new("")).collect();
    let mut paths = Vec::new();
    for folder in shared.into_iter().chain(more) {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        paths.extend(entries.map(|entry| entry.expect("a folder can be listed").path()));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    if paths.is_empty() {
        println!("skipped: neither NSGSIM_SHARED nor NSGSIM_RECORDED names recordings");
    }
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let content =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().expect("the path is a file's").to_string_lossy().into_owned();
        Recording { name, content }
    };
    paths.iter().map(read).collect()
}

impl Recording {
    fn list(&self, member: &str) -> &[Value] {
        self.content[member].as_array().map_or(&[], Vec::as_slice)
    }

    fn queries(&self, operation: &str) -> impl Iterator<Item = (usize, &Value)> {
        let queries = self.list("queries").iter().enumerate();
        queries.filter(move |(_, query)| query["operation"] == *operation)
    }

    /// The network resources as the service returned them, and those that the template alone has. Of these the
    /// recording does not tell the IDs: they are made from the group of the others.
    fn resources(&self) -> Vec<Value> {
        let mut resources: Vec<Value> = Vec::new();
        let of_network = |resource: &&Value| is_network(resource) && resource["id"].is_string();
        for resource in self.list("resources").iter().filter(of_network) {
            resources.push(resource.clone());
        }
        let group = self.list("resources").iter().find_map(|resource| {
            let id = resource["id"].as_str()?;
            Some(id[..id.find("/providers/")?].to_owned())
        });
        let Some(group) = group else { return resources };
        for resource in
            self.list("deploymentTemplateResources").iter().filter(|resource| is_network(resource))
        {
            let mut resource = resource.clone();
            let (kind, name) = (resource["type"].as_str(), resource["name"].as_str());
            let id = format!("{group}/providers/{}/{}", kind.unwrap_or_default(), name.unwrap_or_default());
            let is_it =
                |other: &Value| other["id"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(&id));
            if resources.iter().any(is_it) {
                continue;
            }
            resource["id"] = json!(id);
            for subnet in resource["properties"]["subnets"].as_array_mut().into_iter().flatten() {
                subnet["id"] = json!(format!("{id}/subnets/{}", subnet["name"].as_str().unwrap_or_default()));
            }
            resources.push(resource);
        }
        resources
    }

    fn network(&self) -> Network {
        let bytes = serde_json::to_vec(&self.resources()).expect("a JSON value can be written");
        let document = Document { name: self.name.clone(), bytes };
        let loaded = from_documents(vec![document], None);
        loaded.unwrap_or_else(|error| panic!("{}: {error}", self.name)).network
    }
}

fn is_network(resource: &Value) -> bool {
    resource["type"].as_str().is_some_and(|kind| kind.to_ascii_lowercase().starts_with("microsoft.network/"))
}

/// A rule's own name, without the prefixes of NW-3.
fn bare(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.strip_prefix("UserRule_").or_else(|| name.strip_prefix("DefaultRule_")).unwrap_or(name)
}

/// The question of an `ipFlowVerify`; nothing if the recording does not keep it.
fn question(query: &Value) -> Option<&Value> {
    [&query["request"], &query["requestFromTestSource"]].into_iter().find(|request| request.is_object())
}

/// The packet that a question is about, and which way it goes. A port `*` is no particular port (NW-1).
fn packet(question: &Value) -> (Packet, Direction) {
    let text = |member: &str| question[member].as_str().unwrap_or_else(|| panic!("no `{member}`"));
    let end = |side: &str| {
        let address = text(&format!("{side}IPAddress")).parse().expect("an address");
        let port = match text(&format!("{side}Port")) {
            "*" => Port::NotGiven,
            number => Port::Number(number.parse().expect("a port")),
        };
        (address, port)
    };
    let (local, remote) = (end("local"), end("remote"));
    let protocol = Protocol::read(text("protocol")).expect("a protocol");
    let (direction, from, to) = match text("direction") {
        "Inbound" => (Direction::Inbound, remote, local),
        _ => (Direction::Outbound, local, remote),
    };
    let tuple = FiveTuple {
        source: from.0,
        destination: to.0,
        protocol,
        source_port: from.1,
        destination_port: to.1,
    };
    (Packet::new(tuple), direction)
}

/// The interface of the machine that the question is about; of a machine whose ID is not kept, the only attached
/// interface with the local address.
fn target(network: &Network, question: &Value) -> Option<NicIndex> {
    let local = question["localIPAddress"].as_str()?.parse().ok()?;
    let machine = question["targetResourceId"].as_str();
    let asked = |nic: &NicIndex| {
        let nic = &network.nics[nic.get()];
        let on_it = nic.machine.as_ref().is_some_and(|attached| {
            machine.is_none_or(|machine| attached.as_str().eq_ignore_ascii_case(machine))
        });
        on_it && nic.ip_configurations.iter().any(|own| own.address == Some(local))
    };
    let found: Vec<NicIndex> = (0..network.nics.len()).map(NicIndex::new).filter(asked).collect();
    match found[..] {
        [nic] => Some(nic),
        _ => None,
    }
}

/// Access and deciding rule of an answer, in the service's words.
fn spelt(network: &Network, answer: &Answer) -> (String, String) {
    let access = match answer.verdict.kind() {
        VerdictKind::Allow => "Allow".to_owned(),
        VerdictKind::Deny => "Deny".to_owned(),
        VerdictKind::Mixed | VerdictKind::Undetermined => format!("{:?}", answer.verdict),
    };
    let rule = answer.steps.last().map_or(String::new(), |step| match step.answer {
        StepAnswer::Rule(hit) => network.nsgs[hit.nsg.get()].rules[hit.rule as usize].name.clone(),
        other => format!("{other:?}"),
    });
    (access, rule)
}

#[test]
fn ip_flow_verify_answers_as_the_service_did() {
    let (mut agreed, mut excused, mut wrong) = (0, 0, Vec::new());
    let tags = TagCatalog::default();
    for recording in recordings() {
        let network = recording.network();
        for (number, query) in recording.queries("ipFlowVerify") {
            let line = format!("{} query {number}", recording.name);
            let reason = EXCUSED.iter().find(|(name, at, _)| recording.name == *name && number == *at);
            let text = |member: &str| query["answer"][member].as_str().unwrap_or_default().to_owned();
            let expected = (text("access"), bare(&text("ruleName")).to_owned());
            let asked = question(query).and_then(|question| Some((question, target(&network, question)?)));
            let alike = asked.is_some_and(|(question, nic)| {
                let (packet, direction) = packet(question);
                ENGINES.iter().all(|(name, make)| {
                    let answer = make(network.clone(), &tags).ip_flow(nic, direction, &packet);
                    let found = spelt(&network, &answer);
                    let same = found.0 == expected.0 && found.1.eq_ignore_ascii_case(&expected.1);
                    if !same {
                        println!("{line}: {name}: expected {expected:?}, found {found:?}");
                    }
                    same
                })
            });
            match (alike, reason) {
                (true, None) => {
                    agreed += 1;
                    println!("ok       {line}: {} by {}", expected.0, expected.1);
                }
                (false, Some((_, _, missing))) => {
                    excused += 1;
                    println!("excused  {line}: the recording lacks {missing}");
                }
                (true, Some(_)) => wrong.push(format!("{line}: agrees, but is excused")),
                (false, None) => wrong.push(format!("{line}: differs")),
            }
        }
    }
    println!("{agreed} agree, {excused} excused, {} differ", wrong.len());
    assert!(excused <= 6 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn effective_rules_are_those_that_the_service_listed() {
    let (mut groups, mut expansions) = (0, 0);
    for recording in recordings() {
        let network = recording.network();
        for (number, query) in recording.queries("effectiveNetworkSecurityGroups") {
            let line = format!("{} query {number}", recording.name);
            for entry in query["answer"]["value"].as_array().into_iter().flatten() {
                let id = entry["networkSecurityGroup"]["id"].as_str().unwrap_or_default();
                let Some(nsg) = network.find_nsg(id).first().copied() else {
                    println!("excused  {line}: the recording lacks the NSG `{id}`");
                    continue;
                };
                let rules = entry["effectiveSecurityRules"].as_array().expect("effective rules");
                assert_eq!(listed(&network.nsgs[nsg.get()]), in_order(rules), "{line}");
                groups += 1;
                println!("ok       {line}: {} rules of `{id}`", rules.len());
                let nic = entry["association"]["networkInterface"]["id"].as_str();
                match nic.and_then(|nic| network.find_nic(nic).first().copied()) {
                    Some(nic) if network.subnet_of(nic).is_some() => {
                        expansions += expansions_agree(&network, nic, rules, &line);
                    }
                    _ => println!("excused  {line}: the recording lacks the interface or its network"),
                }
            }
        }
    }
    println!("{groups} NSGs and {expansions} expansions agree");
    let recorded = env::var_os("NSGSIM_SHARED").is_some();
    assert!(!recorded || (groups > 0 && expansions > 0), "nothing was compared");
}

/// What is compared of a rule: direction, priority, name, access, protocol.
type Told = (String, u64, String, String, String);

/// The rules of an NSG in the order in which they are tried.
fn listed(nsg: &Nsg) -> Vec<Told> {
    let told = |rule: &Rule| {
        let protocol = match &rule.protocol {
            ProtocolMatch::Any => "all".to_owned(),
            ProtocolMatch::Is(protocol) => protocol.to_string(),
            ProtocolMatch::Invalid(text) => text.clone(),
        };
        let (direction, access) = (rule.direction.to_string(), rule.access.to_string());
        (direction, u64::from(rule.priority.0), rule.name.to_ascii_lowercase(), access, protocol)
    };
    nsg.rules.iter().map(told).collect()
}

/// The effective rules, inbound ones first; within a direction in the order of the answer. The rules that only show
/// that nothing is left (DEF-4) are no rules of the NSG.
fn in_order(rules: &[Value]) -> Vec<Told> {
    let mut told: Vec<Told> = rules
        .iter()
        .map(|rule| {
            let text = |member: &str| rule[member].as_str().unwrap_or_default().to_ascii_lowercase();
            let name = bare(&text("name"))
                .trim_start_matches("userrule_")
                .trim_start_matches("defaultrule_")
                .to_owned();
            let priority = rule["priority"].as_u64().expect("a priority");
            (text("direction"), priority, name, text("access"), text("protocol").replace('*', "all"))
        })
        .filter(|(_, _, name, _, _)| {
            !["defaultinbounddenyall", "defaultoutbounddenyall"].contains(&name.as_str())
        })
        .collect();
    told.sort_by_key(|rule| rule.0.clone());
    told
}

/// Whether `VirtualNetwork` holds what the service expands it to, and nothing next to it. Tells how many expansions
/// were compared.
fn expansions_agree(network: &Network, nic: NicIndex, rules: &[Value], line: &str) -> usize {
    // With the default rules alone, which one decides tells whether the tag holds the source.
    let mut bare_network = network.clone();
    for nsg in &mut bare_network.nsgs {
        *nsg = Nsg::new(nsg.id.clone(), Vec::new());
    }
    let own =
        network.nics[nic.get()].ip_configurations.iter().find_map(|own| own.address).expect("an address");
    let tags = TagCatalog::default();
    let mut compared = 0;
    for rule in rules.iter().filter(|rule| rule["sourceAddressPrefix"] == "VirtualNetwork") {
        let Some(prefixes) = rule["expandedSourceAddressPrefix"].as_array() else { continue };
        let expanded: BTreeSet<Prefix> = prefixes
            .iter()
            .map(|prefix| prefix.as_str().expect("a text").parse().expect("a range"))
            .collect();
        let mut probes = BTreeSet::new();
        for prefix in &expanded {
            let (std::net::IpAddr::V4(first), std::net::IpAddr::V4(last)) =
                (prefix.network(), prefix.broadcast())
            else {
                continue;
            };
            let (first, last) = (u32::from(first), u32::from(last));
            probes.extend([first.saturating_sub(1), first, last, last.saturating_add(1)]);
        }
        for probe in probes {
            let source = std::net::IpAddr::from(std::net::Ipv4Addr::from(probe));
            let tuple = FiveTuple {
                source,
                destination: own,
                protocol: Protocol::TCP,
                source_port: Port::Number(1000),
                destination_port: Port::Number(80),
            };
            let inside = expanded.iter().any(|prefix| prefix.contains(&source));
            for (name, make) in ENGINES {
                let engine = make(bare_network.clone(), &tags);
                let answer = engine.ip_flow(nic, Direction::Inbound, &Packet::new(tuple));
                let decided = spelt(&bare_network, &answer).1;
                assert_eq!(
                    decided == "AllowVnetInBound",
                    inside,
                    "{line}: {name}: {source} decided by {decided}"
                );
            }
        }
        compared += 1;
    }
    compared
}
