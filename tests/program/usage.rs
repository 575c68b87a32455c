//! Which rules traffic needed: every rule on a flow's way, with what of it was needed, within bounds.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use crate::example_data::{network, nsgsim, records, synthetic};
use nsgsim::analyze::usage::{Collector, MOST_SEEN, RuleUse, Usage};
use nsgsim::compile::network::CompiledNetwork;
use nsgsim::model::record::Record;
use nsgsim::model::records::Records;
use nsgsim::model::rule::{Access, AddressTerm, Direction, PortTerm};
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use nsgsim::replay::tally::Decider;
use serde_json::Value;

fn used(compiled: &Arc<CompiledNetwork>, records: &[Record]) -> (Usage, Totals) {
    let options = ReplayOptions { flows: true, ..ReplayOptions::default() };
    let mut replay = Replay::new(Arc::clone(compiled), options);
    let mut collector = Collector::new(compiled, &options);
    for batch in records.chunks(997) {
        replay.feed(&Records::from(batch)).flows.iter().for_each(|flow| collector.add(flow));
    }
    let (totals, flows) = replay.finish();
    flows.iter().for_each(|flow| collector.add(flow));
    (collector.finish(), totals)
}

fn rule<'u>(
    compiled: &CompiledNetwork,
    usage: &'u Usage,
    (nsg, direction, rule): (&str, Direction, &str),
) -> &'u RuleUse {
    let network = &compiled.network;
    let index = network.find_nsg(nsg)[0];
    let mut list = network.nsgs[index.get()].list(direction);
    let (position, _) = list.find(|(_, other)| other.name == rule).expect("the rule is there");
    &usage.rules[&(index, u32::try_from(position).expect("few rules"))]
}

/// By `data/example-counts.md`: A5 passes three NSGs, A1 to A3 leave by one rule and come in by another, A3 through the
/// NSG of its interface first. A6 is denied where it leaves.
#[test]
fn a_flow_hits_every_rule_on_its_way() {
    use Direction::{Inbound, Outbound};
    let compiled = network("example");
    let (usage, _) = used(&compiled, &records());
    for (place, flows, packets) in [
        (("nsg-db", Outbound, "AllowReplicationOut"), 1, 9),
        (("nsg-db", Inbound, "AllowReplication"), 1, 9),
        (("nsg-db-2", Inbound, "AllowReplicationFromFirst"), 1, 9),
        (("nsg-web-1", Outbound, "AllowVnetOutBound"), 1, 9),
        (("nsg-web", Outbound, "AllowWebToApp"), 3, 33),
        (("nsg-app", Inbound, "AllowWebToApp"), 3, 33),
        (("nsg-web", Outbound, "DenyWebToDb"), 1, 4),
        // What the rules ahead of it, and the NIC's own behind it, take away from it.
        (("nsg-web", Inbound, "AllowPingFromShared"), 1, 8),
        (("nsg-web", Inbound, "AllowProbesInBound"), 0, 0),
    ] {
        let found = rule(&compiled, &usage, place);
        assert_eq!((found.hits.flows, found.hits.packets), (flows, packets), "{place:?}");
    }
    // C3 to C6 come from three of the four spaces that the rule names; no flow comes from the hub.
    let dns = rule(&compiled, &usage, ("nsg-shared", Inbound, "AllowDnsFromSpokes"));
    let flows: Vec<u64> = dns.source.terms.iter().map(|term| term.flows).collect();
    assert_eq!(flows, [0, 3, 1]);
    assert!(dns.source.terms[0].is_unused());
}

#[test]
fn a_rule_that_decides_is_hit_and_one_that_denies_always_decides() {
    for compiled in [network("example"), network("example-candidate")] {
        for records in [records(), synthetic(&compiled, 3000)] {
            let (usage, totals) = used(&compiled, &records);
            let mut decided = BTreeMap::new();
            for ((decider, _), hits) in &totals.tally.deciders {
                if let Decider::Rule { nsg, rule, .. } = *decider {
                    *decided.entry((nsg, rule)).or_insert(0) += hits.flows;
                }
            }
            for (key, found) in &usage.rules {
                let decided = decided.get(key).copied().unwrap_or(0);
                let rule = &compiled.network.nsgs[key.0.get()].rules[key.1 as usize];
                if rule.access == Access::Deny {
                    assert_eq!(found.hits.flows, decided, "{}", rule.name);
                }
                assert!(found.hits.flows >= decided, "{}", rule.name);
            }
            let flows: u64 = totals.tally.verdicts.values().map(|hits| hits.flows).sum();
            assert_eq!(usage.flows, flows);
        }
    }
}

