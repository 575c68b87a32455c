//! How rate and memory change with the number of rules and of prefixes.

use anyhow::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::chart::{Line, Panel};
use crate::classify::{self, Outcome};
use crate::headers;
use crate::linear;
use crate::measure::Effort;
use crate::native::Dpdk;
use crate::nsg::{self, Facing};
use crate::prefixes;

/// Numbers of rules.
const RULES: [usize; 9] = [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000];
/// Numbers of prefixes.
const PREFIXES: [usize; 7] = [100, 300, 1_000, 3_000, 10_000, 30_000, 110_000];

/// How far to go, and how long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) most_rules: usize,
    pub(crate) most_prefixes: usize,
    /// Headers, and addresses.
    pub(crate) headers: usize,
    pub(crate) effort: Effort,
    pub(crate) seed: u64,
}

/// What every size came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) rules: Vec<Outcome>,
    pub(crate) prefixes: Vec<prefixes::Outcome>,
}

/// Measures every size.
///
/// # Errors
///
/// Fails where the engines do, and if two differ.
pub(crate) fn run(dpdk: Dpdk, plan: Plan) -> Result<Growth> {
    let mut growth = Growth { rules: Vec::new(), prefixes: Vec::new() };
    for count in RULES.into_iter().filter(|&count| count <= plan.most_rules) {
        let set = nsg::rule_set(&format!("nsg_{count}"), &nsg::rules(plan.seed, count, Facing::Either, None));
        // The scan over so many rules would take hours.
        let length = plan.headers.min(3_000_000_000 / count);
        let headers = headers::random(&mut ChaCha8Rng::seed_from_u64(plan.seed), &set.rules, length);
        let linear = linear::first_matches(&set.rules, &headers);
        growth.rules.push(classify::measure(dpdk, plan.effort, &set, "random", &headers, &linear)?);
    }
    for count in PREFIXES.into_iter().filter(|&count| count <= plan.most_prefixes) {
        let nets = prefixes::random(plan.seed, count);
        let set = (format!("random_{count}"), nets);
        growth.prefixes.extend(prefixes::measure(
            dpdk,
            plan.effort,
            plan.seed,
            (&set.0, &set.1),
            plan.headers,
        )?);
    }
    Ok(growth)
}

impl Growth {
    /// Rates above, memory below; rules left, prefixes right.
    pub(crate) fn panels(&self) -> Vec<Panel> {
        let of_rules = |figure: &dyn Fn(&classify::Engine) -> f64| {
            let line = |name: &str, of: &dyn Fn(&Outcome) -> f64| Line {
                name: name.to_owned(),
                points: self.rules.iter().map(|outcome| (outcome.rules as f64, of(outcome))).collect(),
            };
            vec![
                line("nsgsim", &|outcome| figure(&outcome.ours)),
                line("DPDK ACL", &|outcome| figure(&outcome.dpdk)),
            ]
        };
        let of_prefixes = |figure: &dyn Fn(&prefixes::Engine) -> f64| {
            let line = |(place, name): (usize, &&'static str)| Line {
                name: (*name).to_owned(),
                points: self
                    .prefixes
                    .iter()
                    .filter(|outcome| outcome.workload == "inside")
                    .map(|outcome| (outcome.prefixes as f64, figure(&outcome.engines[place])))
                    .collect(),
            };
            prefixes::ENGINES.iter().enumerate().map(line).collect()
        };
        let panel = |title: &str, across, up, lines| Panel { title: title.to_owned(), across, up, lines };
        let mebibytes = |bytes: usize| bytes.max(1) as f64 / 1_048_576.0;
        vec![
            panel(
                "First match among rules",
                "rules",
                "million headers a second",
                of_rules(&|engine| engine.per_s.median / 1e6),
            ),
            panel(
                "Longest prefix, of addresses inside them",
                "prefixes",
                "million addresses a second",
                of_prefixes(&|engine| engine.per_s.median / 1e6),
            ),
            panel("Tables for rules", "rules", "MiB", of_rules(&|engine| mebibytes(engine.bytes))),
            panel("Tables for prefixes", "prefixes", "MiB", of_prefixes(&|engine| mebibytes(engine.bytes))),
        ]
    }
}
