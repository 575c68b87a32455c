//! `nsgsim bench`: throughput, with a check of both engines in the same run; and two results side by side.

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;

use clap::Subcommand;

use super::arguments::{NetworkArgs, OutputArgs, TextOrJson, zipf};
use super::{CliError, Status, inputs, output};
use crate::analyze::bench::{BenchOptions, SKEWED_KEYS, bench};
use crate::analyze::slowdown;
use crate::ingest::bench as results;
use crate::ingest::source;
use crate::model::zipf::Zipf;
use crate::report::bench::{BenchReport, Machine};
use crate::report::slowdown::SlowdownReport;

/// Throughput of look-ups and whole journeys, with a check that both engines name the same rule
///
/// The packets are drawn from the rules of the network itself. Exit status: 1 if the engines differ.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub(super) struct Args {
    #[command(subcommand)]
    question: Option<Question>,
    #[command(flatten)]
    measuring: MeasuringArgs,
}

#[derive(Debug, Subcommand)]
enum Question {
    Compare(CompareArgs),
}

#[derive(clap::Args, Debug)]
struct MeasuringArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Look-ups in one round
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    lookups: u32,
    /// Ask 65,536 keys again and again, unevenly, by Zipf's law with exponent A from 0 to 10; without it nearly all keys
    /// differ
    #[arg(long, value_name = "zipf:A", value_parser = zipf)]
    skew: Option<f64>,
    /// Numbers of threads to measure on; one and all cores without it
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    threads: Vec<u16>,
    /// table, md or json
    #[arg(long, default_value = "table")]
    format: TextOrJson,
    /// Show what each list of rules was compiled into
    #[arg(long)]
    explain_plan: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Two results of `bench --format json`: which figures became worse by more than they spread
///
/// A speed is worse if the best round of NEW is behind the worst one of OLD, a compile time likewise, and memory if it
/// grew by more than 1 %. Exit status: 1 if one is worse, 2 if the benches did not ask the same.
#[derive(clap::Args, Debug)]
struct CompareArgs {
    /// The earlier result, plain or packed; `-` is standard input
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The later result
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// table, md or json
    #[arg(long, default_value = "table")]
    format: TextOrJson,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    match &args.question {
        Some(Question::Compare(args)) => compare(args),
        None => measure(&args.measuring),
    }
}

fn measure(args: &MeasuringArgs) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let skew = args.skew.map(|exponent| Zipf::new(exponent, SKEWED_KEYS)).transpose();
    let skew = skew.map_err(|error| CliError::usage(error.to_string()))?;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads: Vec<usize> = args.threads.iter().copied().map(usize::from).collect();
    if threads.is_empty() {
        threads = vec![1, cores];
    }
    threads.sort_unstable();
    threads.dedup();
    let options = BenchOptions { seed: args.seed, lookups: args.lookups as usize, threads, skew };
    let result = bench(&loaded.compiled, &options)
        .ok_or_else(|| CliError::usage("no interface of the network has an NSG: there is nothing to ask"))?;
    let report = BenchReport {
        compiled: &loaded.compiled,
        result: &result,
        seed: args.seed,
        skew: args.skew,
        plan: args.explain_plan,
        machine: Machine { cores, processor: processor(), os: OS, arch: ARCH },
        inputs: loaded.inputs,
    };
    let text = match args.format {
        TextOrJson::Json => report.json(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(if result.differences.is_empty() { Status::Clean } else { Status::Findings })
}

fn compare(args: &CompareArgs) -> Result<Status, CliError> {
    if source::is_stdin(&args.old) && source::is_stdin(&args.new) {
        return Err(CliError::usage("standard input can be read only once: expected a file beside it"));
    }
    let (old, new) = (results::load(&args.old)?, results::load(&args.new)?);
    let (old_name, new_name) = (source::shown(&args.old), source::shown(&args.new));
    let slowdown = slowdown::compare(&old, &new)
        .map_err(|error| CliError::usage(format!("{old_name} and {new_name}: {error}")))?;
    if let (Some(then), Some(now), false) = (&old.machine, &new.machine, args.output.quiet)
        && then != now
    {
        eprintln!("warning: measured on different machines: {then}, and {now}");
    }
    let report = SlowdownReport { old: (&old_name, &old), new: (&new_name, &new), slowdown: &slowdown };
    let text = match args.format {
        TextOrJson::Json => report.json(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    let is_worse = slowdown.compared.iter().any(|compared| compared.is_regression);
    Ok(if is_worse { Status::Findings } else { Status::Clean })
}

/// The processor's name, on systems that tell it in `/proc/cpuinfo`.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
