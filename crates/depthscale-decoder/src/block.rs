//! Transformer blocks, and the trait by which any block is looped.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_kernels::add;
use depthscale_types::{BlockNorms, MixerKind, StackConfig};

use crate::build::Parameters;
use crate::cache::SlotKind;
use crate::error::Result;
use crate::layers::{FeedForward, RmsNorm};
use crate::mixer::{Attention, BuiltinMixer, GatedRetention, MemoryGatedAttention, Mixer, SharedAttention};
use crate::run::BlockContext;

/// A block that can be looped: what a user implements to put a transformer of their own inside the recurrence.
pub trait RecurrentBlock<B: Backend>: Send + Sync {
    /// Applies the block to token rows; see [`BlockContext`] for what it may look at.
    ///
    /// # Shapes
    /// - state: `[rows, d_model]`
    /// - output: `[rows, d_model]`
    fn forward(&self, state: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2>;

    /// What the block keeps between tokens; nothing unless it calls [`BlockContext::attend`].
    fn slot(&self) -> SlotKind {
        SlotKind::None
    }

    /// How many states of earlier steps it looks at; see [`BlockContext::memory`].
    fn memory(&self) -> usize {
        0
    }
}

/// A mixer and a feed-forward part, each with its norms and a residual connection.
#[derive(Module, Debug)]
pub struct Block<B: Backend, M: Module<B> = BuiltinMixer<B>> {
    norm_mixer: RmsNorm<B>,
    norm_mixer_after: Option<RmsNorm<B>>,
    mixer: M,
    norm_ffn: RmsNorm<B>,
    norm_ffn_after: Option<RmsNorm<B>>,
    ffn: FeedForward<B>,
    #[module(skip)]
    norms: BlockNorms,
}

impl<B: Backend> Block<B> {
    /// A block of a stack with its built-in mixer; `path` names its parameters, `core.0` for instance.
    ///
    /// # Errors
    /// If the source of the parameters does not have one of them.
    pub fn load(parameters: &mut Parameters<'_, B>, path: &str, stack: &StackConfig) -> Result<Self> {
        let mixer_path = format!("{path}.mixer");
        let mixer = match stack.mixer {
            MixerKind::FullAttention | MixerKind::SlidingWindow { .. } => {
                BuiltinMixer::Attention(Attention::load(parameters, &mixer_path, stack)?)
            }
            MixerKind::GatedRetention { temperature } => {
                BuiltinMixer::Retention(GatedRetention::load(parameters, &mixer_path, stack, temperature)?)
            }
            MixerKind::MemoryGated(config) => {
                BuiltinMixer::MemoryGated(MemoryGatedAttention::load(parameters, &mixer_path, stack, config)?)
            }
            MixerKind::SharedKv => BuiltinMixer::Shared(SharedAttention::load(parameters, &mixer_path, stack)?),
        };
        Self::with_mixer(parameters, path, stack, mixer)
    }
}

impl<B: Backend, M: Module<B> + Mixer<B>> Block<B, M> {
    /// A block of a stack around a mixer of one's own; norms and the feed-forward part come from the parameters.
    ///
    /// # Errors
    /// If the source of the parameters does not have one of them.
    pub fn with_mixer(parameters: &mut Parameters<'_, B>, path: &str, stack: &StackConfig, mixer: M) -> Result<Self> {
        let after = |parameters: &mut Parameters<'_, B>, name: &str| match stack.norms {
            BlockNorms::Pre => Ok(None),
            BlockNorms::SandwichBranch | BlockNorms::SandwichSum => {
                parameters.norm(&format!("{path}.{name}")).map(Some)
            }
        };
        Ok(Self {
            norm_mixer: parameters.norm(&format!("{path}.norm_mixer"))?,
            norm_mixer_after: after(parameters, "norm_mixer_after")?,
            mixer,
            norm_ffn: parameters.norm(&format!("{path}.norm_ffn"))?,
            norm_ffn_after: after(parameters, "norm_ffn_after")?,
            ffn: FeedForward {
                gate: parameters.linear(&format!("{path}.ffn.gate"))?,
                up: parameters.linear(&format!("{path}.ffn.up"))?,
                down: parameters.linear(&format!("{path}.ffn.down"))?,
            },
            norms: stack.norms,
        })
    }

    /// Adds a branch to the stream where the block's kind of norms says.
    fn join(&self, stream: Tensor<B, 2>, branch: Tensor<B, 2>, after: Option<&RmsNorm<B>>) -> Tensor<B, 2> {
        let branch = branch.cast(stream.dtype());
        match (self.norms, after) {
            (BlockNorms::SandwichBranch, Some(norm)) => add(stream, norm.forward(branch)),
            (BlockNorms::SandwichSum, Some(norm)) => norm.forward(add(stream, branch)),
            _ => add(stream, branch),
        }
    }
}

impl<B: Backend, M: Module<B> + Mixer<B>> RecurrentBlock<B> for Block<B, M> {
    fn forward(&self, state: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let mixed = self.mixer.mix(self.norm_mixer.forward(state.clone()), context);
        let state = self.join(state, mixed, self.norm_mixer_after.as_ref());
        let fed = self.ffn.forward(self.norm_ffn.forward(state.clone()));
        self.join(state, fed, self.norm_ffn_after.as_ref())
    }

    fn slot(&self) -> SlotKind {
        self.mixer.slot()
    }

    fn memory(&self) -> usize {
        self.mixer.memory()
    }
}
