//! Kinds of Terraform's resources around the network: servers, managers, Private Link services, scale sets (JSON-9).

use nsgsim::model::finding::FindingCode::*;
use nsgsim::model::services::{AdminAction, AdminAddress, ServiceKind};
use serde_json::{Value, json};

use super::terraform::{GROUP, Planned, plan, resource, state, to, vnet};
use super::{load, places, read};

/// Where the values of a resource stand in a state.
fn place(position: usize) -> String {
    format!("a.json#/values/root_module/resources/{position}/values")
}

#[test]
fn svc_5_a_sql_server_is_read_with_its_rules() {
    let server = "/subscriptions/s1/resourceGroups/rg-a/providers/Microsoft.Sql/servers/sql";
    let subnet = format!("{GROUP}/virtualNetworks/v/subnets/a");
    let part = |address: &str, path: &str, mut values: Value| {
        values["id"] = json!(format!("{server}{path}"));
        values["server_id"] = json!(server);
        resource(address, "", values)
    };
    let loaded = load(&[state(&[
        part(
            "azurerm_mssql_server.s",
            "",
            json!({ "name": "sql", "location": "westeurope", "public_network_access_enabled": false }),
        ),
        part(
            "azurerm_mssql_firewall_rule.office",
            "/firewallRules/office",
            json!({ "name": "office", "start_ip_address": "203.0.113.1", "end_ip_address": "203.0.113.9" }),
        ),
        part(
            "azurerm_mssql_virtual_network_rule.a",
            "/virtualNetworkRules/a",
            json!({ "name": "a", "subnet_id": subnet, "ignore_missing_vnet_service_endpoint": false }),
        ),
    ])]);
    assert_eq!(places(&loaded), []);
    let [account] = &loaded.network.service_accounts[..] else { panic!("one server") };
    assert_eq!((account.kind, account.public_network_access), (ServiceKind::Sql, false));
    assert_eq!(account.location.as_deref(), Some("westeurope"));
    assert_eq!(account.ip_rules, [("203.0.113.1".parse().unwrap(), "203.0.113.9".parse().unwrap())]);
    assert_eq!(account.subnets.iter().map(|id| id.as_str()).collect::<Vec<_>>(), [subnet]);
}

#[test]
fn svc_5_a_subnet_that_is_unknown_until_apply_is_followed_or_refused() {
    let planned = |reference: &str| -> Vec<Planned> {
        vec![
            (
                "azurerm_virtual_network.v",
                json!({ "name": "v", "address_space": ["10.1.0.0/16"] }),
                json!({ "id": true }),
                json!({}),
            ),
            (
                "azurerm_subnet.a",
                json!({ "name": "a", "virtual_network_name": "v", "address_prefixes": ["10.1.0.0/24"] }),
                json!({ "id": true }),
                json!({}),
            ),
            ("azurerm_mssql_server.s", json!({ "name": "sql" }), json!({ "id": true }), json!({})),
            (
                "azurerm_mssql_virtual_network_rule.r",
                json!({ "name": "r" }),
                json!({ "id": true, "server_id": true, "subnet_id": true }),
                json!({ "server_id": to("azurerm_mssql_server.s"), "subnet_id": to(reference) }),
            ),
        ]
    };
    let network = load(&[plan(&planned("azurerm_subnet.a"))]).network;
    assert_eq!(network.service_accounts[0].subnets, [network.subnets[0].id.clone()]);
    assert_eq!(
        read(&[plan(&planned("local.subnet"))]).unwrap_err().to_string(),
        "a.json#/planned_values/root_module/resources/3/values/subnet_id: \
         `azurerm_mssql_virtual_network_rule.r`: subnet_id is known only after apply: expected a resource ID"
    );
}

#[test]
fn svc_2_the_subnets_of_an_account_are_known_or_the_plan_is_refused() {
    let rules: Vec<Planned> = vec![(
        "azurerm_storage_account_network_rules.r",
        json!({ "storage_account_id": "/x/st", "default_action": "Deny" }),
        json!({ "virtual_network_subnet_ids": true }),
        json!({ "virtual_network_subnet_ids": { "references": ["local.subnets"] } }),
    )];
    assert_eq!(
        read(&[plan(&rules)]).unwrap_err().to_string(),
        "a.json#/planned_values/root_module/resources/0/values/virtual_network_subnet_ids: \
         `azurerm_storage_account_network_rules.r`: virtual_network_subnet_ids is known only after apply: expected \
         resource IDs"
    );
}

