//! Tighter rules as a file of edits, with what they were learnt from and how they fared on traffic that was held out.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use super::ledger::{HitsJson, LedgerJson, PlaceJson, Provenance, SpanJson};
use super::names::{self, DeciderWords, Names, socket};
use super::time::{counted, grouped, rfc3339};
use crate::analyze::suggest::{FieldName, MOST_PREFIXES, MOST_RANGES, Suggestions, Tighter, Why};
use crate::analyze::usage::{RuleKey, Usage};
use crate::analyze::whatif::{Change, Counts, Flip, Side};
use crate::model::id::ResourceId;
use crate::model::index::Reference;
use crate::model::network::Network;
use crate::model::rule::{AddressTerm, Direction, PortTerm, Rule};
use crate::model::verdict::VerdictKind;
use crate::replay::run::Totals;
use crate::replay::tally::Hits;

/// How many groups of flows that flip a file of edits names.
const FLIPS_SHOWN: usize = 20;

/// Suggestions to report on.
pub struct SuggestReport<'a> {
    /// The network that they are about.
    pub network: &'a Network,
    /// The network with them.
    pub candidate: &'a Network,
    /// What is suggested.
    pub suggestions: &'a Suggestions,
    /// What it was learnt from.
    pub usage: &'a Usage,
    /// What became of all traffic.
    pub totals: &'a Totals,
    /// How it fared, where some traffic was held out.
    pub trial: Option<Trial<'a>>,
    /// What was read.
    pub provenance: Provenance,
}

/// How suggestions fared on flows that they were not learnt from.
pub struct Trial<'a> {
    /// When the flows that were held out began, in nanoseconds since 1970-01-01.
    pub from_ns: u64,
    /// How many there were.
    pub flows: u64,
    /// How many of them are allowed by the network as it is.
    pub allowed: u64,
    /// Which of them get another answer.
    pub held_out: &'a Counts,
    /// Which flows that were learnt from do.
    pub learnt: &'a Counts,
}

#[derive(Serialize)]
struct SuggestJson<'a> {
    schema: &'static str,
    /// As a file of edits has them.
    edits: Vec<Value>,
    changes: Vec<ChangeJson<'a>>,
    never_hit: Vec<RuleJson<'a>>,
    kept: Vec<KeptJson<'a>>,
    /// Rules that no edit can name, since another of their NSG has the same name.
    not_named: Vec<RuleJson<'a>>,
    learnt: LearntJson,
    trial: Option<TrialJson>,
    ledger: LedgerJson,
    span: SpanJson,
    #[serde(flatten)]
    provenance: &'a Provenance,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    nsg: &'a str,
    direction: Direction,
    rule: &'a str,
    priority: u32,
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    #[serde(flatten)]
    rule: RuleJson<'a>,
    flows: u64,
    #[serde(flatten)]
    span: SpanJson,
    before: Map<String, Value>,
    after: Map<String, Value>,
}

#[derive(Serialize)]
struct KeptJson<'a> {
    #[serde(flatten)]
    rule: RuleJson<'a>,
    field: &'static str,
    why: &'static str,
}

#[derive(Serialize)]
struct LearntJson {
    flows: u64,
    /// Flows whose verdict is open: what they need is not known.
    undetermined_flows: u64,
    /// They began before this time; nothing where all were learnt from.
    before: Option<String>,
}

#[derive(Serialize)]
struct TrialJson {
    from: String,
    flows: u64,
    allowed: u64,
    false_denials: HitsJson,
    flips: Vec<FlipJson>,
    /// Of the flows that were learnt from.
    learnt_flips: Vec<FlipJson>,
}

#[derive(Serialize)]
struct FlipJson {
    base: SideJson,
    candidate: SideJson,
    #[serde(flatten)]
    hits: HitsJson,
    from: String,
    to: String,
    proto: String,
    #[serde(flatten)]
    place: PlaceJson,
}

#[derive(Serialize)]
struct SideJson {
    verdict: VerdictKind,
    decided_by: DeciderWords,
}

