//! How the owner of a network wants it looked at: a small YAML file of severities and waivers.

use std::fmt;
use std::path::Path;

use jiff::civil::Date;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::error::IngestError;
use super::source;
use super::yaml::{self, At, at};
use crate::model::lint::{Check, LintConfig, Severity, Waiver};

/// The most that is read of such a file.
const LIMIT_BYTES: u64 = 16 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    severities: Pairs,
    #[serde(default)]
    waivers: Vec<Spanned<Entry>>,
}

/// Keys and values in the order of the file, each with its place.
#[derive(Debug, Default)]
struct Pairs(Vec<(Spanned<String>, Spanned<String>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys with values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    nsg: Option<Spanned<String>>,
    rule: Option<Spanned<String>>,
    reason: Spanned<String>,
    expires: Spanned<String>,
}

/// Reads a file, plain or packed.
///
/// # Errors
///
/// Fails if the file cannot be read, and as [`parse`] does.
pub fn read(path: &Path) -> Result<LintConfig, IngestError> {
    parse(&source::shown(path), &source::read(path, LIMIT_BYTES)?)
}

/// Takes the content of the file `name`. An empty one says nothing.
///
/// # Errors
///
/// Fails, with line and column, on what is not YAML, on an unknown key, on a check or a severity that there is not, on a
/// check that is given two severities, and on a waiver without a reason or without a day.
pub fn parse(name: &str, bytes: &[u8]) -> Result<LintConfig, IngestError> {
    let file: File = yaml::parse(name, bytes)?;
    let error = |at: At, message: String| IngestError::content(at.place(name), message);
    let check = |id: &Spanned<String>| {
        Check::of_id(&id.value).ok_or_else(|| {
            let message =
                format!("`{}`: expected the id of a check, as `nsgsim help checks` lists them", id.value);
            error(at(id), message)
        })
    };
    let mut config = LintConfig::default();
    for (id, word) in &file.severities.0 {
        let severity = Severity::ALL.into_iter().find(|severity| severity.as_str() == word.value);
        if severity.is_none() && word.value != "off" {
            let message = format!("`{}`: expected `error`, `warning`, `note` or `off`", word.value);
            return Err(error(at(word), message));
        }
        if config.severities.insert(check(id)?, severity).is_some() {
            return Err(error(at(id), format!("`{}` stands here a second time: expected it once", id.value)));
        }
    }
    for entry in &file.waivers {
        let place = at(entry).place(name);
        let entry = &entry.value;
        if entry.reason.value.trim().is_empty() {
            return Err(error(at(&entry.reason), "the reason is empty: expected a text".to_owned()));
        }
        let day = entry.expires.value.parse::<Date>();
        let expires = day.map_err(|_| {
            let message = format!("`{}`: expected a day, as `2026-12-31`", entry.expires.value);
            error(at(&entry.expires), message)
        })?;
        let or_all = |name: &Option<Spanned<String>>| {
            name.as_ref().map_or_else(|| "*".to_owned(), |name| name.value.clone())
        };
        config.waivers.push(Waiver {
            place,
            check: check(&entry.id)?,
            nsg: or_all(&entry.nsg),
            rule: or_all(&entry.rule),
            reason: entry.reason.value.clone(),
            expires,
        });
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::model::lint::{Check, Severity};

    fn complaint(text: &str) -> String {
        parse("lint.yaml", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn severities_and_waivers_are_read() {
        let text = "severities:\n  redundant: off\n  Shadowed: error\nwaivers:\n  - id: unreachable\n    nsg: nsg-web\n    reason: the second stage of the move\n    expires: 2027-01-31\n";
        let config = parse("lint.yaml", text.as_bytes()).unwrap();
        let severities: Vec<_> = config.severities.into_iter().collect();
        assert_eq!(severities, [(Check::Shadowed, Some(Severity::Error)), (Check::Redundant, None)]);
        let waiver = &config.waivers[0];
        assert_eq!((waiver.nsg.as_str(), waiver.rule.as_str()), ("nsg-web", "*"));
        assert_eq!(
            (waiver.place.as_str(), waiver.expires.to_string()),
            ("lint.yaml:5:5", "2027-01-31".to_owned())
        );
        assert_eq!(parse("lint.yaml", b"").unwrap(), super::LintConfig::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        assert_eq!(
            complaint("severities:\n  shadow: off\n"),
            "lint.yaml:2:3: `shadow`: expected the id of a check, as `nsgsim help checks` lists them"
        );
        assert_eq!(
            complaint("severities:\n  shadowed: loud\n"),
            "lint.yaml:2:13: `loud`: expected `error`, `warning`, `note` or `off`"
        );
        assert_eq!(
            complaint("severities:\n  shadowed: off\n  SHADOWED: note\n"),
            "lint.yaml:3:3: `SHADOWED` stands here a second time: expected it once"
        );
        assert_eq!(
            complaint("waivers:\n  - {id: shadowed, reason: because, expires: soon}\n"),
            "lint.yaml:2:46: `soon`: expected a day, as `2026-12-31`"
        );
        assert_eq!(
            complaint("waivers:\n  - {id: shadowed, reason: ' ', expires: 2026-12-31}\n"),
            "lint.yaml:2:28: the reason is empty: expected a text"
        );
        assert!(complaint("waivers:\n  - {id: shadowed, expires: 2026-12-31}\n").contains("reason"));
        assert!(complaint("waiver: []\n").contains("waiver"));
    }
}
