//! The parts of a forward pass: embedding, one recurrence, readout.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor};
use depthscale_types::{AfterStep, BlockEvaluations, InitialState, Readout, StackConfig};

use super::BlockContext;
use super::keys::Keys;
use super::rows::{RowSet, pick};
use crate::block::{Block, RecurrentBlock};
use crate::cache::{Place, SlotKind};
use crate::decoder::RecurrentDecoder;
use crate::layers::{Linear, Rotary, RotaryAngles};
use crate::state::{StateKey, truncated_normal};

/// What a recurrence sees beside the state.
pub(super) struct StepInput<'a, B: Backend> {
    /// The step, counted from 1.
    pub(super) step: usize,
    /// `[rows, d_model]`: what is injected.
    pub(super) input: &'a Tensor<B, 2>,
    pub(super) rows: &'a RowSet<B>,
    pub(super) angles: Option<&'a RotaryAngles<B>>,
    /// States after earlier steps, oldest first.
    pub(super) bank: &'a [Tensor<B, 2>],
}

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> RecurrentDecoder<B, K> {
    /// `[rows, d_model]`.
    pub(super) fn embed(&self, tokens: &[u32]) -> Tensor<B, 2> {
        let rows = self.embedding.look_up(tokens, &self.device());
        match self.config.embedding_scale {
            1.0 => rows,
            scale => rows * scale,
        }
    }

    /// What is injected at every step: the embedded tokens after the prelude.
    pub(super) fn read_in(&self, tokens: &[u32], rows: &RowSet<B>, keys: Keys<'_, '_, B>) -> Tensor<B, 2> {
        let embedded = self.embed(tokens);
        match &self.config.prelude {
            None => embedded,
            Some(stack) => self.outer_stack(&self.prelude, stack, Place::Prelude, embedded, rows, keys),
        }
    }

    /// The states before the first step of some rows, which are consecutive tokens of a sequence: `[rows, d_model]`. Random
    /// draws follow the key; without one they are zeros.
    pub(super) fn begin(
        &self,
        input: &Tensor<B, 2>,
        rows: Range<usize>,
        positions: Range<usize>,
        draws: Option<StateKey>,
    ) -> Tensor<B, 2> {
        let (d_model, device) = (self.config.d_model, self.device());
        match (self.config.initial_state, draws) {
            (InitialState::Embedding, _) => input.clone().slice([rows, 0..d_model]),
            (InitialState::TruncatedNormal { std, scale }, Some(key)) => {
                truncated_normal(std, scale, key, positions, d_model, &device)
            }
            (InitialState::Zeros | InitialState::TruncatedNormal { .. }, _) => {
                Tensor::zeros([rows.len(), d_model], (&device, DType::F32))
            }
        }
    }

    /// The angles of the core's positions.
    pub(super) fn core_angles(&self, rows: &RowSet<B>) -> Option<RotaryAngles<B>> {
        Rotary::of(&self.config.core).map(|rotary| rotary.angles(&rows.positions(), &self.device()))
    }

    /// One recurrence.
    ///
    /// # Shapes
    /// - state, output: `[rows, d_model]`
    pub(super) fn recur_once(
        &self,
        mut state: Tensor<B, 2>,
        seen: StepInput<'_, B>,
        mut keys: Keys<'_, '_, B>,
    ) -> Tensor<B, 2> {
        if let Some(injection) = &self.injection {
            state = injection.forward(Tensor::cat(vec![state, seen.input.clone()], 1)).cast(FloatDType::F32);
        }
        for (layer, block) in self.core.iter().enumerate() {
            let mut context = BlockContext {
                place: Place::Core { step: seen.step },
                layer,
                rows: seen.rows,
                keys: keys.reborrow(),
                slot: block.slot(),
                angles: seen.angles,
                memory: seen.bank,
                written: false,
            };
            state = block.forward(state, &mut context);
        }
        match self.config.after_step {
            AfterStep::Keep => state,
            AfterStep::FinalNorm => self.final_norm.forward(state),
        }
    }

    /// From states to logits: every row passes what later tokens need, the rows wanted the rest. `None` where none are.
    pub(super) fn read_out(
        &self,
        states: Tensor<B, 2>,
        rows: &RowSet<B>,
        wanted: &[usize],
        mut keys: Keys<'_, '_, B>,
        evaluations: &mut BlockEvaluations,
    ) -> Option<Tensor<B, 2>> {
        let device = self.device();
        let n = rows.len();
        let normalised = match &self.config.readout {
            Readout::Head | Readout::NormHead | Readout::CrossDecoder { .. } if wanted.is_empty() => {
                self.keep_shared(&states, rows, keys);
                return None;
            }
            Readout::Head => pick(states, wanted, n, &device),
            Readout::NormHead => self.final_norm.forward(pick(states, wanted, n, &device)),
            Readout::Coda(stack) => {
                let normalised = self.final_norm.forward(states);
                evaluations.readout += (self.readout.len() * n) as u64;
                let read = self.outer_stack(&self.readout, stack, Place::Readout, normalised, rows, keys);
                if wanted.is_empty() {
                    return None;
                }
                self.final_norm.forward(pick(read, wanted, n, &device))
            }
            Readout::CrossDecoder { layers, .. } => {
                self.keep_shared(&states, rows, keys.reborrow());
                let kept;
                // Whole sequences are their own keys: all rows stay, and those wanted are picked at the end.
                let all = wanted.len() == n || matches!(keys, Keys::Whole(_));
                let (states, rows, last) = if all {
                    (states, rows, pick_last(wanted, n))
                } else {
                    kept = rows.keep(wanted, &device);
                    (pick(states, wanted, n, &device), &kept, None)
                };
                evaluations.readout += (self.readout.len() * rows.len()) as u64;
                let read = self.outer_stack(&self.readout, layers, Place::Readout, states, rows, keys);
                let read = match last {
                    Some(wanted) => pick(read, wanted, n, &device),
                    None => read,
                };
                self.final_norm.forward(read)
            }
        };
        Some(self.apply_head(normalised))
    }

    /// A stack outside the recurrence.
    fn outer_stack(
        &self,
        blocks: &[Block<B>],
        stack: &StackConfig,
        place: Place,
        mut state: Tensor<B, 2>,
        rows: &RowSet<B>,
        mut keys: Keys<'_, '_, B>,
    ) -> Tensor<B, 2> {
        let angles = Rotary::of(stack).map(|rotary| rotary.angles(&rows.positions(), &self.device()));
        for (layer, block) in blocks.iter().enumerate() {
            let mut context = BlockContext {
                place,
                layer,
                rows,
                keys: keys.reborrow(),
                slot: block.slot(),
                angles: angles.as_ref(),
                memory: &[],
                written: false,
            };
            state = block.forward(state, &mut context);
        }
        state
    }

    /// Projects the shared keys and values of every row and keeps them, in models with a cross-decoder.
    fn keep_shared(&self, states: &Tensor<B, 2>, rows: &RowSet<B>, keys: Keys<'_, '_, B>) {
        let (Some(shared), Some(layers)) = (&self.shared, self.config.readout_stack()) else { return };
        let angles = Rotary::of(layers).map(|rotary| rotary.angles(&rows.positions(), &self.device()));
        let mut context = BlockContext {
            place: Place::Readout,
            layer: 0,
            rows,
            keys,
            slot: SlotKind::Growing,
            angles: angles.as_ref(),
            memory: &[],
            written: false,
        };
        let normalised = shared.norm.forward(states.clone());
        let [keys, values] = Linear::forward_all([&shared.key, &shared.value], normalised);
        let keys = context.rotate(shared.key_treatment.apply(keys));
        context.write_shared(keys, values, shared.heads);
    }
}

/// The rows to be picked at the end, where that is not all of them.
fn pick_last(wanted: &[usize], n: usize) -> Option<&[usize]> {
    (wanted.len() < n).then_some(wanted)
}
