//! Products of many rows with a stored weight, on flex.
//!
//! Rows of x are turned once, so that a vector holds one element of sixteen rows; weights are read as they lie, an element at a
//! time for a vector of rows. flex's own product turns the weight, too, on one thread, which for widths of a power of two takes
//! as long as the product itself, and has no weights in fewer bits.

use rayon::prelude::*;

use crate::lanes::{LANES, Lanes, Set, WithLanes};
use crate::turn::by_row;
use crate::weights::Weights;

/// Vectors of rows that are summed together where there are 32 registers: with six outputs their 24 sums, four vectors of x and
/// an element of weight.
const VECTORS: usize = 4;
/// Rows of a panel of x.
const ROWS: usize = VECTORS * LANES;
/// Elements of a row that are summed in one go: of them a panel takes half a megabyte, which the caches of a core hold.
const DEPTH: usize = 2048;
/// Elements of weight of a task: a quarter of a megabyte as f32.
const TASK: usize = 1 << 16;
/// Outputs of a task are whole tiles of any size.
const OUTPUTS: usize = 12;

/// `x w^T`, as `[rows, out]`.
pub(crate) fn multiply<W: Weights>(set: Set, weight: W, d_out: usize, x: &[f32], d_in: usize) -> Vec<f32> {
    let rows = x.len() / d_in;
    let x = turned(x, d_in);
    let columns = rows.next_multiple_of(LANES);
    let outputs = (TASK / d_in).max(1).next_multiple_of(OUTPUTS);
    // [out, rows]
    let mut product = vec![0.0; d_out * columns];
    product.par_chunks_mut(outputs * columns).enumerate().for_each(|(at, product)| {
        set.run(Part { product, weight, first: at * outputs, x: &x, d_in, columns });
    });
    by_row(&product, rows, columns)
}

/// `[rows, in]` as panels of at most [`ROWS`] rows, `[in, rows]` each; past the last row, zeros up to a whole vector.
fn turned(x: &[f32], d_in: usize) -> Vec<f32> {
    let rows = x.len() / d_in;
    let mut panels = vec![0.0; rows.next_multiple_of(LANES) * d_in];
    panels.par_chunks_mut(ROWS * d_in).zip(x.par_chunks(ROWS * d_in)).for_each(|(panel, x)| {
        let columns = panel.len() / d_in;
        // A cache line of every row at a time: rows of a width that is a power of two push one another out of the cache.
        for start in (0..d_in).step_by(LANES) {
            let end = d_in.min(start + LANES);
            for (row, x) in x.chunks_exact(d_in).enumerate() {
                for (element, value) in
                    panel[start * columns..].iter_mut().skip(row).step_by(columns).zip(&x[start..end])
                {
                    *element = *value;
                }
            }
        }
    });
    panels
}

/// Some outputs for all rows.
struct Part<'a, W> {
    /// `[out, columns]`.
    product: &'a mut [f32],
    weight: W,
    /// The first of the outputs.
    first: usize,
    /// Panels, see [`turned`].
    x: &'a [f32],
    d_in: usize,
    columns: usize,
}

impl<W: Weights> WithLanes for Part<'_, W> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { product, weight, first, x, d_in, columns } = self;
        let mut space = Vec::new();
        let weight = weight.rows(lanes, first..first + product.len() / columns, &mut space);
        for (panel, first) in x.chunks(ROWS * d_in).zip((0..).step_by(ROWS)) {
            let rows = panel.len() / d_in;
            for start in (0..d_in).step_by(DEPTH) {
                let depth = start..d_in.min(start + DEPTH);
                let tile = Tile { weight, d_in, x: &panel[depth.start * rows..depth.end * rows], start, rows };
                if !L::WIDE {
                    // Vectors are two registers each, of which there are sixteen.
                    (0..rows)
                        .step_by(LANES)
                        .for_each(|at| tile.multiply::<L, 6, 1>(lanes, product, columns, first, at));
                    continue;
                }
                match rows / LANES {
                    4 => tile.multiply::<L, 6, 4>(lanes, product, columns, first, 0),
                    3 => tile.multiply::<L, 6, 3>(lanes, product, columns, first, 0),
                    2 => tile.multiply::<L, 12, 2>(lanes, product, columns, first, 0),
                    _ => tile.multiply::<L, 12, 1>(lanes, product, columns, first, 0),
                }
            }
        }
    }
}

/// Some elements of a panel of x and of all rows of the weights.
struct Tile<'a> {
    /// `[out, in]`.
    weight: &'a [f32],
    d_in: usize,
    /// `[depth, rows]`.
    x: &'a [f32],
    /// The first element.
    start: usize,
    rows: usize,
}

impl Tile<'_> {
    /// All outputs, `O` at a time, for `V` vectors of the panel's rows from `at` on, added to the columns of the panel.
    #[inline(always)]
    fn multiply<L: Lanes, const O: usize, const V: usize>(
        &self,
        lanes: L,
        product: &mut [f32],
        columns: usize,
        first: usize,
        at: usize,
    ) {
        let depth = self.x.len() / self.rows;
        for (product, weight) in product.chunks_mut(O * columns).zip(self.weight.chunks(O * self.d_in)) {
            let n = product.len() / columns;
            // Past the last output, the last once more.
            let weight: [&[f32]; O] =
                std::array::from_fn(|output| &weight[output.min(n - 1) * self.d_in + self.start..][..depth]);
            let mut sums = [[lanes.splat(0.0); V]; O];
            for (element, x) in self.x.chunks_exact(self.rows).enumerate() {
                let x: &[[f32; LANES]] = x[at..at + V * LANES].as_chunks().0;
                let x: [L::Floats; V] = std::array::from_fn(|vector| lanes.load(&x[vector]));
                for output in 0..O {
                    let weight = lanes.splat(weight[output][element]);
                    for vector in 0..V {
                        sums[output][vector] = lanes.mul_add(weight, x[vector], sums[output][vector]);
                    }
                }
            }
            let one = lanes.splat(1.0);
            for (product, sums) in product.chunks_exact_mut(columns).zip(sums) {
                let product = &mut product[first + at..first + at + V * LANES];
                for (product, sum) in product.as_chunks_mut().0.iter_mut().zip(sums) {
                    *product = lanes.store(lanes.mul_add(sum, one, lanes.load(product)));
                }
            }
        }
    }
}
