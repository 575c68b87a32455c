//! Packets written out again as a capture, byte for byte, each with what decided about it.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapTsResolution, PcapWriteError, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgWriteError, PcapNgWriter};
use pcap_file::{DataLink, Endianness};
use thiserror::Error;

use super::names::Names;
use crate::model::frame::{KeptFrame, LinkType};
use crate::model::verdict::{Layer, Reason};
use crate::replay::shard::Processed;
use crate::replay::tally::Decider;

/// Not the machine's own order: the same packets are the same bytes everywhere.
const ENDIANNESS: Endianness = Endianness::Little;

/// The formats of captures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SplitFormat {
    /// Classic pcap with nanoseconds: packets of one link type, without comments.
    Pcap,
    /// pcapng with nanoseconds: an interface for each link type, a comment on each packet.
    PcapNg,
}

/// Why a packet cannot be written.
#[derive(Debug, Error)]
pub enum SplitError {
    /// A classic pcap has one link type for all its packets.
    #[error(
        "link type `{second}` after link type `{first}`: a .pcap holds one: use a name ending in .pcapng"
    )]
    LinkTypes {
        /// That of the packets before.
        first: LinkType,
        /// That of this packet.
        second: LinkType,
    },
    /// A classic pcap counts the seconds of a time with 32 bits.
    #[error("a time after the year 2106: a .pcap does not reach that far: use a name ending in .pcapng")]
    Time,
    /// The output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes packets as one capture.
///
/// LIMIT: times are kept to the nanosecond; what an input says more finely is rounded down. Of an interface its link type
/// is kept, not its name or its frame check sequence.
pub enum SplitWriter<W: Write> {
    /// Classic pcap.
    Pcap(Classic<W>),
    /// pcapng.
    PcapNg(Box<Sections<W>>),
}

/// A classic pcap, whose header waits for the first packet: that says the link type.
pub struct Classic<W: Write> {
    out: W,
    link_type: Option<LinkType>,
}

/// A pcapng of one section.
pub struct Sections<W: Write> {
    writer: PcapNgWriter<W>,
    /// The link types of its interfaces.
    interfaces: Vec<LinkType>,
}

impl<W: Write> SplitWriter<W> {
    /// A capture without packets.
    ///
    /// # Errors
    ///
    /// Fails if `out` does.
    pub fn new(format: SplitFormat, out: W) -> io::Result<Self> {
        match format {
            SplitFormat::Pcap => Ok(Self::Pcap(Classic { out, link_type: None })),
            SplitFormat::PcapNg => {
                let program = concat!("nsgsim ", env!("CARGO_PKG_VERSION"));
                let section = SectionHeaderBlock {
                    endianness: ENDIANNESS,
                    options: vec![SectionHeaderOption::UserApplication(program.into())],
                    ..SectionHeaderBlock::default()
                };
                let writer = PcapNgWriter::with_section_header(out, section).map_err(unwritten_block)?;
                Ok(Self::PcapNg(Box::new(Sections { writer, interfaces: Vec::new() })))
            }
        }
    }

    /// Writes a packet, with its time in nanoseconds since 1970-01-01 and, where the format takes one, the comment.
    ///
    /// # Errors
    ///
    /// Fails if the output does, and on a link type or time that the format has no room for.
    pub fn write(
        &mut self,
        frame: KeptFrame<'_>,
        time_ns: u64,
        comment: impl FnOnce() -> String,
    ) -> Result<(), SplitError> {
        match self {
            Self::Pcap(classic) => classic.write(frame, time_ns),
            Self::PcapNg(sections) => Ok(sections.write(frame, time_ns, comment())?),
        }
    }

    /// The output behind the packets. A capture without packets is one of Ethernet.
    ///
    /// # Errors
    ///
    /// Fails if the output does.
    pub fn into_inner(self) -> io::Result<W> {
        match self {
            Self::Pcap(mut classic) => {
                if classic.link_type.is_none() {
                    classic.begin(LinkType::ETHERNET)?;
                }
                Ok(classic.out)
            }
            Self::PcapNg(sections) => Ok(sections.writer.into_inner()),
        }
    }
}

