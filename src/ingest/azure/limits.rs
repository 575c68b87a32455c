//! Azure's limits (LIM-1): numbers that a real network cannot exceed.

use std::collections::BTreeMap;

use super::assemble::Nodes;
use super::findings::Findings;
use super::node::Node;
use super::nsg::NsgDraft;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;
use crate::model::network::Network;
use crate::model::routing::RouteDestination;
use crate::model::rule::AddressTerm;

/// Most network security groups of a region and subscription.
const NSGS: usize = 5000;
/// Most application security groups of a region and subscription.
const ASGS: usize = 3000;
/// Most route tables of a region and subscription.
const ROUTE_TABLES: usize = 200;
/// Most virtual networks of a region and subscription.
const VNETS: usize = 1000;
/// Most application security groups of an IP configuration.
const ASGS_PER_CONFIGURATION: usize = 20;
/// Most application security groups in all rules of an NSG.
const ASGS_PER_NSG: usize = 100;
/// Most IP configurations of an application security group.
const CONFIGURATIONS_PER_ASG: usize = 4000;
/// Most routes of a table.
const ROUTES_PER_TABLE: usize = 400;
/// Most routes of a table that name a tag (ROUTE-9).
const TAG_ROUTES_PER_TABLE: usize = 25;
/// Most peerings of a network.
const PEERINGS_PER_VNET: usize = 500;
/// Most subnets of a network.
const SUBNETS_PER_VNET: usize = 3000;
/// Most private addresses of an interface.
const ADDRESSES_PER_NIC: usize = 256;

/// Checks every number of LIM-1 that has no code of its own.
pub(super) fn check(network: &Network, nsgs: &[NsgDraft<'_>], nodes: &Nodes<'_>, findings: &mut Findings) {
    let mut limit = |node: Node<'_>, count: usize, most: usize, what: &str| {
        if count > most {
            findings.add(FindingCode::LimitExceeded, node, format!("{count} {what}, over {most} (LIM-1)"));
        }
    };
    for (position, vnet) in network.vnets.iter().enumerate() {
        limit(nodes.vnets[position], vnet.peerings.len(), PEERINGS_PER_VNET, "peerings");
        limit(nodes.vnets[position], vnet.subnets.len(), SUBNETS_PER_VNET, "subnets");
    }
    for (table, node) in network.route_tables.iter().zip(&nodes.route_tables) {
        limit(*node, table.routes.len(), ROUTES_PER_TABLE, "routes");
        let is_tag = |destination: &RouteDestination| matches!(destination, RouteDestination::Tag(_));
        let tags = table.routes.iter().filter(|route| is_tag(&route.destination)).count();
        limit(*node, tags, TAG_ROUTES_PER_TABLE, "routes that name a service tag");
    }
    let mut members = vec![0; network.asgs.len()];
    for (position, nic) in network.nics.iter().enumerate() {
        limit(nodes.nics[position], nic.ip_configurations.len(), ADDRESSES_PER_NIC, "private addresses");
        for (configuration, node) in nic.ip_configurations.iter().zip(&nodes.configurations[position]) {
            let asgs = &configuration.asgs;
            limit(*node, asgs.len(), ASGS_PER_CONFIGURATION, "application security groups");
            asgs.iter().for_each(|asg| members[asg.get()] += 1);
        }
    }
    for (id, node) in &nodes.asgs {
        if let Ok(position) = network.asgs.binary_search_by(|asg| asg.id.cmp(id)) {
            limit(*node, members[position], CONFIGURATIONS_PER_ASG, "IP configurations");
        }
    }
    for nsg in nsgs {
        let terms = nsg.rules.iter().flat_map(|(rule, _)| rule.source.iter().chain(&rule.destination));
        let mut asgs: Vec<String> = terms
            .filter_map(|term| match term {
                AddressTerm::Asg(asg) => Some(format!("{asg:?}")),
                _ => None,
            })
            .collect();
        asgs.sort_unstable();
        asgs.dedup();
        limit(nsg.node, asgs.len(), ASGS_PER_NSG, "application security groups in its rules");
    }
    let exported = |ids: Vec<(&ResourceId, Node<'_>)>, most: usize, what: &str, findings: &mut Findings| {
        for (count, node) in by_region(&ids) {
            if count > most {
                let message = format!("{count} {what} in one region and subscription, over {most} (LIM-1)");
                findings.add(FindingCode::LimitExceeded, node, message);
            }
        }
    };
    let nsgs = nsgs.iter().map(|nsg| (&nsg.id, nsg.node)).collect();
    exported(nsgs, NSGS, "network security groups", findings);
    let asgs = nodes.asgs.iter().map(|(id, node)| (id, *node)).collect();
    exported(asgs, ASGS, "application security groups", findings);
    let tables = network.route_tables.iter().map(|table| &table.id).zip(nodes.route_tables.iter().copied());
    exported(tables.collect(), ROUTE_TABLES, "route tables", findings);
    let vnets = network.vnets.iter().map(|vnet| &vnet.id).zip(nodes.vnets.iter().copied());
    exported(vnets.collect(), VNETS, "virtual networks", findings);
}

/// How many resources each region of each subscription has, with the first of them.
fn by_region<'a>(resources: &[(&ResourceId, Node<'a>)]) -> Vec<(usize, Node<'a>)> {
    let mut regions: BTreeMap<(String, String), (usize, Node<'a>)> = BTreeMap::new();
    for (id, node) in resources {
        let subscription = id.segment("subscriptions").unwrap_or_default().to_ascii_lowercase();
        let location = node.member("location").and_then(Node::as_text).unwrap_or_default();
        let region = (subscription, location.to_ascii_lowercase());
        regions.entry(region).or_insert((0, *node)).0 += 1;
    }
    regions.into_values().collect()
}
