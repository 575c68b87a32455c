//! The address sets that are computed for the surroundings of a subnet: `VirtualNetwork` and `Internet`, and what
//! they and the routes are made of.

use std::net::IpAddr;

use nsgsim::model::assumptions::{Assumptions, InternetList, RoutesAround};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{GatewayIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, Peering, PeeringState};
use nsgsim::model::prefix::Prefix;
use nsgsim::model::routing::{ConnectionRemote, NextHop, RouteDestination, RouteTable};
use nsgsim::model::tag::{TagCatalog, TagName};
use nsgsim::model::unknown::Unknown;

use super::world::{Asked, World, any_of};

/// The address that probes come from, and that the platform's services listen at (TAG-7).
pub(crate) const PLATFORM: [u8; 4] = [168, 63, 129, 16];

/// What is not `Internet` whatever the network looks like (TAG-10).
const NEVER_INTERNET: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "25.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];

/// Reads a prefix of the specification.
pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().expect("prefixes of the specification are well formed")
}

/// Whether any of the prefixes holds the address.
pub(crate) fn holds(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(&address))
}

/// TAG-10, the part that does not depend on a network.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !NEVER_INTERNET.iter().any(|text| prefix(text).contains(&address)),
        IpAddr::V6(_) => prefix("2000::/3").contains(&address),
    }
}

/// What came back into `Internet` by September 2017, and what had left it by 2020 (TAG-20).
const BACK_BY_2017_09: [&str; 1] = ["25.25.0.0/16"];
const GONE_BY_2020: [&str; 5] =
    ["21.0.0.0/8", "22.0.0.0/8", "20.176.0.0/13", "52.132.0.0/14", "129.75.0.0/16"];

/// A network, its tags, and the world in which they are asked.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) network: &'a Network,
    pub(crate) tags: &'a TagCatalog,
    pub(crate) assumptions: Assumptions,
    pub(crate) world: &'a World,
}

/// A prefix that a gateway leads to, and whether another virtual network is there (GW-6).
pub(crate) struct GatewayPrefix {
    pub(crate) prefix: Prefix,
    pub(crate) to_vnet: bool,
    pub(crate) gateway: GatewayIndex,
}

/// What gateways are known to lead to, and what is missing to know it all.
#[derive(Default)]
pub(crate) struct GatewaySpace {
    pub(crate) prefixes: Vec<GatewayPrefix>,
    pub(crate) missing: Vec<String>,
}

