//! What a sequence of lists says over sets of addresses, or two of them: exactly, by classes of addresses and services.
//!
//! Addresses that the items of the lists do not tell apart are one class. For each pair of classes the items that may
//! match are a row of bits, and what each sequence says of a row is a partition of the services, item by item. Of two
//! sequences only rows that hold an item that is not the same on both sides can differ.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use rayon::prelude::*;

use super::bits::Bits;
use super::boxes::{Box3, merged};
use super::services::Services;
use super::space::{Cut, Item, Space};
use super::{Judges, Told};
use crate::analyze::whatif::Side;
use crate::model::rule::Access;
use crate::model::verdict::{Reason, Verdict, VerdictKind};
use crate::replay::tally::Decider;

/// What one network asks on a way.
pub(super) struct Asked<'s> {
    /// The items of its lists, list by list.
    pub(super) lists: Vec<&'s [Item]>,
    /// Why what all allow is lost all the same, if it is.
    pub(super) lost: Option<Reason>,
    /// Services about which something else than rules may decide, by what a packet of them is.
    pub(super) open: Bits,
    /// Services that are lost whatever rules say.
    pub(super) never: Bits,
    /// The services that are asked about, which is the same on all sides.
    pub(super) wanted: Bits,
}

/// Boxes of packets, by what each side says of them.
pub(super) type Found<const N: usize> = BTreeMap<[Side; N], Vec<Box3<Bits>>>;

/// What was found from one class of sources: by what each side says the services, and the classes of destinations.
type FoundFrom<const N: usize> = Vec<([Side; N], Bits, Vec<u32>)>;

/// The items of all sides, numbered through.
struct Items<'s, const N: usize> {
    all: Vec<&'s Item>,
    /// For each side, for each of its lists, the numbers of its items.
    lists: [Vec<Range<usize>>; N],
    services: Vec<Bits>,
    /// Those that are not the same on all sides, or stand in another order.
    changed: Bits,
}

/// Cells that the items do not tell apart, with the items that hold them.
struct AddressClass {
    cells: Vec<u32>,
    holding: Bits,
}

/// What a side says of some services in a row.
enum Piece {
    Decided(Side),
    /// Something else than rules may decide.
    Open,
}

/// What becomes of some services of a row; nothing where it is to be asked of packets.
type Outcome<const N: usize> = (Option<[Side; N]>, Bits);

