//! Replays that only count judge most packets on lanes; they must come to what replays come to that judge every packet
//! stage by stage.

use std::sync::Arc;

use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy::Engine;
use nsgsim::compile::topology::PLATFORM_ADDRESSES;
use nsgsim::model::flow::{Icmp, Origin, Packet, TcpFlags};
use nsgsim::model::index::NicIndex;
use nsgsim::model::network::Network;
use nsgsim::model::record::{Content, Location, Record};
use nsgsim::model::rule::{Direction, Protocol};
use nsgsim::model::verdict::{Interface, Reason};
use nsgsim::replay::run::{Replay, ReplayOptions, Totals};
use nsgsim::simulate::express::{EXPRESS_BATCH, Express, PacketLane, Packets};
use nsgsim::simulate::{Simulator, SimulatorOptions};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::example_data;
use crate::r#gen;
use crate::r#gen::{Tape, contested};

/// A second in nanoseconds.
const S: u64 = 1_000_000_000;

/// Packets and their replies, some again, most of those of TCP with flags.
fn records(tape: &mut Tape, network: &Network, count: usize) -> Vec<Record> {
    let mut sent: Vec<(Origin, Packet)> = Vec::new();
    let (mut records, mut time_ns) = (Vec::new(), 86_400 * S);
    for _ in 0..count {
        let (mut origin, mut packet, seconds) = r#gen::packet(tape, network);
        if !sent.is_empty() && tape.below(2) == 1 {
            (origin, packet) = sent[tape.below(sent.len())];
        }
        time_ns += seconds * S / 8;
        sent.push((origin, packet));
        let (_, back) = r#gen::reply(network, origin, &packet);
        for mut packet in [packet, back] {
            if packet.five_tuple.protocol == Protocol::TCP && tape.below(4) > 0 {
                packet.tcp = Some(flags(tape));
            }
            // What an error quotes would be of another shard than its flow in no capture.
            if matches!(packet.icmp, Some(Icmp::Error { .. })) {
                continue;
            }
            let number = records.len() as u64 + 1;
            records.push(Record {
                location: Location { file: 0, number },
                time_ns: Some(time_ns),
                wire_bytes: 60 + u32::try_from(tape.below(1400)).expect("it is below 1400"),
                content: Content::Packet(packet),
            });
        }
    }
    records
}

fn flags(tape: &mut Tape) -> TcpFlags {
    let (syn, ack, fin, rst) =
        [(true, false, false, false), (true, true, false, false), (false, true, false, false)]
            .into_iter()
            .chain([(false, true, true, false), (false, false, false, true), (false, true, false, false)])
            .nth(tape.below(6))
            .expect("one of six");
    TcpFlags { syn, ack, fin, rst }
}

/// What a replay comes to, in batches of different sizes, and what became of each record, where that is asked for.
fn totals(
    compiled: &Arc<CompiledNetwork>,
    changed: &Arc<CompiledNetwork>,
    records: &[Record],
    options: ReplayOptions,
) -> (Totals, Vec<String>) {
    let mut replay = Replay::new(Arc::clone(compiled), options);
    let (before, after) = records.split_at(records.len() * 2 / 3);
    let mut became = Vec::new();
    let mut feed = |replay: &mut Replay, batch: &[Record]| {
        let progress = replay.feed(&batch.into());
        became.extend(progress.records.iter().map(|processed| format!("{processed:?}")));
    };
    for batch in before.chunks(37) {
        feed(&mut replay, batch);
    }
    replay.change(changed);
    feed(&mut replay, after);
    (replay.finish().0, became)
}

