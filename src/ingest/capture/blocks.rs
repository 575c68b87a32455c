//! pcapng: sections, interfaces, and the three kinds of packet blocks.
//!
//! The blocks are walked here and not by `pcap-file`, which ends a file at an interface whose name is not UTF-8 or whose
//! times are finer than nanoseconds; where it reads a file, both read the same (`tests/captures/framing.rs`).

use super::decode::LinkType;
use super::framing::{Frame, Lost, more};
use super::window::Window;

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Kind and length stand in front of a block's body, the length again behind it.
const HEADER: usize = 8;
const SHORTEST: usize = HEADER + 4;

/// How the numbers of a section are written.
#[derive(Clone, Copy, Debug)]
enum Order {
    Big,
    Little,
}

impl Order {
    /// Reads the mark of a section, which is its first word.
    fn of(mark: &[u8]) -> Option<Self> {
        match mark {
            [0x1a, 0x2b, 0x3c, 0x4d] => Some(Self::Big),
            [0x4d, 0x3c, 0x2b, 0x1a] => Some(Self::Little),
            _ => None,
        }
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if matches!(self, Self::Big) { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if matches!(self, Self::Big) { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn i64(self, bytes: &[u8], at: usize) -> Option<i64> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if matches!(self, Self::Big) { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) })
    }
}

/// The section that is being read.
pub(super) struct Blocks {
    order: Order,
    interfaces: Vec<Interface>,
}

/// What an interface says of its packets.
#[derive(Clone, Copy)]
struct Interface {
    /// `None` where its block is too short to say it.
    link_type: Option<LinkType>,
    /// 0 stands for no limit.
    snap_len: u32,
    /// A negative power of ten, or of two with the highest bit set: the unit of its times.
    resolution: u8,
    /// Seconds to be added to its times.
    offset_s: i64,
}

/// What a packet block says, with the place of its captured bytes in the body.
struct PacketBlock {
    interface: u32,
    time_ns: Option<u64>,
    captured_at: usize,
    captured_len: usize,
    original_len: u32,
}

/// Whether a file's first bytes are those of a section.
///
/// The kind of the block is made of ends of lines, so that a transfer as text breaks it; the mark of the byte order
/// behind it tells a capture from a text that begins so.
pub(super) fn is_section(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION) && bytes.get(8..12).is_none_or(|mark| Order::of(mark).is_some())
}

impl Blocks {
    /// Reads the header of the first section.
    pub(super) fn open(window: &mut Window) -> Result<Self, Lost> {
        let mut blocks = Self { order: Order::Big, interfaces: Vec::new() };
        if let Some((_, length)) = blocks.next_block(window)? {
            window.take(length);
        }
        Ok(blocks)
    }

