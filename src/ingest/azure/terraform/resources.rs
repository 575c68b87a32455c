//! What each type of resource becomes in ARM's shape (JSON-9).

use super::draft::{Content, Draft};
use super::fields::Fields;
use super::ids::unknown;
use super::managers;
use crate::ingest::azure::node::Node;
use crate::ingest::error::IngestError;

pub(super) type Done = Result<(), IngestError>;

const ASG: &[&str] = &["azurerm_application_security_group"];
const NSG: &[&str] = &["azurerm_network_security_group"];
const POOL: &[&str] = &["azurerm_lb_backend_address_pool"];
const PUBLIC_IP: &[&str] = &["azurerm_public_ip"];
const SUBNET: &[&str] = &["azurerm_subnet"];
pub(super) const VNET: &[&str] = &["azurerm_virtual_network"];

/// Sets the members of a resource of a type that has a shape of IDs. `own_parts` tells whether a part of this resource
/// is a resource of its own: then that one counts, and what the parent's attributes say of it is a copy.
pub(super) fn fill(fields: &mut Fields<'_, '_, '_>, id: &str, own_parts: &dyn Fn(&str) -> bool) -> Done {
    match fields.item.kind() {
        "azurerm_network_security_group" => {
            parts(fields, id, own_parts, "security_rule", "securityRules", rule)
        }
        "azurerm_network_security_rule" => rule(fields),
        "azurerm_virtual_network" => vnet(fields, id, own_parts),
        "azurerm_subnet" => subnet(fields),
        "azurerm_virtual_network_peering" => peering(fields),
        "azurerm_network_interface" => nic(fields),
        "azurerm_public_ip" => public_ip(fields),
        "azurerm_route_table" => {
            fields.flag(&["bgp_route_propagation_enabled"], "disableBgpRoutePropagation", false, true)?;
            fields.flag(&["disable_bgp_route_propagation"], "disableBgpRoutePropagation", true, false)?;
            parts(fields, id, own_parts, "route", "routes", route)
        }
        "azurerm_route" => route(fields),
        "azurerm_nat_gateway" => {
            fields.open("idle_timeout_in_minutes", "idleTimeoutInMinutes");
            Ok(())
        }
        "azurerm_lb" => balancer(fields),
        "azurerm_lb_probe" => fields.known("port", "port"),
        "azurerm_lb_rule" => balancing_rule(fields),
        "azurerm_lb_nat_rule" => nat_rule(fields),
        "azurerm_lb_outbound_rule" => outbound_rule(fields),
        "azurerm_private_endpoint" => private_endpoint(fields),
        "azurerm_virtual_network_gateway" => gateway(fields),
        "azurerm_local_network_gateway" => {
            fields.open("gateway_address", "gatewayIpAddress");
            space(fields, "address_space", "localNetworkAddressSpace")
        }
        "azurerm_virtual_network_gateway_connection" => connection(fields),
        "azurerm_storage_account" => account(fields, "network_rules"),
        "azurerm_key_vault" => account(fields, "network_acls"),
        "azurerm_application_gateway" => application_gateway(fields),
        "azurerm_bastion_host" => fields.each("ip_configuration", "ipConfigurations", |inner| {
            inner.open("name", "name");
            inner.reference("subnet_id", "subnet", SUBNET)?;
            inner.reference("public_ip_address_id", "publicIPAddress", PUBLIC_IP)
        }),
        "azurerm_private_link_service" => private_link_service(fields),
        "azurerm_subnet_service_endpoint_storage_policy" => endpoint_policy(fields),
        "azurerm_mssql_server" => public_access(fields),
        "azurerm_mssql_firewall_rule" => {
            fields.known("start_ip_address", "startIpAddress")?;
            fields.known("end_ip_address", "endIpAddress")
        }
        "azurerm_mssql_virtual_network_rule" => {
            fields.known_id("subnet_id", "virtualNetworkSubnetId", SUBNET)
        }
        kind if kind.starts_with("azurerm_network_manager") => managers::fill(fields),
        // An application security group or a pool is its ID; what else it holds stands at others.
        _ => Ok(()),
    }
}

