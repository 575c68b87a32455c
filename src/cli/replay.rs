//! `nsgsim replay`: captures through the network.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;

use super::arguments::{NetworkArgs, OutputArgs, ThreadsArgs};
use super::output::{self, OutputFile};
use super::traffic::Traffic;
use super::{CliError, Status, inputs};
use crate::model::record::Record;
use crate::replay::run::{Progress, Replay, ReplayOptions};
use crate::report::decisions::{RowFormat, RowWriter, Rows};
use crate::report::replay::{By, ReplayReport, Timing};
use crate::simulate::SimulatorOptions;

/// Captures through the network: a verdict for every packet, and a ledger that adds up
///
/// INPUT is a pcap or pcapng file, plain, .gz or .zst, a folder of them (read in time order, open flows carried over),
/// or `-`. Denied packets are an answer: the exit status is 0.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Captures, folders of captures, or `-`
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Evaluate at this interface alone, for captures that were taken there
    #[arg(long, value_name = "NIC", conflicts_with = "vnet")]
    at: Option<String>,
    /// The virtual network, where several hold the addresses
    #[arg(long, value_name = "VNET")]
    vnet: Option<String>,
    /// Whether flows stay open, or every packet stands alone
    #[arg(long, default_value = "full")]
    state: StateArg,
    /// How many flow records are kept at most
    #[arg(long, value_name = "N", default_value_t = 4_000_000)]
    max_flows: usize,
    /// What the answer is grouped by; `flow` lists every flow
    #[arg(long, default_value = "rule")]
    by: ByArg,
    /// Write a row for each flow to FILE (.csv or .ndjson)
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    /// In --decisions, a row for each record instead
    #[arg(long, requires = "decisions")]
    per_record: bool,
    /// table or json; with --by flow also csv or ndjson
    #[arg(long, default_value = "table")]
    format: FormatArg,
    /// Leave out how long it took
    #[arg(long)]
    no_timing: bool,
    /// Exit with status 3 if more records are undetermined
    #[arg(long, value_name = "N")]
    max_undetermined: Option<u64>,
    /// Exit with status 3 if more records are skipped
    #[arg(long, value_name = "N")]
    max_skipped: Option<u64>,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Whether flows stay open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum StateArg {
    /// The first packet of a flow is decided by the rules, the rest by its record
    Full,
    /// Every packet is decided by the rules
    None,
}

/// What the answer is grouped by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum ByArg {
    /// The deciding rule
    Rule,
    /// The deciding NSG
    Nsg,
    /// Nothing: every flow is listed
    Flow,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FormatArg {
    Table,
    Json,
    Csv,
    Ndjson,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let listed = args.by == ByArg::Flow;
    let row_format = match (listed, args.format) {
        (true, FormatArg::Csv | FormatArg::Table) => Some(RowFormat::Csv),
        (true, FormatArg::Ndjson | FormatArg::Json) => Some(RowFormat::Ndjson),
        (false, FormatArg::Table | FormatArg::Json) => None,
        (false, FormatArg::Csv | FormatArg::Ndjson) => {
            return Err(CliError::usage(
                "--format csv and ndjson are for rows: use --by flow or --decisions FILE",
            ));
        }
    };
    let mut sinks = Sinks::open(args, row_format)?;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading, &tags, quiet)?;
    let network = &loaded.compiled.network;
    let options = ReplayOptions {
        simulator: SimulatorOptions {
            stateful: args.state == StateArg::Full,
            vnet: args.vnet.as_deref().map(|text| inputs::one_vnet(network, text)).transpose()?,
            most_flows: args.max_flows,
            ..SimulatorOptions::default()
        },
        at: args.at.as_deref().map(|text| inputs::one_nic(network, text)).transpose()?,
        flows: sinks.wants_flows(),
        records: sinks.wants_records(),
    };

    let started = Instant::now();
    let mut traffic = Traffic::find(&args.inputs, quiet)?;
    let pool = args.threads.pool()?;
    let mut replay = Replay::new(Arc::clone(&loaded.compiled), options);
    let files = traffic.files.clone();
    let rows = Rows { network, files: &files };
    let mut batch = traffic.read()?;
    while !batch.is_empty() {
        // The next batch is read while this one is judged.
        let (progress, next) = pool.install(|| rayon::join(|| replay.feed(&batch), || traffic.read()));
        sinks.take(&rows, &batch, &progress)?;
        batch = next?;
    }
    let (totals, flows) = replay.finish();
    sinks.take(&rows, &[], &Progress { flows, records: Vec::new() })?;
    traffic.finish(quiet);

    let elapsed_s = started.elapsed().as_secs_f64();
    let timing = Timing { elapsed_s, records_per_s: traffic.records() as f64 / elapsed_s };
    let report = ReplayReport {
        network,
        totals: &totals,
        files: &files,
        damage: &traffic.damage,
        ignored: &traffic.ignored,
        timing: (!args.no_timing).then_some(timing),
        by: if args.by == ByArg::Nsg { By::Nsg } else { By::Rule },
        inputs: loaded.inputs.clone(),
    };
    sinks.finish()?;
    match (listed, args.format) {
        (true, _) => {
            // The rows are the answer; what they add up to is talk.
            if !quiet {
                eprint!("{}", report.table(crate::report::style::Style::default()));
            }
        }
        (false, FormatArg::Json) => output::write(args.output.output.as_deref(), &report.json())?,
        (false, _) => output::write(args.output.output.as_deref(), &report.table(args.output.style()))?,
    }
    let over = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count > limit);
    let ledger = &totals.ledger;
    let incomplete = over(args.max_undetermined, ledger.undetermined.total())
        || over(args.max_skipped, ledger.skipped.total());
    Ok(if incomplete { Status::Incomplete } else { Status::Clean })
}

