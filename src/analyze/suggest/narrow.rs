//! One field of a rule, narrowed to what was seen of it.

use std::collections::BTreeSet;

use super::{Options, Why};
use crate::analyze::usage::{RuleKey, SideUse};
use crate::compile::address_set::AddressSet;
use crate::compile::field::AddressField;
use crate::compile::network::CompiledNetwork;
use crate::compile::resolve::Clause;
use crate::model::index::{NicIndex, NsgIndex, Reference, SubnetIndex};
use crate::model::prefix::{PortRange, Prefix, host};
use crate::model::rule::{AddressTerm, PortTerm};
use crate::model::tag::TagName;

/// How many prefixes take the place of one term at most.
pub const MOST_PREFIXES: usize = 32;

/// How many ranges of ports take the place of a field's.
pub const MOST_RANGES: usize = 16;

/// What became of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Narrowed<T> {
    /// Its terms.
    pub terms: Vec<T>,
    /// Why something in it stayed wider than what was seen.
    pub kept: Option<Why>,
}

impl<T: Clone + PartialEq> Narrowed<T> {
    fn whole(terms: &[T], why: Why) -> Self {
        Self { terms: terms.to_vec(), kept: Some(why) }
    }

    /// The terms, where they are others than those that were there.
    pub(super) fn changed(&self, before: &[T]) -> Option<Vec<T>> {
        (self.terms != before).then(|| self.terms.clone())
    }
}

/// Which side of a rule is narrowed.
pub(super) struct Field<'a> {
    pub compiled: &'a CompiledNetwork,
    pub key: RuleKey,
    pub terms: &'a [AddressTerm],
    pub seen: &'a SideUse,
    /// Of a clause of the rule.
    pub side: Side,
    /// It is the side of whoever asks the rule.
    pub is_near: bool,
}

/// A side of a clause.
pub(super) type Side = fn(&Clause) -> &AddressField;

