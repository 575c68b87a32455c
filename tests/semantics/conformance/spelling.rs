//! Between the spellings of the cases (SIM-8 to SIM-11) and the model.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nsgsim::model::flow::{FiveTuple, Fragment, Icmp, Origin, Packet, Port, TcpFlags};
use nsgsim::model::index::ServiceAccountIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::{Access, Direction, Protocol};
use nsgsim::model::services::AdminAction;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{
    Answer, Interface, Layer, NextHopKind, Reason, RouteEnd, RouteSource, RouteStep, RuleHit, Snat, Step,
    StepAnswer, Translation, UserRoute, Verdict,
};
use nsgsim::report::names::Names;
use serde_json::{Map, Value, json};

/// Reads a packet of a case.
pub(crate) fn packet(case: &Value) -> Result<Packet, String> {
    let protocol = text(case, "protocol")?;
    let protocol = Protocol::read(protocol).ok_or(format!("no protocol `{protocol}`"))?;
    let port = |member: &str| match case.get(member) {
        None | Some(Value::Null) => Ok(Port::None),
        Some(number) => {
            let number = number.as_u64().and_then(|number| u16::try_from(number).ok());
            number.map(Port::Number).ok_or(format!("no port in `{member}`"))
        }
    };
    let mut packet = Packet::new(FiveTuple {
        source: address(case, "src")?,
        destination: address(case, "dst")?,
        protocol,
        source_port: port("srcPort")?,
        destination_port: port("dstPort")?,
    });
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let identifier = number(&case["icmpId"]).unwrap_or_default();
    let quoted = case.get("icmpQuoted").map(self::packet).transpose()?.map(|packet| packet.five_tuple);
    packet.icmp = case.get("icmpType").and_then(Value::as_u64).map(|kind| match kind {
        0 => Icmp::Echo { identifier, request: false },
        8 => Icmp::Echo { identifier, request: true },
        3 | 4 | 5 | 11 | 12 => Icmp::Error { quoted },
        _ => Icmp::Other,
    });
    if let Some(flags) = case["tcpFlags"].as_array() {
        let has = |flag: &str| flags.iter().any(|set| set == flag);
        packet.tcp = Some(TcpFlags { syn: has("SYN"), ack: has("ACK"), fin: has("FIN"), rst: has("RST") });
    }
    if let Some(fragment) = case.get("fragment") {
        let identification = number(&fragment["identification"]).ok_or("a fragment has no identification")?;
        let identification = u32::from(identification);
        packet.fragment = match text(fragment, "part")? {
            "first" => Fragment::First { identification },
            "later" => Fragment::Later { identification },
            other => return Err(format!("no part `{other}` of a datagram")),
        };
    }
    Ok(packet)
}

/// Reads where a packet of a case starts.
pub(crate) fn origin(case: &Value, network: &Network) -> Result<Origin, String> {
    let origin = &case["origin"];
    match text(origin, "kind")? {
        "internet" => Ok(Origin::Internet),
        "platform" => Ok(Origin::Platform),
        "nic" => Ok(Origin::Nic(nic(text(origin, "id")?, network)?)),
        "onPremises" => {
            let id = text(origin, "gateway")?;
            let found =
                network.gateways.iter().position(|gateway| gateway.id.as_str().eq_ignore_ascii_case(id));
            let found = found.ok_or(format!("no gateway `{id}` was read"))?;
            Ok(Origin::OnPremises(nsgsim::model::index::GatewayIndex::new(found)))
        }
        other => Err(format!("no origin `{other}`")),
    }
}

/// Looks an interface up by its ID.
pub(crate) fn nic(id: &str, network: &Network) -> Result<nsgsim::model::index::NicIndex, String> {
    match network.find_nic(id).as_slice() {
        [nic] => Ok(*nic),
        found => Err(format!("{} interfaces `{id}` were read", found.len())),
    }
}

/// Reads a direction.
pub(crate) fn direction(case: &Value) -> Result<Direction, String> {
    match text(case, "direction")? {
        "Inbound" => Ok(Direction::Inbound),
        "Outbound" => Ok(Direction::Outbound),
        other => Err(format!("no direction `{other}`")),
    }
}

pub(crate) fn text<'a>(case: &'a Value, member: &str) -> Result<&'a str, String> {
    case[member].as_str().ok_or_else(|| format!("no `{member}`"))
}

