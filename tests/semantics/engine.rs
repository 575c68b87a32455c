//! What answers: one row for each evaluator that a case runs through.
#![allow(dead_code, reason = "the recorded answers need no journeys")]

use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy;
use nsgsim::model::assumptions::Assumptions;
use nsgsim::model::flow::{Fragment, Origin, Packet};
use nsgsim::model::index::{NicIndex, Reference, ServiceAccountIndex, VnetIndex};
use nsgsim::model::network::Network;
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::records::Records;
use nsgsim::model::rule::Direction;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Answer, Note, RouteStep};
use nsgsim::replay::run::{Replay, ReplayOptions};
use nsgsim::simulate::{Ends, Simulator, SimulatorOptions, Weighing};

use crate::oracle::Oracle;

/// An evaluator with its open flows.
pub(crate) trait Engine {
    /// The whole journey, with state.
    fn path(
        &mut self,
        origin: Origin,
        packet: &Packet,
        time_ns: u64,
        target: Option<ServiceAccountIndex>,
    ) -> Answer;
    /// The route of a NIC's packets to an address.
    fn next_hop(&self, nic: NicIndex, destination: IpAddr) -> Result<Option<RouteStep>, Unknown>;
    /// One NIC in one direction, without state.
    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer;
    /// The network changes under open flows.
    fn change(&mut self, network: Network);
}

/// How an evaluator judges.
#[derive(Clone, Copy, Default)]
pub(crate) struct Judging {
    /// What is taken for true where a clause leaves a choice.
    pub(crate) assumptions: Assumptions,
    /// Answers say which decisions they hang on (SIM-5), for which every packet is judged many times.
    pub(crate) weighing: bool,
}

/// Makes an evaluator for a network.
pub(crate) type Make = fn(Network, &TagCatalog, Judging) -> Box<dyn Engine>;

/// The evaluators by name.
pub(crate) const ENGINES: &[(&str, Make)] = &[
    ("oracle", |network, tags, judging| {
        let oracle = Oracle::new(network, tags.clone()).assuming(judging.assumptions);
        Box::new(if judging.weighing { oracle.weighing() } else { oracle })
    }),
    ("linear", |network, tags, judging| simulated(network, tags, judging, policy::Engine::Linear)),
    ("compiled", |network, tags, judging| simulated(network, tags, judging, policy::Engine::Compiled)),
    ("replay", |network, tags, judging| Box::new(Replayed::new(network, tags, judging))),
];

impl Engine for Oracle {
    fn path(
        &mut self,
        origin: Origin,
        packet: &Packet,
        time_ns: u64,
        target: Option<ServiceAccountIndex>,
    ) -> Answer {
        Self::path(self, origin, packet, time_ns, target)
    }

    fn next_hop(&self, nic: NicIndex, destination: IpAddr) -> Result<Option<RouteStep>, Unknown> {
        Self::next_hop(self, nic, destination)
    }

    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        Self::ip_flow(self, nic, direction, packet)
    }

    fn change(&mut self, network: Network) {
        Self::change(self, network);
    }
}

/// The program's own simulator with one of its engines.
struct Simulated<S> {
    simulator: S,
    tags: Arc<TagCatalog>,
    assumptions: Assumptions,
}

fn simulated(
    network: Network,
    tags: &TagCatalog,
    judging: Judging,
    engine: policy::Engine,
) -> Box<dyn Engine> {
    let tags = Arc::new(tags.clone());
    let assumptions = judging.assumptions;
    let options = SimulatorOptions { engine, ..SimulatorOptions::default() };
    let compiled = compile(network, &tags, assumptions);
    if judging.weighing {
        Box::new(Simulated { simulator: Weighing::new(compiled, options), tags, assumptions })
    } else {
        Box::new(Simulated { simulator: Simulator::new(compiled, options), tags, assumptions })
    }
}

/// Where a packet starts, as the simulator takes it.
fn ends(network: &Network, origin: Origin, packet: &Packet, target: Option<ServiceAccountIndex>) -> Ends {
    let mut ends = Ends { target, ..origin.into() };
    if matches!(origin, Origin::Internet | Origin::Platform) {
        ends.vnet = vnet_of(network, packet.five_tuple.destination);
        let stray = |nic: &NicIndex| {
            let nic = &network.nics[nic.get()];
            let has =
                nic.ip_configurations.iter().any(|own| own.address == Some(packet.five_tuple.destination));
            has && nic.subnet.as_ref().and_then(Reference::here).is_none()
        };
        if ends.vnet.is_none() {
            ends.stray = (0..network.nics.len()).map(NicIndex::new).find(stray);
        }
    }
    ends
}

/// The network of a private destination that was seen after translation: the first in which somebody has it, or else
/// the first whose space holds it.
fn vnet_of(network: &Network, address: IpAddr) -> Option<VnetIndex> {
    let has = |nic: &NicIndex| {
        network.nics[nic.get()].ip_configurations.iter().any(|own| own.address == Some(address))
    };
    let holder = (0..network.nics.len()).map(NicIndex::new).find(has);
    let owner =
        holder.and_then(|nic| network.subnet_of(nic)).map(|subnet| network.subnets[subnet.get()].vnet);
    let holds =
        |vnet: &nsgsim::model::network::Vnet| vnet.address_space.iter().any(|range| range.contains(&address));
    owner.or_else(|| network.vnets.iter().position(holds).map(VnetIndex::new))
}

fn compile(network: Network, tags: &Arc<TagCatalog>, assumptions: Assumptions) -> Arc<CompiledNetwork> {
    let options = CompileOptions { assumptions, ..CompileOptions::default() };
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::clone(tags), options))
}

