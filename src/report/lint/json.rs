//! `nsgsim/lint/1`: fields, no sentences; only what shows in the input alone has a message.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LintReport, Subject};
use crate::analyze::lint::judged::{Judged, What};
use crate::analyze::lint::{Detail, Found};
use crate::model::flow::FiveTuple;
use crate::model::index::NsgIndex;
use crate::model::lint::{Check, Severity};
use crate::model::rule::{Access, Direction};
use crate::report::inputs::Inputs;
use crate::report::names::socket;

#[derive(Serialize)]
struct LintJson<'a> {
    schema: &'static str,
    findings: Vec<FoundJson<'a>>,
    counts: CountsJson,
    severities: BTreeMap<&'static str, Severity>,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct CountsJson {
    error: u64,
    warning: u64,
    note: u64,
    waived: u64,
}

#[derive(Default, Serialize)]
struct FoundJson<'a> {
    id: &'static str,
    severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nsg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    place: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    covered_by: Option<Vec<RuleJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_over_by: Option<Vec<RuleJson<'a>>>,
    /// The platform takes some of the packets: it exempts them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    platform: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<Vec<RuleJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlaps: Option<RuleJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asg: Option<&'a str>,
    /// Empty for all ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<&'a [u16]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<WitnessJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiver: Option<WaiverJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waived: Option<WaivedJson<'a>>,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    /// Where it is another than that of the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    nsg: Option<&'a str>,
    rule: &'a str,
    priority: u32,
    access: Access,
}

#[derive(Serialize)]
struct WitnessJson<'a> {
    from: String,
    to: String,
    proto: String,
    /// Who decides about it where that is not the rule itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<RuleJson<'a>>,
}

#[derive(Serialize)]
struct WaiverJson<'a> {
    id: &'static str,
    nsg: &'a str,
    rule: &'a str,
    reason: &'a str,
    expires: String,
}

#[derive(Serialize)]
struct WaivedJson<'a> {
    reason: &'a str,
    expires: String,
    place: &'a str,
}

impl LintReport<'_> {
    /// The report as `nsgsim/lint/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let (counts, waived) = self.counts();
        let count = |severity| counts.get(&severity).copied().unwrap_or_default();
        let json = LintJson {
            schema: "nsgsim/lint/1",
            findings: self.judged.iter().map(|judged| self.one(judged)).collect(),
            counts: CountsJson {
                error: count(Severity::Error),
                warning: count(Severity::Warning),
                note: count(Severity::Note),
                waived,
            },
            severities: self.severities.iter().map(|(check, severity)| (check.id(), *severity)).collect(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    fn one<'r>(&'r self, judged: &'r Judged) -> FoundJson<'r> {
        let Subject { nsg, direction, rule, priority, place } = self.subject(&judged.what);
        let waived = judged.waived_by.map(|position| {
            let waiver = &self.config.waivers[position];
            WaivedJson { reason: &waiver.reason, expires: waiver.expires.to_string(), place: &waiver.place }
        });
        let base = FoundJson {
            id: judged.what.check().id(),
            severity: Some(judged.severity),
            nsg,
            direction,
            rule,
            priority,
            place,
            waived,
            ..FoundJson::default()
        };
        match &judged.what {
            What::Found(found) => self.detail(found, base),
            What::Finding(finding) => FoundJson { message: Some(&finding.message), ..base },
            What::Waiver(_, position) => {
                let waiver = &self.config.waivers[*position];
                let waiver = WaiverJson {
                    id: waiver.check.id(),
                    nsg: &waiver.nsg,
                    rule: &waiver.rule,
                    reason: &waiver.reason,
                    expires: waiver.expires.to_string(),
                };
                FoundJson { waiver: Some(waiver), ..base }
            }
        }
    }

    fn detail<'r>(&'r self, found: &'r Found, base: FoundJson<'r>) -> FoundJson<'r> {
        let network = &self.compiled.network;
        let own = |rule: u32| self.rule(found.nsg, rule, false);
        let all = |rules: &[u32]| rules.iter().map(|rule| own(*rule)).collect();
        match &found.detail {
            Detail::None => base,
            Detail::Covered { by, by_platform, witness } => FoundJson {
                covered_by: (found.check != Check::Exempt).then(|| all(by)),
                platform: *by_platform,
                witness: witness.map(|(packet, taker)| packet_json(&packet, taker.map(own))),
                ..base
            },
            Detail::TakenOver { by, by_platform } => {
                FoundJson { taken_over_by: Some(all(by)), platform: *by_platform, ..base }
            }
            Detail::DeniedBy { by, witness: (packet, nsg, rule) } => FoundJson {
                denied_by: Some(by.iter().map(|(nsg, rule)| self.rule(*nsg, *rule, true)).collect()),
                witness: Some(packet_json(packet, Some(self.rule(*nsg, *rule, true)))),
                ..base
            },
            Detail::Shares { with, witness } => {
                FoundJson { overlaps: Some(own(*with)), witness: Some(packet_json(witness, None)), ..base }
            }
            Detail::Tag(tag) => FoundJson { tag: Some(tag.as_str()), ..base },
            Detail::PublicAddress { address, public_ip } => FoundJson {
                address: Some(address.to_string()),
                public_ip: Some(network.public_ip_name(*public_ip)),
                ..base
            },
            Detail::Asg(asg) => FoundJson { asg: Some(network.asgs[asg.get()].id.name()), ..base },
            Detail::LetsIn { ports, witness } => {
                FoundJson { ports: Some(ports), witness: Some(packet_json(witness, None)), ..base }
            }
        }
    }

    fn rule(&self, nsg: NsgIndex, rule: u32, with_nsg: bool) -> RuleJson<'_> {
        let network = &self.compiled.network;
        let rule = &network.nsgs[nsg.get()].rules[rule as usize];
        RuleJson {
            nsg: with_nsg.then(|| network.nsg_name(nsg)),
            rule: &rule.name,
            priority: rule.priority.0,
            access: rule.access,
        }
    }
}

fn packet_json<'r>(packet: &FiveTuple, decided_by: Option<RuleJson<'r>>) -> WitnessJson<'r> {
    WitnessJson {
        from: socket(packet.source, packet.source_port),
        to: socket(packet.destination, packet.destination_port),
        proto: packet.protocol.to_string(),
        decided_by,
    }
}
