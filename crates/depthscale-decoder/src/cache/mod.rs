//! Keys, values and states kept between tokens.
//!
//! A *slot* is one store, addressed by (step, layer). A [`SequenceCache`] holds the slots of one sequence; the retention
//! policy decides which slot a step writes and reads. Tokens enter in *chunks*: a run of tokens of one sequence computed
//! together. While a chunk is under way, each core layer's [`KvRows`] of the whole chunk are kept as *pending*: rows that
//! have exited keep what they wrote last, which is the last-exited fill.

mod growing;
mod retention;
mod sequence;
mod window;

pub(crate) use sequence::CacheLayout;
pub use sequence::{Phase, Place, SequenceCache, SequenceOptions};

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use depthscale_kernels::KeptRows;

pub(crate) use growing::GrowingSlot;
use retention::RetentionSlot;
use window::WindowSlot;

/// What the slots of a layer hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// Nothing: the layer looks at one token at a time, or at another layer's slot.
    None,
    /// Keys and values of every token.
    Growing,
    /// Keys and values of the last `window - 1` tokens.
    Window {
        /// Keys a query sees, itself included.
        window: usize,
    },
    /// The matrix state of gated retention.
    Retention,
}

/// Keys and values of consecutive tokens of one sequence.
#[derive(Debug, Clone)]
pub struct KvRows<B: Backend> {
    /// `[kv_heads, rows, head_dim]`, positions applied.
    pub keys: KeptRows<B>,
    /// `[kv_heads, rows, head_dim]`.
    pub values: KeptRows<B>,
    /// `[kv_heads, rows]`: the log decay of each token, for gated retention.
    pub log_decay: Option<Tensor<B, 2>>,
}

impl<B: Backend> KvRows<B> {
    fn rows(&self) -> usize {
        self.keys.dims()[1]
    }

    /// The rows `self`, of which those in `order` at or past `self.rows()` come from `newer`.
    fn overlay(self, newer: Self, order: &Tensor<B, 1, Int>) -> Self {
        let merge = |(old, new)| Tensor::cat(vec![old, new], 1).select(1, order.clone());
        Self {
            keys: self.keys.select_with(newer.keys, order),
            values: self.values.select_with(newer.values, order),
            log_decay: self.log_decay.zip(newer.log_decay).map(merge),
        }
    }
}

/// One store. Cloning shares the memory until either copy is written.
#[derive(Debug, Clone)]
pub(crate) enum Slot<B: Backend> {
    None,
    Growing(GrowingSlot<B>),
    Window(WindowSlot<B>),
    Retention(RetentionSlot<B>),
}

impl<B: Backend> Slot<B> {
    /// An empty slot of a sequence that holds at most `capacity` tokens.
    fn new(kind: SlotKind, capacity: usize) -> Self {
        match kind {
            SlotKind::None => Self::None,
            SlotKind::Growing => Self::Growing(GrowingSlot::default()),
            SlotKind::Window { window } => Self::Window(WindowSlot::new(window, capacity)),
            SlotKind::Retention => Self::Retention(RetentionSlot::default()),
        }
    }

    /// Room for `rows` rows, so that writing them allocates nothing more.
    fn reserve(&mut self, rows: usize) {
        if let Self::Growing(slot) = self {
            slot.reserve(rows);
        }
    }

    /// Takes in the rows of a chunk that begins at position `start`.
    fn commit(&mut self, start: usize, chunk: &KvRows<B>) {
        match self {
            Self::None => {}
            Self::Growing(slot) => slot.write(start, chunk.clone()),
            Self::Window(slot) => slot.commit(start, chunk),
            Self::Retention(slot) => slot.commit(chunk),
        }
    }
}
