//! How a block mixes tokens.
//!
//! [`Mixer`] is the trait; [`BuiltinMixer`] holds the ones that published models use and the memory-gated one. A mixer of
//! one's own goes into a [`Block`](crate::Block) and from there into a
//! [`RecurrentDecoder`](crate::RecurrentDecoder::build_with) without touching this crate.

mod attention;
mod memory_gated;
mod retention;

pub use attention::{Attention, QueryKeyTreatment, SharedAttention};
pub use memory_gated::MemoryGatedAttention;
pub use retention::GatedRetention;

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::cache::SlotKind;
use crate::run::BlockContext;

/// Mixes the tokens of each sequence.
pub trait Mixer<B: Backend>: Send + Sync {
    /// Mixes normalised rows; the result is added to the hidden stream.
    ///
    /// # Shapes
    /// - rows: `[rows, d_model]`
    /// - output: `[rows, d_model]`
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2>;

    /// What the mixer keeps between tokens.
    fn slot(&self) -> SlotKind;

    /// How many states of earlier steps it looks at; see [`BlockContext::memory`].
    fn memory(&self) -> usize {
        0
    }
}

/// The mixers that come with the crate.
#[allow(clippy::large_enum_variant, reason = "handles to weights, a few of them; boxing is not open to modules")]
#[derive(Module, Debug)]
pub enum BuiltinMixer<B: Backend> {
    /// Softmax attention, over everything or a window.
    Attention(Attention<B>),
    /// Gated retention.
    Retention(GatedRetention<B>),
    /// A gate between attention over the context and over earlier steps' states.
    MemoryGated(MemoryGatedAttention<B>),
    /// Queries over the shared keys and values of a cross-decoder.
    Shared(SharedAttention<B>),
}

impl<B: Backend> Mixer<B> for BuiltinMixer<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        match self {
            Self::Attention(mixer) => mixer.mix(rows, context),
            Self::Retention(mixer) => mixer.mix(rows, context),
            Self::MemoryGated(mixer) => mixer.mix(rows, context),
            Self::Shared(mixer) => mixer.mix(rows, context),
        }
    }

    fn slot(&self) -> SlotKind {
        match self {
            Self::Attention(mixer) => mixer.slot(),
            Self::Retention(mixer) => mixer.slot(),
            Self::MemoryGated(mixer) => mixer.slot(),
            Self::Shared(mixer) => mixer.slot(),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::MemoryGated(mixer) => mixer.memory(),
            Self::Attention(_) | Self::Retention(_) | Self::Shared(_) => 0,
        }
    }
}