/// The parts that stand inside their resource and are no resources of their own. State repeats the latter inside.
fn parts<'a>(
    fields: &mut Fields<'_, '_, 'a>,
    id: &str,
    own_parts: &dyn Fn(&str) -> bool,
    attribute: &str,
    segment: &'static str,
    fill: impl Fn(&mut Fields<'_, '_, 'a>) -> Done,
) -> Done {
    // Left to the provider, as it is where the parts are resources of their own, it is unknown before apply.
    if fields.block.is_configured(attribute) {
        fields.check_known(attribute)?;
    }
    let mut items = Vec::new();
    for block in fields.block.blocks(attribute)? {
        let name = block.values.text_of("name")?.unwrap_or_default();
        if own_parts(&format!("{id}/{segment}/{name}")) {
            continue;
        }
        let mut inner = Fields::new(fields.ids, fields.item, block);
        inner.open("name", "name");
        fill(&mut inner)?;
        items.push(inner.finish());
    }
    fields.list(segment, items);
    Ok(())
}

/// The members of a rule by side: attributes and what they are in ARM.
type RuleSide = [(&'static str, &'static str); 5];

const SOURCE: RuleSide = [
    ("source_address_prefix", "sourceAddressPrefix"),
    ("source_address_prefixes", "sourceAddressPrefixes"),
    ("source_application_security_group_ids", "sourceApplicationSecurityGroups"),
    ("source_port_range", "sourcePortRange"),
    ("source_port_ranges", "sourcePortRanges"),
];

const DESTINATION: RuleSide = [
    ("destination_address_prefix", "destinationAddressPrefix"),
    ("destination_address_prefixes", "destinationAddressPrefixes"),
    ("destination_application_security_group_ids", "destinationApplicationSecurityGroups"),
    ("destination_port_range", "destinationPortRange"),
    ("destination_port_ranges", "destinationPortRanges"),
];

fn rule(fields: &mut Fields<'_, '_, '_>) -> Done {
    for (attribute, member) in
        [("priority", "priority"), ("direction", "direction"), ("access", "access"), ("protocol", "protocol")]
    {
        fields.known(attribute, member)?;
    }
    fields.open("description", "description");
    for [one, many, groups, port, ports] in [SOURCE, DESTINATION] {
        fields.known(port.0, port.1)?;
        fields.known(ports.0, ports.1)?;
        addresses(fields, one, many, groups)?;
    }
    Ok(())
}