impl<'a> View<'a> {
    pub(crate) fn subnet_id(&self, subnet: SubnetIndex) -> &'a ResourceId {
        &self.network.subnets[subnet.get()].id
    }

    pub(crate) fn vnet_of(&self, subnet: SubnetIndex) -> VnetIndex {
        self.network.subnets[subnet.get()].vnet
    }

    /// Whether a tag of the file holds an address (TAG-3); a tag that no file has is a question (TAG-15).
    pub(crate) fn tag_holds(&self, tag: &TagName, address: IpAddr) -> Asked<bool> {
        match self.tags.get(tag) {
            Some(found) => Ok(holds(&found.prefixes, address)),
            None => self.world.ask(Unknown::TagHolds { tag: tag.clone(), address }),
        }
    }

    /// Asks whether a missing resource puts the address into the space around the subnet.
    pub(crate) fn missing_holds(&self, subnet: SubnetIndex, missing: &str, address: IpAddr) -> Asked<bool> {
        let subnet = self.subnet_id(subnet).clone();
        self.world.ask(Unknown::ConnectedSpaceHolds { subnet, missing: missing.to_owned(), address })
    }

    /// TAG-8: whether `VirtualNetwork`, seen from a NIC in this subnet, holds the address.
    pub(crate) fn virtual_network(&self, subnet: SubnetIndex, address: IpAddr) -> Asked<bool> {
        any_of([
            Ok(address == IpAddr::from(PLATFORM)),
            self.connected(subnet, address),
            self.user_routes_hold(subnet, address),
        ])
    }

    /// TAG-10: whether `Internet`, seen from a NIC in this subnet, holds the address.
    pub(crate) fn internet(&self, subnet: SubnetIndex, address: IpAddr) -> Asked<bool> {
        if self.is_listed(address) { Ok(!self.connected(subnet, address)?) } else { Ok(false) }
    }

    /// TAG-20: what an export observed to be `Internet`, where it speaks of the family.
    fn observed(&self, ipv4: bool) -> Option<Vec<Prefix>> {
        let observed = self.network.observed_internet.as_ref()?;
        let of_family: Vec<Prefix> =
            observed.prefixes.iter().copied().filter(|prefix| prefix.addr().is_ipv4() == ipv4).collect();
        (!of_family.is_empty()).then_some(of_family)
    }

    /// TAG-20: whether the list of `Internet` holds the address, before connected space is taken out of it.
    pub(crate) fn is_listed(&self, address: IpAddr) -> bool {
        if let Some(observed) = self.observed(address.is_ipv4()) {
            return holds(&observed, address);
        }
        let back = holds(&BACK_BY_2017_09.map(prefix), address);
        let gone = holds(&GONE_BY_2020.map(prefix), address);
        match self.assumptions.tag_20 {
            InternetList::June2017 => is_public(address),
            InternetList::September2017 => is_public(address) || back,
            InternetList::Year2020 => (is_public(address) || back) && !gone,
        }
    }

    /// TAG-20: whether no address of a range is in the list of `Internet`.
    pub(crate) fn lists_nothing_of(&self, range: Prefix) -> bool {
        let meets = |other: &Prefix| range.contains(other) || other.contains(&range);
        if let Some(observed) = self.observed(range.addr().is_ipv4()) {
            return !observed.iter().any(meets);
        }
        let within = |texts: &[&str]| texts.iter().any(|text| prefix(text).contains(&range));
        let never = match range {
            Prefix::V4(_) => within(&NEVER_INTERNET),
            Prefix::V6(_) => !meets(&prefix("2000::/3")),
        };
        let back = BACK_BY_2017_09.map(prefix).iter().any(meets);
        match self.assumptions.tag_20 {
            InternetList::June2017 => never,
            InternetList::September2017 => never && !back,
            InternetList::Year2020 => (never && !back) || within(&GONE_BY_2020),
        }
    }

    /// TAG-9: whether a route with this next hop adds its prefix to `VirtualNetwork`; `None` where nobody knows.
    fn adds_its_prefix(&self, next_hop: &NextHop) -> Option<bool> {
        let all = self.assumptions.tag_9 == RoutesAround::AsDecided;
        match next_hop {
            _ if self.assumptions.tag_9 == RoutesAround::None => Some(false),
            NextHop::VirtualAppliance(_) => Some(true),
            NextHop::VirtualNetworkGateway | NextHop::VnetLocal => Some(all),
            NextHop::Internet | NextHop::None => Some(false),
            NextHop::Other(_) => None,
        }
    }

    /// Items 1, 3, 4 and 5 of TAG-8.
    fn connected(&self, subnet: SubnetIndex, address: IpAddr) -> Asked<bool> {
        let own = self.vnet_of(subnet);
        let vnet = &self.network.vnets[own.get()];
        let peers = vnet
            .peerings
            .iter()
            .filter(|peering| {
                peering.state == PeeringState::Connected && peering.allow_virtual_network_access
            })
            .map(|peering| match self.remote_ranges(peering) {
                Some(ranges) => Ok(holds(ranges, address)),
                None if is_forbidden(address) => Ok(false),
                None => self.missing_holds(subnet, missing_id(&peering.remote), address),
            });
        let gateways = self.gateway_space(own);
        let on_premises = gateways.prefixes.iter().any(|known| known.prefix.contains(&address));
        let unknown = gateways.missing.iter().map(|missing| self.missing_holds(subnet, missing, address));
        any_of(
            [Ok(holds(&vnet.address_space, address)), Ok(on_premises)]
                .into_iter()
                .chain(peers)
                .chain(unknown),
        )
    }

    /// PEER-7: the ranges that a peering has synchronised, or else those of the remote network. `None` where
    /// neither is known.
    pub(crate) fn remote_ranges(&self, peering: &'a Peering) -> Option<&'a [Prefix]> {
        match (&peering.remote_address_space, &peering.remote) {
            (Some(ranges), _) => Some(ranges),
            (None, Reference::Here(remote)) => Some(&self.network.vnets[remote.get()].address_space),
            (None, Reference::Missing(_)) => None,
        }
    }

    /// PEER-1: both sides are connected. Of a remote network that is not in the inventory, our side tells.
    pub(crate) fn is_up(&self, own: VnetIndex, peering: &Peering) -> bool {
        peering.state == PeeringState::Connected
            && peering.remote.here().is_none_or(|remote| {
                let back = &self.network.vnets[remote.get()].peerings;
                back.iter()
                    .any(|back| back.remote.here() == Some(own) && back.state == PeeringState::Connected)
            })
    }

    /// Items 4 and 5 of TAG-8: what the network's own gateways, or one that it uses by transit, lead to.
    pub(crate) fn gateway_space(&self, vnet: VnetIndex) -> GatewaySpace {
        let mut space = GatewaySpace::default();
        for gateway in self.gateways_for(vnet) {
            self.gateway_prefixes(gateway, &mut space);
        }
        for peering in self.transit_peerings(vnet) {
            if let Reference::Missing(id) = &peering.remote {
                space.missing.push(id.as_str().to_owned());
            }
        }
        space
    }

    /// PEER-5: the gateways of the network itself, or else those of the peer whose gateway it uses.
    pub(crate) fn gateways_for(&self, vnet: VnetIndex) -> Vec<GatewayIndex> {
        let own = self.gateways_in(vnet);
        if !own.is_empty() {
            return own;
        }
        let remotes = self.transit_peerings(vnet).into_iter().filter_map(|peering| peering.remote.here());
        remotes.flat_map(|remote| self.gateways_in(remote)).collect()
    }

    /// The peerings by which a network without a gateway uses a remote one: both flags are set (PEER-5). The other
    /// side's flag is not known where the remote network is not in the inventory.
    pub(crate) fn transit_peerings(&self, vnet: VnetIndex) -> Vec<&'a Peering> {
        if !self.gateways_in(vnet).is_empty() {
            return Vec::new();
        }
        let using = self.network.vnets[vnet.get()]
            .peerings
            .iter()
            .filter(|peering| peering.use_remote_gateways && self.is_up(vnet, peering));
        using
            .filter(|peering| {
                peering.remote.here().is_none_or(|remote| {
                    let back = &self.network.vnets[remote.get()].peerings;
                    back.iter().any(|back| back.remote.here() == Some(vnet) && back.allow_gateway_transit)
                })
            })
            .collect()
    }

    fn gateways_in(&self, vnet: VnetIndex) -> Vec<GatewayIndex> {
        let stands_here = |position: &usize| {
            let gateway = &self.network.gateways[*position];
            gateway.vnet.as_ref().and_then(Reference::here) == Some(vnet)
        };
        (0..self.network.gateways.len()).filter(stands_here).map(GatewayIndex::new).collect()
    }

    /// GW-4 to GW-7: what one gateway leads to.
    fn gateway_prefixes(&self, gateway: GatewayIndex, space: &mut GatewaySpace) {
        let at = &self.network.gateways[gateway.get()];
        let mut by_bgp_only = at.bgp || at.express_route;
        let mut add = |prefixes: &[Prefix], to_vnet| {
            let known = prefixes.iter().map(|prefix| GatewayPrefix { prefix: *prefix, to_vnet, gateway });
            space.prefixes.extend(known);
        };
        add(&at.learned_routes, false);
        add(&at.client_pools, false);
        for connection in &self.network.connections {
            if connection.gateway.as_ref().and_then(Reference::here) != Some(gateway) {
                continue;
            }
            match &connection.remote {
                ConnectionRemote::Site(Some(Reference::Here(site))) => {
                    add(&self.network.local_gateways[site.get()].prefixes, false);
                }
                ConnectionRemote::Vnet(Some(Reference::Here(remote))) => {
                    let vnet = self.network.gateways[remote.get()].vnet.as_ref().and_then(Reference::here);
                    match vnet {
                        Some(vnet) => add(&self.network.vnets[vnet.get()].address_space, true),
                        None => space.missing.push(connection.id.as_str().to_owned()),
                    }
                }
                ConnectionRemote::ExpressRoute => by_bgp_only = true,
                ConnectionRemote::Site(Some(Reference::Missing(id)))
                | ConnectionRemote::Vnet(Some(Reference::Missing(id))) => {
                    space.missing.push(id.as_str().to_owned());
                }
                ConnectionRemote::Site(None) | ConnectionRemote::Vnet(None) | ConnectionRemote::Other(_) => {
                    space.missing.push(connection.id.as_str().to_owned());
                }
            }
        }
        if by_bgp_only && at.learned_routes.is_empty() {
            space.missing.push(at.id.as_str().to_owned());
        }
    }

    /// The ranges of `VirtualNetwork` as TAG-8 lists them, without the host's address, and whether these are all.
    pub(crate) fn ranges_around(&self, subnet: SubnetIndex) -> (Vec<Prefix>, bool) {
        let vnet = self.vnet_of(subnet);
        let mut ranges = self.network.vnets[vnet.get()].address_space.clone();
        let mut complete = true;
        let mut add = |more: Option<Vec<Prefix>>| match more {
            Some(more) => ranges.extend(more),
            None => complete = false,
        };
        for peering in &self.network.vnets[vnet.get()].peerings {
            if peering.state == PeeringState::Connected && peering.allow_virtual_network_access {
                add(self.remote_ranges(peering).map(Vec::from));
            }
        }
        let gateways = self.gateway_space(vnet);
        add(Some(gateways.prefixes.iter().map(|known| known.prefix).collect()));
        if !gateways.missing.is_empty() {
            add(None);
        }
        match self.route_table(subnet) {
            Some(_) if self.assumptions.tag_9 == RoutesAround::None => {}
            None => {}
            Some(Err(_)) => add(None),
            Some(Ok(table)) => {
                for route in &table.routes {
                    match (self.adds_its_prefix(&route.next_hop), &route.destination) {
                        (Some(false), _) => {}
                        (None, _) | (_, RouteDestination::Invalid(_)) => add(None),
                        (_, RouteDestination::Prefix(prefix)) => add(Some(vec![*prefix])),
                        (_, RouteDestination::Tag(tag)) => {
                            add(self.tags.get(tag).map(|tag| tag.prefixes.clone()));
                        }
                    }
                }
            }
        }
        (ranges, complete)
    }

    /// The table of the subnet, or the ID of one that the inventory lacks.
    pub(crate) fn route_table(&self, subnet: SubnetIndex) -> Option<Result<&'a RouteTable, &'a ResourceId>> {
        match self.network.subnets[subnet.get()].route_table.as_ref()? {
            Reference::Here(table) => Some(Ok(&self.network.route_tables[table.get()])),
            Reference::Missing(id) => Some(Err(id)),
        }
    }

    /// TAG-9: whether a user-defined route of the subnet's table puts the address into `VirtualNetwork`.
    fn user_routes_hold(&self, subnet: SubnetIndex, address: IpAddr) -> Asked<bool> {
        let table = match self.route_table(subnet) {
            None => return Ok(false),
            Some(_) if self.assumptions.tag_9 == RoutesAround::None => return Ok(false),
            Some(Err(missing)) => return self.missing_holds(subnet, missing.as_str(), address),
            Some(Ok(table)) => table,
        };
        any_of(table.routes.iter().map(|route| {
            match (self.adds_its_prefix(&route.next_hop), &route.next_hop) {
                (Some(false), _) => Ok(false),
                (None, NextHop::Other(kind)) => {
                    if self.destination_holds(subnet, &route.destination, address)? {
                        self.missing_holds(subnet, kind, address)
                    } else {
                        Ok(false)
                    }
                }
                (Some(true) | None, _) => self.destination_holds(subnet, &route.destination, address),
            }
        }))
    }

    /// Whether what a route applies to holds an address.
    pub(crate) fn destination_holds(
        &self,
        subnet: SubnetIndex,
        destination: &RouteDestination,
        address: IpAddr,
    ) -> Asked<bool> {
        match destination {
            RouteDestination::Prefix(prefix) => Ok(prefix.contains(&address)),
            RouteDestination::Tag(tag) => match self.tags.get(tag) {
                Some(found) => Ok(holds(&found.prefixes, address)),
                None => self.missing_holds(subnet, tag.as_str(), address),
            },
            RouteDestination::Invalid(text) => self.missing_holds(subnet, text, address),
        }
    }
}

/// The ID of what is missing.
fn missing_id<I>(reference: &Reference<I>) -> &str {
    match reference {
        Reference::Missing(id) => id.as_str(),
        Reference::Here(_) => unreachable!("asked for references that lead nowhere only"),
    }
}

/// TOP-6: whether no network can have the address.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    let ranges = ["224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32"];
    holds(&ranges.map(prefix), address)
}
