//! What was recorded of flows, held against what is simulated of them (LOG-10).

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};

use super::tally::Decider;
use crate::model::flow::FiveTuple;
use crate::model::flow_log::RuleKind;
use crate::model::id::is_guid;
use crate::model::network::Network;
use crate::model::record::Location;
use crate::model::recorded::{RecordedRule, RecordedVerdict, SeenAt};
use crate::model::rule::Access;
use crate::model::verdict::{Interface, VerdictKind};

/// How many disagreements are kept one by one; further ones are counted.
pub const MOST_DISAGREEMENTS: usize = 1000;

/// How many pairs of recorded rules and what decides here are told apart; the rules of further ones are not.
const MOST_PAIRS: usize = 1 << 14;

/// What was recorded of a flow and what is simulated of it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pair {
    /// What the record says.
    pub access: Access,
    /// By which rule; `None` where it names none.
    pub rule: Option<Arc<RecordedRule>>,
    /// What decides here.
    pub decider: Decider,
    /// How.
    pub kind: VerdictKind,
}

/// The classes of agreement.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Both allow.
    AgreeAllow,
    /// Both deny.
    AgreeDeny,
    /// The record says that it was allowed, and here it is denied.
    LoggedAllowSimulatedDeny,
    /// The record says that it was denied, and here it is allowed.
    LoggedDenySimulatedAllow,
    /// Here it is undetermined, or some backends get it and some do not.
    Open,
}

impl Class {
    /// The class of a flow.
    #[must_use]
    pub fn of(recorded: Access, kind: VerdictKind) -> Self {
        match (recorded, kind) {
            (Access::Allow, VerdictKind::Allow) => Self::AgreeAllow,
            (Access::Deny, VerdictKind::Deny) => Self::AgreeDeny,
            (Access::Allow, VerdictKind::Deny) => Self::LoggedAllowSimulatedDeny,
            (Access::Deny, VerdictKind::Allow) => Self::LoggedDenySimulatedAllow,
            (_, VerdictKind::Mixed | VerdictKind::Undetermined) => Self::Open,
        }
    }

    /// Whether record and simulation contradict each other.
    #[must_use]
    pub fn disagrees(self) -> bool {
        matches!(self, Self::LoggedAllowSimulatedDeny | Self::LoggedDenySimulatedAllow)
    }
}

/// A flow about which record and simulation disagree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disagreement {
    /// Where the tuple or row stands.
    pub location: Location,
    /// When it was, in nanoseconds since 1970-01-01.
    pub time_ns: Option<u64>,
    /// The flow.
    pub tuple: FiveTuple,
    /// The interface that saw it; `None` where its ends were found by their addresses.
    pub seen_at: Option<(Interface, SeenAt)>,
    /// Both verdicts.
    pub pair: Pair,
}

/// Counts of flows by what was recorded and what is simulated. They add up in any order and grouping.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    /// The place of each pair's count.
    places: HashMap<Pair, usize, FixedState>,
    flows: Vec<u64>,
    /// The pair that was counted last, and its place.
    last: Option<(Pair, usize)>,
    /// Disagreements, the earliest by their locations, at most [`MOST_DISAGREEMENTS`].
    ///
    /// INVARIANT: sorted by location.
    disagreements: Vec<Disagreement>,
}

impl PartialEq for Agreement {
    fn eq(&self, other: &Self) -> bool {
        self.pairs() == other.pairs() && self.disagreements == other.disagreements
    }
}

impl Eq for Agreement {}

/// A [`Pair`] that is looked up.
#[derive(Clone, Copy)]
struct Borrowed<'p> {
    recorded: &'p RecordedVerdict,
    decider: Decider,
    kind: VerdictKind,
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `Pair` derives it.
        self.recorded.access.hash(state);
        self.recorded.rule.hash(state);
        self.decider.hash(state);
        self.kind.hash(state);
    }
}

impl Equivalent<Pair> for Borrowed<'_> {
    fn equivalent(&self, pair: &Pair) -> bool {
        self.recorded.access == pair.access
            && self.recorded.rule == pair.rule
            && self.decider == pair.decider
            && self.kind == pair.kind
    }
}

impl Borrowed<'_> {
    /// Whether it is a pair whose rule is the very same, not only of the same name.
    fn is(&self, pair: &Pair) -> bool {
        let is_same = match (&self.recorded.rule, &pair.rule) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        is_same
            && self.recorded.access == pair.access
            && self.decider == pair.decider
            && self.kind == pair.kind
    }

    fn pair(self) -> Pair {
        let RecordedVerdict { access, rule } = self.recorded.clone();
        Pair { access, rule, decider: self.decider, kind: self.kind }
    }
}

