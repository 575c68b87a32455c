//! The rules in force at one interface, layer by layer, as they were written and as they resolve there.

use std::fmt::Write as _;

use serde::Serialize;

use super::inputs::Inputs;
use super::names::{self, Names};
use super::sheet::{Sheet, Table};
use super::style::Style;
use crate::compile::address_set::AddressSet;
use crate::compile::field::{AddressField, Doubt};
use crate::compile::network::{CompiledNetwork, LayerPolicy, PolicyReference};
use crate::compile::resolve::ResolvedRule;
use crate::model::index::NicIndex;
use crate::model::prefix::Prefix;
use crate::model::reason_code::ReasonCode;
use crate::model::rule::{Access, Direction, Rule};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Layer};

/// How wide lists of prefixes are set.
const WIDTH: usize = 100;

/// The rules in force at one interface.
pub struct EffectiveRules<'a> {
    /// The network.
    pub compiled: &'a CompiledNetwork,
    /// The interface.
    pub nic: NicIndex,
    /// Which lists.
    pub directions: &'a [Direction],
    /// Show what addresses stand for, too.
    pub expand: bool,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct EffectiveJson<'a> {
    schema: &'static str,
    nic: &'a str,
    layers: Vec<LayerJson>,
    inputs: &'a Inputs,
}

/// A filter of the interface.
#[derive(Serialize)]
struct LayerJson {
    layer: Layer,
    /// Nothing where even that is unknown.
    nsg: Option<String>,
    direction: Direction,
    /// The ID of what the export lacks: then the rules are unknown, not none.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleJson>>,
}

#[derive(Serialize)]
struct RuleJson {
    rule: String,
    flow_log_name: String,
    priority: u32,
    access: Access,
    protocol: String,
    source: Vec<String>,
    source_port: Vec<String>,
    destination: Vec<String>,
    destination_port: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_source: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_destination: Option<Vec<String>>,
    /// What a field may hold besides.
    unknown: Vec<UnknownJson>,
}

/// Something that nobody knows about a field.
#[derive(Serialize)]
struct UnknownJson {
    field: &'static str,
    code: ReasonCode,
    name: String,
}

#[derive(Serialize)]
struct RowCsv<'a> {
    nic: &'a str,
    direction: Direction,
    layer: Layer,
    nsg: Option<&'a str>,
    missing: Option<&'a str>,
    priority: Option<u32>,
    rule: Option<&'a str>,
    access: Option<Access>,
    protocol: Option<&'a str>,
    source: String,
    source_port: String,
    destination: String,
    destination_port: String,
    expanded_source: String,
    expanded_destination: String,
    unknown: String,
}

