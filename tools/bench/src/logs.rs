//! Flow logs: bytes of a file to counts by rule, beside what parsing its JSON alone takes.

use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use nsgsim::analyze::logging::{Course, Logging};
use nsgsim::compile::network::CompiledNetwork;
use nsgsim::ingest::capture::flow_log::{LogReader, RecordTexts};
use nsgsim::ingest::error::IngestError;
use nsgsim::ingest::source;
use nsgsim::ingest::synth::{Estate, EstateOptions, SynthOptions, scripts, volumes};
use nsgsim::model::record::Location;
use nsgsim::model::recorded::RecordedFlow;
use nsgsim::replay::recorded::Entry;
use nsgsim::replay::run::{Replay, ReplayOptions};
use nsgsim::report::flow_log::{LogVersion, LogWriter};
use nsgsim::simulate::SimulatorOptions;
use rayon::ThreadPool;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::captures::pools;
use crate::measure::{Effort, Spread, side_by_side};
use crate::native;
use crate::nsg::Tags;
use crate::replay;
use crate::table::{self, Table};

/// What to generate, and how long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    /// The folder with the shared data.
    pub(crate) data: &'a Path,
    pub(crate) flows: u64,
    pub(crate) effort: Effort,
    pub(crate) seed: u64,
}

/// What all readers came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    tuples: usize,
    file_bytes: usize,
    readers: Vec<Reader>,
}

/// How one reader did.
#[derive(Clone, Debug, Serialize)]
struct Reader {
    name: &'static str,
    /// What it does with the log.
    work: &'static str,
    cores: usize,
    /// Tuples a second.
    per_s: Spread,
}

/// A log as deep as its tuples, nothing copied.
#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    flow_records: Flows<'a>,
}

#[derive(Deserialize)]
struct Flows<'a> {
    #[serde(borrow)]
    flows: Vec<Acl<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acl<'a> {
    #[serde(borrow)]
    flow_groups: Vec<Group<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    #[serde(borrow)]
    flow_tuples: Vec<&'a str>,
}

/// Generates a network and a VNet flow log of it, and reads that in every way.
///
/// # Errors
///
/// Fails on files that cannot be written or read, and if two ways count differently.
pub(crate) fn run(plan: Plan<'_>, cores: &[usize]) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let tags = Tags::read(plan.data)?;
    let options =
        EstateOptions { vnets: 4, nics: 400, nsgs: 40, rules: 100, tags_share: 0.1, seed: plan.seed };
    let estate = Estate::new(options, &tags.catalog)?;
    let exports = tempfile::tempdir_in(folder.path())?;
    for (name, part) in estate.parts() {
        estate.write(&[part], File::create(exports.path().join(name))?)?;
    }
    let compiled = replay::network(exports.path(), Arc::clone(&tags.catalog))?;
    let log = folder.path().join("PT1H.json");
    let tuples = usize::try_from(write(&compiled, &tags, plan, &log)?)?;

    let map = native::map(&log)?;
    let [one, all] = pools(cores)?;
    ensure!(parsed(&map)? == tuples, "serde_json finds another number of tuples");
    for pool in [&one, &all] {
        let read = replayed(&compiled, &log, pool)?;
        ensure!(read == tuples, "nsgsim reads {read} tuples of {tuples}");
    }
    let again = "what was read once is read again";
    let rates = side_by_side(
        plan.effort,
        &mut [
            &mut || parsed(&map).expect(again),
            &mut || {
                streamed(&log).expect(again);
                tuples
            },
            &mut || replayed(&compiled, &log, &one).expect(again),
            &mut || replayed(&compiled, &log, &all).expect(again),
        ],
    );
    let kinds = [
        ("serde_json", "JSON alone, from memory, down to the tuples' texts", 1),
        ("serde_json", "JSON alone, streamed from the file, nothing kept", 1),
        ("nsgsim", "tuples read, judged at their interfaces, compared and counted", 1),
        ("nsgsim", "the same", cores.len()),
    ];
    let readers =
        kinds.into_iter().zip(rates).map(|((name, work, cores), per_s)| Reader { name, work, cores, per_s });
    Ok(Outcome { tuples, file_bytes: map.len(), readers: readers.collect() })
}

