//! Products of a few rows with a stored weight, on flex.
//!
//! The weight is read by all threads and in its order, the sums of some outputs for some rows are held in registers. flex's own
//! product packs both factors first, and takes one thread where rows are too few to be worth more to it.

use pulp::Simd;
use rayon::prelude::*;

use crate::lanes::{Lanes, WithLanes, dispatch, prefetch};
use crate::weights::Weights;

/// Elements of weight that are worth a task of their own: about 20 microseconds of reading.
const TASK: usize = 1 << 16;

/// Outputs that are summed together. With four rows their twelve sums, three weights and a value of x fill the 16 registers
/// of AVX2.
const OUTPUTS: usize = 3;
/// Rows that are summed together; twice as many where there are 32 registers.
const ROWS: usize = 4;

/// Bytes that memory gives at once.
const CACHE_LINE: usize = 64;

/// `x w^T`, as `[rows, out]`.
pub(crate) fn multiply<W: Weights>(weight: W, d_out: usize, x: &[f32], d_in: usize) -> Vec<f32> {
    let rows = x.len() / d_in;
    let mut product = vec![0.0; d_out * rows];
    let outputs = (TASK / d_in).max(1).next_multiple_of(OUTPUTS);
    let part = |(at, product)| dispatch(Part { product, weight, first: at * outputs, d_out, x, d_in, rows });
    if d_out <= outputs {
        part((0, &mut product[..]));
    } else {
        product.par_chunks_mut(outputs * rows).enumerate().for_each(part);
    }
    by_row(product, rows)
}

/// `[out, rows]` turned to `[rows, out]`.
fn by_row(product: Vec<f32>, rows: usize) -> Vec<f32> {
    if rows == 1 {
        return product;
    }
    let d_out = product.len() / rows;
    let mut turned = vec![0.0; product.len()];
    let fill = |(row, turned): (usize, &mut [f32])| {
        for (value, of_output) in turned.iter_mut().zip(product.chunks_exact(rows)) {
            *value = of_output[row];
        }
    };
    if product.len() <= TASK {
        turned.chunks_exact_mut(d_out).enumerate().for_each(fill);
    } else {
        turned.par_chunks_exact_mut(d_out).enumerate().for_each(fill);
    }
    turned
}

/// Some outputs for all rows.
struct Part<'a, W> {
    /// `[out, rows]`.
    product: &'a mut [f32],
    weight: W,
    /// The first of the outputs.
    first: usize,
    /// Outputs of the whole weight.
    d_out: usize,
    /// `[rows, in]`.
    x: &'a [f32],
    d_in: usize,
    rows: usize,
}

impl<W: Weights> WithLanes for Part<'_, W> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let rows = self.rows;
        if rows == 1 {
            let Self { product, weight, first, x, .. } = self;
            // As fast as memory is read: nothing is gained by more outputs at once.
            for (at, value) in product.iter_mut().enumerate() {
                *value = weight.dot(lanes, first + at, x);
            }
            return;
        }
        if rows > ROWS && L::WIDE {
            self.by_tiles::<L, { 2 * ROWS }>(lanes);
        } else {
            self.by_tiles::<L, ROWS>(lanes);
        }
    }
}

impl<W: Weights> Part<'_, W> {
    /// All outputs for all rows, `R` rows at a time.
    #[inline(always)]
    fn by_tiles<L: Lanes, const R: usize>(self, lanes: L) {
        let Self { product, weight, first, d_out, x, d_in, rows } = self;
        let simd = lanes.simd();
        let tiles: Vec<Tile<L::Simd, R>> = x.chunks(R * d_in).map(|x| Tile::new(simd, x, d_in)).collect();
        let end = first + product.len() / rows;
        let mut space = Vec::new();
        for (at, product) in product.chunks_mut(OUTPUTS * rows).enumerate() {
            let outputs = first + at * OUTPUTS..end.min(first + (at + 1) * OUTPUTS);
            // Those of the next task, too, which most often comes next; none at the end.
            let mut next = weight.bytes(outputs.end..(outputs.end + OUTPUTS).min(d_out));
            let panel = weight.rows(lanes, outputs, &mut space);
            for (tile, column) in tiles.iter().zip((0..rows).step_by(R)) {
                match panel.len() / d_in {
                    3 => tile.multiply::<3>(simd, panel, product, column, next),
                    2 => tile.multiply::<2>(simd, panel, product, column, next),
                    _ => tile.multiply::<1>(simd, panel, product, column, next),
                }
                next = &[];
            }
        }
    }
}

/// At most `R` rows of x; those that lack are zeros.
struct Tile<S: Simd, const R: usize> {
    /// Vectors of all rows, beside one another in the order of use, and aligned.
    vectors: Vec<[S::f32s; R]>,
    /// What fills no vector.
    rest: Vec<[f32; R]>,
    rows: usize,
}

impl<S: Simd, const R: usize> Tile<S, R> {
    #[inline(always)]
    fn new(simd: S, x: &[f32], d_in: usize) -> Self {
        let rows = x.len() / d_in;
        let split = |row: usize| S::as_simd_f32s(&x[row.min(rows - 1) * d_in..][..d_in]);
        let parts: [_; R] = std::array::from_fn(split);
        let zero = simd.splat_f32s(0.0);
        let vector = |at: usize| std::array::from_fn(|row| if row < rows { parts[row].0[at] } else { zero });
        let single = |at: usize| std::array::from_fn(|row| if row < rows { parts[row].1[at] } else { 0.0 });
        Self {
            vectors: (0..parts[0].0.len()).map(vector).collect(),
            rest: (0..parts[0].1.len()).map(single).collect(),
            rows,
        }
    }

    /// `O` outputs for all rows, written to the columns from `first` on. Meanwhile the bytes that come next are fetched:
    /// memory and processor work at the same time.
    #[inline(always)]
    fn multiply<const O: usize>(&self, simd: S, weight: &[f32], product: &mut [f32], first: usize, next: &[u8]) {
        let (columns, d_in) = (product.len() / O, weight.len() / O);
        let parts: [_; O] = std::array::from_fn(|output| S::as_simd_f32s(&weight[output * d_in..][..d_in]));
        // Of one length, so that no index below is checked.
        let vectors: [&[S::f32s]; O] = parts.map(|(vectors, _)| &vectors[..self.vectors.len()]);
        let mut sums = [[simd.splat_f32s(0.0); R]; O];
        let step = next.len() / self.vectors.len().max(1);
        for (at, x) in self.vectors.iter().enumerate() {
            for byte in (at * step..(at + 1) * step).step_by(CACHE_LINE) {
                prefetch(next, byte);
            }
            let weight: [S::f32s; O] = std::array::from_fn(|output| vectors[output][at]);
            for row in 0..R {
                for output in 0..O {
                    sums[output][row] = simd.mul_add_e_f32s(weight[output], x[row], sums[output][row]);
                }
            }
        }
        for output in 0..O {
            for row in 0..self.rows {
                let rest: f32 = parts[output].1.iter().zip(&self.rest).map(|(weight, x)| weight * x[row]).sum();
                product[output * columns + first + row] = simd.reduce_sum_f32s(sums[output][row]) + rest;
            }
        }
    }
}
