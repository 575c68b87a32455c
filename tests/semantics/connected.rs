//! Networks that gateways, peerings and missing exports connect, and what the engines say of packets between them.
//! Expectations are read off the clauses that the tests' names tell.

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::{Fragment, Icmp, Origin, Packet};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{GatewayIndex, NicIndex, NsgIndex, Reference, SubnetIndex, VnetIndex};
use nsgsim::model::network::{Network, PublicIpSku};
use nsgsim::model::prefix::PortRange;
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::records::Records;
use nsgsim::model::routing::{Connection, ConnectionRemote, Gateway, NextHop};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{
    AdminAction, AdminRule, EffectiveAdminRules, PrivateEndpoint, PrivateLinkConnection,
};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{Reason, Verdict, VerdictKind};
use nsgsim::replay::run::{Replay, ReplayOptions};
use nsgsim::simulate::{Simulator, SimulatorOptions};

use crate::build::{Build, icmp, id, ip, packet, route, rule, tcp, tcp_flags};
use crate::engine::{ENGINES, Judging};

const ALLOW: VerdictKind = VerdictKind::Allow;
const DENY: VerdictKind = VerdictKind::Deny;
const OPEN: VerdictKind = VerdictKind::Undetermined;

/// Networks `a` 10.0.0.0/16 with `n1` 10.0.0.4 and `b` 10.1.0.0/16 with `n2` 10.1.0.4; an NSG before `n2` denies all.
fn two_networks() -> Network {
    let mut network = Network::default();
    let (a, b) = (network.vnet("a", &["10.0.0.0/16"]), network.vnet("b", &["10.1.0.0/16"]));
    let s1 = network.subnet(a, "s1", "10.0.0.0/24");
    let s2 = network.subnet(b, "s2", "10.1.0.0/24");
    network.nic(s1, "n1", &["10.0.0.4"]);
    network.nic(s2, "n2", &["10.1.0.4"]);
    let deny = network.nsg("deny", vec![rule("in 100 deny * * * -> * *")]);
    network.subnets[s2.get()].nsg = Some(Reference::Here(deny));
    network
}

fn gateway(network: &mut Network, name: &str, vnet: Reference<VnetIndex>) -> GatewayIndex {
    network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", name),
        express_route: false,
        vnet: Some(vnet),
        subnet: None,
        client_pools: Vec::new(),
        learned_routes: Vec::new(),
        bgp: false,
    });
    GatewayIndex::new(network.gateways.len() - 1)
}

/// Connects the two networks by gateways, both ways (GW-6).
fn connect(network: &mut Network) {
    let near = gateway(network, "gw-a", Reference::Here(VnetIndex::new(0)));
    let far = gateway(network, "gw-b", Reference::Here(VnetIndex::new(1)));
    for (name, from, to) in [("to-b", near, far), ("to-a", far, near)] {
        network.connections.push(Connection {
            id: id("connections", name),
            gateway: Some(Reference::Here(from)),
            remote: ConnectionRemote::Vnet(Some(Reference::Here(to))),
        });
    }
}

/// Every evaluator gives this verdict.
#[track_caller]
fn all_say(network: &Network, origin: Origin, packet: &Packet, expected: VerdictKind) {
    for (name, make) in ENGINES {
        let mut engine = make(network.clone(), &TagCatalog::default(), Judging::default());
        let answer = engine.path(origin, packet, 1_000_000_000, None);
        assert_eq!(answer.verdict.kind(), expected, "{name}: {:?}", answer.verdict);
    }
}

/// The interface `n1`.
fn n1() -> Origin {
    Origin::Nic(NicIndex::new(0))
}

#[test]
fn peer_9_between_peers_with_gateways_the_peering_carries_the_traffic() {
    let mut network = two_networks();
    connect(&mut network);
    network.peer(VnetIndex::new(0), VnetIndex::new(1));
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "10.1.0.4:80"), DENY);
}

#[test]
fn gw_6_a_network_behind_gateways_filters_what_arrives() {
    let mut network = two_networks();
    connect(&mut network);
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "10.1.0.4:80"), DENY);
    network.nsgs[0].rules.remove(0);
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "10.1.0.4:80"), ALLOW);
}

