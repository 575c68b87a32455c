//! The built program, as tests run it.

use std::process::Command;

/// The program with these arguments, run at the top of the repository.
pub(crate) fn nsgsim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgsim"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command
}
