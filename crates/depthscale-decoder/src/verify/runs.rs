//! The runs whose outputs are compared, each done once.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};
use depthscale_checkpoint::Checkpoint;
use depthscale_types::{CacheDtype, Criterion, Evidence, ExitPolicy};

use super::entries::{EntryKind, Start};
use super::{Values, VerifyPath};
use crate::block::RecurrentBlock;
use crate::cache::{Phase, SequenceCache, SequenceOptions};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::exit::{BuiltinCriterion, ExitCriterion, ExitRule, StepView};
use crate::read::{read, read_indices};
use crate::run::{Feed, LogitRows, RunOptions};

/// Tokens fed together on the cached path while the first part of a sequence is read.
const CACHED_CHUNK: usize = 3;

pub(super) struct Runs<'a, B: Backend, K: Module<B>> {
    decoder: &'a RecurrentDecoder<B, K>,
    expected: &'a Checkpoint,
    path: VerifyPath,
    sequence: SequenceOptions,
    ids: Vec<Vec<u32>>,
    /// `[seq, d_model]` for each sequence.
    s0: Option<Vec<Tensor<B, 2>>>,
    done: BTreeMap<(usize, Start), Run<B>>,
}

/// A run at fixed depth over all sequences; rows are those of all sequences one after the other.
struct Run<B: Backend> {
    /// `[rows, vocab_size]`.
    logits: Tensor<B, 2>,
    /// The initial state and the state after every step, `[rows, d_model]`.
    states: Vec<Tensor<B, 2>>,
}

impl<'a, B: Backend, K: Module<B> + RecurrentBlock<B>> Runs<'a, B, K> {
    pub(super) fn new(
        decoder: &'a RecurrentDecoder<B, K>,
        expected: &'a Checkpoint,
        path: VerifyPath,
        cache_dtype: Option<CacheDtype>,
    ) -> Result<Self> {
        let sequence = SequenceOptions { cache_dtype, ..SequenceOptions::default() };
        let mut runs = Self { decoder, expected, path, sequence, ids: Vec::new(), s0: None, done: BTreeMap::new() };
        let (ids, shape) = runs.expected_ids("input_ids")?;
        runs.ids = ids.chunks(shape[1]).map(<[u32]>::to_vec).collect();
        if expected.contains("s0") {
            let [batch, seq, d_model] = [shape[0], shape[1], decoder.config().d_model];
            let values = expected.read_f32("s0", &[batch, seq, d_model])?;
            let device = decoder.device();
            let state = |values: &[f32]| {
                Tensor::from_data(TensorData::new(values.to_vec(), [seq, d_model]), (&device, DType::F32))
            };
            runs.s0 = Some(values.chunks(seq * d_model).map(state).collect());
        }
        Ok(runs)
    }

    /// Token ids of `[batch, n]`.
    pub(super) fn expected_ids(&self, name: &str) -> Result<(Vec<u32>, Vec<usize>)> {
        let wrong = |message: String| DecoderError::Expected { path: self.expected.path().to_path_buf(), message };
        let ids = self.expected.read_i64(name)?;
        let shape = self.expected.info(name).map(|info| info.shape).unwrap_or_default();
        if shape.len() != 2 || shape.contains(&0) {
            return Err(wrong(format!("{name} has shape {shape:?}, expected [batch, tokens]")));
        }
        let ids = ids.into_iter().map(|id| u32::try_from(id).map_err(|_| wrong(format!("{name} holds id {id}"))));
        Ok((ids.collect::<Result<_>>()?, shape))
    }

    /// That an entry is for as many sequences as there are inputs.
    pub(super) fn check_batch(&self, name: &str, shape: &[usize]) -> Result<()> {
        if shape[0] == self.ids.len() {
            return Ok(());
        }
        let message = format!("{name} is for {} sequences, but input_ids for {}", shape[0], self.ids.len());
        Err(DecoderError::Expected { path: self.expected.path().to_path_buf(), message })
    }

