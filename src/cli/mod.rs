//! The command line: one file a subcommand.
//!
//! In: arguments. Out: data on standard output, talk on standard error, and an exit status: 0 nothing to object, 1
//! findings, 2 usage or input error, 3 incomplete.

mod arguments;
mod bench;
mod codes;
mod completions;
mod diff;
mod effective;
mod ends;
mod explain;
mod flow_log;
mod gate;
mod r#gen;
mod inputs;
mod intent;
mod lint;
mod output;
mod page;
mod reach;
mod replay;
mod split;
mod suggest;
mod tags;
mod test;
mod traffic;
mod usage;
mod whatif;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use thiserror::Error;

use crate::compile::instructions::Instructions;
use crate::ingest::error::IngestError;

/// What would Azure do with this traffic, and which rule says so?
///
/// Reads a network as its owner exports it and replays captured traffic through it, offline.
#[derive(Debug, Parser)]
#[command(name = "nsgsim", version, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Explain(explain::Args),
    Replay(replay::Args),
    Effective(effective::Args),
    Tags(tags::Args),
    Gen(r#gen::Args),
    Whatif(whatif::Args),
    Diff(diff::Args),
    Reach(reach::Args),
    Test(test::Args),
    Usage(usage::Args),
    Suggest(suggest::Args),
    Lint(lint::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Help(codes::Args),
}

/// How a command ended that ran to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Status {
    /// Nothing to object.
    Clean,
    /// Something to look at.
    Findings,
    /// No finding, but more was left open than was allowed.
    Incomplete,
}

/// Why a command did not run to its end.
#[derive(Debug, Error)]
enum CliError {
    /// An input could not be read.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Arguments that do not go together, or that name nothing.
    #[error("{0}")]
    Usage(String),
    /// In strict mode: input that Azure would reject.
    #[error("{0} in strict mode: the input is rejected")]
    Strict(String),
    /// An output could not be written.
    #[error("{path}: cannot be written: {source}")]
    Output {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl CliError {
    fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Whoever read our output has left: that is no error.
    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    output::end_cleanly_on_interrupt();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is a usage error.
            let status = if error.use_stderr() { 2 } else { 0 };
            let _closed = error.print();
            return ExitCode::from(status);
        }
    };
    if let Err(message) = Instructions::asked_for() {
        eprintln!("error: {message}");
        return ExitCode::from(2);
    }
    let result = match cli.command {
        Command::Explain(args) => explain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Effective(args) => effective::run(&args),
        Command::Tags(args) => tags::run(&args),
        Command::Gen(args) => r#gen::run(&args),
        Command::Whatif(args) => whatif::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Reach(args) => reach::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Usage(args) => usage::run(&args),
        Command::Suggest(args) => suggest::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Help(args) => codes::run(&args),
    };
    match result {
        Ok(Status::Clean) => ExitCode::SUCCESS,
        Ok(Status::Findings) => ExitCode::from(1),
        Ok(Status::Incomplete) => ExitCode::from(3),
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// The whole command, for completions and help.
fn command() -> clap::Command {
    Cli::command()
}
