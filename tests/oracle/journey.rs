//! One packet's way through the network in one world (EVAL-12).

use std::collections::BTreeSet;
use std::net::IpAddr;

use nsgsim::model::flow::{Fragment, Icmp, Origin, Packet};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{
    GatewayIndex, NatGatewayIndex, NicIndex, PublicIpIndex, Reference, ServiceAccountIndex, SubnetIndex,
    VnetIndex,
};
use nsgsim::model::network::{IpConfiguration, Nic, PublicIpSku};
use nsgsim::model::routing::{ConnectionRemote, NatGateway};
use nsgsim::model::rule::{Access, Direction, Protocol};
use nsgsim::model::services::Frontend;
use nsgsim::model::verdict::{
    Feature, Interface, Note, PlatformService, Reason, RouteEnd, RouteStep, Snat, Step, StepAnswer,
    Translation, Unknown, UserRoute,
};

use super::filter::CameIn;
use super::platform::{answers_for_address, asks_for_address, is_unsupported, needs_no_route};
use super::route::{Candidate, Hop};
use super::rules::Seen;
use super::service::Client;
use super::space::{View, holds, is_public};
use super::state::{Records, Slot};
use super::world::Asked;

/// How a packet ended in one world.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Allow(Reason),
    /// Denied; `None` where what denied it is not in the inventory.
    Deny(Option<Reason>),
}

/// Why the walk does not go on.
pub(crate) enum Stop {
    End(End),
    Ask(Unknown),
}

impl From<Unknown> for Stop {
    fn from(question: Unknown) -> Self {
        Self::Ask(question)
    }
}

/// Stops the walk with a denial.
pub(crate) fn deny<T>(reason: Reason) -> Result<T, Stop> {
    Err(Stop::End(End::Deny(Some(reason))))
}

/// A packet on its way, and what it met so far.
#[derive(Clone)]
pub(crate) struct Walk<'a> {
    pub(crate) view: View<'a>,
    pub(crate) now_ns: u64,
    /// Nobody in the inventory does not mean nobody (design, section 2).
    pub(crate) partial_inventory: bool,
    /// The account or vault that answers at the destination (SVC-1).
    pub(crate) target: Option<ServiceAccountIndex>,
    pub(crate) records: Records,
    /// Where this packet left a record itself.
    pub(crate) own_records: BTreeSet<Slot>,
    pub(crate) steps: Vec<Step>,
    pub(crate) routes: Vec<RouteStep>,
    pub(crate) translation: Translation,
    pub(crate) notes: Vec<Note>,
}

/// Where a packet leaves from.
#[derive(Clone, Copy)]
struct Sender {
    interface: Interface,
    subnet: SubnetIndex,
    /// The flow came in by this public address (OUT-5).
    came_in_by: CameIn,
}

impl<'a> Walk<'a> {
    /// Walks to the end, or to the first open question.
    pub(crate) fn run(&mut self, origin: Origin, packet: &Packet) -> Asked<End> {
        match self.from(origin, packet) {
            Ok(end) | Err(Stop::End(end)) => Ok(end),
            Err(Stop::Ask(question)) => Err(question),
        }
    }

    fn from(&mut self, origin: Origin, packet: &Packet) -> Result<End, Stop> {
        match origin {
            Origin::Nic(nic) => self.start_at_nic(nic, packet),
            Origin::Unlisted(subnet) => self.start_unlisted(subnet, packet),
            Origin::Internet => self.start_on_internet(packet),
            Origin::OnPremises(gateway) => self.start_on_premises(gateway, packet),
            Origin::Platform => self.start_at_platform(packet),
        }
    }

    /// SIM-1: allowed by the last point that was asked.
    pub(crate) fn allowed(&self) -> End {
        End::Allow(match self.steps.last() {
            None => Reason::NoSecurityGroup,
            Some(step) => match step.answer {
                StepAnswer::Rule(hit) => Reason::SecurityRule(hit),
                StepAnswer::AdminRule(hit, _) => Reason::AdminRule(hit),
                StepAnswer::PlatformRule(service) => {
                    Reason::PlatformRule { service, interface: step.interface, direction: step.direction }
                }
                StepAnswer::ServiceFirewall(rule) => match step.interface {
                    Interface::Service(account) => Reason::ServiceFirewall { account, rule },
                    _ => unreachable!("a service's firewall stands at the service"),
                },
                StepAnswer::FlowTable => {
                    Reason::FlowState { interface: step.interface, direction: step.direction }
                }
                StepAnswer::PublicIpGate(_) => unreachable!("the gate is listed only when it denies (SIM-9)"),
            },
        })
    }

