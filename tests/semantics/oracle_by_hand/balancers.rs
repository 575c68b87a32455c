//! Load balancers: rules, backends, health, and what the backends' filters see (LB, EVAL-11, PEER-8).

use nsgsim::model::flow::{Icmp, Origin, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, PublicIpIndex, Reference, VnetIndex};
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::prefix::PortRange;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{
    Answer, BalancerFault, Note, Reason, RouteEnd, Snat, Translation, Verdict, VerdictKind,
};

use super::plain::{Plain, S, hangs_on, kind, plain, steps, to_appliance};
use crate::build::balancer::Balance;
use crate::build::{Build, icmp, id, ip, packet, rule, tcp, tcp_flags};
use crate::oracle::Oracle;

/// `plain` with the load balancer `lb`: an internal frontend 10.0.2.100 and a public one 203.0.113.100, both before the
/// pool `p`.
struct Balanced {
    net: Plain,
    lb: LoadBalancerIndex,
    internal: ResourceId,
    public: ResourceId,
    public_ip: PublicIpIndex,
    pool: ResourceId,
}

fn balanced(standard: bool) -> Balanced {
    let mut net = plain();
    let sku = if standard { PublicIpSku::Standard } else { PublicIpSku::Basic };
    let public_ip = net.network.public_ip("pip-lb", "203.0.113.100", Some(sku));
    let lb = net.network.balancer("lb", standard);
    let internal = net.network.internal_frontend(lb, net.b, "10.0.2.100");
    let public = net.network.public_frontend(lb, public_ip);
    let pool = net.network.pool(lb, "p", &[net.b1]);
    Balanced { net, lb, internal, public, public_ip, pool }
}

impl Balanced {
    fn fault(&self, fault: BalancerFault) -> Verdict {
        Verdict::Deny(Reason::LoadBalancer { balancer: self.lb, fault })
    }

    /// From `a1` to the internal frontend.
    fn a1_asks(&self, port: u16) -> Answer {
        let packet = tcp("10.0.1.4:1000", &format!("10.0.2.100:{port}"));
        self.net.oracle().path(Origin::Nic(self.net.a1), &packet, 0, None)
    }

    /// `a2` becomes a member too, behind an NSG that lets in a source alone.
    fn with_a2(&mut self, only: &str) {
        let a2 = self.net.a2;
        let own = self.net.network.nics[a2.get()].ip_configurations[0].id.clone();
        self.net.network.load_balancers[0].pools[0].ip_configurations.push(own);
        let allow = format!("in 100 allow * {only} * -> * *");
        self.net.nic_nsg(a2, "nsg-a2", &[&allow, "in 200 deny * * * -> * *"]);
    }
}

fn missing(resource: &ResourceId) -> Unknown {
    Unknown::ResourceAllows { resource: resource.clone() }
}

/// What the first backend was sent.
fn sent(answer: &Answer) -> Option<(std::net::IpAddr, Option<u16>)> {
    answer.translation.destination
}

#[test]
fn lb_1_inbound_nat_rules_go_before_load_balancing_rules() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    let (a2, b1) = [at.net.a2, at.net.b1]
        .map(|nic| at.net.network.nics[nic.get()].ip_configurations[0].id.clone())
        .into();
    at.net.network.nat_rule(at.lb, &at.public, "tcp 80 -> 1").backend = Some(b1);
    // Without any target it is passed over.
    at.net.network.nat_rule(at.lb, &at.internal, "tcp 80 -> 2");
    assert_eq!(sent(&at.a1_asks(80)), Some((ip("10.0.2.4"), Some(8080))));
    at.net.network.nat_rule(at.lb, &at.internal, "tcp 80 -> 3").backend = Some(a2);
    assert_eq!(sent(&at.a1_asks(80)), Some((ip("10.0.1.5"), Some(3))));
}