/// What each side says of packets between sources and destinations, given as sorted cells.
///
/// With `changed_only` rows are passed over in which all sides have the same items: nothing is looked for there.
pub(super) fn read<const N: usize>(
    space: &Space,
    services: &Services,
    asked: [&Asked<'_>; N],
    (sources, destinations): (&[u32], &[u32]),
    judges: &Judges<'_, N>,
    changed_only: bool,
) -> Found<N> {
    let items = Items::of(services, asked);
    if changed_only && items.changed.is_empty() {
        return Found::new();
    }
    let sources = classes(&items.all, sources, |item| &item.sources);
    let destinations = classes(&items.all, destinations, |item| &item.destinations);
    let by_source: Vec<FoundFrom<N>> = sources
        .par_iter()
        .map_init(
            || judges.fresh(),
            |simulators, source| {
                let mut rows: HashMap<Bits, Vec<Outcome<N>>> = HashMap::new();
                let mut found: BTreeMap<([Side; N], Bits), Vec<u32>> = BTreeMap::new();
                for (number, destination) in (0..).zip(&destinations) {
                    let holding = &source.holding;
                    if changed_only && !holding.meet(&destination.holding, &items.changed) {
                        continue;
                    }
                    let Some(ends) = space.ends(&source.cells, &destination.cells) else { continue };
                    let row = holding.and(&destination.holding);
                    let outcomes = rows
                        .entry(row)
                        .or_insert_with_key(|row| items.outcomes(row, services, asked, judges.told));
                    for (sides, of_services) in outcomes {
                        match sides {
                            Some(sides) => {
                                found.entry((*sides, of_services.clone())).or_default().push(number);
                            }
                            None => {
                                for key in simulators.sides_between(ends, services, of_services) {
                                    found.entry(key).or_default().push(number);
                                }
                            }
                        }
                    }
                }
                found.into_iter().map(|((sides, services), to)| (sides, services, to)).collect()
            },
        )
        .collect();

    collected(by_source, &sources, &destinations)
}

/// What each side says, where one packet of each class of packets is asked.
pub(super) fn ask<const N: usize>(
    space: &Space,
    services: &Services,
    wanted: &Bits,
    items: &[&Item],
    (sources, destinations): (&[u32], &[u32]),
    judges: &Judges<'_, N>,
) -> Found<N> {
    let sources = classes(items, sources, |item| &item.sources);
    let destinations = classes(items, destinations, |item| &item.destinations);
    let by_source: Vec<FoundFrom<N>> = sources
        .par_iter()
        .map_init(
            || judges.fresh(),
            |simulators, source| {
                let mut found: BTreeMap<([Side; N], Bits), Vec<u32>> = BTreeMap::new();
                for (number, destination) in (0..).zip(&destinations) {
                    let Some(ends) = space.ends(&source.cells, &destination.cells) else { continue };
                    for key in simulators.sides_between(ends, services, wanted) {
                        found.entry(key).or_default().push(number);
                    }
                }
                found.into_iter().map(|((sides, services), to)| (sides, services, to)).collect()
            },
        )
        .collect();
    collected(by_source, &sources, &destinations)
}

/// What was found from each class of sources, in few boxes.
fn collected<const N: usize>(
    by_source: Vec<FoundFrom<N>>,
    sources: &[AddressClass],
    destinations: &[AddressClass],
) -> Found<N> {
    let mut together: BTreeMap<([Side; N], Bits, Vec<u32>), Vec<u32>> = BTreeMap::new();
    for (source, found) in (0..).zip(by_source) {
        for key in found {
            together.entry(key).or_default().push(source);
        }
    }
    let mut found = Found::new();
    for ((sides, services, destinations), sources) in together {
        found.entry(sides).or_default().push(Box3 { sources, destinations, services });
    }
    let cells = |classes: &[AddressClass], numbers: &[u32]| {
        let mut cells: Vec<u32> =
            numbers.iter().flat_map(|number| &classes[*number as usize].cells).copied().collect();
        cells.sort_unstable();
        cells
    };
    for boxes in found.values_mut() {
        let fewer = merged(std::mem::take(boxes), joined);
        let in_cells = fewer.into_iter().map(|one| Box3 {
            sources: cells(sources, &one.sources),
            destinations: cells(destinations, &one.destinations),
            services: one.services,
        });
        *boxes = in_cells.collect();
    }
    found
}

pub(super) fn joined(several: &[&Bits]) -> Bits {
    let mut all = several[0].clone();
    several[1..].iter().for_each(|one| all.add(one));
    all
}

impl<'s, const N: usize> Items<'s, N> {
    fn of(services: &Services, asked: [&Asked<'s>; N]) -> Self {
        let mut all: Vec<&Item> = Vec::new();
        let lists = asked.map(|side| {
            let mut ranges = Vec::new();
            for list in &side.lists {
                ranges.push(all.len()..all.len() + list.len());
                all.extend(list.iter());
            }
            ranges
        });
        let of_services = all.iter().map(|item| services.of(&item.entry)).collect();
        let mut changed = Bits::none(all.len());
        let compared = match &lists[..] {
            [base, candidate] if base.len() == candidate.len() => Some((base, candidate)),
            _ => None,
        };
        if let Some((base, candidate)) = compared {
            for (base, candidate) in base.iter().zip(candidate) {
                let content = |range: &Range<usize>| -> Vec<u32> {
                    all[range.clone()].iter().map(|item| item.content).collect()
                };
                let (kept_base, kept_candidate) = common(&content(base), &content(candidate));
                for (range, kept) in [(base, kept_base), (candidate, kept_candidate)] {
                    let moved = range.clone().zip(kept).filter(|(_, kept)| !kept);
                    moved.for_each(|(number, _)| changed.insert(number));
                }
            }
        } else {
            (0..all.len()).for_each(|number| changed.insert(number));
        }
        Self { all, lists, services: of_services, changed }
    }

    /// What becomes of the wanted services in a row, as far as that is looked for.
    fn outcomes(
        &self,
        row: &Bits,
        services: &Services,
        asked: [&Asked<'_>; N],
        told: Told<N>,
    ) -> Vec<Outcome<N>> {
        let nothing_yet = Side { decider: Decider::NoEndpoint, kind: VerdictKind::Deny };
        let mut outcomes: Vec<Outcome<N>> = vec![(Some([nothing_yet; N]), asked[0].wanted.clone())];
        for side in 0..N {
            let mut finer: BTreeMap<Option<[Side; N]>, Bits> = BTreeMap::new();
            for (piece, in_piece) in self.pieces(row, services, asked[side], side) {
                for (sides, in_outcome) in &outcomes {
                    let sides = match (&piece, sides) {
                        (Piece::Decided(decided), Some(sides)) => {
                            let mut sides = *sides;
                            sides[side] = *decided;
                            Some(sides)
                        }
                        _ => None,
                    };
                    let sides = match sides.filter(|_| side == N - 1).map(told) {
                        Some(None) => continue,
                        Some(told) => told,
                        None => sides,
                    };
                    let both = in_piece.and(in_outcome);
                    if !both.is_empty() {
                        finer.entry(sides).or_insert_with(|| services.none()).add(&both);
                    }
                }
            }
            outcomes = finer.into_iter().collect();
        }
        outcomes
    }

    /// What a side says of the services, each in one piece.
    fn pieces(&self, row: &Bits, services: &Services, asked: &Asked<'_>, side: usize) -> Vec<(Piece, Bits)> {
        let mut left = asked.wanted.clone();
        left.remove(&asked.open);
        left.remove(&asked.never);
        let mut pieces = Vec::new();
        if !asked.open.is_empty() {
            pieces.push((Piece::Open, asked.open.clone()));
        }
        if !asked.never.is_empty() {
            let side = Side { decider: Decider::UnsupportedTraffic, kind: VerdictKind::Deny };
            pieces.push((Piece::Decided(side), asked.never.clone()));
        }
        let mut passing = vec![(Decider::NoSecurityGroup, left)];
        for list in &self.lists[side] {
            let mut left = services.none();
            passing.iter().for_each(|(_, services)| left.add(services));
            passing.clear();
            let numbers = row.iter().skip_while(|number| *number < list.start);
            for number in numbers.take_while(|number| *number < list.end) {
                let hit = left.and(&self.services[number]);
                if hit.is_empty() {
                    continue;
                }
                left.remove(&hit);
                let item = self.all[number];
                match (item.decider.filter(|_| item.certain), item.access) {
                    (None, _) => pieces.push((Piece::Open, hit)),
                    (Some(decider), Access::Allow) => passing.push((decider, hit)),
                    (Some(decider), Access::Deny) => {
                        pieces.push((Piece::Decided(Side { decider, kind: VerdictKind::Deny }), hit));
                    }
                }
            }
            // A list of an NSG always decides (DEF-1).
            if !left.is_empty() {
                pieces.push((Piece::Open, left));
            }
        }
        pieces.extend(passing.into_iter().map(|(decider, services)| {
            let side = match asked.lost {
                Some(reason) => {
                    Side { decider: Decider::from(&Verdict::Deny(reason)), kind: VerdictKind::Deny }
                }
                None => Side { decider, kind: VerdictKind::Allow },
            };
            (Piece::Decided(side), services)
        }));
        pieces
    }
}

/// Some cells in classes, by the items that hold them and what is open about them.
fn classes(items: &[&Item], cells: &[u32], field: impl Fn(&Item) -> &Cut) -> Vec<AddressClass> {
    let doubts: usize = items.iter().map(|item| field(item).doubts.len()).sum();
    let count = items.len();
    let mut signatures = vec![Bits::none(count + doubts); cells.len()];
    let mut mark = |ranges: &[Range<u32>], number: usize| {
        for range in ranges {
            let first = cells.partition_point(|cell| *cell < range.start);
            let behind = cells.partition_point(|cell| *cell < range.end);
            signatures[first..behind].iter_mut().for_each(|bits| bits.insert(number));
        }
    };
    let mut doubt = count;
    for (number, item) in items.iter().enumerate() {
        let cut = field(item);
        mark(&cut.held, number);
        for scope in &cut.doubts {
            mark(scope, doubt);
            doubt += 1;
        }
    }
    let mut classes: Vec<AddressClass> = Vec::new();
    let mut known: HashMap<Bits, usize> = HashMap::new();
    for (cell, signature) in cells.iter().zip(signatures) {
        let place = *known.entry(signature).or_insert_with_key(|signature| {
            let holding = Bits::of(count, signature.iter().filter(|number| *number < count));
            classes.push(AddressClass { cells: Vec::new(), holding });
            classes.len() - 1
        });
        classes[place].cells.push(*cell);
    }
    classes
}

/// Which elements of two sequences belong to a common subsequence of both: a longest one among elements that each
/// sequence holds once, and a common start and end.
fn common(one: &[u32], other: &[u32]) -> (Vec<bool>, Vec<bool>) {
    let mut kept = (vec![false; one.len()], vec![false; other.len()]);
    let start = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let rest = one[start..].iter().rev().zip(other[start..].iter().rev());
    let end = rest.take_while(|(one, other)| one == other).count();
    kept.0[..start].fill(true);
    kept.1[..start].fill(true);
    kept.0[one.len() - end..].fill(true);
    kept.1[other.len() - end..].fill(true);

    let inner = |sequence: &[u32]| {
        let mut places: HashMap<u32, Option<usize>> = HashMap::new();
        for (place, content) in sequence.iter().enumerate().take(sequence.len() - end).skip(start) {
            places.entry(*content).and_modify(|known| *known = None).or_insert(Some(place));
        }
        places
    };
    let (in_one, in_other) = (inner(one), inner(other));
    let mut pairs: Vec<(usize, usize)> =
        in_one.iter().filter_map(|(content, place)| Some(((*place)?, (*in_other.get(content)?)?))).collect();
    pairs.sort_unstable();
    // Of the shortest tails of ascending runs, by length, and of what stands before each pair in its run.
    let (mut tails, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (number, pair) in pairs.iter().enumerate() {
        let length = tails.partition_point(|tail| pairs[*tail].1 < pair.1);
        before.push(length.checked_sub(1).map(|length| tails[length]));
        if length == tails.len() {
            tails.push(number);
        } else {
            tails[length] = number;
        }
    }
    let mut next = tails.last().copied();
    while let Some(number) = next {
        kept.0[pairs[number].0] = true;
        kept.1[pairs[number].1] = true;
        next = before[number];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn what_two_sequences_share_keeps_its_order() {
        let (one, other) = ([1, 2, 3, 4, 5, 6], [1, 3, 4, 9, 2, 5, 6]);
        let (kept_one, kept_other) = common(&one, &other);
        let kept = |sequence: &[u32], kept: &[bool]| -> Vec<u32> {
            sequence.iter().zip(kept).filter(|(_, kept)| **kept).map(|(one, _)| *one).collect()
        };
        assert_eq!(kept(&one, &kept_one), [1, 3, 4, 5, 6]);
        assert_eq!(kept(&other, &kept_other), [1, 3, 4, 5, 6]);
    }

    #[test]
    fn start_and_end_do_not_overlap() {
        let (kept_one, kept_other) = common(&[7, 7, 7], &[7, 7]);
        assert_eq!((kept_one, kept_other), (vec![true, true, false], vec![true, true]));
        assert_eq!(common(&[], &[1]), (vec![], vec![false]));
    }
}
