//! Who talks to whom: subnets against subnets, with what became of the flows between them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::marks::{ALL, Count, Mark, bar, fared};
use crate::model::network::Network;
use crate::replay::digest::ByVerdict;
use crate::replay::digest::zones::Zone;
use crate::report::places::{Place, place};

/// How many zones have a row and a column of their own.
const MOST_SHOWN: usize = 20;

/// The matrix.
pub(super) struct Matrix {
    pub(super) columns: Vec<Place>,
    pub(super) rows: Vec<Row>,
    /// How many zones are counted together as the last row and column.
    pub(super) together: usize,
}

/// Flows from one zone.
pub(super) struct Row {
    pub(super) from: Place,
    pub(super) cells: Vec<Option<Cell>>,
}

/// Flows from one zone to another.
pub(super) struct Cell {
    pub(super) flows: Count,
    pub(super) bar: String,
    pub(super) parts: Vec<(Mark, Count)>,
    /// The same in words.
    pub(super) words: String,
}

impl Matrix {
    pub(super) fn new(network: &Network, pairs: &BTreeMap<(Zone, Zone), ByVerdict>) -> Self {
        let mut flows: BTreeMap<Zone, u64> = BTreeMap::new();
        for ((from, to), volumes) in pairs {
            *flows.entry(*from).or_default() += volumes.all().flows;
            if from != to {
                *flows.entry(*to).or_default() += volumes.all().flows;
            }
        }
        let mut largest: Vec<_> = flows.into_iter().collect();
        largest.sort_by_key(|(zone, flows)| (Reverse(*flows), *zone));
        let together = if largest.len() > MOST_SHOWN { largest.len() - MOST_SHOWN } else { 0 };
        let mut shown: Vec<Option<Zone>> =
            largest.iter().take(MOST_SHOWN).map(|(zone, _)| Some(*zone)).collect();
        shown.sort();
        shown.extend((together > 0).then_some(None));

        let own = |zone: Zone| Some(zone).filter(|_| shown.contains(&Some(zone)));
        let mut cells: BTreeMap<(Option<Zone>, Option<Zone>), ByVerdict> = BTreeMap::new();
        for ((from, to), volumes) in pairs {
            cells.entry((own(*from), own(*to))).or_default().merge(volumes);
        }
        let place = |zone: &Option<Zone>| match zone {
            Some(zone) => place(network, *zone),
            None => Place { name: "the others".to_owned(), within: String::new() },
        };
        // A place that sends nothing needs no row, and one that gets nothing no column.
        let senders = shown.iter().filter(|zone| cells.keys().any(|(from, _)| from == *zone));
        let receivers: Vec<&Option<Zone>> =
            shown.iter().filter(|zone| cells.keys().any(|(_, to)| to == *zone)).collect();
        let row = |from: &Option<Zone>| Row {
            from: place(from),
            cells: receivers.iter().map(|to| cells.get(&(*from, **to)).map(cell)).collect(),
        };
        Self {
            rows: senders.map(row).collect(),
            columns: receivers.iter().map(|to| place(to)).collect(),
            together,
        }
    }
}

fn cell(volumes: &ByVerdict) -> Cell {
    let parts = ALL.into_iter().filter(|kind| volumes.of(*kind).flows > 0);
    Cell {
        flows: Count(volumes.all().flows),
        bar: bar(volumes),
        parts: parts.map(|kind| (Mark::of(kind), Count(volumes.of(kind).flows))).collect(),
        words: fared(volumes),
    }
}
