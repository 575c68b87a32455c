//! What the user states beside the exports: each statement settles what was open without it, or is refused with line,
//! column, value and what was expected.

#![expect(clippy::unwrap_used, reason = "a helper that finds its input broken fails the test")]

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{Document, from_documents};
use nsgsim::ingest::facts::Facts;
use nsgsim::model::flow::Origin;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NicIndex, Reference, ServiceAccountIndex};
use nsgsim::model::network::Network;
use nsgsim::model::rule::Direction;
use nsgsim::model::services::{ApplianceMode, CallerEnd, ServiceAccount};
use nsgsim::model::subscription::SubscriptionKind;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{FirewallRule, NextHopKind, Reason, RouteSource, Verdict, VerdictKind};
use nsgsim::simulate::{Ends, Simulator, SimulatorOptions};
use serde_json::{Value, json};

use crate::build::{ip, tcp};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

fn id(path: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Network/{path}")
}

fn reference(path: &str) -> Value {
    json!({ "id": id(path) })
}

fn nic(name: &str, subnet: &str, address: &str) -> Value {
    json!({
        "id": id(&format!("networkInterfaces/{name}")), "name": name, "location": "westeurope",
        "ipConfigurations": [{
            "id": id(&format!("networkInterfaces/{name}/ipConfigurations/ip")), "name": "ip", "primary": true,
            "privateIPAddress": address, "subnet": reference(&format!("virtualNetworks/v/subnets/{subnet}")),
        }],
    })
}

/// A manager whose configuration `c` says one thing of inbound TCP 22.
fn manager(name: &str, group: &str, access: &str, deployed: &Value) -> Value {
    let own = id(&format!("networkManagers/{name}"));
    json!({
        "id": own, "name": name,
        "networkManagerScopes": {"managementGroups": [group], "subscriptions": []},
        "networkGroups": [{"id": format!("{own}/networkGroups/g"), "name": "g", "members": [
            {"name": "m", "resourceId": id("virtualNetworks/v")}]}],
        "securityAdminConfigurations": [{
            "id": format!("{own}/securityAdminConfigurations/{name}-ssh"), "name": format!("{name}-ssh"),
            "deployed": deployed,
            "ruleCollections": [{
                "id": format!("{own}/securityAdminConfigurations/{name}-ssh/ruleCollections/r"), "name": "r",
                "appliesToGroups": [{"networkGroupId": format!("{own}/networkGroups/g")}],
                "rules": [{"name": format!("{name}-rule"), "kind": "Custom", "priority": 1, "access": access,
                    "direction": "Inbound", "protocol": "Tcp", "sources": [], "destinations": [],
                    "sourcePortRanges": [], "destinationPortRanges": ["22"]}],
            }],
        }],
    })
}

fn management_group(name: &str) -> String {
    format!("/providers/Microsoft.Management/managementGroups/{name}")
}

/// A network with a gateway that speaks BGP, three machines, and the default rules at each.
fn inventory() -> Value {
    let subnet = |name: &str, prefix: &str| {
        json!({"id": id(&format!("virtualNetworks/v/subnets/{name}")), "name": name, "addressPrefix": prefix,
            "networkSecurityGroup": if name == "app" { reference("networkSecurityGroups/n") } else { Value::Null }})
    };
    json!({
        "virtualNetworks": [{"id": id("virtualNetworks/v"), "name": "v", "location": "westeurope",
            "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
            "subnets": [subnet("app", "10.1.1.0/24"), subnet("GatewaySubnet", "10.1.255.0/27")]}],
        "networkSecurityGroups": [{"id": id("networkSecurityGroups/n"), "name": "n", "securityRules": []}],
        "networkInterfaces": [nic("app-1", "app", "10.1.1.4"), nic("nva-1", "app", "10.1.1.5"), nic("nva-2", "app", "10.1.1.6")],
        "virtualNetworkGateways": [{"id": id("virtualNetworkGateways/gw"), "name": "gw", "gatewayType": "Vpn", "enableBgp": true,
            "ipConfigurations": [{"name": "c", "subnet": reference("virtualNetworks/v/subnets/GatewaySubnet")}]}],
    })
}

