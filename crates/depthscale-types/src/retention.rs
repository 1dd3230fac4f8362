//! Which keys and values of the core are kept, and which a reader sees.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{DecoderConfig, MixerKind};
use crate::error::{Error, Result};

/// Retention of the core's keys and values across steps. A slot is one K/V store, addressed by (step, layer).
///
/// A token that exits at step `e` never computes deeper keys and values; readers at deeper steps see those of step
/// `e` ("last-exited fill").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvRetention {
    /// A slot per step: step `t` reads what step `min(t, e)` of each token wrote.
    #[default]
    PerStep,
    /// One slot: every step overwrites it and readers see each earlier token's last step.
    Shared,
    /// Step 1 has a slot of its own, all later steps share one.
    FirstThenShared,
    /// A slot per step while the prompt is read; after it only each token's last step is kept, and every step reads it.
    LastStepAfterPrefill,
}

impl KvRetention {
    /// Every policy with its name.
    pub const ALL: [Self; 4] = [Self::PerStep, Self::Shared, Self::FirstThenShared, Self::LastStepAfterPrefill];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::PerStep => "per-step",
            Self::Shared => "shared",
            Self::FirstThenShared => "first-then-shared",
            Self::LastStepAfterPrefill => "last-step-after-prefill",
        }
    }

    /// Slots per core layer once the prompt has been read, at `depth` steps.
    pub fn slots(self, depth: usize) -> usize {
        match self {
            Self::PerStep => depth,
            Self::Shared | Self::LastStepAfterPrefill => depth.min(1),
            Self::FirstThenShared => depth.min(2),
        }
    }

    /// The policy whose slots are kept while a prompt is read.
    pub fn while_reading(self) -> Self {
        match self {
            Self::LastStepAfterPrefill => Self::PerStep,
            Self::PerStep | Self::Shared | Self::FirstThenShared => self,
        }
    }

    /// Whether a prompt must be read token by token to give the same result as decoding it.
    pub fn prefills_token_by_token(self) -> bool {
        matches!(self, Self::Shared | Self::FirstThenShared)
    }

    /// Checks that the decoder's mixer can follow this policy.
    ///
    /// # Errors
    /// If it cannot: see [`Self::validate_for_matrix_state`].
    pub fn validate(self, config: &DecoderConfig) -> Result<()> {
        match config.core.mixer {
            MixerKind::GatedRetention { .. } => self.validate_for_matrix_state(),
            _ => Ok(()),
        }
    }

    /// Checks the policy for a core that keeps a decayed matrix per step, as gated retention does.
    ///
    /// # Errors
    /// If steps would share a slot: adding one token to a matrix once for every step is another function.
    pub fn validate_for_matrix_state(self) -> Result<()> {
        match self {
            Self::PerStep => Ok(()),
            Self::Shared | Self::FirstThenShared | Self::LastStepAfterPrefill => Err(Error::Conflict {
                first: format!("K/V retention {self}"),
                second: "gated retention".into(),
                why: "its matrix state cannot be shared across steps; use per-step".into(),
            }),
        }
    }
}

impl std::fmt::Display for KvRetention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KvRetention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or_else(|| Error::UnknownName {
            what: "K/V retention",
            value: text.into(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}
