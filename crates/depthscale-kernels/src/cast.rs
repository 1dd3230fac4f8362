//! From f32 to 16 bits.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor};

/// The largest finite 16-bit float.
const LARGEST_F16: f32 = 65_504.0;

/// `x` rounded to a dtype, for a cache. What is too large for f16 becomes the largest that is not; on flex rows are rounded on all
/// threads.
///
/// # Shapes
/// - x, output: `[rows, width]`
pub(crate) fn round_to<B: Backend>(x: Tensor<B, 2>, dtype: FloatDType) -> Tensor<B, 2> {
    if x.dtype() == DType::from(dtype) {
        return x;
    }
    #[cfg(feature = "flex")]
    let x = match fast::round_to(x, dtype) {
        Ok(rounded) => return rounded,
        Err(x) => x,
    };
    match dtype {
        // In f32, which holds the bounds themselves.
        FloatDType::F16 => x.cast(FloatDType::F32).clamp(-LARGEST_F16, LARGEST_F16).cast(dtype),
        _ => x.cast(dtype),
    }
}

#[cfg(feature = "flex")]
mod fast {
    use burn::tensor::backend::Backend;
    use burn::tensor::{Element, FloatDType, Tensor, TensorData, bf16, f16};
    use burn_flex::FlexTensor;
    use half::slice::HalfFloatSliceExt;

    use super::LARGEST_F16;
    use crate::flex;
    use crate::vector::fill_pieces;

    const PIECE: usize = 1 << 14;

    /// `x` in 16 bits, or x unchanged if it is not flex's f32.
    pub(super) fn round_to<B: Backend>(x: Tensor<B, 2>, dtype: FloatDType) -> Result<Tensor<B, 2>, Tensor<B, 2>> {
        if !matches!(dtype, FloatDType::F16 | FloatDType::BF16) {
            return Err(x);
        }
        let x = flex::take(x)?.to_contiguous();
        let Some(values) = x.as_slice::<f32>() else { unreachable!("it is contiguous f32") };
        let shape = x.layout().shape().clone();
        let rounded = match dtype {
            FloatDType::F16 => TensorData::new(round_all(values, to_f16), shape),
            _ => TensorData::new(round_all(values, <[bf16]>::convert_from_f32_slice), shape),
        };
        Ok(flex::give(FlexTensor::from_data(rounded)))
    }

    fn round_all<H: Element + Default>(values: &[f32], round: impl Fn(&mut [H], &[f32]) + Sync) -> Vec<H> {
        let mut rounded = vec![H::default(); values.len()];
        fill_pieces(
            &mut rounded,
            PIECE,
            #[inline(always)]
            |at, rounded| round(rounded, &values[at * PIECE..][..rounded.len()]),
        );
        rounded
    }

    #[inline(always)]
    fn to_f16(rounded: &mut [f16], values: &[f32]) {
        for (rounded, value) in rounded.iter_mut().zip(values) {
            *rounded = f16::from_bits(bits_of_f16(value.clamp(-LARGEST_F16, LARGEST_F16)));
        }
    }

    /// The bits of the nearest f16, ties to the even one, of a value within [`LARGEST_F16`] or NaN, in operations that compilers find
    /// vectors for.
    #[inline(always)]
    pub(super) fn bits_of_f16(value: f32) -> u16 {
        let sign = value.to_bits() >> 16 & 0x8000;
        let magnitude = value.abs().to_bits();
        // 13 bits of fraction less, and an exponent that is 112 less.
        let normal = ((magnitude + 0xfff + (magnitude >> 13 & 1)) >> 13).wrapping_sub(112 << 10);
        // From 0.5 on floats are as far apart as the smallest of f16.
        let subnormal = (value.abs() + 0.5).to_bits() - 0.5f32.to_bits();
        let rounded = match magnitude {
            ..0x3880_0000 => subnormal,
            0x3880_0000..=0x7f80_0000 => normal,
            _ => 0x7e00, // NaN
        };
        (sign | rounded) as u16
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// A value, and what it is in f16 and in bf16, which keep 11 and 8 bits; ties go to the even one.
    const CASES: [[f32; 3]; 8] = [
        [1.0, 1.0, 1.0],
        // 1 + 2^-11, 1 + 3 2^-11 and 1 + 3 2^-8.
        [1.000_488_3, 1.0, 1.0],
        [1.001_464_8, 1.001_953_1, 1.0],
        [1.011_718_8, 1.011_718_8, 1.015_625],
        [-0.1, -0.099_975_586, -0.100_097_656],
        [65_504.0, 65_504.0, 65_536.0],
        [1e6, 65_504.0, 999_424.0],
        [-2e6, -65_504.0, -1_998_848.0],
    ];

    fn rounds<B: Backend>(dtypes: &[FloatDType]) {
        // More than one piece.
        let values: Vec<f32> = CASES.iter().cycle().take(20_000).map(|case| case[0]).collect();
        for &dtype in dtypes {
            let x = Tensor::<B, 2>::from_data(TensorData::new(values.clone(), [200, 100]), &Default::default());
            let rounded = round_to(x, dtype);
            assert_eq!(rounded.dtype(), DType::from(dtype));
            let column = match dtype {
                FloatDType::F16 => 1,
                FloatDType::BF16 => 2,
                _ => 0,
            };
            let expected: Vec<f32> = CASES.iter().cycle().take(20_000).map(|case| case[column]).collect();
            assert_eq!(rounded.into_data().iter::<f32>().collect::<Vec<_>>(), expected, "{dtype:?}");
        }
    }

    #[test]
    fn f32_stays_as_it_is_ndarray() {
        rounds::<burn_ndarray::NdArray>(&[FloatDType::F32]);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn halves_are_the_nearest() {
        use burn::tensor::f16;
        // Every f16, the numbers half way to the next, and those just before and after.
        for bits in 0..0x7bff_u16 {
            let [low, high] = [bits, bits + 1].map(|bits| f16::from_bits(bits).to_f32());
            let middle = f32::midpoint(low, high);
            for value in [low, middle.next_down(), middle, middle.next_up(), high] {
                for value in [value, -value] {
                    assert_eq!(fast::bits_of_f16(value), f16::from_f32(value).to_bits(), "{value}");
                }
            }
        }
        for value in [1e-10, f32::from_bits(1), f32::MIN_POSITIVE] {
            assert_eq!(fast::bits_of_f16(-value), 0x8000);
        }
        assert!([f32::NAN, -f32::NAN].map(|nan| f16::from_bits(fast::bits_of_f16(nan))).into_iter().all(f16::is_nan));
    }

    #[cfg(feature = "flex")]
    #[test]
    fn rounds_flex() {
        rounds::<burn_flex::Flex>(&[FloatDType::F32, FloatDType::F16, FloatDType::BF16]);
    }

    /// What other backends with 16 bits do, on the one that can be tested.
    #[cfg(feature = "flex")]
    #[test]
    fn rows_of_16_bits_are_bounded_too() {
        use burn_flex::Flex;
        let values = CASES.map(|case| case[2]);
        let x = Tensor::<Flex, 2>::from_data(TensorData::from([values]), &Default::default()).cast(FloatDType::BF16);
        let rounded = round_to(x, FloatDType::F16).into_data().iter::<f32>().collect::<Vec<_>>();
        let bounded = values.map(|value| value.clamp(-LARGEST_F16, LARGEST_F16));
        for (found, expected) in rounded.into_iter().zip(bounded) {
            assert!((found - expected).abs() <= 5e-4 * expected.abs(), "{found} {expected}");
        }
    }
}
