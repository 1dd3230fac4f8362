//! Tables: headings, rows of text, a caption.

use maud::{Markup, html};

/// A table of text. Numbers come formatted, in columns aligned right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The heading of each column.
    pub headings: Vec<Heading>,
    /// The rows, each with one cell per heading.
    pub rows: Vec<Vec<String>>,
    /// What the table shows.
    pub caption: Option<String>,
}

/// The head of a column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heading {
    /// What stands in the column, with its unit.
    pub text: String,
    /// Where the heading and the cells are set.
    pub align: Align,
}

/// Where the text of a column is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Align {
    /// At the left: names.
    #[default]
    Left,
    /// At the right: numbers, in figures of equal width.
    Right,
}

impl Align {
    fn class(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl Table {
    /// The first row, from 0, that has another number of cells than there are headings.
    pub(crate) fn ragged_row(&self) -> Option<usize> {
        self.rows.iter().position(|row| row.len() != self.headings.len())
    }

    /// The table in a box that scrolls sideways, by keyboard too, where the page is too narrow for it.
    pub(crate) fn to_markup(&self) -> Markup {
        let aligns = || self.headings.iter().map(|heading| heading.align.class());
        html! {
            div class="scroll" role="region" tabindex="0" aria-label=(self.caption.as_deref().unwrap_or("table")) {
                table {
                    @if let Some(caption) = &self.caption { caption { span { (caption) } } }
                    thead {
                        tr {
                            @for heading in &self.headings {
                                th scope="col" class=(heading.align.class()) { (heading.text) }
                            }
                        }
                    }
                    tbody {
                        @for row in &self.rows {
                            tr { @for (cell, align) in row.iter().zip(aligns()) { td class=(align) { (cell) } } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(text: &str, align: Align) -> Heading {
        Heading { text: text.to_owned(), align }
    }

    #[test]
    fn cells_are_aligned_as_their_headings() {
        let table = Table {
            headings: vec![heading("backend", Align::Left), heading("tok/s", Align::Right)],
            rows: vec![vec!["flex".to_owned(), "410".to_owned()]],
            caption: Some("Decoding".to_owned()),
        };
        let html = table.to_markup().into_string();
        assert!(html.contains("<caption><span>Decoding</span></caption>"));
        assert!(html.contains(r#"<th scope="col" class="right">tok/s</th>"#));
        assert!(html.contains(r#"<td class="left">flex</td><td class="right">410</td>"#));
    }

    #[test]
    fn a_ragged_row_is_found() {
        let mut table = Table { headings: vec![heading("a", Align::Left)], ..Table::default() };
        assert_eq!(table.ragged_row(), None);
        table.rows = vec![vec![String::new()], vec![]];
        assert_eq!(table.ragged_row(), Some(1));
    }
}
