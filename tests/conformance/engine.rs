//! What answers: one row for each evaluator that a case runs through.
#![allow(dead_code, reason = "the recorded answers need no journeys")]

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy;
use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::Direction;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::Answer;
use nsgsim::simulate::{Ends, Simulator, SimulatorOptions};

use crate::oracle::Oracle;

/// An evaluator with its open flows.
pub(crate) trait Engine {
    /// The whole journey, with state.
    fn path(&mut self, origin: Origin, packet: &Packet, time_ns: u64) -> Answer;
    /// One NIC in one direction, without state.
    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer;
    /// The network changes under open flows.
    fn change(&mut self, network: Network);
}

/// Makes an evaluator for a network.
pub(crate) type Make = fn(Network, &TagCatalog) -> Box<dyn Engine>;

/// The evaluators by name.
pub(crate) const ENGINES: &[(&str, Make)] = &[
    ("oracle", |network, tags| Box::new(Oracle::new(network, tags.clone()))),
    ("linear", |network, tags| Box::new(Simulated::new(network, tags, policy::Engine::Linear))),
    ("compiled", |network, tags| Box::new(Simulated::new(network, tags, policy::Engine::Compiled))),
];

impl Engine for Oracle {
    fn path(&mut self, origin: Origin, packet: &Packet, time_ns: u64) -> Answer {
        Self::path(self, origin, packet, time_ns)
    }

    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        Self::ip_flow(self, nic, direction, packet)
    }

    fn change(&mut self, network: Network) {
        Self::change(self, network);
    }
}

/// The program's own simulator with one of its engines.
pub(crate) struct Simulated {
    simulator: Simulator,
    tags: Arc<TagCatalog>,
}

impl Simulated {
    pub(crate) fn new(network: Network, tags: &TagCatalog, engine: policy::Engine) -> Self {
        let tags = Arc::new(tags.clone());
        let options = SimulatorOptions { engine, ..SimulatorOptions::default() };
        Self { simulator: Simulator::new(compile(network, &tags), options), tags }
    }
}

fn compile(network: Network, tags: &Arc<TagCatalog>) -> Arc<CompiledNetwork> {
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::clone(tags), CompileOptions::default()))
}

impl Engine for Simulated {
    fn path(&mut self, origin: Origin, packet: &Packet, time_ns: u64) -> Answer {
        self.simulator.path(Ends::from(origin), packet, time_ns)
    }

    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        self.simulator.ip_flow(nic, direction, packet)
    }

    fn change(&mut self, network: Network) {
        self.simulator.change(compile(network, &self.tags));
    }
}
