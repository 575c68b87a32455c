//! Protocols and ports in few words: `tcp/443`, `tcp,udp/*`, `icmp`, `any`.

use crate::analyze::regions::Service;
use crate::compile::ports::PortSet;
use crate::model::prefix::PortRange;
use crate::model::rule::Protocol;

/// How many protocols there are that networks carry and that have no ports (PLAT-9).
const PORTLESS: usize = 256 - 2 - 3;

/// How many protocols without ports are named one by one.
const MOST_NAMED: usize = 6;

/// Services in words. What networks carry of no protocol is passed over: `udp/*` does not say that the source port 65330
/// is excepted.
pub(in crate::report) fn words(services: &[Service]) -> String {
    let udp = whole_udp(services);
    let mut by_ports: Vec<(Vec<PortRange>, Vec<PortRange>, Vec<Protocol>)> = Vec::new();
    let mut add = |sources: Vec<PortRange>, destinations: Vec<PortRange>, protocol: Protocol| {
        let known = by_ports.iter_mut().find(|one| (&one.0, &one.1) == (&sources, &destinations));
        match known {
            Some((_, _, protocols)) => protocols.push(protocol),
            None => by_ports.push((sources, destinations, vec![protocol])),
        }
    };
    for service in services {
        let Some((sources, destinations)) = &service.ports else { continue };
        for protocol in &service.protocols {
            if *protocol != Protocol::UDP || udp.is_none() {
                add(sources.clone(), destinations.clone(), *protocol);
            }
        }
    }
    if let Some(destinations) = udp {
        add(vec![PortRange::ALL], destinations, Protocol::UDP);
    }
    let portless: Vec<Protocol> =
        services.iter().filter(|one| one.ports.is_none()).flat_map(|one| &one.protocols).copied().collect();
    by_ports.iter_mut().for_each(|(_, _, protocols)| protocols.sort_unstable());
    by_ports.sort_by(|one, other| (&one.2, &one.0, &one.1).cmp(&(&other.2, &other.0, &other.1)));
    let everything = [(vec![PortRange::ALL], vec![PortRange::ALL], vec![Protocol::TCP, Protocol::UDP])];
    if by_ports == everything && portless.len() >= PORTLESS {
        return "any".to_owned();
    }
    let mut words: Vec<String> = by_ports
        .iter()
        .map(|(sources, destinations, protocols)| {
            let protocols: Vec<String> = protocols.iter().map(Protocol::to_string).collect();
            let from = match sources[..] == [PortRange::ALL] {
                true => String::new(),
                false => format!(" from ports {}", ranges(sources)),
            };
            format!("{}/{}{from}", protocols.join(","), ranges(destinations))
        })
        .collect();
    match portless.len() {
        0 => {}
        1..=MOST_NAMED => words.extend(portless.iter().map(Protocol::to_string)),
        PORTLESS.. => words.push("all protocols without ports".to_owned()),
        several => {
            let named = portless.iter().filter(|protocol| protocol.name().is_some());
            words.extend(named.map(Protocol::to_string));
            let unnamed = several - portless.iter().filter(|protocol| protocol.name().is_some()).count();
            words.push(format!("{unnamed} protocols without a name"));
        }
    }
    words.join("; ")
}

fn ranges(ranges: &[PortRange]) -> String {
    ranges.iter().map(PortRange::to_string).collect::<Vec<_>>().join(",")
}

/// The destination ports of UDP, where nothing is told apart by source ports but what networks do not carry: packets from
/// port 65330, and from 68 to 67 (PLAT-9).
fn whole_udp(services: &[Service]) -> Option<Vec<PortRange>> {
    let size = |ranges: &[PortRange]| -> u64 {
        ranges.iter().map(|range| u64::from(range.last()) - u64::from(range.first()) + 1).sum()
    };
    let udp = services.iter().filter(|service| service.protocols.contains(&Protocol::UDP));
    let ports: Vec<_> = udp.filter_map(|service| service.ports.as_ref()).collect();
    let destinations = PortSet::from_ranges(ports.iter().flat_map(|(_, destinations)| destinations).copied());
    // The packets are disjoint and all among those that are carried: if they are as many, they are all of them.
    let carried =
        size(destinations.ranges()) * u64::from(u16::MAX) - u64::from(destinations.contains(Some(67)));
    let found: u64 = ports.iter().map(|(sources, destinations)| size(sources) * size(destinations)).sum();
    (found > 0 && found == carried).then(|| destinations.ranges().to_vec())
}
