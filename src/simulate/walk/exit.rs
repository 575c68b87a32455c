//! Out to the internet: which packets the way out carries, and under which source (OUT-1 to OUT-5, STATE-11).

use std::net::IpAddr;

use super::{Course, LeafEnd, UNSUPPORTED, Walk, is_mapped};
use crate::compile::balancers::DEFAULT_IDLE_MIN;
use crate::compile::world::{Open, World};
use crate::model::flow::{Fragment, Icmp, Port};
use crate::model::rule::{Direction, Protocol};
use crate::model::verdict::{Reason, Snat};
use crate::simulate::journey::{Exit, Way};
use crate::simulate::state::Entrance;

impl Walk<'_> {
    /// The packet leaves, if something carries it.
    pub(super) fn leave(
        &self,
        exit: &Exit,
        course: &mut Course,
        world: &World,
    ) -> Result<Option<LeafEnd>, Box<Open>> {
        // A reply leaves by what the request came in by (OUT-5).
        match course.answers {
            Some(Entrance::Instance(public)) => {
                if public.is_some() {
                    translate(course, Snat::InstancePublicIp, public, Port::None);
                } else {
                    course.picked = true;
                }
                return Ok(None);
            }
            Some(Entrance::Frontend { address, port, public: true }) => {
                translate(course, Snat::LoadBalancerRule, address, port);
                return Ok(None);
            }
            Some(Entrance::Frontend { public: false, .. } | Entrance::PrivateLink) => {
                course.picked = true;
                return Ok(None);
            }
            None => {}
        }
        let interface = exit.interface;
        let direction = Direction::Outbound;
        let cut = Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction }));
        let smtp = (course.seen.protocol, course.seen.destination_port) == (Protocol::TCP, Port::Number(25));
        if exit.blocks_smtp && smtp {
            return Ok(cut);
        }
        let no_way = Some(LeafEnd::Denied(Reason::OutboundConnectivity { interface }));
        let mut rule_idle_min = DEFAULT_IDLE_MIN;
        let (by, source, question) = match &exit.by {
            Way::None => return Ok(no_way),
            Way::Through(by) => (Some(*by), exit.source, None),
            Way::Balanced { rules, otherwise } => {
                match (rules.iter().find(|rule| rule.carries(course.seen.protocol)), otherwise) {
                    (None, None) => return Ok(no_way),
                    (None, Some(question)) => (None, None, Some(question)),
                    (Some(rule), _) => {
                        rule_idle_min = rule.idle_timeout_min;
                        (Some(rule.snat), rule.source, None)
                    }
                }
            }
            Way::ThroughIf(by, question) => (Some(*by), exit.source, Some(question)),
            Way::Somehow => (None, None, None),
            Way::SomehowIf(question) => (None, None, Some(question)),
        };
        if let Some(question) = question
            && !world.ask(|| question.clone())?
        {
            return Ok(Some(LeafEnd::Refused(question.clone())));
        }
        let Some(by) = by else {
            course.picked = true;
            return Ok(None);
        };
        let protocol = course.seen.protocol;
        let fragmented = self.packet.fragment != Fragment::Whole;
        match by {
            Snat::NatGateway if !protocol.has_ports() => return Ok(no_way),
            Snat::DefaultOutboundAccess => {
                match self.packet.icmp {
                    Some(Icmp::Echo { .. }) => return Ok(no_way),
                    // It may be an echo.
                    None if matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)
                        && !world.ask(|| UNSUPPORTED)? =>
                    {
                        return Ok(Some(LeafEnd::Refused(UNSUPPORTED)));
                    }
                    _ => {}
                }
                if fragmented {
                    return Ok(cut);
                }
            }
            Snat::LoadBalancerOutboundRule | Snat::LoadBalancerRule if fragmented => return Ok(cut),
            Snat::InstancePublicIp if !is_mapped(protocol) && !world.ask(|| UNSUPPORTED)? => {
                return Ok(Some(LeafEnd::Refused(UNSUPPORTED)));
            }
            Snat::NatGateway
            | Snat::InstancePublicIp
            | Snat::LoadBalancerOutboundRule
            | Snat::LoadBalancerRule => {}
        }
        match by {
            // Datagrams have a fixed time.
            Snat::NatGateway if protocol == Protocol::TCP => {
                course.remembered_for(exit.nat_idle_timeout_min.unwrap_or(DEFAULT_IDLE_MIN));
            }
            Snat::NatGateway => course.remembered_for(DEFAULT_IDLE_MIN),
            Snat::InstancePublicIp if protocol == Protocol::TCP => course.remembered_for(DEFAULT_IDLE_MIN),
            Snat::LoadBalancerOutboundRule => course.remembered_for(rule_idle_min),
            Snat::LoadBalancerRule if protocol == Protocol::TCP => course.remembered_for(rule_idle_min),
            // No clause gives these a time.
            Snat::InstancePublicIp | Snat::LoadBalancerRule | Snat::DefaultOutboundAccess => {}
        }
        translate(course, by, source, Port::None);
        Ok(None)
    }
}

fn translate(course: &mut Course, by: Snat, source: Option<IpAddr>, port: Port) {
    // The families of addresses never meet (TOP-9).
    let source = source.filter(|source| source.is_ipv4() == course.seen.destination.is_ipv4());
    course.sent_from(source, port);
    course.met.translation.snat = Some(by);
    course.met.translation.source = source;
}
