//! The lists of an NSG, as they stand wherever it is attached, with what is said of their rules.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::cut::{Cut, Lists};
use crate::compile::address_set::AddressSet;
use crate::compile::classifier::Entry;
use crate::compile::network::{CompiledNetwork, PolicyReference};
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::compile::resolve::{Clause, LICENSING, METADATA, ResolvedRule, Resolver};
use crate::compile::surroundings::{self, PLATFORM, fixed};
use crate::model::index::{NicIndex, NsgIndex, PrivateEndpointIndex, Reference, SubnetIndex};
use crate::model::network::Network;
use crate::model::prefix::{PortRange, Prefix};
use crate::model::routing::RouteDestination;
use crate::model::rule::{Direction, Protocol};
use crate::model::verdict::Interface;

/// The rules of one direction of an NSG.
pub(super) struct OfNsg<'c> {
    pub(super) nsg: NsgIndex,
    pub(super) direction: Direction,
    /// Once for each of the surroundings that it stands in; where it stands nowhere, once with nothing known of them.
    ///
    /// Without the clauses with a tag of the platform that only packets to its services meet.
    pub(super) lists: Vec<Cow<'c, [ResolvedRule]>>,
    /// What packets to the platform's services meet of it instead: rules with a tag of the platform alone, and behind them
    /// nothing that stops them (PLAT-2 to PLAT-4). Once for each list, without those that are empty.
    platform: Vec<Vec<ResolvedRule>>,
    /// Packets that its other rules never meet (PLAT-1 to PLAT-5).
    untouched: Vec<Entry>,
    /// The licensing servers are among these.
    licensing: bool,
    /// Addresses of interfaces that ask them, ascending; some of them, where there are many.
    own: Vec<IpAddr>,
}

impl OfNsg<'_> {
    /// One of its lists, as packets meet it.
    pub(super) fn cut(&self, list: usize, marked: Vec<Arc<AddressSet>>, ports: Vec<PortRange>) -> Cut {
        let lists = vec![self.lists[list].iter().collect()];
        Cut::of(&Lists { untouched: self.untouched.clone(), lists, marked, ports, own: self.own() })
    }

    /// What packets to the platform's services meet; nothing where its rules have no tag of the platform.
    pub(super) fn platform_cuts(&self) -> impl Iterator<Item = Cut> {
        self.platform.iter().map(|rules| {
            let lists = vec![rules.iter().collect()];
            let (untouched, marked, ports) = (Vec::new(), Vec::new(), Vec::new());
            Cut::of(&Lists { untouched, lists, marked, ports, own: self.own() })
        })
    }

    /// One of the lists that it has in [`CompiledNetwork::policies`], and behind it what allowed packets meet next.
    pub(super) fn cut_before(
        &self,
        list: &[ResolvedRule],
        next: Option<&[ResolvedRule]>,
        marked: Vec<Arc<AddressSet>>,
    ) -> Cut {
        let [list, next] = [Some(list), next].map(|rules| rules.map(|rules| self.ordinary(rules)));
        let lists = list.iter().chain(&next).map(|rules| rules.iter().collect()).collect();
        let (untouched, ports) = (self.untouched.clone(), Vec::new());
        Cut::of(&Lists { untouched, lists, marked, ports, own: self.own() })
    }

    fn own(&self) -> (Direction, Vec<IpAddr>) {
        (self.direction, self.own.clone())
    }

    /// A list without the clauses that only packets to the platform's services meet.
    fn ordinary<'r>(&self, rules: &'r [ResolvedRule]) -> Cow<'r, [ResolvedRule]> {
        let servers = AddressSet::from_prefixes(LICENSING.map(fixed));
        let stays = |clause: &Clause| {
            !clause.is_platform || (!self.licensing && *clause.destination.known == servers)
        };
        if rules.iter().flat_map(|rule| &rule.clauses).all(stays) {
            return Cow::Borrowed(rules);
        }
        let without = |rule: &ResolvedRule| {
            let clauses = rule.clauses.iter().filter(|clause| stays(clause)).cloned().collect();
            ResolvedRule { clauses, ..*rule }
        };
        rules.iter().map(without).collect()
    }
}

