//! Products of a few rows with a stored weight, on flex.
//!
//! Weights are read by all threads, in their order and once, and multiplied with every row while they are in registers. flex's own
//! product packs both factors first, and takes one thread where rows are too few to be worth more to it.

use rayon::prelude::*;

use crate::lanes::{Lanes, Set, WithLanes};
use crate::tile::Tile;
use crate::turn::by_row;
use crate::weights::Weights;

/// Elements of weight that are worth a task of their own: about 20 microseconds of reading.
const TASK: usize = 1 << 16;

/// `x w^T`, as `[rows, out]`.
pub(crate) fn multiply<W: Weights>(set: Set, weight: W, d_out: usize, x: &[f32], d_in: usize) -> Vec<f32> {
    let product = Product { set, weight, d_out, x, d_in };
    // Sums of sixteen for each output and row: as many as registers hold, beside weights and x.
    match (x.len() / d_in, set.is_wide()) {
        (1, _) => product.by_tiles::<4, 1>(),
        (2, true) => product.by_tiles::<4, 2>(),
        (2, false) => product.by_tiles::<2, 2>(),
        (3..=4, true) => product.by_tiles::<2, 4>(),
        (_, true) => product.by_tiles::<2, 8>(),
        (_, false) => product.by_tiles::<1, 4>(),
    }
}

/// Bytes of weight between what is computed and what is fetched, for memory takes its time to answer; found by measuring.
const AHEAD: usize = 1 << 12;

struct Product<'a, W> {
    set: Set,
    weight: W,
    d_out: usize,
    /// `[rows, in]`.
    x: &'a [f32],
    d_in: usize,
}

impl<W: Weights> Product<'_, W> {
    /// `O` outputs for `R` rows at a time.
    fn by_tiles<const O: usize, const R: usize>(self) -> Vec<f32> {
        let Self { set, weight, d_out, x, d_in } = self;
        let rows = x.len() / d_in;
        let tiles: Vec<Tile<R>> = x.chunks(R * d_in).map(|x| Tile::new(x, d_in)).collect();
        let outputs = (TASK / d_in).max(1).next_multiple_of(O);
        let mut product = vec![0.0; d_out * rows];
        let part = |(at, product)| {
            set.run(Part::<W, O, R> { product, weight, first: at * outputs, d_out, tiles: &tiles, rows });
        };
        if d_out <= outputs {
            part((0, &mut product[..]));
        } else {
            product.par_chunks_mut(outputs * rows).enumerate().for_each(part);
        }
        if rows == 1 { product } else { by_row(&product, rows, rows) }
    }
}

/// Some outputs for all rows.
struct Part<'a, W, const O: usize, const R: usize> {
    /// `[out, rows]`.
    product: &'a mut [f32],
    weight: W,
    /// The first of the outputs.
    first: usize,
    /// Outputs of the whole weight.
    d_out: usize,
    tiles: &'a [Tile<R>],
    rows: usize,
}

impl<W: Weights, const O: usize, const R: usize> WithLanes for Part<'_, W, O, R> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { product, weight, first, d_out, tiles, rows } = self;
        let ahead = AHEAD.div_ceil(O * weight.bytes(0..1).len()) * O;
        for (tile, column) in tiles.iter().zip((0..rows).step_by(R)) {
            for (at, product) in product.chunks_mut(O * rows).enumerate() {
                let (start, n) = (first + at * O, product.len() / rows);
                // Those of the next task, too, which most often comes next. Other rows of x find them in the cache.
                let next = |after: usize| if column == 0 { (start + ahead + after).min(d_out) } else { 0 };
                let mut outputs = [start; O];
                for (output, row) in outputs.iter_mut().enumerate() {
                    // Past the last output, the last once more.
                    *row += output.min(n - 1);
                }
                let dots: [[f32; R]; O] = weight.dots(lanes, outputs, tile, weight.bytes(next(0)..next(O)));
                for (product, dots) in product.chunks_exact_mut(rows).zip(dots) {
                    let product = &mut product[column..rows.min(column + R)];
                    product.copy_from_slice(&dots[..product.len()]);
                }
            }
        }
    }
}
