//! `nsgsim explain`: one packet, every step, and why.

use std::net::IpAddr;
use std::sync::Arc;

use clap::ValueEnum;

use super::arguments::{DirectionArg, NetworkArgs, OutputArgs, TextOrJson};
use super::{CliError, Status, inputs, output};
use crate::compile::balancers::frontend_address;
use crate::compile::linear;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::places::{FrontendPlace, frontend_places};
use crate::compile::policy::Policy;
use crate::compile::resolve::fixed_tag;
use crate::compile::surroundings::internet_base;
use crate::compile::world::World;
use crate::model::flow::{FiveTuple, Icmp, Origin, Packet, Port};
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, ServiceAccountIndex};
use crate::model::network::Network;
use crate::model::rule::{Direction, Protocol, Rule};
use crate::model::tag::TagName;
use crate::model::verdict::{Answer, Interface, Reason, RuleHit, Step, StepAnswer, VerdictKind};
use crate::report::explain::Explanation;
use crate::report::inputs::Inputs;
use crate::report::names::Names;
use crate::report::next_hop::NextHopReport;
use crate::simulate::{Ends, SimulatorOptions, Weighing};

/// One packet, every step, and why
///
/// Ends are IP addresses with an optional port (10.0.1.4:443, [2001:db8::1]:443), interfaces or machines by name or ID,
/// private endpoints, load balancers and public addresses by name or ID, `Internet`, or a service tag (its first address
/// is taken). Exit status: 0 allowed, 1 denied or mixed, 3 undetermined.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Where the packet starts
    #[arg(long, value_name = "END")]
    from: String,
    /// Where the packet goes
    #[arg(long, value_name = "END")]
    to: String,
    /// tcp, udp, icmp, icmpv6, esp, ah, gre or an IANA number
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = protocol)]
    proto: Protocol,
    /// What is asked: the whole journey, one interface's filters alone as IP flow verify answers or as its flow log
    /// tells, or the next hop
    #[arg(long, default_value = "path")]
    mode: Mode,
    /// The interface, for --mode ip-flow and logged; without it the one that is an end of the packet
    #[arg(long, value_name = "NIC")]
    at: Option<String>,
    /// Which way, seen from --at
    #[arg(long)]
    direction: Option<DirectionArg>,
    /// The storage account, key vault or SQL server that answers at --to, by name or ID: its own firewall is asked too
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// The virtual network, where several hold the addresses
    #[arg(long, value_name = "VNET", conflicts_with = "at")]
    vnet: Option<String>,
    /// table, md or json
    #[arg(long, default_value = "table")]
    format: TextOrJson,
    /// Show each rule that was tried and which field failed
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// The whole journey: filters, routes, translation
    Path,
    /// One interface's admin rules and NSGs in one direction, nothing else
    IpFlow,
    /// As ip-flow, with what the platform exempts and what networks do not carry: what a flow log of the interface tells of
    Logged,
    /// The route of an interface's packets to an address, as Network Watcher's next hop answers
    NextHop,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::read(text).ok_or_else(|| "neither a known protocol nor a number up to 255".to_owned())
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let quiet = args.output.quiet;
    if args.mode != Mode::Path && args.account.is_some() {
        return Err(CliError::usage("--account is for --mode path: only a whole journey comes to a service"));
    }
    let one_view = matches!(args.mode, Mode::IpFlow | Mode::Logged);
    if !one_view && (args.at.is_some() || args.direction.is_some()) {
        return Err(CliError::usage(
            "--at and --direction are for --mode ip-flow and logged: no other question has one view",
        ));
    }
    let tags = inputs::tags(&args.network.reading.tags, quiet)?;
    let loaded = inputs::network(&args.network.network, &args.network.reading.exports, &tags, quiet)?;
    let compiled = &loaded.compiled;

    let (from, to) =
        (End::read(compiled, &args.from, args.to.contains("]:"))?, End::read(compiled, &args.to, false)?);
    let (source, destination) = meeting(&from, &to)?;
    let packet = packet(args.proto, (source, from.port, 50000), (destination, to.port));
    let options = SimulatorOptions {
        stateful: false,
        observed: false,
        vnet: args.vnet.as_deref().map(|text| inputs::one_vnet(&compiled.network, text)).transpose()?,
        ..SimulatorOptions::default()
    };
    let mut simulator = Weighing::new(Arc::clone(compiled), options);
    if args.mode == Mode::NextHop {
        return next_hop(args, &simulator, &from, destination, loaded.inputs);
    }
    let target = args.account.as_deref().map(|text| account(compiled, text)).transpose()?;
    let answer = match args.mode {
        Mode::NextHop => unreachable!("a next hop is no verdict and was answered before"),
        Mode::IpFlow => {
            let (nic, direction) = view(compiled, args, &from, &to, &packet.five_tuple)?;
            simulator.ip_flow(nic, direction, &packet)
        }
        Mode::Logged => {
            let (nic, direction) = view(compiled, args, &from, &to, &packet.five_tuple)?;
            simulator.logged(Interface::Nic(nic), direction, &packet)
        }
        Mode::Path => match from.nic {
            Some(nic) => simulator.path(Ends { target, ..Origin::Nic(nic).into() }, &packet, 0),
            None if target.is_some() => {
                if !internet_base().contains(source) {
                    let message = "with --account, --from is an interface or an address on the internet";
                    return Err(CliError::usage(message));
                }
                simulator.path(Ends { target, ..Origin::Internet.into() }, &packet, 0)
            }
            None => {
                let judged = simulator.judge(&packet, 0);
                let out =
                    |_| CliError::usage(format!("neither {source} nor {destination} is in the network"));
                judged.map_err(out)?.answer
            }
        },
    };

    let explanation = Explanation {
        network: &compiled.network,
        packet: packet.five_tuple,
        next_in_line: next_in_line(compiled, &answer),
        tried: answer.steps.iter().map(|step| tried(compiled, step)).collect(),
        answer: &answer,
        inputs: loaded.inputs,
    };
    let text = match args.format {
        TextOrJson::Json => explanation.json(),
        text => explanation.table(args.output.style(text.form()), args.verbose),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(match answer.verdict.kind() {
        VerdictKind::Allow => Status::Clean,
        VerdictKind::Deny | VerdictKind::Mixed => Status::Findings,
        VerdictKind::Undetermined => Status::Incomplete,
    })
}

