//! One list of rules as it stands at the interfaces of a subnet, ready to be asked.

use std::sync::Arc;

use get_size2::{GetSize, StandardTracker};

use super::address_set::AddressSet;
use super::cells::{Cell, Cells};
use super::classifier::{Classifier, Entry, Form, Key, NO_ENTRY, Pools};
use super::linear;
use super::ports::{PortSet, ProtocolSet};
use super::resolve::{Clause, ResolvedRule};
use super::world::{Open, World};
use crate::model::flow::{FiveTuple, Port};
use crate::model::index::NsgIndex;
use crate::model::rule::{Access, Direction};
use crate::model::services::AdminRulePosition;
use crate::model::verdict::RulePlace;

/// How many packets [`Policy::classify_each`] hands to the tables at once.
const CLASSIFIED_TOGETHER: usize = 64;

/// Which engine answers. Both give the same answers.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Engine {
    /// Rules in priority order, field by field.
    Linear,
    /// Address classes, port tables and bit vectors.
    #[default]
    Compiled,
}

/// Whose rules a list holds.
#[derive(Clone, Debug)]
pub enum RuleOwner {
    /// An NSG's.
    Nsg(NsgIndex),
    /// A security admin configuration's: where each rule stands, by the position that the list gives it.
    Admin(Vec<AdminRulePosition>),
}

impl RuleOwner {
    /// Where the rule stands that has this position.
    #[must_use]
    pub fn place(&self, rule: u32) -> RulePlace {
        match self {
            Self::Nsg(nsg) => RulePlace::Nsg { nsg: *nsg, rule },
            Self::Admin(rules) => RulePlace::Admin(rules[rule as usize]),
        }
    }
}

/// A list of rules of one owner and direction, resolved.
#[derive(Debug)]
pub struct Policy {
    /// Whose rules they are.
    pub owner: RuleOwner,
    /// Which list.
    pub direction: Direction,
    /// Its rules, first tried first.
    pub rules: Vec<ResolvedRule>,
    /// What may be the source of a packet whose source Azure picks: `Internet` as it stands here.
    pub public: Arc<AddressSet>,
    /// For each entry of the classifier: its rule, where a match is certain.
    entries: Vec<Option<Classified>>,
    classifier: Option<Classifier>,
}

/// The rule that tables find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Classified {
    /// Its place in [`Policy::rules`].
    pub place: u32,
    /// What it says.
    pub access: Access,
}

/// The rule that decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// Its position, as [`RuleOwner::place`] takes it: of an NSG's rule in [`Nsg::rules`](crate::model::nsg::Nsg::rules).
    pub rule: u32,
    /// What it says.
    pub access: Access,
}

/// A rule that may decide about a packet whose source Azure picks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The rule, and what it says.
    pub decision: Decision,
    /// It matches whatever the source is; otherwise it hangs on that.
    pub certain: bool,
}

impl Policy {
    /// A policy that only the linear engine can ask, until [`Policy::compile`] was called.
    #[must_use]
    pub fn new(
        owner: RuleOwner,
        direction: Direction,
        rules: Vec<ResolvedRule>,
        public: Arc<AddressSet>,
    ) -> Self {
        Self { owner, direction, rules, public, entries: Vec::new(), classifier: None }
    }

    /// The entries of the classifier: for each clause what it certainly matches, and behind it, where something is
    /// open, what it may match.
    pub fn entries(&self) -> impl Iterator<Item = (u32, bool, Entry)> {
        self.rules.iter().enumerate().flat_map(|(place, rule)| {
            let place = u32::try_from(place).expect("a list holds fewer than 2^32 rules");
            let entries = rule.clauses.iter().flat_map(entries_of);
            entries.map(move |(certain, entry)| (place, certain, entry))
        })
    }

    /// Builds the classifier from [`Policy::entries`], whose sets must all have gone into the cells.
    pub fn compile(&mut self, cells: &Cells, pools: &mut Pools, entries: Vec<(u32, bool, Entry)>) {
        let classified = |place: u32| Classified { place, access: self.rules[place as usize].access };
        let (found, entries): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .map(|(place, certain, entry)| (certain.then(|| classified(place)), entry))
            .unzip();
        self.classifier = Some(Classifier::build(cells, pools, &entries));
        self.entries = found;
    }

