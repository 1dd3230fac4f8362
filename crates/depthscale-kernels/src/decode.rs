//! From packed weights to numbers.

use std::ops::Range;

use depthscale_types::WeightFormat;

use crate::ahead::Ahead;
use crate::lanes::{LANES, Lanes, Set, WithLanes, from_bf16, from_f16};
use crate::tile::{Floats, Sums, Tile};

const BLOCK: usize = WeightFormat::BLOCK;

/// Bytes of numbers by themselves, for every block of columns, that are computed with while as many are fetched, for memory takes its
/// time to answer; found by measuring.
pub(crate) const AHEAD: usize = 1 << 14;
/// The same of blocks, which take longer to be computed with and go to the first cache.
const AHEAD_BLOCKS: usize = 1 << 12;

/// The bytes of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) codes: &'a [u8],
    pub(crate) scales: &'a [u8],
}

/// The bytes of some rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    codes: &'a [u8],
    scales: &'a [u8],
    width: usize,
    /// Bytes of 32 columns.
    code_bytes: usize,
    scale_bytes: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(format: WeightFormat, width: usize, codes: &'a [u8], scales: &'a [u8]) -> Self {
        let scale_bytes = if format.is_blocks() { 2 } else { 0 };
        Self { codes, scales, width, code_bytes: format.row_bytes(BLOCK) - scale_bytes, scale_bytes }
    }

    /// The codes of rows, without their scales.
    #[inline(always)]
    pub(crate) fn codes(&self, rows: Range<usize>) -> &'a [u8] {
        let of_row = self.width * self.code_bytes / BLOCK;
        &self.codes[rows.start * of_row..rows.end * of_row]
    }

    /// The scales of rows.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn scales(&self, rows: Range<usize>) -> &'a [u8] {
        let of_row = self.width * self.scale_bytes / BLOCK;
        &self.scales[rows.start * of_row..rows.end * of_row]
    }

    /// Elements of a row.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> Row<'a> {
        self.part(row, 0..self.width)
    }

    /// Some columns of a row, which begin with a whole block.
    #[inline(always)]
    pub(crate) fn part(&self, row: usize, columns: Range<usize>) -> Row<'a> {
        let first = row * self.width + columns.start;
        let part =
            |bytes: &'a [u8], of_block: usize| &bytes[first * of_block / BLOCK..][..columns.len() * of_block / BLOCK];
        Row { codes: part(self.codes, self.code_bytes), scales: part(self.scales, self.scale_bytes) }
    }
}

/// The values of a row.
pub(crate) fn decode_row(set: Set, format: WeightFormat, row: Row<'_>, values: &mut [f32]) {
    set.run(DecodeRow { format, row, values });
}

struct DecodeRow<'a> {
    format: WeightFormat,
    row: Row<'a>,
    values: &'a mut [f32],
}

impl WithLanes for DecodeRow<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { format, row, values } = self;
        match format {
            WeightFormat::F32 => unreachable!("packed weights are not f32"),
            WeightFormat::F16 => F16::decode(lanes, row, values),
            WeightFormat::Bf16 => Bf16::decode(lanes, row, values),
            WeightFormat::Q8 => Q8::decode(lanes, row, values),
            WeightFormat::Q4 => Q4::decode(lanes, row, values),
        }
    }
}

/// How rows of a format are read. All is `#[inline(always)]`, as what is given to [`Set::run`](crate::lanes::Set::run).
pub(crate) trait Decode: Copy + Send + Sync {
    /// How many bytes, for every block of columns, are computed with while as many are fetched.
    const AHEAD: usize;

    /// The values of a row.
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]);

    /// `sum_i w_oi x_ri` for every weight and every row of x.
    fn dots<L: Lanes, const O: usize, const R: usize>(
        lanes: L,
        rows: [Row<'_>; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O];
}

/// 16-bit floats (IEEE 754 half).
#[derive(Debug, Clone, Copy)]
pub(crate) struct F16;

/// 16-bit brain floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16;

/// Blocks of 8 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Q8;

/// Blocks of 4 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Q4;

/// Weights that are numbers by themselves.
pub(crate) trait Vectors {
    /// Sixteen of them.
    type Vector;
    type Single: Copy;

    fn floats<L: Lanes>(lanes: L, vector: &Self::Vector) -> L::Floats;
    fn float(single: Self::Single) -> f32;
}

/// 32-bit floats, which are not packed.
pub(crate) struct F32;

impl Vectors for F32 {
    type Vector = [f32; LANES];
    type Single = f32;

    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, vector: &[f32; LANES]) -> L::Floats {
        lanes.load(vector)
    }

    #[inline(always)]
    fn float(single: f32) -> f32 {
        single
    }
}

