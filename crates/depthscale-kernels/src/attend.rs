//! Softmax attention (arXiv 1706.03762) over the keys and values of caches.

#[cfg(feature = "flex")]
mod one;
#[cfg(feature = "flex")]
mod pieces;
#[cfg(feature = "flex")]
mod store;

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::heads::HeadShape;
use crate::kept::KeptRows;
#[cfg(feature = "flex")]
use crate::lanes::Set;
use crate::softmax::{Visible, softmax_visible};

/// What the queries of one sequence see.
#[derive(Debug)]
pub struct Seen<B: Backend> {
    /// Keys and values in parts that follow one another, `[n_kv_heads, keys, head_dim]` each, in any dtype. They may be views of
    /// larger stores. In f16 they are finite: what is infinite or not a number in it may count as a number.
    pub parts: Vec<[KeptRows<B>; 2]>,
    /// The keys that each query sees, counted over all parts.
    pub visible: Arc<Visible<B>>,
}

/// Attention of queries over the keys that each may see: `y_i = sum_j softmax_j(q_i . k_j / sqrt(head_dim)) v_j`.
///
/// On flex scores are formed and used up in pieces (arXiv 2205.14135), so that none but a few are in memory at once;
/// sequences, heads and pieces of the queries are spread over threads together. Keys and values in whole rows are not copied,
/// and those of 16 and 8 bits are read as they are. So it is for queries in f32, heads of whole vectors of sixteen, and keys and
/// values of one dtype; elsewhere plain operations form all scores of a sequence.
///
/// # Shapes
/// - queries: `[rows, n_heads * head_dim]`, those of the first sequence first
/// - seen: one entry a sequence, whose ranges say how many of the rows are its own; keys and values are taken for numbers of the
///   dtype of the queries
/// - output: `[rows, n_heads * head_dim]`, in the dtype of the queries; softmax is in f32
///
/// # Panics
/// If the shapes do not fit, key heads do not divide query heads, there is no sequence, or one has no queries or no keys.
pub fn attend<B: Backend>(queries: Tensor<B, 2>, seen: Vec<Seen<B>>, heads: HeadShape) -> Tensor<B, 2> {
    let [rows, width] = queries.dims();
    let ranges: usize = seen.iter().map(|seen| seen.visible.queries()).sum();
    assert_eq!((rows, width), (ranges, heads.n_heads * heads.head_dim), "queries");
    assert!(heads.n_heads.is_multiple_of(heads.n_kv_heads), "{heads:?}: key heads divide query heads");
    for Seen { parts, visible } in &seen {
        assert!(visible.queries() > 0, "a sequence without queries");
        for [keys, values] in parts {
            let expected = [heads.n_kv_heads, keys.dims()[1], heads.head_dim];
            assert_eq!((keys.dims(), values.dims()), (expected, expected), "keys and values");
        }
        let keys: usize = parts.iter().map(|[keys, _]| keys.dims()[1]).sum();
        assert_eq!(keys, visible.keys(), "keys that queries see");
    }
    #[cfg(feature = "flex")]
    let (queries, seen) = match pieces::attend(Set::best(), queries, seen, heads) {
        Ok(mixed) => return mixed,
        Err(unchanged) => unchanged,
    };
    let of_sequences = split(queries, 0, seen.iter().map(|seen| seen.visible.queries()).collect());
    let mixed = of_sequences.into_iter().zip(seen).map(|(queries, seen)| attend_one(queries, seen, heads));
    join(mixed.collect(), 0)
}

/// The same for one sequence, in plain operations.
fn attend_one<B: Backend>(queries: Tensor<B, 2>, seen: Seen<B>, heads: HeadShape) -> Tensor<B, 2> {
    let (rows, dtype) = (queries.dims()[0], queries.dtype());
    let floats = |rows: KeptRows<B>| rows.into_floats(dtype.into());
    let parts = seen.parts.into_iter().map(|[keys, values]| (floats(keys), floats(values)));
    let (mut keys, mut values): (Vec<_>, Vec<_>) = parts.unzip();
    // The scores of one row are less than its keys and values, those of many are more: what is less is joined.
    if rows > 1 {
        (keys, values) = (vec![join(keys, 1)], vec![join(values, 1)]);
    }
    let queries = heads.split_queries(queries * heads.scale());
    let scores = keys.into_iter().map(|keys| queries.clone().matmul(keys.swap_dims(1, 2))).collect();
    let weights = softmax_visible(join(scores, 2), &seen.visible).cast(dtype);
    let of_parts = split(weights, 2, values.iter().map(|values| values.dims()[1]).collect());
    let mixed = of_parts.into_iter().zip(values).map(|(weights, values)| weights.matmul(values));
    let Some(mixed) = mixed.reduce(|sum, mixed| sum + mixed) else { unreachable!("indexed above") };
    heads.join_queries(mixed, rows)
}

