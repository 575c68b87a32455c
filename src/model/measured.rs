//! What a bench measured, as it was written down.

use std::collections::BTreeMap;

/// A figure that was taken several times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// A figure that was taken once.
    #[must_use]
    pub fn once(figure: f64) -> Self {
        Self { median: figure, least: figure, most: figure }
    }
}

/// The result of a bench.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredBench {
    /// The version of the program that was measured.
    pub version: Option<String>,
    /// The processor and its cores, in words, where they are known.
    pub machine: Option<String>,
    /// Where chance began.
    pub seed: u64,
    /// How unevenly keys were asked: the exponent of Zipf's law.
    pub skew: Option<f64>,
    /// What was asked, by name: hashes of exports and facts, the state of the tags, assumptions.
    pub inputs: BTreeMap<String, String>,
    /// How fast everything was.
    pub measures: Vec<MeasuredSpeed>,
    /// Seconds to compile the network.
    pub compile_s: Spread,
    /// Bytes of the compiled tables.
    pub memory_bytes: u64,
}

/// How fast something was.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredSpeed {
    /// What was measured, in the word of the result.
    pub subject: String,
    /// On how many threads.
    pub threads: u64,
    /// How many operations one round had.
    pub operations: u64,
    /// Operations a second.
    pub per_second: Spread,
}