#[test]
fn lb_1_a_rule_takes_its_protocol_and_port_alone() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "udp 53 -> 53");
    at.net.network.balance(at.lb, &at.internal, &at.pool, "all 80 -> 80");
    let mut oracle = at.net.oracle();
    let mut to = |packet: &Packet| oracle.path(Origin::Nic(at.net.a1), packet, 0, None).verdict;
    let allow = Verdict::Allow(Reason::NoSecurityGroup);
    let no_rule = at.fault(BalancerFault::NoRule);
    for (protocol, port, expected) in [
        (Protocol::UDP, 53, &allow),
        (Protocol::TCP, 53, &no_rule),
        (Protocol::TCP, 80, &allow),
        (Protocol::UDP, 80, &allow),
        (Protocol::TCP, 81, &no_rule),
    ] {
        let asked = packet(protocol, "10.0.1.4:1000", &format!("10.0.2.100:{port}"));
        assert_eq!(to(&asked), *expected, "{protocol:?} {port}");
    }
    assert_eq!(to(&icmp("10.0.1.4", "10.0.2.100", Icmp::Other)), no_rule);
    let mut not_given = tcp("10.0.1.4:1000", "10.0.2.100:80");
    not_given.five_tuple.destination_port = Port::NotGiven;
    assert_eq!(to(&not_given), no_rule);
}

#[test]
fn lb_1_all_ports_take_every_tcp_and_udp_packet_and_perhaps_others() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "all 0 -> 0");
    assert_eq!(sent(&at.a1_asks(81)), Some((ip("10.0.2.4"), Some(81))));
    let mut not_given = tcp("10.0.1.4:1000", "10.0.2.100:80");
    not_given.five_tuple.destination_port = Port::NotGiven;
    let mut oracle = at.net.oracle();
    let answer = oracle.path(Origin::Nic(at.net.a1), &not_given, 0, None);
    assert_eq!(sent(&answer), Some((ip("10.0.2.4"), None)));
    let ping = icmp("10.0.1.4", "10.0.2.100", Icmp::Echo { identifier: 1, request: true });
    let answer = oracle.path(Origin::Nic(at.net.a1), &ping, 0, None);
    let feature = Feature::UnmappedProtocol;
    assert_eq!(*hangs_on(&answer), Unknown::FeatureAllows { feature, resource: None });
}

#[test]
fn lb_2_and_8_the_client_s_rules_see_the_frontend_and_the_backend_s_the_backend() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    at.net.nic_nsg(at.net.a1, "nsg-a1", &["out 100 allow tcp 10.0.1.4 * -> 10.0.2.100 80"]);
    at.net.nic_nsg(at.net.b1, "nsg-b1", &["in 100 allow tcp 10.0.1.4 1000 -> 10.0.2.4 8080"]);
    let mut oracle = at.net.oracle();
    let packet = tcp("10.0.1.4:1000", "10.0.2.100:80");
    let answer = oracle.path(Origin::Nic(at.net.a1), &packet, 0, None);
    let expected = ["a1 outbound nsg-a1/out-100 allow", "b1 inbound nsg-b1/in-100 allow"];
    assert_eq!(steps(&oracle, &answer), expected);
    assert!(answer.backends.is_empty());
}

#[test]
fn lb_4_a_nat_rule_may_be_named_by_the_configuration_or_lead_to_a_pool() {
    let mut at = balanced(true);
    let rule = at.net.network.nat_rule(at.lb, &at.internal, "tcp 50001 -> 22").id.clone();
    assert_eq!(at.a1_asks(50001).verdict, at.fault(BalancerFault::NoRule));
    at.net.network.nics[at.net.b1.get()].ip_configurations[0].inbound_nat_rules.push(rule);
    assert_eq!(sent(&at.a1_asks(50001)), Some((ip("10.0.2.4"), Some(22))));
    // Which port of the range leads to which member, no export says.
    at.with_a2("10.0.1.4");
    let pool = at.pool.clone();
    let rule = at.net.network.nat_rule(at.lb, &at.internal, "tcp 50010 -> 22");
    rule.frontend_ports = PortRange::new(50010, 50020);
    rule.pool = Some(pool);
    assert_eq!(at.a1_asks(50015).backends.len(), 2);
    assert_eq!(at.a1_asks(50021).verdict, at.fault(BalancerFault::NoRule));
}