/// A field of an edit: its key, and its words before and after.
struct FieldWords {
    key: &'static str,
    before: Vec<String>,
    after: Vec<String>,
}

impl<'a> SuggestReport<'a> {
    fn rule(&self, (nsg, position): RuleKey) -> (&'a str, &'a Rule) {
        let rule = &self.network.nsgs[nsg.get()].rules[position as usize];
        (self.network.nsg_name(nsg), rule)
    }

    fn rule_json(&self, key: RuleKey) -> RuleJson<'a> {
        let (nsg, rule) = self.rule(key);
        RuleJson { nsg, direction: rule.direction, rule: &rule.name, priority: rule.priority.0 }
    }

    /// The terms of an address field as edits spell them.
    fn addresses(&self, terms: &[AddressTerm]) -> Vec<String> {
        let names = Names { network: self.network };
        let word = |term: &AddressTerm| match term {
            AddressTerm::Asg(asg) => {
                let id = match asg {
                    Reference::Here(asg) => &self.network.asgs[asg.get()].id,
                    Reference::Missing(id) => id,
                };
                format!("asg:{}", self.asg_name(id))
            }
            _ => names.addresses(std::slice::from_ref(term)).concat(),
        };
        terms.iter().map(word).collect()
    }

    fn asg_name<'i>(&self, id: &'i ResourceId) -> &'i str {
        let same = self.network.asgs.iter().filter(|asg| asg.id.name().eq_ignore_ascii_case(id.name()));
        if same.count() > 1 { id.as_str() } else { id.name() }
    }

    /// What changes of a rule, in the order of an edit's keys.
    fn fields(&self, tighter: &Tighter) -> Vec<FieldWords> {
        let (_, rule) = self.rule(tighter.key);
        let Tighter { key: _, protocol, source, source_ports, destination, destination_ports } = tighter;
        let addresses = |key, before: &[AddressTerm], after: &Option<Vec<AddressTerm>>| {
            after.as_ref().map(|after| FieldWords {
                key,
                before: self.addresses(before),
                after: self.addresses(after),
            })
        };
        let ports = |key, before: &[PortTerm], after: &Option<Vec<PortTerm>>| {
            after.as_ref().map(|after| FieldWords {
                key,
                before: names::ports(before),
                after: names::ports(after),
            })
        };
        let protocol = protocol.map(|protocol| FieldWords {
            key: "protocol",
            before: vec![names::protocol(&rule.protocol)],
            after: vec![protocol.to_string()],
        });
        let fields = [
            protocol,
            addresses("source", &rule.source, source),
            ports("source_ports", &rule.source_ports, source_ports),
            addresses("destination", &rule.destination, destination),
            ports("destination_ports", &rule.destination_ports, destination_ports),
        ];
        fields.into_iter().flatten().collect()
    }

    /// The report as `nsgsim/suggest/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let json = SuggestJson {
            schema: "nsgsim/suggest/1",
            edits: self.edits_json(),
            changes: self.suggestions.changed.iter().map(|tighter| self.change_json(tighter)).collect(),
            never_hit: self.suggestions.unused.iter().map(|key| self.rule_json(*key)).collect(),
            kept: self
                .suggestions
                .kept
                .iter()
                .map(|(key, field, why)| KeptJson {
                    rule: self.rule_json(*key),
                    field: field_key(*field),
                    why: why_word(*why),
                })
                .collect(),
            not_named: self.suggestions.unnamed.iter().map(|key| self.rule_json(*key)).collect(),
            learnt: LearntJson {
                flows: self.usage.flows,
                undetermined_flows: self.usage.open_flows,
                before: self.trial.as_ref().map(|trial| rfc3339(trial.from_ns)),
            },
            trial: self.trial.as_ref().map(|trial| TrialJson {
                from: rfc3339(trial.from_ns),
                flows: trial.flows,
                allowed: trial.allowed,
                false_denials: (&false_denials(trial.held_out)).into(),
                flips: self.flips_json(trial.held_out),
                learnt_flips: self.flips_json(trial.learnt),
            }),
            ledger: self.provenance.ledger(&self.totals.ledger),
            span: self.totals.tally.span.into(),
            provenance: &self.provenance,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    fn edits_json(&self) -> Vec<Value> {
        let named = |key| {
            let (nsg, rule) = self.rule(key);
            let mut edit = Map::new();
            edit.insert("nsg".to_owned(), nsg.into());
            edit.insert("name".to_owned(), rule.name.as_str().into());
            edit
        };
        let edit = |operation: &str, edit: Map<String, Value>| {
            Value::Object(Map::from_iter([(operation.to_owned(), Value::Object(edit))]))
        };
        let mut edits: Vec<Value> = Vec::new();
        for tighter in &self.suggestions.changed {
            let mut fields = named(tighter.key);
            for FieldWords { key, after, .. } in self.fields(tighter) {
                fields.insert(key.to_owned(), words_json(&after));
            }
            edits.push(edit("change_rule", fields));
        }
        if self.suggestions.remove_unused {
            edits.extend(self.suggestions.unused.iter().map(|key| edit("remove_rule", named(*key))));
        }
        edits
    }

    fn change_json(&self, tighter: &Tighter) -> ChangeJson<'a> {
        let of = &self.usage.rules[&tighter.key];
        let fields = self.fields(tighter);
        let words = |list: fn(&FieldWords) -> &[String]| {
            fields.iter().map(|field| (field.key.to_owned(), words_json(list(field)))).collect()
        };
        ChangeJson {
            rule: self.rule_json(tighter.key),
            flows: of.hits.flows,
            span: of.hits.span.into(),
            before: words(|field| &field.before),
            after: words(|field| &field.after),
        }
    }

    fn flips_json(&self, counts: &Counts) -> Vec<FlipJson> {
        let side = |network, side: &Side| SideJson {
            verdict: side.kind,
            decided_by: Names { network }.decider(&side.decider),
        };
        let flip = |(change, flip): (&Change, &Flip)| FlipJson {
            base: side(self.network, &change.base),
            candidate: side(self.candidate, &change.candidate),
            hits: (&flip.hits).into(),
            from: socket(flip.example.source, flip.example.source_port),
            to: socket(flip.example.destination, flip.example.destination_port),
            proto: flip.example.protocol.to_string(),
            place: self.provenance.place(flip.location),
        };
        flips(counts).into_iter().map(flip).collect()
    }

    /// A file of edits, as `--edit` takes it, with everything else in comments.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        self.preface(&mut text);
        for tighter in &self.suggestions.changed {
            self.change_yaml(&mut text, tighter);
        }
        self.unused_yaml(&mut text);
        let notes = self.kept_notes();
        if !notes.is_empty() {
            text += "\n# kept wider than what was seen\n";
            notes.iter().for_each(|note| comment(&mut text, note));
        }
        text
    }

    fn preface(&self, text: &mut String) {
        let Self { usage, totals, provenance, .. } = self;
        let version = provenance.inputs.version;
        comment(text, &format!("nsgsim {version} suggest: rules that allow, narrowed to what traffic used"));
        match totals.tally.span {
            Some((first, last)) => {
                comment(text, &format!("window: from {} to {}", rfc3339(first), rfc3339(last)));
            }
            None => comment(text, "window: no record tells its time"),
        }
        let ledger = &totals.ledger;
        comment(
            text,
            &format!(
                "coverage: {} read: {} evaluated, {} out of scope, {} undetermined, {} skipped",
                counted(ledger.read, "record"),
                grouped(ledger.evaluated.total()),
                grouped(ledger.out_of_scope.total()),
                grouped(ledger.undetermined.total()),
                grouped(ledger.skipped.total()),
            ),
        );
        let flows = counted(usage.flows, "flow");
        match &self.trial {
            None => comment(text, &format!("learnt from {flows}, tried on none")),
            Some(trial) => {
                let from = rfc3339(trial.from_ns);
                comment(text, &format!("learnt from {flows} that began before {from}"));
                self.trial_notes(text, trial);
            }
        }
        if usage.open_flows > 0 {
            let open = grouped(usage.open_flows);
            comment(text, &format!("{open} of them undetermined: rules that they may need are not known"));
        }
        comment(text, &provenance.inputs.tags_shown());
        if self.suggestions.edits() == 0 {
            comment(text, "nothing is suggested");
        }
    }

    fn trial_notes(&self, text: &mut String, trial: &Trial<'_>) {
        let (flows, allowed) = (counted(trial.flows, "flow"), grouped(trial.allowed));
        comment(text, &format!("tried on {flows} from then on, {allowed} of them allowed"));
        let denied = false_denials(trial.held_out);
        let count = if denied.flows == 0 { "none".to_owned() } else { counted(denied.flows, "flow") };
        comment(text, &format!("false denials: {count}"));
        let flips = flips(trial.held_out);
        for (change, flip) in flips.iter().take(FLIPS_SHOWN) {
            comment(text, &format!("  {}", self.flip_words(change, flip)));
        }
        if flips.len() > FLIPS_SHOWN {
            let more = counted((flips.len() - FLIPS_SHOWN) as u64, "more group");
            comment(text, &format!("  and {more} of flows"));
        }
        for (change, flip) in self::flips(trial.learnt) {
            comment(text, &format!("  of what was learnt from: {}", self.flip_words(change, flip)));
        }
    }

    fn flip_words(&self, change: &Change, flip: &Flip) -> String {
        let side = |network, side: &Side| {
            format!("{} by {}", side.kind, Names { network }.decider(&side.decider).line())
        };
        let example = Names { network: self.network }.explain(&flip.example, flip.at).join(" ");
        let place = self.provenance.place(flip.location);
        format!(
            "{}: {} -> {}: {example} ({} record {})",
            counted(flip.hits.flows, "flow"),
            side(self.network, &change.base),
            side(self.candidate, &change.candidate),
            place.file,
            place.record,
        )
    }

    fn change_yaml(&self, text: &mut String, tighter: &Tighter) {
        let write = "writing to a string works";
        let (nsg, rule) = self.rule(tighter.key);
        let of = &self.usage.rules[&tighter.key];
        text.push('\n');
        let SpanJson { last, .. } = of.hits.span.into();
        let last = last.map(|last| format!(", the last until {last}")).unwrap_or_default();
        comment(text, &format!("{} {}{last}", counted(of.hits.flows, "flow"), rule.direction));
        writeln!(text, "- change_rule:\n    nsg: {}\n    name: {}", scalar(nsg), scalar(&rule.name))
            .expect(write);
        for FieldWords { key, before, after } in self.fields(tighter) {
            let before: Vec<String> = before.iter().map(|word| scalar(word)).collect();
            writeln!(text, "    {key}: {} # was {}", words_yaml(&after), before.join(", ")).expect(write);
        }
    }

    fn unused_yaml(&self, text: &mut String) {
        let Suggestions { unused, remove_unused, .. } = self.suggestions;
        if unused.is_empty() {
            return;
        }
        text.push('\n');
        comment(text, "never hit by what was learnt from, which is no proof that nobody needs them");
        for key in unused {
            let (nsg, rule) = self.rule(*key);
            let edit = format!("- remove_rule: {{nsg: {}, name: {}}}", scalar(nsg), scalar(&rule.name));
            if *remove_unused {
                text.push_str(&edit);
                text.push('\n');
            } else {
                comment(text, &edit);
            }
        }
    }

    fn kept_notes(&self) -> Vec<String> {
        let place = |key| {
            let (nsg, rule) = self.rule(key);
            format!("{} {}", scalar(nsg), scalar(&rule.name))
        };
        let kept = self.suggestions.kept.iter();
        let kept = kept.map(|(key, field, why)| {
            let field_of = match field {
                FieldName::Whole => String::new(),
                field => format!(" {}", field_key(*field)),
            };
            format!("{}{field_of}: {}", place(*key), why_words(*why, *field))
        });
        let unnamed = self.suggestions.unnamed.iter();
        let unnamed =
            unnamed.map(|key| format!("{}: another rule of the NSG has the same name", place(*key)));
        kept.chain(unnamed).collect()
    }
}

