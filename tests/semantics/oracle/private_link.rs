//! Private Link services: from a private endpoint to the provider's load balancer, and back (PLS).

use std::net::IpAddr;

use nsgsim::model::flow::Packet;
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{PrivateEndpointIndex, VnetIndex};
use nsgsim::model::rule::Direction;
use nsgsim::model::services::PrivateLinkService;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Interface, Reason, RouteEnd};

use super::arrival::placed;
use super::balancer::{FrontendAt, Side};
use super::journey::{End, Stop, Walk, deny};
use super::rules::Seen;
use super::space::View;
use super::timer::PRIVATE_LINK_MIN;

impl Walk<'_> {
    /// PLS-1: a packet that a private endpoint hands over to this service.
    pub(crate) fn hand_to_private_link(
        &mut self,
        endpoint: PrivateEndpointIndex,
        service: &ResourceId,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        let mut services = self.view.network.private_link_services.iter();
        let Some(at) = services.find(|known| known.id == *service) else {
            self.missing_must_allow(service)?;
            return Ok(self.allowed());
        };
        let tuple = &seen.tuple;
        if !tuple.protocol.has_ports() || !tuple.destination.is_ipv4() {
            let (interface, direction) = (Interface::Endpoint(endpoint), Direction::Inbound);
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        // STATE-15: whatever is behind it.
        self.translated(PRIVATE_LINK_MIN);
        let source = self.nat_address(at)?;
        self.translation.source = source;
        let find = |id: &ResourceId| self.view.find_frontend(|frontend| frontend.id == *id);
        let frontends: Option<Vec<FrontendAt>> = at.frontends.iter().map(find).collect();
        let frontends = frontends.filter(|frontends| !frontends.is_empty());
        let (Some(source), Some(frontends)) = (source, frontends) else {
            self.missing_must_allow(service)?;
            return Ok(self.allowed());
        };
        self.begin_leg(Some((source, seen.tuple.source_port)));
        self.through_private_link = true;
        self.at_frontends(&frontends, source, packet, seen)
    }

    /// At the provider's frontends: the backends of all of them, one frontend after the other.
    fn at_frontends(
        &mut self,
        frontends: &[FrontendAt],
        source: IpAddr,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        let view = self.view;
        let at = |frontend: FrontendAt| {
            let mut seen = *seen;
            seen.tuple.source = source;
            let called = view.frontend_address(view.frontend(frontend));
            seen.tuple.destination = called.unwrap_or(seen.tuple.destination);
            seen
        };
        let mut ways = Vec::new();
        let mut refusals = Vec::new();
        for frontend in frontends {
            match self.ways_from(*frontend, packet, &at(*frontend))? {
                Ok(more) => ways.extend(more),
                Err(fault) => refusals.push(Reason::LoadBalancer { balancer: frontend.balancer, fault }),
            }
        }
        if ways.is_empty() {
            return deny(refusals[0]);
        }
        self.through(&ways, |walk, way| walk.at_backend(way, Side::Internal, packet, &at(way.frontend)))
    }

    /// The source that the service gives to a packet; of several, Azure picks one. `None` where none is known.
    fn nat_address(&self, service: &PrivateLinkService) -> Result<Option<IpAddr>, Stop> {
        let Some((last, others)) = service.nat_addresses.split_last() else { return Ok(None) };
        for address in others {
            let question = Unknown::TranslatedSourceIs { service: service.id.clone(), address: *address };
            if self.view.world.ask(question)? {
                return Ok(Some(*address));
            }
        }
        Ok(Some(*last))
    }

    /// A packet to a NAT address: only answers to what came through the service arrive.
    pub(crate) fn at_nat_address(&mut self) -> Result<End, Stop> {
        self.leg_ends_outside();
        if self.topology_only {
            return Ok(self.allowed());
        }
        if self.answers_private_link { Ok(self.allowed()) } else { deny(Reason::Route(RouteEnd::NoEndpoint)) }
    }
}

impl View<'_> {
    /// A Private Link service has this NAT address in the network, or in one that is not known.
    pub(crate) fn nat_address_in(&self, vnet: VnetIndex, address: IpAddr) -> bool {
        self.network.private_link_services.iter().any(|service| {
            let elsewhere =
                placed(service.subnet.as_ref()).is_some_and(|subnet| self.vnet_of(subnet) != vnet);
            service.nat_addresses.contains(&address) && !elsewhere
        })
    }
}
