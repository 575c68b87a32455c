//! Route tables, gateways, their connections, and NAT gateways (JSON-6).

use super::collect::Resource;
use super::node::Node;
use super::resolve::Reader;
use super::{terms, vnet};
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::index::Reference;
use crate::model::prefix::Prefix;
use crate::model::routing::{
    Connection, ConnectionRemote, Gateway, LocalGateway, NatGateway, NextHop, Route, RouteDestination,
    RouteTable,
};
use crate::model::rule::AddressTerm;

/// Reads a route table.
pub(super) fn table<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<RouteTable, IngestError> {
    let node = resource.node;
    let mut routes = Vec::new();
    for child in reader.collection.children(resource, "routes", "routes", &mut reader.findings)? {
        routes.push(route(reader, &child)?);
    }
    Ok(RouteTable {
        id: resource.id.clone(),
        routes,
        disable_gateway_propagation: node.flag_of("disableBgpRoutePropagation")?.unwrap_or(false),
    })
}

fn route<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<Route, IngestError> {
    let node = resource.node;
    Ok(Route {
        name: resource.name()?.to_owned(),
        destination: destination(reader, node)?,
        next_hop: next_hop(reader, node)?,
        bgp_override: node.flag_of("hasBgpOverride")?.unwrap_or(false),
    })
}

fn destination(reader: &mut Reader<'_>, route: Node<'_>) -> Result<RouteDestination, IngestError> {
    let Some(node) = route.member("addressPrefix") else {
        reader.findings.add(FindingCode::MissingField, route, "addressPrefix is missing");
        return Ok(RouteDestination::Invalid(String::new()));
    };
    Ok(match terms::address(node, reader.tags, &mut reader.findings)? {
        AddressTerm::Prefix(prefix) => RouteDestination::Prefix(prefix),
        AddressTerm::Tag(tag) => {
            if tag.is_computed() {
                let message = format!("a route does not take the tag `{tag}` (TAG-14)");
                reader.findings.add(FindingCode::InvalidAddressPrefix, node, message);
            }
            RouteDestination::Tag(tag)
        }
        AddressTerm::Invalid(text) => RouteDestination::Invalid(text),
        // `*` is a word of rules: a route for everything says `0.0.0.0/0`.
        AddressTerm::Any | AddressTerm::Asg(_) => {
            let message = "a route's addressPrefix is an IP address, a CIDR block or a service tag";
            reader.findings.add(FindingCode::InvalidAddressPrefix, node, message);
            RouteDestination::Invalid(node.text()?.to_owned())
        }
    })
}

fn next_hop(reader: &mut Reader<'_>, route: Node<'_>) -> Result<NextHop, IngestError> {
    let Some(node) = route.member("nextHopType") else {
        reader.findings.add(FindingCode::MissingField, route, "nextHopType is missing");
        return Ok(NextHop::Other(String::new()));
    };
    if let Some(expression) = terms::unresolved(node, &mut reader.findings) {
        return Ok(NextHop::Other(expression));
    }
    let text = node.text()?;
    // Tools spell the types with blanks and in various letter case (ROUTE-10).
    let word: String =
        text.chars().filter(|each| !each.is_whitespace()).map(|each| each.to_ascii_lowercase()).collect();
    Ok(match word.as_str() {
        "virtualappliance" => match route.member("nextHopIpAddress") {
            Some(address) if address.unresolved().is_some() => {
                NextHop::Other(terms::unresolved(address, &mut reader.findings).unwrap_or_default())
            }
            _ => NextHop::VirtualAppliance(route.address_of("nextHopIpAddress")?),
        },
        "virtualnetworkgateway" => NextHop::VirtualNetworkGateway,
        "vnetlocal" => NextHop::VnetLocal,
        "internet" => NextHop::Internet,
        "none" => NextHop::None,
        _ => NextHop::Other(text.to_owned()),
    })
}

/// Reads a NAT gateway.
pub(super) fn nat_gateway<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<NatGateway, IngestError> {
    let node = resource.node;
    let public_ips = node
        .references_of("publicIpAddresses")?
        .into_iter()
        .map(|reference| reader.resolve(reference, |positions| &positions.public_ips))
        .collect();
    Ok(NatGateway {
        id: resource.id.clone(),
        public_ips,
        public_prefixes: node.references_of("publicIpPrefixes")?.into_iter().map(|(id, _)| id).collect(),
        idle_timeout_min: node.number_of("idleTimeoutInMinutes", "a number of minutes")?,
    })
}

