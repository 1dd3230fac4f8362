//! Attention on flex: scores are formed and used up in pieces (arXiv 2205.14135), heads and pieces of queries spread over threads.

use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Shape, Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::flex;
use crate::heads::HeadShape;
use crate::lanes::{LANES, Lanes, Set, WithLanes};
use crate::softmax::Visible;
use crate::vector::{add_scaled, dot, exp};

/// Queries of a key head up to which each is computed by itself, straight from the cache.
const FEW: usize = 4;
/// Queries of a piece otherwise.
const QUERIES: usize = 8 * LANES;
/// Keys of a piece.
const KEYS: usize = 64;

type Unchanged<B> = (Tensor<B, 2>, Tensor<B, 3>, Tensor<B, 3>);

/// The way of flex, or all unchanged if it is not one.
pub(super) fn attend<B: Backend>(
    set: Set,
    queries: Tensor<B, 2>,
    keys: Tensor<B, 3>,
    values: Tensor<B, 3>,
    visible: &Visible<B>,
    heads: HeadShape,
) -> Result<Tensor<B, 2>, Unchanged<B>> {
    let is_f32 = [queries.dtype(), keys.dtype(), values.dtype()] == [DType::F32; 3];
    if !is_f32 || !flex::is_flex::<B>() || !heads.head_dim.is_multiple_of(LANES) {
        return Err((queries, keys, values));
    }
    let [rows, width] = queries.dims();
    if [rows, heads.head_dim].contains(&0) {
        return Err((queries, keys, values));
    }
    let expected = [heads.n_kv_heads, visible.keys(), heads.head_dim];
    assert_eq!((rows, width), (visible.ranges().len(), heads.n_heads * heads.head_dim), "queries");
    assert_eq!((keys.dims(), values.dims()), (expected, expected), "keys and values");
    let (Ok(queries), Ok(keys), Ok(values)) = (flex::take(queries), flex::take(keys), flex::take(values)) else {
        unreachable!("asked before")
    };
    let (queries, keys, values) = (queries.to_contiguous(), in_rows(keys), in_rows(values));
    let mut mixed = vec![0.0; rows * width];
    let Some(of_queries) = queries.as_slice::<f32>() else { unreachable!("it is contiguous f32") };
    let work = Attention {
        queries: of_queries,
        keys: Store::of(&keys),
        values: Store::of(&values),
        ranges: visible.ranges(),
        heads,
    };
    work.mix(set, &mut mixed);
    Ok(flex::give(FlexTensor::from_data(TensorData::new(mixed, Shape::new([rows, width])))))
}

/// A tensor whose rows are whole, wherever they lie.
fn in_rows(tensor: FlexTensor) -> FlexTensor {
    let layout = tensor.layout();
    if layout.strides()[2] == 1 && layout.has_positive_strides() { tensor } else { tensor.to_contiguous() }
}

/// `[kv_heads, keys, head_dim]`: a cache, or rows in which heads lie beside one another.
#[derive(Clone, Copy)]
struct Store<'a> {
    values: &'a [f32],
    offset: usize,
    /// From one head to the next.
    head: usize,
    /// From one row to the next.
    row: usize,
    width: usize,
}

impl<'a> Store<'a> {
    fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        Self {
            values: tensor.storage::<f32>(),
            offset: layout.start_offset(),
            head: layout.strides()[0].unsigned_abs(),
            row: layout.strides()[1].unsigned_abs(),
            width: layout.shape()[2],
        }
    }

    /// A row of a head.
    #[inline(always)]
    fn row(&self, head: usize, row: usize) -> &'a [f32] {
        &self.values[self.offset + head * self.head + row * self.row..][..self.width]
    }

    /// Some rows of a head.
    #[inline(always)]
    fn rows(self, head: usize, rows: Range<usize>) -> impl Iterator<Item = &'a [f32]> {
        rows.map(move |row| self.row(head, row))
    }
}

