//! Products of rows with weights in blocks, in whole numbers, on flex.
//!
//! Codes of blocks are whole numbers, and machines with AVX-512 VNNI multiply and add four bytes in the time of one float. So rows
//! of x become whole numbers of 16 bits, of two bytes each, with a scale for every 32: no element moves by more than a 64,000th
//! of the largest of them, or 1e-30, where codes of 8 bits move by a 254th. Sums over a block are exact until they become floats.
//!
//! A vector holds four codes of sixteen outputs. As weights lie row by row, codes are turned first: while they are multiplied with up
//! to eight rows of x, once beforehand with more.

use std::marker::PhantomData;
use std::ops::Range;

use depthscale_types::WeightFormat;
use rayon::prelude::*;

use crate::ahead::Ahead;
use crate::cut::{FEW_ROWS, Piece, Space, share};
use crate::decode::{Q4, Q8, Rows};
use crate::fixed::Fixed;
use crate::lanes::{LANES, Lanes, Set};
use crate::packed::PackedWeight;
use crate::vnni::{Floats, Vnni, Whole};
use crate::weights::AnyWeights;

const BLOCK: usize = WeightFormat::BLOCK;

/// Up to so many bytes of the next sixteen outputs are fetched into the first cache, which has room for them beside those that are
/// computed with; more go to the second.
const NEAR: usize = 8 << 10;

/// `x w^T` of weights in one format of blocks, as `[rows, out]`.
///
/// # Panics
/// If the set has no VNNI, or a weight is not in blocks.
pub(crate) fn multiply(set: Set, weights: &[AnyWeights<'_>], x: &[f32], d_in: usize) -> Vec<Vec<f32>> {
    let Set::Vnni(vnni) = set else { unreachable!("{set:?} does not add bytes") };
    let packed = weights.iter().map(|weight| match *weight {
        AnyWeights::Packed(packed) => packed,
        AnyWeights::Plain(_) => unreachable!("floats are not in blocks"),
    });
    let weights: Vec<&PackedWeight> = packed.collect();
    let factors = Factors { vnni, weights: &weights, x, d_in };
    match weights[0].format() {
        WeightFormat::Q8 => factors.multiply::<Q8>(),
        WeightFormat::Q4 => factors.multiply::<Q4>(),
        format => unreachable!("{format} is not in blocks"),
    }
}

struct Factors<'a> {
    vnni: Vnni,
    weights: &'a [&'a PackedWeight],
    /// `[rows, in]`.
    x: &'a [f32],
    d_in: usize,
}

impl Factors<'_> {
    fn multiply<C: Codes + Sync>(self) -> Vec<Vec<f32>> {
        match self.x.len() / self.d_in {
            1 => self.by_rows::<C, 1>(),
            2 => self.by_rows::<C, 2>(),
            3..=4 => self.by_rows::<C, 4>(),
            // As many as registers hold, beside a block of weights.
            _ => self.by_rows::<C, 8>(),
        }
    }

    /// `R` rows of x at a time.
    fn by_rows<C: Codes + Sync, const R: usize>(self) -> Vec<Vec<f32>> {
        let Self { vnni, weights, x, d_in } = self;
        let rows = x.len() / d_in;
        let tile = |x| vnni.run(Fix::<R> { x, d_in, more: C::MORE });
        let tiles: Vec<Vec<Fixed<R>>> = match rows {
            ..=FEW_ROWS => x.chunks(R * d_in).map(tile).collect(),
            _ => x.par_chunks(R * d_in).map(tile).collect(),
        };
        let d_outs = weights.iter().map(|weight| weight.shape()[0]);
        share(d_outs, rows, d_in, LANES, |Piece { product: at, first, outputs: product }| {
            let after = weights.get(at + 1).map_or(&[][..], |next| next.codes());
            let weight = weights[at];
            vnni.run(Part::<C, R> { codes: PhantomData, vnni, weight, after, first, product, tiles: &tiles });
        })
    }
}

/// [`Fixed::rows`].
struct Fix<'a, const R: usize> {
    x: &'a [f32],
    d_in: usize,
    more: i32,
}

impl<const R: usize> pulp::NullaryFnOnce for Fix<'_, R> {
    type Output = Vec<Fixed<R>>;

    #[inline(always)]
    fn call(self) -> Vec<Fixed<R>> {
        Fixed::rows(self.x, self.d_in, self.more)
    }
}

/// Formats in blocks.
trait Codes {
    /// Bytes of the codes of a block.
    const BYTES: usize;
    /// How much larger codes are when they are turned, so that none is negative.
    const MORE: i32;

