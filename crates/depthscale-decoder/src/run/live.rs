//! The rows still recurring, and those that have exited.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::rows::{index_tensor, join, pick};
use crate::exit::RowProgress;
use crate::layers::RotaryAngles;

/// The rows still recurring and what follows them.
pub(super) struct Live<B: Backend> {
    /// Their indices among all rows of the pass, ascending.
    pub(super) rows: Vec<usize>,
    /// `[rows, d_model]`: what is injected at every step.
    pub(super) input: Tensor<B, 2>,
    pub(super) angles: Option<RotaryAngles<B>>,
    pub(super) history: History<B>,
}

/// What criteria and memories look back at.
pub(crate) struct History<B: Backend> {
    /// After the step before; at first the initial state.
    pub(crate) state: Tensor<B, 2>,
    pub(crate) previous: Option<Tensor<B, 2>>,
    /// At the last check that read logits out.
    pub(crate) logits: Option<Tensor<B, 2>>,
    /// When the criterion was last evaluated.
    pub(crate) value: Option<Tensor<B, 1>>,
    /// States after earlier steps, oldest first, at most `memory`.
    pub(crate) bank: Vec<Tensor<B, 2>>,
    memory: usize,
}

impl<B: Backend> History<B> {
    pub(crate) fn new(initial: Tensor<B, 2>, memory: usize) -> Self {
        Self { state: initial, previous: None, logits: None, value: None, bank: Vec::new(), memory }
    }

    /// How many states of earlier steps are kept.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Takes in the state after a step.
    pub(crate) fn advance(&mut self, state: Tensor<B, 2>) {
        if self.memory > 0 {
            if self.bank.len() == self.memory {
                self.bank.remove(0);
            }
            self.bank.push(state.clone());
        }
        self.previous = Some(std::mem::replace(&mut self.state, state));
    }
}

impl<B: Backend> Live<B> {
    /// Keeps only the given rows.
    pub(super) fn keep(&mut self, rows: &[usize], device: &B::Device) {
        let index = index_tensor(rows.iter().map(|&row| row as i64).collect(), device);
        let select = |x: &Tensor<B, 2>| x.clone().select(0, index.clone());
        self.rows = rows.iter().map(|&row| self.rows[row]).collect();
        self.input = select(&self.input);
        self.angles = self.angles.as_ref().map(|angles| angles.select(&index));
        let history = &mut self.history;
        history.state = select(&history.state);
        history.previous = history.previous.as_ref().map(select);
        history.logits = history.logits.as_ref().map(select);
        history.value = history.value.take().map(|value| value.select(0, index.clone()));
        history.bank = history.bank.iter().map(select).collect();
    }
}

/// What the rule said after a step.
pub(super) struct Judged<B: Backend> {
    /// One value a row, where the criterion was evaluated and defined.
    pub(super) values: Option<Vec<f32>>,
    /// `[rows, vocab_size]`, where it looked at logits.
    pub(super) logits: Option<Tensor<B, 2>>,
}

/// Rows that exited at one step.
pub(super) struct Exited<B: Backend> {
    /// Their indices among all rows of the pass.
    pub(super) rows: Vec<usize>,
    /// `[rows, d_model]`: their last states.
    pub(super) states: Tensor<B, 2>,
    /// `[rows, vocab_size]`: what the check at their last step read out.
    pub(super) logits: Option<Tensor<B, 2>>,
}

/// Every row at its exit.
pub(super) struct Recurred<B: Backend> {
    /// `[rows, d_model]`.
    pub(super) states: Tensor<B, 2>,
    /// What checks at exits have read out already.
    pub(super) read: ReadRows<B>,
    pub(super) progress: Vec<RowProgress>,
    /// The sum over the state after each step, the initial one first: not finite once a state is not.
    pub(super) sums: Vec<Tensor<B, 1>>,
}

/// Logits of some of the rows.
pub(super) struct ReadRows<B: Backend> {
    /// The rows' indices among all of the pass, in the order of the logits.
    rows: Vec<usize>,
    /// `[rows, vocab_size]` one below the other.
    logits: Vec<Tensor<B, 2>>,
}

impl<B: Backend> ReadRows<B> {
    /// Adds rows that were read out.
    pub(super) fn add(&mut self, rows: &[usize], logits: Tensor<B, 2>) {
        self.rows.extend_from_slice(rows);
        self.logits.push(logits);
    }

    /// The rows of `0..total` that were not.
    pub(super) fn missing(&self, total: usize) -> Vec<usize> {
        let mut read = vec![false; total];
        self.rows.iter().for_each(|&row| read[row] = true);
        (0..total).filter(|&row| !read[row]).collect()
    }

    /// The logits of the given rows, all of which were read out; `None` for no rows.
    pub(super) fn pick(self, rows: &[usize], device: &B::Device) -> Option<Tensor<B, 2>> {
        if rows.is_empty() {
            return None;
        }
        let at = |row: &usize| self.rows.iter().position(|read| read == row);
        let places: Vec<usize> = rows.iter().filter_map(at).collect();
        debug_assert_eq!(places.len(), rows.len(), "every row wanted was read out");
        let total = self.rows.len();
        Some(pick(join(self.logits), &places, total, device))
    }
}

impl<B: Backend> Recurred<B> {
    /// Puts the rows back in their order.
    pub(super) fn gather(
        exited: Vec<Exited<B>>,
        progress: Vec<RowProgress>,
        sums: Vec<Tensor<B, 1>>,
        device: &B::Device,
    ) -> Self {
        let total = progress.len();
        let mut place = vec![0; total];
        for (at, &row) in exited.iter().flat_map(|group| &group.rows).enumerate() {
            place[row] = at;
        }
        let mut states = Vec::with_capacity(exited.len());
        let mut read = ReadRows { rows: Vec::new(), logits: Vec::new() };
        for Exited { rows, states: at_exit, logits } in exited {
            states.push(at_exit);
            if let Some(logits) = logits {
                read.add(&rows, logits);
            }
        }
        Self { states: pick(join(states), &place, total, device), read, progress, sums }
    }
}
