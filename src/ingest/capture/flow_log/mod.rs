//! Flow logs: those of NSGs, version 1 and 2 (LOG-2 to LOG-4), and those of VNets, version 4 (LOG-6 to LOG-8).
//!
//! In: one blob (`PT1H.json`) as a file or stream, told from other JSON by its list `records`, never by its name. Out: a
//! [`LoggedFlow`] for each tuple in the order of the file, what was [`Skipped`], and where the file stops making sense.
//! One record of the log, a minute of one NIC, is held at a time. Knows nothing of networks: whether a rule or an NIC
//! exists is not asked here.
//!
//! The version is each record's own, as one blob can change from version 2 to version 1.

mod reader;
mod record;
mod stream;
mod tuple;

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

pub use reader::{LogReader, RecordTexts};

use super::Damage;
use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::flow_log::LoggedFlow;

/// What reading one log came to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct ReadLog {
    /// Whole records, those skipped included.
    pub records: u64,
    /// Tuples that were read.
    pub flows: u64,
    /// Items that were skipped, each of them told.
    pub skipped: u64,
    /// Bytes of the unpacked stream that were taken.
    pub bytes_read: u64,
    /// Where the file stops making sense, if it does.
    pub damage: Option<Damage>,
}

/// Something in a log that could not be read. Everything around it counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// Number of the record, from 1.
    pub record: u64,
    /// File and JSON pointer: `PT1H.json#/records/0/properties/flows/0/flows/0/flowTuples/3`.
    pub place: String,
    /// What stands there, and what was expected.
    pub message: String,
    /// How many tuples it holds; `None` where it is too damaged to count them.
    pub tuples: Option<u64>,
}

/// Opens a file or standard input and reads it as [`read`] does.
///
/// # Errors
///
/// Fails if the file cannot be opened, and as [`read`] does.
pub fn read_file(
    path: &Path,
    file: u32,
    each: impl FnMut(Result<LoggedFlow, Skipped>),
) -> Result<ReadLog, IngestError> {
    read(&source::shown(path), file, source::open(path)?, each)
}

/// Reads a stream that is unpacked already, and hands on each flow and each item that was skipped, in the order of the
/// file. `name` stands for the stream in messages, `file` is its position in the run's list of inputs.
///
/// A record counts once it is whole. A log that ends or breaks inside a record (an hour that is still written to) ends
/// before that record, which [`ReadLog::damage`] tells.
///
/// # Errors
///
/// Fails if the stream is no JSON object with a list `records`: nothing was handed on then.
pub fn read(
    name: &str,
    file: u32,
    stream: impl Read,
    mut each: impl FnMut(Result<LoggedFlow, Skipped>),
) -> Result<ReadLog, IngestError> {
    let (mut flows, mut skipped) = (0, 0);
    let mut count = |item: Result<LoggedFlow, Skipped>| {
        if item.is_ok() {
            flows += 1;
        } else {
            skipped += 1;
        }
        each(item);
    };
    let end = stream::records(name, stream, |number, text| {
        record::read(name, file, number, text, &mut |item| count(item.map(LoggedFlow::from)));
        ControlFlow::Continue(())
    })?;
    Ok(ReadLog { records: end.records, flows, skipped, bytes_read: end.bytes_read, damage: end.damage })
}
