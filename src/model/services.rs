//! Load balancers, private endpoints, admin rules and the services' own firewalls.
//!
//! They are read whole. What `simulate` does not follow makes the verdicts that hang on it undetermined.

use std::net::IpAddr;

use serde::Serialize;

use super::id::ResourceId;
use super::index::{NicIndex, PublicIpIndex, Reference, SubnetIndex};
use super::prefix::{PortRange, Prefix};
use super::rule::{Access, Direction, Protocol};
use super::tag::TagName;

/// A load balancer (JSON-6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoadBalancer {
    /// Its ID.
    pub id: ResourceId,
    /// Its SKU is Standard.
    pub standard: bool,
    /// Its frontends.
    pub frontends: Vec<Frontend>,
    /// Its backend pools.
    pub pools: Vec<BackendPool>,
    /// Load-balancing rules.
    pub rules: Vec<LoadBalancingRule>,
    /// Probes.
    pub probes: Vec<Probe>,
    /// Inbound NAT rules.
    pub nat_rules: Vec<InboundNatRule>,
    /// Outbound rules (LB-11).
    pub outbound_rules: Vec<OutboundRule>,
}

/// A frontend of a load balancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frontend {
    /// Its ID.
    pub id: ResourceId,
    /// The public address of a public frontend.
    pub public_ip: Option<Reference<PublicIpIndex>>,
    /// The private address of an internal frontend.
    pub address: Option<IpAddr>,
    /// The subnet of an internal frontend.
    pub subnet: Option<Reference<SubnetIndex>>,
}

/// A backend pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendPool {
    /// Its ID.
    pub id: ResourceId,
    /// IDs of IP configurations in it.
    pub ip_configurations: Vec<ResourceId>,
    /// Members given by address.
    pub addresses: Vec<IpAddr>,
}

/// A load-balancing rule. `protocol` `None` is `All`; with port 0 it is HA ports (LB-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoadBalancingRule {
    /// Its name.
    pub name: String,
    /// ID of the frontend.
    pub frontend: Option<ResourceId>,
    /// IDs of the pools.
    pub pools: Vec<ResourceId>,
    /// Protocol; `None` for all.
    pub protocol: Option<Protocol>,
    /// Port at the frontend.
    pub frontend_port: u16,
    /// Port at the backend.
    pub backend_port: u16,
    /// ID of the probe.
    pub probe: Option<ResourceId>,
    /// The destination address stays the frontend's (LB-5).
    pub floating_ip: bool,
    /// The rule gives its pool no outbound translation (OUT-1).
    pub disable_outbound_snat: bool,
    /// Idle time in minutes (STATE-15).
    pub idle_timeout_min: Option<u32>,
}

/// A health probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// Its ID.
    pub id: ResourceId,
    /// The port it asks.
    pub port: u16,
}

/// An inbound NAT rule (LB-4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InboundNatRule {
    /// Its ID.
    pub id: ResourceId,
    /// ID of the frontend.
    pub frontend: Option<ResourceId>,
    /// Protocol; `None` for all.
    pub protocol: Option<Protocol>,
    /// Ports at the frontend.
    pub frontend_ports: Option<PortRange>,
    /// Port at the backend.
    pub backend_port: u16,
    /// ID of the one IP configuration behind it.
    pub backend: Option<ResourceId>,
    /// ID of the pool behind it.
    pub pool: Option<ResourceId>,
    /// The destination address stays the frontend's (LB-5).
    pub floating_ip: bool,
    /// Idle time in minutes (STATE-15).
    pub idle_timeout_min: Option<u32>,
}

/// An outbound rule (LB-11).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboundRule {
    /// Its name.
    pub name: String,
    /// IDs of frontends.
    pub frontends: Vec<ResourceId>,
    /// ID of the pool.
    pub pool: Option<ResourceId>,
    /// Protocol; `None` for all.
    pub protocol: Option<Protocol>,
    /// Idle time in minutes (STATE-15).
    pub idle_timeout_min: Option<u32>,
}

