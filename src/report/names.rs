//! How resources, rules and reasons are called.

use std::net::IpAddr;

use serde::Serialize;

use crate::model::flow::{FiveTuple, Port};
use crate::model::flow_log::RuleKind;
use crate::model::index::Reference;
use crate::model::network::Network;
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, ProtocolMatch, Rule};
use crate::model::services::AdminAction;
use crate::model::unknown::{Feature, Unknown};
use crate::model::verdict::{
    Interface, Layer, Note, Reason, RouteEnd, RuleHit, RulePlace, UserRoute, Verdict,
};
use crate::replay::tally::Decider;

/// A rule's fields as they were written.
#[derive(Clone, Debug, Serialize)]
pub struct FieldsJson {
    /// Protocol.
    pub protocol: String,
    /// Source addresses.
    pub source: String,
    /// Source ports.
    pub source_port: String,
    /// Destination addresses.
    pub destination: String,
    /// Destination ports.
    pub destination_port: String,
}

/// What settled a verdict.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReasonJson {
    /// One of the kinds of SIM-1.
    pub kind: &'static str,
    /// The interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nic: Option<String>,
    /// Which way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Which of the interface's filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// The NSG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nsg: Option<String>,
    /// The rule, or how routing ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The rule's priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The public address, NAT gateway, network manager, private endpoint, account or service of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Names things of one network.
#[derive(Clone, Copy)]
pub struct Names<'n> {
    /// The network.
    pub network: &'n Network,
}

