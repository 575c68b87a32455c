//! The way from one place to another, before any packet takes it: which filters, which routes, which translation.
//!
//! A journey depends on where a packet starts and on the addresses at its two ends, not on its ports or its time, so
//! it is made once for all packets between the same places. Behind a load balancer it forks: there a packet's protocol
//! and port choose the rule, and each member of the rule's pool is one way on.

use std::net::IpAddr;
use std::sync::Arc;

use super::ends::Ends;
use super::plan::Builder;
use super::state::Entrance;
use crate::compile::balancers::LeavesBy;
use crate::compile::network::CompiledNetwork;
use crate::compile::places::FrontendPlace;
use crate::model::id::ResourceId;
use crate::model::index::{LoadBalancerIndex, NicIndex, PublicIpIndex, ServiceAccountIndex, SubnetIndex};
use crate::model::rule::Direction;
use crate::model::unknown::Unknown;
use crate::model::verdict::{FirewallRule, Interface, NextHopKind, Note, Reason, RouteStep, Snat};

/// A way through the network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Journey {
    /// What happens on the way, in order.
    pub stages: Vec<Stage>,
    /// How it ends if no stage ends it.
    pub end: End,
}

/// One thing that happens on the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stage {
    /// What comes before an interface's filters: the platform's exemptions, and what networks do not carry (EVAL-12).
    Start(Start),
    /// The filters of an interface.
    Filter(Filter),
    /// A route is taken.
    Route(RouteStep),
    /// Something that a reader should know.
    Note(Note),
    /// The machine behind an interface sends the packet on from this address (ROUTE-15).
    SentFrom(IpAddr),
    /// A Private Link service picks one of its addresses as the source (PLS-1).
    PrivateLink(PrivateLink),
    /// A load balancer picks a member: nothing comes after it but what each member's own way holds.
    Balance(Balance),
    /// The firewall of a service (SVC).
    Service(ServiceCheck),
    /// The packet leaves to the internet.
    Exit(Exit),
    /// A public address is translated to this private one, for the protocols that it maps (PIP-1).
    Mapped {
        /// The public address.
        public: IpAddr,
        /// The private one.
        private: IpAddr,
        /// Idle time of the flows that it translates, in minutes (STATE-15).
        idle_timeout_min: u32,
    },
    /// The packet was seen after the translation that it came in by; with the idle time of the TCP flows that this
    /// translates, in minutes, where it is known (STATE-15).
    CameIn(Entrance, Option<u32>),
    /// The packet goes on only if the answer is yes; the reason of the denial otherwise, where a clause gives one.
    OnlyIf(Unknown, Option<Reason>),
    /// The packet is delivered if the answer is yes, and goes on otherwise.
    DeliveredIf(Unknown),
    /// If the answer to the first question is yes the packet goes another way, and arrives if that to the second is yes
    /// too; otherwise it goes on.
    ElsewhereIf(Unknown, Unknown),
    /// If the answer is yes, the packet goes on by this other way.
    BranchIf(Unknown, Arc<Journey>),
    /// The packet is delivered if it answers one that came in through a Private Link service.
    DeliveredToConsumer,
}

impl Stage {
    /// The questions that it may ask by itself, those of rules aside.
    fn questions(&self) -> Vec<&Unknown> {
        match self {
            Self::OnlyIf(question, _) | Self::DeliveredIf(question) => vec![question],
            Self::ElsewhereIf(diverts, arrives) => vec![diverts, arrives],
            Self::BranchIf(question, other) => std::iter::once(question).chain(other.questions()).collect(),
            Self::Start(start) => match &start.default_route {
                DefaultRoute::Unknown(question) => vec![question],
                DefaultRoute::Absent | DefaultRoute::Present => Vec::new(),
            },
            Self::Service(check) => check.same_region.as_ref().err().into_iter().collect(),
            Self::Exit(exit) => match &exit.by {
                Way::ThroughIf(_, question) | Way::SomehowIf(question) => vec![question],
                Way::Balanced { otherwise, .. } => otherwise.iter().collect(),
                Way::None | Way::Somehow | Way::Through(_) => Vec::new(),
            },
            Self::Filter(filter) => match &filter.gate {
                Gate::Unknown(question) => vec![question],
                Gate::Open | Gate::Closed(_) | Gate::ClosedInside(_) => Vec::new(),
            },
            Self::Balance(balance) => balance.onward().flat_map(Journey::questions).collect(),
            Self::Route(_)
            | Self::Note(_)
            | Self::SentFrom(_)
            | Self::PrivateLink(_)
            | Self::Mapped { .. }
            | Self::CameIn(..)
            | Self::DeliveredToConsumer => Vec::new(),
        }
    }

    /// Whether it is about one address, so that packets of the same topology classes cannot share it.
    fn names_an_address(&self) -> bool {
        match self {
            // The route of a service endpoint is one of the many prefixes of its tag.
            Self::Route(route) => route.next_hop == NextHopKind::VirtualNetworkServiceEndpoint,
            Self::Note(note) => matches!(note, Note::NoEndpoint { .. }),
            Self::Balance(balance) => balance.onward().any(Journey::names_an_address),
            other => other.questions().into_iter().any(|question| question.address().is_some()),
        }
    }
}

/// The start of a packet's way, at the first interface that could stop it.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    /// Filters stand there, which keep records.
    pub filtered: bool,
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

/// A Private Link service, asked by a packet that its private endpoint took in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrivateLink {
    /// The service's ID.
    pub service: ResourceId,
    /// The private endpoint.
    pub endpoint: Interface,
    /// Its addresses in the provider's network; none where the inventory lacks them.
    pub addresses: Vec<IpAddr>,
}

