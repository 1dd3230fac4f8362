//! Attention on flex: scores are formed and used up in pieces (arXiv 2205.14135); sequences, heads and pieces of queries are spread
//! over threads.

use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::Seen;
use super::one::{add_one, score_one, weigh_one};
use super::store::{Bytes, HeadRows, Kept, Store};
use crate::decode::{Bf16, F16, F32};
use crate::flex;
use crate::heads::HeadShape;
use crate::kept::{FlexRows, KeptRows};
use crate::lanes::{LANES, Lanes, Set, WithLanes};
use crate::softmax::Visible;
use crate::vector::exp;

/// Queries of a key head up to which each is computed by itself, straight from the cache.
const FEW: usize = 4;
/// Queries of a piece otherwise.
const QUERIES: usize = 8 * LANES;
/// Keys of a piece.
const KEYS: usize = 64;

type Unchanged<B> = (Tensor<B, 2>, Vec<Seen<B>>);

/// The way of flex, or all unchanged if it is not one.
pub(super) fn attend<B: Backend>(
    set: Set,
    queries: Tensor<B, 2>,
    seen: Vec<Seen<B>>,
    heads: HeadShape,
) -> Result<Tensor<B, 2>, Unchanged<B>> {
    let mut dtypes = seen.iter().flat_map(|seen| seen.parts.as_flattened()).map(KeptRows::dtype);
    let (dtype, width) = (dtypes.next(), heads.head_dim);
    let is_one = queries.dtype() == DType::F32 && dtypes.all(|other| Some(other) == dtype);
    if !is_one || !flex::is_flex::<B>() || !width.is_multiple_of(LANES) || queries.dims().contains(&0) {
        return Err((queries, seen));
    }
    let attend = match dtype {
        Some(DType::F32) => attend_kept::<B, F32>,
        Some(DType::F16) => attend_kept::<B, F16>,
        Some(DType::BF16) => attend_kept::<B, Bf16>,
        Some(DType::I8) => attend_kept::<B, Bytes>,
        _ => return Err((queries, seen)),
    };
    Ok(attend(set, queries, seen, heads))
}

/// The same where it is known to be the way.
fn attend_kept<B: Backend, K: Kept>(
    set: Set,
    queries: Tensor<B, 2>,
    seen: Vec<Seen<B>>,
    heads: HeadShape,
) -> Tensor<B, 2> {
    let queries = flex::take(queries).unwrap_or_else(|_| unreachable!("asked before")).to_contiguous();
    let visible: Vec<_> = seen.iter().map(|seen| seen.visible.clone()).collect();
    let take = |rows: KeptRows<B>| in_rows(rows.into_flex().unwrap_or_else(|_| unreachable!("asked before")));
    let parts: Vec<Vec<[FlexRows; 2]>> =
        seen.into_iter().map(|seen| seen.parts.into_iter().map(|part| part.map(take)).collect()).collect();
    let Some(of_queries) = queries.as_slice::<f32>() else { unreachable!("it is contiguous f32") };
    let mut start = 0;
    let sequences: Vec<Sequence<'_, K>> = visible
        .iter()
        .zip(&parts)
        .map(|(visible, parts)| {
            let n = visible.queries() * heads.n_heads * heads.head_dim;
            start += n;
            Sequence::new(&of_queries[start - n..start], parts, visible, heads)
        })
        .collect();
    let mixed = mix(set, &sequences, heads);
    flex::give(FlexTensor::from_data(TensorData::new(mixed, queries.layout().shape().clone())))
}

/// Tensors whose rows are whole, wherever they lie.
fn in_rows(FlexRows { elements, scales }: FlexRows) -> FlexRows {
    let whole = |tensor: FlexTensor| {
        let layout = tensor.layout();
        if layout.strides()[2] == 1 && layout.has_positive_strides() { tensor } else { tensor.to_contiguous() }
    };
    FlexRows { elements: whole(elements), scales: scales.map(whole) }
}

/// The queries of a sequence and what they see.
struct Sequence<'a, K: Kept> {
    /// `[rows, n_heads * head_dim]`.
    queries: &'a [f32],
    parts: Vec<Part<'a, K>>,
    /// Of each row.
    ranges: &'a [Range<usize>],
    heads: HeadShape,
}

/// Keys and values.
struct Part<'a, K: Kept> {
    keys: Store<'a, K>,
    values: Store<'a, K>,
    /// Their places among those of all parts.
    places: Range<usize>,
}

impl<K: Kept> Part<'_, K> {
    /// Those of its rows that are among some places.
    fn rows(&self, places: &Range<usize>) -> Range<usize> {
        let row = |place: usize| place.clamp(self.places.start, self.places.end) - self.places.start;
        row(places.start)..row(places.end)
    }
}

