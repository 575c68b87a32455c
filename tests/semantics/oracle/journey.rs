//! One packet's way through the network in one world (EVAL-12): where it starts, and where each route leads.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use nsgsim::model::flow::{Icmp, Origin, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, NicIndex, Reference, ServiceAccountIndex, SubnetIndex};
use nsgsim::model::rule::{Access, Direction};
use nsgsim::model::unknown::{Feature, Unknown};
use nsgsim::model::verdict::{
    BackendAnswer, Interface, Note, Reason, RouteEnd, RouteStep, Snat, Step, StepAnswer, Translation,
    UserRoute, Verdict,
};

use super::appliance::Via;
use super::filter::Door;
use super::platform::{asks_for_address, is_unsupported, needs_no_route};
use super::return_way::{Leg, UnlistedSender};
use super::route::{Candidate, Hop};
use super::rules::Seen;
use super::service::Client;
use super::space::View;
use super::state::{Entrance, Records, Slot};
use super::world::Asked;

/// How a packet ended in one world.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Allow(Reason),
    Deny(Reason),
    /// Denied, and what denied it is not in the inventory: the question to which this world says "no".
    Unknown(Unknown),
    /// The backends of this load balancer disagree (LB-6).
    Mixed(LoadBalancerIndex),
    /// More ways lead through load balancers than are tried.
    TooManyWays,
}

impl End {
    /// The verdict of this world.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Allow(reason) => Verdict::Allow(*reason),
            Self::Deny(reason) => Verdict::Deny(*reason),
            Self::Unknown(question) => Verdict::Undetermined(question.clone()),
            Self::Mixed(balancer) => Verdict::Mixed(*balancer),
            Self::TooManyWays => Verdict::Undetermined(Unknown::TooManyWays),
        }
    }

    pub(crate) fn allows(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub(crate) fn denies(&self) -> bool {
        matches!(self, Self::Deny(_) | Self::Unknown(_))
    }
}

/// Why the walk does not go on.
pub(crate) enum Stop {
    End(End),
    Ask(Unknown),
}

impl From<Unknown> for Stop {
    fn from(question: Unknown) -> Self {
        Self::Ask(question)
    }
}

/// Stops the walk with a denial.
pub(crate) fn deny<T>(reason: Reason) -> Result<T, Stop> {
    Err(Stop::End(End::Deny(reason)))
}

/// A packet on its way, and what it met so far.
#[derive(Clone)]
pub(crate) struct Walk<'a> {
    pub(crate) view: View<'a>,
    pub(crate) now_ns: u64,
    /// Nobody in the inventory does not mean nobody (design, section 2).
    pub(crate) partial_inventory: bool,
    /// The account or vault that answers at the destination (SVC-1).
    pub(crate) target: Option<ServiceAccountIndex>,
    /// Where it starts, and from which address.
    pub(crate) sender: Option<(Origin, IpAddr)>,
    /// Neither rules nor records are asked, and it is over where it leaves the network: only its way counts (ROUTE-20).
    pub(crate) topology_only: bool,
    pub(crate) answers_unlisted: Option<UnlistedSender>,
    /// The parts of its way so far.
    pub(crate) legs: Vec<Leg>,
    pub(crate) records: Records,
    /// Where this packet left a record itself.
    pub(crate) own_records: BTreeSet<Slot>,
    /// The shortest timer of what has translated it so far, in minutes (STATE-15).
    pub(crate) forgotten_after_min: Option<u32>,
    /// How many interfaces have forwarded it (ROUTE-19).
    pub(crate) forwarders: usize,
    /// It comes from a NAT address of a Private Link service (PLS-1).
    pub(crate) through_private_link: bool,
    /// It answers a flow that came in through a Private Link service.
    pub(crate) answers_private_link: bool,
    /// The internal frontend that it answers as, with its machine's own address (OUT-5).
    pub(crate) answers_as: Option<(IpAddr, IpAddr)>,
    /// How many ways through load balancers there are so far, on all branches together.
    pub(crate) ways: Rc<Cell<usize>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) routes: Vec<RouteStep>,
    pub(crate) translation: Translation,
    pub(crate) notes: Vec<Note>,
    pub(crate) backends: Vec<BackendAnswer>,
}

/// Where a packet leaves from.
pub(crate) struct Sender {
    pub(crate) interface: Interface,
    pub(crate) subnet: SubnetIndex,
    /// What the flow came in by, if the packet passed by the record of one that did (OUT-5).
    pub(crate) came_in_by: Option<Entrance>,
}

