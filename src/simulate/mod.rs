//! One packet's journey: source filters, routes, translation, destination filters, state.
//!
//! In: a [`CompiledNetwork`](crate::compile::network::CompiledNetwork) and a packet that is already a value. Out: a
//! [`Verdict`](crate::model::verdict::Verdict) with what settled it. Knows nothing of files, formats or words.

pub mod ends;
pub mod express;
pub mod flow_map;
pub mod involved;
pub mod journey;
pub mod logged;
pub mod matters;
mod plan;
mod replies;
pub mod simulator;
pub mod state;
mod walk;
pub mod weighing;

pub use ends::{Ends, OutOfScope};
pub use express::Express;
pub use simulator::{Judged, Passed, Simulator, SimulatorOptions};
pub use weighing::Weighing;
