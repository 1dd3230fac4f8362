//! Tables of a report, in a terminal.

use std::io::{self, Write};

use depthscale_report as report;

use super::{Align, Cell, Paint, Table};

/// Prints tables one below the other, each under its caption.
pub(crate) fn print_tables(tables: &[report::Table]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (at, table) in tables.iter().enumerate() {
        if at > 0 {
            writeln!(stdout)?;
        }
        if let Some(caption) = &table.caption {
            writeln!(stdout, "{caption}")?;
        }
        for line in aligned(table).lines(Paint::stdout()) {
            writeln!(stdout, "{line}")?;
        }
    }
    Ok(())
}

fn aligned(table: &report::Table) -> Table {
    let mut aligned = Table::new(table.headings.iter().map(|heading| match heading.align {
        report::Align::Left => Align::Left,
        report::Align::Right => Align::Right,
    }));
    let headings: Vec<&str> = table.headings.iter().map(|heading| heading.text.as_str()).collect();
    aligned.headings(&headings);
    for row in &table.rows {
        aligned.row(row.iter().map(Cell::new));
    }
    aligned
}
