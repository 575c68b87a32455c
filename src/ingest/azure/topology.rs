//! What Azure does not allow in a topology: overlaps, forbidden ranges, reserved addresses (TOP, PEER-6).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::assemble::Nodes;
use super::findings::Findings;
use super::node::Node;
use crate::model::finding::FindingCode;
use crate::model::index::{NicIndex, Reference, VnetIndex};
use crate::model::network::{Network, Vnet};
use crate::model::prefix::Prefix;

/// Ranges that no address space may hold (TOP-6).
const FORBIDDEN: [Prefix; 5] = [
    range([224, 0, 0, 0], 4),
    range([255, 255, 255, 255], 32),
    range([127, 0, 0, 0], 8),
    range([169, 254, 0, 0], 16),
    range([168, 63, 129, 16], 32),
];

const fn range(octets: [u8; 4], length: u8) -> Prefix {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

/// Checks networks, subnets, peerings and the addresses of interfaces.
pub(super) fn check(network: &Network, nodes: &Nodes<'_>, findings: &mut Findings) {
    for (position, vnet) in network.vnets.iter().enumerate() {
        check_space(vnet, nodes.vnets[position], findings);
        check_subnets(network, vnet, nodes, findings);
        check_peerings(network, VnetIndex::new(position), &nodes.peerings[position], findings);
    }
    for position in 0..network.nics.len() {
        check_addresses(network, NicIndex::new(position), &nodes.configurations[position], findings);
    }
}

fn overlap(one: Prefix, two: Prefix) -> bool {
    one.contains(&two) || two.contains(&one)
}

fn report(findings: &mut Findings, node: Node<'_>, message: String) {
    findings.add(FindingCode::InvalidTopology, node, message);
}

/// The ranges of a network overlap neither each other nor what is forbidden (TOP-1, TOP-6).
fn check_space(vnet: &Vnet, node: Node<'_>, findings: &mut Findings) {
    for (position, range) in vnet.address_space.iter().enumerate() {
        for forbidden in FORBIDDEN.iter().filter(|forbidden| overlap(**forbidden, *range)) {
            let message =
                format!("address range `{range}` overlaps `{forbidden}`, which is reserved (TOP-6)");
            report(findings, node, message);
        }
        for other in vnet.address_space[..position].iter().filter(|other| overlap(**other, *range)) {
            let message = format!("address ranges `{other}` and `{range}` of the network overlap (TOP-1)");
            report(findings, node, message);
        }
    }
}

/// Subnets lie inside their network and do not overlap (TOP-2).
fn check_subnets(network: &Network, vnet: &Vnet, nodes: &Nodes<'_>, findings: &mut Findings) {
    let mut ranges: Vec<(Prefix, usize)> = Vec::new();
    for subnet in &vnet.subnets {
        for prefix in &network.subnets[subnet.get()].prefixes {
            ranges.push((*prefix, subnet.get()));
            if !vnet.address_space.iter().any(|range| range.contains(prefix)) {
                let message = format!("prefix `{prefix}` is outside the network's address space (TOP-2)");
                report(findings, nodes.subnets[subnet.get()], message);
            }
        }
    }
    // In order of their first addresses, a block that overlaps an earlier one lies inside the latest that reaches
    // beyond it: two blocks either contain one another or are apart.
    ranges.sort_by_key(|(prefix, _)| (prefix.network(), prefix.prefix_len()));
    let mut widest: Option<(Prefix, usize)> = None;
    for (prefix, subnet) in ranges {
        match widest {
            Some((outer, other)) if outer.contains(&prefix) => {
                let name = network.subnets[other].id.name();
                let message = format!("prefix `{prefix}` overlaps `{outer}` of subnet `{name}` (TOP-2)");
                report(findings, nodes.subnets[subnet], message);
            }
            _ => widest = Some((prefix, subnet)),
        }
    }
}

/// Peered networks do not overlap (PEER-6).
fn check_peerings(network: &Network, own: VnetIndex, nodes: &[Node<'_>], findings: &mut Findings) {
    let vnet = &network.vnets[own.get()];
    for (peering, node) in vnet.peerings.iter().zip(nodes) {
        let Some(remote) = peering.remote.here() else { continue };
        let remote = &network.vnets[remote.get()];
        let pair = vnet.address_space.iter().find_map(|one| {
            let two = remote.address_space.iter().find(|two| overlap(*one, **two))?;
            Some((one, two))
        });
        if let Some((one, two)) = pair {
            let name = remote.id.name();
            let message = format!("`{one}` overlaps `{two}` of the peered network `{name}` (PEER-6)");
            report(findings, *node, message);
        }
    }
}

/// An interface's address lies in its subnet and is none of those that Azure keeps for itself (TOP-2, TOP-3).
fn check_addresses(network: &Network, nic: NicIndex, nodes: &[Node<'_>], findings: &mut Findings) {
    let nic = &network.nics[nic.get()];
    let Some(subnet) = nic.subnet.as_ref().and_then(Reference::here) else { return };
    let subnet = &network.subnets[subnet.get()];
    for (configuration, node) in nic.ip_configurations.iter().zip(nodes) {
        let Some(address) = configuration.address else { continue };
        let place = node.member("privateIPAddress").unwrap_or(*node);
        match subnet.prefixes.iter().find(|prefix| prefix.contains(&address)) {
            None if subnet.prefixes.is_empty() => {}
            None => {
                let name = subnet.id.name();
                report(findings, place, format!("`{address}` is not in subnet `{name}` (TOP-2)"));
            }
            Some(prefix) if is_reserved(*prefix, address) => {
                let message =
                    format!("`{address}` is one of the addresses of `{prefix}` that Azure reserves (TOP-3)");
                report(findings, place, message);
            }
            Some(_) => {}
        }
    }
}

/// The first four addresses of an IPv4 subnet and its last (TOP-3).
fn is_reserved(prefix: Prefix, address: IpAddr) -> bool {
    match (prefix, address) {
        (IpNet::V4(prefix), IpAddr::V4(address)) => {
            let offset = u32::from(address).wrapping_sub(u32::from(prefix.network()));
            offset < 4 || address == prefix.broadcast()
        }
        _ => false,
    }
}
