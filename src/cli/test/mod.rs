//! `nsgsim test`: whether what is asserted of a network holds.

mod presets;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use self::presets::Preset;
use super::arguments::{NetworkArgs, OutputArgs, SidesArgs, ThreadsArgs};
use super::inputs::Loaded;
use super::traffic::Traffic;
use super::{CliError, Status, ends, inputs, output};
use crate::analyze::assertions::{Holds, Outcome, Proposition, prove};
use crate::analyze::end_set::EndSet;
use crate::analyze::reach::ServiceSet;
use crate::compile::network::CompiledNetwork;
use crate::ingest::assertions::{Assertion, Assertions, Between, Claim, Text};
use crate::ingest::capture::input::InputOptions;
use crate::model::flow::{FiveTuple, Packet};
use crate::model::verdict::{Answer, VerdictKind};
use crate::replay::run::{Replay, ReplayOptions};
use crate::report::assertions::{AssertionsReport, Evidence, Tried};
use crate::report::style::Form;
use crate::report::time::counted;
use crate::simulate::{Simulator, SimulatorOptions};

/// Assertions about the network, for CI: who may reach whom, and who may not, proved for every packet
///
/// FILE is YAML, a list of assertions. Ends are as `reach` takes them, a text or a list; proto as its --proto.
///
///   - name: the web tier reaches the application
///     allow: {from: snet-web, to: snet-app, proto: tcp/8080}
///   - deny: {from: Internet, to: snet-db}
///   - allow_only: {from: snet-app, to: snet-db, proto: tcp/1433}
///   - isolated: [vnet-app, vnet-ml]
///   - replay: {input: flows.csv, verdict: allow}
///
/// `allow`: every such packet passes. `deny`: none does, through load balancers neither. `allow_only`: as allow, and
/// nothing else goes to the same ends. `isolated`: nothing passes between any two. `replay`: every flow of the traffic,
/// whose paths begin at the file's folder, gets this verdict. What fails is shown with a packet and its steps.
///
/// Exit status: 1 if an assertion fails; 3 if none does and one hangs on what the input lacks, or speaks of no packet of
/// this network.
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Files of assertions
    #[arg(value_name = "FILE", required_unless_present = "preset")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Try them on the network with these edits, as `whatif --edit` takes them
    #[arg(long, value_name = "FILE")]
    edit: Option<PathBuf>,
    /// Ready assertions
    #[arg(long, value_name = "PRESET")]
    preset: Vec<Preset>,
    /// For azure-ml: the subnet of the compute; repeatable
    #[arg(long, value_name = "SUBNET", requires = "preset")]
    subnet: Vec<String>,
    /// The virtual network, where several hold the addresses
    #[arg(long, value_name = "VNET")]
    vnet: Option<String>,
    /// table, md, json or junit
    #[arg(long, default_value = "table")]
    format: FormatArg,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FormatArg {
    /// For people
    Table,
    /// For pull requests and pages: Markdown
    Md,
    /// For machines
    Json,
    /// For CI systems: XML with a case for each assertion
    Junit,
}

/// An assertion that is yet to be tried.
struct Untried {
    name: String,
    place: String,
    needed_when: Option<String>,
    question: Question,
}

enum Question {
    Of(Box<Proposition>),
    Replay {
        inputs: Vec<PathBuf>,
        verdict: VerdictKind,
    },
    /// What is known without asking.
    Known(Holds, String),
}

impl Question {
    fn of(proposition: Proposition) -> Self {
        Self::Of(Box::new(proposition))
    }
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let mut files = Vec::new();
    for path in &args.files {
        if crate::ingest::source::is_stdin(path) {
            return Err(CliError::usage("standard input is for exports: expected a file of assertions"));
        }
        files.push((path, Assertions::read(path)?));
    }
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let exports = &args.network.reading.exports;
    let loaded = match &args.edit {
        None => inputs::network(&args.network.network, exports, &tags, quiet)?,
        Some(edit) => {
            let base = args.network.network.clone();
            let sides = SidesArgs { base, cand: Vec::new(), edit: Some(edit.clone()) };
            let [base, edited] = inputs::sides(&sides, exports, &tags, quiet)?;
            Loaded { inputs: base.inputs.with_candidate(edited.inputs), ..edited }
        }
    };
    let compiled = &loaded.compiled;
    let vnet = args.vnet.as_deref().map(|text| inputs::one_vnet(&compiled.network, text)).transpose()?;
    let options = SimulatorOptions { stateful: false, observed: false, vnet, ..SimulatorOptions::default() };

