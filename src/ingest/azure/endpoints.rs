//! Private endpoints, Private Link services, Bastion hosts, Application Gateways and service endpoint policies (JSON-6).

use std::net::IpAddr;

use super::collect::Resource;
use super::nic::NicDraft;
use super::node::Node;
use super::resolve::Reader;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::id::ResourceId;
use crate::model::services::{
    ApplicationGateway, BastionHost, EndpointPolicy, GatewayGeneration, PrivateEndpoint,
    PrivateLinkConnection, PrivateLinkService,
};

/// A private endpoint: its own export, the interfaces that Azure made for it, or both.
#[derive(Default)]
pub(super) struct EndpointDraft<'a> {
    pub resource: Option<Resource<'a>>,
    pub nics: Vec<NicDraft<'a>>,
}

impl<'a> EndpointDraft<'a> {
    /// Where messages about the endpoint point to.
    pub(super) fn node(&self) -> Option<Node<'a>> {
        self.resource.as_ref().or(self.nics.first().map(|nic| &nic.resource)).map(|resource| resource.node)
    }
}

/// Reads a private endpoint.
pub(super) fn private_endpoint<'a>(
    reader: &mut Reader<'a>,
    id: ResourceId,
    draft: &EndpointDraft<'a>,
) -> Result<PrivateEndpoint, IngestError> {
    let mut endpoint = PrivateEndpoint {
        id,
        subnet: None,
        addresses: Vec::new(),
        connections: Vec::new(),
        asgs: Vec::new(),
    };
    reader.know(&endpoint.id);
    let own = draft.resource.as_ref().map(|resource| resource.node);
    if let Some(node) = own {
        endpoint.subnet = reader.reference_of(node, "subnet", |positions| &positions.subnets)?;
        for configuration in node.list_of("ipConfigurations")? {
            take_address(&mut endpoint.addresses, configuration.address_of("privateIPAddress")?);
        }
        for list in ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"] {
            for connection in node.list_of(list)? {
                endpoint.connections.push(connection_of(connection)?);
            }
        }
        endpoint.asgs =
            node.references_of("applicationSecurityGroups")?.into_iter().map(|(id, _)| id).collect();
    }
    for nic in &draft.nics {
        reader.know(&nic.resource.id);
        for configuration in &nic.configurations {
            reader.know(&configuration.id);
            take_address(&mut endpoint.addresses, configuration.node.address_of("privateIPAddress")?);
            if endpoint.subnet.is_none() {
                endpoint.subnet =
                    reader.reference_of(configuration.node, "subnet", |positions| &positions.subnets)?;
            }
        }
    }
    if let (Some(node), true) = (own, endpoint.addresses.is_empty()) {
        // Its name resolution names the addresses, too; only without them the missing interface is missed.
        for config in node.list_of("customDnsConfigs")? {
            for address in config.list_of("ipAddresses")? {
                take_address(&mut endpoint.addresses, Some(address.address()?));
            }
        }
        if endpoint.addresses.is_empty() && reader.ids_of(node, "networkInterfaces")?.is_empty() {
            let message = "no member tells the endpoint's address: packets to it cannot be recognised";
            reader.findings.add(FindingCode::MissingField, node, message);
        }
    }
    Ok(endpoint)
}

fn take_address(addresses: &mut Vec<IpAddr>, address: Option<IpAddr>) {
    if let Some(address) = address.filter(|address| !addresses.contains(address)) {
        addresses.push(address);
    }
}

fn connection_of(node: Node<'_>) -> Result<PrivateLinkConnection, IngestError> {
    let state = node.member("privateLinkServiceConnectionState");
    Ok(PrivateLinkConnection {
        service: node.member("privateLinkServiceId").map(Node::id).transpose()?,
        group_ids: node.texts_of("groupIds")?,
        status: state.map(|state| state.text_of("status")).transpose()?.flatten().map(str::to_owned),
    })
}

/// Reads a Private Link service.
pub(super) fn private_link_service<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<PrivateLinkService, IngestError> {
    let node = resource.node;
    let (mut nat_addresses, mut subnet) = (Vec::new(), None);
    for configuration in node.list_of("ipConfigurations")? {
        nat_addresses.extend(configuration.address_of("privateIPAddress")?);
        let own = reader.reference_of(configuration, "subnet", |positions| &positions.subnets)?;
        subnet = subnet.or(own);
    }
    let mut endpoints = Vec::new();
    for connection in node.list_of("privateEndpointConnections")? {
        // Consumers are often in other subscriptions: an endpoint that is not here is not missed.
        endpoints.extend(connection.reference_of("privateEndpoint")?.map(|(id, _)| id));
    }
    Ok(PrivateLinkService {
        id: resource.id.clone(),
        nat_addresses,
        subnet,
        frontends: reader.ids_of(node, "loadBalancerFrontendIpConfigurations")?,
        endpoints,
    })
}

/// Reads a Bastion host.
pub(super) fn bastion<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<BastionHost, IngestError> {
    let mut host = BastionHost { id: resource.id.clone(), subnet: None, public_ip: None };
    if let Some(&configuration) = resource.node.list_of("ipConfigurations")?.first() {
        host.subnet = reader.reference_of(configuration, "subnet", |positions| &positions.subnets)?;
        host.public_ip =
            reader.reference_of(configuration, "publicIPAddress", |positions| &positions.public_ips)?;
    }
    Ok(host)
}

/// Reads an Application Gateway: where it stands and which ports it is managed through (AGW-1).
pub(super) fn application_gateway<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<ApplicationGateway, IngestError> {
    let mut subnets = Vec::new();
    for configuration in resource.node.list_of("gatewayIPConfigurations")? {
        subnets.extend(reader.reference_of(configuration, "subnet", |positions| &positions.subnets)?);
    }
    let generation = match resource.node.member("sku") {
        Some(sku) => generation(sku.text_of("tier")?.or(sku.text_of("name")?)),
        None => None,
    };
    Ok(ApplicationGateway { id: resource.id.clone(), subnets, generation })
}

/// `Standard_v2`, `WAF_v2`; `Standard`, `WAF` and, as names, their sizes: `Standard_Small`, `WAF_Large`.
fn generation(sku: Option<&str>) -> Option<GatewayGeneration> {
    let word = sku?.to_ascii_lowercase();
    let (family, rest) = word.split_once('_').unwrap_or((&word, ""));
    match (family, rest) {
        ("standard" | "waf", "v2") => Some(GatewayGeneration::V2),
        ("standard" | "waf", "" | "small" | "medium" | "large") => Some(GatewayGeneration::V1),
        _ => None,
    }
}

/// Reads a service endpoint policy.
pub(super) fn policy<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<EndpointPolicy, IngestError> {
    reader.know(&resource.id);
    reader.ids_of(resource.node, "subnets")?;
    let member = "serviceEndpointPolicyDefinitions";
    let mut definitions = Vec::new();
    for child in reader.collection.children(resource, member, member, &mut reader.findings)? {
        let service = child.node.text_of("service")?.ok_or_else(|| child.node.lacks("service", "a text"))?;
        definitions.push((service.to_owned(), child.node.texts_of("serviceResources")?));
    }
    Ok(EndpointPolicy { id: resource.id.clone(), definitions })
}
