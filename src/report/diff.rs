//! Which packets flip between two networks, as text or JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::inputs::Inputs;
use super::names::{DeciderWords, Names, socket};
use super::regions::services;
use super::regions::sets::SetNames;
use super::sheet::Sheet;
use super::style::Style;
use super::time::counted;
use crate::analyze::diff::Difference;
use crate::analyze::regions::Region;
use crate::analyze::whatif::{Change, Side};
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::FiveTuple;
use crate::model::verdict::VerdictKind;
use crate::replay::tally::Decider;

/// How many parts of a set, and how many boxes of a flip, a text names one by one; JSON names all.
const MOST_PARTS: usize = 6;
const MOST_BOXES: usize = 20;

/// A difference to report on.
pub struct DiffReport<'a> {
    /// The base.
    pub base: &'a CompiledNetwork,
    /// The candidate.
    pub candidate: &'a CompiledNetwork,
    /// What differs.
    pub difference: &'a Difference,
    /// What both were made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct DiffJson {
    schema: &'static str,
    flips: Vec<FlipJson>,
    base_only: Vec<EndsJson>,
    candidate_only: Vec<EndsJson>,
    inputs: Inputs,
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

#[derive(Serialize)]
struct EndsJson {
    from: SetJson,
    to: SetJson,
}

#[derive(Serialize)]
struct RegionJson {
    #[serde(flatten)]
    ends: EndsJson,
    services: Vec<ServiceJson>,
    witness: WitnessJson,
}

#[derive(Serialize)]
struct SetJson {
    names: Vec<String>,
    prefixes: Vec<String>,
}

#[derive(Serialize)]
struct ServiceJson {
    protocols: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ports: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_ports: Option<Vec<String>>,
}

/// A packet as `explain` takes it.
#[derive(Serialize)]
struct WitnessJson {
    from: String,
    to: String,
    proto: String,
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
        let names = SetNames::of(&[self.base, self.candidate]);
        let set = |set: &AddressSet| SetJson {
            names: names.words(set),
            prefixes: set.prefixes().iter().map(ToString::to_string).collect(),
        };
        let ends = |sources: &AddressSet, destinations: &AddressSet| EndsJson {
            from: set(sources),
            to: set(destinations),
        };
        let side = |compiled: &CompiledNetwork, side: &Side| SideJson {
            verdict: side.kind,
            decided_by: Names { network: &compiled.network }.decider(&side.decider),
        };
        let region = |one: &Region| {
            let services = one.services.iter().map(|service| {
                let texts = |ranges: &Vec<_>| ranges.iter().map(ToString::to_string).collect();
                ServiceJson {
                    protocols: service.protocols.iter().map(ToString::to_string).collect(),
                    source_ports: service.ports.as_ref().map(|(sources, _)| texts(sources)),
                    destination_ports: service.ports.as_ref().map(|(_, destinations)| texts(destinations)),
                }
            });
            RegionJson {
                ends: ends(&one.sources, &one.destinations),
                services: services.collect(),
                witness: WitnessJson {
                    from: socket(one.witness.source, one.witness.source_port),
                    to: socket(one.witness.destination, one.witness.destination_port),
                    proto: one.witness.protocol.to_string(),
                },
            }
        };
        let flip = |(change, regions): (&Change, &Vec<Region>)| FlipJson {
            base: side(self.base, &change.base),
            candidate: side(self.candidate, &change.candidate),
            regions: regions.iter().map(region).collect(),
        };
        let only = |boxes: &[(AddressSet, AddressSet)]| {
            boxes.iter().map(|(sources, destinations)| ends(sources, destinations)).collect()
        };
        let json = DiffJson {
            schema: "nsgsim/diff/1",
            flips: self.flips().into_iter().map(flip).collect(),
            base_only: only(&self.difference.base_only),
            candidate_only: only(&self.difference.candidate_only),
            inputs: self.inputs.clone(),
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
        let names = SetNames::of(&[self.base, self.candidate]);
        let mut sheet = Sheet::new(style);
        let write = "writing to a string works";
        if self.difference.is_empty() {
            sheet.line("No packet gets another verdict.");
            return sheet.finish();
        }
        for (change, regions) in self.flips() {
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
            for one in regions.iter().take(MOST_BOXES) {
                writeln!(sheet, "  from  {}", parts(names.words(&one.sources))).expect(write);
                writeln!(sheet, "  to    {}", parts(names.words(&one.destinations))).expect(write);
                writeln!(sheet, "        {}", services::words(&one.services)).expect(write);
                writeln!(sheet, "        {}", style.faint(&self.witness(&one.witness))).expect(write);
            }
            if regions.len() > MOST_BOXES {
                let left = (regions.len() - MOST_BOXES) as u64;
                writeln!(sheet, "  and {}: --format json has all", counted(left, "more region"))
                    .expect(write);
            }
        }
        for (boxes, side) in
            [(&self.difference.base_only, "base"), (&self.difference.candidate_only, "candidate")]
        {
            if boxes.is_empty() {
                continue;
            }
            sheet.section(&format!("Judged in the {side} alone: no end is in the other network"));
            for (sources, destinations) in boxes {
                writeln!(sheet, "  from  {}", parts(names.words(sources))).expect(write);
                writeln!(sheet, "  to    {}", parts(names.words(destinations))).expect(write);
            }
        }
        self.totals(&mut sheet);
        sheet.finish()
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

    fn witness(&self, tuple: &FiveTuple) -> String {
        Names { network: &self.base.network }.explain(tuple, None).join(" ")
    }
}

/// The first parts of a set.
fn parts(words: Vec<String>) -> String {
    let left = words.len().saturating_sub(MOST_PARTS);
    let mut shown = words.into_iter().take(MOST_PARTS).collect::<Vec<_>>().join(", ");
    if left > 0 {
        shown += &format!(" and {left} more");
    }
    shown
}
