//! Real topologies, whole: the effective rules of every interface, and a packet to and from each.
//!
//! They stand in `azure` of the folder that the environment variable `NSGSIM_SHARED` names (under `data`); without it
//! there is nothing to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{Deployment, Document, Side, from_documents_deployed};
use nsgsim::model::flow::{FiveTuple, Origin, Packet, Port};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::{Verdict, VerdictKind};
use nsgsim::report::effective::EffectiveRules;
use nsgsim::report::inputs::Inputs;
use nsgsim::simulate::{Simulator, SimulatorOptions};

/// An address of the internet that is in no topology.
const OUTSIDE: &str = "198.51.100.10";

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files
}

fn read(file: &Path) -> Option<Network> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let document = Document { name: file.display().to_string(), bytes };
    let deployment = Deployment { side: Side::Candidate, ..Deployment::default() };
    from_documents_deployed(vec![document], None, &deployment).ok().map(|loaded| loaded.network)
}

/// Asks about every interface of a network; counts the verdicts and the reasons of open ones.
fn walk(network: Network, counts: &mut BTreeMap<String, u32>) {
    let tags = Arc::new(TagCatalog::default());
    let compiled = Arc::new(CompiledNetwork::new(Arc::new(network), tags, CompileOptions::default()));
    let options = SimulatorOptions { stateful: false, observed: false, ..SimulatorOptions::default() };
    let mut simulator = Simulator::new(Arc::clone(&compiled), options);
    let outside = OUTSIDE.parse().expect("the address is well-formed");
    for index in 0..compiled.network.nics.len() {
        let nic = NicIndex::new(index);
        let inputs = Inputs::new(None, None);
        let directions = &[Direction::Inbound, Direction::Outbound];
        let rules = EffectiveRules { compiled: &compiled, nic, directions, expand: true, inputs };
        let shown: serde_json::Value = serde_json::from_str(&rules.json()).expect("the answer is JSON");
        assert_eq!(shown["nic"], compiled.network.nic_name(nic));
        *counts.entry("interfaces".to_owned()).or_default() += 1;
        let addresses = compiled.network.nics[index].ip_configurations.iter();
        let Some(own) = addresses.filter_map(|configuration| configuration.address).find(|own| own.is_ipv4())
        else {
            *counts.entry("interfaces without an address".to_owned()).or_default() += 1;
            continue;
        };
        let mut ask = |way: &str, source, destination, origin: Option<Origin>| {
            let packet = Packet::new(FiveTuple {
                source,
                destination,
                protocol: Protocol::TCP,
                source_port: Port::Number(50_000),
                destination_port: Port::Number(443),
            });
            let answer = match origin {
                Some(origin) => simulator.path(origin.into(), &packet, 0),
                None => simulator.judge(&packet, 0).expect("one end is in the network").answer,
            };
            let what = match &answer.verdict {
                Verdict::Undetermined(unknown) => {
                    println!("{} {way}: {unknown:?}", compiled.network.nic_name(nic));
                    format!("{way} undetermined {}", unknown.code())
                }
                settled => format!("{way} {}", settled.kind()),
            };
            assert!(answer.verdict.kind() != VerdictKind::Mixed || !answer.backends.is_empty());
            *counts.entry(what).or_default() += 1;
        };
        ask("from", own, outside, Some(Origin::Nic(nic)));
        ask("to", outside, own, None);
    }
}

#[test]
fn every_interface_of_real_topologies_is_answered() {
    let Some(shared) = std::env::var_os("NSGSIM_SHARED").map(PathBuf::from) else {
        println!("skipped: NSGSIM_SHARED is not set");
        return;
    };
    let mut counts = BTreeMap::new();
    for kind in ["rest", "terraform", "arm", "recorded"] {
        for file in files(&shared.join("data/azure").join(kind)) {
            let network = if kind == "recorded" {
                let bytes = fs::read(&file).expect("the file was listed");
                let recording: serde_json::Value =
                    serde_json::from_slice(&bytes).expect("recordings are JSON");
                let bytes = serde_json::to_vec(&recording["resources"]).expect("a value is JSON");
                let document = Document { name: file.display().to_string(), bytes };
                let read = from_documents_deployed(vec![document], None, &Deployment::default());
                read.ok().map(|loaded| loaded.network)
            } else {
                read(&file)
            };
            if let Some(network) = network {
                walk(network, &mut counts);
            }
        }
    }
    println!("{counts:#?}");
    assert!(counts["interfaces"] > 100, "{counts:?}");
}
