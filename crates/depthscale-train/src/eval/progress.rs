//! How far an evaluation is.

/// How far an evaluation is, in problems scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvaluationProgress {
    /// Problems scored so far; one scored under several exit policies counts as often.
    pub done: usize,
    /// Problems to score; at most so many where a search may end early.
    pub total: usize,
}

/// Adds up what is done and tells whoever asked.
pub(super) struct Reporting<'p> {
    at: EvaluationProgress,
    tell: &'p mut dyn FnMut(EvaluationProgress),
}

impl<'p> Reporting<'p> {
    pub(super) fn new(total: usize, tell: &'p mut dyn FnMut(EvaluationProgress)) -> Self {
        Self { at: EvaluationProgress { done: 0, total }, tell }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, problems: usize) {
        self.at.done = (self.at.done + problems).min(self.at.total);
        (self.tell)(self.at);
    }

    /// Nothing is left to do, whatever was expected.
    pub(super) fn finish(&mut self) {
        self.at.done = self.at.total;
        (self.tell)(self.at);
    }
}
