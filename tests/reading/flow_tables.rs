//! The reader of flow tables: rows written by hand in every format, damaged ones, and tables without end.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[cfg(feature = "parquet")]
mod parquet;

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nsgsim::ingest::capture::Damage;
use nsgsim::ingest::capture::flow_table::{
    Columns, FIRST_BYTES, FlowTable, Kind, SkipCause, Skipped, recognise,
};
use nsgsim::ingest::error::IngestError;
use nsgsim::model::flow::Port;
use nsgsim::model::flow_log::{RuleKind, Volume};
use nsgsim::model::record::Location;
use nsgsim::model::recorded::{Part, RecordedFlow, SeenAt};
use nsgsim::model::rule::{Access, Direction};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// What a table came to, with everything that was handed on.
#[derive(Debug)]
struct Found {
    kind: Kind,
    flows: Vec<RecordedFlow>,
    skipped: Vec<Skipped>,
    rows: u64,
    damage: Option<Damage>,
    bytes_read: u64,
}

/// Reads a table to its end, in small batches.
fn drain(mut table: FlowTable) -> Found {
    let (mut flows, mut skipped) = (Vec::new(), Vec::new());
    let mut rows = 0;
    loop {
        let mut batch = Vec::new();
        let count = table.read_batch(3, &mut batch).unwrap();
        assert!(count <= 3 && batch.len() >= count);
        rows += count as u64;
        for item in batch {
            match item {
                Ok(flow) => flows.push(flow),
                Err(item) => skipped.push(item),
            }
        }
        if count == 0 {
            break;
        }
    }
    assert_eq!(rows, table.rows_read());
    let (kind, damage, bytes_read) = (table.kind(), table.damage().cloned(), table.bytes_read());
    Found { kind, flows, skipped, rows, damage, bytes_read }
}

fn try_read(bytes: impl Into<Vec<u8>>, columns: &str) -> Result<Found, IngestError> {
    let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
    let stream = Box::new(Cursor::new(bytes.into()));
    FlowTable::from_reader("flows", 3, stream, &columns).map(drain)
}

fn read(text: &str) -> Found {
    try_read(text, "").unwrap()
}

/// The flows of a table that has no row but good ones.
fn flows(text: &str) -> Vec<RecordedFlow> {
    let found = read(text);
    assert!(found.skipped.is_empty() && found.damage.is_none(), "{found:?}");
    found.flows
}

/// What is said of a stream that is refused.
fn refused(text: &str, columns: &str) -> String {
    try_read(text, columns).unwrap_err().to_string()
}

/// What is said of each row that was skipped.
fn complaints(found: &Found) -> Vec<String> {
    found.skipped.iter().map(|skipped| format!("{}: {}", skipped.place, skipped.message)).collect()
}

/// The flow in short: its ends, ports and protocol.
fn short(flow: &RecordedFlow) -> String {
    let tuple = flow.five_tuple;
    let port = |port| match port {
        Port::Number(number) => format!(":{number}"),
        Port::NotGiven => ":?".to_owned(),
        Port::None => String::new(),
    };
    let (source, destination) = (port(tuple.source_port), port(tuple.destination_port));
    format!("{}{source} > {}{destination} {}", tuple.source, tuple.destination, tuple.protocol)
}

fn volume(packets: u64, bytes: u64) -> Volume {
    Volume { packets: Some(packets), bytes: Some(bytes) }
}

const HEADER: &str = "time,src,src_port,dst,dst_port,proto,packets,bytes,action\n";

/// 2026-11-30T15:37:54Z, by `date --date=@1796053074 --utc`.
const SECONDS: u64 = 1_796_053_074;

#[test]
fn a_csv_of_one_row() {
    let found = read(&format!("{HEADER}1796053074,10.0.1.4,50000,10.0.2.4,443,tcp,10,1400,allow\n"));
    assert_eq!((found.kind, found.rows, found.damage), (Kind::Csv, 1, None));
    let [flow] = &found.flows[..] else { panic!("{:?}", found.flows) };
    assert_eq!(flow.location, Location { file: 3, number: 1 });
    assert_eq!(flow.time_ns, Some(SECONDS * 1_000_000_000));
    assert_eq!(short(flow), "10.0.1.4:50000 > 10.0.2.4:443 tcp");
    assert_eq!((flow.seen_at, flow.part), (None, Part::Whole));
    assert_eq!((flow.sent, flow.returned), (volume(10, 1400), Volume::default()));
    let verdict = flow.verdict.as_ref().unwrap();
    assert_eq!((verdict.access, &verdict.rule), (Access::Allow, &None));
}

#[test]
fn commas_tabs_and_semicolons_part_columns() {
    let row = "1796053074,10.0.1.4,50000,10.0.2.4,443,tcp,10,1400,allow\r\n";
    let expected = flows(&format!("{HEADER}{row}"));
    for delimiter in ["\t", ";"] {
        assert_eq!(flows(&format!("{HEADER}{row}").replace(',', delimiter)), expected, "{delimiter:?}");
    }
    assert_eq!(flows(&format!("\u{feff}{HEADER}{row}")), expected);
}

#[test]
fn a_file_without_rows_is_a_table() {
    assert_eq!(read(HEADER).rows, 0);
    assert_eq!(read("[]").rows, 0);
    assert_eq!(read("#separator \\x09\n#fields\tid.orig_h\tid.resp_h\tproto\n#close\tx\n").rows, 0);
    assert_eq!(read("version srcaddr dstaddr protocol\n").rows, 0);
}