impl<'a, K: Kept> Sequence<'a, K> {
    fn new<B: Backend>(
        queries: &'a [f32],
        parts: &'a [[FlexRows; 2]],
        visible: &'a Visible<B>,
        heads: HeadShape,
    ) -> Self {
        let mut end = 0;
        let part = |[keys, values]: &'a [FlexRows; 2]| {
            let n = keys.elements.layout().shape()[1];
            end += n;
            Part { keys: Store::of(keys), values: Store::of(values), places: end - n..end }
        };
        let parts = parts.iter().map(part).collect();
        Self { queries, parts, ranges: visible.ranges(), heads }
    }
}

/// Queries of one key head, by their places among `group * rows`: all rows of its first query head, then of the next.
struct Piece<'a, 'm, K: Kept> {
    sequence: &'a Sequence<'a, K>,
    kv_head: usize,
    queries: Range<usize>,
    /// `[queries, head_dim]`.
    mixed: &'m mut [f32],
}

/// `[rows, n_heads * head_dim]` of all sequences.
fn mix<K: Kept>(set: Set, sequences: &[Sequence<'_, K>], heads: HeadShape) -> Vec<f32> {
    let HeadShape { n_heads, head_dim, .. } = heads;
    let width = n_heads * head_dim;
    // Within a sequence the rows of a head lie below one another, which is what is asked for where there is one row.
    let mut by_head = vec![0.0; sequences.iter().map(|sequence| sequence.queries.len()).sum()];
    let mut pieces = Vec::new();
    let mut rest = &mut by_head[..];
    for sequence in sequences {
        let (mixed, others) = rest.split_at_mut(sequence.queries.len());
        rest = others;
        let of_head = heads.group() * sequence.ranges.len();
        let size = if of_head <= FEW { of_head } else { QUERIES };
        for (kv_head, mixed) in mixed.chunks_mut(of_head * head_dim).enumerate() {
            for (at, mixed) in mixed.chunks_mut(size * head_dim).enumerate() {
                let queries = at * size..at * size + mixed.len() / head_dim;
                pieces.push(Piece { sequence, kv_head, queries, mixed });
            }
        }
    }
    pieces.into_par_iter().with_max_len(1).for_each(|piece| set.run(piece));
    if sequences.iter().all(|sequence| sequence.ranges.len() == 1) {
        return by_head;
    }
    let mut mixed = vec![0.0; by_head.len()];
    let places = sequences.iter().scan(0, |end, sequence| {
        let start = std::mem::replace(end, *end + sequence.queries.len());
        Some((start, sequence.ranges.len()))
    });
    let rows: Vec<_> = places.flat_map(|(start, rows)| (0..rows).map(move |row| (start, rows, row))).collect();
    mixed.par_chunks_mut(width).zip(rows).for_each(|(mixed, (start, rows, row))| {
        for (head, mixed) in mixed.chunks_exact_mut(head_dim).enumerate() {
            mixed.copy_from_slice(&by_head[start + (head * rows + row) * head_dim..][..head_dim]);
        }
    });
    mixed
}

impl<K: Kept> WithLanes for Piece<'_, '_, K> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        if self.queries.len() <= FEW {
            self.one_by_one(lanes);
        } else {
            self.together(lanes);
        }
    }
}

impl<K: Kept> Piece<'_, '_, K> {
    /// The row of a query and its values.
    #[inline(always)]
    fn query(&self, place: usize) -> (usize, &[f32]) {
        let HeadShape { n_heads, head_dim, .. } = self.sequence.heads;
        let rows = self.sequence.ranges.len();
        let (head, row) = (self.kv_head * self.sequence.heads.group() + place / rows, place % rows);
        (row, &self.sequence.queries[(row * n_heads + head) * head_dim..][..head_dim])
    }

    #[inline(always)]
    fn one_by_one<L: Lanes>(self, lanes: L) {
        let HeadShape { n_kv_heads, head_dim, .. } = self.sequence.heads;
        let scale = self.sequence.heads.scale() as f32;
        let (head, next_head) = (self.kv_head, (self.kv_head + 1) % n_kv_heads);
        let mut weights = Vec::new();
        for (at, place) in self.queries.clone().enumerate() {
            let (row, query) = self.query(place);
            let range = &self.sequence.ranges[row];
            let parts =
                || self.sequence.parts.iter().map(|part| (part, part.rows(range))).filter(|(_, rows)| !rows.is_empty());
            weights.clear();
            // Those that fill up the last vector come to nothing.
            weights.resize(range.len().next_multiple_of(LANES), f32::NEG_INFINITY);
            let mut rest = &mut weights[..];
            for (part, rows) in parts() {
                let (scores, others) = rest.split_at_mut(rows.len());
                score_one(lanes, scores, part.keys.rows(head, &rows), query, part.values.rows(head, &rows));
                rest = others;
            }
            let share = weigh_one(&mut weights, scale).recip();
            let mixed = &mut self.mixed[at * head_dim..][..head_dim];
            let mut rest = &mut weights[..];
            for (part, rows) in parts() {
                let (weights, others) = rest.split_at_mut(rows.len());
                let (values, next) = (part.values.rows(head, &rows), part.keys.rows(next_head, &rows));
                values.scale(weights);
                add_one(lanes, mixed, weights, values, next);
                rest = others;
            }
            mixed.iter_mut().for_each(|value| *value *= share);
        }
    }

