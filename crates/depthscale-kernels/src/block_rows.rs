//! Products of rows with weights in blocks, on flex.
//!
//! A vector holds sixteen outputs, whose rows of the weight lie beside one another ([`crate::groups`]). Weights are read by all
//! threads and from memory once, and multiplied with every row of x while they are in a cache.

use std::marker::PhantomData;

use depthscale_types::WeightFormat;
use rayon::prelude::*;

use crate::ahead::Ahead;
use crate::cut::{FEW_ROWS, Piece, Space, share};
use crate::groups::{GROUP, Group, Groups, Q4, Q8};
use crate::lanes::{LANES, Lanes, Set, WithLanes};
use crate::packed::PackedWeight;

const BLOCK: usize = WeightFormat::BLOCK;

/// How rows of x are multiplied with a group, `R` at a time.
pub(crate) trait Multiply<const R: usize>: Copy {
    /// 32 elements of `R` rows.
    type X: Sync;

    /// The products with up to `R` rows, while what comes next is fetched. It is `#[inline(always)]`, to be compiled for the
    /// instructions of where it is called.
    fn dots(self, group: Group<'_>, x: &[Self::X], next: &[u8]) -> [[f32; LANES]; R];
}

/// Weights in one format and the rows that they are multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    pub(crate) weights: &'a [&'a PackedWeight],
    /// `[rows, in]`.
    pub(crate) x: &'a [f32],
    pub(crate) d_in: usize,
}

impl Factors<'_> {
    /// Of the weights.
    pub(crate) fn format(&self) -> WeightFormat {
        self.weights[0].format()
    }

    /// Of x.
    pub(crate) fn rows(&self) -> usize {
        self.x.len() / self.d_in
    }

    /// `x w^T` of every weight, as `[rows, out]`. Rows of x, `R` at a time, are made ready by `tile`; some outputs are computed by
    /// `fill`.
    pub(crate) fn by_groups<X: Send + Sync, const R: usize>(
        &self,
        tile: impl Fn(&[f32]) -> Vec<X> + Sync,
        fill: impl Fn(Part<'_, '_, X>) + Sync,
    ) -> Vec<Vec<f32>> {
        let &Self { weights, x, d_in } = self;
        let rows = self.rows();
        let tiles: Vec<Vec<X>> = match rows {
            ..=FEW_ROWS => x.chunks(R * d_in).map(&tile).collect(),
            _ => x.par_chunks(R * d_in).map(&tile).collect(),
        };
        let d_outs = weights.iter().map(|weight| weight.shape()[0]);
        share(d_outs, rows, d_in, GROUP, |Piece { product: at, first, outputs: product }| {
            let after = weights.get(at + 1).map_or(&[][..], |next| next.codes());
            fill(Part { weight: weights[at].groups(), after, first, product, tiles: &tiles });
        })
    }
}

/// Some outputs of a weight for all rows.
pub(crate) struct Part<'a, 'p, X> {
    weight: Groups<'a>,
    /// The bytes that come after the weight.
    after: &'a [u8],
    /// The first of the outputs, which is the first of a group.
    first: usize,
    /// Of every row.
    product: &'a mut [Space<'p>],
    tiles: &'a [Vec<X>],
}

impl<X> Part<'_, '_, X> {
    /// Computes the outputs. It is `#[inline(always)]`, to be compiled for the instructions of where it is called.
    #[inline(always)]
    pub(crate) fn fill<M: Multiply<R, X = X>, const R: usize>(self, multiply: M) {
        let Self { weight, after, first, product, tiles } = self;
        let mut space = <[Vec<u8>; 2]>::default();
        for start in (0..product[0].len()).step_by(GROUP) {
            let group = weight.group(first + start);
            let next = match weight.codes_from(first + start + group.rows) {
                [] => after,
                next => next,
            };
            // Once: other rows of x find them in the cache.
            let mut next = &next[..next.len().min(group.codes.len())];
            let (rows, group) = (group.rows, group.filled_up(&mut space));
            for (product, x) in product.chunks_mut(R).zip(tiles) {
                let dots = multiply.dots(group, x, next);
                for (product, dots) in product.iter_mut().zip(&dots) {
                    match rows {
                        // Of a length that is known to the compiler.
                        GROUP => product.push(dots),
                        _ => product.push(&dots[..rows]),
                    }
                }
                next = &[];
            }
        }
    }
}

/// `x w^T` of every weight, as `[rows, out]`, with codes as floats.
pub(crate) fn multiply(set: Set, factors: Factors<'_>) -> Vec<Vec<f32>> {
    match factors.format() {
        WeightFormat::Q8 => multiply_codes::<Q8, 1>(set, factors),
        WeightFormat::Q4 => multiply_codes::<Q4, 2>(set, factors),
        format => unreachable!("{format} is not in blocks"),
    }
}

