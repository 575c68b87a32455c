//! The reader of flow logs: logs written by hand, cut and damaged, and published ones.
//!
//! Published logs are not in the repository: the variable `NSGSIM_SHARED` names the folder that has them.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::cell::Cell;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nsgsim::ingest::capture::Damage;
use nsgsim::ingest::capture::flow_log::{self, ReadLog, Skipped};
use nsgsim::ingest::error::IngestError;
use nsgsim::ingest::source;
use nsgsim::model::flow::Port;
use nsgsim::model::flow_log::{Encryption, FlowState, LoggedFlow, RuleKind, Volume};
use nsgsim::model::rule::{Access, Direction, Protocol};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

/// What a log came to, with everything that was handed on.
#[derive(Debug)]
struct Found {
    flows: Vec<LoggedFlow>,
    skipped: Vec<Skipped>,
    read: ReadLog,
}

fn try_read(stream: impl Read) -> Result<Found, IngestError> {
    let (mut flows, mut skipped) = (Vec::new(), Vec::new());
    let read = flow_log::read("PT1H.json", 3, stream, |item| match item {
        Ok(flow) => flows.push(flow),
        Err(item) => skipped.push(item),
    })?;
    assert_eq!((read.flows, read.skipped), (flows.len() as u64, skipped.len() as u64));
    Ok(Found { flows, skipped, read })
}

fn read(log: &str) -> Found {
    try_read(log.as_bytes()).unwrap()
}

/// What is said of a stream that is no flow log.
fn refused(log: &[u8]) -> String {
    try_read(log).unwrap_err().to_string()
}

fn log(records: &[Value]) -> String {
    json!({"records": records}).to_string()
}

/// A record of an NSG log with one rule and one NIC.
fn nsg(version: u64, rule: &str, tuples: &[&str]) -> Value {
    json!({
        "time": "2025-03-04T10:00:30.0000000Z",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": "/SUBSCRIPTIONS/0/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/NSG-Web",
        "operationName": "NetworkSecurityGroupFlowEvents",
        "properties": {
            "Version": version,
            "flows": [{"rule": rule, "flows": [{"mac": "000D3A0b0C0D", "flowTuples": tuples}]}],
        },
    })
}

/// A record of a VNet log with one rule.
fn vnet(acl: &str, rule: &str, tuples: &[&str]) -> Value {
    json!({
        "time": "2025-03-04T10:00:30.0000000Z",
        "flowLogVersion": 4,
        "macAddress": "000D3A0B0C0E",
        "category": "FlowLogFlowEvent",
        "operationName": "FlowLogFlowEvent",
        "flowRecords": {"flows": [{"aclID": acl, "flowGroups": [{"rule": rule, "flowTuples": tuples}]}]},
    })
}

const ONE: &str = "1741082401,198.51.100.7,10.43.0.4,51000,443,T,I,A";
const TWO: &str = "1741082402,198.51.100.7,10.43.0.4,51000,443,U,O,D,B,,,,";
const FOUR: &str = "1741082412345,10.43.0.4,198.51.100.7,55188,22,6,O,C,NX,1,2,3,4";

/// The one item of a log with this record, which cannot be read.
fn the_skipped(record: Value) -> Skipped {
    let mut found = read(&log(&[record]));
    assert!(found.flows.is_empty() && found.skipped.len() == 1, "{found:?}");
    found.skipped.remove(0)
}

/// The one flow of a VNet log with this tuple.
fn the_flow(acl: &str, rule: &str, tuple: &str) -> LoggedFlow {
    let mut found = read(&log(&[vnet(acl, rule, &[tuple])]));
    assert!(found.flows.len() == 1 && found.skipped.is_empty(), "{found:?}");
    found.flows.remove(0)
}

