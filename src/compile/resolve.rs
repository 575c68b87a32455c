//! From a rule as it was written to the sets that it stands for at the interfaces of one subnet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::address_set::AddressSet;
use super::field::{AddressDoubt, AddressField, Doubt};
use super::ports::{PortSet, ProtocolSet};
use super::surroundings::{PLATFORM, Surroundings, fixed};
use crate::model::assumptions::{AllOfIpv4, Assumptions, PortlessPackets};
use crate::model::index::{AsgIndex, NsgIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::network::Network;
use crate::model::prefix::{PortRange, host};
use crate::model::rule::{Access, AddressTerm, Direction, PortTerm, Priority, Protocol, ProtocolMatch, Rule};
use crate::model::services::{AdminAddress, AdminRule, AdminRulePosition};
use crate::model::tag::{TagCatalog, TagName};
use crate::model::unknown::Unknown;
use crate::model::verdict::RulePlace;

/// The licensing servers (PLAT-4).
///
/// SOURCE: Microsoft Learn, "Use Azure Firewall to protect Azure Virtual Desktop".
pub const LICENSING: [&str; 3] = ["20.118.99.224/32", "40.83.235.53/32", "23.102.135.246/32"];

/// The metadata service (PLAT-3).
pub const METADATA: &str = "169.254.169.254/32";

/// The source of IPv6 probes, in `AzureLoadBalancer` (TAG-7).
pub const IPV6_PROBES: &str = "fe80::1234:5678:9abc/128";

/// A rule, resolved for one subnet: it matches where any of its clauses does.
#[derive(Clone, Debug)]
pub struct ResolvedRule {
    /// Position in [`Nsg::rules`](crate::model::nsg::Nsg::rules), or in a list of admin rules.
    pub position: u32,
    /// What it says.
    pub access: Access,
    /// The alternatives. More than one only where a platform tag stands among other destinations.
    pub clauses: Vec<Clause>,
}

/// Five fields that must all match (NSG-7).
#[derive(Clone, Debug)]
pub struct Clause {
    /// Protocols.
    pub protocols: ProtocolField,
    /// Source addresses.
    pub source: AddressField,
    /// Source ports.
    pub source_ports: PortField,
    /// Destination addresses.
    pub destination: AddressField,
    /// Destination ports.
    pub destination_ports: PortField,
    /// Its destination is a platform tag (TAG-11).
    pub is_platform: bool,
}

/// The protocols that a field holds.
#[derive(Clone, Debug)]
pub struct ProtocolField {
    /// Protocols that it certainly holds.
    pub known: ProtocolSet,
    /// A text that Azure does not take: it may hold any other.
    pub doubt: Option<Unknown>,
}

/// The ports that a field holds.
#[derive(Clone, Debug)]
pub struct PortField {
    /// Ports that it certainly holds.
    pub known: PortSet,
    /// A text that Azure does not take: it may hold any other.
    pub doubt: Option<Unknown>,
}

/// Resolves rules, keeping each set that several rules share once.
pub struct Resolver<'n> {
    network: &'n Network,
    tags: &'n TagCatalog,
    assumptions: Assumptions,
    tag_sets: HashMap<TagName, Arc<AddressSet>>,
    members: Vec<Vec<Member>>,
    asg_fields: HashMap<(AsgIndex, Option<Vec<VnetIndex>>), AddressField>,
    written_sets: HashMap<Vec<AddressTerm>, Arc<AddressSet>>,
    all: Arc<AddressSet>,
    probes: Arc<AddressSet>,
}

impl<'n> Resolver<'n> {
    /// A resolver for one network under one catalogue of tags.
    #[must_use]
    pub fn new(network: &'n Network, tags: &'n TagCatalog, assumptions: Assumptions) -> Self {
        Self {
            network,
            tags,
            assumptions,
            tag_sets: HashMap::new(),
            members: members(network),
            asg_fields: HashMap::new(),
            written_sets: HashMap::new(),
            all: Arc::new(AddressSet::all()),
            probes: Arc::new(AddressSet::from_prefixes([PLATFORM, IPV6_PROBES].map(fixed))),
        }
    }

