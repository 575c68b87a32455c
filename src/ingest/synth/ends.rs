//! Who talks to whom, and about what: the ends and ports that a network's own resources suggest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::model::index::{AsgIndex, NsgIndex, Reference};
use crate::model::network::{Network, Nic};
use crate::model::prefix::{PortRange, Prefix, host};
use crate::model::routing::RouteDestination;
use crate::model::rule::{AddressTerm, Direction, PortTerm, Protocol, ProtocolMatch, Rule};
use crate::model::services::{AdminAddress, AdminRule};
use crate::model::tag::{TagCatalog, TagName};

/// Two ends and what they say to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversation {
    /// Who begins.
    pub(super) client: IpAddr,
    /// Whom it asks.
    pub(super) server: IpAddr,
    /// In which protocol.
    pub(super) protocol: Protocol,
    /// The client's port, where a rule looks at it.
    pub(super) client_port: Option<u16>,
    /// The server's port; without meaning for a protocol without ports.
    pub(super) server_port: u16,
}

/// A set of addresses. Never empty.
type Area = Arc<[Prefix]>;

/// Where ends and ports are drawn from.
///
/// INVARIANT: every list is in an order that follows from the network's and the tags' own, so that chance alone decides.
pub(super) struct Ends {
    /// Addresses of interfaces. Never empty.
    nics: Vec<IpAddr>,
    /// IPv4 and IPv6.
    families: [Family; 2],
    /// What single rules name.
    aims: Vec<Aim>,
    /// Boundaries of all rules' port ranges and their neighbours, and ports that are common anyway.
    ports: Vec<u16>,
}

/// The places of one IP version.
#[derive(Default)]
struct Family {
    /// Other addresses of the network: public ones, frontends, private endpoints.
    own: Vec<Area>,
    /// Subnets and address ranges, where an address need not have an owner.
    inside: Vec<Area>,
    /// Peered networks.
    peers: Vec<Area>,
    /// Sites and clients behind gateways.
    on_premises: Vec<Area>,
    /// Whatever rules and routes name.
    named: Vec<Area>,
    /// The internet, and the platform's addresses.
    outside: Vec<Area>,
}

/// One rule as a target.
struct Aim {
    direction: Direction,
    protocol: ProtocolMatch,
    /// The addresses that the rule is applied at and that its own side names.
    homes: Arc<[IpAddr]>,
    /// What its other side names; empty where it names everything.
    remote: Vec<Area>,
    source_ports: Vec<u16>,
    destination_ports: Vec<u16>,
}

/// Ports that are asked for in most networks.
const COMMON_PORTS: [u16; 14] = [22, 25, 53, 80, 123, 135, 389, 443, 445, 1433, 3306, 3389, 5432, 8080];

/// Addresses of the internet that answer to names everybody knows, and one documentation prefix a family.
const INTERNET: [&str; 6] = [
    "8.8.8.8/32",
    "1.1.1.1/32",
    "20.0.0.0/8",
    "198.51.100.0/24",
    "2001:4860:4860::8888/128",
    "2a00:1450::/32",
];

/// The platform's own addresses (PLAT-1).
const PLATFORM: [&str; 2] = ["168.63.129.16/32", "169.254.169.254/32"];

impl Ends {
    /// The ends of a network; nothing if none of its interfaces has an address.
    pub(super) fn of(network: &Network, tags: &TagCatalog) -> Option<Self> {
        let nics = addresses(&network.nics, |_| true);
        if nics.is_empty() {
            return None;
        }
        let mut names = Names { network, tags, known: BTreeMap::new() };
        let mut families = [Family::default(), Family::default()];
        names.places(&mut families);
        let aims = names.aims(&nics);
        let mut ports = COMMON_PORTS.to_vec();
        for aim in &aims {
            ports.extend(&aim.destination_ports);
            for area in &aim.remote {
                families[family_of(area[0].addr())].named.push(Arc::clone(area));
            }
        }
        ports.sort_unstable();
        ports.dedup();
        Some(Self { nics, families, aims, ports })
    }

