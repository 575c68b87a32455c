//! Captures written by hand byte by byte, cut, mangled, and files that are none.

use std::fs;
use std::io::{self, Read, Write};
use std::time::Duration;

use nsgsim::ingest::capture::{CaptureReader, Damage, LinkType};
use nsgsim::ingest::error::IngestError;
use nsgsim::model::reason_code::ReasonCode;
use nsgsim::model::record::{Content, Record};
use nsgsim::model::records::Records;
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::prelude::*;

use super::{persistence, read};
use crate::capture_bytes::*;

/// UDP from 10.0.1.4:50001 to 10.0.2.5:53, as raw IP.
const PACKET: [u8; 32] = [
    0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 1, 4, 10, 0, 2, 5, // IPv4
    0xc3, 0x51, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4, // UDP
];

/// Three records of [`PACKET`] in a classic pcap.
fn three_records(order: Order) -> Vec<u8> {
    let record = |second| pcap_record(order, second, 7, &PACKET, 32);
    [pcap_header(order, MICROSECONDS, 65535, 101), record(1), record(2), record(3)].concat()
}

fn reader(bytes: &[u8]) -> Result<CaptureReader, IngestError> {
    CaptureReader::from_reader("test", 0, Box::new(io::Cursor::new(bytes.to_vec())))
}

fn all(bytes: &[u8]) -> (Vec<Record>, Option<Damage>) {
    let mut reader = reader(bytes).unwrap();
    let mut records = Records::default();
    while reader.read_batch(2, &mut records).unwrap() > 0 {}
    assert_eq!(reader.read_batch(2, &mut records).unwrap(), 0, "the end is the end");
    (records.iter().collect(), reader.damage().cloned())
}

fn whole(bytes: &[u8]) -> Vec<Record> {
    let (records, damage) = all(bytes);
    assert_eq!(damage, None);
    records
}

fn is_packet(record: &Record) -> bool {
    matches!(record.content, Content::Packet(packet) if packet.five_tuple.destination_port.number() == Some(53))
}

#[test]
fn classic_pcap_is_read_in_both_byte_orders_and_resolutions() {
    for order in Order::BOTH {
        for (magic, time_ns) in
            [(MICROSECONDS, 1_700_000_000_999_999_000), (NANOSECONDS, 1_700_000_000_000_999_999)]
        {
            let record = pcap_record(order, 1_700_000_000, 999_999, &PACKET, 1032);
            let records = whole(&[pcap_header(order, magic, 65535, 101), record].concat());
            assert_eq!(records.len(), 1, "{order:?}");
            assert_eq!((records[0].time_ns, records[0].wire_bytes), (Some(time_ns), 1032), "{order:?}");
            assert!(is_packet(&records[0]));
        }
    }
}

#[test]
fn records_are_numbered_from_one_and_carry_their_file() {
    let bytes = three_records(Order::Little);
    let mut reader = CaptureReader::from_reader("test", 5, Box::new(io::Cursor::new(bytes))).unwrap();
    let mut records = Records::default();
    assert_eq!(reader.read_batch(2, &mut records).unwrap(), 2);
    assert_eq!(reader.bytes_read(), 24 + 2 * 48);
    assert_eq!(reader.read_batch(2, &mut records).unwrap(), 1);
    assert_eq!(reader.read_batch(2, &mut records).unwrap(), 0);
    let places: Vec<_> =
        records.iter().map(|record| (record.location.file, record.location.number)).collect();
    assert_eq!(places, [(5, 1), (5, 2), (5, 3)]);
    assert_eq!(reader.tally(), [(LinkType::RAW, 3)]);
}

#[test]
fn a_packet_beyond_the_snap_length_is_read_all_the_same() {
    for snap_len in [0, 16] {
        let record = pcap_record(Order::Big, 1, 1, &PACKET, 32);
        let records =
            whole(&[pcap_header(Order::Big, MICROSECONDS, snap_len, 101), record.clone(), record].concat());
        assert_eq!(records.len(), 2, "snap length {snap_len}");
        assert!(records.iter().all(is_packet));
    }
}

