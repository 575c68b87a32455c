//! `nsgsim replay`: captures, flow logs and flow tables through the network.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::arguments::{JudgingArgs, NetworkArgs, OutputArgs};
use super::flow_log::FlowLog;
use super::output::{self, OutputFile};
use super::page::Page;
use super::split::{Split, SplitArgs};
use super::traffic::{Batch, Traffic};
use super::{CliError, Status, inputs};
use crate::ingest::capture::input::Packets;
use crate::replay::digest::groups::{Grouper, Grouping};
use crate::replay::recorded::Entry;
use crate::replay::run::{Progress, Replay, ReplayOptions};
use crate::report::decisions::{RowFormat, RowWriter, Rows};
use crate::report::inputs::Inputs;
use crate::report::pseudonyms::Shown;
use crate::report::replay::{By, ReplayReport};
use crate::report::style::{Form, Style};

/// Captures, flow logs and flow tables through the network: every record judged or set aside, in a ledger that adds up
///
/// INPUT is a pcap or pcapng file, a flow log of NSGs or VNets (JSON), or a flow table (CSV, JSON, Parquet, Zeek's
/// conn.log, AWS VPC flow logs), plain, .gz or .zst, a folder of them (read in time order, open flows carried over), blobs
/// in Azure Blob storage (az://CONTAINER/PREFIX, where built with the feature object-storage), or `-`. A flow log's
/// tuples are judged at the interfaces that wrote them, and what was recorded is held against that. Denied packets are an
/// answer: the exit status is 0.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    judging: JudgingArgs,
    /// What the answer is grouped by; `flow` lists every flow
    #[arg(long, default_value = "rule")]
    by: ByArg,
    /// Write a row for each flow to FILE (.csv, .ndjson or .parquet)
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    /// In --decisions, a row for each record instead
    #[arg(long, requires = "decisions")]
    per_record: bool,
    #[command(flatten)]
    split: SplitArgs,
    /// Write what a VNet flow log would say of the flows to FILE (JSON), as workbooks for those logs take it
    ///
    /// At each interface of a flow's way, or at the one that it was judged at, a tuple for its beginning and one for its
    /// end, or one that it was denied, under the rule that decided there. An interface without a MAC address in the export
    /// is given one.
    #[arg(long, value_name = "FILE")]
    flow_log: Option<PathBuf>,
    /// Make a page of the answer as well: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// table, md or json; with --by flow csv or ndjson
    #[arg(long, default_value = "table")]
    format: FormatArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// What the answer is grouped by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum ByArg {
    /// The deciding rule
    Rule,
    /// The deciding NSG
    Nsg,
    /// The interfaces at the flows' ends
    Nic,
    /// The subnets at the flows' ends
    Subnet,
    /// Both ends together, subnet to subnet
    Pair,
    /// The service tags that hold the addresses of the flows' ends
    Tag,
    /// The hour in which the flows began, UTC
    Hour,
    /// Nothing: every flow is listed
    Flow,
}

