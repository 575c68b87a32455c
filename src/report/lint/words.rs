//! What was found, in sentences.

use crate::analyze::lint::judged::{Judged, What};
use crate::analyze::lint::{Detail, Found};
use crate::compile::network::CompiledNetwork;
use crate::model::finding::FindingCode;
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
        Check::Validation(code) => meaning_of_code(code),
        Check::ExpiredWaiver => "a waiver is out of date: it waives nothing any more",
        Check::UnusedWaiver => "nothing that was found answers to a waiver",
    }
}

/// What a finding of this code says, in one line.
fn meaning_of_code(code: FindingCode) -> &'static str {
    match code {
        FindingCode::DuplicatePriority => "two rules of one direction share a priority (NSG-3)",
        FindingCode::PriorityOutOfRange => "a priority is outside 100 to 4096 (NSG-3)",
        FindingCode::DuplicateRuleName => "two rules of an NSG share a name (NSG-2)",
        FindingCode::InvalidRuleName => "a rule has a name that Azure does not take (NSG-2)",
        FindingCode::InvalidProtocol => "a rule has a protocol that Azure does not take (NSG-5)",
        FindingCode::InvalidPortRange => "a rule has a port range that Azure does not take (NSG-8)",
        FindingCode::InvalidAddressPrefix => "an address is neither a prefix nor a tag (NSG-11)",
        FindingCode::UnknownServiceTag => "no loaded file has the tag that a rule names (TAG-15)",
        FindingCode::MultipleServiceTags => "a side of a rule holds more than one tag (NSG-14)",
        FindingCode::TagMixedWithPrefixes => "a side of a rule holds a tag beside prefixes (NSG-14)",
        FindingCode::AsgMixedWithPrefixes => "a side of a rule holds groups beside prefixes (NSG-16)",
        FindingCode::TooManyAsgs => "a side of a rule holds more than 10 groups (NSG-16)",
        FindingCode::AsgDifferentVirtualNetworks => "the groups of a rule are in different networks (ASG-4)",
        FindingCode::MixedAddressFamilies => "a rule holds IPv4 and IPv6 prefixes (NSG-13)",
        FindingCode::SingularAndPlural => "both forms of a field are set (NSG-9)",
        FindingCode::MissingField => "a rule lacks a field that it needs (NSG-1)",
        FindingCode::PlatformTagShape => "a tag of the platform is in a rule of another shape (NSG-15)",
        FindingCode::DescriptionTooLong => "a description has more than 140 characters (NSG-17)",
        FindingCode::TooManyRules => "an NSG holds more rules than it may (LIM-1)",
        FindingCode::TooManyPrefixes => "an NSG holds more addresses than it may (LIM-1)",
        FindingCode::PortsOnPortlessProtocol => "a rule has ports on a protocol without ports (NSG-10)",
        FindingCode::MissingRequiredRule => {
            "a special subnet's NSG lacks a rule that it needs (BAS-2, AGW-1)"
        }
        FindingCode::UndecidedRequiredRule => {
            "whether a special subnet's NSG has a rule that it needs is open (BAS-2, AGW-1)"
        }
        FindingCode::MissingResource => "an ID leads to nothing in the input (SIM-4)",
        FindingCode::HostBitsSet => "a prefix has host bits set: it counts as its block (NSG-11)",
        FindingCode::AlteredDefaultRules => {
            "default rules are listed in another form than Azure's own (DEF-2)"
        }
        FindingCode::LeadingUnderscore => "a rule's name begins with an underscore (NSG-2)",
        FindingCode::DuplicateResource => "a resource is there twice, with differences: the later one counts",
        FindingCode::UnknownKind => {
            "the input holds something that decides nothing here, or that is not known"
        }
        FindingCode::LimitExceeded => "a number exceeds one of Azure's limits (LIM-1, ASG-7, PE-5)",
        FindingCode::InvalidTopology => "the topology is one that Azure does not allow (TOP, PEER-6, PIP-2)",
        FindingCode::CloudMismatch => "the tag file is of another cloud than the network (TAG-19)",
        FindingCode::IncompleteList => "the input is a page of a longer list (JSON-7)",
        FindingCode::DuplicateMember => "a JSON object names a member twice: the last one counts",
        FindingCode::DifferingInternet => "exports differ in what Internet stands for (TAG-20)",
        FindingCode::UnknownValue => "an expression has no value in the input (JSON-8, JSON-9)",
        FindingCode::NotEnforced => "an NSG stands where Azure enforces none (GW-1, FW-1)",
        FindingCode::UnsupportedSetting => {
            "a setting is one that Azure does not support where it stands (GW-1, PLS-2)"
        }
    }
}

/// What to do about it, as sentences of their own.
pub(super) fn advice(check: Check) -> &'static str {
    match check {
        Check::Shadowed => "It can be removed and nothing changes.",
        Check::ShadowedOpposite => {
            "If it was meant to act, give it a smaller number than the rules that take its packets; otherwise remove it."
        }
        Check::Redundant => {
            "It can be removed and no packet gets another access; keep it where it is meant to stay when the rules behind \
             it change, or to be seen in flow logs. Each such rule is looked at by itself: of two that stand in for each \
             other one has to stay."
        }
        Check::MatchesNothing => {
            "Look for sides of two address families, ports on a protocol without ports, empty groups."
        }
        Check::Exempt => "To stop such packets, use the tag of the platform's service (PLAT-2 to PLAT-4).",
        Check::Unreachable => "Allow the packets in the other NSG too, or remove the rule.",
        Check::Overlapping => "Check that the one that goes ahead is the one that is meant to decide.",
        Check::TagWithoutEffect => {
            "Name the private addresses, `VirtualNetwork` or `*` on the side of the interface."
        }
        Check::TagDirection => {
            "Check the direction: the tag may be meant for the other list, or the other side."
        }
        Check::PublicAddress => "Name the private address instead.",
        Check::EmptyAsg => "Add the members, or remove the group from the rule.",
        Check::UnattachedNsg => "Attach it, or remove it; or add what holds it to the input.",
        Check::InternetToManagement => {
            "Name the addresses that administrators come from, or reach machines through Azure Bastion or a VPN."
        }
        Check::InternetToAllPorts => "Name the ports that are served.",
        Check::Validation(_) => "See the message for what was expected.",
        Check::ExpiredWaiver => "Mend what it was for, or give it another day.",
        Check::UnusedWaiver => "Remove it.",
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
                    let rule = self.rule(nsg, *taker);
                    let does = if rule.access == Access::Allow { "allows" } else { "denies" };
                    text += &match &by[..] {
                        [one] if one == taker => format!(", and {does} {}", shown(packet)),
                        _ => format!("; `{}` ({}) {does} {}", rule.name, rule.priority.0, shown(packet)),
                    };
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