#[test]
fn lb_5_with_floating_ip_the_address_stays_and_the_port_does_not() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080").floating_ip = true;
    at.net.nic_nsg(at.net.b1, "nsg-b1", &["in 100 allow tcp * * -> 10.0.2.100 8080"]);
    let answer = at.a1_asks(80);
    assert_eq!(steps(&at.net.oracle(), &answer), ["b1 inbound nsg-b1/in-100 allow"]);
    assert_eq!(sent(&answer), Some((ip("10.0.2.100"), Some(8080))));
    // The backend answers from the frontend's address, and from no other that is not its own.
    let from = |source: &str| {
        let reply = tcp(&format!("{source}:8080"), "10.0.1.4:1000");
        at.net.oracle().path(Origin::Nic(at.net.b1), &reply, 0, None).verdict
    };
    assert!(matches!(from("10.0.2.100"), Verdict::Allow(_)));
    let (nic, direction) = (at.net.b1, Direction::Outbound);
    assert_eq!(from("10.0.2.101"), Verdict::Deny(Reason::IpForwarding { nic, direction }));
    at.net.network.load_balancers[0].rules[0].floating_ip = false;
    let reply = tcp("10.0.2.100:8080", "10.0.1.4:1000");
    let answer = at.net.oracle().path(Origin::Nic(at.net.b1), &reply, 0, None);
    assert_eq!(answer.verdict, Verdict::Deny(Reason::IpForwarding { nic, direction }));
}

#[test]
fn lb_6_backends_that_agree_give_the_first_s_verdict() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    at.with_a2("10.0.1.4");
    at.net.nic_nsg(at.net.b1, "nsg-b1", &[]);
    let answer = at.a1_asks(80);
    assert_eq!(steps(&at.net.oracle(), &answer), ["b1 inbound nsg-b1/AllowVnetInBound allow"]);
    assert_eq!(sent(&answer), Some((ip("10.0.2.4"), Some(8080))));
    let tried: Vec<_> = answer.backends.iter().map(|tried| (tried.address, tried.verdict.kind())).collect();
    assert_eq!(
        tried,
        [(Some(ip("10.0.2.4")), VerdictKind::Allow), (Some(ip("10.0.1.5")), VerdictKind::Allow)]
    );
}

#[test]
fn lb_6_backends_that_disagree_make_it_mixed() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    at.with_a2("10.9.9.9");
    at.net.nic_nsg(at.net.a1, "nsg-a1", &[]);
    let answer = at.a1_asks(80);
    assert_eq!(answer.verdict, Verdict::Mixed(at.lb));
    // Steps and routes are those up to the load balancer.
    assert_eq!(steps(&at.net.oracle(), &answer), ["a1 outbound nsg-a1/AllowVnetOutBound allow"]);
    assert_eq!(answer.routes.len(), 1);
    assert_eq!(answer.translation, Translation::default());
    let kinds: Vec<_> = answer.backends.iter().map(|tried| tried.verdict.kind()).collect();
    assert_eq!(kinds, [VerdictKind::Allow, VerdictKind::Deny]);
    // How the packet left on its way to a public frontend is the same for all (SIM-10); where it came, is not.
    at.net.network.balance(at.lb, &at.public, &at.pool, "tcp 80 -> 8080");
    at.net.nic_nsg(at.net.b1, "nsg-b1", &["in 100 allow * * * -> * *"]);
    at.net.public(at.net.a1, "203.0.113.4", Some(PublicIpSku::Basic));
    let packet = tcp("10.0.1.4:1000", "203.0.113.100:80");
    let answer = at.net.oracle().path(Origin::Nic(at.net.a1), &packet, 0, None);
    let source = Some(ip("203.0.113.4"));
    let translation = Translation { destination: None, snat: Some(Snat::InstancePublicIp), source };
    assert_eq!((answer.verdict, answer.translation), (Verdict::Mixed(at.lb), translation));
}

