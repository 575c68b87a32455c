//! Parquet in and out.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, TimeUnit, ZstdLevel};
use ::parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type, Int96, Int96Type,
};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::record::Field;
use ::parquet::schema::parser::parse_message_type;

use super::*;

/// A column's values. Where the schema requires a value there has to be one.
#[derive(Clone)]
enum Column {
    Text(Vec<Option<&'static str>>),
    Int32(Vec<Option<i32>>),
    Int64(Vec<Option<i64>>),
    Int96(Vec<Option<Int96>>),
    Double(Vec<Option<f64>>),
}

fn put<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[Option<T::T>]) {
    let mut column = group.next_column().unwrap().unwrap();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.iter().flatten().cloned().collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
}

/// A file with these row groups, of a schema whose columns are all optional.
fn file(schema: &str, compression: Compression, groups: &[Vec<Column>]) -> Vec<u8> {
    let schema = parse_message_type(&format!("message flows {{ {schema} }}")).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).unwrap();
    for columns in groups {
        let mut group = writer.next_row_group().unwrap();
        for column in columns {
            match column {
                Column::Text(values) => {
                    let values: Vec<_> = values.iter().map(|text| text.map(ByteArray::from)).collect();
                    put::<ByteArrayType>(&mut group, &values);
                }
                Column::Int32(values) => put::<Int32Type>(&mut group, values),
                Column::Int64(values) => put::<Int64Type>(&mut group, values),
                Column::Int96(values) => put::<Int96Type>(&mut group, values),
                Column::Double(values) => put::<DoubleType>(&mut group, values),
            }
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// The library's own reader of a file with these bytes.
fn reader(bytes: &[u8]) -> SerializedFileReader<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    SerializedFileReader::new(file).unwrap()
}

/// The schema of [`ends`].
const ENDS: &str = "
    OPTIONAL BYTE_ARRAY src (STRING); OPTIONAL BYTE_ARRAY dst (STRING); OPTIONAL INT32 dst_port (INTEGER(16, false));
    OPTIONAL BYTE_ARRAY proto (STRING); OPTIONAL INT64 note;";

/// Rows from one sender to one receiver.
fn ends(ports: Vec<Option<i32>>) -> Vec<Column> {
    let count = ports.len();
    vec![
        Column::Text(vec![Some("10.0.1.4"); count]),
        Column::Text(vec![Some("10.0.2.4"); count]),
        Column::Int32(ports),
        Column::Text(vec![Some("tcp"); count]),
        Column::Int64(vec![Some(7); count]),
    ]
}

#[test]
fn a_parquet_of_two_rows() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(::parquet::basic::GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let found = try_read(file(ENDS, compression, &[ends(vec![Some(443), None])]), "").unwrap();
        assert_eq!((found.kind, found.rows), (Kind::Parquet, 2), "{compression}");
        assert!(found.skipped.is_empty() && found.damage.is_none(), "{compression}: {found:?}");
        assert_eq!(
            found.flows.iter().map(short).collect::<Vec<_>>(),
            ["10.0.1.4:? > 10.0.2.4:443 tcp", "10.0.1.4:? > 10.0.2.4:? tcp"]
        );
        assert_eq!(found.flows[1].location, Location { file: 3, number: 2 });
    }
}

#[test]
fn rows_keep_their_places_over_batches_and_groups() {
    let ports =
        |from: i32, count: i32| (from..from + count).map(|port| (port % 3 > 0).then_some(port)).collect();
    let groups = [ends(ports(1, 2500)), ends(ports(2501, 1)), ends(Vec::new()), ends(ports(2502, 1024))];
    let found = try_read(file(ENDS, Compression::SNAPPY, &groups), "").unwrap();
    assert_eq!((found.rows, found.damage), (3525, None));
    for (flow, number) in found.flows.iter().zip(1_u16..) {
        let port = if number % 3 > 0 { Port::Number(number) } else { Port::NotGiven };
        assert_eq!((flow.location.number, flow.five_tuple.destination_port), (number.into(), port));
    }
}

