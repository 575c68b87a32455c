//! Lays out journeys: which filters, routes and translations lie between two places (EVAL-12).
//!
//! One file a part of the way: `route` from an interface on, `appliance` through machines that forward, `balance` behind
//! load balancers, `internet` out and in by public addresses, `gateway` from on-premises, `peering` between networks,
//! `service` into services.

mod appliance;
mod balance;
mod gateway;
mod internet;
mod peering;
mod route;
mod service;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ends::Ends;
use super::journey::{DefaultRoute, End, Filter, Gate, Journey, Stage, Start};
use super::state::Entrance;
use crate::compile::network::CompiledNetwork;
use crate::compile::places::Owner;
use crate::compile::resolve::METADATA;
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::compile::topology::PLATFORM_ADDRESSES;
use crate::model::flow::Origin;
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, Reference, ServiceAccountIndex, SubnetIndex, VnetIndex};
use crate::model::prefix::Prefix;
use crate::model::rule::Direction;
use crate::model::unknown::{Feature, Unknown};
use crate::model::verdict::{Interface, Note, Reason, RouteEnd, RouteStep};

/// A journey under way.
pub(super) struct Builder<'c> {
    compiled: &'c CompiledNetwork,
    journey: Journey,
    /// Where the packet starts.
    origin: Origin,
    /// The address that it was sent from.
    sent_from: IpAddr,
    /// Its source, as far as it has come.
    source: IpAddr,
    /// Its destination.
    destination: IpAddr,
    /// The account that answers at the destination (SVC-1).
    target: Option<ServiceAccountIndex>,
    /// [`Stage::Start`] is laid.
    started: bool,
    /// How many machines have forwarded it.
    hops: u32,
    /// Ways that were laid already: many lead to one machine where load balancers stand behind each other.
    known: Rc<RefCell<HashMap<Onward, Arc<Journey>, FixedState>>>,
}

/// What the way from a forwarding machine on depends on: the machine's interface, the source, the hops before it, and
/// whether the packet has met an interface.
type Onward = (NicIndex, IpAddr, u32, bool);

impl<'c> Builder<'c> {
    /// A journey of nothing yet, for packets of these addresses.
    pub(super) fn new(compiled: &'c CompiledNetwork, source: IpAddr, destination: IpAddr) -> Self {
        Self {
            compiled,
            journey: Journey::of_nothing(),
            origin: Origin::Internet,
            sent_from: source,
            source,
            destination,
            target: None,
            started: false,
            hops: 0,
            known: Rc::default(),
        }
    }

    /// What comes before one interface's filters, and these.
    pub(super) fn at_interface(
        compiled: &'c CompiledNetwork,
        interface: Interface,
        direction: Direction,
        destination: IpAddr,
    ) -> Journey {
        let mut builder = Self::new(compiled, destination, destination);
        match direction {
            Direction::Inbound => {
                builder.begin_inbound(interface);
                builder.journey.filter(interface, direction);
            }
            Direction::Outbound => {
                let subnet = match interface {
                    Interface::Nic(nic) => {
                        compiled.network.nics[nic.get()].subnet.as_ref().and_then(Reference::here)
                    }
                    Interface::Unlisted(subnet) => Some(subnet),
                    Interface::Endpoint(_) | Interface::Service(_) => None,
                };
                builder.leave_interface(interface, subnet, None);
            }
        }
        builder.finish()
    }

    /// The journey as it stands.
    pub(super) fn finish(self) -> Journey {
        self.journey
    }

    /// A journey that goes on from here, to be laid by itself.
    fn branch(&self) -> Self {
        Self { journey: Journey::of_nothing(), known: Rc::clone(&self.known), ..*self }
    }

    /// Lays the way from the packet's start.
    pub(super) fn start(&mut self, ends: Ends) {
        (self.origin, self.target) = (ends.origin, ends.target);
        match ends.origin {
            Origin::Nic(nic) => self.start_at_nic(nic),
            Origin::Unlisted(subnet) => self.start_unlisted(subnet),
            Origin::Internet | Origin::Platform => self.start_outside(ends),
            Origin::OnPremises(gateway) => self.enter_by_gateway(gateway),
        }
    }

