//! Private Link services: from a consumer's private endpoint to a provider's backends, and back (PLS).

use nsgsim::model::flow::{Icmp, Origin};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, NicIndex, PrivateEndpointIndex, Reference, SubnetIndex};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{PrivateEndpoint, PrivateLinkConnection, PrivateLinkService};
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{BalancerFault, Interface, Reason, RouteEnd, Verdict, VerdictKind};

use super::plain::{Plain, S, hangs_on, kind, plain, steps};
use crate::build;
use crate::build::balancer::Balance;
use crate::build::{Build, icmp, id, ip, packet, tcp};

/// `plain` with a private endpoint 10.0.1.20 of the service `pls`, which stands in another network: NAT address
/// 10.5.1.50, frontend 10.5.1.100, port 80 to 8080, backend `p1` 10.5.1.4.
pub(crate) struct Linked {
    pub(crate) net: Plain,
    pub(crate) provider: SubnetIndex,
    p1: NicIndex,
    lb: LoadBalancerIndex,
    service: ResourceId,
}

pub(crate) fn linked() -> Linked {
    let mut net = plain();
    let vnet = net.network.vnet("w", &["10.5.0.0/16"]);
    let provider = net.network.subnet(vnet, "c", "10.5.1.0/24");
    let p1 = net.network.nic(provider, "p1", &["10.5.1.4"]);
    let lb = net.network.balancer("lb", true);
    let frontend = net.network.internal_frontend(lb, provider, "10.5.1.100");
    let pool = net.network.pool(lb, "p", &[p1]);
    net.network.balance(lb, &frontend, &pool, "all 80 -> 8080");
    let service = id("privateLinkServices", "pls");
    net.network.private_link_services.push(PrivateLinkService {
        id: service.clone(),
        nat_addresses: vec![ip("10.5.1.50")],
        subnet: Some(Reference::Here(provider)),
        frontends: vec![frontend],
        endpoints: Vec::new(),
    });
    net.network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "endpoint"),
        subnet: Some(Reference::Here(net.a)),
        addresses: vec![ip("10.0.1.20")],
        connections: vec![PrivateLinkConnection {
            service: Some(service.clone()),
            group_ids: Vec::new(),
            status: Some("Approved".to_owned()),
        }],
        asgs: Vec::new(),
    });
    Linked { net, provider, p1, lb, service }
}

#[test]
fn pls_1_the_provider_s_rules_see_the_nat_address_and_the_backend() {
    let mut at = linked();
    let rules = ["in 100 allow tcp 10.5.1.50 1000 -> 10.5.1.4 8080", "in 200 deny * * * -> * *"];
    at.net.nic_nsg(at.p1, "nsg-p", &rules);
    let mut oracle = at.net.oracle();
    let answer = oracle.path(Origin::Nic(at.net.a1), &tcp("10.0.1.4:1000", "10.0.1.20:80"), 0, None);
    assert_eq!(steps(&oracle, &answer), ["p1 inbound nsg-p/in-100 allow"]);
    assert_eq!(
        (answer.translation.source, answer.translation.snat, answer.translation.destination),
        (Some(ip("10.5.1.50")), None, Some((ip("10.5.1.4"), Some(8080))))
    );
    let answer = oracle.path(Origin::Nic(at.net.a1), &tcp("10.0.1.4:1000", "10.0.1.20:81"), 0, None);
    let fault = BalancerFault::NoRule;
    assert_eq!(answer.verdict, Verdict::Deny(Reason::LoadBalancer { balancer: at.lb, fault }));
}

#[test]
fn pls_1_only_tcp_and_udp_pass() {
    let at = linked();
    let mut oracle = at.net.oracle();
    let udp = packet(Protocol::UDP, "10.0.1.4:1000", "10.0.1.20:80");
    assert_eq!(kind(&oracle.path(Origin::Nic(at.net.a1), &udp, 0, None)), VerdictKind::Allow);
    let ping = icmp("10.0.1.4", "10.0.1.20", Icmp::Other);
    let interface = Interface::Endpoint(PrivateEndpointIndex::new(0));
    let unsupported = Reason::UnsupportedTraffic { interface, direction: Direction::Inbound };
    let answer = oracle.path(Origin::Nic(at.net.a1), &ping, 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(unsupported));
}

