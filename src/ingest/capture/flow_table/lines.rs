//! A stream line by line, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};

use super::LONGEST;

/// Reads lines of up to [`LONGEST`] bytes.
pub(super) struct Lines {
    stream: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    taken: u64,
}

/// What comes next in a stream.
pub(super) enum Line {
    /// A line, without its end, in [`Lines::text`].
    Whole,
    /// A line that is too long, or no UTF-8; it was passed over.
    Bad(String),
    /// The end of the stream.
    End,
    /// The stream cannot be read on.
    Broken(io::Error),
}

impl Lines {
    pub(super) fn new(stream: Box<dyn Read + Send>) -> Self {
        Self { stream: BufReader::with_capacity(1 << 16, stream), line: Vec::new(), taken: 0 }
    }

    /// Goes to the next line.
    pub(super) fn advance(&mut self) -> Line {
        self.line.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let bytes = match self.stream.fill_buf() {
                Ok([]) => break,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Line::Broken(error),
            };
            any = true;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() > LONGEST {
                too_long = true;
            } else {
                self.line.extend_from_slice(part);
            }
            let count = part.len() + usize::from(end.is_some());
            self.stream.consume(count);
            self.taken += count as u64;
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Line::End;
        }
        if too_long {
            return Line::Bad(format!("more than {LONGEST} bytes, the most that is read of a row"));
        }
        if self.line.ends_with(b"\r") {
            self.line.pop();
        }
        match std::str::from_utf8(&self.line) {
            Ok(_) => Line::Whole,
            Err(_) => Line::Bad(format!(
                "`{}`: expected UTF-8",
                crate::ingest::capture::shorten(&String::from_utf8_lossy(&self.line))
            )),
        }
    }

    /// The line that [`Lines::advance`] came to.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.line).expect("a whole line is UTF-8")
    }

    /// Reads to the end and returns how many bytes that were; `None` if it cannot be read.
    pub(super) fn drain(&mut self) -> Option<u64> {
        let count = io::copy(&mut self.stream, &mut io::sink()).ok()?;
        self.taken += count;
        Some(count)
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }
}
