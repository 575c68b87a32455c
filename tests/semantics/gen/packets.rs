//! Packets and their replies.

use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Fragment, Icmp, Origin, Packet, Port, TcpFlags};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{GatewayIndex, NicIndex, Reference, SubnetIndex};
use nsgsim::model::network::{IpConfiguration, Network};
use nsgsim::model::rule::Protocol;
use nsgsim::model::services::{Frontend, LoadBalancer};

use super::pool::{ADDRESSES, PORTS, SERVICES};
use super::tape::Tape;
use super::timers::GAPS_S;
use crate::build::ip;

/// A packet with its start and the seconds since the last one.
pub(crate) fn packet(tape: &mut Tape, network: &Network) -> (Origin, Packet, u64) {
    let (origin, source) = start(tape, network);
    let seconds = tape.one_of(&GAPS_S);
    let mut tuple = addressed(tape, network, source);
    if matches!(origin, Origin::Nic(_)) {
        tuple = not_its_own_reply(network, origin, tuple);
    }
    let mut packet = Packet::new(tuple);
    match tuple.protocol {
        Protocol::TCP if tape.seldom(2) => {
            let [syn, ack, fin, rst] = tape.one_of(&[
                [true, false, false, false],
                [false, true, false, false],
                [false, true, true, false],
                [false, false, false, true],
            ]);
            packet.tcp = Some(TcpFlags { syn, ack, fin, rst });
        }
        Protocol::UDP if tape.seldom(6) => packet.fragment = Fragment::First { identification: 7 },
        Protocol::UDP if tape.seldom(6) => {
            packet.fragment = Fragment::Later { identification: 7 };
            (packet.five_tuple.source_port, packet.five_tuple.destination_port) = (Port::None, Port::None);
        }
        Protocol::ICMP => {
            let request = tape.below(2) == 0;
            packet.icmp = Some(tape.one_of(&[Icmp::Echo { identifier: 5, request }, Icmp::Other]));
        }
        _ => {}
    }
    (origin, packet, seconds)
}

/// Where a packet starts, and from which address.
fn start(tape: &mut Tape, network: &Network) -> (Origin, IpAddr) {
    match tape.below(16) {
        10..=12 => (Origin::Internet, ip(tape.one_of(&ADDRESSES))),
        13 => {
            let subnet = SubnetIndex::new(tape.below(network.subnets.len()));
            // An interface that is not listed, a frontend, or a NAT address.
            (Origin::Unlisted(subnet), host(network, subnet, tape.one_of(&[98, 99, 199, 99, 100, 199])))
        }
        14 => (Origin::Platform, ip("168.63.129.16")),
        15 if !network.gateways.is_empty() => {
            (Origin::OnPremises(GatewayIndex::new(0)), ip(tape.one_of(&["192.168.0.4", "192.168.0.1"])))
        }
        _ => {
            let nic = NicIndex::new(tape.below(network.nics.len()));
            // Seldom a foreign address (ROUTE-13).
            if tape.seldom(8) {
                return (Origin::Nic(nic), ip(tape.one_of(&ADDRESSES)));
            }
            let own = &network.nics[nic.get()].ip_configurations;
            (Origin::Nic(nic), own[tape.below(own.len())].address.expect("an address"))
        }
    }
}

fn host(network: &Network, subnet: SubnetIndex, number: usize) -> IpAddr {
    network.subnets[subnet.get()].prefixes[0].hosts().nth(number).expect("a subnet has 254 hosts")
}

