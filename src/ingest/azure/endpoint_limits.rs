//! How much an NSG may hold on the subnet of private endpoints: members of a group (ASG-7), size of a rule (PE-5).
//!
//! Both count where the endpoints ask the NSG (PE-3), and there the inbound rules alone: outbound ones have no meaning.

use std::collections::BTreeSet;

use super::findings::Findings;
use super::node::Node;
use super::nsg::NsgDraft;
use crate::model::finding::FindingCode;
use crate::model::index::Reference;
use crate::model::network::Network;
use crate::model::rule::{AddressTerm, Direction, Rule};

/// Most IP configurations of a group that such a rule names (ASG-7).
const CONFIGURATIONS_PER_ASG: usize = 50;
/// Most combinations of source, destination and port range of a rule (PE-5).
const COMBINATIONS_PER_RULE: usize = 250_000;

/// Checks the NSGs that private endpoints ask.
pub(super) fn check(network: &Network, nsgs: &[NsgDraft<'_>], findings: &mut Findings) {
    let asked: BTreeSet<usize> = asked(network).collect();
    if asked.is_empty() {
        return;
    }
    let members = members(network);
    for nsg in asked.into_iter().map(|position| &nsgs[position]) {
        for (rule, node) in nsg.rules.iter().filter(|(rule, _)| rule.direction == Direction::Inbound) {
            let mut report = |node: Node<'_>, message: String| {
                findings.about((&nsg.name, Some(&rule.name)), FindingCode::LimitExceeded, node, message);
            };
            check_groups(network, rule, *node, &members, &mut report);
            let combinations = combinations(rule);
            if combinations > COMBINATIONS_PER_RULE {
                let message = format!(
                    "{combinations} combinations of source, destination and port range, over {COMBINATIONS_PER_RULE} \
                     at a private endpoint (PE-5)"
                );
                report(*node, message);
            }
        }
    }
}

/// The NSGs of the subnets of private endpoints, where the endpoints ask them.
fn asked(network: &Network) -> impl Iterator<Item = usize> {
    let subnets = network.private_endpoints.iter().filter_map(|endpoint| endpoint.subnet.as_ref()?.here());
    let subnets = subnets.map(|subnet| &network.subnets[subnet.get()]);
    let asking = subnets.filter(|subnet| subnet.private_endpoint_policies.ask_nsg());
    asking.filter_map(|subnet| Some(subnet.nsg.as_ref()?.here()?.get()))
}

/// How many IP configurations each group has: of interfaces, and of the private endpoints that list it (ASG-1).
fn members(network: &Network) -> Vec<usize> {
    let mut members = vec![0; network.asgs.len()];
    for configuration in network.nics.iter().flat_map(|nic| &nic.ip_configurations) {
        configuration.asgs.iter().for_each(|asg| members[asg.get()] += 1);
    }
    for endpoint in &network.private_endpoints {
        for asg in &endpoint.asgs {
            if let Ok(position) = network.asgs.binary_search_by(|other| other.id.cmp(asg)) {
                members[position] += endpoint.addresses.len();
            }
        }
    }
    members
}

fn check_groups(
    network: &Network,
    rule: &Rule,
    node: Node<'_>,
    members: &[usize],
    report: &mut impl FnMut(Node<'_>, String),
) {
    for (list, terms) in [
        ("sourceApplicationSecurityGroups", &rule.source),
        ("destinationApplicationSecurityGroups", &rule.destination),
    ] {
        for term in terms {
            let AddressTerm::Asg(Reference::Here(asg)) = term else { continue };
            let count = members[asg.get()];
            if count > CONFIGURATIONS_PER_ASG {
                let message = format!(
                    "group `{}` has {count} IP configurations, over {CONFIGURATIONS_PER_ASG} at a private endpoint \
                     (ASG-7)",
                    network.asgs[asg.get()].id.name()
                );
                report(node.member(list).unwrap_or(node), message);
            }
        }
    }
}

/// Sources times destinations times port ranges, each element of a list counted once. The source ports count as `*`
/// (PE-4).
fn combinations(rule: &Rule) -> usize {
    rule.source.len().saturating_mul(rule.destination.len()).saturating_mul(rule.destination_ports.len())
}
