//! One page that shows what became of captured traffic: it holds everything that it needs, and loads nothing.
//!
//! Words from the input come into it through the templates and through [`svg::Svg`] alone, both of which escape them. What
//! style and script it has are named by their hashes in its security policy, so that nothing else in it could run.

mod agreement;
mod denied;
mod ledger;
mod marks;
mod matrix;
mod over_time;
mod rules;
mod svg;
mod topology;
mod topology_table;

use std::sync::Arc;

use askama::Template;
use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest as _, Sha256};

use self::agreement::Agreement;
use self::denied::{Denied, Talkers};
use self::ledger::{Fact, Ledger};
use self::marks::{Count, Mark, share};
use self::matrix::Matrix;
use self::over_time::OverTime;
use self::rules::Rules;
use self::topology::Topology;
use super::agreement::AgreementReport;
use super::ledger::Provenance;
use super::pseudonyms::Shown;
use super::time::rfc3339;
use crate::compile::network::CompiledNetwork;
use crate::model::verdict::VerdictKind;
use crate::replay::digest::Digest;
use crate::replay::digest::zones::ZoneFinder;
use crate::replay::run::{ReplayOptions, Totals};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A replay to make a page of.
pub struct ReplayPage<'a> {
    /// The network.
    pub compiled: &'a Arc<CompiledNetwork>,
    /// What it is shown as: itself, or under pseudonyms.
    pub shown: Shown<'a>,
    /// How it was replayed.
    pub options: &'a ReplayOptions,
    /// The counts.
    pub totals: &'a Totals,
    /// What was kept of its flows.
    pub digest: &'a Digest,
    /// What was read.
    pub provenance: &'a Provenance,
}

/// One of the figures at the top.
struct Figure {
    name: &'static str,
    mark: Option<Mark>,
    count: Count,
    note: String,
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate {
    policy: String,
    style: &'static str,
    script: &'static str,
    span: Option<(String, String)>,
    figures: Vec<Figure>,
    over_time: OverTime,
    talkers: Talkers,
    matrix: Matrix,
    rules: Rules,
    topology: Topology,
    denied: Denied,
    agreement: Option<Agreement>,
    ledger: Ledger,
    facts: Vec<Fact>,
    marks: Vec<Mark>,
}

impl ReplayPage<'_> {
    /// The page as HTML. The same replay gives the same bytes, but for how long it took, where the provenance has that.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn html(&self) -> String {
        let network = self.shown.network;
        let mut finder = ZoneFinder::new(Arc::clone(self.compiled), self.options.simulator.vnet);
        let page = PageTemplate {
            policy: policy(),
            style: STYLE,
            script: SCRIPT,
            span: self.totals.tally.span.map(|(first, last)| (rfc3339(first), rfc3339(last))),
            figures: self.figures(),
            over_time: OverTime::new(&self.digest.timeline),
            talkers: Talkers::new(self.shown, &self.totals.tally, &mut finder),
            matrix: Matrix::new(network, &self.digest.pairs),
            rules: Rules::new(network, &self.totals.tally, &self.digest.rules),
            topology: Topology::new(network),
            denied: Denied::new(self, &mut finder),
            agreement: AgreementReport::of(&self.compiled.network, self.shown, self.totals, self.provenance)
                .map(|report| Agreement::new(&report)),
            ledger: Ledger::new(self.totals, self.provenance),
            facts: ledger::facts(self.provenance),
            marks: marks::ALL.map(Mark::of).to_vec(),
        };
        page.render().expect("writing to a string works")
    }

    fn figures(&self) -> Vec<Figure> {
        let Totals { ledger, tally, .. } = self.totals;
        let hits = |kind| tally.verdicts.get(&kind).copied().unwrap_or_default();
        let mut figures = vec![Figure {
            name: "records read",
            mark: None,
            count: Count(ledger.read),
            note: format!("{} evaluated", Count(ledger.evaluated.total())),
        }];
        for kind in marks::ALL {
            let records = match kind {
                VerdictKind::Allow => ledger.evaluated.allow,
                VerdictKind::Deny => ledger.evaluated.deny,
                VerdictKind::Mixed => ledger.evaluated.mixed,
                VerdictKind::Undetermined => ledger.undetermined.total(),
            };
            if records == 0 && kind == VerdictKind::Mixed {
                continue;
            }
            let share = share(records, ledger.read);
            let flows = super::time::counted(hits(kind).flows, "flow");
            figures.push(Figure {
                name: "records",
                mark: Some(Mark::of(kind)),
                count: Count(records),
                note: format!("{share} of records, {flows}"),
            });
        }
        let set_aside = [("out of scope", &ledger.out_of_scope), ("skipped", &ledger.skipped)];
        figures.extend(set_aside.map(|(name, bucket)| Figure {
            name,
            mark: None,
            count: Count(bucket.total()),
            note: format!("{} of records", share(bucket.total(), ledger.read)),
        }));
        figures
    }
}

/// What the page may do: show its own style and run its own script, and nothing else.
fn policy() -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    )
}

/// A text's hash as a security policy names it.
fn source(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}
