//! A share of right answers, and how sure it is.

use serde::{Deserialize, Serialize};

/// So many right of so many, with the 95% interval of Wilson (1927).
///
/// With `p = right / of`, `n = of` and `z = 1.959964` the interval is
/// `(p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`. Unlike `p +- z sqrt(p (1 - p) / n)` it stays in
/// [0, 1] and has a width where all or none are right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proportion {
    /// How many are right.
    pub right: usize,
    /// Of how many.
    pub of: usize,
    /// `right / of`, in [0, 1]; 0 of none.
    pub share: f64,
    /// The lower end of the interval; 0 of none.
    pub low: f64,
    /// The upper end of the interval; 1 of none.
    pub high: f64,
}

/// The 97.5% point of the normal distribution: 95% of it lies within so many standard deviations.
const Z: f64 = 1.959_963_984_540_054;

impl Proportion {
    /// `right` of `of`, with its interval.
    pub fn new(right: usize, of: usize) -> Self {
        if of == 0 {
            return Self { right, of, share: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, z2) = (of as f64, Z * Z);
        let share = right as f64 / n;
        let scale = 1.0 + z2 / n;
        let middle = (share + z2 / (2.0 * n)) / scale;
        let half = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / scale;
        Self { right, of, share, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn wilson_intervals_by_hand() {
        // z^2 = 3.841459. For 8 of 10: (0.8 + 0.192073) / 1.384146 = 0.716740, and
        // 1.959964 sqrt(0.016 + 0.009604) / 1.384146 = 0.226578.
        let some = Proportion::new(8, 10);
        assert_eq!((some.right, some.of, some.share), (8, 10, 0.8));
        assert_close(some.low, 0.490_162);
        assert_close(some.high, 0.943_318);
        // For 0 of 10 both terms are 0.138767: from 0 to z^2 / (10 + z^2).
        let none = Proportion::new(0, 10);
        assert_close(none.low, 0.0);
        assert_close(none.high, 0.277_533);
        // All of 10 is the mirror image.
        let all = Proportion::new(10, 10);
        assert_close(all.low, 1.0 - none.high);
        assert_close(all.high, 1.0);
    }

    #[test]
    fn of_none_nothing_is_known() {
        let unknown = Proportion::new(0, 0);
        assert_eq!((unknown.share, unknown.low, unknown.high), (0.0, 0.0, 1.0));
    }
}
