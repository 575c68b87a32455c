//! From bytes to values. Alone knows file formats.
//!
//! In: files, folders, pipes and blobs. Out: a [`Network`](crate::model::network::Network), a
//! [`TagCatalog`](crate::model::tag::TagCatalog), [`Record`](crate::model::record::Record)s,
//! [`LoggedFlow`](crate::model::flow_log::LoggedFlow)s and [`RecordedFlow`](crate::model::recorded::RecordedFlow)s in the
//! order of their files, and a [`Finding`](crate::model::finding::Finding) for whatever was odd but readable; of a bench
//! that was written down, a [`MeasuredBench`](crate::model::measured::MeasuredBench).

pub mod assertions;
pub mod azure;
pub mod bench;
pub mod capture;
pub mod checklist;
pub mod edit;
pub mod error;
pub mod facts;
pub mod json_lines;
pub mod lint_config;
pub mod source;
#[cfg(feature = "object-storage")]
pub mod storage;
#[cfg(not(feature = "object-storage"))]
#[path = "storage/absent.rs"]
pub mod storage;
pub mod synth;
mod yaml;
