//! What became of a packet, what settled it, and what was asked on the way.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::assumptions::Choice;
use super::flow::FiveTuple;
use super::index::{
    LoadBalancerIndex, NatGatewayIndex, NicIndex, NsgIndex, PrivateEndpointIndex, PublicIpIndex,
    RouteTableIndex, ServiceAccountIndex, SubnetIndex,
};
use super::prefix::Prefix;
use super::rule::{Access, Direction};
use super::services::{AdminAction, AdminRulePosition};
use super::tag::TagName;
use super::unknown::Unknown;

/// What became of a packet (SIM-1), with what settled it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[must_use]
pub enum Verdict {
    /// It reaches its destination, or leaves the simulated boundary in the normal way.
    Allow(Reason),
    /// Anything else.
    Deny(Reason),
    /// Behind this load balancer some backends get it and some do not, and which one is chosen nobody knows (LB-6).
    Mixed(LoadBalancerIndex),
    /// The answer hangs on something that the input does not hold.
    Undetermined(Unknown),
}

impl Verdict {
    /// The verdict without its reason.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Allow(_) => VerdictKind::Allow,
            Self::Deny(_) => VerdictKind::Deny,
            Self::Mixed(_) => VerdictKind::Mixed,
            Self::Undetermined(_) => VerdictKind::Undetermined,
        }
    }

    /// What settled it, where it is settled.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Allow(reason) | Self::Deny(reason) => Some(reason),
            Self::Mixed(_) | Self::Undetermined(_) => None,
        }
    }
}

/// A verdict without its reason.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictKind {
    /// [`Verdict::Allow`].
    Allow,
    /// [`Verdict::Deny`].
    Deny,
    /// [`Verdict::Mixed`].
    Mixed,
    /// [`Verdict::Undetermined`].
    Undetermined,
}

impl VerdictKind {
    /// Its word, as results have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Mixed => "mixed",
            Self::Undetermined => "undetermined",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where filters act (EVAL-1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Interface {
    /// An interface of the inventory.
    Nic(NicIndex),
    /// An interface in this subnet that the inventory does not list.
    Unlisted(SubnetIndex),
    /// A private endpoint (PE-3).
    Endpoint(PrivateEndpointIndex),
    /// The public front end of a service with a firewall of its own (SVC).
    Service(ServiceAccountIndex),
}

impl Interface {
    /// The interface, where the inventory lists it.
    #[must_use]
    pub fn nic(self) -> Option<NicIndex> {
        match self {
            Self::Nic(nic) => Some(nic),
            Self::Unlisted(_) | Self::Endpoint(_) | Self::Service(_) => None,
        }
    }
}

/// Which of an interface's filters an NSG is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Layer {
    /// The NSG of its subnet.
    SubnetNsg,
    /// Its own NSG.
    NicNsg,
}

/// A rule that decided at one layer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleHit {
    /// Where.
    pub interface: Interface,
    /// Which way the packet went.
    pub direction: Direction,
    /// Which layer.
    pub layer: Layer,
    /// The NSG.
    pub nsg: NsgIndex,
    /// Position of the rule in [`Nsg::rules`](super::nsg::Nsg::rules).
    pub rule: u32,
}

/// An admin rule that decided (ADM).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AdminHit {
    /// Where.
    pub interface: Interface,
    /// Which way the packet went.
    pub direction: Direction,
    /// The rule.
    pub rule: AdminRulePosition,
}

/// A service of the platform that is exempt from rules (PLAT-1 to PLAT-5).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum PlatformService {
    /// The host agent (PLAT-1).
    WireServer,
    /// Name resolution (PLAT-2).
    #[serde(rename = "AzurePlatformDNS")]
    Dns,
    /// The metadata service (PLAT-3).
    #[serde(rename = "AzurePlatformIMDS")]
    Imds,
    /// The licensing servers (PLAT-4).
    #[serde(rename = "AzurePlatformLKM")]
    Lkm,
    /// Addresses for guests (PLAT-5).
    Dhcp,
}

impl PlatformService {
    /// Its name in results (SIM-8).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WireServer => "WireServer",
            Self::Dns => TagName::AZURE_PLATFORM_DNS,
            Self::Imds => TagName::AZURE_PLATFORM_IMDS,
            Self::Lkm => TagName::AZURE_PLATFORM_LKM,
            Self::Dhcp => "Dhcp",
        }
    }
}

/// What in a service's own firewall decided (SVC-2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FirewallRule {
    /// Public network access is off.
    PublicNetworkAccess,
    /// The default action.
    DefaultAction,
    /// A subnet that may come in.
    VirtualNetworkRule,
    /// A public address that may come in.
    IpRule,
    /// A resource that may come in for what it is.
    ResourceInstance,
    /// A service of Azure that may come in for what it is.
    TrustedService,
}

impl FirewallRule {
    /// Its name in results (SIM-8).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PublicNetworkAccess => "publicNetworkAccess",
            Self::DefaultAction => "defaultAction",
            Self::VirtualNetworkRule => "virtualNetworkRule",
            Self::IpRule => "ipRule",
            Self::ResourceInstance => "resourceInstance",
            Self::TrustedService => "trustedService",
        }
    }
}

