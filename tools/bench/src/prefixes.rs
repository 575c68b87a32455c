//! The longest of many prefixes that covers an address: nsgsim's cells, two crates, and DPDK's forwarding table.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::{Result, bail};
use ip_network::Ipv4Network;
use ip_network_table::IpNetworkTable;
use ipnet::Ipv4Net;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::cells::{Cell, Cells};
use nsgsim::model::prefix::Prefix;
use prefix_trie::PrefixMap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::dpdk::BATCH;
use crate::measure::{Effort, Spread, side_by_side};
use crate::native::{self, Dpdk, Fib};
use crate::table::{self, Table};

/// The answer to an address that no prefix covers. DPDK's table has 31 bits for an answer.
const MISSING: u32 = u32::MAX >> 1;

/// The engines, in the order of [`Outcome::engines`].
pub(crate) const ENGINES: [&str; 4] = ["nsgsim", "DPDK FIB", "ip_network_table", "prefix-trie"];

/// What one workload on one set came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) set: String,
    /// `anywhere` or `inside`.
    pub(crate) workload: &'static str,
    pub(crate) prefixes: usize,
    /// In the order of [`ENGINES`].
    pub(crate) engines: Vec<Engine>,
}

/// How one engine did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    /// Look-ups a second.
    pub(crate) per_s: Spread,
    pub(crate) build_s: f64,
    pub(crate) bytes: usize,
}

/// So many different prefixes, seven in eight of /16 to /32 and the others shorter.
pub(crate) fn random(seed: u64, count: usize) -> Vec<Ipv4Net> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut nets = HashSet::new();
    while nets.len() < count {
        let length =
            if rng.random_range(0..8) == 0 { rng.random_range(8..16) } else { rng.random_range(16..=32) };
        nets.insert(Ipv4Net::new(rng.random::<u32>().into(), length).expect("at most 32").trunc());
    }
    let mut nets: Vec<Ipv4Net> = nets.into_iter().collect();
    nets.sort_unstable();
    nets
}

/// Measures both workloads on a set of different prefixes.
///
/// # Errors
///
/// Fails where DPDK does, and if two engines differ about an address.
pub(crate) fn measure(
    dpdk: Dpdk,
    effort: Effort,
    seed: u64,
    (set, nets): (&str, &[Ipv4Net]),
    addresses: usize,
) -> Result<Vec<Outcome>> {
    let (ours, ours_cost) = built(native::heap_bytes, || Ours::build(nets));
    let (fib, fib_cost) =
        built(|| usize::try_from(dpdk.taken()).expect("it lies in memory"), || fib(dpdk, nets));
    let fib = fib?;
    let (network_table, network_table_cost) = built(native::heap_bytes, || network_table(nets));
    let (trie, trie_cost) = built(native::heap_bytes, || trie(nets));
    let costs = [ours_cost, fib_cost, network_table_cost, trie_cost];

    let plain = Plain::of(nets);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut outcomes = Vec::new();
    for workload in ["anywhere", "inside"] {
        let drawn: Vec<u32> = (0..addresses)
            .map(|_| if workload == "anywhere" { rng.random() } else { inside(&mut rng, nets) })
            .collect();
        let expected: Vec<u32> = drawn.iter().map(|&address| plain.find(address)).collect();
        let (mut answers, mut wide) = (vec![0; drawn.len()], vec![0; drawn.len()]);
        ours.find(&drawn, &mut answers);
        agree(set, ENGINES[0], &drawn, &answers, &expected)?;
        in_batches(&fib, &drawn, &mut wide);
        let narrowed: Vec<u32> =
            wide.iter().map(|&answer| u32::try_from(answer).unwrap_or(MISSING)).collect();
        agree(set, ENGINES[1], &drawn, &narrowed, &expected)?;
        each(&drawn, &mut answers, |address| in_network_table(&network_table, address));
        agree(set, ENGINES[2], &drawn, &answers, &expected)?;
        each(&drawn, &mut answers, |address| in_trie(&trie, address));
        agree(set, ENGINES[3], &drawn, &answers, &expected)?;

        let mut others = [answers.clone(), answers.clone()];
        let [third, fourth] = &mut others;
        let rates = side_by_side(
            effort,
            &mut [
                &mut || ours.find(&drawn, &mut answers),
                &mut || in_batches(&fib, &drawn, &mut wide),
                &mut || each(&drawn, third, |address| in_network_table(&network_table, address)),
                &mut || each(&drawn, fourth, |address| in_trie(&trie, address)),
            ],
        );
        let engines = ENGINES.iter().zip(rates).zip(costs);
        outcomes.push(Outcome {
            set: set.to_owned(),
            workload,
            prefixes: nets.len(),
            engines: engines
                .map(|((name, per_s), (build_s, bytes))| Engine { name, per_s, build_s, bytes })
                .collect(),
        });
    }
    Ok(outcomes)
}

