//! The same traffic under two networks: which flows get another answer.
//!
//! Each network replays the traffic on its own, with its own open flows, so each side is what `replay` says of it. A
//! packet that passes by the record of an open flow shares the fate of the packet that opened it: the answers to a
//! packet that one network denies would not exist there, whatever its rules say of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::compile::network::CompiledNetwork;
use crate::model::flow::FiveTuple;
use crate::model::record::Location;
use crate::model::records::Records;
use crate::model::rule::Direction;
use crate::model::verdict::{Interface, VerdictKind};
use crate::replay::recorded::Entry;
use crate::replay::run::{Judged, Replay, ReplayOptions, Totals};
use crate::replay::shard::Processed;
use crate::replay::tally::{Decider, Hit, Hits};

/// Up to how many addresses of a flip are counted exactly.
pub const MOST_ADDRESSES: usize = 10_000;

/// What one network says of a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Side {
    /// What decided, in that network's indices.
    pub decider: Decider,
    /// How.
    pub kind: VerdictKind,
}

/// What two networks say of a flow, where they differ.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Change {
    /// What the base says.
    pub base: Side,
    /// What the candidate says.
    pub candidate: Side,
}

impl Change {
    /// Its place among others: what breaks something goes first.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self.candidate.kind {
            VerdictKind::Deny => 0,
            VerdictKind::Mixed => 1,
            VerdictKind::Undetermined => 2,
            VerdictKind::Allow => 3,
        }
    }
}

/// Addresses, counted exactly up to [`MOST_ADDRESSES`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Distinct {
    seen: HashSet<IpAddr, foldhash::fast::FixedState>,
    more: bool,
}

/// The flows that one rule's answer of the base and one rule's answer of the candidate disagree about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flip {
    /// How much there was: flows that flip, and the packets of both their directions.
    pub hits: Hits,
    /// Who opened these flows.
    pub sources: Distinct,
    /// To whom.
    pub destinations: Distinct,
    /// The first packet that flips, with its source as it was before translation.
    pub example: FiveTuple,
    /// The interface that logged it, and which way it began there, where it was logged.
    pub at: Option<(Interface, Direction)>,
    /// Where it stands.
    pub location: Location,
}

/// A comparison under way.
pub struct WhatIf {
    base: Replay,
    candidate: Replay,
    fates: [Fates; 2],
    /// What is told of flows that began at this time or later; 0 where all are told together.
    from_ns: u64,
    earlier: Counts,
    outcome: Counts,
}

/// What a comparison came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Comparison {
    /// What the base says of the traffic.
    pub base: Totals,
    /// What the candidate says of it.
    pub candidate: Totals,
    /// What both judged, and where they differ.
    pub counts: Counts,
}

/// What both networks judged, and where they differ.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Flows that get another answer, by what decides about them.
    pub flips: BTreeMap<Change, Flip>,
    /// Packets that both networks judged.
    pub both: u64,
    /// Packets that are in scope of the base alone.
    pub base_only: u64,
    /// Packets that are in scope of the candidate alone.
    pub candidate_only: u64,
}

impl WhatIf {
    /// A comparison that has seen nothing yet.
    #[must_use]
    pub fn new(
        base: (Arc<CompiledNetwork>, ReplayOptions),
        candidate: (Arc<CompiledNetwork>, ReplayOptions),
    ) -> Self {
        let fates = [&base, &candidate].map(|(_, options)| Fates::new(options.simulator.most_flows));
        let replay = |(compiled, options): (Arc<CompiledNetwork>, ReplayOptions)| {
            Replay::new(compiled, ReplayOptions { flows: false, records: true, ..options })
        };
        Self {
            base: replay(base),
            candidate: replay(candidate),
            fates,
            from_ns: 0,
            earlier: Counts::default(),
            outcome: Counts::default(),
        }
    }

    /// The same, which tells apart the flows that began before a time, in nanoseconds since 1970-01-01; of them are also
    /// those of which no time is known.
    #[must_use]
    pub fn parted_at(self, from_ns: u64) -> Self {
        Self { from_ns, ..self }
    }

    /// Judges a batch of records, which follow those of the batches before it, under both networks.
    pub fn feed(&mut self, records: &Records) {
        let judged = rayon::join(|| self.base.feed(records).records, || self.candidate.feed(records).records);
        self.compare_each(judged, |position| {
            let record = records.get(position);
            (record.location, (&record).into())
        });
    }

    /// As [`WhatIf::feed`], for recorded flows.
    pub fn feed_recorded(&mut self, entries: &[Entry]) {
        let judged = rayon::join(
            || self.base.feed_recorded(entries).records,
            || self.candidate.feed_recorded(entries).records,
        );
        self.compare_each(judged, |position| match &entries[position] {
            Entry::Flow(flow) => (flow.location, flow.into()),
            Entry::NoFlow(_) | Entry::Unread { .. } => unreachable!("what is no flow was not judged"),
        });
    }

