//! The packets that captures are full of, read in one go: whole TCP and UDP packets in IPv4 without options, in plain
//! Ethernet frames.
//!
//! PERF: what `decode` reads layer by layer, with a check before each field, one check of the frame's length covers here.

use std::net::Ipv4Addr;

use crate::model::records::{Flags, Plain, Transport};
use crate::model::rule::Protocol;

/// Up to a TCP header's flags: 14 bytes of Ethernet, 20 of IPv4 and 14 of TCP.
const HEAD: usize = 48;
const IPV4: usize = 14;
const TRANSPORT: usize = IPV4 + 20;

/// The packet of a frame, with the time and the length on the wire that its record states; nothing where any of it is out
/// of the ordinary.
#[inline]
pub(super) fn plain(captured: &[u8], time_ns: u64, wire_bytes: u32) -> Option<Plain> {
    let head = captured.first_chunk::<HEAD>()?;
    let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // Neither a fragment nor the first of some, and a header of 20 bytes.
    if u16_at(12) != 0x0800 || head[IPV4] != 0x45 || u16_at(IPV4 + 6) & 0x3fff != 0 {
        return None;
    }
    let behind_header = u16_at(IPV4 + 2).checked_sub(20)?;
    let transport = Transport::of(Protocol(head[IPV4 + 9]))?;
    let tcp = match transport {
        Transport::Tcp => {
            let header_len = u16::from(head[TRANSPORT + 12] >> 4) * 4;
            if header_len < 20 || header_len > behind_header {
                return None;
            }
            Flags::of_header(head[TRANSPORT + 13])
        }
        Transport::Udp => {
            // Length 0 stands for a datagram that is too long for the field.
            if behind_header < 8 || (1..8).contains(&u16_at(TRANSPORT + 4)) {
                return None;
            }
            Flags::UNKNOWN
        }
    };
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    Some(Plain {
        time_ns,
        source: address(IPV4 + 12),
        destination: address(IPV4 + 16),
        wire_bytes,
        source_port: u16_at(TRANSPORT),
        destination_port: u16_at(TRANSPORT + 2),
        transport,
        tcp,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::{LinkType, decode_by_layers};
    use super::super::sample::*;
    use super::plain;
    use crate::model::record::Content;

    /// A frame of which any bytes of its headers are any others, captured to any length.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let protocol = prop_oneof![3 => Just(6_u8), 3 => Just(17), 1 => any::<u8>()];
        let changes = proptest::collection::vec((12_usize..56, any::<u8>()), 0..3);
        (protocol, changes, 30_usize..120).prop_map(|(protocol, changes, length)| {
            let payload = [&syn()[..], &[0; 80]].concat();
            let mut frame = ethernet(0x0800, &ipv4(protocol, &payload));
            for (at, value) in changes {
                frame[at] = value;
            }
            frame.truncate(length);
            frame
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_read_in_one_go_is_what_the_layers_say(frame in frame()) {
            if let Some(plain) = plain(&frame, 7, 1514) {
                let by_layers = decode_by_layers(LinkType::ETHERNET, &frame, 1514);
                prop_assert_eq!(by_layers, Content::Packet(plain.packet()));
            }
        }
    }

    #[test]
    fn an_ordinary_packet_is_read_in_one_go() {
        let frame = ethernet(0x0800, &ipv4(6, &syn()));
        let plain_frame = plain(&frame, 7, 1514).unwrap();
        assert_eq!(plain_frame.packet(), syn_packet());
        assert_eq!((plain_frame.time_ns, plain_frame.wire_bytes), (7, 1514));
        assert_eq!(plain(&frame[..47], 7, 1514), None);
    }
}
