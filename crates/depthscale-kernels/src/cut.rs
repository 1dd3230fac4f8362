//! Products cut into the pieces that tasks compute.

/// The pieces of products, `[rows, out]` with at least one of both, that tasks of so many outputs compute: by task, by product, by
/// row. Where a task has no part in a product, they are empty.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_is_in_one_piece() {
        // Two rows of five outputs, and of two: tasks of three end within the first, across both, and at the end.
        let mut products = [(0..10).map(|at| at as f32).collect::<Vec<_>>(), vec![10.0, 11.0, 12.0, 13.0]];
        let pieces: Vec<Vec<f32>> = cut(&mut products, 2, 3, 3).into_iter().map(|piece| piece.to_vec()).collect();
        let of_tasks = [
            [vec![0.0, 1.0, 2.0], vec![5.0, 6.0, 7.0], vec![], vec![]],
            [vec![3.0, 4.0], vec![8.0, 9.0], vec![10.0], vec![12.0]],
            [vec![], vec![], vec![11.0], vec![13.0]],
        ];
        assert_eq!(pieces, of_tasks.concat());
    }
}