#[test]
fn times_have_many_types() {
    let seconds = i64::try_from(SECONDS).unwrap();
    let mut int96 = Int96::new();
    // 15:37:54 of a day, in nanoseconds, and the day 2026-11-30: 20,787 days after 1970-01-01.
    let of_day = 56_274_000_000_000_u64;
    int96.set_data((of_day & 0xffff_ffff) as u32, (of_day >> 32) as u32, 2_440_588 + 20_787);
    for (kind, column) in [
        ("INT64 ts (TIMESTAMP(NANOS, true))", Column::Int64(vec![Some(seconds * 1_000_000_000)])),
        ("INT64 ts (TIMESTAMP(MICROS, true))", Column::Int64(vec![Some(seconds * 1_000_000)])),
        ("INT64 ts (TIMESTAMP(MILLIS, false))", Column::Int64(vec![Some(seconds * 1000)])),
        ("INT64 ts (TIMESTAMP_MILLIS)", Column::Int64(vec![Some(seconds * 1000)])),
        ("INT64 ts", Column::Int64(vec![Some(seconds)])),
        ("INT32 ts (UINT_32)", Column::Int32(vec![Some(i32::try_from(seconds).unwrap())])),
        ("INT96 ts", Column::Int96(vec![Some(int96)])),
        ("DOUBLE ts", Column::Double(vec![Some(1_796_053_074.0)])),
        ("BYTE_ARRAY ts (STRING)", Column::Text(vec![Some("2026-11-30T15:37:54Z")])),
        ("BYTE_ARRAY ts", Column::Text(vec![Some("11/30/2026, 3:37:54.000 PM")])),
    ] {
        let mut columns = ends(vec![None]);
        columns.push(column);
        let bytes = file(&format!("{ENDS} OPTIONAL {kind};"), Compression::UNCOMPRESSED, &[columns]);
        let found = try_read(bytes, "").unwrap();
        let times: Vec<Option<u64>> = found.flows.iter().map(|flow| flow.time_ns).collect();
        assert_eq!(times, [Some(SECONDS * 1_000_000_000)], "{kind}: {:?}", found.skipped);
    }
}

#[test]
fn bad_rows_are_told() {
    let mut columns = ends(vec![Some(443), Some(70000), Some(443), Some(443), Some(443)]);
    columns[0] = Column::Text(vec![Some("10.0.1.4"), Some("10.0.1.4"), None, Some("x"), Some("::1")]);
    columns.push(Column::Int64(vec![Some(1), Some(1), Some(1), Some(1), Some(-1)]));
    let schema = format!(
        "{} OPTIONAL INT64 ts (TIMESTAMP(NANOS, true));",
        ENDS.replace("INTEGER(16, false)", "INT_32")
    );
    let found = try_read(file(&schema, Compression::SNAPPY, &[columns.clone()]), "").unwrap();
    assert_eq!(
        complaints(&found),
        [
            "flows: row 2: column `dst_port`: `70000`: expected a number up to 65535",
            "flows: row 3: column `src`: nothing: expected an IP address",
            "flows: row 4: column `src`: `x`: expected an IP address",
            "flows: row 5: column `ts`: `-1 ns`: expected a time from 1970 to 2554",
        ]
    );
    assert_eq!(found.flows.len(), 1);
}

#[test]
fn columns_of_other_types_are_refused() {
    for other in [
        "OPTIONAL INT64 src_port (DECIMAL(5, 2))",
        "REPEATED INT64 src_port",
        "OPTIONAL INT32 src_port (DATE)",
        "OPTIONAL FIXED_LEN_BYTE_ARRAY (4) src_port",
    ] {
        let bytes = file(&format!("{ENDS} {other};"), Compression::UNCOMPRESSED, &[]);
        assert_eq!(
            try_read(bytes, "").unwrap_err().to_string(),
            "flows: column `src_port`: expected texts, whole numbers or timestamps"
        );
    }
    // What says nothing may be of any type.
    let bytes = file(&format!("{ENDS} REPEATED INT64 more;"), Compression::UNCOMPRESSED, &[]);
    assert_eq!(try_read(bytes, "").unwrap().rows, 0);
    let bytes = file("OPTIONAL INT64 a;", Compression::UNCOMPRESSED, &[]);
    let message = try_read(bytes, "").unwrap_err().to_string();
    assert!(message.starts_with("flows: no column for `src`, `dst`, `protocol`"), "{message}");
}

#[test]
fn a_parquet_is_read_from_files_packed_and_plain_and_from_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = file(ENDS, Compression::SNAPPY, &[ends(vec![Some(443)])]);
    let expected = try_read(bytes.clone(), "").unwrap().flows;
    let plain = folder.path().join("a-table");
    fs::write(&plain, &bytes).unwrap();
    let packed = folder.path().join("packed");
    fs::write(&packed, zstd::encode_all(&*bytes, 3).unwrap()).unwrap();
    for path in [&plain, &packed] {
        let found = drain(FlowTable::open(path, 3, &Columns::default()).unwrap());
        assert_eq!((found.kind, found.flows), (Kind::Parquet, expected.clone()), "{}", path.display());
    }
}