    /// The values of an entry other than token ids.
    pub(super) fn values(&mut self, kind: &EntryKind) -> Result<Values> {
        let depth = self.decoder.config().depth;
        match kind {
            EntryKind::Logits { depth, start } => {
                let logits = self.run(*depth, *start)?.logits.clone();
                self.by_position(vec![logits])
            }
            EntryKind::State { depth } => {
                let state = self.run(*depth, Start::Given)?.states[*depth].clone();
                self.by_position(vec![state])
            }
            EntryKind::Gates => {
                let gates = self.gates()?;
                let columns = gates.into_iter().map(|gate| gate.unsqueeze_dim(1)).collect();
                self.by_position(vec![Tensor::cat(columns, 1)])
            }
            EntryKind::Selected { threshold } => {
                let exits = self.exit_distribution()?;
                let chosen = exits.iter().map(|p| select_step(p, *threshold)).collect::<Vec<_>>();
                self.mix_steps(depth, |row, step| if chosen[row] == step { 1.0 } else { 0.0 })
            }
            EntryKind::Weighted => {
                let exits = self.exit_distribution()?;
                self.mix_steps(depth, |row, step| exits[row][step])
            }
            EntryKind::Criterion(criterion) => self.criterion(*criterion),
            EntryKind::Greedy { .. } => unreachable!("token ids are compared apart"),
        }
    }

    /// Greedy continuations of all sequences, `n` tokens each, one after the other.
    pub(super) fn greedy(&self, n: usize, zero_initial_state: bool) -> Result<Vec<u32>> {
        let rule = ExitRule::fixed(self.decoder.config().depth);
        let mut continuations = Vec::new();
        for ids in &self.ids {
            let mut tokens = ids.clone();
            let mut cache = self.decoder.new_sequence(self.sequence)?;
            let mut fed = 0;
            for _ in 0..n {
                if self.path == VerifyPath::ExactForward {
                    cache = self.decoder.new_sequence(self.sequence)?;
                    fed = 0;
                }
                let options = RunOptions { zero_initial_state, ..RunOptions::new(&rule) };
                let logits = self.feed(&mut cache, &tokens[fed..], LogitRows::Last, None, options)?;
                fed = tokens.len();
                tokens.extend(read_indices(logits.argmax(1))?.iter().map(|&token| token as u32));
            }
            continuations.extend_from_slice(&tokens[ids.len()..]);
        }
        Ok(continuations)
    }

    fn run(&mut self, depth: usize, start: Start) -> Result<&Run<B>> {
        if !self.done.contains_key(&(depth, start)) {
            let run = self.compute(depth, start)?;
            self.done.insert((depth, start), run);
        }
        Ok(&self.done[&(depth, start)])
    }

    fn compute(&self, depth: usize, start: Start) -> Result<Run<B>> {
        let rule = ExitRule::fixed(depth);
        let mut logits = Vec::new();
        let mut states: Vec<Vec<Tensor<B, 2>>> = vec![Vec::new(); depth + 1];
        for (index, ids) in self.ids.iter().enumerate() {
            let s0 = match (&self.s0, start) {
                (Some(s0), Start::Given) => Some(s0[index].clone()),
                _ => None,
            };
            let mut cache = self.decoder.new_sequence(self.sequence)?;
            let (chunk, together) = match self.path {
                VerifyPath::ExactForward => (ids.len(), ids.len()),
                VerifyPath::Cached => (CACHED_CHUNK, ids.len() / 2),
            };
            let chunks = (0..together).step_by(chunk).map(|at| at..together.min(at + chunk));
            let parts = chunks.chain((together..ids.len()).map(|at| at..at + 1));
            for part in parts {
                let mut observer = |step: usize, _: &[usize], state: &Tensor<B, 2>| states[step].push(state.clone());
                let options = RunOptions {
                    zero_initial_state: start == Start::Zeros,
                    observer: Some(&mut observer),
                    ..RunOptions::new(&rule)
                };
                let d_model = self.decoder.config().d_model;
                let s0 = s0.as_ref().map(|s0| s0.clone().slice([part.clone(), 0..d_model]));
                logits.push(self.feed(&mut cache, &ids[part], LogitRows::All, s0, options)?);
            }
        }
        let states = states.into_iter().map(|parts| Tensor::cat(parts, 0)).collect();
        Ok(Run { logits: Tensor::cat(logits, 0), states })
    }

    fn feed(
        &self,
        cache: &mut SequenceCache<B>,
        tokens: &[u32],
        logits: LogitRows,
        initial_state: Option<Tensor<B, 2>>,
        options: RunOptions<'_, B>,
    ) -> Result<Tensor<B, 2>> {
        let phase = if tokens.len() > 1 { Phase::Prompt } else { Phase::Generation };
        let mut options = RunOptions { chunk: usize::MAX, ..options };
        let mut feeds = [Feed { cache, tokens, phase, logits, initial_state }];
        let output = self.decoder.run(&mut feeds, &mut options)?;
        let logits = output.feeds.into_iter().next().and_then(|feed| feed.logits);
        Ok(logits.unwrap_or_else(|| unreachable!("logits were asked for")))
    }

