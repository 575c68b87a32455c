//! Counts while they are taken: by the batch for packets that stand alone.
//!
//! A [`Tally`] is in order, which costs; these become one when all is counted.

use std::net::{IpAddr, Ipv4Addr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ledger::Ledger;
use super::tally::{Decider, DeniedGroup, Hit, Hits, MOST_GROUPS, Tally};
use crate::compile::instructions::fetch;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Packet, Port};
use crate::model::record::Content;
use crate::model::records::{Plain, Records, Slot};
use crate::model::rule::{Access, Protocol};
use crate::model::verdict::{Reason, Verdict, VerdictKind};
use crate::simulate::express::{EXPRESS_BATCH, Express, Expressed, Packets};
use crate::simulate::flow_map::{FlowMap, FlowMapKey};

/// The number of what decided, in one share of the counts.
pub(super) type DeciderId = u32;

const KINDS: [VerdictKind; 4] =
    [VerdictKind::Allow, VerdictKind::Deny, VerdictKind::Mixed, VerdictKind::Undetermined];

/// What became of packets.
#[derive(Default)]
pub(super) struct Counts {
    /// What decided, each once.
    deciders: Vec<Decider>,
    ids: HashMap<Decider, DeciderId, FixedState>,
    /// The number of each rule that was met, by list, then by the rule's place in it.
    rule_ids: Vec<Box<[DeciderId]>>,
    flow_state: Option<DeciderId>,
    /// By verdict, then by what decided.
    hits: [Vec<Hits>; KINDS.len()],
    /// Groups of TCP and UDP over IPv4, by [`packed_group`].
    denied: FlowMap<Hits>,
    denied_others: HashMap<DeniedGroup, Hits, FixedState>,
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

/// Packets of a slice that are judged together, and where they stand in the batch.
struct Waiting<P> {
    packets: Vec<P>,
    positions: Vec<usize>,
}

impl<P> Default for Waiting<P> {
    fn default() -> Self {
        Self { packets: Vec::with_capacity(EXPRESS_BATCH), positions: Vec::with_capacity(EXPRESS_BATCH) }
    }
}

impl<P> Waiting<P> {
    /// Takes a packet in. Returns whether as many wait as are judged together.
    fn push(&mut self, packet: P, position: usize) -> bool {
        self.packets.push(packet);
        self.positions.push(position);
        self.packets.len() == EXPRESS_BATCH
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.positions.clear();
    }
}

/// Packets that stand alone, on their way into the counts.
struct Alone<'a> {
    counts: &'a mut Counts,
    express: &'a Express,
    compiled: &'a CompiledNetwork,
    records: &'a Records,
    tally: &'a mut Tally,
    ledger: &'a mut Ledger,
    left: Left,
}

impl Counts {
    /// Judges and counts the packets at these positions of a batch, which stand alone.
    pub(super) fn take_alone(
        &mut self,
        express: &Express,
        compiled: &CompiledNetwork,
        records: &Records,
        positions: impl Iterator<Item = usize>,
        (tally, ledger): (&mut Tally, &mut Ledger),
    ) -> Left {
        let left = Left::default();
        let mut alone = Alone { counts: self, express, compiled, records, tally, ledger, left };
        let (mut plain, mut others) = (Waiting::default(), Waiting::default());
        for position in positions {
            match &records.slots()[position] {
                Slot::Plain(packet) => {
                    if plain.push(*packet, position) {
                        alone.settle_plain(&mut plain);
                    }
                }
                Slot::Other(place) => match &records.other(*place).content {
                    Content::Packet(packet) => {
                        if others.push(packet, position) {
                            alone.settle_others(&mut others);
                        }
                    }
                    Content::OutOfScope(_) | Content::Skipped(_) => alone.left.slow.push(position),
                },
            }
        }
        alone.settle_plain(&mut plain);
        alone.settle_others(&mut others);
        alone.left
    }

    /// Counts a packet, by what decided about its flow.
    pub(super) fn add(
        &mut self,
        tuple: &FiveTuple,
        Decided { decider, kind, opens_flow }: Decided,
        hit: Hit,
    ) {
        self.hits[place(kind)][decider as usize].add(hit, opens_flow);
        if kind != VerdictKind::Deny {
            return;
        }
        match *tuple {
            FiveTuple {
                source: IpAddr::V4(source),
                destination: IpAddr::V4(destination),
                protocol,
                destination_port: Port::Number(port),
                ..
            } => self.deny(packed_group((source, destination), (protocol, port), decider), hit, opens_flow),
            _ => {
                let group = DeniedGroup::new(tuple, self.of(decider));
                let is_full = self.is_full();
                let hits = match self.denied_others.get_mut(&group) {
                    Some(hits) => hits,
                    None if is_full => &mut self.denied_beyond,
                    None => self.denied_others.entry(group).or_default(),
                };
                hits.add(hit, opens_flow);
            }
        }
    }

