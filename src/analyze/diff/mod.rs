//! Every possible packet that gets another verdict from one network than from another.
//!
//! In: a base and a candidate, compiled. Out: the packets that flip, as disjoint boxes of sources, destinations and
//! services, by what decides on each side, each box with a packet that shows it. Nothing is sampled: addresses are cut
//! into [cells](space) that neither network tells apart, ports and protocols into [classes](services) likewise, and every
//! combination is either [compared by the rules](rows) that decide about it or, where anything else may decide, asked of
//! both simulators.
//!
//! Packets are questions, as those of `explain`: first packets of new flows, from where their source's address is, whole,
//! TCP and UDP with ports. A packet to its own sender is in no box: it leaves no machine (EVAL-9).

mod bits;
mod boxes;
mod rows;
mod services;
mod space;
mod ways;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub use services::Service;

use self::bits::Bits;
use self::boxes::{Box3, merged};
use self::services::Services;
use self::space::Space;
use super::whatif::{Change, Side};
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Packet, Port};
use crate::model::index::VnetIndex;
use crate::model::network::Network;
use crate::model::nsg::Nsg;
use crate::model::rule::Protocol;
use crate::replay::tally::Decider;
use crate::simulate::{Simulator, SimulatorOptions};

/// All packets that flip.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// By what decides on each side; disjoint.
    pub flips: BTreeMap<Change, Vec<Flipping>>,
    /// Between which addresses only the base judges packets: no end of them is in the candidate.
    pub base_only: Vec<(AddressSet, AddressSet)>,
    /// Between which addresses only the candidate does.
    pub candidate_only: Vec<(AddressSet, AddressSet)>,
}

/// Packets that flip: every combination of these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flipping {
    /// From here.
    pub sources: AddressSet,
    /// To there.
    pub destinations: AddressSet,
    /// Of these protocols, from and to these ports.
    pub services: Vec<Service>,
    /// One of them.
    pub witness: FiveTuple,
}

impl Difference {
    /// Whether no packet flips.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flips.is_empty() && self.base_only.is_empty() && self.candidate_only.is_empty()
    }
}

/// The networks that are compared.
struct Networks<'c> {
    compiled: [&'c CompiledNetwork; 2],
    options: SimulatorOptions,
    /// They differ in nothing but the rules of NSGs, and so have the same ways.
    same_but_for_rules: bool,
    /// On the same way, past lists that say the same, both do the same.
    same_on_the_way: bool,
}

/// Every packet whose verdict differs, with addresses looked for in one network only where `vnet` says which.
///
/// # Panics
///
/// If a network has no tables, or the simulators contradict what was found.
#[must_use]
pub fn difference(
    base: &Arc<CompiledNetwork>,
    candidate: &Arc<CompiledNetwork>,
    vnet: Option<VnetIndex>,
) -> Difference {
    assert!(!base.linear_only && !candidate.linear_only, "ways are told from tables");
    let options = SimulatorOptions { stateful: false, observed: false, vnet, ..SimulatorOptions::default() };
    let same_but_for_rules = same_but_for_rules(base, candidate);
    let same_on_the_way = same_on_the_way(base, candidate);
    let networks = Networks { compiled: [base, candidate], options, same_but_for_rules, same_on_the_way };
    let judges = Judges { compiled: [base, candidate], options };
    let space = Space::of(networks.compiled);
    let changes = ways::changes(&space, &networks, &judges);

    let mut boxes: BTreeMap<Change, Vec<Box3<Vec<Service>>>> = BTreeMap::new();
    for (services, found) in &changes.found {
        for (change, found) in found {
            let in_words = found.iter().map(|one| Box3 {
                sources: one.sources.clone(),
                destinations: one.destinations.clone(),
                services: services.services(&one.services),
            });
            boxes.entry(*change).or_default().extend(in_words);
        }
    }
    let mut simulators = judges.fresh();
    let mut flips = BTreeMap::new();
    for (change, boxes) in boxes {
        let flipping = merged(boxes, services::joined).into_iter().map(|one| {
            let (source, destination) =
                space.ends(&one.sources, &one.destinations).expect("a box holds two addresses");
            let (protocol, source_port, destination_port) = one.usual_service().packet();
            let witness = FiveTuple { source, destination, protocol, source_port, destination_port };
            assert_eq!(simulators.change(&witness), Some(change), "{witness:?} flips as it was found to");
            Flipping {
                sources: space.addresses(&one.sources),
                destinations: space.addresses(&one.destinations),
                services: one.services,
                witness,
            }
        });
        flips.insert(change, flipping.collect());
    }
    let [base_only, candidate_only] = changes.only.map(|boxes| {
        let boxes = merged(boxes, |_| ()).into_iter();
        let ends = boxes.map(|one| (space.addresses(&one.sources), space.addresses(&one.destinations)));
        ends.collect()
    });
    Difference { flips, base_only, candidate_only }
}

