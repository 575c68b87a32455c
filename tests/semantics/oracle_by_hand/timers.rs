//! Flows end with the timers of what translates them (STATE-15).

use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::Reference;
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::rule::Protocol;
use nsgsim::model::verdict::StepAnswer;

use super::plain::{Plain, S, plain};
use crate::build;
use crate::build::balancer::Balance;
use crate::build::{Build, ip, packet};
use crate::oracle::Oracle;

const MIN: u64 = 60 * S;

/// `plain`, whose network waits for thirty minutes itself.
fn patient() -> Plain {
    let mut net = plain();
    net.network.vnets[0].flow_timeout_min = Some(30);
    net
}

/// Whether a packet after so long is still of the flow that the same packet opened: it passes by records alone.
fn goes_on(net: &Plain, origin: Origin, packet: &Packet, after_ns: u64) -> bool {
    let mut oracle = net.oracle();
    send(&mut oracle, origin, packet, 0);
    send(&mut oracle, origin, packet, after_ns)
}

fn send(oracle: &mut Oracle, origin: Origin, packet: &Packet, time_ns: u64) -> bool {
    let answer = oracle.path(origin, packet, time_ns, None);
    assert!(!answer.steps.is_empty(), "{:?}", answer.verdict);
    answer.steps.iter().all(|step| step.answer == StepAnswer::FlowTable)
}

/// For so many minutes, and no longer, a flow is open.
fn lives(net: &Plain, origin: Origin, packet: &Packet) -> u64 {
    let alive = |min: &u64| goes_on(net, origin, packet, min * MIN);
    let longest = (1..=30).take_while(alive).last().unwrap_or(0);
    assert!(!goes_on(net, origin, packet, longest * MIN + 1), "it has lived for longer than {longest}");
    longest
}

const TCP: Protocol = Protocol::TCP;
const UDP: Protocol = Protocol::UDP;

fn outwards(protocol: Protocol) -> Packet {
    packet(protocol, "10.0.1.4:1000", "8.8.8.8:443")
}

fn inwards(protocol: Protocol) -> Packet {
    packet(protocol, "8.8.8.8:1000", "203.0.113.4:443")
}

#[test]
fn state_15_what_nothing_translates_waits_for_the_network_alone() {
    let mut net = patient();
    net.nic_nsg(net.a1, "nsg-x", &[]);
    let inside = packet(TCP, "10.0.1.4:1000", "10.0.2.4:443");
    assert_eq!(lives(&net, Origin::Nic(net.a1), &inside), 30);
    // Default outbound access has no timer that anybody tells.
    assert_eq!(lives(&net, Origin::Nic(net.a1), &outwards(TCP)), 30);
}

#[test]
fn state_15_an_instance_address_has_a_timer_inwards_and_four_minutes_outwards() {
    let mut net = patient();
    net.nic_nsg(net.a1, "nsg-x", &["in 100 allow * * * -> * *"]);
    net.public(net.a1, "203.0.113.4", Some(PublicIpSku::Standard));
    assert_eq!(lives(&net, Origin::Internet, &inwards(TCP)), 4);
    net.network.public_ips[0].idle_timeout_min = Some(10);
    assert_eq!(lives(&net, Origin::Internet, &inwards(TCP)), 10);
    // Seen behind the translation it came through it, too.
    let behind = packet(TCP, "8.8.8.8:1000", "10.0.1.4:443");
    assert_eq!(lives(&net, Origin::Internet, &behind), 10);
    assert_eq!(lives(&net, Origin::Nic(net.a1), &outwards(TCP)), 4);
    // The timers are those of connections.
    assert_eq!(lives(&net, Origin::Internet, &inwards(UDP)), 30);
    assert_eq!(lives(&net, Origin::Nic(net.a1), &outwards(UDP)), 30);
    net.network.vnets[0].flow_timeout_min = Some(5);
    assert_eq!(lives(&net, Origin::Internet, &inwards(TCP)), 5);
}

#[test]
fn state_15_an_instance_address_of_ipv6_has_one_timer() {
    let mut net = patient();
    net.network.vnets[0].address_space.push("fd00::/64".parse().unwrap());
    let nic = net.network.nic(net.b, "d1", &["fd00::4"]);
    net.public(nic, "2001:db8::4", Some(PublicIpSku::Standard));
    net.network.public_ips[0].idle_timeout_min = Some(10);
    net.nic_nsg(nic, "nsg-x", &["in 100 allow * * * -> * *"]);
    let inwards = packet(TCP, "2600::1:1000", "2001:db8::4:443");
    assert_eq!(lives(&net, Origin::Internet, &inwards), 4);
}

#[test]
fn state_15_a_nat_gateway_has_a_timer_for_connections_and_four_minutes_for_datagrams() {
    let mut net = patient();
    net.nic_nsg(net.a1, "nsg-x", &[]);
    let public_ip = net.network.public_ip("pip", "203.0.113.9", None);
    let gateway = net.network.nat_gateway("nat", &[public_ip]);
    net.network.subnets[net.a.get()].nat_gateway = Some(Reference::Here(gateway));
    let from = Origin::Nic(net.a1);
    assert_eq!((lives(&net, from, &outwards(TCP)), lives(&net, from, &outwards(UDP))), (4, 4));
    net.network.nat_gateways[0].idle_timeout_min = Some(12);
    assert_eq!((lives(&net, from, &outwards(TCP)), lives(&net, from, &outwards(UDP))), (12, 4));
}