fn read(inventory: &Value) -> Network {
    let document = Document { name: "a.json".to_owned(), bytes: serde_json::to_vec(inventory).unwrap() };
    from_documents(vec![document], None).unwrap_or_else(|error| panic!("{error}")).network
}

/// The network with facts stated about it, or the error.
fn state(inventory: &Value, facts: &str) -> Result<Network, String> {
    let facts = Facts::parse("facts.yaml", facts.as_bytes()).map_err(|error| error.to_string())?;
    let mut network = read(inventory);
    facts.apply(&mut [&mut network]).map_err(|error| error.to_string())?;
    Ok(network)
}

fn stated(inventory: &Value, facts: &str) -> Network {
    state(inventory, facts).unwrap_or_else(|error| panic!("{error}"))
}

fn simulator(network: Network) -> Simulator {
    let options = CompileOptions::default();
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::new(TagCatalog::default()), options);
    Simulator::new(Arc::new(compiled), SimulatorOptions { stateful: false, ..SimulatorOptions::default() })
}

const APP: usize = 0;
const NVA_1: usize = 1;
const NVA_2: usize = 2;

fn inbound(network: Network, from: &str, to: &str) -> VerdictKind {
    let simulator = simulator(network);
    simulator.ip_flow(NicIndex::new(APP), Direction::Inbound, &tcp(from, to)).verdict.kind()
}

#[test]
fn gw_4_learned_routes_lead_to_the_gateway_and_widen_virtual_network() {
    let facts = "learned_routes:\n  - gateway: gw\n    prefixes: [172.20.0.0/16, \"2001:db8:5::/48\"]\n";
    let hop = |network| simulator(network).next_hop(NicIndex::new(APP), ip("172.20.3.4"));
    // What BGP has brought is on no resource: it may be this range (ROUTE-3 drops it otherwise).
    assert!(hop(read(&inventory())).is_err());
    let route = hop(stated(&inventory(), facts)).unwrap().unwrap();
    assert_eq!((route.next_hop, route.source), (NextHopKind::VirtualNetworkGateway, RouteSource::Gateway));
    assert_eq!(route.prefix, "172.20.0.0/16".parse().unwrap());
    // TAG-8, item 4: what the gateway has learned is VirtualNetwork, and AllowVnetInBound lets it in.
    let from = |network, address: &str| inbound(network, address, "10.1.1.4:443");
    assert_eq!(from(read(&inventory()), "172.20.3.4:50000"), VerdictKind::Undetermined);
    assert_eq!(from(stated(&inventory(), facts), "172.20.3.4:50000"), VerdictKind::Allow);
    assert_eq!(from(stated(&inventory(), facts), "172.21.3.4:50000"), VerdictKind::Deny);
}

/// Two managers over the network, the one of `high` for, the one of `low` against SSH.
fn two_managers(deployed: &Value) -> Value {
    let mut inventory = inventory();
    inventory["networkManagers"] = json!([
        manager("high", &management_group("mg-high"), "AlwaysAllow", deployed),
        manager("low", &management_group("mg-low"), "Deny", deployed),
    ]);
    inventory
}

fn ssh(network: Network) -> VerdictKind {
    inbound(network, "198.51.100.9:50000", "10.1.1.4:22")
}

#[test]
fn adm_7_parents_of_management_groups_tell_which_manager_goes_first() {
    let inventory = two_managers(&json!(true));
    assert_eq!(ssh(read(&inventory)), VerdictKind::Undetermined);
    let one_above = "management_groups:\n  - id: mg-root\n  - id: mg-high\n    parent: mg-root\n  - id: mg-low\n    parent: mg-high\n";
    assert_eq!(ssh(stated(&inventory, one_above)), VerdictKind::Allow);
    // By ID, in another order, the other way round.
    let other = format!(
        "management_groups:\n  - {{id: mg-high, parent: {}}}\n  - {{id: {}, parent: MG-Root}}\n  - {{id: mg-root, parent: null}}\n",
        management_group("mg-low"),
        management_group("mg-low"),
    );
    assert_eq!(ssh(stated(&inventory, &other)), VerdictKind::Deny);
    let groups = stated(&inventory, &other).management_groups;
    let names: Vec<&str> = groups.iter().map(|group| group.id.name()).collect();
    assert_eq!(names, ["mg-high", "mg-low", "mg-root"]);
}

