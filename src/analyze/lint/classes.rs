//! Addresses in classes that no rule of some lists tells apart.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::analyze::regions::bits::Bits;
use crate::compile::address_set::AddressSet;

/// Addresses that no item tells apart.
pub(super) struct Class {
    /// The items that hold them on this side.
    pub(super) items: Bits,
    /// Of the sets that are told apart beside the rules', those that hold them.
    pub(super) marks: Bits,
    /// How many they are, as far as that can be counted.
    pub(super) count: u128,
    /// One of them, and another where there is one. Of those that interfaces have, the first is one.
    first: IpAddr,
    other: Option<IpAddr>,
    /// Some interface that asks the rules has the first.
    is_own: bool,
}

/// The addresses of a family in classes: by the items whose sets hold them, and by the marked sets that do. Those of
/// interfaces come first, as of several packets the first is shown, and the one of 0.0.0.0 or `::` last.
pub(super) fn classes(
    is_v4: bool,
    sets: &[&Arc<AddressSet>],
    marked: &[Arc<AddressSet>],
    own: &[IpAddr],
) -> Vec<Class> {
    // Each set once, the marked ones first, with the items that have it.
    let mut distinct: Vec<&AddressSet> = marked.iter().map(AsRef::as_ref).collect();
    let mut items_of: Vec<Vec<usize>> = vec![Vec::new(); marked.len()];
    let mut known: HashMap<&AddressSet, usize> = HashMap::new();
    for (item, set) in sets.iter().enumerate() {
        let place = *known.entry(set).or_insert_with(|| {
            distinct.push(set);
            items_of.push(Vec::new());
            distinct.len() - 1
        });
        items_of[place].push(item);
    }
    let ranges = |set: &AddressSet| -> Vec<(u128, u128)> {
        match is_v4 {
            true => set.ranges_v4().into_iter().map(|(first, last)| (first.into(), last.into())).collect(),
            false => set.ranges_v6(),
        }
    };
    let last = if is_v4 { u32::MAX.into() } else { u128::MAX };
    let address = |number: u128| match u32::try_from(number) {
        Ok(number) if is_v4 => IpAddr::from(Ipv4Addr::from(number)),
        _ => IpAddr::from(Ipv6Addr::from(number)),
    };

    // Where each set begins and ends, from address to address.
    let mut borders: Vec<(u128, usize)> = vec![];
    for (number, set) in distinct.iter().enumerate() {
        for (first, behind) in ranges(set).into_iter().map(|(first, last)| (first, last.checked_add(1))) {
            borders.push((first, number));
            borders.extend(behind.filter(|behind| *behind <= last).map(|behind| (behind, number)));
        }
    }
    borders.sort_unstable();
    let mut found: Vec<(Bits, Class)> = Vec::new();
    let mut places: HashMap<Bits, usize> = HashMap::new();
    let mut holding = Bits::none(distinct.len());
    let mut close = |holding: &Bits, first: u128, last: u128| {
        let place = *places.entry(holding.clone()).or_insert_with(|| {
            let class = Class {
                items: Bits::none(0),
                marks: Bits::none(0),
                count: 0,
                first: address(first),
                other: None,
                is_own: false,
            };
            found.push((holding.clone(), class));
            found.len() - 1
        });
        let class = &mut found[place].1;
        let count = (last - first).saturating_add(1);
        let (first, last) = (address(first), address(last));
        let own = own.get(own.partition_point(|own| *own < first)).filter(|own| **own <= last);
        if let Some(own) = own.filter(|_| !class.is_own) {
            class.is_own = true;
            let first = std::mem::replace(&mut class.first, *own);
            class.other = if first == *own { class.other } else { Some(first) };
        }
        class.count = class.count.saturating_add(count);
        if class.other.is_none() && last != class.first {
            class.other = Some(last);
        }
    };
    let mut start = 0;
    for (at, number) in borders {
        if at > start {
            close(&holding, start, at - 1);
            start = at;
        }
        holding.toggle(number);
    }
    close(&holding, start, last);
    let classes = found.into_iter().map(|(holding, class)| {
        let items = holding.iter().flat_map(|set| items_of[set].iter().copied());
        let marks = holding.iter().take_while(|set| *set < marked.len());
        Class { items: Bits::of(sets.len(), items), marks: Bits::of(marked.len(), marks), ..class }
    });
    let mut classes: Vec<Class> = classes.collect();
    classes.sort_by_key(|class| (!class.is_own, class.first.is_unspecified()));
    classes
}

/// Two different addresses of two classes.
pub(super) fn ends(source: &Class, destination: &Class) -> Option<(IpAddr, IpAddr)> {
    if source.first != destination.first {
        return Some((source.first, destination.first));
    }
    match (source.other, destination.other) {
        (Some(other), _) => Some((other, destination.first)),
        (None, Some(other)) => Some((source.first, other)),
        (None, None) => None,
    }
}
