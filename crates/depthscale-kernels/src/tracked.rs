//! Recording operations on flex's memory for burn-autodiff's backward pass.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorPrimitive};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::{Flex, FlexTensor};

use crate::flex::cast;

/// A tensor of burn-autodiff around burn-flex.
pub(crate) type Tracked = FloatTensor<Autodiff<Flex>>;

/// The gradient of an operation of `N` inputs.
pub(crate) trait Gradient<const N: usize>: Clone + Debug + Send + 'static {
    /// From the gradient of the result to those of the inputs that are wanted; `None` where an input has none.
    fn pull(self, upstream: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// Whether tensors are burn-autodiff's around flex's, and f32.
pub(crate) fn is_tracked_flex<B: Backend>() -> bool {
    std::any::TypeId::of::<B::FloatTensorPrimitive>() == std::any::TypeId::of::<Tracked>()
}

/// The tensor as what it is.
///
/// # Panics
/// If [`is_tracked_flex`] says no, or it is quantised.
pub(crate) fn take<B: Backend>(tensor: Tensor<B, 2>) -> Tracked {
    debug_assert_eq!(tensor.dtype(), DType::F32);
    match tensor.into_primitive() {
        TensorPrimitive::Float(primitive) => cast(primitive).unwrap_or_else(|_| unreachable!("asked before")),
        TensorPrimitive::QFloat(_) => unreachable!("its dtype is f32"),
    }
}

/// The way back of [`take`].
pub(crate) fn give<B: Backend>(tensor: Tracked) -> Tensor<B, 2> {
    match cast(tensor) {
        Ok(primitive) => Tensor::from_primitive(TensorPrimitive::Float(primitive)),
        Err(_) => unreachable!("asked before"),
    }
}

/// Records that `output` was computed of `inputs`; `gradient` is called where one of them is tracked.
pub(crate) fn record<const N: usize, G: Gradient<N>>(
    inputs: [&Tracked; N],
    output: FlexTensor,
    gradient: impl FnOnce() -> G,
) -> Tracked {
    let nodes = inputs.map(|input| input.node.clone());
    match Step::<G>(PhantomData).prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(gradient(), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

/// A step of the backward pass.
struct Step<G>(PhantomData<fn() -> G>);

impl<G> Debug for Step<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<G>())
    }
}

impl<G: Gradient<N>, const N: usize> Backward<Flex, N> for Step<G> {
    type State = G;

    fn backward(self, ops: Ops<G, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = gradients.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state.pull(upstream, wanted)) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
