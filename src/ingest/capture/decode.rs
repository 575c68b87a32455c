//! From the captured bytes of one record to what filters look at: the link layer.
//!
//! PERF: see `benches/parse.rs`.

use std::fmt;

use pcap_file::DataLink;

use super::ip;
use crate::model::record::Content;
use crate::model::verdict::ReasonCode;

/// How the first bytes of a record are to be read: a number of the registry at <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: an address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// Raw IP, as some systems number it in files.
    pub const RAW_12: Self = Self(12);
    /// Raw IP, as OpenBSD numbers it in files.
    pub const RAW_14: Self = Self(14);
    /// Raw IP.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: an address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux "cooked" capture.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);

    /// The link type of a file or interface.
    ///
    /// The upper half of the field in a classic pcap's header has flags, such as the length of a frame check sequence.
    pub(super) fn of(link: DataLink) -> Self {
        Self((u32::from(link) & 0xffff) as u16)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which IP version something announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    V4,
    V6,
}

/// What a record held.
///
/// `captured` are the bytes that the capture kept, `original_len` is the length that the packet had. Only the outermost
/// IP header counts: Azure does not look into tunnels (GRE, IP in IP, VXLAN and their like).
#[must_use]
pub fn decode(link_type: LinkType, captured: &[u8], original_len: u32) -> Content {
    // A frame is never shorter than what was captured of it, whatever its record says.
    let original_len = captured.len().max(original_len as usize);
    let frame = Part { captured, original_len };
    let content = match link_type {
        LinkType::ETHERNET => ether_type(frame, 12),
        LinkType::LINUX_SLL => cooked(frame),
        LinkType::LINUX_SLL2 => cooked_2(frame),
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => raw(frame),
        LinkType::IPV4 => ip::packet(Version::V4, frame),
        LinkType::IPV6 => ip::packet(Version::V6, frame),
        _ => Ok(Content::OutOfScope(ReasonCode::UnsupportedLinkType)),
    };
    content.unwrap_or_else(Content::Skipped)
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

/// A content, or why the record is skipped.
pub(super) type Decoded = Result<Content, ReasonCode>;

/// Reads the ether type at `at` with any number of VLAN tags, and what it announces behind it.
fn ether_type(frame: Part<'_>, mut at: usize) -> Decoded {
    loop {
        let kind = frame.u16(at)?;
        at += 2;
        match kind {
            0x0800 => return ip::packet(Version::V4, frame.from(at)),
            0x86dd => return ip::packet(Version::V6, frame.from(at)),
            // 802.1Q, 802.1ad, and the number that QinQ had before: two bytes of tag, then the next ether type.
            0x8100 | 0x88a8 | 0x9100 => at += 2,
            // ARP, PPPoE, MPLS, and the lengths of LLC frames (below 0x0600).
            _ => return Ok(Content::OutOfScope(ReasonCode::NotIp)),
        }
    }
}

/// The device type of a netlink monitor: what stands for the ether type is a netlink family there.
const ARPHRD_NETLINK: u16 = 824;

fn cooked(frame: Part<'_>) -> Decoded {
    if frame.u16(2)? == ARPHRD_NETLINK {
        return Ok(Content::OutOfScope(ReasonCode::NotIp));
    }
    ether_type(frame, 14)
}

/// The ether type comes first in version 2, the packet behind 20 bytes of header.
fn cooked_2(frame: Part<'_>) -> Decoded {
    const HEADER: usize = 20;
    let (kind, device) = (frame.u16(0)?, frame.u16(8)?);
    match kind {
        _ if device == ARPHRD_NETLINK => Ok(Content::OutOfScope(ReasonCode::NotIp)),
        0x0800 => ip::packet(Version::V4, frame.from(HEADER)),
        0x86dd => ip::packet(Version::V6, frame.from(HEADER)),
        0x8100 | 0x88a8 | 0x9100 => ether_type(frame, HEADER + 2),
        _ => Ok(Content::OutOfScope(ReasonCode::NotIp)),
    }
}

/// The families are small numbers, so the byte order shows: link type 0 has the capturing machine's, 108 the network's.
fn loopback(frame: Part<'_>) -> Decoded {
    const HEADER: usize = 4;
    let bytes = *frame.bytes::<HEADER>(0)?;
    let family = u32::from_le_bytes(bytes).min(u32::from_be_bytes(bytes));
    match family {
        2 => ip::packet(Version::V4, frame.from(HEADER)),
        // Windows; NetBSD and OpenBSD; FreeBSD; macOS.
        23 | 24 | 28 | 30 => ip::packet(Version::V6, frame.from(HEADER)),
        _ => Ok(Content::OutOfScope(ReasonCode::NotIp)),
    }
}

/// Nothing but the packet's first four bits says which version it is.
fn raw(frame: Part<'_>) -> Decoded {
    match frame.u8(0)? >> 4 {
        4 => ip::packet(Version::V4, frame),
        6 => ip::packet(Version::V6, frame),
        _ => Err(ReasonCode::DamagedHeader),
    }
}
