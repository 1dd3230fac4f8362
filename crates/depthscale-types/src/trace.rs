//! What happened: the record of every token and step.

use serde::{Deserialize, Serialize};

/// The record of one token's recurrences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTrace {
    /// Position in its sequence, from 0.
    pub position: usize,
    /// Steps taken.
    pub steps: usize,
    /// The exit value after each step; `None` where it was not evaluated.
    pub values: Vec<Option<f32>>,
    /// Why it stopped.
    pub reason: ExitReason,
}

/// Why a token stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// The criterion was satisfied.
    Converged,
    /// The last allowed step was reached.
    DepthReached,
}

/// The records of many tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthTrace {
    /// One record a token.
    pub tokens: Vec<TokenTrace>,
}

impl DepthTrace {
    /// Mean of the steps taken; 0 for no tokens.
    pub fn mean_depth(&self) -> f64 {
        if self.tokens.is_empty() { 0.0 } else { self.total_steps() as f64 / self.tokens.len() as f64 }
    }

    /// Sum of the steps taken.
    pub fn total_steps(&self) -> usize {
        self.tokens.iter().map(|token| token.steps).sum()
    }

    /// Share of the steps of a run at `depth` that were not taken, in [0, 1].
    pub fn steps_saved(&self, depth: usize) -> f64 {
        let full = depth * self.tokens.len();
        if full == 0 { 0.0 } else { 1.0 - self.total_steps() as f64 / full as f64 }
    }
}

/// Blocks evaluated, summed over token rows: one block applied to ten rows counts ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockEvaluations {
    /// Before the recurrence.
    pub prelude: u64,
    /// Inside the recurrence.
    pub core: u64,
    /// Coda or cross-decoder.
    pub readout: u64,
}

impl BlockEvaluations {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.prelude + self.core + self.readout
    }
}

impl std::ops::AddAssign for BlockEvaluations {
    fn add_assign(&mut self, other: Self) {
        self.prelude += other.prelude;
        self.core += other.core;
        self.readout += other.readout;
    }
}

/// The report of one recurrence of the reasoning loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: usize,
    /// The refinement metric after it.
    pub metric: f32,
    /// The exit value after it: what the policy compares with its threshold. `None` where it is not defined yet.
    pub exit_value: Option<f32>,
    /// Whether the policy is satisfied.
    pub converged: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_averaged_over_tokens() {
        let token = |steps| TokenTrace { position: 0, steps, values: vec![], reason: ExitReason::Converged };
        let trace = DepthTrace { tokens: vec![token(1), token(4), token(4)] };
        assert_eq!(trace.mean_depth(), 3.0);
        assert_eq!(trace.steps_saved(4), 0.25); // 9 of 12 steps were taken.
        assert_eq!(DepthTrace::default().mean_depth(), 0.0);
    }
}
