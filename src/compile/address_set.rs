//! Sets of addresses, and the algebra on them.

use std::fmt;
use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use iprange::IpRange;

use crate::model::prefix::Prefix;

/// A set of IPv4 and IPv6 addresses.
///
/// INVARIANT: each list is sorted, its prefixes are disjoint and no two of them could be written as one. Equal
/// sets therefore have equal lists, and equality and hashing are those of the addresses meant.
///
/// `iprange` does the algebra; what is kept is its result as a list, because its trie takes 32 bytes a bit of a
/// lone prefix, and an estate holds hundreds of thousands of small sets.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct AddressSet {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl AddressSet {
    /// No address.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every address of both families: `*` (NSG-12).
    #[must_use]
    pub fn all() -> Self {
        Self { v4: vec![Ipv4Net::default()], v6: vec![Ipv6Net::default()] }
    }

    /// The addresses that any of the prefixes covers. Host bits are masked.
    #[must_use]
    pub fn from_prefixes(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix.trunc() {
                Prefix::V4(net) => v4.push(net),
                Prefix::V6(net) => v6.push(net),
            }
        }
        Self { v4: minimal(v4), v6: minimal(v6) }
    }

    /// The addresses from the first to the second of any pair, both included; pairs out of order hold none.
    #[must_use]
    pub fn from_ranges(
        v4: impl IntoIterator<Item = (u32, u32)>,
        v6: impl IntoIterator<Item = (u128, u128)>,
    ) -> Self {
        let v4 = v4.into_iter().filter(|(first, last)| first <= last);
        let v6 = v6.into_iter().filter(|(first, last)| first <= last);
        Self {
            v4: minimal(
                v4.flat_map(|(first, last)| Ipv4Subnets::new(first.into(), last.into(), 0)).collect(),
            ),
            v6: minimal(
                v6.flat_map(|(first, last)| Ipv6Subnets::new(first.into(), last.into(), 0)).collect(),
            ),
        }
    }

    /// Adds the addresses of one prefix.
    ///
    /// The whole list is built anew: who has many prefixes calls [`AddressSet::from_prefixes`] once.
    pub fn insert(&mut self, prefix: Prefix) {
        *self = self.union(&Self::from_prefixes([prefix]));
    }

    /// The addresses of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: minimal([&self.v4[..], &other.v4].concat()),
            v6: minimal([&self.v6[..], &other.v6].concat()),
        }
    }

    /// The addresses of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: listed(&trie(&self.v4).intersect(&trie(&other.v4))),
            v6: listed(&trie(&self.v6).intersect(&trie(&other.v6))),
        }
    }

    /// The addresses that are not the other's.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            v4: listed(&trie(&self.v4).exclude(&trie(&other.v4))),
            v6: listed(&trie(&self.v6).exclude(&trie(&other.v6))),
        }
    }

    /// Those of one family: of IPv4, or of IPv6.
    #[must_use]
    pub fn of_family(&self, v4: bool) -> Self {
        match v4 {
            true => Self { v4: self.v4.clone(), v6: Vec::new() },
            false => Self { v4: Vec::new(), v6: self.v6.clone() },
        }
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let behind = self.v4.partition_point(|net| net.network() <= address);
                behind > 0 && self.v4[behind - 1].contains(&address)
            }
            IpAddr::V6(address) => {
                let behind = self.v6.partition_point(|net| net.network() <= address);
                behind > 0 && self.v6[behind - 1].contains(&address)
            }
        }
    }

    /// Whether there is no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The fewest prefixes that cover just these addresses, sorted, IPv4 first.
    #[must_use]
    pub fn prefixes(&self) -> Vec<Prefix> {
        let v4 = self.v4.iter().copied().map(Prefix::V4);
        v4.chain(self.v6.iter().copied().map(Prefix::V6)).collect()
    }

    /// The IPv4 addresses as ranges, both ends included, sorted, with a gap between any two.
    #[must_use]
    pub fn ranges_v4(&self) -> Vec<(u32, u32)> {
        joined(self.v4.iter().map(|net| (net.network().into(), net.broadcast().into())))
    }

    /// The IPv6 addresses as ranges, both ends included, sorted, with a gap between any two.
    #[must_use]
    pub fn ranges_v6(&self) -> Vec<(u128, u128)> {
        joined(self.v6.iter().map(|net| (net.network().into(), net.broadcast().into())))
    }
}

impl FromIterator<Prefix> for AddressSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        Self::from_prefixes(prefixes)
    }
}

impl fmt::Debug for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.prefixes().iter().map(Prefix::to_string)).finish()
    }
}

/// The list that stands for the same addresses under the invariant.
fn minimal<N: iprange::IpNet>(nets: Vec<N>) -> Vec<N> {
    if nets.len() < 2 { nets } else { listed(&trie(&nets)) }
}

