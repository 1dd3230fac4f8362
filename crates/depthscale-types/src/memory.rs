//! Where the memory goes: weights, caches, activations.

use serde::{Deserialize, Serialize};

use crate::config::{DecoderConfig, MixerKind, Readout, StackConfig};
use crate::dtype::CacheDtype;
use crate::retention::KvRetention;
use crate::weights::WeightFormat;

/// Memory in bytes, in the terms that behave differently. Weights, activations and the global cache do not grow with
/// depth; the per-step cache does, unless a retention policy shares slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryReport {
    /// Parameters, each once.
    pub weights: u64,
    /// Caches outside the recurrence: prelude, coda, the shared keys and values of a cross-decoder.
    pub global_kv: u64,
    /// Caches of the core, all slots.
    pub per_step_kv: u64,
    /// The largest intermediate tensors of one forward call.
    pub activations: u64,
}

impl MemoryReport {
    /// All terms together.
    pub fn total(&self) -> u64 {
        [self.weights, self.global_kv, self.per_step_kv, self.activations].into_iter().fold(0, u64::saturating_add)
    }
}

/// Memory in bytes as it was measured, in the terms of a [`MemoryReport`] as far as a device tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredMemory {
    /// What loading the parameters left in use.
    pub weights: u64,
    /// What a run left in use beside them: the caches of all its sequences.
    pub caches: u64,
    /// The most that was in use beside both during the run; `None` where nothing keeps a peak.
    pub activations: Option<u64>,
    /// What a device's pools have taken from the driver, padding and what they keep for later among it; `None` where there
    /// are no pools.
    pub reserved: Option<u64>,
}

impl MeasuredMemory {
    /// What was in use at once, at the most where a peak was kept.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.caches).saturating_add(self.activations.unwrap_or(0))
    }
}

/// What memory is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryQuery {
    /// Tokens per sequence.
    pub context: usize,
    /// Sequences.
    pub batch: usize,
    /// Steps.
    pub depth: usize,
    /// Token rows computed at once.
    pub chunk: usize,
    /// Which slots are kept.
    pub retention: KvRetention,
    /// What weights are kept in.
    pub weights: WeightFormat,
    /// What keys and values are kept in.
    pub caches: CacheDtype,
}

/// Cache of one sequence in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheBytes {
    /// Outside the recurrence.
    pub global: u64,
    /// Inside it, all slots.
    pub per_step: u64,
}

impl CacheBytes {
    /// Both together.
    pub fn total(&self) -> u64 {
        self.global.saturating_add(self.per_step)
    }
}

impl DecoderConfig {
    /// Bytes of cache one sequence of `context` tokens needs after its prompt was read, at `depth` steps. The matrix states of
    /// gated retention are f32 whatever keys and values are kept in.
    pub fn cache_bytes(&self, retention: KvRetention, depth: usize, context: usize, caches: CacheDtype) -> CacheBytes {
        let stack_bytes =
            |stack: &StackConfig| (stack.n_layers as u64).saturating_mul(slot_bytes(stack, context, caches));
        let prelude = self.prelude.as_ref().map_or(0, stack_bytes);
        let readout = match &self.readout {
            Readout::Head | Readout::NormHead => 0,
            Readout::Coda(stack) => stack_bytes(stack),
            // One store, read by every cross layer.
            Readout::CrossDecoder { layers, .. } => kv_bytes(layers, context, caches),
        };
        CacheBytes {
            global: prelude.saturating_add(readout),
            per_step: (retention.slots(depth) as u64).saturating_mul(stack_bytes(&self.core)),
        }
    }

    /// Bytes by which the cache of one sequence grows with one more token, once windows are full.
    pub fn cache_bytes_per_token(&self, retention: KvRetention, depth: usize, caches: CacheDtype) -> u64 {
        let far = self.largest_window().saturating_add(1);
        let at = |context| self.cache_bytes(retention, depth, context, caches).total();
        at(far + 1) - at(far)
    }

    /// The memory a run needs once its prompt has been read; while [`KvRetention::LastStepAfterPrefill`] reads it, there is a
    /// slot per step as under [`KvRetention::PerStep`].
    ///
    /// Activations are an estimate: the tensors alive at the widest point of a block (its attention or its feed-forward part)
    /// or of the readout, in 4-byte elements, and the keys and values that every core layer holds of the chunk under way. Keys and
    /// values that are kept in fewer bytes count once more in 4, for one layer of a sequence: backends that do not read them as they
    /// are bring so much to f32. A cross-decoder is taken to read out one token of each sequence.
    pub fn predict_memory(&self, query: &MemoryQuery) -> MemoryReport {
        let cache = self.cache_bytes(query.retention, query.depth, query.context, query.caches);
        let block = |stack: &StackConfig| {
            let rows = if stack.mixer == MixerKind::SharedKv { query.batch } else { query.chunk };
            let keys = match (&stack.mixer, stack.mixer.window()) {
                (MixerKind::GatedRetention { .. }, _) => rows,
                (_, Some(window)) => query.context.min(window.saturating_add(rows)),
                _ => query.context,
            };
            let attention = (2 * stack.n_heads as u64).saturating_mul(keys as u64);
            let attention = attention.saturating_add(4 * stack.d_query() as u64);
            let row = (3 * stack.d_ffn as u64).max(attention).saturating_add(4 * self.d_model as u64);
            let widened = if query.caches != CacheDtype::F32 { 2 * stack.d_kv() as u64 } else { 0 };
            (rows as u64).saturating_mul(row).saturating_add(widened.saturating_mul(keys as u64))
        };
        let stacks = [self.prelude.as_ref(), Some(&self.core), self.readout_stack()];
        let widest_block = stacks.into_iter().flatten().map(block).max().unwrap_or(0);
        let batch = query.batch as u64;
        let logits = batch.saturating_mul(self.vocab_size as u64);
        let pending = (self.core.n_layers as u64).saturating_mul(kv_bytes(&self.core, query.chunk, query.caches));
        MemoryReport {
            weights: self.parameter_bytes(query.weights),
            global_kv: cache.global.saturating_mul(batch),
            per_step_kv: cache.per_step.saturating_mul(batch),
            activations: widest_block.max(logits).saturating_mul(4).saturating_add(pending),
        }
    }

    fn largest_window(&self) -> usize {
        let stacks = [self.prelude.as_ref(), Some(&self.core), self.readout_stack()];
        stacks.into_iter().flatten().filter_map(|stack| stack.mixer.window()).max().unwrap_or(0)
    }
}

/// Bytes of one slot of one layer.
fn slot_bytes(stack: &StackConfig, context: usize, caches: CacheDtype) -> u64 {
    match stack.mixer {
        MixerKind::GatedRetention { .. } => (4 * stack.d_query() as u64).saturating_mul(stack.head_dim as u64),
        MixerKind::SharedKv => 0,
        // A window of W keys, the query's own among them, keeps W - 1 rows between tokens.
        _ => {
            let rows = stack.mixer.window().map_or(context, |window| context.min(window - 1));
            kv_bytes(stack, rows, caches)
        }
    }
}

fn kv_bytes(stack: &StackConfig, rows: usize, caches: CacheDtype) -> u64 {
    (stack.kv_row_bytes(caches) as u64).saturating_mul(rows as u64)
}
