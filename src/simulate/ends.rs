//! Where the two ends of a captured packet are (design: an address is resolved within a network, never on a flat map).

use std::net::IpAddr;
use std::str::FromStr;

use crate::compile::network::CompiledNetwork;
use crate::compile::places::{Owner, PublicOwner, within};
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::model::flow::Origin;
use crate::model::index::{GatewayIndex, NicIndex, Reference, ServiceAccountIndex, SubnetIndex, VnetIndex};
use crate::model::reason_code::ReasonCode;

/// Where a packet starts, and in which network a private destination is looked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ends {
    /// Where it starts.
    pub origin: Origin,
    /// The network of a private destination, for packets from the internet that were seen after translation.
    pub vnet: Option<VnetIndex>,
    /// The interface of a private destination, where its network is not known.
    pub stray: Option<NicIndex>,
    /// The account that answers at the destination, where the question names it (SVC-1).
    pub target: Option<ServiceAccountIndex>,
    /// The packet was seen on the wire: something brought it to its destination, be it on no export.
    pub observed: bool,
}

impl From<Origin> for Ends {
    fn from(origin: Origin) -> Self {
        Self { origin, vnet: None, stray: None, target: None, observed: false }
    }
}

/// A packet that is not this network's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct OutOfScope(pub ReasonCode);

/// One way in which the addresses of a packet can be understood.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Placing {
    /// The ends.
    pub ends: Ends,
    /// The private address of a source that was seen after translation.
    pub source: Option<IpAddr>,
}

/// All ways in which the two addresses can be understood, in a fixed order.
///
/// A private address of the network is its interface, or an unlisted one of its subnet. A public address of the network
/// is the interface behind it. Other sources are on-premises where a gateway leads there, and outside otherwise.
///
/// # Errors
///
/// Fails where neither end is in the network.
pub fn placings(
    compiled: &CompiledNetwork,
    source: IpAddr,
    destination: IpAddr,
    only: Option<VnetIndex>,
) -> Result<Vec<Placing>, OutOfScope> {
    let finder = Finder { compiled, only };
    let from_inside = |origins: Vec<Origin>, source: Option<IpAddr>| {
        origins.into_iter().map(|origin| Placing { ends: origin.into(), source }).collect::<Vec<_>>()
    };
    let origins = finder.inside(source);
    if !origins.is_empty() {
        return Ok(from_inside(origins, None));
    }
    if let Some((_, PublicOwner::Nic(nic, place))) = compiled.places.public(source) {
        let private = compiled.network.nics[nic.get()].ip_configurations[place as usize].address;
        if let Some(private) = private.filter(|_| finder.nic_wanted(nic)) {
            return Ok(from_inside(vec![Origin::Nic(nic)], Some(private)));
        }
    }

    let vnets = finder.vnets_holding(destination);
    let public = compiled.places.public(destination).is_some();
    let stray = !compiled.places.stray(destination).is_empty();
    if vnets.is_empty() && !public && !stray {
        return Err(OutOfScope(ReasonCode::NoEndInNetwork));
    }
    let platform = fixed(PLATFORM).contains(&source) || IpAddr::from_str(IPV6_PROBE) == Ok(source);
    let gateways = finder.gateways_towards(source);
    if !platform && !gateways.is_empty() && !public {
        return Ok(from_inside(gateways, None));
    }
    let origin = if platform { Origin::Platform } else { Origin::Internet };
    let outside = |vnet, stray| Placing { ends: Ends { vnet, stray, ..origin.into() }, source: None };
    if public {
        return Ok(vec![outside(None, None)]);
    }
    let in_networks = vnets.into_iter().map(|vnet| outside(Some(vnet), None));
    let strays = compiled.places.stray(destination).iter().map(|nic| outside(None, Some(*nic)));
    Ok(in_networks.chain(strays).collect())
}

/// Senders inside the network that may have an address: interfaces, or else subnets that could hold it.
#[must_use]
pub fn inside(compiled: &CompiledNetwork, address: IpAddr, only: Option<VnetIndex>) -> Vec<Origin> {
    Finder { compiled, only }.inside(address)
}

/// Where IPv6 probes come from (TAG-7).
const IPV6_PROBE: &str = "fe80::1234:5678:9abc";

struct Finder<'c> {
    compiled: &'c CompiledNetwork,
    only: Option<VnetIndex>,
}

impl Finder<'_> {
    fn wanted(&self, vnet: VnetIndex) -> bool {
        self.only.is_none_or(|only| only == vnet)
    }

    fn nic_wanted(&self, nic: NicIndex) -> bool {
        let network = &self.compiled.network;
        network.subnet_of(nic).is_none_or(|subnet| self.wanted(network.subnets[subnet.get()].vnet))
    }

    /// Senders inside the network that may have the address.
    fn inside(&self, address: IpAddr) -> Vec<Origin> {
        let network = &self.compiled.network;
        let mut origins: Vec<Origin> = Vec::new();
        for (position, vnet) in network.vnets.iter().enumerate() {
            let index = VnetIndex::new(position);
            if !self.wanted(index) {
                continue;
            }
            if let Some(Owner::Nic(nic, _)) = self.compiled.places.owner(index, address) {
                origins.push(Origin::Nic(nic));
                continue;
            }
            let holds = |subnet: &&SubnetIndex| within(&network.subnets[subnet.get()].prefixes, address);
            if let Some(subnet) = vnet.subnets.iter().find(holds) {
                origins.push(Origin::Unlisted(*subnet));
            }
        }
        origins.extend(self.compiled.places.stray(address).iter().map(|nic| Origin::Nic(*nic)));
        // Where some network has an interface with the address, subnets that merely could hold it do not count.
        if origins.iter().any(|origin| matches!(origin, Origin::Nic(_))) {
            origins.retain(|origin| matches!(origin, Origin::Nic(_)));
        }
        origins
    }

    /// Networks that a private destination may be in: those in which somebody has it, else those whose space holds it.
    fn vnets_holding(&self, address: IpAddr) -> Vec<VnetIndex> {
        let owned: Vec<_> =
            self.compiled.places.vnets_of(address).into_iter().filter(|vnet| self.wanted(*vnet)).collect();
        if !owned.is_empty() {
            return owned;
        }
        let network = &self.compiled.network;
        (0..network.vnets.len())
            .map(VnetIndex::new)
            .filter(|vnet| self.wanted(*vnet) && within(&network.vnets[vnet.get()].address_space, address))
            .collect()
    }

    /// Gateways behind which the address is.
    fn gateways_towards(&self, address: IpAddr) -> Vec<Origin> {
        let network = &self.compiled.network;
        self.compiled
            .behind_gateway
            .iter()
            .enumerate()
            .filter(|(_, known)| known.contains(address))
            .filter(|(position, _)| {
                let vnet = network.gateways[*position].vnet.as_ref().and_then(Reference::here);
                vnet.is_none_or(|vnet| self.wanted(vnet))
            })
            .map(|(position, _)| Origin::OnPremises(GatewayIndex::new(position)))
            .collect()
    }
}
