//! Rows as Parquet: numbers are numbers and times are times.

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::column::writer::ColumnWriterImpl;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::decisions::Row;
use super::names;
use crate::model::verdict::Layer;

/// The columns, which are those of the other formats. A time is in nanoseconds and in UTC.
const SCHEMA: &str = "
message decisions {
    OPTIONAL INT64 time (TIMESTAMP(NANOS, true));
    REQUIRED BYTE_ARRAY source (STRING);
    OPTIONAL INT32 source_port (INTEGER(16, false));
    REQUIRED BYTE_ARRAY destination (STRING);
    OPTIONAL INT32 destination_port (INTEGER(16, false));
    REQUIRED BYTE_ARRAY protocol (STRING);
    REQUIRED BYTE_ARRAY verdict (STRING);
    REQUIRED BYTE_ARRAY kind (STRING);
    OPTIONAL BYTE_ARRAY layer (STRING);
    OPTIONAL BYTE_ARRAY nsg (STRING);
    OPTIONAL BYTE_ARRAY rule (STRING);
    OPTIONAL BYTE_ARRAY direction (STRING);
    OPTIONAL BYTE_ARRAY nic (STRING);
    OPTIONAL BYTE_ARRAY name (STRING);
    OPTIONAL BYTE_ARRAY code (STRING);
    REQUIRED INT64 packets (INTEGER(64, false));
    REQUIRED INT64 bytes (INTEGER(64, false));
    REQUIRED BYTE_ARRAY file (STRING);
    REQUIRED INT64 record (INTEGER(64, false));
    OPTIONAL BYTE_ARRAY recorded (STRING);
    OPTIONAL BYTE_ARRAY recorded_acl (STRING);
    OPTIONAL BYTE_ARRAY recorded_rule (STRING);
    OPTIONAL BOOLEAN agrees;
}
";

/// How many rows are held back and written together: about 15 MB of them.
const GROUP: usize = 1 << 16;

/// Writes rows as Parquet.
pub struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Columns,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// A writer onto `out`.
    pub(super) fn new(out: W) -> io::Result<Self> {
        let schema = parse_message_type(SCHEMA).expect("the schema is well-formed");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("nsgsim ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Self { file, columns: Columns::default() })
    }

    /// Takes a row.
    pub(super) fn write(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.columns.push(row);
        if self.columns.source.len() >= GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes out what the groups so far came to.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Ends the file.
    pub(super) fn into_inner(mut self) -> io::Result<W> {
        if !self.columns.source.is_empty() {
            self.write_group()?;
        }
        self.file.into_inner().map_err(failed)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let columns = std::mem::take(&mut self.columns);
        self.file.next_row_group().and_then(|group| columns.write(group)).map_err(failed)
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        // What went wrong with the output keeps the system's words.
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

/// Rows that are held back, column by column.
#[derive(Default)]
struct Columns {
    time: Vec<Option<i64>>,
    source: Vec<ByteArray>,
    source_port: Vec<Option<i32>>,
    destination: Vec<ByteArray>,
    destination_port: Vec<Option<i32>>,
    protocol: Vec<ByteArray>,
    verdict: Vec<ByteArray>,
    kind: Vec<ByteArray>,
    layer: Vec<Option<ByteArray>>,
    nsg: Vec<Option<ByteArray>>,
    rule: Vec<Option<ByteArray>>,
    direction: Vec<Option<ByteArray>>,
    nic: Vec<Option<ByteArray>>,
    name: Vec<Option<ByteArray>>,
    code: Vec<Option<ByteArray>>,
    packets: Vec<i64>,
    bytes: Vec<i64>,
    file: Vec<ByteArray>,
    record: Vec<i64>,
    recorded: Vec<Option<ByteArray>>,
    recorded_acl: Vec<Option<ByteArray>>,
    recorded_rule: Vec<Option<ByteArray>>,
    agrees: Vec<Option<bool>>,
}

impl Columns {
    fn push(&mut self, row: &Row<'_>) {
        let text = |text: &Option<String>| text.as_deref().map(ByteArray::from);
        // A time behind the year 2262, which only a broken clock has, does not fit and is left out.
        self.time.push(row.time.and_then(|time| i64::try_from(time.0).ok()));
        self.source.push(row.source.as_str().into());
        self.source_port.push(row.source_port.map(i32::from));
        self.destination.push(row.destination.as_str().into());
        self.destination_port.push(row.destination_port.map(i32::from));
        self.protocol.push(row.protocol.as_str().into());
        self.verdict.push(row.verdict.to_string().into_bytes().into());
        self.kind.push(row.kind.into());
        self.layer.push(row.layer.map(layer));
        self.nsg.push(text(&row.nsg));
        self.rule.push(text(&row.rule));
        self.direction.push(row.direction.map(|direction| direction.to_string().into_bytes().into()));
        self.nic.push(text(&row.nic));
        self.name.push(text(&row.name));
        self.code.push(text(&row.code));
        self.packets.push(row.packets.cast_signed());
        self.bytes.push(row.bytes.cast_signed());
        self.file.push(row.file.into());
        self.record.push(row.record.cast_signed());
        self.recorded.push(row.recorded.map(|access| names::access(access).into()));
        self.recorded_acl.push(text(&row.recorded_acl));
        self.recorded_rule.push(text(&row.recorded_rule));
        self.agrees.push(row.agrees);
    }

    fn write<W: Write + Send>(self, mut group: SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        optional::<Int64Type, W>(&mut group, self.time)?;
        required::<ByteArrayType, W>(&mut group, &self.source)?;
        optional::<Int32Type, W>(&mut group, self.source_port)?;
        required::<ByteArrayType, W>(&mut group, &self.destination)?;
        optional::<Int32Type, W>(&mut group, self.destination_port)?;
        for column in [&self.protocol, &self.verdict, &self.kind] {
            required::<ByteArrayType, W>(&mut group, column)?;
        }
        for column in [self.layer, self.nsg, self.rule, self.direction, self.nic, self.name, self.code] {
            optional::<ByteArrayType, W>(&mut group, column)?;
        }
        required::<Int64Type, W>(&mut group, &self.packets)?;
        required::<Int64Type, W>(&mut group, &self.bytes)?;
        required::<ByteArrayType, W>(&mut group, &self.file)?;
        required::<Int64Type, W>(&mut group, &self.record)?;
        for column in [self.recorded, self.recorded_acl, self.recorded_rule] {
            optional::<ByteArrayType, W>(&mut group, column)?;
        }
        optional::<BoolType, W>(&mut group, self.agrees)?;
        group.close().map(|_| ())
    }
}

/// A layer as the other formats spell it.
fn layer(layer: Layer) -> ByteArray {
    let word = match layer {
        Layer::SubnetNsg => "SubnetNsg",
        Layer::NicNsg => "NicNsg",
    };
    word.into()
}

fn required<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    column::<T, W>(group, |writer| writer.write_batch(values, None, None))
}

fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: Vec<Option<T::T>>,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column::<T, W>(group, |writer| writer.write_batch(&values, Some(&levels), None))
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("the schema has a column for each that is written");
    write(column.typed::<T>())?;
    column.close()
}
