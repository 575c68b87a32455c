//! What is computed for an interface, and what Azure answered: what differs, and what was not compared.

use std::fmt::Write as _;

use serde::Serialize;

use super::effective::counted_prefixes;
use super::effective_routes::{part, source};
use super::inputs::Inputs;
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::counted;
use crate::analyze::check::{
    Comparison, Difference, DifferenceKind, Field, Item, NotCompared, Uncompared, Why,
};
use crate::analyze::routes::OpenPart;
use crate::model::reason_code::ReasonCode;
use crate::model::rule::Direction;
use crate::model::tag::TagSource;
use crate::model::verdict::{Layer, RouteSource};

/// How many elements of a list a table shows.
const MOST_SHOWN: usize = 4;

/// A comparison to report on.
pub struct CheckReport<'a> {
    /// The interface's name.
    pub nic: &'a str,
    /// The answer's file, as the user gave it.
    pub file: &'a str,
    /// What came of it.
    pub comparison: &'a Comparison,
    /// What the network was read from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    schema: &'static str,
    nic: &'a str,
    answer: &'a str,
    compared: ComparedJson,
    differences: Vec<DifferenceJson<'a>>,
    not_compared: Vec<NotComparedJson<'a>>,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct ComparedJson {
    rules: usize,
    routes: usize,
    packets: usize,
}

#[derive(Serialize)]
struct DifferenceJson<'a> {
    kind: &'static str,
    #[serde(flatten)]
    item: ItemJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    computed: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<&'a [String]>,
}

#[derive(Default, Serialize)]
struct ItemJson<'a> {
    item: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nsg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<RouteSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<usize>,
}

#[derive(Serialize)]
struct NotComparedJson<'a> {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<OpenPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<usize>,
    why: WhyJson<'a>,
}

#[derive(Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum WhyJson<'a> {
    Open { code: ReasonCode, missing: &'a str },
    TagFile { loaded: Option<&'a TagSource>, only_computed: usize, only_answered: usize },
    UnknownTag,
    NotTold,
    Ipv4Only,
    NoClause,
    NotComputed,
    SeveralPackets { text: &'a str },
}

#[derive(Serialize)]
struct RowCsv {
    nic: String,
    kind: &'static str,
    item: String,
    field: Option<&'static str>,
    computed: String,
    answered: String,
    why: String,
}

fn field_name(field: Field) -> &'static str {
    match field {
        Field::Nsg => "nsg",
        Field::Subnet => "subnet",
        Field::Priority => "priority",
        Field::Access => "access",
        Field::Protocol => "protocol",
        Field::Source => "source",
        Field::ExpandedSource => "expanded_source",
        Field::SourcePort => "source_port",
        Field::Destination => "destination",
        Field::ExpandedDestination => "expanded_destination",
        Field::DestinationPort => "destination_port",
        Field::State => "state",
        Field::NextHop => "next_hop",
        Field::NextHopAddress => "next_hop_address",
        Field::Name => "name",
        Field::Verdict => "verdict",
        Field::MatchedRule => "matched_rule",
        Field::FieldsMatched => "fields_matched",
        Field::Asked => "asked",
    }
}

fn kind_name(kind: &DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::OnlyComputed => "only_computed",
        DifferenceKind::OnlyAnswered => "only_answered",
        DifferenceKind::Field { .. } => "differs",
    }
}

fn layer_words(layer: Option<Layer>) -> &'static str {
    match layer {
        Some(Layer::SubnetNsg) => "subnet",
        Some(Layer::NicNsg) => "nic",
        None => "all NSGs",
    }
}

fn item_words(item: &Item) -> String {
    match item {
        Item::Nsg { layer: Some(layer), nsg } => format!("{} NSG {nsg}", layer_words(Some(*layer))),
        Item::Nsg { layer: None, nsg } => format!("NSG {nsg}"),
        Item::Rule { layer, direction, name } => {
            format!("{direction}, {}: {name}", layer_words(*layer))
        }
        Item::Route { prefix, source: from } => format!("route {prefix}, {}", source(*from)),
        Item::Packet { number, owner: None } => format!("packet {number}"),
        Item::Packet { number, owner: Some(owner) } => format!("packet {number} at {owner}"),
    }
}