    /// Compares what became of records, each by its position in the batch.
    fn compare_each(
        &mut self,
        (base, candidate): (Judged, Judged),
        record: impl Fn(usize) -> (Location, Hit),
    ) {
        let mut candidate = candidate.into_iter().peekable();
        for (position, base) in base {
            while candidate.next_if(|(other, _)| *other < position).is_some() {
                self.outcome.candidate_only += 1;
            }
            match candidate.next_if(|(other, _)| *other == position) {
                Some((_, candidate)) => self.compare(record(position), &base, &candidate),
                None => self.outcome.base_only += 1,
            }
        }
        self.outcome.candidate_only += candidate.count() as u64;
    }

    /// Ends the comparison and adds everything up.
    #[must_use]
    pub fn finish(self) -> Comparison {
        self.finish_parts().0
    }

    /// As [`WhatIf::finish`]; and what was counted of flows from before the time of [`WhatIf::parted_at`], which then is
    /// not in the comparison's own counts.
    #[must_use]
    pub fn finish_parts(self) -> (Comparison, Counts) {
        let counts = self.outcome;
        let comparison =
            Comparison { base: self.base.finish().0, candidate: self.candidate.finish().0, counts };
        (comparison, self.earlier)
    }

    fn compare(&mut self, (location, hit): (Location, Hit), base: &Processed, candidate: &Processed) {
        self.outcome.both += 1;
        let mut fate = None;
        for (fates, processed) in self.fates.iter_mut().zip([base, candidate]) {
            if processed.continued && fate.is_none() {
                fate = fates.of(processed.first);
            }
        }
        if let Some((change, is_early)) = fate {
            let flip = self.part(is_early).flips.get_mut(&change).expect("a fate is noted with its flip");
            flip.hits.add(hit, false);
            return;
        }
        let side =
            |processed: &Processed| Side { decider: processed.decider, kind: processed.verdict.kind() };
        let change = Change { base: side(base), candidate: side(candidate) };
        if change.base.kind == change.candidate.kind {
            return;
        }
        let is_early = hit.time_ns.unwrap_or_default() < self.from_ns;
        let flip = self.part(is_early).flips.entry(change).or_insert_with(|| Flip {
            hits: Hits::default(),
            sources: Distinct::default(),
            destinations: Distinct::default(),
            example: base.packet,
            at: base.at,
            location,
        });
        flip.hits.add(hit, base.opens_flow || candidate.opens_flow);
        flip.sources.add(base.packet.source);
        flip.destinations.add(base.packet.destination);
        for (fates, processed) in self.fates.iter_mut().zip([base, candidate]) {
            if processed.opens_flow {
                fates.note(processed.first, (change, is_early));
            }
        }
    }

    fn part(&mut self, is_early: bool) -> &mut Counts {
        if is_early { &mut self.earlier } else { &mut self.outcome }
    }
}

impl Counts {
    /// All flips together.
    #[must_use]
    pub fn all(&self) -> Hits {
        self.sum(|_| true)
    }

    /// What the candidate gives this verdict and the base does not.
    #[must_use]
    pub fn newly(&self, kind: VerdictKind) -> Hits {
        self.sum(|change| change.candidate.kind == kind)
    }

    /// What was undetermined under the base and is not under the candidate.
    #[must_use]
    pub fn newly_determined(&self) -> Hits {
        self.sum(|change| change.base.kind == VerdictKind::Undetermined)
    }

    fn sum(&self, wanted: impl Fn(&Change) -> bool) -> Hits {
        let mut sum = Hits::default();
        for (_, flip) in self.flips.iter().filter(|(change, _)| wanted(change)) {
            sum.merge(&flip.hits);
        }
        sum
    }
}

impl Distinct {
    fn add(&mut self, address: IpAddr) {
        if self.seen.len() < MOST_ADDRESSES {
            self.seen.insert(address);
        } else if !self.more {
            self.more = !self.seen.contains(&address);
        }
    }

    /// How many there are, at most [`MOST_ADDRESSES`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Whether there are more than were counted.
    #[must_use]
    pub fn is_more(&self) -> bool {
        self.more
    }
}

/// How a flow flipped, and whether it began before the time that parts the flows.
type Fate = (Change, bool);

/// The flows of one network that flipped, by where they were opened.
///
/// Bounded: of two generations the earlier is forgotten once the later is full. What passes by the record of a flow
/// that was forgotten is compared on its own.
struct Fates {
    recent: HashMap<Location, Fate, foldhash::fast::FixedState>,
    earlier: HashMap<Location, Fate, foldhash::fast::FixedState>,
    most: usize,
}

impl Fates {
    fn new(most_flows: usize) -> Self {
        let (recent, earlier) = (HashMap::default(), HashMap::default());
        Self { recent, earlier, most: most_flows.div_ceil(2).max(1) }
    }

    fn note(&mut self, opened: Location, fate: Fate) {
        if self.recent.len() >= self.most {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(opened, fate);
    }

    /// What became of the flow that was opened there, if it flipped.
    fn of(&mut self, opened: Location) -> Option<Fate> {
        if let Some(fate) = self.recent.get(&opened) {
            return Some(*fate);
        }
        let fate = self.earlier.remove(&opened)?;
        // A flow that is still in use stays.
        self.note(opened, fate);
        Some(fate)
    }
}