/// The clauses of a list with a tag of the platform.
fn of_platform(rules: &[ResolvedRule]) -> Vec<ResolvedRule> {
    let of_platform = |rule: &ResolvedRule| {
        let clauses: Vec<_> = rule.clauses.iter().filter(|clause| clause.is_platform).cloned().collect();
        (!clauses.is_empty()).then_some(ResolvedRule { clauses, ..*rule })
    };
    rules.iter().filter_map(of_platform).collect()
}

/// The lists of all NSGs, by NSG and direction.
pub(super) fn all<'c>(compiled: &'c CompiledNetwork, holders: &Holders) -> Vec<OfNsg<'c>> {
    let network = &*compiled.network;
    let mut resolver = Resolver::new(network, &compiled.tags, compiled.assumptions);
    let mut standing: BTreeMap<(NsgIndex, Direction), Vec<&[ResolvedRule]>> = BTreeMap::new();
    for policy in &compiled.policies {
        standing.entry((policy.nsg(), policy.direction)).or_default().push(&policy.rules);
    }
    let mut found = Vec::new();
    for position in 0..network.nsgs.len() {
        let nsg = NsgIndex::new(position);
        let subnets = &holders.subnets[position];
        let own = addresses_of(network, &holders.interfaces[position], subnets);
        let licensing = !may_have_default_route(network, subnets);
        for direction in [Direction::Inbound, Direction::Outbound] {
            let lists = standing.remove(&(nsg, direction)).unwrap_or_default();
            let untouched = untouched(direction, licensing);
            let (platform, own) = (Vec::new(), own.clone());
            let mut of_nsg = OfNsg { nsg, direction, lists: Vec::new(), platform, untouched, licensing, own };
            if lists.is_empty() {
                let id = &network.nsgs[position].id;
                let around = surroundings::of_missing_subnet(&compiled.internet, id);
                let rules = resolver.rules(nsg, direction, &around);
                of_nsg.platform = vec![of_platform(&rules)];
                of_nsg.lists = vec![Cow::Owned(of_nsg.ordinary(&rules).into_owned())];
            } else {
                of_nsg.platform = lists.iter().map(|rules| of_platform(rules)).collect();
                of_nsg.lists = lists.into_iter().map(|rules| of_nsg.ordinary(rules)).collect();
            }
            of_nsg.platform.retain(|rules| !rules.is_empty());
            found.push(of_nsg);
        }
    }
    found
}

/// Addresses at which the rules of an NSG are asked, ascending: of its interfaces, or else of its subnets.
fn addresses_of(network: &Network, interfaces: &[Interface], subnets: &[SubnetIndex]) -> Vec<IpAddr> {
    let of_interface = |interface: &Interface| match *interface {
        Interface::Nic(nic) => {
            let configurations = network.nics[nic.get()].ip_configurations.iter();
            configurations.filter_map(|configuration| configuration.address).collect()
        }
        Interface::Endpoint(endpoint) => network.private_endpoints[endpoint.get()].addresses.clone(),
        Interface::Unlisted(_) | Interface::Service(_) => Vec::new(),
    };
    let mut found: Vec<IpAddr> = interfaces.iter().flat_map(of_interface).take(MOST_OWN).collect();
    if found.is_empty() {
        let prefixes = subnets.iter().flat_map(|subnet| &network.subnets[subnet.get()].prefixes);
        // The first that Azure leaves to machines (TOP-3).
        found.extend(prefixes.filter_map(|prefix| match prefix {
            Prefix::V4(net) => net.hosts().nth(3).map(IpAddr::from),
            Prefix::V6(net) => net.hosts().nth(4).map(IpAddr::from),
        }));
    }
    found.sort_unstable();
    found
}

/// How many addresses of an NSG's interfaces are kept to show packets by.
const MOST_OWN: usize = 64;

