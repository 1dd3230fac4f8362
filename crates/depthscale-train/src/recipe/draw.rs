//! Draws of the depth, which depend on the seed and the step alone.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Poisson};

use super::depth::{DepthConfig, DepthDistribution, DepthPer};

/// What a draw depends on, besides the recipe. Draws of one key are the same in every process and on every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DepthKey {
    /// The seed of the run.
    pub seed: u64,
    /// The step of the optimizer, counted from 1.
    pub step: u64,
    /// The micro-batch of the step, counted from 0.
    pub micro_batch: u64,
}

/// Steps of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DepthDraw {
    /// Steps without a gradient, which come first.
    pub free: usize,
    /// Steps with a gradient, the last ones; at least 1.
    pub tracked: usize,
}

impl DepthDraw {
    /// All steps.
    pub fn depth(&self) -> usize {
        self.free + self.tracked
    }
}

impl DepthKey {
    fn generator(self) -> ChaCha8Rng {
        let mut seed = *b"........................depth---";
        seed[0..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.step.to_le_bytes());
        seed[16..24].copy_from_slice(&self.micro_batch.to_le_bytes());
        ChaCha8Rng::from_seed(seed)
    }
}

impl DepthConfig {
    /// One draw for each of `sequences`; equal ones where they are drawn per batch. `progress` is the share of training
    /// that is over, which the curricula follow.
    ///
    /// For each sequence `tracked = min(backprop, depth)` and `free = depth - tracked`, never less than no steps.
    pub fn draw(&self, key: DepthKey, sequences: usize, progress: f64) -> Vec<DepthDraw> {
        let mut generator = key.generator();
        let backprop = self.backprop_at(progress);
        let mut next = || {
            let depth = self.one_depth(&mut generator, progress);
            let tracked = backprop.min(depth);
            DepthDraw { free: depth - tracked, tracked }
        };
        match self.per {
            DepthPer::Batch => vec![next(); sequences],
            DepthPer::Sequence => (0..sequences).map(|_| next()).collect(),
        }
    }

    fn backprop_at(&self, progress: f64) -> usize {
        match (self.backprop, self.curriculum.backprop) {
            (None, _) => usize::MAX,
            (Some(most), None) => most.max(1),
            (Some(most), Some(ramp)) => ramp.value(progress, most.max(1) as f64) as usize,
        }
    }

    fn one_depth(&self, generator: &mut impl Rng, progress: f64) -> usize {
        let (least, most) = (self.min.max(1), self.most_depth().max(1));
        let risen = |target: f64| self.curriculum.mean.map_or(target, |ramp| ramp.value(progress, target));
        let mean = risen(self.mean.unwrap_or(1.0));
        let depth = match &self.distribution {
            DepthDistribution::Fixed => mean,
            DepthDistribution::Poisson => poisson(mean, generator),
            DepthDistribution::LogNormalPoisson(log_normal) => {
                let mu = mean.ln() - log_normal.sigma.powi(2) / 2.0;
                let rate = LogNormal::new(mu, log_normal.sigma).map_or(mean, |rates| rates.sample(generator));
                poisson(rate, generator) + 1.0
            }
            DepthDistribution::Uniform => {
                let top = (risen(most as f64) as usize).max(least);
                generator.random_range(least as u64..=top as u64) as f64
            }
        };
        // The cast takes what is beyond the largest integer as the largest.
        (depth as usize).clamp(least, most)
    }
}

