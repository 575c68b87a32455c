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

/// A packet, and the rule that takes it; nothing for the platform.
type Shown = (FiveTuple, Option<u32>);

/// What covers a rule.
pub(super) struct Cover {
    /// Rules ahead that together match all that it does: as few as leaving out one by one gives.
    pub(super) by: Takers,
    /// A packet of it, and who takes it: one of another access where there is one.
    pub(super) witness: Option<Shown>,
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
    let mut witness: Option<((bool, bool), Shown)> = None;
    let mut is_opposite = false;
    for (number, cut) in cuts.iter().enumerate() {
        for_each_reading(cut, rule, |place, reading, own| {
            let first = own.iter().next().expect("the rule is in the row");
            for item in own.iter() {
                let own = &cut.items[item];
                let meets = |ahead: &usize| {
                    *ahead < first && cut.items[*ahead].services.meet(&own.services, &own.services)
                };
                let ahead: Vec<usize> = reading.row.iter().filter(meets).collect();
                let takes = |ahead: &usize| cut.takes_of(*ahead, item, reading);
                let taking = Bits::of(cut.items.len(), ahead.iter().copied().filter(takes));
                let one = Met { cut: number, ahead: taking, services: own.services.clone() };
                if !reading.is_open && met.contains(&one) {
                    continue;
                }
                let mut left = one.services.clone();
                for place_ahead in ahead {
                    let ahead = &cut.items[place_ahead];
                    let taken = left.and(&ahead.services);
                    if taken.is_empty() {
                        continue;
                    }
                    let takes = takes(&place_ahead);
                    if takes {
                        left.remove(&taken);
                        *takers.entry(ahead.rule).or_default() += 1;
                    } else if !ahead.may_match_beside(own) {
                        continue;
                    }
                    // One that may take a packet says what it would say of it.
                    let opposite = ahead.rule.is_some() && ahead.access != own.access;
                    // What tells most is shown: an opposite, or else a rule.
                    let telling = (opposite, ahead.rule.is_some());
                    let is_more = witness.is_none_or(|(known, _)| telling > known);
                    if is_more && (takes || opposite) {
                        witness = Some((telling, (cut.packet(place, &taken), ahead.rule)));
                    }
                    is_opposite |= opposite;
                }
                met.insert(one);
            }
        });
    }
    let by = fewest(cuts, &met, takers);
    Cover { by, witness: witness.map(|(_, shown)| shown), is_opposite }
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
    let alone = all.iter().map(|owner| BTreeSet::from([*owner]));
    let alone = alone.into_iter().find(|one| met.iter().all(|met| take_all(one, met)));
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
    // PERF: of one class of sources alone, so that what is kept stays small.
    let (mut seen, mut of_source): (HashSet<Bits, FixedState>, _) = (HashSet::default(), (0, 0));
    for place in cut.places_of(&own) {
        if of_source != (place.family, place.source) {
            of_source = (place.family, place.source);
            seen.clear();
        }
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
