//! The records of a log, one text at a time.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::ingest::capture::Damage;
use crate::ingest::error::IngestError;

/// The most that one record may take.
///
/// A tuple has about 100 bytes and Azure tracks at most a million flows of a machine; what is longer than this is no
/// minute of one NIC, and would fill the memory.
const LONGEST: u64 = 256 << 20;

/// A byte order mark, which editors put before JSON that they save.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What walking a log came to.
pub(super) struct End {
    /// Whole records.
    pub(super) records: u64,
    /// Bytes taken.
    pub(super) bytes_read: u64,
    /// Where the file stops making sense.
    pub(super) damage: Option<Damage>,
}

/// Hands each record's number, from 1, and text to `each`, until that has enough.
pub(super) fn records(
    name: &str,
    stream: impl Read,
    each: impl FnMut(u64, Box<RawValue>) -> ControlFlow<()>,
) -> Result<End, IngestError> {
    records_up_to(LONGEST, name, stream, each)
}

fn records_up_to(
    longest: u64,
    name: &str,
    stream: impl Read,
    each: impl FnMut(u64, Box<RawValue>) -> ControlFlow<()>,
) -> Result<End, IngestError> {
    let mut buffered = BufReader::with_capacity(1 << 16, stream);
    let mut head = Vec::with_capacity(MARK.len());
    let read = buffered.by_ref().take(MARK.len() as u64).read_to_end(&mut head);
    read.map_err(|error| IngestError::io(name, error))?;
    let marked = head == MARK;
    let progress = Progress::default();
    progress.taken.set(if marked { MARK.len() as u64 } else { 0 });
    let rest = if marked { Vec::new() } else { head };
    let mut counted = Counted { inner: io::Cursor::new(rest).chain(buffered), progress: &progress, longest };
    let outcome = {
        let mut json = serde_json::Deserializer::from_reader(&mut counted);
        let walked = json.deserialize_map(Blob { progress: &progress, each });
        walked.and_then(|()| json.end())
    };
    let damage = match outcome {
        _ if progress.enough.get() => None,
        Ok(()) if progress.seen.get() => None,
        Ok(()) => return Err(foreign(name, "has no member `records`")),
        Err(error) if !progress.seen.get() => return Err(not_begun(name, &progress, error)),
        Err(error) => Some(damage(error, &progress, &mut counted)),
    };
    Ok(End { records: progress.whole.get(), bytes_read: progress.taken.get(), damage })
}

/// How far the walk has come. Shared between the reader, which counts bytes, and the visitors, which know what they are.
#[derive(Default)]
struct Progress {
    /// Bytes taken from the stream.
    taken: Cell<u64>,
    /// Whether the list of records has begun.
    seen: Cell<bool>,
    /// Where the record begins that is being read.
    inside: Cell<Option<u64>>,
    /// Where the last whole record ends, or the list begins.
    after: Cell<u64>,
    /// How many records were read whole.
    whole: Cell<u64>,
    /// Whether no more are wanted.
    enough: Cell<bool>,
}

/// Counts what is read, and ends a record that is too long.
struct Counted<'p, R> {
    inner: R,
    progress: &'p Progress,
    longest: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.progress.taken.get();
        if self.progress.inside.get().is_some_and(|start| taken - start >= self.longest) {
            let message = format!("a record of more than {} bytes, the most that is read", self.longest);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let count = self.inner.read(into)?;
        self.progress.taken.set(taken + count as u64);
        Ok(count)
    }
}

/// The blob: an object that has the list.
struct Blob<'p, F> {
    progress: &'p Progress,
    each: F,
}