    /// How the compiled engine keeps the rules; nothing where they were not compiled.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        self.classifier.as_ref().map(Classifier::form)
    }

    /// Memory of the compiled form, in bytes, without the tables that `counted` has met in another policy.
    pub fn memory_bytes(&self, counted: &mut StandardTracker) -> usize {
        self.classifier.get_heap_size_with_tracker(counted).0
    }

    /// The NSG whose rules they are.
    ///
    /// # Panics
    ///
    /// Panics on the rules of a security admin configuration, which are kept apart from those of NSGs.
    #[must_use]
    pub fn nsg(&self) -> NsgIndex {
        match &self.owner {
            RuleOwner::Nsg(nsg) => *nsg,
            RuleOwner::Admin(_) => panic!("a layer of an NSG was asked for"),
        }
    }

    /// The rule that decides about a packet (NSG-4, ADM-4); nothing where none matches, which is never so in an NSG
    /// (DEF-1).
    ///
    /// `cells` are those of the packet's source and destination.
    ///
    /// # Errors
    ///
    /// Fails with the first question that the answer hangs on and that the world does not answer.
    pub fn decide(
        &self,
        engine: Engine,
        packet: &FiveTuple,
        cells: (Cell, Cell),
        world: &World,
    ) -> Result<Option<Decision>, Box<Open>> {
        if engine == Engine::Compiled
            && let Some(found) = self.classify(packet, cells)
        {
            return Ok(Some(self.decision(found.place as usize)));
        }
        let place = linear::first_match(&self.owner, &self.rules, packet, world)?;
        Ok(place.map(|place| self.decision(place)))
    }

    /// The rules that may decide about a packet whose source is some public address that Azure picks (SIM-10), first
    /// tried first, up to one that is certain to.
    ///
    /// # Errors
    ///
    /// An item fails with the question that it hangs on and that the world does not answer.
    pub fn candidates_for_picked<'a>(
        &'a self,
        packet: &'a FiveTuple,
        world: &'a World,
    ) -> impl Iterator<Item = Result<Candidate, Box<Open>>> {
        let mut is_decided = false;
        let matches = linear::matches_of_picked(&self.owner, &self.rules, &self.public, packet, world);
        matches
            .take_while(move |found| {
                let goes_on = !is_decided;
                is_decided |= matches!(found, Ok((_, true)));
                goes_on
            })
            .map(|found| found.map(|(place, certain)| Candidate { decision: self.decision(place), certain }))
    }

    /// The rule with a platform tag that decides about a packet to the platform (PLAT-2), where one does.
    ///
    /// # Errors
    ///
    /// Fails with the first question that the answer hangs on and that the world does not answer.
    pub fn decide_for_platform(
        &self,
        packet: &FiveTuple,
        world: &World,
    ) -> Result<Option<Decision>, Box<Open>> {
        let place = linear::first_platform_match(&self.owner, &self.rules, packet, world)?;
        Ok(place.map(|place| self.decision(place)))
    }

    /// The deciding rule, unless something open stands before it.
    #[must_use]
    pub fn classify(&self, packet: &FiveTuple, (source, destination): (Cell, Cell)) -> Option<Classified> {
        if packet.source_port == Port::NotGiven || packet.destination_port == Port::NotGiven {
            return None;
        }
        let key = Key {
            source,
            destination,
            protocol: packet.protocol,
            source_port: packet.source_port.number().into(),
            destination_port: packet.destination_port.number().into(),
        };
        self.classify_key(&key)
    }

    /// As [`Policy::classify`], of what tables look at.
    #[must_use]
    pub fn classify_key(&self, key: &Key) -> Option<Classified> {
        let entry = self.classifier.as_ref()?.first_match(key)?;
        self.entries[entry as usize]
    }

    /// As [`Policy::classify`], for many packets; nothing where something open stands before the deciding rule.
    ///
    /// # Panics
    ///
    /// If there are not as many places for answers as packets, or the policy was not compiled.
    pub fn classify_each(&self, keys: &[Key], into: &mut [Option<Classified>]) {
        let classifier = self.classifier.as_ref().expect("the policy was compiled");
        let mut found = [NO_ENTRY; CLASSIFIED_TOGETHER];
        for (keys, into) in keys.chunks(CLASSIFIED_TOGETHER).zip(into.chunks_mut(CLASSIFIED_TOGETHER)) {
            let found = &mut found[..keys.len()];
            classifier.first_matches(keys, found);
            for (into, &entry) in into.iter_mut().zip(&*found) {
                *into = self.entries.get(entry as usize).copied().flatten();
            }
        }
    }

    fn decision(&self, place: usize) -> Decision {
        let rule = &self.rules[place];
        Decision { rule: rule.position, access: rule.access }
    }
}

/// What a clause certainly matches, and behind it, where something is open, what it may match.
pub fn entries_of(clause: &Clause) -> impl Iterator<Item = (bool, Entry)> + use<> {
    std::iter::once((true, certain(clause))).chain(widest(clause).map(|entry| (false, entry)))
}

fn certain(clause: &Clause) -> Entry {
    Entry {
        source: Arc::clone(&clause.source.known),
        source_ports: clause.source_ports.known.clone(),
        destination: Arc::clone(&clause.destination.known),
        destination_ports: clause.destination_ports.known.clone(),
        protocols: clause.protocols.known,
    }
}

/// What a clause matches in some world, where that is more than what it certainly matches.
fn widest(clause: &Clause) -> Option<Entry> {
    let ports = |field: &super::resolve::PortField| {
        if field.doubt.is_some() { PortSet::all() } else { field.known.clone() }
    };
    let open = !clause.source.doubts.is_empty()
        || !clause.destination.doubts.is_empty()
        || clause.protocols.doubt.is_some()
        || clause.source_ports.doubt.is_some()
        || clause.destination_ports.doubt.is_some();
    open.then(|| Entry {
        source: clause.source.widest(),
        source_ports: ports(&clause.source_ports),
        destination: clause.destination.widest(),
        destination_ports: ports(&clause.destination_ports),
        protocols: if clause.protocols.doubt.is_some() { ProtocolSet::all() } else { clause.protocols.known },
    })
}