/// What was built, the seconds it took, and the bytes that stay.
fn built<T>(bytes: impl Fn() -> usize, build: impl FnOnce() -> T) -> (T, (f64, usize)) {
    let before = bytes();
    let begin = Instant::now();
    let built = build();
    let elapsed = begin.elapsed().as_secs_f64();
    (built, (elapsed, bytes().saturating_sub(before)))
}

/// An address of one of the prefixes.
fn inside(rng: &mut ChaCha8Rng, nets: &[Ipv4Net]) -> u32 {
    let net = nets[rng.random_range(0..nets.len())];
    rng.random_range(u32::from(net.network())..=u32::from(net.broadcast()))
}

/// Looks each address up, one after the other. Returns their number.
#[inline]
fn each(addresses: &[u32], answers: &mut [u32], find: impl Fn(u32) -> u32) -> usize {
    for (&address, answer) in black_box(addresses).iter().zip(&mut *answers) {
        *answer = find(address);
    }
    black_box(answers);
    addresses.len()
}

/// Looks addresses up many at a time, as DPDK has it. Returns their number.
fn in_batches(fib: &Fib, addresses: &[u32], answers: &mut [u64]) -> usize {
    for (addresses, answers) in black_box(addresses).chunks(BATCH).zip(answers.chunks_mut(BATCH)) {
        fib.find(addresses, answers);
    }
    black_box(answers);
    addresses.len()
}

fn agree(set: &str, name: &str, addresses: &[u32], answers: &[u32], expected: &[u32]) -> Result<()> {
    for ((&address, answer), expected) in addresses.iter().zip(answers).zip(expected) {
        if answer != expected {
            let address = Ipv4Addr::from(address);
            bail!("{set}: {address}: {name} says prefix {answer}, the plain table {expected}");
        }
    }
    Ok(())
}

/// A map for each length, asked from the longest on: what the engines are held against.
struct Plain {
    by_length: Vec<HashMap<u32, u32>>,
}

impl Plain {
    fn of(nets: &[Ipv4Net]) -> Self {
        let mut by_length = vec![HashMap::new(); 33];
        for (index, net) in (0..).zip(nets) {
            by_length[usize::from(net.prefix_len())].insert(net.network().into(), index);
        }
        Self { by_length }
    }

    fn find(&self, address: u32) -> u32 {
        let covering = (0..=32).rev().find_map(|length: u8| {
            let net = Ipv4Net::new(address.into(), length).expect("at most 32");
            self.by_length[usize::from(length)].get(&net.network().into())
        });
        covering.copied().unwrap_or(MISSING)
    }
}

/// The cells of the prefixes, and for each the longest prefix that it lies in.
struct Ours {
    cells: Cells,
    longest: Box<[u32]>,
}

impl Ours {
    fn build(nets: &[Ipv4Net]) -> Self {
        let sets: Vec<AddressSet> =
            nets.iter().map(|&net| AddressSet::from_prefixes([Prefix::V4(net)])).collect();
        let cells = Cells::build(&sets);
        let mut longest = vec![MISSING; cells.len()];
        // A longer prefix comes later and puts itself in the place of those around it.
        let mut order: Vec<usize> = (0..nets.len()).collect();
        order.sort_by_key(|&index| nets[index].prefix_len());
        for index in order {
            let own = cells.cells_of(&sets[index]).expect("the cells were cut by this set");
            let answer = u32::try_from(index).expect("fewer prefixes than addresses");
            for cell in own.into_iter().flatten() {
                longest[cell as usize] = answer;
            }
        }
        Self { cells, longest: longest.into() }
    }

    /// The longest prefix that covers each address.
    #[inline]
    fn find(&self, addresses: &[u32], answers: &mut [u32]) -> usize {
        let mut cells = [Cell(0); BATCH];
        for (addresses, answers) in black_box(addresses).chunks(BATCH).zip(answers.chunks_mut(BATCH)) {
            let cells = &mut cells[..addresses.len()];
            self.cells.find_each_v4(addresses, cells);
            for (answer, Cell(cell)) in answers.iter_mut().zip(cells) {
                *answer = self.longest[*cell as usize];
            }
        }
        black_box(answers);
        addresses.len()
    }
}

