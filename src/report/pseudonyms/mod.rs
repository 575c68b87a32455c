//! Pseudonyms for addresses and names, so that a report can be shown to others.
//!
//! The same key gives the same pseudonyms on every run; without it nothing leads back. Pseudonyms of addresses keep what
//! addresses share: two of one subnet have pseudonyms of one subnet. What a network is made of and what is reported of
//! it is replaced before anything is written ([`Mask`]); what Azure itself names (default rules, service tags, kinds of
//! resources, regions) stays.

mod answers;
mod network;

use std::net::IpAddr;
use std::sync::Arc;

use ipcrypt_rs::IpcryptPfx;

use crate::model::id::{ResourceId, is_guid};
use crate::model::network::Network;
use crate::model::nsg::default_rules;
use crate::model::prefix::Prefix;
use crate::model::tag::{TagCatalog, TagName};

/// Blocks whose addresses keep what they are: a private address has a private pseudonym, a public one a public pseudonym.
const CLASSES: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/128",
    "::1/128",
    "64:ff9b::/96",
    "2000::/3",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Blocks whose addresses stand for themselves: they are the same everywhere.
const KEPT: [&str; 7] =
    ["0.0.0.0/8", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "224.0.0.0/3", "::/127", "ff00::/8"];

/// Subnets that Azure asks to be called so.
const OWN_SUBNETS: [&str; 5] = [
    "AzureBastionSubnet",
    "AzureFirewallManagementSubnet",
    "AzureFirewallSubnet",
    "GatewaySubnet",
    "RouteServerSubnet",
];

/// How many letters of a rule's name its pseudonym is made of: as many as flow logs have of it (LOG-10).
const RULE_NAME: usize = 65;

/// Gives pseudonyms under one key.
pub struct Pseudonyms {
    addresses: IpcryptPfx,
    names: [u8; 32],
    classes: Vec<Prefix>,
    kept: Vec<Prefix>,
    /// Which service tags there are: what else a rule names is the user's.
    catalog: Arc<TagCatalog>,
}

/// Has addresses and names, which can be replaced by pseudonyms.
pub trait Mask {
    /// Replaces them.
    fn mask(&mut self, by: &Pseudonyms);
}

/// A network as it is shown: itself, or under pseudonyms.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The network, under pseudonyms where there are some.
    pub network: &'a Network,
    /// What everything that is said of it is shown under.
    pub pseudonyms: Option<&'a Pseudonyms>,
}

impl Shown<'_> {
    /// Something of the network's as it is shown.
    #[must_use]
    pub fn masked<T: Mask + Clone>(&self, shown: &T) -> T {
        self.pseudonyms.map_or_else(|| shown.clone(), |by| by.masked(shown))
    }
}

impl Pseudonyms {
    /// The pseudonyms under a key, any text, of a network whose rules name these service tags.
    ///
    /// # Panics
    ///
    /// Never: the two halves of a derived key differ.
    #[must_use]
    pub fn new(key: &str, catalog: Arc<TagCatalog>) -> Self {
        let derived = |purpose: &str| blake3::derive_key(purpose, key.as_bytes());
        let read = |list: &[&str]| list.iter().filter_map(|text| text.parse().ok()).collect();
        Self {
            addresses: IpcryptPfx::new(derived("nsgsim 2026-11-30 pseudonyms of addresses")),
            names: derived("nsgsim 2026-11-30 pseudonyms of names"),
            classes: read(&CLASSES),
            kept: read(&KEPT),
            catalog,
        }
    }

    /// The pseudonym of something that is shown; others stay as they are.
    #[must_use]
    pub fn masked<T: Mask + Clone>(&self, shown: &T) -> T {
        let mut shown = shown.clone();
        shown.mask(self);
        shown
    }

