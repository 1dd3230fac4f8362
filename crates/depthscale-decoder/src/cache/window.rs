//! A slot that keeps the last tokens of a window.

use burn::tensor::backend::Backend;
use depthscale_kernels::KeptRows;

use super::KvRows;

/// A ring of the last `window - 1` tokens: with its own key, that is all a query of the next token sees. Position `p`
/// lies at row `p % (window - 1)`; keys carry their positions, so that their order does not matter.
#[derive(Debug, Clone)]
pub(crate) struct WindowSlot<B: Backend> {
    window: usize,
    /// `window - 1`, or the sequence's capacity where that is less.
    rows: usize,
    /// Tokens taken in so far.
    len: usize,
    ring: Option<Ring<B>>,
}

#[derive(Debug, Clone)]
struct Ring<B: Backend> {
    /// `[kv_heads, rows, head_dim]`.
    keys: KeptRows<B>,
    /// `[kv_heads, rows, head_dim]`.
    values: KeptRows<B>,
}

impl<B: Backend> WindowSlot<B> {
    pub(super) fn new(window: usize, capacity: usize) -> Self {
        Self { window, rows: window.saturating_sub(1).min(capacity), len: 0, ring: None }
    }

    /// Keys a query sees, itself included.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Keys and values of the tokens kept, `[kv_heads, n, head_dim]` each: in parts in order of position if `ordered`, else as
    /// they lie. Drop them before the next chunk is taken in: a view alive then costs a copy of the ring.
    pub(crate) fn past(&self, ordered: bool) -> Vec<[KeptRows<B>; 2]> {
        let Some(ring) = &self.ring else { return Vec::new() };
        let kept = self.len.min(self.rows);
        let oldest = if ordered && self.len > self.rows { self.len % self.rows } else { 0 };
        let part =
            |rows: std::ops::Range<usize>| [&ring.keys, &ring.values].map(|kept| kept.narrow(rows.start, rows.len()));
        [oldest..kept, 0..oldest].into_iter().filter(|rows| !rows.is_empty()).map(part).collect()
    }

    /// Takes in a chunk whose first token is at position `start`, which is the number of tokens taken in so far.
    pub(super) fn commit(&mut self, start: usize, chunk: &KvRows<B>) {
        debug_assert_eq!(start, self.len, "chunks follow one another");
        let n = chunk.rows();
        self.len += n;
        if self.rows == 0 {
            return;
        }
        let empty = || Ring { keys: chunk.keys.zeros_like(self.rows), values: chunk.values.zeros_like(self.rows) };
        let mut ring = self.ring.take().unwrap_or_else(empty);
        // Only the last rows of a chunk longer than the ring survive; they wrap around at most once.
        let first = n.saturating_sub(self.rows);
        let at = (start + first) % self.rows;
        let before_wrap = (self.rows - at).min(n - first);
        for (rows, to) in [(first..first + before_wrap, at), (first + before_wrap..n, 0)] {
            if rows.is_empty() {
                continue;
            }
            ring.keys = ring.keys.write(to, chunk.keys.narrow(rows.start, rows.len()));
            ring.values = ring.values.write(to, chunk.values.narrow(rows.start, rows.len()));
        }
        self.ring = Some(ring);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{FloatDType, Tensor, TensorData};

    type B = burn_flex::Flex;

    fn rows(positions: std::ops::Range<usize>) -> KvRows<B> {
        let n = positions.len();
        let values = positions.map(|i| i as f32).collect::<Vec<_>>();
        let keys = KeptRows::Floats(Tensor::from_data(TensorData::new(values, [1, n, 1]), &Default::default()));
        KvRows { values: keys.clone(), keys, log_decay: None }
    }

    fn keys(slot: &WindowSlot<B>, ordered: bool) -> Vec<f32> {
        let keys = slot.past(ordered).into_iter().map(|[keys, _]| keys.into_floats(FloatDType::F32)).collect();
        Tensor::cat(keys, 1).into_data().to_vec().expect("f32")
    }

    #[test]
    fn keeps_the_last_rows_whatever_the_chunks() {
        for chunks in [vec![1; 11], vec![2, 3, 5, 1], vec![11], vec![7, 4], vec![3, 8]] {
            let mut slot = WindowSlot::<B>::new(5, 100);
            let mut start = 0;
            for n in chunks {
                slot.commit(start, &rows(start..start + n));
                start += n;
                let expected = (start.saturating_sub(4)..start).map(|i| i as f32).collect::<Vec<_>>();
                assert_eq!(keys(&slot, true), expected);
                let mut any_order = keys(&slot, false);
                any_order.sort_by(f32::total_cmp);
                assert_eq!(any_order, expected);
            }
        }
    }

    #[test]
    fn a_window_of_one_keeps_nothing() {
        let mut slot = WindowSlot::<B>::new(1, 100);
        slot.commit(0, &rows(0..3));
        assert!(slot.past(true).is_empty());
    }
}
