//! What became of captured traffic: verdicts, rules, the ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::agreement::{AgreementJson, AgreementReport};
use super::groups::{GroupJson, GroupsReport};
use super::ledger::{HitsJson, LedgerJson, Provenance, SpanJson, VerdictsJson};
use super::names::{Names, socket};
use super::pseudonyms::Shown;
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::{counted, grouped};
use crate::model::flow::Port;
use crate::model::network::Network;
use crate::model::rule::Direction;
use crate::model::verdict::VerdictKind;
use crate::replay::digest::groups::Groups;
use crate::replay::run::Totals;
use crate::replay::tally::{Decider, DeniedGroup, Hits};

/// How many groups of denied flows the table shows.
const DENIED_SHOWN: usize = 20;

/// What counts are grouped by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum By {
    /// The deciding rule.
    #[default]
    Rule,
    /// The NSG of the deciding rule.
    Nsg,
}

/// A replay to report on.
pub struct ReplayReport<'a> {
    /// The network.
    pub network: &'a Network,
    /// What it is shown as.
    pub shown: Shown<'a>,
    /// The counts.
    pub totals: &'a Totals,
    /// What counts are grouped by.
    pub by: By,
    /// Flows by hours or by their ends, to be shown in place of these counts.
    pub groups: Option<&'a Groups>,
    /// What was read.
    pub provenance: Provenance,
}

#[derive(Serialize)]
struct ReplayJson<'a> {
    schema: &'static str,
    ledger: LedgerJson,
    verdicts: VerdictsJson,
    rules: Vec<RuleJson>,
    other_reasons: Vec<RuleJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nsgs: Vec<NsgJson>,
    /// Flows by hours or by their ends, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupJson>>,
    denied: Vec<DeniedJson>,
    denied_beyond: HitsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<AgreementJson>,
    span: SpanJson,
    #[serde(flatten)]
    provenance: &'a Provenance,
}

#[derive(Serialize)]
struct RuleJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    nsg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_log_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    access: VerdictKind,
    #[serde(flatten)]
    hits: HitsJson,
    #[serde(flatten)]
    span: SpanJson,
}

#[derive(Serialize)]
struct NsgJson {
    nsg: String,
    access: VerdictKind,
    #[serde(flatten)]
    hits: HitsJson,
}

#[derive(Serialize)]
struct DeniedJson {
    source: String,
    destination: String,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
    decided_by: super::names::DeciderWords,
    #[serde(flatten)]
    hits: HitsJson,
    #[serde(flatten)]
    span: SpanJson,
}

