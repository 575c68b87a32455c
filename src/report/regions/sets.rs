//! Sets of addresses in the users' words: networks, subnets, interfaces, service tags, prefixes.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::analyze::end_set::EndSet;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::compile::places::{Owner, PublicOwner};
use crate::model::index::VnetIndex;
use crate::model::network::Network;
use crate::model::prefix::Prefix;
use crate::model::rule::AddressTerm;

/// What sets of addresses are called.
pub(in crate::report) struct SetNames {
    /// For each family its sets with a name, the widest first.
    v4: Vec<Named>,
    v6: Vec<Named>,
    hosts: HashMap<IpAddr, String>,
}

struct Named {
    name: String,
    ranges: Ranges,
    size: u128,
}

/// Addresses of one family as numbers: sorted, with a gap between any two.
type Ranges = Vec<(u128, u128)>;

/// How many parts a named set may lack to be named all the same.
const MOST_EXCEPTIONS: usize = 12;

/// Up to how many addresses a prefix is told host by host, where each of them has a name.
const MOST_HOSTS: u128 = 16;

impl SetNames {
    /// The names that some networks know; the first one's go first.
    pub(in crate::report) fn of(networks: &[&CompiledNetwork]) -> Self {
        let mut sets: Vec<(String, AddressSet)> = vec![("any".to_owned(), AddressSet::all())];
        let mut hosts = HashMap::new();
        for compiled in networks {
            let network = &*compiled.network;
            sets.push(("Internet".to_owned(), EndSet::of_internet(compiled).own));
            for vnet in &network.vnets {
                let space = AddressSet::from_prefixes(vnet.address_space.iter().copied());
                sets.push((vnet.id.name().to_owned(), space));
            }
            for subnet in &network.subnets {
                let prefixes = AddressSet::from_prefixes(subnet.prefixes.iter().copied());
                sets.push((subnet.id.name().to_owned(), prefixes));
            }
            let rules = network.nsgs.iter().flat_map(|nsg| &nsg.rules);
            for term in rules.flat_map(|rule| rule.source.iter().chain(&rule.destination)) {
                if let AddressTerm::Tag(tag) = term
                    && let Some(known) = compiled.tags.get(tag)
                    && !sets.iter().any(|(name, _)| known.name.is(name))
                {
                    let prefixes = AddressSet::from_prefixes(known.prefixes.iter().copied());
                    sets.push((known.name.to_string(), prefixes));
                }
            }
            for address in compiled.places.addresses() {
                if let Some(name) = owner(compiled, network, address) {
                    hosts.entry(address).or_insert(name);
                }
            }
        }
        let named = |ranges: fn(&AddressSet) -> Ranges| {
            let mut named: Vec<Named> = sets
                .iter()
                .map(|(name, set)| (name, ranges(set)))
                .filter(|(_, ranges)| !ranges.is_empty())
                .map(|(name, ranges)| Named { name: name.clone(), size: size(&ranges), ranges })
                .collect();
            named.sort_by_key(|named| Reverse(named.size));
            // Of equal sets the one that was named first stays.
            named.dedup_by(|later, earlier| later.ranges == earlier.ranges);
            named
        };
        Self { v4: named(v4), v6: named(v6), hosts }
    }

    /// A set in words, one for each part of it.
    pub(in crate::report) fn words(&self, set: &AddressSet) -> Vec<String> {
        let mut words = self.parts(&self.v4, v4(set), v4_address);
        for word in self.parts(&self.v6, v6(set), v6_address) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words
    }

    /// Addresses of one family in words, by the named sets that they fill, and the widest of which they lack little.
    fn parts(&self, named: &[Named], mut left: Ranges, address: fn(u128) -> IpAddr) -> Vec<String> {
        let mut words = Vec::new();
        for (place, one) in named.iter().enumerate() {
            let left_size = size(&left);
            if left.is_empty() {
                return words;
            }
            // What is larger by far is lacking more than it has.
            if one.size / 2 > left_size {
                continue;
            }
            let missing = difference(&one.ranges, &left);
            if missing.is_empty() {
                words.push(one.name.clone());
            } else {
                if size(&missing) > one.size / 2 {
                    continue;
                }
                let missing = self.parts(&named[place + 1..], missing, address);
                if missing.len() > MOST_EXCEPTIONS {
                    continue;
                }
                words.push(format!("{} (except {})", one.name, missing.join(", ")));
            }
            left = difference(&left, &one.ranges);
        }
        for (first, last) in left {
            let is_named = |number: u128| self.hosts.contains_key(&address(number));
            if last - first < MOST_HOSTS && (first..=last).all(is_named) {
                words.extend(
                    (first..=last).map(address).map(|host| format!("{} ({host})", self.hosts[&host])),
                );
            } else {
                words.extend(prefixes(address(first), address(last)).map(|prefix| self.prefix(prefix)));
            }
        }
        words
    }