#[test]
fn flags_in_the_upper_half_of_the_link_type_are_passed_over() {
    // A frame check sequence of four bytes.
    let header = pcap_header(Order::Little, MICROSECONDS, 65535, 0x5400_0065);
    assert!(is_packet(&whole(&[header, pcap_record(Order::Little, 1, 1, &PACKET, 32)].concat())[0]));
}

#[test]
fn a_fraction_of_a_second_or_more_is_no_time() {
    let record = pcap_record(Order::Little, 1, 1_000_000, &PACKET, 32);
    let records = whole(&[pcap_header(Order::Little, MICROSECONDS, 65535, 101), record].concat());
    assert_eq!(records[0].time_ns, None);
    assert!(is_packet(&records[0]));
}

#[test]
fn a_length_on_the_wire_below_the_captured_one_is_not_believed() {
    let record = pcap_record(Order::Little, 1, 1, &PACKET, 3);
    let records = whole(&[pcap_header(Order::Little, MICROSECONDS, 65535, 101), record].concat());
    assert_eq!(records[0].wire_bytes, 32);
    assert!(is_packet(&records[0]));
}

#[test]
fn each_interface_of_a_pcapng_has_its_own_resolution_and_link_type() {
    for order in Order::BOTH {
        let framed = [&[2; 12][..], &[0x08, 0x00], &PACKET].concat();
        let offset = match order {
            Order::Big => 100i64.to_be_bytes(),
            Order::Little => 100i64.to_le_bytes(),
        };
        let bytes = [
            section(order),
            interface(order, 101, 0, &[]),
            interface(order, 1, 0, &[(2, b"eth0"), (IF_TSRESOL, &[9])]),
            interface(order, 101, 0, &[(IF_TSRESOL, &[0x80 | 10]), (IF_TSOFFSET, &offset)]),
            enhanced_packet(order, 1, 1_700_000_000_000_000_001, &framed, 46),
            enhanced_packet(order, 0, 1_700_000_000_000_001, &PACKET, 32),
            // 2,560 in units of 1/1024 second are 2.5 seconds.
            enhanced_packet(order, 2, 2560, &PACKET[..31], 32),
        ];
        let records = whole(&bytes.concat());
        assert!(records.iter().all(is_packet), "{order:?}: {records:?}");
        let times: Vec<_> = records.iter().map(|record| record.time_ns.unwrap()).collect();
        assert_eq!(times, [1_700_000_000_000_000_001, 1_700_000_000_000_001_000, 102_500_000_000]);
        let lengths: Vec<_> = records.iter().map(|record| record.wire_bytes).collect();
        assert_eq!(lengths, [46, 32, 32]);
    }
}

#[test]
fn sections_of_either_byte_order_follow_each_other_and_forget_the_interfaces() {
    let (big, little) = (Order::Big, Order::Little);
    let bytes = [
        section(little),
        interface(little, 101, 0, &[]),
        enhanced_packet(little, 0, 5, &PACKET, 32),
        section(big),
        interface(big, 105, 0, &[]),
        enhanced_packet(big, 0, 6, &PACKET, 32),
        section(little),
        enhanced_packet(little, 0, 7, &PACKET, 32),
    ];
    let records = whole(&bytes.concat());
    assert_eq!(records.len(), 3);
    assert!(is_packet(&records[0]));
    assert_eq!(records[1].content, Content::OutOfScope(ReasonCode::UnsupportedLinkType));
    assert_eq!(records[1].time_ns, Some(6000));
    // The last section has not described its interface 0.
    assert_eq!(records[2].content, Content::Skipped(ReasonCode::DamagedHeader));
    assert_eq!(records[2].time_ns, None);
}

