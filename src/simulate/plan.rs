//! Lays out journeys: which filters, routes and translations lie between two places (EVAL-12).

use std::net::{IpAddr, Ipv4Addr};

use super::ends::Ends;
use super::journey::{
    DefaultRoute, End, Exit, Filter, Gate, Journey, SeenSource, ServiceCheck, Stage, Start, Way,
};
use crate::compile::field::Doubt;
use crate::compile::network::{CompiledNetwork, PLATFORM_ADDRESSES};
use crate::compile::peerings;
use crate::compile::places::{Owner, PublicOwner, within};
use crate::compile::resolve::METADATA;
use crate::compile::routes::{EffectiveRoute, Hop};
use crate::compile::surroundings::{PLATFORM, fixed, internet_base};
use crate::model::flow::Origin;
use crate::model::id::ResourceId;
use crate::model::index::{
    GatewayIndex, NicIndex, PrivateEndpointIndex, PublicIpIndex, Reference, ServiceAccountIndex, SubnetIndex,
    VnetIndex,
};
use crate::model::network::{Network, PublicIpSku};
use crate::model::prefix::{Prefix, host};
use crate::model::rule::Direction;
use crate::model::verdict::{
    Feature, Interface, NextHopKind, Note, Reason, RouteEnd, RouteSource, RouteStep, Snat, Unknown, UserRoute,
};

/// A journey under way.
pub(super) struct Builder<'c> {
    compiled: &'c CompiledNetwork,
    journey: Journey,
    /// The account that answers at the destination (SVC-1).
    target: Option<ServiceAccountIndex>,
    /// [`Stage::Start`] is laid.
    started: bool,
}

impl<'c> Builder<'c> {
    /// A journey of nothing yet.
    pub(super) fn new(compiled: &'c CompiledNetwork) -> Self {
        Self { compiled, journey: Journey::new(), target: None, started: false }
    }

    /// The journey as it stands.
    pub(super) fn finish(self) -> Journey {
        self.journey
    }

    /// Lays the way from the packet's start.
    pub(super) fn start(&mut self, ends: Ends, source: IpAddr, destination: IpAddr) {
        let network = &self.compiled.network;
        self.target = ends.target;
        match ends.origin {
            Origin::Nic(nic) => self.start_at_nic(nic, source, destination),
            Origin::Unlisted(subnet) => {
                let vnet = network.subnets[subnet.get()].vnet;
                let interface = Interface::Unlisted(subnet);
                match self.compiled.places.owner(vnet, source) {
                    Some(owner @ (Owner::LoadBalancer(_) | Owner::PrivateLinkService)) => self.service(owner),
                    // A private endpoint only answers, and nothing filters that there (PE-1, PE-3).
                    Some(Owner::PrivateEndpoint(_)) => {}
                    // An interface of the inventory starts its packets itself; this is one that is not listed.
                    Some(Owner::Nic(..)) | None => {
                        self.leave_interface(interface, Some(subnet), None, destination);
                        if is_host_service(destination) {
                            return;
                        }
                    }
                }
                self.route(interface, subnet, source, destination);
            }
            Origin::Internet => self.start_outside(ends, source, destination),
            Origin::OnPremises(gateway) => self.enter_by_gateway(gateway, destination),
            Origin::Platform => self.start_outside(ends, source, destination),
        }
    }

    fn start_at_nic(&mut self, nic: NicIndex, source: IpAddr, destination: IpAddr) {
        let compiled = self.compiled;
        let resource = &compiled.network.nics[nic.get()];
        // The spoof check comes before the rules (ROUTE-13). A guest that asks for its address has none yet (PLAT-5).
        let spoofed = !resource.has(source) && !resource.ip_forwarding;
        if spoofed && !source.is_unspecified() {
            self.lost(Reason::IpForwarding { nic, direction: Direction::Outbound });
            return;
        }
        // A packet to itself does not leave the guest (EVAL-9).
        if resource.has(destination) {
            return;
        }
        let subnet = resource.subnet.as_ref().and_then(Reference::here);
        self.leave_interface(Interface::Nic(nic), subnet, spoofed.then_some(nic), destination);
        if is_host_service(destination) {
            return;
        }
        match &resource.subnet {
            Some(Reference::Here(subnet)) => {
                self.route(Interface::Nic(nic), *subnet, source, destination);
            }
            // Without its subnet nobody knows its routes.
            Some(Reference::Missing(subnet)) => self.missing(subnet.clone()),
            None => self.missing(resource.id.clone()),
        }
    }

