//! A network as its owner exported it: every resource that decides about packets, joined by typed indices.

use std::net::IpAddr;

use super::id::ResourceId;
use super::index::{
    AsgIndex, GatewayIndex, LoadBalancerIndex, NatGatewayIndex, NicIndex, NsgIndex, PrivateEndpointIndex,
    PublicIpIndex, Reference, RouteTableIndex, ServiceAccountIndex, SubnetIndex, VnetIndex,
};
use super::nsg::Nsg;
use super::observed::ObservedInternet;
use super::prefix::Prefix;
use super::routing::{Connection, Gateway, LocalGateway, NatGateway, RouteTable};
use super::services::{
    AdminRule, AdminRulePosition, Appliance, ApplicationGateway, BastionHost, Caller, EffectiveAdminRules,
    EndpointPolicy, LoadBalancer, ManagementGroup, NetworkManager, PrivateEndpoint, PrivateLinkService,
    ServiceAccount,
};
use super::subscription::{Subscription, SubscriptionKind};

/// Everything that the exports hold.
///
/// INVARIANT: each list is sorted by the resource's ID, so the order of the input files does not show; subnets
/// follow the order of their networks. Every index points into its list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    /// Virtual networks.
    pub vnets: Vec<Vnet>,
    /// Subnets of all virtual networks.
    pub subnets: Vec<Subnet>,
    /// Network interfaces, without those that Azure makes for private endpoints.
    pub nics: Vec<Nic>,
    /// Network security groups.
    pub nsgs: Vec<Nsg>,
    /// Application security groups: those exported, and those that some IP configuration names.
    pub asgs: Vec<Asg>,
    /// Public IP addresses.
    pub public_ips: Vec<PublicIp>,
    /// Route tables.
    pub route_tables: Vec<RouteTable>,
    /// NAT gateways.
    pub nat_gateways: Vec<NatGateway>,
    /// VPN and ExpressRoute gateways.
    pub gateways: Vec<Gateway>,
    /// The far ends of site-to-site connections.
    pub local_gateways: Vec<LocalGateway>,
    /// Connections of gateways.
    pub connections: Vec<Connection>,
    /// Load balancers.
    pub load_balancers: Vec<LoadBalancer>,
    /// Private endpoints.
    pub private_endpoints: Vec<PrivateEndpoint>,
    /// Private Link services.
    pub private_link_services: Vec<PrivateLinkService>,
    /// Bastion hosts.
    pub bastions: Vec<BastionHost>,
    /// Application Gateways.
    pub application_gateways: Vec<ApplicationGateway>,
    /// Service endpoint policies.
    pub endpoint_policies: Vec<EndpointPolicy>,
    /// Virtual network managers with their security admin configurations.
    pub network_managers: Vec<NetworkManager>,
    /// Admin rules that were exported per virtual network.
    pub effective_admin_rules: Vec<EffectiveAdminRules>,
    /// Management groups, for the depth of a manager's scope.
    pub management_groups: Vec<ManagementGroup>,
    /// Storage accounts, key vaults and SQL servers with firewalls of their own.
    pub service_accounts: Vec<ServiceAccount>,
    /// What the machines behind forwarding interfaces do, as the user stated it.
    pub appliances: Vec<Appliance>,
    /// Machines that are instances of a Flexible scale set, by their IDs, sorted: their interfaces have no default
    /// outbound access (TOP-7, OUT-2).
    pub flexible_machines: Vec<ResourceId>,
    /// Kinds of subscriptions, as an export tells them or the user stated them, sorted by ID. One that is not listed is
    /// of an unknown kind.
    pub subscriptions: Vec<Subscription>,
    /// Who calls services under an identity that their firewalls know, as the user stated it: interfaces in the order of
    /// their indices, then addresses.
    pub callers: Vec<Caller>,
    /// What `Internet` stands for by an export of effective rules, where one is among the exports (TAG-20).
    pub observed_internet: Option<ObservedInternet>,
}

/// A virtual network (JSON-4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vnet {
    /// Its ID.
    pub id: ResourceId,
    /// `westeurope`.
    pub location: Option<String>,
    /// Its address ranges, in the export's order.
    pub address_space: Vec<Prefix>,
    /// `flowTimeoutInMinutes`, where it is set (STATE-6).
    pub flow_timeout_min: Option<u32>,
    /// Its subnets, in the export's order.
    pub subnets: Vec<SubnetIndex>,
    /// Its own side of its peerings.
    pub peerings: Vec<Peering>,
}

