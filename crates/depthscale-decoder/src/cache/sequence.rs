//! All slots of one sequence.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use depthscale_types::{CacheDtype, KvRetention};

use super::{KvRows, Slot, SlotKind};
use crate::error::{DecoderError, Result};

/// Whether tokens are read or generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The prompt is being read.
    #[default]
    Prompt,
    /// Tokens are being generated; under [`KvRetention::LastStepAfterPrefill`] only last steps are kept from here on.
    Generation,
}

/// Where in the decoder a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before the recurrence.
    Prelude,
    /// Inside it.
    Core {
        /// The step, counted from 1.
        step: usize,
    },
    /// In the coda, or the shared keys and values of the cross-decoder (layer 0).
    Readout,
}

/// What the slots of each part hold, one entry a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheLayout {
    pub(crate) prelude: Vec<SlotKind>,
    pub(crate) core: Vec<SlotKind>,
    pub(crate) readout: Vec<SlotKind>,
    /// Key heads and their width in each of these parts, which other caches may not share.
    pub(crate) heads: Vec<(usize, usize)>,
}

/// What a sequence is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequenceOptions {
    /// The sequence's own id, never its row in a batch. With the seed it decides random initial states, so that a request
    /// begins the same whatever it is batched with; products of other numbers of rows round in another order.
    pub id: u64,
    /// Seed of random initial states.
    pub seed: u64,
    /// Tokens to allocate for at once; the caches grow past that in blocks, up to the model's positions.
    pub reserve: usize,
    /// The most tokens it may hold; `None` is the model's positions.
    pub capacity: Option<usize>,
    /// Which slots of the core are kept.
    pub retention: KvRetention,
    /// What keys and values are kept in; `None` is the dtype the model computes in, to which they were rounded before: a wider one
    /// gains nothing. Matrix states are f32 whatever is chosen.
    pub cache_dtype: Option<CacheDtype>,
}

/// The caches of one sequence and the number of tokens they hold. Made by
/// [`RecurrentDecoder::new_sequence`](crate::RecurrentDecoder::new_sequence).
#[derive(Debug, Clone)]
pub struct SequenceCache<B: Backend> {
    options: SequenceOptions,
    len: usize,
    capacity: usize,
    phase: Phase,
    layout: CacheLayout,
    prelude: Vec<Slot<B>>,
    /// By slot, then layer. Slots deeper than any token has gone do not exist: they would equal the deepest one.
    core: Vec<Vec<Slot<B>>>,
    readout: Vec<Slot<B>>,
    chunk: Option<Chunk<B>>,
}

/// A chunk under way.
#[derive(Debug, Clone)]
struct Chunk<B: Backend> {
    rows: usize,
    /// What each core layer wrote last for every row of the chunk.
    pending: Vec<Option<KvRows<B>>>,
    /// Rows for slots that must still show the past while the chunk runs, taken in when it ends.
    uncommitted: Vec<(SlotAddress, KvRows<B>)>,
    deepest_slot: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotAddress {
    Prelude(usize),
    Core { slot: usize, layer: usize },
    Readout(usize),
}

impl<B: Backend> SequenceCache<B> {
    pub(crate) fn new(options: SequenceOptions, capacity: usize, layout: CacheLayout) -> Self {
        let slots = |kinds: &[SlotKind]| {
            let slot = |&kind| {
                let mut slot = Slot::new(kind, capacity);
                slot.reserve(options.reserve.min(capacity));
                slot
            };
            kinds.iter().map(slot).collect::<Vec<_>>()
        };
        Self {
            options,
            len: 0,
            capacity,
            phase: Phase::Prompt,
            prelude: slots(&layout.prelude),
            core: vec![slots(&layout.core)],
            readout: slots(&layout.readout),
            layout,
            chunk: None,
        }
    }

    /// What it was opened with.
    pub fn options(&self) -> SequenceOptions {
        self.options
    }

    /// Tokens taken in.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token was taken in.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Slots the core has at present: the deepest step any token has gone to, or fewer where steps share one.
    pub fn core_slots(&self) -> usize {
        self.core.len()
    }

    pub(crate) fn layout(&self) -> &CacheLayout {
        &self.layout
    }

    /// Whether the next tokens must run one after the other to follow the retention policy exactly.
    pub(crate) fn runs_token_by_token(&self, phase: Phase) -> bool {
        let generating = phase == Phase::Generation || self.phase == Phase::Generation;
        self.options.retention.prefills_token_by_token()
            || (self.options.retention == KvRetention::LastStepAfterPrefill && generating)
    }

