//! A seeded estate: a hub and its spokes, their subnets and interfaces, and the NSGs that they are under.

use std::net::Ipv4Addr;
use std::ops::Range;

use ipnet::Ipv4Net;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::model::prefix::Prefix;
use crate::model::tag::{TagCatalog, TagName};

/// What to make. The same options and tags give the same estate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstateOptions {
    /// Virtual networks: the first is the hub, to which each other is peered.
    pub vnets: usize,
    /// Interfaces, spread evenly over the networks.
    pub nics: usize,
    /// NSGs, each at a subnet or an interface.
    pub nsgs: usize,
    /// Custom rules of each NSG.
    pub rules: usize,
    /// The share of rules whose other side is a service tag of the catalogue.
    pub tags_share: f64,
    /// Where chance begins.
    pub seed: u64,
}

/// Why an estate cannot be made.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum EstateError {
    /// Azure, or the address space, has no room for so many.
    #[error("`{number}` {what}: expected {least} to {most} ({why})")]
    Number {
        /// Of what.
        what: &'static str,
        /// How many were asked for.
        number: usize,
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
        /// What sets the limit.
        why: &'static str,
    },
    /// More NSGs than places for them.
    #[error("`{nsgs}` NSGs: {subnets} subnets and {nics} interfaces have one each at most")]
    TooManyNsgs {
        /// How many were asked for.
        nsgs: usize,
        /// How many subnets the networks have.
        subnets: usize,
        /// How many interfaces there are.
        nics: usize,
    },
    /// No share of anything.
    #[error("`{0}`: expected a number from 0 to 1")]
    Share(f64),
    /// Rules shall name tags, and there are none.
    #[error("there is no service tag that a rule could name: expected a tag file, or a share of 0")]
    NoTags,
}

/// The networks of one hub, which has at most 500 peerings (LIM-1).
const VNETS: usize = 501;
/// Interfaces of a region and subscription.
///
/// SOURCE: Microsoft Learn, includes/azure-virtual-network-limits.md, "Network interface cards", read 2026-11.
const NICS: usize = 65_536;
/// NSGs of a region and subscription (LIM-1).
const NSGS: usize = 5000;
/// Custom rules of an NSG (LIM-1).
const RULES: usize = 1000;
/// Interfaces that a subnet has before another one is made.
const NICS_PER_SUBNET: usize = 50;
/// Addresses of a `/24` that Azure leaves to its interfaces (TOP-3).
const ADDRESSES_PER_SUBNET: usize = 251;
/// Up to so many networks have 256 subnets each; more have half of that.
const WIDE_VNETS: usize = 256;

/// Application security groups of a network, by what their machines do.
pub(super) const ROLES: [&str; 4] = ["web", "app", "db", "mgmt"];
/// Of so many interfaces in a row one is in each group: a group of the fullest network stays below 4,000 (LIM-1).
const NICS_PER_MEMBER: usize = 20;

/// A made-up network.
///
/// INVARIANT: every position in it is one of a list of it, and every NSG is attached.
pub struct Estate {
    pub(super) options: EstateOptions,
    pub(super) vnets: Vec<EstateVnet>,
    pub(super) subnets: Vec<EstateSubnet>,
    pub(super) nics: Vec<EstateNic>,
    pub(super) nsgs: Vec<EstateNsg>,
    /// The tags that rules name, in order of their names.
    pub(super) tags: Vec<TagName>,
    /// A region of the cloud that the tags are of.
    pub(super) location: &'static str,
}

/// A virtual network.
pub(super) struct EstateVnet {
    pub(super) space: Prefix,
    /// Positions of its subnets.
    pub(super) subnets: Range<usize>,
    /// How many of [`ROLES`] have a group here, each with members.
    pub(super) asgs: usize,
}

/// A subnet.
pub(super) struct EstateSubnet {
    pub(super) vnet: usize,
    pub(super) prefix: Prefix,
    /// Positions of its interfaces.
    pub(super) nics: Range<usize>,
    pub(super) nsg: Option<usize>,
}

/// An interface.
pub(super) struct EstateNic {
    pub(super) subnet: usize,
    pub(super) address: Ipv4Addr,
    pub(super) nsg: Option<usize>,
    /// Which of its network's groups it is in.
    pub(super) role: Option<usize>,
}

/// Where an NSG is attached: at subnets or at interfaces, never both.
#[derive(Default)]
pub(super) struct EstateNsg {
    pub(super) subnets: Vec<usize>,
    pub(super) nics: Vec<usize>,
}

impl EstateOptions {
    fn check(&self) -> Result<(), EstateError> {
        let addresses = self.vnets.saturating_mul(self.most_subnets() * ADDRESSES_PER_SUBNET);
        let limits = [
            ("virtual networks", self.vnets, 1, VNETS, "a hub has at most 500 peerings, LIM-1"),
            ("NSGs", self.nsgs, 1, NSGS, "of one region and subscription, LIM-1"),
            ("rules an NSG", self.rules, 0, RULES, "LIM-1"),
            ("interfaces", self.nics, 1, NICS, "of one region and subscription"),
            ("interfaces", self.nics, 1, addresses, "as many addresses have the networks' subnets"),
        ];
        for (what, number, least, most, why) in limits {
            if !(least..=most).contains(&number) {
                return Err(EstateError::Number { what, number, least, most, why });
            }
        }
        if (0.0..=1.0).contains(&self.tags_share) { Ok(()) } else { Err(EstateError::Share(self.tags_share)) }
    }

