//! CSV with a header line, parted by commas, tabs or semicolons.

use std::io::{self, Read};

use super::cells::Cells;
use super::columns::{Columns, Field};
use super::{LONGEST, Lost, Next, Rows};
use crate::ingest::capture::shorten;
use crate::ingest::error::IngestError;

/// How much of the stream is read at once.
const BUFFER: usize = 1 << 16;

pub(super) struct CsvRows {
    reader: ::csv::Reader<Bounded>,
    record: ::csv::ByteRecord,
    positions: Vec<(Field, usize)>,
    /// How many columns the header has.
    columns: usize,
    rows: u64,
    /// The line on which the last row begins.
    line: u64,
}

impl CsvRows {
    pub(super) fn open(
        name: &str,
        stream: Box<dyn Read + Send>,
        delimiter: u8,
        columns: &Columns,
        cells: &mut Cells,
    ) -> Result<Self, IngestError> {
        let bounded = Bounded { stream, taken: 0, until: (LONGEST + BUFFER) as u64 };
        let mut reader = ::csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER)
            .from_reader(bounded);
        let mut header = ::csv::ByteRecord::new();
        reader.read_byte_record(&mut header).map_err(|error| IngestError::io(name, error.into()))?;
        let names: Vec<String> =
            header.iter().map(|column| String::from_utf8_lossy(column).trim().to_owned()).collect();
        let positions = columns.positions(&names).map_err(|message| IngestError::content(name, message))?;
        for (field, position) in &positions {
            cells.name(*field, &names[*position]);
        }
        let record = ::csv::ByteRecord::new();
        Ok(Self { reader, record, positions, columns: names.len(), rows: 0, line: 0 })
    }
}

impl Rows for CsvRows {
    fn next(&mut self, cells: &mut Cells) -> Next {
        let offset = self.reader.position().byte();
        self.reader.get_mut().until = offset + (LONGEST + BUFFER) as u64;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Next::End,
            Err(error) => return Next::Lost(Lost::unreadable(offset, self.rows, &error.into())),
        }
        self.rows += 1;
        self.line = self.record.position().map_or(0, ::csv::Position::line);
        if self.record.len() != self.columns {
            let (found, expected) = (self.record.len(), self.columns);
            return Next::Bad(format!("has {found} columns: the header has {expected}{}", self.remark()));
        }
        for (field, position) in &self.positions {
            let value = &self.record[*position];
            let Ok(text) = std::str::from_utf8(value) else {
                let (column, text) = (cells.column(*field), String::from_utf8_lossy(value));
                return Next::Bad(format!("column `{column}`: `{}`: expected UTF-8", shorten(&text)));
            };
            cells.set(*field, text);
        }
        Next::Row
    }

    fn taken(&self) -> u64 {
        self.reader.get_ref().taken
    }

    /// A quotation mark that is not closed swallows the rows behind it, which then have no number of their own.
    fn remark(&self) -> String {
        if self.reader.position().line() <= self.line + 1 {
            return String::new();
        }
        format!(
            " (the row begins on line {} and goes on over several: perhaps a quotation mark is not closed)",
            self.line
        )
    }
}

/// Ends a row that is too long.
struct Bounded {
    stream: Box<dyn Read + Send>,
    taken: u64,
    /// How many bytes may be taken before the row that is being read has to end.
    until: u64,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken >= self.until {
            let message = format!("a row of more than {LONGEST} bytes, the most that is read");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let count = self.stream.read(into)?;
        self.taken += count as u64;
        Ok(count)
    }
}
