//! Sets of packets as boxes: sources × destinations × services.

use std::collections::BTreeMap;

/// A set in each of three dimensions; a box holds every combination.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::analyze) struct Box3<S> {
    pub(in crate::analyze) sources: Vec<u32>,
    pub(in crate::analyze) destinations: Vec<u32>,
    pub(in crate::analyze) services: S,
}

/// The same packets in fewer boxes: those that agree in two dimensions become one, as long as there are such.
///
/// The boxes must be disjoint, and stay so.
pub(in crate::analyze) fn merged<S: Clone + Ord>(
    mut boxes: Vec<Box3<S>>,
    mut join: impl FnMut(&[&S]) -> S,
) -> Vec<Box3<S>> {
    loop {
        let before = boxes.len();
        let mut by_rest: BTreeMap<(Vec<u32>, S), Vec<Vec<u32>>> = BTreeMap::new();
        for one in boxes {
            by_rest.entry((one.destinations, one.services)).or_default().push(one.sources);
        }
        let mut by_sources: BTreeMap<(Vec<u32>, S), Vec<Vec<u32>>> = BTreeMap::new();
        for ((destinations, services), sources) in by_rest {
            by_sources.entry((union(sources), services)).or_default().push(destinations);
        }
        let mut by_ends: BTreeMap<(Vec<u32>, Vec<u32>), Vec<S>> = BTreeMap::new();
        for ((sources, services), destinations) in by_sources {
            by_ends.entry((sources, union(destinations))).or_default().push(services);
        }
        boxes = by_ends
            .into_iter()
            .map(|((sources, destinations), services)| {
                let services = match &services[..] {
                    [one] => one.clone(),
                    several => join(&several.iter().collect::<Vec<_>>()),
                };
                Box3 { sources, destinations, services }
            })
            .collect();
        if boxes.len() == before {
            return boxes;
        }
    }
}

/// All numbers of some sets, sorted.
pub(super) fn union(sets: Vec<Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<u32> = sets.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}
