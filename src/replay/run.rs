//! Many records at once: cut into batches, shared out by flow, judged in parallel, added up in a fixed order.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use rayon::prelude::*;

use super::conversations::Conversation;
use super::counts::Left;
use super::ledger::Ledger;
use super::shard::{Processed, Shard};
use super::tally::Tally;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{Icmp, Packet};
use crate::model::index::NicIndex;
use crate::model::record::{Content, Record};
use crate::model::verdict::Answer;
use crate::simulate::express::{EXPRESS_BATCH, PacketLane};
use crate::simulate::{Ends, Express, SimulatorOptions};

/// How many shares the flows are cut into. It does not depend on the number of threads, so neither does any result.
const SHARDS: usize = 32;

/// How many slices of a batch are judged at the same time where packets stand alone. Few, so that what each counts stays
/// in the caches; no more than there are shards.
const SLICES: usize = 8;

/// Records in one batch: enough that sharing them out pays, little enough that they stay in the caches from where they are
/// read to where they are judged.
pub const BATCH: usize = 1 << 13;

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
    compiled: Arc<CompiledNetwork>,
    shards: Vec<Shard>,
    /// What decides about plain packets, where nothing but counts is asked for.
    express: Option<Express>,
    /// The lane of each record of the batch.
    lanes: Vec<PacketLane>,
    options: ReplayOptions,
    clock_ns: u64,
    handed_in: u64,
}

/// What a batch led to.
#[derive(Debug, Default)]
pub struct Progress {
    /// Flows that ended, in the order of their first packets.
    pub flows: Vec<Conversation>,
    /// What became of each record that was judged, by its position in the batch, in order.
    pub records: Vec<(usize, Processed)>,
}

/// What a replay came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Totals {
    /// Where records went.
    pub ledger: Ledger,
    /// What was counted.
    pub tally: Tally,
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
        Self { compiled, shards, express, lanes: Vec::new(), options, clock_ns: 0, handed_in: 0 }
    }

    /// Judges a batch of records, which follow those of the batches before it.
    pub fn feed(&mut self, records: &[Record]) -> Progress {
        if self.express.is_some() {
            self.handed_in += records.len() as u64;
            if self.options.simulator.stateful {
                self.feed_flows(records);
            } else {
                self.feed_alone(records);
            }
            return Progress::default();
        }
        let shared = share(&self.compiled, records, None, &mut self.clock_ns);
        self.handed_in += records.len() as u64;
        let keep = self.options.records;
        let judged: Vec<Vec<(usize, Processed)>> = self
            .shards
            .par_iter_mut()
            .zip(&shared)
            .map(|(shard, own)| {
                let mut kept = Vec::new();
                for (position, now_ns) in own {
                    let processed = shard.process(&records[*position], *now_ns);
                    if keep {
                        kept.extend(processed.map(|processed| (*position, processed)));
                    }
                }
                kept
            })
            .collect();
        let mut records: Vec<_> = judged.into_iter().flatten().collect();
        // PERF: each shard's part is in order already, and the stable sort merges such runs.
        records.sort_by_key(|(position, _)| *position);
        Progress { flows: self.ended(), records }
    }

    /// Judges and counts packets of flows: where each goes is found by the slice, and each flow has its own worker.
    fn feed_flows(&mut self, records: &[Record]) {
        let Self { compiled, express: Some(express), shards, lanes, clock_ns, .. } = self else { return };
        let slice = records.len().div_ceil(SHARDS).max(1);
        lanes.clear();
        lanes.resize(records.len(), PacketLane::None);
        let all = 0..records.len();
        lanes.par_chunks_mut(slice).zip(records.par_chunks(slice)).for_each(|(lanes, records)| {
            find_lanes(express, records, lanes);
        });
        let unlaid: Vec<usize> = all.filter(|&position| lanes[position] == PacketLane::Unlaid).collect();
        if !unlaid.is_empty() {
            let packets: Vec<Packet> =
                unlaid.iter().filter_map(|&position| packet(&records[position])).collect();
            express.lay(&packets);
            for position in unlaid {
                find_lanes(express, &records[position..=position], &mut lanes[position..=position]);
            }
        }
        let shared = share(compiled, records, None, clock_ns);
        let (express, lanes) = (&*express, &*lanes);
        shards.par_iter_mut().zip(&shared).for_each(|(shard, own)| {
            for &(position, now_ns) in own {
                shard.process_on(express, lanes[position], &records[position], now_ns);
            }
        });
    }

    /// Judges and counts packets that stand alone: none waits for another, so each worker takes a slice of the batch.
    /// What rules alone do not settle goes the other way, by flow, for the sake of fragments.
    fn feed_alone(&mut self, records: &[Record]) {
        let Self { express: Some(express), shards, .. } = self else { return };
        let slice = records.len().div_ceil(SLICES).max(1);
        let judge = |(number, (shard, records_of)): (usize, (&mut Shard, &[Record]))| {
            let first = number * slice;
            shard.express(express, records, first..first + records_of.len())
        };
        let mut left: Vec<Left> =
            shards.par_iter_mut().zip(records.par_chunks(slice)).enumerate().map(judge).collect();
        let unlaid: Vec<Packet> = left
            .iter()
            .flat_map(|left| &left.unlaid)
            .filter_map(|&position| packet(&records[position]))
            .collect();
        if !unlaid.is_empty() {
            express.lay(&unlaid);
            let again = |(shard, left): (&mut Shard, &mut Left)| {
                let positions = std::mem::take(&mut left.unlaid);
                let still = shard.express(express, records, positions.into_iter());
                left.slow.extend(still.unlaid.into_iter().chain(still.slow));
            };
            shards.par_iter_mut().zip(&mut left).for_each(again);
        }
        let mut slow: Vec<usize> = left.into_iter().flat_map(|left| left.slow).collect();
        if slow.is_empty() {
            self.clock_ns = records.iter().rev().find_map(|record| record.time_ns).unwrap_or(self.clock_ns);
            return;
        }
        slow.sort_unstable();
        let shared = share(&self.compiled, records, Some(&slow), &mut self.clock_ns);
        self.shards.par_iter_mut().zip(&shared).for_each(|(shard, own)| {
            for (position, now_ns) in own {
                shard.process(&records[*position], *now_ns);
            }
        });
    }

    /// Judges one packet whose start is known.
    pub fn feed_from(&mut self, ends: Ends, record: &Record, packet: &Packet) -> Answer {
        self.clock_ns = record.time_ns.unwrap_or(self.clock_ns);
        self.handed_in += 1;
        let own = shard_of(&self.compiled, packet);
        self.shards[own].process_from(ends, record, packet, self.clock_ns)
    }

    /// Puts a changed network in place between two batches (STATE-4, STATE-5).
    pub fn change(&mut self, compiled: &Arc<CompiledNetwork>) {
        self.compiled = Arc::clone(compiled);
        // What was counted is named by the lists of the network before.
        self.shards.iter_mut().for_each(Shard::settle);
        self.express = express(compiled, &self.options);
        self.shards.par_iter_mut().for_each(|shard| shard.change(Arc::clone(compiled)));
    }

    /// Ends the replay and adds everything up. The last flows to end come with it.
    pub fn finish(mut self) -> (Totals, Vec<Conversation>) {
        let (mut ledger, mut tally) = (Ledger::default(), Tally::default());
        for shard in &mut self.shards {
            shard.finish();
            ledger.merge(&shard.ledger);
            tally.merge(&shard.tally);
        }
        ledger.assert_adds_up(self.handed_in);
        let flows = self.ended();
        (Totals { ledger, tally }, flows)
    }

    fn ended(&mut self) -> Vec<Conversation> {
        let mut flows: Vec<_> =
            self.shards.iter_mut().flat_map(|shard| shard.conversations.ended.drain(..)).collect();
        flows.sort_unstable_by_key(|flow| flow.location);
        flows
    }
}

