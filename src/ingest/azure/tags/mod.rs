//! Service tags, from Microsoft's weekly file, from the list of the API, or from the snapshot built into the program.
//!
//! In: the bytes of one file. Out: a [`TagCatalog`], and a [`Finding`] for whatever was odd but readable.
//! The form is told by content: `values` or `value` in JSON (TAG-1, TAG-2), or the first bytes of a
//! [`snapshot`].

mod file;
pub mod snapshot;

use std::path::Path;

use crate::ingest::error::IngestError;
use crate::ingest::source;
use crate::model::finding::Finding;
use crate::model::tag::TagCatalog;

/// The most bytes, unpacked, that are read of a tag file: sixty times what the largest published one holds.
pub const LIMIT_BYTES: u64 = 256 << 20;

/// The tags built into the program, packed as [`snapshot`] says. How to renew them: `data/README.md`.
static BUNDLED: &[u8] = include_bytes!("../../../../data/service-tags/public.tags.zst");

/// Reads a tag file, packed with gzip or zstd or not at all; `-` is standard input.
///
/// # Errors
///
/// Fails if the file cannot be read, and where [`parse`] fails.
pub fn load(path: &Path) -> Result<(TagCatalog, Vec<Finding>), IngestError> {
    parse(&source::shown(path), &source::read(path, LIMIT_BYTES)?)
}

/// Reads the unpacked bytes of a tag file; `name` is what messages call it, and may hold the day of its state.
///
/// # Errors
///
/// Fails on bytes that are no tag file, and on a tag without a name, a list of prefixes or with a prefix that is none:
/// a set of addresses with a hole in it would let rules miss in silence.
pub fn parse(name: &str, bytes: &[u8]) -> Result<(TagCatalog, Vec<Finding>), IngestError> {
    if bytes.starts_with(snapshot::MAGIC) {
        return Ok((snapshot::read(name, bytes)?, Vec::new()));
    }
    file::read(name, bytes)
}

/// The tags built into the program: the public cloud, on the day that [`TagCatalog::source`] names.
///
/// # Panics
///
/// Never: the tests read the same bytes.
#[must_use]
pub fn bundled() -> TagCatalog {
    snapshot::unpack("the built-in service tags", BUNDLED).expect("the built-in service tags are whole")
}
