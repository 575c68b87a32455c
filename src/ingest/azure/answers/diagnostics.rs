//! NSG diagnostics (NW-2).

use super::super::node::Node;
use super::super::nsg;
use super::{bare, needed};
use crate::ingest::error::IngestError;
use crate::model::answered::{AnsweredEvaluation, AnsweredProfile};
use crate::model::rule::Access;

/// The fields whose match is told, in the order of [`AnsweredEvaluation::tried`].
const FIELDS: [&str; 5] =
    ["protocolMatched", "sourceMatched", "sourcePortMatched", "destinationMatched", "destinationPortMatched"];

/// What an answer may say of a packet; `AlwaysAllow` is an admin rule's (ADM-3).
const ACCESS: [(&str, Access); 3] =
    [("Allow", Access::Allow), ("AlwaysAllow", Access::Allow), ("Deny", Access::Deny)];

/// Reads what is said of one packet.
pub(super) fn profile(node: Node<'_>) -> Result<AnsweredProfile, IngestError> {
    // Early answers name it so.
    let asked = node.member("profile").or_else(|| node.member("trafficQuery"));
    let asked = asked.ok_or_else(|| node.lacks("profile", "the packet that was asked about"))?;
    let text = |name: &str| needed(asked, name, "a text")?.text().map(str::to_owned);
    let result = needed(node, "networkSecurityGroupResult", "an object")?;
    Ok(AnsweredProfile {
        direction: nsg::direction(asked)?,
        written: [text("protocol")?, text("source")?, text("destination")?, text("destinationPort")?],
        access: result.needed_one_of("securityRuleAccessResult", &ACCESS)?,
        asked: result
            .list_of("evaluatedNetworkSecurityGroups")?
            .into_iter()
            .map(evaluation)
            .collect::<Result<_, _>>()?,
    })
}

fn evaluation(node: Node<'_>) -> Result<AnsweredEvaluation, IngestError> {
    let matched = match node.member("matchedRule") {
        Some(rule) => {
            let name = bare(needed(rule, "ruleName", "a rule's name")?.text()?).to_owned();
            Some((name, rule.needed_one_of("action", &ACCESS)?))
        }
        None => None,
    };
    let mut tried = Vec::new();
    for rule in node.list_of("rulesEvaluationResult")? {
        let name = bare(needed(rule, "name", "a rule's name")?.text()?).to_owned();
        let mut fields = [false; 5];
        for (field, matched) in FIELDS.iter().zip(&mut fields) {
            *matched = rule.flag_of(field)?.ok_or_else(|| rule.lacks(field, "true or false"))?;
        }
        tried.push((name, fields));
    }
    let owner = needed(node, "networkSecurityGroupId", "an NSG's ID")?.id()?;
    Ok(AnsweredEvaluation { owner, matched, tried })
}
