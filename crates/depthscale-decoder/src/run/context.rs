//! What a block sees beside its rows.

use std::ops::Range;

use burn::tensor::activation::log_sigmoid;
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};
use depthscale_kernels::{HeadShape, KeptRows, Seen, attend, attend_sequences, each_on_workers};

use super::keys::Keys;
use super::rows::{RowSet, Segment, join};
use crate::cache::{GrowingSlot, KvRows, Place, SequenceCache, Slot, SlotKind};
use crate::layers::RotaryAngles;

/// What a block sees beside its rows: where it stands, the positions of the rows, the caches of their sequences, and the
/// states after earlier steps.
///
/// Rows are `[rows, width]` tensors. The rows of one sequence lie next to one another in order of position; sequences of
/// different lengths share a call without padding, and tokens that have exited are not among the rows any more.
pub struct BlockContext<'a, 'c, B: Backend> {
    pub(crate) place: Place,
    pub(crate) layer: usize,
    pub(crate) rows: &'a RowSet<B>,
    pub(crate) keys: Keys<'a, 'c, B>,
    /// What the block declared.
    pub(crate) slot: SlotKind,
    pub(crate) angles: Option<&'a RotaryAngles<B>>,
    pub(crate) memory: &'a [Tensor<B, 2>],
    /// Whether the block's slot was written in this forward pass.
    pub(crate) written: bool,
}

impl<B: Backend> BlockContext<'_, '_, B> {
    /// Where in the decoder the block stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The step, counted from 1; 0 outside the recurrence.
    pub fn step(&self) -> usize {
        match self.place {
            Place::Core { step } => step,
            Place::Prelude | Place::Readout => 0,
        }
    }

    /// The block's index in its stack.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// The position of each row in its sequence.
    pub fn positions(&self) -> Vec<usize> {
        self.rows.positions()
    }

    /// The rows of each sequence, as ranges of row indices.
    pub fn sequences(&self) -> Vec<Range<usize>> {
        self.rows.ranges().collect()
    }

    /// The states of these rows after earlier steps, oldest first, `[rows, d_model]` each; as many as the block's
    /// [`memory`](crate::RecurrentBlock::memory) asks to be kept.
    pub fn memory(&self) -> &[Tensor<B, 2>] {
        self.memory
    }

    /// Applies the stack's rotary positions to the heads of every row; nothing where the stack has none.
    ///
    /// # Shapes
    /// - x: `[rows, heads * head_dim]`
    pub fn rotate(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.angles {
            Some(angles) => angles.rotate(x),
            None => x,
        }
    }

    /// Causal softmax attention of every row over its own sequence: the keys and values are taken into the block's slot
    /// and the queries see it, up to themselves. The block must have declared a growing or window slot, and has one: a
    /// block attends once.
    ///
    /// # Shapes
    /// - queries: `[rows, n_heads * head_dim]`
    /// - keys, values: `[rows, n_kv_heads * head_dim]`; everything is cast to the dtype of the values, and keys and values to that of
    ///   their caches if that is another; softmax is in f32
    /// - output: `[rows, n_heads * head_dim]`, in the dtype of the values
    ///
    /// # Panics
    /// If the block declared another kind of slot, or attends a second time.
    pub fn attend(
        &mut self,
        queries: Tensor<B, 2>,
        keys: Tensor<B, 2>,
        values: Tensor<B, 2>,
        heads: HeadShape,
    ) -> Tensor<B, 2> {
        assert!(!std::mem::replace(&mut self.written, true), "a block has one slot: it attends once");
        if let Keys::Whole(whole) = &self.keys {
            let window = match self.slot {
                SlotKind::Growing => None,
                SlotKind::Window { window } => Some(window),
                SlotKind::None | SlotKind::Retention => panic!("the block declared no slot for keys and values"),
            };
            return attend_sequences(queries, keys, values, &whole.sequences, heads, window);
        }
        let (place, layer, dtype) = (self.place, self.layer, values.dtype());
        let seen = self.each_cache([keys.cast(dtype), values], |cache, segment, [keys, values]| {
            let own = kept_rows(cache, [keys, values], heads);
            let chunk = cache.write(place, layer, own, segment.order.as_ref());
            match cache.slot(place, layer) {
                Slot::Growing(slot) => see_slot(slot, segment),
                Slot::Window(slot) => {
                    // One query sees all that is kept and itself, in any order.
                    let mut parts = slot.past(segment.chunk > 1);
                    let kept: usize = parts.iter().map(|[keys, _]| keys.dims()[1]).sum();
                    parts.push([chunk.keys, chunk.values]);
                    Seen { parts, visible: segment.visible(Some(slot.window()), segment.start - kept) }
                }
                Slot::None | Slot::Retention(_) => panic!("the block declared no slot for keys and values"),
            }
        });
        attend(queries.cast(dtype), seen, heads)
    }