impl<'a> Walk<'a> {
    /// Walks to the end, or to the first open question.
    pub(crate) fn run(&mut self, origin: Origin, packet: &Packet) -> Asked<End> {
        self.sender = Some((origin, packet.five_tuple.source));
        self.begin_leg(Some((packet.five_tuple.source, packet.five_tuple.source_port)));
        match self.from(origin, packet) {
            Ok(end) | Err(Stop::End(end)) => Ok(end),
            Err(Stop::Ask(question)) => Err(question),
        }
    }

    fn from(&mut self, origin: Origin, packet: &Packet) -> Result<End, Stop> {
        match origin {
            Origin::Nic(nic) => self.start_at_nic(nic, packet),
            Origin::Unlisted(subnet) => self.start_unlisted(subnet, packet),
            Origin::Internet => self.start_on_internet(packet),
            Origin::OnPremises(gateway) => self.start_on_premises(gateway, packet),
            Origin::Platform => self.start_at_platform(packet),
        }
    }

    /// SIM-1: allowed by the last point that was asked.
    pub(crate) fn allowed(&self) -> End {
        End::Allow(match self.steps.last() {
            None => Reason::NoSecurityGroup,
            Some(step) => match step.answer {
                StepAnswer::Rule(hit) => Reason::SecurityRule(hit),
                StepAnswer::AdminRule(hit, _) => Reason::AdminRule(hit),
                StepAnswer::PlatformRule(service) => {
                    Reason::PlatformRule { service, interface: step.interface, direction: step.direction }
                }
                StepAnswer::ServiceFirewall(rule) => match step.interface {
                    Interface::Service(account) => Reason::ServiceFirewall { account, rule },
                    _ => unreachable!("a service's firewall stands at the service"),
                },
                StepAnswer::FlowTable => {
                    Reason::FlowState { interface: step.interface, direction: step.direction }
                }
                StepAnswer::PublicIpGate(_) => unreachable!("the gate is listed only when it denies (SIM-9)"),
            },
        })
    }

    /// Asks whether what is not simulated lets the packet through; if not, the packet ends there.
    pub(crate) fn must_let_through(
        &mut self,
        feature: Feature,
        resource: Option<&ResourceId>,
    ) -> Result<(), Stop> {
        self.must_hold(Unknown::FeatureAllows { feature, resource: resource.cloned() })
    }

    /// Asks whether what hangs on a missing resource lets the packet through; if not, the packet ends there.
    pub(crate) fn missing_must_allow(&mut self, resource: &ResourceId) -> Result<(), Stop> {
        self.must_hold(Unknown::ResourceAllows { resource: resource.clone() })
    }

    pub(crate) fn must_hold(&mut self, question: Unknown) -> Result<(), Stop> {
        if self.view.world.ask(question.clone())? { Ok(()) } else { Err(Stop::End(End::Unknown(question))) }
    }