#[test]
fn pls_1_which_of_several_nat_addresses_is_picked_counts_where_a_rule_tells_them_apart() {
    let mut at = linked();
    at.net.network.private_link_services[0].nat_addresses = ["10.5.1.50", "10.5.1.51"].map(ip).to_vec();
    let packet = tcp("10.0.1.4:1000", "10.0.1.20:80");
    let answer = at.net.oracle().path(Origin::Nic(at.net.a1), &packet, 0, None);
    assert_eq!(kind(&answer), VerdictKind::Allow);
    at.net.nic_nsg(at.p1, "nsg-p", &["in 100 deny * 10.5.1.51 * -> * *"]);
    let answer = at.net.oracle().path(Origin::Nic(at.net.a1), &packet, 0, None);
    let expected = Unknown::TranslatedSourceIs { service: at.service.clone(), address: ip("10.5.1.50") };
    assert_eq!(*hangs_on(&answer), expected);
}

#[test]
fn pls_1_what_is_not_known_of_the_service_is_asked() {
    let asks = |change: fn(&mut PrivateLinkService)| {
        let mut at = linked();
        change(&mut at.net.network.private_link_services[0]);
        let packet = tcp("10.0.1.4:1000", "10.0.1.20:80");
        let answer = at.net.oracle().path(Origin::Nic(at.net.a1), &packet, 0, None);
        assert_eq!(*hangs_on(&answer), Unknown::ResourceAllows { resource: at.service });
    };
    asks(|service| service.nat_addresses.clear());
    asks(|service| service.frontends.clear());
    asks(|service| service.frontends[0] = id("loadBalancers", "gone").child("frontendIPConfigurations", "f"));
    asks(|service| service.id = id("privateLinkServices", "another"));
}

#[test]
fn pls_1_the_backends_of_all_frontends_are_tried() {
    let mut at = linked();
    let p2 = at.net.network.nic(at.provider, "p2", &["10.5.1.5"]);
    let second = at.net.network.internal_frontend(at.lb, at.provider, "10.5.1.101");
    let pool = at.net.network.pool(at.lb, "q", &[p2]);
    at.net.network.balance(at.lb, &second, &pool, "tcp 80 -> 8080");
    at.net.network.private_link_services[0].frontends.push(second);
    at.net.nic_nsg(p2, "nsg-p2", &["in 100 deny * * * -> * *"]);
    let packet = tcp("10.0.1.4:1000", "10.0.1.20:80");
    let answer = at.net.oracle().path(Origin::Nic(at.net.a1), &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Mixed(at.lb));
    let tried: Vec<_> = answer.backends.iter().map(|tried| tried.address).collect();
    assert_eq!(tried, ["10.5.1.4", "10.5.1.5"].map(|text| Some(ip(text))));
}

#[test]
fn pls_1_an_answer_to_the_nat_address_arrives_and_anything_else_does_not() {
    let at = linked();
    let mut oracle = at.net.oracle();
    let reply = tcp("10.5.1.4:8080", "10.5.1.50:1000");
    let nobody = Verdict::Deny(Reason::Route(RouteEnd::NoEndpoint));
    assert_eq!(oracle.path(Origin::Nic(at.p1), &reply, 0, None).verdict, nobody);
    let unreachable = Verdict::Deny(Reason::Route(RouteEnd::NoPublicIp));
    assert_eq!(oracle.path(Origin::Internet, &reply, 0, None).verdict, unreachable);
    // The one before left a record of its own at the backend: it is a flow that goes out.
    let mut oracle = at.net.oracle();
    let there = tcp("10.0.1.4:1000", "10.0.1.20:80");
    assert_eq!(kind(&oracle.path(Origin::Nic(at.net.a1), &there, 0, None)), VerdictKind::Allow);
    let back = oracle.path(Origin::Nic(at.p1), &reply, S, None);
    assert_eq!(steps(&oracle, &back), ["p1 outbound record allow"]);
    // The service translates it back, not the load balancer.
    assert_eq!((kind(&back), back.translation.snat), (VerdictKind::Allow, None));
}

#[test]
fn pls_2_a_nat_address_passes_no_filters_of_its_subnet_and_takes_no_route() {
    let mut at = linked();
    at.net.subnet_nsg(at.provider, "nsg-c", &["out 100 deny * * * -> * *", "in 100 allow * * * -> * *"]);
    let none = build::route("none", "10.5.1.0/24", nsgsim::model::routing::NextHop::None);
    at.net.routes(at.provider, "t", vec![none]);
    let mut oracle = at.net.oracle();
    let packet = tcp("10.5.1.50:1000", "10.5.1.100:80");
    let answer = oracle.path(Origin::Unlisted(at.provider), &packet, 0, None);
    assert_eq!(steps(&oracle, &answer), ["p1 inbound nsg-c/in-100 allow"]);
    assert!(answer.routes.is_empty());
    // Another host of the subnet is filtered.
    let packet = tcp("10.5.1.60:1000", "10.5.1.100:80");
    let answer = oracle.path(Origin::Unlisted(at.provider), &packet, 0, None);
    assert_eq!(steps(&oracle, &answer), ["c outbound nsg-c/out-100 deny"]);
}