#[test]
fn a_bad_row_is_told_and_its_neighbours_count() {
    let good = "1796053074,10.0.1.4,50000,10.0.2.4,443,tcp,10,1400,allow";
    for (bad, message) in [
        (good.replace("443", "70000"), "column `dst_port`: `70000`: expected a number up to 65535"),
        (good.replace("443", "80-90"), "column `dst_port`: `80-90`: expected one number up to 65535"),
        (good.replace("50000", "-1"), "column `src_port`: `-1`: expected a number up to 65535"),
        (
            good.replace("10.0.1.4", "10.0.1.0/24"),
            "column `src`: `10.0.1.0/24`: expected an IP address, not a block",
        ),
        (good.replace("10.0.1.4", "host-1"), "column `src`: `host-1`: expected an IP address"),
        (good.replace("10.0.1.4", ""), "column `src`: nothing: expected an IP address"),
        (good.replace("10.0.2.4", "2001:db8::1"), "`10.0.1.4` and `2001:db8::1` are of two families"),
        (
            good.replace("tcp", "tcq"),
            "column `proto`: `tcq`: expected a protocol's name or its number up to 255",
        ),
        (
            good.replace("tcp", "-"),
            "column `proto`: nothing: expected a protocol's name or its number up to 255",
        ),
        (good.replace("1400", "1.5"), "column `bytes`: `1.5`: expected a number or nothing"),
        (good.replace(",10,", ",-10,"), "column `packets`: `-10`: expected a number or nothing"),
        (
            good.replace("allow", "maybe"),
            "column `action`: `maybe`: expected `allow` or `deny`, or `A`, `D`, `accept`, `reject` and the like",
        ),
        (
            good.replace("1796053074", "yesterday"),
            "column `time`: `yesterday`: expected a time from 1970 on: a number, RFC 3339, `YYYY-MM-DD HH:MM:SS`, or \
             `M/D/YYYY, H:MM:SS AM`",
        ),
        (format!("{good},more"), "has 10 columns: the header has 9"),
        (good.replace(",allow", ""), "has 8 columns: the header has 9"),
    ] {
        let found = read(&format!("{HEADER}{good}\n{bad}\n{good}\n"));
        assert_eq!(complaints(&found), [format!("flows: row 2: {message}")], "{bad}");
        assert_eq!(found.flows.iter().map(|flow| flow.location.number).collect::<Vec<_>>(), [1, 3]);
        let skipped = &found.skipped[0];
        assert_eq!(
            (skipped.location, skipped.cause),
            (Location { file: 3, number: 2 }, SkipCause::Unreadable)
        );
    }
}

#[test]
fn a_value_that_is_no_text_is_told() {
    let mut bytes = format!("{HEADER}1,10.0.1.4,1,10.0.2.4,2,tcp,1,1,allow\n").into_bytes();
    let at = bytes.len() - 4;
    bytes[at] = 0xff;
    let found = try_read(bytes, "").unwrap();
    assert_eq!(complaints(&found), ["flows: row 1: column `action`: `al\u{fffd}ow`: expected UTF-8"]);
}

#[test]
fn a_quotation_mark_that_is_not_closed_is_pointed_out() {
    let good = "1,10.0.1.4,1,10.0.2.4,2,tcp,1,1,allow\n";
    let found = read(&format!("{HEADER}{good}\"{good}{good}{good}"));
    assert_eq!((found.rows, found.flows.len()), (2, 1));
    assert_eq!(
        complaints(&found),
        [
            "flows: row 2: has 1 columns: the header has 9 (the row begins on line 3 and goes on over several: perhaps a \
          quotation mark is not closed)"
        ]
    );
}

#[test]
fn quoted_values_may_hold_delimiters_and_line_breaks() {
    let found = flows("note,src,dst,proto\n\"a, b\nc\",10.0.1.4,10.0.2.4,udp\n");
    assert_eq!(short(&found[0]), "10.0.1.4:? > 10.0.2.4:? udp");
}

#[test]
fn ports_that_are_not_there_are_not_given_and_icmp_has_none() {
    let found = flows(
        "src,sport,dst,dport,protocol\n10.0.1.4,,10.0.2.4,443,6\n10.0.1.4,8,10.0.2.4,0,1\n10.0.1.4,x,10.0.2.4,y,icmp\n\
         2001:db8::1,128,2001:db8::2,0,icmp\n10.0.1.4,,10.0.2.4,,47\n",
    );
    assert_eq!(
        found.iter().map(short).collect::<Vec<_>>(),
        [
            "10.0.1.4:? > 10.0.2.4:443 tcp",
            "10.0.1.4 > 10.0.2.4 icmp",
            "10.0.1.4 > 10.0.2.4 icmp",
            "2001:db8::1 > 2001:db8::2 icmpv6",
            "10.0.1.4 > 10.0.2.4 gre",
        ]
    );
}

#[test]
fn columns_are_known_by_many_names() {
    for header in [
        "src,src_port,dst,dst_port,proto",
        "Source IP,Source Port,Destination IP,Destination Port,Protocol",
        "SrcIp,SrcPort,DestIp,DestPort,L4Protocol",
        "srcaddr,srcport,dstaddr,dstport,protocol",
        "sa,sp,da,dp,pr",
        "SOURCE_ADDRESS,SPORT,DESTINATION_ADDRESS,DPORT,IP_PROTOCOL",
    ] {
        let found = flows(&format!("{header}\n10.0.1.4,50000,10.0.2.4,443,17\n"));
        assert_eq!(short(&found[0]), "10.0.1.4:50000 > 10.0.2.4:443 udp", "{header}");
    }
}