fn fib(dpdk: Dpdk, nets: &[Ipv4Net]) -> Result<Fib> {
    // Blocks of 24 bits that hold longer prefixes have a group of their own.
    let long = nets.iter().filter(|net| net.prefix_len() > 24);
    let groups: HashSet<u32> = long.map(|net| u32::from(net.network()) >> 8).collect();
    let mut fib = Fib::new(dpdk, nets.len(), groups.len() + 1, MISSING)?;
    for (index, net) in (0..).zip(nets) {
        fib.add(net.network().into(), net.prefix_len(), index)?;
    }
    Ok(fib)
}

fn network_table(nets: &[Ipv4Net]) -> IpNetworkTable<u32> {
    let mut table = IpNetworkTable::new();
    for (index, net) in (0..).zip(nets) {
        let network = Ipv4Network::new(net.network(), net.prefix_len()).expect("no host bits are set");
        table.insert(network, index);
    }
    table
}

#[inline]
fn in_network_table(table: &IpNetworkTable<u32>, address: u32) -> u32 {
    table.longest_match_ipv4(address.into()).map_or(MISSING, |(_, &index)| index)
}

fn trie(nets: &[Ipv4Net]) -> PrefixMap<(u32, u8), u32> {
    (0..).zip(nets).map(|(index, net)| ((net.network().into(), net.prefix_len()), index)).collect()
}

#[inline]
fn in_trie(trie: &PrefixMap<(u32, u8), u32>, address: u32) -> u32 {
    trie.get_lpm(&(address, 32)).map_or(MISSING, |(_, &index)| index)
}

/// The rates as a table.
pub(crate) fn rates(outcomes: &[Outcome]) -> Table {
    let mut columns = vec!["prefixes, addresses".to_owned(), "number".to_owned()];
    columns.extend(ENGINES.map(|name| format!("{name} M/s")));
    columns.extend(ENGINES[1..].iter().map(|name| format!("by {name}")));
    let mut table = Table::new(&columns);
    for outcome in outcomes {
        let mut row = vec![format!("{}, {}", outcome.set, outcome.workload), outcome.prefixes.to_string()];
        row.extend(outcome.engines.iter().map(|engine| table::millions(engine.per_s)));
        let ours = outcome.engines[0].per_s.median;
        row.extend(outcome.engines[1..].iter().map(|engine| table::times(ours / engine.per_s.median)));
        table.push(row);
    }
    table
}

/// What the tables take and how long they took to build, as a table.
pub(crate) fn costs(outcomes: &[Outcome]) -> Table {
    let mut columns = vec!["prefixes".to_owned(), "number".to_owned()];
    columns.extend(ENGINES.map(|name| format!("{name} memory")));
    columns.extend(ENGINES.map(|name| format!("{name} built in")));
    let mut table = Table::new(&columns);
    // Both workloads have the same tables.
    for outcome in outcomes.iter().filter(|outcome| outcome.workload == "inside") {
        let mut row = vec![outcome.set.clone(), outcome.prefixes.to_string()];
        row.extend(outcome.engines.iter().map(|engine| table::bytes(engine.bytes)));
        row.extend(outcome.engines.iter().map(|engine| table::milliseconds(engine.build_s)));
        table.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv4Net;

    use super::{MISSING, Ours, Plain, in_network_table, in_trie, network_table, trie};

    fn found(ours: &Ours, address: u32) -> u32 {
        let mut answer = [0];
        ours.find(&[address], &mut answer);
        answer[0]
    }

    #[test]
    fn the_longest_prefix_answers() {
        let nets: Vec<Ipv4Net> = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"]
            .map(|net| net.parse().unwrap())
            .into();
        let (plain, ours) = (Plain::of(&nets), Ours::build(&nets));
        let (table, trie) = (network_table(&nets), trie(&nets));
        for (address, expected) in [
            (0x0a01_0203, 3),
            (0x0a01_0204, 2),
            (0x0a01_0304, 1),
            (0x0a02_0203, 0),
            (0x0b00_0000, MISSING),
            (0, MISSING),
        ] {
            let said = [
                plain.find(address),
                found(&ours, address),
                in_network_table(&table, address),
                in_trie(&trie, address),
            ];
            assert_eq!(said, [expected; 4], "{address:#x}");
        }
    }
}
