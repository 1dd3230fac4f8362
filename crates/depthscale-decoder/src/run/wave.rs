//! One pass of chunks through the decoder: prelude, recurrence with exits, readout.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::{BlockEvaluations, Evidence, ExitReason, TokenTrace};

use super::engine::Chunk;
use super::feed::RunOptions;
use super::keys::Keys;
use super::live::{Exited, History, Judged, Live, Recurred};
use super::pass::StepInput;
use super::rows::{RowSet, join, pick};
use crate::block::RecurrentBlock;
use crate::cache::SequenceCache;
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::exit::{RowProgress, StepView};
use crate::read::read;
use crate::state::StateKey;

/// One pass of chunks through the decoder.
pub(super) struct Wave<'w, 'o, B: Backend, K: Module<B>> {
    pub(super) decoder: &'w RecurrentDecoder<B, K>,
    pub(super) options: &'w mut RunOptions<'o, B>,
    pub(super) max_steps: usize,
    pub(super) evaluations: &'w mut BlockEvaluations,
}

/// Logits of the rows asked for, and the traces of all.
pub(super) type ChunkOutput<B> = (Option<Tensor<B, 2>>, Vec<TokenTrace>);

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> Wave<'_, '_, B, K> {
    pub(super) fn run(&mut self, chunks: &mut [Chunk<'_, '_, B>]) -> Result<Vec<ChunkOutput<B>>> {
        for chunk in chunks.iter_mut() {
            chunk.cache.begin(chunk.tokens.len(), chunk.phase)?;
        }
        let computed = self.compute(chunks);
        for chunk in chunks.iter_mut() {
            match computed {
                Ok(_) => chunk.cache.finish(),
                Err(_) => chunk.cache.abandon(),
            }
        }
        computed
    }

    fn compute(&mut self, chunks: &mut [Chunk<'_, '_, B>]) -> Result<Vec<ChunkOutput<B>>> {
        let decoder = self.decoder;
        let device = decoder.device();
        let extents: Vec<_> = chunks.iter().map(|chunk| (chunk.cache.len(), chunk.tokens.len())).collect();
        let rows = RowSet::whole(&extents, &device);
        let tokens: Vec<u32> = chunks.iter().flat_map(|chunk| chunk.tokens).copied().collect();
        let given: Vec<_> = chunks.iter().map(|chunk| chunk.initial_state.clone()).collect();
        let mut caches: Vec<&mut SequenceCache<B>> = chunks.iter_mut().map(|chunk| &mut *chunk.cache).collect();

        self.evaluations.prelude += (decoder.prelude.len() * rows.len()) as u64;
        let input = decoder.read_in(&tokens, &rows, Keys::Cached(&mut caches));
        let initial = self.initial_state(&input, &given, &rows, &caches);
        let recurred = self.recur(input, initial, &rows, &mut caches)?;

        let wanted: Vec<Vec<usize>> = chunks.iter().map(|chunk| chunk.logits.clone()).collect();
        let mut caches: Vec<&mut SequenceCache<B>> = chunks.iter_mut().map(|chunk| &mut *chunk.cache).collect();
        let wanted_rows: Vec<usize> = rows
            .ranges()
            .zip(&wanted)
            .flat_map(|(range, wanted)| wanted.iter().map(move |row| range.start + row))
            .collect();
        // Checks at exits have read out some rows already, and the caches hold what those readouts left.
        let mut read = recurred.read;
        let unread = read.missing(rows.len());
        if !unread.is_empty() {
            let kept = (unread.len() < rows.len()).then(|| rows.keep(&unread, &device));
            let states = pick(recurred.states, &unread, rows.len(), &device);
            let in_unread = |row: &usize| unread.binary_search(row).ok();
            let wanted: Vec<usize> = wanted_rows.iter().filter_map(in_unread).collect();
            let rows = kept.as_ref().unwrap_or(&rows);
            let fresh = decoder.read_out(states, rows, &wanted, Keys::Cached(&mut caches), self.evaluations);
            if let Some(fresh) = fresh {
                let wanted: Vec<usize> = wanted.iter().map(|&at| unread[at]).collect();
                read.add(&wanted, fresh);
            }
        }
        let logits = read.pick(&wanted_rows, &device);
        check_finite(recurred.sums, logits.as_ref())?;

        let mut first = 0;
        let mut outputs = Vec::with_capacity(chunks.len());
        for ((range, wanted), &(start, _)) in rows.ranges().zip(&wanted).zip(&extents) {
            let traces = recurred.progress[range].iter().enumerate();
            let traces = traces.map(|(offset, progress)| progress.trace(start + offset)).collect();
            let own = first..first + wanted.len();
            first = own.end;
            let logits = logits.as_ref().filter(|_| !own.is_empty()).map(|logits| {
                let vocab_size = decoder.config.vocab_size;
                logits.clone().slice([own, 0..vocab_size])
            });
            outputs.push((logits, traces));
        }
        Ok(outputs)
    }

    fn initial_state(
        &self,
        input: &Tensor<B, 2>,
        given: &[Option<Tensor<B, 2>>],
        rows: &RowSet<B>,
        caches: &[&mut SequenceCache<B>],
    ) -> Tensor<B, 2> {
        let of_segment = |(range, given): (std::ops::Range<usize>, &Option<Tensor<B, 2>>), cache: &SequenceCache<B>| {
            if let Some(state) = given {
                return state.clone();
            }
            let start = cache.len();
            let positions = start..start + range.len();
            let draws = (!self.options.zero_initial_state).then(|| StateKey::of(cache.options()));
            self.decoder.begin(input, range, positions, draws)
        };
        let parts: Vec<_> =
            rows.ranges().zip(given).zip(caches).map(|(segment, cache)| of_segment(segment, cache)).collect();
        join(parts)
    }

    /// The recurrence: every row until it exits.
    fn recur(
        &mut self,
        input: Tensor<B, 2>,
        initial: Tensor<B, 2>,
        all: &RowSet<B>,
        caches: &mut [&mut SequenceCache<B>],
    ) -> Result<Recurred<B>> {
        let decoder = self.decoder;
        let device = decoder.device();
        let total = all.len();
        let angles = decoder.core_angles(all);
        let mut sums = vec![initial.clone().sum()];
        if let Some(observer) = &mut self.options.observer {
            observer(0, &all.positions(), &initial);
        }
        let mut progress = vec![RowProgress::default(); total];
        let mut exited: Vec<Exited<B>> = Vec::new();
        let mut kept: Option<RowSet<B>> = None;
        let mut live =
            Live { rows: (0..total).collect(), input, angles, history: History::new(initial, decoder.memory()) };
        for step in 1..=self.max_steps {
            let rows = kept.as_ref().unwrap_or(all);
            let angles = live.angles.as_ref();
            let seen = StepInput { step, input: &live.input, rows, angles, bank: &live.history.bank };
            let state = decoder.recur_once(live.history.state.clone(), seen, Keys::Cached(caches));
            self.evaluations.core += (decoder.core.len() * rows.len()) as u64;
            sums.push(state.clone().sum());
            if let Some(observer) = &mut self.options.observer {
                observer(step, &rows.positions(), &state);
            }
            let judged = self.judge(step, &state, &mut live.history, rows, caches)?;
            let last = step == self.max_steps;
            let mut leaves = vec![last; live.rows.len()];
            for (row, &index) in live.rows.iter().enumerate() {
                let progress = &mut progress[index];
                let value = judged.values.as_ref().map(|values| values[row]);
                progress.values.push(value.filter(|value| value.is_finite()));
                let converged = value.is_some_and(|value| self.options.exit.exits(step, value, progress));
                if converged || last {
                    leaves[row] = true;
                    progress.finished = Some(if converged { ExitReason::Converged } else { ExitReason::DepthReached });
                }
            }
            live.history.advance(state.clone());
            if leaves.contains(&true) {
                let (gone, staying): (Vec<usize>, Vec<usize>) = (0..leaves.len()).partition(|&row| leaves[row]);
                let at = pick(state, &gone, leaves.len(), &device);
                let logits = judged.logits.map(|logits| pick(logits, &gone, leaves.len(), &device));
                exited.push(Exited { rows: gone.iter().map(|&row| live.rows[row]).collect(), states: at, logits });
                if staying.is_empty() {
                    break;
                }
                live.keep(&staying, &device);
                kept = Some(all.keep(&live.rows, &device));
            }
        }
        Ok(Recurred::gather(exited, progress, sums, &device))
    }

    /// The exit values after a step, where the rule asks for them.
    fn judge(
        &mut self,
        step: usize,
        state: &Tensor<B, 2>,
        history: &mut History<B>,
        rows: &RowSet<B>,
        caches: &mut [&mut SequenceCache<B>],
    ) -> Result<Judged<B>> {
        let exit = self.options.exit;
        if !exit.evaluates(step) {
            return Ok(Judged { values: None, logits: None });
        }
        let gate = match (exit.evidence(), &self.decoder.exit_gate) {
            (Evidence::Gate | Evidence::Logits, Some(gate)) => Some(gate.forward(state.clone())),
            _ => None,
        };
        let logits = match exit.evidence() {
            Evidence::Logits => {
                let every: Vec<usize> = (0..rows.len()).collect();
                self.decoder.read_out(state.clone(), rows, &every, Keys::Cached(caches), self.evaluations)
            }
            _ => None,
        };
        let view = StepView {
            step,
            max_steps: self.max_steps,
            state,
            previous: &history.state,
            before_previous: history.previous.as_ref(),
            gate: gate.as_ref(),
            logits: logits.as_ref(),
            previous_logits: history.logits.as_ref(),
            previous_value: history.value.as_ref(),
        };
        let values = exit.criterion().values(&view);
        history.value = values.clone().or(history.value.take());
        history.logits.clone_from(&logits);
        Ok(Judged { values: values.map(read).transpose()?, logits })
    }
}

/// Tells the first step whose state is not finite, from the sum over each step's state (0 is the initial one), or that the
/// logits are not.
fn check_finite<B: Backend>(mut sums: Vec<Tensor<B, 1>>, logits: Option<&Tensor<B, 2>>) -> Result<()> {
    let states = sums.len();
    sums.extend(logits.map(|logits| logits.clone().sum()));
    let sums = read(Tensor::cat(sums, 0))?;
    match sums.iter().position(|sum| !sum.is_finite()) {
        Some(at) if at == states => Err(DecoderError::NonFiniteLogits),
        Some(step) => Err(DecoderError::NonFiniteState { step }),
        None => Ok(()),
    }
}
