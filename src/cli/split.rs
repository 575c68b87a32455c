//! `nsgsim replay --split-allowed`, `--split-denied`: the judged packets, in two captures.

use std::path::{Path, PathBuf};

use super::CliError;
use super::output::{self, OutputFile};
use super::traffic::Batch;
use crate::ingest::capture::input::Packets;
use crate::model::records::{Records, Slot};
use crate::model::verdict::VerdictKind;
use crate::replay::run::{Progress, Totals};
use crate::report::decisions::Rows;
use crate::report::names::Names;
use crate::report::split::{SplitError, SplitFormat, SplitWriter, comment};

/// Where packets are written to by their verdict.
#[derive(clap::Args, Debug)]
pub(super) struct SplitArgs {
    /// Write the packets that are allowed to FILE (.pcap or .pcapng), in the order of the input, as they were captured
    ///
    /// With their times to the nanosecond and their original lengths. In a .pcapng each packet has a comment that says
    /// what decided, and each link type an interface; a .pcap holds one link type and no comments. What has another
    /// verdict than allow and deny is in neither file: mixed, undetermined, out of scope, skipped. A packet without a
    /// time gets the last one before, by which it was judged.
    #[arg(long, value_name = "FILE")]
    split_allowed: Option<PathBuf>,
    /// Write the packets that are denied to FILE (.pcap or .pcapng), likewise
    #[arg(long, value_name = "FILE")]
    split_denied: Option<PathBuf>,
}

impl SplitArgs {
    /// The files with the options that name them.
    pub(super) fn named(&self) -> [(&'static str, Option<&Path>); 2] {
        [("--split-allowed", self.split_allowed.as_deref()), ("--split-denied", self.split_denied.as_deref())]
    }
}

/// The captures under way.
pub(super) struct Split {
    allowed: Option<Half>,
    denied: Option<Half>,
    /// The latest time known, in nanoseconds since 1970-01-01.
    clock_ns: u64,
}

/// One of the captures.
struct Half {
    writer: SplitWriter<OutputFile>,
    path: PathBuf,
    packets: u64,
}

impl Split {
    /// Starts the captures that are asked for; `None` where none is.
    pub(super) fn open(args: &SplitArgs) -> Result<Option<Self>, CliError> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Half::open).transpose();
        let (allowed, denied) = (open(&args.split_allowed)?, open(&args.split_denied)?);
        let asked = allowed.is_some() || denied.is_some();
        Ok(asked.then_some(Self { allowed, denied, clock_ns: 0 }))
    }

    /// Writes the packets of a batch.
    pub(super) fn take(
        &mut self,
        rows: &Rows<'_>,
        batch: &Batch,
        progress: &Progress,
    ) -> Result<(), CliError> {
        let Batch::Packets(Packets { records: batch, frames: Some(frames) }) = batch else {
            return Err(CliError::usage(
                "--split-allowed and --split-denied: flow logs and tables hold no packets: expected captures alone",
            ));
        };
        let names = Names { network: rows.shown.network };
        let mut times = batch.slots().iter().map(|slot| match slot {
            Slot::Plain(plain) => Some(plain.time_ns),
            Slot::Other(place) => batch.other(*place).time_ns,
        });
        let mut passed = 0;
        for (position, processed) in &progress.records {
            let mut is_untimed = false;
            for time_ns in times.by_ref().take(position + 1 - passed) {
                is_untimed = time_ns.is_none();
                self.clock_ns = time_ns.unwrap_or(self.clock_ns);
            }
            passed = position + 1;
            let half = match processed.verdict.kind() {
                VerdictKind::Allow => &mut self.allowed,
                VerdictKind::Deny => &mut self.denied,
                VerdictKind::Mixed | VerdictKind::Undetermined => continue,
            };
            let Some(half) = half else { continue };
            let frame = frames.get(*position).expect("what was judged was read from a frame");
            half.packets += 1;
            half.writer
                .write(frame, self.clock_ns, || comment(names, processed, is_untimed))
                .map_err(|error| half.failed(error, rows, batch, *position))?;
        }
        self.clock_ns = times.flatten().last().unwrap_or(self.clock_ns);
        Ok(())
    }

    /// Puts the captures in their places, and says what is in them.
    pub(super) fn finish(self, totals: &Totals, quiet: bool) -> Result<(), CliError> {
        for (half, kind) in [(self.allowed, VerdictKind::Allow), (self.denied, VerdictKind::Deny)] {
            let Some(Half { writer, path, packets }) = half else { continue };
            let counted = totals.tally.verdicts.get(&kind).map_or(0, |hits| hits.packets);
            assert_eq!(packets, counted, "each packet with the verdict `{kind}` is written once");
            writer.into_inner().map_err(|source| output::failed(&path, source))?.finish()?;
            if !quiet {
                eprintln!("{}: {packets} packets with the verdict `{kind}`", path.display());
            }
        }
        Ok(())
    }
}

impl Half {
    fn open(path: &Path) -> Result<Self, CliError> {
        let format = format_of(path)?;
        let writer = SplitWriter::new(format, OutputFile::create(path)?)
            .map_err(|source| output::failed(path, source))?;
        Ok(Self { writer, path: path.to_owned(), packets: 0 })
    }

    fn failed(&self, error: SplitError, rows: &Rows<'_>, batch: &Records, position: usize) -> CliError {
        match error {
            SplitError::Io(source) => output::failed(&self.path, source),
            unfit => {
                let place = batch.location(position);
                let file = rows.files.get(place.file as usize).map_or("", String::as_str);
                CliError::usage(format!("{}: {file} record {}: {unfit}", self.path.display(), place.number))
            }
        }
    }
}

fn format_of(path: &Path) -> Result<SplitFormat, CliError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "pcap" => Ok(SplitFormat::Pcap),
        "pcapng" => Ok(SplitFormat::PcapNg),
        _ => Err(CliError::usage(format!(
            "{}: expected a file name ending in .pcap or .pcapng",
            path.display()
        ))),
    }
}
