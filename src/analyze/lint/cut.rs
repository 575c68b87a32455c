//! Lists of rules over all packets, exactly: addresses, ports and protocols in classes that no rule tells apart.
//!
//! A rule is cut into items, each of which holds every combination of some sources, destinations and services, where
//! certain questions have certain answers. A rule matches a packet if any of its items does. Which items hold a pair of
//! classes of addresses is a *row*, and of one row every *reading* is looked at: one way in which the questions that it
//! hangs on could be answered. So what is said holds whatever the answers are.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::classes::{Class, classes, ends};
use crate::analyze::regions::bits::Bits;
use crate::analyze::regions::services::{Named, Services};
use crate::compile::address_set::AddressSet;
use crate::compile::classifier::Entry;
use crate::compile::field::{AddressField, Doubt};
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::compile::resolve::{Clause, PortField, ResolvedRule};
use crate::model::flow::FiveTuple;
use crate::model::prefix::PortRange;
use crate::model::rule::{Access, Direction};
use crate::model::unknown::Unknown;

/// Questions of one row that are tried in all combinations. With more of them a rule that may match counts as one that does
/// where it would be reached, and takes packets only of rules that match under no other answers: less is told then, and
/// nothing that does not hold.
const MOST_QUESTIONS: usize = 6;

/// Some lists, one behind the other, cut together.
pub(super) struct Cut {
    pub(super) items: Vec<Item>,
    pub(super) services: Services,
    /// IPv4 and IPv6.
    pub(super) families: [Family; 2],
}

/// A part of a rule.
pub(super) struct Item {
    /// Which of the lists it is in.
    pub(super) list: usize,
    /// The position of its rule in [`Nsg::rules`](crate::model::nsg::Nsg::rules); nothing for what no rule touches.
    pub(super) rule: Option<u32>,
    pub(super) access: Access,
    pub(super) services: Bits,
    /// It matches where these questions, by their numbers, have these answers.
    needs: Vec<(usize, bool)>,
}

impl Item {
    /// It matches what it holds, whatever is open.
    pub(super) fn is_certain(&self) -> bool {
        self.needs.is_empty()
    }

    /// Whatever answers let the other match, let it match what it holds.
    pub(super) fn matches_with(&self, other: &Self) -> bool {
        self.needs.iter().all(|need| other.needs.contains(need))
    }

    /// Some answers let both match.
    pub(super) fn may_match_beside(&self, other: &Self) -> bool {
        !self.needs.iter().any(|(question, answer)| other.needs.contains(&(*question, !answer)))
    }
}

/// The addresses of one family.
pub(super) struct Family {
    pub(super) sources: Vec<Class>,
    pub(super) destinations: Vec<Class>,
}

/// A row under one way to answer its questions.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Reading {
    /// The items that match.
    pub(super) row: Bits,
    /// There are more questions than can be tried: items that hang on them may match, or not.
    pub(super) is_open: bool,
}

/// Where a row is: a family, a class of sources and a class of destinations.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) family: usize,
    pub(super) source: usize,
    pub(super) destination: usize,
}

/// What goes into a cut.
pub(super) struct Lists<'l> {
    /// What is ahead of all rules and none of them: packets that no rule touches.
    pub(super) untouched: Vec<Entry>,
    /// The rules of each list, in order.
    pub(super) lists: Vec<Vec<&'l ResolvedRule>>,
    /// Sets of addresses that are told apart too.
    pub(super) marked: Vec<Arc<AddressSet>>,
    /// Destination ports that are told apart too.
    pub(super) ports: Vec<PortRange>,
    /// Addresses of interfaces that ask the rules, ascending: packets that are shown come to these, or from these.
    pub(super) own: (Direction, Vec<IpAddr>),
}

/// What becomes an item.
struct Part {
    list: usize,
    rule: Option<u32>,
    access: Access,
    entry: Entry,
    needs: Vec<(usize, bool)>,
}

/// A question, told apart by side: the addresses of the two sides are not the same.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Question<'r> {
    Source(&'r Doubt),
    Destination(&'r Doubt),
    Field(&'r Unknown),
}

/// One alternative of a field: what it holds if the question has the answer.
type Alternative<'r, T> = (T, Option<(Question<'r>, bool)>);