#[test]
fn simple_and_obsolete_packet_blocks_are_read_and_other_blocks_passed_over() {
    for order in Order::BOTH {
        let simple = [&order.u32(1500)[..], &PACKET].concat();
        let obsolete_head = [&order.u16(0)[..], &order.u16(9), &order.words(&[0, 77, 32, 64])].concat();
        let bytes = [
            section(order),
            interface(order, 101, 32, &[]),
            block(order, 3, &simple),
            block(order, 2, &[&obsolete_head[..], &PACKET].concat()),
            block(order, 5, &[0; 12]),
            block(order, 0x0bad, &[0; 8]),
            block(order, 0x7777, b"what is this"),
        ];
        let records = whole(&bytes.concat());
        assert_eq!(records.len(), 2, "{order:?}");
        assert!(records.iter().all(is_packet));
        assert_eq!((records[0].time_ns, records[0].wire_bytes), (None, 1500));
        assert_eq!((records[1].time_ns, records[1].wire_bytes), (Some(77_000), 64));
    }
}

#[test]
fn a_packet_block_that_overstates_its_length_is_skipped_alone() {
    let order = Order::Little;
    let overstated = block(order, 6, &[&order.words(&[0, 0, 0, 5000, 5000]), &PACKET[..]].concat());
    let too_short = block(order, 6, &order.words(&[0, 0]));
    let good = enhanced_packet(order, 0, 1, &PACKET, 32);
    let bytes = [section(order), interface(order, 101, 0, &[]), overstated, too_short, good].concat();
    let records = whole(&bytes);
    assert_eq!(records[0].content, Content::Skipped(ReasonCode::DamagedHeader));
    assert_eq!(records[1].content, Content::Skipped(ReasonCode::DamagedHeader));
    assert!(is_packet(&records[2]));
}

#[test]
fn a_comment_that_is_not_utf_8_costs_no_packet() {
    let order = Order::Little;
    let packet =
        [&order.words(&[0, 0, 1, 32, 32]), &PACKET[..], &[1, 0, 4, 0, 0xff, 0xfe, 0xff, 0xfe]].concat();
    let records = whole(&[section(order), interface(order, 101, 0, &[]), block(order, 6, &packet)].concat());
    assert!(is_packet(&records[0]));
}