    let mut untried = Vec::new();
    for (path, assertions) in &files {
        for assertion in &assertions.list {
            untried.push(read(compiled, path, assertion)?);
        }
    }
    for preset in &args.preset {
        untried.extend(presets::assertions(compiled, *preset, &args.subnet)?);
    }
    let pool = args.threads.pool()?;
    let propositions: Vec<Proposition> = untried
        .iter()
        .filter_map(|one| match &one.question {
            Question::Of(proposition) => Some(Proposition::clone(proposition)),
            Question::Replay { .. } | Question::Known(..) => None,
        })
        .collect();
    let mut outcomes = pool.install(|| prove(compiled, &propositions, vnet)).into_iter();
    let mut simulator = Simulator::new(Arc::clone(compiled), options);
    let mut tried = Vec::new();
    for one in untried {
        let (holds, evidence, counterexample) = match one.question {
            Question::Known(holds, words) => (holds, Evidence::Words(words), None),
            Question::Of(_) => {
                let outcome = outcomes.next().expect("there is an outcome for each proposition");
                let shown = counterexample(&outcome);
                (outcome.holds(), Evidence::Packets(outcome), shown)
            }
            Question::Replay { inputs, verdict } => {
                replayed(compiled, &inputs, verdict, options, &pool, quiet)?
            }
        };
        let counterexample = counterexample.and_then(|packet| answer(&mut simulator, packet));
        let Untried { name, place, needed_when, .. } = one;
        tried.push(Tried { name, place, needed_when, holds, evidence, counterexample });
    }
    let report = AssertionsReport { compiled, tried: &tried, inputs: loaded.inputs };
    let text = match args.format {
        FormatArg::Json => report.json(),
        FormatArg::Junit => report.junit(),
        FormatArg::Md => report.table(args.output.style(Form::Markdown)),
        FormatArg::Table => report.table(args.output.style(Form::Plain)),
    };
    output::write(args.output.output.as_deref(), &text)?;
    let any = |wanted: &[Holds]| tried.iter().any(|one| one.counts() && wanted.contains(&one.holds));
    Ok(if any(&[Holds::No]) {
        Status::Findings
    } else if any(&[Holds::Open, Holds::OfNothing]) {
        Status::Incomplete
    } else {
        Status::Clean
    })
}

/// An assertion with its ends found.
fn read(compiled: &Arc<CompiledNetwork>, path: &Path, assertion: &Assertion) -> Result<Untried, CliError> {
    let (said, question) = match &assertion.claim {
        Claim::Allow(between) => {
            let (from, to, services) = found(compiled, between)?;
            (format!("allow {}", shown(between)), Question::of(Proposition::Allow(from, to, services)))
        }
        Claim::Deny(between) => {
            let (from, to, services) = found(compiled, between)?;
            (format!("deny {}", shown(between)), Question::of(Proposition::Deny(from, to, services)))
        }
        Claim::AllowOnly(between) => {
            let (from, to, services) = found(compiled, between)?;
            let said = format!("allow only {}", shown(between));
            (said, Question::of(Proposition::AllowOnly(from, to, services)))
        }
        Claim::Isolated(texts) => {
            let ends = texts.iter().map(|text| end(compiled, text)).collect::<Result<_, _>>()?;
            (format!("isolated {}", joined(texts)), Question::of(Proposition::Isolated(ends)))
        }
        Claim::Replay { inputs, verdict } => {
            let folder = path.parent().unwrap_or(Path::new(""));
            let paths = inputs.iter().map(|text| folder.join(&text.text)).collect();
            let question = Question::Replay { inputs: paths, verdict: *verdict };
            (format!("replay {}: {verdict}", joined(inputs)), question)
        }
    };
    let name = assertion.name.clone().unwrap_or(said);
    Ok(Untried { name, place: assertion.place.clone(), needed_when: None, question })
}

