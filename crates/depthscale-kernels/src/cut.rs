//! Products cut into the pieces that tasks compute.

use std::mem::{ManuallyDrop, MaybeUninit};

use rayon::prelude::*;

/// Elements of weight that are worth a task of their own: about 20 microseconds of reading.
const TASK: usize = 1 << 16;

/// Up to so many rows of x reading the weights decides how long a product takes; with more, multiplying does.
pub(crate) const FEW_ROWS: usize = 16;

/// Some outputs of a product.
pub(crate) struct Piece<'a, 'p> {
    /// Which product.
    pub(crate) product: usize,
    /// The first of the outputs.
    pub(crate) first: usize,
    /// The outputs, of every row of x.
    pub(crate) outputs: &'a mut [Space<'p>],
}

/// Room for outputs, to be filled from the first to the last.
///
/// A product is not set to zeros first: its memory has been out of the caches since weights passed through them, and one thread
/// would wait for it while the others wait for that thread.
pub(crate) struct Space<'p>(&'p mut [MaybeUninit<f32>]);

impl Space<'_> {
    /// Outputs that lack.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts the next ones where they belong.
    ///
    /// # Panics
    /// If there are more than lack.
    #[inline(always)]
    pub(crate) fn push(&mut self, outputs: &[f32]) {
        let Some(next) = self.0.split_off_mut(..outputs.len()) else { panic!("more outputs than there is room for") };
        for (place, output) in next.iter_mut().zip(outputs) {
            place.write(*output);
        }
    }
}

