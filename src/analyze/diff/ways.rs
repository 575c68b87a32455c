//! Which ways there are between all classes of addresses, and which of them can differ.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use rayon::prelude::*;

use super::boxes::Box3;
use super::rows::{self, Asked, Found};
use super::services::{Named, Services, TUNNELS};
use super::space::{Item, Space};
use super::{Judges, Networks};
use crate::compile::admin::Scope;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::places::PublicOwner;
use crate::compile::surroundings::{PLATFORM, fixed};
use crate::model::flow::{Origin, Port};
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, PrivateEndpointIndex};
use crate::model::prefix::PortRange;
use crate::model::routing::NextHop;
use crate::model::rule::{Direction, Protocol};
use crate::model::unknown::Unknown;
use crate::model::verdict::{Interface, Layer};
use crate::simulate::ends::inside;
use crate::simulate::express::{Decides, RulesWay, decides};
use crate::simulate::involved::Involved;

/// Ways on which the same decides, and between which classes they lie.
struct Way {
    decides: [Decides; 2],
    /// The source is the platform, whose DHCP rules do not touch (PLAT-5).
    from_platform: bool,
    /// Classes of sources, and for all of them the classes of destinations.
    between: Vec<(Vec<u32>, Vec<u32>)>,
}

/// What changes, and what only one side has an end of.
#[derive(Default)]
pub(super) struct Changes {
    /// By the services of each way, which are cut differently.
    pub(super) found: Vec<(Services, Found)>,
    /// Boxes of which only the base, and of which only the candidate has an end.
    pub(super) only: [Vec<Box3<()>>; 2],
}

/// What changes between all ends.
pub(super) fn changes(space: &Space, networks: &Networks<'_>, judges: &Judges<'_>) -> Changes {
    let differ: [BTreeSet<usize>; 2] = lists_that_differ(space, networks);
    if networks.same_but_for_rules && differ.iter().all(BTreeSet::is_empty) {
        return Changes::default();
    }
    let touched = networks.same_but_for_rules.then(|| touched(space, networks, &differ[0])).flatten();
    let mut changes = Changes::default();
    let ways = ways(space, networks, touched.as_ref());
    // Each is spread over the threads by itself.
    for way in &ways {
        for (sources, destinations) in &way.between {
            let cells = |classes: &[u32]| {
                let mut cells: Vec<u32> =
                    classes.iter().flat_map(|class| &space.classes[*class as usize]).copied().collect();
                cells.sort_unstable();
                cells
            };
            let ends = (cells(sources), cells(destinations));
            match &way.decides {
                [Decides::OutOfScope, Decides::OutOfScope] => {}
                [Decides::OutOfScope, _] | [_, Decides::OutOfScope] => {
                    let side = usize::from(way.decides[0] == Decides::OutOfScope);
                    let (sources, destinations) = ends;
                    changes.only[side].push(Box3 { sources, destinations, services: () });
                }
                [Decides::Rules(base), Decides::Rules(candidate)] => {
                    let ends = (&ends.0[..], &ends.1[..]);
                    let rules = [base, candidate];
                    changes.found.extend(by_rules(space, networks, way.from_platform, rules, ends, judges));
                }
                _ => {
                    let ends = (&ends.0[..], &ends.1[..]);
                    changes.found.extend(by_asking(space, networks, ends, judges));
                }
            }
        }
    }
    changes
}

/// The lists of NSGs of each side whose like the other side lacks at its place.
fn lists_that_differ(space: &Space, networks: &Networks<'_>) -> [BTreeSet<usize>; 2] {
    let [base, candidate] = &space.lists;
    let same = |place: &usize| match (base.get(*place), candidate.get(*place)) {
        (Some(base), Some(candidate)) => networks.same_but_for_rules && base.content == candidate.content,
        _ => false,
    };
    [base, candidate].map(|lists| (0..lists.len()).filter(|place| !same(place)).collect())
}

