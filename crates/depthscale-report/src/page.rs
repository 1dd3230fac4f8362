//! The page around the items: head, sections, and the order of headings.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::{figure, palette};
use crate::{Item, Report, ReportError, Section, style};

/// Nothing may be loaded, whatever a later change lets through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The whole page.
pub(crate) fn of(report: &Report) -> Result<Markup, ReportError> {
    let sections = report.sections.iter().map(section).collect::<Result<Vec<_>, _>>()?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (report.title) }
                style { (PreEscaped(style::CSS)) (PreEscaped(palette::css())) }
            }
            body {
                header {
                    h1 { (report.title) }
                    div class="lead" { (paragraphs(&report.lead)) }
                }
                main { @for section in sections { (section) } }
            }
        }
    })
}

fn section(section: &Section) -> Result<Markup, ReportError> {
    let both_figures = |a: &Item, b: &Item| matches!((a, b), (Item::Figure(_), Item::Figure(_)));
    let groups = section.items.chunk_by(both_figures).map(group).collect::<Result<Vec<_>, _>>()?;
    check_tables(section)?;
    Ok(html! {
        section {
            h2 { (section.heading) }
            @if let Some(text) = &section.text { (paragraphs(text)) }
            @for group in groups { (group) }
        }
    })
}

fn check_tables(section: &Section) -> Result<(), ReportError> {
    let tables = section.items.iter().filter_map(|item| match item {
        Item::Table(table) => Some(table),
        _ => None,
    });
    for (index, table) in tables.enumerate() {
        if let Some(row) = table.ragged_row() {
            return Err(ReportError::RaggedTable {
                section: section.heading.clone(),
                table: index + 1,
                row: row + 1,
                expected: table.headings.len(),
                found: table.rows[row].len(),
            });
        }
    }
    Ok(())
}

/// One item, or several figures in a row.
fn group(items: &[Item]) -> Result<Markup, ReportError> {
    let parts = items.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    Ok(match items {
        [Item::Figure(_), ..] => html! { div class="figures" { @for part in parts { (part) } } },
        _ => html! { @for part in parts { (part) } },
    })
}

fn item(item: &Item) -> Result<Markup, ReportError> {
    Ok(match item {
        Item::Facts(facts) => html! {
            dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        },
        Item::Table(table) => table.to_markup(),
        Item::Figure(plot) => figure::of(plot)?,
        Item::Text(text) => paragraphs(text),
    })
}

/// Text as paragraphs, cut at blank lines.
fn paragraphs(text: &str) -> Markup {
    let lines: Vec<&str> = text.lines().collect();
    let blank = |line: &&str| line.trim().is_empty();
    html! {
        @for paragraph in lines.split(blank).filter(|paragraph| !paragraph.is_empty()) { p { (paragraph.join("\n")) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Heading, LinePlot, Table};

    fn report(items: Vec<Item>) -> Report {
        let section = Section { heading: "Speed".to_owned(), items, ..Section::default() };
        Report { title: "R".to_owned(), sections: vec![section], ..Report::default() }
    }

    #[test]
    fn blank_lines_separate_paragraphs() {
        assert_eq!(paragraphs("a\nb\n\n \nc\n").into_string(), "<p>a\nb</p><p>c</p>");
        assert_eq!(paragraphs("").into_string(), "");
    }

    #[test]
    fn figures_that_follow_one_another_share_a_row() {
        let figure = || Item::Figure(LinePlot::default());
        let html = report(vec![figure(), figure(), Item::Text("between".to_owned()), figure()]).to_html().unwrap();
        assert_eq!(html.matches(r#"<div class="figures">"#).count(), 2);
        assert_eq!(html.matches("<figure").count(), 3);
    }

    #[test]
    fn headings_go_down_by_one_level_at_a_time() {
        let html = report(vec![Item::Figure(LinePlot::default())]).to_html().unwrap();
        let at = |tag| html.find(tag).unwrap();
        assert!(at("<h1>") < at("<h2>") && at("<h2>") < at("<h3>"));
    }

    #[test]
    fn a_ragged_table_is_an_error_that_says_where() {
        let sound = Table { headings: vec![Heading::default()], ..Table::default() };
        let ragged = Table { rows: vec![vec![String::new()], vec![]], ..sound.clone() };
        let error = report(vec![Item::Table(sound), Item::Table(ragged)]).to_html().unwrap_err();
        let ReportError::RaggedTable { table, row, expected, found, .. } = error else { panic!("{error}") };
        assert_eq!((table, row, expected, found), (2, 2, 1, 0));
    }
}
