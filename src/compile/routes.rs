//! The effective routes of a subnet, and which of them a packet takes (ROUTE).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::address_set::AddressSet;
use super::field::{AddressDoubt, AddressField, Doubt};
use super::peerings::{self, Learned};
use super::surroundings::{fixed, internet_base};
use crate::model::assumptions::{Assumptions, EndpointOverride, LearnedDefault, LongerUserRoute};
use crate::model::id::ResourceId;
use crate::model::index::{GatewayIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::network::{Network, ServiceEndpoint};
use crate::model::prefix::{Prefix, host};
use crate::model::routing::{NextHop, RouteDestination};
use crate::model::tag::{TagCatalog, TagName};
use crate::model::verdict::{NextHopKind, RouteSource};

/// Ranges that lead nowhere unless the network has them (ROUTE-3).
const RESERVED: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/// One effective route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EffectiveRoute {
    /// What it applies to.
    pub prefix: Prefix,
    /// Where it comes from.
    pub source: RouteSource,
    /// Where it leads.
    pub hop: Hop,
    /// Position in the subnet's route table, for a user-defined route.
    pub user: Option<u32>,
    /// Which of several user-defined routes of one prefix goes first (ROUTE-9).
    rank: u8,
    bgp_override: bool,
}

impl EffectiveRoute {
    /// A system route for the network or a peer, which gateway routes never beat (ROUTE-7).
    #[must_use]
    pub fn is_preferred(&self) -> bool {
        self.source == RouteSource::System && matches!(self.hop, Hop::VnetLocal | Hop::Peering(_))
    }
}

/// Where a route leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hop {
    /// The network itself.
    VnetLocal,
    /// A peered network.
    Peering(Reference<VnetIndex>),
    /// A gateway: the far one, where it leads to another network of the inventory (GW-6).
    Gateway(Option<GatewayIndex>),
    /// A machine.
    Appliance(Option<IpAddr>),
    /// The internet.
    Internet,
    /// Nowhere.
    None,
    /// A type that no clause names.
    Other,
}

impl Hop {
    /// The kind of next hop, as answers name it.
    #[must_use]
    pub fn kind(&self) -> NextHopKind {
        match self {
            Self::VnetLocal => NextHopKind::VnetLocal,
            Self::Peering(_) => NextHopKind::VnetPeering,
            Self::Gateway(_) => NextHopKind::VirtualNetworkGateway,
            Self::Appliance(_) => NextHopKind::VirtualAppliance,
            Self::Internet => NextHopKind::Internet,
            Self::None | Self::Other => NextHopKind::None,
        }
    }
}

/// The routes of one subnet.
#[derive(Debug)]
pub struct SubnetRoutes {
    /// Routes of all sources; those that lose to another of the same prefix are left out (ROUTE-6).
    pub routes: Vec<EffectiveRoute>,
    /// Those that are left out: `Invalid` in Azure's words (ROUTE-6).
    pub overridden: Vec<EffectiveRoute>,
    /// The subnet's table is not in the inventory, or has a route that nobody can place: its name.
    pub unknown_table: Option<ResourceId>,
    /// Something missing may add gateway routes: its name.
    pub unknown_gateway: Option<Doubt>,
    /// A peered network whose ranges nobody knows may have any address: its ID.
    pub unknown_peering: Option<ResourceId>,
    /// Ranges that service endpoints take (ROUTE-8).
    pub service_endpoints: AddressField,
    /// The prefixes of those ranges as their tags list them, and whether they are those of storage.
    service_prefixes: Vec<(Prefix, bool)>,
    /// What beats such a prefix (ROUTE-8).
    longer_user_route: LongerUserRoute,
    /// The addresses of private endpoints in reach that have a route of their own (PE-6), as far as the subnet's table
    /// does not take it away (PE-7).
    private_endpoints: Vec<IpAddr>,
}

