//! Arguments that are the same everywhere.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{CliError, inputs};
use crate::ingest::azure::{Deployment, tags};
use crate::ingest::capture::Tunnels;
use crate::ingest::capture::flow_table::Columns;
use crate::ingest::capture::input::InputOptions;
use crate::model::assumptions::{Assumptions, Choice};
use crate::model::network::Network;
use crate::model::rule::Direction;
use crate::replay::ledger::Ledger;
use crate::replay::run::ReplayOptions;
use crate::report::pseudonyms::Pseudonyms;
use crate::report::style::{Form, Style};
use crate::simulate::SimulatorOptions;

/// The network and the tags that it is read with.
#[derive(Args, Clone, Debug)]
pub(super) struct NetworkArgs {
    /// Files or folders with exports, in any mix of shapes; `-` is standard input
    #[arg(short = 's', long = "network", value_name = "PATH", required = true)]
    pub(super) network: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) reading: ReadingArgs,
}

/// The two networks of a comparison.
#[derive(Args, Clone, Debug)]
pub(super) struct SidesArgs {
    /// The network before the change: files or folders with exports; a Terraform plan alone is both networks
    #[arg(long, value_name = "PATH", required_unless_present = "cand")]
    pub(super) base: Vec<PathBuf>,
    /// The network after the change
    #[arg(long, value_name = "PATH", required_unless_present = "base")]
    pub(super) cand: Vec<PathBuf>,
    /// The change itself, in place of the network after it: a YAML file of edits to --base
    ///
    /// A list, each item one of: add_rule, change_rule (nsg, name, and of direction, priority, access, protocol, source,
    /// source_ports, destination, destination_ports, description what changes), remove_rule (nsg, name), attach_nsg (nsg,
    /// and subnet or nic), detach_nsg (subnet or nic), add_route (route_table, name, prefix, next_hop, and for a
    /// VirtualAppliance its address), remove_route (route_table, name). Resources go by name or ID. A source or destination
    /// is a prefix, a service tag, "*" or asg:NAME, ports are numbers, ranges or "*"; one or a list. Applied in order; what
    /// Azure would refuse for its names or priorities is an error, other things that it would refuse are warnings, as in
    /// exports.
    #[arg(long, value_name = "FILE", conflicts_with = "cand", requires = "base")]
    pub(super) edit: Option<PathBuf>,
}

/// How exports are read, and the tags that they are read with.
#[derive(Args, Clone, Debug)]
pub(super) struct ReadingArgs {
    #[command(flatten)]
    pub(super) tags: TagsArgs,
    #[command(flatten)]
    pub(super) exports: ExportsArgs,
}

/// How exports are read.
#[derive(Args, Clone, Debug)]
pub(super) struct ExportsArgs {
    /// What no export holds, in YAML: appliances, routes learned by BGP, parents of management groups, deployed admin
    /// configurations, kinds of subscriptions, trusted callers
    #[arg(long, value_name = "FILE")]
    pub(super) facts: Option<PathBuf>,
    /// Reject input that Azure would reject, instead of evaluating it with warnings
    #[arg(long)]
    pub(super) strict: bool,
    /// The export may lack machines: an address that nobody has is undetermined, not denied
    #[arg(long)]
    pub(super) partial_inventory: bool,
    /// Take another choice where a clause leaves one, such as NSG-10=ignored; `nsgsim help assumptions` lists them
    #[arg(long = "assume", value_name = "CLAUSE=CHOICE")]
    assume: Vec<Choice>,
    #[command(flatten)]
    pub(super) deployment: DeploymentArgs,
}

impl ExportsArgs {
    /// What is taken for true where a clause leaves a choice.
    pub(super) fn assumptions(&self) -> Result<Assumptions, CliError> {
        let mut assumptions = Assumptions::default();
        for (position, choice) in self.assume.iter().enumerate() {
            let mut earlier = self.assume[..position].iter();
            if let Some(other) = earlier.find(|one| one.clause() == choice.clause() && *one != choice) {
                return Err(CliError::usage(format!(
                    "--assume: `{other}` and `{choice}` exclude each other"
                )));
            }
            assumptions = assumptions.with(*choice);
        }
        Ok(assumptions)
    }
}

