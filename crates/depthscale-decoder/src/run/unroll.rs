//! Whole sequences, one recurrence at a time: what training and evaluation by depth run on.

use burn::module::{AutodiffModule, Module};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use depthscale_kernels::Sequences;
use depthscale_types::BlockEvaluations;

use super::keys::{Keys, WholeRows};
use super::live::History;
use super::pass::StepInput;
use super::rows::{RowSet, index_tensor, join};
use crate::block::RecurrentBlock;
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::layers::RotaryAngles;
use crate::state::StateKey;

/// How whole sequences are begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnrollOptions {
    /// With a sequence's id it decides random initial states, as a [`SequenceOptions`](crate::SequenceOptions) does.
    pub seed: u64,
    /// The id of the first sequence; the others count on from it.
    pub first_id: u64,
    /// Begins from zeros where the config says random draws.
    pub zero_initial_state: bool,
}

/// Whole sequences in the middle of their recurrence: no caches, no exits, every step taken when it is asked for.
///
/// A step gives the states that [`RecurrentDecoder::run`] gives at that depth, with one slot per step. On a backend with
/// gradients every step is recorded; [`Self::run_free`] takes steps that are not.
pub struct Unrolled<B: Backend> {
    rows: RowSet<B>,
    whole: WholeRows<B>,
    /// The original index of each sequence still there.
    order: Vec<usize>,
    input: Tensor<B, 2>,
    angles: Option<RotaryAngles<B>>,
    history: History<B>,
    step: usize,
}

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> RecurrentDecoder<B, K> {
    /// Embeds whole sequences and passes them through the prelude; no step is taken yet.
    ///
    /// # Errors
    /// If there is no sequence, one is empty or longer than the model's positions, or a token is not in the vocabulary.
    pub fn unroll(&self, sequences: &[&[u32]], options: UnrollOptions) -> Result<Unrolled<B>> {
        if sequences.is_empty() {
            return Err(DecoderError::EmptyPrompt);
        }
        sequences.iter().try_for_each(|tokens| self.check_tokens(tokens, 0))?;
        let device = self.device();
        let extents: Vec<_> = sequences.iter().map(|tokens| (0, tokens.len())).collect();
        let rows = RowSet::whole(&extents, &device);
        let lengths = sequences.iter().map(|tokens| tokens.len());
        let mut whole = WholeRows { sequences: Sequences::new(lengths, &device), shared: None };
        let input = self.read_in(&sequences.concat(), &rows, Keys::Whole(&mut whole));
        let begin = |(sequence, range): (usize, std::ops::Range<usize>)| {
            let key = StateKey { seed: options.seed, sequence: options.first_id + sequence as u64 };
            let positions = 0..range.len();
            self.begin(&input, range, positions, (!options.zero_initial_state).then_some(key))
        };
        let initial = join(rows.ranges().enumerate().map(begin).collect());
        let angles = self.core_angles(&rows);
        let history = History::new(initial, self.memory());
        Ok(Unrolled { order: (0..sequences.len()).collect(), rows, whole, input, angles, history, step: 0 })
    }

    /// Takes one recurrence of all sequences.
    pub fn unroll_step(&self, unrolled: &mut Unrolled<B>) {
        unrolled.step += 1;
        let seen = StepInput {
            step: unrolled.step,
            input: &unrolled.input,
            rows: &unrolled.rows,
            angles: unrolled.angles.as_ref(),
            bank: &unrolled.history.bank,
        };
        let state = self.recur_once(unrolled.history.state.clone(), seen, Keys::Whole(&mut unrolled.whole));
        unrolled.history.advance(state);
    }

    /// Reads out some rows, ascending, `[wanted, vocab_size]` in f32.
    ///
    /// # Panics
    /// If no row is wanted.
    pub fn unroll_logits(&self, unrolled: &mut Unrolled<B>, wanted: &[usize]) -> Tensor<B, 2> {
        let mut evaluations = BlockEvaluations::default();
        let states = unrolled.history.state.clone();
        let keys = Keys::Whole(&mut unrolled.whole);
        let logits = self.read_out(states, &unrolled.rows, wanted, keys, &mut evaluations);
        logits.unwrap_or_else(|| panic!("at least one row is wanted"))
    }
}

impl<B: Backend> Unrolled<B> {
    /// The present states, `[rows, d_model]`.
    pub fn state(&self) -> &Tensor<B, 2> {
        &self.history.state
    }

    /// Steps taken.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The sequences still there, by their index in the call that began them, and the rows of each.
    pub fn sequences(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        self.order.iter().copied().zip(self.rows.ranges())
    }

