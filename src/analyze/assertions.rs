//! Whether what is asserted of a network holds: proved over all packets that it speaks of, not sampled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::end_set::EndSet;
use super::reach::{By, Query, Reachability, ServiceSet};
use super::regions::Region;
use super::regions::services::{HOST_PORT, TUNNELS};
use super::whatif::Side;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::model::index::VnetIndex;
use crate::model::prefix::PortRange;
use crate::model::rule::Protocol;
use crate::model::verdict::VerdictKind;

/// What is asserted, with its ends found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proposition {
    /// All packets from the first ends to the second pass, but for those that networks never carry (PLAT-9). Load balancers
    /// that lead to these are not asked.
    Allow(EndSet, EndSet, Vec<ServiceSet>),
    /// None of them does, by load balancers that lead to the second ends neither.
    Deny(EndSet, EndSet, Vec<ServiceSet>),
    /// As `Allow`; and whatever else goes to the second ends from a machine, from the internet or from behind a gateway is
    /// denied.
    AllowOnly(EndSet, EndSet, Vec<ServiceSet>),
    /// Nothing passes between any two of these.
    Isolated(Vec<EndSet>),
    /// One of these holds, any will do.
    Any(Vec<Proposition>),
    /// All of these hold.
    All(Vec<Proposition>),
}

/// What came of an assertion.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Packets that contradict it, by verdict and what decides.
    pub against: BTreeMap<Side, Vec<Region>>,
    /// Packets of which nobody knows.
    pub open: BTreeMap<Side, Vec<Region>>,
    /// Some packet that it speaks of is this network's.
    pub speaks: bool,
}

/// Whether it holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Holds {
    /// It does, for every packet.
    Yes,
    /// It does not.
    No,
    /// It hangs on something that the input lacks.
    Open,
    /// It speaks of no packet of this network.
    OfNothing,
}

impl Outcome {
    /// Whether the assertion holds.
    #[must_use]
    pub fn holds(&self) -> Holds {
        match (self.against.is_empty(), self.open.is_empty(), self.speaks) {
            (false, ..) => Holds::No,
            (true, false, _) => Holds::Open,
            (true, true, true) => Holds::Yes,
            (true, true, false) => Holds::OfNothing,
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (mine, others) in [(&mut self.against, other.against), (&mut self.open, other.open)] {
            for (side, regions) in others {
                mine.entry(side).or_default().extend(regions);
            }
        }
        self.speaks |= other.speaks;
        self
    }
}

/// What comes of each proposition, with addresses looked for in one network only where `vnet` says which.
///
/// # Panics
///
/// If the network has no tables.
#[must_use]
pub fn prove(
    compiled: &Arc<CompiledNetwork>,
    propositions: &[Proposition],
    vnet: Option<VnetIndex>,
) -> Vec<Outcome> {
    let everybody = EndSet::of_anybody(compiled);
    let demands: Vec<Demands> = propositions.iter().map(|one| Demands::of(one, &everybody.own)).collect();
    let mut queries = Vec::new();
    demands.iter().for_each(|demands| demands.collect(&mut queries));
    let reachability = Reachability::new(compiled, &queries, vnet);
    demands.iter().map(|demands| demands.outcome(&reachability)).collect()
}

/// What a proposition comes down to: queries, each of which all packets must get a verdict.
enum Demands {
    Each(Vec<(Query, VerdictKind)>),
    Any(Vec<Demands>),
    All(Vec<Demands>),
}

impl Demands {
    fn of(proposition: &Proposition, everybody: &AddressSet) -> Self {
        let query = |sources: &AddressSet, destinations: AddressSet, services: &[ServiceSet]| Query {
            sources: sources.clone(),
            destinations,
            services: services.to_vec(),
        };
        match proposition {
            Proposition::Allow(from, to, services) => {
                Self::Each(vec![(query(&from.own, to.receivers(), &carried(services)), VerdictKind::Allow)])
            }
            Proposition::Deny(from, to, services) => {
                Self::Each(vec![(query(&from.own, to.reached_by(), services), VerdictKind::Deny)])
            }
            Proposition::AllowOnly(from, to, services) => {
                let others = everybody.difference(&from.own);
                let mut demands = vec![
                    (query(&from.own, to.receivers(), &carried(services)), VerdictKind::Allow),
                    (query(&others, to.reached_by(), &[ServiceSet::all()]), VerdictKind::Deny),
                ];
                let rest = complement(services);
                if !rest.is_empty() {
                    demands.push((query(&from.own, to.reached_by(), &rest), VerdictKind::Deny));
                }
                Self::Each(demands)
            }
            Proposition::Isolated(ends) => {
                let pairs = ends.iter().enumerate().flat_map(|(place, from)| {
                    let others = ends.iter().enumerate().filter(move |(other, _)| *other != place);
                    others.map(move |(_, to)| (from, to))
                });
                let all = [ServiceSet::all()];
                let demands =
                    pairs.map(|(from, to)| (query(&from.own, to.reached_by(), &all), VerdictKind::Deny));
                Self::Each(demands.collect())
            }
            Proposition::Any(several) => {
                Self::Any(several.iter().map(|one| Self::of(one, everybody)).collect())
            }
            Proposition::All(several) => {
                Self::All(several.iter().map(|one| Self::of(one, everybody)).collect())
            }
        }
    }

