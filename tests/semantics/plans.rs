//! Journeys are kept for packets between the same topology classes: an answer is the same whether its journey was laid
//! for it or for a packet before it, and a journey asks for no more than its packets may need.

use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::assumptions::{Assumptions, LongerUserRoute};
use nsgsim::model::flow::Origin;
use nsgsim::model::index::{NicIndex, Reference, VnetIndex};
use nsgsim::model::network::{Network, ServiceEndpoint};
use nsgsim::model::routing::NextHop;
use nsgsim::model::services::PrivateEndpoint;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Answer, NextHopKind, Note, Verdict, VerdictKind};
use nsgsim::simulate::journey::{DefaultRoute, Journey, Stage, Start};
use nsgsim::simulate::{Simulator, SimulatorOptions};

use crate::build::balancer::Balance;
use crate::build::{Build, catalog, id, ip, route, tcp};

/// A network 10.0.0.0/16 with the subnet `s1` 10.0.0.0/24 and its interface `n1` 10.0.0.4.
fn one_network() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    let subnet = network.subnet(vnet, "s1", "10.0.0.0/24");
    network.nic(subnet, "n1", &["10.0.0.4"]);
    network
}

fn judge(simulator: &mut Simulator, destination: &str) -> Answer {
    let judged = simulator.judge(&tcp("10.0.0.4:1000", &format!("{destination}:80")), 0);
    judged.expect("`n1` sends it").answer
}

/// The answers about packets from `n1` to these destinations, from one simulator; each is that of a fresh one.
#[track_caller]
fn answers(network: Network, tags: TagCatalog, linear_only: bool, destinations: [&str; 2]) -> [Answer; 2] {
    let options = CompileOptions { linear_only, ..CompileOptions::default() };
    let compiled = Arc::new(CompiledNetwork::new(Arc::new(network), Arc::new(tags), options));
    let [one, other] = destinations.map(|destination| compiled.class(ip(destination)));
    assert_eq!(one, other, "the addresses are of one class");
    let fresh =
        || Simulator::new(Arc::clone(&compiled), SimulatorOptions { stateful: false, ..Default::default() });
    let mut simulator = fresh();
    destinations.map(|destination| {
        let answer = judge(&mut simulator, destination);
        assert_eq!(answer, judge(&mut fresh(), destination), "to {destination}");
        answer
    })
}

/// What is judged after another packet is judged as if alone, though no rule tells their addresses apart.
#[track_caller]
fn is_judged_as_if_alone(network: Network, first: (&str, &str), second: (&str, &str)) -> VerdictKind {
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default());
    is_judged_alone_in(compiled, first, second)
}

#[track_caller]
fn is_judged_alone_in(compiled: CompiledNetwork, first: (&str, &str), second: (&str, &str)) -> VerdictKind {
    let compiled = Arc::new(compiled);
    let options = SimulatorOptions { stateful: false, ..Default::default() };
    let fresh = || Simulator::new(Arc::clone(&compiled), options);
    let judged = |simulator: &mut Simulator, (from, to): (&str, &str)| {
        let packet = tcp(&format!("{from}:1000"), &format!("{to}:80"));
        simulator.judge(&packet, 0).expect("it starts in the network").answer
    };
    let mut simulator = fresh();
    assert_eq!(judged(&mut simulator, first), judged(&mut fresh(), first));
    let answer = judged(&mut simulator, second);
    assert_eq!(answer, judged(&mut fresh(), second), "after {first:?}");
    answer.verdict.kind()
}

#[test]
fn eval_9_a_packet_to_itself_says_nothing_of_packets_to_others() {
    let (itself, other) = (("10.0.0.50", "10.0.0.50"), ("10.0.0.50", "10.0.0.51"));
    assert_ne!(is_judged_as_if_alone(one_network(), itself, other), VerdictKind::Allow);
}

