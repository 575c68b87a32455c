//! Flow tables: CSV, JSON, Parquet, the `conn.log` of Zeek, and the text form of AWS VPC flow logs.
//!
//! In: a file or stream with a row for each flow, recognised by its first bytes and never by its name. Out: the
//! [`RecordedFlow`]s of each row in the order of the file, what was [`Skipped`], and where the file stops making sense.
//! One row is held at a time, of Parquet one batch. Knows nothing of networks.
//!
//! Which column says what is read off the columns' names, of which those of Traffic Analytics, Zeek, AWS and nsgsim's own
//! rows are known among others; [`Columns`] says it for all the rest.
//!
//! LIMIT: a row is taken for a whole flow that its source began. Traffic Analytics adds up flows that differ in their
//! source port alone, of which there is then none. AWS writes a row for each way of a flow and for each stretch of time,
//! and no column tells that a row is an answer or goes on.

mod aws;
mod cells;
mod columns;
mod csv;
mod json;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod recognise;
mod row;
mod time;
mod zeek;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::Damage;
use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::record::Location;
use crate::model::recorded::RecordedFlow;

use cells::Cells;
pub use columns::{Columns, ColumnsError};
pub use recognise::{FIRST_BYTES, Kind, recognise};

/// The most bytes that one row may take.
///
/// The longest text that Log Analytics keeps has 64 kB. What is far longer is no row of a table and would fill the
/// memory.
const LONGEST: usize = 1 << 20;

/// A table with a row for each flow, read from its beginning to its end or to where it stops making sense.
pub struct FlowTable {
    name: String,
    file: u32,
    kind: Kind,
    rows: Box<dyn Rows>,
    cells: Cells,
    /// Bytes of the byte order mark, which the rows know nothing of.
    mark: u64,
    /// Rows so far, those skipped included.
    read: u64,
    ended: bool,
    damage: Option<Damage>,
}

/// A row, or one entry of it, that gave no flow. Everything around it counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// Where it stands: the number is the row's, from 1.
    pub location: Location,
    /// File and row in words: `flows.csv: row 17`.
    pub place: String,
    /// Why it was skipped.
    pub cause: SkipCause,
    /// What stands there and what was expected: ``column `dst_port`: `70000`: expected a number up to 65535``.
    pub message: String,
}

/// Why a row gave no flow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SkipCause {
    /// It cannot be read.
    Unreadable,
    /// It can be read and tells of no flow: a time without traffic, another sort of record.
    NoFlow,
}

impl FlowTable {
    /// Opens a file or standard input. `file` is its position in the run's list of inputs.
    ///
    /// The parts of a Parquet file are found from its end: from a pipe, or compressed as a whole, it is put into a
    /// temporary file first.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened, is no flow table, or lacks a column without which there is no flow.
    pub fn open(path: &Path, file: u32, columns: &Columns) -> Result<Self, IngestError> {
        let name = source::shown(path);
        let error = |error| IngestError::io(&name, error);
        // What is no file cannot be gone back in, not even for a look at its first bytes.
        if !source::is_stdin(path) && fs::metadata(path).map_err(error)?.is_file() {
            let plain = File::open(path).map_err(error)?;
            let mut first = Vec::new();
            (&plain).take(recognise::PARQUET.len() as u64).read_to_end(&mut first).map_err(error)?;
            if first == recognise::PARQUET {
                return Self::over(name, file, Kind::Parquet, |name, cells| {
                    parquet_rows(name, plain, columns, cells)
                });
            }
        }
        Self::from_reader(name, file, source::open(path)?, columns)
    }

    /// Takes a stream that is unpacked already; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// Fails if the first bytes cannot be read or are not those of a flow table, or if a column is lacking without which
    /// there is no flow.
    pub fn from_reader(
        name: impl Into<String>,
        file: u32,
        mut reader: Box<dyn Read + Send>,
        columns: &Columns,
    ) -> Result<Self, IngestError> {
        let name = name.into();
        let mut first = Vec::new();
        let read = reader.by_ref().take(FIRST_BYTES as u64).read_to_end(&mut first);
        read.map_err(|error| IngestError::io(&name, error))?;
        let Some(kind) = recognise(&first) else {
            return Err(IngestError::content(name, recognise::foreign(&first)));
        };
        let unmarked = recognise::unmarked(&first);
        let mark = (first.len() - unmarked.len()) as u64;
        let first = unmarked.to_vec();
        let form = recognise::json_form(&first);
        let delimiter = recognise::delimiter(&first);
        let whole: Box<dyn Read + Send> = Box::new(io::Cursor::new(first).chain(reader));
        let table = Self::over(name, file, kind, |name, cells| {
            Ok(match kind {
                Kind::Csv => Box::new(csv::CsvRows::open(name, whole, delimiter, columns, cells)?),
                Kind::Json => Box::new(json::JsonRows::open(name, whole, form, columns)?),
                Kind::Zeek => Box::new(zeek::ZeekRows::open(name, whole, columns, cells)?),
                Kind::Aws => Box::new(aws::AwsRows::open(name, whole, columns, cells)?),
                Kind::Parquet => return parquet_rows(name, spooled(name, whole)?, columns, cells),
            })
        })?;
        Ok(Self { mark, ..table })
    }

