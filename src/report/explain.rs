//! One packet, every step, and why.

use std::fmt::Write as _;

use serde::Serialize;

use super::inputs::Inputs;
use super::names::{self, FieldsJson, Names, ReasonJson};
use super::sheet::Sheet;
use super::style::Style;
use crate::model::flow::FiveTuple;
use crate::model::network::Network;
use crate::model::rule::{Access, Direction, Rule};
use crate::model::services::AdminAction;
use crate::model::unknown::Unknown;
use crate::model::verdict::{
    Answer, BackendAnswer, Layer, NextHopKind, Note, Reason, RouteSource, RouteStep, Snat, Step, StepAnswer,
    Verdict, VerdictKind,
};

/// What `explain` found.
pub struct Explanation<'a> {
    /// The network.
    pub network: &'a Network,
    /// The packet.
    pub packet: FiveTuple,
    /// The answer.
    pub answer: &'a Answer,
    /// The rule that would decide next, were the deciding one not there.
    pub next_in_line: Option<&'a Rule>,
    /// For each step that a rule answered, the rules that were tried before it and which of their fields matched.
    pub tried: Vec<Vec<(&'a Rule, [bool; 5])>>,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct ExplainJson {
    schema: &'static str,
    packet: PacketJson,
    verdict: VerdictKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<ReasonJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undetermined: Option<UndeterminedJson>,
    steps: Vec<StepJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_in_line: Option<NextJson>,
    route: Vec<RouteJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    translation: Option<TranslationJson>,
    /// Whether replies take other interfaces, or get lost, where that can be told (ROUTE-20).
    #[serde(skip_serializing_if = "Option::is_none")]
    asymmetric: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<BackendJson>,
    notes: Vec<NoteJson>,
    inputs: Inputs,
}

/// How the packet fares at one backend that a load balancer may choose (LB-6).
#[derive(Serialize)]
struct BackendJson {
    load_balancer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    verdict: VerdictKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<ReasonJson>,
}

#[derive(Serialize)]
struct PacketJson {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_port: Option<u16>,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
    protocol: String,
}

/// What an answer hangs on.
#[derive(Serialize)]
pub(super) struct UndeterminedJson {
    code: String,
    text: String,
}

#[derive(Serialize)]
struct StepJson {
    nic: String,
    direction: Direction,
    layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nsg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The network manager of an admin rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    manager: Option<String>,
    /// What an admin rule says: `always_allow` passes the NSGs over (ADM-3).
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<AdminAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_log_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    access: Access,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<FieldsJson>,
    seen: PacketJson,
}

#[derive(Serialize)]
struct NextJson {
    rule: String,
    priority: u32,
    access: Access,
}

