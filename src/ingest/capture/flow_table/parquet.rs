//! Parquet, one batch of rows at a time, of those columns alone that say something.

use std::cell::Cell;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;

use super::cells::Cells;
use super::columns::{Columns, Field};
use super::{Lost, Next, Rows};
use crate::ingest::capture::shorten;
use crate::ingest::error::IngestError;

/// How many rows are unpacked at once.
const BATCH: usize = 1024;

pub(super) struct ParquetRows {
    reader: SerializedFileReader<File>,
    columns: Vec<Column>,
    /// Row groups that were begun.
    groups: usize,
    /// A reader for each of the columns, inside a row group.
    readers: Vec<ColumnReader>,
    /// How many rows of the row group are still to come.
    left: u64,
    /// A batch of values for each of the columns.
    batch: Vec<Vec<Option<Value>>>,
    /// Where in the batch the next row stands, and how many rows it has.
    at: usize,
    len: usize,
    rows: u64,
    taken: u64,
}

/// A column that says something.
struct Column {
    field: Field,
    position: usize,
    meaning: Meaning,
    /// The level of definition at which there is a value.
    defined: i16,
}

/// What a column's numbers mean.
#[derive(Clone, Copy)]
enum Meaning {
    Plain,
    Unsigned,
    /// A time since 1970, in units of so many nanoseconds. Without a zone it is in UTC.
    Time(i128),
}

enum Value {
    Text(ByteArray),
    Number(i64),
    Unsigned(u64),
    Float(f64),
    Flag(bool),
    TimeNs(i128),
}

impl ParquetRows {
    pub(super) fn open(
        name: &str,
        file: File,
        columns: &Columns,
        cells: &mut Cells,
    ) -> Result<Self, IngestError> {
        let content = |message: String| IngestError::content(name, message);
        let reader =
            guarded(|| SerializedFileReader::new(file).map_err(|error| said(&error))).map_err(content)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let mut found = Vec::new();
        for (field, position) in columns.positions(&names).map_err(content)? {
            let column = schema.column(position);
            let meaning = meaning(&column).ok_or_else(|| {
                content(format!("column `{}`: expected texts, whole numbers or timestamps", names[position]))
            })?;
            cells.name(field, &names[position]);
            found.push(Column { field, position, meaning, defined: column.max_def_level() });
        }
        Ok(Self {
            reader,
            columns: found,
            groups: 0,
            readers: Vec::new(),
            left: 0,
            batch: Vec::new(),
            at: 0,
            len: 0,
            rows: 0,
            taken: 0,
        })
    }

    /// Unpacks the next rows; `false` at the end of the file.
    fn advance(&mut self) -> Result<bool, String> {
        while self.left == 0 {
            if self.groups == self.reader.num_row_groups() {
                return Ok(false);
            }
            let group = self.reader.get_row_group(self.groups).map_err(|error| said(&error))?;
            self.groups += 1;
            self.left =
                u64::try_from(group.metadata().num_rows()).map_err(|_| "a negative number of rows")?;
            self.taken += u64::try_from(group.metadata().compressed_size()).unwrap_or(0);
            let readers = self.columns.iter().map(|column| group.get_column_reader(column.position));
            self.readers = readers.collect::<Result<_, _>>().map_err(|error| said(&error))?;
        }
        (self.at, self.len) = (0, 0);
        self.batch.clear();
        for (column, reader) in self.columns.iter().zip(&mut self.readers) {
            let values = values(column, reader).map_err(|error| said(&error))?;
            if !self.batch.is_empty() && values.len() != self.len {
                return Err(format!("row group {}: its columns differ in length", self.groups));
            }
            self.len = values.len();
            self.batch.push(values);
        }
        match self.left.checked_sub(self.len as u64) {
            Some(left) if self.len > 0 => self.left = left,
            _ => return Err(format!("row group {}: its columns differ in length from itself", self.groups)),
        }
        Ok(true)
    }
}

impl Rows for ParquetRows {
    fn next(&mut self, cells: &mut Cells) -> Next {
        if self.at == self.len {
            match guarded(|| self.advance()) {
                Ok(true) => {}
                Ok(false) => return Next::End,
                Err(message) => {
                    self.len = self.at;
                    let message = format!("after row {}: {message}", self.rows);
                    return Next::Lost(Lost { offset: self.taken, unread_bytes: None, message });
                }
            }
        }
        self.rows += 1;
        let at = self.at;
        self.at += 1;
        for (column, values) in self.columns.iter().zip(&self.batch) {
            let field = column.field;
            match &values[at] {
                None => {}
                Some(Value::Text(bytes)) => match std::str::from_utf8(bytes.data()) {
                    Ok(text) => cells.set(field, text),
                    Err(_) => {
                        let (column, text) = (cells.column(field), String::from_utf8_lossy(bytes.data()));
                        return Next::Bad(format!("column `{column}`: `{}`: expected UTF-8", shorten(&text)));
                    }
                },
                Some(Value::Number(number)) => cells.set(field, &number.to_string()),
                Some(Value::Unsigned(number)) => cells.set(field, &number.to_string()),
                Some(Value::Float(number)) => cells.set(field, &number.to_string()),
                Some(Value::Flag(flag)) => cells.set(field, &flag.to_string()),
                Some(Value::TimeNs(time_ns)) if field == Field::Time => cells.set_time(field, *time_ns),
                Some(Value::TimeNs(time_ns)) => cells.set(field, &format!("{time_ns} ns")),
            }
        }
        Next::Row
    }