impl SubnetRoutes {
    /// The effective routes of a subnet.
    #[must_use]
    pub fn new(network: &Network, tags: &TagCatalog, assumptions: Assumptions, index: SubnetIndex) -> Self {
        let subnet = &network.subnets[index.get()];
        let (user, unknown_table) = user_routes(network, tags, index);
        let user_default = user.iter().any(|route| route.prefix == fixed("0.0.0.0/0"));

        let propagates = match subnet.route_table.as_ref() {
            Some(Reference::Here(table)) => !network.route_tables[table.get()].disable_gateway_propagation,
            Some(Reference::Missing(_)) | None => true,
        };
        let mut gateway = Vec::new();
        let mut unknown_gateway = None;
        if propagates {
            for learned in peerings::gateway_prefixes(network, subnet.vnet) {
                match learned {
                    Learned::Prefix(prefix, far) => {
                        gateway.push(route(prefix, RouteSource::Gateway, Hop::Gateway(far)));
                    }
                    Learned::Unknown(missing) => {
                        unknown_gateway
                            .get_or_insert(Doubt::Connected { subnet: subnet.id.clone(), missing });
                    }
                }
            }
        }
        let gateway_default = assumptions.route_4 == LearnedDefault::Removes
            && gateway.iter().any(|route| route.prefix == fixed("0.0.0.0/0"));
        let (system, unknown_peering) = system_routes(network, subnet.vnet, user_default || gateway_default);
        let (preferred, system): (Vec<_>, Vec<_>) =
            system.into_iter().partition(EffectiveRoute::is_preferred);

        let mut routes = user;
        let mut overridden = Vec::new();
        // Gateways never beat the network and its peers, whatever the length (ROUTE-7, PEER-9).
        for route in preferred.into_iter().chain(gateway).chain(system) {
            // The same prefix from a stronger source: the weaker route is not used at all (ROUTE-6).
            let loses = routes
                .iter()
                .any(|stronger| stronger.prefix == route.prefix && stronger.source != route.source);
            if loses { &mut overridden } else { &mut routes }.push(route);
        }
        let (service_endpoints, service_prefixes) = endpoint_ranges(tags, &subnet.service_endpoints);
        let private_endpoints = private_endpoints(network, assumptions, subnet.vnet, &routes);
        Self {
            routes,
            overridden,
            unknown_table,
            unknown_gateway,
            unknown_peering,
            service_endpoints,
            service_prefixes,
            longer_user_route: assumptions.route_8,
            private_endpoints,
        }
    }

    /// Whether a packet takes the route of a private endpoint (PE-6).
    #[must_use]
    pub fn leads_to_endpoint(&self, destination: IpAddr) -> bool {
        self.private_endpoints.contains(&destination)
    }

    /// The addresses that have a private endpoint's route (PE-6).
    #[must_use]
    pub fn endpoint_addresses(&self) -> &[IpAddr] {
        &self.private_endpoints
    }

    /// The prefixes of the service endpoints' routes, each as often as tags list it (SE-2).
    pub fn service_prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.service_prefixes.iter().map(|(prefix, _)| *prefix)
    }

    /// Where a longer route of a user beats that of a service endpoint: its prefixes, those of one length together
    /// (ROUTE-8). Elsewhere none beats another.
    pub(super) fn prefixes_that_a_user_route_may_beat(&self) -> Vec<AddressSet> {
        if self.longer_user_route == LongerUserRoute::EndpointWins {
            return Vec::new();
        }
        let mut by_length: BTreeMap<u8, Vec<Prefix>> = BTreeMap::new();
        for prefix in self.service_prefixes() {
            by_length.entry(prefix.prefix_len()).or_default().push(prefix);
        }
        by_length.into_values().map(AddressSet::from_prefixes).collect()
    }

    /// Whether another user-defined route of the same prefix goes before this one (ROUTE-9).
    #[must_use]
    pub fn is_outranked(&self, route: &EffectiveRoute) -> bool {
        route.source == RouteSource::User
            && self.routes.iter().any(|other| {
                other.source == RouteSource::User && other.prefix == route.prefix && other.rank < route.rank
            })
    }

    /// The prefix of the service endpoint's route that a packet takes, the longest that holds its destination, and whether
    /// it is storage's (ROUTE-8).
    #[must_use]
    pub fn service_prefix(&self, destination: IpAddr) -> Option<(Prefix, bool)> {
        let holding = self.service_prefixes.iter().filter(|(prefix, _)| prefix.contains(&destination));
        let longest = holding.max_by_key(|(prefix, storage)| (prefix.prefix_len(), *storage)).copied();
        longest.filter(|(prefix, _)| {
            let beats = |route: &EffectiveRoute| {
                route.source == RouteSource::User
                    && route.prefix.contains(&destination)
                    && route.prefix.prefix_len() > prefix.prefix_len()
            };
            self.longer_user_route == LongerUserRoute::EndpointWins || !self.routes.iter().any(beats)
        })
    }

    /// Whether a longer route that a gateway may have learned would change where a packet to `destination` goes (ROUTE-5
    /// to ROUTE-7, ROUTE-18).
    #[must_use]
    pub fn gateway_could_win(&self, destination: IpAddr) -> bool {
        let settled = self.choose(destination).is_some_and(|chosen| {
            // Both lead to the gateway, or nothing is longer and of equals the user's is taken (ROUTE-6).
            let is_last = chosen.source == RouteSource::User && chosen.prefix == host(destination);
            chosen.source == RouteSource::Gateway || is_last
        });
        self.heeds_gateways(destination) && !settled
    }

    /// Whether routes of gateways count for a destination (ROUTE-7, ROUTE-18).
    #[must_use]
    pub fn heeds_gateways(&self, destination: IpAddr) -> bool {
        let mut holding = self.routes.iter().filter(|route| route.prefix.contains(&destination));
        !holding.any(|route| route.is_preferred() || route.bgp_override)
    }

    /// The route that a packet to `destination` takes (ROUTE-5 to ROUTE-7); nothing where no route holds it.
    #[must_use]
    pub fn choose(&self, destination: IpAddr) -> Option<&EffectiveRoute> {
        let holding = || self.routes.iter().filter(move |route| route.prefix.contains(&destination));
        let preferred = holding().any(EffectiveRoute::is_preferred);
        let overridden = holding().any(|route| route.bgp_override);
        // Of equals the last one is taken: turned round, that is the first of the table.
        holding()
            .rev()
            .filter(|route| route.source != RouteSource::Gateway || !(preferred || overridden))
            .max_by_key(|route| (route.prefix.prefix_len(), std::cmp::Reverse(route.rank)))
    }
}

