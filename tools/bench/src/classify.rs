//! The first rule of many that a header fits: nsgsim, DPDK, and rule after rule.

use std::cell::Cell;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::dpdk::{BATCH, Peer};
use crate::headers::{self, Header};
use crate::linear;
use crate::measure::{Effort, Spread, side_by_side};
use crate::native::{Dpdk, Wire};
use crate::nsg::{self, Facing, Tags};
use crate::ours::Ours;
use crate::rules::{NONE, RuleSet, read_classbench};
use crate::table::{self, Table};

/// The sets that are generated; the others are ClassBench's.
const NSG_SETS: [&str; 2] = ["nsg_100", "nsg_1k_tags"];

/// What to classify, and how long to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The folder with the shared data.
    pub(crate) data: PathBuf,
    /// The sets to take; all, if none is named.
    pub(crate) sets: Vec<String>,
    /// Headers of each workload.
    pub(crate) headers: usize,
    pub(crate) effort: Effort,
    pub(crate) seed: u64,
}

/// What one workload on one set came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    set: String,
    /// `trace` or `random`.
    workload: &'static str,
    pub(crate) rules: usize,
    /// Rules as DPDK takes them.
    expanded: usize,
    headers: usize,
    pub(crate) ours: Engine,
    pub(crate) dpdk: Engine,
    /// Headers a second, rule after rule.
    linear_per_s: Spread,
    /// The medians' ratio: ours by DPDK's.
    ratio: f64,
}

/// How one engine did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Engine {
    /// How the engine keeps or looks at its rules.
    pub(crate) form: String,
    /// Headers a second.
    pub(crate) per_s: Spread,
    pub(crate) build_s: f64,
    pub(crate) bytes: usize,
}

/// Measures every set.
///
/// # Errors
///
/// Fails if a set cannot be read or is not known, where DPDK fails, and if two engines differ about a header.
pub(crate) fn run(dpdk: Dpdk, plan: &Plan) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for name in names(plan)? {
        let (set, trace) = load(plan, &name)?;
        if let Some((headers, expected)) = &trace {
            let headers = &headers[..headers.len().min(plan.headers)];
            let linear = linear::first_matches(&set.rules, headers);
            agree(&set.name, "the trace's own", "the linear scan", headers, expected, &linear)?;
            outcomes.push(measure(dpdk, plan.effort, &set, "trace", headers, &linear)?);
        }
        let headers = headers::random(&mut ChaCha8Rng::seed_from_u64(plan.seed), &set.rules, plan.headers);
        let linear = linear::first_matches(&set.rules, &headers);
        outcomes.push(measure(dpdk, plan.effort, &set, "random", &headers, &linear)?);
    }
    Ok(outcomes)
}

/// The sets that the plan asks for.
fn names(plan: &Plan) -> Result<Vec<String>> {
    let mut known: Vec<String> = classbench(&plan.data)?;
    known.extend(NSG_SETS.map(str::to_owned));
    if plan.sets.is_empty() {
        return Ok(known);
    }
    for name in &plan.sets {
        ensure!(known.contains(name), "`{name}` is no rule set: expected one of {}", known.join(", "));
    }
    Ok(plan.sets.clone())
}

/// The ClassBench sets that lie in the shared data.
fn classbench(data: &Path) -> Result<Vec<String>> {
    let folder = data.join("classbench");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rules.gz").map(str::to_owned));
    }
    names.sort_by_key(|name| (name.contains("10k"), name.clone()));
    Ok(names)
}

type Trace = (Vec<Header>, Vec<u32>);

fn load(plan: &Plan, name: &str) -> Result<(RuleSet, Option<Trace>)> {
    let generated = |rules: &[nsg::NsgRule]| (nsg::rule_set(name, rules), None);
    Ok(match name {
        "nsg_100" => generated(&nsg::rules(plan.seed, 100, Facing::Either, None)),
        "nsg_1k_tags" => {
            let tags = Tags::read(&plan.data)?;
            generated(&nsg::rules(plan.seed, 1_000, Facing::Either, Some(&tags)))
        }
        _ => {
            let folder = plan.data.join("classbench");
            (read_classbench(&folder, name)?, Some(headers::read_trace(&folder, name)?))
        }
    })
}

