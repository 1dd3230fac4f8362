//! Which values an axis names.

use std::ops::RangeInclusive;

use super::number;

/// More labels than this crowd an axis.
pub(super) const N_MAX: usize = 8;

/// Powers below this many are too few to read other values by.
const N_POWERS_MIN: usize = 3;

/// A value that the axis names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where it stands.
    pub(super) value: f64,
    /// Its name.
    pub(super) label: String,
}

/// A distance between neighbouring ticks: 1, 2 or 5 times a power of ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    mantissa: i64,
    exponent: i32,
}

impl Step {
    /// The smallest step that puts at most [`N_MAX`] multiples into the range. For `whole` numbers it is 1 or more.
    ///
    /// None if the ends are too far apart or too near zero for floating point.
    pub(super) fn for_range(low: f64, high: f64, whole: Whole) -> Option<Self> {
        let smallest = ((high - low) / N_MAX as f64).log10().floor();
        let first = match whole {
            Whole::Yes => smallest.max(0.0),
            Whole::No => smallest,
        };
        if !first.is_finite() {
            return None;
        }
        (first as i32..=300)
            .flat_map(|exponent| [1, 2, 5].map(|mantissa| Self { mantissa, exponent }))
            .find(|step| step.last(high) - step.first(low) < N_MAX as f64)
    }

    /// `k` steps from zero.
    pub(super) fn times(self, k: i64) -> f64 {
        decimal((self.mantissa * k) as f64, self.exponent)
    }

    // Multiples are counted with some tolerance: 0.3 is three times 0.1, though not in binary.
    fn first(self, low: f64) -> f64 {
        (low / self.times(1) - 1e-9).ceil()
    }

    fn last(self, high: f64) -> f64 {
        (high / self.times(1) + 1e-9).floor()
    }

    /// The range widened to multiples of the step.
    pub(super) fn widen(self, low: f64, high: f64) -> (f64, f64) {
        let below = (low / self.times(1) + 1e-9).floor();
        let above = (high / self.times(1) - 1e-9).ceil();
        (self.times(below as i64), self.times(above as i64))
    }

    /// The multiples within the range.
    pub(super) fn ticks(self, low: f64, high: f64) -> Vec<Tick> {
        let largest = low.abs().max(high.abs());
        let tick = |k| {
            let value = self.times(k);
            Tick { value, label: number::on_axis(value, largest, self.exponent) }
        };
        (self.first(low) as i64..=self.last(high) as i64).map(tick).collect()
    }
}

/// Whether only whole numbers make sense between the values of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// All values are whole: a count, a depth.
    Yes,
    /// Some value has a fraction.
    No,
}

/// Powers of two between `2^low` and `2^high`, thinned out evenly where there are many.
pub(super) fn log2(low: f64, high: f64) -> Vec<Tick> {
    let tick = |exponent| Tick { value: 2f64.powi(exponent), label: number::power_of_two(exponent) };
    representable(powers_within(low, high).into_iter().map(tick))
}

/// Powers of ten between `10^low` and `10^high`, thinned out evenly where there are many. Where they are few, their
/// doubles and fivefolds stand between them.
pub(super) fn log10(low: f64, high: f64) -> Vec<Tick> {
    let tick = |mantissa, exponent| {
        let value = decimal(mantissa, exponent);
        Tick { value, label: number::alone(value) }
    };
    let powers = powers_within(low, high);
    if powers.len() >= N_POWERS_MIN {
        return representable(powers.into_iter().map(|exponent| tick(1.0, exponent)));
    }
    let exponents = low.floor() as i32..=high.floor() as i32;
    let candidates = exponents.flat_map(|exponent| [1.0, 2.0, 5.0].map(|mantissa| tick(mantissa, exponent)));
    representable(candidates.filter(|tick| (low..=high).contains(&tick.value.log10())))
}

