//! Flow logs through the network: each tuple is judged at the interface that wrote it, and what was recorded is held
//! against what is simulated (LOG-5, LOG-10).

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::build;
use crate::build::{Build, rule};
use crate::program;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{Document, from_documents};
use nsgsim::ingest::capture::flow_log;
use nsgsim::model::id::ResourceId;
use nsgsim::model::network::Network;
use nsgsim::model::reason_code::ReasonCode;
use nsgsim::model::record::Location;
use nsgsim::model::recorded::RecordedFlow;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::agreement::{Class, is_same_rule};
use nsgsim::replay::conversations::Conversation;
use nsgsim::replay::recorded::Entry;
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use nsgsim::replay::tally::Decider;
use serde_json::{Value, json};

const MAC: &str = "0000000000A4";

/// Two subnets; in the first an interface that writes logs, under an NSG that takes HTTPS and one of its own that takes
/// less.
fn network() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("vnet", &["10.0.0.0/16"]);
    let (app, bare) =
        (network.subnet(vnet, "app", "10.0.1.0/24"), network.subnet(vnet, "bare", "10.0.2.0/24"));
    let nic = network.nic(app, "nic", &["10.0.1.4"]);
    network.nics[nic.get()].mac = Some([0, 0, 0, 0, 0, 0xa4]);
    let of_nic = network.nsg("nsg-nic", vec![rule("in 200 deny tcp 192.0.2.0/24 * -> * *")]);
    let of_subnet = network.nsg(
        "nsg-subnet",
        vec![
            rule("in 100 allow tcp * * -> * 443"),
            rule("out 100 deny tcp * * -> * 25"),
            rule("out 110 deny * * * -> 168.63.129.16/32 *"),
        ],
    );
    network.nsgs[of_subnet.get()].resource_guid = Some("01020304-0506-0708-090A-0B0C0D0E0F10".to_owned());
    network.nics[nic.get()].nsg = Some(nsgsim::model::index::Reference::Here(of_nic));
    for subnet in [app, bare] {
        network.subnets[subnet.get()].nsg = Some(nsgsim::model::index::Reference::Here(of_subnet));
    }
    network
}

fn compiled(network: Network) -> Arc<CompiledNetwork> {
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default()))
}

/// A VNet log of one record.
fn vnet_log(mac: &str, acl: &str, groups: &[(&str, &[&str])]) -> Value {
    let groups: Vec<Value> =
        groups.iter().map(|(rule, tuples)| json!({"rule": rule, "flowTuples": tuples})).collect();
    json!({"records": [{
        "time": "2026-01-01T00:01:00Z",
        "macAddress": mac,
        "category": "FlowLogFlowEvent",
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": acl, "flowGroups": groups}]},
    }]})
}

fn entries(log: &Value) -> Vec<Entry> {
    let text = log.to_string();
    let mut entries = Vec::new();
    let read = flow_log::read("log", 0, text.as_bytes(), |item| {
        let location = Location { file: 0, number: entries.len() as u64 + 1 };
        entries.push(match item {
            Ok(flow) => Entry::Flow(RecordedFlow { location, ..flow.into() }),
            Err(skipped) => Entry::Unread { location, count: skipped.tuples.unwrap_or(1) },
        });
    });
    assert_eq!(read.expect("the log is one").damage, None);
    entries
}

fn replayed(compiled: &Arc<CompiledNetwork>, entries: &[Entry]) -> (Totals, Vec<Conversation>) {
    let mut replay =
        Replay::new(Arc::clone(compiled), ReplayOptions { flows: true, ..ReplayOptions::default() });
    let mut flows = Vec::new();
    // Flows go on from batch to batch.
    for batch in entries.chunks(2) {
        flows.extend(replay.feed_recorded(batch).flows);
    }
    let (totals, last) = replay.finish();
    flows.extend(last);
    (totals, flows)
}

fn classes(totals: &Totals) -> Vec<(Class, u64)> {
    totals.agreement.classes().into_iter().collect()
}

