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

/// An intermediate result: what a reader of a prompt can say before the prompt ends.
///
/// In `m7:3+5*4=` the chain `m7:3+5=` is settled after the 5. A model that is trained to say its answer there learns the
/// parts of a problem, and how to put them together, from every prompt it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// How many characters of the prompt settle it, at least 1.
    pub after: usize,
    /// What is to be said.
    pub says: char,
    /// The problem that it answers, if it is one.
    pub answers: Option<Problem>,
}

impl Hint {
    /// The answer of a problem that so many characters of a prompt settle; none if it has more than one character.
    pub(crate) fn answer(after: usize, problem: Problem) -> Option<Self> {
        let mut characters = problem.answer.chars();
        let (Some(says), None) = (characters.next(), characters.next()) else { return None };
        Some(Self { after, says, answers: Some(problem) })
    }
}

/// Another question about what a prompt says.
///
/// `b=c;c=7;?b=` also settles `b=c;c=7;?c=`, which can be asked of a reader of the former by `?c=` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// What is asked, such as `?c=`: the end of its prompt.
    pub question: String,
    /// The problem with its whole prompt.
    pub problem: Problem,
}