#[test]
fn the_user_says_which_column_says_what() {
    let table = "a,b,c,src,x\n10.0.1.4,10.0.2.4,TCP,192.0.2.1,8080\n";
    assert_eq!(
        refused(table, ""),
        "flows: no column for `dst`, `protocol`: expected names such as `DestIp`, `DestIP_s`, `dst`, `dest`; `L4Protocol`, \
         `L4Protocol_s`, `ip_proto`, `protocol`; found `a`, `b`, `c`, `src`, `x`; --columns dst=NAME,protocol=NAME says which"
    );
    let found = try_read(table, "src=A, dst=b,protocol=c,dst_port=x").unwrap();
    assert_eq!(short(&found.flows[0]), "10.0.1.4:? > 10.0.2.4:8080 tcp");
    assert_eq!(
        refused(table, "src=a,dst=b,protocol=z"),
        "flows: no column `z`, which is to say `protocol`: found `a`, `b`, `c`, `src`, `x`"
    );
    let lines = "{\"a\": \"10.0.1.4\", \"b\": \"10.0.2.4\", \"c\": 6, \"src\": \"192.0.2.1\"}\n";
    let found = try_read(lines, "src=a,dst=b,protocol=c").unwrap();
    assert_eq!(short(&found.flows[0]), "10.0.1.4:? > 10.0.2.4:? tcp");
}

#[test]
fn what_does_not_say_which_column_says_what_is_refused() {
    let refused = |text: &str| text.parse::<Columns>().unwrap_err().to_string();
    assert_eq!(refused(""), "``: expected FIELD=COLUMN, as in `src=SrcIP`");
    assert_eq!(refused("src=a,dst"), "`dst`: expected FIELD=COLUMN, as in `src=SrcIP`");
    assert_eq!(refused("src="), "`src=`: expected a column's name behind the `=`");
    assert_eq!(refused("src=a,src=b"), "`src` is named twice");
    assert_eq!(
        refused("source=a"),
        "no field `source`: expected one of time, src, src_public, src_port, dst, dst_public, dst_port, protocol, \
         direction, mac, verdict, rule, rule_type, acl, state, packets, bytes, returned_packets, returned_bytes, sub_type, \
         log_status"
    );
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let table = "src_ip,dst,proto,Src IP\n10.0.1.4,10.0.2.4,6,10.0.1.5\n";
    assert_eq!(
        refused(&table.replace("src_ip", "SrcIp"), ""),
        "flows: columns `SrcIp` and `Src IP` both say `src`: --columns src=NAME says which, by a name that only one of them \
         has"
    );
    assert_eq!(short(&try_read(table, "src=Src IP").unwrap().flows[0]), "10.0.1.5:? > 10.0.2.4:? tcp");
}

#[test]
fn a_column_that_says_it_better_wins() {
    let found = flows("TimeGenerated,FlowStartTime,src,dst,proto\n2,1,10.0.1.4,10.0.2.4,6\n");
    assert_eq!(found[0].time_ns, Some(1_000_000_000));
}

/// Two rows as the portal exports `NTANetAnalytics`, with the columns that matter here. The second has its senders among
/// the public addresses.
const ANALYTICS: &str = "\
\"TimeGenerated [UTC]\",SubType,\"FlowStartTime [UTC]\",FlowType,SrcIp,DestIp,DestPort,L4Protocol,FlowDirection,FlowStatus,AclGroup,\
AclRule,AclRuleType,MacAddress,PacketsSrcToDest,BytesSrcToDest,PacketsDestToSrc,BytesDestToSrc,SrcPublicIps,DestPublicIps
\"11/30/2026, 4:00:00.000 PM\",FlowLog,\"11/30/2026, 3:37:54.000 PM\",IntraVNet,10.0.1.4,10.0.2.4,443,TCP,Outbound,Allowed,\
00000000-0000-0000-0000-000000000000/rg/NSG-Web,DefaultRule_AllowVnetOutBound,Default,00-0D-3A-0B-0C-0D,10,1400,12,5200,,
\"11/30/2026, 4:00:00.000 PM\",FlowLog,\"11/30/2026, 3:37:54.000 PM\",ExternalPublic,,10.0.2.4,22,T,I,D,\
00000000-0000-0000-0000-000000000000/rg/nsg-web,denyssh,User Defined,000D3A0B0C0E,7,700,0,0,\
203.0.113.9|3|0|4|0|400|0 198.51.100.7|2|0|3|0|300|0,
\"11/30/2026, 4:00:00.000 PM\",Topology,,,,,,,,,,,,,,,,,,
";

