//! From stage to stage of a journey, in one world.

use std::net::IpAddr;

use super::{Course, Leaf, LeafEnd, UNSUPPORTED, Walk, is_mapped};
use crate::compile::world::{Open, World};
use crate::model::rule::{Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::Reason;
use crate::simulate::journey::{End, Journey, PrivateLink, Stage};
use crate::simulate::state::Entrance;

impl Walk<'_> {
    /// Takes a packet that has come so far to the end of a journey.
    pub(super) fn follow(
        &self,
        journey: &Journey,
        mut course: Course,
        world: &World,
    ) -> Result<Leaf, Box<Open>> {
        for stage in &journey.stages {
            let ended = match stage {
                Stage::Balance(balance) => return self.balance(balance, course, world),
                Stage::Start(start) => self.start(start, &mut course, world)?,
                Stage::Filter(filter) => self.filter(filter, &mut course, world)?,
                Stage::Service(check) => self.service(check, &mut course, world)?,
                Stage::Exit(exit) => self.leave(exit, &mut course, world)?,
                Stage::PrivateLink(link) => private_link(link, &mut course, world)?,
                Stage::Route(route) => {
                    course.met.routes.push(route.clone());
                    None
                }
                Stage::Note(note) => {
                    if !course.met.notes.contains(note) {
                        course.met.notes.push(note.clone());
                    }
                    None
                }
                Stage::SentFrom(address) => {
                    course.seen.source = *address;
                    course.to_consumer = false;
                    None
                }
                Stage::CameIn(entrance, timer) => {
                    if let Some(minutes) = timer.filter(|_| course.seen.protocol == Protocol::TCP) {
                        course.remembered_for(minutes);
                    }
                    course.entered = Some(*entrance);
                    None
                }
                Stage::Mapped { public, private, idle_timeout_min } => {
                    // The timers of instance addresses are those of connections.
                    if course.seen.protocol == Protocol::TCP {
                        course.remembered_for(*idle_timeout_min);
                    }
                    map(*public, *private, &mut course, world)?
                }
                Stage::OnlyIf(question, reason) => {
                    if world.ask(|| question.clone())? {
                        None
                    } else {
                        Some(reason.map_or_else(|| LeafEnd::Refused(question.clone()), LeafEnd::Denied))
                    }
                }
                Stage::DeliveredIf(question) => {
                    let delivered = world.ask(|| question.clone())?;
                    delivered.then_some(LeafEnd::Arrived(course.last))
                }
                Stage::ElsewhereIf(diverts, arrives) => elsewhere(diverts, arrives, course.last, world)?,
                Stage::BranchIf(question, other) => {
                    if world.ask(|| question.clone())? {
                        return self.follow(other, course, world);
                    }
                    None
                }
                Stage::DeliveredToConsumer => course.to_consumer.then_some(LeafEnd::Arrived(course.last)),
            };
            if let Some(end) = ended {
                return Ok(Leaf::new(course, end));
            }
        }
        let end = match journey.end {
            End::Arrives => LeafEnd::Arrived(course.last),
            End::Lost(reason) => LeafEnd::Denied(reason),
        };
        Ok(Leaf::new(course, end))
    }
}

/// From a public address to the private one behind it (PIP-1).
fn map(
    public: IpAddr,
    private: IpAddr,
    course: &mut Course,
    world: &World,
) -> Result<Option<LeafEnd>, Box<Open>> {
    course.sent_to(private);
    course.entered = Some(Entrance::Instance(Some(public)));
    course.met.translation.destination = Some(course.rewritten());
    if is_mapped(course.seen.protocol) || world.ask(|| UNSUPPORTED)? {
        return Ok(None);
    }
    Ok(Some(LeafEnd::Refused(UNSUPPORTED)))
}

fn elsewhere(
    diverts: &Unknown,
    arrives: &Unknown,
    last: Reason,
    world: &World,
) -> Result<Option<LeafEnd>, Box<Open>> {
    if !world.ask(|| diverts.clone())? {
        return Ok(None);
    }
    let arrived = world.ask(|| arrives.clone())?;
    Ok(Some(if arrived { LeafEnd::Arrived(last) } else { LeafEnd::Refused(arrives.clone()) }))
}

/// How long a Private Link service remembers a flow without a packet, in minutes: about five (STATE-15).
const PRIVATE_LINK_IDLE_MIN: u32 = 5;

/// The source becomes one of the service's addresses (PLS-1).
fn private_link(
    link: &PrivateLink,
    course: &mut Course,
    world: &World,
) -> Result<Option<LeafEnd>, Box<Open>> {
    if !course.seen.protocol.has_ports() || course.seen.destination.is_ipv6() {
        let (interface, direction) = (link.endpoint, Direction::Inbound);
        return Ok(Some(LeafEnd::Denied(Reason::UnsupportedTraffic { interface, direction })));
    }
    course.remembered_for(PRIVATE_LINK_IDLE_MIN);
    let Some((last, others)) = link.addresses.split_last() else { return Ok(None) };
    let mut chosen = *last;
    for address in others {
        let question = || Unknown::TranslatedSourceIs { service: link.service.clone(), address: *address };
        if world.ask(question)? {
            chosen = *address;
            break;
        }
    }
    course.seen.source = chosen;
    course.picked = false;
    course.met.translation.source = Some(chosen);
    Ok(None)
}
