//! All packets between some ends, in boxes by what becomes of them: exactly, nothing is sampled.
//!
//! In: a network, or a base and a candidate, compiled. Out: boxes of sources, destinations and services, by what each
//! network says of their packets, each box with a packet that shows it. Addresses are cut into [cells](space) that no network
//! tells apart, ports and protocols into [classes](services) likewise, and every combination is either [read off the
//! rules](rows) that decide about it or, where anything else may decide, asked of the simulators.
//!
//! Packets are questions, as those of `explain`: first packets of new flows, from where their source's address is, whole,
//! TCP and UDP with ports. A packet to its own sender is in no box: it leaves no machine (EVAL-9).

pub(super) mod bits;
pub(super) mod boxes;
mod rows;
pub(super) mod services;
pub(super) mod space;
pub(super) mod ways;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub use services::Service;

use self::bits::Bits;
use self::boxes::{Box3, merged};
use self::services::Services;
use self::space::Space;
use self::ways::Survey;
use super::whatif::Side;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Packet, Port};
use crate::model::index::VnetIndex;
use crate::model::rule::Protocol;
use crate::model::verdict::VerdictKind;
use crate::replay::tally::Decider;
use crate::simulate::{Simulator, SimulatorOptions};

/// Packets of which the same becomes: every combination of these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Region {
    /// From here.
    pub sources: AddressSet,
    /// To there.
    pub destinations: AddressSet,
    /// Of these protocols, from and to these ports.
    pub services: Vec<Service>,
    /// One of them.
    pub witness: FiveTuple,
}

/// How packets are asked about: as `explain` does, with addresses looked for in one network only where `vnet` says which.
pub(super) fn as_questions(vnet: Option<VnetIndex>) -> SimulatorOptions {
    SimulatorOptions { stateful: false, observed: false, vnet, ..SimulatorOptions::default() }
}

/// Where to ask what becomes of a packet.
pub(super) struct Judges<'c, const N: usize> {
    pub(super) compiled: [&'c Arc<CompiledNetwork>; N],
    pub(super) options: SimulatorOptions,
    /// What is told of packets of which the networks say this; nothing where such are not looked for.
    pub(super) told: Told<N>,
}

/// What is told where networks say something.
pub(super) type Told<const N: usize> = fn([Side; N]) -> Option<[Side; N]>;

/// A simulator of each network.
pub(super) struct Simulators<const N: usize> {
    simulators: [Simulator; N],
    told: Told<N>,
}

impl<const N: usize> Judges<'_, N> {
    pub(super) fn fresh(&self) -> Simulators<N> {
        let simulators = self.compiled.map(|compiled| Simulator::new(Arc::clone(compiled), self.options));
        Simulators { simulators, told: self.told }
    }

    /// What was surveyed, as few regions.
    ///
    /// # Panics
    ///
    /// If a simulator contradicts what was found.
    pub(super) fn regions(&self, space: &Space, survey: &Survey<N>) -> BTreeMap<[Side; N], Vec<Region>> {
        let mut boxes: BTreeMap<[Side; N], Vec<Box3<Vec<Service>>>> = BTreeMap::new();
        for (services, found) in &survey.found {
            for (sides, found) in found {
                let in_words = found.iter().map(|one| Box3 {
                    sources: one.sources.clone(),
                    destinations: one.destinations.clone(),
                    services: services.services(&one.services),
                });
                boxes.entry(*sides).or_default().extend(in_words);
            }
        }
        let mut simulators = self.fresh();
        let mut regions = BTreeMap::new();
        for (sides, boxes) in boxes {
            let boxes = space.without_own_senders(merged(boxes, services::joined));
            let of_sides = boxes.into_iter().map(|one| {
                let (source, destination) =
                    space.ends(&one.sources, &one.destinations).expect("a box holds two addresses");
                let (protocol, source_port, destination_port) = one.usual_service().packet();
                let witness = FiveTuple { source, destination, protocol, source_port, destination_port };
                assert_eq!(simulators.sides(&witness), Some(sides), "{witness:?} is judged as it was found");
                Region {
                    sources: space.addresses(&one.sources),
                    destinations: space.addresses(&one.destinations),
                    services: one.services,
                    witness,
                }
            });
            regions.insert(sides, of_sides.collect());
        }
        regions
    }
}

impl<const N: usize> Simulators<N> {
    /// What is told of a packet.
    fn sides(&mut self, packet: &FiveTuple) -> Option<[Side; N]> {
        let mut sides = [Side { decider: Decider::NoEndpoint, kind: VerdictKind::Deny }; N];
        let is_never_carried =
            services::is_never_carried(packet.protocol, packet.source_port, packet.destination_port);
        for (simulator, side) in self.simulators.iter_mut().zip(&mut sides) {
            let verdict = simulator.judge(&Packet::new(*packet), 0).ok()?.answer.verdict;
            *side = Side { decider: Decider::from(&verdict), kind: verdict.kind() };
            // What is never carried counts as denied for that, whatever else stops it first.
            if side.kind == VerdictKind::Deny && is_never_carried {
                side.decider = Decider::UnsupportedTraffic;
            }
        }
        (self.told)(sides)
    }

    /// What is told of packets between two addresses, by a packet of each of these classes of services.
    fn sides_between(
        &mut self,
        (source, destination): (IpAddr, IpAddr),
        services: &Services,
        asked: &Bits,
    ) -> BTreeMap<[Side; N], Bits> {
        let mut found: BTreeMap<[Side; N], Bits> = BTreeMap::new();
        for class in asked.iter() {
            let (protocol, source_port, destination_port) = services.packet(class);
            let packet = FiveTuple { source, destination, protocol, source_port, destination_port };
            if let Some(sides) = self.sides(&packet) {
                found.entry(sides).or_insert_with(|| services.none()).insert(class);
            }
        }
        found
    }
}

impl Box3<Vec<Service>> {
    /// The service to show: one of TCP where there is one.
    fn usual_service(&self) -> &Service {
        let is_tcp = |service: &&Service| service.protocols.contains(&Protocol::TCP);
        self.services.iter().find(is_tcp).unwrap_or(&self.services[0])
    }
}

impl Service {
    /// A packet of it: with ports that a client has and that a service has, where it holds such.
    fn packet(&self) -> (Protocol, Port, Port) {
        let (sources, destinations) = match &self.ports {
            Some((sources, destinations)) => (
                services::usual(sources, services::CLIENT_PORT),
                services::usual(destinations, services::SERVICE_PORT),
            ),
            None => (Port::None, Port::None),
        };
        (self.protocols[0], sources, destinations)
    }
}