#[test]
fn sim_4_a_peer_whose_ranges_nobody_knows_may_have_any_address_but_the_networks_own() {
    let mut network = two_networks();
    network.peer(VnetIndex::new(0), VnetIndex::new(1));
    network.vnets[0].peerings[0].remote = Reference::Missing(id("virtualNetworks", "hub"));
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "10.9.0.4:80"), OPEN);
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "10.0.0.9:80"), DENY);
}

#[test]
fn sim_4_from_on_premises_too() {
    let mut network = two_networks();
    let gateway = gateway(&mut network, "gw-a", Reference::Here(VnetIndex::new(0)));
    network.peer(VnetIndex::new(0), VnetIndex::new(1));
    let side = &mut network.vnets[0].peerings[0];
    side.remote = Reference::Missing(id("virtualNetworks", "spoke"));
    side.allow_gateway_transit = true;
    all_say(&network, Origin::OnPremises(gateway), &tcp("192.168.1.1:1000", "10.9.0.4:80"), OPEN);
}

#[test]
fn sim_4_a_remote_gateway_in_a_missing_hub_may_lead_anywhere() {
    let mut network = two_networks();
    network.peer(VnetIndex::new(0), VnetIndex::new(1));
    let side = &mut network.vnets[0].peerings[0];
    side.remote = Reference::Missing(id("virtualNetworks", "hub"));
    side.remote_address_space = Some(vec!["10.1.0.0/16".parse().unwrap()]);
    side.use_remote_gateways = true;
    let table =
        network.route_table("rt", vec![route("site", "192.168.0.0/16", NextHop::VirtualNetworkGateway)]);
    network.route_tables[table.get()].disable_gateway_propagation = true;
    network.subnets[0].route_table = Some(Reference::Here(table));
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "192.168.1.1:80"), OPEN);
}

/// Where the table takes the network's own route away, a gateway's route for the endpoint's address alone goes before the
/// endpoint's, and one may be among those that nobody knows.
#[test]
fn route_6_a_gateways_route_for_one_address_goes_before_an_endpoints() {
    let mut network = two_networks();
    network.private_endpoints.push(PrivateEndpoint {
        id: id("privateEndpoints", "e"),
        subnet: Some(Reference::Here(SubnetIndex::new(0))),
        addresses: vec![ip("10.0.0.50")],
        connections: vec![PrivateLinkConnection {
            service: Some(id("storageAccounts", "account")),
            group_ids: Vec::new(),
            status: Some("Rejected".to_owned()),
        }],
        asgs: Vec::new(),
    });
    let to_endpoint = tcp("10.0.0.4:1000", "10.0.0.50:443");
    let gateway = gateway(&mut network, "gw", Reference::Here(VnetIndex::new(0)));
    network.gateways[gateway.get()].learned_routes = vec!["10.0.0.50/32".parse().unwrap()];
    all_say(&network, n1(), &to_endpoint, DENY);
    let table = network.route_table("rt", vec![route("own", "10.0.0.0/16", NextHop::None)]);
    network.subnets[0].route_table = Some(Reference::Here(table));
    all_say(&network, n1(), &to_endpoint, ALLOW);
    network.gateways[gateway.get()].learned_routes.clear();
    all_say(&network, n1(), &to_endpoint, DENY);
    network.gateways[gateway.get()].bgp = true;
    all_say(&network, n1(), &to_endpoint, OPEN);
}

#[test]
fn adm_2_admin_rules_come_before_the_groups_at_a_single_interface_too() {
    let mut network = two_networks();
    network.effective_admin_rules.push(in_force(None, "no-ssh", 22));
    let ssh = tcp("10.0.0.9:1", "10.0.0.4:22");
    for (name, make) in ENGINES {
        let engine = make(network.clone(), &TagCatalog::default(), Judging::default());
        let inbound = engine.ip_flow(NicIndex::new(0), Direction::Inbound, &ssh);
        let by_admin_rule = matches!(inbound.verdict, Verdict::Deny(Reason::AdminRule(_)));
        assert!(by_admin_rule, "{name}: {:?}", inbound.verdict);
        let outbound =
            engine.ip_flow(NicIndex::new(0), Direction::Outbound, &tcp("10.0.0.4:22", "10.0.0.9:1"));
        assert_eq!(outbound.verdict.kind(), ALLOW, "{name}: the rule is inbound");
    }
}