/// Answers a question for the next hop (NW-4). An interface without a route for the address drops its packets, which is
/// an answer.
fn next_hop(
    args: &Args,
    simulator: &Weighing,
    from: &End,
    destination: IpAddr,
    inputs: Inputs,
) -> Result<Status, CliError> {
    let network = &simulator.compiled().network;
    let nic = match (from.nic, from.addresses.first()) {
        (Some(nic), _) => nic,
        (None, Some(address)) => {
            let holders = (0..network.nics.len()).map(NicIndex::new);
            let holders: Vec<_> = holders.filter(|nic| network.nics[nic.get()].has(*address)).collect();
            match holders.as_slice() {
                [nic] => *nic,
                found => {
                    let count = found.len();
                    let message =
                        format!("`{}`: {count} interfaces have the address, expected one", from.text);
                    return Err(CliError::usage(message));
                }
            }
        }
        (None, None) => return Err(CliError::usage(format!("`{}`: no interface", from.text))),
    };
    let route = simulator.next_hop(nic, destination);
    let report = NextHopReport { names: Names { network }, destination, route: &route, inputs };
    let text = match args.format {
        TextOrJson::Json => report.json(),
        text => report.table(args.output.style(text.form())),
    };
    output::write(args.output.output.as_deref(), &text)?;
    Ok(if route.is_err() { Status::Incomplete } else { Status::Clean })
}

/// The account that a text names.
fn account(compiled: &CompiledNetwork, text: &str) -> Result<ServiceAccountIndex, CliError> {
    match compiled.network.find_service_account(text).as_slice() {
        [account] => Ok(*account),
        [] => Err(CliError::usage(format!("`{text}`: the network has no such account"))),
        found => {
            let count = found.len();
            Err(CliError::usage(format!("`{text}`: {count} accounts have the name: give the ID")))
        }
    }
}

fn packet(
    protocol: Protocol,
    source: (IpAddr, Option<u16>, u16),
    destination: (IpAddr, Option<u16>),
) -> Packet {
    let ports = if protocol.has_ports() {
        (Port::Number(source.1.unwrap_or(source.2)), destination.1.map_or(Port::NotGiven, Port::Number))
    } else {
        (Port::None, Port::None)
    };
    let mut packet = Packet::new(FiveTuple {
        source: source.0,
        destination: destination.0,
        protocol,
        source_port: ports.0,
        destination_port: ports.1,
    });
    if matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) {
        packet.icmp = Some(Icmp::Echo { identifier: 1, request: true });
    }
    packet
}

/// An end of the packet as the user named it.
struct End {
    /// Its addresses, the first of each family first.
    addresses: Vec<IpAddr>,
    port: Option<u16>,
    nic: Option<NicIndex>,
    text: String,
}

