//! Under `--anonymize` nothing that is written names what is the user's, and everything that is counted stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nsgsim::model::id::ResourceId;
use serde_json::Value;

use crate::example_data::{network, nsgsim};

/// The subscription of the example; logs have it in place of what nobody is.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

const SPLIT: &str = "target/tmp/anonymized";

/// Standard output of a run that is to succeed, or to find something.
fn said(arguments: &[&str]) -> String {
    let output = nsgsim(arguments);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("an answer is UTF-8")
}

/// Makes a flow log of the example, some of whose verdicts are falsified.
fn make_log(log: &str) {
    let traffic = ["gen", "-q", "-s", "data/example", "--flows", "60", "--seed", "6"];
    said(&[&traffic[..], &["--as", "vnet-flow-log", "--falsify", "0.1", "-o", log]].concat());
}

/// Words as names and addresses have them.
fn words(text: &str) -> BTreeSet<String> {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    let whole = text.split(|letter| !is_of_word(letter)).map(|word| word.trim_matches(['.', ':', '-']));
    // `10.0.0.4:443`, `[fd00::1]:443`: with the port and without.
    let host = |word: &str| word.rsplit_once(':').map(|(host, _)| host.to_owned());
    whole.flat_map(|word| [Some(word.to_ascii_lowercase()), host(word)]).flatten().collect()
}

/// What a reader from outside must not see: the names of the example's resources and rules, and every address that its
/// network or its traffic has. What Azure names is not among it.
fn secrets() -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for name in ["example", "example-candidate"] {
        let compiled = network(name);
        let network = &compiled.network;
        let mut named = |id: &ResourceId| {
            secrets.insert(id.name().to_owned());
            secrets.extend(
                ["subscriptions", "resourceGroups"]
                    .iter()
                    .filter_map(|kind| id.segment(kind).map(str::to_owned)),
            );
        };
        network.vnets.iter().for_each(|vnet| named(&vnet.id));
        network.subnets.iter().for_each(|subnet| named(&subnet.id));
        network.nics.iter().for_each(|nic| named(&nic.id));
        network.nsgs.iter().for_each(|nsg| named(&nsg.id));
        network.public_ips.iter().for_each(|ip| named(&ip.id));
        network.nat_gateways.iter().for_each(|gateway| named(&gateway.id));
        network.private_endpoints.iter().for_each(|endpoint| named(&endpoint.id));
        network.asgs.iter().for_each(|asg| named(&asg.id));
        network.route_tables.iter().for_each(|table| named(&table.id));
        network.bastions.iter().for_each(|bastion| named(&bastion.id));
        let rules = network.nsgs.iter().flat_map(|nsg| &nsg.rules).filter(|rule| !rule.is_default);
        secrets.extend(rules.map(|rule| rule.name.clone()));
        let addresses = network.nics.iter().flat_map(|nic| &nic.ip_configurations);
        secrets.extend(addresses.filter_map(|configuration| Some(configuration.address?.to_string())));
        let macs = network.nics.iter().filter_map(|nic| nic.mac);
        secrets.extend(macs.map(|mac| mac.iter().map(|byte| format!("{byte:02x}")).collect()));
        let guids = network.nsgs.iter().filter_map(|nsg| nsg.resource_guid.clone());
        secrets.extend(guids);
        let prefixes = network.vnets.iter().flat_map(|vnet| &vnet.address_space);
        secrets.extend(
            prefixes
                .chain(network.subnets.iter().flat_map(|subnet| &subnet.prefixes))
                .map(|prefix| prefix.addr().to_string()),
        );
    }
    // The inputs' own names.
    secrets.extend(["example.pcap", "log.json", "data", "anonymized"].map(str::to_owned));
    let rows = said(&["replay", "-q", "-s", "data/example", "data/example.pcap", "--by", "flow"]);
    for row in rows.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        secrets.extend([cells[1], cells[3]].map(str::to_owned));
    }
    // The platform's address is everyone's, and so are names that Azure gives: one NSG has a rule of its own that is called
    // as a default rule is.
    for everyones in ["168.63.129.16", "AzureBastionSubnet", "AllowAzureLoadBalancerInBound", NOBODY] {
        secrets.remove(everyones);
    }
    secrets.into_iter().map(|secret| secret.to_ascii_lowercase()).collect()
}

