//! A proposed change in a small YAML file: a list of edits to rules, attachments and routes of a network.
//!
//! Read here; [`azure::load_edited`](super::azure::load_edited) applies it to exports, which then are read as if their
//! owner had changed them. An edit that Azure would refuse for what it names is refused.

mod file;

use std::path::Path;

pub(in crate::ingest) use file::{AddRoute, AddRule, Attachment, ChangeRule, Edit, RemoveRoute, RemoveRule};
use serde_saphyr::Spanned;

use super::error::IngestError;
use super::source;
use super::yaml::{self, At};

/// The most that is read of a file of edits.
const LIMIT_BYTES: u64 = 16 << 20;

/// The edits of one file, in its order.
#[derive(Debug)]
pub struct Edits {
    /// How messages name the file.
    pub(in crate::ingest) name: String,
    pub(in crate::ingest) list: Vec<Spanned<Edit>>,
    /// Of the file's content.
    pub digest: blake3::Hash,
}

impl Edits {
    /// Reads a file, plain or packed.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, and as [`Edits::parse`] does.
    pub fn read(path: &Path) -> Result<Self, IngestError> {
        Self::parse(&source::shown(path), &source::read(path, LIMIT_BYTES)?)
    }

    /// Takes the content of the file `name`. An empty one changes nothing.
    ///
    /// # Errors
    ///
    /// Fails, with line and column, on what is not YAML, on an unknown edit, key or word, on a key that stands twice or is
    /// missing, and on a value of another shape than is expected.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, IngestError> {
        let list: Option<Vec<Spanned<Edit>>> = yaml::parse(name, bytes)?;
        let edits =
            Self { name: name.to_owned(), list: list.unwrap_or_default(), digest: blake3::hash(bytes) };
        file::check(&edits)?;
        Ok(edits)
    }

    /// How many edits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(in crate::ingest) fn error(&self, at: At, message: &str) -> IngestError {
        IngestError::content(at.place(&self.name), message)
    }
}
