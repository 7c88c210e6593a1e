//! Tables for people: columns that stand below each other, in which no terminal obeys anything.

use unicode_width::UnicodeWidthStr as _;

use crate::report::harmless;

/// Characters of a cell at most.
const WIDEST: usize = 200;

/// Rows with a head.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// Adds a row, with as many cells as the head.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| shown(&cell)).collect());
    }

    /// The lines, the last cells of each without anything behind them.
    pub(super) fn text(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                match widths.get_mut(at) {
                    Some(width) => *width = (*width).max(cell.width()),
                    None => widths.push(cell.width()),
                }
            }
        }
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// One line of a text, cut where it is long.
fn shown(cell: &str) -> String {
    let line: String = cell.chars().map(|char| if char.is_whitespace() { ' ' } else { char }).collect();
    let cut = match line.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    };
    harmless(&cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_columns_stand_below_each_other_whatever_is_in_them() {
        let mut table = Table::new(&["NAME", "STATE", "REASON"]);
        table.row(["東京".to_owned(), "up".to_owned(), "a\nb\u{1b}[2J".to_owned()]);
        table.row(["w".to_owned(), "draining".to_owned(), String::new()]);
        assert_eq!(table.text(), "NAME  STATE     REASON\n東京  up        a b\\u{1b}[2J\nw     draining");
        table.row(["x".to_owned(), "y".to_owned(), "a".repeat(10_000)]);
        assert!(table.text().lines().all(|line| line.chars().count() < 230));
    }
}
