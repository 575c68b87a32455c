//! What is forgotten where a table is full, and what is given up where too much is to be tried.

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::{Fragment, Origin, Packet, Port};
use nsgsim::model::index::{LoadBalancerIndex, NicIndex, Reference};
use nsgsim::model::network::Network;
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::Protocol;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Interface, Reason, RouteEnd, Verdict, VerdictKind};
use nsgsim::simulate::{Simulator, SimulatorOptions};

use crate::build::balancer::Balance;
use crate::build::{Build, ip, packet, route, rule, tcp, tcp_flags};

/// A second in nanoseconds.
const S: u64 = 1_000_000_000;

/// The interface of [`one_server`].
fn n1() -> NicIndex {
    NicIndex::new(0)
}

/// An interface 10.0.0.4 that is called at port 80 and never calls; its flows live for four minutes (STATE-6).
fn one_server() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    network.vnets[vnet.get()].flow_timeout_min = Some(4);
    let subnet = network.subnet(vnet, "s", "10.0.0.0/24");
    let nic = network.nic(subnet, "n1", &["10.0.0.4"]);
    let nsg = network.nsg("web", vec![rule("in 100 allow * * * -> * 80"), rule("out 100 deny * * * -> * *")]);
    network.nics[nic.get()].nsg = Some(Reference::Here(nsg));
    network
}

fn simulator(network: Network, most_flows: usize) -> Simulator {
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default());
    Simulator::new(Arc::new(compiled), SimulatorOptions { most_flows, ..SimulatorOptions::default() })
}

const SERVER: &str = "10.0.0.4:80";

fn client(number: u16) -> String {
    format!("10.0.0.9:{}", 1000 + number)
}

/// The client with this number calls.
#[track_caller]
fn call(simulator: &mut Simulator, number: u16, time_ns: u64) {
    let judged =
        simulator.at(n1(), &tcp_flags(&client(number), SERVER, "S"), time_ns).expect("it is the server's");
    assert!(matches!(judged.answer.verdict, Verdict::Allow(Reason::SecurityRule(_))), "client {number}");
}

/// Those of these clients whose flow is known: only then the rules let an answer out (STATE-3).
fn known(simulator: &mut Simulator, numbers: impl IntoIterator<Item = u16>, time_ns: u64) -> Vec<u16> {
    let answered = |number: &u16| {
        let answer = tcp_flags(SERVER, &client(*number), "A");
        let judged = simulator.at(n1(), &answer, time_ns).expect("it is the server's");
        match judged.answer.verdict {
            Verdict::Allow(Reason::FlowState { .. }) => true,
            Verdict::Deny(Reason::SecurityRule(_)) => false,
            other => panic!("neither by the record nor by the rule: {other:?}"),
        }
    };
    numbers.into_iter().filter(answered).collect()
}

#[test]
fn a_full_table_forgets_its_longest_idle_eighth() {
    let mut simulator = simulator(one_server(), 16);
    for number in 1..=16 {
        call(&mut simulator, number, u64::from(number) * S);
    }
    assert_eq!(simulator.evicted(), 0, "as many as it takes");
    // The oldest is not the longest idle any more.
    assert_eq!(known(&mut simulator, [1], 17 * S), [1]);
    call(&mut simulator, 17, 18 * S);
    assert_eq!(simulator.evicted(), 2);
    let expected: Vec<u16> = [1].into_iter().chain(4..=17).collect();
    assert_eq!(known(&mut simulator, 1..=17, 19 * S), expected);
}

#[test]
fn flows_that_are_over_leave_first_and_do_not_count() {
    let mut simulator = simulator(one_server(), 16);
    (1..=8).for_each(|number| call(&mut simulator, number, 0));
    (9..=16).for_each(|number| call(&mut simulator, number, 60 * S));
    // A moment more than the idle time of the first eight.
    call(&mut simulator, 17, 240 * S + 1);
    assert_eq!(simulator.evicted(), 0);
    assert_eq!(known(&mut simulator, 1..=17, 241 * S), Vec::from_iter(9..=17));
}

/// Exactly the idle time counts as alive (STATE-6).
#[test]
fn flows_on_the_last_moment_of_their_idle_time_count() {
    let mut simulator = simulator(one_server(), 16);
    (1..=16).for_each(|number| call(&mut simulator, number, 0));
    call(&mut simulator, 17, 240 * S);
    assert_eq!(simulator.evicted(), 2);
}

