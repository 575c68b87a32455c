//! The nouns: what a network is made of, what a packet is, what became of it.
//!
//! In: nothing. Out: values that every other room passes on. Knows no file format, no algorithm and no words
//! for people; a value is checked where it enters and trusted from there on.

pub mod answered;
pub mod assumptions;
pub mod finding;
pub mod flow;
pub mod flow_log;
pub mod frame;
pub mod id;
pub mod index;
pub mod lint;
pub mod measured;
pub mod network;
pub mod nsg;
pub mod observed;
pub mod prefix;
pub mod reason_code;
pub mod record;
pub mod recorded;
pub mod records;
pub mod routing;
pub mod rule;
pub mod services;
pub mod subscription;
pub mod tag;
pub mod unknown;
pub mod verdict;
pub mod zipf;
