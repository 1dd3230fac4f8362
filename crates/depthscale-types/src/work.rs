//! What a forward call computes and moves, counted from the config.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::{DecoderConfig, MixerKind, OutputHead, Readout, StackConfig};
use crate::dtype::CacheDtype;
use crate::parameters::{ParameterRole, ParameterSpec};
use crate::weights::WeightFormat;

/// Arithmetic and memory traffic of a forward call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Floating-point operations of matrix products and attention; a multiplication and an addition are two. Norms,
    /// activations and softmax, a few for each element of a row, are not counted.
    pub flops: u64,
    /// Bytes that pass between memory and processor at the least: weights once for every chunk of rows and every step,
    /// keys and values where they are written and where they are read. Activations are taken to stay in caches.
    pub bytes: u64,
}

/// Which forward call work is asked for: every sequence takes in as many tokens, all steps are taken, and the last token of
/// each sequence is read out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkQuery {
    /// Tokens each sequence holds already.
    pub context: usize,
    /// Tokens each sequence takes in.
    pub tokens: usize,
    /// Sequences.
    pub batch: usize,
    /// Steps.
    pub depth: usize,
    /// Token rows computed at once.
    pub chunk: usize,
    /// What weights are kept in.
    pub weights: WeightFormat,
    /// What keys and values are kept in.
    pub caches: CacheDtype,
}

impl DecoderConfig {
    /// The work of a forward call.
    pub fn work(&self, query: &WorkQuery) -> Work {
        let parameters = self.parameters();
        let elements = Matrices::of(self, &parameters, |spec| spec.count());
        let bytes = Matrices::of(self, &parameters, |spec| spec.bytes(query.weights));
        let batch = query.batch as u128;
        let rows = query.tokens as u128 * batch;
        let chunks = Chunks::of(query);

        let mut multiplications = rows * elements.each_row(query.depth) + batch * elements.last_row;
        let mut weights = chunks.0.len() as u128 * bytes.each_row(query.depth) + bytes.last_row;
        // The embedding of every token.
        weights += rows * bytes.token;

        let mut cached = 0;
        let mut attend = |stack: &StackConfig, step: usize, times: usize| {
            let layers = stack.n_layers as u128 * batch * times as u128;
            let row = |position| row_multiplications(stack, position, step, self.d_model);
            multiplications +=
                layers * (query.context..query.context.saturating_add(query.tokens)).map(row).sum::<u128>();
            cached += layers * chunks.cache_bytes(stack, query);
        };
        for stack in self.prelude.iter() {
            attend(stack, 1, 1);
        }
        match self.core.mixer {
            // What it looks at grows with the steps.
            MixerKind::MemoryGated(_) => (1..=query.depth).for_each(|step| attend(&self.core, step, 1)),
            _ => attend(&self.core, 1, query.depth),
        }
        match &self.readout {
            Readout::Head | Readout::NormHead => {}
            Readout::Coda(stack) => attend(stack, 1, 1),
            Readout::CrossDecoder { layers, .. } => {
                // Keys and values of every token are written once; the last token's layers read them all.
                let all = query.context.saturating_add(query.tokens);
                let reads = layers.n_layers as u128 * batch;
                multiplications += reads * 2 * layers.d_query() as u128 * all as u128;
                let row = layers.kv_row_bytes(query.caches) as u128;
                cached += rows * row + reads * all as u128 * row;
            }
        }
        // Counted wide, so that no sizes that pass for a config overflow.
        let narrow = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
        Work { flops: narrow(2 * multiplications), bytes: narrow(weights + cached) }
    }
}

/// Sizes of the matrices, in elements or bytes, by how often a forward call multiplies them.
struct Matrices {
    /// Once for every row: prelude, coda, shared keys and values.
    outside: u128,
    /// Once for every row and step.
    core: u128,
    /// Once for every sequence: cross-decoder and output head.
    last_row: u128,
    /// What is looked up for a token.
    token: u128,
}

impl Matrices {
    fn of(config: &DecoderConfig, parameters: &[ParameterSpec], size: impl Fn(&ParameterSpec) -> u64) -> Self {
        let (mut outside, mut core, mut last_row, mut token) = (0, 0, 0, 0);
        for spec in parameters {
            let size = u128::from(size(spec));
            match spec.path.split('.').next().unwrap_or_default() {
                "embedding" => {
                    token = size / config.vocab_size.max(1) as u128;
                    if config.head == OutputHead::Tied {
                        last_row += size;
                    }
                }
                "head" => last_row += size,
                _ if matches!(spec.role, ParameterRole::NormWeight | ParameterRole::Bias) => {}
                "prelude" | "coda" | "shared" => outside += size,
                "core" | "injection" => core += size,
                "cross" => last_row += size,
                // A fixed depth asks no gate.
                _ => {}
            }
        }
        Self { outside, core, last_row, token }
    }

    fn each_row(&self, depth: usize) -> u128 {
        self.outside + depth as u128 * self.core
    }
}

/// The chunks in which every sequence takes its tokens in, as ranges of positions.
struct Chunks(Vec<Range<usize>>);

impl Chunks {
    fn of(query: &WorkQuery) -> Self {
        let share = (query.chunk / query.batch.max(1)).max(1);
        let end = query.context.saturating_add(query.tokens);
        let starts = (query.context..end).step_by(share);
        Self(starts.map(|start| start..end.min(start.saturating_add(share))).collect())
    }

