//! How what was recorded of flows agrees with what is simulated of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::ledger::{PlaceJson, Provenance};
use super::names::{self, DeciderWords, Names};
use super::pseudonyms::Shown;
use super::sheet::{Sheet, Table};
use super::time::{counted, grouped, rfc3339};
use crate::model::network::Network;
use crate::model::recorded::RecordedRule;
use crate::model::rule::Access;
use crate::model::verdict::VerdictKind;
use crate::replay::agreement::{Agreement, Class, Disagreement, Pair, is_same_rule};
use crate::replay::run::Totals;

/// How many kinds of disagreement the table shows.
const SHOWN: usize = 20;

/// An agreement to report on.
pub(super) struct AgreementReport<'a> {
    /// The network itself: whose rule a record names is told by true names.
    pub(super) network: &'a Network,
    pub(super) shown: Shown<'a>,
    pub(super) agreement: &'a Agreement,
    pub(super) provenance: &'a Provenance,
}

/// Counts of flows by class.
#[derive(Serialize)]
pub(super) struct SummaryJson {
    pub(super) flows: u64,
    pub(super) agree_allow: u64,
    pub(super) agree_deny: u64,
    logged_allow_simulated_deny: u64,
    logged_deny_simulated_allow: u64,
    pub(super) open: u64,
    pub(super) rules: RulesJson,
}

#[derive(Serialize)]
pub(super) struct AgreementJson {
    #[serde(flatten)]
    summary: SummaryJson,
    by_rule: Vec<RuleJson>,
    disagreements: Vec<DisagreementJson>,
    disagreements_beyond: u64,
}

/// Of the flows about whose verdict record and simulation agree and whose record names a rule: at how many it is the rule
/// that decides here too.
#[derive(Serialize)]
pub(super) struct RulesJson {
    pub(super) compared: u64,
    pub(super) same: u64,
}

/// Flows that one recorded rule and one rule here disagree about.
pub(super) struct Kind<'a> {
    pub(super) pair: &'a Pair,
    /// The recorded rule as it is shown.
    pub(super) rule: Option<RecordedRule>,
    pub(super) flows: u64,
    /// What decides here, in words.
    pub(super) decided_by: String,
    /// Of the first of these flows, if it was kept, the arguments that `explain` takes and where it stands.
    pub(super) example: Option<(String, String)>,
}

#[derive(Serialize)]
struct RecordedJson {
    access: Access,
    #[serde(skip_serializing_if = "Option::is_none")]
    acl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Serialize)]
struct RuleJson {
    recorded: RecordedJson,
    flows: u64,
    agree: u64,
    same_rule: u64,
    open: u64,
}

#[derive(Serialize)]
struct DisagreementJson {
    time: Option<String>,
    recorded: RecordedJson,
    verdict: VerdictKind,
    decided_by: DeciderWords,
    explain: Vec<String>,
    #[serde(flatten)]
    place: PlaceJson,
}

/// What became of the flows that a record ascribes to one rule.
#[derive(Clone, Copy, Default)]
struct Share {
    flows: u64,
    agree: u64,
    same_rule: u64,
    open: u64,
}

impl<'a> AgreementReport<'a> {
    /// The report of a replay; nothing where no verdict was recorded.
    pub(super) fn of(
        network: &'a Network,
        shown: Shown<'a>,
        totals: &'a Totals,
        provenance: &'a Provenance,
    ) -> Option<Self> {
        let agreement = Some(&totals.agreement).filter(|agreement| !agreement.is_empty())?;
        Some(Self { network, shown, agreement, provenance })
    }

    fn shares(&self) -> BTreeMap<(Access, Option<&RecordedRule>), Share> {
        let mut shares: BTreeMap<_, Share> = BTreeMap::new();
        for (pair, flows) in self.agreement.pairs() {
            let share = shares.entry((pair.access, pair.rule.as_deref())).or_default();
            share.flows += flows;
            match Class::of(pair.access, pair.kind) {
                Class::AgreeAllow | Class::AgreeDeny => {
                    share.agree += flows;
                    if is_same_rule(self.network, pair) == Some(true) {
                        share.same_rule += flows;
                    }
                }
                Class::Open => share.open += flows,
                Class::LoggedAllowSimulatedDeny | Class::LoggedDenySimulatedAllow => {}
            }
        }
        shares
    }

    fn rules(&self) -> RulesJson {
        let shares = self.shares();
        let named = shares.iter().filter(|((_, rule), _)| rule.is_some()).map(|(_, share)| share);
        RulesJson {
            compared: named.clone().map(|share| share.agree).sum(),
            same: named.map(|share| share.same_rule).sum(),
        }
    }

    fn contradicted(&self) -> u64 {
        let classes = self.agreement.classes();
        classes.iter().filter(|(class, _)| class.disagrees()).map(|(_, flows)| flows).sum()
    }

    pub(super) fn summary(&self) -> SummaryJson {
        let classes = self.agreement.classes();
        let of = |class| classes.get(&class).copied().unwrap_or_default();
        SummaryJson {
            flows: classes.values().sum(),
            agree_allow: of(Class::AgreeAllow),
            agree_deny: of(Class::AgreeDeny),
            logged_allow_simulated_deny: of(Class::LoggedAllowSimulatedDeny),
            logged_deny_simulated_allow: of(Class::LoggedDenySimulatedAllow),
            open: of(Class::Open),
            rules: self.rules(),
        }
    }

