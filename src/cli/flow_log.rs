//! `nsgsim replay --flow-log`: what the flow log of a virtual network would say of the flows that were judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CliError;
use super::output::{self, OutputFile};
use crate::analyze::logging::{Course, Logging};
use crate::compile::network::CompiledNetwork;
use crate::model::flow_log::Volume;
use crate::model::index::NicIndex;
use crate::replay::conversations::Conversation;
use crate::replay::run::ReplayOptions;
use crate::report::flow_log::{LogVersion, LogWriter};
use crate::report::pseudonyms::Shown;
use crate::report::time::counted;

/// How many tuples are put in order before they are written: a minute may then come in several records.
const MOST_HELD: u64 = 1 << 16;

/// A log under way.
pub(super) struct FlowLog {
    path: PathBuf,
    writer: LogWriter<OutputFile>,
    logging: Logging,
    at: Option<NicIndex>,
    held: u64,
    flows: u64,
    left_out: u64,
}

impl FlowLog {
    /// Starts the log of a replay.
    pub(super) fn create(
        path: &Path,
        compiled: &Arc<CompiledNetwork>,
        options: &ReplayOptions,
    ) -> Result<Self, CliError> {
        let writer = LogWriter::new(LogVersion::Vnet, OutputFile::create(path)?);
        Ok(Self {
            path: path.to_owned(),
            writer: writer.map_err(|source| output::failed(path, source))?,
            logging: Logging::new(Arc::clone(compiled), options.simulator),
            at: options.at,
            held: 0,
            flows: 0,
            left_out: 0,
        })
    }

    /// Takes flows that ended.
    pub(super) fn take(&mut self, shown: Shown<'_>, flows: &[Conversation]) -> Result<(), CliError> {
        for flow in flows {
            // A log without times is none.
            let sightings =
                if flow.first_ns == 0 { Vec::new() } else { self.logging.sightings_of(flow, self.at) };
            self.flows += 1;
            self.left_out += u64::from(sightings.is_empty());
            for sighting in sightings {
                let acl = sighting.rule.acl.clone().unwrap_or_default();
                for tuple in sighting.tuples(acl, sighting.access, &course(flow)) {
                    self.held += u64::from(self.writer.add(&shown.masked(&tuple)));
                }
            }
        }
        if self.held >= MOST_HELD {
            self.held = 0;
            self.writer.write_before(u64::MAX).map_err(|source| output::failed(&self.path, source))?;
        }
        Ok(())
    }

    /// Puts the log in its place, and says what is in it.
    pub(super) fn finish(self, quiet: bool) -> Result<(), CliError> {
        let (file, tuples) = self.writer.finish().map_err(|source| output::failed(&self.path, source))?;
        file.finish()?;
        if !quiet {
            eprintln!(
                "{}: {} of {}; {} in no log: undetermined, of no rule or of no time",
                self.path.display(),
                counted(tuples, "tuple"),
                counted(self.flows - self.left_out, "flow"),
                counted(self.left_out, "flow"),
            );
        }
        Ok(())
    }
}

/// How long a flow lasted and how much went each way.
fn course(flow: &Conversation) -> Course {
    let volume = |packets, bytes| Volume { packets: Some(packets), bytes: Some(bytes) };
    let returned = flow.returned;
    Course {
        first_ms: flow.first_ns / 1_000_000,
        last_ms: flow.last_ns / 1_000_000,
        sent: volume(
            flow.packets.saturating_sub(returned.packets),
            flow.bytes.saturating_sub(returned.bytes),
        ),
        returned: volume(returned.packets, returned.bytes),
    }
}