impl Agreement {
    /// Counts a flow of which a verdict was recorded.
    pub(super) fn add(
        &mut self,
        recorded: &RecordedVerdict,
        (decider, kind): (Decider, VerdictKind),
        disagreement: impl FnOnce(Pair) -> Disagreement,
    ) {
        let borrowed = Borrowed { recorded, decider, kind };
        // PERF: tuples of one rule follow each other, and share its name.
        let place = match &self.last {
            Some((pair, place)) if borrowed.is(pair) => *place,
            _ => {
                let place = match self.places.get(&borrowed) {
                    Some(place) => *place,
                    None => self.place(borrowed.pair()),
                };
                self.last = Some((borrowed.pair(), place));
                place
            }
        };
        self.flows[place] += 1;
        if Class::of(recorded.access, kind).disagrees() && self.disagreements.len() < MOST_DISAGREEMENTS {
            self.disagreements.push(disagreement(borrowed.pair()));
        }
    }

    /// The place of a pair's count, new or not.
    fn place(&mut self, mut pair: Pair) -> usize {
        if self.places.len() >= MOST_PAIRS && !self.places.contains_key(&pair) {
            pair.rule = None;
        }
        *self.places.entry(pair).or_insert_with(|| {
            self.flows.push(0);
            self.flows.len() - 1
        })
    }

    /// Adds another agreement to this one.
    pub fn merge(&mut self, other: &Self) {
        // In order, so that the same rules are told apart on every run.
        for (pair, flows) in other.pairs() {
            let place = self.place(pair.clone());
            self.flows[place] += flows;
        }
        self.disagreements.extend_from_slice(&other.disagreements);
        self.disagreements.sort_by_key(|one| one.location);
        self.disagreements.truncate(MOST_DISAGREEMENTS);
    }

    /// Flows by what was recorded and what is simulated, in order.
    #[must_use]
    pub fn pairs(&self) -> BTreeMap<&Pair, u64> {
        self.places.iter().map(|(pair, place)| (pair, self.flows[*place])).collect()
    }

    /// Flows by class, in order.
    #[must_use]
    pub fn classes(&self) -> BTreeMap<Class, u64> {
        let mut classes = BTreeMap::new();
        for (pair, flows) in self.pairs() {
            *classes.entry(Class::of(pair.access, pair.kind)).or_default() += flows;
        }
        classes
    }

    /// The earliest disagreements by where they stand, at most [`MOST_DISAGREEMENTS`].
    #[must_use]
    pub fn disagreements(&self) -> &[Disagreement] {
        &self.disagreements
    }

    /// Whether no verdict was recorded of any flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Whether the rule that a record names is the one that decides here; `None` where the record names none.
///
/// Names are compared without case and as far as logs spell them: those of NSGs are cut after 80 characters, those of
/// rules after 65 (LOG-10). A GUID that no NSG of the export is known by says nothing.
#[must_use]
pub fn is_same_rule(network: &Network, pair: &Pair) -> Option<bool> {
    const NSG_NAME: usize = 80;
    const RULE_NAME: usize = 65;
    let recorded = pair.rule.as_ref()?;
    Some(match pair.decider {
        Decider::Rule { nsg, rule, .. } => {
            let nsg = &network.nsgs[nsg.get()];
            let name = nsg.rules[rule as usize].name.as_str();
            let is_of_nsg = recorded.acl.as_deref().is_none_or(|acl| match &nsg.resource_guid {
                _ if acl.contains('/') => acl.eq_ignore_ascii_case(nsg.id.as_str()),
                Some(guid) if is_guid(acl) => acl.eq_ignore_ascii_case(guid),
                // The GUID of another NSG speaks against it, one that the export does not have says nothing.
                None if is_guid(acl) => !network.nsgs.iter().any(|nsg| {
                    nsg.resource_guid.as_deref().is_some_and(|guid| guid.eq_ignore_ascii_case(acl))
                }),
                _ => is_cut_from(acl, nsg.id.name(), NSG_NAME),
            });
            is_of_nsg && is_cut_from(&recorded.name, name, RULE_NAME)
        }
        Decider::AdminRule { rule, .. } => {
            recorded.kind == RuleKind::Admin
                && is_cut_from(&recorded.name, network.admin_rule(rule).name.as_str(), RULE_NAME)
        }
        Decider::PlatformRule(_) => recorded.kind == RuleKind::Platform,
        _ => false,
    })
}

/// Whether a logged text is a name, or what is left of one that is longer than logs write.
fn is_cut_from(logged: &str, name: &str, most: usize) -> bool {
    let is_start = name.get(..logged.len()).is_some_and(|start| start.eq_ignore_ascii_case(logged));
    is_start && (logged.len() == name.len() || logged.len() >= most)
}
