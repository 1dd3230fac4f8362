//! Numbers and width of attention heads.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::StackConfig;

/// Numbers and width of attention heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
}

impl HeadShape {
    /// The heads of a stack.
    pub fn of(stack: &StackConfig) -> Self {
        Self { n_heads: stack.n_heads, n_kv_heads: stack.n_kv_heads, head_dim: stack.head_dim }
    }

    /// `1 / sqrt(head_dim)`, the usual factor on attention scores.
    pub fn scale(&self) -> f64 {
        (self.head_dim as f64).sqrt().recip()
    }

    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// `[rows, kv_heads * head_dim]` as `[kv_heads, rows, head_dim]`.
    pub fn split_kv<B: Backend>(&self, x: Tensor<B, 2>) -> Tensor<B, 3> {
        let rows = x.dims()[0];
        x.reshape([rows, self.n_kv_heads, self.head_dim]).swap_dims(0, 1)
    }

    /// `[rows, heads * head_dim]` as `[kv_heads, group * rows, head_dim]`: the queries that share a key head together.
    pub fn split_queries<B: Backend>(&self, x: Tensor<B, 2>) -> Tensor<B, 3> {
        let rows = x.dims()[0];
        let group = self.group();
        if rows == 1 || group == 1 {
            // Nothing to interleave: heads (and groups) follow one another as they lie.
            let x = x.reshape([rows, self.n_heads, self.head_dim]);
            return match rows {
                1 => x.reshape([self.n_kv_heads, group, self.head_dim]),
                _ => x.swap_dims(0, 1),
            };
        }
        x.reshape([rows, self.n_kv_heads, group, self.head_dim]).permute([1, 2, 0, 3]).reshape([
            self.n_kv_heads,
            group * rows,
            self.head_dim,
        ])
    }

    /// The way back of [`Self::split_queries`].
    pub fn join_queries<B: Backend>(&self, x: Tensor<B, 3>, rows: usize) -> Tensor<B, 2> {
        let group = self.group();
        x.reshape([self.n_kv_heads, group, rows, self.head_dim])
            .permute([2, 0, 1, 3])
            .reshape([rows, self.n_heads * self.head_dim])
    }
}
