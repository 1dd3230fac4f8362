//! Products of a few rows with stored weights that are numbers by themselves, on flex.
//!
//! Weights are read by all threads and from memory once, and multiplied with every row while they are in registers. flex's own
//! product packs both factors first, and takes one thread where rows are too few to be worth more to it.
//!
//! Weights that are multiplied with the same rows are shared among threads as if they were one, their outputs one after the
//! other: threads wait for one another once for all of them, which with small weights is a good part of the time.

use std::ops::Range;

use crate::cut::{Piece, Space, share};
use crate::lanes::{Lanes, Set, WithLanes};
use crate::tile::Tile;
use crate::weights::{AnyWeights, Dots, WithWeights};

/// `x w^T` of every weight, as `[rows, out]`.
pub(crate) fn multiply(set: Set, weights: &[AnyWeights<'_>], x: &[f32], d_in: usize) -> Vec<Vec<f32>> {
    let rows = x.len() / d_in;
    let factors = Factors { set, weights, x, d_in };
    // Sums of sixteen for each output and row: as many as registers hold, beside weights and x.
    match (rows, set.is_wide()) {
        (1, _) if d_in <= SHORT => factors.one_by_one(),
        (1, _) => factors.by_tiles::<4, 1>(),
        (2, true) => factors.by_tiles::<4, 2>(),
        (2, false) => factors.by_tiles::<2, 2>(),
        (3..=4, true) => factors.by_tiles::<2, 4>(),
        (_, true) => factors.by_tiles::<2, 8>(),
        (_, false) => factors.by_tiles::<1, 4>(),
    }
}

/// Up to so many columns a single row is multiplied with one output after the other. Longer ones are better read from the first cache
/// for several outputs than in the order in which memory gives most: weights of 16 bits take less time from 2048 on then, of 32 from
/// 5632; found by measuring.
const SHORT: usize = 1 << 10;

/// Elements of x that are used for many outputs before the next: 24 KiB, so that a first cache has room for weights as well.
const KEPT: usize = 6 << 10;

/// Columns that are taken together are a multiple of so many: whole cache lines in every format.
const COLUMNS: usize = 256;

/// Bytes, for every block of columns, that are computed with while as many are fetched, for memory takes its time to answer; found
/// by measuring.
const AHEAD: usize = 1 << 14;

struct Factors<'a> {
    set: Set,
    weights: &'a [AnyWeights<'a>],
    /// `[rows, in]`.
    x: &'a [f32],
    d_in: usize,
}

impl Factors<'_> {
    /// Outputs one after the other, for a short single row: weights are read in the order in which they lie.
    fn one_by_one(self) -> Vec<Vec<f32>> {
        let Self { set, weights, x, d_in } = self;
        let x = Tile::new(x, d_in, 0..d_in);
        let d_outs = weights.iter().map(|weight| weight.d_out());
        share(d_outs, 1, d_in, 1, |Piece { product: at, first, outputs }| {
            weights[at].with(InOrder { set, outputs: &mut outputs[0], first, x: &x });
        })
    }

    /// `O` outputs for `R` rows at a time.
    fn by_tiles<const O: usize, const R: usize>(self) -> Vec<Vec<f32>> {
        let Self { set, weights, x, d_in } = self;
        let rows = x.len() / d_in;
        let at_once = d_in.div_ceil((R * d_in).div_ceil(KEPT)).next_multiple_of(COLUMNS);
        let tiles: Vec<Vec<Tile<R>>> = (0..d_in)
            .step_by(at_once)
            .map(|first| first..d_in.min(first + at_once))
            .map(|columns| x.chunks(R * d_in).map(|x| Tile::new(x, d_in, columns.clone())).collect())
            .collect();
        let d_outs = weights.iter().map(|weight| weight.d_out());
        share(d_outs, rows, d_in, O, |Piece { product: at, first, outputs: product }| {
            let (d_out, after) = (weights[at].d_out(), weights.get(at + 1).map_or(&[][..], |next| next.bytes()));
            weights[at].with(Outputs::<O, R> { set, product, first, d_out, after, tiles: &tiles });
        })
    }
}

/// Some outputs of a weight for a single row.
struct InOrder<'a, 'p> {
    set: Set,
    outputs: &'a mut Space<'p>,
    /// The first of the outputs.
    first: usize,
    x: &'a Tile<1>,
}

impl WithWeights for InOrder<'_, '_> {
    type Output = ();

