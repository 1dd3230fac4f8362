//! `[averaging]`: a running average of the weights.

use serde::{Deserialize, Serialize};

use super::error::{MOST_COUNT, Result, require, require_below_one};

/// Whether a running average of the weights is kept and saved beside them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AveragingConfig {
    /// No average. The default.
    #[default]
    None,
    /// An exponential one.
    Exponential(ExponentialConfig),
}

/// `average = decay * average + (1 - decay) * weights` after every step; up to `start` the average is the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExponentialConfig {
    /// Share of the average that is kept at a step, in [0, 1). Default 0.999.
    pub decay: f64,
    /// The last step after which the average still is the weights. Default 0.
    pub start: usize,
}

impl Default for ExponentialConfig {
    fn default() -> Self {
        Self { decay: 0.999, start: 0 }
    }
}

impl ExponentialConfig {
    /// Share of the average that is kept after `step`, counted from 1: 0 up to `start`, `decay` after it.
    pub fn kept(&self, step: usize) -> f64 {
        if step <= self.start { 0.0 } else { self.decay }
    }
}

impl AveragingConfig {
    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let Self::Exponential(exponential) = self else { return Ok(()) };
        require_below_one("averaging.exponential.decay", exponential.decay)?;
        let allowed = format!("must be at most {MOST_COUNT}");
        require(exponential.start <= MOST_COUNT, "averaging.exponential.start", exponential.start, allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_the_weights_up_to_its_start() {
        let average = ExponentialConfig { decay: 0.9, start: 2 };
        assert_eq!([1, 2, 3, 4].map(|step| average.kept(step)), [0.0, 0.0, 0.9, 0.9]);
    }
}
