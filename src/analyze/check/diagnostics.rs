//! NSG diagnostics (NW-2).

use std::net::IpAddr;
use std::sync::Arc;

use super::{Comparison, DifferenceKind, Field, Item, Uncompared, Why};
use crate::compile::linear;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::policy::Policy;
use crate::model::answered::{AnsweredEvaluation, AnsweredProfile};
use crate::model::flow::{FiveTuple, Packet, Port};
use crate::model::id::ResourceId;
use crate::model::index::NicIndex;
use crate::model::prefix::read_prefix;
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::services::AdminRulePosition;
use crate::model::verdict::{AdminHit, Interface, Step, StepAnswer, Verdict};
use crate::simulate::{Simulator, SimulatorOptions};

/// Compares the answers about packets, one by one.
pub(super) fn compare(
    compiled: &Arc<CompiledNetwork>,
    nic: NicIndex,
    profiles: &[AnsweredProfile],
    comparison: &mut Comparison,
) {
    let simulator = Simulator::new(Arc::clone(compiled), SimulatorOptions::default());
    for (number, profile) in (1..).zip(profiles) {
        let packet = match packet(profile) {
            Ok(packet) => packet,
            Err(text) => {
                comparison.leave_out(Uncompared::Packet(number), Why::SeveralPackets { text });
                continue;
            }
        };
        let answer = simulator.ip_flow(nic, profile.direction, &packet);
        let access = match &answer.verdict {
            Verdict::Allow(_) => Access::Allow,
            Verdict::Deny(_) => Access::Deny,
            Verdict::Mixed(_) => unreachable!("one interface alone is judged"),
            Verdict::Undetermined(unknown) => {
                let name = unknown.address().map_or_else(String::new, |address| address.to_string());
                let why = Why::Open { code: unknown.code(), name };
                comparison.leave_out(Uncompared::Packet(number), why);
                continue;
            }
        };
        comparison.packets += 1;
        let item = Item::Packet { number, owner: None };
        comparison.field(&item, Field::Verdict, (access, profile.access), ToString::to_string);
        let own: Vec<(&ResourceId, &Step)> =
            answer.steps.iter().filter_map(|step| Some((owner(compiled, step)?, step))).collect();
        // An export of the admin rules in force does not name their manager.
        let nameless = own.len() < answer.steps.len();
        if nameless {
            comparison.leave_out(Uncompared::AdminRules, Why::NotTold);
        }
        let is_compared =
            |theirs: &&AnsweredEvaluation| !(nameless && theirs.owner.segment("networkManagers").is_some());
        let theirs: Vec<&AnsweredEvaluation> = profile.asked.iter().filter(is_compared).collect();
        let asked = (
            own.iter().map(|(owner, _)| *owner).collect::<Vec<_>>(),
            theirs.iter().map(|theirs| &theirs.owner).collect::<Vec<_>>(),
        );
        comparison.field(&item, Field::Asked, asked, |ids| {
            ids.iter().map(|id| id.name()).collect::<Vec<_>>().join(", ")
        });
        for theirs in theirs {
            if let Some((_, step)) = own.iter().find(|(owner, _)| **owner == theirs.owner) {
                let item = Item::Packet { number, owner: Some(theirs.owner.name().to_owned()) };
                evaluation(compiled, nic, profile.direction, comparison, (&item, step, theirs));
            }
        }
    }
}

/// The packet that is asked about; or what of it is not one.
fn packet(profile: &AnsweredProfile) -> Result<Packet, String> {
    let [protocol, source, destination, port] = &profile.written;
    let address = |text: &String| -> Result<IpAddr, String> {
        let block = read_prefix(text).map_err(|_| text.clone())?.prefix;
        let whole = block.prefix_len() == block.max_prefix_len();
        if whole { Ok(block.network()) } else { Err(text.clone()) }
    };
    let five_tuple = FiveTuple {
        source: address(source)?,
        destination: address(destination)?,
        protocol: Protocol::read(protocol).ok_or_else(|| protocol.clone())?,
        // Diagnostics are asked without one: it stands for no particular port, as in NW-1.
        source_port: Port::NotGiven,
        destination_port: match port.as_str() {
            "*" => Port::NotGiven,
            number => Port::Number(number.parse().map_err(|_| port.clone())?),
        },
    };
    Ok(Packet::new(five_tuple))
}

/// The NSG or manager that a step asked.
fn owner<'c>(compiled: &'c CompiledNetwork, step: &Step) -> Option<&'c ResourceId> {
    match &step.answer {
        StepAnswer::Rule(hit) => Some(&compiled.network.nsgs[hit.nsg.get()].id),
        StepAnswer::AdminRule(AdminHit { rule: AdminRulePosition::Managed { manager, .. }, .. }, _) => {
            Some(&compiled.network.network_managers[*manager as usize].id)
        }
        _ => None,
    }
}

fn evaluation(
    compiled: &CompiledNetwork,
    nic: NicIndex,
    direction: Direction,
    comparison: &mut Comparison,
    (item, step, theirs): (&Item, &Step, &AnsweredEvaluation),
) {
    let name = match &step.answer {
        StepAnswer::Rule(hit) => &compiled.network.nsgs[hit.nsg.get()].rules[hit.rule as usize].name,
        StepAnswer::AdminRule(hit, _) => &compiled.network.admin_rule(hit.rule).name,
        _ => return,
    };
    let (matched, access) = match &theirs.matched {
        Some((rule, access)) => (rule.as_str(), Some(*access)),
        None => ("none", None),
    };
    if !name.eq_ignore_ascii_case(matched) {
        comparison.field(item, Field::MatchedRule, (name.as_str(), matched), |name| (*name).to_owned());
    }
    if let Some(access) = access {
        comparison.field(item, Field::Access, (step.access, access), ToString::to_string);
    }
    let StepAnswer::Rule(hit) = &step.answer else { return };
    let layers = compiled.layers(Interface::Nic(nic), direction).iter();
    let policy: Option<&Policy> = layers
        .filter_map(|layer| match &layer.policy {
            PolicyReference::Compiled(position) => Some(&compiled.policies[*position]),
            _ => None,
        })
        .find(|policy| policy.nsg() == hit.nsg);
    let Some(policy) = policy else { return };
    let written = &compiled.network.nsgs[hit.nsg.get()].rules;
    for (tried, fields) in &theirs.tried {
        let rule =
            policy.rules.iter().find(|rule| written[rule.position as usize].name.eq_ignore_ascii_case(tried));
        let Some(rule) = rule else {
            let item = Item::Rule { layer: Some(hit.layer), direction, name: tried.clone() };
            comparison.differs(item, DifferenceKind::OnlyAnswered);
            continue;
        };
        let own = linear::fields_matched(rule, &step.seen, &policy.owner);
        let item = Item::Rule { layer: Some(hit.layer), direction, name: tried.clone() };
        comparison.field(&item, Field::FieldsMatched, (own, *fields), |fields| matched_words(*fields));
    }
}

/// The fields that matched, by name.
fn matched_words(fields: [bool; 5]) -> String {
    const NAMES: [&str; 5] = ["protocol", "source", "source port", "destination", "destination port"];
    let words: Vec<&str> = NAMES.iter().zip(fields).filter(|(_, it)| *it).map(|(name, _)| *name).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