impl Cut {
    pub(super) fn of(lists: &Lists<'_>) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for entry in &lists.untouched {
            let (entry, needs) = (entry.clone(), Vec::new());
            parts.push(Part { list: 0, rule: None, access: Access::Allow, entry, needs });
        }
        let mut questions: HashMap<Question<'_>, usize> = HashMap::new();
        for (list, rules) in lists.lists.iter().enumerate() {
            for rule in rules {
                for (entry, needs) in rule.clauses.iter().flat_map(alternatives) {
                    let numbered = needs.into_iter().map(|(question, answer)| {
                        let next = questions.len();
                        (*questions.entry(question).or_insert(next), answer)
                    });
                    let mut needs: Vec<(usize, bool)> = numbered.collect();
                    needs.sort_unstable();
                    needs.dedup();
                    // No answer fulfils both.
                    let contradicts = needs.windows(2).any(|pair| pair[0].0 == pair[1].0);
                    if !contradicts {
                        let (rule, access) = (Some(rule.position), rule.access);
                        parts.push(Part { list, rule, access, entry, needs });
                    }
                }
            }
        }
        let named = Named { ports: lists.ports.clone(), ..Named::default() };
        let services = Services::cut(parts.iter().map(|part| &part.entry), &named);
        let is_inbound = lists.own.0 == Direction::Inbound;
        let side = |is_v4, field: fn(&Part) -> &Arc<AddressSet>, is_own| {
            let sets: Vec<_> = parts.iter().map(field).collect();
            classes(is_v4, &sets, &lists.marked, if is_own { &lists.own.1 } else { &[] })
        };
        let families = [true, false].map(|is_v4| Family {
            sources: side(is_v4, |part| &part.entry.source, !is_inbound),
            destinations: side(is_v4, |part| &part.entry.destination, is_inbound),
        });
        let items = parts.into_iter().map(|part| Item {
            list: part.list,
            rule: part.rule,
            access: part.access,
            services: services.of(&part.entry),
            needs: part.needs,
        });
        Self { items: items.collect(), services, families }
    }

    /// The items that hold a pair of classes; nothing where no two different addresses are in them: what goes to its own
    /// sender leaves no machine (EVAL-9).
    pub(super) fn row(&self, place: Place) -> Option<Bits> {
        let (source, destination) = self.classes(place);
        ends(source, destination)?;
        Some(source.items.and(&destination.items))
    }

    pub(super) fn classes(&self, place: Place) -> (&Class, &Class) {
        let family = &self.families[place.family];
        (&family.sources[place.source], &family.destinations[place.destination])
    }

    /// Every way to answer the questions that a row hangs on.
    pub(super) fn readings(&self, row: &Bits) -> Vec<Reading> {
        let asked: BTreeSet<usize> =
            row.iter().flat_map(|item| &self.items[item].needs).map(|(question, _)| *question).collect();
        if asked.is_empty() {
            return vec![Reading { row: row.clone(), is_open: false }];
        }
        if asked.len() > MOST_QUESTIONS {
            return vec![Reading { row: row.clone(), is_open: true }];
        }
        let asked: Vec<usize> = asked.into_iter().collect();
        let readings: BTreeSet<Bits> = (0_u32..1 << asked.len())
            .map(|answers| {
                let is_so = |(question, answer): &(usize, bool)| {
                    let place = asked.binary_search(question).expect("the question was collected");
                    (answers >> place & 1 == 1) == *answer
                };
                let matching = row.iter().filter(|item| self.items[*item].needs.iter().all(is_so));
                Bits::of(self.items.len(), matching)
            })
            .collect();
        readings.into_iter().map(|row| Reading { row, is_open: false }).collect()
    }

    /// Hands the items of one list that are the first to match some services, in order, with these services. Those that
    /// may match or not get what they would have, and leave it to those behind. Returns what no item takes.
    pub(super) fn fold(
        &self,
        reading: &Reading,
        list: usize,
        mut left: Bits,
        mut hit: impl FnMut(usize, &Bits),
    ) -> Bits {
        for number in reading.row.iter() {
            let item = &self.items[number];
            if item.list != list || !left.meet(&item.services, &item.services) {
                continue;
            }
            let mut taken = left.and(&item.services);
            if self.takes(number, reading) {
                hit(number, &taken);
                left.remove(&taken);
                if left.is_empty() {
                    break;
                }
                continue;
            }
            let ahead = reading.row.iter().take_while(|ahead| *ahead < number);
            for ahead in ahead.map(|ahead| &self.items[ahead]) {
                if ahead.list == list && ahead.matches_with(item) {
                    taken.remove(&ahead.services);
                }
            }
            if !taken.is_empty() {
                hit(number, &taken);
            }
        }
        left
    }

    /// Whether what an item of a reading matches is certainly taken by it.
    pub(super) fn takes(&self, item: usize, reading: &Reading) -> bool {
        !reading.is_open || self.items[item].is_certain()
    }

    /// Whether wherever one item of a reading matches another does, as far as questions go.
    pub(super) fn takes_of(&self, item: usize, other: usize, reading: &Reading) -> bool {
        self.takes(item, reading) || self.items[item].matches_with(&self.items[other])
    }

    /// A packet at a place, of one of these services: of TCP where there is one, as those come first.
    pub(super) fn packet(&self, place: Place, services: &Bits) -> FiveTuple {
        let (source, destination) = self.classes(place);
        let (source, destination) = ends(source, destination).expect("a row holds two addresses");
        let class = services.iter().next().expect("something was hit");
        let (protocol, source_port, destination_port) = self.services.packet(class);
        FiveTuple { source, destination, protocol, source_port, destination_port }
    }

    /// All services.
    pub(super) fn all_services(&self) -> Bits {
        Bits::of(self.services.count(), 0..self.services.count())
    }

    /// All places, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.families.iter().enumerate().flat_map(|(family, classes)| {
            let destinations = classes.destinations.len();
            (0..classes.sources.len()).flat_map(move |source| {
                (0..destinations).map(move |destination| Place { family, source, destination })
            })
        })
    }

    /// The places whose classes both hold items of a set, in order.
    pub(super) fn places_of(&self, items: &Bits) -> Vec<Place> {
        let mut places = Vec::new();
        for (family, classes) in self.families.iter().enumerate() {
            let holding = |classes: &[Class]| -> Vec<usize> {
                let holds = |class: &usize| classes[*class].items.meet(items, items);
                (0..classes.len()).filter(holds).collect()
            };
            let destinations = holding(&classes.destinations);
            for source in holding(&classes.sources) {
                let of_source = destinations.iter();
                places.extend(of_source.map(|&destination| Place { family, source, destination }));
            }
        }
        places
    }
}