impl EffectiveRules<'_> {
    fn names(&self) -> Names<'_> {
        Names { network: &self.compiled.network }
    }

    fn nic_name(&self) -> &str {
        self.compiled.network.nic_name(self.nic)
    }

    fn layers(&self) -> Vec<LayerJson> {
        let interface = Interface::Nic(self.nic);
        let of = |direction: &Direction| {
            let direction = *direction;
            let layers = self.compiled.layers(interface, direction).iter();
            layers.map(move |layer| self.layer(layer, direction))
        };
        self.directions.iter().flat_map(of).collect()
    }

    fn layer(&self, layer: &LayerPolicy, direction: Direction) -> LayerJson {
        let missing = |nsg: Option<&str>, id: &str| LayerJson {
            layer: layer.layer,
            nsg: nsg.map(str::to_owned),
            direction,
            missing: Some(id.to_owned()),
            rules: None,
        };
        match &layer.policy {
            PolicyReference::Compiled(position) => {
                let policy = &self.compiled.policies[*position];
                let written = &self.compiled.network.nsgs[policy.nsg().get()].rules;
                let rule = |rule: &ResolvedRule| self.rule(&written[rule.position as usize], rule);
                LayerJson {
                    layer: layer.layer,
                    nsg: Some(self.compiled.network.nsg_name(policy.nsg()).to_owned()),
                    direction,
                    missing: None,
                    rules: Some(policy.rules.iter().map(rule).collect()),
                }
            }
            PolicyReference::Missing(nsg) => missing(Some(nsg.name()), nsg.as_str()),
            PolicyReference::MissingSubnet(subnet) => missing(None, subnet.as_str()),
            PolicyReference::Unlisted => {
                missing(None, self.compiled.network.nics[self.nic.get()].id.as_str())
            }
        }
    }

    fn rule(&self, written: &Rule, resolved: &ResolvedRule) -> RuleJson {
        let names = self.names();
        let sources: Vec<&AddressField> = resolved.clauses.iter().map(|clause| &clause.source).collect();
        let destinations: Vec<&AddressField> =
            resolved.clauses.iter().map(|clause| &clause.destination).collect();
        RuleJson {
            rule: written.name.clone(),
            flow_log_name: written.flow_log_name(),
            priority: written.priority.0,
            access: written.access,
            protocol: names::protocol(&written.protocol),
            source: names.addresses(&written.source),
            source_port: names::ports(&written.source_ports),
            destination: names.addresses(&written.destination),
            destination_port: names::ports(&written.destination_ports),
            expanded_source: self.expand.then(|| expanded(&sources)),
            expanded_destination: self.expand.then(|| expanded(&destinations)),
            unknown: unknown(resolved, &sources, &destinations),
        }
    }

    /// The rules as `nsgsim/effective/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let json = EffectiveJson {
            schema: "nsgsim/effective/1",
            nic: self.nic_name(),
            layers: self.layers(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The rules as CSV, one a line; lists are separated by blanks.
    ///
    /// # Panics
    ///
    /// Never: writing to memory works.
    #[must_use]
    pub fn csv(&self) -> String {
        const NO_RULE: &[RuleJson] = &[];
        let nic = self.nic_name();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: RowCsv<'_>| writer.serialize(row).expect("writing to memory works");
        for layer in &self.layers() {
            let row = |rule: Option<&RuleJson>| {
                let list = |of: fn(&RuleJson) -> &[String]| rule.map(|rule| of(rule).join(" "));
                let list = |of| list(of).unwrap_or_default();
                RowCsv {
                    nic,
                    direction: layer.direction,
                    layer: layer.layer,
                    nsg: layer.nsg.as_deref(),
                    missing: layer.missing.as_deref(),
                    priority: rule.map(|rule| rule.priority),
                    rule: None,
                    access: rule.map(|rule| rule.access),
                    protocol: None,
                    source: list(|rule| &rule.source),
                    source_port: list(|rule| &rule.source_port),
                    destination: list(|rule| &rule.destination),
                    destination_port: list(|rule| &rule.destination_port),
                    expanded_source: list(|rule| rule.expanded_source.as_deref().unwrap_or_default()),
                    expanded_destination: list(|rule| {
                        rule.expanded_destination.as_deref().unwrap_or_default()
                    }),
                    unknown: rule.map(|rule| unknown_text(&rule.unknown, " ")).unwrap_or_default(),
                }
            };
            if layer.missing.is_some() {
                write(row(None));
            }
            for rule in layer.rules.as_deref().unwrap_or(NO_RULE) {
                write(RowCsv { rule: Some(&rule.rule), protocol: Some(&rule.protocol), ..row(Some(rule)) });
            }
        }
        let bytes = writer.into_inner().expect("writing to memory works");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }

    /// The rules for people: a table for each filter, in the order in which they are asked.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let write = "writing to a string works";
        let mut sheet = Sheet::new(style);
        let layers = self.layers();
        for direction in self.directions {
            let mut of_direction = layers.iter().filter(|layer| layer.direction == *direction).peekable();
            if of_direction.peek().is_none() {
                sheet.section(&format!("{direction}, nic {}", self.nic_name()));
                sheet.line("  no NSG, neither the interface's own nor its subnet's");
            }
            for layer in of_direction {
                let filter = self.names().filter(layer.layer, Interface::Nic(self.nic));
                let nsg = layer.nsg.as_deref().unwrap_or("(unknown)");
                sheet.section(&format!("{direction}, {filter}: {nsg}"));
                if let Some(missing) = &layer.missing {
                    writeln!(sheet, "  missing: the export lacks {missing}").expect(write);
                }
                if let Some(rules) = &layer.rules {
                    rules_table(&mut sheet, rules);
                }
            }
        }
        if self.expand {
            sheet.section(&format!("what names stand for at {}", self.nic_name()));
            names_table(&mut sheet, &layers);
        }
        writeln!(sheet, "\n  {}", style.faint(&self.inputs.tags_shown())).expect(write);
        sheet.finish()
    }
}

fn rules_table(sheet: &mut Sheet, rules: &[RuleJson]) {
    let header = ["priority", "access", "protocol", "source", "port", "destination", "port", "rule"];
    let mut table = Table::new(&header, &[0]);
    for rule in rules {
        table.add_row([
            rule.priority.to_string(),
            sheet.style.access(rule.access),
            rule.protocol.clone(),
            rule.source.join(","),
            rule.source_port.join(","),
            rule.destination.join(","),
            rule.destination_port.join(","),
            rule.rule.clone(),
        ]);
    }
    sheet.table(&table);
    for rule in rules {
        if !rule.unknown.is_empty() {
            writeln!(sheet, "  {} unknown: {}", rule.rule, unknown_text(&rule.unknown, ", "))
                .expect("writing to a string works");
        }
    }
}