#[test]
fn one_blob_can_change_its_version() {
    let found = read(&log(&[
        nsg(2, "UserRule_a", &[TWO]),
        nsg(1, "DefaultRule_b", &[ONE]),
        vnet("id", "c", &[FOUR]),
    ]));
    assert_eq!((found.read.records, found.read.flows, found.read.damage), (3, 3, None));
    let [two, one, four] = &found.flows[..] else { panic!("{:?}", found.flows) };

    assert_eq!((two.location.file, two.location.number, two.tuple), (3, 1, 1));
    assert_eq!((&*two.acl, &*two.rule, two.rule_kind), ("nsg-web", "a", RuleKind::User));
    assert_eq!((two.time_ms, two.mac), (1_741_082_402_000, [0, 0x0d, 0x3a, 0x0b, 0x0c, 0x0d]));
    assert_eq!(
        (two.protocol, two.direction, two.decision),
        (Protocol::UDP, Direction::Outbound, Access::Deny)
    );
    assert_eq!((two.state, two.encryption), (Some(FlowState::Begin), None));
    assert_eq!((two.sent, two.returned), (Volume::default(), Volume::default()));

    assert_eq!((one.location.number, &*one.rule, one.rule_kind), (2, "b", RuleKind::Default));
    assert_eq!(
        (one.protocol, one.direction, one.decision),
        (Protocol::TCP, Direction::Inbound, Access::Allow)
    );
    assert_eq!((one.state, one.encryption), (None, None));

    assert_eq!((four.location.number, &*four.acl, four.rule_kind), (3, "id", RuleKind::Admin));
    assert_eq!((four.source_port, four.destination_port), (55188, 22));
    assert_eq!((four.state, four.encryption), (Some(FlowState::Continue), Some(Encryption::Unencrypted)));
    assert_eq!(four.sent, Volume { packets: Some(1), bytes: Some(2) });
    assert_eq!(four.returned, Volume { packets: Some(3), bytes: Some(4) });
}

#[test]
fn a_file_that_is_cut_inside_a_record_counts_up_to_there() {
    let whole = log(&[nsg(1, "UserRule_a", &[ONE]), nsg(1, "UserRule_a", &[ONE, ONE])]);
    let second = whole.rfind("{\"time\"").unwrap();
    for end in second + 1..whole.len() - 2 {
        let found = read(&whole[..end]);
        assert_eq!((found.read.records, found.flows.len()), (1, 1));
        let damage = Damage {
            after_record: 1,
            offset: second as u64,
            unread_bytes: Some((end - second) as u64),
            message: "the file ends inside record 2".to_owned(),
        };
        assert_eq!(found.read.damage, Some(damage), "cut at {end}");
    }
}

#[test]
fn a_file_that_is_cut_between_records_says_so() {
    let whole = log(&[nsg(1, "UserRule_a", &[ONE]), nsg(1, "UserRule_a", &[ONE])]);
    let second = whole.rfind("{\"time\"").unwrap();
    for (end, records, offset) in [
        (r#"{"records":["#.len(), 0, r#"{"records":["#.len()),
        (second - 1, 1, second - 1),
        (second, 1, second - 1),
        (whole.len() - 2, 2, whole.len() - 2),
        (whole.len() - 1, 2, whole.len() - 2),
    ] {
        let found = read(&whole[..end]);
        let damage = found.read.damage.unwrap();
        assert_eq!((found.read.records, damage.after_record), (records, records), "cut at {end}");
        assert_eq!(damage.offset, offset as u64, "cut at {end}");
        assert_eq!(damage.unread_bytes, Some((end - offset) as u64), "cut at {end}");
        assert_eq!(
            damage.message,
            format!("the file ends after record {records}, before the end of its list")
        );
    }
}

#[test]
fn what_is_no_json_ends_the_log_and_is_told() {
    let first = nsg(1, "UserRule_a", &[ONE]).to_string();
    let found = read(&format!("{{\"records\":[{first}, {{\"time\" 5}}, {first}]}}"));
    let damage = found.read.damage.unwrap();
    assert_eq!((found.flows.len(), damage.after_record), (1, 1));
    assert_eq!(damage.offset, r#"{"records":[, "#.len() as u64 + first.len() as u64);
    assert!(damage.message.starts_with("record 2: expected `:` at line 1"), "{}", damage.message);

    let found = read(&format!("{{\"records\":[{first}]}} and more"));
    let damage = found.read.damage.unwrap();
    assert_eq!((found.flows.len(), damage.after_record), (1, 1));
    assert!(damage.message.starts_with("after record 1: trailing characters"), "{}", damage.message);

    let mut bytes = log(&[nsg(1, "UserRule_a", &[ONE]), nsg(1, "UserRule_a", &[ONE])]).into_bytes();
    let last = bytes.len() - 20;
    bytes[last] = 0xff;
    let found = try_read(&*bytes).unwrap();
    let damage = found.read.damage.unwrap();
    assert_eq!((found.flows.len(), damage.after_record), (1, 1));
    assert!(damage.message.starts_with("record 2: invalid unicode code point"), "{}", damage.message);
}

#[test]
fn a_stream_that_cannot_be_read_on_ends_the_log() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("corrupt deflate stream"))
        }
    }
    let whole = log(&[nsg(1, "UserRule_a", &[ONE]), nsg(1, "UserRule_a", &[ONE])]);
    let found = try_read(whole.as_bytes()[..whole.len() - 20].chain(Broken)).unwrap();
    let damage = found.read.damage.unwrap();
    assert_eq!((found.flows.len(), damage.after_record, damage.unread_bytes), (1, 1, None));
    assert_eq!(damage.message, "record 2: cannot be read on: corrupt deflate stream");
    assert!(matches!(try_read(Broken), Err(IngestError::Io { .. })));
}

