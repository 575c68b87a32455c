//! Which route a packet takes from a subnet (ROUTE).

use std::cmp::Reverse;
use std::net::IpAddr;

use nsgsim::model::assumptions::{LearnedDefault, LongerUserRoute};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{GatewayIndex, PrivateEndpointIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::ServiceEndpoint;
use nsgsim::model::prefix::{Prefix, host};
use nsgsim::model::routing::{NextHop, Route, RouteDestination};
use nsgsim::model::tag::TagName;
use nsgsim::model::verdict::{NextHopKind, RouteSource};

use super::space::{View, holds, is_forbidden, is_public, prefix};
use super::world::Asked;

/// Reserved ranges (ROUTE-3).
const RESERVED: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/// A route that holds the destination.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) prefix: Prefix,
    pub(crate) source: RouteSource,
    /// Among routes of one prefix the lowest goes first (ROUTE-6, ROUTE-9).
    rank: u8,
    pub(crate) hop: Hop,
    /// Position and name of a user-defined route.
    pub(crate) user: Option<(u32, String)>,
    bgp_override: bool,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub(crate) enum Hop {
    Local(VnetIndex),
    Peer(Reference<VnetIndex>),
    /// A gateway route; `Some` where another virtual network of the inventory is behind it.
    Gateway {
        to_vnet: Option<GatewayIndex>,
    },
    /// A user-defined route to the network's gateway.
    UserGateway,
    Appliance(Option<IpAddr>),
    Internet,
    None,
    /// A private endpoint (PE-6).
    Endpoint(PrivateEndpointIndex),
    /// A service, by its name, through the subnet's endpoint (ROUTE-8).
    Service(String),
    /// A route of a kind that no clause names, or of a table that the inventory lacks.
    Unknown(ResourceId),
}

impl Candidate {
    fn system(prefix: Prefix, hop: Hop) -> Self {
        // ROUTE-6 orders the sources; between two system routes of one prefix what leads somewhere goes first.
        let rank = match hop {
            Hop::Endpoint(_) => 6,
            Hop::Local(_) => 7,
            Hop::Peer(_) => 8,
            Hop::Internet => 9,
            _ => 10,
        };
        Self { prefix, source: RouteSource::System, rank, hop, user: None, bgp_override: false }
    }

    fn gateway(prefix: Prefix, to_vnet: Option<GatewayIndex>) -> Self {
        let hop = Hop::Gateway { to_vnet };
        Self { prefix, source: RouteSource::Gateway, rank: 5, hop, user: None, bgp_override: false }
    }

    /// ROUTE-7: a system route for the network or a peering.
    fn is_preferred(&self) -> bool {
        self.source == RouteSource::System && matches!(self.hop, Hop::Local(_) | Hop::Peer(_))
    }

    pub(crate) fn kind(&self) -> NextHopKind {
        match &self.hop {
            Hop::Local(_) => NextHopKind::VnetLocal,
            Hop::Peer(_) => NextHopKind::VnetPeering,
            Hop::Gateway { .. } | Hop::UserGateway => NextHopKind::VirtualNetworkGateway,
            Hop::Appliance(_) => NextHopKind::VirtualAppliance,
            Hop::Internet => NextHopKind::Internet,
            Hop::Endpoint(_) => NextHopKind::InterfaceEndpoint,
            Hop::Service(_) => NextHopKind::VirtualNetworkServiceEndpoint,
            Hop::None | Hop::Unknown(_) => NextHopKind::None,
        }
    }
}

impl View<'_> {
    /// ROUTE-5 to ROUTE-8: the route that a packet from this subnet takes. `None` where no route holds the
    /// destination.
    pub(crate) fn route(&self, subnet: SubnetIndex, to: IpAddr) -> Asked<Option<Candidate>> {
        if self.endpoint_near(self.vnet_of(subnet), to).is_none()
            && let Some(route) = self.service_endpoint_route(subnet, to)?
        {
            // ROUTE-8.
            let beats = |user: &Candidate| user.prefix.prefix_len() > route.prefix.prefix_len();
            if self.assumptions.route_8 == LongerUserRoute::EndpointWins
                || !self.user_routes(subnet, to)?.iter().any(beats)
            {
                return Ok(Some(route));
            }
        }
        self.route_without_service_endpoints(subnet, to)
    }

    /// The same for a packet that takes no service endpoint (SE-1).
    pub(crate) fn route_without_service_endpoints(
        &self,
        subnet: SubnetIndex,
        to: IpAddr,
    ) -> Asked<Option<Candidate>> {
        let vnet = self.vnet_of(subnet);
        let endpoint = self.endpoint_near(vnet, to);
        let user = self.user_routes(subnet, to)?;
        // PE-6, PE-7.
        let endpoint = endpoint.filter(|endpoint| {
            let yields =
                |route: &Candidate| self.endpoint_route_yields(*endpoint, to, route.prefix.prefix_len());
            !user.iter().any(yields)
        });
        let mut system = self.system_routes(subnet, to)?;
        // ROUTE-6: the loser of a tie is not used at all, so it does not keep gateway routes away either.
        let beaten = |route: &Candidate| user.iter().any(|other| other.prefix == route.prefix);
        let preferred = system.iter().any(|route| route.is_preferred() && !beaten(route));
        let overridden = user.iter().any(|route| route.bgp_override);
        let mut candidates = user;
        candidates.append(&mut system);
        candidates.extend(endpoint.map(|endpoint| Candidate::system(host(to), Hop::Endpoint(endpoint))));
        if !preferred && !overridden && self.propagates(subnet) {
            let space = self.gateway_space(vnet);
            for known in space.prefixes.iter().filter(|known| known.prefix.contains(&to)) {
                candidates.push(Candidate::gateway(known.prefix, known.to_vnet.then_some(known.gateway)));
            }
            // Nothing is longer than the user's route for one address alone, and of equals it is taken.
            let settled = candidates.iter().any(|user| user.user.is_some() && user.prefix == host(to));
            for missing in space.missing.iter().filter(|_| !settled) {
                if self.missing_holds(subnet, missing, to)? {
                    candidates.push(Candidate::gateway(host(to), None));
                }
            }
        }
        Ok(candidates.into_iter().min_by_key(|route| (Reverse(route.prefix.prefix_len()), route.rank)))
    }

    /// ROUTE-17: gateway routes reach the subnet.
    fn propagates(&self, subnet: SubnetIndex) -> bool {
        !matches!(self.route_table(subnet), Some(Ok(table)) if table.disable_gateway_propagation)
    }

    /// ROUTE-2 to ROUTE-4.
    fn system_routes(&self, subnet: SubnetIndex, to: IpAddr) -> Asked<Vec<Candidate>> {
        let own = self.vnet_of(subnet);
        let vnet = &self.network.vnets[own.get()];
        let mut routes = Vec::new();
        for range in &vnet.address_space {
            routes.push(Candidate::system(*range, Hop::Local(own)));
        }
        for peering in vnet.peerings.iter().filter(|peering| self.is_up(own, peering)) {
            let hop = Hop::Peer(peering.remote.clone());
            match (self.remote_ranges(peering), &peering.remote) {
                (Some(ranges), _) => {
                    routes.extend(ranges.iter().map(|range| Candidate::system(*range, hop.clone())));
                }
                (None, Reference::Missing(id)) => {
                    // PEER-6: it cannot have what the network has.
                    if !holds(&vnet.address_space, to)
                        && !is_forbidden(to)
                        && self.missing_holds(subnet, id.as_str(), to)?
                    {
                        routes.push(Candidate::system(host(to), hop));
                    }
                }
                (None, Reference::Here(_)) => unreachable!("a network of the inventory has its ranges"),
            }
        }
        routes.push(Candidate::system(prefix("0.0.0.0/0"), Hop::Internet));
        if vnet.address_space.iter().any(|range| range.addr().is_ipv6()) {
            routes.push(Candidate::system(prefix("::/0"), Hop::Internet));
        }
        if !self.has_default_route(subnet) {
            for reserved in RESERVED.map(prefix) {
                if !vnet.address_space.iter().any(|range| range.contains(&reserved)) {
                    routes.push(Candidate::system(reserved, Hop::None));
                }
            }
        }
        routes.retain(|route| route.prefix.contains(&to));
        Ok(routes)
    }

    /// ROUTE-4: the subnet has a default route of the user's, or one learned by BGP.
    fn has_default_route(&self, subnet: SubnetIndex) -> bool {
        let all = prefix("0.0.0.0/0");
        let by_user = matches!(self.route_table(subnet), Some(Ok(table)) if table
            .routes
            .iter()
            .any(|route| route.destination == RouteDestination::Prefix(all)));
        let learned = self.assumptions.route_4 == LearnedDefault::Removes
            && self.propagates(subnet)
            && self.gateway_space(self.vnet_of(subnet)).prefixes.iter().any(|known| known.prefix == all);
        by_user || learned
    }

    /// The user-defined routes that hold the destination; of a tag the longest of its ranges (ROUTE-9).
    fn user_routes(&self, subnet: SubnetIndex, to: IpAddr) -> Asked<Vec<Candidate>> {
        let table = match self.route_table(subnet) {
            None => return Ok(Vec::new()),
            Some(Err(missing)) => {
                let mut routes = Vec::new();
                if self.missing_holds(subnet, missing.as_str(), to)? {
                    routes.push(Candidate {
                        prefix: host(to),
                        source: RouteSource::User,
                        rank: 0,
                        hop: Hop::Unknown(missing.clone()),
                        user: None,
                        bgp_override: true,
                    });
                }
                return Ok(routes);
            }
            Some(Ok(table)) => table,
        };
        let mut routes = Vec::new();
        for (position, route) in table.routes.iter().enumerate() {
            if !self.destination_holds(subnet, &route.destination, to)? {
                continue;
            }
            let (prefix, rank) = self.length_and_rank(route, to);
            let position = u32::try_from(position).expect("a table has fewer than 2^32 routes");
            routes.push(Candidate {
                prefix,
                source: RouteSource::User,
                rank,
                hop: self.user_hop(subnet, route, prefix, &table.id),
                user: Some((position, route.name.clone())),
                bgp_override: route.bgp_override,
            });
        }
        Ok(routes)
    }

    /// The prefix by which a user-defined route holds the destination, and its place among equal ones (ROUTE-9). Of
    /// what is not defined only this destination is known.
    fn length_and_rank(&self, route: &Route, to: IpAddr) -> (Prefix, u8) {
        match &route.destination {
            RouteDestination::Prefix(prefix) => (*prefix, 0),
            RouteDestination::Invalid(_) => (host(to), 0),
            RouteDestination::Tag(name) => {
                let cloud = name.folded() == "azurecloud" || name.folded().starts_with("azurecloud.");
                let Some(tag) = self.tags.get(name) else { return (host(to), 2) };
                let holding = tag.prefixes.iter().filter(|prefix| prefix.contains(&to));
                let longest = holding.max_by_key(|prefix| prefix.prefix_len());
                let rank = match (cloud, tag.region.is_empty()) {
                    (false, false) => 1,
                    (false, true) => 2,
                    (true, false) => 3,
                    (true, true) => 4,
                };
                (*longest.expect("the tag holds the destination"), rank)
            }
        }
    }

    /// ROUTE-10, ROUTE-21.
    fn user_hop(&self, subnet: SubnetIndex, route: &Route, prefix: Prefix, table: &ResourceId) -> Hop {
        let vnet = self.vnet_of(subnet);
        match &route.next_hop {
            NextHop::VirtualAppliance(address) => Hop::Appliance(*address),
            NextHop::VirtualNetworkGateway => Hop::UserGateway,
            NextHop::VnetLocal => {
                let space = &self.network.vnets[vnet.get()].address_space;
                if space.iter().any(|range| range.contains(&prefix)) { Hop::Local(vnet) } else { Hop::None }
            }
            NextHop::Internet => Hop::Internet,
            NextHop::None => Hop::None,
            NextHop::Other(_) => Hop::Unknown(table.clone()),
        }
    }

    /// SE-2, ROUTE-8: the route by a service endpoint of the subnet, by the longest range that holds the destination.
    fn service_endpoint_route(&self, subnet: SubnetIndex, to: IpAddr) -> Asked<Option<Candidate>> {
        let endpoints = &self.network.subnets[subnet.get()].service_endpoints;
        let mut found: Vec<(Prefix, &ServiceEndpoint)> = Vec::new();
        for endpoint in endpoints {
            let names = service_tag(&endpoint.service).map(|tag| tag_names(tag, endpoint));
            let known = names.iter().flatten().filter_map(|name| self.tags.get(name));
            let ranges = known.flat_map(|tag| &tag.prefixes).filter(|range| range.contains(&to));
            found.extend(ranges.map(|range| (*range, endpoint)));
        }
        let route = |prefix, endpoint: &ServiceEndpoint| {
            Some(Candidate::system(prefix, Hop::Service(endpoint.service.clone())))
        };
        if let Some((prefix, endpoint)) =
            found.into_iter().min_by_key(|(range, _)| Reverse(range.prefix_len()))
        {
            return Ok(route(prefix, endpoint));
        }
        for endpoint in endpoints.iter().filter(|_| is_public(to)) {
            let Some(tag) = service_tag(&endpoint.service) else {
                // LIMIT: which addresses a service has that SE-2 does not name is not known, but they are public.
                if self.missing_holds(subnet, &endpoint.service, to)? {
                    return Ok(route(host(to), endpoint));
                }
                continue;
            };
            for name in tag_names(tag, endpoint) {
                if self.tag_holds(&name, to)? {
                    return Ok(route(host(to), endpoint));
                }
            }
        }
        Ok(None)
    }
}

/// The tags whose ranges a service endpoint leads to: one a location, or the whole tag.
fn tag_names(tag: &str, endpoint: &ServiceEndpoint) -> Vec<TagName> {
    let everywhere = endpoint.locations.is_empty()
        || endpoint.locations.iter().any(|location| location == "*")
        || endpoint.service.eq_ignore_ascii_case("Microsoft.Storage.Global");
    if everywhere {
        return vec![TagName::new(tag)];
    }
    let regional = |location: &String| TagName::new(&format!("{tag}.{}", location.replace(' ', "")));
    endpoint.locations.iter().map(regional).collect()
}

/// The tag of a service (SE-2).
fn service_tag(service: &str) -> Option<&'static str> {
    const TAGS: [(&str, &str); 11] = [
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
    TAGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, tag)| *tag)
}