#[test]
fn odd_options_of_an_interface_cost_no_packet() {
    let order = Order::Little;
    let nanoseconds: Options<'_> = &[(2, b"LAN-Verbindung \xfc"), (IF_TSRESOL, &[9])];
    let cases: [(Options<'_>, Option<u64>); 5] = [
        // A name in the code page of its day; a resolution of the wrong size.
        (nanoseconds, Some(5_000)),
        (&[(IF_TSRESOL, &[9, 9]), (IF_TSRESOL, &[6])], Some(5_000_000)),
        // Finer than nanoseconds, and so fine that nothing is left.
        (&[(IF_TSRESOL, &[12])], Some(5)),
        (&[(IF_TSRESOL, &[0x7f])], Some(0)),
        // Before 1970.
        (&[(IF_TSOFFSET, &(-1i64).to_le_bytes())], None),
    ];
    for (options, time_ns) in cases {
        let packet = enhanced_packet(order, 0, 5_000, &PACKET, 32);
        let records = whole(&[section(order), interface(order, 101, 0, options), packet].concat());
        assert!(is_packet(&records[0]));
        assert_eq!(records[0].time_ns, time_ns, "{options:?}");
    }
}

#[test]
fn a_capture_that_is_cut_ends_there_and_keeps_what_was_before() {
    for order in Order::BOTH {
        let bytes = three_records(order);
        // In the middle of the last record's packet, and of its header.
        for (length, unread) in [(24 + 3 * 48 - 5, 43), (24 + 2 * 48 + 9, 9), (24 + 2 * 48 + 1, 1)] {
            let (records, damage) = all(&bytes[..length]);
            let damage = damage.unwrap_or_else(|| panic!("no damage at {length}"));
            assert_eq!(records.len(), 2);
            assert_eq!((damage.after_record, damage.offset), (2, 24 + 2 * 48));
            assert_eq!(damage.unread_bytes, Some(unread));
        }
        assert_eq!(whole(&bytes[..24 + 2 * 48]).len(), 2, "a capture may end after any record");
        assert_eq!(whole(&bytes[..24]).len(), 0, "a capture may have no record");
    }
}

#[test]
fn a_capture_that_is_cut_in_its_header_is_a_damaged_capture_without_records() {
    for length in 4..24 {
        let (records, damage) = all(&three_records(Order::Little)[..length]);
        let damage = damage.unwrap();
        assert!(records.is_empty());
        assert_eq!((damage.after_record, damage.offset, damage.unread_bytes), (0, 0, Some(length as u64)));
    }
    for length in 4..28 {
        let (_, damage) = all(&section(Order::Big)[..length]);
        assert_eq!(damage.unwrap().unread_bytes, Some(length as u64));
    }
}

#[test]
fn a_pcapng_that_is_cut_ends_there() {
    let order = Order::Big;
    let head =
        [section(order), interface(order, 101, 0, &[]), enhanced_packet(order, 0, 1, &PACKET, 32)].concat();
    let last = enhanced_packet(order, 0, 2, &PACKET, 32);
    for length in 1..last.len() {
        let (records, damage) = all(&[&head[..], &last[..length]].concat());
        let damage = damage.unwrap();
        assert_eq!((records.len(), damage.after_record), (1, 1));
        assert_eq!((damage.offset, damage.unread_bytes), (head.len() as u64, Some(length as u64)));
    }
}

#[test]
fn lengths_that_cannot_be_end_the_file_with_the_rest_counted() {
    let rest = vec![0xee; 700_000];
    let mut classic = three_records(Order::Little);
    classic.extend(pcap_record(Order::Little, 4, 4, &[], 32));
    let length_at = classic.len() - 8;
    classic[length_at..length_at + 4].fill(0xff);
    let (records, damage) = all(&[classic, rest.clone()].concat());
    let damage = damage.unwrap();
    assert_eq!((records.len(), damage.after_record, damage.offset), (3, 3, 24 + 3 * 48));
    assert_eq!(damage.unread_bytes, Some(16 + 700_000));
    assert!(damage.message.contains("expected at most"), "{}", damage.message);

    let order = Order::Little;
    let head =
        [section(order), interface(order, 101, 0, &[]), enhanced_packet(order, 0, 1, &PACKET, 32)].concat();
    for length in [11, 13, 0xffff_fff0] {
        let bytes = [&head[..], &order.words(&[6, length]), &rest].concat();
        let (records, damage) = all(&bytes);
        let damage = damage.unwrap();
        assert_eq!((records.len(), damage.offset), (1, head.len() as u64), "{length}");
        assert_eq!(damage.unread_bytes, Some(8 + 700_000), "{length}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_damage_and_no_error() {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let bytes = three_records(Order::Little);
    let stream = io::Cursor::new(bytes[..24 + 48 + 3].to_vec()).chain(Breaks);
    let mut reader = CaptureReader::from_reader("test", 0, Box::new(stream)).unwrap();
    let mut records = Records::default();
    assert_eq!(reader.read_batch(10, &mut records).unwrap(), 1);
    let damage = reader.damage().unwrap();
    assert_eq!((damage.after_record, damage.offset, damage.unread_bytes), (1, 24 + 48, None));
    assert!(damage.message.contains("the disk is gone"), "{}", damage.message);
}

#[test]
fn a_compressed_capture_is_recognised_by_content_and_a_cut_one_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no-ending");
    let bytes = three_records(Order::Little);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&bytes).unwrap();
    let gzip = gzip.finish().unwrap();
    for packed in [&zstd::encode_all(&bytes[..], 3).unwrap(), &gzip] {
        fs::write(&path, packed).unwrap();
        let (reader, records) = read(&path);
        assert_eq!((records.len(), reader.damage()), (3, None));
    }
    // Without the checksum at the end nobody knows whether the capture was whole.
    fs::write(&path, &gzip[..gzip.len() - 8]).unwrap();
    let (reader, records) = read(&path);
    assert_eq!(records.len(), 3);
    assert_eq!(reader.damage().unwrap().unread_bytes, None);
}

#[test]
fn foreign_content_is_refused_with_its_first_bytes() {
    let refused = |bytes: &[u8]| reader(bytes).err().expect("foreign content is refused").to_string();
    let text = refused(b"hello, world\n");
    assert_eq!(
        text,
        "test: starts with bytes `68 65 6c 6c 6f 2c 20 77` (`hello, w`): expected a capture (pcap or pcapng)"
    );
    assert_eq!(refused(b""), "test: the file is empty: expected a capture (pcap or pcapng)");
    for foreign in [
        &b"{\"records\": []}"[..],
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        b"\xa1\xb2\xc3",
        b"\n\r\r\n then a text that begins with ends of lines",
        &[0; 64],
    ] {
        assert!(refused(foreign).ends_with("expected a capture (pcap or pcapng)"));
    }
}

#[test]
fn versions_of_pcap_with_other_records_are_not_guessed_at() {
    let mut bytes = three_records(Order::Big);
    bytes[7] = 2;
    let (records, damage) = all(&bytes);
    assert!(records.is_empty());
    assert_eq!(damage.unwrap().message, "version `2.2` of the pcap format: expected 2.3 or later");
}

/// Time and length of each packet as `pcap-file` reads them; nothing where it does not read the file to its end.
fn theirs(bytes: &[u8]) -> Option<Vec<(Option<u64>, u32)>> {
    let mut reader = PcapNgReader::with_capacity(bytes, 1 << 16).ok()?;
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        let time = |time: Duration| u64::try_from(time.as_nanos()).ok();
        match block.ok()?.0 {
            Block::EnhancedPacket(packet) => packets.push((time(packet.timestamp), packet.original_len)),
            Block::Packet(packet) => packets.push((time(packet.timestamp), packet.original_len)),
            Block::SimplePacket(packet) => packets.push((None, packet.original_len)),
            _ => {}
        }
    }
    Some(packets)
}

