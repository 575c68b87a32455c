//! `nsgsim diff`: every possible packet that gets another verdict.

use super::arguments::{OutputArgs, ReadingArgs, SidesArgs, TextOrJson, ThreadsArgs};
use super::gate::FailOn;
use super::{CliError, Status, inputs, output};
use crate::analyze::diff::difference;
use crate::report::diff::DiffReport;

/// Every possible packet whose verdict a change turns, without traffic
///
/// Exact and complete: what is not shown keeps its verdict. Packets are the first ones of new flows, as `explain` asks
/// for them. Each region ends with one of its packets, as arguments for `explain`. Exit status: 1 if something flips as
/// --fail-on says. With newly-denied or newly-allowed, 3 if instead a packet becomes undetermined that could be one.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    sides: SidesArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    /// The virtual network, where several hold the addresses
    #[arg(long, value_name = "VNET")]
    vnet: Option<String>,
    /// What ends with exit status 1
    #[arg(long, default_value = "any")]
    fail_on: FailOn,
    /// table, md or json
    #[arg(long, default_value = "table")]
    format: TextOrJson,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.reading.tags, quiet)?;
    let [base, candidate] = inputs::sides(&args.sides, &args.reading.exports, &tags, quiet)?;
    let vnet = args.vnet.as_deref().map(|text| inputs::one_vnet(&base.compiled.network, text)).transpose()?;
    let pool = args.threads.pool()?;
    let difference = pool.install(|| difference(&base.compiled, &candidate.compiled, vnet));
    let report = DiffReport {
        base: &base.compiled,
        candidate: &candidate.compiled,
        difference: &difference,
        inputs: base.inputs.clone().with_candidate(candidate.inputs.clone()),
    };
    let text = match args.format {
        TextOrJson::Json => report.json(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(args.fail_on.status(&difference.flips))
}
