//! Which rules of a list decide about packets, and which are needed for what they say.

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use rayon::prelude::*;

use super::cut::{Cut, Place, Reading};
use crate::analyze::regions::bits::Bits;
use crate::model::rule::Access;

/// What is known of the rules of an NSG, by their positions.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Some packet reaches it.
    pub(super) is_reached: Vec<bool>,
    /// Without it some packet gets another access.
    pub(super) is_needed: Vec<bool>,
}

impl Standing {
    /// Of so many rules, of which nothing was seen yet.
    pub(super) fn of(rules: usize) -> Self {
        Self { is_reached: vec![false; rules], is_needed: vec![false; rules] }
    }

    /// What is seen here or there.
    pub(super) fn or(mut self, other: &Self) -> Self {
        let both = self.is_reached.iter_mut().zip(&other.is_reached);
        both.chain(self.is_needed.iter_mut().zip(&other.is_needed)).for_each(|(one, other)| *one |= other);
        self
    }

    fn see(&mut self, cut: &Cut, reading: &Reading, end: Access) {
        // The hits are looked at once more, with what stands behind them.
        let mut hits: Vec<(usize, Bits)> = Vec::new();
        cut.fold(reading, 0, cut.all_services(), |item, services| {
            let Some(rule) = cut.items[item].rule else { return };
            self.is_reached[rule as usize] = true;
            if !self.is_needed[rule as usize] {
                hits.push((item, services.clone()));
            }
        });
        for (item, services) in hits {
            let rule = cut.items[item].rule.expect("only rules were kept") as usize;
            if !self.is_needed[rule] {
                self.is_needed[rule] = says_otherwise(cut, reading, (item, services), end);
            }
        }
    }
}

/// Whether what stands behind an item, apart from its own rule, says of some of these services what the rule does not.
fn says_otherwise(cut: &Cut, reading: &Reading, (item, services): (usize, Bits), end: Access) -> bool {
    let access = cut.items[item].access;
    let mut differs = false;
    let left = behind(cut, reading, (item, services), |other, _| {
        differs |= cut.items[other].access != access;
    });
    differs || (!left.is_empty() && end != access)
}

/// Hands the items behind one that would be the first to match its services without its rule. Returns what none takes.
pub(super) fn behind(
    cut: &Cut,
    reading: &Reading,
    (item, mut left): (usize, Bits),
    mut hit: impl FnMut(usize, &Bits),
) -> Bits {
    let own = &cut.items[item];
    for number in reading.row.iter().skip_while(|number| *number <= item) {
        let other = &cut.items[number];
        if other.list != own.list || other.rule == own.rule || !left.meet(&other.services, &other.services) {
            continue;
        }
        let taken = left.and(&other.services);
        hit(number, &taken);
        if cut.takes_of(number, item, reading) {
            left.remove(&taken);
            if left.is_empty() {
                break;
            }
        }
    }
    left
}

/// What is known of the rules of a cut with one list. `end` is what becomes of packets that none of them takes.
pub(super) fn standing(cut: &Cut, rules: usize, end: Access) -> Standing {
    let sources: Vec<(usize, usize)> = cut
        .families
        .iter()
        .enumerate()
        .flat_map(|(family, classes)| (0..classes.sources.len()).map(move |source| (family, source)))
        .collect();
    sources
        .into_par_iter()
        .fold(
            || Standing::of(rules),
            |mut standing, (family, source)| {
                let mut seen: HashSet<Bits, FixedState> = HashSet::default();
                for destination in 0..cut.families[family].destinations.len() {
                    let Some(row) = cut.row(Place { family, source, destination }) else { continue };
                    if seen.contains(&row) {
                        continue;
                    }
                    for reading in cut.readings(&row) {
                        standing.see(cut, &reading, end);
                    }
                    seen.insert(row);
                }
                standing
            },
        )
        .reduce(|| Standing::of(rules), |one, other| one.or(&other))
}
