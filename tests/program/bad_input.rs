//! Bad input ends with exit status 2, a message that names the file and the place, nothing on standard output and no
//! file half written; never with a panic.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::packets::whole_within;
use crate::program::nsgsim;

const NETWORK: &str = "data/example";

fn output(arguments: &[&str]) -> Output {
    nsgsim(arguments).output().unwrap()
}

/// A folder of its own for a test, with files in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        text(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

/// Runs a command that must be refused, and holds its message against the words that it must name.
#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = output(arguments);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {talk}");
    assert!(output.stdout.is_empty(), "{arguments:?}: something stands on standard output");
    assert!(!talk.contains("panicked"), "{arguments:?}: {talk}");
    let error = talk.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    for word in words {
        assert!(error.contains(word), "{arguments:?}: expected `{word}` in: {talk}");
    }
}

#[track_caller]
fn refused_export(name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    let folder = Folder::new();
    let path = folder.file(name, content);
    let arguments = ["explain", "-q", "-s", &path, "--from", "10.0.0.1", "--to", "10.0.0.2"];
    refused(&arguments, &[&[path.as_str()], words].concat());
}

#[track_caller]
fn refused_capture(content: impl AsRef<[u8]>, words: &[&str]) {
    let folder = Folder::new();
    let path = folder.file("traffic.pcap", content);
    refused(&["replay", "-q", "-s", NETWORK, &path], &[&[path.as_str()], words].concat());
}

/// An export of one NSG with one rule, `member` of which has `value`.
fn nsg(member: &str, value: &str) -> String {
    let mut members = vec![
        ("priority", "100"),
        ("direction", "\"Inbound\""),
        ("access", "\"Allow\""),
        ("protocol", "\"Tcp\""),
        ("sourceAddressPrefix", "\"*\""),
        ("sourcePortRange", "\"*\""),
        ("destinationAddressPrefix", "\"*\""),
        ("destinationPortRange", "\"443\""),
    ];
    members.retain(|(name, _)| *name != member);
    members.push((member, value));
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let id = "/subscriptions/0/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg-a";
    format!(
        r#"[{{"id": "{id}", "name": "nsg-a", "type": "Microsoft.Network/networkSecurityGroups",
            "securityRules": [{{"name": "Web", {}}}]}}]"#,
        members.join(", ")
    )
}

#[test]
fn a_capture_that_is_none_is_refused_by_its_first_bytes() {
    refused_capture("", &["the file is empty", "pcap"]);
    refused_capture("PK\u{3}\u{4} and so on, a zip archive", &["50 4b 03 04", "expected a capture"]);
    refused_capture("[{\"id\": 1}]", &["no column for `src`", "found `id`"]);
}

#[test]
fn a_capture_cut_in_mid_record_counts_up_to_the_cut() {
    let folder = Folder::new();
    let whole = fs::read("data/example.pcap").unwrap();
    // In the middle of a packet.
    let path = folder.file("cut.pcap", &whole[..5000]);
    let output = output(&["replay", "-q", "-s", NETWORK, &path, "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ledger"]["read"], whole_within(&whole, 5000));
    assert_eq!(answer["damage"][0]["file"], path);
    assert_eq!(answer["damage"][0]["after_record"], whole_within(&whole, 5000));
}

#[test]
fn json_that_is_none_is_refused_with_line_and_column() {
    refused_export("empty.json", "", &["the file is empty"]);
    refused_export("cut.json", "[{\n  \"id\": \"/subs", &["cut.json:2:"]);
    refused_export("utf16.json", b"\xff\xfe[\0]\0", &["UTF-16"]);
    refused_export("foreign.json", "\u{1}\u{2}\u{3}", &["foreign.json"]);
}