    /// All queries at once: keys go by in pieces, and what was mixed so far is scaled down whenever a larger score turns up.
    #[inline(always)]
    fn together<L: Lanes>(self, lanes: L) {
        let width = self.sequence.heads.head_dim;
        let scale = self.sequence.heads.scale() as f32;
        let n = self.queries.len();
        let columns = n.next_multiple_of(LANES);
        // [head_dim, queries]: a vector holds one element of sixteen queries.
        let mut turned = vec![0.0; width * columns];
        let mut ranges = vec![0..0; n];
        for (at, place) in self.queries.clone().enumerate() {
            let (row, query) = self.query(place);
            ranges[at] = self.sequence.ranges[row].clone();
            for (element, q) in query.iter().enumerate() {
                turned[element * columns + at] = q * scale;
            }
        }
        let first = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let mut largest = vec![f32::NEG_INFINITY; columns];
        let mut sums = vec![0.0; columns];
        let mut scores = vec![0.0; KEYS * columns];
        let mut space = Vec::new();
        for part in &self.sequence.parts {
            let rows = part.rows(&(first..end));
            for start in rows.clone().step_by(KEYS) {
                let rows = start..rows.end.min(start + KEYS);
                let scores = &mut scores[..rows.len() * columns];
                let keys = part.keys.rows(self.kv_head, &rows);
                score(lanes, scores, K::floats_of(lanes, keys, &mut space), &turned);
                let places = part.places.start + rows.start..part.places.start + rows.end;
                hide(scores, columns, &places, &ranges);
                weigh(scores, &mut largest, &mut sums, self.mixed, width);
                let values = part.values.rows(self.kv_head, &rows);
                let values = K::floats_of(lanes, values, &mut space);
                add_values(lanes, self.mixed, scores, values);
            }
        }
        for (mixed, sum) in self.mixed.chunks_exact_mut(width).zip(&sums) {
            let share = sum.recip();
            mixed.iter_mut().for_each(|value| *value *= share);
        }
    }
}

/// Keys and vectors of queries, or queries and vectors of values, whose sums are held in registers.
const TILE: usize = 4;

/// `scores_jq = k_j . q_q`, `[keys, queries]`, of queries `[head_dim, queries]`.
#[inline(always)]
fn score<L: Lanes>(lanes: L, scores: &mut [f32], rows: HeadRows<'_, F32>, queries: &[f32]) {
    let columns = queries.len() / rows.width();
    for (scores, first) in scores.chunks_mut(TILE * columns).zip((0..rows.len()).step_by(TILE)) {
        // Past the last key, the last once more.
        let keys: [&[f32]; TILE] = std::array::from_fn(|key| rows.get((first + key).min(rows.len() - 1)));
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

/// `mixed_q += sum_j weights_jq v_j`, weights `[keys, queries]`.
#[inline(always)]
fn add_values<L: Lanes>(lanes: L, mixed: &mut [f32], weights: &[f32], values: HeadRows<'_, F32>) {
    let width = values.width();
    for (at, mixed) in mixed.chunks_mut(TILE * width).enumerate() {
        for element in (0..width).step_by(4 * LANES) {
            let first = [TILE * at, element];
            match (width - element) / LANES {
                4.. => add_tile::<L, 4>(lanes, mixed, weights, values, first),
                3 => add_tile::<L, 3>(lanes, mixed, weights, values, first),
                2 => add_tile::<L, 2>(lanes, mixed, weights, values, first),
                _ => add_tile::<L, 1>(lanes, mixed, weights, values, first),
            }
        }
    }
}

#[inline(always)]
fn add_tile<L: Lanes, const V: usize>(
    lanes: L,
    mixed: &mut [f32],
    weights: &[f32],
    values: HeadRows<'_, F32>,
    [query, element]: [usize; 2],
) {
    let (columns, width) = (weights.len() / values.len(), values.width());
    let mut sums = [[lanes.splat(0.0); V]; TILE];
    for (row, weights) in weights.chunks_exact(columns).enumerate() {
        let mut vectors = [lanes.splat(0.0); V];
        for (vector, value) in vectors.iter_mut().zip(values.vectors::<V>(row, element)) {
            *vector = lanes.load(value);
        }
        // Columns are whole vectors: there are always as many, and those past the last query are not used.
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
