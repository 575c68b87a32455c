//! How fast a network is asked, and whether both engines name the same rule.
//!
//! The keys are drawn from what the rules themselves name, at its edges and their neighbours: uniformly random packets
//! hardly ever meet a rule. Every key is asked; no answer is kept for the next one that looks like it.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::compile::address_set::AddressSet;
use crate::compile::cells::Cell;
use crate::compile::network::{CompileOptions, CompiledNetwork, PolicyReference};
use crate::compile::policy::{Decision, Engine, Policy};
use crate::compile::ports::PortSet;
use crate::compile::resolve::Clause;
use crate::compile::world::{Open, World};
use crate::model::flow::{FiveTuple, Packet, Port};
use crate::model::index::NicIndex;
use crate::model::measured::Spread;
use crate::model::rule::{Direction, Protocol};
use crate::model::verdict::Interface;
use crate::model::zipf::Zipf;
use crate::simulate::{Simulator, SimulatorOptions};

/// How often each figure is taken, after a round that does not count.
pub const REPEATS: usize = 5;

/// At least this many keys are asked of both engines.
const CHECKED: usize = 100_000;

/// At most this many keys for what takes longer than a look-up in the tables.
const MOST_SLOW: usize = 200_000;

/// Operations that are timed together: a clock is read in some twenty nanoseconds, a table in less.
pub const BATCH: usize = 256;

/// With a skew, how many keys are asked, again and again.
pub const SKEWED_KEYS: usize = 1 << 16;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Where chance begins.
    pub seed: u64,
    /// How many look-ups in the compiled tables make one round.
    pub lookups: usize,
    /// On how many threads.
    pub threads: Vec<usize>,
    /// How unevenly keys are asked, each rank a key of its own; without it nearly all keys differ.
    pub skew: Option<Zipf>,
}

/// A question: which rule of a policy decides about a packet?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BenchKey {
    /// Position in [`CompiledNetwork::policies`].
    pub policy: usize,
    /// The packet.
    pub tuple: FiveTuple,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// Look-ups of the linear engine.
    Linear,
    /// Look-ups of the compiled engine: both addresses' classes and the tables.
    Compiled,
    /// Whole journeys with state.
    Journey,
}

/// How long an operation took, in nanoseconds: the mean of a batch of [`BATCH`] in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half of the batches took no longer.
    pub p50_ns: f64,
    /// Of a hundred batches one took longer.
    pub p99_ns: f64,
}

/// How fast something was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// What.
    pub subject: Subject,
    /// On how many threads.
    pub threads: usize,
    /// How many operations one round had.
    pub operations: usize,
    /// Operations a second, of all threads together.
    pub per_second: Spread,
    /// How long one took, on its own thread.
    pub latency: Latency,
}

/// Both engines' answers to one key, which differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The key.
    pub key: BenchKey,
    /// What the compiled engine says.
    pub compiled: Result<Decision, Box<Open>>,
    /// What the linear engine says.
    pub linear: Result<Decision, Box<Open>>,
}

/// What a bench came to.
#[derive(Clone, Debug)]
pub struct BenchResult {
    /// How fast everything was.
    pub measures: Vec<Measure>,
    /// Seconds to compile the network.
    pub compile_s: Spread,
    /// Bytes of the compiled tables.
    pub memory_bytes: usize,
    /// How many keys were asked of both engines.
    pub checked: usize,
    /// Those of them that the tables answered alone, without an open question.
    pub settled: usize,
    /// Keys about which the engines differ.
    pub differences: Vec<Difference>,
}

