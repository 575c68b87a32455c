//! Gateways: what enters by one, and what leaves by one (GW).

use nsgsim::model::flow::Packet;
use nsgsim::model::index::{GatewayIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::routing::ConnectionRemote;
use nsgsim::model::unknown::Feature;
use nsgsim::model::verdict::{Reason, RouteEnd, RouteSource};

use super::appliance::Via;
use super::journey::{End, Sender, Stop, Walk, deny};
use super::platform::needs_no_route;
use super::route::{Candidate, Hop};
use super::rules::Seen;
use super::space::holds;
use super::world::Asked;

impl Walk<'_> {
    /// GW-2, PEER-5: from behind a gateway.
    pub(crate) fn start_on_premises(&mut self, gateway: GatewayIndex, packet: &Packet) -> Result<End, Stop> {
        self.enter_by(gateway, packet)
    }

    /// GW-6: through the gateways of two connected networks, into the one that has the address.
    pub(crate) fn cross(&mut self, gateway: GatewayIndex, packet: &Packet) -> Result<End, Stop> {
        let network = self.view.network;
        for connection in &network.connections {
            if connection.gateway.as_ref().and_then(Reference::here) != Some(gateway) {
                continue;
            }
            let ConnectionRemote::Vnet(Some(Reference::Here(far))) = &connection.remote else { continue };
            let Some(Reference::Here(vnet)) = &network.gateways[far.get()].vnet else { continue };
            if holds(&network.vnets[vnet.get()].address_space, packet.five_tuple.destination) {
                return self.enter_by(*far, packet);
            }
        }
        unreachable!("the route came from a network that has the address")
    }

    /// GW-2: a packet that enters at a gateway's network.
    fn enter_by(&mut self, gateway: GatewayIndex, packet: &Packet) -> Result<End, Stop> {
        let view = self.view;
        let at = &view.network.gateways[gateway.get()];
        let to = packet.five_tuple.destination;
        let Some(vnet) = at.vnet.as_ref().and_then(Reference::here) else {
            let missing = match &at.vnet {
                Some(Reference::Missing(id)) => id,
                _ => &at.id,
            };
            self.missing_must_allow(missing)?;
            return Ok(self.allowed());
        };
        let subnet = self.gateway_subnet(gateway, vnet);
        if let Some(subnet) = subnet
            && let Some(route) = self.gateway_route(subnet, packet)?
            && let Some(end) = self.take_gateway_route(vnet, subnet, &route, packet)?
        {
            return Ok(end);
        }
        let seen = Seen::of(packet);
        let has = |vnet: VnetIndex| holds(&view.network.vnets[vnet.get()].address_space, to);
        if has(vnet) {
            return self.deliver(vnet, None, packet, &seen);
        }
        let spokes = (0..view.network.vnets.len()).map(VnetIndex::new);
        for spoke in spokes.filter(|spoke| view.gateways_for(*spoke).contains(&gateway)) {
            if has(spoke) {
                self.over_peering(None, vnet, &Reference::Here(spoke), packet)?;
                return self.deliver(spoke, Some(vnet), packet, &seen);
            }
        }
        // PEER-5, SIM-4: a spoke that is not in the inventory and whose ranges nobody knows may have the address.
        for peering in &view.network.vnets[vnet.get()].peerings {
            if let (true, true, None, Reference::Missing(id)) = (
                peering.allow_gateway_transit,
                view.is_up(vnet, peering),
                view.remote_ranges(peering),
                &peering.remote,
            ) {
                self.missing_must_allow(id)?;
                return Ok(self.allowed());
            }
        }
        deny(Reason::Route(RouteEnd::NoGatewayTransit { interface: None }))
    }

    /// The GatewaySubnet, where the inventory holds it.
    fn gateway_subnet(&self, gateway: GatewayIndex, vnet: VnetIndex) -> Option<SubnetIndex> {
        let view = self.view;
        let named = view.network.gateways[gateway.get()].subnet.as_ref().and_then(Reference::here);
        named.or_else(|| {
            let mut subnets = view.network.vnets[vnet.get()].subnets.iter().copied();
            subnets.find(|subnet| view.subnet_id(*subnet).name().eq_ignore_ascii_case("GatewaySubnet"))
        })
    }

    /// GW-2: the route that the GatewaySubnet's own table, or a private endpoint's address, makes for the packet.
    fn gateway_route(&self, subnet: SubnetIndex, packet: &Packet) -> Asked<Option<Candidate>> {
        let (view, to) = (self.view, packet.five_tuple.destination);
        let endpoint = view.endpoint_near(view.vnet_of(subnet), to);
        // PLAT-8. Without a table no user-defined route is chosen, whatever the others are.
        if needs_no_route(to) || (view.route_table(subnet).is_none() && endpoint.is_none()) {
            return Ok(None);
        }
        // SE-1: what comes from on-premises takes no service endpoint.
        view.route_without_service_endpoints(subnet, to)
    }

    /// GW-2: where a user-defined route of the GatewaySubnet leads; `None` where the packet goes as without a table.
    fn take_gateway_route(
        &mut self,
        vnet: VnetIndex,
        subnet: SubnetIndex,
        route: &Candidate,
        packet: &Packet,
    ) -> Result<Option<End>, Stop> {
        let seen = Seen::of(packet);
        // PE-6.
        if let Hop::Endpoint(endpoint) = route.hop {
            self.over_peering_to_endpoint(None, vnet, endpoint, packet)?;
            return self.arrive_at_endpoint(endpoint, packet, &seen).map(Some);
        }
        if route.source != RouteSource::User {
            return Ok(None);
        }
        let user_route = self.view.user_route(subnet, route);
        let end = match &route.hop {
            Hop::Appliance(address) => {
                self.send_to_next_hop(&Via { interface: None, vnet, user_route }, *address, packet)?
            }
            Hop::None => return deny(Reason::Route(RouteEnd::None { interface: None, user_route })),
            Hop::Local(vnet) => self.deliver(*vnet, None, packet, &seen)?,
            _ => {
                let table =
                    self.view.route_table(subnet).map(|table| table.map_or_else(|id| id, |at| &at.id));
                self.must_let_through(Feature::UnknownRoute, table)?;
                self.allowed()
            }
        };
        Ok(Some(end))
    }

    /// A user-defined route to the gateway: it has left the boundary if there is one (GW-3, PEER-5).
    pub(crate) fn leave_by_gateway(&mut self, sender: &Sender, packet: &Packet) -> Result<End, Stop> {
        let vnet = self.view.vnet_of(sender.subnet);
        if !self.view.gateways_for(vnet).is_empty() {
            self.leg_ends_at_gateway(vnet, packet);
            return Ok(self.allowed());
        }
        for peering in self.view.transit_peerings(vnet) {
            if let Reference::Missing(id) = &peering.remote {
                self.missing_must_allow(id)?;
                return Ok(self.allowed());
            }
        }
        deny(Reason::Route(RouteEnd::NoGatewayTransit { interface: Some(sender.interface) }))
    }
}