    fn over(
        name: String,
        file: u32,
        kind: Kind,
        open: impl FnOnce(&str, &mut Cells) -> Result<Box<dyn Rows>, IngestError>,
    ) -> Result<Self, IngestError> {
        let mut cells = Cells::default();
        let rows = open(&name, &mut cells)?;
        Ok(Self { name, file, kind, rows, cells, mark: 0, read: 0, ended: false, damage: None })
    }

    /// Reads up to `most` rows, appends what they hold to `into`, and returns the number of rows: 0 at the end.
    ///
    /// A row appends at least one item, and more than one where Traffic Analytics has put several public addresses into
    /// it: a flow for each of them, under the number of the one row.
    ///
    /// # Errors
    ///
    /// None at present: a stream that breaks off ends the table as [`FlowTable::damage`].
    pub fn read_batch(
        &mut self,
        most: usize,
        into: &mut Vec<Result<RecordedFlow, Skipped>>,
    ) -> Result<usize, IngestError> {
        let mut count = 0;
        while count < most && !self.ended {
            self.cells.clear();
            let next = self.rows.next(&mut self.cells);
            let (cause, message) = match next {
                Next::End => {
                    self.ended = true;
                    break;
                }
                Next::Lost(Lost { offset, unread_bytes, message }) => {
                    self.ended = true;
                    let offset = self.mark + offset;
                    self.damage = Some(Damage { after_record: self.read, offset, unread_bytes, message });
                    break;
                }
                Next::Row => {
                    self.read += 1;
                    count += 1;
                    let location = Location { file: self.file, number: self.read };
                    match row::read(&self.cells, location, &mut |flow| into.push(Ok(flow))) {
                        Ok(()) => continue,
                        Err(row::Refused { cause, message }) => (cause, message + &self.rows.remark()),
                    }
                }
                Next::Bad(message) => {
                    self.read += 1;
                    count += 1;
                    (SkipCause::Unreadable, message)
                }
            };
            let location = Location { file: self.file, number: self.read };
            let place = format!("{}: row {}", self.name, self.read);
            into.push(Err(Skipped { location, place, cause, message }));
        }
        Ok(count)
    }

    /// What sort of table it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many rows were read so far, those skipped included.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.read
    }

    /// How many bytes of the unpacked stream were taken so far; of Parquet, how many of the file.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.mark + self.rows.taken()
    }

    /// Where the table stops making sense, once the reader has come there. Records are rows here.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

/// A format, row after row.
trait Rows: Send {
    /// Puts the next row's values into the cells, which are clear.
    fn next(&mut self, cells: &mut Cells) -> Next;

    /// Bytes taken so far.
    fn taken(&self) -> u64;

    /// What else is odd about the last row, to be said behind a complaint about it; empty or begins with a space.
    fn remark(&self) -> String {
        String::new()
    }
}

/// What comes next in a table.
enum Next {
    /// A row, which is in the cells.
    Row,
    /// A row that cannot be taken apart.
    Bad(String),
    /// The end.
    End,
    /// No further row can be found.
    Lost(Lost),
}

/// Where and why no further row can be found.
struct Lost {
    /// As in [`Damage::offset`].
    offset: u64,
    /// As in [`Damage::unread_bytes`].
    unread_bytes: Option<u64>,
    message: String,
}

impl Lost {
    /// A stream that cannot be read on.
    fn unreadable(offset: u64, after_row: u64, error: &io::Error) -> Self {
        let message = format!("after row {after_row}: cannot be read on: {error}");
        Self { offset, unread_bytes: None, message }
    }
}

/// A stream as a file that can be gone back in.
fn spooled(name: &str, mut stream: impl Read) -> Result<File, IngestError> {
    let error = |error| IngestError::io(name, error);
    let mut file = tempfile::tempfile().map_err(error)?;
    io::copy(&mut stream, &mut file).map_err(error)?;
    Ok(file)
}

#[cfg(feature = "parquet")]
fn parquet_rows(
    name: &str,
    file: File,
    columns: &Columns,
    cells: &mut Cells,
) -> Result<Box<dyn Rows>, IngestError> {
    Ok(Box::new(parquet::ParquetRows::open(name, file, columns, cells)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet_rows(name: &str, _: File, _: &Columns, _: &mut Cells) -> Result<Box<dyn Rows>, IngestError> {
    let message = "this nsgsim was built without Parquet: build it with the feature `parquet`";
    Err(IngestError::content(name, message))
}
