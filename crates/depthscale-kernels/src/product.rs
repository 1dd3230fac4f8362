//! The product of token rows with a stored weight.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Up to this many rows the product is computed as `(w x^T)^T`: the weight is then read in the order it lies in memory.
const FEW_ROWS: usize = 32;

/// `x w^T`.
///
/// # Shapes
/// - weight: `[out, in]`, as published files store it
/// - x: `[rows, in]`, cast to the weight's dtype
/// - output: `[rows, out]`, in the weight's dtype
///
/// # Panics
/// If the widths differ.
pub fn project<B: Backend>(weight: Tensor<B, 2>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let x = x.cast(weight.dtype());
    let [rows, d_in] = x.dims();
    let [d_out, _] = weight.dims();
    #[cfg(feature = "flex")]
    let (weight, x) = match crate::few_rows::project(weight, x) {
        Ok(product) => return product,
        Err(unchanged) => unchanged,
    };
    #[cfg(all(feature = "flex", feature = "autodiff"))]
    if crate::tracked::is_tracked_flex::<B>() && weight.dtype() == burn::tensor::DType::F32 {
        return recorded::project(weight, x);
    }
    match rows {
        1 => weight.matmul(x.reshape([d_in, 1])).reshape([1, d_out]),
        2..=FEW_ROWS => weight.matmul(x.transpose()).transpose(),
        _ => x.matmul(weight.transpose()),
    }
}

/// The product with gradients that lie in memory as the weight does; burn's own come out turned, and every sum over them
/// then runs element by element.
#[cfg(all(feature = "flex", feature = "autodiff"))]
mod recorded {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn every_row_count_gives_the_same_product<B: Backend>() {
        let device = Default::default();
        // Wide and long enough to be split among threads, with a rest that fills no register.
        let (d_out, d_in) = (301, 1003);
        let value = |i: usize| ((i * 7 % 11) as f32 - 5.0) / 8.0;
        let tensor = |rows: usize, width: usize| {
            let values = (0..rows * width).map(value).collect::<Vec<_>>();
            Tensor::<B, 2>::from_data(TensorData::new(values, [rows, width]), &device)
        };
        let (weight, x) = (tensor(d_out, d_in), tensor(40, d_in));
        // Sums of at most 1003 products of eighths squared are exact in f32.
        let expected =
            |row: usize, out: usize| -> f32 { (0..d_in).map(|i| value(out * d_in + i) * value(row * d_in + i)).sum() };
        for rows in [1, 2, 3, 4, 5, 8, 15, 16, 17, 33] {
            let product = project(weight.clone(), x.clone().slice([0..rows, 0..d_in]));
            let product = product.into_data().iter::<f32>().collect::<Vec<_>>();
            for (at, value) in product.into_iter().enumerate() {
                assert_eq!(value, expected(at / d_out, at % d_out), "{rows} rows, {at}");
            }
        }
    }

    #[test]
    fn every_row_count_gives_the_same_product_ndarray() {
        every_row_count_gives_the_same_product::<burn_ndarray::NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn every_row_count_gives_the_same_product_flex() {
        every_row_count_gives_the_same_product::<burn_flex::Flex>();
    }
}