    /// Length of a network's address range: equal parts of 10.0.0.0/8.
    fn space_length(&self) -> u8 {
        if self.vnets <= WIDE_VNETS { 16 } else { 17 }
    }

    fn most_subnets(&self) -> usize {
        1 << (24 - self.space_length())
    }
}

impl Estate {
    /// Plans an estate. Its rules are drawn when it is written: they would not fit into memory.
    ///
    /// # Errors
    ///
    /// Fails on sizes that Azure does not have, and if rules shall name tags where there are none.
    pub fn new(options: EstateOptions, tags: &TagCatalog) -> Result<Self, EstateError> {
        options.check()?;
        let names: Vec<TagName> = tags.iter().map(|tag| tag.name.clone()).collect();
        if names.is_empty() && options.tags_share > 0.0 {
            return Err(EstateError::NoTags);
        }
        let cloud = tags.source.as_ref().and_then(|source| source.cloud.as_deref());
        let mut estate = Self {
            options,
            vnets: Vec::new(),
            subnets: Vec::new(),
            nics: Vec::new(),
            nsgs: Vec::new(),
            tags: names,
            location: location(cloud.unwrap_or_default()),
        };
        (0..options.vnets).for_each(|vnet| estate.add_vnet(vnet));
        estate.attach()?;
        Ok(estate)
    }

    /// How many subnets there are.
    #[must_use]
    pub fn subnets(&self) -> usize {
        self.subnets.len()
    }

    fn add_vnet(&mut self, vnet: usize) {
        let options = self.options;
        let length = options.space_length();
        let base = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + ((vnet as u32) << (32 - length));
        let before = |vnet: usize| vnet * options.nics / options.vnets;
        let nics = before(vnet + 1) - before(vnet);
        let subnets = nics.div_ceil(NICS_PER_SUBNET).clamp(1, options.most_subnets());
        let first = self.subnets.len();
        for subnet in 0..subnets {
            let base = base + ((subnet as u32) << 8);
            let begin = self.nics.len();
            for place in 0..(subnet + 1) * nics / subnets - subnet * nics / subnets {
                // The first four addresses are Azure's own (TOP-3).
                let address = Ipv4Addr::from(base + 4 + place as u32);
                let number = self.nics.len() - before(vnet);
                let role = (number % NICS_PER_MEMBER < ROLES.len()).then_some(number % NICS_PER_MEMBER);
                self.nics.push(EstateNic { subnet: first + subnet, address, nsg: None, role });
            }
            let nics = begin..self.nics.len();
            self.subnets.push(EstateSubnet { vnet, prefix: block(base, 24), nics, nsg: None });
        }
        self.vnets.push(EstateVnet {
            space: block(base, length),
            subnets: first..first + subnets,
            asgs: nics.min(ROLES.len()),
        });
    }

    /// Half of the NSGs stand at subnets, in turn, as far as there are subnets; each of the others at some interfaces
    /// of a row of neighbours.
    fn attach(&mut self) -> Result<(), EstateError> {
        let (nsgs, subnets, nics) = (self.options.nsgs, self.subnets.len(), self.nics.len());
        let at_subnets = (nsgs / 2).max(nsgs.saturating_sub(nics)).min(subnets);
        let at_nics = nsgs - at_subnets;
        if at_nics > nics {
            return Err(EstateError::TooManyNsgs { nsgs, subnets, nics });
        }
        self.nsgs.resize_with(nsgs, EstateNsg::default);
        if at_subnets > 0 {
            for (position, subnet) in self.subnets.iter_mut().enumerate() {
                let nsg = position % at_subnets;
                subnet.nsg = Some(nsg);
                self.nsgs[nsg].subnets.push(position);
            }
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.options.seed);
        for (position, nic) in self.nics.iter_mut().enumerate() {
            let nsg = at_subnets + position * at_nics / nics;
            // The first of each row, so that no NSG is left over, and a quarter of the others.
            if self.nsgs[nsg].nics.is_empty() || random.random_ratio(1, 4) {
                nic.nsg = Some(nsg);
                self.nsgs[nsg].nics.push(position);
            }
        }
        Ok(())
    }

    /// The network that an NSG belongs to: that of the first place where it is attached.
    pub(super) fn home_of(&self, nsg: usize) -> usize {
        let nsg = &self.nsgs[nsg];
        let of_nic = || nsg.nics.first().map(|nic| self.nics[*nic].subnet);
        let subnet = nsg.subnets.first().copied().or_else(of_nic).expect("every NSG is attached");
        self.subnets[subnet].vnet
    }
}

