//! Service tags: names for sets of addresses that Microsoft keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::prefix::Prefix;

/// A tag's name; letter case does not tell two apart (SIM-3), the input's spelling is kept for output.
#[derive(Clone)]
pub struct TagName {
    text: Arc<str>,
    folded: Arc<str>,
}

impl TagName {
    /// The address space around a NIC (TAG-8).
    pub const VIRTUAL_NETWORK: &'static str = "VirtualNetwork";
    /// The address that probes come from (TAG-7).
    pub const AZURE_LOAD_BALANCER: &'static str = "AzureLoadBalancer";
    /// Public addresses outside the connected space (TAG-10).
    pub const INTERNET: &'static str = "Internet";
    /// The platform's name resolution (TAG-11).
    pub const AZURE_PLATFORM_DNS: &'static str = "AzurePlatformDNS";
    /// The metadata service (TAG-11).
    pub const AZURE_PLATFORM_IMDS: &'static str = "AzurePlatformIMDS";
    /// The licensing servers (TAG-11).
    pub const AZURE_PLATFORM_LKM: &'static str = "AzurePlatformLKM";

    /// The tags that are computed and that no file defines (TAG-6).
    pub const COMPUTED: [&'static str; 6] = [
        Self::VIRTUAL_NETWORK,
        Self::AZURE_LOAD_BALANCER,
        Self::INTERNET,
        Self::AZURE_PLATFORM_DNS,
        Self::AZURE_PLATFORM_IMDS,
        Self::AZURE_PLATFORM_LKM,
    ];

    /// Takes a name as it stands in a rule or a tag file.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), folded: text.to_ascii_lowercase().into() }
    }

    /// The name as the input spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name in lower case: equal for equal names, and what names are ordered by.
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether this is the tag `name`, ignoring case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.text.eq_ignore_ascii_case(name)
    }

    /// Whether the tag is one of [`TagName::COMPUTED`].
    #[must_use]
    pub fn is_computed(&self) -> bool {
        Self::COMPUTED.iter().any(|name| self.is(name))
    }
}

impl PartialEq for TagName {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for TagName {}

impl PartialOrd for TagName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TagName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl std::hash::Hash for TagName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TagName({:?})", self.text)
    }
}

impl Serialize for TagName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// One entry of a service tag file (TAG-1).
#[derive(Clone, Debug)]
pub struct ServiceTag {
    /// `Storage`, `Storage.WestEurope`.
    pub name: TagName,
    /// The region in the file's spelling; empty for a tag that is not regional.
    pub region: String,
    /// `AzureStorage`; may be empty.
    pub system_service: String,
    /// Its prefixes, sorted, without duplicates; overlaps are kept.
    pub prefixes: Vec<Prefix>,
}

/// Where the tags of a run come from, named in every result.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TagSource {
    /// The file's change number, where it states one.
    pub change_number: Option<u64>,
    /// `Public`, `AzureGovernment`, `AzureChina`, where it is stated.
    pub cloud: Option<String>,
    /// The day of the state, `2026-10-26`, where it is known.
    pub date: Option<String>,
}

/// The tags that a file defines. The computed ones (TAG-6) are never in it.
#[derive(Clone, Debug, Default)]
pub struct TagCatalog {
    /// Where the tags come from. `None` for a run without a tag file (`--tags none`).
    pub source: Option<TagSource>,
    tags: BTreeMap<TagName, Arc<ServiceTag>>,
}

impl TagCatalog {
    /// An empty catalogue of this source.
    #[must_use]
    pub fn new(source: TagSource) -> Self {
        Self { source: Some(source), tags: BTreeMap::new() }
    }

    /// Puts in a tag; an entry with a computed tag's name is ignored (TAG-6). Returns the tag that it replaced.
    pub fn insert(&mut self, tag: ServiceTag) -> Option<Arc<ServiceTag>> {
        if tag.name.is_computed() {
            return None;
        }
        self.tags.insert(tag.name.clone(), Arc::new(tag))
    }

    /// Looks a tag up by its name, ignoring case (TAG-3), regular spellings of irregular AzureCloud regions
    /// included (TAG-5).
    #[must_use]
    pub fn get(&self, name: &TagName) -> Option<&Arc<ServiceTag>> {
        self.tags.get(name).or_else(|| self.tags.get(&irregular(name)?))
    }

    /// All tags in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<ServiceTag>> {
        self.tags.values()
    }

    /// How many tags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

/// The file's spelling of an AzureCloud region whose regular spelling `name` is (TAG-5).
fn irregular(name: &TagName) -> Option<TagName> {
    const REGIONS: [(&str, &str); 10] = [
        ("francecentral", "centralfrance"),
        ("francesouth", "southfrance"),
        ("germanywestcentral", "germanywc"),
        ("germanynorth", "germanyn"),
        ("norwayeast", "norwaye"),
        ("norwaywest", "norwayw"),
        ("switzerlandnorth", "switzerlandn"),
        ("switzerlandwest", "switzerlandw"),
        ("eastusstg", "usstagee"),
        ("southcentralusstg", "usstagec"),
    ];
    let region = name.folded().strip_prefix("azurecloud.")?;
    let (_, spelt) = REGIONS.iter().find(|(regular, _)| *regular == region)?;
    Some(TagName::new(&format!("AzureCloud.{spelt}")))
}

#[cfg(test)]
mod tests {
    use super::{ServiceTag, TagCatalog, TagName, TagSource};

    fn catalog(names: &[&str]) -> TagCatalog {
        let mut catalog = TagCatalog::new(TagSource::default());
        for name in names {
            catalog.insert(ServiceTag {
                name: TagName::new(name),
                region: String::new(),
                system_service: String::new(),
                prefixes: vec!["203.0.113.0/24".parse().unwrap()],
            });
        }
        catalog
    }

    #[test]
    fn tag_5_a_regular_spelling_finds_the_irregular_region() {
        let catalog = catalog(&["AzureCloud.norwaye"]);
        assert_eq!(
            catalog.get(&TagName::new("azurecloud.NorwayEast")).unwrap().name.as_str(),
            "AzureCloud.norwaye"
        );
        assert!(catalog.get(&TagName::new("Storage.NorwayEast")).is_none());
    }

    #[test]
    fn tag_6_a_file_cannot_define_a_computed_tag() {
        assert!(catalog(&["internet", "VIRTUALNETWORK"]).is_empty());
    }
}
