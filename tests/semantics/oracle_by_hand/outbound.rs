//! Out to the internet by a load balancer (OUT-1 to OUT-3, LB-11).

use nsgsim::model::flow::{Fragment, Icmp, Origin, Packet};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, PublicIpIndex, Reference};
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::subscription::{Subscription, SubscriptionKind};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Answer, Interface, Reason, Snat, Verdict, VerdictKind};

use super::plain::{Plain, hangs_on, kind, plain, steps};
use crate::build::balancer::Balance;
use crate::build::{Build, icmp, id, ip, packet, tcp};
use crate::oracle::Oracle;

/// `plain` with `a1` in the pool of `lb`, which has the public frontend 203.0.113.100.
struct Pooled {
    net: Plain,
    lb: LoadBalancerIndex,
    public: ResourceId,
    public_ip: PublicIpIndex,
    pool: ResourceId,
}

fn pooled() -> Pooled {
    let mut net = plain();
    let public_ip = net.network.public_ip("pip-lb", "203.0.113.100", Some(PublicIpSku::Standard));
    let lb = net.network.balancer("lb", true);
    let public = net.network.public_frontend(lb, public_ip);
    let pool = net.network.pool(lb, "p", &[net.a1]);
    Pooled { net, lb, public, public_ip, pool }
}

impl Pooled {
    fn sends(&self, packet: &Packet) -> Answer {
        self.net.oracle().path(Origin::Nic(self.net.a1), packet, 0, None)
    }

    fn out(&self) -> Answer {
        self.sends(&tcp("10.0.1.4:1000", "8.8.8.8:443"))
    }

    /// By which translation TCP leaves.
    fn leaves_by(&self) -> (Option<Snat>, Option<std::net::IpAddr>) {
        let answer = self.out();
        assert_eq!(kind(&answer), VerdictKind::Allow);
        (answer.translation.snat, answer.translation.source)
    }

    fn no_way(&self) -> Verdict {
        Verdict::Deny(Reason::OutboundConnectivity { interface: Interface::Nic(self.net.a1) })
    }
}

#[test]
fn out_1_nat_gateway_own_address_outbound_rule_then_load_balancing_rule() {
    let mut at = pooled();
    let frontend = Some(ip("203.0.113.100"));
    assert_eq!(at.leaves_by(), (Some(Snat::DefaultOutboundAccess), None));
    // It disables outbound translation.
    at.net.network.balance(at.lb, &at.public, &at.pool, "tcp 80 -> 80");
    assert_eq!(at.leaves_by(), (Some(Snat::DefaultOutboundAccess), None));
    at.net.network.balance(at.lb, &at.public, &at.pool, "tcp 81 -> 81").disable_outbound_snat = false;
    assert_eq!(at.leaves_by(), (Some(Snat::LoadBalancerRule), frontend));
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, Some(Protocol::TCP));
    assert_eq!(at.leaves_by(), (Some(Snat::LoadBalancerOutboundRule), frontend));
    at.net.public(at.net.a1, "203.0.113.4", Some(PublicIpSku::Standard));
    assert_eq!(at.leaves_by(), (Some(Snat::InstancePublicIp), Some(ip("203.0.113.4"))));
    let public_ip = at.net.network.public_ip("pip-nat", "203.0.113.9", None);
    let gateway = at.net.network.nat_gateway("nat", &[public_ip]);
    at.net.network.subnets[at.net.a.get()].nat_gateway = Some(Reference::Here(gateway));
    assert_eq!(at.leaves_by(), (Some(Snat::NatGateway), Some(ip("203.0.113.9"))));
}

#[test]
fn out_1_an_internal_frontend_gives_no_way_out() {
    let mut at = pooled();
    let internal = at.net.network.internal_frontend(at.lb, at.net.b, "10.0.2.100");
    at.net.network.balance(at.lb, &internal, &at.pool, "all 0 -> 0").disable_outbound_snat = false;
    assert_eq!(at.leaves_by(), (Some(Snat::DefaultOutboundAccess), None));
}

