//! Over a peering, which holds packets back only where that is assumed (PEER-3, PEER-4).

use super::Builder;
use crate::compile::peerings;
use crate::compile::places::within;
use crate::model::assumptions::{AccessFlag, ForwardedFlag};
use crate::model::index::{Reference, VnetIndex};
use crate::model::verdict::{Interface, Reason, RouteEnd};

impl Builder<'_> {
    /// Whether the peering from one network to another carries the packet; if not, the packet is lost there. `from` is
    /// who sends it, nothing for a gateway: what a gateway lets in nobody has forwarded.
    pub(super) fn crosses(
        &mut self,
        from: Option<Interface>,
        own: VnetIndex,
        other: &Reference<VnetIndex>,
    ) -> bool {
        let (network, assumptions) = (&self.compiled.network, self.compiled.assumptions);
        let mut peerings = peerings::connected(network, own);
        let Some(peering) = peerings.find(|peering| peering.side.remote == *other) else { return true };
        let closed = !peering.side.allow_virtual_network_access
            || peering.back.is_some_and(|back| !back.allow_virtual_network_access);
        let forwarded = from.is_some() && !within(&network.vnets[own.get()].address_space, self.source);
        let refused = forwarded && peering.back.is_some_and(|back| !back.allow_forwarded_traffic);
        let held_back = (assumptions.peer_3 == AccessFlag::Drops && closed)
            || (assumptions.peer_4 == ForwardedFlag::DropsForwarded && refused);
        if held_back {
            self.lost(Reason::Route(RouteEnd::None { interface: from, user_route: None }));
        }
        !held_back
    }
}