/// A route that an interface took.
#[derive(Serialize)]
pub(super) struct RouteJson {
    nic: String,
    prefix: String,
    source: RouteSource,
    next_hop: NextHopKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct TranslationJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snat: Option<Snat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

#[derive(Serialize)]
struct NoteJson {
    clause: &'static str,
    text: String,
    /// For a decision of this project: the other choice, and the verdict under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictKind>,
}

impl Explanation<'_> {
    fn names(&self) -> Names<'_> {
        Names { network: self.network }
    }

    /// The answer as `nsgsim/explain/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(self) -> String {
        let names = self.names();
        let undetermined = match &self.answer.verdict {
            Verdict::Undetermined(unknown) => Some(undetermined_json(names, unknown)),
            Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Mixed(_) => None,
        };
        let translation = self.answer.translation;
        let json = ExplainJson {
            schema: "nsgsim/explain/1",
            packet: packet_json(&self.packet),
            verdict: self.answer.verdict.kind(),
            decided_by: names.decided_by(&self.answer.verdict),
            undetermined,
            steps: self.answer.steps.iter().map(|step| step_json(names, step)).collect(),
            next_in_line: self.next_in_line.map(|rule| NextJson {
                rule: rule.name.clone(),
                priority: rule.priority.0,
                access: rule.access,
            }),
            route: self.answer.routes.iter().map(|route| route_json(names, route)).collect(),
            translation: (translation != Default::default()).then(|| TranslationJson {
                destination: translation.destination.map(|(address, _)| address.to_string()),
                destination_port: translation.destination.and_then(|(_, port)| port),
                snat: translation.snat,
                source: translation.source.map(|address| address.to_string()),
            }),
            asymmetric: self.answer.asymmetric,
            backends: self.answer.backends.iter().map(|backend| backend_json(names, backend)).collect(),
            notes: self
                .answer
                .notes
                .iter()
                .map(|note| {
                    let (clause, text) = names.note(note);
                    let (choice, verdict) = match note {
                        Note::Decision { choice, verdict } => (Some(choice.word()), Some(*verdict)),
                        _ => (None, None),
                    };
                    NoteJson { clause, text, choice, verdict }
                })
                .collect(),
            inputs: self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The answer for people: the verdict, then each step, numbered.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style, verbose: bool) -> String {
        let names = self.names();
        let mut sheet = Sheet::new(style);
        let write = "writing to a string works";
        let verdict = style.verdict(self.answer.verdict.kind());
        writeln!(sheet, "{verdict}  {}", names::tuple(&self.packet)).expect(write);
        let rows: Vec<[String; 5]> = self.answer.steps.iter().map(|step| step_row(names, step)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let mut line = format!("  {}", number + 1);
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "  {cell:<width$}").expect(write);
            }
            writeln!(sheet, "{}", line.trim_end()).expect(write);
            if verbose {
                for (rule, fields) in self.tried.get(number).into_iter().flatten() {
                    let failed = failed_fields(*fields);
                    writeln!(sheet, "       {:>5}  {}: {failed}", rule.priority.0, rule.name).expect(write);
                }
                if let StepAnswer::Rule(hit) = &self.answer.steps[number].answer {
                    let rule = names.rule(hit);
                    let fields = names.fields(rule);
                    writeln!(
                        sheet,
                        "       {:>5}  {}: matches {} {}:{} -> {}:{}",
                        rule.priority.0,
                        rule.name,
                        fields.protocol,
                        fields.source,
                        fields.source_port,
                        fields.destination,
                        fields.destination_port
                    )
                    .expect(write);
                }
            }
        }
        for remark in self.remarks(style) {
            writeln!(sheet, "  {remark}").expect(write);
        }
        sheet.finish()
    }

    /// What is said behind the steps, a line each: routes, translation, what settled it, notes.
    pub(super) fn remarks(&self, style: Style) -> Vec<String> {
        let names = self.names();
        let mut lines: Vec<String> =
            self.answer.routes.iter().map(|route| route_line(names, route)).collect();
        let translation = self.answer.translation;
        if let Some((address, _)) = translation.destination {
            lines.push(format!("destination becomes {address}"));
        }
        if let Some(snat) = translation.snat {
            let by = match snat {
                Snat::NatGateway => "the NAT gateway",
                Snat::InstancePublicIp => "its own public address",
                Snat::LoadBalancerOutboundRule => "an outbound rule of a load balancer",
                Snat::LoadBalancerRule => "the load balancer that its flow came in by or that serves it",
                Snat::DefaultOutboundAccess => "default outbound access",
            };
            let source = translation.source.map(|address| format!(" as {address}")).unwrap_or_default();
            lines.push(format!("leaves by {by}{source}"));
        }
        match &self.answer.verdict {
            Verdict::Undetermined(unknown) => {
                lines.push(format!("{}: {}", unknown.code(), names.unknown(unknown)));
            }
            Verdict::Mixed(balancer) => {
                let balancer = names.network.load_balancer_name(*balancer);
                lines.push(format!("the backends of {balancer} disagree"));
            }
            Verdict::Allow(reason) | Verdict::Deny(reason) => {
                if !matches!(reason, Reason::SecurityRule(_)) {
                    let reason = names.reason(reason);
                    let rule = reason.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
                    let name = reason.name.map(|name| format!(" {name}")).unwrap_or_default();
                    let nic = reason.nic.map(|nic| format!(" at {nic}")).unwrap_or_default();
                    lines.push(format!("decided by {}{rule}{name}{nic}", reason.kind));
                }
            }
        }
        for backend in &self.answer.backends {
            let balancer = names.network.load_balancer_name(backend.balancer);
            let verdict = style.verdict(backend.verdict.kind());
            let backend_name =
                backend.nic.map_or("a backend not in the export", |nic| names.network.nic_name(nic));
            let address = backend.address.map(|address| format!(" {address}")).unwrap_or_default();
            lines.push(format!("{backend_name}{address} behind {balancer}: {verdict}"));
        }
        if self.answer.asymmetric == Some(true) {
            lines.push("asymmetric: replies take other interfaces, or get lost".to_owned());
        }
        if let Some(rule) = self.next_in_line {
            let access = names::access(rule.access);
            lines.push(format!("next in line: {} {} ({access})", rule.priority.0, rule.name));
        }
        for note in &self.answer.notes {
            let (clause, note) = names.note(note);
            lines.push(format!("note {clause}: {note}"));
        }
        lines
    }
}

pub(super) fn undetermined_json(names: Names<'_>, unknown: &Unknown) -> UndeterminedJson {
    UndeterminedJson { code: unknown.code().to_string(), text: names.unknown(unknown) }
}

fn backend_json(names: Names<'_>, backend: &BackendAnswer) -> BackendJson {
    BackendJson {
        load_balancer: names.network.load_balancer_name(backend.balancer).to_owned(),
        nic: backend.nic.map(|nic| names.network.nic_name(nic).to_owned()),
        address: backend.address.map(|address| address.to_string()),
        verdict: backend.verdict.kind(),
        decided_by: names.decided_by(&backend.verdict),
    }
}