/// A private endpoint (PE-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrivateEndpoint {
    /// Its ID.
    pub id: ResourceId,
    /// The subnet that it stands in.
    pub subnet: Option<Reference<SubnetIndex>>,
    /// Its addresses: of its own static configurations, or of the NIC that Azure made for it.
    pub addresses: Vec<IpAddr>,
    /// Its connections.
    pub connections: Vec<PrivateLinkConnection>,
    /// IDs of application security groups.
    pub asgs: Vec<ResourceId>,
}

/// A connection of a private endpoint to a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrivateLinkConnection {
    /// ID of the service resource.
    pub service: Option<ResourceId>,
    /// `blob`, `vault`, `amlworkspace`.
    pub group_ids: Vec<String>,
    /// `Approved`, `Pending`, `Rejected`, `Disconnected` (PE-8).
    pub status: Option<String>,
}

/// A Private Link service (PLS-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrivateLinkService {
    /// Its ID.
    pub id: ResourceId,
    /// The addresses that consumers' packets are translated to.
    pub nat_addresses: Vec<IpAddr>,
    /// Subnet of the NAT addresses.
    pub subnet: Option<Reference<SubnetIndex>>,
    /// IDs of the load balancer frontends behind it.
    pub frontends: Vec<ResourceId>,
    /// IDs of the private endpoints that are connected.
    pub endpoints: Vec<ResourceId>,
}

/// A Bastion host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BastionHost {
    /// Its ID.
    pub id: ResourceId,
    /// Its subnet.
    pub subnet: Option<Reference<SubnetIndex>>,
    /// Its public address.
    pub public_ip: Option<Reference<PublicIpIndex>>,
}

/// An Application Gateway. What it does with requests is not simulated; its subnet has needs of its own (AGW-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApplicationGateway {
    /// Its ID.
    pub id: ResourceId,
    /// The subnets of its instances.
    pub subnets: Vec<Reference<SubnetIndex>>,
    /// Its generation; `None` where the export's SKU does not tell.
    pub generation: Option<GatewayGeneration>,
}

/// The generations of Application Gateways, which are managed through other ports (AGW-1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum GatewayGeneration {
    /// `Standard` and `WAF`.
    V1,
    /// `Standard_v2` and `WAF_v2`.
    V2,
}

/// A service endpoint policy (SEP-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointPolicy {
    /// Its ID.
    pub id: ResourceId,
    /// Service and the resources that may be reached through it.
    pub definitions: Vec<(String, Vec<String>)>,
}

/// A virtual network manager.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkManager {
    /// Its ID.
    pub id: ResourceId,
    /// Management groups of its scope.
    pub management_groups: Vec<ResourceId>,
    /// Subscriptions of its scope.
    pub subscriptions: Vec<ResourceId>,
    /// Network groups: ID and IDs of the members.
    pub groups: Vec<NetworkGroup>,
    /// Security admin configurations.
    pub configurations: Vec<AdminConfiguration>,
}

/// A group of virtual networks under one manager.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkGroup {
    /// Its ID.
    pub id: ResourceId,
    /// IDs of its members.
    pub members: Vec<ResourceId>,
}

/// A security admin configuration (ADM-6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminConfiguration {
    /// Its ID or name.
    pub id: String,
    /// It is in force; `None` where the export does not say.
    pub deployed: Option<bool>,
    /// `applyOnNetworkIntentPolicyBasedServices` (ADM-8), as it was written.
    pub on_intent_policy_services: Vec<String>,
    /// Its rule collections.
    pub collections: Vec<AdminCollection>,
}

/// A collection of admin rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminCollection {
    /// Its name.
    pub name: String,
    /// IDs of the network groups that it applies to.
    pub groups: Vec<ResourceId>,
    /// Its rules.
    pub rules: Vec<AdminRule>,
}

/// What an admin rule says (ADM-3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminAction {
    /// Go on with the NSGs.
    Allow,
    /// Delivered past the NIC; NSGs are not asked.
    AlwaysAllow,
    /// Dropped; NSGs are not asked.
    Deny,
}

impl AdminAction {
    /// Whether the packet may go on, to the NSGs or past them.
    #[must_use]
    pub fn access(self) -> Access {
        match self {
            Self::Allow | Self::AlwaysAllow => Access::Allow,
            Self::Deny => Access::Deny,
        }
    }
}