/// A SYN over a live flow starts a new record (STATE-7) in the place of the old one.
#[test]
fn a_known_flow_that_starts_anew_needs_no_room() {
    let mut simulator = simulator(one_server(), 16);
    (1..=16).for_each(|number| call(&mut simulator, number, u64::from(number) * S));
    call(&mut simulator, 5, 20 * S);
    assert_eq!(simulator.evicted(), 0);
    assert_eq!(known(&mut simulator, 1..=16, 21 * S), Vec::from_iter(1..=16));
}

#[test]
fn a_table_of_one_flow_keeps_the_last() {
    let mut simulator = simulator(one_server(), 1);
    call(&mut simulator, 1, 0);
    call(&mut simulator, 2, S);
    assert_eq!(simulator.evicted(), 1);
    assert_eq!(known(&mut simulator, [1, 2], 2 * S), [2]);
}

/// The first fragment of a datagram, of one flow with all others.
fn first(simulator: &mut Simulator, identification: u32, time_ns: u64) {
    let mut packet = packet(Protocol::UDP, "10.0.0.9:1000", SERVER);
    packet.fragment = Fragment::First { identification };
    let verdict = simulator.at(n1(), &packet, time_ns).expect("it is the server's").answer.verdict;
    assert_eq!(verdict.kind(), VerdictKind::Allow);
}

/// Those of these datagrams whose later fragments follow their first: the others' are denied (STATE-11).
fn followed(simulator: &mut Simulator, datagrams: impl IntoIterator<Item = u32>, time_ns: u64) -> Vec<u32> {
    let mut later = packet(Protocol::UDP, "10.0.0.9:1000", SERVER);
    (later.five_tuple.source_port, later.five_tuple.destination_port) = (Port::None, Port::None);
    let follows = |identification: &u32| {
        let later = Packet { fragment: Fragment::Later { identification: *identification }, ..later };
        match simulator.at(n1(), &later, time_ns).expect("it is the server's").answer.verdict {
            Verdict::Allow(_) => true,
            Verdict::Deny(Reason::UnsupportedTraffic { .. }) => false,
            other => panic!("neither followed nor unseen: {other:?}"),
        }
    };
    datagrams.into_iter().filter(follows).collect()
}

#[test]
fn a_full_table_forgets_all_first_fragments() {
    let mut simulator = simulator(one_server(), 16);
    (1..=16).for_each(|datagram| first(&mut simulator, datagram, 0));
    assert_eq!(followed(&mut simulator, 1..=16, 0), Vec::from_iter(1..=16));
    // Half a minute is not over yet.
    first(&mut simulator, 17, 30 * S);
    assert_eq!(simulator.evicted(), 16);
    assert_eq!(followed(&mut simulator, 1..=17, 30 * S), [17]);
}

#[test]
fn first_fragments_of_half_a_minute_ago_leave_first_and_do_not_count() {
    let mut simulator = simulator(one_server(), 16);
    (1..=8).for_each(|datagram| first(&mut simulator, datagram, 0));
    (9..=16).for_each(|datagram| first(&mut simulator, datagram, S));
    first(&mut simulator, 17, 30 * S + 1);
    assert_eq!(simulator.evicted(), 0);
    assert_eq!(followed(&mut simulator, 1..=17, 30 * S + 1), Vec::from_iter(9..=17));
}

#[test]
fn flows_and_first_fragments_are_counted_together() {
    let mut simulator = simulator(one_server(), 16);
    (1..=17).for_each(|datagram| first(&mut simulator, datagram, 0));
    // The datagrams are one flow, and the longest idle.
    (1..=16).for_each(|number| call(&mut simulator, number, S));
    assert_eq!(simulator.evicted(), 16 + 2);
}

/// What becomes of a packet under so many rules whose tags nobody knows; each denies, and so does the last.
fn under_unknown_tags(rules: usize) -> Verdict {
    let mut network = one_server();
    network.nsgs[0].rules = (0..rules)
        .map(|number| rule(&format!("in {} deny * Unknown{number} * -> * *", 100 + number)))
        .chain([rule("in 4096 deny * * * -> * *")])
        .collect();
    let packet = tcp("10.0.0.9:1000", SERVER);
    simulator(network, 16).at(n1(), &packet, 0).expect("it is the server's").answer.verdict
}

/// Each question makes one world more, and 64 are tried.
#[test]
fn sixty_three_questions_are_tried() {
    assert!(matches!(under_unknown_tags(63), Verdict::Deny(Reason::SecurityRule(_))));
    assert_eq!(under_unknown_tags(64), Verdict::Undetermined(Unknown::TooManyUnknowns));
}

