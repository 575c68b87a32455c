//! `nsgsim effective`: the rules or routes in force at one interface, also held against what Azure answered.

use std::path::{Path, PathBuf};

use super::arguments::{DirectionArg, NetworkArgs, OutputArgs, TextJsonOrCsv};
use super::{CliError, Status, inputs, output};
use crate::analyze::{check, routes};
use crate::ingest::azure::answers;
use crate::ingest::source;
use crate::model::answered::Answered;
use crate::model::index::NicIndex;
use crate::model::rule::Direction;
use crate::report::check::CheckReport;
use crate::report::effective::EffectiveRules;
use crate::report::effective_routes::EffectiveRoutes;

/// The rules in force at an interface, filter by filter in the order in which they are asked, or its routes
///
/// A filter that the export lacks is shown as missing, and a tag or group that nothing defines as unknown: neither
/// counts as empty. With --check the exit status is 1 if anything differs.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// The interface, by its name or ID or its machine's
    #[arg(long, value_name = "NIC")]
    nic: String,
    /// Which list; both without it
    #[arg(long)]
    direction: Option<DirectionArg>,
    /// Show the prefixes that tags, application security groups, VirtualNetwork and Internet stand for here
    #[arg(long)]
    expand: bool,
    /// The interface's routes instead of its rules: those of all sources, and which are void because a stronger source
    /// has the same prefix
    #[arg(long, conflicts_with = "direction")]
    routes: bool,
    /// Hold what is computed for the interface against what Azure answered about it: an export of its effective NSG
    /// rules, of its effective route table, of a security group view or of NSG diagnostics, recognised by content
    #[arg(long, value_name = "FILE", conflicts_with_all = ["direction", "expand"])]
    check: Option<PathBuf>,
    /// table, md, json or csv
    #[arg(long, default_value = "table")]
    format: TextJsonOrCsv,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let nic = inputs::one_nic(&loaded.compiled.network, &args.nic)?;
    if let Some(file) = &args.check {
        return check(args, &loaded, nic, file);
    }
    if args.routes {
        let routes = EffectiveRoutes {
            nic: loaded.compiled.network.nic_name(nic),
            list: &routes::of_nic(&loaded.compiled, nic),
            expand: args.expand,
            inputs: loaded.inputs,
        };
        let text = match args.format {
            TextJsonOrCsv::Json => routes.json(),
            TextJsonOrCsv::Csv => routes.csv(),
            text => routes.table(args.output.style(text.form())),
        };
        output::write(args.output.output.as_deref(), &text)?;
        return Ok(Status::Clean);
    }
    let directions = match args.direction {
        Some(direction) => vec![Direction::from(direction)],
        None => vec![Direction::Inbound, Direction::Outbound],
    };
    let rules = EffectiveRules {
        compiled: &loaded.compiled,
        nic,
        directions: &directions,
        expand: args.expand,
        inputs: loaded.inputs,
    };
    let text = match args.format {
        TextJsonOrCsv::Json => rules.json(),
        TextJsonOrCsv::Csv => rules.csv(),
        text => rules.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(Status::Clean)
}

fn check(args: &Args, loaded: &inputs::Loaded, nic: NicIndex, file: &Path) -> Result<Status, CliError> {
    let shown = source::shown(file);
    let answered = answers::load(file)?;
    if args.routes && !matches!(answered, Answered::Routes(_)) {
        return Err(CliError::usage(format!(
            "{shown}: --routes asks for an effective route table: it is none"
        )));
    }
    let comparison =
        check::check(&loaded.compiled, nic, &answered).map_err(|error| CliError::usage(error.to_string()))?;
    let report = CheckReport {
        nic: loaded.compiled.network.nic_name(nic),
        file: &shown,
        comparison: &comparison,
        inputs: loaded.inputs.clone(),
    };
    let text = match args.format {
        TextJsonOrCsv::Json => report.json(),
        TextJsonOrCsv::Csv => report.csv(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(if comparison.differences.is_empty() { Status::Clean } else { Status::Findings })
}