/// The classes at whose addresses a list stands that differs; nothing where such a list may stand on the way between
/// others.
fn touched(space: &Space, networks: &Networks<'_>, differ: &BTreeSet<usize>) -> Option<HashSet<u32>> {
    let compiled = networks.compiled[0];
    let network = &compiled.network;
    let asks = |interface: Interface| {
        [Direction::Inbound, Direction::Outbound].into_iter().any(|direction| {
            compiled.layers(interface, direction).iter().any(|layer| match &layer.policy {
                PolicyReference::Compiled(place) => differ.contains(place),
                _ => false,
            })
        })
    };
    let nat_rules = network.load_balancers.iter().flat_map(|balancer| &balancer.nat_rules);
    let members: HashSet<_> = network
        .load_balancers
        .iter()
        .flat_map(|balancer| &balancer.pools)
        .flat_map(|pool| &pool.ip_configurations)
        .chain(nat_rules.filter_map(|rule| rule.backend.as_ref()))
        .collect();
    let pools = network.load_balancers.iter().flat_map(|balancer| &balancer.pools);
    let routes = network.route_tables.iter().flat_map(|table| &table.routes);
    let next_hops = routes.filter_map(|route| match &route.next_hop {
        NextHop::VirtualAppliance(Some(address)) => Some(address),
        _ => None,
    });
    let by_address: HashSet<&IpAddr> = pools.flat_map(|pool| &pool.addresses).chain(next_hops).collect();
    let mut asking = HashSet::new();
    for (position, nic) in network.nics.iter().enumerate() {
        let index = NicIndex::new(position);
        if !asks(Interface::Nic(index)) {
            continue;
        }
        let is_passed = nic.ip_configurations.iter().any(|configuration| {
            members.contains(&configuration.id)
                || configuration.address.is_some_and(|address| by_address.contains(&address))
        });
        // Others' packets come by it.
        if nic.ip_forwarding || is_passed {
            return None;
        }
        asking.insert(index);
    }
    // Whatever stands before endpoints and services may be met from anywhere by other addresses than theirs.
    let endpoints = (0..network.private_endpoints.len())
        .map(|position| Interface::Endpoint(PrivateEndpointIndex::new(position)));
    if endpoints.into_iter().any(asks) {
        return None;
    }
    let is_touched = |address: IpAddr| {
        let public = match compiled.places.public(address) {
            Some((_, PublicOwner::Nic(nic, _))) => asking.contains(&nic),
            _ => false,
        };
        public
            || inside(compiled, address, networks.options.vnet).into_iter().any(|origin| match origin {
                Origin::Nic(nic) => asking.contains(&nic),
                Origin::Unlisted(subnet) => asks(Interface::Unlisted(subnet)),
                Origin::Internet | Origin::OnPremises(_) | Origin::Platform => false,
            })
    };
    let classes = (0..).zip(&space.classes);
    Some(
        classes.filter(|(_, cells)| is_touched(space.first_address(cells))).map(|(class, _)| class).collect(),
    )
}

/// All ways between classes of one family, those between the same lists together.
fn ways(space: &Space, networks: &Networks<'_>, touched: Option<&HashSet<u32>>) -> Vec<Way> {
    let ends: Vec<IpAddr> = space.classes.iter().map(|cells| space.first_address(cells)).collect();
    let [base, candidate] = networks.compiled;
    let platform = fixed(PLATFORM).addr();
    type Key = ([Decides; 2], bool);
    let from_each: Vec<Vec<(Key, Vec<u32>)>> = ends
        .par_iter()
        .enumerate()
        .map(|(source, &address)| {
            let is_touched = |class: usize| {
                touched.is_none_or(|touched| {
                    touched.contains(&u32::try_from(class).expect("classes have 32 bits"))
                })
            };
            let mut found: Vec<(Key, Vec<u32>)> = Vec::new();
            let mut places: HashMap<Key, usize> = HashMap::new();
            for (destination, &to) in ends.iter().enumerate() {
                if address.is_ipv4() != to.is_ipv4() || !(is_touched(source) || is_touched(destination)) {
                    continue;
                }
                // What goes to its own sender leaves no machine (EVAL-9).
                let from = match destination == source {
                    false => Some(address),
                    true => space.other_address(&space.classes[source]),
                };
                let Some(from) = from else { continue };
                let of_base = decides(base, networks.options, (from, to));
                let of_candidate = match networks.same_but_for_rules {
                    true => of_base.clone(),
                    false => decides(candidate, networks.options, (from, to)),
                };
                let key = ([of_base, of_candidate], address == platform);
                let place = *places.entry(key).or_insert_with_key(|key| {
                    found.push((key.clone(), Vec::new()));
                    found.len() - 1
                });
                found[place].1.push(u32::try_from(destination).expect("classes have 32 bits"));
            }
            found
        })
        .collect();

    let mut ways: Vec<Way> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
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
                let place = *rectangles.entry((way, destinations)).or_insert_with_key(|(_, destinations)| {
                    between.push((Vec::new(), destinations.clone()));
                    between.len() - 1
                });
                between[place].0.push(source);
            }
        }
    }
    ways
}

