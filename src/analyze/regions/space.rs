//! The addresses of one network or of several, cut so finely that none of them tells two of one cell apart.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::boxes::{Box3, union};
use crate::compile::address_set::AddressSet;
use crate::compile::cells::{Cell, Cells};
use crate::compile::classifier::Entry;
use crate::compile::field::Doubt;
use crate::compile::network::CompiledNetwork;
use crate::compile::policy::{Policy, entries_of};
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::compile::resolve::Clause;
use crate::model::index::NsgIndex;
use crate::model::network::Network;
use crate::model::rule::Access;
use crate::model::services::CallerEnd;
use crate::model::verdict::RulePlace;
use crate::replay::tally::Decider;

/// Cells of some networks, and their lists of rules in terms of them.
pub(in crate::analyze) struct Space {
    pub(in crate::analyze) cells: Cells,
    /// Cells by class: no topology tells those of one class apart.
    pub(in crate::analyze) classes: Vec<Vec<u32>>,
    /// For each network its lists of NSGs, at the places of [`CompiledNetwork::policies`].
    pub(in crate::analyze) lists: Vec<Vec<List>>,
    /// For each network its lists of admin rules.
    pub(in crate::analyze) admin_lists: Vec<Vec<List>>,
}

/// A list of rules.
pub(in crate::analyze) struct List {
    pub(in crate::analyze) items: Vec<Item>,
    /// Equal for lists that say the same of every packet.
    pub(in crate::analyze) content: u32,
}

/// A part of a rule, as a classifier has it.
pub(in crate::analyze) struct Item {
    pub(in crate::analyze) entry: Entry,
    /// The cells of its sources and of its destinations, and of what nobody knows about these.
    pub(in crate::analyze) sources: Cut,
    pub(in crate::analyze) destinations: Cut,
    pub(in crate::analyze) access: Access,
    /// It matches what it holds, whatever is open.
    pub(in crate::analyze) certain: bool,
    pub(in crate::analyze) decider: Option<Decider>,
    /// Equal for items that say the same.
    pub(in crate::analyze) content: u32,
}

/// Cells, as sorted ranges.
pub(in crate::analyze) type Ranges = Arc<[Range<u32>]>;

/// What an address field holds.
pub(in crate::analyze) struct Cut {
    pub(in crate::analyze) held: Ranges,
    /// For each doubt the cells that it is about.
    pub(in crate::analyze) doubts: Vec<Ranges>,
}

impl Space {
    /// The joint space of some networks, whose cells lie inside or outside of each of these sets too.
    pub(in crate::analyze) fn of(networks: &[&CompiledNetwork], asked: &[AddressSet]) -> Self {
        let mut sets = Vec::new();
        let mut told_apart = asked.to_vec();
        for compiled in networks {
            for policy in compiled.policies.iter().chain(&compiled.admin_policies) {
                for clause in policy.rules.iter().flat_map(|rule| &rule.clauses) {
                    for field in [&clause.source, &clause.destination] {
                        sets.push(Arc::clone(&field.known));
                        sets.extend(field.doubts.iter().map(|doubt| Arc::clone(&doubt.scope)));
                    }
                }
            }
            told_apart.extend(compiled.sets_told_apart());
            told_apart.extend(known_to_services(&compiled.network));
        }
        let cells = Cells::build(sets.iter().map(AsRef::as_ref).chain(&told_apart));
        let by_topology = Cells::build(&told_apart);
        let mut classes: BTreeMap<Cell, Vec<u32>> = BTreeMap::new();
        for cell in 0..u32::try_from(cells.len()).expect("cells are numbered in 32 bits") {
            classes.entry(by_topology.find(cells.first_address(Cell(cell)))).or_default().push(cell);
        }
        let mut reader =
            Reader { cells: &cells, ranges: HashMap::new(), items: HashMap::new(), lists: HashMap::new() };
        let mut read = |network: &Network, policies: &[Policy]| -> Vec<List> {
            policies.iter().map(|policy| reader.list(network, policy)).collect()
        };
        let lists = networks.iter().map(|compiled| read(&compiled.network, &compiled.policies)).collect();
        let admin_lists =
            networks.iter().map(|compiled| read(&compiled.network, &compiled.admin_policies)).collect();
        Self { classes: classes.into_values().collect(), cells, lists, admin_lists }
    }

