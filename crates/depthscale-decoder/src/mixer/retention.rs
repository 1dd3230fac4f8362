//! Gated retention (YOCO, arXiv 2405.05254).

use burn::module::Module;
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};
use depthscale_types::StackConfig;

use super::Mixer;
use crate::build::Parameters;
use crate::cache::SlotKind;
use crate::error::Result;
use crate::layers::Linear;
use crate::run::{BlockContext, HeadShape};
use depthscale_kernels::rms_norm;

/// Linear attention with a decay that each token sets for itself:
///
/// ```text
/// log gamma = logsigmoid(x w_decay) / temperature
/// S_n = gamma_n S_{n-1} + k_n^T v_n         k scaled by 1/sqrt(head_dim)
/// y = w_output( silu(x w_gate) * norm(q_n S_n) )     norm per head, without weight
/// ```
#[derive(Module, Debug)]
pub struct GatedRetention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    gate: Linear<B>,
    decay: Linear<B>,
    output: Linear<B>,
    #[module(skip)]
    heads: HeadShape,
    temperature: f64,
    norm_eps: f64,
}

impl<B: Backend> GatedRetention<B> {
    pub(crate) fn load(
        parameters: &mut Parameters<'_, B>,
        path: &str,
        stack: &StackConfig,
        temperature: f64,
    ) -> Result<Self> {
        Ok(Self {
            query: parameters.linear(&format!("{path}.query"))?,
            key: parameters.linear(&format!("{path}.key"))?,
            value: parameters.linear(&format!("{path}.value"))?,
            output: parameters.linear(&format!("{path}.output"))?,
            gate: parameters.linear(&format!("{path}.gate"))?,
            decay: parameters.linear(&format!("{path}.decay"))?,
            heads: HeadShape::of(stack),
            temperature,
            norm_eps: parameters.norm_eps(),
        })
    }
}

impl<B: Backend> Mixer<B> for GatedRetention<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        // The decay is taken from the rows as they are, the rest in the dtype of the weights.
        let decay = self.decay.forward(rows.clone());
        let maps = [&self.query, &self.key, &self.value, &self.gate];
        let [queries, keys, values, gate] = Linear::forward_all(maps, rows.cast(self.query.dtype()));
        let queries = context.rotate(queries);
        let keys = context.rotate(keys) * self.heads.scale();
        let retained = context.retain([queries, keys, values], decay, self.temperature, self.heads);
        let [n, width] = retained.dims();
        let heads = retained.reshape([n * self.heads.n_heads, self.heads.head_dim]);
        let normalised = rms_norm(heads, None, self.norm_eps).reshape([n, width]);
        self.output.forward(silu(gate.cast(FloatDType::F32)) * normalised)
    }

    fn slot(&self) -> SlotKind {
        SlotKind::Retention
    }
}
