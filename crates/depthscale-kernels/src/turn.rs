//! Turning matrices.

use rayon::prelude::*;

/// Sides of the squares that are turned at once, so that a cache line is read and written once.
const SIDE: usize = 16;

/// Elements worth more than one thread.
const TASK: usize = 1 << 16;

/// `[out, columns]` turned to `[rows, out]`; columns past the last row are left out.
pub(crate) fn by_row(product: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let d_out = product.len() / columns;
    let mut turned = vec![0.0; rows * d_out];
    let fill = |(block, turned): (usize, &mut [f32])| {
        let (first, n) = (block * SIDE, turned.len() / d_out);
        for (at, product) in product.chunks(SIDE * columns).enumerate() {
            let mut square = [[0.0; SIDE]; SIDE];
            for (output, values) in product.chunks_exact(columns).enumerate() {
                for (row, value) in values[first..first + n].iter().enumerate() {
                    square[row][output] = *value;
                }
            }
            let outputs = product.len() / columns;
            for (turned, square) in turned.chunks_exact_mut(d_out).zip(&square) {
                turned[at * SIDE..][..outputs].copy_from_slice(&square[..outputs]);
            }
        }
    };
    if turned.len() <= TASK {
        turned.chunks_mut(SIDE * d_out).enumerate().for_each(fill);
    } else {
        turned.par_chunks_mut(SIDE * d_out).enumerate().for_each(fill);
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_columns() {
        for (out, rows, columns) in [(1, 1, 1), (3, 2, 2), (40, 17, 32), (700, 130, 144)] {
            let product: Vec<f32> = (0..out * columns).map(|at| at as f32).collect();
            let turned = by_row(&product, rows, columns);
            let expected = |at: usize| product[at % out * columns + at / out];
            assert!(turned.iter().enumerate().all(|(at, value)| *value == expected(at)), "{out} {rows} {columns}");
            assert_eq!(turned.len(), out * rows);
        }
    }
}
