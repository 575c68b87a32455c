//! What comes from outside: to public addresses, or to private ones behind a translation that was made already (PIP,
//! EVAL-11).

use std::net::IpAddr;

use nsgsim::model::flow::{Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NatGatewayIndex, NicIndex, PublicIpIndex, Reference};
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::routing::NatGateway;
use nsgsim::model::rule::{Access, Direction};
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{Interface, PlatformService, Reason, RouteEnd, StepAnswer};

use super::backend::Configuration;
use super::balancer::Side;
use super::filter::{Door, Gate};
use super::journey::{End, Stop, Walk, deny, quoting};
use super::platform::answers_for_address;
use super::rules::Seen;
use super::service::Client;
use super::space::{View, holds, is_public};
use super::state::Entrance;

impl Walk<'_> {
    pub(crate) fn public_ip(&self, address: IpAddr) -> Option<PublicIpIndex> {
        let mut public_ips = self.view.network.public_ips.iter();
        public_ips.position(|public_ip| public_ip.address == Some(address)).map(PublicIpIndex::new)
    }

    /// Through a public address of the inventory (PIP-1, PIP-3, PIP-4).
    pub(crate) fn enter(
        &mut self,
        public_ip: PublicIpIndex,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<End, Stop> {
        let network = self.view.network;
        let is_it = |reference: &Option<Reference<PublicIpIndex>>| {
            reference.as_ref().and_then(Reference::here) == Some(public_ip)
        };
        for (position, nic) in network.nics.iter().enumerate() {
            let Some(own) = nic.ip_configurations.iter().find(|own| is_it(&own.public_ip)) else { continue };
            let Some(private) = own.address else {
                self.missing_must_allow(&own.id)?;
                return Ok(self.allowed());
            };
            let port = seen.tuple.destination_port.number();
            self.translation.destination = Some((private, port));
            let packet = quoting(packet, seen.tuple.destination, private);
            let mut seen = *seen;
            seen.tuple.destination = private;
            self.must_be_mapped(seen.tuple.protocol)?;
            self.translated_inwards(public_ip, seen.tuple.protocol);
            let door = Door::public_ip(network, public_ip);
            return self.arrive(NicIndex::new(position), &packet, &seen, &door);
        }
        let nat = |gateway: &NatGateway| gateway.public_ips.iter().any(|used| used.here() == Some(public_ip));
        if let Some(position) = network.nat_gateways.iter().position(nat) {
            return deny(Reason::NatGateway(NatGatewayIndex::new(position)));
        }
        if let Some(frontend) = self.view.find_frontend(|frontend| is_it(&frontend.public_ip)) {
            return self.at_frontend(frontend, Side::Public(public_ip), packet, seen);
        }
        let bastion =
            network.bastions.iter().find(|bastion| is_it(&bastion.public_ip)).map(|bastion| &bastion.id);
        if let Some(user) = network.public_ips[public_ip.get()].user.as_ref().or(bastion) {
            self.must_let_through(Feature::ServicePublicIp, Some(user))?;
            return Ok(self.allowed());
        }
        deny(Reason::Route(RouteEnd::NoPublicIp))
    }

    /// From outside: to a public address, or to a private one that stands behind a translation already seen.
    pub(crate) fn start_on_internet(&mut self, packet: &Packet) -> Result<End, Stop> {
        let to = packet.five_tuple.destination;
        let seen = Seen::of(packet);
        if let Some(public_ip) = self.public_ip(to) {
            return self.enter(public_ip, packet, &seen);
        }
        if let Some(end) = self.at_private_address(packet, &seen, true)? {
            return Ok(end);
        }
        if self.view.network.vnets.iter().any(|vnet| holds(&vnet.address_space, to)) {
            return self.nobody(to);
        }
        if self.target.is_some() {
            let client = Client::Public { source: Some(packet.five_tuple.source), from: None };
            return self.at_service(client, &seen);
        }
        deny(Reason::Route(RouteEnd::NoPublicIp))
    }

    /// PLAT-6, PLAT-7: from the platform to a private address.
    pub(crate) fn start_at_platform(&mut self, packet: &Packet) -> Result<End, Stop> {
        let seen = Seen::of(packet);
        match self.at_private_address(packet, &seen, false)? {
            Some(end) => Ok(end),
            None => self.nobody(packet.five_tuple.destination),
        }
    }

    /// From outside, at whoever has this private address; `None` where nobody has it.
    fn at_private_address(
        &mut self,
        packet: &Packet,
        seen: &Seen,
        from_internet: bool,
    ) -> Result<Option<End>, Stop> {
        let to = seen.tuple.destination;
        let holders = self.view.configurations(|own| own.address == Some(to));
        if let Some(holder) = holders.first().filter(|_| !from_internet && answers_for_address(&seen.tuple)) {
            // PLAT-5.
            let (interface, direction) = (Interface::Nic(holder.nic), Direction::Inbound);
            let answer = StepAnswer::PlatformRule(PlatformService::Dhcp);
            self.step(interface, direction, answer, Access::Allow, seen);
            return Ok(Some(self.allowed()));
        }
        if !holders.is_empty() {
            return Ok(Some(self.behind_translation(&holders, packet, seen, from_internet)?));
        }
        let only_inside = from_internet && self.view.is_frontend_endpoint_or_nat_address(to);
        if only_inside {
            // TOP-1: what is in the network alone is not reachable from the internet.
            return deny(Reason::Route(RouteEnd::NoPublicIp));
        }
        if let Some(frontend) = self.view.find_frontend(|frontend| frontend.address == Some(to)) {
            return Ok(Some(self.at_frontend(frontend, Side::Internal, packet, seen)?));
        }
        if let Some(endpoint) = self.view.endpoint_at(to, |_| true) {
            return Ok(Some(self.arrive_at_endpoint(endpoint, packet, seen)?));
        }
        if self.view.network.private_link_services.iter().any(|service| service.nat_addresses.contains(&to)) {
            return Ok(Some(self.at_nat_address()?));
        }
        Ok(None)
    }

    /// The private address is known already; several networks may hold it (TOP-5).
    fn behind_translation(
        &mut self,
        holders: &[Configuration],
        packet: &Packet,
        seen: &Seen,
        from_internet: bool,
    ) -> Result<End, Stop> {
        let mut ends = Vec::new();
        for holder in holders {
            let mut walk = self.clone();
            let arrived = if !from_internet {
                walk.arrive(holder.nic, packet, seen, &Door::inside())
            } else if let Some(door) = walk.door_behind(*holder, packet) {
                walk.arrive(holder.nic, packet, seen, &door)
            } else {
                deny(Reason::Route(RouteEnd::NoPublicIp))
            };
            let end = match arrived {
                Ok(end) | Err(Stop::End(end)) => end,
                Err(Stop::Ask(question)) => return Err(Stop::Ask(question)),
            };
            ends.push((end, walk));
        }
        let first = ends[0].0.allows();
        let wanted = if ends.iter().all(|(end, _)| end.allows() == first) {
            first
        } else {
            self.view.world.ask(Unknown::AmbiguousPlace { address: seen.tuple.destination })?
        };
        let (end, walk) =
            ends.into_iter().find(|(end, _)| end.allows() == wanted).expect("one of them is wanted");
        *self = walk;
        Ok(end)
    }

    /// What a packet from the internet came in by before it was seen behind the translation: the public address of the
    /// configuration, or else the public frontends that lead to it.
    /// Without either nothing brings it there (TOP-1, PIP-3).
    fn door_behind(&mut self, holder: Configuration, packet: &Packet) -> Option<Door> {
        let network = self.view.network;
        // EVAL-11: only what comes from the internet comes through a public address.
        let from_public = is_public(packet.five_tuple.source);
        match &self.view.configuration(holder).public_ip {
            Some(Reference::Here(public_ip)) if from_public => {
                self.translated_inwards(*public_ip, packet.five_tuple.protocol);
                return Some(Door::public_ip(network, *public_ip));
            }
            Some(_) => return Some(Door::inside()),
            None => {}
        }
        let public_ips = self.view.public_frontends_of(holder);
        if public_ips.is_empty() {
            return None;
        }
        if !from_public {
            return Some(Door::inside());
        }
        let entrance = Entrance::Frontend { public: true, address: None, port: Port::NotGiven };
        Some(Door { entrance, gate: self.gate_of_frontends(&public_ips) })
    }

    /// EVAL-11 where any of several public addresses may be the one.
    fn gate_of_frontends(&self, public_ips: &[&Reference<PublicIpIndex>]) -> Gate {
        let network = self.view.network;
        let sku = |public_ip: &&Reference<PublicIpIndex>| {
            public_ip.here().and_then(|public_ip| network.public_ips[public_ip.get()].sku)
        };
        let id = |public_ip: &Reference<PublicIpIndex>| -> ResourceId {
            match public_ip {
                Reference::Here(public_ip) => network.public_ips[public_ip.get()].id.clone(),
                Reference::Missing(id) => id.clone(),
            }
        };
        let first = public_ips[0];
        let all = |wanted| public_ips.iter().all(|public_ip| sku(public_ip) == Some(wanted));
        match first {
            Reference::Here(public_ip) if all(PublicIpSku::Standard) => Gate::Of(*public_ip),
            _ if all(PublicIpSku::Basic) => Gate::Open,
            _ => Gate::Unknown(id(public_ips
                .iter()
                .find(|public_ip| sku(public_ip).is_none())
                .unwrap_or(&first))),
        }
    }
}

impl View<'_> {
    /// Whether the address is one of the network that no public address leads to by itself.
    fn is_frontend_endpoint_or_nat_address(&self, address: IpAddr) -> bool {
        let services = &self.network.private_link_services;
        self.find_frontend(|frontend| frontend.address == Some(address)).is_some()
            || self.endpoint_at(address, |_| true).is_some()
            || services.iter().any(|service| service.nat_addresses.contains(&address))
    }
}
