//! One record of an input: where it stands, when it was, and what it held.

use super::flow::Packet;
use super::reason_code::ReasonCode;

/// Where a record stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location {
    /// Position of its file in the run's list of inputs.
    pub file: u32,
    /// Number of the record in its file, from 1 as Wireshark counts.
    pub number: u64,
}

/// One packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Where it stands.
    pub location: Location,
    /// When it was, in nanoseconds since 1970-01-01; `None` where the input does not say (simple packet blocks).
    pub time_ns: Option<u64>,
    /// Its length on the wire in bytes, link-layer header included; where a tunnel was opened, that of the carried frame.
    pub wire_bytes: u32,
    /// What it held.
    pub content: Content,
}

/// What a record held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// An IP packet.
    Packet(Packet),
    /// Nothing that Azure filters: [`ReasonCode::NotIp`], [`ReasonCode::UnsupportedLinkType`].
    OutOfScope(ReasonCode),
    /// Damaged or cut short: [`ReasonCode::DamagedHeader`], [`ReasonCode::CutShort`].
    Skipped(ReasonCode),
}
