//! Settings that Azure does not support where they stand: on the subnets of gateways (GW-1) and of Azure Firewall
//! (FW-1), and around a Private Link service (PLS-2).

use super::assemble::Nodes;
use super::findings::Findings;
use super::node::Node;
use super::nsg::NsgDraft;
use super::terraform;
use crate::model::finding::FindingCode;
use crate::model::index::Reference;
use crate::model::network::{Network, Subnet};
use crate::model::routing::{Route, RouteDestination};

/// Subnets whose NSG Azure does not enforce, each with the clause that says so.
const NOT_ENFORCED: [(&str, &str); 2] = [(GATEWAY_SUBNET, "GW-1"), ("AzureFirewallSubnet", "FW-1")];

const GATEWAY_SUBNET: &str = "GatewaySubnet";

/// Checks subnets, their route tables, and the subnets of Private Link services.
pub(super) fn check(network: &Network, nsgs: &[NsgDraft<'_>], nodes: &Nodes<'_>, findings: &mut Findings) {
    for (subnet, node) in network.subnets.iter().zip(&nodes.subnets) {
        let is = |name: &str| subnet.id.name().eq_ignore_ascii_case(name);
        if let Some((name, clause)) = NOT_ENFORCED.iter().find(|(name, _)| is(name)) {
            check_nsg(
                subnet,
                *node,
                nsgs,
                &format!("{name} is not enforced: it is ignored ({clause})"),
                findings,
            );
        }
        if is(GATEWAY_SUBNET) {
            check_gateway_routes(network, subnet, *node, findings);
        }
    }
    check_private_link_services(network, nodes, findings);
}

fn check_nsg(subnet: &Subnet, node: Node<'_>, nsgs: &[NsgDraft<'_>], ignored: &str, findings: &mut Findings) {
    let Some(nsg) = &subnet.nsg else { return };
    let place = node.member("networkSecurityGroup").unwrap_or(node);
    let message = format!("an NSG on {ignored}");
    match nsg {
        Reference::Here(nsg) => {
            findings.about((&nsgs[nsg.get()].name, None), FindingCode::NotEnforced, place, message);
        }
        // Whether an association that is not known attaches one here is not known either.
        Reference::Missing(id) if terraform::is_unknown(id) => {}
        Reference::Missing(_) => findings.add(FindingCode::NotEnforced, place, message),
    }
}

/// A GatewaySubnet takes the routes of its gateway, and none for everything (GW-1).
fn check_gateway_routes(network: &Network, subnet: &Subnet, node: Node<'_>, findings: &mut Findings) {
    let Some(table) = subnet.route_table.as_ref().and_then(Reference::here) else { return };
    let table = &network.route_tables[table.get()];
    let place = node.member("routeTable").unwrap_or(node);
    let name = table.id.name();
    let mut report = |what: String| {
        let message = format!("{what}, which {GATEWAY_SUBNET} does not support (GW-1)");
        findings.add(FindingCode::UnsupportedSetting, place, message);
    };
    for route in table.routes.iter().filter(|route| is_default(route)) {
        report(format!("route `{}` of table `{name}` is for 0.0.0.0/0", route.name));
    }
    if table.disable_gateway_propagation {
        report(format!("table `{name}` has route propagation off"));
    }
}

fn is_default(route: &Route) -> bool {
    matches!(route.destination, RouteDestination::Prefix(prefix) if prefix.network().is_ipv4() && prefix.prefix_len() == 0)
}

/// The subnet of a service's NAT addresses has the policies of Private Link services off (PLS-2).
fn check_private_link_services(network: &Network, nodes: &Nodes<'_>, findings: &mut Findings) {
    for service in &network.private_link_services {
        let Some(position) = service.subnet.as_ref().and_then(Reference::here) else { continue };
        if network.subnets[position.get()].private_link_service_policies {
            let node = nodes.subnets[position.get()];
            let member = "privateLinkServiceNetworkPolicies";
            let message = format!(
                "{member} is not `Disabled`, which the Private Link service `{}` needs (PLS-2)",
                service.id.name()
            );
            findings.add(FindingCode::UnsupportedSetting, node.member(member).unwrap_or(node), message);
        }
    }
}
