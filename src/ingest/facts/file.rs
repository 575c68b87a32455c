//! The shape of a file of facts, and how its errors are told.

use serde::Deserialize;
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Error, Location, Spanned};

use crate::ingest::error::IngestError;

/// Where something stands in the file: line and column, from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct At {
    line: u64,
    column: u64,
}

impl At {
    /// `facts.yaml:3:11`.
    pub(super) fn place(self, name: &str) -> String {
        format!("{name}:{}:{}", self.line, self.column)
    }
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// Where a value stands.
pub(super) fn at<T>(value: &Spanned<T>) -> At {
    value.referenced.into()
}

/// Everything that a file states.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statements {
    /// ROUTE-15.
    #[serde(default)]
    pub appliances: Vec<Appliance>,
    /// GW-4.
    #[serde(default)]
    pub learned_routes: Vec<LearnedRoutes>,
    /// ADM-7.
    #[serde(default)]
    pub management_groups: Vec<ManagementGroup>,
    /// ADM-6.
    #[serde(default)]
    pub admin_configurations: Vec<AdminConfiguration>,
    /// EVAL-13.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// SVC-2, SVC-4.
    #[serde(default)]
    pub callers: Vec<Spanned<Caller>>,
}

/// What the machine behind an interface does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Appliance {
    /// Name or ID.
    pub nic: Spanned<String>,
    pub mode: Mode,
    /// Name or ID.
    pub egress_nic: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Forward,
    Snat,
    Drop,
}

/// What a gateway has learned by BGP.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LearnedRoutes {
    /// Name or ID.
    pub gateway: Spanned<String>,
    pub prefixes: Spanned<Vec<Spanned<String>>>,
}

/// Where a management group hangs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagementGroup {
    /// Name or ID.
    pub id: Spanned<String>,
    /// Name or ID; absent or null at the root.
    #[serde(default)]
    pub parent: Option<Spanned<String>>,
}

/// Whether a security admin configuration is in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminConfiguration {
    /// Name or ID.
    pub id: Spanned<String>,
    pub deployed: bool,
}

/// Of which kind a subscription is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    pub id: Spanned<String>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    EnterpriseAgreement,
    ExemptedDevTest,
    Other,
}

/// Whom the firewalls of services let in for what it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    /// Name or ID; or else `address`.
    pub nic: Option<Spanned<String>>,
    /// An IP address or CIDR block; or else `nic`.
    pub address: Option<Spanned<String>>,
    /// ID of the resource that it calls as.
    pub instance: Option<Spanned<String>>,
    pub trusted_service: Option<bool>,
}

/// Reads the statements of the file `name`.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Statements, IngestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        IngestError::content(format!("{name}:{line}"), "the text is not UTF-8: expected a YAML file")
    })?;
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        merge_keys: MergeKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| told(name, text, &error))
}

/// An error of the parser in the form of our own: place, value, what was expected.
fn told(name: &str, text: &str, error: &Error) -> IngestError {
    let location = error.location();
    let found = location.map_or_else(String::new, |location| value(text, location.into()));
    let message = match error {
        Error::Unexpected { expected, .. } => format!("`{found}`: expected {}", in_words(expected)),
        Error::NullIntoString { .. } => "nothing stands here: expected a text".to_owned(),
        Error::InvalidBooleanStrict { .. } => format!("`{found}`: expected `true` or `false`"),
        Error::DuplicateMappingKey { .. } => format!("`{found}` stands here a second time: expected it once"),
        Error::MultipleDocuments { .. } => "a second document: expected one".to_owned(),
        Error::MergeKeyNotAllowed { .. } => format!("`{found}`: merge keys are not read: expected a key"),
        other => {
            let message = other.to_string();
            let place = location.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            let cut = place.and_then(|place| message.strip_suffix(&place).map(str::to_owned));
            cut.unwrap_or(message)
        }
    };
    let place = location.map_or_else(|| name.to_owned(), |location| At::from(location).place(name));
    IngestError::content(place, message)
}

fn in_words(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "keys with values",
        other => other,
    }
}

/// What stands at a place: up to the end of the line, or of the key.
fn value(text: &str, at: At) -> String {
    let line = usize::try_from(at.line).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let before = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest: String = line.unwrap_or_default().chars().skip(before).collect();
    rest.split([':', '#']).next().unwrap_or_default().trim().to_owned()
}
