//! Whether a choice that a clause leaves can matter at all: to a network, and to a packet in it.
//!
//! Each answer errs on the safe side only: where it is no, every choice gives the same verdicts.

use std::net::IpAddr;

use crate::compile::balancers::frontend_address;
use crate::compile::network::CompiledNetwork;
use crate::compile::places::frontend_places;
use crate::compile::surroundings::{differs_between_lists, fixed};
use crate::model::assumptions::Clause;
use crate::model::flow::{Packet, Port};
use crate::model::index::Reference;
use crate::model::network::{Network, Peering};
use crate::model::prefix::PortRange;
use crate::model::routing::NextHop;
use crate::model::rule::{AddressTerm, PortTerm, Rule};
use crate::model::services::{AdminAddress, AdminRule};
use crate::model::verdict::RouteSource;

/// Whether a network holds what the clause acts on; `stateful`: flows stay open.
#[must_use]
pub fn to_network(clause: Clause, compiled: &CompiledNetwork, stateful: bool) -> bool {
    let network = &*compiled.network;
    let peering = |is: fn(&Peering) -> bool| network.vnets.iter().flat_map(|vnet| &vnet.peerings).any(is);
    let subnets = || network.subnets.iter();
    match clause {
        Clause::Nsg10 => rules(network).any(has_narrow_ports) || admin_rules(network).any(names_ports),
        Clause::Nsg12 => rules(network).any(names_all_of_ipv4) || admin_rules(network).any(admin_names_all),
        Clause::Tag9 => subnets().any(|subnet| match &subnet.route_table {
            None => false,
            Some(Reference::Missing(_)) => true,
            Some(Reference::Here(table)) => {
                let mut routes = network.route_tables[table.get()].routes.iter();
                routes.any(|route| !matches!(route.next_hop, NextHop::Internet | NextHop::None))
            }
        }),
        // The known lists differ in IPv4 alone.
        Clause::Tag20 => {
            let zero = IpAddr::from([0; 4]);
            network.observed_internet.as_ref().is_none_or(|observed| !observed.covers_family_of(zero))
        }
        Clause::Eval11 => network.load_balancers.iter().any(|balancer| {
            balancer.standard && balancer.frontends.iter().any(|frontend| frontend.public_ip.is_none())
        }),
        Clause::State5 => stateful && network.nsgs.iter().any(|nsg| nsg.flush_connection),
        Clause::State6 => {
            let placed = |subnet: &Option<Reference<_>>| subnet.as_ref().and_then(Reference::here).is_some();
            let unset = network.vnets.iter().any(|vnet| vnet.flow_timeout_min.is_none())
                || !network.nics.iter().all(|nic| placed(&nic.subnet))
                || !network.private_endpoints.iter().all(|endpoint| placed(&endpoint.subnet));
            stateful && unset
        }
        Clause::Route4 => {
            let all = fixed("0.0.0.0/0");
            let routes =
                compiled.routes.iter().flat_map(|table| table.routes.iter().chain(&table.overridden));
            let mut learned = routes.filter(|route| route.source == RouteSource::Gateway);
            learned.any(|route| route.prefix == all)
        }
        Clause::Route8 => {
            subnets().any(|subnet| !subnet.service_endpoints.is_empty() && subnet.route_table.is_some())
        }
        Clause::Peer3 => peering(|side| !side.allow_virtual_network_access),
        Clause::Peer4 => peering(|side| !side.allow_forwarded_traffic),
        Clause::Out1 => {
            let mut configurations = network.nics.iter().flat_map(|nic| &nic.ip_configurations);
            subnets().any(|subnet| subnet.nat_gateway.is_some())
                && configurations.any(|configuration| configuration.public_ip.is_some())
        }
        Clause::Lb5 => network.load_balancers.iter().any(|balancer| {
            balancer.rules.iter().any(|rule| rule.floating_ip)
                || balancer.nat_rules.iter().any(|rule| rule.floating_ip)
        }),
        Clause::Pe7 => {
            !network.private_endpoints.is_empty() && subnets().any(|subnet| subnet.route_table.is_some())
        }
        Clause::Adm7 => network.network_managers.len() > 1,
        Clause::Adm10 => !network.private_endpoints.is_empty() && admin_rules(network).next().is_some(),
    }
}

/// Whether the clause can act on a packet, or on what becomes of its addresses on the way.
#[must_use]
pub fn to_packet(clause: Clause, compiled: &CompiledNetwork, packet: &Packet) -> bool {
    let network = &*compiled.network;
    let tuple = &packet.five_tuple;
    match clause {
        // Probes are TCP, and nothing takes a packet's ports away.
        Clause::Nsg10 => tuple.source_port == Port::None,
        // Nothing but a load balancer's probe is of another family than the packet (TOP-9).
        Clause::Nsg12 => tuple.source.is_ipv6() || !network.load_balancers.is_empty(),
        Clause::Tag20 => {
            differs_between_lists(tuple.source)
                || differs_between_lists(tuple.destination)
                // It may come back in under a public address that Azure picks.
                || compiled.places.public(tuple.destination).is_some()
                || addresses(network).any(differs_between_lists)
        }
        Clause::Tag9
        | Clause::Eval11
        | Clause::State5
        | Clause::State6
        | Clause::Route4
        | Clause::Route8
        | Clause::Peer3
        | Clause::Peer4
        | Clause::Out1
        | Clause::Lb5
        | Clause::Pe7
        | Clause::Adm7
        | Clause::Adm10 => true,
    }
}

/// Every address that something in the network may put in place of a packet's own.
fn addresses(network: &Network) -> impl Iterator<Item = IpAddr> {
    let configurations = network.nics.iter().flat_map(|nic| &nic.ip_configurations);
    let own = configurations.filter_map(|configuration| configuration.address);
    let public = network.public_ips.iter().filter_map(|public_ip| public_ip.address);
    let frontends = frontend_places(network).filter_map(|place| frontend_address(network, place.of(network)));
    let nat = network.private_link_services.iter().flat_map(|service| service.nat_addresses.iter().copied());
    own.chain(public).chain(frontends).chain(nat)
}

fn rules(network: &Network) -> impl Iterator<Item = &Rule> {
    network.nsgs.iter().flat_map(|nsg| &nsg.rules)
}

fn admin_rules(network: &Network) -> impl Iterator<Item = &AdminRule> {
    let configurations = network.network_managers.iter().flat_map(|manager| &manager.configurations);
    let managed = configurations.flat_map(|configuration| &configuration.collections);
    let managed = managed.flat_map(|collection| &collection.rules);
    managed.chain(network.effective_admin_rules.iter().flat_map(|export| &export.rules))
}

fn has_narrow_ports(rule: &Rule) -> bool {
    let is_all = |terms: &[PortTerm]| terms.contains(&PortTerm::Range(PortRange::ALL));
    !is_all(&rule.source_ports) || !is_all(&rule.destination_ports)
}

fn names_ports(rule: &AdminRule) -> bool {
    !rule.source_ports.is_empty() || !rule.destination_ports.is_empty()
}

fn names_all_of_ipv4(rule: &Rule) -> bool {
    let all = AddressTerm::Prefix(fixed("0.0.0.0/0"));
    rule.source.contains(&all) || rule.destination.contains(&all)
}

fn admin_names_all(rule: &AdminRule) -> bool {
    let all = |address: &AdminAddress| matches!(address, AdminAddress::Prefix(prefix) if *prefix == fixed("0.0.0.0/0"));
    rule.sources.iter().chain(&rule.destinations).any(all)
}
