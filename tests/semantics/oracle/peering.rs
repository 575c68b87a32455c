//! Peerings that hold packets back, where that is assumed (PEER-3, PEER-4).

use nsgsim::model::assumptions::{AccessFlag, ForwardedFlag};
use nsgsim::model::flow::Packet;
use nsgsim::model::index::{PrivateEndpointIndex, Reference, VnetIndex};
use nsgsim::model::verdict::{Interface, Reason, RouteEnd};

use super::arrival::placed;
use super::journey::{Stop, Walk, deny};
use super::space::holds;

impl Walk<'_> {
    /// Over the peering from one network to another. `from` is who sends the packet, nothing for a gateway: what a
    /// gateway lets in nobody has forwarded.
    pub(crate) fn over_peering(
        &self,
        from: Option<Interface>,
        own: VnetIndex,
        other: &Reference<VnetIndex>,
        packet: &Packet,
    ) -> Result<(), Stop> {
        let (view, vnets) = (self.view, &self.view.network.vnets);
        let mut here = vnets[own.get()].peerings.iter();
        let Some(here) = here.find(|side| side.remote == *other && view.is_up(own, side)) else {
            return Ok(());
        };
        let there = other.here().and_then(|other| {
            let mut sides = vnets[other.get()].peerings.iter();
            sides.find(|side| side.remote.here() == Some(own) && view.is_up(other, side))
        });
        let denied = deny(Reason::Route(RouteEnd::None { interface: from, user_route: None }));
        let access = |side: &nsgsim::model::network::Peering| side.allow_virtual_network_access;
        if view.assumptions.peer_3 == AccessFlag::Drops && !(access(here) && there.is_none_or(access)) {
            return denied;
        }
        // A machine that answers as a frontend sends its own.
        let source = match self.answers_as {
            Some((frontend, own)) if frontend == packet.five_tuple.source => own,
            _ => packet.five_tuple.source,
        };
        let forwarded = from.is_some() && !holds(&vnets[own.get()].address_space, source);
        if view.assumptions.peer_4 == ForwardedFlag::DropsForwarded
            && forwarded
            && there.is_some_and(|side| !side.allow_forwarded_traffic)
        {
            return denied;
        }
        Ok(())
    }

    /// The same on the way to a private endpoint, which may stand in a peered network.
    pub(crate) fn over_peering_to_endpoint(
        &self,
        from: Option<Interface>,
        own: VnetIndex,
        endpoint: PrivateEndpointIndex,
        packet: &Packet,
    ) -> Result<(), Stop> {
        let subnet = placed(self.view.network.private_endpoints[endpoint.get()].subnet.as_ref());
        match subnet.map(|subnet| self.view.vnet_of(subnet)) {
            Some(at) if at != own => self.over_peering(from, own, &Reference::Here(at), packet),
            _ => Ok(()),
        }
    }
}
