//! From the captured bytes of one record to what filters look at: the link layer.
//!
//! Written out by hand, for what filters look at is little, and a packet that is cut behind its ports still counts; held
//! against `etherparse` by a property test (`tests/captures/decoding.rs`).
//!
//! PERF: 39 ns a packet, 0.6 to 0.65 times what `etherparse` takes when it reads laxly (60 ns) and 0.8 times what it takes
//! strictly (48 ns): frames of 96 captured bytes, one core of a busy 2-core machine, `cargo bench --bench parse`, 2026-11.

use super::{ip, straight};
use crate::model::reason_code::ReasonCode;
use crate::model::record::Content;

pub use crate::model::frame::LinkType;

/// Which IP version something announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    V4,
    V6,
}

/// What becomes of packets that carry others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tunnels {
    /// They stay what they are: Azure does not look into tunnels.
    #[default]
    Closed,
    /// A VXLAN packet is the one that it carries, as in what a virtual network TAP or another mirror sends to its
    /// collector: see [`decapsulate`].
    Opened,
}

/// What a record held.
///
/// `captured` are the bytes that the capture kept, `original_len` is the length that the packet had. Only the outermost
/// IP header counts: Azure does not look into tunnels (GRE, IP in IP, VXLAN and their like).
#[must_use]
pub fn decode(link_type: LinkType, captured: &[u8], original_len: u32) -> Content {
    if link_type == LinkType::ETHERNET
        && let Some(plain) = straight::plain(captured, 0, original_len)
    {
        return Content::Packet(plain.packet());
    }
    decode_by_layers(link_type, captured, original_len)
}

/// As [`decode`], layer by layer whatever the frame is.
pub(super) fn decode_by_layers(link_type: LinkType, captured: &[u8], original_len: u32) -> Content {
    content(link_layer(link_type, Part::of_frame(captured, original_len)))
}

/// As [`decode`], but of a VXLAN packet what it carries, with the length in bytes of the frame that counts: the carried
/// one, without what it was carried in.
///
/// A VXLAN packet is a whole UDP datagram to port 4789 whose VXLAN header names a network (RFC 7348, section 5); what
/// goes to that port without such a header stays what it is. One level is opened: what a carried packet itself carries
/// stays closed. Where the capture ends before that header nobody knows what is carried, and the record is cut short.
///
/// LIMIT: a TAP can be told another port; and a datagram in fragments stays closed, first fragment and all, for in the
/// later ones nothing tells that they belong to VXLAN.
#[must_use]
pub fn decapsulate(link_type: LinkType, captured: &[u8], original_len: u32) -> (Content, u32) {
    let frame = Part::of_frame(captured, original_len);
    let outer = link_layer(link_type, frame);
    let carried = match outer {
        Ok(Network::Ip(version, bytes)) => ip::vxlan(version, bytes),
        Ok(Network::Other(_)) | Err(_) => Ok(None),
    };
    let (found, length) = match carried {
        Ok(Some(inner)) => (ether_type(inner, ETHER_TYPE), inner.original_len),
        Ok(None) => (outer, frame.original_len),
        Err(reason) => (Err(reason), frame.original_len),
    };
    (content(found), u32::try_from(length).unwrap_or(u32::MAX))
}

/// What stands behind a link layer.
#[derive(Clone, Copy)]
enum Network<'a> {
    /// An IP packet.
    Ip(Version, Part<'a>),
    /// Nothing that Azure filters.
    Other(ReasonCode),
}

/// A network layer, or why the record is skipped.
type Linked<'a> = Result<Network<'a>, ReasonCode>;