    /// Draws a conversation of which at least one end is in the network. Every other one aims at one rule.
    pub(super) fn conversation(&self, random: &mut ChaCha8Rng) -> Conversation {
        let aim = if random.random_bool(0.5) { pick(&self.aims, random) } else { None };
        let home = match aim {
            Some(aim) => pick(&aim.homes, random).copied(),
            None => self.other_home(random),
        };
        let home = home.unwrap_or_else(|| self.nics[random.random_range(0..self.nics.len())]);
        let remote = self.remote(aim, home, random);
        let inbound = match aim {
            Some(aim) => aim.direction == Direction::Inbound,
            None => random.random(),
        };
        let (client, server) = if inbound { (remote, home) } else { (home, remote) };
        let server_port = match aim.and_then(|aim| pick(&aim.destination_ports, random)) {
            Some(port) => *port,
            None if random.random_ratio(1, 8) => random.random_range(1..=u16::MAX),
            None => *pick(&self.ports, random).expect("common ports are always there"),
        };
        Conversation {
            client,
            server,
            protocol: protocol(aim.map(|aim| &aim.protocol), home.is_ipv6(), random),
            client_port: aim.and_then(|aim| pick(&aim.source_ports, random)).copied(),
            server_port,
        }
    }

    /// Now and then an address of the network that is no interface's, or nobody's.
    fn other_home(&self, random: &mut ChaCha8Rng) -> Option<IpAddr> {
        let family =
            &self.families[usize::from(self.nics[random.random_range(0..self.nics.len())].is_ipv6())];
        match random.random_range(0..10) {
            0 => pick(&family.own, random).map(|area| inside(area, random)),
            1 => pick(&family.inside, random).map(|area| inside(area, random)),
            _ => None,
        }
    }

    /// The other end: of the same family, another address, and one that can be an end at all.
    fn remote(&self, aim: Option<&Aim>, home: IpAddr, random: &mut ChaCha8Rng) -> IpAddr {
        let version = usize::from(home.is_ipv6());
        for _ in 0..16 {
            let aimed = aim
                .and_then(|aim| pick(&aim.remote, random))
                .filter(|area| family_of(area[0].addr()) == version);
            let address = match aimed {
                Some(area) => at_an_edge(area, random),
                None => self.somewhere(version, random),
            };
            if address != home && address.is_ipv6() == home.is_ipv6() && can_be_an_end(address) {
                return address;
            }
        }
        // A network of one address, or rules that name nothing usable. One of the two is not the home itself.
        let [first, second] = match home {
            IpAddr::V4(_) => ["8.8.8.8", "8.8.4.4"],
            IpAddr::V6(_) => ["2001:4860:4860::8888", "2001:4860:4860::8844"],
        }
        .map(|text| text.parse().expect("written as an address"));
        if first == home { second } else { first }
    }

    fn somewhere(&self, version: usize, random: &mut ChaCha8Rng) -> IpAddr {
        let family = &self.families[version];
        let nic = || self.nics[0];
        let areas = match random.random_range(0..20) {
            0..6 => return pick(&self.nics, random).copied().unwrap_or_else(nic),
            6 => &family.own,
            7..9 => &family.inside,
            9..11 => &family.peers,
            11..13 => &family.on_premises,
            13..17 => &family.named,
            _ => &family.outside,
        };
        let edges = random.random_bool(0.5);
        match pick(areas, random).or_else(|| family.outside.first()) {
            Some(area) if edges => at_an_edge(area, random),
            Some(area) => inside(area, random),
            None => nic(),
        }
    }
}

/// Looks up what rules name, tags once each.
struct Names<'a> {
    network: &'a Network,
    tags: &'a TagCatalog,
    known: BTreeMap<TagName, [Option<Area>; 2]>,
}

