//! Answers that the real service gave, recorded by its tools' own tests.
//!
//! The recordings stand in `azure/recorded` of the folder that the environment variable `NSGSIM_SHARED` names (under
//! `data`), and in the folders of `NSGSIM_RECORDED`, separated by `:`. Without either there is nothing to do.

mod diagnostics;
mod routes;
mod rules;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nsgsim::analyze::check;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{Document, answers, from_documents};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{Answer, StepAnswer, VerdictKind};
use serde_json::{Value, json};

use crate::engine::{ENGINES, Judging};

/// Answers that hang on what their recording does not hold: its name, the number of the query in it, and what is
/// missing.
const EXCUSED: &[(&str, usize, &str)] = &[
    (
        "cli-2016-11-21-test_network_nic_convenience_commands-b8137e",
        0,
        "the NSG, the interface and its network",
    ),
    ("cli-2016-11-21-test_network_nic_convenience_commands-b8137e", 1, "the interface and its network"),
    (
        "cli-2017-08-24-test_network_nic_convenience_commands-396a4e",
        0,
        "the NSG, the interface and its network",
    ),
    ("cli-2017-08-24-test_network_nic_convenience_commands-396a4e", 1, "the interface and its network"),
    (
        "cli-2017-12-05-test_network_nic_convenience_commands-52f18f",
        0,
        "the NSG, the interface and its network",
    ),
    ("cli-2017-12-05-test_network_nic_convenience_commands-52f18f", 1, "the interface and its network"),
    (
        "cli-2018-09-11-test_network_watcher_vm-6fa6e3",
        1,
        "the NSG `rg-cleanupservice-nsg5` that something else had put on the subnet, which was asked first",
    ),
    (
        "cli-2018-09-11-test_network_watcher_vm-6fa6e3",
        3,
        "the NSG `cleanupservice` that something else had put on the subnet, whose rule decided",
    ),
    (
        "cli-2018-09-11-test_network_watcher_vm-6fa6e3",
        5,
        "the NSG `rg-cleanupservice-nsg5` that something else had put on the subnet, whose rules are listed",
    ),
    (
        "cli-2019-02-20-test_network_watcher_vm-6a22bb",
        1,
        "the NSG `rg-cleanupservice-nsg6` that something else had put on the subnet, which was asked first",
    ),
    (
        "cli-2019-02-20-test_network_watcher_vm-6a22bb",
        3,
        "the NSG `cleanupservice` that something else had put on the subnet, whose rule decided",
    ),
    (
        "cli-2019-02-20-test_network_watcher_vm-6a22bb",
        5,
        "the NSG `rg-cleanupservice-nsg6` that something else had put on the subnet, whose rules are listed",
    ),
    ("libraries-for-java-2017-06-28-testNetworkWatcherFunctions-cce295", 2, "the question"),
    ("libraries-for-java-2017-07-21-testManageNetworkWatcher-68e153", 1, "the question"),
    ("libraries-for-java-2017-08-25-testNetworkWatcherFunctions-52a6f7", 2, "the question"),
    (
        "libraries-for-java-2019-09-26-testNetworkWatcherFunctions-adc198",
        1,
        "the NSG `rg-cleanupservice-nsg2` that something else had put on the subnet, whose rules are listed",
    ),
    ("libraries-for-java-2019-09-26-testNetworkWatcherFunctions-adc198", 2, "the question"),
    (
        "libraries-for-java-2019-09-26-testNetworkWatcherFunctions-adc198",
        4,
        "the question, the machine at the other end, and a verdict: the service says `Unknown`",
    ),
    (
        "xplat-cli-2017-02-13-network_watchers_ip-flow-verify_should_display_ip_flow_details-354001",
        0,
        "every resource, and the question",
    ),
    (
        "xplat-cli-2017-02-13-network_watchers_security-group-view_should_perform_get_vm_security_r",
        0,
        "every resource",
    ),
    (
        "xplat-cli-2017-08-15-network_watchers_ip-flow-verify_should_perform_verify_ip_flow_operati",
        0,
        "every resource",
    ),
    (
        "xplat-cli-2017-10-05-network_watchers_security-group-view_should_perform_get_vm_security_r",
        0,
        "every resource",
    ),
];

