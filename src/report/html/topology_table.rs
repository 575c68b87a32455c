//! The network as a table: what its drawing shows, for those who do not see it and for networks too large to draw.

use std::collections::BTreeMap;

use super::marks::Count;
use crate::model::index::{NicIndex, NsgIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::network::{Network, Peering, PeeringState};
use crate::model::prefix::Prefix;
use crate::report::time::counted;

/// How many subnets have a row.
const MOST_SHOWN: usize = 500;

/// The table.
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) left_out: Option<String>,
    pub(super) peerings: Vec<Side>,
}

/// One subnet.
pub(super) struct Row {
    pub(super) vnet: String,
    pub(super) subnet: String,
    pub(super) ranges: String,
    pub(super) nsg: String,
    pub(super) nics: Count,
    /// Interfaces with NSGs of their own.
    pub(super) own: Count,
}

/// One side of a peering.
pub(super) struct Side {
    pub(super) vnet: String,
    pub(super) remote: String,
    pub(super) state: &'static str,
}

/// The table of a network.
pub(super) fn table(network: &Network) -> Table {
    let mut nics: BTreeMap<SubnetIndex, (u64, u64)> = BTreeMap::new();
    for nic in (0..network.nics.len()).map(NicIndex::new) {
        if let Some(subnet) = network.subnet_of(nic) {
            let (all, own) = nics.entry(subnet).or_default();
            *all += 1;
            *own += u64::from(network.nics[nic.get()].nsg.is_some());
        }
    }
    let row = |(position, subnet): (usize, &crate::model::network::Subnet)| {
        let (all, own) = nics.get(&SubnetIndex::new(position)).copied().unwrap_or_default();
        Row {
            vnet: network.vnets[subnet.vnet.get()].id.name().to_owned(),
            subnet: subnet.id.name().to_owned(),
            ranges: ranges(&subnet.prefixes),
            nsg: nsg(network, subnet.nsg.as_ref()).unwrap_or_else(|| "none".to_owned()),
            nics: Count(all),
            own: Count(own),
        }
    };
    let sides = network.vnets.iter().flat_map(|vnet| {
        vnet.peerings.iter().map(|peering| Side {
            vnet: vnet.id.name().to_owned(),
            remote: remote(network, peering),
            state: state(peering.state),
        })
    });
    let more = network.subnets.len().saturating_sub(MOST_SHOWN);
    Table {
        rows: network.subnets.iter().enumerate().take(MOST_SHOWN).map(row).collect(),
        left_out: (more > 0).then(|| counted(more as u64, "more subnet")),
        peerings: sides.take(MOST_SHOWN).collect(),
    }
}

/// What else there is to say about a virtual network: where it is, its gateways, peerings that lead out of the export.
pub(super) fn about(network: &Network, vnet: VnetIndex) -> String {
    let resource = &network.vnets[vnet.get()];
    let mut words: Vec<String> = resource.location.iter().cloned().collect();
    for gateway in &network.gateways {
        if gateway.vnet.as_ref().and_then(Reference::here) == Some(vnet) {
            let kind = if gateway.express_route { "ExpressRoute gateway" } else { "VPN gateway" };
            words.push(format!("{kind} {}", gateway.id.name()));
        }
    }
    let outside = resource.peerings.iter().filter(|peering| peering.remote.here().is_none());
    words.extend(outside.map(|peering| format!("peered with {}", remote(network, peering))));
    words.join(" · ")
}

fn remote(network: &Network, peering: &Peering) -> String {
    match &peering.remote {
        Reference::Here(vnet) => network.vnets[vnet.get()].id.name().to_owned(),
        Reference::Missing(id) => format!("{}, which the export lacks", id.name()),
    }
}

/// A peering's state as Azure spells it.
pub(super) fn state(state: PeeringState) -> &'static str {
    match state {
        PeeringState::Connected => "Connected",
        PeeringState::Initiated => "Initiated",
        PeeringState::Disconnected => "Disconnected",
    }
}

/// Ranges in one line.
pub(super) fn ranges(prefixes: &[Prefix]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The name of an NSG that something refers to.
pub(super) fn nsg(network: &Network, nsg: Option<&Reference<NsgIndex>>) -> Option<String> {
    match nsg? {
        Reference::Here(nsg) => Some(network.nsg_name(*nsg).to_owned()),
        Reference::Missing(id) => Some(format!("{}, which the export lacks", id.name())),
    }
}
