//! The product with gradients that lie in memory as the weight does; burn's own come out turned, and every sum over them
//! then runs element by element.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensorOps;
use burn_flex::{Flex, FlexTensor};

use crate::tracked::{Gradient, give, record, take};

pub(super) fn project<B: Backend>(weight: Tensor<B, 2>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let (weight, x) = (take(weight), take(x));
    let output = Flex::float_matmul(x.primitive.clone(), weight.primitive.transpose(0, 1));
    let factors = || Product { weight: weight.primitive.clone(), x: x.primitive.clone() };
    give(record([&weight, &x], output, factors))
}

#[derive(Clone, Debug)]
struct Product {
    weight: FlexTensor,
    x: FlexTensor,
}

impl Gradient<2> for Product {
    /// `dw = dy^T x`, `dx = dy w`.
    fn pull(self, upstream: FlexTensor, [of_weight, of_x]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let of_weight = of_weight.then(|| Flex::float_matmul(upstream.transpose(0, 1), self.x));
        [of_weight, of_x.then(|| Flex::float_matmul(upstream, self.weight))]
    }
}