    fn deny(&mut self, group: FlowMapKey, hit: Hit, opens_flow: bool) {
        let is_full = self.is_full();
        match self.denied.get_mut(&group) {
            Some(hits) => hits.add(hit, opens_flow),
            None if is_full => self.denied_beyond.add(hit, opens_flow),
            None => {
                let mut hits = Hits::default();
                hits.add(hit, opens_flow);
                self.denied.insert(group, hits);
            }
        }
    }

    /// As [`Counts::add`], for plain packets in their order.
    pub(super) fn add_plain(
        &mut self,
        counted: &mut Vec<(&Plain, Decided)>,
        tally: &mut Tally,
        ledger: &mut Ledger,
    ) {
        for (packet, decided) in counted.drain(..) {
            tally.see(Some(packet.time_ns));
            ledger.evaluated(decided.kind);
            self.add_one(packet, decided);
        }
    }

    #[inline]
    fn add_one(&mut self, packet: &Plain, Decided { decider, kind, opens_flow }: Decided) {
        let hit = Hit { packets: 1, bytes: packet.wire_bytes.into(), time_ns: Some(packet.time_ns) };
        self.hits[place(kind)][decider as usize].add(hit, opens_flow);
        if kind == VerdictKind::Deny {
            self.deny(group_of(packet, decider), hit, opens_flow);
        }
    }

    /// Has what [`Counts::add_plain`] counts in brought into the caches.
    #[inline]
    pub(super) fn fetch(&self, packet: &Plain, Decided { decider, kind, .. }: Decided) {
        fetch(&self.hits[place(kind)][decider as usize]);
        if kind == VerdictKind::Deny {
            self.denied.fetch(&group_of(packet, decider));
        }
    }

    /// The number of what decided.
    pub(super) fn decider(&mut self, verdict: &Verdict) -> DeciderId {
        if let (Verdict::Allow(Reason::FlowState { .. }), Some(id)) = (verdict, self.flow_state) {
            return id;
        }
        let decider = Decider::from(verdict);
        let id = self.id(decider);
        if decider == Decider::FlowState {
            self.flow_state = Some(id);
        }
        id
    }

    /// The number of a rule, by its list and its place there.
    #[inline]
    pub(super) fn rule(&mut self, compiled: &CompiledNetwork, policy: u32, place: u32) -> DeciderId {
        let known = self.rule_ids.get(policy as usize).and_then(|ids| ids.get(place as usize));
        match known {
            Some(&id) if id != UNKNOWN => id,
            _ => self.new_rule(compiled, policy as usize, place as usize),
        }
    }

    #[cold]
    fn new_rule(&mut self, compiled: &CompiledNetwork, policy: usize, place: usize) -> DeciderId {
        let list = &compiled.policies[policy];
        let rule = list.rules[place].position;
        let id = self.id(Decider::Rule { nsg: list.nsg(), direction: list.direction, rule });
        if self.rule_ids.len() <= policy {
            self.rule_ids.resize_with(policy + 1, Box::default);
        }
        if self.rule_ids[policy].is_empty() {
            self.rule_ids[policy] = vec![UNKNOWN; list.rules.len()].into();
        }
        self.rule_ids[policy][place] = id;
        id
    }

    fn id(&mut self, decider: Decider) -> DeciderId {
        let Self { deciders, ids, hits, .. } = self;
        *ids.entry(decider).or_insert_with(|| {
            deciders.push(decider);
            hits.iter_mut().for_each(|hits| hits.push(Hits::default()));
            u32::try_from(deciders.len() - 1).expect("fewer than 2^32: each is a rule or a resource")
        })
    }

    /// What decided, by its number.
    pub(super) fn of(&self, decider: DeciderId) -> Decider {
        self.deciders[decider as usize]
    }

    /// Lists are others from now on.
    pub(super) fn forget_lists(&mut self) {
        self.rule_ids.clear();
    }

    fn is_full(&self) -> bool {
        self.denied.len() + self.denied_others.len() >= MOST_GROUPS
    }

    /// Everything that was counted.
    pub(super) fn tally(self) -> Tally {
        let mut tally = Tally { denied_beyond: self.denied_beyond, ..Tally::default() };
        for (kind, hits) in KINDS.into_iter().zip(self.hits) {
            for (decider, hits) in self.deciders.iter().zip(hits).filter(|(_, hits)| *hits != Hits::default())
            {
                tally.verdicts.entry(kind).or_default().merge(&hits);
                tally.deciders.entry((*decider, kind)).or_default().merge(&hits);
            }
        }
        let packed = self.denied.iter().map(|(group, hits)| (unpacked_group(&self.deciders, *group), *hits));
        tally.denied = packed.chain(self.denied_others).collect();
        tally
    }
}

