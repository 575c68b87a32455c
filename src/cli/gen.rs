//! `nsgsim gen`: seeded traffic for a network, as a capture or as flow logs; or a seeded network, as exports.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::arguments::{ReadingArgs, zipf};
use super::output::OutputFile;
use super::{CliError, Status, inputs, output};
use crate::analyze::logging::{Course, Logging};
use crate::compile::network::CompiledNetwork;
use crate::ingest::synth::{
    self, Estate, EstateError, EstateOptions, Part, Scripts, SynthError, SynthOptions, SynthPacket,
};
use crate::model::network::Network;
use crate::model::rule::Access;
use crate::model::tag::TagCatalog;
use crate::report::flow_log::{LogVersion, LogWriter};
use crate::report::time::{counted, grouped};
use crate::simulate::SimulatorOptions;

/// When the first flow begins: 2026-01-01T00:00:00Z. Fixed, so that the same arguments give the same bytes.
const START_NS: u64 = 1_767_225_600_000_000_000;

/// Seeded traffic for a network, as a pcap or a flow log, or a seeded network, as exports: the same arguments give the same bytes
///
/// With -s, flows go between the network's own addresses and what its rules name, to the edges of rules and their
/// neighbours. With --network or --nsg, a network is made as `az network ... list` would tell of it, valid and within
/// Azure's limits.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["exports", "estate", "nsg"])))]
pub(super) struct Args {
    /// Make traffic for the network of these exports: files or folders, in any mix of shapes; `-` is standard input
    #[arg(short = 's', value_name = "PATH")]
    exports: Vec<PathBuf>,
    /// Make a network: a hub and its spokes with so many virtual networks, interfaces and NSGs, and so many custom
    /// rules in each NSG
    #[arg(long = "network", value_name = "VNETS,NICS,NSGS,RULES", value_parser = sizes, conflicts_with_all = TRAFFIC_ONLY)]
    estate: Option<[u32; 4]>,
    /// Make an NSG of so many custom rules, and the one interface that it is attached to, `nic-1`
    #[arg(long, value_name = "RULES", conflicts_with_all = TRAFFIC_ONLY)]
    nsg: Option<u32>,
    /// With --network or --nsg, the share of rules, from 0 to 1, whose other side is a service tag of the tag file
    #[arg(long, value_name = "P", default_value_t = 0.1, conflicts_with = "exports")]
    tags_share: f64,
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
    /// As what traffic is written: packets, or what Azure's flow logs would say of them
    #[arg(long = "as", value_name = "FORMAT", default_value = "pcap")]
    format: FormatArg,
    /// In a flow log, record the opposite verdict of this share of flows, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    falsify: f64,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Write to FILE instead of standard output; the file appears only when it is whole. A network also goes to a
    /// folder, a file for each kind of resource: name one that is there, or end the name with a slash
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say nothing on standard error but errors
    #[arg(short, long)]
    quiet: bool,
}

/// The formats of traffic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FormatArg {
    /// A capture, with nanoseconds
    Pcap,
    /// A VNet flow log, version 4: one JSON file with a record for each minute and interface
    VnetFlowLog,
    /// The NSG flow logs of all NSGs, version 2, in one JSON file
    NsgFlowLog,
}

/// What says how a network is read, or which traffic is made for it: without meaning where one is made.
const TRAFFIC_ONLY: [&str; 11] = [
    "flows",
    "skew",
    "format",
    "falsify",
    "facts",
    "strict",
    "partial_inventory",
    "assume",
    "subscription",
    "resource_group",
    "parameters",
];

fn sizes(text: &str) -> Result<[u32; 4], String> {
    let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.parse().ok()).collect();
    let wrong = || {
        "expected four numbers, as in `20,10000,1000,100`; the network to make traffic for is named with -s"
            .to_owned()
    };
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(wrong)
}

