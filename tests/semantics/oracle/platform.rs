//! Packets to and from the platform, and what virtual networks do not carry (PLAT).

use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::{NsgIndex, Reference};
use nsgsim::model::routing::RouteDestination;
use nsgsim::model::rule::{Access, Direction, Protocol};
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Interface, Layer, PlatformService, Reason, RuleHit, StepAnswer};

use super::journey::{End, Stop, Walk, deny};
use super::rules::{LICENSING, METADATA, Seen};
use super::space::{PLATFORM, prefix};
use super::state::Entrance;

impl Walk<'_> {
    /// PLAT-1 to PLAT-5: the end of a packet that the platform exempts, at the interface that sends it. No route is
    /// taken; what is allowed leaves a record, so that its answer passes (STATE-1, STATE-3). `filtered` is false for what has no outbound rules (PE-1).
    pub(crate) fn exempt(
        &mut self,
        interface: Interface,
        packet: &Packet,
        filtered: bool,
    ) -> Result<Option<End>, Stop> {
        let seen = Seen::of(packet);
        let Some(service) = service_of(&seen.tuple) else { return Ok(None) };
        if service == PlatformService::Lkm && self.has_default_route(interface, &seen)? {
            return Ok(None);
        }
        let by_tag = matches!(service, PlatformService::Dns | PlatformService::Imds | PlatformService::Lkm);
        if by_tag && filtered {
            self.platform_tag_rules(interface, service, &seen)?;
        }
        if filtered {
            self.pass(interface);
        }
        self.leg_ends_outside();
        self.step(interface, Direction::Outbound, StepAnswer::PlatformRule(service), Access::Allow, &seen);
        self.remember(interface, Direction::Outbound, packet, &seen, &Entrance::Nothing);
        Ok(Some(self.allowed()))
    }

    /// PLAT-4: a default route of the user's switches the exemption off.
    fn has_default_route(&self, interface: Interface, seen: &Seen) -> Result<bool, Stop> {
        let address = seen.tuple.destination;
        let subnet = match self.surroundings(interface) {
            Ok(subnet) => subnet,
            Err(missing) => {
                let (subnet, missing) = (missing.clone(), missing.as_str().to_owned());
                return Ok(self.view.world.ask(Unknown::ConnectedSpaceHolds { subnet, missing, address })?);
            }
        };
        let all = RouteDestination::Prefix(prefix("0.0.0.0/0"));
        match self.view.route_table(subnet) {
            None => Ok(false),
            Some(Err(missing)) => Ok(self.view.missing_holds(subnet, missing.as_str(), address)?),
            Some(Ok(table)) => Ok(table.routes.iter().any(|route| route.destination == all)),
        }
    }

    /// PLAT-2: the rules with the service's tag, of the interface's NSG, then of the subnet's.
    fn platform_tag_rules(
        &mut self,
        interface: Interface,
        service: PlatformService,
        seen: &Seen,
    ) -> Result<(), Stop> {
        let network = self.view.network;
        if let Some(nic) = interface.nic() {
            let nsg = network.nics[nic.get()].nsg.as_ref();
            self.platform_level(interface, Layer::NicNsg, nsg, service, seen)?;
        }
        match self.surroundings(interface) {
            Err(missing) => self.missing_must_allow(missing)?,
            Ok(subnet) if self.enforces_nsg(subnet) => {
                let nsg = network.subnets[subnet.get()].nsg.as_ref();
                self.platform_level(interface, Layer::SubnetNsg, nsg, service, seen)?;
            }
            Ok(_) => {}
        }
        if matches!(interface, Interface::Unlisted(_)) {
            self.must_hold(Unknown::UnlistedNicAllows { address: seen.tuple.source })?;
        }
        Ok(())
    }

    fn platform_level(
        &mut self,
        interface: Interface,
        layer: Layer,
        nsg: Option<&Reference<NsgIndex>>,
        service: PlatformService,
        seen: &Seen,
    ) -> Result<(), Stop> {
        let direction = Direction::Outbound;
        let nsg = match nsg {
            None => return Ok(()),
            Some(Reference::Missing(id)) => {
                return self.must_hold(Unknown::NsgAllows { nsg: id.clone(), direction });
            }
            Some(Reference::Here(nsg)) => *nsg,
        };
        let place = self.surroundings(interface);
        let Some((position, access)) = self.view.ask_platform_rules(nsg, service.name(), place, seen)? else {
            return Ok(());
        };
        let rule = u32::try_from(position).expect("an NSG has fewer than 2^32 rules");
        let hit = RuleHit { interface, direction, layer, nsg, rule };
        self.step(interface, direction, StepAnswer::Rule(hit), access, seen);
        match access {
            Access::Allow => Ok(()),
            Access::Deny => deny(Reason::SecurityRule(hit)),
        }
    }
}

/// Which exempt service a packet is for (PLAT-1 to PLAT-5).
fn service_of(tuple: &FiveTuple) -> Option<PlatformService> {
    let tcp = tuple.protocol == Protocol::TCP;
    let udp = tuple.protocol == Protocol::UDP;
    let port = tuple.destination_port.number()?;
    let licensing = LICENSING.iter().any(|host| tuple.destination == IpAddr::from(*host));
    let to_platform = tuple.destination == IpAddr::from(PLATFORM);
    let to_metadata = tuple.destination == IpAddr::from(METADATA);
    if asks_for_address(tuple) {
        Some(PlatformService::Dhcp)
    } else if to_platform && tcp && (port == 80 || port == 32526) {
        Some(PlatformService::WireServer)
    } else if to_platform && (tcp || udp) && port == 53 {
        Some(PlatformService::Dns)
    } else if to_metadata && tcp && port == 80 {
        Some(PlatformService::Imds)
    } else if licensing && tcp && port == 1688 {
        Some(PlatformService::Lkm)
    } else {
        None
    }
}

/// PLAT-5: a guest asks for its address.
pub(crate) fn asks_for_address(tuple: &FiveTuple) -> bool {
    let to = [IpAddr::from([255; 4]), IpAddr::from(PLATFORM)];
    is_dhcp(tuple, 68, 67) && to.contains(&tuple.destination)
}

/// PLAT-5: the form of an answer to a guest that asked for its address.
pub(crate) fn answers_for_address(tuple: &FiveTuple) -> bool {
    is_dhcp(tuple, 67, 68)
}

fn is_dhcp(tuple: &FiveTuple, from: u16, to: u16) -> bool {
    let ports = (tuple.source_port, tuple.destination_port);
    tuple.protocol == Protocol::UDP && ports == (Port::Number(from), Port::Number(to))
}

/// PLAT-8: no route is taken to these addresses.
pub(crate) fn needs_no_route(address: IpAddr) -> bool {
    address == IpAddr::from(PLATFORM) || address == IpAddr::from(METADATA)
}

/// PLAT-9: what virtual networks do not carry, exempt packets aside.
pub(crate) fn is_unsupported(tuple: &FiveTuple) -> bool {
    let (ip_in_ip, ipv6_in_ip) = (Protocol(4), Protocol(41));
    let broadcast = tuple.destination == IpAddr::from([255; 4]);
    let reserved_port = tuple.protocol == Protocol::UDP && tuple.source_port == Port::Number(65330);
    tuple.destination.is_multicast()
        || broadcast
        || [Protocol::GRE, ip_in_ip, ipv6_in_ip].contains(&tuple.protocol)
        || reserved_port
        || is_dhcp(tuple, 68, 67)
}
