//! Load balancers: the rule that takes a packet, the backends that may get it, and what becomes of it there (LB).

use std::net::IpAddr;

use nsgsim::model::assumptions::{FloatingDestination, InternalBalancer};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, PublicIpIndex, Reference, VnetIndex};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{Frontend, InboundNatRule, LoadBalancer, LoadBalancingRule};
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{BackendAnswer, BalancerFault, Interface, Reason};

use super::appliance::Via;
use super::arrival::placed;
use super::backend::Backend;
use super::filter::{Door, Gate};
use super::journey::{End, Stop, Walk, deny, quoting};
use super::rules::Seen;
use super::space::{PLATFORM, View};
use super::state::{Entrance, keep_all};

/// At most so many ways through load balancers are tried for one packet.
const MOST_WAYS: usize = 4096;

/// A frontend by its place.
#[derive(Clone, Copy)]
pub(crate) struct FrontendAt {
    pub(crate) balancer: LoadBalancerIndex,
    pub(crate) position: usize,
}

/// From which side packets come to a frontend.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Internal,
    Public(PublicIpIndex),
}

/// What the rule that takes a packet says.
struct Target<'a> {
    backends: Vec<Backend>,
    /// The port at the backend, where it is another.
    port: Option<u16>,
    /// LB-5.
    floating: bool,
    probe: Option<&'a ResourceId>,
    /// As it is set (STATE-15).
    idle_timeout_min: Option<u32>,
}

/// One backend that may get the packet.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) frontend: FrontendAt,
    backend: Backend,
    port: Option<u16>,
    floating: bool,
    idle_timeout_min: Option<u32>,
}

impl Way {
    /// LB-2, LB-5: the packet as this backend gets it.
    fn rewrite(&self, to: IpAddr, tuple: FiveTuple) -> FiveTuple {
        let destination = if self.floating { tuple.destination } else { to };
        let destination_port = self.port.map_or(tuple.destination_port, Port::Number);
        FiveTuple { destination, destination_port, ..tuple }
    }
}

impl<'a> Walk<'a> {
    /// A packet to a frontend.
    pub(crate) fn at_frontend(
        &mut self,
        frontend: FrontendAt,
        side: Side,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        match self.ways_from(frontend, packet, seen)? {
            Ok(ways) => self.through(&ways, |walk, way| walk.at_backend(way, side, packet, seen)),
            Err(fault) => deny(Reason::LoadBalancer { balancer: frontend.balancer, fault }),
        }
    }

    /// LB-12: an internal frontend as next hop. The packet keeps its addresses and ports.
    pub(crate) fn at_next_hop_frontend(
        &mut self,
        frontend: FrontendAt,
        via: &Via,
        packet: &Packet,
    ) -> Result<End, Stop> {
        let seen = Seen::of(packet);
        let Some(target) = self.target(frontend, &seen.tuple)? else {
            let fault = BalancerFault::NoRule;
            return deny(Reason::LoadBalancer { balancer: frontend.balancer, fault });
        };
        let mut ways = Vec::new();
        for backend in target.backends {
            let way = Way { frontend, backend, port: None, floating: true, idle_timeout_min: None };
            if self.gets_packets(&way, target.probe, packet, &seen.tuple)? {
                ways.push(way);
            }
        }
        if ways.is_empty() {
            let fault = BalancerFault::NoHealthyBackend;
            return deny(Reason::LoadBalancer { balancer: frontend.balancer, fault });
        }
        self.through(&ways, |walk, way| match &way.backend {
            Backend::Here(at, _) => walk.at_next_hop(at.nic, via, packet),
            Backend::Missing(id, _) => {
                walk.missing_must_allow(id)?;
                Ok(walk.allowed())
            }
        })
    }