#[test]
fn lb_11_the_source_is_known_where_the_frontends_come_to_one_address() {
    let mut at = pooled();
    let other = at.net.network.public_ip("pip-other", "203.0.113.101", Some(PublicIpSku::Standard));
    let second = at.net.network.public_frontend(at.lb, other);
    at.net.network.outbound_rule(at.lb, &[&at.public, &second], &at.pool, None);
    assert_eq!(at.leaves_by(), (Some(Snat::LoadBalancerOutboundRule), None));
    at.net.network.load_balancers[0].outbound_rules[0].frontends.pop();
    at.net.network.public_ips[at.public_ip.get()].address = None;
    assert_eq!(at.leaves_by(), (Some(Snat::LoadBalancerOutboundRule), None));
}

#[test]
fn out_3_each_rule_carries_its_protocol_and_all_are_tcp_and_udp() {
    let udp = packet(Protocol::UDP, "10.0.1.4:1000", "8.8.8.8:53");
    let other = icmp("10.0.1.4", "8.8.8.8", Icmp::Other);
    let mut at = pooled();
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, Some(Protocol::TCP));
    // There is an explicit method, so there is no default outbound access (OUT-2).
    assert_eq!(at.sends(&udp).verdict, at.no_way());
    at.net.network.balance(at.lb, &at.public, &at.pool, "udp 81 -> 81").disable_outbound_snat = false;
    assert_eq!(at.sends(&udp).translation.snat, Some(Snat::LoadBalancerRule));
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, None);
    assert_eq!(at.sends(&udp).translation.snat, Some(Snat::LoadBalancerOutboundRule));
    assert_eq!(at.sends(&other).verdict, at.no_way());
}

#[test]
fn out_3_a_secondary_configuration_gets_nothing_and_shares_the_explicit_method() {
    let mut at = pooled();
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, None);
    let mut second = at.net.network.nics[at.net.a1.get()].ip_configurations[0].clone();
    second.id = id("networkInterfaces", "a1").child("ipConfigurations", "c1");
    (second.address, second.primary) = (Some(ip("10.0.1.40")), false);
    at.net.network.load_balancers[0].pools[0].ip_configurations.push(second.id.clone());
    at.net.network.nics[at.net.a1.get()].ip_configurations.push(second);
    assert_eq!(at.sends(&tcp("10.0.1.40:1000", "8.8.8.8:443")).verdict, at.no_way());
    assert_eq!(at.leaves_by().0, Some(Snat::LoadBalancerOutboundRule));
}

#[test]
fn state_11_fragments_do_not_leave_by_a_load_balancer() {
    let mut at = pooled();
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, None);
    let mut fragment = packet(Protocol::UDP, "10.0.1.4:1000", "8.8.8.8:53");
    fragment.fragment = Fragment::First { identification: 1 };
    let (interface, direction) = (Interface::Nic(at.net.a1), Direction::Outbound);
    let unsupported = Reason::UnsupportedTraffic { interface, direction };
    assert_eq!(at.sends(&fragment).verdict, Verdict::Deny(unsupported));
}

#[test]
fn out_1_members_by_address_and_by_the_configuration_s_side_leave_too() {
    let mut at = pooled();
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, None);
    at.net.network.load_balancers[0].pools[0].ip_configurations.clear();
    assert_eq!(at.leaves_by().0, Some(Snat::DefaultOutboundAccess));
    at.net.network.load_balancers[0].pools[0].addresses.push(ip("10.0.1.4"));
    assert_eq!(at.leaves_by().0, Some(Snat::LoadBalancerOutboundRule));
    at.net.network.load_balancers[0].pools[0].addresses.clear();
    at.net.network.nics[at.net.a1.get()].ip_configurations[0].backend_pools.push(at.pool.clone());
    assert_eq!(at.leaves_by().0, Some(Snat::LoadBalancerOutboundRule));
}

#[test]
fn sim_4_a_load_balancer_that_the_inventory_lacks_may_be_the_way_out() {
    let mut at = pooled();
    let gone = id("loadBalancers", "gone");
    let pools = &mut at.net.network.nics[at.net.a1.get()].ip_configurations[0].backend_pools;
    pools.push(gone.child("backendAddressPools", "p"));
    assert_eq!(*hangs_on(&at.out()), Unknown::ResourceAllows { resource: gone });
    // What a known rule carries leaves anyway, and so does what has its own address.
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, Some(Protocol::TCP));
    assert_eq!(at.leaves_by().0, Some(Snat::LoadBalancerOutboundRule));
    at.net.network.load_balancers[0].outbound_rules.clear();
    at.net.public(at.net.a1, "203.0.113.4", Some(PublicIpSku::Standard));
    assert_eq!(at.leaves_by().0, Some(Snat::InstancePublicIp));
}

