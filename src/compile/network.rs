//! A network with every name resolved and every rule list compiled.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use get_size2::{GetSize, StandardTracker};

use super::address_set::AddressSet;
use super::admin::{self, AdminLayer, AdminList, ManagerLists};
use super::balancers::Balancers;
use super::cells::{Cell, Cells};
use super::classifier::{Key, Pools};
use super::peerings::{self, Learned};
use super::places::Places;
use super::policy::{Policy, RuleOwner};
use super::ports::PortSet;
use super::resolve::Resolver;
use super::routes::SubnetRoutes;
use super::surroundings::{self, Surroundings, internet_list};
use super::ties::Ties;
use super::topology::{Topology, TopologyClass, TopologyClasses};
use crate::model::assumptions::{Assumptions, EndpointAdminRules, IdleTime};
use crate::model::flow::FiveTuple;
use crate::model::id::ResourceId;
use crate::model::index::{GatewayIndex, NicIndex, NsgIndex, PrivateEndpointIndex, Reference, SubnetIndex};
use crate::model::network::{Network, Subnet};
use crate::model::rule::Direction;
use crate::model::tag::TagCatalog;
use crate::model::verdict::{Interface, Layer};

/// A filter of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LayerPolicy {
    /// Which one.
    pub layer: Layer,
    /// What it asks.
    pub policy: PolicyReference,
}

/// Where a filter's rules are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PolicyReference {
    /// Position in [`CompiledNetwork::policies`].
    Compiled(usize),
    /// The NSG is not in the inventory.
    Missing(ResourceId),
    /// The interface is not in the inventory, so whether it has an NSG is unknown.
    Unlisted,
    /// The interface's subnet is not in the inventory, so whether it has an NSG is unknown.
    MissingSubnet(ResourceId),
}

/// A network, ready to judge packets. It never changes; all threads share it.
#[derive(Debug)]
pub struct CompiledNetwork {
    /// What it was made of.
    pub network: Arc<Network>,
    /// The tags it was made with.
    pub tags: Arc<TagCatalog>,
    /// Address classes.
    pub cells: Cells,
    /// What topology tells apart of them.
    pub classes: TopologyClasses,
    /// The rule lists, each once.
    pub policies: Vec<Policy>,
    /// The lists of security admin configurations, each once.
    pub admin_policies: Vec<Policy>,
    /// Who has which address.
    pub places: Places,
    /// Where load balancers lead.
    pub balancers: Balancers,
    /// Which addresses stand for each other in one flow.
    pub ties: Ties,
    /// Routes of each subnet.
    pub routes: Vec<SubnetRoutes>,
    /// What each gateway is known to lead to.
    pub behind_gateway: Vec<AddressSet>,
    /// What it takes for true where a clause leaves a choice.
    pub assumptions: Assumptions,
    /// The list of `Internet` before connected space is taken out of it (TAG-20).
    pub internet: AddressSet,
    /// There are no tables: only [`Engine::Linear`](super::policy::Engine::Linear) answers, and addresses have no classes.
    pub linear_only: bool,
    /// Nobody having an address means that the export lacks its owner (`--partial-inventory`).
    pub partial_inventory: bool,
    nic_layers: Vec<[Vec<LayerPolicy>; 2]>,
    subnet_layers: Vec<[Vec<LayerPolicy>; 2]>,
    endpoint_layers: Vec<Vec<LayerPolicy>>,
    nic_admin: Vec<[AdminLayer; 2]>,
    subnet_admin: Vec<[AdminLayer; 2]>,
}

/// How to compile.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOptions {
    /// See [`CompiledNetwork::partial_inventory`].
    pub partial_inventory: bool,
    /// What is taken for true where a clause leaves a choice.
    pub assumptions: Assumptions,
    /// Leave the tables out, which take most of the time: for a few packets the linear engine answers as fast.
    pub linear_only: bool,
}