#[test]
fn adm_7_a_group_of_the_exports_is_placed_and_not_contradicted() {
    let mut inventory = two_managers(&json!(true));
    inventory["managementGroups"] = json!([
        {"id": management_group("mg-root"), "name": "mg-root"},
        {"id": management_group("mg-high"), "name": "mg-high", "parent": management_group("mg-root")},
        {"id": management_group("mg-low"), "name": "mg-low"},
    ]);
    let facts = "management_groups:\n  - {id: mg-low, parent: mg-high}\n  - {id: mg-high, parent: mg-root}\n";
    assert_eq!(ssh(stated(&inventory, facts)), VerdictKind::Allow);
    let error = state(&inventory, "management_groups:\n  - id: mg-high\n").unwrap_err();
    assert_eq!(
        error,
        "facts.yaml:2:9: `mg-high`: the exports say otherwise of where the group hangs: expected the same"
    );
}

#[test]
fn adm_6_only_deployed_configurations_count() {
    let mut inventory = inventory();
    // Without BGP nothing but the manager is open.
    inventory["virtualNetworkGateways"][0]["enableBgp"] = json!(false);
    inventory["networkManagers"] =
        json!([manager("high", &management_group("mg"), "AlwaysAllow", &Value::Null)]);
    let facts =
        |deployed: bool| format!("admin_configurations:\n  - id: high-ssh\n    deployed: {deployed}\n");
    assert_eq!(ssh(read(&inventory)), VerdictKind::Undetermined);
    assert_eq!(ssh(stated(&inventory, &facts(true))), VerdictKind::Allow);
    // Then the default rules decide, and DenyAllInBound is the one that matches.
    assert_eq!(ssh(stated(&inventory, &facts(false))), VerdictKind::Deny);
    inventory["networkManagers"][0]["securityAdminConfigurations"][0]["deployed"] = json!(true);
    assert!(state(&inventory, &facts(true)).is_ok());
    let error = state(&inventory, &facts(false)).unwrap_err();
    assert_eq!(
        error,
        "facts.yaml:2:9: `high-ssh`: the exports say otherwise of whether the configuration is deployed: expected the same"
    );
}

#[test]
fn route_15_appliances_are_in_the_network() {
    let facts = "appliances:\n  - nic: nva-2\n    mode: drop\n  - nic: nva-1\n    mode: snat\n    egress_nic: NVA-2\n  - nic: app-1\n    mode: forward\n    egress_nic: app-1\n";
    let network = stated(&inventory(), facts);
    let appliances: Vec<_> = network
        .appliances
        .iter()
        .map(|appliance| (appliance.nic.clone(), appliance.mode, appliance.egress.clone()))
        .collect();
    let here = |nic| Reference::Here(NicIndex::new(nic));
    // In order of the interfaces' IDs.
    assert_eq!(
        appliances,
        [
            (here(APP), ApplianceMode::Forward, None),
            (here(NVA_1), ApplianceMode::Snat, Some(here(NVA_2))),
            (here(NVA_2), ApplianceMode::Drop, None),
        ]
    );
}

#[test]
fn route_15_an_appliance_of_the_exports_is_repeated_but_not_contradicted() {
    let mut inventory = inventory();
    inventory["appliances"] = json!([{"nic": id("networkInterfaces/nva-1"), "mode": "snat"}]);
    let facts = |mode: &str, more: &str| format!("appliances:\n  - nic: nva-1\n    mode: {mode}\n{more}");
    assert_eq!(stated(&inventory, &facts("snat", "")).appliances.len(), 1);
    for (mode, more) in [("forward", ""), ("snat", "    egress_nic: nva-2\n")] {
        assert_eq!(
            state(&inventory, &facts(mode, more)).unwrap_err(),
            "facts.yaml:2:10: `nva-1`: the exports say otherwise of what the appliance does: expected the same"
        );
    }
}