/// Pieces of some lengths along a dimension.
fn split<B: Backend, const D: usize>(x: Tensor<B, D>, dim: usize, lengths: Vec<usize>) -> Vec<Tensor<B, D>> {
    if lengths.len() == 1 {
        return vec![x];
    }
    let starts = lengths.iter().scan(0, |end, length| Some(std::mem::replace(end, *end + length)));
    starts.zip(&lengths).map(|(start, length)| x.clone().narrow(dim, start, *length)).collect()
}

/// The way back of [`split`].
fn join<B: Backend, const D: usize>(mut pieces: Vec<Tensor<B, D>>, dim: usize) -> Tensor<B, D> {
    if pieces.len() == 1 { pieces.remove(0) } else { Tensor::cat(pieces, dim) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use burn_ndarray::NdArray;
    use depthscale_types::CacheDtype;

    /// Numbers of at most eight bits, which every dtype holds exactly.
    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i * 7919 + seed * 104_729) % 255) as f32 - 127.0) / 128.0).collect()
    }

    /// Keys or values of `rows` tokens, head by head; the largest magnitude that there is, in every head, makes codes of 8 bits of
    /// them exact as well.
    fn store(heads: HeadShape, rows: usize, seed: usize) -> Vec<f32> {
        let mut all = values(heads.n_kv_heads * rows * heads.head_dim, seed);
        all.chunks_exact_mut(heads.head_dim).for_each(|head| head[seed] = 127.0 / 128.0);
        all
    }

    type Attend<'a, B> = &'a dyn Fn(Tensor<B, 2>, Vec<Seen<B>>, HeadShape) -> Tensor<B, 2>;

    /// What a sequence sees: at most so many parts of larger stores.
    fn seen<B: Backend>(
        heads: HeadShape,
        ranges: &[std::ops::Range<usize>],
        keys: usize,
        parts: usize,
        dtype: CacheDtype,
    ) -> Seen<B> {
        let device = Default::default();
        let HeadShape { n_kv_heads, head_dim, .. } = heads;
        let kept = |seed| {
            let all = TensorData::new(store(heads, keys + 3, seed), [n_kv_heads, keys + 3, head_dim]);
            let all = Tensor::<B, 3>::from_data(all, &device).swap_dims(0, 1);
            // As a projection leaves them: heads beside one another.
            let rows = KeptRows::keep(all.reshape([keys + 3, n_kv_heads * head_dim]), heads, dtype);
            let rows = if seed == 2 { rows.zeros_like(keys + 3).write(0, rows) } else { rows };
            rows.narrow(0, keys)
        };
        let stores = [kept(2), kept(3)];
        let size = keys.div_ceil(parts);
        let part = |start: usize| stores.each_ref().map(|rows| rows.narrow(start, size.min(keys - start)));
        let visible = Arc::new(Visible::new(ranges.to_vec(), keys, &device));
        Seen { parts: (0..keys).step_by(size).map(part).collect(), visible }
    }

    fn queries<B: Backend>(heads: HeadShape, rows: usize) -> Tensor<B, 2> {
        let shape = [rows, heads.n_heads * heads.head_dim];
        Tensor::from_data(TensorData::new(values(shape[0] * shape[1], 1), shape), &Default::default())
    }

    /// What a row mixes, from the formula.
    fn expected(heads: HeadShape, ranges: &[std::ops::Range<usize>], keys: usize) -> Vec<f64> {
        let HeadShape { n_heads, head_dim, .. } = heads;
        let queries = values(ranges.len() * n_heads * head_dim, 1);
        let [k, v] = [2, 3].map(|seed| store(heads, keys + 3, seed));
        let mut mixed = Vec::new();
        for (row, range) in ranges.iter().enumerate() {
            for head in 0..n_heads {
                let q = &queries[(row * n_heads + head) * head_dim..][..head_dim];
                let at = |key: usize| (head / heads.group() * (keys + 3) + key) * head_dim;
                let score = |key: usize| {
                    let products = q.iter().zip(&k[at(key)..]).map(|(a, b)| f64::from(*a) * f64::from(*b));
                    (products.sum::<f64>() * heads.scale()).exp()
                };
                let scores: Vec<f64> = range.clone().map(score).collect();
                let sum: f64 = scores.iter().sum();
                for element in 0..head_dim {
                    let values = range.clone().map(|key| f64::from(v[at(key) + element]));
                    mixed.push(values.zip(&scores).map(|(value, score)| score * value).sum::<f64>() / sum);
                }
            }
        }
        mixed
    }

    type Ranges = Vec<std::ops::Range<usize>>;

    /// Rows, keys before them, and what each row sees: all before it or a window.
    fn cases() -> Vec<(usize, Ranges)> {
        let causal = |rows: usize, before: usize| (0..rows).map(|row| 0..before + row + 1).collect::<Ranges>();
        let window = |rows: usize, before: usize| {
            (0..rows).map(|row| (before + row).saturating_sub(20)..before + row + 1).collect::<Ranges>()
        };
        let sizes = [(1, 0), (1, 99), (2, 5), (7, 60), (33, 0), (130, 70)];
        let both = |(rows, before)| [(rows + before, causal(rows, before)), (rows + before, window(rows, before))];
        sizes.into_iter().flat_map(both).collect()
    }

    fn mixes_what_is_seen<B: Backend>(attend: Attend<B>, heads: &[(usize, usize, usize)], dtype: CacheDtype) {
        for &(n_heads, n_kv_heads, head_dim) in heads {
            let heads = HeadShape { n_heads, n_kv_heads, head_dim };
            let mut all = Vec::new();
            for parts in [1, 3] {
                for (keys, ranges) in cases() {
                    let seen = || seen(heads, &ranges, keys, parts, dtype);
                    let mixed = attend(queries(heads, ranges.len()), vec![seen()], heads);
                    let found = mixed.clone().into_data().to_vec::<f32>().expect("f32");
                    for (at, (found, expected)) in found.iter().zip(&expected(heads, &ranges, keys)).enumerate() {
                        let close = (f64::from(*found) - expected).abs() < 2e-6;
                        assert!(close, "{heads:?}, {ranges:?} of {keys} in {parts}, {at}: {found} {expected}");
                    }
                    all.push((seen(), mixed));
                }
            }
            // What the others see is nothing to a sequence.
            let (seen, each): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            let of_all = seen.iter().map(|seen| queries(heads, seen.visible.queries())).collect();
            let together = attend(Tensor::cat(of_all, 0), seen, heads);
            assert_eq!(together.into_data(), Tensor::cat(each, 0).into_data(), "{heads:?}");
        }
    }

    fn lacks_a_value<B: Backend>() {
        let heads = HeadShape { n_heads: 4, n_kv_heads: 4, head_dim: 16 };
        let mut seen = seen(heads, &[0..4, 0..5], 5, 2, CacheDtype::F32);
        let [_, values] = &mut seen.parts[1];
        *values = values.narrow(0, 1);
        attend(queries::<B>(heads, 2), vec![seen], heads);
    }

    #[test]
    #[should_panic(expected = "keys and values")]
    fn every_key_has_its_value_ndarray() {
        lacks_a_value::<NdArray>();
    }

    #[cfg(feature = "flex")]
    #[test]
    #[should_panic(expected = "keys and values")]
    fn every_key_has_its_value_flex() {
        lacks_a_value::<burn_flex::Flex>();
    }

    /// Heads of whole vectors, of which eight are taken at once: one to seven, and nine; and some that are none.
    const HEADS: [(usize, usize, usize); 9] =
        [(4, 4, 16), (6, 2, 32), (4, 2, 48), (2, 2, 64), (2, 1, 80), (1, 1, 96), (1, 1, 112), (1, 1, 144), (3, 3, 8)];

    #[test]
    fn mixes_what_is_seen_ndarray() {
        for dtype in [CacheDtype::F32, CacheDtype::Q8] {
            mixes_what_is_seen::<NdArray>(&attend, &HEADS, dtype);
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn mixes_what_is_seen_flex() {
        use burn_flex::Flex;
        for dtype in CacheDtype::ALL {
            mixes_what_is_seen::<Flex>(&attend, &HEADS, dtype);
            for set in Set::all() {
                let with_set = |queries, seen, heads| {
                    pieces::attend(set, queries, seen, heads).unwrap_or_else(|_| panic!("whole vectors of flex"))
                };
                mixes_what_is_seen::<Flex>(&with_set, &HEADS[..8], dtype);
            }
        }
    }

    /// Sequences of several dtypes beside one another.
    #[cfg(feature = "flex")]
    #[test]
    fn every_sequence_has_its_dtype() {
        use burn_flex::Flex;
        let heads = HeadShape { n_heads: 4, n_kv_heads: 2, head_dim: 16 };
        let of_all = CacheDtype::ALL.map(|dtype| seen(heads, &[0..4, 0..5], 5, 2, dtype)).into();
        let mixed = attend(Tensor::cat(vec![queries::<Flex>(heads, 2); CacheDtype::ALL.len()], 0), of_all, heads);
        let found = mixed.into_data().to_vec::<f32>().expect("f32");
        let expected = expected(heads, &[0..4, 0..5], 5).repeat(CacheDtype::ALL.len());
        assert!(found.iter().zip(expected).all(|(found, expected)| (f64::from(*found) - expected).abs() < 2e-6));
    }
}
