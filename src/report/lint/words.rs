//! What was found, in sentences.

use crate::analyze::lint::judged::{Judged, What};
use crate::analyze::lint::{Detail, Found};
use crate::compile::network::CompiledNetwork;
use crate::model::flow::FiveTuple;
use crate::model::index::NsgIndex;
use crate::model::lint::{Check, LintConfig};
use crate::model::rule::{Access, Direction, Rule};
use crate::report::names::socket;

/// How many rules a sentence names.
const MOST_NAMED: usize = 4;

/// What a check looks for, in one line.
#[must_use]
pub fn meaning(check: Check) -> &'static str {
    match check {
        Check::Shadowed => "no packet reaches the rule: rules ahead of it match all that it does",
        Check::ShadowedOpposite => {
            "no packet reaches the rule, and a rule ahead says of some of its packets the opposite"
        }
        Check::Redundant => "without the rule every packet gets the same access from those behind it",
        Check::MatchesNothing => "no packet has all that the rule asks for",
        Check::Exempt => "the platform exempts all packets of the rule from rules (PLAT-1 to PLAT-5)",
        Check::Unreachable => {
            "the other NSG denies all that the rule allows, at every interface (EVAL-2, EVAL-3)"
        }
        Check::Overlapping => "two rules of opposite access share packets, and neither covers the other",
        Check::TagWithoutEffect => "a tag on the side of the interface holds no address there (NSG-18)",
        Check::TagDirection => "a service tag stands in the direction that it is not made for (TAG-13)",
        Check::PublicAddress => "a rule names a machine's public address where it sees the private (NSG-18)",
        Check::EmptyAsg => "a rule names an application security group without members (ASG-2)",
        Check::UnattachedNsg => "no subnet and no interface of the inventory holds the NSG (NSG-19)",
        Check::InternetToManagement => {
            "the rule lets the internet in to SSH, remote desktop or Windows remote management"
        }
        Check::InternetToAllPorts => "the rule lets the internet in to every port of TCP or UDP",
        Check::Validation(_) => "what Azure refuses, or what was odd about the input (NSG-21)",
        Check::ExpiredWaiver => "a waiver is out of date: it waives nothing any more",
        Check::UnusedWaiver => "nothing that was found answers to a waiver",
    }
}

/// Puts what was found about a network into words.
pub(super) struct Words<'a> {
    pub(super) compiled: &'a CompiledNetwork,
    pub(super) config: &'a LintConfig,
}

