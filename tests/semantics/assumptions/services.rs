//! Load balancers, private endpoints and admin rules (EVAL-11, LB-5, PE-7, ADM-7, ADM-10).

use nsgsim::model::flow::Origin;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{Reference, VnetIndex};
use nsgsim::model::network::{Network, PrivateEndpointPolicies, PublicIpSku};
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{
    AdminAction, AdminCollection, AdminConfiguration, AdminRule, BackendPool, Frontend, LoadBalancer,
    LoadBalancingRule, ManagementGroup, NetworkGroup, NetworkManager, PrivateEndpoint, PrivateLinkConnection,
};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::VerdictKind::{Allow, Deny};

use super::{MIN, Two, path, two, under};
use crate::build::{Build, id, ip, route, tcp};

/// A Standard load balancer for TCP port 80 before b1, internal at 10.0.1.100 or public at 203.0.113.9.
fn balanced(net: &mut Two, public: bool, floating_ip: bool) {
    let balancer = id("loadBalancers", "lb");
    let (frontend, pool) = (balancer.child("frontendIPConfigurations", "f"), balancer.child("pools", "p"));
    let public_ip = public
        .then(|| Reference::Here(net.network.public_ip("front", "203.0.113.9", Some(PublicIpSku::Standard))));
    let member = net.network.nics[net.b1.get()].ip_configurations[0].id.clone();
    net.network.load_balancers.push(LoadBalancer {
        id: balancer,
        standard: true,
        frontends: vec![Frontend {
            id: frontend.clone(),
            address: (!public).then(|| ip("10.0.1.100")),
            subnet: (!public).then_some(Reference::Here(net.a)),
            public_ip,
        }],
        pools: vec![BackendPool { id: pool.clone(), ip_configurations: vec![member], addresses: Vec::new() }],
        rules: vec![LoadBalancingRule {
            name: "web".to_owned(),
            frontend: Some(frontend),
            pools: vec![pool],
            protocol: Some(Protocol::TCP),
            frontend_port: 80,
            backend_port: 80,
            probe: None,
            floating_ip,
            disable_outbound_snat: true,
            idle_timeout_min: None,
        }],
        probes: Vec::new(),
        nat_rules: Vec::new(),
        outbound_rules: Vec::new(),
    });
}

#[test]
fn eval_11_an_internal_standard_balancer_is_closed_without_an_nsg_only_if_that_is_assumed() {
    let mut net = two();
    balanced(&mut net, false, false);
    let expected = |closed| [("EVAL-11=open", Allow), ("EVAL-11=closed", closed)];
    let through = tcp("10.0.1.4:1000", "10.0.1.100:80");
    path(&net.network, &expected(Deny), net.a1, &through);
    // Without the load balancer in between nothing is gated.
    path(&net.network, &expected(Allow), net.a1, &tcp("10.0.1.4:1000", "10.0.2.4:80"));
    net.filter(net.b, "nsg", &[]);
    path(&net.network, &expected(Allow), net.a1, &through);
}

#[test]
fn lb_5_a_rule_that_names_the_member_matches_under_floating_ip_only_if_it_sees_the_member() {
    let asked = |network: &Network, frontend, backend| {
        let expected = [("LB-5=frontend-address", frontend), ("LB-5=backend-address", backend)];
        under(network, &TagCatalog::default(), &expected, |engine| {
            let packet = tcp("198.51.100.9:1000", "203.0.113.9:80");
            engine.path(Origin::Internet, &packet, MIN, None).verdict.kind()
        });
    };
    let mut net = two();
    balanced(&mut net, true, true);
    net.filter(net.b, "nsg", &["in 100 allow tcp * * -> 10.0.2.4 80"]);
    asked(&net.network, Deny, Allow);
    let mut net = two();
    balanced(&mut net, true, true);
    net.filter(net.b, "nsg", &["in 100 allow tcp * * -> 203.0.113.9 80"]);
    asked(&net.network, Allow, Deny);
    // Without floating IP the member's address it is (LB-2, H).
    net.network.load_balancers[0].rules[0].floating_ip = false;
    asked(&net.network, Deny, Deny);
}

/// A private endpoint at 10.0.3.9 in a subnet whose routes may be overridden.
fn endpoint(net: &mut Two) {
    endpoint_in(net, net.vnet, "10.0.3.0/24", "10.0.3.9");
}

/// A private endpoint in a subnet of its own, whose routes may be overridden.
fn endpoint_in(net: &mut Two, vnet: VnetIndex, range: &str, address: &str) {
    let subnet = net.network.subnet(vnet, "c", range);
    net.network.subnets[subnet.get()].private_endpoint_policies = PrivateEndpointPolicies::RouteTableEnabled;
    net.network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "e"),
        subnet: Some(Reference::Here(subnet)),
        addresses: vec![ip(address)],
        connections: vec![PrivateLinkConnection {
            service: Some(id("storageAccounts", "account")),
            group_ids: Vec::new(),
            status: Some("Approved".to_owned()),
        }],
        asgs: Vec::new(),
    });
}

