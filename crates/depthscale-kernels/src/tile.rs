//! Rows of x side by side, and their sums of products with weights.

use std::ops::Range;

use crate::lanes::{LANES, Lanes};

/// Sixteen floats, where vectors of them are best read.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Floats(pub(crate) [f32; LANES]);

/// Some columns of at most `R` rows of x; rows that lack are zeros.
pub(crate) struct Tile<const R: usize> {
    /// The first of the columns.
    first: usize,
    /// Sixteen elements of every row, in the order of use.
    pub(crate) vectors: Vec<[Floats; R]>,
    /// What fills no vector.
    pub(crate) rest: Vec<[f32; R]>,
}

impl<const R: usize> Tile<R> {
    /// Of `[rows, in]`, at most `R` rows.
    pub(crate) fn new(x: &[f32], d_in: usize, columns: Range<usize>) -> Self {
        let zeros = if x.len() < R * d_in { vec![0.0; columns.len()] } else { Vec::new() };
        let parts: [(&[[f32; LANES]], &[f32]); R] = std::array::from_fn(|row| {
            let row = x.get(row * d_in..(row + 1) * d_in).map_or(&zeros[..], |row| &row[columns.clone()]);
            row.as_chunks()
        });
        let vectors = (0..columns.len() / LANES).map(|at| std::array::from_fn(|row| Floats(parts[row].0[at])));
        let rest = (0..columns.len() % LANES).map(|at| std::array::from_fn(|row| parts[row].1[at]));
        Self { first: columns.start, vectors: vectors.collect(), rest: rest.collect() }
    }

    #[inline(always)]
    pub(crate) fn columns(&self) -> Range<usize> {
        self.first..self.first + LANES * self.vectors.len() + self.rest.len()
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

    /// What all have together.
    #[inline(always)]
    pub(crate) fn added(self, lanes: L) -> L::Floats {
        let one = lanes.splat(1.0);
        let mut all = lanes.splat(0.0);
        for sum in self.0.as_flattened() {
            all = lanes.mul_add(*sum, one, all);
        }
        all
    }

    /// The sum of every weight and row.
    #[inline(always)]
    pub(crate) fn total(self, lanes: L) -> [[f32; R]; O] {
        let mut totals = [[0.0; R]; O];
        // A few are added up faster one by one.
        if O * R > LANES / 4 {
            let mut vectors = [lanes.splat(0.0); LANES];
            for (vector, sum) in vectors.iter_mut().zip(self.0.as_flattened()) {
                *vector = *sum;
            }
            let sums = lanes.sums(vectors);
            totals.as_flattened_mut().copy_from_slice(&sums[..O * R]);
            return totals;
        }
        for (totals, sums) in totals.iter_mut().zip(&self.0) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = lanes.sum(*sum);
            }
        }
        totals
    }
}
