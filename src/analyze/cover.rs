//! Whether a list of rules lets whole sets of packets through: exactly, set by set, not by samples.

use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::address_set::AddressSet;
use crate::compile::field::{AddressDoubt, AddressField, Doubt};
use crate::compile::resolve::{Clause, PortField, ResolvedRule};
use crate::model::rule::{Access, Direction, Protocol};
use crate::model::tag::TagName;
use crate::model::unknown::Unknown;

/// The source port of the packets that are asked about: one of those that clients pick.
const CLIENT_PORT: u16 = 50000;

/// The addresses at one end of the packets that are asked about.
#[derive(Clone, Debug)]
pub(super) struct Region {
    /// The addresses; where nobody knows them, what they may be.
    pub addresses: AddressSet,
    /// Where nobody knows which of `addresses` they are: a field that hangs on one of these doubts holds them all.
    pub unknown: Option<Vec<AddressDoubt>>,
    /// A tag that holds none of them, whatever it holds.
    pub apart: Option<TagName>,
}

impl Region {
    /// Addresses that are known.
    pub(super) fn known(addresses: AddressSet) -> Self {
        Self { addresses, unknown: None, apart: None }
    }

    /// An address to show, where one is known.
    pub(super) fn example(&self) -> Option<IpAddr> {
        let first = self.addresses.prefixes().first().map(|prefix| prefix.network());
        first.filter(|_| self.unknown.is_none())
    }

    fn part(&self, addresses: AddressSet) -> Option<Self> {
        (!addresses.is_empty()).then(|| Self { addresses, ..self.clone() })
    }

    /// What a field of a rule holds of it.
    fn cut(&self, field: &AddressField) -> Cut {
        let doubts: Vec<&AddressDoubt> = field.doubts.iter().filter(|doubt| !self.is_apart(doubt)).collect();
        if let Some(unknown) = &self.unknown {
            let same = |doubt: &&AddressDoubt| {
                unknown.iter().any(|own| own.about == doubt.about && own.negated == doubt.negated)
            };
            let all = self.addresses.difference(&field.known).is_empty() || doubts.iter().any(same);
            let some = !self.addresses.intersection(&field.known).is_empty();
            return match (all, some, self.asked_of(&doubts)) {
                (true, ..) => Cut { certain: Some(self.clone()), ..Cut::default() },
                (false, _, Some(what)) => Cut { open: Some((self.clone(), what)), ..Cut::default() },
                (false, true, None) => {
                    let what = own_doubt(unknown);
                    Cut { open: Some((self.clone(), what)), ..Cut::default() }
                }
                (false, false, None) => Cut { rest: Some(self.clone()), ..Cut::default() },
            };
        }
        let mut rest = self.addresses.difference(&field.known);
        let certain = self.part(self.addresses.intersection(&field.known));
        let what = self.asked_of(&doubts);
        let mut open = AddressSet::empty();
        for doubt in doubts {
            open = open.union(&rest.intersection(&doubt.scope));
        }
        rest = rest.difference(&open);
        Cut { certain, open: self.part(open).zip(what), rest: self.part(rest) }
    }

    fn is_apart(&self, doubt: &AddressDoubt) -> bool {
        matches!((&doubt.about, &self.apart), (Doubt::Tag(tag), Some(apart)) if tag == apart)
    }

    /// What the doubts that concern the region are about.
    fn asked_of(&self, doubts: &[&AddressDoubt]) -> Option<String> {
        let concerns = |doubt: &&&AddressDoubt| !self.addresses.intersection(&doubt.scope).is_empty();
        doubts.iter().find(concerns).map(|doubt| shown(&doubt.about))
    }
}

fn own_doubt(unknown: &[AddressDoubt]) -> String {
    unknown.first().map_or_else(|| "the subnet's address range".to_owned(), |doubt| shown(&doubt.about))
}

/// What a doubt is about, in the words of the input.
pub(super) fn shown(about: &Doubt) -> String {
    match about {
        Doubt::Tag(tag) => format!("service tag `{tag}`"),
        Doubt::Asg(asg) => format!("`{asg}`"),
        Doubt::Connected { missing, .. } => format!("`{missing}`"),
        Doubt::Text(question) => asked(question),
    }
}

fn asked(question: &Unknown) -> String {
    match question {
        Unknown::FieldMatches { text, .. } => format!("`{text}`"),
        _ => "a field that Azure does not take".to_owned(),
    }
}

/// A region cut by a field.
#[derive(Default)]
struct Cut {
    certain: Option<Region>,
    /// With what it hangs on.
    open: Option<(Region, String)>,
    rest: Option<Region>,
}

/// What becomes of the packets with one part of the remote addresses.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// They pass.
    Allowed,
    /// They do not: the rule's position in the list.
    Denied(u32),
    /// It hangs on this.
    Open(String),
}

/// The packets that are asked about: those between two regions, of one protocol, to one port.
pub(super) struct Question<'q> {
    pub direction: Direction,
    pub protocol: Protocol,
    pub port: u16,
    /// Addresses on the side of the filter.
    pub local: &'q Region,
    /// Addresses on the other side.
    pub remote: &'q Region,
}

