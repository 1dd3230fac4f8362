//! The gate of SwiGLU (arXiv 2002.05202).

use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend;

/// `y = silu(gate) * up`, with `silu(x) = x / (1 + e^-x)`.
///
/// # Shapes
/// - gate, up, output: `[rows, width]`, of one dtype
pub fn swiglu<B: Backend>(gate: Tensor<B, 2>, up: Tensor<B, 2>) -> Tensor<B, 2> {
    #[cfg(feature = "flex")]
    let [gate, up] = match crate::fused::apply(fast::Swiglu, [gate, up]) {
        Ok(y) => return y,
        Err(unchanged) => unchanged,
    };
    silu(gate) * up
}

#[cfg(feature = "flex")]
mod fast {
    use crate::fused::{Fused, Matrix};
    use crate::vector::{fill_both, fill_pieces, sigmoid};

    /// Elements of a task.
    const PIECE: usize = 1 << 12;

    #[derive(Debug, Clone)]
    pub(super) struct Swiglu;

    impl Fused<2> for Swiglu {
        fn forward(&self, [gate, up]: [Matrix<'_>; 2]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            let mut y = vec![0.0; gate.values.len()];
            fill_pieces(
                &mut y,
                PIECE,
                #[inline(always)]
                |at, y| {
                    let from = at * PIECE;
                    let (gate, up) = (&gate.values[from..from + y.len()], &up.values[from..from + y.len()]);
                    for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
                        *y = gate * sigmoid(gate) * up;
                    }
                },
            );
            (y, [gate.rows(), gate.columns], Vec::new())
        }

        /// `d silu(x) = s (1 + x (1 - s))` with `s = sigmoid(x)`.
        fn backward(&self, [gate, up]: [Matrix<'_>; 2], _: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 2] {
            let (mut of_gate, mut of_up) = (vec![0.0; upstream.len()], vec![0.0; upstream.len()]);
            fill_both(
                (&mut of_gate, PIECE),
                (&mut of_up, PIECE),
                #[inline(always)]
                |at, of_gate, of_up| {
                    let own = at * PIECE..at * PIECE + of_gate.len();
                    let inputs = gate.values[own.clone()].iter().zip(&up.values[own.clone()]).zip(&upstream[own]);
                    for ((of_gate, of_up), ((&gate, up), upstream)) in of_gate.iter_mut().zip(of_up).zip(inputs) {
                        let s = sigmoid(gate);
                        *of_up = upstream * gate * s;
                        *of_gate = upstream * up * s * (1.0 + gate * (1.0 - s));
                    }
                },
            );
            [Some(of_gate), Some(of_up)]
        }
    }
}