#[test]
fn gw_4_learned_routes_of_the_exports_are_repeated_but_not_contradicted() {
    let mut inventory = inventory();
    inventory["virtualNetworkGateways"][0]["learnedRoutes"] = json!(["172.20.0.0/16", "172.21.0.0/16"]);
    let facts = |prefixes: &str| format!("learned_routes:\n  - gateway: gw\n    prefixes: [{prefixes}]\n");
    assert!(state(&inventory, &facts("172.21.0.0/16, 172.20.0.0/16")).is_ok());
    assert_eq!(
        state(&inventory, &facts("172.20.0.0/16")).unwrap_err(),
        "facts.yaml:2:14: `gw`: the exports say otherwise of the routes that the gateway has learned: expected the same"
    );
}

#[test]
fn eval_13_kinds_of_subscriptions_are_found_by_a_resource() {
    let nic = ResourceId::new(&id("networkInterfaces/app-1")).unwrap();
    assert_eq!(read(&inventory()).subscription_kind(&nic), None);
    for (word, kind, blocks) in [
        ("enterprise_agreement", SubscriptionKind::EnterpriseAgreement, false),
        ("exempted_dev_test", SubscriptionKind::ExemptedDevTest, false),
        ("other", SubscriptionKind::Other, true),
    ] {
        let facts = format!("subscriptions:\n  - id: {SUBSCRIPTION}\n    kind: {word}\n");
        let found = stated(&inventory(), &facts).subscription_kind(&nic).unwrap();
        assert_eq!((found, found.blocks_smtp()), (kind, blocks));
    }
}

#[test]
fn eval_13_a_kind_that_the_exports_tell_is_repeated_but_not_contradicted() {
    let mut inventory = inventory();
    inventory["subscriptions"] = json!([{
        "id": format!("/subscriptions/{SUBSCRIPTION}"),
        "subscriptionPolicies": {"quotaId": "EnterpriseAgreement_2014-09-01"},
    }]);
    let facts = |kind: &str| format!("subscriptions:\n  - id: {SUBSCRIPTION}\n    kind: {kind}\n");
    assert_eq!(stated(&inventory, &facts("enterprise_agreement")).subscriptions.len(), 1);
    assert_eq!(
        state(&inventory, &facts("other")).unwrap_err(),
        format!(
            "facts.yaml:2:9: `{SUBSCRIPTION}`: the exports say otherwise of the kind of the subscription: expected the \
             same"
        )
    );
    // What that quota stands for only the user knows.
    inventory["subscriptions"][0]["subscriptionPolicies"]["quotaId"] = json!("MSDNDevTest_2014-09-01");
    let [only] = &stated(&inventory, &facts("exempted_dev_test")).subscriptions[..] else { panic!("one") };
    assert_eq!(only.kind, SubscriptionKind::ExemptedDevTest);
}

#[test]
fn svc_2_callers_are_in_the_network() {
    let workspace = workspace("w");
    let facts = format!(
        "callers:\n  - address: 203.0.113.0/28\n    trusted_service: true\n  - nic: nva-1\n    instance: {workspace}\n"
    );
    let network = stated(&inventory(), &facts);
    let [one, other] = network.callers.as_slice() else { panic!("{:?}", network.callers) };
    assert_eq!((one.end, one.trusted_service), (CallerEnd::Nic(NicIndex::new(NVA_1)), false));
    assert_eq!(one.instance.as_ref().unwrap().as_str(), workspace);
    assert_eq!(other.end, CallerEnd::Addresses("203.0.113.0/28".parse().unwrap()));
    assert!(other.trusted_service && other.instance.is_none());
}

fn of_provider(path: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/{path}")
}

/// A machine learning workspace.
fn workspace(name: &str) -> String {
    of_provider(&format!("Microsoft.MachineLearningServices/workspaces/{name}"))
}

