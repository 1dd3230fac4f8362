//! The gated feed-forward part of a block.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_kernels::swiglu;

use super::Linear;

/// SwiGLU (arXiv 2002.05202) without biases: `y = w_down(silu(w_gate x) * w_up x)`.
#[derive(Module, Debug)]
pub struct FeedForward<B: Backend> {
    pub(crate) gate: Linear<B>,
    pub(crate) up: Linear<B>,
    pub(crate) down: Linear<B>,
}

impl<B: Backend> FeedForward<B> {
    /// Applies the map.
    ///
    /// # Shapes
    /// - x: `[rows, d_model]`
    /// - output: `[rows, d_model]`, in the weights' dtype
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], x.cast(self.gate.dtype()));
        self.down.forward(swiglu(gate, up))
    }
}