pub(crate) fn address(case: &Value, member: &str) -> Result<IpAddr, String> {
    text(case, member)?.parse().map_err(|error| format!("`{member}`: {error}"))
}

/// An answer as the cases spell it: all members that `expect` may have.
pub(crate) fn spell(answer: &Answer, network: &Network) -> Value {
    let words = Words { network };
    let clauses = answer.notes.iter().map(|note| Names { network }.note(note).0);
    json!({
        "verdict": words.verdict(&answer.verdict),
        "undetermined": match &answer.verdict {
            Verdict::Undetermined(unknown) => json!(unknown.code()),
            Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Mixed(_) => Value::Null,
        },
        "backends": words.backends(answer),
        "asymmetric": answer.asymmetric,
        "notes": clauses.collect::<BTreeSet<_>>(),
        "decidedBy": words.decided_by(&answer.verdict),
        "points": answer.steps.iter().map(|step| words.point(step)).collect::<Vec<_>>(),
        "translation": words.translation(&answer.translation),
        "routes": answer.routes.iter().map(|route| words.route(route)).collect::<Vec<_>>(),
    })
}

/// A route as the cases spell it.
pub(crate) fn spell_route(found: &Result<Option<RouteStep>, Unknown>, network: &Network) -> Value {
    let words = Words { network };
    match found {
        Ok(route) => json!({ "route": route.as_ref().map(|route| words.route(route)) }),
        Err(unknown) => json!({ "route": format!("Undetermined: {unknown:?}") }),
    }
}

/// Reads the account that a packet of a case names.
pub(crate) fn target(case: &Value, network: &Network) -> Result<Option<ServiceAccountIndex>, String> {
    let Some(id) = case["dstResource"].as_str() else { return Ok(None) };
    match network.find_service_account(id).as_slice() {
        [account] => Ok(Some(*account)),
        found => Err(format!("{} accounts `{id}` were read", found.len())),
    }
}

struct Words<'a> {
    network: &'a Network,
}