#[test]
fn eval_13_mail_straight_to_the_internet_is_stopped_where_the_kind_of_the_subscription_is_known() {
    let mut net = plain();
    net.nic_nsg(net.a1, "nsg-x", &["out 100 deny tcp * * -> 8.8.4.4 *"]);
    let stopped = Verdict::Deny(Reason::UnsupportedTraffic {
        interface: Interface::Nic(net.a1),
        direction: Direction::Outbound,
    });
    let from = Origin::Nic(net.a1);
    let mail = tcp("10.0.1.4:1000", "8.8.8.8:25");
    let own = net.network.nics[net.a1.get()].id.segment("subscriptions").expect("an ID").to_uppercase();
    assert_eq!(kind(&net.oracle().path(from, &mail, 0, None)), VerdictKind::Allow);
    let with = |net: &Plain, kind| {
        let mut network = net.network.clone();
        network.subscriptions = vec![Subscription { id: own.clone(), kind }];
        Oracle::new(network, TagCatalog::default())
    };
    for exempted in [SubscriptionKind::EnterpriseAgreement, SubscriptionKind::ExemptedDevTest] {
        assert_eq!(kind(&with(&net, exempted).path(from, &mail, 0, None)), VerdictKind::Allow);
    }
    let mut oracle = with(&net, SubscriptionKind::Other);
    let answer = oracle.path(from, &mail, 0, None);
    assert_eq!(answer.verdict, stopped);
    assert_eq!(steps(&oracle, &answer), ["a1 outbound nsg-x/AllowInternetOutBound allow"]);
    // The rules come first, and other traffic is none of its business.
    let denied = oracle.path(from, &tcp("10.0.1.4:1000", "8.8.4.4:25"), 0, None);
    assert!(matches!(denied.verdict, Verdict::Deny(Reason::SecurityRule(_))));
    for other in [
        tcp("10.0.1.4:1000", "8.8.8.8:587"),
        packet(Protocol::UDP, "10.0.1.4:1000", "8.8.8.8:25"),
        tcp("10.0.1.4:1000", "10.0.2.4:25"),
    ] {
        assert_eq!(kind(&oracle.path(from, &other, 0, None)), VerdictKind::Allow);
    }
    // It comes ahead of the question by what the packet leaves.
    net.network.subnets[net.a.get()].default_outbound_access = false;
    assert_eq!(with(&net, SubscriptionKind::Other).path(from, &mail, 0, None).verdict, stopped);
}

#[test]
fn eval_13_and_out_5_what_answers_a_flow_from_outside_is_no_mail() {
    let mut net = plain();
    net.public(net.a1, "203.0.113.4", Some(PublicIpSku::Basic));
    let own = net.network.nics[net.a1.get()].id.segment("subscriptions").expect("an ID").to_owned();
    net.network.subscriptions = vec![Subscription { id: own, kind: SubscriptionKind::Other }];
    let mut oracle = net.oracle();
    let in_from_25 = tcp("8.8.8.8:25", "203.0.113.4:1000");
    assert_eq!(kind(&oracle.path(Origin::Internet, &in_from_25, 0, None)), VerdictKind::Allow);
    let back = tcp("10.0.1.4:1000", "8.8.8.8:25");
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &back, 0, None)), VerdictKind::Allow);
    let new = tcp("10.0.1.4:1001", "8.8.8.8:25");
    assert_eq!(kind(&oracle.path(Origin::Nic(net.a1), &new, 0, None)), VerdictKind::Deny);
}

#[test]
fn top_7_and_out_2_an_instance_of_a_flexible_scale_set_needs_a_way_out_of_its_own() {
    let mut at = pooled();
    let machine = id("virtualMachines", "m");
    at.net.network.nics[at.net.a1.get()].machine = Some(machine.clone());
    assert_eq!(kind(&at.out()), VerdictKind::Allow);
    at.net.network.flexible_machines = vec![machine];
    assert_eq!(at.out().verdict, at.no_way());
    at.net.network.outbound_rule(at.lb, &[&at.public], &at.pool, None);
    assert_eq!(at.leaves_by(), (Some(Snat::LoadBalancerOutboundRule), Some(ip("203.0.113.100"))));
}
