//! Whether replies take the same interfaces in reverse (ROUTE-20).
//!
//! What sends a packet on from an address of its own gets the reply itself, so a way is looked at leg by leg: from one
//! such sender to the next, each leg with the reply that its receiver would send.

use std::net::IpAddr;

use super::ends::Ends;
use super::journey::{End, Journey, Stage};
use super::plan::is_host_service;
use crate::compile::balancers::Takes;
use crate::compile::network::CompiledNetwork;
use crate::compile::peerings::gateways_of;
use crate::model::flow::{FiveTuple, Origin};
use crate::model::index::{Reference, SubnetIndex, VnetIndex};
use crate::model::rule::Direction;
use crate::model::verdict::{Interface, NextHopKind, Reason, RouteEnd, Step, StepAnswer};

/// A part of a way on which the packet keeps its source.
#[derive(Clone, Debug)]
struct Leg {
    /// The interfaces that it passes, in order, private endpoints aside.
    interfaces: Vec<Interface>,
    /// Its source, where it is known.
    source: Option<IpAddr>,
    /// Its destination as the receiver has it.
    destination: IpAddr,
    end: LegEnd,
}

/// Where a leg ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LegEnd {
    /// At a receiver in the network.
    Inside,
    /// At a private endpoint.
    Endpoint,
    /// Out by the gateway that this network uses.
    Gateway(VnetIndex),
    /// Out to the internet, a service, the platform, or the far side of a Private Link service: no interfaces are there.
    Outside,
}

/// A whole way, leg by leg.
struct Legs {
    legs: Vec<Leg>,
    end: End,
}

/// Whether replies to packets on this journey take other interfaces, or get lost; nothing where that hangs on something
/// open, or on which member a load balancer picks. The steps are those of the packet that took it.
pub(super) fn are_asymmetric(
    compiled: &CompiledNetwork,
    journey: &Journey,
    tuple: &FiveTuple,
    steps: &[Step],
) -> Option<bool> {
    let legs = legs(compiled, journey, tuple)?.legs;
    let exempt = |step: &Step| {
        step.direction == Direction::Outbound && matches!(step.answer, StepAnswer::PlatformRule(_))
    };
    if steps.last().is_some_and(exempt) {
        // The platform takes it from its first interface, wherever routes would lead.
        return legs.first()?.interfaces.first().map(|_| false);
    }
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
    let origin = match leg.end {
        // The reply comes back to the sender's own address. Where it was forwarded, no clause says where to.
        LegEnd::Outside => return (leg.interfaces.len() == 1).then_some(false),
        // Of several gateways nobody knows by which it comes back.
        LegEnd::Gateway(vnet) => match gateways_of(&compiled.network, vnet)[..] {
            [only] => Origin::OnPremises(only),
            _ => return None,
        },
        LegEnd::Endpoint => Origin::Unlisted(endpoint_subnet(compiled, leg.destination)?),
        LegEnd::Inside => receiver(leg)?,
    };
    let source = leg.source?;
    let reply = FiveTuple { source: leg.destination, destination: source, ..tuple.reversed() };
    let back = Journey::between(compiled, Ends::from(origin), reply.source, reply.destination);
    let Legs { legs, end } = legs(compiled, &back, &reply)?;
    let mut passed: Vec<Interface> = Vec::new();
    let mut arrives = matches!(end, End::Arrives);
    for back in legs {
        passed.extend(back.interfaces);
        if back.end != LegEnd::Inside {
            arrives = true;
            break;
        }
    }
    // Nobody lists the sender, but it is there.
    if let (End::Lost(Reason::Route(RouteEnd::NoEndpoint)), Some(sender @ Interface::Unlisted(_))) =
        (end, leg.interfaces.first())
        && !arrives
    {
        passed.push(*sender);
        arrives = true;
    }
    passed.dedup();
    Some(!arrives || !passed.iter().eq(leg.interfaces.iter().rev()))
}

/// Where the receiver of a leg sends its reply from.
fn receiver(leg: &Leg) -> Option<Origin> {
    match leg.interfaces.last()? {
        Interface::Nic(nic) => Some(Origin::Nic(*nic)),
        Interface::Unlisted(subnet) => Some(Origin::Unlisted(*subnet)),
        Interface::Endpoint(_) | Interface::Service(_) => None,
    }
}

/// The subnet of the private endpoint with this address.
fn endpoint_subnet(compiled: &CompiledNetwork, address: IpAddr) -> Option<SubnetIndex> {
    let endpoints = &compiled.network.private_endpoints;
    let endpoint = endpoints.iter().find(|endpoint| endpoint.addresses.contains(&address))?;
    endpoint.subnet.as_ref().and_then(Reference::here)
}

/// The network that an interface of the inventory stands in.
fn vnet_of(compiled: &CompiledNetwork, interface: Interface) -> Option<VnetIndex> {
    let network = &compiled.network;
    let subnet = match interface {
        Interface::Nic(nic) => network.subnet_of(nic)?,
        Interface::Unlisted(subnet) => subnet,
        Interface::Endpoint(_) | Interface::Service(_) => return None,
    };
    Some(network.subnets[subnet.get()].vnet)
}

/// The legs of a way; nothing where it is open which way a packet takes.
fn legs(compiled: &CompiledNetwork, journey: &Journey, tuple: &FiveTuple) -> Option<Legs> {
    let mut legs = Vec::new();
    let destination = tuple.destination;
    let start = |source| Leg { interfaces: Vec::new(), source, destination, end: LegEnd::Inside };
    let mut leg = start(Some(tuple.source));
    if is_host_service(tuple.destination) {
        leg.end = LegEnd::Outside;
    }
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
            Stage::Route(route) => match route.next_hop {
                NextHopKind::VirtualNetworkGateway => {
                    leg.end = LegEnd::Gateway(vnet_of(compiled, route.interface)?);
                }
                NextHopKind::VirtualNetworkServiceEndpoint => leg.end = LegEnd::Outside,
                _ => {}
            },
            Stage::SentFrom(address) => legs.push(std::mem::replace(&mut leg, start(Some(*address)))),
            Stage::PrivateLink(link) => {
                let source = match link.addresses.as_slice() {
                    [only] => Some(*only),
                    _ => None,
                };
                leg.end = LegEnd::Endpoint;
                legs.push(std::mem::replace(&mut leg, start(source)));
            }
            Stage::DeliveredToConsumer => leg.end = LegEnd::Outside,
            Stage::Exit(exit) => {
                leg.end = LegEnd::Outside;
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
            Stage::Start(_) | Stage::Note(_) | Stage::Service(_) | Stage::CameIn(..) => {}
        }
    }
    if matches!((leg.end, journey.end), (LegEnd::Gateway(_), End::Lost(_))) {
        // There is no gateway to leave by.
        leg.end = LegEnd::Inside;
    }
    // Whether an endpoint's connection is approved says nothing about the way to it.
    let is_there = matches!(journey.end, End::Arrives | End::Lost(Reason::PrivateEndpointState { .. }));
    if leg.end == LegEnd::Inside && is_there && endpoint_subnet(compiled, leg.destination).is_some() {
        leg.end = LegEnd::Endpoint;
    }
    legs.push(leg);
    Some(Legs { legs, end: journey.end })
}
