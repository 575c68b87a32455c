//! What changes between two states of the service tags: in the tags themselves, and which rules and routes of a network
//! name a tag that changed.

use std::collections::{BTreeMap, BTreeSet};

use super::lint;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::compile::policy::RuleOwner;
use crate::model::index::{NsgIndex, RouteTableIndex};
use crate::model::lint::Check;
use crate::model::routing::RouteDestination;
use crate::model::rule::AddressTerm;
use crate::model::services::AdminAddress;
use crate::model::tag::{ServiceTag, TagCatalog, TagName};
use crate::model::verdict::RulePlace;

/// A tag that holds other addresses in one state than in another, or is in one of them only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TagChange {
    /// Its name, in the newer spelling where both have it.
    pub name: TagName,
    /// Which states have it.
    pub presence: Presence,
    /// Addresses that only the newer state gives it.
    pub gained: AddressSet,
    /// Addresses that only the older state gives it.
    pub lost: AddressSet,
}

/// Which of two states have a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// Both.
    Both,
    /// The newer one alone: what named it before was undetermined.
    NewOnly,
    /// The older one alone: what names it is undetermined from then on.
    OldOnly,
}

/// What of a network names tags.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Naming {
    /// A rule.
    Rule(RulePlace),
    /// A user-defined route, by its table and its position there.
    Route(RouteTableIndex, u32),
}

/// The tags that two states do not have in common, by name.
#[must_use]
pub fn tag_changes(old: &TagCatalog, new: &TagCatalog) -> Vec<TagChange> {
    let addresses = |tag: Option<&ServiceTag>| {
        AddressSet::from_prefixes(tag.into_iter().flat_map(|tag| tag.prefixes.iter().copied()))
    };
    let names: BTreeSet<&TagName> = old.iter().chain(new.iter()).map(|tag| &tag.name).collect();
    let change = |name: &TagName| {
        let [before, after] = [old, new].map(|tags| tags.get(name).map(AsRef::as_ref));
        let presence = match (before, after) {
            (Some(before), Some(after)) if before.prefixes == after.prefixes => return None,
            (Some(_), Some(_)) => Presence::Both,
            (None, _) => Presence::NewOnly,
            (_, None) => Presence::OldOnly,
        };
        let (in_old, in_new) = (addresses(before), addresses(after));
        let (gained, lost) = (in_new.difference(&in_old), in_old.difference(&in_new));
        // Other prefixes can cover the same addresses.
        if presence == Presence::Both && gained.is_empty() && lost.is_empty() {
            return None;
        }
        let name = after.or(before)?.name.clone();
        Some(TagChange { name, presence, gained, lost })
    };
    names.into_iter().filter_map(change).collect()
}

/// The rules and routes of a network that name a tag that changed, with these tags. Admin rules are those in force.
#[must_use]
pub fn concerned(compiled: &CompiledNetwork, changes: &[TagChange]) -> BTreeMap<Naming, BTreeSet<TagName>> {
    let changed: BTreeSet<&TagName> = changes.iter().map(|change| &change.name).collect();
    let mut found: BTreeMap<Naming, BTreeSet<TagName>> = BTreeMap::new();
    let mut name = |naming: Naming, tag: &TagName| {
        if changed.contains(tag) {
            found.entry(naming).or_default().insert(tag.clone());
        }
    };
    let network = &*compiled.network;
    let number = |place: usize| u32::try_from(place).expect("lists hold fewer than 2^32 elements");
    for (position, nsg) in network.nsgs.iter().enumerate() {
        for (place, rule) in nsg.rules.iter().enumerate() {
            let naming = Naming::Rule(RulePlace::Nsg { nsg: NsgIndex::new(position), rule: number(place) });
            for term in rule.source.iter().chain(&rule.destination) {
                if let AddressTerm::Tag(tag) = term {
                    name(naming, tag);
                }
            }
        }
    }
    for policy in &compiled.admin_policies {
        let RuleOwner::Admin(places) = &policy.owner else { continue };
        for place in places {
            let rule = network.admin_rule(*place);
            for address in rule.sources.iter().chain(&rule.destinations) {
                if let AdminAddress::Tag(tag) = address {
                    name(Naming::Rule(RulePlace::Admin(*place)), tag);
                }
            }
        }
    }
    for (position, table) in network.route_tables.iter().enumerate() {
        for (place, route) in table.routes.iter().enumerate() {
            if let RouteDestination::Tag(tag) = &route.destination {
                name(Naming::Route(RouteTableIndex::new(position), number(place)), tag);
            }
        }
    }
    found
}

/// Rules that no packet reaches, or none any more, under one of two states of the tags.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lives {
    /// Those that packets reached under the older state alone, by NSG and position.
    pub died: BTreeSet<(NsgIndex, u32)>,
    /// Those that packets reach under the newer state alone.
    pub revived: BTreeSet<(NsgIndex, u32)>,
}

/// Which rules of a network become shadowed or alive.
#[must_use]
pub fn lives(old: &CompiledNetwork, new: &CompiledNetwork) -> Lives {
    let is_dead = |check| matches!(check, Check::Shadowed | Check::ShadowedOpposite | Check::MatchesNothing);
    let [before, after] = [old, new].map(|compiled| -> BTreeSet<(NsgIndex, u32)> {
        let found = lint::found(compiled, is_dead).into_iter();
        found.filter_map(|found| Some((found.nsg, found.rule?))).collect()
    });
    Lives {
        died: after.difference(&before).copied().collect(),
        revived: before.difference(&after).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Presence, tag_changes};
    use crate::model::prefix::read_prefix;
    use crate::model::tag::{ServiceTag, TagCatalog, TagName};

    fn catalog(tags: &[(&str, &[&str])]) -> TagCatalog {
        let tag = |(name, prefixes): &(&str, &[&str])| ServiceTag {
            name: TagName::new(name),
            region: String::new(),
            system_service: String::new(),
            prefixes: prefixes.iter().map(|text| read_prefix(text).unwrap().prefix).collect(),
        };
        let mut catalog = TagCatalog::default();
        for one in tags {
            assert!(catalog.insert(tag(one)).is_none(), "each tag once");
        }
        catalog
    }

    #[test]
    fn a_tag_changes_by_its_addresses_not_by_how_they_are_written() {
        let old = catalog(&[
            ("Gone", &["203.0.113.0/24"]),
            ("Same", &["198.51.100.0/24"]),
            ("Storage", &["192.0.2.0/25", "2001:db8::/32"]),
        ]);
        let new = catalog(&[
            ("Came", &["203.0.113.0/24"]),
            ("SAME", &["198.51.100.0/25", "198.51.100.128/25"]),
            ("storage", &["192.0.2.64/26", "192.0.2.128/25"]),
        ]);
        let texts = |set: &crate::compile::address_set::AddressSet| -> Vec<String> {
            set.prefixes().iter().map(ToString::to_string).collect()
        };
        let changes: Vec<_> = tag_changes(&old, &new)
            .iter()
            .map(|one| (one.name.to_string(), one.presence, texts(&one.gained), texts(&one.lost)))
            .collect();
        let list = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        assert_eq!(
            changes,
            [
                ("Came".to_owned(), Presence::NewOnly, list(&["203.0.113.0/24"]), list(&[])),
                ("Gone".to_owned(), Presence::OldOnly, list(&[]), list(&["203.0.113.0/24"])),
                (
                    "storage".to_owned(),
                    Presence::Both,
                    list(&["192.0.2.128/25"]),
                    list(&["192.0.2.0/26", "2001:db8::/32"])
                ),
            ]
        );
    }
}
