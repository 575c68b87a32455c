//! The compiled classifier and its parts, held against plain lists.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use get_size2::{GetSize, StandardTracker};
use ipnet::IpNet;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::cells::{Cell, Cells};
use nsgsim::compile::classifier::{Classifier, Entry, Form, Key, NO_ENTRY, Pools};
use nsgsim::compile::paged::{PagePool, Run};
use nsgsim::compile::ports::{PortSet, PortTable, ProtocolSet};
use nsgsim::model::prefix::{PortRange, Prefix};
use nsgsim::model::rule::Protocol;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

/// Few and nested, with neighbours, the ends of both families, and hosts around a border of every trie level.
const PREFIXES: &[&str] = &[
    "0.0.0.0/0",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "10.0.0.0/9",
    "10.128.0.0/9",
    "10.0.0.0/16",
    "10.1.0.0/16",
    "10.0.0.0/24",
    "10.0.1.0/24",
    "10.0.0.128/25",
    "10.0.0.4/32",
    "10.0.0.5/32",
    "10.0.0.6/31",
    "10.0.0.255/32",
    "172.16.0.0/12",
    "168.63.129.16/32",
    "255.255.255.255/32",
    "::/0",
    "::/128",
    "fd00::/8",
    "fd00::/15",
    "fd00::/16",
    "fd00::/17",
    "fd00:0:0:1::/64",
    "fd00:0:0:1::/65",
    "fd00::4/128",
    "fd00::5/128",
    "fd00::6/127",
    "fd00::8/128",
    "fd00::a/128",
    "fd00::c/128",
    "fd00::e/128",
    "fd00::10/128",
    "fd00::12/128",
    "fd00::14/128",
    "fd00::ffff/128",
    "fd00::1:0/112",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
];

/// The first address of each pool prefix, the last, and the neighbours of both.
fn addresses() -> Vec<IpAddr> {
    let mut addresses = BTreeSet::new();
    for text in PREFIXES {
        match text.parse().expect("the pool holds prefixes") {
            IpNet::V4(net) => {
                for end in [u32::from(net.network()), u32::from(net.broadcast())] {
                    let near = [end.wrapping_sub(1), end, end.wrapping_add(1)];
                    addresses.extend(near.map(|number| IpAddr::from(Ipv4Addr::from(number))));
                }
            }
            IpNet::V6(net) => {
                for end in [u128::from(net.network()), u128::from(net.broadcast())] {
                    let near = [end.wrapping_sub(1), end, end.wrapping_add(1)];
                    addresses.extend(near.map(|number| IpAddr::from(Ipv6Addr::from(number))));
                }
            }
        }
    }
    addresses.into_iter().collect()
}

fn prefixes() -> impl Strategy<Value = Vec<Prefix>> {
    vec(select(PREFIXES).prop_map(|text| text.parse::<Prefix>().expect("the pool holds prefixes")), 0..6)
}

fn holds(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(&address))
}

fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    let range =
        select(&["*", "0", "1", "79-81", "80", "443", "0-1023", "1024-65535", "65535", "0-65534"][..]);
    // Most rules leave a port field open; without that, a packet would hardly ever meet a rule.
    prop_oneof![
        2 => Just(vec![PortRange::ALL]),
        3 => vec(range.prop_map(|text| text.parse().expect("these are port ranges")), 0..3),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(&[0, 1, 6, 17, 58, 63, 64, 127, 128, 255][..]).prop_map(Protocol)
}

/// A rule, written as plainly as it can be.
#[derive(Clone, Debug)]
struct PlainRule {
    source: Vec<Prefix>,
    source_ports: Vec<PortRange>,
    destination: Vec<Prefix>,
    destination_ports: Vec<PortRange>,
    /// `None` is `*`.
    protocols: Option<Vec<Protocol>>,
    /// Both port fields cover the whole range, port by port (NSG-10).
    takes_portless: bool,
}

