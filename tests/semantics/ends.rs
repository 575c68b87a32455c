//! Where the ends of a captured packet are: what its two addresses alone can mean (SIM-11, TOP-5).

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::flow::Origin;
use nsgsim::model::index::{NsgIndex, Reference, VnetIndex};
use nsgsim::model::network::{Network, PublicIpSku};
use nsgsim::model::reason_code::ReasonCode;
use nsgsim::model::routing::Gateway;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Verdict, VerdictKind};
use nsgsim::simulate::ends::{OutOfScope, Placing, placings};
use nsgsim::simulate::{Simulator, SimulatorOptions};

use crate::build::{Build, id, ip, rule, tcp};

/// Networks `a` and `b`, which are not connected, both of 10.0.0.0/16 with a subnet 10.0.0.0/24:
///
/// - 10.0.0.4 is `na` in `a` and `nb` in `b`; 10.0.0.5 is `nc` in `b`, and nobody in `a`;
/// - 203.0.113.4 is `na`'s public address;
/// - 172.16.0.4 is `nd`, whose subnet is not in the export;
/// - behind `gw`, the gateway of `b`, is 192.168.0.0/16.
fn networks() -> Network {
    let mut network = Network::default();
    let a = network.vnet("a", &["10.0.0.0/16", "fd00::/48"]);
    let b = network.vnet("b", &["10.0.0.0/16"]);
    let (in_a, in_b) = (network.subnet(a, "s", "10.0.0.0/24"), network.subnet(b, "s", "10.0.0.0/24"));
    let na = network.nic(in_a, "na", &["10.0.0.4"]);
    network.nic(in_b, "nb", &["10.0.0.4"]);
    network.nic(in_b, "nc", &["10.0.0.5"]);
    let nd = network.nic(in_a, "nd", &["172.16.0.4"]);
    network.nics[nd.get()].subnet =
        Some(Reference::Missing(id("virtualNetworks", "gone").child("subnets", "s")));
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Standard));
    network.nics[na.get()].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    network.gateways.push(Gateway {
        id: id("virtualNetworkGateways", "gw"),
        express_route: false,
        vnet: Some(Reference::Here(b)),
        subnet: None,
        client_pools: Vec::new(),
        learned_routes: vec!["192.168.0.0/16".parse().expect("a range")],
        bgp: false,
    });
    network
}

fn a() -> Option<VnetIndex> {
    Some(VnetIndex::new(0))
}

fn b() -> Option<VnetIndex> {
    Some(VnetIndex::new(1))
}

const UNLISTED: &str = "10.0.0.9";
const OUTSIDE: &str = "198.51.100.9";

fn compiled(network: Network) -> CompiledNetwork {
    CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default())
}

/// A placing in words: `na`, `na as 10.0.0.4` for a translated source, `internet to b`.
fn in_words(network: &Network, placing: &Placing) -> String {
    let vnet = |vnet: VnetIndex| network.vnets[vnet.get()].id.name();
    let mut words = match placing.ends.origin {
        Origin::Nic(nic) => network.nics[nic.get()].id.name().to_owned(),
        Origin::Unlisted(subnet) => format!("somebody in {}", vnet(network.subnets[subnet.get()].vnet)),
        Origin::Internet => "internet".to_owned(),
        Origin::OnPremises(gateway) => format!("behind {}", network.gateways[gateway.get()].id.name()),
        Origin::Platform => "platform".to_owned(),
    };
    if let Some(source) = placing.source {
        words += &format!(" as {source}");
    }
    if let Some(at) = placing.ends.vnet {
        words += &format!(" to {}", vnet(at));
    }
    if let Some(nic) = placing.ends.stray {
        words += &format!(" to {}", network.nics[nic.get()].id.name());
    }
    words
}

/// The two addresses mean these, and nothing else; `none` where neither end is in the network.
#[track_caller]
fn mean(source: &str, destination: &str, only: Option<VnetIndex>, expected: &[&str]) {
    let compiled = compiled(networks());
    match placings(&compiled, ip(source), ip(destination), only) {
        Ok(placings) => {
            let words: Vec<String> =
                placings.iter().map(|placing| in_words(&compiled.network, placing)).collect();
            assert_eq!(words, expected);
        }
        Err(out) => {
            assert_eq!(out, OutOfScope(ReasonCode::NoEndInNetwork));
            assert_eq!(expected, ["none"]);
        }
    }
}

#[test]
fn a_sender_is_an_interface_of_each_network_that_has_the_address() {
    mean("10.0.0.4", OUTSIDE, None, &["na", "nb"]);
    mean("10.0.0.4", OUTSIDE, a(), &["na"]);
    mean("10.0.0.4", OUTSIDE, b(), &["nb"]);
}

