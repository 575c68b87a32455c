//! Each decision of this project, and each other choice, by hand: one packet whose verdict hangs on it, through every
//! evaluator. Expectations are read off the clauses.

#![expect(clippy::unwrap_used, reason = "a helper that finds its input broken fails the test")]

mod matters;
mod services;
mod weighing;

use nsgsim::model::assumptions::{Assumptions, Choice};
use nsgsim::model::flow::{Icmp, Origin, Packet};
use nsgsim::model::index::{NicIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, PublicIpSku, ServiceEndpoint};
use nsgsim::model::observed::ObservedInternet;
use nsgsim::model::routing::{Gateway, NextHop};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::VerdictKind::{self, Allow, Deny};

use crate::build::{Build, catalog, icmp, id, ip, packet, route, rule, tcp};
use crate::engine::{ENGINES, Engine, Judging};

/// A minute in nanoseconds.
const MIN: u64 = 60_000_000_000;

const PING: Icmp = Icmp::Echo { identifier: 7, request: true };

/// Under each choice the evaluators agree on the verdict that stands beside it.
fn under(
    network: &Network,
    tags: &TagCatalog,
    expected: &[(&str, VerdictKind)],
    ask: impl Fn(&mut dyn Engine) -> VerdictKind,
) {
    for (choice, expected) in expected {
        let choice: Choice = choice.parse().unwrap();
        let judging = Judging { assumptions: Assumptions::default().with(choice), weighing: false };
        for (name, make) in ENGINES {
            let found = ask(&mut *make(network.clone(), tags, judging));
            assert_eq!(found, *expected, "{choice}, {name}");
        }
    }
}

fn path(network: &Network, expected: &[(&str, VerdictKind)], from: NicIndex, packet: &Packet) {
    under(network, &TagCatalog::default(), expected, |engine| {
        engine.path(Origin::Nic(from), packet, MIN, None).verdict.kind()
    });
}

fn ip_flow(
    network: &Network,
    expected: &[(&str, VerdictKind)],
    (nic, direction): (NicIndex, Direction),
    packet: &Packet,
) {
    under(network, &TagCatalog::default(), expected, |engine| {
        engine.ip_flow(nic, direction, packet).verdict.kind()
    });
}

/// A network 10.0.0.0/16 and fd00::/48 with the interfaces a1 (10.0.1.4, fd00:0:0:1::4) in subnet a and b1 (10.0.2.4) in
/// subnet b.
struct Two {
    network: Network,
    vnet: VnetIndex,
    a: SubnetIndex,
    b: SubnetIndex,
    a1: NicIndex,
    b1: NicIndex,
}

fn two() -> Two {
    let mut network = Network::default();
    let vnet = network.vnet("v", &["10.0.0.0/16", "fd00::/48"]);
    let a = network.subnet(vnet, "a", "10.0.1.0/24");
    let b = network.subnet(vnet, "b", "10.0.2.0/24");
    let a1 = network.nic(a, "a1", &["10.0.1.4", "fd00:0:0:1::4"]);
    let b1 = network.nic(b, "b1", &["10.0.2.4"]);
    Two { network, vnet, a, b, a1, b1 }
}

impl Two {
    /// An NSG of these rules on a subnet.
    fn filter(&mut self, subnet: SubnetIndex, name: &str, rules: &[&str]) {
        let nsg = self.network.nsg(name, rules.iter().map(|text| rule(text)).collect());
        self.network.subnets[subnet.get()].nsg = Some(Reference::Here(nsg));
    }

    /// A table of these routes on a subnet.
    fn route(&mut self, subnet: SubnetIndex, routes: Vec<nsgsim::model::routing::Route>) {
        let table = self.network.route_table("table", routes);
        self.network.subnets[subnet.get()].route_table = Some(Reference::Here(table));
    }
}

#[test]
fn nsg_10_a_narrow_port_field_matches_a_ping_only_if_ports_are_ignored() {
    let mut net = two();
    net.filter(net.a, "nsg", &["in 100 deny * * * -> * 80"]);
    let expected = [("NSG-10=full-range-only", Allow), ("NSG-10=ignored", Deny)];
    let at = (net.a1, Direction::Inbound);
    ip_flow(&net.network, &expected, at, &icmp("10.0.1.9", "10.0.1.4", PING));
    // What carries ports is told apart by them under either choice.
    let expected = expected.map(|(choice, _)| (choice, Allow));
    ip_flow(&net.network, &expected, at, &tcp("10.0.1.9:1000", "10.0.1.4:81"));
}

