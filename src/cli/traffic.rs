//! Captures, flow logs and flow tables as a run takes them: found, put in time order, read in batches.

use std::path::PathBuf;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::CliError;
use crate::analyze::whatif::WhatIf;
use crate::ingest::capture::flow_log::{self, RecordTexts};
use crate::ingest::capture::flow_table::{self, SkipCause};
use crate::ingest::capture::input::{Input, InputOptions, Packets, Portion};
use crate::ingest::error::IngestError;
use crate::ingest::source::{self, Source};
use crate::model::record::Location;
use crate::model::recorded::RecordedFlow;
use crate::replay::conversations::Conversation;
use crate::replay::recorded::Entry;
use crate::replay::run::{BATCH, Replay, Totals};
use crate::report::inputs::Inputs;
use crate::report::ledger::{DamageJson, MOST_UNREAD, Provenance, Timing, UnreadJson};
use crate::report::time::{counted, grouped};

/// How many entries that could not be read are told of on standard error.
const UNREAD_SHOWN: usize = 20;

/// The captures, flow logs and flow tables of a run.
pub(super) struct Traffic {
    /// In the order in which they are read.
    sources: Vec<Source>,
    /// Their names, by position.
    pub(super) files: Vec<String>,
    /// Files of folders that are none.
    ignored: Vec<String>,
    /// Files whose framing was lost.
    damage: Vec<DamageJson>,
    /// The first entries that could not be read.
    unread: Vec<UnreadJson>,
    /// How many more there were.
    unread_beyond: u64,
    next: usize,
    open: Option<Input>,
    options: InputOptions,
    keeps_frames: bool,
    progress: ProgressBar,
    records: u64,
    quiet: bool,
    started: Instant,
}

/// What is worked on at a time.
pub(super) enum Batch {
    /// Packets of captures.
    Packets(Packets),
    /// Tuples of flow logs, or rows of flow tables.
    Entries(Vec<Entry>),
}

/// A batch as it is read.
enum Raw {
    Packets(Packets),
    Texts(RecordTexts),
    Rows(Vec<Result<RecordedFlow, flow_table::Skipped>>),
}