/// The whole exponents within the range, every one or every `stride`-th.
fn powers_within(low: f64, high: f64) -> Vec<i32> {
    let within: RangeInclusive<i32> = low.ceil() as i32..=high.floor() as i32;
    let every = |stride: i32| within.clone().filter(move |exponent| exponent.rem_euclid(stride) == 0);
    let stride = (1..).find(|stride| every(*stride).count() <= N_MAX).unwrap_or(1);
    every(stride).collect()
}

/// Without what under- or overflows.
fn representable(ticks: impl Iterator<Item = Tick>) -> Vec<Tick> {
    ticks.filter(|tick| tick.value > 0.0 && tick.value.is_finite()).collect()
}

/// `mantissa * 10^exponent`, rounded once: 0.3 rather than 0.30000000000000004, and 1e23 rather than a neighbour of it.
fn decimal(mantissa: f64, exponent: i32) -> f64 {
    format!("{mantissa}e{exponent}").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    fn linear(low: f64, high: f64, whole: Whole) -> Vec<Tick> {
        Step::for_range(low, high, whole).unwrap().ticks(low, high)
    }

    #[test]
    fn steps_are_one_two_or_five_times_a_power_of_ten() {
        // 16.2 / 8 is just over 2, but of the multiples of 2 only 2 to 16, eight of them, lie in the range.
        assert_eq!(labels(&linear(0.4, 16.6, Whole::Yes)), ["2", "4", "6", "8", "10", "12", "14", "16"]);
        let hundredths = ["0", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30"];
        assert_eq!(labels(&linear(0.0, 0.3, Whole::No)), hundredths);
        assert_eq!(labels(&linear(0.0, 24_000.0, Whole::No)), ["0", "5k", "10k", "15k", "20k"]);
        assert_eq!(labels(&linear(-3.0, 3.0, Whole::Yes)), ["-3", "-2", "-1", "0", "1", "2", "3"]);
    }

    #[test]
    fn whole_numbers_have_no_fractions_between_them() {
        assert_eq!(labels(&linear(0.9, 3.1, Whole::Yes)), ["1", "2", "3"]);
    }

    #[test]
    fn values_are_the_nearest_to_their_labels() {
        for tick in linear(0.0, 0.7, Whole::No) {
            assert_eq!(tick.value, tick.label.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn widening_goes_to_the_next_multiple_and_no_further() {
        let step = Step { mantissa: 2, exponent: 1 };
        assert_eq!(step.widen(0.0, 61.0), (0.0, 80.0));
        assert_eq!(step.widen(-1.0, 60.0), (-20.0, 60.0));
    }

    #[test]
    fn log2_names_powers_of_two() {
        assert_eq!(labels(&log2(-0.1, 4.1)), ["1", "2", "4", "8", "16"]);
        assert_eq!(labels(&log2(6.8, 12.2)), ["128", "256", "512", "1024", "2048", "4096"]);
        // 21 powers at most every third: 2^0, 2^3, ... 2^18.
        assert_eq!(labels(&log2(0.0, 20.0)), ["1", "8", "64", "512", "4096", "32768", "262144"]);
    }

    #[test]
    fn log10_names_powers_of_ten_and_values_between_where_these_are_few() {
        assert_eq!(labels(&log10(-0.1, 4.1)), ["1", "10", "100", "1000", "10k"]);
        // From 0.8 to 63.
        assert_eq!(labels(&log10(-0.1, 1.8)), ["1", "2", "5", "10", "20", "50"]);
    }

    #[test]
    fn large_powers_of_ten_keep_short_names() {
        // From 1e21 to 1e25; multiplied out, 10^23 is not the number nearest to 1e23.
        assert_eq!(labels(&log10(20.9, 25.1)), ["1e21", "1e22", "1e23", "1e24", "1e25"]);
    }

    #[test]
    fn ranges_beyond_floating_point_have_no_ticks_rather_than_a_panic() {
        assert_eq!(Step::for_range(0.0, f64::INFINITY, Whole::No), None);
        assert_eq!(Step::for_range(1.0, 1.0, Whole::No), None);
        assert!(log2(-1075.0, 1025.0).len() <= N_MAX);
        assert!(log10(-324.5, 309.0).len() <= N_MAX);
    }
}
