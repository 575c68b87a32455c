//! How long the exact difference of two networks takes, reading left out.
//!
//! `cargo bench --bench difference`; NSGs of 1,000 rules, a tenth of them with a service tag, are those of
//! `nsgsim gen --nsg 1000 --seed N`.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use nsgsim::analyze::diff::difference;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{self, tags};
use nsgsim::ingest::synth::{Estate, EstateOptions};
use nsgsim::model::network::Network;
use nsgsim::model::rule::Access;
use nsgsim::model::tag::TagCatalog;

fn read(folder: &Path, tags: &Arc<TagCatalog>) -> Network {
    azure::load(&[folder.to_owned()], Some(tags)).expect("the exports can be read").network
}

fn compiled(network: Network, tags: &Arc<TagCatalog>) -> Arc<CompiledNetwork> {
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::clone(tags), CompileOptions::default()))
}

/// A network of one interface with an NSG of 1,000 rules.
fn nsg(seed: u64, tags: &Arc<TagCatalog>) -> Network {
    let options = EstateOptions { vnets: 1, nics: 1, nsgs: 1, rules: 1000, tags_share: 0.1, seed };
    let estate = Estate::new(options, tags).expect("the numbers fit together");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("difference-{seed}"));
    fs::create_dir_all(&folder).expect("a folder for the exports");
    for (name, part) in estate.parts() {
        let file = File::create(folder.join(name)).expect("a file for a part");
        estate.write(&[part], file).expect("a part can be written");
    }
    read(&folder, tags)
}

/// The network with the access of every hundredth rule turned.
fn edited(mut network: Network) -> Network {
    let rules = network.nsgs.iter_mut().flat_map(|nsg| &mut nsg.rules).filter(|rule| !rule.is_default);
    for rule in rules.step_by(100) {
        rule.access = if rule.access == Access::Allow { Access::Deny } else { Access::Allow };
    }
    network
}

fn differences(criterion: &mut Criterion) {
    let tags = Arc::new(tags::bundled());
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let example = |name: &str| compiled(read(&data.join(name), &tags), &tags);
    let (one, other) = (nsg(1, &tags), nsg(2, &tags));
    let edited = compiled(edited(one.clone()), &tags);
    let (one, other) = (compiled(one, &tags), compiled(other, &tags));
    let mut group = criterion.benchmark_group("difference");
    group.sample_size(10);
    for (name, base, candidate) in [
        ("example and its candidate", &example("example"), &example("example-candidate")),
        ("1,000 rules, ten of them changed", &one, &edited),
        ("1,000 rules and 1,000 others", &one, &other),
    ] {
        group.bench_function(name, |bencher| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a small pool");
            bencher.iter(|| pool.install(|| black_box(difference(base, candidate, None))));
        });
    }
    group.finish();
}

criterion_group!(benches, differences);
criterion_main!(benches);
