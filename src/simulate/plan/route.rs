//! Routing at an interface's subnet, and where each kind of next hop leads (ROUTE-1 to ROUTE-11).

use super::Builder;
use crate::compile::field::Doubt;
use crate::compile::network::CompiledNetwork;
use crate::compile::peerings;
use crate::compile::places::{Owner, within};
use crate::compile::routes::{EffectiveRoute, Hop, SubnetRoutes};
use crate::compile::surroundings::may_be_in_a_network;
use crate::model::assumptions::LongerUserRoute;
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, PrivateEndpointIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::prefix::{Prefix, host};
use crate::model::unknown::{Feature, Unknown};
use crate::model::verdict::{Interface, NextHopKind, Reason, RouteEnd, RouteSource, RouteStep, UserRoute};
use crate::simulate::journey::{Gate, Journey, Stage};
use std::net::IpAddr;

impl<'c> Builder<'c> {
    /// The routing of an interface's packets to an address, and what comes after it.
    pub(in crate::simulate) fn route_of(
        compiled: &'c CompiledNetwork,
        nic: NicIndex,
        destination: IpAddr,
    ) -> Journey {
        let resource = &compiled.network.nics[nic.get()];
        let own = resource.ip_configurations.iter().find_map(|configuration| configuration.address);
        let mut builder = Self::new(compiled, own.unwrap_or(destination), destination);
        builder.route_at(nic);
        builder.finish()
    }

    /// Routing at an interface of the inventory.
    pub(super) fn route_at(&mut self, nic: NicIndex) {
        let resource = &self.compiled.network.nics[nic.get()];
        match &resource.subnet {
            Some(Reference::Here(subnet)) => self.route(Interface::Nic(nic), *subnet),
            // Without its subnet nobody knows its routes.
            Some(Reference::Missing(subnet)) => self.missing(subnet.clone()),
            None => self.missing(resource.id.clone()),
        }
    }

    /// Routing at the sender's subnet (ROUTE-1).
    pub(super) fn route(&mut self, from: Interface, subnet: SubnetIndex) {
        let (compiled, destination) = (self.compiled, self.destination);
        let vnet = compiled.network.subnets[subnet.get()].vnet;
        let table = &compiled.routes[subnet.get()];
        let learned = table.choose(destination).filter(|chosen| {
            // Of equals a gateway's route goes before an endpoint's (ROUTE-6).
            chosen.source == RouteSource::Gateway && chosen.prefix == host(destination)
        });
        if let Some(endpoint) = self.routed_endpoint(vnet, table).filter(|_| learned.is_none()) {
            if let Some(unknown) = &table.unknown_table {
                // It may hold a route that takes this one away (PE-7).
                self.diversion(subnet, unknown);
            }
            if table.heeds_gateways(destination) {
                self.ask_what_gateways_learned(table);
            }
            self.take(system_route(from, host(destination), NextHopKind::InterfaceEndpoint));
            if self.crosses_to_endpoint(Some(from), vnet, endpoint) {
                self.enter_endpoint(endpoint);
            }
            return;
        }
        if let Some((prefix, storage)) = table.service_prefix(destination) {
            if let Some(unknown) = &table.unknown_table
                && self.compiled.assumptions.route_8 == LongerUserRoute::UserWins
            {
                // It may hold a longer route (ROUTE-8).
                self.diversion(subnet, unknown);
            }
            self.take(system_route(from, prefix, NextHopKind::VirtualNetworkServiceEndpoint));
            self.leave_by_service_endpoint(subnet, storage);
            return;
        }
        self.ask_what_hides_routes(subnet, table);
        let Some(chosen) = table.choose(destination) else {
            let interface = Some(from);
            self.lost(Reason::Route(RouteEnd::None { interface, user_route: None }));
            return;
        };
        self.take(self.step(from, subnet, chosen));
        self.follow(from, subnet, chosen);
    }

    /// What the inventory lacks and could hold a route that goes before the chosen one.
    fn ask_what_hides_routes(&mut self, subnet: SubnetIndex, table: &SubnetRoutes) {
        let (network, destination) = (&self.compiled.network, self.destination);
        let at = &network.subnets[subnet.get()];
        for doubt in table.service_endpoints.doubts.iter().filter(|doubt| doubt.scope.contains(destination)) {
            let holds = doubt.about.question(destination);
            let open = !at.endpoint_policies.is_empty() || self.target.is_some();
            self.journey.stages.push(if open {
                Stage::ElsewhereIf(holds, Unknown::ResourceAllows { resource: at.id.clone() })
            } else {
                Stage::DeliveredIf(holds)
            });
        }
        if let Some(unknown) = &table.unknown_table {
            self.diversion(subnet, unknown);
        }
        let in_own_space = within(&network.vnets[at.vnet.get()].address_space, destination);
        let chosen = table.choose(destination);
        // Peered networks do not overlap (PEER-6).
        if let Some(remote) = &table.unknown_peering
            && may_be_in_a_network(destination)
            && !in_own_space
            && !chosen.is_some_and(EffectiveRoute::is_preferred)
        {
            self.diversion(subnet, remote);
        }
        if table.gateway_could_win(destination) {
            self.ask_what_gateways_learned(table);
        }
    }

