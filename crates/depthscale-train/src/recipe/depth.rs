//! `[depth]`: how many steps a sequence takes while it is trained on, and how many of them have a gradient.

use depthscale_types::exit::MOST_STEPS;
use serde::{Deserialize, Serialize};

use super::choice;
use super::error::{Result, require, require_not_negative};
use super::ramp::Ramp;

/// How many steps a sequence takes while it is trained on, and how many of them have a gradient.
///
/// The depth `p` is drawn, then clamped to `min..=max`. The last `k = min(backprop, p)` steps have a gradient, the
/// `n = p - k` before them have none: for each sequence by itself, so that the steps taken are `p` and not `n` of one
/// sequence and `k` of another. Huginn (arXiv 2502.05171) is `log-normal-poisson` with `mean = 32`, `backprop = 8` and
/// `per = "batch"`; Parcae is `poisson` with `per = "sequence"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthConfig {
    /// How `p` is drawn. Default `fixed`.
    #[serde(default, deserialize_with = "choice::deserialize")]
    pub distribution: DepthDistribution,
    /// The mean that the distribution is made from. Required, except for `uniform`, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// The least depth. Default 1.
    #[serde(default = "DepthConfig::default_min")]
    pub min: usize,
    /// The greatest depth. Required for `uniform`. Default otherwise: the mean for `fixed`, eight times the mean for the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// Who shares a draw. Default `batch`.
    #[serde(default)]
    pub per: DepthPer,
    /// Most steps with a gradient, the last ones. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backprop: Option<usize>,
    /// What rises while training goes on. Default: nothing.
    #[serde(default)]
    pub curriculum: DepthCurriculum,
}

/// The distribution of depths.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DepthDistribution {
    /// The mean itself, a whole number.
    #[default]
    Fixed,
    /// `max(1, Poisson(mean))` (Parcae).
    Poisson,
    /// `Poisson(rate) + 1` with `rate ~ LogNormal(mu, sigma)` and `mu = ln(mean) - sigma^2 / 2`, so that the rate's mean is
    /// `mean` and the depth's `mean + 1` (Huginn, arXiv 2502.05171, as its published code has it).
    LogNormalPoisson(LogNormalConfig),
    /// Every depth of `min..=max` alike.
    Uniform,
}

/// The spread of the rate of [`DepthDistribution::LogNormalPoisson`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogNormalConfig {
    /// Standard deviation of the rate's logarithm. Default 0.5.
    pub sigma: f64,
}

impl Default for LogNormalConfig {
    fn default() -> Self {
        Self { sigma: 0.5 }
    }
}

/// Who shares a draw of the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DepthPer {
    /// All sequences of a micro-batch.
    #[default]
    Batch,
    /// No one: each sequence has its own.
    Sequence,
}

/// What rises while training goes on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DepthCurriculum {
    /// The mean; of `uniform` the greatest depth. Default: does not rise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Ramp>,
    /// The most steps with a gradient. Default: does not rise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backprop: Option<Ramp>,
}

impl DepthConfig {
    fn default_min() -> usize {
        1
    }

    /// Exactly `depth` steps, all with a gradient.
    pub fn fixed(depth: usize) -> Self {
        Self {
            distribution: DepthDistribution::Fixed,
            mean: Some(depth as f64),
            min: 1,
            max: None,
            per: DepthPer::Batch,
            backprop: None,
            curriculum: DepthCurriculum::default(),
        }
    }

    /// The depth expected after the curricula: `mean` for `fixed`, `mean + e^-mean` for `poisson` (what is 0 becomes 1),
    /// `mean + 1` for `log-normal-poisson`, `(min + max) / 2` for `uniform`. What a `min` over 1 and `max` cut off is not
    /// counted, but the result is in `min..=max`.
    pub fn expected_depth(&self) -> f64 {
        let mean = self.mean.unwrap_or(1.0);
        let most = self.most_depth() as f64;
        let expected = match self.distribution {
            DepthDistribution::Fixed => mean,
            DepthDistribution::Poisson => mean + (-mean).exp(),
            DepthDistribution::LogNormalPoisson(_) => mean + 1.0,
            DepthDistribution::Uniform => (self.min as f64 + most) / 2.0,
        };
        expected.max(self.min as f64).min(most)
    }

    /// The greatest depth a draw can give.
    pub fn most_depth(&self) -> usize {
        let times = match self.distribution {
            DepthDistribution::Fixed => 1.0,
            _ => MOST_MEANS,
        };
        let reached = (self.mean.unwrap_or(1.0) * times).ceil() as usize;
        self.max.unwrap_or(reached.clamp(1, MOST_STEPS)).max(self.min)
    }

