//! The drawing of a plot, as SVG.
//!
//! Lengths are in units of the drawing, about two to a pixel on the screen: plotters places things at whole units.

use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::prelude::{
    ChartBuilder, ChartContext, DashedLineSeries, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, IntoFont,
    LabelAreaPosition, PathElement, RGBColor, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, TextStyle};

use super::axis_range::{AxisRange, Direction};
use super::placed::Placed;
use super::{Line, LinePlot, Point, Scale, palette};

/// What is drawn on.
pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What the drawing library says when it cannot.
pub(super) type Refusal = DrawingAreaErrorKind<std::io::Error>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<AxisRange, AxisRange>>;

const WIDTH: u32 = 1120;
const HEIGHT: u32 = 700;
const FONT: u32 = 26;
/// plotters divides sizes by this on their way into SVG.
const SVG_FONT_RATIO: f64 = 1.24;
/// A figure of the usual fonts is at most this wide.
const DIGIT: f64 = 0.62;
const TICK: i32 = 8;
/// What the label of an axis has room for.
const LABEL_CHARS: usize = 68;

const THIN: u32 = 2;
const STROKE: u32 = 4;
const DASH: (i32, i32) = (14, 10);
/// Half the width of the ends of error bars.
const CAP: i32 = 7;
/// Along a line, more markers than this run into one another.
const N_MARKERS_MAX: usize = 32;

/// Draws what was placed, of which there must be at least one point.
pub(super) fn svg(plot: &LinePlot, placed: &Placed) -> Result<String, Refusal> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let chart = axes(&canvas, plot, placed)?;
        for (index, points) in placed.series.iter().enumerate() {
            draw_series(&canvas, &chart, plot, points, index)?;
        }
        canvas.present()?;
    }
    Ok(svg)
}

/// Draws the sample of a line that stands in the legend.
pub(super) fn swatch(line: Line, series: usize) -> Result<String, Refusal> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, (80, 28)).into_drawing_area();
        draw_line(&canvas, line, vec![(2, 14), (78, 14)], palette::colour(series))?;
        palette::shape(series).draw(&canvas, (40, 14), palette::colour(series))?;
        canvas.present()?;
    }
    Ok(svg)
}

/// Draws axes, ticks and labels. The label of the upward axis lies over its top, where it can be read without a turn
/// of the head.
fn axes<'a, 'b>(canvas: &'a Canvas<'b>, plot: &LinePlot, placed: &Placed) -> Result<Chart<'a, 'b>, Refusal> {
    let mut x = AxisRange::fit(plot.x.scale, Direction::Across, placed.points().map(|point| point.x));
    let y_values = placed.points().flat_map(|point| {
        let ends = point.spread.into_iter().flat_map(|(low, high)| [low, high]);
        std::iter::once(point.y).chain(ends.filter(|end| plot.y.scale.places(*end)))
    });
    let y = AxisRange::fit(plot.y.scale, Direction::Up, y_values);

    let left = text_width(y.longest_label()) + 3 * TICK as u32;
    let right = (text_width(x.longest_label()) / 2).max(FONT);
    x.thin_out((WIDTH - left - right) / (text_width(x.longest_label()) + FONT));
    let (top, bottom) = (2 * FONT + 4, 3 * FONT + 6);
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(top)
        .margin_right(right)
        .set_label_area_size(LabelAreaPosition::Left, left)
        .set_label_area_size(LabelAreaPosition::Bottom, bottom)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(palette::GRID.stroke_width(THIN))
        .axis_style(palette::AXIS.stroke_width(THIN))
        .label_style(text_style())
        .set_all_tick_mark_size(TICK)
        .draw()?;

    let at_top = text_style().pos(Pos::new(HPos::Left, VPos::Top));
    canvas.draw(&Text::new(shortened(&plot.y.label), (0, 4), at_top))?;
    let middle = (left + WIDTH - right) / 2;
    let at_bottom = text_style().pos(Pos::new(HPos::Center, VPos::Bottom));
    canvas.draw(&Text::new(shortened(&plot.x.label), (middle as i32, HEIGHT as i32 - 2), at_bottom))?;
    Ok(chart)
}

fn draw_series(
    canvas: &Canvas<'_>,
    chart: &Chart<'_, '_>,
    plot: &LinePlot,
    points: &[Point],
    index: usize,
) -> Result<(), Refusal> {
    let (colour, line) = (palette::colour(index), plot.series[index].line);
    let centres: Vec<(i32, i32)> = points.iter().map(|point| chart.backend_coord(&(point.x, point.y))).collect();

    draw_line(canvas, line, centres.clone(), colour)?;
    for point in points {
        draw_spread(canvas, chart, plot.y.scale, *point, colour)?;
    }
    let every = match line {
        Line::MarkersOnly => 1,
        Line::Solid | Line::Dashed => centres.len().div_ceil(N_MARKERS_MAX).max(1),
    };
    let shape = palette::shape(index);
    centres.into_iter().step_by(every).try_for_each(|centre| shape.draw(canvas, centre, colour))
}

