//! One worker's share of the flows: a simulator, the conversations that are open, and the counts.

use std::sync::Arc;

use hashbrown::HashMap;

use super::counts::{Counts, Left};
use super::ledger::Ledger;
use super::tally::{Decider, Tally};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use crate::model::index::NicIndex;
use crate::model::record::{Content, Location, Record};
use crate::model::verdict::{Answer, Verdict};
use crate::simulate::express::PacketLane;
use crate::simulate::{Ends, Express, Judged, OutOfScope, Simulator, SimulatorOptions};

/// A pause after which packets that no record joins count as a new flow: the default idle time (STATE-6).
const PAUSE_NS: u64 = 240_000_000_000;

/// Packets of one five-tuple, both directions if it was let in, that belong together.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The five-tuple of its first packet, sources as they were before translation; the identifier of an echo
    /// stands in place of its ports.
    pub tuple: FiveTuple,
    /// What became of its first packet.
    pub verdict: Verdict,
    /// Where its first packet stands.
    pub location: Location,
    /// Time of the first and the last packet, by the clock of the replay.
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    fin_forward: bool,
    fin_back: bool,
    closed: bool,
}

/// What became of one record.
#[derive(Clone, Debug)]
pub struct Processed {
    /// The packet, where it was one and in scope.
    pub packet: FiveTuple,
    /// What became of it.
    pub verdict: Verdict,
    /// What decided about it: for a packet of an open flow, what decided about the flow's first packet.
    pub decider: Decider,
    /// It is the first of a flow.
    pub opens_flow: bool,
    /// Where the first packet of its flow stands.
    pub first: Location,
    /// It was let through by the records of an open flow alone.
    pub continued: bool,
}

/// A share of the flows.
pub struct Shard {
    simulator: Simulator,
    at: Option<NicIndex>,
    conversations: HashMap<FiveTuple, Conversation, foldhash::fast::FixedState>,
    most_conversations: usize,
    keep_ended: bool,
    /// Packets stand alone: each is a flow of its own.
    stateful: bool,
    counts: Counts,
    /// Flows that ended, in the order of their ends, where they are kept.
    pub ended: Vec<Conversation>,
    /// Where records went.
    pub ledger: Ledger,
    /// What was counted.
    pub tally: Tally,
}

impl Shard {
    /// An empty share.
    #[must_use]
    pub fn new(
        compiled: Arc<CompiledNetwork>,
        options: SimulatorOptions,
        at: Option<NicIndex>,
        keep_ended: bool,
    ) -> Self {
        Self {
            simulator: Simulator::new(compiled, options),
            at,
            conversations: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            most_conversations: options.most_flows,
            keep_ended,
            stateful: options.stateful,
            counts: Counts::default(),
            ended: Vec::new(),
            ledger: Ledger::default(),
            tally: Tally::default(),
        }
    }

    /// Judges and counts the records at these positions of a batch, as far as rules alone decide about them.
    pub(super) fn express(
        &mut self,
        express: &Express,
        records: &[Record],
        positions: impl Iterator<Item = usize>,
    ) -> Left {
        let counts = (&mut self.tally, &mut self.ledger);
        self.counts.take_alone(express, self.simulator.compiled(), records, positions, counts)
    }

    /// Judges and counts a record of which it is known which lane its packet takes.
    pub(super) fn process_on(&mut self, express: &Express, lane: PacketLane, record: &Record, now_ns: u64) {
        if let (PacketLane::Lane(lane, key), Content::Packet(packet)) = (lane, &record.content)
            && let Some((verdict, continued)) = self.simulator.pass(express, lane, &key, packet, now_ns)
        {
            if let Some(time_ns) = record.time_ns {
                self.tally.see(time_ns);
            }
            self.account(record, (packet, &verdict, continued), now_ns);
        } else {
            self.process(record, now_ns);
        }
    }

    /// Judges and counts a record; `now_ns` is its time, or the latest time known where it carries none.
    pub fn process(&mut self, record: &Record, now_ns: u64) -> Option<Processed> {
        if let Some(time_ns) = record.time_ns {
            self.tally.see(time_ns);
        }
        let packet = match &record.content {
            Content::OutOfScope(reason) => {
                self.ledger.out_of_scope(*reason, record.location);
                return None;
            }
            Content::Skipped(reason) => {
                self.ledger.skipped(*reason, record.location);
                return None;
            }
            Content::Packet(packet) => packet,
        };
        let judged = match self.at {
            Some(nic) => self.simulator.at(nic, packet, now_ns),
            None => self.simulator.judge(packet, now_ns),
        };
        match judged {
            Ok(judged) => Some(self.count(record, &judged, now_ns)),
            Err(OutOfScope(reason)) => {
                self.ledger.out_of_scope(reason, record.location);
                None
            }
        }
    }

    /// Judges and counts a packet whose start is known.
    pub fn process_from(&mut self, ends: Ends, record: &Record, packet: &Packet, now_ns: u64) -> Answer {
        if let Some(time_ns) = record.time_ns {
            self.tally.see(time_ns);
        }
        let judged = self.simulator.judge_from(ends, packet, now_ns);
        self.count(record, &judged, now_ns);
        judged.answer
    }

    /// Puts a changed network in place; flows stay open as STATE-4 and STATE-5 say.
    pub fn change(&mut self, compiled: Arc<CompiledNetwork>) {
        self.simulator.change(compiled);
    }

