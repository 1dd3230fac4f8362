//! The distribution of one parameter's initial values.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::state::cut_normal;

/// The distribution of one parameter's initial values; its mean is 0 unless it is constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InitialDraw {
    /// The same number everywhere.
    Constant(f64),
    /// A normal distribution.
    Normal {
        /// Its deviation.
        std: f64,
    },
    /// A normal distribution cut at three deviations.
    TruncatedNormal {
        /// The deviation before the cut, which is what publications name.
        std: f64,
    },
    /// A uniform distribution over `[-bound, bound]`.
    Uniform {
        /// The largest value.
        bound: f64,
    },
}

/// `sqrt(1 - 6 phi(3) / (2 Phi(3) - 1))`: the deviation of a standard normal draw cut at three deviations.
const CUT_DEVIATION: f64 = 0.986_578_4;

impl InitialDraw {
    /// The deviation of the values: `std`, `0.98658 std` after the cut, `bound / sqrt(3)`.
    pub fn deviation(self) -> f64 {
        match self {
            Self::Constant(_) => 0.0,
            Self::Normal { std } => std,
            Self::TruncatedNormal { std } => std * CUT_DEVIATION,
            Self::Uniform { bound } => bound / 3.0_f64.sqrt(),
        }
    }

    /// `count` values, formed in f64 and rounded once.
    pub(super) fn values(self, count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let mut value = || match self {
            Self::Constant(value) => value,
            Self::Normal { std } => std * rng.sample::<f64, _>(StandardNormal),
            Self::TruncatedNormal { std } => std * cut_normal(rng),
            Self::Uniform { bound } => bound * (2.0 * rng.random::<f64>() - 1.0),
        };
        (0..count).map(|_| value() as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn measured_deviations_and_bounds_are_those_named() {
        // phi(3) = 0.004431848 and 2 Phi(3) - 1 = 0.997300204.
        let cut = (1.0 - 6.0 * 0.004_431_848 / 0.997_300_204_f64).sqrt();
        assert!((CUT_DEVIATION - cut).abs() < 1e-6, "{cut}");
        let draws = [
            (InitialDraw::Constant(1.0), 1.0, 0.0),
            (InitialDraw::Normal { std: 0.02 }, f64::INFINITY, 0.02),
            (InitialDraw::TruncatedNormal { std: 0.1 }, 0.3, 0.0986578),
            (InitialDraw::Uniform { bound: 0.125 }, 0.125, 0.0721688), // 1 / (8 sqrt(3))
        ];
        for (draw, largest, deviation) in draws {
            assert!((draw.deviation() - deviation).abs() < 1e-6);
            let values = draw.values(40_000, &mut ChaCha8Rng::seed_from_u64(5));
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 40_000.0;
            let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 40_000.0;
            // Over 40,000 draws the measured deviation of a normal is off by 1 / sqrt(80,000) = 0.35 percent.
            assert!((variance.sqrt() - deviation).abs() <= 0.015 * deviation, "{draw:?}: {}", variance.sqrt());
            assert!(values.iter().all(|&x| f64::from(x).abs() <= largest + 1e-9), "{draw:?}");
        }
    }
}
