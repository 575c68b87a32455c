//! Compiles the C files and links what they call.

use std::process::Command;

/// What `acl.c` needs of DPDK, each before what it calls itself. `pkg-config` names every driver.
///
/// Linked statically: the shared library opens all drivers on the machine when it starts.
const DPDK: [&str; 10] = [
    "rte_acl",
    "rte_fib",
    "rte_rib",
    "rte_mempool_ring",
    "rte_mempool",
    "rte_rcu",
    "rte_ring",
    "rte_eal",
    "rte_telemetry",
    "rte_kvargs",
];

fn main() {
    for file in ["src/acl.c", "src/pcap.c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let missing = |library: &str, package: &str, error: &dyn std::fmt::Display| -> ! {
        panic!("{library} is not installed (Debian: apt-get install {package}): {error}")
    };
    let dpdk = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(false)
        .probe("libdpdk")
        .unwrap_or_else(|error| missing("DPDK", "libdpdk-dev", &error));
    let pcap = pkg_config::Config::new()
        .probe("libpcap")
        .unwrap_or_else(|error| missing("libpcap", "libpcap-dev", &error));

    cc::Build::new()
        .file("src/acl.c")
        .includes(&dpdk.include_paths)
        // DPDK's headers expect the file that it was configured with before anything else.
        .flag("-include")
        .flag("rte_config.h")
        .flag("-march=corei7")
        .define("ALLOW_EXPERIMENTAL_API", None)
        .flag("-Wno-deprecated-declarations")
        .opt_level(3)
        .compile("peers_acl");
    cc::Build::new().file("src/pcap.c").includes(&pcap.include_paths).opt_level(3).compile("peers_pcap");

    println!("cargo:rustc-link-search=native={}", library_folder());
    for library in DPDK {
        // Memory pools register themselves before `main`: nothing calls them by name.
        let kind =
            if library == "rte_mempool_ring" { "static:+whole-archive,-bundle" } else { "static:-bundle" };
        println!("cargo:rustc-link-lib={kind}={library}");
    }
    for library in ["bsd", "numa", "dl", "m", "pthread"] {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}

/// Where DPDK's archives lie; `pkg-config` leaves a folder out that the linker knows by itself.
fn library_folder() -> String {
    let asked = Command::new("pkg-config").args(["--variable=libdir", "libdpdk"]).output();
    let output = asked.expect("pkg-config answered before");
    String::from_utf8(output.stdout).expect("a folder's name is UTF-8").trim().to_owned()
}
