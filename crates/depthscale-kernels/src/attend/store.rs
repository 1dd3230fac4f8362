//! Keys and values where they lie, in f32 or in 16 bits.

use std::ops::Range;

use burn::tensor::{bf16, f16};
use burn_flex::FlexTensor;

use crate::ahead::fetch;
use crate::decode::{Bf16, F16, F32, Vectors};
use crate::lanes::{LANES, Lanes};

/// Bytes between what is used and what is fetched, for memory takes its time to answer; found by measuring.
const AHEAD: usize = 1 << 12;

/// What keys and values are kept in. All but [`elements`](Self::elements) is `#[inline(always)]`, as what is given to
/// [`Set::run`](crate::lanes::Set::run).
pub(super) trait Kept: Vectors<Single: Send + Sync> + Sized {
    /// The memory of a tensor of these.
    fn elements(tensor: &FlexTensor) -> &[Self::Single];

    /// Whole vectors.
    fn vectors(elements: &[Self::Single]) -> &[Self::Vector];

    /// Rows of whole vectors as f32, decoded into `space` unless they are f32.
    #[inline(always)]
    fn floats_of<'s, L: Lanes>(lanes: L, rows: HeadRows<'s, Self>, space: &'s mut Vec<f32>) -> HeadRows<'s, F32> {
        let HeadRows { width, n, .. } = rows;
        space.resize(n * width, 0.0);
        for (row, floats) in space.chunks_exact_mut(width).enumerate() {
            for (floats, vector) in floats.as_chunks_mut().0.iter_mut().zip(Self::vectors(rows.get(row))) {
                *floats = lanes.store(Self::floats(lanes, vector));
            }
        }
        HeadRows { elements: space, row: width, width, n }
    }
}

impl Kept for F32 {
    fn elements(tensor: &FlexTensor) -> &[f32] {
        tensor.storage()
    }

    #[inline(always)]
    fn vectors(elements: &[f32]) -> &[[f32; LANES]] {
        elements.as_chunks().0
    }

    #[inline(always)]
    fn floats_of<'s, L: Lanes>(_: L, rows: HeadRows<'s, F32>, _: &'s mut Vec<f32>) -> HeadRows<'s, F32> {
        rows
    }
}

impl Kept for F16 {
    fn elements(tensor: &FlexTensor) -> &[[u8; 2]] {
        bytemuck::cast_slice(tensor.storage::<f16>())
    }

    #[inline(always)]
    fn vectors(elements: &[[u8; 2]]) -> &[[u8; 2 * LANES]] {
        elements.as_flattened().as_chunks().0
    }
}

impl Kept for Bf16 {
    fn elements(tensor: &FlexTensor) -> &[[u8; 2]] {
        bytemuck::cast_slice(tensor.storage::<bf16>())
    }

    #[inline(always)]
    fn vectors(elements: &[[u8; 2]]) -> &[[u8; 2 * LANES]] {
        elements.as_flattened().as_chunks().0
    }
}

/// `[kv_heads, keys, head_dim]`: a cache, or rows in which heads lie beside one another.
pub(super) struct Store<'a, K: Kept> {
    elements: &'a [K::Single],
    /// From one head to the next.
    head: usize,
    /// From one row to the next.
    row: usize,
    width: usize,
}

impl<'a, K: Kept> Store<'a, K> {
    /// Of a tensor whose rows are whole.
    pub(super) fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        Self {
            elements: &K::elements(tensor)[layout.start_offset()..],
            head: layout.strides()[0].unsigned_abs(),
            row: layout.strides()[1].unsigned_abs(),
            width: layout.shape()[2],
        }
    }

    /// Some rows of a head.
    #[inline(always)]
    pub(super) fn rows(&self, head: usize, rows: &Range<usize>) -> HeadRows<'a, K> {
        let n = rows.len();
        let elements = if n == 0 { &[] } else { &self.elements[head * self.head + rows.start * self.row..] };
        HeadRows { elements, row: self.row, width: self.width, n }
    }
}

/// Some rows of a head.
pub(super) struct HeadRows<'a, K: Kept> {
    /// From the first row on.
    elements: &'a [K::Single],
    /// From one row to the next.
    row: usize,
    width: usize,
    n: usize,
}

impl<K: Kept> Clone for HeadRows<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Kept> Copy for HeadRows<'_, K> {}

impl<'a, K: Kept> HeadRows<'a, K> {
    /// How many.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Elements of each.
    #[inline(always)]
    pub(super) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(super) fn get(&self, row: usize) -> &'a [K::Single] {
        &self.elements[row * self.row..][..self.width]
    }

    /// Fetches what is needed some rows after this one; past the last row begins what comes next.
    #[inline(always)]
    pub(super) fn fetch_after(&self, row: usize, next: &Self) {
        let row = row + AHEAD.div_ceil(self.width * size_of::<K::Single>());
        if row < self.n {
            fetch(self.get(row));
        } else if row - self.n < next.n {
            fetch(next.get(row - self.n));
        }
    }
}
