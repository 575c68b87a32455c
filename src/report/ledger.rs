//! What every result about traffic shows: where records went, what was read, how long it took.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::inputs::Inputs;
use super::sheet::Sheet;
use super::time::{counted, grouped, rfc3339};
use crate::model::record::Location;
use crate::model::verdict::VerdictKind;
use crate::replay::ledger::{Bucket, Ledger};
use crate::replay::tally::{Hits, Tally};

/// Where a file stopped making sense.
#[derive(Clone, Debug, Serialize)]
pub struct DamageJson {
    /// The file.
    pub file: String,
    /// The last whole record before it.
    pub after_record: u64,
    /// Where, in bytes of the unpacked stream.
    pub offset: u64,
    /// How many bytes from there on were not read; nothing where they could not be counted.
    pub unread_bytes: Option<u64>,
    /// What stands there.
    pub message: String,
}

/// How many entries that could not be read are told of one by one.
pub const MOST_UNREAD: usize = 100;

/// A tuple or row that could not be read, or several together.
#[derive(Clone, Debug, Serialize)]
pub struct UnreadJson {
    /// Where it stands: file and JSON pointer, or file and row.
    pub place: String,
    /// What stands there, and what was expected.
    pub message: String,
    /// How many tuples or rows it holds; nothing where it is too damaged to count them.
    pub entries: Option<u64>,
}

/// How long it took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timing {
    /// Seconds from opening the first capture to the end of the last.
    pub elapsed_s: f64,
    /// Records a second.
    pub records_per_s: f64,
}

/// What was read to come to a result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Provenance {
    /// The captures' names, by their positions.
    pub files: Vec<String>,
    /// Files whose framing was lost.
    pub damage: Vec<DamageJson>,
    /// The first [`MOST_UNREAD`] entries that could not be read.
    #[serde(rename = "unread_entries")]
    pub unread: Vec<UnreadJson>,
    /// How many more there were.
    #[serde(rename = "unread_entries_beyond")]
    pub unread_beyond: u64,
    /// Files of a folder that are no captures, flow logs or flow tables.
    #[serde(rename = "ignored_files")]
    pub ignored: Vec<String>,
    /// How long it took; nothing to leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The networks and the tags.
    pub inputs: Inputs,
    /// Addresses and names are pseudonyms.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pseudonyms: bool,
}

#[derive(Serialize)]
pub(super) struct LedgerJson {
    read: u64,
    evaluated: u64,
    out_of_scope: BucketJson,
    undetermined: BucketJson,
    skipped: BucketJson,
    evicted_flows: u64,
}

#[derive(Serialize)]
struct BucketJson {
    total: u64,
    by_reason: BTreeMap<String, OccurrencesJson>,
}

#[derive(Serialize)]
struct OccurrencesJson {
    count: u64,
    first: PlaceJson,
}

#[derive(Serialize)]
pub(super) struct PlaceJson {
    pub(super) file: String,
    pub(super) record: u64,
}

#[derive(Serialize)]
pub(super) struct VerdictsJson {
    allow: HitsJson,
    deny: HitsJson,
    mixed: HitsJson,
    undetermined: HitsJson,
}

#[derive(Default, Serialize)]
pub(super) struct HitsJson {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) flows: u64,
}

/// The first and the last time of something.
#[derive(Serialize)]
pub(super) struct SpanJson {
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

impl From<&Hits> for HitsJson {
    fn from(hits: &Hits) -> Self {
        Self { packets: hits.packets, bytes: hits.bytes, flows: hits.flows }
    }
}

impl From<Option<(u64, u64)>> for SpanJson {
    fn from(span: Option<(u64, u64)>) -> Self {
        Self { first: span.map(|(first, _)| rfc3339(first)), last: span.map(|(_, last)| rfc3339(last)) }
    }
}

impl From<&Tally> for VerdictsJson {
    fn from(tally: &Tally) -> Self {
        let hits = |kind| tally.verdicts.get(&kind).map(HitsJson::from).unwrap_or_default();
        Self {
            allow: hits(VerdictKind::Allow),
            deny: hits(VerdictKind::Deny),
            mixed: hits(VerdictKind::Mixed),
            undetermined: hits(VerdictKind::Undetermined),
        }
    }
}

impl Provenance {
    pub(super) fn place(&self, location: Location) -> PlaceJson {
        let file = self.files.get(location.file as usize).cloned().unwrap_or_default();
        PlaceJson { file, record: location.number }
    }

