//! Synthetic packets as a capture.

use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::time::Duration;

use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapTsResolution, PcapWriteError, PcapWriter};
use pcap_file::{DataLink, Endianness};

use super::SynthPacket;
use crate::model::flow::{Fragment, Icmp, Packet, Port, TcpFlags};
use crate::model::rule::Protocol;

/// Stands for whatever is behind a header.
static PAYLOAD: [u8; u16::MAX as usize] = [0; u16::MAX as usize];

/// Writes packets as a classic pcap with nanoseconds, on Ethernet, which every reader opens. Returns their number.
///
/// Lengths and checksums are right; sequence numbers are not, for a [`Packet`] has none.
///
/// # Errors
///
/// Fails if `out` does, on a time beyond the year 2106, where the format ends, and on packets that [`flows`] does not
/// make: fragments, ICMP errors, ends of different families, more than an IP packet can carry.
///
/// [`flows`]: super::flows
pub fn write_pcap<W: Write>(packets: impl Iterator<Item = SynthPacket>, out: W) -> io::Result<u64> {
    let header = PcapHeader {
        ts_resolution: PcapTsResolution::NanoSecond,
        datalink: DataLink::ETHERNET,
        // Not the machine's own order: the same packets are the same bytes everywhere.
        endianness: Endianness::Little,
        snaplen: 1 << 18,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(BufWriter::new(out), header).map_err(unwritten)?;
    let mut frame = Vec::new();
    let mut count = 0;
    for packet in packets {
        frame.clear();
        write_frame(&packet, &mut frame)?;
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        let record = PcapPacket::new(Duration::from_nanos(packet.time_ns), length, &frame[..]);
        writer.write_packet(&record.map_err(io::Error::other)?).map_err(unwritten)?;
        count += 1;
    }
    writer.flush().map_err(unwritten)?;
    Ok(count)
}

/// What `out` said, where it was `out`: whoever asks tells a closed pipe from a full disk by its kind.
fn unwritten(error: PcapWriteError) -> io::Error {
    match error {
        PcapWriteError::Io(error) | PcapWriteError::FieldWriteFailed(_, error) => error,
        invalid @ PcapWriteError::Validation(_) => io::Error::other(invalid),
    }
}

fn write_frame(packet: &SynthPacket, frame: &mut Vec<u8>) -> io::Result<()> {
    let SynthPacket { packet, payload_bytes, .. } = packet;
    let payload = &PAYLOAD[..usize::from(*payload_bytes)];
    let tuple = packet.five_tuple;
    // Locally administered addresses.
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), 64)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), 64)
        }
        _ => return Err(unwritable(packet)),
    };
    if packet.fragment != Fragment::Whole {
        return Err(unwritable(packet));
    }
    write_transport(ip, packet, payload, frame)
}

fn write_transport(
    ip: PacketBuilderStep<IpHeaders>,
    packet: &Packet,
    payload: &[u8],
    frame: &mut Vec<u8>,
) -> io::Result<()> {
    let tuple = packet.five_tuple;
    let written = match (tuple.protocol, tuple.source_port, tuple.destination_port, packet.icmp) {
        (Protocol::TCP, Port::Number(source), Port::Number(destination), _) => {
            let TcpFlags { syn, ack, fin, rst } = packet.tcp.unwrap_or_default();
            let mut tcp = ip.tcp(source, destination, 1, u16::MAX);
            if syn {
                tcp = tcp.syn();
            }
            if ack {
                tcp = tcp.ack(1);
            }
            if fin {
                tcp = tcp.fin();
            }
            if rst {
                tcp = tcp.rst();
            }
            tcp.write(frame, payload)
        }
        (Protocol::UDP, Port::Number(source), Port::Number(destination), _) => {
            ip.udp(source, destination).write(frame, payload)
        }
        (Protocol::ICMP, .., Some(Icmp::Echo { identifier, request: true })) => {
            ip.icmpv4_echo_request(identifier, 1).write(frame, payload)
        }
        (Protocol::ICMP, .., Some(Icmp::Echo { identifier, request: false })) => {
            ip.icmpv4_echo_reply(identifier, 1).write(frame, payload)
        }
        (Protocol::ICMPV6, .., Some(Icmp::Echo { identifier, request: true })) => {
            ip.icmpv6_echo_request(identifier, 1).write(frame, payload)
        }
        (Protocol::ICMPV6, .., Some(Icmp::Echo { identifier, request: false })) => {
            ip.icmpv6_echo_reply(identifier, 1).write(frame, payload)
        }
        (Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6, ..) => {
            return Err(unwritable(packet));
        }
        (Protocol(number), ..) => ip.write(frame, IpNumber(number), payload),
    };
    written.map_err(io::Error::other)
}

fn unwritable(packet: &Packet) -> io::Error {
    let tuple = packet.five_tuple;
    let message = format!(
        "packet `{} {} -> {}`: expected a whole TCP, UDP, echo or portless packet of one family",
        tuple.protocol, tuple.source, tuple.destination
    );
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
