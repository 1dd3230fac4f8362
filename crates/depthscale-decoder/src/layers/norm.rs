//! Root-mean-square normalisation (arXiv 1910.07467).

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// `y = x / sqrt(mean(x^2) + eps) * w` over the last dimension.
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    weight: Param<Tensor<B, 1>>,
    eps: f64,
}

impl<B: Backend> RmsNorm<B> {
    /// A norm with the given weight, `[width]`.
    pub fn new(weight: Tensor<B, 1>, eps: f64) -> Self {
        Self { weight: Param::from_tensor(weight), eps }
    }

    pub(crate) fn from_param(weight: Param<Tensor<B, 1>>, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// The weight, `[width]`.
    pub fn weight(&self) -> Tensor<B, 1> {
        self.weight.val()
    }

    /// Normalises every row.
    ///
    /// # Shapes
    /// - x: `[rows, width]`, cast to f32
    /// - output: `[rows, width]`, f32
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        depthscale_kernels::rms_norm(x, Some(self.weight.val()), self.eps)
    }

    /// Normalises every head of every row with the same weight.
    ///
    /// # Shapes
    /// - x: `[rows, heads * width]`
    /// - output: `[rows, heads * width]`
    pub fn forward_heads(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [rows, all_heads] = x.dims();
        let width = self.weight.val().dims()[0];
        self.forward(x.reshape([rows * all_heads / width, width])).reshape([rows, all_heads])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_by_hand() {
        type B = burn_flex::Flex;
        let device = Default::default();
        let norm = RmsNorm::<B>::new(Tensor::from_floats([2.0, 1.0], &device), 0.5);
        // mean(x^2) = (1 + 16) / 2 = 8.5; with eps 9, whose root is 3.
        let y = norm.forward(Tensor::from_floats([[1.0, 4.0]], &device));
        let y = y.into_data().to_vec::<f32>().expect("f32");
        assert!((y[0] - 2.0 / 3.0).abs() < 1e-6 && (y[1] - 4.0 / 3.0).abs() < 1e-6, "{y:?}");
        let heads = norm.forward_heads(Tensor::from_floats([[1.0, 4.0, 1.0, 4.0]], &device));
        assert_eq!(heads.into_data().to_vec::<f32>().expect("f32"), [y[0], y[1], y[0], y[1]]);
    }
}
