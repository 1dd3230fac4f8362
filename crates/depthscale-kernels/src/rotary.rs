//! Rotary position embedding (arXiv 2104.09864).

use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};
use depthscale_types::RotaryLayout;

/// Rotates every pair of every head by its row's angle: `(a, b) -> (a cos - b sin, b cos + a sin)`.
///
/// # Shapes
/// - x: `[rows, heads * head_dim]`, cast to f32
/// - cos, sin: `[rows, head_dim / 2]`, f32
/// - output: as x, f32
///
/// # Panics
/// If the width of x is not a multiple of twice the width of cos.
pub fn rotate<B: Backend>(
    x: Tensor<B, 2>,
    cos: &Tensor<B, 2>,
    sin: &Tensor<B, 2>,
    layout: RotaryLayout,
) -> Tensor<B, 2> {
    let x = x.cast(FloatDType::F32);
    let [rows, width] = x.dims();
    let half = cos.dims()[1];
    assert!(width.is_multiple_of(2 * half), "width {width} is not a number of heads of {}", 2 * half);
    #[cfg(feature = "flex")]
    let x = match in_place::rotate(x, cos, sin, layout) {
        Ok(rotated) => return rotated,
        Err(x) => x,
    };
    #[cfg(all(feature = "flex", feature = "autodiff"))]
    let x = match tracked::rotate(x, cos, sin, layout) {
        Ok(rotated) => return rotated,
        Err(x) => x,
    };
    let heads = width / (2 * half);
    let (cos, sin) = (cos.clone().reshape([rows, 1, half]), sin.clone().reshape([rows, 1, half]));
    let (a, b) = match layout {
        RotaryLayout::SplitHalf => {
            let x = x.reshape([rows, heads, 2 * half]);
            let a = x.clone().slice([0..rows, 0..heads, 0..half]);
            (a, x.slice([0..rows, 0..heads, half..2 * half]))
        }
        RotaryLayout::Interleaved => {
            let x = x.reshape([rows, heads * half, 2]);
            let a = x.clone().slice([0..rows, 0..heads * half, 0..1]).reshape([rows, heads, half]);
            (a, x.slice([0..rows, 0..heads * half, 1..2]).reshape([rows, heads, half]))
        }
    };
    let rotated_a = a.clone() * cos.clone() - b.clone() * sin.clone();
    let rotated_b = b * cos + a * sin;
    match layout {
        RotaryLayout::SplitHalf => Tensor::cat(vec![rotated_a, rotated_b], 2).reshape([rows, width]),
        RotaryLayout::Interleaved => {
            let pairs = [rows, heads * half, 1];
            Tensor::cat(vec![rotated_a.reshape(pairs), rotated_b.reshape(pairs)], 2).reshape([rows, width])
        }
    }
}

#[cfg(feature = "flex")]
mod in_place {
    use burn::tensor::Tensor;
    use burn::tensor::backend::Backend;
    use depthscale_types::RotaryLayout;

    use crate::flex;

    pub(super) fn rotate<B: Backend>(
        x: Tensor<B, 2>,
        cos: &Tensor<B, 2>,
        sin: &Tensor<B, 2>,
        layout: RotaryLayout,
    ) -> Result<Tensor<B, 2>, Tensor<B, 2>> {
        let [rows, width] = x.dims();
        let half = cos.dims()[1];
        let x = flex::take(x)?;
        let (cos, sin) = match (flex::take(cos.clone()), flex::take(sin.clone())) {
            (Ok(cos), Ok(sin)) => (cos.to_contiguous(), sin.to_contiguous()),
            _ => return Err(flex::give(x)),
        };
        let (Some(cos), Some(sin)) = (cos.as_slice::<f32>(), sin.as_slice::<f32>()) else {
            return Err(flex::give(x));
        };
        let whole = x.layout().contiguous_offsets() == Some((0, rows * width));
        // Rebound, not shadowed: a second handle on the memory would force a copy below.
        let mut x = if whole { x } else { x.to_contiguous() };
        for (row, heads) in x.storage_mut::<f32>()[..rows * width].chunks_exact_mut(width).enumerate() {
            let angles = row * half..(row + 1) * half;
            for head in heads.chunks_exact_mut(2 * half) {
                rotate_head(head, &cos[angles.clone()], &sin[angles.clone()], 1.0, layout);
            }
        }
        Ok(flex::give(x))
    }

