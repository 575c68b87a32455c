//! What no export holds and the user states in a small YAML file: what appliances do, routes learned by BGP, where
//! management groups hang, which admin configurations are deployed, kinds of subscriptions, trusted callers.
//!
//! A statement is taken at its word, and refused where it names nothing, says a thing twice or contradicts the exports.

mod apply;
mod file;

use std::path::Path;

use super::error::IngestError;
use super::source;
use super::yaml::{self, At};
use crate::model::network::Network;

/// The most that is read of a file of facts.
const LIMIT_BYTES: u64 = 16 << 20;

/// The statements of one file.
#[derive(Debug)]
pub struct Facts {
    /// How messages name the file.
    name: String,
    statements: file::Statements,
    /// Of the file's content.
    pub digest: blake3::Hash,
}

impl Facts {
    /// Reads a file, plain or packed.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, and as [`Facts::parse`] does.
    pub fn read(path: &Path) -> Result<Self, IngestError> {
        Self::parse(&source::shown(path), &source::read(path, LIMIT_BYTES)?)
    }

    /// Takes the content of the file `name`. An empty one states nothing.
    ///
    /// # Errors
    ///
    /// Fails, with line and column, on what is not YAML, on an unknown key or word, on a key that stands twice, and on a
    /// value of another shape than is expected.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, IngestError> {
        let statements: file::Statements = yaml::parse(name, bytes)?;
        Ok(Self { name: name.to_owned(), statements, digest: blake3::hash(bytes) })
    }

    /// States the facts about each of the networks: one, or a base and a candidate. What a statement names must be in at
    /// least one of them, and holds in those that have it.
    ///
    /// # Errors
    ///
    /// Fails, with line and column, on a statement about something that no network holds or that several resources are
    /// called, on one that is made twice, and on one that contradicts what the exports say.
    pub fn apply(&self, networks: &mut [&mut Network]) -> Result<(), IngestError> {
        let mut unknown: Option<Vec<apply::Unknown>> = None;
        for network in networks {
            let here = apply::apply(self, network)?;
            unknown = Some(match unknown {
                None => here,
                Some(before) => before.into_iter().filter(|one| here.contains(one)).collect(),
            });
        }
        let mut unknown = unknown.unwrap_or_default();
        // The first in the file is told.
        unknown.sort();
        match unknown.into_iter().next() {
            Some(first) => Err(self.error(first.at, &first.message)),
            None => Ok(()),
        }
    }

    fn error(&self, at: At, message: &str) -> IngestError {
        IngestError::content(at.place(&self.name), message)
    }
}