fn link_layer(link_type: LinkType, frame: Part<'_>) -> Linked<'_> {
    match link_type {
        LinkType::ETHERNET => ether_type(frame, ETHER_TYPE),
        LinkType::LINUX_SLL => cooked(frame),
        LinkType::LINUX_SLL2 => cooked_2(frame),
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => raw(frame),
        LinkType::IPV4 => Ok(Network::Ip(Version::V4, frame)),
        LinkType::IPV6 => Ok(Network::Ip(Version::V6, frame)),
        _ => Ok(Network::Other(ReasonCode::UnsupportedLinkType)),
    }
}

fn content(found: Linked<'_>) -> Content {
    let decoded = found.and_then(|network| match network {
        Network::Ip(version, bytes) => ip::packet(version, bytes).map(Content::Packet),
        Network::Other(reason) => Ok(Content::OutOfScope(reason)),
    });
    decoded.unwrap_or_else(Content::Skipped)
}

/// A packet from one of its layers on: what of it was captured, and how long it was.
///
/// INVARIANT: no more was captured than there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) captured: &'a [u8],
    pub(super) original_len: usize,
}

impl<'a> Part<'a> {
    /// A whole frame, which is never shorter than what was captured of it, whatever its record says.
    fn of_frame(captured: &'a [u8], original_len: u32) -> Self {
        Self { captured, original_len: captured.len().max(original_len as usize) }
    }

    /// `N` bytes at `at`. Where the packet had them and the capture has not, it was cut short; where the packet itself
    /// ended before, its headers contradict its length.
    pub(super) fn bytes<const N: usize>(self, at: usize) -> Result<&'a [u8; N], ReasonCode> {
        match self.captured.get(at..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => Ok(bytes),
            None => Err(self.missing(at + N)),
        }
    }

    /// Why the bytes up to `end`, of which some were not captured, cannot be had.
    #[cold]
    pub(super) fn missing(self, end: usize) -> ReasonCode {
        if end <= self.original_len { ReasonCode::CutShort } else { ReasonCode::DamagedHeader }
    }

    pub(super) fn u16(self, at: usize) -> Result<u16, ReasonCode> {
        self.bytes(at).map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(super) fn u8(self, at: usize) -> Result<u8, ReasonCode> {
        self.bytes::<1>(at).map(|[byte]| *byte)
    }

    /// The packet from the byte at `at` on.
    pub(super) fn from(self, at: usize) -> Self {
        Self {
            captured: self.captured.get(at..).unwrap_or_default(),
            original_len: self.original_len.saturating_sub(at),
        }
    }
}

/// Where the ether type stands in an Ethernet frame: behind two addresses.
const ETHER_TYPE: usize = 12;