/// The combinations of what a clause holds for certain and under answers to its questions.
fn alternatives(clause: &Clause) -> Vec<(Entry, Vec<(Question<'_>, bool)>)> {
    let protocols = {
        let known = clause.protocols.known;
        let known = (known != ProtocolSet::default()).then_some(known);
        or_any(known, ProtocolSet::all(), clause.protocols.doubt.as_ref())
    };
    let [source_ports, destination_ports] =
        [&clause.source_ports, &clause.destination_ports].map(|field: &PortField| {
            let known = (field.known != PortSet::default()).then(|| field.known.clone());
            or_any(known, PortSet::all(), field.doubt.as_ref())
        });
    let sources = addresses(&clause.source, Question::Source);
    let destinations = addresses(&clause.destination, Question::Destination);
    let mut found = Vec::new();
    for (source, of_source) in &sources {
        for (destination, of_destination) in &destinations {
            for (protocols, of_protocols) in &protocols {
                for (source_ports, of_source_ports) in &source_ports {
                    for (destination_ports, of_destination_ports) in &destination_ports {
                        let needs =
                            [of_source, of_destination, of_protocols, of_source_ports, of_destination_ports];
                        let entry = Entry {
                            source: Arc::clone(source),
                            source_ports: source_ports.clone(),
                            destination: Arc::clone(destination),
                            destination_ports: destination_ports.clone(),
                            protocols: *protocols,
                        };
                        found.push((entry, needs.into_iter().copied().flatten().collect()));
                    }
                }
            }
        }
    }
    found
}

/// What a field holds for certain, and anything if a text that Azure does not take means it.
fn or_any<'r, T>(known: Option<T>, any: T, doubt: Option<&'r Unknown>) -> Vec<Alternative<'r, T>> {
    let known = known.map(|known| (known, None));
    known.into_iter().chain(doubt.map(|doubt| (any, Some((Question::Field(doubt), true))))).collect()
}

fn addresses<'r>(
    field: &'r AddressField,
    on_side: fn(&'r Doubt) -> Question<'r>,
) -> Vec<Alternative<'r, &'r Arc<AddressSet>>> {
    let certain = (!field.known.is_empty()).then_some((&field.known, None));
    let open = field.doubts.iter().map(|doubt| {
        // A text is the same question on both sides and for all addresses.
        let question = match &doubt.about {
            Doubt::Text(question) => Question::Field(question),
            about => on_side(about),
        };
        (&doubt.scope, Some((question, !doubt.negated)))
    });
    certain.into_iter().chain(open).collect()
}
