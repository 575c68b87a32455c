//! The same bytes on any number of threads, and the same sums however the records are cut into batches.

use std::sync::Arc;

use crate::example_data::{network, nsgsim, records, synthetic};
use nsgsim::analyze::whatif::{Comparison, WhatIf};
use nsgsim::compile::network::CompiledNetwork;
use nsgsim::model::record::Record;
use nsgsim::model::records::Records;
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use nsgsim::report::inputs::Inputs;
use nsgsim::report::ledger::Provenance;
use nsgsim::report::pseudonyms::Shown;
use nsgsim::report::replay::{By, ReplayReport};
use nsgsim::report::whatif::WhatIfReport;
use proptest::prelude::*;

fn replayed(compiled: &Arc<CompiledNetwork>, batches: &[&[Record]]) -> Totals {
    let mut replay = Replay::new(Arc::clone(compiled), ReplayOptions::default());
    for batch in batches {
        replay.feed(&Records::from(*batch));
    }
    replay.finish().0
}

fn compared(
    base: &Arc<CompiledNetwork>,
    candidate: &Arc<CompiledNetwork>,
    batches: &[&[Record]],
) -> Comparison {
    let side = |compiled: &Arc<CompiledNetwork>| (Arc::clone(compiled), ReplayOptions::default());
    let mut whatif = WhatIf::new(side(base), side(candidate));
    for batch in batches {
        whatif.feed(&Records::from(*batch));
    }
    whatif.finish()
}

/// Both answers as bytes.
fn answers(base: &Arc<CompiledNetwork>, candidate: &Arc<CompiledNetwork>, records: &[Record]) -> [String; 2] {
    let provenance = Provenance {
        files: vec!["example.pcap".to_owned()],
        inputs: Inputs::new(None, None),
        ..Provenance::default()
    };
    // Batches that are no multiple of anything, so that flows straddle them.
    let batches: Vec<&[Record]> = records.chunks(997).collect();
    let totals = replayed(base, &batches);
    let comparison = compared(base, candidate, &batches);
    let shown = Shown { network: &base.network, pseudonyms: None };
    let replay = ReplayReport {
        network: &base.network,
        shown,
        totals: &totals,
        by: By::Rule,
        groups: None,
        provenance: provenance.clone(),
    };
    let whatif = WhatIfReport {
        network: &base.network,
        shown,
        candidate: &candidate.network,
        comparison: &comparison,
        changed_rules: &[],
        provenance,
    };
    [replay.json(), whatif.json()]
}

#[test]
fn the_library_gives_the_same_bytes_on_any_number_of_threads() {
    let (base, candidate) = (network("example"), network("example-candidate"));
    let traffic = synthetic(&base, 3000);
    for records in [records(), traffic] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a small pool can be built").install(|| answers(&base, &candidate, &records))
        };
        let alone = on(1);
        for threads in [2, 7] {
            assert_eq!(on(threads), alone, "on {threads} threads");
        }
    }
}

#[test]
fn the_command_gives_the_same_bytes_on_any_number_of_threads() {
    let commands: [&[&str]; 4] = [
        &["suggest", "-s", "data/example"],
        &["replay", "-s", "data/example"],
        &["usage", "-s", "data/example"],
        &["whatif", "--base", "data/example", "--cand", "data/example-candidate", "--fail-on", "none"],
    ];
    for command in commands {
        let on = |threads: &str| {
            let rest = ["data/example.pcap", "--format", "json", "--no-timing", "-q", "--threads", threads];
            let output = nsgsim(&[command, &rest].concat());
            assert_eq!(output.status.code(), Some(0));
            assert!(!output.stdout.is_empty());
            output.stdout
        };
        let alone = on("1");
        assert!(["2", "7"].into_iter().all(|threads| on(threads) == alone), "{command:?}");
    }
}

/// Cuts records behind the given positions.
fn cut<'r>(records: &'r [Record], cuts: &[usize]) -> Vec<&'r [Record]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (records.len() + 1)).collect();
    cuts.sort_unstable();
    let mut batches = Vec::new();
    let mut from = 0;
    for to in cuts.into_iter().chain([records.len()]) {
        batches.push(&records[from..to]);
        from = to;
    }
    batches
}

#[test]
fn batches_of_any_size_come_to_the_same() {
    let (base, candidate) = (network("example"), network("example-candidate"));
    let records = records();
    let (totals, comparison) = (replayed(&base, &[&records]), compared(&base, &candidate, &[&records]));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let cuts = prop::collection::vec(any::<usize>(), 0..40);
    runner
        .run(&cuts, |cuts| {
            let batches = cut(&records, &cuts);
            prop_assert_eq!(&replayed(&base, &batches), &totals);
            prop_assert_eq!(&compared(&base, &candidate, &batches), &comparison);
            Ok(())
        })
        .expect("batches do not matter");
}

#[test]
fn ledgers_and_tallies_add_up_in_any_grouping() {
    let base = network("example");
    let records = synthetic(&base, 500);
    // What three runs over three parts came to, added up in different orders and groupings.
    let parts: Vec<Totals> =
        records.chunks(records.len().div_ceil(3)).map(|part| replayed(&base, &[part])).collect();
    let [one, two, three] = parts.try_into().expect("three parts");
    let sum = |parts: &[&Totals]| {
        let mut sum = parts[0].clone();
        for part in &parts[1..] {
            sum.ledger.merge(&part.ledger);
            sum.tally.merge(&part.tally);
        }
        sum
    };
    let all = sum(&[&one, &two, &three]);
    assert_eq!(sum(&[&three, &one, &two]), all);
    assert_eq!(sum(&[&one, &sum(&[&two, &three])]), all);
    assert_eq!(all.ledger.read, records.len() as u64);
    all.ledger.assert_adds_up(records.len() as u64);
}
