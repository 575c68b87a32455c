//! Sets of ends and services as users name them.

use std::sync::Arc;

use super::CliError;
use super::inputs;
use crate::analyze::end_set::EndSet;
use crate::analyze::reach::ServiceSet;
use crate::compile::address_set::AddressSet;
use crate::compile::balancers::frontend_address;
use crate::compile::network::CompiledNetwork;
use crate::compile::places::frontend_places;
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::compile::resolve::fixed_tag;
use crate::model::id::ResourceId;
use crate::model::index::SubnetIndex;
use crate::model::network::Network;
use crate::model::prefix::{PortRange, host, read_prefix};
use crate::model::rule::Protocol;
use crate::model::tag::TagName;

/// What [`end_set`] takes, for help texts.
pub(super) const TAKES: &str = "an address or prefix, `any`, `Internet`, `on-premises`, the name or ID of an interface, machine, subnet, virtual network, \
     application security group, private endpoint, load balancer or public address, or a service tag";

/// The set that a text names.
pub(super) fn end_set(compiled: &Arc<CompiledNetwork>, text: &str) -> Result<EndSet, CliError> {
    if text == "*" || text.eq_ignore_ascii_case("any") {
        return Ok(EndSet::of_addresses(AddressSet::all()));
    }
    if text.eq_ignore_ascii_case(TagName::INTERNET) {
        return Ok(EndSet::of_internet(compiled));
    }
    if text.eq_ignore_ascii_case("on-premises") {
        let behind = EndSet::of_on_premises(compiled);
        if behind.own.is_empty() {
            return Err(CliError::usage(format!("`{text}`: no gateway of the network leads anywhere")));
        }
        return Ok(behind);
    }
    if let Ok(read) = read_prefix(text) {
        return Ok(EndSet::of_addresses(AddressSet::from_prefixes([read.prefix])));
    }
    let mut found = resources(compiled, text);
    let set = match (found.len(), found.pop()) {
        (0, _) => tag(compiled, text)?,
        (1, Some((kind, set))) => {
            if set.reached_by().is_empty() {
                return Err(CliError::usage(format!("`{text}`: nothing in this {kind} has an address")));
            }
            set
        }
        (_, last) => {
            found.extend(last);
            let kinds: Vec<&str> = found.iter().map(|(kind, _)| *kind).collect();
            let message = format!("`{text}` names several resources ({}): give the ID", kinds.join(", "));
            return Err(CliError::usage(message));
        }
    };
    Ok(set)
}

/// The resources of a name or ID, each with its kind and what stands in it.
fn resources(compiled: &Arc<CompiledNetwork>, text: &str) -> Vec<(&'static str, EndSet)> {
    let network = &compiled.network;
    let mut found = Vec::new();
    let own = network.find_nic(text);
    found.extend(own.iter().map(|nic| ("interface", EndSet::of_nics(compiled, &[*nic]))));
    if own.is_empty() {
        let of_machine = inputs::nics(network, text);
        if !of_machine.is_empty() {
            found.push(("machine", EndSet::of_nics(compiled, &of_machine)));
        }
    }
    for subnet in subnets(network, text) {
        found.push(("subnet", EndSet::of_subnet(compiled, subnet)));
    }
    for vnet in network.find_vnet(text) {
        found.push(("virtual network", EndSet::of_vnet(compiled, vnet)));
    }
    for endpoint in network.find_private_endpoint(text) {
        found.push(("private endpoint", EndSet::of_private_endpoint(compiled, endpoint)));
    }
    let balancers = network.load_balancers.iter().filter(|balancer| is(&balancer.id, text));
    for balancer in balancers {
        let places = frontend_places(network);
        let own = places.filter(|place| network.load_balancers[place.balancer.get()].id == balancer.id);
        let addresses = own.filter_map(|place| frontend_address(network, place.of(network)));
        found.push(("load balancer", EndSet::of_receiving(addresses.map(host).collect())));
    }
    for public_ip in network.find_public_ip(text) {
        let address = network.public_ips[public_ip.get()].address;
        found.push(("public address", EndSet::of_addresses(address.map(host).into_iter().collect())));
    }
    let asgs = network.asgs.iter().enumerate().filter(|(_, asg)| is(&asg.id, text));
    for (position, _) in asgs {
        let configurations = network.nics.iter().flat_map(|nic| &nic.ip_configurations);
        let members = configurations.filter(|one| one.asgs.iter().any(|asg| asg.get() == position));
        let addresses = members.filter_map(|one| one.address).map(host).collect();
        found.push(("application security group", EndSet::of_addresses(addresses)));
    }
    found
}

