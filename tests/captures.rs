//! Captures of other projects, read whole and held against the packet counts that stand beside them.
//!
//! Reads the folder `data` of the directory that `NSGSIM_SHARED` names; without it there is nothing to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nsgsim::ingest::capture::CaptureReader;
use nsgsim::model::record::Record;

/// What the table says of a capture.
struct Stated {
    packets: u64,
    damaged: bool,
    link_types: Vec<u16>,
}

#[test]
fn every_capture_has_the_packets_that_the_table_states() {
    let Some(data) = data() else { return };
    let table = table(&data);
    let names = captures(&data);
    assert!(names.len() > 100, "only {} captures were found", names.len());
    for name in names {
        let stated = table.get(&name).unwrap_or_else(|| panic!("{name}: not in the table"));
        let (reader, records) = read(&data.join("captures").join(&name));
        assert_eq!(records.len() as u64, stated.packets, "{name}: records, damage {:?}", reader.damage());
        assert_eq!(reader.damage().is_some(), stated.damaged, "{name}: {:?}", reader.damage());
        assert_eq!(reader.records_read(), stated.packets, "{name}");
        for (position, record) in records.iter().enumerate() {
            assert_eq!((record.location.file, record.location.number), (7, position as u64 + 1), "{name}");
        }
        let tally = reader.tally();
        assert_eq!(tally.iter().map(|(_, count)| count).sum::<u64>(), stated.packets, "{name}");
        if !stated.link_types.is_empty() {
            let seen: Vec<u16> = tally.iter().map(|(link_type, _)| link_type.0).collect();
            assert!(seen.iter().all(|seen| stated.link_types.contains(seen)), "{name}: link types {seen:?}");
        }
    }
}

/// The folder with the captures, where the environment names one.
fn data() -> Option<PathBuf> {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED") else {
        println!("NSGSIM_SHARED is not set: no captures to read");
        return None;
    };
    let mut data = PathBuf::from(shared);
    if data.is_relative() {
        data = Path::new(env!("CARGO_MANIFEST_DIR")).join(data);
    }
    Some(data.join("data"))
}

fn captures(data: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(data.join("captures"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> (CaptureReader, Vec<Record>) {
    let mut reader = CaptureReader::open(path, 7).unwrap();
    let mut records = Vec::new();
    while reader.read_batch(1000, &mut records).unwrap() > 0 {}
    (reader, records)
}

/// The rows of the table: ``captures/a.pcap | pcap, link type 1, 5 packets; tcp | ...``.
fn table(data: &Path) -> BTreeMap<String, Stated> {
    let text = fs::read_to_string(data.join("README.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| captures/"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let (name, what) = (cells.next().unwrap(), cells.next().unwrap());
        let before = what.split(" packets").next().unwrap();
        let digits = before.rsplit(' ').next().unwrap();
        let packets = digits.parse().unwrap_or_else(|_| panic!("{name}: no packet count in {what}"));
        let link_types = what
            .split_once("link type ")
            .map(|(_, rest)| rest.split(',').next().unwrap().split('/').map(|n| n.parse().unwrap()).collect())
            .unwrap_or_default();
        let stated = Stated { packets, damaged: what.contains("DAMAGED"), link_types };
        (name.to_owned(), stated)
    })
    .collect()
}
