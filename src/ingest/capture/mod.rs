//! Captures: classic pcap and pcapng.
//!
//! In: a file or stream, recognised by its first bytes and never by its name. Out: a [`Record`] for each packet, in
//! the order of the file, and the [`Damage`] where a file stops making sense. Knows nothing of networks.
//!
//! [`flow_log`] reads what Azure itself recorded, [`flow_table`] what came out of other tools.

mod blocks;
pub mod decode;
pub mod flow_log;
pub mod flow_table;
mod framing;
mod ip;
#[cfg(test)]
mod sample;
mod straight;
mod window;

use std::io::Read;
use std::path::Path;

use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::reason_code::ReasonCode;
use crate::model::record::{Content, Location, Record};
use crate::model::records::Records;

pub use decode::LinkType;
use framing::{Format, Frame, Framing, Lost, MAGIC_BYTES};
use window::Window;

/// Reads the records of one capture, from its beginning to its end or to where its framing is lost.
pub struct CaptureReader {
    file: u32,
    window: Window,
    state: State,
    records: u64,
    link_types: Vec<(LinkType, u64)>,
}

enum State {
    Reading(Framing),
    Ended,
    Damaged(Damage),
}

/// Where a capture stops making sense. Everything before counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The last whole record before it, 0 if there was none.
    pub after_record: u64,
    /// Where the record that cannot be read begins, in bytes of the unpacked stream.
    pub offset: u64,
    /// How many bytes are left from there to the end; `None` where the rest cannot be unpacked or read.
    pub unread_bytes: Option<u64>,
    /// What stands there, and what was expected.
    pub message: String,
}

impl CaptureReader {
    /// Opens a file or standard input. `file` is its position in the run's list of inputs.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened, or is no capture.
    pub fn open(path: &Path, file: u32) -> Result<Self, IngestError> {
        Self::from_reader(source::shown(path), file, source::open(path)?)
    }

    /// Takes a stream that is unpacked already; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// Fails if the first bytes cannot be read or are not those of a capture. A capture that is cut inside its header
    /// is a capture without records and with [`Damage`].
    pub fn from_reader(
        name: impl Into<String>,
        file: u32,
        reader: Box<dyn Read + Send>,
    ) -> Result<Self, IngestError> {
        let name = name.into();
        let mut window = Window::new(reader);
        window.fill_to(MAGIC_BYTES).map_err(|error| IngestError::io(&name, error))?;
        let Some(format) = Format::of(window.bytes()) else {
            return Err(IngestError::content(name, foreign(window.bytes())));
        };
        let opened = Framing::open(format, &mut window);
        let mut reader = Self { file, window, state: State::Ended, records: 0, link_types: Vec::new() };
        match opened {
            Ok(framing) => reader.state = State::Reading(framing),
            Err(lost) => reader.lose(lost),
        }
        Ok(reader)
    }

    /// Appends up to `most` records to `into` and returns their number: 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// None at present: a stream that breaks off in mid-file ends the capture as [`CaptureReader::damage`].
    pub fn read_batch(&mut self, most: usize, into: &mut Records) -> Result<usize, IngestError> {
        let mut count = 0;
        while count < most {
            let State::Reading(framing) = &mut self.state else { break };
            match framing.next(&mut self.window) {
                Ok(Some(frame)) => {
                    self.records += 1;
                    put(Location { file: self.file, number: self.records }, &frame, into);
                    note(&mut self.link_types, frame.link_type);
                    count += 1;
                }
                Ok(None) => self.state = State::Ended,
                Err(lost) => self.lose(lost),
            }
        }
        Ok(count)
    }

    /// Where the framing was lost, once the reader has come there.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match &self.state {
            State::Damaged(damage) => Some(damage),
            State::Reading(_) | State::Ended => None,
        }
    }

    /// How many bytes of the unpacked stream were taken so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.window.taken()
    }

    /// How many records were read so far.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.records
    }

    /// The link types that were seen, in the order of their numbers, with the number of records of each.
    #[must_use]
    pub fn tally(&self) -> Vec<(LinkType, u64)> {
        let mut tally = self.link_types.clone();
        tally.sort_unstable();
        tally
    }

    fn lose(&mut self, lost: Lost) {
        let offset = self.window.taken();
        let (message, unread_bytes) = match lost {
            Lost::Unreadable(error) => (format!("cannot be read on: {error}"), None),
            Lost::Framing(message) => (message, self.window.drain().ok()),
        };
        self.state = State::Damaged(Damage { after_record: self.records, offset, unread_bytes, message });
    }
}

fn put(location: Location, frame: &Frame<'_>, into: &mut Records) {
    let Frame { link_type, time_ns, captured, original_len } = *frame;
    let captured_len = captured.map_or(0, <[u8]>::len);
    // Some writers state a length on the wire that is less than what they captured; the packet had at least that.
    let wire_bytes = original_len.max(u32::try_from(captured_len).unwrap_or(u32::MAX));
    if let (Some(LinkType::ETHERNET), Some(time_ns), Some(captured)) = (link_type, time_ns, captured)
        && let Some(plain) = straight::plain(captured, time_ns, wire_bytes)
    {
        into.push_plain(location, plain);
        return;
    }
    let content = match (link_type, captured) {
        (Some(link_type), Some(captured)) => decode::decode_by_layers(link_type, captured, original_len),
        // The record names an interface that the file has not described, or more bytes than it holds.
        _ => Content::Skipped(ReasonCode::DamagedHeader),
    };
    into.push(Record { location, time_ns, wire_bytes, content });
}

fn note(link_types: &mut Vec<(LinkType, u64)>, seen: Option<LinkType>) {
    let Some(seen) = seen else { return };
    match link_types.iter_mut().find(|(link_type, _)| *link_type == seen) {
        Some((_, count)) => *count += 1,
        None => link_types.push((seen, 1)),
    }
}

/// What to say of a file that is no capture.
fn foreign(first: &[u8]) -> String {
    const EXPECTED: &str = "expected a capture (pcap or pcapng)";
    if first.is_empty() {
        return format!("the file is empty: {EXPECTED}");
    }
    let shown = &first[..first.len().min(8)];
    let hex = shown.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    format!("starts with bytes `{hex}` (`{}`): {EXPECTED}", shown.escape_ascii())
}