    /// The exit gate after every step of a full run, `[rows]` each.
    fn gates(&mut self) -> Result<Vec<Tensor<B, 1>>> {
        let depth = self.decoder.config().depth;
        let decoder = self.decoder;
        let states = &self.run(depth, Start::Given)?.states[1..];
        Ok(states.iter().filter_map(|state| decoder.exit_gate_logits(state.clone())).collect())
    }

    /// For each row the probability of exiting at each step: the hazards' product, the last step taking the rest.
    fn exit_distribution(&mut self) -> Result<Vec<Vec<f32>>> {
        let gates = self.gates()?.into_iter().map(read).collect::<Result<Vec<_>>>()?;
        let rows = gates.first().map_or(0, Vec::len);
        let of_row = |row: usize| {
            let mut left = 1.0;
            let mut p = Vec::with_capacity(gates.len());
            for (step, gate) in gates.iter().enumerate() {
                let hazard = 1.0 / (1.0 + (-gate[row]).exp());
                p.push(if step + 1 == gates.len() { left } else { hazard * left });
                left *= 1.0 - hazard;
            }
            p
        };
        Ok((0..rows).map(of_row).collect())
    }

    /// The sum over steps of their logits, each row weighted.
    fn mix_steps(&mut self, depth: usize, weight: impl Fn(usize, usize) -> f32) -> Result<Values> {
        let mut mixed: Option<Tensor<B, 2>> = None;
        for step in 0..depth {
            let logits = self.run(step + 1, Start::Given)?.logits.clone();
            let rows = logits.dims()[0];
            let weights = (0..rows).map(|row| weight(row, step)).collect::<Vec<_>>();
            let weights =
                Tensor::<B, 2>::from_data(TensorData::new(weights, [rows, 1]), (&logits.device(), DType::F32));
            let weighted = logits * weights;
            mixed = Some(match mixed {
                Some(mixed) => mixed + weighted,
                None => weighted,
            });
        }
        self.by_position(mixed.into_iter().collect())
    }

    /// Exit values from the states and readouts of runs at every depth, as published code evaluates them: all positions
    /// at the same step.
    fn criterion(&mut self, criterion: Criterion) -> Result<Values> {
        let depth = self.decoder.config().depth;
        let builtin = BuiltinCriterion::new(&ExitPolicy::new(criterion));
        let mut logits: Vec<Option<Tensor<B, 2>>> = vec![None; depth + 1];
        if criterion.evidence() == Evidence::Logits {
            for (step, logits) in logits.iter_mut().enumerate().skip(1) {
                *logits = Some(self.run(step, Start::Given)?.logits.clone());
            }
        }
        let gates = match criterion.evidence() {
            Evidence::Gate => self.gates()?,
            _ => Vec::new(),
        };
        let states = self.run(depth, Start::Given)?.states.clone();
        let mut columns = Vec::with_capacity(depth);
        let mut previous_value = None;
        for step in 1..=depth {
            let view = StepView {
                step,
                max_steps: depth,
                state: &states[step],
                previous: &states[step - 1],
                before_previous: (step > 1).then(|| &states[step - 2]),
                gate: gates.get(step - 1),
                logits: logits[step].as_ref(),
                previous_logits: logits[step - 1].as_ref(),
                previous_value: previous_value.as_ref(),
            };
            let values = builtin.values(&view);
            let rows = states[step].dims()[0];
            let undefined = || Tensor::full([rows], f32::NAN, &self.decoder.device());
            columns.push(values.clone().unwrap_or_else(undefined).unsqueeze_dim::<2>(1));
            previous_value = values;
        }
        self.by_position(vec![Tensor::cat(columns, 1)])
    }

    /// `[rows, width]` as `[batch, seq, width]`.
    fn by_position(&self, rows: Vec<Tensor<B, 2>>) -> Result<Values> {
        let rows = Tensor::cat(rows, 0);
        let shape = vec![self.ids.len(), self.ids[0].len(), rows.dims()[1]];
        Ok(Values { values: read(rows)?, shape })
    }
}

/// The first step, from 0, at which the cumulative probability reaches the threshold; else the last.
fn select_step(p: &[f32], threshold: f64) -> usize {
    let mut sum = 0.0;
    let reached = p.iter().position(|p| {
        sum += p;
        f64::from(sum) >= threshold
    });
    reached.unwrap_or(p.len() - 1).min(p.len() - 1)
}