/// A capture of one of the two formats, whole.
fn sample(blocks: bool, order: Order) -> Vec<u8> {
    if blocks {
        let simple = block(order, 3, &[&order.u32(32)[..], &PACKET].concat());
        let resolution = interface(order, 101, 0, &[(IF_TSRESOL, &[9]), (IF_TSOFFSET, &[0; 8])]);
        let packet = enhanced_packet(order, 0, 1, &PACKET, 32);
        [section(order), resolution, packet.clone(), simple, packet].concat()
    } else {
        three_records(order)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: persistence(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn mangled_captures_end_somewhere_and_account_for_every_byte(
        blocks: bool,
        big: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample(blocks, if big { Order::Big } else { Order::Little });
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        if let Ok(mut reader) = reader(&bytes) {
            let mut records = Records::default();
            while reader.read_batch(1, &mut records).unwrap() > 0 {}
            let unread = reader.damage().map_or(0, |damage| damage.unread_bytes.unwrap());
            prop_assert_eq!(reader.bytes_read() + unread, bytes.len() as u64);
            prop_assert_eq!(reader.records_read(), records.len() as u64);
        }
    }

    #[test]
    fn a_pcapng_reads_as_pcap_file_reads_it(
        big: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = sample(true, if big { Order::Big } else { Order::Little });
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(theirs) = theirs(&bytes) {
            let (records, damage) = all(&bytes);
            // Theirs reads any version; the format asks its readers not to.
            if !damage.as_ref().is_some_and(|damage| damage.message.starts_with("version")) {
                prop_assert_eq!(damage, None);
                let ours: Vec<_> = records.iter().map(|record| (record.time_ns, record.wire_bytes)).collect();
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn random_bytes_behind_a_magic_number_never_panic(
        magic in prop::sample::select(vec![0xa1b2_c3d4u32, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x4d3c_b2a1, 0x0a0d_0d0a]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&magic.to_be_bytes()[..], &rest].concat();
        if let Ok(mut reader) = reader(&bytes) {
            let mut records = Records::default();
            while reader.read_batch(9, &mut records).unwrap() > 0 {}
            let unread = reader.damage().map_or(0, |damage| damage.unread_bytes.unwrap());
            prop_assert_eq!(reader.bytes_read() + unread, bytes.len() as u64);
        }
    }
}
