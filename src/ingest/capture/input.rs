//! An input of a run: a capture, a flow log or a flow table, told apart by its first bytes and never by its name.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use super::flow_log::{LogReader, RecordTexts};
use super::flow_table::{Columns, FIRST_BYTES, FlowTable, Kind, Skipped, recognise};
use super::framing::{Format, MAGIC_BYTES};
use super::{CaptureReader, Damage, Tunnels, foreign};
use crate::ingest::error::IngestError;
use crate::ingest::source::{Source, Watch};
use crate::model::frame::KeptFrames;
use crate::model::recorded::RecordedFlow;
use crate::model::records::Records;

/// How inputs are read.
#[derive(Clone, Debug, Default)]
pub struct InputOptions {
    /// What is made of packets that carry others.
    pub tunnels: Tunnels,
    /// Which columns of flow tables say what.
    pub columns: Columns,
    /// What becomes of all inputs while they are read.
    pub watch: Arc<Watch>,
}

/// An input that is open.
pub struct Input {
    reader: Reader,
    watch: Arc<Watch>,
}

/// What reads it.
enum Reader {
    /// A capture.
    Capture(CaptureReader),
    /// A flow log.
    Log(LogReader),
    /// A flow table.
    Table(Box<FlowTable>),
}

impl Input {
    /// Opens it. `file` is its position in the run's list of inputs.
    ///
    /// # Errors
    ///
    /// Fails if the source cannot be opened, or is nothing that is read. Of a flow log only the first bytes are looked at:
    /// the rest is [`LogReader::next_batch`]'s to refuse.
    pub fn open(source: &Source, file: u32, options: &InputOptions) -> Result<Self, IngestError> {
        let opened = Reader::open(source, file, options);
        // Why a blob could not be read on says more than what its beginning was taken for.
        options.watch.unbroken()?;
        Ok(Self { reader: opened?, watch: Arc::clone(&options.watch) })
    }

    /// When its first packet was or its first tuple was written, in nanoseconds since 1970-01-01; `None` where that is not
    /// told. It reads as far as that.
    ///
    /// # Errors
    ///
    /// Fails if it is nothing that is read, and if a blob cannot be read on.
    pub fn first_time_ns(self) -> Result<Option<u64>, IngestError> {
        let time = self.reader.first_time_ns();
        self.watch.unbroken()?;
        time
    }

    /// Takes the next portion, of at most so many packets.
    ///
    /// # Errors
    ///
    /// Fails if a flow log turns out to be none, and if a blob cannot be read on.
    pub fn next(&mut self, most: usize, packets: &mut Packets) -> Result<Portion, IngestError> {
        let portion = self.reader.next(most, packets);
        self.watch.unbroken()?;
        portion
    }

    /// Whether it is a capture.
    #[must_use]
    pub fn is_capture(&self) -> bool {
        matches!(self.reader, Reader::Capture(_))
    }

    /// Where it stops making sense, once the reader has come there.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match &self.reader {
            Reader::Capture(reader) => reader.damage(),
            Reader::Log(reader) => reader.damage(),
            Reader::Table(table) => table.damage(),
        }
    }
}

impl Reader {
    fn open(source: &Source, file: u32, options: &InputOptions) -> Result<Self, IngestError> {
        let (name, mut stream) = (source.name(), source.open(&options.watch)?);
        let mut head = Vec::new();
        let read = stream.by_ref().take(FIRST_BYTES as u64).read_to_end(&mut head);
        if let (Err(error), true) = (&read, head.is_empty()) {
            return Err(IngestError::io(&name, io::Error::new(error.kind(), error.to_string())));
        }
        let is_capture = Format::of(&head[..head.len().min(MAGIC_BYTES)]).is_some();
        let kind = recognise(&head).filter(|_| !is_capture);
        let is_log = !is_capture && kind.is_none() && begins_like_json(&head);
        if !is_capture && kind.is_none() && !is_log {
            const READ: &str = "a capture (pcap or pcapng), a flow log or a flow table";
            return Err(IngestError::content(name, foreign(&head, READ)));
        }
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(Fault(read.err())).chain(stream));
        Ok(match (kind, source) {
            // The parts of such a file are found from its end: better in the file itself.
            (Some(Kind::Parquet), Source::File(path)) if !source.is_stdin() => {
                Self::Table(Box::new(FlowTable::open(path, file, &options.columns)?))
            }
            (Some(_), _) => {
                Self::Table(Box::new(FlowTable::from_reader(name, file, whole, &options.columns)?))
            }
            (None, _) if is_log => Self::Log(LogReader::from_reader(name, file, whole)),
            (None, _) => {
                Self::Capture(CaptureReader::from_reader(name, file, whole)?.with_tunnels(options.tunnels))
            }
        })
    }

    fn first_time_ns(mut self) -> Result<Option<u64>, IngestError> {
        match &mut self {
            Self::Capture(reader) => {
                let mut first = Records::default();
                reader.read_batch(1, &mut first)?;
                Ok(first.iter().next().and_then(|record| record.time_ns))
            }
            Self::Log(reader) => {
                while let Some(texts) = reader.next_batch()? {
                    if let Some(flow) = texts.parse().into_iter().flatten().flatten().next() {
                        return Ok(flow.time_ns);
                    }
                }
                Ok(None)
            }
            Self::Table(table) => {
                let mut rows = Vec::new();
                while table.read_batch(1, &mut rows)? > 0 {
                    if let Some(time_ns) = rows.drain(..).flatten().find_map(|flow| flow.time_ns) {
                        return Ok(Some(time_ns));
                    }
                }
                Ok(None)
            }
        }
    }

    fn next(&mut self, most: usize, packets: &mut Packets) -> Result<Portion, IngestError> {
        match self {
            Self::Capture(reader) => {
                let read = match &mut packets.frames {
                    Some(frames) => reader.read_batch_with_frames(most, &mut packets.records, frames)?,
                    None => reader.read_batch(most, &mut packets.records)?,
                };
                Ok(if read == 0 { Portion::End } else { Portion::Packets })
            }
            Self::Log(reader) => Ok(reader.next_batch()?.map_or(Portion::End, Portion::Texts)),
            Self::Table(table) => {
                let mut rows = Vec::new();
                let read = table.read_batch(most, &mut rows)?;
                Ok(if read == 0 { Portion::End } else { Portion::Rows(rows) })
            }
        }
    }
}

/// A fault that is met once: a stream that was looked into before need not tell of it again.
struct Fault(Option<io::Error>);

impl Read for Fault {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
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
    /// Rows of a table.
    Rows(Vec<Result<RecordedFlow, Skipped>>),
    /// Nothing: it has come to its end.
    End,
}

/// Whether text begins as JSON does that holds anything: with a bracket, behind a byte order mark or white space.
fn begins_like_json(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}
