//! Networks and packets drawn from one small pool of addresses and ports.
//!
//! A case is a tape of numbers; each decision reads one of them, and a tape that is used up reads zero, which stands
//! for the plainest choice. So a failing case shrinks towards a plain network and few packets. Uniformly random
//! addresses would hardly ever meet a rule: the pool holds what the networks are made of, and the neighbours.
#![allow(dead_code, reason = "each test target draws what it needs")]

pub(crate) mod accounts;
mod balancers;
pub(crate) mod contested;
mod endpoints;
pub(crate) mod errors;
mod machines;
mod managers;
mod packets;
mod pool;
mod routes;
mod rules;
mod tape;
mod timers;

use nsgsim::model::index::{
    AsgIndex, NatGatewayIndex, NicIndex, NsgIndex, PublicIpIndex, Reference, RouteTableIndex, SubnetIndex,
    VnetIndex,
};
use nsgsim::model::network::{Asg, Network, PublicIpSku};
use nsgsim::model::nsg::Nsg;
use nsgsim::model::tag::TagCatalog;

pub(crate) use self::packets::{packet, reply};
pub(crate) use self::rules::rule;
pub(crate) use self::tape::{Tape, tape};
use crate::build::{Build, catalog, id};

/// The tags that the networks know; `Nowhere` is none of them.
pub(crate) fn tags() -> TagCatalog {
    catalog(&[("Storage", &["198.51.100.0/26"]), ("AzureCloud", &["198.51.100.0/24", "203.0.113.0/24"])])
}

/// One to three networks with what filters and routes them.
pub(crate) fn network(tape: &mut Tape) -> Network {
    let mut network = Network::default();
    for number in 0..2 {
        network.asgs.push(Asg { id: id("applicationSecurityGroups", &format!("asg-{number}")) });
    }
    for number in 0..tape.below(5) {
        let rules = (0..tape.below(7)).map(|position| rule(tape, position)).collect();
        let mut nsg = Nsg::new(id("networkSecurityGroups", &format!("nsg-{number}")), rules);
        nsg.flush_connection = tape.seldom(3);
        network.nsgs.push(nsg);
    }
    let addresses = ["203.0.113.4", "203.0.113.5", "203.0.113.9", "203.0.113.20", "203.0.113.21"];
    for (number, address) in addresses.iter().enumerate() {
        let sku = tape.one_of(&[Some(PublicIpSku::Basic), Some(PublicIpSku::Standard), None]);
        network.public_ip(&format!("pip-{number}"), address, sku);
    }
    let nat_gateway = network.nat_gateway("nat", &[PublicIpIndex::new(2)]);
    for number in 0..tape.one_of(&[0, 1, 2, 2]) {
        network.route_table(&format!("routes-{number}"), Vec::new());
    }
    let mut free_public_ips = vec![PublicIpIndex::new(1), PublicIpIndex::new(0)];
    for number in 0..1 + tape.below(3) {
        virtual_network(tape, &mut network, number, nat_gateway, &mut free_public_ips);
    }
    routes::peerings(tape, &mut network);
    routes::gateway(tape, &mut network);
    managers::admin_rules(tape, &mut network);
    balancers::balancers(tape, &mut network);
    routes::user_routes(tape, &mut network);
    routes::forwarded_way(tape, &mut network);
    endpoints::private_endpoint(tape, &mut network);
    endpoints::service_endpoints(tape, &mut network);
    routes::appliances(tape, &mut network);
    accounts::accounts(tape, &mut network);
    machines::machines(tape, &mut network);
    machines::subscription(tape, &mut network);
    timers::timers(tape, &mut network);
    network
}

/// A network 10.`number`.0.0/16 of one or two subnets with one or two interfaces each.
fn virtual_network(
    tape: &mut Tape,
    network: &mut Network,
    number: usize,
    nat_gateway: NatGatewayIndex,
    free_public_ips: &mut Vec<PublicIpIndex>,
) {
    let mut ranges = vec![format!("10.{number}.0.0/16")];
    if number == 0 && tape.seldom(2) {
        ranges.push("fd00::/64".to_owned());
    }
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
    let vnet = network.vnet(&format!("vnet-{number}"), &ranges);
    network.vnets[vnet.get()].flow_timeout_min = tape.one_of(&[None, Some(10), Some(30)]);
    let location = tape.one_of(&[Some("westeurope"), Some("westeurope"), Some("northeurope"), None]);
    network.vnets[vnet.get()].location = location.map(str::to_owned);
    for subnet_number in 1..=tape.one_of(&[1, 2, 2]) {
        let range = format!("10.{number}.{subnet_number}.0/24");
        let subnet = network.subnet(vnet, &format!("s{subnet_number}"), &range);
        filters_and_routes(tape, network, subnet);
        let through_nat = tape.seldom(4);
        let at = &mut network.subnets[subnet.get()];
        at.nat_gateway = through_nat.then_some(Reference::Here(nat_gateway));
        at.default_outbound_access = !tape.seldom(4);
        for host in 4..=tape.one_of(&[4, 5, 5]) {
            let mut addresses = vec![format!("10.{number}.{subnet_number}.{host}")];
            if (number, subnet_number, host) == (0, 1, 4) && ranges.len() > 1 {
                addresses.push("fd00::4".to_owned());
            }
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            let name = format!("nic-{number}-{subnet_number}-{host}");
            let nic = network.nic(subnet, &name, &addresses);
            interface(tape, network, nic, free_public_ips);
        }
    }
    if number == 0 && tape.seldom(2) {
        let subnet = network.subnet(vnet, "GatewaySubnet", "10.0.250.0/24");
        filters_and_routes(tape, network, subnet);
    }
}

/// The NSG and the table of a subnet.
fn filters_and_routes(tape: &mut Tape, network: &mut Network, subnet: SubnetIndex) {
    let nsg = tape.below(network.nsgs.len() + 1);
    let table = tape.below(network.route_tables.len() + 1);
    let at = &mut network.subnets[subnet.get()];
    at.nsg = nsg.checked_sub(1).map(|nsg| Reference::Here(NsgIndex::new(nsg)));
    at.route_table = table.checked_sub(1).map(|table| Reference::Here(RouteTableIndex::new(table)));
    // What the export lacks (SIM-4).
    if tape.seldom(24) {
        at.nsg = Some(Reference::Missing(id("networkSecurityGroups", "gone")));
    }
    if tape.seldom(24) {
        at.route_table = Some(Reference::Missing(id("routeTables", "gone")));
    }
}

fn interface(tape: &mut Tape, network: &mut Network, nic: NicIndex, free: &mut Vec<PublicIpIndex>) {
    let nsg = tape.below(network.nsgs.len() + 1);
    let at = &mut network.nics[nic.get()];
    at.nsg = nsg.checked_sub(1).map(|nsg| Reference::Here(NsgIndex::new(nsg)));
    if tape.seldom(24) {
        at.nsg = Some(Reference::Missing(id("networkSecurityGroups", "gone-too")));
    }
    at.ip_forwarding = tape.below(3) > 0;
    if tape.seldom(2) {
        at.ip_configurations[0].public_ip = free.pop().map(Reference::Here);
    }
    let subnet = at.subnet.as_ref().and_then(Reference::here).expect("a subnet");
    for number in 0..2 {
        // ASG-4: the members of a group are in one network.
        if network.subnets[subnet.get()].vnet == VnetIndex::new(0) && tape.seldom(3) {
            at.ip_configurations[0].asgs.push(AsgIndex::new(number));
        }
    }
}
