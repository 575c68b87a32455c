//! What would Azure do with this traffic, and which rule says so?
//!
//! Data runs one way: [`ingest`] reads exports and captures into the [`model`], [`compile`] turns a network into
//! tables, [`simulate`] judges one packet, [`replay`] many, [`analyze`] holds networks side by side, [`report`] writes
//! answers, [`cli`] is the command.

pub mod analyze;
pub mod cli;
pub mod compile;
pub mod ingest;
pub mod model;
pub mod replay;
pub mod report;
pub mod simulate;