#[test]
fn traffic_analytics() {
    let found = read(ANALYTICS);
    assert_eq!((found.rows, found.damage.is_none()), (3, true));
    assert_eq!(
        found.flows.iter().map(short).collect::<Vec<_>>(),
        [
            "10.0.1.4:? > 10.0.2.4:443 tcp",
            "203.0.113.9:? > 10.0.2.4:22 tcp",
            "198.51.100.7:? > 10.0.2.4:22 tcp",
        ]
    );
    assert!(found.flows.iter().all(|flow| flow.time_ns == Some(SECONDS * 1_000_000_000)));
    assert_eq!(found.flows.iter().map(|flow| flow.location.number).collect::<Vec<_>>(), [1, 2, 2]);

    let [whole, first, second] = &found.flows[..] else { unreachable!() };
    let mac = [0, 0x0d, 0x3a, 0x0b, 0x0c, 0x0d];
    assert_eq!(whole.seen_at, Some(SeenAt { mac, direction: Direction::Outbound }));
    assert_eq!((whole.sent, whole.returned), (volume(10, 1400), volume(12, 5200)));
    let verdict = whole.verdict.as_ref().unwrap();
    let rule = verdict.rule.as_ref().unwrap();
    assert_eq!(verdict.access, Access::Allow);
    assert_eq!(
        (rule.acl.as_deref(), &*rule.name, rule.kind),
        (Some("nsg-web"), "AllowVnetOutBound", RuleKind::Default)
    );

    assert_eq!(first.seen_at.unwrap().direction, Direction::Inbound);
    assert_eq!((first.sent, first.returned), (volume(4, 400), volume(0, 0)));
    assert_eq!((second.sent, second.returned), (volume(3, 300), volume(0, 0)));
    let verdict = second.verdict.as_ref().unwrap();
    assert_eq!((verdict.access, verdict.rule.as_ref().unwrap().kind), (Access::Deny, RuleKind::User));

    assert_eq!(
        complaints(&found),
        ["flows: row 3: column `SubType`: `Topology`: expected `FlowLog`, the only rows that are flows"]
    );
    assert_eq!(found.skipped[0].cause, SkipCause::NoFlow);
}

#[test]
fn traffic_analytics_of_nsg_flow_logs() {
    // As `az monitor log-analytics query` prints it; counts are floats there.
    let found = read(
        r#"[
  {
    "TenantId": "0", "SubType_s": "FlowLog", "FlowStartTime_t": "2026-11-30T15:37:54Z", "SrcIP_s": "10.0.1.4",
    "DestIP_s": "10.0.2.4", "DestPort_d": 443.0, "L4Protocol_s": "U", "FlowDirection_s": "I", "FlowStatus_s": "A",
    "NSGList_s": "0/rg/nsg-web", "NSGRule_s": "userrule_allow-web", "NSGRuleType_s": "User Defined",
    "MACAddress_s": "00-0D-3A-0B-0C-0D", "OutboundPackets_d": 2.0, "OutboundBytes_d": "", "InboundPackets_d": null,
    "InboundBytes_d": 77.0, "Tags": {"a": [1, "]"]}
  },
  {
    "SubType_s": "FlowLog", "SrcIP_s": "", "SrcPublicIPs_s": "203.0.113.9|1|0|4|0|400|0", "DestIP_s": "10.0.2.4",
    "DestPort_d": 22.0, "L4Protocol_s": "T", "FlowDirection_s": "I", "FlowStatus_s": "D"
  }
]
"#,
    );
    assert!(found.skipped.is_empty() && found.damage.is_none(), "{found:?}");
    let [first, second] = &found.flows[..] else { panic!("{:?}", found.flows) };
    assert_eq!(short(first), "10.0.1.4:? > 10.0.2.4:443 udp");
    assert_eq!(first.time_ns, Some(SECONDS * 1_000_000_000));
    assert_eq!(first.sent, Volume { packets: Some(2), bytes: None });
    assert_eq!(first.returned, Volume { packets: None, bytes: Some(77) });
    let rule = first.verdict.as_ref().unwrap().rule.as_ref().unwrap();
    assert_eq!((rule.acl.as_deref(), &*rule.name, rule.kind), (Some("nsg-web"), "allow-web", RuleKind::User));
    assert_eq!(short(second), "203.0.113.9:? > 10.0.2.4:22 tcp");
    assert_eq!((second.sent, second.seen_at, second.time_ns), (volume(4, 400), None, None));
}

#[test]
fn public_addresses_at_both_ends_belong_together_only_if_one_side_has_one() {
    let header = "SrcIp,SrcPublicIps,DestIp,DestPublicIps,L4Protocol,PacketsSrcToDest\n";
    let found = read(&format!(
        "{header},192.0.2.1 192.0.2.2,,198.51.100.1 198.51.100.2,T,9\n,192.0.2.1,,198.51.100.1 198.51.100.2,T,9\n,192.0.2.1,,198.51.100.1,T,9\n,192.0.2.1|2,,198.51.100.1,T,9\n"
    ));
    assert_eq!(found.flows.iter().map(|flow| flow.location.number).collect::<Vec<_>>(), [2, 2, 3]);
    // What a row counts of several flows together is of none of them.
    assert_eq!(found.flows.iter().map(|flow| flow.sent.packets).collect::<Vec<_>>(), [None, None, Some(9)]);
    assert_eq!(
        complaints(&found),
        [
            "flows: row 1: columns `SrcPublicIps` and `DestPublicIps` name several addresses each: which belong together is \
             not said",
            "flows: row 4: column `SrcPublicIps`: `192.0.2.1|2`: expected an IP address, or one with six counts: flows \
             begun, flows ended, packets out, packets in, bytes out, bytes in",
        ]
    );
}

