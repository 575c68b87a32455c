//! How fast the classifier answers beside a plain list, and how long compiling takes.
//!
//! `cargo bench --bench classify`; the group `estate` also prints what a large estate takes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use get_size2::{GetSize, StandardTracker};
use ipnet::{Ipv4Net, Ipv6Net};
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::cells::Cells;
use nsgsim::compile::classifier::{Classifier, Entry, Form, Key, NO_ENTRY, Pools};
use nsgsim::compile::ports::{PortSet, ProtocolSet};
use nsgsim::model::prefix::{PortRange, Prefix, host};
use nsgsim::model::rule::Protocol;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A packet before its addresses are looked up.
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    source_port: u16,
    destination_port: u16,
}

fn v4(rng: &mut ChaCha8Rng, base: u32, spread_bits: u32, lengths: std::ops::RangeInclusive<u8>) -> Prefix {
    let address = Ipv4Addr::from(base | rng.random_range(0..1_u32 << spread_bits));
    Prefix::V4(Ipv4Net::new(address, rng.random_range(lengths)).expect("at most 32").trunc())
}

fn v6(rng: &mut ChaCha8Rng) -> Prefix {
    // The service's own shape: a region's block, a subnet, and few addresses at its end.
    let region = u128::from(rng.random_range(0..400_u32)) << 80;
    let subnet = u128::from(rng.random_range(0..1000_u32)) << 64;
    let address = (0x2603_u128 << 112) | region | subnet | u128::from(rng.random_range(0..0x800_u32));
    let lengths = [48, 56, 64, 121, 124, 125, 126];
    let length = lengths[rng.random_range(0..lengths.len())];
    Prefix::V6(Ipv6Net::new(Ipv6Addr::from(address), length).expect("at most 128").trunc())
}

fn ports(rng: &mut ChaCha8Rng) -> PortSet {
    if rng.random_range(0..5) == 0 {
        return PortSet::all();
    }
    let count = rng.random_range(1..4);
    PortSet::from_ranges((0..count).map(|_| {
        let first = rng.random_range(1..10_000_u16);
        let last = first + if rng.random_bool(0.3) { rng.random_range(1..1000) } else { 0 };
        PortRange::new(first, last).expect("in order")
    }))
}

fn entry(rng: &mut ChaCha8Rng, source: Arc<AddressSet>, destination: Arc<AddressSet>) -> Entry {
    let protocols = match rng.random_range(0..10) {
        0 => ProtocolSet::all(),
        1..7 => ProtocolSet::one(Protocol::TCP),
        _ => ProtocolSet::one(Protocol::UDP),
    };
    Entry { source, source_ports: PortSet::all(), destination, destination_ports: ports(rng), protocols }
}

fn set(prefixes: impl IntoIterator<Item = Prefix>) -> Arc<AddressSet> {
    Arc::new(AddressSet::from_prefixes(prefixes))
}

/// Rules of one large NSG; each side has `prefixes` blocks of `10.0.0.0/8`.
fn entries(rng: &mut ChaCha8Rng, count: usize, prefixes: usize) -> Vec<Entry> {
    (0..count)
        .map(|_| {
            let mut side = || set((0..prefixes).map(|_| v4(rng, 10 << 24, 24, 16..=32)).collect::<Vec<_>>());
            let (source, destination) = (side(), side());
            entry(rng, source, destination)
        })
        .collect()
}

/// Packets of which most are meant by some entry's addresses; whether its ports fit is left to chance.
fn packets(rng: &mut ChaCha8Rng, entries: &[Entry], count: usize) -> Vec<Packet> {
    let near = |rng: &mut ChaCha8Rng, set: &AddressSet| {
        let ranges = set.ranges_v4();
        let (first, last) = ranges[rng.random_range(0..ranges.len())];
        IpAddr::V4(rng.random_range(first..=last).into())
    };
    (0..count)
        .map(|_| {
            let meant = &entries[rng.random_range(0..entries.len())];
            Packet {
                source: near(rng, &meant.source),
                destination: near(rng, &meant.destination),
                protocol: if rng.random_bool(0.7) { Protocol::TCP } else { Protocol::UDP },
                source_port: rng.random_range(49152..=65535),
                destination_port: meant.destination_ports.ranges()[0].first(),
            }
        })
        .collect()
}

fn linear(entries: &[Entry], packet: &Packet) -> Option<usize> {
    entries.iter().position(|entry| {
        entry.protocols.contains(packet.protocol)
            && entry.destination_ports.contains(Some(packet.destination_port))
            && entry.source_ports.contains(Some(packet.source_port))
            && entry.destination.contains(packet.destination)
            && entry.source.contains(packet.source)
    })
}

fn key(cells: &Cells, packet: &Packet) -> Key {
    Key {
        source: cells.find(packet.source),
        destination: cells.find(packet.destination),
        protocol: packet.protocol,
        source_port: packet.source_port.into(),
        destination_port: packet.destination_port.into(),
    }
}

fn cells_of(entries: &[Entry]) -> Cells {
    Cells::build(entries.iter().flat_map(|entry| [&*entry.source, &*entry.destination]))
}

