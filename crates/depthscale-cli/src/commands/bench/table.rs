//! Results and comparisons on the terminal.

use depthscale_bench::{COLUMNS, Column, ColumnKind, Compared, Record, Verdict, significant};

use crate::display::{Align, Cell, Paint, Table};

/// A table of records. What is the same in all of them is told once, above it.
pub(super) fn result_lines(records: &[&Record]) -> Vec<String> {
    let (shared, columns) = shared_and_own(records, &COLUMNS);
    let mut table = Table::new(columns.iter().map(|column| align(column.kind)));
    table.headings(&columns.iter().map(|column| column.heading).collect::<Vec<_>>());
    for record in records {
        table.row(columns.iter().map(|column| Cell::new((column.text)(record))));
    }
    let shared = Some(shared).filter(|shared| !shared.is_empty());
    shared.into_iter().chain(table.lines(Paint::stdout())).collect()
}

/// A table of ratios, and what else differs.
pub(super) fn comparison_lines(compared: &Compared<'_>) -> Vec<String> {
    let new: Vec<&Record> = compared.both.iter().map(|comparison| comparison.new).collect();
    let named: Vec<Column> = COLUMNS.into_iter().filter(|column| column.kind != ColumnKind::Figure).collect();
    let (_, columns) = shared_and_own(&new, &named);
    let figures = ["before", "now", "times as fast", "range", ""];
    let aligns = [Align::Right, Align::Right, Align::Right, Align::Left, Align::Left];
    let mut table = Table::new(columns.iter().map(|column| align(column.kind)).chain(aligns));
    let headings = columns.iter().map(|column| column.heading).chain(figures);
    table.headings(&headings.collect::<Vec<_>>());
    for comparison in &compared.both {
        let rate = |record: &Record| significant(record.tokens_per_second().median);
        let speed = comparison.speed;
        let figures = [
            rate(comparison.old),
            rate(comparison.new),
            format!("{:.2}", speed.median),
            format!("{:.2} to {:.2}", speed.lower, speed.upper),
            comparison.verdict.name().into(),
        ];
        table.row(columns.iter().map(|column| (column.text)(comparison.new)).chain(figures).map(Cell::new));
    }
    let count = |verdict| compared.both.iter().filter(|comparison| comparison.verdict == verdict).count();
    let mut lines = vec![String::new()];
    if !compared.both.is_empty() {
        lines.extend(table.lines(Paint::stdout()));
    }
    lines.push(format!(
        "{} faster, {} slower, {} within the spread; {} measured only before, {} only now.",
        count(Verdict::Faster),
        count(Verdict::Slower),
        count(Verdict::Within),
        compared.only_old.len(),
        compared.only_new.len()
    ));
    lines.extend(compared.differences.iter().map(|difference| format!("Not the code alone differs: {difference}.")));
    lines
}

/// The values that all records share, in words, and the columns in which they differ or that hold figures.
fn shared_and_own(records: &[&Record], columns: &[Column]) -> (String, Vec<Column>) {
    let is_shared = |column: &&Column| {
        let mut texts = records.iter().map(|record| (column.text)(record));
        let first = texts.next();
        column.kind != ColumnKind::Figure && texts.all(|text| Some(text) == first)
    };
    let value = |column: &Column| {
        let text = records.first().map(|record| (column.text)(record)).unwrap_or_default();
        if column.kind == ColumnKind::Name { text } else { format!("{} {text}", column.heading) }
    };
    let shared: Vec<String> = columns.iter().filter(is_shared).map(value).collect();
    (shared.join(", "), columns.iter().filter(|column| !is_shared(column)).copied().collect())
}

fn align(kind: ColumnKind) -> Align {
    if kind == ColumnKind::Name { Align::Left } else { Align::Right }
}
