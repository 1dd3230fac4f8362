//! Keys and values as caches keep them.

use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, DType, FloatDType, Int, IntDType, Tensor};
use depthscale_types::CacheDtype;

use crate::cast::round_to;
use crate::heads::HeadShape;

/// The largest code of a byte.
const LARGEST_CODE: f32 = 127.0;

/// Keys or values of consecutive tokens of one sequence, `[kv_heads, rows, head_dim]`, as a cache keeps them.
#[derive(Debug, Clone)]
pub enum KeptRows<B: Backend> {
    /// Floats, of any dtype.
    Floats(Tensor<B, 3>),
    /// Integers of 8 bits, with a scale for every head of a token.
    Bytes {
        /// `[kv_heads, rows, head_dim]`, of [`IntDType::I8`], from -127 to 127.
        codes: Tensor<B, 3, Int>,
        /// `[kv_heads, rows, 1]`, of [`FloatDType::F32`].
        scales: Tensor<B, 3>,
    },
}

impl<B: Backend> KeptRows<B> {
    /// Whether a device keeps rows in a dtype.
    pub fn keeps(device: &B::Device, dtype: CacheDtype) -> bool {
        B::supports_dtype(device, floats_of(dtype).map_or(DType::I8, DType::from))
    }

    /// Rows as they are kept in a dtype. What is too large for f16 becomes the largest that is not; in `q8` no element moves by
    /// more than a 254th of the largest of its head, or 2e-36, and a head with an element that is not finite is NaN. On flex rows are
    /// rounded on all threads.
    ///
    /// # Shapes
    /// - x: `[rows, n_kv_heads * head_dim]`
    ///
    /// # Panics
    /// If the width is another.
    pub fn keep(x: Tensor<B, 2>, heads: HeadShape, dtype: CacheDtype) -> Self {
        match floats_of(dtype) {
            Some(floats) => Self::Floats(heads.split_kv(round_to(x, floats))),
            None => Self::in_bytes(x, heads),
        }
    }

    fn in_bytes(x: Tensor<B, 2>, heads: HeadShape) -> Self {
        let (rows, x) = (x.dims()[0], x.cast(FloatDType::F32));
        #[cfg(feature = "flex")]
        let x = match on_flex::in_bytes(x, heads) {
            Ok(kept) => return kept,
            Err(x) => x,
        };
        // Heads come first at the end: burn-ndarray 0.21's `abs` of swapped dimensions has the elements of others.
        let x = x.reshape([rows, heads.n_kv_heads, heads.head_dim]);
        // What is not finite is not a number times zero, and makes the scale none.
        let scales = x.clone().abs().max_dim(2) / LARGEST_CODE + (x.clone() * 0.0).sum_dim(2);
        let inverse = scales.clone().recip().mask_fill(scales.clone().lower_elem(f32::MIN_POSITIVE), 0.0);
        let codes = (x * inverse).round().clamp(-LARGEST_CODE, LARGEST_CODE);
        let codes = codes.clone().mask_fill(codes.is_nan(), 0.0).int().cast(IntDType::I8);
        Self::Bytes { codes: codes.swap_dims(0, 1), scales: scales.swap_dims(0, 1) }
    }

    /// `[kv_heads, rows, head_dim]`.
    pub fn dims(&self) -> [usize; 3] {
        match self {
            Self::Floats(floats) => floats.dims(),
            Self::Bytes { codes, .. } => codes.dims(),
        }
    }

