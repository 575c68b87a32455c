//! nsgsim's replay of a capture, called as the command does it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure;
use nsgsim::ingest::capture::CaptureReader;
use nsgsim::model::records::Records;
use nsgsim::model::rule::Direction;
use nsgsim::model::tag::TagCatalog;
use nsgsim::replay::run::{BATCH, Replay, ReplayOptions};
use nsgsim::replay::tally::Decider;
use nsgsim::simulate::SimulatorOptions;
use rayon::ThreadPool;

/// What a replay came to.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    pub(crate) records: usize,
    /// By custom rule of the one inbound list: packets.
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

/// Replays a capture on the threads of a pool, a new run each time: with flows that stay open, or every packet by itself.
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
        if let Decider::Rule { direction: Direction::Inbound, rule, .. } = *decider
            && let Some(counted) = by_rule.get_mut(rule as usize)
        {
            *counted += hits.packets;
        }
    }
    Ok(Replayed { records: usize::try_from(totals.ledger.read)?, by_rule })
}
