//! The oracle: what Azure does with a packet, as plainly as the specification can be written down.
//!
//! In: a network, a tag catalogue and packets in time order. Out: an [`Answer`] for each. Linear scans over lists, no
//! caches, every function with its clause. It imports nothing of nsgsim but the model: the engines are held against
//! it.
//!
//! What the inputs do not hold is asked as a question ([`world`]). All worlds of answers are tried: if they give the
//! same verdict, that is the verdict, else it hangs on the first question. Reason and steps are those of the world in
//! which every question is answered "no", or, where a denial there has no reason in the inventory, of the first world
//! whose denial has one. An undetermined answer lists the steps that all worlds share.
//!
//! Which backend a load balancer chooses is no such question: in each world all of them are tried, and backends that
//! disagree make the verdict mixed ([`balancer`], LB-6).
#![allow(dead_code, reason = "each test target uses its part of the oracle")]

mod admin;
mod appliance;
mod arrival;
mod backend;
mod balancer;
mod endpoint;
mod filter;
mod gateway;
mod journey;
mod outbound;
mod outside;
mod peering;
mod platform;
mod private_link;
mod return_way;
mod route;
mod rules;
mod service;
mod space;
mod state;
mod timer;
mod world;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use nsgsim::model::assumptions::{Assumptions, Choice};
use nsgsim::model::flow::{Fragment, Origin, Packet};
use nsgsim::model::index::{
    NicIndex, NsgIndex, PrivateEndpointIndex, Reference, ServiceAccountIndex, SubnetIndex,
};
use nsgsim::model::network::Network;
use nsgsim::model::nsg::Nsg;
use nsgsim::model::rule::{AddressTerm, Direction, Protocol};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Answer, Interface, Note, Reason, RouteStep, Translation, Verdict};

use self::filter::Gate;
use self::journey::{End, Stop, Walk};
use self::return_way::Leg;
use self::rules::Seen;
use self::space::View;
use self::state::{Records, merge};
use self::world::{Asked, Worlds, worlds};

/// What tells datagrams apart (STATE-11).
type Datagram = (String, IpAddr, IpAddr, Protocol, u32);

/// How long the rest of a datagram is waited for: no clause says, so it is Linux's time.
const REASSEMBLY_NS: u64 = 30_000_000_000;

/// The evaluator, with the flows that are open.
pub(crate) struct Oracle {
    network: Network,
    tags: TagCatalog,
    assumptions: Assumptions,
    partial_inventory: bool,
    records: Records,
    first_fragments: BTreeMap<Datagram, (u64, Verdict)>,
    /// The same packets under each other choice of one clause (SIM-5); empty where nobody asks.
    alternatives: Vec<(Choice, Self)>,
}

impl Oracle {
    pub(crate) fn new(network: Network, tags: TagCatalog) -> Self {
        let (records, first_fragments) = (Records::new(), BTreeMap::new());
        let assumptions = Assumptions::default();
        let alternatives = Vec::new();
        Self { network, tags, assumptions, partial_inventory: false, records, first_fragments, alternatives }
    }

    /// Other choices are taken where a clause leaves one.
    pub(crate) fn assuming(mut self, assumptions: Assumptions) -> Self {
        self.assumptions = assumptions;
        self
    }

    /// Answers say which decisions they hang on (SIM-5). To be called last, before the first packet.
    pub(crate) fn weighing(mut self) -> Self {
        let under = |choice| {
            let assumptions = self.assumptions.with(choice);
            let mut other = Self::new(self.network.clone(), self.tags.clone()).assuming(assumptions);
            other.partial_inventory = self.partial_inventory;
            (choice, other)
        };
        self.alternatives = self.assumptions.alternatives().map(under).collect();
        self
    }

