//! What one interface says to a packet: its record of the flow, or else admin rules, the gate and the NSGs (EVAL).

use nsgsim::model::assumptions::{IdleTime, RevokedReplies};
use nsgsim::model::flow::{Fragment, Packet};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, NicIndex, NsgIndex, PublicIpIndex, Reference, SubnetIndex};
use nsgsim::model::network::{Network, PublicIpSku};
use nsgsim::model::rule::{Access, Direction};
use nsgsim::model::services::AdminAction;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{BalancerFault, Interface, Layer, Reason, RuleHit, StepAnswer};

use super::journey::{End, Stop, Walk, deny};
use super::rules::{NsgAnswer, Seen, Surroundings};
use super::state::{Entrance, FlowKey, Record, Slot};

/// How a packet comes to an interface.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) entrance: Entrance,
    pub(crate) gate: Gate,
}

/// What closes an interface without any NSG (EVAL-11).
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    Open,
    /// The public address that the packet came in by: its SKU tells.
    Of(PublicIpIndex),
    /// It hangs on this resource.
    Unknown(ResourceId),
    /// An internal Standard load balancer, where that is assumed to be closed.
    Inside(LoadBalancerIndex),
}

impl Door {
    /// From inside the network.
    pub(crate) fn inside() -> Self {
        Self { entrance: Entrance::Nothing, gate: Gate::Open }
    }

    /// By a public address of the interface's own.
    pub(crate) fn public_ip(network: &Network, public_ip: PublicIpIndex) -> Self {
        let id = network.public_ips[public_ip.get()].id.clone();
        Self { entrance: Entrance::PublicIp(id), gate: Gate::Of(public_ip) }
    }
}

impl<'a> Walk<'a> {
    /// One interface: the record of the flow passes the packet (STATE-1), or else the filters are
    /// asked, and a packet that they allow leaves a record. Returns what the flow came in by, if it passes by the record
    /// of one that did.
    pub(crate) fn at_interface(
        &mut self,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        seen: &Seen,
        door: &Door,
    ) -> Result<Option<Entrance>, Stop> {
        if self.topology_only {
            return Ok(None);
        }
        // STATE-11: a later fragment whose first was seen does not come here.
        if matches!(packet.fragment, Fragment::Later { .. }) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        let key = FlowKey::of(&seen.tuple, packet.icmp, direction);
        if packet.tcp.is_some_and(|flags| flags.opens()) {
            // STATE-7: it starts anew.
            self.records.remove(&self.slot(interface, key));
        }
        let quoted = FlowKey::quoted(packet, direction);
        // A packet whose source nobody knows cannot be told to be of a flow.
        let keys = quoted.into_iter().chain([key]).filter(|_| !seen.source_is_hidden);
        for key in keys {
            if let Some(mut record) = self.live(interface, key)? {
                if record.see(packet.tcp, direction, self.now_ns) {
                    self.records.remove(&self.slot(interface, key));
                } else {
                    self.records.insert(self.slot(interface, key), record.clone());
                }
                // STATE-5.
                let passes =
                    self.view.assumptions.state_5 == RevokedReplies::Allowed && direction != record.direction;
                if let Some(reason) = record.revoked_by.filter(|_| !passes) {
                    let (direction, answer) = match reason {
                        Reason::SecurityRule(hit) => (hit.direction, StepAnswer::Rule(hit)),
                        Reason::AdminRule(hit) => {
                            (hit.direction, StepAnswer::AdminRule(hit, AdminAction::Deny))
                        }
                        _ => unreachable!("flows are revoked by rules alone"),
                    };
                    self.step(interface, direction, answer, Access::Deny, seen);
                    return deny(reason);
                }
                self.step(interface, direction, StepAnswer::FlowTable, Access::Allow, seen);
                return Ok((record.direction == Direction::Inbound).then_some(record.entrance));
            }
        }
        self.filters(interface, direction, seen, &door.gate)?;
        self.remember(interface, direction, packet, seen, &door.entrance);
        Ok(None)
    }

    /// STATE-1: a packet that is allowed leaves a record.
    pub(crate) fn remember(
        &mut self,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        seen: &Seen,
        entrance: &Entrance,
    ) {
        let key = FlowKey::of(&seen.tuple, packet.icmp, direction);
        // A flow whose remote end nobody knows cannot be told from others later.
        if !seen.source_is_hidden {
            let mut first = *packet;
            first.five_tuple = seen.tuple;
            let mut record = Record::new(first, direction, entrance.clone(), self.now_ns);
            record.forgotten_after_min = self.forgotten_after_min;
            if !record.see(packet.tcp, direction, self.now_ns) {
                let slot = self.slot(interface, key);
                self.own_records.insert(slot.clone());
                self.records.insert(slot, record);
            }
        }
    }