impl<'a> Words<'a> {
    pub(super) fn rule(&self, nsg: NsgIndex, rule: u32) -> &'a Rule {
        &self.compiled.network.nsgs[nsg.get()].rules[rule as usize]
    }

    /// What was found, in one sentence: in lower case and without a full stop.
    pub(super) fn sentence(&self, judged: &Judged) -> String {
        match &judged.what {
            What::Found(found) => self.found(found),
            What::Finding(finding) => finding.message.clone(),
            What::Waiver(check, position) => {
                let waiver = &self.config.waivers[*position];
                let about =
                    format!("of `{}` at nsg `{}`, rule `{}`", waiver.check.id(), waiver.nsg, waiver.rule);
                match check {
                    Check::ExpiredWaiver => {
                        format!("the waiver {about} expired after {}: {}", waiver.expires, waiver.reason)
                    }
                    _ => format!("nothing answers to the waiver {about}: {}", waiver.reason),
                }
            }
        }
    }

    fn found(&self, found: &Found) -> String {
        let nsg = found.nsg;
        let opposite = || found.rule.map(|rule| self.rule(nsg, rule).access);
        match (&found.detail, found.check) {
            (Detail::Covered { by, by_platform, witness }, check) => {
                if check == Check::Exempt {
                    return format!(
                        "rules do not touch the packets that it matches{}",
                        witness.map_or_else(String::new, |(packet, _)| format!(", as {}", shown(&packet)))
                    );
                }
                let exempts = if *by_platform { ", and the platform exempts the rest" } else { "" };
                let mut text =
                    format!("no packet reaches it: {} all that it does{exempts}", self.match_all(nsg, by));
                if let (Check::ShadowedOpposite, Some((packet, Some(taker)))) = (check, witness) {
                    let taker = self.rule(nsg, *taker);
                    let does = if taker.access == Access::Allow { "allows" } else { "denies" };
                    text += &format!("; `{}` {does} {}", taker.name, shown(packet));
                }
                text
            }
            (Detail::TakenOver { by, by_platform }, _) => {
                let does = if opposite() == Some(Access::Allow) { "allowed" } else { "denied" };
                let exempts = match (by.is_empty(), by_platform) {
                    (true, _) => {
                        return format!(
                            "without it its packets are {does} all the same: the platform exempts them"
                        );
                    }
                    (false, true) => ", and by the platform, which exempts them",
                    (false, false) => "",
                };
                format!("without it its packets are {does} all the same, by {}{exempts}", self.names(nsg, by))
            }
            (Detail::DeniedBy { by, witness: (packet, other, rule) }, _) => {
                let more = match by.len() {
                    0 | 1 => String::new(),
                    several => format!(", one of {several} rules that do"),
                };
                format!(
                    "the other NSG denies all that it allows: {} by `{}` of `{}`{more}",
                    shown(packet),
                    self.rule(*other, *rule).name,
                    self.compiled.network.nsg_name(*other),
                )
            }
            (Detail::Shares { with, witness }, _) => {
                let with = self.rule(nsg, *with);
                let does = if with.access == Access::Allow { "allow" } else { "deny" };
                format!(
                    "goes ahead of `{}` ({}), which would {does} {}",
                    with.name,
                    with.priority.0,
                    shown(witness)
                )
            }
            (Detail::Tag(tag), Check::TagDirection) => {
                let side = match self.direction(found) {
                    Some(Direction::Inbound) => "what is gone out to, not for what comes in",
                    _ => "what comes in, not for what is gone out to",
                };
                format!("`{tag}` is made for {side}")
            }
            (Detail::Tag(tag), _) => {
                let side = match self.direction(found) {
                    Some(Direction::Inbound) => {
                        "as a destination: inbound rules see the interface's own address"
                    }
                    _ => "as a source: outbound rules see the interface's own address",
                };
                format!("`{tag}` has no effect {side}")
            }
            (Detail::PublicAddress { address, public_ip }, _) => format!(
                "{address} is the public address `{}`: rules see the private one behind it",
                self.compiled.network.public_ip_name(*public_ip)
            ),
            (Detail::Asg(asg), _) => {
                format!("`{}` has no members", self.compiled.network.asgs[asg.get()].id.name())
            }
            (Detail::LetsIn { ports, witness }, _) => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                let to = if ports.is_empty() {
                    "every port".to_owned()
                } else {
                    format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, ports.join(", "))
                };
                format!("the internet is let in to {to}, as {}", shown(witness))
            }
            (Detail::None, Check::UnattachedNsg) => {
                "nothing in the inventory holds it; what VirtualNetwork and Internet are is left open"
                    .to_owned()
            }
            (Detail::None, _) => "no packet has all that it asks for".to_owned(),
        }
    }

    fn direction(&self, found: &Found) -> Option<Direction> {
        Some(self.rule(found.nsg, found.rule?).direction)
    }

    fn match_all(&self, nsg: NsgIndex, by: &[u32]) -> String {
        let verb = if by.len() == 1 { "matches" } else { "together match" };
        format!("{} {verb}", self.names(nsg, by))
    }

    /// Some rules by their names and priorities.
    fn names(&self, nsg: NsgIndex, by: &[u32]) -> String {
        let name = |rule: &u32| {
            let rule = self.rule(nsg, *rule);
            format!("`{}` ({})", rule.name, rule.priority.0)
        };
        let mut shown: Vec<String> = by.iter().take(MOST_NAMED).map(name).collect();
        if by.len() > MOST_NAMED {
            shown.push(format!("{} more", by.len() - MOST_NAMED));
        }
        match shown.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// A packet in one line.
fn shown(packet: &FiveTuple) -> String {
    format!(
        "{} {} -> {}",
        packet.protocol,
        socket(packet.source, packet.source_port),
        socket(packet.destination, packet.destination_port)
    )
}