    /// What elements are, without their scales.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Floats(floats) => floats.dtype(),
            Self::Bytes { codes, .. } => codes.dtype(),
        }
    }

    /// As floats of a dtype.
    pub fn into_floats(self, dtype: FloatDType) -> Tensor<B, 3> {
        match self {
            Self::Floats(floats) => floats.cast(dtype),
            Self::Bytes { codes, scales } => (codes.cast(FloatDType::F32) * scales).cast(dtype),
        }
    }

    /// `n` rows from row `start` on: a view.
    pub fn narrow(&self, start: usize, n: usize) -> Self {
        match self.clone() {
            Self::Floats(floats) => Self::Floats(floats.narrow(1, start, n)),
            Self::Bytes { codes, scales } => {
                Self::Bytes { codes: codes.narrow(1, start, n), scales: scales.narrow(1, start, n) }
            }
        }
    }

    /// The rows `order` names among these and those that follow them.
    ///
    /// # Panics
    /// If they are kept in different dtypes.
    pub fn select_with(self, others: Self, order: &Tensor<B, 1, Int>) -> Self {
        match (self, others) {
            (Self::Floats(floats), Self::Floats(others)) => Self::Floats(select_of_both(floats, others, order)),
            (Self::Bytes { codes, scales }, Self::Bytes { codes: other_codes, scales: other_scales }) => Self::Bytes {
                codes: select_of_both(codes, other_codes, order),
                scales: select_of_both(scales, other_scales, order),
            },
            _ => panic!("rows of a cache are kept in one dtype"),
        }
    }

    /// Zeros for so many rows of the same heads, kept in the same way.
    pub fn zeros_like(&self, rows: usize) -> Self {
        let [heads, _, head_dim] = self.dims();
        match self {
            Self::Floats(floats) => {
                Self::Floats(Tensor::zeros([heads, rows, head_dim], (&floats.device(), floats.dtype())))
            }
            Self::Bytes { codes, scales } => Self::Bytes {
                codes: Tensor::zeros([heads, rows, head_dim], (&codes.device(), codes.dtype())),
                scales: Tensor::zeros([heads, rows, 1], (&scales.device(), scales.dtype())),
            },
        }
    }

    /// Writes other rows over these from row `start` on.
    ///
    /// On flex these are overwritten in place as long as nothing else holds them; otherwise they are copied first.
    ///
    /// # Panics
    /// If the others are of other heads or kept in another dtype, or go past the last of these.
    pub fn write(self, start: usize, rows: Self) -> Self {
        let ([heads, capacity, head_dim], [row_heads, n, row_dim]) = (self.dims(), rows.dims());
        assert!(
            row_heads == heads && row_dim == head_dim && start + n <= capacity,
            "rows [{row_heads}, {n}, {row_dim}] at {start} do not fit a cache of [{heads}, {capacity}, {head_dim}]"
        );
        assert_eq!(self.dtype(), rows.dtype(), "rows of a cache are kept in one dtype");
        #[cfg(feature = "flex")]
        let (this, rows) = match on_flex::write(self, start, rows) {
            Ok(written) => return written,
            Err(unchanged) => unchanged,
        };
        #[cfg(not(feature = "flex"))]
        let this = self;
        match (this, rows) {
            (Self::Floats(floats), Self::Floats(rows)) => Self::Floats(assign(floats, start, rows)),
            (Self::Bytes { codes, scales }, Self::Bytes { codes: row_codes, scales: row_scales }) => {
                Self::Bytes { codes: assign(codes, start, row_codes), scales: assign(scales, start, row_scales) }
            }
            _ => unreachable!("of one dtype, as was asked"),
        }
    }
}

/// What elements are, unless they are bytes.
fn floats_of(dtype: CacheDtype) -> Option<FloatDType> {
    match dtype {
        CacheDtype::F32 => Some(FloatDType::F32),
        CacheDtype::F16 => Some(FloatDType::F16),
        CacheDtype::Bf16 => Some(FloatDType::BF16),
        CacheDtype::Q8 => None,
    }
}

fn select_of_both<B: Backend, K: BasicOps<B>>(
    rows: Tensor<B, 3, K>,
    others: Tensor<B, 3, K>,
    order: &Tensor<B, 1, Int>,
) -> Tensor<B, 3, K> {
    Tensor::cat(vec![rows, others], 1).select(1, order.clone())
}

fn assign<B: Backend, K: BasicOps<B>>(cache: Tensor<B, 3, K>, start: usize, rows: Tensor<B, 3, K>) -> Tensor<B, 3, K> {
    let [heads, n, width] = rows.dims();
    cache.slice_assign([0..heads, start..start + n, 0..width], rows)
}

#[cfg(feature = "flex")]
pub(crate) use on_flex::FlexRows;

#[cfg(feature = "flex")]
mod on_flex {
    use burn::tensor::backend::Backend;
    use burn::tensor::{DType, Element, Tensor, TensorData, bf16, f16};
    use burn_flex::FlexTensor;

    use super::{KeptRows, LARGEST_CODE};
    use crate::heads::HeadShape;
    use crate::vector::{ROUND, fill_both, task_rows};
    use crate::{ahead, flex};

