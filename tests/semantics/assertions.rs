//! Whether assertions hold, against every packet of small networks.

use std::sync::Arc;

use nsgsim::analyze::assertions::{Holds, Proposition, prove};
use nsgsim::analyze::end_set::EndSet;
use nsgsim::analyze::reach::ServiceSet;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::ports::{PortSet, ProtocolSet};
use nsgsim::model::flow::{FiveTuple, Packet};
use nsgsim::model::index::NicIndex;
use nsgsim::model::prefix::{PortRange, read_prefix};
use nsgsim::model::rule::Protocol;
use nsgsim::model::verdict::VerdictKind;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::r#gen;
use crate::r#gen::Tape;
use crate::universe::{all_packets, cases, plain, small};

fn set(prefixes: &[&str]) -> EndSet {
    let prefixes = prefixes.iter().map(|text| read_prefix(text).expect("it is well-formed").prefix);
    EndSet::of_addresses(AddressSet::from_prefixes(prefixes))
}

/// A machine, a subnet's range, both, or an address on the internet.
fn ends(tape: &mut Tape, compiled: &CompiledNetwork) -> EndSet {
    match tape.below(6) {
        0 => EndSet::of_nics(compiled, &[NicIndex::new(0)]),
        1 => EndSet::of_nics(compiled, &[NicIndex::new(1)]),
        2 => EndSet::of_nics(compiled, &[NicIndex::new(0), NicIndex::new(1)]),
        3 => set(&["10.0.0.8/29"]),
        4 => set(&["10.0.0.4/32", "192.0.2.1/32"]),
        _ => set(&["192.0.2.1/32"]),
    }
}

fn services(tape: &mut Tape) -> Vec<ServiceSet> {
    let port = u16::try_from(tape.below(8)).expect("it is below 8");
    let ports = PortSet::from_ranges(PortRange::new(port, port));
    let of = |protocol| ServiceSet {
        protocols: ProtocolSet::one(protocol),
        source_ports: PortSet::all(),
        destination_ports: ports.clone(),
    };
    match tape.below(4) {
        0 => vec![ServiceSet::all()],
        1 => vec![of(Protocol::TCP), of(Protocol::UDP)],
        2 => vec![ServiceSet { protocols: ProtocolSet::one(Protocol::ICMP), ..ServiceSet::all() }],
        _ => vec![of(Protocol::TCP)],
    }
}

fn are_among(services: &[ServiceSet], tuple: &FiveTuple) -> bool {
    services.iter().any(|one| {
        one.protocols.contains(tuple.protocol)
            && one.source_ports.contains(tuple.source_port.number())
            && one.destination_ports.contains(tuple.destination_port.number())
    })
}

/// What a proposition wants of a packet; nothing where it does not speak of it.
fn wanted(proposition: &Proposition, everybody: &AddressSet, tuple: &FiveTuple) -> Option<VerdictKind> {
    let between = |from: &EndSet, to: &EndSet| {
        from.own.contains(tuple.source) && to.receivers().contains(tuple.destination)
    };
    // What networks never carry nobody wants to pass; of such the universe has IP in IP.
    let carried = tuple.protocol != Protocol(4);
    match proposition {
        Proposition::Allow(from, to, services) => {
            (between(from, to) && are_among(services, tuple) && carried).then_some(VerdictKind::Allow)
        }
        Proposition::Deny(from, to, services) => {
            (between(from, to) && are_among(services, tuple)).then_some(VerdictKind::Deny)
        }
        Proposition::AllowOnly(from, to, services) => {
            if !to.receivers().contains(tuple.destination) {
                return None;
            }
            match (from.own.contains(tuple.source), are_among(services, tuple)) {
                (true, true) => carried.then_some(VerdictKind::Allow),
                (true, false) => Some(VerdictKind::Deny),
                (false, _) => everybody.contains(tuple.source).then_some(VerdictKind::Deny),
            }
        }
        Proposition::Isolated(ends) => {
            let mut pairs = ends.iter().enumerate().flat_map(|(place, from)| {
                let others = ends.iter().enumerate().filter(move |(other, _)| *other != place);
                others.map(move |(_, to)| (from, to))
            });
            pairs.any(|(from, to)| between(from, to)).then_some(VerdictKind::Deny)
        }
        Proposition::Any(_) | Proposition::All(_) => unreachable!("these are not drawn"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(12),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/assertions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_assertion_holds_if_no_packet_contradicts_it(mut tape in r#gen::tape()) {
        let network = small(&mut tape);
        let (for_tables, tags) = (Arc::new(network.clone()), Arc::new(r#gen::tags()));
        let compiled = Arc::new(CompiledNetwork::new(for_tables, tags, CompileOptions::default()));
        let mut simulator = plain(&network);
        let everybody = EndSet::of_everybody(&compiled).and(&EndSet::of_internet(&compiled)).own;
        let propositions: Vec<Proposition> = (0..6)
            .map(|_| {
                let (from, to) = (ends(&mut tape, &compiled), ends(&mut tape, &compiled));
                match tape.below(4) {
                    0 => Proposition::Allow(from, to, services(&mut tape)),
                    1 => Proposition::Deny(from, to, services(&mut tape)),
                    2 => Proposition::AllowOnly(from, to, services(&mut tape)),
                    _ => Proposition::Isolated(vec![from, to]),
                }
            })
            .collect();
        let outcomes = prove(&compiled, &propositions, None);
        let mut found = vec![(false, false, false); propositions.len()];
        for tuple in all_packets() {
            let asked = propositions.iter().map(|one| wanted(one, &everybody, &tuple));
            let asked: Vec<Option<VerdictKind>> = asked.collect();
            if asked.iter().all(Option::is_none) {
                continue;
            }
            let Ok(judged) = simulator.judge(&Packet::new(tuple), 0) else { continue };
            let kind = judged.answer.verdict.kind();
            for (wanted, (against, open, speaks)) in asked.into_iter().zip(&mut found) {
                let Some(wanted) = wanted else { continue };
                *speaks = true;
                if kind == VerdictKind::Undetermined {
                    *open = true;
                } else if kind != wanted {
                    *against = true;
                }
            }
        }
        for ((proposition, outcome), found) in propositions.iter().zip(&outcomes).zip(found) {
            let expected = match found {
                (true, ..) => Holds::No,
                (false, true, _) => Holds::Open,
                (false, false, true) => Holds::Yes,
                (false, false, false) => Holds::OfNothing,
            };
            prop_assert_eq!(outcome.holds(), expected, "{:?}\n{:?}", proposition, outcome);
            for region in outcome.against.values().flatten() {
                let judged = simulator.judge(&Packet::new(region.witness), 0);
                let kind = judged.expect("it is in scope").answer.verdict.kind();
                prop_assert_ne!(Some(kind), wanted(proposition, &everybody, &region.witness));
            }
        }
    }
}
