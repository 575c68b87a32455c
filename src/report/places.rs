//! How zones are called.

use crate::model::network::Network;
use crate::replay::digest::zones::Zone;

/// A zone in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// What it is part of.
    pub within: String,
}

/// How a zone is called.
#[must_use]
pub fn place(network: &Network, zone: Zone) -> Place {
    let place = |name: &str, within: &str| Place { name: name.to_owned(), within: within.to_owned() };
    match zone {
        Zone::Subnet(subnet) => {
            let subnet = &network.subnets[subnet.get()];
            place(subnet.id.name(), network.vnets[subnet.vnet.get()].id.name())
        }
        Zone::Vnet(vnet) => place(network.vnets[vnet.get()].id.name(), "virtual network"),
        Zone::Network => place("the network", "its virtual networks"),
        Zone::Stray => place("subnet unknown", "interfaces of the network"),
        Zone::PublicAddress => place("public addresses", "of the network"),
        Zone::OnPremises => place("on-premises", "behind gateways"),
        Zone::Internet => place("Internet", ""),
        Zone::Platform => place("the platform", "168.63.129.16"),
        Zone::Elsewhere => place("elsewhere", "no one place known"),
    }
}