    /// Softmax attention of every row over the shared keys and values of its sequence, up to its own position.
    ///
    /// # Shapes
    /// - queries, output: `[rows, n_heads * head_dim]`, in the dtype of the model's products
    pub(crate) fn attend_shared(&mut self, queries: Tensor<B, 2>, heads: HeadShape) -> Tensor<B, 2> {
        if let Keys::Whole(whole) = &self.keys {
            let Some((keys, values)) = whole.shared.clone() else { panic!("shared keys and values were written") };
            return attend_sequences(queries, keys, values, &whole.sequences, heads, None);
        }
        let seen = self.each_cache([], |cache, segment, []| {
            let Slot::Growing(slot) = cache.slot(Place::Readout, 0) else {
                panic!("the cross-decoder's shared keys and values are a growing slot")
            };
            see_slot(slot, segment)
        });
        attend(queries, seen, heads)
    }

    /// Keeps the shared keys and values of every row.
    ///
    /// # Shapes
    /// - keys, values: `[rows, n_kv_heads * head_dim]`
    pub(crate) fn write_shared(&mut self, keys: Tensor<B, 2>, values: Tensor<B, 2>, heads: HeadShape) {
        if let Keys::Whole(whole) = &mut self.keys {
            whole.shared = Some((keys, values));
            return;
        }
        self.each_cache([keys.cast(values.dtype()), values], |cache, _, [keys, values]| {
            let own = kept_rows(cache, [keys, values], heads);
            cache.write(Place::Readout, 0, own, None);
        });
    }

    /// Gated retention of every row over its own sequence (arXiv 2405.05254): with the matrix state
    /// `S_n = gamma_n S_{n-1} + k_n^T v_n`, the output of a row is `q_n S_n`. The block must have declared a retention
    /// slot.
    ///
    /// # Shapes
    /// - queries, keys, values: `[rows, heads * head_dim]`
    /// - gate: `[rows, heads]`, of which `log gamma = logsigmoid(gate) / temperature`
    /// - output: `[rows, heads * head_dim]`
    pub(crate) fn retain(
        &mut self,
        [queries, keys, values]: [Tensor<B, 2>; 3],
        gate: Tensor<B, 2>,
        temperature: f64,
        heads: HeadShape,
    ) -> Tensor<B, 2> {
        // The matrix state sums over all tokens: it is f32, and so is all that goes into it.
        let [queries, keys, values] = [queries, keys, values].map(|x| x.cast(FloatDType::F32));
        let log_decay = log_sigmoid(gate.cast(FloatDType::F32)) / temperature;
        let (place, layer) = (self.place, self.layer);
        let rows_of = |keys: Tensor<B, 2>, values: Tensor<B, 2>, log_decay: Tensor<B, 2>| KvRows {
            keys: KeptRows::Floats(heads.split_kv(keys)),
            values: KeptRows::Floats(heads.split_kv(values)),
            log_decay: Some(log_decay.transpose()),
        };
        if matches!(self.keys, Keys::Whole(_)) {
            let inputs = [queries, keys, values, log_decay];
            return join(each_sequence(self.rows, inputs, |segment, [queries, keys, values, log_decay]| {
                let own = rows_of(keys, values, log_decay);
                let mixed = retain_chunk(heads.split_queries(queries), None, own, segment);
                heads.join_queries(mixed, segment.len())
            }));
        }
        let inputs = [queries, keys, values, log_decay];
        join(self.each_cache(inputs, |cache, segment, [queries, keys, values, log_decay]| {
            let own = rows_of(keys, values, log_decay);
            let chunk = cache.write(place, layer, own, segment.order.as_ref());
            let Slot::Retention(slot) = cache.slot(place, layer) else {
                panic!("the block declared no retention slot")
            };
            let mixed = retain_chunk(heads.split_queries(queries), slot.state.clone(), chunk, segment);
            heads.join_queries(mixed, segment.len())
        }))
    }

