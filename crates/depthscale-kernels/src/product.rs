//! Products of token rows with stored weights.

#[cfg(feature = "flex")]
mod fast;
#[cfg(all(feature = "flex", feature = "autodiff"))]
mod recorded;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};

use crate::packed::PackedWeight;
use crate::stored::StoredWeight;

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
    alone(StoredWeight::Floats(weight), x)
}

/// Whether products with packed weights read them as they are on this backend: others would unpack them every time, and had
/// better be given the values.
pub fn keeps_packed<B: Backend>() -> bool {
    #[cfg(feature = "flex")]
    return crate::flex::is_flex::<B>();
    #[cfg(not(feature = "flex"))]
    false
}

/// `x w^T` of a weight in fewer bits, in f32.
///
/// On flex, where the machine adds up bytes (AVX-512 VNNI), products with blocks take x as whole numbers of 16 bits, with a scale
/// for every 32 elements of a row: each element is off by at most a 64,000th of the largest of its 32, or by 1e-30 where that is
/// more; codes of 8 bits are off by a 254th. A row with an element that is not finite has products that are not numbers.
///
/// # Shapes
/// - weight: `[out, in]`
/// - x: `[rows, in]`, cast to f32
/// - output: `[rows, out]`, f32
///
/// # Panics
/// If the widths differ.
pub fn project_packed<B: Backend>(weight: &PackedWeight, x: Tensor<B, 2>) -> Tensor<B, 2> {
    alone(StoredWeight::Packed(weight), x)
}

/// `x w^T` of each of some weights: what [`project`] and [`project_packed`] give for every one, bit for bit. On flex, with few
/// rows, threads wait for one another once for all weights that are computed in the same way, instead of once a weight.
///
/// # Shapes
/// - weights: `[out, in]` each, with outputs of their own number
/// - x: `[rows, in]`, cast to each weight's dtype, f32 where it is packed
/// - output: `[rows, out]` each, in that dtype
///
/// # Panics
/// If the widths differ.
pub fn project_all<B: Backend, const N: usize>(
    weights: [StoredWeight<'_, B>; N],
    x: Tensor<B, 2>,
) -> [Tensor<B, 2>; N] {
    #[cfg(feature = "flex")]
    let (weights, x) = match fast::project(weights, x) {
        Ok(products) => return products,
        Err(unchanged) => unchanged,
    };
    weights.map(|weight| alone(weight, x.clone()))
}

/// The product with one weight.
fn alone<B: Backend>(weight: StoredWeight<'_, B>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let x = x.cast(weight.dtype());
    assert_eq!(x.dims()[1], weight.shape()[1], "width of x");
    #[cfg(feature = "flex")]
    let (weight, x) = match fast::project([weight], x) {
        Ok([product]) => return product,
        Err(([weight], x)) => (weight, x),
    };
    let weight = match weight {
        StoredWeight::Floats(weight) => weight,
        StoredWeight::Packed(weight) => {
            let values = TensorData::new(weight.unpack(), weight.shape());
            Tensor::from_data(values, (&x.device(), DType::F32))
        }
    };
    #[cfg(all(feature = "flex", feature = "autodiff"))]
    if crate::tracked::is_tracked_flex::<B>() && weight.dtype() == DType::F32 {
        return recorded::project(weight, x);
    }
    let [rows, d_in] = x.dims();
    let [d_out, _] = weight.dims();
    match rows {
        1 => weight.matmul(x.reshape([d_in, 1])).reshape([1, d_out]),
        2..=FEW_ROWS => weight.matmul(x.transpose()).transpose(),
        _ => x.matmul(weight.transpose()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::FloatDType;
    use depthscale_types::WeightFormat;

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

    fn weights_together_give_what_each_gives_alone<B: Backend>() {
        let device = Default::default();
        let values = |n: usize| (0..n).map(|at| ((at * 7919 % 1009) as f32 - 504.0) / 500.0).collect::<Vec<_>>();
        let tensor = |rows: usize, width| {
            Tensor::<B, 2>::from_data(TensorData::new(values(rows * width), [rows, width]), &device)
        };
        let d_in = 320;
        let [q4, q8, f16] = [(WeightFormat::Q4, 300), (WeightFormat::Q8, 70), (WeightFormat::F16, 9)]
            .map(|(format, d_out)| PackedWeight::pack(format, [d_out, d_in], &values(d_out * d_in)).expect("finite"));
        let (floats, doubles) = (tensor(31, d_in), tensor(8, d_in).cast(FloatDType::F64));
        for rows in (1..=17).chain([40]) {
            let x = tensor(rows, d_in);
            let data = |product: Tensor<B, 2>| product.into_data();
            let [q4_alone, q8_alone, f16_alone] =
                [&q4, &q8, &f16].map(|weight| data(project_packed(weight, x.clone())));
            let [floats_alone, doubles_alone] =
                [&floats, &doubles].map(|weight| data(project(weight.clone(), x.clone())));
            let packed = |weight| StoredWeight::Packed(weight);
            let plain = |weight: &Tensor<B, 2>| StoredWeight::Floats(weight.clone());
            let in_f32 = [packed(&q4), plain(&floats), packed(&q8), packed(&f16)];
            let expected = [&q4_alone, &floats_alone, &q8_alone, &f16_alone];
            assert_eq!(project_all(in_f32, x.clone()).map(data).each_ref(), expected, "{rows} rows");
            let in_both = [plain(&doubles), packed(&q4), plain(&floats)];
            let expected = [&doubles_alone, &q4_alone, &floats_alone];
            assert_eq!(project_all(in_both, x.clone()).map(data).each_ref(), expected, "{rows} rows");
            assert!(project_all([], x).is_empty());
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

    #[test]
    fn weights_together_give_what_each_gives_alone_ndarray() {
        weights_together_give_what_each_gives_alone::<burn_ndarray::NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn weights_together_give_what_each_gives_alone_flex() {
        weights_together_give_what_each_gives_alone::<burn_flex::Flex>();
    }

    #[cfg(all(feature = "flex", feature = "autodiff"))]
    #[test]
    fn weights_together_give_what_each_gives_alone_with_gradients() {
        weights_together_give_what_each_gives_alone::<burn_autodiff::Autodiff<burn_flex::Flex>>();
    }
}