impl<'n> Names<'n> {
    /// The rule of a hit.
    #[must_use]
    pub fn rule(self, hit: &RuleHit) -> &'n Rule {
        &self.network.nsgs[hit.nsg.get()].rules[hit.rule as usize]
    }

    /// An interface: its name, or the subnet of one that is not listed.
    #[must_use]
    pub fn interface(self, interface: Interface) -> String {
        match interface {
            Interface::Nic(nic) => self.network.nic_name(nic).to_owned(),
            Interface::Unlisted(subnet) => {
                format!("(unlisted, in {})", self.network.subnet_name(subnet))
            }
            Interface::Endpoint(endpoint) => self.network.private_endpoint_name(endpoint).to_owned(),
            Interface::Service(account) => self.network.service_account_name(account).to_owned(),
        }
    }

    /// Where a filter stands: `nic web-1`, `subnet db`.
    #[must_use]
    pub fn filter(self, layer: Layer, interface: Interface) -> String {
        match (layer, interface) {
            (Layer::NicNsg, interface) => format!("nic {}", self.interface(interface)),
            (Layer::SubnetNsg, Interface::Unlisted(subnet)) => {
                format!("subnet {}", self.network.subnet_name(subnet))
            }
            (Layer::SubnetNsg, Interface::Nic(nic)) => match self.network.subnet_of(nic) {
                Some(subnet) => format!("subnet {}", self.network.subnet_name(subnet)),
                None => format!("subnet of {}", self.network.nic_name(nic)),
            },
            (Layer::SubnetNsg, Interface::Endpoint(_) | Interface::Service(_)) => {
                format!("private endpoint {}", self.interface(interface))
            }
        }
    }

    /// A reason as JSON has it.
    #[must_use]
    pub fn reason(self, reason: &Reason) -> ReasonJson {
        let kind = |kind| ReasonJson { kind, ..ReasonJson::default() };
        let at = |kind, interface, direction| ReasonJson {
            kind,
            nic: Some(self.interface(interface)),
            direction: Some(direction),
            ..ReasonJson::default()
        };
        match reason {
            Reason::SecurityRule(hit) => {
                let rule = self.rule(hit);
                ReasonJson {
                    layer: Some(hit.layer),
                    nsg: Some(self.network.nsg_name(hit.nsg).to_owned()),
                    rule: Some(rule.name.clone()),
                    priority: Some(rule.priority.0),
                    ..at("SecurityRule", hit.interface, hit.direction)
                }
            }
            Reason::AdminRule(hit) => {
                let rule = self.network.admin_rule(hit.rule);
                ReasonJson {
                    name: Some(self.network.manager_name(hit.rule).to_owned()),
                    rule: Some(rule.name.clone()),
                    priority: Some(rule.priority),
                    ..at("AdminRule", hit.interface, hit.direction)
                }
            }
            Reason::PlatformRule { service, interface, direction } => ReasonJson {
                name: Some(service.name().to_owned()),
                ..at("PlatformRule", *interface, *direction)
            },
            Reason::PrivateEndpointState { endpoint, connection } => ReasonJson {
                name: Some(self.network.private_endpoint_name(*endpoint).to_owned()),
                rule: self.network.private_endpoints[endpoint.get()].connections[*connection as usize]
                    .status
                    .clone(),
                ..kind("PrivateEndpointState")
            },
            Reason::ServiceEndpointPolicy(account) => ReasonJson {
                name: Some(self.network.service_account_name(*account).to_owned()),
                ..kind("ServiceEndpointPolicy")
            },
            Reason::ServiceFirewall { account, rule } => ReasonJson {
                name: Some(self.network.service_account_name(*account).to_owned()),
                rule: Some(rule.name().to_owned()),
                ..kind("ServiceFirewall")
            },
            Reason::NoSecurityGroup => kind("NoSecurityGroup"),
            Reason::FlowState { interface, direction } => at("FlowState", *interface, *direction),
            Reason::PublicIpGate { public_ip, nic } => ReasonJson {
                name: Some(self.network.public_ip_name(*public_ip).to_owned()),
                ..at("PublicIpGate", Interface::Nic(*nic), Direction::Inbound)
            },
            Reason::Route(end) => self.route_end(end),
            Reason::IpForwarding { nic, direction } => at("IpForwarding", Interface::Nic(*nic), *direction),
            Reason::OutboundConnectivity { interface } => {
                at("OutboundConnectivity", *interface, Direction::Outbound)
            }
            Reason::UnsupportedTraffic { interface, direction } => {
                at("UnsupportedTraffic", *interface, *direction)
            }
            Reason::NatGateway(gateway) => ReasonJson {
                name: Some(self.network.nat_gateways[gateway.get()].id.name().to_owned()),
                ..kind("NatGateway")
            },
            Reason::LoadBalancer { balancer, fault } => ReasonJson {
                name: Some(self.network.load_balancer_name(*balancer).to_owned()),
                rule: Some(fault.name().to_owned()),
                ..kind("LoadBalancer")
            },
            Reason::Appliance(nic) => {
                ReasonJson { nic: Some(self.network.nic_name(*nic).to_owned()), ..kind("Appliance") }
            }
        }
    }

    /// What settled a verdict, as JSON has it; for a mixed one the load balancer.
    #[must_use]
    pub fn decided_by(self, verdict: &Verdict) -> Option<ReasonJson> {
        match verdict {
            Verdict::Allow(reason) | Verdict::Deny(reason) => Some(self.reason(reason)),
            Verdict::Mixed(balancer) => Some(ReasonJson {
                kind: "LoadBalancer",
                name: Some(self.network.load_balancer_name(*balancer).to_owned()),
                ..ReasonJson::default()
            }),
            Verdict::Undetermined(_) => None,
        }
    }

    fn route_end(self, end: &RouteEnd) -> ReasonJson {
        let route = |rule: &str, interface: Option<Interface>| ReasonJson {
            kind: "Route",
            rule: Some(rule.to_owned()),
            nic: interface.map(|interface| self.interface(interface)),
            direction: interface.map(|_| Direction::Outbound),
            ..ReasonJson::default()
        };
        match end {
            RouteEnd::None { interface, user_route } => {
                let name = user_route.map(|place| self.user_route(place));
                route(name.unwrap_or("None"), *interface)
            }
            RouteEnd::Loop { interface } => route("loop", *interface),
            RouteEnd::NoEndpoint => route("noEndpoint", None),
            RouteEnd::NoPublicIp => route("noPublicIp", None),
            RouteEnd::NoGatewayTransit { interface } => route("noGatewayTransit", *interface),
        }
    }

    /// Name of a user-defined route.
    #[must_use]
    pub fn user_route(self, place: UserRoute) -> &'n str {
        &self.network.route_tables[place.table.get()].routes[place.route as usize].name
    }

    /// A rule's fields as they were written.
    #[must_use]
    pub fn fields(self, rule: &Rule) -> FieldsJson {
        FieldsJson {
            protocol: protocol(&rule.protocol),
            source: self.addresses(&rule.source).join(","),
            source_port: ports(&rule.source_ports).join(","),
            destination: self.addresses(&rule.destination).join(","),
            destination_port: ports(&rule.destination_ports).join(","),
        }
    }

    /// The terms of an address field as they were written.
    #[must_use]
    pub fn addresses(self, terms: &[AddressTerm]) -> Vec<String> {
        let written = |term: &AddressTerm| match term {
            AddressTerm::Any => "*".to_owned(),
            AddressTerm::Prefix(prefix) => prefix.to_string(),
            AddressTerm::Tag(tag) => tag.to_string(),
            AddressTerm::Asg(Reference::Here(asg)) => self.network.asgs[asg.get()].id.name().to_owned(),
            AddressTerm::Asg(Reference::Missing(asg)) => asg.name().to_owned(),
            AddressTerm::Invalid(text) => text.clone(),
        };
        terms.iter().map(written).collect()
    }

    /// What decided, in a few words: `nsg-db inbound DenyWeb`.
    #[must_use]
    pub fn decider(self, decider: &Decider) -> DeciderWords {
        let plain = |kind: &'static str, rule: Option<String>| DeciderWords {
            kind,
            nsg: None,
            direction: None,
            rule,
            priority: None,
        };
        match decider {
            Decider::Rule { nsg, direction, rule } => {
                let written = &self.network.nsgs[nsg.get()].rules[*rule as usize];
                DeciderWords {
                    kind: "SecurityRule",
                    nsg: Some(self.network.nsg_name(*nsg).to_owned()),
                    direction: Some(*direction),
                    rule: Some(written.name.clone()),
                    priority: Some(written.priority.0),
                }
            }
            Decider::NoSecurityGroup => plain("NoSecurityGroup", None),
            Decider::FlowState => plain("FlowState", None),
            Decider::PublicIpGate(public_ip) => {
                plain("PublicIpGate", Some(self.network.public_ip_name(*public_ip).to_owned()))
            }
            Decider::RouteNone => plain("Route", Some("None".to_owned())),
            Decider::NoEndpoint => plain("Route", Some("noEndpoint".to_owned())),
            Decider::NoPublicIp => plain("Route", Some("noPublicIp".to_owned())),
            Decider::NoGatewayTransit => plain("Route", Some("noGatewayTransit".to_owned())),
            Decider::Loop => plain("Route", Some("loop".to_owned())),
            Decider::LoadBalancer(balancer, fault) => {
                let balancer = self.network.load_balancer_name(*balancer);
                plain("LoadBalancer", Some(format!("{balancer} {}", fault.name())))
            }
            Decider::Backends(balancer) => {
                plain("LoadBalancer", Some(self.network.load_balancer_name(*balancer).to_owned()))
            }
            Decider::Appliance(nic) => plain("Appliance", Some(self.network.nic_name(*nic).to_owned())),
            Decider::IpForwarding => plain("IpForwarding", None),
            Decider::OutboundConnectivity => plain("OutboundConnectivity", None),
            Decider::UnsupportedTraffic => plain("UnsupportedTraffic", None),
            Decider::NatGateway(gateway) => {
                plain("NatGateway", Some(self.network.nat_gateways[gateway.get()].id.name().to_owned()))
            }
            Decider::AdminRule { direction, rule } => {
                let written = self.network.admin_rule(*rule);
                DeciderWords {
                    kind: "AdminRule",
                    nsg: Some(self.network.manager_name(*rule).to_owned()),
                    direction: Some(*direction),
                    rule: Some(written.name.clone()),
                    priority: Some(written.priority),
                }
            }
            Decider::PlatformRule(service) => plain("PlatformRule", Some(service.name().to_owned())),
            Decider::PrivateEndpointState(endpoint) => {
                plain("PrivateEndpointState", Some(self.network.private_endpoint_name(*endpoint).to_owned()))
            }
            Decider::ServiceEndpointPolicy(account) => {
                plain("ServiceEndpointPolicy", Some(self.network.service_account_name(*account).to_owned()))
            }
            Decider::ServiceFirewall(account, rule) => {
                let account = self.network.service_account_name(*account);
                plain("ServiceFirewall", Some(format!("{account} {}", rule.name())))
            }
            Decider::Open(code) => plain("Undetermined", Some(code.to_string())),
        }
    }

    /// A note in words, with the clause behind it.
    #[must_use]
    pub fn note(self, note: &Note) -> (&'static str, String) {
        match note {
            Note::NoEndpoint { address } => {
                ("SIM-7", format!("nothing in the network has the address {address}"))
            }
            Note::DidNotMatter(unknown) => ("SIM-5", format!("did not matter: {}", self.unknown(unknown))),
            Note::Decision { choice, verdict } => (
                choice.clause().number(),
                format!(
                    "this project's decision about {}: under `{choice}` ({}) the verdict is {verdict}",
                    choice.clause().open(),
                    choice.meaning()
                ),
            ),
            Note::NoPublicAddress { nic } => (
                "PIP-1",
                format!(
                    "{} has no public address: the packet is judged as it was seen, after translation",
                    self.network.nic_name(*nic)
                ),
            ),
            Note::TakenToForward { nic } => (
                "ROUTE-15",
                format!(
                    "what the machine behind {} does with the packet is not stated: taken to send it on unchanged",
                    self.network.nic_name(*nic)
                ),
            ),
        }
    }

    /// The arguments by which `explain` takes a packet; with an interface, by which it asks that one's filters alone.
    #[must_use]
    pub fn explain(self, tuple: &FiveTuple, at: Option<(Interface, Direction)>) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if let Some((interface, direction)) = at {
            // An interface that the inventory does not list has no name to ask by.
            if let Some(nic) = interface.nic() {
                add("--mode", "logged".to_owned());
                add("--at", self.network.nic_name(nic).to_owned());
                let direction = if direction == Direction::Inbound { "in" } else { "out" };
                add("--direction", direction.to_owned());
            }
        }
        // A port that nobody told is left for `explain` to pick.
        let end = |address: IpAddr, port| match port {
            Port::NotGiven => address.to_string(),
            port => socket(address, port),
        };
        add("--from", end(tuple.source, tuple.source_port));
        add("--to", end(tuple.destination, tuple.destination_port));
        add("--proto", tuple.protocol.to_string());
        arguments
    }

    /// A rule by its name and owner: `DenyWeb of nsg-db`.
    fn rule_place(self, place: RulePlace) -> String {
        let (rule, owner) = match place {
            RulePlace::Nsg { nsg, rule } => {
                (&self.network.nsgs[nsg.get()].rules[rule as usize].name, self.network.nsg_name(nsg))
            }
            RulePlace::Admin(position) => {
                (&self.network.admin_rule(position).name, self.network.manager_name(position))
            }
        };
        format!("{rule} of {owner}")
    }

    /// An open question in words.
    #[must_use]
    pub fn unknown(self, unknown: &Unknown) -> String {
        match unknown {
            Unknown::TagHolds { tag, address } => {
                format!("whether the service tag `{tag}`, which no loaded file has, holds {address}")
            }
            Unknown::ConnectedSpaceHolds { subnet, missing, address } => format!(
                "whether {address} is connected to subnet {} through `{missing}`, which the export lacks",
                subnet.name()
            ),
            Unknown::AsgHolds { asg, address } => {
                format!("whether {address} is a member of `{}`, which the export lacks", asg.name())
            }
            Unknown::FieldMatches { rule, text } => format!(
                "whether `{text}`, {}, matches in rule {}",
                // A template's expression is no mistake: its value is not known (JSON-8).
                if text.starts_with('[') { "whose value is not known" } else { "which Azure does not take" },
                self.rule_place(*rule)
            ),
            Unknown::PortMatches { rule, source } => format!(
                "which {} port is meant: rule {} looks at it",
                if *source { "source" } else { "destination" },
                self.rule_place(*rule)
            ),
            Unknown::AdminConfigurationIsDeployed { configuration } => {
                format!("whether the security admin configuration `{configuration}` is deployed")
            }
            Unknown::ManagerGoesFirst { first, second } => {
                format!("whether the manager {} goes ahead of {}", first.name(), second.name())
            }
            Unknown::PolicyNamesAccountAt { subnet, address } => format!(
                "which account answers at {address}: the endpoint policies of subnet {} name accounts",
                subnet.name()
            ),
            Unknown::SameRegion { account } => {
                format!("whether the client is in the region of {}", account.name())
            }
            Unknown::NsgAllows { nsg, direction } => {
                format!("what `{}`, which the export lacks, says {direction}", nsg.name())
            }
            Unknown::UnlistedNicAllows { address } => {
                format!("what the interface of {address}, which the export lacks, lets through")
            }
            Unknown::ResourceAllows { resource } => {
                format!("what `{resource}`, which the export lacks, leads to")
            }
            Unknown::OwnerAllows { address } => format!("who has the address {address}"),
            Unknown::FeatureAllows { feature, resource } => {
                let what = feature_words(*feature);
                match resource {
                    Some(resource) => format!("{what} ({}), which is not simulated", resource.name()),
                    None => format!("{what}, which is not simulated"),
                }
            }
            Unknown::FlowIsOpen { because } => {
                format!("whether the flow was let in earlier: {}", self.unknown(because))
            }
            Unknown::TranslatedSource { address } => {
                format!("which public address Azure picks for {address}")
            }
            Unknown::AmbiguousPlace { address } => {
                format!("which of several networks {address} is in")
            }
            Unknown::TranslatedSourceIs { service, address } => {
                format!("whether {} sends from its address {address}", service.name())
            }
            Unknown::ForeignSourceLeaves { nic } => format!(
                "whether a packet that {} sends on under a foreign source gets out to the internet",
                nic.name()
            ),
            Unknown::TooManyWays => "too many ways through load balancers".to_owned(),
            Unknown::TooManyUnknowns => "too many open questions at once".to_owned(),
        }
    }
}