/// When the first flow begins: 2026-01-01T00:00:00Z. Logs take small numbers for seconds (LOG-7).
const START_NS: u64 = 1_767_225_600_000_000_000;

/// Writes what a VNet flow log would say of seeded flows. Returns the number of its tuples.
fn write(compiled: &Arc<CompiledNetwork>, tags: &Tags, plan: Plan<'_>, log: &Path) -> Result<u64> {
    let options = SynthOptions { flows: plan.flows, seed: plan.seed, skew: None, start_ns: START_NS };
    let mut writer = LogWriter::new(LogVersion::Vnet, File::create(log)?)?;
    let mut logging = Logging::new(Arc::clone(compiled), SimulatorOptions::default());
    for script in scripts(&compiled.network, &tags.catalog, &options)? {
        let (Some(first), Some(last)) = (script.first(), script.last()) else { continue };
        let (first_ms, last_ms) = (first.time_ns / 1_000_000, last.time_ns / 1_000_000);
        writer.write_before(first_ms)?;
        let [sent, returned] = volumes(&script);
        let course = Course { first_ms, last_ms, sent, returned };
        for sighting in logging.sightings(&first.packet, first.time_ns) {
            let acl = sighting.rule.acl.clone().unwrap_or_default();
            for flow in sighting.tuples(acl, sighting.access, &course) {
                writer.add(&flow);
            }
        }
    }
    Ok(writer.finish()?.1)
}

fn parsed(log: &[u8]) -> Result<usize> {
    let log: Log<'_> = serde_json::from_slice(log)?;
    let flows = log.records.iter().flat_map(|record| &record.flow_records.flows);
    Ok(flows.flat_map(|acl| &acl.flow_groups).map(|group| group.flow_tuples.len()).sum())
}

fn streamed(log: &Path) -> Result<()> {
    let stream = BufReader::with_capacity(1 << 16, File::open(log)?);
    black_box(serde_json::from_reader::<_, IgnoredAny>(stream)?);
    Ok(())
}

/// Replays a log as the command does. Returns the number of tuples.
fn replayed(compiled: &Arc<CompiledNetwork>, log: &Path, pool: &ThreadPool) -> Result<usize> {
    pool.install(|| {
        let mut reader = LogReader::from_reader("log", 0, source::open(log)?);
        let mut replay = Replay::new(Arc::clone(compiled), ReplayOptions::default());
        let mut number = 0;
        let mut next = move || {
            let texts = reader.next_batch()?;
            Ok::<_, IngestError>(texts.map(|texts| entries(&texts, &mut number)))
        };
        let mut read = next()?;
        while let Some(entries) = read {
            // The next ones are read and parsed while these are judged.
            let (_, later) = rayon::join(|| replay.feed_recorded(&entries), &mut next);
            read = later?;
        }
        Ok(usize::try_from(replay.finish().0.ledger.read)?)
    })
}

/// What the texts of some records hold, numbered through the file.
fn entries(texts: &RecordTexts, number: &mut u64) -> Vec<Entry> {
    let entry = |item: Result<RecordedFlow, _>| {
        *number += 1;
        let mut flow = item.ok()?;
        flow.location = Location { file: 0, number: *number };
        Some(Entry::Flow(flow))
    };
    texts.parse().into_iter().flatten().filter_map(entry).collect()
}

impl Outcome {
    /// The outcome as a table; the last column holds each against the JSON alone.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["reader", "does", "cores", "M tuples/s", "MB/s", "of JSON alone"]);
        let alone = self.readers[0].per_s.median;
        let bytes_each = self.file_bytes as f64 / self.tuples as f64;
        for reader in &self.readers {
            table.push(vec![
                reader.name.to_owned(),
                reader.work.to_owned(),
                reader.cores.to_string(),
                table::millions(reader.per_s),
                format!("{:.0}", reader.per_s.median * bytes_each / 1e6),
                table::times(reader.per_s.median / alone),
            ]);
        }
        table
    }

    /// What the file holds.
    pub(crate) fn caption(&self) -> String {
        format!("{} tuples, {}", self.tuples, table::bytes(self.file_bytes))
    }
}
