//! Networks and packets drawn from one small pool of addresses and ports.
//!
//! A case is a tape of numbers; each decision reads one of them, and a tape that is used up reads zero, which stands
//! for the plainest choice. So a failing case shrinks towards a plain network and few packets. Uniformly random
//! addresses would hardly ever meet a rule: the pool holds what the networks are made of, and the neighbours.

pub(crate) mod contested;

use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Fragment, Icmp, Origin, Packet, Port, TcpFlags};
use nsgsim::model::index::{AsgIndex, NicIndex, PublicIpIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::{
    Asg, Network, PeeringState, PrivateEndpointPolicies, PublicIpSku, ServiceEndpoint,
};
use nsgsim::model::nsg::Nsg;
use nsgsim::model::routing::{NextHop, Route};
use nsgsim::model::rule::{
    Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule,
};
use nsgsim::model::services::{
    AdminAction, AdminAddress, AdminCollection, AdminConfiguration, AdminRule, ManagementGroup, NetworkGroup,
    NetworkManager, PrivateEndpoint, PrivateLinkConnection,
};
use nsgsim::model::tag::{TagCatalog, TagName};
use proptest::prelude::*;

use crate::build::{Build, catalog, id, ip, route};

/// Numbers that decide everything.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    numbers: Vec<u8>,
    at: usize,
}

/// A tape of some hundred numbers.
pub(crate) fn tape() -> impl Strategy<Value = Tape> {
    proptest::collection::vec(any::<u8>(), 0..400).prop_map(|numbers| Tape { numbers, at: 0 })
}

