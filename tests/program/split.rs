//! `--split-allowed` and `--split-denied`: each judged packet in one of two captures, byte for byte as it came.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::capture_bytes::*;
use crate::program::nsgsim;
use crate::tshark;
use nsgsim::ingest::capture::CaptureReader;
use nsgsim::model::frame::KeptFrames;
use nsgsim::model::records::Records;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::{Value, json};

const NETWORK: &str = "data/example";
const EXAMPLE: &str = "data/example.pcap";

/// A packet as a capture holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Held {
    link_type: u16,
    time_ns: Option<u64>,
    bytes: Vec<u8>,
    wire_bytes: u32,
}

/// What a capture holds, by our own reader.
fn held(capture: &Path) -> Vec<Held> {
    let mut reader = CaptureReader::open(capture, 0).unwrap();
    let (mut records, mut frames) = (Records::default(), KeptFrames::default());
    let mut all = Vec::new();
    while reader.read_batch_with_frames(1000, &mut records, &mut frames).unwrap() > 0 {
        all.extend(records.iter().enumerate().map(|(position, record)| {
            let frame = frames.get(position).unwrap();
            Held {
                link_type: frame.link_type.0,
                time_ns: record.time_ns,
                bytes: frame.bytes.to_vec(),
                wire_bytes: frame.wire_bytes,
            }
        }));
        records.clear();
        frames.clear();
    }
    assert_eq!(reader.damage(), None);
    all
}

/// What it holds by Wireshark's: time, lengths and bytes in hex.
fn held_by_tshark(capture: &Path) -> Vec<[String; 4]> {
    let json = tshark::tshark(capture, &["-T", "json", "-x"]);
    assert!(json.status.success(), "{}: {}", capture.display(), String::from_utf8_lossy(&json.stderr));
    let packets: Vec<Value> = serde_json::from_slice(&json.stdout).unwrap();
    let packet = |packet: &Value| {
        let layers = &packet["_source"]["layers"];
        let field = |name: &str| layers["frame"][name].as_str().unwrap().to_owned();
        let bytes = layers["frame_raw"][0].as_str().unwrap().to_owned();
        [field("frame.time_epoch"), field("frame.len"), field("frame.cap_len"), bytes]
    };
    packets.iter().map(packet).collect()
}

/// The comments on a pcapng's packets.
fn comments(capture: &Path) -> Vec<String> {
    let mut reader = PcapNgReader::new(File::open(capture).unwrap()).unwrap();
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap().0 {
            let [EnhancedPacketOption::Common(CommonOption::Comment(comment))] = &packet.options[..] else {
                panic!("no comment: {:?}", packet.options);
            };
            comments.push(comment.to_string());
        }
    }
    comments
}

/// A folder with what a replay splits into.
struct Split {
    folder: tempfile::TempDir,
    ending: &'static str,
    network: PathBuf,
}

