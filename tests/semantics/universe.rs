//! Packets for sets of packets to be held against: near the borders of regions, and every packet of a small network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nsgsim::analyze::regions::Region;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy::Engine;
use nsgsim::model::flow::{FiveTuple, Port};
use nsgsim::model::index::{NsgIndex, Reference};
use nsgsim::model::network::{Asg, Network};
use nsgsim::model::prefix::{PortRange, read_prefix};
use nsgsim::model::rule::{AddressTerm, PortTerm, Protocol, Rule};
use nsgsim::simulate::{Simulator, SimulatorOptions};

use crate::build::{Build, id};
use crate::r#gen;
use crate::r#gen::Tape;

/// As many cases as are asked for, or else so many.
pub(crate) fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.map_or(usual, |cases| cases.parse().expect("PROPTEST_CASES is a number"))
}

/// A network without tables, to ask questions of one by one.
pub(crate) fn plain(network: &Network) -> Simulator {
    let compiling = CompileOptions { linear_only: true, ..CompileOptions::default() };
    let (network, tags) = (Arc::new(network.clone()), Arc::new(r#gen::tags()));
    let compiled = Arc::new(CompiledNetwork::new(network, tags, compiling));
    let options = SimulatorOptions {
        engine: Engine::Linear,
        stateful: false,
        observed: false,
        ..SimulatorOptions::default()
    };
    Simulator::new(compiled, options)
}

/// Whether a region holds a packet.
pub(crate) fn holds(region: &Region, tuple: &FiveTuple) -> bool {
    region.sources.contains(tuple.source)
        && region.destinations.contains(tuple.destination)
        && region.services.iter().any(|service| {
            service.protocols.contains(&tuple.protocol)
                && match (&service.ports, tuple.source_port, tuple.destination_port) {
                    (None, Port::None, Port::None) => true,
                    (Some((sources, destinations)), Port::Number(from), Port::Number(to)) => {
                        sources.iter().any(|range| range.contains(from))
                            && destinations.iter().any(|range| range.contains(to))
                    }
                    _ => false,
                }
        })
}

/// A number at a border of some ranges, mostly inside.
fn near<N: Copy>(tape: &mut Tape, ranges: &[(N, N)], step: impl Fn(N, bool) -> N) -> N {
    let (first, last) = ranges[tape.below(ranges.len().min(200))];
    match tape.below(8) {
        0..=2 => first,
        3..=5 => last,
        6 => step(first, false),
        _ => step(last, true),
    }
}

fn near_addresses(tape: &mut Tape, set: &AddressSet) -> IpAddr {
    let v4 = set.ranges_v4();
    if v4.is_empty() {
        let step = |address: u128, up| if up { address.wrapping_add(1) } else { address.wrapping_sub(1) };
        return Ipv6Addr::from(near(tape, &set.ranges_v6(), step)).into();
    }
    let step = |address: u32, up| if up { address.wrapping_add(1) } else { address.wrapping_sub(1) };
    Ipv4Addr::from(near(tape, &v4, step)).into()
}

fn near_ports(tape: &mut Tape, ranges: &[PortRange]) -> Port {
    let ranges: Vec<(u16, u16)> = ranges.iter().map(|range| (range.first(), range.last())).collect();
    let step = |port: u16, up| if up { port.wrapping_add(1) } else { port.wrapping_sub(1) };
    let special = [25, 53, 67, 68, 80, 443, 1688, 32526, 65330];
    Port::Number(match tape.below(3) {
        0 => special[tape.below(special.len())],
        _ => near(tape, &ranges, step),
    })
}

/// A packet that the networks' pool holds, or one inside or at a border of a box.
pub(crate) fn packet(tape: &mut Tape, network: &Network, boxes: &[&Region]) -> FiveTuple {
    let (_, packet, _) = r#gen::packet(tape, network);
    let mut tuple = packet.five_tuple;
    let protocols =
        [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP, Protocol(41), Protocol(132)];
    if !boxes.is_empty() && tape.below(4) > 0 {
        let near = boxes[tape.below(boxes.len())];
        tuple.source = near_addresses(tape, &near.sources);
        tuple.destination = near_addresses(tape, &near.destinations);
        let service = &near.services[tape.below(near.services.len())];
        tuple.protocol = match tape.below(8) {
            0 => protocols[tape.below(protocols.len())],
            _ => service.protocols[tape.below(service.protocols.len())],
        };
        let all = vec![PortRange::ALL];
        let (sources, destinations) =
            service.ports.as_ref().map_or((&all, &all), |ports| (&ports.0, &ports.1));
        tuple.source_port = near_ports(tape, sources);
        tuple.destination_port = near_ports(tape, destinations);
    }
    if !tuple.protocol.has_ports() {
        (tuple.source_port, tuple.destination_port) = (Port::None, Port::None);
    } else if tuple.source_port == Port::None || tuple.destination_port == Port::None {
        (tuple.source_port, tuple.destination_port) = (Port::Number(50_000), Port::Number(443));
    }
    tuple
}

/// Two subnets of eight addresses, an address beside them, and lists of rules about these and eight ports.
pub(crate) fn small(tape: &mut Tape) -> Network {
    let mut network = Network::default();
    for number in 0..2 {
        network.asgs.push(Asg { id: id("applicationSecurityGroups", &format!("asg-{number}")) });
    }
    let lists: Vec<NsgIndex> =
        (0..2).map(|number| network.nsg(&format!("nsg-{number}"), small_rules(tape))).collect();
    let vnet = network.vnet("vnet", &["10.0.0.0/28"]);
    for (name, range, nic, address) in
        [("s1", "10.0.0.0/29", "nic-1", "10.0.0.4"), ("s2", "10.0.0.8/29", "nic-2", "10.0.0.12")]
    {
        let subnet = network.subnet(vnet, name, range);
        network.subnets[subnet.get()].nsg = Some(Reference::Here(lists[tape.below(2)]));
        let nic = network.nic(subnet, nic, &[address]);
        network.nics[nic.get()].nsg = (tape.below(2) == 0).then(|| Reference::Here(lists[tape.below(2)]));
    }
    network
}

pub(crate) fn small_rules(tape: &mut Tape) -> Vec<Rule> {
    let terms = |tape: &mut Tape| {
        let length = [28, 29, 30, 31, 32, 0][tape.below(6)];
        let text = format!("10.0.0.{}/{length}", tape.below(16));
        match read_prefix(&text) {
            Ok(read) if length > 0 => vec![AddressTerm::Prefix(read.prefix)],
            _ => vec![AddressTerm::Any],
        }
    };
    let ports = |tape: &mut Tape| {
        let (first, more) = (tape.below(8), tape.below(8));
        let range = PortRange::new(first as u16, (first + more).min(7) as u16).filter(|_| tape.below(2) > 0);
        vec![PortTerm::Range(range.unwrap_or(PortRange::ALL))]
    };
    let rules = (0..tape.below(7)).map(|position| Rule {
        source: terms(tape),
        source_ports: ports(tape),
        destination: terms(tape),
        destination_ports: ports(tape),
        ..r#gen::rule(tape, position)
    });
    rules.collect()
}

/// Every packet of a small universe.
pub(crate) fn all_packets() -> impl Iterator<Item = FiveTuple> {
    let addresses =
        || (0..16).map(|host| IpAddr::from([10, 0, 0, host])).chain([IpAddr::from([192, 0, 2, 1])]);
    let ports = || (0..8).chain([8, u16::MAX]).map(Port::Number);
    let with_ports = [Protocol::TCP, Protocol::UDP]
        .into_iter()
        .flat_map(move |protocol| ports().flat_map(move |from| ports().map(move |to| (protocol, from, to))));
    let portless = [Protocol::ICMP, Protocol::ESP, Protocol(132), Protocol(4)];
    let services: Vec<_> =
        with_ports.chain(portless.map(|protocol| (protocol, Port::None, Port::None))).collect();
    let ends = addresses().flat_map(move |source| addresses().map(move |destination| (source, destination)));
    ends.filter(|(source, destination)| source != destination).flat_map(move |(source, destination)| {
        let packet = move |(protocol, source_port, destination_port)| FiveTuple {
            source,
            destination,
            protocol,
            source_port,
            destination_port,
        };
        services.clone().into_iter().map(packet)
    })
}
