//! What every task can do.

use std::ops::RangeInclusive;

use rand::RngCore;

use crate::{FollowUp, Hint, Problem, TaskError, TaskKind};

/// A source of problems of known difficulty, which can also read problems and grade answers.
pub trait Task: Send + Sync {
    /// Which task this is.
    fn kind(&self) -> TaskKind;

    /// What is asked, in one sentence.
    fn description(&self) -> &'static str;

    /// What the difficulty counts, such as "operations".
    fn difficulty_unit(&self) -> &'static str;

    /// The difficulties that [`sample`](Self::sample) draws and [`parse`](Self::parse) reads.
    fn difficulties(&self) -> RangeInclusive<u32>;

    /// Draws a problem.
    ///
    /// # Errors
    ///
    /// [`TaskError::DifficultyOutOfRange`], and [`TaskError::Exhausted`] where not every draw gives a problem.
    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError>;

    /// Reads a prompt, and works out its answer and difficulty from the text alone.
    ///
    /// # Errors
    ///
    /// [`TaskError::MalformedPrompt`] with the place, [`TaskError::Unanswerable`] or
    /// [`TaskError::DifficultyOutOfRange`].
    fn parse(&self, prompt: &str) -> Result<Problem, TaskError>;

    /// Whether an answer is right.
    fn check(&self, problem: &Problem, answer: &str) -> bool {
        answer == problem.answer
    }

    /// A text that is the same for all prompts which are the same problem, such as `38+47=` for `38+47=` and `47+38=`.
    ///
    /// The held-out split goes by it. A prompt in another format is its own canonical form.
    fn canonical(&self, problem: &Problem) -> String {
        problem.prompt.clone()
    }

    /// What a reader of a prompt can say on the way to its answer, by the place where it is settled, at most one a place;
    /// none where a task has no such.
    fn hints(&self, problem: &Problem) -> Vec<Hint> {
        let _ = problem;
        Vec::new()
    }

    /// Other questions about what a prompt says, each of which a reader of that prompt can answer: problems whose prompts
    /// begin as this one, and end from a place on in another question. None where a task has one question a prompt.
    fn follow_ups(&self, problem: &Problem) -> Vec<FollowUp> {
        let _ = problem;
        Vec::new()
    }

    /// Fails unless the task has this difficulty.
    ///
    /// # Errors
    ///
    /// [`TaskError::DifficultyOutOfRange`].
    fn allow(&self, difficulty: u32) -> Result<(), TaskError> {
        let (min, max) = self.difficulties().into_inner();
        if (min..=max).contains(&difficulty) {
            return Ok(());
        }
        Err(TaskError::DifficultyOutOfRange { task: self.kind(), difficulty, unit: self.difficulty_unit(), min, max })
    }
}

/// A count as a difficulty; what does not fit is beyond every task.
pub(crate) fn as_difficulty(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
