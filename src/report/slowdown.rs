//! Two benches side by side, and what became worse.

use serde::Serialize;

use super::bench::{SpreadJson, subject_shown};
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::{counted, grouped};
use crate::analyze::slowdown::{Compared, Figure, Slowdown, Uncompared};
use crate::model::measured::{MeasuredBench, Spread};

/// A comparison to report on.
pub struct SlowdownReport<'a> {
    /// The earlier bench, with its file's name as the user gave it.
    pub old: (&'a str, &'a MeasuredBench),
    /// The later bench.
    pub new: (&'a str, &'a MeasuredBench),
    /// What came of it.
    pub slowdown: &'a Slowdown,
}

#[derive(Serialize)]
struct SlowdownJson<'a> {
    schema: &'static str,
    old: SideJson<'a>,
    new: SideJson<'a>,
    regressions: usize,
    compared: Vec<ComparedJson<'a>>,
    not_compared: Vec<UncomparedJson<'a>>,
    version: &'static str,
}

#[derive(Serialize)]
struct SideJson<'a> {
    file: &'a str,
    version: Option<&'a str>,
    machine: Option<&'a str>,
}

#[derive(Serialize)]
struct ComparedJson<'a> {
    figure: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<u64>,
    old: SpreadJson,
    new: SpreadJson,
    ratio: f64,
    regression: bool,
}

#[derive(Serialize)]
struct UncomparedJson<'a> {
    subject: &'a str,
    threads: u64,
    only_in: &'static str,
}

impl<'a> From<&'a Compared> for ComparedJson<'a> {
    fn from(compared: &'a Compared) -> Self {
        let (figure, subject, threads) = match &compared.figure {
            Figure::Speed { subject, threads } => ("per_second", Some(subject.as_str()), Some(*threads)),
            Figure::CompileTime => ("compile_s", None, None),
            Figure::Memory => ("memory_bytes", None, None),
        };
        Self {
            figure,
            subject,
            threads,
            old: compared.old.into(),
            new: compared.new.into(),
            ratio: compared.ratio,
            regression: compared.is_regression,
        }
    }
}

impl<'a> From<&'a Uncompared> for UncomparedJson<'a> {
    fn from(one: &'a Uncompared) -> Self {
        Self { subject: &one.subject, threads: one.threads, only_in: only_in(one) }
    }
}

fn only_in(uncompared: &Uncompared) -> &'static str {
    if uncompared.is_new { "new" } else { "old" }
}

impl SlowdownReport<'_> {
    fn regressions(&self) -> usize {
        self.slowdown.compared.iter().filter(|compared| compared.is_regression).count()
    }

    /// The report as `nsgsim/bench-compare/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let json = SlowdownJson {
            schema: "nsgsim/bench-compare/1",
            old: side(self.old),
            new: side(self.new),
            regressions: self.regressions(),
            compared: self.slowdown.compared.iter().map(ComparedJson::from).collect(),
            not_compared: self.slowdown.uncompared.iter().map(UncomparedJson::from).collect(),
            version: env!("CARGO_PKG_VERSION"),
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        sheet.section("Medians, new by old");
        let mut table = Table::new(&["", "threads", "old", "new", "ratio", ""], &[1, 2, 3, 4]);
        for compared in &self.slowdown.compared {
            let (what, threads, shown): (String, String, fn(Spread) -> String) = match &compared.figure {
                Figure::Speed { subject, threads } => {
                    let what = format!("{}, a second", subject_shown(subject));
                    (what, threads.to_string(), |spread| grouped(spread.median.round() as u64))
                }
                Figure::CompileTime => ("compile time, ms".to_owned(), String::new(), |spread| {
                    format!("{:.1}", spread.median * 1e3)
                }),
                Figure::Memory => {
                    ("memory, bytes".to_owned(), String::new(), |spread| grouped(spread.median as u64))
                }
            };
            table.add_row([
                what,
                threads,
                shown(compared.old),
                shown(compared.new),
                format!("{:.3}", compared.ratio),
                if compared.is_regression { "regression".to_owned() } else { String::new() },
            ]);
        }
        sheet.table(&table);
        if !self.slowdown.uncompared.is_empty() {
            sheet.section("Not compared");
            for one in &self.slowdown.uncompared {
                let subject = subject_shown(&one.subject);
                let threads = counted(one.threads, "thread");
                sheet.line(&format!("  {subject} on {threads}: in the {} bench alone", only_in(one)));
            }
        }
        sheet.line("");
        sheet.line(&match self.regressions() {
            0 => "no regression".to_owned(),
            count => counted(count as u64, "regression"),
        });
        sheet.finish()
    }
}

fn side<'a>((file, bench): (&'a str, &'a MeasuredBench)) -> SideJson<'a> {
    SideJson { file, version: bench.version.as_deref(), machine: bench.machine.as_deref() }
}