#[test]
fn a_beginning_starts_a_flow_and_what_follows_continues_it() {
    let log = vnet_log(
        MAC,
        "unspecified",
        &[(
            "UserRule_in-100",
            &[
                "1767225600000,10.0.2.7,10.0.1.4,50000,443,6,I,B,NX,0,0,0,0",
                "1767225601000,10.0.2.7,10.0.1.4,50000,443,6,I,C,NX,3,300,2,200",
                "1767225602000,10.0.2.7,10.0.1.4,50000,443,6,I,E,NX,1,40,1,60",
                // After its end, another flow; and one whose beginning is in no log.
                "1767225603000,10.0.2.7,10.0.1.4,50000,443,6,I,B,NX,0,0,0,0",
                "1767225604000,10.0.2.8,10.0.1.4,50001,443,6,I,C,NX,5,500,,",
            ],
        )],
    );
    let (totals, flows) = replayed(&compiled(network()), &entries(&log));
    assert_eq!((totals.ledger.read, totals.ledger.evaluated.allow), (5, 5));
    let hits = totals.tally.verdicts[&VerdictKind::Allow];
    assert_eq!((hits.flows, hits.packets, hits.bytes), (3, 12, 1100));
    // Agreement counts flows, not tuples, and not those that began nobody knows when.
    assert_eq!(classes(&totals), [(Class::AgreeAllow, 2)]);
    let rows: Vec<_> = flows.iter().map(|flow| (flow.location.number, flow.packets, flow.bytes)).collect();
    assert_eq!(rows, [(1, 7, 600), (4, 0, 0), (5, 5, 500)]);
}

#[test]
fn the_same_ports_in_the_other_direction_are_another_flow() {
    let log = vnet_log(
        MAC,
        "unspecified",
        &[(
            "DefaultRule_AllowVnetOutBound",
            &[
                "1767225600000,10.0.1.4,10.0.2.9,443,50000,6,O,B,NX,0,0,0,0",
                "1767225601000,10.0.2.9,10.0.1.4,50000,443,6,I,C,NX,3,300,2,200",
            ],
        )],
    );
    let (totals, _) = replayed(&compiled(network()), &entries(&log));
    assert_eq!(totals.tally.verdicts[&VerdictKind::Allow].flows, 2);
}

/// EVAL-2, EVAL-3: inbound the subnet's NSG is asked first, then the NIC's; LOG-5: the last that allows is named.
#[test]
fn the_rule_is_that_of_the_nsg_that_denies_or_the_last_that_allows() {
    let network = network();
    let log = vnet_log(
        MAC,
        "nsg-nic",
        &[
            ("DefaultRule_AllowVnetInBound", &["1767225600000,10.0.2.9,10.0.1.4,50000,443,6,I,B,NX,0,0,0,0"]),
            ("UserRule_in-200", &["1767225600000,192.0.2.1,10.0.1.4,50000,443,6,I,D,NX,0,0,0,0"]),
            // Nothing but HTTPS passes the subnet's NSG.
            ("DefaultRule_DenyAllInBound", &["1767225600000,192.0.2.1,10.0.1.4,50000,22,6,I,D,NX,0,0,0,0"]),
        ],
    );
    let compiled = compiled(network);
    let (totals, _) = replayed(&compiled, &entries(&log));
    assert_eq!(classes(&totals), [(Class::AgreeAllow, 1), (Class::AgreeDeny, 2)]);
    let found: Vec<_> = totals
        .agreement
        .pairs()
        .into_keys()
        .map(|pair| {
            let Decider::Rule { nsg, rule, .. } = pair.decider else { panic!("{:?}", pair.decider) };
            let nsg = &compiled.network.nsgs[nsg.get()];
            (
                nsg.id.name().to_owned(),
                nsg.rules[rule as usize].name.clone(),
                is_same_rule(&compiled.network, pair),
            )
        })
        .map(|(nsg, rule, same)| format!("{nsg} {rule} {}", same.expect("the log names a rule")))
        .collect();
    assert_eq!(
        found,
        [
            "nsg-nic AllowVnetInBound true",
            // The log says that it was the NIC's NSG, which was not asked.
            "nsg-subnet DenyAllInBound false",
            "nsg-nic in-200 true",
        ]
    );
}