#[test]
fn lb_6_each_backend_that_the_packet_passes_may_answer() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    at.with_a2("10.0.1.4");
    let deny_out = ["out 100 deny * * * -> * *"];
    at.net.nic_nsg(at.net.b1, "nsg-b1", &deny_out);
    let mut oracle = at.net.oracle();
    let answer = |oracle: &mut Oracle| {
        let mut from = |nic, source: &str| {
            let reply = tcp(&format!("{source}:8080"), "10.0.1.4:1000");
            kind(&oracle.path(Origin::Nic(nic), &reply, S, None))
        };
        (from(at.net.b1, "10.0.2.4"), from(at.net.a2, "10.0.1.5"))
    };
    assert_eq!(answer(&mut oracle).0, VerdictKind::Deny);
    let mut oracle = at.net.oracle();
    let there = tcp("10.0.1.4:1000", "10.0.2.100:80");
    let _ = oracle.path(Origin::Nic(at.net.a1), &there, 0, None);
    assert_eq!(answer(&mut oracle), (VerdictKind::Allow, VerdictKind::Allow));
}

#[test]
fn lb_6_members_come_from_either_side_and_by_address_each_once() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    let pool = at.pool.clone();
    for nic in [at.net.a2, at.net.b1] {
        at.net.network.nics[nic.get()].ip_configurations[0].backend_pools.push(pool.clone());
    }
    // 10.0.1.5 is a member already, 10.0.1.4 is a new one: it is the caller itself.
    let addresses = ["10.0.1.5", "10.0.1.4"].map(ip).to_vec();
    at.net.network.load_balancers[0].pools[0].addresses = addresses;
    let tried: Vec<_> = at.a1_asks(80).backends.iter().map(|tried| tried.address).collect();
    assert_eq!(tried, ["10.0.2.4", "10.0.1.5", "10.0.1.4"].map(|text| Some(ip(text))));
}

#[test]
fn sim_4_a_member_that_the_inventory_lacks_is_asked_about() {
    let gone = id("networkInterfaces", "gone").child("ipConfigurations", "c");
    let mut at = balanced(true);
    let probe = at.net.network.probe(at.lb, 8080);
    // It is not asked whether it answers its probe.
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080").probe = Some(probe);
    at.net.network.load_balancers[0].pools[0].ip_configurations = vec![gone.clone()];
    assert_eq!(*hangs_on(&at.a1_asks(80)), missing(&gone));
    // By address: in the frontend's own network nobody has it.
    at.net.network.load_balancers[0].pools[0].ip_configurations.clear();
    at.net.network.load_balancers[0].pools[0].addresses = vec![ip("10.1.0.4")];
    let other = at.net.network.vnet("w", &["10.1.0.0/16"]);
    let subnet = at.net.network.subnet(other, "c", "10.1.0.0/24");
    at.net.network.nic(subnet, "c1", &["10.1.0.4"]);
    assert_eq!(*hangs_on(&at.a1_asks(80)), missing(&at.pool));
    // Without an address.
    let own = at.net.network.nics[at.net.b1.get()].ip_configurations[0].id.clone();
    at.net.network.nics[at.net.b1.get()].ip_configurations[0].address = None;
    at.net.network.load_balancers[0].pools[0].addresses.clear();
    at.net.network.load_balancers[0].pools[0].ip_configurations = vec![own.clone()];
    assert_eq!(*hangs_on(&at.a1_asks(80)), missing(&own));
}

#[test]
fn lb_6_where_backends_disagree_anyway_a_missing_one_does_not_matter() {
    let gone = id("networkInterfaces", "gone").child("ipConfigurations", "c");
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    at.with_a2("10.9.9.9");
    at.net.network.load_balancers[0].pools[0].ip_configurations.push(gone.clone());
    let answer = at.a1_asks(80);
    assert_eq!(answer.verdict, Verdict::Mixed(at.lb));
    assert_eq!(answer.backends[2].verdict, Verdict::Undetermined(missing(&gone)));
    assert_eq!(answer.notes, [Note::DidNotMatter(missing(&gone))]);
}