    /// The codes of a block of sixteen rows, which begin `stride` bytes after one another.
    fn turn(vnni: Vnni, rows: &[u8], stride: usize) -> Turned;
}

/// The codes of a block of sixteen outputs, four at once.
type Turned = [Whole; BLOCK / 4];

impl Codes for Q8 {
    const BYTES: usize = 32;
    const MORE: i32 = 128;

    #[inline(always)]
    fn turn(vnni: Vnni, rows: &[u8], stride: usize) -> Turned {
        let ([a, b, c, d], [e, f, g, h]) = (vnni.turn(rows, stride), vnni.turn(&rows[16..], stride));
        let mut turned = [a, b, c, d, e, f, g, h];
        for codes in &mut turned {
            *codes = vnni.plus_128(*codes);
        }
        turned
    }
}

impl Codes for Q4 {
    const BYTES: usize = 16;
    const MORE: i32 = 8;

    #[inline(always)]
    fn turn(vnni: Vnni, rows: &[u8], stride: usize) -> Turned {
        let [a, b, c, d] = vnni.turn(rows, stride);
        let ([a, e], [b, f]) = (vnni.nibbles(a), vnni.nibbles(b));
        let ([c, g], [d, h]) = (vnni.nibbles(c), vnni.nibbles(d));
        [a, b, c, d, e, f, g, h]
    }
}

/// Some outputs of a weight for all rows.
struct Part<'a, 'p, C, const R: usize> {
    codes: PhantomData<C>,
    vnni: Vnni,
    weight: &'a PackedWeight,
    /// The bytes that come after the weight.
    after: &'a [u8],
    /// The first of the outputs.
    first: usize,
    /// Of every row.
    product: &'a mut [Space<'p>],
    tiles: &'a [Vec<Fixed<R>>],
}

impl<C: Codes, const R: usize> pulp::NullaryFnOnce for Part<'_, '_, C, R> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { vnni, weight, after, first, product, tiles, .. } = self;
        let (outputs, [d_out, _], all) = (product[0].len(), weight.shape(), weight.rows());
        let (mut space, mut blocks) = (<[Vec<u8>; 2]>::default(), Vec::new());
        for start in (0..outputs).step_by(LANES) {
            let outputs = start..outputs.min(start + LANES);
            let of_weight = first + outputs.start..first + outputs.end;
            let rows = Sixteen::<C>::new(all, of_weight.clone(), &mut space);
            let next = match of_weight.end {
                next if next < d_out => all.codes(next..d_out.min(next + LANES)),
                _ => &after[..after.len().min(rows.codes.len())],
            };
            if let [x] = tiles {
                push(product, outputs.len(), &rows.dots(vnni, x, next));
                continue;
            }
            rows.turn_all(vnni, next, &mut blocks);
            for (product, x) in product.chunks_mut(R).zip(tiles) {
                push(product, outputs.len(), &dots(vnni, &blocks, x));
            }
        }
    }
}

/// Puts what was computed of some outputs after what is there, for every row.
#[inline(always)]
fn push<const R: usize>(product: &mut [Space<'_>], outputs: usize, dots: &[[f32; LANES]; R]) {
    for (product, dots) in product.iter_mut().zip(dots) {
        match outputs {
            // Of a length that is known to the compiler.
            LANES => product.push(dots),
            _ => product.push(&dots[..outputs]),
        }
    }
}

/// Blocks whose scales are turned together.
const SCALES: usize = 8;

/// Rows of a weight whose outputs are computed together.
struct Sixteen<'a, C> {
    format: PhantomData<C>,
    /// Blocks of a row.
    blocks: usize,
    codes: &'a [u8],
    scales: &'a [u8],
    /// Scales of a row, at least those that are turned together.
    of_row: usize,
}

impl<'a, C: Codes> Sixteen<'a, C> {
    #[inline(always)]
    fn new(all: Rows<'a>, rows: Range<usize>, space: &'a mut [Vec<u8>; 2]) -> Self {
        let blocks = all.width() / BLOCK;
        if rows.len() == LANES && blocks >= SCALES {
            let (codes, scales) = (all.codes(rows.clone()), all.scales(rows));
            return Self { format: PhantomData, blocks, codes, scales, of_row: blocks };
        }
        let of_row = blocks.max(SCALES);
        let [codes, scales] = space;
        codes.clear();
        scales.clear();
        for at in 0..LANES {
            // Past the last row, the last once more.
            let row = all.row((rows.start + at).min(rows.end - 1));
            codes.extend_from_slice(row.codes);
            scales.extend_from_slice(row.scales);
            scales.resize((at + 1) * 2 * of_row, 0);
        }
        Self { format: PhantomData, blocks, codes, scales, of_row }
    }