/// Where rows go.
struct Sinks {
    listed: Option<RowWriter<Sink>>,
    decisions: Option<RowWriter<Sink>>,
    per_record: bool,
    path: PathBuf,
}

enum Sink {
    Stdout(io::BufWriter<io::Stdout>),
    File(OutputFile),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

impl Sinks {
    fn open(args: &Args, listed: Option<RowFormat>) -> Result<Self, CliError> {
        let listed = match (listed, &args.output.output) {
            (None, _) => None,
            (Some(format), None) => {
                Some(RowWriter::new(format, Sink::Stdout(io::BufWriter::new(io::stdout()))))
            }
            (Some(format), Some(path)) => Some(RowWriter::new(format, Sink::File(OutputFile::create(path)?))),
        };
        let decisions = match &args.decisions {
            None => None,
            Some(path) => {
                let format = format_of(path)?;
                Some(RowWriter::new(format, Sink::File(OutputFile::create(path)?)))
            }
        };
        let path = args.decisions.clone().or(args.output.output.clone()).unwrap_or("<stdout>".into());
        Ok(Self { listed, decisions, per_record: args.per_record, path })
    }

    fn wants_flows(&self) -> bool {
        self.listed.is_some() || (self.decisions.is_some() && !self.per_record)
    }

    fn wants_records(&self) -> bool {
        self.decisions.is_some() && self.per_record
    }

    fn take(&mut self, rows: &Rows<'_>, batch: &[Record], progress: &Progress) -> Result<(), CliError> {
        let failed = |source| output::failed(&self.path, source);
        if let Some(writer) = &mut self.listed {
            for flow in &progress.flows {
                writer.write(&rows.flow(flow)).map_err(failed)?;
            }
        }
        if let Some(writer) = &mut self.decisions {
            if self.per_record {
                for (position, processed) in &progress.records {
                    writer.write(&rows.record(&batch[*position], processed)).map_err(failed)?;
                }
            } else {
                for flow in &progress.flows {
                    writer.write(&rows.flow(flow)).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), CliError> {
        for mut writer in [self.listed, self.decisions].into_iter().flatten() {
            writer.flush().map_err(|source| output::failed(&self.path, source))?;
            if let Sink::File(file) =
                writer.into_inner().map_err(|source| output::failed(&self.path, source))?
            {
                file.finish()?;
            }
        }
        Ok(())
    }
}

fn format_of(path: &Path) -> Result<RowFormat, CliError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(RowFormat::Csv),
        "ndjson" | "jsonl" => Ok(RowFormat::Ndjson),
        _ => Err(CliError::usage(format!(
            "{}: expected a file name ending in .csv or .ndjson",
            path.display()
        ))),
    }
}
