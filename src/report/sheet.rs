//! Texts in sections, with tables and loose lines: for a terminal, or in Markdown.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, presets};

use super::style::{Form, Style};

/// A text under way.
pub struct Sheet {
    /// How it is written.
    pub style: Style,
    text: String,
    /// Lines since the last heading or table: in Markdown they become one block.
    loose: String,
}

/// A table: columns with headings, some of them of figures, which stand to the right.
pub struct Table {
    header: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows; columns named in `right` are right-aligned.
    #[must_use]
    pub fn new(header: &[&'static str], right: &[usize]) -> Self {
        Self { header: header.to_vec(), right: right.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, a text for each column.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Without a frame.
    fn plain(&self, style: Style) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.header.clone());
        if style.fits_terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if place == 0 { 2 } else { 1 }, 1));
            if self.right.contains(&place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.add_rows(&self.rows);
        // Without blanks at the ends of lines, each line closed.
        table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let cells: Vec<String> = cells.collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = |place| if self.right.contains(&place) { "---:" } else { "---" }.to_owned();
        let mut text = line(&mut self.header.iter().map(|name| escaped(name)));
        text += &line(&mut (0..self.header.len()).map(rule));
        for row in &self.rows {
            text += &line(&mut row.iter().map(|cell| escaped(cell.trim())));
        }
        text
    }
}

impl Sheet {
    /// An empty sheet.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { style, text: String::new(), loose: String::new() }
    }

    /// Begins a section.
    pub fn section(&mut self, words: &str) {
        self.close();
        self.part();
        match self.style.form {
            Form::Plain => self.text += &self.style.heading(words),
            Form::Markdown => self.text += &format!("### {}", escaped(words)),
        }
        self.text.push('\n');
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) {
        self.close();
        match self.style.form {
            Form::Plain => self.text += &table.plain(self.style),
            Form::Markdown => {
                self.part();
                self.text += &table.markdown();
            }
        }
    }

    /// Adds a loose line.
    pub fn line(&mut self, line: &str) {
        self.loose += line;
        self.loose.push('\n');
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.loose.is_empty()
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.close();
        self.text
    }

    /// A blank line between what stands there and what comes.
    fn part(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// Puts the loose lines in their place.
    fn close(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        match self.style.form {
            _ if loose.trim().is_empty() => self.text += &loose,
            Form::Plain => self.text += &loose,
            Form::Markdown => {
                self.part();
                self.text += &fenced(&loose);
            }
        }
    }
}

impl fmt::Write for Sheet {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.loose.write_str(text)
    }
}

/// Lines as a block that Markdown shows as they are.
fn fenced(lines: &str) -> String {
    // A fence is longer than every row of backticks within it.
    let longest = lines.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: String =
        lines.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    format!("{fence}text\n{}\n{fence}\n", lines.trim_matches('\n'))
}

/// A text without marks of Markdown. What GitHub makes links of by itself, as `www.example.com`, it still does.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '|' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '~' | '#' | '&' => {
                escaped.extend(['\\', letter]);
            }
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::{Form, Sheet, Style, Table};

    fn sheet(form: Form) -> String {
        let mut sheet = Sheet::new(Style { form, ..Style::default() });
        sheet.section("Flows of a|b");
        let mut table = Table::new(&["flows", "rule"], &[0]);
        table.add_row(["1,200".to_owned(), "allow_<web>".to_owned()]);
        table.add_row(["7".to_owned(), String::new()]);
        sheet.table(&table);
        writeln!(sheet, "  and 3 more: ```").unwrap();
        writeln!(sheet, "    indented").unwrap();
        sheet.section("Ledger");
        writeln!(sheet, "  read  7").unwrap();
        sheet.finish()
    }

    #[test]
    fn a_terminal_gets_headings_and_columns() {
        let expected = "Flows of a|b\n  flows  rule\n  1,200  allow_<web>\n      7\n  and 3 more: ```\n    indented\n\nLedger\n  read  7\n";
        assert_eq!(sheet(Form::Plain), expected);
    }

    #[test]
    fn markdown_gets_tables_blocks_and_no_marks_of_the_inputs_own() {
        let expected = "### Flows of a\\|b\n\n| flows | rule |\n| ---: | --- |\n| 1,200 | allow\\_\\<web\\> |\n| 7 |  |\n\n````text\nand 3 more: ```\n  indented\n````\n\n### Ledger\n\n```text\nread  7\n```\n";
        assert_eq!(sheet(Form::Markdown), expected);
    }
}
