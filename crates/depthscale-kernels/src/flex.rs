//! Recognising burn-flex's tensors behind a generic backend.

use std::any::Any;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor, TensorPrimitive};
use burn_flex::FlexTensor;

/// The tensor as flex's own, if it is one and holds f32; else the tensor unchanged.
pub(crate) fn take<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<FlexTensor, Tensor<B, D>> {
    match tensor.dtype() {
        DType::F32 => take_any(tensor),
        _ => Err(tensor),
    }
}

/// The same for a tensor of any dtype.
pub(crate) fn take_any<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<FlexTensor, Tensor<B, D>> {
    if !is_flex::<B>() {
        return Err(tensor);
    }
    match tensor.into_primitive() {
        TensorPrimitive::Float(primitive) => match cast::<_, FlexTensor>(primitive) {
            Ok(flex) => Ok(flex),
            Err(primitive) => Err(Tensor::from_primitive(TensorPrimitive::Float(primitive))),
        },
        quantized => Err(Tensor::from_primitive(quantized)),
    }
}

/// The same for integers.
pub(crate) fn take_int<B: Backend, const D: usize>(tensor: Tensor<B, D, Int>) -> Result<FlexTensor, Tensor<B, D, Int>> {
    if !is_flex::<B>() {
        return Err(tensor);
    }
    cast::<_, FlexTensor>(tensor.into_primitive()).map_err(Tensor::from_primitive)
}

/// The way back for a backend for which [`take_any`] succeeded.
///
/// # Panics
/// If the backend's tensors are not flex's.
pub(crate) fn give<B: Backend, const D: usize>(tensor: FlexTensor) -> Tensor<B, D> {
    match cast::<_, B::FloatTensorPrimitive>(tensor) {
        Ok(primitive) => Tensor::from_primitive(TensorPrimitive::Float(primitive)),
        Err(_) => unreachable!("only called for backends whose tensors are flex's"),
    }
}

/// The same for integers.
///
/// # Panics
/// If the backend's tensors are not flex's.
pub(crate) fn give_int<B: Backend, const D: usize>(tensor: FlexTensor) -> Tensor<B, D, Int> {
    match cast::<_, B::IntTensorPrimitive>(tensor) {
        Ok(primitive) => Tensor::from_primitive(primitive),
        Err(_) => unreachable!("only called for backends whose tensors are flex's"),
    }
}

/// Whether the backend's float tensors are flex's.
pub(crate) fn is_flex<B: Backend>() -> bool {
    std::any::TypeId::of::<B::FloatTensorPrimitive>() == std::any::TypeId::of::<FlexTensor>()
}

/// Moves a value from one type to the same type under another name.
pub(crate) fn cast<From: 'static, To: 'static>(value: From) -> Result<To, From> {
    let mut slot = Some(value);
    match (&mut slot as &mut dyn Any).downcast_mut::<Option<To>>() {
        Some(same) => match same.take() {
            Some(value) => Ok(value),
            None => unreachable!("the slot was filled above"),
        },
        None => match slot {
            Some(value) => Err(value),
            None => unreachable!("the slot was filled above"),
        },
    }
}
