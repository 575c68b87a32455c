//! What answers: one row for each evaluator that a case runs through.
#![allow(dead_code, reason = "the recorded answers need no journeys")]

use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy;
use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::{NicIndex, VnetIndex};
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

impl Simulated {
    /// The network of a private destination that was seen after translation: the first in which somebody has it, or
    /// else the first whose space holds it.
    fn vnet_of(&self, address: IpAddr) -> Option<VnetIndex> {
        let network = &self.simulator.compiled().network;
        let has = |nic: &NicIndex| {
            network.nics[nic.get()].ip_configurations.iter().any(|own| own.address == Some(address))
        };
        let holder = (0..network.nics.len()).map(NicIndex::new).find(has);
        let owner =
            holder.and_then(|nic| network.subnet_of(nic)).map(|subnet| network.subnets[subnet.get()].vnet);
        let holds = |vnet: &nsgsim::model::network::Vnet| {
            vnet.address_space.iter().any(|range| range.contains(&address))
        };
        owner.or_else(|| network.vnets.iter().position(holds).map(VnetIndex::new))
    }
}

fn compile(network: Network, tags: &Arc<TagCatalog>) -> Arc<CompiledNetwork> {
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::clone(tags), CompileOptions::default()))
}

impl Engine for Simulated {
    fn path(&mut self, origin: Origin, packet: &Packet, time_ns: u64) -> Answer {
        let mut ends = Ends::from(origin);
        if origin == Origin::Internet {
            ends.vnet = self.vnet_of(packet.five_tuple.destination);
        }
        self.simulator.path(ends, packet, time_ns)
    }

    fn ip_flow(&self, nic: NicIndex, direction: Direction, packet: &Packet) -> Answer {
        self.simulator.ip_flow(nic, direction, packet)
    }

    fn change(&mut self, network: Network) {
        self.simulator.change(compile(network, &self.tags));
    }
}
