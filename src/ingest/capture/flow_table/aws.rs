//! Flow logs of AWS VPCs in their text form: values parted by spaces, under a header line or in the order of version 2.

use std::io::Read;

use super::cells::Cells;
use super::columns::{Columns, Field};
use super::lines::{Line, Lines};
use super::{Lost, Next, Rows};
use crate::ingest::error::IngestError;

/// The fields of the default format. SOURCE: AWS, "Flow log records", read 2026-11.
const VERSION_2: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// Whether a line names fields.
pub(super) fn is_header(line: &str) -> bool {
    let has = |name: &str| line.split(' ').any(|field| field == name);
    has("srcaddr") && has("dstaddr")
}

/// Whether a line is a record of the default format.
pub(super) fn is_default_record(line: &str) -> bool {
    let mut fields = line.split(' ');
    fields.next() == Some("2")
        && line.split(' ').count() == VERSION_2.split(' ').count()
        && fields.next_back().is_some_and(|status| matches!(status, "OK" | "NODATA" | "SKIPDATA"))
}

pub(super) struct AwsRows {
    lines: Lines,
    columns: Columns,
    positions: Vec<(Field, usize)>,
    /// How many fields a record has.
    fields: usize,
    /// Whether the line that the reader stands on is still to be taken.
    ahead: bool,
    rows: u64,
}

impl AwsRows {
    pub(super) fn open(
        name: &str,
        stream: Box<dyn Read + Send>,
        columns: &Columns,
        cells: &mut Cells,
    ) -> Result<Self, IngestError> {
        let mut rows = Self {
            lines: Lines::new(stream),
            columns: columns.clone(),
            positions: Vec::new(),
            fields: 0,
            ahead: true,
            rows: 0,
        };
        let header = match rows.lines.advance() {
            Line::Whole if is_header(rows.lines.text()) => {
                rows.ahead = false;
                rows.lines.text().to_owned()
            }
            Line::Whole => VERSION_2.to_owned(),
            Line::Bad(message) => return Err(IngestError::content(name, message)),
            Line::End => return Err(IngestError::content(name, "the file is empty")),
            Line::Broken(error) => return Err(IngestError::io(name, error)),
        };
        rows.take_header(&header, cells).map_err(|message| IngestError::content(name, message))?;
        Ok(rows)
    }

    fn take_header(&mut self, header: &str, cells: &mut Cells) -> Result<(), String> {
        let names: Vec<String> = header.split(' ').map(str::to_owned).collect();
        self.positions = self.columns.positions(&names)?;
        self.fields = names.len();
        for (field, position) in &self.positions {
            cells.name(*field, &names[*position]);
        }
        Ok(())
    }
}

impl Rows for AwsRows {
    fn next(&mut self, cells: &mut Cells) -> Next {
        loop {
            let offset = self.lines.taken();
            let line = if std::mem::take(&mut self.ahead) { Line::Whole } else { self.lines.advance() };
            match line {
                Line::End => return Next::End,
                Line::Broken(error) => return Next::Lost(Lost::unreadable(offset, self.rows, &error)),
                Line::Bad(message) => {
                    self.rows += 1;
                    return Next::Bad(message);
                }
                Line::Whole if self.lines.text().trim().is_empty() => {}
                // Files that were put together have a header line for each.
                Line::Whole if is_header(self.lines.text()) => {
                    let header = self.lines.text().to_owned();
                    if let Err(message) = self.take_header(&header, cells) {
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
        let found = line.split(' ').count();
        if found != self.fields {
            return Next::Bad(format!("has {found} fields: expected {}", self.fields));
        }
        for (field, position) in &self.positions {
            cells.set(*field, line.split(' ').nth(*position).unwrap_or_default());
        }
        Next::Row
    }

    fn taken(&self) -> u64 {
        self.lines.taken()
    }
}
