//! Next hops and the machines behind them (ROUTE-12 to ROUTE-15, ROUTE-19, LB-12).

use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::{NicIndex, Reference, RouteTableIndex, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, PublicIpSku};
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::Direction;
use nsgsim::model::services::{Appliance, ApplianceMode};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{
    BalancerFault, Interface, Note, Reason, RouteEnd, Snat, Translation, UserRoute, Verdict, VerdictKind,
};

use super::plain::{Plain, S, hangs_on, kind, plain, steps, to_appliance};
use crate::build::balancer::Balance;
use crate::build::{Build, id, ip, route, tcp};
use crate::oracle::Oracle;

/// `plain` with subnet `n` (10.0.9.0/24), in it the forwarding interface `n1` (10.0.9.4), and a table on `a` that sends
/// what is for `b` there.
struct Behind {
    net: Plain,
    n: SubnetIndex,
    n1: NicIndex,
}

fn behind() -> Behind {
    let mut net = plain();
    let n = net.network.subnet(VnetIndex::new(0), "n", "10.0.9.0/24");
    let n1 = net.network.nic(n, "n1", &["10.0.9.4"]);
    net.network.nics[n1.get()].ip_forwarding = true;
    net.routes(net.a, "t", vec![to_appliance("to-b", "10.0.2.0/24", "10.0.9.4")]);
    Behind { net, n, n1 }
}

impl Behind {
    fn states(&mut self, mode: ApplianceMode, egress: Option<Reference<NicIndex>>) {
        self.net.network.appliances.push(Appliance { nic: Reference::Here(self.n1), mode, egress });
    }
}

/// The first route of the first table.
fn first_route() -> Option<UserRoute> {
    Some(UserRoute { table: RouteTableIndex::new(0), route: 0 })
}

fn a1_to_b1() -> Packet {
    tcp("10.0.1.4:1000", "10.0.2.4:80")
}

#[test]
fn route_12_a_next_hop_that_nobody_has_drops_by_the_route_s_name() {
    let mut net = plain();
    net.routes(net.a, "t", vec![to_appliance("to-b", "10.0.2.0/24", "10.0.9.99")]);
    let end = RouteEnd::None { interface: Some(Interface::Nic(net.a1)), user_route: first_route() };
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Route(end)));
    let answer = net.oracle().partial().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::OwnerAllows { address: ip("10.0.9.99") });
}

#[test]
fn route_12_what_could_hide_the_next_hop_is_asked() {
    let mut net = plain();
    net.routes(net.a, "t", vec![to_appliance("to-b", "10.0.2.0/24", "10.7.0.4")]);
    let stray = net.network.nic(net.a, "x1", &["10.7.0.4"]);
    let gone = id("virtualNetworks", "gone");
    // A subnet of another network is nowhere that the sender's could reach (TOP-5).
    net.network.nics[stray.get()].subnet = Some(Reference::Missing(gone.child("subnets", "s")));
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(kind(&answer), VerdictKind::Deny);
    let lost = net.network.vnets[0].id.child("subnets", "lost");
    net.network.nics[stray.get()].subnet = Some(Reference::Missing(lost.clone()));
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::ResourceAllows { resource: lost.clone() });
    // A peered network that is missing goes first, unless it is known not to have the address.
    let other = net.network.vnet("w", &["10.1.0.0/16"]);
    net.network.peer(VnetIndex::new(0), other);
    net.network.vnets[0].peerings[0].remote = Reference::Missing(gone.clone());
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::ResourceAllows { resource: gone });
    net.network.vnets[0].peerings[0].remote_address_space = Some(vec!["10.8.0.0/16".parse().unwrap()]);
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::ResourceAllows { resource: lost });
}

#[test]
fn route_12_a_next_hop_without_an_address_is_a_route_of_unknown_form() {
    let mut net = plain();
    net.routes(net.a, "t", vec![route("to-b", "10.0.2.0/24", NextHop::VirtualAppliance(None))]);
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    let resource = Some(id("routeTables", "t"));
    assert_eq!(*hangs_on(&answer), Unknown::FeatureAllows { feature: Feature::UnknownRoute, resource });
}