    /// STATE-1, STATE-7: an open flow at this interface goes on with the packet.
    pub(crate) fn flow_goes_on(
        &self,
        interface: Interface,
        direction: Direction,
        packet: &Packet,
        seen: &Seen,
    ) -> Result<bool, Stop> {
        if packet.tcp.is_some_and(|flags| flags.opens()) {
            return Ok(false);
        }
        let key = FlowKey::of(&seen.tuple, packet.icmp, direction);
        for key in FlowKey::quoted(packet, direction).into_iter().chain([key]) {
            // Only a look: nothing is written down.
            if self.clone().live(interface, key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the record of a flow stands.
    fn slot(&self, interface: Interface, key: FlowKey) -> Slot {
        let id = match interface {
            Interface::Nic(nic) => &self.view.network.nics[nic.get()].id,
            // Interfaces that are not listed are told apart by their addresses, which are in the key.
            Interface::Unlisted(subnet) => self.view.subnet_id(subnet),
            Interface::Endpoint(endpoint) => &self.view.network.private_endpoints[endpoint.get()].id,
            Interface::Service(_) => unreachable!("a service keeps no records here"),
        };
        (id.clone(), key)
    }

    /// STATE-6: the record of a flow that has not been idle for too long. Whether one exists may be a question.
    fn live(&mut self, interface: Interface, key: FlowKey) -> Result<Option<Record>, Stop> {
        let slot = self.slot(interface, key);
        // A packet never meets a record that it left itself.
        if self.own_records.contains(&slot) {
            return Ok(None);
        }
        let Some(mut record) = self.records.get(&slot).cloned() else { return Ok(None) };
        let subnet = self.surroundings(interface).ok();
        let set = subnet.and_then(|subnet| {
            let vnet = self.view.vnet_of(subnet);
            self.view.network.vnets[vnet.get()].flow_timeout_min
        });
        let unset = match self.view.assumptions.state_6 {
            IdleTime::FourMinutes => 4,
            IdleTime::ThirtyMinutes => 30,
        };
        let expired = record.is_expired(self.now_ns, set.unwrap_or(unset));
        let open = match record.doubt.take() {
            _ if expired => false,
            None => true,
            Some(because) => self.view.world.ask(Unknown::FlowIsOpen { because: Box::new(because) })?,
        };
        if open {
            Ok(Some(record))
        } else {
            self.records.remove(&slot);
            Ok(None)
        }
    }

    /// EVAL-2, EVAL-3, EVAL-11: admin rules, the gate, then the NSGs in the order of the direction.
    pub(crate) fn filters(
        &mut self,
        interface: Interface,
        direction: Direction,
        seen: &Seen,
        gate: &Gate,
    ) -> Result<(), Stop> {
        if self.admin_rules(interface, direction, seen)? {
            return Ok(());
        }
        if let Some(nic) = interface.nic() {
            self.gate(nic, gate, seen)?;
        }
        let order = match direction {
            Direction::Inbound => [Layer::SubnetNsg, Layer::NicNsg],
            Direction::Outbound => [Layer::NicNsg, Layer::SubnetNsg],
        };
        for layer in order {
            match layer {
                Layer::SubnetNsg => self.subnet_level(interface, direction, seen)?,
                Layer::NicNsg => self.nic_level(interface, direction, seen)?,
            }
        }
        Ok(())
    }

    /// EVAL-11: a Standard public address in front of an interface without any NSG is closed.
    fn gate(&mut self, nic: NicIndex, gate: &Gate, seen: &Seen) -> Result<(), Stop> {
        let network = self.view.network;
        let Ok(subnet) = self.place_of(nic) else {
            // The subnet's level asks.
            return Ok(());
        };
        if network.nics[nic.get()].nsg.is_some() || network.subnets[subnet.get()].nsg.is_some() {
            return Ok(());
        }
        let public_ip = match gate {
            Gate::Open => return Ok(()),
            Gate::Unknown(id) => return self.missing_must_allow(id),
            Gate::Inside(balancer) => {
                let fault = BalancerFault::NoSecurityGroup;
                return deny(Reason::LoadBalancer { balancer: *balancer, fault });
            }
            Gate::Of(public_ip) => *public_ip,
        };
        let address = &network.public_ips[public_ip.get()];
        match address.sku {
            Some(PublicIpSku::Basic) => Ok(()),
            None => self.missing_must_allow(&address.id),
            Some(PublicIpSku::Standard) => {
                let (interface, answer) = (Interface::Nic(nic), StepAnswer::PublicIpGate(public_ip));
                self.step(interface, Direction::Inbound, answer, Access::Deny, seen);
                deny(Reason::PublicIpGate { public_ip, nic })
            }
        }
    }

    /// Where an interface stands; `Err` where the inventory lacks the subnet.
    pub(crate) fn surroundings(&self, interface: Interface) -> Surroundings<'a> {
        let network = self.view.network;
        match interface {
            Interface::Nic(nic) => self.place_of(nic),
            Interface::Unlisted(subnet) => Ok(subnet),
            Interface::Endpoint(endpoint) => {
                let at = &network.private_endpoints[endpoint.get()];
                match &at.subnet {
                    Some(Reference::Here(subnet)) => Ok(*subnet),
                    Some(Reference::Missing(id)) => Err(id),
                    None => Err(&at.id),
                }
            }
            Interface::Service(account) => Err(&network.service_accounts[account.get()].id),
        }
    }

    /// GW-1, FW-1: an NSG there is not enforced.
    pub(crate) fn enforces_nsg(&self, subnet: SubnetIndex) -> bool {
        let special = ["GatewaySubnet", "AzureFirewallSubnet"];
        !special.iter().any(|name| self.view.subnet_id(subnet).name().eq_ignore_ascii_case(name))
    }

    fn subnet_level(&mut self, interface: Interface, direction: Direction, seen: &Seen) -> Result<(), Stop> {
        let subnet = match self.surroundings(interface) {
            Ok(subnet) => subnet,
            // JSON-3: an NSG may name it from its side.
            Err(missing) => {
                let mut nsgs = self.view.network.nsgs.iter();
                return match nsgs.position(|nsg| nsg.attached_subnets.contains(missing)) {
                    Some(nsg) => {
                        let nsg = Reference::Here(NsgIndex::new(nsg));
                        self.level(interface, direction, Layer::SubnetNsg, Some(&nsg), seen)
                    }
                    None => self.missing_must_allow(missing),
                };
            }
        };
        if !self.enforces_nsg(subnet) || self.passes_unfiltered(interface) {
            return Ok(());
        }
        let at = &self.view.network.subnets[subnet.get()];
        self.level(interface, direction, Layer::SubnetNsg, at.nsg.as_ref(), seen)
    }

    fn nic_level(&mut self, interface: Interface, direction: Direction, seen: &Seen) -> Result<(), Stop> {
        match interface {
            Interface::Nic(nic) => {
                let nsg = self.view.network.nics[nic.get()].nsg.as_ref();
                self.level(interface, direction, Layer::NicNsg, nsg, seen)
            }
            // PE-3.
            Interface::Endpoint(_) => Ok(()),
            Interface::Service(_) => unreachable!("a service has a firewall, not NSGs"),
            Interface::Unlisted(_) => {
                let address = match direction {
                    Direction::Inbound => seen.tuple.destination,
                    Direction::Outbound => seen.tuple.source,
                };
                self.must_hold(Unknown::UnlistedNicAllows { address })
            }
        }
    }

    /// EVAL-4, EVAL-5: one level with its NSG, if it has one.
    fn level(
        &mut self,
        interface: Interface,
        direction: Direction,
        layer: Layer,
        nsg: Option<&Reference<NsgIndex>>,
        seen: &Seen,
    ) -> Result<(), Stop> {
        let nsg = match nsg {
            None => return Ok(()),
            Some(Reference::Missing(id)) => {
                return self.must_hold(Unknown::NsgAllows { nsg: id.clone(), direction });
            }
            Some(Reference::Here(nsg)) => *nsg,
        };
        let place = self.surroundings(interface);
        match self.view.ask_nsg(nsg, direction, interface, place, seen)? {
            NsgAnswer::Hidden(Access::Allow) => Ok(()),
            NsgAnswer::Hidden(Access::Deny) => Err(hidden_source(seen)),
            NsgAnswer::Rule(position, access) => {
                let rule = u32::try_from(position).expect("an NSG has fewer than 2^32 rules");
                let hit = RuleHit { interface, direction, layer, nsg, rule };
                self.step(interface, direction, StepAnswer::Rule(hit), access, seen);
                match access {
                    Access::Allow => Ok(()),
                    // EVAL-7.
                    Access::Deny => deny(Reason::SecurityRule(hit)),
                }
            }
        }
    }
}

/// The packet ends at a filter that depends on a source that nobody knows.
pub(crate) fn hidden_source(seen: &Seen) -> Stop {
    Stop::End(End::Unknown(Unknown::TranslatedSource { address: seen.tuple.source }))
}
