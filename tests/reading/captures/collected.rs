//! Captures of other projects, read whole and held against what is stated of them: the packets, and what is in them.
//!
//! They are in the folder `data` of the directory that `NSGSIM_SHARED` names; without it there is nothing to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nsgsim::ingest::capture::{CaptureReader, Tunnels};
use nsgsim::model::flow::Fragment;
use nsgsim::model::reason_code::ReasonCode;
use nsgsim::model::record::Content;
use nsgsim::model::records::Records;
use nsgsim::model::rule::Protocol;
use nsgsim::replay::run::{BATCH, Replay, ReplayOptions};
use nsgsim::simulate::SimulatorOptions;

use super::read;
use crate::{example_data, tshark};

/// What the table says of a capture.
struct Stated {
    packets: u64,
    damaged: bool,
    link_types: Vec<u16>,
    features: Vec<String>,
}

/// The link types that are decoded.
const SUPPORTED: [u16; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 229, 276];

/// Features of the table that are there and that no record shows.
const HIDDEN: [(&str, &str, &str); 10] = [
    ("ndpi-4in4tunnel.pcap", "udp", "inside IP in IP"),
    ("suricata-verify-ip_in_ip.pcap", "icmp", "inside IP in IP"),
    ("suricata-verify-decode-too-small-test.pcap", "tcp", "packets without a transport header"),
    ("suricata-verify-decode-too-small-test.pcap", "udp", "packets with half a transport header"),
    ("suricata-verify-frag-25.pcap", "frag6", "the only fragment is a whole packet"),
    ("suricata-verify-frag-25.pcap", "tcp", "a packet without a transport header"),
    ("suricata-verify-frag-26.pcap", "frag6", "the only fragment is a whole packet"),
    ("suricata-verify-frag-26.pcap", "tcp", "a packet with one byte of transport header"),
    (
        "suricata-verify-tcp-session-ipv6-decode-malformed-input.pcap",
        "frag6",
        "the only fragment is a whole packet",
    ),
    ("tcpdump-hoobr_rt6_print.pcap", "ipv6", "the only header with version 6 was not captured whole"),
];

/// Whether a record shows a feature that the table names; `None` of features that do not show in a record.
fn shows(content: Content, feature: &str) -> Option<bool> {
    let protocol = match feature {
        "arp" | "mpls" | "pppoe" => return Some(content == Content::OutOfScope(ReasonCode::NotIp)),
        "igmp" => 2,
        "ipip" => 4,
        "dccp" => 33,
        "sctp" => 132,
        "frag4" | "frag6" => {
            return Some(matches!(content, Content::Packet(packet) if packet.fragment != Fragment::Whole));
        }
        "ipv6" => {
            return Some(matches!(content, Content::Packet(packet) if packet.five_tuple.source.is_ipv6()));
        }
        other => Protocol::read(other)?.0,
    };
    Some(matches!(content, Content::Packet(packet) if packet.five_tuple.protocol == Protocol(protocol)))
}

