//! What one interface says to a packet: its record of the flow, or else admin rules, the gate and the NSGs (EVAL).

use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Fragment, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NicIndex, NsgIndex, PublicIpIndex, Reference};
use nsgsim::model::network::PublicIpSku;
use nsgsim::model::rule::{Access, Direction, Protocol};
use nsgsim::model::verdict::{Feature, Interface, Layer, Reason, RuleHit, StepAnswer, Unknown};

use super::journey::{End, Stop, Walk, deny};
use super::rules::{LICENSING, METADATA, NsgAnswer, Seen};
use super::space::PLATFORM;
use super::state::{FlowKey, Record};

/// The idle time of a network that sets none, in minutes (STATE-6).
const DEFAULT_IDLE_MIN: u32 = 4;

/// Of a packet that passes by the record of a flow that came in: by which public address, where it is known.
pub(crate) type CameIn = Option<Option<PublicIpIndex>>;

impl Walk<'_> {
    /// One interface of the inventory: the record of the flow passes the packet (STATE-1), or else the filters are
    /// asked, and a packet that they allow leaves a record. Returns the public address that the flow came in by.
    pub(crate) fn at_nic(
        &mut self,
        nic: NicIndex,
        direction: Direction,
        packet: &Packet,
        seen: &Seen,
        entered_by: Option<PublicIpIndex>,
    ) -> Result<CameIn, Stop> {
        let interface = Interface::Nic(nic);
        // STATE-11: a later fragment whose first was seen does not come here.
        if matches!(packet.fragment, Fragment::Later { .. }) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        let key = FlowKey::of(&seen.tuple, packet.icmp, direction);
        if packet.tcp.is_some_and(|flags| flags.opens()) {
            // STATE-7: it starts anew.
            self.records.remove(&self.slot(nic, key));
        }
        let quoted = FlowKey::quoted(packet, direction);
        for key in quoted.into_iter().chain([key]) {
            if let Some(mut record) = self.live(nic, key)? {
                if record.see(packet.tcp, direction, self.now_ns) {
                    self.records.remove(&self.slot(nic, key));
                } else {
                    self.records.insert(self.slot(nic, key), record.clone());
                }
                // STATE-5.
                if let Some(hit) = record.revoked_by {
                    self.step(interface, hit.direction, StepAnswer::Rule(hit), Access::Deny, seen);
                    return deny(Reason::SecurityRule(hit));
                }
                self.step(interface, direction, StepAnswer::FlowTable, Access::Allow, seen);
                let by = record.entered_by.as_ref().and_then(|id| self.public_ip_by_id(id));
                return Ok((record.direction == Direction::Inbound).then_some(by));
            }
        }
        self.filters(interface, direction, seen, entered_by)?;
        // A flow whose remote end nobody knows cannot be told from others later.
        if !seen.source_is_hidden {
            let mut first = *packet;
            first.five_tuple = seen.tuple;
            let public_ips = &self.view.network.public_ips;
            let entered_by = entered_by.map(|public_ip| public_ips[public_ip.get()].id.clone());
            let mut record = Record::new(first, direction, entered_by, self.now_ns);
            if !record.see(packet.tcp, direction, self.now_ns) {
                self.records.insert(self.slot(nic, key), record);
            }
        }
        Ok(None)
    }

    /// Where the record of a flow stands.
    fn slot(&self, nic: NicIndex, key: FlowKey) -> (ResourceId, FlowKey) {
        (self.view.network.nics[nic.get()].id.clone(), key)
    }

    /// STATE-6: the record of a flow that has not been idle for too long. Whether one exists may be a question.
    fn live(&mut self, nic: NicIndex, key: FlowKey) -> Result<Option<Record>, Stop> {
        let slot = self.slot(nic, key);
        let Some(mut record) = self.records.get(&slot).cloned() else { return Ok(None) };
        let subnet = self.view.network.subnet_of(nic);
        let set = subnet.and_then(|subnet| {
            let vnet = self.view.vnet_of(subnet);
            self.view.network.vnets[vnet.get()].flow_timeout_min
        });
        let expired = record.is_expired(self.now_ns, set.unwrap_or(DEFAULT_IDLE_MIN));
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

    fn public_ip_by_id(&self, id: &ResourceId) -> Option<PublicIpIndex> {
        let mut public_ips = self.view.network.public_ips.iter();
        public_ips.position(|public_ip| public_ip.id == *id).map(PublicIpIndex::new)
    }

    /// EVAL-2, EVAL-3, EVAL-11: admin rules, the gate, then the NSGs in the order of the direction.
    pub(crate) fn filters(
        &mut self,
        interface: Interface,
        direction: Direction,
        seen: &Seen,
        entered_by: Option<PublicIpIndex>,
    ) -> Result<(), Stop> {
        if self.admin_rules(interface)? {
            return Ok(());
        }
        if let (Some(nic), Some(public_ip)) = (interface.nic(), entered_by) {
            self.gate(nic, public_ip, seen)?;
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

    /// Admin rules are read, but not simulated: whether they let the packet through at all is one question, whether
    /// they let it pass over the NSGs (`AlwaysAllow`, ADM-3) is another. Returns the answer to the second.
    fn admin_rules(&mut self, interface: Interface) -> Result<bool, Stop> {
        let network = self.view.network;
        let by_manager = network.network_managers.iter().any(|manager| {
            let in_force = manager.configurations.iter().filter(|one| one.deployed != Some(false));
            in_force.flat_map(|one| &one.collections).any(|collection| !collection.rules.is_empty())
        });
        let effective = network.effective_admin_rules.iter().any(|rules| !rules.rules.is_empty());
        if !by_manager && !effective {
            return Ok(false);
        }
        let feature = Feature::AdminRules;
        self.must_let_through(feature, None)?;
        let place = match interface {
            Interface::Nic(nic) => &network.nics[nic.get()].id,
            Interface::Unlisted(subnet) => self.view.subnet_id(subnet),
        };
        Ok(self.view.world.ask(Unknown::FeatureAllows { feature, resource: Some(place.clone()) })?)
    }

    /// EVAL-11: a Standard public address in front of an interface without any NSG is closed.
    fn gate(&mut self, nic: NicIndex, public_ip: PublicIpIndex, seen: &Seen) -> Result<(), Stop> {
        let network = self.view.network;
        let Ok(subnet) = self.place_of(nic) else {
            // The subnet's level asks.
            return Ok(());
        };
        if network.nics[nic.get()].nsg.is_some() || network.subnets[subnet.get()].nsg.is_some() {
            return Ok(());
        }
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

    fn subnet_level(&mut self, interface: Interface, direction: Direction, seen: &Seen) -> Result<(), Stop> {
        let subnet = match interface {
            Interface::Unlisted(subnet) => subnet,
            Interface::Nic(nic) => match self.place_of(nic) {
                Ok(subnet) => subnet,
                Err(missing) => return self.missing_must_allow(missing),
            },
        };
        let at = &self.view.network.subnets[subnet.get()];
        // GW-1, FW-1: an NSG there is not enforced.
        let special = ["GatewaySubnet", "AzureFirewallSubnet"];
        if special.iter().any(|name| at.id.name().eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        self.level(interface, direction, Layer::SubnetNsg, at.nsg.as_ref(), seen)
    }

    fn nic_level(&mut self, interface: Interface, direction: Direction, seen: &Seen) -> Result<(), Stop> {
        match interface {
            Interface::Nic(nic) => {
                let nsg = self.view.network.nics[nic.get()].nsg.as_ref();
                self.level(interface, direction, Layer::NicNsg, nsg, seen)
            }
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
        let place = match interface {
            Interface::Nic(nic) => self.place_of(nic),
            Interface::Unlisted(subnet) => Ok(subnet),
        };
        match self.view.ask_nsg(nsg, direction, place, seen)? {
            NsgAnswer::Hidden(Access::Allow) => Ok(()),
            NsgAnswer::Hidden(Access::Deny) => Err(Stop::End(End::Deny(None))),
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

/// Whether a packet is of the platform's services (PLAT-1 to PLAT-8).
pub(crate) fn is_platform(tuple: &FiveTuple) -> bool {
    let of = |hosts: &[[u8; 4]], address: IpAddr| hosts.iter().any(|host| address == IpAddr::from(*host));
    let either = |hosts: &[[u8; 4]]| of(hosts, tuple.source) || of(hosts, tuple.destination);
    let licensing = tuple.protocol == Protocol::TCP
        && ((of(&LICENSING, tuple.destination) && tuple.destination_port == Port::Number(1688))
            || (of(&LICENSING, tuple.source) && tuple.source_port == Port::Number(1688)));
    let ports = (tuple.source_port, tuple.destination_port);
    let asks = ports == (Port::Number(68), Port::Number(67)) && tuple.destination == IpAddr::from([255; 4]);
    let answers = ports == (Port::Number(67), Port::Number(68));
    let dhcp = tuple.protocol == Protocol::UDP && (asks || answers);
    either(&[PLATFORM, METADATA]) || licensing || dhcp
}