#[test]
fn nsg_12_all_of_ipv4_holds_ipv6_only_if_it_is_another_spelling_of_any() {
    let mut net = two();
    net.filter(net.a, "nsg", &["in 100 deny udp 0.0.0.0/0 * -> * *"]);
    let expected = [("NSG-12=ipv4", Allow), ("NSG-12=any", Deny)];
    let from = packet(Protocol::UDP, "fd00:0:0:1::9:1000", "fd00:0:0:1::4:53");
    ip_flow(&net.network, &expected, (net.a1, Direction::Inbound), &from);
}

#[test]
fn tag_9_routes_add_their_prefix_by_their_next_hop() {
    let denied = "out 100 deny * * * -> VirtualNetwork *";
    let outside = tcp("10.0.1.4:1000", "203.0.113.9:443");
    for (hop, appliance_only) in [
        (NextHop::VirtualAppliance(Some(ip("10.0.2.4"))), Deny),
        (NextHop::VirtualNetworkGateway, Allow),
        (NextHop::VnetLocal, Allow),
    ] {
        let mut net = two();
        net.filter(net.a, "nsg", &[denied]);
        net.route(net.a, vec![route("r", "203.0.113.0/24", hop)]);
        let expected =
            [("TAG-9=as-decided", Deny), ("TAG-9=appliance-only", appliance_only), ("TAG-9=none", Allow)];
        ip_flow(&net.network, &expected, (net.a1, Direction::Outbound), &outside);
    }
}

#[test]
fn tag_20_each_list_holds_what_the_clause_says_and_no_more() {
    let mut net = two();
    net.filter(net.a, "nsg", &[]);
    let lists = |june, september, later| {
        [("TAG-20=2017-06", june), ("TAG-20=2017-09", september), ("TAG-20=2020", later)]
    };
    for (address, expected) in [
        ("25.25.0.1", lists(Deny, Allow, Allow)),
        ("25.25.255.255", lists(Deny, Allow, Allow)),
        ("25.26.0.0", lists(Deny, Deny, Deny)),
        ("21.0.0.1", lists(Allow, Allow, Deny)),
        ("22.255.255.255", lists(Allow, Allow, Deny)),
        ("23.0.0.0", lists(Allow, Allow, Allow)),
        ("20.176.0.1", lists(Allow, Allow, Deny)),
        ("20.184.0.0", lists(Allow, Allow, Allow)),
        ("52.132.0.1", lists(Allow, Allow, Deny)),
        ("52.136.0.0", lists(Allow, Allow, Allow)),
        ("129.75.0.1", lists(Allow, Allow, Deny)),
        ("10.9.0.1", lists(Deny, Deny, Deny)),
    ] {
        let packet = tcp("10.0.1.4:1000", &format!("{address}:443"));
        ip_flow(&net.network, &expected, (net.a1, Direction::Outbound), &packet);
    }
}

#[test]
fn tag_20_an_observed_list_goes_before_every_known_one_in_the_families_that_it_speaks_of() {
    let mut net = two();
    net.filter(net.a, "nsg", &[]);
    net.network.observed_internet = Some(ObservedInternet {
        prefixes: vec!["25.26.0.0/16".parse().unwrap(), "203.0.113.0/24".parse().unwrap()],
        source: "rules.json#/value/0".to_owned(),
        date: None,
    });
    let all = |verdict| ["TAG-20=2017-06", "TAG-20=2017-09", "TAG-20=2020"].map(|choice| (choice, verdict));
    for (address, verdict) in [("25.26.0.1", Allow), ("203.0.113.9", Allow), ("198.51.100.9", Deny)] {
        let packet = tcp("10.0.1.4:1000", &format!("{address}:443"));
        ip_flow(&net.network, &all(verdict), (net.a1, Direction::Outbound), &packet);
    }
    let ipv6 = packet(Protocol::TCP, "fd00:0:0:1::4:1000", "2001:db8::9:443");
    ip_flow(&net.network, &all(Allow), (net.a1, Direction::Outbound), &ipv6);
}