/// What settled a verdict (SIM-1, SIM-8).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// A rule of an NSG.
    SecurityRule(RuleHit),
    /// A rule of a virtual network manager.
    AdminRule(AdminHit),
    /// What the platform exempts from rules.
    PlatformRule {
        /// The service.
        service: PlatformService,
        /// Where.
        interface: Interface,
        /// Which way.
        direction: Direction,
    },
    /// Nothing was asked on the way.
    NoSecurityGroup,
    /// The record of an open flow.
    FlowState {
        /// Where.
        interface: Interface,
        /// Which way.
        direction: Direction,
    },
    /// A Standard public address in front of an interface without an NSG (EVAL-11).
    PublicIpGate {
        /// The address.
        public_ip: PublicIpIndex,
        /// The interface behind it.
        nic: NicIndex,
    },
    /// Routing.
    Route(RouteEnd),
    /// A foreign address at an interface that does not forward (ROUTE-13).
    IpForwarding {
        /// Where.
        nic: NicIndex,
        /// Which way.
        direction: Direction,
    },
    /// No way out to the internet (OUT-2).
    OutboundConnectivity {
        /// Where.
        interface: Interface,
    },
    /// What virtual networks do not carry (PLAT-9); fragments whose first was not seen (STATE-11).
    UnsupportedTraffic {
        /// Where.
        interface: Interface,
        /// Which way.
        direction: Direction,
    },
    /// A NAT gateway takes no new inbound flows (PIP-4).
    NatGateway(NatGatewayIndex),
    /// A load balancer that sends the packet to no backend.
    LoadBalancer {
        /// The load balancer.
        balancer: LoadBalancerIndex,
        /// Why.
        fault: BalancerFault,
    },
    /// The machine behind a forwarding interface drops what is not for it (ROUTE-15).
    Appliance(NicIndex),
    /// A private endpoint's connection that carries nothing (PE-8).
    PrivateEndpointState {
        /// The endpoint.
        endpoint: PrivateEndpointIndex,
        /// Position of the connection in its list.
        connection: u32,
    },
    /// A service endpoint policy that does not name the account (SEP-1).
    ServiceEndpointPolicy(ServiceAccountIndex),
    /// The firewall of a service.
    ServiceFirewall {
        /// The account.
        account: ServiceAccountIndex,
        /// What in it decided.
        rule: FirewallRule,
    },
}

/// Why a load balancer sends a packet to no backend.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum BalancerFault {
    /// No rule takes its protocol and port (LB-1).
    NoRule,
    /// No backend answers its probe (LB-7).
    NoHealthyBackend,
    /// A backend that calls its own frontend is chosen itself (LB-9).
    Hairpin,
    /// No NSG stands before the backend; only where internal load balancers are assumed to be closed then (EVAL-11).
    NoSecurityGroup,
}

impl BalancerFault {
    /// Its name in results (SIM-8).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRule => "noRule",
            Self::NoHealthyBackend => "noHealthyBackend",
            Self::Hairpin => "hairpin",
            Self::NoSecurityGroup => "noSecurityGroup",
        }
    }
}

/// A user-defined route by its place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserRoute {
    /// The table.
    pub table: RouteTableIndex,
    /// Position in [`RouteTable::routes`](super::routing::RouteTable::routes).
    pub route: u32,
}

/// How routing ended a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RouteEnd {
    /// A route of type None (ROUTE-11), or one to a next hop that takes no packets (ROUTE-12).
    None {
        /// The interface whose routes decided; nothing at a gateway (GW-2).
        interface: Option<Interface>,
        /// The route, where it is a user-defined one.
        user_route: Option<UserRoute>,
    },
    /// More hops than are followed (ROUTE-19).
    Loop {
        /// The interface whose routes would have led to one more; nothing at a gateway (GW-2).
        interface: Option<Interface>,
    },
    /// Nobody has the address (SIM-7).
    NoEndpoint,
    /// A public address that is on no interface or load balancer of the inventory (PIP-3).
    NoPublicIp,
    /// No gateway that leads there (PEER-5, GW-3).
    NoGatewayTransit {
        /// The interface whose routes decided, where one did.
        interface: Option<Interface>,
    },
}

/// A filter that was asked, in the order of asking (SIM-2, SIM-9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// Where.
    pub interface: Interface,
    /// Which way.
    pub direction: Direction,
    /// What answered.
    pub answer: StepAnswer,
    /// What it said.
    pub access: Access,
    /// The addresses that the filter saw (NSG-18).
    pub seen: FiveTuple,
}

/// What answered at a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StepAnswer {
    /// A rule.
    Rule(RuleHit),
    /// An admin rule, with what it says: `Allow` leaves it to the NSGs, `AlwaysAllow` passes them over (ADM-3).
    AdminRule(AdminHit, AdminAction),
    /// The platform's exemption.
    PlatformRule(PlatformService),
    /// The firewall of a service.
    ServiceFirewall(FirewallRule),
    /// The record of an open flow, in place of all rules of that interface and direction.
    FlowTable,
    /// The gate of a Standard public address; listed only when it denies.
    PublicIpGate(PublicIpIndex),
}

