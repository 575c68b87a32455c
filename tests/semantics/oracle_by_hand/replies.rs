//! Replies leave as their flow came in (OUT-5).

use nsgsim::model::flow::{Icmp, Origin};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, Reference, VnetIndex};
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Snat, VerdictKind};

use super::plain::{Plain, S, hangs_on, kind, plain, steps, to_appliance};
use crate::build::balancer::Balance;
use crate::build::{Build, icmp, id, ip, tcp};
use crate::oracle::Oracle;

/// `plain` with `b1` behind the frontends 10.0.2.100 and 203.0.113.100, port 80 to 8080. Nothing may leave `b1` of its
/// own, and nothing may come to `a1`.
struct Served {
    net: Plain,
    lb: LoadBalancerIndex,
    internal: ResourceId,
}

fn served() -> Served {
    let mut net = plain();
    let public_ip = net.network.public_ip("pip-lb", "203.0.113.100", Some(PublicIpSku::Standard));
    let lb = net.network.balancer("lb", true);
    let internal = net.network.internal_frontend(lb, net.b, "10.0.2.100");
    let public = net.network.public_frontend(lb, public_ip);
    let pool = net.network.pool(lb, "p", &[net.b1]);
    net.network.balance(lb, &internal, &pool, "tcp 80 -> 8080");
    net.network.balance(lb, &public, &pool, "tcp 80 -> 8080");
    net.nic_nsg(net.a1, "nsg-a1", &["in 100 deny * * * -> * *"]);
    net.nic_nsg(net.b1, "nsg-b1", &["in 100 allow * * * -> * *", "out 100 deny * * * -> * *"]);
    Served { net, lb, internal }
}

#[test]
fn out_5_an_answer_through_an_internal_frontend_comes_from_it() {
    let at = served();
    let mut oracle = at.net.oracle();
    let there = tcp("10.0.1.4:1000", "10.0.2.100:80");
    assert_eq!(kind(&oracle.path(Origin::Nic(at.net.a1), &there, 0, None)), VerdictKind::Allow);
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "10.0.1.4:1000"), S, None);
    // The client knows the flow by the frontend's address and port.
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "a1 inbound record allow"]);
    assert_eq!(back.steps[0].seen.source, ip("10.0.2.4"));
    assert_eq!(
        (back.steps[1].seen.source, back.steps[1].seen.source_port.number()),
        (ip("10.0.2.100"), Some(80))
    );
    assert_eq!(
        (back.translation.snat, back.translation.source),
        (Some(Snat::LoadBalancerRule), Some(ip("10.0.2.100")))
    );
}

#[test]
fn out_5_a_flow_straight_to_the_backend_is_answered_straight() {
    let at = served();
    let mut oracle = at.net.oracle();
    let there = tcp("10.0.1.4:1000", "10.0.2.4:8080");
    assert_eq!(kind(&oracle.path(Origin::Nic(at.net.a1), &there, 0, None)), VerdictKind::Allow);
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "10.0.1.4:1000"), S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "a1 inbound record allow"]);
    assert_eq!((back.translation.snat, back.steps[1].seen.source), (None, ip("10.0.2.4")));
}

#[test]
fn state_10_an_error_about_a_balanced_flow_is_known_on_both_sides() {
    let at = served();
    let mut oracle = at.net.oracle();
    let there = tcp("10.0.1.4:1000", "10.0.2.100:80");
    assert_eq!(kind(&oracle.path(Origin::Nic(at.net.a1), &there, 0, None)), VerdictKind::Allow);
    let quoted = tcp("10.0.1.4:1000", "10.0.2.4:8080").five_tuple;
    let error = icmp("10.0.2.4", "10.0.1.4", Icmp::Error { quoted: Some(quoted) });
    let back = oracle.path(Origin::Nic(at.net.b1), &error, S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "a1 inbound record allow"]);
}

#[test]
fn out_5_an_answer_through_a_public_frontend_leaves_by_it_whatever_out_1_says() {
    let mut at = served();
    let public_ip = at.net.network.public_ip("pip-nat", "203.0.113.9", None);
    let gateway = at.net.network.nat_gateway("nat", &[public_ip]);
    at.net.network.subnets[at.net.b.get()].nat_gateway = Some(Reference::Here(gateway));
    let mut oracle = at.net.oracle();
    let there = tcp("8.8.8.8:1000", "203.0.113.100:80");
    assert_eq!(kind(&oracle.path(Origin::Internet, &there, 0, None)), VerdictKind::Allow);
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "8.8.8.8:1000"), S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow"]);
    assert_eq!(
        (back.translation.snat, back.translation.source),
        (Some(Snat::LoadBalancerRule), Some(ip("203.0.113.100")))
    );
}

#[test]
fn out_5_the_caller_behind_a_public_address_knows_the_flow_by_the_public_frontend() {
    let mut at = served();
    at.net.public(at.net.a1, "203.0.113.4", Some(PublicIpSku::Basic));
    let mut oracle = at.net.oracle();
    let there = tcp("10.0.1.4:1000", "203.0.113.100:80");
    let answer = oracle.path(Origin::Nic(at.net.a1), &there, 0, None);
    assert_eq!(answer.translation.destination, Some((ip("10.0.2.4"), Some(8080))));
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "203.0.113.4:1000"), S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "a1 inbound record allow"]);
    assert_eq!(back.steps[1].seen.source, ip("203.0.113.100"));
}

