//! What Azure does not allow in a topology: overlaps, forbidden ranges, reserved addresses (TOP, PEER-6), mixed SKUs
//! (PIP-2).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::assemble::Nodes;
use super::findings::Findings;
use super::node::Node;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::network::{Network, PublicIpSku, Vnet};
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
        check_primary(network, NicIndex::new(position), nodes.nics[position], findings);
    }
    for (endpoint, node) in network.private_endpoints.iter().zip(&nodes.private_endpoints) {
        let Some(subnet) = endpoint.subnet.as_ref().and_then(Reference::here) else { continue };
        endpoint
            .addresses
            .iter()
            .for_each(|address| check_address(network, subnet, *address, *node, findings));
    }
    check_skus(network, nodes, findings);
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

/// Subnets are of a size that Azure takes, lie inside their network and do not overlap (TOP-2).
fn check_subnets(network: &Network, vnet: &Vnet, nodes: &Nodes<'_>, findings: &mut Findings) {
    let mut ranges: Vec<(Prefix, usize)> = Vec::new();
    for subnet in &vnet.subnets {
        for prefix in &network.subnets[subnet.get()].prefixes {
            ranges.push((*prefix, subnet.get()));
            if !has_size_of_subnet(*prefix) {
                let message =
                    format!("prefix `{prefix}` is neither IPv4 of /2 to /29 nor IPv6 of /64 (TOP-2)");
                report(findings, nodes.subnets[subnet.get()], message);
            }
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

fn has_size_of_subnet(prefix: Prefix) -> bool {
    match prefix {
        IpNet::V4(prefix) => (2..=29).contains(&prefix.prefix_len()),
        IpNet::V6(prefix) => prefix.prefix_len() == 64,
    }
}

/// Peered networks do not overlap (PEER-6). Of one that the inventory lacks, the peering tells the ranges.
fn check_peerings(network: &Network, own: VnetIndex, nodes: &[Node<'_>], findings: &mut Findings) {
    let vnet = &network.vnets[own.get()];
    for (peering, node) in vnet.peerings.iter().zip(nodes) {
        let (id, space) = match &peering.remote {
            Reference::Here(remote) => {
                let remote = &network.vnets[remote.get()];
                (&remote.id, remote.address_space.as_slice())
            }
            Reference::Missing(id) => (id, peering.remote_address_space.as_deref().unwrap_or_default()),
        };
        let pair = vnet.address_space.iter().find_map(|one| {
            let two = space.iter().find(|two| overlap(*one, **two))?;
            Some((one, two))
        });
        if let Some((one, two)) = pair {
            let name = id.name();
            let message = format!("`{one}` overlaps `{two}` of the peered network `{name}` (PEER-6)");
            report(findings, *node, message);
        }
    }
}

/// An interface's address lies in its subnet and is none of those that Azure keeps for itself (TOP-2, TOP-3).
fn check_addresses(network: &Network, nic: NicIndex, nodes: &[Node<'_>], findings: &mut Findings) {
    let nic = &network.nics[nic.get()];
    let Some(subnet) = nic.subnet.as_ref().and_then(Reference::here) else { return };
    for (configuration, node) in nic.ip_configurations.iter().zip(nodes) {
        // A configuration that names another subnet than the first is told of as such (TOP-4).
        let elsewhere = |id: ResourceId| id != network.subnets[subnet.get()].id;
        if node.reference_of("subnet").ok().flatten().is_some_and(|(id, _)| elsewhere(id)) {
            continue;
        }
        if let Some(address) = configuration.address {
            check_address(
                network,
                subnet,
                address,
                node.member("privateIPAddress").unwrap_or(*node),
                findings,
            );
        }
    }
}

fn check_address(
    network: &Network,
    subnet: SubnetIndex,
    address: IpAddr,
    node: Node<'_>,
    findings: &mut Findings,
) {
    let subnet = &network.subnets[subnet.get()];
    match subnet.prefixes.iter().find(|prefix| prefix.contains(&address)) {
        None if subnet.prefixes.is_empty() => {}
        None => {
            let name = subnet.id.name();
            report(findings, node, format!("`{address}` is not in subnet `{name}` (TOP-2)"));
        }
        Some(prefix) if is_reserved(*prefix, address) => {
            let message =
                format!("`{address}` is one of the addresses of `{prefix}` that Azure reserves (TOP-3)");
            report(findings, node, message);
        }
        Some(_) => {}
    }
}

/// Exactly one IP configuration of an interface is primary (TOP-4).
fn check_primary(network: &Network, nic: NicIndex, node: Node<'_>, findings: &mut Findings) {
    let configurations = &network.nics[nic.get()].ip_configurations;
    let primary = configurations.iter().filter(|configuration| configuration.primary).count();
    if configurations.len() > 1 && primary != 1 {
        let message = format!(
            "{primary} of its {} IP configurations are primary: expected 1 (TOP-4)",
            configurations.len()
        );
        report(findings, node, message);
    }
}

/// The public addresses of one machine are of one SKU (PIP-2). An interface that names no machine is taken for one of
/// its own.
fn check_skus(network: &Network, nodes: &Nodes<'_>, findings: &mut Findings) {
    let mut first: HashMap<&ResourceId, PublicIpSku> = HashMap::new();
    for (nic, nodes) in network.nics.iter().zip(&nodes.configurations) {
        let machine = nic.machine.as_ref().unwrap_or(&nic.id);
        for (configuration, node) in nic.ip_configurations.iter().zip(nodes) {
            let public_ip = configuration.public_ip.as_ref().and_then(Reference::here);
            let Some(sku) = public_ip.and_then(|one| network.public_ips[one.get()].sku) else { continue };
            let other = *first.entry(machine).or_insert(sku);
            if other != sku {
                let message = format!(
                    "the public address is of SKU `{sku:?}`, another one of `{}` is of `{other:?}` (PIP-2)",
                    machine.name()
                );
                report(findings, node.member("publicIPAddress").unwrap_or(*node), message);
            }
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
