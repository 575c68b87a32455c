//! Whether replies take the same interfaces in reverse (ROUTE-20).
//!
//! What sends a packet on from an address of its own gets the reply itself, so a way is looked at leg by leg: from one
//! such sender to the next, each leg with the reply that its receiver would send.

use std::net::IpAddr;

use super::ends::Ends;
use super::journey::{End, Journey, Stage};
use crate::compile::balancers::Takes;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Origin};
use crate::model::index::{Reference, SubnetIndex};
use crate::model::verdict::Interface;

/// A part of a way on which the packet keeps its source.
#[derive(Clone, Debug)]
struct Leg {
    /// The interfaces that it passes, in order, private endpoints aside.
    interfaces: Vec<Interface>,
    /// Its source, where it is known.
    source: Option<IpAddr>,
    /// Its destination as the receiver has it.
    destination: IpAddr,
    /// It ends with the packet on the internet.
    leaves: bool,
}

/// Whether replies to packets on this journey take other interfaces, or get lost; nothing where that hangs on something
/// open, or on which member a load balancer picks.
pub(super) fn are_asymmetric(
    compiled: &CompiledNetwork,
    journey: &Journey,
    tuple: &FiveTuple,
) -> Option<bool> {
    let legs = legs(compiled, journey, tuple)?;
    let mut told = None;
    let mut open = false;
    for leg in legs.iter().filter(|leg| !leg.interfaces.is_empty()) {
        match is_asymmetric(compiled, leg, tuple) {
            Some(true) => return Some(true),
            Some(false) => told = Some(false),
            None => open = true,
        }
    }
    told.filter(|_| !open)
}

fn is_asymmetric(compiled: &CompiledNetwork, leg: &Leg, tuple: &FiveTuple) -> Option<bool> {
    if leg.leaves {
        // The reply comes back to the sender's own address. Where it was forwarded, no clause says where to.
        return (leg.interfaces.len() == 1).then_some(false);
    }
    let source = leg.source?;
    let origin = match endpoint_subnet(compiled, leg.destination) {
        Some(subnet) => Origin::Unlisted(subnet),
        None => match leg.interfaces.last()? {
            Interface::Nic(nic) => Origin::Nic(*nic),
            Interface::Unlisted(subnet) => Origin::Unlisted(*subnet),
            Interface::Endpoint(_) | Interface::Service(_) => return None,
        },
    };
    let reply = FiveTuple { source: leg.destination, destination: source, ..tuple.reversed() };
    let back = Journey::between(compiled, Ends::from(origin), reply.source, reply.destination);
    let mut passed = Vec::new();
    let mut lost = false;
    for leg in legs(compiled, &back, &reply)? {
        passed.extend(leg.interfaces);
        if leg.leaves {
            break;
        }
        lost = matches!(back.end, End::Lost(_));
    }
    passed.dedup();
    let same = passed.iter().eq(leg.interfaces.iter().rev());
    Some(lost || !same)
}

/// The subnet of the private endpoint with this address.
fn endpoint_subnet(compiled: &CompiledNetwork, address: IpAddr) -> Option<SubnetIndex> {
    let endpoints = &compiled.network.private_endpoints;
    let endpoint = endpoints.iter().find(|endpoint| endpoint.addresses.contains(&address))?;
    endpoint.subnet.as_ref().and_then(Reference::here)
}

/// The legs of a way; nothing where it is open which way a packet takes.
fn legs(compiled: &CompiledNetwork, journey: &Journey, tuple: &FiveTuple) -> Option<Vec<Leg>> {
    let start =
        |source| Leg { interfaces: Vec::new(), source, destination: tuple.destination, leaves: false };
    let mut legs = Vec::new();
    let mut leg = start(Some(tuple.source));
    let mut journey = journey;
    let mut next = journey.stages.iter();
    while let Some(stage) = next.next() {
        match stage {
            Stage::Filter(filter) => {
                let endpoint = matches!(filter.interface, Interface::Endpoint(_));
                if !endpoint && leg.interfaces.last() != Some(&filter.interface) {
                    leg.interfaces.push(filter.interface);
                }
            }
            Stage::SentFrom(address) => legs.push(std::mem::replace(&mut leg, start(Some(*address)))),
            Stage::PrivateLink(link) => {
                let source = match link.addresses.as_slice() {
                    [only] => Some(*only),
                    _ => None,
                };
                legs.push(std::mem::replace(&mut leg, start(source)));
            }
            Stage::Exit(exit) => {
                leg.leaves = true;
                legs.push(std::mem::replace(&mut leg, start(exit.source)));
            }
            Stage::Mapped { private, .. } => leg.destination = *private,
            Stage::Balance(balance) => {
                let [at] = balance.frontends.as_slice() else { return None };
                let rules = compiled.balancers.rules(at.place);
                let takes =
                    |port| rules.iter().position(|rule| rule.takes(tuple.protocol, port) != Takes::No);
                let number = takes(tuple.destination_port)?;
                let ([way], [member]) = (at.ways[number].as_slice(), rules[number].members.as_slice()) else {
                    return None;
                };
                if !balance.as_next_hop {
                    let own = at.address.filter(|_| rules[number].floating_ip).or(member.address());
                    leg.destination = own?;
                }
                journey = &way.onward;
                next = journey.stages.iter();
            }
            Stage::OnlyIf(..) | Stage::DeliveredIf(_) | Stage::ElsewhereIf(..) | Stage::BranchIf(..) => {
                return None;
            }
            Stage::Start(_)
            | Stage::Route(_)
            | Stage::Note(_)
            | Stage::Service(_)
            | Stage::CameIn(..)
            | Stage::DeliveredToConsumer => {}
        }
    }
    legs.push(leg);
    Some(legs)
}