impl<W: Write> Classic<W> {
    fn begin(&mut self, link_type: LinkType) -> io::Result<()> {
        let header = PcapHeader {
            ts_resolution: PcapTsResolution::NanoSecond,
            datalink: DataLink::from(u32::from(link_type.0)),
            endianness: ENDIANNESS,
            // As tcpdump states it; readers take longer packets all the same.
            snaplen: 1 << 18,
            ..PcapHeader::default()
        };
        PcapWriter::with_header(&mut self.out, header).map_err(|error| match error {
            PcapWriteError::Io(error) | PcapWriteError::FieldWriteFailed(_, error) => error,
            invalid @ PcapWriteError::Validation(_) => io::Error::other(invalid),
        })?;
        self.link_type = Some(link_type);
        Ok(())
    }

    fn write(&mut self, frame: KeptFrame<'_>, time_ns: u64) -> Result<(), SplitError> {
        match self.link_type {
            None => self.begin(frame.link_type)?,
            Some(first) if first == frame.link_type => {}
            Some(first) => return Err(SplitError::LinkTypes { first, second: frame.link_type }),
        }
        let time = Duration::from_nanos(time_ns);
        let seconds = u32::try_from(time.as_secs()).map_err(|_| SplitError::Time)?;
        let captured = u32::try_from(frame.bytes.len()).expect("a record was read with a length of 32 bits");
        // A writer of the crate would want the header's link type before there is a packet.
        for number in [seconds, time.subsec_nanos(), captured, frame.wire_bytes] {
            self.out.write_all(&number.to_le_bytes())?;
        }
        Ok(self.out.write_all(frame.bytes)?)
    }
}

impl<W: Write> Sections<W> {
    fn write(&mut self, frame: KeptFrame<'_>, time_ns: u64, comment: String) -> io::Result<()> {
        let known = self.interfaces.iter().position(|link_type| *link_type == frame.link_type);
        let interface = match known {
            Some(interface) => interface,
            None => self.interface(frame.link_type)?,
        };
        let packet = EnhancedPacketBlock {
            interface_id: u32::try_from(interface).expect("there are fewer than 2^16 link types"),
            timestamp: Duration::from_nanos(time_ns),
            original_len: frame.wire_bytes,
            data: Cow::Borrowed(frame.bytes),
            options: vec![EnhancedPacketOption::Common(CommonOption::Comment(comment.into()))],
        };
        self.writer.write_pcapng_block(packet).map_err(unwritten_block)?;
        Ok(())
    }

    /// Describes one more interface, and returns its number. It has no snap length: packets of several inputs may be its.
    fn interface(&mut self, link_type: LinkType) -> io::Result<usize> {
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::from(u32::from(link_type.0)),
            snaplen: 0,
            options: vec![InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO)],
        };
        self.writer.write_pcapng_block(block).map_err(unwritten_block)?;
        self.interfaces.push(link_type);
        Ok(self.interfaces.len() - 1)
    }
}

/// What `out` said, where it was `out`: whoever asks tells a closed pipe from a full disk by its kind.
fn unwritten_block(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        invalid => io::Error::other(invalid),
    }
}

