//! How long it takes from exports to tables.
//!
//! `cargo bench --bench compile`; `classify` has the classifier alone, and a large estate.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{self, tags};
use nsgsim::model::tag::TagCatalog;

fn compile(criterion: &mut Criterion) {
    let bundled = Arc::new(tags::bundled());
    let folder = [Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join("example")];
    let loaded = azure::load(&folder, Some(&bundled)).expect("the example can be read");
    let network = Arc::new(loaded.network);
    let mut group = criterion.benchmark_group("network");
    group.sample_size(20);
    group.bench_function("unpack the service tags", |bencher| bencher.iter(|| black_box(tags::bundled())));
    group.bench_function("read the example's exports", |bencher| {
        bencher.iter(|| black_box(azure::load(&folder, Some(&bundled)).expect("the example can be read")));
    });
    for (name, tags) in [("with", bundled.clone()), ("without", Arc::new(TagCatalog::default()))] {
        group.bench_function(format!("compile the example {name} service tags"), |bencher| {
            bencher.iter(|| {
                let (network, tags) = (Arc::clone(&network), Arc::clone(&tags));
                black_box(CompiledNetwork::new(network, tags, CompileOptions::default()))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
