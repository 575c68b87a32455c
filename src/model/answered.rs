//! What Azure's own tools answered about one interface, as an export holds it (NW-2, NW-5 to NW-7).

use std::net::IpAddr;

use super::id::ResourceId;
use super::prefix::{PortRange, Prefix};
use super::rule::{Access, Direction, Priority, ProtocolMatch};
use super::verdict::{NextHopKind, RouteSource};

/// An answer.
#[derive(Clone, Debug)]
pub enum Answered {
    /// The effective rules, NSG by NSG (NW-6).
    Rules(Vec<AnsweredGroup>),
    /// The security group view: each interface's rules (NW-7).
    Views(Vec<AnsweredView>),
    /// The effective route table (NW-5).
    Routes(Vec<AnsweredRoute>),
    /// NSG diagnostics, packet by packet (NW-2).
    Diagnostics(Vec<AnsweredProfile>),
}

/// The rules that a security group view lists for one interface.
#[derive(Clone, Debug)]
pub struct AnsweredView {
    /// Where the interface's ID stands: file and JSON pointer.
    pub place: String,
    /// The interface.
    pub nic: ResourceId,
    /// Its lists.
    pub groups: Vec<AnsweredGroup>,
}

/// A list of rules.
#[derive(Clone, Debug)]
pub struct AnsweredGroup {
    /// Where the list stands: file and JSON pointer.
    pub place: String,
    /// Where the rules apply.
    pub held_by: HeldBy,
    /// The NSG, where the answer names it.
    pub nsg: Option<ResourceId>,
    /// Which rules of it are listed.
    pub part: RulePart,
    /// The rules; those that only show that nothing is left (DEF-4) are none.
    pub rules: Vec<AnsweredRule>,
}

/// What holds the NSG of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeldBy {
    /// The subnet with this ID.
    Subnet(Option<ResourceId>),
    /// The interface with this ID.
    Nic(Option<ResourceId>),
    /// A network manager: the rules are admin rules, whose listing no clause describes. They are not read.
    Manager(ResourceId),
    /// Any: the answer lists the rules of all of the interface's NSGs together.
    All,
    /// Nothing is said: the NSG's ID tells which it is.
    Unsaid,
}

/// Which rules of an NSG a list holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RulePart {
    /// All.
    Whole,
    /// Those that its owner wrote.
    Custom,
    /// The six of DEF-1.
    Default,
}

/// A rule of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnsweredRule {
    /// Its own name, without the prefixes of NW-3.
    pub name: String,
    /// Which list it belongs to.
    pub direction: Direction,
    /// When it is tried.
    pub priority: Priority,
    /// What it says.
    pub access: Access,
    /// Protocol.
    pub protocol: ProtocolMatch,
    /// Source addresses and ports.
    pub source: AnsweredSide,
    /// Destination addresses and ports.
    pub destination: AnsweredSide,
}

/// The source or the destination of a rule.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AnsweredSide {
    /// `*`, which effective rules list as `0.0.0.0/0`.
    pub any: bool,
    /// Addresses and blocks.
    pub prefixes: Vec<Prefix>,
    /// What is neither: tags, and whatever else the service names.
    pub names: Vec<String>,
    /// What the names stand for, where the answer tells.
    pub expanded: Option<Vec<Prefix>>,
    /// Ports.
    pub ports: Vec<PortRange>,
}

/// A route of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnsweredRoute {
    /// What it applies to.
    pub prefix: Prefix,
    /// Where it comes from.
    pub source: RouteSource,
    /// It is used; otherwise a stronger one has the same prefix.
    pub active: bool,
    /// Where it leads.
    pub next_hop: AnsweredHop,
    /// The appliances' addresses.
    pub addresses: Vec<IpAddr>,
    /// The user's route; most answers leave it out.
    pub name: Option<String>,
}

/// Where a route of an answer leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AnsweredHop {
    /// A kind that we know, however it is spelt (ROUTE-10).
    Known(NextHopKind),
    /// Another, as it was written.
    Other(String),
}

/// What diagnostics say about one packet.
#[derive(Clone, Debug)]
pub struct AnsweredProfile {
    /// Which way.
    pub direction: Direction,
    /// Protocol, source, destination and destination port as they were written.
    pub written: [String; 4],
    /// What it says.
    pub access: Access,
    /// The NSGs and managers that were asked, in order.
    pub asked: Vec<AnsweredEvaluation>,
}

/// What one NSG or manager said of a packet.
#[derive(Clone, Debug)]
pub struct AnsweredEvaluation {
    /// The NSG or manager.
    pub owner: ResourceId,
    /// The rule that matched, and what it says; nothing where none did.
    pub matched: Option<(String, Access)>,
    /// The rules that were tried, in order, and which of the fields protocol, source, source port, destination,
    /// destination port matched.
    pub tried: Vec<(String, [bool; 5])>,
}