/// Reads the ether type at `at` with any number of VLAN tags, and what it announces behind it.
fn ether_type(frame: Part<'_>, mut at: usize) -> Linked<'_> {
    loop {
        let kind = frame.u16(at)?;
        at += 2;
        match kind {
            0x0800 => return Ok(Network::Ip(Version::V4, frame.from(at))),
            0x86dd => return Ok(Network::Ip(Version::V6, frame.from(at))),
            // 802.1Q, 802.1ad, and the number that QinQ had before: two bytes of tag, then the next ether type.
            0x8100 | 0x88a8 | 0x9100 => at += 2,
            // ARP, PPPoE, MPLS, and the lengths of LLC frames (below 0x0600).
            _ => return Ok(Network::Other(ReasonCode::NotIp)),
        }
    }
}

/// The device type of a netlink monitor: what stands for the ether type is a netlink family there.
const ARPHRD_NETLINK: u16 = 824;

fn cooked(frame: Part<'_>) -> Linked<'_> {
    if frame.u16(2)? == ARPHRD_NETLINK {
        return Ok(Network::Other(ReasonCode::NotIp));
    }
    ether_type(frame, 14)
}

/// The ether type comes first in version 2, the packet behind 20 bytes of header.
fn cooked_2(frame: Part<'_>) -> Linked<'_> {
    const HEADER: usize = 20;
    let (kind, device) = (frame.u16(0)?, frame.u16(8)?);
    match kind {
        _ if device == ARPHRD_NETLINK => Ok(Network::Other(ReasonCode::NotIp)),
        0x0800 => Ok(Network::Ip(Version::V4, frame.from(HEADER))),
        0x86dd => Ok(Network::Ip(Version::V6, frame.from(HEADER))),
        0x8100 | 0x88a8 | 0x9100 => ether_type(frame, HEADER + 2),
        _ => Ok(Network::Other(ReasonCode::NotIp)),
    }
}

/// The families are small numbers, so the byte order shows: link type 0 has the capturing machine's, 108 the network's.
fn loopback(frame: Part<'_>) -> Linked<'_> {
    const HEADER: usize = 4;
    let bytes = *frame.bytes::<HEADER>(0)?;
    let family = u32::from_le_bytes(bytes).min(u32::from_be_bytes(bytes));
    match family {
        2 => Ok(Network::Ip(Version::V4, frame.from(HEADER))),
        // Windows; NetBSD and OpenBSD; FreeBSD; macOS.
        23 | 24 | 28 | 30 => Ok(Network::Ip(Version::V6, frame.from(HEADER))),
        _ => Ok(Network::Other(ReasonCode::NotIp)),
    }
}

/// Nothing but the packet's first four bits says which version it is.
fn raw(frame: Part<'_>) -> Linked<'_> {
    match frame.u8(0)? >> 4 {
        4 => Ok(Network::Ip(Version::V4, frame)),
        6 => Ok(Network::Ip(Version::V6, frame)),
        _ => Err(ReasonCode::DamagedHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::*;
    use super::{LinkType, decapsulate, decode};
    use crate::model::reason_code::ReasonCode;
    use crate::model::record::Content;
    use crate::model::rule::Protocol;

    const NOT_IP: Content = Content::OutOfScope(ReasonCode::NotIp);
    const DAMAGED: Content = Content::Skipped(ReasonCode::DamagedHeader);
    const CUT: Content = Content::Skipped(ReasonCode::CutShort);

    fn whole(link_type: LinkType, frame: &[u8]) -> Content {
        decode(link_type, frame, u32::try_from(frame.len()).unwrap())
    }

    #[test]
    fn ethernet_carries_both_versions() {
        let v4 = ethernet(0x0800, &ipv4(6, &syn()));
        assert_eq!(whole(LinkType::ETHERNET, &v4), Content::Packet(syn_packet()));
        let v6 = ethernet(0x86dd, &ipv6(6, &syn()));
        assert_eq!(whole(LinkType::ETHERNET, &v6), Content::Packet(syn_packet_6()));
    }

    #[test]
    fn vlan_tags_of_any_depth_are_passed_over() {
        let tags: [&[u16]; 6] = [
            &[0x8100],
            &[0x88a8, 0x8100],
            &[0x9100, 0x8100],
            &[0x8100, 0x8100],
            &[0x88a8, 0x88a8, 0x8100],
            &[0x8100; 40],
        ];
        for tags in tags {
            let mut payload = [&0x0800u16.to_be_bytes()[..], &ipv4(6, &syn())].concat();
            for (depth, tag) in tags.iter().rev().enumerate() {
                payload = [&[0x20, u8::try_from(depth).unwrap()], &payload[..]].concat();
                if depth + 1 < tags.len() {
                    payload = [&tag.to_be_bytes()[..], &payload].concat();
                }
            }
            let frame = ethernet(tags[0], &payload);
            assert_eq!(whole(LinkType::ETHERNET, &frame), Content::Packet(syn_packet()), "{tags:x?}");
        }
    }

    #[test]
    fn what_is_not_ip_is_out_of_scope() {
        // ARP, MPLS, PPPoE, LLC (a length), LLDP; and ARP behind a VLAN tag.
        for kind in [0x0806, 0x8847, 0x8864, 0x0026, 0x88cc] {
            assert_eq!(whole(LinkType::ETHERNET, &ethernet(kind, &[0; 46])), NOT_IP, "{kind:x}");
        }
        assert_eq!(whole(LinkType::ETHERNET, &ethernet(0x8100, &[0, 1, 0x08, 0x06, 0, 1])), NOT_IP);
    }

    #[test]
    fn a_frame_without_its_ether_type_is_cut_or_damaged() {
        let frame = ethernet(0x8100, &[0, 1, 0x08, 0x00]);
        for length in [0, 13, 17] {
            assert_eq!(decode(LinkType::ETHERNET, &frame[..length], 60), CUT, "{length}");
            assert_eq!(whole(LinkType::ETHERNET, &frame[..length]), DAMAGED, "{length}");
        }
    }

    #[test]
    fn raw_ip_tells_its_version_itself() {
        let (v4, v6) = (ipv4(6, &syn()), ipv6(6, &syn()));
        for link_type in [LinkType::RAW, LinkType::RAW_12, LinkType::RAW_14] {
            assert_eq!(whole(link_type, &v4), Content::Packet(syn_packet()));
            assert_eq!(whole(link_type, &v6), Content::Packet(syn_packet_6()));
            assert_eq!(whole(link_type, &[0x55; 40]), DAMAGED);
            assert_eq!(decode(link_type, &[], 40), CUT);
        }
        assert_eq!(whole(LinkType::IPV4, &v4), Content::Packet(syn_packet()));
        assert_eq!(whole(LinkType::IPV6, &v6), Content::Packet(syn_packet_6()));
        assert_eq!(whole(LinkType::IPV4, &v6), DAMAGED);
        assert_eq!(whole(LinkType::IPV6, &v4), DAMAGED);
    }

    #[test]
    fn linux_cooked_captures_are_read() {
        let sll = |device: u16, kind: u16, payload: &[u8]| {
            let header = [&[0, 0][..], &device.to_be_bytes(), &[0, 6, 1, 2, 3, 4, 5, 6, 0, 0]].concat();
            [&header[..], &kind.to_be_bytes(), payload].concat()
        };
        let sll2 = |device: u16, kind: u16, payload: &[u8]| {
            let header = [&kind.to_be_bytes()[..], &[0, 0, 0, 0, 0, 2], &device.to_be_bytes()].concat();
            [&header[..], &[0, 6, 1, 2, 3, 4, 5, 6, 0, 0], payload].concat()
        };
        let tagged = [&[0, 7, 0x08, 0x00][..], &ipv4(6, &syn())].concat();
        for (link_type, frame) in [
            (LinkType::LINUX_SLL, &sll as &dyn Fn(u16, u16, &[u8]) -> Vec<u8>),
            (LinkType::LINUX_SLL2, &sll2),
        ] {
            let read = |frame: Vec<u8>| whole(link_type, &frame);
            assert_eq!(read(frame(1, 0x0800, &ipv4(6, &syn()))), Content::Packet(syn_packet()));
            assert_eq!(read(frame(772, 0x86dd, &ipv6(6, &syn()))), Content::Packet(syn_packet_6()));
            assert_eq!(read(frame(1, 0x8100, &tagged)), Content::Packet(syn_packet()));
            assert_eq!(read(frame(1, 0x0806, &[0; 28])), NOT_IP);
            assert_eq!(read(frame(1, 4, &[0; 28])), NOT_IP);
            assert_eq!(read(frame(824, 0x0800, &[0; 28])), NOT_IP);
            assert_eq!(decode(link_type, &frame(1, 0x0800, &[])[..9], 60), CUT);
        }
    }

    #[test]
    fn bsd_loopback_is_read_in_either_byte_order() {
        let (v4, v6) = (ipv4(6, &syn()), ipv6(6, &syn()));
        for link_type in [LinkType::NULL, LinkType::LOOP] {
            for order in [u32::to_be_bytes, u32::to_le_bytes] {
                let frame = |family: u32, payload: &[u8]| [&order(family)[..], payload].concat();
                assert_eq!(whole(link_type, &frame(2, &v4)), Content::Packet(syn_packet()));
                for family in [23, 24, 28, 30] {
                    assert_eq!(whole(link_type, &frame(family, &v6)), Content::Packet(syn_packet_6()));
                }
                assert_eq!(whole(link_type, &frame(7, &v4)), NOT_IP);
                assert_eq!(whole(link_type, &frame(2, &v6)), DAMAGED);
            }
        }
    }

    #[test]
    fn other_link_types_are_out_of_scope() {
        for number in [9, 105, 127, 228 + 256, 65535] {
            let content = whole(LinkType(number), &ipv4(6, &syn()));
            assert_eq!(content, Content::OutOfScope(ReasonCode::UnsupportedLinkType), "{number}");
        }
    }

    /// A UDP datagram to this port, with these flags in front of a VXLAN header and this frame behind it.
    fn vxlan(port: u16, flags: u8, frame: &[u8]) -> Vec<u8> {
        let length = u16::try_from(16 + frame.len()).unwrap().to_be_bytes();
        let [high, low] = port.to_be_bytes();
        let header = [0xc3, 0x51, high, low, length[0], length[1], 0, 0, flags, 0, 0, 0, 0, 0, 42, 0];
        [&header[..], frame].concat()
    }

    /// The content where VXLAN is opened, and the length of the frame that counts.
    fn opened(frame: &[u8], kept: usize) -> (Content, usize) {
        let original_len = u32::try_from(frame.len()).unwrap();
        let (content, length) = decapsulate(LinkType::ETHERNET, &frame[..kept], original_len);
        (content, length as usize)
    }

    #[test]
    fn what_vxlan_carries_is_judged_in_its_place() {
        let plain = ethernet(0x0800, &ipv4(6, &syn()));
        let tagged = ethernet(0x8100, &[&[0, 7, 0x86, 0xdd][..], &ipv6(6, &syn())].concat());
        let arp = ethernet(0x0806, &[0; 28]);
        for (carried, content) in [
            (&plain, Content::Packet(syn_packet())),
            (&tagged, Content::Packet(syn_packet_6())),
            (&arp, NOT_IP),
        ] {
            let datagram = vxlan(4789, 0x08, carried);
            for outer in [
                ethernet(0x0800, &ipv4(17, &datagram)),
                ethernet(0x86dd, &ipv6(17, &datagram)),
                ethernet(0x86dd, &ipv6(60, &extension(17, &datagram))),
                ethernet(0x8100, &[&[0, 9, 0x08, 0][..], &ipv4(17, &datagram)].concat()),
                // The frame's padding is no part of what is carried.
                ethernet(0x0800, &[ipv4(17, &datagram), vec![0; 9]].concat()),
            ] {
                assert_eq!(opened(&outer, outer.len()), (content, carried.len()));
            }
        }
        // Other flags do not matter (RFC 7348, section 5), nor does what is behind the datagram in its packet.
        let datagram = [vxlan(4789, 0xff, &plain), vec![0; 5]].concat();
        let outer = ethernet(0x0800, &ipv4(17, &datagram));
        assert_eq!(opened(&outer, outer.len()), (Content::Packet(syn_packet()), plain.len()));
    }

    #[test]
    fn vxlan_stays_closed_where_nobody_asks() {
        let outer = ethernet(0x0800, &ipv4(17, &vxlan(4789, 0x08, &ethernet(0x0800, &ipv4(6, &syn())))));
        let packet = packet_of(whole(LinkType::ETHERNET, &outer));
        assert_eq!(packet.five_tuple, tuple(CLIENT, SERVER, Protocol::UDP, Some((50001, 4789))));
    }

    #[test]
    fn what_is_no_vxlan_stays_what_it_is() {
        let carried = ethernet(0x0800, &ipv4(6, &syn()));
        let with = |mut bytes: Vec<u8>, at: usize, value: u8| {
            bytes[at] = value;
            bytes
        };
        let datagram = vxlan(4789, 0x08, &carried);
        let mut answered = datagram.clone();
        answered[..4].copy_from_slice(&[0x12, 0xb5, 0xc3, 0x51]);
        for packet in [
            // Another port, the port as a source, no network named, TCP, a header that does not fit, no room for one.
            ipv4(17, &vxlan(4790, 0x08, &carried)),
            ipv4(17, &answered),
            ipv4(17, &vxlan(4789, 0xf7, &carried)),
            ipv4(6, &[&[0xc3, 0x51, 0x12, 0xb5][..], &syn()[4..], &carried].concat()),
            with(ipv4(17, &datagram), 25, 15),
            ipv4(17, &[0xc3, 0x51, 0x12, 0xb5, 0, 8, 0, 0]),
            // Fragments: the first, and one of the later.
            with(ipv4(17, &datagram), 6, 0x20),
            with(ipv4(17, &datagram), 7, 1),
        ] {
            let outer = ethernet(0x0800, &packet);
            let closed = whole(LinkType::ETHERNET, &outer);
            assert!(matches!(closed, Content::Packet(_)), "{closed:?}");
            assert_eq!(opened(&outer, outer.len()), (closed, outer.len()), "{packet:x?}");
        }
        let damaged = ethernet(0x0800, &with(ipv4(17, &datagram), 24, 0));
        let damaged = with(damaged, 14 + 25, 7);
        assert_eq!(opened(&damaged, damaged.len()), (DAMAGED, damaged.len()));
        assert_eq!(decapsulate(LinkType(9), &damaged, 200).0, whole(LinkType(9), &damaged));
    }

    #[test]
    fn one_level_of_vxlan_is_opened() {
        let inmost = ethernet(0x0800, &ipv4(6, &syn()));
        let inner = ethernet(0x0800, &ipv4(17, &vxlan(4789, 0x08, &inmost)));
        let outer = ethernet(0x86dd, &ipv6(17, &vxlan(4789, 0x08, &inner)));
        let (content, length) = opened(&outer, outer.len());
        assert_eq!(content, whole(LinkType::ETHERNET, &inner));
        assert_eq!(length, inner.len());
    }

    #[test]
    fn a_damaged_or_cut_packet_in_vxlan_is_skipped_with_its_reason() {
        let carry = |frame: &[u8]| ethernet(0x0800, &ipv4(17, &vxlan(4789, 0x08, frame)));
        let mut header_len = ethernet(0x0800, &ipv4(6, &syn()));
        header_len[14] = 0x44;
        let ends_in_ports = ethernet(0x0800, &ipv4(6, &syn()[..3]));
        let ends_in_addresses = ethernet(0x0800, &[])[..9].to_vec();
        for carried in [header_len, ends_in_ports, ends_in_addresses, Vec::new()] {
            let outer = carry(&carried);
            assert_eq!(opened(&outer, outer.len()), (DAMAGED, carried.len()));
        }
        let carried = ethernet(0x0800, &ipv4(6, &syn()));
        let outer = carry(&carried);
        // Behind 14 bytes of Ethernet and 20 of IPv4: the port that tells, the VXLAN header, the inner headers.
        let inner = 14 + 20 + 8 + 8;
        let cut = |kept: usize| opened(&outer, kept);
        assert_eq!(cut(14 + 20 + 3), (CUT, outer.len()));
        for kept in 14 + 20 + 4..inner {
            assert_eq!(cut(kept), (CUT, outer.len()), "{kept}");
        }
        for kept in inner..inner + 14 + 24 {
            assert_eq!(cut(kept), (CUT, carried.len()), "{kept}");
        }
        let packet = packet_of(cut(inner + 14 + 24).0);
        assert_eq!(packet.five_tuple, syn_packet().five_tuple);
    }
}
