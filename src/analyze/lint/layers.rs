//! Allowing rules that change nothing, because the other NSG of every interface denies what they let through (EVAL-2,
//! EVAL-3).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::cut::Cut;
use super::lists::OfNsg;
use crate::analyze::regions::bits::Bits;
use crate::compile::address_set::AddressSet;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::model::flow::FiveTuple;
use crate::model::index::{NsgIndex, Reference};
use crate::model::network::Subnet;
use crate::model::prefix::host;
use crate::model::rule::{Access, Direction};
use crate::model::verdict::Interface;

/// What the other NSGs do with the packets that a rule lets through.
#[derive(Clone, Debug, Default)]
pub(super) struct Beyond {
    /// Some of them pass, or may.
    passes: bool,
    /// Those that deny some, by NSG and position.
    pub(super) denied_by: BTreeSet<(NsgIndex, u32)>,
    /// One of the packets, and who denies it.
    pub(super) witness: Option<(FiveTuple, NsgIndex, u32)>,
}

/// The other filter of some interfaces, and the addresses at which packets come in or leave there; nothing where they may
/// be any.
type Other = Option<PolicyReference>;
type Places = BTreeMap<usize, Vec<(Other, Option<BTreeSet<IpAddr>>)>>;

/// The allowing rules of an NSG all of whose packets other NSGs deny, wherever it stands.
///
/// Packets come to an interface's own addresses, or leave with one as their source, unless it forwards others' or a load
/// balancer hands it packets for its frontend (LB-5).
pub(super) fn unreachable(
    compiled: &CompiledNetwork,
    of_nsg: &OfNsg<'_>,
    interfaces: &[Interface],
) -> BTreeMap<u32, Beyond> {
    let rules = &compiled.network.nsgs[of_nsg.nsg.get()].rules;
    let held_by = |subnet: &Subnet| subnet.nsg == Some(Reference::Here(of_nsg.nsg));
    let has_unlisted = compiled.partial_inventory && compiled.network.subnets.iter().any(held_by);
    // Whatever interfaces the inventory lacks, nothing is known of their own NSGs.
    if has_unlisted {
        return BTreeMap::new();
    }
    let mut beyond: BTreeMap<u32, Beyond> = BTreeMap::new();
    for (place, others) in places(compiled, of_nsg, interfaces) {
        for (other, addresses) in others {
            let next = match &other {
                Some(PolicyReference::Compiled(next)) => Some(*next),
                Some(_) => return BTreeMap::new(),
                None => None,
            };
            let at = addresses
                .map(|addresses| Arc::new(AddressSet::from_prefixes(addresses.into_iter().map(host))));
            let list = &compiled.policies[place].rules;
            let next_rules = next.map(|next| &compiled.policies[next].rules[..]);
            let is_bounded = at.is_some();
            let cut = of_nsg.cut_before(list, next_rules, at.into_iter().collect());
            let next = next.map(|next| compiled.policies[next].nsg());
            see(&cut, of_nsg.direction, is_bounded, next, &mut beyond);
        }
    }
    beyond.retain(|rule, beyond| {
        let rule = &rules[*rule as usize];
        !rule.is_default && !beyond.passes && beyond.witness.is_some()
    });
    beyond
}

/// By list in [`CompiledNetwork::policies`]: the other filters beside which it stands, and where.
fn places(compiled: &CompiledNetwork, of_nsg: &OfNsg<'_>, interfaces: &[Interface]) -> Places {
    let network = &compiled.network;
    let floats = network.load_balancers.iter().any(|balancer| {
        balancer.rules.iter().any(|rule| rule.floating_ip)
            || balancer.nat_rules.iter().any(|rule| rule.floating_ip)
    });
    let mut places = Places::new();
    for &interface in interfaces {
        let addresses: Option<Vec<IpAddr>> = match interface {
            Interface::Nic(nic) => {
                let nic = &network.nics[nic.get()];
                let addresses = nic.ip_configurations.iter().map(|configuration| configuration.address);
                addresses.collect::<Option<_>>().filter(|_| !nic.ip_forwarding && !floats)
            }
            Interface::Endpoint(endpoint) => {
                Some(network.private_endpoints[endpoint.get()].addresses.clone())
            }
            Interface::Unlisted(_) | Interface::Service(_) => None,
        };
        let layers = compiled.layers(interface, of_nsg.direction);
        for (number, layer) in layers.iter().enumerate() {
            let PolicyReference::Compiled(place) = layer.policy else { continue };
            if compiled.policies[place].nsg() != of_nsg.nsg {
                continue;
            }
            let other = layers.iter().enumerate().find(|(other, _)| *other != number);
            let other = other.map(|(_, layer)| layer.policy.clone());
            let others = places.entry(place).or_default();
            let at = match others.iter().position(|(known, _)| *known == other) {
                Some(at) => at,
                None => {
                    others.push((other, Some(BTreeSet::new())));
                    others.len() - 1
                }
            };
            match (&mut others[at].1, &addresses) {
                (Some(known), Some(addresses)) => known.extend(addresses),
                (known, _) => *known = None,
            }
        }
    }
    places
}

/// Looks at what the first list of a cut allows, and what becomes of it in the second.
fn see(
    cut: &Cut,
    direction: Direction,
    is_bounded: bool,
    next: Option<NsgIndex>,
    beyond: &mut BTreeMap<u32, Beyond>,
) {
    // PERF: of one class of sources alone, so that what is kept stays small.
    let (mut seen, mut of_source): (HashSet<Bits, FixedState>, _) = (HashSet::default(), (0, 0));
    for place in cut.places() {
        if of_source != (place.family, place.source) {
            of_source = (place.family, place.source);
            seen.clear();
        }
        let (source, destination) = cut.classes(place);
        let local = if direction == Direction::Inbound { destination } else { source };
        if is_bounded && !local.marks.contains(0) {
            continue;
        }
        let Some(row) = cut.row(place) else { continue };
        if seen.contains(&row) {
            continue;
        }
        for reading in cut.readings(&row) {
            let mut allowed: Vec<(u32, Bits)> = Vec::new();
            cut.fold(&reading, 0, cut.all_services(), |item, services| {
                let item = &cut.items[item];
                if let (Some(rule), Access::Allow) = (item.rule, item.access) {
                    let is_settled = beyond.get(&rule).is_some_and(|known| known.passes);
                    if !is_settled {
                        allowed.push((rule, services.clone()));
                    }
                }
            });
            for (rule, services) in allowed {
                let known = beyond.entry(rule).or_default();
                let Some(next) = next else {
                    known.passes = true;
                    continue;
                };
                let left = cut.fold(&reading, 1, services, |item, taken| {
                    let number = item;
                    let item = &cut.items[number];
                    match (item.access, item.rule) {
                        (Access::Deny, Some(by)) => {
                            known.denied_by.insert((next, by));
                            // What may deny or not is no denial; what stands behind it tells.
                            if known.witness.is_none() && cut.takes(number, &reading) {
                                known.witness = Some((cut.packet(place, taken), next, by));
                            }
                        }
                        _ => known.passes = true,
                    }
                });
                known.passes |= !left.is_empty();
            }
        }
        seen.insert(row);
    }
}
