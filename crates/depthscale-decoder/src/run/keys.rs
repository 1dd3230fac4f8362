//! Where the keys and values of a forward call come from.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_kernels::Sequences;

use crate::cache::SequenceCache;

/// Where blocks find keys and values.
pub(crate) enum Keys<'a, 'c, B: Backend> {
    /// In the caches of the rows' sequences, which take in what is new.
    Cached(&'a mut [&'c mut SequenceCache<B>]),
    /// In the rows themselves, which are whole sequences.
    Whole(&'a mut WholeRows<B>),
}

impl<'c, B: Backend> Keys<'_, 'c, B> {
    /// The same for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Keys<'_, 'c, B> {
        match self {
            Self::Cached(caches) => Keys::Cached(caches),
            Self::Whole(whole) => Keys::Whole(whole),
        }
    }
}

/// Rows that are whole sequences.
pub(crate) struct WholeRows<B: Backend> {
    pub(crate) sequences: Sequences<B>,
    /// Shared keys and values of a cross-decoder, `[rows, kv_heads * head_dim]` each, from the latest readout.
    pub(crate) shared: Option<(Tensor<B, 2>, Tensor<B, 2>)>,
}
