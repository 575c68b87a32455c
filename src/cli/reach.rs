//! `nsgsim reach`: who can reach whom.

use super::arguments::{NetworkArgs, OutputArgs, TextOrJson, ThreadsArgs};
use super::{CliError, Status, ends, inputs, output};
use crate::analyze::end_set::EndSet;
use crate::analyze::matrix::matrix;
use crate::analyze::reach::{By, Query, Reachability, ServiceSet};
use crate::report::reach::{MatrixReport, ReachReport};

/// Who can reach whom: every possible packet between two sets of ends, by what decides about it
///
/// Exact and complete, without traffic. Packets are the first ones of new flows, as `explain` asks for them. With one end
/// alone the other is whoever has an address in the network, the internet, and what is behind gateways; without both, what
/// passes of TCP and UDP between all subnets, these, and the service tags that rules name.
///
/// SET is an address or prefix, `any`, `Internet` (without this network's own addresses and the platform's), `on-premises`
/// (what is behind gateways), a service tag, or the name or ID of an interface, machine, subnet (also VNET/SUBNET), virtual network, application security group, private endpoint, load
/// balancer or public address. A subnet stands for what stands in it: its prefix names every address. As a destination,
/// machines are reached by load balancers too that lead to them, and from the internet by their public addresses.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Where packets come from; several sets are one
    #[arg(long, value_name = "SET")]
    from: Vec<String>,
    /// Where they go
    #[arg(long, value_name = "SET")]
    to: Vec<String>,
    /// Which packets: tcp/443,8080-8090, udp, icmp, a protocol's number, any
    #[arg(long, value_name = "PROTOCOL[/PORTS]")]
    proto: Vec<String>,
    /// The virtual network, where several hold the addresses
    #[arg(long, value_name = "VNET")]
    vnet: Option<String>,
    /// table, md or json
    #[arg(long, default_value = "table")]
    format: TextOrJson,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let compiled = &loaded.compiled;
    let vnet = args.vnet.as_deref().map(|text| inputs::one_vnet(&compiled.network, text)).transpose()?;
    let is_matrix = args.from.is_empty() && args.to.is_empty();
    let services = match args.proto.as_slice() {
        [] if is_matrix => ["tcp", "udp"].map(ends::services).into_iter().collect::<Result<_, _>>()?,
        [] => vec![ServiceSet::all()],
        texts => texts.iter().map(|text| ends::services(text)).collect::<Result<Vec<_>, _>>()?,
    };
    let set = |texts: &[String]| match texts {
        // Whoever else is there.
        [] => Ok(EndSet::of_anybody(compiled)),
        texts => texts.iter().try_fold(EndSet::default(), |all, text| {
            Ok::<_, CliError>(all.and(&ends::end_set(compiled, text)?))
        }),
    };
    let (from, to) = (set(&args.from)?, set(&args.to)?);
    if from.own.is_empty() {
        let texts = args.from.join(", ");
        return Err(CliError::usage(format!("--from: `{texts}`: what only receives sends nothing")));
    }
    let pool = args.threads.pool()?;
    let style = |form| args.output.style(form);
    let text = if is_matrix {
        let matrix = pool.install(|| matrix(compiled, &services, vnet));
        let report = MatrixReport { compiled, matrix: &matrix, inputs: loaded.inputs };
        match args.format {
            TextOrJson::Json => report.json(),
            text => report.table(style(text.form())),
        }
    } else {
        let query = Query { sources: from.own, destinations: to.reached_by(), services };
        let reach = pool.install(|| {
            Reachability::new(compiled, std::slice::from_ref(&query), vnet).ask(&query, By::Decider)
        });
        let has_both_ends = !args.from.is_empty() && !args.to.is_empty();
        let report = ReachReport { compiled, reach: &reach, has_both_ends, inputs: loaded.inputs };
        match args.format {
            TextOrJson::Json => report.json(),
            text => report.table(style(text.form())),
        }
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(Status::Clean)
}