    /// The rules of one list of an NSG, in the order in which they are tried, as they stand in these surroundings.
    pub fn rules(&mut self, nsg: NsgIndex, direction: Direction, around: &Surroundings) -> Vec<ResolvedRule> {
        let network = self.network;
        let list = network.nsgs[nsg.get()].list(direction);
        list.map(|(position, rule)| {
            let position = u32::try_from(position).expect("an NSG holds fewer than 2^32 rules");
            let clauses = self.clauses(RulePlace::Nsg { nsg, rule: position }, rule, around);
            ResolvedRule { position, access: rule.access, clauses }
        })
        .collect()
    }

    /// A list of admin rules as it stands in these surroundings, in the order given (ADM-5).
    pub fn admin_rules(&mut self, rules: &[AdminRulePosition], around: &Surroundings) -> Vec<ResolvedRule> {
        let network = self.network;
        let resolved = rules.iter().zip(0..).map(|(place, position)| {
            let rule = network.admin_rule(*place);
            let clauses = self.clauses(RulePlace::Admin(*place), &as_written(rule), around);
            ResolvedRule { position, access: rule.action.access(), clauses }
        });
        resolved.collect()
    }

    /// What one term of a rule's source or destination holds in these surroundings. A platform tag holds the addresses of
    /// its service.
    pub fn term(&mut self, place: RulePlace, term: &AddressTerm, around: &Surroundings) -> AddressField {
        if let Some(service) = platform_service(term) {
            return AddressField::certain(Arc::new(AddressSet::from_prefixes(service.prefixes)));
        }
        let invalid = |text: &str| Unknown::FieldMatches { rule: place, text: text.to_owned() };
        self.addresses(std::slice::from_ref(term), around, &invalid)
    }

    fn clauses(&mut self, place: RulePlace, rule: &Rule, around: &Surroundings) -> Vec<Clause> {
        let invalid = |text: &str| Unknown::FieldMatches { rule: place, text: text.to_owned() };
        let protocols = ProtocolField {
            known: ProtocolSet::of(&rule.protocol).unwrap_or_default(),
            doubt: match &rule.protocol {
                ProtocolMatch::Invalid(text) => Some(invalid(text)),
                ProtocolMatch::Any | ProtocolMatch::Is(_) => None,
            },
        };
        let portless = self.assumptions.nsg_10;
        let ports = |terms: &[PortTerm]| {
            let ranges = terms.iter().filter_map(|term| match term {
                PortTerm::Range(range) => Some(*range),
                PortTerm::Invalid(_) => None,
            });
            let doubt = terms.iter().find_map(|term| match term {
                PortTerm::Range(_) => None,
                PortTerm::Invalid(text) => Some(invalid(text)),
            });
            let known = PortSet::from_ranges(ranges);
            // NSG-10.
            let known = match portless {
                PortlessPackets::FullRangeOnly => known,
                PortlessPackets::Ignored => known.with_portless(),
            };
            PortField { known, doubt }
        };
        let (platform, ordinary): (Vec<_>, Vec<_>) =
            rule.destination.iter().cloned().partition(|term| platform_service(term).is_some());
        let whole = Clause {
            protocols,
            source: self.addresses(&rule.source, around, &invalid),
            source_ports: ports(&rule.source_ports),
            destination: self.addresses(&ordinary, around, &invalid),
            destination_ports: ports(&rule.destination_ports),
            is_platform: false,
        };
        // A platform tag matches the packets of its service and no others (TAG-11).
        let services = platform.iter().filter_map(platform_service).map(|service| Clause {
            protocols: ProtocolField {
                known: whole.protocols.known.intersection(service.protocols),
                doubt: whole.protocols.doubt.clone(),
            },
            destination: AddressField::certain(Arc::new(AddressSet::from_prefixes(service.prefixes))),
            destination_ports: PortField {
                known: whole.destination_ports.known.within(service.port),
                doubt: whole.destination_ports.doubt.clone(),
            },
            is_platform: true,
            ..whole.clone()
        });
        let mut clauses: Vec<Clause> = services.collect();
        if !ordinary.is_empty() {
            clauses.insert(0, whole);
        }
        clauses
    }

