//! Rows of x side by side, and their sums of products with weights.

use crate::lanes::{LANES, Lanes};

/// Sixteen floats, where vectors of them are best read.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Floats(pub(crate) [f32; LANES]);

/// At most `R` rows of x; those that lack are zeros.
pub(crate) struct Tile<const R: usize> {
    /// Sixteen elements of every row, in the order of use.
    pub(crate) vectors: Vec<[Floats; R]>,
    /// What fills no vector.
    pub(crate) rest: Vec<[f32; R]>,
}

impl<const R: usize> Tile<R> {
    /// Of `[rows, in]`.
    pub(crate) fn new(x: &[f32], d_in: usize) -> Self {
        let mut vectors = vec![[Floats([0.0; LANES]); R]; d_in / LANES];
        let mut rest = vec![[0.0; R]; d_in % LANES];
        for (row, x) in x.chunks_exact(d_in).enumerate() {
            let (x, x_rest) = x.as_chunks();
            for (vectors, x) in vectors.iter_mut().zip(x) {
                vectors[row] = Floats(*x);
            }
            for (rest, x) in rest.iter_mut().zip(x_rest) {
                rest[row] = *x;
            }
        }
        Self { vectors, rest }
    }
}

/// Sums of products with `O` weights for each of `R` rows, sixteen apart.
///
/// They stay in registers only where loops over them are plain and bounds are constants: `array::map` and closures are not
/// inlined into code for other instructions.
pub(crate) struct Sums<L: Lanes, const O: usize, const R: usize>(pub(crate) [[L::Floats; R]; O]);

impl<L: Lanes, const O: usize, const R: usize> Sums<L, O, R> {
    #[inline(always)]
    pub(crate) fn new(lanes: L) -> Self {
        Self([[lanes.splat(0.0); R]; O])
    }

    /// Adds the products of sixteen elements of a weight with every row.
    #[inline(always)]
    pub(crate) fn add(&mut self, lanes: L, output: usize, weight: L::Floats, x: &[Floats; R]) {
        for (sum, x) in self.0[output].iter_mut().zip(x) {
            *sum = lanes.mul_add(weight, lanes.load(&x.0), *sum);
        }
    }

    /// The sum of every weight and row.
    #[inline(always)]
    pub(crate) fn total(self, lanes: L) -> [[f32; R]; O] {
        let mut totals = [[0.0; R]; O];
        for (totals, sums) in totals.iter_mut().zip(&self.0) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = lanes.sum(*sum);
            }
        }
        totals
    }
}