/// What decided, in words.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DeciderWords {
    /// One of the kinds of SIM-1, or `Undetermined`.
    pub kind: &'static str,
    /// The NSG, for a rule; the network manager, for an admin rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nsg: Option<String>,
    /// Which list, for a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The rule, or what else names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The rule's priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

impl DeciderWords {
    /// In one line: `nsg-db inbound DenyWeb`, `Route noEndpoint`.
    #[must_use]
    pub fn line(&self) -> String {
        match (&self.nsg, self.direction, &self.rule) {
            (Some(nsg), Some(direction), Some(rule)) => format!("{nsg} {direction} {rule}"),
            (_, _, Some(rule)) => format!("{} {rule}", self.kind),
            _ => self.kind.to_owned(),
        }
    }
}

fn feature_words(feature: Feature) -> &'static str {
    match feature {
        Feature::UnmappedProtocol => {
            "a protocol that public addresses and load balancers are not said to carry"
        }
        Feature::ServicePublicIp => "the public address of a service",
        Feature::UnknownRoute => "a route of an unknown kind",
    }
}

/// A rule's protocol as it was written.
#[must_use]
pub fn protocol(protocol: &ProtocolMatch) -> String {
    match protocol {
        ProtocolMatch::Any => "*".to_owned(),
        ProtocolMatch::Is(protocol) => protocol.to_string(),
        ProtocolMatch::Invalid(text) => text.clone(),
    }
}

