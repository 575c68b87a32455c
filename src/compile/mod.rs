//! From a [`Network`](crate::model::network::Network) to tables that answer in a few loads.
//!
//! In: a network and a tag catalogue. Out: a [`CompiledNetwork`](network::CompiledNetwork) that never changes and that
//! all threads share. Knows nothing of files, packets in time, or words.

pub mod address_set;
pub mod admin;
pub mod balancers;
pub mod cells;
pub mod classifier;
pub mod field;
pub mod instructions;
mod intervals;
pub mod linear;
pub mod network;
mod nodes;
pub mod paged;
mod pairs;
mod part;
pub mod peerings;
pub mod places;
pub mod policy;
pub mod ports;
pub mod resolve;
pub mod routes;
mod services;
pub mod surroundings;
mod sweep;
pub mod ties;
pub mod topology;
mod trie;
mod vectors;
pub mod world;
