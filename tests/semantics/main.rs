//! What Azure does with packets: the engines against the oracle, the oracle against cases worked out by hand, and both against
//! the conformance cases and recorded answers.

mod aml_checklist;
mod answers;
mod assertions;
mod assumptions;
mod bounds;
#[path = "../support/build/mod.rs"]
mod build;
mod classifier;
mod conformance;
mod connected;
mod difference;
mod ends;
mod engine;
mod engines;
#[path = "../support/example_data/mod.rs"]
mod example_data;
mod express;
mod facts;
mod r#gen;
mod lint;
mod observed;
mod oracle;
mod oracle_by_hand;
mod plans;
mod reach;
mod recorded;
mod tables;
mod ties;
mod tightening;
mod topologies;
mod universe;