#[test]
fn rows_that_nsgsim_wrote_can_be_read() {
    let found = flows(
        "time,source,source_port,destination,destination_port,protocol,verdict,kind,layer,nsg,rule,direction,nic,name,code,\
         packets,bytes,file,record\n\
         2026-11-30T15:37:54.000000Z,10.20.2.5,45002,10.20.3.4,1433,tcp,allow,SecurityRule,SubnetNsg,nsg-db,AllowAppToSql,\
         inbound,nic-db-1,,,6,604,data/example.pcap,285\n\
         ,13.69.64.93,443,10.30.1.4,43011,tcp,undetermined,Undetermined,,,,,,,UNKNOWN_TAG,2,308,data/example.pcap,262\n",
    );
    assert_eq!(short(&found[0]), "10.20.2.5:45002 > 10.20.3.4:1433 tcp");
    assert_eq!((found[0].time_ns, found[0].seen_at), (Some(SECONDS * 1_000_000_000), None));
    assert_eq!((found[0].sent, found[0].returned), (volume(6, 604), Volume::default()));
    let rule = found[0].verdict.as_ref().unwrap().rule.as_ref().unwrap();
    assert_eq!(
        (rule.acl.as_deref(), &*rule.name, rule.kind),
        (Some("nsg-db"), "AllowAppToSql", RuleKind::User)
    );
    assert_eq!((&found[1].verdict, found[1].time_ns), (&None, None));
}

#[test]
fn states_of_flow_logs_tell_parts() {
    let table = "src,dst,proto,action,flow_state\n";
    let row = |state: &str| format!("10.0.1.4,10.0.2.4,6,{state}\n");
    let states = ["A,B", "A,C", "A,E", "A,", "D,B", "D,D", "A,X"].map(row).concat();
    let found = read(&format!("{table}{states}"));
    let parts: Vec<Part> = found.flows.iter().map(|flow| flow.part).collect();
    assert_eq!(parts, [Part::Begin, Part::Continue, Part::End, Part::Whole, Part::Whole, Part::Whole]);
    assert_eq!(complaints(&found), ["flows: row 7: column `flow_state`: `X`: expected `B`, `C`, `E` or `D`"]);
}

#[test]
fn an_interface_is_known_by_mac_and_direction_together() {
    let found = read(
        "src,dst,proto,mac,direction\n10.0.1.4,10.0.2.4,6,00:0d:3a:0b:0c:0d,egress\n10.0.1.4,10.0.2.4,6,,sideways\n\
         10.0.1.4,10.0.2.4,6,000d3a0b0c0d,\n10.0.1.4,10.0.2.4,6,000d3a0b0c0d,sideways\n10.0.1.4,10.0.2.4,6,000d3a,I\n",
    );
    let seen: Vec<bool> = found.flows.iter().map(|flow| flow.seen_at.is_some()).collect();
    assert_eq!(seen, [true, false, false]);
    assert_eq!(
        complaints(&found),
        [
            "flows: row 4: column `direction`: `sideways`: expected `Inbound`, `Outbound`, or `I`, `O`, `ingress`, `egress`",
            "flows: row 5: column `mac`: `000d3a`: expected a MAC address, 12 hexadecimal digits with or without `:` or `-`",
        ]
    );
}

const LINE: &str = r#"{"ts": 1796053074.5, "src": "10.0.1.4", "src_port": 50000, "dst": "10.0.2.4", "dst_port": "443", "proto": "tcp", "packets": 3}"#;

#[test]
fn json_one_object_a_line() {
    let found = read(&format!("{LINE}\n\n{LINE}\r\n{LINE}"));
    assert_eq!((found.kind, found.rows, found.flows.len()), (Kind::Json, 3, 3));
    assert_eq!(short(&found.flows[2]), "10.0.1.4:50000 > 10.0.2.4:443 tcp");
    assert_eq!(found.flows[0].time_ns, Some(SECONDS * 1_000_000_000 + 500_000_000));
    assert_eq!(found.flows[0].sent, Volume { packets: Some(3), bytes: None });
}

#[test]
fn json_in_a_list_or_over_several_lines_is_the_same() {
    let expected = flows(&format!("{LINE}\n{LINE}\n"));
    let pretty = LINE.replace(", ", ",\n  ").replace('{', "{\n  ").replace('}', "\n}");
    for table in [
        format!("[{LINE},{LINE}]"),
        format!("\n[\n{pretty},\n{pretty}\n]\n"),
        format!("{pretty}\n{pretty}\n"),
    ] {
        assert_eq!(flows(&table), expected, "{table}");
    }
}

#[test]
fn a_bad_line_of_json_is_told_and_its_neighbours_count() {
    for (bad, message) in [
        ("{\"src\": \"10.0", "`{\"src\": \"10.0`: expected a JSON object: EOF while parsing a string"),
        ("[1]", "`[1]`: expected a JSON object: invalid type: sequence, expected an object"),
        ("{}", "column `src`: nothing: expected an IP address"),
        (&LINE.replace("50000", "70000"), "column `src_port`: `70000`: expected a number up to 65535"),
        (&LINE.replace("50000", "[1]"), "column `src_port`: `[1]`: expected a text or a number"),
        (
            &LINE.replace("\"tcp\"", "true"),
            "column `proto`: `true`: expected a protocol's name or its number up to 255",
        ),
        (&format!("{LINE}{LINE}"), "expected a JSON object: trailing characters"),
    ] {
        let found = read(&format!("{LINE}\n{bad}\n{LINE}\n"));
        let [complaint] = &complaints(&found)[..] else { panic!("{bad}: {found:?}") };
        assert!(complaint.starts_with("flows: row 2: ") && complaint.contains(message), "{bad}: {complaint}");
        assert_eq!(found.flows.iter().map(|flow| flow.location.number).collect::<Vec<_>>(), [1, 3]);
    }
}

