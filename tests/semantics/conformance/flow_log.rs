//! Cases of flow logs: the reader's flows in the spelling of the cases.

use nsgsim::ingest::capture::flow_log;
use nsgsim::model::flow_log::{LoggedFlow, RuleKind};
use nsgsim::model::rule::{Access, Direction};
use serde_json::{Value, json};

use super::case::Case;

/// Reads the log of a case and compares its flows, in the members that the case lists.
pub(crate) fn run(case: &Case) -> Result<(), String> {
    let log = serde_json::to_vec(&case.content["input"]).expect("a JSON value can be written");
    let (mut flows, mut skipped) = (Vec::new(), Vec::new());
    let read = flow_log::read("input", 0, &*log, |item| match item {
        Ok(flow) => flows.push(spell(&flow)),
        Err(item) => skipped.push(format!("{}: {}", item.place, item.message)),
    });
    let read = read.map_err(|error| error.to_string())?;
    if let Some(damage) = read.damage {
        return Err(damage.message);
    }
    if !skipped.is_empty() {
        return Err(skipped.join("; "));
    }
    let expected = case.content["expect"].as_array().ok_or("the case expects no list of flows")?;
    if expected.len() != flows.len() {
        return Err(format!("expected {} flows, found {}", expected.len(), flows.len()));
    }
    let mut differences = Vec::new();
    for (at, (expected, found)) in expected.iter().zip(&flows).enumerate() {
        for (member, wanted) in expected.as_object().ok_or("an expected flow is no object")? {
            // A member that the spelling lacks is no null: it would be a misspelt case.
            let found = found.get(member).ok_or(format!("no flow has a member `{member}`"))?;
            if found != wanted {
                differences.push(format!("flow {at}, {member}: expected {wanted}, found {found}"));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
}

fn spell(flow: &LoggedFlow) -> Value {
    json!({
        "timeMs": flow.time_ms,
        "mac": flow.mac.iter().map(|byte| format!("{byte:02X}")).collect::<String>(),
        "acl": &*flow.acl,
        "rule": &*flow.rule,
        "ruleKind": match flow.rule_kind {
            RuleKind::User => "User",
            RuleKind::Default => "Default",
            RuleKind::Admin => "Admin",
            RuleKind::Platform => "Platform",
            RuleKind::Unspecified => "Unspecified",
        },
        "src": flow.source.to_string(),
        "dst": flow.destination.to_string(),
        "srcPort": flow.source_port,
        "dstPort": flow.destination_port,
        "protocol": flow.protocol.0,
        "direction": match flow.direction {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
        },
        "decision": match flow.decision {
            Access::Allow => "Allow",
            Access::Deny => "Deny",
        },
        "state": flow.state.map(|state| state.as_str()),
        "encryption": flow.encryption.map(|encryption| encryption.as_str()),
        "packetsSrcToDst": flow.sent.packets,
        "bytesSrcToDst": flow.sent.bytes,
        "packetsDstToSrc": flow.returned.packets,
        "bytesDstToSrc": flow.returned.bytes,
    })
}
