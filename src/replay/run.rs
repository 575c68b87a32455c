//! Many records at once: cut into batches, shared out by flow, judged in parallel, added up in a fixed order.

use std::sync::Arc;

use rayon::prelude::*;

use super::agreement::Agreement;
use super::conversations::Conversation;
use super::counts::Left;
use super::ledger::Ledger;
use super::shard::{Processed, Shard};
use super::sharing::{SHARDS, Sharing, ends, shard_of, time_ns};
use super::tally::Tally;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::Packet;
use crate::model::index::NicIndex;
use crate::model::record::Record;
use crate::model::records::Records;
use crate::model::verdict::Answer;
use crate::simulate::logged::MacAddresses;
use crate::simulate::{Ends, Express, SimulatorOptions};

/// How many slices of a batch are judged at the same time where packets stand alone.
///
/// LIMIT: more threads than these have nothing to do. One thread reads about as fast as six of them judge, and what each
/// slice counts has to stay in the caches.
const SLICES: usize = 8;

/// Records in one batch: enough that sharing them out pays, little enough that they stay in the caches from where they are
/// read to where they are judged.
pub const BATCH: usize = 1 << 14;

/// How to replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayOptions {
    /// How to judge. `most_flows` is shared by all.
    pub simulator: SimulatorOptions,
    /// Evaluate at this interface alone, for captures that were taken there.
    pub at: Option<NicIndex>,
    /// Hand out the flows that end.
    pub flows: bool,
    /// Hand out what became of each record.
    pub records: bool,
}

/// A replay under way.
pub struct Replay {
    pub(super) compiled: Arc<CompiledNetwork>,
    pub(super) shards: Vec<Shard>,
    /// What decides about plain packets.
    express: Option<Express>,
    sharing: Sharing,
    pub(super) options: ReplayOptions,
    /// Which interface has which MAC address, once a log was met.
    pub(super) macs: Option<MacAddresses>,
    pub(super) clock_ns: u64,
    pub(super) handed_in: u64,
}

/// What became of records that were judged, by their positions in the batch, in order.
pub type Judged = Vec<(usize, Processed)>;

/// What a batch led to.
#[derive(Debug, Default)]
pub struct Progress {
    /// Flows that ended, in the order of their first packets.
    pub flows: Vec<Conversation>,
    /// What became of each record, where that is handed out.
    pub records: Judged,
}

/// What a replay came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Totals {
    /// Where records went.
    pub ledger: Ledger,
    /// What was counted.
    pub tally: Tally,
    /// How what was recorded agrees with what is simulated.
    pub agreement: Agreement,
}

impl Replay {
    /// A replay that has seen nothing yet.
    #[must_use]
    pub fn new(compiled: Arc<CompiledNetwork>, options: ReplayOptions) -> Self {
        let mut simulator = options.simulator;
        simulator.most_flows = (simulator.most_flows / SHARDS).max(1);
        simulator.most_plans = (simulator.most_plans / SHARDS).max(1);
        let shard = || Shard::new(Arc::clone(&compiled), simulator, options.at, options.flows);
        let shards = (0..SHARDS).map(|_| shard()).collect();
        let express = express(&compiled, &options);
        Self {
            compiled,
            shards,
            express,
            sharing: Sharing::default(),
            options,
            macs: None,
            clock_ns: 0,
            handed_in: 0,
        }
    }

    /// Judges a batch of records, which follow those of the batches before it.
    pub fn feed(&mut self, records: &Records) -> Progress {
        self.handed_in += records.len() as u64;
        if let Some(express) = &mut self.express {
            express.forget_if_many();
        }
        if self.express.is_some() && !self.options.simulator.stateful {
            self.feed_alone(records);
            return Progress::default();
        }
        self.sharing.find_lanes(&self.compiled, self.express.as_mut(), records);
        Progress { records: self.feed_shared(records, 0..records.len()), flows: self.ended() }
    }

