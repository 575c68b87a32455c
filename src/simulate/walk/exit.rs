//! Out to the internet: which packets the way out carries, and under which source (OUT-1 to OUT-5, STATE-11).

use std::net::IpAddr;

use super::{Course, LeafEnd, UNSUPPORTED, Walk, is_mapped};
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
        let no_way = Some(LeafEnd::Denied(Reason::OutboundConnectivity { interface }));
        let (by, source, question) = match &exit.by {
            Way::None => return Ok(no_way),
            Way::Through(by) => (Some(*by), exit.source, None),
            Way::Balanced(rules) => match rules.iter().find(|rule| rule.carries(course.seen.protocol)) {
                None => return Ok(no_way),
                Some(rule) => (Some(rule.snat), rule.source, None),
            },
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
        let direction = Direction::Outbound;
        let cut = Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction }));
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
        translate(course, by, source, Port::None);
        Ok(None)
    }
}

fn translate(course: &mut Course, by: Snat, source: Option<IpAddr>, port: Port) {
    course.sent_from(source, port);
    course.met.translation.snat = Some(by);
    course.met.translation.source = source;
}
