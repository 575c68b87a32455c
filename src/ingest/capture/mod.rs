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
pub mod input;
mod ip;
#[cfg(test)]
mod sample;
mod straight;
mod window;

use std::io::Read;
use std::path::Path;

use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::frame::KeptFrames;
use crate::model::reason_code::ReasonCode;
use crate::model::record::{Content, Location, Record};
use crate::model::records::{Records, Transport};

pub use decode::{LinkType, Tunnels};
use framing::{Format, Frame, Framing, Lost, MAGIC_BYTES};
use window::Window;

/// Reads the records of one capture, from its beginning to its end or to where its framing is lost.
pub struct CaptureReader {
    file: u32,
    window: Window,
    state: State,
    tunnels: Tunnels,
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
            return Err(IngestError::content(name, foreign(window.bytes(), "a capture (pcap or pcapng)")));
        };
        let opened = Framing::open(format, &mut window);
        let (state, tunnels) = (State::Ended, Tunnels::default());
        let mut reader = Self { file, window, state, tunnels, records: 0, link_types: Vec::new() };
        match opened {
            Ok(framing) => reader.state = State::Reading(framing),
            Err(lost) => reader.lose(lost),
        }
        Ok(reader)
    }

    /// Reads packets that carry others in this way from here on.
    #[must_use]
    pub fn with_tunnels(self, tunnels: Tunnels) -> Self {
        Self { tunnels, ..self }
    }

    /// Appends up to `most` records to `into` and returns their number: 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// None at present: a stream that breaks off in mid-file ends the capture as [`CaptureReader::damage`].
    pub fn read_batch(&mut self, most: usize, into: &mut Records) -> Result<usize, IngestError> {
        self.read(most, into, |_| true)
    }

    /// As [`CaptureReader::read_batch`], and appends to `frames` what the capture holds of each record; ends early where
    /// these are full.
    ///
    /// # Errors
    ///
    /// As [`CaptureReader::read_batch`].
    pub fn read_batch_with_frames(
        &mut self,
        most: usize,
        into: &mut Records,
        frames: &mut KeptFrames,
    ) -> Result<usize, IngestError> {
        self.read(most, into, |frame| {
            match (frame.link_type, frame.captured) {
                (Some(link_type), Some(captured)) => frames.push(link_type, captured, frame.wire_bytes()),
                _ => frames.push_none(),
            }
            !frames.is_full()
        })
    }

    /// Reads on while `keep`, which gets each record before it is decoded, says to.
    fn read(
        &mut self,
        most: usize,
        into: &mut Records,
        mut keep: impl FnMut(&Frame<'_>) -> bool,
    ) -> Result<usize, IngestError> {
        let (mut count, mut go_on) = (0, true);
        while count < most && go_on {
            let State::Reading(framing) = &mut self.state else { break };
            match framing.next(&mut self.window) {
                Ok(Some(frame)) => {
                    self.records += 1;
                    go_on = keep(&frame);
                    put(Location { file: self.file, number: self.records }, &frame, self.tunnels, into);
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

fn put(location: Location, frame: &Frame<'_>, tunnels: Tunnels, into: &mut Records) {
    let Frame { link_type, time_ns, captured, original_len } = *frame;
    let wire_bytes = frame.wire_bytes();
    if let (Some(LinkType::ETHERNET), Some(time_ns), Some(captured)) = (link_type, time_ns, captured)
        && let Some(plain) = straight::plain(captured, time_ns, wire_bytes)
        && (tunnels == Tunnels::Closed
            || plain.transport != Transport::Udp
            || plain.destination_port != ip::VXLAN_PORT)
    {
        into.push_plain(location, plain);
        return;
    }
    let (content, wire_bytes) = match (link_type, captured, tunnels) {
        (Some(link_type), Some(captured), Tunnels::Closed) => {
            (decode::decode_by_layers(link_type, captured, original_len), wire_bytes)
        }
        (Some(link_type), Some(captured), Tunnels::Opened) => {
            decode::decapsulate(link_type, captured, original_len)
        }
        // The record names an interface that the file has not described, or more bytes than it holds.
        _ => (Content::Skipped(ReasonCode::DamagedHeader), wire_bytes),
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

/// The beginning of a text that may be of any length, fit for one line of a terminal.
fn shorten(text: &str) -> String {
    const MOST: usize = 120;
    let plain = |text: &str| text.replace(char::is_control, " ");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", plain(&text[..end])),
        None => plain(text),
    }
}

/// What to say of a file that is no capture.
fn foreign(first: &[u8], expected: &str) -> String {
    if first.is_empty() {
        return format!("the file is empty: expected {expected}");
    }
    let shown = &first[..first.len().min(8)];
    let hex = shown.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    format!("starts with bytes `{hex}` (`{}`): expected {expected}", shown.escape_ascii())
}
