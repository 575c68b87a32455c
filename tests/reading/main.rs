//! Bytes to values: exports, service tags, captures, flow logs and flow tables, and what is made of seeds.

#[path = "../support/capture_bytes/mod.rs"]
mod capture_bytes;
mod captures;
mod edits;
#[path = "../support/example_data/mod.rs"]
mod example_data;
mod flow_logs;
mod flow_tables;
mod ingest_azure;
mod synth;
mod tags;
#[path = "../support/tshark.rs"]
mod tshark;