#[test]
fn state_5_replies_of_a_revoked_flow_pass_only_if_that_is_assumed() {
    let mut net = two();
    net.filter(net.b, "nsg", &[]);
    net.network.nsgs[0].flush_connection = true;
    let mut changed = net.network.clone();
    changed.nsgs[0].rules.insert(0, rule("in 100 deny * * * -> * *"));
    changed.nsgs[0].sort();
    let request = tcp("10.0.1.4:1000", "10.0.2.4:80");
    let reply = tcp("10.0.2.4:80", "10.0.1.4:1000");
    let after_the_change = |asked: Origin, packet: Packet| {
        let (from, changed) = (Origin::Nic(net.a1), changed.clone());
        move |engine: &mut dyn Engine| {
            assert_eq!(engine.path(from, &request, MIN, None).verdict.kind(), Allow);
            engine.change(changed.clone());
            engine.path(asked, &packet, MIN + 1, None).verdict.kind()
        }
    };
    let tags = TagCatalog::default();
    let expected = [("STATE-5=denied", Deny), ("STATE-5=allowed", Allow)];
    under(&net.network, &tags, &expected, after_the_change(Origin::Nic(net.b1), reply));
    // The flow's own direction is taken back under either choice.
    let expected = expected.map(|(choice, _)| (choice, Deny));
    under(&net.network, &tags, &expected, after_the_change(Origin::Nic(net.a1), request));
}

#[test]
fn state_6_a_reply_after_five_minutes_finds_a_record_only_if_it_lives_for_thirty() {
    let mut net = two();
    net.filter(net.a, "nsg", &["in 100 deny * * * -> * *"]);
    let reply_after = |minutes: u64, (from, to): (NicIndex, NicIndex)| {
        move |engine: &mut dyn Engine| {
            let request = tcp("10.0.1.4:1000", "10.0.2.4:80");
            assert_eq!(engine.path(Origin::Nic(from), &request, MIN, None).verdict.kind(), Allow);
            let reply = tcp("10.0.2.4:80", "10.0.1.4:1000");
            engine.path(Origin::Nic(to), &reply, MIN + minutes * MIN, None).verdict.kind()
        }
    };
    let (ends, tags) = ((net.a1, net.b1), TagCatalog::default());
    for (minutes, short, long) in [(4, Allow, Allow), (5, Deny, Allow), (30, Deny, Allow), (31, Deny, Deny)] {
        let expected = [("STATE-6=4min", short), ("STATE-6=30min", long)];
        under(&net.network, &tags, &expected, reply_after(minutes, ends));
    }
    // What the network sets counts under either choice.
    net.network.vnets[net.vnet.get()].flow_timeout_min = Some(10);
    let expected = [("STATE-6=4min", Deny), ("STATE-6=30min", Deny)];
    under(&net.network, &tags, &expected, reply_after(11, ends));
}

#[test]
fn route_4_a_learned_default_route_takes_private_destinations_only_if_it_removes_the_reserved_ones() {
    let mut net = two();
    net.network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", "g"),
        express_route: false,
        vnet: Some(Reference::Here(net.vnet)),
        subnet: None,
        client_pools: Vec::new(),
        learned_routes: vec!["0.0.0.0/0".parse().unwrap()],
        bgp: true,
    });
    let expected = [("ROUTE-4=yes", Allow), ("ROUTE-4=no", Deny)];
    path(&net.network, &expected, net.a1, &tcp("10.0.1.4:1000", "172.31.0.9:80"));
    // A default route of the user's own removes them in any case (H).
    net.route(net.a, vec![route("all", "0.0.0.0/0", NextHop::VirtualNetworkGateway)]);
    let expected = expected.map(|(choice, _)| (choice, Allow));
    path(&net.network, &expected, net.a1, &tcp("10.0.1.4:1000", "172.31.0.9:80"));
}

#[test]
fn route_8_a_longer_route_beats_a_service_endpoint_only_if_that_is_assumed() {
    let mut net = two();
    let (service, locations) = ("Microsoft.Storage".to_owned(), vec!["*".to_owned()]);
    net.network.subnets[net.a.get()].service_endpoints.push(ServiceEndpoint { service, locations });
    let tags = catalog(&[("Storage", &["198.51.100.0/24"])]);
    let asked = |address: &str| {
        let (from, packet) = (Origin::Nic(net.a1), tcp("10.0.1.4:1000", &format!("{address}:443")));
        move |engine: &mut dyn Engine| engine.path(from, &packet, MIN, None).verdict.kind()
    };
    let (inside, beside) = (asked("198.51.100.9"), asked("198.51.100.200"));
    net.route(
        net.a,
        vec![route("half", "198.51.100.0/25", NextHop::None), route("all", "198.51.100.0/24", NextHop::None)],
    );
    let expected = [("ROUTE-8=endpoint-wins", Allow), ("ROUTE-8=user-wins", Deny)];
    under(&net.network, &tags, &expected, inside);
    // One that is as long never does.
    let expected = expected.map(|(choice, _)| (choice, Allow));
    under(&net.network, &tags, &expected, beside);
}

