//! Everything that can be wrong with a report.

/// Why a report could not be written.
///
/// Titles are whatever the report was given, so messages show them quoted and escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A row of a table has more or fewer cells than the table has headings.
    #[error("section {section:?}, table {table}: row {row} has {found} cells, expected {expected}, one per heading")]
    RaggedTable {
        /// The heading of the section that holds the table.
        section: String,
        /// Which table of the section, counted from 1.
        table: usize,
        /// The row, counted from 1.
        row: usize,
        /// How many headings there are.
        expected: usize,
        /// How many cells the row has.
        found: usize,
    },

    /// The drawing library refused.
    #[error("figure {figure:?}: cannot be drawn: {reason}")]
    Drawing {
        /// The title of the figure.
        figure: String,
        /// What the drawing library said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_where_and_what_was_expected() {
        let error = ReportError::RaggedTable { section: "Speed".to_owned(), table: 1, row: 3, expected: 4, found: 2 };
        assert_eq!(error.to_string(), r#"section "Speed", table 1: row 3 has 2 cells, expected 4, one per heading"#);
    }
}
