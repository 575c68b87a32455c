//! `nsgsim whatif`: the same traffic before and after a change.

use std::sync::Arc;

use super::arguments::{JudgingArgs, OutputArgs, ReadingArgs, SidesArgs, TextOrJson};
use super::gate::FailOn;
use super::traffic::Traffic;
use super::{CliError, Status, inputs, output};
use crate::analyze::changes::changed_rules;
use crate::analyze::whatif::WhatIf;
use crate::report::pseudonyms::Shown;
use crate::report::whatif::WhatIfReport;

/// The same traffic before and after a change: which flows get another answer
///
/// INPUT is as for `replay`. Exit status: 1 if something flips as --fail-on says. With newly-denied or newly-allowed, 3
/// if instead a flow becomes undetermined that could be one.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    sides: SidesArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    judging: JudgingArgs,
    /// What ends with exit status 1
    #[arg(long, default_value = "any")]
    fail_on: FailOn,
    /// table, md or json
    #[arg(long, default_value = "table")]
    format: TextOrJson,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.reading.tags, quiet)?;
    let [base, candidate] = inputs::sides(&args.sides, &args.reading.exports, &tags, quiet)?;
    let side = |loaded: &inputs::Loaded| {
        let options = args.judging.options(&loaded.compiled.network)?;
        Ok::<_, CliError>((Arc::clone(&loaded.compiled), options))
    };
    let mut whatif = WhatIf::new(side(&base)?, side(&candidate)?);

    let mut traffic = Traffic::find(&args.judging.inputs, args.judging.reading(), quiet)?;
    traffic.compare(&args.judging.threads.pool()?, &mut whatif)?;
    let comparison = whatif.finish();

    let pseudonyms = args.judging.pseudonyms();
    let [base_network, candidate_network] = [&base, &candidate].map(|side| &*side.compiled.network);
    let masked =
        pseudonyms.as_ref().map(|by| [base_network, candidate_network].map(|network| by.masked(network)));
    let [base_shown, candidate_shown] = match &masked {
        Some([base, candidate]) => [base, candidate],
        None => [base_network, candidate_network],
    };
    let shown = Shown { network: base_shown, pseudonyms: pseudonyms.as_ref() };
    let made_from = base.inputs.clone().with_candidate(candidate.inputs.clone());
    let report = WhatIfReport {
        network: base_network,
        shown,
        candidate: candidate_shown,
        comparison: &shown.masked(&comparison),
        changed_rules: &changed_rules(base_network, candidate_network),
        provenance: shown.masked(&traffic.provenance(args.judging.no_timing, made_from)),
    };
    let text = match args.format {
        TextOrJson::Json => report.json(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(match args.fail_on.status(&comparison.counts.flips) {
        Status::Clean if args.judging.is_incomplete(&comparison.candidate.ledger) => Status::Incomplete,
        status => status,
    })
}
