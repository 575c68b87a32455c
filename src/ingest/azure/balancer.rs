//! Load balancers (JSON-6).

use super::collect::Resource;
use super::node::Node;
use super::resolve::Reader;
use crate::ingest::error::IngestError;
use crate::model::prefix::PortRange;
use crate::model::rule::Protocol;
use crate::model::services::{
    BackendPool, Frontend, InboundNatRule, LoadBalancer, LoadBalancingRule, OutboundRule, Probe,
};

/// Reads a load balancer.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<LoadBalancer, IngestError> {
    let sku = resource.node.member("sku").map(|sku| sku.text_of("name")).transpose()?.flatten();
    Ok(LoadBalancer {
        id: resource.id.clone(),
        // Without a SKU it is a Basic one, the only kind there was when exports did not name it.
        standard: sku.is_some_and(|sku| !sku.eq_ignore_ascii_case("Basic")),
        frontends: each(reader, resource, "frontendIPConfigurations", frontend)?,
        pools: each(reader, resource, "backendAddressPools", pool)?,
        rules: each(reader, resource, "loadBalancingRules", rule)?,
        probes: each(reader, resource, "probes", probe)?,
        nat_rules: each(reader, resource, "inboundNatRules", nat_rule)?,
        outbound_rules: each(reader, resource, "outboundRules", outbound_rule)?,
    })
}

/// Reads the children of one type, which are then known by their IDs.
fn each<'a, T>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
    member: &str,
    read: fn(&mut Reader<'a>, &Resource<'a>) -> Result<T, IngestError>,
) -> Result<Vec<T>, IngestError> {
    let children = reader.collection.children(resource, member, member, &mut reader.findings)?;
    children
        .iter()
        .map(|child| {
            reader.know(&child.id);
            read(reader, child)
        })
        .collect()
}

fn frontend<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<Frontend, IngestError> {
    let node = resource.node;
    Ok(Frontend {
        id: resource.id.clone(),
        public_ip: reader.reference_of(node, "publicIPAddress", |positions| &positions.public_ips)?,
        address: node.address_of("privateIPAddress")?,
        subnet: reader.reference_of(node, "subnet", |positions| &positions.subnets)?,
    })
}

fn pool<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<BackendPool, IngestError> {
    let node = resource.node;
    let mut addresses = Vec::new();
    for member in node.list_of("loadBalancerBackendAddresses")? {
        addresses.extend(member.address_of("ipAddress")?);
    }
    Ok(BackendPool {
        id: resource.id.clone(),
        ip_configurations: reader.ids_of(node, "backendIPConfigurations")?,
        addresses,
    })
}

fn rule<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<LoadBalancingRule, IngestError> {
    let node = resource.node;
    let mut pools = reader.ids_of(node, "backendAddressPools")?;
    if let Some(pool) = reader.id_of(node, "backendAddressPool")?
        && !pools.contains(&pool)
    {
        pools.push(pool);
    }
    Ok(LoadBalancingRule {
        name: resource.name()?.to_owned(),
        frontend: reader.id_of(node, "frontendIPConfiguration")?,
        pools,
        protocol: protocol(node)?,
        frontend_port: needed_port(node, "frontendPort")?,
        backend_port: needed_port(node, "backendPort")?,
        probe: reader.id_of(node, "probe")?,
        floating_ip: node.flag_of("enableFloatingIP")?.unwrap_or(false),
        disable_outbound_snat: node.flag_of("disableOutboundSnat")?.unwrap_or(false),
        idle_timeout_min: node.number_of("idleTimeoutInMinutes", "a number of minutes")?,
    })
}

fn probe<'a>(_: &mut Reader<'a>, resource: &Resource<'a>) -> Result<Probe, IngestError> {
    Ok(Probe { id: resource.id.clone(), port: needed_port(resource.node, "port")? })
}

fn nat_rule<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<InboundNatRule, IngestError> {
    let node = resource.node;
    let frontend_ports = match (port(node, "frontendPortRangeStart")?, port(node, "frontendPortRangeEnd")?) {
        (Some(first), Some(last)) if (first, last) != (0, 0) => Some(
            PortRange::new(first, last)
                .ok_or_else(|| node.error(format!("ports `{first}` to `{last}` are out of order")))?,
        ),
        _ => port(node, "frontendPort")?.and_then(|port| PortRange::new(port, port)),
    };
    Ok(InboundNatRule {
        id: resource.id.clone(),
        frontend: reader.id_of(node, "frontendIPConfiguration")?,
        protocol: protocol(node)?,
        frontend_ports,
        backend_port: needed_port(node, "backendPort")?,
        backend: reader.id_of(node, "backendIPConfiguration")?,
        pool: reader.id_of(node, "backendAddressPool")?,
        floating_ip: node.flag_of("enableFloatingIP")?.unwrap_or(false),
        idle_timeout_min: node.number_of("idleTimeoutInMinutes", "a number of minutes")?,
    })
}

fn outbound_rule<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<OutboundRule, IngestError> {
    let node = resource.node;
    Ok(OutboundRule {
        name: resource.name()?.to_owned(),
        frontends: reader.ids_of(node, "frontendIPConfigurations")?,
        pool: reader.id_of(node, "backendAddressPool")?,
        protocol: protocol(node)?,
        idle_timeout_min: node.number_of("idleTimeoutInMinutes", "a number of minutes")?,
    })
}

fn port(node: Node<'_>, member: &str) -> Result<Option<u16>, IngestError> {
    node.number_of(member, "a port from 0 to 65535")
}

fn needed_port(node: Node<'_>, member: &str) -> Result<u16, IngestError> {
    port(node, member)?.ok_or_else(|| node.lacks(member, "a port from 0 to 65535"))
}

/// `Tcp` or `Udp`; nothing for all protocols.
fn protocol(node: Node<'_>) -> Result<Option<Protocol>, IngestError> {
    let words = [("Tcp", Some(Protocol::TCP)), ("Udp", Some(Protocol::UDP)), ("All", None), ("*", None)];
    node.needed_one_of("protocol", &words)
}
