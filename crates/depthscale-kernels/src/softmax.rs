//! Softmax over the keys each query may see.

use std::ops::Range;
use std::sync::OnceLock;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};

/// The keys each query sees: one contiguous range of key indices a query, none of them empty.
#[derive(Debug)]
pub struct Visible<B: Backend> {
    ranges: Vec<Range<usize>>,
    keys: usize,
    device: B::Device,
    /// `[1, queries, keys]`: 0 where seen, minus infinity elsewhere; made when a backend without a path of its own asks.
    bias: OnceLock<Tensor<B, 3>>,
}

impl<B: Backend> Visible<B> {
    /// Ranges over `keys` keys, one for each query.
    ///
    /// # Panics
    /// If a range is empty or reaches past the keys.
    pub fn new(ranges: Vec<Range<usize>>, keys: usize, device: &B::Device) -> Self {
        assert!(
            ranges.iter().all(|range| range.start < range.end && range.end <= keys),
            "every query sees at least one of {keys} keys"
        );
        Self { ranges, keys, device: device.clone(), bias: OnceLock::new() }
    }

    /// How many queries there are.
    pub fn queries(&self) -> usize {
        self.ranges.len()
    }

    /// The keys that each query sees.
    #[cfg(feature = "flex")]
    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    fn everything(&self) -> bool {
        self.ranges.iter().all(|range| *range == (0..self.keys))
    }

    /// The ranges as a bias on scores, `[1, queries, keys]`: 0 where a key is seen, minus infinity elsewhere.
    pub fn bias(&self) -> Tensor<B, 3> {
        let make = || {
            let mut bias = vec![f32::NEG_INFINITY; self.ranges.len() * self.keys];
            for (row, range) in bias.chunks_exact_mut(self.keys).zip(&self.ranges) {
                row[range.clone()].fill(0.0);
            }
            Tensor::from_data(TensorData::new(bias, [1, self.ranges.len(), self.keys]), (&self.device, DType::F32))
        };
        self.bias.get_or_init(make).clone()
    }
}

/// Softmax over the last dimension, keys a query does not see getting exactly 0.
///
/// # Shapes
/// - scores: `[heads, groups * queries, keys]`, cast to f32; row `i` belongs to query `i % queries`
/// - output: as scores, f32
///
/// # Panics
/// If the number of rows is not a multiple of the number of queries, or the number of keys differs.
pub fn softmax_visible<B: Backend>(scores: Tensor<B, 3>, visible: &Visible<B>) -> Tensor<B, 3> {
    let scores = scores.cast(FloatDType::F32);
    let [heads, rows, keys] = scores.dims();
    let queries = visible.queries();
    assert!(
        rows.is_multiple_of(queries) && keys == visible.keys,
        "scores of {rows} rows and {keys} keys for {queries} queries and {} keys",
        visible.keys
    );
    #[cfg(feature = "flex")]
    let scores = match in_place::softmax(scores, visible) {
        Ok(weights) => return weights,
        Err(scores) => scores,
    };
    if visible.everything() {
        return burn::tensor::activation::softmax(scores, 2);
    }
    let scores = scores.reshape([heads * rows / queries, queries, keys]) + visible.bias();
    burn::tensor::activation::softmax(scores, 2).reshape([heads, rows, keys])
}

#[cfg(feature = "flex")]
mod in_place {
    use burn::tensor::Tensor;
    use burn::tensor::backend::Backend;

    use super::Visible;
    use crate::flex;

    pub(super) fn softmax<B: Backend>(
        scores: Tensor<B, 3>,
        visible: &Visible<B>,
    ) -> Result<Tensor<B, 3>, Tensor<B, 3>> {
        let [heads, rows, keys] = scores.dims();
        let scores = flex::take(scores)?;
        let whole = scores.layout().contiguous_offsets() == Some((0, heads * rows * keys));
        let mut scores = if whole { scores } else { scores.to_contiguous() };
        let ranges = visible.ranges.iter().cycle();
        for (row, range) in scores.storage_mut::<f32>()[..heads * rows * keys].chunks_exact_mut(keys).zip(ranges) {
            row[..range.start].fill(0.0);
            row[range.end..].fill(0.0);
            softmax_row(&mut row[range.clone()]);
        }
        Ok(flex::give(scores))
    }

    fn softmax_row(row: &mut [f32]) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for score in row.iter_mut() {
            *score = (*score - largest).exp();
            sum += *score;
        }
        let share = 1.0 / sum;
        row.iter_mut().for_each(|weight| *weight *= share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees_only_its_range<B: Backend>() {
        let device = Default::default();
        let ln = |x: f32| x.ln();
        // One head, two groups of two queries, three keys. Query 0 sees keys 0 and 1, query 1 keys 1 and 2.
        let scores = vec![ln(1.), ln(3.), 9., 9., ln(2.), ln(2.), ln(4.), ln(1.), 9., 9., ln(1.), ln(4.)];
        let scores = Tensor::<B, 3>::from_data(TensorData::new(scores, [1, 4, 3]), &device);
        let visible = Visible::new(vec![0..2, 1..3], 3, &device);
        let weights = softmax_visible(scores, &visible).into_data().to_vec::<f32>().expect("f32");
        let expected = [0.25, 0.75, 0., 0., 0.5, 0.5, 0.8, 0.2, 0., 0., 0.2, 0.8];
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6, "{weights:?}");
        }
    }

    #[test]
    fn sees_only_its_range_ndarray() {
        sees_only_its_range::<burn_ndarray::NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn sees_only_its_range_flex() {
        sees_only_its_range::<burn_flex::Flex>();
    }
}
