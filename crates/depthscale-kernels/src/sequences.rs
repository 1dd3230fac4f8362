//! Causal softmax attention (arXiv 1706.03762) within whole sequences.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};

use crate::heads::HeadShape;

/// Whole sequences whose token rows lie one below the other, without padding.
#[derive(Debug, Clone)]
pub struct Sequences<B: Backend> {
    lengths: Arc<[usize]>,
    device: B::Device,
    /// For backends without a path of their own.
    padding: Arc<Mutex<Option<Padding<B>>>>,
}

/// Rows gathered into sequences of one length.
#[derive(Debug, Clone)]
struct Padding<B: Backend> {
    longest: usize,
    /// `[sequences * longest]`: the row at each place, row 0 where there is none.
    rows: Tensor<B, 1, Int>,
    /// `[rows]`: the place of each row.
    places: Tensor<B, 1, Int>,
}

impl<B: Backend> Sequences<B> {
    /// Sequences of these lengths.
    ///
    /// # Panics
    /// If one is empty.
    pub fn new(lengths: impl IntoIterator<Item = usize>, device: &B::Device) -> Self {
        let lengths: Arc<[usize]> = lengths.into_iter().collect();
        assert!(lengths.iter().all(|&length| length > 0), "sequences hold at least one token");
        Self { lengths, device: device.clone(), padding: Arc::default() }
    }

    /// Their lengths.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Rows of all together.
    pub fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    fn padding(&self) -> Padding<B> {
        let mut padding = self.padding.lock().unwrap_or_else(PoisonError::into_inner);
        padding.get_or_insert_with(|| self.pad()).clone()
    }

    fn pad(&self) -> Padding<B> {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let mut rows = vec![0; self.lengths.len() * longest];
        let mut places = Vec::with_capacity(self.rows());
        for (sequence, &length) in self.lengths.iter().enumerate() {
            let own = &mut rows[sequence * longest..][..length];
            for (token, row) in own.iter_mut().enumerate() {
                *row = places.len() as i64;
                places.push((sequence * longest + token) as i64);
            }
        }
        let tensor = |values: Vec<i64>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), &self.device)
        };
        Padding { longest, rows: tensor(rows), places: tensor(places) }
    }
}

/// Attention of every row over its own sequence up to itself, over at most `window` keys, its own included:
/// `y_i = sum_j softmax_j(q_i . k_j / sqrt(head_dim)) v_j`.
///
/// # Shapes
/// - queries: `[rows, n_heads * head_dim]`
/// - keys, values: `[rows, n_kv_heads * head_dim]`
/// - output: `[rows, n_heads * head_dim]`, in the dtype of the values; softmax is in f32
///
/// # Panics
/// If the shapes do not fit.
pub fn attend_sequences<B: Backend>(
    queries: Tensor<B, 2>,
    keys: Tensor<B, 2>,
    values: Tensor<B, 2>,
    sequences: &Sequences<B>,
    heads: HeadShape,
    window: Option<usize>,
) -> Tensor<B, 2> {
    let HeadShape { n_heads, n_kv_heads, head_dim } = heads;
    let rows = sequences.rows();
    let expected = [[rows, n_heads * head_dim], [rows, n_kv_heads * head_dim], [rows, n_kv_heads * head_dim]];
    let found = [queries.dims(), keys.dims(), values.dims()];
    assert!(found == expected, "queries, keys and values are {found:?}, expected {expected:?}");
    #[cfg(feature = "flex")]
    let [queries, keys, values] = {
        let operation = fast::Attention { lengths: sequences.lengths.clone(), heads, window };
        match crate::fused::apply(operation, [queries, keys, values]) {
            Ok(mixed) => return mixed,
            Err(unchanged) => unchanged,
        }
    };
    let (group, n, dtype) = (heads.group(), sequences.lengths.len(), values.dtype());
    let padding = sequences.padding();
    let longest = padding.longest;
    // [sequences * heads, longest, head_dim]
    let split = |x: Tensor<B, 2>, heads: usize, repeat: usize| {
        let x = x.cast(dtype).select(0, padding.rows.clone());
        let x = x.reshape([n, longest, heads, head_dim]).swap_dims(1, 2).reshape([n * heads, 1, longest * head_dim]);
        x.repeat_dim(1, repeat).reshape([n * heads * repeat, longest, head_dim])
    };
    let queries = split(queries, n_heads, 1) * heads.scale();
    let scores = queries.matmul(split(keys, n_kv_heads, group).swap_dims(1, 2)).cast(FloatDType::F32);
    let weights = burn::tensor::activation::softmax(scores + bias(longest, window, &sequences.device), 2).cast(dtype);
    let mixed = weights.matmul(split(values, n_kv_heads, group));
    let mixed = mixed.reshape([n, n_heads, longest, head_dim]).swap_dims(1, 2);
    mixed.reshape([n * longest, n_heads * head_dim]).select(0, padding.places)
}

