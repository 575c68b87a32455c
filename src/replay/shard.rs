//! One worker's share of the flows: a simulator, the conversations that are open, and the counts.

use std::sync::Arc;

use super::agreement::Agreement;
use super::conversations::{Conversation, Conversations, Joining, Returned, Seen};
use super::counts::{Counts, Decided, DeciderId, Left};
use super::ledger::Ledger;
use super::logged_flows::LoggedFlows;
use super::sharing::{Shared, Sharing};
use super::tally::{Decider, Hit, Tally};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Icmp, Packet, Port, TcpFlags};
use crate::model::index::NicIndex;
use crate::model::record::{Content, Location, Record};
use crate::model::records::{Plain, Records, Slot};
use crate::model::rule::Direction;
use crate::model::verdict::{Answer, Interface, Verdict};
use crate::simulate::express::{LaneId, PacketLane};
use crate::simulate::{Ends, Express, Judged, OutOfScope, Passed, Simulator, SimulatorOptions};

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
    /// The interface that logged it, and which way its flow began there, where it was logged.
    pub at: Option<(Interface, Direction)>,
}

/// A share of the flows.
pub struct Shard {
    pub(super) simulator: Simulator,
    pub(super) at: Option<NicIndex>,
    /// Flows that are open, and those that ended.
    pub(super) conversations: Conversations,
    /// Packets stand alone: each is a flow of its own.
    stateful: bool,
    /// Flows of logs that are open, and those that ended.
    pub(super) logged: LoggedFlows,
    pub(super) counts: Counts,
    /// Where records went.
    pub ledger: Ledger,
    /// What was counted.
    pub tally: Tally,
    /// How what was recorded agrees with what was simulated.
    pub agreement: Agreement,
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
            logged: LoggedFlows::new(options.most_flows, keep_ended),
            counts: Counts::default(),
            ledger: Ledger::default(),
            tally: Tally::default(),
            agreement: Agreement::default(),
        }
    }

    /// Judges and counts the records at these positions of a batch, as far as rules alone decide about them.
    pub(super) fn express(
        &mut self,
        express: &Express,
        records: &Records,
        positions: impl Iterator<Item = usize>,
    ) -> Left {
        let counts = (&mut self.tally, &mut self.ledger);
        self.counts.take_alone(express, self.simulator.compiled(), records, positions, counts)
    }

    /// Judges and counts the records that this shard, by its number, owns. Returns what became of them if that is to be
    /// kept.
    pub(super) fn take(
        &mut self,
        express: Option<&Express>,
        sharing: &Sharing,
        records: &Records,
        number: usize,
        keep: bool,
    ) -> Vec<(usize, Processed)> {
        let (mut kept, mut counted) = (Vec::new(), Vec::with_capacity(FETCHED_TOGETHER));
        for shared in sharing.of(number).chunks(FETCHED_TOGETHER) {
            if let Some(express) = express {
                self.fetch(express, shared);
            }
            for Shared { slot, lane, position } in shared {
                let position = *position as usize;
                if !keep
                    && let (Some(express), PacketLane::Lane(lane), Slot::Plain(packet)) =
                        (express, lane, slot)
                    && let Some(decided) = self.pass(express, *lane, packet, || records.location(position))
                {
                    self.counts.fetch(packet, decided);
                    counted.push((packet, decided));
                    continue;
                }
                self.counts.add_plain(&mut counted, &mut self.tally, &mut self.ledger);
                let record = records.get(position);
                let processed = self.process_on(express, *lane, &record, sharing.now_ns(slot));
                kept.extend(processed.filter(|_| keep).map(|processed| (position, processed)));
            }
            self.counts.add_plain(&mut counted, &mut self.tally, &mut self.ledger);
        }
        kept
    }

    /// Has what is remembered of some packets' flows brought into the caches before the first of them is judged.
    fn fetch(&self, express: &Express, shared: &[Shared]) {
        for Shared { slot, lane, .. } in shared {
            if let (PacketLane::Lane(lane), Slot::Plain(packet)) = (lane, slot) {
                let tuple = packet.five_tuple();
                self.conversations.fetch(tuple);
                self.simulator.fetch(express, *lane, &tuple);
            }
        }
    }

    /// What decides about a plain packet on its lane, and whether it opens a flow. Nothing where something else than rules
    /// and records may decide: then nothing has changed.
    fn pass(
        &mut self,
        express: &Express,
        lane: LaneId,
        packet: &Plain,
        location: impl FnOnce() -> Location,
    ) -> Option<Decided> {
        let (tuple, tcp, now_ns) = (packet.five_tuple(), packet.tcp.known(), packet.time_ns);
        let Passed { verdict, rule, continued } = self.simulator.pass(express, lane, &tuple, tcp, now_ns)?;
        let hit = Hit { packets: 1, bytes: packet.wire_bytes.into(), time_ns: Some(now_ns) };
        let seen = Seen { location: location(), hit, returned: Returned::default(), recorded: None };
        let decider = match rule {
            Some((policy, place)) => self.counts.rule(self.simulator.compiled(), policy, place),
            None => self.counts.decider(&verdict),
        };
        let (_, opens_flow, decider) = self.join(seen, (tuple, tcp), (&verdict, decider), continued, now_ns);
        Some(Decided { decider, kind: verdict.kind(), opens_flow })
    }

    /// Judges and counts a record of which it is known which lane its packet takes.
    fn process_on(
        &mut self,
        express: Option<&Express>,
        lane: PacketLane,
        record: &Record,
        now_ns: u64,
    ) -> Option<Processed> {
        match (lane, &record.content) {
            (PacketLane::OutOfScope(reason), _) => {
                self.tally.see(record.time_ns);
                self.ledger.out_of_scope(reason, record.location);
                None
            }
            (PacketLane::Lane(lane), Content::Packet(packet)) => {
                let pass =
                    |express| self.simulator.pass(express, lane, &packet.five_tuple, packet.tcp, now_ns);
                match express.and_then(pass) {
                    Some(Passed { verdict, continued, .. }) => {
                        self.tally.see(record.time_ns);
                        Some(self.count(record.into(), packet, (verdict, continued), now_ns))
                    }
                    None => self.process(record, now_ns),
                }
            }
            _ => self.process(record, now_ns),
        }
    }

    /// Judges and counts a record; `now_ns` is its time, or the latest time known where it carries none.
    pub fn process(&mut self, record: &Record, now_ns: u64) -> Option<Processed> {
        self.tally.see(record.time_ns);
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
            Ok(Judged { answer, continued, packet }) => {
                Some(self.count(record.into(), &packet, (answer.verdict, continued), now_ns))
            }
            Err(OutOfScope(reason)) => {
                self.ledger.out_of_scope(reason, record.location);
                None
            }
        }
    }

    /// Judges and counts a packet whose start is known.
    pub fn process_from(&mut self, ends: Ends, record: &Record, packet: &Packet, now_ns: u64) -> Answer {
        self.tally.see(record.time_ns);
        let Judged { answer, continued, packet } = self.simulator.judge_from(ends, packet, now_ns);
        self.count(record.into(), &packet, (answer.verdict.clone(), continued), now_ns);
        answer
    }

    /// Puts a changed network in place; flows stay open as STATE-4 and STATE-5 say.
    pub fn change(&mut self, compiled: Arc<CompiledNetwork>) {
        self.counts.forget_lists();
        self.simulator.change(compiled);
    }

    /// Counts a packet, with its source as it was before translation, its verdict and whether records alone let it through.
    pub(super) fn count(
        &mut self,
        seen: Seen<'_>,
        packet: &Packet,
        (verdict, continued): (Verdict, bool),
        now_ns: u64,
    ) -> Processed {
        let of = (conversation_key(packet), packet.tcp);
        let decider = self.counts.decider(&verdict);
        let (first, opens_flow, decider) = self.join(seen, of, (&verdict, decider), continued, now_ns);
        self.enter(&seen, &packet.five_tuple, &verdict, decider, opens_flow);
        let decider = self.counts.of(decider);
        Processed { packet: packet.five_tuple, verdict, decider, opens_flow, first, continued, at: None }
    }

    /// Enters a verdict into the ledger and the counts.
    pub(super) fn enter(
        &mut self,
        seen: &Seen<'_>,
        tuple: &FiveTuple,
        verdict: &Verdict,
        decider: DeciderId,
        opens_flow: bool,
    ) {
        match verdict {
            Verdict::Undetermined(unknown) => self.ledger.undetermined(unknown.code(), seen.location),
            Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Mixed(_) => {
                self.ledger.evaluated(verdict.kind());
            }
        }
        self.counts.add(tuple, Decided { decider, kind: verdict.kind(), opens_flow }, seen.hit);
    }

    /// The conversation that a packet belongs to: where its first packet stands, whether this is the first, and what decided
    /// about the first.
    fn join(
        &mut self,
        seen: Seen<'_>,
        (tuple, tcp): (FiveTuple, Option<TcpFlags>),
        (verdict, decider): (&Verdict, DeciderId),
        continued: bool,
        now_ns: u64,
    ) -> (Location, bool, DeciderId) {
        let compiled = self.simulator.compiled();
        let private = |address| compiled.places.private(&compiled.network, address);
        let private =
            FiveTuple { source: private(tuple.source), destination: private(tuple.destination), ..tuple };
        let joining = Joining { seen, tuple, private, tcp, verdict, decider, continued, now_ns };
        if self.stateful {
            self.conversations.join(&joining)
        } else {
            self.conversations.alone(&joining);
            (seen.location, true, decider)
        }
    }

    /// The flows that ended since it was asked last.
    pub(super) fn ended(&mut self) -> impl Iterator<Item = Conversation> {
        self.conversations.ended.drain(..).chain(self.logged.ended.drain(..))
    }

    /// Ends everything that is open. No record may come after it.
    pub fn finish(&mut self) {
        self.conversations.finish();
        self.logged.finish();
        self.ledger.evicted_flows = self.simulator.evicted() + self.logged.evicted;
        self.tally.merge(&std::mem::take(&mut self.counts).tally());
    }
}

/// How many packets' flows are brought into the caches together.
const FETCHED_TOGETHER: usize = 32;

pub(super) fn conversation_key(packet: &Packet) -> FiveTuple {
    match packet.icmp {
        Some(Icmp::Echo { identifier, .. }) => FiveTuple {
            source_port: Port::Number(identifier),
            destination_port: Port::Number(identifier),
            ..packet.five_tuple
        },
        _ => packet.five_tuple,
    }
}
