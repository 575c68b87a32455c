//! What a compiled network holds: each list of rules once for all subnets that see it alike, with tables that the
//! compiled engine asks and the linear one does not.

use std::sync::Arc;

use nsgsim::compile::cells::Cell;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy::{Engine, Policy};
use nsgsim::compile::world::World;
use nsgsim::model::flow::{FiveTuple, Packet};
use nsgsim::model::index::{NsgIndex, Reference};
use nsgsim::model::network::Network;
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::{Direction, Protocol};

use crate::build::{Build, id, ip, packet, route, rule, tcp};

/// A network of two subnets under one NSG of these rules.
fn under_one_nsg(rules: &[&str]) -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    let nsg: NsgIndex = network.nsg("nsg", rules.iter().map(|text| rule(text)).collect());
    for (name, range) in [("s1", "10.0.1.0/24"), ("s2", "10.0.2.0/24")] {
        let subnet = network.subnet(vnet, name, range);
        network.subnets[subnet.get()].nsg = Some(Reference::Here(nsg));
    }
    network
}

fn compiled(network: Network) -> CompiledNetwork {
    CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default())
}

/// What a question to the inbound list of a network holds.
fn question(compiled: &CompiledNetwork, packet: &Packet) -> (FiveTuple, (Cell, Cell)) {
    let tuple = packet.five_tuple;
    (tuple, (compiled.cell(tuple.source), compiled.cell(tuple.destination)))
}

fn inbound(compiled: &CompiledNetwork) -> &Policy {
    compiled
        .policies
        .iter()
        .find(|policy| policy.direction == Direction::Inbound)
        .expect("one way of each list")
}

#[test]
fn tables_alone_name_the_rule_where_nothing_is_open() {
    let network = compiled(under_one_nsg(&["in 100 allow udp * * -> * *", "in 200 deny tcp * * -> * 443"]));
    let place = |packet: &Packet| {
        let (tuple, cells) = question(&network, packet);
        inbound(&network).classify(&tuple, cells).map(|found| found.place)
    };
    assert_eq!(place(&packet(Protocol::UDP, "10.0.0.9:1000", "10.0.1.4:443")), Some(0));
    assert_eq!(place(&tcp("10.0.0.9:1000", "10.0.1.4:443")), Some(1));
    // Of the default rules the first is about VirtualNetwork, the last denies all (DEF-1).
    assert_eq!(place(&tcp("10.0.0.9:1000", "10.0.1.4:80")), Some(2));
    assert_eq!(place(&tcp("198.51.100.9:1000", "10.0.1.4:80")), Some(4));
}

#[test]
fn tables_leave_open_what_a_tag_that_nobody_knows_leaves_open() {
    let network = compiled(under_one_nsg(&["in 100 deny tcp Unknown * -> * *"]));
    let place = |packet: &Packet| {
        let (tuple, cells) = question(&network, packet);
        inbound(&network).classify(&tuple, cells).map(|found| found.place)
    };
    assert_eq!(place(&tcp("198.51.100.9:1000", "10.0.1.4:80")), None);
    assert_eq!(place(&packet(Protocol::UDP, "198.51.100.9:1000", "10.0.1.4:80")), Some(3));
}

/// Otherwise there would be no use in holding one against the other.
#[test]
fn each_engine_answers_by_its_own_means() {
    let mut network = compiled(under_one_nsg(&["in 100 allow udp * * -> * *", "in 200 deny tcp * * -> * *"]));
    let (tuple, cells) = question(&network, &tcp("10.0.0.9:1000", "10.0.1.4:443"));
    let decided = |network: &CompiledNetwork, engine| {
        let decision = inbound(network).decide(engine, &tuple, cells, &World::default());
        decision.expect("nothing is open").expect("a list of an NSG always decides").rule
    };
    let [linear, by_tables] = [Engine::Linear, Engine::Compiled].map(|engine| decided(&network, engine));
    assert_eq!((linear, by_tables), (1, 1));
    // Tables name the place in the list, whatever stands there meanwhile; the rules are read as they stand.
    for policy in &mut network.policies {
        policy.rules.swap(0, 1);
    }
    let [linear, by_tables] = [Engine::Linear, Engine::Compiled].map(|engine| decided(&network, engine));
    assert_eq!((linear, by_tables), (1, 0));
}

/// How many lists there are after a change: one for each direction where the subnets share them.
fn lists(change: impl FnOnce(&mut Network)) -> usize {
    let mut network = under_one_nsg(&["in 100 allow tcp VirtualNetwork * -> * 443"]);
    change(&mut network);
    compiled(network).policies.len()
}

#[test]
fn subnets_that_see_the_same_share_their_lists() {
    assert_eq!(lists(|_| {}), 2);
    // A route through an appliance widens what one of them takes for VirtualNetwork (TAG-9).
    let through_an_appliance = |network: &mut Network| {
        let hop = NextHop::VirtualAppliance(Some(ip("10.0.2.4")));
        let table = network.route_table("rt", vec![route("r", "10.9.0.0/16", hop)]);
        network.subnets[0].route_table = Some(Reference::Here(table));
    };
    assert_eq!(lists(through_an_appliance), 4);
    // What a missing table adds may differ from subnet to subnet.
    let missing_tables = |network: &mut Network| {
        for subnet in &mut network.subnets {
            subnet.route_table = Some(Reference::Missing(id("routeTables", "gone")));
        }
    };
    assert_eq!(lists(missing_tables), 4);
}