/// Products of some rows with weights `[out, d_in]` each, as `[rows, out]`, filled by all threads. Weights are shared as if they were
/// one, their outputs one after the other, in units of so many outputs: the first of a piece is the first of a unit of its weight.
///
/// # Panics
/// If `fill` leaves outputs out.
pub(crate) fn share(
    d_outs: impl Iterator<Item = usize>,
    rows: usize,
    d_in: usize,
    unit: usize,
    fill: impl Fn(Piece<'_, '_>) + Sync,
) -> Vec<Vec<f32>> {
    let d_outs: Vec<usize> = d_outs.collect();
    let mut products: Vec<Vec<MaybeUninit<f32>>> =
        d_outs.iter().map(|d_out| vec![MaybeUninit::uninit(); rows * d_out]).collect();
    let d_out: usize = d_outs.iter().map(|d_out| d_out.next_multiple_of(unit)).sum();
    let (tasks, threads) = ((d_out * d_in).div_ceil(TASK), rayon::current_num_threads());
    // About as many for every thread, since the thread with one more would be waited for; with many rows at least one for each.
    let tasks = if tasks > threads || rows > FEW_ROWS { tasks.next_multiple_of(threads) } else { tasks };
    let outputs = d_out.div_ceil(tasks).next_multiple_of(unit);
    let tasks = d_out.div_ceil(outputs);
    let task = |(at, pieces): (usize, &mut [Space<'_>])| {
        // The first of the outputs, counted from where the product begins; 0 for products that begin within the task.
        let mut first = at * outputs;
        for (product, outputs) in pieces.chunks_exact_mut(rows).enumerate() {
            if outputs[0].len() > 0 {
                fill(Piece { product, first, outputs });
            }
            first = first.saturating_sub(d_outs[product].next_multiple_of(unit));
        }
    };
    let mut pieces: Vec<Space<'_>> = cut(&mut products, rows, outputs, tasks, unit).into_iter().map(Space).collect();
    let cut_up: usize = pieces.iter().map(Space::len).sum();
    assert_eq!(cut_up, rows * d_outs.iter().sum::<usize>(), "outputs in pieces");
    match tasks {
        1 => task((0, &mut pieces)),
        _ => pieces.par_chunks_mut(d_outs.len() * rows).enumerate().with_max_len(1).for_each(task),
    }
    assert!(pieces.iter().all(|piece| piece.len() == 0), "a piece lacks outputs");
    let written = |product: Vec<MaybeUninit<f32>>| -> Vec<f32> {
        let mut product = ManuallyDrop::new(product);
        let (first, length, capacity) = (product.as_mut_ptr(), product.len(), product.capacity());
        // SAFETY: all are written, as each was in a piece and no piece lacks any; `MaybeUninit<f32>` is laid out as `f32`; and the
        // vector that owned the memory is forgotten.
        #[allow(unsafe_code)]
        unsafe {
            Vec::from_raw_parts(first.cast(), length, capacity)
        }
    };
    products.into_iter().map(written).collect()
}

/// The pieces of products, `[rows, out]` with at least one of both, that tasks of so many outputs compute: by task, by product, by
/// row. Where a task has no part in a product, they are empty. Every product counts as whole units of outputs, of which a task
/// computes a multiple.
pub(crate) fn cut<T>(products: &mut [Vec<T>], rows: usize, outputs: usize, tasks: usize, unit: usize) -> Vec<&mut [T]> {
    let mut left: Vec<&mut [T]> = Vec::with_capacity(products.len() * rows);
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
            wanted -= found.next_multiple_of(unit);
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
        let pieces: Vec<Vec<f32>> = cut(&mut products, 2, 3, 3, 1).into_iter().map(|piece| piece.to_vec()).collect();
        let of_tasks = [
            [vec![0.0, 1.0, 2.0], vec![5.0, 6.0, 7.0], vec![], vec![]],
            [vec![3.0, 4.0], vec![8.0, 9.0], vec![10.0], vec![12.0]],
            [vec![], vec![], vec![11.0], vec![13.0]],
        ];
        assert_eq!(pieces, of_tasks.concat());
    }

    #[test]
    fn pieces_begin_with_a_unit_of_their_product() {
        // Units of four: a task of eight ends with the seven outputs of the first, which count as eight.
        let mut products = [vec![0; 7], vec![1; 5]];
        let pieces: Vec<Vec<i32>> = cut(&mut products, 1, 8, 2, 4).into_iter().map(|piece| piece.to_vec()).collect();
        assert_eq!(pieces, [vec![0; 7], vec![], vec![], vec![1; 5]]);
    }

    #[test]
    #[should_panic(expected = "a piece lacks outputs")]
    fn outputs_that_are_left_out_are_found() {
        share([3].into_iter(), 2, 32, 1, |Piece { outputs, .. }| outputs[0].push(&[1.0; 3]));
    }

    #[test]
    #[should_panic(expected = "more outputs than there is room for")]
    fn outputs_that_are_too_many_are_found() {
        share([3].into_iter(), 2, 32, 1, |Piece { outputs, .. }| outputs[0].push(&[1.0; 4]));
    }

    #[test]
    fn every_output_is_filled_once_by_any_number_of_threads() {
        // Tasks that end within a product and with it, and fewer units than threads.
        for (d_outs, d_in) in [(vec![300, 1, 77], 4096), (vec![5, 2], 32), (vec![16], 1 << 20)] {
            for threads in [1, 2, 3, 40] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                for rows in [1, 2, 17] {
                    let fill = |Piece { product, first, outputs }: Piece<'_, '_>| {
                        assert_eq!(first % 16, 0, "the first of a unit");
                        for (row, outputs) in outputs.iter_mut().enumerate() {
                            for output in first..first + outputs.len() {
                                outputs.push(&[(product * 10_000 + row * 1000 + output + 1) as f32]);
                            }
                        }
                    };
                    let products = pool.install(|| share(d_outs.iter().copied(), rows, d_in, 16, fill));
                    for (product, (found, &d_out)) in products.iter().zip(&d_outs).enumerate() {
                        let expected = (0..rows * d_out)
                            .map(|at| (product * 10_000 + at / d_out * 1000 + at % d_out + 1) as f32)
                            .collect::<Vec<_>>();
                        assert_eq!(found, &expected, "{d_outs:?}, {threads} threads, {rows} rows");
                    }
                }
            }
        }
    }
}
