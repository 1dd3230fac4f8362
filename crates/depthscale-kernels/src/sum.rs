//! The residual sum.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// `a + b`.
///
/// # Shapes
/// - a, b, output: `[rows, width]`, of one dtype
///
/// # Panics
/// If the shapes differ.
pub fn add<B: Backend>(a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    assert_eq!(a.dims(), b.dims(), "terms of one shape");
    #[cfg(feature = "flex")]
    let [a, b] = match crate::fused::apply(fast::Add, [a, b]) {
        Ok(sum) => return sum,
        Err(unchanged) => unchanged,
    };
    a + b
}

#[cfg(feature = "flex")]
mod fast {
    use crate::fused::{Fused, Matrix};
    use crate::vector::fill_pieces;

    const PIECE: usize = 1 << 14;

    #[derive(Debug, Clone)]
    pub(super) struct Add;

    impl Fused<2> for Add {
        fn forward(&self, [a, b]: [Matrix<'_>; 2]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            let mut sum = vec![0.0; a.values.len()];
            fill_pieces(
                &mut sum,
                PIECE,
                #[inline(always)]
                |at, sum| {
                    let own = at * PIECE..at * PIECE + sum.len();
                    for ((sum, a), b) in sum.iter_mut().zip(&a.values[own.clone()]).zip(&b.values[own]) {
                        *sum = a + b;
                    }
                },
            );
            (sum, [a.rows(), a.columns], Vec::new())
        }

        fn needs(&self) -> [bool; 2] {
            [false; 2]
        }

        fn backward(&self, _: [Matrix<'_>; 2], _: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 2] {
            [Some(upstream.to_vec()), Some(upstream.to_vec())]
        }
    }
}
