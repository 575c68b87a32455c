//! One worker's share of the flows: a simulator, the conversations that are open, and the counts.

use std::sync::Arc;

use super::conversations::{Conversations, Joining};
use super::counts::{Counts, Left};
use super::ledger::Ledger;
use super::tally::{Decider, Tally};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Icmp, Packet, Port};
use crate::model::index::NicIndex;
use crate::model::record::{Content, Location, Record};
use crate::model::verdict::{Answer, Verdict};
use crate::simulate::express::PacketLane;
use crate::simulate::{Ends, Express, Judged, OutOfScope, Simulator, SimulatorOptions};

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
    /// Flows that are open, and those that ended.
    pub(super) conversations: Conversations,
    /// Packets stand alone: each is a flow of its own.
    stateful: bool,
    counts: Counts,
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
            conversations: Conversations::new(options.most_flows, keep_ended),
            stateful: options.stateful,
            counts: Counts::default(),
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
        let tuple = conversation_key(packet);
        let decider = self.counts.decider(Decider::from(verdict));
        let compiled = self.simulator.compiled();
        let private = |address| compiled.places.private(&compiled.network, address);
        let joining = Joining {
            record,
            tuple,
            private: FiveTuple {
                source: private(tuple.source),
                destination: private(tuple.destination),
                ..tuple
            },
            tcp: packet.tcp,
            verdict,
            decider,
            continued,
            now_ns,
        };
        let (first, opens_flow, decider) = if self.stateful {
            self.conversations.join(&joining)
        } else {
            self.conversations.alone(&joining);
            (record.location, true, decider)
        };
        match verdict {
            Verdict::Undetermined(unknown) => self.ledger.undetermined(unknown.code(), record.location),
            Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Mixed(_) => self.ledger.evaluated(),
        }
        self.counts.add(&packet.five_tuple, (decider, verdict.kind()), record, opens_flow);
        (first, opens_flow, self.counts.of(decider))
    }

    /// Adds what was counted by the lists of this network to the tally.
    pub(super) fn settle(&mut self) {
        self.counts.add_to(self.simulator.compiled(), &mut self.tally);
    }

    /// Ends everything that is open. No record may come after it.
    pub fn finish(&mut self) {
        self.conversations.finish();
        self.ledger.evicted_flows = self.simulator.evicted();
        self.settle();
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
