//! The way from one place to another, before any packet takes it: which filters, which route, which translation.
//!
//! A journey depends on where a packet starts and on the addresses at its two ends, not on its ports or its time, so
//! it is made once for all packets between the same places.

use std::net::IpAddr;

use super::ends::Ends;
use super::plan::Builder;
use crate::compile::network::CompiledNetwork;
use crate::model::index::{NicIndex, PublicIpIndex, ServiceAccountIndex, SubnetIndex};
use crate::model::rule::Direction;
use crate::model::verdict::{Interface, NextHopKind, Note, Reason, RouteStep, Snat, Translation, Unknown};

/// A way through the network.
#[derive(Clone, Debug)]
pub struct Journey {
    /// What happens on the way, in order.
    pub stages: Vec<Stage>,
    /// How it ends if no stage ends it.
    pub end: End,
    /// The routes that are taken.
    pub routes: Vec<RouteStep>,
    /// How many stages come before routing: a packet that does not pass them takes no route (EVAL-12).
    pub before_routing: usize,
    /// Destination after inbound rewriting.
    pub rewritten_destination: Option<IpAddr>,
    /// What a reader should know.
    pub notes: Vec<Note>,
}

/// One thing that happens on the way.
#[derive(Clone, Debug)]
pub enum Stage {
    /// What comes before an interface's filters: the platform's exemptions, and what networks do not carry (EVAL-12).
    Start(Start),
    /// The filters of an interface.
    Filter(Filter),
    /// The firewall of a service (SVC).
    Service(ServiceCheck),
    /// The packet leaves to the internet.
    Exit(Exit),
    /// A public address is translated to a private one, for the protocols that it maps (PIP-1).
    Mapped,
    /// The packet goes on only if the answer is yes.
    OnlyIf(Unknown),
    /// The packet is delivered if the answer is yes, and goes on otherwise.
    DeliveredIf(Unknown),
    /// If the answer to the first question is yes the packet goes another way, and arrives if that to the second is yes
    /// too; otherwise it goes on.
    ElsewhereIf(Unknown, Unknown),
}

impl Stage {
    /// The questions that it may ask by itself, those of rules aside.
    fn questions(&self) -> impl Iterator<Item = &Unknown> {
        let (first, second) = match self {
            Self::OnlyIf(question) | Self::DeliveredIf(question) => (Some(question), None),
            Self::ElsewhereIf(diverts, arrives) => (Some(diverts), Some(arrives)),
            Self::Mapped => (None, None),
            Self::Start(start) => match &start.default_route {
                DefaultRoute::Unknown(question) => (Some(question), None),
                DefaultRoute::Absent | DefaultRoute::Present => (None, None),
            },
            Self::Service(check) => (check.same_region.as_ref().err(), None),
            Self::Exit(exit) => match &exit.by {
                Way::ThroughIf(_, question) | Way::SomehowIf(question) => (Some(question), None),
                Way::None | Way::Somehow | Way::Through(_) => (None, None),
            },
            Self::Filter(filter) => match &filter.gate {
                Gate::Unknown(question) => (Some(question), None),
                Gate::Open | Gate::Closed(_) => (None, None),
            },
        };
        first.into_iter().chain(second)
    }
}

/// The start of a packet's way, at the first interface that could stop it.
#[derive(Clone, Debug)]
pub struct Start {
    /// Where.
    pub interface: Interface,
    /// Which way.
    pub direction: Direction,
    /// An end of it is the platform's, or it is a broadcast: exemptions may apply (PLAT-1 to PLAT-5).
    pub platform: bool,
    /// The sender's address is not the interface's, and the interface does not forward (ROUTE-13): only a guest that
    /// asks for its address may do so (PLAT-5).
    pub spoofed_by: Option<NicIndex>,
    /// Whether the subnet has a user-defined default route (PLAT-4).
    pub default_route: DefaultRoute,
}

/// Whether a subnet has a user-defined default route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DefaultRoute {
    /// It has none.
    Absent,
    /// It has one.
    Present,
    /// Its table is not in the inventory.
    Unknown(Unknown),
}

/// The firewall of a service, asked for a packet that comes in at its public front end.
#[derive(Clone, Debug)]
pub struct ServiceCheck {
    /// The account.
    pub account: ServiceAccountIndex,
    /// The subnet whose identity the packet carries, for one that comes through a service endpoint (SE-3).
    pub identity: Option<SubnetIndex>,
    /// It starts in a virtual network.
    pub from_azure: bool,
    /// The client is in the account's region (SVC-3), or the question whether it is.
    pub same_region: Result<bool, Unknown>,
}