    pub(super) fn json(&self) -> AgreementJson {
        let names = Names { network: self.shown.network };
        let disagreements = self.agreement.disagreements();
        let by_rule = self.shares().into_iter().map(|((access, rule), share)| RuleJson {
            recorded: self.recorded(access, rule),
            flows: share.flows,
            agree: share.agree,
            same_rule: share.same_rule,
            open: share.open,
        });
        AgreementJson {
            summary: self.summary(),
            by_rule: by_rule.collect(),
            disagreements: disagreements
                .iter()
                .map(|one| DisagreementJson {
                    time: one.time_ns.map(rfc3339),
                    recorded: self.recorded(one.pair.access, one.pair.rule.as_deref()),
                    verdict: one.pair.kind,
                    decided_by: names.decider(&one.pair.decider),
                    explain: self.explain(one),
                    place: self.provenance.place(one.location),
                })
                .collect(),
            disagreements_beyond: self.contradicted() - disagreements.len() as u64,
        }
    }

    /// Disagreements by what decided there and here, the most frequent first.
    pub(super) fn kinds(&self) -> Vec<Kind<'a>> {
        let pairs = self.agreement.pairs();
        let mut kinds: Vec<(&'a Pair, u64)> =
            pairs.into_iter().filter(|(pair, _)| Class::of(pair.access, pair.kind).disagrees()).collect();
        kinds.sort_by_key(|(pair, flows)| (Reverse(*flows), *pair));
        let kind = |(pair, flows): (&'a Pair, u64)| {
            let example = self.agreement.disagreements().iter().find(|one| one.pair == *pair);
            let example = example.map(|one| {
                let place = self.provenance.place(one.location);
                (self.explain(one).join(" "), format!("{} record {}", place.file, place.record))
            });
            let decided_by = Names { network: self.shown.network }.decider(&pair.decider).line();
            let rule = pair.rule.as_deref().map(|rule| self.shown.masked(rule));
            Kind { pair, rule, flows, decided_by, example }
        };
        kinds.into_iter().map(kind).collect()
    }

    /// The arguments that `explain` takes for a disagreement.
    fn explain(&self, one: &Disagreement) -> Vec<String> {
        let at = one.seen_at.map(|(interface, seen_at)| (interface, seen_at.direction));
        Names { network: self.shown.network }.explain(&self.shown.masked(&one.tuple), at)
    }

    fn recorded(&self, access: Access, rule: Option<&RecordedRule>) -> RecordedJson {
        let rule = rule.map(|rule| self.shown.masked(rule));
        RecordedJson {
            access,
            acl: rule.as_ref().and_then(|rule| rule.acl.as_deref()).map(str::to_owned),
            rule: rule.as_ref().map(|rule| rule.name.to_string()),
            kind: rule.as_ref().map(|rule| names::rule_kind(rule.kind)),
        }
    }

    pub(super) fn table(&self, sheet: &mut Sheet) {
        let style = sheet.style;
        let write = "writing to a string works";
        sheet.section("Agreement with what was recorded");
        let classes = self.agreement.classes();
        let mut table = Table::new(&["flows", "recorded", "here"], &[0]);
        for (class, recorded, here) in [
            (Class::AgreeAllow, "allow", "allow"),
            (Class::AgreeDeny, "deny", "deny"),
            (Class::LoggedAllowSimulatedDeny, "allow", "deny"),
            (Class::LoggedDenySimulatedAllow, "deny", "allow"),
            (Class::Open, "either", "open"),
        ] {
            let flows = classes.get(&class).copied().unwrap_or_default();
            table.add_row([grouped(flows), recorded.to_owned(), here.to_owned()]);
        }
        sheet.table(&table);
        let RulesJson { compared, same } = self.rules();
        if compared > 0 {
            let of = counted(compared, "flow");
            writeln!(sheet, "  the same rule at {} of {of} that agree and name one", grouped(same))
                .expect(write);
        }
        let kinds = self.kinds();
        if kinds.is_empty() {
            return;
        }
        sheet.section("Disagreements");
        for Kind { pair, rule, flows, decided_by, example } in kinds.iter().take(SHOWN) {
            let mut recorded = style.access(pair.access);
            if let Some(rule) = rule {
                recorded += &format!(" by {}{}", rule.name, names::rule_kind_words(rule.kind));
            }
            let here = format!("{} by {decided_by}", style.verdict(pair.kind));
            writeln!(sheet, "  recorded {recorded}, here {here}: {}", counted(*flows, "flow")).expect(write);
            if let Some((explain, place)) = example {
                writeln!(sheet, "    {explain}  {}", style.faint(place)).expect(write);
            }
        }
        let left = kinds.len().saturating_sub(SHOWN) as u64;
        if left > 0 {
            writeln!(
                sheet,
                "  and {}: --format json and --decisions FILE list them",
                counted(left, "more kind")
            )
            .expect(write);
        }
    }
}