/// What templates do not say themselves.
#[derive(Args, Clone, Debug)]
pub(super) struct DeploymentArgs {
    /// The subscription that templates are deployed to, for the IDs of their resources
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// The resource group that templates are deployed to
    #[arg(long, value_name = "NAME")]
    resource_group: Option<String>,
    /// A parameters file for templates
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
}

impl DeploymentArgs {
    /// Where templates are deployed, and with what.
    pub(super) fn deployment(&self) -> Result<Deployment, CliError> {
        let mut deployment = Deployment::default();
        for (option, given, place) in [
            ("--subscription", &self.subscription, &mut deployment.subscription),
            ("--resource-group", &self.resource_group, &mut deployment.resource_group),
        ] {
            if let Some(given) = given {
                // A slash would part the IDs that are made of it.
                if given.is_empty() || given.contains('/') {
                    return Err(CliError::usage(format!(
                        "{option}: `{given}` is not a name without slashes"
                    )));
                }
                place.clone_from(given);
            }
        }
        if let Some(path) = &self.parameters {
            deployment.read_parameters(path)?;
        }
        Ok(deployment)
    }
}

/// Where the service tags come from.
#[derive(Args, Clone, Debug)]
pub(super) struct TagsArgs {
    /// A service tag file (.gz and .zst accepted), or `none`; without it the snapshot built into the program
    #[arg(long, value_name = "FILE")]
    pub(super) tags: Option<PathBuf>,
}

/// The traffic and how it is judged.
#[derive(Args, Clone, Debug)]
pub(super) struct JudgingArgs {
    /// Captures, flow logs and flow tables, folders of them, az://CONTAINER/PREFIX, or `-`
    #[arg(value_name = "INPUT", required = true)]
    pub(super) inputs: Vec<PathBuf>,
    /// Evaluate at this interface alone, for captures that were taken there; as IP flow verify does, without routes and
    /// without what the platform exempts
    #[arg(long, value_name = "NIC", conflicts_with = "vnet")]
    at: Option<String>,
    /// The virtual network, where several hold the addresses
    #[arg(long, value_name = "VNET")]
    vnet: Option<String>,
    /// Judge what VXLAN packets carry (UDP to port 4789) in their place, as mirrors such as a virtual network TAP send it
    ///
    /// One level is opened, and only where the datagram is whole. Bytes are those of the carried frame.
    #[arg(long)]
    decapsulate: bool,
    /// In flow tables, which column says what, where its name does not: `src=ClientIP,dst=ServerIP`
    #[arg(long, value_name = "FIELD=COLUMN,...")]
    columns: Option<Columns>,
    /// Whether flows stay open, or every packet stands alone
    #[arg(long, default_value = "full")]
    state: StateArg,
    /// Replace addresses and names by pseudonyms in everything that is written, so that it can be shown to others
    ///
    /// The same KEY, any text, gives the same pseudonyms on every run; whoever has it can find out whether a guess is right.
    /// Addresses that share a prefix have pseudonyms that do, private ones private ones. What Azure itself names stays: types
    /// of resources, default rules, the service tags that this program has built in. Times, counts, ports and the order of
    /// rows stay. What is said on standard error names things as they are.
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    anonymize: Option<String>,
    /// How many flow records are kept at most, shared out evenly over 32 parts of the traffic; at least 4096
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = most_flows)]
    max_flows: usize,
    #[command(flatten)]
    pub(super) threads: ThreadsArgs,
    /// Leave out how long it took
    #[arg(long)]
    pub(super) no_timing: bool,
    /// Exit with status 3 if more records are undetermined
    #[arg(long, value_name = "N")]
    max_undetermined: Option<u64>,
    /// Exit with status 3 if more records are skipped
    #[arg(long, value_name = "N")]
    max_skipped: Option<u64>,
}

/// Whether flows stay open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum StateArg {
    /// The first packet of a flow is decided by the rules, the rest by its record
    Full,
    /// Every packet is decided by the rules, and is a flow of its own
    None,
}