/// Flows that were allowed and are denied now.
fn false_denials(counts: &Counts) -> Hits {
    let mut sum = Hits::default();
    for (change, flip) in &counts.flips {
        if (change.base.kind, change.candidate.kind) == (VerdictKind::Allow, VerdictKind::Deny) {
            sum.merge(&flip.hits);
        }
    }
    sum
}

/// What breaks something first, then by how much there was.
fn flips(counts: &Counts) -> Vec<(&Change, &Flip)> {
    let mut flips: Vec<_> = counts.flips.iter().collect();
    flips.sort_by_key(|(change, flip)| {
        (change.rank(), Reverse((flip.hits.packets, flip.hits.flows)), **change)
    });
    flips
}

fn field_key(field: FieldName) -> &'static str {
    match field {
        FieldName::Whole => "rule",
        FieldName::Source => "source",
        FieldName::Destination => "destination",
        FieldName::DestinationPorts => "destination_ports",
    }
}

fn why_word(why: Why) -> &'static str {
    match why {
        Why::TooMany => "too_many",
        Why::Unknown => "unknown",
        Why::Undetermined => "undetermined",
        Why::Portless => "portless",
        Why::BothFamilies => "both_families",
        Why::Straddles => "straddles",
    }
}

fn why_words(why: Why, field: FieldName) -> String {
    match (why, field) {
        (Why::TooMany, FieldName::DestinationPorts) => format!("more than {MOST_RANGES} ranges were used"),
        (Why::TooMany, _) => format!("more than {MOST_PREFIXES} blocks were used"),
        (Why::Unknown, _) => "what the rule saw of some flow is not known".to_owned(),
        (Why::Undetermined, _) => "flows may need it of which that is undetermined".to_owned(),
        (Why::Portless, _) => "packets without ports came through as well".to_owned(),
        (Why::BothFamilies, _) => "IPv4 and IPv6 were used, which one rule does not hold".to_owned(),
        (Why::Straddles, _) => "the blocks around what was seen hold more than the rule".to_owned(),
    }
}

