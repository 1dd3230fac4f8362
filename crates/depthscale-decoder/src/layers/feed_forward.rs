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
        let x = x.cast(self.gate.dtype());
        let gate = self.gate.forward(x.clone());
        self.down.forward(swiglu(gate, self.up.forward(x)))
    }
}