#[test]
fn every_capture_has_the_packets_that_the_table_states() {
    let Some(data) = data() else { return };
    let table = table(&data);
    let names = captures(&data);
    assert!(names.len() > 100, "only {} captures were found", names.len());
    for name in names {
        let stated = table.get(&name).unwrap_or_else(|| panic!("{name}: not in the table"));
        let (reader, records) = read(&data.join("captures").join(&name));
        assert_eq!(records.len() as u64, stated.packets, "{name}: records, damage {:?}", reader.damage());
        assert_eq!(reader.damage().is_some(), stated.damaged, "{name}: {:?}", reader.damage());
        assert_eq!(reader.records_read(), stated.packets, "{name}");
        for (position, record) in records.iter().enumerate() {
            assert_eq!((record.location.file, record.location.number), (7, position as u64 + 1), "{name}");
        }
        let tally = reader.tally();
        assert_eq!(tally.iter().map(|(_, count)| count).sum::<u64>(), stated.packets, "{name}");
        let (mut packets, mut out_of_scope, mut skipped) = (0, 0, 0);
        for record in &records {
            match record.content {
                Content::Packet(_) => packets += 1,
                Content::OutOfScope(ReasonCode::NotIp | ReasonCode::UnsupportedLinkType) => out_of_scope += 1,
                Content::Skipped(ReasonCode::DamagedHeader | ReasonCode::CutShort) => skipped += 1,
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(packets + out_of_scope + skipped, stated.packets, "{name}");
        let unsupported = Content::OutOfScope(ReasonCode::UnsupportedLinkType);
        let of_others: u64 =
            tally.iter().filter(|(kind, _)| !SUPPORTED.contains(&kind.0)).map(|(_, count)| count).sum();
        assert_eq!(
            records.iter().filter(|record| record.content == unsupported).count() as u64,
            of_others,
            "{name}"
        );
        for feature in &stated.features {
            let seen = records.iter().any(|record| shows(record.content, feature) == Some(true));
            let told = records.first().is_some_and(|record| shows(record.content, feature).is_some());
            let hidden = HIDDEN.iter().any(|(file, of_it, _)| *file == name && *of_it == feature);
            assert!(seen || !told || hidden, "{name}: no {feature} in {tally:?}");
        }
        if !stated.link_types.is_empty() {
            let seen: Vec<u16> = tally.iter().map(|(link_type, _)| link_type.0).collect();
            assert!(seen.iter().all(|seen| stated.link_types.contains(seen)), "{name}: link types {seen:?}");
        }
    }
}

/// Up to which size of its file a capture is given to Wireshark, in bytes: what is larger takes it a minute.
const TSHARK_BYTES: u64 = 1 << 20;

#[test]
fn every_capture_has_the_packets_that_wireshark_counts() {
    let Some(data) = data() else { return };
    if !tshark::is_there() {
        return;
    }
    let table = table(&data);
    let mut counted = 0;
    for name in captures(&data) {
        let path = data.join("captures").join(&name);
        if fs::metadata(&path).unwrap().len() > TSHARK_BYTES {
            continue;
        }
        let (reader, records) = read(&path);
        let is_known = reader.tally().iter().all(|(link_type, _)| SUPPORTED.contains(&link_type.0));
        let Some(theirs) = tshark::fields(&path, &["frame.len", "frame.cap_len"]) else {
            assert!(!is_known, "{name}: Wireshark does not know what we do");
            continue;
        };
        // Of other link types Wireshark takes a part of the frame for a header of the capture's.
        if is_known {
            let ours: Vec<u32> = records.iter().map(|record| record.wire_bytes).collect();
            // What was captured was on the wire, whatever the record says.
            let longer = |line: &String| line.split('\t').map(|length| length.parse().unwrap()).max();
            assert_eq!(ours, theirs.iter().filter_map(longer).collect::<Vec<u32>>(), "{name}");
        }
        assert_eq!(records.len(), theirs.len(), "{name}");
        assert_eq!(theirs.len() as u64, table[&name].packets, "{name}");
        counted += 1;
    }
    assert!(counted > 100, "only {counted} captures were counted");
}

#[test]
fn every_capture_adds_up_in_the_ledger_of_a_replay() {
    let Some(data) = data() else { return };
    let table = table(&data);
    let compiled = example_data::network("example");
    for name in captures(&data) {
        for (stateful, tunnels) in
            [(true, Tunnels::Closed), (false, Tunnels::Closed), (true, Tunnels::Opened)]
        {
            let simulator = SimulatorOptions { stateful, ..SimulatorOptions::default() };
            let options = ReplayOptions { simulator, ..ReplayOptions::default() };
            let mut replay = Replay::new(compiled.clone(), options);
            let path = data.join("captures").join(&name);
            let mut reader = CaptureReader::open(&path, 0).unwrap().with_tunnels(tunnels);
            let mut batch = Records::default();
            while reader.read_batch(BATCH, &mut batch).unwrap() > 0 {
                replay.feed(&batch);
                batch.clear();
            }
            // Which also asserts that the parts are the whole.
            let (totals, _) = replay.finish();
            assert_eq!(totals.ledger.read, table[&name].packets, "{name}");
            let packets: u64 = totals.tally.verdicts.values().map(|hits| hits.packets).sum();
            assert_eq!(
                packets,
                totals.ledger.evaluated.total() + totals.ledger.undetermined.total(),
                "{name}"
            );
        }
    }
}

#[test]
fn what_vxlan_carries_is_what_wireshark_sees_innermost() {
    let Some(data) = data() else { return };
    let named: Vec<String> = captures(&data).into_iter().filter(|name| name.contains("vxlan")).collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for name in named {
        let path = data.join("captures").join(&name);
        let mut reader = CaptureReader::open(&path, 0).unwrap().with_tunnels(Tunnels::Opened);
        let mut records = Records::default();
        while reader.read_batch(1000, &mut records).unwrap() > 0 {}
        let (_, closed) = read(&path);
        let (mut opened, mut ours) = (0, Vec::new());
        for (record, closed) in records.iter().zip(&closed) {
            assert_eq!((record.location.number, record.time_ns), (closed.location.number, closed.time_ns));
            if record.content != closed.content {
                // Ethernet, IPv4, UDP and VXLAN around it.
                assert_eq!(record.wire_bytes + 14 + 20 + 8 + 8, closed.wire_bytes, "{name}");
                opened += 1;
            }
            if let Content::Packet(packet) = record.content {
                let tuple = packet.five_tuple;
                ours.push(format!("{}\t{}\t{}", tuple.source, tuple.destination, tuple.protocol.0));
            }
        }
        assert!(opened > 0, "{name}: nothing was opened");
        if tshark::is_there() {
            // Where the innermost is no IP packet, its last addresses are those of the one around it.
            let ip = ["-Y", "!arp", "-E", "occurrence=l", "-T", "fields"];
            let innermost = [&ip[..], &["-e", "ip.src", "-e", "ip.dst", "-e", "ip.proto"]].concat();
            let theirs = String::from_utf8(tshark::tshark(&path, &innermost).stdout).unwrap();
            let theirs: Vec<&str> = theirs.lines().collect();
            assert_eq!(ours, theirs, "{name}");
        }
    }
}

/// The folder with the captures, where the environment names one.
fn data() -> Option<PathBuf> {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED") else {
        println!("NSGSIM_SHARED is not set: no captures to read");
        return None;
    };
    let mut data = PathBuf::from(shared);
    if data.is_relative() {
        data = Path::new(env!("CARGO_MANIFEST_DIR")).join(data);
    }
    Some(data.join("data"))
}

fn captures(data: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(data.join("captures"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The rows of the table: ``captures/a.pcap | pcap, link type 1, 5 packets; tcp | ...``.
fn table(data: &Path) -> BTreeMap<String, Stated> {
    let text = fs::read_to_string(data.join("README.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| captures/"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let (name, what) = (cells.next().unwrap(), cells.next().unwrap());
        let before = what.split(" packets").next().unwrap();
        let digits = before.rsplit(' ').next().unwrap();
        let packets = digits.parse().unwrap_or_else(|_| panic!("{name}: no packet count in {what}"));
        let link_types = what
            .split_once("link type ")
            .map(|(_, rest)| rest.split(',').next().unwrap().split('/').map(|n| n.parse().unwrap()).collect())
            .unwrap_or_default();
        let features = what.split_once("; ").map_or("", |(_, features)| features);
        let features = features.split(", ").map(str::to_owned).collect();
        let stated = Stated { packets, damaged: what.contains("DAMAGED"), link_types, features };
        (name.to_owned(), stated)
    })
    .collect()
}