#[test]
fn ten_thousand_levels_are_refused_and_overflow_no_stack() {
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    refused_export("deep.json", format!("{open}{close}"), &["nested", "127 levels"]);
    let (open, close) = ("{\"a\":".repeat(10_000), "}".repeat(10_000));
    refused_export("deep.json", format!("{open}1{close}"), &["nested", "127 levels"]);
    refused_export("deep.json", "[".repeat(10_000), &["nested", "127 levels"]);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_at_its_pointer() {
    let pointer = |member: &str| format!("nsg.json#/0/securityRules/0/{member}: ");
    for (member, value, shown) in [
        ("priority", "\"high\"", "`high`"),
        ("priority", "1.5", "`1.5`"),
        ("priority", "-5", "`-5`"),
        ("priority", "1e30", "not an integer"),
        ("direction", "\"Sideways\"", "`Sideways`"),
        ("access", "\"Maybe\"", "`Maybe`"),
    ] {
        refused_export("nsg.json", nsg(member, value), &[&pointer(member), "`Web`", shown]);
    }
    let rules = nsg("priority", "100")
        .replace("[{\"name\": \"Web\"", "{\"a\": [{\"name\": \"Web\"")
        .replace("}]}]", "}]}}]");
    refused_export("nsg.json", rules, &["nsg.json#/0/securityRules: ", "is not a list"]);
}

#[test]
fn what_azure_would_reject_is_rejected_in_strict_mode_with_its_code() {
    for (member, value, code) in [
        ("priority", "99", "PriorityOutOfRange"),
        ("priority", "4097", "PriorityOutOfRange"),
        ("protocol", "\"Sctp\"", "InvalidProtocol"),
        ("destinationPortRange", "\"99999\"", "InvalidPortRange"),
        ("sourceAddressPrefix", "\"10.0.0.1-10.0.0.9\"", "InvalidAddressPrefix"),
        (
            "sourceApplicationSecurityGroups",
            "[{\"id\": \"/subscriptions/0/resourceGroups/g/providers/Microsoft.Network/applicationSecurityGroups/gone\"}]",
            "MissingResource",
        ),
    ] {
        let folder = Folder::new();
        let path = folder.file("nsg.json", nsg(member, value));
        let arguments = ["explain", "-s", &path, "--strict", "--from", "10.0.0.1", "--to", "10.0.0.2"];
        refused(&arguments, &["in strict mode", "rejected"]);
        let talk = String::from_utf8(output(&arguments).stderr).unwrap();
        let place = format!("{path}#/0/securityRules/0/{member}");
        let named = |line: &str| line.contains(&place) && line.contains(code);
        assert!(talk.lines().any(named), "expected {place} with {code} in: {talk}");
    }
}

/// What is said about a rule of which `member` has `value`.
fn said_of(member: &str, value: &str) -> String {
    let folder = Folder::new();
    let path = folder.file("nsg.json", nsg(member, value));
    let output = output(&["explain", "-s", &path, "--from", "10.0.0.1", "--to", "10.0.0.2"]);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn host_bits_are_masked_and_told() {
    let talk = said_of("sourceAddressPrefix", "\"10.0.0.5/8\"");
    assert!(talk.contains("#/0/securityRules/0/sourceAddressPrefix: HostBitsSet"), "{talk}");
    assert!(talk.contains("`10.0.0.0/8`"), "{talk}");
}

#[test]
fn a_member_named_twice_is_told() {
    let talk = said_of("priority", "100, \"priority\": 200");
    assert!(talk.contains("#/0/securityRules/0/priority: DuplicateMember"), "{talk}");
}

/// A measurement must not run with other instructions than those that were asked for.
#[test]
fn instructions_that_the_processor_does_not_have_are_refused_with_those_that_it_has() {
    let mut command = nsgsim(&["replay", "-s", NETWORK, "data/example.pcap"]);
    let output = command.env("NSGSIM_INSTRUCTIONS", "mmx").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    assert!(said.contains("NSGSIM_INSTRUCTIONS: `mmx`") && said.contains("portable"), "{said}");
}

#[test]
fn a_folder_without_files_is_refused() {
    let folder = Folder::new();
    let path = text(folder.path().to_owned());
    refused(&["replay", "-q", "-s", NETWORK, &path], &[&path, "the folder is empty"]);
    refused(&["replay", "-q", "-s", &path, "data/example.pcap"], &[&path, "the folder is empty"]);
}

#[cfg(not(feature = "object-storage"))]
#[test]
fn blobs_are_refused_where_storage_was_not_built_in() {
    for address in ["az://logs/2026", "https://acme.blob.core.windows.net/logs/2026"] {
        let words = [address, "built without object storage", "the feature `object-storage`"];
        refused(&["replay", "-q", "-s", NETWORK, address], &words);
        refused(&["replay", "-q", "-s", address, "data/example.pcap"], &words);
    }
}

#[test]
fn a_name_that_nothing_has_is_refused() {
    let capture = "data/example.pcap";
    refused(&["replay", "-q", "-s", NETWORK, capture, "--at", "nobody"], &["`nobody`", "interface"]);
    refused(&["replay", "-q", "-s", NETWORK, capture, "--vnet", "nobody"], &["`nobody`", "virtual network"]);
    refused(&["effective", "-q", "-s", NETWORK, "--nic", "nobody"], &["`nobody`", "interface"]);
    refused(&["tags", "show", "-q", "nobody"], &["`nobody`", "service tag"]);
    refused(&["replay", "-q", "-s", NETWORK, capture, "--threads", "0"], &["--threads", "'0'"]);
}

#[test]
fn a_machine_with_two_interfaces_is_refused_with_their_ids() {
    let folder = Folder::new();
    let group = "/subscriptions/0/resourceGroups/g/providers";
    let nic = |name: &str| {
        format!(
            r#"{{"id": "{group}/Microsoft.Network/networkInterfaces/{name}", "name": "{name}",
                "type": "Microsoft.Network/networkInterfaces", "ipConfigurations": [],
                "virtualMachine": {{"id": "{group}/Microsoft.Compute/virtualMachines/vm-a"}}}}"#
        )
    };
    let path = folder.file("nics.json", format!("[{}, {}]", nic("nic-1"), nic("nic-2")));
    let ids = ["nic-1", "nic-2"].map(|name| format!("{group}/Microsoft.Network/networkInterfaces/{name}"));
    refused(&["effective", "-q", "-s", &path, "--nic", "vm-a"], &["`vm-a`", &ids[0], &ids[1]]);
    assert_eq!(output(&["effective", "-q", "-s", &path, "--nic", &ids[0]]).status.code(), Some(0));
}