#[test]
fn an_nsg_is_known_by_name_by_id_and_by_guid() {
    let tuple = "1767225600000,10.0.1.4,203.0.113.9,50000,25,6,O,D,NX,0,0,0,0";
    let id = build::id("networkSecurityGroups", "nsg-subnet");
    for (acl, same) in [
        ("NSG-SUBNET", true),
        (id.as_str(), true),
        ("01020304-0506-0708-090a-0b0c0d0e0f10", true),
        ("nsg-sub", false),
        ("nsg-nic", false),
        ("/subscriptions/1/nsg-subnet", false),
        ("11020304-0506-0708-090a-0b0c0d0e0f10", false),
    ] {
        let log = vnet_log(MAC, acl, &[("UserRule_out-100", &[tuple])]);
        let compiled = compiled(network());
        let (totals, _) = replayed(&compiled, &entries(&log));
        let pairs = totals.agreement.pairs();
        let pair = pairs.keys().next().expect("one flow");
        assert_eq!(is_same_rule(&compiled.network, pair), Some(same), "{acl}");
    }
    // Where the export has no GUID, one says nothing against the rule.
    let mut network = network();
    network.nsgs[1].resource_guid = None;
    let log = vnet_log(MAC, "11020304-0506-0708-090a-0b0c0d0e0f10", &[("UserRule_OUT-100", &[tuple])]);
    let compiled = compiled(network);
    let (totals, _) = replayed(&compiled, &entries(&log));
    let pairs = totals.agreement.pairs();
    assert_eq!(is_same_rule(&compiled.network, pairs.keys().next().expect("one flow")), Some(true));
}

#[test]
fn names_that_logs_cut_are_compared_as_far_as_they_go() {
    let long = "r".repeat(80);
    for (logged, same) in [(65, true), (64, false), (80, true)] {
        let mut network = network();
        let rules = &mut network.nsgs[1].rules;
        rules.iter_mut().find(|rule| rule.name == "out-110").expect("it is there").name = long.clone();
        let name = format!("UserRule_{}", &long[..logged]);
        let tuple = "1767225600000,10.0.1.4,168.63.129.16,50000,443,6,O,D,NX,0,0,0,0";
        let log = vnet_log(MAC, "nsg-subnet", &[(&name, &[tuple])]);
        let compiled = compiled(network);
        let (totals, _) = replayed(&compiled, &entries(&log));
        let pairs = totals.agreement.pairs();
        assert_eq!(
            is_same_rule(&compiled.network, pairs.keys().next().expect("one")),
            Some(same),
            "{logged}"
        );
    }
}

#[test]
fn each_contradiction_is_kept_with_both_verdicts() {
    let log = vnet_log(
        MAC,
        "nsg-subnet",
        &[
            ("UserRule_out-100", &["1767225600000,10.0.1.4,203.0.113.9,50000,25,6,O,B,NX,0,0,0,0"]),
            ("UserRule_in-100", &["1767225601000,198.51.100.7,10.0.1.4,50000,443,6,I,D,NX,0,0,0,0"]),
            ("PlatformRule", &["1767225602000,198.51.100.7,10.0.1.4,50000,444,6,I,B,NX,0,0,0,0"]),
        ],
    );
    let (totals, _) = replayed(&compiled(network()), &entries(&log));
    // The NIC's own NSG lets nothing in from the internet: the subnet's rule decides about none of these alone.
    assert_eq!(classes(&totals), [(Class::AgreeDeny, 1), (Class::LoggedAllowSimulatedDeny, 2)]);
    let kept: Vec<_> =
        totals.agreement.disagreements().iter().map(|one| (one.location.number, one.pair.kind)).collect();
    assert_eq!(kept, [(1, VerdictKind::Deny), (3, VerdictKind::Deny)]);
}

/// PLAT-2: name resolution at the platform is exempt from rules that do not name its tag.
#[test]
fn what_the_platform_exempts_is_exempt_at_the_interface() {
    let log = vnet_log(
        MAC,
        "unspecified",
        &[(
            "PlatformRule",
            &[
                "1767225600000,10.0.1.4,168.63.129.16,50000,53,17,O,B,NX,0,0,0,0",
                "1767225600000,10.0.1.4,168.63.129.16,50000,443,6,O,B,NX,0,0,0,0",
            ],
        )],
    );
    let (totals, _) = replayed(&compiled(network()), &entries(&log));
    assert_eq!(classes(&totals), [(Class::AgreeAllow, 1), (Class::LoggedAllowSimulatedDeny, 1)]);
    assert!(totals.tally.deciders.keys().any(|(decider, _)| matches!(decider, Decider::PlatformRule(_))));
}

