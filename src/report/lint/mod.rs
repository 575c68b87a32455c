//! What is odd about the NSGs of a network: as a table, Markdown, JSON and SARIF.

mod json;
mod sarif;
mod words;

use std::collections::BTreeMap;

pub use words::meaning;

use self::words::Words;
use super::inputs::Inputs;
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::counted;
use crate::analyze::lint::judged::{Judged, What};
use crate::compile::network::CompiledNetwork;
use crate::model::index::NsgIndex;
use crate::model::lint::{Check, LintConfig, Severity};
use crate::model::rule::{Direction, Rule};

/// What was found about a network.
pub struct LintReport<'a> {
    /// The network.
    pub compiled: &'a CompiledNetwork,
    /// What was found and is looked for.
    pub judged: &'a [Judged],
    /// How much each check that is looked for weighs.
    pub severities: &'a BTreeMap<Check, Severity>,
    /// Severities and waivers.
    pub config: &'a LintConfig,
    /// Where each NSG stands in the input, by position: file and JSON pointer.
    pub nsg_places: &'a [String],
    /// Where each rule of each NSG stands.
    pub rule_places: &'a [Vec<String>],
    /// What the network was read from.
    pub inputs: Inputs,
}

/// What something that was found is about, by name.
struct Subject<'a> {
    nsg: Option<&'a str>,
    direction: Option<Direction>,
    rule: Option<&'a str>,
    priority: Option<u32>,
    /// File and JSON pointer, or file, line and column.
    place: &'a str,
}

impl<'a> LintReport<'a> {
    fn words(&self) -> Words<'a> {
        Words { compiled: self.compiled, config: self.config }
    }

    fn subject(&self, what: &'a What) -> Subject<'a> {
        let network = &self.compiled.network;
        match what {
            What::Found(found) => {
                let rule: Option<&Rule> =
                    found.rule.map(|rule| &network.nsgs[found.nsg.get()].rules[rule as usize]);
                Subject {
                    nsg: Some(network.nsg_name(found.nsg)),
                    direction: rule.map(|rule| rule.direction),
                    rule: rule.map(|rule| rule.name.as_str()),
                    priority: rule.map(|rule| rule.priority.0),
                    place: self.place(found.nsg, found.rule),
                }
            }
            What::Finding(finding) => Subject {
                nsg: finding.nsg.as_deref(),
                direction: None,
                rule: finding.rule.as_deref(),
                priority: None,
                place: &finding.place,
            },
            What::Waiver(_, position) => Subject {
                nsg: None,
                direction: None,
                rule: None,
                priority: None,
                place: &self.config.waivers[*position].place,
            },
        }
    }

    fn place(&self, nsg: NsgIndex, rule: Option<u32>) -> &'a str {
        match rule {
            Some(rule) => &self.rule_places[nsg.get()][rule as usize],
            None => &self.nsg_places[nsg.get()],
        }
    }

    /// The places of all that was found, as file and JSON pointer.
    pub fn places(&self) -> impl Iterator<Item = &'a str> {
        self.judged.iter().map(|judged| self.subject(&judged.what).place)
    }

    /// How many there are of each weight that are not waived, and how many are.
    fn counts(&self) -> (BTreeMap<Severity, u64>, u64) {
        let mut counts: BTreeMap<Severity, u64> = Severity::ALL.map(|severity| (severity, 0)).into();
        let mut waived = 0;
        for judged in self.judged {
            match judged.waived_by {
                Some(_) => waived += 1,
                None => *counts.entry(judged.severity).or_default() += 1,
            }
        }
        (counts, waived)
    }

    /// The report for people: by NSG, the heaviest first.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let words = self.words();
        let mut sheet = Sheet::new(style);
        let mut by_nsg: BTreeMap<Option<&str>, Vec<(&Judged, Subject<'_>)>> = BTreeMap::new();
        for judged in self.judged.iter().filter(|judged| judged.waived_by.is_none()) {
            let subject = self.subject(&judged.what);
            by_nsg.entry(subject.nsg).or_default().push((judged, subject));
        }
        for (nsg, mut found) in by_nsg {
            // What is of the same weight keeps the order of the rules.
            found.sort_by_key(|(judged, _)| std::cmp::Reverse(judged.severity));
            sheet.section(nsg.unwrap_or("(no NSG)"));
            let mut table = Table::new(&["severity", "check", "rule", "found"], &[]);
            for (judged, subject) in found {
                let rule = match (subject.rule, subject.direction, subject.priority) {
                    (Some(rule), Some(direction), Some(priority)) => format!("{direction} {priority} {rule}"),
                    (Some(rule), ..) => rule.to_owned(),
                    (None, ..) => String::new(),
                };
                let sentence = words.sentence(judged);
                let sentence = match judged.what {
                    What::Found(_) => sentence,
                    What::Finding(_) | What::Waiver(..) => format!("{}: {sentence}", subject.place),
                };
                let check = judged.what.check().id().to_owned();
                table.add_row([judged.severity.to_string(), check, rule, sentence]);
            }
            sheet.table(&table);
        }
        let (counts, waived) = self.counts();
        if sheet.is_empty() && waived == 0 {
            sheet.line("Nothing was found.");
            return sheet.finish();
        }
        sheet.section("Totals");
        let mut totals: Vec<String> =
            counts.iter().rev().map(|(severity, count)| counted(*count, severity.as_str())).collect();
        if waived > 0 {
            totals.push(format!("{waived} waived"));
        }
        sheet.line(&format!("  {}", totals.join(", ")));
        sheet.finish()
    }
}