impl Vectors for F16 {
    type Vector = [u8; 2 * LANES];
    type Single = [u8; 2];

    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, vector: &[u8; 2 * LANES]) -> L::Floats {
        lanes.f16(vector)
    }

    #[inline(always)]
    fn float(single: [u8; 2]) -> f32 {
        from_f16(single)
    }
}

impl Vectors for Bf16 {
    type Vector = [u8; 2 * LANES];
    type Single = [u8; 2];

    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, vector: &[u8; 2 * LANES]) -> L::Floats {
        lanes.bf16(vector)
    }

    #[inline(always)]
    fn float(single: [u8; 2]) -> f32 {
        from_bf16(single)
    }
}

/// A row's whole vectors and what is left over.
pub(crate) type Parts<'a, V> = (&'a [<V as Vectors>::Vector], &'a [<V as Vectors>::Single]);

/// [`Decode::dots`].
#[inline(always)]
pub(crate) fn dots_of_vectors<V: Vectors, L: Lanes, const O: usize, const R: usize>(
    lanes: L,
    rows: [Parts<'_, V>; O],
    x: &Tile<R>,
    next: &[u8],
) -> [[f32; R]; O] {
    let mut vectors: [&[V::Vector]; O] = [&[]; O];
    for (vectors, row) in vectors.iter_mut().zip(&rows) {
        // Of one length, so that no index below is checked.
        *vectors = &row.0[..x.vectors.len()];
    }
    let ahead = Ahead::new(next, x.vectors.len());
    let mut sums = Sums::<L, O, R>::new(lanes);
    for (at, x) in x.vectors.iter().enumerate() {
        ahead.fetch(at);
        for (output, vectors) in vectors.iter().enumerate() {
            sums.add(lanes, output, V::floats(lanes, &vectors[at]), x);
        }
    }
    let mut dots = sums.total(lanes);
    for (dots, (_, rest)) in dots.iter_mut().zip(&rows) {
        for (&weight, x) in rest.iter().zip(&x.rest) {
            for (dot, x) in dots.iter_mut().zip(x) {
                *dot += V::float(weight) * x;
            }
        }
    }
    dots
}

impl<H: Vectors<Vector = [u8; 2 * LANES], Single = [u8; 2]> + Copy + Send + Sync> Decode for H {
    const AHEAD: usize = AHEAD;

    #[inline(always)]
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
        let (halves, rest) = row.codes.as_chunks();
        let (values, rest_values) = values.as_chunks_mut();
        for (values, halves) in values.iter_mut().zip(halves) {
            *values = lanes.store(H::floats(lanes, halves));
        }
        for (value, &half) in rest_values.iter_mut().zip(rest.as_chunks().0) {
            *value = H::float(half);
        }
    }

    #[inline(always)]
    fn dots<L: Lanes, const O: usize, const R: usize>(
        lanes: L,
        rows: [Row<'_>; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O] {
        let mut parts: [Parts<'_, H>; O] = [(&[], &[]); O];
        for (part, row) in parts.iter_mut().zip(&rows) {
            let (vectors, rest) = row.codes.as_chunks();
            *part = (vectors, rest.as_chunks().0);
        }
        dots_of_vectors::<H, L, O, R>(lanes, parts, x, next)
    }
}

/// Blocks whose codes are `N` bytes.
trait Blocks<const N: usize> {
    /// The first and the last 16 codes as numbers, not scaled yet.
    fn codes<L: Lanes>(lanes: L, bytes: &[u8; N]) -> [L::Floats; 2];
}

impl Blocks<32> for Q8 {
    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, bytes: &[u8; 32]) -> [L::Floats; 2] {
        let [first, last]: [[u8; LANES]; 2] = pulp::cast(*bytes);
        [lanes.bytes(&first), lanes.bytes(&last)]
    }
}

impl Blocks<16> for Q4 {
    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, bytes: &[u8; 16]) -> [L::Floats; 2] {
        lanes.nibbles(bytes)
    }
}

