//! Whether a change does what it was made for, and nothing else.

use std::sync::Arc;

use super::assertions::{Holds, Outcome, Proposition, prove};
use super::diff::Difference;
use super::end_set::EndSet;
use super::reach::ServiceSet;
use super::regions::{Region, Service};
use super::whatif::Change;
use crate::compile::address_set::AddressSet;
use crate::compile::network::CompiledNetwork;
use crate::compile::ports::PortSet;
use crate::model::index::VnetIndex;

/// What a change is made for: that packets between two ends pass, or that they do not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Intent {
    /// From here, as each network has it: base, then candidate.
    pub from: [EndSet; 2],
    /// To there.
    pub to: [EndSet; 2],
    /// Of these services.
    pub services: Vec<ServiceSet>,
    /// They are to pass.
    pub allow: bool,
}

/// What came of an intent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Intended {
    /// Whether it held under the base: it should not, or there was nothing to do.
    pub before: Outcome,
    /// Whether it holds under the candidate.
    pub after: Outcome,
    /// What flips beside it.
    pub beside: Vec<(Change, Region)>,
}

impl Intended {
    /// Whether the change does what it was made for, and nothing else.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.before.holds() != Holds::Yes && self.after.holds() == Holds::Yes && self.beside.is_empty()
    }
}

/// Asks both networks about an intent, and what of their difference lies beside it.
///
/// A region counts as beside it where any of its packets does.
#[must_use]
pub fn intended(
    [base, candidate]: [&Arc<CompiledNetwork>; 2],
    difference: &Difference,
    intent: &Intent,
    vnet: Option<VnetIndex>,
) -> Intended {
    let outcome = |compiled, side: usize| {
        let ends = (intent.from[side].clone(), intent.to[side].clone(), intent.services.clone());
        let proposition = match intent.allow {
            true => Proposition::Allow(ends.0, ends.1, ends.2),
            false => Proposition::Deny(ends.0, ends.1, ends.2),
        };
        prove(compiled, &[proposition], vnet).pop().unwrap_or_default()
    };
    // Addresses of a subnet that nobody has yet are meant where the subnet is.
    let both = |ends: &[EndSet; 2], set: fn(&EndSet) -> AddressSet| {
        ends.iter().fold(AddressSet::empty(), |all, one| all.union(&set(one)).union(&one.ranges))
    };
    let sources = both(&intent.from, |ends| ends.own.clone());
    let destinations = both(&intent.to, EndSet::reached_by);
    let is_beside = |region: &Region| {
        !region.sources.difference(&sources).is_empty()
            || !region.destinations.difference(&destinations).is_empty()
            || !region.services.iter().all(|service| covers(&intent.services, service))
    };
    let regions =
        difference.flips.iter().flat_map(|(change, regions)| regions.iter().map(|region| (*change, region)));
    let beside = regions.filter(|(_, region)| is_beside(region));
    Intended {
        before: outcome(base, 0),
        after: outcome(candidate, 1),
        beside: beside.map(|(change, region)| (change, region.clone())).collect(),
    }
}

/// Whether sets hold all packets of a service. Those that tell source ports apart are passed over.
fn covers(sets: &[ServiceSet], service: &Service) -> bool {
    service.protocols.iter().all(|protocol| {
        let holding =
            || sets.iter().filter(|set| set.protocols.contains(*protocol) && set.source_ports.is_all());
        match &service.ports {
            None => holding().any(|set| set.destination_ports.contains(None)),
            Some((_, destinations)) => {
                let held = holding().flat_map(|set| set.destination_ports.ranges().iter().copied());
                let held = PortSet::from_ranges(held);
                let inside = |range: &_| held.within(*range).ranges() == [*range];
                destinations.iter().all(inside)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::covers;
    use crate::analyze::reach::ServiceSet;
    use crate::analyze::regions::Service;
    use crate::compile::ports::{PortSet, ProtocolSet};
    use crate::model::prefix::PortRange;
    use crate::model::rule::Protocol;

    #[test]
    fn sets_cover_a_service_together() {
        let tcp = |first, last| ServiceSet {
            protocols: ProtocolSet::one(Protocol::TCP),
            source_ports: PortSet::all(),
            destination_ports: PortSet::from_ranges(PortRange::new(first, last)),
        };
        let service = |protocol, first, last| Service {
            protocols: vec![protocol],
            ports: Some((vec![PortRange::ALL], PortRange::new(first, last).into_iter().collect())),
        };
        let sets = [tcp(80, 90), tcp(91, 99)];
        assert!(covers(&sets, &service(Protocol::TCP, 85, 95)));
        assert!(!covers(&sets, &service(Protocol::TCP, 85, 100)));
        assert!(!covers(&sets, &service(Protocol::UDP, 85, 95)));
        let portless = Service { protocols: vec![Protocol::ICMP], ports: None };
        assert!(!covers(&sets, &portless));
        assert!(covers(&[ServiceSet::all()], &portless));
    }
}