impl Traffic {
    /// Finds the captures, flow logs and flow tables behind the paths and puts them in the order of their first records.
    pub(super) fn find(paths: &[PathBuf], options: InputOptions, quiet: bool) -> Result<Self, CliError> {
        let started = Instant::now();
        let mut found: Vec<(Option<u64>, Source)> = Vec::new();
        let mut ignored = Vec::new();
        for path in paths {
            let behind = source::find(path)?;
            for source in behind.sources {
                match first_time(&source, &options) {
                    Ok(time) => found.push((time, source)),
                    // What else a folder holds is named and left alone; a file that was asked for must be one.
                    Err(IngestError::Content { .. }) if behind.is_folder => ignored.push(source.name()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // LIMIT: inputs that overlap in time are read one after the other, not merged.
        found.sort_by_key(|(time, _)| *time);
        let sources: Vec<Source> = found.into_iter().map(|(_, source)| source).collect();
        if !quiet {
            for file in &ignored {
                eprintln!("warning: {file}: no capture, flow log or flow table, left alone");
            }
        }
        let files = sources.iter().map(Source::name).collect();
        options.watch.restart();
        let progress = if quiet { ProgressBar::hidden() } else { progress(&sources) };
        Ok(Self {
            sources,
            files,
            ignored,
            damage: Vec::new(),
            unread: Vec::new(),
            unread_beyond: 0,
            next: 0,
            open: None,
            options,
            keeps_frames: false,
            progress,
            records: 0,
            quiet,
            started,
        })
    }

    /// Keeps the frames of packets beside them, or not.
    pub(super) fn keeping_frames(self, keeps_frames: bool) -> Self {
        Self { keeps_frames, ..self }
    }

    /// The next batch, in the room of one that was worked on; nothing at the end of the last input.
    fn read(&mut self, mut packets: Packets) -> Result<Option<Raw>, CliError> {
        packets.clear(self.keeps_frames);
        while packets.records.len() < BATCH && !packets.is_full() {
            let Some(input) = &mut self.open else {
                let Some(source) = self.sources.get(self.next) else { break };
                let file = u32::try_from(self.next).map_err(|_| CliError::usage("too many inputs"))?;
                self.open = Some(Input::open(source, file, &self.options)?);
                self.next += 1;
                continue;
            };
            // Packets before a log or table are worked on before it.
            if !input.is_capture() && !packets.records.is_empty() {
                break;
            }
            match input.next(BATCH - packets.records.len(), &mut packets)? {
                Portion::Packets => continue,
                Portion::Texts(texts) => return Ok(Some(Raw::Texts(texts))),
                Portion::Rows(rows) => return Ok(Some(Raw::Rows(rows))),
                Portion::End => {}
            }
            if let Some(damage) = input.damage() {
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
        Ok((!packets.records.is_empty()).then_some(Raw::Packets(packets)))
    }

    /// Hands on batch after batch; the next one is read and parsed while one is worked on.
    pub(super) fn each(
        &mut self,
        pool: &ThreadPool,
        mut work: impl FnMut(&Batch) -> Result<(), CliError> + Send,
    ) -> Result<(), CliError> {
        let mut room = Packets::with_capacity(BATCH);
        let mut numbered = (u32::MAX, 0);
        let mut next = pool.install(|| self.read_parsed(Packets::with_capacity(BATCH), &mut numbered))?;
        while let Some((batch, unread)) = next {
            let (done, read) = pool.install(|| {
                let read = || self.read_parsed(std::mem::take(&mut room), &mut numbered);
                rayon::join(|| work(&batch), read)
            });
            done?;
            self.note(&batch, unread);
            if let Batch::Packets(packets) = batch {
                room = packets;
            }
            next = read?;
        }
        Ok(())
    }

    /// Runs everything through a replay whose options ask for flows, and hands these out as they end.
    pub(super) fn replay(
        &mut self,
        pool: &ThreadPool,
        mut replay: Replay,
        mut take: impl FnMut(&Conversation) + Send,
    ) -> Result<Totals, CliError> {
        self.each(pool, |batch| {
            let progress = match batch {
                Batch::Packets(packets) => replay.feed(&packets.records),
                Batch::Entries(entries) => replay.feed_recorded(entries),
            };
            progress.flows.iter().for_each(&mut take);
            Ok(())
        })?;
        let (totals, flows) = replay.finish();
        flows.iter().for_each(take);
        self.finish();
        Ok(totals)
    }

    /// Runs everything through both networks of a comparison.
    pub(super) fn compare(&mut self, pool: &ThreadPool, whatif: &mut WhatIf) -> Result<(), CliError> {
        self.each(pool, |batch| {
            match batch {
                Batch::Packets(packets) => whatif.feed(&packets.records),
                Batch::Entries(entries) => whatif.feed_recorded(entries),
            }
            Ok(())
        })?;
        self.finish();
        Ok(())
    }

    /// The next batch, and what could not be read of it.
    fn read_parsed(
        &mut self,
        room: Packets,
        numbered: &mut (u32, u64),
    ) -> Result<Option<(Batch, Vec<UnreadJson>)>, CliError> {
        Ok(self.read(room)?.map(|raw| raw.parse(numbered)))
    }

    /// Notes what was worked on.
    fn note(&mut self, batch: &Batch, unread: Vec<UnreadJson>) {
        self.records += match batch {
            Batch::Packets(packets) => packets.records.len() as u64,
            Batch::Entries(entries) => entries.iter().map(Entry::count).sum(),
        };
        for one in unread {
            if self.unread.len() == MOST_UNREAD {
                self.unread_beyond += 1;
                continue;
            }
            if !self.quiet && self.unread.len() < UNREAD_SHOWN {
                self.progress.suspend(|| eprintln!("warning: {}: {}", one.place, one.message));
            }
            self.unread.push(one);
        }
        let rate = self.records as f64 / self.progress.elapsed().as_secs_f64().max(1e-9);
        self.progress.set_message(format!(
            "{} of {}, {}, {}/s",
            self.next,
            counted(self.sources.len() as u64, "input"),
            counted(self.records, "record"),
            grouped(rate as u64),
        ));
        self.progress.set_position(self.options.watch.taken_bytes());
        self.progress.tick();
    }

    /// What was read so far, and how long it took.
    pub(super) fn provenance(&self, no_timing: bool, inputs: Inputs) -> Provenance {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let timing = Timing { elapsed_s, records_per_s: self.records as f64 / elapsed_s };
        Provenance {
            files: self.files.clone(),
            damage: self.damage.clone(),
            unread: self.unread.clone(),
            unread_beyond: self.unread_beyond,
            ignored: self.ignored.clone(),
            timing: (!no_timing).then_some(timing),
            inputs,
            pseudonyms: false,
        }
    }

    /// Ends the talk and says what was damaged.
    pub(super) fn finish(&self) {
        self.progress.finish_and_clear();
        if self.quiet {
            return;
        }
        let told = self.unread.len().min(UNREAD_SHOWN);
        let untold = (self.unread.len() - told) as u64 + self.unread_beyond;
        if untold > 0 {
            eprintln!("warning: and {} that cannot be read", counted(untold, "more place"));
        }
        for damage in &self.damage {
            eprintln!(
                "warning: {}: damaged after record {}: {}",
                damage.file, damage.after_record, damage.message
            );
        }
    }
}

impl Raw {
    /// What it holds, and what could not be read. Tuples are numbered through each file: `numbered` is the file of the
    /// batches before, and how many tuples it has had so far.
    fn parse(self, numbered: &mut (u32, u64)) -> (Batch, Vec<UnreadJson>) {
        let mut unread = Vec::new();
        match self {
            Self::Packets(packets) => (Batch::Packets(packets), unread),
            Self::Texts(texts) => {
                if numbered.0 != texts.file() {
                    *numbered = (texts.file(), 0);
                }
                let mut number = |entries: u64| {
                    let location = Location { file: numbered.0, number: numbered.1 + 1 };
                    numbered.1 += entries;
                    location
                };
                let entry = |item: Result<RecordedFlow, _>| match item {
                    Ok(mut flow) => {
                        flow.location = number(1);
                        Some(Entry::Flow(flow))
                    }
                    Err(flow_log::Skipped { place, message, tuples, .. }) => {
                        // Of a record that is too damaged to count its tuples one is known to be missing.
                        let count = tuples.unwrap_or(1);
                        unread.push(UnreadJson { place, message, entries: tuples });
                        (count > 0).then(|| Entry::Unread { location: number(count), count })
                    }
                };
                (Batch::Entries(texts.parse().into_iter().flatten().filter_map(entry).collect()), unread)
            }
            Self::Rows(rows) => {
                let entry = |row| match row {
                    Ok(flow) => Entry::Flow(flow),
                    Err(flow_table::Skipped { location, cause: SkipCause::NoFlow, .. }) => {
                        Entry::NoFlow(location)
                    }
                    Err(flow_table::Skipped { location, place, message, .. }) => {
                        unread.push(UnreadJson { place, message, entries: Some(1) });
                        Entry::Unread { location, count: 1 }
                    }
                };
                (Batch::Entries(rows.into_iter().map(entry).collect()), unread)
            }
        }
    }
}

/// How far a run has come: a bar with the time that is left, where the inputs' size is known.
fn progress(sources: &[Source]) -> ProgressBar {
    let (bar, template) = match sources.iter().map(Source::size_bytes).sum::<Option<u64>>() {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:20} {percent:>3} % {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("a fixed template is well-formed"))
}

/// The time of an input's first record that has one. Standard input cannot be read twice: it keeps its place.
fn first_time(source: &Source, options: &InputOptions) -> Result<Option<u64>, IngestError> {
    if source.is_stdin() {
        return Ok(None);
    }
    Input::open(source, 0, options)?.first_time_ns()
}