    /// The inventory is said to hold a part of the network only (`--partial-inventory`).
    pub(crate) fn partial(mut self) -> Self {
        self.partial_inventory = true;
        self
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// The whole journey of a packet, with state (SIM-6, `path`). `target` is the account or vault that answers at the
    /// destination, where the packet names it (SVC-1).
    pub(crate) fn path(
        &mut self,
        origin: Origin,
        packet: &Packet,
        time_ns: u64,
        target: Option<ServiceAccountIndex>,
    ) -> Answer {
        let answer = self.path_as_decided(origin, packet, time_ns, target);
        let mut others = Vec::new();
        for (choice, other) in &mut self.alternatives {
            others.push((*choice, other.path(origin, packet, time_ns, target)));
        }
        weighed(answer, &others)
    }

    fn path_as_decided(
        &mut self,
        origin: Origin,
        packet: &Packet,
        time_ns: u64,
        target: Option<ServiceAccountIndex>,
    ) -> Answer {
        let tuple = &packet.five_tuple;
        let datagram = |identification| {
            (format!("{origin:?}"), tuple.source, tuple.destination, tuple.protocol, identification)
        };
        // STATE-11: later fragments follow the verdict of their first; no filter looks at them.
        if let Fragment::Later { identification } = packet.fragment
            && let Some((seen_ns, verdict)) = self.first_fragments.get(&datagram(identification))
            && time_ns.saturating_sub(*seen_ns) <= REASSEMBLY_NS
        {
            return Answer::bare(verdict.clone());
        }
        let found = worlds(|world| {
            let mut walk = self.walk(self.view(world), time_ns);
            walk.target = target;
            let end = walk.run(origin, packet)?;
            let mut leaf = Leaf::new(end, &walk);
            if leaf.end.allows() {
                leaf.answer.asymmetric = self.is_asymmetric(&walk, packet);
            }
            Ok((leaf, walk.records))
        });
        let because = found.questions.first().cloned();
        let mut records: Vec<Records> = found.results.iter().map(|(_, records)| records.clone()).collect();
        if found.too_many {
            records.push(self.records.clone());
        }
        self.records = merge(&records, because.as_ref());
        let Worlds { results, questions, too_many } = found;
        let leaves = results.into_iter().map(|(leaf, _)| leaf).collect();
        let answer = settle(Worlds { results: leaves, questions, too_many });
        if let Fragment::First { identification } = packet.fragment {
            self.first_fragments.insert(datagram(identification), (time_ns, answer.verdict.clone()));
        }
        answer
    }

    /// Admin rules and NSGs of one NIC in one direction, without state, routes or platform (SIM-6, `ipFlow`).
    pub(crate) fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        let answer = self.filters_of(Interface::Nic(nic), direction, packet);
        let other = |(choice, other): &(Choice, Self)| (*choice, other.ip_flow(nic, direction, packet));
        let others: Vec<_> = self.alternatives.iter().map(other).collect();
        weighed(answer, &others)
    }

    fn filters_of(&self, interface: Interface, direction: Direction, packet: &Packet) -> Answer {
        let seen = Seen::of(packet);
        settle(worlds(|world| {
            let mut walk = self.walk(self.view(world), 0);
            let end = match walk.filters(interface, direction, &seen, &Gate::Open) {
                Ok(()) => walk.allowed(),
                Err(Stop::End(end)) => end,
                Err(Stop::Ask(question)) => return Err(question),
            };
            Ok(Leaf::new(end, &walk))
        }))
    }

    /// The route that a NIC takes to an address (SIM-6, `nextHop`); the question where one is open.
    pub(crate) fn next_hop(&self, nic: NicIndex, to: IpAddr) -> Asked<Option<RouteStep>> {
        let world = world::World::default();
        let mut walk = self.walk(self.view(&world), 0);
        let Some(subnet) = self.network.subnet_of(nic) else { return Ok(None) };
        let route = walk.view.route(subnet, to)?;
        Ok(route.and_then(|route| {
            walk.take(Interface::Nic(nic), &route);
            walk.routes.pop()
        }))
    }

