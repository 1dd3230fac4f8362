//! Keys and values where they lie, in f32, in 16 bits or in 8.

use std::ops::Range;

use burn::tensor::{bf16, f16};
use burn_flex::FlexTensor;

use crate::ahead::fetch_from;
use crate::decode::{Bf16, F16, F32, Vectors};
use crate::kept::FlexRows;
use crate::lanes::{LANES, Lanes};

/// Rows between the one that is used and the one that is fetched, for memory takes its time to answer; found by measuring.
const AHEAD: usize = 64;

/// What keys and values are kept in. All but [`elements`](Self::elements) is `#[inline(always)]`, as what is given to
/// [`Set::run`](crate::lanes::Set::run).
pub(super) trait Kept: Vectors<Vector: 'static, Single: Send + Sync> + Sized {
    /// Whether rows have scales.
    const SCALED: bool = false;

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
            let scale = lanes.splat(if Self::SCALED { rows.scales[row * rows.scale_row] } else { 1.0 });
            for (floats, vector) in floats.as_chunks_mut().0.iter_mut().zip(Self::vectors(rows.get(row))) {
                let vector = Self::floats(lanes, vector);
                *floats = lanes.store(if Self::SCALED { lanes.mul(vector, scale) } else { vector });
            }
        }
        HeadRows { elements: space, row: width, scales: &[], scale_row: 0, width, n }
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

/// Whole numbers of a byte, which have no float by themselves.
pub(super) struct Bytes;

impl Vectors for Bytes {
    type Vector = [u8; LANES];
    type Single = u8;

    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, vector: &[u8; LANES]) -> L::Floats {
        lanes.bytes(vector)
    }

    #[inline(always)]
    fn float(single: u8) -> f32 {
        f32::from(single as i8)
    }
}

impl Kept for Bytes {
    const SCALED: bool = true;

    fn elements(tensor: &FlexTensor) -> &[u8] {
        bytemuck::cast_slice(tensor.storage::<i8>())
    }

    #[inline(always)]
    fn vectors(elements: &[u8]) -> &[[u8; LANES]] {
        elements.as_chunks().0
    }
}

/// `[kv_heads, keys, head_dim]`: a cache, or rows in which heads lie beside one another.
pub(super) struct Store<'a, K: Kept> {
    elements: Strided<'a, K::Single>,
    /// Where rows have them.
    scales: Option<Strided<'a, f32>>,
    width: usize,
}

/// Where the rows of heads lie.
struct Strided<'a, T> {
    all: &'a [T],
    /// From one head to the next.
    head: usize,
    /// From one row to the next.
    row: usize,
}

impl<'a, T> Strided<'a, T> {
    fn new(tensor: &FlexTensor, storage: &'a [T]) -> Self {
        let layout = tensor.layout();
        let [head, row] = [0, 1].map(|dim| layout.strides()[dim].unsigned_abs());
        Self { all: &storage[layout.start_offset()..], head, row }
    }

    /// From a row of a head on; nothing past the last.
    #[inline(always)]
    fn from(&self, head: usize, row: usize) -> &'a [T] {
        self.all.get(head * self.head + row * self.row..).unwrap_or_default()
    }
}

impl<'a, K: Kept> Store<'a, K> {
    /// Of tensors whose rows are whole.
    pub(super) fn of(rows: &'a FlexRows) -> Self {
        Self {
            elements: Strided::new(&rows.elements, K::elements(&rows.elements)),
            scales: rows.scales.as_ref().map(|scales| Strided::new(scales, scales.storage())),
            width: rows.elements.layout().shape()[2],
        }
    }

    /// Some rows of a head.
    #[inline(always)]
    pub(super) fn rows(&self, head: usize, rows: &Range<usize>) -> HeadRows<'a, K> {
        let (scales, scale_row) = match &self.scales {
            Some(scales) => (scales.from(head, rows.start), scales.row),
            None => (&[][..], 0),
        };
        let (elements, row) = (self.elements.from(head, rows.start), self.elements.row);
        HeadRows { elements, row, scales, scale_row, width: self.width, n: rows.len() }
    }
}

/// Some rows of a head.
pub(super) struct HeadRows<'a, K: Kept> {
    /// From the first row on.
    elements: &'a [K::Single],
    /// From one row to the next.
    row: usize,
    /// Of their scales, where they have any.
    scales: &'a [f32],
    scale_row: usize,
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

    /// Multiplies a number for each with its scale.
    #[inline(always)]
    pub(super) fn scale(&self, numbers: &mut [f32]) {
        if !K::SCALED {
            return;
        }
        match self.scale_row {
            // In a cache, one after the other.
            1 => numbers.iter_mut().zip(self.scales).for_each(|(number, scale)| *number *= scale),
            step => {
                numbers.iter_mut().zip(self.scales.iter().step_by(step)).for_each(|(number, scale)| *number *= scale)
            }
        }
    }

    /// Whole vectors of a row, from an element on.
    #[inline(always)]
    pub(super) fn vectors<const V: usize>(&self, row: usize, element: usize) -> &'a [K::Vector; V] {
        let elements = &self.elements[row * self.row + element..][..V * LANES];
        K::vectors(elements).first_chunk().unwrap_or_else(|| unreachable!("as many"))
    }

    /// Fetches the same some rows later; past the last row begins what comes next, whose rows lie as far from one another.
    #[inline(always)]
    pub(super) fn fetch_after<const V: usize>(&self, row: usize, element: usize, next: &Self) {
        let later = row + AHEAD;
        let (own, other) = (self.elements.as_ptr(), next.elements.as_ptr().wrapping_sub(self.n * self.row));
        let first = if later < self.n { own } else { other };
        if later < self.n + next.n {
            fetch_from(first.wrapping_add(later * self.row + element), V * LANES);
        }
    }
}