    /// The backends that may get a packet to a frontend, or why none may.
    pub(crate) fn ways_from(
        &mut self,
        frontend: FrontendAt,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<Result<Vec<Way>, BalancerFault>, Stop> {
        let Some(target) = self.target(frontend, &seen.tuple)? else {
            return Ok(Err(BalancerFault::NoRule));
        };
        let Target { mut backends, port, floating, probe, idle_timeout_min } = target;
        // TOP-9: no translation between families.
        let ipv4 = seen.tuple.destination.is_ipv4();
        backends.retain(|backend| backend.address().is_none_or(|address| address.is_ipv4() == ipv4));
        let mut ways = Vec::new();
        for backend in backends {
            let address = backend.address();
            let way = Way { frontend, backend, port, floating, idle_timeout_min };
            let tuple = address.map_or(seen.tuple, |address| way.rewrite(address, seen.tuple));
            if self.gets_packets(&way, probe, packet, &tuple)? {
                ways.push(way);
            }
        }
        Ok(if ways.is_empty() { Err(BalancerFault::NoHealthyBackend) } else { Ok(ways) })
    }

    /// LB-1: the rule that takes a packet: inbound NAT rules first, then load-balancing rules, each in their order.
    fn target(&mut self, at: FrontendAt, tuple: &FiveTuple) -> Result<Option<Target<'a>>, Stop> {
        let view = self.view;
        let (balancer, frontend) = (view.balancer(at), view.frontend(at));
        let reach = view.reach_of(frontend);
        let keeps = view.assumptions.lb_5 == FloatingDestination::Frontend;
        for rule in &balancer.nat_rules {
            if rule.frontend.as_ref() != Some(&frontend.id) || !nat_rule_takes(rule, tuple) {
                continue;
            }
            let backends = view.nat_targets(balancer, rule, reach);
            if !backends.is_empty() {
                let port = Some(rule.backend_port).filter(|port| *port != 0);
                return Ok(Some(Target {
                    backends,
                    port,
                    floating: rule.floating_ip && keeps,
                    probe: None,
                    idle_timeout_min: rule.idle_timeout_min,
                }));
            }
        }
        for rule in &balancer.rules {
            if rule.frontend.as_ref() != Some(&frontend.id) || !self.takes(rule, tuple)? {
                continue;
            }
            let port = Some(rule.backend_port).filter(|port| *port != 0 && !has_all_ports(rule));
            return Ok(Some(Target {
                backends: view.pool_members(balancer, &rule.pools, reach),
                port,
                floating: rule.floating_ip && keeps,
                probe: rule.probe.as_ref(),
                idle_timeout_min: rule.idle_timeout_min,
            }));
        }
        Ok(None)
    }

    fn takes(&mut self, rule: &LoadBalancingRule, tuple: &FiveTuple) -> Result<bool, Stop> {
        if !has_all_ports(rule) {
            let port = tuple.destination_port == Port::Number(rule.frontend_port);
            return Ok(port && carries(rule.protocol, tuple.protocol));
        }
        if !tuple.protocol.has_ports() {
            // No clause says whether all ports stand for protocols without any.
            self.must_let_through(Feature::UnmappedProtocol, None)?;
        }
        Ok(true)
    }

    /// LB-7: new flows go to backends that answer their probe; to others, open flows alone, and of a Standard load
    /// balancer only. `tuple` is the packet as the backend would see it.
    fn gets_packets(
        &mut self,
        way: &Way,
        probe: Option<&ResourceId>,
        packet: &Packet,
        tuple: &FiveTuple,
    ) -> Result<bool, Stop> {
        let (Some(probe), Backend::Here(at, address)) = (probe, &way.backend) else { return Ok(true) };
        if self.topology_only {
            return Ok(true);
        }
        let interface = Interface::Nic(at.nic);
        if self.answers_probe(interface, *address, way.frontend, probe)? {
            return Ok(true);
        }
        let seen = Seen { tuple: *tuple, source_is_hidden: false };
        let packet = &quoting(packet, packet.five_tuple.destination, tuple.destination);
        Ok(self.view.balancer(way.frontend).standard
            && self.flow_goes_on(interface, Direction::Inbound, packet, &seen)?)
    }

