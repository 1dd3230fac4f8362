//! How the next token is drawn.

use serde::{Deserialize, Serialize};

use crate::error::{Result, require};

/// How the next token is drawn from the logits. Order: repetition penalty, temperature, top-k, top-p, min-p, draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divisor of the logits; 0 takes the most likely token (greedy).
    pub temperature: f32,
    /// Only the `k` most likely tokens; `None` is no limit.
    pub top_k: Option<usize>,
    /// Only the smallest set of most likely tokens whose probability reaches this; 1 is no limit.
    pub top_p: f32,
    /// Only tokens with at least this share of the largest probability; 0 is no limit.
    pub min_p: f32,
    /// Logits of tokens already present are divided by this where positive and multiplied where negative; 1 is none
    /// (arXiv 1909.05858).
    pub repetition_penalty: f32,
    /// Seed of the draws and of random initial states.
    pub seed: u64,
}

impl Default for SamplingParams {
    /// Greedy.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: None, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl SamplingParams {
    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == Some(1)
    }

    /// Checks every field; the error names the field, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let finite = |value: f32| value.is_finite();
        require(
            finite(self.temperature) && self.temperature >= 0.0,
            "temperature",
            self.temperature,
            "must be finite and not negative",
        )?;
        if let Some(top_k) = self.top_k {
            require(top_k >= 1, "top_k", top_k, "must be at least 1")?;
        }
        require(self.top_p > 0.0 && self.top_p <= 1.0, "top_p", self.top_p, "must be in (0, 1]")?;
        require((0.0..=1.0).contains(&self.min_p), "min_p", self.min_p, "must be in [0, 1]")?;
        require(
            finite(self.repetition_penalty) && self.repetition_penalty > 0.0,
            "repetition_penalty",
            self.repetition_penalty,
            "must be finite and positive",
        )
    }
}
