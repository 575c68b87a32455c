//! Which record goes where: the lane of each, and the shard that owns its flow.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::ops::Range;

use rayon::prelude::*;

use crate::compile::network::CompiledNetwork;
use crate::model::flow::{Icmp, Packet};
use crate::model::record::Content;
use crate::model::records::{Records, Slot};
use crate::simulate::Express;
use crate::simulate::express::{EXPRESS_BATCH, PacketLane, Packets};

/// How many shares the flows are cut into. It does not depend on the number of threads, so neither does any result.
pub(super) const SHARDS: usize = 32;

/// How many records one worker finds the lanes and owners of at a time.
const SLICE: usize = 1 << 10;

/// What a batch's records go by on their way to the shards.
#[derive(Default)]
pub(super) struct Sharing {
    /// The lane of each record.
    lanes: Vec<PacketLane>,
    /// The shard that owns the flow of each record.
    owners: Vec<u8>,
    /// For each record that is not plain, by its place among those, its time by the clock of the replay.
    clocks_ns: Vec<u64>,
    /// Records by shard, in order.
    ///
    /// PERF: copied, for a shard that picked its own out of the batch would wait for the memory of each.
    shared: Vec<Shared>,
    /// For each shard, which of these are its own.
    shares: Vec<Range<usize>>,
}

/// A record on its way to a shard.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub(super) slot: Slot,
    pub(super) lane: PacketLane,
    /// Where it stands in the batch.
    pub(super) position: u32,
}

impl Sharing {
    /// Finds each record's lane, and lays those that are missing; and its owner.
    pub(super) fn find_lanes(
        &mut self,
        compiled: &CompiledNetwork,
        express: Option<&mut Express>,
        records: &Records,
    ) {
        self.own(compiled, records);
        let Some(express) = express else { return };
        let find = |express: &Express, lanes: &mut [PacketLane]| {
            lanes.par_chunks_mut(SLICE).enumerate().for_each(|(number, lanes)| {
                find_lanes(express, records, number * SLICE, lanes);
            });
        };
        find(express, &mut self.lanes);
        let is_unlaid = |lanes: &[PacketLane], position: &usize| lanes[*position] == PacketLane::Unlaid;
        let unlaid: Vec<usize> =
            (0..records.len()).filter(|position| is_unlaid(&self.lanes, position)).collect();
        if unlaid.is_empty() {
            return;
        }
        express.lay(unlaid.iter().filter_map(|&position| ends(records, position)));
        for position in unlaid {
            find_lanes(express, records, position, &mut self.lanes[position..=position]);
        }
    }

    /// Finds each record's owner; no lane is known of any.
    pub(super) fn own(&mut self, compiled: &CompiledNetwork, records: &Records) {
        self.lanes.clear();
        self.lanes.resize(records.len(), PacketLane::None);
        self.owners.resize(records.len(), 0);
        self.owners.par_chunks_mut(SLICE).zip(records.slots().par_chunks(SLICE)).for_each(
            |(owners, slots)| {
                for (owner, slot) in owners.iter_mut().zip(slots) {
                    *owner = shard_of_slot(compiled, records, slot);
                }
            },
        );
    }

    /// Sorts the records at these positions by the shard that owns each; a record without a time has that of the one before it.
    pub(super) fn share(
        &mut self,
        records: &Records,
        positions: impl Iterator<Item = usize> + Clone,
        clock_ns: &mut u64,
    ) {
        self.clocks_ns.clear();
        for slot in records.slots() {
            *clock_ns = time_ns(records, slot).unwrap_or(*clock_ns);
            if let Slot::Other(_) = slot {
                self.clocks_ns.push(*clock_ns);
            }
        }
        let owner = |position: usize| usize::from(self.owners[position]);
        let mut counts = [0; SHARDS];
        for position in positions.clone() {
            counts[owner(position)] += 1;
        }
        self.shares.clear();
        let mut begin = 0;
        for count in counts {
            self.shares.push(begin..begin);
            begin += count;
        }
        self.shared.resize(begin, Shared { slot: Slot::Other(0), lane: PacketLane::None, position: 0 });
        for position in positions {
            let share = &mut self.shares[owner(position)];
            self.shared[share.end] = Shared {
                slot: records.slots()[position],
                lane: self.lanes[position],
                position: u32::try_from(position).expect("a batch holds fewer than 2^32 records"),
            };
            share.end += 1;
        }
    }