    fn start_at_nic(&mut self, nic: NicIndex) {
        let compiled = self.compiled;
        let resource = &compiled.network.nics[nic.get()];
        // The spoof check comes before the rules (ROUTE-13). A guest that asks for its address has none yet (PLAT-5).
        let spoofed = !resource.has(self.source)
            && !resource.ip_forwarding
            && !compiled.balancers.floats(nic, self.source);
        if spoofed && !self.source.is_unspecified() {
            self.lost(Reason::IpForwarding { nic, direction: Direction::Outbound });
            return;
        }
        // A packet to itself does not leave the guest (EVAL-9).
        if resource.has(self.destination) {
            return;
        }
        let subnet = resource.subnet.as_ref().and_then(Reference::here);
        self.leave_interface(Interface::Nic(nic), subnet, spoofed.then_some(nic));
        if !is_host_service(self.destination) {
            self.route_at(nic);
        }
    }

    fn start_unlisted(&mut self, subnet: SubnetIndex) {
        // A packet to itself does not leave the guest (EVAL-9).
        if self.source == self.destination {
            return;
        }
        let vnet = self.compiled.network.subnets[subnet.get()].vnet;
        let interface = Interface::Unlisted(subnet);
        let owner = self.compiled.places.owner(vnet, self.source);
        // Private endpoints and frontends only answer, and nothing filters that there (PE-1, PE-3, LB-3); nor do filters
        // stand before the addresses of a Private Link service (PLS-2). An interface of the inventory starts its packets
        // itself: this is one that is not listed.
        let filtered = matches!(owner, Some(Owner::Nic(..)) | None);
        self.begin_outbound(interface, Some(subnet), None, filtered);
        if filtered {
            self.journey.filter(interface, Direction::Outbound);
        }
        if is_host_service(self.destination) {
            return;
        }
        if owner == Some(Owner::PrivateLinkService) {
            self.journey.stages.push(Stage::CameIn(Entrance::PrivateLink, None));
            return self.arrive(vnet, Gate::Open);
        }
        self.route(interface, subnet);
    }

    /// What comes before the first interface's filters, and these.
    fn leave_interface(
        &mut self,
        interface: Interface,
        subnet: Option<SubnetIndex>,
        spoofed_by: Option<NicIndex>,
    ) {
        self.begin_outbound(interface, subnet, spoofed_by, true);
        self.journey.filter(interface, Direction::Outbound);
    }

    fn begin_outbound(
        &mut self,
        interface: Interface,
        subnet: Option<SubnetIndex>,
        spoofed_by: Option<NicIndex>,
        filtered: bool,
    ) {
        let default_route = match subnet {
            None => DefaultRoute::Absent,
            Some(subnet) => self.default_route(subnet),
        };
        let platform = is_platform(self.destination) || self.destination == IpAddr::from(Ipv4Addr::BROADCAST);
        let direction = Direction::Outbound;
        self.begin(Start { interface, direction, platform, spoofed_by, default_route, filtered });
    }

    /// Whether the licensing servers are ordinary destinations for a subnet (PLAT-4).
    fn default_route(&self, subnet: SubnetIndex) -> DefaultRoute {
        if !is_platform(self.destination) || is_host_service(self.destination) {
            return DefaultRoute::Absent;
        }
        let table = &self.compiled.routes[subnet.get()];
        if let Some(missing) = &table.unknown_table {
            return DefaultRoute::Unknown(Unknown::ConnectedSpaceHolds {
                subnet: self.compiled.network.subnets[subnet.get()].id.clone(),
                missing: missing.to_string(),
                address: self.destination,
            });
        }
        let all = fixed("0.0.0.0/0");
        let present = table.routes.iter().any(|route| route.user.is_some() && route.prefix == all);
        if present { DefaultRoute::Present } else { DefaultRoute::Absent }
    }

    fn begin(&mut self, start: Start) {
        self.started = true;
        self.journey.stages.push(Stage::Start(start));
    }

    /// The filters of an interface that a packet arrives at.
    fn enter_interface(&mut self, nic: NicIndex) -> &mut Filter {
        let (interface, direction) = (Interface::Nic(nic), Direction::Inbound);
        if !self.started {
            self.begin_inbound(interface);
        }
        self.journey.filter(interface, direction)
    }

    fn begin_inbound(&mut self, interface: Interface) {
        let (direction, default_route) = (Direction::Inbound, DefaultRoute::Absent);
        self.begin(Start {
            interface,
            direction,
            platform: true,
            spoofed_by: None,
            default_route,
            filtered: true,
        });
    }

    /// Arrival at an address inside a network.
    fn arrive(&mut self, vnet: VnetIndex, gate: Gate) {
        match self.compiled.places.owner(vnet, self.destination) {
            Some(Owner::Nic(nic, _)) => self.enter_interface(nic).gate = gate,
            Some(Owner::PrivateEndpoint(endpoint)) => self.enter_endpoint(endpoint),
            Some(Owner::LoadBalancer(place)) => self.enter_internal_frontend(place),
            Some(Owner::PrivateLinkService) => {
                self.journey.stages.push(Stage::DeliveredToConsumer);
                self.nobody_has_it();
            }
            None => self.nobody(vnet),
        }
    }