/// What becomes of a packet to an internal frontend with so many members.
fn to_members(count: u16) -> Verdict {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/8"]);
    let (senders, members) =
        (network.subnet(vnet, "s1", "10.0.0.0/24"), network.subnet(vnet, "s2", "10.1.0.0/16"));
    let sender = network.nic(senders, "n1", &["10.0.0.4"]);
    let member = |number: u16| {
        let address = format!("10.1.{}.{}", number / 250, 4 + number % 250);
        network.nic(members, &format!("n2-{number:04}"), &[&address])
    };
    let nics: Vec<NicIndex> = (0..count).map(member).collect();
    let balancer = network.balancer("lb", true);
    let frontend = network.internal_frontend(balancer, senders, "10.0.0.100");
    let pool = network.pool(balancer, "p", &nics);
    network.balance(balancer, &frontend, &pool, "tcp 80 -> 80");
    let packet = tcp("10.0.0.4:1000", "10.0.0.100:80");
    simulator(network, 16).path(Origin::Nic(sender).into(), &packet, 0).verdict
}

#[test]
fn as_many_ways_as_are_tried_lead_through_load_balancers() {
    assert_eq!(to_members(4096).kind(), VerdictKind::Allow);
    assert_eq!(to_members(4097), Verdict::Undetermined(Unknown::TooManyWays));
}

/// `n0` sends to `n9` through `n1` to `n5` and a load balancer. Of its members `n6a` and `n6b` send on to another load
/// balancer, before `n8`, and `n7` sends to `n9` itself.
fn seven_hops() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    let subnets: Vec<_> = (0..10)
        .map(|number| network.subnet(vnet, &format!("s{number}"), &format!("10.0.{number}.0/24")))
        .collect();
    for (name, at, address) in [
        ("n0", 0, "10.0.0.4"),
        ("n1", 1, "10.0.1.4"),
        ("n2", 2, "10.0.2.4"),
        ("n3", 3, "10.0.3.4"),
        ("n4", 4, "10.0.4.4"),
        ("n5", 5, "10.0.5.4"),
        ("n6a", 6, "10.0.6.4"),
        ("n6b", 6, "10.0.6.5"),
        ("n7", 7, "10.0.7.4"),
        ("n8", 8, "10.0.8.4"),
        ("n9", 9, "10.0.9.4"),
    ] {
        let nic = network.nic(subnets[at], name, &[address]);
        network.nics[nic.get()].ip_forwarding = true;
    }
    for (name, at, members) in [("lb-1", 6, &[6, 7, 8][..]), ("lb-2", 8, &[9])] {
        let balancer = network.balancer(name, true);
        let frontend = network.internal_frontend(balancer, subnets[at], &format!("10.0.{at}.100"));
        let members: Vec<NicIndex> = members.iter().copied().map(NicIndex::new).collect();
        let pool = network.pool(balancer, "p", &members);
        network.balance(balancer, &frontend, &pool, "all 0 -> 0");
    }
    for (at, hop) in [
        (0, "10.0.1.4"),
        (1, "10.0.2.4"),
        (2, "10.0.3.4"),
        (3, "10.0.4.4"),
        (4, "10.0.5.4"),
        (5, "10.0.6.100"),
        (6, "10.0.8.100"),
    ] {
        let hop = NextHop::VirtualAppliance(Some(ip(hop)));
        let table = network.route_table(&format!("rt-{at}"), vec![route("on", "10.0.9.0/24", hop)]);
        network.subnets[at].route_table = Some(Reference::Here(table));
    }
    network
}

#[test]
fn route_19_whoever_sends_to_a_seventh_hop_is_named() {
    let sender = Origin::Nic(NicIndex::new(0));
    let packet = tcp("10.0.0.4:1000", "10.0.9.4:80");
    let answer = simulator(seven_hops(), 16).path(sender.into(), &packet, 0);
    let first = LoadBalancerIndex::new(0);
    assert_eq!(answer.verdict, Verdict::Mixed(first));
    let at_first = answer.backends.iter().filter(|backend| backend.balancer == first);
    let fared: Vec<(usize, Option<NicIndex>)> = at_first
        .map(|backend| {
            let sent_by = match backend.verdict {
                Verdict::Deny(Reason::Route(RouteEnd::Loop { interface })) => {
                    interface.and_then(Interface::nic)
                }
                Verdict::Allow(_) => None,
                ref other => panic!("neither through nor a loop: {other:?}"),
            };
            (backend.nic.expect("it is in the inventory").get(), sent_by)
        })
        .collect();
    assert_eq!(fared, [(6, Some(NicIndex::new(6))), (7, Some(NicIndex::new(7))), (8, None)]);
}
