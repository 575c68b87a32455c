//! Recorded flows through the network: those of logs at the interface that saw them, others from end to end.

use rayon::prelude::*;

use super::agreement::{Disagreement, Pair};
use super::run::{Progress, Replay};
use super::shard::{Processed, Shard};
use super::sharing::{SHARDS, shard_between};
use crate::model::flow::Packet;
use crate::model::reason_code::ReasonCode;
use crate::model::record::Location;
use crate::model::recorded::{RecordedFlow, SeenAt};
use crate::model::verdict::{Interface, Verdict};
use crate::simulate::logged::{MacAddresses, Unplaced};
use crate::simulate::{Judged, OutOfScope, Passed};

/// A tuple of a log or a row of a table, as far as it could be read.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A flow.
    Flow(RecordedFlow),
    /// A row that tells of no flow, by where it stands.
    NoFlow(Location),
    /// Something that could not be read.
    Unread {
        /// Where it stands.
        location: Location,
        /// How many tuples or rows it holds, at least one.
        count: u64,
    },
}

impl Entry {
    /// How many tuples or rows it stands for.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Flow(_) | Self::NoFlow(_) => 1,
            Self::Unread { count, .. } => *count,
        }
    }
}

impl Replay {
    /// Judges recorded flows, which follow those of the batches before them. What is handed out of each is by its
    /// position among the entries.
    pub fn feed_recorded(&mut self, entries: &[Entry]) -> Progress {
        self.handed_in += entries.iter().map(Entry::count).sum::<u64>();
        let Self { compiled, shards, options, macs, clock_ns, .. } = self;
        let macs = &*macs.get_or_insert_with(|| MacAddresses::of(compiled));
        // A flow without a time has that of the one before it.
        let mut clocks_ns = Vec::with_capacity(entries.len());
        let mut shares: Vec<Vec<usize>> = vec![Vec::new(); SHARDS];
        for (position, entry) in entries.iter().enumerate() {
            let owner = match entry {
                Entry::Flow(flow) => {
                    *clock_ns = flow.time_ns.unwrap_or(*clock_ns);
                    shard_between(compiled, flow.five_tuple.source, flow.five_tuple.destination)
                }
                Entry::NoFlow(_) | Entry::Unread { .. } => 0,
            };
            clocks_ns.push(*clock_ns);
            shares[usize::from(owner)].push(position);
        }
        let keep = options.records;
        let take = |(shard, share): (&mut Shard, Vec<usize>)| {
            let mut kept = Vec::new();
            for position in share {
                let processed = shard.take_entry(macs, &entries[position], clocks_ns[position]);
                kept.extend(processed.filter(|_| keep).map(|processed| (position, processed)));
            }
            kept
        };
        let judged: Vec<Vec<(usize, Processed)>> = shards.par_iter_mut().zip(shares).map(take).collect();
        let mut records: Vec<_> = judged.into_iter().flatten().collect();
        records.sort_by_key(|(position, _)| *position);
        Progress { flows: self.ended(), records }
    }
}

impl Shard {
    fn take_entry(&mut self, macs: &MacAddresses, entry: &Entry, now_ns: u64) -> Option<Processed> {
        let flow = match entry {
            Entry::Flow(flow) => flow,
            Entry::NoFlow(location) => {
                self.ledger.out_of_scope(ReasonCode::NoFlow, *location);
                return None;
            }
            Entry::Unread { location, count } => {
                self.ledger.skipped_together(ReasonCode::DamagedEntry, *location, *count);
                return None;
            }
        };
        self.tally.see(flow.time_ns);
        let packet = Packet::new(flow.five_tuple);
        let Some(seen_at) = flow.seen_at else {
            let judged = match self.at {
                Some(nic) => self.simulator.at(nic, &packet, now_ns),
                None => self.simulator.judge(&packet, now_ns),
            };
            return match judged {
                Ok(Judged { answer, continued, packet }) => {
                    let processed = self.count(flow.into(), &packet, (answer.verdict, continued), now_ns);
                    if processed.opens_flow || flow.part.begins() {
                        self.compare(flow, None, &processed);
                    }
                    Some(processed)
                }
                Err(OutOfScope(reason)) => self.set_aside(reason, flow),
            };
        };
        let vnet = self.simulator.vnet();
        match macs.interface(self.simulator.compiled(), seen_at, &packet, vnet) {
            Ok(interface) if self.at.is_some_and(|nic| interface != Interface::Nic(nic)) => {
                self.set_aside(ReasonCode::NotAtNic, flow)
            }
            Ok(interface) => Some(self.take_logged(interface, seen_at, flow, &packet, now_ns)),
            Err(Unplaced::OutOfScope(OutOfScope(reason))) => self.set_aside(reason, flow),
            Err(Unplaced::Open(unknown)) => {
                let judged = (Verdict::Undetermined(unknown), false);
                let processed = self.count(flow.into(), &packet, judged, now_ns);
                if processed.opens_flow {
                    self.compare(flow, None, &processed);
                }
                Some(processed)
            }
        }
    }

    fn set_aside(&mut self, reason: ReasonCode, flow: &RecordedFlow) -> Option<Processed> {
        self.ledger.out_of_scope(reason, flow.location);
        None
    }

    /// Judges and counts a flow at the interface that logged it.
    fn take_logged(
        &mut self,
        interface: Interface,
        seen_at: SeenAt,
        flow: &RecordedFlow,
        packet: &Packet,
        now_ns: u64,
    ) -> Processed {
        let direction = seen_at.direction;
        let Passed { verdict, rule, .. } = self.simulator.logged(interface, direction, packet);
        let decider = match rule {
            Some((policy, place)) => self.counts.rule(self.simulator.compiled(), policy, place),
            None => self.counts.decider(&verdict),
        };
        let (seen, tuple) = (flow.into(), &flow.five_tuple);
        let told =
            self.logged.tell((interface, direction), seen, tuple, flow.part, (&verdict, decider), now_ns);
        self.enter(&seen, tuple, &verdict, told.decider, told.opens);
        let processed = Processed {
            packet: *tuple,
            verdict,
            decider: self.counts.of(told.decider),
            opens_flow: told.opens,
            first: told.first,
            continued: !told.opens,
            at: Some((interface, direction)),
        };
        // What goes on since before the log began may have begun under other rules.
        if told.opens && flow.part.begins() {
            self.compare(flow, Some((interface, seen_at)), &processed);
        }
        processed
    }

    /// Holds what was recorded of a flow against what is simulated of it.
    fn compare(&mut self, flow: &RecordedFlow, seen_at: Option<(Interface, SeenAt)>, processed: &Processed) {
        let Some(recorded) = &flow.verdict else { return };
        let simulated = (processed.decider, processed.verdict.kind());
        self.agreement.add(recorded, simulated, |pair: Pair| Disagreement {
            location: flow.location,
            time_ns: flow.time_ns,
            tuple: flow.five_tuple,
            seen_at,
            pair,
        });
    }
}