    fn count(&mut self, record: &Record, judged: &Judged, now_ns: u64) -> Processed {
        let verdict = &judged.answer.verdict;
        let (first, opens_flow, decider) =
            self.account(record, (&judged.packet, verdict, judged.continued), now_ns);
        Processed {
            packet: judged.packet.five_tuple,
            verdict: verdict.clone(),
            decider,
            opens_flow,
            first,
            continued: judged.continued,
        }
    }

    /// Counts a packet, with its verdict and whether records alone let it through.
    fn account(
        &mut self,
        record: &Record,
        (packet, verdict, continued): (&Packet, &Verdict, bool),
        now_ns: u64,
    ) -> (Location, bool, Decider) {
        let (first, opens_flow, decider) = self.converse(record, (packet, verdict, continued), now_ns);
        match verdict {
            Verdict::Undetermined(unknown) => self.ledger.undetermined(unknown.code(), record.location),
            Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Mixed(_) => self.ledger.evaluated(),
        }
        self.counts.add(&packet.five_tuple, (decider, verdict.kind()), record, opens_flow);
        (first, opens_flow, decider)
    }

    /// Finds the conversation that a packet belongs to, or opens one: where its first packet stands, whether this is
    /// the first, and what decided about the first.
    fn converse(
        &mut self,
        record: &Record,
        (packet, verdict, continued): (&Packet, &Verdict, bool),
        now_ns: u64,
    ) -> (Location, bool, Decider) {
        let tuple = conversation_key(packet);
        if !self.stateful {
            let mut alone = Conversation::opened(tuple, verdict, record, now_ns);
            alone.add(record, packet.tcp, true, now_ns);
            self.end(alone);
            return (record.location, true, Decider::from(verdict));
        }
        // Both directions of a flow that was seen outside are one conversation.
        let compiled = self.simulator.compiled();
        let private = |address| compiled.places.private(&compiled.network, address);
        let key =
            FiveTuple { source: private(tuple.source), destination: private(tuple.destination), ..tuple };
        let forward = self.conversations.contains_key(&key);
        let found = if forward { key } else { key.reversed() };
        if let Some(open) = self.conversations.get_mut(&found) {
            let recent = now_ns.saturating_sub(open.last_ns) <= PAUSE_NS;
            let again = forward && recent && Decider::from(&open.verdict) == Decider::from(verdict);
            let same_kind = open.verdict.kind() == verdict.kind();
            let reopened = open.closed && packet.tcp.is_some_and(TcpFlags::opens);
            if !reopened && ((continued && same_kind) || again) {
                open.add(record, packet.tcp, forward, now_ns);
                return (open.location, false, Decider::from(&open.verdict));
            }
        }
        // The same five-tuple with another verdict, or after a pause: another flow.
        if let Some(ended) = self.conversations.remove(&key) {
            self.end(ended);
        }
        if self.conversations.len() >= self.most_conversations {
            self.make_room(now_ns);
        }
        let mut opened = Conversation::opened(tuple, verdict, record, now_ns);
        opened.add(record, packet.tcp, true, now_ns);
        self.conversations.insert(key, opened);
        (record.location, true, Decider::from(verdict))
    }

    fn end(&mut self, conversation: Conversation) {
        if self.keep_ended {
            self.ended.push(conversation);
        }
    }

    /// Conversations that paused leave first, then the longest idle eighth: they only end earlier than they might.
    fn make_room(&mut self, now_ns: u64) {
        let mut idle: Vec<(u64, Location, FiveTuple)> =
            self.conversations.iter().map(|(key, open)| (open.last_ns, open.location, *key)).collect();
        idle.sort_unstable();
        let paused = idle.partition_point(|(last_ns, ..)| now_ns.saturating_sub(*last_ns) > PAUSE_NS);
        let leaving = paused.max(self.most_conversations / 8).max(1);
        for (_, _, key) in idle.into_iter().take(leaving) {
            if let Some(ended) = self.conversations.remove(&key) {
                self.end(ended);
            }
        }
    }

    /// Adds what was counted by the lists of this network to the tally.
    pub(super) fn settle(&mut self) {
        self.counts.add_to(self.simulator.compiled(), &mut self.tally);
    }

    /// Ends everything that is open. No record may come after it.
    pub fn finish(&mut self) {
        let mut open: Vec<Conversation> = self.conversations.drain().map(|(_, open)| open).collect();
        open.sort_unstable_by_key(|open| open.location);
        for conversation in open {
            self.end(conversation);
        }
        self.ledger.evicted_flows = self.simulator.evicted();
        self.settle();
    }
}

impl Conversation {
    fn opened(tuple: FiveTuple, verdict: &Verdict, record: &Record, now_ns: u64) -> Self {
        Self {
            tuple,
            verdict: verdict.clone(),
            location: record.location,
            first_ns: now_ns,
            last_ns: now_ns,
            packets: 0,
            bytes: 0,
            fin_forward: false,
            fin_back: false,
            closed: false,
        }
    }

    fn add(&mut self, record: &Record, tcp: Option<TcpFlags>, forward: bool, now_ns: u64) {
        self.packets += 1;
        self.bytes += u64::from(record.wire_bytes);
        self.last_ns = self.last_ns.max(now_ns);
        if let Some(flags) = tcp {
            if flags.fin {
                if forward {
                    self.fin_forward = true;
                } else {
                    self.fin_back = true;
                }
            }
            self.closed |= flags.rst || (self.fin_forward && self.fin_back);
        }
    }
}

fn conversation_key(packet: &Packet) -> FiveTuple {
    match packet.icmp {
        Some(Icmp::Echo { identifier, .. }) => FiveTuple {
            source_port: Port::Number(identifier),
            destination_port: Port::Number(identifier),
            ..packet.five_tuple
        },
        _ => packet.five_tuple,
    }
}