/// Every way to have the example's replay and its what-if written, under a key.
fn everything(key: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(SPLIT).join(key);
    fs::create_dir_all(&folder).expect("a folder can be made");
    let file = |name: &str| format!("{SPLIT}/{key}/{name}");
    let log = file("log.json");
    make_log(&log);
    let mut written = BTreeMap::new();
    let common = ["-q", "--no-timing", "--anonymize", key];
    let replay = ["replay", "-s", "data/example"];
    let whatif = ["whatif", "--base", "data/example", "--cand", "data/example-candidate"];
    let usage = ["usage", "-s", "data/example"];
    for input in ["data/example.pcap", &log] {
        for (by, format) in
            [("nsg", "table"), ("nic", "json"), ("subnet", "md"), ("pair", "json"), ("tag", "table")]
        {
            let arguments = [&replay[..], &common, &["--by", by, "--format", format, input]].concat();
            written.insert(format!("replay {input} {by} {format}"), said(&arguments));
        }
        for format in ["table", "md", "json"] {
            for command in [&replay[..], &whatif, &usage] {
                let arguments = [command, &common, &["--format", format, input]].concat();
                written.insert(format!("{} {input} {format}", command[0]), said(&arguments));
            }
        }
        for name in ["rows.csv", "rows.ndjson"] {
            for per in [&[][..], &["--per-record"]] {
                let (rows, page, log) = (file(name), file("page.html"), file("written.json"));
                let arguments = [
                    &replay[..],
                    &common,
                    per,
                    &["--decisions", &rows, "--html", &page, "--flow-log", &log, input],
                ]
                .concat();
                said(&arguments);
                for written_file in [rows, page, log] {
                    let text = fs::read_to_string(&written_file).expect("it was written");
                    written.insert(format!("{written_file} {per:?} {input}"), text);
                }
            }
        }
    }
    written
}

#[test]
fn no_output_names_what_is_the_users() {
    let secrets = secrets();
    assert!(
        secrets.len() > 100 && secrets.contains("nsg-web") && secrets.contains("10.20.1.4"),
        "{secrets:?}"
    );
    for (output, text) in everything("a-key") {
        // The page's own style and script are no part of what is told.
        let told =
            text.split("</style>").last().unwrap_or(&text).split("<script>").next().unwrap_or_default();
        let told = if output.contains("page.html") { told } else { &text };
        let words = words(told);
        let seen: Vec<&String> = secrets.intersection(&words).collect();
        // Who has the exports can make their hashes.
        assert!(!told.contains("blake3:"), "{output}");
        assert_eq!(seen, Vec::<&String>::new(), "{output}");
    }
}

/// Every number in an answer, by where it stands, without what hangs on names and their order.
fn numbers(json: &str) -> Value {
    let json: Value = serde_json::from_str(json).expect("an answer is JSON");
    let mut hits: Vec<String> = json["rules"]
        .as_array()
        .expect("rules are a list")
        .iter()
        .map(|rule| format!("{} {} {} {}", rule["priority"], rule["access"], rule["packets"], rule["flows"]))
        .collect();
    hits.sort();
    let mut agreement = json["agreement"].clone();
    if let Some(agreement) = agreement.as_object_mut() {
        agreement.remove("by_rule");
        agreement.remove("disagreements");
    }
    let mut ledger = json["ledger"].clone();
    for bucket in ["out_of_scope", "undetermined", "skipped"] {
        for reason in ledger[bucket]["by_reason"].as_object_mut().expect("reasons are an object").values_mut()
        {
            reason["first"]["file"] = Value::Null;
        }
    }
    serde_json::json!([ledger, json["verdicts"], hits, agreement])
}

#[test]
fn counts_and_agreement_are_those_of_the_true_names() {
    let log = "target/tmp/anonymized-counts.json";
    make_log(log);
    for input in ["data/example.pcap", log] {
        let plain = ["replay", "-q", "--no-timing", "-s", "data/example", "--format", "json", input];
        let masked = [&plain[..], &["--anonymize", "a key"]].concat();
        assert_eq!(numbers(&said(&masked)), numbers(&said(&plain)), "{input}");
        let agreement = &numbers(&said(&plain))[3];
        assert_eq!(agreement.is_object(), input == log, "only a log has something to agree with");
    }
}