    /// Keeps only the sequences of which `stays` says so; at least one must.
    ///
    /// # Panics
    /// If none stays.
    pub fn retain(&mut self, mut stays: impl FnMut(usize) -> bool) {
        let kept: Vec<usize> = (0..self.order.len()).filter(|&at| stays(self.order[at])).collect();
        assert!(!kept.is_empty(), "at least one sequence stays");
        if kept.len() == self.order.len() {
            return;
        }
        let device = self.input.device();
        let ranges: Vec<_> = self.rows.ranges().collect();
        let rows: Vec<i64> = kept.iter().flat_map(|&at| ranges[at].clone()).map(|row| row as i64).collect();
        let index = index_tensor(rows, &device);
        let select = |x: &Tensor<B, 2>| x.clone().select(0, index.clone());
        let lengths: Vec<usize> = kept.iter().map(|&at| ranges[at].len()).collect();
        let extents: Vec<_> = lengths.iter().map(|&length| (0, length)).collect();
        self.rows = RowSet::whole(&extents, &device);
        self.whole = WholeRows { sequences: Sequences::new(lengths, &device), shared: None };
        self.order = kept.into_iter().map(|at| self.order[at]).collect();
        self.input = select(&self.input);
        self.angles = self.angles.as_ref().map(|angles| angles.select(&index));
        self.history.state = select(&self.history.state);
        self.history.previous = self.history.previous.as_ref().map(select);
        self.history.bank = self.history.bank.iter().map(select).collect();
    }
}

impl<B: AutodiffBackend> Unrolled<B> {
    /// Takes steps that are not recorded, so that memory does not grow with their number: `free` tells for each sequence
    /// how many. `decoder` is the one this was begun with, without gradients
    /// ([`AutodiffModule::valid`](burn::module::AutodiffModule::valid)).
    ///
    /// Where the numbers differ a sequence rests once it has taken its own. Blocks that look at earlier steps' states then
    /// see as many as all sequences have, those of their last steps, and the step they are told is that of the deepest.
    ///
    /// # Panics
    /// If `free` does not hold a number for each sequence.
    pub fn run_free<K>(&mut self, decoder: &RecurrentDecoder<B::InnerBackend, K::InnerModule>, free: &[usize])
    where
        K: AutodiffModule<B>,
        K::InnerModule: RecurrentBlock<B::InnerBackend>,
    {
        assert_eq!(free.len(), self.order.len(), "a number of free steps for each sequence");
        let deepest = free.iter().copied().max().unwrap_or(0);
        if deepest == 0 {
            return;
        }
        let mut running = self.untracked();
        let mut rested: Vec<Option<Rested<B::InnerBackend>>> = vec![None; free.len()];
        let mut rest = |running: &Unrolled<B::InnerBackend>, taken: usize| {
            for (at, range) in running.sequences().filter(|(at, _)| free[*at] == taken) {
                let d_model = running.input.dims()[1];
                let own = |x: &Tensor<B::InnerBackend, 2>| x.clone().slice([range.clone(), 0..d_model]);
                let bank = running.history.bank.iter().map(own).collect();
                rested[at] = Some(Rested { state: own(&running.history.state), bank });
            }
        };
        rest(&running, 0);
        for taken in 1..=deepest {
            running.retain(|at| free[at] >= taken);
            decoder.unroll_step(&mut running);
            rest(&running, taken);
        }
        let rested: Vec<_> = rested.into_iter().flatten().collect();
        let joined = |parts: Vec<Tensor<B::InnerBackend, 2>>| Tensor::from_inner(join(parts));
        let remembered = rested.iter().map(|rested| rested.bank.len()).min().unwrap_or(0);
        let latest = |back: usize| rested.iter().map(|rested| rested.bank[rested.bank.len() - back].clone()).collect();
        self.history.bank = (1..=remembered).rev().map(|back| joined(latest(back))).collect();
        self.history.previous = None;
        self.history.state = joined(rested.into_iter().map(|rested| rested.state).collect());
        self.step += deepest;
    }

    /// The same rows without gradients, their sequences numbered from 0.
    fn untracked(&self) -> Unrolled<B::InnerBackend> {
        let device = self.input.device();
        let lengths = self.whole.sequences.lengths();
        let extents: Vec<_> = lengths.iter().map(|&length| (0, length)).collect();
        let mut history = History::new(self.history.state.clone().inner(), self.history.memory());
        history.bank = self.history.bank.iter().map(|state| state.clone().inner()).collect();
        Unrolled {
            rows: RowSet::whole(&extents, &device),
            whole: WholeRows { sequences: Sequences::new(lengths.iter().copied(), &device), shared: None },
            order: (0..lengths.len()).collect(),
            input: self.input.clone().inner(),
            angles: self.angles.as_ref().map(RotaryAngles::inner),
            history,
            step: self.step,
        }
    }
}

/// A sequence that has taken its free steps.
#[derive(Clone)]
struct Rested<B: Backend> {
    state: Tensor<B, 2>,
    bank: Vec<Tensor<B, 2>>,
}
