//! Where load balancers send what comes in at their frontends, and by which frontends their members leave (LB, OUT-1).

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::places::{FrontendPlace, Owner, Places, frontends};
use crate::model::flow::Port;
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, PublicIpIndex, Reference, VnetIndex};
use crate::model::network::Network;
use crate::model::prefix::PortRange;
use crate::model::rule::Protocol;
use crate::model::services::{Frontend, InboundNatRule, LoadBalancer, LoadBalancingRule};
use crate::model::verdict::Snat;

/// Idle time of translated flows where nothing else is set, in minutes (STATE-15).
pub const DEFAULT_IDLE_MIN: u32 = 4;

/// A load-balancing rule or an inbound NAT rule, as it serves one frontend.
#[derive(Clone, Debug)]
pub struct ServedRule {
    protocol: Option<Protocol>,
    /// Ports at the frontend; nothing: all of them (HA ports).
    ports: Option<PortRange>,
    /// Port at the member; nothing: the packet's own.
    pub member_port: Option<u16>,
    /// The destination address stays the frontend's (LB-5).
    pub floating_ip: bool,
    /// What asks members for their health (LB-7).
    pub probe: Probe,
    /// Where it sends packets.
    pub members: Vec<Member>,
    /// Idle time of the TCP flows that it translates, in minutes (STATE-15).
    pub idle_timeout_min: u32,
}

/// Whether a rule takes a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Takes {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// HA ports, and a protocol without ports: no clause says so.
    Unsaid,
}

/// What asks members for their health.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// Nothing: all are up.
    None,
    /// A probe, at this port.
    Port(u16),
    /// A probe that the inventory lacks.
    Missing(ResourceId),
}

/// A member of a backend pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Member {
    /// An IP configuration of an interface, by its position, and its address.
    Nic(NicIndex, u32, IpAddr),
    /// One that the inventory lacks: the ID of its IP configuration, or of the pool that gives its address, and that.
    Missing(ResourceId, Option<IpAddr>),
}

/// One way in which members of a pool leave to the internet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeavesBy {
    /// By which kind of rule.
    pub snat: Snat,
    /// The protocol that the rule carries; nothing: TCP and UDP.
    protocol: Option<Protocol>,
    /// The source after it, where it is known.
    pub source: Option<IpAddr>,
    /// Idle time of the flows that it translates, in minutes (STATE-15).
    pub idle_timeout_min: u32,
}

impl Member {
    /// Its address, where the inventory has it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Nic(.., address) => Some(*address),
            Self::Missing(_, address) => *address,
        }
    }
}

impl LeavesBy {
    /// Whether it carries packets of a protocol (OUT-3).
    #[must_use]
    pub fn carries(&self, protocol: Protocol) -> bool {
        protocol.has_ports() && self.protocol.is_none_or(|only| only == protocol)
    }
}

/// What load balancers do for one IP configuration.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Its address.
    pub address: Option<IpAddr>,
    /// How it leaves, the first that carries the packet's protocol.
    pub outbound: Vec<LeavesBy>,
    /// Public frontends that lead to it, by their public addresses.
    pub public: Vec<Reference<PublicIpIndex>>,
}

/// All load balancers of a network, resolved from both sides.
#[derive(Debug, Default)]
pub struct Balancers {
    rules: HashMap<FrontendPlace, Vec<ServedRule>, FixedState>,
    served: HashMap<(NicIndex, u32), Served, FixedState>,
    floating: HashSet<(NicIndex, IpAddr), FixedState>,
}

impl ServedRule {
    /// Whether the rule takes packets of this protocol to this port of the frontend (LB-1).
    #[must_use]
    pub fn takes(&self, protocol: Protocol, port: Port) -> Takes {
        let fits = self.protocol.is_none_or(|only| only == protocol);
        match self.ports {
            _ if !fits => Takes::No,
            None if protocol.has_ports() => Takes::Yes,
            None => Takes::Unsaid,
            Some(ports) if port.number().is_some_and(|port| protocol.has_ports() && ports.contains(port)) => {
                Takes::Yes
            }
            Some(_) => Takes::No,
        }
    }
}

impl Balancers {
    /// Resolves the load balancers of a network.
    #[must_use]
    pub fn new(network: &Network, places: &Places) -> Self {
        let mut balancers = Self::default();
        let members = Members::new(network, places);
        for (position, balancer) in network.load_balancers.iter().enumerate() {
            for (place, frontend) in frontends(position, balancer) {
                balancers.serve(network, &members, balancer, place, frontend);
            }
        }
        balancers.find_ways_out(network, &members);
        balancers
    }

    /// The rules at a frontend in the order in which they are tried (LB-1).
    #[must_use]
    pub fn rules(&self, place: FrontendPlace) -> &[ServedRule] {
        self.rules.get(&place).map_or(&[], Vec::as_slice)
    }

    /// What load balancers do for an IP configuration.
    #[must_use]
    pub fn served(&self, nic: NicIndex, place: u32) -> Option<&Served> {
        self.served.get(&(nic, place))
    }

