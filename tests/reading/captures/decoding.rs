//! Our decoder of packets held against `etherparse`, over packets that are mangled byte by byte.
//!
//! What `etherparse` takes strictly, both must read alike; what it refuses, ours must get over without a panic.

use std::net::IpAddr;

use etherparse::{IpNumber, Ipv6ExtensionSlice, NetSlice, SlicedPacket, TransportSlice};
use nsgsim::ingest::capture::LinkType;
use nsgsim::ingest::capture::decode::decode;
use nsgsim::model::flow::{Fragment, Icmp, Packet, Port, TcpFlags};
use nsgsim::model::record::Content;
use nsgsim::model::rule::Protocol;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::persistence;

/// An extension header with 8 bytes and a next header that leads to `next`.
fn extension(kind: u8, next: u8, id: u8) -> Vec<u8> {
    match kind {
        // A fragment header; the offset is mostly 0.
        44 => vec![next, 0, 0, id & 1, 0, 0, 0, id],
        // AH with 12 bytes of integrity check value.
        51 => [vec![next, 4, 0, 0], vec![id; 20]].concat(),
        _ => vec![next, 0, 1, 4, 0, 0, 0, 0],
    }
}

fn transport() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let ports = (any::<u16>(), any::<u16>());
    let tcp = (ports, any::<u8>(), 0..8usize).prop_map(|((from, to), flags, payload)| {
        let head = [from.to_be_bytes(), to.to_be_bytes()].concat();
        let rest = vec![0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0, 0, 0, 0, 0];
        (6, [head, rest, vec![7; payload]].concat())
    });
    let udp = (ports, 0..8u8).prop_map(|((from, to), payload)| {
        let head = [from.to_be_bytes(), to.to_be_bytes(), [0, 8 + payload], [0, 0]].concat();
        (17, [head, vec![7; usize::from(payload)]].concat())
    });
    let icmp = (select(vec![1, 58]), select(vec![0, 3, 8, 11, 128, 129, 1, 135]), any::<u16>()).prop_map(
        |(protocol, kind, id)| {
            let head = [[kind, 0], [0, 0], id.to_be_bytes(), [0, 1]].concat();
            (protocol, [head, vec![0x45; 40]].concat())
        },
    );
    let other = (any::<u8>(), 0..30usize).prop_map(|(protocol, length)| (protocol, vec![9; length]));
    prop_oneof![3 => tcp, 3 => udp, 2 => icmp, 1 => other]
}

fn ip() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let v4 = (transport(), 0..3u8, select(vec![0u8, 0, 0x40, 0x20]), any::<[u8; 8]>()).prop_map(
        |((protocol, payload), options, flags, addresses)| {
            let header_len = 20 + 4 * options;
            let total_len = (u16::from(header_len) + u16::try_from(payload.len()).unwrap()).to_be_bytes();
            let head =
                [0x40 | (header_len / 4), 0, total_len[0], total_len[1], 0, 9, flags, 0, 64, protocol, 0, 0];
            let options = vec![1; usize::from(options) * 4];
            (0x0800, [head.to_vec(), addresses.to_vec(), options, payload].concat())
        },
    );
    let chain = prop::collection::vec((select(vec![43, 44, 60, 51]), any::<u8>()), 0..3);
    let v6 = (transport(), chain, any::<bool>(), any::<[u8; 32]>()).prop_map(
        |((protocol, mut payload), chain, hop_by_hop, addresses)| {
            let mut next = protocol;
            let first = hop_by_hop.then_some((0, 0));
            for (kind, id) in chain.into_iter().rev().chain(first) {
                payload = [extension(kind, next, id), payload].concat();
                next = kind;
            }
            let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
            let head = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
            (0x86dd, [head, addresses.to_vec(), payload].concat())
        },
    );
    prop_oneof![v4, v6]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(select(vec![0x8100u16, 0x88a8, 0x9100]), 0..3);
    (ip(), tags, select(vec![0usize, 0, 5])).prop_map(|((kind, packet), tags, padding)| {
        let mut frame = vec![2; 12];
        for tag in tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 7]);
        }
        frame.extend(kind.to_be_bytes());
        frame.extend(packet);
        frame.resize(frame.len() + padding, 0);
        frame
    })
}

fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    let keep = prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (frame(), changes, keep).prop_map(|(mut frame, changes, keep)| {
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if let Some(keep) = keep {
            frame.truncate(keep.index(frame.len()));
        }
        frame
    })
}

/// Addresses, protocol and fragment as `etherparse` sees them, with its transport layer.
struct Theirs {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    fragment: Fragment,
}

fn theirs(net: &NetSlice<'_>) -> Option<Theirs> {
    Some(match net {
        NetSlice::Ipv4(v4) => {
            let header = v4.header();
            let identification = u32::from(header.identification());
            let later = header.fragments_offset().value() != 0;
            Theirs {
                source: header.source_addr().into(),
                destination: header.destination_addr().into(),
                protocol: Protocol(header.protocol().0),
                fragment: fragment(later, header.more_fragments(), identification),
            }
        }
        NetSlice::Ipv6(v6) => {
            let header = v6.header();
            let mut seen = Theirs {
                source: header.source_addr().into(),
                destination: header.destination_addr().into(),
                protocol: Protocol(v6.payload().ip_number.0),
                fragment: Fragment::Whole,
            };
            for part in v6.extensions().clone() {
                match part {
                    Ipv6ExtensionSlice::Fragment(header) => {
                        let later = header.fragment_offset().value() != 0;
                        let read = fragment(later, header.more_fragments(), header.identification());
                        if read != Fragment::Whole {
                            seen.fragment = read;
                        }
                        if later {
                            // What follows are bytes from the middle of a payload.
                            seen.protocol = Protocol(header.next_header().0);
                            break;
                        }
                    }
                    // In our reading the chain ends here (NSG-5).
                    Ipv6ExtensionSlice::Authentication(_) => {
                        seen.protocol = Protocol::AH;
                        break;
                    }
                    _ => {}
                }
            }
            seen
        }
        NetSlice::Arp(_) => return None,
    })
}