/// A manager whose one configuration denies what comes from the internet to the members of one group.
fn manager(deployments: &[(&str, &str)]) -> Vec<Value> {
    let manager = format!("{GROUP}/networkManagers/m");
    let group = format!("{manager}/networkGroups/g");
    let configuration = format!("{manager}/securityAdminConfigurations/c");
    let collection = format!("{configuration}/ruleCollections/k");
    let part = |address: &str, id: String, mut values: Value| {
        values["id"] = json!(id);
        resource(address, "", values)
    };
    let mut resources = vec![
        vnet(),
        part(
            "azurerm_network_manager.m",
            manager.clone(),
            json!({ "name": "m", "scope": [{ "management_group_ids": [], "subscription_ids": ["/subscriptions/s1"] }] }),
        ),
        part(
            "azurerm_network_manager_network_group.g",
            group.clone(),
            json!({ "name": "g", "network_manager_id": manager }),
        ),
        part(
            "azurerm_network_manager_static_member.v",
            format!("{group}/staticMembers/v"),
            json!({ "name": "v", "network_group_id": group,
                "target_virtual_network_id": format!("{GROUP}/virtualNetworks/v") }),
        ),
        part(
            "azurerm_network_manager_security_admin_configuration.c",
            configuration.clone(),
            json!({ "name": "c", "network_manager_id": manager,
                "apply_on_network_intent_policy_based_services": ["AllowRulesOnly"] }),
        ),
        part(
            "azurerm_network_manager_admin_rule_collection.k",
            collection.clone(),
            json!({ "name": "k", "security_admin_configuration_id": configuration, "network_group_ids": [group] }),
        ),
        part(
            "azurerm_network_manager_admin_rule.r",
            format!("{collection}/rules/r"),
            json!({ "name": "r", "admin_rule_collection_id": collection, "action": "Deny", "direction": "Inbound",
                "priority": 7, "protocol": "Tcp", "source_port_ranges": ["0-65535"], "destination_port_ranges": ["22", "3389"],
                "source": [{ "address_prefix_type": "ServiceTag", "address_prefix": "Internet" }],
                "destination": [{ "address_prefix_type": "IPPrefix", "address_prefix": "10.1.0.0/24" }] }),
        ),
    ];
    for (position, (scope, location)) in deployments.iter().enumerate() {
        resources.push(resource(
            &format!("azurerm_network_manager_deployment.d{position}"),
            "",
            json!({ "id": format!("{manager}/commit|{location}|{scope}"), "network_manager_id": manager,
                "location": location, "scope_access": scope, "configuration_ids": [configuration] }),
        ));
    }
    resources
}

#[test]
fn adm_5_a_manager_is_read_from_its_pieces() {
    let loaded = load(&[state(&manager(&[("SecurityAdmin", "westeurope")]))]);
    assert_eq!(places(&loaded), []);
    let [manager] = &loaded.network.network_managers[..] else { panic!("one manager") };
    assert_eq!(manager.subscriptions.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["/subscriptions/s1"]);
    assert_eq!(manager.groups[0].members, [loaded.network.vnets[0].id.clone()]);
    let configuration = &manager.configurations[0];
    assert_eq!(configuration.deployed, Some(true));
    assert_eq!(configuration.on_intent_policy_services, ["AllowRulesOnly"]);
    let collection = &configuration.collections[0];
    assert_eq!(
        (collection.name.as_str(), &collection.groups[..]),
        ("k", &[manager.groups[0].id.clone()][..])
    );
    let rule = &collection.rules[0];
    assert_eq!((rule.priority, rule.action), (7, AdminAction::Deny));
    assert!(matches!(&rule.sources[..], [AdminAddress::Tag(tag)] if tag.is("Internet")));
    assert_eq!(rule.destinations, [AdminAddress::Prefix("10.1.0.0/24".parse().unwrap())]);
    assert_eq!(rule.destination_ports, ["22".parse().unwrap(), "3389".parse().unwrap()]);
}

