//! From answers to bytes. Alone chooses words, columns and colours.
//!
//! In: answers of `simulate`, `replay` and `analyze`. Out: tables for people and JSON, CSV, Markdown for machines; a page of a
//! replay for people who were not there.

mod agreement;
pub mod assertions;
pub mod bench;
pub mod check;
pub mod decisions;
pub mod diff;
pub mod drift;
pub mod effective;
pub mod effective_routes;
pub mod explain;
pub mod flow_log;
pub mod groups;
pub mod html;
pub mod inputs;
pub mod ledger;
pub mod lint;
pub mod names;
pub mod next_hop;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod places;
pub mod pseudonyms;
pub mod reach;
mod regions;
pub mod replay;
pub mod sheet;
pub mod slowdown;
pub mod split;
pub mod style;
pub mod suggest;
pub mod tags;
pub mod time;
pub mod usage;
pub mod whatif;
