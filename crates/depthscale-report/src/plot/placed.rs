//! The points that the axes can place, and the count of those that they cannot.

use super::{LinePlot, Point, Scale};

/// Beyond this a difference of two values, with some room around them, could overflow.
const LARGEST: f64 = 1e300;

/// What of a plot can be drawn.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Placed {
    /// The points of each series, in the order of the plot's series. The low end of a spread may lie below what a
    /// logarithmic axis reaches.
    pub(super) series: Vec<Vec<Point>>,
    /// Points that an axis cannot place.
    pub(super) n_points_dropped: usize,
    /// Spreads, of points that are drawn, that the axis cannot place.
    pub(super) n_spreads_dropped: usize,
}

impl Scale {
    /// Whether the value has a place on an axis of this scale.
    pub(super) fn places(self, value: f64) -> bool {
        match self {
            Self::Linear => value.abs() <= LARGEST,
            Self::Log2 | Self::Log10 => value.is_finite() && value > 0.0,
        }
    }
}

impl Placed {
    /// Sorts the points of the plot into drawn and dropped.
    pub(super) fn of(plot: &LinePlot) -> Self {
        let mut placed = Self::default();
        for series in &plot.series {
            let points = series.points.iter().filter_map(|point| placed.point(plot, *point)).collect();
            placed.series.push(points);
        }
        placed
    }

    fn point(&mut self, plot: &LinePlot, point: Point) -> Option<Point> {
        if !plot.x.scale.places(point.x) || !plot.y.scale.places(point.y) {
            self.n_points_dropped += 1;
            return None;
        }
        let spread = point.spread.and_then(|spread| placed_spread(plot.y.scale, spread));
        self.n_spreads_dropped += usize::from(point.spread.is_some() && spread.is_none());
        Some(Point { spread, ..point })
    }

    /// All points of all series.
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> + Clone {
        self.series.iter().flatten()
    }

    /// What the caption has to say about points that are missing.
    pub(super) fn note(&self) -> Option<String> {
        let counted = |n: usize, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one} not drawn")),
            n => Some(format!("{n} {many} not drawn")),
        };
        let points = counted(self.n_points_dropped, "point", "points");
        let spreads = counted(self.n_spreads_dropped, "error bar", "error bars");
        let counts: Vec<String> = [points, spreads].into_iter().flatten().collect();
        match counts.is_empty() {
            true => None,
            false => Some(format!("{}: values that the axes cannot place.", counts.join(", "))),
        }
    }
}

/// The spread, low end first. A low end of zero or less on a logarithmic axis is kept: the bar goes down to the edge.
fn placed_spread(scale: Scale, (a, b): (f64, f64)) -> Option<(f64, f64)> {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    (scale.places(high) && Scale::Linear.places(low)).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Series};

    fn plot(scale: Scale, points: Vec<Point>) -> LinePlot {
        let axis = || Axis { scale, ..Axis::default() };
        let series = vec![Series { points, ..Series::default() }];
        LinePlot { x: axis(), y: axis(), series, ..LinePlot::default() }
    }

    #[test]
    fn what_an_axis_cannot_place_is_counted() {
        let points = [(1.0, 1.0), (0.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (1e308, 1.0)];
        let points: Vec<Point> = points.into_iter().map(Point::from).collect();

        let linear = Placed::of(&plot(Scale::Linear, points.clone()));
        assert_eq!((linear.points().count(), linear.n_points_dropped), (3, 3));
        assert_eq!(linear.note().unwrap(), "3 points not drawn: values that the axes cannot place.");

        let log = Placed::of(&plot(Scale::Log10, points));
        assert_eq!((log.points().count(), log.n_points_dropped), (2, 4));
    }

    #[test]
    fn spreads_are_ordered_and_kept_where_their_high_end_has_a_place() {
        let spread = |low, high| Point { x: 1.0, y: 2.0, spread: Some((low, high)) };
        let points = vec![spread(3.0, 1.0), spread(0.0, 3.0), spread(-2.0, 0.0), spread(1.0, f64::NAN)];
        let placed = Placed::of(&plot(Scale::Log2, points));
        let spreads: Vec<_> = placed.points().map(|point| point.spread).collect();
        assert_eq!(spreads, [Some((1.0, 3.0)), Some((0.0, 3.0)), None, None]);
        assert_eq!(placed.note().unwrap(), "2 error bars not drawn: values that the axes cannot place.");
    }

    #[test]
    fn nothing_missing_needs_no_note() {
        assert_eq!(Placed::of(&plot(Scale::Linear, vec![Point::default()])).note(), None);
    }
}
