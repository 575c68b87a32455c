//! Captures: their framing, what is in their packets, and those that other projects collected.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod collected;
mod decoding;
mod framing;

use std::path::Path;

use nsgsim::ingest::capture::CaptureReader;
use nsgsim::model::record::Record;
use nsgsim::model::records::Records;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence};

/// Where the seeds of failed properties are kept, to be tried first from then on.
fn persistence() -> Option<Box<dyn FailurePersistence>> {
    Some(Box::new(FileFailurePersistence::Direct("tests/seeds/captures")))
}

/// Reads a capture as the seventh file of a run.
fn read(path: &Path) -> (CaptureReader, Vec<Record>) {
    let mut reader = CaptureReader::open(path, 7).unwrap();
    let mut records = Records::default();
    while reader.read_batch(1000, &mut records).unwrap() > 0 {}
    (reader, records.iter().collect())
}