/// A subnet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subnet {
    /// Its ID.
    pub id: ResourceId,
    /// The network it is part of.
    pub vnet: VnetIndex,
    /// Its ranges.
    pub prefixes: Vec<Prefix>,
    /// The NSG at every NIC of the subnet.
    pub nsg: Option<Reference<NsgIndex>>,
    /// User-defined routes.
    pub route_table: Option<Reference<RouteTableIndex>>,
    /// The NAT gateway that new outbound flows leave by (OUT-1).
    pub nat_gateway: Option<Reference<NatGatewayIndex>>,
    /// Service endpoints (SE-1).
    pub service_endpoints: Vec<ServiceEndpoint>,
    /// IDs of service endpoint policies (SEP-1).
    pub endpoint_policies: Vec<ResourceId>,
    /// `Microsoft.Web/serverFarms`.
    pub delegations: Vec<String>,
    /// `privateEndpointNetworkPolicies` (PE-2).
    pub private_endpoint_policies: PrivateEndpointPolicies,
    /// `privateLinkServiceNetworkPolicies` is on (PLS-2).
    pub private_link_service_policies: bool,
    /// `defaultOutboundAccess`; absent means true (OUT-2).
    pub default_outbound_access: bool,
}

/// A service endpoint of a subnet (SE-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceEndpoint {
    /// `Microsoft.Storage`.
    pub service: String,
    /// Regions; `*` stands for all.
    pub locations: Vec<String>,
}

/// Which policies act on the private endpoints of a subnet (PE-2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PrivateEndpointPolicies {
    /// None; also where the export says nothing.
    #[default]
    Disabled,
    /// NSGs and routes.
    Enabled,
    /// NSGs alone.
    NetworkSecurityGroupEnabled,
    /// Routes alone.
    RouteTableEnabled,
}

impl PrivateEndpointPolicies {
    /// Whether the NSG of the subnet is asked (PE-3).
    #[must_use]
    pub fn ask_nsg(self) -> bool {
        matches!(self, Self::Enabled | Self::NetworkSecurityGroupEnabled)
    }

    /// Whether user-defined routes may take a private endpoint's away (PE-7).
    #[must_use]
    pub fn follow_routes(self) -> bool {
        matches!(self, Self::Enabled | Self::RouteTableEnabled)
    }
}

/// One side of a peering.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peering {
    /// Its name.
    pub name: String,
    /// The network at the other end.
    pub remote: Reference<VnetIndex>,
    /// `Connected`, `Initiated`, `Disconnected` (PEER-1).
    pub state: PeeringState,
    /// The remote ranges that the peering has synchronised; absent: the remote network's own (PEER-7).
    pub remote_address_space: Option<Vec<Prefix>>,
    /// The remote ranges count as `VirtualNetwork` here (PEER-3).
    pub allow_virtual_network_access: bool,
    /// Without effect on verdicts, unless another is assumed (PEER-4).
    pub allow_forwarded_traffic: bool,
    /// The remote side may use this network's gateway.
    pub allow_gateway_transit: bool,
    /// This side uses the remote network's gateway.
    pub use_remote_gateways: bool,
}

/// The state of one side of a peering.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeeringState {
    /// Both sides are set up; the only state that carries traffic.
    Connected,
    /// The other side is not set up yet.
    Initiated,
    /// The other side is gone.
    Disconnected,
}

/// A network interface (JSON-5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nic {
    /// Its ID.
    pub id: ResourceId,
    /// Its addresses.
    pub ip_configurations: Vec<IpConfiguration>,
    /// The subnet of its IP configurations (TOP-4). `None` where no configuration names one.
    pub subnet: Option<Reference<SubnetIndex>>,
    /// Its own NSG.
    pub nsg: Option<Reference<NsgIndex>>,
    /// It forwards packets that are not its own (ROUTE-13).
    pub ip_forwarding: bool,
    /// The MAC address, where the export has one.
    pub mac: Option<[u8; 6]>,
    /// The machine that it belongs to.
    pub machine: Option<ResourceId>,
}

