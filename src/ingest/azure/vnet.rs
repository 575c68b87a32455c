//! Virtual networks, their subnets and peerings (JSON-4).

use super::collect::Resource;
use super::findings::Findings;
use super::node::Node;
use super::resolve::Reader;
use super::terms;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::index::{SubnetIndex, VnetIndex};
use crate::model::network::{Peering, PeeringState, PrivateEndpointPolicies, ServiceEndpoint, Subnet, Vnet};
use crate::model::prefix::Prefix;

/// Reads a network whose subnets are `subnets`. The nodes are those of its peerings.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
    subnets: Vec<SubnetIndex>,
) -> Result<(Vnet, Vec<Node<'a>>), IngestError> {
    let node = resource.node;
    let address_space = address_space(node, "addressSpace", &mut reader.findings)?.unwrap_or_default();
    if address_space.is_empty() {
        let message = "addressSpace is missing: expected at least one address range (TOP-1)";
        reader.findings.add(FindingCode::InvalidTopology, node, message);
    }
    let segment = "virtualNetworkPeerings";
    let mut peerings = Vec::new();
    let mut nodes = Vec::new();
    for child in reader.collection.children(resource, segment, segment, &mut reader.findings)? {
        peerings.push(peering(reader, &child)?);
        nodes.push(child.node);
    }
    let vnet = Vnet {
        id: resource.id.clone(),
        location: node.text_of("location")?.map(str::to_owned),
        address_space,
        flow_timeout_min: node.number_of("flowTimeoutInMinutes", "a number of minutes")?,
        subnets,
        peerings,
    };
    Ok((vnet, nodes))
}

/// The prefixes of `{"addressPrefixes": [...]}`; `None` if the member is not there.
pub(super) fn address_space(
    node: Node<'_>,
    member: &str,
    findings: &mut Findings,
) -> Result<Option<Vec<Prefix>>, IngestError> {
    let Some(space) = node.member(member) else { return Ok(None) };
    if !space.is_object() {
        return Err(space.wrong("an object with `addressPrefixes`"));
    }
    terms::prefixes(space, "addressPrefixes", findings).map(Some)
}

/// Reads a subnet of the network `vnet`.
pub(super) fn subnet<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
    vnet: VnetIndex,
) -> Result<Subnet, IngestError> {
    let node = resource.node;
    // Both forms denote the same thing (TOP-2); an export that has both repeats itself.
    let mut prefixes = terms::prefixes(node, "addressPrefixes", &mut reader.findings)?;
    if let Some(one) = node.member("addressPrefix") {
        let one = terms::prefix(one, &mut reader.findings)?;
        if !prefixes.contains(&one) {
            prefixes.insert(0, one);
        }
    }
    if prefixes.is_empty() {
        let message = "addressPrefix is missing: expected at least one prefix (TOP-2)";
        reader.findings.add(FindingCode::InvalidTopology, node, message);
    }
    let service_endpoints = service_endpoints(reader, node)?;
    let delegations = node
        .list_of("delegations")?
        .into_iter()
        .filter_map(|delegation| delegation.text_of("serviceName").transpose())
        .map(|name| name.map(str::to_owned))
        .collect::<Result<_, _>>()?;
    Ok(Subnet {
        id: resource.id.clone(),
        vnet,
        prefixes,
        nsg: reader.reference_of(node, "networkSecurityGroup", |positions| &positions.nsgs)?,
        route_table: reader.reference_of(node, "routeTable", |positions| &positions.route_tables)?,
        nat_gateway: reader.reference_of(node, "natGateway", |positions| &positions.nat_gateways)?,
        service_endpoints,
        endpoint_policies: reader.ids_of(node, "serviceEndpointPolicies")?,
        delegations,
        private_endpoint_policies: private_endpoint_policies(node)?,
        private_link_service_policies: private_link_service_policies(node)?,
        default_outbound_access: node.flag_of("defaultOutboundAccess")?.unwrap_or(true),
    })
}

fn service_endpoints(reader: &mut Reader<'_>, node: Node<'_>) -> Result<Vec<ServiceEndpoint>, IngestError> {
    let mut found = Vec::new();
    for endpoint in node.list_of("serviceEndpoints")? {
        let service = endpoint.text_of("service")?.ok_or_else(|| endpoint.lacks("service", "a text"))?;
        let mut locations = endpoint.texts_of("locations")?;
        if locations.is_empty() {
            let message = "locations are missing: taken as `*`, all regions (SE-2)";
            reader.findings.add(FindingCode::MissingField, endpoint, message);
            locations.push("*".to_owned());
        }
        found.push(ServiceEndpoint { service: service.to_owned(), locations });
    }
    Ok(found)
}

fn private_endpoint_policies(node: Node<'_>) -> Result<PrivateEndpointPolicies, IngestError> {
    let Some(member) = node.member("privateEndpointNetworkPolicies") else {
        return Ok(PrivateEndpointPolicies::default());
    };
    member.one_of(&[
        ("Disabled", PrivateEndpointPolicies::Disabled),
        ("Enabled", PrivateEndpointPolicies::Enabled),
        ("NetworkSecurityGroupEnabled", PrivateEndpointPolicies::NetworkSecurityGroupEnabled),
        ("RouteTableEnabled", PrivateEndpointPolicies::RouteTableEnabled),
    ])
}

/// Absent means on, as the service itself has it for a new subnet.
fn private_link_service_policies(node: Node<'_>) -> Result<bool, IngestError> {
    let member = node.member("privateLinkServiceNetworkPolicies");
    member.map_or(Ok(true), |member| member.one_of(&[("Enabled", true), ("Disabled", false)]))
}

fn peering<'a>(reader: &mut Reader<'a>, resource: &Resource<'a>) -> Result<Peering, IngestError> {
    let node = resource.node;
    let remote = node
        .reference_of("remoteVirtualNetwork")?
        .ok_or_else(|| node.lacks("remoteVirtualNetwork", "an object with an `id`"))?;
    let flag = |member: &str| node.flag_of(member).map(Option::unwrap_or_default);
    let state = state(node, &mut reader.findings)?;
    let access = node.flag_of("allowVirtualNetworkAccess")?.unwrap_or_else(|| {
        let message = "allowVirtualNetworkAccess is missing: taken as true";
        reader.findings.add(FindingCode::MissingField, node, message);
        true
    });
    Ok(Peering {
        name: resource.name()?.to_owned(),
        remote: reader.resolve(remote, |positions| &positions.vnets),
        state,
        remote_address_space: address_space(node, "remoteAddressSpace", &mut reader.findings)?
            .filter(|prefixes| !prefixes.is_empty()),
        allow_virtual_network_access: access,
        allow_forwarded_traffic: flag("allowForwardedTraffic")?,
        allow_gateway_transit: flag("allowGatewayTransit")?,
        use_remote_gateways: flag("useRemoteGateways")?,
    })
}

fn state(node: Node<'_>, findings: &mut Findings) -> Result<PeeringState, IngestError> {
    let Some(member) = node.member("peeringState") else {
        let message = "peeringState is missing: taken as `Connected`";
        findings.add(FindingCode::MissingField, node, message);
        return Ok(PeeringState::Connected);
    };
    member.one_of(&[
        ("Connected", PeeringState::Connected),
        ("Initiated", PeeringState::Initiated),
        ("Disconnected", PeeringState::Disconnected),
    ])
}
