//! Counts while they are taken: by the batch for packets that stand alone.
//!
//! A [`Tally`] is in order, which costs; these become one when all is counted.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ledger::Ledger;
use super::tally::{Decider, DeniedGroup, Hits, MOST_GROUPS, Tally};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Packet};
use crate::model::record::{Content, Record};
use crate::model::rule::Access;
use crate::model::verdict::{Reason, Verdict, VerdictKind};
use crate::simulate::express::{EXPRESS_BATCH, Express, Expressed};

/// The number of what decided, in one share of the counts.
pub(super) type DeciderId = u32;

const KINDS: [VerdictKind; 4] =
    [VerdictKind::Allow, VerdictKind::Deny, VerdictKind::Mixed, VerdictKind::Undetermined];

/// What became of packets.
#[derive(Default)]
pub(super) struct Counts {
    /// Packets that stand alone and that a rule decided about, by list and place in it.
    rules: HashMap<(u32, u32), (Access, Hits), FixedState>,
    /// What decided, each once.
    deciders: Vec<Decider>,
    ids: HashMap<Decider, DeciderId, FixedState>,
    /// By what decided, then by verdict.
    hits: Vec<[Hits; KINDS.len()]>,
    denied: HashMap<DeniedGroup, Hits, FixedState>,
    denied_beyond: Hits,
}

/// Records of a slice that were not settled, by their positions in the batch.
#[derive(Default)]
pub(super) struct Left {
    /// The way between their ends is not laid.
    pub(super) unlaid: Vec<usize>,
    /// Something else than rules may decide about them.
    pub(super) slow: Vec<usize>,
}

impl Counts {
    /// Judges and counts the packets at these positions of a batch, which stand alone.
    pub(super) fn take_alone(
        &mut self,
        express: &Express,
        compiled: &CompiledNetwork,
        records: &[Record],
        positions: impl Iterator<Item = usize>,
        (tally, ledger): (&mut Tally, &mut Ledger),
    ) -> Left {
        let mut left = Left::default();
        let mut packets: Vec<&Packet> = Vec::with_capacity(EXPRESS_BATCH);
        let mut places: Vec<usize> = Vec::with_capacity(EXPRESS_BATCH);
        let mut answers = [Expressed::Slow; EXPRESS_BATCH];
        let mut positions = positions.fuse();
        loop {
            packets.clear();
            places.clear();
            for position in positions.by_ref() {
                let record = &records[position];
                match &record.content {
                    Content::Packet(packet) => {
                        packets.push(packet);
                        places.push(position);
                        if places.len() == EXPRESS_BATCH {
                            break;
                        }
                    }
                    Content::OutOfScope(_) | Content::Skipped(_) => left.slow.push(position),
                }
            }
            if packets.is_empty() {
                return left;
            }
            let answers = &mut answers[..packets.len()];
            express.judge(&packets, answers);
            for ((&answer, packet), &position) in answers.iter().zip(&packets).zip(&places) {
                let record = &records[position];
                match answer {
                    Expressed::Slow => left.slow.push(position),
                    Expressed::Unlaid => left.unlaid.push(position),
                    Expressed::OutOfScope(reason) => {
                        see(tally, record);
                        ledger.out_of_scope(reason, record.location);
                    }
                    Expressed::Rule { policy, place, access } => {
                        see(tally, record);
                        ledger.evaluated();
                        let counted = self.rules.entry((policy, place)).or_insert((access, Hits::default()));
                        counted.1.add(record.wire_bytes, record.time_ns, true);
                        if access == Access::Deny {
                            self.deny(&packet.five_tuple, decider(compiled, policy, place), record, true);
                        }
                    }
                    Expressed::Arrived | Expressed::Lost(_) => {
                        see(tally, record);
                        ledger.evaluated();
                        let verdict = match answer {
                            Expressed::Lost(reason) => Verdict::Deny(reason),
                            _ => Verdict::Allow(Reason::NoSecurityGroup),
                        };
                        let decided = (self.decider(Decider::from(&verdict)), verdict.kind());
                        self.add(&packet.five_tuple, decided, record, true);
                    }
                }
            }
        }
    }

    /// Counts a packet, by what decided about its flow.
    pub(super) fn add(
        &mut self,
        tuple: &FiveTuple,
        (decider, kind): (DeciderId, VerdictKind),
        record: &Record,
        opens_flow: bool,
    ) {
        let place = KINDS.iter().position(|known| *known == kind).expect("all kinds are listed");
        self.hits[decider as usize][place].add(record.wire_bytes, record.time_ns, opens_flow);
        if kind == VerdictKind::Deny {
            self.deny(tuple, self.of(decider), record, opens_flow);
        }
    }

    /// The number of what decided.
    pub(super) fn decider(&mut self, decider: Decider) -> DeciderId {
        let Self { deciders, ids, hits, .. } = self;
        *ids.entry(decider).or_insert_with(|| {
            deciders.push(decider);
            hits.push(Default::default());
            u32::try_from(deciders.len() - 1).expect("fewer than 2^32: each is a rule or a resource")
        })
    }

    /// What decided, by its number.
    pub(super) fn of(&self, decider: DeciderId) -> Decider {
        self.deciders[decider as usize]
    }

    fn deny(&mut self, tuple: &FiveTuple, decider: Decider, record: &Record, opens_flow: bool) {
        let group = DeniedGroup::new(tuple, decider);
        let is_full = self.denied.len() >= MOST_GROUPS;
        let hits = match self.denied.get_mut(&group) {
            Some(hits) => hits,
            None if is_full => &mut self.denied_beyond,
            None => self.denied.entry(group).or_default(),
        };
        hits.add(record.wire_bytes, record.time_ns, opens_flow);
    }

    /// Adds everything to a tally.
    pub(super) fn add_to(&mut self, compiled: &CompiledNetwork, tally: &mut Tally) {
        let mut sums = Tally::default();
        let ruled = self.rules.drain().map(|((policy, place), (access, hits))| {
            let kind = match access {
                Access::Allow => VerdictKind::Allow,
                Access::Deny => VerdictKind::Deny,
            };
            ((decider(compiled, policy, place), kind), hits)
        });
        let others = self.deciders.iter().zip(&mut self.hits).flat_map(|(decider, hits)| {
            let taken = std::mem::take(hits);
            KINDS.into_iter().zip(taken).map(|(kind, hits)| ((*decider, kind), hits))
        });
        for ((decider, kind), hits) in ruled.chain(others).filter(|(_, hits)| hits.packets > 0) {
            sums.verdicts.entry(kind).or_default().merge(&hits);
            sums.deciders.entry((decider, kind)).or_default().merge(&hits);
        }
        sums.denied = self.denied.drain().collect();
        sums.denied_beyond = std::mem::take(&mut self.denied_beyond);
        tally.merge(&sums);
    }
}

fn see(tally: &mut Tally, record: &Record) {
    if let Some(time_ns) = record.time_ns {
        tally.see(time_ns);
    }
}

fn decider(compiled: &CompiledNetwork, policy: u32, place: u32) -> Decider {
    let policy = &compiled.policies[policy as usize];
    let rule = policy.rules[place as usize].position;
    Decider::Rule { nsg: policy.nsg(), direction: policy.direction, rule }
}
