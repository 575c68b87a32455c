//! Gateways, load balancers, admin rules, accounts and what else JSON-6 names.

use nsgsim::model::finding::FindingCode::*;
use nsgsim::model::index::Reference;
use nsgsim::model::prefix::PortRange;
use nsgsim::model::routing::ConnectionRemote;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{AdminAction, AdminAddress, ApplianceMode, ServiceKind};
use nsgsim::model::subscription::SubscriptionKind;
use nsgsim::model::tag::TagName;
use serde_json::{Value, json};

use super::network::two_tiers;
use super::{codes, id, load, places, read, reference};

#[test]
fn eval_13_a_quota_tells_the_kind_of_a_subscription() {
    let kind_of = |policies: Value| {
        let subscription = json!({
            "id": "/subscriptions/0000-1", "subscriptionId": "0000-1", "subscriptionPolicies": policies
        });
        let network = load(&[json!({ "subscriptions": [subscription] })]).network;
        network.subscriptions.first().map(|known| (known.id.clone(), known.kind))
    };
    let known = |kind| Some(("0000-1".to_owned(), kind));
    for (quota, expected) in [
        ("EnterpriseAgreement_2014-09-01", known(SubscriptionKind::EnterpriseAgreement)),
        ("PayAsYouGo_2014-09-01", known(SubscriptionKind::Other)),
        ("FreeTrial_2014-09-01", known(SubscriptionKind::Other)),
        ("MSDNDevTest_2014-09-01", None),
    ] {
        assert_eq!(kind_of(json!({ "quotaId": quota, "spendingLimit": "Off" })), expected, "{quota}");
    }
    assert_eq!(kind_of(json!({ "spendingLimit": "Off" })), None);
    assert_eq!(kind_of(json!(null)), None);
}

#[test]
fn top_7_machines_of_flexible_scale_sets_are_known() {
    let machine = |name: &str, scale_set: Value| {
        let id = id(&format!("virtualMachines/{name}")).replace("Microsoft.Network", "Microsoft.Compute");
        (id.clone(), json!({ "id": id, "name": name, "virtualMachineScaleSet": scale_set }))
    };
    let scale_set = json!({ "id": "/x/virtualMachineScaleSets/s" });
    let ((b, of_b), (a, mut of_a)) = (machine("b", scale_set.clone()), machine("a", scale_set.clone()));
    let (_, alone) = machine("c", json!(null));
    // The shape of templates and of the service itself.
    of_a["virtualMachineScaleSet"].take();
    of_a["properties"] = json!({ "virtualMachineScaleSet": scale_set });
    of_a["type"] = json!("Microsoft.Compute/virtualMachines");
    let loaded = load(&[json!({ "virtualMachines": [of_b, alone] }), json!([of_a])]);
    let found: Vec<&str> = loaded.network.flexible_machines.iter().map(|id| id.as_str()).collect();
    assert_eq!(found, [a, b]);
    assert_eq!(codes(&loaded.findings), []);
}

