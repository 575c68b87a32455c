//! What an answer hangs on where something is left open, and what it shows all the same (SIM-1, SIM-4, SIM-9, NW-1).

use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy::Engine;
use nsgsim::model::flow::{Origin, Packet, Port};
use nsgsim::model::index::{NicIndex, Reference};
use nsgsim::model::network::{Network, PublicIpSku, ServiceEndpoint};
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::{Direction, Rule};
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{
    Answer, Note, Reason, RouteEnd, RuleHit, RulePlace, Translation, Verdict, VerdictKind,
};
use nsgsim::simulate::{Simulator, SimulatorOptions};

use crate::build::{Build, id, ip, route, rule, tcp};

/// A network 10.0.0.0/16 with an interface `n1` 10.0.0.4 in the subnet `s1` 10.0.0.0/24, and one that forwards, `n2`
/// 10.0.1.4, in `s2` 10.0.1.0/24.
fn two_subnets() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    let (s1, s2) = (network.subnet(vnet, "s1", "10.0.0.0/24"), network.subnet(vnet, "s2", "10.0.1.0/24"));
    network.nic(s1, "n1", &["10.0.0.4"]);
    let n2 = network.nic(s2, "n2", &["10.0.1.4"]);
    network.nics[n2.get()].ip_forwarding = true;
    network
}

fn n1() -> NicIndex {
    NicIndex::new(0)
}

fn n2() -> NicIndex {
    NicIndex::new(1)
}

/// A table of one route for all that is not in the network, at a subnet.
fn all_by(network: &mut Network, subnet: usize, next_hop: NextHop) {
    let table = network.route_table(&format!("rt{subnet}"), vec![route("all", "0.0.0.0/0", next_hop)]);
    network.subnets[subnet].route_table = Some(Reference::Here(table));
}

fn simulator(network: Network, partial_inventory: bool, engine: Engine) -> Simulator {
    let options = CompileOptions { partial_inventory, ..CompileOptions::default() };
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), options);
    Simulator::new(Arc::new(compiled), SimulatorOptions { engine, ..SimulatorOptions::default() })
}

fn path(network: Network, from: Origin, packet: &Packet) -> Answer {
    simulator(network, false, Engine::Compiled).path(from.into(), packet, 0)
}

#[test]
fn sim_4_a_next_hop_that_nobody_has_is_open_only_where_the_inventory_is_partial() {
    let mut network = two_subnets();
    let nobody = ip("10.0.0.99");
    all_by(&mut network, 0, NextHop::VirtualAppliance(Some(nobody)));
    let verdict = |partial| {
        let mut simulator = simulator(network.clone(), partial, Engine::Compiled);
        simulator.path(Origin::Nic(n1()).into(), &tcp("10.0.0.4:1000", "198.51.100.9:443"), 0).verdict
    };
    assert_eq!(verdict(true), Verdict::Undetermined(Unknown::OwnerAllows { address: nobody }));
    assert!(matches!(verdict(false), Verdict::Deny(Reason::Route(RouteEnd::None { .. }))));
}

/// What `n1` is told of a packet that comes in, by each engine.
#[track_caller]
fn at_n1(rules: Vec<Rule>, packet: &Packet) -> Verdict {
    let mut network = two_subnets();
    let nsg = network.nsg("nsg", rules);
    network.nics[n1().get()].nsg = Some(Reference::Here(nsg));
    let verdict =
        |engine| simulator(network.clone(), false, engine).ip_flow(n1(), Direction::Inbound, packet).verdict;
    let found = verdict(Engine::Compiled);
    assert_eq!(found, verdict(Engine::Linear));
    found
}

/// The rule of the only NSG that stands at this place decided.
fn is_rule(verdict: &Verdict, place: u32) -> bool {
    let (Verdict::Allow(reason) | Verdict::Deny(reason)) = verdict else { return false };
    matches!(reason, Reason::SecurityRule(RuleHit { rule, .. }) if *rule == place)
}