#[test]
fn what_is_no_flow_log_is_refused() {
    let expected = "expected a flow log (an object with the list `records`)";
    assert_eq!(refused(b""), format!("PT1H.json: the file is empty: {expected}"));
    assert_eq!(refused(b"{}"), format!("PT1H.json: has no member `records`: {expected}"));
    assert_eq!(refused(b"{\"rec"), format!("PT1H.json: the file ends before its list `records`: {expected}"));
    assert!(refused(b"[1]").ends_with(expected), "{}", refused(b"[1]"));
    assert!(refused(b"\xd4\xc3\xb2\xa1\x02\x00").ends_with(expected));
    assert!(refused(b"{\"records\": 5}").contains("invalid type: integer `5`"));
}

#[test]
fn other_members_and_a_byte_order_mark_are_passed_over() {
    let text = format!(
        "\u{feff}{{\"a\": [1, {{}}], \"records\": [{}], \"b\": null}}\r\n",
        nsg(1, "UserRule_a", &[ONE])
    );
    let found = read(&text);
    assert_eq!((found.flows.len(), found.read.damage), (1, None));
    assert_eq!(found.read.bytes_read, text.len() as u64);
}

#[test]
fn a_damaged_tuple_is_told_and_its_neighbours_count() {
    let cases = [
        ("", "`` has 1 fields: version 2 has 13"),
        (ONE, "has 8 fields: version 2 has 13"),
        (
            "x,198.51.100.7,10.43.0.4,51000,443,U,O,D,B,,,,",
            "time `x`: expected seconds or milliseconds since 1970",
        ),
        ("18446744073710,198.51.100.7,10.43.0.4,51000,443,U,O,D,B,,,,", "time `18446744073710`"),
        (
            "1741082402,198.51.100,10.43.0.4,51000,443,U,O,D,B,,,,",
            "source address `198.51.100`: expected an IP",
        ),
        ("1741082402,198.51.100.7,,51000,443,U,O,D,B,,,,", "destination address ``: expected an IP address"),
        ("1741082402,198.51.100.7,2001:db8::1,51000,443,U,O,D,B,,,,", "are of two families"),
        ("1741082402,198.51.100.7,10.43.0.4,65536,443,U,O,D,B,,,,", "source port `65536`: expected a number"),
        ("1741082402,198.51.100.7,10.43.0.4,51000,+443,U,O,D,B,,,,", "destination port `+443`: expected"),
        ("1741082402,198.51.100.7,10.43.0.4,51000,443,6,O,D,B,,,,", "protocol `6`: expected `T` or `U`"),
        ("1741082402,198.51.100.7,10.43.0.4,51000,443,U,X,D,B,,,,", "direction `X`: expected `I` or `O`"),
        ("1741082402,198.51.100.7,10.43.0.4,51000,443,U,O,B,B,,,,", "decision `B`: expected `A` or `D`"),
        ("1741082402,198.51.100.7,10.43.0.4,51000,443,U,O,D,D,,,,", "state `D`: expected `B`, `C` or `E`"),
        (
            "1741082402,198.51.100.7,10.43.0.4,51000,443,U,O,D,C,-1,,,",
            "packets `-1`: expected a number or nothing",
        ),
        (
            "1741082402,198.51.100.7,10.43.0.4,51000,443,U,O,D,C,1,2,3,y",
            "bytes `y`: expected a number or nothing",
        ),
    ];
    for (damaged, message) in cases {
        let found = read(&log(&[nsg(1, "UserRule_a", &[ONE]), nsg(2, "UserRule_a", &[TWO, damaged, TWO])]));
        assert_eq!(found.flows.iter().map(|flow| flow.tuple).collect::<Vec<_>>(), [1, 1, 3]);
        let [skipped] = &found.skipped[..] else { panic!("{damaged}: {:?}", found.skipped) };
        assert_eq!((skipped.record, skipped.tuples), (2, Some(1)));
        assert_eq!(skipped.place, "PT1H.json#/records/1/properties/flows/0/flows/0/flowTuples/1");
        assert!(skipped.message.contains(message), "{damaged}: {}", skipped.message);
    }
}

