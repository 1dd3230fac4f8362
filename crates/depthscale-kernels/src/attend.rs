//! Softmax attention (arXiv 1706.03762) over the keys and values of a cache.

#[cfg(feature = "flex")]
mod pieces;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::heads::HeadShape;
#[cfg(feature = "flex")]
use crate::lanes::Set;
use crate::softmax::{Visible, softmax_visible};

/// Attention of queries over the keys that each may see: `y_i = sum_j softmax_j(q_i . k_j / sqrt(head_dim)) v_j`.
///
/// On flex scores are formed and used up in pieces (arXiv 2205.14135), so that none but a few are in memory at once, and heads
/// and pieces of the queries are spread over threads. Keys and values may be views of a larger store; they are not copied.
///
/// # Shapes
/// - queries: `[rows, n_heads * head_dim]`, cast to the dtype of the values
/// - keys, values: `[n_kv_heads, keys, head_dim]`, both of one dtype
/// - visible: a range of keys for each row
/// - output: `[rows, n_heads * head_dim]`, in the dtype of the values; softmax is in f32
///
/// # Panics
/// If the shapes do not fit.
pub fn attend<B: Backend>(
    queries: Tensor<B, 2>,
    keys: Tensor<B, 3>,
    values: Tensor<B, 3>,
    visible: &Visible<B>,
    heads: HeadShape,
) -> Tensor<B, 2> {
    let rows = queries.dims()[0];
    #[cfg(feature = "flex")]
    let (queries, keys, values) = match pieces::attend(Set::best(), queries, keys, values, visible, heads) {
        Ok(mixed) => return mixed,
        Err(unchanged) => unchanged,
    };
    let dtype = values.dtype();
    let queries = heads.split_queries((queries * heads.scale()).cast(dtype));
    let scores = queries.matmul(keys.swap_dims(1, 2));
    let mixed = softmax_visible(scores, visible).cast(dtype).matmul(values);
    heads.join_queries(mixed, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use burn_ndarray::NdArray;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i * 7919 + seed * 104_729) % 1013) as f32 - 506.0) / 400.0).collect()
    }

    type Attend<'a, B> = &'a dyn Fn(Tensor<B, 2>, [Tensor<B, 3>; 2], &Visible<B>, HeadShape) -> Tensor<B, 2>;

    /// Attention over a part of a larger store.
    fn mixed<B: Backend>(
        attend: Attend<B>,
        heads: HeadShape,
        ranges: &[std::ops::Range<usize>],
        keys: usize,
    ) -> Vec<f32> {
        let device = Default::default();
        let HeadShape { n_heads, n_kv_heads, head_dim } = heads;
        let store = |seed| {
            let shape = [n_kv_heads, keys + 3, head_dim];
            let all = values(shape.iter().product(), seed);
            let all = Tensor::<B, 3>::from_data(TensorData::new(all, shape), &device);
            let part = all.slice([0..n_kv_heads, 0..keys, 0..head_dim]);
            if seed == 2 {
                return part;
            }
            // As a projection leaves them: heads beside one another.
            let rows = part.swap_dims(0, 1).reshape([keys, n_kv_heads * head_dim]);
            rows.reshape([keys, n_kv_heads, head_dim]).swap_dims(0, 1)
        };
        let shape = [ranges.len(), n_heads * head_dim];
        let queries = Tensor::<B, 2>::from_data(TensorData::new(values(shape[0] * shape[1], 1), shape), &device);
        let visible = Visible::new(ranges.to_vec(), keys, &device);
        attend(queries, [store(2), store(3)], &visible, heads).into_data().to_vec().expect("f32")
    }

    /// What a row mixes, from the formula.
    fn expected(heads: HeadShape, ranges: &[std::ops::Range<usize>], keys: usize) -> Vec<f64> {
        let HeadShape { n_heads, n_kv_heads, head_dim } = heads;
        let queries = values(ranges.len() * n_heads * head_dim, 1);
        let store = |seed| values(n_kv_heads * (keys + 3) * head_dim, seed);
        let (k, v) = (store(2), store(3));
        let mut mixed = Vec::new();
        for (row, range) in ranges.iter().enumerate() {
            for head in 0..n_heads {
                let q = &queries[(row * n_heads + head) * head_dim..][..head_dim];
                let at = |key: usize| (head / heads.group() * (keys + 3) + key) * head_dim;
                let score = |key: usize| {
                    let products = q.iter().zip(&k[at(key)..]).map(|(a, b)| f64::from(*a) * f64::from(*b));
                    (products.sum::<f64>() * heads.scale()).exp()
                };
                let sum: f64 = range.clone().map(score).sum();
                for element in 0..head_dim {
                    let value = |key: usize| score(key) * f64::from(v[at(key) + element]);
                    mixed.push(range.clone().map(value).sum::<f64>() / sum);
                }
            }
        }
        mixed
    }

    fn mixes_what_is_seen<B: Backend>(attend: Attend<B>, heads: &[(usize, usize, usize)]) {
        let causal = |rows: usize, before: usize| (0..rows).map(|row| 0..before + row + 1).collect::<Vec<_>>();
        let window = |rows: usize, before: usize| {
            (0..rows).map(|row| (before + row).saturating_sub(20)..before + row + 1).collect::<Vec<_>>()
        };
        for &(n_heads, n_kv_heads, head_dim) in heads {
            let heads = HeadShape { n_heads, n_kv_heads, head_dim };
            for (rows, before) in [(1, 0), (1, 99), (2, 5), (7, 60), (33, 0), (130, 70)] {
                for ranges in [causal(rows, before), window(rows, before)] {
                    let keys = rows + before;
                    let (found, expected) = (mixed(attend, heads, &ranges, keys), expected(heads, &ranges, keys));
                    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let close = (f64::from(*found) - expected).abs() < 2e-6;
                        assert!(close, "{heads:?}, {rows} rows after {before}, {at}: {found} {expected}");
                    }
                }
            }
        }
    }

    /// Heads that are whole vectors, and some that are not.
    const HEADS: [(usize, usize, usize); 5] = [(4, 4, 16), (6, 2, 32), (4, 2, 48), (2, 1, 80), (3, 3, 8)];

    #[test]
    fn mixes_what_is_seen_ndarray() {
        mixes_what_is_seen::<NdArray>(&|q, [k, v], visible, heads| attend(q, k, v, visible, heads), &HEADS);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn mixes_what_is_seen_flex() {
        use burn_flex::Flex;
        mixes_what_is_seen::<Flex>(&|q, [k, v], visible, heads| attend(q, k, v, visible, heads), &HEADS);
        for set in Set::all() {
            let with_set = |q, [k, v]: [_; 2], visible: &Visible<Flex>, heads| {
                pieces::attend(set, q, k, v, visible, heads).unwrap_or_else(|_| panic!("whole vectors of flex"))
            };
            mixes_what_is_seen::<Flex>(&with_set, &HEADS[..4]);
        }
    }
}
