//! Which networks are connected to which, by peerings and gateways (PEER, GW, TAG-8).

use crate::model::id::ResourceId;
use crate::model::index::{GatewayIndex, Reference, VnetIndex};
use crate::model::network::{Network, Peering, PeeringState};
use crate::model::prefix::Prefix;
use crate::model::routing::{ConnectionRemote, Gateway};

/// A peering that carries traffic, seen from one side.
#[derive(Clone, Copy, Debug)]
pub struct ConnectedPeering<'n> {
    /// This side's half.
    pub side: &'n Peering,
    /// The other side's half, where the remote network is in the inventory.
    pub back: Option<&'n Peering>,
    /// The remote network, where it is in the inventory.
    pub remote: Option<VnetIndex>,
}

impl<'n> ConnectedPeering<'n> {
    /// The remote ranges (PEER-7).
    ///
    /// # Errors
    ///
    /// Fails with the remote network's ID where neither the peering nor the inventory knows its ranges.
    pub fn prefixes(&self, network: &'n Network) -> Result<&'n [Prefix], &'n ResourceId> {
        if let Some(space) = &self.side.remote_address_space {
            return Ok(space);
        }
        match &self.side.remote {
            Reference::Here(remote) => Ok(&network.vnets[remote.get()].address_space),
            Reference::Missing(remote) => Err(remote),
        }
    }
}

/// The peerings of a network that carry traffic: both sides are `Connected` (PEER-1). Where the remote network is not
/// in the inventory, this side's state stands for both.
pub fn connected(network: &Network, vnet: VnetIndex) -> impl Iterator<Item = ConnectedPeering<'_>> {
    network.vnets[vnet.get()].peerings.iter().filter_map(move |side| {
        if side.state != PeeringState::Connected {
            return None;
        }
        let Some(remote) = side.remote.here() else {
            return Some(ConnectedPeering { side, back: None, remote: None });
        };
        let back = network.vnets[remote.get()]
            .peerings
            .iter()
            .find(|back| back.remote == Reference::Here(vnet) && back.state == PeeringState::Connected)?;
        Some(ConnectedPeering { side, back: Some(back), remote: Some(remote) })
    })
}

/// What a network's gateway knows of the far side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Learned {
    /// A prefix, and the gateway of the network that has it, where one of the inventory does (GW-6).
    Prefix(Prefix, Option<GatewayIndex>),
    /// Something missing may add prefixes: its name.
    Unknown(String),
}

/// The gateway whose routes a network uses: its own, or a peer's that it may use (PEER-5).
pub fn gateways_of(network: &Network, vnet: VnetIndex) -> Vec<GatewayIndex> {
    let own = gateways_in(network, vnet);
    if !own.is_empty() {
        return own;
    }
    connected(network, vnet)
        .filter(|peering| peering.side.use_remote_gateways)
        .filter(|peering| peering.back.is_some_and(|back| back.allow_gateway_transit))
        .filter_map(|peering| peering.remote)
        .flat_map(|remote| gateways_in(network, remote))
        .collect()
}

/// The gateways that stand in a network.
pub fn gateways_in(network: &Network, vnet: VnetIndex) -> Vec<GatewayIndex> {
    let stands_here = |gateway: &Gateway| gateway.vnet.as_ref().and_then(Reference::here) == Some(vnet);
    let gateways = network.gateways.iter().enumerate();
    gateways
        .filter(|(_, gateway)| stands_here(gateway))
        .map(|(position, _)| GatewayIndex::new(position))
        .collect()
}

/// On-premises ranges that a network reaches through its own or a peer's gateway (TAG-8 items 4 and 5).
pub fn gateway_prefixes(network: &Network, vnet: VnetIndex) -> Vec<Learned> {
    let mut learned = Vec::new();
    for index in gateways_of(network, vnet) {
        learned.extend(known_to(network, index));
    }
    if gateways_in(network, vnet).is_empty() {
        // A peer that is not in the inventory may have a gateway for us.
        learned.extend(
            network.vnets[vnet.get()]
                .peerings
                .iter()
                .filter(|side| side.use_remote_gateways && side.state == PeeringState::Connected)
                .filter_map(|side| match &side.remote {
                    Reference::Missing(remote) => Some(Learned::Unknown(remote.to_string())),
                    Reference::Here(_) => None,
                }),
        );
    }
    learned
}

/// What one gateway knows of its far sides (GW-4 to GW-7).
pub fn known_to(network: &Network, index: GatewayIndex) -> Vec<Learned> {
    let gateway = &network.gateways[index.get()];
    let mut learned: Vec<Learned> = gateway
        .learned_routes
        .iter()
        .chain(&gateway.client_pools)
        .map(|prefix| Learned::Prefix(*prefix, None))
        .collect();
    // Routes that come by BGP are on no resource: without a list of them they are unknown.
    if (gateway.bgp || gateway.express_route) && gateway.learned_routes.is_empty() {
        learned.push(Learned::Unknown(format!("{} (routes learned by BGP)", gateway.id)));
    }
    for connection in &network.connections {
        if connection.gateway.as_ref().and_then(Reference::here) != Some(index) {
            continue;
        }
        let mut unknown = |missing: &str| learned.push(Learned::Unknown(missing.to_owned()));
        match &connection.remote {
            ConnectionRemote::Site(Some(Reference::Here(site))) => {
                let prefixes = &network.local_gateways[site.get()].prefixes;
                learned.extend(prefixes.iter().map(|prefix| Learned::Prefix(*prefix, None)));
            }
            ConnectionRemote::Vnet(Some(Reference::Here(other))) => match &network.gateways[other.get()].vnet
            {
                Some(Reference::Here(remote)) => {
                    let space = &network.vnets[remote.get()].address_space;
                    learned.extend(space.iter().map(|prefix| Learned::Prefix(*prefix, Some(*other))));
                }
                Some(Reference::Missing(remote)) => unknown(remote.as_str()),
                None => unknown(connection.id.as_str()),
            },
            ConnectionRemote::Site(Some(Reference::Missing(id)))
            | ConnectionRemote::Vnet(Some(Reference::Missing(id))) => unknown(id.as_str()),
            // Circuits add nothing but BGP, which is counted above.
            ConnectionRemote::ExpressRoute => {}
            ConnectionRemote::Site(None) | ConnectionRemote::Vnet(None) | ConnectionRemote::Other(_) => {
                unknown(connection.id.as_str());
            }
        }
    }
    learned
}
