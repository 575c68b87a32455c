//! Where each record of a capture begins and ends, and what its own header says.

use std::io;
use std::time::Duration;

use pcap_file::Endianness;
use pcap_file::pcap::{PcapHeader, PcapParseError, PcapParser, PcapTsResolution};
use pcap_file::pcapng::{PcapNgParseError, PcapNgParser};

use super::decode::LinkType;
use super::window::Window;

/// The most that one record may take, its header included.
///
/// The longest frames (BIG TCP) have 512 KiB; where a length field says more than this, something else stands where
/// a record should begin. Wireshark draws the line for pcapng blocks at the same place.
const LONGEST: usize = 16 << 20;

/// The bytes by which both formats are told.
pub(super) const MAGIC_BYTES: usize = 12;

const HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const BLOCK_HEADER: usize = 8;
const BLOCK_TRAILER: usize = 4;

/// One record, not yet decoded.
pub(super) struct Frame<'a> {
    /// How its first bytes are to be read; `None` where the record names an interface that the file does not have.
    pub(super) link_type: Option<LinkType>,
    /// Nanoseconds since 1970-01-01, where the record says so and the number is a time.
    pub(super) time_ns: Option<u64>,
    /// The captured bytes; `None` where the record says that there are more than it holds.
    pub(super) captured: Option<&'a [u8]>,
    /// Length on the wire in bytes.
    pub(super) original_len: u32,
}

/// Why the next record cannot be found.
pub(super) enum Lost {
    /// The stream could not be read on.
    Unreadable(io::Error),
    /// What stands there is no record.
    Framing(String),
}

/// A capture format with what its reader has to remember.
pub(super) enum Framing {
    /// Classic pcap, with its file header.
    Classic(PcapParser),
    /// pcapng, with its current section and interfaces.
    Blocks(Box<PcapNgParser>),
}

/// Which format the first bytes announce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Classic,
    Blocks,
}

impl Format {
    /// Tells the format by the first bytes; fewer than [`MAGIC_BYTES`] only if the stream is as short as that.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let classic = [
            [0xa1, 0xb2, 0xc3, 0xd4],
            [0xd4, 0xc3, 0xb2, 0xa1],
            [0xa1, 0xb2, 0x3c, 0x4d],
            [0x4d, 0x3c, 0xb2, 0xa1],
        ];
        let byte_orders = [[0x1a, 0x2b, 0x3c, 0x4d], [0x4d, 0x3c, 0x2b, 0x1a]];
        if classic.iter().any(|magic| bytes.starts_with(magic)) {
            return Some(Self::Classic);
        }
        // The four bytes of a section header are ends of lines, so that a transfer as text breaks them; the byte
        // order behind them tells a capture from a text that begins so.
        let section = bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]);
        let order = bytes.get(8..12).is_none_or(|order| byte_orders.iter().any(|magic| order == magic));
        (section && order).then_some(Self::Blocks)
    }
}

impl Framing {
    /// Reads the file header, or the header of the first section.
    pub(super) fn open(format: Format, window: &mut Window) -> Result<Self, Lost> {
        match format {
            Format::Classic => {
                let complete = window.fill_to(HEADER).map_err(Lost::Unreadable)?;
                let (_, parser) = PcapParser::new(window.bytes()).map_err(|error| match error {
                    PcapParseError::IncompleteBuffer(..) if !complete => {
                        Lost::ends_inside("the file header", HEADER, window)
                    }
                    other => Lost::Framing(other.to_string()),
                })?;
                let (major, minor) = (parser.header().version_major, parser.header().version_minor);
                if major != 2 || minor < 3 {
                    // Before 2.3 the two lengths of a record stood the other way round.
                    let message =
                        format!("version `{major}.{minor}` of the pcap format: expected 2.3 or later");
                    return Err(Lost::Framing(message));
                }
                window.take(HEADER);
                Ok(Self::Classic(parser))
            }
            Format::Blocks => loop {
                match PcapNgParser::new(window.bytes()) {
                    Ok((rest, parser)) => {
                        let count = window.bytes().len() - rest.len();
                        window.take(count);
                        return Ok(Self::Blocks(Box::new(parser)));
                    }
                    Err(error) => block_error(&error, window)?,
                }
            },
        }
    }

    /// The next record, `None` at the end of the file.
    pub(super) fn next<'w>(&mut self, window: &'w mut Window) -> Result<Option<Frame<'w>>, Lost> {
        match self {
            Self::Classic(parser) => next_classic(parser, window),
            Self::Blocks(parser) => next_in_blocks(parser, window),
        }
    }
}

fn next_classic<'w>(parser: &PcapParser, window: &'w mut Window) -> Result<Option<Frame<'w>>, Lost> {
    let (record, included, original_len, time_ns) = loop {
        // Not `next_packet`: it refuses packets that are longer than the header's snap length, which real files have.
        match parser.next_raw_packet(window.bytes()) {
            Ok((rest, packet)) => {
                let record = window.bytes().len() - rest.len();
                let included = packet.data.len();
                let time_ns = classic_time(&parser.header(), packet.ts_sec, packet.ts_frac);
                break (record, included, packet.orig_len, time_ns);
            }
            Err(PcapParseError::IncompleteBuffer(needed, _)) => {
                if window.bytes().is_empty() {
                    if window.fill().map_err(Lost::Unreadable)? {
                        continue;
                    }
                    return Ok(None);
                }
                let whole =
                    if window.bytes().len() < RECORD_HEADER { RECORD_HEADER } else { RECORD_HEADER + needed };
                more("a record", whole, window)?;
            }
            Err(other) => return Err(Lost::Framing(other.to_string())),
        }
    };
    let captured = &window.take(record)[record - included..];
    Ok(Some(Frame {
        link_type: Some(LinkType::of(parser.header().datalink)),
        time_ns,
        captured: Some(captured),
        original_len,
    }))
}

