//! Reading results back from the device.

use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Int, Tensor};

use crate::error::{DecoderError, Result};

/// The values of a tensor in row-major order. Waits for the device.
///
/// # Errors
/// If the device failed at anything it was asked for since it was last waited for.
pub(crate) fn read<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    Ok(tensor.try_into_data().map_err(device_failed)?.iter::<f32>().collect())
}

/// The same for indices.
pub(crate) fn read_indices<B: Backend, const D: usize>(tensor: Tensor<B, D, Int>) -> Result<Vec<usize>> {
    let data = tensor.try_into_data().map_err(device_failed)?;
    Ok(data.iter::<i64>().map(|index| index.elem::<i64>() as usize).collect())
}

fn device_failed(error: impl std::fmt::Display) -> DecoderError {
    DecoderError::Device { message: error.to_string() }
}
