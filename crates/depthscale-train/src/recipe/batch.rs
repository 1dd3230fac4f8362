//! `[batch]`: how many sequences make a step.

use serde::{Deserialize, Serialize};

use super::error::{MOST_COUNT, Result, require, require_count};

/// How many sequences make a step: `sequences * accumulate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// Sequences of a micro-batch, which are computed together. Required.
    pub sequences: usize,
    /// Micro-batches whose gradients are added up before the optimizer takes a step. Default 1.
    #[serde(default = "BatchConfig::default_accumulate")]
    pub accumulate: usize,
}

impl BatchConfig {
    fn default_accumulate() -> usize {
        1
    }

    /// Sequences of one step of the optimizer.
    pub fn sequences_per_step(&self) -> usize {
        self.sequences.saturating_mul(self.accumulate)
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require_count("batch.sequences", self.sequences, 1)?;
        require_count("batch.accumulate", self.accumulate, 1)?;
        let product = self.sequences_per_step();
        require(product <= MOST_COUNT, "batch.sequences * accumulate", product, format!("must be at most {MOST_COUNT}"))
    }
}