fn share(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    // An NSG alone is a network of one of each.
    match args.estate.or(args.nsg.map(|rules| [1, 1, 1, rules])) {
        Some(sizes) => network(args, sizes.map(|size| size as usize)),
        None => traffic(args),
    }
}

fn traffic(args: &Args) -> Result<Status, CliError> {
    let version = match args.format {
        FormatArg::Pcap => None,
        FormatArg::VnetFlowLog => Some(LogVersion::Vnet),
        FormatArg::NsgFlowLog => Some(LogVersion::Nsg),
    };
    if version.is_none() && args.falsify > 0.0 {
        return Err(CliError::usage(
            "--falsify: a capture records no verdicts: expected --as with a flow log",
        ));
    }
    if version.is_none() && args.output.is_none() && io::stdout().is_terminal() {
        return Err(CliError::usage("a capture is no text for a terminal: give -o FILE, or redirect"));
    }
    let tags = inputs::tags(&args.reading.tags, args.quiet)?;
    let loaded = inputs::network(&args.exports, &args.reading.exports, &tags, args.quiet)?;
    let options = SynthOptions { flows: args.flows, seed: args.seed, skew: args.skew, start_ns: START_NS };
    let network = &loaded.compiled.network;
    let words = match version {
        None => {
            let packets = synth::flows(network, &tags, &options).map_err(unmade)?;
            let written = to_output(args, |out| synth::write_pcap(packets, out))?;
            counted(written, "packet")
        }
        Some(version) => {
            let scripts = synth::scripts(network, &tags, &options).map_err(unmade)?;
            let mut logs = Logs::new(&loaded.compiled, version, args);
            let written = to_output(args, |out| logs.write(scripts, out))?;
            let falsified = (args.falsify > 0.0).then(|| format!(", {} falsified,", grouped(logs.falsified)));
            format!("{}{}", counted(written, "tuple"), falsified.unwrap_or_default())
        }
    };
    if !args.quiet {
        eprintln!("{words} of {}", counted(args.flows, "flow"));
    }
    Ok(Status::Clean)
}

fn unmade(error: SynthError) -> CliError {
    CliError::usage(error.to_string())
}

/// Writes to the file that was named or to standard output.
fn to_output(args: &Args, write: impl FnOnce(&mut dyn Write) -> io::Result<u64>) -> Result<u64, CliError> {
    match &args.output {
        Some(path) => {
            let mut file = OutputFile::create(path)?;
            let written = write(&mut file).map_err(|source| output::failed(path, source))?;
            file.finish()?;
            Ok(written)
        }
        None => write(&mut io::stdout().lock()).map_err(to_stdout),
    }
}

/// What flow logs say of flows.
struct Logs<'a> {
    network: &'a Network,
    logging: Logging,
    version: LogVersion,
    /// Chance of its own: the same flows are made whatever share is falsified.
    random: ChaCha8Rng,
    falsify: f64,
    falsified: u64,
}

impl<'a> Logs<'a> {
    fn new(compiled: &'a Arc<CompiledNetwork>, version: LogVersion, args: &Args) -> Self {
        Self {
            network: &compiled.network,
            logging: Logging::new(Arc::clone(compiled), SimulatorOptions::default()),
            version,
            random: ChaCha8Rng::seed_from_u64(args.seed.wrapping_add(1)),
            falsify: args.falsify,
            falsified: 0,
        }
    }

