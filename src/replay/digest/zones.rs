//! Where the ends of flows lie: in which subnet, or outside.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::compile::network::CompiledNetwork;
use crate::compile::places::PublicOwner;
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::model::flow::Origin;
use crate::model::index::{NicIndex, SubnetIndex, VnetIndex};
use crate::simulate::ends::inside;

/// How many subnets are told apart unless it is said; beyond them their networks are, and beyond as many networks none are.
const MOST_TOLD_APART: usize = 256;

/// How many addresses are remembered: more are found anew.
const MOST_REMEMBERED: usize = 1 << 16;

/// Where an end of a flow lies.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Zone {
    /// In a subnet.
    Subnet(SubnetIndex),
    /// In a virtual network, where there are too many subnets to tell apart.
    Vnet(VnetIndex),
    /// In some virtual network, where there are too many of them.
    Network,
    /// At an interface whose subnet the inventory lacks.
    Stray,
    /// At a public address of the network that leads to no interface alone: a load balancer's, a NAT gateway's, a service's.
    PublicAddress,
    /// Behind a gateway.
    OnPremises,
    /// On the internet.
    Internet,
    /// The platform.
    Platform,
    /// Nowhere in particular: several networks hold the address, or none that is known.
    Elsewhere,
}

/// Where an address lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Located {
    /// Its zone.
    pub zone: Zone,
    /// The subnet, where that is one.
    pub subnet: Option<SubnetIndex>,
    /// The interface that has it, where that is one.
    pub nic: Option<NicIndex>,
}

/// Finds where addresses lie.
pub struct ZoneFinder {
    compiled: Arc<CompiledNetwork>,
    only: Option<VnetIndex>,
    most_told_apart: usize,
    known: HashMap<IpAddr, Vec<Origin>, FixedState>,
}

impl ZoneFinder {
    /// A finder in a network; in one of its virtual networks alone, where addresses are looked for in that.
    #[must_use]
    pub fn new(compiled: Arc<CompiledNetwork>, only: Option<VnetIndex>) -> Self {
        Self { compiled, only, most_told_apart: MOST_TOLD_APART, known: HashMap::default() }
    }

    /// The same, which tells so many subnets apart.
    #[must_use]
    pub fn telling_apart(self, most_told_apart: usize) -> Self {
        Self { most_told_apart, ..self }
    }

    /// Where a flow came from and where it went. An address that several networks hold is looked for in the other end's.
    pub fn ends(&mut self, source: IpAddr, destination: IpAddr) -> (Located, Located) {
        let (from, to) = (self.candidates(source), self.candidates(destination));
        let (near_from, near_to) = (self.beside(&from, &to), self.beside(&to, &from));
        (self.located(source, &near_from), self.located(destination, &near_to))
    }

    /// The zones of both, alike.
    pub fn zones(&mut self, source: IpAddr, destination: IpAddr) -> (Zone, Zone) {
        let (from, to) = self.ends(source, destination);
        (from.zone, to.zone)
    }

    /// Where an address lies.
    pub fn locate(&mut self, address: IpAddr) -> Located {
        let candidates = self.candidates(address);
        self.located(address, &candidates)
    }

    /// Interfaces and subnets that may have an address.
    fn candidates(&mut self, address: IpAddr) -> Vec<Origin> {
        if let Some(known) = self.known.get(&address) {
            return known.clone();
        }
        let mut found = inside(&self.compiled, address, self.only);
        if found.is_empty()
            && let Some((_, PublicOwner::Nic(nic, _))) = self.compiled.places.public(address)
        {
            found.push(Origin::Nic(nic));
        }
        if self.known.len() >= MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(address, found.clone());
        found
    }

    /// Those of the candidates that are in the network of the other end, where some are.
    fn beside(&self, candidates: &[Origin], other: &[Origin]) -> Vec<Origin> {
        let vnets: Vec<_> = other.iter().filter_map(|origin| self.vnet(*origin)).collect();
        let near = |origin: &&Origin| self.vnet(**origin).is_some_and(|vnet| vnets.contains(&vnet));
        let beside: Vec<Origin> = candidates.iter().filter(near).copied().collect();
        if beside.is_empty() { candidates.to_vec() } else { beside }
    }

    fn subnet(&self, origin: Origin) -> Option<SubnetIndex> {
        match origin {
            Origin::Nic(nic) => self.compiled.network.subnet_of(nic),
            Origin::Unlisted(subnet) => Some(subnet),
            Origin::Internet | Origin::OnPremises(_) | Origin::Platform => None,
        }
    }

    fn vnet(&self, origin: Origin) -> Option<VnetIndex> {
        Some(self.compiled.network.subnets[self.subnet(origin)?.get()].vnet)
    }

    fn located(&self, address: IpAddr, candidates: &[Origin]) -> Located {
        let nowhere = |zone| Located { zone, subnet: None, nic: None };
        let Some(first) = candidates.first() else { return nowhere(self.outside(address)) };
        let zone = self.zone(*first);
        if candidates.iter().any(|other| self.zone(*other) != zone) {
            return nowhere(Zone::Elsewhere);
        }
        let alone = candidates.len() == 1;
        let nic = match first {
            Origin::Nic(nic) => Some(*nic).filter(|_| alone),
            _ => None,
        };
        Located { zone, subnet: self.subnet(*first).filter(|_| alone), nic }
    }

    fn zone(&self, origin: Origin) -> Zone {
        let network = &self.compiled.network;
        let Some(subnet) = self.subnet(origin) else { return Zone::Stray };
        if network.subnets.len() <= self.most_told_apart {
            Zone::Subnet(subnet)
        } else if network.vnets.len() <= self.most_told_apart {
            Zone::Vnet(network.subnets[subnet.get()].vnet)
        } else {
            Zone::Network
        }
    }

    fn outside(&self, address: IpAddr) -> Zone {
        if self.compiled.places.public(address).is_some() {
            Zone::PublicAddress
        } else if fixed(PLATFORM).contains(&address) {
            Zone::Platform
        } else if self.compiled.behind_gateway.iter().any(|known| known.contains(address)) {
            Zone::OnPremises
        } else if self.compiled.internet.contains(address) {
            Zone::Internet
        } else {
            Zone::Elsewhere
        }
    }
}