    /// What `each` makes of every sequence's rows and its cache.
    fn each_cache<const N: usize, T: Send>(
        &mut self,
        inputs: [Tensor<B, 2>; N],
        each: impl Fn(&mut SequenceCache<B>, &Segment<B>, [Tensor<B, 2>; N]) -> T + Send + Sync,
    ) -> Vec<T> {
        let Keys::Cached(caches) = &mut self.keys else { unreachable!("whole sequences have no caches") };
        // Segments are in the order of their sequences.
        let mut caches = caches.iter_mut().enumerate();
        let mut cache_of = |segment: &Segment<B>| {
            let found = caches.find(|(sequence, _)| *sequence == segment.sequence);
            found.map_or_else(|| unreachable!("every sequence has a cache"), |(_, cache)| cache)
        };
        let rows = self.rows;
        if let [segment] = rows.segments.as_slice() {
            return vec![each(cache_of(segment), segment, inputs)];
        }
        let sequences = rows.ranges().zip(&rows.segments);
        let sequences = sequences.map(|(range, segment)| (cache_of(segment), segment, range)).collect();
        each_on_workers::<B, _, _>(sequences, |(cache, segment, range)| each(cache, segment, part(&inputs, range)))
    }
}

/// What `each` makes of every sequence's rows.
fn each_sequence<B: Backend, const N: usize, T>(
    rows: &RowSet<B>,
    inputs: [Tensor<B, 2>; N],
    each: impl Fn(&Segment<B>, [Tensor<B, 2>; N]) -> T,
) -> Vec<T> {
    if let [segment] = rows.segments.as_slice() {
        return vec![each(segment, inputs)];
    }
    rows.ranges().zip(&rows.segments).map(|(range, segment)| each(segment, part(&inputs, range))).collect()
}

/// The rows of a sequence.
fn part<B: Backend, const N: usize>(inputs: &[Tensor<B, 2>; N], rows: Range<usize>) -> [Tensor<B, 2>; N] {
    inputs.each_ref().map(|x| x.clone().narrow(0, rows.start, rows.len()))
}

/// Keys and values, `[rows, n_kv_heads * head_dim]` each, as a cache keeps them.
fn kept_rows<B: Backend>(cache: &SequenceCache<B>, rows: [Tensor<B, 2>; 2], heads: HeadShape) -> KvRows<B> {
    let [keys, values] = rows.map(|rows| match cache.options().cache_dtype {
        Some(dtype) => KeptRows::keep(rows, heads, dtype),
        None => KeptRows::Floats(heads.split_kv(rows)),
    });
    KvRows { keys, values, log_decay: None }
}

/// All that a slot keeps up to each row.
fn see_slot<B: Backend>(slot: &GrowingSlot<B>, segment: &Segment<B>) -> Seen<B> {
    Seen { parts: vec![slot.view(segment.start + segment.chunk)], visible: segment.visible(None, 0) }
}

/// The parallel form of gated retention within a chunk, and its recurrent form across chunks.
fn retain_chunk<B: Backend>(
    queries: Tensor<B, 3>,
    state: Option<Tensor<B, 3>>,
    chunk: KvRows<B>,
    segment: &Segment<B>,
) -> Tensor<B, 3> {
    let Some(log_decay) = chunk.log_decay else { panic!("rows for gated retention carry their decay") };
    let [heads, tokens] = log_decay.dims();
    // [heads, tokens]: the decay of the chunk up to each token, its own included.
    let decay = log_decay.cumsum(1);
    let at_rows = match &segment.order {
        None => decay.clone(),
        Some(_) => {
            let active = segment.active.iter().map(|&token| token as i64).collect();
            decay.clone().select(1, super::rows::index_tensor(active, &decay.device()))
        }
    };
    let rows = segment.len();
    // exp(c_n - c_m) for m <= n, else 0: the softmax mask's ranges, as a bias before the exponential.
    let between = at_rows.clone().reshape([heads, rows, 1]) - decay.reshape([heads, 1, tokens]);
    let bias = segment.visible(None, segment.start).bias();
    let [keys, values] = [chunk.keys, chunk.values].map(|rows| rows.into_floats(FloatDType::F32));
    let weights = (between + bias).exp() * queries.clone().matmul(keys.swap_dims(1, 2));
    let own = weights.matmul(values);
    match state {
        None => own,
        Some(state) => own + queries.matmul(state) * at_rows.exp().reshape([heads, rows, 1]),
    }
}
