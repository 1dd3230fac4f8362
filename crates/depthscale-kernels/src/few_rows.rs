//! Products of a few rows with a stored weight, on flex.
//!
//! Weights are read by all threads and from memory once, and multiplied with every row while they are in registers. flex's own
//! product packs both factors first, and takes one thread where rows are too few to be worth more to it.

use std::ops::Range;

use depthscale_types::WeightFormat;
use rayon::prelude::*;

use crate::lanes::{Lanes, Set, WithLanes};
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

/// Elements of x that are used for many outputs before the next: 24 KiB, so that a first cache has room for weights as well.
const KEPT: usize = 6 << 10;

/// Columns that are taken together are a multiple of so many: whole blocks, and whole cache lines in every format.
const COLUMNS: usize = 8 * WeightFormat::BLOCK;

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
        let (tasks, threads) = ((d_out * d_in).div_ceil(TASK), rayon::current_num_threads());
        // About as many for every thread, since the thread with one more would be waited for.
        let tasks = if tasks > threads { tasks.next_multiple_of(threads) } else { tasks };
        let outputs = d_out.div_ceil(tasks).next_multiple_of(O);
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
    /// Outputs go by in groups: what comes from memory meanwhile are the weights of the next, in the order in which they lie there,
    /// whatever the order of columns and rows here.
    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let Self { weight, tiles, d_out, .. } = self;
        let outputs = self.product[0].len();
        let row_bytes = weight.bytes(self.first..self.first + 1).len();
        // Every block of columns of x is read again for every group: the more blocks, the larger a group.
        let size = (tiles.len() * W::AHEAD / row_bytes).max(1).next_multiple_of(O);
        for start in (0..outputs).step_by(size) {
            let end = outputs.min(start + size);
            // Those of the next task, too, which most often comes next.
            let next = self.first + end;
            let next = weight.bytes(next..d_out.min(next + size));
            let mut chunks = next.chunks(next.len().div_ceil(tiles.len() * (end - start).div_ceil(O)).max(1));
            for tiles in tiles {
                for (at, tile) in tiles.iter().enumerate() {
                    for output in (start..end).step_by(O) {
                        // Other rows of x find them in the cache.
                        let next = if at == 0 { chunks.next() } else { None };
                        self.add(lanes, tile, at * R, output..end.min(output + O), next.unwrap_or_default());
                    }
                }
            }
        }
    }
}

impl<W: Weights, const O: usize, const R: usize> Part<'_, '_, W, O, R> {
    /// Adds the products of at most `O` outputs with a tile, which begins with this row.
    #[inline(always)]
    fn add<L: Lanes>(&mut self, lanes: L, tile: &Tile<R>, first_row: usize, outputs: Range<usize>, next: &[u8]) {
        let mut of_weight = [self.first + outputs.start; O];
        for (output, of_weight) in of_weight.iter_mut().enumerate() {
            // Past the last output, the last once more.
            *of_weight += output.min(outputs.len() - 1);
        }
        let dots: [[f32; R]; O] = self.weight.dots(lanes, of_weight, tile, next);
        for (row, product) in self.product[first_row..].iter_mut().take(R).enumerate() {
            for (product, dots) in product[outputs.clone()].iter_mut().zip(&dots) {
                *product += dots[row];
            }
        }
    }
}