    /// An address's pseudonym. Two addresses have pseudonyms that agree in as many leading bits as they do.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> IpAddr {
        if self.kept.iter().any(|kept| kept.contains(&address)) {
            return address;
        }
        // A pseudonym is the address with some of its bits flipped, each as the bits before it say. Where the bits before
        // one are those of a class, it is left: so classes stay apart, and shared bits shared.
        let left = self.classes.iter().map(|class| left_bits(address, class)).max().unwrap_or(0);
        let flipped = self.addresses.encrypt_ipaddr(address);
        match (address, flipped) {
            (IpAddr::V4(own), IpAddr::V4(flipped)) => {
                let mask = u32::MAX.checked_shr(left).unwrap_or(0);
                IpAddr::V4((own.to_bits() & !mask | flipped.to_bits() & mask).into())
            }
            (own, flipped) => {
                let bits = |address: IpAddr| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
                    IpAddr::V6(address) => address.to_bits(),
                };
                let mask = u128::MAX.checked_shr(left).unwrap_or(0);
                IpAddr::V6((bits(own) & !mask | bits(flipped) & mask).into())
            }
        }
    }

    /// A block's pseudonym: that of its addresses.
    #[must_use]
    pub fn prefix(&self, prefix: Prefix) -> Prefix {
        Prefix::new(self.address(prefix.addr()), prefix.prefix_len()).map_or(prefix, |prefix| prefix.trunc())
    }

    /// A name's pseudonym, `nsg-2f60a1c5b3d9`; that of a GUID is a GUID. Letter case does not tell names apart.
    #[must_use]
    pub fn name(&self, kind: &str, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        let hash = blake3::keyed_hash(&self.names, name.to_ascii_lowercase().as_bytes());
        let digits = hash.to_hex();
        if is_guid(name) {
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]];
            return parts.join("-");
        }
        format!("{kind}-{}", &digits[..12])
    }

    /// A rule's pseudonym; a default rule's own name.
    #[must_use]
    pub fn rule(&self, name: &str) -> String {
        if default_rules().iter().any(|rule| rule.name.eq_ignore_ascii_case(name)) {
            return name.to_owned();
        }
        self.name("rule", &name.chars().take(RULE_NAME).collect::<String>())
    }

    /// The pseudonym of a resource's ID: types stay, what they are called does not. What is no ID is a name.
    #[must_use]
    pub fn id(&self, kind: &str, text: &str) -> String {
        if !text.starts_with('/') {
            return self.name(kind, text);
        }
        let mut segments = text.split('/').skip(1);
        let mut masked = String::with_capacity(text.len());
        while let Some(kind) = segments.next() {
            masked.push('/');
            masked.push_str(kind);
            let Some(value) = segments.next() else { break };
            masked.push('/');
            if kind.eq_ignore_ascii_case("providers") {
                masked.push_str(value);
            } else {
                masked.push_str(&self.segment(kind, value));
            }
        }
        masked
    }

    fn segment(&self, kind: &str, value: &str) -> String {
        let short = match kind.to_ascii_lowercase().as_str() {
            "subscriptions" => "subscription",
            "resourcegroups" => "group",
            "virtualnetworks" => "vnet",
            "subnets" if OWN_SUBNETS.iter().any(|own| own.eq_ignore_ascii_case(value)) => {
                return value.to_owned();
            }
            "subnets" => "subnet",
            "networkinterfaces" => "nic",
            "networksecuritygroups" => "nsg",
            "securityrules" | "defaultsecurityrules" => return self.rule(value),
            "applicationsecuritygroups" => "asg",
            "publicipaddresses" => "ip",
            "loadbalancers" => "lb",
            "privateendpoints" => "endpoint",
            "routetables" => "routes",
            "natgateways" => "nat",
            "virtualmachines" => "vm",
            _ => "resource",
        };
        self.name(short, value)
    }

    /// A tag's pseudonym: its own name where it is Azure's.
    #[must_use]
    pub fn tag(&self, tag: &TagName) -> TagName {
        if tag.is_computed() || self.catalog.get(tag).is_some() {
            return tag.clone();
        }
        TagName::new(&self.name("tag", tag.as_str()))
    }
}

/// How many leading bits of an address are left as they are, so that it stays in a class or out of it: those before which
/// it might be in the class, and that one by which it leaves it.
fn left_bits(address: IpAddr, class: &Prefix) -> u32 {
    let shared = match (address, class.addr()) {
        (IpAddr::V4(address), IpAddr::V4(class)) => (address.to_bits() ^ class.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(class)) => (address.to_bits() ^ class.to_bits()).leading_zeros(),
        _ => return 0,
    };
    (shared + 1).min(class.prefix_len().into())
}

impl Mask for ResourceId {
    fn mask(&mut self, by: &Pseudonyms) {
        if let Some(masked) = Self::new(&by.id("resource", self.as_str())) {
            *self = masked;
        }
    }
}

impl Mask for IpAddr {
    fn mask(&mut self, by: &Pseudonyms) {
        *self = by.address(*self);
    }
}

impl Mask for Prefix {
    fn mask(&mut self, by: &Pseudonyms) {
        *self = by.prefix(*self);
    }
}

impl Mask for TagName {
    fn mask(&mut self, by: &Pseudonyms) {
        *self = by.tag(self);
    }
}

/// A name of the user's, of whatever it is.
impl Mask for String {
    fn mask(&mut self, by: &Pseudonyms) {
        *self = by.name("name", self);
    }
}

impl<T: Mask> Mask for Option<T> {
    fn mask(&mut self, by: &Pseudonyms) {
        if let Some(value) = self {
            value.mask(by);
        }
    }
}

