//! Load balancers: frontends of both sides, pools from both sides, rules, probes.

use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, NicIndex, PublicIpIndex, SubnetIndex};
use nsgsim::model::network::Network;
use nsgsim::model::prefix::PortRange;
use nsgsim::model::rule::Protocol;

use super::tape::Tape;
use crate::build;
use crate::build::balancer::Balance;
use crate::build::id;

/// Up to two load balancers over the interfaces of all networks.
pub(super) fn balancers(tape: &mut Tape, network: &mut Network) {
    let mut free_public_ips = vec![PublicIpIndex::new(4), PublicIpIndex::new(3)];
    for number in 0..tape.one_of(&[0, 1, 2, 1]) {
        let at = network.balancer(&format!("lb-{number}"), !tape.seldom(3));
        let frontends: Vec<ResourceId> = (0..1 + tape.below(2))
            .map(|position| frontend(tape, network, at, 2 * number + position, &mut free_public_ips))
            .collect();
        let pools: Vec<ResourceId> = (0..1 + tape.below(2))
            .map(|position| {
                let pool = network.pool(at, &format!("p{position}"), &[]);
                members(tape, network, at, position, &pool);
                pool
            })
            .collect();
        let probe = network.probe(at, tape.one_of(&[80, 1000]));
        for _ in 0..tape.below(3) {
            nat_rule(tape, network, at, &frontends, &pools);
        }
        for position in 0..frontends.len() + tape.below(2) {
            rule(tape, network, at, &frontends[position % frontends.len()], &pools, &probe);
        }
        if tape.seldom(3) {
            let protocol = tape.one_of(&[None, Some(Protocol::TCP), Some(Protocol::UDP)]);
            let of_rule: Vec<&ResourceId> = frontends.iter().take(1 + tape.below(2)).collect();
            network.outbound_rule(at, &of_rule, &tape.one_of(&pools), protocol);
        }
    }
    if tape.seldom(8) {
        let pool = id("loadBalancers", "gone").child("backendAddressPools", "p0");
        let nic = tape.below(network.nics.len());
        network.nics[nic].ip_configurations[0].backend_pools.push(pool);
    }
}

/// An internal frontend at the hundredth address of a subnet or the next ones, or a public one.
fn frontend(
    tape: &mut Tape,
    network: &mut Network,
    at: LoadBalancerIndex,
    number: usize,
    free: &mut Vec<PublicIpIndex>,
) -> ResourceId {
    if tape.below(2) == 1
        && let Some(public_ip) = free.pop()
    {
        return network.public_frontend(at, public_ip);
    }
    let subnet = tape.below(network.subnets.len());
    let address =
        network.subnets[subnet].prefixes[0].hosts().nth(99 + number).expect("a subnet has 254 hosts");
    network.internal_frontend(at, SubnetIndex::new(subnet), &address.to_string())
}

/// Members of a pool: listed in it, naming it, by address, and seldom not in the inventory.
fn members(
    tape: &mut Tape,
    network: &mut Network,
    at: LoadBalancerIndex,
    position: usize,
    pool: &ResourceId,
) {
    for _ in 0..tape.one_of(&[1, 3, 4, 2, 0, 5, 3]) {
        let nic = NicIndex::new(tape.below(network.nics.len()));
        let own = &mut network.nics[nic.get()].ip_configurations[0];
        let listed = &mut network.load_balancers[at.get()].pools[position];
        match tape.below(16) {
            0..=5 => listed.ip_configurations.push(own.id.clone()),
            6..=10 => own.backend_pools.push(pool.clone()),
            11..=13 => listed.addresses.extend(own.address),
            14 => listed.addresses.push(build::ip("10.0.1.77")),
            _ => {
                let gone = id("networkInterfaces", "gone").child("ipConfigurations", "c0");
                listed.ip_configurations.push(gone);
            }
        }
    }
}

fn rule(
    tape: &mut Tape,
    network: &mut Network,
    at: LoadBalancerIndex,
    frontend: &ResourceId,
    pools: &[ResourceId],
    probe: &ResourceId,
) {
    let text = tape.one_of(&[
        "tcp 80 -> 80",
        "all 0 -> 0",
        "tcp 80 -> 1000",
        "udp 53 -> 53",
        "all 443 -> 80",
        "tcp 443 -> 443",
        "all 0 -> 0",
    ]);
    let pool = tape.one_of(pools);
    let unknown_probe = network.load_balancers[at.get()].id.child("probes", "gone");
    let rule = network.balance(at, frontend, &pool, text);
    rule.probe = match tape.below(8) {
        0..=3 => None,
        4..=6 => Some(probe.clone()),
        _ => Some(unknown_probe),
    };
    rule.floating_ip = tape.seldom(4);
    rule.disable_outbound_snat = tape.below(2) == 0;
    if tape.seldom(6) {
        rule.pools = pools.to_vec();
    }
}

/// An inbound NAT rule to one configuration, named on the one side or the other, to a pool, or to nobody.
fn nat_rule(
    tape: &mut Tape,
    network: &mut Network,
    at: LoadBalancerIndex,
    frontends: &[ResourceId],
    pools: &[ResourceId],
) {
    let text = tape.one_of(&["tcp 1000 -> 80", "tcp 80 -> 1024", "udp 53 -> 443", "all 443 -> 443"]);
    let (frontend, target) = (tape.one_of(frontends), tape.below(4));
    let nic = tape.below(network.nics.len());
    let configuration = network.nics[nic].ip_configurations[0].id.clone();
    let floating_ip = tape.seldom(6);
    let rule = network.nat_rule(at, &frontend, text);
    rule.floating_ip = floating_ip;
    let id = rule.id.clone();
    match target {
        0 => rule.backend = Some(configuration),
        1 => network.nics[nic].ip_configurations[0].inbound_nat_rules.push(id),
        2 => {
            rule.frontend_ports = PortRange::new(80, 443);
            rule.pool = Some(tape.one_of(pools));
        }
        _ => {}
    }
}