impl End {
    fn read(compiled: &CompiledNetwork, text: &str, prefer_v6: bool) -> Result<Self, CliError> {
        let (name, port) = split_port(text)?;
        let end = |addresses, nic| Self { addresses, port, nic, text: text.to_owned() };
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(end(vec![address], None));
        }
        let network = &compiled.network;
        if name.eq_ignore_ascii_case(TagName::INTERNET) {
            let mut addresses = on_the_internet(compiled);
            if prefer_v6 {
                addresses.reverse();
            }
            return Ok(end(addresses, None));
        }
        let nics = inputs::nics(network, name);
        if !nics.is_empty() {
            let nic = inputs::one_nic(network, name)?;
            let mut configurations: Vec<_> = network.nics[nic.get()].ip_configurations.iter().collect();
            configurations.sort_by_key(|configuration| !configuration.primary);
            let addresses: Vec<_> =
                configurations.iter().filter_map(|configuration| configuration.address).collect();
            if addresses.is_empty() {
                return Err(CliError::usage(format!("`{name}`: the interface has no address")));
            }
            return Ok(end(addresses, Some(nic)));
        }
        if let [endpoint] = network.find_private_endpoint(name).as_slice() {
            let addresses = &network.private_endpoints[endpoint.get()].addresses;
            if addresses.is_empty() {
                return Err(CliError::usage(format!("`{name}`: the private endpoint has no address")));
            }
            return Ok(end(addresses.clone(), None));
        }
        if let Some(address) = frontend(network, name)? {
            return Ok(end(vec![address], None));
        }
        if let [public_ip] = network.find_public_ip(name).as_slice() {
            let address = network.public_ips[public_ip.get()].address;
            let lacks = || CliError::usage(format!("`{name}`: the export gives the public address no value"));
            return Ok(end(vec![address.ok_or_else(lacks)?], None));
        }
        let tag = TagName::new(name);
        let prefixes = fixed_tag(&tag).or_else(|| compiled.tags.get(&tag).map(|tag| tag.prefixes.clone()));
        if let Some(prefixes) = prefixes {
            return Ok(end(prefixes.iter().map(|prefix| prefix.addr()).collect(), None));
        }
        Err(CliError::usage(format!(
            "`{text}`: neither an address, an interface, a machine, a private endpoint, a load balancer, a public address, `Internet` nor a known service tag"
        )))
    }
}

/// An address of each family for `Internet`: one that has always been in it (TAG-20) and belongs to nobody, or the first
/// of a list that lacks it.
fn on_the_internet(compiled: &CompiledNetwork) -> Vec<IpAddr> {
    let listed = compiled.internet.prefixes();
    let address = |usual: &str| {
        let usual: IpAddr = usual.parse().expect("a fixed address is well-formed");
        let mut of_family = listed.iter().map(|prefix| prefix.addr());
        let first = of_family.find(|address| address.is_ipv4() == usual.is_ipv4());
        if compiled.internet.contains(usual) { Some(usual) } else { first }
    };
    ["198.51.100.10", "2001:db8::10"].into_iter().filter_map(address).collect()
}

/// The address of a load balancer's frontend, by the load balancer's name or ID if it has one frontend, or by the
/// frontend's own ID.
fn frontend(network: &Network, name: &str) -> Result<Option<IpAddr>, CliError> {
    let wanted = |place: &FrontendPlace| {
        let balancer = &network.load_balancers[place.balancer.get()].id;
        let is = |id: &ResourceId| id.as_str().eq_ignore_ascii_case(name);
        is(balancer) || balancer.name().eq_ignore_ascii_case(name) || is(&place.of(network).id)
    };
    let places: Vec<FrontendPlace> = frontend_places(network).filter(wanted).collect();
    let only = match places.as_slice() {
        [] => return Ok(None),
        [only] => only.of(network),
        several => {
            let ids: Vec<&str> = several.iter().map(|place| place.of(network).id.as_str()).collect();
            let message = format!("`{name}` has several frontends: give one of {}", ids.join(", "));
            return Err(CliError::usage(message));
        }
    };
    let lacks = || CliError::usage(format!("`{name}`: the export gives the frontend no address"));
    frontend_address(network, only).ok_or_else(lacks).map(Some)
}

/// Splits `10.0.1.4:443`, `[2001:db8::1]:443`, `web-nic:443` at the port.
fn split_port(text: &str) -> Result<(&str, Option<u16>), CliError> {
    let port = |digits: &str| {
        digits
            .parse()
            .map_err(|_| CliError::usage(format!("`{text}`: `{digits}` is not a port from 0 to 65535")))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| CliError::usage(format!("`{text}`: the bracket is not closed")))?;
        return match rest.strip_prefix(':') {
            Some(digits) => Ok((address, Some(port(digits)?))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(CliError::usage(format!("`{text}`: expected `:PORT` behind the bracket"))),
        };
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, None));
    }
    match text.rsplit_once(':') {
        Some((name, digits)) => Ok((name, Some(port(digits)?))),
        None => Ok((text, None)),
    }
}