/// In place of a rule's number: it was not met.
const UNKNOWN: DeciderId = DeciderId::MAX;

/// The place of a verdict's hits.
#[inline]
fn place(kind: VerdictKind) -> usize {
    match kind {
        VerdictKind::Allow => 0,
        VerdictKind::Deny => 1,
        VerdictKind::Mixed => 2,
        VerdictKind::Undetermined => 3,
    }
}

impl Alone<'_> {
    fn settle_plain(&mut self, waiting: &mut Waiting<Plain>) {
        let Waiting { packets, positions } = &*waiting;
        let mut answers = [Expressed::Slow; EXPRESS_BATCH];
        let answers = &mut answers[..packets.len()];
        self.express.judge(Packets::Plain(packets), answers);
        let mut counted = Vec::with_capacity(EXPRESS_BATCH);
        for ((packet, &position), &answer) in packets.iter().zip(positions).zip(&*answers) {
            if let Expressed::Rule { policy, place, access } = answer {
                let decider = self.counts.rule(self.compiled, policy, place);
                let decided = Decided { decider, kind: said(access), opens_flow: true };
                self.counts.fetch(packet, decided);
                counted.push((packet, decided));
            } else {
                self.settle(answer, position);
            }
        }
        self.counts.add_plain(&mut counted, self.tally, self.ledger);
        waiting.clear();
    }

    fn settle_others(&mut self, waiting: &mut Waiting<&Packet>) {
        let mut answers = [Expressed::Slow; EXPRESS_BATCH];
        let answers = &mut answers[..waiting.packets.len()];
        self.express.judge(Packets::Any(&waiting.packets), answers);
        for (&position, &answer) in waiting.positions.iter().zip(&*answers) {
            self.settle(answer, position);
        }
        waiting.clear();
    }

    /// Counts a packet by what became of it.
    fn settle(&mut self, answer: Expressed, position: usize) {
        let (decider, kind) = match answer {
            Expressed::Slow => return self.left.slow.push(position),
            Expressed::Unlaid => return self.left.unlaid.push(position),
            Expressed::OutOfScope(reason) => {
                let record = self.records.get(position);
                self.tally.see(record.time_ns);
                return self.ledger.out_of_scope(reason, record.location);
            }
            Expressed::Rule { policy, place, access } => {
                (self.counts.rule(self.compiled, policy, place), said(access))
            }
            Expressed::Arrived => {
                let verdict = Verdict::Allow(Reason::NoSecurityGroup);
                (self.counts.decider(&verdict), verdict.kind())
            }
            Expressed::Lost(reason) => {
                let verdict = Verdict::Deny(reason);
                (self.counts.decider(&verdict), verdict.kind())
            }
        };
        let record = self.records.get(position);
        self.tally.see(record.time_ns);
        self.ledger.evaluated(kind);
        if let Content::Packet(packet) = &record.content {
            let decided = Decided { decider, kind, opens_flow: true };
            self.counts.add(&packet.five_tuple, decided, Hit::from(&record));
        }
    }
}

/// The verdict that a rule gives.
fn said(access: Access) -> VerdictKind {
    match access {
        Access::Allow => VerdictKind::Allow,
        Access::Deny => VerdictKind::Deny,
    }
}

/// What became of a packet.
#[derive(Clone, Copy)]
pub(super) struct Decided {
    /// What decided about its flow.
    pub(super) decider: DeciderId,
    pub(super) kind: VerdictKind,
    pub(super) opens_flow: bool,
}

/// The group of a plain packet that was denied.
#[inline]
fn group_of(packet: &Plain, decider: DeciderId) -> FlowMapKey {
    let service = (packet.transport.into(), packet.destination_port);
    packed_group((packet.source, packet.destination), service, decider)
}

/// A group of denied packets in 16 bytes.
#[inline]
fn packed_group(
    (source, destination): (Ipv4Addr, Ipv4Addr),
    (protocol, port): (Protocol, u16),
    decider: DeciderId,
) -> FlowMapKey {
    let addresses = u64::from(u32::from(source)) << 32 | u64::from(u32::from(destination));
    let service = u64::from(port) << 8 | u64::from(protocol.0);
    [addresses, service << 32 | u64::from(decider)]
}

/// The group that was packed.
fn unpacked_group(deciders: &[Decider], [addresses, rest]: FlowMapKey) -> DeniedGroup {
    // What does not fit is the other part's.
    let address = |bits: u64| Ipv4Addr::from(bits as u32).into();
    DeniedGroup {
        source: address(addresses >> 32),
        destination: address(addresses),
        protocol: Protocol((rest >> 32) as u8),
        destination_port: Some((rest >> 40) as u16),
        decider: deciders[rest as u32 as usize],
    }
}