#[test]
fn json_6_gateways_accounts_and_appliances() {
    let mut inventory = two_tiers();
    inventory["virtualNetworks"][0]["subnets"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "GatewaySubnet", "addressPrefix": "10.20.255.0/27" }));
    inventory["virtualNetworkGateways"] = json!([{
        "id": id("virtualNetworkGateways/gw"), "gatewayType": "ExpressRoute", "learnedRoutes": ["10.90.0.0/16"],
        "vpnClientConfiguration": { "vpnClientAddressPool": { "addressPrefixes": ["172.30.0.0/24"] } },
        "ipConfigurations": [{ "subnet": reference("virtualNetworks/vnet-a/subnets/GatewaySubnet") }]
    }]);
    inventory["localNetworkGateways"] = json!([{ "id": id("localNetworkGateways/site"),
        "localNetworkAddressSpace": { "addressPrefixes": ["10.91.0.0/16"] } }]);
    inventory["connections"] = json!([{ "id": id("connections/c"), "connectionType": "IPsec",
        "virtualNetworkGateway1": reference("virtualNetworkGateways/gw"),
        "localNetworkGateway2": reference("localNetworkGateways/site") }]);
    inventory["storageAccounts"] = json!([{ "id": "/x/st", "publicNetworkAccess": "Enabled", "networkRuleSet": {
        "bypass": "Logging, AzureServices", "defaultAction": "Deny",
        "ipRules": [{ "ipAddressOrRange": "203.0.113.0/24" }],
        "virtualNetworkRules": [{ "virtualNetworkResourceId": "/x/subnets/s" }] } }]);
    inventory["vaults"] = json!([{ "id": "/x/kv", "properties": { "networkAcls": {
        "bypass": "None", "defaultAction": "Allow", "ipRules": [{ "value": "203.0.113.9" }] } } }]);
    inventory["appliances"] = json!([{ "nic": id("networkInterfaces/web-nic"), "mode": "snat" }]);
    let loaded = load(&[inventory]);
    let network = &loaded.network;
    assert_eq!(codes(&loaded.findings), []);
    let gateway = &network.gateways[0];
    assert!(gateway.express_route && gateway.bgp);
    assert!(
        matches!(gateway.vnet, Some(Reference::Here(_)))
            && matches!(gateway.subnet, Some(Reference::Here(_)))
    );
    assert_eq!((gateway.client_pools.len(), gateway.learned_routes.len()), (1, 1));
    assert!(matches!(&network.connections[0].remote, ConnectionRemote::Site(Some(Reference::Here(_)))));
    let [vault, storage] = &network.service_accounts[..] else { panic!("two accounts") };
    assert_eq!(
        (vault.kind, vault.default_allow, vault.bypass_azure_services),
        (ServiceKind::KeyVault, Some(true), false)
    );
    assert_eq!((storage.default_allow, storage.bypass_azure_services), (Some(false), true));
    let range = ["203.0.113.0", "203.0.113.255"].map(|text| text.parse().unwrap());
    assert_eq!(storage.ip_rules, [(range[0], range[1])]);
    assert_eq!(network.appliances[0].mode, ApplianceMode::Snat);
    assert!(matches!(network.appliances[0].nic, Reference::Here(_)));
}

#[test]
fn json_6_a_load_balancer_and_what_it_leads_to() {
    let frontend = || reference("loadBalancers/lb/frontendIPConfigurations/fe");
    let pool = || reference("loadBalancers/lb/backendAddressPools/pool");
    let configuration = "networkInterfaces/web-nic/ipConfigurations/c";
    let mut inventory = two_tiers();
    inventory["networkInterfaces"][0]["ipConfigurations"][0]["loadBalancerBackendAddressPools"] =
        json!([pool()]);
    inventory["loadBalancers"] = json!([{
        "id": id("loadBalancers/lb"), "sku": { "name": "Standard" },
        "frontendIPConfigurations": [{ "name": "FE", "publicIPAddress": reference("publicIPAddresses/pip") }],
        "backendAddressPools": [{ "name": "pool", "backendIPConfigurations": [reference(configuration)],
            "loadBalancerBackendAddresses": [{ "name": "a", "ipAddress": "10.20.1.9" }] }],
        "loadBalancingRules": [{ "name": "ha", "frontendIPConfiguration": frontend(),
            "backendAddressPool": pool(), "backendAddressPools": [pool()], "protocol": "All",
            "frontendPort": 0, "backendPort": 0, "enableFloatingIP": true,
            "probe": reference("loadBalancers/lb/probes/gone") }],
        "probes": [{ "name": "p", "protocol": "Tcp", "port": 8080 }],
        "inboundNatRules": [{ "name": "ssh", "frontendIPConfiguration": frontend(), "protocol": "Tcp",
            "frontendPort": 0, "frontendPortRangeStart": 500, "frontendPortRangeEnd": 520, "backendPort": 22,
            "backendAddressPool": pool() }],
        "outboundRules": [{ "name": "out", "protocol": "Udp", "frontendIPConfigurations": [frontend()],
            "backendAddressPool": pool() }]
    }]);
    let loaded = load(&[inventory]);
    assert_eq!(places(&loaded), [(MissingResource, "a.json#/loadBalancers/0/loadBalancingRules/0/probe/id")]);
    let balancer = &loaded.network.load_balancers[0];
    assert!(balancer.standard && matches!(balancer.frontends[0].public_ip, Some(Reference::Here(_))));
    assert_eq!(balancer.pools[0].addresses, ["10.20.1.9".parse::<std::net::IpAddr>().unwrap()]);
    let rule = &balancer.rules[0];
    assert_eq!((rule.protocol, rule.pools.len(), rule.floating_ip), (None, 1, true));
    assert_eq!(rule.frontend.as_ref(), Some(&balancer.frontends[0].id));
    let nat_rule = &balancer.nat_rules[0];
    assert_eq!((nat_rule.frontend_ports, nat_rule.protocol), (PortRange::new(500, 520), Some(Protocol::TCP)));
    assert_eq!((balancer.probes[0].port, balancer.outbound_rules[0].protocol), (8080, Some(Protocol::UDP)));
}