/// The inventory with a storage account `st`, a vault `kv` and a SQL server `sql`, which let in nobody but, where they
/// know such rules, these resource instances and what `bypass` names.
fn with_services(instances: &[String], bypass: &str) -> Value {
    let rules: Vec<Value> = instances.iter().map(|instance| json!({ "resourceId": instance })).collect();
    let closed = json!({"defaultAction": "Deny", "bypass": bypass, "resourceAccessRules": rules});
    let mut inventory = inventory();
    // Nothing but the firewalls is open.
    inventory["virtualNetworkGateways"] = json!([]);
    inventory["storageAccounts"] = json!([{"id": of_provider("Microsoft.Storage/storageAccounts/st"), "name": "st", "networkRuleSet": closed}]);
    inventory["vaults"] = json!([{"id": of_provider("Microsoft.KeyVault/vaults/kv"), "name": "kv",
        "properties": {"networkAcls": closed}}]);
    inventory["sqlServers"] = json!([{"id": of_provider("Microsoft.Sql/servers/sql"), "name": "sql"}]);
    inventory
}

/// The rule by which an account lets a packet in, or nothing where its default action denies it.
#[track_caller]
fn let_in(network: &Network, account: &str, origin: Origin, from: &str) -> Option<FirewallRule> {
    let is_named = |known: &ServiceAccount| known.id.name() == account;
    let target = network.service_accounts.iter().position(is_named).map(ServiceAccountIndex::new);
    let ends = Ends { target, ..origin.into() };
    let packet = tcp(&format!("{from}:50000"), "203.0.113.200:443");
    match simulator(network.clone()).path(ends, &packet, 0).verdict {
        Verdict::Allow(Reason::ServiceFirewall { rule, .. }) => Some(rule),
        Verdict::Deny(Reason::ServiceFirewall { rule: FirewallRule::DefaultAction, .. }) => None,
        other => panic!("the firewall decides: {other:?}"),
    }
}

/// As [`let_in`], for `app-1`, in the order of `st`, `kv` and `sql`.
#[track_caller]
fn let_app_in(network: &Network) -> [Option<FirewallRule>; 3] {
    ["st", "kv", "sql"].map(|account| let_in(network, account, Origin::Nic(NicIndex::new(APP)), "10.1.1.4"))
}

#[test]
fn svc_2_a_storage_account_lets_in_the_resource_instance_that_its_rule_names() {
    let facts = format!("callers:\n  - nic: app-1\n    instance: {}\n", workspace("w"));
    let by_rule = |rule: String| stated(&with_services(&[rule], "None"), &facts);
    let (known, unknown) = ([Some(FirewallRule::ResourceInstance), None, None], [None; 3]);
    assert_eq!(let_app_in(&by_rule(workspace("w"))), known);
    // A last `*` stands for all of its kind.
    assert_eq!(let_app_in(&by_rule(workspace("*"))), known);
    for other in [workspace("w-2"), workspace(""), workspace("x*"), of_provider("Microsoft.Web/sites/*")] {
        assert_eq!(let_app_in(&by_rule(other)), unknown);
    }
    // What is stated of `app-1` holds for no other end.
    let network = by_rule(workspace("*"));
    assert_eq!(let_in(&network, "st", Origin::Nic(NicIndex::new(NVA_1)), "10.1.1.5"), None);
    assert_eq!(let_in(&network, "st", Origin::Internet, "203.0.113.4"), None);
}

#[test]
fn svc_2_a_trusted_service_comes_in_only_where_the_bypass_says_so() {
    let facts = "callers:\n  - nic: app-1\n    trusted_service: true\n";
    assert_eq!(let_app_in(&stated(&with_services(&[], "None"), facts)), [None; 3]);
    let trusted = Some(FirewallRule::TrustedService);
    let mut network = stated(&with_services(&[], "AzureServices"), facts);
    assert_eq!(let_app_in(&network), [trusted, trusted, None]);
    // A SQL server knows of no bypass (SVC-5).
    network.service_accounts.iter_mut().for_each(|account| account.bypass_azure_services = true);
    assert_eq!(let_app_in(&network), [trusted, trusted, None]);
    // Whom nothing is stated of is no trusted service.
    network.callers.clear();
    assert_eq!(let_app_in(&network), [None; 3]);
}