#[test]
fn pool_addresses_of_a_public_frontend_are_found_in_any_network() {
    let mut at = balanced(false);
    at.net.network.balance(at.lb, &at.public, &at.pool, "tcp 80 -> 8080");
    let other = at.net.network.vnet("w", &["10.1.0.0/16"]);
    let subnet = at.net.network.subnet(other, "c", "10.1.0.0/24");
    at.net.network.nic(subnet, "c1", &["10.1.0.4"]);
    at.net.network.load_balancers[0].pools[0].ip_configurations.clear();
    at.net.network.load_balancers[0].pools[0].addresses = vec![ip("10.1.0.4")];
    let packet = tcp("8.8.8.8:1000", "203.0.113.100:80");
    let answer = at.net.oracle().path(Origin::Internet, &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Allow(Reason::NoSecurityGroup));
    assert_eq!(sent(&answer), Some((ip("10.1.0.4"), Some(8080))));
}

#[test]
fn lb_7_a_backend_that_denies_its_probe_gets_nothing_new() {
    let mut at = balanced(true);
    let probe = at.net.network.probe(at.lb, 9000);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080").probe = Some(probe);
    at.net.nic_nsg(at.net.b1, "nsg-b1", &["in 100 deny tcp AzureLoadBalancer * -> 10.0.2.4 9000"]);
    let answer = at.a1_asks(80);
    assert_eq!(answer.verdict, at.fault(BalancerFault::NoHealthyBackend));
    assert!(answer.steps.is_empty());
    // Of two, the one that answers gets it all.
    at.with_a2("*");
    let answer = at.a1_asks(80);
    assert_eq!(steps(&at.net.oracle(), &answer), ["a2 inbound nsg-a2/in-100 allow"]);
    assert!(answer.backends.is_empty());
}

#[test]
fn lb_7_an_open_flow_of_a_standard_load_balancer_goes_on_at_a_backend_that_is_down() {
    for (standard, expected) in [(true, VerdictKind::Allow), (false, VerdictKind::Deny)] {
        let mut at = balanced(standard);
        let probe = at.net.network.probe(at.lb, 9000);
        at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080").probe = Some(probe);
        at.net.nic_nsg(at.net.b1, "nsg-b1", &[]);
        let mut oracle = at.net.oracle();
        let send = |oracle: &mut Oracle, port, flags: &str, second| {
            let packet = tcp_flags(&format!("10.0.1.4:{port}"), "10.0.2.100:80", flags);
            kind(&oracle.path(Origin::Nic(at.net.a1), &packet, second * S, None))
        };
        assert_eq!(send(&mut oracle, 1000, "S", 0), VerdictKind::Allow);
        let mut closed = at.net.network.clone();
        closed.nsgs[0].rules.insert(0, rule("in 100 deny * 168.63.129.16 * -> * *"));
        closed.nsgs[0].sort();
        oracle.change(closed);
        assert_eq!(send(&mut oracle, 1000, "A", 1), expected);
        assert_eq!(send(&mut oracle, 1001, "A", 1), VerdictKind::Deny);
        // A SYN opens a new flow (STATE-7).
        assert_eq!(send(&mut oracle, 1000, "S", 2), VerdictKind::Deny);
    }
}

#[test]
fn lb_7_a_probe_that_the_export_lacks_is_asked_about() {
    let mut at = balanced(true);
    let probe = id("loadBalancers", "lb").child("probes", "gone");
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080").probe = Some(probe.clone());
    assert_eq!(*hangs_on(&at.a1_asks(80)), missing(&probe));
    at.net.nic_nsg(at.net.b1, "nsg-b1", &["in 100 deny * * * -> * 8080"]);
    assert!(matches!(at.a1_asks(80).verdict, Verdict::Deny(_)));
}

