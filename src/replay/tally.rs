//! Counts of packets, bytes and flows by what decided about them.

use std::collections::BTreeMap;

use crate::model::flow::FiveTuple;
use crate::model::index::{
    LoadBalancerIndex, NatGatewayIndex, NicIndex, NsgIndex, PrivateEndpointIndex, PublicIpIndex,
    ServiceAccountIndex,
};
use crate::model::reason_code::ReasonCode;
use crate::model::record::Record;
use crate::model::recorded::RecordedFlow;
use crate::model::rule::{Direction, Protocol};
use crate::model::services::AdminRulePosition;
use crate::model::verdict::{
    BalancerFault, FirewallRule, PlatformService, Reason, RouteEnd, Verdict, VerdictKind,
};
use std::net::IpAddr;

/// What decided, whatever interface it decided at.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Decider {
    /// A rule of an NSG, by its position.
    Rule {
        /// The NSG.
        nsg: NsgIndex,
        /// Which list.
        direction: Direction,
        /// Position of the rule.
        rule: u32,
    },
    /// Nothing was asked.
    NoSecurityGroup,
    /// The record of a flow whose first packet was not counted with it.
    FlowState,
    /// The gate of a public address.
    PublicIpGate(PublicIpIndex),
    /// A route of type None.
    RouteNone,
    /// Nobody has the address.
    NoEndpoint,
    /// A public address that nobody uses.
    NoPublicIp,
    /// No gateway that leads there.
    NoGatewayTransit,
    /// A foreign address at an interface that does not forward.
    IpForwarding,
    /// No way out to the internet.
    OutboundConnectivity,
    /// What virtual networks do not carry.
    UnsupportedTraffic,
    /// A NAT gateway.
    NatGateway(NatGatewayIndex),
    /// An admin rule.
    AdminRule {
        /// Which way.
        direction: Direction,
        /// The rule.
        rule: AdminRulePosition,
    },
    /// The platform's exemption.
    PlatformRule(PlatformService),
    /// The state of a private endpoint's connection.
    PrivateEndpointState(PrivateEndpointIndex),
    /// A service endpoint policy, by the account that it does not name.
    ServiceEndpointPolicy(ServiceAccountIndex),
    /// The firewall of a service.
    ServiceFirewall(ServiceAccountIndex, FirewallRule),
    /// More hops than are followed.
    Loop,
    /// A load balancer that sends the packet to no backend.
    LoadBalancer(LoadBalancerIndex, BalancerFault),
    /// The backends of a load balancer, which disagree.
    Backends(LoadBalancerIndex),
    /// The machine behind an interface.
    Appliance(NicIndex),
    /// Nothing: it is undetermined.
    Open(ReasonCode),
}

impl From<&Verdict> for Decider {
    fn from(verdict: &Verdict) -> Self {
        let reason = match verdict {
            Verdict::Undetermined(unknown) => return Self::Open(unknown.code()),
            Verdict::Mixed(balancer) => return Self::Backends(*balancer),
            Verdict::Allow(reason) | Verdict::Deny(reason) => reason,
        };
        match *reason {
            Reason::SecurityRule(hit) => {
                Self::Rule { nsg: hit.nsg, direction: hit.direction, rule: hit.rule }
            }
            Reason::AdminRule(hit) => Self::AdminRule { direction: hit.direction, rule: hit.rule },
            Reason::PlatformRule { service, .. } => Self::PlatformRule(service),
            Reason::PrivateEndpointState { endpoint, .. } => Self::PrivateEndpointState(endpoint),
            Reason::ServiceEndpointPolicy(account) => Self::ServiceEndpointPolicy(account),
            Reason::ServiceFirewall { account, rule } => Self::ServiceFirewall(account, rule),
            Reason::NoSecurityGroup => Self::NoSecurityGroup,
            Reason::FlowState { .. } => Self::FlowState,
            Reason::PublicIpGate { public_ip, .. } => Self::PublicIpGate(public_ip),
            Reason::Route(RouteEnd::None { .. }) => Self::RouteNone,
            Reason::Route(RouteEnd::NoEndpoint) => Self::NoEndpoint,
            Reason::Route(RouteEnd::NoPublicIp) => Self::NoPublicIp,
            Reason::Route(RouteEnd::NoGatewayTransit { .. }) => Self::NoGatewayTransit,
            Reason::IpForwarding { .. } => Self::IpForwarding,
            Reason::OutboundConnectivity { .. } => Self::OutboundConnectivity,
            Reason::UnsupportedTraffic { .. } => Self::UnsupportedTraffic,
            Reason::Route(RouteEnd::Loop { .. }) => Self::Loop,
            Reason::NatGateway(gateway) => Self::NatGateway(gateway),
            Reason::LoadBalancer { balancer, fault } => Self::LoadBalancer(balancer, fault),
            Reason::Appliance(nic) => Self::Appliance(nic),
        }
    }
}