#[test]
fn out_5_a_public_frontend_s_answer_that_takes_another_route_keeps_its_source() {
    let mut at = served();
    let n = at.net.network.subnet(VnetIndex::new(0), "n", "10.0.9.0/24");
    let n1 = at.net.network.nic(n, "n1", &["10.0.9.4"]);
    at.net.network.nics[n1.get()].ip_forwarding = true;
    at.net.nic_nsg(n1, "nsg-n", &["in 100 deny * 10.0.2.4 8080 -> 8.8.8.8 *"]);
    at.net.routes(at.net.b, "t", vec![to_appliance("out", "8.8.8.8/32", "10.0.9.4")]);
    let mut oracle = at.net.oracle();
    let _ = oracle.path(Origin::Internet, &tcp("8.8.8.8:1000", "203.0.113.100:80"), 0, None);
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "8.8.8.8:1000"), S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "n1 inbound nsg-n/in-100 deny"]);
}

#[test]
fn out_5_seen_behind_the_translation_the_frontend_is_not_known_but_the_answer_leaves_by_one() {
    let at = served();
    let mut oracle = at.net.oracle();
    let there = tcp("8.8.8.8:1000", "10.0.2.4:8080");
    assert_eq!(kind(&oracle.path(Origin::Internet, &there, 0, None)), VerdictKind::Allow);
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "8.8.8.8:1000"), S, None);
    assert_eq!((back.translation.snat, back.translation.source), (Some(Snat::LoadBalancerRule), None));
}

#[test]
fn out_5_a_floating_frontend_s_answer_gets_the_frontend_s_port() {
    let mut at = served();
    at.net.network.load_balancers[at.lb.get()].rules[0].floating_ip = true;
    let mut oracle = at.net.oracle();
    let _ = oracle.path(Origin::Nic(at.net.a1), &tcp("10.0.1.4:1000", "10.0.2.100:80"), 0, None);
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.100:8080", "10.0.1.4:1000"), S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "a1 inbound record allow"]);
    assert_eq!(back.steps[1].seen.source_port.number(), Some(80));
}

#[test]
fn out_5_a_record_keeps_the_frontend_that_it_came_in_by_first() {
    let mut at = served();
    let second = at.net.network.internal_frontend(at.lb, at.net.b, "10.0.2.101");
    let pool = at.net.network.load_balancers[at.lb.get()].pools[0].id.clone();
    at.net.network.balance(at.lb, &second, &pool, "tcp 80 -> 8080");
    let mut oracle = at.net.oracle();
    for (second, frontend) in [(0, "10.0.2.100"), (1, "10.0.2.101")] {
        let there = tcp("10.0.1.4:1000", &format!("{frontend}:80"));
        let answer = oracle.path(Origin::Nic(at.net.a1), &there, second * S, None);
        assert_eq!(kind(&answer), VerdictKind::Allow);
    }
    let back = oracle.path(Origin::Nic(at.net.b1), &tcp("10.0.2.4:8080", "10.0.1.4:1000"), 2 * S, None);
    assert_eq!(back.translation.source, Some(ip("10.0.2.100")));
}

#[test]
fn sim_11_a_frontend_starts_packets_without_filters_and_with_routes() {
    let mut at = served();
    at.net.subnet_nsg(at.net.b, "nsg-b", &["out 100 deny * * * -> * *"]);
    at.net.network.nics[at.net.a1.get()].nsg = None;
    let from = |oracle: &mut Oracle, source: &str| {
        let packet = tcp(&format!("{source}:80"), "10.0.1.4:1000");
        oracle.path(Origin::Unlisted(at.net.b), &packet, 0, None)
    };
    let mut oracle = at.net.oracle();
    let answer = from(&mut oracle, "10.0.2.100");
    assert_eq!((kind(&answer), answer.steps.len(), answer.routes.len()), (VerdictKind::Allow, 0, 1));
    // Any other address is an interface that is not listed.
    assert_eq!(kind(&from(&mut oracle, "10.0.2.101")), VerdictKind::Deny);
    assert_eq!(at.internal, id("loadBalancers", "lb").child("frontendIPConfigurations", "f0"));
}

#[test]
fn a_flow_that_one_of_two_backends_may_have_let_in_is_in_doubt_there() {
    let mut at = served();
    let own = at.net.network.nics[at.net.a2.get()].ip_configurations[0].id.clone();
    at.net.network.load_balancers[0].pools[0].ip_configurations.push(own);
    let rules =
        ["in 100 allow tcp Nowhere * -> * *", "in 200 deny * * * -> * *", "out 100 deny * * * -> * *"];
    at.net.nic_nsg(at.net.a2, "nsg-a2", &rules);
    let mut oracle = at.net.oracle();
    let there = oracle.path(Origin::Nic(at.net.a1), &tcp("10.0.1.4:1000", "10.0.2.100:80"), 0, None);
    // With the one answer they agree, with the other they do not.
    let because = hangs_on(&there).clone();
    let back = oracle.path(Origin::Nic(at.net.a2), &tcp("10.0.1.5:8080", "10.0.1.4:1000"), S, None);
    assert_eq!(*hangs_on(&back), Unknown::FlowIsOpen { because: Box::new(because) });
}