#[test]
fn route_12_a_next_hop_may_be_in_a_peered_network_but_not_behind_it() {
    let mut net = plain();
    let (near, far) = (net.network.vnet("w", &["10.1.0.0/16"]), net.network.vnet("x", &["10.2.0.0/16"]));
    net.network.peer(VnetIndex::new(0), near);
    net.network.peer(near, far);
    for (vnet, name, range, address) in
        [(near, "c", "10.1.1.0/24", "10.1.1.4"), (far, "d", "10.2.1.0/24", "10.2.1.4")]
    {
        let subnet = net.network.subnet(vnet, name, range);
        let nic = net.network.nic(subnet, &format!("{name}1"), &[address]);
        net.network.nics[nic.get()].ip_forwarding = true;
    }
    net.routes(net.a, "t", vec![to_appliance("to-b", "10.0.2.0/24", "10.1.1.4")]);
    assert_eq!(kind(&net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None)), VerdictKind::Allow);
    net.network.route_tables[0].routes[0].next_hop = NextHop::VirtualAppliance(Some(ip("10.2.1.4")));
    let answer = net.oracle().path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert!(matches!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::None { .. }))));
}

#[test]
fn route_12_a_packet_for_the_next_hop_itself_arrives_there() {
    let mut net = plain();
    net.routes(net.a, "t", vec![to_appliance("to-b", "10.0.2.0/24", "10.0.2.4")]);
    net.nic_nsg(net.b1, "nsg-x", &[]);
    // It does not forward, so it needs no leave to.
    let mut oracle = net.oracle();
    let answer = oracle.path(Origin::Nic(net.a1), &a1_to_b1(), 0, None);
    assert_eq!(steps(&oracle, &answer), ["b1 inbound nsg-x/AllowVnetInBound allow"]);
    assert_eq!(answer.routes.len(), 1);
}

#[test]
fn route_13_a_machine_without_ip_forwarding_takes_no_foreign_packet_and_asks_no_rule() {
    let mut behind = behind();
    behind.net.network.nics[behind.n1.get()].ip_forwarding = false;
    behind.net.nic_nsg(behind.n1, "nsg-x", &["in 100 deny * * * -> * *"]);
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    let (nic, direction) = (behind.n1, Direction::Inbound);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::IpForwarding { nic, direction }));
    assert!(answer.steps.is_empty());
}

#[test]
fn route_13_the_other_interface_of_an_appliance_needs_ip_forwarding_for_foreign_sources_alone() {
    for (mode, forwards, expected) in [
        (ApplianceMode::Forward, false, VerdictKind::Deny),
        (ApplianceMode::Forward, true, VerdictKind::Allow),
        (ApplianceMode::Snat, false, VerdictKind::Allow),
    ] {
        let mut behind = behind();
        let n2 = behind.net.network.nic(behind.n, "n2", &["10.0.9.5"]);
        behind.net.network.nics[n2.get()].ip_forwarding = forwards;
        behind.states(mode, Some(Reference::Here(n2)));
        behind.net.nic_nsg(n2, "nsg-x", &[]);
        let mut oracle = behind.net.oracle();
        let answer = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
        assert_eq!(kind(&answer), expected, "{mode:?} {forwards}");
        if expected == VerdictKind::Deny {
            let direction = Direction::Outbound;
            assert_eq!(answer.verdict, Verdict::Deny(Reason::IpForwarding { nic: n2, direction }));
            assert!(answer.steps.is_empty());
        } else {
            // ROUTE-14: outbound at the interface that it leaves by.
            assert_eq!(steps(&oracle, &answer), ["n2 outbound nsg-x/AllowVnetOutBound allow"]);
            assert_eq!(answer.routes[1].interface, Interface::Nic(n2));
        }
    }
}

