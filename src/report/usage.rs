//! Which rules traffic hit, and what of them it needed.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde::Serialize;

use super::ledger::{HitsJson, LedgerJson, Provenance, SpanJson, VerdictsJson};
use super::names::{self, Names};
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::{counted, grouped};
use crate::analyze::usage::{Block, RuleKey, RuleUse, Seen, SideUse, TermUse, Usage};
use crate::model::index::NsgIndex;
use crate::model::network::Network;
use crate::model::prefix::PortRange;
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, ProtocolMatch, Rule};
use crate::replay::run::Totals;

/// How many addresses, blocks, tags or ports of a field a text shows.
const SHOWN: usize = 5;

/// A usage to report on.
pub struct UsageReport<'a> {
    /// The network, as it is shown.
    pub network: &'a Network,
    /// What became of its rules.
    pub usage: &'a Usage,
    /// What became of the traffic.
    pub totals: &'a Totals,
    /// What was read.
    pub provenance: Provenance,
}

#[derive(Serialize)]
struct UsageJson<'a> {
    schema: &'static str,
    summary: SummaryJson,
    rules: Vec<RuleJson<'a>>,
    ledger: LedgerJson,
    verdicts: VerdictsJson,
    /// The window: no hits outside it are known.
    span: SpanJson,
    #[serde(flatten)]
    provenance: &'a Provenance,
}

#[derive(Serialize)]
struct SummaryJson {
    rules: usize,
    hit: usize,
    never_hit: usize,
    /// Hit by none for certain, but perhaps by flows of which that is undetermined.
    perhaps_hit: usize,
    /// Of NSGs that nothing in the network asks.
    not_asked: usize,
    flows: u64,
    /// Flows whose verdict is open: they may have hit rules that are not counted.
    undetermined_flows: u64,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    nsg: &'a str,
    direction: Direction,
    rule: &'a str,
    flow_log_name: String,
    priority: u32,
    access: Access,
    is_default: bool,
    /// Whether some interface asks the NSG.
    is_asked: bool,
    #[serde(flatten)]
    hits: HitsJson,
    /// Flows that hit it perhaps.
    undetermined_flows: u64,
    #[serde(flatten)]
    span: SpanJson,
    protocol: ProtocolJson,
    source: AddressesJson<'a>,
    source_port: PortsJson,
    destination: AddressesJson<'a>,
    destination_port: PortsJson,
}

#[derive(Serialize)]
struct ProtocolJson {
    term: String,
    seen: Vec<ValueJson<String>>,
}

/// A value and how many flows had it.
#[derive(Serialize)]
struct ValueJson<T> {
    value: T,
    flows: u64,
}

#[derive(Serialize)]
struct TermJson {
    term: String,
    flows: u64,
    /// Flows of which nobody knows whether the term holds them.
    undetermined_flows: u64,
}

#[derive(Serialize)]
struct AddressesJson<'a> {
    terms: Vec<TermJson>,
    addresses: SeenJson<String>,
    blocks: Vec<BlockJson<'a>>,
    /// Flows in blocks beyond these.
    blocks_beyond: u64,
    tags: Vec<ValueJson<&'a str>>,
    /// Flows whose address is not known.
    unknown: u64,
}

#[derive(Serialize)]
struct PortsJson {
    terms: Vec<TermJson>,
    ports: SeenJson<u16>,
    /// Flows without a port, or whose port is not known.
    portless: u64,
}

#[derive(Serialize)]
struct SeenJson<T> {
    seen: Vec<ValueJson<T>>,
    /// Flows with values beyond these.
    beyond: u64,
}

#[derive(Serialize)]
struct BlockJson<'a> {
    prefix: String,
    subnet: Option<&'a str>,
    flows: u64,
}

/// A row of the table for spreadsheets: a rule, or one of its terms.
#[derive(Serialize)]
struct RowCsv<'a> {
    nsg: &'a str,
    direction: Direction,
    priority: u32,
    rule: &'a str,
    access: Access,
    is_default: bool,
    is_asked: bool,
    /// `rule` for the rule as a whole.
    field: &'static str,
    term: String,
    flows: u64,
    undetermined_flows: u64,
    packets: Option<u64>,
    bytes: Option<u64>,
    first: Option<String>,
    last: Option<String>,
}

