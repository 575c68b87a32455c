//! Wireshark's reader, which knows nothing of ours.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

/// Whether it is there. Where the environment says `NSGSIM_TSHARK=required`, it has to be.
pub(crate) fn is_there() -> bool {
    let is_required = std::env::var_os("NSGSIM_TSHARK").is_some_and(|value| value == "required");
    match Command::new("tshark").arg("--version").output() {
        Ok(output) => {
            assert!(output.status.success(), "tshark does not start");
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !is_required => {
            println!("tshark is not installed: nothing to hold our reader against");
            false
        }
        Err(error) => panic!("tshark: {error}"),
    }
}

/// What it says of a capture; where that is damaged, its exit status tells.
pub(crate) fn tshark(capture: &Path, arguments: &[&str]) -> Output {
    // Addresses stay numbers: nothing is looked up.
    Command::new("tshark")
        .args(["-n", "-r"])
        .arg(capture)
        .args(arguments)
        .output()
        .expect("tshark was there a moment ago")
}

/// One line of these fields for each packet; nothing of a capture whose link type it does not know.
pub(crate) fn fields(capture: &Path, names: &[&str]) -> Option<Vec<String>> {
    let mut arguments = vec!["-T", "fields"];
    for name in names {
        arguments.extend(["-e", *name]);
    }
    let output = tshark(capture, &arguments);
    if String::from_utf8_lossy(&output.stderr).contains("unknown or unsupported") {
        return None;
    }
    let text = String::from_utf8(output.stdout).expect("fields are text");
    Some(text.lines().map(str::to_owned).collect())
}
