//! Rows of a weight, however it is kept.

use std::marker::PhantomData;
use std::ops::Range;

use depthscale_types::WeightFormat;

use crate::decode::{AHEAD, Bf16, Decode, F16, F32, Parts, Q4, Q8, Rows, dots_of_vectors};
use crate::lanes::Lanes;
use crate::packed::PackedWeight;
use crate::tile::Tile;

/// Rows of a weight, however they are kept. All is `#[inline(always)]`, as what is given to [`Set::run`](crate::lanes::Set::run).
pub(crate) trait Weights: Copy + Send + Sync {
    /// How many bytes, for every block of columns, are computed with while as many are fetched.
    const AHEAD: usize;

    /// `sum_i w_oi x_ri` of some rows for every row of x, over its columns. Meanwhile what comes next is fetched.
    fn dots<L: Lanes, const O: usize, const R: usize>(
        &self,
        lanes: L,
        rows: [usize; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O];

    /// The bytes of rows without scales, to be fetched before they are needed.
    fn bytes(&self, rows: Range<usize>) -> &[u8];

    /// Some rows, one after the other; `space` may be used for them.
    fn rows<'s, L: Lanes>(&'s self, lanes: L, rows: Range<usize>, space: &'s mut Vec<f32>) -> &'s [f32];
}

/// As f32.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) d_in: usize,
}

impl Weights for Plain<'_> {
    const AHEAD: usize = AHEAD;

    #[inline(always)]
    fn dots<L: Lanes, const O: usize, const R: usize>(
        &self,
        lanes: L,
        rows: [usize; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O] {
        let mut parts: [Parts<'_, F32>; O] = [(&[], &[]); O];
        for (part, row) in parts.iter_mut().zip(rows) {
            *part = self.weight[row * self.d_in..][x.columns()].as_chunks();
        }
        dots_of_vectors::<F32, L, O, R>(lanes, parts, x, next)
    }

    #[inline(always)]
    fn bytes(&self, rows: Range<usize>) -> &[u8] {
        bytemuck::cast_slice(&self.weight[rows.start * self.d_in..rows.end * self.d_in])
    }

    #[inline(always)]
    fn rows<'s, L: Lanes>(&'s self, _: L, rows: Range<usize>, _: &'s mut Vec<f32>) -> &'s [f32] {
        &self.weight[rows.start * self.d_in..rows.end * self.d_in]
    }
}

/// In fewer bits.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a, D> {
    rows: Rows<'a>,
    format: PhantomData<D>,
}

impl<'a, D> Packed<'a, D> {
    fn new(rows: Rows<'a>) -> Self {
        Self { rows, format: PhantomData }
    }
}

impl<D: Decode> Weights for Packed<'_, D> {
    const AHEAD: usize = D::AHEAD;

    #[inline(always)]
    fn dots<L: Lanes, const O: usize, const R: usize>(
        &self,
        lanes: L,
        rows: [usize; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O] {
        let mut parts = [self.rows.part(rows[0], x.columns()); O];
        for (part, row) in parts.iter_mut().zip(rows) {
            *part = self.rows.part(row, x.columns());
        }
        D::dots(lanes, parts, x, next)
    }

    #[inline(always)]
    fn bytes(&self, rows: Range<usize>) -> &[u8] {
        self.rows.codes(rows)
    }

    #[inline(always)]
    fn rows<'s, L: Lanes>(&'s self, lanes: L, rows: Range<usize>, space: &'s mut Vec<f32>) -> &'s [f32] {
        let width = self.rows.width();
        space.resize(rows.len() * width, 0.0);
        for (row, values) in rows.zip(space.chunks_exact_mut(width)) {
            D::decode(lanes, self.rows.row(row), values);
        }
        space
    }
}

/// What is done with a weight; called with the type that its format has.
pub(crate) trait WithWeights {
    type Output;

    fn run<W: Weights>(self, weights: W) -> Self::Output;
}

/// A weight whose format is known only when it is used.
#[derive(Clone, Copy)]
pub(crate) enum AnyWeights<'a> {
    Plain(Plain<'a>),
    Packed(&'a PackedWeight),
}

impl<'a> AnyWeights<'a> {
    /// Outputs: its rows.
    pub(crate) fn d_out(self) -> usize {
        match self {
            Self::Plain(Plain { weight, d_in }) => weight.len() / d_in,
            Self::Packed(packed) => packed.shape()[0],
        }
    }

    /// [`Weights::bytes`] of all rows.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Plain(Plain { weight, .. }) => bytemuck::cast_slice(weight),
            Self::Packed(packed) => packed.codes(),
        }
    }

    /// Does some work with it.
    pub(crate) fn with<T: WithWeights>(self, work: T) -> T::Output {
        let packed = match self {
            Self::Plain(plain) => return work.run(plain),
            Self::Packed(packed) => packed,
        };
        let rows = packed.rows();
        match packed.format() {
            WeightFormat::F32 => unreachable!("packed weights are not f32"),
            WeightFormat::F16 => work.run(Packed::<F16>::new(rows)),
            WeightFormat::Bf16 => work.run(Packed::<Bf16>::new(rows)),
            WeightFormat::Q8 => work.run(Packed::<Q8>::new(rows)),
            WeightFormat::Q4 => work.run(Packed::<Q4>::new(rows)),
        }
    }
}
