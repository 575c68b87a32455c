//! Inputs from Azure Blob storage are those of a folder, whatever becomes of connections; held against Azurite.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "../support/capture_bytes/mod.rs"]
mod capture_bytes;
#[path = "../support/program.rs"]
mod program;
mod proxy;
mod server;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use capture_bytes::*;
use program::nsgsim;
use proxy::{Fault, Proxy};
use server::{ACCOUNT, Container, KEY, azurite};

/// The program with these arguments, its storage said to be at this address, and nothing of the tests' own environment.
fn at(service: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = nsgsim(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AZURE_") {
            command.env_remove(name);
        }
    }
    command
        .env("NO_PROXY", "*")
        .env("AZURE_STORAGE_USE_EMULATOR", "true")
        .env("AZURITE_BLOB_STORAGE_URL", format!("http://{service}"));
    command
}

const REPLAY: [&str; 7] = ["replay", "-q", "-s", "data/example", "--no-timing", "--format", "json"];

/// What a replay of these inputs answers.
fn replayed(service: SocketAddr, inputs: &[&str]) -> Output {
    at(service, &[&REPLAY, inputs].concat()).output().unwrap()
}

/// The answer of a run that succeeds.
#[track_caller]
fn answer(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a run says that is refused: one line, without the key.
#[track_caller]
fn refused(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "something stands on standard output");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains(&KEY[..8]) && !said.contains("sig="), "{said}");
    said
}

