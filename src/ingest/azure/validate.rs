//! What Azure would refuse in a rule or an NSG (NSG-21), beyond what shows while reading.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::findings::Findings;
use super::node::Node;
use super::nsg::NsgDraft;
use super::terms;
use crate::model::finding::FindingCode;
use crate::model::index::{AsgIndex, Reference, VnetIndex};
use crate::model::network::Network;
use crate::model::prefix::Prefix;
use crate::model::rule::{AddressTerm, Direction, Priority, ProtocolMatch, Rule};
use crate::model::tag::TagName;

/// The longest description, in characters (NSG-17).
const DESCRIPTION_CHARACTERS: usize = 140;
/// The longest rule name, in characters (NSG-2).
const NAME_CHARACTERS: usize = 80;
/// Most groups on one side of a rule (NSG-16).
const ASGS_PER_SIDE: usize = 10;
/// Most custom rules of an NSG (LIM-1).
const RULES_PER_NSG: usize = 1000;
/// Most addresses and blocks on one side of all rules of an NSG (LIM-1).
const PREFIXES_PER_SIDE: usize = 4000;

/// Checks all NSGs of a network whose interfaces have been read.
pub(super) fn check(nsgs: &[NsgDraft<'_>], network: &Network, findings: &mut Findings) {
    let vnets_of_asgs = vnets_of_asgs(network);
    for nsg in nsgs {
        for (rule, node) in &nsg.rules {
            let mut report = |code, place: Node<'_>, message: String| {
                findings.about((&nsg.name, Some(&rule.name)), code, place, message);
            };
            check_rule(rule, *node, &mut report);
            check_asgs(rule, *node, &vnets_of_asgs, &mut report);
        }
        check_duplicates(nsg, findings);
        check_sizes(nsg, findings);
    }
}

fn check_rule(rule: &Rule, node: Node<'_>, report: &mut impl FnMut(FindingCode, Node<'_>, String)) {
    let at = |member: &str| node.member(member).unwrap_or(node);
    check_name(rule, at("name"), report);
    if !rule.priority.is_custom() {
        let message = format!("priority `{}` is outside 100 to 4096", rule.priority.0);
        report(FindingCode::PriorityOutOfRange, at("priority"), message);
    }
    let description = node.member("description").and_then(Node::as_text).unwrap_or_default();
    let length = description.chars().count();
    if length > DESCRIPTION_CHARACTERS {
        let message = format!("the description has {length} characters, over {DESCRIPTION_CHARACTERS}");
        report(FindingCode::DescriptionTooLong, at("description"), message);
    }
    for (side, terms) in [("source", &rule.source), ("destination", &rule.destination)] {
        check_side(side, terms, node, report);
    }
    let mut prefixes = rule.source.iter().chain(&rule.destination).filter_map(prefix);
    if let Some(first) = prefixes.next() {
        let is_v4 = |prefix: Prefix| prefix.network().is_ipv4();
        if prefixes.any(|other| is_v4(other) != is_v4(first)) {
            let message = "the rule holds IPv4 and IPv6 prefixes".to_owned();
            report(FindingCode::MixedAddressFamilies, node, message);
        }
    }
    check_platform_tags(rule, node, report);
    let portless = matches!(&rule.protocol, ProtocolMatch::Is(protocol) if !protocol.has_ports());
    let all_ports =
        terms::cover_all_ports(&rule.source_ports) && terms::cover_all_ports(&rule.destination_ports);
    if portless && !all_ports {
        let message = "the protocol has no ports: a port field other than `*` never matches".to_owned();
        report(FindingCode::PortsOnPortlessProtocol, node, message);
    }
}

fn prefix(term: &AddressTerm) -> Option<Prefix> {
    match term {
        AddressTerm::Prefix(prefix) => Some(*prefix),
        AddressTerm::Any | AddressTerm::Tag(_) | AddressTerm::Asg(_) | AddressTerm::Invalid(_) => None,
    }
}

fn tag(term: &AddressTerm) -> Option<&TagName> {
    match term {
        AddressTerm::Tag(tag) => Some(tag),
        AddressTerm::Any | AddressTerm::Prefix(_) | AddressTerm::Asg(_) | AddressTerm::Invalid(_) => None,
    }
}

fn asg(term: &AddressTerm) -> Option<&Reference<AsgIndex>> {
    match term {
        AddressTerm::Asg(asg) => Some(asg),
        AddressTerm::Any | AddressTerm::Prefix(_) | AddressTerm::Tag(_) | AddressTerm::Invalid(_) => None,
    }
}

fn check_name(rule: &Rule, node: Node<'_>, report: &mut impl FnMut(FindingCode, Node<'_>, String)) {
    let name = &rule.name;
    let word = |each: char| each.is_ascii_alphanumeric() || each == '_';
    let taken = (1..=NAME_CHARACTERS).contains(&name.chars().count())
        && name.starts_with(word)
        && name.ends_with(word)
        && name.chars().all(|each| word(each) || matches!(each, '.' | '-'));
    if !taken {
        let message = format!(
            "a rule's name has 1 to {NAME_CHARACTERS} letters, digits, `_`, `.` and `-`, starts with a letter or \
             digit and ends with one or `_`"
        );
        report(FindingCode::InvalidRuleName, node, message);
    } else if name.starts_with('_') {
        report(FindingCode::LeadingUnderscore, node, "the name starts with `_`".to_owned());
    }
}

