//! A calibrated exit policy, as it lies beside a model.

use std::path::Path;

use depthscale_checkpoint::{Overwrite, write_atomically};
pub use depthscale_decoder::EXIT_FILE;
use depthscale_types::{Criterion, ExitPolicy};
use serde::{Deserialize, Serialize};

use super::set_summary::SetSummary;
use crate::error::{Result, TrainError};

/// The exit policy found for a model, and on what grounds; see [`calibrate`](super::calibrate).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The policy; `fixed` at full depth where [`Calibration::outcome`] says so.
    pub policy: ExitPolicy,
    /// Whether a threshold was found.
    pub outcome: CalibrationOutcome,
    /// Points of accuracy, of 100, that the policy may lose against full depth, overall and on every task.
    pub tolerated_loss: f64,
    /// The last step.
    pub full_depth: usize,
    /// Accuracy at full depth over all problems, in [0, 1].
    pub full_accuracy: f64,
    /// Accuracy under the policy.
    pub accuracy: f64,
    /// Mean depth of all tokens under the policy.
    pub mean_depth: f64,
    /// Problems measured on.
    pub problems: usize,
    /// The same by task.
    pub tasks: Vec<TaskCalibration>,
    /// Every threshold that was tried, in that order.
    pub tried: Vec<Trial>,
    /// Which problems they were.
    pub set: SetSummary,
}

/// Whether a calibration found a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationOutcome {
    /// Tokens exit early within the tolerated loss.
    ExitsEarly,
    /// No threshold that was tried saves steps within the tolerated loss: every token takes the full depth.
    FullDepth,
}

/// One task under the policy found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCalibration {
    /// Its name.
    pub task: String,
    /// Accuracy at full depth, in [0, 1].
    pub full_accuracy: f64,
    /// Accuracy under the policy.
    pub accuracy: f64,
    /// Mean depth of all tokens under the policy.
    pub mean_depth: f64,
}

/// A threshold that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The criterion.
    pub criterion: Criterion,
    /// Its threshold.
    pub threshold: f64,
    /// Accuracy over all problems, in [0, 1].
    pub accuracy: f64,
    /// Mean depth of all tokens.
    pub mean_depth: f64,
    /// The most points of accuracy lost against full depth, by the worst task or overall; negative for a gain.
    pub worst_loss: f64,
}

impl Calibration {
    /// Writes it into a model's directory as [`EXIT_FILE`], in place of an earlier one, all or nothing.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, model: &Path) -> Result<()> {
        let path = model.join(EXIT_FILE);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| TrainError::MalformedCalibration { path: path.clone(), message: error.to_string() })?;
        text.push(b'\n');
        Ok(write_atomically(&path, &text, Overwrite::Yes)?)
    }

    /// Reads the one in a model's directory; `None` where there is none.
    ///
    /// # Errors
    /// If the file cannot be read, is no calibration, or its policy is not valid.
    pub fn read(model: &Path) -> Result<Option<Self>> {
        let path = model.join(EXIT_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::io(&path, "read the calibration")(error)),
        };
        let malformed = |message: String| TrainError::MalformedCalibration { path: path.clone(), message };
        let calibration: Self = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        calibration.policy.validate().map_err(|error| malformed(error.to_string()))?;
        Ok(Some(calibration))
    }
}
