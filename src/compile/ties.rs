//! Addresses that stand for each other in packets of one flow, because something on the way rewrites them.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::balancers::{Balancers, Member, frontend_address};
use super::places::{Places, PublicOwner, frontend_places, within};
use crate::model::index::Reference;
use crate::model::network::Network;
use crate::model::prefix::Prefix;
use crate::model::services::ApplianceMode;

/// Which addresses are tied, each to one that stands for all.
#[derive(Debug, Default)]
pub struct Ties {
    tied: HashMap<IpAddr, IpAddr, FixedState>,
    /// Ranges whose packets leave under one address, with that address.
    leaving: Vec<(Prefix, IpAddr)>,
    /// Something on the way puts its own address in place of any sender's: all addresses are tied.
    all: bool,
}

/// What stands for all addresses.
const ALL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

impl Ties {
    /// Ties public addresses to the private ones behind them, and frontends to the members behind them.
    #[must_use]
    pub fn new(network: &Network, places: &Places, balancers: &Balancers) -> Self {
        let translates = network.appliances.iter().any(|appliance| appliance.mode == ApplianceMode::Snat);
        let linked =
            network.private_endpoints.iter().flat_map(|endpoint| &endpoint.connections).any(|connection| {
                let services = &network.private_link_services;
                services.iter().any(|service| connection.service.as_ref() == Some(&service.id))
            });
        let mut ties = Self { tied: HashMap::default(), leaving: Vec::new(), all: translates || linked };
        for public in network.public_ips.iter().filter_map(|public_ip| public_ip.address) {
            if let Some((_, PublicOwner::Nic(..))) = places.public(public) {
                ties.tie(public, places.private(network, public));
            }
        }
        for place in frontend_places(network) {
            let Some(frontend) = frontend_address(network, place.of(network)) else { continue };
            for member in balancers.rules(place).iter().flat_map(|rule| &rule.members) {
                if let Member::Nic(.., address) = member {
                    ties.tie(frontend, *address);
                }
            }
        }
        for by in balancers.ways_out() {
            let (member, source) = by;
            ties.tie(source, member);
        }
        ties.leave_by_gateways(network);
        // PERF: every packet asks twice, so that no chain is left to follow.
        let ends: Vec<_> = ties.tied.keys().map(|address| (*address, ties.end(*address))).collect();
        ties.tied.extend(ends);
        ties
    }

    /// What leaves by a NAT gateway with one address does so under it.
    fn leave_by_gateways(&mut self, network: &Network) {
        for subnet in &network.subnets {
            let Some(gateway) = subnet.nat_gateway.as_ref().and_then(Reference::here) else { continue };
            let [Reference::Here(only)] = network.nat_gateways[gateway.get()].public_ips.as_slice() else {
                continue;
            };
            let Some(address) = network.public_ips[only.get()].address else { continue };
            self.leaving.extend(subnet.prefixes.iter().map(|prefix| (*prefix, address)));
            let known: Vec<IpAddr> = self.tied.iter().flat_map(|(own, head)| [*own, *head]).collect();
            let inside = known.into_iter().filter(|own| within(&subnet.prefixes, *own));
            inside.for_each(|own| self.tie(address, own));
        }
    }

    fn tie(&mut self, one: IpAddr, other: IpAddr) {
        let (one, other) = (self.end(one), self.end(other));
        if one != other {
            self.tied.insert(other, one);
        }
    }

    fn end(&self, mut address: IpAddr) -> IpAddr {
        while let Some(next) = self.tied.get(&address) {
            address = *next;
        }
        address
    }

    /// Every address that is tied to another, and those to which they are.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.tied
            .iter()
            .flat_map(|(address, by)| [*address, *by])
            .chain(self.leaving.iter().map(|(_, by)| *by))
    }

    /// The address that stands for this one and all that are tied to it.
    #[must_use]
    pub fn representative(&self, address: IpAddr) -> IpAddr {
        if self.all {
            return ALL;
        }
        let known = |address: IpAddr| self.tied.get(&address).copied();
        let leaves = || self.leaving.iter().find(|(prefix, _)| prefix.contains(&address));
        known(address).or_else(|| leaves().map(|(_, by)| known(*by).unwrap_or(*by))).unwrap_or(address)
    }
}
