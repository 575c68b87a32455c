//! A network under pseudonyms: to be shown, not to be judged by. Its lists keep their order, which is that of the true IDs.

use super::{Mask, Pseudonyms, mask_members};
use crate::model::id::ResourceId;
use crate::model::index::Reference;
use crate::model::network::{
    Asg, IpConfiguration, Network, Nic, Peering, PublicIp, ServiceEndpoint, Subnet, Vnet,
};
use crate::model::nsg::Nsg;
use crate::model::observed::ObservedInternet;
use crate::model::routing::{
    Connection, ConnectionRemote, Gateway, LocalGateway, NatGateway, NextHop, Route, RouteDestination,
    RouteTable,
};
use crate::model::rule::{AddressTerm, PortTerm, ProtocolMatch, Rule};
use crate::model::services::{
    AdminAddress, AdminCollection, AdminConfiguration, AdminRule, Appliance, ApplicationGateway, BackendPool,
    BastionHost, Caller, CallerEnd, EffectiveAdminRules, EndpointPolicy, Frontend, InboundNatRule,
    LoadBalancer, LoadBalancingRule, ManagementGroup, NetworkGroup, NetworkManager, OutboundRule,
    PrivateEndpoint, PrivateLinkConnection, PrivateLinkService, Probe, ServiceAccount,
};
use crate::model::subscription::Subscription;

mask_members! {
    Network {
        vnets, subnets, nics, nsgs, asgs, public_ips, route_tables, nat_gateways, gateways, local_gateways,
        connections, load_balancers, private_endpoints, private_link_services, bastions, application_gateways,
        endpoint_policies, network_managers, effective_admin_rules, management_groups, service_accounts,
        appliances, flexible_machines, subscriptions, callers, observed_internet,
    } keeps {}
        Vnet { id, location, address_space, peerings } keeps { flow_timeout_min, subnets }
    Peering { name, remote, remote_address_space } keeps {
        state, allow_virtual_network_access, allow_forwarded_traffic, allow_gateway_transit, use_remote_gateways,
    }
    IpConfiguration { id, address, public_ip, backend_pools, inbound_nat_rules } keeps { primary, asgs }
    Asg { id } keeps {}
    PublicIp { id, address, user } keeps { sku, idle_timeout_min }
    RouteTable { id, routes } keeps { disable_gateway_propagation }
    Route { name, destination, next_hop } keeps { bgp_override }
    Gateway { id, vnet, subnet, client_pools, learned_routes } keeps { express_route, bgp }
    LocalGateway { id, prefixes } keeps {}
    Connection { id, gateway, remote } keeps {}
    NatGateway { id, public_ips, public_prefixes } keeps { idle_timeout_min }
    LoadBalancer { id, frontends, pools, rules, probes, nat_rules, outbound_rules } keeps { standard }
    Frontend { id, public_ip, address, subnet } keeps {}
    BackendPool { id, ip_configurations, addresses } keeps {}
    LoadBalancingRule { name, frontend, pools, probe } keeps {
        protocol, frontend_port, backend_port, floating_ip, disable_outbound_snat, idle_timeout_min,
    }
    Probe { id } keeps { port }
    InboundNatRule { id, frontend, backend, pool } keeps {
        protocol, frontend_ports, backend_port, floating_ip, idle_timeout_min,
    }
    OutboundRule { name, frontends, pool } keeps { protocol, idle_timeout_min }
    PrivateEndpoint { id, subnet, addresses, connections, asgs } keeps {}
    PrivateLinkService { id, nat_addresses, subnet, frontends, endpoints } keeps {}
    BastionHost { id, subnet, public_ip } keeps {}
    ApplicationGateway { id, subnets } keeps { generation }
    NetworkManager { id, management_groups, subscriptions, groups, configurations } keeps {}
    NetworkGroup { id, members } keeps {}
    AdminConfiguration { id, collections, on_intent_policy_services } keeps { deployed }
    AdminCollection { name, groups, rules } keeps {}
    EffectiveAdminRules { vnet, rules, managers } keeps {}
    ManagementGroup { id, parent } keeps {}
    ServiceAccount { id, location, ip_rules, subnets, instances } keeps {
        kind, public_network_access, default_allow, bypass_azure_services,
    }
    Caller { end, instance } keeps { trusted_service }
    Appliance { nic, egress } keeps { mode }
    ObservedInternet { prefixes, source } keeps { date }
}

impl<I> Mask for Reference<I> {
    fn mask(&mut self, by: &Pseudonyms) {
        if let Self::Missing(id) = self {
            id.mask(by);
        }
    }
}

impl Mask for Nic {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { id, ip_configurations, subnet, nsg, ip_forwarding: _, mac, machine } = self;
        id.mask(by);
        ip_configurations.mask(by);
        subnet.mask(by);
        nsg.mask(by);
        machine.mask(by);
        // Nothing shows it.
        *mac = None;
    }
}

