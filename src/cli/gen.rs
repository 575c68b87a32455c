//! `nsgsim gen`: seeded traffic for a network, as a capture.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::arguments::NetworkArgs;
use super::output::OutputFile;
use super::{CliError, Status, inputs, output};
use crate::ingest::synth::{self, SynthOptions};
use crate::report::time::counted;

/// When the first flow begins: 2026-01-01T00:00:00Z. Fixed, so that the same arguments give the same bytes.
const START_NS: u64 = 1_767_225_600_000_000_000;

/// Seeded traffic for a network, as a pcap: the same arguments give the same bytes
///
/// Flows go between the network's own addresses and what its rules name, to the edges of rules and their neighbours.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// How many flows
    #[arg(long, value_name = "N", default_value_t = 1000)]
    flows: u64,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Spread flows unevenly over conversations, by Zipf's law with exponent A from 0 to 10; without it each flow is a
    /// conversation of its own
    #[arg(long, value_name = "zipf:A", value_parser = zipf)]
    skew: Option<f64>,
    /// Write to FILE instead of standard output; the file appears only when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say nothing on standard error but errors
    #[arg(short, long)]
    quiet: bool,
}

fn zipf(text: &str) -> Result<f64, String> {
    let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok());
    exponent.ok_or_else(|| "expected `zipf:` and a number, as in `zipf:1.1`".to_owned())
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(CliError::usage("a capture is no text for a terminal: give -o FILE, or redirect"));
    }
    let tags = inputs::tags(&args.network.reading.tags, args.quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading, &tags, args.quiet)?;
    let options = SynthOptions { flows: args.flows, seed: args.seed, skew: args.skew, start_ns: START_NS };
    let packets = synth::flows(&loaded.compiled.network, &tags, &options)
        .map_err(|error| CliError::usage(error.to_string()))?;
    let written = match &args.output {
        Some(path) => {
            let mut file = OutputFile::create(path)?;
            let written =
                synth::write_pcap(packets, &mut file).map_err(|source| output::failed(path, source))?;
            file.finish()?;
            written
        }
        None => synth::write_pcap(packets, io::stdout().lock())
            .map_err(|source| output::failed(Path::new("<stdout>"), source))?,
    };
    if !args.quiet {
        eprintln!("{} of {}", counted(written, "packet"), counted(args.flows, "flow"));
    }
    Ok(Status::Clean)
}
