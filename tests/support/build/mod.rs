//! Small networks, built in code.
#![allow(dead_code, reason = "each test target uses its part of the builder")]

pub(crate) mod balancer;

use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{
    NatGatewayIndex, NicIndex, NsgIndex, PublicIpIndex, Reference, RouteTableIndex, SubnetIndex, VnetIndex,
};
use nsgsim::model::network::{
    IpConfiguration, Network, Nic, Peering, PeeringState, PrivateEndpointPolicies, PublicIp, PublicIpSku,
    Subnet, Vnet,
};
use nsgsim::model::nsg::Nsg;
use nsgsim::model::prefix::read_prefix;
use nsgsim::model::routing::{NatGateway, NextHop, Route, RouteDestination, RouteTable};
use nsgsim::model::rule::{
    Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule,
};
use nsgsim::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};

/// The ID of a resource of the test's subscription.
pub(crate) fn id(kind: &str, name: &str) -> ResourceId {
    let text = format!("/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/{kind}/{name}");
    ResourceId::new(&text).expect("the text is not empty")
}

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no address"))
}

/// Adds resources to a network. Names must come in ascending order within a kind, as the model keeps its lists sorted.
pub(crate) trait Build {
    fn vnet(&mut self, name: &str, ranges: &[&str]) -> VnetIndex;
    fn subnet(&mut self, vnet: VnetIndex, name: &str, range: &str) -> SubnetIndex;
    fn nic(&mut self, subnet: SubnetIndex, name: &str, addresses: &[&str]) -> NicIndex;
    fn nsg(&mut self, name: &str, rules: Vec<Rule>) -> NsgIndex;
    fn public_ip(&mut self, name: &str, address: &str, sku: Option<PublicIpSku>) -> PublicIpIndex;
    fn route_table(&mut self, name: &str, routes: Vec<Route>) -> RouteTableIndex;
    fn nat_gateway(&mut self, name: &str, public_ips: &[PublicIpIndex]) -> NatGatewayIndex;
    fn peer(&mut self, one: VnetIndex, other: VnetIndex);
}

impl Build for Network {
    fn vnet(&mut self, name: &str, ranges: &[&str]) -> VnetIndex {
        self.vnets.push(Vnet {
            id: id("virtualNetworks", name),
            location: None,
            address_space: ranges.iter().map(|range| range.parse().expect("a range")).collect(),
            flow_timeout_min: None,
            subnets: Vec::new(),
            peerings: Vec::new(),
        });
        VnetIndex::new(self.vnets.len() - 1)
    }

    fn subnet(&mut self, vnet: VnetIndex, name: &str, range: &str) -> SubnetIndex {
        let index = SubnetIndex::new(self.subnets.len());
        self.subnets.push(Subnet {
            id: self.vnets[vnet.get()].id.child("subnets", name),
            vnet,
            prefixes: vec![range.parse().expect("a range")],
            nsg: None,
            route_table: None,
            nat_gateway: None,
            service_endpoints: Vec::new(),
            endpoint_policies: Vec::new(),
            delegations: Vec::new(),
            private_endpoint_policies: PrivateEndpointPolicies::Disabled,
            private_link_service_policies: true,
            default_outbound_access: true,
        });
        self.vnets[vnet.get()].subnets.push(index);
        index
    }

    fn nic(&mut self, subnet: SubnetIndex, name: &str, addresses: &[&str]) -> NicIndex {
        let id = id("networkInterfaces", name);
        let configurations = addresses.iter().enumerate().map(|(position, address)| IpConfiguration {
            id: id.child("ipConfigurations", &format!("c{position}")),
            address: Some(ip(address)),
            primary: position == 0,
            public_ip: None,
            asgs: Vec::new(),
            backend_pools: Vec::new(),
            inbound_nat_rules: Vec::new(),
        });
        let ip_configurations = configurations.collect();
        self.nics.push(Nic {
            id,
            ip_configurations,
            subnet: Some(Reference::Here(subnet)),
            nsg: None,
            ip_forwarding: false,
            mac: None,
            machine: None,
        });
        NicIndex::new(self.nics.len() - 1)
    }

    fn nsg(&mut self, name: &str, rules: Vec<Rule>) -> NsgIndex {
        self.nsgs.push(Nsg::new(id("networkSecurityGroups", name), rules));
        NsgIndex::new(self.nsgs.len() - 1)
    }

    fn public_ip(&mut self, name: &str, address: &str, sku: Option<PublicIpSku>) -> PublicIpIndex {
        self.public_ips.push(PublicIp {
            id: id("publicIPAddresses", name),
            address: Some(ip(address)),
            sku,
            user: None,
            idle_timeout_min: None,
        });
        PublicIpIndex::new(self.public_ips.len() - 1)
    }

