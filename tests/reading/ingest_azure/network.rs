//! Topology: shapes, joins, children, private endpoints, what is missing (JSON-1 to JSON-6, SIM-4, TOP, PEER).

use nsgsim::model::finding::FindingCode::*;
use nsgsim::model::index::Reference;
use nsgsim::model::network::{Network, PeeringState, PublicIpSku};
use nsgsim::model::routing::{NextHop, RouteDestination};
use serde_json::{Map, Value, json};

use super::{codes, id, load, places, reference};

/// Two subnets under one NSG, a route table, two interfaces, a public address: every reference resolves.
pub(super) fn two_tiers() -> Value {
    let nic = |name: &str, address: &str, subnet: &str, public_ip: Value| {
        json!({
            "id": id(&format!("networkInterfaces/{name}")), "name": name, "enableIPForwarding": false,
            "macAddress": "00-0D-3A-11-22-33", "networkSecurityGroup": null,
            "ipConfigurations": [{
                "id": id(&format!("networkInterfaces/{name}/ipConfigurations/c")), "name": "c", "primary": true,
                "privateIPAddress": address, "publicIPAddress": public_ip,
                "subnet": reference(&format!("virtualNetworks/vnet-a/subnets/{subnet}")),
                "applicationSecurityGroups": [reference("applicationSecurityGroups/asg-web")]
            }]
        })
    };
    let subnet = |name: &str, prefix: &str| {
        json!({
            "id": id(&format!("virtualNetworks/vnet-a/subnets/{name}")), "name": name, "addressPrefix": prefix,
            "networkSecurityGroup": reference("networkSecurityGroups/nsg-app"),
            "routeTable": reference("routeTables/rt"), "defaultOutboundAccess": false,
            "serviceEndpoints": [{ "service": "Microsoft.Storage", "locations": ["westeurope"] }],
            "delegations": [{ "name": "d", "serviceName": "Microsoft.Web/serverFarms" }]
        })
    };
    json!({
        "virtualNetworks": [{
            "id": id("virtualNetworks/vnet-a"), "name": "vnet-a", "location": "westeurope",
            "addressSpace": { "addressPrefixes": ["10.20.0.0/16"] }, "flowTimeoutInMinutes": 10,
            "subnets": [subnet("web", "10.20.1.0/24"), subnet("db", "10.20.2.0/24")]
        }],
        "networkSecurityGroups": [{
            "id": id("networkSecurityGroups/nsg-app"), "name": "nsg-app", "flushConnection": true,
            "resourceGuid": "5f0c0f3e-0000-4000-8000-000000000001",
            "securityRules": [{
                "name": "allow-web", "priority": 200, "direction": "Inbound", "access": "Allow",
                "protocol": "Tcp", "sourceAddressPrefix": "Internet", "sourcePortRange": "*",
                "destinationApplicationSecurityGroups": [reference("applicationSecurityGroups/asg-web")],
                "destinationPortRange": "443"
            }]
        }],
        "networkInterfaces": [
            nic("web-nic", "10.20.1.4", "web", reference("publicIPAddresses/pip")),
            nic("db-nic", "10.20.2.4", "db", Value::Null)
        ],
        "publicIPAddresses": [{
            "id": id("publicIPAddresses/pip"), "name": "pip", "sku": { "name": "Standard" },
            "ipAddress": "203.0.113.11",
            "ipConfiguration": reference("networkInterfaces/web-nic/ipConfigurations/c")
        }],
        "routeTables": [{
            "id": id("routeTables/rt"), "name": "rt", "disableBgpRoutePropagation": true,
            "routes": [
                { "name": "out", "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance",
                  "nextHopIpAddress": "10.20.9.4" },
                { "name": "tag", "addressPrefix": "Storage", "nextHopType": "internet" },
                { "name": "own", "addressPrefix": "10.20.0.0/16", "nextHopType": "VNetLocal" }
            ]
        }]
    })
}

/// The nested form of a flattened object, its named children included (JSON-1).
fn nested(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(nested).collect(),
        Value::Object(members) if members.contains_key("name") && members.len() > 2 => {
            let (mut outer, mut inner) = (Map::new(), Map::new());
            for (name, member) in members {
                let stays = ["id", "name", "type", "location", "sku"].contains(&name.as_str());
                (if stays { &mut outer } else { &mut inner }).insert(name.clone(), nested(member));
            }
            outer.insert("properties".to_owned(), inner.into());
            outer.into()
        }
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), nested(member))).collect()
        }
        other => other.clone(),
    }
}

fn described(network: &Network) -> String {
    format!("{network:#?}")
}

