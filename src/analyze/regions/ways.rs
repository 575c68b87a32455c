//! Which ways there are between classes of addresses, and what becomes of the packets on them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use rayon::prelude::*;

use super::Judges;
use super::bits::Bits;
use super::boxes::Box3;
use super::rows::{self, Asked, Found};
use super::services::{Named, Services, is_never_carried};
use super::space::{Item, List, Space};
use crate::compile::admin::Scope;
use crate::compile::classifier::Entry;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::model::flow::Port;
use crate::model::id::ResourceId;
use crate::model::prefix::PortRange;
use crate::model::rule::{Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Layer};
use crate::simulate::express::{Decides, RulesWay, decides};
use crate::simulate::involved::Involved;

/// What is surveyed.
pub(in crate::analyze) struct Area<'a, const N: usize> {
    pub(in crate::analyze) space: &'a Space,
    pub(in crate::analyze) judges: &'a Judges<'a, N>,
    /// What the networks have in common, where only packets are looked for of which they do not say the same.
    pub(in crate::analyze) alike: Option<Alike>,
    /// The services that are asked about; all without it.
    pub(in crate::analyze) wanted: Option<&'a [Entry]>,
}

/// What two networks have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::analyze) struct Alike {
    /// They differ in nothing but the rules of NSGs, and so have the same ways.
    pub(in crate::analyze) but_for_rules: bool,
    /// On the same way, past lists that say the same, both do the same.
    pub(in crate::analyze) on_the_way: bool,
}

/// Ways on which the same decides, and between which classes they lie.
struct Way<const N: usize> {
    decides: [Decides; N],
    /// The source is the platform, whose DHCP rules do not touch (PLAT-5).
    from_platform: bool,
    /// Classes of sources, and for all of them the classes of destinations.
    between: Vec<(Vec<u32>, Vec<u32>)>,
}

/// What was found.
pub(in crate::analyze) struct Survey<const N: usize> {
    /// By the services of each way, which are cut differently.
    pub(super) found: Vec<(Services, Found<N>)>,
    /// Boxes of which some networks have no end, by which have one.
    pub(in crate::analyze) apart: BTreeMap<[bool; N], Vec<Box3<()>>>,
}