impl Names<'_> {
    /// Fills in everything but what rules name.
    fn places(&mut self, families: &mut [Family; 2]) {
        let network = self.network;
        let own = network.public_ips.iter().filter_map(|public| public.address);
        let frontends = network.load_balancers.iter().flat_map(|balancer| &balancer.frontends);
        let own = own.chain(frontends.filter_map(|frontend| frontend.address));
        let endpoints = network.private_endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        place(families, own.chain(endpoints.copied()).map(host), |family| &mut family.own);
        let ranges = network.vnets.iter().flat_map(|vnet| &vnet.address_space);
        let inside = network.subnets.iter().flat_map(|subnet| &subnet.prefixes).chain(ranges);
        place(families, inside.copied(), |family| &mut family.inside);
        let peers = network.vnets.iter().flat_map(|vnet| &vnet.peerings).flat_map(|peering| {
            let remote = peering.remote.here().map(|remote| &network.vnets[remote.get()].address_space);
            peering.remote_address_space.as_ref().or(remote).into_iter().flatten()
        });
        place(families, peers.copied(), |family| &mut family.peers);
        let gateways = network
            .gateways
            .iter()
            .flat_map(|gateway| gateway.client_pools.iter().chain(&gateway.learned_routes));
        let sites = network.local_gateways.iter().flat_map(|site| &site.prefixes);
        place(families, gateways.chain(sites).copied(), |family| &mut family.on_premises);
        let constant = |text: &&str| text.parse::<Prefix>().expect("written as a prefix");
        place(families, INTERNET.iter().chain(&PLATFORM).map(constant), |family| &mut family.outside);
        for route in network.route_tables.iter().flat_map(|table| &table.routes) {
            let areas = match &route.destination {
                RouteDestination::Prefix(prefix) => by_family([*prefix]),
                RouteDestination::Tag(tag) => self.tag(tag),
                RouteDestination::Invalid(_) => continue,
            };
            for area in areas.into_iter().flatten() {
                families[family_of(area[0].addr())].named.push(area);
            }
        }
    }

    /// The custom rules of NSGs, where they are applied, and all admin rules.
    fn aims(&mut self, nics: &[IpAddr]) -> Vec<Aim> {
        let network = self.network;
        let nics: Arc<[IpAddr]> = nics.into();
        let mut aims = Vec::new();
        for (position, nsg) in network.nsgs.iter().enumerate() {
            let under = addresses(&network.nics, |nic| is_under(network, nic, NsgIndex::new(position)));
            let homes = if under.is_empty() { Arc::clone(&nics) } else { under.into() };
            aims.extend(nsg.rules.iter().filter(|rule| !rule.is_default).map(|rule| self.aim(rule, &homes)));
        }
        let configurations = network.network_managers.iter().flat_map(|manager| &manager.configurations);
        let collections = configurations.flat_map(|configuration| &configuration.collections);
        let managed = collections.flat_map(|collection| &collection.rules);
        let effective = network.effective_admin_rules.iter().flat_map(|rules| &rules.rules);
        aims.extend(managed.chain(effective).map(|rule| self.admin_aim(rule, &nics)));
        aims
    }

    fn aim(&mut self, rule: &Rule, homes: &Arc<[IpAddr]>) -> Aim {
        let (local, remote) = match rule.direction {
            Direction::Inbound => (&rule.destination, &rule.source),
            Direction::Outbound => (&rule.source, &rule.destination),
        };
        let local: Vec<Area> = local.iter().flat_map(|term| self.term(term)).collect();
        let range = |term: &PortTerm| match term {
            PortTerm::Range(range) => Some(*range),
            PortTerm::Invalid(_) => None,
        };
        Aim {
            direction: rule.direction,
            protocol: rule.protocol.clone(),
            homes: named_homes(homes, &local),
            remote: remote.iter().flat_map(|term| self.term(term)).collect(),
            source_ports: boundaries(rule.source_ports.iter().filter_map(range)),
            destination_ports: boundaries(rule.destination_ports.iter().filter_map(range)),
        }
    }

    fn admin_aim(&mut self, rule: &AdminRule, homes: &Arc<[IpAddr]>) -> Aim {
        let (local, remote) = match rule.direction {
            Direction::Inbound => (&rule.destinations, &rule.sources),
            Direction::Outbound => (&rule.sources, &rule.destinations),
        };
        let mut areas = |addresses: &[AdminAddress]| -> Vec<Area> {
            let named = |address: &AdminAddress| match address {
                AdminAddress::Any | AdminAddress::Invalid(_) => [None, None],
                AdminAddress::Prefix(prefix) => by_family([*prefix]),
                AdminAddress::Tag(tag) => self.tag(tag),
            };
            addresses.iter().flat_map(named).flatten().collect()
        };
        Aim {
            direction: rule.direction,
            protocol: rule.protocol.map_or(ProtocolMatch::Any, ProtocolMatch::Is),
            homes: named_homes(homes, &areas(local)),
            remote: areas(remote),
            source_ports: boundaries(rule.source_ports.iter().copied()),
            destination_ports: boundaries(rule.destination_ports.iter().copied()),
        }
    }

    /// What a term names, one area a family; nothing where it names everything or nobody knows what.
    fn term(&mut self, term: &AddressTerm) -> Vec<Area> {
        let areas = match term {
            AddressTerm::Any | AddressTerm::Invalid(_) | AddressTerm::Asg(Reference::Missing(_)) => {
                [None, None]
            }
            AddressTerm::Prefix(prefix) => by_family([*prefix]),
            AddressTerm::Tag(tag) => self.tag(tag),
            AddressTerm::Asg(Reference::Here(asg)) => by_family(members(self.network, *asg)),
        };
        areas.into_iter().flatten().collect()
    }

    /// The prefixes of a tag. The computed ones are not resolved for each NIC here: traffic to about the right places
    /// will do, what it means is found out elsewhere.
    fn tag(&mut self, name: &TagName) -> [Option<Area>; 2] {
        if let Some(areas) = self.known.get(name) {
            return areas.clone();
        }
        let constant = |text: &&str| text.parse::<Prefix>().expect("written as a prefix");
        let areas = if name.is(TagName::VIRTUAL_NETWORK) {
            by_family(self.network.vnets.iter().flat_map(|vnet| &vnet.address_space).copied())
        } else if name.is(TagName::INTERNET) {
            by_family(INTERNET.iter().map(constant))
        } else if name.is_computed() {
            by_family(PLATFORM.iter().map(constant))
        } else {
            by_family(self.tags.get(name).into_iter().flat_map(|tag| &tag.prefixes).copied())
        };
        self.known.insert(name.clone(), areas.clone());
        areas
    }
}