    /// The network changes: open flows go on (STATE-4), but those under an NSG that flushes and whose rules changed
    /// are evaluated again (STATE-5). Of an NSG that starts to flush too (NSG-20).
    pub(crate) fn change(&mut self, network: Network) {
        for (_, other) in &mut self.alternatives {
            other.change(network.clone());
        }
        let old = std::mem::replace(&mut self.network, network);
        let records = std::mem::take(&mut self.records);
        for ((id, key), mut record) in records {
            let nic = self.network.nics.iter().position(|nic| nic.id == id).map(NicIndex::new);
            let subnet = self.network.subnets.iter().position(|subnet| subnet.id == id).map(SubnetIndex::new);
            let endpoints = &self.network.private_endpoints;
            let endpoint =
                endpoints.iter().position(|endpoint| endpoint.id == id).map(PrivateEndpointIndex::new);
            let interface = nic.map(Interface::Nic).or(subnet.map(Interface::Unlisted));
            let Some(interface) = interface.or(endpoint.map(Interface::Endpoint)) else { continue };
            let flushed = self.nsgs_of(interface).into_iter().any(|nsg| is_flushed(&old, &self.network, nsg));
            // The rule that denies a revoked flow may have moved or gone.
            if flushed || record.revoked_by.is_some() {
                let answer = self.filters_of(interface, record.direction, &record.first);
                record.revoked_by = None;
                match answer.verdict {
                    Verdict::Allow(_) => {}
                    Verdict::Deny(reason @ (Reason::SecurityRule(_) | Reason::AdminRule(_))) => {
                        record.revoked_by = Some(reason);
                    }
                    Verdict::Deny(_) => unreachable!("the filters of a NIC deny by rules alone"),
                    Verdict::Mixed(_) => unreachable!("one interface alone is judged"),
                    Verdict::Undetermined(question) => record.doubt = Some(question),
                }
            }
            self.records.insert((id, key), record);
        }
    }

    fn nsgs_of(&self, interface: Interface) -> Vec<NsgIndex> {
        let (own, subnet) = match interface {
            Interface::Nic(nic) => (self.network.nics[nic.get()].nsg.as_ref(), self.network.subnet_of(nic)),
            Interface::Unlisted(subnet) => (None, Some(subnet)),
            Interface::Endpoint(endpoint) => {
                let subnet = self.network.private_endpoints[endpoint.get()].subnet.as_ref();
                (None, subnet.and_then(Reference::here))
            }
            Interface::Service(_) => (None, None),
        };
        let of_subnet = subnet.and_then(|subnet| self.network.subnets[subnet.get()].nsg.as_ref());
        own.into_iter().chain(of_subnet).filter_map(Reference::here).collect()
    }

    fn view<'a>(&'a self, world: &'a world::World) -> View<'a> {
        View { network: &self.network, tags: &self.tags, assumptions: self.assumptions, world }
    }

    fn walk<'a>(&'a self, view: View<'a>, now_ns: u64) -> Walk<'a> {
        Walk {
            view,
            now_ns,
            partial_inventory: self.partial_inventory,
            target: None,
            sender: None,
            topology_only: false,
            answers_unlisted: None,
            legs: Vec::new(),
            records: self.records.clone(),
            own_records: BTreeSet::new(),
            forgotten_after_min: None,
            forwarders: 0,
            through_private_link: false,
            answers_private_link: false,
            answers_as: None,
            ways: Rc::new(Cell::new(1)),
            steps: Vec::new(),
            routes: Vec::new(),
            translation: Translation::default(),
            notes: Vec::new(),
            backends: Vec::new(),
        }
    }
}

/// SIM-5: an answer with a note for each choice under which the verdict is another.
fn weighed(mut answer: Answer, others: &[(Choice, Answer)]) -> Answer {
    for (choice, other) in others {
        let verdict = other.verdict.kind();
        if verdict != answer.verdict.kind() {
            answer.notes.push(Note::Decision { choice: *choice, verdict });
        }
    }
    answer
}