    fn start_at_nic(&mut self, nic: NicIndex, packet: &Packet) -> Result<End, Stop> {
        let at = &self.view.network.nics[nic.get()];
        let tuple = packet.five_tuple;
        // PLAT-5: a guest that asks for its address does not have one yet.
        let asks_for_address = tuple.source.is_unspecified() && asks_for_address(&tuple);
        if !self.may_send_from(nic, tuple.source) && !asks_for_address {
            return deny(Reason::IpForwarding { nic, direction: Direction::Outbound });
        }
        // EVAL-9: it does not leave the guest.
        if at.has(tuple.destination) {
            return Ok(End::Allow(Reason::NoSecurityGroup));
        }
        let (interface, direction) = (Interface::Nic(nic), Direction::Outbound);
        if let Some(end) = self.exempt(interface, packet, true)? {
            return Ok(end);
        }
        if is_unsupported(&tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        self.send_from_nic(nic, packet)
    }

    /// ROUTE-13: the interface may send packets from this address. One behind a floating frontend answers from the
    /// frontend's own address (LB-5).
    pub(crate) fn may_send_from(&self, nic: NicIndex, source: IpAddr) -> bool {
        let at = &self.view.network.nics[nic.get()];
        at.has(source) || at.ip_forwarding || self.view.floats_at(nic, source)
    }

    /// What an interface sends: its outbound filters, then the routes of its subnet.
    pub(crate) fn send_from_nic(&mut self, nic: NicIndex, packet: &Packet) -> Result<End, Stop> {
        let interface = Interface::Nic(nic);
        let seen = Seen::of(packet);
        self.pass(interface);
        let came_in_by = self.at_interface(interface, Direction::Outbound, packet, &seen, &Door::inside())?;
        let packet = self.as_answer(came_in_by.as_ref(), packet);
        if needs_no_route(packet.five_tuple.destination) {
            self.leg_ends_outside();
            return Ok(self.allowed());
        }
        match self.place_of(nic) {
            Ok(subnet) => self.send(&Sender { interface, subnet, came_in_by }, &packet),
            Err(missing) => {
                // Where it goes from a subnet that nobody knows, nobody knows.
                self.must_let_through(Feature::UnknownRoute, Some(missing))?;
                Ok(self.allowed())
            }
        }
    }

    /// OUT-5: what answers a flow that came in by an internal frontend comes from the frontend, as soon as the filters
    /// have passed it.
    fn as_answer(&mut self, came_in_by: Option<&Entrance>, packet: &Packet) -> Packet {
        match came_in_by {
            Some(Entrance::Frontend { public: false, address: Some(address), port }) => {
                self.translation.snat = Some(Snat::LoadBalancerRule);
                self.translation.source = Some(*address);
                self.answers_as = Some((*address, packet.five_tuple.source));
                sent_from(packet, *address, *port)
            }
            Some(Entrance::PrivateLink) => {
                self.answers_private_link = true;
                *packet
            }
            _ => *packet,
        }
    }

    fn start_unlisted(&mut self, subnet: SubnetIndex, packet: &Packet) -> Result<End, Stop> {
        let tuple = packet.five_tuple;
        if tuple.source == tuple.destination {
            return Ok(End::Allow(Reason::NoSecurityGroup));
        }
        let (interface, direction) = (Interface::Unlisted(subnet), Direction::Outbound);
        let vnet = self.view.vnet_of(subnet);
        let from_private_link = self.view.nat_address_in(vnet, tuple.source);
        // PE-1, PE-3: what a private endpoint answers passes no outbound rules. A frontend only answers too, and at
        // NAT addresses there are no rules (PLS-2).
        let unfiltered = from_private_link
            || self.view.endpoint_at(tuple.source, |at| at == Some(subnet)).is_some()
            || self.view.frontend_in(vnet, tuple.source).is_some();
        if let Some(end) = self.exempt(interface, packet, !unfiltered)? {
            return Ok(end);
        }
        if is_unsupported(&tuple) {
            return deny(Reason::UnsupportedTraffic { interface, direction });
        }
        let seen = Seen::of(packet);
        let mut came_in_by = None;
        if !unfiltered {
            self.pass(interface);
            came_in_by = self.at_interface(interface, direction, packet, &seen, &Door::inside())?;
        }
        if needs_no_route(tuple.destination) {
            self.leg_ends_outside();
            return Ok(self.allowed());
        }
        if from_private_link {
            // PLS-2: it takes no route.
            self.through_private_link = true;
            return self.deliver(vnet, None, packet, &seen);
        }
        self.send(&Sender { interface, subnet, came_in_by }, packet)
    }

    /// From the source's filters on: where the packet goes (EVAL-12, steps 2 to 5).
    pub(crate) fn send(&mut self, sender: &Sender, packet: &Packet) -> Result<End, Stop> {
        let to = packet.five_tuple.destination;
        let Some(route) = self.view.route(sender.subnet, to)? else {
            return deny(Reason::Route(RouteEnd::None {
                interface: Some(sender.interface),
                user_route: None,
            }));
        };
        self.take(sender.interface, &route);
        let seen = Seen::of(packet);
        let own = self.view.vnet_of(sender.subnet);
        if let Hop::Peer(remote) = &route.hop {
            self.over_peering(Some(sender.interface), own, remote, packet)?;
        }
        match &route.hop {
            Hop::Local(vnet) => self.deliver(*vnet, None, packet, &seen),
            Hop::Peer(Reference::Here(vnet)) => self.deliver(*vnet, Some(own), packet, &seen),
            Hop::Peer(Reference::Missing(id)) => {
                self.missing_must_allow(id)?;
                Ok(self.allowed())
            }
            // GW-3: it has left the boundary.
            Hop::Gateway { to_vnet: None } => {
                self.leg_ends_at_gateway(own, packet);
                Ok(self.allowed())
            }
            Hop::Gateway { to_vnet: Some(gateway) } => self.cross(*gateway, packet),
            Hop::UserGateway => self.leave_by_gateway(sender, packet),
            Hop::Appliance(address) => {
                let user_route = self.view.user_route(sender.subnet, &route);
                let via = Via { interface: Some(sender.interface), vnet: own, user_route };
                self.send_to_next_hop(&via, *address, packet)
            }
            Hop::Internet => self.leave_to_internet(sender, packet),
            Hop::Endpoint(endpoint) => {
                self.over_peering_to_endpoint(Some(sender.interface), own, *endpoint, packet)?;
                self.arrive_at_endpoint(*endpoint, packet, &seen)
            }
            Hop::Service(service) => {
                self.leg_ends_outside();
                if self.topology_only {
                    return Ok(self.allowed());
                }
                self.endpoint_policies(sender.subnet, service, to)?;
                self.at_service(Client::Subnet(sender.subnet), &seen)
            }
            // ROUTE-11.
            Hop::None => {
                let user_route = self.view.user_route(sender.subnet, &route);
                deny(Reason::Route(RouteEnd::None { interface: Some(sender.interface), user_route }))
            }
            Hop::Unknown(id) => {
                self.must_let_through(Feature::UnknownRoute, Some(id))?;
                Ok(self.allowed())
            }
        }
    }

    pub(crate) fn take(&mut self, interface: Interface, route: &Candidate) {
        let next_hop_address = match route.hop {
            Hop::Appliance(address) => address,
            _ => None,
        };
        self.routes.push(RouteStep {
            interface,
            prefix: route.prefix,
            source: route.source,
            next_hop: route.kind(),
            next_hop_address,
            name: route.user.as_ref().map(|(_, name)| name.clone()),
        });
    }

    /// The subnet of an interface; `Err` where the inventory lacks it.
    pub(crate) fn place_of(&self, nic: NicIndex) -> Result<SubnetIndex, &'a ResourceId> {
        let at = &self.view.network.nics[nic.get()];
        match &at.subnet {
            Some(Reference::Here(subnet)) => Ok(*subnet),
            Some(Reference::Missing(id)) => Err(id),
            None => Err(&at.id),
        }
    }