    /// The lowest address of the first of some cells.
    pub(in crate::analyze) fn first_address(&self, cells: &[u32]) -> IpAddr {
        self.cells.first_address(Cell(cells[0]))
    }

    /// Another address of some cells than [`Space::first_address`], where there is one.
    pub(in crate::analyze) fn other_address(&self, cells: &[u32]) -> Option<IpAddr> {
        if let Some(other) = cells.get(1) {
            return Some(self.cells.first_address(Cell(*other)));
        }
        let first = self.first_address(cells);
        let set = self.addresses(cells);
        let v4 = set.ranges_v4().into_iter().flat_map(|(first, last)| [first, last]);
        let v6 = set.ranges_v6().into_iter().flat_map(|(first, last)| [first, last]);
        let v4 = v4.map(|end| IpAddr::from(end.to_be_bytes()));
        v4.chain(v6.map(|end| IpAddr::from(end.to_be_bytes()))).find(|end| *end != first)
    }

    /// An address of each of two sets of cells, not the same; nothing where both hold but one and the same.
    pub(in crate::analyze) fn ends(&self, sources: &[u32], destinations: &[u32]) -> Option<(IpAddr, IpAddr)> {
        let (source, destination) = (self.first_address(sources), self.first_address(destinations));
        if source != destination {
            return Some((source, destination));
        }
        let other_source = || Some((self.other_address(sources)?, destination));
        other_source().or_else(|| Some((source, self.other_address(destinations)?)))
    }

    /// Boxes of the same services as one, where it holds nothing more but packets of single addresses to themselves, which
    /// are nobody's.
    pub(super) fn without_own_senders<S: Clone + Ord>(&self, boxes: Vec<Box3<S>>) -> Vec<Box3<S>> {
        let mut by_services: BTreeMap<S, Vec<Box3<S>>> = BTreeMap::new();
        for one in boxes {
            by_services.entry(one.services.clone()).or_default().push(one);
        }
        let pairs = |sources: &[u32], destinations: &[u32]| {
            let own = sources.iter().filter(|cell| {
                destinations.binary_search(cell).is_ok() && self.other_address(&[**cell]).is_none()
            });
            sources.len() * destinations.len() - own.count()
        };
        let mut fewer = Vec::new();
        for (services, boxes) in by_services {
            let (sources, destinations) = (
                union(boxes.iter().map(|one| one.sources.clone()).collect()),
                union(boxes.iter().map(|one| one.destinations.clone()).collect()),
            );
            let held: usize = boxes.iter().map(|one| pairs(&one.sources, &one.destinations)).sum();
            if boxes.len() > 1 && held == pairs(&sources, &destinations) {
                fewer.push(Box3 { sources, destinations, services });
            } else {
                fewer.extend(boxes);
            }
        }
        fewer.sort_unstable();
        fewer
    }

    /// All addresses of some cells.
    pub(in crate::analyze) fn addresses(&self, cells: &[u32]) -> AddressSet {
        let runs = cells.chunk_by(|one, next| one + 1 == *next);
        let ranges: Vec<Range<u32>> = runs.map(|run| run[0]..run[run.len() - 1] + 1).collect();
        self.cells.addresses_of(&ranges)
    }
}

/// What the firewalls of services tell apart (SVC).
fn known_to_services(network: &Network) -> Vec<AddressSet> {
    let rules = network.service_accounts.iter().flat_map(|account| &account.ip_rules);
    let ranges = rules.filter_map(|rule| match *rule {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Some(AddressSet::from_ranges([(first.into(), last.into())], []))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Some(AddressSet::from_ranges([], [(first.into(), last.into())]))
        }
        _ => None,
    });
    let callers = network.callers.iter().filter_map(|caller| match caller.end {
        CallerEnd::Addresses(prefix) => Some(AddressSet::from_prefixes([prefix])),
        CallerEnd::Nic(_) => None,
    });
    // What a packet to an account's own address meets hangs on that address.
    ranges.chain(callers).collect()
}