/// What is counted for a term is what its values add up to.
#[test]
fn terms_add_up_to_what_they_hold() {
    let compiled = network("example");
    let (usage, _) = used(&compiled, &synthetic(&compiled, 3000));
    let mut checked = 0;
    for ((nsg, position), found) in &usage.rules {
        let rule = &compiled.network.nsgs[nsg.get()].rules[*position as usize];
        for (side, terms, ports) in [
            (&found.source, &rule.source, &rule.source_ports),
            (&found.destination, &rule.destination, &rule.destination_ports),
        ] {
            let covered: u64 = side.terms.iter().map(|term| term.flows + term.open).sum();
            assert!(covered >= found.hits.flows, "{}: a flow is covered by no term", rule.name);
            let seen: u64 = side.addresses.flows.values().sum();
            assert!(seen + side.addresses.beyond + side.addresses_unknown >= found.hits.flows);
            if side.addresses.is_whole() && side.addresses_unknown == 0 {
                for (term, of) in terms.iter().zip(&side.terms) {
                    let within = |term: &AddressTerm| match term {
                        AddressTerm::Any => Some(seen),
                        AddressTerm::Prefix(prefix) => {
                            let within = side.addresses.flows.iter();
                            let within = within.filter(|(address, _)| prefix.contains(*address));
                            Some(within.map(|(_, flows)| flows).sum::<u64>())
                        }
                        _ => None,
                    };
                    if let Some(flows) = within(term) {
                        assert_eq!((of.flows, of.open), (flows, 0), "{}", rule.name);
                        checked += 1;
                    }
                }
            }
            if side.ports.is_whole() {
                for (term, of) in ports.iter().zip(&side.port_terms) {
                    let PortTerm::Range(range) = term else { continue };
                    let within = side.ports.flows.iter().filter(|(port, _)| range.contains(**port));
                    let flows: u64 = within.map(|(_, flows)| flows).sum();
                    assert_eq!(of.flows, flows + side.portless, "{}", rule.name);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 400, "{checked} terms");
}

/// A packet from a NIC to a public address of the network comes back under a source that Azure picks: which term of the
/// rule that lets it in holds that is open, and no address is told.
#[test]
fn a_source_that_azure_picks_is_no_source_that_was_seen() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("flows.csv");
    fs::write(&path, "src,dst,sport,dport,proto,ts\n10.20.1.5,203.0.113.10,40000,443,tcp,1700000000\n")
        .expect("it can be written");
    let answer = json(&["usage", "-q", "-s", "data/example", path.to_str().expect("UTF-8")]);
    let found = rule_json(&answer, "nsg-web", "AllowHttpsFromInternet");
    assert_eq!(found["flows"], 1, "{found}");
    assert_eq!(found["source"]["unknown"], 1, "{found}");
    assert_eq!(found["source"]["addresses"]["seen"], Value::Array(Vec::new()));
    assert_eq!(found["source"]["terms"][0]["flows"], 0);
    assert_eq!(found["source"]["terms"][0]["undetermined_flows"], 1);
    assert_eq!(found["destination"]["addresses"]["seen"][0]["value"], "10.20.1.4");
}

#[test]
fn ports_beyond_those_that_are_told_apart_are_counted() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("flows.csv");
    let mut table = "src,dst,sport,dport,proto,ts\n".to_owned();
    for port in 0..MOST_SEEN + 44 {
        table += &format!("10.30.1.4,10.30.1.5,40000,{},tcp,{}\n", 1000 + port, 1_700_000_000 + port);
    }
    fs::write(&path, table).expect("it can be written");
    let answer = json(&["usage", "-q", "-s", "data/example", path.to_str().expect("UTF-8")]);
    let found = rule_json(&answer, "nsg-ml-compute", "AllowClusterPeers");
    assert_eq!(found["flows"], MOST_SEEN + 44);
    let ports = &found["destination_port"]["ports"];
    assert_eq!(ports["seen"].as_array().map(Vec::len), Some(MOST_SEEN));
    assert_eq!(ports["beyond"], 44);
    assert_eq!(found["destination_port"]["terms"][0]["flows"], MOST_SEEN + 44);
}

fn json(arguments: &[&str]) -> Value {
    let output = nsgsim(&[arguments, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn rule_json<'a>(answer: &'a Value, nsg: &str, rule: &str) -> &'a Value {
    let rules = answer["rules"].as_array().expect("a list");
    rules.iter().find(|one| one["nsg"] == nsg && one["rule"] == rule).expect("the rule is there")
}
