//! `[optimizer]`: how gradients become steps.

use serde::{Deserialize, Serialize};

use super::error::{Result, require, require_below_one, require_not_negative, require_positive};
use super::pattern::NamePattern;

/// How gradients become steps: AdamW (arXiv 1711.05101), and Muon for the matrices of blocks where that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// The peak learning rate. Required.
    pub learning_rate: f64,
    /// Decay of matrices: `w -= learning_rate * weight_decay * w`. Norms and biases have none, unless a group says so.
    /// Default 0.1.
    #[serde(default = "OptimizerConfig::default_weight_decay")]
    pub weight_decay: f64,
    /// Decay of the running mean of gradients and of their squares, each in [0, 1). Default `[0.9, 0.95]`.
    #[serde(default = "OptimizerConfig::default_betas")]
    pub betas: [f64; 2],
    /// What is added to the root of the mean square. Default 1e-8.
    #[serde(default = "OptimizerConfig::default_epsilon")]
    pub epsilon: f64,
    /// Gradients are scaled down together to this norm where it is exceeded; `inf` is never. Default 1.
    #[serde(default = "OptimizerConfig::default_clip")]
    pub clip: f64,
    /// Muon for some of the matrices. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muon: Option<MuonConfig>,
    /// Parameters that are treated in their own way; the first group that matches counts. Default: none.
    #[serde(default)]
    pub groups: Vec<GroupConfig>,
}

/// Muon: momentum made orthogonal by Newton-Schulz iterations (Jordan et al. 2024), for matrices only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Parameters it trains, as far as they are matrices. Default: those inside blocks, `prelude.*`, `core.*`, `coda.*` and
    /// `cross.*`.
    pub patterns: Vec<NamePattern>,
    /// Its peak learning rate. Default 0.02.
    pub learning_rate: f64,
    /// Decay of the momentum, in [0, 1). Default 0.95.
    pub momentum: f64,
    /// Whether the momentum is looked ahead of. Default true.
    pub nesterov: bool,
    /// Iterations that make the momentum orthogonal. Default 5.
    pub newton_schulz_steps: usize,
    /// Decay of its matrices. Default 0.1.
    pub weight_decay: f64,
}

/// Parameters that are treated in their own way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Which. Required.
    pub patterns: Vec<NamePattern>,
    /// Factor of their learning rate. Default 1.
    #[serde(default = "GroupConfig::default_learning_rate_scale")]
    pub learning_rate_scale: f64,
    /// Their decay, norms and biases included. Default: what they would have without the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

impl Default for MuonConfig {
    fn default() -> Self {
        let blocks = ["prelude.*", "core.*", "coda.*", "cross.*"];
        Self {
            patterns: blocks.into_iter().filter_map(|pattern| pattern.parse().ok()).collect(),
            learning_rate: 0.02,
            momentum: 0.95,
            nesterov: true,
            newton_schulz_steps: 5,
            weight_decay: 0.1,
        }
    }
}

impl OptimizerConfig {
    fn default_weight_decay() -> f64 {
        0.1
    }

    fn default_betas() -> [f64; 2] {
        [0.9, 0.95]
    }

    fn default_epsilon() -> f64 {
        1e-8
    }

    fn default_clip() -> f64 {
        1.0
    }

    /// AdamW with this peak learning rate and the defaults for the rest.
    pub fn adamw(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            weight_decay: Self::default_weight_decay(),
            betas: Self::default_betas(),
            epsilon: Self::default_epsilon(),
            clip: Self::default_clip(),
            muon: None,
            groups: Vec::new(),
        }
    }

    /// The factor that clips gradients of a global norm: `min(1, clip / norm)`.
    pub fn clip_factor(&self, gradient_norm: f64) -> f64 {
        if gradient_norm > self.clip { self.clip / gradient_norm } else { 1.0 }
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require_positive("optimizer.learning_rate", self.learning_rate)?;
        require_not_negative("optimizer.weight_decay", self.weight_decay)?;
        for (index, beta) in self.betas.into_iter().enumerate() {
            require_below_one(format!("optimizer.betas.{index}"), beta)?;
        }
        require_positive("optimizer.epsilon", self.epsilon)?;
        require(self.clip > 0.0, "optimizer.clip", self.clip, "must be more than 0; inf is never")?;
        self.muon.as_ref().map_or(Ok(()), MuonConfig::validate)?;
        self.groups.iter().enumerate().try_for_each(|(index, group)| group.validate(index))
    }
}

impl MuonConfig {
    fn validate(&self) -> Result<()> {
        require(!self.patterns.is_empty(), "optimizer.muon.patterns", "empty", "needs at least one pattern")?;
        require_positive("optimizer.muon.learning_rate", self.learning_rate)?;
        require_below_one("optimizer.muon.momentum", self.momentum)?;
        let steps = self.newton_schulz_steps;
        let allowed = format!("must be from 1 to {MOST_NEWTON_SCHULZ}");
        require((1..=MOST_NEWTON_SCHULZ).contains(&steps), "optimizer.muon.newton_schulz_steps", steps, allowed)?;
        require_not_negative("optimizer.muon.weight_decay", self.weight_decay)
    }
}

/// The iteration has long converged by then.
const MOST_NEWTON_SCHULZ: usize = 50;

impl GroupConfig {
    fn default_learning_rate_scale() -> f64 {
        1.0
    }

    fn validate(&self, index: usize) -> Result<()> {
        let key = format!("optimizer.groups.{index}");
        require(!self.patterns.is_empty(), format!("{key}.patterns"), "empty", "needs at least one pattern")?;
        require_not_negative(format!("{key}.learning_rate_scale"), self.learning_rate_scale)?;
        let decay = self.weight_decay.unwrap_or(0.0);
        require_not_negative(format!("{key}.weight_decay"), decay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_by_hand() {
        let optimizer = OptimizerConfig::adamw(1e-3);
        assert_eq!(optimizer.clip_factor(4.0), 0.25);
        assert_eq!(optimizer.clip_factor(1.0), 1.0);
        assert_eq!(optimizer.clip_factor(0.0), 1.0);
        assert_eq!(OptimizerConfig { clip: f64::INFINITY, ..optimizer }.clip_factor(1e30), 1.0);
    }

    #[test]
    fn muon_has_all_its_default_patterns() {
        assert_eq!(MuonConfig::default().patterns.len(), 4);
    }
}
