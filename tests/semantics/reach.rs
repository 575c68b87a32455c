//! Who can reach whom, against packets that the network is asked of one by one, without tables.

use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::analyze::reach::{By, Query, Reach, Reachability, ServiceSet};
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::ports::{PortSet, ProtocolSet};
use nsgsim::model::flow::{FiveTuple, Packet};
use nsgsim::model::network::Network;
use nsgsim::model::prefix::{PortRange, read_prefix};
use nsgsim::model::rule::Protocol;
use nsgsim::model::verdict::{Verdict, VerdictKind};
use nsgsim::replay::tally::Decider;
use nsgsim::simulate::Simulator;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::r#gen;
use crate::r#gen::{Tape, contested};
use crate::universe::{all_packets, cases, holds, packet, plain, small};

/// How many packets are asked of each network.
const ASKED: usize = 600;

fn compiled(network: &Network) -> Arc<CompiledNetwork> {
    let (network, tags) = (Arc::new(network.clone()), Arc::new(r#gen::tags()));
    Arc::new(CompiledNetwork::new(network, tags, CompileOptions::default()))
}

/// All addresses, those of a drawn block around an address, or all but these.
fn addresses(tape: &mut Tape, around: IpAddr) -> AddressSet {
    let length =
        if around.is_ipv4() { [8, 16, 24, 28, 30, 32][tape.below(6)] } else { [32, 64, 128][tape.below(3)] };
    let block = read_prefix(&format!("{around}/{length}")).expect("a block is well-formed").prefix;
    let block = AddressSet::from_prefixes([block]);
    match tape.below(4) {
        0 => AddressSet::all(),
        1 => AddressSet::all().difference(&block),
        _ => block,
    }
}

fn services(tape: &mut Tape) -> Vec<ServiceSet> {
    let ports = |tape: &mut Tape| {
        let first = [0, 25, 53, 80, 443, 1024][tape.below(6)];
        let range = PortRange::new(first, first.saturating_add([0, 10, 60_000][tape.below(3)]));
        if tape.below(3) == 0 { PortSet::all() } else { PortSet::from_ranges(range) }
    };
    let mut services = Vec::new();
    for _ in 0..1 + tape.below(2) {
        let protocols = match tape.below(4) {
            0 => ProtocolSet::all(),
            1 => ProtocolSet::one(Protocol::UDP),
            2 => ProtocolSet::one(Protocol::ICMP),
            _ => ProtocolSet::one(Protocol::TCP),
        };
        let (source_ports, destination_ports) =
            if tape.below(3) == 0 { (ports(tape), ports(tape)) } else { (PortSet::all(), ports(tape)) };
        services.push(ServiceSet { protocols, source_ports, destination_ports });
    }
    services
}

/// Whether a query asks about a packet.
fn is_asked(query: &Query, tuple: &FiveTuple) -> bool {
    query.sources.contains(tuple.source)
        && query.destinations.contains(tuple.destination)
        && query.services.iter().any(|services| {
            services.protocols.contains(tuple.protocol)
                && services.source_ports.contains(tuple.source_port.number())
                && services.destination_ports.contains(tuple.destination_port.number())
        })
}

/// What an answer says of a packet: who decides, each time that it says so. Out of scope is nothing.
fn told(reach: &Reach, tuple: &FiveTuple) -> Vec<Option<(VerdictKind, Decider)>> {
    let sides = reach.fates.iter().flat_map(|(side, regions)| {
        regions.iter().filter(|one| holds(one, tuple)).map(|_| Some((side.kind, side.decider)))
    });
    let out = reach.out_of_scope.iter().filter(|(sources, destinations)| {
        sources.contains(tuple.source) && destinations.contains(tuple.destination)
    });
    sides.chain(out.map(|_| None)).collect()
}

fn judged(simulator: &mut Simulator, tuple: &FiveTuple) -> Option<Verdict> {
    simulator.judge(&Packet::new(*tuple), 0).ok().map(|judged| judged.answer.verdict)
}

/// What is told of a verdict: what networks do not carry (PLAT-9) counts as denied for that, whatever else stops it first.
fn decided(tuple: &FiveTuple, verdict: &Verdict) -> (VerdictKind, Decider) {
    let ports = (tuple.source_port.number(), tuple.destination_port.number());
    let is_carried = match tuple.protocol {
        Protocol(4 | 41 | 47) => false,
        Protocol::UDP => ports.0 != Some(65330) && ports != (Some(68), Some(67)),
        _ => true,
    };
    match verdict.kind() {
        VerdictKind::Deny if !is_carried => (VerdictKind::Deny, Decider::UnsupportedTraffic),
        kind => (kind, Decider::from(verdict)),
    }
}

fn answers_are_what_packets_show(tape: &mut Tape, network: &Network) -> Result<(), TestCaseError> {
    let (_, first, _) = r#gen::packet(tape, network);
    let query = Query {
        sources: addresses(tape, first.five_tuple.source),
        destinations: addresses(tape, first.five_tuple.destination),
        services: services(tape),
    };
    let compiled = compiled(network);
    let reachability = Reachability::new(&compiled, std::slice::from_ref(&query), None);
    let by_decider = reachability.ask(&query, By::Decider);
    let by_verdict = reachability.ask(&query, By::Verdict);
    let mut simulator = plain(network);
    for (side, regions) in &by_decider.fates {
        for one in regions {
            prop_assert!(is_asked(&query, &one.witness), "{:?}", one);
            let verdict = judged(&mut simulator, &one.witness).expect("it is in scope");
            prop_assert_eq!(decided(&one.witness, &verdict), (side.kind, side.decider), "{:?}", one);
        }
    }
    let regions = by_decider.fates.values().flatten();
    let regions: Vec<_> = regions.collect();
    // Each packet reads fewer than 40 numbers.
    let mut tape = tape.longer(40 * ASKED);
    for _ in 0..ASKED {
        let tuple = packet(&mut tape, network, &regions);
        if tuple.source == tuple.destination || tuple.source.is_ipv4() != tuple.destination.is_ipv4() {
            continue;
        }
        let verdict = judged(&mut simulator, &tuple);
        match is_asked(&query, &tuple) {
            // Between addresses of which no end is in the network services are not told apart.
            false => prop_assert!(told(&by_decider, &tuple).iter().all(Option::is_none), "{:?}", tuple),
            true => {
                let decided = verdict.map(|verdict| decided(&tuple, &verdict));
                prop_assert_eq!(told(&by_decider, &tuple), vec![decided], "{:?}\n{:#?}", tuple, network);
                let alone = decided.map(|(kind, _)| (kind, Decider::NoSecurityGroup));
                prop_assert_eq!(told(&by_verdict, &tuple), vec![alone], "{:?}", tuple);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(8),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/reach_of_small"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn who_reaches_whom_in_small_networks_is_what_all_their_packets_show(mut tape in r#gen::tape()) {
        let network = small(&mut tape);
        let everything = Query {
            sources: AddressSet::all(),
            destinations: AddressSet::all(),
            services: vec![ServiceSet::all()],
        };
        let compiled = compiled(&network);
        let reach = Reachability::new(&compiled, std::slice::from_ref(&everything), None)
            .ask(&everything, By::Decider);
        let mut simulator = plain(&network);
        for tuple in all_packets() {
            let verdict = judged(&mut simulator, &tuple);
            let decided = verdict.map(|verdict| decided(&tuple, &verdict));
            prop_assert_eq!(told(&reach, &tuple), vec![decided], "{:?}", tuple);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(64),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/reach"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn answers_about_drawn_networks_are_what_packets_show(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        answers_are_what_packets_show(&mut tape, &network)?;
    }

    #[test]
    fn answers_about_contested_packets_are_what_packets_show(mut tape in r#gen::tape()) {
        let network = contested::network(&mut tape);
        answers_are_what_packets_show(&mut tape, &network)?;
    }
}
