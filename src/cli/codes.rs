//! `nsgsim help`: a command's help, the reason codes, the assumptions, or the checks of `lint`.

use super::{CliError, Status, output};
use crate::model::assumptions::Clause;
use crate::model::finding::FindingCode;
use crate::model::lint::Check;
use crate::model::reason_code::ReasonCode;
use crate::report::lint::meaning;

/// Show help for a command, for `codes` (what the reason codes mean), for `assumptions` (the choices of --assume) or for
/// `checks` (what lint looks for)
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A command with its own commands, `codes`, `assumptions` or `checks`
    topic: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let mut command = super::command();
    command.build();
    let text = if args.topic == ["codes"] {
        codes()
    } else if args.topic == ["assumptions"] {
        assumptions()
    } else if args.topic == ["checks"] {
        checks()
    } else {
        let mut known = &mut command;
        for topic in &args.topic {
            known = known
                .find_subcommand_mut(topic)
                .ok_or_else(|| CliError::usage(format!("`{topic}`: no such command or topic")))?;
        }
        known.render_long_help().to_string()
    };
    output::write(None, &text)?;
    Ok(Status::Clean)
}

/// The clauses that leave a choice, and what Azure does under each.
fn assumptions() -> String {
    let mut text =
        "Assumptions: choices of --assume CLAUSE=CHOICE, where Azure's documentation is silent or \
                    contradicts itself.\nThe first of each clause is this project's decision.\n"
            .to_owned();
    for clause in Clause::ALL {
        text.push_str(&format!("\n{}  {}\n", clause.number(), clause.open()));
        for choice in clause.choices() {
            text.push_str(&format!("  {:<18} {}\n", choice.word(), choice.meaning()));
        }
    }
    text
}

/// What lint looks for.
fn checks() -> String {
    let mut text = "Checks: what `nsgsim lint` looks for, and how much it weighs; those marked * only where they are asked \
                    for\n"
        .to_owned();
    for check in Check::OWN {
        let mark = if check.is_usual() { "" } else { " *" };
        let severity = format!("{}{mark}", check.usual_severity());
        text.push_str(&format!("  {:<23} {severity:<8} {}\n", check.id(), meaning(check)));
    }
    text.push_str("\nThe group validation: what Azure refuses, or what was odd about the input\n");
    for code in FindingCode::ALL {
        let check = Check::Validation(*code);
        text.push_str(&format!("  {:<27} {:<8} {}\n", check.id(), check.usual_severity(), meaning(check)));
    }
    text
}

fn codes() -> String {
    let mut text = "Reason codes: why a record has no verdict of its own\n".to_owned();
    for code in ReasonCode::ALL {
        text.push_str(&format!("  {:<22} {}\n", code.as_str(), code.meaning()));
    }
    text.push_str("\nFindings: what is odd about an input; those marked * do not make --strict reject it\n");
    for code in FindingCode::ALL {
        text.push_str(&format!("  {}{}\n", code.as_str(), if code.is_warning() { " *" } else { "" }));
    }
    text
}
