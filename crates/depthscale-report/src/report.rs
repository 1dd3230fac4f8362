//! What a report says, as plain data.

use crate::{LinePlot, ReportError, Table, page};

/// A page: a title, what it is about, and sections.
///
/// All strings are text, never markup; whatever stands in them is shown as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The title of the page.
    pub title: String,
    /// What the reader should know first. Blank lines separate paragraphs; empty for none.
    pub lead: String,
    /// The sections, in the order they are shown.
    pub sections: Vec<Section>,
}

/// A part of a report under its own heading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// What to say before the items. Blank lines separate paragraphs.
    pub text: Option<String>,
    /// What the section shows, in order. Figures that follow one another are set side by side where there is room.
    pub items: Vec<Item>,
}

/// One thing that a section shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Names with their values, such as the device and the build.
    Facts(Vec<(String, String)>),
    /// A table.
    Table(Table),
    /// A plot.
    Figure(LinePlot),
    /// Paragraphs, separated by blank lines.
    Text(String),
}

impl Report {
    /// The report as one HTML page that needs nothing else.
    ///
    /// The same report gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`ReportError::RaggedTable`] for a table whose rows do not fit its headings, [`ReportError::Drawing`] if the
    /// drawing library refuses a figure.
    pub fn to_html(&self) -> Result<String, ReportError> {
        page::of(self).map(maud::Markup::into_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Heading, Point, Scale, Series};

    const HOSTILE: &str = r#"<script>alert("x")</script>&'"#;

    fn hostile() -> Report {
        let text = || HOSTILE.to_owned();
        let axis = || Axis { label: text(), scale: Scale::Linear };
        let series = Series { name: text(), points: vec![Point::from((1.0, 2.0))], ..Series::default() };
        let plot = LinePlot { title: text(), caption: Some(text()), x: axis(), y: axis(), series: vec![series] };
        let table = Table {
            headings: vec![Heading { text: text(), ..Heading::default() }],
            rows: vec![vec![text()]],
            caption: Some(text()),
        };
        let items = vec![
            Item::Facts(vec![(text(), text())]),
            Item::Table(table),
            Item::Figure(plot.clone()),
            Item::Figure(LinePlot { series: vec![], ..plot }),
            Item::Text(text()),
        ];
        Report { title: text(), lead: text(), sections: vec![Section { heading: text(), text: Some(text()), items }] }
    }

    #[test]
    fn text_is_never_markup() {
        let html = hostile().to_html().unwrap();
        assert!(!html.contains("<script"));
        assert!(!html.contains(r#"alert("x")"#), "a quote would end an attribute");
        assert!(html.contains("<h1>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;'</h1>"));
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing() {
        let html = hostile().to_html().unwrap();
        let without_namespace = html.replace(r#"xmlns="http://www.w3.org/2000/svg""#, "");
        for load in ["http://", "https://", "src=", "href=", "url(", "@import", "<link", "<script"] {
            assert!(!without_namespace.contains(load), "{load}");
        }
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(hostile().to_html().unwrap(), hostile().to_html().unwrap());
    }

    #[test]
    fn an_empty_report_is_a_page() {
        let html = Report::default().to_html().unwrap();
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        assert!(html.ends_with("</html>"));
    }
}
