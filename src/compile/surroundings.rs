//! What `VirtualNetwork` and `Internet` stand for at the interfaces of one subnet (TAG-8 to TAG-10).

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use super::address_set::AddressSet;
use super::field::{AddressDoubt, AddressField, Doubt};
use super::peerings::{self, Learned};
use crate::model::assumptions::{Assumptions, InternetList, RoutesAround};
use crate::model::id::ResourceId;
use crate::model::index::{Reference, SubnetIndex, VnetIndex};
use crate::model::network::Network;
use crate::model::prefix::Prefix;
use crate::model::routing::{NextHop, RouteDestination};
use crate::model::tag::TagCatalog;

/// The address that stands for the platform: host agent, name resolution, probes.
pub const PLATFORM: &str = "168.63.129.16/32";

/// Ranges that are never `Internet` (TAG-10).
///
/// SOURCE: the expanded list in Microsoft's network-watcher-security-group-view-rest article.
const NEVER_INTERNET: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "25.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];

/// The two tags that differ from subnet to subnet.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// `VirtualNetwork` (TAG-8, TAG-9).
    pub virtual_network: AddressField,
    /// `Internet` (TAG-10).
    pub internet: AddressField,
    /// The addresses that may be the source of a packet from the internet: `Internet` without the platform's own.
    pub outside: Arc<AddressSet>,
    /// The networks whose addresses mean the same here: the subnet's own and those that are peered with it, in the
    /// order of their indices. Nothing where the subnet is not known.
    pub reach: Option<Vec<VnetIndex>>,
}

impl Surroundings {
    /// Whether nothing about them is open: then equal ones can be shared between subnets.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.virtual_network.doubts.is_empty() && self.internet.doubts.is_empty()
    }
}

/// Reads a prefix of our own tables.
pub(crate) fn fixed(text: &str) -> Prefix {
    text.parse().expect("prefixes in our own tables are well-formed")
}

/// The `Internet` of a network that is connected to nothing (TAG-10): public IPv4 space and 2000::/3.
#[must_use]
pub fn internet_base() -> AddressSet {
    let never = AddressSet::from_prefixes(NEVER_INTERNET.map(fixed));
    AddressSet::from_prefixes([fixed("0.0.0.0/0"), fixed("2000::/3")]).difference(&never)
}

/// What came back into `Internet` by September 2017 (TAG-20).
const BACK_BY_2017_09: [&str; 1] = ["25.25.0.0/16"];

/// What had left `Internet` by 2020 (TAG-20).
const GONE_BY_2020: [&str; 5] =
    ["21.0.0.0/8", "22.0.0.0/8", "20.176.0.0/13", "52.132.0.0/14", "129.75.0.0/16"];

/// The list of `Internet` that counts for a network, before connected space is taken out of it (TAG-20): what an export
/// observed, in the families that it speaks of, and otherwise the list of the day that is assumed.
#[must_use]
pub fn internet_list(network: &Network, assumptions: Assumptions) -> AddressSet {
    let set = |texts: &[&str]| AddressSet::from_prefixes(texts.iter().map(|text| fixed(text)));
    let of_2017_09 = || internet_base().union(&set(&BACK_BY_2017_09));
    let list = match assumptions.tag_20 {
        InternetList::June2017 => internet_base(),
        InternetList::September2017 => of_2017_09(),
        InternetList::Year2020 => of_2017_09().difference(&set(&GONE_BY_2020)),
    };
    let Some(observed) = &network.observed_internet else { return list };
    let spoken_of = ["0.0.0.0/0", "::/0"].map(fixed).into_iter();
    let spoken_of = spoken_of.filter(|family| observed.covers_family_of(family.addr()));
    list.difference(&AddressSet::from_prefixes(spoken_of))
        .union(&AddressSet::from_prefixes(observed.prefixes.iter().copied()))
}

/// Whether an address is in some of the lists that TAG-20 knows and not in others.
#[must_use]
pub fn differs_between_lists(address: IpAddr) -> bool {
    BACK_BY_2017_09.iter().chain(&GONE_BY_2020).any(|range| fixed(range).contains(&address))
}

/// Ranges that no network can have (TOP-6).
const FORBIDDEN: [&str; 5] =
    ["224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32"];

static ALL: LazyLock<Arc<AddressSet>> = LazyLock::new(|| Arc::new(AddressSet::all()));

/// What a network may have.
static SPACE: LazyLock<Arc<AddressSet>> = LazyLock::new(|| {
    Arc::new(AddressSet::all().difference(&AddressSet::from_prefixes(FORBIDDEN.map(fixed))))
});

/// What a network may have (TOP-6).
pub(super) fn space_of_networks() -> &'static AddressSet {
    &SPACE
}

/// Whether a network may have the address (TOP-6).
#[must_use]
pub fn may_be_in_a_network(address: IpAddr) -> bool {
    SPACE.contains(address)
}