#[derive(Clone, Copy)]
struct Attention<'a> {
    /// `[rows, n_heads * head_dim]`.
    queries: &'a [f32],
    keys: Store<'a>,
    values: Store<'a>,
    /// Of each row.
    ranges: &'a [Range<usize>],
    heads: HeadShape,
}

/// Queries of one key head, by their places among `group * rows`: all rows of its first query head, then of the next.
struct Piece<'a, 'm> {
    work: Attention<'a>,
    kv_head: usize,
    queries: Range<usize>,
    /// `[queries, head_dim]`.
    mixed: &'m mut [f32],
}

impl Attention<'_> {
    /// Into `[rows, n_heads * head_dim]`.
    fn mix(self, set: Set, mixed: &mut [f32]) {
        let HeadShape { n_heads, head_dim, .. } = self.heads;
        let rows = self.ranges.len();
        let of_head = self.heads.group() * rows;
        // Queries of a key head beside one another, which is what they are in the output for a single row.
        let mut by_head = vec![0.0; if rows == 1 { 0 } else { mixed.len() }];
        let target = if rows == 1 { &mut *mixed } else { &mut by_head[..] };
        let size = if of_head <= FEW { of_head } else { QUERIES };
        let pieces: Vec<Piece<'_, '_>> = target
            .chunks_mut(of_head * head_dim)
            .enumerate()
            .flat_map(|(kv_head, mixed)| {
                mixed.chunks_mut(size * head_dim).enumerate().map(move |(at, mixed)| {
                    let queries = at * size..at * size + mixed.len() / head_dim;
                    Piece { work: self, kv_head, queries, mixed }
                })
            })
            .collect();
        pieces.into_par_iter().for_each(|piece| set.run(piece));
        if rows > 1 {
            let width = n_heads * head_dim;
            mixed.par_chunks_mut(width).enumerate().for_each(|(row, mixed)| {
                for (head, mixed) in mixed.chunks_exact_mut(head_dim).enumerate() {
                    mixed.copy_from_slice(&by_head[(head * rows + row) * head_dim..][..head_dim]);
                }
            });
        }
    }
}

impl WithLanes for Piece<'_, '_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        if self.queries.len() <= FEW {
            self.one_by_one();
        } else {
            self.together(lanes);
        }
    }
}

impl Piece<'_, '_> {
    /// The row of a query and its values.
    #[inline(always)]
    fn query(&self, place: usize) -> (usize, &[f32]) {
        let HeadShape { n_heads, head_dim, .. } = self.work.heads;
        let rows = self.work.ranges.len();
        let (head, row) = (self.kv_head * self.work.heads.group() + place / rows, place % rows);
        (row, &self.work.queries[(row * n_heads + head) * head_dim..][..head_dim])
    }

    #[inline(always)]
    fn one_by_one(self) {
        let width = self.work.heads.head_dim;
        let scale = self.work.heads.scale() as f32;
        let (mut query, mut weights) = (vec![0.0; width], Vec::new());
        for (at, place) in self.queries.clone().enumerate() {
            let (row, of_query) = self.query(place);
            query.fill(0.0);
            add_scaled(&mut query, scale, of_query);
            let range = self.work.ranges[row].clone();
            weights.clear();
            weights.extend(self.work.keys.rows(self.kv_head, range.clone()).map(|key| dot(key, &query)));
            let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            weights.iter_mut().for_each(|weight| *weight = exp(*weight - largest));
            let share = weights.iter().sum::<f32>().recip();
            let mixed = &mut self.mixed[at * width..][..width];
            for (weight, value) in weights.iter().zip(self.work.values.rows(self.kv_head, range)) {
                add_scaled(mixed, weight * share, value);
            }
        }
    }