    /// What comes before the first interface's filters, and these.
    fn leave_interface(
        &mut self,
        interface: Interface,
        subnet: Option<SubnetIndex>,
        spoofed_by: Option<NicIndex>,
        destination: IpAddr,
    ) {
        let default_route = match subnet {
            None => DefaultRoute::Absent,
            Some(subnet) => self.default_route(subnet, destination),
        };
        let platform = is_platform(destination) || destination == IpAddr::from(Ipv4Addr::BROADCAST);
        let direction = Direction::Outbound;
        self.begin(Start { interface, direction, platform, spoofed_by, default_route });
        self.journey.filter(interface, direction);
    }

    /// Whether the licensing servers are ordinary destinations for a subnet (PLAT-4).
    fn default_route(&self, subnet: SubnetIndex, destination: IpAddr) -> DefaultRoute {
        if !is_platform(destination) || is_host_service(destination) {
            return DefaultRoute::Absent;
        }
        let table = &self.compiled.routes[subnet.get()];
        if let Some(missing) = &table.unknown_table {
            return DefaultRoute::Unknown(Unknown::ConnectedSpaceHolds {
                subnet: self.compiled.network.subnets[subnet.get()].id.clone(),
                missing: missing.to_string(),
                address: destination,
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
            let default_route = DefaultRoute::Absent;
            self.begin(Start { interface, direction, platform: true, spoofed_by: None, default_route });
        }
        self.journey.filter(interface, direction)
    }

    /// The filters of an interface alone.
    pub(super) fn filters(&mut self, interface: Interface, direction: Direction) {
        self.journey.filter(interface, direction);
    }

    /// Routing at the sender's subnet (ROUTE-1).
    fn route(&mut self, from: Interface, subnet: SubnetIndex, source: IpAddr, destination: IpAddr) {
        let compiled = self.compiled;
        let network = &compiled.network;
        let vnet = network.subnets[subnet.get()].vnet;
        let table = &compiled.routes[subnet.get()];
        // A private endpoint in reach has a route of its own that beats shorter ones (PE-6).
        if table.leads_to_endpoint(destination) {
            let near = std::iter::once(vnet)
                .chain(peerings::connected(network, vnet).filter_map(|peering| peering.remote));
            let owner = near.into_iter().find_map(|near| match compiled.places.owner(near, destination) {
                Some(Owner::PrivateEndpoint(endpoint)) => Some(endpoint),
                _ => None,
            });
            if let Some(endpoint) = owner {
                if let Some(unknown) = &table.unknown_table {
                    // It may hold a route that takes this one away (PE-7).
                    self.diversion(subnet, unknown, destination);
                }
                self.take(system_route(from, host(destination), NextHopKind::InterfaceEndpoint));
                self.enter_endpoint(endpoint);
                return;
            }
        }
        if let Some((prefix, storage)) = table.service_prefix(destination) {
            self.take(system_route(from, prefix, NextHopKind::VirtualNetworkServiceEndpoint));
            self.leave_by_service_endpoint(subnet, storage, destination);
            return;
        }
        for doubt in table.service_endpoints.doubts.iter().filter(|doubt| doubt.scope.contains(destination)) {
            let id = &network.subnets[subnet.get()].id;
            let holds = doubt.about.question(destination);
            let open = !network.subnets[subnet.get()].endpoint_policies.is_empty() || self.target.is_some();
            self.journey.stages.push(if open {
                Stage::ElsewhereIf(holds, Unknown::ResourceAllows { resource: id.clone() })
            } else {
                Stage::DeliveredIf(holds)
            });
        }
        if let Some(unknown) = &table.unknown_table {
            self.diversion(subnet, unknown, destination);
        }
        let chosen = table.choose(destination);
        if let Some(remote) = &table.unknown_peering
            && !chosen.is_some_and(EffectiveRoute::is_preferred)
        {
            self.diversion(subnet, remote, destination);
        }
        let settled = chosen.is_some_and(|route| match route.source {
            // Gateway routes never beat these (ROUTE-6, ROUTE-7)...
            RouteSource::System => route.is_preferred(),
            RouteSource::User => false,
            // ... and between two of them both lead to the gateway.
            RouteSource::Gateway => true,
        });
        if !settled && let Some(Doubt::Connected { subnet, missing }) = &table.unknown_gateway {
            // A longer route that the gateway learned may take the packet out of the boundary (GW-3).
            self.journey.stages.push(Stage::DeliveredIf(Unknown::ConnectedSpaceHolds {
                subnet: subnet.clone(),
                missing: missing.clone(),
                address: destination,
            }));
        }
        let Some(chosen) = chosen else {
            self.lost(Reason::Route(RouteEnd::None { interface: Some(from), user_route: None }));
            return;
        };
        self.take(self.step(from, subnet, chosen));
        match &chosen.hop {
            Hop::VnetLocal => self.arrive(vnet, destination, Gate::Open),
            Hop::Peering(Reference::Here(remote)) => self.arrive(*remote, destination, Gate::Open),
            Hop::Peering(Reference::Missing(remote)) => self.missing(remote.clone()),
            // To another network of the inventory (GW-6), or out of the boundary (GW-3).
            Hop::Gateway(Some(far)) => self.enter_by_gateway(*far, destination),
            Hop::Gateway(None) => {
                if peerings::gateways_of(network, vnet).is_empty() && chosen.source == RouteSource::User {
                    let missing =
                        network.vnets[vnet.get()].peerings.iter().find_map(|side| match &side.remote {
                            Reference::Missing(remote) if side.use_remote_gateways => Some(remote.clone()),
                            Reference::Missing(_) | Reference::Here(_) => None,
                        });
                    match missing {
                        Some(remote) => self.missing(remote),
                        None => {
                            self.lost(Reason::Route(RouteEnd::NoGatewayTransit { interface: Some(from) }));
                        }
                    }
                }
            }
            Hop::Appliance(_) => self.feature(Feature::ApplianceHop, None),
            Hop::Internet => self.leave_to_internet(from, subnet, source, destination),
            Hop::None => {
                let table = network.subnets[subnet.get()].route_table.as_ref().and_then(Reference::here);
                let user_route = chosen.user.zip(table).map(|(route, table)| UserRoute { table, route });
                self.lost(Reason::Route(RouteEnd::None { interface: Some(from), user_route }));
            }
            Hop::Other => self.feature(Feature::UnknownRoute, None),
        }
    }

    /// The routing of an interface's packets alone.
    pub(super) fn route_of(&mut self, nic: NicIndex, destination: IpAddr) {
        let resource = &self.compiled.network.nics[nic.get()];
        let own = resource.ip_configurations.iter().find_map(|configuration| configuration.address);
        match &resource.subnet {
            Some(Reference::Here(subnet)) => {
                self.route(Interface::Nic(nic), *subnet, own.unwrap_or(destination), destination);
            }
            Some(Reference::Missing(subnet)) => self.missing(subnet.clone()),
            None => self.missing(resource.id.clone()),
        }
        if self.journey.routes.is_empty() {
            self.journey.before_routing = self.journey.stages.len();
        }
    }

    fn take(&mut self, route: RouteStep) {
        self.journey.routes.push(route);
        self.journey.before_routing = self.journey.stages.len();
    }

    /// At a private endpoint (PE-3, PE-8).
    fn enter_endpoint(&mut self, endpoint: PrivateEndpointIndex) {
        let resource = &self.compiled.network.private_endpoints[endpoint.get()];
        let is = |wanted: &str, status: &Option<String>| {
            status.as_ref().is_some_and(|status| status.eq_ignore_ascii_case(wanted))
        };
        let mut connections = resource.connections.iter();
        let approved = connections.find(|connection| is("Approved", &connection.status));
        if approved.is_none() {
            let known = resource.connections.iter().position(|connection| connection.status.is_some());
            let all_known = resource.connections.iter().all(|connection| connection.status.is_some());
            match known {
                Some(position) if all_known => {
                    let connection =
                        u32::try_from(position).expect("an endpoint has fewer than 2^32 connections");
                    self.lost(Reason::PrivateEndpointState { endpoint, connection });
                    return;
                }
                _ => self.missing(resource.id.clone()),
            }
        }
        let interface = Interface::Endpoint(endpoint);
        let direction = Direction::Inbound;
        if !self.started {
            let default_route = DefaultRoute::Absent;
            self.begin(Start { interface, direction, platform: false, spoofed_by: None, default_route });
        }
        let subnet = resource.subnet.as_ref().and_then(Reference::here);
        let filtered = subnet.is_some_and(|subnet| {
            self.compiled.network.subnets[subnet.get()].private_endpoint_policies.ask_nsg()
        });
        if filtered {
            self.journey.filter(interface, direction);
        }
        let service = approved.or(resource.connections.first()).and_then(|carrier| carrier.service.as_ref());
        if let Some(service) = service.filter(|service| service.segment("privateLinkServices").is_some()) {
            self.feature(Feature::PrivateLinkService, Some(service.clone()));
        }
    }

    /// Through a service endpoint: its policies, then the service's own firewall (SEP, SVC).
    fn leave_by_service_endpoint(&mut self, subnet: SubnetIndex, storage: bool, destination: IpAddr) {
        let network = &self.compiled.network;
        if storage && !network.subnets[subnet.get()].endpoint_policies.is_empty() {
            match policies_allow(network, subnet, self.target, destination) {
                Ok(true) => {}
                Ok(false) => {
                    let account = self.target.expect("only a named account is refused");
                    self.lost(Reason::ServiceEndpointPolicy(account));
                    return;
                }
                Err(question) => self.unknown(question),
            }
        }
        self.service_firewall(Some(subnet), Some(network.subnets[subnet.get()].vnet));
    }

    /// The firewall of the account that the question names (SVC-1), for a client in a network or outside.
    fn service_firewall(&mut self, identity: Option<SubnetIndex>, client: Option<VnetIndex>) {
        let Some(account) = self.target else { return };
        let network = &self.compiled.network;
        let plain = |region: &String| region.replace(' ', "").to_ascii_lowercase();
        let resource = &network.service_accounts[account.get()];
        let same_region = match client {
            None => Ok(false),
            Some(vnet) => match (&network.vnets[vnet.get()].location, &resource.location) {
                (Some(client), Some(service)) => Ok(plain(client) == plain(service)),
                _ => Err(Unknown::SameRegion { account: resource.id.clone() }),
            },
        };
        let from_azure = client.is_some();
        self.journey.stages.push(Stage::Service(ServiceCheck { account, identity, from_azure, same_region }));
    }

    /// Something that the inventory lacks may take the packet another way.
    fn diversion(&mut self, subnet: SubnetIndex, missing: &ResourceId, destination: IpAddr) {
        let diverts = Unknown::ConnectedSpaceHolds {
            subnet: self.compiled.network.subnets[subnet.get()].id.clone(),
            missing: missing.to_string(),
            address: destination,
        };
        let arrives = Unknown::ResourceAllows { resource: missing.clone() };
        self.journey.stages.push(Stage::ElsewhereIf(diverts, arrives));
    }

    fn step(&self, from: Interface, subnet: SubnetIndex, route: &EffectiveRoute) -> RouteStep {
        let network = &self.compiled.network;
        let table = network.subnets[subnet.get()].route_table.as_ref().and_then(Reference::here);
        let name = route.user.zip(table).map(|(position, table)| {
            network.route_tables[table.get()].routes[position as usize].name.clone()
        });
        RouteStep {
            interface: from,
            prefix: route.prefix,
            source: route.source,
            next_hop: route.hop.kind(),
            next_hop_address: match route.hop {
                Hop::Appliance(address) => address,
                _ => None,
            },
            name,
        }
    }

    /// Arrival at an address inside a network, seen there as `destination`.
    fn arrive(&mut self, vnet: VnetIndex, destination: IpAddr, gate: Gate) {
        match self.compiled.places.owner(vnet, destination) {
            Some(Owner::Nic(nic, _)) => {
                let filter = self.enter_interface(nic);
                filter.destination = Some(destination);
                filter.gate = gate;
            }
            Some(Owner::PrivateEndpoint(endpoint)) => self.enter_endpoint(endpoint),
            Some(owner) => self.service(owner),
            None => self.nobody(vnet, destination),
        }
    }

    /// At an address that belongs to no interface.
    fn service(&mut self, owner: Owner) {
        let network = &self.compiled.network;
        let (feature, resource) = match owner {
            Owner::LoadBalancer(balancer) => {
                (Feature::LoadBalancer, Some(&network.load_balancers[balancer.get()].id))
            }
            Owner::PrivateLinkService => (Feature::PrivateLinkService, None),
            Owner::PrivateEndpoint(_) | Owner::Nic(..) => unreachable!("these are asked for their filters"),
        };
        self.feature(feature, resource.cloned());
    }

    /// At an address inside a network that nobody of the inventory has (SIM-7).
    fn nobody(&mut self, vnet: VnetIndex, destination: IpAddr) {
        let endpoint = self.compiled.network.private_endpoints.iter().find(|endpoint| {
            let placed = endpoint.subnet.as_ref().and_then(Reference::here).is_some();
            !placed && endpoint.addresses.contains(&destination)
        });
        if let Some(subnet) = self.missing_subnet_of(vnet, destination) {
            self.missing(subnet);
        } else if let Some(endpoint) = endpoint {
            self.missing(endpoint.id.clone());
        } else {
            self.no_endpoint(destination);
        }
    }

    /// Nobody of the inventory has the address, and nobody may have it (SIM-7).
    fn no_endpoint(&mut self, address: IpAddr) {
        if self.compiled.partial_inventory {
            self.unknown(Unknown::OwnerAllows { address });
        } else {
            self.journey.notes.push(Note::NoEndpoint { address });
            self.lost(Reason::Route(RouteEnd::NoEndpoint));
        }
    }

    /// The subnet of an interface with this address that may be in the network, where the inventory lacks the subnet.
    fn missing_subnet_of(&self, vnet: VnetIndex, address: IpAddr) -> Option<ResourceId> {
        let network = &self.compiled.network;
        let vnet = &network.vnets[vnet.get()].id;
        self.compiled.places.stray(address).iter().find_map(|nic| {
            let nic = &network.nics[nic.get()];
            match &nic.subnet {
                Some(Reference::Missing(subnet)) => {
                    (subnet.parent(1).as_ref() == Some(vnet)).then(|| subnet.clone())
                }
                None => Some(nic.id.clone()),
                Some(Reference::Here(_)) => None,
            }
        })
    }

    /// Out to the internet, by the first means that applies (OUT-1), and back in where a public address of the
    /// inventory is called.
    fn leave_to_internet(
        &mut self,
        from: Interface,
        subnet: SubnetIndex,
        source: IpAddr,
        destination: IpAddr,
    ) {
        let exit = self.exit(from, subnet, source);
        let translated = exit.source;
        self.journey.stages.push(Stage::Exit(exit));
        let seen = translated.map_or(SeenSource::Picked, SeenSource::Translated);
        if self.compiled.places.public(destination).is_none() {
            self.service_firewall(None, Some(self.compiled.network.subnets[subnet.get()].vnet));
        }
        self.enter_by_public_address(destination, seen);
    }

    /// How an interface's packets leave.
    fn exit(&self, from: Interface, subnet: SubnetIndex, source: IpAddr) -> Exit {
        let network = &self.compiled.network;
        let subnet = &network.subnets[subnet.get()];
        let nic = from.nic().map(|nic| &network.nics[nic.get()]);
        let configuration = nic.and_then(|nic| {
            nic.ip_configurations.iter().find(|configuration| configuration.address == Some(source))
        });
        let own = configuration.and_then(|configuration| configuration.public_ip.as_ref());
        let address_of = |public_ip: PublicIpIndex| network.public_ips[public_ip.get()].address;
        let own_public = own.and_then(Reference::here).and_then(address_of);
        let exit = |by, source| Exit { interface: from, by, source, own_public };

        match &subnet.nat_gateway {
            Some(Reference::Here(gateway)) => {
                let gateway = &network.nat_gateways[gateway.get()];
                let only = match gateway.public_ips.as_slice() {
                    [Reference::Here(one)] if gateway.public_prefixes.is_empty() => address_of(*one),
                    _ => None,
                };
                return exit(Way::Through(Snat::NatGateway), only);
            }
            Some(Reference::Missing(_)) => return exit(Way::Through(Snat::NatGateway), None),
            None => {}
        }
        let Some(nic) = nic else {
            // An interface that is not listed may have a public address, without which a private subnet has no way out.
            let by = if subnet.default_outbound_access {
                Way::Somehow
            } else {
                Way::SomehowIf(Unknown::ResourceAllows { resource: subnet.id.clone() })
            };
            return exit(by, None);
        };
        if own.is_some() {
            return exit(Way::Through(Snat::InstancePublicIp), own_public);
        }
        let balanced = nic.ip_configurations.iter().flat_map(|configuration| &configuration.backend_pools);
        for pool in balanced {
            let balancer = pool.parent(1);
            let known = network.load_balancers.iter().find(|known| Some(&known.id) == balancer.as_ref());
            // A load balancer with private frontends alone gives no way out.
            if known.is_none_or(|known| known.frontends.iter().any(|frontend| frontend.public_ip.is_some())) {
                let question = Unknown::FeatureAllows { feature: Feature::LoadBalancer, resource: balancer };
                return exit(Way::SomehowIf(question), None);
            }
        }
        // Any interface of the machine with a Standard address takes default outbound access away (OUT-2).
        let machine = |other: &&crate::model::network::Nic| {
            other.id == nic.id || (nic.machine.is_some() && other.machine == nic.machine)
        };
        let addresses = network
            .nics
            .iter()
            .filter(machine)
            .flat_map(|nic| &nic.ip_configurations)
            .filter_map(|configuration| configuration.public_ip.as_ref());
        let (mut standard, mut unknown) = (false, None);
        for public_ip in addresses {
            let (sku, id) = match public_ip {
                Reference::Here(public_ip) => {
                    let public_ip = &network.public_ips[public_ip.get()];
                    (public_ip.sku, &public_ip.id)
                }
                Reference::Missing(id) => (None, id),
            };
            standard |= sku == Some(PublicIpSku::Standard);
            if sku.is_none() {
                unknown.get_or_insert_with(|| Unknown::ResourceAllows { resource: id.clone() });
            }
        }
        // A private subnet is private only to machines, not to the services that it is delegated to (OUT-4, TOP-8).
        let default = subnet.default_outbound_access || !subnet.delegations.is_empty();
        let by = match (default && !standard, unknown) {
            (false, _) => Way::None,
            (true, None) => Way::Through(Snat::DefaultOutboundAccess),
            (true, Some(question)) => Way::ThroughIf(Snat::DefaultOutboundAccess, question),
        };
        exit(by, None)
    }

    fn start_outside(&mut self, ends: Ends, source: IpAddr, destination: IpAddr) {
        let compiled = self.compiled;
        let platform = ends.origin == Origin::Platform;
        // The platform does not come by public addresses.
        if !platform && compiled.places.public(destination).is_some() {
            self.enter_by_public_address(destination, SeenSource::Own);
            return;
        }
        // Seen after translation: addressed to a private address.
        if let Some(nic) = ends.stray {
            self.enter_interface(nic);
            return;
        }
        let Some(vnet) = ends.vnet else {
            if platform {
                self.no_endpoint(destination);
                return;
            }
            if self.target.is_some() {
                self.service_firewall(None, None);
                return;
            }
            self.lost(Reason::Route(RouteEnd::NoPublicIp));
            return;
        };
        let mut gate = Gate::Open;
        if let Some(Owner::Nic(nic, place)) = compiled.places.owner(vnet, destination) {
            // Only what comes from the internet comes through the public address.
            if !platform && internet_base().contains(source) {
                gate = self.gate(nic, place);
            }
            let nic_resource = &compiled.network.nics[nic.get()];
            if !platform && nic_resource.ip_configurations[place as usize].public_ip.is_none() {
                self.journey.notes.push(Note::NoPublicAddress { nic });
            }
        }
        self.arrive(vnet, destination, gate);
    }

    /// What stands in front of an IP configuration without an NSG.
    fn gate(&self, nic: NicIndex, place: u32) -> Gate {
        let network = &self.compiled.network;
        let configuration = &network.nics[nic.get()].ip_configurations[place as usize];
        let balanced = configuration.backend_pools.iter().chain(&configuration.inbound_nat_rules).next();
        match (&configuration.public_ip, balanced) {
            (None, None) => Gate::Open,
            // Behind a load balancer the balancer's SKU decides, which is not followed yet.
            (None, Some(pool)) => Gate::Unknown(Unknown::FeatureAllows {
                feature: Feature::LoadBalancer,
                resource: pool.parent(1),
            }),
            (Some(Reference::Missing(public_ip)), _) => {
                Gate::Unknown(Unknown::ResourceAllows { resource: public_ip.clone() })
            }
            (Some(Reference::Here(index)), _) => {
                let public_ip = &network.public_ips[index.get()];
                match public_ip.sku {
                    Some(PublicIpSku::Basic) => Gate::Open,
                    Some(PublicIpSku::Standard) => Gate::Closed(*index),
                    None => {
                        Gate::Unknown(Unknown::ResourceAllows { resource: public_ip.id.child("sku", "name") })
                    }
                }
            }
        }
    }

    /// Arrival at a public address, if it is one of the inventory.
    fn enter_by_public_address(&mut self, destination: IpAddr, source: SeenSource) {
        let network = &self.compiled.network;
        let Some((public_ip, owner)) = self.compiled.places.public(destination) else { return };
        match owner {
            PublicOwner::Nic(nic, place) => {
                let Some(private) = network.nics[nic.get()].ip_configurations[place as usize].address else {
                    self.lost(Reason::Route(RouteEnd::NoEndpoint));
                    return;
                };
                let gate = self.gate(nic, place);
                self.journey.rewritten_destination = Some(private);
                self.journey.stages.push(Stage::Mapped);
                let filter = self.enter_interface(nic);
                filter.destination = Some(private);
                filter.source = source;
                filter.gate = gate;
            }
            PublicOwner::LoadBalancer(balancer) => {
                let id = network.load_balancers[balancer.get()].id.clone();
                self.feature(Feature::LoadBalancer, Some(id));
            }
            PublicOwner::NatGateway(gateway) => self.lost(Reason::NatGateway(gateway)),
            PublicOwner::Service => {
                let id = network.public_ips[public_ip.get()].id.clone();
                self.feature(Feature::ServicePublicIp, Some(id));
            }
            PublicOwner::Nobody => self.lost(Reason::Route(RouteEnd::NoPublicIp)),
        }
    }

    /// Through a gateway a packet enters at the gateway's network; only the destination filters (GW-2).
    fn enter_by_gateway(&mut self, gateway: GatewayIndex, destination: IpAddr) {
        let compiled = self.compiled;
        let network = &compiled.network;
        let resource = &network.gateways[gateway.get()];
        let vnet = match &resource.vnet {
            Some(Reference::Here(vnet)) => *vnet,
            Some(Reference::Missing(vnet)) => return self.missing(vnet.clone()),
            None => return self.missing(resource.id.clone()),
        };
        let by_name = || {
            let mut subnets = network.vnets[vnet.get()].subnets.iter().copied();
            subnets
                .find(|subnet| network.subnets[subnet.get()].id.name().eq_ignore_ascii_case("GatewaySubnet"))
        };
        let subnet = resource.subnet.as_ref().and_then(Reference::here).or_else(by_name);
        if let (None, Some(Reference::Missing(subnet))) = (subnet, &resource.subnet) {
            // Its routes may lead elsewhere.
            return self.missing(subnet.clone());
        }
        if let Some(subnet) = subnet {
            let table = &compiled.routes[subnet.get()];
            if let Some(table) = &table.unknown_table {
                return self.missing(table.clone());
            }
            let diverted =
                table.routes.iter().any(|route| route.user.is_some() && route.prefix.contains(&destination));
            if diverted {
                self.feature(Feature::GatewayRoutes, Some(network.subnets[subnet.get()].id.clone()));
                return;
            }
        }
        if within(&network.vnets[vnet.get()].address_space, destination) {
            self.arrive(vnet, destination, Gate::Open);
            return;
        }
        // Peers that use this gateway (PEER-5).
        let mut unknown = None;
        for peering in peerings::connected(network, vnet).filter(|peering| peering.side.allow_gateway_transit)
        {
            match peering.prefixes(network) {
                Ok(space) if within(space, destination) => {}
                Ok(_) => continue,
                Err(remote) => {
                    unknown.get_or_insert_with(|| remote.clone());
                    continue;
                }
            }
            match (peering.remote, peering.back) {
                (Some(remote), Some(back))
                    if back.use_remote_gateways && peerings::gateways_in(network, remote).is_empty() =>
                {
                    return self.arrive(remote, destination, Gate::Open);
                }
                (None, _) => {
                    if let Reference::Missing(remote) = &peering.side.remote {
                        return self.missing(remote.clone());
                    }
                }
                (Some(_), _) => {}
            }
        }
        match unknown {
            Some(remote) => self.missing(remote),
            None => self.lost(Reason::Route(RouteEnd::NoGatewayTransit { interface: None })),
        }
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
        self.journey.stages.push(Stage::OnlyIf(question));
    }
}

fn system_route(interface: Interface, prefix: Prefix, next_hop: NextHopKind) -> RouteStep {
    let source = RouteSource::System;
    RouteStep { interface, prefix, source, next_hop, next_hop_address: None, name: None }
}

/// An address that the platform keeps for itself (PLAT-1 to PLAT-4).
fn is_platform(address: IpAddr) -> bool {
    PLATFORM_ADDRESSES.iter().any(|platform| fixed(platform).contains(&address))
}

/// An address of the host below the machine, to which no route leads (PLAT-8).
fn is_host_service(address: IpAddr) -> bool {
    [PLATFORM, METADATA].iter().any(|service| fixed(service).contains(&address))
}

/// Whether the endpoint policies of a subnet let its packets through to an account (SEP-1), or the question whether they
/// do.
fn policies_allow(
    network: &Network,
    subnet: SubnetIndex,
    target: Option<ServiceAccountIndex>,
    address: IpAddr,
) -> Result<bool, Unknown> {
    let at = &network.subnets[subnet.get()];
    let unnamed = || Unknown::PolicyNamesAccountAt { subnet: at.id.clone(), address };
    let Some(target) = target else { return Err(unnamed()) };
    let account = &network.service_accounts[target.get()].id;
    let mut open = None;
    for id in &at.endpoint_policies {
        let Some(policy) = network.endpoint_policies.iter().find(|policy| policy.id == *id) else {
            open.get_or_insert_with(|| Unknown::ResourceAllows { resource: id.clone() });
            continue;
        };
        for entry in policy.definitions.iter().flat_map(|(_, resources)| resources) {
            // Aliases name groups of accounts that are Microsoft's own.
            if entry.to_ascii_lowercase().starts_with("/services/") {
                open.get_or_insert_with(unnamed);
            } else if ResourceId::new(entry).is_some_and(|entry| account.is_under(&entry)) {
                return Ok(true);
            }
        }
    }
    open.map_or(Ok(false), Err)
}