    /// Asks whether what is not simulated lets the packet through; if not, the packet ends there.
    pub(crate) fn must_let_through(
        &mut self,
        feature: Feature,
        resource: Option<&ResourceId>,
    ) -> Result<(), Stop> {
        self.must_hold(Unknown::FeatureAllows { feature, resource: resource.cloned() })
    }

    /// Asks whether what hangs on a missing resource lets the packet through; if not, the packet ends there.
    pub(crate) fn missing_must_allow(&mut self, resource: &ResourceId) -> Result<(), Stop> {
        self.must_hold(Unknown::ResourceAllows { resource: resource.clone() })
    }

    pub(crate) fn must_hold(&mut self, question: Unknown) -> Result<(), Stop> {
        if self.view.world.ask(question)? { Ok(()) } else { Err(Stop::End(End::Deny(None))) }
    }

    fn start_at_nic(&mut self, nic: NicIndex, packet: &Packet) -> Result<End, Stop> {
        let at = &self.view.network.nics[nic.get()];
        let own = |address| at.ip_configurations.iter().any(|own| own.address == Some(address));
        let tuple = packet.five_tuple;
        // PLAT-5: a guest that asks for its address does not have one yet.
        let asks_for_address = tuple.source.is_unspecified() && asks_for_address(&tuple);
        // ROUTE-13.
        if !own(tuple.source) && !at.ip_forwarding && !asks_for_address {
            return deny(Reason::IpForwarding { nic, direction: Direction::Outbound });
        }
        // EVAL-9: it does not leave the guest.
        if own(tuple.destination) {
            return Ok(End::Allow(Reason::NoSecurityGroup));
        }
        let (interface, direction) = (Interface::Nic(nic), Direction::Outbound);
        if let Some(end) = self.exempt(interface, packet, true)? {
            return Ok(end);
        }
        if is_unsupported(&tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        let seen = Seen { tuple, source_is_hidden: false };
        let came_in_by = self.at_interface(interface, direction, packet, &seen, None)?;
        if needs_no_route(tuple.destination) {
            return Ok(self.allowed());
        }
        let Ok(subnet) = self.place_of(nic) else {
            // Where it goes from a subnet that nobody knows, nobody knows.
            let missing = self.missing_subnet_of(nic);
            self.must_let_through(Feature::UnknownRoute, Some(&missing))?;
            return Ok(self.allowed());
        };
        self.send(Sender { interface, subnet, came_in_by }, packet)
    }

    fn start_unlisted(&mut self, subnet: SubnetIndex, packet: &Packet) -> Result<End, Stop> {
        let tuple = packet.five_tuple;
        if tuple.source == tuple.destination {
            return Ok(End::Allow(Reason::NoSecurityGroup));
        }
        let (interface, direction) = (Interface::Unlisted(subnet), Direction::Outbound);
        // PE-1, PE-3: what a private endpoint answers passes no outbound rules.
        let filtered = self.view.endpoint_at(tuple.source, |at| at == Some(subnet)).is_none();
        if let Some(end) = self.exempt(interface, packet, filtered)? {
            return Ok(end);
        }
        if is_unsupported(&tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        let seen = Seen { tuple, source_is_hidden: false };
        let mut came_in_by = None;
        if filtered {
            came_in_by = self.at_interface(interface, direction, packet, &seen, None)?;
        }
        if needs_no_route(tuple.destination) {
            return Ok(self.allowed());
        }
        self.send(Sender { interface, subnet, came_in_by }, packet)
    }

    /// From the source's filters on: where the packet goes (EVAL-12, steps 2 to 5).
    fn send(&mut self, sender: Sender, packet: &Packet) -> Result<End, Stop> {
        let to = packet.five_tuple.destination;
        let Some(route) = self.view.route(sender.subnet, to)? else {
            return deny(Reason::Route(RouteEnd::None {
                interface: Some(sender.interface),
                user_route: None,
            }));
        };
        self.take(sender.interface, &route);
        let seen = Seen { tuple: packet.five_tuple, source_is_hidden: false };
        match &route.hop {
            Hop::Local(vnet) => self.deliver(*vnet, packet, &seen),
            Hop::Peer(Reference::Here(vnet)) => self.deliver(*vnet, packet, &seen),
            Hop::Peer(Reference::Missing(id)) => {
                self.missing_must_allow(id)?;
                Ok(self.allowed())
            }
            // GW-3: it has left the boundary.
            Hop::Gateway { to_vnet: None } => Ok(self.allowed()),
            Hop::Gateway { to_vnet: Some(gateway) } => self.cross(*gateway, packet),
            Hop::UserGateway => self.leave_by_gateway(sender),
            Hop::Appliance(_) => {
                self.must_let_through(Feature::UnknownRoute, None)?;
                Ok(self.allowed())
            }
            Hop::Internet => self.leave_to_internet(sender, packet),
            Hop::Endpoint(endpoint) => self.arrive_at_endpoint(*endpoint, packet, &seen),
            Hop::Service(service) => {
                self.endpoint_policies(sender.subnet, service, to)?;
                self.at_service(Client::Subnet(sender.subnet), &seen)
            }
            // ROUTE-11.
            Hop::None => {
                let table = self.view.network.subnets[sender.subnet.get()].route_table.as_ref();
                let table = table.and_then(|table| table.here());
                let user_route = route
                    .user
                    .as_ref()
                    .zip(table)
                    .map(|((route, _), table)| UserRoute { table, route: *route });
                deny(Reason::Route(RouteEnd::None { interface: Some(sender.interface), user_route }))
            }
            Hop::Unknown(id) => {
                self.must_let_through(Feature::UnknownRoute, Some(id))?;
                Ok(self.allowed())
            }
        }
    }

    pub(crate) fn take(&mut self, interface: Interface, route: &Candidate) {
        let next_hop_address = match route.hop {
            Hop::Appliance(address) => address,
            _ => None,
        };
        self.routes.push(RouteStep {
            interface,
            prefix: route.prefix,
            source: route.source,
            next_hop: route.kind(),
            next_hop_address,
            name: route.user.as_ref().map(|(_, name)| name.clone()),
        });
    }

    /// A user-defined route to the gateway: it has left the boundary if there is one (GW-3, PEER-5).
    fn leave_by_gateway(&mut self, sender: Sender) -> Result<End, Stop> {
        let vnet = self.view.vnet_of(sender.subnet);
        if !self.view.gateways_for(vnet).is_empty() {
            return Ok(self.allowed());
        }
        for peering in self.view.transit_peerings(vnet) {
            if let Reference::Missing(id) = &peering.remote {
                self.missing_must_allow(id)?;
                return Ok(self.allowed());
            }
        }
        deny(Reason::Route(RouteEnd::NoGatewayTransit { interface: Some(sender.interface) }))
    }

    /// Inside a virtual network: an address is resolved there and nowhere else (TOP-5).
    fn deliver(&mut self, vnet: VnetIndex, packet: &Packet, seen: &Seen) -> Result<End, Stop> {
        let network = self.view.network;
        let to = seen.tuple.destination;
        let here =
            |subnet: Option<SubnetIndex>| subnet.is_some_and(|subnet| self.view.vnet_of(subnet) == vnet);
        let has = |nic: &NicIndex| {
            network.nics[nic.get()].ip_configurations.iter().any(|own| own.address == Some(to))
        };
        let holders: Vec<NicIndex> = (0..network.nics.len()).map(NicIndex::new).filter(has).collect();
        if let Some(nic) = holders.iter().find(|nic| here(network.subnet_of(**nic))) {
            return self.arrive(*nic, packet, seen, None);
        }
        if let Some(balancer) = self.frontend(|frontend| {
            let elsewhere = matches!(frontend.subnet, Some(Reference::Here(at)) if !here(Some(at)));
            frontend.address == Some(to) && !elsewhere
        }) {
            self.must_let_through(Feature::UnknownRoute, Some(&balancer))?;
            return Ok(self.allowed());
        }
        if let Some(endpoint) = self.view.endpoint_near(vnet, to) {
            return self.arrive_at_endpoint(endpoint, packet, seen);
        }
        // A NIC in a subnet that the inventory lacks may be in this network.
        if let Some(nic) = holders.iter().find(|nic| self.place_of(**nic).is_err()) {
            let missing = self.missing_subnet_of(*nic);
            self.missing_must_allow(&missing)?;
            return Ok(self.allowed());
        }
        self.nobody(to)
    }

    /// SIM-7, TOP-3.
    fn nobody(&mut self, address: IpAddr) -> Result<End, Stop> {
        if self.partial_inventory {
            self.must_hold(Unknown::OwnerAllows { address })?;
            return Ok(self.allowed());
        }
        self.notes.push(Note::NoEndpoint { address });
        deny(Reason::Route(RouteEnd::NoEndpoint))
    }

    /// The destination's own filters (EVAL-12, step 5).
    fn arrive(
        &mut self,
        nic: NicIndex,
        packet: &Packet,
        seen: &Seen,
        entered_by: Option<PublicIpIndex>,
    ) -> Result<End, Stop> {
        let (interface, direction) = (Interface::Nic(nic), Direction::Inbound);
        // PLAT-9: what starts at an interface has been stopped there.
        if is_unsupported(&seen.tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        self.at_interface(interface, direction, packet, seen, entered_by)?;
        Ok(self.allowed())
    }

    /// A load balancer with such a frontend.
    fn frontend(&self, is_it: impl Fn(&Frontend) -> bool) -> Option<ResourceId> {
        let mut balancers = self.view.network.load_balancers.iter();
        balancers.find(|balancer| balancer.frontends.iter().any(&is_it)).map(|balancer| balancer.id.clone())
    }

    /// A packet whose route is `Internet` (OUT-1 to OUT-5).
    fn leave_to_internet(&mut self, sender: Sender, packet: &Packet) -> Result<End, Stop> {
        let source = self.leave(sender, packet)?;
        let to = packet.five_tuple.destination;
        let known = self.public_ip(to);
        let Some(public_ip) = known else {
            let seen = Seen { tuple: packet.five_tuple, source_is_hidden: source.is_none() };
            let from = Some(self.view.vnet_of(sender.subnet));
            return self.at_service(Client::Public { source, from }, &seen);
        };
        // PIP-1: it comes back in by a public address of the inventory.
        let mut tuple = packet.five_tuple;
        tuple.source = source.unwrap_or(tuple.source);
        let seen = Seen { tuple, source_is_hidden: source.is_none() };
        self.enter(public_ip, packet, &seen)
    }

    /// OUT-1: how the packet leaves; returns its source after that, where it is known.
    fn leave(&mut self, sender: Sender, packet: &Packet) -> Result<Option<IpAddr>, Stop> {
        let network = self.view.network;
        let tuple = &packet.five_tuple;
        let no_way = Reason::OutboundConnectivity { interface: sender.interface };
        // OUT-5.
        if let Some(came_in_by) = sender.came_in_by {
            // It came in behind a translation that nobody has told.
            let Some(public_ip) = came_in_by else { return Ok(None) };
            return Ok(self.leave_by(Snat::InstancePublicIp, network.public_ips[public_ip.get()].address));
        }
        let subnet = &network.subnets[sender.subnet.get()];
        if let Some(gateway) = &subnet.nat_gateway {
            // OUT-3.
            if !tuple.protocol.has_ports() {
                return deny(no_way);
            }
            let address = gateway.here().and_then(|gateway| {
                let gateway = &network.nat_gateways[gateway.get()];
                match gateway.public_ips.as_slice() {
                    [Reference::Here(only)] if gateway.public_prefixes.is_empty() => {
                        network.public_ips[only.get()].address
                    }
                    _ => None,
                }
            });
            let address = address.filter(|address| address.is_ipv4() == tuple.destination.is_ipv4());
            return Ok(self.leave_by(Snat::NatGateway, address));
        }
        let Some(nic) = sender.interface.nic() else {
            // An interface that is not listed may have a public address of its own.
            if !subnet.default_outbound_access {
                self.missing_must_allow(&subnet.id)?;
            }
            return Ok(None);
        };
        let nic = &network.nics[nic.get()];
        let own = nic.ip_configurations.iter().find(|own| own.address == Some(tuple.source));
        match own.and_then(|own| own.public_ip.as_ref()) {
            Some(Reference::Here(public_ip)) => {
                let address = network.public_ips[public_ip.get()].address;
                return Ok(self.leave_by(Snat::InstancePublicIp, address));
            }
            Some(Reference::Missing(_)) => return Ok(self.leave_by(Snat::InstancePublicIp, None)),
            None => {}
        }
        if let Some(balancer) = own.filter(|own| own.primary).and_then(|own| self.balancer_way_out(own)) {
            self.must_let_through(Feature::UnknownRoute, Some(&balancer))?;
            return Ok(None);
        }
        self.default_outbound(sender, nic, packet)
    }

    fn leave_by(&mut self, snat: Snat, source: Option<IpAddr>) -> Option<IpAddr> {
        self.translation.snat = Some(snat);
        self.translation.source = source;
        source
    }

    /// OUT-2, OUT-3: default outbound access.
    fn default_outbound(
        &mut self,
        sender: Sender,
        nic: &Nic,
        packet: &Packet,
    ) -> Result<Option<IpAddr>, Stop> {
        let network = self.view.network;
        let (interface, direction) = (sender.interface, Direction::Outbound);
        let no_way = Reason::OutboundConnectivity { interface };
        // OUT-4, TOP-8: a delegated subnet is not private.
        let subnet = &network.subnets[sender.subnet.get()];
        if !subnet.default_outbound_access && subnet.delegations.is_empty() {
            return deny(no_way);
        }
        let same_machine = network
            .nics
            .iter()
            .filter(|other| other.id == nic.id || (nic.machine.is_some() && other.machine == nic.machine));
        let public_ips =
            same_machine.flat_map(|nic| &nic.ip_configurations).filter_map(|own| own.public_ip.as_ref());
        let mut of_unknown_sku = None;
        for public_ip in public_ips {
            match public_ip {
                Reference::Missing(id) => of_unknown_sku = Some(id),
                Reference::Here(public_ip) => {
                    let public_ip = &network.public_ips[public_ip.get()];
                    match public_ip.sku {
                        Some(PublicIpSku::Standard) => return deny(no_way),
                        Some(PublicIpSku::Basic) => {}
                        None => of_unknown_sku = Some(&public_ip.id),
                    }
                }
            }
        }
        if let Some(id) = of_unknown_sku {
            self.missing_must_allow(id)?;
        }
        if packet.fragment != Fragment::Whole {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        match packet.icmp {
            Some(Icmp::Echo { .. }) => return deny(no_way),
            None if matches!(packet.five_tuple.protocol, Protocol::ICMP | Protocol::ICMPV6) => {
                // It may be an echo.
                self.must_let_through(Feature::UnmappedProtocol, None)?;
            }
            _ => {}
        }
        Ok(self.leave_by(Snat::DefaultOutboundAccess, None))
    }

    /// OUT-1: a load balancer that translates what this configuration sends, by an outbound rule or by a
    /// load-balancing rule of a public frontend; also one that the inventory lacks.
    fn balancer_way_out(&self, own: &IpConfiguration) -> Option<ResourceId> {
        let balancers = &self.view.network.load_balancers;
        let known = |pool: &ResourceId| {
            balancers.iter().any(|balancer| balancer.pools.iter().any(|other| other.id == *pool))
        };
        if let Some(pool) = own.backend_pools.iter().find(|pool| !known(pool)) {
            return Some(pool.clone());
        }
        for balancer in balancers {
            for pool in &balancer.pools {
                let member = own.backend_pools.contains(&pool.id)
                    || pool.ip_configurations.contains(&own.id)
                    || own.address.is_some_and(|address| pool.addresses.contains(&address));
                let by_outbound_rule =
                    balancer.outbound_rules.iter().any(|rule| rule.pool.as_ref() == Some(&pool.id));
                let public = |id: &ResourceId| {
                    balancer
                        .frontends
                        .iter()
                        .any(|frontend| frontend.id == *id && frontend.public_ip.is_some())
                };
                let by_rule = balancer.rules.iter().any(|rule| {
                    rule.pools.contains(&pool.id)
                        && !rule.disable_outbound_snat
                        && rule.frontend.as_ref().is_some_and(public)
                });
                if member && (by_outbound_rule || by_rule) {
                    return Some(balancer.id.clone());
                }
            }
        }
        None
    }

    fn public_ip(&self, address: IpAddr) -> Option<PublicIpIndex> {
        let mut public_ips = self.view.network.public_ips.iter();
        public_ips.position(|public_ip| public_ip.address == Some(address)).map(PublicIpIndex::new)
    }

    /// Through a public address of the inventory (PIP-1, PIP-3, PIP-4).
    fn enter(&mut self, public_ip: PublicIpIndex, packet: &Packet, seen: &Seen) -> Result<End, Stop> {
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
            let mut seen = *seen;
            let mut packet = *packet;
            // An error that comes back quotes the packet as it left.
            if let Some(Icmp::Error { quoted: Some(quoted) }) = &mut packet.icmp
                && quoted.source == seen.tuple.destination
            {
                quoted.source = private;
            }
            seen.tuple.destination = private;
            return self.arrive(NicIndex::new(position), &packet, &seen, Some(public_ip));
        }
        let nat = |gateway: &NatGateway| gateway.public_ips.iter().any(|used| used.here() == Some(public_ip));
        if let Some(position) = network.nat_gateways.iter().position(nat) {
            return deny(Reason::NatGateway(NatGatewayIndex::new(position)));
        }
        if let Some(balancer) = self.frontend(|frontend| is_it(&frontend.public_ip)) {
            self.must_let_through(Feature::UnknownRoute, Some(&balancer))?;
            return Ok(self.allowed());
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
    fn start_on_internet(&mut self, packet: &Packet) -> Result<End, Stop> {
        let to = packet.five_tuple.destination;
        let seen = Seen { tuple: packet.five_tuple, source_is_hidden: false };
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
    fn start_at_platform(&mut self, packet: &Packet) -> Result<End, Stop> {
        let seen = Seen { tuple: packet.five_tuple, source_is_hidden: false };
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
        let network = self.view.network;
        let to = seen.tuple.destination;
        let mut holders = Vec::new();
        for (position, nic) in network.nics.iter().enumerate() {
            let with_it = nic.ip_configurations.iter().find(|own| own.address == Some(to));
            holders.extend(with_it.map(|own| (NicIndex::new(position), own)));
        }
        if let Some((nic, _)) = holders.first().filter(|_| !from_internet && answers_for_address(&seen.tuple))
        {
            // PLAT-5.
            let (interface, direction) = (Interface::Nic(*nic), Direction::Inbound);
            let answer = StepAnswer::PlatformRule(PlatformService::Dhcp);
            self.step(interface, direction, answer, Access::Allow, seen);
            return Ok(Some(self.allowed()));
        }
        if !holders.is_empty() {
            return Ok(Some(self.behind_translation(&holders, packet, seen, from_internet)?));
        }
        if let Some(balancer) = self.frontend(|frontend| frontend.address == Some(to)) {
            self.must_let_through(Feature::UnknownRoute, Some(&balancer))?;
            return Ok(Some(self.allowed()));
        }
        match self.view.endpoint_at(to, |_| true) {
            Some(endpoint) => Ok(Some(self.arrive_at_endpoint(endpoint, packet, seen)?)),
            None => Ok(None),
        }
    }

    /// The private address is known already; several networks may hold it (TOP-5).
    fn behind_translation(
        &mut self,
        holders: &[(NicIndex, &IpConfiguration)],
        packet: &Packet,
        seen: &Seen,
        from_internet: bool,
    ) -> Result<End, Stop> {
        let mut ends = Vec::new();
        for (nic, own) in holders {
            let mut walk = self.clone();
            let entered_by = match &own.public_ip {
                _ if !from_internet => None,
                // EVAL-11: only what comes from the internet comes through the public address.
                Some(public_ip) => public_ip.here().filter(|_| is_public(packet.five_tuple.source)),
                None => {
                    walk.notes.push(Note::NoPublicAddress { nic: *nic });
                    None
                }
            };
            let end = match walk.arrive(*nic, packet, seen, entered_by) {
                Ok(end) | Err(Stop::End(end)) => end,
                Err(Stop::Ask(question)) => return Err(Stop::Ask(question)),
            };
            ends.push((end, walk));
        }
        let allows = |end: &End| matches!(end, End::Allow(_));
        let first = allows(&ends[0].0);
        let wanted = if ends.iter().all(|(end, _)| allows(end) == first) {
            first
        } else {
            self.view.world.ask(Unknown::AmbiguousPlace { address: seen.tuple.destination })?
        };
        let (end, walk) =
            ends.into_iter().find(|(end, _)| allows(end) == wanted).expect("one of them is wanted");
        *self = walk;
        Ok(end)
    }

    /// GW-2, PEER-5: from behind a gateway.
    fn start_on_premises(&mut self, gateway: GatewayIndex, packet: &Packet) -> Result<End, Stop> {
        self.enter_by(gateway, packet)
    }

    /// GW-6: through the gateways of two connected networks, into the one that has the address.
    fn cross(&mut self, gateway: GatewayIndex, packet: &Packet) -> Result<End, Stop> {
        let network = self.view.network;
        for connection in &network.connections {
            if connection.gateway.as_ref().and_then(Reference::here) != Some(gateway) {
                continue;
            }
            let ConnectionRemote::Vnet(Some(Reference::Here(far))) = &connection.remote else { continue };
            let Some(Reference::Here(vnet)) = &network.gateways[far.get()].vnet else { continue };
            if holds(&network.vnets[vnet.get()].address_space, packet.five_tuple.destination) {
                return self.enter_by(*far, packet);
            }
        }
        unreachable!("the route came from a network that has the address")
    }

    /// GW-2: a packet that enters at a gateway's network.
    fn enter_by(&mut self, gateway: GatewayIndex, packet: &Packet) -> Result<End, Stop> {
        let view = self.view;
        let at = &view.network.gateways[gateway.get()];
        let to = packet.five_tuple.destination;
        let Some(vnet) = at.vnet.as_ref().and_then(Reference::here) else {
            let missing = match &at.vnet {
                Some(Reference::Missing(id)) => id,
                _ => &at.id,
            };
            self.missing_must_allow(missing)?;
            return Ok(self.allowed());
        };
        if let Some(table) = self.gateway_route(gateway, vnet, to)? {
            self.must_let_through(Feature::UnknownRoute, Some(&table))?;
            return Ok(self.allowed());
        }
        let seen = Seen { tuple: packet.five_tuple, source_is_hidden: false };
        let has = |vnet: VnetIndex| holds(&view.network.vnets[vnet.get()].address_space, to);
        if has(vnet) {
            return self.deliver(vnet, packet, &seen);
        }
        let spokes = (0..view.network.vnets.len()).map(VnetIndex::new);
        for spoke in spokes.filter(|spoke| view.gateways_for(*spoke).contains(&gateway)) {
            if has(spoke) {
                return self.deliver(spoke, packet, &seen);
            }
        }
        // PEER-5, SIM-4: a spoke that is not in the inventory and whose ranges nobody knows may have the address.
        for peering in &view.network.vnets[vnet.get()].peerings {
            if let (true, true, None, Reference::Missing(id)) = (
                peering.allow_gateway_transit,
                view.is_up(vnet, peering),
                view.remote_ranges(peering),
                &peering.remote,
            ) {
                self.missing_must_allow(id)?;
                return Ok(self.allowed());
            }
        }
        deny(Reason::Route(RouteEnd::NoGatewayTransit { interface: None }))
    }

    /// The table of the gateway's subnet, where a user-defined route of it takes the packet.
    fn gateway_route(&self, gateway: GatewayIndex, vnet: VnetIndex, to: IpAddr) -> Asked<Option<ResourceId>> {
        let view = self.view;
        let named = view.network.gateways[gateway.get()].subnet.as_ref().and_then(Reference::here);
        let subnet = named.or_else(|| {
            let mut subnets = view.network.vnets[vnet.get()].subnets.iter().copied();
            subnets.find(|subnet| view.subnet_id(*subnet).name().eq_ignore_ascii_case("GatewaySubnet"))
        });
        let Some(subnet) = subnet else { return Ok(None) };
        match view.route_table(subnet) {
            None => Ok(None),
            Some(Err(missing)) => {
                Ok(view.missing_holds(subnet, missing.as_str(), to)?.then(|| missing.clone()))
            }
            Some(Ok(table)) => {
                for route in &table.routes {
                    if view.destination_holds(subnet, &route.destination, to)? {
                        return Ok(Some(table.id.clone()));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The subnet of an interface; `Err` where the inventory lacks it.
    pub(crate) fn place_of(&self, nic: NicIndex) -> Result<SubnetIndex, &'a ResourceId> {
        let at = &self.view.network.nics[nic.get()];
        match &at.subnet {
            Some(Reference::Here(subnet)) => Ok(*subnet),
            Some(Reference::Missing(id)) => Err(id),
            None => Err(&at.id),
        }
    }

    fn missing_subnet_of(&self, nic: NicIndex) -> ResourceId {
        self.place_of(nic).expect_err("asked only where the subnet is missing").clone()
    }

    /// Writes down what a filter answered.
    pub(crate) fn step(
        &mut self,
        interface: Interface,
        direction: Direction,
        answer: StepAnswer,
        access: Access,
        seen: &Seen,
    ) {
        self.steps.push(Step { interface, direction, answer, access, seen: seen.tuple });
    }
}