fn addresses(nics: &[Nic], wanted: impl Fn(&Nic) -> bool) -> Vec<IpAddr> {
    let configurations = nics.iter().filter(|nic| wanted(nic)).flat_map(|nic| &nic.ip_configurations);
    configurations.filter_map(|configuration| configuration.address).collect()
}

/// Whether the NSG is the interface's own or its subnet's.
fn is_under(network: &Network, nic: &Nic, nsg: NsgIndex) -> bool {
    let is_it =
        |reference: &Option<Reference<NsgIndex>>| reference.as_ref().and_then(Reference::here) == Some(nsg);
    let subnet = nic.subnet.as_ref().and_then(Reference::here).map(|subnet| &network.subnets[subnet.get()]);
    is_it(&nic.nsg) || subnet.is_some_and(|subnet| is_it(&subnet.nsg))
}

fn members(network: &Network, asg: AsgIndex) -> impl Iterator<Item = Prefix> {
    let configurations = network.nics.iter().flat_map(|nic| &nic.ip_configurations);
    let of_asg = configurations.filter(move |configuration| configuration.asgs.contains(&asg));
    of_asg.filter_map(|configuration| configuration.address).map(host)
}

/// The homes that one of the areas holds; all of them where none does.
fn named_homes(homes: &Arc<[IpAddr]>, areas: &[Area]) -> Arc<[IpAddr]> {
    // The own side of a rule names a few prefixes or everything; a tag of thousands is not worth the search.
    const WORTH_A_SEARCH: usize = 64;
    if areas.iter().any(|area| area.len() > WORTH_A_SEARCH) {
        return Arc::clone(homes);
    }
    let named = |home: &&IpAddr| areas.iter().any(|area| area.iter().any(|prefix| prefix.contains(*home)));
    let count = homes.iter().filter(named).count();
    if count == 0 || count == homes.len() {
        return Arc::clone(homes);
    }
    homes.iter().filter(named).copied().collect()
}

