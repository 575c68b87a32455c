//! Networks and packets in which the decisions of this project matter more often than in those that are drawn plainly.

use nsgsim::model::flow::{Fragment, Icmp, Origin, Packet, Port};
use nsgsim::model::index::{Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, PrivateEndpointPolicies, ServiceEndpoint};
use nsgsim::model::routing::{Gateway, NextHop};
use nsgsim::model::rule::{Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch};
use nsgsim::model::services::{BackendPool, Frontend, LoadBalancer, LoadBalancingRule};

use super::Tape;
use crate::build::{id, ip, route};

/// Destinations that clauses with a choice are about: in some lists of `Internet`, behind learned routes, at the load
/// balancer and the private endpoint of [`network`], at a service, on ordinary ways.
const CONTESTED: [&str; 9] = [
    "25.25.0.1",
    "52.132.0.1",
    "21.0.0.1",
    "172.31.0.9",
    "10.0.1.100",
    "10.0.1.20",
    "198.51.100.9",
    "10.1.1.4",
    "10.2.1.4",
];

/// A drawn network with more of what such clauses act on.
pub(crate) fn network(tape: &mut Tape) -> Network {
    let mut network = super::network(tape);
    for peering in network.vnets.iter_mut().flat_map(|vnet| &mut vnet.peerings) {
        peering.allow_virtual_network_access = !tape.seldom(3);
        peering.allow_forwarded_traffic = !tape.seldom(3);
    }
    if tape.seldom(2) {
        gateway(tape, &mut network);
    }
    if tape.seldom(2) {
        balancer(tape, &mut network);
    }
    if tape.seldom(2) {
        network.subnets[0].private_endpoint_policies = PrivateEndpointPolicies::Enabled;
        let (service, locations) = ("Microsoft.Storage".to_owned(), vec!["*".to_owned()]);
        network.subnets[0].service_endpoints = vec![ServiceEndpoint { service, locations }];
    }
    let lengths = ["198.51.100.0/28", "10.0.1.0/24", "10.0.0.0/12", "0.0.0.0/0", "10.2.0.0/16"];
    let hops = [NextHop::None, NextHop::Internet, NextHop::VirtualAppliance(Some(ip("10.0.1.4")))];
    for table in &mut network.route_tables {
        if tape.seldom(2) {
            table.routes = vec![route("contested", tape.one_of(&lengths), tape.one_of(&hops))];
        }
    }
    for nsg in &mut network.nsgs {
        if tape.seldom(3) {
            let mut contested = super::rule(tape, 0);
            contested.priority = Priority(90);
            contested.direction = tape.one_of(&[Direction::Inbound, Direction::Outbound]);
            contested.access = Access::Deny;
            contested.protocol = ProtocolMatch::Any;
            contested.source = vec![AddressTerm::Prefix("0.0.0.0/0".parse().expect("a range"))];
            contested.destination = vec![AddressTerm::Any];
            contested.source_ports = vec![PortTerm::Range("*".parse().expect("a range"))];
            nsg.rules.push(contested);
            nsg.sort();
        }
    }
    network.nics[0].ip_forwarding = true;
    network
}

/// A gateway that has learned a default route, or a private range.
fn gateway(tape: &mut Tape, network: &mut Network) {
    let learned = tape.one_of(&["0.0.0.0/0", "172.31.0.0/16"]);
    network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", "gateway"),
        express_route: false,
        vnet: Some(Reference::Here(VnetIndex::new(0))),
        subnet: None,
        client_pools: Vec::new(),
        learned_routes: vec![learned.parse().expect("a range")],
        bgp: true,
    });
}

/// An internal load balancer at 10.0.1.100 before the first interface, for TCP port 80.
fn balancer(tape: &mut Tape, network: &mut Network) {
    let balancer = id("loadBalancers", "balancer");
    let (frontend, pool) = (balancer.child("frontendIPConfigurations", "f"), balancer.child("pools", "p"));
    network.load_balancers.push(LoadBalancer {
        id: balancer,
        standard: tape.seldom(2),
        frontends: vec![Frontend {
            id: frontend.clone(),
            public_ip: None,
            address: Some(ip("10.0.1.100")),
            subnet: Some(Reference::Here(SubnetIndex::new(0))),
        }],
        pools: vec![BackendPool {
            id: pool.clone(),
            ip_configurations: vec![network.nics[0].ip_configurations[0].id.clone()],
            addresses: Vec::new(),
        }],
        rules: vec![LoadBalancingRule {
            name: "web".to_owned(),
            frontend: Some(frontend),
            pools: vec![pool],
            protocol: Some(Protocol::TCP),
            frontend_port: 80,
            backend_port: 80,
            probe: None,
            floating_ip: tape.seldom(2),
            disable_outbound_snat: true,
            idle_timeout_min: None,
        }],
        probes: Vec::new(),
        nat_rules: Vec::new(),
        outbound_rules: Vec::new(),
    });
}

/// A drawn packet that more often goes where such clauses act.
pub(crate) fn packet(tape: &mut Tape, network: &Network) -> (Origin, Packet, u64) {
    let (origin, mut packet, seconds) = super::packet(tape, network);
    let tuple = &mut packet.five_tuple;
    if matches!(origin, Origin::Nic(_)) && tuple.source.is_ipv4() && !tape.seldom(3) {
        tuple.destination = ip(tape.one_of(&CONTESTED));
        if tuple.protocol.has_ports() && tape.seldom(2) {
            tuple.destination_port = Port::Number(80);
        }
        if tape.seldom(4) {
            (tuple.protocol, tuple.source_port, tuple.destination_port) =
                (Protocol::ICMP, Port::None, Port::None);
            (packet.icmp, packet.tcp) = (Some(Icmp::Echo { identifier: 1, request: true }), None);
            // Which of two denials goes first, that of a fragment or that of a ping, no clause says (OUT-3).
            packet.fragment = Fragment::Whole;
        }
    }
    (origin, packet, seconds)
}