#[test]
fn route_14_and_15_the_packet_keeps_its_addresses_unless_the_appliance_translates() {
    for (mode, source) in [(None, "10.0.1.4"), (Some(ApplianceMode::Snat), "10.0.9.4")] {
        let mut behind = behind();
        if let Some(mode) = mode {
            behind.states(mode, None);
        }
        behind.net.nic_nsg(behind.n1, "nsg-n", &[]);
        behind.net.nic_nsg(behind.net.b1, "nsg-x", &[]);
        let mut oracle = behind.net.oracle();
        let answer = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
        let expected = [
            "n1 inbound nsg-n/AllowVnetInBound allow",
            "n1 outbound nsg-n/AllowVnetOutBound allow",
            "b1 inbound nsg-x/AllowVnetInBound allow",
        ];
        assert_eq!(steps(&oracle, &answer), expected);
        let sources: Vec<_> = answer.steps.iter().map(|step| step.seen.source).collect();
        assert_eq!(sources, [ip("10.0.1.4"), ip(source), ip(source)]);
        let hops: Vec<_> = answer.routes.iter().map(|route| route.next_hop_address).collect();
        assert_eq!(hops, [Some(ip("10.0.9.4")), None]);
        // What an appliance does to a packet is not Azure's translation.
        assert_eq!(answer.translation, Translation::default());
        // Nobody stated that it forwards.
        let told = mode.is_none().then_some(Note::TakenToForward { nic: behind.n1 });
        assert_eq!(answer.notes, Vec::from_iter(told));
    }
}

#[test]
fn route_15_an_appliance_that_drops() {
    let mut behind = behind();
    behind.states(ApplianceMode::Drop, None);
    behind.net.nic_nsg(behind.n1, "nsg-n", &["out 100 deny * * * -> * *"]);
    let mut oracle = behind.net.oracle();
    let answer = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Appliance(behind.n1)));
    assert_eq!(steps(&oracle, &answer), ["n1 inbound nsg-n/AllowVnetInBound allow"]);
}

#[test]
fn route_15_an_interface_to_leave_by_that_is_missing_is_asked_about() {
    for mode in [ApplianceMode::Forward, ApplianceMode::Snat] {
        let mut behind = behind();
        let gone = id("networkInterfaces", "gone");
        behind.states(mode, Some(Reference::Missing(gone.clone())));
        let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
        assert_eq!(*hangs_on(&answer), Unknown::ResourceAllows { resource: gone });
    }
}

#[test]
fn eval_9_what_is_for_the_appliance_s_other_interface_does_not_leave_the_machine() {
    let mut behind = behind();
    // b1 is the other interface of the appliance.
    behind.states(ApplianceMode::Forward, Some(Reference::Here(behind.net.b1)));
    behind.net.network.nics[behind.net.b1.get()].ip_forwarding = true;
    behind.net.nic_nsg(behind.net.b1, "nsg-x", &["in 100 deny * * * -> * *", "out 100 deny * * * -> * *"]);
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    assert_eq!(answer.verdict, Verdict::Allow(Reason::NoSecurityGroup));
}

#[test]
fn route_19_a_table_that_points_at_its_own_appliance_loops() {
    let mut behind = behind();
    behind.net.routes(behind.n, "u", vec![to_appliance("again", "10.0.2.0/24", "10.0.9.4")]);
    behind.net.nic_nsg(behind.n1, "nsg-n", &[]);
    let mut oracle = behind.net.oracle();
    let answer = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    let interface = Some(Interface::Nic(behind.n1));
    assert_eq!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::Loop { interface })));
    // Six times in and out, by the rules each time: a packet does not meet the records that it leaves itself.
    let round = ["n1 inbound nsg-n/AllowVnetInBound allow", "n1 outbound nsg-n/AllowVnetOutBound allow"];
    assert_eq!(steps(&oracle, &answer), round.repeat(6));
    assert_eq!(answer.routes.len(), 7);
    assert_eq!(answer.notes, [Note::TakenToForward { nic: behind.n1 }]);
}