impl Split {
    fn new(ending: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), ending, network: NETWORK.into() }
    }

    fn allowed(&self) -> PathBuf {
        self.folder.path().join("allowed").with_extension(self.ending)
    }

    fn denied(&self) -> PathBuf {
        self.folder.path().join("denied").with_extension(self.ending)
    }

    fn rows(&self) -> PathBuf {
        self.folder.path().join("rows.ndjson")
    }

    /// Replays into both captures and a row for each record; `piped` goes to standard input.
    fn replay(&self, input: &str, arguments: &[&str], piped: Option<&[u8]>) -> Output {
        let mut command = nsgsim(&["replay", "-q", input, "-s"]);
        command.arg(&self.network).args(arguments);
        command.arg("--split-allowed").arg(self.allowed()).arg("--split-denied").arg(self.denied());
        command.arg("--decisions").arg(self.rows()).arg("--per-record");
        command.args(["--format", "json", "--no-timing"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(piped.unwrap_or_default()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// As [`Split::replay`], which must go well; returns the ledger's answer.
    #[track_caller]
    fn replayed(&self, input: &str, arguments: &[&str], piped: Option<&[u8]>) -> Value {
        let output = self.replay(input, arguments, piped);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The numbers of the records with a verdict, in the order of the rows.
    fn records_with(&self, verdict: &str) -> Vec<usize> {
        let rows = fs::read_to_string(self.rows()).unwrap();
        let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let record = |row: Value| usize::try_from(row["record"].as_u64().unwrap()).unwrap();
        rows.filter(|row| row["verdict"] == verdict).map(record).collect()
    }

    /// Holds both captures against the input they came from, by our reader and Wireshark's.
    #[track_caller]
    fn holds(&self, input: &Path) {
        let whole = held(input);
        let by_tshark = tshark::is_there().then(|| held_by_tshark(input));
        for (path, verdict) in [(self.allowed(), "allow"), (self.denied(), "deny")] {
            let records = self.records_with(verdict);
            let expected: Vec<_> = records.iter().map(|record| whole[record - 1].clone()).collect();
            assert_eq!(held(&path), expected, "{verdict}");
            if let Some(whole) = &by_tshark {
                let expected: Vec<_> = records.iter().map(|record| whole[record - 1].clone()).collect();
                assert_eq!(held_by_tshark(&path), expected, "{verdict}");
            }
            if self.ending == "pcapng" {
                let comments = comments(&path);
                assert_eq!(comments.len(), records.len());
                assert!(comments.iter().all(|comment| comment.starts_with(&format!("{verdict}: "))));
                if tshark::is_there() {
                    assert_eq!(tshark::fields(&path, &["frame.comment"]), Some(comments));
                }
            }
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_examples_packets_are_split_by_verdict() {
    for ending in ["pcap", "pcapng"] {
        let mut before = None;
        for threads in ["1", "2", "7"] {
            let split = Split::new(ending);
            let answer = split.replayed(EXAMPLE, &["--threads", threads], None);
            let whole = (fs::read(split.allowed()).unwrap(), fs::read(split.denied()).unwrap());
            assert_eq!(*before.get_or_insert_with(|| whole.clone()), whole, "on {threads} threads");
            if threads != "1" {
                continue;
            }
            split.holds(Path::new(EXAMPLE));
            let [allowed, denied] = [split.allowed(), split.denied()].map(|path| held(&path).len());
            // As `data/example-counts.md` works out by hand.
            assert_eq!((allowed, denied), (238, 45));
            assert_eq!(answer["ledger"]["evaluated"], allowed + denied);
        }
    }
}

#[test]
fn each_packet_says_what_decided_about_it() {
    let split = Split::new("pcapng");
    split.replayed(EXAMPLE, &[], None);
    let said = |path: &Path, verdict: &str, record: usize| {
        let place = split.records_with(verdict).iter().position(|number| *number == record).unwrap();
        comments(path)[place].clone()
    };
    let (allowed, denied) = (split.allowed(), split.denied());
    for (record, words) in [
        // A6, A7, F3, D6 of `data/example-counts.md`.
        (55, "deny: nsg-web outbound DenyWebToDb 200, subnet NSG of nic-web-2"),
        (57, "deny: nsg-db-2 inbound DenyVnetInBound 4096, NIC NSG of nic-db-2"),
        (85, "deny: NatGateway nat-app"),
        (141, "deny: OutboundConnectivity, outbound at nic-db-1"),
        (146, "deny: Route noEndpoint"),
    ] {
        assert_eq!(said(&denied, "deny", record), words, "record {record}");
    }
    for (record, words) in [
        (1, "allow: nsg-app inbound AllowWebToApp 100, subnet NSG of nic-app-1"),
        (2, "allow: nsg-app inbound AllowWebToApp 100, open flow at nic-web-2"),
        (89, "allow: NoSecurityGroup"),
        (153, "allow: PlatformRule AzurePlatformDNS, outbound at nic-db-1"),
    ] {
        assert_eq!(said(&allowed, "allow", record), words, "record {record}");
    }
}

#[test]
fn without_state_packets_are_split_too() {
    let split = Split::new("pcapng");
    let answer = split.replayed(EXAMPLE, &["--state", "none"], None);
    split.holds(Path::new(EXAMPLE));
    let both = held(&split.allowed()).len() + held(&split.denied()).len();
    assert_eq!(answer["ledger"]["evaluated"], both);
}

/// A SYN of the example's web-2 to its app-1 (allowed) or db-1 (denied), as raw IP.
fn syn(number: u16, is_allowed: bool) -> Vec<u8> {
    let (destination, port) = if is_allowed { ([10, 20, 2, 4], 8080_u16) } else { ([10, 20, 3, 4], 1433) };
    let mut bytes = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 20, 1, 5];
    bytes.extend(destination);
    bytes.extend((20_000 + number).to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

/// The packet behind the link layer of this type.
fn framed(link_type: u16, packet: &[u8]) -> Vec<u8> {
    let header: &[u8] = match link_type {
        101 => &[],
        1 => &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 7, 8, 0],
        113 => &[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0],
        other => panic!("no packet of link type {other} is made here"),
    };
    [header, packet].concat()
}

/// Five packets in a classic pcap, the second of them denied, the third cut behind its ports.
fn classic(order: Order, magic: u32) -> Vec<u8> {
    let mut capture = pcap_header(order, magic, 65535, 101);
    for number in 0..5 {
        let mut packet = syn(number, number != 1);
        packet.truncate(if number == 2 { 24 } else { 40 });
        capture.extend(pcap_record(order, 1_700_000_000, 100 + u32::from(number), &packet, 40));
    }
    capture
}

#[test]
fn times_and_lengths_stay_what_they_are_in_any_byte_order() {
    for order in Order::BOTH {
        for magic in [MICROSECONDS, NANOSECONDS] {
            for ending in ["pcap", "pcapng"] {
                let split = Split::new(ending);
                let input = split.folder.path().join("input.pcap");
                fs::write(&input, classic(order, magic)).unwrap();
                split.replayed(text(&input), &[], None);
                split.holds(&input);
                let unit = if magic == MICROSECONDS { 1000 } else { 1 };
                let denied = held(&split.denied());
                assert_eq!(denied[0].time_ns, Some(1_700_000_000_000_000_000 + 101 * unit));
                assert_eq!((denied.len(), held(&split.allowed()).len()), (1, 4));
            }
        }
    }
}

/// Packets of three link types and four interfaces in two sections, with times in nanoseconds, microseconds, and 1/1024 s.
fn mixed(order: Order) -> Vec<u8> {
    let packet = |interface, time, link_type, number, is_allowed| {
        let frame = framed(link_type, &syn(number, is_allowed));
        let length = u32::try_from(frame.len()).unwrap();
        enhanced_packet(order, interface, time, &frame, length + u32::from(number))
    };
    [
        section(order),
        interface(order, 101, 0, &[(2, b"tun0")]),
        interface(order, 1, 0, &[(IF_TSRESOL, &[9])]),
        interface(order, 113, 262_144, &[(IF_TSRESOL, &[0x80 | 10])]),
        packet(1, 1_700_000_000_123_456_789, 1, 1, true),
        packet(0, 1_700_000_000_123_457, 101, 2, false),
        packet(2, 1_700_000_001 << 10, 113, 3, true),
        packet(1, 1_700_000_001_000_000_001, 1, 4, false),
        section(order),
        interface(order, 1, 0, &[(IF_TSRESOL, &[9])]),
        packet(0, 1_700_000_002_000_000_001, 1, 5, true),
    ]
    .concat()
}

#[test]
fn link_types_and_interfaces_are_kept_apart_in_a_pcapng() {
    for order in Order::BOTH {
        let split = Split::new("pcapng");
        let input = split.folder.path().join("input.pcapng");
        fs::write(&input, mixed(order)).unwrap();
        split.replayed(text(&input), &[], None);
        split.holds(&input);
        let kinds = |path: &Path| held(path).iter().map(|packet| packet.link_type).collect::<Vec<_>>();
        assert_eq!(kinds(&split.allowed()), [1, 113, 1]);
        assert_eq!(kinds(&split.denied()), [101, 1]);
    }
}

#[test]
fn a_second_link_type_does_not_fit_into_a_pcap() {
    let split = Split::new("pcap");
    let inputs = tempfile::tempdir().unwrap();
    let input = inputs.path().join("input.pcapng");
    fs::write(&input, mixed(Order::Little)).unwrap();
    let output = split.replay(text(&input), &[], None);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{talk}");
    for words in ["allowed.pcap", "record 3", "link type `113` after link type `1`", "ending in .pcapng"] {
        assert!(talk.contains(words), "expected `{words}` in: {talk}");
    }
    assert_eq!(fs::read_dir(split.folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn compressed_and_piped_captures_are_split_alike() {
    let bytes = fs::read(EXAMPLE).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&bytes).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&bytes[..], 3).unwrap();
    let plain = Split::new("pcapng");
    plain.replayed(EXAMPLE, &[], None);
    for piped in [&bytes, &gzip, &zstd] {
        let split = Split::new("pcapng");
        split.replayed("-", &[], Some(piped));
        let input = split.folder.path().join("input");
        fs::write(&input, piped).unwrap();
        let from_file = Split::new("pcapng");
        from_file.replayed(text(&input), &[], None);
        for split in [&split, &from_file] {
            assert_eq!(fs::read(split.allowed()).unwrap(), fs::read(plain.allowed()).unwrap());
            assert_eq!(fs::read(split.denied()).unwrap(), fs::read(plain.denied()).unwrap());
        }
    }
}

#[test]
fn many_batches_keep_their_order() {
    // More than two batches of 16,384 records, from a pipe.
    let order = Order::Little;
    let mut capture = pcap_header(order, NANOSECONDS, 65535, 101);
    for number in 0..40_000_u16 {
        let packet = syn(number, number % 3 != 0);
        capture.extend(pcap_record(order, 1_700_000_000, u32::from(number), &packet, 40));
    }
    let split = Split::new("pcap");
    split.replayed("-", &[], Some(&capture));
    let times = |path: &Path| -> Vec<u64> {
        held(path).iter().map(|packet| packet.time_ns.unwrap() % 1_000_000_000).collect()
    };
    assert_eq!(times(&split.denied()), (0..40_000).step_by(3).collect::<Vec<_>>());
    assert_eq!(times(&split.allowed()), (0..40_000).filter(|number| number % 3 != 0).collect::<Vec<_>>());
}

#[test]
fn a_batch_of_long_frames_ends_early() {
    let order = Order::Little;
    let long = [syn(0, true), vec![0; 12 << 20]].concat();
    let record = pcap_record(order, 1, 1, &long, u32::try_from(long.len()).unwrap());
    let capture = [pcap_header(order, MICROSECONDS, 0, 101), record.repeat(7)].concat();
    let mut reader = CaptureReader::from_reader("long", 0, Box::new(Cursor::new(capture))).unwrap();
    let (mut records, mut frames) = (Records::default(), KeptFrames::default());
    assert_eq!(reader.read_batch_with_frames(100, &mut records, &mut frames).unwrap(), 6);
    assert!(frames.is_full());
    records.clear();
    frames.clear();
    assert_eq!(reader.read_batch_with_frames(100, &mut records, &mut frames).unwrap(), 1);
    assert_eq!(frames.get(0).unwrap().bytes, long);
}

#[test]
fn a_packet_without_a_time_gets_the_last_one_before() {
    let order = Order::Big;
    let input = [
        section(order),
        interface(order, 101, 0, &[]),
        simple_packet(order, &syn(1, true), 40),
        enhanced_packet(order, 0, 1_700_000_000_000_001, &syn(2, false), 40),
        simple_packet(order, &syn(3, true), 40),
        enhanced_packet(order, 0, 1_700_000_000_000_002, &syn(4, true), 40),
    ]
    .concat();
    let split = Split::new("pcapng");
    split.replayed("-", &[], Some(&input));
    let times: Vec<_> = held(&split.allowed()).iter().map(|packet| packet.time_ns.unwrap()).collect();
    assert_eq!(times, [0, 1_700_000_000_000_001_000, 1_700_000_000_000_002_000]);
    let untimed =
        comments(&split.allowed()).iter().map(|said| said.contains("tells no time")).collect::<Vec<_>>();
    assert_eq!(untimed, [true, true, false]);
}

#[test]
fn a_length_on_the_wire_below_the_captured_one_is_raised_to_it() {
    let order = Order::Little;
    let record = pcap_record(order, 1, 1, &syn(1, true), 3);
    let input = [pcap_header(order, MICROSECONDS, 65535, 101), record].concat();
    for ending in ["pcap", "pcapng"] {
        let split = Split::new(ending);
        split.replayed("-", &[], Some(&input));
        assert_eq!(held(&split.allowed())[0].wire_bytes, 40);
    }
}

#[test]
fn mixed_and_undetermined_packets_are_in_neither() {
    let split = Split::new("pcap");
    let answer = split.replayed(EXAMPLE, &[], None);
    assert_eq!(answer["ledger"]["undetermined"]["total"], 10);
    let wanted = [split.records_with("allow"), split.records_with("deny")].map(|records| records.len());
    let found = [held(&split.allowed()), held(&split.denied())].map(|packets| packets.len());
    assert_eq!(found, wanted);
}

/// A packet that a mirror sends to a collector outside of the example's network, as raw IP.
fn mirrored(packet: &[u8]) -> Vec<u8> {
    let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], packet].concat();
    let length = |around: usize| u16::try_from(around + frame.len()).unwrap().to_be_bytes();
    let ip = [&[0x45, 0][..], &length(36), &[0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]].concat();
    let udp = [&[0xc3, 0x51, 0x12, 0xb5][..], &length(16), &[0, 0], &[8, 0, 0, 0, 0, 0, 42, 0]].concat();
    [ip, udp, frame].concat()
}

#[test]
fn an_opened_packet_is_written_as_it_was_captured() {
    let order = Order::Little;
    let mut input = pcap_header(order, NANOSECONDS, 65535, 101);
    for number in 0..4 {
        let packet = mirrored(&syn(number, number % 2 == 0));
        let length = u32::try_from(packet.len()).unwrap();
        input.extend(pcap_record(order, 1_700_000_000, number.into(), &packet, length));
    }
    let split = Split::new("pcapng");
    let path = split.folder.path().join("input.pcap");
    fs::write(&path, input).unwrap();

    let closed = split.replayed(text(&path), &[], None);
    assert_eq!(closed["ledger"]["out_of_scope"]["by_reason"]["NO_END_IN_NETWORK"]["count"], 4);
    split.holds(&path);

    let opened = split.replayed(text(&path), &["--decapsulate"], None);
    split.holds(&path);
    for (verdict, records) in [("allow", [1, 3]), ("deny", [2, 4])] {
        assert_eq!(split.records_with(verdict), records);
        // Two carried frames of 54 bytes.
        assert_eq!(opened["verdicts"][verdict]["bytes"], 2 * 54);
    }
    assert_eq!(
        comments(&split.denied())[0],
        "deny: nsg-web outbound DenyWebToDb 200, subnet NSG of nic-web-2"
    );

    let both = ["--base", "data/example", "--cand", "data/example", "--format", "json", "--no-timing"];
    let output = nsgsim(&["whatif", "-q", "--decapsulate", text(&path)]).args(both).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ledger"]["base"]["evaluated"], 4, "{answer}");
}

#[test]
fn either_capture_is_written_alone_and_one_without_packets_too() {
    let folder = tempfile::tempdir().unwrap();
    let denied = folder.path().join("denied.pcap");
    let input = folder.path().join("input.pcap");
    let record = pcap_record(Order::Little, 1, 1, &syn(1, true), 40);
    fs::write(&input, [pcap_header(Order::Little, MICROSECONDS, 65535, 101), record].concat()).unwrap();
    let mut command = nsgsim(&["replay", "-s", "data/example", text(&input), "--no-timing"]);
    let output = command.arg("--split-denied").arg(&denied).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("denied.pcap: 0 packets with the verdict `deny`"), "{talk}");
    assert_eq!(held(&denied), []);
    if tshark::is_there() {
        assert!(tshark::tshark(&denied, &[]).status.success());
    }
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (one, same) = (path("one.pcap"), path("./one.pcap"));
    for (arguments, words) in [
        (vec!["--split-allowed", "packets.txt"], "ending in .pcap or .pcapng"),
        (vec!["--split-denied", "packets"], "ending in .pcap or .pcapng"),
        (vec!["--split-allowed", &one, "--split-denied", &same], "name the same file"),
        (vec!["--output", &same, "--split-denied", &one], "name the same file"),
        (vec!["--split-denied", "no/such/folder/one.pcap"], "no/such/folder/one.pcap"),
    ] {
        let output =
            nsgsim(&["replay", "-q", "-s", "not/read", "not/read.pcap"]).args(&arguments).output().unwrap();
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(talk.contains(words), "{arguments:?}: {talk}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

/// A network of one subnet, with an interface for each of these addresses and no NSG.
fn network_of(addresses: &[&str]) -> Value {
    let id = |rest: &str| format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/{rest}");
    let subnet = id("virtualNetworks/v/subnets/s");
    let spaces = ["0.0.0.0/1", "128.0.0.0/2", "2000::/3"];
    let mut resources = vec![json!({
        "id": id("virtualNetworks/v"),
        "type": "Microsoft.Network/virtualNetworks",
        "name": "v",
        "location": "westeurope",
        "properties": {
            "addressSpace": { "addressPrefixes": spaces },
            "subnets": [{ "id": subnet, "name": "s", "properties": { "addressPrefixes": spaces } }],
        },
    })];
    for (number, address) in addresses.iter().enumerate() {
        let version = if address.contains(':') { "IPv6" } else { "IPv4" };
        let properties = json!({
            "subnet": { "id": subnet },
            "privateIPAddress": address,
            "privateIPAddressVersion": version,
            "primary": true,
        });
        resources.push(json!({
            "id": id(&format!("networkInterfaces/n{number}")),
            "type": "Microsoft.Network/networkInterfaces",
            "name": format!("n{number}"),
            "location": "westeurope",
            "properties": { "ipConfigurations": [{ "name": "c", "properties": properties }] },
        }));
    }
    resources.into()
}

#[test]
fn collected_captures_are_split_as_they_are() {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED") else {
        println!("NSGSIM_SHARED is not set: no captures to read");
        return;
    };
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join(shared).join("data/captures");
    // Interfaces of several link types; obsolete packet blocks in a big-endian section; nanoseconds.
    for (name, ends) in [
        (
            "zeek-gap-data-missing.pcapng",
            ["2a00:6020:ad0b:8380::10", "2a00:6020:ad0b:8381:fd70:e2f9:f031:9dc4"],
        ),
        ("scapy-pfcp.pcap", ["127.0.0.1", "127.0.0.2"]),
        ("tcpdump-tcp-handshake-nano.pcap", ["131.155.215.69", "137.116.81.94"]),
    ] {
        let mut split = Split::new("pcapng");
        split.network = split.folder.path().join("network.json");
        fs::write(&split.network, network_of(&ends).to_string()).unwrap();
        let input = captures.join(name);
        let answer = split.replayed(text(&input), &[], None);
        split.holds(&input);
        let both = held(&split.allowed()).len() + held(&split.denied()).len();
        assert!(both > 0 && answer["ledger"]["evaluated"] == both, "{name}: {both} of {answer}");
    }
}
