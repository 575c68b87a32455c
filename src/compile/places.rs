//! Who has an address: within a virtual network, or among the public addresses (TOP-4, TOP-5, PIP).

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::index::{
    LoadBalancerIndex, NatGatewayIndex, NicIndex, PrivateEndpointIndex, PublicIpIndex, Reference,
    SubnetIndex, VnetIndex,
};
use crate::model::network::Network;
use crate::model::prefix::Prefix;
use crate::model::services::{Frontend, LoadBalancer};

/// A frontend, by its load balancer and its position there.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FrontendPlace {
    /// The load balancer.
    pub balancer: LoadBalancerIndex,
    /// Position in [`LoadBalancer::frontends`].
    pub frontend: u32,
}

impl FrontendPlace {
    /// The frontend itself.
    #[must_use]
    pub fn of(self, network: &Network) -> &Frontend {
        &network.load_balancers[self.balancer.get()].frontends[self.frontend as usize]
    }
}

/// Who has an address inside a virtual network.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Owner {
    /// An IP configuration of an interface, by its position.
    Nic(NicIndex, u32),
    /// An internal frontend of a load balancer.
    LoadBalancer(FrontendPlace),
    /// A private endpoint.
    PrivateEndpoint(PrivateEndpointIndex),
    /// A NAT address of a Private Link service.
    PrivateLinkService,
}

/// Who has a public address of the inventory.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PublicOwner {
    /// An IP configuration of an interface, by its position (PIP-1).
    Nic(NicIndex, u32),
    /// A public frontend of a load balancer.
    LoadBalancer(FrontendPlace),
    /// A NAT gateway (PIP-4).
    NatGateway(NatGatewayIndex),
    /// Something else: a gateway, a firewall, a Bastion host, an interface that the inventory lacks.
    Service,
    /// Nobody (PIP-3).
    Nobody,
}

/// Who has which address.
#[derive(Debug, Default)]
pub struct Places {
    owners: HashMap<(VnetIndex, IpAddr), Owner, FixedState>,
    vnets_of: HashMap<IpAddr, Vec<VnetIndex>, FixedState>,
    stray: HashMap<IpAddr, Vec<NicIndex>, FixedState>,
    public: HashMap<IpAddr, (PublicIpIndex, PublicOwner), FixedState>,
}

