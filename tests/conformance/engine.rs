//! What answers: one row for each evaluator that a case runs through.
#![allow(dead_code, reason = "the recorded answers need no journeys")]

use nsgsim::model::flow::{Origin, Packet};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::Direction;
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::Answer;

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
pub(crate) const ENGINES: &[(&str, Make)] =
    &[("oracle", |network, tags| Box::new(Oracle::new(network, tags.clone())))];

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