/// Builds both engines, holds them against the linear scan, and measures all three.
///
/// # Errors
///
/// Fails where DPDK does, and if two engines differ about a header.
pub(crate) fn measure(
    dpdk: Dpdk,
    effort: Effort,
    set: &RuleSet,
    workload: &'static str,
    headers: &[Header],
    linear: &[u32],
) -> Result<Outcome> {
    let expanded = set.expanded();
    let wires: Vec<Cell<Wire>> = headers.iter().map(|header| Cell::new(header.wire())).collect();
    let wires: Vec<&Cell<Wire>> = wires.iter().collect();
    let ours = Ours::build(&set.rules);
    let peer = Peer::build(dpdk, &expanded, &wires)?;
    agree(&set.name, "nsgsim", "the linear scan", headers, &ours.first_matches(headers), linear)?;
    agree(&set.name, "DPDK", "the linear scan", headers, &peer.first_matches(&wires), linear)?;

    let (mut found, mut marks) = ([0; BATCH], [0; BATCH]);
    // The scan takes a thousand times as long a header: its share is cut so that a pass takes no longer than a turn.
    let scanned = &headers[..headers.len().min(20_000_000 / expanded.len().max(1)).max(1)];
    let rates = side_by_side(
        effort,
        &mut [
            &mut || {
                for batch in headers.chunks(BATCH) {
                    ours.classify(black_box(batch), &mut found);
                    black_box(&found);
                }
                headers.len()
            },
            &mut || {
                for batch in wires.chunks(BATCH) {
                    peer.classify(black_box(batch), &mut marks);
                    black_box(&marks);
                }
                wires.len()
            },
            &mut || {
                for header in scanned {
                    black_box(linear::first_match(&set.rules, black_box(header)));
                }
                scanned.len()
            },
        ],
    );
    Ok(Outcome {
        set: set.name.clone(),
        workload,
        rules: set.rules.len(),
        expanded: expanded.len(),
        headers: headers.len(),
        ours: Engine {
            form: ours.form(),
            per_s: rates[0],
            build_s: ours.build.as_secs_f64(),
            bytes: ours.bytes(),
        },
        dpdk: Engine {
            form: peer.method.to_owned(),
            per_s: rates[1],
            build_s: peer.build.as_secs_f64(),
            bytes: peer.bytes(),
        },
        linear_per_s: rates[2],
        ratio: rates[0].median / rates[1].median,
    })
}

/// Fails on the first header about which two differ.
pub(crate) fn agree(
    set: &str,
    one: &str,
    other: &str,
    headers: &[Header],
    ones: &[u32],
    others: &[u32],
) -> Result<()> {
    for ((header, &left), &right) in headers.iter().zip(ones).zip(others) {
        if left != right {
            let said = |rule| if rule == NONE { "no rule".to_owned() } else { format!("rule {rule}") };
            bail!("{set}: {header:?}: {one} says {}, {other} says {}", said(left), said(right));
        }
    }
    Ok(())
}

/// The outcomes as a table.
pub(crate) fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new(&[
        "set, headers",
        "rules",
        "expanded",
        "nsgsim M/s",
        "DPDK ACL M/s",
        "ratio",
        "linear M/s",
        "nsgsim built in",
        "DPDK built in",
        "nsgsim tables",
        "DPDK tables",
    ]);
    for outcome in outcomes {
        table.push(vec![
            format!("{}, {} ({}, {})", outcome.set, outcome.workload, outcome.ours.form, outcome.dpdk.form),
            outcome.rules.to_string(),
            outcome.expanded.to_string(),
            table::millions(outcome.ours.per_s),
            table::millions(outcome.dpdk.per_s),
            table::times(outcome.ratio),
            format!("{:.3}", outcome.linear_per_s.median / 1e6),
            table::milliseconds(outcome.ours.build_s),
            table::milliseconds(outcome.dpdk.build_s),
            table::bytes(outcome.ours.bytes),
            table::bytes(outcome.dpdk.bytes),
        ]);
    }
    table
}