/// Surroundings of a subnet of the inventory. `list` is that of [`internet_list`].
#[must_use]
pub fn of_subnet(
    network: &Network,
    tags: &TagCatalog,
    assumptions: Assumptions,
    list: &AddressSet,
    subnet: SubnetIndex,
) -> Surroundings {
    let subnet = &network.subnets[subnet.get()];
    let mut connected =
        AddressSet::from_prefixes(network.vnets[subnet.vnet.get()].address_space.iter().copied());
    let mut doubts = Vec::new();
    let connected_doubt = |missing: String| Doubt::Connected { subnet: subnet.id.clone(), missing };

    for peering in peerings::connected(network, subnet.vnet) {
        if peering.side.allow_virtual_network_access {
            match peering.prefixes(network) {
                Ok(prefixes) => {
                    connected = connected.union(&AddressSet::from_prefixes(prefixes.iter().copied()));
                }
                Err(missing) => doubts.push((connected_doubt(missing.to_string()), &*SPACE)),
            }
        }
    }
    for learned in peerings::gateway_prefixes(network, subnet.vnet) {
        match learned {
            Learned::Prefix(prefix, _) => connected.insert(prefix),
            Learned::Unknown(missing) => doubts.push((connected_doubt(missing), &*ALL)),
        }
    }

    let mut virtual_network = connected.clone();
    virtual_network.insert(fixed(PLATFORM));
    let mut route_doubts = Vec::new();
    match &subnet.route_table {
        _ if assumptions.tag_9 == RoutesAround::None => {}
        None => {}
        Some(Reference::Missing(table)) => route_doubts.push(connected_doubt(table.to_string())),
        Some(Reference::Here(table)) => {
            for route in &network.route_tables[table.get()].routes {
                match route.next_hop {
                    NextHop::VirtualNetworkGateway | NextHop::VnetLocal
                        if assumptions.tag_9 == RoutesAround::ApplianceOnly =>
                    {
                        continue;
                    }
                    NextHop::VirtualAppliance(_) | NextHop::VirtualNetworkGateway | NextHop::VnetLocal => {}
                    NextHop::Internet | NextHop::None => continue,
                    NextHop::Other(ref word) => {
                        route_doubts.push(connected_doubt(format!("route {} to {word}", route.name)));
                        continue;
                    }
                }
                match &route.destination {
                    RouteDestination::Prefix(prefix) => virtual_network.insert(*prefix),
                    RouteDestination::Tag(tag) => match tags.get(tag) {
                        Some(tag) => {
                            virtual_network = virtual_network
                                .union(&AddressSet::from_prefixes(tag.prefixes.iter().copied()));
                        }
                        None => route_doubts.push(connected_doubt(tag.to_string())),
                    },
                    RouteDestination::Invalid(text) => route_doubts.push(connected_doubt(text.clone())),
                }
            }
        }
    }

    let rest = Arc::new(list.difference(&connected));
    let doubtful = |about: Doubt, scope: &Arc<AddressSet>, negated| AddressDoubt {
        scope: Arc::clone(scope),
        about,
        negated,
    };
    // What may be connected is in `VirtualNetwork` if it is, and in `Internet` if it is not; routes add to the one
    // and take nothing from the other (TAG-10).
    let internet = match doubts.first() {
        None => AddressField { known: rest, doubts: Vec::new() },
        Some((first, _)) => AddressField {
            known: Arc::new(AddressSet::empty()),
            doubts: vec![doubtful(first.clone(), &rest, true)],
        },
    };
    let virtual_network = AddressField {
        known: Arc::new(virtual_network),
        doubts: doubts
            .into_iter()
            .chain(route_doubts.into_iter().map(|about| (about, &*ALL)))
            .map(|(about, scope)| doubtful(about, scope, false))
            .collect(),
    };
    let mut reach: Vec<VnetIndex> =
        peerings::connected(network, subnet.vnet).filter_map(|peering| peering.remote).collect();
    reach.push(subnet.vnet);
    reach.sort_unstable();
    reach.dedup();
    let outside = outside(&internet);
    Surroundings { virtual_network, internet, outside, reach: Some(reach) }
}

/// Surroundings of an interface whose subnet the inventory lacks: the platform's address is in `VirtualNetwork`,
/// all else is open. `list` is that of [`internet_list`].
#[must_use]
pub fn of_missing_subnet(list: &AddressSet, subnet: &ResourceId) -> Surroundings {
    let about = Doubt::Connected { subnet: subnet.clone(), missing: subnet.to_string() };
    let internet = AddressField {
        known: Arc::new(AddressSet::empty()),
        doubts: vec![AddressDoubt { scope: Arc::new(list.clone()), about: about.clone(), negated: true }],
    };
    Surroundings {
        virtual_network: AddressField {
            known: Arc::new(AddressSet::from_prefixes([fixed(PLATFORM)])),
            doubts: vec![AddressDoubt { scope: Arc::clone(&ALL), about, negated: false }],
        },
        outside: outside(&internet),
        internet,
        reach: None,
    }
}

/// What a public address that Azure picks may be. The platform's address is in `Internet` (TAG-10) but never picked.
fn outside(internet: &AddressField) -> Arc<AddressSet> {
    let widest = internet.widest();
    let families = ["0.0.0.0/0", "::/0"].map(|family| {
        let family = AddressSet::from_prefixes([fixed(family)]);
        let outside = widest.intersection(&family);
        // A default route that a gateway learned connects everything: what Azure picks is a public address all the same.
        if outside.is_empty() { internet_base().intersection(&family) } else { outside }
    });
    let [v4, v6] = &families;
    Arc::new(v4.union(v6).difference(&AddressSet::from_prefixes([fixed(PLATFORM)])))
}
