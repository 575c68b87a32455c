//! Where each record of a capture begins and ends, and what its own header says.

use std::io;

use pcap_file::pcap::{PcapHeader, PcapParseError, PcapParser, PcapTsResolution};
use pcap_file::{DataLink, Endianness};

use super::blocks::{self, Blocks};
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

impl Frame<'_> {
    /// Length on the wire in bytes.
    ///
    /// Some writers state one that is less than what they captured; the packet had at least that.
    pub(super) fn wire_bytes(&self) -> u32 {
        let captured_len = self.captured.map_or(0, <[u8]>::len);
        self.original_len.max(u32::try_from(captured_len).unwrap_or(u32::MAX))
    }
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
    /// Classic pcap.
    Classic(Classic),
    /// pcapng, with its current section and interfaces.
    Blocks(Blocks),
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
        if classic.iter().any(|magic| bytes.starts_with(magic)) {
            return Some(Self::Classic);
        }
        blocks::is_section(bytes).then_some(Self::Blocks)
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
                Ok(Self::Classic(Classic::new(&parser.header())))
            }
            Format::Blocks => Blocks::open(window).map(Self::Blocks),
        }
    }

    /// The next record, `None` at the end of the file.
    pub(super) fn next<'w>(&mut self, window: &'w mut Window) -> Result<Option<Frame<'w>>, Lost> {
        match self {
            Self::Classic(classic) => classic.next(window),
            Self::Blocks(blocks) => blocks.next(window),
        }
    }
}

/// What the file header of a classic pcap says of its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    link_type: LinkType,
    is_big_endian: bool,
    /// Nanoseconds in a unit of the second half of a time.
    unit_ns: u64,
}

impl Classic {
    fn new(header: &PcapHeader) -> Self {
        let unit_ns = match header.ts_resolution {
            PcapTsResolution::MicroSecond => 1_000,
            PcapTsResolution::NanoSecond => 1,
        };
        let is_big_endian = header.endianness == Endianness::Big;
        Self { link_type: link_type(header.datalink), is_big_endian, unit_ns }
    }

    /// PERF: read here and not by `pcap-file`, which takes twice as long for a record header of four numbers; and it
    /// refuses packets that are longer than the header's snap length, which real files have.
    #[inline]
    fn next<'w>(&self, window: &'w mut Window) -> Result<Option<Frame<'w>>, Lost> {
        let (whole, [seconds, fraction, _, original_len]) = loop {
            if let Some(header) = window.bytes().first_chunk::<RECORD_HEADER>() {
                let words = self.words(header);
                let whole = RECORD_HEADER + words[2] as usize;
                if whole <= window.bytes().len() {
                    break (whole, words);
                }
                more("a record", whole, window)?;
            } else if !window.bytes().is_empty() {
                more("a record", RECORD_HEADER, window)?;
            } else if !window.fill().map_err(Lost::Unreadable)? {
                return Ok(None);
            }
        };
        Ok(Some(Frame {
            link_type: Some(self.link_type),
            time_ns: self.time_ns(seconds, fraction),
            captured: Some(&window.take(whole)[RECORD_HEADER..]),
            original_len,
        }))
    }

    /// Seconds, their fraction, the captured and the original length.
    #[inline]
    fn words(&self, header: &[u8; RECORD_HEADER]) -> [u32; 4] {
        let (words, _) = header.as_chunks::<4>();
        let word = |place: usize| {
            if self.is_big_endian {
                u32::from_be_bytes(words[place])
            } else {
                u32::from_le_bytes(words[place])
            }
        };
        [word(0), word(1), word(2), word(3)]
    }

    /// LIMIT: the header's `thiszone` is not applied; no writer has set it in decades, and other readers pass over it.
    #[inline]
    fn time_ns(&self, seconds: u32, fraction: u32) -> Option<u64> {
        let fraction_ns = u64::from(fraction) * self.unit_ns;
        (fraction_ns < 1_000_000_000).then(|| u64::from(seconds) * 1_000_000_000 + fraction_ns)
    }
}

/// The link type of a file.
///
/// The upper half of the field in a header has flags, such as the length of a frame check sequence.
fn link_type(link: DataLink) -> LinkType {
    LinkType((u32::from(link) & 0xffff) as u16)
}

/// Reads on until `whole` bytes are there, the size of `what`.
pub(super) fn more(what: &str, whole: usize, window: &mut Window) -> Result<(), Lost> {
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
