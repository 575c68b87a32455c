//! In place of object storage, in a build without it: addresses are known, and refused.

use std::convert::Infallible;
use std::io::Read;

use super::error::IngestError;

#[path = "address.rs"]
mod address;

pub use address::address;

/// A blob, of which there is none in this build.
#[derive(Clone, Debug)]
pub struct Blob(Infallible);

impl Blob {
    /// How it is spelt in messages and results.
    #[must_use]
    pub fn name(&self) -> String {
        match self.0 {}
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self.0 {}
    }

    /// Its bytes.
    #[must_use]
    pub fn open(&self) -> Box<dyn Read + Send> {
        match self.0 {}
    }
}

/// The blobs behind an address.
///
/// # Errors
///
/// Fails in any case.
pub fn find(address: &str) -> Result<(Vec<Blob>, bool), IngestError> {
    one(address).map(|blob| (vec![blob], false))
}

/// The one blob of an address.
///
/// # Errors
///
/// Fails in any case.
pub fn one(address: &str) -> Result<Blob, IngestError> {
    let message = "this nsgsim was built without object storage: build it with the feature `object-storage`";
    Err(IngestError::content(address::without_query(address), message))
}
