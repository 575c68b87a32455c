//! Routes, peerings, gateways, and what the machines behind next hops do.

use std::net::IpAddr;

use nsgsim::model::index::{NicIndex, Reference, RouteTableIndex, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, PeeringState};
use nsgsim::model::routing::{Gateway, NextHop};
use nsgsim::model::services::{Appliance, ApplianceMode};

use super::pool::ROUTE_PREFIXES;
use super::tape::Tape;
use crate::build::{Build, id, ip, route};

/// The routes of all tables: to the ranges that the networks have and to others, by who is there and by nobody.
pub(super) fn user_routes(tape: &mut Tape, network: &mut Network) {
    let subnets: Vec<String> = network.subnets.iter().map(|subnet| subnet.prefixes[0].to_string()).collect();
    let frontends = network.load_balancers.iter().flat_map(|balancer| &balancer.frontends);
    let frontends: Vec<IpAddr> = frontends.filter_map(|frontend| frontend.address).collect();
    for table in 0..network.route_tables.len() {
        // Machines under the table itself make loops: seldom.
        let own = tape.seldom(4);
        let under = |nic: NicIndex| {
            let subnet = network.subnet_of(nic).expect("drawn interfaces have subnets");
            network.subnets[subnet.get()].route_table == Some(Reference::Here(RouteTableIndex::new(table)))
        };
        let nics = (0..network.nics.len()).map(NicIndex::new).filter(|nic| own || !under(*nic));
        let machines = nics.filter_map(|nic| network.nics[nic.get()].ip_configurations[0].address);
        let mut hops: Vec<IpAddr> = machines.chain(frontends.iter().copied()).collect();
        hops.push(ip("10.0.9.99"));
        for position in 0..1 + tape.below(4) {
            let prefix = match tape.below(2) {
                0 => tape.one_of(&subnets),
                _ => tape.one_of(&ROUTE_PREFIXES).to_owned(),
            };
            let next_hop = match tape.below(12) {
                0 => NextHop::None,
                1 => NextHop::Internet,
                2 => NextHop::VirtualNetworkGateway,
                3 => tape.one_of(&[NextHop::VnetLocal, NextHop::VirtualAppliance(None)]),
                _ => NextHop::VirtualAppliance(Some(tape.one_of(&hops))),
            };
            let name = format!("route-{position}-{}", prefix.replace(['/', ':'], "-"));
            network.route_tables[table].routes.push(route(&name, &prefix, next_hop));
        }
    }
}

/// Every other time a way that packets are likely to take: from the subnet of one interface to that of another by a
/// third one, or by a frontend, and seldom by one more.
pub(super) fn forwarded_way(tape: &mut Tape, network: &mut Network) {
    if !tape.seldom(2) {
        return;
    }
    let nics = network.nics.len();
    let [from, to] = [0, 1].map(|_| NicIndex::new(tape.below(nics)));
    let place = |network: &Network, nic| network.subnet_of(nic).expect("drawn interfaces have subnets");
    let target = network.subnets[place(network, to).get()].prefixes[0].to_string();
    let mut sender = place(network, from);
    for number in 0..1 + usize::from(tape.seldom(4)) {
        // A machine under the table itself makes a loop: seldom.
        let outside = |nic: &NicIndex| place(network, *nic) != sender;
        let all: Vec<NicIndex> = (0..nics).map(NicIndex::new).collect();
        let others: Vec<NicIndex> = all.iter().copied().filter(outside).collect();
        let anybody = others.is_empty() || tape.seldom(8);
        let by = tape.one_of(if anybody { &all } else { &others });
        network.nics[by.get()].ip_forwarding = true;
        let machine = network.nics[by.get()].ip_configurations[0].address.expect("an address");
        let frontends = network.load_balancers.iter().flat_map(|balancer| &balancer.frontends);
        let frontend = frontends.filter_map(|frontend| frontend.address).next();
        let hop = frontend.filter(|_| tape.seldom(3)).unwrap_or(machine);
        let way = route("way", &target, NextHop::VirtualAppliance(Some(hop)));
        let table = network.route_table(&format!("way-{number}"), vec![way]);
        network.subnets[sender.get()].route_table = Some(Reference::Here(table));
        sender = place(network, by);
    }
}

/// What the machines behind forwarding interfaces do, where it is stated.
pub(super) fn appliances(tape: &mut Tape, network: &mut Network) {
    let nics = network.nics.len();
    for nic in (0..nics).map(NicIndex::new) {
        if !network.nics[nic.get()].ip_forwarding {
            continue;
        }
        let mode = match tape.below(5) {
            0 | 1 => continue,
            2 => ApplianceMode::Forward,
            3 => ApplianceMode::Snat,
            _ => ApplianceMode::Drop,
        };
        let egress = match tape.below(6) {
            0..=2 => None,
            3 | 4 => Some(Reference::Here(NicIndex::new(tape.below(nics)))),
            _ => Some(Reference::Missing(id("networkInterfaces", "gone"))),
        };
        network.appliances.push(Appliance { nic: Reference::Here(nic), mode, egress });
    }
}

pub(super) fn peerings(tape: &mut Tape, network: &mut Network) {
    let vnets = network.vnets.len();
    for one in 0..vnets {
        for other in one + 1..vnets {
            if tape.below(3) == 0 {
                continue;
            }
            let (one, other) = (VnetIndex::new(one), VnetIndex::new(other));
            network.peer(one, other);
            // Both sides share their state, as they do in Azure.
            let state =
                tape.one_of(&[PeeringState::Connected, PeeringState::Connected, PeeringState::Disconnected]);
            for side in [one, other] {
                let access = !tape.seldom(3);
                let peering = network.vnets[side.get()].peerings.last_mut().expect("it was just made");
                (peering.state, peering.allow_virtual_network_access) = (state, access);
            }
        }
    }
}

/// A gateway in the GatewaySubnet of the first network, if it has one: clients have 192.168.0.0/16. Networks that are
/// peered with it may use it.
pub(super) fn gateway(tape: &mut Tape, network: &mut Network) {
    let named = network.subnets.iter().position(|subnet| subnet.id.name() == "GatewaySubnet");
    let Some(subnet) = named else { return };
    network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", "gateway"),
        express_route: false,
        vnet: Some(Reference::Here(VnetIndex::new(0))),
        subnet: Some(Reference::Here(SubnetIndex::new(subnet))),
        client_pools: vec!["192.168.0.0/16".parse().expect("a range")],
        learned_routes: Vec::new(),
        bgp: tape.seldom(8),
    });
    let transits: Vec<bool> = network.vnets.iter().map(|_| tape.seldom(2)).collect();
    for (own, vnet) in network.vnets.iter_mut().enumerate() {
        for peering in &mut vnet.peerings {
            let remote = peering.remote.here().expect("drawn networks are peered with each other").get();
            peering.allow_gateway_transit = own == 0 && transits[remote];
            peering.use_remote_gateways = remote == 0 && transits[own];
        }
    }
}