fn is(id: &ResourceId, text: &str) -> bool {
    id.as_str().eq_ignore_ascii_case(text) || id.name().eq_ignore_ascii_case(text)
}

/// Subnets by ID or name, or by `VNET/SUBNET`.
pub(super) fn subnets(network: &Network, text: &str) -> Vec<SubnetIndex> {
    let is_it = |position: &usize| {
        let subnet = &network.subnets[*position];
        let vnet = &network.vnets[subnet.vnet.get()].id;
        let both = text.split_once('/');
        is(&subnet.id, text)
            || both.is_some_and(|(of, name)| is(vnet, of) && subnet.id.name().eq_ignore_ascii_case(name))
    };
    (0..network.subnets.len()).filter(is_it).map(SubnetIndex::new).collect()
}

/// The addresses of a service tag.
fn tag(compiled: &CompiledNetwork, text: &str) -> Result<EndSet, CliError> {
    let name = TagName::new(text);
    let prefixes = fixed_tag(&name).or_else(|| compiled.tags.get(&name).map(|tag| tag.prefixes.clone()));
    match prefixes {
        Some(prefixes) => Ok(EndSet::of_addresses(AddressSet::from_prefixes(prefixes))),
        None if name.is_computed() => Err(CliError::usage(format!(
            "`{text}`: what the tag holds differs from subnet to subnet: name networks, subnets or prefixes"
        ))),
        None => {
            Err(CliError::usage(format!("`{text}`: nothing of the network is called so: expected {TAKES}")))
        }
    }
}

/// The packets that a text names: `tcp/443,8080-8090`, `udp`, `icmp`, `47`, `any`.
pub(super) fn services(text: &str) -> Result<ServiceSet, CliError> {
    let wrong = |what: &str| CliError::usage(format!("`{text}`: {what}"));
    if text == "*" || text.eq_ignore_ascii_case("any") {
        return Ok(ServiceSet::all());
    }
    let (protocol, ports) = match text.split_once('/') {
        Some((protocol, ports)) => (protocol, Some(ports)),
        None => (text, None),
    };
    let read = Protocol::read(protocol).ok_or_else(|| {
        wrong("expected a protocol (tcp, udp, icmp, esp, ah or a number), with ports as in tcp/443,8080-8090, or any")
    })?;
    let destination_ports = match ports {
        None => PortSet::all(),
        Some(_) if !read.has_ports() => return Err(wrong("packets of this protocol have no ports")),
        Some(ports) => {
            let range = |text: &str| {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                PortRange::new(first.trim().parse().ok()?, last.trim().parse().ok()?)
            };
            let ranges = ports.split(',').map(|part| {
                range(part).ok_or_else(|| wrong(&format!("`{part}` is no port or range of ports")))
            });
            PortSet::from_ranges(ranges.collect::<Result<Vec<_>, _>>()?)
        }
    };
    let protocols = ProtocolSet::one(read);
    Ok(ServiceSet { protocols, source_ports: PortSet::all(), destination_ports })
}

#[cfg(test)]
mod tests {
    use super::services;
    use crate::model::rule::Protocol;

    #[test]
    fn services_are_protocols_with_ports() {
        let https = services("tcp/443,8080-8090").unwrap();
        assert!(https.protocols.contains(Protocol::TCP) && !https.protocols.contains(Protocol::UDP));
        for (port, expected) in [(443, true), (8080, true), (8090, true), (8091, false), (80, false)] {
            assert_eq!(https.destination_ports.contains(Some(port)), expected, "{port}");
        }
        assert!(services("icmp").unwrap().destination_ports.contains(None));
        assert!(services("any").unwrap().protocols.contains(Protocol(47)));
        for wrong in ["tcq", "tcp/", "tcp/70000", "icmp/8", "tcp/90-80", ""] {
            assert!(services(wrong).is_err(), "{wrong}");
        }
    }
}
