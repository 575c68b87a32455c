//! What Azure itself wrote down about a flow (LOG).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::flow::{FiveTuple, Port};
use super::record::Location;
use super::recorded::{Part, RecordedFlow, RecordedRule, RecordedVerdict, SeenAt};
use super::rule::{Access, Direction, Protocol};

/// One tuple of a flow log, of whichever version (LOG-3, LOG-4, LOG-7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoggedFlow {
    /// Which record of the log holds it.
    pub location: Location,
    /// Which tuple of that record it is, from 1, over all its groups.
    pub tuple: u64,
    /// When it was written, in milliseconds since 1970-01-01; the older log counts in whole seconds.
    ///
    /// INVARIANT: as nanoseconds it fits into 64 bits.
    pub time_ms: u64,
    /// The NIC that saw it.
    pub mac: [u8; 6],
    /// Who decided. In the older log the NSG's name in lower case, from its resource ID; in the newer one `aclID` as it
    /// stands there: a GUID, a resource ID, or `unspecified`.
    pub acl: Arc<str>,
    /// The rule's own name, without the prefixes of NW-3.
    pub rule: Arc<str>,
    /// What sort of rule it is.
    pub rule_kind: RuleKind,
    /// Sender of the flow's first packet.
    pub source: IpAddr,
    /// Receiver of the flow's first packet, of the same family.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: Protocol,
    /// Sender's port as it is logged. [`LoggedFlow::five_tuple`] says which protocols have one.
    pub source_port: u16,
    /// Receiver's port as it is logged.
    pub destination_port: u16,
    /// Which way the flow began, seen from the NIC.
    pub direction: Direction,
    /// What was decided.
    pub decision: Access,
    /// How far the flow has come; version 1 does not say.
    pub state: Option<FlowState>,
    /// Whether it was encrypted; only version 4 says so.
    pub encryption: Option<Encryption>,
    /// What went from source to destination since the flow's previous tuple.
    pub sent: Volume,
    /// What came back since the flow's previous tuple.
    pub returned: Volume,
}

impl LoggedFlow {
    /// What rules look at: protocols without ports have none here, whatever is logged in their place (NSG-10).
    #[must_use]
    pub fn five_tuple(&self) -> FiveTuple {
        let ports = (self.source_port, self.destination_port);
        logged_tuple(self.source, self.destination, self.protocol, ports)
    }

    /// Which part of the flow it tells of.
    #[must_use]
    pub fn part(&self) -> Part {
        logged_part(self.decision, self.state)
    }
}

/// What rules look at in what is logged of a flow.
#[must_use]
pub fn logged_tuple(
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    (source_port, destination_port): (u16, u16),
) -> FiveTuple {
    let port = |number| if protocol.has_ports() { Port::Number(number) } else { Port::None };
    FiveTuple {
        source,
        destination,
        protocol,
        source_port: port(source_port),
        destination_port: port(destination_port),
    }
}

/// Which part of a flow a tuple tells of: version 1 tells of beginnings alone, and a denied flow has no more than one part
/// (LOG-10).
#[must_use]
pub fn logged_part(decision: Access, state: Option<FlowState>) -> Part {
    match (decision, state) {
        (Access::Deny, _) | (_, None | Some(FlowState::Denied)) => Part::Whole,
        (Access::Allow, Some(FlowState::Begin)) => Part::Begin,
        (Access::Allow, Some(FlowState::Continue)) => Part::Continue,
        (Access::Allow, Some(FlowState::End)) => Part::End,
    }
}

impl From<LoggedFlow> for RecordedFlow {
    fn from(logged: LoggedFlow) -> Self {
        let rule =
            RecordedRule { acl: Some(logged.acl.clone()), name: logged.rule.clone(), kind: logged.rule_kind };
        Self {
            location: logged.location,
            time_ns: Some(logged.time_ms * 1_000_000),
            five_tuple: logged.five_tuple(),
            seen_at: Some(SeenAt { mac: logged.mac, direction: logged.direction }),
            part: logged.part(),
            verdict: Some(RecordedVerdict { access: logged.decision, rule: Some(Arc::new(rule)) }),
            sent: logged.sent,
            returned: logged.returned,
        }
    }
}

/// What sort of rule a log names, by the prefix of the name (NW-3, LOG-6).
///
/// LIMIT: only the prefix tells an NSG's rule from an admin rule. A user's rule whose prefix was taken off, as in the
/// sample of Microsoft's page on VNet flow logs, reads as an admin rule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RuleKind {
    /// A custom rule of an NSG.
    User,
    /// A default rule of an NSG.
    Default,
    /// A security admin rule: its name stands bare.
    Admin,
    /// `PlatformRule`: the platform's own.
    Platform,
    /// `unspecified`: no rule, the flow was dropped because of encryption.
    Unspecified,
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FlowState {
    /// `B`: it begins. In version 2 also a denied flow.
    Begin,
    /// `C`: it goes on, told every five minutes.
    Continue,
    /// `E`: it ended.
    End,
    /// `D`: it was denied; only in version 4.
    Denied,
}

impl FlowState {
    /// The letter in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "B",
            Self::Continue => "C",
            Self::End => "E",
            Self::Denied => "D",
        }
    }
}

impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a flow was encrypted, and if not, why (LOG-8).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Encryption {
    /// Encrypted.
    Encrypted,
    /// Not encrypted.
    Unencrypted,
    /// The hardware cannot.
    HardwareNotSupported,
    /// The software is not ready; dropped.
    SoftwareNotReady,
    /// Both ends enforce encryption; dropped.
    NotAccepted,
    /// Not supported; dropped.
    NotSupported,
    /// The destination is on the same host.
    LocalDestination,
    /// Fell back to plain traffic.
    Fallback,
}

impl Encryption {
    /// All values.
    pub const ALL: [Self; 8] = [
        Self::Encrypted,
        Self::Unencrypted,
        Self::HardwareNotSupported,
        Self::SoftwareNotReady,
        Self::NotAccepted,
        Self::NotSupported,
        Self::LocalDestination,
        Self::Fallback,
    ];

    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "X",
            Self::Unencrypted => "NX",
            Self::HardwareNotSupported => "NX_HW_NOT_SUPPORTED",
            Self::SoftwareNotReady => "NX_SW_NOT_READY",
            Self::NotAccepted => "NX_NOT_ACCEPTED",
            Self::NotSupported => "NX_NOT_SUPPORTED",
            Self::LocalDestination => "NX_LOCAL_DST",
            Self::Fallback => "NX_FALLBACK",
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much went one way; `None` where the field is empty or the version has no such field.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Volume {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}
