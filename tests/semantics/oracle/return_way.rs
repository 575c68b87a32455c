//! Whether replies take the same interfaces in reverse (ROUTE-20).
//!
//! A packet's way is looked at leg by leg: on a leg its source stays the same. The receiver of each leg answers, and the
//! answer is followed through routes, appliances and load balancers alone: rules and records say nothing about its way.

use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::{GatewayIndex, NicIndex, SubnetIndex, VnetIndex};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::verdict::{Interface, Reason};

use super::Oracle;
use super::journey::{End, Sender, Stop, Walk, deny};
use super::platform::needs_no_route;
use super::rules::Seen;
use super::world::World;

/// The part of a way on which the source stays the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Leg {
    /// Address and port that the packet comes from; nothing where nobody knows them.
    source: Option<(IpAddr, Port)>,
    /// What it passes, equal neighbours once; private endpoints are left out.
    interfaces: Vec<Interface>,
    end: LegEnd,
    /// A load balancer on it picks one of several.
    picked: bool,
}

/// Where a leg ends.
#[derive(Clone, Debug, Eq, PartialEq)]
enum LegEnd {
    /// Nobody can tell.
    Open,
    /// At a receiver, which sees this packet.
    At(Interface, FiveTuple),
    /// Out by a gateway.
    Gateway(GatewayIndex, FiveTuple),
    /// Out to the internet, to the platform, or to the far side of a Private Link service, where no interfaces are.
    Outside,
}

impl Leg {
    pub(crate) fn from(source: Option<(IpAddr, Port)>) -> Self {
        Self { source, interfaces: Vec::new(), end: LegEnd::Open, picked: false }
    }

    /// What a receiver sends back: where the source was rewritten on the way all the same, as a load balancer does with
    /// what answers through it, it takes that back.
    fn answer_to(&self, seen: &FiveTuple) -> Option<Packet> {
        let (source, source_port) = self.source?;
        Some(Packet::new(FiveTuple { source, source_port, ..*seen }.reversed()))
    }
}

impl Walk<'_> {
    /// The packet passes an interface.
    pub(crate) fn pass(&mut self, interface: Interface) {
        let leg = self.leg();
        if leg.interfaces.last() != Some(&interface) {
            leg.interfaces.push(interface);
        }
    }

    /// The packet is where it was sent.
    pub(crate) fn leg_ends_at(&mut self, interface: Interface, seen: &Seen) {
        self.leg().end = LegEnd::At(interface, seen.tuple);
    }

    /// The packet leaves by the gateway that the network uses; of several nobody knows by which.
    pub(crate) fn leg_ends_at_gateway(&mut self, vnet: VnetIndex, packet: &Packet) {
        if self.topology_only {
            self.leg_ends_outside();
        } else if let [only] = self.view.gateways_for(vnet)[..] {
            self.leg().end = LegEnd::Gateway(only, packet.five_tuple);
        }
    }

    /// The packet leaves to where no interfaces are.
    pub(crate) fn leg_ends_outside(&mut self) {
        self.leg().end = LegEnd::Outside;
    }

    /// The source is replaced: another leg begins.
    pub(crate) fn begin_leg(&mut self, source: Option<(IpAddr, Port)>) {
        self.legs.push(Leg::from(source));
    }

    /// A load balancer picks one of several: nobody can tell whether replies come from it the same way.
    pub(crate) fn leg_is_picked(&mut self) {
        self.leg().picked = true;
    }

    fn leg(&mut self) -> &mut Leg {
        self.legs.last_mut().expect("the first begins with the packet")
    }

    /// TOP-3 knows who is listed. The sender of the packet that is answered is there, though it is not.
    pub(crate) fn at_unlisted_sender(&mut self, vnet: VnetIndex, to: IpAddr) -> Option<End> {
        let (subnet, address) = self.answers_unlisted?;
        if self.view.vnet_of(subnet) != vnet || address != to {
            return None;
        }
        self.pass(Interface::Unlisted(subnet));
        self.leg_ends_outside();
        Some(self.allowed())
    }

    /// What the receiver of a leg sends back.
    fn answer(&mut self, receiver: Interface, packet: &Packet) -> Result<End, Stop> {
        let subnet = match self.surroundings(receiver) {
            Ok(subnet) => subnet,
            Err(missing) => {
                self.missing_must_allow(missing)?;
                return Ok(self.allowed());
            }
        };
        if let Interface::Nic(nic) = receiver {
            // EVAL-9: it does not leave the guest, and gets nowhere else.
            if self.view.network.nics[nic.get()].has(packet.five_tuple.destination) {
                self.leg_ends_outside();
                return Ok(self.allowed());
            }
            self.may_answer(nic, packet.five_tuple.source)?;
            self.pass(receiver);
        }
        if needs_no_route(packet.five_tuple.destination) {
            self.leg_ends_outside();
            return Ok(self.allowed());
        }
        self.send(&Sender { interface: receiver, subnet, came_in_by: None }, packet)
    }

    fn may_answer(&self, nic: NicIndex, source: IpAddr) -> Result<(), Stop> {
        if self.may_send_from(nic, source) {
            return Ok(());
        }
        deny(Reason::IpForwarding { nic, direction: Direction::Outbound })
    }
}

