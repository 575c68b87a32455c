//! `nsgsim diff`: every possible packet that gets another verdict.

use super::arguments::{OutputArgs, ReadingArgs, SidesArgs, TextOrJson, ThreadsArgs};
use super::gate::FailOn;
use super::{CliError, Status, inputs, intent, output};
use crate::analyze::diff::difference;
use crate::analyze::intent::intended;
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
    /// What the change is made for: `from=SET to=SET proto=PROTOCOL[/PORTS] verdict=allow|deny`
    ///
    /// Three steps: it did not hold before, it holds after, and nothing outside it moved. SET and proto are as `reach`
    /// takes them, several sets parted by commas. Exit status 1 if a step fails, whatever --fail-on says.
    #[arg(long, value_name = "INTENT")]
    intent: Option<String>,
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
    let networks = [&base.compiled, &candidate.compiled];
    let intent = args.intent.as_deref().map(|text| intent::read(networks, text)).transpose()?;
    let (difference, intended) = pool.install(|| {
        let difference = difference(&base.compiled, &candidate.compiled, vnet);
        let intended = intent.map(|intent| intended(networks, &difference, &intent, vnet));
        (difference, intended)
    });
    let report = DiffReport {
        base: &base.compiled,
        candidate: &candidate.compiled,
        difference: &difference,
        intended: intended.as_ref(),
        inputs: base.inputs.clone().with_candidate(candidate.inputs.clone()),
    };
    let text = match args.format {
        TextOrJson::Json => report.json(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(match intended {
        Some(intended) if intended.is_met() => Status::Clean,
        Some(_) => Status::Findings,
        None => args.fail_on.status(&difference.flips),
    })
}