#[test]
fn a_list_that_is_cut_short_is_damaged() {
    let whole = format!("[{LINE},{LINE}]");
    let found = read(&whole[..whole.len() - 5]);
    let offset = LINE.len() as u64 + 2;
    let damage = Damage {
        after_record: 1,
        offset,
        unread_bytes: Some(whole.len() as u64 - 5 - offset),
        message: "after row 1: the file ends inside the next row".to_owned(),
    };
    assert_eq!((found.flows.len(), found.damage), (1, Some(damage)));
    let damage = read(&whole[..whole.len() - 1]).damage.unwrap();
    assert_eq!((damage.after_record, damage.unread_bytes), (2, Some(0)));
    assert_eq!(damage.message, "after row 2: the file ends before the end of its list");
    let damage = read(&format!("{whole} and more")).damage.unwrap();
    assert_eq!(damage.message, "after row 2: `a`: expected the end of the file");
    let damage = read(&format!("[{LINE} {LINE}]")).damage.unwrap();
    assert_eq!(damage.message, "after row 1: `{`: expected `,` or the end of the list");
    let found = read(&format!("[{LINE}, 5, \"a]\", {LINE}]"));
    assert_eq!((found.flows.len(), found.skipped.len(), found.damage), (2, 2, None));
}

#[test]
fn json_without_the_members_of_a_flow_is_refused() {
    assert_eq!(
        refused("{\"a\": 1, \"dst\": 2}\n", ""),
        "flows: no column for `src`, `protocol`: expected names such as `SrcIp`, `SrcIP_s`, `src`, `source`; `L4Protocol`, \
         `L4Protocol_s`, `ip_proto`, `protocol`; found `a`, `dst`; --columns src=NAME,protocol=NAME says which"
    );
}

/// Lines of two logs of Zeek, put together: the first by hand after its manual, the second with other fields.
const ZEEK: &str = "\
#separator \\x09
#set_separator\t,
#empty_field\t(empty)
#unset_field\t-
#path\tconn
#open\t2026-11-30-15-37-54
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\torig_bytes\tconn_state\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes
#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tcount\tstring\tcount\tcount\tcount\tcount
1796053074.250000\tCMdz\t10.0.1.4\t50000\t10.0.2.4\t53\tudp\tdns\t62\tSF\t2\t118\t2\t197
1796053074.250000\tCMdz\t10.0.1.4\t8\t10.0.2.4\t0\ticmp\t-\t-\tOTH\t1\t84\t-\t-
1796053074.250000\tCMdz\tfe80::1\t135\tfe80::2\t136\ticmp\t-\t-\tOTH\t1\t72\t0\t0
1796053074.250000\tCMdz\t10.0.1.4\t0\t10.0.2.4\t0\tunknown_transport\t-\t-\tOTH\t1\t72\t0\t0
1796053074.250000\tshort
#close\t2026-11-30-16-00-00
#fields\tid.orig_h\tid.resp_h\tproto\tip_proto
10.0.1.4\t10.0.2.4\tunknown_transport\t47
";

#[test]
fn zeek() {
    let found = read(ZEEK);
    assert_eq!((found.kind, found.rows), (Kind::Zeek, 6));
    assert_eq!(
        found.flows.iter().map(short).collect::<Vec<_>>(),
        [
            "10.0.1.4:50000 > 10.0.2.4:53 udp",
            "10.0.1.4 > 10.0.2.4 icmp",
            "fe80::1 > fe80::2 icmpv6",
            "10.0.1.4 > 10.0.2.4 gre",
        ]
    );
    let first = &found.flows[0];
    assert_eq!(first.time_ns, Some(SECONDS * 1_000_000_000 + 250_000_000));
    assert_eq!((first.sent, first.returned), (volume(2, 118), volume(2, 197)));
    assert_eq!((&first.verdict, first.seen_at), (&None, None));
    assert_eq!(found.flows[1].returned, Volume::default());
    assert_eq!(
        complaints(&found),
        [
            "flows: row 4: column `proto`: `unknown_transport`: expected a protocol's name or its number up to 255",
            "flows: row 5: has 2 values: `#fields` names 14",
        ]
    );
}

#[test]
fn zeek_as_json() {
    let found = flows(
        r#"{"ts":1796053074.25,"uid":"C","id.orig_h":"10.0.1.4","id.orig_p":50000,"id.resp_h":"10.0.2.4","id.resp_p":53,"proto":"udp","orig_bytes":62,"orig_pkts":2,"orig_ip_bytes":118,"resp_pkts":2,"resp_ip_bytes":197,"ip_proto":17}"#,
    );
    assert_eq!(found, read(ZEEK).flows[..1]);
}

#[test]
fn another_log_of_zeek_is_refused() {
    let other = "#separator \\x09\n#path\tdns\n#fields\tid.orig_h\tid.resp_h\tproto\n";
    assert_eq!(refused(other, ""), "flows: `#path dns`: expected the log of connections, `conn`");
    assert_eq!(
        refused("#separator \\x09\n10.0.1.4\t10.0.2.4\ttcp\n", ""),
        "flows: no line `#fields` before the first row: expected a log of Zeek"
    );
    let found = read(&ZEEK.replace("#close", "#path\tdns\n#close"));
    let damage = found.damage.unwrap();
    assert_eq!((found.rows, damage.after_record), (5, 5));
    assert_eq!(damage.message, "after row 5: `#path dns`: expected the log of connections, `conn`");
    let whole = ZEEK.len() as u64 + "#path\tdns\n".len() as u64;
    assert_eq!(damage.offset + damage.unread_bytes.unwrap(), whole);
}

