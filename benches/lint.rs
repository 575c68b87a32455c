//! How long lint looks at a network, reading left out.
//!
//! `cargo bench --bench lint`; the NSG of 1,000 rules, a tenth of them with a service tag, is that of
//! `nsgsim gen --nsg 1000 --seed 1`.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use nsgsim::analyze::lint::found;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{self, tags};
use nsgsim::ingest::synth::{Estate, EstateOptions};
use nsgsim::model::lint::Check;
use nsgsim::model::tag::TagCatalog;

fn compiled(folder: &Path, tags: &Arc<TagCatalog>) -> CompiledNetwork {
    let network = azure::load(&[folder.to_owned()], Some(tags)).expect("the exports can be read").network;
    let options = CompileOptions { linear_only: true, ..CompileOptions::default() };
    CompiledNetwork::new(Arc::new(network), Arc::clone(tags), options)
}

/// A network made for the bench.
fn made(name: &str, options: EstateOptions, tags: &Arc<TagCatalog>) -> CompiledNetwork {
    let estate = Estate::new(options, tags).expect("the numbers fit together");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lint-{name}"));
    fs::create_dir_all(&folder).expect("a folder for the exports");
    for (name, part) in estate.parts() {
        let file = File::create(folder.join(name)).expect("a file for a part");
        estate.write(&[part], file).expect("a part can be written");
    }
    compiled(&folder, tags)
}

fn lints(criterion: &mut Criterion) {
    let tags = Arc::new(tags::bundled());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/example");
    let one = EstateOptions { vnets: 1, nics: 1, nsgs: 1, rules: 1000, tags_share: 0.1, seed: 1 };
    let many = EstateOptions { vnets: 10, nics: 1000, nsgs: 100, rules: 100, ..one };
    let mut group = criterion.benchmark_group("lint");
    group.sample_size(10);
    for (name, compiled) in [
        ("example", &compiled(&example, &tags)),
        ("one NSG of 1,000 rules", &made("one", one, &tags)),
        ("100 NSGs of 100 rules", &made("many", many, &tags)),
    ] {
        group.bench_function(name, |bencher| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a small pool");
            let usual = |check: Check| check.is_usual();
            bencher.iter(|| pool.install(|| black_box(found(compiled, usual))));
        });
    }
    group.finish();
}

criterion_group!(benches, lints);
criterion_main!(benches);
