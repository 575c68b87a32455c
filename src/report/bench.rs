//! How fast a network is asked, beside the machine that it was measured on.

use std::fmt::Write as _;

use get_size2::StandardTracker;
use serde::Serialize;

use super::inputs::Inputs;
use super::names::{self, Names};
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::{counted, grouped};
use crate::analyze::bench::{BATCH, BenchResult, Difference, Measure, REPEATS, Subject};
use crate::compile::classifier::Form;
use crate::compile::network::CompiledNetwork;
use crate::compile::policy::Decision;
use crate::compile::world::Open;
use crate::model::measured::Spread;
use crate::model::rule::Direction;

/// The machine that figures were taken on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores that the program may use.
    pub cores: usize,
    /// The processor's name, where the system tells.
    pub processor: Option<String>,
    /// The operating system, `linux`.
    pub os: &'static str,
    /// The processor's architecture, `x86_64`.
    pub arch: &'static str,
}

/// A bench to report on.
pub struct BenchReport<'a> {
    /// What was measured.
    pub compiled: &'a CompiledNetwork,
    /// What it came to.
    pub result: &'a BenchResult,
    /// Where chance began.
    pub seed: u64,
    /// How unevenly keys were asked: the exponent of Zipf's law.
    pub skew: Option<f64>,
    /// Show what was compiled into what.
    pub plan: bool,
    /// Where it was measured.
    pub machine: Machine,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct BenchJson<'a> {
    schema: &'static str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    skew: Option<f64>,
    repeats: usize,
    measures: Vec<MeasureJson>,
    compile_s: SpreadJson,
    memory_bytes: usize,
    policies: usize,
    agreement: AgreementJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<PlanJson>>,
    machine: &'a Machine,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct MeasureJson {
    subject: &'static str,
    threads: usize,
    operations: usize,
    per_second: SpreadJson,
    latency: LatencyJson,
}

#[derive(Serialize)]
struct LatencyJson {
    /// Operations that were timed together.
    batch: usize,
    p50_ns: f64,
    p99_ns: f64,
}

#[derive(Serialize)]
pub(super) struct SpreadJson {
    median: f64,
    least: f64,
    most: f64,
}

#[derive(Serialize)]
struct AgreementJson {
    checked: usize,
    settled_by_tables: usize,
    differences: Vec<DifferenceJson>,
}

#[derive(Serialize)]
struct DifferenceJson {
    nsg: String,
    direction: Direction,
    packet: String,
    compiled: String,
    linear: String,
}

#[derive(Serialize)]
struct PlanJson {
    nsg: String,
    direction: Direction,
    rules: usize,
    entries: usize,
    form: Option<Form>,
    /// With what other policies share.
    bytes: usize,
}

impl From<Spread> for SpreadJson {
    fn from(spread: Spread) -> Self {
        Self { median: spread.median, least: spread.least, most: spread.most }
    }
}

/// What is measured, in JSON and in a table.
fn subject(subject: Subject) -> (&'static str, &'static str) {
    match subject {
        Subject::Linear => SUBJECTS[0],
        Subject::Compiled => SUBJECTS[1],
        Subject::Journey => SUBJECTS[2],
    }
}

const SUBJECTS: [(&str, &str); 3] =
    [("linear", "look-ups, linear"), ("compiled", "look-ups, compiled"), ("journey", "whole journeys")];

/// How a table calls what JSON calls `subject`.
pub(super) fn subject_shown(subject: &str) -> &str {
    SUBJECTS.iter().find(|(word, _)| *word == subject).map_or(subject, |(_, shown)| shown)
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Crossed => "crossed",
        Form::Split => "split",
        Form::Stretches => "stretches",
        Form::Vectors => "vectors",
    }
}

