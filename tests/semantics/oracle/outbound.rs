//! Out to the internet: by which translation, if by any (OUT).

use std::net::IpAddr;

use nsgsim::model::assumptions::FirstWayOut;
use nsgsim::model::flow::{Fragment, Icmp, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{PublicIpIndex, Reference};
use nsgsim::model::network::{Nic, PublicIpSku};
use nsgsim::model::routing::NatGateway;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::services::{Frontend, LoadBalancer, OutboundRule};
use nsgsim::model::subscription::SubscriptionKind;
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{Reason, Snat};

use super::backend::{Backend, Configuration, Reach};
use super::balancer::carries;
use super::journey::{End, Sender, Stop, Walk, deny, sent_from};
use super::rules::Seen;
use super::service::Client;
use super::space::View;
use super::state::Entrance;
use super::timer::{DEFAULT_MIN, nat_gateway_min};

/// The source of a packet that has left, where it is known.
type Left = Option<(IpAddr, Port)>;

/// A rule of a load balancer that translates what leaves the members of its pools.
struct WayOut<'a> {
    snat: Snat,
    protocol: Option<Protocol>,
    members: Vec<Backend>,
    /// The public addresses to which it may translate.
    public_ips: Vec<Option<&'a Reference<PublicIpIndex>>>,
    /// As it is set (STATE-15).
    idle_timeout_min: Option<u32>,
}

