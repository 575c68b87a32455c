//! `nsgsim usage`: which rules traffic needed, and what of them.

use std::sync::Arc;

use super::arguments::{JudgingArgs, NetworkArgs, OutputArgs, TextJsonOrCsv};
use super::traffic::Traffic;
use super::{CliError, Status, inputs, output};
use crate::analyze::usage::Collector;
use crate::replay::run::{Replay, ReplayOptions};
use crate::report::pseudonyms::Shown;
use crate::report::usage::UsageReport;

/// Which rules traffic hit, when last, and what of each rule it needed
///
/// INPUT is as for `replay`. A flow hits every rule that answers on its way, those that let it on as well as the one that
/// decides, where `replay` counts that one alone; default rules too. Its packets and bytes, of both directions, count for
/// each. The last hit is the last packet of a flow that hit the rule. A flow counts for every term of a rule that covers
/// it. Of a flow that is undetermined only those rules count that answer alike however the question turns out; those that
/// it may have hit besides are told apart from those that were never hit. The first
/// 256 addresses, blocks and ports of a field are told one by one, the rest as a number of flows, so that memory hangs on
/// the network and not on the traffic. No hits in a short window do not make a rule dead: the window is told. The exit
/// status is 0.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    judging: JudgingArgs,
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
    let network = &loaded.compiled.network;
    let options = ReplayOptions { flows: true, ..args.judging.options(network)? };
    let mut traffic = Traffic::find(&args.judging.inputs, args.judging.reading(), quiet)?;
    let pool = args.judging.threads.pool()?;
    let mut collector = Collector::new(&loaded.compiled, &options);
    let replay = Replay::new(Arc::clone(&loaded.compiled), options);
    let totals = traffic.replay(&pool, replay, |flow| collector.add(flow))?;

    let pseudonyms = args.judging.pseudonyms();
    let masked = pseudonyms.as_ref().map(|by| by.masked(&**network));
    let shown = Shown { network: masked.as_ref().unwrap_or(network), pseudonyms: pseudonyms.as_ref() };
    let report = UsageReport {
        network: shown.network,
        usage: &shown.masked(&collector.finish()),
        totals: &totals,
        provenance: shown.masked(&traffic.provenance(args.judging.no_timing, loaded.inputs.clone())),
    };
    let text = match args.format {
        TextJsonOrCsv::Json => report.json(),
        TextJsonOrCsv::Csv => report.csv(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    let incomplete = args.judging.is_incomplete(&totals.ledger);
    Ok(if incomplete { Status::Incomplete } else { Status::Clean })
}