    pub(super) fn ledger(&self, ledger: &Ledger) -> LedgerJson {
        LedgerJson {
            read: ledger.read,
            evaluated: ledger.evaluated.total(),
            out_of_scope: self.bucket(&ledger.out_of_scope),
            undetermined: self.bucket(&ledger.undetermined),
            skipped: self.bucket(&ledger.skipped),
            evicted_flows: ledger.evicted_flows,
        }
    }

    fn bucket(&self, bucket: &Bucket) -> BucketJson {
        let by_reason = bucket.by_reason.iter().map(|(reason, occurrences)| {
            let first = self.place(occurrences.first);
            (reason.to_string(), OccurrencesJson { count: occurrences.count, first })
        });
        BucketJson { total: bucket.total(), by_reason: by_reason.collect() }
    }

    /// A ledger, line by line.
    pub(super) fn ledger_lines(&self, sheet: &mut Sheet, ledger: &Ledger) {
        let write = "writing to a string works";
        let width = grouped(ledger.read).len();
        let mut line = |name: &str, count: u64, indent: usize, tail: &str| {
            let pad = 16 - indent;
            writeln!(sheet, "  {:indent$}{name:<pad$}{:>width$}{tail}", "", grouped(count)).expect(write);
        };
        line("read", ledger.read, 0, "");
        let evaluated = &ledger.evaluated;
        line("evaluated", evaluated.total(), 0, "");
        let kinds = [
            (VerdictKind::Allow, evaluated.allow),
            (VerdictKind::Deny, evaluated.deny),
            (VerdictKind::Mixed, evaluated.mixed),
        ];
        for (kind, count) in kinds {
            if kind != VerdictKind::Mixed || count > 0 {
                line(&kind.to_string(), count, 2, "");
            }
        }
        let buckets = [
            ("out of scope", &ledger.out_of_scope),
            ("undetermined", &ledger.undetermined),
            ("skipped", &ledger.skipped),
        ];
        for (name, bucket) in buckets {
            line(name, bucket.total(), 0, "");
            for (reason, occurrences) in &bucket.by_reason {
                let first = self.place(occurrences.first);
                let tail = format!("  {reason}, first at {} record {}", first.file, first.record);
                line("", occurrences.count, 2, &tail);
            }
        }
        if ledger.evicted_flows > 0 {
            line("evicted flows", ledger.evicted_flows, 0, "  (--max-flows)");
        }
    }

    /// The last lines of a table: what was damaged, which time it covers, what it was made from.
    pub(super) fn closing(&self, sheet: &mut Sheet, span: Option<(u64, u64)>) {
        let write = "writing to a string works";
        for damage in &self.damage {
            let unread = damage
                .unread_bytes
                .map(|bytes| format!(", {} not read", counted(bytes, "byte")))
                .unwrap_or_default();
            writeln!(
                sheet,
                "  damaged: {} after record {} at byte {}{unread}: {}",
                damage.file, damage.after_record, damage.offset, damage.message
            )
            .expect(write);
        }
        if let Some((first, last)) = span {
            writeln!(sheet, "  from {} to {}", rfc3339(first), rfc3339(last)).expect(write);
        }
        if let Some(timing) = self.timing {
            // Rounded to whole records: a rate of fractions says nothing.
            let rate = format!("{:.0}", timing.records_per_s);
            let tail = format!("{:.3} s, {rate} records/s", timing.elapsed_s);
            writeln!(sheet, "  {}", sheet.style.faint(&tail)).expect(write);
        }
        if self.pseudonyms {
            writeln!(sheet, "  addresses and names are pseudonyms").expect(write);
        }
        writeln!(sheet, "  {}", sheet.style.faint(&self.inputs.tags_shown())).expect(write);
    }
}