/// Where a packet goes: to an interface, to what a rule of a load balancer takes, to the private endpoint, to a service,
/// as mail to the internet, or anywhere.
fn addressed(tape: &mut Tape, network: &Network, source: IpAddr) -> FiveTuple {
    let port = |tape: &mut Tape| Port::Number(tape.one_of(&PORTS));
    let frontends: Vec<(&LoadBalancer, &Frontend)> = frontends(network).collect();
    let (mut source_port, mut destination_port) = (port(tape), port(tape));
    let mut protocol =
        tape.one_of(&[Protocol::TCP, Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP]);
    let of_family = |address: &IpAddr| address.is_ipv4() == source.is_ipv4();
    let destination = match tape.below(18) {
        2..=5 => {
            let own = network.nics.iter().flat_map(|nic| &nic.ip_configurations);
            let own: Vec<IpAddr> = own.filter_map(|own| own.address).filter(of_family).collect();
            if own.is_empty() { ip("fd00::9") } else { tape.one_of(&own) }
        }
        6..=12 if source.is_ipv4() && !frontends.is_empty() => {
            let (balancer, frontend) = tape.one_of(&frontends);
            (protocol, destination_port) = taken(tape, balancer, frontend);
            called(network, frontend).expect("drawn frontends have addresses")
        }
        13..=15 if source.is_ipv4() && !network.private_endpoints.is_empty() => {
            let service = network.private_link_services.first();
            let behind = |(_, frontend): &&(_, &Frontend)| {
                service.is_some_and(|service| service.frontends.contains(&frontend.id))
            };
            if let Some((balancer, frontend)) = frontends.iter().find(behind) {
                (protocol, destination_port) = taken(tape, balancer, frontend);
            }
            network.private_endpoints[0].addresses[0]
        }
        16 if source.is_ipv4() => {
            protocol = Protocol::TCP;
            ip(tape.one_of(&SERVICES))
        }
        17 if source.is_ipv4() => {
            (protocol, destination_port) = (Protocol::TCP, Port::Number(25));
            ip("8.8.8.8")
        }
        _ => tape.one_of(&ADDRESSES.map(ip).into_iter().filter(of_family).collect::<Vec<_>>()),
    };
    if !protocol.has_ports() {
        (source_port, destination_port) = (Port::None, Port::None);
    }
    FiveTuple { source, destination, protocol, source_port, destination_port }
}

/// A protocol and a port that a rule of the frontend takes.
fn taken(tape: &mut Tape, balancer: &LoadBalancer, frontend: &Frontend) -> (Protocol, Port) {
    let of_frontend = |id: &Option<ResourceId>| id.as_ref() == Some(&frontend.id);
    let rules = balancer.rules.iter().filter(|rule| of_frontend(&rule.frontend));
    let mut ports: Vec<_> = rules.map(|rule| (rule.protocol, rule.frontend_port)).collect();
    let nat_rules = balancer.nat_rules.iter().filter(|rule| of_frontend(&rule.frontend));
    ports.extend(nat_rules.filter_map(|rule| Some((rule.protocol, rule.frontend_ports?.first()))));
    if ports.is_empty() {
        return (Protocol::TCP, Port::Number(80));
    }
    let (protocol, port) = tape.one_of(&ports);
    (protocol.unwrap_or(Protocol::UDP), Port::Number(if port == 0 { 443 } else { port }))
}

/// A machine that calls its own public address, or a public frontend that leads to it, from the port that it calls, is
/// its own reply, and so is one that sends from the address that it calls: no clause says what becomes of that.
fn not_its_own_reply(network: &Network, origin: Origin, tuple: FiveTuple) -> FiveTuple {
    let public = frontends(network).any(|(_, frontend)| {
        frontend.public_ip.is_some() && called(network, frontend) == Some(tuple.destination)
    });
    let own = public_address_of(network, origin) == Some(tuple.destination);
    let holds = |nic: NicIndex| network.nics[nic.get()].has(tuple.source);
    let at_home = matches!(origin, Origin::Nic(nic) if holds(nic));
    if own || (tuple.source == tuple.destination && !at_home) || (public && !tuple.protocol.has_ports()) {
        let elsewhere = if tuple.source.is_ipv4() { "8.8.8.8" } else { "2001:db8::1" };
        return FiveTuple { destination: ip(elsewhere), ..tuple };
    }
    if public { FiveTuple { source_port: Port::Number(40_000), ..tuple } } else { tuple }
}

