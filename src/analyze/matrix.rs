//! Who can reach whom, for all pairs of zones: subnets, the internet, what is behind gateways, service tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::end_set::EndSet;
use super::reach::{By, Query, Reachability, ServiceSet};
use super::regions::Region;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::index::{SubnetIndex, VnetIndex};
use crate::model::rule::AddressTerm;
use crate::model::tag::TagName;
use crate::model::verdict::VerdictKind;

/// A row or column of the matrix.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MatrixZone {
    /// The machines, private endpoints and load balancers of a subnet.
    Subnet(SubnetIndex),
    /// The internet, without this network's own addresses.
    Internet,
    /// Whatever gateways lead to.
    OnPremises,
    /// A service tag that some rule names, without this network's own addresses and the platform's.
    Tag(TagName),
}

/// What passes between two zones, by verdict; what is denied is left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Passage {
    /// From here.
    pub from: MatrixZone,
    /// To there.
    pub to: MatrixZone,
    /// All addresses from which and to which it was asked about.
    pub ends: (AddressSet, AddressSet),
    /// What passes, or may.
    pub passing: BTreeMap<VerdictKind, Vec<Region>>,
}

/// All pairs of zones.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Matrix {
    /// Pairs of which at least one is a subnet, whether something passes or nothing.
    pub passages: Vec<Passage>,
    /// Subnets in which nothing stands.
    pub empty: Vec<SubnetIndex>,
}

/// The matrix of a network for some services, with addresses looked for in one network only where `vnet` says which.
///
/// # Panics
///
/// If the network has no tables.
#[must_use]
pub fn matrix(compiled: &Arc<CompiledNetwork>, services: &[ServiceSet], vnet: Option<VnetIndex>) -> Matrix {
    let (zones, empty) = zones(compiled, vnet);
    let mut pairs = Vec::new();
    for (from, sources) in &zones {
        for (to, destinations) in &zones {
            let is_inside = |zone: &MatrixZone| matches!(zone, MatrixZone::Subnet(_));
            if !sources.own.is_empty() && (is_inside(from) || is_inside(to)) {
                let query = Query {
                    sources: sources.own.clone(),
                    destinations: destinations.reached_by(),
                    services: services.to_vec(),
                };
                pairs.push((from, to, query));
            }
        }
    }
    let queries: Vec<Query> = pairs.iter().map(|(.., query)| query.clone()).collect();
    let reachability = Reachability::new(compiled, &queries, vnet);
    let passages = pairs.into_iter().map(|(from, to, query)| {
        let fates = reachability.ask(&query, By::Verdict).fates.into_iter();
        let passing = fates.filter(|(side, _)| side.kind != VerdictKind::Deny);
        let passing = passing.map(|(side, regions)| (side.kind, regions)).collect();
        Passage { from: from.clone(), to: to.clone(), ends: (query.sources, query.destinations), passing }
    });
    Matrix { passages: passages.collect(), empty }
}

/// The zones with their ends, and the subnets in which nothing stands.
fn zones(
    compiled: &CompiledNetwork,
    vnet: Option<VnetIndex>,
) -> (Vec<(MatrixZone, EndSet)>, Vec<SubnetIndex>) {
    let network = &compiled.network;
    let (mut zones, mut empty) = (Vec::new(), Vec::new());
    for (position, subnet) in network.subnets.iter().enumerate() {
        if vnet.is_some_and(|vnet| vnet != subnet.vnet) {
            continue;
        }
        let index = SubnetIndex::new(position);
        let ends = EndSet::of_subnet(compiled, index);
        match ends.reached_by().is_empty() {
            true => empty.push(index),
            false => zones.push((MatrixZone::Subnet(index), ends)),
        }
    }
    zones.push((MatrixZone::Internet, EndSet::of_internet(compiled)));
    let behind = EndSet::of_on_premises(compiled);
    if !behind.own.is_empty() {
        zones.push((MatrixZone::OnPremises, behind));
    }
    let rules = network.nsgs.iter().flat_map(|nsg| &nsg.rules);
    let mut tags: Vec<&TagName> = rules
        .flat_map(|rule| rule.source.iter().chain(&rule.destination))
        .filter_map(|term| match term {
            AddressTerm::Tag(tag) => Some(&compiled.tags.get(tag)?.name),
            _ => None,
        })
        .collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in tags {
        let prefixes = compiled.tags.get(tag).map(|tag| tag.prefixes.iter().copied());
        let addresses = AddressSet::from_prefixes(prefixes.into_iter().flatten());
        zones.push((MatrixZone::Tag(tag.clone()), EndSet::of_strangers(compiled, &addresses)));
    }
    (zones, empty)
}