    fn write(&mut self, scripts: Scripts, out: &mut dyn Write) -> io::Result<u64> {
        let mut writer = LogWriter::new(self.version, out)?;
        for script in scripts {
            let Some(first) = script.first() else { continue };
            writer.write_before(first.time_ns / 1_000_000)?;
            let [sent, returned] = synth::volumes(&script);
            let time_ms = |packet: &SynthPacket| packet.time_ns / 1_000_000;
            let last_ms = script.last().map_or(0, time_ms);
            let course = Course { first_ms: time_ms(first), last_ms, sent, returned };
            for sighting in self.logging.sightings(&first.packet, first.time_ns) {
                let lies = self.falsify > 0.0 && self.random.random_bool(self.falsify);
                let access = match (sighting.access, lies) {
                    (Access::Allow, false) | (Access::Deny, true) => Access::Allow,
                    (Access::Deny, false) | (Access::Allow, true) => Access::Deny,
                };
                let mut written = false;
                let acl = match (self.version, sighting.nsg) {
                    (LogVersion::Nsg, Some(nsg)) => self.network.nsgs[nsg.get()].id.as_str().into(),
                    _ => sighting.rule.acl.clone().unwrap_or_default(),
                };
                for flow in sighting.tuples(acl, access, &course) {
                    written |= writer.add(&flow);
                }
                self.falsified += u64::from(lies && written);
            }
        }
        let (out, tuples) = writer.finish()?;
        out.flush()?;
        Ok(tuples)
    }
}

fn network(args: &Args, [vnets, nics, nsgs, rules]: [usize; 4]) -> Result<Status, CliError> {
    let tags_share = args.tags_share;
    // No file is read for what no rule names.
    let tags = if tags_share == 0.0 && args.reading.tags.tags.is_none() {
        TagCatalog::default().into()
    } else {
        inputs::tags(&args.reading.tags, args.quiet)?
    };
    let options = EstateOptions { vnets, nics, nsgs, rules, tags_share, seed: args.seed };
    let estate = Estate::new(options, &tags).map_err(|error| {
        let option = match error {
            EstateError::Share(_) | EstateError::NoTags => "--tags-share",
            EstateError::Number { .. } | EstateError::TooManyNsgs { .. } if args.nsg.is_some() => "--nsg",
            EstateError::Number { .. } | EstateError::TooManyNsgs { .. } => "--network",
        };
        CliError::usage(format!("{option}: {error}"))
    })?;
    match args.output.as_deref() {
        Some(folder) if is_folder(folder) => write_folder(&estate, folder)?,
        _ if !estate.fits_one_file() => {
            return Err(CliError::usage(
                "so many rules in one file are not read back: give a folder, -o DIR/",
            ));
        }
        Some(path) => write_file(&estate, &all_parts(&estate), path)?,
        None => estate.write(&all_parts(&estate), io::stdout().lock()).map_err(to_stdout)?,
    }
    if !args.quiet {
        let counts = [
            (vnets, "virtual network"),
            (estate.subnets(), "subnet"),
            (nics, "interface"),
            (nsgs, "NSG"),
            (nsgs * rules, "custom rule"),
        ];
        let words = counts.map(|(count, what)| counted(count as u64, what));
        eprintln!("{}", words.join(", "));
    }
    Ok(Status::Clean)
}

fn to_stdout(source: io::Error) -> CliError {
    output::failed(Path::new("<stdout>"), source)
}

fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

fn all_parts(estate: &Estate) -> Vec<Part> {
    estate.parts().into_iter().map(|(_, part)| part).collect()
}

fn write_file(estate: &Estate, parts: &[Part], path: &Path) -> Result<(), CliError> {
    let mut file = OutputFile::create(path)?;
    estate.write(parts, &mut file).map_err(|source| output::failed(path, source))?;
    file.finish()
}

/// A folder is read whole: what else lies in it would become a part of the network.
fn write_folder(estate: &Estate, folder: &Path) -> Result<(), CliError> {
    let failed = |source| output::failed(folder, source);
    fs::create_dir_all(folder).map_err(failed)?;
    let parts = estate.parts();
    let entries = fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    // The first by name: folders are listed in any order.
    if let Some(other) = names.iter().filter(|name| !parts.iter().any(|(own, _)| *name == own.as_str())).min()
    {
        let (folder, other) = (folder.display(), other.display());
        return Err(CliError::usage(format!(
            "{folder}: holds `{other}`, which would be read as a part of the network: expected a folder of its own"
        )));
    }
    parts.into_iter().try_for_each(|(name, part)| write_file(estate, &[part], &folder.join(name)))
}
