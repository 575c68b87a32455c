//! The bytes of records as their capture holds them, kept for whoever writes them out again.

use std::fmt;

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
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a capture holds of one record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeptFrame<'a> {
    /// How its first bytes are to be read.
    pub link_type: LinkType,
    /// The captured bytes, from the link layer on.
    pub bytes: &'a [u8],
    /// Length on the wire in bytes; never less than was captured.
    pub wire_bytes: u32,
}

/// The frames of a batch of records, by the records' positions, one behind the other in one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct KeptFrames {
    bytes: Vec<u8>,
    kept: Vec<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    /// `None` for a record without a frame.
    link_type: Option<LinkType>,
    /// Where its bytes end; they begin where those of the record before it do.
    end: usize,
    wire_bytes: u32,
}

impl KeptFrames {
    /// With how many bytes a batch has enough, however few records it holds: frames of 64 KiB would make it a gigabyte.
    pub const ENOUGH_BYTES: usize = 64 << 20;

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.kept.clear();
    }

    /// Keeps what was captured of the next record, of which `wire_bytes` were on the wire.
    pub fn push(&mut self, link_type: LinkType, captured: &[u8], wire_bytes: u32) {
        self.bytes.extend_from_slice(captured);
        self.kept.push(Kept { link_type: Some(link_type), end: self.bytes.len(), wire_bytes });
    }

    /// Notes that the next record has no frame.
    pub fn push_none(&mut self) {
        self.kept.push(Kept { link_type: None, end: self.bytes.len(), wire_bytes: 0 });
    }

    /// Whether the batch should end here.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= Self::ENOUGH_BYTES
    }

    /// The frame of the record at a position, if it has one.
    ///
    /// # Panics
    ///
    /// If there are not as many records.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<KeptFrame<'_>> {
        let Kept { link_type, end, wire_bytes } = self.kept[position];
        let begin = position.checked_sub(1).map_or(0, |before| self.kept[before].end);
        Some(KeptFrame { link_type: link_type?, bytes: &self.bytes[begin..end], wire_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeptFrame, KeptFrames, LinkType};

    #[test]
    fn each_record_gets_back_its_own_bytes() {
        let mut frames = KeptFrames::default();
        for _ in 0..2 {
            frames.clear();
            frames.push(LinkType::ETHERNET, &[1, 2, 3], 60);
            frames.push_none();
            frames.push(LinkType::RAW, &[], 20);
            frames.push(LinkType::RAW, &[4], 20);
            let frame = |link_type, bytes, wire_bytes| Some(KeptFrame { link_type, bytes, wire_bytes });
            assert_eq!(frames.get(0), frame(LinkType::ETHERNET, &[1, 2, 3], 60));
            assert_eq!(frames.get(1), None);
            assert_eq!(frames.get(2), frame(LinkType::RAW, &[], 20));
            assert_eq!(frames.get(3), frame(LinkType::RAW, &[4], 20));
            assert!(!frames.is_full());
        }
    }

    #[test]
    fn few_long_frames_fill_a_batch() {
        let mut frames = KeptFrames::default();
        let long = vec![0; KeptFrames::ENOUGH_BYTES / 2];
        frames.push(LinkType::RAW, &long, 1);
        assert!(!frames.is_full());
        frames.push(LinkType::RAW, &long, 1);
        assert!(frames.is_full());
    }
}