fn classify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    for count in [100, 1_000] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let entries = entries(&mut rng, count, 3);
        let packets = packets(&mut rng, &entries, 4_096);
        let cells = cells_of(&entries);
        group.throughput(Throughput::Elements(packets.len() as u64));
        for form in [Form::Crossed, Form::Split, Form::Stretches, Form::Vectors] {
            let classifier = Classifier::build(&cells, &mut Pools::of_form(form), &entries);
            for packet in &packets {
                let place = classifier.first_match(&key(&cells, packet)).map(|place| place as usize);
                assert_eq!(place, linear(&entries, packet), "compiled and linear agree");
            }
            let name = format!("{form:?}, one by one");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| {
                    let places = packets.iter().map(|packet| classifier.first_match(&key(&cells, packet)));
                    black_box(places.flatten().map(u64::from).sum::<u64>())
                });
            });
            let name = format!("{form:?}, in batches");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let (mut keys, mut found) = (Vec::new(), vec![NO_ENTRY; packets.len()]);
                bencher.iter(|| {
                    keys.clear();
                    keys.extend(packets.iter().map(|packet| key(&cells, packet)));
                    classifier.first_matches(&keys, &mut found);
                    black_box(found.iter().copied().map(u64::from).sum::<u64>())
                });
            });
        }
        group.bench_function(BenchmarkId::new("linear", count), |bencher| {
            bencher.iter(|| {
                let places = packets.iter().map(|packet| linear(&entries, packet));
                black_box(places.flatten().sum::<usize>())
            });
        });
    }
    group.finish();
}

fn compile(criterion: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let entries = entries(&mut rng, 1_000, 10);
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("1000 entries, 20000 prefixes", |bencher| {
        bencher.iter(|| {
            let cells = cells_of(&entries);
            black_box(Classifier::build(&cells, &mut Pools::for_classifiers(1), &entries))
        });
    });
    group.finish();
}

/// An estate: tags as in a full service tag file (110,000 prefixes, of which the largest tags repeat those of
/// others), 1,000 NSGs of 100 rules a direction with subnets of their own, 10,000 NICs. No two rules share a set of
/// local prefixes, which is more than a real estate asks for.
struct Estate {
    hosts: Vec<AddressSet>,
    tags: Vec<Arc<AddressSet>>,
    policies: Vec<Vec<Entry>>,
}

fn estate(rng: &mut ChaCha8Rng) -> Estate {
    let mut blocks: Vec<Prefix> = (0..40_000).map(|_| v4(rng, 20 << 24, 26, 20..=32)).collect();
    blocks.extend((0..15_000).map(|_| v6(rng)));
    let mut tags: Vec<Arc<AddressSet>> = blocks.chunks(19).map(|own| set(own.iter().copied())).collect();
    // A dozen large tags, and the two that hold all or nearly all blocks.
    tags.extend(blocks.chunks(5_000).map(|region| set(region.iter().copied())));
    tags.push(set(blocks.iter().copied()));
    let internet = AddressSet::all().difference(&set(["10.0.0.0/8".parse().expect("a prefix")]));
    tags.push(Arc::new(internet));
    let any = Arc::new(AddressSet::all());

    // Each NSG has a /22 of its own in 10.0.0.0/12; one block in four is somebody else's.
    let local = |rng: &mut ChaCha8Rng, nsg: u32| {
        let count = rng.random_range(1..4);
        let block = |rng: &mut ChaCha8Rng| {
            let of = if rng.random_range(0..4) == 0 { rng.random_range(0..1_000) } else { nsg };
            v4(rng, (10 << 24) | (of << 10), 10, 22..=32)
        };
        set((0..count).map(|_| block(rng)).collect::<Vec<_>>())
    };
    let large = tags.len() - 16;
    let mut policies = Vec::new();
    for nsg in 0..1_000 {
        // One direction has the far side as source, the other as destination.
        for inbound in [true, false] {
            let mut entries: Vec<Entry> = (0..94)
                .map(|_| {
                    let near = local(rng, nsg);
                    let far = match rng.random_range(0..10) {
                        0..2 => Arc::clone(&tags[rng.random_range(0..large)]),
                        2 => Arc::clone(&tags[rng.random_range(large..tags.len())]),
                        3 => Arc::clone(&any),
                        _ => local(rng, nsg),
                    };
                    if inbound { entry(rng, far, near) } else { entry(rng, near, far) }
                })
                .collect();
            entries.extend((0..6).map(|_| entry(rng, Arc::clone(&any), Arc::clone(&any))));
            policies.push(entries);
        }
    }
    let hosts = (0..10_000).map(|_| AddressSet::from_prefixes([host(v4(rng, 10 << 24, 20, 32..=32).addr())]));
    Estate { hosts: hosts.collect(), tags, policies }
}

fn compile_estate(estate: &Estate) -> (Cells, Vec<Classifier>, usize) {
    let sides = estate.policies.iter().flatten().flat_map(|entry| [&*entry.source, &*entry.destination]);
    let cells = Cells::build(estate.hosts.iter().chain(estate.tags.iter().map(|tag| &**tag)).chain(sides));
    let mut pools = Pools::for_classifiers(estate.policies.len());
    let classifiers: Vec<_> =
        estate.policies.iter().map(|entries| Classifier::build(&cells, &mut pools, entries)).collect();
    let bytes = cells.get_size() + classifiers.get_heap_size_with_tracker(StandardTracker::new()).0;
    (cells, classifiers, bytes)
}

fn whole_estate(criterion: &mut Criterion) {
    let estate = estate(&mut ChaCha8Rng::seed_from_u64(3));
    let begin = Instant::now();
    let (cells, classifiers, bytes) = compile_estate(&estate);
    println!(
        "estate: {} tags, {} policies, {} cells: {:.2} s, {} MiB of tables",
        estate.tags.len(),
        classifiers.len(),
        cells.len(),
        begin.elapsed().as_secs_f64(),
        bytes >> 20
    );
    drop((cells, classifiers));
    let mut group = criterion.benchmark_group("estate");
    group.sample_size(10);
    group.bench_function("compile", |bencher| bencher.iter(|| compile_estate(&estate)));
    group.finish();
}

criterion_group!(benches, classify, compile, whole_estate);
criterion_main!(benches);
