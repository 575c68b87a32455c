//! Bytes of small packets for the tests of this room.

use std::net::IpAddr;

use crate::model::flow::{FiveTuple, Packet, Port, TcpFlags};
use crate::model::record::Content;
use crate::model::rule::Protocol;

pub(super) const CLIENT: &str = "10.0.1.4";
pub(super) const SERVER: &str = "10.0.2.5";
pub(super) const CLIENT_6: &str = "2001:db8::1:4";
pub(super) const SERVER_6: &str = "2001:db8::2:5";

/// An Ethernet frame of this ether type.
pub(super) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &kind.to_be_bytes()[..], payload].concat()
}

/// A header of 20 bytes with correct length, from [`CLIENT`] to [`SERVER`].
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total_len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0x45, 0, total_len[0], total_len[1], 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    bytes.extend([10, 0, 1, 4, 10, 0, 2, 5]);
    bytes.extend(payload);
    bytes
}

/// A header with correct length, from [`CLIENT_6`] to [`SERVER_6`].
pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for host in [[0, 1, 0, 4], [0, 2, 0, 5]] {
        bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(host);
    }
    bytes.into_iter().chain(payload.iter().copied()).collect()
}

/// A SYN from port 50000 to port 443.
pub(super) fn syn() -> Vec<u8> {
    let mut bytes = vec![0xc3, 0x50, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02];
    bytes.extend([0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

/// A datagram from port 50001 to port 53 with four bytes in it.
pub(super) fn udp() -> Vec<u8> {
    vec![0xc3, 0x51, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]
}

/// An extension header of 8 bytes.
pub(super) fn extension(next: u8, payload: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], payload].concat()
}

pub(super) fn tuple(
    source: &str,
    destination: &str,
    protocol: Protocol,
    ports: Option<(u16, u16)>,
) -> FiveTuple {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let port = |number: Option<u16>| number.map_or(Port::None, Port::Number);
    FiveTuple {
        source: address(source),
        destination: address(destination),
        protocol,
        source_port: port(ports.map(|(source, _)| source)),
        destination_port: port(ports.map(|(_, destination)| destination)),
    }
}

/// What [`syn`] is in [`ipv4`].
pub(super) fn syn_packet() -> Packet {
    let five_tuple = tuple(CLIENT, SERVER, Protocol::TCP, Some((50000, 443)));
    Packet { tcp: Some(TcpFlags { syn: true, ..TcpFlags::default() }), ..Packet::new(five_tuple) }
}

/// What [`syn`] is in [`ipv6`].
pub(super) fn syn_packet_6() -> Packet {
    let five_tuple = tuple(CLIENT_6, SERVER_6, Protocol::TCP, Some((50000, 443)));
    Packet { five_tuple, ..syn_packet() }
}

/// The packet, if there is one.
pub(super) fn packet_of(content: Content) -> Packet {
    match content {
        Content::Packet(packet) => packet,
        other => panic!("no packet: {other:?}"),
    }
}