/// LIMIT: the header's `thiszone` is not applied; no writer has set it in decades, and other readers pass over it.
fn classic_time(header: &PcapHeader, seconds: u32, fraction: u32) -> Option<u64> {
    let unit_ns = match header.ts_resolution {
        PcapTsResolution::MicroSecond => 1_000,
        PcapTsResolution::NanoSecond => 1,
    };
    let fraction_ns = u64::from(fraction) * unit_ns;
    (fraction_ns < 1_000_000_000).then(|| u64::from(seconds) * 1_000_000_000 + fraction_ns)
}

/// What a packet block says, with the place of its captured bytes in the block.
struct PacketBlock {
    interface: u32,
    time_ns: Option<u64>,
    captured_at: usize,
    captured_len: usize,
    original_len: u32,
}

fn next_in_blocks<'w>(parser: &mut PcapNgParser, window: &'w mut Window) -> Result<Option<Frame<'w>>, Lost> {
    let (count, packet) = loop {
        if window.bytes().is_empty() && !window.fill().map_err(Lost::Unreadable)? {
            return Ok(None);
        }
        match parser.next_raw_block(window.bytes()) {
            Ok((rest, block)) => {
                let count = window.bytes().len() - rest.len();
                if let Some(packet) = packet_block(parser, block.type_, &block.body) {
                    break (count, packet);
                }
                window.take(count);
            }
            Err(error) => block_error(&error, window)?,
        }
    };
    let link_type =
        parser.interfaces().get(packet.interface as usize).map(|interface| LinkType::of(interface.linktype));
    let block = window.take(count);
    let body = &block[BLOCK_HEADER..count - BLOCK_TRAILER];
    let captured = body.get(packet.captured_at..).and_then(|bytes| bytes.get(..packet.captured_len));
    Ok(Some(Frame { link_type, time_ns: packet.time_ns, captured, original_len: packet.original_len }))
}

/// Reads the three kinds of packet blocks; `None` for all others.
///
/// The crate's own conversion is not used: it turns away a whole packet for a comment that is not UTF-8, and nothing
/// behind the captured bytes is wanted here.
fn packet_block(parser: &PcapNgParser, kind: u32, body: &[u8]) -> Option<PacketBlock> {
    use pcap_file::pcapng::blocks::{ENHANCED_PACKET_BLOCK, PACKET_BLOCK, SIMPLE_PACKET_BLOCK};
    let order = parser.section().endianness;
    let field = |at: usize| u32_at(order, body, at);
    let damaged = PacketBlock {
        interface: 0,
        time_ns: None,
        captured_at: 0,
        captured_len: usize::MAX,
        original_len: 0,
    };
    let timed = |interface: u32| -> Option<PacketBlock> {
        let time = parser.state().decode_timestamp(interface, field(4)?, field(8)?).ok();
        Some(PacketBlock {
            interface,
            time_ns: time.and_then(nanoseconds),
            captured_at: 20,
            captured_len: field(12)? as usize,
            original_len: field(16)?,
        })
    };
    let packet = match kind {
        ENHANCED_PACKET_BLOCK => field(0).and_then(timed),
        // Interface and a counter of dropped packets share the first word.
        PACKET_BLOCK => field(0).and_then(|word| match order {
            Endianness::Big => timed(word >> 16),
            Endianness::Little => timed(word & 0xffff),
        }),
        // It belongs to the first interface and says no time; its captured length follows from the snap length.
        SIMPLE_PACKET_BLOCK => field(0).map(|original_len| {
            let snap_len = parser.interfaces().first().map_or(0, |interface| interface.snaplen);
            let captured_len = if snap_len == 0 { original_len } else { original_len.min(snap_len) };
            PacketBlock {
                interface: 0,
                time_ns: None,
                captured_at: 4,
                captured_len: captured_len as usize,
                original_len,
            }
        }),
        _ => return None,
    };
    Some(packet.unwrap_or(damaged))
}

fn u32_at(order: Endianness, bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(match order {
        Endianness::Big => u32::from_be_bytes(*word),
        Endianness::Little => u32::from_le_bytes(*word),
    })
}

fn nanoseconds(time: Duration) -> Option<u64> {
    u64::try_from(time.as_nanos()).ok()
}

/// Reads on where a block is not complete; everything else is the end.
fn block_error(error: &PcapNgParseError, window: &mut Window) -> Result<(), Lost> {
    match error {
        PcapNgParseError::IncompleteBuffer(needed, _) => {
            // Below a block's smallest size the crate asks for that, beyond it for what follows the first 8 bytes.
            let whole = if window.bytes().len() < 12 { 12 } else { BLOCK_HEADER + needed };
            more("a block", whole, window)
        }
        PcapNgParseError::InvalidFormat(cause) => Err(Lost::Framing(format!("no pcapng block: {cause}"))),
        other => Err(Lost::Framing(format!("a section or interface that cannot be read: {}", chain(other)))),
    }
}

/// An error with all its causes, as one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Reads on until `whole` bytes are there, the size of `what`.
fn more(what: &str, whole: usize, window: &mut Window) -> Result<(), Lost> {
    if whole > LONGEST {
        return Err(Lost::Framing(format!("{what} of {whole} bytes: expected at most {LONGEST}")));
    }
    if window.fill_to(whole).map_err(Lost::Unreadable)? {
        Ok(())
    } else {
        Err(Lost::ends_inside(what, whole, window))
    }
}

impl Lost {
    fn ends_inside(what: &str, whole: usize, window: &Window) -> Self {
        Self::Framing(format!(
            "the file ends inside {what}: {} of {whole} bytes are there",
            window.bytes().len()
        ))
    }
}