    fn taken(&self) -> u64 {
        self.taken
    }
}

/// What the numbers of a column mean; `None` for columns whose values are none of texts, numbers and times.
fn meaning(column: &ColumnDescriptor) -> Option<Meaning> {
    if column.max_rep_level() > 0 {
        return None;
    }
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::MILLIS => 1_000_000,
        TimeUnit::MICROS => 1_000,
        TimeUnit::NANOS => 1,
    };
    match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
        (Physical::FIXED_LEN_BYTE_ARRAY, _, _) | (_, Some(LogicalType::Decimal(_)), _) => None,
        (_, _, ConvertedType::DECIMAL) => None,
        (Physical::INT32 | Physical::INT64, logical, converted) => match (logical, converted) {
            (Some(LogicalType::Timestamp(time)), _) => Some(Meaning::Time(unit(&time.unit))),
            (_, ConvertedType::TIMESTAMP_MILLIS) => Some(Meaning::Time(1_000_000)),
            (_, ConvertedType::TIMESTAMP_MICROS) => Some(Meaning::Time(1_000)),
            (Some(LogicalType::Integer(kind)), _) if !kind.is_signed => Some(Meaning::Unsigned),
            (
                _,
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Some(Meaning::Unsigned),
            (None | Some(LogicalType::Integer(_)), _) => Some(Meaning::Plain),
            (Some(_), _) => None,
        },
        _ => Some(Meaning::Plain),
    }
}

/// The next values of a column.
fn values(column: &Column, reader: &mut ColumnReader) -> Result<Vec<Option<Value>>, ParquetError> {
    let meaning = column.meaning;
    let defined = column.defined;
    match reader {
        ColumnReader::BoolColumnReader(reader) => read(reader, defined, Value::Flag),
        ColumnReader::Int32ColumnReader(reader) => read(reader, defined, |number: i32| match meaning {
            Meaning::Plain => Value::Number(number.into()),
            Meaning::Unsigned => Value::Unsigned(number.cast_unsigned().into()),
            Meaning::Time(unit_ns) => Value::TimeNs(i128::from(number) * unit_ns),
        }),
        ColumnReader::Int64ColumnReader(reader) => read(reader, defined, |number: i64| match meaning {
            Meaning::Plain => Value::Number(number),
            Meaning::Unsigned => Value::Unsigned(number.cast_unsigned()),
            Meaning::Time(unit_ns) => Value::TimeNs(i128::from(number) * unit_ns),
        }),
        ColumnReader::Int96ColumnReader(reader) => read(reader, defined, |time| {
            // Nanoseconds of a day, the lower half first, and the Julian day, of which 2,440,588 is 1970-01-01.
            let data = time.data();
            let of_day = (i128::from(data[1]) << 32) + i128::from(data[0]);
            Value::TimeNs((i128::from(data[2]) - 2_440_588) * 86_400_000_000_000 + of_day)
        }),
        ColumnReader::FloatColumnReader(reader) => {
            read(reader, defined, |number: f32| Value::Float(number.into()))
        }
        ColumnReader::DoubleColumnReader(reader) => read(reader, defined, Value::Float),
        ColumnReader::ByteArrayColumnReader(reader) => read(reader, defined, Value::Text),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            read(reader, defined, |bytes| Value::Text(bytes.into()))
        }
    }
}

fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    defined: i16,
    value: impl Fn(T::T) -> Value,
) -> Result<Vec<Option<Value>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    if defined == 0 {
        reader.read_records(BATCH, None, None, &mut values)?;
        return Ok(values.into_iter().map(|found| Some(value(found))).collect());
    }
    reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
    let mut values = values.into_iter();
    let spread = levels.into_iter().map(|level| match level {
        level if level == defined => values
            .next()
            .map(|found| Some(value(found)))
            .ok_or_else(|| ParquetError::General("a column has fewer values than it says".to_owned())),
        _ => Ok(None),
    });
    spread.collect()
}

/// Calls the library, which panics on some pages that are damaged, and makes an error of that.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    thread_local! {
        static CALLING: Cell<bool> = const { Cell::new(false) };
    }
    static QUIET: Once = Once::new();
    // What becomes an error is not to be told as a panic, too; all other panics are told as before.
    QUIET.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !CALLING.get() {
                told(panic);
            }
        }));
    });
    CALLING.set(true);
    // Whatever is left half-done is not used again: an error ends the table.
    let called = panic::catch_unwind(AssertUnwindSafe(call));
    CALLING.set(false);
    called.unwrap_or_else(|_| Err("cannot be read as Parquet: a page is damaged".to_owned()))
}

/// What the library says, in our manner.
fn said(error: &ParquetError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("Parquet error: ").unwrap_or(&text);
    format!("cannot be read as Parquet: {text}")
}
