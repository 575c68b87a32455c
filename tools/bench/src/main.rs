//! nsgsim beside other programs' engines: the same rules and headers, in one run, in turns.

mod captures;
mod chart;
mod classify;
mod dpdk;
mod grow;
mod headers;
mod linear;
mod logs;
mod measure;
mod native;
mod nsg;
mod ours;
mod prefixes;
mod replay;
mod rules;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value, json};

use crate::measure::Effort;
use crate::native::Dpdk;
use crate::nsg::Tags;
use crate::table::Table;

/// Measures nsgsim side by side with its peers, after a check that all give the same answers
///
/// The tables are Markdown. Exit status: 1 if two engines differ, or something fails.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Clone, Debug)]
struct Common {
    /// The folder with rule sets and tag files, `data` inside it
    #[arg(long, env = "NSGSIM_SHARED", global = true, default_value = "../shared", value_name = "FOLDER")]
    shared: PathBuf,
    /// Few headers and one round, with all checks
    #[arg(long, global = true)]
    quick: bool,
    /// Turns that each engine has
    #[arg(long, global = true, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// The core to stay on
    #[arg(long, global = true, value_name = "N")]
    core: Option<usize>,
    /// Where chance begins
    #[arg(long, global = true, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write everything that was measured to FILE
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// The first rule that a header fits, beside DPDK's classifier
    Classify {
        /// The rule sets to take; all without it
        #[arg(long, value_name = "NAME", num_args = 1..)]
        set: Vec<String>,
    },
    /// The longest prefix that covers an address, beside two crates and DPDK's forwarding table
    Prefixes,
    /// Packets of a capture to counts by rule, beside libpcap, pcap-file and a parser with DPDK's classifier
    Captures(CapturesArgs),
    /// Tuples of a flow log to counts by rule, beside what parsing its JSON alone takes
    Logs(LogsArgs),
    /// How rate and memory change with the number of rules and prefixes
    Grow(GrowArgs),
    /// Everything
    All {
        #[command(flatten)]
        captures: CapturesArgs,
        #[command(flatten)]
        logs: LogsArgs,
        #[command(flatten)]
        grow: GrowArgs,
    },
}

#[derive(Args, Clone, Debug)]
struct CapturesArgs {
    /// Packets in the capture that is generated
    #[arg(long, default_value_t = 2_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    packets: u32,
}

#[derive(Args, Clone, Debug)]
struct LogsArgs {
    /// Flows in the log that is generated; a million make about 300 MB
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    flows: u32,
}

#[derive(Args, Clone, Debug)]
struct GrowArgs {
    /// Write a chart to FILE, as SVG
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Go no further than to so many rules
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    most_rules: usize,
}

impl Common {
    fn effort(&self) -> Effort {
        if self.quick {
            Effort { rounds: 1, turn: Duration::from_millis(10) }
        } else {
            Effort { rounds: self.rounds.into(), turn: Duration::from_millis(300) }
        }
    }
}

fn main() -> Result<()> {
    let Cli { command, common } = Cli::parse();
    let cores = cores()?;
    // Interrupts mostly go to the first.
    let last = *cores.last().context("this process may run on no core")?;
    let dpdk = Dpdk::start(common.core.unwrap_or(last), DPDK_MEGABYTES)?;
    let mut bench = Bench { dpdk, common, cores, measured: Map::new() };
    match &command {
        Command::Classify { set } => bench.classify(set)?,
        Command::Prefixes => bench.prefixes()?,
        Command::Captures(args) => bench.captures(args)?,
        Command::Logs(args) => bench.logs(args)?,
        Command::Grow(args) => bench.grow(args)?,
        Command::All { captures, logs, grow } => {
            bench.classify(&[])?;
            bench.prefixes()?;
            bench.captures(captures)?;
            bench.logs(logs)?;
            bench.grow(grow)?;
        }
    }
    bench.finish()
}

/// What DPDK may take; 100,000 rules need a quarter of it, and what is not used is not touched.
const DPDK_MEGABYTES: usize = 4_096;

/// A run: each command prints its table and leaves its figures.
struct Bench {
    dpdk: Dpdk,
    common: Common,
    cores: Vec<usize>,
    measured: Map<String, Value>,
}