impl<'de, F: FnMut(u64, Box<RawValue>) -> ControlFlow<()>> Visitor<'de> for Blob<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the list `records`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key::<String>()? {
            if member == "records" {
                map.next_value_seed(Records { progress: self.progress, each: &mut self.each })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list.
struct Records<'p, 'f, F> {
    progress: &'p Progress,
    each: &'f mut F,
}

impl<'de, F: FnMut(u64, Box<RawValue>) -> ControlFlow<()>> DeserializeSeed<'de> for Records<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(u64, Box<RawValue>) -> ControlFlow<()>> Visitor<'de> for Records<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list `records`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let progress = self.progress;
        progress.seen.set(true);
        progress.after.set(progress.taken.get());
        while let Some(text) = list.next_element_seed(Element(progress))? {
            progress.inside.set(None);
            progress.after.set(progress.taken.get());
            progress.whole.set(progress.whole.get() + 1);
            if (self.each)(progress.whole.get(), text).is_break() {
                progress.enough.set(true);
                return Err(serde::de::Error::custom("no more are wanted"));
            }
        }
        Ok(())
    }
}

/// One record: its text is kept whatever it says, so that a record of another shape does not end the walk.
struct Element<'p>(&'p Progress);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = Box<RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        // The list has looked at the record's first byte to tell it from the list's end.
        self.0.inside.set(Some(self.0.taken.get().saturating_sub(1)));
        serde::Deserialize::deserialize(json)
    }
}

/// Where and why the walk ended too early.
fn damage(error: serde_json::Error, progress: &Progress, stream: &mut impl Read) -> Damage {
    let after_record = progress.whole.get();
    let start = progress.inside.take();
    let offset = start.unwrap_or(progress.after.get());
    let place = match start {
        Some(_) => format!("record {}", after_record + 1),
        None => format!("after record {after_record}"),
    };
    let (message, readable) = match error.classify() {
        serde_json::error::Category::Eof if start.is_some() => {
            (format!("the file ends inside {place}"), true)
        }
        serde_json::error::Category::Eof => {
            (format!("the file ends after record {after_record}, before the end of its list"), true)
        }
        serde_json::error::Category::Io => {
            (format!("{place}: cannot be read on: {}", io::Error::from(error)), false)
        }
        serde_json::error::Category::Syntax | serde_json::error::Category::Data => {
            (format!("{place}: {error}"), true)
        }
    };
    let unread_bytes =
        (readable && io::copy(stream, &mut io::sink()).is_ok()).then(|| progress.taken.get() - offset);
    Damage { after_record, offset, unread_bytes, message }
}

/// What to say of a stream in which no list of records was found.
fn not_begun(name: &str, progress: &Progress, error: serde_json::Error) -> IngestError {
    if error.is_io() {
        return IngestError::io(name, error.into());
    }
    if progress.taken.get() == 0 {
        return foreign(name, "the file is empty");
    }
    if error.is_eof() {
        return foreign(name, "the file ends before its list `records`");
    }
    foreign(name, &error.to_string())
}

fn foreign(name: &str, what: &str) -> IngestError {
    IngestError::content(name, format!("{what}: expected a flow log (an object with the list `records`)"))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::records_up_to;

    #[test]
    fn a_record_that_is_too_long_ends_the_log() {
        let long = "x".repeat(1000);
        let text = format!(r#"{{"records":["short","{long}","short"],"other":"{long}"}}"#);
        let mut seen = Vec::new();
        let end = records_up_to(500, "log", text.as_bytes(), |number, text| {
            seen.push((number, text.get().len()));
            ControlFlow::Continue(())
        });
        let damage = end.unwrap().damage.unwrap();
        assert_eq!(seen, [(1, 7)]);
        assert_eq!((damage.after_record, damage.offset, damage.unread_bytes), (1, 20, None));
        assert_eq!(
            damage.message,
            "record 2: cannot be read on: a record of more than 500 bytes, the most that is read"
        );
        // What stands outside of records is not kept, so it may be of any length.
        let text = text.replacen(&long, "short", 1);
        let end = records_up_to(500, "log", text.as_bytes(), |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((end.records, end.damage), (3, None));
    }
}
