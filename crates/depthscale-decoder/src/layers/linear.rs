//! A linear map without bias.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use super::Weight;

/// `y = x w^T` with the weight stored as published files store it, `[out, in]`.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    weight: Weight<B>,
}

impl<B: Backend> Linear<B> {
    /// A map with the given weight, `[out, in]`.
    pub fn new(weight: Tensor<B, 2>) -> Self {
        Self::from_weight(Weight::from_param(Param::from_tensor(weight)))
    }

    /// The same for a weight however it is kept.
    pub fn from_weight(weight: Weight<B>) -> Self {
        Self { weight }
    }

    /// The weight.
    pub fn weight(&self) -> &Weight<B> {
        &self.weight
    }

    /// What the map is computed in.
    pub fn dtype(&self) -> DType {
        self.weight.dtype()
    }

    /// Applies the map.
    ///
    /// # Shapes
    /// - x: `[rows, in]`, cast to the dtype it is computed in
    /// - output: `[rows, out]`, in that dtype
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.weight.project(x)
    }

    /// Applies each of some maps to the same rows; see [`project_all`](depthscale_kernels::project_all) for where that takes less time
    /// than one after the other.
    ///
    /// # Shapes
    /// - x: `[rows, in]`, cast to the dtype each is computed in
    /// - output: `[rows, out]` each, in that dtype
    pub fn forward_all<const N: usize>(maps: [&Self; N], x: Tensor<B, 2>) -> [Tensor<B, 2>; N] {
        Weight::project_all(maps.map(Self::weight), x)
    }
}
