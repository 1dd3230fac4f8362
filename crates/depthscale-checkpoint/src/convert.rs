//! From stored little-endian bytes to numbers.
//!
//! Data in a file may lie at any alignment, so values are assembled from their bytes; on a little-endian machine the
//! compiler turns each of these loops into vector loads and stores, which for `f32` is a plain copy. A tail shorter than a
//! value cannot occur, because headers are checked, and would be left out.

use half::f16;
use half::slice::HalfFloatSliceExt;

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

/// Stored `F32`, bit for bit.
pub(crate) fn f32_from_f32(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|&v| f32::from_le_bytes(v)).collect()
}

/// Stored `BF16`, bit for bit: a bf16 is the upper half of the f32 of the same value.
pub(crate) fn f32_from_bf16(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|&v| f32::from_bits(u32::from(u16::from_le_bytes(v)) << 16)).collect()
}

/// Stored `F16`, exact: every f16 has an f32 of the same value. NaN stays NaN.
pub(crate) fn f32_from_f16(bytes: &[u8]) -> Vec<f32> {
    // In blocks, since `half` uses the machine's conversion instructions only on slices.
    const BLOCK: usize = 1024;
    let (values, _) = bytes.as_chunks::<2>();
    let mut out = vec![0.0; values.len()];
    let mut block = [f16::ZERO; BLOCK];
    for (out, values) in out.chunks_mut(BLOCK).zip(values.chunks(BLOCK)) {
        let block = &mut block[..values.len()];
        for (half, &v) in block.iter_mut().zip(values) {
            *half = f16::from_le_bytes(v);
        }
        block.convert_to_f32_slice(out);
    }
    out
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
            let back: Vec<u32> = f32_from_f32(bytes).iter().map(|v| v.to_bits()).collect();
            assert_eq!(back, bits);
        });
    }

    #[test]
    fn bf16_is_the_upper_half() {
        // 0x3fc0 = 1.5; 0xc020 = -2.5; 0x0001 = 2^-133, the smallest subnormal; 0x7f80 = infinity.
        let bytes: Vec<u8> = [0x3fc0_u16, 0xc020, 0x0001, 0x7f80].iter().flat_map(|b| b.to_le_bytes()).collect();
        let expected = [1.5, -2.5, 2.0_f32.powi(-126) / 128.0, f32::INFINITY];
        at_every_alignment(&bytes, |bytes| assert_eq!(f32_from_bf16(bytes), expected));
    }

    #[test]
    fn f16_is_exact_for_all_65536_values() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        at_every_alignment(&bytes, |bytes| {
            for (bits, value) in (0..=u16::MAX).zip(f32_from_f16(bytes)) {
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