/// Answers that contradict a clause, in nothing but this: the recording's name, the number of the query in it, the
/// clause, and all that differs.
const CONTRADICTED: &[(&str, usize, &str, &str)] = &[
    (
        "cli-2017-11-01-test_network_nic_convenience_commands-efe0b9",
        0,
        "TAG-10, as TAG-20 tells",
        INTERNET_OF_2017_09,
    ),
    (
        "cli-2019-04-17-test_network_nic_convenience_commands-54725d",
        0,
        "TAG-10, as TAG-20 tells",
        INTERNET_OF_2019,
    ),
    ("cli-2019-04-17-test_network_nic_convenience_commands-54725d", 1, "ROUTE-3", NO_172_16),
    (
        "cli-2019-10-14-test_network_nic_convenience_commands-af8184",
        0,
        "TAG-10, as TAG-20 tells",
        INTERNET_OF_2019,
    ),
    ("cli-2019-10-14-test_network_nic_convenience_commands-af8184", 1, "ROUTE-3", NO_172_16),
    (
        "cli-2020-04-16-test_network_nic_convenience_commands-7afec6",
        0,
        "TAG-10, as TAG-20 tells",
        INTERNET_OF_2019,
    ),
    ("cli-2020-04-16-test_network_nic_convenience_commands-7afec6", 1, "ROUTE-3", NO_172_16),
    (
        "libraries-for-net-2017-09-12-CanWatchNetwork-511748",
        2,
        "TAG-10, as TAG-20 tells",
        INTERNET_OF_2017_09,
    ),
];

/// 25.25.0.0/16, 25.26.0.0/15, 25.132.0.0/14, 25.136.0.0/14, 25.140.0.0/15 and 25.240.0.0/14 belong to it.
const INTERNET_OF_2017_09: &str = "Internet: 1114112 addresses more, 0 fewer";
/// More parts of 25.0.0.0/8 belong to it, and ranges that Microsoft uses itself do not.
const INTERNET_OF_2019: &str = "Internet: 1167616 addresses more, 35752448 fewer";
const NO_172_16: &str = "the service lacks Default 172.16.0.0/12 None Active";

/// Operations whose answers state neither a verdict nor a rule nor a route.
const WITHOUT_A_VERDICT: [&str; 1] = ["topology"];