/// A manager with one rule, in one piece, and in the pieces that separate calls print.
fn manager() -> (Value, Vec<Value>) {
    let manager = "networkManagers/nm";
    let group = format!("{manager}/networkGroups/g");
    let configuration = format!("{manager}/securityAdminConfigurations/sec");
    let collection = format!("{configuration}/ruleCollections/rc");
    let rule = json!({
        "id": id(&format!("{collection}/rules/no-ssh")), "name": "no-ssh", "kind": "Custom", "priority": 10,
        "access": "AlwaysAllow", "direction": "Inbound", "protocol": "Any",
        "sources": [{ "addressPrefix": "Storage", "addressPrefixType": "ServiceTag" },
                    { "addressPrefix": "*", "addressPrefixType": "IPPrefix" }],
        "destinations": [], "sourcePortRanges": ["0-65535"], "destinationPortRanges": ["22"]
    });
    let member = json!({ "resourceId": id("virtualNetworks/vnet-a"),
        "id": id(&format!("{group}/staticMembers/m")) });
    let mut head = json!({ "id": id(manager),
        "networkManagerScopes": { "managementGroups": ["root"], "subscriptions": [] } });
    let mut groups = json!({ "id": id(&group), "name": "g" });
    let mut configurations = json!({ "id": id(&configuration), "name": "sec", "deployed": true });
    let mut collections = json!({ "id": id(&collection), "name": "rc",
        "appliesToGroups": [{ "networkGroupId": id(&group) }] });
    let pieces = vec![
        head.clone(),
        groups.clone(),
        configurations.clone(),
        collections.clone(),
        rule.clone(),
        member.clone(),
    ];
    groups["members"] = json!([member]);
    collections["rules"] = json!([rule]);
    configurations["ruleCollections"] = json!([collections]);
    head["networkGroups"] = json!([groups]);
    head["securityAdminConfigurations"] = json!([configurations]);
    (head, pieces)
}

#[test]
fn adm_5_admin_rules_are_read_whole_or_in_pieces() {
    let (whole, mut pieces) = manager();
    let whole = load(&[json!([whole])]);
    pieces.reverse();
    let pieces = load(&[json!({ "value": pieces })]);
    assert_eq!((codes(&whole.findings), codes(&pieces.findings)), (vec![], vec![]));
    let managers = |loaded: &nsgsim::ingest::azure::Loaded| format!("{:?}", loaded.network.network_managers);
    assert_eq!(managers(&whole), managers(&pieces));
    let manager = &whole.network.network_managers[0];
    assert_eq!((manager.groups[0].members.len(), manager.configurations[0].deployed), (1, Some(true)));
    let rule = &manager.configurations[0].collections[0].rules[0];
    assert_eq!(
        (rule.priority, rule.action, rule.direction),
        (10, AdminAction::AlwaysAllow, Direction::Inbound)
    );
    assert_eq!(rule.sources, [AdminAddress::Tag(TagName::new("storage")), AdminAddress::Any]);
    assert_eq!((rule.protocol, rule.destinations.len()), (None, 0));
    assert_eq!(rule.source_ports, [PortRange::ALL]);
}

