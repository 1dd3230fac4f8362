//! Products of a few rows with a stored weight, on flex.
//!
//! The weight is read by all threads and in its order, the sums of some outputs for some rows are held in registers. flex's own
//! product packs both factors first, and takes one thread where rows are too few to be worth more to it.

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorData};
use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::flex;
use crate::vector::dot;

/// Rows up to which it is faster than flex's own product, which takes one thread for as few.
const MOST_ROWS: usize = 8;

/// Elements of weight that are worth a task of their own: about 20 microseconds of reading.
const TASK: usize = 1 << 16;

/// Outputs that are summed together. With four rows their twelve sums, three weights and a value of x fill the 16 registers
/// of AVX2.
const OUTPUTS: usize = 3;
/// Rows that are summed together.
const ROWS: usize = 4;

type Unchanged<B> = (Tensor<B, 2>, Tensor<B, 2>);

/// `x w^T`, or both unchanged if this is not the way to compute it.
pub(crate) fn project<B: Backend>(weight: Tensor<B, 2>, x: Tensor<B, 2>) -> Result<Tensor<B, 2>, Unchanged<B>> {
    let ([d_out, d_in], [rows, width]) = (weight.dims(), x.dims());
    if !(1..=MOST_ROWS).contains(&rows) || width != d_in || d_out == 0 || d_in == 0 {
        return Err((weight, x));
    }
    let weight = match flex::take(weight) {
        Ok(weight) => weight,
        Err(weight) => return Err((weight, x)),
    };
    let x = match flex::take(x) {
        Ok(x) => x,
        Err(x) => return Err((flex::give(weight), x)),
    };
    let x = x.to_contiguous();
    let product = match (weight.as_slice::<f32>(), x.as_slice::<f32>()) {
        (Some(weight), Some(x)) => by_row(multiply(weight, x, d_in), rows),
        _ => return Err((flex::give(weight), flex::give(x))),
    };
    Ok(flex::give(FlexTensor::from_data(TensorData::new(product, Shape::new([rows, d_out])))))
}

/// `w x^T`, of `[out, rows]`.
fn multiply(weight: &[f32], x: &[f32], d_in: usize) -> Vec<f32> {
    let (d_out, rows) = (weight.len() / d_in, x.len() / d_in);
    let mut product = vec![0.0; d_out * rows];
    let outputs = (TASK / d_in).max(1).next_multiple_of(OUTPUTS);
    let part = |(product, weight)| Arch::new().dispatch(Part { product, weight, x, d_in, rows });
    if d_out <= outputs {
        part((&mut product[..], weight));
    } else {
        product.par_chunks_mut(outputs * rows).zip(weight.par_chunks(outputs * d_in)).for_each(part);
    }
    product
}

/// `[out, rows]` turned to `[rows, out]`.
fn by_row(product: Vec<f32>, rows: usize) -> Vec<f32> {
    if rows == 1 {
        return product;
    }
    let d_out = product.len() / rows;
    let mut turned = vec![0.0; product.len()];
    let fill = |(row, turned): (usize, &mut [f32])| {
        for (value, of_output) in turned.iter_mut().zip(product.chunks_exact(rows)) {
            *value = of_output[row];
        }
    };
    if product.len() <= TASK {
        turned.chunks_exact_mut(d_out).enumerate().for_each(fill);
    } else {
        turned.par_chunks_exact_mut(d_out).enumerate().for_each(fill);
    }
    turned
}

/// Some outputs for all rows.
struct Part<'a> {
    /// `[out, rows]`.
    product: &'a mut [f32],
    /// `[out, in]`.
    weight: &'a [f32],
    /// `[rows, in]`.
    x: &'a [f32],
    d_in: usize,
    rows: usize,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { product, weight, x, d_in, rows: n_rows } = self;
        if n_rows == 1 {
            // As fast as memory is read: nothing is gained by more outputs at once.
            for (value, weight) in product.iter_mut().zip(weight.chunks_exact(d_in)) {
                *value = dot(weight, x);
            }
            return;
        }
        for (tile, x) in x.chunks(ROWS * d_in).enumerate() {
            let first = tile * ROWS;
            match x.len() / d_in {
                4 => rows::<S, 4>(simd, product, weight, x, n_rows, first),
                3 => rows::<S, 3>(simd, product, weight, x, n_rows, first),
                2 => rows::<S, 2>(simd, product, weight, x, n_rows, first),
                _ => rows::<S, 1>(simd, product, weight, x, n_rows, first),
            }
        }
    }
}

/// All outputs for `R` rows.
#[inline(always)]
fn rows<S: Simd, const R: usize>(simd: S, product: &mut [f32], weight: &[f32], x: &[f32], n_rows: usize, first: usize) {
    let d_in = x.len() / R;
    let x: [_; R] = std::array::from_fn(|row| S::as_simd_f32s(&x[row * d_in..][..d_in]));
    // Beside one another in the order of use, and aligned.
    let packed: Vec<[S::f32s; R]> = (0..x[0].0.len()).map(|at| std::array::from_fn(|row| x[row].0[at])).collect();
    let rest: [&[f32]; R] = x.map(|(_, rest)| rest);
    for (product, weight) in product.chunks_mut(OUTPUTS * n_rows).zip(weight.chunks(OUTPUTS * d_in)) {
        match weight.len() / d_in {
            3 => sums::<S, 3, R>(simd, product, weight, &packed, rest, first),
            2 => sums::<S, 2, R>(simd, product, weight, &packed, rest, first),
            _ => sums::<S, 1, R>(simd, product, weight, &packed, rest, first),
        }
    }
}

/// `O` outputs for `R` rows, written to the columns from `first` on.
#[inline(always)]
fn sums<S: Simd, const O: usize, const R: usize>(
    simd: S,
    product: &mut [f32],
    weight: &[f32],
    x: &[[S::f32s; R]],
    x_rest: [&[f32]; R],
    first: usize,
) {
    let (rows, d_in) = (product.len() / O, weight.len() / O);
    let weight: [_; O] = std::array::from_fn(|output| S::as_simd_f32s(&weight[output * d_in..][..d_in]));
    // Of one length, so that no index below is checked.
    let vectors: [&[S::f32s]; O] = weight.map(|(vectors, _)| &vectors[..x.len()]);
    let mut sums = [[simd.splat_f32s(0.0); R]; O];
    for (at, x) in x.iter().enumerate() {
        let weight: [S::f32s; O] = std::array::from_fn(|output| vectors[output][at]);
        for row in 0..R {
            for output in 0..O {
                sums[output][row] = simd.mul_add_e_f32s(weight[output], x[row], sums[output][row]);
            }
        }
    }
    for output in 0..O {
        for row in 0..R {
            let rest: f32 = weight[output].1.iter().zip(x_rest[row]).map(|(weight, x)| weight * x).sum();
            product[output * rows + first + row] = simd.reduce_sum_f32s(sums[output][row]) + rest;
        }
    }
}
