//! How texts look. Colour never carries a meaning alone.

use crate::model::rule::Access;
use crate::model::verdict::VerdictKind;

/// What a text is made for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Form {
    /// Lines and columns, for a terminal.
    #[default]
    Plain,
    /// Markdown with the tables of GitHub's flavour.
    Markdown,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Style {
    /// What it is made for.
    pub form: Form,
    /// ANSI colours are written.
    pub colour: bool,
    /// Tables are made to fit the width of the terminal that standard output is.
    pub fits_terminal: bool,
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

    /// Something good, in its colour.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something bad.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Something that is not clear.
    #[must_use]
    pub fn unclear(self, text: &str) -> String {
        self.paint("33", text)
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