    /// Turns the pairs of a head by their angles times `direction`, 1 or -1.
    #[inline(always)]
    pub(super) fn rotate_head(head: &mut [f32], cos: &[f32], sin: &[f32], direction: f32, layout: RotaryLayout) {
        match layout {
            RotaryLayout::SplitHalf => {
                let (a, b) = head.split_at_mut(cos.len());
                for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
                    let sin = direction * sin;
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            RotaryLayout::Interleaved => {
                for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(cos.iter().zip(sin)) {
                    let sin = direction * sin;
                    (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[1] * cos + pair[0] * sin);
                }
            }
        }
    }
}

#[cfg(all(feature = "flex", feature = "autodiff"))]
mod tracked {
    use burn::tensor::Tensor;
    use burn::tensor::backend::Backend;
    use depthscale_types::RotaryLayout;

    use super::in_place::rotate_head;
    use crate::fused::{Fused, Matrix, apply};
    use crate::vector::fill_rows;

    /// Angles take no gradient.
    pub(super) fn rotate<B: Backend>(
        x: Tensor<B, 2>,
        cos: &Tensor<B, 2>,
        sin: &Tensor<B, 2>,
        layout: RotaryLayout,
    ) -> Result<Tensor<B, 2>, Tensor<B, 2>> {
        apply(Rotate { layout }, [x, cos.clone(), sin.clone()]).map_err(|[x, ..]| x)
    }

    #[derive(Debug, Clone)]
    struct Rotate {
        layout: RotaryLayout,
    }

    impl Rotate {
        /// Turns every head by its row's angle times `direction`.
        fn turn(&self, x: &[f32], columns: usize, [cos, sin]: [Matrix<'_>; 2], direction: f32) -> Vec<f32> {
            let mut turned = x.to_vec();
            fill_rows(
                &mut turned,
                columns,
                #[inline(always)]
                |row, heads| {
                    for head in heads.chunks_exact_mut(2 * cos.columns) {
                        rotate_head(head, cos.row(row), sin.row(row), direction, self.layout);
                    }
                },
            );
            turned
        }
    }

    impl Fused<3> for Rotate {
        fn forward(&self, [x, cos, sin]: [Matrix<'_>; 3]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            (self.turn(x.values, x.columns, [cos, sin], 1.0), [x.rows(), x.columns], Vec::new())
        }

        fn needs(&self) -> [bool; 3] {
            [false, true, true]
        }

        fn backward(&self, [x, cos, sin]: [Matrix<'_>; 3], _: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 3] {
            [Some(self.turn(upstream, x.columns, [cos, sin], -1.0)), None, None]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn rotates_by_hand<B: Backend>() {
        let device = Default::default();
        let tensor = |values: &[f32], shape: [usize; 2]| {
            Tensor::<B, 2>::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        // Two rows, two heads of width 4. Row 0 turns pair 0 by 0 and pair 1 by a right angle; row 1 pair 0 by a half turn.
        let x = tensor(&[1., 2., 3., 4., 5., 6., 7., 8., 1., 2., 3., 4., 5., 6., 7., 8.], [2, 8]);
        let cos = tensor(&[1., 0., -1., 1.], [2, 2]);
        let sin = tensor(&[0., 1., 0., 0.], [2, 2]);
        // Split halves pair (1, 3), (2, 4): (2, 4) by a right angle is (-4, 2).
        let split = rotate(x.clone(), &cos, &sin, RotaryLayout::SplitHalf);
        let expected = [1., -4., 3., 2., 5., -8., 7., 6., -1., 2., -3., 4., -5., 6., -7., 8.];
        assert_eq!(split.into_data().to_vec::<f32>().expect("f32"), expected);
        // Interleaved pairs (1, 2), (3, 4): (3, 4) by a right angle is (-4, 3).
        let interleaved = rotate(x.clone(), &cos, &sin, RotaryLayout::Interleaved);
        let expected = [1., 2., -4., 3., 5., 6., -8., 7., -1., -2., 3., 4., -5., -6., 7., 8.];
        assert_eq!(interleaved.into_data().to_vec::<f32>().expect("f32"), expected);
        // A transposed view gives the same as its copy.
        let turned = tensor(&[1., 1., 2., 2., 3., 3., 4., 4., 5., 5., 6., 6., 7., 7., 8., 8.], [8, 2]).transpose();
        let same = rotate(turned, &cos, &sin, RotaryLayout::Interleaved);
        assert_eq!(same.into_data().to_vec::<f32>().expect("f32"), expected);
    }

    #[test]
    fn rotates_by_hand_ndarray() {
        rotates_by_hand::<burn_ndarray::NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn rotates_by_hand_flex() {
        rotates_by_hand::<burn_flex::Flex>();
    }
}