fn check_side(
    side: &str,
    terms: &[AddressTerm],
    node: Node<'_>,
    report: &mut impl FnMut(FindingCode, Node<'_>, String),
) {
    let tags = terms.iter().filter_map(tag).count();
    let asgs = terms.iter().filter_map(asg).count();
    let addresses = terms.len() - asgs;
    if tags > 1 {
        report(FindingCode::MultipleServiceTags, node, format!("the {side} holds {tags} service tags"));
    }
    if tags > 0 && terms.iter().filter_map(prefix).next().is_some() {
        let message = format!("the {side} holds a service tag beside prefixes");
        report(FindingCode::TagMixedWithPrefixes, node, message);
    }
    if asgs > 0 && addresses > 0 {
        let message = format!("the {side} holds application security groups beside addresses");
        report(FindingCode::AsgMixedWithPrefixes, node, message);
    }
    if asgs > ASGS_PER_SIDE {
        let message = format!("the {side} holds {asgs} application security groups, over {ASGS_PER_SIDE}");
        report(FindingCode::TooManyAsgs, node, message);
    }
}

/// The platform tags stand only in the destination of an outbound rule for every protocol and port (NSG-15).
fn check_platform_tags(rule: &Rule, node: Node<'_>, report: &mut impl FnMut(FindingCode, Node<'_>, String)) {
    let is_platform = |tag: &&TagName| {
        tag.is(TagName::AZURE_PLATFORM_DNS)
            || tag.is(TagName::AZURE_PLATFORM_IMDS)
            || tag.is(TagName::AZURE_PLATFORM_LKM)
    };
    let at_source = rule.source.iter().filter_map(tag).find(is_platform);
    let at_destination = rule.destination.iter().filter_map(tag).find(is_platform);
    let right_shape = rule.direction == Direction::Outbound
        && rule.protocol == ProtocolMatch::Any
        && terms::cover_all_ports(&rule.destination_ports);
    if let Some(tag) = at_source.or(at_destination.filter(|_| !right_shape)) {
        let message = format!(
            "`{tag}` stands only in the destination of an outbound rule with protocol `*` and destination port `*`"
        );
        report(FindingCode::PlatformTagShape, node, message);
    }
}

/// The networks that the members of each group are in.
fn vnets_of_asgs(network: &Network) -> Vec<BTreeSet<VnetIndex>> {
    let mut vnets = vec![BTreeSet::new(); network.asgs.len()];
    for nic in &network.nics {
        let Some(subnet) = nic.subnet.as_ref().and_then(Reference::here) else { continue };
        for asg in nic.ip_configurations.iter().flat_map(|configuration| &configuration.asgs) {
            vnets[asg.get()].insert(network.subnets[subnet.get()].vnet);
        }
    }
    vnets
}

/// All members of the groups of one rule are in one network (ASG-4).
fn check_asgs(
    rule: &Rule,
    node: Node<'_>,
    vnets_of_asgs: &[BTreeSet<VnetIndex>],
    report: &mut impl FnMut(FindingCode, Node<'_>, String),
) {
    let here = rule.source.iter().chain(&rule.destination).filter_map(asg).filter_map(Reference::here);
    let vnets: BTreeSet<VnetIndex> = here.flat_map(|asg| &vnets_of_asgs[asg.get()]).copied().collect();
    if vnets.len() > 1 {
        let message = format!("the members of its groups are in {} virtual networks", vnets.len());
        report(FindingCode::AsgDifferentVirtualNetworks, node, message);
    }
}

fn check_duplicates(nsg: &NsgDraft<'_>, findings: &mut Findings) {
    let mut names: HashSet<String> = HashSet::new();
    let mut priorities: HashMap<(Direction, Priority), &str> = HashMap::new();
    for (rule, node) in &nsg.rules {
        let mut report = |code, member: &str, message: String| {
            let place = node.member(member).unwrap_or(*node);
            findings.about((&nsg.name, Some(&rule.name)), code, place, message);
        };
        if !names.insert(rule.name.to_ascii_lowercase()) {
            let message = "an earlier rule of the NSG has the same name".to_owned();
            report(FindingCode::DuplicateRuleName, "name", message);
        }
        match priorities.get(&(rule.direction, rule.priority)) {
            Some(first) => {
                let (direction, priority) = (rule.direction, rule.priority.0);
                let message = format!("the {direction} rule `{first}` has priority {priority}, too");
                report(FindingCode::DuplicatePriority, "priority", message);
            }
            None => {
                priorities.insert((rule.direction, rule.priority), &rule.name);
            }
        }
    }
}

fn check_sizes(nsg: &NsgDraft<'_>, findings: &mut Findings) {
    let mut report = |code, message: String| findings.about((&nsg.name, None), code, nsg.node, message);
    let rules = nsg.rules.len();
    if rules > RULES_PER_NSG {
        report(FindingCode::TooManyRules, format!("{rules} rules, over {RULES_PER_NSG}"));
    }
    let count = |side: fn(&Rule) -> &[AddressTerm]| -> usize {
        nsg.rules.iter().map(|(rule, _)| side(rule).iter().filter_map(prefix).count()).sum()
    };
    for (side, prefixes) in
        [("source", count(|rule| &rule.source)), ("destination", count(|rule| &rule.destination))]
    {
        if prefixes > PREFIXES_PER_SIDE {
            let message = format!("{prefixes} {side} addresses in all its rules, over {PREFIXES_PER_SIDE}");
            report(FindingCode::TooManyPrefixes, message);
        }
    }
}