/// Measures a network; nothing, if none of its interfaces has an NSG.
#[must_use]
pub fn bench(compiled: &Arc<CompiledNetwork>, options: &BenchOptions) -> Option<BenchResult> {
    let count = options.lookups.max(CHECKED);
    let keys = match &options.skew {
        Some(zipf) => skewed_keys(compiled, options.seed, count, zipf)?,
        None => keys(compiled, options.seed, count)?,
    };
    let (settled, differences) = check(compiled, &keys[..keys.len().min(MOST_SLOW)]);
    let timed = &keys[..options.lookups];
    let slow = &timed[..timed.len().min(MOST_SLOW)];
    let mut measures = Vec::new();
    for &threads in &options.threads {
        let mut take = |subject, keys: &[BenchKey], work: Work<'_>| {
            let round = || on_threads(threads, keys, &|own| work()(own)).as_secs_f64();
            let per_second = rounds(|| keys.len() as f64 / round());
            // In a round of its own: reading clocks takes time, too.
            let latency = latency(threads, keys, work);
            measures.push(Measure { subject, threads, operations: keys.len(), per_second, latency });
        };
        take(Subject::Linear, slow, &|| look_up(compiled, Engine::Linear));
        take(Subject::Compiled, timed, &|| look_up(compiled, Engine::Compiled));
        take(Subject::Journey, slow, &|| judge(compiled));
    }
    let compile_s = rounds(|| {
        let (network, tags) = (Arc::clone(&compiled.network), Arc::clone(&compiled.tags));
        let options = CompileOptions {
            partial_inventory: compiled.partial_inventory,
            assumptions: compiled.assumptions,
            ..CompileOptions::default()
        };
        let begin = Instant::now();
        let again = black_box(CompiledNetwork::new(network, tags, options));
        let elapsed = begin.elapsed();
        drop(again);
        elapsed.as_secs_f64()
    });
    let checked = keys.len().min(MOST_SLOW);
    Some(BenchResult {
        measures,
        compile_s,
        memory_bytes: compiled.memory_bytes(),
        checked,
        settled,
        differences,
    })
}

fn rounds(mut round: impl FnMut() -> f64) -> Spread {
    // The first round fills caches.
    black_box(round());
    let mut figures: Vec<f64> = (0..REPEATS).map(|_| round()).collect();
    figures.sort_by(f64::total_cmp);
    Spread { median: figures[REPEATS / 2], least: figures[0], most: figures[REPEATS - 1] }
}

fn on_threads(threads: usize, keys: &[BenchKey], work: &(dyn Fn(&[BenchKey]) + Sync)) -> Duration {
    let each = keys.len().div_ceil(threads).max(1);
    let begin = Instant::now();
    if threads == 1 {
        work(keys);
    } else {
        std::thread::scope(|scope| {
            for own in keys.chunks(each) {
                scope.spawn(move || work(own));
            }
        });
    }
    begin.elapsed()
}

fn latency(threads: usize, keys: &[BenchKey], work: Work<'_>) -> Latency {
    let batches = Mutex::new(Vec::new());
    on_threads(threads, keys, &|own| {
        let mut worker = work();
        // What is left over would be a smaller batch, and is left out.
        let own = own.chunks_exact(BATCH.min(own.len()));
        let timed: Vec<f64> = own
            .map(|batch| {
                let begin = Instant::now();
                worker(batch);
                begin.elapsed().as_nanos() as f64 / batch.len() as f64
            })
            .collect();
        batches.lock().unwrap_or_else(PoisonError::into_inner).extend(timed);
    });
    percentiles(batches.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// By nearest rank. There is at least one batch.
fn percentiles(mut batches: Vec<f64>) -> Latency {
    batches.sort_by(f64::total_cmp);
    let at = |percent: usize| batches[(batches.len() * percent).div_ceil(100) - 1];
    Latency { p50_ns: at(50), p99_ns: at(99) }
}

/// What one thread does with keys, batch after batch.
type Worker<'a> = Box<dyn FnMut(&[BenchKey]) + 'a>;

/// Makes the worker of a thread.
type Work<'a> = &'a (dyn Fn() -> Worker<'a> + Sync);

fn look_up(compiled: &CompiledNetwork, engine: Engine) -> Worker<'_> {
    let world = World::default();
    Box::new(move |keys| {
        for key in keys {
            black_box(decide(compiled, engine, black_box(key), &world)).ok();
        }
    })
}

fn judge(compiled: &Arc<CompiledNetwork>) -> Worker<'_> {
    let mut simulator = Simulator::new(Arc::clone(compiled), SimulatorOptions::default());
    let mut time_us = 0;
    Box::new(move |keys| {
        for key in keys {
            time_us += 1;
            let packet = Packet::new(black_box(key).tuple);
            black_box(simulator.judge(&packet, time_us * 1000)).ok();
        }
    })
}

fn decide(
    compiled: &CompiledNetwork,
    engine: Engine,
    key: &BenchKey,
    world: &World,
) -> Result<Decision, Box<Open>> {
    let FiveTuple { source, destination, .. } = key.tuple;
    let cells = match engine {
        Engine::Compiled => (compiled.cell(source), compiled.cell(destination)),
        // The linear engine does not look at classes.
        Engine::Linear => (Cell(0), Cell(0)),
    };
    let decided = compiled.policies[key.policy].decide(engine, &key.tuple, cells, world)?;
    Ok(decided.expect("the last default rule of each direction matches every packet (DEF-1)"))
}

/// Asks both engines, and counts what the tables settle alone.
fn check(compiled: &CompiledNetwork, keys: &[BenchKey]) -> (usize, Vec<Difference>) {
    let world = World::default();
    let mut settled = 0;
    let mut differences = Vec::new();
    for key in keys {
        let cells = (compiled.cell(key.tuple.source), compiled.cell(key.tuple.destination));
        settled += usize::from(compiled.policies[key.policy].classify(&key.tuple, cells).is_some());
        let by_tables = decide(compiled, Engine::Compiled, key, &world);
        let by_list = decide(compiled, Engine::Linear, key, &world);
        if by_tables != by_list {
            differences.push(Difference { key: *key, compiled: by_tables, linear: by_list });
        }
    }
    (settled, differences)
}

/// Draws keys for the policies of the network's interfaces; nothing, if no interface has one.
///
/// The same network, seed and count give the same keys.
#[must_use]
pub fn keys(compiled: &CompiledNetwork, seed: u64, count: usize) -> Option<Vec<BenchKey>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let asked: Vec<Asked> =
        (0..compiled.network.nics.len()).flat_map(|nic| Asked::at(compiled, NicIndex::new(nic))).collect();
    if asked.is_empty() {
        return None;
    }
    let mut edges = Edges::default();
    let policies: Vec<Vec<ClauseEdges>> =
        compiled.policies.iter().map(|policy| edges.of_policy(policy)).collect();
    let keys = (0..count).map(|_| {
        let asked = &asked[random.random_range(0..asked.len())];
        let clauses = &policies[asked.policy];
        let clause = &clauses[random.random_range(0..clauses.len())];
        BenchKey { policy: asked.policy, tuple: clause.draw(asked, &mut random) }
    });
    Some(keys.collect())
}