/// `[1, longest, longest]`: 0 where a key is seen, minus infinity elsewhere.
fn bias<B: Backend>(longest: usize, window: Option<usize>, device: &B::Device) -> Tensor<B, 3> {
    let mut bias = vec![f32::NEG_INFINITY; longest * longest];
    for (query, keys) in bias.chunks_exact_mut(longest).enumerate() {
        keys[first_key(query, window)..=query].fill(0.0);
    }
    Tensor::from_data(TensorData::new(bias, [1, longest, longest]), (device, DType::F32))
}

fn first_key(query: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| (query + 1).saturating_sub(window))
}

#[cfg(feature = "flex")]
mod fast {
    use std::sync::Arc;

    use rayon::prelude::*;

    use super::first_key;
    use crate::fused::{Fused, Matrix};
    use crate::heads::HeadShape;
    use crate::vector::{add_scaled, dot, exp, vectorised};

    #[derive(Debug, Clone)]
    pub(super) struct Attention {
        pub(super) lengths: Arc<[usize]>,
        pub(super) heads: HeadShape,
        pub(super) window: Option<usize>,
    }

    /// Splits a buffer into one piece for each sequence.
    fn pieces<'a>(mut buffer: &'a mut [f32], lengths: &[usize], width: usize) -> Vec<&'a mut [f32]> {
        let mut pieces = Vec::with_capacity(lengths.len());
        for length in lengths {
            let (piece, rest) = buffer.split_at_mut(length * width);
            pieces.push(piece);
            buffer = rest;
        }
        pieces
    }

    fn starts(lengths: &[usize]) -> Vec<usize> {
        lengths.iter().scan(0, |end, length| Some(std::mem::replace(end, *end + length))).collect()
    }

    /// The columns of a head over the rows of a sequence, turned: `[head_dim, length]`.
    #[inline(always)]
    fn turned(x: Matrix<'_>, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Vec<f32> {
        let length = rows.len();
        let mut turned = vec![0.0; length * columns.len()];
        for (at, row) in rows.enumerate() {
            for (column, value) in x.row(row)[columns.clone()].iter().enumerate() {
                turned[column * length + at] = *value;
            }
        }
        turned
    }

    /// `scores_j = q . k_j` for the keys in a range of `[head_dim, length]`.
    #[inline(always)]
    fn score(scores: &mut [f32], query: &[f32], keys: &[f32], length: usize, seen: std::ops::Range<usize>) {
        scores.fill(0.0);
        for (q, keys) in query.iter().zip(keys.chunks_exact(length)) {
            add_scaled(scores, *q, &keys[seen.clone()]);
        }
    }

    impl Attention {
        fn columns(&self, head: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
            let width = self.heads.head_dim;
            let kv = head / self.heads.group();
            (head * width..(head + 1) * width, kv * width..(kv + 1) * width)
        }

        #[inline(always)]
        fn mix_sequence(&self, [q, k, v]: [Matrix<'_>; 3], start: usize, mixed: &mut [f32], sums: &mut [f32]) {
            let (n_heads, scale) = (self.heads.n_heads, self.heads.scale() as f32);
            let length = sums.len() / (2 * n_heads);
            let rows = start..start + length;
            let mut weights = vec![0.0; length];
            let mut query = vec![0.0; self.heads.head_dim];
            for head in 0..n_heads {
                let (own, shared) = self.columns(head);
                let keys = turned(k, rows.clone(), shared.clone());
                for at in 0..length {
                    let first = first_key(at, self.window);
                    let weights = &mut weights[first..=at];
                    query.fill(0.0);
                    add_scaled(&mut query, scale, &q.row(start + at)[own.clone()]);
                    score(weights, &query, &keys, length, first..at + 1);
                    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    weights.iter_mut().for_each(|weight| *weight = exp(*weight - largest));
                    let sum: f32 = weights.iter().sum();
                    // What the gradient forms the same weights from again.
                    sums[2 * (at * n_heads + head)..][..2].copy_from_slice(&[largest, sum]);
                    let mixed = &mut mixed[at * q.columns..][own.clone()];
                    for (key, weight) in weights.iter().enumerate() {
                        add_scaled(mixed, weight / sum, &v.row(start + first + key)[shared.clone()]);
                    }
                }
            }
        }

        /// With `p` the weights and `g` the gradient of the output:
        /// `dv_j = sum_i p_ij g_i`, `ds_ij = p_ij (g_i . v_j - g_i . y_i)`, `dq_i = sum_j ds_ij k_j`, `dk_j = sum_i ds_ij q_i`.
        #[inline(always)]
        fn pull_sequence(
            &self,
            [q, k, v]: [Matrix<'_>; 3],
            start: usize,
            sums: &[f32],
            upstream: Matrix<'_>,
            [of_q, of_k, of_v]: [&mut [f32]; 3],
        ) {
            let (n_heads, scale) = (self.heads.n_heads, self.heads.scale() as f32);
            let length = of_q.len() / q.columns;
            let rows = start..start + length;
            let (mut weights, mut pulls) = (vec![0.0; length], vec![0.0; length]);
            let mut query = vec![0.0; self.heads.head_dim];
            for head in 0..n_heads {
                let (own, shared) = self.columns(head);
                let turn = |x| turned(x, rows.clone(), shared.clone());
                let (keys, values) = (turn(k), turn(v));
                for at in 0..length {
                    let first = first_key(at, self.window);
                    let (weights, pulls) = (&mut weights[first..=at], &mut pulls[first..=at]);
                    query.fill(0.0);
                    add_scaled(&mut query, scale, &q.row(start + at)[own.clone()]);
                    let g = &upstream.row(start + at)[own.clone()];
                    score(weights, &query, &keys, length, first..at + 1);
                    score(pulls, g, &values, length, first..at + 1);
                    let kept = 2 * ((start + at) * n_heads + head);
                    let (largest, sum) = (sums[kept], sums[kept + 1]);
                    weights.iter_mut().for_each(|weight| *weight = exp(*weight - largest) / sum);
                    let mean = dot(weights, pulls);
                    for (pull, weight) in pulls.iter_mut().zip(weights.iter()) {
                        *pull = weight * (*pull - mean);
                    }
                    let of_query = &mut of_q[at * q.columns..][own.clone()];
                    for (key, (weight, pull)) in weights.iter().zip(pulls.iter()).enumerate() {
                        let key = first + key;
                        add_scaled(&mut of_v[key * v.columns..][shared.clone()], *weight, g);
                        add_scaled(&mut of_k[key * k.columns..][shared.clone()], *pull, &query);
                        add_scaled(of_query, scale * pull, &k.row(start + key)[shared.clone()]);
                    }
                }
            }
        }
    }

    impl Fused<3> for Attention {
        fn forward(&self, inputs: [Matrix<'_>; 3]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            let [q, ..] = inputs;
            let (mut mixed, mut sums) = (vec![0.0; q.values.len()], vec![0.0; 2 * q.rows() * self.heads.n_heads]);
            let outputs = pieces(&mut mixed, &self.lengths, q.columns);
            let sums_of = pieces(&mut sums, &self.lengths, 2 * self.heads.n_heads);
            let work = outputs.into_par_iter().zip(sums_of).zip(starts(&self.lengths));
            work.for_each(|((mixed, sums), start)| {
                vectorised(
                    #[inline(always)]
                    || self.mix_sequence(inputs, start, mixed, sums),
                );
            });
            (mixed, [q.rows(), q.columns], sums)
        }

        fn backward(&self, inputs: [Matrix<'_>; 3], sums: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 3] {
            let mut gradients = inputs.map(|input| vec![0.0; input.values.len()]);
            let upstream = Matrix { values: upstream, columns: inputs[0].columns };
            let [of_q, of_k, of_v] = &mut gradients;
            let of_q = pieces(of_q, &self.lengths, inputs[0].columns);
            let of_k = pieces(of_k, &self.lengths, inputs[1].columns);
            let of_v = pieces(of_v, &self.lengths, inputs[2].columns);
            let work = of_q.into_par_iter().zip(of_k).zip(of_v).zip(starts(&self.lengths));
            work.for_each(|(((of_q, of_k), of_v), start)| {
                vectorised(
                    #[inline(always)]
                    || self.pull_sequence(inputs, start, sums, upstream, [&mut *of_q, &mut *of_k, &mut *of_v]),
                );
            });
            gradients.map(Some)
        }
    }
}
