//! A plot on the page: heading, drawing, legend, caption.

use maud::{Markup, PreEscaped, html};

use super::drawing::{self, Refusal};
use super::placed::Placed;
use super::{LinePlot, legend};
use crate::ReportError;

/// The figure.
pub(crate) fn of(plot: &LinePlot) -> Result<Markup, ReportError> {
    let placed = Placed::of(plot);
    let drawn = drawn(plot, &placed);
    let drawn =
        drawn.map_err(|refusal| ReportError::Drawing { figure: plot.title.clone(), reason: refusal.to_string() })?;
    let caption: Vec<String> = plot.caption.iter().cloned().chain(placed.note()).collect();
    Ok(html! {
        figure {
            h3 { (plot.title) }
            (drawn)
            @if !caption.is_empty() { figcaption { (caption.join(" ")) } }
        }
    })
}

fn drawn(plot: &LinePlot, placed: &Placed) -> Result<Markup, Refusal> {
    if placed.points().next().is_none() {
        return Ok(html! { p class="empty" { "nothing measured" } });
    }
    let label = html! { (description(plot)) }.into_string();
    let opening = format!("<svg class=\"plot\" role=\"img\" aria-label=\"{label}\" ");
    let svg = drawing::svg(plot, placed)?.replacen("<svg ", &opening, 1);
    Ok(html! {
        div class="drawing" { (PreEscaped(svg)) }
        (legend::of(plot)?)
    })
}

/// What someone who cannot see the drawing is told of it.
fn description(plot: &LinePlot) -> String {
    let names: Vec<&str> = plot.series.iter().map(|series| series.name.as_str()).collect();
    format!("{}: {} by {}, for {}", plot.title, plot.y.label, plot.x.label, names.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Axis, Line, Point, Scale, Series};

    fn plot(x: Scale, y: Scale, series: Vec<Series>) -> LinePlot {
        let axis = |label: &str, scale| Axis { label: label.to_owned(), scale };
        LinePlot { title: "Speed".to_owned(), x: axis("depth", x), y: axis("tok/s", y), series, caption: None }
    }

    fn series(points: &[(f64, f64)]) -> Series {
        let points = points.iter().copied().map(Point::from).collect();
        Series { name: "flex".to_owned(), points, ..Series::default() }
    }

    const SCALES: [Scale; 3] = [Scale::Linear, Scale::Log2, Scale::Log10];

    #[test]
    fn without_points_it_says_so() {
        for all in [vec![], vec![series(&[])], vec![series(&[(f64::NAN, 1.0)])]] {
            let html = of(&plot(Scale::Linear, Scale::Linear, all)).unwrap().into_string();
            assert!(html.contains("nothing measured") && !html.contains("<svg"), "{html}");
        }
    }

    #[test]
    fn the_caption_counts_what_is_missing() {
        let mut plot = plot(Scale::Log2, Scale::Linear, vec![series(&[(0.0, 1.0), (1.0, 1.0)])]);
        plot.caption = Some("Three repeats.".to_owned());
        let html = of(&plot).unwrap().into_string();
        let expected = "Three repeats. 1 point not drawn: values that the axes cannot place.";
        assert!(html.contains(&format!("<figcaption>{expected}</figcaption>")));
    }

    #[test]
    fn the_drawing_is_an_image_with_a_name() {
        let html = of(&plot(Scale::Linear, Scale::Linear, vec![series(&[(1.0, 1.0)])])).unwrap().into_string();
        assert!(html.contains(r#"<svg class="plot" role="img" aria-label="Speed: tok/s by depth, for flex""#));
    }

    #[test]
    fn degenerate_series_are_drawn() {
        let cases: [&[(f64, f64)]; 5] = [
            &[(1.0, 1.0)],
            &[(2.0, 5.0), (2.0, 5.0), (2.0, 5.0)],
            &[(3.0, 1.0), (3.0, 9.0)],
            &[(1.0, 7.0), (8.0, 7.0)],
            &[(1e-320, 1e-320), (1e300, 1e300)],
        ];
        for (x, y) in SCALES.iter().flat_map(|x| SCALES.map(|y| (*x, y))) {
            for points in cases {
                let html = of(&plot(x, y, vec![series(&[]), series(points)])).unwrap().into_string();
                assert!(html.contains("<svg class=\"plot\"") && !html.contains("NaN"), "{x:?} {y:?} {points:?}");
            }
        }
    }

    fn any_point() -> impl Strategy<Value = Point> {
        use proptest::num::f64::ANY;
        (ANY, ANY, proptest::option::of((ANY, ANY))).prop_map(|(x, y, spread)| Point { x, y, spread })
    }

    proptest! {
        #[test]
        fn no_points_are_too_odd_to_draw(
            points in proptest::collection::vec(any_point(), 0..12),
            scales in (0..3_usize, 0..3_usize),
            line in prop_oneof![Just(Line::Solid), Just(Line::Dashed), Just(Line::MarkersOnly)],
        ) {
            let plot = plot(SCALES[scales.0], SCALES[scales.1], vec![Series { points, line, ..Series::default() }]);
            let html = of(&plot).unwrap().into_string();
            prop_assert!(html.contains("</figure>"));
        }
    }
}