    fn run<W: Dots>(self, weight: W) {
        self.set.run(OneRow { weight, outputs: self });
    }
}

/// [`InOrder`] of a weight in a format.
struct OneRow<'a, 'p, W> {
    weight: W,
    outputs: InOrder<'a, 'p>,
}

impl<W: Dots> WithLanes for OneRow<'_, '_, W> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { weight, outputs: InOrder { outputs, first, x, .. } } = self;
        for output in first..first + outputs.len() {
            outputs.push(&[weight.dot(lanes, output, x)]);
        }
    }
}

/// Some outputs of a weight for all rows.
struct Outputs<'a, 'p, const O: usize, const R: usize> {
    set: Set,
    /// Of every row.
    product: &'a mut [Space<'p>],
    /// The first of the outputs.
    first: usize,
    /// Outputs of the whole weight.
    d_out: usize,
    /// The bytes that come after the weight.
    after: &'a [u8],
    /// By columns, then rows.
    tiles: &'a [Vec<Tile<R>>],
}

impl<const O: usize, const R: usize> WithWeights for Outputs<'_, '_, O, R> {
    type Output = ();

    fn run<W: Dots>(self, weight: W) {
        self.set.run(Part { weight, outputs: self });
    }
}

/// [`Outputs`] of a weight in a format.
struct Part<'a, 'p, W, const O: usize, const R: usize> {
    weight: W,
    outputs: Outputs<'a, 'p, O, R>,
}

impl<W: Dots, const O: usize, const R: usize> WithLanes for Part<'_, '_, W, O, R> {
    /// Outputs go by in groups: what comes from memory meanwhile are the weights of the next, in the order in which they lie there,
    /// whatever the order of columns and rows here.
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { weight, outputs: Outputs { product, first, d_out, after, tiles, .. } } = self;
        let end = first + product[0].len();
        let row_bytes = weight.bytes(first..first + 1).len();
        // Every block of columns of x is read again for every group: the more blocks, the larger a group.
        let size = (tiles.len() * AHEAD / row_bytes).max(1).next_multiple_of(O);
        let (mut sums, mut of_row) = (Vec::new(), Vec::new());
        for start in (first..end).step_by(size) {
            let group = start..end.min(start + size);
            // Those of the next task, too, which most often comes next.
            let next = match group.end {
                next if next < d_out => weight.bytes(next..d_out.min(next + size)),
                _ => &after[..after.len().min(size * row_bytes)],
            };
            let units = group.len().div_ceil(O);
            sums.clear();
            sums.resize(tiles[0].len() * units, [[0.0; R]; O]);
            add(lanes, weight, group.clone(), tiles, next, &mut sums);
            for (product, sums) in product.chunks_mut(R).zip(sums.chunks_exact(units)) {
                for (row, product) in product.iter_mut().enumerate() {
                    of_row.clear();
                    of_row.extend(sums.as_flattened()[..group.len()].iter().map(|sums| sums[row]));
                    product.push(&of_row);
                }
            }
        }
    }
}

/// Adds the products of some outputs with all columns to their sums, which are by tiles of rows, then outputs.
#[inline(always)]
fn add<L: Lanes, W: Dots, const O: usize, const R: usize>(
    lanes: L,
    weight: W,
    outputs: Range<usize>,
    tiles: &[Vec<Tile<R>>],
    next: &[u8],
    sums: &mut [[[f32; R]; O]],
) {
    let units = outputs.len().div_ceil(O);
    let mut chunks = next.chunks(next.len().div_ceil(tiles.len() * units).max(1));
    for tiles in tiles {
        for (at, (tile, sums)) in tiles.iter().zip(sums.chunks_exact_mut(units)).enumerate() {
            for (unit, sums) in sums.iter_mut().enumerate() {
                let mut rows = [outputs.start + O * unit; O];
                for (at, row) in rows.iter_mut().enumerate() {
                    // Past the last output, the last once more.
                    *row = (*row + at).min(outputs.end - 1);
                }
                // Other rows of x find them in the cache.
                let next = if at == 0 { chunks.next() } else { None };
                let dots: [[f32; R]; O] = weight.dots(lanes, rows, tile, next.unwrap_or_default());
                for (sum, dot) in sums.as_flattened_mut().iter_mut().zip(dots.as_flattened()) {
                    *sum += dot;
                }
            }
        }
    }
}