fn trie<N: iprange::IpNet>(nets: &[N]) -> IpRange<N> {
    nets.iter().copied().collect()
}

fn listed<N: iprange::IpNet>(range: &IpRange<N>) -> Vec<N> {
    let mut nets: Vec<N> = range.iter().collect();
    nets.sort_unstable();
    nets
}

/// Joins ranges that touch. They come sorted and disjoint.
fn joined<A: Number>(ranges: impl Iterator<Item = (A, A)>) -> Vec<(A, A)> {
    let mut joined: Vec<(A, A)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(open) if open.1.successor() == Some(first) => open.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub(super) trait Number: Copy + fmt::Debug + Ord {
    /// How many bits an address has.
    const BITS: u32;
    /// The lowest address.
    const FIRST: Self;
    /// The highest address.
    const LAST: Self;

    /// The next address, unless this is the last.
    fn successor(self) -> Option<Self>;

    /// The address before. There must be one.
    fn predecessor(self) -> Self;

    /// The address less all but its bits from `shift` up.
    fn slot(self, shift: u32) -> usize;

    /// The first address of slot number `slot` of the block that starts at `self`, for slots of `shift` bits.
    fn slot_first(self, slot: usize, shift: u32) -> Self;

    /// The last address of the slot of `shift` bits that starts at `self`.
    fn slot_last(self, shift: u32) -> Self;
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const BITS: u32 = <$type>::BITS;
            const FIRST: Self = 0;
            const LAST: Self = <$type>::MAX;

            fn successor(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn predecessor(self) -> Self {
                self - 1
            }

            #[inline]
            fn slot(self, shift: u32) -> usize {
                (self >> shift) as usize
            }

            fn slot_first(self, slot: usize, shift: u32) -> Self {
                self | ((slot as $type) << shift)
            }

            fn slot_last(self, shift: u32) -> Self {
                self | ((1 << shift) - 1)
            }
        }
    };
}

number!(u32);
number!(u128);

#[cfg(test)]
mod tests {
    use super::AddressSet;
    use crate::model::prefix::{Prefix, read_prefix};

    fn set(texts: &[&str]) -> AddressSet {
        texts.iter().map(|text| prefix(text)).collect()
    }

    fn prefix(text: &str) -> Prefix {
        read_prefix(text).unwrap().prefix
    }

    #[test]
    fn prefixes_that_fill_a_larger_one_become_it() {
        let halves = set(&["10.0.0.128/25", "10.0.0.0/25", "10.0.1.0/24", "10.0.0.7"]);
        assert_eq!(halves.prefixes(), [prefix("10.0.0.0/23")]);
        assert_eq!(halves, set(&["10.0.0.0/23"]));
    }

    #[test]
    fn ranges_that_touch_are_one_though_no_prefix_covers_them() {
        let touching = set(&["10.0.0.1", "10.0.0.2", "fd00::/16", "fd01::/16", "fd02::/16"]);
        assert_eq!(touching.ranges_v4(), [(0x0a00_0001, 0x0a00_0002)]);
        assert_eq!(touching.ranges_v6(), [(0xfd00 << 112, (0xfd03 << 112) - 1)]);
        assert_eq!(AddressSet::from_ranges(touching.ranges_v4(), touching.ranges_v6()), touching);
    }

    #[test]
    fn any_is_both_families() {
        assert_eq!(AddressSet::all(), set(&["0.0.0.0/0", "::/0"]));
        assert_eq!(AddressSet::all().ranges_v4(), [(0, u32::MAX)]);
        assert_eq!(AddressSet::all().ranges_v6(), [(0, u128::MAX)]);
        assert!(AddressSet::all().difference(&AddressSet::all()).is_empty());
    }

    #[test]
    fn what_is_taken_out_splits_what_stays() {
        let rest = set(&["10.0.0.0/30"]).difference(&set(&["10.0.0.2"]));
        assert_eq!(rest, set(&["10.0.0.0/31", "10.0.0.3"]));
        assert!(rest.contains("10.0.0.3".parse().unwrap()) && !rest.contains("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn inserting_adds_one_prefix() {
        let mut grown = set(&["10.0.0.0/25"]);
        grown.insert(prefix("10.0.0.128/25"));
        grown.insert(prefix("::/0"));
        assert_eq!(grown, set(&["10.0.0.0/24", "::/0"]));
    }

    #[test]
    fn a_set_shows_its_fewest_prefixes() {
        let shown = format!("{:?}", set(&["10.0.0.128/25", "10.0.0.0/25", "fd00::/16"]));
        assert_eq!(shown, r#"{"10.0.0.0/24", "fd00::/16"}"#);
    }
}