/// Draws keys unevenly: again and again from as many as the law has ranks.
///
/// The same network, seed, count and law give the same keys; the same keys are drawn from under any law of as many ranks.
#[must_use]
pub fn skewed_keys(
    compiled: &CompiledNetwork,
    seed: u64,
    count: usize,
    zipf: &Zipf,
) -> Option<Vec<BenchKey>> {
    let pool = keys(compiled, seed, zipf.ranks())?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Not the chance that drew the keys themselves.
    random.set_stream(1);
    Some((0..count).map(|_| pool[zipf.rank(random.random())]).collect())
}

/// A policy that an interface asks.
struct Asked {
    policy: usize,
    direction: Direction,
    /// The interface's own addresses.
    own: Vec<IpAddr>,
}

impl Asked {
    fn at(compiled: &CompiledNetwork, nic: NicIndex) -> Vec<Self> {
        let configurations = &compiled.network.nics[nic.get()].ip_configurations;
        let own: Vec<IpAddr> = configurations.iter().filter_map(|known| known.address).collect();
        let mut asked = Vec::new();
        for direction in [Direction::Inbound, Direction::Outbound] {
            for layer in compiled.layers(Interface::Nic(nic), direction) {
                if let PolicyReference::Compiled(policy) = layer.policy {
                    asked.push(Self { policy, direction, own: own.clone() });
                }
            }
        }
        asked
    }
}

/// First and last address of each range, of IPv4 and of IPv6.
type Ranges = Arc<[Vec<(u128, u128)>; 2]>;

/// The ranges of address sets, each set taken apart once: rules share the sets of service tags.
#[derive(Default)]
struct Edges {
    known: HashMap<usize, (Arc<AddressSet>, Ranges)>,
}

/// What a clause of a rule names.
struct ClauseEdges {
    source: Ranges,
    destination: Ranges,
    source_ports: PortSet,
    destination_ports: PortSet,
    protocols: Vec<Protocol>,
}

impl Edges {
    fn of_policy(&mut self, policy: &Policy) -> Vec<ClauseEdges> {
        policy.rules.iter().flat_map(|rule| &rule.clauses).map(|clause| self.of_clause(clause)).collect()
    }

