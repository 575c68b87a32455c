//! Protocols and ports cut into classes that nothing tells apart.

use std::collections::BTreeMap;

use super::bits::Bits;
use crate::compile::classifier::Entry;
use crate::compile::ports::{PortSet, ProtocolSet};
use crate::model::flow::Port;
use crate::model::prefix::PortRange;
use crate::model::rule::Protocol;

/// Protocols with ports, or protocols without.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Service {
    /// The protocols, ascending.
    pub protocols: Vec<Protocol>,
    /// Source and destination ports as ranges, ascending, with a gap between any two; nothing for protocols without ports.
    pub ports: Option<(Vec<PortRange>, Vec<PortRange>)>,
}

/// Protocols that networks do not carry (PLAT-9).
pub(in crate::analyze) const TUNNELS: [Protocol; 3] = [Protocol(4), Protocol(41), Protocol::GRE];

/// The host's own port of UDP (PLAT-9).
pub(in crate::analyze) const HOST_PORT: u16 = 65330;

/// Whether networks do not carry a packet, whatever rules say (PLAT-9); exempt traffic of the platform apart.
pub(super) fn is_never_carried(protocol: Protocol, source: Port, destination: Port) -> bool {
    TUNNELS.contains(&protocol)
        || protocol == Protocol::UDP
            && (source == Port::Number(HOST_PORT)
                || (source, destination) == (Port::Number(68), Port::Number(67)))
}

/// By protocol the source and destination ports that the platform treats in its own way (EVAL-13, PLAT-1 to PLAT-5,
/// PLAT-9).
const PLATFORM_PORTS: [(Protocol, &[u16], &[u16]); 2] =
    [(Protocol::TCP, &[], &[25, 53, 80, 1688, 32526]), (Protocol::UDP, &[67, 68, 65330], &[53, 67, 68])];

/// Protocols, source ports and destination ports cut into classes.
///
/// A class with ports is numbered by protocol, source class and destination class; behind these come the classes of
/// protocols without ports (NSG-10).
pub(in crate::analyze) struct Services {
    with_ports: Vec<WithPorts>,
    portless: Vec<Vec<Protocol>>,
}

/// The classes of a protocol with ports.
struct WithPorts {
    protocol: Protocol,
    sources: PortClasses,
    destinations: PortClasses,
    /// The number of its first class.
    first: usize,
}

/// All ports cut into classes, each of which is some ranges.
struct PortClasses(Vec<Vec<PortRange>>);

/// Destination ports and protocols that something else than a rule tells from others.
#[derive(Clone, Debug, Default)]
pub(in crate::analyze) struct Named {
    pub(in crate::analyze) ports: Vec<PortRange>,
    pub(in crate::analyze) protocols: Vec<Protocol>,
}