    fn collect(&self, queries: &mut Vec<Query>) {
        match self {
            Self::Each(demands) => queries.extend(demands.iter().map(|(query, _)| query.clone())),
            Self::Any(several) | Self::All(several) => {
                several.iter().for_each(|one| one.collect(queries));
            }
        }
    }

    fn outcome(&self, reachability: &Reachability<'_>) -> Outcome {
        match self {
            Self::Each(demands) => {
                let mut outcome = Outcome::default();
                for (query, wanted) in demands {
                    for (side, regions) in reachability.ask(query, By::Decider).fates {
                        outcome.speaks = true;
                        let found = match side.kind {
                            kind if kind == *wanted => continue,
                            VerdictKind::Undetermined => &mut outcome.open,
                            VerdictKind::Allow | VerdictKind::Deny | VerdictKind::Mixed => {
                                &mut outcome.against
                            }
                        };
                        found.entry(side).or_default().extend(regions);
                    }
                }
                outcome
            }
            Self::Any(several) => {
                let outcomes: Vec<Outcome> = several.iter().map(|one| one.outcome(reachability)).collect();
                let rank = |outcome: &Outcome| match outcome.holds() {
                    Holds::Yes => 0,
                    Holds::Open => 1,
                    Holds::No => 2,
                    Holds::OfNothing => 3,
                };
                outcomes.into_iter().min_by_key(rank).unwrap_or_default()
            }
            Self::All(several) => {
                several.iter().map(|one| one.outcome(reachability)).fold(Outcome::default(), Outcome::and)
            }
        }
    }
}

/// Those packets that networks carry (PLAT-9).
fn carried(services: &[ServiceSet]) -> Vec<ServiceSet> {
    let mut carried = Vec::new();
    for one in services {
        let without = |ports: &PortSet, some: &[u16]| {
            let some = some.iter().filter_map(|port| PortRange::new(*port, *port));
            let lacking = gaps(&PortSet::from_ranges(some));
            let left = lacking.ranges().iter().map(|range| ports.within(*range));
            PortSet::from_ranges(left.flat_map(|ports| ports.ranges().to_vec()))
        };
        let mut others = TUNNELS.into_iter().fold(one.protocols, ProtocolSet::without);
        if one.protocols.contains(Protocol::UDP) {
            others = others.without(Protocol::UDP);
            let udp = ServiceSet { protocols: ProtocolSet::one(Protocol::UDP), ..one.clone() };
            let from_clients =
                ServiceSet { source_ports: without(&one.source_ports, &[HOST_PORT, 68]), ..udp.clone() };
            let of_dhcp = PortRange::new(68, 68).filter(|_| one.source_ports.contains(Some(68)));
            let to_others = ServiceSet {
                source_ports: PortSet::from_ranges(of_dhcp),
                destination_ports: without(&one.destination_ports, &[67]),
                ..udp
            };
            carried.extend([from_clients, to_others]);
        }
        carried.push(ServiceSet { protocols: others, ..one.clone() });
    }
    carried
}

/// The packets that none of these holds.
///
/// LIMIT: of sets that tell source ports apart nothing is taken away.
fn complement(services: &[ServiceSet]) -> Vec<ServiceSet> {
    let held = |protocol: Protocol| {
        let holding =
            services.iter().filter(move |one| one.protocols.contains(protocol) && one.source_ports.is_all());
        holding.map(|one| &one.destination_ports)
    };
    let mut rest = Vec::new();
    for protocol in [Protocol::TCP, Protocol::UDP] {
        let ranges = held(protocol).flat_map(|ports| ports.ranges().iter().copied());
        let left = gaps(&PortSet::from_ranges(ranges));
        if !left.ranges().is_empty() {
            rest.push(ServiceSet {
                protocols: ProtocolSet::one(protocol),
                source_ports: PortSet::all(),
                destination_ports: left,
            });
        }
    }
    let mut portless = ProtocolSet::default();
    for protocol in (0..=u8::MAX).map(Protocol).filter(|protocol| !protocol.has_ports()) {
        if !held(protocol).any(|ports| ports.contains(None)) {
            portless.insert(protocol);
        }
    }
    if portless != ProtocolSet::default() {
        rest.push(ServiceSet {
            protocols: portless,
            source_ports: PortSet::all(),
            destination_ports: PortSet::all(),
        });
    }
    rest
}

/// The ports that a set lacks.
fn gaps(ports: &PortSet) -> PortSet {
    let mut next = Some(0);
    let mut gaps = Vec::new();
    for range in ports.ranges() {
        if let Some(first) = next
            && first < range.first()
        {
            gaps.extend(PortRange::new(first, range.first() - 1));
        }
        next = range.last().checked_add(1);
    }
    gaps.extend(next.and_then(|first| PortRange::new(first, u16::MAX)));
    PortSet::from_ranges(gaps)
}

#[cfg(test)]
mod tests {
    use super::{complement, gaps};
    use crate::analyze::reach::ServiceSet;
    use crate::compile::ports::{PortSet, ProtocolSet};
    use crate::model::prefix::PortRange;
    use crate::model::rule::Protocol;

