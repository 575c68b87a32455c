//! The effective routes of one interface, listed as Azure lists them (NW-5), and what nobody knows about them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::compile::field::Doubt;
use crate::compile::network::CompiledNetwork;
use crate::compile::peerings;
use crate::compile::routes::{EffectiveRoute, Hop};
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, Reference, SubnetIndex};
use crate::model::prefix::{Prefix, host};
use crate::model::reason_code::ReasonCode;
use crate::model::routing::{NextHop, Route, RouteDestination};
use crate::model::tag::TagName;
use crate::model::verdict::{NextHopKind, RouteSource};

/// One route of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedRoute {
    /// What it applies to.
    pub prefix: Prefix,
    /// Where it comes from.
    pub source: RouteSource,
    /// Whether it is used at all.
    pub state: RouteState,
    /// Where it leads; nothing for a type of next hop that no clause names.
    pub next_hop: Option<NextHopKind>,
    /// The appliance's address.
    pub next_hop_address: Option<IpAddr>,
    /// The user's route.
    pub name: Option<String>,
    /// The tag that the user's route was written with (ROUTE-9).
    pub tag: Option<TagName>,
}

/// Whether a route is used at all (ROUTE-6).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// It is: packets that no longer prefix holds take it.
    Active,
    /// A stronger one has the same prefix.
    Invalid,
}

/// Something that nobody knows about the routes: there may be more, or one leads elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenRoutes {
    /// Why.
    pub code: ReasonCode,
    /// What is missing: the ID of a resource, the name of a tag, or the word that was written.
    pub name: String,
    /// Which routes hang on it.
    pub about: OpenPart,
}

/// Which routes hang on something missing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenPart {
    /// All of them: the interface's subnet or network is not known.
    All,
    /// Those of the user's table, and those of others that they would override.
    UserRoutes,
    /// Where one of the user's routes leads.
    NextHop,
    /// Those that come from a gateway.
    GatewayRoutes,
    /// Those to a peered network.
    PeeringRoutes,
    /// Those of service endpoints.
    ServiceEndpointRoutes,
    /// Those of private endpoints.
    PrivateEndpointRoutes,
}

/// The routes of an interface.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RouteList {
    /// Sorted by prefix, IPv4 first; of one prefix the one that is used comes first.
    pub routes: Vec<ListedRoute>,
    /// What nobody knows.
    pub open: Vec<OpenRoutes>,
}

impl RouteList {
    /// Whether something about this part is open.
    #[must_use]
    pub fn is_open(&self, part: OpenPart) -> bool {
        self.open.iter().any(|open| open.about == part)
    }
}

/// The effective routes of an interface (ROUTE-1 to ROUTE-10, PE-6, PE-7, SE-2).
#[must_use]
pub fn of_nic(compiled: &CompiledNetwork, nic: NicIndex) -> RouteList {
    let resource = &compiled.network.nics[nic.get()];
    let missing = |id: &ResourceId| RouteList {
        open: vec![open(ReasonCode::MissingResource, id.to_string(), OpenPart::All)],
        ..RouteList::default()
    };
    match &resource.subnet {
        Some(Reference::Here(subnet)) => of_subnet(compiled, *subnet),
        Some(Reference::Missing(subnet)) => missing(subnet),
        None => missing(&resource.id),
    }
}

fn of_subnet(compiled: &CompiledNetwork, subnet: SubnetIndex) -> RouteList {
    let network = &compiled.network;
    let table = &compiled.routes[subnet.get()];
    let written = network.subnets[subnet.get()].route_table.as_ref().and_then(Reference::here);
    let written = written.map_or(&[][..], |table| &network.route_tables[table.get()].routes);
    let mut list = RouteList::default();

    // What service endpoints take, nothing overrides (ROUTE-8). A tag may list a prefix twice.
    let service: BTreeSet<Prefix> = table.service_prefixes().collect();
    let endpoints: BTreeSet<IpAddr> = table.endpoint_addresses().iter().copied().collect();
    for (route, loses) in table
        .routes
        .iter()
        .map(|route| (route, table.is_outranked(route)))
        .chain(table.overridden.iter().map(|route| (route, true)))
    {
        let loses = loses || service.contains(&route.prefix);
        list.routes.push(listed(
            written,
            route,
            if loses { RouteState::Invalid } else { RouteState::Active },
        ));
    }
    let own = |prefix, state, next_hop| ListedRoute {
        prefix,
        source: RouteSource::System,
        state,
        next_hop: Some(next_hop),
        next_hop_address: None,
        name: None,
        tag: None,
    };
    let to_service = NextHopKind::VirtualNetworkServiceEndpoint;
    list.routes.extend(service.iter().map(|prefix| own(*prefix, RouteState::Active, to_service)));
    let to_endpoint = NextHopKind::InterfaceEndpoint;
    list.routes.extend(endpoints.iter().map(|address| own(host(*address), RouteState::Active, to_endpoint)));
    // A route of the user's for just that address is stronger (PE-7); a shorter one removes it.
    let by_user =
        |prefix| table.routes.iter().any(|route| route.source == RouteSource::User && route.prefix == prefix);
    for address in reachable_endpoints(compiled, subnet) {
        if !endpoints.contains(&address) && by_user(host(address)) {
            list.routes.push(own(host(address), RouteState::Invalid, to_endpoint));
        }
    }
    list.routes.sort_by_key(|route| (route.prefix, route.state));
    list.open = open_questions(compiled, subnet, written);
    list
}

