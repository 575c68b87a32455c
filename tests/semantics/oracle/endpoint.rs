//! Private endpoints: which one an address leads to, and what becomes of a packet there (PE).

use std::net::IpAddr;

use nsgsim::model::assumptions::{EndpointAdminRules, EndpointOverride};
use nsgsim::model::flow::Packet;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{PrivateEndpointIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::PrivateEndpointPolicies;
use nsgsim::model::rule::Direction;
use nsgsim::model::services::PrivateLinkConnection;
use nsgsim::model::verdict::{Interface, Reason};

use super::filter::Door;
use super::journey::{End, Stop, Walk, deny};
use super::platform::is_unsupported;
use super::rules::Seen;
use super::space::View;

impl<'a> Walk<'a> {
    /// PE-3, PE-8, PE-10, PLS-1: a packet at a private endpoint.
    pub(crate) fn arrive_at_endpoint(
        &mut self,
        endpoint: PrivateEndpointIndex,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        let (interface, direction) = (Interface::Endpoint(endpoint), Direction::Inbound);
        let at = &self.view.network.private_endpoints[endpoint.get()];
        if self.surroundings(interface).is_err() {
            self.missing_must_allow(&at.id)?;
            return Ok(self.allowed());
        }
        self.leg_ends_at(interface, seen);
        if self.topology_only {
            return Ok(self.allowed());
        }
        let connection = self.connection(endpoint)?;
        // PLAT-9.
        if is_unsupported(&packet.five_tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        // ADM-10.
        let asks_admin_rules = self.view.assumptions.adm_10 == EndpointAdminRules::EndpointToo;
        if asks_admin_rules || !self.passes_unfiltered(interface) {
            self.at_interface(interface, direction, packet, seen, &Door::inside())?;
        }
        let service = connection.and_then(|connection| connection.service.as_ref());
        if let Some(service) = service.filter(|service| service.segment("privateLinkServices").is_some()) {
            return self.hand_to_private_link(endpoint, service, packet, seen);
        }
        Ok(self.allowed())
    }

    /// PE-8: the connection that carries the packet.
    fn connection(
        &mut self,
        endpoint: PrivateEndpointIndex,
    ) -> Result<Option<&'a PrivateLinkConnection>, Stop> {
        let at = &self.view.network.private_endpoints[endpoint.get()];
        let approved = |connection: &&PrivateLinkConnection| {
            connection.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("Approved"))
        };
        if let Some(connection) = at.connections.iter().find(approved) {
            return Ok(Some(connection));
        }
        let first = at.connections.first();
        let all_known = at.connections.iter().all(|connection| connection.status.is_some());
        if first.is_some() && all_known {
            return deny(Reason::PrivateEndpointState { endpoint, connection: 0 });
        }
        self.missing_must_allow(&at.id)?;
        Ok(first)
    }

    /// PE-3: nothing filters what goes to this private endpoint.
    pub(crate) fn passes_unfiltered(&self, interface: Interface) -> bool {
        let (Interface::Endpoint(_), Ok(subnet)) = (interface, self.surroundings(interface)) else {
            return false;
        };
        !matches!(
            self.view.network.subnets[subnet.get()].private_endpoint_policies,
            PrivateEndpointPolicies::Enabled | PrivateEndpointPolicies::NetworkSecurityGroupEnabled
        )
    }
}

impl<'a> View<'a> {
    /// PE-6: the private endpoint with this address in the network, or else in one that is directly peered with it.
    pub(crate) fn endpoint_near(&self, vnet: VnetIndex, address: IpAddr) -> Option<PrivateEndpointIndex> {
        let own = |subnet: Option<SubnetIndex>| subnet.is_some_and(|subnet| self.vnet_of(subnet) == vnet);
        let peered = |subnet: Option<SubnetIndex>| {
            subnet.is_some_and(|subnet| {
                let peerings = &self.network.vnets[vnet.get()].peerings;
                peerings.iter().any(|peering| {
                    peering.remote.here() == Some(self.vnet_of(subnet)) && self.is_up(vnet, peering)
                })
            })
        };
        self.endpoint_at(address, own).or_else(|| self.endpoint_at(address, peered))
    }

    /// The first private endpoint with this address in such a subnet.
    pub(crate) fn endpoint_at(
        &self,
        address: IpAddr,
        stands: impl Fn(Option<SubnetIndex>) -> bool,
    ) -> Option<PrivateEndpointIndex> {
        let mut endpoints = self.network.private_endpoints.iter();
        let position = endpoints.position(|endpoint| {
            endpoint.addresses.contains(&address)
                && stands(endpoint.subnet.as_ref().and_then(Reference::here))
        });
        position.map(PrivateEndpointIndex::new)
    }

    /// SIM-4: a private endpoint with this address whose subnet the inventory lacks.
    pub(crate) fn unplaced_endpoint(
        &self,
        address: IpAddr,
        may_be_here: impl Fn(&&'a ResourceId) -> bool,
    ) -> Option<&'a ResourceId> {
        let mut endpoints = self.network.private_endpoints.iter();
        let endpoint = endpoints.find(|endpoint| {
            let here = match &endpoint.subnet {
                None => true,
                Some(Reference::Missing(subnet)) => may_be_here(&subnet),
                Some(Reference::Here(_)) => false,
            };
            here && endpoint.addresses.contains(&address)
        })?;
        Some(&endpoint.id)
    }

    /// PE-7: a user-defined route of this length takes the place of the endpoint's own.
    pub(crate) fn endpoint_route_yields(
        &self,
        endpoint: PrivateEndpointIndex,
        address: IpAddr,
        length: u8,
    ) -> bool {
        let at = &self.network.private_endpoints[endpoint.get()];
        let Some(subnet) = at.subnet.as_ref().and_then(Reference::here) else { return false };
        let policies = self.network.subnets[subnet.get()].private_endpoint_policies;
        let by_policy =
            matches!(policies, PrivateEndpointPolicies::Enabled | PrivateEndpointPolicies::RouteTableEnabled);
        let space = &self.network.vnets[self.vnet_of(subnet).get()].address_space;
        let mut ranges = space.iter().filter(|range| range.contains(&address));
        by_policy
            && ranges.any(|range| match self.assumptions.pe_7 {
                EndpointOverride::AtLeastAsLong => length >= range.prefix_len(),
                EndpointOverride::AtMostAsLong => length <= range.prefix_len(),
            })
    }
}
