//! The page of a replay: its file, and what is kept of the flows that it shows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CliError;
use super::output::{self, OutputFile};
use crate::compile::network::CompiledNetwork;
use crate::replay::conversations::Conversation;
use crate::replay::digest::Collector;
use crate::replay::run::{ReplayOptions, Totals};
use crate::report::html::ReplayPage;
use crate::report::ledger::Provenance;
use crate::report::pseudonyms::Shown;

/// A page under way.
pub(super) struct Page {
    path: PathBuf,
    file: OutputFile,
    compiled: Arc<CompiledNetwork>,
    options: ReplayOptions,
    collector: Collector,
}

impl Page {
    /// Starts the page of a replay.
    pub(super) fn create(
        path: &Path,
        compiled: &Arc<CompiledNetwork>,
        options: &ReplayOptions,
    ) -> Result<Self, CliError> {
        Ok(Self {
            path: path.to_owned(),
            file: OutputFile::create(path)?,
            compiled: Arc::clone(compiled),
            options: *options,
            collector: Collector::new(Arc::clone(compiled), options),
        })
    }

    /// Takes flows that ended.
    pub(super) fn take(&mut self, flows: &[Conversation]) {
        for flow in flows {
            self.collector.add(flow);
        }
    }

    /// Writes the page and puts it in its place.
    pub(super) fn finish(
        self,
        shown: Shown<'_>,
        totals: &Totals,
        provenance: &Provenance,
    ) -> Result<(), CliError> {
        let Self { path, mut file, compiled, options, collector } = self;
        let digest = collector.finish();
        let page =
            ReplayPage { compiled: &compiled, shown, options: &options, totals, digest: &digest, provenance };
        file.write_all(page.html().as_bytes()).map_err(|source| output::failed(&path, source))?;
        file.finish()
    }
}