#[test]
fn tag_7_an_ipv6_backend_is_probed_from_the_link_local_address() {
    for (rule, expected) in [
        ("in 100 deny tcp AzureLoadBalancer * -> fd00::4 9000", VerdictKind::Deny),
        ("in 100 deny tcp fe80::1234:5678:9abc * -> fd00::4 9000", VerdictKind::Deny),
        ("in 100 deny tcp 168.63.129.16 * -> * 9000", VerdictKind::Allow),
    ] {
        let mut at = balanced(true);
        at.net.network.vnets[0].address_space.push("fd00::/64".parse().unwrap());
        let six = at.net.network.nic(at.net.b, "b6", &["fd00::4"]);
        let client = at.net.network.nic(at.net.a, "c6", &["fd00::5"]);
        let frontend = at.net.network.internal_frontend(at.lb, at.net.b, "fd00::64");
        // TOP-9: what has no IPv6 address cannot get the packet.
        let pool = at.net.network.pool(at.lb, "q", &[at.net.b1, six]);
        let probe = at.net.network.probe(at.lb, 9000);
        at.net.network.balance(at.lb, &frontend, &pool, "tcp 80 -> 80").probe = Some(probe);
        at.net.nic_nsg(six, "nsg-b6", &[rule]);
        let packet = tcp("fd00::5:1000", "fd00::64:80");
        let answer = at.net.oracle().path(Origin::Nic(client), &packet, 0, None);
        assert_eq!((kind(&answer), answer.backends.len()), (expected, 0), "{rule}");
    }
}

#[test]
fn lb_9_of_two_backends_the_one_that_calls_may_be_chosen_itself() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    at.with_a2("*");
    let packet = tcp("10.0.1.5:1000", "10.0.2.100:80");
    let answer = at.net.oracle().path(Origin::Nic(at.net.a2), &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Mixed(at.lb));
    assert_eq!(answer.backends[1].verdict, at.fault(BalancerFault::Hairpin));
}

#[test]
fn lb_10_the_gate_is_the_frontend_s_public_address_and_stands_before_each_backend() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.public, &at.pool, "tcp 80 -> 8080");
    at.with_a2("*");
    let packet = tcp("8.8.8.8:1000", "203.0.113.100:80");
    let answer = at.net.oracle().path(Origin::Internet, &packet, 0, None);
    assert_eq!(answer.verdict, Verdict::Mixed(at.lb));
    let gate = Reason::PublicIpGate { public_ip: at.public_ip, nic: at.net.b1 };
    assert_eq!(answer.backends[0].verdict, Verdict::Deny(gate));
    at.net.network.public_ips[at.public_ip.get()].sku = None;
    let answer = at.net.oracle().path(Origin::Internet, &packet, 0, None);
    assert_eq!(*hangs_on(&answer), missing(&id("publicIPAddresses", "pip-lb")));
    // EVAL-11: an internal frontend is not gated.
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    assert_eq!(kind(&at.a1_asks(80)), VerdictKind::Allow);
}

#[test]
fn eval_11_behind_a_frontend_s_translation_its_public_address_is_the_gate() {
    let mut at = balanced(true);
    let packet = tcp("8.8.8.8:1000", "10.0.2.4:8080");
    let ask = |at: &Balanced| at.net.oracle().path(Origin::Internet, &packet, 0, None);
    // TOP-1: so far nothing leads there.
    assert_eq!(ask(&at).verdict, Verdict::Deny(Reason::Route(RouteEnd::NoPublicIp)));
    at.net.network.balance(at.lb, &at.public, &at.pool, "tcp 80 -> 8080");
    let answer = ask(&at);
    let gate = Reason::PublicIpGate { public_ip: at.public_ip, nic: at.net.b1 };
    assert_eq!(answer.verdict, Verdict::Deny(gate));
    assert!(answer.notes.is_empty());
    // What does not come from a public address came through none.
    let inside = tcp("10.7.0.4:1000", "10.0.2.4:8080");
    assert_eq!(kind(&at.net.oracle().path(Origin::Internet, &inside, 0, None)), VerdictKind::Allow);
    // A second frontend of another kind.
    let basic = at.net.network.public_ip("pip-other", "203.0.113.101", Some(PublicIpSku::Basic));
    let second = at.net.network.public_frontend(at.lb, basic);
    at.net.network.balance(at.lb, &second, &at.pool, "tcp 81 -> 8080");
    assert_eq!(*hangs_on(&ask(&at)), missing(&id("publicIPAddresses", "pip-lb")));
    at.net.network.public_ips[basic.get()].sku = None;
    assert_eq!(*hangs_on(&ask(&at)), missing(&id("publicIPAddresses", "pip-other")));
    for public_ip in &mut at.net.network.public_ips {
        public_ip.sku = Some(PublicIpSku::Basic);
    }
    assert_eq!(kind(&ask(&at)), VerdictKind::Allow);
}