impl Field<'_> {
    /// Terms that nobody needed are dropped.
    pub(super) fn dropped(&self) -> Vec<AddressTerm> {
        let terms = self.terms.iter().zip(&self.seen.terms);
        terms.filter(|(_, of)| !of.is_unused()).map(|(term, _)| term.clone()).collect()
    }

    /// Terms that nobody needed are dropped, wide ones make way for what was seen within them.
    pub(super) fn narrowed(&self, options: Options) -> Narrowed<AddressTerm> {
        if self.seen.addresses_unknown > 0 {
            return Narrowed::whole(self.terms, Why::Unknown);
        }
        let used = self.dropped();
        let alone = used.len() == 1;
        let (mut terms, mut kept) = (Vec::new(), None);
        for term in used {
            match self.cover(&term, alone, options) {
                Ok(cover) => cover.into_iter().for_each(|term| push_once(&mut terms, term)),
                Err(why) => {
                    kept = kept.or(why);
                    push_once(&mut terms, term);
                }
            }
        }
        Narrowed { terms, kept }
    }

    /// What takes the place of a term. Fails where it stays, with a reason where something narrower was to be had.
    fn cover(
        &self,
        term: &AddressTerm,
        alone: bool,
        options: Options,
    ) -> Result<Vec<AddressTerm>, Option<Why>> {
        let within = match term {
            AddressTerm::Prefix(prefix) => {
                let narrow = match (options.hosts, prefix.addr().is_ipv4()) {
                    (true, _) => prefix.max_prefix_len(),
                    (false, true) => 24,
                    (false, false) => 64,
                };
                if prefix.prefix_len() >= narrow {
                    return Err(None);
                }
                Some(*prefix)
            }
            // Which of several terms an address came by is told of prefixes alone.
            AddressTerm::Any | AddressTerm::Tag(_) if alone => None,
            AddressTerm::Any | AddressTerm::Tag(_) | AddressTerm::Asg(_) | AddressTerm::Invalid(_) => {
                return Err(None);
            }
        };
        if matches!(term, AddressTerm::Tag(tag) if tag.is(TagName::AZURE_LOAD_BALANCER)) {
            return Err(None);
        }
        let fits = |prefix: &Prefix| within.is_none_or(|within| within.contains(prefix));
        let addresses = &self.seen.addresses;
        let hosts = addresses.flows.keys().map(|address| host(*address)).filter(|prefix| fits(prefix));
        let hosts: Vec<Prefix> = hosts.collect();
        if options.hosts {
            if !addresses.is_whole() || hosts.len() > MOST_PREFIXES {
                return Err(Some(Why::TooMany));
            }
            return self.checked(hosts.into_iter().map(AddressTerm::Prefix).collect());
        }
        if self.is_near && *term == AddressTerm::Any && self.asks_everywhere() {
            return Err(None);
        }
        if alone && let Some(tag) = self.tag(term, &hosts) {
            return Ok(vec![AddressTerm::Tag(tag)]);
        }
        // The addresses of a service change: blocks of them say less of tomorrow than its name does.
        if matches!(term, AddressTerm::Tag(tag) if !tag.is_computed()) {
            return Err(None);
        }
        let overlaps =
            |block: &Prefix| within.is_none_or(|within| within.contains(block) || block.contains(&within));
        let blocks: BTreeSet<Prefix> =
            self.seen.blocks.flows.keys().map(|block| block.prefix).filter(overlaps).collect();
        if !self.seen.blocks.is_whole() || blocks.len() > MOST_PREFIXES {
            return Err(Some(Why::TooMany));
        }
        if !blocks.iter().all(fits) || blocks.iter().any(|block| Some(*block) == within) {
            return Err(None);
        }
        self.checked(blocks.into_iter().map(AddressTerm::Prefix).collect())
    }

    /// Prefixes, where the rule holds them all wherever it stands: a tag may be less than it seems.
    fn checked(&self, terms: Vec<AddressTerm>) -> Result<Vec<AddressTerm>, Option<Why>> {
        let prefixes = terms.iter().filter_map(|term| match term {
            AddressTerm::Prefix(prefix) => Some(*prefix),
            _ => None,
        });
        let is_held = self.holds(&AddressSet::from_prefixes(prefixes));
        match (terms.is_empty(), is_held) {
            (true, _) => Err(Some(Why::Unknown)),
            (false, false) => Err(Some(Why::Straddles)),
            (false, true) => Ok(terms),
        }
    }

    /// Whether flows were seen at every subnet that asks the rule: to name those subnets as its own side takes nothing away.
    fn asks_everywhere(&self) -> bool {
        let network = &self.compiled.network;
        let asks = |nsg: &Option<Reference<NsgIndex>>| *nsg == Some(Reference::Here(self.key.0));
        let subnets = (0..network.subnets.len()).map(SubnetIndex::new);
        let by_subnet = subnets.filter(|subnet| asks(&network.subnets[subnet.get()].nsg));
        let nics = (0..network.nics.len()).map(NicIndex::new);
        let by_nic = nics.filter(|nic| asks(&network.nics[nic.get()].nsg));
        let by_nic = by_nic.filter_map(|nic| network.subnet_of(nic));
        let seen: BTreeSet<SubnetIndex> =
            self.seen.blocks.flows.keys().filter_map(|block| block.subnet).collect();
        by_subnet.chain(by_nic).all(|subnet| seen.contains(&subnet))
    }

    /// Whether the field holds all of a set, at every interface that asks the rule.
    fn holds(&self, set: &AddressSet) -> bool {
        self.fields().all(|field| set.difference(&field).is_empty())
    }

    /// What the field holds for certain, for each of the surroundings that the rule stands in.
    fn fields(&self) -> impl Iterator<Item = AddressSet> {
        let (nsg, position) = self.key;
        let policies = self.compiled.policies.iter().filter(move |policy| policy.nsg() == nsg);
        let rules = policies.flat_map(|policy| &policy.rules);
        rules.filter(move |rule| rule.position == position).map(|rule| {
            let fields = rule.clauses.iter().map(self.side);
            fields.fold(AddressSet::empty(), |all, field| all.union(&field.known))
        })
    }

    /// The smallest tag that holds every address that was seen, where none is in a subnet and the tag is less than what is
    /// there; in place of a service's tag one of the same service. `AzureCloud` is all services.
    fn tag(&self, term: &AddressTerm, hosts: &[Prefix]) -> Option<TagName> {
        let service = |name: &TagName| name.folded().split('.').next().unwrap_or_default().to_owned();
        let only = match term {
            AddressTerm::Tag(tag) if !tag.is_computed() => {
                Some(service(tag)).filter(|service| service != "azurecloud")
            }
            _ => None,
        };

        let outside = self.seen.blocks.flows.keys().all(|block| block.subnet.is_none());
        if !outside || !self.seen.addresses.is_whole() || hosts.is_empty() {
            return None;
        }
        let seen = AddressSet::from_prefixes(hosts.iter().copied());
        let size = |set: &AddressSet| -> u128 {
            let v4 =
                set.ranges_v4().into_iter().map(|(first, last)| u128::from(last - first) + 1).sum::<u128>();
            // Blocks of IPv6 count by their networks.
            let v6 =
                set.ranges_v6().into_iter().map(|(first, last)| ((last - first) >> 64) + 1).sum::<u128>();
            v4 + v6
        };
        let of_service = |name: &&TagName| only.as_ref().is_none_or(|only| service(name) == *only);
        let named = self.seen.tags.keys().filter(of_service).filter_map(|name| self.compiled.tags.get(name));
        let sets = named.map(|tag| (AddressSet::from_prefixes(tag.prefixes.iter().copied()), &tag.name));
        let fitting = sets.filter(|(set, _)| {
            let is_less = |field: AddressSet| !field.difference(set).is_empty();
            seen.difference(set).is_empty() && self.holds(set) && self.fields().all(is_less)
        });
        fitting.min_by_key(|(set, name)| (size(set), (*name).clone())).map(|(_, name)| name.clone())
    }
}

