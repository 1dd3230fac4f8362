//! The product of token rows with a stored weight.

use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor, TensorData};

use crate::packed::PackedWeight;

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
    let (weight, x) = match fast::project(weight, x) {
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

/// Whether products with packed weights read them as they are on this backend: others would unpack them every time, and had
/// better be given the values.
pub fn keeps_packed<B: Backend>() -> bool {
    #[cfg(feature = "flex")]
    return crate::flex::is_flex::<B>();
    #[cfg(not(feature = "flex"))]
    false
}

/// `x w^T` of a weight in fewer bits, computed in f32.
///
/// # Shapes
/// - weight: `[out, in]`
/// - x: `[rows, in]`, cast to f32
/// - output: `[rows, out]`, f32
///
/// # Panics
/// If the widths differ.
pub fn project_packed<B: Backend>(weight: &PackedWeight, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let x = x.cast(FloatDType::F32);
    assert_eq!(x.dims()[1], weight.shape()[1], "width of x");
    #[cfg(feature = "flex")]
    let x = match fast::project_packed(weight, x) {
        Ok(product) => return product,
        Err(x) => x,
    };
    let values = TensorData::new(weight.unpack(), weight.shape());
    project(Tensor::from_data(values, (&x.device(), burn::tensor::DType::F32)), x)
}

/// The ways of flex.
#[cfg(feature = "flex")]
mod fast {
    use burn::tensor::backend::Backend;
    use burn::tensor::{Shape, Tensor, TensorData};
    use burn_flex::FlexTensor;

    use crate::lanes::Set;
    use crate::packed::PackedWeight;
    use crate::weights::{Plain, Weights, WithWeights, with_packed};
    use crate::{few_rows, flex, many_rows};

    /// Rows up to which weights are read a row of theirs at a time.
    const FEW_ROWS: usize = 16;

    type Unchanged<B> = (Tensor<B, 2>, Tensor<B, 2>);

    /// `x w^T`, or both unchanged if this is not the way to compute it.
    pub(super) fn project<B: Backend>(weight: Tensor<B, 2>, x: Tensor<B, 2>) -> Result<Tensor<B, 2>, Unchanged<B>> {
        let ([d_out, d_in], [rows, width]) = (weight.dims(), x.dims());
        if width != d_in || [rows, d_out, d_in].contains(&0) {
            return Err((weight, x));
        }
        let weight = match flex::take(weight) {
            Ok(weight) => weight,
            Err(weight) => return Err((weight, x)),
        };
        let x = match flex::take(x) {
            Ok(x) => x,
            Err(x) => return Err((flex::give(weight), x)),
        };
        let x = x.to_contiguous();
        let product = match (weight.as_slice::<f32>(), x.as_slice::<f32>()) {
            (Some(weight), Some(x)) => Product { set: Set::best(), x, d_out, d_in }.run(Plain { weight, d_in }),
            _ => return Err((flex::give(weight), flex::give(x))),
        };
        Ok(flex::give(tensor(product, [rows, d_out])))
    }

    /// `x w^T`, or x unchanged on other backends.
    pub(super) fn project_packed<B: Backend>(
        weight: &PackedWeight,
        x: Tensor<B, 2>,
    ) -> Result<Tensor<B, 2>, Tensor<B, 2>> {
        let ([d_out, d_in], [rows, _]) = (weight.shape(), x.dims());
        if [rows, d_out, d_in].contains(&0) {
            return Err(x);
        }
        let x = flex::take(x)?.to_contiguous();
        let product = match x.as_slice::<f32>() {
            Some(x) => with_packed(weight, Product { set: Set::best(), x, d_out, d_in }),
            None => return Err(flex::give(x)),
        };
        Ok(flex::give(tensor(product, [rows, d_out])))
    }

    struct Product<'a> {
        set: Set,
        x: &'a [f32],
        d_out: usize,
        d_in: usize,
    }

    impl WithWeights for Product<'_> {
        type Output = Vec<f32>;

        fn run<W: Weights>(self, weights: W) -> Vec<f32> {
            let Self { set, x, d_out, d_in } = self;
            let multiply = if x.len() / d_in <= FEW_ROWS { few_rows::multiply } else { many_rows::multiply };
            multiply(set, weights, d_out, x, d_in)
        }
    }

    fn tensor(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(values, Shape::new(shape)))
    }

    #[cfg(test)]
    mod tests {
        use depthscale_types::WeightFormat;

        use super::*;

        fn values(n: usize, seed: usize) -> Vec<f32> {
            (0..n).map(|at| (((at * 7919 + seed * 31) % 1009) as f32 - 504.0) / 500.0).collect()
        }

        /// Both kernels, whichever a number of rows would take.
        struct Both<'a>(Product<'a>);

        impl WithWeights for Both<'_> {
            type Output = [Vec<f32>; 2];

            fn run<W: Weights>(self, weights: W) -> [Vec<f32>; 2] {
                let Product { set, x, d_out, d_in } = self.0;
                [few_rows::multiply(set, weights, d_out, x, d_in), many_rows::multiply(set, weights, d_out, x, d_in)]
            }
        }

        #[test]
        fn every_instruction_set_multiplies_the_same() {
            // More than a task, widths of more than one pass for any number of rows, widths that fill no vector.
            let shapes = [(70, 32), (301, 672), (40, 2080), (21, 2083), (21, 800), (5, 6176), (13, 1003), (1, 7)];
            for (d_out, d_in) in shapes {
                for format in WeightFormat::ALL.into_iter().filter(|format| format.divides(d_in)) {
                    let floats = values(d_out * d_in, 1);
                    let packed = PackedWeight::pack(format, [d_out, d_in], &floats).ok();
                    let weight = packed.as_ref().map_or(floats.clone(), PackedWeight::unpack);
                    for rows in [1, 2, 3, 4, 5, 8, 9, 16, 17, 40, 64, 70] {
                        let x = values(rows * d_in, 2);
                        for set in Set::all() {
                            let both = Both(Product { set, x: &x, d_out, d_in });
                            let products = match &packed {
                                Some(packed) => with_packed(packed, both),
                                None => both.run(Plain { weight: &floats, d_in }),
                            };
                            for (kernel, product) in products.iter().enumerate() {
                                for (at, found) in product.iter().enumerate() {
                                    let (row, out) = (at / d_out, at % d_out);
                                    let factors = weight[out * d_in..].iter().zip(&x[row * d_in..]).take(d_in);
                                    let terms = factors.map(|(w, x)| f64::from(*w) * f64::from(*x));
                                    let (sum, size) =
                                        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                                    // Thousands of terms are added one after the other.
                                    let close = (f64::from(*found) - sum).abs() <= 5e-6 * (1e-3 + size);
                                    assert!(
                                        close,
                                        "{set:?} {format} {d_out}x{d_in}, {rows} rows, kernel {kernel}, {at}"
                                    );
                                }
                                assert_eq!(product.len(), rows * d_out);
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn any_number_of_threads_multiplies_the_same() {
            let (d_out, d_in) = (531, 1600);
            let (weight, set) = (values(d_out * d_in, 1), Set::best());
            for rows in [1, 4, 8, 16] {
                let x = values(rows * d_in, 2);
                let on_threads = |n: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
                    pool.install(|| few_rows::multiply(set, Plain { weight: &weight, d_in }, d_out, &x, d_in))
                };
                let one = on_threads(1);
                assert!([2, 3, 5, 40].into_iter().all(|n| on_threads(n) == one), "{rows} rows");
            }
        }
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
