//! Curricula: a number that rises while training goes on.

use serde::{Deserialize, Serialize};

use super::error::{Result, require_share};

/// A number that rises to its target over the first part of training: `ceil(f(x) * target)`, at least 1, where `x` is the
/// share of that part that is over. The curriculum on depth of Parcae and of retrofitted recurrence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ramp {
    /// The function `f`. Default `linear`.
    pub shape: RampShape,
    /// Share of training over which it rises, in (0, 1]; after it the target holds. Default 0.5.
    pub share: f64,
}

/// How something rises from 0 to 1: a curriculum, or, seen from its end, the decay of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RampShape {
    /// `f(x) = x`.
    #[default]
    Linear,
    /// `f(x) = 1 - sqrt(1 - x)`: slow at first.
    OneMinusSqrt,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { shape: RampShape::Linear, share: 0.5 }
    }
}

impl RampShape {
    /// `f(x)`, for `x` in [0, 1].
    pub fn at(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::OneMinusSqrt => 1.0 - (1.0 - x).sqrt(),
        }
    }
}

impl Ramp {
    /// The number at `progress`, the share of training that is over: whole until the target, which need not be whole, is
    /// reached.
    pub fn value(&self, progress: f64, target: f64) -> f64 {
        let x = (progress / self.share).clamp(0.0, 1.0);
        let risen = self.shape.at(x);
        // 0.07 * 100 is a little more than 7 in binary and must not become 8.
        (risen * target - 1e-9).ceil().max(1.0).min(target)
    }

    pub(crate) fn validate(&self, key: &str) -> Result<()> {
        require_share(format!("{key}.share"), self.share)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn linear_values_by_hand() {
        let ramp = Ramp { shape: RampShape::Linear, share: 0.5 };
        // x = 0, 0.1, 0.25, 0.26, 1, 1: 0 -> 1; 0.8 -> 1; 2; 2.08 -> 3; 8; 8.
        let values = [0.0, 0.05, 0.125, 0.13, 0.5, 1.0].map(|progress| ramp.value(progress, 8.0));
        assert_eq!(values, [1.0, 1.0, 2.0, 3.0, 8.0, 8.0]);
        assert_eq!(Ramp { share: 1.0, ..ramp }.value(0.07, 100.0), 7.0);
    }

    #[test]
    fn one_minus_sqrt_values_by_hand() {
        let ramp = Ramp { shape: RampShape::OneMinusSqrt, share: 1.0 };
        // 1 - sqrt(1 - x) is 0, 0.2, 0.5, 0.9, 1 at x = 0, 0.36, 0.75, 0.99, 1; times 8 that is 0, 1.6, 4, 7.2, 8.
        let values = [0.0, 0.36, 0.75, 0.99, 1.0].map(|progress| ramp.value(progress, 8.0));
        assert_eq!(values, [1.0, 2.0, 4.0, 8.0, 8.0]);
    }

    #[test]
    fn a_target_that_is_not_whole_is_not_passed() {
        assert_eq!(Ramp::default().value(1.0, 4.5), 4.5);
    }

    proptest! {
        #[test]
        fn never_falls_and_stays_between_one_and_the_target(
            a in 0.0..1.0f64, b in 0.0..1.0f64, share in 0.01..=1.0f64, target in 1usize..200, linear: bool,
        ) {
            let shape = if linear { RampShape::Linear } else { RampShape::OneMinusSqrt };
            let ramp = Ramp { shape, share };
            let (first, last) = (ramp.value(a.min(b), target as f64), ramp.value(a.max(b), target as f64));
            prop_assert!(1.0 <= first && first <= last && last <= target as f64);
            prop_assert_eq!(last.fract(), 0.0);
        }
    }
}