    /// LB-7, PLAT-6: the backend's own filters let the probe in.
    fn answers_probe(
        &self,
        interface: Interface,
        address: IpAddr,
        at: FrontendAt,
        probe: &ResourceId,
    ) -> Result<bool, Stop> {
        let balancer = self.view.balancer(at);
        let Some(probe) = balancer.probes.iter().find(|known| known.id == *probe) else {
            return Ok(self.view.world.ask(Unknown::ResourceAllows { resource: probe.clone() })?);
        };
        let from_ipv6: IpAddr = "fe80::1234:5678:9abc".parse().expect("TAG-7 names an address");
        let tuple = FiveTuple {
            source: if address.is_ipv4() { PLATFORM.into() } else { from_ipv6 },
            destination: address,
            protocol: Protocol::TCP,
            source_port: Port::NotGiven,
            destination_port: Port::Number(probe.port),
        };
        let seen = Seen { tuple, source_is_hidden: false };
        // SIM-9: what the filters say to a probe is not listed.
        match self.clone().filters(interface, Direction::Inbound, &seen, &Gate::Open) {
            Ok(()) => Ok(true),
            Err(Stop::End(_)) => Ok(false),
            Err(Stop::Ask(question)) => Err(Stop::Ask(question)),
        }
    }

    /// A packet that a load balancer sends to one of its backends.
    pub(crate) fn at_backend(
        &mut self,
        way: &Way,
        side: Side,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        self.translated_by_rule(way.idle_timeout_min, seen.tuple.protocol);
        let (nic, address) = match &way.backend {
            Backend::Here(at, address) => (at.nic, *address),
            Backend::Missing(id, _) => {
                self.missing_must_allow(id)?;
                return Ok(self.allowed());
            }
        };
        let network = self.view.network;
        let called = (seen.tuple.destination, seen.tuple.destination_port);
        let seen = Seen { tuple: way.rewrite(address, seen.tuple), ..*seen };
        self.translation.destination = Some((seen.tuple.destination, seen.tuple.destination_port.number()));
        // LB-9.
        if matches!(side, Side::Internal) && network.nics[nic.get()].has(seen.tuple.source) {
            let (balancer, fault) = (way.frontend.balancer, BalancerFault::Hairpin);
            return deny(Reason::LoadBalancer { balancer, fault });
        }
        let packet = quoting(packet, called.0, seen.tuple.destination);
        let door = self.door_of_frontend(way.frontend, side, called);
        self.arrive(nic, &packet, &seen, &door)
    }

    /// How a packet comes to a backend: OUT-5 for the flow, EVAL-11 for the gate.
    fn door_of_frontend(&self, at: FrontendAt, side: Side, (address, port): (IpAddr, Port)) -> Door {
        let closed =
            self.view.assumptions.eval_11 == InternalBalancer::Closed && self.view.balancer(at).standard;
        let (public, gate) = match side {
            Side::Internal if closed => (false, Gate::Inside(at.balancer)),
            Side::Internal => (false, Gate::Open),
            Side::Public(public_ip) => (true, Gate::Of(public_ip)),
        };
        let entrance = if self.through_private_link {
            Entrance::PrivateLink
        } else {
            Entrance::Frontend { public, address: Some(address), port }
        };
        Door { entrance, gate }
    }

