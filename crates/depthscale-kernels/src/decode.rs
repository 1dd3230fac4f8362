//! From 16-bit floats, and others that are numbers by themselves, to f32.

use std::ops::Range;

use depthscale_types::WeightFormat;

use crate::ahead::{Ahead, fetch_after};
use crate::lanes::{LANES, Lanes, Set, WithLanes, from_bf16, from_f16};
use crate::tile::{Sums, Tile};

/// Bytes of an element.
const HALF: usize = 2;

/// The bytes of rows of 16-bit floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(width: usize, bytes: &'a [u8]) -> Self {
        Self { bytes, width }
    }

    /// The bytes of some rows.
    #[inline(always)]
    pub(crate) fn bytes(&self, rows: Range<usize>) -> &'a [u8] {
        let of_row = HALF * self.width;
        &self.bytes[rows.start * of_row..rows.end * of_row]
    }

    /// Elements of a row.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [u8] {
        self.part(row, 0..self.width)
    }

    /// Some columns of a row.
    #[inline(always)]
    pub(crate) fn part(&self, row: usize, columns: Range<usize>) -> &'a [u8] {
        &self.bytes[HALF * (row * self.width + columns.start)..][..HALF * columns.len()]
    }
}

/// The values of a row.
pub(crate) fn decode_row(set: Set, format: WeightFormat, row: &[u8], values: &mut [f32]) {
    set.run(DecodeRow { format, row, values });
}

struct DecodeRow<'a> {
    format: WeightFormat,
    row: &'a [u8],
    values: &'a mut [f32],
}

impl WithLanes for DecodeRow<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { format, row, values } = self;
        match format {
            WeightFormat::F16 => decode::<F16, L>(lanes, row, values),
            WeightFormat::Bf16 => decode::<Bf16, L>(lanes, row, values),
            _ => unreachable!("{format} is not 16-bit floats"),
        }
    }
}

/// 16-bit floats (IEEE 754 half).
#[derive(Debug, Clone, Copy)]
pub(crate) struct F16;

/// 16-bit brain floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16;

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

/// [`Dots::dot`](crate::weights::Dots::dot).
#[inline(always)]
pub(crate) fn dot_of_vectors<V: Vectors, L: Lanes>(lanes: L, (vectors, rest): Parts<'_, V>, x: &Tile<1>) -> f32 {
    // Sums that do not wait for one another.
    const SUMS: usize = 4;
    let (parts, last) = vectors.as_chunks::<SUMS>();
    let (x_parts, x_last) = x.vectors.as_chunks::<SUMS>();
    let mut sums = Sums::<L, SUMS, 1>::new(lanes);
    for (part, x) in parts.iter().zip(x_parts) {
        fetch_after(part);
        for (at, (vector, x)) in part.iter().zip(x).enumerate() {
            sums.add(lanes, at, V::floats(lanes, vector), x);
        }
    }
    for (at, (vector, x)) in last.iter().zip(x_last).enumerate() {
        sums.add(lanes, at, V::floats(lanes, vector), x);
    }
    let rest = rest.iter().zip(&x.rest).map(|(&weight, [x])| V::float(weight) * x);
    lanes.sum(sums.added(lanes)) + rest.sum::<f32>()
}

/// [`Dots::dots`](crate::weights::Dots::dots).
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

/// 16-bit floats.
pub(crate) trait Halves: Vectors<Vector = [u8; 2 * LANES], Single = [u8; 2]> + Copy + Send + Sync {}

impl Halves for F16 {}
impl Halves for Bf16 {}

/// The values of a row of 16-bit floats.
#[inline(always)]
pub(crate) fn decode<H: Halves, L: Lanes>(lanes: L, row: &[u8], values: &mut [f32]) {
    let (halves, rest) = row.as_chunks();
    let (values, rest_values) = values.as_chunks_mut();
    for (values, halves) in values.iter_mut().zip(halves) {
        *values = lanes.store(H::floats(lanes, halves));
    }
    for (value, &half) in rest_values.iter_mut().zip(rest.as_chunks().0) {
        *value = H::float(half);
    }
}