/// Reads a VPN or ExpressRoute gateway.
pub(super) fn gateway<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<Gateway, IngestError> {
    let node = resource.node;
    let express_route = is_express_route(reader, node)?;
    let mut subnet = None;
    for configuration in node.list_of("ipConfigurations")? {
        if subnet.is_none() {
            subnet = configuration.reference_of("subnet")?;
        }
    }
    if subnet.is_none() {
        let message = "no IP configuration names a subnet: the gateway's network is unknown";
        reader.findings.add(FindingCode::MissingField, node, message);
    }
    let vnet =
        subnet.as_ref().and_then(|(id, _)| id.parent(1)).map(|id| match reader.positions.vnets.get(&id) {
            Some(vnet) => Reference::Here(*vnet),
            None => Reference::Missing(id),
        });
    let subnet = subnet.map(|subnet| reader.resolve(subnet, |positions| &positions.subnets));
    let client_pools = match node.member("vpnClientConfiguration") {
        Some(clients) => {
            vnet::address_space(clients, "vpnClientAddressPool", &mut reader.findings)?.unwrap_or_default()
        }
        None => Vec::new(),
    };
    Ok(Gateway {
        id: resource.id.clone(),
        express_route,
        vnet,
        subnet,
        client_pools,
        learned_routes: learned_routes(reader, node)?,
        // An ExpressRoute gateway learns its prefixes by BGP alone (GW-7).
        bgp: express_route || node.flag_of("enableBgp")?.unwrap_or(false),
    })
}

fn is_express_route(reader: &mut Reader<'_>, node: Node<'_>) -> Result<bool, IngestError> {
    let Some(member) = node.member("gatewayType") else {
        reader.findings.add(FindingCode::MissingField, node, "gatewayType is missing: taken as `Vpn`");
        return Ok(false);
    };
    member.one_of(&[("Vpn", false), ("ExpressRoute", true)])
}

/// The project's own list of prefixes, each a text, or an entry of `list-learned-routes`.
fn learned_routes(reader: &mut Reader<'_>, node: Node<'_>) -> Result<Vec<Prefix>, IngestError> {
    let mut found = Vec::new();
    for route in node.list_of("learnedRoutes")? {
        let prefix = if route.is_object() {
            route.member("network").ok_or_else(|| route.lacks("network", "a CIDR block"))?
        } else {
            route
        };
        found.push(terms::prefix(prefix, &mut reader.findings)?);
    }
    Ok(found)
}

/// Reads the far end of a site-to-site connection.
pub(super) fn local_gateway<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<LocalGateway, IngestError> {
    let space = vnet::address_space(resource.node, "localNetworkAddressSpace", &mut reader.findings)?;
    Ok(LocalGateway { id: resource.id.clone(), prefixes: space.unwrap_or_default() })
}

/// Reads a connection of a gateway.
pub(super) fn connection<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<Connection, IngestError> {
    let node = resource.node;
    let kind = node.text_of("connectionType")?.unwrap_or_default();
    if kind.is_empty() {
        reader.findings.add(FindingCode::MissingField, node, "connectionType is missing");
    }
    let is = |word: &str| kind.eq_ignore_ascii_case(word);
    let remote = if is("IPsec") {
        check_present(reader, node, "localNetworkGateway2");
        let site =
            reader.reference_of(node, "localNetworkGateway2", |positions| &positions.local_gateways)?;
        ConnectionRemote::Site(site)
    } else if is("Vnet2Vnet") {
        check_present(reader, node, "virtualNetworkGateway2");
        let far = reader.reference_of(node, "virtualNetworkGateway2", |positions| &positions.gateways)?;
        ConnectionRemote::Vnet(far)
    } else if is("ExpressRoute") {
        ConnectionRemote::ExpressRoute
    } else {
        ConnectionRemote::Other(kind.to_owned())
    };
    check_present(reader, node, "virtualNetworkGateway1");
    Ok(Connection {
        id: resource.id.clone(),
        gateway: reader.reference_of(node, "virtualNetworkGateway1", |positions| &positions.gateways)?,
        remote,
    })
}

/// Reports an end of a connection that the export does not name: what it leads to is unknown.
fn check_present(reader: &mut Reader<'_>, node: Node<'_>, member: &str) {
    if node.member(member).is_none() {
        reader.findings.add(FindingCode::MissingField, node, format!("{member} is missing"));
    }
}