    fn ports(ranges: &[(u16, u16)]) -> PortSet {
        PortSet::from_ranges(ranges.iter().filter_map(|(first, last)| PortRange::new(*first, *last)))
    }

    #[test]
    fn what_a_set_lacks_lies_in_its_gaps() {
        assert_eq!(gaps(&ports(&[(80, 80), (443, 500)])), ports(&[(0, 79), (81, 442), (501, 65535)]));
        assert_eq!(gaps(&ports(&[(0, 9), (65535, 65535)])), ports(&[(10, 65534)]));
        assert_eq!(gaps(&PortSet::all()), ports(&[]));
        assert_eq!(gaps(&ports(&[])), PortSet::all());
    }

    #[test]
    fn a_complement_holds_what_no_set_holds() {
        let https = ServiceSet {
            protocols: ProtocolSet::one(Protocol::TCP),
            source_ports: PortSet::all(),
            destination_ports: ports(&[(443, 443)]),
        };
        let icmp = ServiceSet { protocols: ProtocolSet::one(Protocol::ICMP), ..ServiceSet::all() };
        let rest = complement(&[https, icmp]);
        let holds = |protocol: Protocol, port: Option<u16>| {
            rest.iter().any(|one| one.protocols.contains(protocol) && one.destination_ports.contains(port))
        };
        assert!(!holds(Protocol::TCP, Some(443)) && !holds(Protocol::ICMP, None));
        assert!(holds(Protocol::TCP, Some(442)) && holds(Protocol::UDP, Some(443)));
        assert!(holds(Protocol::ESP, None));
        assert!(complement(&[ServiceSet::all()]).is_empty());
    }
}