impl Nic {
    /// Whether the address is one of its own.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.ip_configurations.iter().any(|configuration| configuration.address == Some(address))
    }

    /// The position of its primary IP configuration: the first where none says that it is.
    #[must_use]
    pub fn primary(&self) -> usize {
        self.ip_configurations.iter().position(|configuration| configuration.primary).unwrap_or(0)
    }
}

/// One address of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IpConfiguration {
    /// Its ID.
    pub id: ResourceId,
    /// The private address; `None` while none is assigned.
    pub address: Option<IpAddr>,
    /// It is the interface's primary configuration.
    pub primary: bool,
    /// The public address that maps to it one to one (PIP-1).
    pub public_ip: Option<Reference<PublicIpIndex>>,
    /// The application security groups that this address is a member of (ASG-1).
    pub asgs: Vec<AsgIndex>,
    /// IDs of the backend pools it is in.
    pub backend_pools: Vec<ResourceId>,
    /// IDs of the inbound NAT rules that lead to it.
    pub inbound_nat_rules: Vec<ResourceId>,
}

/// An application security group. Its members are found on the IP configurations (ASG-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asg {
    /// Its ID.
    pub id: ResourceId,
}

/// The kind of a public address, which decides whether it is open without an NSG (PIP-2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublicIpSku {
    /// Open without an NSG.
    Basic,
    /// Closed without an NSG (EVAL-11).
    Standard,
}

/// A public IP address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicIp {
    /// Its ID.
    pub id: ResourceId,
    /// The address; `None` while none is assigned.
    pub address: Option<IpAddr>,
    /// Its SKU; `None` where the export does not say.
    pub sku: Option<PublicIpSku>,
    /// Who uses it: the ID of an IP configuration, a frontend or a gateway.
    pub user: Option<ResourceId>,
    /// Idle time of flows that came in through it, in minutes (STATE-15).
    pub idle_timeout_min: Option<u32>,
}

impl Network {
    /// The subnet of an interface, where the inventory holds it.
    #[must_use]
    pub fn subnet_of(&self, nic: NicIndex) -> Option<SubnetIndex> {
        self.nics[nic.get()].subnet.as_ref()?.here()
    }

    /// Looks an interface up by its full ID, or by its name if only one has it.
    #[must_use]
    pub fn find_nic(&self, text: &str) -> Vec<NicIndex> {
        find(&self.nics, text, |nic| &nic.id).into_iter().map(NicIndex::new).collect()
    }

    /// Looks a VPN or ExpressRoute gateway up by its full ID or by its name.
    #[must_use]
    pub fn find_gateway(&self, text: &str) -> Vec<GatewayIndex> {
        find(&self.gateways, text, |gateway| &gateway.id).into_iter().map(GatewayIndex::new).collect()
    }

    /// The kind of the subscription that a resource is in, where an export tells it or the user stated it (EVAL-13).
    #[must_use]
    pub fn subscription_kind(&self, resource: &ResourceId) -> Option<SubscriptionKind> {
        let id = resource.segment("subscriptions")?;
        let found = self.subscriptions.iter().find(|subscription| subscription.id.eq_ignore_ascii_case(id));
        found.map(|subscription| subscription.kind)
    }

    /// Looks a network security group up by its full ID or by its name.
    #[must_use]
    pub fn find_nsg(&self, text: &str) -> Vec<NsgIndex> {
        find(&self.nsgs, text, |nsg| &nsg.id).into_iter().map(NsgIndex::new).collect()
    }

    /// Looks a virtual network up by its full ID or by its name.
    #[must_use]
    pub fn find_vnet(&self, text: &str) -> Vec<VnetIndex> {
        find(&self.vnets, text, |vnet| &vnet.id).into_iter().map(VnetIndex::new).collect()
    }

    /// How an interface is named in results (SIM-8): its name, or its ID where another interface shares the name.
    #[must_use]
    pub fn nic_name(&self, nic: NicIndex) -> &str {
        shown(&self.nics, nic.get(), |nic| &nic.id)
    }

    /// How an NSG is named in results (SIM-8).
    #[must_use]
    pub fn nsg_name(&self, nsg: NsgIndex) -> &str {
        shown(&self.nsgs, nsg.get(), |nsg| &nsg.id)
    }

    /// How a subnet is named in results: its name, or its ID where another subnet shares the name.
    #[must_use]
    pub fn subnet_name(&self, subnet: SubnetIndex) -> &str {
        shown(&self.subnets, subnet.get(), |subnet| &subnet.id)
    }

