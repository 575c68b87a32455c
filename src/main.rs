//! The `nsgsim` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    nsgsim::cli::main()
}