    /// [`KeptRows::in_bytes`], or x unchanged if it is not flex's f32.
    pub(super) fn in_bytes<B: Backend>(x: Tensor<B, 2>, heads: HeadShape) -> Result<KeptRows<B>, Tensor<B, 2>> {
        let HeadShape { n_kv_heads, head_dim, .. } = heads;
        let rows = x.dims()[0];
        let x = flex::take(x)?.to_contiguous();
        let Some(values) = x.as_slice::<f32>() else { unreachable!("it is contiguous f32") };
        let (mut codes, mut scales) = (vec![0; values.len()], vec![0.0; rows * n_kv_heads]);
        let at_once = task_rows(head_dim);
        fill_both(
            (&mut codes, at_once * head_dim),
            (&mut scales, at_once),
            #[inline(always)]
            |at, codes, scales| {
                let values = values[at * at_once * head_dim..].chunks_exact(head_dim);
                for ((codes, scale), values) in codes.chunks_exact_mut(head_dim).zip(scales).zip(values) {
                    *scale = round(values, codes);
                }
            },
        );
        let codes = TensorData::new(codes, [rows, n_kv_heads, head_dim]);
        let scales = TensorData::new(scales, [rows, n_kv_heads, 1]);
        Ok(KeptRows::Bytes {
            codes: flex::give_int::<B, 3>(FlexTensor::from_data(codes)).swap_dims(0, 1),
            scales: flex::give::<B, 3>(FlexTensor::from_data(scales)).swap_dims(0, 1),
        })
    }

    /// Fills in the codes of a head and returns their scale.
    #[inline(always)]
    fn round(values: &[f32], codes: &mut [i8]) -> f32 {
        // The bits of magnitudes are in the order of what they stand for; those of what is not a number come last.
        let largest = values.iter().fold(0, |largest, value| value.abs().to_bits().max(largest));
        let scale = f32::from_bits(largest) / LARGEST_CODE;
        let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { scale.recip() };
        for (code, value) in codes.iter_mut().zip(values) {
            *code = ((value * inverse).clamp(-LARGEST_CODE, LARGEST_CODE) + ROUND).to_bits() as i8;
        }
        scale
    }

    /// [`KeptRows::write`], or everything unchanged if it is not flex's.
    pub(super) fn write<B: Backend>(
        cache: KeptRows<B>,
        start: usize,
        rows: KeptRows<B>,
    ) -> Result<KeptRows<B>, (KeptRows<B>, KeptRows<B>)> {
        let write = match cache.dtype() {
            DType::F32 => copy::<f32>,
            DType::F16 => copy::<f16>,
            DType::BF16 => copy::<bf16>,
            DType::I8 => copy::<i8>,
            _ => return Err((cache, rows)),
        };
        if !flex::is_flex::<B>() {
            return Err((cache, rows));
        }
        let [cache, rows] = [cache, rows].map(|rows| rows.into_flex().unwrap_or_else(|_| unreachable!("asked before")));
        if let Some(scales) = &cache.scales {
            fetch_places::<f32>(scales, start);
        }
        let written = write(cache.elements, start, rows.elements);
        Ok(match cache.scales.zip(rows.scales) {
            Some((scales, rows)) => {
                KeptRows::Bytes { codes: flex::give_int(written), scales: flex::give(copy::<f32>(scales, start, rows)) }
            }
            None => KeptRows::Floats(flex::give(written)),
        })
    }

    /// [`KeptRows`] of flex.
    pub(crate) struct FlexRows {
        /// `[kv_heads, rows, head_dim]`.
        pub(crate) elements: FlexTensor,
        /// `[kv_heads, rows, 1]`, of bytes.
        pub(crate) scales: Option<FlexTensor>,
    }

    impl<B: Backend> KeptRows<B> {
        /// The rows as flex's, or unchanged if they are not.
        pub(crate) fn into_flex(self) -> Result<FlexRows, Self> {
            match self {
                Self::Floats(floats) => match flex::take_any(floats) {
                    Ok(elements) => Ok(FlexRows { elements, scales: None }),
                    Err(floats) => Err(Self::Floats(floats)),
                },
                Self::Bytes { codes, scales } => match (flex::take_int(codes), flex::take_any(scales)) {
                    (Ok(elements), Ok(scales)) => Ok(FlexRows { elements, scales: Some(scales) }),
                    (Err(codes), Err(scales)) => Err(Self::Bytes { codes, scales }),
                    _ => unreachable!("both are tensors of one backend"),
                },
            }
        }
    }

    /// Fetches where the first row of every head is written to. These places are far from one another and have been out of the
    /// caches since weights passed through them: they come together, where each would be waited for.
    fn fetch_places<E: Element + bytemuck::Pod>(cache: &FlexTensor, start: usize) {
        let shape = cache.layout().shape();
        let [heads, capacity, width] = [shape[0], shape[1], shape[2]];
        let elements = &cache.storage::<E>()[cache.layout().start_offset()..];
        for head in 0..heads {
            let place = (head * capacity + start) * width;
            ahead::fetch(elements.get(place..place + width).unwrap_or_default());
        }
    }