/// The addresses of private endpoints in a network and in those peered with it (PE-6), less those whose route the user's
/// table takes away (PE-7).
fn private_endpoints(
    network: &Network,
    assumptions: Assumptions,
    vnet: VnetIndex,
    routes: &[EffectiveRoute],
) -> Vec<IpAddr> {
    let near: Vec<VnetIndex> = std::iter::once(vnet)
        .chain(peerings::connected(network, vnet).filter_map(|peering| peering.remote))
        .collect();
    let mut addresses = Vec::new();
    for endpoint in &network.private_endpoints {
        let Some(Reference::Here(subnet)) = &endpoint.subnet else { continue };
        let at = &network.subnets[subnet.get()];
        if !near.contains(&at.vnet) {
            continue;
        }
        let follows_tables = at.private_endpoint_policies.follow_routes();
        let space = &network.vnets[at.vnet.get()].address_space;
        addresses.extend(endpoint.addresses.iter().copied().filter(|address| {
            let range = space.iter().filter(|range| range.contains(address)).map(Prefix::prefix_len).max();
            !routes.iter().any(|route| {
                let length = route.prefix.prefix_len();
                let long_enough = range.is_some_and(|range| match assumptions.pe_7 {
                    EndpointOverride::AtLeastAsLong => length >= range,
                    EndpointOverride::AtMostAsLong => length <= range,
                });
                route.source == RouteSource::User
                    && route.prefix.contains(address)
                    && (route.prefix == host(*address) || (follows_tables && long_enough))
            })
        }));
    }
    addresses
}

fn route(prefix: Prefix, source: RouteSource, hop: Hop) -> EffectiveRoute {
    EffectiveRoute { prefix, source, hop, user: None, rank: 0, bgp_override: false }
}

fn user_routes(
    network: &Network,
    tags: &TagCatalog,
    index: SubnetIndex,
) -> (Vec<EffectiveRoute>, Option<ResourceId>) {
    let subnet = &network.subnets[index.get()];
    let table = match &subnet.route_table {
        None => return (Vec::new(), None),
        Some(Reference::Missing(table)) => return (Vec::new(), Some(table.clone())),
        Some(Reference::Here(table)) => &network.route_tables[table.get()],
    };
    let space = &network.vnets[subnet.vnet.get()].address_space;
    let mut unknown = None;
    let mut routes = Vec::new();
    for (position, written) in table.routes.iter().enumerate() {
        let (prefixes, rank) = match &written.destination {
            RouteDestination::Prefix(prefix) => (vec![*prefix], 0),
            RouteDestination::Tag(tag) => match tags.get(tag) {
                Some(entry) => (entry.prefixes.clone(), tag_rank(tag)),
                None => {
                    unknown.get_or_insert_with(|| table.id.child("routes", &written.name));
                    continue;
                }
            },
            RouteDestination::Invalid(_) => {
                unknown.get_or_insert_with(|| table.id.child("routes", &written.name));
                continue;
            }
        };
        for prefix in prefixes {
            let hop = match &written.next_hop {
                NextHop::VirtualAppliance(address) => Hop::Appliance(*address),
                NextHop::VirtualNetworkGateway => Hop::Gateway(None),
                // Outside the network's own space it is programmed as None (ROUTE-21).
                NextHop::VnetLocal if space.iter().any(|range| range.contains(&prefix)) => Hop::VnetLocal,
                NextHop::VnetLocal | NextHop::None => Hop::None,
                NextHop::Internet => Hop::Internet,
                NextHop::Other(_) => Hop::Other,
            };
            routes.push(EffectiveRoute {
                user: Some(u32::try_from(position).expect("a table holds fewer than 2^32 routes")),
                rank,
                bgp_override: written.bgp_override,
                ..route(prefix, RouteSource::User, hop)
            });
        }
    }
    (routes, unknown)
}

