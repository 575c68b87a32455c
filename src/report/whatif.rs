//! Which flows get another answer from a candidate.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde::Serialize;

use super::agreement::{AgreementJson, AgreementReport};
use super::ledger::{HitsJson, LedgerJson, PlaceJson, Provenance, SpanJson, VerdictsJson};
use super::names::{DeciderWords, Names, socket};
use super::pseudonyms::Shown;
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::{counted, grouped};
use crate::analyze::changes::ChangedRule;
use crate::analyze::whatif::{Change, Comparison, Distinct, Flip, Side};
use crate::model::network::Network;
use crate::model::rule::Direction;
use crate::model::verdict::VerdictKind;
use crate::replay::run::Totals;
use crate::replay::tally::Decider;

/// A comparison to report on.
pub struct WhatIfReport<'a> {
    /// The base.
    pub network: &'a Network,
    /// What it is shown as.
    pub shown: Shown<'a>,
    /// What the candidate is shown as.
    pub candidate: &'a Network,
    /// What the comparison came to.
    pub comparison: &'a Comparison,
    /// The rules that differ.
    pub changed_rules: &'a [ChangedRule],
    /// What was read.
    pub provenance: Provenance,
}

#[derive(Serialize)]
struct WhatIfJson<'a> {
    schema: &'static str,
    flips: Vec<FlipJson>,
    totals: TotalsJson,
    ledger: TwoSided<LedgerJson>,
    verdicts: TwoSided<VerdictsJson>,
    coverage: CoverageJson,
    /// How what was recorded agrees with the base, where something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<AgreementJson>,
    span: SpanJson,
    #[serde(flatten)]
    provenance: &'a Provenance,
}

#[derive(Serialize)]
struct TwoSided<T> {
    base: T,
    candidate: T,
}

#[derive(Serialize)]
struct FlipJson {
    #[serde(flatten)]
    sides: TwoSided<SideJson>,
    #[serde(flatten)]
    hits: HitsJson,
    sources: DistinctJson,
    destinations: DistinctJson,
    #[serde(flatten)]
    span: SpanJson,
    example: ExampleJson,
}

#[derive(Serialize)]
struct SideJson {
    verdict: VerdictKind,
    decided_by: DeciderWords,
}

/// How many there are; `more` says that there are more than were counted.
#[derive(Serialize)]
struct DistinctJson {
    count: usize,
    more: bool,
}

/// A packet as `explain` takes it.
#[derive(Serialize)]
struct ExampleJson {
    from: String,
    to: String,
    proto: String,
    /// For a flow that an interface logged: which one saw it, and which way it began there.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(flatten)]
    place: PlaceJson,
}

#[derive(Serialize)]
struct TotalsJson {
    all: HitsJson,
    newly_denied: HitsJson,
    newly_allowed: HitsJson,
    newly_mixed: HitsJson,
    newly_undetermined: HitsJson,
    newly_determined: HitsJson,
}

#[derive(Serialize)]
struct CoverageJson {
    records_read: u64,
    packets_judged_by_both: u64,
    packets_in_scope_of_base_only: u64,
    packets_in_scope_of_candidate_only: u64,
    flows: u64,
    rules_changed: usize,
    rules_changed_that_decided: usize,
}

/// A row that is shown only where load balancers made one.
const MIXED: &str = "newly mixed";