impl Places {
    /// Finds every address of a network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let mut places = Self::default();
        for (position, nic) in network.nics.iter().enumerate() {
            let index = NicIndex::new(position);
            let vnet = network.subnet_of(index).map(|subnet| network.subnets[subnet.get()].vnet);
            for (place, configuration) in nic.ip_configurations.iter().enumerate() {
                let Some(address) = configuration.address else { continue };
                let place = u32::try_from(place).expect("an interface has fewer than 2^32 configurations");
                match vnet {
                    Some(vnet) => places.own(vnet, address, Owner::Nic(index, place)),
                    None => places.stray.entry(address).or_default().push(index),
                }
            }
        }
        let vnet_of = |subnet: &Option<Reference<SubnetIndex>>| {
            let subnet = subnet.as_ref().and_then(Reference::here)?;
            Some(network.subnets[subnet.get()].vnet)
        };
        for (position, balancer) in network.load_balancers.iter().enumerate() {
            for (place, frontend) in frontends(position, balancer) {
                if let (Some(address), Some(vnet)) = (frontend.address, vnet_of(&frontend.subnet)) {
                    places.own(vnet, address, Owner::LoadBalancer(place));
                }
            }
        }
        for (position, endpoint) in network.private_endpoints.iter().enumerate() {
            if let Some(vnet) = vnet_of(&endpoint.subnet) {
                for address in &endpoint.addresses {
                    places.own(vnet, *address, Owner::PrivateEndpoint(PrivateEndpointIndex::new(position)));
                }
            }
        }
        for service in &network.private_link_services {
            if let Some(vnet) = vnet_of(&service.subnet) {
                for address in &service.nat_addresses {
                    places.own(vnet, *address, Owner::PrivateLinkService);
                }
            }
        }
        places.find_public(network);
        places
    }

    /// The first owner of an address keeps it: an export in which two have it is reported where it is read.
    fn own(&mut self, vnet: VnetIndex, address: IpAddr, owner: Owner) {
        if self.owners.contains_key(&(vnet, address)) {
            return;
        }
        self.owners.insert((vnet, address), owner);
        self.vnets_of.entry(address).or_default().push(vnet);
    }

    fn find_public(&mut self, network: &Network) {
        let mut users: HashMap<PublicIpIndex, PublicOwner, FixedState> = HashMap::default();
        for (position, gateway) in network.nat_gateways.iter().enumerate() {
            for public_ip in gateway.public_ips.iter().filter_map(Reference::here) {
                users.insert(public_ip, PublicOwner::NatGateway(NatGatewayIndex::new(position)));
            }
        }
        for (position, balancer) in network.load_balancers.iter().enumerate() {
            for (place, frontend) in frontends(position, balancer) {
                if let Some(public_ip) = frontend.public_ip.as_ref().and_then(Reference::here) {
                    users.insert(public_ip, PublicOwner::LoadBalancer(place));
                }
            }
        }
        for (position, nic) in network.nics.iter().enumerate() {
            for (place, configuration) in nic.ip_configurations.iter().enumerate() {
                if let Some(public_ip) = configuration.public_ip.as_ref().and_then(Reference::here) {
                    let place =
                        u32::try_from(place).expect("an interface has fewer than 2^32 configurations");
                    users.insert(public_ip, PublicOwner::Nic(NicIndex::new(position), place));
                }
            }
        }
        let bastions = network.bastions.iter().filter_map(|bastion| bastion.public_ip.as_ref()?.here());
        for public_ip in bastions {
            users.entry(public_ip).or_insert(PublicOwner::Service);
        }
        for (position, public_ip) in network.public_ips.iter().enumerate() {
            let Some(address) = public_ip.address else { continue };
            let index = PublicIpIndex::new(position);
            let otherwise = if public_ip.user.is_some() { PublicOwner::Service } else { PublicOwner::Nobody };
            self.public.insert(address, (index, users.get(&index).copied().unwrap_or(otherwise)));
        }
    }

    /// Who has an address within a network (TOP-5).
    #[must_use]
    pub fn owner(&self, vnet: VnetIndex, address: IpAddr) -> Option<Owner> {
        self.owners.get(&(vnet, address)).copied()
    }

    /// The networks in which somebody has the address, in the order of their indices.
    #[must_use]
    pub fn vnets_of(&self, address: IpAddr) -> Vec<VnetIndex> {
        let mut vnets = self.vnets_of.get(&address).cloned().unwrap_or_default();
        vnets.sort_unstable();
        vnets
    }

    /// Interfaces with this address whose subnet the inventory lacks.
    #[must_use]
    pub fn stray(&self, address: IpAddr) -> &[NicIndex] {
        self.stray.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Who has a public address of the inventory.
    #[must_use]
    pub fn public(&self, address: IpAddr) -> Option<(PublicIpIndex, PublicOwner)> {
        self.public.get(&address).copied()
    }

    /// The private address behind a public one of an interface; any other address as it is.
    #[must_use]
    pub fn private(&self, network: &Network, address: IpAddr) -> IpAddr {
        match self.public(address) {
            Some((_, PublicOwner::Nic(nic, place))) => {
                network.nics[nic.get()].ip_configurations[place as usize].address.unwrap_or(address)
            }
            _ => address,
        }
    }

    /// Every address that somebody has.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.vnets_of.keys().chain(self.stray.keys()).chain(self.public.keys()).copied()
    }
}

/// The frontends of the load balancer at a position, with their places.
pub(super) fn frontends(
    position: usize,
    balancer: &LoadBalancer,
) -> impl Iterator<Item = (FrontendPlace, &Frontend)> {
    balancer.frontends.iter().enumerate().map(move |(frontend, resource)| {
        let frontend = u32::try_from(frontend).expect("a load balancer has fewer than 2^32 frontends");
        (FrontendPlace { balancer: LoadBalancerIndex::new(position), frontend }, resource)
    })
}

/// All frontends of a network's load balancers.
pub fn frontend_places(network: &Network) -> impl Iterator<Item = FrontendPlace> {
    let balancers = network.load_balancers.iter().enumerate();
    balancers.flat_map(|(position, balancer)| frontends(position, balancer)).map(|(place, _)| place)
}

/// Whether some range of the list holds the address.
#[must_use]
pub fn within(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(&address))
}
