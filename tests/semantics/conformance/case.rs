//! A case file, and how its inventory becomes a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nsgsim::analyze::findings;
use nsgsim::ingest::azure::tags;
use nsgsim::ingest::azure::{Deployment, Document, Loaded, from_documents_deployed};
use nsgsim::model::assumptions::Assumptions;
use nsgsim::model::finding::{Finding, FindingCode};
use nsgsim::model::tag::TagCatalog;
use serde_json::{Value, json};

/// One case.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) content: Value,
}

/// The cases of a folder, in the order of their names.
pub(crate) fn cases_in(folder: &Path) -> Vec<Case> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let content: Value =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let content = repeated(content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = |member: &str| content[member].as_str().unwrap_or_default().to_owned();
        Case { id: text("id"), title: text("title"), content }
    };
    paths.iter().map(read).collect()
}

/// Writes out what a case lists in short: `repeat` adds one value many times to a list of the inventory, with a number
/// that counts.
fn repeated(mut content: Value) -> Result<Value, String> {
    let repeats = content["repeat"].as_array().cloned().unwrap_or_default();
    for repeat in repeats {
        let pointer = repeat["at"].as_str().ok_or("a repetition says not where")?;
        let list = content["inventory"].pointer_mut(pointer).and_then(Value::as_array_mut);
        let list = list.ok_or(format!("no list stands at `{pointer}`"))?;
        let numbers =
            repeat["from"].as_u64().zip(repeat["to"].as_u64()).ok_or("a repetition has no numbers")?;
        list.extend((numbers.0..=numbers.1).map(|number| numbered(&repeat["value"], number)));
    }
    Ok(content)
}

