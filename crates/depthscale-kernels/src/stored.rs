//! A weight as a model keeps it.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use crate::packed::PackedWeight;

/// A matrix `[out, in]`, as floats of the backend or in fewer bits.
#[derive(Debug, Clone)]
pub enum StoredWeight<'w, B: Backend> {
    /// Floats of the backend.
    Floats(Tensor<B, 2>),
    /// Fewer bits, in the memory of the program.
    Packed(&'w PackedWeight),
}

impl<B: Backend> StoredWeight<'_, B> {
    /// What products with it are computed in: f32 where it is packed.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Floats(floats) => floats.dtype(),
            Self::Packed(_) => DType::F32,
        }
    }

    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Floats(floats) => floats.dims(),
            Self::Packed(packed) => packed.shape(),
        }
    }
}