/// Link-local addresses are of no network (TOP-6), so that a peering of unknown ranges leaves only the other open.
#[test]
fn peer_7_what_no_network_can_have_says_nothing_of_what_one_may() {
    let mut network = one_network();
    let elsewhere = network.vnet("elsewhere", &[]);
    network.peer(VnetIndex::new(0), elsewhere);
    let elsewhere = network.vnets.pop().expect("it was put in last");
    network.vnets[0].peerings[0].remote = Reference::Missing(elsewhere.id);
    let (link_local, other) = (("10.0.0.4", "169.254.1.1"), ("10.0.0.4", "25.0.0.4"));
    let kind = is_judged_as_if_alone(network, link_local, other);
    assert_eq!(kind, VerdictKind::Undetermined);
}

/// A user's route beats the service endpoint's where it is longer than its prefix there, if that is assumed.
#[test]
fn route_8_each_prefix_of_a_service_endpoint_says_nothing_of_the_others() {
    let mut network = one_network();
    network.subnets[0].service_endpoints =
        vec![ServiceEndpoint { service: "Microsoft.Storage".to_owned(), locations: Vec::new() }];
    let table = network.route_table("rt", vec![route("none", "20.60.0.0/20", NextHop::None)]);
    network.subnets[0].route_table = Some(Reference::Here(table));
    let tags = catalog(&[("Storage", &["20.60.0.0/16", "20.60.1.0/24"])]);
    let assumptions = Assumptions { route_8: LongerUserRoute::UserWins, ..Assumptions::default() };
    let options = CompileOptions { assumptions, ..CompileOptions::default() };
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::new(tags), options);
    let (by_the_user, by_the_endpoint) = (("10.0.0.4", "20.60.2.1"), ("10.0.0.4", "20.60.1.1"));
    assert_eq!(is_judged_alone_in(compiled, by_the_user, by_the_endpoint), VerdictKind::Allow);
}

#[test]
fn sim_7_an_endpoint_without_a_known_subnet_says_nothing_of_its_neighbours() {
    let mut network = one_network();
    network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "endpoint"),
        subnet: None,
        addresses: vec![ip("10.0.0.50")],
        connections: Vec::new(),
        asgs: Vec::new(),
    });
    let (endpoint, neighbour) = (("10.0.0.4", "10.0.0.50"), ("10.0.0.4", "10.0.0.51"));
    assert_eq!(is_judged_as_if_alone(network, endpoint, neighbour), VerdictKind::Deny);
}

#[test]
fn sim_7_the_note_is_about_the_packets_own_destination() {
    let destinations = ["10.0.0.50", "10.0.0.51"];
    let answers = answers(one_network(), TagCatalog::default(), false, destinations);
    for (answer, destination) in answers.iter().zip(destinations) {
        assert_eq!(answer.verdict.kind(), VerdictKind::Deny);
        assert_eq!(answer.notes, [Note::NoEndpoint { address: ip(destination) }]);
    }
}

/// The route has the prefix of the tag that holds the destination (ROUTE-8, SE-2).
#[test]
fn a_service_endpoint_takes_each_packet_by_its_own_prefix() {
    let mut network = one_network();
    network.subnets[0].service_endpoints =
        vec![ServiceEndpoint { service: "Microsoft.Storage".to_owned(), locations: Vec::new() }];
    let prefixes = ["20.60.0.0/24", "20.60.2.0/24"];
    let tags = catalog(&[("Storage", &prefixes[..])]);
    let answers = answers(network, tags, false, ["20.60.0.1", "20.60.2.1"]);
    for (answer, prefix) in answers.iter().zip(prefixes) {
        let [route] = &answer.routes[..] else { panic!("one route: {:?}", answer.routes) };
        assert_eq!(route.next_hop, NextHopKind::VirtualNetworkServiceEndpoint);
        assert_eq!(route.prefix, prefix.parse().expect("a range"));
    }
}

/// The answer hangs on what a missing route table does with this address (SIM-4).
#[track_caller]
fn hangs_on_the_table_for(answer: &Answer, destination: IpAddr) {
    match &answer.verdict {
        Verdict::Undetermined(Unknown::ConnectedSpaceHolds { address, .. }) => {
            assert_eq!(*address, destination);
        }
        other => panic!("the missing table decides: {other:?}"),
    }
}

