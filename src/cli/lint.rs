//! `nsgsim lint`: what is odd about the NSGs of a network.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use jiff::civil::Date;

use super::arguments::{NetworkArgs, OutputArgs, ThreadsArgs};
use super::{CliError, Status, inputs, output};
use crate::analyze::lint;
use crate::analyze::lint::judged::{Selection, judge};
use crate::ingest::{json_lines, lint_config, source};
use crate::model::lint::{Check, LintConfig, Severity};
use crate::report::lint::LintReport;
use crate::report::style::Form;

/// Rules that no packet reaches, that are not needed, that let in too much; names without effect; what Azure refuses
///
/// Exact: a rule is shadowed only if the rules ahead of it together match all that it does, with service tags as the
/// addresses that they stand for, in every subnet where its NSG stands, and whatever is open. What covers it is named, and
/// a packet that shows it. `nsgsim help checks` lists what is looked for. Exit status: 1 if something that is not waived
/// weighs as much as --fail-on says.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Severities and waivers, in YAML
    ///
    /// `severities` gives checks by their ids `error`, `warning`, `note` or `off`. `waivers` is a list: the `id` of a check,
    /// the `nsg` and the `rule` that it is about (`*` or nothing for all), a `reason`, and `expires`, the last day on which
    /// it counts.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look for these too, though they are off
    #[arg(long, value_name = "CHECK,...", value_delimiter = ',')]
    enable: Vec<Chosen>,
    /// Do not look for these
    #[arg(long, value_name = "CHECK,...", value_delimiter = ',')]
    disable: Vec<Chosen>,
    /// Look for these alone; `validation` is all that shows in the input itself, such as what Azure refuses
    #[arg(long, value_name = "CHECK,...", value_delimiter = ',')]
    only: Vec<Chosen>,
    /// The least that ends with exit status 1
    #[arg(long, default_value = "error")]
    fail_on: FailOn,
    /// The day by which waivers expire; today without it
    #[arg(long, value_name = "DATE")]
    today: Option<Date>,
    /// table, md, json or sarif
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A check, or all of a group.
#[derive(Clone, Debug)]
struct Chosen(Vec<Check>);

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("validation") {
            return Ok(Self(Check::all().filter(|check| matches!(check, Check::Validation(_))).collect()));
        }
        let check = Check::of_id(text);
        check.map(|check| Self(vec![check])).ok_or_else(|| {
            let similar = Check::all().map(Check::id).max_by(|one, other| {
                let closeness = |id: &str| strsim::jaro_winkler(&id.to_lowercase(), &text.to_lowercase());
                closeness(one).total_cmp(&closeness(other))
            });
            let similar = similar.expect("there are checks");
            format!("no such check: did you mean `{similar}`? `nsgsim help checks` lists them")
        })
    }
}

/// The least that ends with exit status 1.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    /// What is wrong
    Error,
    /// Also what does not do what it seems to
    Warning,
    /// Anything
    Note,
    /// Nothing
    None,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Note => Some(Severity::Note),
            Self::None => None,
        }
    }
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For pull requests and pages: Markdown
    Md,
    /// For machines
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let config = match &args.config {
        Some(path) if source::is_stdin(path) => {
            return Err(CliError::usage("--config: standard input is for exports: expected a file"));
        }
        Some(path) => lint_config::read(path)?,
        None => LintConfig::default(),
    };
    let checks = |chosen: &[Chosen]| chosen.iter().flat_map(|Chosen(checks)| checks.clone()).collect();
    let selection = Selection {
        only: checks(&args.only),
        enabled: checks(&args.enable),
        disabled: checks(&args.disable),
        config,
    };
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let read = inputs::to_lint(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let is_asked = |check| selection.severity(check).is_some();
    let found = args.threads.pool()?.install(|| lint::found(&read.compiled, is_asked));
    let today = args.today.unwrap_or_else(|| jiff::Zoned::now().date());
    let judged = judge(&read.compiled.network, read.findings, found, &selection, today);
    let severities = Check::all().filter_map(|check| Some((check, selection.severity(check)?))).collect();
    let report = LintReport {
        compiled: &read.compiled,
        judged: &judged,
        severities: &severities,
        config: &selection.config,
        nsg_places: &read.nsg_places,
        rule_places: &read.rule_places,
        inputs: read.inputs,
    };
    let text = match args.format {
        Format::Json => report.json(),
        Format::Sarif => report.sarif(&json_lines::of_places(report.places())),
        Format::Md => report.table(args.output.style(Form::Markdown)),
        Format::Table => report.table(args.output.style(Form::Plain)),
    };
    output::write(args.output.output.as_deref(), &text)?;
    let mut unwaived = judged.iter().filter(|judged| judged.waived_by.is_none());
    let fails = args.fail_on.severity().is_some_and(|least| unwaived.any(|one| one.severity >= least));
    Ok(if fails { Status::Findings } else { Status::Clean })
}