impl Tape {
    /// A number below `choices`.
    pub(crate) fn below(&mut self, choices: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(number) % choices
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// True for one number in `of`, and never once the tape is used up.
    fn seldom(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }
}

/// Addresses of packets: of interfaces, next to them, public ones in and out of the inventory, on the edges of ranges.
const ADDRESSES: [&str; 31] = [
    "10.0.1.4",
    "168.63.129.16",
    "169.254.169.254",
    "20.118.99.224",
    "10.0.1.20",
    "224.0.0.1",
    "10.0.1.5",
    "10.0.2.4",
    "10.1.1.4",
    "10.2.1.4",
    "203.0.113.4",
    "203.0.113.5",
    "203.0.113.9",
    "198.51.100.0",
    "198.51.100.63",
    "198.51.100.64",
    "8.8.8.8",
    "10.0.1.6",
    "10.0.1.255",
    "10.0.2.0",
    "10.0.255.255",
    "10.1.0.0",
    "10.3.0.1",
    "172.31.255.255",
    "172.32.0.0",
    "192.168.0.1",
    "100.64.0.1",
    "203.0.113.77",
    "fd00::4",
    "fd00::9",
    "2001:db8::1",
];

const PREFIXES: [&str; 14] = [
    "10.0.1.4/32",
    "10.0.1.0/24",
    "10.0.0.0/16",
    "10.0.0.0/15",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "::/0",
    "203.0.113.4/32",
    "203.0.113.0/24",
    "198.51.100.0/25",
    "8.8.8.8/32",
    "fd00::/64",
    "192.168.0.0/16",
];

const TAGS: [&str; 7] = [
    "VirtualNetwork",
    "Internet",
    "AzureLoadBalancer",
    "Storage",
    "AzureCloud",
    "Nowhere",
    "AzurePlatformDNS",
];

const PORTS: [u16; 10] = [80, 79, 81, 443, 1000, 0, 65535, 1024, 53, 1688];

const PORT_RANGES: [(u16, u16); 6] = [(80, 80), (80, 443), (0, 79), (1000, 65535), (0, 65534), (443, 443)];

/// The tags that the networks know; `Nowhere` is none of them.
pub(crate) fn tags() -> TagCatalog {
    catalog(&[("Storage", &["198.51.100.0/26"]), ("AzureCloud", &["198.51.100.0/24", "203.0.113.0/24"])])
}

/// One to three networks with what filters and routes them.
pub(crate) fn network(tape: &mut Tape) -> Network {
    let mut network = Network::default();
    for number in 0..2 {
        network.asgs.push(Asg { id: id("applicationSecurityGroups", &format!("asg-{number}")) });
    }
    let nsgs = tape.below(4);
    for number in 0..nsgs {
        let rules = (0..tape.below(7)).map(|position| rule(tape, position)).collect();
        let mut nsg = Nsg::new(id("networkSecurityGroups", &format!("nsg-{number}")), rules);
        nsg.flush_connection = tape.seldom(3);
        network.nsgs.push(nsg);
    }
    let skus = [Some(PublicIpSku::Basic), Some(PublicIpSku::Standard), None];
    for (number, address) in ["203.0.113.4", "203.0.113.5", "203.0.113.9"].iter().enumerate() {
        let sku = tape.one_of(&skus);
        network.public_ip(&format!("pip-{number}"), address, sku);
    }
    let gateway = network.nat_gateway("nat", &[PublicIpIndex::new(2)]);
    for number in 0..tape.below(3) {
        let routes: Vec<Route> = (0..tape.below(4)).map(|position| user_route(tape, position)).collect();
        network.route_table(&format!("routes-{number}"), routes);
    }
    let mut free_public_ips = vec![PublicIpIndex::new(1), PublicIpIndex::new(0)];
    for vnet_number in 0..1 + tape.below(3) {
        let mut ranges = vec![format!("10.{vnet_number}.0.0/16")];
        if vnet_number == 0 && tape.seldom(2) {
            ranges.push("fd00::/64".to_owned());
        }
        let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
        let vnet = network.vnet(&format!("vnet-{vnet_number}"), &ranges);
        network.vnets[vnet.get()].flow_timeout_min = tape.one_of(&[None, Some(10)]);
        for subnet_number in 1..=1 + tape.below(2) {
            let range = format!("10.{vnet_number}.{subnet_number}.0/24");
            let subnet = network.subnet(vnet, &format!("s{subnet_number}"), &range);
            let nsg = tape.below(network.nsgs.len() + 1);
            let (table, through_nat) = (tape.below(network.route_tables.len() + 1), tape.seldom(4));
            let at = &mut network.subnets[subnet.get()];
            at.nsg = nsg.checked_sub(1).map(|nsg| Reference::Here(nsgsim::model::index::NsgIndex::new(nsg)));
            at.route_table = table
                .checked_sub(1)
                .map(|table| Reference::Here(nsgsim::model::index::RouteTableIndex::new(table)));
            // What the export lacks (SIM-4).
            if tape.seldom(16) {
                at.nsg = Some(Reference::Missing(id("networkSecurityGroups", "gone")));
            }
            if tape.seldom(16) {
                at.route_table = Some(Reference::Missing(id("routeTables", "gone")));
            }
            at.nat_gateway = through_nat.then_some(Reference::Here(gateway));
            at.default_outbound_access = !tape.seldom(4);
            for host in 4..=4 + tape.below(2) {
                let mut addresses = vec![format!("10.{vnet_number}.{subnet_number}.{host}")];
                if (vnet_number, subnet_number, host) == (0, 1, 4) && ranges.len() > 1 {
                    addresses.push("fd00::4".to_owned());
                }
                let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                let name = format!("nic-{vnet_number}-{subnet_number}-{host}");
                let nic = network.nic(subnet, &name, &addresses);
                interface(tape, &mut network, nic, &mut free_public_ips);
            }
        }
    }
    peerings(tape, &mut network);
    admin_rules(tape, &mut network);
    private_endpoint(tape, &mut network);
    service_endpoints(tape, &mut network);
    network
}

/// A manager over some of the networks, or two.
fn admin_rules(tape: &mut Tape, network: &mut Network) {
    for number in 0..tape.below(3) {
        let manager = id("networkManagers", &format!("manager-{number}"));
        let group = manager.child("networkGroups", "some");
        let members =
            network.vnets.iter().map(|vnet| vnet.id.clone()).filter(|_| tape.below(3) > 0).collect();
        let rules = (0..tape.below(4)).map(|position| admin_rule(tape, position)).collect();
        let collection = AdminCollection { name: "one".to_owned(), groups: vec![group.clone()], rules };
        let configuration = AdminConfiguration {
            id: manager.child("securityAdminConfigurations", "c").to_string(),
            deployed: tape.one_of(&[Some(true), Some(true), Some(false), None]),
            on_intent_policy_services: Vec::new(),
            collections: vec![collection],
        };
        // The one stands at the root, the other over a subscription, or both do and nobody knows which goes first.
        let management_groups =
            if tape.seldom(2) { vec![id("managementGroups", "root")] } else { Vec::new() };
        network.network_managers.push(NetworkManager {
            id: manager,
            management_groups,
            subscriptions: Vec::new(),
            groups: vec![NetworkGroup { id: group, members }],
            configurations: vec![configuration],
        });
    }
    network.management_groups.push(ManagementGroup { id: id("managementGroups", "root"), parent: None });
}

fn admin_rule(tape: &mut Tape, position: usize) -> AdminRule {
    let address = |tape: &mut Tape| match tape.below(4) {
        0 => Vec::new(),
        1 => vec![AdminAddress::Any],
        2 => vec![AdminAddress::Prefix(tape.one_of(&PREFIXES).parse().expect("a range"))],
        _ => vec![AdminAddress::Tag(TagName::new(tape.one_of(&TAGS[..6])))],
    };
    let actions = [AdminAction::Allow, AdminAction::AlwaysAllow, AdminAction::Deny];
    let (sources, destinations) = (address(tape), address(tape));
    let ports = |tape: &mut Tape| {
        if tape.below(3) < 2 {
            return Vec::new();
        }
        let (first, last) = tape.one_of(&PORT_RANGES);
        vec![nsgsim::model::prefix::PortRange::new(first, last).expect("in order")]
    };
    AdminRule {
        name: format!("admin-{position}"),
        priority: u32::try_from(1 + tape.below(3)).expect("at most 3"),
        direction: tape.one_of(&[Direction::Inbound, Direction::Outbound]),
        action: tape.one_of(&actions),
        protocol: tape.one_of(&[None, Some(Protocol::TCP), Some(Protocol::ICMP)]),
        sources,
        destinations,
        source_ports: ports(tape),
        destination_ports: ports(tape),
    }
}

/// A private endpoint at 10.0.1.20.
fn private_endpoint(tape: &mut Tape, network: &mut Network) {
    if !tape.seldom(2) {
        return;
    }
    network.subnets[0].private_endpoint_policies = tape.one_of(&[
        PrivateEndpointPolicies::Disabled,
        PrivateEndpointPolicies::Enabled,
        PrivateEndpointPolicies::NetworkSecurityGroupEnabled,
        PrivateEndpointPolicies::RouteTableEnabled,
    ]);
    let status = tape.one_of(&[Some("Approved"), Some("Approved"), Some("Pending"), None]);
    network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "endpoint"),
        subnet: Some(Reference::Here(SubnetIndex::new(0))),
        addresses: vec![ip("10.0.1.20")],
        connections: vec![PrivateLinkConnection {
            service: Some(id("storageAccounts", "account")),
            group_ids: vec!["blob".to_owned()],
            status: status.map(str::to_owned),
        }],
        asgs: Vec::new(),
    });
}