    fn prefix(&self, prefix: Prefix) -> String {
        let address = prefix.network();
        match self.hosts.get(&address) {
            _ if prefix.prefix_len() != prefix.max_prefix_len() => prefix.to_string(),
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }
}

fn v4(set: &AddressSet) -> Ranges {
    set.ranges_v4().into_iter().map(|(first, last)| (first.into(), last.into())).collect()
}

fn v6(set: &AddressSet) -> Ranges {
    set.ranges_v6()
}

fn v4_address(number: u128) -> IpAddr {
    u32::try_from(number)
        .map_or_else(|_| unreachable!("it came of 32 bits"), |number| Ipv4Addr::from(number).into())
}

fn v6_address(number: u128) -> IpAddr {
    Ipv6Addr::from(number).into()
}

/// The addresses from one to another as prefixes.
fn prefixes(first: IpAddr, last: IpAddr) -> impl Iterator<Item = Prefix> {
    let set = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => AddressSet::from_ranges([(first.into(), last.into())], []),
        (IpAddr::V6(first), IpAddr::V6(last)) => AddressSet::from_ranges([], [(first.into(), last.into())]),
        _ => unreachable!("both are of one family"),
    };
    set.prefixes().into_iter()
}

/// How many addresses there are, as far as 128 bits count.
fn size(ranges: &[(u128, u128)]) -> u128 {
    ranges.iter().fold(0, |sum: u128, (first, last)| sum.saturating_add(last - first).saturating_add(1))
}

/// The addresses of the first that are not in the second.
fn difference(one: &[(u128, u128)], other: &[(u128, u128)]) -> Ranges {
    let mut left = Vec::new();
    let mut place = 0;
    for &(mut first, last) in one {
        while place < other.len() && other[place].1 < first {
            place += 1;
        }
        let mut next = place;
        let mut is_covered = false;
        while next < other.len() && other[next].0 <= last {
            if other[next].0 > first {
                left.push((first, other[next].0 - 1));
            }
            if other[next].1 >= last {
                is_covered = true;
                break;
            }
            first = other[next].1 + 1;
            next += 1;
        }
        if !is_covered {
            left.push((first, last));
        }
    }
    left
}

/// Who has an address, by name.
fn owner(compiled: &CompiledNetwork, network: &Network, address: IpAddr) -> Option<String> {
    if let Some((public_ip, owner)) = compiled.places.public(address) {
        return Some(match owner {
            PublicOwner::Nic(nic, _) => format!("public address of {}", network.nic_name(nic)),
            _ => network.public_ip_name(public_ip).to_owned(),
        });
    }
    let in_network = |vnet: VnetIndex| compiled.places.owner(vnet, address);
    let owner = (0..network.vnets.len()).map(VnetIndex::new).find_map(in_network)?;
    match owner {
        Owner::Nic(nic, _) => Some(network.nic_name(nic).to_owned()),
        Owner::LoadBalancer(place) => Some(network.load_balancer_name(place.balancer).to_owned()),
        Owner::PrivateEndpoint(endpoint) => Some(network.private_endpoint_name(endpoint).to_owned()),
        Owner::PrivateLinkService => None,
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn what_is_taken_away_is_gone() {
        let all = [(0, 9), (20, 29)];
        assert_eq!(difference(&all, &[]), all);
        assert_eq!(difference(&all, &[(0, 100)]), []);
        assert_eq!(difference(&all, &[(3, 4), (9, 21), (29, 40)]), [(0, 2), (5, 8), (22, 28)]);
        assert_eq!(difference(&[(5, 5)], &[(0, 4), (6, 9)]), [(5, 5)]);
        assert_eq!(difference(&[(0, u128::MAX)], &[(1, u128::MAX)]), [(0, 0)]);
    }
}
