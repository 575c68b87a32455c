//! Why an input could not be read.

use std::io;

use thiserror::Error;

/// Why an input could not be read. Each message says where, what, and what was expected.
#[derive(Debug, Error)]
pub enum IngestError {
    /// A file or folder could not be opened or read.
    #[error("{path}: cannot be read: {source}")]
    Io {
        /// The path as the user gave it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without a file in it.
    #[error("{path}: the folder is empty: expected at least one file")]
    EmptyFolder {
        /// The folder.
        path: String,
    },
    /// More bytes than a file of this kind is taken with.
    #[error(
        "{path}: more than {limit_bytes} bytes after decompression, the most that is read of such a file"
    )]
    TooLarge {
        /// The file.
        path: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Content that is not what it should be.
    #[error("{place}: {message}")]
    Content {
        /// File, and JSON pointer, line or packet number in it: `web.json#/securityRules/3/priority`.
        place: String,
        /// The offending value and what was expected, in lower case, without a full stop.
        message: String,
    },
}

impl IngestError {
    /// An error of this path.
    #[must_use]
    pub fn io(path: &str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// An error about content.
    #[must_use]
    pub fn content(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Content { place: place.into(), message: message.into() }
    }
}
