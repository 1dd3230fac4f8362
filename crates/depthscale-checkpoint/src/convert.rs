//! From stored little-endian bytes to numbers and back.
//!
//! Data in a file may lie at any alignment, so values are assembled from their bytes; on a little-endian machine the
//! compiler turns each of these loops into vector loads and stores, which for `f32` is a plain copy. A tail shorter than a
//! value cannot occur, because headers are checked, and would be left out.

use std::io::{self, Write};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::WrittenDtype;

/// Values converted at once: `half` uses the machine's conversion instructions only on slices.
const BLOCK: usize = 1024;

/// The place of the first value that is NaN or infinite.
///
/// ```
/// use depthscale_checkpoint::first_non_finite;
///
/// assert_eq!(first_non_finite(&[0.0, f32::MAX, f32::NAN, f32::INFINITY]), Some(2));
/// assert_eq!(first_non_finite(&[0.0, -1.5]), None);
/// ```
pub fn first_non_finite(values: &[f32]) -> Option<usize> {
    // A search that may stop at every value is not vectorised; one that may stop at every block is.
    const BLOCK: usize = 1024;
    let all_finite = |block: &[f32]| block.iter().fold(true, |all, value| all & value.is_finite());
    let block = values.chunks(BLOCK).position(|block| !all_finite(block))?;
    let start = block * BLOCK;
    let place = values[start..].iter().position(|value| !value.is_finite())?;
    Some(start + place)
}

/// Appends the values of stored bytes.
pub(crate) type ToF32 = fn(&[u8], &mut Vec<f32>);

/// Stored `F32`, bit for bit.
pub(crate) fn f32_from_f32(bytes: &[u8], out: &mut Vec<f32>) {
    let (values, _) = bytes.as_chunks();
    out.extend(values.iter().map(|&v| f32::from_le_bytes(v)));
}

/// Stored `BF16`, bit for bit: a bf16 is the upper half of the f32 of the same value.
pub(crate) fn f32_from_bf16(bytes: &[u8], out: &mut Vec<f32>) {
    let (values, _) = bytes.as_chunks();
    out.extend(values.iter().map(|&v| f32::from_bits(u32::from(u16::from_le_bytes(v)) << 16)));
}

/// Stored `F16`, exact: every f16 has an f32 of the same value. NaN stays NaN.
pub(crate) fn f32_from_f16(bytes: &[u8], out: &mut Vec<f32>) {
    let (values, _) = bytes.as_chunks::<2>();
    let first = out.len();
    out.resize(first + values.len(), 0.0);
    let out = &mut out[first..];
    let mut block = [f16::ZERO; BLOCK];
    for (out, values) in out.chunks_mut(BLOCK).zip(values.chunks(BLOCK)) {
        let block = &mut block[..values.len()];
        for (half, &v) in block.iter_mut().zip(values) {
            *half = f16::from_le_bytes(v);
        }
        block.convert_to_f32_slice(out);
    }
}

/// Writes values in a format as little-endian bytes; the half formats round to the nearest value, ties to even.
pub(crate) fn write_f32(out: &mut dyn Write, values: &[f32], dtype: WrittenDtype) -> io::Result<()> {
    let mut bytes = [0; BLOCK * size_of::<f32>()];
    for block in values.chunks(BLOCK) {
        match dtype {
            WrittenDtype::F32 => fill(&mut bytes, block.iter().map(|value| value.to_le_bytes())),
            WrittenDtype::F16 => {
                let mut halves = [f16::ZERO; BLOCK];
                let halves = &mut halves[..block.len()];
                halves.convert_from_f32_slice(block);
                fill(&mut bytes, halves.iter().map(|half| half.to_le_bytes()));
            }
            WrittenDtype::Bf16 => {
                fill(&mut bytes, block.iter().map(|&value| bf16::from_f32(value).to_le_bytes()));
            }
        }
        out.write_all(&bytes[..block.len() * dtype.n_bytes()])?;
    }
    Ok(())
}

fn fill<const N: usize>(bytes: &mut [u8], values: impl Iterator<Item = [u8; N]>) {
    let (chunks, _) = bytes.as_chunks_mut();
    chunks.iter_mut().zip(values).for_each(|(chunk, value)| *chunk = value);
}

/// The place of the first finite value that would be infinite in a format.
pub(crate) fn first_overflow(values: &[f32], dtype: WrittenDtype) -> Option<usize> {
    // Half a step above the largest finite value, where rounding goes up to infinity: 65,504 + 16 in f16, whose last step
    // is 32, and 2^128 - 2^119 in bf16. A tie goes to the even of the two, which is infinity.
    let limit = match dtype {
        WrittenDtype::F32 => return None,
        WrittenDtype::F16 => 65_520.0,
        WrittenDtype::Bf16 => f32::from_bits(0x7f7f_8000),
    };
    values.iter().position(|value| value.is_finite() && value.abs() >= limit)
}

/// Stored `I64`.
pub(crate) fn i64_from_i64(bytes: &[u8]) -> Vec<i64> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|&v| i64::from_le_bytes(v)).collect()
}

