//! nsgsim's replay of a capture, called as the command does it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure;
use nsgsim::ingest::capture::CaptureReader;
use nsgsim::model::records::Records;
use nsgsim::model::tag::TagCatalog;
use nsgsim::replay::run::{BATCH, Replay, ReplayOptions};
use nsgsim::replay::tally::Decider;
use nsgsim::simulate::SimulatorOptions;
use rayon::ThreadPool;

use crate::nsg;

/// What a replay came to.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    pub(crate) records: usize,
    /// By custom rule, whichever list it stands in: packets.
    pub(crate) by_rule: Vec<u64>,
}

/// Reads and compiles the exports of a folder.
///
/// # Errors
///
/// Fails if they cannot be read.
pub(crate) fn network(folder: &Path, tags: Arc<TagCatalog>) -> Result<Arc<CompiledNetwork>> {
    let loaded = azure::load(&[folder.to_owned()], Some(&tags))?;
    Ok(Arc::new(CompiledNetwork::new(Arc::new(loaded.network), tags, CompileOptions::default())))
}

/// Replays a capture through lists of so many custom rules each, all the same, on the threads of a pool, a new run each time: with flows that stay open, or every packet by itself.
///
/// # Errors
///
/// Fails if the capture cannot be read.
pub(crate) fn replay(
    compiled: &Arc<CompiledNetwork>,
    capture: &Path,
    pool: &ThreadPool,
    stateful: bool,
    rules: usize,
) -> Result<Replayed> {
    let mut reader = CaptureReader::open(capture, 0)?;
    let simulator = SimulatorOptions { stateful, ..SimulatorOptions::default() };
    let options = ReplayOptions { simulator, ..ReplayOptions::default() };
    let mut replay = Replay::new(Arc::clone(compiled), options);
    let mut read = |batch: &mut Records| -> Result<()> {
        batch.clear();
        reader.read_batch(BATCH, batch)?;
        Ok(())
    };
    let (mut batch, mut next) = (Records::with_capacity(BATCH), Records::with_capacity(BATCH));
    read(&mut batch)?;
    while !batch.is_empty() {
        // The next one is read while this one is judged.
        let ((), done) = pool.install(|| rayon::join(|| drop(replay.feed(&batch)), || read(&mut next)));
        done?;
        std::mem::swap(&mut batch, &mut next);
    }
    let (totals, _) = replay.finish();
    let mut by_rule = vec![0; rules];
    for ((decider, _), hits) in &totals.tally.deciders {
        if let Decider::Rule { nsg, rule, .. } = *decider {
            let rule = &compiled.network.nsgs[nsg.get()].rules[rule as usize];
            if !rule.is_default {
                by_rule[rule.priority.0 as usize - nsg::FIRST_PRIORITY] += hits.packets;
            }
        }
    }
    Ok(Replayed { records: usize::try_from(totals.ledger.read)?, by_rule })
}
