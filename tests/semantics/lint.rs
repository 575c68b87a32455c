//! What lint says of rules, against every packet of small networks, and against cases worked out by hand.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use nsgsim::analyze::lint::{Detail, Found, found};
use nsgsim::compile::linear;
use nsgsim::compile::network::{CompileOptions, CompiledNetwork, PolicyReference};
use nsgsim::compile::policy::RuleOwner;
use nsgsim::compile::resolve::{ResolvedRule, Resolver};
use nsgsim::compile::surroundings;
use nsgsim::compile::world::World;
use nsgsim::model::flow::{FiveTuple, Port};
use nsgsim::model::index::{NicIndex, NsgIndex, Reference};
use nsgsim::model::lint::Check;
use nsgsim::model::network::Network;
use nsgsim::model::nsg::Nsg;
use nsgsim::model::rule::{Access, AddressTerm, Direction, Priority, Protocol, ProtocolMatch, Rule};
use nsgsim::model::tag::TagName;
use nsgsim::model::verdict::Interface;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::build::{Build, catalog, ip, rule};
use crate::r#gen;
use crate::r#gen::Tape;
use crate::universe::{cases, small};

fn compiled(network: &Network) -> Arc<CompiledNetwork> {
    let options = CompileOptions { linear_only: true, ..CompileOptions::default() };
    Arc::new(CompiledNetwork::new(Arc::new(network.clone()), Arc::new(r#gen::tags()), options))
}

/// Every kind of packet that the rules of small networks tell apart: each address of theirs and one of each other kind, each
/// port of theirs and one other.
fn packets() -> Vec<FiveTuple> {
    let v4 = (0..16).map(|host| IpAddr::from([10, 0, 0, host]));
    let v4: Vec<IpAddr> = v4.chain(["192.0.2.1", "203.0.113.77", "168.63.129.16"].map(ip)).collect();
    let v6: Vec<IpAddr> = ["fd00::1", "fd00::2", "2001:db8::1", "2001:db8::2"].map(ip).into();
    let ports = || (0..9).map(Port::Number);
    let mut services: Vec<(Protocol, Port, Port)> =
        [Protocol::ICMP, Protocol(132)].map(|protocol| (protocol, Port::None, Port::None)).into();
    for protocol in [Protocol::TCP, Protocol::UDP] {
        services.extend(ports().flat_map(|from| ports().map(move |to| (protocol, from, to))));
    }
    let mut packets = Vec::new();
    for family in [v4, v6] {
        for source in &family {
            for destination in family.iter().filter(|destination| *destination != source) {
                packets.extend(services.iter().map(|&(protocol, source_port, destination_port)| FiveTuple {
                    source: *source,
                    destination: *destination,
                    protocol,
                    source_port,
                    destination_port,
                }));
            }
        }
    }
    packets
}

/// Which rules of a list match, rule by rule, in each world that there is for a packet.
fn matches(
    owner: &RuleOwner,
    rules: &[ResolvedRule],
    packet: &FiveTuple,
    world: &World,
    each: &mut impl FnMut(Vec<bool>),
) {
    let mut matching = Vec::with_capacity(rules.len());
    for place in 0..rules.len() {
        match linear::first_match(owner, &rules[place..=place], packet, world) {
            Ok(found) => matching.push(found.is_some()),
            Err(open) => {
                for answer in [false, true] {
                    matches(owner, rules, packet, &world.with(open.0.clone(), answer), each);
                }
                return;
            }
        }
    }
    each(matching);
}

/// The lists of an NSG's direction; resolved where nothing is known around it if it stands nowhere.
fn lists(compiled: &CompiledNetwork, nsg: NsgIndex, direction: Direction) -> Vec<Vec<ResolvedRule>> {
    let standing = compiled.policies.iter();
    let standing = standing.filter(|policy| policy.nsg() == nsg && policy.direction == direction);
    let lists: Vec<_> = standing.map(|policy| policy.rules.clone()).collect();
    if !lists.is_empty() {
        return lists;
    }
    let network = &compiled.network;
    let around = surroundings::of_missing_subnet(&compiled.internet, &network.nsgs[nsg.get()].id);
    let mut resolver = Resolver::new(network, &compiled.tags, compiled.assumptions);
    vec![resolver.rules(nsg, direction, &around)]
}

/// What every packet says of a rule.
#[derive(Debug, Eq, PartialEq)]
enum Truth {
    Needed,
    Redundant { heirs: BTreeSet<u32> },
    Shadowed { is_opposite: bool },
    MatchesNothing,
}

/// All packets, as the rules that match them, by list.
struct Universe(Vec<(Vec<ResolvedRule>, HashSet<Vec<bool>>)>);

impl Universe {
    fn of(compiled: &CompiledNetwork, nsg: NsgIndex, direction: Direction, packets: &[FiveTuple]) -> Self {
        let owner = RuleOwner::Nsg(nsg);
        let lists = lists(compiled, nsg, direction).into_iter().map(|rules| {
            let mut kinds = HashSet::new();
            for packet in packets {
                matches(&owner, &rules, packet, &World::default(), &mut |kind| {
                    kinds.insert(kind);
                });
            }
            (rules, kinds)
        });
        Self(lists.collect())
    }

    fn truth(&self, position: u32) -> Truth {
        let (mut is_reached, mut is_matched, mut is_opposite) = (false, false, false);
        let mut heirs = BTreeSet::new();
        for (rules, kinds) in &self.0 {
            let own = rules.iter().position(|rule| rule.position == position).expect("the rule is listed");
            for kind in kinds.iter().filter(|kind| kind[own]) {
                is_matched = true;
                let first = kind.iter().position(|matches| *matches).expect("one matches");
                if first != own {
                    is_opposite |= rules[first].access != rules[own].access;
                    continue;
                }
                is_reached = true;
                let next = (own + 1..kind.len()).find(|place| kind[*place]).expect("the last matches all");
                if rules[next].access != rules[own].access {
                    return Truth::Needed;
                }
                heirs.insert(rules[next].position);
            }
        }
        match (is_reached, is_matched) {
            (true, _) => Truth::Redundant { heirs },
            (false, true) => Truth::Shadowed { is_opposite },
            (false, false) => Truth::MatchesNothing,
        }
    }

    /// Whether some rules together match all that a rule does.
    fn is_covered(&self, position: u32, by: &[u32]) -> bool {
        self.0.iter().all(|(rules, kinds)| {
            let place = |position: &u32| rules.iter().position(|rule| rule.position == *position);
            let own = place(&position).expect("the rule is listed");
            let by: Vec<usize> = by.iter().filter_map(place).collect();
            assert!(by.iter().all(|place| *place < own), "only rules ahead cover");
            kinds.iter().filter(|kind| kind[own]).all(|kind| by.iter().any(|place| kind[*place]))
        })
    }
}

/// What lint says of a rule's packets.
fn said(all: &[Found], nsg: NsgIndex, rule: u32) -> Vec<&Found> {
    let of_packets =
        [Check::Shadowed, Check::ShadowedOpposite, Check::Redundant, Check::MatchesNothing, Check::Exempt];
    let about = |found: &&Found| found.nsg == nsg && found.rule == Some(rule);
    all.iter().filter(about).filter(|found| of_packets.contains(&found.check)).collect()
}

fn says_what_packets_show(network: &Network) -> Result<(), TestCaseError> {
    let compiled = compiled(network);
    let all = found(&compiled, |_| true);
    let packets = packets();
    for nsg in (0..network.nsgs.len()).map(NsgIndex::new) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let universe = Universe::of(&compiled, nsg, direction, &packets);
            for (position, rule) in network.nsgs[nsg.get()].list(direction) {
                let position = u32::try_from(position).expect("an NSG holds few rules");
                let said = said(&all, nsg, position);
                if rule.is_default {
                    prop_assert_eq!(said, Vec::<&Found>::new());
                    continue;
                }
                let truth = universe.truth(position);
                let context = format!("{rule:?}\n{said:?}\n{network:#?}");
                match (&truth, &said[..]) {
                    (Truth::Needed, []) => {}
                    (Truth::Redundant { heirs }, [Found { check: Check::Redundant, detail, .. }]) => {
                        let by = heirs.iter().copied().collect();
                        prop_assert_eq!(detail, &Detail::TakenOver { by, by_platform: false });
                    }
                    (Truth::Shadowed { is_opposite }, [Found { check, detail, .. }]) => {
                        let expected = if *is_opposite { Check::ShadowedOpposite } else { Check::Shadowed };
                        prop_assert_eq!(*check, expected, "{}", context);
                        let Detail::Covered { by, by_platform: false, witness } = detail else {
                            return Err(TestCaseError::fail(context));
                        };
                        prop_assert!(universe.is_covered(position, by), "{}", context);
                        for left_out in by {
                            let fewer: Vec<u32> = by.iter().copied().filter(|one| one != left_out).collect();
                            prop_assert!(!universe.is_covered(position, &fewer), "{}", context);
                        }
                        let (packet, taker) = witness.expect("a shadowed rule matches something");
                        let taker = taker.expect("no platform is among these");
                        let opposite = network.nsgs[nsg.get()].rules[taker as usize].access != rule.access;
                        prop_assert_eq!(opposite, *is_opposite, "{}", context);
                        prop_assert!(universe.decides(nsg, &packet, taker, position), "{}", context);
                    }
                    (Truth::MatchesNothing, [Found { check: Check::MatchesNothing, .. }]) => {}
                    _ => return Err(TestCaseError::fail(format!("{truth:?}: {context}"))),
                }
            }
        }
    }
    Ok(())
}

impl Universe {
    /// Whether in some world a rule is the first to match a packet that another matches too.
    fn decides(&self, nsg: NsgIndex, packet: &FiveTuple, first: u32, other: u32) -> bool {
        let mut decides = false;
        for (rules, _) in &self.0 {
            let place = |position: u32| rules.iter().position(|rule| rule.position == position);
            let place = |position: u32| place(position).expect("the rule is listed");
            let (first, other) = (place(first), place(other));
            matches(&RuleOwner::Nsg(nsg), rules, packet, &World::default(), &mut |kind| {
                decides |= kind.iter().position(|matches| *matches) == Some(first) && kind[other];
            });
        }
        decides
    }
}

/// Allowing rules all of whose packets the other filter denies, by every packet to or from each interface.
fn unreachable(network: &Network, compiled: &CompiledNetwork) -> BTreeSet<(NsgIndex, u32)> {
    let mut passes: BTreeMap<(NsgIndex, u32), bool> = BTreeMap::new();
    let packets = packets();
    for position in 0..network.nics.len() {
        let own = network.nics[position].ip_configurations[0].address.expect("it has an address");
        for direction in [Direction::Inbound, Direction::Outbound] {
            let layers = compiled.layers(Interface::Nic(NicIndex::new(position)), direction);
            let policies: Vec<_> = layers
                .iter()
                .map(|layer| match layer.policy {
                    PolicyReference::Compiled(place) => &compiled.policies[place],
                    _ => panic!("every NSG is there"),
                })
                .collect();
            for packet in &packets {
                let local = if direction == Direction::Inbound { packet.destination } else { packet.source };
                if local != own {
                    continue;
                }
                let first = |policy: &nsgsim::compile::policy::Policy| {
                    let found = linear::first_match(&policy.owner, &policy.rules, packet, &World::default());
                    policy.rules[found.expect("nothing is open").expect("one matches")].clone()
                };
                for (number, policy) in policies.iter().enumerate() {
                    let rule = first(policy);
                    if rule.access == Access::Deny {
                        continue;
                    }
                    let other = policies.get(1 - number).filter(|_| policies.len() > 1);
                    let gets_on = other.is_none_or(|other| first(other).access == Access::Allow);
                    *passes.entry((policy.nsg(), rule.position)).or_default() |= gets_on;
                }
            }
        }
    }
    let is_custom = |(nsg, rule): &(NsgIndex, u32)| !network.nsgs[nsg.get()].rules[*rule as usize].is_default;
    passes.into_iter().filter(|(_, passes)| !passes).map(|(at, _)| at).filter(is_custom).collect()
}

/// A small network whose rules name what nobody knows now and then, and with an NSG that stands nowhere.
fn open(tape: &mut Tape) -> Network {
    let mut network = small(tape);
    let terms = [
        AddressTerm::Tag(TagName::new("Nowhere")),
        AddressTerm::Tag(TagName::new("Elsewhere")),
        AddressTerm::Tag(TagName::new(TagName::VIRTUAL_NETWORK)),
        AddressTerm::Tag(TagName::new(TagName::INTERNET)),
        AddressTerm::Asg(Reference::Missing(crate::build::id("applicationSecurityGroups", "gone"))),
        AddressTerm::Invalid("what".to_owned()),
    ];
    for rule in network.nsgs.iter_mut().flat_map(|nsg| &mut nsg.rules).filter(|rule| !rule.is_default) {
        for side in [&mut rule.source, &mut rule.destination] {
            match tape.below(6) {
                0 => *side = vec![terms[tape.below(terms.len())].clone()],
                1 => side.push(terms[tape.below(terms.len())].clone()),
                _ => {}
            }
        }
        if tape.seldom(6) {
            rule.protocol = ProtocolMatch::Invalid("what".to_owned());
        }
    }
    for subnet in &mut network.subnets {
        subnet.nsg = Some(Reference::Here(NsgIndex::new(0)));
    }
    network.nics.iter_mut().for_each(|nic| nic.nsg = None);
    network
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(16),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/lint"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn lint_says_of_small_networks_what_all_their_packets_show(mut tape in r#gen::tape()) {
        says_what_packets_show(&small(&mut tape))?;
    }

    /// With more questions than are tried in all combinations less is said, and nothing that does not hold.
    #[test]
    fn what_lint_says_of_many_open_questions_holds(mut tape in r#gen::tape()) {
        let mut network = small(&mut tape);
        let drawn = network.nsgs[0].rules.iter().find(|rule| !rule.is_default).cloned();
        let drawn = drawn.unwrap_or_else(|| rule("in 100 allow * * * -> * *"));
        let rules = (0..9).map(|number| {
            let tag = AddressTerm::Tag(TagName::new(&format!("Nowhere{}", tape.below(9))));
            Rule {
                name: format!("rule-{number}"),
                priority: Priority(100 + number),
                direction: Direction::Inbound,
                access: if tape.below(2) == 0 { Access::Allow } else { Access::Deny },
                source: if tape.below(4) == 0 { vec![AddressTerm::Any] } else { vec![tag] },
                destination: if tape.below(2) == 0 { vec![AddressTerm::Any] } else { drawn.destination.clone() },
                ..drawn.clone()
            }
        });
        let nsg = NsgIndex::new(0);
        network.nsgs[0] = Nsg::new(network.nsgs[0].id.clone(), rules.collect());
        let compiled = compiled(&network);
        let all = found(&compiled, |_| true);
        let from_one = |packet: &FiveTuple| packet.source == ip("203.0.113.77");
        let packets: Vec<FiveTuple> = packets().into_iter().filter(from_one).step_by(7).collect();
        let universe = Universe::of(&compiled, nsg, Direction::Inbound, &packets);
        for (position, rule) in network.nsgs[0].list(Direction::Inbound).filter(|(_, rule)| !rule.is_default) {
            let position = u32::try_from(position).expect("an NSG holds few rules");
            let truth = universe.truth(position);
            for said in said(&all, nsg, position) {
                let holds = match said.check {
                    Check::Redundant => truth != Truth::Needed,
                    Check::Shadowed => matches!(
                        truth,
                        Truth::Shadowed { is_opposite: false } | Truth::MatchesNothing
                    ),
                    _ => matches!(truth, Truth::Shadowed { .. } | Truth::MatchesNothing),
                };
                prop_assert!(holds, "{:?}: {:?}: {:?}\n{:#?}", rule, said, truth, network.nsgs[0]);
            }
        }
    }

    #[test]
    fn a_rule_is_unreachable_if_the_other_nsg_denies_all_that_comes_by(mut tape in r#gen::tape()) {
        let network = small(&mut tape);
        let compiled = compiled(&network);
        let all = found(&compiled, |check| check == Check::Unreachable);
        let said: BTreeSet<_> = all.iter().map(|found| (found.nsg, found.rule.unwrap())).collect();
        prop_assert_eq!(said, unreachable(&network, &compiled), "{:#?}", network);
    }

    #[test]
    fn rules_overlap_that_share_packets_and_of_which_none_covers_the_other(mut tape in r#gen::tape()) {
        let network = small(&mut tape);
        let compiled = compiled(&network);
        let all = found(&compiled, |check| check == Check::Overlapping);
        let mut said = BTreeSet::new();
        for one in &all {
            let Detail::Shares { with, .. } = one.detail else { panic!("{one:?}") };
            said.insert((one.nsg, one.rule.unwrap(), with));
        }
        let mut shown = BTreeSet::new();
        let packets = packets();
        for nsg in (0..network.nsgs.len()).map(NsgIndex::new) {
            for direction in [Direction::Inbound, Direction::Outbound] {
                for (rules, kinds) in Universe::of(&compiled, nsg, direction, &packets).0 {
                    let is_custom = |rule: &ResolvedRule| {
                        !network.nsgs[nsg.get()].rules[rule.position as usize].is_default
                    };
                    for (place, ahead) in rules.iter().enumerate().filter(|(_, rule)| is_custom(rule)) {
                        let behind = rules.iter().enumerate().skip(place + 1);
                        for (other, behind) in behind.filter(|(_, rule)| is_custom(rule)) {
                            let any = |one, two| kinds.iter().any(|kind| kind[place] == one && kind[other] == two);
                            if ahead.access != behind.access
                                && any(true, true) && any(true, false) && any(false, true)
                            {
                                shown.insert((nsg, ahead.position, behind.position));
                            }
                        }
                    }
                }
            }
        }
        prop_assert_eq!(said, shown, "{:#?}", network);
    }
}

