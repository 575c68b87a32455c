//! Which addresses the topology tells apart, whatever rules say of them.
//!
//! Two addresses of one class have the same ways to and from every other address. A capture of a million senders on the
//! internet has about as many classes as the network has hosts and routes.

use std::borrow::Cow;

use get_size2::GetSize;

use super::address_set::AddressSet;
use super::cells::{Cell, Cells, Partition};
use super::places::Places;
use super::resolve::{IPV6_PROBES, LICENSING, METADATA};
use super::routes::SubnetRoutes;
use super::surroundings::{PLATFORM, fixed, internet_base, space_of_networks};
use super::ties::Ties;
use crate::model::network::Network;
use crate::model::prefix::{Prefix, host};

/// Addresses that the platform keeps for itself, in the order of their clauses (PLAT-1 to PLAT-4).
pub const PLATFORM_ADDRESSES: [&str; 5] = [PLATFORM, METADATA, LICENSING[0], LICENSING[1], LICENSING[2]];

/// Destinations that virtual networks never carry (PLAT-9).
const MULTICAST: [&str; 3] = ["224.0.0.0/4", "255.255.255.255/32", "ff00::/8"];

/// A class of addresses that nothing but rules tells apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopologyClass(pub u32);

/// What tells addresses apart besides rules.
pub(super) struct Topology<'c> {
    pub(super) network: &'c Network,
    pub(super) routes: &'c [SubnetRoutes],
    pub(super) places: &'c Places,
    pub(super) ties: &'c Ties,
    pub(super) internet: &'c AddressSet,
    pub(super) behind_gateway: &'c [AddressSet],
}

/// The class of each cell: no cell lies in two.
#[derive(Clone, Debug, GetSize)]
pub struct TopologyClasses {
    by_cell: Box<[u32]>,
    count: usize,
}

impl Topology<'_> {
    /// All sets of addresses that something else than a rule names.
    pub(super) fn sets(&self) -> Vec<Cow<'_, AddressSet>> {
        let Self { network, routes, places, ties, internet, behind_gateway } = *self;
        let mut sets = vec![Cow::Owned(internet_base())];
        let mut cut = |prefix: Prefix| sets.push(Cow::Owned(AddressSet::from_prefixes([prefix])));
        network.vnets.iter().flat_map(|vnet| &vnet.address_space).copied().for_each(&mut cut);
        let peerings = network.vnets.iter().flat_map(|vnet| &vnet.peerings);
        peerings
            .filter_map(|peering| peering.remote_address_space.as_ref())
            .flatten()
            .copied()
            .for_each(&mut cut);
        network.subnets.iter().flat_map(|subnet| &subnet.prefixes).copied().for_each(&mut cut);
        routes.iter().flat_map(|table| &table.routes).map(|route| route.prefix).for_each(&mut cut);
        places.addresses().chain(ties.addresses()).map(host).for_each(&mut cut);
        // An endpoint of which nobody knows where it is has no place.
        network
            .private_endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .copied()
            .map(host)
            .for_each(&mut cut);
        let platform = PLATFORM_ADDRESSES.iter().chain(&MULTICAST).chain(&[IPV6_PROBES]);
        platform.copied().map(fixed).for_each(&mut cut);
        sets.extend(
            routes.iter().flat_map(SubnetRoutes::prefixes_that_a_user_route_may_beat).map(Cow::Owned),
        );
        let endpoints = routes.iter().map(|table| &table.service_endpoints);
        let known = endpoints.clone().map(|field| &*field.known);
        let scopes = endpoints.flat_map(|field| field.doubts.iter().map(|doubt| &*doubt.scope));
        let named = known.chain(scopes).chain(behind_gateway).chain([internet, space_of_networks()]);
        sets.extend(named.map(Cow::Borrowed));
        sets
    }
}

impl TopologyClasses {
    /// The classes of cells that were built with these sets, and others.
    pub(super) fn new(cells: &Cells, sets: &[Cow<'_, AddressSet>]) -> Self {
        let classes = Partition::by(sets.iter().map(AsRef::as_ref));
        let class = |cell| classes.find(cells.first_address(Cell(cell))).0;
        let count = u32::try_from(cells.len()).expect("cells are numbered in 32 bits");
        Self { by_cell: (0..count).map(class).collect(), count: classes.count() }
    }

    /// The class that holds a cell.
    #[inline]
    #[must_use]
    pub fn of(&self, cell: Cell) -> TopologyClass {
        TopologyClass(self.by_cell[cell.0 as usize])
    }

    /// How many classes there are; their numbers run from 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}
