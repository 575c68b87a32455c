//! A security rule: who may talk to whom, and when it is tried.

use std::fmt;

use serde::{Serialize, Serializer};

use super::index::{AsgIndex, Reference};
use super::prefix::{PortRange, Prefix};
use super::tag::TagName;

/// When a rule is tried, within its NSG and direction: the lower number goes first (NSG-4).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Priority(pub u32);

impl Priority {
    /// Numbers that a custom rule may carry; Azure's default rules sit far above them (NSG-3).
    pub const CUSTOM: std::ops::RangeInclusive<u32> = 100..=4096;

    /// Whether a custom rule may carry this number. Lenient mode evaluates others all the same (SIM-5).
    #[must_use]
    pub fn is_custom(self) -> bool {
        Self::CUSTOM.contains(&self.0)
    }
}

/// What a rule says.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The packet may go on.
    Allow,
    /// The packet ends here.
    Deny,
}

/// Which way a packet goes, seen from the NIC or subnet that holds the NSG.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the NIC.
    Inbound,
    /// From the NIC.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// An IP protocol by its IANA number.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4; ICMPv6 is another protocol, which no rule can name (NSG-5).
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// GRE.
    pub const GRE: Self = Self(47);
    /// ESP.
    pub const ESP: Self = Self(50);
    /// AH.
    pub const AH: Self = Self(51);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);

    /// Whether packets of this protocol carry ports that rules look at: TCP and UDP only (NSG-10).
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP)
    }

    /// The usual name in lower case, where the protocol has one here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ICMP => "icmp",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::GRE => "gre",
            Self::ESP => "esp",
            Self::AH => "ah",
            Self::ICMPV6 => "icmpv6",
            _ => return None,
        })
    }

    /// Reads a name as [`Protocol::name`] gives it, in any letter case, or an IANA number.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let named = [Self::ICMP, Self::TCP, Self::UDP, Self::GRE, Self::ESP, Self::AH, Self::ICMPV6]
            .into_iter()
            .find(|protocol| protocol.name().is_some_and(|name| name.eq_ignore_ascii_case(text)));
        named.or_else(|| text.parse().ok().map(Self))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol({self})")
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The protocol field of a rule (NSG-5, NSG-6).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ProtocolMatch {
    /// `*`: every IP protocol.
    Any,
    /// One protocol.
    Is(Protocol),
    /// A text that Azure does not take, as it was written; whether it matches is unknown.
    Invalid(String),
}

/// One alternative of a source or destination field.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum AddressTerm {
    /// `*`: all addresses of both families (NSG-12).
    Any,
    /// An address or block.
    Prefix(Prefix),
    /// A service tag by name, whether any loaded file has it or not.
    Tag(TagName),
    /// The members of an application security group (ASG-2).
    Asg(Reference<AsgIndex>),
    /// A text that Azure does not take, as it was written; whether it matches is unknown.
    Invalid(String),
}

/// One alternative of a port field.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum PortTerm {
    /// A range of ports.
    Range(PortRange),
    /// A text that Azure does not take, as it was written; whether it matches is unknown.
    Invalid(String),
}

/// One rule of an NSG. Inside each list any alternative suffices (NSG-7); no list is empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The rule's own name, without the prefixes of NW-3.
    pub name: String,
    /// When it is tried.
    pub priority: Priority,
    /// Which list it belongs to.
    pub direction: Direction,
    /// What it says.
    pub access: Access,
    /// Protocol.
    pub protocol: ProtocolMatch,
    /// Source addresses.
    pub source: Vec<AddressTerm>,
    /// Source ports.
    pub source_ports: Vec<PortTerm>,
    /// Destination addresses.
    pub destination: Vec<AddressTerm>,
    /// Destination ports.
    pub destination_ports: Vec<PortTerm>,
    /// One of the six rules of DEF-1, which no export can change.
    pub is_default: bool,
}

impl Rule {
    /// The name as flow logs and diagnostics spell it (NW-3).
    #[must_use]
    pub fn flow_log_name(&self) -> String {
        let prefix = if self.is_default { "DefaultRule_" } else { "UserRule_" };
        format!("{prefix}{}", self.name)
    }
}
