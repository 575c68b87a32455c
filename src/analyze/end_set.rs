//! Ends of packets as sets of addresses: machines, subnets, tags, prefixes.

use crate::compile::address_set::AddressSet;
use crate::compile::balancers::{Member, frontend_address};
use crate::compile::network::CompiledNetwork;
use crate::compile::places::{FrontendPlace, frontend_places};
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::model::index::{NicIndex, PrivateEndpointIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::prefix::host;

/// Where packets may come from, or go to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndSet {
    /// Those that send and receive.
    pub own: AddressSet,
    /// Those that only receive: private endpoints and load balancers.
    pub receiving: AddressSet,
    /// Load balancers elsewhere whose rules may send packets on to machines of the set.
    pub leading: AddressSet,
    /// The ranges of subnets that were named, whoever has their addresses.
    pub ranges: AddressSet,
}

impl EndSet {
    /// These addresses, whoever has them.
    #[must_use]
    pub fn of_addresses(addresses: AddressSet) -> Self {
        Self { own: addresses, ..Self::default() }
    }

    /// These interfaces. Packets from the internet to their private addresses stand for those to their public ones.
    #[must_use]
    pub fn of_nics(compiled: &CompiledNetwork, nics: &[NicIndex]) -> Self {
        let configurations = nics.iter().flat_map(|nic| &compiled.network.nics[nic.get()].ip_configurations);
        let own = configurations.filter_map(|configuration| configuration.address).map(host);
        let leads_there = |place: &FrontendPlace| {
            let rules = compiled.balancers.rules(*place).iter();
            rules.flat_map(|rule| &rule.members).any(|member| match member {
                Member::Nic(nic, ..) => nics.contains(nic),
                Member::Missing(..) => false,
            })
        };
        let frontends = frontend_places(&compiled.network).filter(leads_there);
        let frontends =
            frontends.filter_map(|place| frontend_address(&compiled.network, place.of(&compiled.network)));
        let leading = frontends.map(host).collect();
        Self { own: own.collect(), leading, ..Self::default() }
    }

    /// The machines, private endpoints and load balancers of a subnet. Addresses of it that nobody has are none of it.
    #[must_use]
    pub fn of_subnet(compiled: &CompiledNetwork, subnet: SubnetIndex) -> Self {
        let network = &compiled.network;
        let is_here = |reference: &Option<Reference<SubnetIndex>>| {
            reference.as_ref().and_then(Reference::here) == Some(subnet)
        };
        let nics: Vec<NicIndex> = (0..network.nics.len())
            .map(NicIndex::new)
            .filter(|nic| network.subnet_of(*nic) == Some(subnet))
            .collect();
        let machines = Self::of_nics(compiled, &nics);
        let endpoints = network.private_endpoints.iter().filter(|endpoint| is_here(&endpoint.subnet));
        let frontends = frontend_places(network).map(|place| place.of(network));
        let frontends = frontends.filter(|frontend| is_here(&frontend.subnet));
        let others = endpoints
            .flat_map(|endpoint| endpoint.addresses.iter().copied())
            .chain(frontends.filter_map(|frontend| frontend.address));
        let ranges = AddressSet::from_prefixes(network.subnets[subnet.get()].prefixes.iter().copied());
        Self { receiving: others.map(host).collect(), ranges, ..machines }
    }

    /// All that stands in a network's subnets.
    #[must_use]
    pub fn of_vnet(compiled: &CompiledNetwork, vnet: VnetIndex) -> Self {
        let subnets = compiled.network.vnets[vnet.get()].subnets.iter();
        subnets
            .map(|subnet| Self::of_subnet(compiled, *subnet))
            .fold(Self::default(), |all, one| all.and(&one))
    }

    /// A private endpoint.
    #[must_use]
    pub fn of_private_endpoint(compiled: &CompiledNetwork, endpoint: PrivateEndpointIndex) -> Self {
        let addresses = compiled.network.private_endpoints[endpoint.get()].addresses.iter();
        Self::of_receiving(addresses.copied().map(host).collect())
    }

    /// These addresses, which only receive.
    #[must_use]
    pub fn of_receiving(addresses: AddressSet) -> Self {
        Self { receiving: addresses, ..Self::default() }
    }

    /// The internet, without the addresses of this network and of the platform that lie in it.
    #[must_use]
    pub fn of_internet(compiled: &CompiledNetwork) -> Self {
        Self::of_strangers(compiled, &compiled.internet)
    }

    /// Some addresses, without those of this network and of the platform.
    #[must_use]
    pub fn of_strangers(compiled: &CompiledNetwork, addresses: &AddressSet) -> Self {
        let platform = AddressSet::from_prefixes([fixed(PLATFORM)]);
        let known = Self::of_everybody(compiled).own.union(&platform);
        Self::of_addresses(addresses.difference(&known))
    }

    /// Whoever has an address in this network, or a public one.
    #[must_use]
    pub fn of_everybody(compiled: &CompiledNetwork) -> Self {
        Self::of_addresses(compiled.places.addresses().map(host).collect())
    }

    /// Whoever has an address in this network, the internet, and what lies behind gateways.
    #[must_use]
    pub fn of_anybody(compiled: &CompiledNetwork) -> Self {
        Self::of_everybody(compiled).and(&Self::of_internet(compiled)).and(&Self::of_on_premises(compiled))
    }

    /// What lies behind gateways.
    #[must_use]
    pub fn of_on_premises(compiled: &CompiledNetwork) -> Self {
        let behind = compiled.behind_gateway.iter();
        Self::of_addresses(behind.fold(AddressSet::empty(), |all, one| all.union(one)))
    }

    /// Both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            own: self.own.union(&other.own),
            receiving: self.receiving.union(&other.receiving),
            leading: self.leading.union(&other.leading),
            ranges: self.ranges.union(&other.ranges),
        }
    }

    /// All addresses of the set.
    #[must_use]
    pub fn receivers(&self) -> AddressSet {
        self.own.union(&self.receiving)
    }

    /// Every address by which packets may reach the set.
    #[must_use]
    pub fn reached_by(&self) -> AddressSet {
        self.receivers().union(&self.leading)
    }
}
