//! One row for each flow or record that was judged.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::names::{Names, ReasonJson};
#[cfg(feature = "parquet")]
use super::parquet::ParquetWriter;
use super::pseudonyms::Shown;
use super::time::rfc3339;
use crate::model::flow::{FiveTuple, Port};
use crate::model::record::Location;
use crate::model::recorded::RecordedVerdict;
use crate::model::rule::{Access, Direction};
use crate::model::verdict::{Layer, Verdict, VerdictKind};
use crate::replay::agreement::Class;
use crate::replay::conversations::{Conversation, Seen};
use crate::replay::shard::Processed;

/// The formats of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RowFormat {
    /// With a header line.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Parquet; of this nothing can be read before it is whole.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// The members of a row, in their order.
const HEADER: [&str; 23] = [
    "time",
    "source",
    "source_port",
    "destination",
    "destination_port",
    "protocol",
    "verdict",
    "kind",
    "layer",
    "nsg",
    "rule",
    "direction",
    "nic",
    "name",
    "code",
    "packets",
    "bytes",
    "file",
    "record",
    "recorded",
    "recorded_acl",
    "recorded_rule",
    "agrees",
];

/// One row. Empty members are members that have no meaning for it.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    pub(super) time: Option<Moment>,
    pub(super) source: String,
    pub(super) source_port: Option<u16>,
    pub(super) destination: String,
    pub(super) destination_port: Option<u16>,
    pub(super) protocol: String,
    pub(super) verdict: VerdictKind,
    pub(super) kind: &'static str,
    pub(super) layer: Option<Layer>,
    pub(super) nsg: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) direction: Option<Direction>,
    pub(super) nic: Option<String>,
    pub(super) name: Option<String>,
    pub(super) code: Option<String>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) file: &'a str,
    pub(super) record: u64,
    pub(super) recorded: Option<Access>,
    pub(super) recorded_acl: Option<String>,
    pub(super) recorded_rule: Option<String>,
    pub(super) agrees: Option<bool>,
}

/// A time in nanoseconds since 1970, which texts have in RFC 3339.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) u64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

/// Makes rows.
pub struct Rows<'a> {
    /// What the network is shown as.
    pub shown: Shown<'a>,
    /// The inputs' names as they are shown, by their positions.
    pub files: &'a [String],
}

impl<'a> Rows<'a> {
    /// A flow's row.
    #[must_use]
    pub fn flow(&self, flow: &Conversation) -> Row<'a> {
        let time = Some(Moment(flow.first_ns));
        let amount = (flow.packets, flow.bytes);
        let row = self.row(&flow.tuple, &flow.verdict, flow.location, time, amount);
        row.with(flow.recorded.as_ref().map(|recorded| self.shown.masked(recorded)).as_ref())
    }

    /// A record's row.
    #[must_use]
    pub fn record(&self, seen: Seen<'_>, processed: &Processed) -> Row<'a> {
        let Seen { location, hit, recorded, .. } = seen;
        let time = hit.time_ns.map(Moment);
        let amount = (hit.packets, hit.bytes);
        let row = self.row(&processed.packet, &processed.verdict, location, time, amount);
        row.with(recorded.map(|recorded| self.shown.masked(recorded)).as_ref())
    }

    fn row(
        &self,
        tuple: &FiveTuple,
        verdict: &Verdict,
        location: Location,
        time: Option<Moment>,
        (packets, bytes): (u64, u64),
    ) -> Row<'a> {
        let names = Names { network: self.shown.network };
        let tuple = self.shown.masked(tuple);
        // In place of ports, a flow of echoes is known by its identifier, which is no port.
        let port = |port: Port| port.number().filter(|_| tuple.protocol.has_ports());
        let (reason, code) = match verdict {
            Verdict::Undetermined(unknown) => {
                let open = ReasonJson { kind: "Undetermined", ..ReasonJson::default() };
                (open, Some(unknown.code().to_string()))
            }
            settled => (names.decided_by(settled).expect("other verdicts are settled"), None),
        };
        Row {
            time,
            source: tuple.source.to_string(),
            source_port: port(tuple.source_port),
            destination: tuple.destination.to_string(),
            destination_port: port(tuple.destination_port),
            protocol: tuple.protocol.to_string(),
            verdict: verdict.kind(),
            kind: reason.kind,
            layer: reason.layer,
            nsg: reason.nsg,
            rule: reason.rule,
            direction: reason.direction,
            nic: reason.nic,
            name: reason.name,
            code,
            packets,
            bytes,
            file: self.files.get(location.file as usize).map_or("", String::as_str),
            record: location.number,
            recorded: None,
            recorded_acl: None,
            recorded_rule: None,
            agrees: None,
        }
    }
}

impl Row<'_> {
    /// The row with what was recorded beside what is simulated.
    fn with(mut self, recorded: Option<&RecordedVerdict>) -> Self {
        let Some(recorded) = recorded else { return self };
        self.recorded = Some(recorded.access);
        if let Some(rule) = &recorded.rule {
            self.recorded_acl = rule.acl.as_deref().map(str::to_owned);
            self.recorded_rule = Some(rule.name.to_string());
        }
        self.agrees = match Class::of(recorded.access, self.verdict) {
            Class::Open => None,
            class => Some(!class.disagrees()),
        };
        self
    }
}

/// Writes rows in one format.
pub enum RowWriter<W: Write + Send> {
    /// CSV.
    Csv(Box<csv::Writer<W>>),
    /// NDJSON.
    Ndjson(W),
    /// Parquet.
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetWriter<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    /// A writer onto `out`.
    ///
    /// # Errors
    ///
    /// Fails if the beginning of a file, where a format has one, cannot be written.
    pub fn new(format: RowFormat, out: W) -> io::Result<Self> {
        Ok(match format {
            RowFormat::Csv => {
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(out);
                // Written by hand, so that a file without rows has it too.
                writer.write_record(HEADER)?;
                Self::Csv(Box::new(writer))
            }
            RowFormat::Ndjson => Self::Ndjson(out),
            #[cfg(feature = "parquet")]
            RowFormat::Parquet => Self::Parquet(Box::new(ParquetWriter::new(out)?)),
        })
    }

    /// Writes a row.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn write(&mut self, row: &Row<'_>) -> io::Result<()> {
        match self {
            Self::Csv(writer) => writer.serialize(row).map_err(io::Error::from),
            Self::Ndjson(out) => {
                serde_json::to_writer(&mut *out, row).map_err(io::Error::from)?;
                out.write_all(b"\n")
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.write(row),
        }
    }

    /// Writes out what is held back; of Parquet, which is written in groups of rows, only whole groups.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Csv(writer) => writer.flush(),
            Self::Ndjson(out) => out.flush(),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.flush(),
        }
    }

    /// The output behind the rows, everything written.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn into_inner(self) -> io::Result<W> {
        match self {
            Self::Csv(writer) => writer.into_inner().map_err(|error| io::Error::from(error.error().kind())),
            Self::Ndjson(out) => Ok(out),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.into_inner(),
        }
    }
}
