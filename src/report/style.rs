//! Colour on a terminal, and tables without frames. Colour never carries a meaning alone.

use comfy_table::{CellAlignment, Table, presets};

use crate::model::rule::Access;
use crate::model::verdict::VerdictKind;

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Style {
    /// ANSI colours are written.
    pub colour: bool,
}

impl Style {
    /// A verdict in its colour: green, red, yellow for the rest.
    #[must_use]
    pub fn verdict(self, kind: VerdictKind) -> String {
        let code = match kind {
            VerdictKind::Allow => "32",
            VerdictKind::Deny => "31",
            VerdictKind::Mixed | VerdictKind::Undetermined => "33",
        };
        self.paint(code, &kind.to_string())
    }

    /// What a rule says, in the colour of the verdict that it leads to.
    #[must_use]
    pub fn access(self, access: Access) -> String {
        self.verdict(match access {
            Access::Allow => VerdictKind::Allow,
            Access::Deny => VerdictKind::Deny,
        })
    }

    /// A heading.
    #[must_use]
    pub fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Something of less weight.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Begins a section of a text: its heading, and a blank line between it and what stands before.
pub fn section(text: &mut String, style: Style, words: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&style.heading(words));
    text.push('\n');
}

/// A table without frames; columns named in `right` are right-aligned.
#[must_use]
pub fn plain(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if place == 0 { 2 } else { 1 }, 1));
        if right.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table as text without blanks at the ends of lines, each line closed.
#[must_use]
pub fn lines(table: &Table) -> String {
    table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