/// A route that an interface took (SIM-9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteStep {
    /// The interface that sent the packet on.
    pub interface: Interface,
    /// The route's prefix.
    pub prefix: Prefix,
    /// Where the route comes from.
    pub source: RouteSource,
    /// Where it leads.
    pub next_hop: NextHopKind,
    /// Address of the next hop, for an appliance.
    pub next_hop_address: Option<IpAddr>,
    /// Name of a user-defined route.
    pub name: Option<String>,
}

/// Where a route comes from (ROUTE-6).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteSource {
    /// The table of the subnet.
    User,
    /// A gateway: BGP or static.
    Gateway,
    /// Azure's own.
    System,
}

/// Where a route leads (ROUTE-10).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
pub enum NextHopKind {
    /// The network itself.
    VnetLocal,
    /// A peered network.
    #[serde(rename = "VNetPeering")]
    VnetPeering,
    /// A gateway.
    VirtualNetworkGateway,
    /// An appliance.
    VirtualAppliance,
    /// The internet.
    Internet,
    /// Dropped.
    None,
    /// A service endpoint.
    VirtualNetworkServiceEndpoint,
    /// A private endpoint.
    InterfaceEndpoint,
}

/// How addresses were rewritten on the way (SIM-10).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Translation {
    /// Destination address and port after inbound rewriting.
    pub destination: Option<(IpAddr, Option<u16>)>,
    /// Which mechanism rewrote the source.
    pub snat: Option<Snat>,
    /// The source after it; absent where Azure picks an unknown one.
    pub source: Option<IpAddr>,
}

/// What rewrites the source of packets to the internet (OUT-1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Snat {
    /// The subnet's NAT gateway.
    NatGateway,
    /// The interface's own public address.
    InstancePublicIp,
    /// An outbound rule of a load balancer (LB-11).
    LoadBalancerOutboundRule,
    /// A load-balancing or inbound NAT rule, by whose frontend the flow leaves or came in.
    LoadBalancerRule,
    /// Default outbound access (OUT-2).
    DefaultOutboundAccess,
}

/// A rule by its place in the network.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RulePlace {
    /// A rule of an NSG.
    Nsg {
        /// The NSG.
        nsg: NsgIndex,
        /// Position of the rule in [`Nsg::rules`](super::nsg::Nsg::rules).
        rule: u32,
    },
    /// An admin rule.
    Admin(AdminRulePosition),
}

/// Something that a reader of the verdict should know: a decision of ours, or a doubt that did not matter.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Note {
    /// Nobody in the inventory has the destination: denied by SIM-7.
    NoEndpoint {
        /// The address.
        address: IpAddr,
    },
    /// Something was unknown, and every answer to it gives the same verdict.
    DidNotMatter(Unknown),
    /// Under another choice that a clause leaves the verdict would be another (SIM-5).
    Decision {
        /// The other choice.
        choice: Choice,
        /// The verdict under it.
        verdict: VerdictKind,
    },
    /// The packet was seen behind a translation, and the interface has no public address of its own.
    NoPublicAddress {
        /// The interface.
        nic: NicIndex,
    },
    /// Nobody said what the machine behind an interface does with a packet that is not for it: it is taken to send it on
    /// unchanged, out of the same interface (ROUTE-15).
    TakenToForward {
        /// The interface.
        nic: NicIndex,
    },
}

/// A whole answer about one packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What became of it.
    pub verdict: Verdict,
    /// The filters that were asked, in order.
    pub steps: Vec<Step>,
    /// The routes that were taken, in order.
    pub routes: Vec<RouteStep>,
    /// How addresses were rewritten.
    pub translation: Translation,
    /// What a reader should know.
    pub notes: Vec<Note>,
    /// Replies take other interfaces than these in reverse, or get lost; nothing where that is not told: other protocols
    /// than TCP, packets that are not let through, ways that hang on something open, packets off the wire (ROUTE-20).
    pub asymmetric: Option<bool>,
    /// How the packet fares at each backend that a load balancer may choose, where there are several (LB-6). The steps
    /// and routes are those of the first whose verdict is the answer's.
    pub backends: Vec<BackendAnswer>,
}

impl Answer {
    /// A verdict of which nothing more is told.
    #[must_use]
    pub fn bare(verdict: Verdict) -> Self {
        Self {
            verdict,
            steps: Vec::new(),
            routes: Vec::new(),
            translation: Translation::default(),
            notes: Vec::new(),
            asymmetric: None,
            backends: Vec::new(),
        }
    }
}

/// How a packet fares at one backend of a load balancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackendAnswer {
    /// The load balancer.
    pub balancer: LoadBalancerIndex,
    /// Its interface; nothing where the inventory lacks it.
    pub nic: Option<NicIndex>,
    /// Its address, where the inventory has it.
    pub address: Option<IpAddr>,
    /// What became of it there.
    pub verdict: Verdict,
}
