//! Who can reach whom, as text or JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::inputs::Inputs;
use super::names::{DeciderWords, Names};
use super::regions::sets::SetNames;
use super::regions::{self, EndsJson, RegionJson, services};
use super::sheet::Sheet;
use super::style::Style;
use crate::analyze::matrix::{Matrix, MatrixZone, Passage};
use crate::analyze::reach::Reach;
use crate::analyze::regions::Region;
use crate::analyze::whatif::Side;
use crate::compile::network::CompiledNetwork;
use crate::model::verdict::VerdictKind;
use crate::replay::tally::Decider;

/// An answer to report on.
pub struct ReachReport<'a> {
    /// The network.
    pub compiled: &'a CompiledNetwork,
    /// What becomes of the packets.
    pub reach: &'a Reach,
    /// Both ends were named: then a text says too which of their packets are not this network's.
    pub has_both_ends: bool,
    /// What it was made from.
    pub inputs: Inputs,
}

/// A matrix to report on.
pub struct MatrixReport<'a> {
    /// The network.
    pub compiled: &'a CompiledNetwork,
    /// What passes between which zones.
    pub matrix: &'a Matrix,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct ReachJson<'a> {
    schema: &'static str,
    answers: Vec<AnswerJson>,
    out_of_scope: Vec<EndsJson>,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct AnswerJson {
    verdict: VerdictKind,
    decided_by: DeciderWords,
    regions: Vec<RegionJson>,
}

#[derive(Serialize)]
struct MatrixJson<'a> {
    schema: &'static str,
    passages: Vec<PassageJson>,
    empty_subnets: Vec<&'a str>,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct PassageJson {
    from: String,
    to: String,
    /// By verdict; what is denied is left out.
    passing: BTreeMap<String, Vec<RegionJson>>,
}

/// What passes to some zones, line by line.
#[derive(Eq, PartialEq)]
struct Row {
    passing: Vec<(VerdictKind, String)>,
    to: Vec<String>,
}

/// What passes goes first.
fn rank(kind: VerdictKind) -> u8 {
    match kind {
        VerdictKind::Allow => 0,
        VerdictKind::Mixed => 1,
        VerdictKind::Undetermined => 2,
        VerdictKind::Deny => 3,
    }
}

impl ReachReport<'_> {
    fn answers(&self) -> Vec<(&Side, &Vec<Region>)> {
        let mut answers: Vec<_> = self.reach.fates.iter().collect();
        answers.sort_by_key(|(side, _)| (rank(side.kind), **side));
        answers
    }

    /// The report as `nsgsim/reach/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let names = SetNames::of(&[self.compiled]);
        let answer = |(side, regions): (&Side, &Vec<Region>)| AnswerJson {
            verdict: side.kind,
            decided_by: Names { network: &self.compiled.network }.decider(&side.decider),
            regions: regions.iter().map(|region| RegionJson::new(&names, region)).collect(),
        };
        let out = self.reach.out_of_scope.iter();
        let json = ReachJson {
            schema: "nsgsim/reach/1",
            answers: self.answers().into_iter().map(answer).collect(),
            out_of_scope: out
                .map(|(sources, destinations)| EndsJson::new(&names, sources, destinations))
                .collect(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let names = SetNames::of(&[self.compiled]);
        let network = &self.compiled.network;
        let mut sheet = Sheet::new(style);
        for (side, found) in self.answers() {
            let verdict = style.verdict(side.kind);
            sheet.section(&match side.decider {
                Decider::Open(code) => format!("{verdict}: {code}"),
                decider => format!("{verdict} by {}", Names { network }.decider(&decider).line()),
            });
            regions::write(&mut sheet, network, &names, found);
        }
        if self.has_both_ends && !self.reach.out_of_scope.is_empty() {
            sheet.section("Not this network's: no end is in it");
            for (sources, destinations) in &self.reach.out_of_scope {
                regions::write_ends(&mut sheet, &names, sources, destinations);
            }
        }
        if sheet.is_empty() {
            sheet.line("No packet goes from there to there.");
        }
        sheet.line(&format!("\n  {}", style.faint(&self.inputs.tags_shown())));
        sheet.finish()
    }
}

