//! A packet as filters see it, and where it starts.

use std::net::IpAddr;

use super::index::{GatewayIndex, NicIndex, SubnetIndex};
use super::rule::Protocol;

/// A port field of a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Port {
    /// The packet carries none: any protocol but TCP and UDP (NSG-10).
    None,
    /// A question that names no particular port (NW-1).
    NotGiven,
    /// A port.
    Number(u16),
}

impl Port {
    /// The number, where there is one.
    #[must_use]
    pub fn number(self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(number),
            Self::None | Self::NotGiven => None,
        }
    }
}

/// What rules look at.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FiveTuple {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: Protocol,
    /// Sender's port.
    pub source_port: Port,
    /// Receiver's port.
    pub destination_port: Port,
}

impl FiveTuple {
    /// The five-tuple of a reply.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// The TCP flags that open and close flows (STATE-7).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct TcpFlags {
    /// SYN.
    pub syn: bool,
    /// ACK.
    pub ack: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
}

impl TcpFlags {
    /// A SYN without ACK: the first packet of a connection.
    #[must_use]
    pub fn opens(self) -> bool {
        self.syn && !self.ack
    }
}

/// A packet's part in a fragmented datagram (STATE-11).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Fragment {
    /// The datagram is whole.
    #[default]
    Whole,
    /// The first fragment: it carries the ports.
    First {
        /// The datagram's identification.
        identification: u32,
    },
    /// A later fragment: it carries no ports.
    Later {
        /// The datagram's identification.
        identification: u32,
    },
}

/// What an ICMP or ICMPv6 packet says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Icmp {
    /// Echo request or reply; both directions share the identifier (STATE-10).
    Echo {
        /// The identifier.
        identifier: u16,
        /// A request; otherwise a reply.
        request: bool,
    },
    /// An error that quotes the packet it is about.
    Error {
        /// The quoted packet's five-tuple, where enough of it is there. The identifier of a quoted echo stands in both
        /// ports.
        quoted: Option<FiveTuple>,
    },
    /// Anything else.
    Other,
}

/// A packet: everything that a verdict can depend on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Packet {
    /// What rules look at. Ports of ICMP are [`Port::None`].
    pub five_tuple: FiveTuple,
    /// Flags, for TCP packets whose flags are known.
    pub tcp: Option<TcpFlags>,
    /// ICMP message, for ICMP and ICMPv6.
    pub icmp: Option<Icmp>,
    /// Its part in a fragmented datagram.
    pub fragment: Fragment,
}

impl Packet {
    /// A whole packet of this five-tuple, of which nothing more is known.
    #[must_use]
    pub fn new(five_tuple: FiveTuple) -> Self {
        Self { five_tuple, tcp: None, icmp: None, fragment: Fragment::Whole }
    }
}

/// Where a packet starts (SIM-11).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Origin {
    /// At an interface of the inventory.
    Nic(NicIndex),
    /// In a subnet, at an interface that the inventory does not list.
    Unlisted(SubnetIndex),
    /// Outside: the internet, addressed to a public address, or seen after translation.
    Internet,
    /// On-premises, behind this gateway.
    OnPremises(GatewayIndex),
    /// The platform (168.63.129.16).
    Platform,
}
