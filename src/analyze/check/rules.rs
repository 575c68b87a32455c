//! Effective rules and security group views (NW-6, NW-7).

use std::collections::BTreeSet;

use super::{CheckError, Comparison, DifferenceKind, Field, Item, Uncompared, Why};
use crate::compile::address_set::AddressSet;
use crate::compile::field::{AddressField, Doubt};
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::ports::PortSet;
use crate::compile::resolve::ResolvedRule;
use crate::compile::surroundings::fixed;
use crate::model::answered::{AnsweredGroup, AnsweredRule, AnsweredSide, HeldBy, RulePart};
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, NsgIndex, Reference};
use crate::model::reason_code::ReasonCode;
use crate::model::rule::{AddressTerm, Direction, PortTerm, ProtocolMatch, Rule};
use crate::model::tag::TagName;
use crate::model::verdict::{Interface, Layer};

/// An NSG of the interface, as it is computed.
struct OwnGroup<'c> {
    layer: Layer,
    /// The NSG with its rules; or the ID of what the export lacks.
    held: Result<(NsgIndex, Vec<OwnRule<'c>>), ResourceId>,
}

/// A rule as it was written, and what it stands for at the interface.
#[derive(Clone, Copy)]
struct OwnRule<'c> {
    written: &'c Rule,
    resolved: &'c ResolvedRule,
}

/// The comparison of rules under way.
struct Rules<'a, 'c> {
    compiled: &'c CompiledNetwork,
    nic: NicIndex,
    own: Vec<OwnGroup<'c>>,
    comparison: &'a mut Comparison,
}

/// Compares all lists of an answer.
pub(super) fn whole(
    compiled: &CompiledNetwork,
    nic: NicIndex,
    groups: &[AnsweredGroup],
    comparison: &mut Comparison,
) -> Result<(), CheckError> {
    let mut rules = Rules { compiled, nic, own: own_groups(compiled, nic), comparison };
    let mut seen = BTreeSet::new();
    for group in groups {
        rules.check_interface(group)?;
        seen.extend(rules.group(group));
    }
    for position in 0..rules.own.len() {
        let own = &rules.own[position];
        if seen.contains(&position) {
            continue;
        }
        let nsg = match &own.held {
            Ok((nsg, _)) => compiled.network.nsg_name(*nsg).to_owned(),
            Err(missing) => missing.name().to_owned(),
        };
        let item = Item::Nsg { layer: Some(own.layer), nsg };
        rules.comparison.differs(item, DifferenceKind::OnlyComputed);
    }
    let directions = [Direction::Inbound, Direction::Outbound];
    let has_admin =
        directions.iter().any(|direction| !compiled.admin(Interface::Nic(nic), *direction).is_empty());
    if has_admin || groups.iter().any(|group| matches!(group.held_by, HeldBy::Manager(_))) {
        rules.comparison.leave_out(Uncompared::AdminRules, Why::NoClause);
    }
    Ok(())
}

fn own_groups(compiled: &CompiledNetwork, nic: NicIndex) -> Vec<OwnGroup<'_>> {
    let mut groups: Vec<OwnGroup<'_>> = Vec::new();
    for direction in [Direction::Inbound, Direction::Outbound] {
        for layer in compiled.layers(Interface::Nic(nic), direction) {
            let held = match &layer.policy {
                PolicyReference::Compiled(position) => {
                    let policy = &compiled.policies[*position];
                    let written = &compiled.network.nsgs[policy.nsg().get()].rules;
                    let rule = |resolved| OwnRule { written: &written[position_of(resolved)], resolved };
                    Ok((policy.nsg(), policy.rules.iter().map(rule).collect::<Vec<_>>()))
                }
                PolicyReference::Missing(id) | PolicyReference::MissingSubnet(id) => Err(id.clone()),
                PolicyReference::Unlisted => Err(compiled.network.nics[nic.get()].id.clone()),
            };
            match (groups.iter_mut().find(|group| group.layer == layer.layer), held) {
                (Some(OwnGroup { held: Ok((_, rules)), .. }), Ok((_, more))) => rules.extend(more),
                (Some(_), _) => {}
                (None, held) => groups.push(OwnGroup { layer: layer.layer, held }),
            }
        }
    }
    groups
}

