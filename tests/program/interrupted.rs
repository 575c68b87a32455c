//! A run that is ended from outside leaves no file under the name that was asked for; one that is asked to end leaves
//! nothing at all.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::capture_bytes::*;
use crate::program::nsgsim;

/// Every output that a replay has.
const OUTPUTS: [(&str, &str); 4] = [
    ("--output", "flows.csv"),
    ("--decisions", "rows.ndjson"),
    ("--split-allowed", "allowed.pcapng"),
    ("--split-denied", "denied.pcap"),
];

/// Many packets from the example's web-2, to its app-1 and db-1 by turns: the one is allowed, the other is not.
fn capture() -> Vec<u8> {
    let mut capture = pcap_header(Order::Little, MICROSECONDS, 65535, 101);
    for number in 0..50_000_u16 {
        let (network, port) = if number % 2 == 0 { (2, 8080_u16) } else { (3, 1433) };
        let mut packet = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 20, 1, 5, 10, 20, network, 4];
        packet.extend(number.to_be_bytes());
        packet.extend(port.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
        capture.extend(pcap_record(Order::Little, 1_700_000_000, u32::from(number), &packet, 40));
    }
    capture
}

/// The files that are being written in a folder, with their sizes.
fn under_way(folder: &Path) -> Vec<(String, u64)> {
    files(folder).into_iter().filter(|(name, _)| name.starts_with(".nsgsim-")).collect()
}

/// The names in a folder with the sizes of the files.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect()
}

/// Starts a replay from a pipe that stays open, and ends it in this way once it has written to both captures and to the
/// rows.
fn ended_in_mid_run(folder: &Path, end: impl FnOnce(&Child)) -> ExitStatus {
    let mut command = nsgsim(&["replay", "-q", "-s", "data/example", "-", "--by", "flow", "--per-record"]);
    for (option, name) in OUTPUTS {
        command.arg(option).arg(folder.join(name));
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&capture()).unwrap();
    pipe.flush().unwrap();
    let is_writing = |files: &[(String, u64)]| {
        files.len() == OUTPUTS.len() && files.iter().filter(|(_, size)| *size > 0).count() >= 3
    };
    let started = Instant::now();
    while !is_writing(&under_way(folder)) {
        assert!(started.elapsed() < Duration::from_secs(120), "nothing is written: {:?}", files(folder));
        assert_eq!(child.try_wait().unwrap(), None, "it waits for more");
        thread::sleep(Duration::from_millis(20));
    }
    end(&child);
    let status = child.wait().unwrap();
    drop(pipe);
    status
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_killed_run_leaves_no_file_under_its_final_name() {
    let folder = tempfile::tempdir().unwrap();
    let status = ended_in_mid_run(folder.path(), |child| send("-KILL", child));
    assert_eq!(status.signal(), Some(9));
    // What a killed program cannot take away says by its name that it is unfinished.
    let left = files(folder.path());
    assert!(left.iter().all(|(name, _)| name.starts_with(".nsgsim-")), "{left:?}");
}

#[test]
fn a_killed_run_leaves_the_files_of_the_run_before() {
    let folder = tempfile::tempdir().unwrap();
    for (_, name) in OUTPUTS {
        fs::write(folder.path().join(name), "before").unwrap();
    }
    ended_in_mid_run(folder.path(), |child| send("-KILL", child));
    for (_, name) in OUTPUTS {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"before");
    }
}

#[test]
fn an_interrupted_run_says_so_and_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let status = ended_in_mid_run(folder.path(), |child| send(signal, child));
        assert_eq!(status.code(), Some(130), "{signal}");
        assert_eq!(files(folder.path()), [], "{signal}");
    }
}

#[test]
fn a_run_from_a_pipe_ends_with_the_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = nsgsim(&["replay", "-q", "-s", "data/example", "-", "--by", "flow"]);
    for (option, name) in OUTPUTS {
        command.arg(option).arg(folder.path().join(name));
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&capture()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut names: Vec<String> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["allowed.pcapng", "denied.pcap", "flows.csv", "rows.ndjson"]);
}