impl Bench {
    fn classify(&mut self, sets: &[String]) -> Result<()> {
        let plan = classify::Plan {
            data: self.data(),
            sets: sets.to_vec(),
            headers: self.many(100_000),
            effort: self.common.effort(),
            seed: self.common.seed,
        };
        let outcomes = classify::run(self.dpdk, &plan)?;
        self.show("First match among rules", &classify::table(&outcomes));
        self.keep("classify", json!(outcomes));
        Ok(())
    }

    fn prefixes(&mut self) -> Result<()> {
        let seed = self.common.seed;
        let mut sets = vec![("tag file".to_owned(), Tags::read(&self.data())?.nets())];
        sets.extend(
            [100, 1_000, 10_000, 110_000].map(|count| ("random".to_owned(), prefixes::random(seed, count))),
        );
        let mut outcomes = Vec::new();
        for (name, nets) in &sets {
            let (effort, addresses) = (self.common.effort(), self.many(1_000_000));
            outcomes.extend(prefixes::measure(self.dpdk, effort, seed, (name, nets), addresses)?);
        }
        self.show("Longest of many prefixes", &prefixes::rates(&outcomes));
        self.show("Tables of prefixes", &prefixes::costs(&outcomes));
        self.keep("prefixes", json!(outcomes));
        Ok(())
    }

    fn captures(&mut self, args: &CapturesArgs) -> Result<()> {
        let data = self.data();
        let plan = captures::Plan {
            data: &data,
            packets: if self.common.quick { 20_000 } else { args.packets as usize },
            headers: self.many(1 << 16),
            rules: 1_000,
            effort: self.common.effort(),
            seed: self.common.seed,
        };
        let outcome = captures::run(self.dpdk, plan, &self.cores)?;
        self.show(&format!("Captures: {}", outcome.caption()), &outcome.table());
        self.keep("captures", json!(outcome));
        Ok(())
    }

    fn logs(&mut self, args: &LogsArgs) -> Result<()> {
        let data = self.data();
        let plan = logs::Plan {
            data: &data,
            flows: if self.common.quick { 5_000 } else { args.flows.into() },
            effort: self.common.effort(),
            seed: self.common.seed,
        };
        let outcome = logs::run(plan, &self.cores)?;
        self.show(&format!("Flow logs: {}", outcome.caption()), &outcome.table());
        self.keep("logs", json!(outcome));
        Ok(())
    }

    fn grow(&mut self, args: &GrowArgs) -> Result<()> {
        let plan = grow::Plan {
            most_rules: if self.common.quick { 1_000 } else { args.most_rules },
            most_prefixes: if self.common.quick { 1_000 } else { 110_000 },
            headers: self.many(100_000),
            effort: self.common.effort(),
            seed: self.common.seed,
        };
        let growth = grow::run(self.dpdk, plan)?;
        self.show("Rules, from few to many", &classify::table(&growth.rules));
        self.show("Prefixes, from few to many", &prefixes::rates(&growth.prefixes));
        self.show("Their tables", &prefixes::costs(&growth.prefixes));
        if let Some(path) = &args.chart {
            std::fs::write(path, chart::svg(&growth.panels())).with_context(|| path.display().to_string())?;
        }
        self.keep("grow", json!(growth));
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.common.shared.join("data")
    }

    /// So many, or few for a quick run.
    fn many(&self, count: usize) -> usize {
        if self.common.quick { count.min(2_000) } else { count }
    }

    fn show(&self, title: &str, table: &Table) {
        println!("### {title}\n\n{}", table.markdown());
    }

    fn keep(&mut self, name: &str, figures: Value) {
        self.measured.insert(name.to_owned(), figures);
    }

    /// Writes all figures, where that was asked for.
    fn finish(mut self) -> Result<()> {
        let Some(path) = self.common.json.clone() else { return Ok(()) };
        self.keep("schema", json!("nsgsim-peers/1"));
        let text = serde_json::to_string_pretty(&self.measured)?;
        std::fs::write(&path, text + "\n").with_context(|| path.display().to_string())
    }
}

/// The cores that this process may run on.
fn cores() -> Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    Ok((0..nix::sched::CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect())
}
