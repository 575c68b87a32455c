//! Who stands behind the rules of a load balancer: IP configurations, from either side, and addresses (LB-4, LB-6).

use std::net::IpAddr;

use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{NicIndex, PublicIpIndex, Reference, VnetIndex};
use nsgsim::model::network::IpConfiguration;
use nsgsim::model::services::{Frontend, InboundNatRule, LoadBalancer};

use super::space::View;

/// An IP configuration by its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) nic: NicIndex,
    pub(crate) position: usize,
}

/// A member of a pool, or what a NAT rule leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Backend {
    /// A configuration of the inventory, with its address.
    Here(Configuration, IpAddr),
    /// One that the inventory does not have, or whose address it does not have: what is asked about, and the address
    /// where it is known.
    Missing(ResourceId, Option<IpAddr>),
}

impl Backend {
    pub(crate) fn nic(&self) -> Option<NicIndex> {
        match self {
            Self::Here(configuration, _) => Some(configuration.nic),
            Self::Missing(..) => None,
        }
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Here(_, address) => Some(*address),
            Self::Missing(_, address) => *address,
        }
    }
}

/// Where members that are given by address alone are looked for.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    Within(VnetIndex),
    /// Behind a public frontend: in whichever network.
    Anywhere,
    /// Behind a frontend whose network is not known.
    Nowhere,
}