    /// Judges and counts the packets at these positions, each flow by its own worker. Returns what became of them, if that
    /// is asked for.
    fn feed_shared(
        &mut self,
        records: &Records,
        positions: impl Iterator<Item = usize> + Clone,
    ) -> Vec<(usize, Processed)> {
        let Self { express, shards, sharing, clock_ns, .. } = self;
        sharing.share(records, positions, clock_ns);
        let keep = self.options.records;
        let (express, sharing) = (express.as_ref(), &*sharing);
        let take = |(number, shard): (usize, &mut Shard)| shard.take(express, sharing, records, number, keep);
        let judged: Vec<Vec<(usize, Processed)>> = shards.par_iter_mut().enumerate().map(take).collect();
        let mut kept: Vec<_> = judged.into_iter().flatten().collect();
        // PERF: each shard's part is in order already, and the stable sort merges such runs.
        kept.sort_by_key(|(position, _)| *position);
        kept
    }

    /// Judges and counts packets that stand alone: none waits for another, so each worker takes a slice of the batch.
    /// What rules alone do not settle goes the other way, by flow, for the sake of fragments.
    fn feed_alone(&mut self, records: &Records) {
        let Self { express: Some(express), shards, .. } = self else { return };
        let slice = records.len().div_ceil(SLICES).max(1);
        let slice_of = |number: usize| {
            let first = (number * slice).min(records.len());
            first..(first + slice).min(records.len())
        };
        let judge = |(number, shard): (usize, &mut Shard)| shard.express(express, records, slice_of(number));
        let mut left: Vec<Left> = shards[..SLICES].par_iter_mut().enumerate().map(judge).collect();
        let unlaid: Vec<usize> = left.iter().flat_map(|left| &left.unlaid).copied().collect();
        if !unlaid.is_empty() {
            express.lay(unlaid.iter().filter_map(|&position| ends(records, position)));
            let express = &*express;
            let again = |(shard, left): (&mut Shard, &mut Left)| {
                let positions = std::mem::take(&mut left.unlaid);
                let still = shard.express(express, records, positions.into_iter());
                left.slow.extend(still.unlaid.into_iter().chain(still.slow));
            };
            shards[..SLICES].par_iter_mut().zip(&mut left).for_each(again);
        }
        let mut slow: Vec<usize> = left.into_iter().flat_map(|left| left.slow).collect();
        if slow.is_empty() {
            let last = records.slots().iter().rev().find_map(|slot| time_ns(records, slot));
            self.clock_ns = last.unwrap_or(self.clock_ns);
            return;
        }
        slow.sort_unstable();
        self.sharing.own(&self.compiled, records);
        self.feed_shared(records, slow.into_iter());
    }

    /// Judges one packet whose start is known.
    pub fn feed_from(&mut self, ends: Ends, record: &Record, packet: &Packet) -> Answer {
        self.clock_ns = record.time_ns.unwrap_or(self.clock_ns);
        self.handed_in += 1;
        let own = usize::from(shard_of(&self.compiled, packet));
        self.shards[own].process_from(ends, record, packet, self.clock_ns)
    }

    /// Puts a changed network in place between two batches (STATE-4, STATE-5).
    pub fn change(&mut self, compiled: &Arc<CompiledNetwork>) {
        self.compiled = Arc::clone(compiled);
        self.express = express(compiled, &self.options);
        self.macs = None;
        self.shards.par_iter_mut().for_each(|shard| shard.change(Arc::clone(compiled)));
    }

    /// Ends the replay and adds everything up. The last flows to end come with it.
    pub fn finish(mut self) -> (Totals, Vec<Conversation>) {
        let (mut ledger, mut tally) = (Ledger::default(), Tally::default());
        let mut agreement = Agreement::default();
        for shard in &mut self.shards {
            shard.finish();
            ledger.merge(&shard.ledger);
            tally.merge(&shard.tally);
            agreement.merge(&shard.agreement);
        }
        ledger.assert_adds_up(self.handed_in);
        let flows = self.ended();
        (Totals { ledger, tally, agreement }, flows)
    }

    pub(super) fn ended(&mut self) -> Vec<Conversation> {
        let mut flows: Vec<_> = self.shards.iter_mut().flat_map(Shard::ended).collect();
        flows.sort_by_key(|flow| (flow.location, flow.tuple));
        flows
    }
}

/// What decides about plain packets; nothing where packets that stand alone are wanted with their verdicts.
fn express(compiled: &Arc<CompiledNetwork>, options: &ReplayOptions) -> Option<Express> {
    if !options.simulator.stateful && (options.flows || options.records) {
        return None;
    }
    Express::new(compiled, options.simulator, options.at)
}