    /// Copies rows of every head; both tensors hold elements of this type.
    fn copy<E: Element + bytemuck::Pod>(cache: FlexTensor, start: usize, rows: FlexTensor) -> FlexTensor {
        let shape = cache.layout().shape();
        let [heads, capacity, width] = [shape[0], shape[1], shape[2]];
        let n = rows.layout().shape()[1];
        // Caches that lie otherwise are not made here, and a view whose rows are not whole is rare and small.
        let mut cache = if cache.is_contiguous() { cache } else { cache.to_contiguous() };
        let rows = if rows.layout().strides()[2] == 1 { rows } else { rows.to_contiguous() };
        fetch_places::<E>(&cache, start);
        let place = cache.layout().start_offset();
        let [head_stride, row_stride] = [rows.layout().strides()[0], rows.layout().strides()[1]];
        let first = rows.layout().start_offset();
        let source = rows.storage::<E>();
        // Copies first where the cache is shared, so a view taken earlier keeps what it saw.
        let target = cache.storage_mut::<E>();
        for head in 0..heads {
            for row in 0..n {
                let from = (first as isize + head as isize * head_stride + row as isize * row_stride) as usize;
                let to = place + (head * capacity + start + row) * width;
                target[to..to + width].copy_from_slice(&source[from..from + width]);
            }
        }
        cache
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use burn_ndarray::NdArray;

    use super::*;

    const HEADS: HeadShape = HeadShape { n_heads: 2, n_kv_heads: 2, head_dim: 3 };

    fn tensor<B: Backend>(shape: [usize; 3], first: f32) -> Tensor<B, 3> {
        let values = (0..shape.iter().product()).map(|i| first + i as f32).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }

    fn values<B: Backend>(rows: &KeptRows<B>) -> Vec<f32> {
        rows.clone().into_floats(FloatDType::F32).into_data().to_vec().expect("f32")
    }

    fn writes_rows_of_every_head<B: Backend>() {
        let cache = KeptRows::Floats(tensor::<B>([2, 4, 3], 0.0));
        // [n, heads, head_dim] as a projection leaves it, seen as [heads, n, head_dim].
        let rows = KeptRows::Floats(tensor::<B>([2, 2, 3], 100.0).swap_dims(0, 1));
        let view = cache.clone();
        let written = cache.write(1, rows);
        let expected: Vec<f32> = vec![
            0., 1., 2., 100., 101., 102., 106., 107., 108., 9., 10., 11., // head 0
            12., 13., 14., 103., 104., 105., 109., 110., 111., 21., 22., 23., // head 1
        ];
        assert_eq!(values(&written), expected);
        assert_eq!(values(&view), values(&KeptRows::Floats(tensor::<B>([2, 4, 3], 0.0))), "a view keeps what it saw");
    }

    /// Two rows of two heads, `[rows, heads * head_dim]`, whose codes are known.
    fn known<B: Backend>() -> Tensor<B, 2> {
        let rows = [[127.0, -64.0, 1.0, 0.0, 0.0, 0.0], [-0.127, 0.001, 0.127, 254e6, 2e6, -3.4e6]];
        Tensor::from_floats(rows, &Default::default())
    }

    fn bytes_are_kept_with_scales<B: Backend>() {
        assert!(KeptRows::<B>::keeps(&Default::default(), CacheDtype::Q8));
        let kept = KeptRows::keep(known::<B>(), HEADS, CacheDtype::Q8);
        assert_eq!((kept.dims(), kept.dtype()), ([2, 2, 3], DType::I8));
        let KeptRows::Bytes { codes, scales } = kept.clone() else { panic!("bytes") };
        let codes: Vec<i8> = codes.into_data().to_vec().expect("bytes");
        assert_eq!(codes, [127, -64, 1, -127, 1, 127, 0, 0, 0, 127, 1, -2]);
        let scales: Vec<f32> = scales.into_data().to_vec().expect("f32");
        let close = |(found, expected): (&f32, f32)| (found - expected).abs() <= 1e-6 * expected;
        assert!(scales.iter().zip([1.0, 0.001, 0.0, 2e6]).all(close), "{scales:?}");
        let expected = [127.0, -64.0, 1.0, -0.127, 0.001, 0.127, 0.0, 0.0, 0.0, 254e6, 2e6, -4e6];
        for (found, expected) in values(&kept).iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-6 * f32::abs(expected), "{found} {expected}");
        }