/// NSG-20: whether a change makes the flows under this NSG be evaluated again.
fn is_flushed(old: &Network, new: &Network, nsg: NsgIndex) -> bool {
    let now = &new.nsgs[nsg.get()];
    let Some(before) = old.nsgs.iter().find(|before| before.id == now.id) else { return false };
    now.flush_connection && (!before.flush_connection || written(old, before) != written(new, now))
}

/// The rules of an NSG in a form that does not depend on positions in the network.
fn written(network: &Network, nsg: &Nsg) -> Vec<String> {
    let side = |terms: &[AddressTerm]| -> Vec<String> {
        terms
            .iter()
            .map(|term| match term {
                AddressTerm::Asg(Reference::Here(asg)) => network.asgs[asg.get()].id.folded().to_owned(),
                AddressTerm::Asg(Reference::Missing(id)) => id.folded().to_owned(),
                other => format!("{other:?}"),
            })
            .collect()
    };
    nsg.rules
        .iter()
        .map(|rule| {
            let mut rest = rule.clone();
            rest.source.clear();
            rest.destination.clear();
            format!("{rest:?} {:?} {:?}", side(&rule.source), side(&rule.destination))
        })
        .collect()
}

/// What became of a packet in one world.
struct Leaf {
    end: End,
    answer: Answer,
    legs: Vec<Leg>,
}

impl Leaf {
    fn new(end: End, walk: &Walk<'_>) -> Self {
        let answer = Answer {
            verdict: end.verdict(),
            steps: walk.steps.clone(),
            routes: walk.routes.clone(),
            translation: walk.translation,
            notes: walk.notes.clone(),
            asymmetric: None,
            backends: walk.backends.clone(),
        };
        Self { end, answer, legs: walk.legs.clone() }
    }

    /// Whether two worlds come to the same verdict, whatever its reason.
    fn agrees_with(&self, other: &Self) -> bool {
        match (&self.end, &other.end) {
            (End::Mixed(_), End::Mixed(_)) => true,
            (one, other) => (one.allows() && other.allows()) || (one.denies() && other.denies()),
        }
    }
}

/// One answer from those of all worlds.
fn settle(found: Worlds<Leaf>) -> Answer {
    let Worlds { results: leaves, questions, too_many } = found;
    let agreed = leaves.iter().all(|leaf| leaf.agrees_with(&leaves[0]));
    if agreed && !too_many {
        let one_way = leaves.iter().all(|leaf| leaf.legs == leaves[0].legs);
        let has_reason = |leaf: &Leaf| !matches!(leaf.end, End::Unknown(_));
        let chosen = leaves.into_iter().find(has_reason);
        let mut answer =
            chosen.expect("where every question is answered \"yes\" a denial has a reason").answer;
        answer.asymmetric = answer.asymmetric.filter(|_| one_way);
        answer.notes.extend(questions.into_iter().map(Note::DidNotMatter));
        return answer;
    }
    let too_many_ways = leaves.iter().any(|leaf| matches!(leaf.end, End::TooManyWays));
    let question = match (too_many, too_many_ways) {
        (true, _) => Some(Unknown::TooManyUnknowns),
        (false, true) => Some(Unknown::TooManyWays),
        (false, false) => questions.into_iter().next(),
    };
    let verdict = Verdict::Undetermined(question.expect("worlds differ in the answer to a question"));
    let mut answers = leaves.into_iter().map(|leaf| leaf.answer);
    let Some(Answer { mut steps, mut routes, mut notes, mut translation, .. }) = answers.next() else {
        return Answer::bare(verdict);
    };
    for other in answers {
        steps.truncate(shared(&steps, &other.steps));
        routes.truncate(shared(&routes, &other.routes));
        notes.retain(|note| other.notes.contains(note));
        let Translation { destination, snat, source } = other.translation;
        translation.destination = translation.destination.filter(|to| destination == Some(*to));
        translation.snat = translation.snat.filter(|by| snat == Some(*by));
        translation.source = translation.source.filter(|from| source == Some(*from));
    }
    Answer { steps, routes, notes, translation, ..Answer::bare(verdict) }
}

/// How many elements two lists share from the start.
fn shared<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
