//! A linear map without bias.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// `y = x w^T` with the weight stored as published files store it, `[out, in]`.
///
/// All linear weights of a decoder live behind this type, so that other storage can take their place.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    weight: Param<Tensor<B, 2>>,
}

/// Up to this many rows the product is computed as `(w x^T)^T`: the weight is then read in the order it lies in memory.
const FEW_ROWS: usize = 32;

impl<B: Backend> Linear<B> {
    /// A map with the given weight, `[out, in]`.
    pub fn new(weight: Tensor<B, 2>) -> Self {
        Self { weight: Param::from_tensor(weight) }
    }

    pub(crate) fn from_param(weight: Param<Tensor<B, 2>>) -> Self {
        Self { weight }
    }

    /// The weight, `[out, in]`.
    pub fn weight(&self) -> Tensor<B, 2> {
        self.weight.val()
    }

    /// Applies the map.
    ///
    /// # Shapes
    /// - x: `[rows, in]`
    /// - output: `[rows, out]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        multiply(self.weight.val(), x)
    }
}

/// `x w^T` for a weight of `[out, in]`.
pub(crate) fn multiply<B: Backend>(weight: Tensor<B, 2>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, d_in] = x.dims();
    let [d_out, _] = weight.dims();
    match rows {
        1 => weight.matmul(x.reshape([d_in, 1])).reshape([1, d_out]),
        2..=FEW_ROWS => weight.matmul(x.transpose()).transpose(),
        _ => x.matmul(weight.transpose()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn every_row_count_gives_the_same_product() {
        type B = burn_flex::Flex;
        let device = Default::default();
        let values = |n: usize| (0..n).map(|i| (i * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
        let weight = Tensor::<B, 2>::from_data(TensorData::new(values(12), [3, 4]), &device);
        let x = Tensor::<B, 2>::from_data(TensorData::new(values(160), [40, 4]), &device);
        let linear = Linear::new(weight);
        let many = linear.forward(x.clone());
        for rows in [1, 2, 33] {
            let few = linear.forward(x.clone().slice([0..rows, 0..4]));
            assert_eq!(few.into_data(), many.clone().slice([0..rows, 0..3]).into_data());
        }
        // Row 0 of x is (-5, 2, -2, 5) and row 0 of w is the same: 25 + 4 + 4 + 25.
        assert_eq!(many.slice([0..1, 0..1]).into_scalar(), 58.0);
    }
}
