//! Addresses of blobs among paths.

use std::path::Path;

/// The address of blobs that a path is: `az://container/prefix`, or the same as a URL.
#[must_use]
pub fn address(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.starts_with("az://") || text.starts_with("https://"))
}

/// An address as it may be shown: a query may hold a signature.
pub(super) fn without_query(address: &str) -> &str {
    address.split_once('?').map_or(address, |(address, _)| address)
}
