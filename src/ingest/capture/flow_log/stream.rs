//! The records of a log, one text at a time.
//!
//! A part of the stream is kept at a time, a few records long, and the JSON parser itself says where each record ends.

use std::io::{self, Read};
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::ingest::capture::Damage;
use crate::ingest::error::IngestError;

/// The most that one record may take, or another value of the blob.
///
/// A tuple has about 100 bytes and Azure tracks at most a million flows of a machine; what is longer than this is no
/// minute of one NIC, and would fill the memory.
const LONGEST: usize = 256 << 20;

/// How much is read at a time: so many bytes at least, and so many times the longest record so far.
const READ_TOGETHER: usize = 1 << 16;
const RECORDS_TOGETHER: usize = 4;
const MOST_TOGETHER: usize = 16 << 20;

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
    each: impl FnMut(u64, &str) -> ControlFlow<()>,
) -> Result<End, IngestError> {
    records_up_to(LONGEST, name, stream, each)
}

fn records_up_to(
    longest: usize,
    name: &str,
    stream: impl Read,
    mut each: impl FnMut(u64, &str) -> ControlFlow<()>,
) -> Result<End, IngestError> {
    let mut walk = Walk { window: Window::new(stream), longest, whole: 0, after: 0 };
    walk.head().map_err(|wrong| walk.refusal(name, wrong))?;
    walk.after = walk.window.position();
    let damage = match walk.list(&mut each) {
        Ok(()) => None,
        Err(wrong) => Some(walk.damage(wrong)),
    };
    Ok(End { records: walk.whole, bytes_read: walk.window.taken, damage })
}

/// Why a walk cannot go on.
enum Wrong {
    /// The stream ended.
    Ended,
    /// The stream cannot be read on.
    Unreadable(io::Error),
    /// What stands there is not what is expected.
    Text(String),
    /// So it is with the record that begins here.
    InRecord(Box<Wrong>),
}

/// A walk through a log.
struct Walk<R> {
    window: Window<R>,
    longest: usize,
    /// Records that were read whole.
    whole: u64,
    /// Where the last of them ends, or the list begins.
    after: u64,
}

impl<R: Read> Walk<R> {
    /// Comes to the first record, past what stands before the list.
    fn head(&mut self) -> Result<(), Wrong> {
        self.window.fill_to(MARK.len());
        if self.window.bytes().starts_with(MARK) {
            self.window.skip(MARK.len());
        }
        self.expect(b'{')?;
        if self.window.peek()? == b'}' {
            return Err(Wrong::Text("has no member `records`".to_owned()));
        }
        loop {
            if self.member()? == "records" {
                return match self.window.peek()? {
                    b'[' => {
                        self.window.skip(1);
                        Ok(())
                    }
                    // It says what stands there in place of a list.
                    _ => self.value::<Vec<IgnoredAny>>().map(drop),
                };
            }
            self.value::<IgnoredAny>()?;
            if self.window.peek()? == b'}' {
                return Err(Wrong::Text("has no member `records`".to_owned()));
            }
            self.expect(b',')?;
        }
    }

    /// Takes the records of the list, and what stands behind it.
    fn list(&mut self, each: &mut impl FnMut(u64, &str) -> ControlFlow<()>) -> Result<(), Wrong> {
        if self.window.peek()? == b']' {
            return self.tail();
        }
        loop {
            self.window.peek()?;
            let record = self.record(each).map_err(|wrong| Wrong::InRecord(Box::new(wrong)))?;
            let ControlFlow::Continue(length) = record else { return Ok(()) };
            self.window.skip(length);
            self.after = self.window.position();
            match self.window.peek()? {
                b',' => self.window.skip(1),
                b']' => return self.tail(),
                other => {
                    return Err(Wrong::Text(format!("`{}`: expected `,` or `]`", other.escape_ascii())));
                }
            }
        }
    }