#[test]
fn a_damaged_tuple_of_a_vnet_log_is_told() {
    let cases = [
        (FOUR.replace(",6,", ",T,"), "protocol `T`: expected a number up to 255"),
        (FOUR.replace(",6,", ",256,"), "protocol `256`: expected a number up to 255"),
        (FOUR.replace(",C,", ",A,"), "state `A`: expected `B`, `C`, `E` or `D`"),
        (FOUR.replace(",NX,", ",NX_,"), "encryption `NX_`: expected `X`, or `NX` and its reason"),
        (FOUR.replace(",NX,", ","), "has 12 fields: version 4 has 13"),
        (format!("{FOUR},5"), "has 14 fields: version 4 has 13"),
    ];
    for (damaged, message) in cases {
        let skipped = the_skipped(vnet("id", "c", &[&damaged]));
        assert_eq!(skipped.place, "PT1H.json#/records/0/flowRecords/flows/0/flowGroups/0/flowTuples/0");
        assert!(skipped.message.contains(message), "{damaged}: {}", skipped.message);
    }
}

#[test]
fn a_tuple_that_is_no_text_is_a_damaged_tuple() {
    let mut record = vnet("id", "c", &[FOUR, FOUR]);
    record["flowRecords"]["flows"][0]["flowGroups"][0]["flowTuples"][0] = json!({"a": 1});
    let found = read(&log(&[record]));
    assert_eq!((found.flows.len(), found.skipped.len()), (1, 1));
    assert_eq!(found.skipped[0].message, "`{\"a\":1}`: expected a text");
}

#[test]
fn a_tuple_may_hold_escapes() {
    let text = log(&[vnet("id", "c", &[FOUR])]).replace("10.43.0.4", "10.43\\u002e0.4");
    assert_eq!(read(&text).flows[0].source.to_string(), "10.43.0.4");
}

#[test]
fn a_group_without_a_usable_head_is_told_with_its_tuples() {
    let mut record = nsg(1, "UserRule_a", &[ONE, ONE]);
    record["properties"]["flows"][0]["flows"][0]["mac"] = json!("000D3A0B0C");
    let skipped = the_skipped(record);
    assert_eq!(skipped.place, "PT1H.json#/records/0/properties/flows/0/flows/0");
    assert_eq!(skipped.message, "`000D3A0B0C`: expected the MAC address of an NIC, 12 hexadecimal digits");
    assert_eq!(skipped.tuples, Some(2));

    let skipped = the_skipped(nsg(1, "UserRule_", &[ONE]));
    assert_eq!((&*skipped.message, skipped.tuples), ("rule `UserRule_`: expected a name", Some(1)));
}

#[test]
fn a_group_without_a_mac_address_is_of_the_records_nic() {
    let mut record = nsg(1, "UserRule_a", &[ONE]);
    record["properties"]["flows"][0]["flows"][0].as_object_mut().unwrap().remove("mac");
    assert!(the_skipped(record.clone()).message.starts_with("no MAC address: expected"));
    record["macAddress"] = json!("000D3A0B0CFF");
    assert_eq!(read(&log(&[record])).flows[0].mac[5], 0xff);
}

