//! A flow as somebody recorded it: a tuple of a flow log, or a row of a flow table.
//!
//! Where a [`Record`](super::record::Record) is one packet, this is what was counted of many, often with the verdict that
//! the recorder came to.

use std::sync::Arc;

use super::flow::FiveTuple;
use super::flow_log::{RuleKind, Volume};
use super::record::Location;
use super::rule::{Access, Direction};

/// One line of a record of flows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordedFlow {
    /// Where it stands: the number is that of the tuple or row in its file, from 1.
    pub location: Location,
    /// When it was recorded or began, in nanoseconds since 1970-01-01; `None` where the input does not say.
    pub time_ns: Option<u64>,
    /// The five-tuple of the flow's first packet.
    pub five_tuple: FiveTuple,
    /// The interface that saw it; `None` where its ends are to be found by their addresses.
    pub seen_at: Option<SeenAt>,
    /// What the recorder said became of it.
    pub verdict: Option<RecordedVerdict>,
    /// Which part of the flow it tells of.
    pub part: Part,
    /// What went from source to destination in this part.
    pub sent: Volume,
    /// What came back in this part.
    pub returned: Volume,
}

impl RecordedFlow {
    /// Packets of both ways, as far as they were counted.
    #[must_use]
    pub fn packets(&self) -> u64 {
        let count = |volume: Volume| volume.packets.unwrap_or(0);
        count(self.sent).saturating_add(count(self.returned))
    }

    /// Bytes of both ways, as far as they were counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let count = |volume: Volume| volume.bytes.unwrap_or(0);
        count(self.sent).saturating_add(count(self.returned))
    }
}

/// The interface that saw a flow, and which way the flow began there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SeenAt {
    /// The interface's MAC address.
    pub mac: [u8; 6],
    /// Which way, seen from the interface.
    pub direction: Direction,
}

/// What the recorder said became of a flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordedVerdict {
    /// What was decided.
    pub access: Access,
    /// By whose rule, and by which; `None` where the input names none.
    ///
    /// PERF: shared, as thousands of tuples of a log name the same.
    pub rule: Option<Arc<RecordedRule>>,
}

/// A rule as a record names it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordedRule {
    /// Whose rule it is: an NSG's name, or an ID as it stands there; `None` where the input does not say.
    pub acl: Option<Arc<str>>,
    /// The rule's own name, without the prefixes of NW-3.
    pub name: Arc<str>,
    /// What sort of rule it is.
    pub kind: RuleKind,
}

/// Which part of a flow a record tells of (LOG-4, LOG-7).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// All of it, or an attempt that was denied.
    Whole,
    /// Its beginning.
    Begin,
    /// Some time in between.
    Continue,
    /// Its end.
    End,
}

impl Part {
    /// Whether the flow begins with it (LOG-10).
    #[must_use]
    pub fn begins(self) -> bool {
        matches!(self, Self::Whole | Self::Begin)
    }
}
