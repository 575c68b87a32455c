//! The `conn.log` of Zeek in its own form: lines of values, described by lines that begin with `#`.
//!
//! The side that Zeek calls originator is the flow's source.

use std::io::Read;

use super::cells::Cells;
use super::columns::{Columns, Field};
use super::lines::{Line, Lines};
use super::{Lost, Next, Rows};
use crate::ingest::capture::shorten;
use crate::ingest::error::IngestError;

pub(super) struct ZeekRows {
    lines: Lines,
    columns: Columns,
    separator: String,
    /// What stands where there is no value.
    unset: String,
    positions: Vec<(Field, usize)>,
    /// How many fields `#fields` names; 0 before the first of such lines.
    fields: usize,
    rows: u64,
}

impl ZeekRows {
    pub(super) fn open(
        name: &str,
        stream: Box<dyn Read + Send>,
        columns: &Columns,
        cells: &mut Cells,
    ) -> Result<Self, IngestError> {
        let mut rows = Self {
            lines: Lines::new(stream),
            columns: columns.clone(),
            separator: "\t".to_owned(),
            unset: "-".to_owned(),
            positions: Vec::new(),
            fields: 0,
            rows: 0,
        };
        let content = |message: String| IngestError::content(name, message);
        while rows.fields == 0 {
            match rows.lines.advance() {
                Line::Whole if rows.lines.text().starts_with('#') => rows.describe(cells).map_err(content)?,
                Line::Whole | Line::Bad(_) | Line::End => {
                    return Err(content(
                        "no line `#fields` before the first row: expected a log of Zeek".to_owned(),
                    ));
                }
                Line::Broken(error) => return Err(IngestError::io(name, error)),
            }
        }
        Ok(rows)
    }

    /// Takes a line that begins with `#`. Logs that were put together have such lines in between.
    fn describe(&mut self, cells: &mut Cells) -> Result<(), String> {
        let line = self.lines.text();
        if let Some(separator) = line.strip_prefix("#separator ") {
            self.separator = unescaped(separator)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| format!("`{}`: expected a separator such as `\\x09`", shorten(line)))?;
            return Ok(());
        }
        let mut parts = line.split(self.separator.as_str());
        match (parts.next(), parts.next()) {
            (Some("#unset_field"), Some(unset)) => unset.clone_into(&mut self.unset),
            (Some("#path"), Some(path)) if !path.starts_with("conn") => {
                return Err(format!("`#path {}`: expected the log of connections, `conn`", shorten(path)));
            }
            (Some("#fields"), Some(first)) => {
                let names: Vec<String> = std::iter::once(first).chain(parts).map(str::to_owned).collect();
                self.positions = self.columns.positions(&names)?;
                self.fields = names.len();
                for (field, position) in &self.positions {
                    cells.name(*field, &names[*position]);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Rows for ZeekRows {
    fn next(&mut self, cells: &mut Cells) -> Next {
        loop {
            let offset = self.lines.taken();
            match self.lines.advance() {
                Line::End => return Next::End,
                Line::Broken(error) => return Next::Lost(Lost::unreadable(offset, self.rows, &error)),
                Line::Bad(message) => {
                    self.rows += 1;
                    return Next::Bad(message);
                }
                Line::Whole if self.lines.text().is_empty() => {}
                Line::Whole if self.lines.text().starts_with('#') => {
                    if let Err(message) = self.describe(cells) {
                        let message = format!("after row {}: {message}", self.rows);
                        let line = self.lines.taken() - offset;
                        let unread_bytes = self.lines.drain().map(|rest| line + rest);
                        return Next::Lost(Lost { offset, unread_bytes, message });
                    }
                }
                Line::Whole => break,
            }
        }
        self.rows += 1;
        let line = self.lines.text();
        let found = line.split(self.separator.as_str()).count();
        if found != self.fields {
            return Next::Bad(format!("has {found} values: `#fields` names {}", self.fields));
        }
        for (field, position) in &self.positions {
            let value = line.split(self.separator.as_str()).nth(*position).unwrap_or_default();
            if value != self.unset {
                cells.set(*field, value);
            }
        }
        Next::Row
    }

    fn taken(&self) -> u64 {
        self.lines.taken()
    }
}

/// A text with bytes written as `\x09`.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 2..at + 4)?;
        plain.push(char::from(u8::from_str_radix(code, 16).ok().filter(u8::is_ascii)?));
        rest = &rest[at + 4..];
    }
    plain.push_str(rest);
    Some(plain)
}
