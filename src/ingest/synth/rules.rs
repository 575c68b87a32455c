//! The custom rules of a seeded NSG: about its own places on one side, the estate, sites, the internet and service tags
//! on the other.

use std::net::{IpAddr, Ipv4Addr};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::estate::{Estate, block};
use crate::model::index::{AsgIndex, Reference};
use crate::model::prefix::{PortRange, Prefix, host};
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule};
use crate::model::tag::TagName;

/// Most prefixes of a side: the thousand rules of an NSG together then have no more than the 4,000 of LIM-1.
const MOST_PREFIXES: usize = 4;

/// The widest step from one priority to the next.
const WIDEST_STEP: usize = 10;

/// Ports that rules name most.
const COMMON_PORTS: [u16; 16] =
    [22, 25, 53, 80, 123, 389, 443, 445, 636, 1433, 3306, 3389, 5432, 5671, 6379, 8080];

/// First octets of public addresses that rules name.
const PUBLIC: [u8; 6] = [13, 20, 40, 52, 104, 185];

/// Draws the rules of one NSG. Each NSG has a stream of chance of its own: they can be written in any order.
///
/// Groups are positions in [`ROLES`](super::estate::ROLES), of the NSG's own network.
pub(super) fn draw(estate: &Estate, nsg: usize) -> Vec<Rule> {
    let mut random = ChaCha8Rng::seed_from_u64(estate.options.seed);
    random.set_stream(1 + nsg as u64);
    let home = Home::of(estate, nsg);
    let count = estate.options.rules;
    let mut rules = Vec::with_capacity(count);
    for (direction, count) in [(Direction::Inbound, count.div_ceil(2)), (Direction::Outbound, count / 2)] {
        for priority in priorities(count) {
            rules.push(home.rule(direction, priority, &mut random));
        }
    }
    rules
}

/// So many priorities from the first on, as far apart as there is room (NSG-3).
fn priorities(count: usize) -> impl Iterator<Item = Priority> {
    let (first, last) = Priority::CUSTOM.into_inner();
    let room = (last - first) as usize;
    let step = room.checked_div(count.saturating_sub(1)).unwrap_or(WIDEST_STEP).min(WIDEST_STEP);
    (0..count).map(move |position| Priority(first + (position * step) as u32))
}

/// The places of one NSG.
struct Home<'a> {
    estate: &'a Estate,
    /// The subnet of the first place where it is attached.
    subnet: Prefix,
    /// Addresses of interfaces under it; all in one network. May be empty.
    hosts: Vec<Ipv4Addr>,
    /// How many groups its network has.
    asgs: usize,
}

impl<'a> Home<'a> {
    fn of(estate: &'a Estate, nsg: usize) -> Self {
        let places = &estate.nsgs[nsg];
        let address = |nic: usize| estate.nics[nic].address;
        let (subnet, hosts) = match places.subnets.first() {
            Some(subnet) => (*subnet, estate.subnets[*subnet].nics.clone().map(address).collect()),
            None => (estate.nics[places.nics[0]].subnet, places.nics.iter().copied().map(address).collect()),
        };
        let asgs = estate.vnets[estate.home_of(nsg)].asgs;
        Self { estate, subnet: estate.subnets[subnet].prefix, hosts, asgs }
    }

    fn rule(&self, direction: Direction, priority: Priority, random: &mut ChaCha8Rng) -> Rule {
        let access = if random.random_ratio(7, 10) { Access::Allow } else { Access::Deny };
        let protocol = protocol(random);
        let remote = self.remote(random);
        let local = self.local(random);
        let portless = matches!(protocol, ProtocolMatch::Is(protocol) if !protocol.has_ports());
        // Nothing behind a rule about everybody, every port and every protocol would ever be reached.
        let is_broad = match &remote[..] {
            [AddressTerm::Any] => true,
            [AddressTerm::Tag(tag)] => tag.is_computed(),
            _ => false,
        };
        let (source_ports, destination_ports) = if portless {
            (all_ports(), all_ports())
        } else {
            (source_ports(random), destination_ports(!is_broad, random))
        };
        let (source, destination) = match direction {
            Direction::Inbound => (remote, local),
            Direction::Outbound => (local, remote),
        };
        Rule {
            name: format!("{access:?}{direction:?}{}", priority.0),
            priority,
            direction,
            access,
            protocol,
            source,
            source_ports,
            destination,
            destination_ports,
            is_default: false,
        }
    }

