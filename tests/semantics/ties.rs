//! Addresses that stand for each other in the packets of one flow: a replay gives them to one worker.

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::model::index::Reference;
use nsgsim::model::network::{Network, PublicIpSku};

use crate::build::balancer::Balance;
use crate::build::{Build, ip};

/// A network 10.0.0.0/16 with the subnets `s1` 10.0.1.0/24 and `s2` 10.0.2.0/24, and an interface in each: 10.0.1.4
/// and 10.0.2.4.
fn two_subnets() -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("a", &["10.0.0.0/16"]);
    let s1 = network.subnet(vnet, "s1", "10.0.1.0/24");
    let s2 = network.subnet(vnet, "s2", "10.0.2.0/24");
    network.nic(s1, "n1", &["10.0.1.4"]);
    network.nic(s2, "n2", &["10.0.2.4"]);
    network
}

/// `s1` leaves by a NAT gateway with these addresses (OUT-1).
fn leave_by_gateway(network: &mut Network, addresses: &[&str]) {
    let public_ip = |(number, address): (usize, &&str)| {
        network.public_ip(&format!("nat-{number}"), address, Some(PublicIpSku::Standard))
    };
    let public_ips: Vec<_> = addresses.iter().enumerate().map(public_ip).collect();
    let gateway = network.nat_gateway("nat", &public_ips);
    network.subnets[0].nat_gateway = Some(Reference::Here(gateway));
}

/// In a flow, all of these may stand for each other, and none of the others for any.
#[track_caller]
fn are_tied(network: Network, tied: &[&str], others: &[&str]) {
    let compiled = CompiledNetwork::new(Arc::new(network), Arc::default(), CompileOptions::default());
    let stands_for = |address: &str| compiled.ties.representative(ip(address));
    let all = stands_for(tied[0]);
    for address in tied {
        assert_eq!(stands_for(address), all, "{address}");
    }
    for address in others {
        assert_eq!(stands_for(address), ip(address));
        assert_ne!(ip(address), all, "{address}");
    }
}

#[test]
fn out_1_members_and_the_address_of_their_outbound_rule() {
    let mut network = two_subnets();
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Standard));
    let balancer = network.balancer("lb", true);
    let frontend = network.public_frontend(balancer, public_ip);
    let nics: Vec<_> = network.find_nic("n1").into_iter().chain(network.find_nic("n2")).collect();
    let pool = network.pool(balancer, "p", &nics);
    network.outbound_rule(balancer, &[&frontend], &pool, None);
    are_tied(network, &["203.0.113.4", "10.0.1.4", "10.0.2.4"], &["10.0.1.9", "198.51.100.9"]);
}

#[test]
fn out_1_a_subnet_and_the_one_address_of_its_nat_gateway() {
    let mut network = two_subnets();
    leave_by_gateway(&mut network, &["203.0.113.7"]);
    let others = ["10.0.2.4", "10.0.2.9", "198.51.100.9"];
    are_tied(network, &["203.0.113.7", "10.0.1.4", "10.0.1.9"], &others);
}

/// Which of several it takes nobody knows.
#[test]
fn out_1_not_where_the_nat_gateway_has_several() {
    let mut network = two_subnets();
    leave_by_gateway(&mut network, &["203.0.113.7", "203.0.113.8"]);
    are_tied(network, &["10.0.1.4"], &["203.0.113.7", "203.0.113.8", "10.0.1.9", "10.0.2.4"]);
}

/// It is called by the one address and leaves by the other (OUT-1).
#[test]
fn an_interface_with_a_public_address_behind_a_nat_gateway() {
    let mut network = two_subnets();
    leave_by_gateway(&mut network, &["203.0.113.7"]);
    let public_ip = network.public_ip("pip", "203.0.113.4", Some(PublicIpSku::Standard));
    network.nics[0].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    let others = ["10.0.2.4", "10.0.2.9", "198.51.100.9"];
    are_tied(network, &["203.0.113.7", "203.0.113.4", "10.0.1.4", "10.0.1.9"], &others);
}