/// The example with a word in every place that holds free text: as states, regions, types of resources, tags, addresses
/// that are none, names of files, and what cannot be read of a log.
fn write_marked(folder: &Path) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(folder.join("net")).expect("a folder can be made");
    fs::create_dir_all(folder.join("secretfolder")).expect("a folder can be made");
    for entry in fs::read_dir(top.join("data/example")).expect("the example is there") {
        let path = entry.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let text = text
            .replace("\"westeurope\"", "\"secretregion\"")
            .replace("\"Approved\"", "\"Rejected by secretperson\"")
            .replace("AzureContainerRegistry.WestEurope", "SecretRegistry.SecretRegion")
            .replace("/subscriptions/", "/subscriptions/secret-")
            .replace(
                "Microsoft.Network/virtualNetworks/",
                "Microsoft.Network/secrettype/secret/virtualNetworks/",
            );
        fs::write(folder.join("net").join(path.file_name().expect("a file")), text)
            .expect("it can be written");
    }
    let tuple = |text: &str| format!("\"1767225600000,{text},O,B,NX,0,0,0,0\"");
    let log = format!(
        r#"{{"records":[{{"time":"2026-01-01T00:01:00Z","macAddress":"000D3A200001","category":"FlowLogFlowEvent",
        "flowLogVersion":4,"flowRecords":{{"flows":[{{"aclID":"/secretacl","flowGroups":[{{"rule":"secretrule",
        "flowTuples":[{},{},"secrettuple"]}}]}}]}}}}]}}"#,
        tuple("10.10.1.4,10.20.1.5,50000,443,6"),
        tuple("10.10.1.4,198.51.100.77,50001,443,6"),
    );
    fs::write(folder.join("secretfolder/secretlog.json"), log).expect("it can be written");
    fs::write(folder.join("secretfolder/secretnotes.txt"), "no traffic").expect("it can be written");
    let example = fs::read(top.join("data/example.pcap")).expect("the example can be read");
    // Cut in the middle of a packet: the rest is damage.
    fs::write(folder.join("secretfolder/secret.pcap"), &example[..example.len() - 5])
        .expect("it can be written");
}

#[test]
fn free_texts_of_the_input_are_in_no_output() {
    let folder = "target/tmp/anonymized-marked";
    write_marked(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let (network, traffic) = (format!("{folder}/net"), format!("{folder}/secretfolder"));
    let file = |name: &str| format!("{folder}/{name}");
    let (rows, table, page, log) =
        (file("rows.csv"), file("rows.ndjson"), file("page.html"), file("log.json"));
    let replay = ["replay", "-q", "--no-timing", "--anonymize", "key", "-s", &network, &traffic];
    let mut outputs = vec![
        said(&[&replay[..], &["--decisions", &rows, "--html", &page, "--flow-log", &log]].concat()),
        said(&[&replay[..], &["--decisions", &table, "--per-record", "--format", "json"]].concat()),
        said(&[&replay[..], &["--by", "flow"]].concat()),
        said(&[&replay[..], &["--by", "hour", "--format", "md"]].concat()),
    ];
    let whatif =
        ["whatif", "-q", "--no-timing", "--anonymize", "key", "--base", &network, "--cand", "data/example"];
    outputs.push(said(&[&whatif[..], &["--format", "json", &traffic]].concat()));
    outputs.push(said(&[&whatif[..], &[traffic.as_str()]].concat()));
    let usage = ["usage", "-q", "--no-timing", "--anonymize", "key", "-s", &network, &traffic];
    for format in ["table", "json", "csv"] {
        outputs.push(said(&[&usage[..], &["--format", format]].concat()));
    }
    for written in [rows, table, page, log] {
        outputs.push(fs::read_to_string(written).expect("it was written"));
    }
    for output in &outputs {
        let found = output.to_ascii_lowercase().find("secret");
        let around = found.map(|at| &output[at.saturating_sub(80)..(at + 40).min(output.len())]);
        assert_eq!(around, None);
    }
    // The marks were read, or nothing would be shown of them.
    assert!(
        outputs[1].contains("not shown under pseudonyms") && outputs[1].contains("\"ignored_files\": [\n")
    );
}

#[test]
fn a_key_gives_the_same_pseudonyms_on_every_run_and_another_key_others() {
    let under = |key| {
        said(&["replay", "-q", "--no-timing", "-s", "data/example", "data/example.pcap", "--anonymize", key])
    };
    assert_eq!(under("one"), under("one"));
    assert_ne!(under("one"), under("two"));
}

#[test]
fn a_split_capture_is_refused() {
    let split = "target/tmp/anonymized.pcap";
    let output = nsgsim(&[
        "replay",
        "-q",
        "-s",
        "data/example",
        "data/example.pcap",
        "--anonymize",
        "key",
        "--split-denied",
        split,
    ]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("a message is UTF-8");
    assert!(said.contains("--anonymize: a split capture holds packets as they were"), "{said}");
    assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join(split).exists());
}