#[test]
fn every_reference_becomes_an_index() {
    let loaded = load(&[two_tiers()]);
    let network = &loaded.network;
    assert_eq!(codes(&loaded.findings), []);
    let names: Vec<&str> = network.nics.iter().map(|nic| nic.id.name()).collect();
    assert_eq!(names, ["db-nic", "web-nic"]);
    let web = &network.nics[1];
    let subnet = network.subnet_of(network.find_nic("WEB-NIC")[0]).unwrap();
    assert_eq!(network.subnets[subnet.get()].id.name(), "web");
    let subnet = &network.subnets[subnet.get()];
    let nsg = subnet.nsg.as_ref().and_then(Reference::here).unwrap();
    assert_eq!(network.nsg_name(nsg), "nsg-app");
    assert!(network.nsgs[nsg.get()].flush_connection && network.nsgs[nsg.get()].resource_guid.is_some());
    assert!(!subnet.default_outbound_access && subnet.private_link_service_policies);
    assert_eq!(subnet.delegations, ["Microsoft.Web/serverFarms"]);
    let public_ip = web.ip_configurations[0].public_ip.as_ref().and_then(Reference::here).unwrap();
    let public_ip = &network.public_ips[public_ip.get()];
    assert_eq!(public_ip.sku, Some(PublicIpSku::Standard));
    assert_eq!(public_ip.user.as_ref(), Some(&web.ip_configurations[0].id));
    assert_eq!(web.mac, Some([0, 0x0d, 0x3a, 0x11, 0x22, 0x33]));
    assert_eq!((network.vnets[0].flow_timeout_min, network.vnets[0].subnets.len()), (Some(10), 2));
    let table = &network.route_tables[0];
    assert!(table.disable_gateway_propagation);
    assert_eq!(table.routes[0].next_hop, NextHop::VirtualAppliance("10.20.9.4".parse().ok()));
    assert!(matches!(&table.routes[1].destination, RouteDestination::Tag(tag) if tag.is("storage")));
    assert_eq!(
        (&table.routes[1].next_hop, &table.routes[2].next_hop),
        (&NextHop::Internet, &NextHop::VnetLocal)
    );
}

#[test]
fn json_1_nested_and_flattened_are_the_same_network() {
    let (flat, arm) = (load(&[two_tiers()]), load(&[nested(&two_tiers())]));
    assert_eq!(described(&flat.network), described(&arm.network));
    assert_eq!(codes(&arm.findings), []);
}

#[test]
fn the_order_of_documents_and_their_shapes_do_not_show() {
    let inventory = two_tiers();
    let lists: Vec<Value> = inventory.as_object().unwrap().values().cloned().collect();
    let mut turned: Vec<Value> = lists.iter().map(|list| json!({ "value": list })).collect();
    turned.reverse();
    let (whole, lists, turned) = (load(&[inventory]), load(&lists), load(&turned));
    assert_eq!(described(&whole.network), described(&lists.network));
    assert_eq!(described(&whole.network), described(&turned.network));
    let digest = |values: &[Value]| load(values).digest;
    let (one, two) = (json!([]), json!({ "value": [] }));
    assert_eq!(digest(&[one.clone(), two.clone()]), digest(&[two.clone(), one.clone()]));
    assert_ne!(digest(&[one.clone(), two]), digest(&[one]));
}

#[test]
fn children_exported_on_their_own_join_their_parents() {
    let mut inventory = two_tiers();
    let subnets = inventory["virtualNetworks"][0]["subnets"].take();
    let mut rule = inventory["networkSecurityGroups"][0]["securityRules"].take()[0].take();
    rule["id"] = json!(id("networkSecurityGroups/NSG-APP/securityRules/allow-web"));
    let mut routes = inventory["routeTables"][0]["routes"].take();
    for route in routes.as_array_mut().unwrap() {
        route["id"] = json!(id(&format!("routeTables/rt/routes/{}", route["name"].as_str().unwrap())));
    }
    let (whole, parts) = (load(&[two_tiers()]), load(&[subnets, json!([rule]), routes, inventory]));
    assert_eq!(codes(&parts.findings), []);
    assert_eq!(parts.network.subnets.len(), whole.network.subnets.len());
    assert_eq!(parts.network.nsgs[0].rules, whole.network.nsgs[0].rules);
    assert_eq!(parts.network.route_tables[0].routes.len(), 3);
}

#[test]
fn a_child_without_its_parent_is_told_and_left_out() {
    let subnet = json!({ "id": id("virtualNetworks/v/subnets/s"), "addressPrefix": "10.0.0.0/24" });
    let loaded = load(&[subnet]);
    assert_eq!(places(&loaded), [(MissingResource, "a.json#")]);
    assert!(loaded.network.subnets.is_empty() && loaded.network.vnets.is_empty());
}