    /// The records that a shard owns, in order.
    pub(super) fn of(&self, shard: usize) -> &[Shared] {
        &self.shared[self.shares[shard].clone()]
    }

    /// The time of a record by the clock of the replay.
    pub(super) fn now_ns(&self, slot: &Slot) -> u64 {
        match slot {
            Slot::Plain(plain) => plain.time_ns,
            Slot::Other(place) => self.clocks_ns[*place as usize],
        }
    }
}

/// The lanes of the records from a position on; of what is no packet they stay as they are.
fn find_lanes(express: &Express, records: &Records, first: usize, lanes: &mut [PacketLane]) {
    let slots = &records.slots()[first..first + lanes.len()];
    let mut found = [PacketLane::None; EXPRESS_BATCH];
    let mut plain = Vec::with_capacity(EXPRESS_BATCH);
    for (slots, lanes) in slots.chunks(EXPRESS_BATCH).zip(lanes.chunks_mut(EXPRESS_BATCH)) {
        plain.clear();
        plain.extend(slots.iter().filter_map(|slot| match slot {
            Slot::Plain(plain) => Some(*plain),
            Slot::Other(_) => None,
        }));
        let found = &mut found[..plain.len()];
        express.lanes(Packets::Plain(&plain), found);
        let mut found = found.iter();
        for (lane, slot) in lanes.iter_mut().zip(slots) {
            match slot {
                Slot::Plain(_) => *lane = *found.next().expect("one was found for each"),
                Slot::Other(place) => {
                    if let Content::Packet(packet) = &records.other(*place).content {
                        express.lanes(Packets::Any(&[packet]), std::slice::from_mut(lane));
                    }
                }
            }
        }
    }
}

/// The time of a record, where it has one.
pub(super) fn time_ns(records: &Records, slot: &Slot) -> Option<u64> {
    match slot {
        Slot::Plain(plain) => Some(plain.time_ns),
        Slot::Other(place) => records.other(*place).time_ns,
    }
}

/// The addresses of a record, where it is a packet.
pub(super) fn ends(records: &Records, position: usize) -> Option<(IpAddr, IpAddr)> {
    match records.get(position).content {
        Content::Packet(Packet { five_tuple, .. }) => Some((five_tuple.source, five_tuple.destination)),
        Content::OutOfScope(_) | Content::Skipped(_) => None,
    }
}

fn shard_of_slot(compiled: &CompiledNetwork, records: &Records, slot: &Slot) -> u8 {
    match slot {
        Slot::Plain(plain) => shard_between(compiled, plain.source.into(), plain.destination.into()),
        Slot::Other(place) => match &records.other(*place).content {
            Content::Packet(packet) => shard_of(compiled, packet),
            Content::OutOfScope(_) | Content::Skipped(_) => 0,
        },
    }
}

/// The shard that owns a packet's flow: the same for both directions, for all fragments of a datagram (which carry no
/// ports), for an error and the packet that it quotes, and for addresses that are
/// rewritten to each other on the way.
pub(super) fn shard_of(compiled: &CompiledNetwork, packet: &Packet) -> u8 {
    let tuple = match packet.icmp {
        Some(Icmp::Error { quoted: Some(quoted) }) => quoted,
        _ => packet.five_tuple,
    };
    shard_between(compiled, tuple.source, tuple.destination)
}

pub(super) fn shard_between(compiled: &CompiledNetwork, source: IpAddr, destination: IpAddr) -> u8 {
    let tied = |address: IpAddr| compiled.ties.representative(address);
    let (one, other) = (tied(source), tied(destination));
    let (low, high) = (one.min(other), one.max(other));
    let hasher = foldhash::fast::FixedState::default();
    let hash = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => hasher.hash_one((u32::from(low), u32::from(high))),
        _ => hasher.hash_one((low, high)),
    };
    // The remainder of a constant fits.
    u8::try_from(hash % SHARDS as u64).expect("a remainder is below its divisor")
}