    /// Begins a chunk of `rows` tokens.
    pub(crate) fn begin(&mut self, rows: usize, phase: Phase) -> Result<()> {
        let needed = self.len + rows;
        if needed > self.capacity {
            return Err(DecoderError::CacheFull { needed, capacity: self.capacity });
        }
        if phase == Phase::Generation && self.phase == Phase::Prompt {
            self.phase = Phase::Generation;
            if self.options.retention == KvRetention::LastStepAfterPrefill {
                self.core.drain(..self.core.len() - 1);
            }
        }
        let pending = vec![None; self.layout.core.len()];
        self.chunk = Some(Chunk { rows, pending, uncommitted: Vec::new(), deepest_slot: 0 });
        Ok(())
    }

    /// Takes in what a layer computed for the rows of the chunk that are still active, and returns the chunk's rows as a
    /// reader at this place sees them. `order` places active rows among those that have exited; `None` is all active.
    pub(crate) fn write(
        &mut self,
        place: Place,
        layer: usize,
        rows: KvRows<B>,
        order: Option<&Tensor<B, 1, Int>>,
    ) -> KvRows<B> {
        let start = self.len;
        let slot = self.slot_of(place);
        let Some(chunk) = &mut self.chunk else { panic!("a chunk is under way") };
        let (address, rows) = match place {
            Place::Prelude => (SlotAddress::Prelude(layer), rows),
            Place::Readout => (SlotAddress::Readout(layer), rows),
            Place::Core { .. } => {
                let rows = match (chunk.pending[layer].take(), order) {
                    (Some(earlier), Some(order)) => earlier.overlay(rows, order),
                    _ => rows,
                };
                debug_assert_eq!(rows.rows(), chunk.rows, "every row of the chunk has keys");
                chunk.pending[layer] = Some(rows.clone());
                chunk.deepest_slot = chunk.deepest_slot.max(slot);
                (SlotAddress::Core { slot, layer }, rows)
            }
        };
        match self.slot_mut(address) {
            Slot::Growing(slot) => slot.write(start, rows.clone()),
            _ => self.keep_uncommitted(address, rows.clone()),
        }
        rows
    }

    /// The slot a layer reads; the rows of the chunk are in it already if it is a growing one.
    pub(crate) fn slot(&self, place: Place, layer: usize) -> &Slot<B> {
        match place {
            Place::Prelude => &self.prelude[layer],
            Place::Core { step } => &self.core[self.core_slot(step)][layer],
            Place::Readout => &self.readout[layer],
        }
    }

    /// Ends the chunk: slots deeper than it went get what its rows wrote last.
    pub(crate) fn finish(&mut self) {
        let Some(chunk) = self.chunk.take() else { return };
        let start = self.len;
        for (address, rows) in &chunk.uncommitted {
            self.slot_mut(*address).commit(start, rows);
        }
        for deeper in self.core.iter_mut().skip(chunk.deepest_slot + 1) {
            for (slot, rows) in deeper.iter_mut().zip(&chunk.pending) {
                if let Some(rows) = rows {
                    slot.commit(start, rows);
                }
            }
        }
        self.len += chunk.rows;
    }

    /// Forgets a chunk that failed. What it wrote lies past the end and is overwritten by the next.
    pub(crate) fn abandon(&mut self) {
        self.chunk = None;
    }

    /// The index of the core slot that a step writes and reads.
    fn core_slot(&self, step: usize) -> usize {
        match self.options.retention {
            KvRetention::PerStep => step - 1,
            KvRetention::Shared => 0,
            KvRetention::FirstThenShared => (step - 1).min(1),
            KvRetention::LastStepAfterPrefill => match self.phase {
                Phase::Prompt => step - 1,
                Phase::Generation => 0,
            },
        }
    }

    /// The same, made first if no token has gone that deep: all earlier tokens exited before it, so that it begins as a
    /// copy of the deepest slot there is.
    fn slot_of(&mut self, place: Place) -> usize {
        let Place::Core { step } = place else { return 0 };
        let slot = self.core_slot(step);
        while self.core.len() <= slot {
            let deepest = self.core[self.core.len() - 1].clone();
            self.core.push(deepest);
        }
        slot
    }

    fn slot_mut(&mut self, address: SlotAddress) -> &mut Slot<B> {
        match address {
            SlotAddress::Prelude(layer) => &mut self.prelude[layer],
            SlotAddress::Core { slot, layer } => &mut self.core[slot][layer],
            SlotAddress::Readout(layer) => &mut self.readout[layer],
        }
    }

    fn keep_uncommitted(&mut self, address: SlotAddress, rows: KvRows<B>) {
        let Some(chunk) = &mut self.chunk else { panic!("a chunk is under way") };
        match chunk.uncommitted.iter_mut().find(|(at, _)| *at == address) {
            Some((_, earlier)) => *earlier = rows,
            None => chunk.uncommitted.push((address, rows)),
        }
    }
}