impl Oracle {
    /// The legs of a TCP packet that is let through, each with its answer: whether any takes another way.
    pub(super) fn is_asymmetric(&self, walk: &Walk<'_>, packet: &Packet) -> Option<bool> {
        // A leg that passes nothing, such as one inside a guest, has no way to differ from.
        let passing = walk.legs.iter().filter(|leg| !leg.interfaces.is_empty());
        let told: Vec<Option<bool>> = passing.map(|leg| self.leg_is_asymmetric(leg)).collect();
        if packet.five_tuple.protocol != Protocol::TCP || told.is_empty() {
            return None;
        }
        if told.contains(&Some(true)) {
            return Some(true);
        }
        told.iter().all(Option::is_some).then_some(false)
    }

    fn leg_is_asymmetric(&self, leg: &Leg) -> Option<bool> {
        if leg.picked {
            return None;
        }
        match &leg.end {
            LegEnd::Open => None,
            LegEnd::Outside => (leg.interfaces.len() == 1).then_some(false),
            LegEnd::At(receiver, seen) => {
                let answer = leg.answer_to(seen)?;
                self.answer_strays(leg, &answer, |walk| walk.answer(*receiver, &answer))
            }
            LegEnd::Gateway(gateway, seen) => {
                let answer = leg.answer_to(seen)?;
                self.answer_strays(leg, &answer, |walk| walk.start_on_premises(*gateway, &answer))
            }
        }
    }

    /// Whether the answer on a leg, up to where it leaves the network, passes other interfaces than those in reverse, or
    /// is lost; nothing where nobody can tell.
    fn answer_strays(
        &self,
        leg: &Leg,
        answer: &Packet,
        send: impl Fn(&mut Walk<'_>) -> Result<End, Stop>,
    ) -> Option<bool> {
        let world = World::default();
        let mut walk = self.walk(self.view(&world), 0);
        walk.topology_only = true;
        walk.begin_leg(None);
        walk.answers_unlisted = match leg.interfaces.first() {
            Some(Interface::Unlisted(subnet)) => Some((*subnet, answer.five_tuple.destination)),
            _ => None,
        };
        match send(&mut walk) {
            Ok(_) => {}
            // What a load balancer does with answers hangs on the flows that it knows.
            Err(Stop::End(End::Deny(Reason::LoadBalancer { .. }))) => return None,
            Err(Stop::End(End::Deny(_))) => return Some(true),
            Err(_) => return None,
        }
        let open = walk.legs.iter().any(|leg| leg.picked) || walk.legs.last()?.end == LegEnd::Open;
        let mut back: Vec<Interface> = walk.legs.into_iter().flat_map(|leg| leg.interfaces).collect();
        back.dedup();
        back.reverse();
        (!open).then_some(back != leg.interfaces)
    }
}

/// The sender of the packet that is answered, where the inventory does not list it.
pub(crate) type UnlistedSender = (SubnetIndex, IpAddr);
