//! Azure exports become the network that they describe, and what is odd about them is told with its place.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nsgsim::ingest::azure::{Document, Loaded, from_documents};
use nsgsim::model::finding::{Finding, FindingCode};
use nsgsim::model::prefix::read_prefix;
use nsgsim::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};
use serde_json::Value;

/// The folder of shared test data; a test that needs it passes as a no-op where there is none.
fn shared(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NSGSIM_SHARED").map(PathBuf::from);
    if folder.is_none() {
        println!("{test}: NSGSIM_SHARED is not set: nothing tested");
    }
    folder
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn parse(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn load(name: &str, value: &Value, tags: Option<&TagCatalog>) -> Loaded {
    let bytes = serde_json::to_vec(value).unwrap();
    from_documents(vec![Document { name: name.to_owned(), bytes }], tags)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Code, NSG and rule of each finding that NSG-21 lists and that is an error.
fn errors(findings: &[Finding]) -> BTreeSet<(String, String, String)> {
    let listed = FindingCode::ALL.iter().position(|code| *code == FindingCode::MissingRequiredRule).unwrap();
    let codes = &FindingCode::ALL[..=listed];
    findings
        .iter()
        .filter(|finding| codes.contains(&finding.code) && !finding.code.is_warning())
        .map(|finding| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (finding.code.to_string(), text(&finding.nsg), text(&finding.rule))
        })
        .collect()
}

/// The tags of a case: name and prefixes are all that matters here.
fn catalog(tags: &Value) -> TagCatalog {
    let mut catalog = TagCatalog::new(TagSource::default());
    for tag in tags["values"].as_array().unwrap() {
        let prefixes = tag["properties"]["addressPrefixes"].as_array().unwrap();
        catalog.insert(ServiceTag {
            name: TagName::new(tag["name"].as_str().unwrap()),
            region: String::new(),
            system_service: String::new(),
            prefixes: prefixes
                .iter()
                .map(|text| read_prefix(text.as_str().unwrap()).unwrap().prefix)
                .collect(),
        });
    }
    catalog
}

#[test]
fn the_networks_of_the_conformance_cases_are_read_and_judged() {
    let Some(shared) = shared("conformance cases") else { return };
    let (mut read, mut validated) = (0, 0);
    for file in json_files(&shared.join("spec/conformance/cases")) {
        let case = parse(&file);
        let id = case["id"].as_str().unwrap();
        let format = case["inventoryFormat"].as_str().unwrap_or("az");
        if !case["inventory"].is_object() || !["az", "arm"].contains(&format) {
            continue;
        }
        let inventory = &case["inventory"];
        let tags = inventory.get("serviceTags").map(catalog);
        let loaded = load(id, inventory, tags.as_ref());
        read += 1;
        for finding in &loaded.findings {
            println!("{id}: {finding}");
        }
        // What the rules of a required subnet let through is for the evaluator to say.
        if case["kind"] == "validate" && id != "C162" {
            let expected = case["expectErrors"].as_array().unwrap().iter().map(|error| {
                let text = |name: &str| error[name].as_str().unwrap().to_owned();
                (text("code"), text("nsg"), text("rule"))
            });
            assert_eq!(errors(&loaded.findings), expected.collect(), "{id}");
            validated += 1;
        }
    }
    assert!(read > 100 && validated >= 12, "{read} read, {validated} validated");
}
