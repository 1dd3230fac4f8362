//! Aligned columns.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::Paint;

/// On which side the text of a column begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A text and how it looks.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::styled(Style::new(), text)
    }

    pub(crate) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }
}

/// Rows of cells. A row may end early; what it holds past the last column is not aligned.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = Align>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// A row of dimmed headings.
    pub(crate) fn headings(&mut self, headings: &[&str]) {
        self.row(headings.iter().map(|&heading| Cell::styled(Style::new().dimmed(), heading)));
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The rows as lines, without blanks at their ends.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let width_of = |column: usize| {
            // The last cell of a row may be as wide as it likes.
            let inner = self.rows.iter().filter(|row| row.len() > column + 1 || row.len() == self.columns.len());
            inner.filter_map(|row| row.get(column)).map(|cell| cell.text.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width_of).collect();
        self.rows.iter().map(|row| self.line(row, &widths, paint)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        let mut owed = 0;
        for (column, cell) in row.iter().enumerate() {
            let missing = widths.get(column).map_or(0, |width| width.saturating_sub(cell.text.width()));
            let align = self.columns.get(column).copied().unwrap_or(Align::Left);
            let before = if align == Align::Right { missing } else { 0 };
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(owed + before));
                line.push_str(&paint.style(cell.style, &cell.text));
                owed = 0;
            } else {
                owed += before;
            }
            owed += missing - before + 2;
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([Align::Left, Align::Right, Align::Left]);
        table.headings(&["name", "n", "why"]);
        table.row([Cell::new("a"), Cell::new("100"), Cell::new("x")]);
        table.row([Cell::new("日本"), Cell::new("7"), Cell::new("")]);
        table.row([Cell::new("b"), Cell::new("a longer remark")]);
        assert_eq!(table.lines(Paint::PLAIN), ["name    n  why", "a     100  x", "日本    7", "b     a longer remark"]);
    }
}
