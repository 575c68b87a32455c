//! `nsgsim suggest`: tighter rules from traffic, tried on traffic that was held out.

use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;

use super::arguments::{JudgingArgs, NetworkArgs, OutputArgs};
use super::traffic::Traffic;
use super::{CliError, Status, inputs, output};
use crate::analyze::suggest::{Moments, Options, suggest};
use crate::analyze::usage::{Collector, RuleKey};
use crate::analyze::whatif::{Counts, WhatIf};
use crate::compile::network::{CompileOptions, CompiledNetwork};
use crate::ingest::source;
use crate::model::network::Network;
use crate::model::verdict::VerdictKind;
use crate::replay::conversations::Conversation;
use crate::replay::run::{Replay, ReplayOptions, Totals};
use crate::report::suggest::{SuggestReport, Trial};

/// Tighter rules from traffic, as edits for `whatif --edit` and `diff --edit`, tried on traffic that was held out
///
/// INPUT is as for `replay`, and is read three times: to part the flows by time, to learn from the earlier ones, and to try
/// what was learnt on the later ones, under the network as it is and with the edits. Only custom rules that allow are
/// narrowed, and only to less than they allow: terms that no flow needed are dropped; a protocol, addresses and destination
/// ports that are wider than what was seen make way for it: addresses for the subnets that they are in, or else the smallest
/// service tag that holds them all (of a service's tag, one of its regions), or else their /24 (IPv6: /64). At most 32 prefixes or 16 ranges of ports take the place
/// of what is there, and of what was seen beyond 256 addresses, blocks or ports of a field nothing is concluded: it stays as
/// it is, and a comment says so. A rule that was never hit becomes a comment. The exit status is 0, whatever the trial says.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    judging: JudgingArgs,
    /// Only this rule
    #[arg(long, value_name = "NSG/RULE")]
    rule: Option<String>,
    /// How many of the flows, the latest, are held out for the trial; 0% learns from all and tries nothing
    #[arg(long, value_name = "SHARE", default_value = "20%")]
    holdout: Share,
    /// Narrow addresses to single hosts
    #[arg(long)]
    hosts: bool,
    /// Remove rules that were never hit, in place of a comment
    #[arg(long)]
    remove_unused: bool,
    /// yaml or json
    #[arg(long, default_value = "yaml")]
    format: FormatArg,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FormatArg {
    Yaml,
    Json,
}

/// A share in percent, below 100.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Share(u8);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
        match number {
            Some(number @ 0..=99) => Ok(Self(number)),
            _ => Err("expected a share from 0% to 99%".to_owned()),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    if args.judging.pseudonyms().is_some() {
        return Err(CliError::usage("--anonymize: edits name rules and resources as they are: leave it out"));
    }
    let several_times = args.holdout.0 > 0;
    if several_times && args.judging.inputs.iter().any(|input| source::is_stdin(input)) {
        return Err(CliError::usage(
            "standard input can be read only once: with --holdout the traffic is in files, --holdout 0% learns from all",
        ));
    }
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let network = &loaded.compiled.network;
    let only = args.rule.as_deref().map(|text| one_rule(network, text)).transpose()?;
    let options = ReplayOptions { flows: true, ..args.judging.options(network)? };

    let parting_ns = if several_times {
        let mut moments = Moments::default();
        replayed(args, &loaded.compiled, options, true, |flow| moments.add(flow.first_ns))?;
        let share = 1.0 - f64::from(args.holdout.0) / 100.0;
        Some(moments.parting_ns(share).ok_or_else(|| {
            CliError::usage(
                "--holdout: the flows cannot be parted by time: expected some that begin later than others, or \
                 --holdout 0%",
            )
        })?)
    } else {
        None
    };

    let mut collector = Collector::new(&loaded.compiled, &options);
    let (mut held_out, mut allowed) = (0, 0);
    let (totals, traffic) = replayed(args, &loaded.compiled, options, several_times, |flow| {
        if parting_ns.is_none_or(|parting_ns| flow.first_ns < parting_ns) {
            collector.add(flow);
        } else {
            held_out += 1;
            allowed += u64::from(flow.verdict.kind() == VerdictKind::Allow);
        }
    })?;
    let usage = collector.finish();
    let how = Options { hosts: args.hosts, remove_unused: args.remove_unused, only };
    let suggestions = suggest(&loaded.compiled, &usage, how);
    let candidate = Arc::new(suggestions.applied(network));

    let counts = match parting_ns {
        None => None,
        Some(from_ns) => {
            let candidate = compiled(&loaded.compiled, &candidate);
            let whatif = WhatIf::new((Arc::clone(&loaded.compiled), options), (candidate, options));
            Some((from_ns, tried(args, whatif.parted_at(from_ns))?))
        }
    };
    let trial = counts.as_ref().map(|(from_ns, (held_out_counts, learnt))| Trial {
        from_ns: *from_ns,
        flows: held_out,
        allowed,
        held_out: held_out_counts,
        learnt,
    });
    let report = SuggestReport {
        network,
        candidate: &candidate,
        suggestions: &suggestions,
        usage: &usage,
        totals: &totals,
        trial,
        provenance: traffic.provenance(true, loaded.inputs.clone()),
    };
    let text = match args.format {
        FormatArg::Yaml => report.yaml(),
        FormatArg::Json => report.json(),
    };
    output::write(args.output.output.as_deref(), &text)?;
    let incomplete = args.judging.is_incomplete(&totals.ledger);
    Ok(if incomplete { Status::Incomplete } else { Status::Clean })
}