/// An explicit prefix goes first, then a regional tag, a top-level tag, a regional AzureCloud, AzureCloud (ROUTE-9).
fn tag_rank(tag: &TagName) -> u8 {
    // The dot of `AzureFrontDoor.FirstParty` is part of the name, not a region (TAG-13).
    let regional = tag.folded().contains('.') && !tag.folded().starts_with("azurefrontdoor.");
    match (tag.folded().starts_with("azurecloud"), regional) {
        (false, true) => 1,
        (false, false) => 2,
        (true, true) => 3,
        (true, false) => 4,
    }
}

/// Azure's own routes, and a peered network whose ranges nobody knows.
fn system_routes(
    network: &Network,
    vnet: VnetIndex,
    default_replaced: bool,
) -> (Vec<EffectiveRoute>, Option<ResourceId>) {
    let space = &network.vnets[vnet.get()].address_space;
    let system = |prefix, hop| route(prefix, RouteSource::System, hop);
    let mut routes: Vec<_> = space.iter().map(|range| system(*range, Hop::VnetLocal)).collect();
    let mut unknown = None;
    for peering in peerings::connected(network, vnet) {
        match peering.prefixes(network) {
            Ok(prefixes) => {
                let hop = Hop::Peering(peering.side.remote.clone());
                routes.extend(prefixes.iter().map(|prefix| system(*prefix, hop.clone())));
            }
            Err(remote) => {
                unknown.get_or_insert_with(|| remote.clone());
            }
        }
    }
    routes.push(system(fixed("0.0.0.0/0"), Hop::Internet));
    if space.iter().any(|range| matches!(range, Prefix::V6(_))) {
        routes.push(system(fixed("::/0"), Hop::Internet));
    }
    if !default_replaced {
        for reserved in RESERVED.map(fixed) {
            if !space.iter().any(|range| range.contains(&reserved)) {
                routes.push(system(reserved, Hop::None));
            }
        }
    }
    (routes, unknown)
}

/// The tag whose ranges a service endpoint takes (SE-2).
fn endpoint_tag(service: &str) -> Option<&'static str> {
    const PAIRS: [(&str, &str); 11] = [
        ("Microsoft.Storage", "Storage"),
        ("Microsoft.Storage.Global", "Storage"),
        ("Microsoft.Sql", "Sql"),
        ("Microsoft.KeyVault", "AzureKeyVault"),
        ("Microsoft.AzureCosmosDB", "AzureCosmosDB"),
        ("Microsoft.ServiceBus", "ServiceBus"),
        ("Microsoft.EventHub", "EventHub"),
        ("Microsoft.Web", "AppService"),
        ("Microsoft.ContainerRegistry", "AzureContainerRegistry"),
        ("Microsoft.CognitiveServices", "CognitiveServicesManagement"),
        ("Microsoft.AzureActiveDirectory", "AzureActiveDirectory"),
    ];
    PAIRS.iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, tag)| *tag)
}

fn endpoint_ranges(tags: &TagCatalog, endpoints: &[ServiceEndpoint]) -> (AddressField, Vec<(Prefix, bool)>) {
    let mut prefixes = Vec::new();
    let mut known = AddressSet::empty();
    let mut doubts = Vec::new();
    // The ranges of services are public.
    let public = Arc::new(internet_base());
    for endpoint in endpoints {
        let name = endpoint_tag(&endpoint.service).unwrap_or(&endpoint.service);
        let everywhere = endpoint.locations.is_empty()
            || endpoint.locations.iter().any(|location| location == "*")
            || endpoint.service.eq_ignore_ascii_case("Microsoft.Storage.Global");
        let names: Vec<TagName> = if everywhere {
            vec![TagName::new(name)]
        } else {
            endpoint.locations.iter().map(|location| TagName::new(&format!("{name}.{location}"))).collect()
        };
        for tag in names {
            // A tag that has no regions stands for the service in all of them.
            let regional = format!("{}.", name.to_ascii_lowercase());
            let whole = || {
                tags.get(&TagName::new(name))
                    .filter(|_| !tags.iter().any(|tag| tag.name.folded().starts_with(&regional)))
            };
            match tags.get(&tag).or_else(whole) {
                Some(entry) => {
                    known = known.union(&AddressSet::from_prefixes(entry.prefixes.iter().copied()));
                    prefixes.extend(entry.prefixes.iter().map(|prefix| (*prefix, name == "Storage")));
                }
                None => doubts.push(AddressDoubt {
                    scope: Arc::clone(&public),
                    about: Doubt::Tag(tag),
                    negated: false,
                }),
            }
        }
    }
    (AddressField { known: Arc::new(known), doubts }, prefixes)
}