impl<'a> ReplayReport<'a> {
    fn names(&self) -> Names<'a> {
        Names { network: self.shown.network }
    }

    /// Deciding rules in the order of their NSGs and priorities, and then what else decided.
    fn rules(&self) -> (Vec<RuleJson>, Vec<RuleJson>) {
        let names = self.names();
        let rows = self.totals.tally.deciders.iter().map(|((decider, access), hits)| {
            let words = names.decider(decider);
            let flow_log_name = match decider {
                Decider::Rule { nsg, rule, .. } => {
                    Some(self.shown.network.nsgs[nsg.get()].rules[*rule as usize].flow_log_name())
                }
                _ => None,
            };
            let is_rule = flow_log_name.is_some();
            let row = RuleJson {
                nsg: words.nsg,
                direction: words.direction,
                kind: (!is_rule).then_some(words.kind),
                rule: words.rule,
                flow_log_name,
                priority: words.priority,
                access: *access,
                hits: hits.into(),
                span: hits.span.into(),
            };
            (is_rule, row)
        });
        let (rules, others): (Vec<_>, Vec<_>) = rows.partition(|(is_rule, _)| *is_rule);
        let rows = |list: Vec<(bool, RuleJson)>| list.into_iter().map(|(_, row)| row).collect();
        (rows(rules), rows(others))
    }

    fn nsgs(&self) -> Vec<NsgJson> {
        let names = self.names();
        let mut sums: BTreeMap<(String, VerdictKind), Hits> = BTreeMap::new();
        for ((decider, access), hits) in &self.totals.tally.deciders {
            let words = names.decider(decider);
            let nsg = words.nsg.unwrap_or_else(|| format!("({})", words.kind));
            sums.entry((nsg, *access)).or_default().merge(hits);
        }
        let row = |((nsg, access), hits): ((String, VerdictKind), Hits)| NsgJson {
            nsg,
            access,
            hits: (&hits).into(),
        };
        sums.into_iter().map(row).collect()
    }

    /// Groups of denied packets, the largest first.
    fn denied_groups(&self) -> Vec<(&'a DeniedGroup, &'a Hits)> {
        let mut groups: Vec<_> = self.totals.tally.denied.iter().collect();
        groups.sort_by_key(|(group, hits)| (std::cmp::Reverse((hits.packets, hits.flows)), **group));
        groups
    }

    fn denied(&self) -> Vec<DeniedJson> {
        let names = self.names();
        self.denied_groups()
            .into_iter()
            .map(|(group, hits)| DeniedJson {
                source: group.source.to_string(),
                destination: group.destination.to_string(),
                protocol: group.protocol.to_string(),
                destination_port: group.destination_port,
                decided_by: names.decider(&group.decider),
                hits: hits.into(),
                span: hits.span.into(),
            })
            .collect()
    }

    fn groups(&self) -> Option<GroupsReport<'a>> {
        self.groups.map(|groups| GroupsReport { network: self.shown.network, groups })
    }

    /// How what was recorded agrees, where something was.
    fn agreement(&self) -> Option<AgreementReport<'_>> {
        AgreementReport::of(self.network, self.shown, self.totals, &self.provenance)
    }

    /// The report as `nsgsim/replay/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let tally = &self.totals.tally;
        let (rules, other_reasons) = self.rules();
        let json = ReplayJson {
            schema: "nsgsim/replay/1",
            ledger: self.provenance.ledger(&self.totals.ledger),
            verdicts: tally.into(),
            rules,
            other_reasons,
            nsgs: if self.by == By::Nsg { self.nsgs() } else { Vec::new() },
            groups: self.groups().map(|groups| groups.json()),
            denied: self.denied(),
            denied_beyond: (&tally.denied_beyond).into(),
            agreement: self.agreement().map(|agreement| agreement.json()),
            span: tally.span.into(),
            provenance: &self.provenance,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        match (self.groups(), self.by) {
            (Some(groups), _) => groups.table(&mut sheet),
            (None, By::Rule) => self.rules_table(&mut sheet),
            (None, By::Nsg) => self.nsgs_table(&mut sheet),
        }
        self.denied_table(&mut sheet);
        if let Some(agreement) = self.agreement() {
            agreement.table(&mut sheet);
        }
        self.ledger_table(&mut sheet);
        sheet.finish()
    }

    fn rules_table(&self, sheet: &mut Sheet) {
        sheet.section("Verdicts by rule");
        let header = ["verdict", "packets", "flows", "bytes", "priority", "decided by"];
        let mut table = Table::new(&header, &[1, 2, 3, 4]);
        let (rules, others) = self.rules();
        for row in rules.iter().chain(&others) {
            let by = match (&row.nsg, row.direction, &row.rule) {
                (Some(nsg), Some(direction), Some(rule)) => format!("{nsg} {direction} {rule}"),
                (_, _, Some(rule)) => format!("{} {rule}", row.kind.unwrap_or_default()),
                _ => row.kind.unwrap_or_default().to_owned(),
            };
            table.add_row([
                sheet.style.verdict(row.access),
                grouped(row.hits.packets),
                grouped(row.hits.flows),
                grouped(row.hits.bytes),
                row.priority.map(|priority| priority.to_string()).unwrap_or_default(),
                by,
            ]);
        }
        sheet.table(&table);
    }

    fn nsgs_table(&self, sheet: &mut Sheet) {
        sheet.section("Verdicts by NSG");
        let mut table = Table::new(&["verdict", "packets", "flows", "bytes", "decided by"], &[1, 2, 3]);
        for row in self.nsgs() {
            table.add_row([
                sheet.style.verdict(row.access),
                grouped(row.hits.packets),
                grouped(row.hits.flows),
                grouped(row.hits.bytes),
                row.nsg,
            ]);
        }
        sheet.table(&table);
    }

    fn denied_table(&self, sheet: &mut Sheet) {
        let groups = self.denied_groups();
        if groups.is_empty() {
            return;
        }
        sheet.section("Denied flows");
        let names = self.names();
        let header = ["packets", "flows", "source", "destination", "protocol", "decided by"];
        let mut table = Table::new(&header, &[0, 1]);
        for (group, hits) in groups.iter().take(DENIED_SHOWN) {
            let port = group.destination_port.map_or(Port::None, Port::Number);
            table.add_row([
                grouped(hits.packets),
                grouped(hits.flows),
                group.source.to_string(),
                socket(group.destination, port),
                group.protocol.to_string(),
                names.decider(&group.decider).line(),
            ]);
        }
        sheet.table(&table);
        let beyond = self.totals.tally.denied_beyond.flows;
        let left: u64 = groups.iter().skip(DENIED_SHOWN).map(|(_, hits)| hits.flows).sum::<u64>() + beyond;
        if left > 0 {
            writeln!(sheet, "  and {}: --decisions FILE lists every one", counted(left, "more flow"))
                .expect("writing to a string works");
        }
    }

    fn ledger_table(&self, sheet: &mut Sheet) {
        sheet.section("Ledger");
        self.provenance.ledger_lines(sheet, &self.totals.ledger);
        self.provenance.closing(sheet, self.totals.tally.span);
    }
}