#[test]
fn json_6_admin_rules_in_force_on_a_network_are_told_by_their_further_members() {
    let rule = json!({ "id": id("networkManagers/nm/securityAdminConfigurations/s/ruleCollections/rc/rules/r"),
        "priority": 5, "access": "Deny", "direction": "Outbound", "protocol": "Tcp",
        "ruleCollectionAppliesToGroups": [{ "networkGroupId": "/x" }] });
    let loaded = load(&[json!({ "value": [rule], "skipToken": "more" })]);
    assert_eq!(places(&loaded), [(IncompleteList, "a.json#/skipToken")]);
    let rules = &loaded.network.effective_admin_rules[0].rules;
    assert_eq!((rules.len(), rules[0].name.as_str(), rules[0].action), (1, "r", AdminAction::Deny));
}

#[test]
fn json_6_two_lists_of_rules_in_force_that_differ_are_refused() {
    let list = |priority: u32| {
        json!({ "value": [{ "name": "r", "priority": priority, "access": "Deny", "direction": "Outbound",
            "protocol": "Tcp", "ruleCollectionAppliesToGroups": [{ "networkGroupId": "/x" }] }] })
    };
    assert_eq!(load(&[list(5), list(5)]).network.effective_admin_rules.len(), 1);
    let error = read(&[list(5), list(6)]).unwrap_err().to_string();
    assert!(
        error.starts_with("b.json#/value/0: these rules in force differ from those of another list"),
        "{error}"
    );
}

#[test]
fn top_7_interfaces_of_scale_sets_are_interfaces() {
    let nic = id("virtualMachineScaleSets/s/virtualMachines/0/networkInterfaces/n")
        .replace("Microsoft.Network", "Microsoft.Compute");
    let loaded = load(&[
        two_tiers(),
        json!([{ "id": nic, "ipConfigurations": [{ "name": "c",
        "privateIPAddress": "10.20.1.77", "subnet": reference("virtualNetworks/vnet-a/subnets/web") }] }]),
    ]);
    assert_eq!((codes(&loaded.findings), loaded.network.nics.len()), (vec![], 3));
}

#[test]
fn svc_5_rules_of_a_sql_server_come_as_its_children() {
    let server = "/subscriptions/0/resourceGroups/g/providers/Microsoft.Sql/servers/sql";
    let loaded = load(&[json!([
        { "id": server, "type": "Microsoft.Sql/servers", "publicNetworkAccess": "Disabled" },
        { "id": format!("{server}/firewallRules/azure"), "startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0" },
        { "id": format!("{server}/virtualNetworkRules/v"), "virtualNetworkSubnetId": "/x/subnets/s" }
    ])]);
    assert_eq!(codes(&loaded.findings), []);
    let account = &loaded.network.service_accounts[0];
    assert_eq!((account.kind, account.default_allow), (ServiceKind::Sql, Some(false)));
    assert_eq!((account.public_network_access, account.ip_rules.len(), account.subnets.len()), (false, 1, 1));
}

#[test]
fn what_a_gateway_needs_and_the_export_lacks_is_told() {
    let loaded = load(&[json!([
        { "id": id("virtualNetworkGateways/gw"), "gatewayType": "Vpn" },
        { "id": id("connections/c"), "connectionType": "IPsec",
          "virtualNetworkGateway1": reference("virtualNetworkGateways/gw") },
        { "id": id("privateEndpoints/pe") }
    ])]);
    assert_eq!(
        places(&loaded),
        [(MissingField, "a.json#/0"), (MissingField, "a.json#/1"), (MissingField, "a.json#/2")]
    );
}