/// A rule with its place and its use.
#[derive(Clone, Copy)]
struct Row<'a> {
    nsg: NsgIndex,
    name: &'a str,
    rule: &'a Rule,
    of: &'a RuleUse,
}

impl<'a> UsageReport<'a> {
    fn names(&self) -> Names<'a> {
        Names { network: self.network }
    }

    /// All rules: NSGs in order, inbound before outbound, first tried first.
    fn rows(&self) -> Vec<Row<'a>> {
        let row = |(key, of): (&'a RuleKey, &'a RuleUse)| {
            let (nsg, position) = *key;
            let rule = &self.network.nsgs[nsg.get()].rules[position as usize];
            Row { nsg, name: self.network.nsg_name(nsg), rule, of }
        };
        self.usage.rules.iter().map(row).collect()
    }

    fn is_asked(&self, row: &Row<'_>) -> bool {
        self.usage.asked.contains(&row.nsg)
    }

    fn terms(written: Vec<String>, uses: &[TermUse]) -> Vec<TermJson> {
        let term =
            |(term, of): (String, &TermUse)| TermJson { term, flows: of.flows, undetermined_flows: of.open };
        written.into_iter().zip(uses).map(term).collect()
    }

    fn addresses_json(&self, terms: &[AddressTerm], side: &'a SideUse) -> AddressesJson<'a> {
        let block = |(block, flows): (&Block, &u64)| BlockJson {
            prefix: block.prefix.to_string(),
            subnet: block.subnet.map(|subnet| self.network.subnet_name(subnet)),
            flows: *flows,
        };
        AddressesJson {
            terms: Self::terms(self.names().addresses(terms), &side.terms),
            addresses: SeenJson::of(&side.addresses, ToString::to_string),
            blocks: most_first(&side.blocks).into_iter().map(block).collect(),
            blocks_beyond: side.blocks.beyond,
            tags: side
                .tags
                .iter()
                .map(|(tag, flows)| ValueJson { value: tag.as_str(), flows: *flows })
                .collect(),
            unknown: side.addresses_unknown,
        }
    }

    fn rule_json(&self, row: &Row<'a>) -> RuleJson<'a> {
        let Row { rule, of, .. } = row;
        let ports = |terms: &[PortTerm], side: &SideUse| PortsJson {
            terms: Self::terms(names::ports(terms), &side.port_terms),
            ports: SeenJson::of(&side.ports, |port| *port),
            portless: side.portless,
        };
        let protocols = of.protocols.iter();
        RuleJson {
            nsg: row.name,
            direction: rule.direction,
            rule: &rule.name,
            flow_log_name: rule.flow_log_name(),
            priority: rule.priority.0,
            access: rule.access,
            is_default: rule.is_default,
            is_asked: self.is_asked(row),
            hits: (&of.hits).into(),
            undetermined_flows: of.open_flows,
            span: of.hits.span.into(),
            protocol: ProtocolJson {
                term: names::protocol(&rule.protocol),
                seen: protocols
                    .map(|(protocol, flows)| ValueJson { value: protocol.to_string(), flows: *flows })
                    .collect(),
            },
            source: self.addresses_json(&rule.source, &of.source),
            source_port: ports(&rule.source_ports, &of.source),
            destination: self.addresses_json(&rule.destination, &of.destination),
            destination_port: ports(&rule.destination_ports, &of.destination),
        }
    }

    fn summary(&self) -> SummaryJson {
        let rows = self.rows();
        let hit = rows.iter().filter(|row| row.of.hits.flows > 0).count();
        let not_asked = rows.iter().filter(|row| !self.is_asked(row)).count();
        let perhaps_hit = rows.iter().filter(|row| is_perhaps(row)).count();
        SummaryJson {
            rules: rows.len(),
            hit,
            never_hit: rows.len() - hit - perhaps_hit - not_asked,
            perhaps_hit,
            not_asked,
            flows: self.usage.flows,
            undetermined_flows: self.usage.open_flows,
        }
    }

    /// The report as `nsgsim/usage/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let json = UsageJson {
            schema: "nsgsim/usage/1",
            summary: self.summary(),
            rules: self.rows().iter().map(|row| self.rule_json(row)).collect(),
            ledger: self.provenance.ledger(&self.totals.ledger),
            verdicts: (&self.totals.tally).into(),
            span: self.totals.tally.span.into(),
            provenance: &self.provenance,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// A row for each rule, and behind it one for each of its terms.
    ///
    /// # Panics
    ///
    /// Never: writing to memory works.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: RowCsv<'_>| writer.serialize(row).expect("writing to memory works");
        for row in self.rows() {
            let json = self.rule_json(&row);
            let term = |field, term: TermJson| RowCsv {
                nsg: json.nsg,
                direction: json.direction,
                priority: json.priority,
                rule: json.rule,
                access: json.access,
                is_default: json.is_default,
                is_asked: json.is_asked,
                field,
                term: term.term,
                flows: term.flows,
                undetermined_flows: term.undetermined_flows,
                packets: None,
                bytes: None,
                first: None,
                last: None,
            };
            let undetermined_flows = json.undetermined_flows;
            let whole = TermJson { term: String::new(), flows: json.hits.flows, undetermined_flows };
            write(RowCsv {
                packets: Some(json.hits.packets),
                bytes: Some(json.hits.bytes),
                first: json.span.first.clone(),
                last: json.span.last.clone(),
                ..term("rule", whole)
            });
            let protocol = json.protocol.term.clone();
            write(term(
                "protocol",
                TermJson { term: protocol, flows: json.hits.flows, undetermined_flows: 0 },
            ));
            for (field, terms) in [
                ("source", json.source.terms),
                ("source_port", json.source_port.terms),
                ("destination", json.destination.terms),
                ("destination_port", json.destination_port.terms),
            ] {
                terms.into_iter().for_each(|one| write(term(field, one)));
            }
        }
        let bytes = writer.into_inner().expect("writing to memory works");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        let (hit, never): (Vec<Row<'_>>, Vec<Row<'_>>) =
            self.rows().into_iter().partition(|row| row.of.hits.flows > 0);
        let (perhaps, never): (Vec<Row<'_>>, Vec<Row<'_>>) = never.into_iter().partition(is_perhaps);
        let (never, not_asked): (Vec<Row<'_>>, Vec<Row<'_>>) =
            never.into_iter().partition(|row| self.is_asked(row));
        hits_table(&mut sheet, &hit);
        rules_text(&mut sheet, "Never hit in this window", &never);
        rules_text(&mut sheet, "Perhaps hit, by flows of which that is undetermined", &perhaps);
        rules_text(&mut sheet, "Of NSGs that no subnet and no interface of the network asks", &not_asked);
        self.unused_text(&mut sheet, &hit);
        self.seen_text(&mut sheet, &hit);
        self.coverage_text(&mut sheet);
        sheet.finish()
    }

    /// Terms that no flow needed, of rules that some flow hit.
    fn unused_text(&self, sheet: &mut Sheet, hit: &[Row<'_>]) {
        let mut lines = Vec::new();
        for row in hit {
            for field in self.fields(row) {
                let unused: Vec<&str> = field.unused.iter().map(String::as_str).collect();
                // What a rule has one of was needed, or its address is not known.
                if !unused.is_empty() {
                    lines.push(format!("  {}: {} {}", place(row), field.name, unused.join(", ")));
                }
            }
        }
        if !lines.is_empty() {
            sheet.section("Terms never used, of rules that were hit");
            lines.iter().for_each(|line| sheet.line(line));
        }
    }

    /// What was seen within terms that hold more than one value.
    fn seen_text(&self, sheet: &mut Sheet, hit: &[Row<'_>]) {
        let mut lines = Vec::new();
        for row in hit.iter().filter(|row| !row.rule.is_default) {
            let fields = self.fields(row);
            let wide = fields.iter().filter(|field| field.is_wide);
            let seen: Vec<String> =
                wide.map(|field| format!("    {} {}: {}", field.name, field.written, field.seen)).collect();
            if !seen.is_empty() {
                lines.push(format!("  {}", place(row)));
                lines.extend(seen);
            }
        }
        if !lines.is_empty() {
            sheet.section("Seen within wide terms of custom rules");
            lines.iter().for_each(|line| sheet.line(line));
        }
    }

    /// The fields of a rule in words.
    fn fields(&self, row: &Row<'_>) -> Vec<Field> {
        let Row { rule, of, .. } = row;
        let unused = |written: &[String], uses: &[TermUse]| -> Vec<String> {
            let of_term = written.iter().zip(uses).filter(|(_, of)| of.is_unused());
            of_term.map(|(term, _)| term.clone()).collect()
        };
        let addresses = |name, terms: &[AddressTerm], side: &SideUse| {
            let written = self.names().addresses(terms);
            Field {
                name,
                unused: unused(&written, &side.terms),
                written: written.join(","),
                is_wide: terms.iter().any(is_wide),
                seen: self.addresses_seen(side),
            }
        };
        let ports = |name, terms: &[PortTerm], side: &SideUse| {
            let written = names::ports(terms);
            let several =
                |term: &PortTerm| matches!(term, PortTerm::Range(range) if range.first() != range.last());
            Field {
                name,
                unused: unused(&written, &side.port_terms),
                written: written.join(","),
                is_wide: terms.iter().any(several) && (!side.ports.flows.is_empty()),
                seen: ports_seen(side),
            }
        };
        let protocols =
            of.protocols.iter().map(|(protocol, flows)| format!("{protocol} ({})", grouped(*flows)));
        let protocol = Field {
            name: "protocol",
            written: names::protocol(&rule.protocol),
            unused: Vec::new(),
            is_wide: rule.protocol == ProtocolMatch::Any,
            seen: protocols.collect::<Vec<_>>().join(", "),
        };
        let mut source_ports = ports("source port", &rule.source_ports, &of.source);
        // Clients pick theirs: which they were says nothing of a rule for all of them.
        source_ports.is_wide &= source_ports.written != PortRange::ALL.to_string();
        vec![
            protocol,
            addresses("source", &rule.source, &of.source),
            source_ports,
            addresses("destination", &rule.destination, &of.destination),
            ports("destination port", &rule.destination_ports, &of.destination),
        ]
    }

    fn addresses_seen(&self, side: &SideUse) -> String {
        let blocks = most_first(&side.blocks);
        let block = |(block, flows): &(&Block, &u64)| {
            let subnet = block.subnet.map(|subnet| format!("{} ", self.network.subnet_name(subnet)));
            format!("{}{} ({})", subnet.unwrap_or_default(), block.prefix, grouped(**flows))
        };
        let mut parts: Vec<String> = blocks.iter().take(SHOWN).map(block).collect();
        if blocks.len() > SHOWN {
            parts.push(format!("{} more", grouped((blocks.len() - SHOWN) as u64)));
        }
        if side.blocks.beyond > 0 {
            parts.push(format!("others ({})", grouped(side.blocks.beyond)));
        }
        if side.addresses_unknown > 0 {
            parts.push(format!("not known ({})", grouped(side.addresses_unknown)));
        }
        let count = grouped(side.addresses.flows.len() as u64);
        let more = if side.addresses.is_whole() { "" } else { "more than " };
        let what = if side.addresses.flows.len() == 1 { "address" } else { "addresses" };
        let mut text = format!("{more}{count} {what} in {}", parts.join(", "));
        // Tags that hold all that was seen; what is in a subnet is known better.
        let all: u64 = side.addresses.flows.values().sum();
        let outside = side.blocks.flows.keys().any(|block| block.subnet.is_none());
        let holds_all = side.tags.iter().filter(|(_, flows)| outside && **flows == all);
        let tags: Vec<&str> = holds_all.map(|(tag, _)| tag.as_str()).collect();
        if side.addresses.is_whole() && !tags.is_empty() {
            let beyond = tags.len().saturating_sub(SHOWN);
            write!(text, ", all of {}", tags[..tags.len().min(SHOWN)].join(", "))
                .expect("writing to a string works");
            if beyond > 0 {
                write!(text, " and {}", counted(beyond as u64, "more tag"))
                    .expect("writing to a string works");
            }
        }
        text
    }

    fn coverage_text(&self, sheet: &mut Sheet) {
        let write = "writing to a string works";
        sheet.section("Coverage");
        let summary = self.summary();
        writeln!(
            sheet,
            "  {} hit, {} perhaps, {} never hit in this window, of {}",
            counted(summary.hit as u64, "rule"),
            grouped(summary.perhaps_hit as u64),
            grouped(summary.never_hit as u64),
            grouped(summary.rules as u64)
        )
        .expect(write);
        writeln!(sheet, "  {} seen", counted(summary.flows, "flow")).expect(write);
        if summary.undetermined_flows > 0 {
            writeln!(
                sheet,
                "  {} of them undetermined: they count where rules answer alike however that turns out",
                grouped(summary.undetermined_flows)
            )
            .expect(write);
        }
        sheet.section("Ledger");
        self.provenance.ledger_lines(sheet, &self.totals.ledger);
        self.provenance.closing(sheet, self.totals.tally.span);
    }
}

/// A field of a rule in words.
struct Field {
    name: &'static str,
    written: String,
    unused: Vec<String>,
    is_wide: bool,
    seen: String,
}

impl<T> SeenJson<T> {
    fn of<V: Ord>(seen: &Seen<V>, value: impl Fn(&V) -> T) -> Self {
        let one = |(seen, flows): (&V, &u64)| ValueJson { value: value(seen), flows: *flows };
        Self { seen: most_first(seen).into_iter().map(one).collect(), beyond: seen.beyond }
    }
}

/// Values by how many flows had them.
fn most_first<T: Ord>(seen: &Seen<T>) -> Vec<(&T, &u64)> {
    let mut values: Vec<(&T, &u64)> = seen.flows.iter().collect();
    values.sort_by_key(|(value, flows)| (Reverse(**flows), *value));
    values
}

fn ports_seen(side: &SideUse) -> String {
    let ports = most_first(&side.ports);
    let mut parts: Vec<String> =
        ports.iter().take(SHOWN).map(|(port, flows)| format!("{port} ({})", grouped(**flows))).collect();
    if ports.len() > SHOWN {
        parts.push(format!("{} more", grouped((ports.len() - SHOWN) as u64)));
    }
    if side.ports.beyond > 0 {
        parts.push(format!("others ({})", grouped(side.ports.beyond)));
    }
    if side.portless > 0 {
        parts.push(format!("none ({})", grouped(side.portless)));
    }
    parts.join(", ")
}

fn is_wide(term: &AddressTerm) -> bool {
    match term {
        AddressTerm::Any | AddressTerm::Tag(_) => true,
        AddressTerm::Prefix(prefix) => prefix.prefix_len() < prefix.max_prefix_len(),
        AddressTerm::Asg(_) | AddressTerm::Invalid(_) => false,
    }
}

/// Whether nobody knows if a rule was hit.
fn is_perhaps(row: &Row<'_>) -> bool {
    row.of.hits.flows == 0 && row.of.open_flows > 0
}

fn place(row: &Row<'_>) -> String {
    format!("{} {} {}", row.name, row.rule.direction, row.rule.name)
}

fn hits_table(sheet: &mut Sheet, hit: &[Row<'_>]) {
    sheet.section("Rules that were hit");
    let header = ["nsg", "direction", "priority", "rule", "access", "flows", "packets", "bytes", "last hit"];
    let mut table = Table::new(&header, &[2, 5, 6, 7]);
    for row in hit {
        let SpanJson { last, .. } = row.of.hits.span.into();
        let hits = &row.of.hits;
        table.add_row([
            row.name.to_owned(),
            row.rule.direction.to_string(),
            row.rule.priority.0.to_string(),
            row.rule.name.clone(),
            sheet.style.access(row.rule.access),
            grouped(hits.flows),
            grouped(hits.packets),
            grouped(hits.bytes),
            last.unwrap_or_default(),
        ]);
    }
    sheet.table(&table);
}

/// Rules by their lists, custom ones ahead of default ones.
fn rules_text(sheet: &mut Sheet, heading: &str, rows: &[Row<'_>]) {
    if rows.is_empty() {
        return;
    }
    sheet.section(heading);
    let one_list =
        |one: &Row<'_>, other: &Row<'_>| (one.nsg, one.rule.direction) == (other.nsg, other.rule.direction);
    for list in rows.chunk_by(one_list) {
        let named = |is_default| -> Vec<String> {
            let rules = list.iter().filter(|row| row.rule.is_default == is_default);
            rules.map(|row| format!("{} ({})", row.rule.name, row.rule.priority.0)).collect()
        };
        let (custom, default) = (named(false), named(true));
        let Some(first) = list.first() else { continue };
        let place = format!("  {} {}", first.name, first.rule.direction);
        if !custom.is_empty() {
            sheet.line(&format!("{place}: {}", custom.join(", ")));
        }
        if !default.is_empty() {
            sheet.line(&format!("{place}, default: {}", default.join(", ")));
        }
    }
}