/// What the platform lets through whatever the rules of a list say (PLAT-1 to PLAT-5); rules with a tag of the platform
/// are asked apart.
fn untouched(direction: Direction, licensing: bool) -> Vec<Entry> {
    let one = |port| PortSet::from_ranges(PortRange::new(port, port));
    let set = |prefixes: &[&str]| Arc::new(AddressSet::from_prefixes(prefixes.iter().map(|one| fixed(one))));
    let all = || Arc::new(AddressSet::all());
    let entry = |protocol, source_ports, destination, destination_ports| Entry {
        source: all(),
        source_ports,
        destination,
        destination_ports,
        protocols: ProtocolSet::one(protocol),
    };
    if direction == Direction::Inbound {
        return vec![Entry { source: set(&[PLATFORM]), ..entry(Protocol::UDP, one(67), all(), one(68)) }];
    }
    let any = PortSet::all;
    let mut entries = vec![
        entry(Protocol::TCP, any(), set(&[PLATFORM]), one(53)),
        entry(Protocol::UDP, any(), set(&[PLATFORM]), one(53)),
        entry(Protocol::TCP, any(), set(&[PLATFORM]), one(80)),
        entry(Protocol::TCP, any(), set(&[PLATFORM]), one(32526)),
        entry(Protocol::TCP, any(), set(&[METADATA]), one(80)),
        entry(Protocol::UDP, one(68), set(&[PLATFORM, "255.255.255.255/32"]), one(67)),
    ];
    if licensing {
        entries.push(entry(Protocol::TCP, any(), set(&LICENSING), one(1688)));
    }
    entries
}

/// Whether some of the subnets that an NSG stands in has a user-defined default route, or may have one: then the licensing
/// servers are ordinary destinations there (PLAT-4).
fn may_have_default_route(network: &Network, subnets: &[SubnetIndex]) -> bool {
    if subnets.is_empty() {
        return true;
    }
    subnets.iter().any(|subnet| match &network.subnets[subnet.get()].route_table {
        None => false,
        Some(Reference::Missing(_)) => true,
        Some(Reference::Here(table)) => {
            network.route_tables[table.get()].routes.iter().any(|route| match &route.destination {
                RouteDestination::Prefix(prefix) => *prefix == fixed("0.0.0.0/0"),
                RouteDestination::Tag(_) => false,
                RouteDestination::Invalid(_) => true,
            })
        }
    })
}

/// Who holds each NSG, by position.
pub(super) struct Holders {
    /// The subnets that hold it, or an interface that does; ascending.
    pub(super) subnets: Vec<Vec<SubnetIndex>>,
    /// The interfaces that ask its rules.
    pub(super) interfaces: Vec<Vec<Interface>>,
}

impl Holders {
    pub(super) fn of(compiled: &CompiledNetwork) -> Self {
        let network = &compiled.network;
        let none = || vec![Vec::new(); network.nsgs.len()];
        let (mut subnets, mut interfaces) = (none(), vec![Vec::new(); network.nsgs.len()]);
        let mut held = |nsg: &Option<Reference<NsgIndex>>, subnet| {
            if let (Some(Reference::Here(nsg)), Some(subnet)) = (nsg, subnet) {
                subnets[nsg.get()].push(subnet);
            }
        };
        for (place, subnet) in network.subnets.iter().enumerate() {
            held(&subnet.nsg, Some(SubnetIndex::new(place)));
        }
        for (place, nic) in network.nics.iter().enumerate() {
            held(&nic.nsg, network.subnet_of(NicIndex::new(place)));
        }
        for subnets in &mut subnets {
            subnets.sort_unstable();
            subnets.dedup();
        }
        let nics = (0..network.nics.len()).map(|place| Interface::Nic(NicIndex::new(place)));
        let endpoints = (0..network.private_endpoints.len())
            .map(|place| Interface::Endpoint(PrivateEndpointIndex::new(place)));
        for interface in nics.chain(endpoints) {
            let directions = [Direction::Inbound, Direction::Outbound].into_iter();
            let layers = directions.flat_map(|direction| compiled.layers(interface, direction));
            let asked = layers.filter_map(|layer| match layer.policy {
                PolicyReference::Compiled(place) => Some(compiled.policies[place].nsg()),
                _ => None,
            });
            for nsg in asked.collect::<BTreeSet<_>>() {
                interfaces[nsg.get()].push(interface);
            }
        }
        Self { subnets, interfaces }
    }
}