    /// A route that a gateway learned may take the packet out of the boundary (GW-3).
    fn ask_what_gateways_learned(&mut self, table: &SubnetRoutes) {
        let Some(Doubt::Connected { subnet, missing }) = &table.unknown_gateway else { return };
        self.journey.stages.push(Stage::DeliveredIf(Unknown::ConnectedSpaceHolds {
            subnet: subnet.clone(),
            missing: missing.clone(),
            address: self.destination,
        }));
    }

    /// Where the chosen route leads.
    fn follow(&mut self, from: Interface, subnet: SubnetIndex, chosen: &EffectiveRoute) {
        let network = &self.compiled.network;
        let vnet = network.subnets[subnet.get()].vnet;
        match &chosen.hop {
            Hop::VnetLocal => self.arrive(vnet, Gate::Open),
            Hop::Peering(remote) if !self.crosses(Some(from), vnet, remote) => {}
            Hop::Peering(Reference::Here(remote)) => self.arrive_across(vnet, *remote),
            Hop::Peering(Reference::Missing(remote)) => self.missing(remote.clone()),
            // To another network of the inventory (GW-6), or out of the boundary (GW-3).
            Hop::Gateway(Some(far)) => self.enter_by_gateway(*far),
            Hop::Gateway(None) => self.leave_by_gateway(from, vnet, chosen),
            Hop::Appliance(Some(address)) => {
                let user_route = self.user_route(subnet, chosen);
                self.enter_next_hop(Some(from), vnet, *address, user_route);
            }
            Hop::Internet => self.leave_to_internet(from, subnet),
            Hop::None => {
                let user_route = self.user_route(subnet, chosen);
                self.lost(Reason::Route(RouteEnd::None { interface: Some(from), user_route }));
            }
            Hop::Appliance(None) | Hop::Other => self.feature(Feature::UnknownRoute, None),
        }
    }

    fn leave_by_gateway(&mut self, from: Interface, vnet: VnetIndex, chosen: &EffectiveRoute) {
        let network = &self.compiled.network;
        if !peerings::gateways_of(network, vnet).is_empty() || chosen.source != RouteSource::User {
            return;
        }
        let missing = network.vnets[vnet.get()].peerings.iter().find_map(|side| match &side.remote {
            Reference::Missing(remote) if side.use_remote_gateways => Some(remote.clone()),
            Reference::Missing(_) | Reference::Here(_) => None,
        });
        match missing {
            Some(remote) => self.missing(remote),
            None => self.lost(Reason::Route(RouteEnd::NoGatewayTransit { interface: Some(from) })),
        }
    }

    /// A private endpoint in reach has a route of its own that beats shorter ones (PE-6).
    pub(super) fn routed_endpoint(
        &self,
        vnet: VnetIndex,
        table: &SubnetRoutes,
    ) -> Option<PrivateEndpointIndex> {
        if !table.leads_to_endpoint(self.destination) {
            return None;
        }
        let near = std::iter::once(vnet)
            .chain(peerings::connected(&self.compiled.network, vnet).filter_map(|peering| peering.remote));
        near.into_iter().find_map(|near| match self.compiled.places.owner(near, self.destination) {
            Some(Owner::PrivateEndpoint(endpoint)) => Some(endpoint),
            _ => None,
        })
    }

    /// Whether a packet comes to a private endpoint in reach, which may stand in a peered network.
    pub(super) fn crosses_to_endpoint(
        &mut self,
        from: Option<Interface>,
        own: VnetIndex,
        endpoint: PrivateEndpointIndex,
    ) -> bool {
        let network = &self.compiled.network;
        let subnet = network.private_endpoints[endpoint.get()].subnet.as_ref().and_then(Reference::here);
        let at = subnet.map(|subnet| network.subnets[subnet.get()].vnet);
        at.is_none_or(|at| at == own || self.crosses(from, own, &Reference::Here(at)))
    }

    /// Something that the inventory lacks may take the packet another way.
    pub(super) fn diversion(&mut self, subnet: SubnetIndex, missing: &ResourceId) {
        let diverts = Unknown::ConnectedSpaceHolds {
            subnet: self.compiled.network.subnets[subnet.get()].id.clone(),
            missing: missing.to_string(),
            address: self.destination,
        };
        let arrives = Unknown::ResourceAllows { resource: missing.clone() };
        self.journey.stages.push(Stage::ElsewhereIf(diverts, arrives));
    }

    /// A user-defined route's place in the table of a subnet.
    pub(super) fn user_route(&self, subnet: SubnetIndex, route: &EffectiveRoute) -> Option<UserRoute> {
        let subnet = &self.compiled.network.subnets[subnet.get()];
        let table = subnet.route_table.as_ref().and_then(Reference::here)?;
        route.user.map(|route| UserRoute { table, route })
    }

    fn step(&self, from: Interface, subnet: SubnetIndex, route: &EffectiveRoute) -> RouteStep {
        let name = self.user_route(subnet, route).map(|place| {
            let table = &self.compiled.network.route_tables[place.table.get()];
            table.routes[place.route as usize].name.clone()
        });
        RouteStep {
            interface: from,
            prefix: route.prefix,
            source: route.source,
            next_hop: route.hop.kind(),
            next_hop_address: match route.hop {
                Hop::Appliance(address) => address,
                _ => None,
            },
            name,
        }
    }
}

fn system_route(interface: Interface, prefix: Prefix, next_hop: NextHopKind) -> RouteStep {
    let source = RouteSource::System;
    RouteStep { interface, prefix, source, next_hop, next_hop_address: None, name: None }
}