/// A packet from 10.0.0.4 to 10.0.99.4 by as many machines that forward it, each in a subnet of its own.
fn through_a_chain(machines: usize) -> Verdict {
    let mut network = Network::default();
    let vnet = network.vnet("v", &["10.0.0.0/16"]);
    for number in 0..=machines {
        let subnet = network.subnet(vnet, &format!("s{number}"), &format!("10.0.{number}.0/24"));
        let nic = network.nic(subnet, &format!("n{number}"), &[&format!("10.0.{number}.4")]);
        network.nics[nic.get()].ip_forwarding = true;
        if number < machines {
            let next = to_appliance("next", "10.0.99.0/24", &format!("10.0.{}.4", number + 1));
            let table = network.route_table(&format!("t{number}"), vec![next]);
            network.subnets[subnet.get()].route_table = Some(Reference::Here(table));
        }
    }
    let last = network.subnet(vnet, "z", "10.0.99.0/24");
    network.nic(last, "z1", &["10.0.99.4"]);
    let mut oracle = Oracle::new(network, TagCatalog::default());
    oracle.path(Origin::Nic(NicIndex::new(0)), &tcp("10.0.0.4:1000", "10.0.99.4:80"), 0, None).verdict
}

#[test]
fn route_19_six_machines_forward_a_packet_and_a_seventh_does_not() {
    assert_eq!(through_a_chain(6), Verdict::Allow(Reason::NoSecurityGroup));
    let interface = Some(Interface::Nic(NicIndex::new(6)));
    assert_eq!(through_a_chain(7), Verdict::Deny(Reason::Route(RouteEnd::Loop { interface })));
}

#[test]
fn state_13_a_reply_by_the_same_appliance_passes_by_records_and_a_straight_one_finds_none_there() {
    let mut behind = behind();
    behind.net.routes(behind.net.b, "u", vec![to_appliance("back", "10.0.1.0/24", "10.0.9.4")]);
    let deny = "in 100 deny * 10.0.2.4 * -> * *";
    behind.net.nic_nsg(behind.n1, "nsg-n", &[deny]);
    let mut oracle = behind.net.oracle();
    let there = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    assert_eq!(kind(&there), VerdictKind::Allow);
    let reply = tcp("10.0.2.4:80", "10.0.1.4:1000");
    let back = oracle.path(Origin::Nic(behind.net.b1), &reply, S, None);
    let expected = [
        "b1 outbound record allow",
        "n1 inbound record allow",
        "n1 outbound record allow",
        "a1 inbound record allow",
    ];
    assert_eq!(steps(&oracle, &back), expected);
    // The request goes straight, the reply by the appliance: that is new there.
    behind.net.network.subnets[behind.net.a.get()].route_table = None;
    let mut oracle = behind.net.oracle();
    let _ = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    let back = oracle.path(Origin::Nic(behind.net.b1), &reply, S, None);
    assert_eq!(steps(&oracle, &back), ["b1 outbound record allow", "n1 inbound nsg-n/in-100 deny"]);
}

#[test]
fn out_1_by_what_a_forwarded_packet_leaves_no_clause_says() {
    let mut behind = behind();
    behind.net.network.route_tables[0].routes[0] = to_appliance("out", "0.0.0.0/0", "10.0.9.4");
    behind.net.public(behind.n1, "203.0.113.4", Some(PublicIpSku::Standard));
    let packet = tcp("10.0.1.4:1000", "8.8.8.8:443");
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &packet, 0, None);
    let nic = id("networkInterfaces", "n1");
    assert_eq!(*hangs_on(&answer), Unknown::ForeignSourceLeaves { nic });
    let public_ip = behind.net.network.public_ip("pip-nat", "203.0.113.9", None);
    let gateway = behind.net.network.nat_gateway("nat", &[public_ip]);
    behind.net.network.subnets[behind.n.get()].nat_gateway = Some(Reference::Here(gateway));
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &packet, 0, None);
    assert_eq!(kind(&answer), VerdictKind::Allow);
    assert_eq!(answer.translation.snat, Some(Snat::NatGateway));
}