/// The host's own port of UDP (PLAT-9).
const HOST_PORT: u16 = 65330;

/// What changes where the rules of NSGs decide on both sides.
fn by_rules(
    space: &Space,
    networks: &Networks<'_>,
    from_platform: bool,
    rules: [&RulesWay; 2],
    ends: (&[u32], &[u32]),
    judges: &Judges<'_>,
) -> Option<(Services, Found)> {
    let lists = [0, 1].map(|side| {
        let lists = rules[side].policies.iter().map(|place| &space.lists[side][*place as usize]);
        lists.collect::<Vec<_>>()
    });
    let same = lists[0].len() == lists[1].len()
        && lists[0].iter().zip(&lists[1]).all(|(base, candidate)| base.content == candidate.content)
        && rules[0].lost.is_some() == rules[1].lost.is_some();
    // What is no rule can tell the sides apart for some protocols where packets leave to the internet.
    let is_open = rules.iter().any(|way| way.leaves.is_some() || way.blocks_smtp);
    let leave_alike = (rules[0].leaves, rules[0].blocks_smtp) == (rules[1].leaves, rules[1].blocks_smtp);
    let same_elsewhere = !is_open || (networks.same_on_the_way && leave_alike);
    if same && same_elsewhere {
        return None;
    }
    let items = || lists.iter().flatten().flat_map(|list| &list.items);
    let services = Services::cut(items().map(|item| &item.entry), &Named::default());
    // What networks do not carry (PLAT-9).
    let ports = |source: Port, destination: Port| (source.number(), destination.number());
    let never = services.which(|protocol, source, destination| {
        let (source, destination) = ports(source, destination);
        TUNNELS.contains(&protocol)
            || protocol == Protocol::UDP
                && (source == Some(HOST_PORT) || (source, destination) == (Some(68), Some(67)))
    });
    let asked = [0, 1].map(|side| {
        let way = rules[side];
        let mut open = services.which(|protocol, source, destination| {
            let (source, destination) = ports(source, destination);
            (way.leaves.is_some() && !protocol.has_ports())
                || (way.blocks_smtp && protocol == Protocol::TCP && destination == Some(25))
                || (from_platform
                    && protocol == Protocol::UDP
                    && (source, destination) == (Some(67), Some(68)))
        });
        open.remove(&never);
        let items = lists[side].iter().map(|list| &list.items[..]).collect();
        Asked { lists: items, lost: way.lost, open, never: never.clone() }
    });
    let found = rows::compare(space, &services, [&asked[0], &asked[1]], ends, judges, same_elsewhere);
    (!found.is_empty()).then_some((services, found))
}

/// What changes where something else than rules may decide: a packet of each class of packets is asked on both sides.
fn by_asking(
    space: &Space,
    networks: &Networks<'_>,
    (sources, destinations): (&[u32], &[u32]),
    judges: &Judges<'_>,
) -> Option<(Services, Found)> {
    let ends = space.ends(sources, destinations)?;
    let involved = networks.compiled.map(|compiled| Involved::between(compiled, networks.options, ends));
    let asks = |side: usize| {
        involved[side].filters.iter().flat_map(move |&(interface, direction)| {
            filters(space, networks.compiled[side], side, interface, direction)
        })
    };
    if networks.same_on_the_way && involved[0] == involved[1] && asks(0).eq(asks(1)) {
        return None;
    }
    let mut items: Vec<&Item> = Vec::new();
    for (side, involved) in involved.iter().enumerate() {
        let compiled = networks.compiled[side];
        let (lists, admin_lists) = (&space.lists[side], &space.admin_lists[side]);
        for &(interface, direction) in &involved.filters {
            for layer in compiled.layers(interface, direction) {
                if let PolicyReference::Compiled(place) = layer.policy {
                    items.extend(&lists[place].items);
                }
            }
            let managers = compiled.admin(interface, direction).iter();
            items.extend(
                managers.flat_map(|manager| &manager.lists).flat_map(|list| &admin_lists[list.policy].items),
            );
        }
    }
    let entries = items.iter().map(|item| &item.entry);
    let services = Services::cut(entries, &named(networks.compiled));
    let found = rows::ask(space, &services, &items, (sources, destinations), judges);
    (!found.is_empty()).then_some((services, found))
}

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
fn named(networks: [&CompiledNetwork; 2]) -> Named {
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