    /// Whether an interface may send from the address of a frontend, as answers under floating IP do (LB-5).
    #[must_use]
    pub fn floats(&self, nic: NicIndex, address: IpAddr) -> bool {
        self.floating.contains(&(nic, address))
    }

    /// Members that leave to the internet, each with an address that it leaves under.
    pub fn ways_out(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.served
            .values()
            .flat_map(|served| served.outbound.iter().filter_map(|by| Some((served.address?, by.source?))))
    }

    fn serve(
        &mut self,
        network: &Network,
        members: &Members<'_>,
        balancer: &LoadBalancer,
        place: FrontendPlace,
        frontend: &Frontend,
    ) {
        let vnet = frontend.subnet.as_ref().and_then(Reference::here);
        let vnet = vnet.map(|subnet| network.subnets[subnet.get()].vnet);
        let here = |id: &Option<ResourceId>| id.as_ref() == Some(&frontend.id);
        let nat = balancer.nat_rules.iter().filter(|rule| here(&rule.frontend));
        let nat = nat.filter_map(|rule| translated(rule, members, balancer, vnet));
        let balanced = balancer.rules.iter().filter(|rule| here(&rule.frontend));
        let balanced = balanced.map(|rule| balanced_rule(rule, members, balancer, vnet));
        let mut rules: Vec<ServedRule> = nat.chain(balanced).collect();

        let address = frontend_address(network, frontend);
        if let Some(address) = address {
            // The families of addresses never meet (TOP-9).
            let fits =
                |member: &Member| member.address().is_none_or(|own| own.is_ipv4() == address.is_ipv4());
            rules.iter_mut().for_each(|rule| rule.members.retain(fits));
        }
        for rule in &rules {
            for member in &rule.members {
                let Member::Nic(nic, configuration, _) = *member else { continue };
                if let Some(address) = address.filter(|_| rule.floating_ip) {
                    self.floating.insert((nic, address));
                }
                if let Some(public) = &frontend.public_ip {
                    let public_ips = &mut self.served.entry((nic, configuration)).or_default().public;
                    if !public_ips.contains(public) {
                        public_ips.push(public.clone());
                    }
                }
            }
        }
        self.rules.insert(place, rules);
    }

    /// Outbound rules go first, then load-balancing rules on public frontends (OUT-1).
    fn find_ways_out(&mut self, network: &Network, members: &Members<'_>) {
        for balancer in &network.load_balancers {
            for rule in &balancer.outbound_rules {
                let address = |id: &ResourceId| {
                    let frontend = balancer.frontends.iter().find(|frontend| frontend.id == *id)?;
                    network.public_ips[frontend.public_ip.as_ref()?.here()?.get()].address
                };
                let first = rule.frontends.first().and_then(address);
                let source =
                    first.filter(|first| rule.frontends.iter().all(|id| address(id) == Some(*first)));
                let by = LeavesBy {
                    snat: Snat::LoadBalancerOutboundRule,
                    protocol: rule.protocol,
                    source,
                    idle_timeout_min: rule.idle_timeout_min.unwrap_or(DEFAULT_IDLE_MIN),
                };
                self.let_out(members.of_pools(rule.pool.as_slice(), balancer, None), by);
            }
        }
        for balancer in &network.load_balancers {
            for rule in balancer.rules.iter().filter(|rule| !rule.disable_outbound_snat) {
                let Some(frontend) =
                    balancer.frontends.iter().find(|frontend| Some(&frontend.id) == rule.frontend.as_ref())
                else {
                    continue;
                };
                if frontend.public_ip.is_none() {
                    continue;
                }
                let source = frontend_address(network, frontend);
                let by = LeavesBy {
                    snat: Snat::LoadBalancerRule,
                    protocol: rule.protocol,
                    source,
                    idle_timeout_min: rule.idle_timeout_min.unwrap_or(DEFAULT_IDLE_MIN),
                };
                self.let_out(members.of_pools(&rule.pools, balancer, None), by);
            }
        }
    }

    fn let_out(&mut self, members: Vec<Member>, by: LeavesBy) {
        for member in members {
            if let Member::Nic(nic, place, address) = member {
                let served = self.served.entry((nic, place)).or_default();
                served.address = Some(address);
                served.outbound.push(by);
            }
        }
    }
}

/// The address of a frontend, public or internal.
#[must_use]
pub fn frontend_address(network: &Network, frontend: &Frontend) -> Option<IpAddr> {
    match &frontend.public_ip {
        Some(public_ip) => network.public_ips[public_ip.here()?.get()].address,
        None => frontend.address,
    }
}

