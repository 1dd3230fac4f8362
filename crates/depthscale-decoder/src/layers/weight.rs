//! A matrix of a decoder, as floats of the backend or packed.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use depthscale_kernels::{PackedWeight, StoredWeight, project, project_all, project_packed};
use depthscale_types::WeightFormat;

use crate::run::index_tensor;

/// A matrix `[out, in]`: a parameter in a dtype of the backend, or a [`PackedWeight`], which is not trained and lies in the
/// memory of the program.
#[derive(Module, Debug)]
pub struct Weight<B: Backend> {
    /// One of the two there is.
    floats: Option<Param<Tensor<B, 2>>>,
    #[module(skip)]
    packed: Option<Arc<PackedWeight>>,
}

impl<B: Backend> Weight<B> {
    /// Floats of the backend.
    pub fn from_param(floats: Param<Tensor<B, 2>>) -> Self {
        Self { floats: Some(floats), packed: None }
    }

    /// A matrix in fewer bits.
    pub fn from_packed(packed: PackedWeight) -> Self {
        Self { floats: None, packed: Some(Arc::new(packed)) }
    }

    fn stored(&self) -> StoredWeight<'_, B> {
        match (&self.floats, &self.packed) {
            (Some(floats), _) => StoredWeight::Floats(floats.val()),
            (None, Some(packed)) => StoredWeight::Packed(packed),
            (None, None) => unreachable!("it is made of one of the two"),
        }
    }

    /// What products with it are computed in: f32 where it is packed.
    pub fn dtype(&self) -> DType {
        self.stored().dtype()
    }

    /// What its elements are kept in.
    pub fn format(&self) -> WeightFormat {
        match self.stored() {
            StoredWeight::Packed(packed) => packed.format(),
            StoredWeight::Floats(floats) => match floats.dtype() {
                DType::F16 => WeightFormat::F16,
                DType::BF16 => WeightFormat::Bf16,
                _ => WeightFormat::F32,
            },
        }
    }

    /// `x w^T`.
    ///
    /// # Shapes
    /// - x: `[rows, in]`, cast to [`dtype`](Self::dtype)
    /// - output: `[rows, out]`, in that dtype
    pub fn project(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.stored() {
            StoredWeight::Floats(floats) => project(floats, x),
            StoredWeight::Packed(packed) => project_packed(packed, x),
        }
    }

    /// `x w^T` of each of some weights, as [`project_all`] computes it.
    ///
    /// # Shapes
    /// - x: `[rows, in]`, cast to [`dtype`](Self::dtype) of each
    /// - output: `[rows, out]` each, in that dtype
    pub fn project_all<const N: usize>(weights: [&Self; N], x: Tensor<B, 2>) -> [Tensor<B, 2>; N] {
        project_all(weights.map(Self::stored), x)
    }

    /// The rows of some indices, `[indices, in]` in f32.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn look_up(&self, rows: &[u32], device: &B::Device) -> Tensor<B, 2> {
        match self.stored() {
            StoredWeight::Floats(floats) => {
                let rows = index_tensor(rows.iter().map(|&row| i64::from(row)).collect(), device);
                floats.select(0, rows).cast(FloatDType::F32)
            }
            StoredWeight::Packed(packed) => {
                let values = packed.look_up(rows.iter().map(|&row| row as usize));
                let shape = [rows.len(), packed.shape()[1]];
                Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
            }
        }
    }

    /// The whole matrix as floats; a packed one is unpacked for it.
    pub fn values(&self, device: &B::Device) -> Tensor<B, 2> {
        match self.stored() {
            StoredWeight::Floats(floats) => floats,
            StoredWeight::Packed(packed) => {
                Tensor::from_data(TensorData::new(packed.unpack(), packed.shape()), (device, DType::F32))
            }
        }
    }
}
