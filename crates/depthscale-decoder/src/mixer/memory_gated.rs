//! Attention gated between the context and the memory of earlier steps.

use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor};
use depthscale_types::{AttentionConfig, StackConfig};

use super::{Attention, Mixer};
use crate::build::Parameters;
use crate::cache::SlotKind;
use crate::error::Result;
use crate::layers::Linear;
use crate::run::BlockContext;

/// For each head, a gate between attention over the context and attention over a bank of the token's own states after
/// earlier steps:
///
/// ```text
/// context = attention over the last `context_window_size` tokens
/// memory  = sum_i softmax_i( q . k(s_i) / sqrt(head_dim) + age_i * ln(memory_decay_rate) ) v(s_i)
/// y       = w_output( g * context + (1 - g) * memory ),   g = sigmoid(x w_gate + b)
/// ```
///
/// `s_i` is the token's state after step `i`, `age_i` the steps since the most recent one; the bank keeps at most
/// `context_window_size` of them. At the first step the bank is empty and the context is all there is. Queries to the
/// bank carry no positions.
#[derive(Module, Debug)]
pub struct MemoryGatedAttention<B: Backend> {
    context: Attention<B>,
    memory_key: Linear<B>,
    memory_value: Linear<B>,
    gate: Linear<B>,
    gate_bias: Param<Tensor<B, 1>>,
    #[module(skip)]
    config: AttentionConfig,
}

impl<B: Backend> MemoryGatedAttention<B> {
    pub(crate) fn load(
        parameters: &mut Parameters<'_, B>,
        path: &str,
        stack: &StackConfig,
        config: AttentionConfig,
    ) -> Result<Self> {
        Ok(Self {
            context: Attention::load(parameters, path, stack)?,
            memory_key: parameters.linear(&format!("{path}.memory_key"))?,
            memory_value: parameters.linear(&format!("{path}.memory_value"))?,
            gate: parameters.linear(&format!("{path}.memory_gate.weight"))?,
            gate_bias: parameters.param(&format!("{path}.memory_gate.bias"))?,
            config,
        })
    }

    /// Attention of each row over its own bank, in f32.
    ///
    /// # Shapes
    /// - queries: `[rows, n_heads * head_dim]`
    /// - bank: `[rows, d_model]` each, oldest first
    /// - output: `[rows, n_heads * head_dim]`
    fn recall(&self, queries: Tensor<B, 2>, bank: &[Tensor<B, 2>]) -> Tensor<B, 2> {
        let heads = self.context.heads();
        let [rows, width] = queries.dims();
        let (kv, group, n) = (heads.n_kv_heads, heads.n_heads / heads.n_kv_heads, bank.len());
        let states = Tensor::cat(bank.to_vec(), 0);
        // [n * rows, kv * head_dim] -> [rows * kv, n, head_dim]
        let by_row = |x: Tensor<B, 2>| x.cast(FloatDType::F32).reshape([n, rows * kv, heads.head_dim]).swap_dims(0, 1);
        let [keys, values] = Linear::forward_all([&self.memory_key, &self.memory_value], states).map(by_row);
        let queries = queries.cast(FloatDType::F32).reshape([rows * kv, group, heads.head_dim]) * heads.scale();
        let ages = (0..n).map(|i| ((n - 1 - i) as f64 * self.config.memory_decay_rate.ln()) as f32);
        let decay = Tensor::<B, 1>::from_data(ages.collect::<Vec<_>>().as_slice(), (&keys.device(), DType::F32));
        let scores = queries.matmul(keys.swap_dims(1, 2)) + decay.reshape([1, 1, n]);
        softmax(scores, 2).matmul(values).reshape([rows, width])
    }
}

impl<B: Backend> Mixer<B> for MemoryGatedAttention<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let (seen, queries) = self.context.attend(rows.clone(), context);
        if context.memory().is_empty() {
            return self.context.output(seen);
        }
        let remembered = self.recall(queries, context.memory());
        let gate = sigmoid(self.gate.forward(rows) + self.gate_bias.val().unsqueeze());
        let heads = self.context.heads();
        let n = gate.dims()[0];
        let per_head = |x: Tensor<B, 2>| x.reshape([n, heads.n_heads, heads.head_dim]);
        let (seen, remembered) = (per_head(seen.cast(FloatDType::F32)), per_head(remembered));
        let gate = gate.reshape([n, heads.n_heads, 1]);
        let mixed = remembered.clone() + gate * (seen - remembered);
        self.context.output(mixed.reshape([n, heads.n_heads * heads.head_dim]))
    }

    fn slot(&self) -> SlotKind {
        self.context.slot()
    }

    fn memory(&self) -> usize {
        self.config.context_window_size
    }
}
