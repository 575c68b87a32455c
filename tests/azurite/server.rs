//! Azurite, Microsoft's emulator of Azure Storage, as tests run it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::signer::Signer;
use object_store::{ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

/// The account that the emulator always has.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";

/// The key of that account, which Microsoft publishes.
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Runs Azurite's blob service until nobody holds its standard input any more, be it that the tests were killed.
const LAUNCHER: &str = r#"
process.argv.splice(1, 0, "azurite-blob");
process.stdin.resume();
process.stdin.on("end", () => process.exit());
require(process.cwd() + "/target/azurite/node_modules/azurite/dist/src/blob/main.js");
"#;

/// A service that runs as long as these tests.
pub(crate) struct Azurite {
    pub(crate) address: SocketAddr,
    _process: Child,
}

/// The one service of all tests, if it is installed. Where the environment says `NSGSIM_AZURITE=required`, it has to be.
pub(crate) fn azurite() -> Option<&'static Azurite> {
    static RUNNING: OnceLock<Option<Azurite>> = OnceLock::new();
    RUNNING.get_or_init(start).as_ref()
}

fn start() -> Option<Azurite> {
    let is_required = std::env::var_os("NSGSIM_AZURITE").is_some_and(|value| value == "required");
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_installed = top.join("target/azurite/node_modules/azurite").is_dir();
    if !is_installed || Command::new("node").arg("--version").output().is_err() {
        assert!(!is_required, "target/azurite holds no Azurite, or there is no node: .ci/run installs them");
        println!("skipped: target/azurite holds no Azurite, or there is no node: .ci/run installs them");
        return None;
    }
    let mut process = Command::new("node")
        .args(["-e", LAUNCHER, "--", "--blobHost", "127.0.0.1", "--blobPort", "0", "--silent"])
        .args(["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"])
        .current_dir(top)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .find_map(|line| line.unwrap().split_once("successfully listens on http://")?.1.parse().ok())
        .expect("Azurite says where it listens");
    // What it says later is read too, or it would wait for that.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Azurite { address, _process: process })
}

/// A container of a test's own, and the way to it that the program under test does not take.
pub(crate) struct Container {
    store: MicrosoftAzure,
    runtime: Runtime,
}

impl Container {
    pub(crate) fn create(azurite: &Azurite, name: &str) -> Self {
        create(azurite.address, name);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_container_name(name)
            .with_endpoint(format!("http://{}/{ACCOUNT}", azurite.address))
            .with_allow_http(true)
            .build()
            .unwrap();
        Self { store, runtime }
    }

    /// Puts a blob in, in place of one that has its name.
    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        let payload = PutPayload::from(bytes);
        self.runtime.block_on(self.store.put(&path.into(), payload)).unwrap();
    }

    /// Puts in what a folder holds, files of its folders with it.
    pub(crate) fn put_folder(&self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.path().is_dir() {
                self.put_folder(&entry.path(), &format!("{name}/"));
            } else {
                self.put(&name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// A shared access signature with which one blob can be read, for ten minutes.
    pub(crate) fn signature(&self, path: &str) -> String {
        // The library names no type of methods; a request gets what it is made for.
        let get = HttpRequest::new(HttpRequestBody::empty()).method().clone();
        let path = path.into();
        let signed = self.store.signed_url(get, &path, Duration::from_secs(600));
        self.runtime.block_on(signed).unwrap().query().unwrap().to_owned()
    }
}

/// Creates a container, which the library does not: one request with a shared key.
///
/// Source: Microsoft Learn, "Authorize with Shared Key", read 2026-11.
fn create(address: SocketAddr, name: &str) {
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-12-02");
    let signed =
        format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
    let signature = BASE64_STANDARD.encode(hmac(&BASE64_STANDARD.decode(KEY).unwrap(), signed.as_bytes()));
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
         Connection: close\r\n{}\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\n\r\n",
        headers.replace('\n', "\r\n"),
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

/// HMAC with SHA-256 (RFC 2104), of a key no longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}
