//! Whether a rule matches, and what an NSG says.

use std::net::IpAddr;

use nsgsim::model::assumptions::{AllOfIpv4, PortlessPackets};
use nsgsim::model::flow::{FiveTuple, Packet, Port};
use nsgsim::model::id::ResourceId;
use nsgsim::model::index::{AsgIndex, NsgIndex, Reference, SubnetIndex};
use nsgsim::model::prefix::{PortRange, Prefix};
use nsgsim::model::rule::{Access, AddressTerm, Direction, PortTerm, Protocol, ProtocolMatch, Rule};
use nsgsim::model::tag::TagName;
use nsgsim::model::unknown::Unknown;
use nsgsim::model::verdict::{Interface, RulePlace};

use super::space::{PLATFORM, View, prefix};
use super::world::{Asked, all_of, any_of};

/// The metadata service (TAG-11).
pub(crate) const METADATA: [u8; 4] = [169, 254, 169, 254];

/// The licensing servers (PLAT-4).
pub(crate) const LICENSING: [[u8; 4]; 3] = [[20, 118, 99, 224], [40, 83, 235, 53], [23, 102, 135, 246]];

/// A packet as the filters of one interface see it.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) tuple: FiveTuple,
    /// The source is the sender's own address, and Azure has replaced it by one that nobody knows.
    pub(crate) source_is_hidden: bool,
}

impl Seen {
    /// A packet whose addresses are as its sender knows them.
    pub(crate) fn of(packet: &Packet) -> Self {
        Self { tuple: packet.five_tuple, source_is_hidden: false }
    }
}

/// What an NSG said.
pub(crate) enum NsgAnswer {
    /// A rule decided: its position in the NSG.
    Rule(usize, Access),
    /// The rule that decides depends on a source that nobody knows; whether it allows was asked.
    Hidden(Access),
}

/// Where an NSG is asked: the subnet whose surroundings its tags stand for. `Err` is the ID of a subnet that the
/// inventory lacks.
pub(crate) type Surroundings<'a> = Result<SubnetIndex, &'a ResourceId>;

/// Which end of a packet a field is about.
#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Source,
    Destination,
}

impl View<'_> {
    /// NSG-4: the first rule that matches decides.
    pub(crate) fn ask_nsg(
        &self,
        nsg: NsgIndex,
        direction: Direction,
        interface: Interface,
        place: Surroundings<'_>,
        seen: &Seen,
    ) -> Asked<NsgAnswer> {
        // PE-4.
        let any_source_port = matches!(interface, Interface::Endpoint(_));
        for (position, rule) in self.network.nsgs[nsg.get()].list(direction) {
            let rule_place = in_nsg(nsg, position);
            let at = RuleAt { view: self, rule_place, rule, place, seen, any_source_port };
            if seen.source_is_hidden && at.could_tell_the_source()? {
                let address = seen.tuple.source;
                let allows = self.world.ask(Unknown::TranslatedSource { address })?;
                return Ok(NsgAnswer::Hidden(if allows { Access::Allow } else { Access::Deny }));
            }
            if at.matches()? {
                return Ok(NsgAnswer::Rule(position, rule.access));
            }
        }
        unreachable!("the last default rule of each direction matches everything (DEF-1)")
    }

    /// PLAT-2: the first rule with a platform tag that matches by that tag; `None` where there is none.
    pub(crate) fn ask_platform_rules(
        &self,
        nsg: NsgIndex,
        tag: &str,
        place: Surroundings<'_>,
        seen: &Seen,
    ) -> Asked<Option<(usize, Access)>> {
        for (position, rule) in self.network.nsgs[nsg.get()].list(Direction::Outbound) {
            let mut of_tag = rule.clone();
            of_tag.destination.retain(|term| matches!(term, AddressTerm::Tag(own) if own.is(tag)));
            if of_tag.destination.is_empty() {
                continue;
            }
            let rule_place = in_nsg(nsg, position);
            let at = RuleAt { view: self, rule_place, rule: &of_tag, place, seen, any_source_port: false };
            if at.matches()? {
                return Ok(Some((position, rule.access)));
            }
        }
        Ok(None)
    }

    /// ASG-2, ASG-6: whether an address is one of a group's members, seen from a network: a member in that network,
    /// or in one that is peered with it.
    fn asg_holds(&self, asg: AsgIndex, place: Surroundings<'_>, address: IpAddr) -> Asked<bool> {
        let network = self.network;
        let id = &network.asgs[asg.get()].id;
        let on_nics = network.nics.iter().filter(|nic| {
            nic.ip_configurations.iter().any(|own| own.address == Some(address) && own.asgs.contains(&asg))
        });
        let on_endpoints = network
            .private_endpoints
            .iter()
            .filter(|endpoint| endpoint.addresses.contains(&address) && endpoint.asgs.contains(id));
        let subnets = on_nics.map(|nic| &nic.subnet).chain(on_endpoints.map(|endpoint| &endpoint.subnet));
        any_of(subnets.map(|subnet| match (subnet, place) {
            (Some(Reference::Here(member)), Ok(here)) => {
                let (own, other) = (self.vnet_of(here), self.vnet_of(*member));
                let peered = network.vnets[own.get()]
                    .peerings
                    .iter()
                    .any(|peering| peering.remote.here() == Some(other) && self.is_up(own, peering));
                Ok(own == other || peered)
            }
            _ => self.world.ask(Unknown::AsgHolds { asg: id.clone(), address }),
        }))
    }
}

