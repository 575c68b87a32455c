//! What decoding a packet costs: ours against `etherparse`, and reading a whole capture.
//!
//! `cargo bench --bench parse`; figures of one run stand at `ingest::capture::decode`.

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etherparse::{LaxSlicedPacket, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use nsgsim::ingest::capture::decode::decode;
use nsgsim::ingest::capture::{CaptureReader, LinkType};
use nsgsim::model::records::Records;

const FRAMES: usize = 4096;

/// Frames cut to 96 bytes as for a capture of headers: three of four IPv4, two of three TCP, some with a VLAN tag.
fn frames() -> Vec<(Vec<u8>, u32)> {
    (0..FRAMES)
        .map(|number| {
            let host = u8::try_from(number % 251).expect("below 251");
            let port = u16::try_from(number).expect("4,096 frames");
            let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let ip = match number % 8 {
                0 | 1 => ethernet.ipv6([host; 16], [8; 16], 64),
                2 => ethernet.single_vlan(7.try_into().expect("a small number")).ipv4(
                    [10, 0, 0, host],
                    [10, 0, 1, 4],
                    64,
                ),
                _ => ethernet.ipv4([10, 0, 0, host], [10, 0, 1, 4], 64),
            };
            let mut frame = Vec::new();
            let payload = vec![7; number % 700];
            if number % 3 == 0 {
                ip.udp(port, 53).write(&mut frame, &payload).expect("a vector takes all");
            } else {
                ip.tcp(port, 443, 1, 1000).ack(1).write(&mut frame, &payload).expect("a vector takes all");
            }
            let length = u32::try_from(frame.len()).expect("a small frame");
            frame.truncate(96);
            (frame, length)
        })
        .collect()
}

fn parse(criterion: &mut Criterion) {
    let frames = frames();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            for (frame, length) in &frames {
                black_box(decode(LinkType::ETHERNET, black_box(frame), *length));
            }
        });
    });
    group.bench_function("etherparse, lax", |bencher| {
        bencher.iter(|| {
            for (frame, _) in &frames {
                let packet = LaxSlicedPacket::from_ethernet(black_box(frame)).expect("a whole header");
                black_box(ports(packet.transport.as_ref()));
                black_box(packet.net.is_some());
            }
        });
    });
    group.bench_function("etherparse, strict", |bencher| {
        bencher.iter(|| {
            for (frame, _) in &frames {
                if let Ok(packet) = SlicedPacket::from_ethernet(black_box(frame)) {
                    black_box(ports(packet.transport.as_ref()));
                    black_box(packet.net.as_ref().is_some_and(NetSlice::is_ip));
                }
            }
        });
    });
    group.finish();
}

fn ports(transport: Option<&TransportSlice<'_>>) -> Option<(u16, u16)> {
    match transport? {
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port())),
        TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
        _ => None,
    }
}

fn read(criterion: &mut Criterion) {
    let mut capture =
        vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (second, (frame, length)) in (0u32..).zip(frames()) {
        let captured = u32::try_from(frame.len()).expect("96 bytes at most");
        for word in [second, 0, captured, length] {
            capture.extend(word.to_le_bytes());
        }
        capture.extend(frame);
    }
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("a capture in memory", |bencher| {
        let mut records = Records::with_capacity(FRAMES);
        bencher.iter(|| {
            records.clear();
            let stream = Box::new(io::Cursor::new(capture.clone()));
            let mut reader = CaptureReader::from_reader("bench", 0, stream).expect("a capture");
            while reader.read_batch(FRAMES, &mut records).expect("no error") > 0 {}
            assert_eq!(records.len(), FRAMES);
        });
    });
    group.finish();
}

criterion_group!(benches, parse, read);
criterion_main!(benches);
