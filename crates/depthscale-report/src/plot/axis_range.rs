//! An axis fitted to its values: where it begins and ends, where a value lies on it, which values it names.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::Scale;
use super::ticks::{self, Step, Tick, Whole};

/// Room left at either end of an axis that does not begin at zero, as a part of its length, so that markers do not sit
/// on its edges.
const ROOM: f64 = 0.04;

/// Two values nearer to one another than this part of their magnitude are drawn as one.
const NARROWEST: f64 = 1e-9;

/// Below this, values are zero for the purpose of fitting a linear axis.
const SMALLEST: f64 = 1e-300;

/// A fitted axis. `low` and `high` are values on a linear axis and logarithms on the others.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AxisRange {
    scale: Scale,
    low: f64,
    high: f64,
    pub(super) ticks: Vec<Tick>,
}

/// Which way an axis goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Along the bottom: it spans its values.
    Across,
    /// Up the side: a linear one begins at zero.
    Up,
}

impl AxisRange {
    /// The axis for these values, each of which the scale can place.
    pub(super) fn fit(scale: Scale, direction: Direction, values: impl Iterator<Item = f64> + Clone) -> Self {
        let whole = if values.clone().all(|value| value.fract() == 0.0) { Whole::Yes } else { Whole::No };
        let placed = values.map(|value| scale.position(value));
        let (low, high) =
            placed.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
        match (scale, direction) {
            (Scale::Linear, Direction::Across) => linear(low, high, whole),
            (Scale::Linear, Direction::Up) => from_zero(low, high, whole),
            (Scale::Log2, _) => {
                let (low, high) = at_least(2.0, low, high);
                Self { scale, low, high, ticks: ticks::log2(low, high) }
            }
            (Scale::Log10, _) => {
                let (low, high) = at_least(1.0, low, high);
                Self { scale, low, high, ticks: ticks::log10(low, high) }
            }
        }
    }

    /// Where the value lies, from 0 at the beginning of the axis to 1 at its end; what lies outside is moved there.
    fn fraction(&self, value: f64) -> f64 {
        let fraction = (self.scale.position(value) - self.low) / (self.high - self.low);
        if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) }
    }

    /// Keeps every n-th tick, so that at most this many are left, and at least one.
    pub(super) fn thin_out(&mut self, n_max: u32) {
        let every = self.ticks.len().div_ceil(n_max.max(1) as usize).max(1);
        self.ticks = std::mem::take(&mut self.ticks).into_iter().step_by(every).collect();
    }

    /// How many characters the longest label has.
    pub(super) fn longest_label(&self) -> usize {
        self.ticks.iter().map(|tick| tick.label.chars().count()).max().unwrap_or(0)
    }
}

impl Scale {
    fn position(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
        }
    }
}

/// A linear axis that spans the values, with some room around them.
fn linear(low: f64, high: f64, whole: Whole) -> AxisRange {
    let (length, magnitude) = (high - low, low.abs().max(high.abs()));
    let room = match length {
        _ if magnitude < SMALLEST => 0.5,
        _ if length <= NARROWEST * magnitude => magnitude / 2.0,
        _ => length * ROOM,
    };
    let (low, high) = (low - room, high + room);
    let ticks = Step::for_range(low, high, whole).map(|step| step.ticks(low, high)).unwrap_or_default();
    AxisRange { scale: Scale::Linear, low, high, ticks }
}

/// A linear axis with zero on it that ends at a tick.
fn from_zero(low: f64, high: f64, whole: Whole) -> AxisRange {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let (low, high) = if high - low < SMALLEST { (0.0, 1.0) } else { (low, high) };
    let step = Step::for_range(low, high, whole);
    let (low, high) = step.map_or((low, high), |step| step.widen(low, high));
    let ticks = step.map(|step| step.ticks(low, high)).unwrap_or_default();
    AxisRange { scale: Scale::Linear, low, high, ticks }
}