/// The rule for the instance comes before the bypass (SVC-2).
#[test]
fn svc_2_a_caller_that_is_both_comes_in_as_the_instance() {
    let facts =
        format!("callers:\n  - nic: app-1\n    instance: {}\n    trusted_service: true\n", workspace("w"));
    let network = stated(&with_services(&[workspace("w")], "AzureServices"), &facts);
    let (instance, trusted) = (FirewallRule::ResourceInstance, FirewallRule::TrustedService);
    assert_eq!(let_app_in(&network), [Some(instance), Some(trusted), None]);
}

#[test]
fn svc_2_a_caller_outside_is_known_by_its_address() {
    let facts = "callers:\n  - address: 203.0.113.0/28\n    trusted_service: true\n";
    let network = stated(&with_services(&[], "AzureServices"), facts);
    let from = |address| let_in(&network, "kv", Origin::Internet, address);
    assert_eq!(from("203.0.113.15"), Some(FirewallRule::TrustedService));
    assert_eq!(from("203.0.113.16"), None);
    assert_eq!(let_app_in(&network), [None; 3]);
}

#[test]
fn an_empty_file_states_nothing() {
    for text in ["", "# nothing yet\n", "appliances: []\n"] {
        assert!(stated(&inventory(), text).appliances.is_empty(), "{text}");
    }
}

#[test]
fn of_two_networks_one_that_has_it_is_enough() {
    let mut candidate = inventory();
    candidate["networkInterfaces"].as_array_mut().unwrap().push(nic("nva-9", "app", "10.1.1.9"));
    let text = "appliances:\n  - nic: nva-9\n    mode: forward\n  - nic: nva-1\n    mode: forward\n";
    let facts = Facts::parse("facts.yaml", text.as_bytes()).unwrap();
    let (mut base, mut after) = (read(&inventory()), read(&candidate));
    facts.apply(&mut [&mut base, &mut after]).unwrap();
    assert_eq!((base.appliances.len(), after.appliances.len()), (1, 2));
    let (mut base, mut after) = (read(&inventory()), read(&inventory()));
    assert_eq!(
        facts.apply(&mut [&mut base, &mut after]).unwrap_err().to_string(),
        "facts.yaml:2:10: `nva-9`: no interface of this name or ID in the network"
    );
}