fn fragment(later: bool, more: bool, identification: u32) -> Fragment {
    match (later, more) {
        (true, _) => Fragment::Later { identification },
        (false, true) => Fragment::First { identification },
        (false, false) => Fragment::Whole,
    }
}

fn compare(ours: Packet, theirs: &Theirs, transport: Option<&TransportSlice<'_>>) {
    let tuple = ours.five_tuple;
    assert_eq!((tuple.source, tuple.destination), (theirs.source, theirs.destination));
    assert_eq!((tuple.protocol, ours.fragment), (theirs.protocol, theirs.fragment));
    let ports = (tuple.source_port, tuple.destination_port);
    if theirs.protocol == Protocol::AH || theirs.fragment != Fragment::Whole {
        let first = matches!(theirs.fragment, Fragment::First { .. }) && theirs.protocol.has_ports();
        assert!(first || ports == (Port::None, Port::None));
        return;
    }
    match transport {
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!(ports, (Port::Number(tcp.source_port()), Port::Number(tcp.destination_port())));
            let flags = TcpFlags { syn: tcp.syn(), ack: tcp.ack(), fin: tcp.fin(), rst: tcp.rst() };
            assert_eq!(ours.tcp, Some(flags));
        }
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!(ports, (Port::Number(udp.source_port()), Port::Number(udp.destination_port())));
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            assert_eq!(ports, (Port::None, Port::None));
            compare_echo(ours, icmp.type_u8(), icmp.bytes5to8(), 8, 0);
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            assert_eq!(ports, (Port::None, Port::None));
            compare_echo(ours, icmp.type_u8(), icmp.bytes5to8(), 128, 129);
        }
        Some(TransportSlice::Igmp(_)) | None => assert_eq!(ports, (Port::None, Port::None)),
    }
}

fn compare_echo(ours: Packet, kind: u8, rest: [u8; 4], request: u8, reply: u8) {
    let identifier = u16::from_be_bytes([rest[0], rest[1]]);
    if kind == request || kind == reply {
        assert_eq!(ours.icmp, Some(Icmp::Echo { identifier, request: kind == request }));
    } else {
        assert!(!matches!(ours.icmp, None | Some(Icmp::Echo { .. })), "{:?}", ours.icmp);
    }
}

fn check(bytes: &[u8], strict: &SlicedPacket<'_>, link_type: LinkType) {
    let content = decode(link_type, bytes, u32::try_from(bytes.len()).unwrap());
    let Some(theirs) = strict.net.as_ref().and_then(theirs) else {
        assert!(!matches!(content, Content::Packet(_)), "{content:?} of what is no IP packet");
        return;
    };
    // ICMP in the other family's packets is no ICMP to us; nothing but the number is known of it.
    let foreign = match theirs.source {
        IpAddr::V4(_) => IpNumber::IPV6_ICMP.0,
        IpAddr::V6(_) => IpNumber::ICMP.0,
    };
    match content {
        Content::Packet(ours) if theirs.protocol.0 == foreign => assert_eq!(ours.icmp, None),
        Content::Packet(ours) => compare(ours, &theirs, strict.transport.as_ref()),
        // A first fragment that has not even the ports: theirs does not look.
        other => assert!(matches!(theirs.fragment, Fragment::First { .. }), "{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: persistence(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_decoders_read_the_same(bytes in mangled()) {
        if let Ok(strict) = SlicedPacket::from_ethernet(&bytes)
            // Theirs stops at the third tag, ours never.
            && strict.link_exts.len() < SlicedPacket::LINK_EXTS_CAP
        {
            check(&bytes, &strict, LinkType::ETHERNET);
        }
        if let Some(packet) = bytes.get(14..)
            && let Ok(strict) = SlicedPacket::from_ip(packet)
        {
            check(packet, &strict, LinkType::RAW);
        }
    }

    #[test]
    fn whatever_is_captured_of_whatever_decoding_never_panics(
        link_type in select(vec![0u16, 1, 12, 14, 101, 108, 113, 228, 229, 276, 9]),
        bytes in prop_oneof![mangled(), prop::collection::vec(any::<u8>(), 0..120)],
        original_len: u32,
    ) {
        let content = decode(LinkType(link_type), &bytes, original_len);
        prop_assert_eq!(content, decode(LinkType(link_type), &bytes, original_len));
    }

    #[test]
    fn a_cut_packet_never_becomes_another(bytes in frame(), keep: Index) {
        let length = u32::try_from(bytes.len()).unwrap();
        let whole = decode(LinkType::ETHERNET, &bytes, length);
        let cut = decode(LinkType::ETHERNET, &bytes[..keep.index(bytes.len())], length);
        if let (Content::Packet(whole), Content::Packet(cut)) = (whole, cut) {
            prop_assert_eq!(whole.five_tuple, cut.five_tuple);
            prop_assert_eq!(whole.fragment, cut.fragment);
            prop_assert!(cut.tcp.is_none() || cut.tcp == whole.tcp);
        }
    }
}
