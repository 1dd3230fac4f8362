//! Every operation with a path of its own gives what the plain one gives, gradients among it.

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use depthscale_types::RotaryLayout;
use proptest::prelude::*;

use crate::{HeadShape, Sequences, add, attend_sequences, cross_entropy, project, rms_norm, rotate, swiglu};

type Plain = Autodiff<NdArray>;
type Fast = Autodiff<Flex>;

/// Values that look random and are the same everywhere.
fn values(seed: usize, n: usize) -> Vec<f32> {
    (0..n).map(|i| (((i * 7919 + seed * 104_729) as f64 * 0.618_034).fract() * 4.0 - 2.0) as f32).collect()
}

/// The result and the gradients of a weighted sum over it.
fn results<B: AutodiffBackend>(
    shapes: &[[usize; 2]],
    operation: impl Fn(Vec<Tensor<B, 2>>) -> Tensor<B, 2>,
) -> Vec<Vec<f32>> {
    let device = Default::default();
    let tensor = |(seed, shape): (usize, &[usize; 2])| {
        let data = TensorData::new(values(seed, shape[0] * shape[1]), *shape);
        Tensor::<B, 2>::from_data(data, &device).require_grad()
    };
    let inputs: Vec<_> = shapes.iter().enumerate().map(tensor).collect();
    let output = operation(inputs.clone());
    let shape = output.dims();
    let weights = Tensor::<B, 2>::from_data(TensorData::new(values(99, shape[0] * shape[1]), shape), &device);
    let gradients = (output.clone() * weights).sum().backward();
    let mut results = vec![output.into_data().to_vec().expect("f32")];
    for input in &inputs {
        let gradient = input.grad(&gradients).expect("a gradient");
        results.push(gradient.into_data().to_vec().expect("f32"));
    }
    results
}

/// Runs an operation on both backends; it is written once, generic over them.
macro_rules! same {
    ($shapes:expr, |$inputs:ident : $B:ident| $operation:expr) => {{
        fn operation<$B: AutodiffBackend>($inputs: Vec<Tensor<$B, 2>>, _: &[[usize; 2]]) -> Tensor<$B, 2> {
            $operation
        }
        let shapes = $shapes;
        let plain = results::<Plain>(&shapes, |inputs| operation(inputs, &shapes));
        let fast = results::<Fast>(&shapes, |inputs| operation(inputs, &shapes));
        assert_close(&plain, &fast);
    }};
}

fn assert_close(plain: &[Vec<f32>], fast: &[Vec<f32>]) {
    assert_eq!(plain.len(), fast.len());
    for (which, (plain, fast)) in plain.iter().zip(fast).enumerate() {
        assert_eq!(plain.len(), fast.len(), "result {which}");
        let largest = plain.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
        for (at, (plain, fast)) in plain.iter().zip(fast).enumerate() {
            // burn-ndarray's square roots are off by up to 2e-5 of their value.
            assert!((plain - fast).abs() <= 2e-4 * largest, "result {which}, {at}: {plain} {fast}");
        }
    }
}

#[test]
fn norms() {
    same!([[300, 96], [1, 96]], |x: B| rms_norm(x[0].clone(), Some(x[1].clone().squeeze_dim(0)), 1e-6));
    same!([[5, 33]], |x: B| rms_norm(x[0].clone(), None, 0.1));
}

#[test]
fn gates_and_sums() {
    same!([[70, 300], [70, 300]], |x: B| swiglu(x[0].clone(), x[1].clone()));
    same!([[70, 300], [70, 300]], |x: B| add(x[0].clone(), x[1].clone()));
}

#[test]
fn products() {
    same!([[40, 24], [100, 24]], |x: B| project(x[0].clone(), x[1].clone()));
    same!([[40, 24], [3, 24]], |x: B| project(x[0].clone(), x[1].clone()));
    same!([[40, 24], [1, 24]], |x: B| project(x[0].clone(), x[1].clone()));
}

#[test]
fn losses() {
    same!([[3, 5]], |x: B| cross_entropy(x[0].clone(), &[4, 0, 2]).unsqueeze_dim(1));
    // -ln(1 / 4) for equal logits; ln(1 + e) for logits 0 and 1 and the target of the smaller.
    let logits = Tensor::<Flex, 2>::from_floats([[0.0; 4]], &Default::default());
    assert!((cross_entropy(logits, &[1]).into_scalar() - 4f32.ln()).abs() < 1e-6);
    let logits = Tensor::<Flex, 2>::from_floats([[0.0, 1.0]], &Default::default());
    assert!((cross_entropy(logits, &[0]).into_scalar() - (1.0 + 1f32.exp()).ln()).abs() < 1e-6);
}

#[test]
fn rotations() {
    fn rotated<B: AutodiffBackend>(x: &[Tensor<B, 2>], layout: RotaryLayout) -> Tensor<B, 2> {
        let angles = x[1].clone().inner();
        let (cos, sin) = (Tensor::from_inner(angles.clone().cos()), Tensor::from_inner(angles.sin()));
        // The angles take no gradient; the sum keeps them among the inputs.
        rotate(x[0].clone(), &cos, &sin, layout) + x[1].clone().sum().unsqueeze()
    }
    same!([[9, 24], [9, 4]], |x: B| rotated(&x, RotaryLayout::SplitHalf));
    same!([[9, 24], [9, 4]], |x: B| rotated(&x, RotaryLayout::Interleaved));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn attention(
        lengths in prop::collection::vec(1usize..20, 1..6),
        window in prop::option::of(1usize..12),
        kv in 1usize..3,
        group in 1usize..3,
    ) {
        let heads = HeadShape { n_heads: kv * group, n_kv_heads: kv, head_dim: 6 };
        let rows = lengths.iter().sum();
        let shapes = [[rows, heads.n_heads * 6], [rows, kv * 6], [rows, kv * 6]];
        fn attended<B: AutodiffBackend>(
            x: Vec<Tensor<B, 2>>,
            lengths: &[usize],
            heads: HeadShape,
            window: Option<usize>,
        ) -> Tensor<B, 2> {
            let sequences = Sequences::new(lengths.iter().copied(), &x[0].device());
            attend_sequences(x[0].clone(), x[1].clone(), x[2].clone(), &sequences, heads, window)
        }
        let plain = results::<Plain>(&shapes, |x| attended(x, &lengths, heads, window));
        let fast = results::<Fast>(&shapes, |x| attended(x, &lengths, heads, window));
        assert_close(&plain, &fast);
    }
}
