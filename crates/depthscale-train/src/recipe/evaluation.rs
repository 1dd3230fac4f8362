//! `[evaluation]`: how often the model is evaluated while it trains, and on what.

use serde::{Deserialize, Serialize};

use super::error::{MOST_COUNT, Result, require, require_count};

/// How often the model is evaluated while it trains, and on what. All of it may change when a run is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Steps from one evaluation to the next; 0 is never. Default 500.
    pub every: usize,
    /// Held-out problems of each task and difficulty. Default 50.
    pub problems: usize,
    /// The deepest depth evaluated. Default: the depth of the model's config.
    pub max_depth: Option<usize>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { every: 500, problems: 50, max_depth: None }
    }
}

impl EvaluationConfig {
    /// Whether the model is evaluated after `step`, counted from 1.
    pub fn is_due(&self, step: usize) -> bool {
        self.every > 0 && step > 0 && step.is_multiple_of(self.every)
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let allowed = format!("must be at most {MOST_COUNT}; 0 is never");
        require(self.every <= MOST_COUNT, "evaluation.every", self.every, allowed)?;
        require_count("evaluation.problems", self.problems, 1)?;
        self.max_depth.map_or(Ok(()), |depth| super::depth::require_depth("evaluation.max_depth", depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_every_so_many_steps_or_never() {
        let due = |every| (0..=7).filter(move |&step| EvaluationConfig { every, ..Default::default() }.is_due(step));
        assert_eq!(due(3).collect::<Vec<_>>(), [3, 6]);
        assert_eq!(due(0).count(), 0);
    }
}