impl<const N: usize> Area<'_, N> {
    /// What becomes of packets between those classes of which this is asked, by the number of each in [`Space::classes`].
    pub(in crate::analyze) fn survey(&self, is_asked: impl Fn(u32, u32) -> bool + Sync) -> Survey<N> {
        let mut survey = Survey { found: Vec::new(), apart: BTreeMap::new() };
        // Each is spread over the threads by itself.
        for way in &self.ways(is_asked) {
            for (sources, destinations) in &way.between {
                let cells = |classes: &[u32]| {
                    let cells = classes.iter().flat_map(|class| &self.space.classes[*class as usize]);
                    let mut cells: Vec<u32> = cells.copied().collect();
                    cells.sort_unstable();
                    cells
                };
                let (sources, destinations) = (cells(sources), cells(destinations));
                let judging = way.decides.each_ref().map(|decides| *decides != Decides::OutOfScope);
                if judging.contains(&false) {
                    // What none of two networks judges is no difference.
                    if self.alike.is_none() || judging.contains(&true) {
                        let apart = Box3 { sources, destinations, services: () };
                        survey.apart.entry(judging).or_default().push(apart);
                    }
                    continue;
                }
                let ends = (&sources[..], &destinations[..]);
                let rules = way.decides.each_ref().map(|decides| match decides {
                    Decides::Rules(rules) => Some(rules),
                    _ => None,
                });
                survey.found.extend(match rules.iter().all(Option::is_some) {
                    true => self.by_rules(way.from_platform, rules.map(|way| way.expect("all are")), ends),
                    false => self.by_asking(ends),
                });
            }
        }
        survey
    }

    /// The classes of services that are asked about.
    fn wanted(&self, services: &Services) -> Bits {
        match self.wanted {
            None => services.which(|_, _, _| true),
            Some(entries) => {
                let mut wanted = services.none();
                entries.iter().for_each(|entry| wanted.add(&services.of(entry)));
                wanted
            }
        }
    }

    /// All ways between classes of one family, those between the same lists together.
    fn ways(&self, is_asked: impl Fn(u32, u32) -> bool + Sync) -> Vec<Way<N>> {
        let (space, judges) = (self.space, self.judges);
        let ends: Vec<IpAddr> = space.classes.iter().map(|cells| space.first_address(cells)).collect();
        let same_ways = self.alike.is_some_and(|alike| alike.but_for_rules);
        let platform = fixed(PLATFORM).addr();
        let classes = 0..u32::try_from(ends.len()).expect("classes have 32 bits");
        let from_each: Vec<Vec<(Key<N>, Vec<u32>)>> = classes
            .clone()
            .into_par_iter()
            .map(|source| {
                let address = ends[source as usize];
                let mut found: Vec<(Key<N>, Vec<u32>)> = Vec::new();
                let mut places: HashMap<Key<N>, usize> = HashMap::new();
                for destination in classes.clone().filter(|destination| is_asked(source, *destination)) {
                    let to = ends[destination as usize];
                    if address.is_ipv4() != to.is_ipv4() {
                        continue;
                    }
                    // What goes to its own sender leaves no machine (EVAL-9).
                    let from = match destination == source {
                        false => Some(address),
                        true => space.other_address(&space.classes[source as usize]),
                    };
                    let Some(from) = from else { continue };
                    let of = |compiled: &CompiledNetwork| decides(compiled, judges.options, (from, to));
                    let first = same_ways.then(|| of(judges.compiled[0]));
                    let decides =
                        judges.compiled.map(|compiled| first.clone().unwrap_or_else(|| of(compiled)));
                    let key = (decides, address == platform);
                    let place = *places.entry(key).or_insert_with_key(|key| {
                        found.push((key.clone(), Vec::new()));
                        found.len() - 1
                    });
                    found[place].1.push(destination);
                }
                found
            })
            .collect();

        let mut ways: Vec<Way<N>> = Vec::new();
        let mut places: HashMap<Key<N>, usize> = HashMap::new();
        let mut rectangles: HashMap<(usize, Vec<u32>), usize> = HashMap::new();
        for (source, found) in (0..).zip(from_each) {
            for (key, destinations) in found {
                let alone = key.0.contains(&Decides::Other);
                // Where something else than rules decides, classes are asked one by one.
                let parts: Vec<Vec<u32>> = match alone {
                    true => destinations.into_iter().map(|destination| vec![destination]).collect(),
                    false => vec![destinations],
                };
                let way = *places.entry(key).or_insert_with_key(|(decides, from_platform)| {
                    let (decides, from_platform) = (decides.clone(), *from_platform);
                    ways.push(Way { decides, from_platform, between: Vec::new() });
                    ways.len() - 1
                });
                for destinations in parts {
                    if alone {
                        ways[way].between.push((vec![source], destinations));
                        continue;
                    }
                    let between = &mut ways[way].between;
                    let place =
                        *rectangles.entry((way, destinations)).or_insert_with_key(|(_, destinations)| {
                            between.push((Vec::new(), destinations.clone()));
                            between.len() - 1
                        });
                    between[place].0.push(source);
                }
            }
        }
        ways
    }

    /// What is said where on all sides the rules of NSGs decide.
    fn by_rules(
        &self,
        from_platform: bool,
        rules: [&RulesWay; N],
        ends: (&[u32], &[u32]),
    ) -> Option<(Services, Found<N>)> {
        let mut sides = 0..N;
        let lists: [Vec<&List>; N] = rules.map(|way| {
            let of_side = &self.space.lists[sides.next().expect("there is a side for each way")];
            way.policies.iter().map(|place| &of_side[*place as usize]).collect()
        });
        let contents = |side: usize| lists[side].iter().map(|list| list.content);
        let as_the_first = |side: usize| {
            contents(side).eq(contents(0)) && rules[side].lost.is_some() == rules[0].lost.is_some()
        };
        // What is no rule can tell the sides apart for some protocols where packets leave to the internet.
        let is_open = rules.iter().any(|way| way.leaves.is_some() || way.blocks_smtp);
        let leaves_alike =
            |way: &RulesWay| (way.leaves, way.blocks_smtp) == (rules[0].leaves, rules[0].blocks_smtp);
        let same_elsewhere =
            |alike: Alike| !is_open || (alike.on_the_way && rules.iter().all(|way| leaves_alike(way)));
        let same_elsewhere = self.alike.is_some_and(same_elsewhere);
        if same_elsewhere && (0..N).all(as_the_first) {
            return None;
        }
        let same_loss = rules.iter().all(|way| way.lost.is_some() == rules[0].lost.is_some());
        let changed_only = same_loss && same_elsewhere;
        let items = || lists.iter().flatten().flat_map(|list| &list.items);
        let entries = items().map(|item| &item.entry).chain(self.wanted.into_iter().flatten());
        let services = Services::cut(entries, &Named::default());
        let wanted = self.wanted(&services);
        let ports = |source: Port, destination: Port| (source.number(), destination.number());
        let never = services.which(is_never_carried);
        let mut of_sides = lists.iter();
        let asked = rules.map(|way| {
            let mut open = services.which(|protocol, source, destination| {
                let (source, destination) = ports(source, destination);
                (way.leaves.is_some() && !protocol.has_ports())
                    || (way.blocks_smtp && protocol == Protocol::TCP && destination == Some(25))
                    || (from_platform
                        && protocol == Protocol::UDP
                        && (source, destination) == (Some(67), Some(68)))
            });
            open.remove(&never);
            let lists = of_sides.next().expect("there are lists for each way");
            let lists = lists.iter().map(|list| &list.items[..]).collect();
            Asked { lists, lost: way.lost, open, never: never.clone(), wanted: wanted.clone() }
        });
        let found = rows::read(self.space, &services, asked.each_ref(), ends, self.judges, changed_only);
        (!found.is_empty()).then_some((services, found))
    }

    /// What is said where something else than rules may decide: a packet of each class of packets is asked on all sides.
    fn by_asking(&self, (sources, destinations): (&[u32], &[u32])) -> Option<(Services, Found<N>)> {
        let (space, judges) = (self.space, self.judges);
        let ends = space.ends(sources, destinations)?;
        let involved = judges.compiled.map(|compiled| Involved::between(compiled, judges.options, ends));
        let asks = |side: usize| {
            involved[side].filters.iter().flat_map(move |&(interface, direction)| {
                filters(space, judges.compiled[side], side, interface, direction)
            })
        };
        let as_the_first = |side: usize| involved[side] == involved[0] && asks(side).eq(asks(0));
        if self.alike.is_some_and(|alike| alike.on_the_way) && (0..N).all(as_the_first) {
            return None;
        }
        let mut items: Vec<&Item> = Vec::new();
        for (side, involved) in involved.iter().enumerate() {
            let compiled = judges.compiled[side];
            let (lists, admin_lists) = (&space.lists[side], &space.admin_lists[side]);
            for &(interface, direction) in &involved.filters {
                for layer in compiled.layers(interface, direction) {
                    if let PolicyReference::Compiled(place) = layer.policy {
                        items.extend(&lists[place].items);
                    }
                }
                let managers = compiled.admin(interface, direction).iter();
                items.extend(
                    managers
                        .flat_map(|manager| &manager.lists)
                        .flat_map(|list| &admin_lists[list.policy].items),
                );
            }
        }
        let entries = items.iter().map(|item| &item.entry).chain(self.wanted.into_iter().flatten());
        let services = Services::cut(entries, &named(&judges.compiled));
        let wanted = self.wanted(&services);
        let found = rows::ask(space, &services, &wanted, &items, (sources, destinations), judges);
        (!found.is_empty()).then_some((services, found))
    }
}

