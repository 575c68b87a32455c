//! nsgsim beside other programs' engines: the same rules and headers, in one run, in turns.

mod classify;
mod dpdk;
mod headers;
mod linear;
mod measure;
mod native;
mod nsg;
mod ours;
mod prefixes;
mod rules;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value, json};

use crate::measure::Effort;
use crate::native::Dpdk;

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
    let core = match common.core {
        Some(core) => core,
        // Interrupts mostly go to the first.
        None => *cores()?.last().context("this process may run on no core")?,
    };
    let dpdk = Dpdk::start(core, 8_192)?;
    let mut measured = Map::new();
    match &command {
        Command::Classify { set } => classify(dpdk, &common, set, &mut measured)?,
    }
    if let Some(path) = &common.json {
        measured.insert("schema".to_owned(), json!("nsgsim-peers/1"));
        std::fs::write(path, serde_json::to_string_pretty(&measured)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn classify(dpdk: Dpdk, common: &Common, sets: &[String], measured: &mut Map<String, Value>) -> Result<()> {
    let plan = classify::Plan {
        data: common.shared.join("data"),
        sets: sets.to_vec(),
        headers: if common.quick { 2_000 } else { 100_000 },
        effort: common.effort(),
        seed: common.seed,
    };
    let outcomes = classify::run(dpdk, &plan)?;
    println!("{}", classify::table(&outcomes).markdown());
    measured.insert("classify".to_owned(), json!(outcomes));
    Ok(())
}

/// The cores that this process may run on.
fn cores() -> Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    Ok((0..nix::sched::CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect())
}