/// The filters of one interface in one direction (EVAL-1).
#[derive(Clone, Debug)]
pub struct Filter {
    /// Where.
    pub interface: Interface,
    /// Which way.
    pub direction: Direction,
    /// The source that they see.
    pub source: SeenSource,
    /// The destination that they see, where it is not the packet's own (NSG-18).
    pub destination: Option<IpAddr>,
    /// What stands in front of an interface without an NSG (EVAL-11).
    pub gate: Gate,
}

/// Which source address a filter sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SeenSource {
    /// The packet's own.
    Own,
    /// Another, after translation.
    Translated(IpAddr),
    /// A public address that Azure picks (SIM-10).
    Picked,
}

/// What stands in front of an interface without an NSG, for a packet that comes through a public address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Gate {
    /// Nothing: the packet does not come through a public address, or through a Basic one.
    Open,
    /// A Standard public address.
    Closed(PublicIpIndex),
    /// The inventory does not tell.
    Unknown(Unknown),
}

/// How packets of an interface leave to the internet (OUT-1).
#[derive(Clone, Debug)]
pub struct Exit {
    /// Where they start.
    pub interface: Interface,
    /// By what.
    pub by: Way,
    /// The source after translation, where it is known.
    pub source: Option<IpAddr>,
    /// The sender's own public address: replies to flows that came in by it leave by it (OUT-5).
    pub own_public: Option<IpAddr>,
}

/// A way out to the internet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// There is none.
    None,
    /// By this means.
    Through(Snat),
    /// By this means, if the answer is yes; otherwise there is none.
    ThroughIf(Snat, Unknown),
    /// By some means that the inventory does not tell.
    Somehow,
    /// By some means, if the answer is yes.
    SomehowIf(Unknown),
}

/// How a journey ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The packet arrives, or leaves the simulated boundary in the normal way.
    Arrives,
    /// It does not.
    Lost(Reason),
}

impl Journey {
    /// A journey that is nothing but one interface's filters: IP flow verify's view (SIM-6).
    #[must_use]
    pub fn at(compiled: &CompiledNetwork, interface: Interface, direction: Direction) -> Self {
        let mut builder = Builder::new(compiled);
        builder.filters(interface, direction);
        builder.finish()
    }

    /// The route that an interface's packets to an address take (NW-4); nothing where none does.
    ///
    /// # Errors
    ///
    /// Fails with the first question that the route hangs on.
    pub(super) fn next_hop(
        compiled: &CompiledNetwork,
        nic: NicIndex,
        destination: IpAddr,
    ) -> Result<Option<RouteStep>, Unknown> {
        let mut builder = Builder::new(compiled);
        builder.route_of(nic, destination);
        let journey = builder.finish();
        let before = &journey.stages[..journey.before_routing];
        match before.iter().flat_map(Stage::questions).next() {
            Some(question) => Err(question.clone()),
            None => Ok(journey.routes.into_iter().next()),
        }
    }

    /// A journey that meets nothing and arrives.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self::new()
    }

    /// The way of packets between these ends.
    #[must_use]
    pub fn between(compiled: &CompiledNetwork, ends: Ends, source: IpAddr, destination: IpAddr) -> Self {
        let mut builder = Builder::new(compiled);
        builder.start(ends, source, destination);
        builder.finish()
    }

    /// Whether something in it is about one address, so that packets of the same address classes cannot share it.
    #[must_use]
    pub fn names_an_address(&self) -> bool {
        let asked =
            self.stages.iter().flat_map(Stage::questions).any(|question| question.address().is_some());
        // The route of a service endpoint is one of the many prefixes of its tag.
        let by_tag =
            self.routes.iter().any(|route| route.next_hop == NextHopKind::VirtualNetworkServiceEndpoint);
        asked || by_tag || self.notes.iter().any(|note| matches!(note, Note::NoEndpoint { .. }))
    }

    /// The translations of a packet whose exit, if it has one, is `exit`.
    #[must_use]
    pub fn translation(
        &self,
        destination_port: Option<u16>,
        exit: Option<(Snat, Option<IpAddr>)>,
    ) -> Translation {
        Translation {
            destination: self.rewritten_destination.map(|address| (address, destination_port)),
            snat: exit.map(|(snat, _)| snat),
            source: exit.and_then(|(_, source)| source),
        }
    }

    pub(super) fn new() -> Self {
        Self {
            stages: Vec::new(),
            end: End::Arrives,
            routes: Vec::new(),
            before_routing: 0,
            rewritten_destination: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn filter(&mut self, interface: Interface, direction: Direction) -> &mut Filter {
        self.stages.push(Stage::Filter(Filter {
            interface,
            direction,
            source: SeenSource::Own,
            destination: None,
            gate: Gate::Open,
        }));
        match self.stages.last_mut() {
            Some(Stage::Filter(filter)) => filter,
            _ => unreachable!("a filter was just pushed"),
        }
    }
}
