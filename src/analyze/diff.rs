//! Every possible packet that gets another verdict from one network than from another.
//!
//! In: a base and a candidate, compiled. Out: the packets that flip, as disjoint [regions](super::regions) by what decides on
//! each side, each with a packet that shows it. Nothing is sampled.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::regions::boxes::merged;
use super::regions::space::Space;
use super::regions::ways::{Alike, Area};
use super::regions::{Judges, Region, as_questions};
use super::whatif::{Change, Side};
use crate::compile::address_set::AddressSet;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::places::PublicOwner;
use crate::model::flow::Origin;
use crate::model::index::{NicIndex, PrivateEndpointIndex, VnetIndex};
use crate::model::network::Network;
use crate::model::nsg::Nsg;
use crate::model::routing::NextHop;
use crate::model::rule::Direction;
use crate::model::verdict::Interface;
use crate::simulate::ends::inside;

/// All packets that flip.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// By what decides on each side; disjoint.
    pub flips: BTreeMap<Change, Vec<Region>>,
    /// Between which addresses only the base judges packets: no end of them is in the candidate.
    pub base_only: Vec<(AddressSet, AddressSet)>,
    /// Between which addresses only the candidate does.
    pub candidate_only: Vec<(AddressSet, AddressSet)>,
}

impl Difference {
    /// Whether no packet flips.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flips.is_empty() && self.base_only.is_empty() && self.candidate_only.is_empty()
    }
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
    let alike = Alike {
        but_for_rules: same_but_for_rules(base, candidate),
        on_the_way: same_on_the_way(base, candidate),
    };
    let told = |sides: [Side; 2]| (sides[0].kind != sides[1].kind).then_some(sides);
    let judges = Judges { compiled: [base, candidate], options: as_questions(vnet), told };
    let space = Space::of(&[base, candidate], &[]);

    let differ = lists_that_differ(&space, alike);
    if alike.but_for_rules && differ.is_empty() {
        return Difference::default();
    }
    let touched = alike.but_for_rules.then(|| touched(&space, base, vnet, &differ)).flatten();
    let is_touched = |class: u32| touched.as_ref().is_none_or(|touched| touched.contains(&class));
    let area = Area { space: &space, judges: &judges, alike: Some(alike), wanted: None };
    let mut survey = area.survey(|source, destination| is_touched(source) || is_touched(destination));

    let flips = judges.regions(&space, &survey).into_iter();
    let flips = flips.map(|([base, candidate], regions)| (Change { base, candidate }, regions)).collect();
    let [base_only, candidate_only] = [[true, false], [false, true]].map(|judging| {
        let boxes = merged(survey.apart.remove(&judging).unwrap_or_default(), |_| ()).into_iter();
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
    // Where services lie is told by tags.
    Arc::ptr_eq(&base.tags, &candidate.tags)
        && base.assumptions == candidate.assumptions
        && base.partial_inventory == candidate.partial_inventory
        && asked(&base.network) == asked(&candidate.network)
}

/// The places of lists of NSGs whose like the other side lacks at its place.
fn lists_that_differ(space: &Space, alike: Alike) -> BTreeSet<usize> {
    let [base, candidate] = [&space.lists[0], &space.lists[1]];
    let same = |place: &usize| match (base.get(*place), candidate.get(*place)) {
        (Some(base), Some(candidate)) => alike.but_for_rules && base.content == candidate.content,
        _ => false,
    };
    (0..base.len().max(candidate.len())).filter(|place| !same(place)).collect()
}

/// The classes at whose addresses a list stands that differs; nothing where such a list may stand on the way between
/// others.
fn touched(
    space: &Space,
    compiled: &CompiledNetwork,
    vnet: Option<VnetIndex>,
    differ: &BTreeSet<usize>,
) -> Option<HashSet<u32>> {
    let network = &compiled.network;
    let asks = |interface: Interface| {
        [Direction::Inbound, Direction::Outbound].into_iter().any(|direction| {
            compiled.layers(interface, direction).iter().any(|layer| match &layer.policy {
                PolicyReference::Compiled(place) => differ.contains(place),
                _ => false,
            })
        })
    };
    let nat_rules = network.load_balancers.iter().flat_map(|balancer| &balancer.nat_rules);
    let members: HashSet<_> = network
        .load_balancers
        .iter()
        .flat_map(|balancer| &balancer.pools)
        .flat_map(|pool| &pool.ip_configurations)
        .chain(nat_rules.filter_map(|rule| rule.backend.as_ref()))
        .collect();
    let pools = network.load_balancers.iter().flat_map(|balancer| &balancer.pools);
    let routes = network.route_tables.iter().flat_map(|table| &table.routes);
    let next_hops = routes.filter_map(|route| match &route.next_hop {
        NextHop::VirtualAppliance(Some(address)) => Some(address),
        _ => None,
    });
    let by_address: HashSet<&IpAddr> = pools.flat_map(|pool| &pool.addresses).chain(next_hops).collect();
    let mut asking = HashSet::new();
    for (position, nic) in network.nics.iter().enumerate() {
        let index = NicIndex::new(position);
        if !asks(Interface::Nic(index)) {
            continue;
        }
        let is_passed = nic.ip_configurations.iter().any(|configuration| {
            members.contains(&configuration.id)
                || configuration.address.is_some_and(|address| by_address.contains(&address))
        });
        // Others' packets come by it.
        if nic.ip_forwarding || is_passed {
            return None;
        }
        asking.insert(index);
    }
    // Whatever stands before endpoints and services may be met from anywhere by other addresses than theirs.
    let endpoints = (0..network.private_endpoints.len())
        .map(|position| Interface::Endpoint(PrivateEndpointIndex::new(position)));
    if endpoints.into_iter().any(asks) {
        return None;
    }
    let is_touched = |address: IpAddr| {
        let public = match compiled.places.public(address) {
            Some((_, PublicOwner::Nic(nic, _))) => asking.contains(&nic),
            _ => false,
        };
        public
            || inside(compiled, address, vnet).into_iter().any(|origin| match origin {
                Origin::Nic(nic) => asking.contains(&nic),
                Origin::Unlisted(subnet) => asks(Interface::Unlisted(subnet)),
                Origin::Internet | Origin::OnPremises(_) | Origin::Platform => false,
            })
    };
    let classes = (0..).zip(&space.classes);
    Some(
        classes.filter(|(_, cells)| is_touched(space.first_address(cells))).map(|(class, _)| class).collect(),
    )
}