/// A draw from the Poisson distribution; the rate itself where it is none, such as 0.
fn poisson(rate: f64, generator: &mut impl Rng) -> f64 {
    Poisson::new(rate).map_or(rate, |counts| counts.sample(generator))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::depth::{DepthCurriculum, LogNormalConfig};
    use super::super::ramp::{Ramp, RampShape};
    use super::*;

    const KEY: DepthKey = DepthKey { seed: 1, step: 2, micro_batch: 3 };

    fn huginn() -> DepthConfig {
        DepthConfig {
            distribution: DepthDistribution::LogNormalPoisson(LogNormalConfig::default()),
            mean: Some(32.0),
            backprop: Some(8),
            ..DepthConfig::fixed(32)
        }
    }

    fn parcae() -> DepthConfig {
        DepthConfig {
            distribution: DepthDistribution::Poisson,
            mean: Some(4.0),
            backprop: Some(3),
            per: DepthPer::Sequence,
            ..DepthConfig::fixed(4)
        }
    }

    fn moments(depths: &[f64]) -> (f64, f64) {
        let mean = depths.iter().sum::<f64>() / depths.len() as f64;
        let variance = depths.iter().map(|depth| (depth - mean).powi(2)).sum::<f64>() / depths.len() as f64;
        (mean, variance)
    }

    #[test]
    fn log_normal_poisson_has_the_moments_worked_out_by_hand() {
        // E[p] = E[rate] + 1 = 33. Var[p] = E[rate] + Var[rate] = 32 + 32^2 (e^0.25 - 1) = 32 + 290.85 = 322.85. The mean of
        // 10^4 draws has a standard deviation of sqrt(322.85) / 100 = 0.18; five of them are 0.9.
        let config = DepthConfig { per: DepthPer::Sequence, ..huginn() };
        let depths: Vec<f64> = config.draw(KEY, 10_000, 1.0).iter().map(|draw| draw.depth() as f64).collect();
        let (mean, variance) = moments(&depths);
        assert!((mean - config.expected_depth()).abs() < 0.9, "{mean}");
        assert!((variance / 322.85 - 1.0).abs() < 0.15, "{variance}");
    }

    #[test]
    fn poisson_has_the_moments_worked_out_by_hand() {
        // E = 4 + e^-4 = 4.0183, the variance is near 4: five standard deviations of the mean are 0.1.
        let draws = parcae().draw(KEY, 10_000, 1.0);
        let depths: Vec<f64> = draws.iter().map(|draw| draw.depth() as f64).collect();
        let (mean, _) = moments(&depths);
        assert!((mean - 4.0183).abs() < 0.1, "{mean}");
        assert!(depths.contains(&1.0));
    }

    #[test]
    fn steps_with_a_gradient_are_part_of_the_depth() {
        let all = DepthConfig { backprop: None, ..parcae() };
        let (bounded, all) = (parcae().draw(KEY, 1000, 1.0), all.draw(KEY, 1000, 1.0));
        assert!(bounded.iter().any(|draw| draw.free > 0) && bounded.iter().any(|draw| draw.tracked < 3));
        for (bounded, all) in bounded.iter().zip(&all) {
            // The same depth, whether or not the gradient is cut: free steps are what the tracked ones leave.
            assert_eq!(bounded.depth(), all.tracked);
            assert_eq!(bounded.tracked, bounded.depth().min(3));
            assert_eq!(all.free, 0);
        }
    }

    #[test]
    fn draws_depend_on_the_key_alone() {
        let draws = huginn().draw(KEY, 3, 1.0);
        assert_eq!(draws, huginn().draw(KEY, 3, 1.0));
        assert!(draws.iter().all(|draw| draw == &draws[0]), "a batch shares its draw");
        let firsts = |changed: fn(u64) -> DepthKey| -> Vec<usize> {
            (0..20).map(|i| huginn().draw(changed(i), 1, 1.0)[0].depth()).collect()
        };
        for changed in [
            firsts(|seed| DepthKey { seed, ..KEY }),
            firsts(|step| DepthKey { step, ..KEY }),
            firsts(|micro_batch| DepthKey { micro_batch, ..KEY }),
        ] {
            assert!(changed.iter().any(|depth| depth != &changed[0]), "{changed:?}");
        }
    }

    #[test]
    fn a_batch_takes_the_draw_of_its_first_sequence() {
        let alone = DepthConfig { per: DepthPer::Sequence, ..huginn() }.draw(KEY, 4, 1.0);
        assert_eq!(huginn().draw(KEY, 4, 1.0), vec![alone[0]; 4]);
    }

    #[test]
    fn uniform_draws_every_depth_alike() {
        let distribution = DepthDistribution::Uniform;
        let config = DepthConfig {
            distribution,
            mean: None,
            min: 2,
            max: Some(5),
            per: DepthPer::Sequence,
            ..DepthConfig::fixed(1)
        };
        let mut counts = [0.0; 7];
        for draw in config.draw(KEY, 4000, 1.0) {
            counts[draw.depth()] += 1.0;
        }
        // A thousand each; the standard deviation is sqrt(4000 * 1/4 * 3/4) = 27.
        for (depth, count) in counts.into_iter().enumerate() {
            let expected: f64 = if (2..=5).contains(&depth) { 1000.0 } else { 0.0 };
            assert!((count - expected).abs() < 140.0, "{depth}: {count}");
        }
    }

    #[test]
    fn curricula_raise_mean_and_gradient_separately() {
        let linear = Ramp { shape: RampShape::Linear, share: 0.5 };
        let slow = Ramp { shape: RampShape::OneMinusSqrt, share: 1.0 };
        let curriculum = DepthCurriculum { mean: Some(linear), backprop: Some(slow) };
        let config = DepthConfig { backprop: Some(4), curriculum, ..DepthConfig::fixed(8) };
        let at = |progress| config.draw(KEY, 1, progress)[0];
        // Depth ceil(2 * progress * 8), gradient ceil((1 - sqrt(1 - progress)) * 4): 1 and 1; 3 (of 2.4) and 1 (of 0.31);
        // 8 and 2 (of 1.17); 8 and 4.
        assert_eq!(at(0.0), DepthDraw { free: 0, tracked: 1 });
        assert_eq!(at(0.15), DepthDraw { free: 2, tracked: 1 });
        assert_eq!(at(0.5), DepthDraw { free: 6, tracked: 2 });
        assert_eq!(at(1.0), DepthDraw { free: 4, tracked: 4 });
    }

    proptest! {
        #[test]
        fn draws_stay_in_their_bounds(
            kind in 0usize..4, mean in 1usize..60, min in 1usize..5, width in 0usize..100, backprop in 1usize..12,
            progress in 0.0..=1.0f64, seed: u64,
        ) {
            let max = Some(mean.max(min) + width);
            let distribution = match kind {
                0 => DepthDistribution::Fixed,
                1 => DepthDistribution::Poisson,
                2 => DepthDistribution::LogNormalPoisson(LogNormalConfig { sigma: 1.0 }),
                _ => DepthDistribution::Uniform,
            };
            let mean = (kind < 3).then_some(mean.max(min) as f64);
            let curriculum = DepthCurriculum { mean: Some(Ramp::default()), backprop: Some(Ramp::default()) };
            let config = DepthConfig {
                distribution, mean, min, max, per: DepthPer::Sequence, backprop: Some(backprop), curriculum,
            };
            prop_assert!(config.validate().is_ok());
            for draw in config.draw(DepthKey { seed, ..KEY }, 8, progress) {
                prop_assert!((min..=config.most_depth()).contains(&draw.depth()));
                prop_assert!((1..=backprop).contains(&draw.tracked));
            }
        }
    }
}