impl WhatIfReport<'_> {
    /// The flips that break something first, then by how much traffic there was.
    fn flips(&self) -> Vec<(&Change, &Flip)> {
        let mut flips: Vec<_> = self.comparison.counts.flips.iter().collect();
        flips.sort_by_key(|(change, flip)| {
            (change.rank(), Reverse((flip.hits.packets, flip.hits.flows)), **change)
        });
        flips
    }

    /// How what was recorded agrees with the base.
    fn agreement(&self) -> Option<AgreementReport<'_>> {
        AgreementReport::of(self.network, self.shown, &self.comparison.base, &self.provenance)
    }

    fn coverage(&self) -> CoverageJson {
        let Comparison { base, candidate, counts } = self.comparison;
        let decided = |rule: &&ChangedRule| rule.decided(&base.tally, &candidate.tally);
        CoverageJson {
            records_read: base.ledger.read,
            packets_judged_by_both: counts.both,
            packets_in_scope_of_base_only: counts.base_only,
            packets_in_scope_of_candidate_only: counts.candidate_only,
            flows: base.tally.verdicts.values().map(|hits| hits.flows).sum(),
            rules_changed: self.changed_rules.len(),
            rules_changed_that_decided: self.changed_rules.iter().filter(decided).count(),
        }
    }

    /// The report as `nsgsim/whatif/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.shape()).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// What JSON holds.
    pub(super) fn shape(&self) -> impl Serialize {
        let Comparison { base, candidate, counts } = self.comparison;
        let side = |network, side: &Side| SideJson {
            verdict: side.kind,
            decided_by: Names { network }.decider(&side.decider),
        };
        let flip = |(change, flip): (&Change, &Flip)| FlipJson {
            sides: TwoSided {
                base: side(self.shown.network, &change.base),
                candidate: side(self.candidate, &change.candidate),
            },
            hits: (&flip.hits).into(),
            sources: (&flip.sources).into(),
            destinations: (&flip.destinations).into(),
            span: flip.hits.span.into(),
            example: self.example(flip),
        };
        WhatIfJson {
            schema: "nsgsim/whatif/1",
            flips: self.flips().into_iter().map(flip).collect(),
            totals: TotalsJson {
                all: (&counts.all()).into(),
                newly_denied: (&counts.newly(VerdictKind::Deny)).into(),
                newly_allowed: (&counts.newly(VerdictKind::Allow)).into(),
                newly_mixed: (&counts.newly(VerdictKind::Mixed)).into(),
                newly_undetermined: (&counts.newly(VerdictKind::Undetermined)).into(),
                newly_determined: (&counts.newly_determined()).into(),
            },
            ledger: TwoSided {
                base: self.provenance.ledger(&base.ledger),
                candidate: self.provenance.ledger(&candidate.ledger),
            },
            verdicts: TwoSided { base: (&base.tally).into(), candidate: (&candidate.tally).into() },
            coverage: self.coverage(),
            agreement: self.agreement().map(|agreement| agreement.json()),
            span: base.tally.span.into(),
            provenance: &self.provenance,
        }
    }

    fn example(&self, flip: &Flip) -> ExampleJson {
        let tuple = &flip.example;
        ExampleJson {
            from: socket(tuple.source, tuple.source_port),
            to: socket(tuple.destination, tuple.destination_port),
            proto: tuple.protocol.to_string(),
            at: flip.at.map(|(interface, _)| Names { network: self.shown.network }.interface(interface)),
            direction: flip.at.map(|(_, direction)| direction),
            place: self.provenance.place(flip.location),
        }
    }

    /// The report for people.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        self.write(&mut sheet);
        sheet.finish()
    }

    /// Its sections.
    pub(super) fn write(&self, sheet: &mut Sheet) {
        self.flips_text(sheet);
        self.totals_table(sheet);
        self.ledger_table(sheet);
        self.coverage_text(sheet);
        if let Some(agreement) = self.agreement() {
            agreement.table(sheet);
        }
        self.provenance.closing(sheet, self.comparison.base.tally.span);
    }

    fn flips_text(&self, sheet: &mut Sheet) {
        let style = sheet.style;
        let write = "writing to a string works";
        sheet.section("Flips");
        let flips = self.flips();
        if flips.is_empty() {
            sheet.line("  none");
        }
        for (change, flip) in flips {
            let words = |network, side: &Side| {
                let verdict = style.verdict(side.kind);
                match side.decider {
                    Decider::Open(code) => format!("{verdict}: {code}"),
                    decider => format!("{verdict} by {}", Names { network }.decider(&decider).line()),
                }
            };
            let (base, candidate) =
                (words(self.shown.network, &change.base), words(self.candidate, &change.candidate));
            writeln!(sheet, "  {base} -> {candidate}").expect(write);
            let Flip { hits, sources, destinations, .. } = flip;
            writeln!(
                sheet,
                "    {}, {}, {}; {}, {}",
                counted(hits.flows, "flow"),
                counted(hits.packets, "packet"),
                counted(hits.bytes, "byte"),
                addresses(sources, "source"),
                addresses(destinations, "destination"),
            )
            .expect(write);
            let SpanJson { first, last } = hits.span.into();
            if let (Some(first), Some(last)) = (first, last) {
                writeln!(sheet, "    from {first} to {last}").expect(write);
            }
            let example = Names { network: self.shown.network }.explain(&flip.example, flip.at).join(" ");
            let place = self.provenance.place(flip.location);
            let place = style.faint(&format!("{} record {}", place.file, place.record));
            writeln!(sheet, "    {example}  {place}").expect(write);
        }
    }

    fn totals_table(&self, sheet: &mut Sheet) {
        sheet.section("Totals");
        let counts = &self.comparison.counts;
        let rows = [
            ("newly denied", counts.newly(VerdictKind::Deny)),
            ("newly allowed", counts.newly(VerdictKind::Allow)),
            (MIXED, counts.newly(VerdictKind::Mixed)),
            ("newly undetermined", counts.newly(VerdictKind::Undetermined)),
            ("newly determined", counts.newly_determined()),
        ];
        let mut table = Table::new(&["", "flows", "packets", "bytes"], &[1, 2, 3]);
        for (name, hits) in
            rows.into_iter().filter(|(name, hits)| *name != MIXED || hits.flows + hits.packets > 0)
        {
            table.add_row([name.to_owned(), grouped(hits.flows), grouped(hits.packets), grouped(hits.bytes)]);
        }
        sheet.table(&table);
    }

    fn ledger_table(&self, sheet: &mut Sheet) {
        sheet.section("Ledger");
        let Comparison { base, candidate, .. } = self.comparison;
        let mut table = Table::new(&["", "base", "candidate"], &[1, 2]);
        let mut row = |name: &str, count: fn(&Totals) -> u64| {
            table.add_row([name.to_owned(), grouped(count(base)), grouped(count(candidate))]);
        };
        row("read", |totals| totals.ledger.read);
        row("evaluated", |totals| totals.ledger.evaluated.total());
        row("  allow", |totals| totals.ledger.evaluated.allow);
        row("  deny", |totals| totals.ledger.evaluated.deny);
        if [base, candidate].into_iter().any(|side| side.ledger.evaluated.mixed > 0) {
            row("  mixed", |totals| totals.ledger.evaluated.mixed);
        }
        row("out of scope", |totals| totals.ledger.out_of_scope.total());
        row("undetermined", |totals| totals.ledger.undetermined.total());
        row("skipped", |totals| totals.ledger.skipped.total());
        row("evicted flows", |totals| totals.ledger.evicted_flows);
        sheet.table(&table);
    }

    fn coverage_text(&self, sheet: &mut Sheet) {
        let write = "writing to a string works";
        sheet.section("Coverage");
        let coverage = self.coverage();
        writeln!(
            sheet,
            "  {} read, {} judged by both, {} seen",
            counted(coverage.records_read, "record"),
            grouped(coverage.packets_judged_by_both),
            counted(coverage.flows, "flow"),
        )
        .expect(write);
        writeln!(
            sheet,
            "  {} changed, {} of which decided about this traffic",
            counted(coverage.rules_changed as u64, "rule"),
            grouped(coverage.rules_changed_that_decided as u64),
        )
        .expect(write);
        let one_sided = [
            (coverage.packets_in_scope_of_base_only, "base"),
            (coverage.packets_in_scope_of_candidate_only, "candidate"),
        ];
        for (count, side) in one_sided.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(sheet, "  {} in scope of the {side} alone", counted(count, "packet")).expect(write);
        }
    }
}

impl From<&Distinct> for DistinctJson {
    fn from(distinct: &Distinct) -> Self {
        Self { count: distinct.count(), more: distinct.is_more() }
    }
}

fn addresses(distinct: &Distinct, one: &str) -> String {
    let counted = counted(distinct.count() as u64, one);
    if distinct.is_more() { format!("more than {counted}") } else { counted }
}