/// An admin rule (ADM-5). Empty lists match all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminRule {
    /// Its name.
    pub name: String,
    /// The lower number is tried first.
    pub priority: u32,
    /// Which way.
    pub direction: Direction,
    /// What it says.
    pub action: AdminAction,
    /// Protocol; `None` for any.
    pub protocol: Option<Protocol>,
    /// Sources.
    pub sources: Vec<AdminAddress>,
    /// Destinations.
    pub destinations: Vec<AdminAddress>,
    /// Source ports.
    pub source_ports: Vec<PortRange>,
    /// Destination ports.
    pub destination_ports: Vec<PortRange>,
}

/// An address of an admin rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AdminAddress {
    /// `*`.
    Any,
    /// A prefix.
    Prefix(Prefix),
    /// A service tag.
    Tag(TagName),
    /// A text that Azure does not take.
    Invalid(String),
}

/// Where an admin rule stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AdminRulePosition {
    /// In a configuration of a manager: positions in [`Network::network_managers`](super::network::Network::network_managers),
    /// and from list to list below it.
    Managed {
        /// The manager.
        manager: u32,
        /// Its configuration.
        configuration: u32,
        /// The configuration's collection.
        collection: u32,
        /// The collection's rule.
        rule: u32,
    },
    /// In an export of the rules in force on one network: positions in
    /// [`Network::effective_admin_rules`](super::network::Network::effective_admin_rules) and in its list.
    Effective {
        /// The export.
        export: u32,
        /// Its rule.
        rule: u32,
    },
}

/// The admin rules in force on one virtual network, as `list-effective-security-admin-rules` prints them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EffectiveAdminRules {
    /// ID of the virtual network; `None` where the export does not say.
    pub vnet: Option<ResourceId>,
    /// The rules.
    pub rules: Vec<AdminRule>,
    /// The manager of each, in the same order, where the export names it.
    pub managers: Vec<Option<ResourceId>>,
}

/// A management group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManagementGroup {
    /// Its ID.
    pub id: ResourceId,
    /// Its parent's ID; `None` at the root.
    pub parent: Option<ResourceId>,
}

/// Which service an account belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServiceKind {
    /// A storage account (SVC-2).
    Storage,
    /// A key vault (SVC-4).
    KeyVault,
    /// A SQL server (SVC-5).
    Sql,
}

/// A service resource with a firewall of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceAccount {
    /// Its ID.
    pub id: ResourceId,
    /// The service.
    pub kind: ServiceKind,
    /// `westeurope`.
    pub location: Option<String>,
    /// `publicNetworkAccess` is not `Disabled`.
    pub public_network_access: bool,
    /// `defaultAction` is `Allow`; `None` where no network rules are set.
    pub default_allow: Option<bool>,
    /// `bypass` holds `AzureServices`.
    pub bypass_azure_services: bool,
    /// First and last address of each IP rule.
    pub ip_rules: Vec<(IpAddr, IpAddr)>,
    /// IDs of subnets that may come in.
    pub subnets: Vec<ResourceId>,
    /// IDs of resource instances that may come in.
    pub instances: Vec<ResourceId>,
}

/// Someone whose requests the firewalls of services let in for what it is, not for where it comes from (SVC-2, SVC-4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Where its requests come from.
    pub end: CallerEnd,
    /// ID of the resource that it calls as: it meets the rules for this instance ([`ServiceAccount::instances`]).
    pub instance: Option<ResourceId>,
    /// It is one of the services that [`ServiceAccount::bypass_azure_services`] lets in.
    pub trusted_service: bool,
}

/// Where the requests of a [`Caller`] come from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CallerEnd {
    /// An interface of the inventory.
    Nic(NicIndex),
    /// Addresses outside of it.
    Addresses(Prefix),
}

/// What the machine behind an interface does with a packet that is not for it (ROUTE-15).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Appliance {
    /// The interface.
    pub nic: Reference<NicIndex>,
    /// What it does.
    pub mode: ApplianceMode,
    /// The interface that packets leave by, where it is another.
    pub egress: Option<Reference<NicIndex>>,
}

/// What an appliance does with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ApplianceMode {
    /// Sends it on unchanged.
    Forward,
    /// Sends it on from its own address.
    Snat,
    /// Drops it.
    Drop,
}