/// First and last port of each range and the ports beside them; nothing of `*`, which has no boundary to try.
fn boundaries(ranges: impl Iterator<Item = PortRange>) -> Vec<u16> {
    let mut ports: Vec<u16> = ranges
        .filter(|range| *range != PortRange::ALL)
        .flat_map(|range| {
            let (first, last) = (range.first(), range.last());
            [first.checked_sub(1), Some(first), Some(last), last.checked_add(1)]
        })
        .flatten()
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn protocol(named: Option<&ProtocolMatch>, v6: bool, random: &mut ChaCha8Rng) -> Protocol {
    let icmp = if v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
    match named {
        Some(ProtocolMatch::Is(Protocol::ICMP)) => icmp,
        Some(ProtocolMatch::Is(protocol)) if !random.random_ratio(1, 8) => *protocol,
        _ => match random.random_range(0..100) {
            0..62 => Protocol::TCP,
            62..88 => Protocol::UDP,
            88..97 => icmp,
            97 => Protocol::ESP,
            98 => Protocol::AH,
            _ => Protocol::GRE,
        },
    }
}

/// The position of an address's family in [`Ends::families`].
fn family_of(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

fn by_family(prefixes: impl IntoIterator<Item = Prefix>) -> [Option<Area>; 2] {
    let (v6, v4): (Vec<Prefix>, Vec<Prefix>) =
        prefixes.into_iter().partition(|prefix| prefix.addr().is_ipv6());
    [v4, v6].map(|list| (!list.is_empty()).then(|| list.into()))
}

/// Makes each prefix an area of its own, so that each is as likely as the others.
fn place(
    families: &mut [Family; 2],
    prefixes: impl Iterator<Item = Prefix>,
    list: impl Fn(&mut Family) -> &mut Vec<Area>,
) {
    for prefix in prefixes {
        list(&mut families[family_of(prefix.addr())]).push([prefix].into());
    }
}

fn pick<'a, T>(list: &'a [T], random: &mut ChaCha8Rng) -> Option<&'a T> {
    (!list.is_empty()).then(|| &list[random.random_range(0..list.len())])
}

/// Some address of the area.
fn inside(area: &Area, random: &mut ChaCha8Rng) -> IpAddr {
    let prefix = area[random.random_range(0..area.len())];
    let offset: u128 = random.random();
    match prefix {
        Prefix::V4(v4) => {
            let hosts = !u32::from(v4.netmask());
            IpAddr::V4(Ipv4Addr::from(u32::from(v4.network()) | (offset as u32 & hosts)))
        }
        Prefix::V6(v6) => {
            let hosts = !u128::from(v6.netmask());
            IpAddr::V6(Ipv6Addr::from(u128::from(v6.network()) | (offset & hosts)))
        }
    }
}

/// The first or last address of one of the area's prefixes, the one just outside it, or some address inside.
fn at_an_edge(area: &Area, random: &mut ChaCha8Rng) -> IpAddr {
    let prefix = area[random.random_range(0..area.len())];
    let beside = |address: IpAddr, step: i8| match address {
        IpAddr::V4(v4) => {
            u32::from(v4).checked_add_signed(i32::from(step)).map(|bits| IpAddr::V4(bits.into()))
        }
        IpAddr::V6(v6) => {
            u128::from(v6).checked_add_signed(i128::from(step)).map(|bits| IpAddr::V6(bits.into()))
        }
    };
    let edge = match random.random_range(0..8) {
        0 => Some(prefix.network()),
        1 => Some(prefix.broadcast()),
        2 => beside(prefix.network(), -1),
        3 => beside(prefix.broadcast(), 1),
        _ => None,
    };
    edge.unwrap_or_else(|| inside(&[prefix].into(), random))
}

/// Whether a packet with this source can be on a wire; edges of `0.0.0.0/0` and their like cannot.
fn can_be_an_end(address: IpAddr) -> bool {
    let nowhere = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.octets()[0] == 0 || v4.octets()[0] >= 240,
        IpAddr::V6(_) => false,
    };
    !(nowhere || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}