/// A rule in its place, and the packet that it is tried on.
pub(crate) struct RuleAt<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) rule_place: RulePlace,
    pub(crate) rule: &'a Rule,
    pub(crate) place: Surroundings<'a>,
    pub(crate) seen: &'a Seen,
    /// The source-port field counts as `*` (PE-4).
    pub(crate) any_source_port: bool,
}

impl RuleAt<'_> {
    /// NSG-7: all five fields match.
    pub(crate) fn matches(&self) -> Asked<bool> {
        all_of([self.address(End::Source), self.all_but_the_source()])
    }

    fn all_but_the_source(&self) -> Asked<bool> {
        all_of([
            self.protocol(),
            self.ports(End::Source),
            self.address(End::Destination),
            self.ports(End::Destination),
        ])
    }

    /// Whether it hangs on the source alone if the rule matches, and the rule could tell one public address from
    /// another.
    pub(crate) fn could_tell_the_source(&self) -> Asked<bool> {
        let certain: Vec<Option<bool>> =
            self.rule.source.iter().map(|term| self.hidden_source(term)).collect();
        if certain.contains(&Some(true)) || !certain.contains(&None) {
            return Ok(false);
        }
        self.all_but_the_source()
    }

    /// Whether a term holds a public address that Azure picks; `None` where it depends on the address.
    fn hidden_source(&self, term: &AddressTerm) -> Option<bool> {
        if self.is_any(term) {
            return Some(true);
        }
        let tag = match term {
            AddressTerm::Any => return Some(true),
            AddressTerm::Asg(Reference::Here(_)) => return Some(false),
            AddressTerm::Asg(Reference::Missing(_)) | AddressTerm::Invalid(_) => return None,
            AddressTerm::Prefix(prefix) => return self.holds_public(&[*prefix]),
            AddressTerm::Tag(tag) => tag,
        };
        if tag.is(TagName::INTERNET) {
            return Some(true);
        }
        if tag.is(TagName::VIRTUAL_NETWORK) {
            let (ranges, complete) = self.view.ranges_around(self.place.ok()?);
            // What is missing can only add to them.
            return self.holds_public(&ranges).filter(|holds| *holds || complete);
        }
        if tag.is(TagName::AZURE_LOAD_BALANCER) { Some(false) } else { None }
    }

    /// Whether the ranges hold every public address of the packet's family, or none; `None` for some of them.
    fn holds_public(&self, ranges: &[Prefix]) -> Option<bool> {
        let ipv4 = self.seen.tuple.source.is_ipv4();
        let mut of_family = ranges.iter().filter(|range| range.addr().is_ipv4() == ipv4);
        if of_family.clone().any(|range| range.prefix_len() == 0) {
            return Some(true);
        }
        let none = of_family.all(|range| self.view.lists_nothing_of(*range));
        none.then_some(false)
    }

    /// NSG-12: a term that holds every address.
    fn is_any(&self, term: &AddressTerm) -> bool {
        match term {
            AddressTerm::Any => true,
            AddressTerm::Prefix(range) => {
                self.view.assumptions.nsg_12 == AllOfIpv4::Any && *range == prefix("0.0.0.0/0")
            }
            AddressTerm::Tag(_) | AddressTerm::Asg(_) | AddressTerm::Invalid(_) => false,
        }
    }

    /// NSG-5, NSG-6.
    fn protocol(&self) -> Asked<bool> {
        match &self.rule.protocol {
            ProtocolMatch::Any => Ok(true),
            ProtocolMatch::Is(protocol) => Ok(*protocol == self.seen.tuple.protocol),
            ProtocolMatch::Invalid(text) => self.invalid(text),
        }
    }

    /// NSG-11 to NSG-14: any element of the field suffices.
    fn address(&self, end: End) -> Asked<bool> {
        let (terms, address) = match end {
            End::Source => (&self.rule.source, self.seen.tuple.source),
            End::Destination => (&self.rule.destination, self.seen.tuple.destination),
        };
        if end == End::Source && self.seen.source_is_hidden {
            // A term that could tell was asked before.
            return Ok(terms.iter().any(|term| self.hidden_source(term) == Some(true)));
        }
        any_of(terms.iter().map(|term| match term {
            _ if self.is_any(term) => Ok(true),
            AddressTerm::Any => Ok(true),
            AddressTerm::Prefix(prefix) => Ok(prefix.contains(&address)),
            AddressTerm::Tag(tag) => self.tag(tag, end, address),
            AddressTerm::Asg(Reference::Here(asg)) => self.view.asg_holds(*asg, self.place, address),
            AddressTerm::Asg(Reference::Missing(id)) => {
                self.view.world.ask(Unknown::AsgHolds { asg: id.clone(), address })
            }
            AddressTerm::Invalid(text) => self.invalid(text),
        }))
    }

    /// TAG-3, TAG-6 to TAG-11.
    fn tag(&self, tag: &TagName, end: End, address: IpAddr) -> Asked<bool> {
        let view = self.view;
        if tag.is(TagName::AZURE_LOAD_BALANCER) {
            let probes_ipv6: IpAddr = "fe80::1234:5678:9abc".parse().expect("TAG-7 names an address");
            return Ok(address == IpAddr::from(PLATFORM) || address == probes_ipv6);
        }
        let platform =
            [TagName::AZURE_PLATFORM_DNS, TagName::AZURE_PLATFORM_IMDS, TagName::AZURE_PLATFORM_LKM];
        if end == End::Source && platform.iter().any(|name| tag.is(name)) {
            // NSG-15: no clause gives it a meaning there.
            return self.invalid(tag.as_str());
        }
        if tag.is(TagName::AZURE_PLATFORM_DNS) {
            return self.service(&[PLATFORM], &[Protocol::TCP, Protocol::UDP], 53);
        }
        if tag.is(TagName::AZURE_PLATFORM_IMDS) {
            return self.service(&[METADATA], &[Protocol::TCP], 80);
        }
        if tag.is(TagName::AZURE_PLATFORM_LKM) {
            return self.service(&LICENSING, &[Protocol::TCP], 1688);
        }
        let (around, public) = (tag.is(TagName::VIRTUAL_NETWORK), tag.is(TagName::INTERNET));
        match self.place {
            Ok(subnet) if around => view.virtual_network(subnet, address),
            Ok(subnet) if public => view.internet(subnet, address),
            Err(missing) if around && address != IpAddr::from(PLATFORM) => {
                self.unknown_space(missing, address)
            }
            Err(_) if around => Ok(true),
            Err(missing) if public && view.is_listed(address) => Ok(!self.unknown_space(missing, address)?),
            Err(_) if public => Ok(false),
            _ => view.tag_holds(tag, address),
        }
    }

    /// Whether the space around a subnet that the inventory lacks holds an address.
    fn unknown_space(&self, subnet: &ResourceId, address: IpAddr) -> Asked<bool> {
        let missing = subnet.as_str().to_owned();
        self.view.world.ask(Unknown::ConnectedSpaceHolds { subnet: subnet.clone(), missing, address })
    }

    /// TAG-11: a platform tag matches only packets to its service.
    fn service(&self, hosts: &[[u8; 4]], protocols: &[Protocol], port: u16) -> Asked<bool> {
        let tuple = &self.seen.tuple;
        let to_it = hosts.iter().any(|host| tuple.destination == IpAddr::from(*host));
        if !to_it || !protocols.contains(&tuple.protocol) {
            return Ok(false);
        }
        match tuple.destination_port {
            Port::Number(number) => Ok(number == port),
            Port::None => Ok(false),
            Port::NotGiven => self.port_not_given(End::Destination),
        }
    }

    /// NSG-8, NSG-10, NW-1.
    fn ports(&self, end: End) -> Asked<bool> {
        if end == End::Source && self.any_source_port {
            return Ok(true);
        }
        let (terms, port) = match end {
            End::Source => (&self.rule.source_ports, self.seen.tuple.source_port),
            End::Destination => (&self.rule.destination_ports, self.seen.tuple.destination_port),
        };
        // NSG-10.
        if port == Port::None && self.view.assumptions.nsg_10 == PortlessPackets::Ignored {
            return Ok(true);
        }
        let invalid = terms.iter().filter_map(|term| match term {
            PortTerm::Invalid(text) => Some(self.invalid(text)),
            PortTerm::Range(_) => None,
        });
        let ranges: Vec<PortRange> = terms
            .iter()
            .filter_map(|term| match term {
                PortTerm::Range(range) => Some(*range),
                PortTerm::Invalid(_) => None,
            })
            .collect();
        if covers_all(&ranges) {
            return Ok(true);
        }
        let valid = match port {
            Port::Number(number) if self.seen.tuple.protocol.has_ports() => {
                Ok(ranges.iter().any(|range| range.contains(number)))
            }
            Port::NotGiven if self.seen.tuple.protocol.has_ports() && !ranges.is_empty() => {
                self.port_not_given(end)
            }
            _ => Ok(false),
        };
        any_of(std::iter::once(valid).chain(invalid))
    }

    fn port_not_given(&self, end: End) -> Asked<bool> {
        let source = end == End::Source;
        self.view.world.ask(Unknown::PortMatches { rule: self.rule_place, source })
    }

    fn invalid(&self, text: &str) -> Asked<bool> {
        self.view.world.ask(Unknown::FieldMatches { rule: self.rule_place, text: text.to_owned() })
    }
}

fn in_nsg(nsg: NsgIndex, position: usize) -> RulePlace {
    RulePlace::Nsg { nsg, rule: u32::try_from(position).expect("an NSG has fewer than 2^32 rules") }
}

/// Whether the ranges together are every port: then they match packets without ports too (NSG-10).
fn covers_all(ranges: &[PortRange]) -> bool {
    ranges.contains(&PortRange::ALL)
        || (ranges.len() > 1 && (0..=u16::MAX).all(|port| ranges.iter().any(|range| range.contains(port))))
}