/// What decides about plain packets; nothing where each is wanted with its verdict.
fn express(compiled: &Arc<CompiledNetwork>, options: &ReplayOptions) -> Option<Express> {
    if options.flows || options.records {
        return None;
    }
    Express::new(compiled, options.simulator, options.at)
}

/// The lane of each record; of what is no packet it stays as it is.
fn find_lanes(express: &Express, records: &[Record], lanes: &mut [PacketLane]) {
    for (records, lanes) in records.chunks(EXPRESS_BATCH).zip(lanes.chunks_mut(EXPRESS_BATCH)) {
        let (mut packets, mut places) =
            (Vec::with_capacity(EXPRESS_BATCH), Vec::with_capacity(EXPRESS_BATCH));
        for (place, record) in records.iter().enumerate() {
            if let Content::Packet(packet) = &record.content {
                packets.push(packet);
                places.push(place);
            }
        }
        let mut found = [PacketLane::None; EXPRESS_BATCH];
        express.lanes(&packets, &mut found[..packets.len()]);
        for (place, lane) in places.into_iter().zip(found) {
            lanes[place] = lane;
        }
    }
}

fn packet(record: &Record) -> Option<Packet> {
    match record.content {
        Content::Packet(packet) => Some(packet),
        Content::OutOfScope(_) | Content::Skipped(_) => None,
    }
}

/// Positions of a batch's records, or of those `chosen` of them (ascending), by the shard that owns their flow, each with
/// its time; a record without a time has that of the one before it.
fn share(
    compiled: &CompiledNetwork,
    records: &[Record],
    chosen: Option<&[usize]>,
    clock_ns: &mut u64,
) -> Vec<Vec<(usize, u64)>> {
    let mut shared: Vec<Vec<(usize, u64)>> = vec![Vec::new(); SHARDS];
    let mut chosen = chosen.map(|chosen| chosen.iter().copied().peekable());
    for (position, record) in records.iter().enumerate() {
        *clock_ns = record.time_ns.unwrap_or(*clock_ns);
        if let Some(chosen) = &mut chosen
            && chosen.next_if_eq(&position).is_none()
        {
            continue;
        }
        let own = match &record.content {
            Content::Packet(packet) => shard_of(compiled, packet),
            Content::OutOfScope(_) | Content::Skipped(_) => 0,
        };
        shared[own].push((position, *clock_ns));
    }
    shared
}

/// The shard that owns a packet's flow: the same for both directions, for all fragments of a datagram (which carry no
/// ports), for an error and the packet that it quotes, and for addresses that are
/// rewritten to each other on the way.
fn shard_of(compiled: &CompiledNetwork, packet: &Packet) -> usize {
    let tuple = match packet.icmp {
        Some(Icmp::Error { quoted: Some(quoted) }) => quoted,
        _ => packet.five_tuple,
    };
    let tied = |address: IpAddr| compiled.ties.representative(address);
    let (one, other) = (tied(tuple.source), tied(tuple.destination));
    let hash = foldhash::fast::FixedState::default().hash_one((one.min(other), one.max(other)));
    // The remainder of a constant fits.
    usize::try_from(hash % SHARDS as u64).expect("a remainder is below its divisor")
}