proptest! {
    // Each packet is asked of in every world that there is for it.
    #![proptest_config(ProptestConfig {
        cases: cases(8),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/seeds/lint_open"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn lint_says_what_holds_whatever_the_answers_to_open_questions_are(mut tape in r#gen::tape()) {
        says_what_packets_show(&open(&mut tape))?;
    }
}

/// A network of one interface, 10.0.0.4, whose subnet has an NSG of these rules.
fn one_list(rules: &[&str]) -> Network {
    let mut network = Network::default();
    let vnet = network.vnet("vnet", &["10.0.0.0/16"]);
    let subnet = network.subnet(vnet, "subnet", "10.0.0.0/24");
    network.nic(subnet, "nic", &["10.0.0.4"]);
    let nsg = network.nsg("nsg", rules.iter().map(|text| rule(text)).collect());
    network.subnets[subnet.get()].nsg = Some(Reference::Here(nsg));
    network
}

/// Eight tags that nobody knows: more questions than are tried in all combinations.
#[test]
fn a_rule_that_repeats_another_is_shadowed_however_much_is_open() {
    let mut rules: Vec<String> =
        (0..8).map(|number| format!("in {} allow tcp Tag{number} * -> * 443", 100 + number)).collect();
    rules.push("in 200 deny tcp Tag5 * -> * 443".to_owned());
    rules.push("in 201 deny tcp Tag5 * -> * 444".to_owned());
    let network = one_list(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let (words, _) = told(&network);
    let words: Vec<&String> = words.iter().filter(|word| !word.starts_with("overlapping")).collect();
    assert_eq!(words, ["shadowed-opposite in-200"]);
}

/// What is found, as `check rule`, and the detail of the last.
fn told(network: &Network) -> (Vec<String>, Option<Detail>) {
    let tags = catalog(&[
        ("Storage", &["20.38.98.0/24", "20.60.0.0/16"]),
        ("Storage.WestEurope", &["20.60.0.0/24"]),
        ("ActionGroup", &["4.145.74.52/30"]),
    ]);
    let options = CompileOptions { linear_only: true, ..CompileOptions::default() };
    let compiled = CompiledNetwork::new(Arc::new(network.clone()), Arc::new(tags), options);
    let all = found(&compiled, |_| true);
    let name = |found: &Found| {
        let rules = &network.nsgs[found.nsg.get()].rules;
        found.rule.map_or(String::new(), |rule| format!(" {}", rules[rule as usize].name))
    };
    let words = all.iter().map(|found| format!("{}{}", found.check.id(), name(found))).collect();
    (words, all.last().map(|found| found.detail.clone()))
}

fn names(network: &Network, by: &[u32]) -> Vec<String> {
    by.iter().map(|rule| network.nsgs[0].rules[*rule as usize].name.clone()).collect()
}

#[test]
fn a_rule_is_shadowed_by_the_union_of_two_that_each_cover_a_part() {
    let network = one_list(&[
        "in 100 deny tcp 10.1.0.0/17 * -> * 80",
        "in 110 deny tcp 10.1.128.0/17 * -> * 0-1023",
        "in 120 deny udp * * -> * *",
        "in 200 deny tcp 10.1.0.0/16 * -> 10.0.0.4 80",
    ]);
    let (words, detail) = told(&network);
    // The three denies ahead say what DenyAllInBound says of all but the network's own range.
    assert_eq!(words, ["redundant in-100", "redundant in-110", "shadowed in-200"]);
    let Some(Detail::Covered { by, by_platform: false, .. }) = detail else { panic!("{detail:?}") };
    assert_eq!(names(&network, &by), ["in-100", "in-110"]);
}

#[test]
fn one_packet_that_no_rule_ahead_takes_keeps_a_rule_alive() {
    let network = one_list(&[
        "in 100 deny tcp 10.0.0.0/17 * -> * 80",
        "in 110 deny tcp 10.0.128.0/18,10.0.192.0/19,10.0.224.0/20,10.0.240.0/21 * -> * 80",
        "in 200 deny tcp 10.0.0.0/16 * -> 10.0.0.4 80",
    ]);
    assert_eq!(told(&network).0, Vec::<String>::new());
}

#[test]
fn an_allow_behind_a_deny_that_takes_a_part_of_it_is_shadowed_with_the_opposite_access() {
    let network = one_list(&[
        "in 100 deny tcp 10.1.7.7 * -> * 443",
        "in 110 allow tcp 10.0.0.0/8 * -> * 400-500",
        "in 200 allow tcp 10.1.0.0/16 * -> * 443",
    ]);
    let (words, detail) = told(&network);
    assert_eq!(words, ["shadowed-opposite in-200"]);
    let Some(Detail::Covered { by, witness: Some((packet, Some(taker))), .. }) = detail else {
        panic!("{detail:?}")
    };
    assert_eq!(names(&network, &by), ["in-110"]);
    assert_eq!(names(&network, &[taker]), ["in-100"]);
    assert_eq!((packet.source, packet.destination_port), (ip("10.1.7.7"), Port::Number(443)));
}

/// The region's ranges are a part of the service's.
#[test]
fn tags_are_expanded() {
    let network = one_list(&[
        "out 100 allow tcp * * -> 20.60.0.0/15 443",
        "out 200 allow tcp * * -> Storage.WestEurope 443",
        "out 300 allow tcp * * -> Storage 443",
        "out 400 deny * * * -> * *",
    ]);
    assert_eq!(told(&network).0, ["shadowed out-200"]);
}

/// PLAT-2: rules for everything do not touch name resolution, and those with the tag are asked alone.
#[test]
fn a_rule_with_a_tag_of_the_platform_is_not_covered_by_one_for_everything() {
    let network = one_list(&[
        "out 100 allow * * * -> * *",
        "out 200 deny * * * -> AzurePlatformDNS *",
        "out 210 deny * 10.0.0.0/24 * -> AzurePlatformDNS *",
        "out 300 allow * * * -> AzurePlatformIMDS *",
        "out 400 deny udp * * -> 168.63.129.16 53",
        "out 410 allow tcp * * -> 20.118.99.224 1688",
        "out 420 deny * * * -> 168.63.129.16 53-54",
    ]);
    assert_eq!(
        told(&network).0,
        [
            "shadowed out-210",
            // What no rule with the tag denies passes anyhow.
            "redundant out-300",
            "exempt out-400",
            "exempt out-410",
            "shadowed-opposite out-420",
        ]
    );
}

/// PLAT-4: under a default route of the user's the licensing servers are ordinary destinations.
#[test]
fn licensing_is_ordinary_traffic_under_a_default_route() {
    use nsgsim::model::routing::NextHop;
    let mut network = one_list(&["out 410 deny tcp * * -> 20.118.99.224 1688"]);
    assert_eq!(told(&network).0, ["exempt out-410"]);
    let route = crate::build::route("default", "0.0.0.0/0", NextHop::Internet);
    let table = network.route_table("table", vec![route]);
    network.subnets[0].route_table = Some(Reference::Here(table));
    assert_eq!(told(&network).0, Vec::<String>::new());
}

#[test]
fn a_redundant_rule_names_its_heirs_and_a_needed_one_is_not_told() {
    let network = one_list(&[
        "in 100 allow tcp 10.0.0.0/16 * -> 10.0.0.4 443",
        "in 110 allow tcp 192.0.2.0/24 * -> 10.0.0.4 443",
        "in 4096 deny * * * -> * *",
    ]);
    assert_eq!(told(&network).0, Vec::<String>::new(), "4096 denies what AllowVnetInBound would allow");
    let network = one_list(&[
        "in 100 allow tcp 10.0.0.0/16 * -> 10.0.0.4 443",
        "in 110 allow tcp 192.0.2.0/24 * -> 10.0.0.4 443",
    ]);
    let (words, detail) = told(&network);
    assert_eq!(words, ["redundant in-100"]);
    let Some(Detail::TakenOver { by, by_platform: false }) = detail else { panic!("{detail:?}") };
    assert_eq!(names(&network, &by), ["AllowVnetInBound"]);
}

#[test]
fn what_a_rule_asks_for_may_be_what_no_packet_has() {
    let network = one_list(&["in 100 allow tcp 10.1.0.0/16 * -> fd00::4 443"]);
    assert_eq!(told(&network).0, ["matches-nothing in-100"]);
    let network = one_list(&["in 100 allow icmp 10.1.0.0/16 * -> * 443"]);
    assert_eq!(told(&network).0, ["matches-nothing in-100"]);
    // What goes to its own sender leaves no machine (EVAL-9).
    let network = one_list(&["in 100 allow tcp 10.0.0.4 * -> 10.0.0.4 443"]);
    assert_eq!(told(&network).0, ["matches-nothing in-100"]);
}

#[test]
fn the_nic_denies_what_the_subnet_allows() {
    let mut network =
        one_list(&["in 100 allow tcp 192.0.2.0/24 * -> * 443", "in 110 allow tcp 192.0.2.0/24 * -> * 22"]);
    let own = network.nsg("own", vec![rule("in 100 allow tcp 192.0.2.0/25 * -> * 443")]);
    network.nics[0].nsg = Some(Reference::Here(own));
    let (words, detail) = told(&network);
    assert_eq!(words, ["unreachable in-110"]);
    let Some(Detail::DeniedBy { by, witness: (packet, nsg, rule) }) = detail else { panic!("{detail:?}") };
    let deny_all = network.nsgs[1].rules.iter().position(|rule| rule.name == "DenyAllInBound");
    let deny_all = u32::try_from(deny_all.unwrap()).unwrap();
    assert_eq!((by, nsg, rule), (vec![(own, deny_all)], own, deny_all));
    assert_eq!((packet.destination, packet.destination_port), (ip("10.0.0.4"), Port::Number(22)));

    // Another interface of the subnet has no NSG of its own.
    network.nic(nsgsim::model::index::SubnetIndex::new(0), "other", &["10.0.0.5"]);
    assert_eq!(told(&network).0, Vec::<String>::new());
}

#[test]
fn the_internet_is_let_in_by_every_spelling_of_it() {
    for source in ["*", "Internet", "0.0.0.0/0", "0.0.0.0/1,128.0.0.0/1"] {
        let network = one_list(&[
            &format!("in 100 allow tcp {source} * -> * 22,443"),
            &format!("in 110 allow tcp {source} * -> 10.0.0.4 *"),
            &format!("in 120 allow udp {source} * -> * 53"),
        ]);
        // 22 is decided about by the first.
        let told = told(&network);
        assert_eq!(
            told.0,
            [
                "internet-to-management in-100",
                "internet-to-management in-110",
                "internet-to-all-ports in-110"
            ],
            "{source}"
        );
        let ports = |detail: &Detail| match detail {
            Detail::LetsIn { ports, .. } => ports.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(ports(&told.1.unwrap()), Vec::<u16>::new());
    }
}

#[test]
fn somebodys_own_addresses_a_services_and_what_is_denied_ahead_are_not_the_internet() {
    let network = one_list(&[
        "in 90 deny * Internet * -> * *",
        "in 100 allow tcp 203.0.112.0/20 * -> * 22",
        "in 110 allow tcp Storage * -> * *",
        "in 120 allow tcp * * -> 10.0.0.4 22",
    ]);
    let (words, _) = told(&network);
    assert!(!words.iter().any(|word| word.starts_with("internet")), "{words:?}");
}

#[test]
fn tags_stand_where_they_have_an_effect() {
    let network = one_list(&[
        "in 100 allow tcp 192.0.2.7 * -> Storage 443",
        "in 110 allow tcp Storage * -> * 443",
        "out 120 allow tcp Internet * -> 192.0.2.7 443",
        "out 130 allow tcp * * -> ActionGroup 443",
        "out 140 allow tcp VirtualNetwork * -> 192.0.2.7 443",
    ]);
    let (words, _) = told(&network);
    let words: Vec<&String> = words.iter().filter(|word| word.starts_with("tag")).collect();
    assert_eq!(
        words,
        [
            "tag-without-effect in-100",
            "tag-direction in-100",
            "tag-direction in-110",
            "tag-without-effect out-120",
            "tag-direction out-130"
        ]
    );
}

/// NSG-18.
#[test]
fn a_public_address_of_an_interface_is_not_seen_on_its_own_side() {
    let mut network = one_list(&[
        "in 100 allow tcp 192.0.2.7 * -> 203.0.113.9 443",
        "in 110 allow tcp 203.0.113.9 * -> 10.0.0.4 443",
        "in 120 allow tcp 192.0.2.7 * -> 0.0.0.0/0 444",
        "out 130 allow tcp 10.0.0.4 * -> 203.0.113.9 443",
        "out 140 deny tcp 203.0.113.0/24 * -> 192.0.2.7 443",
    ]);
    let public_ip = network.public_ip("pip", "203.0.113.9", None);
    network.nics[0].ip_configurations[0].public_ip = Some(Reference::Here(public_ip));
    let (words, _) = told(&network);
    let words: Vec<&String> = words.iter().filter(|word| word.starts_with("public")).collect();
    assert_eq!(words, ["public-address in-100", "public-address out-140"]);
}

#[test]
fn a_group_without_members_and_an_nsg_that_nothing_holds_are_told() {
    let mut network = one_list(&[]);
    network
        .asgs
        .push(nsgsim::model::network::Asg { id: crate::build::id("applicationSecurityGroups", "asg") });
    let asg = AddressTerm::Asg(Reference::Here(nsgsim::model::index::AsgIndex::new(0)));
    let with_group = Rule { source: vec![asg], ..rule("in 100 allow tcp * * -> * 443") };
    network.nsg("other", vec![with_group]);
    assert_eq!(told(&network).0, ["unattached-nsg", "matches-nothing in-100", "empty-asg in-100"]);
}

/// Of an NSG that stands nowhere, what VirtualNetwork is is not known; that a rule repeats another is.
#[test]
fn an_nsg_that_stands_nowhere_is_looked_at_whatever_is_around_it() {
    let mut network = Network::default();
    let rules = [
        "in 100 allow tcp VirtualNetwork * -> * 443",
        "in 110 deny tcp VirtualNetwork * -> * 443",
        "in 120 deny tcp 10.0.0.0/8 * -> * 443",
        "in 130 allow tcp Internet * -> * 22",
    ];
    network.nsg("nsg", rules.iter().map(|text| rule(text)).collect());
    assert_eq!(
        told(&network).0,
        ["unattached-nsg", "shadowed-opposite in-110", "redundant in-120", "internet-to-management in-130"]
    );
}

/// PLAT-1 to PLAT-5: what the simulator passes by rules are the packets that lint takes out of them.
#[test]
fn a_rule_is_exempt_where_the_simulator_does_not_ask_it() {
    use nsgsim::model::flow::Packet;
    use nsgsim::model::verdict::{Reason, Verdict};
    use nsgsim::simulate::{Simulator, SimulatorOptions};

    for (destination, protocol, port) in [
        ("168.63.129.16", "tcp", 53),
        ("168.63.129.16", "udp", 53),
        ("168.63.129.16", "tcp", 80),
        ("168.63.129.16", "tcp", 32526),
        ("168.63.129.16", "udp", 80),
        ("168.63.129.16", "tcp", 443),
        ("169.254.169.254", "tcp", 80),
        ("169.254.169.254", "udp", 80),
        ("169.254.169.254", "tcp", 443),
        ("20.118.99.224", "tcp", 1688),
        ("40.83.235.53", "tcp", 1688),
        ("23.102.135.246", "udp", 1688),
        ("23.102.135.247", "tcp", 1688),
        ("10.0.0.9", "tcp", 53),
    ] {
        let network = one_list(&[&format!("out 100 deny {protocol} * * -> {destination} {port}")]);
        let compiled = compiled(&network);
        let packet = FiveTuple {
            source: ip("10.0.0.4"),
            destination: ip(destination),
            protocol: Protocol::read(protocol).expect("a protocol"),
            source_port: Port::Number(50_000),
            destination_port: Port::Number(port),
        };
        let options = SimulatorOptions {
            engine: nsgsim::compile::policy::Engine::Linear,
            stateful: false,
            observed: false,
            ..SimulatorOptions::default()
        };
        let judged = Simulator::new(compiled, options).judge(&Packet::new(packet), 0);
        let verdict = judged.expect("an end is in the network").answer.verdict;
        let is_exempt = matches!(verdict, Verdict::Allow(Reason::PlatformRule { .. }));
        let is_told = told(&network).0.contains(&"exempt out-100".to_owned());
        assert_eq!(is_told, is_exempt, "{destination} {protocol} {port}: {verdict:?}");
    }
}