impl JudgingArgs {
    /// What they say about a network's replay.
    pub(super) fn options(&self, network: &Network) -> Result<ReplayOptions, CliError> {
        Ok(ReplayOptions {
            simulator: SimulatorOptions {
                stateful: self.state == StateArg::Full,
                vnet: self.vnet.as_deref().map(|text| inputs::one_vnet(network, text)).transpose()?,
                most_flows: self.max_flows,
                ..SimulatorOptions::default()
            },
            at: self.at.as_deref().map(|text| inputs::one_nic(network, text)).transpose()?,
            ..ReplayOptions::default()
        })
    }

    /// Refuses what makes no sense beside an answer about every possible packet by its true names.
    pub(super) fn refuse_parts(&self) -> Result<(), CliError> {
        for (option, is_given) in [("--at", self.at.is_some()), ("--anonymize", self.anonymize.is_some())] {
            if is_given {
                return Err(CliError::usage(format!("{option}: this command does not take it")));
            }
        }
        Ok(())
    }

    /// What addresses and names are replaced by.
    pub(super) fn pseudonyms(&self) -> Option<Pseudonyms> {
        // Whatever tags a run takes: those of a file may be anybody's.
        self.anonymize.as_deref().map(|key| Pseudonyms::new(key, Arc::new(tags::bundled())))
    }

    /// How inputs are read.
    pub(super) fn reading(&self) -> InputOptions {
        let tunnels = if self.decapsulate { Tunnels::Opened } else { Tunnels::Closed };
        InputOptions { tunnels, columns: self.columns.clone().unwrap_or_default(), ..InputOptions::default() }
    }

    /// Whether more was left open than is allowed.
    pub(super) fn is_incomplete(&self, ledger: &Ledger) -> bool {
        let over = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count > limit);
        over(self.max_undetermined, ledger.undetermined.total())
            || over(self.max_skipped, ledger.skipped.total())
    }
}

/// How an answer is written.
#[derive(Args, Clone, Debug)]
pub(super) struct OutputArgs {
    /// Write to FILE instead of standard output; the file appears only when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorChoice,
    /// Say nothing on standard error but errors
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Text or JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum TextOrJson {
    /// For people
    Table,
    /// For pull requests and pages: Markdown
    Md,
    /// For machines
    Json,
}

impl TextOrJson {
    /// What a text in this format is made for.
    pub(super) fn form(self) -> Form {
        if self == Self::Md { Form::Markdown } else { Form::Plain }
    }
}

/// Text, JSON or CSV.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum TextJsonOrCsv {
    /// For people
    Table,
    /// For pull requests and pages: Markdown
    Md,
    /// For machines
    Json,
    /// For spreadsheets
    Csv,
}

impl TextJsonOrCsv {
    /// What a text in this format is made for.
    pub(super) fn form(self) -> Form {
        if self == Self::Md { Form::Markdown } else { Form::Plain }
    }
}

/// Which way, seen from an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum DirectionArg {
    /// Towards the interface
    In,
    /// From the interface
    Out,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::In => Self::Inbound,
            DirectionArg::Out => Self::Outbound,
        }
    }
}

impl OutputArgs {
    /// The style of text that goes to the output, made for a terminal or as Markdown.
    pub(super) fn style(&self, form: Form) -> Style {
        if form == Form::Markdown {
            return Style { form, ..Style::default() };
        }
        let on_terminal = self.output.is_none() && std::io::stdout().is_terminal();
        let colour = match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                on_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Style { form, colour, fits_terminal: on_terminal }
    }
}

/// Reads a skew, such as `zipf:1.1`: the exponent of Zipf's law.
pub(super) fn zipf(text: &str) -> Result<f64, String> {
    let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok());
    exponent.ok_or_else(|| "expected `zipf:` and a number, as in `zipf:1.1`".to_owned())
}

fn most_flows(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    if number < 4096 { Err("fewer than 4096".to_owned()) } else { Ok(number) }
}

/// How many threads work.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ThreadsArgs {
    /// Threads; all cores without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) threads: Option<u16>,
}

impl ThreadsArgs {
    /// A pool of that many threads.
    pub(super) fn pool(self) -> Result<rayon::ThreadPool, CliError> {
        let threads = self.threads.map_or(0, usize::from);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| CliError::usage(format!("--threads: {error}")))
    }
}