/// Records after the examples of AWS' manual, with addresses and times of our own.
const AWS: &str = "\
2 123456789010 eni-1235b8ca123456789 10.0.1.4 10.0.2.4 20641 22 6 20 4249 1796053074 1796053134 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 10.0.1.4 10.0.2.4 49761 3389 17 20 4249 1796053074 1796053134 REJECT OK
2 123456789010 eni-1235b8ca123456789 203.0.113.12 10.0.2.4 0 0 1 4 336 1796053074 1796053134 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1796053074 1796053134 - NODATA
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1796053074 1796053134 - SKIPDATA
2 123456789010 eni-1235b8ca123456789 10.0.1.4 10.0.2.4 20641 22 6 20 4249
";

#[test]
fn aws_with_and_without_a_header() {
    let found = read(AWS);
    assert_eq!((found.kind, found.rows), (Kind::Aws, 6));
    assert_eq!(
        found.flows.iter().map(short).collect::<Vec<_>>(),
        [
            "10.0.1.4:20641 > 10.0.2.4:22 tcp",
            "10.0.1.4:49761 > 10.0.2.4:3389 udp",
            "203.0.113.12 > 10.0.2.4 icmp"
        ]
    );
    assert!(found.flows.iter().all(|flow| flow.time_ns == Some(SECONDS * 1_000_000_000)));
    let verdicts: Vec<Access> =
        found.flows.iter().map(|flow| flow.verdict.as_ref().unwrap().access).collect();
    assert_eq!(verdicts, [Access::Allow, Access::Deny, Access::Allow]);
    assert_eq!((found.flows[0].sent, found.flows[0].returned), (volume(20, 4249), Volume::default()));
    assert_eq!(
        complaints(&found),
        [
            "flows: row 4: `NODATA`: nothing was seen in this time",
            "flows: row 5: `SKIPDATA`: AWS left out what was seen in this time",
            "flows: row 6: has 10 fields: expected 14",
        ]
    );
    let causes: Vec<SkipCause> = found.skipped.iter().map(|skipped| skipped.cause).collect();
    assert_eq!(causes, [SkipCause::NoFlow, SkipCause::NoFlow, SkipCause::Unreadable]);

    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action \
                  log-status\n";
    assert_eq!(read(&format!("{header}{AWS}{header}")).flows, found.flows);
}

#[test]
fn aws_in_a_format_of_ones_own() {
    let found = flows("dstaddr srcaddr dstport protocol flow-direction\n10.0.2.4 10.0.1.4 443 6 ingress\n");
    assert_eq!((short(&found[0]), found[0].seen_at), ("10.0.1.4:? > 10.0.2.4:443 tcp".to_owned(), None));
}

#[test]
fn tables_are_recognised_by_their_content() {
    for (text, expected) in [
        (HEADER, Some(Kind::Csv)),
        ("a;b;c", Some(Kind::Csv)),
        (LINE, Some(Kind::Json)),
        ("  [\n {", Some(Kind::Json)),
        (ZEEK, Some(Kind::Zeek)),
        (AWS, Some(Kind::Aws)),
        ("PAR1\u{15}\u{4}", Some(Kind::Parquet)),
        // A flow log is an object with the list `records`, wherever it stands among the members.
        ("{\"records\":[", None),
        ("\u{feff}{ \"a\": {\"records\": 1}, \"b\": \"x\\\"\", \"records\" : [ {", None),
        ("{\"records\": 5}", Some(Kind::Json)),
        ("{\"a\": {\"records\": []}}", Some(Kind::Json)),
        ("{\"a\": \"records\", \"b\": []}", Some(Kind::Json)),
        // No tables.
        ("", None),
        ("\n\n", None),
        ("[1, 2]", None),
        ("a,b", None),
        ("10.0.1.4,10.0.2.4,443", None),
        ("one line of text", None),
        ("\u{0}\u{1},\u{2},\u{3},", None),
    ] {
        assert_eq!(recognise(text.as_bytes()), expected, "{text:?}");
    }
    for capture in
        [&b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00"[..], b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00", b"\x1f\x8b,,,,"]
    {
        assert_eq!(recognise(capture), None, "{capture:?}");
    }
    assert_eq!(
        refused("one line of text", ""),
        "flows: begins with `one line of text`: expected a flow table (CSV with a header line, JSON objects, Parquet, a \
         `conn.log` of Zeek, or flow logs of AWS)"
    );
    assert!(refused("", "").starts_with("flows: the file is empty: expected a flow table"));
}

#[test]
fn a_stream_that_cannot_be_read_on_ends_the_table() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("corrupt deflate stream"))
        }
    }
    let good = "1,10.0.1.4,1,10.0.2.4,2,tcp,1,1,allow\n";
    let list = format!("{LINE},").repeat(600);
    for (kind, table) in [
        (Kind::Csv, format!("{HEADER}{}", good.repeat(4000))),
        (Kind::Json, format!("{LINE}\n").repeat(600)),
        (Kind::Json, format!("[{list}")),
        (Kind::Zeek, ZEEK.repeat(100)),
        (Kind::Aws, AWS.repeat(200)),
    ] {
        assert!(table.len() > FIRST_BYTES, "{kind:?}: the stream has to break behind its first bytes");
        let stream = Box::new(Cursor::new(table.into_bytes()).chain(Broken));
        let found = drain(FlowTable::from_reader("flows", 0, stream, &Columns::default()).unwrap());
        let damage = found.damage.unwrap();
        assert!(found.rows > 0 && damage.after_record == found.rows, "{kind:?}");
        assert_eq!(damage.unread_bytes, None);
        assert_eq!(
            damage.message,
            format!("after row {}: cannot be read on: corrupt deflate stream", found.rows)
        );
    }
    let refused = FlowTable::from_reader("flows", 0, Box::new(Broken), &Columns::default());
    assert!(matches!(refused, Err(IngestError::Io { .. })));
}