impl CompiledNetwork {
    /// Compiles a network.
    #[must_use]
    pub fn new(network: Arc<Network>, tags: Arc<TagCatalog>, options: CompileOptions) -> Self {
        let assumptions = options.assumptions;
        let internet = internet_list(&network, assumptions);
        let places = Places::new(&network);
        let balancers = Balancers::new(&network, &places);
        let ties = Ties::new(&network, &places, &balancers);
        let routes: Vec<_> = (0..network.subnets.len())
            .map(|position| SubnetRoutes::new(&network, &tags, assumptions, SubnetIndex::new(position)))
            .collect();
        let behind_gateway: Vec<_> = (0..network.gateways.len())
            .map(|position| {
                let known = peerings::known_to(&network, GatewayIndex::new(position));
                AddressSet::from_prefixes(known.into_iter().filter_map(|learned| match learned {
                    Learned::Prefix(prefix, _) => Some(prefix),
                    Learned::Unknown(_) => None,
                }))
            })
            .collect();

        let mut builder = PolicyBuilder::new(&network, &tags, assumptions, &internet);
        let subnet_layers: Vec<_> = (0..network.subnets.len())
            .map(|position| builder.subnet_layers(SubnetIndex::new(position)))
            .collect();
        let nic_layers: Vec<_> =
            (0..network.nics.len()).map(|position| builder.nic_layers(NicIndex::new(position))).collect();
        let endpoint_layers: Vec<_> = (0..network.private_endpoints.len())
            .map(|position| builder.endpoint_layers(PrivateEndpointIndex::new(position)))
            .collect();
        let subnet_admin: Vec<_> = (0..network.subnets.len())
            .map(|position| builder.subnet_admin(SubnetIndex::new(position)))
            .collect();
        let nic_admin: Vec<_> =
            (0..network.nics.len()).map(|position| builder.nic_admin(NicIndex::new(position))).collect();
        let (mut policies, mut admin_policies) = (builder.policies, builder.admin_policies);

        let (cells, classes) = if options.linear_only {
            let cells = Cells::build(std::iter::empty());
            let classes = TopologyClasses::new(&cells, &[]);
            (cells, classes)
        } else {
            let topology = Topology {
                network: &network,
                routes: &routes,
                places: &places,
                ties: &ties,
                internet: &internet,
                behind_gateway: &behind_gateway,
            };
            tables(&topology, &mut policies, &mut admin_policies)
        };
        Self {
            network,
            tags,
            cells,
            classes,
            policies,
            admin_policies,
            places,
            balancers,
            ties,
            routes,
            behind_gateway,
            assumptions,
            internet,
            linear_only: options.linear_only,
            partial_inventory: options.partial_inventory,
            nic_layers,
            subnet_layers,
            endpoint_layers,
            nic_admin,
            subnet_admin,
        }
    }

    /// The filters of an interface in the order in which they are asked (EVAL-2, EVAL-3).
    #[must_use]
    pub fn layers(&self, interface: Interface, direction: Direction) -> &[LayerPolicy] {
        let layers = match interface {
            Interface::Nic(nic) => &self.nic_layers[nic.get()],
            Interface::Unlisted(subnet) => &self.subnet_layers[subnet.get()],
            // Outbound rules have no meaning at a private endpoint (PE-3).
            Interface::Endpoint(endpoint) => match direction {
                Direction::Inbound => return &self.endpoint_layers[endpoint.get()],
                Direction::Outbound => return &[],
            },
            Interface::Service(_) => return &[],
        };
        &layers[slot(direction)]
    }

    /// The security admin rules in front of an interface's NSGs (ADM-2): none at private endpoints, unless it is assumed
    /// that those of their networks act there (ADM-10).
    #[must_use]
    pub fn admin(&self, interface: Interface, direction: Direction) -> &[ManagerLists] {
        let layers = match interface {
            Interface::Nic(nic) => &self.nic_admin[nic.get()],
            Interface::Unlisted(subnet) => &self.subnet_admin[subnet.get()],
            Interface::Endpoint(endpoint)
                if self.assumptions.adm_10 == EndpointAdminRules::EndpointToo
                    && direction == Direction::Inbound =>
            {
                let subnet = &self.network.private_endpoints[endpoint.get()].subnet;
                let Some(subnet) = subnet.as_ref().and_then(Reference::here) else { return &[] };
                &self.subnet_admin[subnet.get()]
            }
            Interface::Endpoint(_) | Interface::Service(_) => return &[],
        };
        &layers[slot(direction)].managers
    }