    /// How a public address is named in results (SIM-8).
    #[must_use]
    pub fn public_ip_name(&self, public_ip: PublicIpIndex) -> &str {
        shown(&self.public_ips, public_ip.get(), |public_ip| &public_ip.id)
    }

    /// How a load balancer is named in results (SIM-8).
    #[must_use]
    pub fn load_balancer_name(&self, balancer: LoadBalancerIndex) -> &str {
        shown(&self.load_balancers, balancer.get(), |balancer| &balancer.id)
    }

    /// How a private endpoint is named in results (SIM-8).
    #[must_use]
    pub fn private_endpoint_name(&self, endpoint: PrivateEndpointIndex) -> &str {
        shown(&self.private_endpoints, endpoint.get(), |endpoint| &endpoint.id)
    }

    /// How a service account is named in results (SIM-8).
    #[must_use]
    pub fn service_account_name(&self, account: ServiceAccountIndex) -> &str {
        shown(&self.service_accounts, account.get(), |account| &account.id)
    }

    /// Looks a public address up by its full ID or by its name.
    #[must_use]
    pub fn find_public_ip(&self, text: &str) -> Vec<PublicIpIndex> {
        find(&self.public_ips, text, |public_ip| &public_ip.id).into_iter().map(PublicIpIndex::new).collect()
    }

    /// Looks a private endpoint up by its full ID or by its name.
    #[must_use]
    pub fn find_private_endpoint(&self, text: &str) -> Vec<PrivateEndpointIndex> {
        find(&self.private_endpoints, text, |endpoint| &endpoint.id)
            .into_iter()
            .map(PrivateEndpointIndex::new)
            .collect()
    }

    /// Looks a service account up by its full ID or by its name.
    #[must_use]
    pub fn find_service_account(&self, text: &str) -> Vec<ServiceAccountIndex> {
        find(&self.service_accounts, text, |account| &account.id)
            .into_iter()
            .map(ServiceAccountIndex::new)
            .collect()
    }

    /// The admin rule at a position.
    #[must_use]
    pub fn admin_rule(&self, position: AdminRulePosition) -> &AdminRule {
        match position {
            AdminRulePosition::Managed { manager, configuration, collection, rule } => {
                let configuration =
                    &self.network_managers[manager as usize].configurations[configuration as usize];
                &configuration.collections[collection as usize].rules[rule as usize]
            }
            AdminRulePosition::Effective { export, rule } => {
                &self.effective_admin_rules[export as usize].rules[rule as usize]
            }
        }
    }

    /// How the manager of an admin rule is named in results (SIM-8). An export of the rules in force on a network
    /// names it by their IDs alone.
    #[must_use]
    pub fn manager_name(&self, position: AdminRulePosition) -> &str {
        match position {
            AdminRulePosition::Managed { manager, .. } => {
                shown(&self.network_managers, manager as usize, |manager| &manager.id)
            }
            AdminRulePosition::Effective { export, rule } => {
                let manager = &self.effective_admin_rules[export as usize].managers[rule as usize];
                manager.as_ref().map_or("effective security admin rules", ResourceId::name)
            }
        }
    }
}

/// Positions of the resources whose ID is `text`, or else of those whose name it is.
fn find<T>(list: &[T], text: &str, id: impl Fn(&T) -> &ResourceId) -> Vec<usize> {
    let positions = |wanted: &dyn Fn(&ResourceId) -> bool| -> Vec<usize> {
        list.iter().enumerate().filter(|(_, item)| wanted(id(item))).map(|(position, _)| position).collect()
    };
    let exact = positions(&|id| id.as_str().eq_ignore_ascii_case(text));
    if exact.is_empty() { positions(&|id| id.name().eq_ignore_ascii_case(text)) } else { exact }
}

/// The name of the resource at `position`, or its whole ID where another of the list has the same name.
fn shown<T>(list: &[T], position: usize, id: impl Fn(&T) -> &ResourceId) -> &str {
    let own = id(&list[position]);
    let shared = list
        .iter()
        .enumerate()
        .any(|(other, item)| other != position && id(item).name().eq_ignore_ascii_case(own.name()));
    if shared { own.as_str() } else { own.name() }
}
