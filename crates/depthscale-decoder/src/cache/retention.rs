//! A slot that keeps the matrix state of gated retention.

use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};

use super::KvRows;

/// `S_n = gamma_n S_{n-1} + k_n^T v_n`, one matrix a head; its size does not depend on the number of tokens.
#[derive(Debug, Clone)]
pub(crate) struct RetentionSlot<B: Backend> {
    /// `[heads, d_key, d_value]`; `None` before the first token.
    pub(crate) state: Option<Tensor<B, 3>>,
}

impl<B: Backend> Default for RetentionSlot<B> {
    fn default() -> Self {
        Self { state: None }
    }
}

impl<B: Backend> RetentionSlot<B> {
    /// Takes in a chunk.
    ///
    /// # Panics
    /// If the chunk has no decay.
    pub(super) fn commit(&mut self, chunk: &KvRows<B>) {
        let Some(log_decay) = &chunk.log_decay else { panic!("rows for gated retention carry their decay") };
        let [heads, rows] = log_decay.dims();
        // [heads, rows]: the decay from each token up to it, its own included.
        let decay = log_decay.clone().cumsum(1);
        let whole = decay.clone().slice([0..heads, rows - 1..rows]);
        let weights = (whole.clone() - decay).exp().unsqueeze_dim::<3>(2);
        let [keys, values] = [&chunk.keys, &chunk.values].map(|rows| rows.clone().into_floats(FloatDType::F32));
        let added = (keys * weights).swap_dims(1, 2).matmul(values);
        self.state = Some(match self.state.take() {
            Some(state) => state * whole.exp().unsqueeze_dim::<3>(2) + added,
            None => added,
        });
    }
}