impl Services {
    /// Cut by what some entries hold, and by what else is named.
    pub(in crate::analyze) fn cut<'e>(
        entries: impl Iterator<Item = &'e Entry> + Clone,
        named: &Named,
    ) -> Self {
        let single = |port: &u16| PortSet::from_ranges(PortRange::new(*port, *port));
        let named_ports: Vec<PortSet> =
            named.ports.iter().map(|range| PortSet::from_ranges([*range])).collect();
        let (mut with_ports, mut first) = (Vec::new(), 0);
        for (protocol, sources, destinations) in PLATFORM_PORTS {
            let of_protocol = || entries.clone().filter(|entry| entry.protocols.contains(protocol));
            let [own_sources, own_destinations] =
                [sources, destinations].map(|ports| ports.iter().map(single).collect::<Vec<_>>());
            let sources =
                PortClasses::cut(of_protocol().map(|entry| &entry.source_ports).chain(&own_sources));
            let destinations = of_protocol().map(|entry| &entry.destination_ports);
            let destinations = PortClasses::cut(destinations.chain(&own_destinations).chain(&named_ports));
            let count = sources.0.len() * destinations.0.len();
            with_ports.push(WithPorts { protocol, sources, destinations, first });
            first += count;
        }

        let singled = [Protocol::ICMP, Protocol::ICMPV6, Protocol::ESP];
        let mut sets: Vec<ProtocolSet> = TUNNELS
            .iter()
            .chain(&singled)
            .chain(&named.protocols)
            .map(|one| ProtocolSet::one(*one))
            .collect();
        sets.extend(entries.map(|entry| entry.protocols));
        sets.sort_unstable();
        sets.dedup();
        let mut portless: BTreeMap<Vec<bool>, Vec<Protocol>> = BTreeMap::new();
        for protocol in (0..=u8::MAX).map(Protocol).filter(|protocol| !protocol.has_ports()) {
            let signature = sets.iter().map(|set| set.contains(protocol)).collect();
            portless.entry(signature).or_default().push(protocol);
        }
        let mut portless: Vec<_> = portless.into_values().collect();
        portless.sort_unstable();
        Self { with_ports, portless }
    }

    /// How many classes there are.
    pub(in crate::analyze) fn count(&self) -> usize {
        self.first_portless() + self.portless.len()
    }

    fn first_portless(&self) -> usize {
        self.with_ports.iter().map(|one| one.sources.0.len() * one.destinations.0.len()).sum()
    }

    /// No class.
    pub(in crate::analyze) fn none(&self) -> Bits {
        Bits::none(self.count())
    }

    /// The classes for which this holds of one, and so of all, of their packets.
    pub(in crate::analyze) fn which(&self, holds: impl Fn(Protocol, Port, Port) -> bool) -> Bits {
        let classes = (0..self.count()).filter(|class| {
            let (protocol, source, destination) = self.packet(*class);
            holds(protocol, source, destination)
        });
        Bits::of(self.count(), classes)
    }

    /// The classes that an entry holds.
    pub(in crate::analyze) fn of(&self, entry: &Entry) -> Bits {
        let mut found = self.none();
        let held = |classes: &PortClasses, ports: &PortSet| -> Vec<usize> {
            let holds = |class: &usize| ports.contains(Some(classes.0[*class][0].first()));
            (0..classes.0.len()).filter(holds).collect()
        };
        for one in self.with_ports.iter().filter(|one| entry.protocols.contains(one.protocol)) {
            let destinations = held(&one.destinations, &entry.destination_ports);
            for source in held(&one.sources, &entry.source_ports) {
                let first = one.first + source * one.destinations.0.len();
                destinations.iter().for_each(|destination| found.insert(first + destination));
            }
        }
        // Nothing but the whole range stands for a packet without ports (NSG-10).
        if entry.source_ports.contains(None) && entry.destination_ports.contains(None) {
            for (number, protocols) in self.portless.iter().enumerate() {
                if entry.protocols.contains(protocols[0]) {
                    found.insert(self.first_portless() + number);
                }
            }
        }
        found
    }

    /// A packet of a class: with ports that a client has and that a service has, where the class holds such.
    pub(in crate::analyze) fn packet(&self, class: usize) -> (Protocol, Port, Port) {
        if let Some(portless) = class.checked_sub(self.first_portless()) {
            return (self.portless[portless][0], Port::None, Port::None);
        }
        let one = self.with_ports.iter().rev().find(|one| one.first <= class).expect("the first begins at 0");
        let (source, destination) =
            ((class - one.first) / one.destinations.0.len(), (class - one.first) % one.destinations.0.len());
        let ports = (&one.sources.0[source], &one.destinations.0[destination]);
        (one.protocol, usual(ports.0, CLIENT_PORT), usual(ports.1, SERVICE_PORT))
    }

    /// Some classes as few services, each packet in one of them.
    pub(in crate::analyze) fn services(&self, classes: &Bits) -> Vec<Service> {
        // By protocol and source class the destination classes, then those of source classes that share them.
        let mut found: BTreeMap<(Vec<PortRange>, Vec<PortRange>), Vec<Protocol>> = BTreeMap::new();
        for one in &self.with_ports {
            let mut by_destinations: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
            for source in 0..one.sources.0.len() {
                let first = one.first + source * one.destinations.0.len();
                let held = (0..one.destinations.0.len()).filter(|class| classes.contains(first + class));
                let destinations: Vec<usize> = held.collect();
                if !destinations.is_empty() {
                    by_destinations.entry(destinations).or_default().push(source);
                }
            }
            for (destinations, sources) in by_destinations {
                let ports = (one.sources.joined(&sources), one.destinations.joined(&destinations));
                found.entry(ports).or_default().push(one.protocol);
            }
        }
        let with_ports =
            found.into_iter().map(|(ports, protocols)| Service { protocols, ports: Some(ports) });
        let held = self.portless.iter().zip(self.first_portless()..).filter(|(_, at)| classes.contains(*at));
        let mut portless: Vec<Protocol> = held.flat_map(|(protocols, _)| protocols).copied().collect();
        portless.sort_unstable();
        let portless = (!portless.is_empty()).then_some(Service { protocols: portless, ports: None });
        with_ports.chain(portless).collect()
    }
}

/// A port that clients pick.
pub(in crate::analyze) const CLIENT_PORT: u16 = 50_000;
/// A port that services have.
pub(in crate::analyze) const SERVICE_PORT: u16 = 443;

/// This port, or else the last of some ranges.
pub(in crate::analyze) fn usual(ranges: &[PortRange], port: u16) -> Port {
    let usual = ranges.iter().any(|range| range.contains(port)).then_some(port);
    Port::Number(usual.unwrap_or(ranges[ranges.len() - 1].last()))
}

/// Disjoint services as fewer ones.
pub(in crate::analyze) fn joined(several: &[&Vec<Service>]) -> Vec<Service> {
    let mut services: Vec<Service> = several.iter().flat_map(|services| services.iter().cloned()).collect();
    services.sort_unstable();
    services
}

impl PortClasses {
    fn cut<'s>(sets: impl Iterator<Item = &'s PortSet>) -> Self {
        let mut sets: Vec<&PortSet> = sets.filter(|set| !set.is_all()).collect();
        sets.sort_unstable();
        sets.dedup();
        let mut starts = vec![0];
        for range in sets.iter().flat_map(|set| set.ranges()) {
            starts.push(range.first());
            starts.extend(range.last().checked_add(1));
        }
        starts.sort_unstable();
        starts.dedup();
        let lasts = starts[1..].iter().map(|next| next - 1).chain([u16::MAX]);
        let mut classes: BTreeMap<Bits, Vec<PortRange>> = BTreeMap::new();
        for (first, last) in starts.iter().copied().zip(lasts) {
            let holds = |number: &usize| sets[*number].contains(Some(first));
            let signature = Bits::of(sets.len(), (0..sets.len()).filter(holds));
            classes.entry(signature).or_default().extend(PortRange::new(first, last));
        }
        let mut classes: Vec<_> = classes.into_values().collect();
        classes.sort_unstable();
        Self(classes)
    }

    /// The ports of some classes.
    fn joined(&self, classes: &[usize]) -> Vec<PortRange> {
        let ranges = classes.iter().flat_map(|class| &self.0[*class]).copied();
        PortSet::from_ranges(ranges).ranges().to_vec()
    }
}
