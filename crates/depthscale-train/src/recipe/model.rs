//! `[model]`: what is trained.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{Result, require};
use super::pattern::NamePattern;

/// What is trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "ModelKeys", try_from = "ModelKeys")]
pub struct ModelConfig {
    /// Where it comes from: one of the keys `config` and `from`. Required.
    pub source: ModelSource,
    /// Parameters that stay as they are. Default: none.
    pub freeze: Vec<NamePattern>,
    /// A tokenizer file or its directory. Default: that of the task's alphabet for a fresh model, that of the checkpoint
    /// otherwise.
    pub tokenizer: Option<PathBuf>,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Key `config`: a config.json of any family, with fresh weights initialised as published.
    Fresh(PathBuf),
    /// Key `from`: the directory of a checkpoint, whose weights are trained further.
    Checkpoint(PathBuf),
}

/// The keys of the section.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelKeys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokenizer: Option<PathBuf>,
    #[serde(default)]
    freeze: Vec<NamePattern>,
}

impl TryFrom<ModelKeys> for ModelConfig {
    type Error = &'static str;

    fn try_from(keys: ModelKeys) -> Result<Self, Self::Error> {
        let source = match (keys.config, keys.from) {
            (Some(config), None) => ModelSource::Fresh(config),
            (None, Some(from)) => ModelSource::Checkpoint(from),
            (None, None) => return Err("needs one of `config` and `from`"),
            (Some(_), Some(_)) => return Err("needs one of `config` and `from`, found both"),
        };
        Ok(Self { source, freeze: keys.freeze, tokenizer: keys.tokenizer })
    }
}

impl From<ModelConfig> for ModelKeys {
    fn from(model: ModelConfig) -> Self {
        let (config, from) = match model.source {
            ModelSource::Fresh(path) => (Some(path), None),
            ModelSource::Checkpoint(path) => (None, Some(path)),
        };
        Self { config, from, tokenizer: model.tokenizer, freeze: model.freeze }
    }
}

impl ModelConfig {
    /// Whether a parameter stays as it is.
    pub fn is_frozen(&self, name: &str) -> bool {
        self.freeze.iter().any(|pattern| pattern.matches(name))
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let (key, path) = match &self.source {
            ModelSource::Fresh(path) => ("model.config", path),
            ModelSource::Checkpoint(path) => ("model.from", path),
        };
        require(!path.as_os_str().is_empty(), key, "empty", "must be a path")
    }
}