    /// How long a flow at this interface lives without a packet, in nanoseconds (STATE-6).
    #[must_use]
    pub fn idle_timeout_ns(&self, interface: Interface) -> u64 {
        let default_min = match self.assumptions.state_6 {
            IdleTime::FourMinutes => 4,
            IdleTime::ThirtyMinutes => 30,
        };
        let subnet = match interface {
            Interface::Nic(nic) => self.network.subnet_of(nic),
            Interface::Unlisted(subnet) => Some(subnet),
            Interface::Endpoint(endpoint) => {
                self.network.private_endpoints[endpoint.get()].subnet.as_ref().and_then(Reference::here)
            }
            Interface::Service(_) => None,
        };
        let vnet = subnet.map(|subnet| &self.network.vnets[self.network.subnets[subnet.get()].vnet.get()]);
        let minutes = vnet.and_then(|vnet| vnet.flow_timeout_min).unwrap_or(default_min);
        u64::from(minutes) * 60_000_000_000
    }

    /// The class of an address; without tables all addresses are of one.
    #[must_use]
    pub fn cell(&self, address: IpAddr) -> Cell {
        self.cells.find(address)
    }

    /// What tables look at in a packet; a port that is not given counts as none.
    #[must_use]
    pub fn key(&self, packet: &FiveTuple) -> Key {
        Key {
            source: self.cell(packet.source),
            destination: self.cell(packet.destination),
            source_port: packet.source_port.number().into(),
            destination_port: packet.destination_port.number().into(),
            protocol: packet.protocol,
        }
    }

    /// The class of an address as far as topology tells addresses apart.
    #[must_use]
    pub fn class(&self, address: IpAddr) -> TopologyClass {
        self.classes.of(self.cell(address))
    }

    /// All sets of addresses that something else than a rule of an NSG or an admin rule tells from others.
    #[must_use]
    pub fn sets_told_apart(&self) -> Vec<AddressSet> {
        let topology = Topology {
            network: &self.network,
            routes: &self.routes,
            places: &self.places,
            ties: &self.ties,
            internet: &self.internet,
            behind_gateway: &self.behind_gateway,
        };
        topology.sets().into_iter().map(Cow::into_owned).collect()
    }

    /// Memory of the compiled tables, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let mut counted = StandardTracker::new();
        let policies = self.policies.iter().chain(&self.admin_policies);
        policies
            .map(|policy| policy.memory_bytes(&mut counted))
            .chain([self.cells.get_heap_size(), self.classes.get_heap_size()])
            .sum()
    }
}

/// The address classes, and the tables of all policies, which are compiled with them.
fn tables(
    topology: &Topology<'_>,
    policies: &mut [Policy],
    admin_policies: &mut [Policy],
) -> (Cells, TopologyClasses) {
    // Whatever tells two addresses apart goes into the cells: what rules name, and what topology names.
    let entries: Vec<Vec<_>> =
        policies.iter().chain(&*admin_policies).map(|policy| policy.entries().collect()).collect();
    let named = topology.sets();
    let sets = entries.iter().flatten().flat_map(|(_, _, entry)| [&*entry.source, &*entry.destination]);
    let cells = Cells::build(sets.chain(named.iter().map(AsRef::as_ref)));
    let classes = TopologyClasses::new(&cells, &named);

    let mut pools = Pools::for_classifiers(entries.len());
    for (policy, entries) in policies.iter_mut().chain(admin_policies).zip(entries) {
        policy.compile(&cells, &mut pools, entries);
    }
    (cells, classes)
}

fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
    }
}

/// Makes each policy once, however many interfaces share it.
struct PolicyBuilder<'n> {
    network: &'n Network,
    tags: &'n TagCatalog,
    assumptions: Assumptions,
    internet: &'n AddressSet,
    resolver: Resolver<'n>,
    policies: Vec<Policy>,
    admin_policies: Vec<Policy>,
    /// By NSG, direction, surroundings, and whether it stands before a private endpoint.
    made: HashMap<(NsgIndex, Direction, usize, bool), usize>,
    admin_made: HashMap<(ResourceId, usize), [AdminLayer; 2]>,
    surroundings: Vec<Surroundings>,
    of_subnet: HashMap<SubnetIndex, usize>,
    of_missing: HashMap<ResourceId, usize>,
}

impl<'n> PolicyBuilder<'n> {
    fn new(
        network: &'n Network,
        tags: &'n TagCatalog,
        assumptions: Assumptions,
        internet: &'n AddressSet,
    ) -> Self {
        Self {
            network,
            tags,
            assumptions,
            internet,
            resolver: Resolver::new(network, tags, assumptions),
            policies: Vec::new(),
            admin_policies: Vec::new(),
            made: HashMap::new(),
            admin_made: HashMap::new(),
            surroundings: Vec::new(),
            of_subnet: HashMap::new(),
            of_missing: HashMap::new(),
        }
    }