/// Whether two networks differ in nothing but the rules of their NSGs, and so have the same ways.
fn same_but_for_rules(base: &Arc<CompiledNetwork>, candidate: &Arc<CompiledNetwork>) -> bool {
    let without_rules = |network: &Network| Network {
        nsgs: network.nsgs.iter().map(|nsg| Nsg { rules: Vec::new(), ..nsg.clone() }).collect(),
        ..network.clone()
    };
    let lists = |compiled: &CompiledNetwork| -> Vec<_> {
        compiled.policies.iter().map(|policy| (policy.nsg(), policy.direction)).collect()
    };
    Arc::ptr_eq(&base.tags, &candidate.tags)
        && base.assumptions == candidate.assumptions
        && base.partial_inventory == candidate.partial_inventory
        && lists(base) == lists(candidate)
        && without_rules(&base.network) == without_rules(&candidate.network)
}

/// Whether two networks number their resources alike and differ in nothing that is asked on a way, once the way is laid
/// and the lists on it are known.
fn same_on_the_way(base: &CompiledNetwork, candidate: &CompiledNetwork) -> bool {
    // What lays ways and attaches lists is left out.
    let asked = |network: &Network| {
        let mut network = network.clone();
        network.nsgs.iter_mut().for_each(|nsg| nsg.rules.clear());
        network.route_tables.clear();
        for vnet in &mut network.vnets {
            vnet.peerings.clear();
        }
        for subnet in &mut network.subnets {
            (subnet.nsg, subnet.route_table, subnet.nat_gateway) = (None, None, None);
        }
        for nic in &mut network.nics {
            nic.nsg = None;
            nic.ip_configurations.iter_mut().for_each(|configuration| configuration.public_ip = None);
        }
        network
    };
    base.assumptions == candidate.assumptions
        && base.partial_inventory == candidate.partial_inventory
        && asked(&base.network) == asked(&candidate.network)
}

/// Where to ask what becomes of a packet.
struct Judges<'c> {
    compiled: [&'c Arc<CompiledNetwork>; 2],
    options: SimulatorOptions,
}

/// A simulator of each network.
struct Simulators([Simulator; 2]);

impl Judges<'_> {
    fn fresh(&self) -> Simulators {
        Simulators(self.compiled.map(|compiled| Simulator::new(Arc::clone(compiled), self.options)))
    }
}

impl Simulators {
    /// How a packet flips, if it does.
    fn change(&mut self, packet: &FiveTuple) -> Option<Change> {
        let [base, candidate] = &mut self.0;
        let side = |simulator: &mut Simulator| {
            let verdict = simulator.judge(&Packet::new(*packet), 0).ok()?.answer.verdict;
            Some(Side { decider: Decider::from(&verdict), kind: verdict.kind() })
        };
        let change = Change { base: side(base)?, candidate: side(candidate)? };
        (change.base.kind != change.candidate.kind).then_some(change)
    }

    /// How packets between two addresses flip, by a packet of each of these classes of services.
    fn changes(
        &mut self,
        (source, destination): (IpAddr, IpAddr),
        services: &Services,
        asked: &Bits,
    ) -> BTreeMap<Change, Bits> {
        let mut changes: BTreeMap<Change, Bits> = BTreeMap::new();
        for class in asked.iter() {
            let (protocol, source_port, destination_port) = services.packet(class);
            let packet = FiveTuple { source, destination, protocol, source_port, destination_port };
            if let Some(change) = self.change(&packet) {
                changes.entry(change).or_insert_with(|| services.none()).insert(class);
            }
        }
        changes
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
