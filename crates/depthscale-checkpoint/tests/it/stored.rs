//! Files made by the `safetensors` crate's own serialiser, so that the reader is not only tested on its own writer.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// One tensor as stored.
pub(crate) struct Raw {
    pub(crate) name: &'static str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// A tensor of f32 values.
pub(crate) fn f32s(name: &'static str, shape: &[usize], values: &[f32]) -> Raw {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Raw { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

/// The bytes of a file that holds `tensors`.
pub(crate) fn serialised(tensors: &[Raw]) -> Vec<u8> {
    let views = tensors.iter().map(|raw| {
        let view = TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes).unwrap();
        (raw.name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// Writes a file that holds `tensors`.
pub(crate) fn store(path: &Path, tensors: &[Raw]) {
    std::fs::write(path, serialised(tensors)).unwrap();
}
