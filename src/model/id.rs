//! Resource IDs and names, compared as Azure compares them.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Serialize, Serializer};

/// The ID of an Azure resource, or of a child of one (JSON-11).
///
/// Two IDs are equal if they differ in letter case only (SIM-3); the spelling of the input is kept for output.
/// It is never empty, and carries no trailing slash.
#[derive(Clone, Debug)]
pub struct ResourceId {
    text: Box<str>,
    folded: Box<str>,
}

impl ResourceId {
    /// Takes an ID as it stands in an export. An empty text is no ID.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('/');
        (!text.is_empty()).then(|| Self { text: text.into(), folded: text.to_ascii_lowercase().into() })
    }

    /// The ID as the input spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ID in lower case: equal for equal IDs, and what IDs are ordered by.
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// The last segment: the resource's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or(&self.text)
    }

    /// The value of the segment that follows `kind`, ignoring case: `segment("resourceGroups")`.
    #[must_use]
    pub fn segment(&self, kind: &str) -> Option<&str> {
        let mut segments = self.text.split('/');
        segments.by_ref().find(|segment| segment.eq_ignore_ascii_case(kind))?;
        segments.next().filter(|value| !value.is_empty())
    }

    /// The ID without its last `pairs` of type and name: `.../virtualNetworks/v/subnets/s` less one pair is the
    /// network's.
    #[must_use]
    pub fn parent(&self, pairs: usize) -> Option<Self> {
        let mut end = self.text.len();
        for _ in 0..pairs * 2 {
            end = self.text[..end].rfind('/')?;
        }
        Self::new(&self.text[..end])
    }

    /// Whether this is the resource `other`, or one that lies under it: in its resource group or subscription, or a part
    /// of it.
    #[must_use]
    pub fn is_under(&self, other: &Self) -> bool {
        self.folded.strip_prefix(other.folded()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The ID of a child of this resource.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        let text = format!("{}/{kind}/{name}", self.text);
        let folded = text.to_ascii_lowercase();
        Self { text: text.into(), folded: folded.into() }
    }
}

/// Whether a text is a GUID, `8-4-4-4-12` hexadecimal digits.
#[must_use]
pub fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceId;

    const SUBNET: &str =
        "/subscriptions/0/resourceGroups/rg-a/providers/Microsoft.Network/virtualNetworks/vnet-a/subnets/app";

    #[test]
    fn letter_case_does_not_tell_ids_apart() {
        assert_eq!(ResourceId::new(SUBNET), ResourceId::new(&SUBNET.to_uppercase()));
    }

    #[test]
    fn a_subnet_names_its_network_and_group() {
        let id = ResourceId::new(SUBNET).unwrap();
        assert_eq!(id.name(), "app");
        assert_eq!(id.segment("RESOURCEGROUPS"), Some("rg-a"));
        assert_eq!(id.parent(1).unwrap().name(), "vnet-a");
        assert_eq!(id.parent(1).unwrap().child("subnets", "APP"), id);
        assert_eq!(ResourceId::new(" / "), None);
    }
}
