//! Sets of packets in the users' words.

pub(super) mod services;
pub(super) mod sets;

use std::fmt::Write as _;

use serde::Serialize;

use self::sets::SetNames;
use super::names::{Names, socket};
use super::sheet::Sheet;
use super::time::counted;
use crate::analyze::regions::{Region, Service};
use crate::compile::address_set::AddressSet;
use crate::model::flow::FiveTuple;
use crate::model::network::Network;
use crate::model::prefix::PortRange;

/// How many parts of a set, and how many regions of a kind, a text names one by one; JSON names all.
const MOST_PARTS: usize = 6;
const MOST_REGIONS: usize = 20;

/// Between which addresses.
#[derive(Serialize)]
pub(super) struct EndsJson {
    from: SetJson,
    to: SetJson,
}

/// Packets of which the same becomes.
#[derive(Serialize)]
pub(super) struct RegionJson {
    #[serde(flatten)]
    ends: EndsJson,
    services: Vec<ServiceJson>,
    witness: WitnessJson,
}

#[derive(Serialize)]
struct SetJson {
    names: Vec<String>,
    prefixes: Vec<String>,
}

#[derive(Serialize)]
struct ServiceJson {
    protocols: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ports: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_ports: Option<Vec<String>>,
}

/// A packet as `explain` takes it.
#[derive(Serialize)]
pub(super) struct WitnessJson {
    from: String,
    to: String,
    proto: String,
}

impl EndsJson {
    pub(super) fn new(names: &SetNames, sources: &AddressSet, destinations: &AddressSet) -> Self {
        let set = |set: &AddressSet| SetJson {
            names: names.words(set),
            prefixes: set.prefixes().iter().map(ToString::to_string).collect(),
        };
        Self { from: set(sources), to: set(destinations) }
    }
}

impl RegionJson {
    pub(super) fn new(names: &SetNames, region: &Region) -> Self {
        Self {
            ends: EndsJson::new(names, &region.sources, &region.destinations),
            services: region.services.iter().map(ServiceJson::from).collect(),
            witness: WitnessJson::from(&region.witness),
        }
    }
}

impl From<&Service> for ServiceJson {
    fn from(service: &Service) -> Self {
        let texts = |ranges: &Vec<PortRange>| ranges.iter().map(ToString::to_string).collect();
        Self {
            protocols: service.protocols.iter().map(ToString::to_string).collect(),
            source_ports: service.ports.as_ref().map(|(sources, _)| texts(sources)),
            destination_ports: service.ports.as_ref().map(|(_, destinations)| texts(destinations)),
        }
    }
}

impl From<&FiveTuple> for WitnessJson {
    fn from(witness: &FiveTuple) -> Self {
        Self {
            from: socket(witness.source, witness.source_port),
            to: socket(witness.destination, witness.destination_port),
            proto: witness.protocol.to_string(),
        }
    }
}

/// Writes the first regions of a kind, each with its witness.
pub(super) fn write(sheet: &mut Sheet, network: &Network, names: &SetNames, regions: &[Region]) {
    let style = sheet.style;
    for one in regions.iter().take(MOST_REGIONS) {
        write_ends(sheet, names, &one.sources, &one.destinations);
        let witness = Names { network }.explain(&one.witness, None).join(" ");
        let write = "writing to a string works";
        writeln!(sheet, "        {}", services::words(&one.services)).expect(write);
        writeln!(sheet, "        {}", style.faint(&witness)).expect(write);
    }
    if regions.len() > MOST_REGIONS {
        let left = (regions.len() - MOST_REGIONS) as u64;
        sheet.line(&format!("  and {}: --format json has all", counted(left, "more region")));
    }
}

/// The first regions of a kind, in a line each.
pub(super) fn lines(names: &SetNames, regions: &[Region]) -> Vec<String> {
    let line = |one: &Region| {
        let (from, to) = (parts(names.words(&one.sources)), parts(names.words(&one.destinations)));
        format!("{} from {from} to {to}", services::words(&one.services))
    };
    let mut lines: Vec<String> = regions.iter().take(MOST_REGIONS).map(line).collect();
    if regions.len() > MOST_REGIONS {
        let left = (regions.len() - MOST_REGIONS) as u64;
        lines.push(format!("and {}: --format json has all", counted(left, "more region")));
    }
    lines
}

/// Writes between which addresses.
pub(super) fn write_ends(
    sheet: &mut Sheet,
    names: &SetNames,
    sources: &AddressSet,
    destinations: &AddressSet,
) {
    sheet.line(&format!("  from  {}", parts(names.words(sources))));
    sheet.line(&format!("  to    {}", parts(names.words(destinations))));
}

/// The first parts of a set.
pub(super) fn parts(words: Vec<String>) -> String {
    let left = words.len().saturating_sub(MOST_PARTS);
    let mut shown = words.into_iter().take(MOST_PARTS).collect::<Vec<_>>().join(", ");
    if left > 0 {
        shown += &format!(" and {left} more");
    }
    shown
}
