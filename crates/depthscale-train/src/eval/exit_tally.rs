//! What is counted of answers that stopped early.

use serde::{Deserialize, Serialize};

use super::scores::{Graded, Scores, Tally};
use super::set_summary::Counted;

/// How right a model is on some problems under an exit policy, and how deep it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitScores {
    /// How right it is.
    pub scores: Scores,
    /// Tokens that were run: prompts, and answers without their ends, which nothing follows.
    pub tokens: usize,
    /// Mean of the steps of all these tokens.
    pub mean_depth: f64,
    /// Mean of the steps that predicted the tokens of the answers, their ends included.
    pub answer_depth: f64,
}

/// Counts over problems.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct ExitTally {
    answers: Tally,
    tokens: usize,
    steps: usize,
    answer_tokens: usize,
    answer_steps: usize,
}

impl ExitTally {
    /// Takes in a sequence: the steps of each of its tokens, and which of them predict its answer.
    pub(super) fn add(&mut self, graded: &Graded, steps: &[usize], rows: &[usize]) {
        self.answers.add(graded);
        self.tokens += steps.len();
        self.steps += steps.iter().sum::<usize>();
        self.answer_tokens += rows.len();
        self.answer_steps += rows.iter().map(|&row| steps[row]).sum::<usize>();
    }

    pub(super) fn scores(&self, counted: Counted) -> ExitScores {
        let mean = |steps: usize, tokens: usize| steps as f64 / tokens.max(1) as f64;
        ExitScores {
            scores: self.answers.scores(counted),
            tokens: self.tokens,
            mean_depth: mean(self.steps, self.tokens),
            answer_depth: mean(self.answer_steps, self.answer_tokens),
        }
    }
}

impl std::ops::AddAssign for ExitTally {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.tokens += other.tokens;
        self.steps += other.steps;
        self.answer_tokens += other.answer_tokens;
        self.answer_steps += other.answer_steps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_by_hand() {
        let right = Graded { tokens: 2, right_tokens: 2, loss: 0.5 };
        let mut tally = ExitTally::default();
        // Four tokens of which the last two predict the answer.
        tally.add(&right, &[1, 4, 2, 3], &[2, 3]);
        tally.add(&Graded { right_tokens: 1, ..right }, &[4, 4, 4, 4], &[2, 3]);
        let scores = tally.scores(Counted::Problems);
        assert_eq!((scores.tokens, scores.mean_depth), (8, 26.0 / 8.0));
        assert_eq!(scores.answer_depth, 13.0 / 4.0);
        assert_eq!(scores.scores.accuracy.share, 0.5);
        assert_eq!(scores.scores.loss, Some(0.25));
    }
}
