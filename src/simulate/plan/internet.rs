//! Out to the internet and in from it, by public addresses (PIP, OUT, EVAL-11).

use super::{Builder, Ends};
use crate::compile::balancers::{DEFAULT_IDLE_MIN, missing_balancer};
use crate::compile::places::{Owner, PublicOwner};
use crate::compile::surroundings::internet_base;
use crate::model::assumptions::FirstWayOut;
use crate::model::flow::Origin;
use crate::model::flow::Port;
use crate::model::index::{NicIndex, PublicIpIndex, Reference, SubnetIndex};
use crate::model::network::{Nic, PublicIpSku, Subnet};
use crate::model::subscription::SubscriptionKind;
use crate::model::unknown::{Feature, Unknown};
use crate::model::verdict::{Interface, Note, Reason, RouteEnd, Snat};
use crate::simulate::journey::{Exit, Gate, Stage, Way};
use crate::simulate::state::Entrance;
use std::net::IpAddr;

impl Builder<'_> {
    /// Out to the internet, by the first means that applies (OUT-1), and back in where a public address of the
    /// inventory is called.
    pub(super) fn leave_to_internet(&mut self, from: Interface, subnet: SubnetIndex) {
        let network = &self.compiled.network;
        let (by, source) = self.way_out(from, subnet);
        let gateway = network.subnets[subnet.get()].nat_gateway.as_ref().and_then(Reference::here);
        let sender = from.nic().map_or(&network.subnets[subnet.get()].id, |nic| &network.nics[nic.get()].id);
        self.journey.stages.push(Stage::Exit(Exit {
            interface: from,
            by,
            source,
            nat_idle_timeout_min: gateway
                .and_then(|gateway| network.nat_gateways[gateway.get()].idle_timeout_min),
            blocks_smtp: network.subscription_kind(sender).is_some_and(SubscriptionKind::blocks_smtp),
        }));
        if self.compiled.places.public(self.destination).is_none() {
            self.service_firewall(None, Some(network.subnets[subnet.get()].vnet));
        }
        self.enter_by_public_address();
    }

    /// How an interface's packets leave, and under which source, where that is known.
    fn way_out(&self, from: Interface, subnet: SubnetIndex) -> (Way, Option<IpAddr>) {
        let network = &self.compiled.network;
        let subnet = &network.subnets[subnet.get()];
        let own_goes_first = self.compiled.assumptions.out_1 == FirstWayOut::Instance;
        if own_goes_first && let Some(own) = self.own_address(from) {
            return own;
        }
        match &subnet.nat_gateway {
            Some(Reference::Here(gateway)) => {
                let gateway = &network.nat_gateways[gateway.get()];
                let only = match gateway.public_ips.as_slice() {
                    [Reference::Here(one)] if gateway.public_prefixes.is_empty() => self.address_of(*one),
                    _ => None,
                };
                return (Way::Through(Snat::NatGateway), only);
            }
            Some(Reference::Missing(_)) => return (Way::Through(Snat::NatGateway), None),
            None => {}
        }
        let Some(index) = from.nic() else {
            // An interface that is not listed may have a public address, without which a private subnet has no way out.
            let by = if subnet.default_outbound_access {
                Way::Somehow
            } else {
                Way::SomehowIf(Unknown::ResourceAllows { resource: subnet.id.clone() })
            };
            return (by, None);
        };
        let nic = &network.nics[index.get()];
        let sends = |place: &usize| nic.ip_configurations[*place].address == Some(self.source);
        let Some(place) = (0..nic.ip_configurations.len()).find(sends) else {
            return (Way::SomehowIf(Unknown::ForeignSourceLeaves { nic: nic.id.clone() }), None);
        };
        if let Some(own) = self.own_address(from) {
            return own;
        }
        match self.balanced(index, place) {
            Some(by) => (by, None),
            None => (self.default_outbound(nic, subnet), None),
        }
    }

    /// By the public address of the configuration that sends, if it has one (PIP-1).
    fn own_address(&self, from: Interface) -> Option<(Way, Option<IpAddr>)> {
        let nic = &self.compiled.network.nics[from.nic()?.get()];
        let mut configurations = nic.ip_configurations.iter();
        let sender = configurations.find(|configuration| configuration.address == Some(self.source))?;
        let address = match sender.public_ip.as_ref()? {
            Reference::Here(own) => self.address_of(*own),
            Reference::Missing(_) => None,
        };
        Some((Way::Through(Snat::InstancePublicIp), address))
    }

    fn address_of(&self, public_ip: PublicIpIndex) -> Option<IpAddr> {
        self.compiled.network.public_ips[public_ip.get()].address
    }

    /// By a load balancer: for its rules' protocols, and for primary IP configurations only (OUT-3).
    fn balanced(&self, nic: NicIndex, place: usize) -> Option<Way> {
        let resource = &self.compiled.network.nics[nic.get()];
        let places =
            || 0..u32::try_from(resource.ip_configurations.len()).expect("an interface has few addresses");
        let outbound = |place| self.compiled.balancers.served(nic, place).map(|served| &served.outbound);
        // Such a rule is an explicit method for the whole interface, whether or not it carries the packet (OUT-2).
        let explicit = places().any(|place| outbound(place).is_some_and(|rules| !rules.is_empty()));
        let primary = places().nth(place).filter(|_| resource.primary() == place);
        let rules = primary.and_then(outbound).cloned().unwrap_or_default();
        let missing = primary.and_then(|primary| missing_balancer(&self.compiled.network, nic, primary));
        let otherwise = missing.map(|resource| Unknown::ResourceAllows { resource });
        match otherwise {
            Some(question) if rules.is_empty() => Some(Way::SomehowIf(question)),
            otherwise => explicit.then_some(Way::Balanced { rules, otherwise }),
        }
    }

    /// By default outbound access, if the interface has it (OUT-2).
    fn default_outbound(&self, nic: &Nic, subnet: &Subnet) -> Way {
        let network = &self.compiled.network;
        // Any interface of the machine with a Standard address takes default outbound access away.
        let machine =
            |other: &&Nic| other.id == nic.id || (nic.machine.is_some() && other.machine == nic.machine);
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
        // Instances of Flexible scale sets never have it.
        let flexible =
            nic.machine.as_ref().is_some_and(|machine| network.flexible_machines.contains(machine));
        match (default && !standard && !flexible, unknown) {
            (false, _) => Way::None,
            (true, None) => Way::Through(Snat::DefaultOutboundAccess),
            (true, Some(question)) => Way::ThroughIf(Snat::DefaultOutboundAccess, question),
        }
    }

    /// In from the internet, or from the platform.
    pub(super) fn start_outside(&mut self, ends: Ends) {
        let compiled = self.compiled;
        let platform = ends.origin == Origin::Platform;
        // The platform does not come by public addresses.
        if !platform && compiled.places.public(self.destination).is_some() {
            self.enter_by_public_address();
            return;
        }
        // Seen after translation: addressed to a private address.
        if let Some(nic) = ends.stray {
            if !platform {
                if !(ends.observed || self.is_reachable_at(nic)) {
                    self.lost(Reason::Route(RouteEnd::NoPublicIp));
                    return;
                }
                self.journey.stages.push(Stage::CameIn(Entrance::Instance(None), None));
            }
            self.enter_interface(nic);
            return;
        }
        let Some(vnet) = ends.vnet else {
            if platform {
                self.no_endpoint();
                return;
            }
            if self.target.is_some() {
                self.service_firewall(None, None);
                return;
            }
            self.lost(Reason::Route(RouteEnd::NoPublicIp));
            return;
        };
        let owner = compiled.places.owner(vnet, self.destination);
        let reachable = match owner {
            Some(Owner::Nic(nic, _)) => self.is_reachable_at(nic),
            // What is in the network only is not reachable from the internet (TOP-1).
            Some(_) => false,
            None => true,
        };
        if !(platform || ends.observed || reachable) {
            self.lost(Reason::Route(RouteEnd::NoPublicIp));
            return;
        }
        let mut gate = Gate::Open;
        if let Some(Owner::Nic(nic, place)) = owner
            && !platform
        {
            // Only what comes from the internet comes through the public address.
            if internet_base().contains(self.source) {
                gate = self.gate(nic, place);
                self.came_in_translated(nic, place);
            }
        }
        self.arrive(vnet, gate);
    }

    /// Whether some public address leads to the interface's address that is the packet's destination.
    fn is_reachable_at(&self, nic: NicIndex) -> bool {
        let configurations = &self.compiled.network.nics[nic.get()].ip_configurations;
        let own = |place: &u32| configurations[*place as usize].address == Some(self.destination);
        let mut places =
            (0..u32::try_from(configurations.len()).expect("an interface has few addresses")).filter(own);
        places.any(|place| {
            configurations[place as usize].public_ip.is_some()
                || !self.public_frontends(nic, place).is_empty()
        })
    }

    /// By which public address a packet came in that was seen after its translation.
    fn came_in_translated(&mut self, nic: NicIndex, place: u32) {
        let own = &self.compiled.network.nics[nic.get()].ip_configurations[place as usize].public_ip;
        let entrance = match own {
            Some(own) => Entrance::Instance(own.here().and_then(|own| self.address_of(own))),
            None if self.public_frontends(nic, place).is_empty() => {
                self.journey.stages.push(Stage::Note(Note::NoPublicAddress { nic }));
                Entrance::Instance(None)
            }
            None => Entrance::Frontend { address: None, port: Port::NotGiven, public: true },
        };
        let timer = own.as_ref().and_then(Reference::here).map(|own| self.idle_timeout_min(own));
        self.journey.stages.push(Stage::CameIn(entrance, timer));
    }

    /// Idle time of TCP flows that come in by an instance address: IPv6 has a fixed one (STATE-15).
    fn idle_timeout_min(&self, public_ip: PublicIpIndex) -> u32 {
        let public_ip = &self.compiled.network.public_ips[public_ip.get()];
        let fixed = public_ip.address.is_some_and(|address| address.is_ipv6());
        public_ip.idle_timeout_min.filter(|_| !fixed).unwrap_or(DEFAULT_IDLE_MIN)
    }

    fn public_frontends(&self, nic: NicIndex, place: u32) -> &[Reference<PublicIpIndex>] {
        self.compiled.balancers.served(nic, place).map_or(&[], |served| &served.public)
    }

    /// What stands in front of an IP configuration without an NSG.
    fn gate(&self, nic: NicIndex, place: u32) -> Gate {
        let own = &self.compiled.network.nics[nic.get()].ip_configurations[place as usize].public_ip;
        if let Some(own) = own {
            return self.gate_of(own);
        }
        // Behind load balancers their frontends' addresses decide (LB-10): a packet came by one of them.
        let frontends = self.public_frontends(nic, place);
        let gates: Vec<Gate> = frontends.iter().map(|public_ip| self.gate_of(public_ip)).collect();
        let open = gates.iter().filter(|gate| **gate == Gate::Open).count();
        let unknown = gates.iter().find(|gate| matches!(gate, Gate::Unknown(_)));
        match (unknown, gates.first()) {
            (Some(unknown), _) => unknown.clone(),
            (None, None) => Gate::Open,
            (None, Some(first)) if open == 0 || open == gates.len() => first.clone(),
            (None, Some(_)) => Gate::Unknown(Unknown::ResourceAllows {
                resource: match &frontends[0] {
                    Reference::Here(public_ip) => {
                        self.compiled.network.public_ips[public_ip.get()].id.clone()
                    }
                    Reference::Missing(id) => id.clone(),
                },
            }),
        }
    }

    /// What a public address stands for in front of an interface without an NSG, by its SKU (EVAL-11).
    pub(super) fn gate_of(&self, public_ip: &Reference<PublicIpIndex>) -> Gate {
        match public_ip {
            Reference::Missing(public_ip) => {
                Gate::Unknown(Unknown::ResourceAllows { resource: public_ip.clone() })
            }
            Reference::Here(index) => {
                let public_ip = &self.compiled.network.public_ips[index.get()];
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
    fn enter_by_public_address(&mut self) {
        let network = &self.compiled.network;
        let public = self.destination;
        let Some((public_ip, owner)) = self.compiled.places.public(public) else { return };
        match owner {
            PublicOwner::Nic(nic, place) => {
                let Some(private) = network.nics[nic.get()].ip_configurations[place as usize].address else {
                    self.lost(Reason::Route(RouteEnd::NoEndpoint));
                    return;
                };
                let gate = self.gate(nic, place);
                let idle_timeout_min = self.idle_timeout_min(public_ip);
                self.journey.stages.push(Stage::Mapped { public, private, idle_timeout_min });
                self.enter_interface(nic).gate = gate;
            }
            PublicOwner::LoadBalancer(place) => self.enter_public_frontend(place),
            PublicOwner::NatGateway(gateway) => self.lost(Reason::NatGateway(gateway)),
            PublicOwner::Service => {
                let id = network.public_ips[public_ip.get()].id.clone();
                self.feature(Feature::ServicePublicIp, Some(id));
            }
            PublicOwner::Nobody => self.lost(Reason::Route(RouteEnd::NoPublicIp)),
        }
    }
}