/// A capture of so many packets of 1,400 bytes from the example's web-2, to its app-1 and db-1 by turns.
fn capture(packets: u16) -> Vec<u8> {
    let mut capture = pcap_header(Order::Little, MICROSECONDS, 65535, 101);
    for number in 0..packets {
        let (network, port) = if number % 2 == 0 { (2, 8080_u16) } else { (3, 1433) };
        let mut packet = vec![0x45, 0, 5, 120, 0, 1, 0, 0, 64, 6, 0, 0, 10, 20, 1, 5, 10, 20, network, 4];
        packet.extend(number.to_be_bytes());
        packet.extend(port.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
        packet.resize(1400, 0);
        capture.extend(pcap_record(Order::Little, 1_700_000_000, u32::from(number), &packet, 1400));
    }
    capture
}

/// More than the first three ranges that are asked for together, and the end in a fourth.
const MANY: u16 = 6000;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Captures, logs and tables in folders, plain and compressed, beside what is none.
fn fill(folder: &Path) {
    let example = fs::read("data/example.pcap").unwrap();
    for inner in ["day", "day/deeper", "log", ".hidden"] {
        fs::create_dir_all(folder.join(inner)).unwrap();
    }
    fs::write(folder.join("day.pcap"), &example).unwrap();
    fs::write(folder.join("day/plain.pcap"), &example).unwrap();
    fs::write(folder.join("day/deeper/small one.pcap.gz"), gzip(&example)).unwrap();
    fs::write(folder.join("day/small.pcap.zst"), zstd::encode_all(&example[..], 3).unwrap()).unwrap();
    fs::write(folder.join(".hidden/left-out.pcap"), &example).unwrap();
    fs::write(folder.join("day/.left-out.pcap"), &example).unwrap();
    fs::write(folder.join("day/notes.txt"), "no capture").unwrap();
    fs::write(folder.join("empty.pcap"), "").unwrap();
    fs::copy("tests/cli/tables/conn.log", folder.join("conn.log")).unwrap();
    for (kind, name) in [("vnet-flow-log", "log/vnet.json"), ("nsg-flow-log", "log/nsg.json")] {
        let mut made =
            nsgsim(&["gen", "-q", "-s", "data/example", "--flows", "40", "--seed", "3", "--as", kind]);
        assert!(made.arg("-o").arg(folder.join(name)).status().unwrap().success());
    }
    let rows = folder.join("rows.parquet");
    if cfg!(feature = "parquet") {
        let mut made = nsgsim(&["replay", "-q", "-s", "data/example", "data/example.pcap", "--decisions"]);
        assert!(made.arg(rows).output().unwrap().status.success());
    }
}

#[test]
fn a_container_answers_as_the_folder_does() {
    let Some(azurite) = azurite() else { return };
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let container = Container::create(azurite, "same");
    container.put_folder(folder.path(), "");
    container.put_folder(folder.path(), "some/prefix/");

    let on_disk = folder.path().to_str().unwrap();
    let expected = answer(replayed(azurite.address, &[on_disk]));
    assert!(expected.contains("log/vnet.json") && !expected.contains("left-out"), "{expected}");
    for (address, input) in [
        ("az://same/some/prefix", "az://same/some/prefix"),
        ("az://same/some/prefix", "az://same/some/prefix/"),
    ] {
        let answer = answer(replayed(azurite.address, &[input]));
        assert_eq!(answer, expected.replace(on_disk, address), "{input}");
    }

    // One blob, one by one, and more than one address.
    let both = |place: &str| ["day.pcap", "log"].map(|name| format!("{place}/{name}"));
    let (files, blobs) = (both(on_disk), both("az://same"));
    let expected = answer(replayed(azurite.address, &files.each_ref().map(String::as_str)));
    let from_blobs = answer(replayed(azurite.address, &blobs.each_ref().map(String::as_str)));
    assert_eq!(from_blobs, expected.replace(on_disk, "az://same"));

    // The prefix is that of a folder: `da` is none.
    let said = refused(replayed(azurite.address, &["az://same/da"]));
    assert_eq!(said, "error: az://same/da: cannot be read: no such blob, and none below it\n");
    // A blob that is asked for must be an input.
    let said = refused(replayed(azurite.address, &["az://same/day/notes.txt"]));
    assert!(said.starts_with("error: az://same/day/notes.txt: "), "{said}");
}

#[test]
fn a_whole_container_and_a_network_can_be_read() {
    let Some(azurite) = azurite() else { return };
    let (traffic, network) = (Container::create(azurite, "whole"), Container::create(azurite, "network"));
    traffic.put("b/example.pcap", fs::read("data/example.pcap").unwrap());
    traffic.put("a.pcap", capture(10));
    network.put_folder(Path::new("data/example"), "exports/");
    network.put_folder(Path::new("data/example-candidate"), "candidate/");

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    fs::copy("data/example.pcap", folder.path().join("b/example.pcap")).unwrap();
    fs::write(folder.path().join("a.pcap"), capture(10)).unwrap();
    let on_disk = folder.path().to_str().unwrap();
    let ledger = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["ledger"].to_string();
    let expected = ledger(&answer(replayed(azurite.address, &[on_disk])).replace(on_disk, "az://whole"));
    for input in ["az://whole", "az://whole/"] {
        let arguments = ["replay", "-q", "-s", "az://network/exports", "--format", "json", input];
        assert_eq!(ledger(&answer(at(azurite.address, &arguments).output().unwrap())), expected);
    }

    let flips = |base, candidate, input| {
        let arguments =
            ["whatif", "-q", "--base", base, "--cand", candidate, input, "--no-timing", "--fail-on", "none"];
        answer(at(azurite.address, &arguments).output().unwrap())
    };
    assert_eq!(
        flips("az://network/exports", "az://network/candidate", "az://whole/b"),
        flips("data/example", "data/example-candidate", &format!("{on_disk}/b"))
            .replace(on_disk, "az://whole")
    );
}

#[test]
fn a_blob_of_several_ranges_is_whole() {
    let Some(azurite) = azurite() else { return };
    let container = Container::create(azurite, "ranges");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("many.pcap");
    fs::write(&file, capture(MANY)).unwrap();
    container.put("many.pcap", capture(MANY));
    let file = file.to_str().unwrap();
    let expected = answer(replayed(azurite.address, &[file]));
    assert!(
        expected.contains(&format!("\"read\": {MANY},")) || expected.contains(&format!("\"read\":{MANY},"))
    );
    let proxy = Proxy::start(azurite.address, Fault::default());
    let from_blob = answer(replayed(proxy.address, &["az://ranges/many.pcap"]));
    assert_eq!(from_blob, expected.replace(file, "az://ranges/many.pcap"));
    // Of what was opened for its first record alone only a first range was fetched.
    let size = capture(MANY).len() as u64;
    assert!((size..size + size / 8).contains(&proxy.carried()), "{} of {size}", proxy.carried());
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let Some(azurite) = azurite() else { return };
    let container = Container::create(azurite, "broken");
    container.put("many.pcap", capture(MANY));
    container.put("many.pcap.gz", gzip(&capture(MANY)));
    for (blob, per_connection) in [("many.pcap", 1_000_000), ("many.pcap.gz", 20_000)] {
        let address = format!("az://broken/{blob}");
        let expected = answer(replayed(azurite.address, &[&address]));
        let proxy = Proxy::start(azurite.address, Fault { per_connection, ..Fault::default() });
        assert_eq!(answer(replayed(proxy.address, &[&address])), expected);
        assert!(proxy.cuts() >= 3, "{blob}: {}", proxy.cuts());
    }
}

#[test]
fn a_connection_that_never_comes_back_ends_in_an_error() {
    let Some(azurite) = azurite() else { return };
    let container = Container::create(azurite, "dead");
    container.put("many.pcap", capture(MANY));
    let in_all = 3_000_000;
    let proxy = Proxy::start(azurite.address, Fault { in_all, ..Fault::default() });
    let started = Instant::now();
    let said = refused(replayed(proxy.address, &["az://dead"]));
    assert!(started.elapsed() < Duration::from_secs(120));
    let rest = said.strip_prefix("error: az://dead/many.pcap: cannot be read: from byte ").unwrap();
    let (byte, rest) = rest.split_once(" on: ").unwrap();
    assert!((1_000_000..in_all).contains(&byte.parse().unwrap()), "{said}");
    assert!(rest.starts_with("6 attempts in a row failed: "), "{said}");

    // Nothing listens.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = refused(replayed(nowhere, &["az://dead/many.pcap"]));
    let start = "error: az://dead/many.pcap: cannot be read: 6 attempts in a row failed: ";
    assert!(said.starts_with(start) && said.contains("refused"), "{said}");
}

#[test]
fn a_blob_that_changes_while_it_is_read_is_told() {
    let Some(azurite) = azurite() else { return };
    let container = Arc::new(Container::create(azurite, "changed"));
    container.put("many.pcap", capture(MANY));
    // In the second range of the second reading: the first was for the first record.
    let writer = Arc::clone(&container);
    let grow = move || writer.put("many.pcap", capture(MANY + 1));
    let at = Some((700_000, Box::new(grow) as Box<dyn FnOnce() + Send>));
    let proxy = Proxy::start(azurite.address, Fault { at, ..Fault::default() });
    let said = refused(replayed(proxy.address, &["az://changed"]));
    assert!(said.starts_with("error: az://changed/many.pcap: cannot be read: from byte "), "{said}");
    assert!(said.ends_with(" on: the blob has changed while it was read\n"), "{said}");
}

#[test]
fn a_blob_that_grows_before_it_is_read_is_read_as_it_is_then() {
    let Some(azurite) = azurite() else { return };
    let container = Arc::new(Container::create(azurite, "grown"));
    container.put("many.pcap", capture(1000));
    // While it is opened for its first record.
    let writer = Arc::clone(&container);
    let grow = move || writer.put("many.pcap", capture(MANY));
    let at = Some((200_000, Box::new(grow) as Box<dyn FnOnce() + Send>));
    let proxy = Proxy::start(azurite.address, Fault { at, ..Fault::default() });
    let through = answer(replayed(proxy.address, &["az://grown"]));
    assert_eq!(through, answer(replayed(azurite.address, &["az://grown"])));
    let ledger = serde_json::from_str::<serde_json::Value>(&through).unwrap()["ledger"]["read"].clone();
    assert_eq!(ledger, MANY);
}

#[test]
fn what_cannot_be_had_is_told_in_one_line() {
    let Some(azurite) = azurite() else { return };
    let container = Container::create(azurite, "told");
    container.put("a b/example.pcap", fs::read("data/example.pcap").unwrap());
    container.put("other.pcap", fs::read("data/example.pcap").unwrap());
    let arguments = |input| [&REPLAY[..], &[input]].concat();

    let said = refused(replayed(azurite.address, &["az://nowhere/logs"]));
    assert_eq!(said, "error: az://nowhere/logs: cannot be read: no such container\n");
    let said = refused(replayed(azurite.address, &["az://told/nothing"]));
    assert_eq!(said, "error: az://told/nothing: cannot be read: no such blob, and none below it\n");
    let said =
        refused(at(azurite.address, &["replay", "-q", "-s", "az://told/x.json", "-"]).output().unwrap());
    assert_eq!(said, "error: az://told/x.json: cannot be read: no such blob, and none below it\n");
    let tags = ["tags", "show", "Storage", "--tags", "az://told/a b"];
    let said = refused(at(azurite.address, &tags).output().unwrap());
    assert_eq!(said, "error: az://told/a b: cannot be read: no such blob\n");

    // Another key, or none that is one.
    let other = KEY.replace("Eby8", "Fby8");
    let said = refused(
        at(azurite.address, &arguments("az://told"))
            .env("AZURE_STORAGE_ACCOUNT_KEY", &other)
            .output()
            .unwrap(),
    );
    assert!(said.starts_with("error: az://told: cannot be read: access is denied"), "{said}");
    let said = refused(
        at(azurite.address, &arguments("az://told"))
            .env("AZURE_STORAGE_ACCOUNT_KEY", "!Eby8vdM!")
            .output()
            .unwrap(),
    );
    assert!(said.contains("the environment's settings for storage are refused: "), "{said}");

    // No account is named.
    let said = refused(
        at(azurite.address, &arguments("az://told"))
            .env_remove("AZURE_STORAGE_USE_EMULATOR")
            .output()
            .unwrap(),
    );
    assert!(said.ends_with("expected its name in AZURE_STORAGE_ACCOUNT_NAME\n"), "{said}");

    // An account at an address of its own.
    let by_endpoint = |scheme_allowed: bool| {
        let mut command = at(azurite.address, &arguments("az://told"));
        command
            .env_remove("AZURE_STORAGE_USE_EMULATOR")
            .env("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
            .env("AZURE_STORAGE_ACCOUNT_KEY", KEY)
            .env("AZURE_STORAGE_ENDPOINT", format!("http://{}/{ACCOUNT}", azurite.address));
        if scheme_allowed {
            command.env("AZURE_ALLOW_HTTP", "true");
        }
        command.output().unwrap()
    };
    assert_eq!(answer(by_endpoint(true)), answer(replayed(azurite.address, &["az://told"])));
    let said = refused(by_endpoint(false));
    assert!(said.contains("AZURE_STORAGE_ENDPOINT: expected `https://`"), "{said}");
}

#[test]
fn a_signature_suffices_and_is_never_told() {
    let Some(azurite) = azurite() else { return };
    let container = Container::create(azurite, "signed");
    container.put("a.pcap", capture(3));
    container.put("b.pcap", capture(3));
    let signature = container.signature("a.pcap");
    let signed = |input: &str| {
        let mut command = at(azurite.address, &[&REPLAY[..], &[input]].concat());
        command.env("AZURE_STORAGE_SAS_TOKEN", &signature).output().unwrap()
    };
    let expected = answer(replayed(azurite.address, &["az://signed/a.pcap"]));
    assert_eq!(answer(signed("az://signed/a.pcap")), expected);
    // It is not one for the other blob, nor for a list.
    let said = refused(signed("az://signed/b.pcap"));
    assert!(said.starts_with("error: az://signed/b.pcap: cannot be read: access is denied"), "{said}");
    let said = refused(signed("az://signed"));
    assert!(said.starts_with("error: az://signed: cannot be read: access is denied"), "{said}");
    // Where it does not belong.
    let said = refused(signed(&format!("az://signed/a.pcap?{signature}")));
    assert!(said.contains("AZURE_STORAGE_SAS_TOKEN"), "{said}");
    for address in ["az://", "https://example.org/container/blob", "https://acme.blob.core.windows.net/"] {
        let said = refused(signed(address));
        assert!(said.starts_with(&format!("error: {address}: cannot be read: expected ")), "{said}");
    }
}
