//! Products of many rows with a stored weight, on flex.
//!
//! Rows of x are turned once, so that a vector holds one element of sixteen rows; weights are read as f32, an element at a time for
//! a vector of rows, after they were unpacked where they are in fewer bits. A task writes its outputs of every row where they
//! belong: turning a whole product afterwards takes another pass over memory. flex's own product turns the weight, too, on one
//! thread, which for widths of a power of two takes as long as the product itself, and has no weights in fewer bits.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::cut::cut;
use crate::lanes::{LANES, Lanes, Set, WithLanes};
use crate::weights::Weights;

/// Vectors of rows that are summed together where there are 32 registers: with six outputs their 24 sums, four vectors of x and
/// an element of weight.
const VECTORS: usize = 4;
/// Rows of a panel of x, all of whose vectors are multiplied together.
const ROWS: usize = VECTORS * LANES;
/// Elements of a row that are summed in one go: of them a panel takes half a megabyte, which the caches of a core hold.
const DEPTH: usize = 2048;
/// Elements of weight of a task at the most, tiles made whole: a quarter of a megabyte as f32.
const TASK: usize = 1 << 16;
/// Outputs of a task are whole tiles of any size.
const OUTPUTS: usize = 12;

/// `x w^T`, as `[rows, out]`.
pub(crate) fn multiply<W: Weights>(set: Set, weight: W, d_out: usize, x: &[f32], d_in: usize) -> Vec<f32> {
    let rows = x.len() / d_in;
    let squares = turned(x, d_in);
    let tasks = d_out.div_ceil((TASK / d_in).max(1).next_multiple_of(OUTPUTS));
    // About as many for every thread, since the thread with one more would be waited for.
    let tasks = tasks.next_multiple_of(rayon::current_num_threads());
    let outputs = d_out.div_ceil(tasks).next_multiple_of(OUTPUTS);
    let mut product = [vec![0.0; rows * d_out]];
    let mut pieces = cut(&mut product, rows, outputs, d_out.div_ceil(outputs), 1);
    pieces.par_chunks_mut(rows).enumerate().for_each_init(Vec::new, |space, (at, product)| {
        set.run(Part { product, weight, space, first: at * outputs, squares: &squares, d_in });
    });
    give_back(squares);
    let [product] = product;
    product
}

/// Room for rows of x that are turned, kept for the next product: where the allocator gives so much back to the system and takes
/// it again, that costs up to a sixth of a product's time. A product that finds it in use, or too small, makes its own.
static ROOM: Mutex<Vec<Square>> = Mutex::new(Vec::new());
/// The most that is kept: 32 MiB, of a thousand rows 8192 wide.
const KEPT: usize = (32 << 20) / size_of::<Square>();

/// Room for so many squares.
fn room(squares: usize) -> Vec<Square> {
    let kept = match squares {
        ..=KEPT => std::mem::take(&mut *ROOM.lock().unwrap_or_else(PoisonError::into_inner)),
        _ => Vec::new(),
    };
    if kept.capacity() >= squares { kept } else { Vec::with_capacity(squares) }
}

/// Keeps the larger of this room and the one that is kept.
fn give_back(squares: Vec<Square>) {
    let mut kept = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    if (kept.capacity() + 1..=KEPT).contains(&squares.capacity()) {
        *kept = squares;
    }
}

/// `[in, rows]` of sixteen elements and rows.
type Square = [[f32; LANES]; LANES];

/// `[rows, in]` as squares along every sixteen rows; past the last element and the last row, zeros.
///
/// Sixteen rows are read side by side, not all of a panel: with widths of a power of two they push one another out of the cache.
fn turned(x: &[f32], d_in: usize) -> Vec<Square> {
    let (rows, squares) = (x.len() / d_in, d_in.div_ceil(LANES));
    let all = rows.div_ceil(LANES) * squares;
    let mut turned = room(all);
    let square = |at: usize| {
        let (row, element) = (at / squares * LANES, at % squares * LANES);
        let elements = LANES.min(d_in - element);
        let mut square = Square::default();
        for (row, x) in x[row * d_in..].chunks_exact(d_in).take(LANES).enumerate() {
            for (square, value) in square.iter_mut().zip(&x[element..element + elements]) {
                square[row] = *value;
            }
        }
        square
    };
    (0..all).into_par_iter().map(square).collect_into_vec(&mut turned);
    turned
}

/// Some outputs for all rows.
struct Part<'a, 'p, W> {
    /// Of every row.
    product: &'a mut [&'p mut [f32]],
    weight: W,
    /// For rows of the weight.
    space: &'a mut Vec<f32>,
    /// The first of the outputs.
    first: usize,
    /// See [`turned`].
    squares: &'a [Square],
    d_in: usize,
}