fn service_endpoints(tape: &mut Tape, network: &mut Network) {
    for subnet in &mut network.subnets {
        if tape.seldom(6) {
            let (service, locations) = ("Microsoft.Storage".to_owned(), vec!["*".to_owned()]);
            subnet.service_endpoints.push(ServiceEndpoint { service, locations });
        }
    }
}

fn interface(tape: &mut Tape, network: &mut Network, nic: NicIndex, free: &mut Vec<PublicIpIndex>) {
    let nsg = tape.below(network.nsgs.len() + 1);
    let at = &mut network.nics[nic.get()];
    at.nsg = nsg.checked_sub(1).map(|nsg| Reference::Here(nsgsim::model::index::NsgIndex::new(nsg)));
    if tape.seldom(16) {
        at.nsg = Some(Reference::Missing(id("networkSecurityGroups", "gone-too")));
    }
    at.ip_forwarding = tape.seldom(4);
    if tape.seldom(2) {
        at.ip_configurations[0].public_ip = free.pop().map(Reference::Here);
    }
    let first_vnet =
        network.subnets[at.subnet.as_ref().and_then(Reference::here).expect("a subnet").get()].vnet;
    for number in 0..2 {
        // ASG-4: the members of a group are in one network.
        if first_vnet == VnetIndex::new(0) && tape.seldom(3) {
            at.ip_configurations[0].asgs.push(AsgIndex::new(number));
        }
    }
}

