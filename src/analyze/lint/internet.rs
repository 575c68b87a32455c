//! Inbound rules that let more in from the internet than a service needs.
//!
//! A rule counts if it allows, if what it names as sources apart from service tags of the file holds at least 2^24 IPv4
//! addresses of `Internet` or 2^112 IPv6 ones, and if it is the rule that decides about packets from at least as many of
//! them: to a port by which machines are managed, or to every port. What other filters say does not count: whoever opens
//! those relies on this one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::cut::{Cut, Place};
use crate::analyze::regions::bits::Bits;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::model::flow::{FiveTuple, Port};
use crate::model::nsg::Nsg;
use crate::model::prefix::PortRange;
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, Protocol, Rule};
use crate::model::tag::TagName;

/// SSH, the remote desktop, and remote management of Windows.
pub(super) const MANAGEMENT: [u16; 4] = [22, 3389, 5985, 5986];

/// How many addresses are a part of the internet and not somebody's own: as many as a /8 has, and a /16 of IPv6.
const MANY: [u128; 2] = [1 << 24, 1 << 112];

/// What a rule lets in.
#[derive(Default)]
pub(super) struct LetsIn {
    /// The ports of [`MANAGEMENT`] among it, and a packet.
    pub(super) management: Option<(BTreeSet<u16>, FiveTuple)>,
    /// A packet, where it lets in every port of a protocol.
    pub(super) all_ports: Option<FiveTuple>,
}

/// The rules whose sources are wide, with what they hold of the internet.
pub(super) fn wide_rules(compiled: &CompiledNetwork, nsg: &Nsg) -> Vec<(u32, Arc<AddressSet>)> {
    let allowing = (0..).zip(&nsg.rules).filter(|(_, rule)| {
        !rule.is_default && rule.direction == Direction::Inbound && rule.access == Access::Allow
    });
    let wide = allowing.filter_map(|(position, rule)| {
        let held = internet_in(compiled, rule);
        let counts = [of_family(&held, true), of_family(&held, false)];
        let is_wide = counts.iter().zip(MANY).any(|(count, many)| *count >= many);
        is_wide.then(|| (position, Arc::new(held)))
    });
    wide.collect()
}

/// What the sources of a rule hold of `Internet`, apart from service tags of the file.
fn internet_in(compiled: &CompiledNetwork, rule: &Rule) -> AddressSet {
    let mut prefixes = Vec::new();
    for term in &rule.source {
        match term {
            AddressTerm::Any => return compiled.internet.clone(),
            AddressTerm::Tag(tag) if tag.is(TagName::INTERNET) => return compiled.internet.clone(),
            AddressTerm::Prefix(prefix) => prefixes.push(*prefix),
            AddressTerm::Tag(_) | AddressTerm::Asg(_) | AddressTerm::Invalid(_) => {}
        }
    }
    // PERF: few lists hold as much as is looked for.
    let held = AddressSet::from_prefixes(prefixes);
    if [true, false].iter().zip(MANY).all(|(is_v4, many)| of_family(&held, *is_v4) < many) {
        return AddressSet::empty();
    }
    held.intersection(&compiled.internet)
}

/// How many addresses a set holds of a family.
fn of_family(set: &AddressSet, is_v4: bool) -> u128 {
    match is_v4 {
        true => set.ranges_v4().iter().map(|(first, last)| u128::from(last - first) + 1).sum(),
        false => set
            .ranges_v6()
            .iter()
            .fold(0, |sum: u128, (first, last)| sum.saturating_add((last - first).saturating_add(1))),
    }
}

/// The ports that a cut for [`lets_in`] has to tell apart.
pub(super) fn told_apart() -> Vec<PortRange> {
    MANAGEMENT.iter().filter_map(|port| PortRange::new(*port, *port)).collect()
}

/// What wide rules let in, by position. The cut marks what each of them holds of the internet, in order.
pub(super) fn lets_in(cut: &Cut, nsg: &Nsg, wide: &[u32]) -> BTreeMap<u32, LetsIn> {
    /// What was seen of a rule and a family: for each port, and for all, how many sources, and a packet.
    type Seen = BTreeMap<(u32, usize, Option<u16>), (u128, FiveTuple)>;
    let wanted: BTreeMap<Option<u16>, Bits> = std::iter::once(None)
        .chain(MANAGEMENT.map(Some))
        .map(|port| {
            let services = cut.services.which(|protocol, _, destination| match port {
                Some(port) => {
                    let is_usual = protocol == Protocol::TCP || (protocol, port) == (Protocol::UDP, 3389);
                    is_usual && destination == Port::Number(port)
                }
                None => protocol.has_ports(),
            });
            (port, services)
        })
        .collect();
    let is_any = |rule: u32| {
        let ports = &nsg.rules[rule as usize].destination_ports;
        ports.contains(&PortTerm::Range(PortRange::ALL))
    };
    let mut seen = Seen::new();
    for (family, classes) in cut.families.iter().enumerate() {
        for (source, class) in classes.sources.iter().enumerate() {
            if class.marks.is_empty() {
                continue;
            }
            let mut of_class: BTreeMap<(u32, Option<u16>), FiveTuple> = BTreeMap::new();
            let mut rows: HashMap<Bits, (), FixedState> = HashMap::default();
            for destination in 0..classes.destinations.len() {
                let place = Place { family, source, destination };
                let Some(row) = cut.row(place) else { continue };
                if rows.contains_key(&row) {
                    continue;
                }
                for reading in cut.readings(&row) {
                    cut.fold(&reading, 0, cut.all_services(), |item, services| {
                        let Some(rule) = cut.items[item].rule else { return };
                        let Some(mark) = wide.iter().position(|wide| *wide == rule) else { return };
                        if !class.marks.contains(mark) {
                            return;
                        }
                        for (port, wanted) in &wanted {
                            let hit = services.and(wanted);
                            if hit.is_empty() || (port.is_none() && !is_any(rule)) {
                                continue;
                            }
                            of_class.entry((rule, *port)).or_insert_with(|| cut.packet(place, &hit));
                        }
                    });
                }
                rows.insert(row, ());
            }
            for ((rule, port), packet) in of_class {
                let counted = seen.entry((rule, family, port)).or_insert((0, packet));
                counted.0 = counted.0.saturating_add(class.count);
            }
        }
    }
    let mut found: BTreeMap<u32, LetsIn> = BTreeMap::new();
    for ((rule, family, port), (count, packet)) in seen {
        if count < MANY[family] {
            continue;
        }
        let lets_in = found.entry(rule).or_default();
        match port {
            Some(port) => {
                lets_in.management.get_or_insert_with(|| (BTreeSet::new(), packet)).0.insert(port);
            }
            None => {
                lets_in.all_ports.get_or_insert(packet);
            }
        }
    }
    found
}
