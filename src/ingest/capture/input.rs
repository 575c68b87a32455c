//! An input of a run: a capture or a flow log, told apart by its first bytes and never by its name.

use std::io::{Cursor, Read};
use std::path::Path;

use super::flow_log::{LogReader, RecordTexts};
use super::framing::{Format, MAGIC_BYTES};
use super::{CaptureReader, Damage, Tunnels};
use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::frame::KeptFrames;
use crate::model::records::Records;

/// Enough to tell what a file is: JSON may begin with much white space.
const SNIFFED: u64 = 1 << 12;

/// An input that is open.
pub enum Input {
    /// A capture.
    Capture(CaptureReader),
    /// A flow log.
    Log(LogReader),
}

impl Input {
    /// Opens a file or standard input. `file` is its position in the run's list of inputs. Packets that
    /// carry others are read as `tunnels` says.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened, or is nothing that is read. Of a flow log only the first bytes are looked at:
    /// the rest is [`LogReader::next_batch`]'s to refuse.
    pub fn open(path: &Path, file: u32, tunnels: Tunnels) -> Result<Self, IngestError> {
        let (name, mut stream) = (source::shown(path), source::open(path)?);
        let mut head = Vec::new();
        // What cannot be read is met again by the reader, behind what came before.
        let _met_again = stream.by_ref().take(SNIFFED).read_to_end(&mut head);
        let is_json = begins_like_json(&head) && Format::of(&head[..head.len().min(MAGIC_BYTES)]).is_none();
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(stream));
        Ok(if is_json {
            Self::Log(LogReader::from_reader(name, file, whole))
        } else {
            Self::Capture(CaptureReader::from_reader(name, file, whole)?.with_tunnels(tunnels))
        })
    }

    /// When its first packet was or its first tuple was written, in nanoseconds since 1970-01-01; `None` where that is not
    /// told. It reads as far as that.
    ///
    /// # Errors
    ///
    /// Fails if it is nothing that is read.
    pub fn first_time_ns(mut self) -> Result<Option<u64>, IngestError> {
        match &mut self {
            Self::Capture(reader) => {
                let mut first = Records::default();
                reader.read_batch(1, &mut first)?;
                Ok(first.iter().next().and_then(|record| record.time_ns))
            }
            Self::Log(reader) => {
                while let Some(texts) = reader.next_batch()? {
                    if let Some(flow) = texts.parse().into_iter().flatten().next() {
                        return Ok(Some(flow.time_ms * 1_000_000));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Where it stops making sense, once the reader has come there.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Capture(reader) => reader.damage(),
            Self::Log(reader) => reader.damage(),
        }
    }
}

/// Packets, and their frames where these are kept.
#[derive(Default)]
pub struct Packets {
    /// The packets.
    pub records: Records,
    /// Their frames, by position.
    pub frames: Option<KeptFrames>,
}

impl Packets {
    /// None, with room for so many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { records: Records::with_capacity(count), frames: None }
    }

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self, keeps_frames: bool) {
        self.records.clear();
        match (&mut self.frames, keeps_frames) {
            (Some(frames), true) => frames.clear(),
            (frames, keeps) => *frames = keeps.then(KeptFrames::default),
        }
    }

    /// Whether their frames take as much memory as those of a batch may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.frames.as_ref().is_some_and(KeptFrames::is_full)
    }
}

/// What an input gives at a time.
pub enum Portion {
    /// Packets were put into the batch.
    Packets,
    /// Records of a log, not looked into yet.
    Texts(RecordTexts),
    /// Nothing: it has come to its end.
    End,
}

impl Input {
    /// Takes the next portion, of at most so many packets.
    ///
    /// # Errors
    ///
    /// Fails if a flow log turns out to be none.
    pub fn next(&mut self, most: usize, packets: &mut Packets) -> Result<Portion, IngestError> {
        match self {
            Self::Capture(reader) => {
                let read = match &mut packets.frames {
                    Some(frames) => reader.read_batch_with_frames(most, &mut packets.records, frames)?,
                    None => reader.read_batch(most, &mut packets.records)?,
                };
                Ok(if read == 0 { Portion::End } else { Portion::Packets })
            }
            Self::Log(reader) => Ok(reader.next_batch()?.map_or(Portion::End, Portion::Texts)),
        }
    }
}

/// Whether text begins as JSON does that holds anything: with a bracket, behind a byte order mark or white space.
fn begins_like_json(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}