/// One word, or a list of them.
fn words_json(words: &[String]) -> Value {
    match words {
        [one] => one.as_str().into(),
        several => several.into(),
    }
}

fn words_yaml(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
    match &words[..] {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// A line of a comment. A name may hold anything: what would end the line is escaped.
fn comment(text: &mut String, line: &str) {
    text.push_str("# ");
    for letter in line.chars() {
        if letter.is_control() || matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}') {
            text.extend(letter.escape_unicode());
        } else {
            text.push(letter);
        }
    }
    text.push('\n');
}

/// A text as YAML takes it for one: plain where nothing in it has a meaning of its own, and quoted otherwise.
fn scalar(text: &str) -> String {
    const MEANING: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    // Prefixes and ranges of ports are texts, ports numbers: either is what is expected of them.
    let starts = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/');
    let is_number = text.parse::<f64>().is_ok() && !text.bytes().all(|byte| byte.is_ascii_digit());
    if starts && text.chars().all(is_word) && !is_number && !MEANING.contains(&&*text.to_ascii_lowercase()) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ' '..='~' => quoted.push(letter),
            _ => write!(quoted, "\\U{:08x}", u32::from(letter)).expect("writing to a string works"),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::{comment, scalar};

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for plain in ["nsg-web", "10.0.0.0/8", "443", "80-82", "VirtualNetwork", "/subscriptions/0/x"] {
            assert_eq!(scalar(plain), plain);
        }
        for (text, quoted) in [
            ("*", "\"*\""),
            ("No", "\"No\""),
            ("1e3", "\"1e3\""),
            ("asg:web", "\"asg:web\""),
            ("fd00::/64", "\"fd00::/64\""),
            ("", "\"\""),
            ("a b\"c", "\"a b\\\"c\""),
            ("a\nb", "\"a\\U0000000ab\""),
            ("-x", "\"-x\""),
        ] {
            assert_eq!(scalar(text), quoted);
        }
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        let mut text = String::new();
        comment(&mut text, "a\n- remove_rule: {}");
        assert_eq!(text, "# a\\u{a}- remove_rule: {}\n");
    }
}