    /// The most steps with a gradient that a draw can give.
    pub fn most_tracked(&self) -> usize {
        self.backprop.unwrap_or(usize::MAX).min(self.most_depth())
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require_depth("depth.min", self.min)?;
        if let Some(max) = self.max {
            require_depth("depth.max", max)?;
            let allowed = format!("must be at most max, which is {max}");
            require(self.min <= max, "depth.min", self.min, allowed)?;
        }
        if let Some(backprop) = self.backprop {
            require_depth("depth.backprop", backprop)?;
        }
        if self.distribution == DepthDistribution::Uniform {
            require(self.max.is_some(), "depth.max", "missing", "is needed by the distribution uniform")?;
            let found = self.mean.map_or(String::new(), |mean| mean.to_string());
            let allowed = "must be left out: uniform goes from min to max";
            require(self.mean.is_none(), "depth.mean", found, allowed)?;
        } else {
            self.validate_mean()?;
        }
        if let DepthDistribution::LogNormalPoisson(log_normal) = &self.distribution {
            require_not_negative("depth.distribution.log-normal-poisson.sigma", log_normal.sigma)?;
            let allowed = "must be at most 4: the depths of wider spreads are all 1 or the greatest";
            require(log_normal.sigma <= 4.0, "depth.distribution.log-normal-poisson.sigma", log_normal.sigma, allowed)?;
        }
        self.curriculum.mean.map_or(Ok(()), |ramp| ramp.validate("depth.curriculum.mean"))?;
        self.curriculum.backprop.map_or(Ok(()), |ramp| ramp.validate("depth.curriculum.backprop"))?;
        require(
            self.curriculum.backprop.is_none() || self.backprop.is_some(),
            "depth.backprop",
            "missing",
            "is needed by depth.curriculum.backprop, which rises to it",
        )
    }

    fn validate_mean(&self) -> Result<()> {
        let Some(mean) = self.mean else {
            return require(false, "depth.mean", "missing", "is needed by every distribution but uniform");
        };
        let (min, most) = (self.min, self.max.unwrap_or(MOST_STEPS));
        let allowed = format!("must be from min, which is {min}, to {most}");
        require(mean >= min as f64 && mean <= most as f64, "depth.mean", mean, allowed)?;
        let whole = self.distribution != DepthDistribution::Fixed || mean.fract() == 0.0;
        require(whole, "depth.mean", mean, "must be a whole number for the distribution fixed")
    }
}

/// Without a `max`, draws are capped at so many means: with Huginn's mean and spread the rate alone is beyond that once in
/// two hundred thousand draws.
const MOST_MEANS: f64 = 8.0;

/// Checks that a depth is one a model may be given.
pub(crate) fn require_depth(key: &str, depth: usize) -> Result<()> {
    require((1..=MOST_STEPS).contains(&depth), key, depth, format!("must be from 1 to {MOST_STEPS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(distribution: DepthDistribution, mean: Option<f64>) -> DepthConfig {
        DepthConfig { distribution, mean, ..DepthConfig::fixed(4) }
    }

    #[test]
    fn expected_and_greatest_depths_by_hand() {
        assert_eq!(DepthConfig::fixed(4).expected_depth(), 4.0);
        assert_eq!(DepthConfig::fixed(4).most_depth(), 4);
        let huginn = with(DepthDistribution::LogNormalPoisson(LogNormalConfig::default()), Some(32.0));
        assert_eq!((huginn.expected_depth(), huginn.most_depth()), (33.0, 256));
        let parcae = with(DepthDistribution::Poisson, Some(2.0));
        // P(0) = e^-2 = 0.135335 becomes 1.
        assert!((parcae.expected_depth() - 2.135335).abs() < 1e-6);
        let uniform = DepthConfig { min: 2, max: Some(7), ..with(DepthDistribution::Uniform, None) };
        assert_eq!((uniform.expected_depth(), uniform.most_depth()), (4.5, 7));
        assert_eq!(DepthConfig { backprop: Some(3), ..uniform }.most_tracked(), 3);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = |config: DepthConfig| config.validate().expect_err("refused").to_string();
        assert_eq!(
            refused(with(DepthDistribution::Uniform, None)),
            "depth.max is missing: is needed by the distribution uniform"
        );
        let uniform = DepthConfig { max: Some(4), ..with(DepthDistribution::Uniform, Some(3.0)) };
        assert_eq!(refused(uniform), "depth.mean is 3: must be left out: uniform goes from min to max");
        assert_eq!(
            refused(with(DepthDistribution::Poisson, None)),
            "depth.mean is missing: is needed by every distribution but uniform"
        );
        assert_eq!(
            refused(with(DepthDistribution::Fixed, Some(2.5))),
            "depth.mean is 2.5: must be a whole number for the distribution fixed"
        );
        let capped = DepthConfig { max: Some(4), ..with(DepthDistribution::Poisson, Some(5.0)) };
        assert_eq!(refused(capped), "depth.mean is 5: must be from min, which is 1, to 4");
        let curriculum = DepthCurriculum { backprop: Some(Ramp::default()), ..Default::default() };
        assert_eq!(
            refused(DepthConfig { curriculum, ..DepthConfig::fixed(4) }),
            "depth.backprop is missing: is needed by depth.curriculum.backprop, which rises to it"
        );
    }
}
