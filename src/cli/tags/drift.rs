//! `nsgsim tags drift`: what another state of the service tags changes.

use std::path::PathBuf;
use std::sync::Arc;

use crate::analyze::changes::ChangedRule;
use crate::analyze::diff::difference;
use crate::analyze::drift::{Naming, concerned, lives, tag_changes};
use crate::analyze::whatif::WhatIf;
use crate::cli::arguments::{ExportsArgs, JudgingArgs, OutputArgs, TagsArgs, TextOrJson};
use crate::cli::gate::FailOn;
use crate::cli::traffic::Traffic;
use crate::cli::{CliError, Status, inputs, output};
use crate::model::network::Network;
use crate::model::verdict::RulePlace;
use crate::replay::tally::Decider;
use crate::report::diff::DiffReport;
use crate::report::drift::{DriftReport, Effect};
use crate::report::inputs::Inputs;
use crate::report::pseudonyms::Shown;
use crate::report::whatif::WhatIfReport;

/// What another state of the service tags changes: the tags, and a network's decisions
///
/// With a network: the rules that name a tag which changed, and every possible packet that gets another verdict. With
/// INPUT, as for `replay`: which flows of that traffic do. Base is the network with the tags of OLD, candidate with those
/// of NEW; each region and flow ends with arguments for `explain`, to be asked with --tags OLD and --tags NEW.
///
/// Exit status: 1 if a possible packet flips as --fail-on says. With newly-denied or newly-allowed, 3 if instead one
/// becomes undetermined that could be one.
#[derive(clap::Args, Debug)]
#[command(mut_arg("inputs", |inputs| inputs.required(false).requires("network")))]
#[command(mut_arg("anonymize", |anonymize| anonymize.hide(true)))]
#[command(mut_arg("at", |at| at.hide(true)))]
pub(super) struct Args {
    /// A service tag file (.gz and .zst accepted), or `none`
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// Another one
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Files or folders with exports, in any mix of shapes
    #[arg(short = 's', long, value_name = "PATH")]
    network: Vec<PathBuf>,
    #[command(flatten)]
    exports: ExportsArgs,
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
    args.judging.refuse_parts()?;
    let read = |path: &PathBuf| inputs::tags(&TagsArgs { tags: Some(path.clone()) }, quiet);
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let changes = tag_changes(&old, &new);
    let write = |report: &DriftReport<'_>| {
        let text = match args.format {
            TextOrJson::Json => report.json(),
            text => report.table(args.output.style(text.form())),
        };
        output::write(args.output.output.as_deref(), &text)
    };
    if args.network.is_empty() {
        let made_from =
            Inputs { candidate_tags: new.source.clone(), ..Inputs::new(None, old.source.clone()) };
        write(&DriftReport { changes: &changes, effect: None, inputs: made_from })?;
        return Ok(Status::Clean);
    }

    let [base, candidate] = inputs::under_both(&args.network, &args.exports, [&old, &new], quiet)?;
    let options = args.judging.options(&base.compiled.network)?;
    let pool = args.judging.threads.pool()?;
    let vnet = options.simulator.vnet;
    let found = pool.install(|| difference(&base.compiled, &candidate.compiled, vnet));
    let made_from = Inputs { candidate_tags: new.source.clone(), ..base.inputs.clone() };

    let seen = match args.judging.inputs.is_empty() {
        true => None,
        false => {
            let side = |loaded: &inputs::Loaded| (Arc::clone(&loaded.compiled), options);
            let mut traffic = Traffic::find(&args.judging.inputs, args.judging.reading(), quiet)?;
            let mut whatif = WhatIf::new(side(&base), side(&candidate));
            traffic.compare(&pool, &mut whatif)?;
            Some((whatif.finish(), traffic.provenance(args.judging.no_timing, made_from.clone())))
        }
    };
    let network = &*base.compiled.network;
    let concerned = concerned(&base.compiled, &changes);
    let changed_rules: Vec<ChangedRule> =
        concerned.keys().filter_map(|naming| changed(network, *naming)).collect();
    let traffic = seen.as_ref().map(|(comparison, provenance)| WhatIfReport {
        network,
        shown: Shown { network, pseudonyms: None },
        candidate: &candidate.compiled.network,
        comparison,
        changed_rules: &changed_rules,
        provenance: provenance.clone(),
    });
    let effect = Effect {
        network,
        concerned: &concerned,
        lives: &pool.install(|| lives(&base.compiled, &candidate.compiled)),
        difference: DiffReport {
            base: &base.compiled,
            candidate: &candidate.compiled,
            difference: &found,
            intended: None,
            inputs: made_from.clone(),
        },
        traffic,
    };
    write(&DriftReport { changes: &changes, effect: Some(effect), inputs: made_from })?;
    Ok(match args.fail_on.status(&found.flips) {
        Status::Clean => match &seen {
            Some((comparison, _)) if args.judging.is_incomplete(&comparison.candidate.ledger) => {
                Status::Incomplete
            }
            _ => Status::Clean,
        },
        status => status,
    })
}

/// A rule whose tags changed, as one that differs.
fn changed(network: &Network, naming: Naming) -> Option<ChangedRule> {
    let place = match naming {
        Naming::Rule(RulePlace::Nsg { nsg, rule }) => {
            let direction = network.nsgs[nsg.get()].rules[rule as usize].direction;
            Decider::Rule { nsg, direction, rule }
        }
        Naming::Rule(RulePlace::Admin(rule)) => {
            Decider::AdminRule { direction: network.admin_rule(rule).direction, rule }
        }
        Naming::Route(..) => return None,
    };
    Some(ChangedRule::in_place(place))
}