#[test]
fn subnets_that_could_hold_the_sender_count_where_no_network_has_it() {
    mean("10.0.0.5", OUTSIDE, None, &["nc"]);
    mean("10.0.0.5", OUTSIDE, a(), &["somebody in a"]);
    mean("10.0.0.5", OUTSIDE, b(), &["nc"]);
    mean(UNLISTED, OUTSIDE, None, &["somebody in a", "somebody in b"]);
    mean(UNLISTED, OUTSIDE, a(), &["somebody in a"]);
    mean(UNLISTED, OUTSIDE, b(), &["somebody in b"]);
}

#[test]
fn an_interface_without_a_network_may_be_in_any() {
    for only in [None, a(), b()] {
        mean("172.16.0.4", OUTSIDE, only, &["nd"]);
        mean(OUTSIDE, "172.16.0.4", only, &["internet to nd"]);
    }
}

#[test]
fn a_public_address_is_the_interface_behind_it() {
    mean("203.0.113.4", OUTSIDE, None, &["na as 10.0.0.4"]);
    mean("203.0.113.4", OUTSIDE, a(), &["na as 10.0.0.4"]);
    // For the other network it is one of the internet's.
    mean("203.0.113.4", OUTSIDE, b(), &["none"]);
    mean("203.0.113.4", "10.0.0.5", b(), &["internet to b"]);
    mean(OUTSIDE, "203.0.113.4", None, &["internet"]);
}

#[test]
fn a_destination_is_in_each_network_in_which_somebody_has_it() {
    mean(OUTSIDE, "10.0.0.4", None, &["internet to a", "internet to b"]);
    mean(OUTSIDE, "10.0.0.4", a(), &["internet to a"]);
    mean(OUTSIDE, "10.0.0.4", b(), &["internet to b"]);
    mean(OUTSIDE, "10.0.0.5", None, &["internet to b"]);
}

#[test]
fn the_space_of_a_network_counts_where_nobody_has_the_destination() {
    mean(OUTSIDE, "10.0.0.5", a(), &["internet to a"]);
    mean(OUTSIDE, UNLISTED, None, &["internet to a", "internet to b"]);
    mean(OUTSIDE, UNLISTED, b(), &["internet to b"]);
    mean(OUTSIDE, "10.0.200.1", a(), &["internet to a"]);
}

#[test]
fn some_end_must_be_in_the_network() {
    for only in [None, a(), b()] {
        mean(OUTSIDE, "203.0.113.99", only, &["none"]);
        mean(OUTSIDE, "10.1.0.4", only, &["none"]);
        mean("192.168.1.1", OUTSIDE, only, &["none"]);
    }
}

#[test]
fn what_a_gateway_leads_to_is_behind_it() {
    mean("192.168.1.1", "10.0.0.5", None, &["behind gw"]);
    mean("192.168.1.1", "10.0.0.5", b(), &["behind gw"]);
    // The gateway is another network's.
    mean("192.168.1.1", "10.0.0.5", a(), &["internet to a"]);
    // Public addresses are called from the internet, whatever the source.
    mean("192.168.1.1", "203.0.113.4", None, &["internet"]);
}

#[test]
fn the_platform_and_the_probes_of_ipv6_are_the_platform() {
    mean("168.63.129.16", "10.0.0.5", None, &["platform to b"]);
    mean("fe80::1234:5678:9abc", "fd00::4", None, &["platform to a"]);
    mean("fe80::1234:5678:9abd", "fd00::4", None, &["internet to a"]);
}

#[test]
fn the_platform_is_behind_no_gateway() {
    let mut network = networks();
    network.gateways[0].learned_routes = vec!["0.0.0.0/0".parse().expect("a range")];
    let compiled = compiled(network);
    let found =
        placings(&compiled, ip("168.63.129.16"), ip("10.0.0.5"), None).expect("`nc` is in the network");
    assert!(matches!(found[..], [Placing { ends, .. }] if ends.origin == Origin::Platform), "{found:?}");
}

/// The verdict on a packet that either `na` or `nb` may have sent.
fn sent_by_either(network: Network) -> Verdict {
    let mut simulator = Simulator::new(Arc::new(compiled(network)), SimulatorOptions::default());
    let judged = simulator.judge(&tcp("10.0.0.4:1000", "198.51.100.9:80"), 0);
    judged.expect("its source is in the network").answer.verdict
}

#[test]
fn networks_that_agree_leave_nothing_open() {
    assert_eq!(sent_by_either(networks()).kind(), VerdictKind::Allow);
}

#[test]
fn networks_that_disagree_leave_the_verdict_open() {
    let mut network = networks();
    network.nsg("shut", vec![rule("out 100 deny * * * -> * *")]);
    network.nics[1].nsg = Some(Reference::Here(NsgIndex::new(0)));
    let address = ip(OUTSIDE);
    assert_eq!(sent_by_either(network.clone()), Verdict::Undetermined(Unknown::AmbiguousPlace { address }));
    network.nics[0].nsg = Some(Reference::Here(NsgIndex::new(0)));
    assert_eq!(sent_by_either(network).kind(), VerdictKind::Deny);
}