    /// Bytes of one layer's slot that are written and read.
    fn cache_bytes(&self, stack: &StackConfig, query: &WorkQuery) -> u128 {
        if let MixerKind::GatedRetention { .. } = stack.mixer {
            // The matrix state is read and written with every chunk.
            return 2 * 4 * self.0.len() as u128 * (stack.d_query() * stack.head_dim) as u128;
        }
        let visible = |chunk: &Range<usize>| match stack.mixer.window() {
            Some(window) => chunk.end.min(window - 1 + chunk.len()),
            None => chunk.end,
        };
        let rows = query.tokens + self.0.iter().map(visible).sum::<usize>();
        rows as u128 * stack.kv_row_bytes(query.caches) as u128
    }
}

/// Multiplications in one layer's mixer for a row, beside those of its own matrices.
fn row_multiplications(stack: &StackConfig, position: usize, step: usize, d_model: usize) -> u128 {
    let seen = position.saturating_add(1);
    let visible = stack.mixer.window().map_or(seen, |window| window.min(seen));
    let attention = |keys: usize| 2 * stack.d_query() as u128 * keys as u128;
    match stack.mixer {
        // Outer product into the matrix state, and the query's product with it.
        MixerKind::GatedRetention { .. } => (2 * stack.d_query() * stack.head_dim) as u128,
        MixerKind::MemoryGated(config) => {
            let bank = (step - 1).min(config.context_window_size);
            attention(visible) + attention(bank) + 2 * (stack.d_kv() * d_model) as u128 * bank as u128
        }
        MixerKind::FullAttention | MixerKind::SlidingWindow { .. } | MixerKind::SharedKv => attention(visible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AfterStep, BlockNorms, ExitGate, Family, InitialState, Injection, Positions, QueryKey};

    /// One core layer of width 4, two heads of 2, one key head, feed-forward 8, vocabulary 10.
    fn config(mixer: MixerKind) -> DecoderConfig {
        DecoderConfig {
            family: Family::Native,
            vocab_size: 10,
            d_model: 4,
            norm_eps: 1e-6,
            embedding_scale: 1.0,
            max_positions: 64,
            depth: 3,
            initial_state: InitialState::Embedding,
            injection: Injection::None,
            prelude: None,
            core: StackConfig {
                n_layers: 1,
                n_heads: 2,
                n_kv_heads: 1,
                head_dim: 2,
                d_ffn: 8,
                mixer,
                positions: Positions::None,
                norms: BlockNorms::Pre,
                query_key: QueryKey::Plain,
            },
            after_step: AfterStep::Keep,
            readout: Readout::NormHead,
            head: OutputHead::Tied,
            exit_gate: ExitGate::None,
        }
    }

    fn query(context: usize, tokens: usize, batch: usize) -> WorkQuery {
        WorkQuery { context, tokens, batch, depth: 3, chunk: 4, weights: WeightFormat::F32, caches: CacheDtype::F16 }
    }

    /// Query and output 16 each, key and value 8 each, feed-forward 3 * 32.
    const CORE: u64 = 16 + 16 + 8 + 8 + 96;
    const HEAD: u64 = 40;

    #[test]
    fn a_decoded_token_by_hand() {
        let work = config(MixerKind::FullAttention).work(&query(5, 1, 1));
        // Three steps; attention over 6 keys: 2 * 4 * 6 multiplications.
        assert_eq!(work.flops, 2 * (3 * (CORE + 48) + HEAD));
        // A row of keys and values is 2 * 2 elements of 2 bytes: one written and six read, in each of three slots.
        assert_eq!(work.bytes, 4 * (3 * CORE + HEAD + 4) + 3 * 7 * 8);
    }

    #[test]
    fn weights_are_read_once_for_a_batch_and_caches_for_every_sequence() {
        let config = config(MixerKind::FullAttention);
        let (one, four) = (config.work(&query(5, 1, 1)), config.work(&query(5, 1, 4)));
        assert_eq!(four.flops, 4 * one.flops);
        assert_eq!(four.bytes - one.bytes, 3 * (4 * 4 + 3 * 7 * 8));
    }

    #[test]
    fn a_prompt_is_read_in_chunks() {
        let work = config(MixerKind::FullAttention).work(&query(0, 6, 1));
        // Keys seen: 1 + 2 + ... + 6 = 21, of 8 multiplications each; one row is read out.
        assert_eq!(work.flops, 2 * (6 * 3 * CORE + 3 * 8 * 21 + HEAD));
        // Chunks of 4 and 2 read the weights twice and the cache up to 4 and 6 rows.
        assert_eq!(work.bytes, 4 * (2 * 3 * CORE + HEAD + 6 * 4) + 3 * (6 + 4 + 6) * 8);
    }

    #[test]
    fn a_window_limits_what_is_read() {
        let work = config(MixerKind::SlidingWindow { window: 3 }).work(&query(5, 1, 1));
        assert_eq!(work.flops, 2 * (3 * (CORE + 2 * 4 * 3) + HEAD));
        assert_eq!(work.bytes, 4 * (3 * CORE + HEAD + 4) + 3 * (1 + 3) * 8);
    }

    #[test]
    fn a_cross_decoder_works_for_the_last_token() {
        let base = config(MixerKind::SlidingWindow { window: 1 });
        let layers = StackConfig { n_layers: 2, mixer: MixerKind::SharedKv, ..base.core.clone() };
        let readout = Readout::CrossDecoder { layers, shared_key: QueryKey::Plain };
        let (plain, crossed) = (base.work(&query(0, 6, 1)), DecoderConfig { readout, ..base }.work(&query(0, 6, 1)));
        // Shared keys and values, 8 each, of six rows; two layers without keys of their own over six keys for one row.
        let added = 6 * 16 + 2 * (CORE - 16 + 2 * 4 * 6);
        assert_eq!(crossed.flops - plain.flops, 2 * added);
        assert_eq!(crossed.bytes - plain.bytes, 4 * (2 * 16 + 2 * (CORE - 16)) + (6 + 2 * 6) * 8);
    }
}