/// A load balancer, asked at one of its frontends: at several only by a Private Link service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Balance {
    /// The frontends.
    pub frontends: Vec<BalanceAt>,
    /// It is a next hop: the packet keeps its addresses (LB-12).
    pub as_next_hop: bool,
    /// By what members know that the packet came in; nothing for a next hop.
    pub entrance: Option<Entrance>,
}

/// One frontend of a load balancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BalanceAt {
    /// Which one.
    pub place: FrontendPlace,
    /// Its address, where the inventory knows it.
    pub address: Option<IpAddr>,
    /// For each of its rules the ways to the rule's members, in the order of
    /// [`Balancers::rules`](crate::compile::balancers::Balancers::rules).
    pub ways: Vec<Vec<MemberWay>>,
}

/// The way to one member of a backend pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberWay {
    /// The interface that it would come back to if it came from there (LB-9).
    pub hairpin_at: Option<NicIndex>,
    /// What happens from there.
    pub onward: Arc<Journey>,
}

impl Balance {
    fn onward(&self) -> impl Iterator<Item = &Journey> {
        self.frontends.iter().flat_map(|at| at.ways.iter().flatten()).map(|way| &*way.onward)
    }
}

/// The firewall of a service, asked for a packet that comes in at its public front end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceCheck {
    /// The account.
    pub account: ServiceAccountIndex,
    /// The subnet whose identity the packet carries, for one that comes through a service endpoint (SE-3).
    pub identity: Option<SubnetIndex>,
    /// It starts in a virtual network.
    pub from_azure: bool,
    /// The client is in the account's region (SVC-3), or the question whether it is.
    pub same_region: Result<bool, Unknown>,
    /// What lets the client in for what it is (SVC-2, SVC-4).
    pub known_as: Option<FirewallRule>,
}

/// The filters of one interface in one direction (EVAL-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// Where.
    pub interface: Interface,
    /// Which way.
    pub direction: Direction,
    /// What stands in front of an interface without an NSG (EVAL-11).
    pub gate: Gate,
}

/// What stands in front of an interface without an NSG, for a packet that comes through a public address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Gate {
    /// Nothing: the packet does not come through a public address, or through a Basic one.
    Open,
    /// A Standard public address.
    Closed(PublicIpIndex),
    /// An internal Standard load balancer, where it is assumed to be closed too (EVAL-11).
    ClosedInside(LoadBalancerIndex),
    /// The inventory does not tell.
    Unknown(Unknown),
}

/// How packets of an interface leave to the internet (OUT-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exit {
    /// Where they start.
    pub interface: Interface,
    /// By what.
    pub by: Way,
    /// The source after translation, where it is known.
    pub source: Option<IpAddr>,
    /// Idle time of the TCP flows that a NAT gateway translates, in minutes (STATE-15).
    pub nat_idle_timeout_min: Option<u32>,
    /// The platform blocks mail straight to the internet (EVAL-13).
    pub blocks_smtp: bool,
}

/// A way out to the internet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// There is none.
    None,
    /// By this means.
    Through(Snat),
    /// By the first of these rules of load balancers that carries the packet's protocol.
    Balanced {
        /// The rules.
        rules: Vec<LeavesBy>,
        /// The question whether something carries the others.
        otherwise: Option<Unknown>,
    },
    /// By this means, if the answer is yes; otherwise there is none.
    ThroughIf(Snat, Unknown),
    /// By some means that the inventory does not tell.
    Somehow,
    /// By some means, if the answer is yes.
    SomehowIf(Unknown),
}

/// How a journey ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The packet arrives, or leaves the simulated boundary in the normal way.
    Arrives,
    /// It does not.
    Lost(Reason),
}

impl Journey {
    /// A journey that is nothing but one interface's filters: IP flow verify's view (SIM-6).
    #[must_use]
    pub fn at(interface: Interface, direction: Direction) -> Self {
        let mut journey = Self::of_nothing();
        journey.filter(interface, direction);
        journey
    }

    /// What an interface's packets meet there, the platform's exemptions included (LOG-10).
    #[must_use]
    pub(super) fn logged_at(
        compiled: &CompiledNetwork,
        interface: Interface,
        direction: Direction,
        destination: IpAddr,
    ) -> Self {
        Builder::at_interface(compiled, interface, direction, destination)
    }

    /// A journey that meets nothing and arrives.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self { stages: Vec::new(), end: End::Arrives }
    }

    /// The way of packets between these ends.
    #[must_use]
    pub fn between(compiled: &CompiledNetwork, ends: Ends, source: IpAddr, destination: IpAddr) -> Self {
        let mut builder = Builder::new(compiled, source, destination);
        builder.start(ends);
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
        for stage in &Builder::route_of(compiled, nic, destination).stages {
            if let Stage::Route(route) = stage {
                return Ok(Some(route.clone()));
            }
            if let Some(question) = stage.questions().first() {
                return Err((*question).clone());
            }
        }
        Ok(None)
    }

    /// Whether something in it is about one address, so that packets of the same topology classes cannot share it.
    #[must_use]
    pub fn names_an_address(&self) -> bool {
        self.stages.iter().any(Stage::names_an_address)
    }

    fn questions(&self) -> impl Iterator<Item = &Unknown> {
        self.stages.iter().flat_map(Stage::questions)
    }

    pub(super) fn filter(&mut self, interface: Interface, direction: Direction) -> &mut Filter {
        self.stages.push(Stage::Filter(Filter { interface, direction, gate: Gate::Open }));
        match self.stages.last_mut() {
            Some(Stage::Filter(filter)) => filter,
            _ => unreachable!("a filter was just pushed"),
        }
    }
}