    /// The side of whoever is under the NSG.
    fn local(&self, random: &mut ChaCha8Rng) -> Vec<AddressTerm> {
        match random.random_range(0..20) {
            0..9 => vec![AddressTerm::Any],
            9 if self.asgs > 0 => vec![self.asg(random)],
            10..15 if !self.hosts.is_empty() => {
                apart(random, |random| host(IpAddr::V4(pick(&self.hosts, random))))
            }
            _ => vec![AddressTerm::Prefix(self.subnet)],
        }
    }

    /// The side of whomever it talks to.
    fn remote(&self, random: &mut ChaCha8Rng) -> Vec<AddressTerm> {
        if random.random_bool(self.estate.options.tags_share) {
            let tags = &self.estate.tags;
            return vec![AddressTerm::Tag(tags[random.random_range(0..tags.len())].clone())];
        }
        match random.random_range(0..20) {
            0 => vec![AddressTerm::Any],
            1 => vec![AddressTerm::Tag(TagName::new(TagName::VIRTUAL_NETWORK))],
            2 => vec![AddressTerm::Tag(TagName::new(TagName::INTERNET))],
            3 if self.asgs > 0 => vec![self.asg(random)],
            _ => apart(random, |random| self.remote_prefix(random)),
        }
    }

    fn asg(&self, random: &mut ChaCha8Rng) -> AddressTerm {
        AddressTerm::Asg(Reference::Here(AsgIndex::new(random.random_range(0..self.asgs))))
    }