#[test]
fn an_interface_is_found_by_its_mac_address_and_else_by_its_own_address() {
    let tuple = |source: &str| format!("1767225600000,{source},203.0.113.9,50000,25,6,O,D,NX,0,0,0,0");
    let other = "0000000000FF";
    let outcome = |network: Network, mac: &str, source: &str| {
        let tuple = tuple(source);
        let log = vnet_log(mac, "nsg-subnet", &[("UserRule_out-100", &[&tuple])]);
        let (totals, _) = replayed(&compiled(network), &entries(&log));
        let ledger = &totals.ledger;
        let set_aside = ledger.out_of_scope.by_reason.keys().chain(ledger.undetermined.by_reason.keys());
        (ledger.evaluated.deny, set_aside.copied().collect::<Vec<_>>())
    };
    // By the MAC address, whatever address it forwards.
    assert_eq!(outcome(network(), MAC, "10.0.1.4"), (1, vec![]));
    assert_eq!(outcome(network(), MAC, "172.16.0.9"), (1, vec![]));
    // Another machine has the address now.
    assert_eq!(outcome(network(), other, "10.0.1.4"), (0, vec![ReasonCode::NicNotInNetwork]));
    // The export does not tell the MAC address.
    let mut untold = network();
    untold.nics[0].mac = None;
    assert_eq!(outcome(untold, other, "10.0.1.4"), (1, vec![]));
    // An interface that the export does not list, in a subnet that denies what it sends anyway.
    assert_eq!(outcome(network(), other, "10.0.2.9"), (1, vec![]));
    assert_eq!(outcome(network(), other, "192.0.2.7"), (0, vec![ReasonCode::NicNotInNetwork]));
    // Two networks that both have the address.
    let mut twice = network();
    twice.nics[0].mac = None;
    let again = twice.vnet("vnet2", &["10.0.0.0/16"]);
    let subnet = twice.subnet(again, "app2", "10.0.1.0/24");
    twice.nic(subnet, "nic2", &["10.0.1.4"]);
    assert_eq!(outcome(twice, other, "10.0.1.4"), (0, vec![ReasonCode::AmbiguousPlace]));
}

#[test]
fn what_cannot_be_read_is_in_the_ledger() {
    let log = vnet_log(
        MAC,
        "nsg-subnet",
        &[
            (
                "UserRule_out-100",
                &["1767225600000,10.0.1.4,203.0.113.9,50000,25,6,O,D,NX,0,0,0,0", "1767225600000"],
            ),
            ("UserRule_", &["a", "b", "c"]),
        ],
    );
    let (totals, _) = replayed(&compiled(network()), &entries(&log));
    assert_eq!(totals.ledger.read, 5);
    let skipped = &totals.ledger.skipped.by_reason[&ReasonCode::DamagedEntry];
    assert_eq!((skipped.count, skipped.first.number), (4, 2));
}

fn shared() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("NSGSIM_SHARED")?).join("data/flow-logs");
    assert!(folder.is_dir(), "{}: no such folder", folder.display());
    Some(folder)
}