impl MatrixReport<'_> {
    fn name(&self, zone: &MatrixZone) -> String {
        match zone {
            MatrixZone::Subnet(subnet) => self.compiled.network.subnet_name(*subnet).to_owned(),
            MatrixZone::Internet => "Internet".to_owned(),
            MatrixZone::OnPremises => "on-premises".to_owned(),
            MatrixZone::Tag(tag) => tag.to_string(),
        }
    }

    fn rows(&self, names: &SetNames, passages: &[Passage]) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for one in passages {
            let (passing, to) = (lines(names, one), self.name(&one.to));
            match rows.iter_mut().find(|row| row.passing == passing) {
                Some(row) => row.to.push(to),
                None => rows.push(Row { passing, to: vec![to] }),
            }
        }
        rows
    }

    /// The report as `nsgsim/reach-matrix/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let names = SetNames::of(&[self.compiled]);
        let passage = |one: &Passage| PassageJson {
            from: self.name(&one.from),
            to: self.name(&one.to),
            passing: one
                .passing
                .iter()
                .map(|(kind, regions)| {
                    let regions = regions.iter().map(|region| RegionJson::new(&names, region));
                    (kind.to_string(), regions.collect())
                })
                .collect(),
        };
        let empty = self.matrix.empty.iter();
        let json = MatrixJson {
            schema: "nsgsim/reach-matrix/1",
            passages: self.matrix.passages.iter().map(passage).collect(),
            empty_subnets: empty.map(|subnet| self.compiled.network.subnet_name(*subnet)).collect(),
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people: for each zone where from it something passes.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let names = SetNames::of(&[self.compiled]);
        let mut sheet = Sheet::new(style);
        // Zones from which the same passes stand together, and so do those to which it does.
        let mut groups: Vec<(Vec<Row>, Vec<String>)> = Vec::new();
        for passages in self.matrix.passages.chunk_by(|one, next| one.from == next.from) {
            let (rows, from) = (self.rows(&names, passages), self.name(&passages[0].from));
            match groups.iter_mut().find(|(known, _)| *known == rows) {
                Some((_, zones)) => zones.push(from),
                None => groups.push((rows, vec![from])),
            }
        }
        for (rows, zones) in groups {
            sheet.section(&format!("From {}", zones.join(", ")));
            let (closed, open): (Vec<Row>, Vec<Row>) =
                rows.into_iter().partition(|row| row.passing.is_empty());
            for row in open {
                sheet.line(&format!("  to {}", row.to.join(", ")));
                for (kind, line) in row.passing {
                    sheet.line(&format!("      {}{line}", verdict(style, kind)));
                }
            }
            for row in closed {
                sheet.line(&format!("  nothing to {}", row.to.join(", ")));
            }
        }
        if !self.matrix.empty.is_empty() {
            let empty = self.matrix.empty.iter().map(|subnet| self.compiled.network.subnet_name(*subnet));
            let empty: Vec<&str> = empty.collect();
            sheet.line(&format!("\n  nothing stands in {}", empty.join(", ")));
        }
        sheet.line(&format!("\n  {}", style.faint(&self.inputs.tags_shown())));
        sheet.finish()
    }
}

/// A verdict that is not simply to pass.
fn verdict(style: Style, kind: VerdictKind) -> String {
    if kind == VerdictKind::Allow { String::new() } else { format!("{}: ", style.verdict(kind)) }
}

/// What passes, line by line; ends are named where it is not between all of a family's.
fn lines(names: &SetNames, passage: &Passage) -> Vec<(VerdictKind, String)> {
    let mut passing: Vec<_> = passage.passing.iter().collect();
    passing.sort_by_key(|(kind, _)| rank(**kind));
    let mut lines: Vec<(VerdictKind, String)> = Vec::new();
    for (kind, regions) in passing {
        for one in regions {
            let mut line = services::words(&one.services);
            let ends = [("from", &one.sources, &passage.ends.0), ("to", &one.destinations, &passage.ends.1)];
            for (word, part, whole) in ends {
                if *part != whole.of_family(one.witness.source.is_ipv4()) {
                    line += &format!(" {word} {}", regions::parts(names.words(part)));
                }
            }
            let line = (*kind, line);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}