/// Scales that are decoded at once.
const SCALES: usize = LANES;

/// Adds a block. For one row its sum is scaled, for several its weights.
#[inline(always)]
fn add_block<const N: usize, B: Blocks<N>, L: Lanes, const O: usize, const R: usize>(
    lanes: L,
    sums: &mut Sums<L, O, R>,
    output: usize,
    scale: f32,
    bytes: &[u8; N],
    x: &[[Floats; R]; 2],
) {
    let [first, last] = B::codes(lanes, bytes);
    let scale = lanes.splat(scale);
    if R == 1 {
        let product = lanes.mul_add(last, lanes.load(&x[1][0].0), lanes.mul(first, lanes.load(&x[0][0].0)));
        sums.0[output][0] = lanes.mul_add(product, scale, sums.0[output][0]);
    } else {
        sums.add(lanes, output, lanes.mul(first, scale), &x[0]);
        sums.add(lanes, output, lanes.mul(last, scale), &x[1]);
    }
}

#[inline(always)]
fn dots_of_blocks<const N: usize, B: Blocks<N>, L: Lanes, const O: usize, const R: usize>(
    lanes: L,
    rows: [Row<'_>; O],
    x: &Tile<R>,
    next: &[u8],
) -> [[f32; R]; O] {
    let x: &[[[Floats; R]; 2]] = x.vectors.as_chunks().0;
    let ahead = Ahead::new(next, x.len());
    let mut sums = Sums::<L, O, R>::new(lanes);
    for start in (0..x.len()).step_by(SCALES) {
        // The last scales once more with those before them, so that they are always read at once.
        let first_scale = start.min(x.len().saturating_sub(SCALES));
        let before = start - first_scale;
        let x = &x[start..x.len().min(start + SCALES)];
        // Of one length, so that no index below is checked.
        let mut codes: [&[[u8; N]]; O] = [&[]; O];
        let mut scales = [[0.0; SCALES]; O];
        for output in 0..O {
            codes[output] = &rows[output].codes.as_chunks().0[start..][..x.len()];
            scales[output] = scales_of(lanes, &rows[output].scales.as_chunks().0[first_scale..]);
        }
        for (at, x) in x.iter().enumerate() {
            ahead.fetch_near(start + at);
            for output in 0..O {
                let scale = scales[output][(before + at) % SCALES];
                add_block::<N, B, L, O, R>(lanes, &mut sums, output, scale, &codes[output][at], x);
            }
        }
    }
    sums.total(lanes)
}

/// At most sixteen scales.
#[inline(always)]
fn scales_of<L: Lanes>(lanes: L, scales: &[[u8; 2]]) -> [f32; SCALES] {
    match scales.as_flattened().first_chunk() {
        Some(scales) => lanes.store(lanes.f16(scales)),
        None => std::array::from_fn(|at| scales.get(at).map_or(0.0, |&scale| from_f16(scale))),
    }
}

#[inline(always)]
fn decode_blocks<const N: usize, B: Blocks<N>, L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
    let values: &mut [[[f32; LANES]; 2]] = values.as_chunks_mut().0.as_chunks_mut().0;
    for ((codes, &scale), values) in row.codes.as_chunks().0.iter().zip(row.scales.as_chunks().0).zip(values) {
        let scale = lanes.splat(from_f16(scale));
        let [first, last] = B::codes(lanes, codes);
        *values = [lanes.store(lanes.mul(first, scale)), lanes.store(lanes.mul(last, scale))];
    }
}

impl Decode for Q8 {
    const AHEAD: usize = AHEAD_BLOCKS;

    #[inline(always)]
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
        decode_blocks::<32, Self, L>(lanes, row, values);
    }

    #[inline(always)]
    fn dots<L: Lanes, const O: usize, const R: usize>(
        lanes: L,
        rows: [Row<'_>; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O] {
        dots_of_blocks::<32, Self, L, O, R>(lanes, rows, x, next)
    }
}

impl Decode for Q4 {
    const AHEAD: usize = AHEAD_BLOCKS;

    #[inline(always)]
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
        decode_blocks::<16, Self, L>(lanes, row, values);
    }

    #[inline(always)]
    fn dots<L: Lanes, const O: usize, const R: usize>(
        lanes: L,
        rows: [Row<'_>; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O] {
        dots_of_blocks::<16, Self, L, O, R>(lanes, rows, x, next)
    }
}