#[test]
fn adm_6_a_configuration_counts_where_it_is_deployed_to_the_regions_of_all_members() {
    let configuration = place(4);
    for (deployments, deployed, told) in [
        (&[("SecurityAdmin", "West Europe")][..], Some(true), vec![]),
        (&[("SecurityAdmin", "eastus"), ("securityadmin", "westeurope")], Some(true), vec![]),
        (&[("SecurityAdmin", "eastus")], None, vec![(UnknownValue, configuration.clone())]),
        // A deployment for peerings says nothing of admin rules, and is not read.
        (
            &[("Connectivity", "westeurope")],
            None,
            vec![(UnknownKind, place(7)), (UnknownValue, configuration.clone())],
        ),
        (&[], None, vec![(UnknownValue, configuration.clone())]),
    ] {
        let loaded = load(&[state(&manager(deployments))]);
        assert_eq!(
            loaded.network.network_managers[0].configurations[0].deployed, deployed,
            "{deployments:?}"
        );
        let mut found: Vec<_> =
            loaded.findings.iter().map(|finding| (finding.code, finding.place.clone())).collect();
        found.sort();
        assert_eq!(found, told, "{deployments:?}");
    }
    // Of a member that is not in the document the region is not known.
    let mut resources = manager(&[("SecurityAdmin", "westeurope")]);
    resources[3]["values"]["target_virtual_network_id"] = json!(format!("{GROUP}/virtualNetworks/elsewhere"));
    assert_eq!(places(&load(&[state(&resources)])), [(UnknownValue, configuration.as_str())]);
}