/// What decides on all sides, and whether the source is the platform.
type Key<const N: usize> = ([Decides; N], bool);

/// What stands at a filter, told from what says something else.
#[derive(PartialEq)]
enum Standing<'c> {
    List(Layer, u32),
    Open(&'c PolicyReference),
    Admin(&'c [(Unknown, bool)], &'c Option<(ResourceId, Scope)>, u32),
}

fn filters<'c>(
    space: &'c Space,
    compiled: &'c CompiledNetwork,
    side: usize,
    interface: Interface,
    direction: Direction,
) -> impl Iterator<Item = Standing<'c>> {
    let layers = compiled.layers(interface, direction).iter().map(move |layer| match &layer.policy {
        PolicyReference::Compiled(place) => Standing::List(layer.layer, space.lists[side][*place].content),
        open => Standing::Open(open),
    });
    let managers = compiled.admin(interface, direction).iter();
    let admin = managers.flat_map(move |manager| {
        manager.lists.iter().map(move |list| {
            Standing::Admin(&list.only_if, &manager.manager, space.admin_lists[side][list.policy].content)
        })
    });
    layers.chain(admin)
}

/// The ports and protocols that load balancers name.
fn named(networks: &[&Arc<CompiledNetwork>]) -> Named {
    let mut named = Named::default();
    for balancer in networks.iter().flat_map(|compiled| &compiled.network.load_balancers) {
        for rule in &balancer.rules {
            named.ports.extend(PortRange::new(rule.frontend_port, rule.frontend_port));
            named.protocols.extend(rule.protocol);
        }
        for rule in &balancer.nat_rules {
            named.ports.extend(rule.frontend_ports);
            named.protocols.extend(rule.protocol);
        }
        named.protocols.extend(balancer.outbound_rules.iter().filter_map(|rule| rule.protocol));
    }
    named.ports.sort_unstable();
    named.ports.dedup();
    named
}