/// Stored `I32`, widened.
pub(crate) fn i64_from_i32(bytes: &[u8]) -> Vec<i64> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|&v| i64::from(i32::from_le_bytes(v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(convert: fn(&[u8], &mut Vec<f32>), bytes: &[u8]) -> Vec<f32> {
        let mut values = vec![7.0];
        convert(bytes, &mut values);
        assert_eq!(values.remove(0), 7.0);
        values
    }

    /// The bytes at every offset from an 8-byte boundary, so that aligned and unaligned reads are both taken.
    fn at_every_alignment(bytes: &[u8], check: impl Fn(&[u8])) {
        let mut padded = vec![0xAA; bytes.len() + 8];
        for shift in 0..8 {
            padded[shift..shift + bytes.len()].copy_from_slice(bytes);
            check(&padded[shift..shift + bytes.len()]);
        }
    }

    #[test]
    fn f32_keeps_every_bit() {
        let bits = [0x0000_0000_u32, 0x8000_0000, 0x3f80_0000, 0x7f80_0001, 0xffc0_1234, 0x0000_0001];
        let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
        at_every_alignment(&bytes, |bytes| {
            let back: Vec<u32> = appended(f32_from_f32, bytes).iter().map(|v| v.to_bits()).collect();
            assert_eq!(back, bits);
        });
    }

    #[test]
    fn bf16_is_the_upper_half() {
        // 0x3fc0 = 1.5; 0xc020 = -2.5; 0x0001 = 2^-133, the smallest subnormal; 0x7f80 = infinity.
        let bytes: Vec<u8> = [0x3fc0_u16, 0xc020, 0x0001, 0x7f80].iter().flat_map(|b| b.to_le_bytes()).collect();
        let expected = [1.5, -2.5, 2.0_f32.powi(-126) / 128.0, f32::INFINITY];
        at_every_alignment(&bytes, |bytes| assert_eq!(appended(f32_from_bf16, bytes), expected));
    }

    #[test]
    fn f16_is_exact_for_all_65536_values() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        at_every_alignment(&bytes, |bytes| {
            for (bits, value) in (0..=u16::MAX).zip(appended(f32_from_f16, bytes)) {
                // By the definition of binary16: sign, 5 bits of exponent biased by 15, 10 bits of fraction.
                let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
                let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
                let expected = sign
                    * match exponent {
                        0 => fraction * 2.0_f32.powi(-24),
                        31 if fraction == 0.0 => f32::INFINITY,
                        31 => f32::NAN,
                        _ => (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
                    };
                assert!(value == expected || value.is_nan() && expected.is_nan(), "{bits:#06x}");
                assert!(value.is_nan() || value.is_sign_negative() == (bits >> 15 == 1));
            }
        });
    }

    #[test]
    fn f32_longer_than_a_block_is_written_whole() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
        let mut bytes = Vec::new();
        write_f32(&mut bytes, &values, WrittenDtype::F32).unwrap();
        assert_eq!(appended(f32_from_f32, &bytes), values);
    }

    #[test]
    fn halves_are_rounded_to_the_nearest_ties_to_even() {
        let written = |values: &[f32], dtype| {
            let mut bytes = Vec::new();
            write_f32(&mut bytes, values, dtype).unwrap();
            bytes
        };
        // Above 1 the steps of f16 are 2^-10, and those of bf16 2^-7: half a step is a tie, a little more is not.
        for (dtype, step) in [(WrittenDtype::F16, 2.0_f32.powi(-10)), (WrittenDtype::Bf16, 2.0_f32.powi(-7))] {
            let values = [1.0 + 0.5 * step, 1.0 + 0.51 * step, 1.0 + 1.5 * step, -1.0 - 1.49 * step, f32::INFINITY];
            let bytes = written(&values, dtype);
            let read = if dtype == WrittenDtype::F16 {
                appended(f32_from_f16, &bytes)
            } else {
                appended(f32_from_bf16, &bytes)
            };
            assert_eq!(read, [1.0, 1.0 + step, 1.0 + 2.0 * step, -1.0 - step, f32::INFINITY]);
        }
        // Every finite f16 is written as itself.
        let all: Vec<f32> =
            (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32()).filter(|v| v.is_finite()).collect();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&appended(f32_from_f16, &written(&all, WrittenDtype::F16))), bits(&all));
    }

    #[test]
    fn an_overflow_is_what_rounds_to_infinity() {
        for (dtype, largest) in [
            (WrittenDtype::F16, 65_519.996),
            (WrittenDtype::Bf16, f32::from_bits(0x7f7f_7fff)),
            (WrittenDtype::F32, f32::MAX),
        ] {
            assert_eq!(first_overflow(&[largest, -largest, f32::INFINITY, f32::NAN], dtype), None, "{dtype:?}");
            let next = f32::from_bits(largest.to_bits() + 1);
            let expected = (dtype != WrittenDtype::F32).then_some(1);
            assert_eq!(first_overflow(&[1.0, -next], dtype), expected, "{dtype:?}");
            let infinite = match dtype {
                WrittenDtype::F16 => f16::from_f32(next).is_infinite() && f16::from_f32(largest).is_finite(),
                WrittenDtype::Bf16 => bf16::from_f32(next).is_infinite() && bf16::from_f32(largest).is_finite(),
                WrittenDtype::F32 => true,
            };
            assert!(infinite, "{dtype:?}");
        }
    }

    #[test]
    fn the_first_non_finite_value_is_found_anywhere() {
        let mut values = vec![1.0; 3000];
        assert_eq!(first_non_finite(&values), None);
        for place in [2999, 1024, 1023, 0] {
            values[place] = f32::NEG_INFINITY;
            assert_eq!(first_non_finite(&values), Some(place));
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        let long: Vec<u8> = [-1_i64, i64::MIN, 7].iter().flat_map(|v| v.to_le_bytes()).collect();
        at_every_alignment(&long, |bytes| assert_eq!(i64_from_i64(bytes), [-1, i64::MIN, 7]));
        let short: Vec<u8> = [-1_i32, i32::MIN, 7].iter().flat_map(|v| v.to_le_bytes()).collect();
        at_every_alignment(&short, |bytes| assert_eq!(i64_from_i32(bytes), [-1, i64::from(i32::MIN), 7]));
    }
}