    /// Arrival at an address inside a peered network.
    fn arrive_across(&mut self, from: VnetIndex, remote: VnetIndex) {
        if let Some(Owner::LoadBalancer(place)) = self.compiled.places.owner(remote, self.destination)
            && !self.reaches_frontend(from, remote, place)
        {
            return;
        }
        self.arrive(remote, Gate::Open);
    }

    /// At an address inside a network that nobody of the inventory has (SIM-7).
    fn nobody(&mut self, vnet: VnetIndex) {
        match self.hidden_owner(vnet, self.destination) {
            Some(missing) => self.missing(missing),
            None => self.no_endpoint(),
        }
    }

    /// What the inventory lacks so that nobody can tell who has an address.
    fn hidden_owner(&self, vnet: VnetIndex, address: IpAddr) -> Option<ResourceId> {
        let network = &self.compiled.network;
        let endpoint = || {
            network.private_endpoints.iter().find(|endpoint| {
                endpoint.addresses.contains(&address)
                    && self.missing_in(vnet, endpoint.subnet.as_ref(), &endpoint.id).is_some()
            })
        };
        self.missing_subnet_of(vnet, address).or_else(|| endpoint().map(|endpoint| endpoint.id.clone()))
    }

    /// Nobody of the inventory has the address, and nobody may have it (SIM-7).
    fn no_endpoint(&mut self) {
        if self.compiled.partial_inventory {
            self.unknown(Unknown::OwnerAllows { address: self.destination });
        } else {
            self.nobody_has_it();
        }
    }

    fn nobody_has_it(&mut self) {
        self.journey.stages.push(Stage::Note(Note::NoEndpoint { address: self.destination }));
        self.lost(Reason::Route(RouteEnd::NoEndpoint));
    }

    /// The subnet of an interface with this address that may be in the network, where the inventory lacks the subnet.
    fn missing_subnet_of(&self, vnet: VnetIndex, address: IpAddr) -> Option<ResourceId> {
        let network = &self.compiled.network;
        self.compiled.places.stray(address).iter().find_map(|nic| {
            let nic = &network.nics[nic.get()];
            self.missing_in(vnet, nic.subnet.as_ref(), &nic.id)
        })
    }

    /// What the inventory lacks of where `holder` stands, if that may be in the network: the ID of a missing subnet says
    /// whose it is (TOP-5).
    fn missing_in(
        &self,
        vnet: VnetIndex,
        subnet: Option<&Reference<SubnetIndex>>,
        holder: &ResourceId,
    ) -> Option<ResourceId> {
        let vnet = &self.compiled.network.vnets[vnet.get()].id;
        match subnet {
            Some(Reference::Missing(subnet)) => {
                (subnet.parent(1).as_ref() == Some(vnet)).then(|| subnet.clone())
            }
            None => Some(holder.clone()),
            Some(Reference::Here(_)) => None,
        }
    }

    fn take(&mut self, route: RouteStep) {
        self.journey.stages.push(Stage::Route(route));
    }

    fn lost(&mut self, reason: Reason) {
        self.journey.end = End::Lost(reason);
    }

    fn feature(&mut self, feature: Feature, resource: Option<ResourceId>) {
        self.unknown(Unknown::FeatureAllows { feature, resource });
    }

    fn missing(&mut self, resource: ResourceId) {
        self.unknown(Unknown::ResourceAllows { resource });
    }

    fn unknown(&mut self, question: Unknown) {
        self.journey.stages.push(Stage::OnlyIf(question, None));
    }
}

/// Whether two exports name one region; nothing where one names none.
fn same_region(one: Option<&String>, other: Option<&String>) -> Option<bool> {
    let plain = |region: &String| region.replace(' ', "").to_ascii_lowercase();
    Some(plain(one?) == plain(other?))
}

/// An address that the platform keeps for itself (PLAT-1 to PLAT-4).
pub(super) fn is_platform(address: IpAddr) -> bool {
    // PERF: asked for each tuple of a log, so they are read once.
    static PLATFORM: LazyLock<Vec<Prefix>> =
        LazyLock::new(|| PLATFORM_ADDRESSES.iter().copied().map(fixed).collect());
    PLATFORM.iter().any(|platform| platform.contains(&address))
}

/// An address of the host below the machine, to which no route leads (PLAT-8).
pub(super) fn is_host_service(address: IpAddr) -> bool {
    [PLATFORM, METADATA].iter().any(|service| fixed(service).contains(&address))
}
