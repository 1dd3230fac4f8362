//! Products of a few rows with a stored weight, on flex.
//!
//! Weights are read by all threads and from memory once, and multiplied with every row while they are in registers. flex's own
//! product packs both factors first, and takes one thread where rows are too few to be worth more to it.

use depthscale_types::WeightFormat;
use rayon::prelude::*;

use crate::ahead::Next;
use crate::lanes::{LANES, Lanes, Set, WithLanes};
use crate::tile::Tile;
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

/// Elements of x that are used for many outputs before the next: 32 KiB, about what a first cache holds, for they are read again
/// for every few outputs.
const KEPT: usize = 8 << 10;

/// Columns that are taken together are a multiple of so many: whole blocks, whose scales are whole vectors.
const COLUMNS: usize = WeightFormat::BLOCK * LANES;

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
        let at_once = d_in.div_ceil((R * d_in).div_ceil(KEPT)).next_multiple_of(COLUMNS);
        let tiles: Vec<Vec<Tile<R>>> = (0..d_in)
            .step_by(at_once)
            .map(|first| first..d_in.min(first + at_once))
            .map(|columns| x.chunks(R * d_in).map(|x| Tile::new(x, d_in, columns.clone())).collect())
            .collect();
        let outputs = (TASK / d_in).max(1).next_multiple_of(O);
        let mut product = vec![0.0; rows * d_out];
        // Those of every row for each task.
        let mut of_rows: Vec<_> = product.chunks_exact_mut(d_out).map(|row| row.chunks_mut(outputs)).collect();
        let tasks = d_out.div_ceil(outputs);
        let mut pieces: Vec<&mut [f32]> = Vec::with_capacity(tasks * rows);
        for _ in 0..tasks {
            pieces.extend(of_rows.iter_mut().filter_map(Iterator::next));
        }
        let part = |(at, product): (usize, &mut [&mut [f32]])| {
            set.run(Part::<W, O, R> { product, weight, first: at * outputs, d_out, tiles: &tiles });
        };
        match tasks {
            1 => part((0, &mut pieces)),
            _ => pieces.par_chunks_mut(rows).enumerate().for_each(part),
        }
        product
    }
}

/// Some outputs for all rows.
struct Part<'a, 'p, W, const O: usize, const R: usize> {
    /// Of every row.
    product: &'a mut [&'p mut [f32]],
    weight: W,
    /// The first of the outputs.
    first: usize,
    /// Outputs of the whole weight.
    d_out: usize,
    /// By columns, then rows.
    tiles: &'a [Vec<Tile<R>>],
}

impl<W: Weights, const O: usize, const R: usize> WithLanes for Part<'_, '_, W, O, R> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { product, weight, first, d_out, tiles } = self;
        let outputs = product[0].len();
        for tiles in tiles {
            let columns = tiles[0].columns();
            let ahead = AHEAD.div_ceil(O * weight.bytes(0..1, columns.clone()).length) * O;
            for (group, (tile, product)) in tiles.iter().zip(product.chunks_mut(R)).enumerate() {
                for at in (0..outputs).step_by(O) {
                    let n = O.min(outputs - at);
                    let mut of_weight = [first + at; O];
                    for (output, row) in of_weight.iter_mut().enumerate() {
                        // Past the last output, the last once more.
                        *row += output.min(n - 1);
                    }
                    // Those of the next task, too, which most often comes next. Other rows of x find them in the cache.
                    let next = first + at + ahead;
                    let next = if group == 0 && next < d_out {
                        weight.bytes(next..d_out.min(next + O), columns.clone())
                    } else {
                        Next::NOTHING
                    };
                    let dots: [[f32; R]; O] = weight.dots(lanes, of_weight, tile, next);
                    for (row, product) in product.iter_mut().enumerate() {
                        for (product, dots) in product[at..at + n].iter_mut().zip(&dots) {
                            *product += dots[row];
                        }
                    }
                }
            }
        }
    }
}