    fn route_table(&mut self, name: &str, routes: Vec<Route>) -> RouteTableIndex {
        let id = id("routeTables", name);
        self.route_tables.push(RouteTable { id, routes, disable_gateway_propagation: false });
        RouteTableIndex::new(self.route_tables.len() - 1)
    }

    fn nat_gateway(&mut self, name: &str, public_ips: &[PublicIpIndex]) -> NatGatewayIndex {
        self.nat_gateways.push(NatGateway {
            id: id("natGateways", name),
            public_ips: public_ips.iter().copied().map(Reference::Here).collect(),
            public_prefixes: Vec::new(),
            idle_timeout_min: None,
        });
        NatGatewayIndex::new(self.nat_gateways.len() - 1)
    }

    fn peer(&mut self, one: VnetIndex, other: VnetIndex) {
        for (own, remote) in [(one, other), (other, one)] {
            self.vnets[own.get()].peerings.push(Peering {
                name: format!("to-{}", remote.get()),
                remote: Reference::Here(remote),
                state: PeeringState::Connected,
                remote_address_space: None,
                allow_virtual_network_access: true,
                allow_forwarded_traffic: true,
                allow_gateway_transit: false,
                use_remote_gateways: false,
            });
        }
    }
}

/// A rule in short: `in 100 deny tcp 10.0.0.0/8 * -> VirtualNetwork 80,443`. Its name is its priority's: `in-100`.
pub(crate) fn rule(text: &str) -> Rule {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [direction, priority, access, protocol, source, source_port, "->", destination, destination_port] =
        words[..]
    else {
        panic!("`{text}` is no rule")
    };
    Rule {
        name: format!("{direction}-{priority}"),
        priority: Priority(priority.parse().expect("a priority")),
        direction: if direction == "in" { Direction::Inbound } else { Direction::Outbound },
        access: if access == "allow" { Access::Allow } else { Access::Deny },
        protocol: match protocol {
            "*" => ProtocolMatch::Any,
            name => ProtocolMatch::Is(Protocol::read(name).expect("a protocol")),
        },
        source: terms(source),
        source_ports: ports(source_port),
        destination: terms(destination),
        destination_ports: ports(destination_port),
        is_default: false,
    }
}

fn terms(list: &str) -> Vec<AddressTerm> {
    let term = |text: &str| match (text, read_prefix(text)) {
        ("*", _) => AddressTerm::Any,
        (_, Ok(read)) => AddressTerm::Prefix(read.prefix),
        (name, Err(_)) => AddressTerm::Tag(TagName::new(name)),
    };
    list.split(',').map(term).collect()
}

fn ports(list: &str) -> Vec<PortTerm> {
    list.split(',').map(|text| PortTerm::Range(text.parse().expect("a port range"))).collect()
}

/// A user-defined route.
pub(crate) fn route(name: &str, prefix: &str, next_hop: NextHop) -> Route {
    let destination = RouteDestination::Prefix(prefix.parse().expect("a range"));
    Route { name: name.to_owned(), destination, next_hop, bgp_override: false }
}

/// A catalogue of these tags.
pub(crate) fn catalog(tags: &[(&str, &[&str])]) -> TagCatalog {
    let mut catalog = TagCatalog::new(TagSource::default());
    for (name, prefixes) in tags {
        catalog.insert(ServiceTag {
            name: TagName::new(name),
            region: String::new(),
            system_service: String::new(),
            prefixes: prefixes.iter().map(|prefix| prefix.parse().expect("a range")).collect(),
        });
    }
    catalog
}

/// A packet between two ends with ports, `10.0.0.4:1000`; flags unknown.
pub(crate) fn packet(protocol: Protocol, from: &str, to: &str) -> Packet {
    let end = |text: &str| {
        let (address, port) = text.rsplit_once(':').unwrap_or_else(|| panic!("`{text}` has no port"));
        (ip(address), Port::Number(port.parse().expect("a port")))
    };
    let ((source, source_port), (destination, destination_port)) = (end(from), end(to));
    Packet::new(FiveTuple { source, destination, protocol, source_port, destination_port })
}

/// A TCP packet of unknown flags.
pub(crate) fn tcp(from: &str, to: &str) -> Packet {
    packet(Protocol::TCP, from, to)
}

/// A TCP packet with these flags: any of `S`, `A`, `F`, `R`.
pub(crate) fn tcp_flags(from: &str, to: &str, flags: &str) -> Packet {
    let has = |flag| flags.contains(flag);
    let flags = TcpFlags { syn: has('S'), ack: has('A'), fin: has('F'), rst: has('R') };
    Packet { tcp: Some(flags), ..tcp(from, to) }
}

/// An ICMP message.
pub(crate) fn icmp(from: &str, to: &str, message: Icmp) -> Packet {
    let tuple = FiveTuple {
        source: ip(from),
        destination: ip(to),
        protocol: Protocol::ICMP,
        source_port: Port::None,
        destination_port: Port::None,
    };
    Packet { icmp: Some(message), ..Packet::new(tuple) }
}