    fn addresses(
        &mut self,
        terms: &[AddressTerm],
        around: &Surroundings,
        invalid: &impl Fn(&str) -> Unknown,
    ) -> AddressField {
        let mut parts = Vec::new();
        let mut doubts = Vec::new();
        let mut written = Vec::new();
        for term in terms {
            match term {
                // NSG-12.
                AddressTerm::Prefix(prefix)
                    if self.assumptions.nsg_12 == AllOfIpv4::Any && *prefix == fixed("0.0.0.0/0") =>
                {
                    parts.push(Arc::clone(&self.all));
                }
                AddressTerm::Any => parts.push(Arc::clone(&self.all)),
                AddressTerm::Prefix(_) => written.push(term.clone()),
                AddressTerm::Asg(Reference::Here(asg)) => {
                    let field = self.asg(*asg, around);
                    parts.push(field.known);
                    doubts.extend(field.doubts);
                }
                AddressTerm::Asg(Reference::Missing(asg)) => doubts.push(self.doubt(Doubt::Asg(asg.clone()))),
                AddressTerm::Tag(tag) => match self.tag(tag, around) {
                    Some(field) => {
                        parts.push(field.known);
                        doubts.extend(field.doubts);
                    }
                    // A platform tag where TAG-11 gives it no meaning.
                    None if tag.is_computed() => doubts.push(self.doubt(Doubt::Text(invalid(tag.as_str())))),
                    None => doubts.push(self.doubt(Doubt::Tag(tag.clone()))),
                },
                AddressTerm::Invalid(text) => doubts.push(self.doubt(Doubt::Text(invalid(text)))),
            }
        }
        if !written.is_empty() {
            parts.push(Arc::clone(self.written_sets.entry(written).or_insert_with_key(|terms| {
                Arc::new(AddressSet::from_prefixes(terms.iter().filter_map(|term| match term {
                    AddressTerm::Prefix(prefix) => Some(*prefix),
                    _ => None,
                })))
            })));
        }
        // One part is shared as it is; only lists that mix kinds need a set of their own.
        let known = match parts.as_slice() {
            [] => Arc::new(AddressSet::empty()),
            [one] => Arc::clone(one),
            [first, rest @ ..] => {
                Arc::new(rest.iter().fold(AddressSet::clone(first), |all, part| all.union(part)))
            }
        };
        AddressField { known, doubts }
    }

    /// The addresses that a group stands for (ASG-2). An address that a network which is not in reach has too is not a
    /// member there (ASG-6).
    fn asg(&mut self, asg: AsgIndex, around: &Surroundings) -> AddressField {
        let key = (asg, around.reach.clone());
        if let Some(field) = self.asg_fields.get(&key) {
            return field.clone();
        }
        let (mut known, mut unsure) = (Vec::new(), Vec::new());
        for member in &self.members[asg.get()] {
            match (member.vnet, &around.reach) {
                (Some(vnet), Some(reach)) if reach.contains(&vnet) => known.push(host(member.address)),
                (Some(_), Some(_)) => {}
                (None, _) | (_, None) => unsure.push(host(member.address)),
            }
        }
        let known = Arc::new(AddressSet::from_prefixes(known));
        let doubts = if unsure.is_empty() {
            Vec::new()
        } else {
            let about = Doubt::Asg(self.network.asgs[asg.get()].id.clone());
            vec![AddressDoubt { scope: Arc::new(AddressSet::from_prefixes(unsure)), about, negated: false }]
        };
        let field = AddressField { known, doubts };
        self.asg_fields.insert(key, field.clone());
        field
    }

    fn doubt(&self, about: Doubt) -> AddressDoubt {
        AddressDoubt { scope: Arc::clone(&self.all), about, negated: false }
    }

    /// What a tag stands for; nothing for one that no file has.
    fn tag(&mut self, tag: &TagName, around: &Surroundings) -> Option<AddressField> {
        if tag.is(TagName::VIRTUAL_NETWORK) {
            return Some(around.virtual_network.clone());
        }
        if tag.is(TagName::INTERNET) {
            return Some(around.internet.clone());
        }
        if tag.is(TagName::AZURE_LOAD_BALANCER) {
            return Some(AddressField::certain(Arc::clone(&self.probes)));
        }
        self.tag_set(tag).map(AddressField::certain)
    }

    /// The addresses of a tag that a file defines.
    pub fn tag_set(&mut self, tag: &TagName) -> Option<Arc<AddressSet>> {
        if let Some(set) = self.tag_sets.get(tag) {
            return Some(Arc::clone(set));
        }
        let entry = self.tags.get(tag)?;
        let set = Arc::new(AddressSet::from_prefixes(entry.prefixes.iter().copied()));
        self.tag_sets.insert(tag.clone(), Arc::clone(&set));
        Some(set)
    }
}