fn lanes_come_to_the_same(tape: &mut Tape, network: &Network) -> Result<(), TestCaseError> {
    let compile = |network: &Network, linear_only: bool| {
        let options = CompileOptions { linear_only, ..CompileOptions::default() };
        Arc::new(CompiledNetwork::new(Arc::new(network.clone()), Arc::new(r#gen::tags()), options))
    };
    let records = records(tape, network, 30);
    let mut changed = network.clone();
    if !changed.nsgs.is_empty() {
        let position = tape.below(changed.nsgs.len());
        changed.nsgs[position].rules.insert(0, r#gen::rule(tape, 9));
    }
    let nic = (!network.nics.is_empty()).then(|| NicIndex::new(tape.below(network.nics.len())));
    let [(compiled, changed), (plain, plain_changed)] =
        [false, true].map(|linear_only| (compile(network, linear_only), compile(&changed, linear_only)));
    for at in [None, nic] {
        for stateful in [false, true] {
            let simulator = SimulatorOptions { stateful, ..SimulatorOptions::default() };
            let counting = ReplayOptions { simulator, at, ..ReplayOptions::default() };
            let keeping = ReplayOptions { records: true, ..counting };
            // Without tables there are no lanes, and each packet's journey is laid for it alone.
            let linear = SimulatorOptions { engine: Engine::Linear, ..simulator };
            let by_stages = ReplayOptions { simulator: linear, ..keeping };
            let expected = totals(&plain, &plain_changed, &records, by_stages);
            let (counted, _) = totals(&compiled, &changed, &records, counting);
            prop_assert_eq!(
                (&counted, &totals(&compiled, &changed, &records, keeping)),
                (&expected.0, &expected),
                "stateful {}, at {:?}\nrecords: {:#?}\nnetwork: {:#?}",
                stateful,
                at,
                records,
                compiled.network
            );
        }
    }
    Ok(())
}

/// What rules say of flows that interfaces logged, against the walk through their filters; and where neither the platform
/// nor the network itself decides, against what IP flow verify would answer.
fn logged_flows_come_to_the_same(tape: &mut Tape, network: &Network) -> Result<(), TestCaseError> {
    let simulator = |linear_only: bool| {
        let compiling = CompileOptions { linear_only, ..CompileOptions::default() };
        let (network, tags) = (Arc::new(network.clone()), Arc::new(r#gen::tags()));
        let compiled = Arc::new(CompiledNetwork::new(network, tags, compiling));
        let engine = if linear_only { Engine::Linear } else { Engine::Compiled };
        Simulator::new(compiled, SimulatorOptions { engine, ..SimulatorOptions::default() })
    };
    let [mut tables, mut plain] = [false, true].map(simulator);
    for _ in 0..8 {
        let (_, packet, _) = r#gen::packet(tape, network);
        for nic in (0..network.nics.len()).map(NicIndex::new) {
            for direction in [Direction::Inbound, Direction::Outbound] {
                let at = Interface::Nic(nic);
                let found = tables.logged(at, direction, &packet);
                let expected = plain.logged(at, direction, &packet).verdict;
                prop_assert_eq!(&found.verdict, &expected, "{:?} {} {:?}", nic, direction, packet);
                let by_platform = matches!(
                    expected.reason(),
                    Some(Reason::PlatformRule { .. } | Reason::UnsupportedTraffic { .. })
                );
                if !by_platform && !is_exempt_destination(&packet) {
                    let asked = plain.ip_flow(nic, direction, &packet).verdict;
                    prop_assert_eq!(expected, asked, "{:?} {} {:?}", nic, direction, packet);
                }
            }
        }
    }
    Ok(())
}

/// Where a packet that is exempt may be denied by a rule that names the platform's tag (PLAT-2 to PLAT-4), or be in doubt.
fn is_exempt_destination(packet: &Packet) -> bool {
    let fixed = PLATFORM_ADDRESSES.iter().map(|text| text.split('/').next().unwrap_or(text));
    fixed.into_iter().any(|text| text.parse() == Ok(packet.five_tuple.destination))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/seeds/express",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn counting_alone_comes_to_the_same(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        lanes_come_to_the_same(&mut tape, &network)?;
    }

    #[test]
    fn logged_flows_come_to_the_same_on_drawn_networks(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        logged_flows_come_to_the_same(&mut tape, &network)?;
    }

    #[test]
    fn logged_flows_come_to_the_same_where_rules_contest(mut tape in r#gen::tape()) {
        let network = contested::network(&mut tape);
        logged_flows_come_to_the_same(&mut tape, &network)?;
    }

    #[test]
    fn counting_alone_comes_to_the_same_where_rules_contest(mut tape in r#gen::tape()) {
        let network = contested::network(&mut tape);
        lanes_come_to_the_same(&mut tape, &network)?;
    }
}

/// Without this, packets that all go stage by stage would agree with themselves.
#[test]
fn most_plain_packets_of_the_example_take_lanes() {
    let compiled = example_data::network("example");
    let packets: Vec<Packet> = example_data::synthetic(&compiled, 2_000)
        .iter()
        .filter_map(|record| match record.content {
            Content::Packet(packet) if packet.five_tuple.protocol.has_ports() => Some(packet),
            _ => None,
        })
        .collect();
    let tuples = packets.iter().map(|packet| packet.five_tuple);
    let mut express =
        Express::new(&compiled, SimulatorOptions::default(), None).expect("the example has tables");
    express.lay(tuples.map(|tuple| (tuple.source, tuple.destination)));
    let mut on_lanes = 0;
    for packets in packets.chunks(EXPRESS_BATCH) {
        let packets: Vec<&Packet> = packets.iter().collect();
        let mut lanes = vec![PacketLane::Unlaid; packets.len()];
        express.lanes(Packets::Any(&packets), &mut lanes);
        assert!(!lanes.contains(&PacketLane::Unlaid), "all ways were laid");
        on_lanes += lanes.iter().filter(|lane| matches!(lane, PacketLane::Lane(..))).count();
    }
    assert!(2 * on_lanes > packets.len(), "{on_lanes} of {}", packets.len());
}
