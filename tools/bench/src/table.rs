//! Answers as tables in Markdown, aligned so that they read as plain text too.

use crate::measure::Spread;

/// A table; the first column holds words, the others figures.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new<S: ToString>(columns: &[S]) -> Self {
        Self { rows: vec![columns.iter().map(S::to_string).collect()] }
    }

    /// Adds a row, of as many cells as there are columns.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "each column has a cell");
        self.rows.push(cells);
    }

    /// The table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default().max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            text += &line(row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            }));
            if number == 0 {
                text += &line(widths.iter().enumerate().map(|(column, &width)| {
                    if column == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
                }));
            }
        }
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Operations a second, in millions: the median, and in brackets how far the figures spread.
pub(crate) fn millions(rate: Spread) -> String {
    let Spread { median, least, most } = rate.scaled(1e-6);
    let digits = if median < 10.0 { 2 } else { 1 };
    format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
}

/// How many times the other.
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// Bytes, in KiB or MiB.
pub(crate) fn bytes(bytes: usize) -> String {
    let kibibytes = bytes as f64 / 1024.0;
    if kibibytes < 1024.0 { format!("{kibibytes:.0} KiB") } else { format!("{:.1} MiB", kibibytes / 1024.0) }
}

/// Seconds as milliseconds.
pub(crate) fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::{Table, bytes};

    #[test]
    fn words_stand_left_and_figures_right() {
        let mut table = Table::new(&["set", "M/s"]);
        table.push(vec!["acl1_1k".to_owned(), "9".to_owned()]);
        assert_eq!(table.markdown(), "| set     | M/s |\n| ------- | --: |\n| acl1_1k |   9 |\n");
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!((bytes(2048).as_str(), bytes(3 << 19).as_str()), ("2 KiB", "1.5 MiB"));
    }
}
