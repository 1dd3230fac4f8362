//! Attention of one query, straight from the cache.

use super::store::{HeadRows, Kept};
use crate::lanes::{LANES, Lanes};
use crate::vector::exp;

/// Vectors of a row that are taken at once, at most: of heads of 128.
const MOST: usize = 8;

/// Calls a function for so many vectors, which the compiler then knows: it reads and fetches a row without loops.
macro_rules! of_vectors {
    ($vectors:expr, $function:ident::<$L:ty, $K:ty>($($argument:expr),*)) => {
        match $vectors {
            8 => $function::<$L, $K, 8>($($argument),*),
            7 => $function::<$L, $K, 7>($($argument),*),
            6 => $function::<$L, $K, 6>($($argument),*),
            5 => $function::<$L, $K, 5>($($argument),*),
            4 => $function::<$L, $K, 4>($($argument),*),
            3 => $function::<$L, $K, 3>($($argument),*),
            2 => $function::<$L, $K, 2>($($argument),*),
            _ => $function::<$L, $K, 1>($($argument),*),
        }
    };
}

/// `scores_j = k_j . q`, while what comes next after the keys is fetched.
#[inline(always)]
pub(super) fn score_one<L: Lanes, K: Kept>(
    lanes: L,
    scores: &mut [f32],
    keys: HeadRows<'_, K>,
    query: &[f32],
    next: HeadRows<'_, K>,
) {
    scores.fill(0.0);
    for (at, query) in query.chunks(MOST * LANES).enumerate() {
        let first = at * MOST * LANES;
        of_vectors!(query.len() / LANES, add_scores::<L, K>(lanes, scores, keys, query, next, first));
    }
    keys.scale(scores);
}

/// `scores_j += k_j . q` of the elements of a query, whose place is given, and of keys without their scales.
#[inline(always)]
fn add_scores<L: Lanes, K: Kept, const V: usize>(
    lanes: L,
    scores: &mut [f32],
    keys: HeadRows<'_, K>,
    query: &[f32],
    next: HeadRows<'_, K>,
    first: usize,
) {
    let mut of_query = [lanes.splat(0.0); V];
    for (of_query, query) in of_query.iter_mut().zip(query.as_chunks().0) {
        *of_query = lanes.load(query);
    }
    for (at, scores) in scores.chunks_mut(LANES).enumerate() {
        let mut sums = [lanes.splat(0.0); LANES];
        for (row, sum) in sums.iter_mut().enumerate().take(scores.len()) {
            let key = keys.vectors::<V>(at * LANES + row, first);
            keys.fetch_after::<V>(at * LANES + row, first, &next);
            // Not summed up in memory.
            let mut products = lanes.splat(0.0);
            for at in 0..V {
                products = lanes.mul_add(K::floats(lanes, &key[at]), of_query[at], products);
            }
            *sum = products;
        }
        for (score, sum) in scores.iter_mut().zip(lanes.sums(sums)) {
            *score += sum;
        }
    }
}

/// Scores, as many as whole vectors hold, become weights under the largest; returns their sum.
#[inline(always)]
pub(super) fn weigh_one(scores: &mut [f32], scale: f32) -> f32 {
    let scores: &mut [[f32; LANES]] = scores.as_chunks_mut().0;
    let mut largest = [f32::NEG_INFINITY; LANES];
    for scores in scores.iter() {
        for (largest, &score) in largest.iter_mut().zip(scores) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0; LANES];
    for scores in scores {
        for (score, sum) in scores.iter_mut().zip(&mut sums) {
            *score = exp(scale * (*score - largest));
            *sum += *score;
        }
    }
    sums.iter().sum()
}

/// `mixed += sum_j weights_j v_j` of values without their scales, while what comes next after them is fetched.
#[inline(always)]
pub(super) fn add_one<L: Lanes, K: Kept>(
    lanes: L,
    mixed: &mut [f32],
    weights: &[f32],
    values: HeadRows<'_, K>,
    next: HeadRows<'_, K>,
) {
    for (at, mixed) in mixed.chunks_mut(MOST * LANES).enumerate() {
        let first = at * MOST * LANES;
        of_vectors!(mixed.len() / LANES, add_weighed::<L, K>(lanes, mixed, weights, values, next, first));
    }
}

/// The same of some elements, whose place is given.
#[inline(always)]
fn add_weighed<L: Lanes, K: Kept, const V: usize>(
    lanes: L,
    mixed: &mut [f32],
    weights: &[f32],
    values: HeadRows<'_, K>,
    next: HeadRows<'_, K>,
    first: usize,
) {
    let mixed: &mut [[f32; LANES]] = mixed.as_chunks_mut().0;
    let mut sums = [lanes.splat(0.0); V];
    for (sum, mixed) in sums.iter_mut().zip(mixed.iter()) {
        *sum = lanes.load(mixed);
    }
    for (row, weight) in weights.iter().enumerate() {
        let value = values.vectors::<V>(row, first);
        values.fetch_after::<V>(row, first, &next);
        let weight = lanes.splat(*weight);
        for at in 0..V {
            sums[at] = lanes.mul_add(weight, K::floats(lanes, &value[at]), sums[at]);
        }
    }
    for (mixed, sum) in mixed.iter_mut().zip(sums) {
        *mixed = lanes.store(sum);
    }
}