    /// Hands on the record that the window begins with. Returns its length in bytes.
    fn record(
        &mut self,
        each: &mut impl FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<ControlFlow<(), usize>, Wrong> {
        let longest = self.longest;
        let too_long = || {
            let message = format!("a record of more than {longest} bytes, the most that is read");
            Err(Wrong::Unreadable(io::Error::new(io::ErrorKind::FileTooLarge, message)))
        };
        loop {
            let bytes = self.window.bytes();
            let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
            let (read, length) = (values.next(), values.byte_offset());
            match read {
                Some(Ok(record)) if length < bytes.len() || self.window.ended => {
                    if length > longest {
                        return too_long();
                    }
                    self.whole += 1;
                    let flow = each(self.whole, record.get());
                    let together = (RECORDS_TOGETHER * length).min(MOST_TOGETHER);
                    self.window.together = self.window.together.max(together);
                    return Ok(match flow {
                        ControlFlow::Continue(()) => ControlFlow::Continue(length),
                        ControlFlow::Break(()) => ControlFlow::Break(()),
                    });
                }
                Some(Err(error)) if !error.is_eof() => {
                    return Err(Wrong::Text(format!("{error} of the record")));
                }
                // What is here ends in the midst of it, or may do so: a number goes on.
                _ if self.window.ended => return Err(self.window.end()),
                _ if bytes.len() > longest => return too_long(),
                _ => {}
            }
            let wanted = bytes.len() * 2;
            self.window.fill_to(wanted);
        }
    }

    /// Takes what stands behind the records.
    fn tail(&mut self) -> Result<(), Wrong> {
        self.expect(b']')?;
        while self.window.peek()? == b',' {
            self.window.skip(1);
            if self.member()? == "records" {
                return Err(Wrong::Text("a second list `records`".to_owned()));
            }
            self.value::<IgnoredAny>()?;
        }
        self.expect(b'}')?;
        match self.window.peek() {
            Err(Wrong::Ended) => Ok(()),
            Err(wrong) => Err(wrong),
            Ok(_) => Err(Wrong::Text("trailing characters".to_owned())),
        }
    }

    /// The name of a member, up to its value.
    fn member(&mut self) -> Result<String, Wrong> {
        let name = self.value()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// A value outside of records.
    fn value<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, Wrong> {
        self.window.peek()?;
        loop {
            let bytes = self.window.bytes();
            let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<T>();
            let (read, length) = (values.next(), values.byte_offset());
            match read {
                Some(Ok(value)) if length < bytes.len() || self.window.ended => {
                    self.window.skip(length);
                    return Ok(value);
                }
                Some(Err(error)) if !error.is_eof() => return Err(Wrong::Text(error.to_string())),
                _ if self.window.ended => return Err(self.window.end()),
                _ if bytes.len() > LONGEST => {
                    return Err(Wrong::Text(format!("a value of more than {LONGEST} bytes")));
                }
                _ => {}
            }
            let wanted = bytes.len() * 2;
            self.window.fill_to(wanted);
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Wrong> {
        let found = self.window.peek()?;
        if found != byte {
            let (found, expected) = (found.escape_ascii(), char::from(byte));
            return Err(Wrong::Text(format!("`{found}` where `{expected}` should stand")));
        }
        self.window.skip(1);
        Ok(())
    }

    /// What to say of a stream in which no list of records was found.
    fn refusal(&self, name: &str, wrong: Wrong) -> IngestError {
        match wrong {
            Wrong::Unreadable(error) => IngestError::io(name, error),
            Wrong::Ended if self.window.taken == 0 => foreign(name, "the file is empty"),
            Wrong::Ended => foreign(name, "the file ends before its list `records`"),
            Wrong::Text(message) => foreign(name, &message),
            Wrong::InRecord(wrong) => self.refusal(name, *wrong),
        }
    }

    /// Where and why the walk ended too early.
    fn damage(&mut self, wrong: Wrong) -> Damage {
        let after_record = self.whole;
        let (is_inside, wrong) = match wrong {
            Wrong::InRecord(wrong) => (true, *wrong),
            wrong => (false, wrong),
        };
        let (place, offset) = match is_inside {
            true => (format!("record {}", after_record + 1), self.window.position()),
            false => (format!("after record {after_record}"), self.after),
        };
        let (message, readable) = match wrong {
            Wrong::Ended if is_inside => (format!("the file ends inside {place}"), true),
            Wrong::Ended => (format!("the file ends {place}, before the end of its list"), true),
            Wrong::Unreadable(error) => (format!("{place}: cannot be read on: {error}"), false),
            Wrong::Text(message) => (format!("{place}: {message}"), true),
            Wrong::InRecord(_) => unreachable!("it was taken apart"),
        };
        let unread_bytes = (readable && self.window.drain().is_ok()).then(|| self.window.taken - offset);
        Damage { after_record, offset, unread_bytes, message }
    }
}

fn foreign(name: &str, what: &str) -> IngestError {
    IngestError::content(name, format!("{what}: expected a flow log (an object with the list `records`)"))
}

/// The part of a stream that is kept.
struct Window<R> {
    stream: R,
    buffer: Vec<u8>,
    /// What of the buffer was passed.
    at: usize,
    /// How much is read at a time.
    together: usize,
    /// Bytes taken from the stream.
    taken: u64,
    /// The stream has ended, or cannot be read on.
    ended: bool,
    /// Why it cannot be read on: told once what came before is used up.
    error: Option<io::Error>,
}

impl<R: Read> Window<R> {
    fn new(stream: R) -> Self {
        let (buffer, at, together) = (Vec::new(), 0, READ_TOGETHER);
        Self { stream, buffer, at, together, taken: 0, ended: false, error: None }
    }

    /// What is kept and was not passed.
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Where that stands in the stream.
    fn position(&self) -> u64 {
        self.taken - self.bytes().len() as u64
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Reads until so many bytes are kept, or the stream ends.
    fn fill_to(&mut self, wanted: usize) {
        if self.ended || self.bytes().len() >= wanted {
            return;
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let missing = wanted.max(self.together) - self.buffer.len();
        let before = self.buffer.len();
        let read = (&mut self.stream).take(missing as u64).read_to_end(&mut self.buffer);
        let count = self.buffer.len() - before;
        self.taken += count as u64;
        self.ended = read.is_err() || count < missing;
        self.error = read.err();
    }

    /// Why there is no more, once the stream has ended.
    fn end(&mut self) -> Wrong {
        self.error.take().map_or(Wrong::Ended, Wrong::Unreadable)
    }

    /// The next byte that is no white space, which is not passed.
    fn peek(&mut self) -> Result<u8, Wrong> {
        loop {
            let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\n' | b'\r');
            let blanks = self.bytes().iter().take_while(blank).count();
            self.skip(blanks);
            if let Some(byte) = self.bytes().first() {
                return Ok(*byte);
            }
            if self.ended {
                return Err(self.end());
            }
            self.fill_to(1);
        }
    }

    /// Reads to the end and keeps nothing.
    fn drain(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if !self.ended {
            self.taken += io::copy(&mut self.stream, &mut io::sink())?;
            self.buffer.clear();
            (self.at, self.ended) = (0, true);
        }
        Ok(())
    }
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
            seen.push((number, text.len()));
            ControlFlow::Continue(())
        });
        let damage = end.unwrap().damage.unwrap();
        assert_eq!(seen, [(1, 7)]);
        assert_eq!((damage.after_record, damage.offset, damage.unread_bytes), (1, 20, None));
        assert_eq!(
            damage.message,
            "record 2: cannot be read on: a record of more than 500 bytes, the most that is read"
        );
        // What stands outside of records has its own bound.
        let text = text.replacen(&long, "short", 1);
        let end = records_up_to(500, "log", text.as_bytes(), |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((end.records, end.damage), (3, None));
    }
}