#[test]
fn a_file_of_edits_that_is_none_is_refused_with_its_place() {
    let folder = Folder::new();
    let both = |path: &str, words: &[&str]| {
        let words = [&[path], words].concat();
        refused(&["diff", "-q", "--base", NETWORK, "--edit", path], &words);
        refused(&["whatif", "-q", "--base", NETWORK, "--edit", path, "data/example.pcap"], &words);
    };
    both("missing.yaml", &["cannot be read"]);
    both(&folder.file("bytes.yaml", b"- a\n- \xff\n"), &["bytes.yaml:2: ", "not UTF-8"]);
    both(&folder.file("map.yaml", "nsg: nsg-app"), &["map.yaml:1:1: ", "`nsg`", "expected a list"]);
    both(&folder.file("two.yaml", "[]\n---\n[]\n"), &["two.yaml:", "a second document"]);
    let rule = "- remove_rule:\n    nsg: nsg-db\n    name: AllowAppToSqk\n";
    both(&folder.file("rule.yaml", rule), &["rule.yaml:3:11: ", "`AllowAppToSqk`", "`nsg-db`"]);
    let number = "- change_rule:\n    nsg: nsg-db\n    name: AllowAppToSql\n    priority: 110\n";
    both(
        &folder.file("number.yaml", number),
        &["number.yaml:4:15: ", "`110`", "`AllowReplication`", "NSG-3"],
    );

    let edits = folder.file("edits.yaml", "[]");
    let candidate = "data/example-candidate";
    refused(
        &["diff", "-q", "--base", NETWORK, "--cand", candidate, "--edit", &edits],
        &["--cand", "cannot be used with"],
    );
    refused(&["diff", "-q", "--edit", &edits], &["required arguments"]);
    refused(
        &["diff", "-q", "--base", NETWORK, "--edit", "-"],
        &["--edit", "standard input", "expected a file"],
    );
}

#[test]
fn an_output_that_cannot_be_written_is_refused_by_the_name_that_was_given() {
    let folder = Folder::new();
    let path = text(folder.path().join("missing/answer.json"));
    let ends = ["--from", "10.20.1.5", "--to", "10.20.3.4:1433"];
    refused(
        &[&["explain", "-q", "-s", NETWORK, "-o", &path], &ends[..]].concat(),
        &[&path, "cannot be written"],
    );
    refused(
        &["replay", "-q", "-s", NETWORK, "data/example.pcap", "--decisions", &path.replace(".json", ".csv")],
        &["missing/answer.csv", "cannot be written"],
    );
    assert!(folder.names().is_empty());
}

#[test]
fn no_half_written_file_is_left_behind() {
    let folder = Folder::new();
    let [answer, rows] = ["answer.json", "rows.csv"].map(|name| text(folder.path().join(name)));
    let broken = folder.file("broken.pcap", "no capture");
    let arguments = ["replay", "-q", "-s", NETWORK, &broken, "--decisions", &rows, "-o", &answer];
    refused(&arguments, &[&broken]);
    assert_eq!(folder.names(), ["broken.pcap"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let many = ["gen", "-q", "-s", NETWORK, "--flows", "20000"];
    let rows = ["tags", "show", "-q", "AzureCloud", "--format", "json"];
    for arguments in [&many[..], &rows[..]] {
        let mut child = nsgsim(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 10]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