impl<W: Weights> WithLanes for Part<'_, '_, W> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { product, weight, space, first, squares, d_in } = self;
        let outputs = product[0].len();
        let weight = weight.rows(lanes, first..first + outputs, space);
        // Squares along a row.
        let of_row = d_in.div_ceil(LANES);
        let mut sums = vec![0.0; outputs * ROWS];
        for (squares, product) in squares.chunks(VECTORS * of_row).zip(product.chunks_mut(ROWS)) {
            let rows = squares.len() / of_row * LANES;
            // [outputs, rows]
            let sums = &mut sums[..outputs * rows];
            sums.fill(0.0);
            for start in (0..d_in).step_by(DEPTH) {
                let depth = start..d_in.min(start + DEPTH);
                let mut x: [&[[f32; LANES]]; VECTORS] = [&[]; VECTORS];
                for (x, squares) in x.iter_mut().zip(squares.chunks_exact(of_row)) {
                    *x = &squares.as_flattened()[depth.clone()];
                }
                let tile = Tile { weight, d_in, x, start, rows };
                match (L::WIDE, rows / LANES) {
                    // Vectors are two registers each, of which there are sixteen.
                    (false, vectors) => (0..vectors).for_each(|at| tile.multiply::<L, 6, 1>(lanes, sums, at)),
                    (true, 4) => tile.multiply::<L, 6, 4>(lanes, sums, 0),
                    (true, 3) => tile.multiply::<L, 6, 3>(lanes, sums, 0),
                    (true, 2) => tile.multiply::<L, 12, 2>(lanes, sums, 0),
                    (true, _) => tile.multiply::<L, 12, 1>(lanes, sums, 0),
                }
            }
            for (row, product) in product.iter_mut().enumerate() {
                for (product, sum) in product.iter_mut().zip(sums[row..].iter().step_by(rows)) {
                    *product = *sum;
                }
            }
        }
    }
}

/// Some elements of a panel of x and of all rows of the weights.
struct Tile<'a> {
    /// `[out, in]`.
    weight: &'a [f32],
    d_in: usize,
    /// `[depth]` of the panel's vectors of rows.
    x: [&'a [[f32; LANES]]; VECTORS],
    /// The first element.
    start: usize,
    rows: usize,
}

impl Tile<'_> {
    /// All outputs, `O` at a time, for `V` vectors of the panel from `at` on, added to sums `[out, rows]`.
    #[inline(always)]
    fn multiply<L: Lanes, const O: usize, const V: usize>(&self, lanes: L, all: &mut [f32], at: usize) {
        let depth = self.x[0].len();
        let x: [&[[f32; LANES]]; V] = std::array::from_fn(|vector| &self.x[at + vector][..depth]);
        for (all, weight) in all.chunks_mut(O * self.rows).zip(self.weight.chunks(O * self.d_in)) {
            let n = all.len() / self.rows;
            // Past the last output, the last once more.
            let weight: [&[f32]; O] =
                std::array::from_fn(|output| &weight[output.min(n - 1) * self.d_in + self.start..][..depth]);
            let mut sums = [[lanes.splat(0.0); V]; O];
            for element in 0..depth {
                let x: [L::Floats; V] = std::array::from_fn(|vector| lanes.load(&x[vector][element]));
                for output in 0..O {
                    let weight = lanes.splat(weight[output][element]);
                    for vector in 0..V {
                        sums[output][vector] = lanes.mul_add(weight, x[vector], sums[output][vector]);
                    }
                }
            }
            let one = lanes.splat(1.0);
            for (all, sums) in all.chunks_exact_mut(self.rows).zip(sums) {
                for (all, sum) in all[at * LANES..].as_chunks_mut().0.iter_mut().zip(sums) {
                    *all = lanes.store(lanes.mul_add(sum, one, lanes.load(all)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_hold_elements_of_rows() {
        for (rows, d_in) in [(1, 1), (17, 3), (33, 40), (16, 16), (70, 131)] {
            let x: Vec<f32> = (1..=rows * d_in).map(|at| at as f32).collect();
            let squares = turned(&x, d_in);
            for (at, vector) in squares.as_flattened().iter().enumerate() {
                let (first, element) = (at / d_in.next_multiple_of(LANES) * LANES, at % d_in.next_multiple_of(LANES));
                for (row, value) in (first..).zip(vector) {
                    let expected = if row < rows && element < d_in { x[row * d_in + element] } else { 0.0 };
                    assert_eq!(*value, expected, "{rows} x {d_in}: row {row}, element {element}");
                }
            }
            assert_eq!(squares.len(), rows.div_ceil(LANES) * d_in.div_ceil(LANES));
            give_back(squares);
        }
    }

    #[test]
    fn any_number_of_threads_multiplies_the_same() {
        let (d_out, d_in, rows) = (131, 1600, 70);
        let values = |n: usize| -> Vec<f32> { (0..n).map(|at| (at * 7919 % 1009) as f32 / 500.0 - 1.0).collect() };
        let (weight, x) = (values(d_out * d_in), values(rows * d_in));
        let on_threads = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
            pool.install(|| multiply(Set::best(), crate::weights::Plain { weight: &weight, d_in }, d_out, &x, d_in))
        };
        let one = on_threads(1);
        assert!([2, 3, 5, 40].into_iter().all(|n| on_threads(n) == one));
    }
}
