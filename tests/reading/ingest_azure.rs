//! Azure exports become the network that they describe, and what is odd about them is told with its place.

#![expect(clippy::unwrap_used, reason = "a helper that finds its input broken fails the test")]

mod internet;
mod network;
mod refused;
mod rules;
mod services;
mod shared;
mod template;
mod terraform;
mod terraform_kinds;

use nsgsim::ingest::azure::{Document, Loaded, from_documents};
use nsgsim::ingest::error::IngestError;
use nsgsim::model::finding::{Finding, FindingCode};
use nsgsim::model::prefix::read_prefix;
use nsgsim::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};
use serde_json::{Value, json};

/// The ID of a resource of the network provider.
fn id(path: &str) -> String {
    format!("/subscriptions/0/resourceGroups/rg-a/providers/Microsoft.Network/{path}")
}

/// A reference to it.
fn reference(path: &str) -> Value {
    json!({ "id": id(path) })
}

/// Reads documents named `a.json`, `b.json`, ...
fn read(values: &[Value]) -> Result<Loaded, IngestError> {
    let names = ["a.json", "b.json", "c.json", "d.json", "e.json"];
    assert!(values.len() <= names.len());
    let document = |(name, value): (&&str, &Value)| Document {
        name: (*name).to_owned(),
        bytes: serde_json::to_vec(value).unwrap(),
    };
    from_documents(names.iter().zip(values).map(document).collect(), None)
}

fn load(values: &[Value]) -> Loaded {
    read(values).unwrap_or_else(|error| panic!("{error}"))
}

/// Code and place of each finding.
fn places(loaded: &Loaded) -> Vec<(FindingCode, &str)> {
    loaded.findings.iter().map(|finding| (finding.code, finding.place.as_str())).collect()
}

fn codes(findings: &[Finding]) -> Vec<FindingCode> {
    findings.iter().map(|finding| finding.code).collect()
}

/// A catalogue of these tags; what is in them is no matter.
fn catalog<'n>(names: impl IntoIterator<Item = &'n str>) -> TagCatalog {
    let mut catalog = TagCatalog::new(TagSource::default());
    for name in names {
        catalog.insert(ServiceTag {
            name: TagName::new(name),
            region: String::new(),
            system_service: String::new(),
            prefixes: vec![read_prefix("203.0.113.0/24").unwrap().prefix],
        });
    }
    catalog
}