impl Walk<'_> {
    /// A packet whose route is `Internet` (OUT-1 to OUT-5).
    pub(crate) fn leave_to_internet(&mut self, sender: &Sender, packet: &Packet) -> Result<End, Stop> {
        self.leg_ends_outside();
        if self.topology_only {
            return Ok(self.allowed());
        }
        self.mail(sender, packet)?;
        let left = self.leave(sender, packet)?;
        let packet = &left.map_or(*packet, |(address, port)| sent_from(packet, address, port));
        let seen = Seen { source_is_hidden: left.is_none(), ..Seen::of(packet) };
        let Some(public_ip) = self.public_ip(packet.five_tuple.destination) else {
            let source = left.map(|(address, _)| address);
            let from = Some(self.view.vnet_of(sender.subnet));
            return self.at_service(Client::Public { source, from }, &seen);
        };
        // PIP-1: it comes back in by a public address of the inventory.
        self.begin_leg(left.map(|_| (seen.tuple.source, seen.tuple.source_port)));
        self.enter(public_ip, packet, &seen)
    }

    /// EVAL-13: the platform stops mail to the internet, where the kind of the subscription is known. What answers a
    /// flow from outside is none (OUT-5).
    fn mail(&self, sender: &Sender, packet: &Packet) -> Result<(), Stop> {
        let network = self.view.network;
        let tuple = &packet.five_tuple;
        let is_mail = tuple.protocol == Protocol::TCP && tuple.destination_port == Port::Number(25);
        let answers = sender.came_in_by.as_ref().is_some_and(|by| *by != Entrance::Nothing);
        let resource = match sender.interface.nic() {
            Some(nic) => &network.nics[nic.get()].id,
            None => self.view.subnet_id(sender.subnet),
        };
        let blocked = network.subscription_kind(resource).is_some_and(SubscriptionKind::blocks_smtp);
        if is_mail && blocked && !answers {
            let (interface, direction) = (sender.interface, Direction::Outbound);
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        Ok(())
    }

    /// OUT-1: how the packet leaves; returns its source after that.
    fn leave(&mut self, sender: &Sender, packet: &Packet) -> Result<Left, Stop> {
        let network = self.view.network;
        let tuple = &packet.five_tuple;
        // OUT-5 is about flows that came in through a public address or a load balancer.
        if let Some(came_in_by) = sender.came_in_by.as_ref().filter(|by| **by != Entrance::Nothing) {
            return Ok(self.leave_as_it_came(came_in_by, packet));
        }
        if self.view.assumptions.out_1 == FirstWayOut::Instance
            && let Some(left) = self.leave_by_own_address(sender, packet)?
        {
            return Ok(left);
        }
        let subnet = &network.subnets[sender.subnet.get()];
        if let Some(gateway) = &subnet.nat_gateway {
            return self.leave_by_nat_gateway(
                sender,
                gateway.here().map(|at| &network.nat_gateways[at.get()]),
                packet,
            );
        }
        let Some(nic) = sender.interface.nic() else {
            // An interface that is not listed may have a public address of its own.
            if !subnet.default_outbound_access {
                self.missing_must_allow(&subnet.id)?;
            }
            return Ok(None);
        };
        let own = self.view.configurations(|own| own.address == Some(tuple.source));
        let Some(own) = own.into_iter().find(|at| at.nic == nic) else {
            // No clause says by what a forwarded packet leaves.
            let nic = network.nics[nic.get()].id.clone();
            self.must_hold(Unknown::ForeignSourceLeaves { nic })?;
            return Ok(None);
        };
        if let Some(left) = self.leave_by_own_address(sender, packet)? {
            return Ok(left);
        }
        if let Some(left) = self.leave_by_balancer(sender, own, packet)? {
            return Ok(left);
        }
        self.default_outbound(sender, &network.nics[nic.get()], packet)
    }

    fn leave_by(&mut self, snat: Snat, source: Option<IpAddr>, packet: &Packet) -> Left {
        self.translation.snat = Some(snat);
        self.translation.source = source;
        source.map(|source| (source, packet.five_tuple.source_port))
    }

    /// PIP-1: by the public address of the sending configuration, if it has one.
    fn leave_by_own_address(&mut self, sender: &Sender, packet: &Packet) -> Result<Option<Left>, Stop> {
        let Some(nic) = sender.interface.nic() else { return Ok(None) };
        let own = self.view.configurations(|own| own.address == Some(packet.five_tuple.source));
        let Some(own) = own.into_iter().find(|at| at.nic == nic) else { return Ok(None) };
        let Some(public_ip) = &self.view.configuration(own).public_ip else { return Ok(None) };
        self.must_be_mapped(packet.five_tuple.protocol)?;
        let address = public_ip.here().and_then(|at| self.view.network.public_ips[at.get()].address);
        self.translated_outwards(packet.five_tuple.protocol);
        Ok(Some(self.leave_by(Snat::InstancePublicIp, address, packet)))
    }

    /// PIP-1 names the protocols of an instance address; of others no clause tells.
    pub(crate) fn must_be_mapped(&mut self, protocol: Protocol) -> Result<(), Stop> {
        match protocol {
            Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 | Protocol::ESP => Ok(()),
            _ => self.must_let_through(Feature::UnmappedProtocol, None),
        }
    }

    /// OUT-5.
    fn leave_as_it_came(&mut self, came_in_by: &Entrance, packet: &Packet) -> Left {
        match came_in_by {
            Entrance::PublicIp(id) => {
                let mut public_ips = self.view.network.public_ips.iter();
                let public_ip = public_ips.find(|public_ip| public_ip.id == *id)?;
                self.leave_by(Snat::InstancePublicIp, public_ip.address, packet)
            }
            Entrance::Frontend { public: true, address, port } => {
                let (address, _) = self.leave_by(Snat::LoadBalancerRule, *address, packet)?;
                Some((address, *port))
            }
            // The translation is made already.
            Entrance::Nothing | Entrance::PrivateLink | Entrance::Frontend { public: false, .. } => None,
        }
    }

    fn leave_by_nat_gateway(
        &mut self,
        sender: &Sender,
        gateway: Option<&NatGateway>,
        packet: &Packet,
    ) -> Result<Left, Stop> {
        // OUT-3.
        if !packet.five_tuple.protocol.has_ports() {
            return deny(Reason::OutboundConnectivity { interface: sender.interface });
        }
        self.translated(nat_gateway_min(gateway, packet.five_tuple.protocol));
        let address = gateway.and_then(|gateway| match gateway.public_ips.as_slice() {
            [Reference::Here(only)] if gateway.public_prefixes.is_empty() => {
                self.view.network.public_ips[only.get()].address
            }
            _ => None,
        });
        let address = address.filter(|address| of_family(address, packet));
        Ok(self.leave_by(Snat::NatGateway, address, packet))
    }

    /// OUT-1, OUT-3, LB-11: a load balancer that the sending configuration is a backend of. `None` where the interface
    /// has nothing to do with any.
    fn leave_by_balancer(
        &mut self,
        sender: &Sender,
        own: Configuration,
        packet: &Packet,
    ) -> Result<Option<Left>, Stop> {
        let (view, interface) = (self.view, sender.interface);
        let ways = view.ways_out();
        let configuration = view.configuration(own);
        if configuration.primary {
            let carrying = ways.iter().find(|way| {
                carries(way.protocol, packet.five_tuple.protocol)
                    && packet.five_tuple.protocol.has_ports()
                    && view.is_among(own, &way.members)
            });
            if let Some(way) = carrying {
                if packet.fragment != Fragment::Whole {
                    return deny(Reason::UnsupportedTraffic { interface, direction: Direction::Outbound });
                }
                match way.snat {
                    Snat::LoadBalancerOutboundRule => {
                        self.translated(way.idle_timeout_min.unwrap_or(DEFAULT_MIN));
                    }
                    _ => self.translated_by_rule(way.idle_timeout_min, packet.five_tuple.protocol),
                }
                let source = view.only_address(&way.public_ips).filter(|address| of_family(address, packet));
                return Ok(Some(self.leave_by(way.snat, source, packet)));
            }
            if let Some(missing) = view.missing_balancer(&configuration.backend_pools) {
                self.missing_must_allow(&missing)?;
                return Ok(Some(None));
            }
        }
        // OUT-2: an explicit method, whatever it carries, takes default outbound access away.
        let of_nic = view.configurations(|_| true).into_iter().filter(|at| at.nic == own.nic);
        let explicit = |at: Configuration| ways.iter().any(|way| view.is_among(at, &way.members));
        if of_nic.into_iter().any(explicit) {
            return deny(Reason::OutboundConnectivity { interface });
        }
        Ok(None)
    }

    /// OUT-2, OUT-3: default outbound access.
    fn default_outbound(&mut self, sender: &Sender, nic: &Nic, packet: &Packet) -> Result<Left, Stop> {
        let network = self.view.network;
        let (interface, direction) = (sender.interface, Direction::Outbound);
        let no_way = Reason::OutboundConnectivity { interface };
        // OUT-4, TOP-8: a delegated subnet is not private.
        let subnet = &network.subnets[sender.subnet.get()];
        if !subnet.default_outbound_access && subnet.delegations.is_empty() {
            return deny(no_way);
        }
        // TOP-7.
        if nic.machine.as_ref().is_some_and(|machine| network.flexible_machines.contains(machine)) {
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
        Ok(self.leave_by(Snat::DefaultOutboundAccess, None, packet))
    }
}

impl<'a> View<'a> {
    /// OUT-1: the rules by which load balancers translate what leaves, in the order in which they apply.
    fn ways_out(&self) -> Vec<WayOut<'a>> {
        let balancers = &self.network.load_balancers;
        let outbound = balancers.iter().flat_map(|balancer| {
            balancer.outbound_rules.iter().map(|rule| self.by_outbound_rule(balancer, rule))
        });
        let inbound = balancers.iter().flat_map(|balancer| {
            balancer.rules.iter().filter(|rule| !rule.disable_outbound_snat).filter_map(|rule| {
                let frontend = frontend_of(balancer, rule.frontend.as_ref()?)?;
                Some(WayOut {
                    snat: Snat::LoadBalancerRule,
                    protocol: rule.protocol,
                    members: self.pool_members(balancer, &rule.pools, Reach::Anywhere),
                    public_ips: vec![Some(frontend.public_ip.as_ref()?)],
                    idle_timeout_min: rule.idle_timeout_min,
                })
            })
        });
        outbound.chain(inbound).collect()
    }

    /// LB-11.
    fn by_outbound_rule(&self, balancer: &'a LoadBalancer, rule: &'a OutboundRule) -> WayOut<'a> {
        let pools: Vec<ResourceId> = rule.pool.iter().cloned().collect();
        let public_ip = |id| frontend_of(balancer, id).and_then(|frontend| frontend.public_ip.as_ref());
        WayOut {
            snat: Snat::LoadBalancerOutboundRule,
            protocol: rule.protocol,
            members: self.pool_members(balancer, &pools, Reach::Anywhere),
            public_ips: rule.frontends.iter().map(public_ip).collect(),
            idle_timeout_min: rule.idle_timeout_min,
        }
    }

    /// Whether a configuration is one of these members.
    fn is_among(&self, at: Configuration, members: &[Backend]) -> bool {
        members.iter().any(|member| match member {
            Backend::Here(other, _) => *other == at,
            // It has no address yet.
            Backend::Missing(id, _) => *id == self.configuration(at).id,
        })
    }

    /// The address that all of these come to, where they come to one.
    fn only_address(&self, public_ips: &[Option<&Reference<PublicIpIndex>>]) -> Option<IpAddr> {
        let address = |public_ip: &Option<&Reference<PublicIpIndex>>| {
            self.network.public_ips[(*public_ip)?.here()?.get()].address
        };
        let only = address(public_ips.first()?)?;
        public_ips.iter().all(|public_ip| address(public_ip) == Some(only)).then_some(only)
    }

    /// SIM-4: the load balancer of one of these pools, if the inventory lacks it.
    fn missing_balancer(&self, pools: &[ResourceId]) -> Option<ResourceId> {
        let known = |id: &ResourceId| self.network.load_balancers.iter().any(|balancer| balancer.id == *id);
        pools.iter().filter_map(|pool| pool.parent(1)).find(|balancer| !known(balancer))
    }
}

fn frontend_of<'a>(balancer: &'a LoadBalancer, id: &ResourceId) -> Option<&'a Frontend> {
    balancer.frontends.iter().find(|frontend| frontend.id == *id)
}

fn of_family(address: &IpAddr, packet: &Packet) -> bool {
    address.is_ipv4() == packet.five_tuple.destination.is_ipv4()
}
