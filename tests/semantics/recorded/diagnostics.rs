//! NSG diagnostics (NW-2): the verdict, the NSGs that were asked, and which field of which rule matched.

use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::compile::linear;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork, PolicyReference};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{Interface, StepAnswer};
use serde_json::Value;

use super::{bare, judge_all, nic_of, question, spelt};
use crate::engine::{ENGINES, Judging};

#[test]
fn diagnostics_name_the_rules_that_the_service_named() {
    judge_all("networkConfigurationDiagnostic", |_, network, query| {
        let question = question(query).ok_or("no question")?;
        let nic = nic_of(network, &question["targetResourceId"]).ok_or("no interface")?;
        let results = query["answer"]["results"].as_array().ok_or("no results")?;
        if results.is_empty() {
            return Err("no results".to_owned());
        }
        let rules: usize =
            results.iter().map(|result| profile(network, nic, result)).sum::<Result<usize, String>>()?;
        Ok(format!("{} profiles, {rules} rules tried", results.len()))
    });
}

/// Compares the answer about one packet; tells how many rules were tried.
fn profile(network: &Network, nic: NicIndex, result: &Value) -> Result<usize, String> {
    let tags = TagCatalog::default();
    let asked = ["profile", "trafficQuery"].into_iter().map(|name| &result[name]).find(|it| it.is_object());
    let asked = asked.ok_or("no profile")?;
    let text = |member: &str| asked[member].as_str().ok_or_else(|| format!("no {member}"));
    let address = |member: &str| -> Result<IpAddr, String> {
        text(member)?.parse().map_err(|_| format!("{member} is no address"))
    };
    let port = text("destinationPort")?.parse().map_err(|_| "no port")?;
    let tuple = FiveTuple {
        source: address("source")?,
        destination: address("destination")?,
        protocol: Protocol::read(text("protocol")?).ok_or("no protocol")?,
        source_port: Port::NotGiven,
        destination_port: Port::Number(port),
    };
    let direction = match text("direction")? {
        "Inbound" => Direction::Inbound,
        _ => Direction::Outbound,
    };
    let told = &result["networkSecurityGroupResult"];
    let access = told["securityRuleAccessResult"].as_str().ok_or("no verdict")?;
    let groups = told["evaluatedNetworkSecurityGroups"].as_array().ok_or("no NSGs")?;
    let last = groups.last().ok_or("no NSGs")?;
    let decider = bare(last["matchedRule"]["ruleName"].as_str().ok_or("no rule")?);
    for (name, make) in ENGINES {
        let answer =
            make(network.clone(), &tags, Judging::default()).ip_flow(nic, direction, &Packet::new(tuple));
        let asked: Vec<String> = answer
            .steps
            .iter()
            .filter_map(|step| match step.answer {
                StepAnswer::Rule(hit) => Some(network.nsgs[hit.nsg.get()].id.folded().to_owned()),
                _ => None,
            })
            .collect();
        let expected: Vec<String> = groups
            .iter()
            .map(|group| group["networkSecurityGroupId"].as_str().unwrap_or_default().to_ascii_lowercase())
            .collect();
        let found = spelt(network, &answer);
        if found.0 != access || !found.1.eq_ignore_ascii_case(decider) || asked != expected {
            return Err(format!("{name}: expected {access} by {decider}, found {found:?} of {asked:?}"));
        }
    }
    fields(network, nic, direction, &tuple, groups)
}

/// Compares which fields of which rules matched, in the order in which the rules were tried, down to the one that
/// decided.
fn fields(
    network: &Network,
    nic: NicIndex,
    direction: Direction,
    tuple: &FiveTuple,
    groups: &[Value],
) -> Result<usize, String> {
    const FIELDS: [&str; 5] = [
        "protocolMatched",
        "sourceMatched",
        "sourcePortMatched",
        "destinationMatched",
        "destinationPortMatched",
    ];
    let tags = Arc::new(TagCatalog::default());
    let compiled = CompiledNetwork::new(Arc::new(network.clone()), tags, CompileOptions::default());
    let layers = compiled.layers(Interface::Nic(nic), direction);
    let mut tried = 0;
    for group in groups {
        let id = group["networkSecurityGroupId"].as_str().unwrap_or_default();
        let policy = layers.iter().find_map(|layer| match &layer.policy {
            PolicyReference::Compiled(position) => {
                let policy = &compiled.policies[*position];
                let own = network.nsgs[policy.nsg().get()].id.as_str();
                own.eq_ignore_ascii_case(id).then_some(policy)
            }
            _ => None,
        });
        let policy = policy.ok_or_else(|| format!("no NSG {id}"))?;
        let told = group["rulesEvaluationResult"].as_array().ok_or("no rules")?;
        for (rule, told) in policy.rules.iter().zip(told) {
            let own = &network.nsgs[policy.nsg().get()].rules[rule.position as usize].name;
            let name = bare(told["name"].as_str().unwrap_or_default());
            let matched = linear::fields_matched(rule, tuple, &policy.owner);
            let expected = FIELDS.map(|field| told[field] == true);
            if !own.eq_ignore_ascii_case(name) || matched != expected {
                return Err(format!("expected {name} {expected:?}, found {own} {matched:?}"));
            }
            tried += 1;
        }
        if told.len() > policy.rules.len() {
            return Err(format!("{} rules are listed of {id}", told.len()));
        }
    }
    Ok(tried)
}
