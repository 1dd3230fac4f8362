//! Loops over rows on all threads, compiled for the widest vectors the machine has.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

/// Elements worth a task of their own.
const TASK: usize = 1 << 14;

/// Rows of a task, for rows of so many elements. It depends on the shape alone, so that sums over tasks do not depend on
/// the number of threads.
pub(crate) fn task_rows(columns: usize) -> usize {
    (TASK / columns.max(1)).max(1)
}

/// Does some work, compiled for the widest vectors.
///
/// The closure is marked `#[inline(always)]`, and so is what it calls, down to the loops: only what is inlined here is compiled for
/// them. A closure given to [`Arch::dispatch`] itself is called through another function, and is not.
pub(crate) fn vectorised<R>(work: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Work(work))
}

struct Work<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Work<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}

/// Fills `output` in pieces of `piece` elements; `fill` is given a piece's index, and is marked as [`vectorised`] wants it.
pub(crate) fn fill_pieces<T: Send>(output: &mut [T], piece: usize, fill: impl Fn(usize, &mut [T]) + Sync) {
    let fill = |(at, piece): (usize, &mut [T])| {
        vectorised(
            #[inline(always)]
            || fill(at, piece),
        )
    };
    if output.len() <= piece {
        return fill((0, output));
    }
    output.par_chunks_mut(piece).enumerate().for_each(fill);
}

/// Fills rows of `columns` elements; `fill` is given a row's index, and is marked as [`vectorised`] wants it.
pub(crate) fn fill_rows(output: &mut [f32], columns: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = task_rows(columns);
    fill_pieces(
        output,
        rows * columns,
        #[inline(always)]
        |at, piece| {
            for (row, values) in piece.chunks_exact_mut(columns).enumerate() {
                fill(at * rows + row, values);
            }
        },
    );
}

/// [`fill_pieces`] for two outputs whose pieces, of so many elements each, belong together.
pub(crate) fn fill_both<T: Send, U: Send>(
    (first, first_piece): (&mut [T], usize),
    (second, second_piece): (&mut [U], usize),
    fill: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let fill = |(at, (first, second)): (usize, (&mut [T], &mut [U]))| {
        vectorised(
            #[inline(always)]
            || fill(at, first, second),
        )
    };
    if first.len() <= first_piece {
        return fill((0, (first, second)));
    }
    first.par_chunks_mut(first_piece).zip(second.par_chunks_mut(second_piece)).enumerate().for_each(fill);
}

/// Added and subtracted, it rounds to the nearest whole number, the even one of two, below 2^22; that number is in the last bits of
/// the sum. Where machines have no instruction for it the standard library's takes a call, and casts look for what is not a number,
/// one lane after the other.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// `e^x`, within 2 units in the last place; 0 below -87.3 and bounded above 88, in operations that vectorise.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let bounded = x.clamp(-87.3, 88.0);
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    // ln 2 in two parts, so that the product with n is exact to more than f32.
    let r = bounded - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = p * r + coefficient;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    let value = (p * r * r + r + 1.0) * power;
    if x < -87.3 { 0.0 } else { value }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `sum_i a_i b_i` in independent lanes.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `y <- y + a x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_f64() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found - expected).abs() <= 2.5e-7 * expected, "{x}: {found} {expected}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1000.0).is_finite() && exp(f32::NAN).is_nan());
    }

    #[test]
    fn lanes_add_up() {
        let a: Vec<f32> = (0..37).map(|i| i as f32).collect();
        let b = vec![2.0; 37];
        assert_eq!(dot(&a, &b), 36.0 * 37.0);
        let mut y = b.clone();
        add_scaled(&mut y, 0.5, &a);
        assert_eq!((y[0], y[36]), (2.0, 20.0));
    }
}