pub(super) fn route_json(names: Names<'_>, route: &RouteStep) -> RouteJson {
    RouteJson {
        nic: names.interface(route.interface),
        prefix: route.prefix.to_string(),
        source: route.source,
        next_hop: route.next_hop,
        next_hop_address: route.next_hop_address.map(|address| address.to_string()),
        name: route.name.clone(),
    }
}

/// A route in one line: `route at web-1: 10.0.0.0/16 to VnetLocal`.
pub(super) fn route_line(names: Names<'_>, route: &RouteStep) -> String {
    let hop = route.next_hop_address.map(|address| format!(" {address}")).unwrap_or_default();
    let name = route.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "route at {}: {} to {:?}{hop}{name}",
        names.interface(route.interface),
        route.prefix,
        route.next_hop
    )
}

fn packet_json(tuple: &FiveTuple) -> PacketJson {
    PacketJson {
        source: tuple.source.to_string(),
        source_port: tuple.source_port.number(),
        destination: tuple.destination.to_string(),
        destination_port: tuple.destination_port.number(),
        protocol: tuple.protocol.to_string(),
    }
}

fn step_json(names: Names<'_>, step: &Step) -> StepJson {
    let plain = |layer| StepJson {
        nic: names.interface(step.interface),
        direction: step.direction,
        layer,
        nsg: None,
        manager: None,
        action: None,
        rule: None,
        flow_log_name: None,
        priority: None,
        access: step.access,
        matched: None,
        seen: packet_json(&step.seen),
    };
    match &step.answer {
        StepAnswer::FlowTable => plain("FlowTable"),
        StepAnswer::PublicIpGate(_) => plain("PublicIpGate"),
        StepAnswer::PlatformRule(service) => {
            StepJson { rule: Some(service.name().to_owned()), ..plain("PlatformRule") }
        }
        StepAnswer::ServiceFirewall(rule) => {
            StepJson { rule: Some(rule.name().to_owned()), ..plain("ServiceFirewall") }
        }
        StepAnswer::AdminRule(hit, action) => {
            let rule = names.network.admin_rule(hit.rule);
            StepJson {
                manager: Some(names.network.manager_name(hit.rule).to_owned()),
                rule: Some(rule.name.clone()),
                priority: Some(rule.priority),
                action: Some(*action),
                ..plain("AdminRules")
            }
        }
        StepAnswer::Rule(hit) => {
            let rule = names.rule(hit);
            StepJson {
                nsg: Some(names.network.nsg_name(hit.nsg).to_owned()),
                rule: Some(rule.name.clone()),
                flow_log_name: Some(rule.flow_log_name()),
                priority: Some(rule.priority.0),
                matched: Some(names.fields(rule)),
                ..plain(match hit.layer {
                    Layer::SubnetNsg => "SubnetNsg",
                    Layer::NicNsg => "NicNsg",
                })
            }
        }
    }
}

pub(super) fn step_row(names: Names<'_>, step: &Step) -> [String; 5] {
    let direction = step.direction.to_string();
    let access = names::access(step.access).to_owned();
    match &step.answer {
        StepAnswer::Rule(hit) => {
            let rule = names.rule(hit);
            let kind = if rule.is_default { "default" } else { "custom" };
            let nsg = names.network.nsg_name(hit.nsg);
            [
                direction,
                names.filter(hit.layer, hit.interface),
                access,
                rule.name.clone(),
                format!("{:>5}  {kind}  {nsg}", rule.priority.0),
            ]
        }
        StepAnswer::FlowTable => [
            direction,
            format!("nic {}", names.interface(step.interface)),
            access,
            "flow already open".to_owned(),
            String::new(),
        ],
        StepAnswer::AdminRule(hit, action) => {
            let rule = names.network.admin_rule(hit.rule);
            [
                direction,
                format!("admin rules at {}", names.interface(step.interface)),
                names::action(*action).to_owned(),
                rule.name.clone(),
                format!("{:>5}  admin  {}", rule.priority, names.network.manager_name(hit.rule)),
            ]
        }
        StepAnswer::PlatformRule(service) => [
            direction,
            format!("nic {}", names.interface(step.interface)),
            access,
            format!("exempt: {}", service.name()),
            String::new(),
        ],
        StepAnswer::ServiceFirewall(rule) => [
            direction,
            format!("firewall of {}", names.interface(step.interface)),
            access,
            rule.name().to_owned(),
            String::new(),
        ],
        StepAnswer::PublicIpGate(public_ip) => [
            direction,
            format!("nic {}", names.interface(step.interface)),
            access,
            format!("public address {}, no NSG behind it", names.network.public_ip_name(*public_ip)),
            String::new(),
        ],
    }
}

fn failed_fields(fields: [bool; 5]) -> String {
    const NAMES: [&str; 5] = ["protocol", "source", "source port", "destination", "destination port"];
    let failed: Vec<&str> =
        NAMES.iter().zip(fields).filter(|(_, matched)| !matched).map(|(name, _)| *name).collect();
    if failed.is_empty() { "open".to_owned() } else { format!("no match on {}", failed.join(", ")) }
}