        // Written, seen in part and taken in another order, they stay what they are.
        let cache = kept.zeros_like(5).write(1, kept.clone()).write(4, kept.narrow(0, 1));
        let of = |kept: &KeptRows<B>, head: usize, row: usize| values(&kept.narrow(row, 1))[3 * head..][..3].to_vec();
        for head in 0..2 {
            assert_eq!(of(&cache, head, 0), [0.0; 3]);
            assert_eq!(of(&cache, head, 3), [0.0; 3]);
            for (row, at) in [(0, 1), (1, 2), (0, 4)] {
                assert_eq!(of(&cache, head, at), of(&kept, head, row));
            }
        }
        let order = Tensor::from_ints([3, 0], &Default::default());
        let selected = cache.narrow(1, 2).select_with(kept.clone(), &order);
        assert_eq!(values(&selected.narrow(0, 1)), values(&kept.narrow(1, 1)));
        assert_eq!(values(&selected.narrow(1, 1)), values(&kept.narrow(0, 1)));
    }

    fn what_is_not_finite_stays_in_its_head<B: Backend>() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Tensor::<B, 2>::from_floats([[1.0, 2.0, 127.0, 1.0, value, 2.0]], &Default::default());
            let found = values(&KeptRows::keep(x, HEADS, CacheDtype::Q8));
            assert_eq!(found[..3], [1.0, 2.0, 127.0]);
            assert!(found[3..].iter().all(|value| value.is_nan()), "{found:?}");
        }
        // Too small to be divided by.
        let x = Tensor::<B, 2>::from_floats([[1e-36, 2e-37, -1e-40, 1e-20, 0.0, 0.0]], &Default::default());
        let found = values(&KeptRows::keep(x, HEADS, CacheDtype::Q8));
        assert!(found[..3].iter().all(|value| value.abs() <= 1e-36), "{found:?}");
        assert!((found[3] - 1e-20).abs() < 1e-26, "{found:?}");
    }

    #[test]
    fn rows_are_kept_ndarray() {
        writes_rows_of_every_head::<NdArray>();
        bytes_are_kept_with_scales::<NdArray>();
        what_is_not_finite_stays_in_its_head::<NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn rows_are_kept_flex() {
        writes_rows_of_every_head::<burn_flex::Flex>();
        bytes_are_kept_with_scales::<burn_flex::Flex>();
        what_is_not_finite_stays_in_its_head::<burn_flex::Flex>();
    }

    #[test]
    #[should_panic(expected = "kept in one dtype")]
    fn a_cache_has_one_dtype() {
        let floats = KeptRows::Floats(tensor::<NdArray>([2, 4, 3], 0.0));
        floats.write(0, KeptRows::keep(known(), HEADS, CacheDtype::Q8));
    }

    /// Every code of flex's vectors is that of plain operations.
    #[cfg(feature = "flex")]
    #[test]
    fn flex_rounds_as_others_do() {
        use burn_flex::Flex;
        let heads = HeadShape { n_heads: 3, n_kv_heads: 3, head_dim: 48 };
        // More than a task.
        let x: Vec<f32> = (0..300 * 144).map(|i| ((i * 7919 % 1009) as f32 - 504.0) * 0.0371).collect();
        let x = TensorData::new(x, [300, 144]);
        let flex = KeptRows::keep(Tensor::<Flex, 2>::from_data(x.clone(), &Default::default()), heads, CacheDtype::Q8);
        let other = KeptRows::keep(Tensor::<NdArray, 2>::from_data(x, &Default::default()), heads, CacheDtype::Q8);
        let (flex, other) = (values(&flex), values(&other));
        // A code more or less where a value lies half way between two.
        let apart = flex.iter().zip(&other).filter(|(flex, other)| (*flex - *other).abs() > 1e-6 * other.abs()).count();
        assert!(apart <= flex.len() / 200, "{apart} differ");
        assert!(
            flex.iter().zip(&other).all(|(flex, other)| (flex - other).abs() <= 0.15 + 1e-6),
            "by more than a code"
        );
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_is_overwritten_in_place() {
        use burn_flex::Flex;
        let address = |rows: &KeptRows<Flex>| match rows.clone().into_flex() {
            Ok(rows) => (rows.elements.bytes().as_ptr(), rows.scales.map(|scales| scales.bytes().as_ptr())),
            Err(_) => unreachable!("flex's"),
        };
        for dtype in CacheDtype::ALL {
            let rows = KeptRows::keep(known::<Flex>(), HEADS, dtype);
            let cache = rows.zeros_like(4);
            let before = address(&cache);
            assert_eq!(before, address(&cache.write(2, rows)), "{dtype}");
        }
    }
}