    /// The products with up to `R` rows of x, while what comes next is fetched.
    #[inline(always)]
    fn dots<const R: usize>(&self, vnni: Vnni, x: &[Fixed<R>], next: &[u8]) -> [[f32; LANES]; R] {
        let (ahead, near) = (Ahead::new(next, self.blocks), next.len() <= NEAR);
        let mut sums = [vnni.floats.splat(0.0); R];
        for start in (0..self.blocks).step_by(SCALES) {
            let (first, scales) = self.scales(vnni, start);
            for (at, x) in x.iter().enumerate().take(start + SCALES).skip(start) {
                if near {
                    ahead.fetch_near(at)
                } else {
                    ahead.fetch(at)
                }
                add_block(vnni, &mut sums, &self.block(vnni, at), scales[(at - first) % SCALES], x);
            }
        }
        store(vnni, sums)
    }

    /// All blocks.
    #[inline(always)]
    fn turn_all(&self, vnni: Vnni, next: &[u8], blocks: &mut Vec<(Turned, Floats)>) {
        let ahead = Ahead::new(next, self.blocks);
        blocks.clear();
        for start in (0..self.blocks).step_by(SCALES) {
            let (first, scales) = self.scales(vnni, start);
            for at in start..self.blocks.min(start + SCALES) {
                ahead.fetch(at);
                blocks.push((self.block(vnni, at), scales[(at - first) % SCALES]));
            }
        }
    }

    #[inline(always)]
    fn block(&self, vnni: Vnni, at: usize) -> Turned {
        C::turn(vnni, &self.codes[at * C::BYTES..], self.blocks * C::BYTES)
    }

    /// The scales of some blocks, which begin with the first or, at the end of a row, with an earlier one.
    #[inline(always)]
    fn scales(&self, vnni: Vnni, first: usize) -> (usize, [Floats; SCALES]) {
        let first = first.min(self.of_row - SCALES);
        let mut scales = [vnni.floats.splat(0.0); SCALES];
        let turned = vnni.turn(&self.scales[2 * first..], 2 * self.of_row);
        for (scales, pairs) in scales.as_chunks_mut().0.iter_mut().zip(turned) {
            *scales = vnni.halves(pairs);
        }
        (first, scales)
    }
}

/// The products of blocks that have been turned with up to `R` rows of x.
#[inline(always)]
fn dots<const R: usize>(vnni: Vnni, blocks: &[(Turned, Floats)], x: &[Fixed<R>]) -> [[f32; LANES]; R] {
    let mut sums = [vnni.floats.splat(0.0); R];
    for ((codes, scale), x) in blocks.iter().zip(x) {
        add_block(vnni, &mut sums, codes, *scale, x);
    }
    store(vnni, sums)
}

#[inline(always)]
fn store<const R: usize>(vnni: Vnni, sums: [Floats; R]) -> [[f32; LANES]; R] {
    let mut dots = [[0.0; LANES]; R];
    for (dots, sums) in dots.iter_mut().zip(sums) {
        *dots = vnni.floats.store(sums);
    }
    dots
}

/// Adds the products of a block with every row of x.
#[inline(always)]
fn add_block<const R: usize>(vnni: Vnni, sums: &mut [Floats; R], codes: &Turned, scale: Floats, x: &Fixed<R>) {
    let mut whole = [vnni.zeros(); R];
    add_bytes(vnni, &mut whole, codes, &x.high);
    for whole in &mut whole {
        *whole = vnni.times_256(*whole);
    }
    if R < 4 {
        // Each sum waits for the one before it: where there are few, those of low bytes do not wait for those of high ones.
        let mut low = [vnni.zeros(); R];
        add_bytes(vnni, &mut low, codes, &x.low);
        for (whole, low) in whole.iter_mut().zip(low) {
            *whole = vnni.add(*whole, low);
        }
    } else {
        add_bytes(vnni, &mut whole, codes, &x.low);
    }
    for row in 0..R {
        let products = vnni.to_floats(vnni.subtract(whole[row], vnni.splat(x.excess[row])));
        let scale = vnni.floats.mul(scale, vnni.floats.splat(x.scale[row]));
        sums[row] = vnni.floats.mul_add(products, scale, sums[row]);
    }
}

/// Adds the products of codes with one of the two bytes of every row.
#[inline(always)]
fn add_bytes<const R: usize>(vnni: Vnni, sums: &mut [Whole; R], codes: &Turned, x: &[[i8; BLOCK]; R]) {
    for (at, codes) in codes.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = vnni.add_products(*sum, *codes, x.as_chunks().0[at]);
        }
    }
}
