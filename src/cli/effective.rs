//! `nsgsim effective`: the rules in force at one interface.

use super::arguments::{DirectionArg, NetworkArgs, OutputArgs, TableJsonOrCsv};
use super::{CliError, Status, inputs, output};
use crate::model::rule::Direction;
use crate::report::effective::EffectiveRules;

/// The rules in force at an interface, filter by filter in the order in which they are asked
///
/// A filter that the export lacks is shown as missing, and a tag or group that nothing defines as unknown: neither
/// counts as empty.
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
    /// table, json or csv
    #[arg(long, default_value = "table")]
    format: TableJsonOrCsv,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading, &tags, quiet)?;
    let directions = match args.direction {
        Some(direction) => vec![Direction::from(direction)],
        None => vec![Direction::Inbound, Direction::Outbound],
    };
    let rules = EffectiveRules {
        compiled: &loaded.compiled,
        nic: inputs::one_nic(&loaded.compiled.network, &args.nic)?,
        directions: &directions,
        expand: args.expand,
        inputs: loaded.inputs,
    };
    let text = match args.format {
        TableJsonOrCsv::Table => rules.table(args.output.style()),
        TableJsonOrCsv::Json => rules.json(),
        TableJsonOrCsv::Csv => rules.csv(),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(Status::Clean)
}
