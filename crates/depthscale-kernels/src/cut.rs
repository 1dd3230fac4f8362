//! Products cut into the pieces that tasks compute.

/// The pieces of products that tasks of so many outputs compute: by task, by product, by row. Where a task has no part in a
/// product, they are empty.
pub(crate) fn cut(products: &mut [Vec<f32>], rows: usize, outputs: usize, tasks: usize) -> Vec<&mut [f32]> {
    let mut left: Vec<&mut [f32]> = Vec::with_capacity(products.len() * rows);
    for product in products {
        let d_out = product.len() / rows;
        left.extend(product.chunks_exact_mut(d_out));
    }
    let mut pieces = Vec::with_capacity(tasks * left.len());
    for _ in 0..tasks {
        let mut wanted = outputs;
        for left in left.chunks_exact_mut(rows) {
            let found = wanted.min(left[0].len());
            pieces.extend(left.iter_mut().filter_map(|row| row.split_off_mut(..found)));
            wanted -= found;
        }
    }
    pieces
}
