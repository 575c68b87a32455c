//! The linear engine: rules in priority order, field by field. The reference inside the program.

use super::address_set::AddressSet;
use super::field::AddressField;
use super::policy::RuleOwner;
use super::resolve::{Clause, PortField, ResolvedRule};
use super::surroundings::fixed;
use super::world::{Open, World};
use crate::model::flow::{FiveTuple, Port};
use crate::model::unknown::Unknown;
use crate::model::verdict::RulePlace;

/// The first rule of a list that matches (NSG-4), by its position in the list.
///
/// # Errors
///
/// Fails with the first question that the answer hangs on and that the world does not answer.
pub fn first_match(
    owner: &RuleOwner,
    rules: &[ResolvedRule],
    packet: &FiveTuple,
    world: &World,
) -> Result<Option<usize>, Box<Open>> {
    for (place, rule) in rules.iter().enumerate() {
        let context = Context { place: owner.place(rule.position), packet, world };
        for clause in &rule.clauses {
            if context.matches(clause)? {
                return Ok(Some(place));
            }
        }
    }
    Ok(None)
}

/// The rules of a list that match a packet whose source is one of `public`, nobody knows which, first tried first: the
/// position of each in the list, and whether it matches whatever the source is. None behind such a one can decide.
///
/// # Errors
///
/// An item fails with the question that it hangs on and that the world does not answer.
pub fn matches_of_picked<'a>(
    owner: &'a RuleOwner,
    rules: &'a [ResolvedRule],
    public: &AddressSet,
    packet: &'a FiveTuple,
    world: &'a World,
) -> impl Iterator<Item = Result<(usize, bool), Box<Open>>> + use<'a> {
    // Nothing translates between families (TOP-9).
    let family = fixed(if packet.source.is_ipv4() { "0.0.0.0/0" } else { "::/0" });
    let public = public.intersection(&AddressSet::from_prefixes([family]));
    let certainty = move |place: usize, rule: &ResolvedRule| {
        let context = Context { place: owner.place(rule.position), packet, world };
        let mut matches = None;
        for clause in &rule.clauses {
            let source = &clause.source;
            let certain = public.difference(&source.known).is_empty();
            let possible = certain || !public.intersection(&source.widest()).is_empty();
            if possible && context.matches_but_for_source(clause)? {
                matches = matches.max(Some(certain));
            }
        }
        Ok(matches.map(|certain| (place, certain)))
    };
    rules.iter().enumerate().filter_map(move |(place, rule)| certainty(place, rule).transpose())
}

/// The first rule of a list with a platform tag that matches a packet to its service (PLAT-2), by its position in the
/// list. Other rules, and other destinations of such a rule, do not count.
///
/// # Errors
///
/// Fails with the first question that the answer hangs on and that the world does not answer.
pub fn first_platform_match(
    owner: &RuleOwner,
    rules: &[ResolvedRule],
    packet: &FiveTuple,
    world: &World,
) -> Result<Option<usize>, Box<Open>> {
    for (place, rule) in rules.iter().enumerate() {
        let context = Context { place: owner.place(rule.position), packet, world };
        for clause in rule.clauses.iter().filter(|clause| clause.is_platform) {
            if context.matches(clause)? {
                return Ok(Some(place));
            }
        }
    }
    Ok(None)
}

/// Which of a rule's five fields match, in the order protocol, source, source port, destination, destination port
/// (the booleans of NW-2); a field that hangs on an open question counts as not matching.
#[must_use]
pub fn fields_matched(rule: &ResolvedRule, packet: &FiveTuple, owner: &RuleOwner) -> [bool; 5] {
    let world = World::default();
    let context = Context { place: owner.place(rule.position), packet, world: &world };
    let mut best = [false; 5];
    for clause in &rule.clauses {
        let fields = [
            context.protocol(clause).unwrap_or(false),
            context.address(&clause.source, true).unwrap_or(false),
            context.port(&clause.source_ports, true).unwrap_or(false),
            context.address(&clause.destination, false).unwrap_or(false),
            context.port(&clause.destination_ports, false).unwrap_or(false),
        ];
        let count = |fields: &[bool; 5]| fields.iter().filter(|matched| **matched).count();
        if count(&fields) >= count(&best) {
            best = fields;
        }
    }
    best
}

struct Context<'a> {
    place: RulePlace,
    packet: &'a FiveTuple,
    world: &'a World,
}

impl Context<'_> {
    /// Whether all five fields match. A field that certainly does not match settles it, whatever is open in others.
    fn matches(&self, clause: &Clause) -> Result<bool, Box<Open>> {
        Self::all([
            self.protocol(clause),
            self.address(&clause.source, true),
            self.port(&clause.source_ports, true),
            self.address(&clause.destination, false),
            self.port(&clause.destination_ports, false),
        ])
    }

    fn matches_but_for_source(&self, clause: &Clause) -> Result<bool, Box<Open>> {
        Self::all([
            self.protocol(clause),
            self.port(&clause.source_ports, true),
            self.address(&clause.destination, false),
            self.port(&clause.destination_ports, false),
        ])
    }

    fn all<const N: usize>(fields: [Result<bool, Box<Open>>; N]) -> Result<bool, Box<Open>> {
        let mut open = None;
        for field in fields {
            match field {
                Ok(false) => return Ok(false),
                Ok(true) => {}
                Err(question) => {
                    open.get_or_insert(question);
                }
            }
        }
        open.map_or(Ok(true), Err)
    }

    fn protocol(&self, clause: &Clause) -> Result<bool, Box<Open>> {
        let known = clause.protocols.known.contains(self.packet.protocol);
        self.known_or(known, clause.protocols.doubt.as_ref())
    }

    fn address(&self, field: &AddressField, source: bool) -> Result<bool, Box<Open>> {
        field.holds(if source { self.packet.source } else { self.packet.destination }, self.world)
    }

    /// Port fields match packets without ports only if they hold every port (NSG-10).
    fn port(&self, field: &PortField, source: bool) -> Result<bool, Box<Open>> {
        let port = if source { self.packet.source_port } else { self.packet.destination_port };
        let known = match port {
            Port::Number(number) => field.known.contains(Some(number)),
            Port::None => field.known.contains(None),
            Port::NotGiven if field.known.is_all() => true,
            Port::NotGiven => {
                let question = Unknown::PortMatches { rule: self.place, source };
                return self.world.ask(|| question);
            }
        };
        self.known_or(known, field.doubt.as_ref())
    }

    fn known_or(&self, known: bool, doubt: Option<&Unknown>) -> Result<bool, Box<Open>> {
        match doubt {
            Some(question) if !known => self.world.ask(|| question.clone()),
            _ => Ok(known),
        }
    }
}
