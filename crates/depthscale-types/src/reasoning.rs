//! The state of a reasoning loop, as data.

use serde::{Deserialize, Serialize};

use crate::trace::StepReport;

/// What a reasoning loop knows: its input, a record of every step, and the present hypothesis. The tensors it works on
/// live beside it, in the loop.
///
/// ```
/// use depthscale_types::{ReasoningState, StepReport};
///
/// let mut state = ReasoningState::new("47+38=");
/// let report = StepReport { step: 1, metric: 0.4, exit_value: Some(0.4), converged: false };
/// state.record(report, Some("85".into()));
/// assert_eq!(state.hypothesis.as_deref(), Some("85"));
/// assert_eq!(state.metrics(), [0.4]);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasoningState {
    /// What the loop was given.
    pub input: String,
    /// One record a step.
    pub thoughts: Vec<Thought>,
    /// The hypothesis after the last step, where the loop can read one out.
    pub hypothesis: Option<String>,
    /// Whether the exit policy was satisfied.
    pub converged: bool,
}

/// One step of a reasoning loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thought {
    /// Its report.
    pub report: StepReport,
    /// The hypothesis read out after it.
    pub hypothesis: Option<String>,
}

impl ReasoningState {
    /// A state before the first step.
    pub fn new(initial_context: impl Into<String>) -> Self {
        Self { input: initial_context.into(), ..Self::default() }
    }

    /// Steps taken.
    pub fn steps(&self) -> usize {
        self.thoughts.len()
    }

    /// The refinement metric after each step.
    pub fn metrics(&self) -> Vec<f32> {
        self.thoughts.iter().map(|thought| thought.report.metric).collect()
    }

    /// Adds a step.
    pub fn record(&mut self, report: StepReport, hypothesis: Option<String>) {
        self.converged = report.converged;
        self.hypothesis.clone_from(&hypothesis);
        self.thoughts.push(Thought { report, hypothesis });
    }
}
