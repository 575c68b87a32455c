//! `nsgsim bench`: throughput, with a check of both engines in the same run.

use super::arguments::{NetworkArgs, OutputArgs, TableOrJson};
use super::{CliError, Status, inputs, output};
use crate::analyze::bench::{BenchOptions, bench};
use crate::report::bench::{BenchReport, Machine};

/// Throughput of look-ups and whole journeys, with a check that both engines name the same rule
///
/// The packets are drawn from the rules of the network itself. Exit status: 1 if the engines differ.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Look-ups in one round
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    lookups: u32,
    /// Numbers of threads to measure on; one and all cores without it
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    threads: Vec<u16>,
    /// table or json
    #[arg(long, default_value = "table")]
    format: TableOrJson,
    /// Show what each list of rules was compiled into
    #[arg(long)]
    explain_plan: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading, &tags, quiet)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads: Vec<usize> = args.threads.iter().copied().map(usize::from).collect();
    if threads.is_empty() {
        threads = vec![1, cores];
    }
    threads.sort_unstable();
    threads.dedup();
    let options = BenchOptions { seed: args.seed, lookups: args.lookups as usize, threads };
    let result = bench(&loaded.compiled, &options)
        .ok_or_else(|| CliError::usage("no interface of the network has an NSG: there is nothing to ask"))?;
    let report = BenchReport {
        compiled: &loaded.compiled,
        result: &result,
        seed: args.seed,
        plan: args.explain_plan,
        machine: Machine { cores, processor: processor() },
        inputs: loaded.inputs,
    };
    let text = match args.format {
        TableOrJson::Table => report.table(args.output.style()),
        TableOrJson::Json => report.json(),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(if result.differences.is_empty() { Status::Clean } else { Status::Findings })
}

/// The processor's name, on systems that tell it in `/proc/cpuinfo`.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
