//! Networks that were not made for these tests: the conformance cases, and answers of the real service.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use nsgsim::ingest::azure::{Deployment, Document, Loaded, Side, from_documents, from_documents_deployed};
use nsgsim::model::finding::{Finding, FindingCode};
use nsgsim::model::network::Network;
use nsgsim::model::tag::TagCatalog;
use serde_json::Value;

use super::catalog;

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
        let tags = inventory.get("serviceTags").map(|tags| {
            let names = tags["values"].as_array().unwrap().iter();
            catalog(names.map(|tag| tag["name"].as_str().unwrap()))
        });
        let loaded = load(id, inventory, tags.as_ref());
        read += 1;
        // What the rules of a required subnet let through is for the evaluator to say.
        if case["kind"] == "validate" && id != "C162" {
            let expected = case["expectErrors"].as_array().unwrap().iter().map(|error| {
                let text = |name: &str| error[name].as_str().unwrap().to_owned();
                (text("code"), text("nsg"), text("rule"))
            });
            assert_eq!(errors(&loaded.findings), expected.collect(), "{id}");
            validated += 1;
        }
        // Cases of packets stand on networks that Azure would take; one is about altered default rules, one about an NSG
        // where Azure enforces none (FW-1).
        if case["kind"].is_null() && id != "C147" {
            let odd: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
            match id {
                "C166" => assert!(odd.len() == 1 && odd[0].contains(": NotEnforced: "), "{odd:?}"),
                _ => assert_eq!(odd, Vec::<String>::new(), "{id}"),
            }
        }
    }
    assert!(read > 100 && validated >= 12, "{read} read, {validated} validated");
}

/// Distinct IDs of the resources in a list of answers, by type; found without the reader's help.
fn ids_by_type(items: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in items {
        let id = item["id"].as_str().unwrap().to_ascii_lowercase();
        let segments: Vec<&str> = id.split('/').collect();
        ids.entry(segments[segments.len() - 2].to_owned()).or_default().insert(id.clone());
    }
    ids
}

fn assert_complete(name: &str, items: &[Value], network: &Network) {
    let ids = ids_by_type(items);
    let count = |kind: &str| ids.get(&kind.to_ascii_lowercase()).map_or(0, BTreeSet::len);
    assert_eq!(network.nsgs.len(), count("networkSecurityGroups"), "{name}");
    assert_eq!(network.vnets.len(), count("virtualNetworks"), "{name}");
    assert_eq!(network.public_ips.len(), count("publicIPAddresses"), "{name}");
    assert_eq!(network.route_tables.len(), count("routeTables"), "{name}");
    assert_eq!(network.load_balancers.len(), count("loadBalancers"), "{name}");
    assert!(network.asgs.len() >= count("applicationSecurityGroups"), "{name}");
    let of_endpoints = items.iter().filter(|item| item["properties"]["privateEndpoint"].is_object()).count();
    assert_eq!(network.nics.len() + of_endpoints, count("networkInterfaces"), "{name}");
    let children = |kind: &str, list: &str| -> usize {
        let is_kind = |item: &&Value| item["id"].as_str().unwrap().contains(&format!("/{kind}/"));
        let of = |item: &Value| item["properties"][list].as_array().map_or(0, Vec::len);
        items.iter().filter(is_kind).map(of).sum()
    };
    assert_eq!(network.subnets.len(), children("virtualNetworks", "subnets"), "{name}");
    let rules = network.nsgs.iter().flat_map(|nsg| &nsg.rules).filter(|rule| !rule.is_default).count();
    assert_eq!(rules, children("networkSecurityGroups", "securityRules"), "{name}");
    let routes: usize = network.route_tables.iter().map(|table| table.routes.len()).sum();
    assert_eq!(routes, children("routeTables", "routes"), "{name}");
}

#[test]
fn every_resource_of_real_lists_is_read() {
    let Some(shared) = shared("answers of the REST API") else { return };
    for file in json_files(&shared.join("data/azure/rest")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let page = parse(&file);
        let loaded = load(&name, &page, None);
        assert_complete(&name, page["value"].as_array().unwrap(), &loaded.network);
    }
}

#[test]
fn every_resource_of_recorded_networks_is_read() {
    let Some(shared) = shared("recorded networks") else { return };
    for file in json_files(&shared.join("data/azure/recorded")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let resources = parse(&file)["resources"].take();
        let loaded = load(&name, &resources, None);
        assert_complete(&name, resources.as_array().unwrap(), &loaded.network);
    }
}

#[test]
fn both_sides_of_every_terraform_plan_are_read() {
    let Some(shared) = shared("Terraform plans") else { return };
    for file in json_files(&shared.join("data/azure/terraform")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let plan = parse(&file);
        let side = |side| {
            let document = Document { name: name.clone(), bytes: serde_json::to_vec(&plan).unwrap() };
            let deployment = Deployment { side, ..Deployment::default() };
            from_documents_deployed(vec![document], None, &deployment)
                .unwrap_or_else(|error| panic!("{error}"))
        };
        let (base, candidate) = (side(Side::Base).network, side(Side::Candidate));
        // These plans build everything from nothing.
        assert!(base.vnets.is_empty() && base.nsgs.is_empty(), "{name}");
        let network = candidate.network;
        let count = |kind: &str| {
            let changes = plan["resource_changes"].as_array().unwrap().iter();
            changes.filter(|change| change["type"] == kind && change["mode"] == "managed").count()
        };
        assert_eq!(network.nsgs.len(), count("azurerm_network_security_group"), "{name}");
        assert_eq!(network.vnets.len(), count("azurerm_virtual_network"), "{name}");
        assert_eq!(network.public_ips.len(), count("azurerm_public_ip"), "{name}");
        assert_eq!(network.route_tables.len(), count("azurerm_route_table"), "{name}");
        assert_eq!(network.load_balancers.len(), count("azurerm_lb"), "{name}");
        assert_eq!(network.nics.len(), count("azurerm_network_interface"), "{name}");
        assert_eq!(network.subnets.len(), count("azurerm_subnet"), "{name}");
    }
}

#[test]
fn json_8_templates_of_others_are_read_or_refused_with_the_place() {
    let Some(shared) = shared("templates") else { return };
    let mut refused = Vec::new();
    let files = json_files(&shared.join("data/azure/arm"));
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let document = Document { name: name.clone(), bytes: fs::read(file).unwrap() };
        // What a template leaves open hangs on parameters without a value and on the running service.
        match from_documents(vec![document], None) {
            Ok(loaded) => {
                let network = &loaded.network;
                assert!(!network.nsgs.is_empty() || !network.vnets.is_empty(), "{name}");
            }
            Err(error) => {
                assert!(error.to_string().starts_with(&format!("{name}#/")), "{error}");
                refused.push(name);
            }
        }
    }
    assert!(refused.len() + 15 <= files.len(), "{refused:?}");
}
