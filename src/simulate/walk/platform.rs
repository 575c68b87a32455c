//! What the platform exempts from rules, and what virtual networks do not carry (PLAT-1 to PLAT-5, PLAT-9).

use std::net::{IpAddr, Ipv4Addr};

use super::filter::open_layer;
use super::traces::{How, Touch};
use super::{Course, LeafEnd, Walk};
use crate::compile::network::PolicyReference;
use crate::compile::resolve::{LICENSING, METADATA};
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::compile::world::{Open, World};
use crate::model::flow::FiveTuple;
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::verdict::{Interface, PlatformService, Reason, RuleHit, Step, StepAnswer};
use crate::simulate::journey::{DefaultRoute, Start};
use crate::simulate::state::FlowKey;

impl Walk<'_> {
    /// What the platform exempts (PLAT-1 to PLAT-5), and what networks do not carry (PLAT-9).
    pub(super) fn start(
        &self,
        start: &Start,
        course: &mut Course,
        world: &World,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let Start { interface, direction, .. } = *start;
        let tuple = course.seen;
        let service = if start.platform { exempt(&tuple, direction) } else { None };
        if let Some(service) = service
            && !self.is_ordinary(service, start, world)?
        {
            if !matches!(service, PlatformService::WireServer | PlatformService::Dhcp)
                && let Some(end) = self.platform_rules(interface, course, world)?
            {
                return Ok(Some(end));
            }
            let answer = StepAnswer::PlatformRule(service);
            course.met.steps.push(Step { interface, direction, answer, access: Access::Allow, seen: tuple });
            // It is allowed at the interface, so that its answer passes too (STATE-1, STATE-3).
            if direction == Direction::Outbound && start.filtered {
                let key = FlowKey::new(interface, direction, &tuple, None);
                let how = How::Opens { direction, entered: None, translated_min: None };
                course.met.touches.push(Touch { key, how });
            }
            return Ok(Some(LeafEnd::Arrived(Reason::PlatformRule { service, interface, direction })));
        }
        if let Some(nic) = start.spoofed_by {
            return Ok(Some(LeafEnd::Denied(Reason::IpForwarding { nic, direction })));
        }
        if is_unsupported(&tuple) {
            return Ok(Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction })));
        }
        Ok(None)
    }

    /// The licensing servers alone are ordinary destinations under a user-defined default route (PLAT-4).
    fn is_ordinary(&self, service: PlatformService, start: &Start, world: &World) -> Result<bool, Box<Open>> {
        match &start.default_route {
            DefaultRoute::Unknown(question) if service == PlatformService::Lkm => {
                world.ask(|| question.clone())
            }
            DefaultRoute::Present => Ok(service == PlatformService::Lkm),
            DefaultRoute::Absent | DefaultRoute::Unknown(_) => Ok(false),
        }
    }

    /// The rules with a platform tag, the only ones that an exempt packet meets (PLAT-2).
    fn platform_rules(
        &self,
        interface: Interface,
        course: &mut Course,
        world: &World,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        let (direction, seen) = (Direction::Outbound, course.seen);
        for layer in self.compiled.layers(interface, direction) {
            let question = match &layer.policy {
                PolicyReference::Compiled(position) => {
                    let policy = &self.compiled.policies[*position];
                    let Some(decision) = policy.decide_for_platform(&seen, world)? else { continue };
                    let (nsg, layer, rule) = (policy.nsg(), layer.layer, decision.rule);
                    let hit = RuleHit { interface, direction, layer, nsg, rule };
                    let (answer, access) = (StepAnswer::Rule(hit), decision.access);
                    course.met.steps.push(Step { interface, direction, answer, access, seen });
                    if access == Access::Deny {
                        return Ok(Some(LeafEnd::Denied(Reason::SecurityRule(hit))));
                    }
                    continue;
                }
                other => open_layer(other, direction, &seen),
            };
            if !world.ask(|| question.clone())? {
                return Ok(Some(LeafEnd::Refused(question)));
            }
        }
        Ok(None)
    }
}

/// The platform's service that a packet is of, where rules do not touch it (PLAT-1 to PLAT-5).
fn exempt(tuple: &FiveTuple, direction: Direction) -> Option<PlatformService> {
    let is = |address: IpAddr, service: &str| fixed(service).contains(&address);
    let to_platform = || is(tuple.destination, PLATFORM);
    let broadcast = || tuple.destination == IpAddr::from(Ipv4Addr::BROADCAST);
    let (from, to) = (tuple.source_port.number()?, tuple.destination_port.number()?);
    // PERF: few packets have such ports, so that the addresses of most are not looked at.
    let (holds, service) = match (direction, tuple.protocol, from, to) {
        (Direction::Inbound, Protocol::UDP, 67, 68) => (is(tuple.source, PLATFORM), PlatformService::Dhcp),
        (Direction::Outbound, Protocol::UDP, 68, 67) => (to_platform() || broadcast(), PlatformService::Dhcp),
        (Direction::Outbound, Protocol::TCP | Protocol::UDP, _, 53) => (to_platform(), PlatformService::Dns),
        (Direction::Outbound, Protocol::TCP, _, 80) if is(tuple.destination, METADATA) => {
            (true, PlatformService::Imds)
        }
        (Direction::Outbound, Protocol::TCP, _, 80 | 32526) => (to_platform(), PlatformService::WireServer),
        (Direction::Outbound, Protocol::TCP, _, 1688) => {
            (LICENSING.iter().any(|server| is(tuple.destination, server)), PlatformService::Lkm)
        }
        _ => return None,
    };
    holds.then_some(service)
}

/// What virtual networks do not carry, whatever the rules (PLAT-9).
fn is_unsupported(tuple: &FiveTuple) -> bool {
    const TUNNELS: [Protocol; 3] = [Protocol(4), Protocol(41), Protocol::GRE];
    const HOST_PORT: u16 = 65330;
    let ports = (tuple.source_port.number(), tuple.destination_port.number());
    TUNNELS.contains(&tuple.protocol)
        || tuple.destination.is_multicast()
        || tuple.destination == IpAddr::from(Ipv4Addr::BROADCAST)
        || (tuple.protocol == Protocol::UDP && (ports.0 == Some(HOST_PORT) || ports == (Some(68), Some(67))))
}
