//! Which packets flip between two networks, as text or JSON.

use serde::Serialize;

use super::assertions::word;
use super::inputs::Inputs;
use super::names::{DeciderWords, Names};
use super::regions::sets::SetNames;
use super::regions::{self, EndsJson, RegionJson};
use super::sheet::Sheet;
use super::style::Style;
use super::time::counted;
use crate::analyze::assertions::Holds;
use crate::analyze::diff::Difference;
use crate::analyze::intent::Intended;
use crate::analyze::regions::Region;
use crate::analyze::whatif::{Change, Side};
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::verdict::VerdictKind;
use crate::replay::tally::Decider;

/// A difference to report on.
pub struct DiffReport<'a> {
    /// The base.
    pub base: &'a CompiledNetwork,
    /// The candidate.
    pub candidate: &'a CompiledNetwork,
    /// What differs.
    pub difference: &'a Difference,
    /// What came of what the change is made for, where that was stated.
    pub intended: Option<&'a Intended>,
    /// What both were made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct DiffJson {
    schema: &'static str,
    flips: Vec<FlipJson>,
    base_only: Vec<EndsJson>,
    candidate_only: Vec<EndsJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<IntentJson>,
    inputs: Inputs,
}

/// The three steps by which a change is held against what it is made for.
#[derive(Serialize)]
struct IntentJson {
    met: bool,
    held_before: &'static str,
    holds_after: &'static str,
    /// What flips beside it.
    beside: Vec<RegionJson>,
}

#[derive(Serialize)]
struct FlipJson {
    base: SideJson,
    candidate: SideJson,
    regions: Vec<RegionJson>,
}

#[derive(Serialize)]
struct SideJson {
    verdict: VerdictKind,
    decided_by: DeciderWords,
}

impl DiffReport<'_> {
    /// The flips that break something first.
    fn flips(&self) -> Vec<(&Change, &Vec<Region>)> {
        let mut flips: Vec<_> = self.difference.flips.iter().collect();
        flips.sort_by_key(|(change, _)| (change.rank(), **change));
        flips
    }

    /// The report as `nsgsim/diff/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.shape()).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// What JSON holds.
    pub(super) fn shape(&self) -> impl Serialize {
        let names = SetNames::of(&[self.base, self.candidate]);
        let side = |compiled: &CompiledNetwork, side: &Side| SideJson {
            verdict: side.kind,
            decided_by: Names { network: &compiled.network }.decider(&side.decider),
        };
        let flip = |(change, regions): (&Change, &Vec<Region>)| FlipJson {
            base: side(self.base, &change.base),
            candidate: side(self.candidate, &change.candidate),
            regions: regions.iter().map(|region| RegionJson::new(&names, region)).collect(),
        };
        let only = |boxes: &[(AddressSet, AddressSet)]| {
            let ends = boxes.iter();
            ends.map(|(sources, destinations)| EndsJson::new(&names, sources, destinations)).collect()
        };
        DiffJson {
            schema: "nsgsim/diff/1",
            flips: self.flips().into_iter().map(flip).collect(),
            base_only: only(&self.difference.base_only),
            candidate_only: only(&self.difference.candidate_only),
            intent: self.intended.map(|intended| IntentJson {
                met: intended.is_met(),
                held_before: word(intended.before.holds()),
                holds_after: word(intended.after.holds()),
                beside: intended.beside.iter().map(|(_, region)| RegionJson::new(&names, region)).collect(),
            }),
            inputs: self.inputs.clone(),
        }
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        self.write(&mut sheet);
        sheet.finish()
    }

    /// Its sections.
    pub(super) fn write(&self, sheet: &mut Sheet) {
        let names = SetNames::of(&[self.base, self.candidate]);
        if let Some(intended) = self.intended {
            self.intent(sheet, intended);
        }
        if self.difference.is_empty() {
            sheet.line("No packet gets another verdict.");
            return;
        }
        for (change, found) in self.flips() {
            let words = |compiled: &CompiledNetwork, side: &Side| match side.decider {
                Decider::Open(code) => format!("{}: {code}", side.kind),
                decider => {
                    let decider = Names { network: &compiled.network }.decider(&decider);
                    format!("{} by {}", side.kind, decider.line())
                }
            };
            let (base, candidate) =
                (words(self.base, &change.base), words(self.candidate, &change.candidate));
            sheet.section(&format!("{base} -> {candidate}"));
            regions::write(sheet, &self.base.network, &names, found);
        }
        for (boxes, side) in
            [(&self.difference.base_only, "base"), (&self.difference.candidate_only, "candidate")]
        {
            if boxes.is_empty() {
                continue;
            }
            sheet.section(&format!("Judged in the {side} alone: no end is in the other network"));
            for (sources, destinations) in boxes {
                regions::write_ends(sheet, &names, sources, destinations);
            }
        }
        self.totals(sheet);
    }

    /// The three steps of an intent.
    fn intent(&self, sheet: &mut Sheet, intended: &Intended) {
        let style = sheet.style;
        sheet.section("What the change is made for");
        let mut step = |is_met: bool, words: &str| {
            let mark = if is_met { style.good("ok  ") } else { style.bad("FAIL") };
            sheet.line(&format!("  {mark}  {words}"));
        };
        let (before, after) = (intended.before.holds(), intended.after.holds());
        let said = |holds: Holds| match holds {
            Holds::Yes => "it holds",
            Holds::No => "it does not hold",
            Holds::Open => "it hangs on what the input lacks",
            Holds::OfNothing => "it speaks of no packet of the network",
        };
        step(before != Holds::Yes, &format!("before: {}", said(before)));
        step(after == Holds::Yes, &format!("after: {}", said(after)));
        let beside = match &intended.beside[..] {
            [] => "nothing flips".to_owned(),
            [(_, first), ..] => {
                let witness = Names { network: &self.base.network }.explain(&first.witness, None).join(" ");
                format!(
                    "{} of what flips, such as {witness}",
                    counted(intended.beside.len() as u64, "region")
                )
            }
        };
        step(intended.beside.is_empty(), &format!("outside it: {beside}"));
    }

    fn totals(&self, sheet: &mut Sheet) {
        sheet.section("Totals");
        for (name, kind) in [
            ("newly denied", VerdictKind::Deny),
            ("newly allowed", VerdictKind::Allow),
            ("newly mixed", VerdictKind::Mixed),
            ("newly undetermined", VerdictKind::Undetermined),
        ] {
            let flips = self.difference.flips.iter().filter(|(change, _)| change.candidate.kind == kind);
            let regions: usize = flips.map(|(_, regions)| regions.len()).sum();
            if regions > 0 || matches!(kind, VerdictKind::Deny | VerdictKind::Allow) {
                sheet.line(&format!("  {name}: {}", counted(regions as u64, "region")));
            }
        }
    }
}
