//! Terraform's state and plans become the networks that they describe (JSON-9).

use nsgsim::ingest::azure::{Deployment, Document, Loaded, Side, from_documents_deployed};
use nsgsim::model::finding::FindingCode::*;
use nsgsim::model::index::Reference;
use nsgsim::model::rule::AddressTerm;
use serde_json::{Value, json};

use super::{load, places, read};

pub(super) const GROUP: &str = "/subscriptions/s1/resourceGroups/rg-a/providers/Microsoft.Network";

/// A resource of a state; `values` gets the group and the ID below it.
pub(super) fn resource(address: &str, id: &str, mut values: Value) -> Value {
    let kind = address.split('.').next().unwrap();
    values["resource_group_name"] = json!("rg-a");
    if !id.is_empty() {
        values["id"] = json!(format!("{GROUP}/{id}"));
    }
    json!({ "address": address, "mode": "managed", "type": kind, "values": values })
}

pub(super) fn state(resources: &[Value]) -> Value {
    json!({ "format_version": "1.0", "terraform_version": "1.9.0",
        "values": { "root_module": { "resources": resources } } })
}

fn rule(name: &str, more: &Value) -> Value {
    let mut rule = json!({ "name": name, "priority": 200, "direction": "Inbound", "access": "Allow",
        "protocol": "Tcp", "source_address_prefix": "Internet", "source_address_prefixes": [],
        "source_port_range": "*", "destination_address_prefix": "*", "destination_port_range": "",
        "destination_port_ranges": ["443", "80"] });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

pub(super) fn vnet() -> Value {
    resource(
        "azurerm_virtual_network.v",
        "virtualNetworks/v",
        json!({ "name": "v", "location": "westeurope", "address_space": ["10.1.0.0/16"] }),
    )
}

#[test]
fn json_9_associations_and_parts_meet_their_resources() {
    let subnet = format!("{GROUP}/virtualNetworks/v/subnets/a");
    let nic = format!("{GROUP}/networkInterfaces/n");
    // State repeats a rule that is a resource of its own inside its group.
    let own = rule("own", &json!({ "network_security_group_name": "g" }));
    let group = json!({ "name": "g", "security_rule": [rule("inline", &json!({ "priority": 300 })),
        rule("own", &json!({ "priority": 999 }))] });
    let loaded = load(&[state(&[
        vnet(),
        resource(
            "azurerm_subnet.a",
            "virtualNetworks/v/subnets/a",
            json!({ "name": "a",
            "virtual_network_name": "v", "address_prefixes": ["10.1.0.0/24"],
            "default_outbound_access_enabled": false, "private_endpoint_network_policies": "Enabled",
            "delegation": [{ "name": "d", "service_delegation": [{ "name": "Microsoft.Web/serverFarms" }] }] }),
        ),
        resource("azurerm_network_security_group.g", "networkSecurityGroups/g", group),
        resource("azurerm_network_security_rule.own", "networkSecurityGroups/g/securityRules/own", own),
        resource(
            "azurerm_subnet_network_security_group_association.a",
            "",
            json!({ "subnet_id": subnet,
            "network_security_group_id": format!("{GROUP}/networkSecurityGroups/G") }),
        ),
        resource(
            "azurerm_route_table.t",
            "routeTables/t",
            json!({ "name": "t",
            "bgp_route_propagation_enabled": false, "route": [{ "name": "r", "address_prefix": "0.0.0.0/0",
            "next_hop_type": "VirtualAppliance", "next_hop_in_ip_address": "10.1.0.9" }] }),
        ),
        resource(
            "azurerm_subnet_route_table_association.a",
            "",
            json!({ "subnet_id": subnet,
            "route_table_id": format!("{GROUP}/routeTables/t") }),
        ),
        resource("azurerm_nat_gateway.n", "natGateways/n", json!({ "name": "n" })),
        resource(
            "azurerm_public_ip.p",
            "publicIPAddresses/p",
            json!({ "name": "p", "sku": "Standard",
            "ip_address": "203.0.113.4" }),
        ),
        resource(
            "azurerm_nat_gateway_public_ip_association.n",
            "",
            json!({
            "nat_gateway_id": format!("{GROUP}/natGateways/n"),
            "public_ip_address_id": format!("{GROUP}/publicIPAddresses/p") }),
        ),
        resource(
            "azurerm_subnet_nat_gateway_association.a",
            "",
            json!({ "subnet_id": subnet,
            "nat_gateway_id": format!("{GROUP}/natGateways/n") }),
        ),
        resource(
            "azurerm_application_security_group.w",
            "applicationSecurityGroups/w",
            json!({ "name": "w" }),
        ),
        resource(
            "azurerm_network_interface.n",
            "networkInterfaces/n",
            json!({ "name": "n",
            "enable_ip_forwarding": true, "ip_configuration": [{ "name": "one", "subnet_id": subnet,
            "private_ip_address": "10.1.0.4", "public_ip_address_id": "" }] }),
        ),
        resource(
            "azurerm_network_interface_application_security_group_association.n",
            "",
            json!({
            "network_interface_id": nic,
            "application_security_group_id": format!("{GROUP}/applicationSecurityGroups/w") }),
        ),
        resource(
            "azurerm_network_interface_security_group_association.n",
            "",
            json!({
            "network_interface_id": nic,
            "network_security_group_id": format!("{GROUP}/networkSecurityGroups/g") }),
        ),
    ])]);
    assert_eq!(places(&loaded), []);
    let network = &loaded.network;
    let subnet = &network.subnets[0];
    assert!(
        matches!(subnet.nsg, Some(Reference::Here(_)))
            && matches!(subnet.route_table, Some(Reference::Here(_)))
    );
    assert!(matches!(subnet.nat_gateway, Some(Reference::Here(_))) && !subnet.default_outbound_access);
    assert_eq!(subnet.delegations, ["Microsoft.Web/serverFarms"]);
    assert!(matches!(network.nat_gateways[0].public_ips[..], [Reference::Here(_)]));
    let rules = network.nsgs[0].rules.iter().filter(|rule| !rule.is_default);
    let rules: Vec<(&str, u32)> = rules.map(|rule| (rule.name.as_str(), rule.priority.0)).collect();
    assert_eq!(rules, [("own", 200), ("inline", 300)]);
    assert!(network.route_tables[0].disable_gateway_propagation);
    let nic = &network.nics[0];
    assert!(nic.ip_forwarding && matches!(nic.nsg, Some(Reference::Here(_))));
    assert_eq!(nic.ip_configurations[0].asgs.len(), 1);
}

#[test]
fn json_9_a_balancer_and_an_account_are_read_from_their_pieces() {
    let lb = format!("{GROUP}/loadBalancers/lb");
    let loaded = load(&[state(&[
        resource(
            "azurerm_lb.l",
            "loadBalancers/lb",
            json!({ "name": "lb", "sku": "Standard",
            "frontend_ip_configuration": [{ "name": "f", "private_ip_address": "10.1.0.9" }] }),
        ),
        resource(
            "azurerm_lb_backend_address_pool.p",
            "loadBalancers/lb/backendAddressPools/p",
            json!({ "name": "p", "loadbalancer_id": lb }),
        ),
        resource(
            "azurerm_lb_probe.h",
            "loadBalancers/lb/probes/h",
            json!({ "name": "h", "loadbalancer_id": lb, "port": 8080, "protocol": "Tcp" }),
        ),
        resource(
            "azurerm_lb_rule.r",
            "loadBalancers/lb/loadBalancingRules/r",
            json!({ "name": "r",
            "loadbalancer_id": lb, "frontend_ip_configuration_name": "f", "protocol": "Tcp",
            "frontend_port": 443, "backend_port": 8443, "floating_ip_enabled": true,
            "probe_id": format!("{lb}/probes/h"),
            "backend_address_pool_ids": [format!("{lb}/backendAddressPools/p")] }),
        ),
        resource(
            "azurerm_storage_account.s",
            "",
            json!({ "id": "/x/st", "name": "st",
            "public_network_access_enabled": true, "network_rules": [{ "default_action": "Deny",
            "bypass": ["Logging", "AzureServices"], "ip_rules": ["203.0.113.0/24"] }] }),
        ),
    ])]);
    assert_eq!(places(&loaded), []);
    let balancer = &loaded.network.load_balancers[0];
    assert!(balancer.standard);
    let rule = &balancer.rules[0];
    assert_eq!((rule.frontend_port, rule.backend_port, rule.floating_ip), (443, 8443, true));
    assert_eq!(rule.frontend.as_ref(), Some(&balancer.frontends[0].id));
    assert_eq!(rule.pools, [balancer.pools[0].id.clone()]);
    let account = &loaded.network.service_accounts[0];
    assert_eq!((account.default_allow, account.bypass_azure_services), (Some(false), true));
    assert_eq!(account.ip_rules.len(), 1);
}

/// A plan that creates these resources: each with its values, what is unknown of it, and its expressions.
pub(super) fn plan(resources: &[(&str, Value, Value, Value)]) -> Value {
    let kind = |address: &str| address.split('.').next().unwrap().to_owned();
    let name = |address: &str| address.split(['.', '[']).nth(1).unwrap().to_owned();
    let planned: Vec<Value> =
        resources.iter().map(|(address, values, ..)| resource(address, "", values.clone())).collect();
    let changes: Vec<Value> = resources
        .iter()
        .map(|(address, _, unknown, _)| {
            json!({ "address": address, "mode": "managed", "type": kind(address),
                "change": { "actions": ["create"], "before": null, "after_unknown": unknown } })
        })
        .collect();
    let configuration: Vec<Value> = resources
        .iter()
        .map(|(address, _, _, expressions)| {
            json!({ "type": kind(address), "name": name(address), "expressions": expressions })
        })
        .collect();
    json!({ "format_version": "1.2", "terraform_version": "1.9.0",
        "planned_values": { "root_module": { "resources": planned } },
        "resource_changes": changes, "configuration": { "root_module": { "resources": configuration } } })
}

fn side(document: &Value, side: Side) -> Loaded {
    let bytes = serde_json::to_vec(document).unwrap();
    let deployment = Deployment { side, ..Deployment::default() };
    let document = Document { name: "a.json".to_owned(), bytes };
    from_documents_deployed(vec![document], None, &deployment).unwrap()
}

pub(super) fn to(reference: &str) -> Value {
    json!({ "references": [format!("{reference}.id"), reference] })
}

pub(super) type Planned = (&'static str, Value, Value, Value);

fn planned_network() -> Vec<Planned> {
    let unknown = json!({ "id": true });
    vec![
        (
            "azurerm_virtual_network.v",
            json!({ "name": "v", "address_space": ["10.1.0.0/16"] }),
            unknown.clone(),
            json!({}),
        ),
        (
            "azurerm_subnet.s[0]",
            json!({ "name": "s0", "virtual_network_name": "v", "address_prefixes": ["10.1.0.0/24"] }),
            unknown.clone(),
            json!({}),
        ),
        (
            "azurerm_subnet.s[1]",
            json!({ "name": "s1", "virtual_network_name": "v", "address_prefixes": ["10.1.1.0/24"] }),
            unknown.clone(),
            json!({}),
        ),
        ("azurerm_network_security_group.g", json!({ "name": "g" }), unknown, json!({ "name": {} })),
    ]
}

fn association(subnet: &Value) -> Planned {
    (
        "azurerm_subnet_network_security_group_association.x[1]",
        json!({}),
        json!({ "id": true, "subnet_id": true, "network_security_group_id": true }),
        json!({ "subnet_id": subnet, "network_security_group_id": to("azurerm_network_security_group.g") }),
    )
}

#[test]
fn json_9_ids_that_are_unknown_until_apply_are_followed_through_the_configuration() {
    for (expression, named) in [
        (
            json!({ "references": ["azurerm_subnet.s[1].id", "azurerm_subnet.s[1]", "azurerm_subnet.s"] }),
            true,
        ),
        (json!({ "references": ["azurerm_subnet.s", "count.index"] }), true),
        // Which of the two it is cannot be told.
        (json!({ "references": ["azurerm_subnet.s"] }), false),
        (json!({ "references": ["local.subnet"] }), false),
    ] {
        let mut resources = planned_network();
        resources.push(association(&expression));
        let loaded = side(&plan(&resources), Side::Candidate);
        let nsgs: Vec<_> = loaded.network.subnets.iter().map(|subnet| &subnet.nsg).collect();
        if named {
            assert!(matches!(nsgs[..], [None, Some(Reference::Here(_))]), "{expression}: {nsgs:?}");
            assert_eq!(places(&loaded), [], "{expression}");
        } else {
            let open = matches!(nsgs[..], [Some(Reference::Missing(_)), Some(Reference::Missing(_))]);
            assert!(open, "{expression}: {nsgs:?}");
            assert!(loaded.findings.iter().all(|finding| finding.code == MissingResource));
        }
    }
}

/// A plan with something of everything that plans have.
pub(super) fn a_plan() -> Value {
    let mut resources = planned_network();
    resources.push(association(&json!({ "references": ["azurerm_subnet.s", "count.index"] })));
    let unknown = json!({ "id": true, "source_address_prefixes": [true] });
    let values = rule("r", &json!({ "network_security_group_name": "g" }));
    resources.push(("azurerm_network_security_rule.r", values, unknown, json!({})));
    let mut document = plan(&resources);
    document["prior_state"] = state(&[vnet()]);
    document
}

#[test]
fn json_9_modules_hand_ids_in_and_out() {
    let mut resources = planned_network();
    resources.pop();
    let mut document = plan(&resources);
    let unknown =
        json!({ "id": true, "ip_configuration": [{ "subnet_id": true, "private_ip_address": true }] });
    let nic = "module.vm.azurerm_network_interface.n";
    let mut planned = resource(
        "azurerm_network_interface.n",
        "",
        json!({ "name": "n", "ip_configuration": [{ "name": "one" }] }),
    );
    planned["address"] = json!(nic);
    document["planned_values"]["root_module"]["child_modules"] =
        json!([{ "address": "module.vm", "resources": [planned] }]);
    document["resource_changes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "address": nic, "change": { "after_unknown": unknown } }));
    document["configuration"]["root_module"]["module_calls"] = json!({
        "vm": { "expressions": { "subnet": { "references": ["module.net.first", "module.net"] } },
            "module": { "resources": [{ "type": "azurerm_network_interface", "name": "n", "expressions": {
                "ip_configuration": [{ "name": { "constant_value": "one" },
                    "subnet_id": { "references": ["var.subnet"] } }] } }] } },
        "net": { "expressions": { "in": { "references": ["azurerm_subnet.s[0].id", "azurerm_subnet.s[0]"] } },
            "module": { "outputs": { "first": { "expression": { "references": ["var.in"] } } } } },
    });
    let loaded = side(&document, Side::Candidate);
    assert_eq!(places(&loaded), []);
    let subnet = loaded.network.nics[0].subnet.as_ref().and_then(Reference::here).unwrap();
    assert_eq!(loaded.network.subnets[subnet.get()].id.name(), "s0");
}

#[test]
fn json_9_a_plan_has_two_sides() {
    let mut document = plan(&planned_network());
    assert!(side(&document, Side::Base).network.vnets.is_empty());
    assert_eq!(side(&document, Side::Candidate).network.subnets.len(), 2);
    // What changes is what it was; `prior_state` goes first.
    document["resource_changes"][0]["change"]["before"] = json!({ "name": "old", "address_space": ["10.2.0.0/16"],
        "id": format!("{GROUP}/virtualNetworks/old"), "resource_group_name": "rg-a" });
    let base = side(&document, Side::Base);
    assert_eq!((base.network.vnets[0].id.name(), base.has_plan), ("old", true));
    document["prior_state"] = state(&[vnet()]);
    assert_eq!(
        side(&document, Side::Base).network.vnets[0].id.as_str(),
        format!("{GROUP}/virtualNetworks/v")
    );
    assert_eq!(side(&state(&[vnet()]), Side::Base).network.vnets.len(), 1);
}

#[test]
fn what_a_plan_knows_to_be_nothing_is_not_unknown() {
    let nic = json!({ "name": "n", "ip_configuration": [{ "name": "one", "public_ip_address_id": null }] });
    let expressions =
        json!({ "ip_configuration": [{ "public_ip_address_id": { "references": ["var.address"] } }] });
    for (unknown, open) in [(json!({ "id": true }), false), (Value::Null, true)] {
        let loaded = side(
            &plan(&[("azurerm_network_interface.n", nic.clone(), unknown, expressions.clone())]),
            Side::Candidate,
        );
        assert_eq!(loaded.network.nics[0].ip_configurations[0].public_ip.is_some(), open);
    }
}

#[test]
fn an_address_that_is_unknown_until_apply_leaves_the_rule_open() {
    let mut resources = planned_network();
    let mut values = rule("r", &json!({ "network_security_group_name": "g" }));
    values.as_object_mut().unwrap().remove("source_address_prefix");
    let unknown = json!({ "id": true, "source_address_prefix": true });
    resources.push(("azurerm_network_security_rule.r", values, unknown, json!({})));
    let loaded = side(&plan(&resources), Side::Candidate);
    let rule = &loaded.network.nsgs[0].rules[0];
    let [AddressTerm::Asg(Reference::Missing(id))] = &rule.source[..] else { panic!("{:?}", rule.source) };
    assert_eq!(id.as_str(), "/known-after-apply/azurerm_network_security_rule.r/source_address_prefix");
    let place = "a.json#/planned_values/root_module/resources/4/values/source_address_prefix";
    assert_eq!(places(&loaded), [(MissingResource, place)]);
}

#[test]
fn what_cannot_be_read_of_terraform_is_refused_with_its_place() {
    let group = |rule: Value| {
        state(&[resource(
            "azurerm_network_security_group.g",
            "networkSecurityGroups/g",
            json!({ "name": "g", "security_rule": [rule] }),
        )])
    };
    let mut ports = planned_network();
    let mut values = rule("r", &json!({ "network_security_group_name": "g", "destination_port_ranges": [] }));
    values.as_object_mut().unwrap().remove("destination_port_range");
    ports.push((
        "azurerm_network_security_rule.r",
        values,
        json!({ "destination_port_range": true }),
        json!({}),
    ));
    for (document, message) in [
        (
            group(rule("r", &json!({ "priority": "high" }))),
            "a.json#/values/root_module/resources/0/values/security_rule/0/priority: rule `r`: priority `high` is not an \
             integer",
        ),
        (
            plan(&ports),
            "a.json#/planned_values/root_module/resources/4/values/destination_port_range: \
             `azurerm_network_security_rule.r`: destination_port_range is known only after apply: expected a value",
        ),
        (
            json!({ "format_version": "1.0", "terraform_version": "1.9.0" }),
            "a.json#: neither `values` nor `planned_values`: expected the output of `terraform show -json`",
        ),
        (
            json!([state(&[])]),
            "a.json#/0: Terraform's state or plan stands inside another document: expected a file of its own",
        ),
        (
            json!({ "terraform_version": "1", "values": { "root_module": { "resources": [{ "address": "x", "values": {} }] } } }),
            "a.json#/values/root_module/resources/0/address: address `x` is not an address such as `azurerm_subnet.db`",
        ),
    ] {
        assert_eq!(read(&[document]).unwrap_err().to_string(), message);
    }
    let other = load(&[state(&[resource("azurerm_firewall.f", "azureFirewalls/f", json!({ "name": "f" }))])]);
    assert_eq!(places(&other), [(UnknownKind, "a.json#/values/root_module/resources/0/values")]);
}
