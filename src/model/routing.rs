//! Routes, gateways and what leads out of a virtual network.

use std::net::IpAddr;

use super::id::ResourceId;
use super::index::{GatewayIndex, LocalGatewayIndex, PublicIpIndex, Reference, SubnetIndex, VnetIndex};
use super::prefix::Prefix;
use super::tag::TagName;

/// A route table with its user-defined routes (JSON-6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteTable {
    /// Its ID.
    pub id: ResourceId,
    /// Its routes, in the export's order.
    pub routes: Vec<Route>,
    /// Gateway routes do not reach the subnet (ROUTE-17).
    pub disable_gateway_propagation: bool,
}

/// A user-defined route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// What it applies to.
    pub destination: RouteDestination,
    /// Where it leads.
    pub next_hop: NextHop,
    /// It beats overlapping gateway routes whatever their length (ROUTE-18).
    pub bgp_override: bool,
}

/// What a user-defined route applies to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteDestination {
    /// A prefix.
    Prefix(Prefix),
    /// A tag: one route for each of its ranges (ROUTE-9).
    Tag(TagName),
    /// A text that Azure does not take, as it was written.
    Invalid(String),
}

/// The next hop of a user-defined route (ROUTE-10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NextHop {
    /// A machine at this address; `None` where the export lacks it.
    VirtualAppliance(Option<IpAddr>),
    /// The network's VPN gateway.
    VirtualNetworkGateway,
    /// The network itself.
    VnetLocal,
    /// The internet.
    Internet,
    /// Dropped.
    None,
    /// A type that no clause names, as it was written.
    Other(String),
}

/// A VPN or ExpressRoute gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gateway {
    /// Its ID.
    pub id: ResourceId,
    /// `Vpn` or `ExpressRoute`.
    pub express_route: bool,
    /// The network that it stands in.
    pub vnet: Option<Reference<VnetIndex>>,
    /// Its GatewaySubnet, where the inventory holds it.
    pub subnet: Option<Reference<SubnetIndex>>,
    /// Point-to-site client addresses (GW-5).
    pub client_pools: Vec<Prefix>,
    /// Prefixes learned by BGP, where the export has them (GW-4).
    pub learned_routes: Vec<Prefix>,
    /// BGP is on: there may be routes that no export holds.
    pub bgp: bool,
}

/// The far end of a site-to-site connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalGateway {
    /// Its ID.
    pub id: ResourceId,
    /// On-premises ranges (GW-4).
    pub prefixes: Vec<Prefix>,
}

/// What a gateway is connected to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Its ID.
    pub id: ResourceId,
    /// The gateway on this side.
    pub gateway: Option<Reference<GatewayIndex>>,
    /// What is on the other side.
    pub remote: ConnectionRemote,
}

/// The other side of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConnectionRemote {
    /// A site (`IPsec`).
    Site(Option<Reference<LocalGatewayIndex>>),
    /// Another virtual network's gateway (`Vnet2Vnet`, GW-6).
    Vnet(Option<Reference<GatewayIndex>>),
    /// An ExpressRoute circuit: its prefixes come by BGP alone (GW-7).
    ExpressRoute,
    /// A type that no clause names, as it was written.
    Other(String),
}

/// A NAT gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NatGateway {
    /// Its ID.
    pub id: ResourceId,
    /// The addresses it translates to.
    pub public_ips: Vec<Reference<PublicIpIndex>>,
    /// IDs of public prefixes that it translates to.
    pub public_prefixes: Vec<ResourceId>,
    /// Idle time of TCP flows, in minutes (STATE-15).
    pub idle_timeout_min: Option<u32>,
}