/// An inbound NAT rule (LB-4); nothing for one that leads nowhere.
fn translated(
    rule: &InboundNatRule,
    members: &Members<'_>,
    balancer: &LoadBalancer,
    vnet: Option<VnetIndex>,
) -> Option<ServedRule> {
    // Without ports it takes nothing.
    let ports = rule.frontend_ports?;
    let mut behind = match &rule.backend {
        Some(id) => vec![members.configuration(id)],
        None => members.by_nat_rule.get(&rule.id).cloned().unwrap_or_default(),
    };
    if behind.is_empty() {
        // Which port leads to which member is not exported: any may be the one.
        behind = members.of_pools(rule.pool.as_slice(), balancer, vnet);
    }
    (!behind.is_empty()).then_some(ServedRule {
        protocol: rule.protocol,
        ports: Some(ports),
        member_port: Some(rule.backend_port),
        floating_ip: rule.floating_ip,
        probe: Probe::None,
        members: behind,
        idle_timeout_min: rule.idle_timeout_min.unwrap_or(DEFAULT_IDLE_MIN),
    })
}

fn balanced_rule(
    rule: &LoadBalancingRule,
    members: &Members<'_>,
    balancer: &LoadBalancer,
    vnet: Option<VnetIndex>,
) -> ServedRule {
    let all_ports = rule.protocol.is_none() && rule.frontend_port == 0;
    let probe = match &rule.probe {
        None => Probe::None,
        Some(id) => match balancer.probes.iter().find(|probe| probe.id == *id) {
            Some(probe) => Probe::Port(probe.port),
            None => Probe::Missing(id.clone()),
        },
    };
    ServedRule {
        protocol: rule.protocol,
        ports: if all_ports { None } else { PortRange::new(rule.frontend_port, rule.frontend_port) },
        member_port: (rule.backend_port != 0).then_some(rule.backend_port),
        floating_ip: rule.floating_ip,
        probe,
        members: members.of_pools(&rule.pools, balancer, vnet),
        idle_timeout_min: rule.idle_timeout_min.unwrap_or(DEFAULT_IDLE_MIN),
    }
}

/// Who is in which pool, as both sides say it.
struct Members<'n> {
    places: &'n Places,
    configurations: HashMap<&'n ResourceId, Member, FixedState>,
    by_pool: HashMap<&'n ResourceId, Vec<Member>, FixedState>,
    by_nat_rule: HashMap<&'n ResourceId, Vec<Member>, FixedState>,
}

impl<'n> Members<'n> {
    fn new(network: &'n Network, places: &'n Places) -> Self {
        let mut members = Self {
            places,
            configurations: HashMap::default(),
            by_pool: HashMap::default(),
            by_nat_rule: HashMap::default(),
        };
        if network.load_balancers.is_empty() {
            return members;
        }
        for (position, nic) in network.nics.iter().enumerate() {
            for (place, configuration) in nic.ip_configurations.iter().enumerate() {
                let place = u32::try_from(place).expect("an interface has fewer than 2^32 configurations");
                let member = match configuration.address {
                    Some(address) => Member::Nic(NicIndex::new(position), place, address),
                    None => Member::Missing(configuration.id.clone(), None),
                };
                for pool in &configuration.backend_pools {
                    members.by_pool.entry(pool).or_default().push(member.clone());
                }
                for rule in &configuration.inbound_nat_rules {
                    members.by_nat_rule.entry(rule).or_default().push(member.clone());
                }
                members.configurations.insert(&configuration.id, member);
            }
        }
        members
    }

    fn configuration(&self, id: &ResourceId) -> Member {
        self.configurations.get(id).cloned().unwrap_or_else(|| Member::Missing(id.clone(), None))
    }

    /// The members of some pools, each once: `vnet` is where members given by address are looked for first.
    fn of_pools(
        &self,
        pools: &[ResourceId],
        balancer: &LoadBalancer,
        vnet: Option<VnetIndex>,
    ) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        let mut add = |member: Member| {
            if !members.contains(&member) {
                members.push(member);
            }
        };
        for id in pools {
            let pool = balancer.pools.iter().find(|pool| pool.id == *id);
            pool.into_iter()
                .flat_map(|pool| &pool.ip_configurations)
                .for_each(|id| add(self.configuration(id)));
            self.by_pool.get(id).into_iter().flatten().cloned().for_each(&mut add);
            let addresses = pool.into_iter().flat_map(|pool| &pool.addresses);
            let missing = |address: IpAddr| Member::Missing(id.clone(), Some(address));
            addresses.for_each(|address| add(self.at(*address, vnet).unwrap_or_else(|| missing(*address))));
        }
        members
    }

    fn at(&self, address: IpAddr, vnet: Option<VnetIndex>) -> Option<Member> {
        let vnets = vnet.map_or_else(|| self.places.vnets_of(address), |vnet| vec![vnet]);
        vnets.into_iter().find_map(|vnet| match self.places.owner(vnet, address) {
            Some(Owner::Nic(nic, place)) => Some(Member::Nic(nic, place, address)),
            _ => None,
        })
    }
}

/// The load balancers that an IP configuration names and the inventory lacks.
pub fn missing_balancer(network: &Network, nic: NicIndex, place: u32) -> Option<ResourceId> {
    let configuration = &network.nics[nic.get()].ip_configurations[place as usize];
    let balancers = configuration.backend_pools.iter().filter_map(|pool| pool.parent(1));
    let known = |id: &ResourceId| network.load_balancers.iter().any(|balancer| balancer.id == *id);
    balancers.into_iter().find(|id| !known(id))
}
