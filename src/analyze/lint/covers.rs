//! Who takes the packets of a rule that decides about none, and who would take those of a rule that is not needed.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::cut::{Cut, Place, Reading};
use super::standing::behind;
use crate::analyze::regions::bits::Bits;
use crate::model::flow::FiveTuple;

/// Who takes the packets of a rule.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Takers {
    /// Rules, by their positions, ascending.
    pub(super) rules: BTreeSet<u32>,
    /// The platform, which lets some packets through whatever rules say.
    pub(super) platform: bool,
}

/// What covers a rule.
pub(super) struct Cover {
    /// Rules ahead that together match all that it does: as few as leaving out one by one gives.
    pub(super) by: Takers,
    /// A packet of it, and who takes it: one of another access where there is one.
    pub(super) witness: Option<(FiveTuple, Option<u32>)>,
    /// Some rule ahead says of some packet of it what it does not.
    pub(super) is_opposite: bool,
}

/// What some packets of a rule meet ahead of it: items, and the services that are asked about.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Met {
    cut: usize,
    ahead: Bits,
    services: Bits,
}

/// What takes the packets of a rule that no packet reaches.
pub(super) fn cover(cuts: &[Cut], rule: u32) -> Cover {
    let mut met: HashSet<Met, FixedState> = HashSet::default();
    let mut takers: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    let (mut witness, mut is_opposite) = (None, false);
    for (number, cut) in cuts.iter().enumerate() {
        for_each_reading(cut, rule, |place, reading, own| {
            let first = own.iter().next().expect("the rule is in the row");
            let mut services = cut.services.none();
            own.iter().for_each(|item| services.add(&cut.items[item].services));
            let takes = |item: &usize| {
                *item < first
                    && cut.takes(*item, reading)
                    && cut.items[*item].services.meet(&services, &services)
            };
            let ahead = Bits::of(cut.items.len(), reading.row.iter().filter(takes));
            let one = Met { cut: number, ahead, services };
            if met.contains(&one) {
                return;
            }
            let access = cut.items[first].access;
            let mut left = one.services.clone();
            for item in one.ahead.iter() {
                let ahead = &cut.items[item];
                let taken = left.and(&ahead.services);
                if taken.is_empty() {
                    continue;
                }
                left.remove(&taken);
                *takers.entry(ahead.rule).or_default() += 1;
                let opposite = ahead.rule.is_some() && ahead.access != access;
                if witness.is_none() || (opposite && !is_opposite) {
                    witness = Some((cut.packet(place, &taken), ahead.rule));
                }
                is_opposite |= opposite;
            }
            met.insert(one);
        });
    }
    let by = fewest(cuts, &met, takers);
    Cover { by, witness, is_opposite }
}

/// Of those that take something, as few as together take all: one alone where that does, or else what is left when one
/// after the other is tried to be left out, those that take least first.
fn fewest(cuts: &[Cut], met: &HashSet<Met, FixedState>, takers: BTreeMap<Option<u32>, usize>) -> Takers {
    let take_all = |owners: &BTreeSet<Option<u32>>, met: &Met| {
        let items = &cuts[met.cut].items;
        let mut left = met.services.clone();
        for item in met.ahead.iter().filter(|item| owners.contains(&items[*item].rule)) {
            left.remove(&items[item].services);
        }
        left.is_empty()
    };
    let all: BTreeSet<Option<u32>> = takers.keys().copied().collect();
    let alone = all.iter().rev().map(|owner| BTreeSet::from([*owner]));
    let alone = alone.into_iter().filter(|one| met.iter().all(|met| take_all(one, met))).last();
    let owners = alone.unwrap_or_else(|| {
        let mut of_owner: HashMap<Option<u32>, Vec<&Met>, FixedState> = HashMap::default();
        for one in met {
            let owners = one.ahead.iter().map(|item| cuts[one.cut].items[item].rule);
            for owner in owners.collect::<BTreeSet<_>>() {
                of_owner.entry(owner).or_default().push(one);
            }
        }
        let mut order: Vec<(usize, Option<u32>)> =
            takers.into_iter().map(|(owner, count)| (count, owner)).collect();
        // What the platform lets through is named only where no rule takes it.
        order.sort_by_key(|(count, owner)| (owner.is_some(), *count, std::cmp::Reverse(*owner)));
        let mut owners = all;
        for (_, owner) in order {
            owners.remove(&owner);
            if !of_owner[&owner].iter().all(|met| take_all(&owners, met)) {
                owners.insert(owner);
            }
        }
        owners
    });
    let platform = owners.contains(&None);
    Takers { rules: owners.into_iter().flatten().collect(), platform }
}

/// Who takes the packets that reach a rule, were it not there.
pub(super) fn heirs(cuts: &[Cut], rule: u32) -> Takers {
    let mut heirs = Takers::default();
    for cut in cuts {
        let mut seen: HashSet<Bits, FixedState> = HashSet::default();
        for_each_reading(cut, rule, |_, reading, _| {
            if !seen.insert(reading.row.clone()) {
                return;
            }
            let mut hits: Vec<(usize, Bits)> = Vec::new();
            cut.fold(reading, 0, cut.all_services(), |item, services| {
                if cut.items[item].rule == Some(rule) {
                    hits.push((item, services.clone()));
                }
            });
            for hit in hits {
                let left = behind(cut, reading, hit, |item, _| {
                    heirs.rules.extend(cut.items[item].rule);
                });
                heirs.platform |= !left.is_empty();
            }
        });
    }
    heirs
}

/// Hands each reading of each row that holds a rule, with the rule's items in it.
fn for_each_reading(cut: &Cut, rule: u32, mut each: impl FnMut(Place, &Reading, &Bits)) {
    let of_rule = (0..cut.items.len()).filter(|item| cut.items[*item].rule == Some(rule));
    let own = Bits::of(cut.items.len(), of_rule);
    let mut seen: HashSet<Bits, FixedState> = HashSet::default();
    for place in cut.places_of(&own) {
        let Some(row) = cut.row(place) else { continue };
        if !row.meet(&own, &own) || seen.contains(&row) {
            continue;
        }
        for reading in cut.readings(&row) {
            let own = reading.row.and(&own);
            if !own.is_empty() {
                each(place, &reading, &own);
            }
        }
        seen.insert(row);
    }
}
