//! What is looked for in the NSGs of a network, how much it weighs, and what of it its owner puts up with.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::finding::FindingCode;

/// What is looked for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Check {
    /// A rule that no packet reaches, which those ahead decide about as it would.
    Shadowed,
    /// A rule that no packet reaches, and of some packet a rule ahead says the opposite.
    ShadowedOpposite,
    /// A rule without which every packet gets the same access.
    Redundant,
    /// A rule that matches no packet.
    MatchesNothing,
    /// A rule all of whose packets the platform exempts from rules (PLAT-1 to PLAT-5).
    Exempt,
    /// An allowing rule all of whose packets the other NSG denies.
    Unreachable,
    /// Two rules of opposite access share packets, neither covering the other.
    Overlapping,
    /// A tag on the side of the interface that holds none of the addresses there.
    TagWithoutEffect,
    /// A service tag in the direction that Azure does not recommend it for (TAG-13).
    TagDirection,
    /// A rule names the public address of an interface where only private ones are seen (NSG-18).
    PublicAddress,
    /// A rule names a group without members (ASG-2).
    EmptyAsg,
    /// Nothing in the inventory holds the NSG.
    UnattachedNsg,
    /// The internet is let in to ports by which machines are managed.
    InternetToManagement,
    /// The internet is let in to every port.
    InternetToAllPorts,
    /// What shows from the input alone (NSG-21).
    Validation(FindingCode),
    /// A waiver whose day has come: it waives nothing.
    ExpiredWaiver,
    /// A waiver that nothing that was found answers to.
    UnusedWaiver,
}

impl Check {
    /// All but those of [`Check::Validation`].
    pub const OWN: [Self; 16] = [
        Self::Shadowed,
        Self::ShadowedOpposite,
        Self::Redundant,
        Self::MatchesNothing,
        Self::Exempt,
        Self::Unreachable,
        Self::Overlapping,
        Self::TagWithoutEffect,
        Self::TagDirection,
        Self::PublicAddress,
        Self::EmptyAsg,
        Self::UnattachedNsg,
        Self::InternetToManagement,
        Self::InternetToAllPorts,
        Self::ExpiredWaiver,
        Self::UnusedWaiver,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let codes = FindingCode::ALL.iter().map(|code| Self::Validation(*code));
        Self::OWN.into_iter().chain(codes)
    }

    /// The stable word for it: that of the code where it is one.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Shadowed => "shadowed",
            Self::ShadowedOpposite => "shadowed-opposite",
            Self::Redundant => "redundant",
            Self::MatchesNothing => "matches-nothing",
            Self::Exempt => "exempt",
            Self::Unreachable => "unreachable",
            Self::Overlapping => "overlapping",
            Self::TagWithoutEffect => "tag-without-effect",
            Self::TagDirection => "tag-direction",
            Self::PublicAddress => "public-address",
            Self::EmptyAsg => "empty-asg",
            Self::UnattachedNsg => "unattached-nsg",
            Self::InternetToManagement => "internet-to-management",
            Self::InternetToAllPorts => "internet-to-all-ports",
            Self::Validation(code) => code.as_str(),
            Self::ExpiredWaiver => "expired-waiver",
            Self::UnusedWaiver => "unused-waiver",
        }
    }

    /// The check of this word, in any letter case.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::all().find(|check| check.id().eq_ignore_ascii_case(id))
    }

    /// How much it weighs where nobody says otherwise.
    #[must_use]
    pub fn usual_severity(self) -> Severity {
        match self {
            Self::ShadowedOpposite | Self::InternetToManagement | Self::InternetToAllPorts => Severity::Error,
            Self::Shadowed
            | Self::MatchesNothing
            | Self::Exempt
            | Self::Unreachable
            | Self::TagWithoutEffect
            | Self::PublicAddress
            | Self::EmptyAsg
            | Self::ExpiredWaiver => Severity::Warning,
            Self::Redundant
            | Self::Overlapping
            | Self::TagDirection
            | Self::UnattachedNsg
            | Self::UnusedWaiver => Severity::Note,
            Self::Validation(code) if code.is_warning() => Severity::Warning,
            Self::Validation(_) => Severity::Error,
        }
    }

    /// Whether it is told where nobody asks for it: pairs of overlapping rules are too many for that, and mostly meant.
    #[must_use]
    pub fn is_usual(self) -> bool {
        self != Self::Overlapping
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// How much something that was found weighs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something does not do what it seems to.
    Warning,
    /// Something is wrong.
    Error,
}

impl Severity {
    /// All of them, the lightest first.
    pub const ALL: [Self; 3] = [Self::Note, Self::Warning, Self::Error];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A line of a text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TextLine {
    /// Its number, from 1.
    pub number: u64,
    /// The column behind its last letter, from 1.
    pub end_column: u64,
}

/// How the owner of a network wants it looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LintConfig {
    /// How much these weigh; nothing for what is not looked for.
    pub severities: BTreeMap<Check, Option<Severity>>,
    /// What is put up with, in the order of the file.
    pub waivers: Vec<Waiver>,
}

/// Something that is known and put up with until a day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiver {
    /// File, line and column: `lint.yaml:3:5`.
    pub place: String,
    /// What is waived.
    pub check: Check,
    /// Of this NSG, by name or ID; `*` stands for all, and for none.
    pub nsg: String,
    /// Of this rule, by name; `*` stands for all, and for none.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// The last day on which it counts.
    pub expires: Date,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Check;

    #[test]
    fn every_check_is_found_by_its_word() {
        let ids: BTreeSet<String> = Check::all().map(|check| check.id().to_ascii_lowercase()).collect();
        assert_eq!(ids.len(), Check::all().count());
        for check in Check::all() {
            assert_eq!(Check::of_id(&check.id().to_ascii_uppercase()), Some(check));
        }
    }
}