/// What a list of rules does to the packets, by remote addresses.
pub(super) fn fates(rules: &[ResolvedRule], question: &Question<'_>) -> Vec<(Region, Fate)> {
    let mut left = vec![Left { region: question.remote.clone(), may_allow: None, may_deny: None }];
    let mut found = Vec::new();
    for rule in rules {
        for clause in &rule.clauses {
            let Some(but_for_remote) = but_for_remote(clause, question) else { continue };
            let (_, remote) = sides(clause, question.direction);
            let mut next = Vec::new();
            for part in left {
                let cut = part.region.cut(remote);
                next.extend(cut.rest.map(|region| part.of(region)));
                let open = match (cut.certain, &but_for_remote) {
                    (Some(region), None) => {
                        found.push((region, part.decided(rule)));
                        None
                    }
                    (Some(region), Some(what)) => Some((region, what.clone())),
                    (None, _) => None,
                };
                next.extend(
                    open.into_iter()
                        .chain(cut.open)
                        .map(|(region, what)| part.of(region).maybe(rule.access, what)),
                );
            }
            left = next;
        }
    }
    found
}

/// Remote addresses that no rule has decided about yet.
struct Left {
    region: Region,
    /// What an allow hangs on that may have matched.
    may_allow: Option<String>,
    /// What a deny hangs on that may have matched.
    may_deny: Option<String>,
}

impl Left {
    fn of(&self, region: Region) -> Self {
        Self { region, may_allow: self.may_allow.clone(), may_deny: self.may_deny.clone() }
    }

    fn maybe(mut self, access: Access, what: String) -> Self {
        match access {
            Access::Allow => self.may_allow.get_or_insert(what),
            Access::Deny => self.may_deny.get_or_insert(what),
        };
        self
    }

    /// A rule decides about all that came so far.
    fn decided(&self, rule: &ResolvedRule) -> Fate {
        let other = match rule.access {
            Access::Allow => &self.may_deny,
            Access::Deny => &self.may_allow,
        };
        match (other, rule.access) {
            (Some(what), _) => Fate::Open(what.clone()),
            (None, Access::Allow) => Fate::Allowed,
            (None, Access::Deny) => Fate::Denied(rule.position),
        }
    }
}

/// The clause's local and remote addresses.
fn sides(clause: &Clause, direction: Direction) -> (&AddressField, &AddressField) {
    match direction {
        Direction::Inbound => (&clause.destination, &clause.source),
        Direction::Outbound => (&clause.source, &clause.destination),
    }
}

/// Whether the fields other than the remote addresses match; if so, what that hangs on.
///
/// INVARIANT: the local region lies whole inside or outside of what each clause certainly holds ([`cells`]).
#[expect(clippy::option_option, reason = "the outer is whether it may match, the inner what it hangs on")]
fn but_for_remote(clause: &Clause, question: &Question<'_>) -> Option<Option<String>> {
    let mut hangs_on = None;
    if !clause.protocols.known.contains(question.protocol) {
        hangs_on = Some(asked(clause.protocols.doubt.as_ref()?));
    }
    for (field, port) in [(&clause.source_ports, CLIENT_PORT), (&clause.destination_ports, question.port)] {
        if !field.known.contains(Some(port)) {
            hangs_on = Some(asked(field.doubt.as_ref()?));
        }
    }
    let (local, _) = sides(clause, question.direction);
    let cut = question.local.cut(local);
    match (cut.certain, cut.open) {
        (Some(_), _) => Some(hangs_on),
        (None, Some((_, what))) => Some(Some(hangs_on.unwrap_or(what))),
        (None, None) => None,
    }
}

/// A local region in parts, none of which a rule tells apart further.
pub(super) fn cells(rules: &[ResolvedRule], direction: Direction, local: &Region) -> Vec<Region> {
    let mut parts = vec![local.clone()];
    if local.unknown.is_some() {
        return parts;
    }
    for clause in rules.iter().flat_map(|rule| &rule.clauses) {
        let (field, _) = sides(clause, direction);
        let mut sets: Vec<&Arc<AddressSet>> = vec![&field.known];
        sets.extend(field.doubts.iter().map(|doubt| &doubt.scope));
        for set in sets {
            parts = parts
                .into_iter()
                .flat_map(|part| {
                    [part.part(part.addresses.intersection(set)), part.part(part.addresses.difference(set))]
                })
                .flatten()
                .collect();
        }
    }
    parts
}

/// Ports of a range, one for each part that no rule tells apart further.
pub(super) fn ports(rules: &[ResolvedRule], (first, last): (u16, u16)) -> Vec<u16> {
    let mut ports = vec![first];
    let fields = rules.iter().flat_map(|rule| &rule.clauses).map(|clause| &clause.destination_ports);
    for range in fields.flat_map(|field: &PortField| field.known.ranges()) {
        ports.push(range.first());
        ports.extend(range.last().checked_add(1));
    }
    ports.retain(|port| (first..=last).contains(port));
    ports.sort_unstable();
    ports.dedup();
    ports
}
