//! From packets to verdicts, many at a time.
//!
//! In: a compiled network and records in time order. Out: a [`Tally`](tally::Tally) and a [`Ledger`](ledger::Ledger) that
//! adds up, and a row for each flow or record that is asked for; of flows a [`Digest`](digest::Digest), where a page is.
//! Knows nothing of words: it counts.

pub mod agreement;
pub mod conversations;
mod counts;
pub mod digest;
pub mod ledger;
mod logged_flows;
pub mod recorded;
pub mod run;
pub mod shard;
mod sharing;
pub mod tally;