/// A value with a number for each `{n}`; a text of nothing else becomes the number.
fn numbered(value: &Value, number: u64) -> Value {
    match value {
        Value::String(text) if text == "{n}" => json!(number),
        Value::String(text) => json!(text.replace("{n}", &number.to_string())),
        Value::Array(items) => items.iter().map(|item| numbered(item, number)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), numbered(member, number))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The tags of a case; a case without any knows the computed ones only.
pub(crate) fn tags_of(inventory: &Value) -> Result<Option<TagCatalog>, String> {
    Ok(tags_and_findings(inventory)?.0)
}

/// The tags of a case, and what was found about their file.
pub(crate) fn tags_and_findings(inventory: &Value) -> Result<(Option<TagCatalog>, Vec<Finding>), String> {
    match inventory.get("serviceTags") {
        None | Some(Value::Null) => Ok((None, Vec::new())),
        Some(tags) => {
            let bytes = serde_json::to_vec(tags).expect("a JSON value can be written");
            let read = tags::parse("serviceTags", &bytes).map_err(|error| error.to_string());
            read.map(|(catalog, findings)| (Some(catalog), findings))
        }
    }
}

/// Where the templates of a case are deployed.
pub(crate) fn deployment_of(case: &Value) -> Deployment {
    let mut deployment = Deployment::default();
    let scope = |member: &str| case["scope"][member].as_str().map(str::to_owned);
    if let Some((subscription, group)) = scope("subscriptionId").zip(scope("resourceGroup")) {
        (deployment.subscription, deployment.resource_group) = (subscription, group);
    }
    deployment
}

/// Reads an inventory as the program reads exports.
pub(crate) fn load(
    inventory: &Value,
    tags: Option<&TagCatalog>,
    deployment: &Deployment,
) -> Result<Loaded, String> {
    let mut resources = inventory.clone();
    if let Some(members) = resources.as_object_mut() {
        members.remove("serviceTags");
    }
    let bytes = serde_json::to_vec(&resources).expect("a JSON value can be written");
    let document = Document { name: "inventory.json".to_owned(), bytes };
    from_documents_deployed(vec![document], tags, deployment).map_err(|error| error.to_string())
}

/// Makes a change of a case in its inventory.
pub(crate) fn change(inventory: &mut Value, change: &Value) -> Result<(), String> {
    if change["op"] == "set" {
        return set(inventory, change);
    }
    let id = change["nsg"].as_str().ok_or("the change names no NSG")?;
    let nsgs = inventory["networkSecurityGroups"].as_array_mut().ok_or("the inventory lists no NSG")?;
    let nsg =
        nsgs.iter_mut().find(|nsg| nsg["id"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(id)));
    let nsg = nsg.ok_or(format!("the inventory has no NSG `{id}`"))?;
    let rules = if nsg.get("properties").is_some() {
        &mut nsg["properties"]["securityRules"]
    } else {
        &mut nsg["securityRules"]
    };
    let rules = rules.as_array_mut().ok_or("the NSG lists no rule")?;
    match change["op"].as_str() {
        Some("addRule") => rules.push(change["value"].clone()),
        Some("removeRule") => {
            let before = rules.len();
            rules.retain(|rule| rule["name"] != change["rule"]);
            if rules.len() == before {
                return Err(format!("the NSG has no rule {}", change["rule"]));
            }
        }
        other => return Err(format!("no change `{other:?}`")),
    }
    Ok(())
}

/// Gives a member of a resource another value.
fn set(inventory: &mut Value, change: &Value) -> Result<(), String> {
    let id = change["resource"].as_str().ok_or("the change names no resource")?;
    let lists = inventory.as_object_mut().ok_or("the inventory is no object")?.values_mut();
    let mut resources = lists.filter_map(Value::as_array_mut).flatten();
    let resource = resources.find(|resource| resource["id"] == id);
    let resource = resource.ok_or(format!("the inventory has no `{id}`"))?;
    let pointer = change["member"].as_str().ok_or("the change names no member")?;
    *resource.pointer_mut(pointer).ok_or(format!("`{id}` has no `{pointer}`"))? = change["value"].clone();
    Ok(())
}

/// All that is found about an inventory.
pub(crate) fn findings_of(loaded: Loaded, tags: &TagCatalog) -> Vec<Finding> {
    findings::all(loaded.findings, &loaded.network, tags, &loaded.nsg_places, Assumptions::default())
}

/// What the validator found, as `expectErrors` spells it: the codes of NSG-21 that Azure refuses.
pub(crate) fn errors_of(findings: &[Finding]) -> BTreeSet<String> {
    let refused = |code: FindingCode| NSG_21.contains(&code.as_str());
    let found = findings.iter().filter(|finding| refused(finding.code));
    found.map(|finding| spell(finding).to_string()).collect()
}

/// How the findings of the kinds that a case lists among its warnings differ from these. A warning of the case may leave
/// out any member but the code.
pub(crate) fn other_warnings<'a>(
    case: &Value,
    findings: impl Iterator<Item = &'a Finding>,
) -> Result<(), String> {
    let list = |member: &str| case[member].as_array().cloned().unwrap_or_default();
    let (expected, unwanted) = (list("expectWarnings"), list("expectNoWarnings"));
    let codes: Vec<&str> = FindingCode::ALL.iter().map(|code| code.as_str()).collect();
    for code in expected.iter().map(|one| &one["code"]).chain(&unwanted) {
        if !code.as_str().is_some_and(|code| codes.contains(&code)) {
            return Err(format!("the case names the code {code}, which is none"));
        }
    }
    let listed = |finding: &&Finding| {
        let code = finding.code.as_str();
        expected.iter().any(|one| one["code"] == code) || unwanted.iter().any(|one| one == code)
    };
    let found: Vec<Value> = findings.filter(listed).map(spell_whole).collect();
    let alike = |one: &Value, found: &Value| {
        one.as_object().is_some_and(|one| one.iter().all(|(member, value)| found[member] == *value))
    };
    let missing = expected.iter().find(|one| !found.iter().any(|found| alike(one, found)));
    let surplus = found.iter().find(|found| !expected.iter().any(|one| alike(one, found)));
    match (missing, surplus) {
        (None, None) => Ok(()),
        (Some(missing), _) => Err(format!("expected the warning {missing}, found {}", json!(found))),
        (None, Some(surplus)) => Err(format!("found the warning {surplus} as well")),
    }
}

/// A finding as `expectWarnings` spells it.
fn spell_whole(finding: &Finding) -> Value {
    let mut spelt = spell(finding);
    // Behind the name of the document stands the pointer.
    spelt["at"] = json!(finding.place.split_once('#').map(|(_, pointer)| pointer));
    spelt["refused"] = json!(!finding.code.is_warning());
    spelt
}

fn spell(finding: &Finding) -> Value {
    json!({"code": finding.code.as_str(), "nsg": finding.nsg, "rule": finding.rule})
}

/// The errors that a case expects.
pub(crate) fn expected_errors(case: &Value) -> BTreeSet<String> {
    let expected = case["expectErrors"].as_array().into_iter().flatten();
    expected
        .map(|error| json!({"code": error["code"], "nsg": error["nsg"], "rule": error["rule"]}).to_string())
        .collect()
}

/// The codes of NSG-21 less its warning.
const NSG_21: [&str; 21] = [
    "DuplicatePriority",
    "PriorityOutOfRange",
    "DuplicateRuleName",
    "InvalidRuleName",
    "InvalidProtocol",
    "InvalidPortRange",
    "InvalidAddressPrefix",
    "UnknownServiceTag",
    "MultipleServiceTags",
    "TagMixedWithPrefixes",
    "AsgMixedWithPrefixes",
    "TooManyAsgs",
    "AsgDifferentVirtualNetworks",
    "MixedAddressFamilies",
    "SingularAndPlural",
    "MissingField",
    "PlatformTagShape",
    "DescriptionTooLong",
    "TooManyRules",
    "TooManyPrefixes",
    "MissingRequiredRule",
];