impl<T: Mask> Mask for Vec<T> {
    fn mask(&mut self, by: &Pseudonyms) {
        self.iter_mut().for_each(|value| value.mask(by));
    }
}

impl<A: Mask, B: Mask> Mask for (A, B) {
    fn mask(&mut self, by: &Pseudonyms) {
        self.0.mask(by);
        self.1.mask(by);
    }
}

/// Masks some members of a structure, and says of all others that they are kept: a new member is one or the other.
macro_rules! mask_members {
    ($($structure:ty { $($masked:ident),* $(,)? } keeps { $($kept:ident),* $(,)? })*) => {$(
        impl Mask for $structure {
            fn mask(&mut self, by: &Pseudonyms) {
                let Self { $($masked,)* $($kept: _,)* } = self;
                $($masked.mask(by);)*
            }
        }
    )*};
}
use mask_members;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::Pseudonyms;
    use crate::model::id::is_guid;
    use crate::model::tag::TagCatalog;

    fn pseudonyms(key: &str) -> Pseudonyms {
        Pseudonyms::new(key, TagCatalog::default().into())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn shared_bits(one: IpAddr, other: IpAddr) -> u32 {
        match (one, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => panic!("{one} and {other} are of two families"),
        }
    }

    #[test]
    fn platform_and_multicast_addresses_stand_for_themselves() {
        for text in ["168.63.129.16", "169.254.169.254", "127.0.0.1", "255.255.255.255", "::1", "ff02::1"] {
            assert_eq!(pseudonyms("key").address(address(text)), address(text));
        }
    }

    #[test]
    fn ids_keep_their_types_and_lose_their_names() {
        let by = pseudonyms("key");
        let id = "/subscriptions/0/resourceGroups/rg-a/providers/Microsoft.Network/virtualNetworks/vnet-a/subnets/GatewaySubnet";
        let masked = by.id("resource", id);
        let parts: Vec<&str> = masked.split('/').collect();
        assert_eq!(
            [parts[1], parts[3], parts[5], parts[6], parts[7], parts[9], parts[10]],
            [
                "subscriptions",
                "resourceGroups",
                "providers",
                "Microsoft.Network",
                "virtualNetworks",
                "subnets",
                "GatewaySubnet"
            ]
        );
        assert_eq!(parts[8], by.name("vnet", "VNET-A"));
        assert!(parts[8].starts_with("vnet-") && !masked.contains("vnet-a") && !masked.contains("rg-a"));
        let guid = by.id("nsg", "662ADCD8-9362-51cb-83ab-035ab8f785ef");
        assert!(is_guid(&guid) && guid == by.id("nsg", "662adcd8-9362-51cb-83ab-035ab8f785ef"));
        assert_ne!(parts[8], pseudonyms("other key").name("vnet", "vnet-a"));
    }

    #[test]
    fn a_name_that_a_log_cuts_has_the_pseudonym_of_the_whole() {
        let by = pseudonyms("key");
        let whole = "r".repeat(80);
        assert_eq!(by.rule(&whole), by.rule(&whole[..65]));
        assert_eq!(by.rule("DenyAllInBound"), "DenyAllInBound");
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        ]
    }

    proptest! {
        #[test]
        fn pseudonyms_agree_in_as_many_bits_as_addresses(one in any_address(), shared in 0_u32..128, flip in any::<u128>()) {
            let other: IpAddr = match one {
                IpAddr::V4(one) => {
                    let mask = u32::MAX.checked_shr(shared).unwrap_or(0);
                    IpAddr::V4((one.to_bits() ^ (flip as u32 & mask)).into())
                }
                IpAddr::V6(one) => {
                    let mask = u128::MAX.checked_shr(shared).unwrap_or(0);
                    IpAddr::V6((one.to_bits() ^ (flip & mask)).into())
                }
            };
            let by = pseudonyms("key");
            prop_assert_eq!(shared_bits(by.address(one), by.address(other)), shared_bits(one, other));
        }

        #[test]
        fn private_addresses_stay_private_and_public_ones_public(bits in any::<u32>()) {
            let own = std::net::Ipv4Addr::from(bits);
            let IpAddr::V4(masked) = pseudonyms("key").address(own.into()) else { panic!("of another family") };
            let kind = |address: std::net::Ipv4Addr| {
                let octets = address.octets();
                (
                    address.is_private(),
                    address.is_loopback(),
                    address.is_link_local(),
                    octets[0] == 100 && octets[1] & 0xc0 == 64,
                    octets[0] == 0,
                    octets[0] >= 224,
                )
            };
            prop_assert_eq!(kind(masked), kind(own));
        }
    }
}