/// What simulators with and without notes on decisions have in common.
macro_rules! simulated_by {
    ($simulator:ty) => {
        impl Engine for Simulated<$simulator> {
            fn path(
                &mut self,
                origin: Origin,
                packet: &Packet,
                time_ns: u64,
                target: Option<ServiceAccountIndex>,
            ) -> Answer {
                let ends = ends(&self.simulator.compiled().network, origin, packet, target);
                self.simulator.path(ends, packet, time_ns)
            }

            fn next_hop(&self, nic: NicIndex, destination: IpAddr) -> Result<Option<RouteStep>, Unknown> {
                self.simulator.next_hop(nic, destination)
            }

            fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
                self.simulator.ip_flow(nic, direction, packet)
            }

            fn change(&mut self, network: Network) {
                self.simulator.change(compile(network, &self.tags, self.assumptions));
            }
        }
    };
}

simulated_by!(Simulator);
simulated_by!(Weighing);

/// The whole replay: packets are injected after decoding, their start given; single interfaces are asked through `--at`.
pub(crate) struct Replayed {
    compiled: Arc<CompiledNetwork>,
    /// Taken when the replay ends, which checks that its ledger adds up.
    replay: Option<Replay>,
    /// A replay pays for no notes on decisions: what wants them asks beside it.
    weighing: Option<Weighing>,
    tags: Arc<TagCatalog>,
    assumptions: Assumptions,
    records: u64,
}

impl Replayed {
    fn new(network: Network, tags: &TagCatalog, judging: Judging) -> Self {
        let tags = Arc::new(tags.clone());
        let assumptions = judging.assumptions;
        let compiled = compile(network, &tags, assumptions);
        let replay = Some(Replay::new(Arc::clone(&compiled), ReplayOptions::default()));
        let weighing = || Weighing::new(Arc::clone(&compiled), SimulatorOptions::default());
        let weighing = judging.weighing.then(weighing);
        Self { compiled, replay, weighing, tags, assumptions, records: 0 }
    }
}

/// A replay's answer with the notes on decisions that were asked for beside it.
fn with_decisions(mut answer: Answer, asked: Option<Answer>) -> Answer {
    let notes = asked.into_iter().flat_map(|asked| asked.notes);
    answer.notes.extend(notes.filter(|note| matches!(note, Note::Decision { .. })));
    answer
}

fn record(number: u64, time_ns: u64, packet: &Packet) -> Record {
    let location = Location { file: 0, number };
    Record { location, time_ns: Some(time_ns), wire_bytes: 60, content: Content::Packet(*packet) }
}

impl Engine for Replayed {
    fn next_hop(&self, nic: NicIndex, destination: IpAddr) -> Result<Option<RouteStep>, Unknown> {
        Simulator::new(Arc::clone(&self.compiled), SimulatorOptions::default()).next_hop(nic, destination)
    }

    fn path(
        &mut self,
        origin: Origin,
        packet: &Packet,
        time_ns: u64,
        target: Option<ServiceAccountIndex>,
    ) -> Answer {
        self.records += 1;
        let ends = ends(&self.compiled.network, origin, packet, target);
        let replay = self.replay.as_mut().expect("the replay goes on until it is dropped");
        let answer = replay.feed_from(ends, &record(self.records, time_ns, packet), packet);
        let asked = self.weighing.as_mut().map(|weighing| weighing.path(ends, packet, time_ns));
        with_decisions(answer, asked)
    }

    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        let stateless = SimulatorOptions { stateful: false, ..SimulatorOptions::default() };
        let mut simulator = Simulator::new(Arc::clone(&self.compiled), stateless);
        let asked = simulator.ip_flow(nic, direction, packet);
        let weighed = self.weighing.as_ref().map(|weighing| weighing.ip_flow(nic, direction, packet));
        let Ok(judged) = simulator.at(nic, packet, 0) else {
            // A capture at the interface holds no such packet.
            return with_decisions(asked, weighed);
        };
        let options =
            ReplayOptions { simulator: stateless, at: Some(nic), records: true, ..Default::default() };
        let mut replay = Replay::new(Arc::clone(&self.compiled), options);
        let fed = replay.feed(&Records::from_iter([record(1, 0, packet)]));
        let [(0, processed)] = fed.records.as_slice() else { panic!("one record came in, one goes out") };
        assert_eq!(processed.verdict, judged.answer.verdict, "--at is the interface's view");
        let own = |address| {
            let configurations = &self.compiled.network.nics[nic.get()].ip_configurations;
            configurations.iter().any(|own| own.address == Some(address))
        };
        // A packet shows its own direction; the question may have asked for the other one.
        let shown = if own(packet.five_tuple.source) { Direction::Outbound } else { Direction::Inbound };
        let whole = packet.fragment == Fragment::Whole;
        // What an interface sends to itself is in no capture of it (EVAL-9).
        let to_itself = own(packet.five_tuple.source) && own(packet.five_tuple.destination);
        let answer = if shown == direction && whole && !to_itself { judged.answer } else { asked };
        with_decisions(answer, weighed)
    }

    fn change(&mut self, network: Network) {
        self.compiled = compile(network, &self.tags, self.assumptions);
        if let Some(weighing) = &mut self.weighing {
            weighing.change(Arc::clone(&self.compiled));
        }
        let replay = self.replay.as_mut().expect("the replay goes on until it is dropped");
        replay.change(&self.compiled);
    }
}

impl Drop for Replayed {
    fn drop(&mut self) {
        if let Some(replay) = self.replay.take()
            && !std::thread::panicking()
        {
            let (totals, _) = replay.finish();
            assert_eq!(totals.ledger.read, self.records);
        }
    }
}