/// The comment on a packet: its verdict, what decided, and where.
///
/// `deny: nsg-web outbound DenyWebToDb 200, subnet NSG of nic-web-2`; on a packet that the record of an open flow let
/// through, what decided about the flow: `allow: nsg-db inbound AllowAppToSql 100, open flow at nic-db-1`. `is_untimed`
/// says that the input does not tell the packet's time.
#[must_use]
pub fn comment(names: Names<'_>, processed: &Processed, is_untimed: bool) -> String {
    let reason = processed.verdict.reason();
    // What decided about the flow is not what decided about this packet, but where the flow is what let it through.
    let decider = match reason {
        Some(Reason::FlowState { .. }) => processed.decider,
        _ => Decider::from(&processed.verdict),
    };
    let words = names.decider(&decider);
    let mut text = format!("{}: {}", processed.verdict.kind(), words.line());
    if let Some(priority) = words.priority {
        text.push_str(&format!(" {priority}"));
    }
    let reason = reason.map(|reason| names.reason(reason)).unwrap_or_default();
    if let Some(nic) = reason.nic {
        let place = match (reason.layer, reason.kind, reason.direction) {
            (Some(Layer::SubnetNsg), ..) => "subnet NSG of".to_owned(),
            (Some(Layer::NicNsg), ..) => "NIC NSG of".to_owned(),
            (None, "FlowState", _) => "open flow at".to_owned(),
            (None, _, Some(direction)) => format!("{direction} at"),
            (None, _, None) => "at".to_owned(),
        };
        text.push_str(&format!(", {place} {nic}"));
    }
    if is_untimed {
        text.push_str("; the input tells no time, this is the last one before");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{KeptFrame, LinkType, SplitError, SplitFormat, SplitWriter};

    fn frame(link_type: LinkType, bytes: &[u8]) -> KeptFrame<'_> {
        KeptFrame { link_type, bytes, wire_bytes: 60 }
    }

    #[test]
    fn a_classic_pcap_is_a_header_and_records_of_nanoseconds() {
        let mut writer = SplitWriter::new(SplitFormat::Pcap, Vec::new()).expect("memory takes it");
        let packet = frame(LinkType::RAW, &[0x45, 1, 2]);
        writer.write(packet, 3_000_000_007, || unreachable!("it has no comments")).expect("memory takes it");
        let bytes = writer.into_inner().expect("memory takes it");
        let header = [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];
        let record = [3, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0, 0x45, 1, 2];
        assert_eq!(bytes, [&header[..], &record].concat());
    }

    #[test]
    fn a_classic_pcap_refuses_a_second_link_type_and_times_after_2106() {
        let mut writer = SplitWriter::new(SplitFormat::Pcap, Vec::new()).expect("memory takes it");
        let mut write = |link_type, seconds: u64| {
            writer.write(frame(link_type, &[1]), seconds * 1_000_000_000, String::new)
        };
        write(LinkType::ETHERNET, u64::from(u32::MAX)).expect("the last second that there is");
        let refused = write(LinkType::RAW, 1).expect_err("a second link type");
        assert!(matches!(refused, SplitError::LinkTypes { first: LinkType(1), second: LinkType(101) }));
        assert!(refused.to_string().contains(".pcapng"), "{refused}");
        let refused = write(LinkType::ETHERNET, 1 << 32).expect_err("the year 2106");
        assert!(matches!(refused, SplitError::Time));
    }

    #[test]
    fn a_pcapng_describes_each_link_type_once() {
        let mut writer = SplitWriter::new(SplitFormat::PcapNg, Vec::new()).expect("memory takes it");
        for link_type in [LinkType::RAW, LinkType::ETHERNET, LinkType::RAW] {
            writer.write(frame(link_type, &[1]), 1 << 62, || "why".to_owned()).expect("memory takes it");
        }
        let bytes = writer.into_inner().expect("memory takes it");
        // Kind and length of each block.
        let (mut at, mut kinds) = (0, Vec::new());
        while let Some(head) = bytes.get(at..at + 8) {
            let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            kinds.push(word(0));
            at += word(4) as usize;
        }
        assert_eq!(at, bytes.len());
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 1, 6, 6]);
    }

    #[test]
    fn a_capture_without_packets_is_a_capture() {
        for (format, length) in [(SplitFormat::Pcap, 24), (SplitFormat::PcapNg, 48)] {
            let writer = SplitWriter::new(format, Vec::new()).expect("memory takes it");
            assert_eq!(writer.into_inner().expect("memory takes it").len(), length, "{format:?}");
        }
    }
}
