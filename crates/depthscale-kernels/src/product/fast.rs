//! The ways of flex.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Shape, Tensor, TensorData};
use burn_flex::FlexTensor;
use depthscale_types::WeightFormat;

use crate::block_rows::Factors;
use crate::cut::FEW_ROWS;
#[cfg(target_arch = "x86_64")]
use crate::fixed_rows;
use crate::lanes::Set;
use crate::packed::PackedWeight;
use crate::stored::StoredWeight;
use crate::weights::{AnyWeights, Dots, Plain, WithWeights};
use crate::{block_rows, few_rows, flex, many_rows};

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
    let products = multiply(Set::best(), weights.each_ref().map(|weight| weight.as_weights(d_in)), values(&x), d_in);
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
        let alike =
            weights.iter().enumerate().filter(|(_, weight)| weight.in_blocks().map(PackedWeight::format) == format);
        let (places, alike): (Vec<usize>, Vec<AnyWeights<'_>>) = alike.unzip();
        let found = match format {
            _ if alike.is_empty() => continue,
            None => in_floats(set, &alike, x, d_in),
            Some(_) => in_blocks(set, &alike.iter().filter_map(AnyWeights::in_blocks).collect::<Vec<_>>(), x, d_in),
        };
        for (place, product) in places.into_iter().zip(found) {
            products[place] = product;
        }
    }
    products
}

fn in_floats(set: Set, weights: &[AnyWeights<'_>], x: &[f32], d_in: usize) -> Vec<Vec<f32>> {
    if x.len() / d_in <= FEW_ROWS {
        return few_rows::multiply(set, weights, x, d_in);
    }
    weights.iter().map(|weight| weight.with(ManyRows { set, x, d_out: weight.d_out(), d_in })).collect()
}

/// Up to so many rows weights in blocks are multiplied as they lie, as floats; with more they are unpacked first. Found by
/// measuring.
const ROWS_OF_BLOCKS: usize = 64;

fn in_blocks(set: Set, weights: &[&PackedWeight], x: &[f32], d_in: usize) -> Vec<Vec<f32>> {
    match set {
        #[cfg(target_arch = "x86_64")]
        Set::Vnni(vnni) => fixed_rows::multiply(vnni, Factors { weights, x, d_in }),
        _ if x.len() / d_in <= ROWS_OF_BLOCKS => block_rows::multiply(set, Factors { weights, x, d_in }),
        _ => weights.iter().map(|weight| many_rows_of_blocks(set, weight, x, d_in)).collect(),
    }
}

fn many_rows_of_blocks(set: Set, weight: &PackedWeight, x: &[f32], d_in: usize) -> Vec<f32> {
    many_rows::multiply(set, weight.groups(), weight.shape()[0], x, d_in)
}

struct ManyRows<'a> {
    set: Set,
    x: &'a [f32],
    d_out: usize,
    d_in: usize,
}

impl WithWeights for ManyRows<'_> {
    type Output = Vec<f32>;

    fn run<W: Dots>(self, weights: W) -> Vec<f32> {
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
        // Of blocks: whole groups of rows, one row more and one less, and fewer than a group.
        let shapes = [(70, 32), (301, 672), (40, 2080), (21, 2083), (21, 800), (5, 6176), (13, 1003), (1, 7)];
        let shapes = shapes.into_iter().chain([(16, 224), (48, 256), (17, 288), (15, 64), (33, 768)]);
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
                        let in_blocks = weights.in_blocks();
                        let whole = if set.adds_bytes() && in_blocks.is_some() { 1.01 / 64_000.0 } else { 0.0 };
                        let (mut few, many) = match in_blocks {
                            Some(packed) => (
                                block_rows::multiply(set, Factors { weights: &[packed], x: &x, d_in }),
                                many_rows_of_blocks(set, packed, &x, d_in),
                            ),
                            None => (
                                few_rows::multiply(set, &[weights], &x, d_in),
                                weights.with(ManyRows { set, x: &x, d_out, d_in }),
                            ),
                        };
                        let [by_number] = multiply(set, [weights], &x, d_in);
                        // Both kernels of floats, whichever the number of rows would take, and what is taken.
                        let products =
                            [("few rows", few.remove(0), 0.0), ("many rows", many, 0.0), ("taken", by_number, whole)];
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
                            let [product] = multiply(set, [AnyWeights::Packed(&packed)], &vec![x; rows * d_in], d_in);
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
        let packed: [[_; 5]; 5] = WeightFormat::ALL
            .map(|format| std::array::from_fn(|at| PackedWeight::pack(format, [outputs[at], d_in], &floats[at]).ok()));
        let weights = |formats: [usize; 5]| -> [AnyWeights<'_>; 5] {
            std::array::from_fn(|at| {
                let plain = AnyWeights::Plain(Plain { weight: &floats[at], d_in });
                packed[formats[at]][at].as_ref().map_or(plain, AnyWeights::Packed)
            })
        };
        let mixed = [[0, 1, 2, 3, 4], [4, 3, 0, 0, 2]];
        let pools = [1, 2, 3, 5, 40].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads"));
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