/// How much of something there was, and when.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Hits {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Flows: first packets, with their retransmissions.
    pub flows: u64,
    /// First and last time, in nanoseconds since 1970-01-01.
    pub span: Option<(u64, u64)>,
}

/// What one record adds to counts.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Packets: one, or as many as a record of a flow counted.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// When it was, in nanoseconds since 1970-01-01, where the record says so.
    pub time_ns: Option<u64>,
}

impl From<&Record> for Hit {
    #[inline]
    fn from(record: &Record) -> Self {
        Self { packets: 1, bytes: record.wire_bytes.into(), time_ns: record.time_ns }
    }
}

impl From<&RecordedFlow> for Hit {
    fn from(flow: &RecordedFlow) -> Self {
        Self { packets: flow.packets(), bytes: flow.bytes(), time_ns: flow.time_ns }
    }
}

impl Hits {
    /// Counts one record.
    #[inline]
    pub fn add(&mut self, hit: Hit, opens_flow: bool) {
        // What logs and tables say may be any number.
        self.packets = self.packets.saturating_add(hit.packets);
        self.bytes = self.bytes.saturating_add(hit.bytes);
        self.flows += u64::from(opens_flow);
        if let Some(time_ns) = hit.time_ns {
            widen(&mut self.span, (time_ns, time_ns));
        }
    }

    /// Adds other counts to these.
    pub fn merge(&mut self, other: &Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.flows += other.flows;
        if let Some(span) = other.span {
            widen(&mut self.span, span);
        }
    }
}

/// Makes a span of time hold another.
fn widen(span: &mut Option<(u64, u64)>, (first, last): (u64, u64)) {
    *span = Some(match *span {
        None => (first, last),
        Some((earliest, latest)) => (earliest.min(first), latest.max(last)),
    });
}

/// Denied packets that look alike but for their source port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeniedGroup {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Receiver's port.
    pub destination_port: Option<u16>,
    /// What denied them.
    pub decider: Decider,
}

impl DeniedGroup {
    /// The group of a denied packet.
    #[must_use]
    pub fn new(tuple: &FiveTuple, decider: Decider) -> Self {
        Self {
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            destination_port: tuple.destination_port.number(),
            decider,
        }
    }
}

/// How many groups of denied packets one shard tells apart.
pub(super) const MOST_GROUPS: usize = 1024;

/// Everything that is counted. Tallies add up in any order and grouping.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// By verdict.
    pub verdicts: BTreeMap<VerdictKind, Hits>,
    /// By what decided, and how.
    pub deciders: BTreeMap<(Decider, VerdictKind), Hits>,
    /// Denied packets by what they look like.
    pub denied: BTreeMap<DeniedGroup, Hits>,
    /// Denied packets beyond the groups that are told apart.
    pub denied_beyond: Hits,
    /// Over all records that carry a time, judged or not.
    pub span: Option<(u64, u64)>,
}

impl Tally {
    /// Notes when a record was, if it says so.
    pub fn see(&mut self, time_ns: Option<u64>) {
        if let Some(time_ns) = time_ns {
            widen(&mut self.span, (time_ns, time_ns));
        }
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: &Self) {
        for (kind, hits) in &other.verdicts {
            self.verdicts.entry(*kind).or_default().merge(hits);
        }
        for (decider, hits) in &other.deciders {
            self.deciders.entry(*decider).or_default().merge(hits);
        }
        for (group, hits) in &other.denied {
            self.denied.entry(*group).or_default().merge(hits);
        }
        self.denied_beyond.merge(&other.denied_beyond);
        if let Some(span) = other.span {
            widen(&mut self.span, span);
        }
    }
}
