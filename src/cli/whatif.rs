//! `nsgsim whatif`: the same traffic before and after a change.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::arguments::{JudgingArgs, OutputArgs, ReadingArgs, TextOrJson};
use super::traffic::{Batch, Traffic};
use super::{CliError, Status, inputs, output};
use crate::analyze::changes::changed_rules;
use crate::analyze::whatif::{Counts, WhatIf};
use crate::model::verdict::VerdictKind;
use crate::report::pseudonyms::Shown;
use crate::report::whatif::WhatIfReport;

/// The same traffic before and after a change: which flows get another answer
///
/// INPUT is as for `replay`. Exit status: 1 if something flips as --fail-on says. With newly-denied or newly-allowed, 3
/// if instead a flow becomes undetermined that could be one.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The network before the change: files or folders with exports; a Terraform plan alone is both networks
    #[arg(long, value_name = "PATH", required_unless_present = "cand")]
    base: Vec<PathBuf>,
    /// The network after the change
    #[arg(long, value_name = "PATH", required_unless_present = "base")]
    cand: Vec<PathBuf>,
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

/// What ends with exit status 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FailOn {
    /// Any flow with another verdict
    Any,
    /// A flow that the candidate denies and the base does not
    NewlyDenied,
    /// A flow that the candidate allows and the base does not
    NewlyAllowed,
    /// Nothing
    None,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.reading.tags, quiet)?;
    let [base, candidate] = inputs::sides((&args.base, &args.cand), &args.reading, &tags, quiet)?;
    let side = |loaded: &inputs::Loaded| {
        let options = args.judging.options(&loaded.compiled.network)?;
        Ok::<_, CliError>((Arc::clone(&loaded.compiled), options))
    };
    let mut whatif = WhatIf::new(side(&base)?, side(&candidate)?);

    let mut traffic = Traffic::find(&args.judging.inputs, args.judging.reading(), quiet)?;
    let pool = args.judging.threads.pool()?;
    traffic.each(&pool, |batch| {
        match batch {
            Batch::Packets(packets) => whatif.feed(&packets.records),
            Batch::Entries(entries) => whatif.feed_recorded(entries),
        }
        Ok(())
    })?;
    let comparison = whatif.finish();
    traffic.finish();

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
    Ok(match status(args.fail_on, &comparison.counts) {
        Status::Clean if args.judging.is_incomplete(&comparison.candidate.ledger) => Status::Incomplete,
        status => status,
    })
}

fn status(fail_on: FailOn, counts: &Counts) -> Status {
    let kind = match fail_on {
        FailOn::None => return Status::Clean,
        FailOn::Any if counts.flips.is_empty() => return Status::Clean,
        FailOn::Any => return Status::Findings,
        FailOn::NewlyDenied => VerdictKind::Deny,
        FailOn::NewlyAllowed => VerdictKind::Allow,
    };
    // A flow that had another verdict, and of which the candidate leaves open whether it now has this one.
    let could_be = counts
        .flips
        .keys()
        .any(|change| change.candidate.kind == VerdictKind::Undetermined && change.base.kind != kind);
    // Where only some backends get the flow, it is newly denied if all did before, and newly allowed if none did.
    let partly = counts.flips.keys().any(|change| {
        let opposite = if kind == VerdictKind::Deny { VerdictKind::Allow } else { VerdictKind::Deny };
        change.candidate.kind == VerdictKind::Mixed && change.base.kind == opposite
    });
    // A denied flow of a log has no packets.
    let newly = counts.flips.keys().any(|change| change.candidate.kind == kind);
    if partly || newly {
        Status::Findings
    } else if could_be {
        Status::Incomplete
    } else {
        Status::Clean
    }
}

#[cfg(test)]
mod tests {
    use super::{FailOn, Status, status};
    use crate::analyze::whatif::{Change, Counts, Distinct, Flip, Side};
    use crate::model::flow::{FiveTuple, Port};
    use crate::model::record::Location;
    use crate::model::rule::Protocol;
    use crate::model::verdict::VerdictKind::{self, Allow, Deny, Undetermined};
    use crate::replay::tally::{Decider, Hits};

    fn flip(base: VerdictKind, candidate: VerdictKind) -> Counts {
        let side = |kind| Side { decider: Decider::NoSecurityGroup, kind };
        let address = std::net::Ipv4Addr::new(10, 0, 0, 4).into();
        let flip = Flip {
            hits: Hits { packets: 1, bytes: 60, flows: 1, span: None },
            sources: Distinct::default(),
            destinations: Distinct::default(),
            example: FiveTuple {
                source: address,
                destination: address,
                protocol: Protocol::TCP,
                source_port: Port::Number(50000),
                destination_port: Port::Number(443),
            },
            at: None,
            location: Location { file: 0, number: 1 },
        };
        let change = Change { base: side(base), candidate: side(candidate) };
        Counts { flips: [(change, flip)].into(), ..Counts::default() }
    }

    #[test]
    fn a_flow_that_could_be_newly_denied_is_no_clean_answer() {
        for (base, candidate, fail_on, expected) in [
            (Allow, Deny, FailOn::NewlyDenied, Status::Findings),
            (Undetermined, Deny, FailOn::NewlyDenied, Status::Findings),
            (Allow, Undetermined, FailOn::NewlyDenied, Status::Incomplete),
            (Deny, Undetermined, FailOn::NewlyDenied, Status::Clean),
            (Deny, Allow, FailOn::NewlyDenied, Status::Clean),
            (Deny, Allow, FailOn::NewlyAllowed, Status::Findings),
            (Deny, Undetermined, FailOn::NewlyAllowed, Status::Incomplete),
            (Allow, Undetermined, FailOn::NewlyAllowed, Status::Clean),
            (Allow, Undetermined, FailOn::Any, Status::Findings),
            (Allow, Deny, FailOn::None, Status::Clean),
        ] {
            let counts = flip(base, candidate);
            assert_eq!(status(fail_on, &counts), expected, "{base} to {candidate}, {fail_on:?}");
        }
        assert_eq!(status(FailOn::Any, &Counts::default()), Status::Clean);
    }
}