    /// Writes down what a filter answered.
    pub(crate) fn step(
        &mut self,
        interface: Interface,
        direction: Direction,
        answer: StepAnswer,
        access: Access,
        seen: &Seen,
    ) {
        // SIM-9: a record is listed once, however often the packet comes by.
        let is_it =
            |step: &Step| (step.interface, step.direction, step.answer) == (interface, direction, answer);
        if answer == StepAnswer::FlowTable && self.steps.iter().any(is_it) {
            return;
        }
        self.steps.push(Step { interface, direction, answer, access, seen: seen.tuple });
    }

    /// Writes a note down, once.
    pub(crate) fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl View<'_> {
    /// The place of a user-defined route of the subnet's table.
    pub(crate) fn user_route(&self, subnet: SubnetIndex, route: &Candidate) -> Option<UserRoute> {
        let table = self.network.subnets[subnet.get()].route_table.as_ref()?.here()?;
        let (route, _) = route.user.as_ref()?;
        Some(UserRoute { table, route: *route })
    }
}

/// A packet with its source rewritten. An error that it carries quotes a packet that went the other way.
pub(crate) fn sent_from(packet: &Packet, address: IpAddr, port: Port) -> Packet {
    let mut packet = *packet;
    if let Some(Icmp::Error { quoted: Some(quoted) }) = &mut packet.icmp
        && quoted.destination == packet.five_tuple.source
    {
        quoted.destination = address;
        if quoted.protocol.has_ports() && port.number().is_some() {
            quoted.destination_port = port;
        }
    }
    packet.five_tuple.source = address;
    if packet.five_tuple.protocol.has_ports() {
        packet.five_tuple.source_port = port;
    }
    packet
}

/// An ICMP error quotes the packet as it left: where its destination is rewritten, so is the quoted source.
pub(crate) fn quoting(packet: &Packet, before: IpAddr, after: IpAddr) -> Packet {
    let mut packet = *packet;
    if let Some(Icmp::Error { quoted: Some(quoted) }) = &mut packet.icmp
        && quoted.source == before
    {
        quoted.source = after;
    }
    packet
}