    fn of_clause(&mut self, clause: &Clause) -> ClauseEdges {
        let common = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP];
        let named = |protocol: &Protocol| clause.protocols.known.contains(*protocol);
        ClauseEdges {
            source: self.of_set(&clause.source.widest()),
            destination: self.of_set(&clause.destination.widest()),
            source_ports: clause.source_ports.known.clone(),
            destination_ports: clause.destination_ports.known.clone(),
            protocols: common.into_iter().filter(named).collect(),
        }
    }

    fn of_set(&mut self, set: &Arc<AddressSet>) -> Ranges {
        // The set is held, so that no other comes to lie at its place.
        let (_, ranges) = self.known.entry(Arc::as_ptr(set).addr()).or_insert_with(|| {
            let v4 = set.ranges_v4().into_iter().map(|(first, last)| (first.into(), last.into())).collect();
            (Arc::clone(set), Arc::new([v4, set.ranges_v6()]))
        });
        Arc::clone(ranges)
    }
}

impl ClauseEdges {
    fn draw(&self, asked: &Asked, random: &mut ChaCha8Rng) -> FiveTuple {
        let shared: Vec<usize> = [0, 1]
            .into_iter()
            .filter(|&family| !self.source[family].is_empty() && !self.destination[family].is_empty())
            .collect();
        let family = if shared.is_empty() { 0 } else { shared[random.random_range(0..shared.len())] };
        let mut source = near(&self.source[family], family, random);
        let mut destination = near(&self.destination[family], family, random);
        // Half of the packets are the interface's own, as all are in traffic.
        let own: Vec<IpAddr> =
            asked.own.iter().copied().filter(|own| own.is_ipv6() == (family == 1)).collect();
        if !own.is_empty() && random.random_bool(0.5) {
            let own = own[random.random_range(0..own.len())];
            match asked.direction {
                Direction::Inbound => destination = own,
                Direction::Outbound => source = own,
            }
        }
        let mut protocol = Protocol::TCP;
        if !self.protocols.is_empty() && random.random_bool(0.9) {
            protocol = self.protocols[random.random_range(0..self.protocols.len())];
        }
        let mut port = |ports: &PortSet| {
            if protocol.has_ports() { Port::Number(near_port(ports, random)) } else { Port::None }
        };
        FiveTuple {
            source,
            destination,
            protocol,
            source_port: port(&self.source_ports),
            destination_port: port(&self.destination_ports),
        }
    }
}

/// An edge of one of the ranges, a neighbour of it, or something in between; anything, where there is no range.
fn near(ranges: &[(u128, u128)], family: usize, random: &mut ChaCha8Rng) -> IpAddr {
    let most = if family == 0 { u128::from(u32::MAX) } else { u128::MAX };
    let (first, last) =
        if ranges.is_empty() { (0, most) } else { ranges[random.random_range(0..ranges.len())] };
    let number = match random.random_range(0..8) {
        0 => first.saturating_sub(1),
        1 => last.saturating_add(1).min(most),
        2 | 3 => first,
        4 | 5 => last,
        _ => random.random_range(first..=last),
    };
    match u32::try_from(number) {
        Ok(number) if family == 0 => Ipv4Addr::from(number).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

fn near_port(ports: &PortSet, random: &mut ChaCha8Rng) -> u16 {
    let ranges = ports.ranges();
    if ranges.is_empty() {
        return random.random();
    }
    let range = ranges[random.random_range(0..ranges.len())];
    match random.random_range(0..8) {
        0 => range.first().saturating_sub(1),
        1 => range.last().saturating_add(1),
        2 | 3 => range.first(),
        4 | 5 => range.last(),
        _ => random.random_range(range.first()..=range.last()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, REPEATS, percentiles, rounds};

    #[test]
    fn the_median_stands_between_the_least_and_the_most_and_the_first_round_does_not_count() {
        let mut figures = [1000.0, 3.0, 1.0, 5.0, 4.0, 2.0].into_iter();
        let spread = rounds(|| figures.next().expect("one round to warm up and five that count"));
        assert_eq!((REPEATS, figures.next()), (5, None));
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 3.0, 5.0));
    }

    #[test]
    fn percentiles_are_batches_that_were_timed() {
        let batches: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentiles(batches), Latency { p50_ns: 100.0, p99_ns: 198.0 });
        assert_eq!(percentiles(vec![7.0]), Latency { p50_ns: 7.0, p99_ns: 7.0 });
    }
}
