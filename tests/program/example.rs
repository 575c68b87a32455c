//! The example's capture through the example's network, against what was worked out by hand from the clauses.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::example_data::{Counts, Row, counts, network, records, spelled_side};
use nsgsim::model::flow::FiveTuple;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::replay::conversations::Conversation;
use nsgsim::replay::ledger::Bucket;
use nsgsim::replay::run::{Replay, ReplayOptions};
use nsgsim::replay::tally::Decider;

fn parts(bucket: &Bucket) -> BTreeMap<String, u64> {
    bucket.by_reason.iter().map(|(code, occurrences)| (code.to_string(), occurrences.count)).collect()
}

#[test]
fn every_record_goes_where_the_hand_made_ledger_has_it() {
    let compiled = network("example");
    let mut replay = Replay::new(compiled, ReplayOptions::default());
    replay.feed(&records().into_iter().collect());
    let (totals, _) = replay.finish();
    let Counts { ledger, .. } = counts();
    let packets = |kind| totals.tally.verdicts.get(&kind).map_or(0, |hits| hits.packets);
    let verdicts = [VerdictKind::Allow, VerdictKind::Deny].map(|kind| (kind.to_string(), packets(kind)));
    let ours = BTreeMap::from([
        ("read".to_owned(), (totals.ledger.read, BTreeMap::new())),
        ("evaluated".to_owned(), (totals.ledger.evaluated.total(), BTreeMap::from(verdicts))),
        ("undetermined".to_owned(), (totals.ledger.undetermined.total(), parts(&totals.ledger.undetermined))),
        ("out of scope".to_owned(), (totals.ledger.out_of_scope.total(), parts(&totals.ledger.out_of_scope))),
        ("skipped".to_owned(), (totals.ledger.skipped.total(), parts(&totals.ledger.skipped))),
    ]);
    assert_eq!(ours, ledger);
    assert!(ours.values().all(|(count, _)| *count > 0), "the example fills every bucket: {ours:?}");
}

#[test]
fn every_rule_decides_about_as_many_packets_as_were_worked_out_by_hand() {
    let compiled = network("example");
    let mut replay = Replay::new(Arc::clone(&compiled), ReplayOptions::default());
    replay.feed(&records().into_iter().collect());
    let mut ours = BTreeMap::new();
    for ((decider, kind), hits) in &replay.finish().0.tally.deciders {
        if *kind != VerdictKind::Undetermined {
            ours.insert(spelled_side(&compiled.network, *kind, decider), hits.packets);
        }
    }
    assert_eq!(ours, counts().rules);
}

/// Flows of one pair of ends, in whichever direction.
fn ends(tuple: &FiveTuple) -> FiveTuple {
    let reversed = tuple.reversed();
    if reversed < *tuple { reversed } else { *tuple }
}

#[test]
fn every_flow_gets_the_verdict_that_was_worked_out_by_hand() {
    let compiled = network("example");
    let options = ReplayOptions { flows: true, ..ReplayOptions::default() };
    let mut replay = Replay::new(Arc::clone(&compiled), options);
    let mut flows = replay.feed(&records().into_iter().collect()).flows;
    flows.extend(replay.finish().1);
    flows.sort_by_key(|flow| flow.location);

    // The capture holds its flows in the order of the table, each between a pair of ends of its own.
    let mut found: Vec<(FiveTuple, Vec<&Conversation>)> = Vec::new();
    for flow in &flows {
        match found.iter_mut().find(|(key, _)| *key == ends(&flow.tuple)) {
            Some((_, own)) => own.push(flow),
            None => found.push((ends(&flow.tuple), vec![flow])),
        }
    }
    // Rows of flows whose records are no packets, or not the network's, are the ledger's matter.
    let rows: Vec<Row> = counts().rows.into_iter().filter(|row| !row.flow.starts_with('X')).collect();
    let expected: Vec<&[Row]> = rows.chunk_by(|one, next| one.flow == next.flow).collect();
    assert_eq!(found.len(), expected.len());

    for ((_, own), rows) in found.iter().zip(expected) {
        let first = &own[0].tuple;
        let port = first.destination_port.number().unwrap_or_default();
        let protocol = first.protocol.to_string().to_uppercase();
        let shown = format!("{protocol} {port}");
        let is_ping = rows[0].ends.contains("ping") && protocol.starts_with("ICMP");
        assert!(rows[0].ends.contains(&shown) || is_ping, "{} is {}: {shown}", rows[0].flow, rows[0].ends);

        let mut ours: BTreeMap<(String, String), u64> = BTreeMap::new();
        for flow in own {
            let decider = Decider::from(&flow.verdict);
            *ours.entry(spelled_side(&compiled.network, flow.verdict.kind(), &decider)).or_default() +=
                flow.packets;
        }
        let by_hand: BTreeMap<_, _> =
            rows.iter().map(|row| ((row.verdict.clone(), row.decided_by.clone()), row.packets)).collect();
        assert_eq!(ours, by_hand, "{} ({})", rows[0].flow, rows[0].ends);
    }
}