/// The terms of a port field as they were written.
#[must_use]
pub fn ports(terms: &[PortTerm]) -> Vec<String> {
    let written = |term: &PortTerm| match term {
        PortTerm::Range(range) => range.to_string(),
        PortTerm::Invalid(text) => text.clone(),
    };
    terms.iter().map(written).collect()
}

/// An address with its port: `10.0.1.4:443`, `[2001:db8::1]:443`, `10.0.1.4`.
#[must_use]
pub fn socket(address: IpAddr, port: Port) -> String {
    match (address, port) {
        (_, Port::None) => address.to_string(),
        (IpAddr::V4(_), Port::Number(port)) => format!("{address}:{port}"),
        (IpAddr::V6(_), Port::Number(port)) => format!("[{address}]:{port}"),
        (IpAddr::V4(_), Port::NotGiven) => format!("{address}:*"),
        (IpAddr::V6(_), Port::NotGiven) => format!("[{address}]:*"),
    }
}

/// A five-tuple in one line: `10.0.1.4:50000 -> 10.0.2.4:443 tcp`.
#[must_use]
pub fn tuple(tuple: &FiveTuple) -> String {
    format!(
        "{} -> {} {}",
        socket(tuple.source, tuple.source_port),
        socket(tuple.destination, tuple.destination_port),
        tuple.protocol
    )
}

/// What an admin rule said.
#[must_use]
pub fn action(action: AdminAction) -> &'static str {
    match action {
        AdminAction::Allow => "allow",
        AdminAction::AlwaysAllow => "always allow",
        AdminAction::Deny => "deny",
    }
}

/// What a rule said, as a verdict's word.
#[must_use]
pub fn access(access: Access) -> &'static str {
    match access {
        Access::Allow => "allow",
        Access::Deny => "deny",
    }
}

/// The sort of a rule that a record names.
#[must_use]
pub fn rule_kind(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::User => "user",
        RuleKind::Default => "default",
        RuleKind::Admin => "admin",
        RuleKind::Platform => "platform",
        RuleKind::Unspecified => "unspecified",
    }
}

/// What a reader has to know of a recorded rule that no network holds, to be said behind its name.
#[must_use]
pub fn rule_kind_words(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Platform => " (the platform's own, which no network holds)",
        RuleKind::Unspecified => " (no rule: dropped because of encryption)",
        RuleKind::User | RuleKind::Default | RuleKind::Admin => "",
    }
}
