//! Flows by hour and by their ends, held against the rows of the same replay.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::example_data::{counts, nsgsim};

fn said(arguments: &[&str]) -> String {
    let output = nsgsim(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("an answer is UTF-8")
}

const REPLAY: [&str; 6] = ["replay", "-q", "--no-timing", "-s", "data/example", "data/example.pcap"];

fn groups(by: &str) -> Vec<Value> {
    let json: Value = serde_json::from_str(&said(&[&REPLAY[..], &["--format", "json", "--by", by]].concat()))
        .expect("JSON");
    json["groups"].as_array().expect("groups are a list").clone()
}

/// Flows of a group by verdict: allow, deny, mixed, undetermined.
fn flows(group: &Value) -> [u64; 4] {
    ["allow", "deny", "mixed", "undetermined"].map(|kind| group[kind]["flows"].as_u64().expect("a count"))
}

fn sum(groups: &[Value]) -> [u64; 4] {
    groups.iter().map(flows).fold([0; 4], |sum, one| std::array::from_fn(|kind| sum[kind] + one[kind]))
}

#[test]
fn hours_and_pairs_add_up_to_all_flows_and_subnets_to_twice_as_many() {
    // What each row of the counts by hand says of its flow, but for two of them: G1 is open again after its silence, and the
    // answers of E11 are a flow of their own.
    let rows = counts().rows;
    let of = |verdict: &str| rows.iter().filter(|row| row.verdict == verdict).count() as u64;
    let all = [of("allow") + 1, of("deny"), 0, of("undetermined") + 1];
    assert_eq!(sum(&groups("hour")), all);
    assert_eq!(sum(&groups("pair")), all);
    assert_eq!(sum(&groups("subnet")), all.map(|flows| 2 * flows));
}

#[test]
fn a_pair_holds_the_flows_that_the_counts_by_hand_put_there() {
    // `web-2 to app-1, TCP 8080`: machines are called after their subnets.
    let mut by_hand: BTreeMap<String, u64> = BTreeMap::new();
    for row in counts().rows.iter().filter(|row| row.verdict == "allow" || row.verdict == "deny") {
        let Some((from, to)) = row.ends.split(',').next().and_then(|ends| ends.split_once(" to ")) else {
            continue;
        };
        let subnet = |end: &str| end.trim().rsplit_once('-').map(|(subnet, _)| format!("snet-{subnet}"));
        if let (Some(from), Some(to)) = (subnet(from), subnet(to)) {
            // G1 is open again after its silence.
            *by_hand.entry(format!("{from} {to}")).or_default() += if row.flow == "G1" { 2 } else { 1 };
        }
    }
    let name = |group: &Value, end: &str| group[end]["name"].as_str().expect("a name").to_owned();
    let here: BTreeMap<String, u64> = groups("pair")
        .iter()
        .map(|group| {
            let [allow, deny, ..] = flows(group);
            (format!("{} {}", name(group, "from"), name(group, "to")), allow + deny)
        })
        .collect();
    for pair in ["snet-web snet-app", "snet-app snet-db", "snet-web snet-db"] {
        assert!(by_hand.contains_key(pair), "{by_hand:?}");
        assert_eq!(here.get(pair), by_hand.get(pair), "{pair}");
    }
}

#[test]
fn an_interface_has_the_flows_whose_rows_have_its_address() {
    let rows = said(&[&REPLAY[..], &["--by", "flow"]].concat());
    // nic-web-1's addresses in the example, IPv4, IPv6 and public.
    let own = ["10.20.1.4", "fd00:20:0:1::4", "203.0.113.10"];
    let to =
        rows.lines().skip(1).filter(|row| own.contains(&row.split(',').nth(3).unwrap_or_default())).count();
    let groups = groups("nic");
    let group = groups.iter().find(|group| group["nic"] == "nic-web-1" && group["way"] == "to");
    assert_eq!(flows(group.expect("it is sent to")).iter().sum::<u64>(), to as u64);
}

#[test]
fn a_flow_counts_with_every_tag_that_holds_its_destination() {
    // `tags of` scans all tags for an address; the groups find them by prefix.
    let groups = groups("tag");
    let rows = said(&[&REPLAY[..], &["--by", "flow"]].concat());
    let mut by_tag: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows.lines().skip(1) {
        let destination = row.split(',').nth(3).expect("a destination");
        let tags: Value = serde_json::from_str(&said(&["tags", "of", "-q", "--format", "json", destination]))
            .expect("JSON");
        for tag in tags["tags"].as_array().or(tags["answers"][0]["tags"].as_array()).expect("tags") {
            *by_tag.entry(tag["name"].as_str().expect("a name").to_owned()).or_default() += 1;
        }
    }
    let here: BTreeMap<String, u64> = groups
        .iter()
        .filter(|group| group["way"] == "to")
        .map(|group| (group["tag"].as_str().expect("a name").to_owned(), flows(group).iter().sum()))
        .collect();
    assert!(by_tag.len() > 5, "{by_tag:?}");
    assert_eq!(here, by_tag);
}

#[test]
fn marks_are_a_line_for_each_verdict_over_the_hours() {
    let log = "target/tmp/grouped.csv";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(log);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    // Three flows in the first hour, none in the second, one in the third, all to an address that nobody has.
    let row = |time: &str, port: u16| format!("{time},10.20.1.5,{port},10.20.1.200,443,tcp\n");
    let rows = [
        "time,src,src_port,dst,dst_port,protocol\n".to_owned(),
        row("2026-11-02T09:00:00Z", 50001),
        row("2026-11-02T09:10:00Z", 50002),
        row("2026-11-02T09:59:59Z", 50003),
        row("2026-11-02T11:00:00Z", 50004),
    ];
    std::fs::write(&path, rows.concat()).expect("it can be written");
    let table = said(&["replay", "-q", "--no-timing", "-s", "data/example", log, "--by", "hour"]);
    let expected = "\
Flows by the hour in which they began
  deny          █ ▃  at most 3 flows an hour
  hour               allow  deny  undetermined  packets  bytes
  2026-11-02T09:00Z      0     3             0        0      0
  2026-11-02T11:00Z      0     1             0        0      0
";
    assert!(table.starts_with(expected), "{table}");
}