fn plain_rule() -> impl Strategy<Value = PlainRule> {
    let protocols = prop_oneof![Just(None), vec(protocol(), 0..3).prop_map(Some)];
    (prefixes(), ports(), prefixes(), ports(), protocols).prop_map(
        |(source, source_ports, destination, destination_ports, protocols)| PlainRule {
            takes_portless: covers_all_ports(&source_ports) && covers_all_ports(&destination_ports),
            source,
            source_ports,
            destination,
            destination_ports,
            protocols,
        },
    )
}

#[derive(Clone, Debug)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    ports: Option<(u16, u16)>,
}

fn packet() -> impl Strategy<Value = Packet> {
    let port = || select(&[0_u16, 1, 2, 78, 79, 80, 81, 82, 443, 1023, 1024, 65534, 65535][..]);
    let ports = prop_oneof![1 => Just(None), 3 => (port(), port()).prop_map(Some)];
    (select(addresses()), select(addresses()), protocol(), ports)
        .prop_map(|(source, destination, protocol, ports)| Packet { source, destination, protocol, ports })
}

impl PlainRule {
    fn fits(&self, packet: &Packet) -> bool {
        let ports_fit = match packet.ports {
            Some((source, destination)) => {
                self.source_ports.iter().any(|range| range.contains(source))
                    && self.destination_ports.iter().any(|range| range.contains(destination))
            }
            None => self.takes_portless,
        };
        ports_fit
            && holds(&self.source, packet.source)
            && holds(&self.destination, packet.destination)
            && self.protocols.as_ref().is_none_or(|protocols| protocols.contains(&packet.protocol))
    }

    fn entry(&self) -> Entry {
        let protocols = match &self.protocols {
            None => ProtocolSet::all(),
            Some(named) => {
                let mut protocols = ProtocolSet::default();
                for &protocol in named {
                    protocols.insert(protocol);
                }
                protocols
            }
        };
        Entry {
            source: Arc::new(self.source.iter().copied().collect()),
            source_ports: PortSet::from_ranges(self.source_ports.clone()),
            destination: Arc::new(self.destination.iter().copied().collect()),
            destination_ports: PortSet::from_ranges(self.destination_ports.clone()),
            protocols,
        }
    }
}

fn covers_all_ports(ranges: &[PortRange]) -> bool {
    (0..=u16::MAX).all(|port| ranges.iter().any(|range| range.contains(port)))
}

fn cells_for(entries: &[Entry]) -> Cells {
    Cells::build(entries.iter().flat_map(|entry| [&*entry.source, &*entry.destination]))
}

fn key(cells: &Cells, packet: &Packet) -> Key {
    Key {
        source: cells.find(packet.source),
        destination: cells.find(packet.destination),
        protocol: packet.protocol,
        source_port: packet.ports.map(|(source, _)| source).into(),
        destination_port: packet.ports.map(|(_, destination)| destination).into(),
    }
}

