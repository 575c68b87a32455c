//! SARIF 2.1.0, as GitHub's code scanning takes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::LintReport;
use super::words::{advice, meaning};
use crate::model::lint::{Check, Severity, TextLine};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<ResultJson<'a>>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: &'static str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultJson<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: [Location<'a>; 1],
    partial_fingerprints: BTreeMap<&'static str, String>,
    /// None where it is not waived: an empty list says so (SARIF 2.1.0, 3.27.23).
    suppressions: Vec<Suppression<'a>>,
}

#[derive(Serialize)]
struct Suppression<'a> {
    kind: &'static str,
    status: &'static str,
    justification: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_locations: Option<[Logical<'a>; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u64,
    start_column: u64,
    end_line: u64,
    end_column: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    fully_qualified_name: &'a str,
}

impl LintReport<'_> {
    /// The report as SARIF. `lines` tells on which lines places stand, as [`LintReport::places`] spells them; where it does
    /// not, the start of the first line stands for the file.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn sarif(&self, lines: &BTreeMap<&str, TextLine>) -> String {
        let words = self.words();
        let told: BTreeSet<Check> = self.judged.iter().map(|judged| judged.what.check()).collect();
        let checks: Vec<Check> = told.into_iter().collect();
        let descriptor = |check: &Check| Descriptor {
            id: check.id(),
            short_description: Text { text: described(*check) },
            full_description: Text { text: described(*check) },
            help: Text { text: format!("{} {}", described(*check), advice(*check)) },
            default_configuration: Configuration { level: level(check.usual_severity()) },
        };
        let mut fingerprints: BTreeMap<String, u64> = BTreeMap::new();
        let results = self.judged.iter().map(|judged| {
            let check = judged.what.check();
            let subject = self.subject(&judged.what);
            let sentence = words.sentence(judged);
            let about = match (subject.nsg, subject.rule) {
                (Some(nsg), Some(rule)) => format!("nsg `{nsg}`: rule `{rule}`: "),
                (Some(nsg), None) => format!("nsg `{nsg}`: "),
                (None, _) => String::new(),
            };
            // What it is about, not where it stands: lines move. Equal ones are numbered.
            let of = format!("{}/{}/{}", check.id(), subject.nsg.unwrap_or(""), subject.rule.unwrap_or(""));
            let number = fingerprints.entry(of.to_ascii_lowercase()).or_default();
            *number += 1;
            let fingerprint = blake3::hash(format!("{}:{number}", of.to_ascii_lowercase()).as_bytes());
            let waivers = judged.waived_by.iter().map(|position| &self.config.waivers[*position]);
            let waived = waivers.map(|waiver| Suppression {
                kind: "external",
                status: "accepted",
                justification: &waiver.reason,
            });
            ResultJson {
                rule_id: check.id(),
                rule_index: checks.binary_search(&check).expect("every check that found something is listed"),
                level: level(judged.severity),
                message: Text { text: about + &sentence },
                locations: [location(subject.place, subject.rule.or(subject.nsg), lines)],
                partial_fingerprints: BTreeMap::from([(
                    "nsgsimFinding/v1",
                    fingerprint.to_hex()[..32].to_owned(),
                )]),
                suppressions: waived.collect(),
            }
        });
        let results = results.collect();
        let log = Log {
            schema: "https://json.schemastore.org/sarif-2.1.0.json",
            version: "2.1.0",
            runs: [Run {
                tool: Tool {
                    driver: Driver {
                        name: "nsgsim",
                        semantic_version: env!("CARGO_PKG_VERSION"),
                        rules: checks.iter().map(descriptor).collect(),
                    },
                },
                column_kind: "unicodeCodePoints",
                results,
            }],
        };
        serde_json::to_string_pretty(&log).expect("the shape holds nothing that JSON cannot") + "\n"
    }
}

/// What a check looks for, as a sentence of its own.
fn described(check: Check) -> String {
    let meaning = meaning(check);
    let (first, rest) = meaning.split_at(1);
    format!("{}{rest}.", first.to_ascii_uppercase())
}

fn level(severity: Severity) -> &'static str {
    // The words are those of SARIF.
    severity.as_str()
}

/// A place, told as `file#/pointer`, or as `file:line:column` for waivers.
fn location<'a>(place: &'a str, name: Option<&'a str>, lines: &BTreeMap<&str, TextLine>) -> Location<'a> {
    let (file, pointer, line) = match place.rsplit_once('#') {
        Some((file, pointer)) => (file, Some(pointer), lines.get(place).copied()),
        None => {
            let mut parts = place.rsplitn(3, ':');
            let (_, line, file) = (parts.next(), parts.next(), parts.next());
            let line = line.and_then(|line| line.parse::<u64>().ok());
            let line = line.map(|number| TextLine { number, end_column: 1 });
            (file.filter(|_| line.is_some()).unwrap_or(place), None, line)
        }
    };
    let line = line.unwrap_or(TextLine { number: 1, end_column: 1 });
    let logical = pointer.filter(|pointer| !pointer.is_empty());
    Location {
        physical_location: Physical {
            artifact_location: Artifact { uri: uri(file) },
            region: Region {
                start_line: line.number,
                start_column: 1,
                end_line: line.number,
                end_column: line.end_column,
            },
        },
        logical_locations: logical.map(|fully_qualified_name| [Logical { name, fully_qualified_name }]),
    }
}

/// A path as a relative reference (RFC 3986), or as the URI of a file where it is absolute.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.trim_start_matches("./");
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into());
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./infra/web nsg.json"), "infra/web%20nsg.json");
        assert_eq!(uri("/srv/a#b.json"), "file:///srv/a%23b.json");
        assert_eq!(uri("infra\\web.json"), "infra/web.json");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