/// Hub 10.0.0.0/16 with the forwarding interface `hub` (10.0.1.4), spokes 10.1.0.0/16 and 10.2.0.0/16 with `one` and
/// `two`, each peered with the hub. The spokes' routes to each other lead through the hub.
fn hub_and_spokes() -> (Network, [NicIndex; 3]) {
    let mut network = Network::default();
    let vnets = [("hub", "10.0.0.0/16"), ("one", "10.1.0.0/16"), ("two", "10.2.0.0/16")]
        .map(|(name, space)| network.vnet(name, &[space]));
    let mut nics = Vec::new();
    for (vnet, (range, address)) in vnets.into_iter().zip([
        ("10.0.1.0/24", "10.0.1.4"),
        ("10.1.1.0/24", "10.1.1.4"),
        ("10.2.1.0/24", "10.2.1.4"),
    ]) {
        let subnet = network.subnet(vnet, "s", range);
        nics.push(network.nic(subnet, &format!("n{}", vnet.get()), &[address]));
    }
    network.nics[0].ip_forwarding = true;
    network.peer(vnets[0], vnets[1]);
    network.peer(vnets[0], vnets[2]);
    let hop = NextHop::VirtualAppliance(Some(ip("10.0.1.4")));
    let table = network.route_table("t", vec![route("spokes", "10.0.0.0/8", hop)]);
    network.subnets[1].route_table = Some(Reference::Here(table));
    (network, [nics[0], nics[1], nics[2]])
}

#[test]
fn peer_3_a_closed_side_drops_packets_either_way_only_if_that_is_assumed() {
    let (mut network, [hub, one, _]) = hub_and_spokes();
    let expected = |closed| [("PEER-3=tag-only", Allow), ("PEER-3=drops", closed)];
    let (there, back) = (tcp("10.0.1.4:1000", "10.1.1.4:80"), tcp("10.1.1.4:1000", "10.0.1.4:80"));
    path(&network, &expected(Allow), hub, &there);
    network.vnets[1].peerings[0].allow_virtual_network_access = false;
    path(&network, &expected(Deny), hub, &there);
    path(&network, &expected(Deny), one, &back);
    // The way to a next hop leads over the peering too.
    path(&network, &expected(Deny), one, &tcp("10.1.1.4:1000", "10.2.1.4:80"));
}

#[test]
fn peer_4_forwarded_packets_are_dropped_where_they_come_in_only_if_that_is_assumed() {
    let (mut network, [hub, one, two]) = hub_and_spokes();
    let expected = |forwarded| [("PEER-4=no-effect", Allow), ("PEER-4=drops-forwarded", forwarded)];
    let through_the_hub = tcp("10.1.1.4:1000", "10.2.1.4:80");
    path(&network, &expected(Allow), one, &through_the_hub);
    network.vnets[2].peerings[0].allow_forwarded_traffic = false;
    path(&network, &expected(Deny), one, &through_the_hub);
    // What starts in the hub is not forwarded, and neither is what goes the other way.
    path(&network, &expected(Allow), hub, &tcp("10.0.1.4:1000", "10.2.1.4:80"));
    path(&network, &expected(Allow), two, &tcp("10.2.1.4:1000", "10.0.1.4:80"));
}

#[test]
fn out_1_a_ping_leaves_beside_a_nat_gateway_only_if_the_address_goes_first() {
    let mut net = two();
    let own = net.network.public_ip("own", "203.0.113.4", Some(PublicIpSku::Standard));
    let nat = net.network.public_ip("shared", "203.0.113.5", Some(PublicIpSku::Standard));
    let gateway = net.network.nat_gateway("nat", &[nat]);
    net.network.subnets[net.a.get()].nat_gateway = Some(Reference::Here(gateway));
    net.network.nics[net.a1.get()].ip_configurations[0].public_ip = Some(Reference::Here(own));
    // A NAT gateway carries TCP and UDP alone (OUT-3).
    let expected = [("OUT-1=nat-gateway-first", Deny), ("OUT-1=instance-first", Allow)];
    path(&net.network, &expected, net.a1, &icmp("10.0.1.4", "198.51.100.9", PING));
    let expected = expected.map(|(choice, _)| (choice, Allow));
    path(&net.network, &expected, net.a1, &tcp("10.0.1.4:1000", "198.51.100.9:443"));
}
