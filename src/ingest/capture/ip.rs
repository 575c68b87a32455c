//! IPv4 and IPv6 headers, and of the transport headers what filters look at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::decode::{Part, Version};
use crate::model::flow::{FiveTuple, Fragment, Icmp, Packet, Port, TcpFlags};
use crate::model::reason_code::ReasonCode;
use crate::model::rule::Protocol;

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
pub(super) fn packet(version: Version, bytes: Part<'_>) -> Result<Packet, ReasonCode> {
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
    Ok(packet)
}

/// The frame that an IP packet carries by VXLAN; nothing where it is no whole VXLAN packet.
///
/// # Errors
///
/// Fails where the capture ends before the header that would tell.
pub(super) fn vxlan(version: Version, bytes: Part<'_>) -> Result<Option<Part<'_>>, ReasonCode> {
    const UDP_HEADER: usize = 8;
    const HEADER: usize = 8;
    /// The flag that says that the header names a network.
    const NAMES_A_NETWORK: u8 = 0x08;
    // What is wrong with a packet that cannot be read so far is for `packet` to say.
    let Ok(datagram) = datagram(version, bytes) else { return Ok(None) };
    let is_udp = datagram.protocol == Protocol::UDP && datagram.fragment == Fragment::Whole;
    if !is_udp || datagram.payload.u16(2) != Ok(VXLAN_PORT) || udp(&datagram).is_err() {
        return Ok(None);
    }
    let length = match datagram.payload.u16(4)? {
        0 => datagram.payload.original_len,
        length => usize::from(length).min(datagram.payload.original_len),
    };
    let carried = stated(datagram.payload, length).from(UDP_HEADER);
    match carried.bytes::<HEADER>(0) {
        Ok(header) if header[0] & NAMES_A_NETWORK != 0 => Ok(Some(carried.from(HEADER))),
        // Too short for the header as a datagram, and not by the capture.
        Ok(_) | Err(ReasonCode::DamagedHeader) => Ok(None),
        Err(reason) => Err(reason),
    }
}

/// The port that VXLAN is sent to (RFC 7348, section 5).
pub(super) const VXLAN_PORT: u16 = 4789;

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
    let datagram = datagram(version, quote).ok()?;
    let tuple = five_tuple(&datagram).ok()?;
    // An echo is known by its identifier, which stands in both ports of what is quoted (STATE-10).
    let is_echo = match (tuple.protocol, datagram.payload.u8(0)) {
        (Protocol::ICMP, Ok(kind)) => matches!(kind, 0 | 8),
        (Protocol::ICMPV6, Ok(kind)) => matches!(kind, 128 | 129),
        _ => false,
    };
    let Some(identifier) = datagram.payload.u16(4).ok().filter(|_| is_echo).map(Port::Number) else {
        return Some(tuple);
    };
    Some(FiveTuple { source_port: identifier, destination_port: identifier, ..tuple })
}

#[cfg(test)]
mod tests {
    use super::super::decode::{LinkType, decode};
    use super::super::sample::*;
    use crate::model::flow::{FiveTuple, Fragment, Icmp, Packet, Port, TcpFlags};
    use crate::model::reason_code::ReasonCode;
    use crate::model::record::Content;
    use crate::model::rule::Protocol;

    const DAMAGED: Content = Content::Skipped(ReasonCode::DamagedHeader);
    const CUT: Content = Content::Skipped(ReasonCode::CutShort);

    fn whole(bytes: &[u8]) -> Content {
        decode(LinkType::RAW, bytes, u32::try_from(bytes.len()).unwrap())
    }

    /// The packet with its first `kept` bytes captured.
    fn cut(bytes: &[u8], kept: usize) -> Content {
        decode(LinkType::RAW, &bytes[..kept], u32::try_from(bytes.len()).unwrap())
    }

    fn with(mut bytes: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
        for (at, value) in changes {
            bytes[*at] = *value;
        }
        bytes
    }

    fn v4_tuple(protocol: u8, ports: Option<(u16, u16)>) -> FiveTuple {
        tuple(CLIENT, SERVER, Protocol(protocol), ports)
    }

    fn v6_tuple(protocol: u8, ports: Option<(u16, u16)>) -> FiveTuple {
        tuple(CLIENT_6, SERVER_6, Protocol(protocol), ports)
    }