    /// All queries at once: keys go by in pieces, and what was mixed so far is scaled down whenever a larger score turns up.
    #[inline(always)]
    fn together<L: Lanes>(self, lanes: L) {
        let width = self.work.heads.head_dim;
        let scale = self.work.heads.scale() as f32;
        let n = self.queries.len();
        let columns = n.next_multiple_of(LANES);
        // [head_dim, queries]: a vector holds one element of sixteen queries.
        let mut turned = vec![0.0; width * columns];
        let mut ranges = vec![0..0; n];
        for (at, place) in self.queries.clone().enumerate() {
            let (row, query) = self.query(place);
            ranges[at] = self.work.ranges[row].clone();
            for (element, q) in query.iter().enumerate() {
                turned[element * columns + at] = q * scale;
            }
        }
        let first = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let mut largest = vec![f32::NEG_INFINITY; columns];
        let mut sums = vec![0.0; columns];
        let mut scores = vec![0.0; KEYS * columns];
        for start in (first..end).step_by(KEYS) {
            let keys = start..end.min(start + KEYS);
            let scores = &mut scores[..keys.len() * columns];
            score(lanes, scores, (self.work.keys, self.kv_head, keys.clone()), &turned);
            hide(scores, columns, &keys, &ranges);
            weigh(scores, &mut largest, &mut sums, self.mixed, width);
            add_values(lanes, self.mixed, scores, (self.work.values, self.kv_head, keys));
        }
        for (mixed, sum) in self.mixed.chunks_exact_mut(width).zip(&sums) {
            let share = sum.recip();
            mixed.iter_mut().for_each(|value| *value *= share);
        }
    }
}

/// Keys and vectors of queries, or queries and vectors of values, whose sums are held in registers.
const TILE: usize = 4;

/// Some rows of a head.
type HeadRows<'a> = (Store<'a>, usize, Range<usize>);

/// `scores_jq = k_j . q_q`, `[keys, queries]`, of queries `[head_dim, queries]`.
#[inline(always)]
fn score<L: Lanes>(lanes: L, scores: &mut [f32], (store, head, rows): HeadRows<'_>, queries: &[f32]) {
    let columns = queries.len() / store.width;
    for (scores, first) in scores.chunks_mut(TILE * columns).zip(rows.clone().step_by(TILE)) {
        // Past the last key, the last once more.
        let keys: [&[f32]; TILE] = std::array::from_fn(|key| store.row(head, (first + key).min(rows.end - 1)));
        for column in (0..columns).step_by(2 * LANES) {
            if columns - column >= 2 * LANES {
                score_tile::<L, 2>(lanes, scores, keys, queries, [columns, column]);
            } else {
                score_tile::<L, 1>(lanes, scores, keys, queries, [columns, column]);
            }
        }
    }
}

#[inline(always)]
fn score_tile<L: Lanes, const V: usize>(
    lanes: L,
    scores: &mut [f32],
    keys: [&[f32]; TILE],
    queries: &[f32],
    [columns, column]: [usize; 2],
) {
    let mut sums = [[lanes.splat(0.0); V]; TILE];
    for (element, queries) in queries.chunks_exact(columns).enumerate() {
        let queries: &[[f32; LANES]] = queries[column..column + V * LANES].as_chunks().0;
        let vectors: [L::Floats; V] = std::array::from_fn(|at| lanes.load(&queries[at]));
        for key in 0..TILE {
            let k = lanes.splat(keys[key][element]);
            for at in 0..V {
                sums[key][at] = lanes.mul_add(k, vectors[at], sums[key][at]);
            }
        }
    }
    for (scores, sums) in scores.chunks_exact_mut(columns).zip(sums) {
        for (scores, sum) in scores[column..column + V * LANES].as_chunks_mut().0.iter_mut().zip(sums) {
            *scores = lanes.store(sum);
        }
    }
}

/// Minus infinity where a query does not see a key.
#[inline(always)]
fn hide(scores: &mut [f32], columns: usize, keys: &Range<usize>, ranges: &[Range<usize>]) {
    for (query, range) in ranges.iter().enumerate() {
        if range.start <= keys.start && range.end >= keys.end {
            continue;
        }
        for (key, scores) in keys.clone().zip(scores.chunks_exact_mut(columns)) {
            if !range.contains(&key) {
                scores[query] = f32::NEG_INFINITY;
            }
        }
    }
}

