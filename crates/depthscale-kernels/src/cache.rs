//! Writing rows into a preallocated cache.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Writes `rows` into `cache` from row `start` on and returns the cache.
///
/// The cache is overwritten in place as long as nothing else holds it; otherwise it is copied first.
///
/// # Shapes
/// - cache: `[heads, capacity, head_dim]`
/// - rows: `[heads, n, head_dim]`, `start + n <= capacity`; they take the cache's dtype
///
/// # Panics
/// If the shapes do not fit.
pub fn write_rows<B: Backend>(cache: Tensor<B, 3>, start: usize, rows: Tensor<B, 3>) -> Tensor<B, 3> {
    let rows = rows.cast(cache.dtype());
    let [heads, capacity, head_dim] = cache.dims();
    let [row_heads, n, row_dim] = rows.dims();
    assert!(
        row_heads == heads && row_dim == head_dim && start + n <= capacity,
        "rows [{row_heads}, {n}, {row_dim}] at {start} do not fit a cache of [{heads}, {capacity}, {head_dim}]"
    );
    #[cfg(feature = "flex")]
    let (cache, rows) = match in_place::write(cache, start, rows) {
        Ok(cache) => return cache,
        Err(unchanged) => unchanged,
    };
    cache.slice_assign([0..heads, start..start + n, 0..head_dim], rows)
}

#[cfg(feature = "flex")]
mod in_place {
    use burn::tensor::backend::Backend;
    use burn::tensor::{DType, Element, Tensor, bf16, f16};
    use burn_flex::FlexTensor;

    use crate::flex;

    type Unchanged<B> = (Tensor<B, 3>, Tensor<B, 3>);

    pub(super) fn write<B: Backend>(
        cache: Tensor<B, 3>,
        start: usize,
        rows: Tensor<B, 3>,
    ) -> Result<Tensor<B, 3>, Unchanged<B>> {
        let [heads, capacity, head_dim] = cache.dims();
        let n = rows.dims()[1];
        let write = match cache.dtype() {
            DType::F32 => copy::<f32>,
            DType::F16 => copy::<f16>,
            DType::BF16 => copy::<bf16>,
            _ => return Err((cache, rows)),
        };
        let rows = match flex::take_any(rows) {
            Ok(rows) => rows,
            Err(rows) => return Err((cache, rows)),
        };
        let mut cache = match flex::take_any(cache) {
            Ok(cache) => cache,
            Err(cache) => return Err((cache, flex::give(rows))),
        };
        let whole = cache.layout().contiguous_offsets() == Some((0, heads * capacity * head_dim));
        if !whole {
            return Err((flex::give(cache), flex::give(rows)));
        }
        // A view whose rows are not contiguous is rare and small: copy it.
        let rows = if rows.layout().strides()[2] == 1 { rows } else { rows.to_contiguous() };
        write(&mut cache, [heads, capacity, head_dim], start, &rows, n);
        Ok(flex::give(cache))
    }

    /// Copies `n` rows of every head; both tensors hold elements of this type.
    fn copy<E: Element + bytemuck::Pod>(
        cache: &mut FlexTensor,
        [heads, capacity, head_dim]: [usize; 3],
        start: usize,
        rows: &FlexTensor,
        n: usize,
    ) {
        let [head_stride, row_stride] = [rows.layout().strides()[0], rows.layout().strides()[1]];
        let first = rows.layout().start_offset();
        let source = rows.storage::<E>();
        // Copies first where the cache is shared, so a view taken earlier keeps what it saw.
        let target = cache.storage_mut::<E>();
        for head in 0..heads {
            for row in 0..n {
                let from = (first as isize + head as isize * head_stride + row as isize * row_stride) as usize;
                let to = (head * capacity + start + row) * head_dim;
                target[to..to + head_dim].copy_from_slice(&source[from..from + head_dim]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn tensor<B: Backend>(shape: [usize; 3], first: f32) -> Tensor<B, 3> {
        let values = (0..shape.iter().product()).map(|i| first + i as f32).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }

    fn writes_rows_of_every_head<B: Backend>() {
        let cache = tensor::<B>([2, 4, 3], 0.0);
        // [n, heads, head_dim] as a projection leaves it, seen as [heads, n, head_dim].
        let rows = tensor::<B>([2, 2, 3], 100.0).swap_dims(0, 1);
        let view = cache.clone();
        let written = write_rows(cache, 1, rows);
        let expected: Vec<f32> = vec![
            0., 1., 2., 100., 101., 102., 106., 107., 108., 9., 10., 11., // head 0
            12., 13., 14., 103., 104., 105., 109., 110., 111., 21., 22., 23., // head 1
        ];
        assert_eq!(written.into_data().to_vec::<f32>().expect("f32"), expected);
        assert_eq!(view.into_data(), tensor::<B>([2, 4, 3], 0.0).into_data(), "an earlier view keeps what it saw");
    }

    #[test]
    fn writes_rows_of_every_head_ndarray() {
        writes_rows_of_every_head::<burn_ndarray::NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn writes_rows_of_every_head_flex() {
        writes_rows_of_every_head::<burn_flex::Flex>();
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_is_overwritten_in_place() {
        use burn::tensor::TensorPrimitive;
        let address = |tensor: &Tensor<burn_flex::Flex, 3>| match tensor.clone().into_primitive() {
            TensorPrimitive::Float(primitive) => primitive.storage::<f32>().as_ptr(),
            TensorPrimitive::QFloat(_) => unreachable!("not quantised"),
        };
        let cache = tensor::<burn_flex::Flex>([2, 4, 3], 0.0);
        let before = address(&cache);
        let written = write_rows(cache, 3, tensor([2, 1, 3], 50.0));
        assert_eq!(before, address(&written));
    }
}