fn listed(written: &[Route], route: &EffectiveRoute, state: RouteState) -> ListedRoute {
    let user = route.user.map(|position| &written[position as usize]);
    ListedRoute {
        prefix: route.prefix,
        source: route.source,
        state,
        next_hop: (route.hop != Hop::Other).then(|| route.hop.kind()),
        next_hop_address: match route.hop {
            Hop::Appliance(address) => address,
            _ => None,
        },
        name: user.map(|user| user.name.clone()),
        tag: user.and_then(|user| match &user.destination {
            RouteDestination::Tag(tag) => Some(tag.clone()),
            RouteDestination::Prefix(_) | RouteDestination::Invalid(_) => None,
        }),
    }
}

/// The addresses of private endpoints in the subnet's network and in those peered with it (PE-6).
fn reachable_endpoints(compiled: &CompiledNetwork, subnet: SubnetIndex) -> BTreeSet<IpAddr> {
    let network = &compiled.network;
    let vnet = network.subnets[subnet.get()].vnet;
    let in_reach = |other| {
        other == vnet || peerings::connected(network, vnet).any(|peering| peering.remote == Some(other))
    };
    let near = network.private_endpoints.iter().filter(|endpoint| {
        let here = endpoint.subnet.as_ref().and_then(Reference::here);
        here.is_some_and(|subnet| in_reach(network.subnets[subnet.get()].vnet))
    });
    near.flat_map(|endpoint| endpoint.addresses.iter().copied()).collect()
}

fn open(code: ReasonCode, name: String, about: OpenPart) -> OpenRoutes {
    OpenRoutes { code, name, about }
}

fn open_questions(compiled: &CompiledNetwork, subnet: SubnetIndex, written: &[Route]) -> Vec<OpenRoutes> {
    let table = &compiled.routes[subnet.get()];
    let missing = |name: String, about| open(ReasonCode::MissingResource, name, about);
    let mut questions = Vec::new();
    if table.unknown_table.is_some() && written.is_empty() {
        questions.extend(table.unknown_table.iter().map(|id| missing(id.to_string(), OpenPart::UserRoutes)));
    }
    for route in written {
        match &route.destination {
            RouteDestination::Prefix(_) => {}
            RouteDestination::Tag(tag) if compiled.tags.get(tag).is_some() => {}
            RouteDestination::Tag(tag) => {
                questions.push(open(ReasonCode::UnknownTag, tag.to_string(), OpenPart::UserRoutes));
            }
            RouteDestination::Invalid(text) => {
                questions.push(open(ReasonCode::InvalidField, text.clone(), OpenPart::UserRoutes));
            }
        }
        match &route.next_hop {
            NextHop::Other(text) => {
                questions.push(open(ReasonCode::InvalidField, text.clone(), OpenPart::NextHop));
            }
            NextHop::VirtualAppliance(None) => {
                questions.push(open(ReasonCode::InvalidField, route.name.clone(), OpenPart::NextHop));
            }
            _ => {}
        }
    }
    if let Some(doubt) = &table.unknown_gateway {
        questions.push(question(doubt, OpenPart::GatewayRoutes));
    }
    if let Some(remote) = &table.unknown_peering {
        questions.push(missing(remote.to_string(), OpenPart::PeeringRoutes));
    }
    for doubt in &table.service_endpoints.doubts {
        questions.push(question(&doubt.about, OpenPart::ServiceEndpointRoutes));
    }
    // Whether one that stands in a subnet that the inventory lacks is in reach is not known.
    for endpoint in &compiled.network.private_endpoints {
        if let Some(Reference::Missing(lacking)) = &endpoint.subnet {
            questions.push(missing(lacking.to_string(), OpenPart::PrivateEndpointRoutes));
        }
    }
    questions
}

fn question(doubt: &Doubt, about: OpenPart) -> OpenRoutes {
    match doubt {
        Doubt::Tag(tag) => open(ReasonCode::UnknownTag, tag.to_string(), about),
        Doubt::Connected { missing, .. } => open(ReasonCode::MissingResource, missing.clone(), about),
        Doubt::Asg(asg) => open(ReasonCode::MissingResource, asg.to_string(), about),
        Doubt::Text(unknown) => open(unknown.code(), unknown.code().to_string(), about),
    }
}
