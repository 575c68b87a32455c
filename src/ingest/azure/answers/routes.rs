//! Effective route tables (NW-5).

use super::super::node::Node;
use super::needed;
use super::rules::prefix;
use crate::ingest::error::IngestError;
use crate::model::answered::{AnsweredHop, AnsweredRoute};
use crate::model::prefix::Prefix;
use crate::model::verdict::{NextHopKind, RouteSource};

/// Reads the routes, one for each prefix.
pub(super) fn table(items: &[Node<'_>]) -> Result<Vec<AnsweredRoute>, IngestError> {
    let mut routes = Vec::new();
    for node in items {
        let prefixes = needed(*node, "addressPrefix", "a list of prefixes")?.items()?;
        for item in prefixes {
            routes.push(route(*node, prefix(item)?)?);
        }
    }
    Ok(routes)
}

fn route(node: Node<'_>, prefix: Prefix) -> Result<AnsweredRoute, IngestError> {
    let addresses: Result<Vec<_>, _> =
        node.list_of("nextHopIpAddress")?.into_iter().map(Node::address).collect();
    Ok(AnsweredRoute {
        prefix,
        source: node.needed_one_of(
            "source",
            &[
                ("Default", RouteSource::System),
                ("User", RouteSource::User),
                ("VirtualNetworkGateway", RouteSource::Gateway),
            ],
        )?,
        active: node.needed_one_of("state", &[("Active", true), ("Invalid", false)])?,
        next_hop: next_hop(needed(node, "nextHopType", "a type of next hop")?)?,
        addresses: addresses?,
        name: node.text_of("name")?.map(str::to_owned),
    })
}

/// Tools spell the types with blanks and in various letter case (ROUTE-10), and the network itself as `VirtualNetwork`,
/// too.
fn next_hop(node: Node<'_>) -> Result<AnsweredHop, IngestError> {
    let text = node.text()?;
    let word: String =
        text.chars().filter(|each| !each.is_whitespace()).map(|each| each.to_ascii_lowercase()).collect();
    Ok(AnsweredHop::Known(match word.as_str() {
        "vnetlocal" | "virtualnetwork" => NextHopKind::VnetLocal,
        "vnetpeering" | "vnetglobalpeering" => NextHopKind::VnetPeering,
        "virtualnetworkgateway" => NextHopKind::VirtualNetworkGateway,
        "virtualappliance" => NextHopKind::VirtualAppliance,
        "internet" => NextHopKind::Internet,
        "none" => NextHopKind::None,
        "virtualnetworkserviceendpoint" => NextHopKind::VirtualNetworkServiceEndpoint,
        "interfaceendpoint" => NextHopKind::InterfaceEndpoint,
        _ => return Ok(AnsweredHop::Other(text.to_owned())),
    }))
}