/// The reply to a packet: from where it arrived, if the network has an interface there.
pub(crate) fn reply(network: &Network, origin: Origin, packet: &Packet) -> (Origin, Packet) {
    let mut back = Packet { five_tuple: packet.five_tuple.reversed(), ..*packet };
    let to_public = network.public_ips.iter().any(|at| at.address == Some(packet.five_tuple.destination));
    let mut from = None;
    if let Some((nic, source, source_port)) = answering_backend(network, packet) {
        // What a frontend was sent is answered from the backend's own address.
        from = Some(nic);
        back.five_tuple.source = source;
        if back.five_tuple.protocol.has_ports() && back.fragment == Fragment::Whole {
            back.five_tuple.source_port = source_port.map_or(back.five_tuple.source_port, Port::Number);
        }
        let consumer = endpoint_holds(network, packet.five_tuple.destination);
        if let Some(nat) = nat_address(network).filter(|_| consumer) {
            back.five_tuple.destination = nat;
        }
    } else {
        // A packet to a public address of the inventory is answered from behind it.
        let behind = |own: &&IpConfiguration| public_address(network, own) == Some(back.five_tuple.source);
        let own = network.nics.iter().flat_map(|nic| &nic.ip_configurations).find(behind);
        if let Some(address) = own.and_then(|own| own.address) {
            back.five_tuple.source = address;
        }
    }
    let holder = |address: IpAddr| network.nics.iter().position(|nic| nic.has(address)).map(NicIndex::new);
    let from = from.or_else(|| holder(back.five_tuple.source)).map_or(Origin::Internet, Origin::Nic);
    // What the other end saw come from a public address goes back to that.
    if (from == Origin::Internet || to_public)
        && let Some(address) = public_address_of(network, origin)
        && address.is_ipv4() == back.five_tuple.source.is_ipv4()
    {
        back.five_tuple.destination = address;
    }
    if matches!(from, Origin::Nic(_)) {
        back.five_tuple = not_its_own_reply(network, from, back.five_tuple);
    }
    (from, back)
}

/// A backend that may have got a packet to a frontend, or to a private endpoint of a Private Link service: of several,
/// the port of the packet picks one. Which rule took it is guessed by the port alone.
fn answering_backend(network: &Network, packet: &Packet) -> Option<(NicIndex, IpAddr, Option<u16>)> {
    let tuple = &packet.five_tuple;
    let behind_endpoint =
        network.private_link_services.first().filter(|_| endpoint_holds(network, tuple.destination));
    let (balancer, frontend) = frontends(network).find(|(_, frontend)| match behind_endpoint {
        Some(service) => service.frontends.contains(&frontend.id),
        None => called(network, frontend) == Some(tuple.destination),
    })?;
    let rule = balancer.rules.iter().find(|rule| {
        let port = tuple.destination_port.number();
        rule.frontend.as_ref() == Some(&frontend.id)
            && (rule.frontend_port == 0 || Some(rule.frontend_port) == port)
    })?;
    let members = members(network, balancer, rule.pools.first()?);
    let (nic, address) = members.get(usize::from(tuple.source_port.number()?) % members.len().max(1))?;
    let source = if rule.floating_ip { tuple.destination } else { *address };
    Some((*nic, source, Some(rule.backend_port).filter(|port| *port != 0)))
}

/// The members of a pool that the inventory has.
fn members(network: &Network, balancer: &LoadBalancer, pool: &ResourceId) -> Vec<(NicIndex, IpAddr)> {
    let listed = balancer.pools.iter().filter(|listed| listed.id == *pool);
    let listed: Vec<_> = listed.collect();
    let is_member = |own: &IpConfiguration| {
        own.backend_pools.contains(pool)
            || listed.iter().any(|listed| {
                listed.ip_configurations.contains(&own.id)
                    || own.address.is_some_and(|address| listed.addresses.contains(&address))
            })
    };
    let mut members = Vec::new();
    for (position, nic) in network.nics.iter().enumerate() {
        let own = nic.ip_configurations.iter().filter(|own| is_member(own));
        members.extend(own.filter_map(|own| Some((NicIndex::new(position), own.address?))));
    }
    members
}

fn frontends(network: &Network) -> impl Iterator<Item = (&LoadBalancer, &Frontend)> {
    let balancers = network.load_balancers.iter();
    balancers.flat_map(|balancer| balancer.frontends.iter().map(move |frontend| (balancer, frontend)))
}

/// The address that a frontend is called by.
fn called(network: &Network, frontend: &Frontend) -> Option<IpAddr> {
    match &frontend.public_ip {
        Some(public_ip) => network.public_ips[public_ip.here()?.get()].address,
        None => frontend.address,
    }
}

pub(super) fn endpoint_holds(network: &Network, address: IpAddr) -> bool {
    network.private_endpoints.iter().any(|endpoint| endpoint.addresses.contains(&address))
}

fn nat_address(network: &Network) -> Option<IpAddr> {
    network.private_link_services.first()?.nat_addresses.first().copied()
}

fn public_address(network: &Network, own: &IpConfiguration) -> Option<IpAddr> {
    network.public_ips[own.public_ip.as_ref().and_then(Reference::here)?.get()].address
}

/// The public address of the interface that a packet starts at.
fn public_address_of(network: &Network, origin: Origin) -> Option<IpAddr> {
    let Origin::Nic(nic) = origin else { return None };
    public_address(network, &network.nics[nic.get()].ip_configurations[0])
}
