//! A record in the columns of a table, for terminals and pages.

use depthscale_types::MeasuredMemory;

use crate::record::Record;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// What was measured: a name.
    Name,
    /// What was measured: a number that was chosen.
    Setting,
    /// How it came out.
    Figure,
}

/// A column of a table of records.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading.
    pub heading: &'static str,
    /// What stands in it.
    pub kind: ColumnKind,
    /// The text of a record in it.
    pub text: fn(&Record) -> String,
}

/// The columns of a table of records, in the order in which they are read.
pub const COLUMNS: [Column; 20] = [
    column("model", ColumnKind::Name, |record| record.model.name.clone()),
    column("backend", ColumnKind::Name, |record| record.device.backend.clone()),
    column("dtype", ColumnKind::Name, |record| record.case.dtype.to_string()),
    column("weights", ColumnKind::Name, |record| format!("weights in {}", record.case.weights)),
    column("caches", ColumnKind::Name, |record| format!("caches in {}", record.case.cached_in())),
    column("kv", ColumnKind::Name, |record| record.case.retention.to_string()),
    column("phase", ColumnKind::Name, |record| record.case.phase.to_string()),
    column("batch", ColumnKind::Setting, |record| record.case.batch.to_string()),
    column("context", ColumnKind::Setting, |record| record.case.context.to_string()),
    column("depth", ColumnKind::Setting, |record| record.case.depth.to_string()),
    column("tokens/s", ColumnKind::Figure, |record| significant(record.tokens_per_second().median)),
    column("±", ColumnKind::Figure, |record| percent(record.time().relative())),
    column("ms/token", ColumnKind::Figure, |record| significant(record.milliseconds_per_token())),
    column("blocks/s", ColumnKind::Figure, |record| significant(record.blocks_per_second())),
    column("GB/s", ColumnKind::Figure, |record| significant(record.bytes_per_second() / 1e9)),
    column("of memory", ColumnKind::Figure, |record| percent(record.share_of_bandwidth())),
    column("GFLOP/s", ColumnKind::Figure, |record| significant(record.flops_per_second() / 1e9)),
    column("of product", ColumnKind::Figure, |record| percent(record.share_of_product())),
    column("MiB (predicted)", ColumnKind::Figure, memory),
    column("reserved", ColumnKind::Figure, reserved),
];

const fn column(heading: &'static str, kind: ColumnKind, text: fn(&Record) -> String) -> Column {
    Column { heading, kind, text }
}

fn memory(record: &Record) -> String {
    let measured = record.memory.measured.as_ref().map(MeasuredMemory::total);
    format!("{} ({})", measured.map_or_else(|| "not counted".into(), mebibytes), mebibytes(record.memory.comparable()))
}

/// What pools have taken from the driver.
fn reserved(record: &Record) -> String {
    record.memory.measured.and_then(|measured| measured.reserved).map(mebibytes).unwrap_or_default()
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

/// Three significant digits, without an exponent below a billion: `0.0312`, `1.25`, `12300`.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    // Rounded first, so that 99.95 has as many digits as 100.
    let unit = 10f64.powi(magnitude.log10().floor() as i32 - 2);
    let rounded = (value / unit).round() * unit;
    let before = rounded.abs().log10().floor() as i32 + 1;
    format!("{rounded:.*}", (3 - before).max(0) as usize)
}

pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 9.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let written = [0.0, 0.031_24, 1.254, 99.95, 123.4, 12_345.0, 2.5e9].map(significant);
        assert_eq!(written, ["0", "0.0312", "1.25", "100", "123", "12300", "2.50e9"]);
        assert_eq!([0.005, 0.0994, 0.0996, 1.234].map(percent), ["0.5%", "9.9%", "10%", "123%"]);
    }
}