    #[test]
    fn the_flags_that_open_and_close_flows_are_read() {
        for (bits, flags) in [
            (0x02, TcpFlags { syn: true, ..TcpFlags::default() }),
            (0x12, TcpFlags { syn: true, ack: true, ..TcpFlags::default() }),
            (0x11, TcpFlags { fin: true, ack: true, ..TcpFlags::default() }),
            (0x04, TcpFlags { rst: true, ..TcpFlags::default() }),
            (0xe8, TcpFlags::default()),
        ] {
            let bytes = with(ipv4(6, &syn()), &[(33, bits)]);
            assert_eq!(packet_of(whole(&bytes)).tcp, Some(flags), "{bits:x}");
        }
    }

    #[test]
    fn udp_has_ports_and_other_protocols_have_none() {
        assert_eq!(packet_of(whole(&ipv4(17, &udp()))), Packet::new(v4_tuple(17, Some((50001, 53)))));
        assert_eq!(packet_of(whole(&ipv6(17, &udp()))), Packet::new(v6_tuple(17, Some((50001, 53)))));
        // SCTP and DCCP carry ports that no rule looks at (NSG-10); GRE, IP in IP, ESP, AH.
        for protocol in [132, 33, 47, 4, 41, 50, 51] {
            assert_eq!(packet_of(whole(&ipv4(protocol, &udp()))), Packet::new(v4_tuple(protocol, None)));
        }
    }

    #[test]
    fn ipv4_options_stand_before_the_ports() {
        let mut bytes = with(ipv4(6, &syn()), &[(0, 0x46), (3, 44)]);
        bytes.splice(20..20, [0x94, 4, 0, 0]);
        assert_eq!(packet_of(whole(&bytes)), syn_packet());
    }

    #[test]
    fn padding_of_the_frame_is_no_part_of_the_packet() {
        // 28 bytes of total length leave 8 for a TCP header, whatever the frame holds behind them.
        let bytes = with(ipv4(6, &syn()), &[(3, 28)]);
        assert_eq!(whole(&bytes), DAMAGED);
        let padded = [ipv4(17, &udp()), vec![0; 14]].concat();
        assert_eq!(packet_of(whole(&padded)), Packet::new(v4_tuple(17, Some((50001, 53)))));
    }

    #[test]
    fn a_total_length_of_zero_is_a_packet_to_be_segmented() {
        assert_eq!(packet_of(whole(&with(ipv4(6, &syn()), &[(2, 0), (3, 0)]))), syn_packet());
        assert_eq!(packet_of(whole(&with(ipv6(6, &syn()), &[(4, 0), (5, 0)]))), syn_packet_6());
    }

    #[test]
    fn ports_are_read_from_a_cut_packet_as_long_as_they_are_there() {
        for (bytes, header, packet) in
            [(ipv4(6, &syn()), 20, syn_packet()), (ipv6(6, &syn()), 40, syn_packet_6())]
        {
            for kept in 1..header + 4 {
                assert_eq!(cut(&bytes, kept), CUT, "{kept}");
            }
            for kept in header + 4..header + 14 {
                assert_eq!(packet_of(cut(&bytes, kept)), Packet { tcp: None, ..packet }, "{kept}");
            }
            for kept in header + 14..bytes.len() {
                assert_eq!(packet_of(cut(&bytes, kept)), packet, "{kept}");
            }
        }
        assert_eq!(packet_of(cut(&ipv4(17, &udp()), 24)), Packet::new(v4_tuple(17, Some((50001, 53)))));
        assert_eq!(packet_of(cut(&ipv4(47, &udp()), 20)), Packet::new(v4_tuple(47, None)));
    }

    #[test]
    fn headers_that_contradict_themselves_are_damaged() {
        let v4 = ipv4(6, &syn());
        // Header length under 20 bytes, and beyond the total length; total length under the header's.
        assert_eq!(whole(&with(v4.clone(), &[(0, 0x44)])), DAMAGED);
        assert_eq!(whole(&with(v4.clone(), &[(0, 0x4f)])), DAMAGED);
        assert_eq!(whole(&with(v4.clone(), &[(3, 19)])), DAMAGED);
        // A packet that ends inside its transport header.
        assert_eq!(whole(&with(v4.clone(), &[(3, 23)])), DAMAGED);
        assert_eq!(whole(&ipv4(17, &udp()[..7])), DAMAGED);
        assert_eq!(whole(&ipv4(1, &[8, 0, 0, 0, 0, 1, 0])), DAMAGED);
        assert_eq!(whole(&ipv6(6, &[])), DAMAGED);
        // TCP header length under 20 bytes, and beyond the packet; UDP length under its header's.
        assert_eq!(whole(&with(v4.clone(), &[(32, 0x40)])), DAMAGED);
        assert_eq!(whole(&with(v4, &[(32, 0x60)])), DAMAGED);
        assert_eq!(whole(&with(ipv4(17, &udp()), &[(25, 7)])), DAMAGED);
    }