#[test]
fn peer_8_a_basic_frontend_is_not_reached_from_another_region() {
    let ask = |standard, own: Option<&str>, other: Option<&str>| {
        let mut at = balanced(standard);
        at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
        let far = at.net.network.vnet("w", &["10.1.0.0/16"]);
        let subnet = at.net.network.subnet(far, "c", "10.1.1.0/24");
        let client = at.net.network.nic(subnet, "c1", &["10.1.1.4"]);
        at.net.network.peer(VnetIndex::new(0), far);
        at.net.network.vnets[0].location = own.map(str::to_owned);
        at.net.network.vnets[1].location = other.map(str::to_owned);
        let packet = tcp("10.1.1.4:1000", "10.0.2.100:80");
        at.net.oracle().path(Origin::Nic(client), &packet, 0, None)
    };
    let (here, there) = (Some("westeurope"), Some("North Europe"));
    let nobody = Verdict::Deny(Reason::Route(RouteEnd::NoEndpoint));
    assert_eq!(ask(false, here, there).verdict, nobody);
    assert_eq!(kind(&ask(true, here, there)), VerdictKind::Allow);
    assert_eq!(kind(&ask(false, here, Some("West Europe"))), VerdictKind::Allow);
    let account = id("loadBalancers", "lb");
    assert_eq!(*hangs_on(&ask(false, here, None)), Unknown::SameRegion { account });
}

#[test]
fn a_frontend_whose_subnet_is_missing_may_be_in_another_network() {
    let mut at = balanced(true);
    at.net.network.balance(at.lb, &at.internal, &at.pool, "tcp 80 -> 8080");
    let gone = id("virtualNetworks", "gone").child("subnets", "s");
    at.net.network.load_balancers[0].frontends[0].subnet = Some(Reference::Missing(gone.clone()));
    assert_eq!(*hangs_on(&at.a1_asks(80)), missing(&gone));
}

#[test]
fn more_ways_than_are_tried_are_said_to_be_too_many() {
    // Five machines behind one frontend, each of whose routes leads to the same frontend again: five ways to the first,
    // twenty-five to the second, and 15,625 to the sixth.
    let mut net = plain();
    let subnet = net.network.subnet(VnetIndex::new(0), "n", "10.0.9.0/24");
    let nics = ["n1", "n2", "n3", "n4", "n5"].map(|name| {
        let address = format!("10.0.9.{}", 4 + name[1..].parse::<u8>().expect("a digit"));
        let nic = net.network.nic(subnet, name, &[&address]);
        net.network.nics[nic.get()].ip_forwarding = true;
        nic
    });
    let lb = net.network.balancer("lb", true);
    let frontend = net.network.internal_frontend(lb, subnet, "10.0.9.100");
    let pool = net.network.pool(lb, "p", &nics);
    net.network.balance(lb, &frontend, &pool, "all 0 -> 0");
    let again = to_appliance("again", "10.0.2.0/24", "10.0.9.100");
    net.routes(subnet, "t", vec![again]);
    net.network.subnets[net.a.get()].route_table = net.network.subnets[subnet.get()].route_table.clone();
    let packet = tcp("10.0.1.4:1000", "10.0.2.4:80");
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert_eq!(*hangs_on(&answer), Unknown::TooManyWays);
    // Of two machines there are 128, and they all come to a seventh forwarder.
    net.network.load_balancers[0].pools[0].ip_configurations.truncate(2);
    let answer = net.oracle().path(Origin::Nic(net.a1), &packet, 0, None);
    assert!(matches!(answer.verdict, Verdict::Deny(Reason::Route(RouteEnd::Loop { .. }))));
    assert_eq!(answer.backends.len(), 2);
}