impl Words<'_> {
    fn verdict(&self, verdict: &Verdict) -> Value {
        match verdict {
            Verdict::Allow(_) => json!("Allow"),
            Verdict::Deny(_) => json!("Deny"),
            Verdict::Mixed(_) => json!("Mixed"),
            Verdict::Undetermined(_) => json!("Undetermined"),
        }
    }

    /// The healthy backends in the order of their names (LB-6).
    fn backends(&self, answer: &Answer) -> Value {
        let mut backends: Vec<(&str, Value)> = answer
            .backends
            .iter()
            .map(|backend| {
                (backend.nic.map_or("", |nic| self.network.nic_name(nic)), self.verdict(&backend.verdict))
            })
            .collect();
        backends.sort_by_key(|(nic, _)| *nic);
        backends.into_iter().map(|(nic, verdict)| json!({"nic": nic, "verdict": verdict})).collect()
    }

    fn interface(&self, interface: Interface) -> &str {
        match interface {
            Interface::Nic(nic) => self.network.nic_name(nic),
            Interface::Unlisted(subnet) => self.network.subnet_name(subnet),
            Interface::Endpoint(endpoint) => self.network.private_endpoint_name(endpoint),
            Interface::Service(account) => self.network.service_account_name(account),
        }
    }

    fn rule(&self, hit: RuleHit) -> &str {
        &self.network.nsgs[hit.nsg.get()].rules[hit.rule as usize].name
    }

    /// SIM-8.
    fn decided_by(&self, verdict: &Verdict) -> Value {
        match verdict {
            Verdict::Mixed(balancer) => {
                let name = self.network.load_balancer_name(*balancer);
                return json!({"kind": "LoadBalancer", "name": name});
            }
            Verdict::Undetermined(unknown) => return json!(format!("{unknown:?}")),
            Verdict::Allow(_) | Verdict::Deny(_) => {}
        }
        let Some(reason) = verdict.reason() else { return Value::Null };
        let at = |kind: &str, interface, direction| json!({"kind": kind, "nic": self.interface(interface), "direction": spell_direction(direction)});
        match *reason {
            Reason::SecurityRule(hit) => json!({
                "kind": "SecurityRule",
                "name": self.network.nsg_name(hit.nsg),
                "rule": self.rule(hit),
                "nic": self.interface(hit.interface),
                "direction": spell_direction(hit.direction),
            }),
            Reason::AdminRule(hit) => json!({
                "kind": "AdminRule",
                "name": self.network.manager_name(hit.rule),
                "rule": self.network.admin_rule(hit.rule).name,
                "nic": self.interface(hit.interface),
                "direction": spell_direction(hit.direction),
            }),
            Reason::PlatformRule { service, interface, direction } => json!({
                "kind": "PlatformRule",
                "name": service.name(),
                "nic": self.interface(interface),
                "direction": spell_direction(direction),
            }),
            Reason::PrivateEndpointState { endpoint, connection } => json!({
                "kind": "PrivateEndpointState",
                "name": self.network.private_endpoint_name(endpoint),
                "rule": self.network.private_endpoints[endpoint.get()].connections[connection as usize].status,
            }),
            Reason::ServiceEndpointPolicy(account) => json!({
                "kind": "ServiceEndpointPolicy",
                "name": self.network.service_account_name(account),
            }),
            Reason::ServiceFirewall { account, rule } => json!({
                "kind": "ServiceFirewall",
                "name": self.network.service_account_name(account),
                "rule": rule.name(),
            }),
            Reason::NoSecurityGroup => json!({"kind": "NoSecurityGroup"}),
            Reason::FlowState { interface, direction } => at("FlowState", interface, direction),
            Reason::PublicIpGate { public_ip, nic } => json!({
                "kind": "PublicIpGate",
                "name": self.network.public_ip_name(public_ip),
                "nic": self.network.nic_name(nic),
                "direction": "Inbound",
            }),
            Reason::Route(end) => self.route_end(end),
            Reason::IpForwarding { nic, direction } => at("IpForwarding", Interface::Nic(nic), direction),
            Reason::OutboundConnectivity { interface } => {
                at("OutboundConnectivity", interface, Direction::Outbound)
            }
            Reason::UnsupportedTraffic { interface, direction } => {
                at("UnsupportedTraffic", interface, direction)
            }
            Reason::NatGateway(gateway) => {
                json!({"kind": "NatGateway", "name": self.network.nat_gateways[gateway.get()].id.name()})
            }
            Reason::LoadBalancer { balancer, fault } => json!({
                "kind": "LoadBalancer",
                "name": self.network.load_balancer_name(balancer),
                "rule": fault.name(),
            }),
            Reason::Appliance(nic) => json!({"kind": "Appliance", "nic": self.network.nic_name(nic)}),
        }
    }

    fn route_end(&self, end: RouteEnd) -> Value {
        let (rule, interface) = match end {
            RouteEnd::None { interface, user_route } => {
                (user_route.map_or("None", |place| self.user_route(place)), interface)
            }
            RouteEnd::Loop { interface } => ("loop", interface),
            RouteEnd::NoEndpoint => ("noEndpoint", None),
            RouteEnd::NoPublicIp => ("noPublicIp", None),
            RouteEnd::NoGatewayTransit { interface } => ("noGatewayTransit", interface),
        };
        match interface {
            None => json!({"kind": "Route", "rule": rule}),
            Some(interface) => json!({
                "kind": "Route",
                "rule": rule,
                "nic": self.interface(interface),
                "direction": "Outbound",
            }),
        }
    }

    fn user_route(&self, place: UserRoute) -> &str {
        &self.network.route_tables[place.table.get()].routes[place.route as usize].name
    }

    /// SIM-2, SIM-9.
    fn point(&self, step: &Step) -> Value {
        let mut point = Map::new();
        // The firewall of a service stands at no interface.
        if !matches!(step.interface, Interface::Service(_)) {
            point.insert("nic".to_owned(), json!(self.interface(step.interface)));
            point.insert("direction".to_owned(), json!(spell_direction(step.direction)));
        }
        let mut more = |layer: &str, members: &[(&str, &str)]| {
            point.insert("layer".to_owned(), json!(layer));
            for (member, value) in members {
                point.insert((*member).to_owned(), json!(value));
            }
        };
        match step.answer {
            StepAnswer::Rule(hit) => {
                let layer = match hit.layer {
                    Layer::SubnetNsg => "SubnetNsg",
                    Layer::NicNsg => "NicNsg",
                };
                more(layer, &[("name", self.network.nsg_name(hit.nsg)), ("rule", self.rule(hit))]);
            }
            StepAnswer::AdminRule(hit, _) => {
                let (manager, rule) =
                    (self.network.manager_name(hit.rule), self.network.admin_rule(hit.rule));
                more("AdminRules", &[("name", manager), ("rule", &rule.name)]);
            }
            StepAnswer::PlatformRule(service) => more("PlatformRule", &[("name", service.name())]),
            StepAnswer::ServiceFirewall(rule) => {
                let account = self.interface(step.interface);
                more("ServiceFirewall", &[("name", account), ("rule", rule.name())]);
            }
            StepAnswer::FlowTable => more("FlowTable", &[]),
            StepAnswer::PublicIpGate(public_ip) => {
                more("PublicIpGate", &[("name", self.network.public_ip_name(public_ip))]);
            }
        }
        let access = match (step.answer, step.access) {
            (StepAnswer::AdminRule(_, AdminAction::AlwaysAllow), _) => "AlwaysAllow",
            (_, Access::Allow) => "Allow",
            (_, Access::Deny) => "Deny",
        };
        point.insert("access".to_owned(), json!(access));
        Value::Object(point)
    }

    /// SIM-10.
    fn translation(&self, translation: &Translation) -> Value {
        let mut members = Map::new();
        if let Some((address, port)) = translation.destination {
            members.insert("dst".to_owned(), json!(address));
            if let Some(port) = port {
                members.insert("dstPort".to_owned(), json!(port));
            }
        }
        if let Some(snat) = translation.snat {
            let word = match snat {
                Snat::NatGateway => "NatGateway",
                Snat::InstancePublicIp => "InstancePublicIp",
                Snat::LoadBalancerOutboundRule => "LoadBalancerOutboundRule",
                Snat::LoadBalancerRule => "LoadBalancerRule",
                Snat::DefaultOutboundAccess => "DefaultOutboundAccess",
            };
            members.insert("snat".to_owned(), json!(word));
        }
        if let Some(address) = translation.source {
            members.insert("src".to_owned(), json!(address));
        }
        Value::Object(members)
    }

    fn route(&self, route: &RouteStep) -> Value {
        let kind = match route.next_hop {
            NextHopKind::VnetLocal => "VnetLocal",
            NextHopKind::VnetPeering => "VNetPeering",
            NextHopKind::VirtualNetworkGateway => "VirtualNetworkGateway",
            NextHopKind::VirtualAppliance => "VirtualAppliance",
            NextHopKind::Internet => "Internet",
            NextHopKind::None => "None",
            NextHopKind::VirtualNetworkServiceEndpoint => "VirtualNetworkServiceEndpoint",
            NextHopKind::InterfaceEndpoint => "InterfaceEndpoint",
        };
        let source = match route.source {
            RouteSource::User => "User",
            RouteSource::Gateway => "VirtualNetworkGateway",
            RouteSource::System => "Default",
        };
        json!({
            "nic": self.interface(route.interface),
            "prefix": route.prefix.to_string(),
            "nextHopType": kind,
            "nextHopIpAddress": route.next_hop_address,
            "source": source,
            "name": route.name,
        })
    }
}

fn spell_direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    }
}

/// What an answer has different from what is expected, in a sentence a member; nothing if it is as expected.
pub(crate) fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for (member, wanted) in expected.as_object().into_iter().flatten() {
        let found = &found[member];
        let alike = match member.as_str() {
            "verdict" | "decidedBy" | "points" | "translation" | "undetermined" | "notes" | "backends"
            | "asymmetric" => wanted == found,
            "routes" => {
                let (wanted, found) = (wanted.as_array(), found.as_array());
                wanted.zip(found).is_some_and(|(wanted, found)| {
                    wanted.len() == found.len()
                        && wanted.iter().zip(found).all(|(wanted, found)| holds_all(wanted, found))
                })
            }
            "route" => holds_all(wanted, found),
            other => panic!("a case expects `{other}`, which is not compared"),
        };
        if !alike {
            differences.push(format!("{member}: expected {wanted}, found {found}"));
        }
    }
    differences
}

/// Whether all members of `wanted` stand in `found` likewise.
fn holds_all(wanted: &Value, found: &Value) -> bool {
    wanted.as_object().is_some_and(|wanted| wanted.iter().all(|(member, value)| found[member] == *value))
}