    fn subnet_layers(&mut self, subnet: SubnetIndex) -> [Vec<LayerPolicy>; 2] {
        let nsg = enforced(&self.network.subnets[subnet.get()]).cloned();
        let around = self.around_subnet(subnet);
        [Direction::Inbound, Direction::Outbound].map(|direction| {
            let own = LayerPolicy { layer: Layer::NicNsg, policy: PolicyReference::Unlisted };
            let subnet = nsg.as_ref().map(|nsg| LayerPolicy {
                layer: Layer::SubnetNsg,
                policy: self.policy(nsg, direction, around),
            });
            ordered(direction, subnet, Some(own))
        })
    }

    fn nic_layers(&mut self, nic: NicIndex) -> [Vec<LayerPolicy>; 2] {
        let network = self.network;
        let nic = &network.nics[nic.get()];
        let around = match &nic.subnet {
            Some(Reference::Here(subnet)) => self.around_subnet(*subnet),
            Some(Reference::Missing(subnet)) => self.around_missing(subnet),
            None => self.around_missing(&nic.id),
        };
        [Direction::Inbound, Direction::Outbound].map(|direction| {
            let subnet = match &nic.subnet {
                Some(Reference::Here(subnet)) => {
                    enforced(&network.subnets[subnet.get()]).map(|nsg| self.policy(nsg, direction, around))
                }
                Some(Reference::Missing(subnet)) => Some(match attached(network, subnet) {
                    Some(nsg) => self.policy(&Reference::Here(nsg), direction, around),
                    None => PolicyReference::MissingSubnet(subnet.clone()),
                }),
                None => Some(PolicyReference::MissingSubnet(nic.id.clone())),
            };
            let subnet = subnet.map(|policy| LayerPolicy { layer: Layer::SubnetNsg, policy });
            let own = nic
                .nsg
                .as_ref()
                .map(|nsg| LayerPolicy { layer: Layer::NicNsg, policy: self.policy(nsg, direction, around) });
            ordered(direction, subnet, own)
        })
    }

    fn policy(&mut self, nsg: &Reference<NsgIndex>, direction: Direction, around: usize) -> PolicyReference {
        let nsg = match nsg {
            Reference::Here(nsg) => *nsg,
            Reference::Missing(id) => return PolicyReference::Missing(id.clone()),
        };
        PolicyReference::Compiled(self.compiled(nsg, direction, around, false))
    }

    fn compiled(&mut self, nsg: NsgIndex, direction: Direction, around: usize, at_endpoint: bool) -> usize {
        *self.made.entry((nsg, direction, around, at_endpoint)).or_insert_with(|| {
            let around = &self.surroundings[around];
            let mut rules = self.resolver.rules(nsg, direction, around);
            if at_endpoint {
                // The source port counts as any (PE-4).
                for clause in rules.iter_mut().flat_map(|rule| &mut rule.clauses) {
                    clause.source_ports.known = PortSet::all();
                    clause.source_ports.doubt = None;
                }
            }
            let public = Arc::clone(&around.outside);
            self.policies.push(Policy::new(RuleOwner::Nsg(nsg), direction, rules, public));
            self.policies.len() - 1
        })
    }

    /// The NSG before a private endpoint: that of its subnet, inbound, if the subnet's policies say so (PE-2, PE-3).
    fn endpoint_layers(&mut self, endpoint: PrivateEndpointIndex) -> Vec<LayerPolicy> {
        let network = self.network;
        let endpoint = &network.private_endpoints[endpoint.get()];
        let Some(subnet) = endpoint.subnet.as_ref().and_then(Reference::here) else { return Vec::new() };
        let at = &network.subnets[subnet.get()];
        if !at.private_endpoint_policies.ask_nsg() {
            return Vec::new();
        }
        let around = self.around_subnet(subnet);
        let policy = match enforced(at) {
            None => return Vec::new(),
            Some(Reference::Missing(nsg)) => PolicyReference::Missing(nsg.clone()),
            Some(Reference::Here(nsg)) => {
                PolicyReference::Compiled(self.compiled(*nsg, Direction::Inbound, around, true))
            }
        };
        vec![LayerPolicy { layer: Layer::SubnetNsg, policy }]
    }