/// The one published log whose rules are known. Two flows were let in by the platform's own rule, of which no export
/// tells; all others agree, by the same rule.
#[test]
fn a_published_log_agrees_with_the_rules_that_it_was_written_under() {
    let Some(folder) = shared() else {
        eprintln!("skipped: NSGSIM_SHARED is not set");
        return;
    };
    let text = fs::read_to_string(folder.join("vnet-v4-2026-08-13.nsg.json")).expect("the rules are there");
    let nsg = serde_json::from_str::<Value>(&text).expect("it is JSON")["networkSecurityGroup"].clone();
    let id = ResourceId::new(nsg["id"].as_str().expect("it has an ID")).expect("it is an ID");
    let provider =
        id.as_str().split("/networkSecurityGroups/").next().expect("it is of a provider").to_owned();
    let vnet = format!("{provider}/virtualNetworks/ShopStream-VNet");
    let subnet = format!("{vnet}/subnets/Supplier-Subnet");
    let network = json!([
        nsg,
        {"type": "Microsoft.Network/virtualNetworks", "id": vnet, "name": "ShopStream-VNet", "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"id": subnet, "name": "Supplier-Subnet", "properties": {
                "addressPrefix": "10.0.5.0/24", "networkSecurityGroup": {"id": id.as_str()},
            }}],
        }},
        {"type": "Microsoft.Network/networkInterfaces", "id": format!("{provider}/networkInterfaces/nic"),
         "name": "nic", "properties": {"macAddress": "00-22-48-6D-BA-37", "ipConfigurations": [
            {"name": "ipconfig1", "properties": {
                "privateIPAddress": "10.0.5.4", "primary": true, "subnet": {"id": subnet},
            }},
        ]}},
    ]);
    let document = Document { name: "network.json".to_owned(), bytes: network.to_string().into_bytes() };
    let network = from_documents(vec![document], None).expect("the network is one").network;
    let compiled = compiled(network);
    let mut entries = Vec::new();
    let log = folder.join("vnet-v4-2026-08-13-part-PT1H.json");
    let read = flow_log::read_file(&log, 0, |item| {
        let location = Location { file: 0, number: entries.len() as u64 + 1 };
        entries.push(Entry::Flow(RecordedFlow { location, ..item.expect("all tuples are whole").into() }));
    });
    assert_eq!(read.expect("it is a log").flows, 30);
    let (totals, _) = replayed(&compiled, &entries);
    assert_eq!(totals.ledger.evaluated.total(), 30);
    assert_eq!(
        classes(&totals),
        [(Class::AgreeAllow, 1), (Class::AgreeDeny, 24), (Class::LoggedAllowSimulatedDeny, 2)]
    );
    for (pair, flows) in totals.agreement.pairs() {
        let by_platform = pair.rule.as_ref().is_some_and(|rule| &*rule.name == "PlatformRule");
        assert_eq!(Class::of(pair.access, pair.kind).disagrees(), by_platform, "{pair:?}, {flows} flows");
        assert_eq!(is_same_rule(&compiled.network, pair), Some(!by_platform), "{pair:?}");
    }
}

