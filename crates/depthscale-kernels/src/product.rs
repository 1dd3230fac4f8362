//! Products of token rows with stored weights.

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

/// The ways of flex.
#[cfg(feature = "flex")]
mod fast {
    use burn::tensor::backend::Backend;
    use burn::tensor::{DType, FloatDType, Shape, Tensor, TensorData};
    use burn_flex::FlexTensor;
    use depthscale_types::WeightFormat;

    use crate::cut::FEW_ROWS;
    #[cfg(target_arch = "x86_64")]
    use crate::fixed_rows;
    use crate::lanes::Set;
    use crate::packed::PackedWeight;
    use crate::stored::StoredWeight;
    use crate::weights::{AnyWeights, Plain, Weights, WithWeights};
    use crate::{few_rows, flex, many_rows};

    type Unchanged<'w, B, const N: usize> = ([StoredWeight<'w, B>; N], Tensor<B, 2>);

    /// `x w^T` of all weights, or everything unchanged if this is not the way to compute it.
    pub(super) fn project<B: Backend, const N: usize>(
        weights: [StoredWeight<'_, B>; N],
        x: Tensor<B, 2>,
    ) -> Result<[Tensor<B, 2>; N], Unchanged<'_, B, N>> {
        let [rows, d_in] = x.dims();
        let fits = |weight: &StoredWeight<'_, B>| {
            let [d_out, width] = weight.shape();
            weight.dtype() == DType::F32 && width == d_in && d_out > 0
        };
        if !flex::is_flex::<B>() || [N, rows, d_in].contains(&0) || !weights.iter().all(fits) {
            return Err((weights, x));
        }
        let x = laid_out(x.cast(FloatDType::F32));
        let weights = weights.map(|weight| match weight {
            StoredWeight::Floats(floats) => LaidOut::Floats(laid_out(floats)),
            StoredWeight::Packed(packed) => LaidOut::Packed(packed),
        });
        let products =
            multiply(Set::best(), weights.each_ref().map(|weight| weight.as_weights(d_in)), values(&x), d_in);
        Ok(products.map(|product| {
            let shape = Shape::new([rows, product.len() / rows]);
            flex::give(FlexTensor::from_data(TensorData::new(product, shape)))
        }))
    }

    /// A [`StoredWeight`] whose values lie in memory as they are read.
    enum LaidOut<'w> {
        Floats(FlexTensor),
        Packed(&'w PackedWeight),
    }

    impl LaidOut<'_> {
        fn as_weights(&self, d_in: usize) -> AnyWeights<'_> {
            match self {
                Self::Floats(floats) => AnyWeights::Plain(Plain { weight: values(floats), d_in }),
                Self::Packed(packed) => AnyWeights::Packed(packed),
            }
        }
    }

    /// A tensor of flex in f32, row by row; one that has been turned is copied.
    fn laid_out<B: Backend>(tensor: Tensor<B, 2>) -> FlexTensor {
        let tensor = flex::take(tensor).unwrap_or_else(|_| unreachable!("flex's in f32, as was asked"));
        if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
    }

    fn values(tensor: &FlexTensor) -> &[f32] {
        tensor.as_slice().unwrap_or_else(|| unreachable!("it was laid out in f32"))
    }

    /// `x w^T` of every weight, as `[rows, out]`.
    fn multiply<const N: usize>(set: Set, weights: [AnyWeights<'_>; N], x: &[f32], d_in: usize) -> [Vec<f32>; N] {
        let mut products = [const { Vec::new() }; N];
        // Those that are computed in the same way go together.
        for format in [None, Some(WeightFormat::Q8), Some(WeightFormat::Q4)] {
            let alike = weights.into_iter().enumerate().filter(|(_, weight)| in_whole_numbers(set, weight) == format);
            let (places, alike): (Vec<usize>, Vec<AnyWeights<'_>>) = alike.unzip();
            let found = match format {
                _ if alike.is_empty() => continue,
                None => in_floats(set, &alike, x, d_in),
                #[cfg(target_arch = "x86_64")]
                Some(_) => fixed_rows::multiply(set, &alike, x, d_in),
                #[cfg(not(target_arch = "x86_64"))]
                Some(_) => unreachable!("no set adds bytes"),
            };
            for (place, product) in places.into_iter().zip(found) {
                products[place] = product;
            }
        }
        products
    }

    /// The format of a weight whose products are computed in whole numbers.
    fn in_whole_numbers(set: Set, weight: &AnyWeights<'_>) -> Option<WeightFormat> {
        match weight {
            AnyWeights::Packed(packed) if set.adds_bytes() => Some(packed.format()).filter(|format| format.is_blocks()),
            _ => None,
        }
    }

    fn in_floats(set: Set, weights: &[AnyWeights<'_>], x: &[f32], d_in: usize) -> Vec<Vec<f32>> {
        if x.len() / d_in <= FEW_ROWS {
            return few_rows::multiply(set, weights, x, d_in);
        }
        weights.iter().map(|weight| weight.with(ManyRows { set, x, d_out: weight.d_out(), d_in })).collect()
    }

    struct ManyRows<'a> {
        set: Set,
        x: &'a [f32],
        d_out: usize,
        d_in: usize,
    }

    impl WithWeights for ManyRows<'_> {
        type Output = Vec<f32>;

        fn run<W: Weights>(self, weights: W) -> Vec<f32> {
            let Self { set, x, d_out, d_in } = self;
            many_rows::multiply(set, weights, d_out, x, d_in)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn values(n: usize, seed: usize) -> Vec<f32> {
            (0..n).map(|at| (((at * 7919 + seed * 31) % 1009) as f32 - 504.0) / 500.0).collect()
        }

        #[test]
        fn every_instruction_set_multiplies_the_same() {
            // More than a task, widths of more than one pass for any number of rows, widths that fill no vector.
            // Of blocks: seven, eight and nine in a row, and whole groups of eight.
            let shapes = [(70, 32), (301, 672), (40, 2080), (21, 2083), (21, 800), (5, 6176), (13, 1003), (1, 7)];
            let shapes = shapes.into_iter().chain([(16, 224), (48, 256), (17, 288), (33, 768)]);
            for (d_out, d_in) in shapes {
                for format in WeightFormat::ALL.into_iter().filter(|format| format.divides(d_in)) {
                    let floats = values(d_out * d_in, 1);
                    let packed = PackedWeight::pack(format, [d_out, d_in], &floats).ok();
                    let weight = packed.as_ref().map_or(floats.clone(), PackedWeight::unpack);
                    let plain = AnyWeights::Plain(Plain { weight: &floats, d_in });
                    let weights = packed.as_ref().map_or(plain, AnyWeights::Packed);
                    for rows in [1, 2, 3, 4, 5, 8, 9, 16, 17, 40, 64, 70] {
                        let x = values(rows * d_in, 2);
                        for set in Set::all() {
                            // No element of x is larger than 1.01, nor rounded by more than a part of it.
                            let whole = in_whole_numbers(set, &weights).map_or(0.0, |_| 1.01 / 64_000.0);
                            let mut few = few_rows::multiply(set, &[weights], &x, d_in);
                            let [by_number] = multiply(set, [weights], &x, d_in);
                            // Both kernels of floats, whichever the number of rows would take, and what is taken.
                            let products = [
                                ("few rows", few.remove(0), 0.0),
                                ("many rows", weights.with(ManyRows { set, x: &x, d_out, d_in }), 0.0),
                                ("taken", by_number, whole),
                            ];
                            for (kernel, product, rounded) in &products {
                                assert_eq!(product.len(), rows * d_out);
                                // Thousands of terms are added one after the other.
                                for (at, found) in product.iter().enumerate() {
                                    let (row, out) = (at / d_out, at % d_out);
                                    let mut sum = 0.0;
                                    let mut error = 5e-9;
                                    for (w, x) in weight[out * d_in..].iter().zip(&x[row * d_in..]).take(d_in) {
                                        let (w, x) = (f64::from(*w), f64::from(*x));
                                        sum += w * x;
                                        error += 5e-6 * (w * x).abs() + rounded * w.abs();
                                    }
                                    assert!(
                                        (f64::from(*found) - sum).abs() <= error,
                                        "{set:?} {format} {d_out}x{d_in}, {rows} rows, kernel {kernel}, {at}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }

        /// A weight of codes, with scales of one.
        fn of_codes(format: WeightFormat, d_in: usize, codes: Vec<u8>) -> PackedWeight {
            let d_out = codes.len() / (format.row_bytes(d_in) - d_in / 16);
            let scales = vec![half::f16::ONE.to_le_bytes(); d_out * d_in / 32].concat();
            PackedWeight::from_bytes(format, [d_out, d_in], codes.into(), scales.into()).expect("as many as it takes")
        }

        #[test]
        fn the_largest_codes_and_elements_multiply() {
            let d_in = 64;
            for (format, bytes) in [(WeightFormat::Q8, [0x7f, 0x81, 0x80]), (WeightFormat::Q4, [0xff, 0x88, 0x00])] {
                for byte in bytes {
                    let packed = of_codes(format, d_in, vec![byte; 3 * (format.row_bytes(d_in) - d_in / 16)]);
                    let code = packed.unpack()[0];
                    for rows in [1, 8, 17] {
                        for x in [3.0, -3.0] {
                            for set in Set::all() {
                                let [product] =
                                    multiply(set, [AnyWeights::Packed(&packed)], &vec![x; rows * d_in], d_in);
                                let expected = code * x * d_in as f32;
                                let close = |found: &f32| (found - expected).abs() <= 1e-5 * expected.abs();
                                assert!(product.iter().all(close), "{set:?} {format} {code} {x}: {product:?}");
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn every_block_of_a_row_has_a_scale_of_its_own() {
            // One large element in 32, whole blocks of small, smallest and large ones, and zeros.
            let sizes = [1.0, 1e-20, 1e20, 0.0, 1e-35, 1e-3, 1e6, 1.0];
            let (d_out, d_in) = (5, 32 * sizes.len());
            for format in [WeightFormat::Q8, WeightFormat::Q4] {
                for (block, size) in sizes.into_iter().enumerate() {
                    // What is not of this block is not seen by the weight.
                    let mut floats = values(d_out * d_in, 1);
                    for (at, float) in floats.iter_mut().enumerate() {
                        *float = if at % d_in / 32 == block { *float } else { 0.0 };
                    }
                    let packed = PackedWeight::pack(format, [d_out, d_in], &floats).expect("finite");
                    let mut x: Vec<f32> = values(9 * d_in, 2);
                    for (at, x) in x.iter_mut().enumerate() {
                        *x *= if at % 32 == 5 { 1e3 } else { 1.0 } * sizes[at % d_in / 32];
                    }
                    let weight = packed.unpack();
                    for set in Set::all() {
                        let [product] = multiply(set, [AnyWeights::Packed(&packed)], &x, d_in);
                        for (at, found) in product.iter().enumerate() {
                            let (x, weight) = (&x[at / d_out * d_in..][..d_in], &weight[at % d_out * d_in..][..d_in]);
                            let terms = weight.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                            let largest = 1.01e3 * f64::from(size);
                            let moved = (largest / 64_000.0).max(1e-30 * f64::from(u8::from(size < 1e-25)));
                            let error = terms.clone().map(|term| 5e-6 * term.abs()).sum::<f64>()
                                + moved * weight.iter().map(|w| f64::from(w.abs())).sum::<f64>();
                            assert!(
                                (f64::from(*found) - terms.sum::<f64>()).abs() <= error,
                                "{set:?} {format} {size}, {at}"
                            );
                        }
                    }
                }
            }
        }

        #[test]
        fn in_whole_numbers_a_row_multiplies_alone_as_among_others() {
            let (d_out, d_in, rows) = (40, 320, 17);
            let x = values(rows * d_in, 2);
            for set in Set::all().into_iter().filter(|set| set.adds_bytes()) {
                for format in [WeightFormat::Q8, WeightFormat::Q4] {
                    let packed = PackedWeight::pack(format, [d_out, d_in], &values(d_out * d_in, 1)).expect("finite");
                    for among in [1, 2, 3, 8, 9, rows] {
                        let [product] = multiply(set, [AnyWeights::Packed(&packed)], &x[..among * d_in], d_in);
                        for (x, product) in x.chunks(d_in).zip(product.chunks(d_out)) {
                            let [alone] = multiply(set, [AnyWeights::Packed(&packed)], x, d_in);
                            assert_eq!(alone, product, "{format}, among {among}");
                        }
                    }
                }
            }
        }

        #[test]
        fn what_is_not_finite_stays_in_its_row() {
            let (d_out, d_in) = (37, 320);
            let floats = values(d_out * d_in, 1);
            for format in WeightFormat::ALL {
                let packed = PackedWeight::pack(format, [d_out, d_in], &floats).ok();
                let plain = AnyWeights::Plain(Plain { weight: &floats, d_in });
                let weights = packed.as_ref().map_or(plain, AnyWeights::Packed);
                for (rows, element) in [(2, f32::NAN), (8, f32::INFINITY), (40, f32::NEG_INFINITY)] {
                    let x = values(rows * d_in, 2);
                    let mut with_element = x.clone();
                    with_element[d_in + 7] = element;
                    for set in Set::all() {
                        let [expected] = multiply(set, [weights], &x, d_in);
                        let [found] = multiply(set, [weights], &with_element, d_in);
                        assert!(found[d_out..2 * d_out].iter().all(|value| !value.is_finite()), "{set:?} {format}");
                        let other_rows = |product: &[f32]| [&product[..d_out], &product[2 * d_out..]].concat();
                        assert_eq!(other_rows(&found), other_rows(&expected), "{set:?} {format}");
                    }
                }
            }
        }

        #[test]
        fn weights_together_multiply_as_each_alone() {
            let d_in = 800;
            // Tasks that end within a weight and at the end of one, weights of many tasks and of a small part of one.
            let outputs = [531, 40, 1, 2, 176];
            let floats = outputs.map(|d_out| values(d_out * d_in, d_out));
            let packed: [[_; 5]; 5] = WeightFormat::ALL.map(|format| {
                std::array::from_fn(|at| PackedWeight::pack(format, [outputs[at], d_in], &floats[at]).ok())
            });
            let weights = |formats: [usize; 5]| -> [AnyWeights<'_>; 5] {
                std::array::from_fn(|at| {
                    let plain = AnyWeights::Plain(Plain { weight: &floats[at], d_in });
                    packed[formats[at]][at].as_ref().map_or(plain, AnyWeights::Packed)
                })
            };
            let mixed = [[0, 1, 2, 3, 4], [4, 3, 0, 0, 2]];
            let pools =
                [1, 2, 3, 5, 40].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads"));
            for formats in (0..5).map(|format| [format; 5]).chain(mixed) {
                for rows in (1..=17).chain([40]) {
                    let x = values(rows * d_in, 2);
                    for set in Set::all() {
                        let alone = weights(formats).map(|weight| {
                            let [product] = pools[0].install(|| multiply(set, [weight], &x, d_in));
                            product
                        });
                        for pool in &pools {
                            let together = pool.install(|| multiply(set, weights(formats), &x, d_in));
                            assert!(together == alone, "{set:?} {formats:?}, {rows} rows, {pool:?}");
                        }
                    }
                }
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