#[test]
fn what_is_wrong_is_told_with_line_column_value_and_expectation() {
    let ring = "management_groups:\n  - {id: mg, parent: other}\n  - {id: other, parent: mg}\n";
    let mut inventory = inventory();
    inventory["networkManagers"] = json!([
        manager("one", &management_group("mg"), "Deny", &Value::Null),
        manager("two", &management_group("mg"), "Deny", &Value::Null),
    ]);
    // Two configurations of one name, two interfaces of one name.
    for manager in inventory["networkManagers"].as_array_mut().unwrap() {
        let configuration = &mut manager["securityAdminConfigurations"][0];
        let own = configuration["id"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
        configuration["id"] = json!(format!("{own}/same"));
    }
    let mut twin = nic("nva-1", "app", "10.1.1.20");
    twin["id"] = json!(id("networkInterfaces/nva-1").replace("/rg/", "/rg-2/"));
    twin["ipConfigurations"][0]["id"] =
        json!(format!("{}/ipConfigurations/ip", twin["id"].as_str().unwrap()));
    inventory["networkInterfaces"].as_array_mut().unwrap().push(twin);
    let twins =
        [id("networkInterfaces/nva-1").replace("/rg/", "/rg-2/"), id("networkInterfaces/nva-1")].join(", ");
    let configurations = ["one", "two"]
        .map(|manager| {
            format!("{}/securityAdminConfigurations/same", id(&format!("networkManagers/{manager}")))
        })
        .join(", ");
    for (text, place, ids) in [
        ("appliances:\n  - nic: nva-1\n    mode: drop\n", "2:10: `nva-1`", twins),
        ("admin_configurations:\n  - id: same\n    deployed: true\n", "2:9: `same`", configurations),
    ] {
        let expected = format!("facts.yaml:{place}: several are called so, expected the ID: {ids}");
        assert_eq!(state(&inventory, text).unwrap_err(), expected);
    }
    for (text, expected) in [
        // The file.
        (
            "appliance: []\n",
            "1:1: unknown field `appliance`, expected one of appliances, learned_routes, management_groups, admin_configurations, subscriptions, callers",
        ),
        ("appliances: nva-1\n", "1:13: `nva-1`: expected a list"),
        ("appliances:\n  - nva-1\n", "2:5: `nva-1`: expected keys with values"),
        ("appliances: []\nappliances: []\n", "2:1: `appliances` stands here a second time: expected it once"),
        ("appliances: [\n", "1:13: unclosed bracket '['"),
        ("callers: []\n---\ncallers: []\n", "3:1: a second document: expected one"),
        // Appliances.
        (
            "appliances:\n  - nic: nva-2\n    mode: forwards\n",
            "3:11: unknown variant `forwards`, expected one of forward, snat, drop",
        ),
        ("appliances:\n  - nic: nva-2\n", "2:5: missing field `mode`"),
        (
            "appliances:\n  - nic: nva-2\n    mode: snat\n    egress: nva-1\n",
            "4:5: unknown field `egress`, expected one of nic, mode, egress_nic",
        ),
        (
            "appliances:\n  - nic: nva-3\n    mode: snat\n",
            "2:10: `nva-3`: no interface of this name or ID in the network",
        ),
        (
            "appliances:\n  - nic: nva-2\n    mode: snat\n    egress_nic: nva-3\n",
            "4:17: `nva-3`: no interface of this name or ID in the network",
        ),
        (
            "appliances:\n  - nic: nva-2\n    mode: drop\n    egress_nic: app-1\n",
            "4:17: `egress_nic` beside mode `drop`: expected it with `forward` or `snat` only",
        ),
        (
            "appliances:\n  - {nic: nva-2, mode: drop}\n  - {nic: NVA-2, mode: drop}\n",
            "3:11: `NVA-2` is stated at facts.yaml:2:11 already: expected it once",
        ),
        ("appliances:\n  - nic:\n    mode: drop\n", "2:8: nothing stands here: expected a text"),
        // Learned routes.
        (
            "learned_routes:\n  - gateway: gw-2\n    prefixes: [172.20.0.0/16]\n",
            "2:14: `gw-2`: no gateway of this name or ID in the network",
        ),
        (
            "learned_routes:\n  - gateway: gw\n    prefixes: []\n",
            "3:15: the list is empty: expected at least one CIDR block",
        ),
        (
            "learned_routes:\n  - gateway: gw\n    prefixes: [172.20.0.0/33]\n",
            "3:16: `172.20.0.0/33` is neither an IP address nor a CIDR block: expected one of them",
        ),
        (
            "learned_routes:\n  - gateway: gw\n    prefixes: [172.20.1.0/16]\n",
            "3:16: `172.20.1.0/16` has host bits set: expected `172.20.0.0/16`",
        ),
        (
            "learned_routes:\n  - gateway: gw\n    prefixes: [172.20.0.0/16, 172.20.0.0/16]\n",
            "3:31: `172.20.0.0/16` stands here a second time: expected it once",
        ),
        (
            "learned_routes:\n  - {gateway: gw, prefixes: [172.20.0.0/16]}\n  - {gateway: gw, prefixes: [172.20.0.0/16]}\n",
            "3:15: `gw` is stated at facts.yaml:2:15 already: expected it once",
        ),
        // Management groups.
        (
            "management_groups:\n  - id: mg-x\n",
            "2:9: `mg-x`: no management group of this name or ID in the exports, nor above another one",
        ),
        (
            "management_groups:\n  - id: mg\n    parent: up\n",
            "3:13: `up`: nothing tells where this group hangs: expected an entry for it, without a parent if it is the root",
        ),
        (
            "management_groups:\n  - id: mg\n  - id: MG\n",
            "3:9: `MG` is stated at facts.yaml:2:9 already: expected it once",
        ),
        (ring, "2:10: `mg` hangs under itself: expected a root above it"),
        ("management_groups:\n  - id: \"\"\n", "2:9: ``: expected a management group's name or ID"),
        // Admin configurations.
        (
            "admin_configurations:\n  - id: none\n    deployed: true\n",
            "2:9: `none`: no security admin configuration of this name or ID in the network",
        ),
        (
            "admin_configurations:\n  - id: same\n    deployed: yes\n",
            "3:15: `yes`: expected `true` or `false`",
        ),
        // Subscriptions.
        (
            "subscriptions:\n  - id: 7\n    kind: other\n",
            "2:9: `7`: no resource of the network is in a subscription of this ID",
        ),
        (
            "subscriptions:\n  - id: 7\n    kind: trial\n",
            "3:11: unknown variant `trial`, expected one of enterprise_agreement, exempted_dev_test, other",
        ),
        (
            "subscriptions:\n  - {id: 00000000-0000-0000-0000-000000000001, kind: other}\n  - {id: 00000000-0000-0000-0000-000000000001, kind: other}\n",
            "3:10: `00000000-0000-0000-0000-000000000001` is stated at facts.yaml:2:10 already: expected it once",
        ),
        // Callers.
        ("callers:\n  - trusted_service: true\n", "2:5: expected either `nic` or `address`"),
        (
            "callers:\n  - nic: app-1\n    address: 203.0.113.1\n    trusted_service: true\n",
            "2:5: expected either `nic` or `address`",
        ),
        (
            "callers:\n  - nic: app-1\n",
            "2:5: the caller is nobody special: expected `instance`, `trusted_service` or both",
        ),
        (
            "callers:\n  - nic: app-9\n    trusted_service: true\n",
            "2:10: `app-9`: no interface of this name or ID in the network",
        ),
        (
            "callers:\n  - nic: app-1\n    instance: workspace\n",
            "3:15: `workspace`: expected a whole ID, `/subscriptions/...`",
        ),
        (
            "callers:\n  - {nic: app-1, trusted_service: true}\n  - {nic: app-1, trusted_service: true}\n",
            "3:11: `app-1` is stated at facts.yaml:2:11 already: expected it once",
        ),
        (
            "callers:\n  - {address: 203.0.113.0/28, trusted_service: true}\n  - {address: 203.0.113.4, trusted_service: true}\n",
            "3:15: `203.0.113.4/32` overlaps `203.0.113.0/28` of another caller: expected an address once",
        ),
    ] {
        assert_eq!(state(&inventory, text).unwrap_err(), format!("facts.yaml:{expected}"), "{text}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_its_line() {
    let error = Facts::parse("facts.yaml", b"# one\nappliances: \xff\n").unwrap_err();
    assert_eq!(error.to_string(), "facts.yaml:2: the text is not UTF-8: expected a YAML file");
}

#[test]
fn the_example_of_the_readme_is_the_one_of_the_page() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let (readme, example) = (read("README.md"), read("tests/cli/facts/facts.yaml"));
    assert!(readme.contains(&format!("```yaml\n{example}```\n")));
    // It is complete: every section is there, and states something.
    let network: Value = serde_json::from_str(&read("tests/cli/facts/network.json")).unwrap();
    let network = stated(&network, &example);
    assert!(!network.appliances.is_empty() && !network.gateways[0].learned_routes.is_empty());
    assert!(!network.management_groups.is_empty() && !network.subscriptions.is_empty());
    assert!(!network.callers.is_empty());
    let mut configurations = network.network_managers.iter().flat_map(|manager| &manager.configurations);
    assert!(configurations.all(|configuration| configuration.deployed.is_some()));
}

#[test]
fn hostile_files_end_in_an_answer_or_an_error_with_the_file() {
    let bomb: String = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let before = level - 1;
        format!("{text}a{level}: &a{level} [*a{before}, *a{before}]\n")
    });
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), bomb] {
        let error = Facts::parse("facts.yaml", text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("facts.yaml:"), "{error}");
    }
    // The example cut anywhere, and with any byte replaced.
    let example = std::fs::read("tests/cli/facts/facts.yaml").unwrap();
    for position in 0..example.len() {
        let mut mangled = example.clone();
        mangled[position] = b'{';
        for bytes in [&example[..position], &mangled] {
            if let Err(error) = Facts::parse("facts.yaml", bytes) {
                assert!(error.to_string().starts_with("facts.yaml:"), "{error}");
            }
        }
    }
}