/// A text, a chunk over and over, that counts what was taken of it.
struct Long {
    chunk: Vec<u8>,
    left: u64,
    at: usize,
    taken: Arc<AtomicU64>,
}

impl Read for Long {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && self.left > 0 {
            (self.at, self.left) = (0, self.left - 1);
        }
        let count = (&self.chunk[self.at..]).read(into)?;
        self.at += count;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn long(head: &str, chunk: &str, left: u64) -> (Box<dyn Read + Send>, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let chunk = chunk.as_bytes().to_vec();
    let body = Long { at: chunk.len(), chunk, left, taken: Arc::clone(&taken) };
    (Box::new(Cursor::new(head.to_owned().into_bytes()).chain(body)), taken)
}

#[test]
fn a_table_is_not_held_whole() {
    let aws = AWS.lines().next().unwrap();
    let zeek: Vec<&str> = ZEEK.lines().take(9).collect();
    for (head, row) in [
        (HEADER.to_owned(), "1,10.0.1.4,1,10.0.2.4,2,tcp,1,1,allow\n".to_owned()),
        (String::new(), format!("{LINE}\n")),
        ("[".to_owned(), format!("{LINE},")),
        (zeek[..8].join("\n") + "\n", format!("{}\n", zeek[8])),
        (String::new(), format!("{aws}\n")),
    ] {
        let rows = (4 << 20) / row.len() as u64;
        let (stream, taken) = long(&head, &row, rows);
        let mut table = FlowTable::from_reader("long", 0, stream, &Columns::default()).unwrap();
        let mut batch = Vec::new();
        let mut ahead = 0;
        while table.read_batch(500, &mut batch).unwrap() > 0 {
            assert!(batch.drain(..).all(|item| item.is_ok()), "{row}");
            let used = table.rows_read() * row.len() as u64;
            ahead = ahead.max(taken.load(Ordering::Relaxed).saturating_sub(used));
        }
        assert_eq!(table.rows_read(), rows, "{row}");
        assert!(ahead < 256 << 10, "{ahead} bytes were read ahead: {row}");
    }
}

#[test]
fn a_row_without_end_does_not_fill_the_memory() {
    // Of JSON, Zeek and AWS the line is passed over, and the next one counts.
    let aws = AWS.lines().next().unwrap();
    let zeek: Vec<&str> = ZEEK.lines().take(9).collect();
    let filler = "x".repeat(1 << 16);
    for (head, good) in [
        (format!("{LINE}\n"), LINE.to_owned()),
        (zeek.join("\n") + "\n", zeek[8].to_owned()),
        (format!("{aws}\n"), aws.to_owned()),
    ] {
        let (stream, _) = long(&head, &filler, 40);
        let stream = Box::new(stream.chain(Cursor::new(format!("\n{good}\n").into_bytes())));
        let found = drain(FlowTable::from_reader("flows", 0, stream, &Columns::default()).unwrap());
        assert_eq!((found.rows, found.flows.len()), (3, 2));
        assert_eq!(
            complaints(&found),
            ["flows: row 2: more than 1048576 bytes, the most that is read of a row"]
        );
    }
    // Of CSV it is not known where the next one begins.
    let (stream, taken) = long(&format!("{HEADER}\""), &filler, 1000);
    let found = drain(FlowTable::from_reader("flows", 0, stream, &Columns::default()).unwrap());
    let damage = found.damage.unwrap();
    assert_eq!((found.rows, damage.after_record, damage.offset), (0, 0, HEADER.len() as u64));
    assert!(
        damage.message.ends_with("a row of more than 1048576 bytes, the most that is read"),
        "{}",
        damage.message
    );
    assert!(taken.load(Ordering::Relaxed) < 2 << 20);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/flow_tables"))),
        ..ProptestConfig::default()
    })]

    /// Also: what is not refused is accounted for to the last byte, and every row by an item.
    #[test]
    fn mutated_tables_never_panic(
        which in 0_usize..7,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let csv = format!("{HEADER}1,10.0.1.4,1,10.0.2.4,2,tcp,1,1,allow\n\"2026-11-30\",::1,1,::2,2,u,1,1,D\n");
        let tables = [
            csv.clone(),
            ANALYTICS.to_owned(),
            format!("{LINE}\n{LINE}\n"),
            format!("[{LINE},\n{LINE}]"),
            ZEEK.to_owned(),
            AWS.to_owned(),
            csv.replace(',', ";"),
        ];
        let mut bytes = tables[which].clone().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let length = bytes.len() as u64;
        if let Ok(found) = try_read(bytes, "") {
            let mut numbers: Vec<u64> = found
                .flows
                .iter()
                .map(|flow| flow.location.number)
                .chain(found.skipped.iter().map(|skipped| skipped.location.number))
                .collect();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers, (1..=found.rows).collect::<Vec<_>>());
            match found.damage {
                None => prop_assert_eq!(found.bytes_read, length),
                Some(damage) => {
                    prop_assert_eq!(damage.after_record, found.rows);
                    if let Some(unread) = damage.unread_bytes {
                        prop_assert_eq!(damage.offset + unread, length);
                    }
                }
            }
        }
    }
}