/// The first addresses of both ends that are of one family.
fn meeting(from: &End, to: &End) -> Result<(IpAddr, IpAddr), CliError> {
    for source in &from.addresses {
        for destination in &to.addresses {
            if source.is_ipv4() == destination.is_ipv4() {
                return Ok((*source, *destination));
            }
        }
    }
    Err(CliError::usage(format!("`{}` and `{}` have no address family in common", from.text, to.text)))
}

/// The interface and direction that IP flow verify is asked about.
fn view(
    compiled: &CompiledNetwork,
    args: &Args,
    from: &End,
    to: &End,
    tuple: &FiveTuple,
) -> Result<(NicIndex, Direction), CliError> {
    let network = &compiled.network;
    let owner = |end: &End, address: IpAddr| {
        end.nic.or_else(|| {
            let mut owners = network.nics.iter().enumerate().filter(|(_, nic)| nic.has(address));
            let first = owners.next().map(|(position, _)| NicIndex::new(position));
            first.filter(|_| owners.next().is_none())
        })
    };
    let (source, destination) = (owner(from, tuple.source), owner(to, tuple.destination));
    let direction = args.direction.map(Direction::from);
    let at = args.at.as_deref().map(|text| inputs::one_nic(network, text)).transpose()?;
    let missing = || CliError::usage("this mode needs --at NIC: no end of the packet is one interface alone");
    match (at, direction) {
        (Some(nic), Some(direction)) => Ok((nic, direction)),
        (Some(nic), None) if source == Some(nic) => Ok((nic, Direction::Outbound)),
        (Some(nic), None) if destination == Some(nic) => Ok((nic, Direction::Inbound)),
        (Some(_), None) => {
            Err(CliError::usage("--direction: which way, seen from --at? The packet does not tell"))
        }
        (None, Some(Direction::Outbound)) => source.map(|nic| (nic, Direction::Outbound)).ok_or_else(missing),
        (None, Some(Direction::Inbound)) => {
            destination.map(|nic| (nic, Direction::Inbound)).ok_or_else(missing)
        }
        (None, None) => source
            .map(|nic| (nic, Direction::Outbound))
            .or(destination.map(|nic| (nic, Direction::Inbound)))
            .ok_or_else(missing),
    }
}

/// The policy that a rule's hit came from.
fn policy<'c>(compiled: &'c CompiledNetwork, hit: &RuleHit) -> Option<&'c Policy> {
    let layers = compiled.layers(hit.interface, hit.direction);
    let layer = layers.iter().find(|layer| layer.layer == hit.layer)?;
    match layer.policy {
        PolicyReference::Compiled(position) => Some(&compiled.policies[position]),
        _ => None,
    }
}

fn written<'c>(compiled: &'c CompiledNetwork, policy: &Policy, place: usize) -> &'c Rule {
    &compiled.network.nsgs[policy.nsg().get()].rules[policy.rules[place].position as usize]
}

/// The rule that would decide, were the deciding one not there.
fn next_in_line<'c>(compiled: &'c CompiledNetwork, answer: &Answer) -> Option<&'c Rule> {
    let Some(Reason::SecurityRule(hit)) = answer.verdict.reason() else { return None };
    let seen = answer.steps.last()?.seen;
    let policy = policy(compiled, hit)?;
    let place = policy.rules.iter().position(|rule| rule.position == hit.rule)?;
    let behind = &policy.rules[place + 1..];
    let next = linear::first_match(&policy.owner, behind, &seen, &World::default()).ok()??;
    Some(written(compiled, policy, place + 1 + next))
}

/// The rules that were tried before the one that answered a step, and which of their fields matched (NW-2).
fn tried<'c>(compiled: &'c CompiledNetwork, step: &Step) -> Vec<(&'c Rule, [bool; 5])> {
    let StepAnswer::Rule(hit) = &step.answer else { return Vec::new() };
    let Some(policy) = policy(compiled, hit) else { return Vec::new() };
    policy
        .rules
        .iter()
        .enumerate()
        .take_while(|(_, rule)| rule.position != hit.rule)
        .map(|(place, rule)| {
            (written(compiled, policy, place), linear::fields_matched(rule, &step.seen, &policy.owner))
        })
        .collect()
}