/// Replays the traffic and hands out its flows. What was odd about it is told once, by the run that is not quiet.
fn replayed(
    args: &Args,
    compiled: &Arc<CompiledNetwork>,
    options: ReplayOptions,
    told_later: bool,
    take: impl FnMut(&Conversation) + Send,
) -> Result<(Totals, Traffic), CliError> {
    let quiet = args.output.quiet || told_later;
    let mut traffic = Traffic::find(&args.judging.inputs, args.judging.reading(), quiet)?;
    let pool = args.judging.threads.pool()?;
    let totals = traffic.replay(&pool, Replay::new(Arc::clone(compiled), options), take)?;
    Ok((totals, traffic))
}

type Tried = (Counts, Counts);

/// Compares the traffic under both networks: flows that were held out, and flows that were learnt from.
fn tried(args: &Args, mut whatif: WhatIf) -> Result<Tried, CliError> {
    let mut traffic = Traffic::find(&args.judging.inputs, args.judging.reading(), args.output.quiet)?;
    traffic.compare(&args.judging.threads.pool()?, &mut whatif)?;
    let (comparison, learnt) = whatif.finish_parts();
    Ok((comparison.counts, learnt))
}

/// A changed network, compiled as the one it came from was.
fn compiled(base: &CompiledNetwork, network: &Arc<Network>) -> Arc<CompiledNetwork> {
    let options = CompileOptions {
        partial_inventory: base.partial_inventory,
        assumptions: base.assumptions,
        ..CompileOptions::default()
    };
    Arc::new(CompiledNetwork::new(Arc::clone(network), Arc::clone(&base.tags), options))
}

/// The rule that `NSG/RULE` names. An NSG's ID has slashes of its own, a rule's name has none.
fn one_rule(network: &Network, text: &str) -> Result<RuleKey, CliError> {
    let refused = |message: String| Err(CliError::usage(format!("--rule: `{text}`: {message}")));
    let Some((nsg, name)) = text.rsplit_once('/') else {
        return refused("expected an NSG and a rule of it, NSG/RULE".to_owned());
    };
    let nsg = match network.find_nsg(nsg)[..] {
        [one] => one,
        [] => return refused(format!("no network security group `{nsg}` in the network")),
        _ => return refused(format!("several network security groups are called `{nsg}`, give the ID")),
    };
    let rules = (0..).zip(&network.nsgs[nsg.get()].rules);
    let named = rules.filter(|(_, rule)| rule.name.eq_ignore_ascii_case(name));
    // A custom rule may have the name of a default one.
    match named.min_by_key(|(_, rule)| rule.is_default) {
        Some((_, rule)) if rule.is_default => {
            refused("a default rule, which nobody can change: expected a custom one".to_owned())
        }
        Some((position, _)) => Ok((nsg, position)),
        None => refused(format!("no rule `{name}` in network security group `{}`", network.nsg_name(nsg))),
    }
}
