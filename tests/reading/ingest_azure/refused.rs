//! Bad input is refused with its place, or told and left out; it never ends in a panic.

use std::fs;
use std::io::Write;

use nsgsim::ingest::azure::{self, Document, from_documents};
use nsgsim::model::finding::FindingCode::{DuplicateMember, IncompleteList, UnknownKind};
use serde_json::{Value, json};

use super::network::two_tiers;
use super::{id, load, places, read, terraform};

fn refusal(bytes: &[u8]) -> String {
    let document = Document { name: "a.json".to_owned(), bytes: bytes.to_vec() };
    from_documents(vec![document], None).unwrap_err().to_string()
}

#[test]
fn what_is_no_json_is_refused() {
    for (bytes, message) in [
        (&b""[..], "a.json: the file is empty: expected a JSON export"),
        (b" \r\n", "a.json: the file is empty: expected a JSON export"),
        (b"\x7fELF\x02\x01", "a.json:1:1: not JSON: expected value"),
        (b"{\"value\": [", "a.json:1:11: the JSON ends in the middle: EOF while parsing a list"),
        (b"[]]", "a.json:1:3: more follows after the end of the JSON: expected one JSON value in the file"),
        (b"\xff\xfe[\0]\0", "a.json: the text is UTF-16: expected JSON in UTF-8"),
    ] {
        assert_eq!(refusal(bytes), message);
    }
    assert!(refusal(&b"[".repeat(10_000)).contains("nested more than 127 levels deep"));
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_are_no_matter() {
    let text = serde_json::to_string_pretty(&two_tiers()).unwrap().replace('\n', "\r\n");
    let bytes = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let loaded = from_documents(vec![Document { name: "a.json".to_owned(), bytes }], None).unwrap();
    assert_eq!(loaded.network.nsgs.len(), 1);
}

#[test]
fn shapes_that_are_not_read_are_refused_by_name() {
    for (document, what) in [
        (json!([{ "$schema": "https://schema/deploymentTemplate.json#", "resources": [] }]), "a template"),
        (json!([{ "terraform_version": "1.9.0", "values": {} }]), "Terraform's state or plan"),
    ] {
        let error = read(&[document]).unwrap_err().to_string();
        let expected = format!("a.json#/0: {what} stands inside another document: expected");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn what_decides_nothing_is_told_once_a_kind_and_file() {
    let disk = |name: &str| {
        let id = id(&format!("disks/{name}")).replace("Microsoft.Network", "Microsoft.Compute");
        json!({ "id": id })
    };
    let loaded = load(&[
        json!([disk("a"), disk("b"), { "type": "Microsoft.Web/sites", "id": "/x" }]),
        json!([disk("a")]),
        json!({ "value": [{ "effectiveSecurityRules": [], "networkSecurityGroup": { "id": "/x" } }] }),
        json!({ "networkInterfaces": [{ "id": "/x", "securityRuleAssociations": {} }] }),
        json!("text"),
    ]);
    assert_eq!(
        places(&loaded),
        [
            (UnknownKind, "a.json#/0"),
            (UnknownKind, "a.json#/2"),
            (UnknownKind, "b.json#/0"),
            (UnknownKind, "c.json#/value/0"),
            (UnknownKind, "d.json#/networkInterfaces/0"),
            (UnknownKind, "e.json#"),
        ]
    );
    assert!(loaded.findings[0].message.contains("2 objects in this file: Microsoft.Compute/disks"));
    assert!(loaded.network.nics.is_empty());
}

#[test]
fn a_page_of_a_longer_list_is_told() {
    let page = json!({ "value": [{ "id": id("applicationSecurityGroups/g") }], "nextLink": "https://x" });
    let loaded = load(&[page, json!({ "value": [], "nextLink": null })]);
    assert_eq!(places(&loaded), [(IncompleteList, "a.json#/nextLink")]);
    assert_eq!(loaded.network.asgs.len(), 1);
}

#[test]
fn json_7_rows_of_resource_graph_are_resources_and_a_token_means_more() {
    let row = json!({ "id": id("applicationSecurityGroups/g"), "type": "microsoft.network/applicationsecuritygroups" });
    let answer = json!({ "count": 2, "data": [row, { "count_": 7 }], "skip_token": "x", "total_records": 9 });
    let last = json!({ "count": 0, "data": [], "skip_token": null, "total_records": 0 });
    let loaded = load(&[answer, last]);
    assert_eq!(places(&loaded), [(UnknownKind, "a.json#/data/1"), (IncompleteList, "a.json#/skip_token")]);
    assert_eq!(loaded.network.asgs.len(), 1);
    let error = read(&[json!({ "count": 1, "data": { "columns": [] } })]).unwrap_err().to_string();
    assert_eq!(error, "a.json#/data: data `{...}` is not a list");
}

#[test]
fn a_member_named_twice_is_told_and_the_last_counts() {
    let text = format!(
        r#"{{"id": "{}", "flushConnection": true, "FlushConnection": false}}"#,
        id("networkSecurityGroups/n")
    );
    let document = Document { name: "a.json".to_owned(), bytes: text.into_bytes() };
    let loaded = from_documents(vec![document], None).unwrap();
    assert_eq!(places(&loaded), [(DuplicateMember, "a.json#/FlushConnection")]);
    assert!(!loaded.network.nsgs[0].flush_connection);
}

#[test]
fn an_export_cut_off_anywhere_is_refused() {
    let bytes = serde_json::to_vec(&two_tiers()).unwrap();
    for end in 0..bytes.len() {
        assert!(refusal(&bytes[..end]).starts_with("a.json:"), "cut after {end} bytes");
    }
}

/// Every value of `value` replaced by `other`, one at a time.
pub(super) fn replaced(value: &Value, other: &Value) -> Vec<Value> {
    let mut all = vec![other.clone()];
    match value {
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                for changed in replaced(item, other) {
                    let mut copy = items.clone();
                    copy[position] = changed;
                    all.push(Value::Array(copy));
                }
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                for changed in replaced(member, other) {
                    let mut copy = members.clone();
                    copy.insert(name.clone(), changed);
                    all.push(Value::Object(copy));
                }
            }
        }
        _ => {}
    }
    all
}

#[test]
fn a_wrong_value_anywhere_gives_an_answer_or_an_error_with_a_place() {
    let mut refused = 0;
    for other in [json!(true), json!(-1), json!(1.5), json!("x"), json!(["x"]), json!({}), json!({ "id": 1 })]
    {
        let plan = replaced(&terraform::a_plan(), &other);
        for document in replaced(&two_tiers(), &other).into_iter().chain(plan) {
            if let Err(error) = read(std::slice::from_ref(&document)) {
                assert!(error.to_string().starts_with("a.json#"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn files_and_folders_are_read_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&serde_json::to_vec(&two_tiers()).unwrap()).unwrap();
    fs::create_dir(path("sub")).unwrap();
    fs::write(path("sub/network.dat"), packed.finish().unwrap()).unwrap();
    fs::write(path("groups.json"), "[]").unwrap();
    let loaded = azure::load(&[folder.path().to_owned()], None).unwrap();
    assert_eq!((loaded.network.nsgs.len(), loaded.findings.len()), (1, 0));

    fs::write(path("notes.txt"), "hello").unwrap();
    // What lies beside exports in a folder is named and left alone; what was asked for must be an export.
    let loaded = azure::load(&[folder.path().to_owned()], None).unwrap();
    let places: Vec<&str> = loaded.findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, [path("notes.txt").to_str().unwrap()]);
    let error = azure::load(&[path("notes.txt")], None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:1:", path("notes.txt").display())), "{error}");
    // An export that breaks off is no note.
    fs::write(path("cut.json"), "[{").unwrap();
    let error = azure::load(&[folder.path().to_owned()], None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:1:", path("cut.json").display())), "{error}");
    fs::create_dir(path("empty")).unwrap();
    let error = azure::load(&[path("empty")], None).unwrap_err().to_string();
    assert!(error.contains("the folder is empty"), "{error}");
    let error = azure::load(&[path("missing.json")], None).unwrap_err().to_string();
    assert!(error.contains("missing.json: cannot be read"), "{error}");
}

#[test]
fn a_list_of_an_inventory_that_is_none_is_refused() {
    for value in [json!({}), json!("x"), json!(1)] {
        let error = read(&[json!({ "networkSecurityGroups": value, "routeTables": [] })]).unwrap_err();
        assert!(error.to_string().ends_with("is not a list"), "{error}");
    }
    let page = json!({ "networkSecurityGroups": { "value": [{ "id": id("networkSecurityGroups/n") }] } });
    assert_eq!(load(&[page]).network.nsgs.len(), 1);
}
