//! What is wrong with an input without keeping us from reading it.

use std::fmt;

use serde::{Serialize, Serializer};

/// Declares the codes with the words that stand for them.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What Azure would reject (NSG-21), or what we noticed on the way.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum FindingCode { $($(#[$doc])* $name),+ }

        impl FindingCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as it is printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

codes! {
    /// Two rules of one direction share a priority (NSG-3).
    DuplicatePriority,
    /// A priority outside 100 to 4096 (NSG-3).
    PriorityOutOfRange,
    /// Two rules of an NSG share a name, over both directions (NSG-2).
    DuplicateRuleName,
    /// A name that Azure does not take (NSG-2).
    InvalidRuleName,
    /// A protocol that Azure does not take (NSG-5).
    InvalidProtocol,
    /// A port range that Azure does not take (NSG-8).
    InvalidPortRange,
    /// An address that is neither a prefix nor a tag (NSG-11).
    InvalidAddressPrefix,
    /// A tag that no loaded file has (TAG-15).
    UnknownServiceTag,
    /// More than one tag on a side (NSG-14).
    MultipleServiceTags,
    /// A tag beside prefixes (NSG-14).
    TagMixedWithPrefixes,
    /// Application security groups beside prefixes (NSG-16).
    AsgMixedWithPrefixes,
    /// More than 10 application security groups on a side (NSG-16).
    TooManyAsgs,
    /// Source and destination groups in different networks (ASG-4).
    AsgDifferentVirtualNetworks,
    /// IPv4 and IPv6 prefixes in one rule (NSG-13).
    MixedAddressFamilies,
    /// Both the singular and the plural form of a field (NSG-9).
    SingularAndPlural,
    /// A field that a rule needs is not there (NSG-1).
    MissingField,
    /// A platform tag in a rule of another shape (NSG-15).
    PlatformTagShape,
    /// A description of over 140 characters (NSG-17).
    DescriptionTooLong,
    /// More rules than an NSG may hold (LIM-1).
    TooManyRules,
    /// More addresses than an NSG may hold (LIM-1).
    TooManyPrefixes,
    /// Ports on a protocol that has none (NSG-10); a warning.
    PortsOnPortlessProtocol,
    /// A special subnet's NSG lacks a rule that it needs (BAS-2, AGW-1); the rule is named by its row there.
    MissingRequiredRule,
    /// Whether a special subnet's NSG has a rule that it needs hangs on something that the input lacks (BAS-2); a
    /// warning.
    UndecidedRequiredRule,
    /// An ID that resolves to nothing in the inventory (SIM-4).
    MissingResource,
    /// A prefix with host bits set, taken as its block (NSG-11); a warning.
    HostBitsSet,
    /// Default rules listed in a changed form; the six of DEF-1 are used (DEF-2).
    AlteredDefaultRules,
    /// A name with a leading underscore (NSG-2); a warning.
    LeadingUnderscore,
    /// The same resource twice, with differences: the later one is used.
    DuplicateResource,
    /// An object of a kind that decides nothing here, or none that we know.
    UnknownKind,
    /// A number that exceeds one of Azure's limits (LIM-1, ASG-7, PE-5).
    LimitExceeded,
    /// A topology that Azure does not allow: overlapping peers, forbidden ranges, reserved addresses, mixed SKUs (TOP,
    /// PEER-6, PIP-2).
    InvalidTopology,
    /// The tag file is of another cloud than the network (TAG-19).
    CloudMismatch,
    /// A page of a longer list: the rest is not there (JSON-7).
    IncompleteList,
    /// A JSON object names a member twice: the last one counts.
    DuplicateMember,
    /// Exports of effective rules that differ in what `Internet` stands for: the newest counts (TAG-20); a warning.
    DifferingInternet,
    /// A value that a template's expression or Terraform's document does not have: what hangs on it is undetermined
    /// (JSON-8, JSON-9).
    UnknownValue,
    /// An NSG where Azure enforces none: it is ignored (GW-1, FW-1); a warning.
    NotEnforced,
    /// A setting that Azure does not support where it stands (GW-1, PLS-2); a warning.
    UnsupportedSetting,
}

impl FindingCode {
    /// Whether Azure would take the input all the same: reported in strict mode too, but not refused.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::PortsOnPortlessProtocol
                | Self::UndecidedRequiredRule
                | Self::HostBitsSet
                | Self::LeadingUnderscore
                | Self::AlteredDefaultRules
                | Self::DuplicateResource
                | Self::UnknownKind
                | Self::CloudMismatch
                | Self::DuplicateMember
                | Self::NotEnforced
                | Self::UnsupportedSetting
                | Self::DifferingInternet
        )
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for FindingCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One finding about an input.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Finding {
    /// File and JSON pointer: `web.json#/securityRules/3/priority`.
    pub place: String,
    /// What kind.
    pub code: FindingCode,
    /// Name of the NSG concerned, where one is.
    pub nsg: Option<String>,
    /// Name of the rule concerned, where one is; of a rule that is missing, the name of its row.
    pub rule: Option<String>,
    /// What was found and what was expected, in lower case and without a full stop.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.place, self.code)?;
        if let Some(nsg) = &self.nsg {
            write!(f, "nsg `{nsg}`: ")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, "rule `{rule}`: ")?;
        }
        f.write_str(&self.message)
    }
}