    fn subnet_admin(&mut self, subnet: SubnetIndex) -> [AdminLayer; 2] {
        if admin::is_skipped(self.network, subnet) {
            return Default::default();
        }
        let around = self.around_subnet(subnet);
        let vnet = admin::vnet_of(self.network, &Reference::Here(subnet));
        self.admin(vnet, around)
    }

    fn nic_admin(&mut self, nic: NicIndex) -> [AdminLayer; 2] {
        match &self.network.nics[nic.get()].subnet {
            Some(Reference::Here(subnet)) => self.subnet_admin(*subnet),
            Some(missing @ Reference::Missing(subnet)) => {
                let around = self.around_missing(subnet);
                self.admin(admin::vnet_of(self.network, missing), around)
            }
            None => Default::default(),
        }
    }

    fn admin(&mut self, vnet: Option<ResourceId>, around: usize) -> [AdminLayer; 2] {
        let Some(vnet) = vnet else { return Default::default() };
        if let Some(made) = self.admin_made.get(&(vnet.clone(), around)) {
            return made.clone();
        }
        let made = [Direction::Inbound, Direction::Outbound].map(|direction| {
            let written = admin::of_vnet(self.network, &vnet, direction);
            let managers = written.into_iter().map(|manager| {
                let lists = manager.lists.into_iter().map(|list| {
                    let around = &self.surroundings[around];
                    let rules = self.resolver.admin_rules(&list.rules, around);
                    let public = Arc::clone(&around.outside);
                    let owner = RuleOwner::Admin(list.rules);
                    self.admin_policies.push(Policy::new(owner, direction, rules, public));
                    AdminList { only_if: list.only_if, policy: self.admin_policies.len() - 1 }
                });
                ManagerLists { lists: lists.collect(), manager: manager.manager }
            });
            AdminLayer { managers: managers.collect() }
        });
        self.admin_made.insert((vnet, around), made.clone());
        made
    }

    /// Subnets with equal surroundings share them, and so the policies made for them.
    fn around_subnet(&mut self, subnet: SubnetIndex) -> usize {
        if let Some(known) = self.of_subnet.get(&subnet) {
            return *known;
        }
        let around =
            surroundings::of_subnet(self.network, self.tags, self.assumptions, self.internet, subnet);
        let shared = self.surroundings.iter().position(|other| {
            around.is_certain()
                && other.is_certain()
                && other.reach == around.reach
                && other.virtual_network.known == around.virtual_network.known
                && other.internet.known == around.internet.known
        });
        let position = shared.unwrap_or_else(|| {
            self.surroundings.push(around);
            self.surroundings.len() - 1
        });
        self.of_subnet.insert(subnet, position);
        position
    }

    fn around_missing(&mut self, subnet: &ResourceId) -> usize {
        *self.of_missing.entry(subnet.clone()).or_insert_with(|| {
            self.surroundings.push(surroundings::of_missing_subnet(self.internet, subnet));
            self.surroundings.len() - 1
        })
    }
}

/// The NSG that says of itself that a subnet holds it, for a subnet that the inventory lacks (JSON-3).
fn attached(network: &Network, subnet: &ResourceId) -> Option<NsgIndex> {
    network.nsgs.iter().position(|nsg| nsg.attached_subnets.contains(subnet)).map(NsgIndex::new)
}

/// The NSG of a subnet, where Azure enforces one: not on the subnets of gateways (GW-1) and Azure Firewall (FW-1).
fn enforced(subnet: &Subnet) -> Option<&Reference<NsgIndex>> {
    const NOT_ENFORCED: [&str; 2] = ["GatewaySubnet", "AzureFirewallSubnet"];
    let name = subnet.id.name();
    subnet.nsg.as_ref().filter(|_| !NOT_ENFORCED.iter().any(|special| special.eq_ignore_ascii_case(name)))
}

/// Inbound the subnet's NSG is asked first (EVAL-2), outbound the interface's own (EVAL-3).
fn ordered(direction: Direction, subnet: Option<LayerPolicy>, own: Option<LayerPolicy>) -> Vec<LayerPolicy> {
    let (first, second) = match direction {
        Direction::Inbound => (subnet, own),
        Direction::Outbound => (own, subnet),
    };
    first.into_iter().chain(second).collect()
}
