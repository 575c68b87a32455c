//! From a [`Network`](crate::model::network::Network) to tables that answer in a few loads.
//!
//! In: a network and a tag catalogue. Out: a `CompiledNetwork` that never changes and that all threads share.
//! Knows nothing of files, packets in time, or words.

pub mod address_set;
pub mod cells;
pub mod classifier;
pub mod paged;
pub mod ports;
mod sweep;
mod trie;
