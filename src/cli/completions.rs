//! `nsgsim completions`: completions for a shell.

use super::{CliError, Status, output};

/// Print completions for a shell
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "nsgsim", &mut bytes);
    output::write(None, &String::from_utf8_lossy(&bytes))?;
    Ok(Status::Clean)
}
