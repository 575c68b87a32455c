//! What packets between two addresses may meet, whichever they are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ends::{Ends, Placing, placings};
use super::journey::{Journey, Stage};
use super::simulator::SimulatorOptions;
use crate::compile::network::CompiledNetwork;
use crate::model::rule::Direction;
use crate::model::verdict::Interface;

/// The ways between two addresses, and where on them lists of rules may be asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Involved {
    /// The ways; several where the addresses can be understood in several ways.
    pub ways: Vec<(Placing, Journey)>,
    /// Where lists may be asked.
    pub filters: BTreeSet<(Interface, Direction)>,
}

impl Involved {
    /// What packets between two addresses may meet, and those between all others of the same topology classes.
    #[must_use]
    pub fn between(
        compiled: &CompiledNetwork,
        options: SimulatorOptions,
        (source, destination): (IpAddr, IpAddr),
    ) -> Self {
        let mut involved = Self::default();
        for placing in placings(compiled, source, destination, options.vnet).unwrap_or_default() {
            let ends = Ends { observed: options.observed, ..placing.ends };
            let source = placing.source.unwrap_or(source);
            let journey = Journey::between(compiled, ends, source, destination);
            involved.add(&journey);
            involved.ways.push((placing, journey));
        }
        involved
    }

    fn add(&mut self, journey: &Journey) {
        for stage in &journey.stages {
            match stage {
                // Exempt packets meet the platform's tags in the lists of their direction (PLAT-2).
                Stage::Start(start) => {
                    self.filters.insert((start.interface, start.direction));
                }
                Stage::Filter(filter) => {
                    self.filters.insert((filter.interface, filter.direction));
                }
                // A member is asked by probes as well, at the filters that the packet meets there (LB-7).
                Stage::Balance(balance) => {
                    for way in balance.frontends.iter().flat_map(|at| at.ways.iter().flatten()) {
                        self.add(&way.onward);
                    }
                }
                Stage::BranchIf(_, other) => self.add(other),
                Stage::Route(_)
                | Stage::Note(_)
                | Stage::SentFrom(_)
                | Stage::PrivateLink(_)
                | Stage::Service(_)
                | Stage::Exit(_)
                | Stage::Mapped { .. }
                | Stage::CameIn(..)
                | Stage::OnlyIf(..)
                | Stage::DeliveredIf(_)
                | Stage::ElsewhereIf(..)
                | Stage::DeliveredToConsumer => {}
            }
        }
    }
}
