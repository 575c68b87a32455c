//! The values of one row, by what they say, whatever the format of the table.

use super::columns::Field;

/// The values of one row, in room that is used again for the next.
#[derive(Default)]
pub(super) struct Cells {
    cells: [Cell; Field::ALL.len()],
}

#[derive(Default)]
struct Cell {
    /// The column's name in the table; empty if it has none.
    column: String,
    /// The value as it stands there; empty if there is none.
    text: String,
    /// A value that is a time by its type, in nanoseconds since 1970.
    time_ns: Option<i128>,
}

impl Cells {
    /// Forgets the values, but not the columns' names.
    pub(super) fn clear(&mut self) {
        for cell in &mut self.cells {
            cell.text.clear();
            cell.time_ns = None;
        }
    }

    /// Says under which name a table has a field.
    pub(super) fn name(&mut self, field: Field, column: &str) {
        let cell = &mut self.cells[field as usize];
        if cell.column != column {
            cell.column.clear();
            cell.column.push_str(column);
        }
    }

    /// Takes a value. Tables write `-` and `null` where there is none.
    pub(super) fn set(&mut self, field: Field, text: &str) {
        let text = text.trim();
        let cell = &mut self.cells[field as usize];
        cell.text.clear();
        if text != "-" && !text.eq_ignore_ascii_case("null") {
            cell.text.push_str(text);
        }
    }

    /// Takes a value that is a time by its type.
    #[cfg(feature = "parquet")]
    pub(super) fn set_time(&mut self, field: Field, time_ns: i128) {
        self.cells[field as usize].time_ns = Some(time_ns);
    }

    /// The value as text, if there is one.
    pub(super) fn get(&self, field: Field) -> Option<&str> {
        Some(self.cells[field as usize].text.as_str()).filter(|text| !text.is_empty())
    }

    /// The value as a time, if it is one by its type.
    pub(super) fn time(&self, field: Field) -> Option<i128> {
        self.cells[field as usize].time_ns
    }

    /// The column's name, or the field's own where the table has no such column.
    pub(super) fn column(&self, field: Field) -> &str {
        let column = &self.cells[field as usize].column;
        if column.is_empty() { field.word() } else { column }
    }
}
