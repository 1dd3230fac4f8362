//! From values to 16-bit floats and to codes with scales.

use depthscale_types::WeightFormat;
use half::f16;
use rayon::prelude::*;

use crate::groups::{Q4, Q8};
use crate::lanes::{LANES, from_f16};
use crate::vector::{ROUND, vectorised};

const BLOCK: usize = WeightFormat::BLOCK;

/// Rounds every element to 16 bits; returns the first that is infinite then, or not a number.
pub(super) fn halves(values: &[f32], codes: &mut [u8], round: impl Fn(f32) -> u16, exponent: u16) -> Option<usize> {
    let mut finite = true;
    for (code, &value) in codes.as_chunks_mut().0.iter_mut().zip(values) {
        let half = round(value);
        finite &= half & exponent != exponent;
        *code = half.to_le_bytes();
    }
    if finite { None } else { values.iter().position(|&value| round(value) & exponent == exponent) }
}

/// Blocks that are packed by one task.
const TASK: usize = 1 << 10;

/// Packs every block into `N` bytes; returns the first element of the first block that does not fit.
pub(super) fn blocks<const N: usize, P: PackBlock<N>>(
    values: &[f32],
    codes: &mut [u8],
    scales: &mut [u8],
) -> Option<usize> {
    let tasks =
        values.par_chunks(TASK * BLOCK).zip(codes.par_chunks_mut(TASK * N)).zip(scales.par_chunks_mut(TASK * 2));
    let failed = tasks.enumerate().filter_map(|(task, ((values, codes), scales))| {
        let failed = vectorised(
            #[inline(always)]
            || pack_some::<N, P>(values, codes, scales),
        );
        failed.map(|at| task * TASK * BLOCK + at)
    });
    failed.min()
}

/// Packs the blocks of a task; returns the first element of the first block that does not fit.
#[inline(always)]
fn pack_some<const N: usize, P: PackBlock<N>>(values: &[f32], codes: &mut [u8], scales: &mut [u8]) -> Option<usize> {
    let blocks = values.as_chunks().0.iter().zip(codes.as_chunks_mut().0).zip(scales.as_chunks_mut().0);
    for (at, ((values, codes), scale)) in blocks.enumerate() {
        match P::pack(values, codes) {
            Some(found) => *scale = found.to_le_bytes(),
            None => {
                let largest = (0..BLOCK).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
                return Some(at * BLOCK + largest.unwrap_or(0));
            }
        }
    }
    None
}

/// The nearest whole number, as [`ROUND`] finds it.
#[inline(always)]
fn round(x: f32) -> f32 {
    x + ROUND - ROUND
}

/// How a block is packed into `N` bytes. It is `#[inline(always)]`, to be compiled for the instructions of where it is called.
pub(super) trait PackBlock<const N: usize> {
    /// The scale, unless it is too large or a value is not finite.
    fn pack(values: &[f32; BLOCK], codes: &mut [u8; N]) -> Option<f16>;
}

impl PackBlock<32> for Q8 {
    #[inline(always)]
    fn pack(values: &[f32; BLOCK], codes: &mut [u8; 32]) -> Option<f16> {
        let (mut largest, mut finite) = (0.0f32, true);
        for value in values {
            largest = largest.max(value.abs());
            finite &= value.is_finite();
        }
        let scale = f16::from_f32(largest / 127.0);
        if !(scale.is_finite() && finite) {
            return None;
        }
        let inverse = inverse(scale);
        for (code, value) in codes.iter_mut().zip(values) {
            *code = (round((value * inverse).clamp(-127.0, 127.0)) as i32) as u8;
        }
        Some(scale)
    }
}

/// Where the largest magnitude of a `q4` block is brought to, among which the best is taken.
const ENDS: [f32; 6] = [-7.0, -7.5, -8.0, -8.5, -9.0, -10.0];

impl PackBlock<16> for Q4 {
    #[inline(always)]
    fn pack(values: &[f32; BLOCK], codes: &mut [u8; 16]) -> Option<f16> {
        let (mut largest, mut finite) = (0.0f32, true);
        for &value in values {
            largest = if value.abs() > largest.abs() { value } else { largest };
            finite &= value.is_finite();
        }
        if !(f16::from_f32(largest / 7.0).is_finite() && finite) {
            return None;
        }
        let mut best = (f32::INFINITY, f16::ZERO);
        for end in ENDS {
            // The scale with the least error for the codes that this end gives.
            let first = codes_of(values, inverse(f16::from_f32(largest / end)));
            let square = sum_of(&first, &first, |a, b| a * b);
            let scale = if square > 0.0 { sum_of(&first, values, |a, b| a * b) / square } else { 0.0 };
            let scale = f16::from_f32(scale);
            let (codes, by) = (codes_of(values, inverse(scale)), from_f16(scale.to_le_bytes()));
            let error = sum_of(&codes, values, |code, value| (code * by - value) * (code * by - value));
            // The best scale of the largest magnitudes may be just too large.
            if scale.is_finite() && error < best.0 {
                best = (error, scale);
            }
        }
        if best.0 == f32::INFINITY {
            return None;
        }
        let scale = best.1;
        let found = codes_of(values, inverse(scale));
        for (at, code) in codes.iter_mut().enumerate() {
            *code = (found[at] as i32 + 8) as u8 | ((found[at + 16] as i32 + 8) as u8) << 4;
        }
        Some(scale)
    }
}

/// The sum of what is made of every two elements.
#[inline(always)]
fn sum_of(a: &[f32; BLOCK], b: &[f32; BLOCK], make: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += make(a[lane], b[lane]);
        }
    }
    // In halves, since one sum after the other would have to wait for the last.
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// The nearest of -8 to 7 for each.
#[inline(always)]
fn codes_of(values: &[f32; BLOCK], inverse: f32) -> [f32; BLOCK] {
    let mut codes = [0.0; BLOCK];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = round((value * inverse).clamp(-8.0, 7.0));
    }
    codes
}

#[inline(always)]
fn inverse(scale: f16) -> f32 {
    let scale = from_f16(scale.to_le_bytes());
    if scale == 0.0 { 0.0 } else { scale.recip() }
}