/// The block of this length that begins at `base`.
pub(super) fn block(base: u32, length: u8) -> Prefix {
    Prefix::V4(Ipv4Net::new_assert(Ipv4Addr::from(base), length).trunc())
}

/// A region of the cloud that a tag file is of (TAG-19).
fn location(cloud: &str) -> &'static str {
    let folded = cloud.to_ascii_lowercase();
    let regions = [("china", "chinaeast2"), ("german", "germanycentral"), ("gov", "usgovvirginia")];
    let region = regions.iter().find(|(word, _)| folded.contains(word));
    region.map_or("westeurope", |(_, region)| region)
}

#[cfg(test)]
mod tests {
    use super::{Estate, EstateError, EstateOptions, location};
    use crate::model::tag::TagCatalog;

    fn made([vnets, nics, nsgs, rules]: [usize; 4]) -> Result<Estate, EstateError> {
        let options = EstateOptions { vnets, nics, nsgs, rules, tags_share: 0.0, seed: 1 };
        Estate::new(options, &TagCatalog::default())
    }

    fn refused(sizes: [usize; 4]) -> String {
        made(sizes).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn subnets_have_fifty_interfaces_as_long_as_there_is_room() {
        // 102 interfaces in each network: three subnets of 34.
        let estate = made([2, 204, 4, 0]).unwrap();
        let counts: Vec<usize> = estate.subnets.iter().map(|subnet| subnet.nics.len()).collect();
        assert_eq!(counts, [34; 6]);
        let addresses = |subnet: usize| {
            let nics = &estate.nics[estate.subnets[subnet].nics.clone()];
            (nics[0].address.to_string(), nics[33].address.to_string())
        };
        assert_eq!(addresses(0), ("10.0.0.4".to_owned(), "10.0.0.37".to_owned()));
        assert_eq!(addresses(5), ("10.1.2.4".to_owned(), "10.1.2.37".to_owned()));
        // A full network: 256 subnets of 251.
        let full = made([1, 64_256, 1, 0]).unwrap();
        assert!(full.subnets.iter().all(|subnet| subnet.nics.len() == 251));
    }

    #[test]
    fn every_nsg_is_attached_on_one_level() {
        // More than the subnets, as many as all places, one alone, fewer than the subnets.
        for sizes in [[3, 30, 20, 0], [3, 30, 33, 0], [5, 5, 1, 0], [9, 20, 4, 0], [1, 1, 2, 0]] {
            let estate = made(sizes).unwrap();
            assert_eq!(estate.nsgs.len(), sizes[2]);
            for nsg in &estate.nsgs {
                assert_ne!(nsg.subnets.is_empty(), nsg.nics.is_empty(), "{sizes:?}");
            }
        }
        // An NSG alone is at the interface, where `--at` asks.
        assert_eq!(made([1, 1, 1, 0]).unwrap().nics[0].nsg, Some(0));
    }

    #[test]
    fn five_hundred_and_one_networks_do_not_overlap() {
        let estate = made([501, 501, 1, 0]).unwrap();
        let mut spaces: Vec<_> = estate.vnets.iter().map(|vnet| vnet.space).collect();
        assert_eq!(spaces[500].to_string(), "10.250.0.0/17");
        spaces.dedup();
        assert_eq!(spaces.len(), 501);
    }

    #[test]
    fn what_azure_has_no_room_for_is_refused() {
        let hub = "`502` virtual networks: expected 1 to 501 (a hub has at most 500 peerings, LIM-1)";
        assert_eq!(refused([502, 1, 1, 1]), hub);
        assert_eq!(refused([1, 1, 1, 1001]), "`1001` rules an NSG: expected 0 to 1000 (LIM-1)");
        let nsgs = "`5001` NSGs: expected 1 to 5000 (of one region and subscription, LIM-1)";
        assert_eq!(refused([1, 9000, 5001, 1]), nsgs);
        let addresses =
            "`64257` interfaces: expected 1 to 64256 (as many addresses have the networks' subnets)";
        assert_eq!(refused([1, 64_257, 1, 1]), addresses);
        // Two networks have one subnet each for ten interfaces.
        assert_eq!(refused([2, 10, 13, 1]), "`13` NSGs: 2 subnets and 10 interfaces have one each at most");
        let options = EstateOptions { vnets: 1, nics: 1, nsgs: 1, rules: 1, tags_share: 0.5, seed: 1 };
        let refused = |options| Estate::new(options, &TagCatalog::default()).err();
        assert_eq!(refused(options), Some(EstateError::NoTags));
        let share = EstateOptions { tags_share: 1.5, ..options };
        assert_eq!(refused(share), Some(EstateError::Share(1.5)));
    }

    #[test]
    fn tag_19_the_region_is_one_of_the_tags_cloud() {
        let clouds = ["Public", "", "AzureChinaCloud", "AzureUSGovernment", "AzureGermany"];
        let regions = ["westeurope", "westeurope", "chinaeast2", "usgovvirginia", "germanycentral"];
        assert_eq!(clouds.map(location), regions);
    }
}
