//! Captures as a run takes them: found, put in time order, read in batches.

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::CliError;
use crate::ingest::capture::{CaptureReader, Tunnels};
use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::frame::KeptFrames;
use crate::model::records::Records;
use crate::replay::run::BATCH;
use crate::report::inputs::Inputs;
use crate::report::ledger::{DamageJson, Provenance, Timing};

/// The captures of a run.
pub(super) struct Traffic {
    /// Paths in the order in which they are read.
    paths: Vec<PathBuf>,
    /// Their names, by position.
    pub(super) files: Vec<String>,
    /// Files of folders that are no captures.
    ignored: Vec<String>,
    /// Files whose framing was lost.
    damage: Vec<DamageJson>,
    next: usize,
    open: Option<CaptureReader>,
    tunnels: Tunnels,
    progress: ProgressBar,
    records: u64,
    started: Instant,
}

impl Traffic {
    /// Finds the captures behind the paths and puts them in the order of their first packets.
    pub(super) fn find(paths: &[PathBuf], quiet: bool) -> Result<Self, CliError> {
        let started = Instant::now();
        let mut found: Vec<(Option<u64>, PathBuf)> = Vec::new();
        let mut ignored = Vec::new();
        for path in paths {
            // What a folder holds beside captures is named and left alone; a file that was asked for must be one.
            let in_folder = path.is_dir();
            for file in source::files(std::slice::from_ref(path))? {
                match first_time(&file) {
                    Ok(time) => found.push((time, file)),
                    Err(IngestError::Content { .. }) if in_folder => ignored.push(source::shown(&file)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // LIMIT: captures that overlap in time are read one after the other, not merged.
        found.sort_by_key(|(time, _)| *time);
        let paths: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
        if !quiet {
            for file in &ignored {
                eprintln!("warning: {file}: no capture, left alone");
            }
        }
        let files = paths.iter().map(|path| source::shown(path)).collect();
        let progress = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("a fixed template is well-formed");
        progress.set_style(style);
        Ok(Self {
            paths,
            files,
            ignored,
            damage: Vec::new(),
            next: 0,
            open: None,
            tunnels: Tunnels::default(),
            progress,
            records: 0,
            started,
        })
    }

    /// Reads packets that carry others in this way.
    pub(super) fn with_tunnels(self, tunnels: Tunnels) -> Self {
        Self { tunnels, ..self }
    }

    /// Puts the next records in place of those of a batch, and their frames where these are kept; none at the end of the
    /// last capture.
    fn read(&mut self, batch: &mut Records, frames: &mut Option<KeptFrames>) -> Result<(), CliError> {
        batch.clear();
        if let Some(frames) = frames {
            frames.clear();
        }
        while batch.len() < BATCH && !frames.as_ref().is_some_and(KeptFrames::is_full) {
            let Some(reader) = &mut self.open else {
                let Some(path) = self.paths.get(self.next) else { break };
                let file = u32::try_from(self.next).map_err(|_| CliError::usage("too many captures"))?;
                self.open = Some(CaptureReader::open(path, file)?.with_tunnels(self.tunnels));
                self.next += 1;
                continue;
            };
            let most = BATCH - batch.len();
            let read = match frames {
                Some(frames) => reader.read_batch_with_frames(most, batch, frames)?,
                None => reader.read_batch(most, batch)?,
            };
            if read > 0 {
                continue;
            }
            if let Some(damage) = reader.damage() {
                self.damage.push(DamageJson {
                    file: self.files[self.next - 1].clone(),
                    after_record: damage.after_record,
                    offset: damage.offset,
                    unread_bytes: damage.unread_bytes,
                    message: damage.message.clone(),
                });
            }
            self.open = None;
        }
        self.records += batch.len() as u64;
        let rate = self.records as f64 / self.progress.elapsed().as_secs_f64().max(1e-9);
        self.progress.set_message(format!(
            "{} of {} captures, {} records, {rate:.0} records/s",
            self.next,
            self.paths.len(),
            self.records
        ));
        self.progress.tick();
        Ok(())
    }

    /// Hands on batch after batch; the next one is read while one is worked on.
    pub(super) fn each(
        &mut self,
        pool: &ThreadPool,
        mut work: impl FnMut(&Records) -> Result<(), CliError> + Send,
    ) -> Result<(), CliError> {
        self.each_with(|| None, pool, |batch, _| work(batch))
    }

    /// As [`Traffic::each`], with the frames of each batch where `keeps` makes room for them.
    pub(super) fn each_with(
        &mut self,
        keeps: impl Fn() -> Option<KeptFrames>,
        pool: &ThreadPool,
        mut work: impl FnMut(&Records, Option<&KeptFrames>) -> Result<(), CliError> + Send,
    ) -> Result<(), CliError> {
        let mut batch = (Records::with_capacity(BATCH), keeps());
        let mut next = (Records::with_capacity(BATCH), keeps());
        self.read(&mut batch.0, &mut batch.1)?;
        while !batch.0.is_empty() {
            let work = || work(&batch.0, batch.1.as_ref());
            let (done, read) = pool.install(|| rayon::join(work, || self.read(&mut next.0, &mut next.1)));
            done?;
            read?;
            std::mem::swap(&mut batch, &mut next);
        }
        Ok(())
    }

    /// What was read so far, and how long it took.
    pub(super) fn provenance(&self, no_timing: bool, inputs: Inputs) -> Provenance {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let timing = Timing { elapsed_s, records_per_s: self.records as f64 / elapsed_s };
        Provenance {
            files: self.files.clone(),
            damage: self.damage.clone(),
            ignored: self.ignored.clone(),
            timing: (!no_timing).then_some(timing),
            inputs,
        }
    }

    /// Ends the talk and says what was damaged.
    pub(super) fn finish(&self, quiet: bool) {
        self.progress.finish_and_clear();
        if quiet {
            return;
        }
        for damage in &self.damage {
            eprintln!(
                "warning: {}: damaged after record {}: {}",
                damage.file, damage.after_record, damage.message
            );
        }
    }
}

/// The time of a capture's first record that has one. Standard input cannot be read twice: it keeps its place.
fn first_time(path: &Path) -> Result<Option<u64>, IngestError> {
    if source::is_stdin(path) {
        return Ok(None);
    }
    let mut reader = CaptureReader::open(path, 0)?;
    let mut first = Records::default();
    reader.read_batch(1, &mut first)?;
    Ok(first.iter().next().and_then(|record| record.time_ns))
}