#[test]
fn a_record_of_another_shape_is_told_and_the_next_one_counts() {
    let without = |record: Value, member: &str| {
        let mut record = record;
        record.as_object_mut().unwrap().remove(member);
        record
    };
    let with = |pointer: &str, value: Value| {
        let mut record = nsg(1, "UserRule_a", &[ONE]);
        *record.pointer_mut(pointer).unwrap() = value;
        record
    };
    let mut older = vnet("id", "c", &[FOUR]);
    older["flowLogVersion"] = json!(3);
    let cases = [
        (json!(5), "", "invalid type: integer `5`"),
        (json!({}), "", "missing field `category`"),
        (
            with("/category", json!("NetworkSecurityGroupEvent")),
            "/category",
            "`NetworkSecurityGroupEvent`: expected `NetworkSecurityGroupFlowEvent` or `FlowLogFlowEvent`",
        ),
        (with("/properties/Version", json!(3)), "/properties/Version", "`3`: expected 1 or 2"),
        (with("/properties/Version", json!("2")), "/properties/Version", "invalid type: string \"2\""),
        (with("/resourceId", json!("/subscriptions/0")), "/resourceId", "expected the ID of an NSG"),
        (with("/properties/flows/0/rule", json!(7)), "/properties/flows/0/rule", "invalid type: integer `7`"),
        (
            with("/properties/flows/0/flows/0/flowTuples", json!("x")),
            "/properties/flows/0/flows/0/flowTuples",
            "invalid type: string \"x\", expected a sequence",
        ),
        (older, "/flowLogVersion", "`3`: expected 4"),
        (without(vnet("id", "c", &[FOUR]), "macAddress"), "", "missing field `macAddress`"),
    ];
    for (record, pointer, message) in cases {
        let found = read(&log(&[record, vnet("id", "c", &[FOUR])]));
        assert_eq!((found.read.records, found.flows.len()), (2, 1), "{message}");
        let [skipped] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
        assert_eq!((skipped.record, skipped.tuples), (1, None));
        assert_eq!(skipped.place, format!("PT1H.json#/records/0{pointer}"));
        assert!(skipped.message.contains(message), "{}", skipped.message);
    }
}

#[test]
fn times_below_ten_to_the_eleventh_are_seconds() {
    let at = |time: &str| FOUR.replace("1741082412345", time);
    for (written, time_ms) in [
        ("0", 0),
        ("1663146003", 1_663_146_003_000),
        ("18446744073", 18_446_744_073_000),
        ("100000000000", 100_000_000_000),
        ("1663146003599", 1_663_146_003_599),
        ("18446744073709", 18_446_744_073_709),
    ] {
        assert_eq!(the_flow("id", "c", &at(written)).time_ms, time_ms, "{written}");
    }
    // Seconds still, but in nanoseconds more than 64 bits hold.
    let skipped = the_skipped(vnet("id", "c", &[&at("99999999999")]));
    assert_eq!(skipped.message, "time `99999999999`: expected seconds or milliseconds since 1970");
}

#[test]
fn the_platforms_rule_and_no_rule_are_told_from_admin_rules() {
    let zero = "00000000-0000-0000-0000-000000000000";
    for (rule, name, kind) in [
        ("PlatformRule", "PlatformRule", RuleKind::Platform),
        ("unspecified", "unspecified", RuleKind::Unspecified),
        ("UserRule_PlatformRule", "PlatformRule", RuleKind::User),
        ("UserRule_UserRule_a", "UserRule_a", RuleKind::User),
        ("DefaultRule_AllowVnetInBound", "AllowVnetInBound", RuleKind::Default),
        ("securityRules/a", "a", RuleKind::User),
        ("defaultSecurityRules/DenyAllInBound", "DenyAllInBound", RuleKind::Default),
        ("AlwaysAllowUpdates", "AlwaysAllowUpdates", RuleKind::Admin),
    ] {
        let flow = the_flow(zero, rule, FOUR);
        assert_eq!((&*flow.acl, &*flow.rule, flow.rule_kind), (zero, name, kind));
    }
}

#[test]
fn encryption_has_eight_words() {
    let words = [
        "X",
        "NX",
        "NX_HW_NOT_SUPPORTED",
        "NX_SW_NOT_READY",
        "NX_NOT_ACCEPTED",
        "NX_NOT_SUPPORTED",
        "NX_LOCAL_DST",
        "NX_FALLBACK",
    ];
    for (word, encryption) in words.into_iter().zip(Encryption::ALL) {
        let tuple = FOUR.replace(",NX,", &format!(",{word},"));
        let flow = the_flow("unspecified", "unspecified", &tuple);
        assert_eq!((flow.encryption, encryption.to_string()), (Some(encryption), word.to_owned()));
    }
}

#[test]
fn the_state_of_a_vnet_log_is_its_decision() {
    for (letter, state, decision) in [
        ("B", FlowState::Begin, Access::Allow),
        ("C", FlowState::Continue, Access::Allow),
        ("E", FlowState::End, Access::Allow),
        ("D", FlowState::Denied, Access::Deny),
    ] {
        let flow = the_flow("id", "c", &FOUR.replace(",C,", &format!(",{letter},")));
        assert_eq!((flow.state, flow.decision), (Some(state), decision));
        assert_eq!(state.to_string(), letter);
    }
}

