//! The exact difference of two networks, against packets that both are asked of one by one, without tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nsgsim::analyze::diff::{Difference, difference};
use nsgsim::analyze::regions::Region;
use nsgsim::compile::address_set::AddressSet;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::compile::policy::Engine;
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::index::{NsgIndex, Reference};
use nsgsim::model::network::{Asg, Network};
use nsgsim::model::nsg::Nsg;
use nsgsim::model::prefix::{PortRange, read_prefix};
use nsgsim::model::rule::{AddressTerm, PortTerm, Protocol, Rule};
use nsgsim::model::tag::TagCatalog;
use nsgsim::model::verdict::VerdictKind;
use nsgsim::simulate::{Simulator, SimulatorOptions};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::build::{Build, id};
use crate::r#gen;
use crate::r#gen::{Tape, contested};

/// How many pairs of networks each test draws, and how many packets it asks of both sides of each: in three tests more
/// than 100,000.
const CASES: u32 = 64;
const ASKED: usize = 600;

/// As many cases as are asked for, or else so many.
fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.map_or(usual, |cases| cases.parse().expect("PROPTEST_CASES is a number"))
}

/// Two networks without tables, to ask packets of.
struct Asked([Simulator; 2]);

impl Asked {
    fn of(networks: [&Network; 2]) -> Self {
        Self(networks.map(|network| {
            let compiling = CompileOptions { linear_only: true, ..CompileOptions::default() };
            let (network, tags) = (Arc::new(network.clone()), Arc::new(r#gen::tags()));
            let compiled = Arc::new(CompiledNetwork::new(network, tags, compiling));
            let options = SimulatorOptions {
                engine: Engine::Linear,
                stateful: false,
                observed: false,
                ..SimulatorOptions::default()
            };
            Simulator::new(compiled, options)
        }))
    }

    /// What each says of a packet; nothing where no end of it is its.
    fn kinds(&mut self, tuple: &FiveTuple) -> [Option<VerdictKind>; 2] {
        let [base, candidate] = &mut self.0;
        [base, candidate].map(|simulator| {
            simulator.judge(&Packet::new(*tuple), 0).ok().map(|judged| judged.answer.verdict.kind())
        })
    }
}

/// How a packet flips of which both sides say this, as [`told`] tells it.
fn flip(kinds: [Option<VerdictKind>; 2]) -> Vec<[Option<VerdictKind>; 2]> {
    match kinds {
        [Some(base), Some(candidate)] if base == candidate => vec![],
        [None, None] => vec![],
        // Whatever the one says that judges it.
        [Some(_), None] => vec![[Some(VerdictKind::Mixed), None]],
        [None, Some(_)] => vec![[None, Some(VerdictKind::Mixed)]],
        both => vec![both],
    }
}

/// What a difference says of a packet.
fn told(difference: &Difference, tuple: &FiveTuple) -> Vec<[Option<VerdictKind>; 2]> {
    let ends = |sources: &AddressSet, destinations: &AddressSet| {
        sources.contains(tuple.source) && destinations.contains(tuple.destination)
    };
    let mut told = Vec::new();
    for (change, boxes) in &difference.flips {
        let holds = |one: &&Region| {
            ends(&one.sources, &one.destinations)
                && one.services.iter().any(|service| {
                    service.protocols.contains(&tuple.protocol)
                        && match (&service.ports, tuple.source_port, tuple.destination_port) {
                            (None, Port::None, Port::None) => true,
                            (Some((sources, destinations)), Port::Number(from), Port::Number(to)) => {
                                sources.iter().any(|range| range.contains(from))
                                    && destinations.iter().any(|range| range.contains(to))
                            }
                            _ => false,
                        }
                })
        };
        let kinds = [Some(change.base.kind), Some(change.candidate.kind)];
        told.extend(boxes.iter().filter(holds).map(|_| kinds));
    }
    let in_one = |boxes: &[(AddressSet, AddressSet)]| {
        boxes.iter().filter(|(sources, destinations)| ends(sources, destinations)).count()
    };
    told.extend(vec![[Some(VerdictKind::Mixed), None]; in_one(&difference.base_only)]);
    told.extend(vec![[None, Some(VerdictKind::Mixed)]; in_one(&difference.candidate_only)]);
    told
}

/// A number at a border of some ranges, mostly inside.
fn near<N: Copy>(tape: &mut Tape, ranges: &[(N, N)], step: impl Fn(N, bool) -> N) -> N {
    let (first, last) = ranges[tape.below(ranges.len().min(200))];
    match tape.below(8) {
        0..=2 => first,
        3..=5 => last,
        6 => step(first, false),
        _ => step(last, true),
    }
}

fn near_addresses(tape: &mut Tape, set: &AddressSet) -> IpAddr {
    let v4 = set.ranges_v4();
    if v4.is_empty() {
        let step = |address: u128, up| if up { address.wrapping_add(1) } else { address.wrapping_sub(1) };
        return Ipv6Addr::from(near(tape, &set.ranges_v6(), step)).into();
    }
    let step = |address: u32, up| if up { address.wrapping_add(1) } else { address.wrapping_sub(1) };
    Ipv4Addr::from(near(tape, &v4, step)).into()
}

fn near_ports(tape: &mut Tape, ranges: &[PortRange]) -> Port {
    let ranges: Vec<(u16, u16)> = ranges.iter().map(|range| (range.first(), range.last())).collect();
    let step = |port: u16, up| if up { port.wrapping_add(1) } else { port.wrapping_sub(1) };
    let special = [25, 53, 67, 68, 80, 443, 1688, 32526, 65330];
    Port::Number(match tape.below(3) {
        0 => special[tape.below(special.len())],
        _ => near(tape, &ranges, step),
    })
}

/// A packet that the networks' pool holds, or one inside or at a border of a box.
fn packet(tape: &mut Tape, network: &Network, boxes: &[&Region]) -> FiveTuple {
    let (_, packet, _) = r#gen::packet(tape, network);
    let mut tuple = packet.five_tuple;
    let protocols =
        [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ESP, Protocol(41), Protocol(132)];
    if !boxes.is_empty() && tape.below(4) > 0 {
        let near = boxes[tape.below(boxes.len())];
        tuple.source = near_addresses(tape, &near.sources);
        tuple.destination = near_addresses(tape, &near.destinations);
        let service = &near.services[tape.below(near.services.len())];
        tuple.protocol = match tape.below(8) {
            0 => protocols[tape.below(protocols.len())],
            _ => service.protocols[tape.below(service.protocols.len())],
        };
        let all = vec![PortRange::ALL];
        let (sources, destinations) =
            service.ports.as_ref().map_or((&all, &all), |ports| (&ports.0, &ports.1));
        tuple.source_port = near_ports(tape, sources);
        tuple.destination_port = near_ports(tape, destinations);
    }
    if !tuple.protocol.has_ports() {
        (tuple.source_port, tuple.destination_port) = (Port::None, Port::None);
    } else if tuple.source_port == Port::None || tuple.destination_port == Port::None {
        (tuple.source_port, tuple.destination_port) = (Port::Number(50_000), Port::Number(443));
    }
    tuple
}

fn compiled(network: &Network) -> Arc<CompiledNetwork> {
    let tags = TAGS.with(Arc::clone);
    Arc::new(CompiledNetwork::new(Arc::new(network.clone()), tags, CompileOptions::default()))
}

thread_local! {
    /// One catalogue for both sides, as a run has.
    static TAGS: Arc<TagCatalog> = Arc::new(r#gen::tags());
}

fn difference_is_what_packets_show(
    tape: &mut Tape,
    base: &Network,
    candidate: &Network,
) -> Result<(), TestCaseError> {
    let sides = [base, candidate].map(compiled);
    let difference = difference(&sides[0], &sides[1], None);
    let mut asked = Asked::of([base, candidate]);
    for (change, boxes) in &difference.flips {
        for one in boxes {
            let expected = [Some(change.base.kind), Some(change.candidate.kind)];
            prop_assert_eq!(asked.kinds(&one.witness), expected, "{:?}", one);
            prop_assert_eq!(told(&difference, &one.witness), vec![expected], "{:?}", one);
        }
    }
    let boxes: Vec<&Region> = difference.flips.values().flatten().collect();
    // Each packet reads fewer than 40 numbers.
    let mut tape = tape.longer(40 * ASKED);
    for _ in 0..ASKED {
        let tuple = packet(&mut tape, base, &boxes);
        if tuple.source == tuple.destination || tuple.source.is_ipv4() != tuple.destination.is_ipv4() {
            continue;
        }
        prop_assert_eq!(
            told(&difference, &tuple),
            flip(asked.kinds(&tuple)),
            "{:?}\nbase: {:#?}\ncandidate: {:#?}",
            tuple,
            base,
            candidate
        );
    }
    Ok(())
}

/// A rule more, a rule less, another access, another order, or nothing.
fn change_rules(tape: &mut Tape, network: &mut Network) {
    if network.nsgs.is_empty() {
        return;
    }
    for _ in 0..1 + tape.below(2) {
        let nsg = tape.below(network.nsgs.len());
        let added = r#gen::rule(tape, 9);
        let rules = &mut network.nsgs[nsg].rules;
        let custom = rules.iter().filter(|rule| !rule.is_default).count();
        match tape.below(3) {
            1 if custom > 0 => {
                let at = rules.iter().position(|rule| !rule.is_default).expect("there is one");
                rules.remove(at);
            }
            2 if custom > 1 => {
                let places: Vec<usize> =
                    (0..rules.len()).filter(|place| !rules[*place].is_default).take(2).collect();
                let (one, other) = (rules[places[0]].priority, rules[places[1]].priority);
                rules[places[0]].priority = other;
                rules[places[1]].priority = one;
            }
            _ => rules.push(added),
        }
        network.nsgs[nsg].sort();
    }
}

/// What is no rule changes too.
fn change_more(tape: &mut Tape, network: &mut Network) {
    change_rules(tape, network);
    for subnet in &mut network.subnets {
        if tape.seldom(2) {
            subnet.nsg = None;
        }
        if tape.seldom(3) {
            subnet.route_table = None;
        }
        if tape.seldom(3) {
            subnet.nat_gateway = None;
        }
    }
    for nic in &mut network.nics {
        if tape.seldom(3) {
            nic.nsg = None;
        }
        if tape.seldom(3) {
            for configuration in &mut nic.ip_configurations {
                configuration.public_ip = None;
            }
        }
    }
}

/// Two subnets of eight addresses, an address beside them, and lists of rules about these and eight ports.
fn small(tape: &mut Tape) -> Network {
    let mut network = Network::default();
    for number in 0..2 {
        network.asgs.push(Asg { id: id("applicationSecurityGroups", &format!("asg-{number}")) });
    }
    let lists: Vec<NsgIndex> =
        (0..2).map(|number| network.nsg(&format!("nsg-{number}"), small_rules(tape))).collect();
    let vnet = network.vnet("vnet", &["10.0.0.0/28"]);
    for (name, range, nic, address) in
        [("s1", "10.0.0.0/29", "nic-1", "10.0.0.4"), ("s2", "10.0.0.8/29", "nic-2", "10.0.0.12")]
    {
        let subnet = network.subnet(vnet, name, range);
        network.subnets[subnet.get()].nsg = Some(Reference::Here(lists[tape.below(2)]));
        let nic = network.nic(subnet, nic, &[address]);
        network.nics[nic.get()].nsg = (tape.below(2) == 0).then(|| Reference::Here(lists[tape.below(2)]));
    }
    network
}

fn small_rules(tape: &mut Tape) -> Vec<Rule> {
    let terms = |tape: &mut Tape| {
        let length = [28, 29, 30, 31, 32, 0][tape.below(6)];
        let text = format!("10.0.0.{}/{length}", tape.below(16));
        match read_prefix(&text) {
            Ok(read) if length > 0 => vec![AddressTerm::Prefix(read.prefix)],
            _ => vec![AddressTerm::Any],
        }
    };
    let ports = |tape: &mut Tape| {
        let (first, more) = (tape.below(8), tape.below(8));
        let range = PortRange::new(first as u16, (first + more).min(7) as u16).filter(|_| tape.below(2) > 0);
        vec![PortTerm::Range(range.unwrap_or(PortRange::ALL))]
    };
    let rules = (0..tape.below(7)).map(|position| Rule {
        source: terms(tape),
        source_ports: ports(tape),
        destination: terms(tape),
        destination_ports: ports(tape),
        ..r#gen::rule(tape, position)
    });
    rules.collect()
}

/// Every packet of a small universe.
fn all_packets() -> impl Iterator<Item = FiveTuple> {
    let addresses =
        || (0..16).map(|host| IpAddr::from([10, 0, 0, host])).chain([IpAddr::from([192, 0, 2, 1])]);
    let ports = || (0..8).chain([8, u16::MAX]).map(Port::Number);
    let with_ports = [Protocol::TCP, Protocol::UDP]
        .into_iter()
        .flat_map(move |protocol| ports().flat_map(move |from| ports().map(move |to| (protocol, from, to))));
    let portless = [Protocol::ICMP, Protocol::ESP, Protocol(132), Protocol(4)];
    let services: Vec<_> =
        with_ports.chain(portless.map(|protocol| (protocol, Port::None, Port::None))).collect();
    let ends = addresses().flat_map(move |source| addresses().map(move |destination| (source, destination)));
    ends.filter(|(source, destination)| source != destination).flat_map(move |(source, destination)| {
        let packet = move |(protocol, source_port, destination_port)| FiveTuple {
            source,
            destination,
            protocol,
            source_port,
            destination_port,
        };
        services.clone().into_iter().map(packet)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(8),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/seeds/difference_of_small",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_difference_of_small_networks_is_that_of_all_their_packets(mut tape in r#gen::tape()) {
        let base = small(&mut tape);
        let mut candidate = base.clone();
        match tape.below(2) {
            0 => change_rules(&mut tape, &mut candidate),
            _ => candidate.nsgs[0] = Nsg::new(base.nsgs[0].id.clone(), small_rules(&mut tape)),
        }
        let sides = [&base, &candidate].map(compiled);
        let difference = difference(&sides[0], &sides[1], None);
        let mut asked = Asked::of([&base, &candidate]);
        for tuple in all_packets() {
            prop_assert_eq!(told(&difference, &tuple), flip(asked.kinds(&tuple)), "{:?}", tuple);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/seeds/difference",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_network_does_not_differ_from_itself(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let sides = [&network, &network].map(compiled);
        prop_assert_eq!(difference(&sides[0], &sides[1], None), Difference::default());
        // Other catalogues of the same tags: nothing is known to be the same, and everything is asked.
        let apart = CompiledNetwork::new(
            Arc::new(network),
            Arc::new(r#gen::tags()),
            CompileOptions::default(),
        );
        prop_assert_eq!(difference(&sides[0], &Arc::new(apart), None), Difference::default());
    }

    #[test]
    fn rules_that_change_flip_what_packets_show(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let mut candidate = network.clone();
        change_rules(&mut tape, &mut candidate);
        difference_is_what_packets_show(&mut tape, &network, &candidate)?;
    }

    #[test]
    fn rules_that_contest_flip_what_packets_show(mut tape in r#gen::tape()) {
        let network = contested::network(&mut tape);
        let mut candidate = network.clone();
        change_rules(&mut tape, &mut candidate);
        difference_is_what_packets_show(&mut tape, &network, &candidate)?;
    }

    #[test]
    fn whatever_changes_flips_what_packets_show(mut tape in r#gen::tape()) {
        let network = r#gen::network(&mut tape);
        let mut candidate = network.clone();
        change_more(&mut tape, &mut candidate);
        difference_is_what_packets_show(&mut tape, &network, &candidate)?;
    }
}