#[test]
fn adm_1_rules_in_force_on_one_network_are_not_in_force_on_another() {
    let mut network = two_networks();
    network.subnets[1].nsg = None;
    for (number, name) in [(0, "no-ssh"), (1, "no-web")] {
        let vnet = Some(network.vnets[number].id.clone());
        network.effective_admin_rules.push(in_force(vnet, name, [22, 80][number]));
    }
    for (name, make) in ENGINES {
        let engine = make(network.clone(), &TagCatalog::default(), Judging::default());
        let at = |nic: usize, port: u16| {
            let address = ["10.0.0.4", "10.1.0.4"][nic];
            let packet = tcp("10.9.0.9:1", &format!("{address}:{port}"));
            engine.ip_flow(NicIndex::new(nic), Direction::Inbound, &packet).verdict.kind()
        };
        let answers = [at(0, 22), at(0, 80), at(1, 22), at(1, 80)];
        assert_eq!(answers, [DENY, ALLOW, ALLOW, DENY], "{name}");
    }
}

/// A list of one rule that denies what comes to a port.
fn in_force(vnet: Option<ResourceId>, name: &str, port: u16) -> EffectiveAdminRules {
    let rule = AdminRule {
        name: name.to_owned(),
        priority: 1,
        direction: Direction::Inbound,
        action: AdminAction::Deny,
        protocol: Some(Protocol::TCP),
        sources: Vec::new(),
        destinations: Vec::new(),
        source_ports: Vec::new(),
        destination_ports: vec![PortRange::new(port, port).expect("a range of one port")],
    };
    EffectiveAdminRules { vnet, rules: vec![rule], managers: vec![None] }
}

#[test]
fn out_4_a_delegated_subnet_is_not_private() {
    let mut network = two_networks();
    network.subnets[0].default_outbound_access = false;
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "198.51.100.5:80"), DENY);
    network.subnets[0].delegations.push("Microsoft.Web/serverFarms".to_owned());
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "198.51.100.5:80"), ALLOW);
}

#[test]
fn eval_11_the_gate_is_for_what_comes_from_the_internet() {
    let mut network = two_networks();
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Standard));
    network.nics[0].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    all_say(&network, Origin::Internet, &tcp("198.51.100.9:1000", "10.0.0.4:80"), DENY);
    all_say(&network, Origin::Internet, &tcp("192.168.5.5:1000", "10.0.0.4:80"), ALLOW);
}

#[test]
fn sim_4_an_interface_whose_subnet_is_not_in_the_export_is_somebody() {
    let mut network = two_networks();
    let gone = network.vnets[0].id.child("subnets", "gone");
    network.nics[1].subnet = Some(Reference::Missing(gone));
    network.nics[1].ip_configurations[0].address = Some("10.0.1.4".parse().unwrap());
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "10.0.1.4:80"), OPEN);
}

#[test]
fn pip_1_no_clause_says_what_a_public_address_does_with_other_protocols() {
    let mut network = two_networks();
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Basic));
    network.nics[0].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    let mut simulator = simulator(network);
    let mut sctp = icmp("198.51.100.9", "203.0.113.4", Icmp::Other);
    (sctp.five_tuple.protocol, sctp.icmp) = (Protocol(132), None);
    assert_eq!(simulator.path(Origin::Internet.into(), &sctp, 0).verdict.kind(), OPEN);
    let mut esp = sctp;
    esp.five_tuple.protocol = Protocol::ESP;
    assert_eq!(simulator.path(Origin::Internet.into(), &esp, 0).verdict.kind(), ALLOW);
}

fn simulator(network: Network) -> Simulator {
    Simulator::new(compiled(network), SimulatorOptions::default())
}

fn compiled(network: Network) -> Arc<CompiledNetwork> {
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default()))
}

/// Networks `a` and `b` with one range, each with an interface 10.0.0.4; the second one's NSG denies all.
fn overlapping() -> Network {
    let mut network = two_networks();
    network.vnets[1].address_space = network.vnets[0].address_space.clone();
    network.subnets[1].prefixes = network.subnets[0].prefixes.clone();
    network.nics[1].ip_configurations[0].address = network.nics[0].ip_configurations[0].address;
    network
}