/// What an item says.
#[derive(Eq, Hash, PartialEq)]
struct Said {
    sources: Ranges,
    destinations: Ranges,
    rest: (PortSet, PortSet, ProtocolSet),
    access: Access,
    certain: bool,
    /// What it hangs on, with the cells concerned.
    doubts: Vec<(Doubt, bool, Ranges)>,
    flags: [bool; 4],
}

/// Reads lists in terms of cells.
struct Reader<'c> {
    cells: &'c Cells,
    ranges: HashMap<*const AddressSet, (Arc<AddressSet>, Ranges)>,
    items: HashMap<Said, u32>,
    lists: HashMap<(Vec<u32>, Arc<AddressSet>), u32>,
}

impl Reader<'_> {
    fn ranges(&mut self, set: &Arc<AddressSet>) -> Ranges {
        let at = Arc::as_ptr(set);
        let known = self.ranges.entry(at).or_insert_with(|| {
            let ranges = self.cells.cells_of(set).expect("the set is among those that the cells were cut by");
            (Arc::clone(set), ranges.into())
        });
        Arc::clone(&known.1)
    }

    fn list(&mut self, network: &Network, policy: &Policy) -> List {
        let mut items = Vec::new();
        for rule in &policy.rules {
            let decider = match policy.owner.place(rule.position) {
                RulePlace::Nsg { nsg, rule } => Some(self.decider(network, nsg, rule)),
                RulePlace::Admin(_) => None,
            };
            for clause in &rule.clauses {
                for (certain, entry) in entries_of(clause) {
                    items.push(self.item(clause, entry, (rule.access, certain), decider));
                }
            }
        }
        let said: Vec<u32> = items.iter().map(|item| item.content).collect();
        let next = u32::try_from(self.lists.len()).expect("fewer lists than 2^32");
        let content = *self.lists.entry((said, Arc::clone(&policy.public))).or_insert(next);
        List { items, content }
    }

    fn decider(&self, network: &Network, nsg: NsgIndex, rule: u32) -> Decider {
        let direction = network.nsgs[nsg.get()].rules[rule as usize].direction;
        Decider::Rule { nsg, direction, rule }
    }

    fn item(
        &mut self,
        clause: &Clause,
        entry: Entry,
        (access, certain): (Access, bool),
        decider: Option<Decider>,
    ) -> Item {
        let mut doubts = Vec::new();
        let [sources, destinations] =
            [(&clause.source, &entry.source), (&clause.destination, &entry.destination)].map(
                |(field, held)| {
                    let scopes: Vec<Ranges> =
                        field.doubts.iter().map(|doubt| self.ranges(&doubt.scope)).collect();
                    let about = field.doubts.iter().zip(&scopes);
                    doubts.extend(
                        about.map(|(doubt, cells)| (doubt.about.clone(), doubt.negated, Arc::clone(cells))),
                    );
                    Cut { held: self.ranges(held), doubts: scopes }
                },
            );
        let said = Said {
            sources: Arc::clone(&sources.held),
            destinations: Arc::clone(&destinations.held),
            rest: (entry.source_ports.clone(), entry.destination_ports.clone(), entry.protocols),
            access,
            certain,
            doubts,
            flags: [
                clause.protocols.doubt.is_some(),
                clause.source_ports.doubt.is_some(),
                clause.destination_ports.doubt.is_some(),
                clause.is_platform,
            ],
        };
        let next = u32::try_from(self.items.len()).expect("fewer items than 2^32");
        let content = *self.items.entry(said).or_insert(next);
        Item { entry, sources, destinations, access, certain, decider, content }
    }
}