fn peerings(tape: &mut Tape, network: &mut Network) {
    let vnets = network.vnets.len();
    for one in 0..vnets {
        for other in one + 1..vnets {
            if !tape.seldom(2) {
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

fn user_route(tape: &mut Tape, position: usize) -> Route {
    let prefix = tape.one_of(&PREFIXES);
    let next_hop = match tape.below(4) {
        0 => NextHop::None,
        1 => NextHop::Internet,
        2 => NextHop::VirtualAppliance(Some(ip("10.0.2.4"))),
        _ => NextHop::VirtualNetworkGateway,
    };
    route(&format!("route-{position}-{}", prefix.replace(['/', ':'], "-")), prefix, next_hop)
}

/// A rule; equal priorities are wanted now and then.
pub(crate) fn rule(tape: &mut Tape, position: usize) -> Rule {
    let direction = tape.one_of(&[Direction::Inbound, Direction::Outbound]);
    let access = tape.one_of(&[Access::Allow, Access::Deny]);
    let protocol = tape.one_of(&[
        ProtocolMatch::Any,
        ProtocolMatch::Is(Protocol::TCP),
        ProtocolMatch::Is(Protocol::UDP),
        ProtocolMatch::Is(Protocol::ICMP),
    ]);
    Rule {
        name: format!("rule-{position}"),
        priority: Priority(100 + u32::try_from(tape.below(20)).expect("below 20")),
        direction,
        access,
        protocol,
        source: terms(tape),
        source_ports: ports(tape),
        destination: terms(tape),
        destination_ports: ports(tape),
        is_default: false,
    }
}

fn terms(tape: &mut Tape) -> Vec<AddressTerm> {
    match tape.below(8) {
        0..=2 => vec![AddressTerm::Any],
        3 | 4 => (0..=tape.below(2))
            .map(|_| AddressTerm::Prefix(tape.one_of(&PREFIXES).parse().expect("a range")))
            .collect(),
        5 | 6 => vec![AddressTerm::Tag(TagName::new(tape.one_of(&TAGS)))],
        _ => vec![AddressTerm::Asg(Reference::Here(AsgIndex::new(tape.below(2))))],
    }
}

fn ports(tape: &mut Tape) -> Vec<PortTerm> {
    if tape.below(3) < 2 {
        return vec![PortTerm::Range(nsgsim::model::prefix::PortRange::ALL)];
    }
    let range = |(first, last)| nsgsim::model::prefix::PortRange::new(first, last).expect("in order");
    (0..=tape.below(2)).map(|_| PortTerm::Range(range(tape.one_of(&PORT_RANGES)))).collect()
}

/// A packet with its start and the seconds since the last one.
pub(crate) fn packet(tape: &mut Tape, network: &Network) -> (Origin, Packet, u64) {
    let origin = match tape.below(7) {
        6 => Origin::Platform,
        0..=2 => Origin::Nic(NicIndex::new(tape.below(network.nics.len()))),
        3 | 4 => Origin::Internet,
        _ => Origin::Unlisted(SubnetIndex::new(tape.below(network.subnets.len()))),
    };
    let source = match origin {
        // Seldom a foreign address (ROUTE-13).
        Origin::Nic(nic) if !tape.seldom(8) => {
            let own = &network.nics[nic.get()].ip_configurations;
            own[tape.below(own.len())].address.expect("an address")
        }
        Origin::Unlisted(subnet) => {
            let subnet = &network.subnets[subnet.get()].prefixes[0];
            subnet.hosts().nth(98).expect("a subnet has 99 addresses")
        }
        Origin::Platform => ip("168.63.129.16"),
        _ => ip(tape.one_of(&ADDRESSES)),
    };
    let same_family: Vec<IpAddr> =
        ADDRESSES.map(ip).into_iter().filter(|address| address.is_ipv4() == source.is_ipv4()).collect();
    let mut destination = tape.one_of(&same_family);
    // A machine that calls its own public address, from the port that it calls, is its own reply: no clause says
    // what becomes of that.
    if let Origin::Nic(nic) = origin {
        let own = network.nics[nic.get()].ip_configurations[0].public_ip.as_ref().and_then(Reference::here);
        if own.is_some_and(|own| network.public_ips[own.get()].address == Some(destination)) {
            destination = ip("8.8.8.8");
        }
    }
    let seconds = tape.one_of(&[0, 1, 100, 240, 241, 600]);
    let protocol = tape.one_of(&[Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP]);
    let port = |tape: &mut Tape| {
        if protocol.has_ports() { Port::Number(tape.one_of(&PORTS)) } else { Port::None }
    };
    let (source_port, destination_port) = (port(tape), port(tape));
    let mut packet = Packet::new(FiveTuple { source, destination, protocol, source_port, destination_port });
    match protocol {
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

/// The reply to a packet: from where it arrived, if the network has an interface there.
pub(crate) fn reply(network: &Network, origin: Origin, packet: &Packet) -> (Origin, Packet) {
    let holder = |address: IpAddr| {
        let has = |nic: &nsgsim::model::network::Nic| {
            nic.ip_configurations.iter().any(|own| own.address == Some(address))
        };
        network.nics.iter().position(has).map(NicIndex::new)
    };
    let mut back = Packet { five_tuple: packet.five_tuple.reversed(), ..*packet };
    // A packet to a public address of the inventory is answered from behind it.
    let public =
        network.public_ips.iter().position(|public_ip| public_ip.address == Some(back.five_tuple.source));
    for own in network.nics.iter().flat_map(|nic| &nic.ip_configurations) {
        let used = own.public_ip.as_ref().and_then(Reference::here).map(PublicIpIndex::get);
        if let (Some(used), Some(public), Some(address)) = (used, public, own.address)
            && used == public
        {
            back.five_tuple.source = address;
        }
    }
    let from = holder(back.five_tuple.source).map_or(Origin::Internet, Origin::Nic);
    // A packet of the internet's comes back to the public address of the sender.
    if let (Origin::Internet, Origin::Nic(nic)) = (from, origin) {
        let own = network.nics[nic.get()].ip_configurations[0].public_ip.as_ref().and_then(Reference::here);
        if let Some(address) = own.and_then(|public_ip| network.public_ips[public_ip.get()].address)
            && address.is_ipv4() == back.five_tuple.source.is_ipv4()
        {
            back.five_tuple.destination = address;
        }
    }
    if let Origin::Nic(nic) = from {
        let own = network.nics[nic.get()].ip_configurations[0].public_ip.as_ref().and_then(Reference::here);
        if own.is_some_and(|own| network.public_ips[own.get()].address == Some(back.five_tuple.destination)) {
            back.five_tuple.destination = ip("8.8.8.8");
        }
    }
    (from, back)
}