#[test]
fn a_parquet_that_is_cut_short_is_refused() {
    let bytes = file(ENDS, Compression::SNAPPY, &[ends(vec![Some(443)])]);
    for end in [4, 20, bytes.len() - 1] {
        let message = try_read(&bytes[..end], "").unwrap_err().to_string();
        assert!(message.starts_with("flows: cannot be read as Parquet: "), "{message}");
    }
}

#[test]
fn a_damaged_page_ends_the_table() {
    let groups = [ends(vec![Some(443); 10]), ends((1..10).map(Some).collect())];
    let bytes = file(ENDS, Compression::ZSTD(ZstdLevel::default()), &groups);
    let reader = reader(&bytes);
    let (start, length) = reader.metadata().row_group(1).column(2).byte_range();
    let mut damaged = bytes;
    let column = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
    damaged[column].fill(0xff);
    let found = try_read(damaged, "").unwrap();
    let damage = found.damage.unwrap();
    assert_eq!((found.flows.len(), damage.after_record, damage.unread_bytes), (10, 10, None));
    assert!(damage.message.starts_with("after row 10: cannot be read as Parquet: "), "{}", damage.message);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/flow_tables"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_parquet_never_panics(
        compression in 0_usize..3,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let compression = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())][compression];
        let mut bytes = file(ENDS, compression, &[ends(vec![Some(443), None, Some(22)]), ends(vec![None, Some(1)])]);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(found) = try_read(bytes, "") {
            prop_assert_eq!(found.flows.len() + found.skipped.len(), usize::try_from(found.rows).unwrap());
        }
    }
}

/// The program's `--decisions` of the example in a format.
fn decisions(path: &Path, more: &[&str]) {
    let path = path.to_str().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_nsgsim"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["replay", "-q", "-s", "data/example", "data/example.pcap", "--no-timing", "-o"])
        .args([&format!("{path}.answer"), "--decisions", path])
        .args(more)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn decisions_as_parquet_are_those_of_the_csv() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for more in [&[][..], &["--per-record"]] {
        decisions(&at("rows.csv"), more);
        decisions(&at("rows.parquet"), more);
        decisions(&at("again.parquet"), &[more, &["--threads", "1"]].concat());
        let bytes = fs::read(at("rows.parquet")).unwrap();
        assert_eq!(bytes, fs::read(at("again.parquet")).unwrap(), "the same bytes for the same input");

        let reader = reader(&bytes);
        let time = reader.metadata().file_metadata().schema_descr().column(0);
        assert_eq!(time.logical_type_ref(), Some(&LogicalType::timestamp(true, TimeUnit::NANOS)));
        let mut csv = csv::Reader::from_path(at("rows.csv")).unwrap();
        let header: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
        let mut rows = 0;
        let mut records = csv.into_records();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let record = records.next().unwrap().unwrap();
            let names: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
            assert!(names.into_iter().eq(&header));
            for ((name, value), expected) in row.get_column_iter().zip(&record) {
                let found = match value {
                    Field::Null => String::new(),
                    Field::Str(text) => text.clone(),
                    Field::UShort(number) => number.to_string(),
                    Field::ULong(number) => number.to_string(),
                    Field::Long(time_ns) if name == "time" => {
                        format!("{:.6}", jiff::Timestamp::from_nanosecond((*time_ns).into()).unwrap())
                    }
                    other => panic!("{name}: {other:?}"),
                };
                assert_eq!(found, expected, "{name} of row {rows}");
            }
            rows += 1;
        }
        assert!(records.next().is_none() && rows > 10, "{rows} rows");

        // What was written can be read, as the CSV can.
        let flows = |name: &str| drain(FlowTable::open(&at(name), 0, &Columns::default()).unwrap()).flows;
        assert_eq!(flows("rows.parquet"), flows("rows.csv"));
    }
}

#[test]
fn a_parquet_file_appears_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.pcap");
    fs::write(&broken, "no capture").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nsgsim"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["replay", "-q", "-s", "data/example", "--decisions"])
        .args([&folder.path().join("rows.parquet"), &broken])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["broken.pcap"]);
}