impl ByArg {
    /// What flows are told apart by, where that is neither what decided nor every one.
    fn grouping(self) -> Option<Grouping> {
        match self {
            Self::Rule | Self::Nsg | Self::Flow => None,
            Self::Nic => Some(Grouping::Nic),
            Self::Subnet => Some(Grouping::Subnet),
            Self::Pair => Some(Grouping::Pair),
            Self::Tag => Some(Grouping::Tag),
            Self::Hour => Some(Grouping::Hour),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FormatArg {
    Table,
    Md,
    Json,
    Csv,
    Ndjson,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let listed = args.by == ByArg::Flow;
    let row_format = match (listed, args.format) {
        (true, FormatArg::Csv | FormatArg::Table) => Some(RowFormat::Csv),
        (true, FormatArg::Ndjson) => Some(RowFormat::Ndjson),
        (true, FormatArg::Json | FormatArg::Md) => {
            return Err(CliError::usage("--by flow lists rows: use --format csv or ndjson"));
        }
        (false, FormatArg::Table | FormatArg::Md | FormatArg::Json) => None,
        (false, FormatArg::Csv | FormatArg::Ndjson) => {
            return Err(CliError::usage(
                "--format csv and ndjson are for rows: use --by flow or --decisions FILE",
            ));
        }
    };
    let [allowed, denied] = args.split.named();
    output::check_all(&[
        ("--html", args.html.as_deref()),
        ("--decisions", args.decisions.as_deref()),
        ("--flow-log", args.flow_log.as_deref()),
        ("--output", args.output.output.as_deref()),
        allowed,
        denied,
    ])?;
    let mut sinks = Sinks::open(args, row_format)?;
    let mut split = Split::open(&args.split)?;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let network = &loaded.compiled.network;
    let pseudonyms = args.judging.pseudonyms();
    if pseudonyms.is_some() && split.is_some() {
        return Err(CliError::usage(
            "--anonymize: a split capture holds packets as they were: leave --split-allowed and --split-denied out",
        ));
    }
    let masked = pseudonyms.as_ref().map(|by| by.masked(&**network));
    let shown = Shown { network: masked.as_ref().unwrap_or(network), pseudonyms: pseudonyms.as_ref() };
    let options = ReplayOptions {
        flows: sinks.wants_flows()
            || args.html.is_some()
            || args.flow_log.is_some()
            || args.by.grouping().is_some(),
        records: sinks.wants_records() || split.is_some(),
        ..args.judging.options(network)?
    };

    let mut grouper = args
        .by
        .grouping()
        .map(|grouping| Grouper::new(grouping, Arc::clone(&loaded.compiled), options.simulator.vnet));
    let log = args.flow_log.as_deref();
    let mut log = log.map(|path| FlowLog::create(path, &loaded.compiled, &options)).transpose()?;
    let page = args.html.as_deref();
    let mut page = page.map(|path| Page::create(path, &loaded.compiled, &options)).transpose()?;
    let mut traffic =
        Traffic::find(&args.judging.inputs, args.judging.reading(), quiet)?.keeping_frames(split.is_some());
    let pool = args.judging.threads.pool()?;
    let mut replay = Replay::new(Arc::clone(&loaded.compiled), options);
    let files = shown.masked(&traffic.provenance(true, Inputs::default())).files;
    let rows = Rows { shown, files: &files };
    traffic.each(&pool, |batch| {
        let progress = match batch {
            Batch::Packets(packets) => replay.feed(&packets.records),
            Batch::Entries(entries) => replay.feed_recorded(entries),
        };
        page.iter_mut().for_each(|page| page.take(&progress.flows));
        grouper.iter_mut().for_each(|grouper| progress.flows.iter().for_each(|flow| grouper.add(flow)));
        if let Some(log) = &mut log {
            log.take(shown, &progress.flows)?;
        }
        if let Some(split) = &mut split {
            split.take(&rows, batch, &progress)?;
        }
        sinks.take(&rows, batch, &progress)
    })?;
    let (totals, flows) = replay.finish();
    page.iter_mut().for_each(|page| page.take(&flows));
    grouper.iter_mut().for_each(|grouper| flows.iter().for_each(|flow| grouper.add(flow)));
    let groups = grouper.map(Grouper::finish);
    if let Some(log) = &mut log {
        log.take(shown, &flows)?;
    }
    let last = Progress { flows, records: Vec::new() };
    sinks.take(&rows, &Batch::Packets(Packets::default()), &last)?;
    traffic.finish();

    let provenance = traffic.provenance(args.judging.no_timing, loaded.inputs.clone());
    let report = ReplayReport {
        network,
        shown,
        totals: &shown.masked(&totals),
        by: if args.by == ByArg::Nsg { By::Nsg } else { By::Rule },
        groups: groups.as_ref(),
        provenance: shown.masked(&provenance),
    };
    sinks.finish()?;
    if let Some(page) = page {
        page.finish(shown, &totals, &report.provenance)?;
    }
    if let Some(log) = log {
        log.finish(quiet)?;
    }
    if let Some(split) = split {
        split.finish(&totals, quiet)?;
    }
    match (listed, args.format) {
        (true, _) => {
            // The rows are the answer; what they add up to is talk.
            if !quiet {
                eprint!("{}", report.table(Style::default()));
            }
        }
        (false, format) => {
            let text = match format {
                FormatArg::Json => report.json(),
                FormatArg::Md => report.table(args.output.style(Form::Markdown)),
                _ => report.table(args.output.style(Form::Plain)),
            };
            output::write(args.output.output.as_deref(), &text)?;
        }
    }
    let incomplete = args.judging.is_incomplete(&totals.ledger);
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
                let stdout = Sink::Stdout(io::BufWriter::new(io::stdout()));
                Some(writer(format, stdout, Path::new("<stdout>"))?)
            }
            (Some(format), Some(path)) => Some(writer(format, Sink::File(OutputFile::create(path)?), path)?),
        };
        let decisions = match &args.decisions {
            None => None,
            Some(path) => {
                let format = format_of(path)?;
                Some(writer(format, Sink::File(OutputFile::create(path)?), path)?)
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

    fn take(&mut self, rows: &Rows<'_>, batch: &Batch, progress: &Progress) -> Result<(), CliError> {
        let failed = |source| output::failed(&self.path, source);
        if let Some(writer) = &mut self.listed {
            for flow in &progress.flows {
                writer.write(&rows.flow(flow)).map_err(failed)?;
            }
        }
        if let Some(writer) = &mut self.decisions {
            if self.per_record {
                for (position, processed) in &progress.records {
                    let row = match batch {
                        Batch::Packets(packets) => {
                            rows.record((&packets.records.get(*position)).into(), processed)
                        }
                        Batch::Entries(entries) => match &entries[*position] {
                            Entry::Flow(flow) => rows.record(flow.into(), processed),
                            Entry::NoFlow(_) | Entry::Unread { .. } => {
                                unreachable!("what is no flow was not judged")
                            }
                        },
                    };
                    writer.write(&row).map_err(failed)?;
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

fn writer(format: RowFormat, sink: Sink, path: &Path) -> Result<RowWriter<Sink>, CliError> {
    RowWriter::new(format, sink).map_err(|source| output::failed(path, source))
}

fn format_of(path: &Path) -> Result<RowFormat, CliError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(RowFormat::Csv),
        "ndjson" | "jsonl" => Ok(RowFormat::Ndjson),
        #[cfg(feature = "parquet")]
        "parquet" => Ok(RowFormat::Parquet),
        #[cfg(not(feature = "parquet"))]
        "parquet" => Err(CliError::usage(format!(
            "{}: this nsgsim was built without Parquet: build it with the feature `parquet`",
            path.display()
        ))),
        _ => Err(CliError::usage(format!(
            "{}: expected a file name ending in .csv, .ndjson or .parquet",
            path.display()
        ))),
    }
}