/// The range of logarithms with room at both ends, and no shorter than this: two octaves or a decade hold ticks enough,
/// and what differs by a few per cent does not fill the plot.
fn at_least(shortest: f64, low: f64, high: f64) -> (f64, f64) {
    let length = high - low;
    let room = (length * ROOM).max((shortest - length) / 2.0);
    (low - room, high + room)
}

impl Ranged for AxisRange {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        first + (self.fraction(*value) * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light lines, between the ticks, are not wanted.
        if hint.weight().allow_light_points() {
            return vec![];
        }
        self.ticks.iter().map(|tick| tick.value).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for AxisRange {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|tick| tick.value == *value).map(|tick| tick.label.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(scale: Scale, direction: Direction, values: &[f64]) -> AxisRange {
        AxisRange::fit(scale, direction, values.iter().copied())
    }

    fn labels(axis: &AxisRange) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn linear_upwards_begins_at_zero_and_ends_at_a_tick() {
        let axis = fit(Scale::Linear, Direction::Up, &[310.5, 612.0]);
        assert_eq!(labels(&axis), ["0", "100", "200", "300", "400", "500", "600", "700"]);
        assert_eq!((axis.low, axis.high), (0.0, 700.0));
        assert_eq!(axis.map(&350.0, (400, 0)), 200);
    }

    #[test]
    fn linear_across_spans_its_values() {
        // 4 % of 15 on either side of 1 and 16.
        let axis = fit(Scale::Linear, Direction::Across, &[1.0, 2.0, 16.0]);
        assert!((axis.low - 0.4).abs() < 1e-12 && (axis.high - 16.6).abs() < 1e-12);
    }

    #[test]
    fn logarithms_are_spaced_evenly() {
        // From log2(1) - 0.16 = -0.16 to 4.16: 4 lies in the middle.
        let axis = fit(Scale::Log2, Direction::Across, &[1.0, 16.0]);
        assert_eq!(axis.map(&4.0, (0, 1000)), 500);
        assert_eq!(labels(&axis), ["1", "2", "4", "8", "16"]);
    }

    #[test]
    fn equal_values_lie_in_the_middle() {
        for (scale, value) in [(Scale::Linear, 4.0), (Scale::Log2, 300.0), (Scale::Log10, 3.0), (Scale::Linear, 0.0)] {
            let axis = fit(scale, Direction::Across, &[value, value]);
            assert_eq!(axis.map(&value, (0, 1000)), 500, "{scale:?}");
            assert!(!axis.ticks.is_empty(), "{axis:?}");
        }
        assert_eq!(labels(&fit(Scale::Linear, Direction::Up, &[0.0])), ["0", "1"]);
    }

    #[test]
    fn logarithms_of_like_values_keep_a_scale_around_them() {
        // Two octaves around sqrt(300 * 400) = 346: from 173 to 693. A decade around it: from 110 to 1095.
        assert_eq!(labels(&fit(Scale::Log2, Direction::Up, &[300.0, 400.0])), ["256", "512"]);
        assert_eq!(labels(&fit(Scale::Log10, Direction::Up, &[300.0, 400.0])), ["200", "500", "1000"]);
    }

    #[test]
    fn long_labels_are_thinned_out_evenly() {
        // One, two, four, eight, sixteen: five ticks where three have room.
        let mut axis = fit(Scale::Log2, Direction::Across, &[1.0, 16.0]);
        axis.thin_out(3);
        assert_eq!(labels(&axis), ["1", "4", "16"]);
        axis.thin_out(0);
        assert_eq!(labels(&axis), ["1"]);
    }

    #[test]
    fn zero_on_a_logarithmic_axis_is_moved_to_its_beginning() {
        let axis = fit(Scale::Log10, Direction::Up, &[1.0, 100.0]);
        assert_eq!(axis.map(&0.0, (400, 0)), 400);
        assert_eq!(axis.map(&-1.0, (400, 0)), 400);
    }
}