#[test]
fn top_5_fragments_of_an_ambiguous_datagram_are_as_ambiguous_as_its_first() {
    let mut simulator = simulator(overlapping());
    let mut first = packet(Protocol::UDP, "198.51.100.9:1000", "10.0.0.4:80");
    first.fragment = Fragment::First { identification: 7 };
    let mut later = icmp("198.51.100.9", "10.0.0.4", Icmp::Other);
    (later.five_tuple.protocol, later.icmp) = (Protocol::UDP, None);
    later.fragment = Fragment::Later { identification: 7 };
    for packet in [first, later] {
        let judged = simulator.judge(&packet, 0).expect("one end is in the network");
        assert_eq!(judged.answer.verdict.kind(), OPEN);
    }
}

#[test]
fn top_5_an_interface_without_a_network_does_not_hide_one_with() {
    let mut network = overlapping();
    network.nics[1].subnet = Some(Reference::Missing(id("virtualNetworks", "gone").child("subnets", "s")));
    network.nics[1].nsg = Some(Reference::Here(NsgIndex::new(0)));
    let judged = simulator(network).judge(&tcp("198.51.100.9:1000", "10.0.0.4:80"), 0);
    assert_eq!(judged.expect("one end is in the network").answer.verdict.kind(), OPEN);
}

#[test]
fn state_10_an_error_about_a_live_echo_passes() {
    let mut network = two_networks();
    network.subnets[0].nsg = Some(Reference::Here(NsgIndex::new(0)));
    let mut simulator = simulator(network);
    let ping = icmp("10.0.0.4", "198.51.100.9", Icmp::Echo { identifier: 9, request: true });
    // The way out does not carry echoes (OUT-3), but the interface let it go and remembers (STATE-1).
    simulator.path(n1().into(), &ping, 0);
    let mut quoted = ping.five_tuple;
    (quoted.source_port, quoted.destination_port) =
        (nsgsim::model::flow::Port::Number(9), nsgsim::model::flow::Port::Number(9));
    let error = icmp("198.51.100.1", "10.0.0.4", Icmp::Error { quoted: Some(quoted) });
    let answer = simulator.judge(&error, 1).expect("one end is in the network").answer;
    assert_eq!(answer.verdict.kind(), ALLOW, "{:?}", answer.verdict);
    // The quoted source was once taken for the interface's own, whatever it was.
    quoted.source = ip("10.0.0.5");
    let error = icmp("198.51.100.1", "10.0.0.4", Icmp::Error { quoted: Some(quoted) });
    let answer = simulator.judge(&error, 2).expect("one end is in the network").answer;
    assert_eq!(answer.verdict.kind(), DENY, "{:?}", answer.verdict);
}

#[test]
fn both_directions_of_a_flow_that_was_seen_outside_are_one_flow() {
    let mut network = two_networks();
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Basic));
    network.nics[0].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    let mut replay = Replay::new(compiled(network), ReplayOptions::default());
    let (client, server) = ("198.51.100.9:1000", "203.0.113.4:443");
    let packets =
        [tcp_flags(client, server, "S"), tcp_flags(server, client, "SA"), tcp_flags(client, server, "A")];
    let records: Records = packets
        .iter()
        .zip(1..)
        .map(|(packet, number)| Record {
            location: Location { file: 0, number },
            time_ns: Some(number),
            wire_bytes: 60,
            content: Content::Packet(*packet),
        })
        .collect();
    replay.feed(&records);
    let (totals, _) = replay.finish();
    let hits = totals.tally.verdicts[&ALLOW];
    assert_eq!((hits.packets, hits.flows), (3, 1));
    assert_eq!(totals.tally.deciders.len(), 1, "the reply counts with what let the request in");
}

/// A rule for probes once matched every packet whose source Azure picks, where a learned default route connects all.
#[test]
fn sim_10_behind_a_learned_default_route_azure_still_picks_a_public_address() {
    let mut network = two_networks();
    // From n1 to n2's public address and back in, under a source that nobody knows.
    let public_ip = network.public_ip("p", "203.0.113.4", Some(PublicIpSku::Standard));
    network.nics[1].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    network.nsgs[0].rules[0] = rule("in 100 deny * AzureLoadBalancer * -> * *");
    let learned = gateway(&mut network, "gw-b", Reference::Here(VnetIndex::new(1)));
    network.gateways[learned.get()].learned_routes = vec!["0.0.0.0/0".parse().expect("a range")];
    // VirtualNetwork is everything there (TAG-8), so the default rule admits it.
    all_say(&network, n1(), &tcp("10.0.0.4:1000", "203.0.113.4:80"), ALLOW);
}
