//! Operations of several passes as one, with their gradients, on flex's memory.
//!
//! A [`Fused`] operation is a function on slices and its gradient. [`apply`] runs it where the tensors are flex's own or
//! burn-autodiff's around them, and hands them back where they are not.

use std::fmt::Debug;

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::flex;
#[cfg(feature = "autodiff")]
use crate::tracked;

/// A function of `N` row-major matrices, and its gradient.
pub(crate) trait Fused<const N: usize>: Clone + Debug + Send + 'static {
    /// The result and what the gradient needs of it beside the inputs.
    fn forward(&self, inputs: [Matrix<'_>; N]) -> (Vec<f32>, [usize; 2], Vec<f32>);

    /// Whether the gradient looks at the values of each input. Of the others it gets the number of columns alone, and nothing
    /// is kept.
    #[cfg_attr(not(feature = "autodiff"), allow(dead_code, reason = "only a recorded operation keeps its inputs"))]
    fn needs(&self) -> [bool; N] {
        [true; N]
    }

    /// From the gradient of the result to those of the inputs; `None` where an input has none.
    #[cfg_attr(not(feature = "autodiff"), allow(dead_code, reason = "only a recorded operation is pulled back"))]
    fn backward(&self, inputs: [Matrix<'_>; N], saved: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; N];
}

/// A matrix in row-major order.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) columns: usize,
}

impl<'a> Matrix<'a> {
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}

/// Applies an operation, or returns its inputs where the backend's tensors are not flex's f32.
pub(crate) fn apply<B: Backend, const N: usize>(
    operation: impl Fused<N>,
    inputs: [Tensor<B, 2>; N],
) -> Result<Tensor<B, 2>, [Tensor<B, 2>; N]> {
    if inputs.iter().any(|input| input.dtype() != burn::tensor::DType::F32) {
        return Err(inputs);
    }
    if flex::is_flex::<B>() {
        let inputs = inputs.map(|input| flex::take_any(input).unwrap_or_else(|_| unreachable!("flex's, as was asked")));
        let (output, _, _) = forward(&operation, inputs);
        return Ok(flex::give(output));
    }
    #[cfg(feature = "autodiff")]
    if tracked::is_tracked_flex::<B>() {
        let inputs = inputs.map(tracked::take);
        let parents = inputs.each_ref();
        let (output, values, saved) = forward(&operation, parents.map(|input| input.primitive.clone()));
        let keep = || {
            let mut needed = operation.needs().into_iter();
            let inputs = values.map(|input| match (needed.next(), Input::Whole(input)) {
                (Some(false), input) => Input::Shape(input.shape()),
                (_, input) => input,
            });
            Kept { operation, inputs, saved: saved.into() }
        };
        return Ok(tracked::give(tracked::record(parents, output, keep)));
    }
    Err(inputs)
}

fn forward<const N: usize>(
    operation: &impl Fused<N>,
    inputs: [FlexTensor; N],
) -> (FlexTensor, [FlexTensor; N], Vec<f32>) {
    let inputs = inputs.map(|input| if input.as_slice::<f32>().is_some() { input } else { input.to_contiguous() });
    let (values, shape, saved) = operation.forward(inputs.each_ref().map(matrix));
    (of(values, shape), inputs, saved)
}

fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let Some(values) = tensor.as_slice::<f32>() else { unreachable!("made contiguous") };
    Matrix { values, columns: tensor.layout().shape()[1] }
}

fn of(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::new(shape)))
}

/// What the gradient of an operation is formed from.
#[cfg(feature = "autodiff")]
#[derive(Clone, Debug)]
struct Kept<Op, const N: usize> {
    operation: Op,
    inputs: [Input; N],
    saved: std::sync::Arc<[f32]>,
}

/// What is kept of an input.
#[cfg(feature = "autodiff")]
#[derive(Clone, Debug)]
enum Input {
    Whole(FlexTensor),
    Shape([usize; 2]),
}

#[cfg(feature = "autodiff")]
impl Input {
    fn shape(&self) -> [usize; 2] {
        match self {
            Self::Whole(tensor) => [tensor.layout().shape()[0], tensor.layout().shape()[1]],
            Self::Shape(shape) => *shape,
        }
    }
}

#[cfg(feature = "autodiff")]
impl<Op: Fused<N>, const N: usize> tracked::Gradient<N> for Kept<Op, N> {
    fn pull(self, upstream: FlexTensor, _: [bool; N]) -> [Option<FlexTensor>; N] {
        let upstream = if upstream.as_slice::<f32>().is_some() { upstream } else { upstream.to_contiguous() };
        let inputs = self.inputs.each_ref().map(|input| match input {
            Input::Whole(input) => matrix(input),
            Input::Shape([_, columns]) => Matrix { values: &[], columns: *columns },
        });
        let mut gradients = self.operation.backward(inputs, &self.saved, matrix(&upstream).values).into_iter();
        self.inputs.each_ref().map(|input| {
            let gradient = gradients.next().flatten();
            gradient.map(|gradient| of(gradient, input.shape()))
        })
    }
}
