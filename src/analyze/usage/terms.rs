//! Which of the terms of a rule hold an address or a port.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::field::AddressField;
use crate::compile::network::CompiledNetwork;
use crate::compile::resolve::Resolver;
use crate::compile::surroundings::{self, Surroundings};
use crate::model::flow::Port;
use crate::model::id::ResourceId;
use crate::model::index::{Reference, SubnetIndex};
use crate::model::prefix::{PortRange, Prefix, host};
use crate::model::rule::{AddressTerm, PortTerm, Rule};
use crate::model::verdict::{Interface, RulePlace};

/// The terms that a value counts for, by position; `sure` are those that certainly hold it. Where none does, which one does
/// is open, and all are in `open`.
#[derive(Debug, Default)]
pub(super) struct Covering {
    pub sure: BTreeSet<usize>,
    pub open: BTreeSet<usize>,
}

impl Covering {
    fn of(sure: BTreeSet<usize>, count: usize) -> Self {
        let open = if sure.is_empty() { (0..count).collect() } else { BTreeSet::new() };
        Self { sure, open }
    }

    /// A value that nobody knows.
    pub(super) fn unknown(count: usize) -> Self {
        Self::of(BTreeSet::new(), count)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.sure.extend(other.sure);
        self.open.extend(other.open);
    }
}

/// One side of a rule.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Side {
    Source,
    Destination,
}

impl Side {
    pub(super) fn addresses(self, rule: &Rule) -> &[AddressTerm] {
        match self {
            Self::Source => &rule.source,
            Self::Destination => &rule.destination,
        }
    }

    pub(super) fn ports(self, rule: &Rule) -> &[PortTerm] {
        match self {
            Self::Source => &rule.source_ports,
            Self::Destination => &rule.destination_ports,
        }
    }
}

/// Finds terms of rules, each kind of term resolved once for the surroundings that it is met in.
pub(super) struct Terms<'c> {
    compiled: &'c CompiledNetwork,
    resolver: Resolver<'c>,
    around: HashMap<Around, Arc<Surroundings>>,
    /// Tags and groups as they stand around a subnet.
    fields: HashMap<(Around, AddressTerm), AddressField>,
    indices: HashMap<(RulePlace, Side), Arc<Index>>,
}

/// What the meaning of tags and groups hangs on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Around {
    Subnet(SubnetIndex),
    Missing(ResourceId),
}

/// The terms of one side of a rule.
struct Index {
    prefixes: HashMap<Prefix, Vec<usize>>,
    /// The lengths that prefixes have, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
    others: Vec<usize>,
}

impl Index {
    fn new(terms: &[AddressTerm]) -> Self {
        let mut index = Self { prefixes: HashMap::new(), lengths: Default::default(), others: Vec::new() };
        for (position, term) in terms.iter().enumerate() {
            match term {
                // All of IPv4 may be taken for everything (NSG-12).
                AddressTerm::Prefix(prefix) if prefix.prefix_len() > 0 => {
                    index.prefixes.entry(*prefix).or_default().push(position);
                    index.lengths[usize::from(prefix.addr().is_ipv6())].insert(prefix.prefix_len());
                }
                _ => index.others.push(position),
            }
        }
        index
    }

    fn prefixes_around(&self, address: IpAddr) -> impl Iterator<Item = usize> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        let around = lengths.iter().map(move |length| {
            Prefix::new(address, *length).map_or_else(|_| host(address), |prefix| prefix.trunc())
        });
        around.filter_map(|prefix| self.prefixes.get(&prefix)).flatten().copied()
    }
}

impl<'c> Terms<'c> {
    pub(super) fn new(compiled: &'c CompiledNetwork) -> Self {
        Self {
            compiled,
            resolver: Resolver::new(&compiled.network, &compiled.tags, compiled.assumptions),
            around: HashMap::new(),
            fields: HashMap::new(),
            indices: HashMap::new(),
        }
    }

    /// The terms that hold an address at an interface.
    pub(super) fn of_address(
        &mut self,
        (place, rule): (RulePlace, &Rule),
        side: Side,
        interface: Interface,
        address: IpAddr,
    ) -> Covering {
        let terms = side.addresses(rule);
        let index = self.indices.entry((place, side)).or_insert_with(|| Arc::new(Index::new(terms)));
        let index = Arc::clone(index);
        let mut sure: BTreeSet<usize> = index.prefixes_around(address).collect();
        let around = (!index.others.is_empty()).then(|| self.around(interface));
        for position in &index.others {
            let term = &terms[*position];
            let Some(around) = &around else { continue };
            if matches!(term, AddressTerm::Any) || self.field(around, place, term).known.contains(address) {
                sure.insert(*position);
            }
        }
        Covering::of(sure, terms.len())
    }

    fn field(&mut self, around: &Around, place: RulePlace, term: &AddressTerm) -> &AddressField {
        let key = (around.clone(), term.clone());
        if !self.fields.contains_key(&key) {
            let surroundings = self.surroundings(around);
            self.fields.insert(key.clone(), self.resolver.term(place, term, &surroundings));
        }
        &self.fields[&key]
    }

    fn around(&self, interface: Interface) -> Around {
        let network = &self.compiled.network;
        let of = |subnet: Option<&Reference<SubnetIndex>>, id: &ResourceId| match subnet {
            Some(Reference::Here(subnet)) => Around::Subnet(*subnet),
            Some(Reference::Missing(subnet)) => Around::Missing(subnet.clone()),
            None => Around::Missing(id.clone()),
        };
        match interface {
            Interface::Nic(nic) => {
                let nic = &network.nics[nic.get()];
                of(nic.subnet.as_ref(), &nic.id)
            }
            Interface::Unlisted(subnet) => Around::Subnet(subnet),
            Interface::Endpoint(endpoint) => {
                let endpoint = &network.private_endpoints[endpoint.get()];
                of(endpoint.subnet.as_ref(), &endpoint.id)
            }
            Interface::Service(account) => {
                Around::Missing(network.service_accounts[account.get()].id.clone())
            }
        }
    }

    fn surroundings(&mut self, around: &Around) -> Arc<Surroundings> {
        let compiled = self.compiled;
        let made = self.around.entry(around.clone()).or_insert_with(|| {
            Arc::new(match around {
                Around::Subnet(subnet) => surroundings::of_subnet(
                    &compiled.network,
                    &compiled.tags,
                    compiled.assumptions,
                    &compiled.internet,
                    *subnet,
                ),
                Around::Missing(id) => surroundings::of_missing_subnet(&compiled.internet, id),
            })
        });
        Arc::clone(made)
    }
}

/// The terms that hold a port. A packet without ports is held by all ports together (NSG-10), and so counts for each term.
pub(super) fn of_port(terms: &[PortTerm], port: Port) -> Covering {
    let all = || (0..terms.len()).collect();
    let sure = match port {
        Port::Number(number) => {
            let holds = |term: &PortTerm| matches!(term, PortTerm::Range(range) if range.contains(number));
            terms.iter().enumerate().filter(|(_, term)| holds(term)).map(|(position, _)| position).collect()
        }
        Port::None | Port::NotGiven => {
            let whole = |term: &PortTerm| matches!(term, PortTerm::Range(range) if *range == PortRange::ALL);
            let whole: BTreeSet<usize> =
                terms.iter().enumerate().filter(|(_, term)| whole(term)).map(|(at, _)| at).collect();
            if whole.is_empty() { all() } else { whole }
        }
    };
    Covering::of(sure, terms.len())
}
