//! IPv4 and IPv6 headers, and of the transport headers what filters look at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::decode::{Decoded, Part, Version};
use crate::model::flow::{FiveTuple, Fragment, Icmp, Packet, Port, TcpFlags};
use crate::model::record::Content;
use crate::model::rule::Protocol;
use crate::model::verdict::ReasonCode;

/// An IP packet of which the headers up to the transport layer have been read.
struct Datagram<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    fragment: Fragment,
    /// From the transport header on, up to the end that the IP header states.
    payload: Part<'a>,
}

/// Reads an IP packet.
pub(super) fn packet(version: Version, bytes: Part<'_>) -> Decoded {
    let datagram = datagram(version, bytes)?;
    let five_tuple = five_tuple(&datagram)?;
    let mut packet = Packet { fragment: datagram.fragment, ..Packet::new(five_tuple) };
    if !matches!(datagram.fragment, Fragment::Later { .. }) {
        match datagram.protocol {
            Protocol::TCP => packet.tcp = tcp(&datagram)?,
            Protocol::UDP => udp(&datagram)?,
            Protocol::ICMP if version == Version::V4 => packet.icmp = icmp(version, &datagram)?,
            Protocol::ICMPV6 if version == Version::V6 => packet.icmp = icmp(version, &datagram)?,
            _ => {}
        }
    }
    Ok(Content::Packet(packet))
}