impl Mask for Subnet {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self {
            id,
            vnet: _,
            prefixes,
            nsg,
            route_table,
            nat_gateway,
            service_endpoints,
            endpoint_policies,
            delegations,
            private_endpoint_policies: _,
            private_link_service_policies: _,
            default_outbound_access: _,
        } = self;
        id.mask(by);
        prefixes.mask(by);
        nsg.mask(by);
        route_table.mask(by);
        nat_gateway.mask(by);
        endpoint_policies.mask(by);
        for ServiceEndpoint { service, locations } in service_endpoints {
            *service = by.azures(service);
            locations.iter_mut().filter(|location| *location != "*").for_each(|location| location.mask(by));
        }
        delegations.iter_mut().for_each(|service| *service = by.azures(service));
    }
}

impl Mask for PrivateLinkConnection {
    fn mask(&mut self, by: &Pseudonyms) {
        const STATES: [&str; 4] = ["Approved", "Pending", "Rejected", "Disconnected"];
        let Self { service, group_ids, status } = self;
        service.mask(by);
        group_ids.mask(by);
        // What is no state is anybody's text.
        if let Some(status) = status
            && !STATES.iter().any(|state| state.eq_ignore_ascii_case(status))
        {
            status.mask(by);
        }
    }
}

impl Mask for EndpointPolicy {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { id, definitions } = self;
        id.mask(by);
        // Of each the service, which is Azure's, and what it names there.
        for resource in definitions.iter_mut().flat_map(|(_, resources)| resources) {
            *resource = by.id("resource", resource);
        }
    }
}

impl Mask for Nsg {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { id, resource_guid, flush_connection: _, attached_subnets, rules } = self;
        // As a flow log's record is masked that names it, by its ID, its name or its GUID.
        if let Some(masked) = ResourceId::new(&by.id("nsg", id.as_str())) {
            *id = masked;
        }
        *resource_guid = resource_guid.as_deref().map(|guid| by.id("nsg", guid));
        attached_subnets.mask(by);
        rules.mask(by);
    }
}

impl Mask for Rule {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self {
            name,
            priority: _,
            direction: _,
            access: _,
            protocol,
            source,
            source_ports,
            destination,
            destination_ports,
            is_default: _,
        } = self;
        *name = by.rule(name);
        if let ProtocolMatch::Invalid(text) = protocol {
            text.mask(by);
        }
        source.mask(by);
        source_ports.mask(by);
        destination.mask(by);
        destination_ports.mask(by);
    }
}

impl Mask for AddressTerm {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::Any => {}
            Self::Prefix(prefix) => prefix.mask(by),
            Self::Tag(tag) => tag.mask(by),
            Self::Asg(asg) => asg.mask(by),
            Self::Invalid(text) => text.mask(by),
        }
    }
}

impl Mask for PortTerm {
    fn mask(&mut self, by: &Pseudonyms) {
        if let Self::Invalid(text) = self {
            text.mask(by);
        }
    }
}

impl Mask for AdminRule {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self {
            name,
            priority: _,
            direction: _,
            action: _,
            protocol: _,
            sources,
            destinations,
            source_ports: _,
            destination_ports: _,
        } = self;
        *name = by.rule(name);
        sources.mask(by);
        destinations.mask(by);
    }
}

impl Mask for AdminAddress {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::Any => {}
            Self::Prefix(prefix) => prefix.mask(by),
            Self::Tag(tag) => tag.mask(by),
            Self::Invalid(text) => text.mask(by),
        }
    }
}

impl Mask for RouteDestination {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::Prefix(prefix) => prefix.mask(by),
            Self::Tag(tag) => tag.mask(by),
            Self::Invalid(text) => text.mask(by),
        }
    }
}

impl Mask for NextHop {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::VirtualAppliance(address) => address.mask(by),
            Self::Other(text) => text.mask(by),
            Self::VirtualNetworkGateway | Self::VnetLocal | Self::Internet | Self::None => {}
        }
    }
}

impl Mask for ConnectionRemote {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::Site(gateway) => gateway.mask(by),
            Self::Vnet(gateway) => gateway.mask(by),
            Self::Other(text) => text.mask(by),
            Self::ExpressRoute => {}
        }
    }
}

impl Mask for CallerEnd {
    fn mask(&mut self, by: &Pseudonyms) {
        match self {
            Self::Nic(_) => {}
            Self::Addresses(prefix) => prefix.mask(by),
        }
    }
}

impl Mask for Subscription {
    fn mask(&mut self, by: &Pseudonyms) {
        let Self { id, kind: _ } = self;
        *id = by.name("subscription", id);
    }
}