#[test]
fn of_two_exports_of_a_resource_the_later_counts() {
    let mut changed = two_tiers();
    changed["networkSecurityGroups"][0]["securityRules"][0]["destinationPortRange"] = json!("8443");
    let same = load(&[two_tiers(), nested(&two_tiers())]);
    assert_eq!(codes(&same.findings), []);
    let later = load(&[two_tiers(), changed.clone()]);
    assert_eq!(places(&later), [(DuplicateResource, "b.json#/networkSecurityGroups/0")]);
    assert_eq!(described(&later.network), described(&load(&[changed]).network));
}

#[test]
fn sim_4_an_id_that_leads_nowhere_is_told_and_stays_missing() {
    let mut inventory = two_tiers();
    for list in ["networkSecurityGroups", "routeTables", "publicIPAddresses"] {
        inventory[list].take();
    }
    let loaded = load(&[inventory]);
    assert_eq!(codes(&loaded.findings), [MissingResource; 5]);
    assert_eq!(loaded.findings[0].place, "a.json#/networkInterfaces/0/ipConfigurations/0/publicIPAddress/id");
    let subnet = &loaded.network.subnets[0];
    assert!(matches!(&subnet.nsg, Some(Reference::Missing(id)) if id.name() == "nsg-app"));
    assert!(matches!(&subnet.route_table, Some(Reference::Missing(_))));

    let mut inventory = two_tiers();
    inventory["virtualNetworks"].take();
    let loaded = load(&[inventory]);
    assert!(loaded.network.nics.iter().all(|nic| matches!(nic.subnet, Some(Reference::Missing(_)))));
}

#[test]
fn json_3_back_references_count_only_for_subnets_that_are_missing() {
    let mut inventory = two_tiers();
    inventory["networkSecurityGroups"][0]["subnets"] = json!([
        reference("virtualNetworks/vnet-a/subnets/web"),
        reference("virtualNetworks/vnet-b/subnets/x")
    ]);
    inventory["networkSecurityGroups"][0]["networkInterfaces"] =
        json!([reference("networkInterfaces/db-nic")]);
    let loaded = load(&[inventory]);
    assert_eq!(places(&loaded), []);
    let attached: Vec<&str> =
        loaded.network.nsgs[0].attached_subnets.iter().map(|subnet| subnet.name()).collect();
    assert_eq!(attached, ["web", "x"]);
    assert!(loaded.network.nics.iter().all(|nic| nic.nsg.is_none()));
}

#[test]
fn asg_1_a_group_is_known_by_its_members_not_by_rules() {
    let loaded = load(&[two_tiers()]);
    assert_eq!(loaded.network.asgs.len(), 1);
    assert_eq!(loaded.network.nics[0].ip_configurations[0].asgs.len(), 1);
    let mut inventory = two_tiers();
    inventory["networkInterfaces"].take();
    let loaded = load(&[inventory]);
    assert!(loaded.network.asgs.is_empty());
    let rule_asg =
        "a.json#/networkSecurityGroups/0/securityRules/0/destinationApplicationSecurityGroups/0/id";
    assert!(places(&loaded).contains(&(MissingResource, rule_asg)));
}

#[test]
fn json_5_the_interface_of_a_private_endpoint_gives_it_its_address() {
    let nic = |name: &str, address: &str, endpoint: Value| {
        json!({
            "id": id(&format!("networkInterfaces/{name}")), "privateEndpoint": endpoint,
            "ipConfigurations": [{ "name": "c", "privateIPAddress": address,
                "subnet": reference("virtualNetworks/vnet-a/subnets/web") }]
        })
    };
    let mut inventory = two_tiers();
    inventory["networkInterfaces"] = json!([
        nic("one", "10.20.1.10", reference("privateEndpoints/PE-A")),
        nic("two", "10.20.1.11", reference("privateEndpoints/pe-gone")),
        nic("three", "10.20.1.12", Value::Null)
    ]);
    inventory["publicIPAddresses"].take();
    inventory["privateEndpoints"] = json!([
        { "id": id("privateEndpoints/pe-a"), "subnet": reference("virtualNetworks/vnet-a/subnets/web"),
          "privateLinkServiceConnections": [{ "groupIds": ["blob"], "privateLinkServiceId": "/x/y",
              "privateLinkServiceConnectionState": { "status": "Approved" } }] },
        { "id": id("privateEndpoints/pe-b"), "networkInterfaces": [reference("networkInterfaces/three")] },
        { "id": id("privateEndpoints/pe-c"), "networkInterfaces": [reference("networkInterfaces/four")] },
        { "id": id("privateEndpoints/pe-d"), "ipConfigurations": [{ "privateIPAddress": "10.20.1.14" }],
          "networkInterfaces": [reference("networkInterfaces/five")] }
    ]);
    let loaded = load(&[inventory]);
    let network = &loaded.network;
    assert!(network.nics.is_empty());
    let found: Vec<(&str, Vec<String>, bool)> = network
        .private_endpoints
        .iter()
        .map(|endpoint| {
            let addresses = endpoint.addresses.iter().map(ToString::to_string).collect();
            (endpoint.id.name(), addresses, endpoint.subnet.is_some())
        })
        .collect();
    assert_eq!(
        found,
        [
            ("pe-a", vec!["10.20.1.10".to_owned()], true),
            ("pe-b", vec!["10.20.1.12".to_owned()], true),
            ("pe-c", vec![], false),
            ("pe-d", vec!["10.20.1.14".to_owned()], false),
            ("pe-gone", vec!["10.20.1.11".to_owned()], true),
        ]
    );
    assert_eq!(network.private_endpoints[0].connections[0].status.as_deref(), Some("Approved"));
    assert!(
        places(&loaded).contains(&(MissingResource, "a.json#/privateEndpoints/2/networkInterfaces/0/id"))
    );
    assert!(!places(&loaded).iter().any(|(_, place)| place.contains("privateEndpoints/3")));
}