#[test]
fn counts_may_be_empty_one_by_one() {
    let flow = the_flow("id", "c", "1741082412345,10.0.0.4,10.0.0.5,1,2,17,I,B,X,,0,7,");
    assert_eq!(flow.sent, Volume { packets: None, bytes: Some(0) });
    assert_eq!(flow.returned, Volume { packets: Some(7), bytes: None });
}

#[test]
fn addresses_may_be_ipv6() {
    let flow = the_flow("id", "c", "1741082412345,2001:db8::4,2001:DB8:0::5,50000,443,6,O,B,X,0,0,0,0");
    let tuple = flow.five_tuple();
    assert_eq!((tuple.source, tuple.destination), (flow.source, flow.destination));
    assert_eq!(
        (flow.source.to_string(), flow.destination.to_string()),
        ("2001:db8::4".into(), "2001:db8::5".into())
    );
    assert_eq!((tuple.source_port, tuple.destination_port), (Port::Number(50000), Port::Number(443)));
}

#[test]
fn icmp_has_no_ports_for_rules_whatever_is_logged() {
    let flow = the_flow("id", "c", "1741082412345,10.0.0.4,10.0.0.5,8,0,1,O,B,X,0,0,0,0");
    assert_eq!((flow.protocol, flow.source_port, flow.destination_port), (Protocol::ICMP, 8, 0));
    let tuple = flow.five_tuple();
    assert_eq!((tuple.source_port, tuple.destination_port), (Port::None, Port::None));
}

/// Each published log with the number of its records, of its tuples, and of those that have the eight fields of
/// version 1, counted without this reader: `zcat -f FILE | jq '(.records | length), ([.. | .flowTuples? // empty |
/// .[]] | length, (map(select(split(",") | length == 8)) | length))'`.
const PUBLISHED: [(&str, u64, u64, u64); 4] = [
    ("nsg-v2-2020-07-08-PT1H.json.gz", 15, 8203, 0),
    ("nsg-v2-then-v1-2021-12-13-part-PT1H.json", 5, 802, 718),
    ("vnet-v4-2022-09-14-docs.json", 1, 19, 0),
    ("vnet-v4-2026-08-13-part-PT1H.json", 2, 30, 0),
];

/// The published logs, where the environment names their folder.
fn published() -> Option<PathBuf> {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED") else {
        println!("NSGSIM_SHARED is not set: no published logs to read");
        return None;
    };
    // A relative folder is meant from the repository's root.
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(PathBuf::from(shared)).join("data/flow-logs"))
}

#[test]
fn published_logs_are_read_to_the_last_tuple() {
    let Some(folder) = published() else { return };
    for (name, records, tuples, of_version_1) in PUBLISHED {
        let (mut without_state, mut skipped) = (0, Vec::new());
        let read = flow_log::read_file(&folder.join(name), 0, |item| match item {
            Ok(flow) => without_state += u64::from(flow.state.is_none()),
            Err(item) => skipped.push(item),
        });
        let read = read.unwrap();
        assert_eq!((skipped, read.damage.as_ref()), (Vec::new(), None), "{name}");
        assert_eq!((read.records, read.flows, without_state), (records, tuples, of_version_1), "{name}");
    }
    let listed = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    // The rules of an NSG stand beside the logs.
    let logs = listed.filter(|name| !name.to_string_lossy().ends_with(".nsg.json")).count();
    assert_eq!(logs, PUBLISHED.len(), "every log of the folder is counted above");
}

#[test]
fn flows_of_published_logs_spell_the_tuples_that_they_were() {
    let Some(folder) = published() else { return };
    for (name, _, tuples, _) in PUBLISHED {
        let path = folder.join(name);
        let whole: Value = serde_json::from_reader(source::open(&path).unwrap()).unwrap();
        let mut expected = Vec::new();
        for (record, number) in whole["records"].as_array().unwrap().iter().zip(1..) {
            lines(record, number, "", &mut expected);
        }
        let mut found = Vec::new();
        let read = flow_log::read_file(&path, 0, |item| found.push(line(&item.unwrap())));
        assert_eq!((found.len() as u64, read.unwrap().flows), (tuples, tuples));
        assert!(found == expected, "{name}");
    }
}