impl<'a> View<'a> {
    pub(crate) fn configuration(&self, at: Configuration) -> &'a IpConfiguration {
        &self.network.nics[at.nic.get()].ip_configurations[at.position]
    }

    /// The configurations of this kind, in the order of the interfaces and of their lists.
    pub(crate) fn configurations(&self, wanted: impl Fn(&IpConfiguration) -> bool) -> Vec<Configuration> {
        let mut found = Vec::new();
        for (nic, at) in self.network.nics.iter().enumerate() {
            for (position, own) in at.ip_configurations.iter().enumerate() {
                if wanted(own) {
                    found.push(Configuration { nic: NicIndex::new(nic), position });
                }
            }
        }
        found
    }

    pub(crate) fn reach_of(&self, frontend: &Frontend) -> Reach {
        match (&frontend.public_ip, &frontend.subnet) {
            (Some(_), _) => Reach::Anywhere,
            (None, Some(Reference::Here(subnet))) => Reach::Within(self.vnet_of(*subnet)),
            (None, _) => Reach::Nowhere,
        }
    }

    /// The members of pools, one pool after the other, each member once.
    pub(crate) fn pool_members(
        &self,
        balancer: &LoadBalancer,
        pools: &[ResourceId],
        reach: Reach,
    ) -> Vec<Backend> {
        let mut members = Vec::new();
        for id in pools {
            let pool = balancer.pools.iter().find(|pool| pool.id == *id);
            for configuration in pool.iter().flat_map(|pool| &pool.ip_configurations) {
                members.push(self.backend(configuration));
            }
            let naming = self.configurations(|own| own.backend_pools.contains(id));
            members.extend(naming.into_iter().map(|at| self.backend_at(at)));
            for address in pool.iter().flat_map(|pool| &pool.addresses) {
                let owner = self.owner(*address, reach);
                let missing = || Backend::Missing(id.clone(), Some(*address));
                members.push(owner.map_or_else(missing, |at| self.backend_at(at)));
            }
        }
        once_each(members)
    }

    /// LB-4: what an inbound NAT rule leads to; nothing where it has no target.
    pub(crate) fn nat_targets(
        &self,
        balancer: &LoadBalancer,
        rule: &InboundNatRule,
        reach: Reach,
    ) -> Vec<Backend> {
        let mut targets: Vec<Backend> = rule.backend.iter().map(|id| self.backend(id)).collect();
        let naming = self.configurations(|own| own.inbound_nat_rules.contains(&rule.id));
        targets.extend(naming.into_iter().map(|at| self.backend_at(at)));
        let pools: Vec<ResourceId> = rule.pool.iter().cloned().collect();
        targets.extend(self.pool_members(balancer, &pools, reach));
        once_each(targets)
    }

    /// The configuration with this ID.
    fn backend(&self, id: &ResourceId) -> Backend {
        match self.configurations(|own| own.id == *id).first() {
            Some(at) => self.backend_at(*at),
            None => Backend::Missing(id.clone(), None),
        }
    }

    fn backend_at(&self, at: Configuration) -> Backend {
        let own = self.configuration(at);
        own.address
            .map_or_else(|| Backend::Missing(own.id.clone(), None), |address| Backend::Here(at, address))
    }

    /// Who has the address of a member.
    fn owner(&self, address: IpAddr, reach: Reach) -> Option<Configuration> {
        let vnet = |at: &Configuration| self.network.subnet_of(at.nic).map(|subnet| self.vnet_of(subnet));
        self.configurations(|own| own.address == Some(address)).into_iter().find(|at| match reach {
            Reach::Within(own) => vnet(at) == Some(own),
            Reach::Anywhere => vnet(at).is_some(),
            Reach::Nowhere => false,
        })
    }

    /// The public addresses of the frontends that lead to a configuration, by any rule.
    pub(crate) fn public_frontends_of(&self, at: Configuration) -> Vec<&'a Reference<PublicIpIndex>> {
        let mut found = Vec::new();
        for balancer in &self.network.load_balancers {
            for frontend in &balancer.frontends {
                if let Some(public_ip) = &frontend.public_ip
                    && self.leads_to(balancer, frontend, at, false)
                {
                    found.push(public_ip);
                }
            }
        }
        found
    }

    /// LB-5: the configurations of the interface stand behind a floating rule of the frontend with this address.
    pub(crate) fn floats_at(&self, nic: NicIndex, address: IpAddr) -> bool {
        let configurations = self.configurations(|_| true);
        let mut own = configurations.into_iter().filter(|at| at.nic == nic);
        own.any(|at| {
            self.network.load_balancers.iter().any(|balancer| {
                let mut frontends = balancer.frontends.iter();
                frontends.any(|frontend| {
                    self.frontend_address(frontend) == Some(address)
                        && self.leads_to(balancer, frontend, at, true)
                })
            })
        })
    }

    /// The address that clients call a frontend by.
    pub(crate) fn frontend_address(&self, frontend: &Frontend) -> Option<IpAddr> {
        match &frontend.public_ip {
            Some(public_ip) => self.network.public_ips[public_ip.here()?.get()].address,
            None => frontend.address,
        }
    }

    /// Whether a rule of the frontend leads to a configuration; if asked, floating rules alone count.
    fn leads_to(
        &self,
        balancer: &LoadBalancer,
        frontend: &Frontend,
        at: Configuration,
        floating_only: bool,
    ) -> bool {
        let reach = self.reach_of(frontend);
        let is_it = |backend: &Backend| matches!(backend, Backend::Here(other, _) if *other == at);
        let mut nat_rules = balancer.nat_rules.iter().filter(|rule| {
            rule.frontend.as_ref() == Some(&frontend.id) && (rule.floating_ip || !floating_only)
        });
        let mut rules = balancer.rules.iter().filter(|rule| {
            rule.frontend.as_ref() == Some(&frontend.id) && (rule.floating_ip || !floating_only)
        });
        nat_rules.any(|rule| self.nat_targets(balancer, rule, reach).iter().any(is_it))
            || rules.any(|rule| self.pool_members(balancer, &rule.pools, reach).iter().any(is_it))
    }
}

fn once_each(backends: Vec<Backend>) -> Vec<Backend> {
    let mut once: Vec<Backend> = Vec::new();
    for backend in backends {
        if !once.contains(&backend) {
            once.push(backend);
        }
    }
    once
}
