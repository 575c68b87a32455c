//! Pseudonyms for addresses and names, so that a report can be shown to others.
//!
//! The same key gives the same pseudonyms on every run; without it nothing leads back. Pseudonyms of addresses keep what
//! addresses share: two of one subnet have pseudonyms of one subnet. What a network is made of and what is reported of
//! it is replaced before anything is written ([`Mask`]); what Azure itself names (default rules, service tags, kinds of
//! resources, regions) stays.

mod addresses;
mod answers;
mod network;

use std::net::IpAddr;
use std::sync::Arc;

use self::addresses::Addresses;
use crate::model::id::{ResourceId, is_guid};
use crate::model::network::Network;
use crate::model::nsg::default_rules;
use crate::model::prefix::Prefix;
use crate::model::tag::{TagCatalog, TagName};

/// Subnets that Azure asks to be called so.
const OWN_SUBNETS: [&str; 5] = [
    "AzureBastionSubnet",
    "AzureFirewallManagementSubnet",
    "AzureFirewallSubnet",
    "GatewaySubnet",
    "RouteServerSubnet",
];

/// Types of resources, as IDs have them. What else stands in place of a type is a name.
const TYPES: [&str; 49] = [
    "applicationGateways",
    "applicationSecurityGroups",
    "azureFirewalls",
    "backendAddressPools",
    "bastionHosts",
    "configurations",
    "connections",
    "defaultSecurityRules",
    "firewallPolicies",
    "flowLogs",
    "frontendIPConfigurations",
    "inboundNatRules",
    "ipConfigurations",
    "loadBalancers",
    "loadBalancingRules",
    "localNetworkGateways",
    "managementGroups",
    "natGateways",
    "networkGroups",
    "networkInterfaces",
    "networkManagers",
    "networkSecurityGroups",
    "networkWatchers",
    "outboundRules",
    "privateEndpoints",
    "privateLinkServices",
    "probes",
    "providers",
    "publicIPAddresses",
    "publicIPPrefixes",
    "resourceGroups",
    "routes",
    "routeTables",
    "ruleCollections",
    "rules",
    "securityAdminConfigurations",
    "securityRules",
    "servers",
    "serviceEndpointPolicies",
    "storageAccounts",
    "subnets",
    "subscriptions",
    "vaults",
    "virtualMachines",
    "virtualMachineScaleSets",
    "virtualNetworkGateways",
    "virtualNetworkPeerings",
    "virtualNetworks",
    "workspaces",
];

/// Gives pseudonyms under one key.
pub struct Pseudonyms {
    addresses: Addresses,
    names: [u8; 32],
    /// Azure's own service tags: what else a rule names is the user's.
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
    /// The pseudonyms under a key, any text; these service tags keep their names.
    ///
    /// # Panics
    ///
    /// Never: the two halves of a derived key differ.
    #[must_use]
    pub fn new(key: &str, catalog: Arc<TagCatalog>) -> Self {
        let derived = |purpose: &str| blake3::derive_key(purpose, key.as_bytes());
        Self {
            addresses: Addresses::new(derived("nsgsim 2026-11-30 pseudonyms of addresses")),
            names: derived("nsgsim 2026-11-30 pseudonyms of names"),
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
        self.addresses.pseudonym(address)
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
        self.name("rule", name)
    }

    /// The pseudonym of a resource's ID: types that Azure has stay, what they are called does not. What is no ID is a name.
    #[must_use]
    pub fn id(&self, kind: &str, text: &str) -> String {
        if !text.starts_with('/') {
            return self.name(kind, text);
        }
        let mut segments = text.split('/').skip(1);
        let mut masked = String::with_capacity(text.len());
        while let Some(kind) = segments.next() {
            masked.push('/');
            match TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind)) {
                Some(_) => masked.push_str(kind),
                None => masked.push_str(&self.name("name", kind)),
            }
            let Some(value) = segments.next() else { break };
            masked.push('/');
            if kind.eq_ignore_ascii_case("providers") {
                masked.push_str(&self.azures(value));
            } else {
                masked.push_str(&self.segment(kind, value));
            }
        }
        masked
    }

    /// What Azure names, `Microsoft.Network`, as it is; a pseudonym of anything else.
    #[must_use]
    pub fn azures(&self, name: &str) -> String {
        const NAMESPACES: [&str; 11] = [
            "Compute",
            "ContainerRegistry",
            "KeyVault",
            "MachineLearningServices",
            "Management",
            "Network",
            "Resources",
            "ServiceBus",
            "Sql",
            "Storage",
            "Web",
        ];
        let namespace = name.split('/').next().unwrap_or(name);
        let known =
            NAMESPACES.iter().any(|known| namespace.eq_ignore_ascii_case(&format!("Microsoft.{known}")));
        let is_whole = namespace.len() == name.len();
        match (known, is_whole) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{namespace}/{}", self.name("name", &name[namespace.len() + 1..])),
            (false, _) => self.name("name", name),
        }
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

    /// A MAC address's pseudonym: a locally administered one.
    #[must_use]
    pub fn mac(&self, mac: [u8; 6]) -> [u8; 6] {
        let hash = blake3::keyed_hash(&self.names, &mac);
        let [first, second, third, fourth, fifth, sixth, ..] = *hash.as_bytes();
        [first & 0xfc | 0x02, second, third, fourth, fifth, sixth]
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
    use super::Pseudonyms;
    use crate::model::id::is_guid;
    use crate::model::tag::TagCatalog;

    fn pseudonyms(key: &str) -> Pseudonyms {
        Pseudonyms::new(key, TagCatalog::default().into())
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
        assert_ne!(parts[8], pseudonyms("other key").name("vnet", "vnet-a"));
    }

    #[test]
    fn what_only_looks_like_an_id_loses_every_name() {
        let by = pseudonyms("key");
        for id in [
            "/secret",
            "secret",
            "//subscriptions/secret/x",
            "/providers/secret/secret/secret",
            "/secret/secret/secret",
            "/subscriptions/0/providers/Microsoft.Network/secret/secret",
            "/providers/Microsoft.Network/secret",
        ] {
            assert!(!by.id("resource", id).contains("secret"), "{id}: {}", by.id("resource", id));
        }
    }

    #[test]
    fn guids_have_guids_for_pseudonyms() {
        let by = pseudonyms("key");
        let guid = by.id("nsg", "662ADCD8-9362-51cb-83ab-035ab8f785ef");
        assert!(is_guid(&guid));
        assert_eq!(guid, by.id("nsg", "662adcd8-9362-51cb-83ab-035ab8f785ef"));
    }

    #[test]
    fn default_rules_keep_their_names() {
        let by = pseudonyms("key");
        assert_eq!(by.rule("DenyAllInBound"), "DenyAllInBound");
        assert!(by.rule("DenyAllInBound2").starts_with("rule-"));
    }
}
