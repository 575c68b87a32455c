//! The ledger, and what the page was made from.

use super::marks::{Count, Mark, share};
use crate::model::verdict::VerdictKind;
use crate::replay::ledger::Bucket;
use crate::replay::run::Totals;
use crate::report::ledger::Provenance;
use crate::report::time::counted;

/// How many files are named.
const FILES_NAMED: usize = 20;

/// Where every record went.
pub(super) struct Ledger {
    pub(super) rows: Vec<Row>,
    /// The sum in one sentence.
    pub(super) sum: String,
}

/// One line of it.
pub(super) struct Row {
    /// How deep it stands: a part of the line above it that stands less deep.
    pub(super) depth: u8,
    pub(super) name: String,
    pub(super) mark: Option<Mark>,
    pub(super) count: Count,
    pub(super) share: String,
    /// What a reason means.
    pub(super) meaning: String,
    /// Where the first record of a reason stands.
    pub(super) first: String,
}

impl Ledger {
    pub(super) fn new(totals: &Totals, provenance: &Provenance) -> Self {
        let ledger = &totals.ledger;
        let line = |depth, name: &str, mark, count| Row {
            depth,
            name: name.to_owned(),
            mark,
            count: Count(count),
            share: share(count, ledger.read),
            meaning: String::new(),
            first: String::new(),
        };
        let mut rows =
            vec![line(0, "read", None, ledger.read), line(0, "evaluated", None, ledger.evaluated.total())];
        let evaluated = &ledger.evaluated;
        for (kind, count) in [
            (VerdictKind::Allow, evaluated.allow),
            (VerdictKind::Deny, evaluated.deny),
            (VerdictKind::Mixed, evaluated.mixed),
        ] {
            if kind != VerdictKind::Mixed || count > 0 {
                let mark = Mark::of(kind);
                rows.push(line(1, mark.word, Some(mark), count));
            }
        }
        let buckets: [(&str, &Bucket); 3] = [
            ("out of scope", &ledger.out_of_scope),
            ("undetermined", &ledger.undetermined),
            ("skipped", &ledger.skipped),
        ];
        for (name, bucket) in buckets {
            rows.push(line(0, name, None, bucket.total()));
            for (reason, occurrences) in &bucket.by_reason {
                let place = provenance.place(occurrences.first);
                rows.push(Row {
                    meaning: reason.meaning().to_owned(),
                    first: format!("{} record {}", place.file, place.record),
                    ..line(1, reason.as_str(), None, occurrences.count)
                });
            }
        }
        if ledger.evicted_flows > 0 {
            let mut evicted = line(0, "evicted flows", None, ledger.evicted_flows);
            evicted.share = String::new();
            "flow records that left a full table while they were alive (--max-flows)"
                .clone_into(&mut evicted.meaning);
            rows.push(evicted);
        }
        let sum = format!(
            "{} = {} evaluated + {} out of scope + {} undetermined + {} skipped",
            counted(ledger.read, "record"),
            Count(ledger.evaluated.total()),
            Count(ledger.out_of_scope.total()),
            Count(ledger.undetermined.total()),
            Count(ledger.skipped.total())
        );
        Self { rows, sum }
    }
}

/// One thing that the page was made from.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) values: Vec<String>,
}

/// What the page was made from.
pub(super) fn facts(provenance: &Provenance) -> Vec<Fact> {
    let inputs = &provenance.inputs;
    let mut facts = Vec::new();
    let mut fact = |name, values: Vec<String>| {
        if !values.is_empty() {
            facts.push(Fact { name, values });
        }
    };
    fact("program", vec![format!("nsgsim {}", inputs.version)]);
    if provenance.pseudonyms {
        fact("addresses and names", vec!["pseudonyms (--anonymize)".to_owned()]);
    }
    fact("network", inputs.network.iter().cloned().collect());
    fact("facts", inputs.facts.iter().cloned().collect());
    fact("service tags", vec![inputs.tags_shown()]);
    let internet = inputs.internet.as_ref().map(|internet| {
        let date = internet.date.as_ref().map(|date| format!(", {date}")).unwrap_or_default();
        format!("{}{date}", internet.source)
    });
    fact("list of Internet", internet.into_iter().collect());
    let assumed = inputs.assumptions.iter().map(|(clause, choice)| format!("{clause}={choice}"));
    fact("assumptions", assumed.collect());
    fact("traffic", named(&provenance.files));
    fact("left alone: no traffic", named(&provenance.ignored));
    let damage = provenance.damage.iter().map(|damage| {
        let unread = damage.unread_bytes.map(|bytes| format!(", {} not read", counted(bytes, "byte")));
        format!(
            "{} after record {} at byte {}{}: {}",
            damage.file,
            damage.after_record,
            damage.offset,
            unread.unwrap_or_default(),
            damage.message
        )
    });
    fact("damaged", named(&damage.collect::<Vec<_>>()));
    let timing = provenance
        .timing
        .map(|timing| format!("{:.3} s, {:.0} records a second", timing.elapsed_s, timing.records_per_s));
    fact("took", timing.into_iter().collect());
    facts
}

/// The first of a list, and how many more there are.
fn named(list: &[String]) -> Vec<String> {
    let mut named: Vec<String> = list.iter().take(FILES_NAMED).cloned().collect();
    if list.len() > FILES_NAMED {
        named.push(format!("and {} more", Count((list.len() - FILES_NAMED) as u64)));
    }
    named
}
