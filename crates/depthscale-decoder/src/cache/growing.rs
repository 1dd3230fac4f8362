//! A slot that keeps every token.

use burn::tensor::backend::Backend;
use depthscale_kernels::KeptRows;

use super::KvRows;

/// Keys and values of every token, preallocated and grown in blocks, written in place.
#[derive(Debug, Clone)]
pub(crate) struct GrowingSlot<B: Backend> {
    store: Option<Store<B>>,
    reserved: usize,
}

#[derive(Debug, Clone)]
struct Store<B: Backend> {
    /// `[kv_heads, capacity, head_dim]`.
    keys: KeptRows<B>,
    /// `[kv_heads, capacity, head_dim]`.
    values: KeptRows<B>,
}

/// A store that is full grows to a multiple of so many rows.
const BLOCK: usize = 256;

impl<B: Backend> Default for GrowingSlot<B> {
    fn default() -> Self {
        Self { store: None, reserved: 0 }
    }
}

impl<B: Backend> GrowingSlot<B> {
    /// The capacity of the store when it is next allocated.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.reserved = self.reserved.max(rows);
    }

    /// Writes the rows from position `start` on; rows before it are kept, rows after it are stale.
    pub(crate) fn write(&mut self, start: usize, rows: KvRows<B>) {
        let end = start + rows.rows();
        let store = match self.store.take() {
            // A store for exactly these rows: take their memory as it is.
            None if start == 0 && self.reserved <= end => Store { keys: rows.keys, values: rows.values },
            store => {
                let store = self.with_capacity(store, start, end, &rows);
                Store { keys: store.keys.write(start, rows.keys), values: store.values.write(start, rows.values) }
            }
        };
        self.store = Some(store);
    }

    /// Keys and values of the first `len` tokens, `[kv_heads, len, head_dim]` each. Drop them before the next write:
    /// a view alive then costs a copy of the store.
    ///
    /// # Panics
    /// If fewer tokens were written.
    pub(crate) fn view(&self, len: usize) -> [KeptRows<B>; 2] {
        let store = self.store.as_ref().unwrap_or_else(|| panic!("{len} tokens asked of an empty slot"));
        [&store.keys, &store.values].map(|rows| rows.narrow(0, len))
    }

    /// A store with room for `end` rows that holds the first `start` rows of the old one.
    fn with_capacity(&self, store: Option<Store<B>>, start: usize, end: usize, like: &KvRows<B>) -> Store<B> {
        let held = store.as_ref().map_or(0, |store| store.keys.dims()[1]);
        match store {
            Some(store) if held >= end => store,
            store => {
                // What was reserved is known to be needed; past it the store grows in blocks.
                let capacity = if end <= self.reserved { self.reserved } else { end.next_multiple_of(BLOCK) };
                let grow = |old: Option<KeptRows<B>>, like: &KeptRows<B>| {
                    let empty = like.zeros_like(capacity);
                    match old {
                        Some(old) if start > 0 => empty.write(0, old.narrow(0, start)),
                        _ => empty,
                    }
                };
                let (keys, values) = store.map_or((None, None), |store| (Some(store.keys), Some(store.values)));
                Store { keys: grow(keys, &like.keys), values: grow(values, &like.values) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{FloatDType, Tensor, TensorData};

    type B = burn_flex::Flex;

    fn rows(first: usize, n: usize) -> KvRows<B> {
        let values = (first..first + n).map(|i| i as f32).collect::<Vec<_>>();
        let keys = Tensor::from_data(TensorData::new(values, [1, n, 1]), &Default::default());
        KvRows { values: KeptRows::Floats(keys.clone() * -1.0), keys: KeptRows::Floats(keys), log_decay: None }
    }

    fn keys(slot: &GrowingSlot<B>, len: usize) -> Vec<f32> {
        let [keys, _] = slot.view(len);
        keys.into_floats(FloatDType::F32).into_data().to_vec().expect("f32")
    }

    #[test]
    fn grows_past_its_blocks_and_keeps_what_it_held() {
        let mut slot = GrowingSlot::default();
        slot.write(0, rows(0, 3));
        for i in 3..600 {
            slot.write(i, rows(i, 1));
        }
        assert_eq!(keys(&slot, 600), (0..600).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(slot.store.as_ref().expect("written").keys.dims()[1], 768);
        // The same position can be written again.
        slot.write(599, rows(7, 1));
        assert_eq!(keys(&slot, 600)[598..], [598.0, 7.0]);
    }

    #[test]
    fn a_reserved_slot_is_allocated_once() {
        let mut slot = GrowingSlot::default();
        slot.reserve(20);
        slot.write(0, rows(0, 3));
        let capacity = |slot: &GrowingSlot<B>| slot.store.as_ref().expect("written").keys.dims()[1];
        assert_eq!(capacity(&slot), 20, "what was reserved, not a block");
        slot.write(3, rows(3, 17));
        assert_eq!(capacity(&slot), 20);
        slot.write(20, rows(20, 1));
        assert_eq!(capacity(&slot), BLOCK);
        assert_eq!(keys(&slot, 21), (0..21).map(|i| i as f32).collect::<Vec<_>>());
    }

    #[test]
    fn a_clone_is_a_slot_of_its_own_once_written() {
        let mut slot = GrowingSlot::default();
        slot.write(0, rows(0, 3));
        let mut deeper = slot.clone();
        deeper.write(2, rows(9, 1));
        assert_eq!(keys(&slot, 3), [0.0, 1.0, 2.0]);
        assert_eq!(keys(&deeper, 3), [0.0, 1.0, 9.0]);
    }
}