fn item_json(item: &Item) -> ItemJson<'_> {
    let kind = |item| ItemJson { item, ..ItemJson::default() };
    match item {
        Item::Nsg { layer, nsg } => ItemJson { layer: *layer, nsg: Some(nsg), ..kind("nsg") },
        Item::Rule { layer, direction, name } => {
            ItemJson { layer: *layer, direction: Some(*direction), rule: Some(name), ..kind("rule") }
        }
        Item::Route { prefix, source } => {
            ItemJson { prefix: Some(prefix.to_string()), source: Some(*source), ..kind("route") }
        }
        Item::Packet { number, owner } => {
            ItemJson { packet: Some(*number), nsg: owner.as_deref(), ..kind("packet") }
        }
    }
}

fn difference_json(difference: &Difference) -> DifferenceJson<'_> {
    let (field, computed, answered) = match &difference.kind {
        DifferenceKind::Field { field, computed, answered } => {
            (Some(field_name(*field)), Some(&computed[..]), Some(&answered[..]))
        }
        DifferenceKind::OnlyComputed | DifferenceKind::OnlyAnswered => (None, None, None),
    };
    let item = item_json(&difference.item);
    DifferenceJson { kind: kind_name(&difference.kind), item, field, computed, answered }
}

fn left_json(left: &NotCompared) -> NotComparedJson<'_> {
    let plain = |what| NotComparedJson {
        what,
        layer: None,
        direction: None,
        name: None,
        field: None,
        about: None,
        packet: None,
        why: why_json(&left.why),
    };
    match &left.what {
        Uncompared::Rules(layer) => NotComparedJson { layer: *layer, ..plain("rules") },
        Uncompared::AdminRules => plain("admin_rules"),
        Uncompared::Name(name) => NotComparedJson { name: Some(name), ..plain("name") },
        Uncompared::RuleField { direction, name, field } => NotComparedJson {
            direction: Some(*direction),
            name: Some(name),
            field: Some(field_name(*field)),
            ..plain("rule_field")
        },
        Uncompared::Routes(about) => NotComparedJson { about: Some(*about), ..plain("routes") },
        Uncompared::RouteField(field) => {
            NotComparedJson { field: Some(field_name(*field)), ..plain("route_field") }
        }
        Uncompared::Packet(number) => NotComparedJson { packet: Some(*number), ..plain("packet") },
    }
}

fn why_json(why: &Why) -> WhyJson<'_> {
    match why {
        Why::Open { code, name } => WhyJson::Open { code: *code, missing: name },
        Why::TagFile { loaded, only_computed, only_answered } => WhyJson::TagFile {
            loaded: loaded.as_ref(),
            only_computed: *only_computed,
            only_answered: *only_answered,
        },
        Why::UnknownTag => WhyJson::UnknownTag,
        Why::NotTold => WhyJson::NotTold,
        Why::Ipv4Only => WhyJson::Ipv4Only,
        Why::NoClause => WhyJson::NoClause,
        Why::NotComputed => WhyJson::NotComputed,
        Why::SeveralPackets { text } => WhyJson::SeveralPackets { text },
    }
}

fn left_words(what: &Uncompared) -> String {
    match what {
        Uncompared::Rules(layer) => format!("rules, {}", layer_words(*layer)),
        Uncompared::AdminRules => "admin rules".to_owned(),
        Uncompared::Name(name) => format!("what {name} stands for"),
        Uncompared::RuleField { direction, name, field } => {
            format!("{direction}, {name}: {}", spaced(field_name(*field)))
        }
        Uncompared::Routes(about) => part(*about).to_owned(),
        Uncompared::RouteField(field) => format!("routes: {}", spaced(field_name(*field))),
        Uncompared::Packet(number) => format!("packet {number}"),
    }
}