#[test]
fn lb_12_behind_a_frontend_as_next_hop_every_backend_is_tried() {
    let mut behind = behind();
    let n2 = behind.net.network.nic(behind.n, "n2", &["10.0.9.5"]);
    behind.net.network.nics[n2.get()].ip_forwarding = true;
    let balancer = behind.net.network.balancer("lb", true);
    let frontend = behind.net.network.internal_frontend(balancer, behind.n, "10.0.9.100");
    let pool = behind.net.network.pool(balancer, "p", &[behind.n1, n2]);
    behind.net.network.balance(balancer, &frontend, &pool, "all 0 -> 0");
    behind.net.network.route_tables[0].routes[0] = to_appliance("to-b", "10.0.2.0/24", "10.0.9.100");
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    assert_eq!(kind(&answer), VerdictKind::Allow);
    assert_eq!(answer.routes[1].interface, Interface::Nic(behind.n1));
    assert_eq!(answer.translation.destination, None);
    assert_eq!(answer.backends.len(), 2);
    behind.states(ApplianceMode::Drop, None);
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    assert_eq!(answer.verdict, Verdict::Mixed(balancer));
    assert_eq!(answer.backends[0].verdict, Verdict::Deny(Reason::Appliance(behind.n1)));
    assert_eq!(answer.backends[1].verdict, Verdict::Allow(Reason::NoSecurityGroup));
    assert_eq!(answer.routes.len(), 1);
}

#[test]
fn lb_6_of_two_load_balancers_on_the_way_the_outer_one_tells_its_backends() {
    let mut behind = behind();
    let inner = behind.net.network.balancer("lb-b", true);
    let called = behind.net.network.internal_frontend(inner, behind.net.b, "10.0.2.100");
    let pool = behind.net.network.pool(inner, "p", &[behind.net.b1, behind.net.a2]);
    behind.net.network.balance(inner, &called, &pool, "tcp 80 -> 80");
    behind.net.nic_nsg(behind.net.a2, "nsg-a2", &["in 100 deny * * * -> * *"]);
    let packet = tcp("10.0.1.4:1000", "10.0.2.100:80");
    // By one machine there is nothing to tell of the way to the frontend.
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &packet, 0, None);
    assert_eq!((answer.verdict, answer.backends.len()), (Verdict::Mixed(inner), 2));
    assert_eq!((answer.backends[0].balancer, answer.backends[0].address), (inner, Some(ip("10.0.2.4"))));
    assert_eq!(answer.routes.len(), 2);
    let n2 = behind.net.network.nic(behind.n, "n2", &["10.0.9.5"]);
    behind.net.network.nics[n2.get()].ip_forwarding = true;
    let outer = behind.net.network.balancer("lb-n", true);
    let frontend = behind.net.network.internal_frontend(outer, behind.n, "10.0.9.100");
    let pool = behind.net.network.pool(outer, "p", &[behind.n1, n2]);
    behind.net.network.balance(outer, &frontend, &pool, "all 0 -> 0");
    behind.net.network.route_tables[0].routes[0] = to_appliance("to-b", "10.0.2.0/24", "10.0.9.100");
    let answer = behind.net.oracle().path(Origin::Nic(behind.net.a1), &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Mixed(outer));
    let told: Vec<_> = answer.backends.iter().map(|tried| (tried.balancer, tried.verdict.clone())).collect();
    assert_eq!(told, [(outer, Verdict::Mixed(inner)), (outer, Verdict::Mixed(inner))]);
}

#[test]
fn lb_12_the_rule_is_chosen_by_the_packet_s_own_port() {
    let mut behind = behind();
    let balancer = behind.net.network.balancer("lb", true);
    let frontend = behind.net.network.internal_frontend(balancer, behind.n, "10.0.9.100");
    let pool = behind.net.network.pool(balancer, "p", &[behind.n1]);
    behind.net.network.balance(balancer, &frontend, &pool, "tcp 80 -> 8080");
    behind.net.network.route_tables[0].routes[0] = to_appliance("to-b", "10.0.2.0/24", "10.0.9.100");
    behind.net.nic_nsg(behind.net.b1, "nsg-x", &["in 100 deny * * * -> * 8080"]);
    let mut oracle = behind.net.oracle();
    let answer = oracle.path(Origin::Nic(behind.net.a1), &a1_to_b1(), 0, None);
    assert_eq!(steps(&oracle, &answer), ["b1 inbound nsg-x/AllowVnetInBound allow"]);
    let other = tcp("10.0.1.4:1000", "10.0.2.4:81");
    let answer = oracle.path(Origin::Nic(behind.net.a1), &other, 0, None);
    let fault = BalancerFault::NoRule;
    assert_eq!(answer.verdict, Verdict::Deny(Reason::LoadBalancer { balancer, fault }));
}
