//! The part of a stream that is being looked at.

use std::io::{self, Read};

/// Bytes asked for at once.
const STEP: usize = 1 << 18;

/// A stream with the bytes that were read and not yet taken.
pub(super) struct Window {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    taken: u64,
}

impl Window {
    /// The window at the stream's beginning.
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, buffer: vec![0; STEP], start: 0, end: 0, taken: 0 }
    }

    /// What was read and not yet taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// How many bytes were taken so far: the place of the first byte of [`Window::bytes`] in the stream.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes `count` bytes and returns them.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let taken = self.start..self.start + count;
        self.start += count;
        self.taken += count as u64;
        debug_assert!(self.start <= self.end);
        &self.buffer[taken]
    }

    /// Reads on, once. Returns whether there was anything more.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // Doubles only when that much is really there, so a length field full of ones takes no memory.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until `count` bytes are there. Returns whether they are; fewer only at the stream's end.
    pub(super) fn fill_to(&mut self, count: usize) -> io::Result<bool> {
        while self.bytes().len() < count {
            if !self.fill()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the rest of the stream away and counts it, together with what was not taken.
    pub(super) fn drain(&mut self) -> io::Result<u64> {
        let mut count = self.bytes().len() as u64;
        (self.start, self.end) = (0, 0);
        while self.fill()? {
            count += self.end as u64;
            self.end = 0;
        }
        Ok(count)
    }
}
