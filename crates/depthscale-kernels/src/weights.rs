//! Rows of a weight, however it is kept.

use std::marker::PhantomData;
use std::ops::Range;

use depthscale_types::WeightFormat;

use crate::decode::{Bf16, F16, F32, Halves, Parts, Rows, decode, dot_of_vectors, dots_of_vectors};
use crate::groups::Groups;
use crate::lanes::Lanes;
use crate::packed::PackedWeight;
use crate::tile::Tile;

/// Rows of a weight, however they are kept. All is `#[inline(always)]`, as what is given to [`Set::run`](crate::lanes::Set::run).
pub(crate) trait Weights: Copy + Send + Sync {
    /// Some rows, one after the other; `space` may be used for them.
    fn rows<'s, L: Lanes>(&'s self, lanes: L, rows: Range<usize>, space: &'s mut Vec<f32>) -> &'s [f32];
}

/// Rows of numbers by themselves, which are multiplied along the row.
pub(crate) trait Dots: Weights {
    /// `sum_i w_i x_i` of a row for a single row of x, over all columns. Meanwhile what comes after the row is fetched.
    fn dot<L: Lanes>(&self, lanes: L, row: usize, x: &Tile<1>) -> f32;

    /// `sum_i w_oi x_ri` of some rows for every row of x, over its columns. Meanwhile what comes next is fetched.
    fn dots<L: Lanes, const O: usize, const R: usize>(
        &self,
        lanes: L,
        rows: [usize; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O];

    /// The bytes of rows, to be fetched before they are needed.
    fn bytes(&self, rows: Range<usize>) -> &[u8];
}

/// As f32.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) d_in: usize,
}

impl Weights for Plain<'_> {
    #[inline(always)]
    fn rows<'s, L: Lanes>(&'s self, _: L, rows: Range<usize>, _: &'s mut Vec<f32>) -> &'s [f32] {
        &self.weight[rows.start * self.d_in..rows.end * self.d_in]
    }
}

impl Dots for Plain<'_> {
    #[inline(always)]
    fn dot<L: Lanes>(&self, lanes: L, row: usize, x: &Tile<1>) -> f32 {
        dot_of_vectors::<F32, L>(lanes, self.weight[row * self.d_in..][..self.d_in].as_chunks(), x)
    }

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
}

/// In 16 bits.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a, H> {
    rows: Rows<'a>,
    format: PhantomData<H>,
}

impl<'a, H> Packed<'a, H> {
    fn new(rows: Rows<'a>) -> Self {
        Self { rows, format: PhantomData }
    }
}

impl<H: Halves> Weights for Packed<'_, H> {
    #[inline(always)]
    fn rows<'s, L: Lanes>(&'s self, lanes: L, rows: Range<usize>, space: &'s mut Vec<f32>) -> &'s [f32] {
        let width = self.rows.width();
        space.resize(rows.len() * width, 0.0);
        for (row, values) in rows.zip(space.chunks_exact_mut(width)) {
            decode::<H, L>(lanes, self.rows.row(row), values);
        }
        space
    }
}

impl<H: Halves> Dots for Packed<'_, H> {
    #[inline(always)]
    fn dot<L: Lanes>(&self, lanes: L, row: usize, x: &Tile<1>) -> f32 {
        let (vectors, rest) = self.rows.row(row).as_chunks();
        dot_of_vectors::<H, L>(lanes, (vectors, rest.as_chunks().0), x)
    }

    #[inline(always)]
    fn dots<L: Lanes, const O: usize, const R: usize>(
        &self,
        lanes: L,
        rows: [usize; O],
        x: &Tile<R>,
        next: &[u8],
    ) -> [[f32; R]; O] {
        let mut parts: [Parts<'_, H>; O] = [(&[], &[]); O];
        for (part, row) in parts.iter_mut().zip(rows) {
            let (vectors, rest) = self.rows.part(row, x.columns()).as_chunks();
            *part = (vectors, rest.as_chunks().0);
        }
        dots_of_vectors::<H, L, O, R>(lanes, parts, x, next)
    }

    #[inline(always)]
    fn bytes(&self, rows: Range<usize>) -> &[u8] {
        self.rows.bytes(rows)
    }
}

impl Weights for Groups<'_> {
    #[inline(always)]
    fn rows<'s, L: Lanes>(&'s self, _: L, rows: Range<usize>, space: &'s mut Vec<f32>) -> &'s [f32] {
        let width = self.width();
        space.resize(rows.len() * width, 0.0);
        for (row, values) in rows.zip(space.chunks_exact_mut(width)) {
            self.decode(row, values);
        }
        space
    }
}

/// What is done with a weight that is not in blocks; called with the type that its format has.
pub(crate) trait WithWeights {
    type Output;

    fn run<W: Dots>(self, weights: W) -> Self::Output;
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

    /// [`Dots::bytes`] of all rows.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Plain(Plain { weight, .. }) => bytemuck::cast_slice(weight),
            Self::Packed(packed) => packed.codes(),
        }
    }

    /// The weight, if it is in blocks.
    pub(crate) fn in_blocks(&self) -> Option<&'a PackedWeight> {
        match self {
            Self::Packed(packed) if packed.format().is_blocks() => Some(packed),
            _ => None,
        }
    }

    /// Does some work with it.
    ///
    /// # Panics
    /// If it is in blocks.
    pub(crate) fn with<T: WithWeights>(self, work: T) -> T::Output {
        let packed = match self {
            Self::Plain(plain) => return work.run(plain),
            Self::Packed(packed) => packed,
        };
        match packed.format() {
            WeightFormat::F16 => work.run(Packed::<F16>::new(packed.halves())),
            WeightFormat::Bf16 => work.run(Packed::<Bf16>::new(packed.halves())),
            format => unreachable!("{format} is not a number by itself"),
        }
    }
}
