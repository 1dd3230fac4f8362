//! Products of rows with weights in blocks, in whole numbers, on flex.
//!
//! Codes of blocks are whole numbers, and machines with AVX-512 VNNI multiply and add four bytes in the time of one float. So rows
//! of x become whole numbers of 16 bits, of two bytes each, with a scale for every 32: no element moves by more than a 64,000th
//! of the largest of them, or 1e-30, where codes of 8 bits move by a 254th. Sums over a block are exact until they become floats.

use std::marker::PhantomData;

use depthscale_types::WeightFormat;

use crate::ahead::Ahead;
use crate::block_rows::{Factors, Multiply, Part};
use crate::fixed::Fixed;
use crate::groups::{Group, Q4, Q8};
use crate::lanes::{LANES, Lanes};
use crate::vnni::{Floats, Vnni, Whole};

const BLOCK: usize = WeightFormat::BLOCK;

/// Up to so many bytes of the next sixteen outputs are fetched into the first cache, which has room for them beside those that are
/// computed with; more go to the second.
const NEAR: usize = 8 << 10;

/// `x w^T` of every weight, as `[rows, out]`.
pub(crate) fn multiply(vnni: Vnni, factors: Factors<'_>) -> Vec<Vec<f32>> {
    match factors.format() {
        WeightFormat::Q8 => multiply_codes::<Q8>(vnni, factors),
        WeightFormat::Q4 => multiply_codes::<Q4>(vnni, factors),
        format => unreachable!("{format} is not in blocks"),
    }
}

fn multiply_codes<C: Codes>(vnni: Vnni, factors: Factors<'_>) -> Vec<Vec<f32>> {
    match factors.rows() {
        1 => by_rows::<C, 1>(vnni, factors),
        2 => by_rows::<C, 2>(vnni, factors),
        3..=4 => by_rows::<C, 4>(vnni, factors),
        // As many as registers hold, beside a block of weights.
        _ => by_rows::<C, 8>(vnni, factors),
    }
}

/// `R` rows of x at a time.
fn by_rows<C: Codes, const R: usize>(vnni: Vnni, factors: Factors<'_>) -> Vec<Vec<f32>> {
    let tile = |x: &[f32]| Fixed::<R>::rows(vnni, x, factors.d_in, C::MORE);
    factors.by_groups::<_, R>(tile, |part| vnni.run(Fill(InWhole::<C>(vnni, PhantomData), part)))
}

/// [`Part::fill`].
struct Fill<'a, 'p, M, X>(M, Part<'a, 'p, X>);

impl<C: Codes, const R: usize> pulp::NullaryFnOnce for Fill<'_, '_, InWhole<C>, Fixed<R>> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.1.fill(self.0);
    }
}

/// Formats in blocks.
trait Codes: Copy + Sync {
    /// How much larger codes are made, so that none is negative.
    const MORE: i32;
    /// Vectors of bytes of a block.
    const BYTES: usize;

    /// The codes of a block of sixteen rows.
    fn codes(vnni: Vnni, bytes: &[[u8; 4 * LANES]]) -> BlockCodes;
}

/// The codes of a block of sixteen outputs, four at once.
type BlockCodes = [Whole; BLOCK / 4];

impl Codes for Q8 {
    const MORE: i32 = 128;
    const BYTES: usize = 8;

    #[inline(always)]
    fn codes(vnni: Vnni, bytes: &[[u8; 4 * LANES]]) -> BlockCodes {
        let mut codes = [vnni.zeros(); BLOCK / 4];
        for (codes, bytes) in codes.iter_mut().zip(bytes) {
            *codes = vnni.plus_128(vnni.load(bytes));
        }
        codes
    }
}

impl Codes for Q4 {
    const MORE: i32 = 8;
    const BYTES: usize = 4;

    #[inline(always)]
    fn codes(vnni: Vnni, bytes: &[[u8; 4 * LANES]]) -> BlockCodes {
        let mut codes = [vnni.zeros(); BLOCK / 4];
        for (at, bytes) in bytes.iter().enumerate() {
            [codes[at], codes[at + BLOCK / 8]] = vnni.nibbles(vnni.load(bytes));
        }
        codes
    }
}

#[derive(Clone, Copy)]
struct InWhole<C>(Vnni, PhantomData<C>);

impl<C: Codes, const R: usize> Multiply<R> for InWhole<C> {
    type X = Fixed<R>;

    #[inline(always)]
    fn dots(self, group: Group<'_>, x: &[Fixed<R>], next: &[u8]) -> [[f32; LANES]; R] {
        let vnni = self.0;
        let (ahead, near) = (Ahead::new(next, x.len()), next.len() <= NEAR);
        let bytes: &[[u8; 4 * LANES]] = group.codes.as_chunks().0;
        let blocks = bytes.chunks_exact(C::BYTES).zip(group.scales.as_chunks().0);
        let mut sums = [vnni.floats.splat(0.0); R];
        for (at, (x, (codes, scales))) in x.iter().zip(blocks).enumerate() {
            if near {
                ahead.fetch_near(at)
            } else {
                ahead.fetch(at)
            }
            add_block(vnni, &mut sums, &C::codes(vnni, codes), vnni.floats.f16(scales), x);
        }
        store(vnni, sums)
    }
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
fn add_block<const R: usize>(vnni: Vnni, sums: &mut [Floats; R], codes: &BlockCodes, scale: Floats, x: &Fixed<R>) {
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
fn add_bytes<const R: usize>(vnni: Vnni, sums: &mut [Whole; R], codes: &BlockCodes, x: &[[i8; BLOCK]; R]) {
    for (at, codes) in codes.iter().enumerate() {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = vnni.add_products(*sum, *codes, x.as_chunks().0[at]);
        }
    }
}
