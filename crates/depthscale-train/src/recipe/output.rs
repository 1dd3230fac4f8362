//! `[output]`: where a run writes, and how often.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{Result, require, require_count};

/// Where a run writes, and how often. All of it may change when a run is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// The run's directory. Required.
    pub directory: PathBuf,
    /// Steps from one checkpoint to the next. Default 500.
    #[serde(default = "OutputConfig::default_checkpoint_every")]
    pub checkpoint_every: usize,
    /// Checkpoints that are kept, the newest. Default 3.
    #[serde(default = "OutputConfig::default_keep")]
    pub keep: usize,
    /// Steps from one line of the log to the next. Default 10.
    #[serde(default = "OutputConfig::default_log_every")]
    pub log_every: usize,
}

impl OutputConfig {
    fn default_checkpoint_every() -> usize {
        500
    }

    fn default_keep() -> usize {
        3
    }

    fn default_log_every() -> usize {
        10
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require(!self.directory.as_os_str().is_empty(), "output.directory", "empty", "must be a path")?;
        require_count("output.checkpoint_every", self.checkpoint_every, 1)?;
        require_count("output.keep", self.keep, 1)?;
        require_count("output.log_every", self.log_every, 1)
    }
}
