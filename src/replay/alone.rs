//! Counts of packets that stand alone, taken by the batch.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ledger::Ledger;
use super::tally::{Decider, DeniedGroup, Hits, MOST_GROUPS, Tally};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::Packet;
use crate::model::record::{Content, Record};
use crate::model::rule::Access;
use crate::model::verdict::{Verdict, VerdictKind};
use crate::simulate::express::{EXPRESS_BATCH, Express, Expressed};

/// What became of packets that rules alone decided about.
#[derive(Default)]
pub(super) struct Alone {
    /// By list and place in it.
    rules: HashMap<(u32, u32), (Access, Hits), FixedState>,
    others: HashMap<(Decider, VerdictKind), Hits, FixedState>,
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

impl Alone {
    /// Judges and counts the records at these positions of a batch.
    pub(super) fn take(
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
                            self.deny(packet, decider(compiled, policy, place), record);
                        }
                    }
                    Expressed::Arrived => {
                        self.other(packet, &Expressed::ended(None), record, (tally, ledger))
                    }
                    Expressed::Lost(reason) => {
                        self.other(packet, &Expressed::ended(Some(reason)), record, (tally, ledger));
                    }
                }
            }
        }
    }

    fn other(
        &mut self,
        packet: &Packet,
        verdict: &Verdict,
        record: &Record,
        (tally, ledger): (&mut Tally, &mut Ledger),
    ) {
        see(tally, record);
        ledger.evaluated();
        let (decider, kind) = (Decider::from(verdict), verdict.kind());
        let hits = self.others.entry((decider, kind)).or_default();
        hits.add(record.wire_bytes, record.time_ns, true);
        if kind == VerdictKind::Deny {
            self.deny(packet, decider, record);
        }
    }

    fn deny(&mut self, packet: &Packet, decider: Decider, record: &Record) {
        let group = DeniedGroup::new(&packet.five_tuple, decider);
        let is_full = self.denied.len() >= MOST_GROUPS;
        let hits = match self.denied.get_mut(&group) {
            Some(hits) => hits,
            None if is_full => &mut self.denied_beyond,
            None => self.denied.entry(group).or_default(),
        };
        hits.add(record.wire_bytes, record.time_ns, true);
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
        for ((decider, kind), hits) in ruled.chain(self.others.drain()) {
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