fn draw_line(canvas: &Canvas<'_>, line: Line, path: Vec<(i32, i32)>, colour: RGBColor) -> Result<(), Refusal> {
    let style = colour.stroke_width(STROKE);
    match line {
        Line::Solid => canvas.draw(&PathElement::new(path, style)),
        Line::Dashed => {
            let (dash, gap) = DASH;
            DashedLineSeries::new(path, dash, gap, style).into_iter().try_for_each(|dashes| canvas.draw(&dashes))
        }
        Line::MarkersOnly => Ok(()),
    }
}

/// Draws the error bar of a point that has one, with a cap at each end that the axis reaches.
fn draw_spread(
    canvas: &Canvas<'_>,
    chart: &Chart<'_, '_>,
    scale: Scale,
    point: Point,
    colour: RGBColor,
) -> Result<(), Refusal> {
    let Some((low, high)) = point.spread else { return Ok(()) };
    let style = colour.stroke_width(THIN + 1);
    let at = |y| chart.backend_coord(&(point.x, y));
    canvas.draw(&PathElement::new(vec![at(low), at(high)], style))?;
    for (x, y) in [low, high].into_iter().filter(|end| scale.places(*end)).map(at) {
        canvas.draw(&PathElement::new(vec![(x - CAP, y), (x + CAP, y)], style))?;
    }
    Ok(())
}

fn text_style<'a>() -> TextStyle<'a> {
    // The page has the colour and the family; these stand where the drawing is taken out of it.
    ("sans-serif", f64::from(FONT) * SVG_FONT_RATIO).into_font().color(&RGBColor(0x1B, 0x1F, 0x24))
}

fn text_width(n_chars: usize) -> u32 {
    (n_chars as f64 * f64::from(FONT) * DIGIT).ceil() as u32
}

/// The text, cut where the drawing has no room for more.
fn shortened(text: &str) -> String {
    if text.chars().count() <= LABEL_CHARS {
        return text.to_owned();
    }
    text.chars().take(LABEL_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Series};

    fn draw(scale: Scale, series: Vec<Series>) -> String {
        let axis = |label: &str| Axis { label: label.to_owned(), scale };
        let plot = LinePlot { x: axis("depth"), y: axis("tokens/s"), series, ..LinePlot::default() };
        svg(&plot, &Placed::of(&plot)).unwrap()
    }

    fn series(line: Line, points: &[(f64, f64)]) -> Series {
        Series { line, points: points.iter().copied().map(Point::from).collect(), ..Series::default() }
    }

    #[test]
    fn one_point_is_drawn_with_its_axes() {
        let svg = draw(Scale::Log2, vec![series(Line::Solid, &[(4.0, 300.0)])]);
        assert_eq!(svg.matches("<circle").count(), 1);
        for text in ["depth", "tokens/s", "\n4\n", "256"].map(|text| text.trim().to_owned()) {
            assert!(svg.contains(&format!(">\n{text}\n<")), "{text}");
        }
    }

    #[test]
    fn lines_are_drawn_as_asked() {
        let two = [(1.0, 1.0), (9.0, 9.0)];
        let n_paths = |line, colour| {
            let svg = draw(Scale::Linear, vec![series(line, &two)]);
            svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(colour)).count()
        };
        assert_eq!(n_paths(Line::Solid, "#0072B2"), 1);
        assert!(n_paths(Line::Dashed, "#0072B2") > 10);
        assert_eq!(n_paths(Line::MarkersOnly, "#0072B2"), 0);
    }

    #[test]
    fn markers_of_long_lines_are_thinned_out_and_those_without_a_line_are_not() {
        let many: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), 1.0)).collect();
        // Every fourth of 100.
        assert_eq!(draw(Scale::Linear, vec![series(Line::Solid, &many)]).matches("<circle").count(), 25);
        assert_eq!(draw(Scale::Linear, vec![series(Line::MarkersOnly, &many)]).matches("<circle").count(), 100);
    }

    #[test]
    fn error_bars_run_from_low_to_high() {
        let mut one = series(Line::MarkersOnly, &[(1.0, 5.0)]);
        one.points[0].spread = Some((0.0, 10.0));
        let svg = draw(Scale::Linear, vec![one]);
        // The axis goes from 0 to 10, so the bar from its foot to its top: 616 = 700 - 84 and 56.
        let bar = svg.lines().find(|line| line.contains("stroke-width=\"3\"")).unwrap();
        let ends: Vec<i32> = bar
            .split("points=\"")
            .nth(1)
            .unwrap()
            .split(['"', ' '])
            .filter_map(|pair| pair.split_once(',')?.1.parse().ok())
            .collect();
        assert!((ends[0] - 616).abs() <= 1 && (ends[1] - 56).abs() <= 1, "{ends:?}");
    }

    #[test]
    fn an_end_that_the_axis_does_not_reach_has_no_cap() {
        let n_paths = |low| {
            let point = Point { x: 1.0, y: 5.0, spread: Some((low, 10.0)) };
            let one = Series { points: vec![point], ..series(Line::MarkersOnly, &[]) };
            draw(Scale::Log10, vec![one]).matches("stroke-width=\"3\"").count()
        };
        assert_eq!(n_paths(1.0), 3);
        assert_eq!(n_paths(0.0), 2);
    }

    #[test]
    fn long_labels_are_cut() {
        assert_eq!(shortened("depth"), "depth");
        let cut = shortened(&"ä".repeat(100));
        assert!(cut.ends_with('…') && cut.chars().count() == LABEL_CHARS);
    }
}