#[test]
fn pe_7_a_route_takes_an_endpoints_away_by_its_length_against_the_address_space() {
    let to_endpoint = tcp("10.0.1.4:1000", "10.0.3.9:443");
    // The address space is 10.0.0.0/16. An equal /32 wins in any case (ROUTE-6).
    for (prefix, at_least, at_most) in
        [("10.0.3.0/24", Deny, Allow), ("10.0.0.0/16", Deny, Deny), ("10.0.3.9/32", Deny, Deny)]
    {
        let mut net = two();
        endpoint(&mut net);
        net.route(net.a, vec![route("r", prefix, NextHop::None)]);
        let expected = [("PE-7=at-least-as-long", at_least), ("PE-7=at-most-as-long", at_most)];
        path(&net.network, &expected, net.a1, &to_endpoint);
    }
}

/// The way to it leads over the peering (PE-6).
#[test]
fn peer_3_a_closed_side_hides_a_private_endpoint_behind_it_only_if_that_is_assumed() {
    let mut net = two();
    let other = net.network.vnet("w", &["10.1.0.0/16"]);
    net.network.peer(net.vnet, other);
    endpoint_in(&mut net, other, "10.1.3.0/24", "10.1.3.9");
    let expected = |closed| [("PEER-3=tag-only", Allow), ("PEER-3=drops", closed)];
    let across = tcp("10.0.1.4:1000", "10.1.3.9:443");
    path(&net.network, &expected(Allow), net.a1, &across);
    net.network.vnets[other.get()].peerings[0].allow_virtual_network_access = false;
    path(&net.network, &expected(Deny), net.a1, &across);
    // One of the own network stands on this side.
    net.network.private_endpoints.clear();
    endpoint(&mut net);
    path(&net.network, &expected(Allow), net.a1, &tcp("10.0.1.4:1000", "10.0.3.9:443"));
}

/// A manager with one rule over the network, by management group or by subscription.
fn manager(net: &mut Two, name: &str, by_group: bool, rule: AdminRule) {
    let own = id("networkManagers", name);
    let group = own.child("networkGroups", "g");
    let members: Vec<ResourceId> = net.network.vnets.iter().map(|vnet| vnet.id.clone()).collect();
    let root = id("managementGroups", "root");
    if net.network.management_groups.is_empty() {
        net.network.management_groups.push(ManagementGroup { id: root.clone(), parent: None });
    }
    net.network.network_managers.push(NetworkManager {
        id: own.clone(),
        management_groups: if by_group { vec![root] } else { Vec::new() },
        subscriptions: Vec::new(),
        groups: vec![NetworkGroup { id: group.clone(), members }],
        configurations: vec![AdminConfiguration {
            id: own.child("securityAdminConfigurations", "c").to_string(),
            deployed: Some(true),
            on_intent_policy_services: Vec::new(),
            collections: vec![AdminCollection {
                name: "all".to_owned(),
                groups: vec![group],
                rules: vec![rule],
            }],
        }],
    });
}

/// A denial of TCP to one port.
fn denial(direction: Direction, port: u16) -> AdminRule {
    AdminRule {
        name: format!("no-{port}"),
        priority: 1,
        direction,
        action: AdminAction::Deny,
        protocol: Some(Protocol::TCP),
        sources: Vec::new(),
        destinations: Vec::new(),
        source_ports: Vec::new(),
        destination_ports: vec![port.to_string().parse().unwrap()],
    }
}

#[test]
fn adm_7_the_lower_managers_denial_counts_only_if_lists_follow_each_other() {
    let mut net = two();
    manager(&mut net, "high", true, denial(Direction::Outbound, 22));
    manager(&mut net, "low", false, denial(Direction::Outbound, 80));
    let expected = |lower| [("ADM-7=both", lower), ("ADM-7=highest-only", Allow)];
    path(&net.network, &expected(Deny), net.a1, &tcp("10.0.1.4:1000", "10.0.2.4:80"));
    path(&net.network, &expected(Allow), net.a1, &tcp("10.0.1.4:1000", "10.0.2.4:443"));
    let expected = [("ADM-7=both", Deny), ("ADM-7=highest-only", Deny)];
    path(&net.network, &expected, net.a1, &tcp("10.0.1.4:1000", "10.0.2.4:22"));
}

#[test]
fn adm_10_an_inbound_denial_stops_a_packet_at_a_private_endpoint_only_if_it_is_asked_there() {
    let mut net = two();
    endpoint(&mut net);
    manager(&mut net, "m", false, denial(Direction::Inbound, 443));
    let expected = |denied| [("ADM-10=client-side-only", Allow), ("ADM-10=endpoint-too", denied)];
    path(&net.network, &expected(Deny), net.a1, &tcp("10.0.1.4:1000", "10.0.3.9:443"));
    path(&net.network, &expected(Allow), net.a1, &tcp("10.0.1.4:1000", "10.0.3.9:444"));
}