fn found(
    compiled: &Arc<CompiledNetwork>,
    between: &Between,
) -> Result<(EndSet, EndSet, Vec<ServiceSet>), CliError> {
    let set = |texts: &[Text]| {
        texts
            .iter()
            .try_fold(EndSet::default(), |all, text| Ok::<_, CliError>(all.and(&end(compiled, text)?)))
    };
    let (from, to) = (set(&between.from)?, set(&between.to)?);
    if from.own.is_empty() {
        let Text { text, place } = &between.from[0];
        return Err(CliError::usage(format!("{place}: `{text}`: what only receives sends nothing")));
    }
    let services =
        between.proto.iter().map(|text| ends::services(&text.text).map_err(|error| at(text, &error)));
    let services: Vec<ServiceSet> = services.collect::<Result<_, _>>()?;
    Ok((from, to, if services.is_empty() { vec![ServiceSet::all()] } else { services }))
}

fn end(compiled: &Arc<CompiledNetwork>, text: &Text) -> Result<EndSet, CliError> {
    ends::end_set(compiled, &text.text).map_err(|error| at(text, &error))
}

/// An error with the place of the text that it is about.
fn at(text: &Text, error: &CliError) -> CliError {
    CliError::usage(format!("{}: {error}", text.place))
}

fn joined(texts: &[Text]) -> String {
    texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>().join(", ")
}

fn shown(between: &Between) -> String {
    let proto = if between.proto.is_empty() { String::new() } else { format!(" {}", joined(&between.proto)) };
    format!("{} -> {}{proto}", joined(&between.from), joined(&between.to))
}

/// The first packet that speaks against an assertion.
fn counterexample(outcome: &Outcome) -> Option<FiveTuple> {
    let mut regions = outcome.against.values().chain(outcome.open.values()).flatten();
    regions.next().map(|region| region.witness)
}

fn answer(simulator: &mut Simulator, packet: FiveTuple) -> Option<(FiveTuple, Answer)> {
    let judged = simulator.judge(&Packet::new(packet), 0).ok()?;
    Some((packet, judged.answer))
}

/// Whether all flows of some traffic get a verdict.
fn replayed(
    compiled: &Arc<CompiledNetwork>,
    paths: &[PathBuf],
    wanted: VerdictKind,
    options: SimulatorOptions,
    pool: &rayon::ThreadPool,
    quiet: bool,
) -> Result<(Holds, Evidence, Option<FiveTuple>), CliError> {
    let simulator = SimulatorOptions { vnet: options.vnet, ..SimulatorOptions::default() };
    let options = ReplayOptions { simulator, flows: true, ..ReplayOptions::default() };
    let mut traffic = Traffic::find(paths, InputOptions::default(), quiet)?;
    let (mut others, mut open, mut as_wanted, mut first) = (0_u64, 0_u64, 0_u64, None);
    let replay = Replay::new(Arc::clone(compiled), options);
    traffic.replay(pool, replay, |flow| match flow.verdict.kind() {
        kind if kind == wanted => as_wanted += 1,
        VerdictKind::Undetermined => open += 1,
        VerdictKind::Allow | VerdictKind::Deny | VerdictKind::Mixed => {
            others += 1;
            // Flows come as they end: the earliest is the same on every run.
            let earlier = |known: &(_, FiveTuple)| (flow.location, flow.tuple) < *known;
            if first.as_ref().is_none_or(earlier) {
                first = Some((flow.location, flow.tuple));
            }
        }
    })?;
    let of = |count: u64| counted(count, "flow");
    let words = format!("{} as asserted, {} otherwise, {} undetermined", of(as_wanted), of(others), of(open));
    let holds = match (others, open, as_wanted) {
        (1.., ..) => Holds::No,
        (0, 1.., _) => Holds::Open,
        (0, 0, 0) => Holds::OfNothing,
        (0, 0, _) => Holds::Yes,
    };
    Ok((holds, Evidence::Words(words), first.map(|(_, tuple)| tuple)))
}
