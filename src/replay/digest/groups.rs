//! Flows by their hour, or by what lies at their ends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::zones::{Zone, ZoneFinder};
use super::{ByVerdict, Volume};
use crate::compile::network::CompiledNetwork;
use crate::compile::resolve::fixed_tag;
use crate::model::index::{NicIndex, VnetIndex};
use crate::model::prefix::{Prefix, host};
use crate::model::rule::Direction;
use crate::model::tag::{TagCatalog, TagName};
use crate::replay::conversations::Conversation;

/// An hour in nanoseconds.
pub const HOUR_NS: u64 = 3_600_000_000_000;

/// How many subnets are told apart: beyond them their networks are.
const MOST_SUBNETS: usize = 1 << 16;

/// How many addresses' tags are remembered: more are found anew.
const MOST_REMEMBERED: usize = 1 << 16;

/// What flows are told apart by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grouping {
    /// The hour in which they began.
    Hour,
    /// The interfaces at their ends.
    Nic,
    /// The subnets at their ends, or what else lies there.
    Subnet,
    /// Both ends together, by their subnets.
    Pair,
    /// The service tags that hold the addresses of their ends.
    Tag,
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Way {
    /// Its source.
    From,
    /// Its destination.
    To,
}

/// Flows that are counted together.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Group {
    /// Those that began in an hour, in hours since 1970-01-01T00Z; `None` for those of which no time is known.
    Hour(Option<u64>),
    /// Those from an interface, or to it.
    Nic(Way, NicIndex),
    /// Those with no interface that the network lists at either end.
    NoNic,
    /// Those from a zone, or to it.
    Zone(Way, Zone),
    /// Those from one zone to another.
    Pair(Zone, Zone),
    /// Those from addresses that a tag holds, or to them.
    Tag(Way, TagName),
    /// Those with no address that a tag holds at either end.
    NoTag,
}

/// Flows by groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Groups {
    /// What they are told apart by.
    pub grouping: Grouping,
    /// In order. A flow is in each group that one of its ends is in.
    pub groups: BTreeMap<Group, ByVerdict>,
}

/// Counts flows by groups.
pub struct Grouper {
    grouping: Grouping,
    catalog: Arc<TagCatalog>,
    finder: ZoneFinder,
    /// Made when it is first asked.
    tags: Option<TagFinder>,
    groups: BTreeMap<Group, ByVerdict>,
}

impl Grouper {
    /// A grouper that has seen nothing yet; where addresses are looked for in one virtual network alone, in that.
    #[must_use]
    pub fn new(grouping: Grouping, compiled: Arc<CompiledNetwork>, only: Option<VnetIndex>) -> Self {
        let catalog = Arc::clone(&compiled.tags);
        let finder = ZoneFinder::new(compiled, only).telling_apart(MOST_SUBNETS);
        Self { grouping, catalog, finder, tags: None, groups: BTreeMap::new() }
    }

    /// Counts a flow.
    pub fn add(&mut self, flow: &Conversation) {
        let (kind, volume) = (flow.verdict.kind(), Volume::of(flow));
        for group in self.groups_of(flow) {
            self.groups.entry(group).or_default().add(kind, &volume);
        }
    }

    /// The groups that a flow is part of; one at least.
    fn groups_of(&mut self, flow: &Conversation) -> Vec<Group> {
        let (source, destination) = (flow.tuple.source, flow.tuple.destination);
        let or = |groups: Vec<Group>, none| if groups.is_empty() { vec![none] } else { groups };
        match self.grouping {
            Grouping::Hour => {
                // 0 stands for a time that nobody knows.
                vec![Group::Hour((flow.first_ns != 0).then_some(flow.first_ns / HOUR_NS))]
            }
            Grouping::Nic => or(self.nics(flow), Group::NoNic),
            Grouping::Subnet => {
                let (from, to) = self.finder.zones(source, destination);
                vec![Group::Zone(Way::From, from), Group::Zone(Way::To, to)]
            }
            Grouping::Pair => {
                let (from, to) = self.finder.zones(source, destination);
                vec![Group::Pair(from, to)]
            }
            Grouping::Tag => {
                let tags = self.tags.get_or_insert_with(|| TagFinder::new(&self.catalog));
                let mut groups = Vec::new();
                for (way, address) in [(Way::From, source), (Way::To, destination)] {
                    groups.extend(tags.of(address).iter().map(|tag| Group::Tag(way, tag.clone())));
                }
                or(groups, Group::NoTag)
            }
        }
    }

    /// The interfaces at a flow's ends. An interface that logged it tells of itself alone: the one at the other end has a
    /// log of its own.
    fn nics(&mut self, flow: &Conversation) -> Vec<Group> {
        if let Some((interface, direction)) = flow.at {
            let way = if direction == Direction::Inbound { Way::To } else { Way::From };
            return interface.nic().map(|nic| Group::Nic(way, nic)).into_iter().collect();
        }
        let (from, to) = self.finder.ends(flow.tuple.source, flow.tuple.destination);
        let ends = [(Way::From, from), (Way::To, to)];
        ends.into_iter().filter_map(|(way, end)| Some(Group::Nic(way, end.nic?))).collect()
    }

    /// What was counted.
    #[must_use]
    pub fn finish(self) -> Groups {
        Groups { grouping: self.grouping, groups: self.groups }
    }
}

/// Finds the service tags that hold addresses.
pub struct TagFinder {
    /// By their prefixes.
    holders: HashMap<Prefix, Vec<TagName>, FixedState>,
    /// The lengths that prefixes have, of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
    known: HashMap<IpAddr, Arc<[TagName]>, FixedState>,
}

impl TagFinder {
    /// A finder of the tags of a file, and of those that are the same everywhere.
    #[must_use]
    pub fn new(catalog: &TagCatalog) -> Self {
        let mut holders: HashMap<Prefix, Vec<TagName>, FixedState> = HashMap::default();
        let mut lengths = [Vec::new(), Vec::new()];
        let mut add = |name: &TagName, prefixes: &[Prefix]| {
            for prefix in prefixes {
                holders.entry(*prefix).or_default().push(name.clone());
                lengths[usize::from(prefix.addr().is_ipv6())].push(prefix.prefix_len());
            }
        };
        for tag in catalog.iter() {
            add(&tag.name, &tag.prefixes);
        }
        for name in TagName::COMPUTED.iter().map(|name| TagName::new(name)) {
            add(&name, &fixed_tag(&name).unwrap_or_default());
        }
        for lengths in &mut lengths {
            lengths.sort_unstable();
            lengths.dedup();
        }
        Self { holders, lengths, known: HashMap::default() }
    }

    /// Every tag that holds an address, in order of their names. What `VirtualNetwork` and `Internet` hold hangs on the
    /// subnet that asks: they are not among them.
    pub fn of(&mut self, address: IpAddr) -> Arc<[TagName]> {
        if let Some(known) = self.known.get(&address) {
            return Arc::clone(known);
        }
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        let covering = lengths.iter().map(|length| {
            let prefix = Prefix::new(address, *length).unwrap_or_else(|_| host(address));
            prefix.trunc()
        });
        let mut tags: Vec<TagName> =
            covering.filter_map(|prefix| self.holders.get(&prefix)).flatten().cloned().collect();
        tags.sort();
        tags.dedup();
        let tags: Arc<[TagName]> = tags.into();
        if self.known.len() >= MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(address, Arc::clone(&tags));
        tags
    }
}
