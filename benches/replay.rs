//! How many records a second a replay and a comparison judge, reading left out.
//!
//! `cargo bench --bench replay`; the traffic is seeded from the example's own rules.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nsgsim::analyze::whatif::WhatIf;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{self, tags};
use nsgsim::ingest::synth::{SynthOptions, flows};
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::records::Records;
use nsgsim::replay::run::{BATCH, Replay, ReplayOptions};

fn network(name: &str) -> Arc<CompiledNetwork> {
    let tags = Arc::new(tags::bundled());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let loaded = azure::load(&[folder], Some(&tags)).expect("the example can be read");
    Arc::new(CompiledNetwork::new(Arc::new(loaded.network), tags, CompileOptions::default()))
}

fn traffic(compiled: &CompiledNetwork) -> Vec<Record> {
    let options =
        SynthOptions { flows: 20_000, seed: 1, skew: Some(1.0), start_ns: 1_700_000_000_000_000_000 };
    let packets = flows(&compiled.network, &compiled.tags, &options).expect("the example has interfaces");
    (1..)
        .zip(packets)
        .map(|(number, packet)| Record {
            location: Location { file: 0, number },
            time_ns: Some(packet.time_ns),
            wire_bytes: 60 + u32::from(packet.payload_bytes),
            content: Content::Packet(packet.packet),
        })
        .collect()
}

fn replay(criterion: &mut Criterion) {
    let (base, candidate) = (network("example"), network("example-candidate"));
    let records = traffic(&base);
    let batches: Vec<Records> = records.chunks(BATCH).map(Records::from).collect();
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(20).throughput(Throughput::Elements(records.len() as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
        group.bench_function(format!("one network, threads {threads}"), |bencher| {
            bencher.iter(|| {
                pool.install(|| {
                    let mut replay = Replay::new(Arc::clone(&base), ReplayOptions::default());
                    for batch in &batches {
                        black_box(replay.feed(batch));
                    }
                    black_box(replay.finish())
                })
            });
        });
        group.bench_function(format!("two networks, threads {threads}"), |bencher| {
            bencher.iter(|| {
                pool.install(|| {
                    let side = |compiled| (Arc::clone(compiled), ReplayOptions::default());
                    let mut whatif = WhatIf::new(side(&base), side(&candidate));
                    for batch in &batches {
                        whatif.feed(batch);
                    }
                    black_box(whatif.finish())
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
