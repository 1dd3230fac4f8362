//! An evaluation as a whole.

use depthscale_report::Table;
use depthscale_types::DecoderConfig;
use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::depths::DepthEvaluation;
use super::exits::ExitEvaluation;
use super::report;
use super::set_summary::SetSummary;
use crate::error::Result;

/// An evaluation as a whole: what `depthscale eval` writes as JSON, prints as tables and draws as a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationReport {
    /// The model.
    pub model: EvaluatedModel,
    /// The problems.
    pub set: SetSummary,
    /// Accuracy and loss by depth.
    pub depths: DepthEvaluation,
    /// Accuracy and depth under exit policies; empty where none were run.
    pub exits: Vec<ExitEvaluation>,
    /// The policy that lies beside the model, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// That policy on the problems of this report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<ExitEvaluation>,
}

/// The model of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatedModel {
    /// Its path or name.
    pub name: String,
    /// Its family.
    pub family: String,
    /// Parameters, each counted once.
    pub parameters: u64,
    /// Recurrences by its own config.
    pub depth: usize,
    /// Mean depth it was trained at, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_depth: Option<f64>,
}

impl EvaluatedModel {
    /// What a config says of a model.
    pub fn of(config: &DecoderConfig, name: impl Into<String>, training_depth: Option<f64>) -> Self {
        Self {
            name: name.into(),
            family: config.family.name().into(),
            parameters: config.parameter_count(),
            depth: config.depth,
            training_depth,
        }
    }
}

impl EvaluationReport {
    /// The report as indented JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| unreachable!("plain data: {error}"))
    }

    /// The tables for a terminal: accuracy by depth, exit policies, what was left out.
    pub fn tables(&self) -> Vec<Table> {
        report::tables(self)
    }

    /// The page as data: curves and tables.
    pub fn page(&self) -> depthscale_report::Report {
        report::page(self)
    }

    /// The page as one self-contained HTML file.
    ///
    /// # Errors
    /// If a figure cannot be drawn.
    pub fn to_html(&self) -> Result<String> {
        Ok(self.page().to_html()?)
    }
}
