//! What lint writes: SARIF by its schema, waivers in it, the same bytes on one thread and on many.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::program::nsgsim;

const NETWORK: [&str; 5] =
    ["lint", "-s", "tests/cli/lint/network.json", "--tags", "tests/cli/lint/tags.json"];

/// What the program prints, and its exit status.
fn run(more: &[&str]) -> (String, Option<i32>) {
    let output = nsgsim(&NETWORK).args(more).output().expect("the program runs");
    (String::from_utf8(output.stdout).expect("UTF-8"), output.status.code())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The schema of SARIF 2.1.0 by OASIS, which a crate of types for it brings.
fn schema() -> Value {
    let said = |program: &str, arguments: &[&str]| {
        let top = env!("CARGO_MANIFEST_DIR");
        let output = Command::new(program).current_dir(top).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    // What other platforms need is not there.
    let version = said("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc tells its host");
    let arguments = ["metadata", "--format-version", "1", "--offline", "--filter-platform", host];
    let metadata = json(&said(env!("CARGO"), &arguments));
    let packages = metadata["packages"].as_array().expect("a list");
    let package = packages.iter().find(|package| package["name"] == "serde-sarif").expect("it is locked");
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    let schema = manifest.with_file_name("src").join("schema.json");
    let mut schema = json(&std::fs::read_to_string(schema).expect("the package holds the schema"));
    // A slip in the standard: this is no regular expression. No language is written.
    for part in ["run", "toolComponent"] {
        let language = schema.pointer_mut(&format!("/definitions/{part}/properties/language"));
        let language = language.and_then(Value::as_object_mut).expect("it has a language");
        let pattern = language.remove("pattern").expect("languages have a pattern");
        assert_eq!(pattern, "^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$");
    }
    schema
}

#[test]
fn sarif_is_what_its_schema_says() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let waived = ["--config", "tests/cli/lint/lint.yaml", "--today", "2026-12-01"];
    let all = ["--enable", "overlapping", "--format", "sarif"];
    for more in
        [&all[..], &[&all[..], &waived].concat(), &["--only", "exempt,UnknownKind", "--format", "sarif"]]
    {
        let log = json(&run(more).0);
        let wrong: Vec<String> = validator.iter_errors(&log).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{more:?}: {wrong:?}");
    }
    // The schema refuses what it should.
    assert!(!validator.is_valid(&serde_json::json!({"version": "2.1.0", "runs": [{"results": []}]})));
}

/// What GitHub asks for beyond the schema: <https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>.
#[test]
fn sarif_has_what_code_scanning_asks_for() {
    let log = json(&run(&["--format", "sarif"]).0);
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("a list");
    for rule in rules {
        for text in ["/shortDescription/text", "/fullDescription/text", "/help/text"] {
            assert!(
                rule.pointer(text).and_then(Value::as_str).is_some_and(|text| text.ends_with('.')),
                "{rule}"
            );
        }
    }
    let export = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/lint/network.json"),
    )
    .expect("the export is there");
    let lines: Vec<&str> = export.lines().collect();
    let mut fingerprints = Vec::new();
    for result in run["results"].as_array().expect("a list") {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("it is small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "tests/cli/lint/network.json");
        let region = |member: &str| place["region"][member].as_u64().expect("a number");
        let line = lines[usize::try_from(region("startLine") - 1).expect("it is small")];
        assert_eq!(region("startColumn"), 1);
        assert_eq!(region("endColumn"), line.chars().count() as u64 + 1);
        // A rule stands where its object begins.
        assert!(line.trim() == "{" || line.contains("destinationPortRange"), "{line}");
        fingerprints
            .push(result["partialFingerprints"]["nsgsimFinding/v1"].as_str().expect("a text").to_owned());
    }
    let count = fingerprints.len();
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!((fingerprints.len(), count > 10), (count, true));
}

#[test]
fn a_waived_finding_is_suppressed_with_its_reason_and_does_not_fail() {
    let waived = ["--config", "tests/cli/lint/lint.yaml", "--only", "internet-to-management,unused-waiver"];
    let (before, status) = run(&[&waived[..], &["--today", "2027-03-31", "--format", "json"]].concat());
    assert_eq!(status, Some(1), "the other rule is not waived");
    let before = json(&before);
    assert_eq!(before["counts"]["waived"], 1);
    let of_ssh = |json: &Value| {
        let findings = json["findings"].as_array().expect("a list").clone();
        findings.into_iter().find(|finding| finding["rule"] == "AllowSsh").expect("it is told")
    };
    assert_eq!(of_ssh(&before)["waived"]["reason"], "until the bastion host stands");
    let (after, _) = run(&[&waived[..], &["--today", "2027-04-01", "--format", "json"]].concat());
    let after = json(&after);
    assert_eq!(after["counts"]["waived"], 0);
    assert_eq!(of_ssh(&after)["waived"], Value::Null);

    let (log, _) = run(&[&waived[..], &["--today", "2027-03-31", "--format", "sarif"]].concat());
    let log = json(&log);
    let results = log["runs"][0]["results"].as_array().expect("a list");
    let suppressed: Vec<&Value> =
        results.iter().filter(|result| result["suppressions"] != serde_json::json!([])).collect();
    assert_eq!(suppressed.len(), 1);
    assert_eq!(suppressed[0]["suppressions"][0]["justification"], "until the bastion host stands");
}

#[test]
fn the_exit_status_is_that_of_the_heaviest_finding() {
    for (only, fail_on, expected) in [
        ("shadowed", "error", 0),
        ("shadowed", "warning", 1),
        ("redundant", "warning", 0),
        ("redundant", "note", 1),
        ("shadowed-opposite", "error", 1),
        ("shadowed-opposite", "none", 0),
    ] {
        let (_, status) = run(&["--only", only, "--fail-on", fail_on]);
        assert_eq!(status, Some(expected), "{only} {fail_on}");
    }
}

#[test]
fn threads_agree() {
    let of = |threads: &str| run(&["--enable", "overlapping", "--format", "json", "--threads", threads]).0;
    assert_eq!(of("1"), of("3"));
}