    fn remote_prefix(&self, random: &mut ChaCha8Rng) -> Prefix {
        let Estate { vnets, subnets, nics, .. } = self.estate;
        match random.random_range(0..20) {
            0..6 => subnets[random.random_range(0..subnets.len())].prefix,
            6..10 => host(IpAddr::V4(nics[random.random_range(0..nics.len())].address)),
            10..13 => part(vnets[random.random_range(0..vnets.len())].space, 20..=28, random),
            13 => vnets[random.random_range(0..vnets.len())].space,
            14..17 => {
                // Sites, where the address space of the estate does not reach.
                let site = [([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)][random.random_range(0..2)];
                part(block(u32::from_be_bytes(site.0), site.1), 17..=28, random)
            }
            _ => {
                let first = pick(&PUBLIC, random);
                part(block(u32::from_be_bytes([first, 0, 0, 0]), 8), 16..=32, random)
            }
        }
    }
}

fn protocol(random: &mut ChaCha8Rng) -> ProtocolMatch {
    ProtocolMatch::Is(match random.random_range(0..100) {
        0..60 => Protocol::TCP,
        60..75 => Protocol::UDP,
        75..90 => return ProtocolMatch::Any,
        90..96 => Protocol::ICMP,
        96..98 => Protocol::ESP,
        _ => Protocol::AH,
    })
}

fn all_ports() -> Vec<PortTerm> {
    vec![PortTerm::Range(PortRange::ALL)]
}

/// Hardly any rule looks at these.
fn source_ports(random: &mut ChaCha8Rng) -> Vec<PortTerm> {
    if random.random_ratio(29, 30) { all_ports() } else { vec![PortTerm::Range(some_ports(random))] }
}

fn destination_ports(may_be_all: bool, random: &mut ChaCha8Rng) -> Vec<PortTerm> {
    match random.random_range(0..10) {
        0 if may_be_all => all_ports(),
        1..3 => vec![PortTerm::Range(some_ports(random))],
        3..5 => {
            let mut ports: Vec<u16> =
                (0..random.random_range(2..=4)).map(|_| pick(&COMMON_PORTS, random)).collect();
            ports.sort_unstable();
            ports.dedup();
            ports.into_iter().map(port).collect()
        }
        _ => vec![port(pick(&COMMON_PORTS, random))],
    }
}

fn port(port: u16) -> PortTerm {
    PortTerm::Range(PortRange::new(port, port).expect("a port is not beyond itself"))
}

fn some_ports(random: &mut ChaCha8Rng) -> PortRange {
    let first = random.random_range(1024..=60_000);
    PortRange::new(first, first + random.random_range(1..=1000)).expect("the last port is beyond the first")
}

/// Mostly one prefix, now and then some, none of which holds another.
fn apart(random: &mut ChaCha8Rng, draw: impl Fn(&mut ChaCha8Rng) -> Prefix) -> Vec<AddressTerm> {
    let count = if random.random_ratio(7, 10) { 1 } else { random.random_range(2..=MOST_PREFIXES) };
    let mut found: Vec<Prefix> = Vec::with_capacity(count);
    for _ in 0..count {
        let next = draw(random);
        if !found.iter().any(|other| other.contains(&next) || next.contains(other)) {
            found.push(next);
        }
    }
    found.into_iter().map(AddressTerm::Prefix).collect()
}

/// A block of one of these lengths inside a block.
fn part(whole: Prefix, lengths: std::ops::RangeInclusive<u8>, random: &mut ChaCha8Rng) -> Prefix {
    let Prefix::V4(whole) = whole else { return whole };
    let inside: u32 = random.random::<u32>() & u32::from(whole.hostmask());
    block(u32::from(whole.network()) | inside, random.random_range(lengths))
}

fn pick<T: Copy>(list: &[T], random: &mut ChaCha8Rng) -> T {
    list[random.random_range(0..list.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{draw, priorities};
    use crate::ingest::synth::{Estate, EstateOptions};
    use crate::model::rule::{AddressTerm, Direction, Rule};
    use crate::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};

    fn estate(rules: usize, tags_share: f64) -> Estate {
        let mut tags = TagCatalog::new(TagSource::default());
        tags.insert(ServiceTag {
            name: TagName::new("Storage"),
            region: String::new(),
            system_service: String::new(),
            prefixes: vec!["203.0.113.0/24".parse().unwrap()],
        });
        let options = EstateOptions { vnets: 2, nics: 40, nsgs: 4, rules, tags_share, seed: 5 };
        Estate::new(options, &tags).unwrap()
    }

    fn named(rules: &[Rule], tag: &str) -> usize {
        let is = |term: &AddressTerm| matches!(term, AddressTerm::Tag(name) if name.is(tag));
        rules.iter().filter(|rule| rule.source.iter().chain(&rule.destination).any(is)).count()
    }

    #[test]
    fn nsg_3_priorities_keep_apart_as_far_as_there_is_room() {
        let all = |count| priorities(count).map(|priority| priority.0).collect::<Vec<_>>();
        assert_eq!(all(0), [0; 0]);
        assert_eq!(all(1), [100]);
        assert_eq!(all(3), [100, 110, 120]);
        // 500 rules a direction, the most: 3,996 / 499 is 8.
        assert_eq!(all(500).last(), Some(&(100 + 499 * 8)));
    }

    #[test]
    fn the_rules_of_an_nsg_share_out_between_the_directions() {
        let rules = draw(&estate(101, 0.1), 0);
        let inbound = rules.iter().filter(|rule| rule.direction == Direction::Inbound).count();
        assert_eq!((inbound, rules.len()), (51, 101));
        let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names.len(), 101);
    }

    #[test]
    fn lim_1_a_thousand_rules_have_at_most_four_prefixes_a_side_each() {
        for rule in draw(&estate(1000, 0.0), 3) {
            assert!((1..=4).contains(&rule.source.len()) && (1..=4).contains(&rule.destination.len()));
        }
    }

    #[test]
    fn the_share_of_tags_is_kept() {
        let share = |share| named(&draw(&estate(1000, share), 0), "Storage");
        assert_eq!(share(0.0), 0);
        assert_eq!(share(1.0), 1000);
        // 1,000 draws at 0.3: the deviation is 14.5, five of them to either side.
        assert!((228..=372).contains(&share(0.3)), "{}", share(0.3));
    }

    #[test]
    fn each_nsg_has_rules_of_its_own_whatever_was_drawn_before() {
        let estate = estate(50, 0.1);
        let second = draw(&estate, 1);
        assert_ne!(draw(&estate, 0), second);
        assert_eq!(draw(&estate, 1), second);
    }
}