/// What the names in these rules stand for at this interface, each once, in the order in which they appear.
fn names_table(sheet: &mut Sheet, layers: &[LayerJson]) {
    let write = "writing to a string works";
    let mut shown: Vec<&[String]> = Vec::new();
    for rule in layers.iter().filter_map(|layer| layer.rules.as_ref()).flatten() {
        let sides = [
            ("source", &rule.source, &rule.expanded_source),
            ("destination", &rule.destination, &rule.expanded_destination),
        ];
        for (field, written, expanded) in sides {
            let is_name = |word: &String| word != "*" && word.parse::<Prefix>().is_err();
            let Some(prefixes) = expanded.as_ref().filter(|_| written.iter().any(is_name)) else { continue };
            if shown.contains(&&**written) {
                continue;
            }
            shown.push(written);
            let unknown = rule.unknown.iter().any(|unknown| unknown.field == field);
            let count = match (prefixes.len(), unknown) {
                (0, true) => "unknown".to_owned(),
                (count, false) => counted_prefixes(count),
                (count, true) => format!("{} and what is unknown", counted_prefixes(count)),
            };
            writeln!(sheet, "  {}: {count}", written.join(",")).expect(write);
            wrap(sheet, prefixes);
        }
    }
}

/// So many prefixes, in words.
pub(super) fn counted_prefixes(count: usize) -> String {
    if count == 1 { "1 prefix".to_owned() } else { format!("{count} prefixes") }
}

fn wrap(sheet: &mut Sheet, words: &[String]) {
    const INDENT: &str = "   ";
    let mut line = INDENT.to_owned();
    for word in words {
        if line.len() > INDENT.len() && line.len() + 1 + word.len() > WIDTH {
            sheet.line(&line);
            line.truncate(INDENT.len());
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > INDENT.len() {
        sheet.line(&line);
    }
}

/// The fewest prefixes for what the fields of a rule's clauses certainly hold.
fn expanded(fields: &[&AddressField]) -> Vec<String> {
    let all = fields.iter().fold(AddressSet::empty(), |all, field| all.union(&field.known));
    all.prefixes().iter().map(ToString::to_string).collect()
}

fn unknown(
    resolved: &ResolvedRule,
    sources: &[&AddressField],
    destinations: &[&AddressField],
) -> Vec<UnknownJson> {
    let mut found: Vec<UnknownJson> = Vec::new();
    let mut add = |field, (code, name): (ReasonCode, String)| {
        // The clauses of one rule share their fields.
        if !found.iter().any(|known| (known.field, known.code, &known.name) == (field, code, &name)) {
            found.push(UnknownJson { field, code, name });
        }
    };
    for (field, side) in [("source", sources), ("destination", destinations)] {
        for doubt in side.iter().flat_map(|field| &field.doubts) {
            add(field, doubt_words(&doubt.about));
        }
    }
    for clause in &resolved.clauses {
        let doubts = [
            ("protocol", &clause.protocols.doubt),
            ("source_port", &clause.source_ports.doubt),
            ("destination_port", &clause.destination_ports.doubt),
        ];
        for (field, doubt) in doubts {
            if let Some(doubt) = doubt {
                add(field, (doubt.code(), text_of(doubt)));
            }
        }
    }
    found
}

fn doubt_words(doubt: &Doubt) -> (ReasonCode, String) {
    match doubt {
        Doubt::Tag(tag) => (ReasonCode::UnknownTag, tag.to_string()),
        Doubt::Asg(asg) => (ReasonCode::MissingResource, asg.to_string()),
        Doubt::Connected { missing, .. } => (ReasonCode::MissingResource, missing.clone()),
        Doubt::Text(unknown) => (unknown.code(), text_of(unknown)),
    }
}

fn text_of(unknown: &Unknown) -> String {
    match unknown {
        Unknown::FieldMatches { text, .. } => text.clone(),
        other => other.code().to_string(),
    }
}

fn unknown_text(unknown: &[UnknownJson], between: &str) -> String {
    let words: Vec<String> = unknown
        .iter()
        .map(|unknown| format!("{} {} {}", unknown.field, unknown.code, unknown.name))
        .collect();
    words.join(between)
}
