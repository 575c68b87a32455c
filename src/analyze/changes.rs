//! Which rules of two networks differ, as they are written.

use std::collections::BTreeMap;

use crate::model::id::ResourceId;
use crate::model::index::{AsgIndex, NsgIndex, Reference};
use crate::model::network::Network;
use crate::model::rule::{AddressTerm, Direction, Rule};
use crate::replay::tally::{Decider, Tally};

/// A rule that one of two networks lacks, or has in another form; by its place in each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChangedRule {
    base: Option<Decider>,
    candidate: Option<Decider>,
}

impl ChangedRule {
    /// A rule that both networks have at the same place, and that does not say the same in both.
    #[must_use]
    pub fn in_place(place: Decider) -> Self {
        Self { base: Some(place), candidate: Some(place) }
    }

    /// Whether the rule, as either network has it, decided about some packet.
    #[must_use]
    pub fn decided(&self, base: &Tally, candidate: &Tally) -> bool {
        let in_one = |tally: &Tally, rule: Option<Decider>| {
            rule.is_some_and(|rule| tally.deciders.keys().any(|(decider, _)| *decider == rule))
        };
        in_one(base, self.base) || in_one(candidate, self.candidate)
    }
}

/// Where a rule stands, however the networks number it: its NSG, its list, its name.
type Key<'n> = (&'n ResourceId, Direction, String);

/// The rules that two networks do not have in common. NSGs go together by ID, rules by direction and name (SIM-3).
///
/// LIMIT: of rules that share a name, which Azure refuses (NSG-2), the last alone is compared.
#[must_use]
pub fn changed_rules(base: &Network, candidate: &Network) -> Vec<ChangedRule> {
    let (in_base, in_candidate) = (rules(base), rules(candidate));
    let mut changed: BTreeMap<&Key<'_>, ChangedRule> = BTreeMap::new();
    let same = |key| match (in_base.get(key), in_candidate.get(key)) {
        (Some((one, _)), Some((other, _))) => is_same((base, one), (candidate, other)),
        _ => false,
    };
    for (key, (_, place)) in in_base.iter().filter(|(key, _)| !same(*key)) {
        changed.entry(key).or_default().base = Some(*place);
    }
    for (key, (_, place)) in in_candidate.iter().filter(|(key, _)| !same(*key)) {
        changed.entry(key).or_default().candidate = Some(*place);
    }
    changed.into_values().collect()
}

fn rules(network: &Network) -> BTreeMap<Key<'_>, (&Rule, Decider)> {
    let mut rules = BTreeMap::new();
    for (position, nsg) in network.nsgs.iter().enumerate() {
        for (place, rule) in nsg.rules.iter().enumerate() {
            let decider = Decider::Rule {
                nsg: NsgIndex::new(position),
                direction: rule.direction,
                rule: u32::try_from(place).expect("a list holds fewer than 2^32 rules"),
            };
            rules.insert((&nsg.id, rule.direction, rule.name.to_ascii_lowercase()), (rule, decider));
        }
    }
    rules
}

fn is_same((base, one): (&Network, &Rule), (candidate, other): (&Network, &Rule)) -> bool {
    let same_term = |(one, other): (&AddressTerm, &AddressTerm)| match (one, other) {
        // Each network numbers its groups in its own way.
        (AddressTerm::Asg(one), AddressTerm::Asg(other)) => asg(base, one) == asg(candidate, other),
        _ => one == other,
    };
    let same_terms = |one: &[AddressTerm], other: &[AddressTerm]| {
        one.len() == other.len() && one.iter().zip(other).all(same_term)
    };
    one.priority == other.priority
        && one.access == other.access
        && one.protocol == other.protocol
        && one.source_ports == other.source_ports
        && one.destination_ports == other.destination_ports
        && same_terms(&one.source, &other.source)
        && same_terms(&one.destination, &other.destination)
}

fn asg<'n>(network: &'n Network, asg: &'n Reference<AsgIndex>) -> &'n ResourceId {
    match asg {
        Reference::Here(asg) => &network.asgs[asg.get()].id,
        Reference::Missing(id) => id,
    }
}