#[test]
fn sim_4_a_missing_table_is_asked_for_the_packets_own_destination() {
    let mut network = one_network();
    network.subnets[0].route_table = Some(Reference::Missing(id("routeTables", "gone")));
    let destinations = ["198.51.100.8", "198.51.100.9"];
    let answers = answers(network, TagCatalog::default(), false, destinations);
    for (answer, destination) in answers.iter().zip(destinations) {
        hangs_on_the_table_for(answer, ip(destination));
    }
}

/// `n1` sends all to a frontend; the machine behind it forwards, in a subnet whose table is missing (LB-12).
#[test]
fn sim_4_a_missing_table_behind_a_load_balancer_too() {
    let mut network = one_network();
    let vnet = network.subnets[0].vnet;
    let behind = network.subnet(vnet, "s2", "10.0.2.0/24");
    let machine = network.nic(behind, "n2", &["10.0.2.4"]);
    network.nics[machine.get()].ip_forwarding = true;
    let balancer = network.balancer("lb", true);
    let frontend = network.internal_frontend(balancer, behind, "10.0.2.100");
    let pool = network.pool(balancer, "p", &[machine]);
    network.balance(balancer, &frontend, &pool, "all 0 -> 0");
    let table = route("all", "0.0.0.0/0", NextHop::VirtualAppliance(Some(ip("10.0.2.100"))));
    let table = network.route_table("rt", vec![table]);
    network.subnets[0].route_table = Some(Reference::Here(table));
    network.subnets[behind.get()].route_table = Some(Reference::Missing(id("routeTables", "gone")));
    let destinations = ["198.51.100.8", "198.51.100.9"];
    let answers = answers(network, TagCatalog::default(), false, destinations);
    for (answer, destination) in answers.iter().zip(destinations) {
        hangs_on_the_table_for(answer, ip(destination));
    }
}

/// Without tables all addresses are of one class.
#[test]
fn without_tables_no_packet_has_another_ones_way() {
    let answers = answers(one_network(), TagCatalog::default(), true, ["198.51.100.9", "192.168.1.1"]);
    // To the internet by default outbound access (OUT-2), and into a range that leads nowhere (ROUTE-3).
    assert_eq!(answers.map(|answer| answer.verdict.kind()), [VerdictKind::Allow, VerdictKind::Deny]);
}

/// How a packet from `n1` to an address starts, where the route table of its subnet is missing.
fn start(destination: &str) -> Start {
    let mut network = one_network();
    network.subnets[0].route_table = Some(Reference::Missing(id("routeTables", "gone")));
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default());
    let sender = Origin::Nic(NicIndex::new(0)).into();
    let journey = Journey::between(&compiled, sender, ip("10.0.0.4"), ip(destination));
    match journey.stages.first() {
        Some(Stage::Start(start)) => start.clone(),
        other => panic!("every way starts: {other:?}"),
    }
}

#[test]
fn plat_4_only_on_the_way_to_licensing_a_default_route_is_asked_for() {
    for licensing in ["20.118.99.224", "40.83.235.53", "23.102.135.246"] {
        assert!(matches!(start(licensing).default_route, DefaultRoute::Unknown(_)), "{licensing}");
    }
    for other in ["168.63.129.16", "169.254.169.254", "20.118.99.225", "198.51.100.9", "10.0.0.9"] {
        assert_eq!(start(other).default_route, DefaultRoute::Absent, "{other}");
    }
}

/// Broadcasts are those of DHCP (PLAT-5).
#[test]
fn plat_1_only_ways_to_the_platform_have_exemptions() {
    for platform in ["168.63.129.16", "169.254.169.254", "20.118.99.224", "255.255.255.255"] {
        assert!(start(platform).platform, "{platform}");
    }
    for other in ["168.63.129.17", "198.51.100.9", "10.0.0.9"] {
        assert!(!start(other).platform, "{other}");
    }
}