fn position_of(rule: &ResolvedRule) -> usize {
    rule.position as usize
}

impl<'c> Rules<'_, 'c> {
    fn check_interface(&self, group: &AnsweredGroup) -> Result<(), CheckError> {
        let own = &self.compiled.network.nics[self.nic.get()].id;
        match &group.held_by {
            HeldBy::Nic(Some(answered)) if answered != own => Err(CheckError::OtherNic {
                place: group.place.clone(),
                answered: answered.clone(),
                asked: own.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Compares one list; tells the places of the own NSGs that it is about.
    fn group(&mut self, group: &AnsweredGroup) -> Vec<usize> {
        let layer = match &group.held_by {
            HeldBy::Manager(_) => return Vec::new(),
            HeldBy::All => {
                self.all(group);
                return Vec::new();
            }
            HeldBy::Subnet(_) => Some(Layer::SubnetNsg),
            HeldBy::Nic(_) => Some(Layer::NicNsg),
            HeldBy::Unsaid => self
                .own
                .iter()
                .find(|own| group.nsg.as_ref().is_some_and(|nsg| self.id_of(own) == nsg))
                .map(|own| own.layer),
        };
        let place = self.own.iter().position(|own| Some(own.layer) == layer);
        let named = group.nsg.as_ref().map_or("(unnamed)", ResourceId::name).to_owned();
        let item = Item::Nsg { layer, nsg: named };
        let Some(place) = place else {
            self.comparison.differs(item, DifferenceKind::OnlyAnswered);
            return Vec::new();
        };
        if let (HeldBy::Subnet(Some(subnet)), Some(own)) =
            (&group.held_by, &self.compiled.network.nics[self.nic.get()].subnet)
        {
            let own = match own {
                Reference::Here(own) => &self.compiled.network.subnets[own.get()].id,
                Reference::Missing(own) => own,
            };
            self.comparison.field(&item, Field::Subnet, (own, subnet), ToString::to_string);
        }
        let own = &self.own[place];
        if let Some(nsg) = &group.nsg {
            let id = self.id_of(own);
            self.comparison.field(&item, Field::Nsg, (id, nsg), ToString::to_string);
        }
        match &own.held {
            Ok((_, rules)) => {
                let rules = rules.clone();
                self.list(layer, &rules, group);
            }
            Err(missing) => {
                let why = Why::Open { code: ReasonCode::MissingResource, name: missing.to_string() };
                self.comparison.leave_out(Uncompared::Rules(layer), why);
            }
        }
        vec![place]
    }

    /// Compares a list of the rules of all NSGs, or of the default rules, which all of them have.
    fn all(&mut self, group: &AnsweredGroup) {
        if let Some(missing) = self.own.iter().find_map(|own| own.held.as_ref().err()) {
            let why = Why::Open { code: ReasonCode::MissingResource, name: missing.to_string() };
            self.comparison.leave_out(Uncompared::Rules(None), why);
            return;
        }
        let held = self.own.iter().filter_map(|own| own.held.as_ref().ok());
        let most = if group.part == RulePart::Default { 1 } else { usize::MAX };
        let rules: Vec<OwnRule<'c>> = held.take(most).flat_map(|(_, rules)| rules).copied().collect();
        self.list(None, &rules, group);
    }

    fn id_of<'s>(&self, own: &'s OwnGroup<'c>) -> &'s ResourceId
    where
        'c: 's,
    {
        match &own.held {
            Ok((nsg, _)) => &self.compiled.network.nsgs[nsg.get()].id,
            Err(missing) => missing,
        }
    }

    fn list(&mut self, layer: Option<Layer>, own: &[OwnRule<'c>], group: &AnsweredGroup) {
        let part = |rule: &&OwnRule<'c>| match group.part {
            RulePart::Whole => true,
            RulePart::Custom => !rule.written.is_default,
            RulePart::Default => rule.written.is_default,
        };
        let mut own: Vec<&OwnRule<'c>> = own.iter().filter(part).collect();
        let item = |direction, name: &str| Item::Rule { layer, direction, name: name.to_owned() };
        for theirs in &group.rules {
            let alike = |own: &&OwnRule<'c>| {
                own.written.direction == theirs.direction
                    && own.written.name.eq_ignore_ascii_case(&theirs.name)
            };
            let item = item(theirs.direction, &theirs.name);
            let candidates: Vec<usize> = (0..own.len()).filter(|place| alike(&own[*place])).collect();
            // Two NSGs may have rules of one name: the one that says the same is meant.
            let same = |place: &usize| self.differences(&item, *own[*place], theirs, group.part) == 0;
            let place = match candidates[..] {
                [] | [_] => candidates.first().copied(),
                _ => candidates.iter().copied().find(same).or(candidates.first().copied()),
            };
            match place {
                Some(place) => {
                    let own = own.remove(place);
                    self.rule(&item, *own, theirs, group.part);
                }
                None => self.comparison.differs(item, DifferenceKind::OnlyAnswered),
            }
        }
        for rule in own {
            let item = item(rule.written.direction, &rule.written.name);
            self.comparison.differs(item, DifferenceKind::OnlyComputed);
        }
    }

    /// How many differences there are between two rules.
    fn differences(&self, item: &Item, own: OwnRule<'c>, theirs: &AnsweredRule, part: RulePart) -> usize {
        let mut comparison = Comparison::default();
        let mut trial =
            Rules { compiled: self.compiled, nic: self.nic, own: Vec::new(), comparison: &mut comparison };
        trial.rule(item, own, theirs, part);
        comparison.differences.len()
    }

    fn rule(&mut self, item: &Item, own: OwnRule<'c>, theirs: &AnsweredRule, part: RulePart) {
        let written = own.written;
        self.comparison.rules += 1;
        self.comparison.field(item, Field::Priority, (written.priority.0, theirs.priority.0), u32::to_string);
        self.comparison.field(item, Field::Access, (written.access, theirs.access), ToString::to_string);
        self.comparison.field(item, Field::Protocol, (&written.protocol, &theirs.protocol), |protocol| {
            match protocol {
                ProtocolMatch::Any => "*".to_owned(),
                ProtocolMatch::Is(protocol) => protocol.to_string(),
                ProtocolMatch::Invalid(text) => text.clone(),
            }
        });
        let clauses = &own.resolved.clauses;
        let sources: Vec<&AddressField> = clauses.iter().map(|clause| &clause.source).collect();
        let destinations: Vec<&AddressField> = clauses.iter().map(|clause| &clause.destination).collect();
        let source = Side {
            terms: &written.source,
            fields: &sources,
            theirs: &theirs.source,
            field: Field::Source,
            expanded: Field::ExpandedSource,
            part,
        };
        let destination = Side {
            terms: &written.destination,
            fields: &destinations,
            theirs: &theirs.destination,
            field: Field::Destination,
            expanded: Field::ExpandedDestination,
            part,
        };
        self.addresses(item, &source);
        self.ports(item, Field::SourcePort, &written.source_ports, &theirs.source);
        self.addresses(item, &destination);
        self.ports(item, Field::DestinationPort, &written.destination_ports, &theirs.destination);
    }

    fn ports(&mut self, item: &Item, field: Field, own: &[PortTerm], theirs: &AnsweredSide) {
        let mut ranges = Vec::new();
        for term in own {
            match term {
                PortTerm::Range(range) => ranges.push(*range),
                PortTerm::Invalid(text) => return self.invalid(item, field, text),
            }
        }
        let shown =
            |set: &PortSet| set.ranges().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let sets = (PortSet::from_ranges(ranges), PortSet::from_ranges(theirs.ports.iter().copied()));
        self.comparison.field(item, field, sets, shown);
    }

    /// A value that Azure does not take, or that a template leaves open.
    fn invalid(&mut self, item: &Item, field: Field, text: &str) {
        let Item::Rule { direction, name, .. } = item else { return };
        let what = Uncompared::RuleField { direction: *direction, name: name.clone(), field };
        let why = Why::Open { code: ReasonCode::InvalidField, name: text.to_owned() };
        self.comparison.leave_out(what, why);
    }

    fn addresses(&mut self, item: &Item, side: &Side<'_>) {
        let own = Words::of(self.compiled, side.terms);
        if let Some(text) = own.invalid {
            return self.invalid(item, side.field, &text);
        }
        let theirs = side.theirs;
        if own.any || theirs.any {
            if own.any != theirs.any {
                let kind = DifferenceKind::Field {
                    field: side.field,
                    computed: own.written(),
                    answered: written_there(theirs),
                };
                self.comparison.differs(item.clone(), kind);
            }
            return;
        }
        let names: BTreeSet<String> = theirs.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let tags: BTreeSet<String> = own.tags.iter().map(|tag| tag.folded().to_owned()).collect();
        let groups: BTreeSet<String> = own.groups.iter().map(|name| name.to_ascii_lowercase()).collect();
        // The service may list a group by its name, or the addresses of its members instead.
        let by_members = !groups.is_empty() && names.is_disjoint(&groups);
        let own_names: BTreeSet<String> =
            if by_members { tags } else { tags.union(&groups).cloned().collect() };
        if own_names != names {
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| -> Vec<String> {
                these.difference(those).cloned().collect()
            };
            let kind = DifferenceKind::Field {
                field: side.field,
                computed: only(&own_names, &names),
                answered: only(&names, &own_names),
            };
            return self.comparison.differs(item.clone(), kind);
        }
        let written = AddressSet::from_prefixes(theirs.prefixes.iter().copied());
        if names.is_empty() && !by_members {
            return self.sets(item, side.field, &own.prefixes, &written);
        }
        let Some(expanded) = &theirs.expanded else {
            if by_members {
                return self.meaning(item, side, &own, &written);
            }
            // A rule as its owner wrote it tells no more than the names.
            let told = names.iter().filter(|_| side.part == RulePart::Whole);
            for name in told {
                self.comparison.leave_out(Uncompared::Name(own.spelt(name)), Why::NotTold);
            }
            return self.sets(item, side.field, &own.prefixes, &written);
        };
        let expanded = AddressSet::from_prefixes(expanded.iter().copied()).union(&written);
        self.meaning(item, side, &own, &expanded);
    }

    fn sets(&mut self, item: &Item, field: Field, own: &AddressSet, theirs: &AddressSet) {
        let (only_own, only_theirs) = (own.difference(theirs), theirs.difference(own));
        if only_own.is_empty() && only_theirs.is_empty() {
            return;
        }
        let texts = |set: &AddressSet| set.prefixes().iter().map(ToString::to_string).collect();
        let kind = DifferenceKind::Field { field, computed: texts(&only_own), answered: texts(&only_theirs) };
        self.comparison.differs(item.clone(), kind);
    }

    /// Compares what a side with names stands for.
    fn meaning(&mut self, item: &Item, side: &Side<'_>, own: &Words, theirs: &AddressSet) {
        let shown = own.shown();
        let mut doubts = side.fields.iter().flat_map(|field| &field.doubts);
        if let Some(doubt) = doubts.next() {
            let why = match &doubt.about {
                Doubt::Tag(_) => Why::UnknownTag,
                Doubt::Asg(asg) => Why::Open { code: ReasonCode::MissingResource, name: asg.to_string() },
                Doubt::Connected { missing, .. } => {
                    Why::Open { code: ReasonCode::MissingResource, name: missing.clone() }
                }
                Doubt::Text(unknown) => Why::Open { code: unknown.code(), name: shown.clone() },
            };
            return self.comparison.leave_out(Uncompared::Name(shown), why);
        }
        let known = side.fields.iter().fold(AddressSet::empty(), |all, field| all.union(&field.known));
        let v6 = AddressSet::from_prefixes([fixed("::/0")]);
        let known = if theirs.ranges_v6().is_empty() && !known.ranges_v6().is_empty() {
            self.comparison.leave_out(Uncompared::Name(shown.clone()), Why::Ipv4Only);
            known.difference(&v6)
        } else {
            known
        };
        if own.tags.iter().any(|tag| !tag.is_computed()) && known != *theirs {
            let count = |set: AddressSet| set.prefixes().len();
            let why = Why::TagFile {
                loaded: self.compiled.tags.source.clone(),
                only_computed: count(known.difference(theirs)),
                only_answered: count(theirs.difference(&known)),
            };
            return self.comparison.leave_out(Uncompared::Name(shown), why);
        }
        self.sets(item, side.expanded, &known, theirs);
    }
}

/// One side of a rule, here and there.
struct Side<'r> {
    terms: &'r [AddressTerm],
    fields: &'r [&'r AddressField],
    theirs: &'r AnsweredSide,
    field: Field,
    expanded: Field,
    part: RulePart,
}

