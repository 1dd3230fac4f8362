//! Rows of x in fixed point: whole numbers of 16 bits, with a scale for every 32 elements.

use depthscale_types::WeightFormat;

use crate::lanes::{LANES, Lanes};
use crate::vnni::Vnni;

const BLOCK: usize = WeightFormat::BLOCK;

/// The largest number: the nearest multiple of 256 is 127 of them, and what is left fits a signed byte, too.
const LARGEST: f32 = 32_639.0;

/// Blocks whose largest magnitude is below this count as zeros, well before the inverse of their scale is infinite.
const SMALLEST: f32 = 1e-30;

/// 32 elements of `R` rows.
#[derive(Clone, Copy)]
// Kept within as few cache lines as can be.
#[repr(align(64))]
pub(crate) struct Fixed<const R: usize> {
    /// The high bytes: a number is `256 high + low`.
    pub(crate) high: [[i8; BLOCK]; R],
    /// What is left, from -128 to 127.
    pub(crate) low: [[i8; BLOCK]; R],
    /// A row's numbers times `more`: by so much are products with codes too large that are `more` too large.
    pub(crate) excess: [i32; R],
    /// What a number of 1 is worth; NaN where an element is not finite.
    pub(crate) scale: [f32; R],
}

impl<const R: usize> Fixed<R> {
    /// At most `R` rows, `[rows, in]`; rows that lack are zeros. They are to be multiplied with numbers that are `more` too large.
    pub(crate) fn rows(vnni: Vnni, x: &[f32], d_in: usize, more: i32) -> Vec<Self> {
        vnni.run(Rows { vnni, x, d_in, more })
    }
}

/// [`Fixed::rows`].
struct Rows<'a, const R: usize> {
    vnni: Vnni,
    x: &'a [f32],
    d_in: usize,
    more: i32,
}

impl<const R: usize> pulp::NullaryFnOnce for Rows<'_, R> {
    type Output = Vec<Fixed<R>>;

    #[inline(always)]
    fn call(self) -> Vec<Fixed<R>> {
        let Self { vnni, x, d_in, more } = self;
        let mut rows: [&[[f32; BLOCK]]; R] = [&[]; R];
        for (row, x) in rows.iter_mut().zip(x.chunks_exact(d_in)) {
            *row = x.as_chunks().0;
        }
        let mut blocks = Vec::with_capacity(d_in / BLOCK);
        for at in 0..d_in / BLOCK {
            let mut block = Fixed { high: [[0; BLOCK]; R], low: [[0; BLOCK]; R], excess: [0; R], scale: [0.0; R] };
            for (row, x) in rows.iter().enumerate() {
                if let Some(x) = x.get(at) {
                    block.set(vnni, row, x, more);
                }
            }
            blocks.push(block);
        }
        blocks
    }
}

impl<const R: usize> Fixed<R> {
    #[inline(always)]
    fn set(&mut self, vnni: Vnni, row: usize, x: &[f32; BLOCK], more: i32) {
        let [first, last]: [[f32; LANES]; 2] = pulp::cast(*x);
        let x = [vnni.floats.load(&first), vnni.floats.load(&last)];
        let largest = vnni.largest_magnitude(x);
        let inverse = vnni.floats.splat(if largest < SMALLEST { 0.0 } else { LARGEST / largest });
        let mut sum = vnni.zeros();
        let high = self.high[row].as_chunks_mut().0.iter_mut().zip(self.low[row].as_chunks_mut().0);
        // Numbers of what is not finite may be any: the scale tells.
        for ((high, low), x) in high.zip(x) {
            let number = vnni.nearest(vnni.floats.mul(x, inverse));
            let nearest = vnni.over_256(number);
            *high = vnni.lowest_bytes(nearest);
            *low = vnni.lowest_bytes(vnni.subtract(number, vnni.times_256(nearest)));
            sum = vnni.add(sum, number);
        }
        self.excess[row] = more.wrapping_mul(vnni.sum(sum));
        self.scale[row] = if largest.is_finite() { largest / LARGEST } else { f32::NAN };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value<const R: usize>(block: &Fixed<R>, row: usize, at: usize) -> f32 {
        (f32::from(block.high[row][at]) * 256.0 + f32::from(block.low[row][at])) * block.scale[row]
    }

    proptest! {
        #[test]
        fn elements_move_by_a_part_of_the_largest(
            x in prop::collection::vec(-1.0f32..1.0, 3 * 64),
            power in -20i32..25,
        ) {
            let x: Vec<f32> = x.into_iter().map(|x| x * 10f32.powi(power)).collect();
            let Some(vnni) = Vnni::try_new() else { return Ok(()) };
            let blocks = Fixed::<4>::rows(vnni, &x, 64, 8);
            prop_assert_eq!(blocks.len(), 2);
            for (row, x) in x.chunks(64).enumerate() {
                for (block, x) in blocks.iter().zip(x.chunks(BLOCK)) {
                    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                    let mut sum = 0;
                    for (at, x) in x.iter().enumerate() {
                        prop_assert!((value(block, row, at) - x).abs() <= largest / 64_000.0);
                        sum += 256 * i32::from(block.high[row][at]) + i32::from(block.low[row][at]);
                    }
                    prop_assert_eq!(8 * sum, block.excess[row]);
                    prop_assert_eq!(block.scale[3], 0.0);
                }
            }
        }
    }

    #[test]
    fn the_largest_magnitudes_fit() {
        let Some(vnni) = Vnni::try_new() else { return };
        let x: [f32; BLOCK] = std::array::from_fn(|at| if at % 2 == 0 { 3.0 } else { -3.0 });
        let [block] = Fixed::<1>::rows(vnni, &x, BLOCK, 8)[..] else { panic!("one block") };
        assert!((0..BLOCK).all(|at| (value(&block, 0, at) - x[at]).abs() < 1e-6));
    }

    #[test]
    fn the_smallest_become_zeros_and_what_is_not_finite_is_told() {
        let Some(vnni) = Vnni::try_new() else { return };
        let rows = |element: f32| {
            let mut x = [0.0; BLOCK];
            x[7] = element;
            let [block] = Fixed::<1>::rows(vnni, &x, BLOCK, 8)[..] else { panic!("one block") };
            block
        };
        for element in [0.0, -0.0, 1e-38, f32::from_bits(1)] {
            let block = rows(element);
            assert!((0..BLOCK).all(|at| value(&block, 0, at) == 0.0), "{element}");
        }
        for element in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(rows(element).scale[0].is_nan(), "{element}");
        }
        let block = rows(f32::MAX);
        assert!(block.scale[0].is_finite() && (value(&block, 0, 7) / f32::MAX - 1.0).abs() < 1e-6);
    }
}
