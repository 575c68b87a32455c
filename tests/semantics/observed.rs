//! Packets as they were seen on the wire, behind the translation, and what open flows make of those that come after.

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::Packet;
use nsgsim::model::index::{NicIndex, Reference};
use nsgsim::model::network::{Network, PublicIpSku};
use nsgsim::model::routing::NextHop;
use nsgsim::model::rule::Protocol;
use nsgsim::model::verdict::{Note, Reason, Snat, Verdict, VerdictKind};

use nsgsim::simulate::{Judged, Simulator, SimulatorOptions};

use crate::build::balancer::Balance;
use crate::build::{Build, ip, packet, route, rule, tcp};

/// A minute in nanoseconds.
const MIN: u64 = 60_000_000_000;

const CLIENT: &str = "198.51.100.9:50000";

fn simulator(network: Network) -> Simulator {
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default());
    Simulator::new(Arc::new(compiled), SimulatorOptions::default())
}

fn judge(simulator: &mut Simulator, packet: &Packet, minute: u64) -> Judged {
    simulator.judge(packet, minute * MIN).expect("an end of it is in the network")
}

/// Three servers of a subnet that takes everything in: `own` 10.0.0.4 has the public address 203.0.113.4, `pooled`
/// 10.0.0.5 is behind the frontend 203.0.113.5, nothing public leads to `private` 10.0.0.6.
fn servers() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    network.vnets[vnet.get()].flow_timeout_min = Some(30);
    let subnet = network.subnet(vnet, "s", "10.0.0.0/24");
    let nsg = network.nsg("nsg", vec![rule("in 100 allow * * * -> * *"), rule("out 100 deny * * * -> * *")]);
    network.subnets[subnet.get()].nsg = Some(Reference::Here(nsg));
    let own = network.nic(subnet, "own", &["10.0.0.4"]);
    let pooled = network.nic(subnet, "pooled", &["10.0.0.5"]);
    network.nic(subnet, "private", &["10.0.0.6"]);
    let address = network.public_ip("pip-a", "203.0.113.4", Some(PublicIpSku::Standard));
    network.nics[own.get()].ip_configurations[0].public_ip = Some(Reference::Here(address));
    let public_ip = network.public_ip("pip-b", "203.0.113.5", Some(PublicIpSku::Standard));
    let balancer = network.balancer("lb", true);
    let frontend = network.public_frontend(balancer, public_ip);
    let pool = network.pool(balancer, "p", &[pooled]);
    network.balance(balancer, &frontend, &pool, "tcp 443 -> 443");
    network
}

/// The notes on a packet from the internet to a server, and by what the answer leaves (OUT-5).
fn answered(address: &str) -> (Vec<Note>, Option<Snat>) {
    let (mut simulator, server) = (simulator(servers()), format!("{address}:443"));
    let request = judge(&mut simulator, &tcp(CLIENT, &server), 0).answer;
    assert_eq!(request.verdict.kind(), VerdictKind::Allow);
    let reply = judge(&mut simulator, &tcp(&server, CLIENT), 0).answer;
    assert!(matches!(reply.verdict, Verdict::Allow(Reason::FlowState { .. })), "{:?}", reply.verdict);
    (request.notes, reply.translation.snat)
}

#[test]
fn out_5_the_answer_leaves_by_what_the_request_came_in_by() {
    assert_eq!(answered("10.0.0.4"), (Vec::new(), Some(Snat::InstancePublicIp)));
    assert_eq!(answered("10.0.0.5"), (Vec::new(), Some(Snat::LoadBalancerRule)));
    let nothing_public = Note::NoPublicAddress { nic: NicIndex::new(2) };
    assert_eq!(answered("10.0.0.6"), (vec![nothing_public], None));
}

/// The address forgets after four minutes, the network after thirty; without a record the rules let nothing out.
#[test]
fn state_15_the_timer_of_an_instance_address_is_that_of_connections() {
    let known_after = |protocol, minutes| {
        let mut simulator = simulator(servers());
        judge(&mut simulator, &packet(protocol, CLIENT, "10.0.0.4:443"), 0);
        let reply = judge(&mut simulator, &packet(protocol, "10.0.0.4:443", CLIENT), minutes);
        match reply.answer.verdict {
            Verdict::Allow(Reason::FlowState { .. }) => true,
            Verdict::Deny(Reason::SecurityRule(_)) => false,
            other => panic!("neither by the record nor by the rule: {other:?}"),
        }
    };
    let after = |protocol| [4, 5, 30, 31].map(|minutes| known_after(protocol, minutes));
    assert_eq!(after(Protocol::TCP), [true, false, false, false]);
    assert_eq!(after(Protocol::UDP), [true, true, true, false]);
}

/// `n0` 10.0.0.4 calls `n1` 10.0.1.4 directly, whose replies come as directly, or through `n2` 10.0.2.4.
#[test]
fn state_13_a_reply_continues_a_flow_only_if_every_interface_on_its_way_knows_it() {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    for number in 0..3 {
        let subnet = network.subnet(vnet, &format!("s{number}"), &format!("10.0.{number}.0/24"));
        network.nic(subnet, &format!("n{number}"), &[&format!("10.0.{number}.4")]);
    }
    let (request, reply) = (tcp("10.0.0.4:1000", "10.0.1.4:80"), tcp("10.0.1.4:80", "10.0.0.4:1000"));
    let continued = |network: &Network| {
        let mut simulator = simulator(network.clone());
        [request, reply].map(|packet| {
            let judged = judge(&mut simulator, &packet, 0);
            assert_eq!(judged.answer.verdict.kind(), VerdictKind::Allow);
            judged.continued
        })
    };
    assert_eq!(continued(&network), [false, true]);
    network.nics[2].ip_forwarding = true;
    let nsg = network.nsg("nsg", Vec::new());
    network.nics[2].nsg = Some(Reference::Here(nsg));
    let hop = NextHop::VirtualAppliance(Some(ip("10.0.2.4")));
    let table = network.route_table("rt", vec![route("back", "10.0.0.0/24", hop)]);
    network.subnets[1].route_table = Some(Reference::Here(table));
    assert_eq!(continued(&network), [false, false]);
}