#[test]
fn pls_and_sep_a_private_link_service_and_an_endpoint_policy_are_read() {
    let subnet = format!("{GROUP}/virtualNetworks/v/subnets/a");
    let policy = format!("{GROUP}/serviceEndpointPolicies/p");
    let frontend = format!("{GROUP}/loadBalancers/lb/frontendIPConfigurations/f");
    let account = "/subscriptions/s1/resourceGroups/rg-a/providers/Microsoft.Storage/storageAccounts/st";
    let loaded = load(&[state(&[
        vnet(),
        resource(
            "azurerm_subnet.a",
            "virtualNetworks/v/subnets/a",
            json!({ "name": "a", "virtual_network_name": "v", "address_prefixes": ["10.1.0.0/24"],
                "private_link_service_network_policies_enabled": false, "service_endpoint_policy_ids": [policy] }),
        ),
        resource(
            "azurerm_subnet_service_endpoint_storage_policy.p",
            "serviceEndpointPolicies/p",
            json!({ "name": "p", "definition": [{ "name": "one", "service_resources": [account] },
                { "name": "two", "service": "Global", "service_resources": ["/services/Azure"] }] }),
        ),
        resource(
            "azurerm_lb.lb",
            "loadBalancers/lb",
            json!({ "name": "lb", "sku": "Standard",
                "frontend_ip_configuration": [{ "name": "f", "private_ip_address": "10.1.0.9", "subnet_id": subnet }] }),
        ),
        resource(
            "azurerm_private_link_service.s",
            "privateLinkServices/s",
            json!({ "name": "s", "load_balancer_frontend_ip_configuration_ids": [frontend],
                "nat_ip_configuration": [{ "name": "nat", "primary": true, "private_ip_address": "10.1.0.17",
                    "subnet_id": subnet }] }),
        ),
    ])]);
    assert_eq!(places(&loaded), []);
    let network = &loaded.network;
    let service = &network.private_link_services[0];
    assert_eq!(service.nat_addresses, ["10.1.0.17".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(service.frontends, [network.load_balancers[0].frontends[0].id.clone()]);
    assert!(service.subnet.as_ref().and_then(|subnet| subnet.here()).is_some());
    assert_eq!(network.subnets[0].endpoint_policies, [network.endpoint_policies[0].id.clone()]);
    assert_eq!(
        network.endpoint_policies[0].definitions,
        [
            ("Microsoft.Storage".to_owned(), vec![account.to_owned()]),
            ("Global".to_owned(), vec!["/services/Azure".to_owned()])
        ]
    );
}

#[test]
fn asg_1_a_group_is_attached_to_a_private_endpoint() {
    let endpoint = format!("{GROUP}/privateEndpoints/pe");
    let group = format!("{GROUP}/applicationSecurityGroups/g");
    let loaded = load(&[state(&[
        resource(
            "azurerm_application_security_group.g",
            "applicationSecurityGroups/g",
            json!({ "name": "g" }),
        ),
        resource(
            "azurerm_private_endpoint.pe",
            "privateEndpoints/pe",
            json!({ "name": "pe",
                "private_service_connection": [{ "name": "c", "private_ip_address": "10.1.0.5" }] }),
        ),
        resource(
            "azurerm_private_endpoint_application_security_group_association.a",
            "",
            json!({ "private_endpoint_id": endpoint, "application_security_group_id": group }),
        ),
    ])]);
    assert_eq!(places(&loaded), []);
    assert_eq!(loaded.network.private_endpoints[0].asgs, [loaded.network.asgs[0].id.clone()]);
}

#[test]
fn top_7_a_scale_sets_interfaces_are_told_to_be_unknown() {
    let set = |address: &str, block: &str| {
        resource(address, "", json!({ "name": "set", block: [{ "name": "nic", "primary": true }] }))
    };
    let loaded = load(&[state(&[
        set("azurerm_linux_virtual_machine_scale_set.l", "network_interface"),
        set("azurerm_windows_virtual_machine_scale_set.w", "network_interface"),
        set("azurerm_orchestrated_virtual_machine_scale_set.o", "network_interface"),
        set("azurerm_virtual_machine_scale_set.v", "network_profile"),
        // A set of machines that are resources of their own has no instances of a model.
        set("azurerm_orchestrated_virtual_machine_scale_set.alone", "identity"),
    ])]);
    let expected: Vec<_> =
        (0..4).map(|position| (UnknownValue, place(position))).chain([(UnknownKind, place(4))]).collect();
    let found =
        loaded.findings.iter().map(|finding| (finding.code, finding.place.clone())).collect::<Vec<_>>();
    assert_eq!(found, expected);
    for (finding, name) in
        loaded.findings.iter().zip(["linux", "windows", "orchestrated", "azurerm_virtual", "orchestrated"])
    {
        assert!(finding.message.contains(name) && finding.message.contains("scale_set"), "{finding}");
    }
}

#[test]
fn fw_1_a_group_that_may_be_on_the_subnet_of_a_firewall_is_not_told_to_be_ignored() {
    let subnet = |name: &str| json!({ "name": name, "virtual_network_name": "v", "address_prefixes": ["10.1.0.0/26"] });
    let network = |reference: &str| -> Vec<Planned> {
        vec![
            (
                "azurerm_virtual_network.v",
                json!({ "name": "v", "address_space": ["10.1.0.0/16"] }),
                json!({ "id": true }),
                json!({}),
            ),
            ("azurerm_subnet.f", subnet("AzureFirewallSubnet"), json!({ "id": true }), json!({})),
            ("azurerm_network_security_group.g", json!({ "name": "g" }), json!({ "id": true }), json!({})),
            (
                "azurerm_subnet_network_security_group_association.a",
                json!({}),
                json!({ "subnet_id": true, "network_security_group_id": true }),
                json!({ "subnet_id": to(reference),
                    "network_security_group_id": to("azurerm_network_security_group.g") }),
            ),
        ]
    };
    let told = |reference: &str| {
        let loaded = load(&[plan(&network(reference))]);
        loaded.findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(told("azurerm_subnet.f"), [NotEnforced]);
    assert_eq!(told("local.subnet"), [MissingResource, MissingResource]);
}

#[test]
fn what_decides_about_packets_and_is_not_read_is_named() {
    for kind in [
        "azurerm_firewall",
        "azurerm_lb_nat_pool",
        "azurerm_lb_backend_address_pool_address",
        "azurerm_network_manager_connectivity_configuration",
        "azurerm_mssql_managed_instance",
        "azurerm_route_server",
        "azurerm_virtual_hub",
    ] {
        let loaded = load(&[state(&[resource(&format!("{kind}.x"), "", json!({ "name": "x" }))])]);
        assert_eq!(places(&loaded), [(UnknownKind, place(0).as_str())]);
        assert!(loaded.findings[0].message.contains(kind), "{}", loaded.findings[0]);
    }
}