fn why_words(why: &Why, inputs: &Inputs) -> String {
    match why {
        Why::Open { code, name } => format!("{code} {name}").trim_end().to_owned(),
        Why::TagFile { only_computed, only_answered, .. } => format!(
            "{} only here, {only_answered} only there; the answer does not say by which state of the tag file, \
             loaded: {}",
            counted_prefixes(*only_computed),
            inputs.tags_shown()
        ),
        Why::UnknownTag => "no loaded file has the tag".to_owned(),
        Why::NotTold => "the answer does not tell".to_owned(),
        Why::Ipv4Only => "of IPv6: the answer lists IPv4 alone".to_owned(),
        Why::NoClause => "how Azure lists them is not documented".to_owned(),
        Why::NotComputed => "hangs on what the export lacks".to_owned(),
        Why::SeveralPackets { text } => format!("`{text}` is more than one packet"),
    }
}

fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// A list in a cell: its first elements, and how many more there are.
fn some_of(list: &[String]) -> String {
    let first = list.iter().take(MOST_SHOWN).cloned().collect::<Vec<_>>().join(" ");
    match list.len().checked_sub(MOST_SHOWN) {
        None | Some(0) if list.is_empty() => "-".to_owned(),
        None | Some(0) => first,
        Some(more) => format!("{first} and {more} more"),
    }
}

impl CheckReport<'_> {
    /// The comparison as `nsgsim/effective-check/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let Comparison { rules, routes, packets, differences, not_compared } = self.comparison;
        let json = CheckJson {
            schema: "nsgsim/effective-check/1",
            nic: self.nic,
            answer: self.file,
            compared: ComparedJson { rules: *rules, routes: *routes, packets: *packets },
            differences: differences.iter().map(difference_json).collect(),
            not_compared: not_compared.iter().map(left_json).collect(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The comparison as CSV: a line for each difference, and for whatever was not compared.
    ///
    /// # Panics
    ///
    /// Never: writing to memory works.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: RowCsv| writer.serialize(row).expect("writing to memory works");
        for difference in &self.comparison.differences {
            let json = difference_json(difference);
            let list = |list: Option<&[String]>| list.map(|list| list.join(" ")).unwrap_or_default();
            write(RowCsv {
                nic: self.nic.to_owned(),
                kind: json.kind,
                item: item_words(&difference.item),
                field: json.field,
                computed: list(json.computed),
                answered: list(json.answered),
                why: String::new(),
            });
        }
        for left in &self.comparison.not_compared {
            write(RowCsv {
                nic: self.nic.to_owned(),
                kind: "not_compared",
                item: left_words(&left.what),
                field: None,
                computed: String::new(),
                answered: String::new(),
                why: why_words(&left.why, &self.inputs),
            });
        }
        let bytes = writer.into_inner().expect("writing to memory works");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }

    /// The comparison for people: what differs, what was not compared, and a count.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let write = "writing to a string works";
        let Comparison { rules, routes, packets, differences, not_compared } = self.comparison;
        let mut sheet = Sheet::new(style);
        if !differences.is_empty() {
            sheet.section(&format!("{} and {} differ", self.nic, self.file));
            let mut table = Table::new(&["what", "field", "here", "there"], &[]);
            for difference in differences {
                let (field, here, there) = match &difference.kind {
                    DifferenceKind::OnlyComputed => ("", "is there".to_owned(), "-".to_owned()),
                    DifferenceKind::OnlyAnswered => ("", "-".to_owned(), "is there".to_owned()),
                    DifferenceKind::Field { field, computed, answered } => {
                        (field_name(*field), some_of(computed), some_of(answered))
                    }
                };
                table.add_row([item_words(&difference.item), spaced(field), here, there]);
            }
            sheet.table(&table);
        }
        if !not_compared.is_empty() {
            sheet.section("not compared");
            for left in not_compared {
                let (what, why) = (left_words(&left.what), why_words(&left.why, &self.inputs));
                writeln!(sheet, "  {what}: {why}").expect(write);
            }
        }
        let counts = [(*rules, "rule"), (*routes, "route"), (*packets, "packet")];
        let compared: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| counted(*count as u64, what))
            .collect();
        let compared = if compared.is_empty() { "nothing".to_owned() } else { compared.join(", ") };
        if !sheet.is_empty() {
            sheet.line("");
        }
        writeln!(
            sheet,
            "compared {compared}: {}, {} not compared",
            counted(differences.len() as u64, "difference"),
            not_compared.len()
        )
        .expect(write);
        sheet.finish()
    }
}
