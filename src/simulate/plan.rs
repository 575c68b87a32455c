//! Lays out journeys: which filters, routes and translations lie between two places (EVAL-12).

use std::net::IpAddr;

use super::ends::Ends;
use super::journey::{End, Exit, Filter, Gate, Journey, SeenSource, Stage, Way};
use crate::compile::field::Doubt;
use crate::compile::network::CompiledNetwork;
use crate::compile::peerings;
use crate::compile::places::{Owner, PublicOwner, within};
use crate::compile::routes::{EffectiveRoute, Hop};
use crate::compile::surroundings::internet_base;
use crate::model::flow::Origin;
use crate::model::id::ResourceId;
use crate::model::index::{GatewayIndex, NicIndex, PublicIpIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::network::PublicIpSku;
use crate::model::rule::Direction;
use crate::model::verdict::{
    Feature, Interface, Note, Reason, RouteEnd, RouteSource, RouteStep, Snat, Unknown,
};

/// A journey under way.
pub(super) struct Builder<'c> {
    compiled: &'c CompiledNetwork,
    journey: Journey,
}

impl<'c> Builder<'c> {
    /// A journey of nothing yet.
    pub(super) fn new(compiled: &'c CompiledNetwork) -> Self {
        Self { compiled, journey: Journey::new() }
    }

    /// The journey as it stands.
    pub(super) fn finish(self) -> Journey {
        self.journey
    }

    /// Lays the way from the packet's start.
    pub(super) fn start(&mut self, ends: Ends, source: IpAddr, destination: IpAddr) {
        let network = &self.compiled.network;
        match ends.origin {
            Origin::Nic(nic) => self.start_at_nic(nic, source, destination),
            Origin::Unlisted(subnet) => {
                let vnet = network.subnets[subnet.get()].vnet;
                match self.compiled.places.owner(vnet, source) {
                    Some(
                        owner @ (Owner::PrivateEndpoint(_)
                        | Owner::LoadBalancer(_)
                        | Owner::PrivateLinkService),
                    ) => self.service(owner),
                    // An interface of the inventory starts its packets itself; this is one that is not listed.
                    Some(Owner::Nic(..)) | None => {
                        self.filters(Interface::Unlisted(subnet), Direction::Outbound);
                    }
                }
                self.route(Interface::Unlisted(subnet), subnet, source, destination);
            }
            Origin::Internet => self.start_outside(ends, source, destination),
            Origin::OnPremises(gateway) => self.enter_by_gateway(gateway, destination),
            Origin::Platform => self.feature(Feature::PlatformTraffic, None),
        }
    }

    fn start_at_nic(&mut self, nic: NicIndex, source: IpAddr, destination: IpAddr) {
        let compiled = self.compiled;
        let resource = &compiled.network.nics[nic.get()];
        // The spoof check comes before the rules (ROUTE-13).
        if !resource.has(source) && !resource.ip_forwarding {
            self.lost(Reason::IpForwarding { nic, direction: Direction::Outbound });
            return;
        }
        // A packet to itself does not leave the guest (EVAL-9).
        if resource.has(destination) {
            return;
        }
        self.filters(Interface::Nic(nic), Direction::Outbound);
        match &resource.subnet {
            Some(Reference::Here(subnet)) => {
                self.route(Interface::Nic(nic), *subnet, source, destination);
            }
            // Without its subnet nobody knows its routes.
            Some(Reference::Missing(subnet)) => self.missing(subnet.clone()),
            None => self.missing(resource.id.clone()),
        }
    }

    /// The filters of an interface, and what else decides there.
    pub(super) fn filters(&mut self, interface: Interface, direction: Direction) -> &mut Filter {
        let network = &self.compiled.network;
        let subnet = match interface {
            Interface::Nic(nic) => network.subnet_of(nic),
            Interface::Unlisted(subnet) => Some(subnet),
        };
        if let Some(subnet) = subnet {
            let vnet = &network.vnets[network.subnets[subnet.get()].vnet.get()].id;
            if self.has_admin_rules(vnet) {
                // An admin rule may deny, or deliver past the NSGs, or leave it to them (ADM-3).
                let rules = |action: &str| Unknown::FeatureAllows {
                    feature: Feature::AdminRules,
                    resource: Some(vnet.child("securityAdminRules", action)),
                };
                self.journey.stages.push(Stage::OnlyIf(rules("deny")));
                self.journey.stages.push(Stage::DeliveredIf(rules("alwaysAllow")));
            }
        }
        self.journey.filter(interface, direction)
    }