/// The operations whose answers are reproduced, with the test that does it.
const REPRODUCED: [&str; 7] = [
    "ipFlowVerify",
    "nextHop",
    "effectiveNetworkSecurityGroups",
    "effectiveRouteTable",
    "securityGroupView",
    "networkConfigurationDiagnostic",
    "connectivityCheck",
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

/// The interface of the machine with this ID; nothing if it has none or several here.
fn nic_of(network: &Network, machine: &Value) -> Option<NicIndex> {
    let machine = machine.as_str()?;
    let attached = |nic: &NicIndex| {
        let attached = network.nics[nic.get()].machine.as_ref();
        attached.is_some_and(|attached| attached.as_str().eq_ignore_ascii_case(machine))
    };
    let found: Vec<NicIndex> = (0..network.nics.len()).map(NicIndex::new).filter(attached).collect();
    match found[..] {
        [nic] => Some(nic),
        _ => None,
    }
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

/// What agreed, or all that differs.
type Judged = Result<String, String>;

/// Asks `judge` about every answer of an operation. What differs must be excused by name, or contradict a clause in
/// just what is stated; what agrees must not be.
fn judge_all(operation: &str, judge: impl Fn(&Recording, &Network, &Value) -> Judged) {
    assert!(REPRODUCED.contains(&operation), "{operation} is judged and must be said to be");
    let (mut agreed, mut excused, mut contradicted, mut wrong) = (0, 0, 0, Vec::new());
    for recording in recordings() {
        let network = recording.network();
        for (number, query) in recording.queries(operation) {
            let line = format!("{} query {number}", recording.name);
            let is_it = |name: &str, at: usize| recording.name == name && number == at;
            let reason = EXCUSED.iter().find(|(name, at, _)| is_it(name, *at));
            let known = CONTRADICTED.iter().find(|(name, at, ..)| is_it(name, *at));
            match (judge(&recording, &network, query), reason, known) {
                (Ok(what), None, None) => {
                    agreed += 1;
                    println!("ok       {line}: {what}");
                }
                (Err(_), Some((_, _, missing)), None) => {
                    excused += 1;
                    println!("excused  {line}: the recording lacks {missing}");
                }
                (Err(found), None, Some((_, _, clause, stated))) if found == *stated => {
                    contradicted += 1;
                    println!("against  {line}: {clause}: {found}");
                }
                (Ok(what), ..) => wrong.push(format!("{line}: agrees, but is excused: {what}")),
                (Err(found), ..) => wrong.push(format!("{line}: differs: {found}")),
            }
        }
    }
    println!(
        "{operation}: {agreed} agree, {excused} excused, {contradicted} against a clause, {} differ",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let recorded = env::var_os("NSGSIM_SHARED").is_some();
    assert!(!recorded || agreed + contradicted > 0, "no answer of {operation} was compared");
}

#[test]
fn every_answer_is_of_an_operation_that_is_judged() {
    for recording in recordings() {
        for (number, query) in recording.list("queries").iter().enumerate() {
            let operation = query["operation"].as_str().expect("an operation");
            assert!(
                REPRODUCED.contains(&operation) || WITHOUT_A_VERDICT.contains(&operation),
                "{} query {number}: nothing reproduces {operation}",
                recording.name
            );
        }
    }
}

#[test]
fn what_is_excused_is_recorded() {
    let recordings = recordings();
    if env::var_os("NSGSIM_SHARED").is_none() {
        return;
    }
    let excused = EXCUSED.iter().map(|(name, at, _)| (name, at));
    for (name, at) in excused.chain(CONTRADICTED.iter().map(|(name, at, ..)| (name, at))) {
        let recording = recordings.iter().find(|recording| recording.name == *name);
        assert!(
            recording.is_some_and(|recording| recording.list("queries").len() > *at),
            "{name} query {at}"
        );
    }
}

/// What `effective --check` finds in an answer must be what the tests above find: nothing, or the one thing that
/// contradicts a clause.
#[test]
fn the_check_finds_no_more_and_no_less() {
    let mut compared = 0;
    for recording in recordings() {
        let network = recording.network();
        for (number, query) in recording.list("queries").iter().enumerate() {
            let is_it = |name: &str, at: usize| recording.name == name && number == at;
            let Some(nic) = checked_nic(&network, query) else { continue };
            if EXCUSED.iter().any(|(name, at, _)| is_it(name, *at)) {
                continue;
            }
            let bytes = serde_json::to_vec(&query["answer"]).expect("a JSON value can be written");
            let document = Document { name: recording.name.clone(), bytes };
            let answered = answers::from_document(&document)
                .unwrap_or_else(|error| panic!("{} query {number}: {error}", recording.name));
            let tags = Arc::new(TagCatalog::default());
            let compiled = CompiledNetwork::new(Arc::new(network.clone()), tags, CompileOptions::default());
            let found = check::check(&Arc::new(compiled), nic, &answered).expect("it is about the interface");
            let expected = usize::from(CONTRADICTED.iter().any(|(name, at, ..)| is_it(name, *at)));
            let line = format!("{} query {number}", recording.name);
            assert_eq!(found.differences.len(), expected, "{line}: {:?}", found.differences);
            assert!(found.rules + found.routes + found.packets > 0, "{line}: nothing was compared");
            compared += 1;
        }
    }
    let recorded = env::var_os("NSGSIM_SHARED").is_some();
    assert!(!recorded || compared > 0, "nothing was checked");
}

/// The interface that an answer which can be checked is about.
fn checked_nic(network: &Network, query: &Value) -> Option<NicIndex> {
    let id = match query["operation"].as_str()? {
        "effectiveNetworkSecurityGroups" | "effectiveRouteTable" => {
            let target = query["target"].as_str()?;
            &target[..target.rfind('/')?]
        }
        "securityGroupView" => query["answer"]["networkInterfaces"][0]["id"].as_str()?,
        "networkConfigurationDiagnostic" => return nic_of(network, &question(query)?["targetResourceId"]),
        _ => return None,
    };
    network.find_nic(id).first().copied()
}

#[test]
fn ip_flow_verify_answers_as_the_service_did() {
    let tags = TagCatalog::default();
    judge_all("ipFlowVerify", |_, network, query| {
        let text = |member: &str| query["answer"][member].as_str().unwrap_or_default().to_owned();
        let expected = (text("access"), bare(&text("ruleName")).to_owned());
        let question = question(query).ok_or("no question")?;
        let nic = target(network, question).ok_or("no interface")?;
        let (packet, direction) = packet(question);
        for (name, make) in ENGINES {
            let found = spelt(
                network,
                &make(network.clone(), &tags, Judging::default()).ip_flow(nic, direction, &packet),
            );
            if found.0 != expected.0 || !found.1.eq_ignore_ascii_case(&expected.1) {
                return Err(format!("{name}: expected {expected:?}, found {found:?}"));
            }
        }
        Ok(format!("{} by {}", expected.0, expected.1))
    });
}
