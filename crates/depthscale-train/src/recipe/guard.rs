//! `[guard]`: which steps are not taken.

use serde::{Deserialize, Serialize};

use super::error::{MOST_COUNT, Result, require, require_positive};

/// Which steps are not taken. Those whose loss or gradient is not finite never are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Losses that are too high. Default: none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spike: Option<SpikeConfig>,
    /// Steps in a row that may be skipped; one more stops the run. Default 10.
    pub most_skipped_in_a_row: usize,
}

/// A loss above `mean + deviations * std` of the last accepted losses is too high. None is before so many were accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpikeConfig {
    /// Standard deviations above the mean, those of the window itself (its squares are divided by their number). Default 6.
    pub deviations: f64,
    /// Accepted losses that are looked back on, at least 2. Default 100.
    pub window: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { spike: None, most_skipped_in_a_row: 10 }
    }
}

impl Default for SpikeConfig {
    fn default() -> Self {
        Self { deviations: 6.0, window: 100 }
    }
}

/// The window is looked through at every step.
const MOST_WINDOW: usize = 1 << 20;

impl GuardConfig {
    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let allowed = format!("must be at most {MOST_COUNT}");
        let skipped = self.most_skipped_in_a_row;
        require(skipped <= MOST_COUNT, "guard.most_skipped_in_a_row", skipped, allowed)?;
        let Some(spike) = &self.spike else { return Ok(()) };
        require_positive("guard.spike.deviations", spike.deviations)?;
        let allowed = format!("must be from 2 to {MOST_WINDOW}");
        require((2..=MOST_WINDOW).contains(&spike.window), "guard.spike.window", spike.window, allowed)
    }
}
