//! The legend: a sample of each line with its name, below the plot.

use maud::{Markup, PreEscaped, html};

use super::drawing::{self, Refusal};
use super::{LinePlot, Series};

/// The legend, or nothing where no series has a name.
pub(super) fn of(plot: &LinePlot) -> Result<Markup, Refusal> {
    if plot.series.iter().all(|series| series.name.is_empty()) {
        return Ok(html! {});
    }
    let entries = plot.series.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(html! { ul class="legend" { @for entry in entries { (entry) } } })
}

fn entry((index, series): (usize, &Series)) -> Result<Markup, Refusal> {
    let swatch = drawing::swatch(series.line, index)?.replacen("<svg ", "<svg aria-hidden=\"true\" ", 1);
    Ok(html! { li { (PreEscaped(swatch)) span { (series.name) } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_an_entry_with_its_colour() {
        let named = |name: &str| Series { name: name.to_owned(), ..Series::default() };
        let plot = LinePlot { series: vec![named("flex"), named("cuda")], ..LinePlot::default() };
        let html = of(&plot).unwrap().into_string();
        let entries: Vec<&str> = html.split("<li>").skip(1).collect();
        assert!(entries[0].contains("#0072B2") && entries[0].contains("<span>flex</span>"));
        assert!(entries[1].contains("#D55E00") && entries[1].contains("<span>cuda</span>"));
    }

    #[test]
    fn nameless_series_need_no_legend() {
        let plot = LinePlot { series: vec![Series::default()], ..LinePlot::default() };
        assert_eq!(of(&plot).unwrap().into_string(), "");
    }
}
