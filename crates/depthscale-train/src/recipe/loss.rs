//! `[loss]`: what is minimised.

use serde::{Deserialize, Serialize};

use super::choice;
use super::error::{Result, require, require_not_negative, require_positive};

/// What is minimised. `L_t` is the mean cross entropy of the next token read out after step `t`, in nats.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// How the steps count. Default `last-step`.
    #[serde(deserialize_with = "choice::deserialize")]
    pub kind: LossKind,
    /// Factor of the squared logarithm of the softmax's denominator, which keeps logits small (arXiv 2204.02311 uses 1e-4).
    /// Default 0.
    pub z_loss: f64,
}

/// How the losses of the steps become one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossKind {
    /// `L_p` of the last step (Huginn). The default.
    #[default]
    LastStep,
    /// A weighted mean of `L_t` over the steps with a gradient.
    EveryStep(EveryStepConfig),
    /// `sum_t p_t L_t - entropy * H(p)` (Ouro, arXiv 2510.25741, stage I). `p_t` is the probability of exiting after step
    /// `t` under the hazards `sigmoid(gate(s_t))`; the last step takes what is left. `H(p) = -sum_t p_t ln p_t` in nats
    /// draws `p` to the uniform one. Steps without a
    /// gradient have no part in `p`: it begins after them.
    ExpectedExit(ExpectedExitConfig),
    /// The exit gate alone learns, everything else stays as it is (Ouro, stage II).
    GateOnly(GateOnlyConfig),
}

/// Settings of [`LossKind::EveryStep`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EveryStepConfig {
    /// How much each step counts. Default `uniform`.
    pub weights: StepWeights,
}

/// How much each step counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepWeights {
    /// All alike.
    #[default]
    Uniform,
    /// In proportion to the step, counted from 1 over all steps, those without a gradient included.
    Linear,
}

/// Settings of [`LossKind::ExpectedExit`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedExitConfig {
    /// Factor of the entropy, `beta` in the paper. Default 0.05.
    pub entropy: f64,
}

/// Settings of [`LossKind::GateOnly`]. The gain of step `t` is `max(0, L_{t-1} - L_t)` for each token, from step 2 on. Going
/// on to step `t` is right with weight `w_t = sigmoid(gain_slope * (gain_t - gain_threshold))`; the gate's probability of
/// going on after step `t - 1` is trained to it by binary cross entropy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateOnlyConfig {
    /// How sharply the target changes, per nat. Default 50.
    pub gain_slope: f64,
    /// The gain at which exiting and going on are even, in nats. Default 0.005.
    pub gain_threshold: f64,
}

impl Default for ExpectedExitConfig {
    fn default() -> Self {
        Self { entropy: 0.05 }
    }
}

impl Default for GateOnlyConfig {
    fn default() -> Self {
        Self { gain_slope: 50.0, gain_threshold: 0.005 }
    }
}

impl StepWeights {
    /// Weights of the `tracked` steps that follow `free` ones; they sum to 1.
    pub fn weights(self, free: usize, tracked: usize) -> Vec<f64> {
        let raw: Vec<f64> = (free + 1..=free + tracked)
            .map(|step| match self {
                Self::Uniform => 1.0,
                Self::Linear => step as f64,
            })
            .collect();
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|weight| weight / sum).collect()
    }
}

impl LossConfig {
    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require_not_negative("loss.z_loss", self.z_loss)?;
        match &self.kind {
            LossKind::LastStep | LossKind::EveryStep(_) => Ok(()),
            LossKind::ExpectedExit(settings) => {
                require_not_negative("loss.kind.expected-exit.entropy", settings.entropy)
            }
            LossKind::GateOnly(settings) => {
                require_positive("loss.kind.gate-only.gain_slope", settings.gain_slope)?;
                require_not_negative("loss.kind.gate-only.gain_threshold", settings.gain_threshold)?;
                let z_loss = self.z_loss;
                require(z_loss == 0.0, "loss.z_loss", z_loss, "must be 0 with gate-only, which trains no logits")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_weights_by_hand() {
        assert_eq!(StepWeights::Uniform.weights(5, 4), [0.25; 4]);
        // Steps 1, 2, 3, 4 of a sum of 10.
        assert_eq!(StepWeights::Linear.weights(0, 4), [0.1, 0.2, 0.3, 0.4]);
        // Steps 4, 5, 6 of a sum of 15.
        assert_eq!(StepWeights::Linear.weights(3, 3), [4.0 / 15.0, 5.0 / 15.0, 6.0 / 15.0]);
        assert!(StepWeights::Linear.weights(3, 0).is_empty());
    }
}