/// A classifier that keeps its entries in this form. Crossed, some sets of entries have too many pairs: these may come
/// as vectors.
fn in_form(form: Form, cells: &Cells, entries: &[Entry]) -> Classifier {
    let classifier = Classifier::build(cells, &mut Pools::of_form(form), entries);
    let is_sure = form == Form::Vectors || entries.len() < 20;
    let is_one_part = form == Form::Split && classifier.form() == Form::Crossed;
    let is_one_stretch = form == Form::Stretches && entries.len() < 2;
    let is_right = classifier.form() == form || is_one_part || is_one_stretch;
    assert!(is_right || !is_sure, "{form:?} was asked for, {:?} built", classifier.form());
    classifier
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/classifier"))),
        ..ProptestConfig::default()
    })]

    /// NSG-4, NSG-7, NSG-10.
    #[test]
    fn the_classifier_names_the_first_rule_that_fits(
        rules in vec(plain_rule(), 0..200),
        packets in vec(packet(), 150),
    ) {
        let entries: Vec<Entry> = rules.iter().map(PlainRule::entry).collect();
        let cells = cells_for(&entries);
        let keys: Vec<Key> = packets.iter().map(|packet| key(&cells, packet)).collect();
        for form in [Form::Crossed, Form::Split, Form::Stretches, Form::Vectors] {
            let classifier = in_form(form, &cells, &entries);
            let mut together = vec![0; keys.len()];
            classifier.first_matches(&keys, &mut together);
            for ((packet, key), found) in packets.iter().zip(&keys).zip(together) {
                let fits = |&place: &u32| rules[place as usize].fits(packet);
                let count = u32::try_from(rules.len()).unwrap();
                let first = (0..count).find(fits);
                prop_assert_eq!(classifier.first_match(key), first, "{:?} {:?}", form, packet);
                prop_assert_eq!(found, first.unwrap_or(NO_ENTRY), "{:?} {:?}", form, packet);
            }
        }
    }

    /// Sharing pages, tables and ranges must not let one policy's answers leak into another's.
    #[test]
    fn classifiers_of_one_pool_answer_as_if_alone(
        policies in vec(vec(plain_rule(), 0..8), 1..8),
        packets in vec(packet(), 20),
    ) {
        let policies: Vec<Vec<Entry>> =
            policies.iter().map(|rules| rules.iter().map(PlainRule::entry).collect()).collect();
        let cells = cells_for(&policies.concat());
        let mut pools = Pools::for_classifiers(policies.len());
        let shared: Vec<_> =
            policies.iter().map(|entries| Classifier::build(&cells, &mut pools, entries)).collect();
        for (entries, shared) in policies.iter().zip(&shared) {
            let alone = Classifier::build(&cells, &mut Pools::for_classifiers(1), entries);
            for packet in &packets {
                let key = key(&cells, packet);
                prop_assert_eq!(shared.first_match(&key), alone.first_match(&key));
            }
        }
    }

    #[test]
    fn a_cell_is_what_no_set_tells_apart(sets in vec(prefixes(), 0..12)) {
        let address_sets: Vec<AddressSet> = sets.iter().map(|set| set.iter().copied().collect()).collect();
        let cells = Cells::build(&address_sets);
        let addresses = addresses();
        let alike = |one: IpAddr, other: IpAddr| {
            one.is_ipv4() == other.is_ipv4()
                && sets.iter().all(|set| holds(set, one) == holds(set, other))
        };
        for (place, &one) in addresses.iter().enumerate() {
            let cell = cells.find(one);
            prop_assert!((cell.0 as usize) < cells.len());
            prop_assert_eq!(cells.find(cells.first_address(cell)), cell);
            if let IpAddr::V4(one) = one {
                let mut together = [Cell(0); 3];
                cells.find_each_v4(&[0, one.into(), u32::MAX], &mut together);
                prop_assert_eq!(together[1], cell);
            }
            prop_assert!(cells.first_address(cell) <= one && alike(cells.first_address(cell), one));
            for &other in &addresses[place..] {
                prop_assert_eq!(cell == cells.find(other), alike(one, other), "{} {}", one, other);
            }
        }
        for cell in 1..u32::try_from(cells.len()).unwrap() {
            prop_assert!(cells.first_address(Cell(cell - 1)) < cells.first_address(Cell(cell)));
        }
    }

    #[test]
    fn a_given_set_is_a_union_of_cells(sets in vec(prefixes(), 1..12)) {
        let sets: Vec<AddressSet> = sets.into_iter().map(AddressSet::from_prefixes).collect();
        let cells = Cells::build(&sets);
        let made = [sets[0].union(sets.last().unwrap()), sets[0].difference(sets.last().unwrap())];
        for set in sets.iter().chain(&made).chain([&AddressSet::all(), &AddressSet::empty()]) {
            let ranges = cells.cells_of(set).expect("a given set, or one made of given sets");
            prop_assert!(ranges.iter().all(|range| !range.is_empty()));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(&cells.addresses_of(&ranges), set);
            for address in addresses() {
                let cell = cells.find(address).0;
                prop_assert_eq!(ranges.iter().any(|range| range.contains(&cell)), set.contains(address));
            }
        }
    }

    #[test]
    fn sets_are_added_and_taken_away_address_by_address(one in prefixes(), other in prefixes()) {
        let (left, right) =
            (AddressSet::from_prefixes(one.clone()), AddressSet::from_prefixes(other.clone()));
        let mut inserted = left.clone();
        for &prefix in &other {
            inserted.insert(prefix);
        }
        prop_assert_eq!(&inserted, &left.union(&right));
        let (both, rest) = (left.intersection(&right), left.difference(&right));
        for address in addresses() {
            let (in_one, in_other) = (holds(&one, address), holds(&other, address));
            prop_assert_eq!(left.contains(address), in_one, "{}", address);
            prop_assert_eq!(inserted.contains(address), in_one || in_other, "{}", address);
            prop_assert_eq!(both.contains(address), in_one && in_other, "{}", address);
            prop_assert_eq!(rest.contains(address), in_one && !in_other, "{}", address);
        }
        // The same addresses are the same value, however they were come by.
        prop_assert_eq!(&both.union(&rest), &left);
        prop_assert_eq!(both.is_empty(), right.difference(&left) == right);
    }

    #[test]
    fn ranges_and_prefixes_of_a_set_are_the_set(prefixes in prefixes()) {
        let set = AddressSet::from_prefixes(prefixes.clone());
        let listed = set.prefixes();
        prop_assert!(listed.is_sorted());
        for (place, prefix) in listed.iter().enumerate() {
            let rest = listed.iter().enumerate().filter(|&(other, _)| other != place);
            prop_assert!(rest.clone().all(|(_, other)| !other.contains(prefix)));
            prop_assert!(rest.clone().all(|(_, other)| {
                other.supernet() != prefix.supernet() || prefix.supernet().is_none()
            }), "halves of one prefix stand apart in {:?}", set);
        }
        let (v4, v6) = (set.ranges_v4(), set.ranges_v6());
        prop_assert!(v4.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        prop_assert!(v6.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        for address in addresses() {
            let in_a_range = match address {
                IpAddr::V4(address) => {
                    v4.iter().any(|&(first, last)| (first..=last).contains(&u32::from(address)))
                }
                IpAddr::V6(address) => {
                    v6.iter().any(|&(first, last)| (first..=last).contains(&u128::from(address)))
                }
            };
            prop_assert_eq!(in_a_range, holds(&prefixes, address));
        }
        prop_assert_eq!(AddressSet::from_ranges(v4, v6), set);
    }

    /// Ids up to and beyond what 16 bits hold.
    #[test]
    fn a_paged_map_is_a_list(
        lists in vec(vec((1_usize..700, select(&[0, 1, 2, 255, 65_535, 65_536, u32::MAX][..])), 1..20), 1..6),
    ) {
        let mut pool = PagePool::default();
        let mut built = Vec::new();
        for stretches in &lists {
            let mut list: Vec<u32> = Vec::new();
            let mut runs = Vec::new();
            for &(length, id) in stretches {
                runs.push(Run { first: u32::try_from(list.len()).unwrap(), id });
                list.resize(list.len() + length, id);
            }
            built.push((pool.map(list.len(), &runs), list));
        }
        let lengths: Vec<usize> = built.iter().map(|(_, list)| list.len()).collect();
        let mut flat = PagePool::with_flat(lengths.into_iter().max().unwrap());
        for (_, list) in built.clone() {
            let mut runs: Vec<Run> = (0..).zip(&list).map(|(first, &id)| Run { first, id }).collect();
            runs.dedup_by_key(|run| run.id);
            built.push((flat.map(list.len(), &runs), list));
        }
        for (map, list) in &built {
            for (number, &id) in (0..).zip(list) {
                prop_assert_eq!(map.get(number), id);
            }
        }
    }
}

#[test]
fn no_sets_leave_a_cell_for_each_family() {
    let cells = Cells::build([]);
    assert_eq!(cells.len(), 2);
    assert_eq!(cells.find("10.0.0.4".parse().unwrap()), Cell(0));
    assert_eq!(cells.find("fd00::4".parse().unwrap()), Cell(1));
}

#[test]
fn a_set_across_a_cell_is_no_union_of_cells() {
    let set = |text: &str| AddressSet::from_prefixes([text.parse().unwrap()]);
    let given = AddressSet::from_prefixes(["10.0.0.0/24", "10.0.2.0/24"].map(|text| text.parse().unwrap()));
    let cells = Cells::build([&given]);
    assert_eq!(cells.cells_of(&set("10.0.0.0/25")), None);
    // All its borders are borders of the given set, but it lacks the other half of the cell.
    assert_eq!(cells.cells_of(&set("10.0.0.0/24")), None);
    assert!(cells.cells_of(&given).is_some());
}

#[test]
fn cells_of_no_set_take_two_roots_and_an_interval_each() {
    let interval = |address_bytes| address_bytes + size_of::<u32>();
    let cell = size_of::<IpAddr>() + size_of::<u32>();
    let root = 65_536 * size_of::<u32>();
    // For IPv4 one entry of the directory, and one node of eight borders and eight cells.
    let below_root = 8 + 8 * 2 + 8 * 2;
    let bytes = 2 * root + below_root + interval(4) + interval(16) + 2 * cell;
    assert_eq!(Cells::build([]).get_heap_size(), bytes);
}

/// Hosts far apart: each is an interval, and so is what lies between two. A node holds eight intervals, so up to three
/// hosts it is one; the fourth makes nine intervals, and a node for each half of them.
#[test]
fn nodes_are_as_many_as_their_intervals_ask_for() {
    let levels = |hosts: usize| {
        let host = |host| AddressSet::from_prefixes([format!("10.0.{}.1/32", 64 * host).parse().unwrap()]);
        let sets: Vec<AddressSet> = (0..hosts).map(host).collect();
        let intervals = 2 * hosts * (size_of::<u32>() + size_of::<u32>());
        let cells = hosts * (size_of::<IpAddr>() + size_of::<u32>());
        Cells::build(&sets).get_heap_size() - intervals - cells
    };
    let (entry, node) = (8, 8 * 2 + 8 * 2);
    assert_eq!(levels(1) - levels(0), entry + node);
    assert_eq!(levels(3), levels(1));
    assert_eq!(levels(4) - levels(3), node);
}

#[test]
fn policies_that_split_alike_share_their_tables() {
    let rule = |ports: &str| PlainRule {
        source: vec!["10.0.0.0/8".parse().unwrap()],
        source_ports: vec![PortRange::ALL],
        destination: vec!["10.0.0.0/24".parse().unwrap()],
        destination_ports: vec![ports.parse().unwrap()],
        protocols: None,
        takes_portless: false,
    };
    let entries = [rule("443").entry()];
    let cells = cells_for(&entries);
    let mut pools = Pools::for_classifiers(1);
    let mut classifier = |ports| Classifier::build(&cells, &mut pools, &[rule(ports).entry()]);
    let (first, again, other) = (classifier("443"), classifier("443"), classifier("444"));
    let mut counted = StandardTracker::new();
    let mut bytes = |classifier: &Classifier| classifier.get_heap_size_with_tracker(&mut counted).0;
    let (first, again, other) = (bytes(&first), bytes(&again), bytes(&other));
    // Another port is another page of 256 numbers beside the common one, and another list of 512 pages.
    assert_eq!(other - again, (2 * 256 + 512) * 4 + size_of::<PortTable>());
    assert!(first > other);
}