    /// The next packet, `None` at the end of the file.
    pub(super) fn next<'w>(&mut self, window: &'w mut Window) -> Result<Option<Frame<'w>>, Lost> {
        let (length, packet) = loop {
            let Some((kind, length)) = self.next_block(window)? else { return Ok(None) };
            if let Some(packet) = self.packet(kind, body(&window.bytes()[..length])) {
                break (length, packet);
            }
            window.take(length);
        };
        let link_type =
            self.interfaces.get(packet.interface as usize).and_then(|interface| interface.link_type);
        let body = body(window.take(length));
        let captured = body.get(packet.captured_at..).and_then(|bytes| bytes.get(..packet.captured_len));
        Ok(Some(Frame { link_type, time_ns: packet.time_ns, captured, original_len: packet.original_len }))
    }

    /// Kind and length of the next block, which is then whole in the window, and remembers what it says of others.
    fn next_block(&mut self, window: &mut Window) -> Result<Option<(u32, usize)>, Lost> {
        if window.bytes().is_empty() && !window.fill().map_err(Lost::Unreadable)? {
            return Ok(None);
        }
        more("a block", SHORTEST, window)?;
        let is_section = window.bytes().starts_with(&SECTION);
        if is_section {
            let mark = &window.bytes()[8..12];
            let no_order = || Lost::Framing(format!("a section without a byte order: `{mark:02x?}`"));
            self.order = Order::of(mark).ok_or_else(no_order)?;
            self.interfaces.clear();
        }
        let order = self.order;
        let word =
            |window: &Window, at: usize| order.u32(window.bytes(), at).expect("the block is in the window");
        let (kind, stated) = (word(window, 0), word(window, 4));
        let length = stated as usize;
        if length < SHORTEST || !length.is_multiple_of(4) {
            let message = format!("no block: length `{stated}`: expected a multiple of 4 from {SHORTEST} on");
            return Err(Lost::Framing(message));
        }
        more("a block", length, window)?;
        let repeated = word(window, length - 4);
        if repeated != stated {
            let message =
                format!("no block: length `{repeated}` at its end: expected {stated} as at its beginning");
            return Err(Lost::Framing(message));
        }
        let body = body(&window.bytes()[..length]);
        if is_section {
            let major = order.u16(body, 4);
            if major != Some(1) {
                let version = major.map_or("none".to_owned(), |major| major.to_string());
                return Err(Lost::Framing(format!("version `{version}` of the pcapng format: expected 1")));
            }
        } else if kind == INTERFACE {
            self.interfaces.push(Interface::read(order, body));
        }
        Ok(Some((kind, length)))
    }

    /// Reads a packet block; `None` for all others. What cannot be read has more bytes than any block, so that the
    /// record is skipped as damaged.
    fn packet(&self, kind: u32, body: &[u8]) -> Option<PacketBlock> {
        let packet = match kind {
            ENHANCED_PACKET => self.order.u32(body, 0).and_then(|interface| self.timed(interface, body)),
            // Behind the interface's number stands that of dropped packets.
            OBSOLETE_PACKET => {
                self.order.u16(body, 0).and_then(|interface| self.timed(interface.into(), body))
            }
            SIMPLE_PACKET => self.simple(body),
            _ => return None,
        };
        let captured_len = usize::MAX;
        let damaged =
            PacketBlock { interface: 0, time_ns: None, captured_at: 0, captured_len, original_len: 0 };
        Some(packet.unwrap_or(damaged))
    }

    fn timed(&self, interface: u32, body: &[u8]) -> Option<PacketBlock> {
        let field = |at: usize| self.order.u32(body, at);
        let ticks = u64::from(field(4)?) << 32 | u64::from(field(8)?);
        Some(PacketBlock {
            interface,
            time_ns: self.interfaces.get(interface as usize).and_then(|interface| interface.time_ns(ticks)),
            captured_at: 20,
            captured_len: field(12)? as usize,
            original_len: field(16)?,
        })
    }

    /// A simple packet belongs to the first interface and says no time; how much of it was captured follows from the
    /// snap length.
    fn simple(&self, body: &[u8]) -> Option<PacketBlock> {
        let original_len = self.order.u32(body, 0)?;
        let snap_len = self.interfaces.first().map_or(0, |interface| interface.snap_len);
        let captured_len = if snap_len == 0 { original_len } else { original_len.min(snap_len) } as usize;
        Some(PacketBlock { interface: 0, time_ns: None, captured_at: 4, captured_len, original_len })
    }
}

fn body(block: &[u8]) -> &[u8] {
    &block[HEADER..block.len() - 4]
}

impl Interface {
    fn read(order: Order, body: &[u8]) -> Self {
        const TIME_RESOLUTION: u16 = 9;
        const TIME_OFFSET: u16 = 14;
        let mut interface = Self {
            link_type: order.u16(body, 0).map(LinkType),
            snap_len: order.u32(body, 4).unwrap_or(0),
            // Microseconds, where nothing is said.
            resolution: 6,
            offset_s: 0,
        };
        let mut at = 8;
        while let (Some(code), Some(length)) = (order.u16(body, at), order.u16(body, at + 2)) {
            let (from, length) = (at + 4, usize::from(length));
            match (code, length) {
                (0, _) => break,
                (TIME_RESOLUTION, 1) => {
                    interface.resolution = body.get(from).copied().unwrap_or(interface.resolution);
                }
                (TIME_OFFSET, 8) => interface.offset_s = order.i64(body, from).unwrap_or(0),
                _ => {}
            }
            at = from + length.next_multiple_of(4);
        }
        interface
    }

    /// Nanoseconds since 1970-01-01; `None` before that day and after the year 2554.
    fn time_ns(self, ticks: u64) -> Option<u64> {
        const SECOND_NS: u128 = 1_000_000_000;
        let exponent = u32::from(self.resolution & 0x7f);
        let ns = if self.resolution & 0x80 != 0 {
            (u128::from(ticks) * SECOND_NS) >> exponent
        } else if exponent <= 9 {
            u128::from(ticks) * 10u128.pow(9 - exponent)
        } else {
            10u128.checked_pow(exponent - 9).map_or(0, |unit| u128::from(ticks) / unit)
        };
        let ns = i128::try_from(ns).ok()? + i128::from(self.offset_s) * 1_000_000_000;
        u64::try_from(ns).ok()
    }
}
