//! What becomes of all packets between two sets of ends: who can reach whom, exactly.
//!
//! In: a compiled network and what is asked about it. Out: disjoint [regions](super::regions) by verdict and by what decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::regions::boxes::merged;
use super::regions::space::Space;
use super::regions::ways::Area;
use super::regions::{Judges, Region, as_questions};
use super::whatif::Side;
use crate::compile::address_set::AddressSet;
use crate::compile::classifier::Entry;
use crate::compile::network::CompiledNetwork;
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::model::index::VnetIndex;
use crate::replay::tally::Decider;

/// Packets that are asked about: from any source to any destination, of any of the services.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    /// From here.
    pub sources: AddressSet,
    /// To there.
    pub destinations: AddressSet,
    /// Of these protocols and ports.
    pub services: Vec<ServiceSet>,
}

/// Protocols with the ports that their packets have. Packets without ports count where both sets of ports are whole (NSG-10).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ServiceSet {
    /// Protocols.
    pub protocols: ProtocolSet,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination ports.
    pub destination_ports: PortSet,
}

impl ServiceSet {
    /// Whatever networks carry.
    #[must_use]
    pub fn all() -> Self {
        Self {
            protocols: ProtocolSet::all(),
            source_ports: PortSet::all(),
            destination_ports: PortSet::all(),
        }
    }
}

/// What becomes of the packets of a query.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// By verdict and what decides; disjoint.
    pub fates: BTreeMap<Side, Vec<Region>>,
    /// Between which addresses packets are not this network's.
    pub out_of_scope: Vec<(AddressSet, AddressSet)>,
}

/// What parts the packets of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    /// The verdict, and what decided.
    Decider,
    /// The verdict alone: all deciders become [`Decider::NoSecurityGroup`].
    Verdict,
}

/// A network that is asked who can reach whom.
pub struct Reachability<'c> {
    compiled: &'c Arc<CompiledNetwork>,
    vnet: Option<VnetIndex>,
    space: Space,
}

impl<'c> Reachability<'c> {
    /// Prepares a network for some queries, with addresses looked for in one network only where `vnet` says which.
    ///
    /// # Panics
    ///
    /// If the network has no tables.
    #[must_use]
    pub fn new(compiled: &'c Arc<CompiledNetwork>, queries: &[Query], vnet: Option<VnetIndex>) -> Self {
        assert!(!compiled.linear_only, "ways are told from tables");
        let mut asked: Vec<AddressSet> = Vec::new();
        for set in queries.iter().flat_map(|query| [&query.sources, &query.destinations]) {
            if !asked.contains(set) {
                asked.push(set.clone());
            }
        }
        Self { compiled, vnet, space: Space::of(&[compiled], &asked) }
    }

    /// What becomes of the packets of a query, which must be among those that this was prepared for.
    ///
    /// # Panics
    ///
    /// If the simulator contradicts what was found.
    #[must_use]
    pub fn ask(&self, query: &Query, by: By) -> Reach {
        let space = &self.space;
        let told = match by {
            By::Decider => Some,
            By::Verdict => |[side]: [Side; 1]| Some([Side { decider: Decider::NoSecurityGroup, ..side }]),
        };
        let judges = Judges { compiled: [self.compiled], options: as_questions(self.vnet), told };
        let nowhere = Arc::new(AddressSet::empty());
        let entry = |services: &ServiceSet| Entry {
            source: Arc::clone(&nowhere),
            source_ports: services.source_ports.clone(),
            destination: Arc::clone(&nowhere),
            destination_ports: services.destination_ports.clone(),
            protocols: services.protocols,
        };
        let wanted: Vec<Entry> = query.services.iter().map(entry).collect();
        let inside = |set: &AddressSet| -> Vec<bool> {
            space.classes.iter().map(|cells| set.contains(space.first_address(cells))).collect()
        };
        let (sources, destinations) = (inside(&query.sources), inside(&query.destinations));
        let area = Area { space, judges: &judges, alike: None, wanted: Some(&wanted) };
        let mut survey =
            area.survey(|source, destination| sources[source as usize] && destinations[destination as usize]);

        let out_of_scope = merged(survey.apart.remove(&[false]).unwrap_or_default(), |_| ());
        let ends = out_of_scope.into_iter();
        let regions = judges.regions(space, &survey).into_iter();
        Reach {
            fates: regions.map(|([side], regions)| (side, regions)).collect(),
            out_of_scope: ends
                .map(|one| (space.addresses(&one.sources), space.addresses(&one.destinations)))
                .collect(),
        }
    }
}