    fn has_admin_rules(&self, vnet: &ResourceId) -> bool {
        let network = &self.compiled.network;
        let managed = network.network_managers.iter().any(|manager| {
            manager.configurations.iter().any(|configuration| {
                configuration.deployed != Some(false)
                    && configuration.collections.iter().any(|collection| !collection.rules.is_empty())
            })
        });
        let effective = network.effective_admin_rules.iter().any(|rules| {
            !rules.rules.is_empty() && rules.vnet.as_ref().is_none_or(|concerned| concerned == vnet)
        });
        managed || effective
    }

    /// Routing at the sender's subnet (ROUTE-1).
    fn route(&mut self, from: Interface, subnet: SubnetIndex, source: IpAddr, destination: IpAddr) {
        let compiled = self.compiled;
        let network = &compiled.network;
        let vnet = network.subnets[subnet.get()].vnet;
        let table = &compiled.routes[subnet.get()];
        // A private endpoint in reach has a route of its own that beats shorter ones (PE-6).
        let reach = std::iter::once(vnet)
            .chain(peerings::connected(network, vnet).filter_map(|peering| peering.remote));
        for near in reach {
            if let Some(owner @ Owner::PrivateEndpoint(_)) = compiled.places.owner(near, destination) {
                self.service(owner);
                return;
            }
        }
        if table.service_endpoints.may_hold(destination) {
            self.feature(Feature::ServiceEndpoint, Some(network.subnets[subnet.get()].id.clone()));
            return;
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
            self.lost(Reason::Route(RouteEnd::None { interface: from, user_route: None }));
            return;
        };
        self.journey.routes.push(self.step(from, subnet, chosen));
        self.journey.before_routing = self.journey.stages.len();
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
                self.lost(Reason::Route(RouteEnd::None { interface: from, user_route: chosen.user }));
            }
            Hop::Other => self.feature(Feature::UnknownRoute, None),
        }
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
                let filter = self.filters(Interface::Nic(nic), Direction::Inbound);
                filter.destination = Some(destination);
                filter.gate = gate;
            }
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
            Owner::PrivateEndpoint(endpoint) => {
                (Feature::PrivateEndpoint, Some(&network.private_endpoints[endpoint.get()].id))
            }
            Owner::PrivateLinkService => (Feature::PrivateEndpoint, None),
            Owner::Nic(..) => unreachable!("an interface is asked for its filters"),
        };
        self.feature(feature, resource.cloned());
    }

    /// At an address inside a network that nobody of the inventory has (SIM-7).
    fn nobody(&mut self, vnet: VnetIndex, destination: IpAddr) {
        if let Some(subnet) = self.missing_subnet_of(vnet, destination) {
            self.missing(subnet);
        } else if self.compiled.partial_inventory {
            self.unknown(Unknown::OwnerAllows { address: destination });
        } else {
            self.journey.notes.push(Note::NoEndpoint { address: destination });
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
            return exit(Way::SomehowIf(Unknown::UnlistedNicAllows { address: source }), None);
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
        if compiled.places.public(destination).is_some() {
            self.enter_by_public_address(destination, SeenSource::Own);
            return;
        }
        // Seen after translation: addressed to a private address.
        if let Some(nic) = ends.stray {
            self.filters(Interface::Nic(nic), Direction::Inbound);
            return;
        }
        let Some(vnet) = ends.vnet else {
            self.lost(Reason::Route(RouteEnd::NoPublicIp));
            return;
        };
        let mut gate = Gate::Open;
        if let Some(Owner::Nic(nic, place)) = compiled.places.owner(vnet, destination) {
            // Only what comes from the internet comes through the public address.
            if internet_base().contains(source) {
                gate = self.gate(nic, place);
            }
            let nic_resource = &compiled.network.nics[nic.get()];
            if nic_resource.ip_configurations[place as usize].public_ip.is_none() {
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
                let filter = self.filters(Interface::Nic(nic), Direction::Inbound);
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