    /// LB-6: nobody knows which backend is chosen, so each is tried. If they agree, it
    /// fares as at the first.
    pub(crate) fn through(
        &mut self,
        ways: &[Way],
        go: impl Fn(&mut Self, &Way) -> Result<End, Stop>,
    ) -> Result<End, Stop> {
        if let [only] = ways {
            return go(self, only);
        }
        self.ways.set(self.ways.get() + ways.len() - 1);
        if self.ways.get() > MOST_WAYS {
            return Err(Stop::End(End::TooManyWays));
        }
        self.leg_is_picked();
        let legs = self.legs.clone();
        let mut tried: Vec<(End, Self)> = Vec::new();
        for way in ways {
            let mut walk = self.clone();
            match go(&mut walk, way) {
                Err(Stop::Ask(question)) => return Err(Stop::Ask(question)),
                Ok(End::TooManyWays) | Err(Stop::End(End::TooManyWays)) => {
                    return Err(Stop::End(End::TooManyWays));
                }
                Ok(end) | Err(Stop::End(end)) => tried.push((end, walk)),
            }
        }
        let backends = ways.iter().zip(&tried).map(|(way, (end, _))| BackendAnswer {
            balancer: way.frontend.balancer,
            nic: way.backend.nic(),
            address: way.backend.address(),
            verdict: end.verdict(),
        });
        let backends = backends.collect();
        let records = keep_all(&self.records, tried.iter().map(|(_, walk)| &walk.records));
        let notes: Vec<_> = tried.iter().flat_map(|(_, walk)| walk.notes.clone()).collect();
        let agreed = tried.iter().all(|(end, _)| end.allows()) || tried.iter().all(|(end, _)| end.denies());
        let (first, walk) = tried.swap_remove(0);
        let end = if agreed {
            *self = walk;
            first
        } else {
            End::Mixed(ways[0].frontend.balancer)
        };
        for note in notes {
            self.note(note);
        }
        (self.records, self.backends, self.legs) = (records, backends, legs);
        Ok(end)
    }
}

impl<'a> View<'a> {
    pub(crate) fn balancer(&self, at: FrontendAt) -> &'a LoadBalancer {
        &self.network.load_balancers[at.balancer.get()]
    }

    pub(crate) fn frontend(&self, at: FrontendAt) -> &'a Frontend {
        &self.balancer(at).frontends[at.position]
    }

    /// The first frontend of this kind.
    pub(crate) fn find_frontend(&self, is_it: impl Fn(&Frontend) -> bool) -> Option<FrontendAt> {
        self.network.load_balancers.iter().enumerate().find_map(|(balancer, at)| {
            let position = at.frontends.iter().position(&is_it)?;
            Some(FrontendAt { balancer: LoadBalancerIndex::new(balancer), position })
        })
    }

    /// The internal frontend with this address in the network.
    pub(crate) fn frontend_in(&self, vnet: VnetIndex, address: IpAddr) -> Option<FrontendAt> {
        self.find_frontend(|frontend| {
            let at = placed(frontend.subnet.as_ref());
            frontend.address == Some(address) && at.is_some_and(|subnet| self.vnet_of(subnet) == vnet)
        })
    }

    /// What is missing to know the network of an internal frontend with this address.
    pub(crate) fn unplaced_frontend(&self, address: IpAddr) -> Option<&'a ResourceId> {
        let at = self.find_frontend(|frontend| {
            frontend.address == Some(address) && placed(frontend.subnet.as_ref()).is_none()
        })?;
        Some(match &self.frontend(at).subnet {
            Some(Reference::Missing(id)) => id,
            _ => &self.balancer(at).id,
        })
    }
}

fn has_all_ports(rule: &LoadBalancingRule) -> bool {
    rule.protocol.is_none() && rule.frontend_port == 0
}

/// Whether a rule for this protocol, `None` for all, carries a packet: all are TCP and UDP.
pub(crate) fn carries(rule: Option<Protocol>, packet: Protocol) -> bool {
    rule.map_or(packet.has_ports(), |protocol| protocol == packet)
}

fn nat_rule_takes(rule: &InboundNatRule, tuple: &FiveTuple) -> bool {
    let Port::Number(port) = tuple.destination_port else { return false };
    carries(rule.protocol, tuple.protocol) && rule.frontend_ports.is_some_and(|ports| ports.contains(port))
}
