//! A problem: a prompt and its answer.

use serde::{Deserialize, Serialize};

use crate::TaskKind;

/// One problem of one task.
///
/// The prompt ends in `=`, and neither text holds the newline that begins a prompt and ends an answer in
/// [`encode_problem`](crate::encode_problem).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The task that it belongs to.
    pub task: TaskKind,
    /// What the model reads, such as `47+38=`.
    pub prompt: String,
    /// What the model should write, such as `85`.
    pub answer: String,
    /// How hard it is, in the unit of [`Task::difficulty_unit`](crate::Task::difficulty_unit).
    pub difficulty: u32,
}
