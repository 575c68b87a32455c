//! From on-premises into the networks behind a gateway (GW-2, PEER-5).

use std::sync::Arc;

use super::{Builder, is_host_service};
use crate::compile::field::Doubt;
use crate::compile::peerings;
use crate::compile::places::within;
use crate::compile::routes::Hop;
use crate::model::index::{GatewayIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::unknown::{Feature, Unknown};
use crate::model::verdict::{Reason, RouteEnd};
use crate::simulate::journey::{Gate, Stage};

impl Builder<'_> {
    /// Through a gateway a packet enters at the gateway's network; only the destination filters (GW-2).
    pub(super) fn enter_by_gateway(&mut self, gateway: GatewayIndex) {
        let network = &self.compiled.network;
        let resource = &network.gateways[gateway.get()];
        let vnet = match &resource.vnet {
            Some(Reference::Here(vnet)) => *vnet,
            Some(Reference::Missing(vnet)) => return self.missing(vnet.clone()),
            None => return self.missing(resource.id.clone()),
        };
        let by_name = || {
            let mut subnets = network.vnets[vnet.get()].subnets.iter().copied();
            subnets
                .find(|subnet| network.subnets[subnet.get()].id.name().eq_ignore_ascii_case("GatewaySubnet"))
        };
        let subnet = resource.subnet.as_ref().and_then(Reference::here).or_else(by_name);
        if let (None, Some(Reference::Missing(subnet))) = (subnet, &resource.subnet) {
            // Its routes may lead elsewhere.
            return self.missing(subnet.clone());
        }
        if !subnet.is_some_and(|subnet| self.route_at_gateway(vnet, subnet)) {
            self.enter_behind_gateway(vnet);
        }
    }

    /// By the table of the gateway's subnet, where it has a route that goes first.
    fn route_at_gateway(&mut self, vnet: VnetIndex, subnet: SubnetIndex) -> bool {
        let compiled = self.compiled;
        let table = &compiled.routes[subnet.get()];
        // To the host below the machine no route leads (PLAT-8).
        if is_host_service(self.destination) {
            return false;
        }
        if let Some(table) = &table.unknown_table {
            self.diversion(subnet, table);
        }
        if let Some(endpoint) = self.routed_endpoint(vnet, table) {
            if self.crosses_to_endpoint(None, vnet, endpoint) {
                self.enter_endpoint(endpoint);
            }
            return true;
        }
        let Some(chosen) = table.choose(self.destination) else { return false };
        let Some(user_route) = self.user_route(subnet, chosen) else { return false };
        if table.gateway_could_win(self.destination)
            && let Some(Doubt::Connected { subnet, missing }) = &table.unknown_gateway
        {
            // A longer route that the gateway learned would leave this one aside.
            let mut branch = self.branch();
            branch.enter_behind_gateway(vnet);
            let learned = Unknown::ConnectedSpaceHolds {
                subnet: subnet.clone(),
                missing: missing.clone(),
                address: self.destination,
            };
            self.journey.stages.push(Stage::BranchIf(learned, Arc::new(branch.finish())));
        }
        match chosen.hop {
            Hop::Appliance(Some(address)) => self.enter_next_hop(None, vnet, address, Some(user_route)),
            Hop::None => {
                let user_route = Some(user_route);
                self.lost(Reason::Route(RouteEnd::None { interface: None, user_route }));
            }
            Hop::VnetLocal => self.arrive(vnet, Gate::Open),
            _ => self.feature(Feature::UnknownRoute, None),
        }
        true
    }

    fn enter_behind_gateway(&mut self, vnet: VnetIndex) {
        let network = &self.compiled.network;
        let destination = self.destination;
        if within(&network.vnets[vnet.get()].address_space, destination) {
            self.arrive(vnet, Gate::Open);
            return;
        }
        // Peers that use this gateway (PEER-5).
        let mut unknown = None;
        for peering in peerings::connected(network, vnet).filter(|peering| peering.side.allow_gateway_transit)
        {
            match peering.prefixes(network) {
                Ok(space) if within(space, destination) => {}
                Ok(_) => continue,
                Err(remote) => {
                    unknown.get_or_insert_with(|| remote.clone());
                    continue;
                }
            }
            match (peering.remote, peering.back) {
                (Some(remote), Some(back))
                    if back.use_remote_gateways && peerings::gateways_in(network, remote).is_empty() =>
                {
                    if self.crosses(None, vnet, &peering.side.remote) {
                        self.arrive_across(vnet, remote);
                    }
                    return;
                }
                (None, _) => {
                    if let Reference::Missing(remote) = &peering.side.remote {
                        return self.missing(remote.clone());
                    }
                }
                (Some(_), _) => {}
            }
        }
        match unknown {
            Some(remote) => self.missing(remote),
            None => self.lost(Reason::Route(RouteEnd::NoGatewayTransit { interface: None })),
        }
    }
}
