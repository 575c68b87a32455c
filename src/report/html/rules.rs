//! Rules by how many flows met them, and those that none met.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::marks::{Count, Mark};
use crate::model::index::{NsgIndex, Reference};
use crate::model::network::Network;
use crate::model::rule::Rule;
use crate::model::verdict::{RulePlace, VerdictKind};
use crate::replay::digest::Volume;
use crate::replay::tally::{Decider, Hits, Tally};
use crate::report::names::Names;
use crate::report::time::counted;

/// How many rules are shown.
const MOST_SHOWN: usize = 2000;

/// How many letters of what a rule is about are shown.
const MOST_LETTERS: usize = 160;

/// The rules and what else decided.
pub(super) struct Rules {
    pub(super) rows: Vec<Row>,
    /// What is left out, in words.
    pub(super) left_out: Option<String>,
    /// How many custom rules no flow met, in words.
    pub(super) unused: String,
    /// NSGs that no subnet and no interface holds.
    pub(super) unattached: Vec<String>,
    /// What else than rules of NSGs and network managers decided.
    pub(super) others: Vec<Other>,
}

/// One rule.
pub(super) struct Row {
    pub(super) rule: String,
    pub(super) nsg: String,
    pub(super) direction: String,
    pub(super) priority: u32,
    pub(super) access: Mark,
    pub(super) about: String,
    /// Flows that it let on or stopped.
    pub(super) met: Count,
    /// Flows and packets whose verdict it settled.
    pub(super) decided: Count,
    pub(super) packets: Count,
    pub(super) is_default: bool,
    pub(super) is_used: bool,
}

/// Something else that decided.
pub(super) struct Other {
    pub(super) verdict: Mark,
    pub(super) what: String,
    pub(super) flows: Count,
    pub(super) packets: Count,
}

impl Rules {
    pub(super) fn new(network: &Network, tally: &Tally, met: &BTreeMap<RulePlace, Volume>) -> Self {
        let names = Names { network };
        let mut decided: BTreeMap<RulePlace, Hits> = BTreeMap::new();
        let mut others: Vec<(&Hits, Other)> = Vec::new();
        for ((decider, kind), hits) in &tally.deciders {
            match decider {
                Decider::Rule { nsg, rule, .. } => {
                    decided.entry(RulePlace::Nsg { nsg: *nsg, rule: *rule }).or_default().merge(hits);
                }
                Decider::AdminRule { rule, .. } => {
                    decided.entry(RulePlace::Admin(*rule)).or_default().merge(hits);
                }
                other => others.push((
                    hits,
                    Other {
                        verdict: Mark::of(*kind),
                        what: names.decider(other).line(),
                        flows: Count(hits.flows),
                        packets: Count(hits.packets),
                    },
                )),
            }
        }
        others.sort_by_key(|(hits, _)| Reverse((hits.packets, hits.flows)));

        let row = |place: RulePlace, owner: &str, rule: &Written| {
            let (met, decided) = (
                met.get(&place).copied().unwrap_or_default(),
                decided.get(&place).copied().unwrap_or_default(),
            );
            Row {
                rule: rule.name.to_owned(),
                nsg: owner.to_owned(),
                direction: rule.direction.to_owned(),
                priority: rule.priority,
                access: rule.access,
                about: shortened(&rule.about),
                met: Count(met.flows),
                decided: Count(decided.flows),
                packets: Count(decided.packets),
                is_default: rule.is_default,
                is_used: met.flows > 0 || decided.packets > 0,
            }
        };
        let mut rows = Vec::new();
        for (position, nsg) in network.nsgs.iter().enumerate() {
            let index = NsgIndex::new(position);
            let name = network.nsg_name(index);
            for (rule, written) in (0_u32..).zip(&nsg.rules) {
                rows.push(row(RulePlace::Nsg { nsg: index, rule }, name, &Written::new(names, written)));
            }
        }
        // Those of network managers are listed where some flow met them: which others are in force hangs on more than
        // their being there.
        let admin: std::collections::BTreeSet<RulePlace> =
            met.keys().chain(decided.keys()).copied().collect();
        for place in admin {
            if let RulePlace::Admin(position) = place {
                let rule = network.admin_rule(position);
                let written = Written {
                    name: &rule.name,
                    direction: rule.direction.to_string(),
                    priority: rule.priority,
                    access: admin_mark(rule.action),
                    about: "a security admin rule".to_owned(),
                    is_default: false,
                };
                rows.push(row(place, network.manager_name(position), &written));
            }
        }
        let custom_unused = rows.iter().filter(|row| !row.is_used && !row.is_default).count();
        let custom = rows.iter().filter(|row| !row.is_default).count();
        // Those that were met first, by how often; then custom ones, which are the owner's to take away. The sort keeps the
        // order of NSGs and priorities otherwise.
        rows.sort_by_key(|row| (!row.is_used, Reverse(row.met.0), Reverse(row.packets.0), row.is_default));
        let left_out =
            (rows.len() > MOST_SHOWN).then(|| counted((rows.len() - MOST_SHOWN) as u64, "more rule"));
        rows.truncate(MOST_SHOWN);
        Self {
            rows,
            left_out,
            unused: format!("{} of {}", Count(custom_unused as u64), counted(custom as u64, "custom rule")),
            unattached: unattached(network),
            others: others.into_iter().map(|(_, other)| other).collect(),
        }
    }
}

/// A rule as its owner wrote it.
struct Written<'r> {
    name: &'r str,
    direction: String,
    priority: u32,
    access: Mark,
    about: String,
    is_default: bool,
}

impl<'r> Written<'r> {
    fn new(names: Names<'_>, rule: &'r Rule) -> Self {
        let fields = names.fields(rule);
        let from = if fields.source_port == "*" || fields.source_port == "0-65535" {
            fields.source
        } else {
            format!("{}:{}", fields.source, fields.source_port)
        };
        Self {
            name: &rule.name,
            direction: rule.direction.to_string(),
            priority: rule.priority.0,
            access: Mark::of_access(rule.access),
            about: format!(
                "{} {from} -> {}:{}",
                fields.protocol, fields.destination, fields.destination_port
            ),
            is_default: rule.is_default,
        }
    }
}

fn admin_mark(action: crate::model::services::AdminAction) -> Mark {
    use crate::model::services::AdminAction;
    match action {
        AdminAction::Allow | AdminAction::AlwaysAllow => Mark::of(VerdictKind::Allow),
        AdminAction::Deny => Mark::of(VerdictKind::Deny),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MOST_LETTERS {
        return text.to_owned();
    }
    text.chars().take(MOST_LETTERS).collect::<String>() + "…"
}

/// NSGs that nothing in the inventory holds.
fn unattached(network: &Network) -> Vec<String> {
    let of_subnets = network.subnets.iter().filter_map(|subnet| subnet.nsg.as_ref());
    let of_nics = network.nics.iter().filter_map(|nic| nic.nsg.as_ref());
    let mut is_held = vec![false; network.nsgs.len()];
    for nsg in of_subnets.chain(of_nics).filter_map(Reference::here) {
        is_held[nsg.get()] = true;
    }
    let free = (0..network.nsgs.len())
        .filter(|nsg| !is_held[*nsg] && network.nsgs[*nsg].attached_subnets.is_empty());
    free.map(|nsg| network.nsg_name(NsgIndex::new(nsg)).to_owned()).collect()
}