/// Each tuple below a value of a log, with the number of its record and its rule before it.
fn lines(value: &Value, number: u64, rule: &str, lines_so_far: &mut Vec<String>) {
    let rule = value["rule"].as_str().unwrap_or(rule);
    for list in ["properties", "flowRecords", "flows", "flowGroups"] {
        match &value[list] {
            Value::Array(items) => {
                items.iter().for_each(|item| lines(item, number, rule, lines_so_far));
            }
            other @ Value::Object(_) => lines(other, number, rule, lines_so_far),
            _ => {}
        }
    }
    for tuple in value["flowTuples"].as_array().into_iter().flatten() {
        lines_so_far.push(format!("{number} {rule} {}", tuple.as_str().unwrap()));
    }
}

/// A flow as [`lines`] gives it.
fn line(flow: &LoggedFlow) -> String {
    let prefix = match flow.rule_kind {
        RuleKind::User => "UserRule_",
        RuleKind::Default => "DefaultRule_",
        RuleKind::Admin | RuleKind::Platform | RuleKind::Unspecified => "",
    };
    format!("{} {prefix}{} {}", flow.location.number, flow.rule, tuple(flow))
}

/// A flow as the tuple that it was.
fn tuple(flow: &LoggedFlow) -> String {
    let count = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
    let way = |volume: Volume| format!("{},{}", count(volume.packets), count(volume.bytes));
    let direction = if flow.direction == Direction::Inbound { "I" } else { "O" };
    let decision = if flow.decision == Access::Allow { "A" } else { "D" };
    let ends = format!("{},{},{},{}", flow.source, flow.destination, flow.source_port, flow.destination_port);
    let letter = if flow.protocol == Protocol::TCP { "T" } else { "U" };
    let seconds = flow.time_ms / 1000;
    match (flow.state, flow.encryption) {
        (Some(state), Some(encryption)) => format!(
            "{},{ends},{},{direction},{state},{encryption},{},{}",
            flow.time_ms,
            flow.protocol.0,
            way(flow.sent),
            way(flow.returned)
        ),
        (Some(state), None) => format!(
            "{seconds},{ends},{letter},{direction},{decision},{state},{},{}",
            way(flow.sent),
            way(flow.returned)
        ),
        (None, _) => format!("{seconds},{ends},{letter},{direction},{decision}"),
    }
}

#[test]
fn a_log_is_not_held_whole() {
    /// A list of one record over and over that counts what was taken of it.
    struct Long<'a> {
        chunk: &'a [u8],
        left: u64,
        at: usize,
        taken: &'a Cell<u64>,
    }
    impl Read for Long<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.at == self.chunk.len() && self.left > 0 {
                (self.at, self.left) = (0, self.left - 1);
            }
            let count = (&self.chunk[self.at..]).read(into)?;
            self.at += count;
            self.taken.set(self.taken.get() + count as u64);
            Ok(count)
        }
    }
    let taken = Cell::new(0);
    let chunk = format!("{},", nsg(2, "UserRule_a", &[TWO; 20]));
    let long = Long { chunk: chunk.as_bytes(), left: 2000, at: chunk.len(), taken: &taken };
    let last = format!("{}]}}", nsg(2, "UserRule_a", &[TWO]));
    let mut ahead = 0;
    let read = flow_log::read("long", 0, b"{\"records\":[".chain(long).chain(last.as_bytes()), |item| {
        let used = item.unwrap().location.number * chunk.len() as u64;
        ahead = ahead.max(taken.get().saturating_sub(used));
    });
    assert_eq!(read.unwrap().flows, 40_001);
    assert!(taken.get() > 2 << 20 && ahead < 128 << 10, "{ahead} of {} bytes were read ahead", taken.get());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/flow_logs"))),
        ..ProptestConfig::default()
    })]

    /// Also: what is not refused is accounted for to the last byte.
    #[test]
    fn mutated_logs_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let whole = log(&[
            nsg(1, "UserRule_a", &[ONE, ONE]),
            nsg(2, "DefaultRule_b", &[TWO]),
            vnet("unspecified", "unspecified", &[FOUR]),
        ]);
        let mut bytes = whole.into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok(found) = try_read(&*bytes) {
            match found.read.damage {
                None => prop_assert_eq!(found.read.bytes_read, bytes.len() as u64),
                Some(damage) => {
                    prop_assert_eq!(damage.after_record, found.read.records);
                    if let Some(unread) = damage.unread_bytes {
                        prop_assert_eq!(damage.offset + unread, bytes.len() as u64);
                    }
                }
            }
        }
    }
}