#[test]
fn top_and_peer_what_azure_does_not_allow_is_told() {
    let peering = |remote: &str| {
        json!({ "name": "p", "peeringState": "Initiated", "allowVirtualNetworkAccess": true,
            "remoteVirtualNetwork": reference(&format!("virtualNetworks/{remote}")) })
    };
    let vnet = |name: &str, ranges: Value, subnets: Value, peerings: Value| {
        json!({ "id": id(&format!("virtualNetworks/{name}")), "addressSpace": { "addressPrefixes": ranges },
            "subnets": subnets, "virtualNetworkPeerings": peerings })
    };
    let none = || json!([]);
    let judged = |vnets: Value| {
        let loaded = load(&[json!({ "virtualNetworks": vnets })]);
        assert!(loaded.findings.iter().all(|finding| finding.code == InvalidTopology));
        loaded
            .findings
            .iter()
            .map(|finding| finding.place.replace("a.json#/virtualNetworks", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(judged(json!([vnet("a", json!(["169.254.0.0/24"]), none(), none())])), ["/0"]);
    assert_eq!(judged(json!([vnet("a", none(), none(), none())])), ["/0"]);
    let subnets = json!([
        { "name": "s", "addressPrefix": "10.0.0.0/24" }, { "name": "t", "addressPrefix": "10.0.0.128/25" },
        { "name": "u", "addressPrefixes": ["10.0.2.0/24"] }, { "name": "v", "addressPrefix": "10.1.0.0/24" }
    ]);
    assert_eq!(
        judged(json!([vnet("a", json!(["10.0.0.0/16"]), subnets, none())])),
        ["/0/subnets/1", "/0/subnets/3"]
    );
    let peers = json!([
        vnet("a", json!(["10.0.0.0/16"]), none(), json!([peering("b"), peering("c")])),
        vnet("b", json!(["10.0.128.0/17"]), none(), none()),
        vnet("c", json!(["10.1.0.0/16"]), none(), none())
    ]);
    assert_eq!(judged(peers.clone()), ["/0/virtualNetworkPeerings/0"]);
    let network = load(&[json!({ "virtualNetworks": peers })]).network;
    assert_eq!(network.vnets[0].peerings[0].state, PeeringState::Initiated);

    let mut inventory = two_tiers();
    for (address, is_told) in
        [("10.20.1.3", true), ("10.20.1.255", true), ("10.20.2.9", true), ("10.20.1.254", false)]
    {
        inventory["networkInterfaces"][0]["ipConfigurations"][0]["privateIPAddress"] = json!(address);
        assert_eq!(load(&[inventory.clone()]).findings.len(), usize::from(is_told), "{address}");
    }
}

#[test]
fn lim_1_a_number_beyond_a_limit_is_told() {
    let routes = |count: usize, prefix: &str| -> Value {
        (0..count)
            .map(|n| json!({ "name": format!("r{n}"), "addressPrefix": prefix, "nextHopType": "None" }))
            .collect()
    };
    let table = |routes: Value| json!([{ "id": id("routeTables/rt"), "routes": routes }]);
    for (count, prefix, expected) in
        [(400, "10.0.0.0/8", 0), (401, "10.0.0.0/8", 1), (25, "Sql", 0), (26, "Sql", 1)]
    {
        let loaded = load(&[table(routes(count, prefix))]);
        assert_eq!(codes(&loaded.findings), vec![LimitExceeded; expected], "{count} {prefix}");
    }
    let tables: Value = (0..201).map(|n| json!({ "id": id(&format!("routeTables/t{n}")) })).collect();
    assert_eq!(codes(&load(&[tables]).findings), [LimitExceeded]);
}
