//! Which assertions about a network hold, as text, JSON or JUnit.

mod junit;

use serde::Serialize;
use serde_json::value::RawValue;

use super::explain::Explanation;
use super::inputs::Inputs;
use super::names::{DeciderWords, Names};
use super::regions::sets::SetNames;
use super::regions::{self, RegionJson};
use super::sheet::Sheet;
use super::style::Style;
use super::time::counted;
use crate::analyze::assertions::{Holds, Outcome};
use crate::analyze::regions::Region;
use crate::analyze::whatif::Side;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::FiveTuple;
use crate::model::verdict::{Answer, VerdictKind};
use crate::replay::tally::Decider;

/// Assertions that were tried.
pub struct AssertionsReport<'a> {
    /// The network.
    pub compiled: &'a CompiledNetwork,
    /// What came of each, in the order of the question.
    pub tried: &'a [Tried],
    /// What it was made from.
    pub inputs: Inputs,
}

/// An assertion that was tried.
pub struct Tried {
    /// What it is called: its name, its clause, or what it says.
    pub name: String,
    /// Where it stands: file, line and column; of a preset its name.
    pub place: String,
    /// Whom it concerns, where it does not concern everybody: then it is told, and fails nothing.
    pub needed_when: Option<String>,
    /// Whether it holds.
    pub holds: Holds,
    /// What shows it.
    pub evidence: Evidence,
    /// A packet that contradicts it, with its steps.
    pub counterexample: Option<(FiveTuple, Answer)>,
}

/// What shows that an assertion holds or not.
pub enum Evidence {
    /// All packets that it speaks of.
    Packets(Outcome),
    /// Why, in words.
    Words(String),
}

#[derive(Serialize)]
struct ReportJson<'a> {
    schema: &'static str,
    assertions: Vec<TriedJson<'a>>,
    totals: TotalsJson,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct TriedJson<'a> {
    name: &'a str,
    place: &'a str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_when: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    against: Vec<AgainstJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open: Vec<AgainstJson>,
    /// The packet, as `nsgsim/explain/1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    counterexample: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct AgainstJson {
    verdict: VerdictKind,
    decided_by: DeciderWords,
    regions: Vec<RegionJson>,
}

/// How many there are of each result; `conditional` ones fail nothing and are counted apart.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct TotalsJson {
    assertions: usize,
    hold: usize,
    fail: usize,
    undetermined: usize,
    speak_of_nothing: usize,
    conditional_that_do_not_hold: usize,
}

impl Tried {
    /// Whether a run with it has something to object to.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.needed_when.is_none()
    }
}

/// A result as a word of JSON.
pub(super) fn word(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "holds",
        Holds::No => "fails",
        Holds::Open => "undetermined",
        Holds::OfNothing => "speaks_of_nothing",
    }
}

