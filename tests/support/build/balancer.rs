//! Load balancers, built in code.

use std::net::IpAddr;

use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{LoadBalancerIndex, NicIndex, PublicIpIndex, Reference, SubnetIndex};
use nsgsim::model::network::Network;
use nsgsim::model::prefix::PortRange;
use nsgsim::model::rule::Protocol;
use nsgsim::model::services::{
    BackendPool, Frontend, InboundNatRule, LoadBalancer, LoadBalancingRule, OutboundRule, Probe,
};

use super::{id, ip};

/// Adds load balancers to a network. Parts are named by their IDs.
pub(crate) trait Balance {
    fn balancer(&mut self, name: &str, standard: bool) -> LoadBalancerIndex;
    fn internal_frontend(&mut self, at: LoadBalancerIndex, subnet: SubnetIndex, address: &str) -> ResourceId;
    fn public_frontend(&mut self, at: LoadBalancerIndex, public_ip: PublicIpIndex) -> ResourceId;
    /// A pool of the first configurations of these interfaces, listed in the pool.
    fn pool(&mut self, at: LoadBalancerIndex, name: &str, nics: &[NicIndex]) -> ResourceId;
    /// A probe of this port.
    fn probe(&mut self, at: LoadBalancerIndex, port: u16) -> ResourceId;
    /// A load-balancing rule in short: `tcp 80 -> 8080`, `all 0 -> 0`. It gives no outbound translation.
    fn balance<'a>(
        &'a mut self,
        at: LoadBalancerIndex,
        frontend: &ResourceId,
        pool: &ResourceId,
        rule: &str,
    ) -> &'a mut LoadBalancingRule;
    /// An inbound NAT rule in short, without any target: `tcp 50001 -> 22`.
    fn nat_rule<'a>(
        &'a mut self,
        at: LoadBalancerIndex,
        frontend: &ResourceId,
        rule: &str,
    ) -> &'a mut InboundNatRule;
    fn outbound_rule(
        &mut self,
        at: LoadBalancerIndex,
        frontends: &[&ResourceId],
        pool: &ResourceId,
        protocol: Option<Protocol>,
    );
}

impl Balance for Network {
    fn balancer(&mut self, name: &str, standard: bool) -> LoadBalancerIndex {
        self.load_balancers.push(LoadBalancer {
            id: id("loadBalancers", name),
            standard,
            frontends: Vec::new(),
            pools: Vec::new(),
            rules: Vec::new(),
            probes: Vec::new(),
            nat_rules: Vec::new(),
            outbound_rules: Vec::new(),
        });
        LoadBalancerIndex::new(self.load_balancers.len() - 1)
    }

    fn internal_frontend(&mut self, at: LoadBalancerIndex, subnet: SubnetIndex, address: &str) -> ResourceId {
        frontend(self, at, None, Some(ip(address)), Some(Reference::Here(subnet)))
    }

    fn public_frontend(&mut self, at: LoadBalancerIndex, public_ip: PublicIpIndex) -> ResourceId {
        frontend(self, at, Some(Reference::Here(public_ip)), None, None)
    }

    fn pool(&mut self, at: LoadBalancerIndex, name: &str, nics: &[NicIndex]) -> ResourceId {
        let first = |nic: &NicIndex| self.nics[nic.get()].ip_configurations[0].id.clone();
        let ip_configurations = nics.iter().map(first).collect();
        let balancer = &mut self.load_balancers[at.get()];
        let id = balancer.id.child("backendAddressPools", name);
        balancer.pools.push(BackendPool { id: id.clone(), ip_configurations, addresses: Vec::new() });
        id
    }

    fn probe(&mut self, at: LoadBalancerIndex, port: u16) -> ResourceId {
        let balancer = &mut self.load_balancers[at.get()];
        let id = balancer.id.child("probes", &format!("p{port}"));
        balancer.probes.push(Probe { id: id.clone(), port });
        id
    }

    fn balance<'a>(
        &'a mut self,
        at: LoadBalancerIndex,
        frontend: &ResourceId,
        pool: &ResourceId,
        rule: &str,
    ) -> &'a mut LoadBalancingRule {
        let (protocol, frontend_port, backend_port) = read(rule);
        let rules = &mut self.load_balancers[at.get()].rules;
        rules.push(LoadBalancingRule {
            name: format!("rule-{}", rules.len()),
            frontend: Some(frontend.clone()),
            pools: vec![pool.clone()],
            protocol,
            frontend_port,
            backend_port,
            probe: None,
            floating_ip: false,
            disable_outbound_snat: true,
            idle_timeout_min: None,
        });
        rules.last_mut().expect("it was just made")
    }

    fn nat_rule<'a>(
        &'a mut self,
        at: LoadBalancerIndex,
        frontend: &ResourceId,
        rule: &str,
    ) -> &'a mut InboundNatRule {
        let (protocol, frontend_port, backend_port) = read(rule);
        let balancer = &mut self.load_balancers[at.get()];
        let id = balancer.id.child("inboundNatRules", &format!("nat-{}", balancer.nat_rules.len()));
        balancer.nat_rules.push(InboundNatRule {
            id,
            frontend: Some(frontend.clone()),
            protocol,
            frontend_ports: PortRange::new(frontend_port, frontend_port),
            backend_port,
            backend: None,
            pool: None,
            floating_ip: false,
            idle_timeout_min: None,
        });
        balancer.nat_rules.last_mut().expect("it was just made")
    }

    fn outbound_rule(
        &mut self,
        at: LoadBalancerIndex,
        frontends: &[&ResourceId],
        pool: &ResourceId,
        protocol: Option<Protocol>,
    ) {
        let rules = &mut self.load_balancers[at.get()].outbound_rules;
        rules.push(OutboundRule {
            name: format!("out-{}", rules.len()),
            frontends: frontends.iter().copied().cloned().collect(),
            pool: Some(pool.clone()),
            protocol,
            idle_timeout_min: None,
        });
    }
}

fn frontend(
    network: &mut Network,
    at: LoadBalancerIndex,
    public_ip: Option<Reference<PublicIpIndex>>,
    address: Option<IpAddr>,
    subnet: Option<Reference<SubnetIndex>>,
) -> ResourceId {
    let balancer = &mut network.load_balancers[at.get()];
    let id = balancer.id.child("frontendIPConfigurations", &format!("f{}", balancer.frontends.len()));
    balancer.frontends.push(Frontend { id: id.clone(), public_ip, address, subnet });
    id
}

fn read(rule: &str) -> (Option<Protocol>, u16, u16) {
    let words: Vec<&str> = rule.split_whitespace().collect();
    let [protocol, frontend_port, "->", backend_port] = words[..] else { panic!("`{rule}` is no rule") };
    let port = |text: &str| text.parse().expect("a port");
    let protocol = (protocol != "all").then(|| Protocol::read(protocol).expect("a protocol"));
    (protocol, port(frontend_port), port(backend_port))
}
