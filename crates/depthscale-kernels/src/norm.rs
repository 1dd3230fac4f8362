//! Root-mean-square normalisation (arXiv 1910.07467).

use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};

/// `y = x / sqrt(mean(x^2) + eps) * w` over every row; without the factor where there is no weight.
///
/// # Shapes
/// - x: `[rows, width]`, cast to f32
/// - weight: `[width]`, f32
/// - output: `[rows, width]`, f32
pub fn rms_norm<B: Backend>(x: Tensor<B, 2>, weight: Option<Tensor<B, 1>>, eps: f64) -> Tensor<B, 2> {
    let x = x.cast(FloatDType::F32);
    #[cfg(feature = "flex")]
    let (x, weight) = match fast::rms_norm(x, weight, eps) {
        Ok(y) => return y,
        Err(unchanged) => unchanged,
    };
    let mean_square = (x.clone() * x.clone()).mean_dim(1);
    let normalised = x / (mean_square + eps).sqrt();
    match weight {
        Some(weight) => normalised * weight.unsqueeze(),
        None => normalised,
    }
}

#[cfg(feature = "flex")]
mod fast {
    use burn::tensor::Tensor;
    use burn::tensor::backend::Backend;
    use rayon::prelude::*;

    use crate::fused::{Fused, Matrix, apply};
    use crate::vector::{add_scaled, dot, fill_both, fill_rows, task_rows, vectorised};

    type Unchanged<B> = (Tensor<B, 2>, Option<Tensor<B, 1>>);

    pub(super) fn rms_norm<B: Backend>(
        x: Tensor<B, 2>,
        weight: Option<Tensor<B, 1>>,
        eps: f64,
    ) -> Result<Tensor<B, 2>, Unchanged<B>> {
        let operation = RmsNorm { eps: eps as f32 };
        match weight {
            None => apply(operation, [x]).map_err(|[x]| (x, None)),
            Some(weight) => {
                apply(operation, [x, weight.unsqueeze()]).map_err(|[x, weight]| (x, Some(weight.squeeze_dim::<1>(0))))
            }
        }
    }

    #[derive(Debug, Clone)]
    struct RmsNorm {
        eps: f32,
    }

    impl RmsNorm {
        /// The normalised rows and the factor of each.
        fn normalise(&self, x: Matrix<'_>, weight: Option<&[f32]>) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            let (rows, width, eps) = (x.rows(), x.columns, self.eps);
            let (mut y, mut factors) = (vec![0.0; x.values.len()], vec![0.0; rows]);
            let piece = task_rows(width);
            fill_both(
                (&mut y, piece * width),
                (&mut factors, piece),
                #[inline(always)]
                |at, y, factors| {
                    for (row, (y, factor)) in y.chunks_exact_mut(width).zip(factors).enumerate() {
                        let x = x.row(at * piece + row);
                        *factor = (dot(x, x) / width as f32 + eps).sqrt().recip();
                        match weight {
                            Some(weight) => scale(y, *factor, x, weight),
                            None => add_scaled(y, *factor, x),
                        }
                    }
                },
            );
            (y, [rows, width], factors)
        }

        /// With `g = upstream * w`: `dx = f g - x f^3 mean(g x)`.
        fn of_x(&self, x: Matrix<'_>, weight: Option<&[f32]>, factors: &[f32], upstream: &[f32]) -> Vec<f32> {
            let width = x.columns;
            let mut gradient = vec![0.0; x.values.len()];
            fill_rows(
                &mut gradient,
                width,
                #[inline(always)]
                |row, gradient| {
                    let (x, upstream) = (x.row(row), &upstream[row * width..(row + 1) * width]);
                    let f = factors[row];
                    match weight {
                        Some(weight) => scale(gradient, 1.0, upstream, weight),
                        None => gradient.copy_from_slice(upstream),
                    }
                    let mean = dot(gradient, x) / width as f32;
                    let pull = -mean * f * f * f;
                    for (gradient, x) in gradient.iter_mut().zip(x) {
                        *gradient = *gradient * f + pull * x;
                    }
                },
            );
            gradient
        }
    }

    /// `y = f x w`.
    #[inline(always)]
    fn scale(y: &mut [f32], f: f32, x: &[f32], w: &[f32]) {
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = f * x * w;
        }
    }

    impl Fused<1> for RmsNorm {
        fn forward(&self, [x]: [Matrix<'_>; 1]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            self.normalise(x, None)
        }

        fn backward(&self, [x]: [Matrix<'_>; 1], factors: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 1] {
            [Some(self.of_x(x, None, factors, upstream))]
        }
    }

    impl Fused<2> for RmsNorm {
        fn forward(&self, [x, weight]: [Matrix<'_>; 2]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            self.normalise(x, Some(weight.values))
        }

        fn backward(&self, [x, weight]: [Matrix<'_>; 2], factors: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 2] {
            let width = x.columns;
            let piece = task_rows(width);
            let sums: Vec<Vec<f32>> = upstream
                .par_chunks(piece * width)
                .enumerate()
                .map(|(at, upstream)| {
                    vectorised(
                        #[inline(always)]
                        || {
                            let mut sum = vec![0.0; width];
                            for (row, upstream) in upstream.chunks_exact(width).enumerate() {
                                let row = at * piece + row;
                                for ((sum, upstream), x) in sum.iter_mut().zip(upstream).zip(x.row(row)) {
                                    *sum += factors[row] * upstream * x;
                                }
                            }
                            sum
                        },
                    )
                })
                .collect();
            let mut of_weight = vec![0.0; width];
            sums.iter().for_each(|sum| add_scaled(&mut of_weight, 1.0, sum));
            [Some(self.of_x(x, Some(weight.values), factors, upstream)), Some(of_weight)]
        }
    }
}