impl AssertionsReport<'_> {
    fn totals(&self) -> TotalsJson {
        let mut totals = TotalsJson { assertions: self.tried.len(), ..TotalsJson::default() };
        for one in self.tried {
            match (one.holds, one.counts()) {
                (Holds::Yes, _) => totals.hold += 1,
                (_, false) => totals.conditional_that_do_not_hold += 1,
                (Holds::No, true) => totals.fail += 1,
                (Holds::Open, true) => totals.undetermined += 1,
                (Holds::OfNothing, true) => totals.speak_of_nothing += 1,
            }
        }
        totals
    }

    fn explanation<'e>(&'e self, (packet, answer): &'e (FiveTuple, Answer)) -> Explanation<'e> {
        Explanation {
            network: &self.compiled.network,
            packet: *packet,
            answer,
            next_in_line: None,
            tried: answer.steps.iter().map(|_| Vec::new()).collect(),
            inputs: self.inputs.clone(),
        }
    }

    /// The report as `nsgsim/test/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let names = SetNames::of(&[self.compiled]);
        let sides = |sides: &std::collections::BTreeMap<Side, Vec<Region>>| {
            let side = |(side, regions): (&Side, &Vec<Region>)| AgainstJson {
                verdict: side.kind,
                decided_by: Names { network: &self.compiled.network }.decider(&side.decider),
                regions: regions.iter().map(|region| RegionJson::new(&names, region)).collect(),
            };
            sides.iter().map(side).collect::<Vec<_>>()
        };
        let tried = |one: &'_ Tried| {
            let (against, open) = match &one.evidence {
                Evidence::Packets(outcome) => (sides(&outcome.against), sides(&outcome.open)),
                Evidence::Words(_) => (Vec::new(), Vec::new()),
            };
            let steps = one.counterexample.as_ref().map(|shown| self.explanation(shown).json());
            (against, open, steps.map(|json| RawValue::from_string(json).expect("an answer is JSON")))
        };
        let assertions = self.tried.iter().map(|one| {
            let (against, open, counterexample) = tried(one);
            TriedJson {
                name: &one.name,
                place: &one.place,
                result: word(one.holds),
                needed_when: one.needed_when.as_deref(),
                reason: match &one.evidence {
                    Evidence::Words(words) => Some(words),
                    Evidence::Packets(_) => None,
                },
                against,
                open,
                counterexample,
            }
        });
        let json = ReportJson {
            schema: "nsgsim/test/1",
            assertions: assertions.collect(),
            totals: self.totals(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let names = SetNames::of(&[self.compiled]);
        let mut sheet = Sheet::new(style);
        sheet.section("Assertions");
        for one in self.tried {
            sheet.line(&format!("  {}  {}", style.holds(one.holds, one.counts()), one.name));
            if one.holds != Holds::Yes {
                self.details(one, &names, &mut sheet);
            }
        }
        let totals = self.totals();
        let mut parts = vec![format!("{} hold", totals.hold)];
        for (count, words) in [
            (totals.fail, "fail"),
            (totals.undetermined, "undetermined"),
            (totals.speak_of_nothing, "of no packet of this network"),
            (totals.conditional_that_do_not_hold, "needed by some only do not hold"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {words}"));
            }
        }
        let all = counted(totals.assertions as u64, "assertion");
        sheet.line(&format!("\n  {all}: {}", parts.join(", ")));
        sheet.line(&format!("  {}", style.faint(&self.inputs.tags_shown())));
        sheet.finish()
    }

    /// Why an assertion does not hold.
    fn details(&self, one: &Tried, names: &SetNames, sheet: &mut Sheet) {
        let style = sheet.style;
        sheet.line(&format!("        {}", style.faint(&one.place)));
        if let Some(when) = &one.needed_when {
            sheet.line(&format!("        needed when: {when}"));
        }
        for line in self.reasons(one, names) {
            sheet.line(&format!("        {line}"));
        }
        if let Some(shown) = &one.counterexample {
            let steps =
                self.explanation(shown).table(Style { fits_terminal: false, ..Style::default() }, false);
            for line in steps.lines().filter(|line| !line.is_empty()) {
                sheet.line(&format!("          {line}"));
            }
        }
    }

    /// What speaks against an assertion, or is open about it, line by line.
    fn reasons(&self, one: &Tried, names: &SetNames) -> Vec<String> {
        let outcome = match &one.evidence {
            Evidence::Words(words) => return vec![words.clone()],
            Evidence::Packets(outcome) => outcome,
        };
        if one.holds == Holds::OfNothing {
            return vec!["no packet of it is this network's".to_owned()];
        }
        let mut lines = Vec::new();
        for (side, found) in outcome.against.iter().chain(&outcome.open) {
            let network = &self.compiled.network;
            lines.push(match side.decider {
                Decider::Open(code) => format!("{}: {code}", side.kind),
                decider => format!("{} by {}", side.kind, Names { network }.decider(&decider).line()),
            });
            lines.extend(regions::lines(names, found).into_iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

impl Style {
    /// Whether an assertion holds, in a word and its colour.
    fn holds(self, holds: Holds, counts: bool) -> String {
        match (holds, counts) {
            (Holds::Yes, _) => self.good("ok  "),
            (Holds::No, true) => self.bad("FAIL"),
            (Holds::No, false) => "no  ".to_owned(),
            (Holds::Open | Holds::OfNothing, true) => self.unclear("?   "),
            (Holds::Open | Holds::OfNothing, false) => "?   ".to_owned(),
        }
    }
}