/// Ports that nobody needed are dropped; where `tightly`, wide ranges make way for the ports that were seen within them.
pub(super) fn ports(terms: &[PortTerm], seen: &SideUse, tightly: bool) -> Narrowed<PortTerm> {
    let used: Vec<PortTerm> = terms
        .iter()
        .zip(&seen.port_terms)
        .filter(|(_, of)| !of.is_unused())
        .map(|(term, _)| term.clone())
        .collect();
    let is_wide = |term: &PortTerm| matches!(term, PortTerm::Range(range) if range.first() != range.last());
    if !tightly || !used.iter().any(is_wide) {
        return Narrowed { terms: used, kept: None };
    }
    // Packets without ports pass all ports together, and no fewer (NSG-10).
    if seen.portless > 0 {
        let why = if seen.ports.flows.is_empty() { None } else { Some(Why::Portless) };
        return Narrowed { terms: terms.to_vec(), kept: why };
    }
    if !seen.ports.is_whole() {
        return Narrowed { terms: used, kept: Some(Why::TooMany) };
    }
    let holds =
        |port: u16| used.iter().any(|term| matches!(term, PortTerm::Range(range) if range.contains(port)));
    let ranges = joined(seen.ports.flows.keys().copied().filter(|port| holds(*port)));
    if ranges.is_empty() || ranges.len() > MOST_RANGES {
        return Narrowed { terms: used, kept: Some(Why::TooMany) };
    }
    let terms: Vec<PortTerm> = ranges.into_iter().map(PortTerm::Range).collect();
    // The same ports in other words are no change.
    if covered(&terms) == covered(&used) {
        return Narrowed { terms: used, kept: None };
    }
    Narrowed { terms, kept: None }
}

fn push_once(terms: &mut Vec<AddressTerm>, term: AddressTerm) {
    if !terms.contains(&term) {
        terms.push(term);
    }
}

/// Neighbours become one range.
fn joined(ports: impl Iterator<Item = u16>) -> Vec<PortRange> {
    let mut ranges: Vec<PortRange> = Vec::new();
    for port in ports {
        let begun = ranges.last().filter(|range| range.last().checked_add(1) == Some(port));
        let first = begun.map_or(port, |range| range.first());
        if begun.is_some() {
            ranges.pop();
        }
        ranges.extend(PortRange::new(first, port));
    }
    ranges
}

fn covered(terms: &[PortTerm]) -> Vec<PortRange> {
    let mut ranges: Vec<PortRange> = Vec::new();
    let mut sorted: Vec<PortRange> = terms
        .iter()
        .filter_map(|term| match term {
            PortTerm::Range(range) => Some(*range),
            PortTerm::Invalid(_) => None,
        })
        .collect();
    sorted.sort();
    for range in sorted {
        match ranges.last_mut() {
            Some(last) if u32::from(range.first()) <= u32::from(last.last()) + 1 => {
                let end = last.last().max(range.last());
                *last = PortRange::new(last.first(), end).unwrap_or(*last);
            }
            _ => ranges.push(range),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn neighbouring_ports_become_ranges() {
        let ranges = |ports: &[u16]| -> Vec<String> {
            joined(ports.iter().copied()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(ranges(&[22, 80, 81, 82, 443, 65534, 65535]), ["22", "80-82", "443", "65534-65535"]);
        assert_eq!(ranges(&[0, 1]), ["0-1"]);
        assert!(ranges(&[]).is_empty());
    }
}