fn run(arguments: &[&str]) -> Vec<u8> {
    let output = program::nsgsim(arguments).output().expect("the program runs");
    let code = output.status.code();
    assert!(code == Some(0), "{arguments:?}: {code:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A folder of the test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Of a run before.
    let _gone = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("the path is text").to_owned()
}

/// Rows of a replay's `--decisions`, as maps.
fn decisions(folder: &Path, log: &str, more: &[&str]) -> Vec<BTreeMap<String, Value>> {
    let rows = path(folder, "rows.ndjson");
    let arguments =
        [&["replay", "-q", "-s", "data/example", log, "--decisions", &rows, "-o", "/dev/null"], more];
    run(&arguments.concat());
    let text = fs::read_to_string(&rows).expect("the rows were written");
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

/// What a row is about.
fn flow(row: &BTreeMap<String, Value>) -> String {
    let members =
        ["source", "source_port", "destination", "destination_port", "protocol", "direction", "nic"];
    members.map(|member| row[member].to_string()).join(" ")
}

#[test]
fn falsified_verdicts_are_found_exactly() {
    let folder = folder("falsified");
    for (format, skew) in [("vnet-flow-log", "zipf:0.5"), ("nsg-flow-log", "zipf:1")] {
        let (true_log, false_log) = (path(&folder, "true.json"), path(&folder, "false.json"));
        let generated =
            ["gen", "-q", "-s", "data/example", "--flows", "3000", "--skew", skew, "--as", format];
        run(&[&generated[..], &["-o", &true_log]].concat());
        run(&[&generated[..], &["--falsify", "0.05", "-o", &false_log]].concat());

        // What was written is what is simulated, by the same rules.
        let report = run(&["replay", "-q", "-s", "data/example", &true_log, "--format", "json"]);
        let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
        let agreement = &report["agreement"];
        let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} is no count"));
        assert_eq!(count(&agreement["logged_allow_simulated_deny"]), 0, "{format}");
        assert_eq!(count(&agreement["logged_deny_simulated_allow"]), 0, "{format}");
        assert_eq!(agreement["rules"]["compared"], agreement["rules"]["same"], "{format}");
        assert!(count(&agreement["rules"]["same"]) > 2000, "{format}: {}", agreement["rules"]);

        // What was falsified: where the two logs say different things of the same flow, told without the program.
        let verdicts = |log: &str| first_tuples(&fs::read_to_string(log).expect("the log was written"));
        let (told_truly, told_falsely) = (verdicts(&true_log), verdicts(&false_log));
        assert_eq!(told_truly.len(), told_falsely.len(), "{format}");
        let falsified: BTreeSet<&String> = told_truly
            .iter()
            .filter(|(flow, verdict)| told_falsely[*flow] != **verdict)
            .map(|(flow, _)| flow)
            .collect();
        assert!(falsified.len() > 50, "{format}: {}", falsified.len());

        let report = run(&["replay", "-q", "-s", "data/example", &false_log, "--format", "json"]);
        let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
        let agreement = &report["agreement"];
        let disagree = count(&agreement["logged_allow_simulated_deny"])
            + count(&agreement["logged_deny_simulated_allow"]);
        let found: BTreeSet<String> = agreement["disagreements"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| {
                one["explain"].as_array().expect("a list")[6..]
                    .iter()
                    .map(|word| word.as_str().expect("text"))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(disagree, agreement["disagreements"].as_array().expect("a list").len() as u64);
        let expected: BTreeSet<String> = falsified
            .iter()
            .map(|flow| flow.split_once('|').expect("a flow follows its interface").1.to_owned())
            .collect();
        let unknown: BTreeSet<_> = expected.difference(&found).collect();
        // Flows of which the verdict is open here are neither.
        assert!(unknown.len() as u64 <= count(&agreement["open"]), "{format}: {unknown:?}");
        assert!(
            found.is_subset(&expected),
            "{format}: {:?}",
            found.difference(&expected).collect::<Vec<_>>()
        );
    }
}

/// Each flow of a log, its interface and direction first, with the verdict that is recorded of it.
fn first_tuples(text: &str) -> BTreeMap<String, bool> {
    let log: Value = serde_json::from_str(text).expect("a log is JSON");
    let mut told = BTreeMap::new();
    let mut tell = |mac: &Value, tuple: &str, denied: bool, protocol: &str| {
        let fields: Vec<&str> = tuple.split(',').collect();
        let end = |address: &str, port: &str| match protocol {
            "tcp" | "udp" if address.contains(':') => format!("[{address}]:{port}"),
            "tcp" | "udp" => format!("{address}:{port}"),
            _ => address.to_owned(),
        };
        let (from, to) = (end(fields[1], fields[3]), end(fields[2], fields[4]));
        let flow = format!("{mac} {} {}|--from {from} --to {to} --proto {protocol}", fields[6], fields[0]);
        told.entry(flow).or_insert(denied);
    };
    for record in log["records"].as_array().expect("a list") {
        for acl in record["flowRecords"]["flows"].as_array().into_iter().flatten() {
            for group in acl["flowGroups"].as_array().expect("a list") {
                for tuple in group["flowTuples"].as_array().expect("a list") {
                    let tuple = tuple.as_str().expect("text");
                    let fields: Vec<&str> = tuple.split(',').collect();
                    let protocol = match fields[5] {
                        "6" => "tcp",
                        "17" => "udp",
                        "1" => "icmp",
                        "58" => "icmpv6",
                        "50" => "esp",
                        "51" => "ah",
                        other => other,
                    };
                    if matches!(fields[7], "B" | "D") {
                        tell(&record["macAddress"], tuple, fields[7] == "D", protocol);
                    }
                }
            }
        }
        for rule in record["properties"]["flows"].as_array().into_iter().flatten() {
            for nic in rule["flows"].as_array().expect("a list") {
                for tuple in nic["flowTuples"].as_array().expect("a list") {
                    let tuple = tuple.as_str().expect("text");
                    let fields: Vec<&str> = tuple.split(',').collect();
                    if fields[8] == "B" {
                        let protocol = if fields[5] == "T" { "tcp" } else { "udp" };
                        tell(&nic["mac"], tuple, fields[7] == "D", protocol);
                    }
                }
            }
        }
    }
    told
}

#[test]
fn the_same_hour_in_both_formats_gives_the_same_decisions() {
    let folder = folder("both-formats");
    let [vnet, nsg] = ["vnet-flow-log", "nsg-flow-log"].map(|format| {
        let log = path(&folder, format);
        run(&["gen", "-q", "-s", "data/example", "--flows", "2000", "--as", format, "-o", &log]);
        let rows = decisions(&folder, &log, &[]);
        let decided: BTreeMap<String, String> = rows
            .iter()
            .filter(|row| matches!(row["protocol"].as_str(), Some("tcp" | "udp")))
            // What the platform exempts is in no NSG's log.
            .filter(|row| row["recorded_rule"] != "PlatformRule")
            .map(|row| (flow(row), format!("{} {} {}", row["verdict"], row["nsg"], row["rule"])))
            .collect();
        decided
    });
    assert!(nsg.len() > 1500, "{}", nsg.len());
    assert_eq!(vnet, nsg);
}

#[test]
fn logs_give_the_same_bytes_on_one_thread_and_on_many() {
    let folder = folder("log-threads");
    let log = path(&folder, "log.json");
    run(&[
        "gen",
        "-q",
        "-s",
        "data/example",
        "--flows",
        "4000",
        "--as",
        "vnet-flow-log",
        "--falsify",
        "0.1",
        "-o",
        &log,
    ]);
    let [one, many] = ["1", "7"].map(|threads| {
        let (rows, report) = (path(&folder, "rows.csv"), path(&folder, "report.json"));
        let network = ["replay", "-q", "-s", "data/example", &log, "--no-timing", "--threads", threads];
        run(&[&network[..], &["--format", "json", "--decisions", &rows, "-o", &report]].concat());
        [rows, report].map(|path| fs::read(path).expect("it was written"))
    });
    assert!(one == many);
}

#[test]
fn the_page_of_a_log_shows_how_far_it_agrees() {
    let folder = folder("log-page");
    let (log, page, report) =
        (path(&folder, "log.json"), path(&folder, "page.html"), path(&folder, "report.json"));
    let falsified = ["--as", "vnet-flow-log", "--falsify", "0.1", "-o", &log];
    run(&[&["gen", "-q", "-s", "data/example", "--flows", "300"][..], &falsified].concat());
    let network = ["replay", "-q", "-s", "data/example"];
    run(&[&network[..], &[&log, "--html", &page, "--format", "json", "-o", &report]].concat());
    let read = |path: &str| fs::read_to_string(path).expect("it was written");
    let report: Value = serde_json::from_str(&read(&report)).expect("the report is JSON");
    let count = |member: &str| report["agreement"][member].as_u64().expect("a count");
    let agree = count("agree_allow") + count("agree_deny");
    assert!(agree < count("flows"));
    let page = read(&page);
    assert!(page.contains(&format!("{agree} of {} flows (", count("flows"))), "{agree}");
    let first = &report["agreement"]["disagreements"][0]["explain"];
    let words: Vec<&str> = first.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(page.contains(&format!("<code>{}</code>", words.join(" "))), "{words:?}");

    let page = path(&folder, "capture.html");
    run(&[&network[..], &["data/example.pcap", "--html", &page]].concat());
    assert!(!read(&page).contains("id=\"agreement\""));
}

/// Denied tuples count no packets: a gate must see the flip all the same.
#[test]
fn a_flip_of_a_denied_flow_of_a_log_fails_the_gate() {
    let folder = folder("log-gate");
    let log = path(&folder, "log.json");
    // The candidate takes away the rule that lets SSH in from the hub.
    let tuple = "1767225600000,10.10.255.255,10.20.1.4,50000,22,6,I,B,NX,0,0,0,0";
    let text = vnet_log("000D3A200005", "unspecified", &[("UserRule_AllowSshFromHub", &[tuple])]).to_string();
    fs::write(&log, text).expect("the log can be written");
    let base = ["whatif", "-q", "--base", "data/example", "--cand", "data/example-candidate", &log];
    for (fail_on, code) in [("newly-denied", 1), ("newly-allowed", 0), ("any", 1)] {
        let output =
            program::nsgsim(&[&base[..], &["--fail-on", fail_on]].concat()).output().expect("it runs");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{fail_on}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    // The agreement is that of the base.
    let output = program::nsgsim(&[&base[..], &["--format", "json"]].concat()).output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert_eq!(report["agreement"]["agree_allow"], 1);
}

#[test]
fn at_one_interface_only_its_own_logs_are_judged() {
    let folder = folder("log-at");
    let log = path(&folder, "log.json");
    run(&["gen", "-q", "-s", "data/example", "--flows", "300", "--as", "vnet-flow-log", "-o", &log]);
    let all = decisions(&folder, &log, &[]);
    let one = decisions(&folder, &log, &["--at", "nic-web-1"]);
    let of_it: Vec<_> = all.into_iter().filter(|row| row["nic"] == "nic-web-1").collect();
    assert!(of_it.len() > 5, "{}", of_it.len());
    assert_eq!(one, of_it);
    // A table's rows are judged there by their addresses.
    let table = path(&folder, "table.csv");
    let rows = "src,dst,proto,dport\n10.20.1.4,10.20.2.4,tcp,8080\n10.20.3.4,10.20.2.4,tcp,8080\n";
    fs::write(&table, rows).expect("the table can be written");
    let one = decisions(&folder, &table, &["--at", "nic-web-1"]);
    assert_eq!(one.iter().map(|row| row["record"].clone()).collect::<Vec<_>>(), [1]);
}

#[test]
fn each_row_of_a_table_is_compared_and_has_a_row() {
    let folder = folder("table-rows");
    let table = path(&folder, "table.csv");
    let rows = "time,src,dst,proto,dport,action\n2026-11-02T09:00:00Z,10.20.1.4,10.20.2.4,tcp,8080,allow\n\
                2026-11-02T09:01:00Z,10.20.1.4,10.20.2.4,tcp,8080,deny\n";
    fs::write(&table, rows).expect("the table can be written");
    let report = run(&["replay", "-q", "-s", "data/example", &table, "--format", "json"]);
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    assert_eq!(report["agreement"]["agree_allow"], 1);
    assert_eq!(report["agreement"]["logged_deny_simulated_allow"], 1);

    // Traffic Analytics puts several public addresses into one row: each is a flow.
    let table = path(&folder, "analytics.csv");
    let addresses: Vec<String> = (1..=8).map(|last| format!("198.51.100.{last}|1|0|0|0|0|0")).collect();
    let text = format!(
        "FlowStartTime,SrcIp,DestIp,DestPublicIps,DestPort,L4Protocol,FlowStatus\n\
         2026-11-02T09:00:00Z,10.20.1.4,,{},443,T,Allowed\n",
        addresses.join(" ")
    );
    fs::write(&table, text).expect("the table can be written");
    let rows = decisions(&folder, &table, &[]);
    let destinations: BTreeSet<&str> = rows.iter().filter_map(|row| row["destination"].as_str()).collect();
    assert_eq!((rows.len(), destinations.len()), (8, 8));
}

/// A bit of the checksum at a gzip file's end is wrong: what it holds counts, and the fault is told.
#[test]
fn a_wrong_checksum_at_the_end_of_a_small_file_is_told() {
    let folder = folder("log-checksum");
    let log = vnet_log(
        MAC,
        "unspecified",
        &[("UserRule_a", &["1767225600000,10.0.0.1,10.0.0.2,1,2,6,I,B,NX,0,0,0,0"])],
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, log.to_string().as_bytes()).expect("it is packed");
    let mut bytes = packed.finish().expect("it is packed");
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let file = path(&folder, "PT1H.json.gz");
    fs::write(&file, bytes).expect("it can be written");
    let report = run(&["replay", "-q", "-s", "data/example", &file, "--format", "json"]);
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    assert_eq!(report["ledger"]["read"], 1);
    assert_eq!(report["damage"].as_array().map(Vec::len), Some(1), "{}", report["damage"]);
}