    #[test]
    fn a_packet_that_was_cut_before_it_was_captured_keeps_its_ports() {
        // The record says that the 24 bytes are all there was; the IP header knows better.
        let bytes = ipv4(6, &syn());
        assert_eq!(packet_of(whole(&bytes[..24])), Packet { tcp: None, ..syn_packet() });
        assert_eq!(whole(&bytes[..23]), CUT);
    }

    #[test]
    fn state_11_only_the_first_fragment_has_ports() {
        let identification = 0x1234;
        let first = with(ipv4(17, &udp()), &[(6, 0x20)]);
        let read = packet_of(whole(&first));
        assert_eq!(read.five_tuple, v4_tuple(17, Some((50001, 53))));
        assert_eq!(read.fragment, Fragment::First { identification });
        for later in [with(first.clone(), &[(7, 1)]), with(first.clone(), &[(6, 0), (7, 1)])] {
            let read = packet_of(whole(&later));
            assert_eq!(read.five_tuple, v4_tuple(17, None));
            assert_eq!(read.fragment, Fragment::Later { identification });
        }
        // "Don't fragment" is no fragment; nor is a later fragment's payload an ICMP message or a TCP header.
        assert_eq!(packet_of(whole(&with(first, &[(6, 0x40)]))).fragment, Fragment::Whole);
        let later = packet_of(whole(&with(ipv4(6, &[0; 20]), &[(7, 1)])));
        assert_eq!((later.tcp, later.five_tuple.source_port), (None, Port::None));
        assert_eq!(packet_of(whole(&with(ipv4(1, &[8; 8]), &[(7, 1)]))).icmp, None);
    }

    #[test]
    fn a_first_fragment_may_end_inside_its_transport_header() {
        let packet = packet_of(whole(&with(ipv4(6, &syn()[..8]), &[(6, 0x20)])));
        assert_eq!(packet.five_tuple, v4_tuple(6, Some((50000, 443))));
        assert_eq!(packet.tcp, None);
        assert_eq!(whole(&with(ipv4(6, &syn()[..3]), &[(6, 0x20)])), DAMAGED);
    }

    #[test]
    fn ipv6_extension_headers_lead_to_the_transport_layer() {
        let chains: [&[u8]; 4] = [&[0], &[43], &[60], &[0, 60, 43, 60]];
        for kinds in chains {
            let (mut payload, mut next) = (syn(), 6);
            for kind in kinds.iter().rev() {
                payload = extension(next, &payload);
                next = *kind;
            }
            assert_eq!(packet_of(whole(&ipv6(next, &payload))), syn_packet_6(), "{kinds:?}");
        }
        assert_eq!(packet_of(whole(&ipv6(59, &[]))), Packet::new(v6_tuple(59, None)));
    }

    #[test]
    fn a_broken_chain_is_damaged_and_a_cut_one_cut_short() {
        // A header longer than the packet; hop-by-hop options not in front; a chain that ends in the middle.
        assert_eq!(whole(&ipv6(60, &with(extension(6, &syn()), &[(1, 9)]))), DAMAGED);
        assert_eq!(whole(&ipv6(60, &extension(0, &extension(6, &syn())))), DAMAGED);
        assert_eq!(whole(&ipv6(60, &extension(60, &[]))), DAMAGED);
        let bytes = ipv6(60, &extension(6, &syn()));
        assert_eq!(cut(&bytes, 41), CUT);
        assert_eq!(cut(&bytes, 51), CUT);
        assert_eq!(packet_of(cut(&bytes, 52)).five_tuple, syn_packet_6().five_tuple);
    }

