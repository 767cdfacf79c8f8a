//! Output of a command: text for people, one JSON object for scripts.

use std::fmt::Write;

use anyhow::Error;
use serde_json::Value;

/// The result of a command.
#[derive(Debug)]
pub struct Report {
    /// For people, with a line end.
    pub text: String,
    /// For scripts.
    pub json: Value,
    /// False where a check said no: exit status 1.
    pub is_ok: bool,
    /// Why a part of the result is missing: explained after the rest is printed, with exit status 2.
    pub failure: Option<Error>,
}

impl Report {
    /// A result that is no check.
    pub fn new(text: String, json: Value) -> Self {
        Self {
            text,
            json,
            is_ok: true,
            failure: None,
        }
    }

    /// The result of a check.
    pub fn check(text: String, json: Value, is_ok: bool) -> Self {
        Self {
            is_ok,
            ..Self::new(text, json)
        }
    }
}

/// A table with aligned columns: those whose cells are numbers to the right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(heads: &[&str]) -> Self {
        Self {
            rows: vec![heads.iter().map(ToString::to_string).collect()],
        }
    }

    /// Adds a row, with as many cells as there are heads.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows[0].len();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                cells(column)
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let is_number = |cell: &String| cell.is_empty() || cell.parse::<f64>().is_ok();
        let to_right: Vec<bool> = (0..columns)
            .map(|column| self.rows.len() > 1 && cells(column).skip(1).all(is_number))
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                let separator = if column == 0 { "" } else { "  " };
                match to_right[column] {
                    true => write!(line, "{separator}{cell:>width$}")?,
                    false => write!(line, "{separator}{cell:<width$}")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Bytes for people: `18.6 MB`, `140.2 kB`, `77 B`.
pub fn bytes(count: usize) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.2} MB", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut table = Table::new(&["layer", "us"]);
        table.row(["stem".into(), "7".into()]);
        table.row(["head".into(), "1234".into()]);
        assert_eq!(table.to_string(), "layer    us\nstem      7\nhead   1234\n");
    }
}