#[test]
fn state_15_rules_of_load_balancers_have_timers_for_connections() {
    let mut net = patient();
    net.nic_nsg(net.a1, "nsg-x", &["in 100 allow * * * -> * *"]);
    let public_ip = net.network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Standard));
    let lb = net.network.balancer("lb", true);
    let public = net.network.public_frontend(lb, public_ip);
    let pool = net.network.pool(lb, "p", &[net.a1]);
    net.network.balance(lb, &public, &pool, "all 443 -> 443").disable_outbound_snat = false;
    let (outside, inside) = (Origin::Internet, Origin::Nic(net.a1));
    assert_eq!((lives(&net, outside, &inwards(TCP)), lives(&net, outside, &inwards(UDP))), (4, 30));
    assert_eq!((lives(&net, inside, &outwards(TCP)), lives(&net, inside, &outwards(UDP))), (4, 30));
    net.network.load_balancers[0].rules[0].idle_timeout_min = Some(10);
    assert_eq!((lives(&net, outside, &inwards(TCP)), lives(&net, inside, &outwards(TCP))), (10, 10));
    // An outbound rule goes ahead on the way out, and has its timer for datagrams, too.
    net.network.outbound_rule(lb, &[&public], &pool, None);
    assert_eq!((lives(&net, inside, &outwards(TCP)), lives(&net, inside, &outwards(UDP))), (4, 4));
    net.network.load_balancers[0].outbound_rules[0].idle_timeout_min = Some(20);
    assert_eq!((lives(&net, inside, &outwards(TCP)), lives(&net, inside, &outwards(UDP))), (20, 20));
    // An inbound NAT rule goes ahead on the way in.
    let configuration = net.network.nics[net.a1.get()].ip_configurations[0].id.clone();
    net.network.nat_rule(lb, &public, "tcp 443 -> 443").backend = Some(configuration);
    assert_eq!(lives(&net, outside, &inwards(TCP)), 4);
    net.network.load_balancers[0].nat_rules[0].idle_timeout_min = Some(15);
    assert_eq!(lives(&net, outside, &inwards(TCP)), 15);
}

#[test]
fn state_15_the_shortest_timer_counts_at_every_interface_on_the_way() {
    let mut net = patient();
    net.nic_nsg(net.b1, "nsg-x", &["in 100 allow * * * -> * *"]);
    net.public(net.b1, "203.0.113.4", Some(PublicIpSku::Standard));
    net.network.public_ips[0].idle_timeout_min = Some(20);
    let public_ip = net.network.public_ip("pip-nat", "203.0.113.9", None);
    let gateway = net.network.nat_gateway("nat", &[public_ip]);
    net.network.nat_gateways[0].idle_timeout_min = Some(10);
    net.network.subnets[net.a.get()].nat_gateway = Some(Reference::Here(gateway));
    let there = packet(TCP, "10.0.1.4:1000", "203.0.113.4:443");
    assert_eq!(lives(&net, Origin::Nic(net.a1), &there), 10);
    net.network.nat_gateways[0].idle_timeout_min = Some(25);
    assert_eq!(lives(&net, Origin::Nic(net.a1), &there), 20);
}

#[test]
fn state_15_a_reply_by_the_same_translation_adds_no_timer_and_renews_the_flow() {
    let mut net = patient();
    net.nic_nsg(net.a1, "nsg-x", &["in 100 allow * * * -> * *"]);
    net.public(net.a1, "203.0.113.4", Some(PublicIpSku::Standard));
    net.network.public_ips[0].idle_timeout_min = Some(10);
    let mut oracle = net.oracle();
    let back = packet(TCP, "10.0.1.4:443", "8.8.8.8:1000");
    assert!(!send(&mut oracle, Origin::Internet, &inwards(TCP), 0));
    assert!(send(&mut oracle, Origin::Nic(net.a1), &back, 10 * MIN));
    assert!(send(&mut oracle, Origin::Internet, &inwards(TCP), 20 * MIN));
    assert!(!send(&mut oracle, Origin::Internet, &inwards(TCP), 30 * MIN + 1));
}

#[test]
fn state_15_and_lb_12_a_load_balancer_on_the_way_has_no_timer() {
    let mut net = patient();
    net.nic_nsg(net.b1, "nsg-x", &[]);
    net.network.nics[net.b1.get()].ip_forwarding = true;
    let lb = net.network.balancer("lb", true);
    let frontend = net.network.internal_frontend(lb, net.b, "10.0.2.100");
    let pool = net.network.pool(lb, "p", &[net.b1]);
    net.network.balance(lb, &frontend, &pool, "all 0 -> 0").idle_timeout_min = Some(5);
    let hop = nsgsim::model::routing::NextHop::VirtualAppliance(Some(ip("10.0.2.100")));
    net.routes(net.a, "t", vec![build::route("way", "10.0.1.5/32", hop)]);
    let through = packet(TCP, "10.0.1.4:1000", "10.0.1.5:443");
    assert_eq!(lives(&net, Origin::Nic(net.a1), &through), 30);
    // At its own address it has.
    net.nic_nsg(net.a1, "nsg-y", &[]);
    let to_it = packet(TCP, "10.0.1.4:1000", "10.0.2.100:443");
    assert_eq!(lives(&net, Origin::Nic(net.a1), &to_it), 5);
}