    #[test]
    fn nsg_5_ah_and_esp_are_protocols_in_both_families() {
        let ah = [&[6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &[0; 12], &syn()].concat();
        assert_eq!(packet_of(whole(&ipv4(51, &ah))), Packet::new(v4_tuple(51, None)));
        assert_eq!(packet_of(whole(&ipv6(51, &ah))), Packet::new(v6_tuple(51, None)));
        assert_eq!(packet_of(whole(&ipv6(0, &extension(51, &ah)))), Packet::new(v6_tuple(51, None)));
        assert_eq!(packet_of(whole(&ipv6(60, &extension(50, &[0; 16])))), Packet::new(v6_tuple(50, None)));
    }

    #[test]
    fn ipv6_fragments_are_told_apart() {
        let header = |high: u8, low: u8| vec![17, 0, high, low, 0xde, 0xad, 0xbe, 0xef];
        let read = |high, low| packet_of(whole(&ipv6(44, &[header(high, low), udp()].concat())));
        let identification = 0xdead_beef;
        let (first, later, atomic) = (read(0, 1), read(0, 8), read(0, 0));
        assert_eq!(first.fragment, Fragment::First { identification });
        assert_eq!(first.five_tuple, v6_tuple(17, Some((50001, 53))));
        assert_eq!(later.fragment, Fragment::Later { identification });
        assert_eq!(later.five_tuple, v6_tuple(17, None));
        // A fragment that is the whole packet (RFC 6946).
        assert_eq!(atomic, Packet::new(v6_tuple(17, Some((50001, 53)))));
    }

    #[test]
    fn state_10_echoes_have_an_identifier() {
        for (protocol, kind, request) in [(1, 8, true), (1, 0, false), (58, 128, true), (58, 129, false)] {
            let message = [kind, 0, 0, 0, 0x0a, 0x0b, 0, 1];
            let bytes = if protocol == 1 { ipv4(1, &message) } else { ipv6(58, &message) };
            let packet = packet_of(whole(&bytes));
            assert_eq!(packet.icmp, Some(Icmp::Echo { identifier: 0x0a0b, request }), "{kind}");
            assert_eq!(packet.five_tuple.source_port, Port::None);
            // Without the identifier it is unknown which flow the echo belongs to.
            assert_eq!(packet_of(cut(&bytes, bytes.len() - 3)).icmp, None);
        }
        assert_eq!(packet_of(whole(&ipv4(1, &[13; 8]))).icmp, Some(Icmp::Other));
        assert_eq!(packet_of(whole(&ipv6(58, &[135; 24]))).icmp, Some(Icmp::Other));
        // Each family has its own protocol; the other's number means nothing there.
        assert_eq!(packet_of(whole(&ipv4(58, &[128; 8]))).icmp, None);
        assert_eq!(packet_of(whole(&ipv6(1, &[8; 8]))).icmp, None);
    }

    #[test]
    fn state_10_errors_quote_the_packet_they_are_about() {
        let error = |kind: u8, quote: &[u8]| [&[kind, 1, 0, 0, 0, 0, 0, 0][..], quote].concat();
        let quoted = |bytes: &[u8]| packet_of(whole(bytes)).icmp;
        // Header and 8 bytes, as RFC 792 asks; the quoted header states the length of the whole packet.
        let (v4, v6) = (ipv4(6, &syn()), ipv6(6, &syn()));
        let expected = Some(Icmp::Error { quoted: Some(syn_packet().five_tuple) });
        for kind in [3, 4, 5, 11, 12] {
            assert_eq!(quoted(&ipv4(1, &error(kind, &v4[..28]))), expected, "{kind}");
        }
        let expected = Some(Icmp::Error { quoted: Some(syn_packet_6().five_tuple) });
        for kind in [1, 2, 3, 4] {
            assert_eq!(quoted(&ipv6(58, &error(kind, &v6[..48]))), expected, "{kind}");
        }
        // A quoted echo is known by its identifier, here 0x0808, in the place of both ports.
        let echo = Icmp::Error { quoted: Some(v4_tuple(1, Some((0x0808, 0x0808)))) };
        assert_eq!(quoted(&ipv4(1, &error(3, &ipv4(1, &[8; 8])))), Some(echo));
        // Too little, or no packet at all.
        for quote in [&v4[..23], &v4[..19], &v6[..48], &[][..]] {
            assert_eq!(quoted(&ipv4(1, &error(3, quote))), Some(Icmp::Error { quoted: None }));
        }
    }
}