impl BenchReport<'_> {
    fn names(&self) -> Names<'_> {
        Names { network: &self.compiled.network }
    }

    fn plan(&self) -> Vec<PlanJson> {
        let row = |policy: &crate::compile::policy::Policy| PlanJson {
            nsg: self.compiled.network.nsg_name(policy.nsg()).to_owned(),
            direction: policy.direction,
            rules: policy.rules.len(),
            entries: policy.entries().count(),
            form: policy.form(),
            bytes: policy.memory_bytes(&mut StandardTracker::new()),
        };
        self.compiled.policies.iter().map(row).collect()
    }

    fn difference(&self, difference: &Difference) -> DifferenceJson {
        let policy = &self.compiled.policies[difference.key.policy];
        let nsg = &self.compiled.network.nsgs[policy.nsg().get()];
        let words = |answer: &Result<Decision, Box<Open>>| match answer {
            Ok(decision) => nsg.rules[decision.rule as usize].name.clone(),
            Err(open) => self.names().unknown(&open.0),
        };
        DifferenceJson {
            nsg: self.compiled.network.nsg_name(policy.nsg()).to_owned(),
            direction: policy.direction,
            packet: names::tuple(&difference.key.tuple),
            compiled: words(&difference.compiled),
            linear: words(&difference.linear),
        }
    }

    /// The report as `nsgsim/bench/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let measure = |measure: &Measure| MeasureJson {
            subject: subject(measure.subject).0,
            threads: measure.threads,
            operations: measure.operations,
            per_second: measure.per_second.into(),
            latency: LatencyJson {
                batch: BATCH,
                p50_ns: measure.latency.p50_ns,
                p99_ns: measure.latency.p99_ns,
            },
        };
        let json = BenchJson {
            schema: "nsgsim/bench/1",
            seed: self.seed,
            skew: self.skew,
            repeats: REPEATS,
            measures: self.result.measures.iter().map(measure).collect(),
            compile_s: self.result.compile_s.into(),
            memory_bytes: self.result.memory_bytes,
            policies: self.compiled.policies.len(),
            agreement: AgreementJson {
                checked: self.result.checked,
                settled_by_tables: self.result.settled,
                differences: self.result.differences.iter().map(|found| self.difference(found)).collect(),
            },
            plan: self.plan.then(|| self.plan()),
            machine: &self.machine,
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let write = "writing to a string works";
        let mut sheet = Sheet::new(style);
        sheet.section(&format!("Operations a second, median of {REPEATS}"));
        let header = ["", "threads", "operations", "median", "least", "most", "p50 ns", "p99 ns"];
        let mut table = Table::new(&header, &[1, 2, 3, 4, 5, 6, 7]);
        for measure in &self.result.measures {
            let Spread { median, least, most } = measure.per_second;
            let whole = |figure: f64| format!("{figure:.0}");
            table.add_row([
                subject(measure.subject).1.to_owned(),
                measure.threads.to_string(),
                grouped(measure.operations as u64),
                whole(median),
                whole(least),
                whole(most),
                format!("{:.1}", measure.latency.p50_ns),
                format!("{:.1}", measure.latency.p99_ns),
            ]);
        }
        sheet.table(&table);

        sheet.section("Tables");
        let Spread { median, least, most } = self.result.compile_s;
        writeln!(
            sheet,
            "  {} compiled in {:.1} ms ({:.1} to {:.1}), {}",
            policies(self.compiled.policies.len()),
            median * 1e3,
            least * 1e3,
            most * 1e3,
            counted(self.result.memory_bytes as u64, "byte")
        )
        .expect(write);
        if self.plan {
            let header = ["NSG", "direction", "rules", "entries", "form", "bytes"];
            let mut table = Table::new(&header, &[2, 3, 5]);
            for row in self.plan() {
                table.add_row([
                    row.nsg,
                    row.direction.to_string(),
                    grouped(row.rules as u64),
                    grouped(row.entries as u64),
                    row.form.map_or("linear", form).to_owned(),
                    grouped(row.bytes as u64),
                ]);
            }
            sheet.table(&table);
        }

        sheet.section("Agreement");
        writeln!(
            sheet,
            "  {} asked of both engines, {} settled by the tables alone, {}",
            counted(self.result.checked as u64, "key"),
            grouped(self.result.settled as u64),
            counted(self.result.differences.len() as u64, "difference")
        )
        .expect(write);
        for difference in &self.result.differences {
            let DifferenceJson { nsg, direction, packet, compiled, linear } = self.difference(difference);
            writeln!(sheet, "  {nsg} {direction} {packet}: compiled {compiled}, linear {linear}")
                .expect(write);
        }
        let processor = self.machine.processor.as_deref().unwrap_or("unknown processor");
        let Machine { cores, os, arch, .. } = self.machine;
        let machine = format!("{} of {processor}, {os} on {arch}", counted(cores as u64, "core"));
        writeln!(sheet, "  {}", style.faint(&machine)).expect(write);
        writeln!(sheet, "  {}", style.faint(&self.inputs.tags_shown())).expect(write);
        sheet.finish()
    }
}

fn policies(count: usize) -> String {
    if count == 1 { "1 policy".to_owned() } else { format!("{} policies", grouped(count as u64)) }
}