#[test]
fn nw_1_a_destination_port_that_is_not_given_satisfies_the_full_range_only() {
    let mut packet = tcp("10.0.0.9:1000", "10.0.0.4:443");
    let (narrow, wide) = ("in 100 deny tcp * * -> * 443", "in 200 allow tcp * * -> * *");
    let rules = || vec![rule(narrow), rule(wide)];
    assert!(is_rule(&at_n1(rules(), &packet), 0));
    packet.five_tuple.destination_port = Port::NotGiven;
    let Verdict::Undetermined(Unknown::PortMatches { rule: place, source }) = at_n1(rules(), &packet) else {
        panic!("the narrower field would decide")
    };
    assert!(!source && matches!(place, RulePlace::Nsg { rule: 0, .. }));
    // Behind a full range nothing is left to decide.
    let rules = vec![rule("in 50 allow tcp * * -> * *"), rule(narrow)];
    assert!(is_rule(&at_n1(rules, &packet), 0));
}

/// TAG-11: a platform tag as a source is a text that Azure does not take, not a tag that the catalogue lacks.
#[test]
fn tag_11_a_platform_tag_where_it_has_no_meaning_is_named_as_it_stands() {
    let rules = vec![rule("in 100 deny tcp AzurePlatformDNS * -> * *")];
    let Verdict::Undetermined(Unknown::FieldMatches { text, .. }) =
        at_n1(rules, &tcp("10.0.0.9:1000", "10.0.0.4:443"))
    else {
        panic!("the rule may match")
    };
    assert!(text.contains("AzurePlatformDNS"), "{text}");
}

/// `n2` forwards, which nobody stated (ROUTE-15), and the NSG before the destination is missing.
#[test]
fn sim_5_an_open_answer_shows_the_notes_that_are_sure() {
    let mut network = two_subnets();
    let vnet = network.subnets[0].vnet;
    let s3 = network.subnet(vnet, "s3", "10.0.2.0/24");
    network.nic(s3, "n3", &["10.0.2.4"]);
    network.subnets[s3.get()].nsg = Some(Reference::Missing(id("networkSecurityGroups", "gone")));
    let hop = NextHop::VirtualAppliance(Some(ip("10.0.1.4")));
    let table = network.route_table("rt", vec![route("s3", "10.0.2.0/24", hop)]);
    network.subnets[0].route_table = Some(Reference::Here(table));
    let answer = path(network, Origin::Nic(n1()), &tcp("10.0.0.4:1000", "10.0.2.4:443"));
    assert_eq!(answer.verdict.kind(), VerdictKind::Undetermined);
    assert_eq!(answer.notes, [Note::TakenToForward { nic: n2() }]);
    assert_eq!(answer.routes.len(), 2);
}

/// A service endpoint whose ranges nobody knows takes the packet, or else it goes to `n2` and is dropped behind it.
#[test]
fn sim_5_an_open_answer_shows_no_note_of_one_way_only() {
    let mut network = two_subnets();
    network.subnets[0].service_endpoints =
        vec![ServiceEndpoint { service: "Microsoft.Storage".to_owned(), locations: Vec::new() }];
    all_by(&mut network, 0, NextHop::VirtualAppliance(Some(ip("10.0.1.4"))));
    all_by(&mut network, 1, NextHop::None);
    let answer = path(network, Origin::Nic(n1()), &tcp("10.0.0.4:1000", "198.51.100.9:443"));
    assert_eq!(answer.verdict.kind(), VerdictKind::Undetermined);
    assert_eq!((answer.notes, answer.routes), (Vec::new(), Vec::new()));
}

/// `n1` has a public address, and its NSG is missing.
fn public_behind_a_missing_nsg() -> Network {
    let mut network = two_subnets();
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Standard));
    network.nics[n1().get()].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    network.nics[n1().get()].nsg = Some(Reference::Missing(id("networkSecurityGroups", "gone")));
    network
}

#[test]
fn sim_10_an_open_answer_shows_the_translation_that_is_sure() {
    let packet = tcp("198.51.100.9:1000", "203.0.113.4:443");
    let answer = path(public_behind_a_missing_nsg(), Origin::Internet, &packet);
    assert_eq!(answer.verdict.kind(), VerdictKind::Undetermined);
    let private: (IpAddr, Option<u16>) = (ip("10.0.0.4"), Some(443));
    assert_eq!(answer.translation, Translation { destination: Some(private), ..Translation::default() });
}

/// Only what the missing NSG lets out leaves under the public address.
#[test]
fn sim_10_an_open_answer_shows_no_translation_of_one_way_only() {
    let packet = tcp("10.0.0.4:1000", "198.51.100.9:443");
    let answer = path(public_behind_a_missing_nsg(), Origin::Nic(n1()), &packet);
    assert_eq!(answer.verdict.kind(), VerdictKind::Undetermined);
    assert_eq!(answer.translation, Translation::default());
}