fn multiply_codes<C: Codes<N>, const N: usize>(set: Set, factors: Factors<'_>) -> Vec<Vec<f32>> {
    // Sums of a block for every row and as many as do not wait for one another: as many as registers hold, beside codes.
    match (factors.rows(), set) {
        (1, _) => by_rows::<C, N, 1, 4>(set, factors),
        (2, _) | (_, Set::Portable) => by_rows::<C, N, 2, 2>(set, factors),
        (5.., set) if set.is_wide() => by_rows::<C, N, 8, 1>(set, factors),
        _ => by_rows::<C, N, 4, 1>(set, factors),
    }
}

fn by_rows<C: Codes<N>, const N: usize, const R: usize, const S: usize>(
    set: Set,
    factors: Factors<'_>,
) -> Vec<Vec<f32>> {
    let d_in = factors.d_in;
    let tile = |x: &[f32]| -> Vec<Columns<R>> {
        let mut columns = vec![Columns([[0.0; BLOCK]; R]); d_in / BLOCK];
        for (row, x) in x.chunks_exact(d_in).enumerate() {
            for (columns, x) in columns.iter_mut().zip(x.as_chunks().0) {
                columns.0[row] = *x;
            }
        }
        columns
    };
    factors.by_groups::<_, R>(tile, |part| set.run(Fill::<C, N, R, S>(part, PhantomData)))
}

/// 32 elements of `R` rows of x; rows that lack are zeros.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Columns<const R: usize>([[f32; BLOCK]; R]);

/// How codes of a format become floats: in `N` parts of a block.
trait Codes<const N: usize>: Sync {
    /// Fours of bytes of sixteen rows: the elements of every row that they are, not scaled yet, of every part in their order.
    fn floats<L: Lanes>(lanes: L, codes: &[u8; 4 * LANES]) -> [[L::Floats; 4]; N];
}

impl Codes<1> for Q8 {
    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, codes: &[u8; 4 * LANES]) -> [[L::Floats; 4]; 1] {
        [lanes.bytes_of_fours(codes)]
    }
}

impl Codes<2> for Q4 {
    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, codes: &[u8; 4 * LANES]) -> [[L::Floats; 4]; 2] {
        lanes.nibbles_of_fours(codes)
    }
}

/// A part with `R` rows at a time, and `S` sums of a block for each.
struct Fill<'a, 'p, C, const N: usize, const R: usize, const S: usize>(Part<'a, 'p, Columns<R>>, PhantomData<C>);

impl<C: Codes<N>, const N: usize, const R: usize, const S: usize> WithLanes for Fill<'_, '_, C, N, R, S> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.0.fill(InFloats::<L, C, N, S>(lanes, PhantomData));
    }
}

struct InFloats<L, C, const N: usize, const S: usize>(L, PhantomData<C>);

impl<L: Lanes, C, const N: usize, const S: usize> Clone for InFloats<L, C, N, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Lanes, C, const N: usize, const S: usize> Copy for InFloats<L, C, N, S> {}

impl<L: Lanes, C: Codes<N>, const N: usize, const R: usize, const S: usize> Multiply<R> for InFloats<L, C, N, S> {
    type X = Columns<R>;

    #[inline(always)]
    fn dots(self, group: Group<'_>, x: &[Columns<R>], next: &[u8]) -> [[f32; LANES]; R] {
        let lanes = self.0;
        let ahead = Ahead::new(next, x.len());
        let fours: &[[u8; 4 * LANES]] = group.codes.as_chunks().0;
        let blocks = fours.chunks_exact(BLOCK / 4 / N).zip(group.scales.as_chunks().0);
        let mut totals = [lanes.splat(0.0); R];
        for (at, (x, (codes, scales))) in x.iter().zip(blocks).enumerate() {
            ahead.fetch_near(at);
            let mut sums = [[lanes.splat(0.0); R]; S];
            for (four, codes) in codes.iter().enumerate() {
                for (part, codes) in C::floats(lanes, codes).iter().enumerate() {
                    for (byte, codes) in codes.iter().enumerate() {
                        let element = part * BLOCK / N + 4 * four + byte;
                        for (sum, x) in sums[byte % S].iter_mut().zip(&x.0) {
                            *sum = lanes.mul_add(*codes, lanes.splat(x[element]), *sum);
                        }
                    }
                }
            }
            let scales = lanes.f16(scales);
            for sums in sums {
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total = lanes.mul_add(sum, scales, *total);
                }
            }
        }
        let mut dots = [[0.0; LANES]; R];
        for (dots, total) in dots.iter_mut().zip(totals) {
            *dots = lanes.store(total);
        }
        dots
    }
}