/// Addresses that are known only after apply are as a group that is not in the inventory: whether the rule matches is
/// undetermined, and the group's name says what is not known.
fn addresses(
    fields: &mut Fields<'_, '_, '_>,
    one: (&str, &'static str),
    many: (&str, &'static str),
    groups: (&str, &'static str),
) -> Done {
    let mut found = fields.ids.references(fields.item, fields.block, groups.0, ASG)?;
    fields.open(one.0, one.1);
    let known = fields.block.values.list_of(many.0)?.into_iter().filter(|item| !item.is_empty());
    let known = known.map(Draft::copy).collect();
    fields.list(many.1, known);
    for attribute in [one.0, many.0] {
        if fields.block.is_unknown(attribute) {
            found.push((unknown(fields.item, attribute), fields.place(attribute)));
        }
    }
    fields.list(groups.1, super::ids::drafts(found));
    Ok(())
}

fn vnet(fields: &mut Fields<'_, '_, '_>, id: &str, own_parts: &dyn Fn(&str) -> bool) -> Done {
    fields.open("flow_timeout_in_minutes", "flowTimeoutInMinutes");
    space(fields, "address_space", "addressSpace")?;
    parts(fields, id, own_parts, "subnet", "subnets", |inner| {
        inner.reference("security_group", "networkSecurityGroup", NSG)?;
        inner.reference("route_table_id", "routeTable", &["azurerm_route_table"])?;
        subnet(inner)
    })
}

/// `{"addressPrefixes": [...]}`.
fn space<'a>(fields: &mut Fields<'_, '_, 'a>, attribute: &str, member: &'static str) -> Done {
    fields.check_known(attribute)?;
    if let Some(node) = fields.block.values.member(attribute) {
        let content = Content::Object(vec![("addressPrefixes", Draft::copy(node))]);
        fields.put(member, Draft { place: node.place(), content });
    }
    Ok(())
}

fn subnet(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.known("address_prefix", "addressPrefix")?;
    fields.known("address_prefixes", "addressPrefixes")?;
    let mut endpoints = Vec::new();
    for service in fields.block.values.list_of("service_endpoints")? {
        let content = Content::Object(vec![("service", Draft::copy(service))]);
        endpoints.push(Draft { place: service.place(), content });
    }
    fields.list("serviceEndpoints", endpoints);
    fields.references(
        "service_endpoint_policy_ids",
        "serviceEndpointPolicies",
        &["azurerm_subnet_service_endpoint_storage_policy"],
    )?;
    let mut delegations = Vec::new();
    for delegation in fields.block.blocks("delegation")? {
        for service in delegation.blocks("service_delegation")? {
            delegations.push(fields.nested(service, |inner| inner.copy("name", "serviceName"))?);
        }
    }
    fields.list("delegations", delegations);
    let policies = "privateEndpointNetworkPolicies";
    if fields.block.values.member("private_endpoint_network_policies").is_some() {
        fields.copy("private_endpoint_network_policies", policies)?;
    } else {
        fields.flag(&["private_endpoint_network_policies_enabled"], policies, "Enabled", "Disabled")?;
        let older = "enforce_private_link_endpoint_network_policies";
        // The oldest name says the opposite: to enforce private link's needs is to disable the policies.
        if fields.block.values.member("private_endpoint_network_policies_enabled").is_none() {
            fields.flag(&[older], policies, "Disabled", "Enabled")?;
        }
    }
    let policies = "privateLinkServiceNetworkPolicies";
    let newer = "private_link_service_network_policies_enabled";
    fields.flag(&[newer], policies, "Enabled", "Disabled")?;
    if fields.block.values.member(newer).is_none() {
        let older = "enforce_private_link_service_network_policies";
        fields.flag(&[older], policies, "Disabled", "Enabled")?;
    }
    fields.flag(&["default_outbound_access_enabled"], "defaultOutboundAccess", true, false)
}

fn peering(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.reference("remote_virtual_network_id", "remoteVirtualNetwork", VNET)?;
    for (attribute, member) in [
        ("allow_virtual_network_access", "allowVirtualNetworkAccess"),
        ("allow_forwarded_traffic", "allowForwardedTraffic"),
        ("allow_gateway_transit", "allowGatewayTransit"),
        ("use_remote_gateways", "useRemoteGateways"),
    ] {
        fields.flag(&[attribute], member, true, false)?;
    }
    Ok(())
}

fn nic(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.flag(&["ip_forwarding_enabled", "enable_ip_forwarding"], "enableIPForwarding", true, false)?;
    fields.open("mac_address", "macAddress");
    // The machine names its interfaces, not they it: before apply this is nothing but a back reference.
    if let Some(machine) = fields.block.values.member("virtual_machine_id") {
        fields.put("virtualMachine", Draft::reference(&machine.place(), machine.text()?.to_owned()));
    }
    Ok(())
}

/// An IP configuration of an interface; what is associated with it is added by the caller.
pub(super) fn ip_configuration(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.open("name", "name");
    fields.flag(&["primary"], "primary", true, false)?;
    fields.open("private_ip_address", "privateIPAddress");
    fields.open("private_ip_address_version", "privateIPAddressVersion");
    fields.reference("subnet_id", "subnet", SUBNET)?;
    fields.reference("public_ip_address_id", "publicIPAddress", PUBLIC_IP)
}

fn public_ip(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.open("ip_address", "ipAddress");
    fields.open("allocation_method", "publicIPAllocationMethod");
    fields.open("idle_timeout_in_minutes", "idleTimeoutInMinutes");
    sku(fields)
}

/// `{"name": ...}`.
fn sku(fields: &mut Fields<'_, '_, '_>) -> Done {
    if fields.block.is_configured("sku") {
        fields.check_known("sku")?;
    }
    if let Some(node) = fields.block.values.member("sku") {
        let content = Content::Object(vec![("name", Draft::copy(node))]);
        fields.put("sku", Draft { place: node.place(), content });
    }
    Ok(())
}

fn route(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.known("address_prefix", "addressPrefix")?;
    fields.known("next_hop_type", "nextHopType")?;
    // The address of an appliance may be unknown: where packets go then is as open as it is with an export that has none.
    fields.open("next_hop_in_ip_address", "nextHopIpAddress");
    Ok(())
}

fn balancer(fields: &mut Fields<'_, '_, '_>) -> Done {
    sku(fields)?;
    fields.each("frontend_ip_configuration", "frontendIPConfigurations", |inner| {
        inner.open("name", "name");
        inner.open("private_ip_address", "privateIPAddress");
        inner.reference("subnet_id", "subnet", SUBNET)?;
        inner.reference("public_ip_address_id", "publicIPAddress", PUBLIC_IP)
    })
}

/// The frontend that a rule names; its balancer is the rule's.
fn frontend<'a>(fields: &Fields<'_, '_, 'a>, name: Node<'a>) -> Result<Draft<'a>, IngestError> {
    let balancer = fields.ids.parent(fields.item)?;
    let id = format!("{balancer}/frontendIPConfigurations/{}", name.text()?);
    Ok(Draft::reference(&name.place(), id))
}

fn own_frontend(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.check_known("frontend_ip_configuration_name")?;
    if let Some(name) = fields.block.values.member("frontend_ip_configuration_name") {
        let frontend = frontend(fields, name)?;
        fields.put("frontendIPConfiguration", frontend);
    }
    Ok(())
}

fn balancing_rule(fields: &mut Fields<'_, '_, '_>) -> Done {
    for (attribute, member) in
        [("protocol", "protocol"), ("frontend_port", "frontendPort"), ("backend_port", "backendPort")]
    {
        fields.known(attribute, member)?;
    }
    own_frontend(fields)?;
    fields.references("backend_address_pool_ids", "backendAddressPools", POOL)?;
    fields.reference("backend_address_pool_id", "backendAddressPool", POOL)?;
    fields.reference("probe_id", "probe", &["azurerm_lb_probe"])?;
    fields.flag(&["floating_ip_enabled", "enable_floating_ip"], "enableFloatingIP", true, false)?;
    fields.flag(&["disable_outbound_snat"], "disableOutboundSnat", true, false)?;
    fields.open("idle_timeout_in_minutes", "idleTimeoutInMinutes");
    Ok(())
}

fn nat_rule(fields: &mut Fields<'_, '_, '_>) -> Done {
    for (attribute, member) in [
        ("protocol", "protocol"),
        ("frontend_port", "frontendPort"),
        ("frontend_port_start", "frontendPortRangeStart"),
        ("frontend_port_end", "frontendPortRangeEnd"),
        ("backend_port", "backendPort"),
    ] {
        fields.copy(attribute, member)?;
    }
    own_frontend(fields)?;
    fields.reference("backend_address_pool_id", "backendAddressPool", POOL)?;
    fields.flag(&["floating_ip_enabled", "enable_floating_ip"], "enableFloatingIP", true, false)
}

fn outbound_rule(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.known("protocol", "protocol")?;
    fields.reference("backend_address_pool_id", "backendAddressPool", POOL)?;
    let mut frontends = Vec::new();
    for block in fields.block.blocks("frontend_ip_configuration")? {
        let name = block.values.member("name").ok_or_else(|| block.values.lacks("name", "a text"))?;
        frontends.push(frontend(fields, name)?);
    }
    fields.list("frontendIPConfigurations", frontends);
    Ok(())
}

fn private_endpoint(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.reference("subnet_id", "subnet", SUBNET)?;
    let mut addresses = Vec::new();
    for list in ["ip_configuration", "private_service_connection"] {
        for block in fields.block.blocks(list)? {
            addresses.push(fields.nested(block, |inner| {
                inner.open("private_ip_address", "privateIPAddress");
                Ok(())
            })?);
        }
    }
    fields.list("ipConfigurations", addresses);
    fields.each("private_service_connection", "privateLinkServiceConnections", |inner| {
        inner.open("name", "name");
        if let Some((id, place)) =
            inner.ids.reference(inner.item, inner.block, "private_connection_resource_id", &[])?
        {
            inner.put("privateLinkServiceId", Draft { place, content: Content::Text(id) });
        }
        inner.copy("subresource_names", "groupIds")
    })?;
    fields.each("custom_dns_configs", "customDnsConfigs", |inner| {
        inner.open("ip_addresses", "ipAddresses");
        Ok(())
    })
}

fn gateway(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.known("type", "gatewayType")?;
    fields.flag(&["bgp_enabled", "enable_bgp"], "enableBgp", true, false)?;
    fields.each("ip_configuration", "ipConfigurations", |inner| {
        inner.open("name", "name");
        inner.reference("subnet_id", "subnet", SUBNET)?;
        inner.reference("public_ip_address_id", "publicIPAddress", PUBLIC_IP)
    })?;
    for clients in fields.block.blocks("vpn_client_configuration")? {
        let clients =
            fields.nested(clients, |inner| space(inner, "address_space", "vpnClientAddressPool"))?;
        fields.put("vpnClientConfiguration", clients);
    }
    Ok(())
}

fn application_gateway(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.each("gateway_ip_configuration", "gatewayIPConfigurations", |inner| {
        inner.open("name", "name");
        inner.reference("subnet_id", "subnet", SUBNET)
    })?;
    for sku in fields.block.blocks("sku")? {
        let sku = fields.nested(sku, |inner| {
            inner.open("tier", "tier");
            inner.open("name", "name");
            Ok(())
        })?;
        fields.put("sku", sku);
    }
    Ok(())
}

fn connection(fields: &mut Fields<'_, '_, '_>) -> Done {
    const GATEWAY: &[&str] = &["azurerm_virtual_network_gateway"];
    fields.known("type", "connectionType")?;
    fields.reference("virtual_network_gateway_id", "virtualNetworkGateway1", GATEWAY)?;
    fields.reference("peer_virtual_network_gateway_id", "virtualNetworkGateway2", GATEWAY)?;
    fields.reference("local_network_gateway_id", "localNetworkGateway2", &["azurerm_local_network_gateway"])
}

fn private_link_service(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.each("nat_ip_configuration", "ipConfigurations", |inner| {
        inner.open("name", "name");
        inner.open("private_ip_address", "privateIPAddress");
        inner.reference("subnet_id", "subnet", SUBNET)
    })?;
    // A frontend is a part of its balancer and no resource of its own: before apply there is no telling which it is.
    fields.references(
        "load_balancer_frontend_ip_configuration_ids",
        "loadBalancerFrontendIpConfigurations",
        &["frontend"],
    )
}

fn endpoint_policy(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.each("definition", "serviceEndpointPolicyDefinitions", |inner| {
        inner.open("name", "name");
        inner.known("service_resources", "serviceResources")?;
        inner.copy("service", "service")?;
        if inner.block.values.member("service").is_none() {
            // What the provider takes where nothing is said.
            inner.text("service", "Microsoft.Storage".to_owned());
        }
        Ok(())
    })
}

fn public_access(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.flag(&["public_network_access_enabled"], "publicNetworkAccess", "Enabled", "Disabled")
}

fn account(fields: &mut Fields<'_, '_, '_>, rules: &str) -> Done {
    public_access(fields)?;
    for block in fields.block.blocks(rules)? {
        let rules = fields.nested(block, network_rules)?;
        fields.put("networkAcls", rules);
    }
    Ok(())
}

/// The rules of an account's own firewall.
pub(super) fn network_rules(fields: &mut Fields<'_, '_, '_>) -> Done {
    fields.known("default_action", "defaultAction")?;
    fields.check_known("bypass")?;
    if let Some(bypass) = fields.block.values.member("bypass") {
        // A storage account has a set of words, a vault one.
        let words = bypass.as_list().unwrap_or_else(|| vec![bypass]);
        let words = words.into_iter().map(Node::text).collect::<Result<Vec<_>, _>>()?;
        fields.put("bypass", Draft { place: bypass.place(), content: Content::Text(words.join(", ")) });
    }
    fields.check_known("ip_rules")?;
    let mut ranges = Vec::new();
    for range in fields.block.values.list_of("ip_rules")? {
        let content = Content::Object(vec![("value", Draft::copy(range))]);
        ranges.push(Draft { place: range.place(), content });
    }
    fields.list("ipRules", ranges);
    fields.known_references("virtual_network_subnet_ids", "virtualNetworkRules", SUBNET)?;
    fields.each("private_link_access", "resourceAccessRules", |inner| {
        inner.copy("endpoint_resource_id", "resourceId")
    })
}
