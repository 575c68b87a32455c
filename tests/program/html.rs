//! The page of a replay: it says what the JSON says, loads nothing, and takes no name for markup.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::example_data::{data, network, nsgsim, records, synthetic};
use base64::prelude::{BASE64_STANDARD, Engine};
use nsgsim::compile::network::CompiledNetwork;
use nsgsim::model::record::Record;
use nsgsim::model::records::Records;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::conversations::Conversation;
use nsgsim::replay::digest::{Collector, Digest, MOST_DENIED};
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use nsgsim::report::html::ReplayPage;
use nsgsim::report::inputs::Inputs;
use nsgsim::report::ledger::Provenance;
use nsgsim::report::pseudonyms::Shown;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Where this test keeps a file of its own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("html");
    fs::create_dir_all(&folder).expect("a writable build folder");
    folder.join(name)
}

/// The page that the command makes of the example's capture through a network, and what it prints as JSON.
fn page(network: &Path, name: &str, further: &[&str]) -> (String, Value) {
    let path = scratch(name);
    let shown = |path: &Path| path.to_str().expect("a path of letters").to_owned();
    let (network, html) = (shown(network), shown(&path));
    let arguments = ["replay", "-q", "-s", &network, "data/example.pcap", "--no-timing", "--format", "json"];
    let output = nsgsim(&[&arguments, ["--html", &html].as_slice(), further].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let json = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    (fs::read_to_string(path).expect("the page was written"), json)
}

/// What stands between two texts, wherever they follow each other.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

/// A text with a blank in place of each of its tags, its references resolved.
fn read(html: &str) -> String {
    let mut text = String::new();
    for (place, part) in html.split('<').enumerate() {
        let words = if place == 0 { Some(part) } else { part.split_once('>').map(|(_, words)| words) };
        text.push(' ');
        text.push_str(words.unwrap_or_default());
    }
    let references = [
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
    ];
    let text = references.iter().fold(text, |text, (reference, letter)| text.replace(reference, letter));
    text.replace("&#38;", "&").replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cells of a table's rows, as they are read.
fn rows(page: &str, start: &str) -> Vec<Vec<String>> {
    let table = between(page, start, "</table>");
    let body = table.first().and_then(|table| between(table, "<tbody>", "</tbody>").first().copied());
    between(body.expect("the table is there"), "<tr", "</tr>")
        .into_iter()
        .map(|row| row.split("<t").skip(1).map(|cell| read(&format!("<t{cell}"))).collect())
        .collect()
}

#[test]
fn its_numbers_are_those_of_the_json() {
    let (page, json) = page(&data("example"), "numbers.html", &[]);
    let ledger = &json["ledger"];
    let mut expected = BTreeMap::new();
    for name in ["read", "evaluated"] {
        expected.insert(name.to_owned(), ledger[name].as_u64().unwrap());
    }
    for (name, member) in
        [("out of scope", "out_of_scope"), ("undetermined", "undetermined"), ("skipped", "skipped")]
    {
        expected.insert(name.to_owned(), ledger[member]["total"].as_u64().unwrap());
        for (code, occurrences) in ledger[member]["by_reason"].as_object().unwrap() {
            expected.insert(code.clone(), occurrences["count"].as_u64().unwrap());
        }
    }
    for (name, verdict) in [("✓ allow", "allow"), ("✕ deny", "deny")] {
        expected.insert(name.to_owned(), json["verdicts"][verdict]["packets"].as_u64().unwrap());
    }
    let shown: BTreeMap<String, u64> = rows(&page, r#"<table class="ledger">"#)
        .into_iter()
        .map(|row| (row[0].clone(), row[1].replace(',', "").parse().unwrap()))
        .collect();
    assert_eq!(shown, expected);
    let first = &ledger["undetermined"]["by_reason"]["UNKNOWN_TAG"]["first"]["record"];
    assert!(
        page.contains(&format!("data/example.pcap record {first}</td>")),
        "where the first of a reason stands"
    );

    let flows = rows(&page, r#"<table id="flows-table" data-sortable>"#);
    assert_eq!(flows.len() as u64, json["verdicts"]["deny"]["flows"].as_u64().unwrap());
    let packets: u64 = flows.iter().map(|row| row[0].parse::<u64>().unwrap()).sum();
    assert_eq!(packets, json["verdicts"]["deny"]["packets"].as_u64().unwrap());

    let decided: BTreeMap<(String, String), u64> = json["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let word = |name: &str| rule[name].as_str().unwrap().to_owned();
            (
                (word("rule"), format!("{} {}", word("nsg"), word("direction"))),
                rule["packets"].as_u64().unwrap(),
            )
        })
        .collect();
    let mut shown = BTreeMap::new();
    for row in rows(&page, r#"<table id="rules-table" data-sortable>"#) {
        let packets: u64 = row[6].replace(',', "").parse().unwrap();
        if packets > 0 {
            let rule = row[0].trim_end_matches(" custom").trim_end_matches(" default");
            shown.insert((rule.to_owned(), row[1].clone()), packets);
        }
    }
    assert_eq!(shown, decided);

    let overview = read(between(&page, r#"<ul class="figures">"#, "</ul>")[0]);
    for part in ["records read 303", "✓ allow 238", "✕ deny 45", "out of scope 8", "skipped 2"] {
        assert!(overview.contains(part), "{overview}");
    }
    let over_time = rows(&page, "flows are left out</caption>");
    let all: u64 = over_time.iter().map(|row| row[5].parse::<u64>().unwrap()).sum();
    let verdicts = json["verdicts"].as_object().unwrap().values();
    assert_eq!(all, verdicts.map(|hits| hits["flows"].as_u64().unwrap()).sum::<u64>());
}

/// Nobody came by Bastion in the example's capture. `AllowAppToDb` lets flows out that `nsg-db` then decides about.
#[test]
fn rules_that_no_flow_met_are_marked_and_those_that_let_one_on_are_not() {
    let (page, _) = page(&data("example"), "unused.html", &[]);
    let rules = rows(&page, r#"<table id="rules-table" data-sortable>"#);
    let network = &network("example").network;
    assert_eq!(
        rules.len(),
        network.nsgs.iter().map(|nsg| nsg.rules.len()).sum::<usize>(),
        "every rule has a row"
    );
    let bastion: Vec<_> = rules.iter().filter(|row| row[1].starts_with("nsg-bastion ")).collect();
    assert!(bastion.len() > 6 && bastion.iter().all(|row| row[4] == "○ no hits"), "{bastion:?}");
    let passing = rules.iter().find(|row| row[0] == "AllowAppToDb custom").expect("the rule has a row");
    assert_eq!((passing[1].as_str(), passing[5].as_str()), ("nsg-app outbound", "0"), "it decides nothing");
    assert_ne!(passing[4], "○ no hits");
}

/// The example with names that would be markup, were they not text.
fn hostile() -> (PathBuf, [&'static str; 3]) {
    const NAMES: [&str; 3] =
        ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg onload=alert(1)>"];
    let [rule, nsg, subnet] = NAMES.map(|name| name.replace('"', "\\\""));
    let folder = scratch("hostile");
    fs::create_dir_all(&folder).expect("a writable build folder");
    for file in fs::read_dir(data("example")).expect("the example is there") {
        let path = file.expect("a folder can be listed").path();
        let mut text = fs::read_to_string(&path).expect("the example can be read");
        for (name, hostile) in [("nsg-web", &nsg), ("snet-web", &subnet)] {
            for ending in ["\"", "/"] {
                text = text.replace(&format!("/{name}{ending}"), &format!("/{hostile}{ending}"));
            }
            text = text.replace(&format!("\"name\": \"{name}\""), &format!("\"name\": \"{hostile}\""));
        }
        text = text.replace("\"name\": \"DenyWebToDb\"", &format!("\"name\": \"{rule}\""));
        fs::write(folder.join(path.file_name().expect("a file has a name")), text)
            .expect("a writable folder");
    }
    (folder, NAMES)
}

#[test]
fn names_stay_text() {
    let (folder, names) = hostile();
    let (page, _) = page(&folder, "hostile.html", &[]);
    let (plain, _) = self::page(&data("example"), "plain.html", &[]);
    for name in names {
        assert!(!page.contains(name), "`{name}` stands in the page as it is");
        assert!(read(&page).contains(name), "`{name}` is shown");
    }
    for tag in ["<script", "<img", "<svg", "<style", "<meta"] {
        assert_eq!(page.matches(tag).count(), plain.matches(tag).count(), "{tag}");
    }
    assert!(!page.contains("onload=alert(1)>") && !page.contains("onerror=alert(1)>"));
}

#[test]
fn it_loads_nothing_and_its_policy_names_its_own_style_and_script() {
    let (page, _) = page(&data("example"), "policy.html", &[]);
    let policy = between(&page, r#"<meta http-equiv="Content-Security-Policy" content=""#, "\"")[0];
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for (directive, tag) in [("style-src", "style"), ("script-src", "script")] {
        let [text] = between(&page, &format!("<{tag}>"), &format!("</{tag}>"))[..] else {
            panic!("one {tag}")
        };
        let hash = BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{policy}");
        assert_eq!(page.matches(&format!("<{tag}")).count(), 1);
    }
    for outside in ["http://", "https://", "src=", "@import", "<link", " style=\"", " onclick", "javascript:"]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    let links = between(&page, "href=\"", "\"");
    let ids = between(&page, " id=\"", "\"");
    assert!(links.iter().all(|link| link.strip_prefix('#').is_some_and(|id| ids.contains(&id))), "{links:?}");
}

#[test]
fn it_is_the_same_on_any_number_of_threads_and_beside_any_answer() {
    let alone = page(&data("example"), "one.html", &["--threads", "1"]);
    assert_eq!(page(&data("example"), "two.html", &["--threads", "2"]), alone);
    let rows = scratch("rows.csv");
    let further = ["--threads", "2", "--per-record", "--decisions", rows.to_str().unwrap()];
    assert_eq!(page(&data("example"), "rows.html", &further), alone);
    let without = nsgsim(&[
        "replay",
        "-q",
        "-s",
        "data/example",
        "data/example.pcap",
        "--no-timing",
        "--format",
        "json",
    ]);
    assert_eq!(
        serde_json::from_slice::<Value>(&without.stdout).unwrap(),
        alone.1,
        "the answer does not change"
    );
}

#[test]
fn flows_at_one_interface_and_packets_by_themselves_have_a_page_too() {
    let (at, json) = page(&data("example"), "at.html", &["--at", "nic-db-2"]);
    assert_eq!(rows(&at, r#"<table id="flows-table" data-sortable>"#).len(), 1);
    assert_eq!(json["verdicts"]["deny"]["flows"], 1);
    let (alone, json) = page(&data("example"), "alone.html", &["--state", "none"]);
    let flows = rows(&alone, r#"<table id="flows-table" data-sortable>"#).len();
    assert_eq!(flows as u64, json["verdicts"]["deny"]["flows"].as_u64().unwrap());
}

#[test]
fn a_page_over_another_output_is_a_usage_error() {
    for (option, name) in [("-o", "--output"), ("--decisions", "--decisions")] {
        let output = nsgsim(&[
            "replay",
            "-q",
            "-s",
            "data/example",
            "data/example.pcap",
            "--html",
            "target/tmp/one.csv",
            option,
            "target/tmp/one.csv",
        ]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("error: --html and {name} name the same file\n"));
    }
}

fn replayed(compiled: &Arc<CompiledNetwork>, records: &[Record]) -> (Totals, Vec<Conversation>) {
    let mut replay =
        Replay::new(Arc::clone(compiled), ReplayOptions { flows: true, ..ReplayOptions::default() });
    let mut flows = Vec::new();
    for batch in records.chunks(997) {
        flows.extend(replay.feed(&Records::from(batch)).flows);
    }
    let (totals, last) = replay.finish();
    flows.extend(last);
    (totals, flows)
}

fn digest<'f>(compiled: &Arc<CompiledNetwork>, flows: impl Iterator<Item = &'f Conversation>) -> Digest {
    let mut collector = Collector::new(Arc::clone(compiled), &ReplayOptions::default());
    flows.for_each(|flow| collector.add(flow));
    collector.finish()
}

/// The page of a replay whose inputs nobody named.
fn made(compiled: &Arc<CompiledNetwork>, totals: &Totals, digest: &Digest) -> String {
    let provenance = Provenance {
        files: vec!["example.pcap".to_owned()],
        inputs: Inputs::new(None, None),
        ..Provenance::default()
    };
    let options = ReplayOptions::default();
    let shown = Shown { network: &compiled.network, pseudonyms: None };
    ReplayPage { compiled, shown, options: &options, totals, digest, provenance: &provenance }.html()
}

#[test]
fn the_order_and_grouping_of_flows_do_not_show() {
    let compiled = network("example");
    let (totals, flows) = replayed(&compiled, &synthetic(&compiled, 2000));
    let whole = digest(&compiled, flows.iter());
    assert_eq!(digest(&compiled, flows.iter().rev()), whole);
    let (one, other) = flows.split_at(flows.len() / 3);
    let mut merged = digest(&compiled, other.iter());
    merged.merge(&digest(&compiled, one.iter()));
    assert_eq!(merged, whole);
    for (kind, hits) in &totals.tally.verdicts {
        let volume = whole.verdicts.of(*kind);
        assert_eq!(
            (volume.flows, volume.packets, volume.bytes),
            (hits.flows, hits.packets, hits.bytes),
            "{kind}"
        );
    }
    assert_eq!(whole.pairs.values().map(|volumes| volumes.all().flows).sum::<u64>(), flows.len() as u64);
}

#[test]
fn of_many_denied_flows_the_largest_are_shown_and_the_rest_counted() {
    let compiled = network("example");
    let (totals, flows) = replayed(&compiled, &synthetic(&compiled, 12_000));
    let digest = digest(&compiled, flows.iter());
    let denied: Vec<_> = flows.iter().filter(|flow| flow.verdict.kind() == VerdictKind::Deny).collect();
    assert!(denied.len() > MOST_DENIED, "{}", denied.len());
    assert_eq!(digest.denied().len(), MOST_DENIED);
    let least = digest.denied().map(|flow| flow.packets).min().unwrap();
    assert!(denied.iter().filter(|flow| flow.packets > least).count() <= MOST_DENIED);
    let html = made(&compiled, &totals, &digest);
    let left_out = nsgsim::report::time::counted((denied.len() - MOST_DENIED) as u64, "smaller flow");
    assert!(html.contains(&format!("Not shown: {left_out};")), "what is left out is said");
    assert_eq!(rows(&html, r#"<table id="flows-table" data-sortable>"#).len(), MOST_DENIED);
}

#[test]
fn a_replay_of_nothing_has_a_page() {
    let compiled = network("example");
    let (totals, flows) = replayed(&compiled, &records()[..0]);
    let digest = digest(&compiled, flows.iter());
    let text = read(&made(&compiled, &totals, &digest));
    for part in ["No flow with a time.", "Nothing was denied.", "No flow was judged."] {
        assert!(text.contains(part), "{part}");
    }
}
