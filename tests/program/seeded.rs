//! `gen`, from its arguments to the packets that `replay` reads.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::path::Path;

use crate::packets::whole_within;
use crate::program::nsgsim;

/// The bytes that `gen` writes to standard output.
fn capture(arguments: &[&str]) -> Vec<u8> {
    let output = nsgsim(&[&["gen", "-q", "-s", "data/example"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let first = capture(&["--flows", "50", "--seed", "3"]);
    assert_eq!(first, capture(&["--flows", "50", "--seed", "3"]));
    assert_ne!(first, capture(&["--flows", "50", "--seed", "4"]));
    assert_ne!(first, capture(&["--flows", "50", "--seed", "3", "--skew", "zipf:1.2"]));
}

#[test]
fn replay_reads_every_packet_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeded.pcap");
    let path = path.to_str().unwrap();
    for extra in [&["--seed", "1"], &["--skew", "zipf:1.1"]] {
        let arguments = ["gen", "-q", "-s", "data/example", "--flows", "300", "-o", path];
        assert_eq!(nsgsim(&[&arguments[..], extra].concat()).status().unwrap().code(), Some(0));
        let bytes = fs::read(path).unwrap();
        let written = whole_within(&bytes, bytes.len());
        assert!(written >= 300, "a flow has a packet at least: {written}");
        let replay =
            nsgsim(&["replay", "-q", "-s", "data/example", path, "--format", "json"]).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
        assert_eq!(answer["ledger"]["read"], written);
        assert_eq!(answer["ledger"]["skipped"]["total"], 0, "what gen writes is whole");
    }
}

#[test]
fn nothing_is_left_where_nothing_could_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nobody.pcap");
    let output =
        nsgsim(&["gen", "-q", "-s", "data/example/nsg.json", "-o", path.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(entries(folder.path()), 0);
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
