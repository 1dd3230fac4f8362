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
    /// - x: `[rows, in]`, cast to the weight's dtype
    /// - output: `[rows, out]`, in the weight's dtype
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        depthscale_kernels::project(self.weight.val(), x)
    }
}