/// Scores become weights under the largest score so far, which is brought up to date with the sums and what was mixed.
#[inline(always)]
fn weigh(scores: &mut [f32], largest: &mut [f32], sums: &mut [f32], mixed: &mut [f32], width: usize) {
    let columns = largest.len();
    let mut now = [0.0; QUERIES];
    let now = &mut now[..columns];
    now.copy_from_slice(largest);
    for scores in scores.chunks_exact(columns) {
        now.iter_mut().zip(scores).for_each(|(now, score)| *now = now.max(*score));
    }
    for (query, mixed) in mixed.chunks_exact_mut(width).enumerate() {
        if now[query] > largest[query] {
            // 0 the first time, when there is nothing to be scaled.
            let down = exp(largest[query] - now[query]);
            sums[query] *= down;
            mixed.iter_mut().for_each(|value| *value *= down);
        }
    }
    largest.copy_from_slice(now);
    // Of a query that has seen nothing yet, all weights are 0.
    now.iter_mut().filter(|now| **now == f32::NEG_INFINITY).for_each(|now| *now = 0.0);
    for scores in scores.chunks_exact_mut(columns) {
        for ((score, now), sum) in scores.iter_mut().zip(now.iter()).zip(sums.iter_mut()) {
            *score = exp(*score - now);
            *sum += *score;
        }
    }
}

/// `mixed_q += sum_j weights_jq v_j`, of weights `[keys, queries]`.
#[inline(always)]
fn add_values<L: Lanes>(lanes: L, mixed: &mut [f32], weights: &[f32], values: HeadRows<'_>) {
    let width = values.0.width;
    for (at, mixed) in mixed.chunks_mut(TILE * width).enumerate() {
        for element in (0..width).step_by(4 * LANES) {
            match (width - element) / LANES {
                4.. => add_tile::<L, 4>(lanes, mixed, weights, &values, [TILE * at, element]),
                3 => add_tile::<L, 3>(lanes, mixed, weights, &values, [TILE * at, element]),
                2 => add_tile::<L, 2>(lanes, mixed, weights, &values, [TILE * at, element]),
                _ => add_tile::<L, 1>(lanes, mixed, weights, &values, [TILE * at, element]),
            }
        }
    }
}

#[inline(always)]
fn add_tile<L: Lanes, const V: usize>(
    lanes: L,
    mixed: &mut [f32],
    weights: &[f32],
    (store, head, rows): &HeadRows<'_>,
    [query, element]: [usize; 2],
) {
    let (columns, width) = (weights.len() / rows.len(), store.width);
    let mut sums = [[lanes.splat(0.0); V]; TILE];
    for (weights, row) in weights.chunks_exact(columns).zip(rows.clone()) {
        let value: &[[f32; LANES]] = store.row(*head, row)[element..element + V * LANES].as_chunks().0;
        let vectors: [L::Floats; V] = std::array::from_fn(|at| lanes.load(&value[at]));
        // Columns are whole vectors: there are always as many, past the last query zeros.
        let weights: &[f32; TILE] = weights[query..].first_chunk().unwrap_or_else(|| unreachable!("whole vectors"));
        for (sums, weight) in sums.iter_mut().zip(weights) {
            let weight = lanes.splat(*weight);
            for at in 0..V {
                sums[at] = lanes.mul_add(weight, vectors[at], sums[at]);
            }
        }
    }
    let one = lanes.splat(1.0);
    for (mixed, sums) in mixed.chunks_exact_mut(width).zip(sums) {
        for (mixed, sum) in mixed[element..element + V * LANES].as_chunks_mut().0.iter_mut().zip(sums) {
            *mixed = lanes.store(lanes.mul_add(sum, one, lanes.load(mixed)));
        }
    }
}
