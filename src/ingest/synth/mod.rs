//! Seeded traffic for a network, drawn from its own addresses, tags and rule boundaries; and seeded networks.
//!
//! In: a [`Network`], a [`TagCatalog`] and a seed. Out: packets in time order, and the capture that holds them. Uniformly
//! random packets hardly ever meet a rule; these go to the edges of what rules name, and to their neighbours. Also in:
//! sizes, a [`TagCatalog`] and a seed. Out: an [`Estate`] of these sizes, and the exports that it is read from.

mod ends;
mod estate;
mod export;
mod pcap;
mod rules;
mod script;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::model::flow::{FiveTuple, Packet};
use crate::model::flow_log::Volume;
use crate::model::network::Network;
use crate::model::rule::Protocol;
use crate::model::tag::TagCatalog;
use crate::model::zipf::{Zipf, ZipfError};
use ends::{Conversation, Ends};
pub use estate::{Estate, EstateError, EstateOptions};
pub use export::Part;
pub use pcap::write_pcap;

/// What traffic to make. The same options and inputs give the same packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SynthOptions {
    /// How many flows.
    pub flows: u64,
    /// Where chance begins.
    pub seed: u64,
    /// How unevenly flows spread over conversations: the exponent of Zipf's law, 0 for evenly. `None`: each flow is a
    /// conversation of its own.
    pub skew: Option<f64>,
    /// When the first flow may begin, in nanoseconds since 1970-01-01.
    pub start_ns: u64,
}

/// A packet with its time and the bytes that follow its transport header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SynthPacket {
    /// Nanoseconds since 1970-01-01.
    pub time_ns: u64,
    /// What filters look at.
    pub packet: Packet,
    /// Bytes behind the transport header; behind the IP header for protocols other than TCP, UDP and ICMP.
    pub payload_bytes: u16,
}

impl SynthPacket {
    /// Its length in bytes from its IP header on.
    fn ip_bytes(&self) -> u64 {
        let FiveTuple { source, protocol, .. } = self.packet.five_tuple;
        let ip = if source.is_ipv4() { 20 } else { 40 };
        let transport = match protocol {
            Protocol::TCP => 20,
            Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 => 8,
            _ => 0,
        };
        ip + transport + u64::from(self.payload_bytes)
    }
}

/// What a flow's packets come to from source to destination and back, from their IP headers on.
#[must_use]
pub fn volumes(script: &[SynthPacket]) -> [Volume; 2] {
    let way = |there: bool| {
        let begins = |one: &SynthPacket| one.packet.five_tuple == script[0].packet.five_tuple;
        let of = script.iter().filter(|one| begins(one) == there);
        let bytes = of.clone().map(SynthPacket::ip_bytes).sum();
        Volume { packets: Some(of.count() as u64), bytes: Some(bytes) }
    };
    [way(true), way(false)]
}

/// Why no traffic can be made.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum SynthError {
    /// Nobody in the network can send or receive.
    #[error("the network has no interface with an address: expected at least one")]
    NoInterface,
    /// An exponent that spreads nothing.
    #[error("skew `{0}`: expected a number from 0 to 10")]
    Skew(f64),
}

/// Flows begin this far apart at most, and half of it on average.
const LONGEST_PAUSE_NS: u64 = 2_000_000;

/// With a skew, how many conversations there are at most.
const CONVERSATIONS: usize = 1 << 14;

/// Packets of seeded flows, in time order.
///
/// Memory holds the flows that overlap, never all: a flow lasts seconds at most.
///
/// # Errors
///
/// Fails if no interface of the network has an address, or if the skew is no exponent.
pub fn flows<'a>(
    network: &'a Network,
    tags: &'a TagCatalog,
    options: &SynthOptions,
) -> Result<impl Iterator<Item = SynthPacket> + 'a, SynthError> {
    let scripts = scripts(network, tags, options)?;
    Ok(Flows { scripts, pending: BinaryHeap::new(), order: 0 })
}

/// The packets of each flow, in the order in which flows begin.
///
/// # Errors
///
/// Fails as [`flows`] does.
pub fn scripts(network: &Network, tags: &TagCatalog, options: &SynthOptions) -> Result<Scripts, SynthError> {
    let ends = Ends::of(network, tags).ok_or(SynthError::NoInterface)?;
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let ranks = match options.skew {
        Some(skew) => Some(Ranks::new(skew, options.flows, &ends, &mut random)?),
        None => None,
    };
    Ok(Scripts { ends, ranks, random, flows_left: options.flows, next_start_ns: options.start_ns })
}

/// A fixed set of conversations, the first the most frequent.
struct Ranks {
    conversations: Vec<Conversation>,
    zipf: Zipf,
}

impl Ranks {
    fn new(skew: f64, flows: u64, ends: &Ends, random: &mut ChaCha8Rng) -> Result<Self, SynthError> {
        let count = usize::try_from(flows).unwrap_or(usize::MAX).clamp(1, CONVERSATIONS);
        let zipf = Zipf::new(skew, count).map_err(|ZipfError(skew)| SynthError::Skew(skew))?;
        Ok(Self { conversations: (0..count).map(|_| ends.conversation(random)).collect(), zipf })
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> Conversation {
        self.conversations[self.zipf.rank(random.random())]
    }
}

/// Flow after flow.
pub struct Scripts {
    ends: Ends,
    ranks: Option<Ranks>,
    random: ChaCha8Rng,
    flows_left: u64,
    next_start_ns: u64,
}

/// The packets of overlapping flows, merged by time.
struct Flows {
    scripts: Scripts,
    /// INVARIANT: holds every packet of the flows that have begun and that was not handed out.
    pending: BinaryHeap<Reverse<Pending>>,
    /// Numbers the packets as they were made, so that equal times have an order.
    order: u64,
}

#[derive(Clone, Copy)]
struct Pending {
    order: u64,
    packet: SynthPacket,
}

impl Pending {
    fn key(&self) -> (u64, u64) {
        (self.packet.time_ns, self.order)
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Iterator for Scripts {
    type Item = Vec<SynthPacket>;

    fn next(&mut self) -> Option<Vec<SynthPacket>> {
        self.flows_left = self.flows_left.checked_sub(1)?;
        let conversation = match &self.ranks {
            Some(ranks) => ranks.draw(&mut self.random),
            None => self.ends.conversation(&mut self.random),
        };
        let mut script = Vec::new();
        script::write(&conversation, self.next_start_ns, &mut self.random, &mut script);
        let pause_ns = self.random.random_range(0..=LONGEST_PAUSE_NS);
        self.next_start_ns = self.next_start_ns.saturating_add(pause_ns);
        Some(script)
    }
}

impl Iterator for Flows {
    type Item = SynthPacket;

    fn next(&mut self) -> Option<SynthPacket> {
        // A packet may go out once no flow can begin before it.
        while self
            .pending
            .peek()
            .is_none_or(|Reverse(first)| first.packet.time_ns >= self.scripts.next_start_ns)
        {
            let Some(script) = self.scripts.next() else { break };
            for packet in script {
                self.order += 1;
                self.pending.push(Reverse(Pending { order: self.order, packet }));
            }
        }
        self.pending.pop().map(|Reverse(first)| first.packet)
    }
}