/// An admin rule in the form of an NSG's: its empty lists match all (ADM-5).
fn as_written(rule: &AdminRule) -> Rule {
    let addresses = |list: &[AdminAddress]| {
        let terms: Vec<AddressTerm> = list
            .iter()
            .map(|address| match address {
                AdminAddress::Any => AddressTerm::Any,
                AdminAddress::Prefix(prefix) => AddressTerm::Prefix(*prefix),
                AdminAddress::Tag(tag) => AddressTerm::Tag(tag.clone()),
                AdminAddress::Invalid(text) => AddressTerm::Invalid(text.clone()),
            })
            .collect();
        if terms.is_empty() { vec![AddressTerm::Any] } else { terms }
    };
    let ports = |list: &[PortRange]| {
        let all = if list.is_empty() { &[PortRange::ALL][..] } else { list };
        all.iter().copied().map(PortTerm::Range).collect()
    };
    Rule {
        name: rule.name.clone(),
        priority: Priority(rule.priority),
        direction: rule.direction,
        access: rule.action.access(),
        protocol: rule.protocol.map_or(ProtocolMatch::Any, ProtocolMatch::Is),
        source: addresses(&rule.sources),
        source_ports: ports(&rule.source_ports),
        destination: addresses(&rule.destinations),
        destination_ports: ports(&rule.destination_ports),
        is_default: false,
    }
}

/// A member of an application security group: its private address, and its network where that is known.
struct Member {
    address: IpAddr,
    vnet: Option<VnetIndex>,
}

/// The members of each application security group (ASG-1).
fn members(network: &Network) -> Vec<Vec<Member>> {
    let vnet_of = |subnet: &Option<Reference<SubnetIndex>>| {
        let subnet = subnet.as_ref().and_then(Reference::here)?;
        Some(network.subnets[subnet.get()].vnet)
    };
    let mut members: Vec<Vec<Member>> = network.asgs.iter().map(|_| Vec::new()).collect();
    for nic in &network.nics {
        for configuration in &nic.ip_configurations {
            let Some(address) = configuration.address else { continue };
            for asg in &configuration.asgs {
                members[asg.get()].push(Member { address, vnet: vnet_of(&nic.subnet) });
            }
        }
    }
    for endpoint in &network.private_endpoints {
        for (asg, members) in network.asgs.iter().zip(&mut members) {
            if endpoint.asgs.contains(&asg.id) {
                let vnet = vnet_of(&endpoint.subnet);
                members.extend(endpoint.addresses.iter().map(|address| Member { address: *address, vnet }));
            }
        }
    }
    members
}

/// The addresses of a computed tag that are the same everywhere (TAG-7, TAG-11); nothing for all others.
#[must_use]
pub fn fixed_tag(tag: &TagName) -> Option<Vec<crate::model::prefix::Prefix>> {
    if tag.is(TagName::AZURE_LOAD_BALANCER) {
        return Some([PLATFORM, IPV6_PROBES].map(fixed).to_vec());
    }
    platform_service(&AddressTerm::Tag(tag.clone())).map(|service| service.prefixes)
}

/// The packets that a platform tag stands for (TAG-11).
struct PlatformService {
    prefixes: Vec<crate::model::prefix::Prefix>,
    protocols: ProtocolSet,
    port: PortRange,
}

fn platform_service(term: &AddressTerm) -> Option<PlatformService> {
    let AddressTerm::Tag(tag) = term else { return None };
    let service = |prefixes: &[&str], protocols: &[Protocol], port| PlatformService {
        prefixes: prefixes.iter().copied().map(fixed).collect(),
        protocols: protocols.iter().fold(ProtocolSet::default(), |mut set, protocol| {
            set.insert(*protocol);
            set
        }),
        port: PortRange::new(port, port).expect("one port is a range"),
    };
    if tag.is(TagName::AZURE_PLATFORM_DNS) {
        Some(service(&[PLATFORM], &[Protocol::TCP, Protocol::UDP], 53))
    } else if tag.is(TagName::AZURE_PLATFORM_IMDS) {
        Some(service(&[METADATA], &[Protocol::TCP], 80))
    } else if tag.is(TagName::AZURE_PLATFORM_LKM) {
        Some(service(&LICENSING, &[Protocol::TCP], 1688))
    } else {
        None
    }
}