fn datagram(version: Version, bytes: Part<'_>) -> Result<Datagram<'_>, ReasonCode> {
    match version {
        Version::V4 => v4(bytes),
        Version::V6 => v6(bytes),
    }
}

fn v4(bytes: Part<'_>) -> Result<Datagram<'_>, ReasonCode> {
    let header = bytes.bytes::<20>(0)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < header.len() {
        return Err(ReasonCode::DamagedHeader);
    }
    let total_len = match u16::from_be_bytes([header[2], header[3]]) {
        // A packet handed to the network card to be cut into segments: over 65,535 bytes, and the field stays empty.
        0 => bytes.original_len,
        stated => usize::from(stated),
    };
    if header_len > total_len {
        return Err(ReasonCode::DamagedHeader);
    }
    let identification = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let flags_and_offset = u16::from_be_bytes([header[6], header[7]]);
    let address =
        |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
    Ok(Datagram {
        source: address(12),
        destination: address(16),
        protocol: Protocol(header[9]),
        fragment: fragment(flags_and_offset & 0x1fff != 0, flags_and_offset & 0x2000 != 0, identification),
        payload: stated(bytes, total_len).from(header_len),
    })
}

fn v6(bytes: Part<'_>) -> Result<Datagram<'_>, ReasonCode> {
    const HEADER: usize = 40;
    let header = bytes.bytes::<HEADER>(0)?;
    if header[0] >> 4 != 6 {
        return Err(ReasonCode::DamagedHeader);
    }
    let total_len = match u16::from_be_bytes([header[4], header[5]]) {
        // A jumbogram, or a packet to be cut into segments by the network card.
        0 => bytes.original_len,
        stated => HEADER + usize::from(stated),
    };
    let chain = chain(stated(bytes, total_len), header[6])?;
    let address = |at: usize| {
        let octets = header[at..].first_chunk::<16>().expect("both addresses lie within the 40 bytes");
        IpAddr::V6(Ipv6Addr::from(*octets))
    };
    Ok(Datagram {
        source: address(8),
        destination: address(24),
        protocol: chain.protocol,
        fragment: chain.fragment,
        payload: stated(bytes, total_len).from(chain.end),
    })
}

/// Where a chain of extension headers ends, and in what.
struct Chain {
    protocol: Protocol,
    fragment: Fragment,
    end: usize,
}

/// Walks the extension headers that stand between an IPv6 header and the transport layer.
///
/// AH is the end of the chain, though it is an extension header like the others and what follows it can be read: rules
/// name AH and ESP as protocols (NSG-5), and in IPv4 such a packet's protocol is 51 or 50. So that a rule means the
/// same in both families, a packet with AH is an AH packet and one with ESP an ESP packet.
fn chain(bytes: Part<'_>, first: u8) -> Result<Chain, ReasonCode> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;
    let mut chain = Chain { protocol: Protocol(first), fragment: Fragment::Whole, end: 40 };
    loop {
        let at = chain.end;
        match chain.protocol.0 {
            HOP_BY_HOP if at != 40 => return Err(ReasonCode::DamagedHeader),
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let [next, length] = *bytes.bytes::<2>(at)?;
                chain.protocol = Protocol(next);
                chain.end = at + (usize::from(length) + 1) * 8;
            }
            FRAGMENT => {
                let [next, _, high, low, id @ ..] = *bytes.bytes::<8>(at)?;
                let offset_and_more = u16::from_be_bytes([high, low]);
                let later = offset_and_more & 0xfff8 != 0;
                let fragment = fragment(later, offset_and_more & 1 != 0, u32::from_be_bytes(id));
                chain.protocol = Protocol(next);
                chain.end = at + 8;
                if fragment != Fragment::Whole {
                    chain.fragment = fragment;
                }
                if later {
                    // LIMIT: where the first fragment has further extension headers, its protocol is what they lead
                    // to and this one's is the first of them; nothing in this fragment tells.
                    return Ok(chain);
                }
            }
            _ => break,
        }
        if chain.end > bytes.original_len {
            return Err(ReasonCode::DamagedHeader);
        }
    }
    Ok(chain)
}

fn fragment(later: bool, more: bool, identification: u32) -> Fragment {
    match (later, more) {
        (true, _) => Fragment::Later { identification },
        (false, true) => Fragment::First { identification },
        (false, false) => Fragment::Whole,
    }
}

/// The packet with the length that its IP header states.
///
/// Where that is less than the frame, the rest is the frame's padding; where it is more, the packet was cut before it
/// was captured.
fn stated(bytes: Part<'_>, total_len: usize) -> Part<'_> {
    Part { captured: &bytes.captured[..bytes.captured.len().min(total_len)], original_len: total_len }
}

fn five_tuple(datagram: &Datagram<'_>) -> Result<FiveTuple, ReasonCode> {
    let later = matches!(datagram.fragment, Fragment::Later { .. });
    let (source_port, destination_port) = if datagram.protocol.has_ports() && !later {
        let ports = datagram.payload.bytes::<4>(0)?;
        let port = |at: usize| Port::Number(u16::from_be_bytes([ports[at], ports[at + 1]]));
        (port(0), port(2))
    } else {
        (Port::None, Port::None)
    };
    Ok(FiveTuple {
        source: datagram.source,
        destination: datagram.destination,
        protocol: datagram.protocol,
        source_port,
        destination_port,
    })
}

/// Whether a transport header of `length` bytes goes beyond the end of its packet. A first fragment may end anywhere:
/// its header goes on in the next.
fn too_long(datagram: &Datagram<'_>, length: usize) -> bool {
    datagram.fragment == Fragment::Whole && length > datagram.payload.original_len
}

/// The flags, where they were captured.
fn tcp(datagram: &Datagram<'_>) -> Result<Option<TcpFlags>, ReasonCode> {
    const SHORTEST: usize = 20;
    let header_len = datagram.payload.u8(12).map_or(SHORTEST, |byte| usize::from(byte >> 4) * 4);
    if header_len < SHORTEST || too_long(datagram, header_len) {
        return Err(ReasonCode::DamagedHeader);
    }
    Ok(datagram.payload.u8(13).ok().map(|bits| TcpFlags {
        fin: bits & 0x01 != 0,
        syn: bits & 0x02 != 0,
        rst: bits & 0x04 != 0,
        ack: bits & 0x10 != 0,
    }))
}

fn udp(datagram: &Datagram<'_>) -> Result<(), ReasonCode> {
    const HEADER: usize = 8;
    // Length 0 stands for a datagram that is too long for the field.
    let stated = datagram.payload.u16(4).map_or(0, usize::from);
    if too_long(datagram, HEADER) || (1..HEADER).contains(&stated) {
        return Err(ReasonCode::DamagedHeader);
    }
    Ok(())
}

/// What an ICMP message says; `None` where too little of it was captured to tell.
fn icmp(version: Version, datagram: &Datagram<'_>) -> Result<Option<Icmp>, ReasonCode> {
    const HEADER: usize = 8;
    if too_long(datagram, HEADER) {
        return Err(ReasonCode::DamagedHeader);
    }
    let message = datagram.payload;
    let Ok(kind) = message.u8(0) else { return Ok(None) };
    let echo = |request| message.u16(4).ok().map(|identifier| Icmp::Echo { identifier, request });
    Ok(match (version, kind) {
        (Version::V4, 8) | (Version::V6, 128) => echo(true),
        (Version::V4, 0) | (Version::V6, 129) => echo(false),
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        (Version::V4, 3 | 4 | 5 | 11 | 12) | (Version::V6, 1..=4) => {
            Some(Icmp::Error { quoted: quoted(version, message.from(HEADER)) })
        }
        _ => Some(Icmp::Other),
    })
}

/// The five-tuple of the packet that an error is about.
///
/// It quotes the header and at least 8 bytes behind it, among them the ports; the length in the quoted header is that of
/// the whole packet.
fn quoted(version: Version, quote: Part<'_>) -> Option<FiveTuple> {
    datagram(version, quote).and_then(|datagram| five_tuple(&datagram)).ok()
}