/// The alternatives of an own address field, by kind.
struct Words {
    any: bool,
    prefixes: AddressSet,
    tags: Vec<TagName>,
    groups: Vec<String>,
    invalid: Option<String>,
}

impl Words {
    fn of(compiled: &CompiledNetwork, terms: &[AddressTerm]) -> Self {
        let mut words = Self {
            any: false,
            prefixes: AddressSet::empty(),
            tags: Vec::new(),
            groups: Vec::new(),
            invalid: None,
        };
        let mut prefixes = Vec::new();
        for term in terms {
            match term {
                AddressTerm::Any => words.any = true,
                // What all addresses of a family are called, effective rules write for `*`, too.
                AddressTerm::Prefix(prefix) if prefix.prefix_len() == 0 => words.any = true,
                AddressTerm::Prefix(prefix) => prefixes.push(*prefix),
                AddressTerm::Tag(tag) => words.tags.push(tag.clone()),
                AddressTerm::Asg(Reference::Here(asg)) => {
                    words.groups.push(compiled.network.asgs[asg.get()].id.name().to_owned());
                }
                AddressTerm::Asg(Reference::Missing(asg)) => words.groups.push(asg.name().to_owned()),
                AddressTerm::Invalid(text) => words.invalid = Some(text.clone()),
            }
        }
        words.prefixes = AddressSet::from_prefixes(prefixes);
        words
    }

    /// A folded name as it was written.
    fn spelt(&self, folded: &str) -> String {
        let tags = self.tags.iter().map(TagName::as_str);
        let mut names = tags.chain(self.groups.iter().map(String::as_str));
        names.find(|name| name.eq_ignore_ascii_case(folded)).unwrap_or(folded).to_owned()
    }

    /// All alternatives.
    fn written(&self) -> Vec<String> {
        let any = self.any.then(|| "*".to_owned());
        let names = self.tags.iter().map(ToString::to_string).chain(self.groups.iter().cloned());
        any.into_iter().chain(self.prefixes.prefixes().iter().map(ToString::to_string)).chain(names).collect()
    }

    /// All names.
    fn shown(&self) -> String {
        let tags = self.tags.iter().map(TagName::as_str);
        tags.chain(self.groups.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
    }
}

/// All alternatives of a side of an answer.
fn written_there(side: &AnsweredSide) -> Vec<String> {
    let any = side.any.then(|| "*".to_owned());
    let prefixes = side.prefixes.iter().map(ToString::to_string);
    any.into_iter().chain(prefixes).chain(side.names.iter().cloned()).collect()
}
