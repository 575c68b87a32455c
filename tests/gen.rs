//! `gen`, from its arguments to the packets that `replay` reads.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn nsgsim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_nsgsim");
    Command::new(program).current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap()
}

/// The bytes that `gen` writes to standard output.
fn capture(arguments: &[&str]) -> Vec<u8> {
    let output = nsgsim(&[&["gen", "-q", "-s", "data/example"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Packets of a classic little-endian capture, counted by hopping over their headers.
fn packets(capture: &[u8]) -> u64 {
    let (mut at, mut count) = (24, 0);
    while at < capture.len() {
        let length: [u8; 4] = capture[at + 8..at + 12].try_into().unwrap();
        at += 16 + u32::from_le_bytes(length) as usize;
        count += 1;
    }
    assert_eq!(at, capture.len(), "the last packet is whole");
    count
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
        assert_eq!(nsgsim(&[&arguments[..], extra].concat()).status.code(), Some(0));
        let written = packets(&fs::read(path).unwrap());
        assert!(written >= 300, "a flow has a packet at least: {written}");
        let replay = nsgsim(&["replay", "-q", "-s", "data/example", path, "--format", "json"]);
        let answer: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
        assert_eq!(answer["ledger"]["read"], written);
        assert_eq!(answer["ledger"]["skipped"]["total"], 0, "what gen writes is whole");
    }
}

#[test]
fn nothing_is_left_where_nothing_could_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nobody.pcap");
    let output = nsgsim(&["gen", "-q", "-s", "data/example/nsg.json", "-o", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(entries(folder.path()), 0);
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
