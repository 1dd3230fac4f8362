//! The generic recurrent decoder.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor};
use depthscale_kernels::KeptRows;
use depthscale_types::{
    ComputeDtype, DecoderConfig, ExitGate, Injection, MixerKind, OutputHead, QueryKey, Readout, StackConfig,
    WeightFormat,
};

use crate::block::{Block, RecurrentBlock};
use crate::build::{ParameterSource, Parameters, RandomParameters, float_dtype};
use crate::cache::{CacheLayout, SequenceCache, SequenceOptions, SlotKind};
use crate::error::{DecoderError, Result};
use crate::layers::{Linear, RmsNorm, Weight};
use crate::mixer::QueryKeyTreatment;
use crate::run::HeadShape;

/// A looped language model: embedding, prelude, a core of blocks applied once per step, readout.
///
/// The one forward pass of the crate; a published family is a [`DecoderConfig`] and a map of tensor names. `K` is the
/// block inside the recurrence: [`Block`] with a built-in mixer unless a user puts their own there, see
/// [`build_with`](Self::build_with).
#[derive(Module, Debug)]
pub struct RecurrentDecoder<B: Backend, K: Module<B> = Block<B>> {
    pub(crate) embedding: Weight<B>,
    pub(crate) injection: Option<Linear<B>>,
    pub(crate) prelude: Vec<Block<B>>,
    pub(crate) core: Vec<K>,
    /// Coda or cross-decoder blocks.
    pub(crate) readout: Vec<Block<B>>,
    pub(crate) shared: Option<SharedKv<B>>,
    pub(crate) final_norm: RmsNorm<B>,
    /// `None` where the embedding serves as head.
    pub(crate) head: Option<Linear<B>>,
    pub(crate) exit_gate: Option<GateUnit<B>>,
    #[module(skip)]
    pub(crate) config: DecoderConfig,
    #[module(skip)]
    pub(crate) weights: WeightFormat,
}

/// The projection of the shared keys and values of a cross-decoder.
#[derive(Module, Debug)]
pub struct SharedKv<B: Backend> {
    pub(crate) norm: RmsNorm<B>,
    pub(crate) key: Linear<B>,
    pub(crate) value: Linear<B>,
    pub(crate) key_treatment: QueryKeyTreatment<B>,
    #[module(skip)]
    pub(crate) heads: HeadShape,
}

/// The exit gate: one linear unit with bias.
#[derive(Module, Debug)]
pub struct GateUnit<B: Backend> {
    weight: Linear<B>,
    bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> GateUnit<B> {
    /// The gate before its sigmoid.
    ///
    /// # Shapes
    /// - state: `[rows, d_model]`
    /// - output: `[rows]`
    pub fn forward(&self, state: Tensor<B, 2>) -> Tensor<B, 1> {
        self.weight.forward(state).squeeze_dim::<1>(1) + self.bias.val()
    }
}

impl<B: Backend> RecurrentDecoder<B> {
    /// Builds a decoder from a config and a source of parameters.
    ///
    /// # Errors
    /// If the config is not valid, the device does not compute in the dtype or keep the weights that the source asks for, or
    /// the source lacks a parameter or holds one that is not finite.
    pub fn build(config: DecoderConfig, source: &mut dyn ParameterSource, device: &B::Device) -> Result<Self> {
        let core = config.core.clone();
        Self::build_with(config, source, device, |parameters, layer| {
            Block::load(parameters, &format!("core.{layer}"), &core)
        })
    }

    /// A decoder with random parameters from a seed; see [`RandomParameters`].
    ///
    /// # Errors
    /// If the config is not valid.
    pub fn random(config: DecoderConfig, seed: u64, device: &B::Device) -> Result<Self> {
        let mut source = RandomParameters::new(&config, seed);
        Self::build(config, &mut source, device)
    }
}

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> RecurrentDecoder<B, K> {
    /// Builds a decoder around core blocks of one's own: `core` is called once for each of the config's core layers.
    ///
    /// # Errors
    /// As [`build`](RecurrentDecoder::build), and what `core` returns.
    pub fn build_with(
        config: DecoderConfig,
        source: &mut dyn ParameterSource,
        device: &B::Device,
        mut core: impl FnMut(&mut Parameters<'_, B>, usize) -> Result<K>,
    ) -> Result<Self> {
        config.validate()?;
        let dtype = source.dtype();
        if !B::supports_dtype(device, float_dtype(dtype).into()) {
            return Err(DecoderError::UnsupportedDtype { dtype, backend: B::name(device) });
        }
        let weights = source.weights();
        weights.check_dtype(dtype)?;
        if weights != dtype.into() && !depthscale_kernels::keeps_packed::<B>() {
            return Err(DecoderError::UnsupportedWeights { weights, backend: B::name(device) });
        }
        let mut parameters = Parameters::new(&config, source, device);
        let parameters = &mut parameters;
        let stack = |parameters: &mut Parameters<'_, B>, name: &str, stack: &StackConfig| {
            let block = |layer| Block::load(parameters, &format!("{name}.{layer}"), stack);
            (0..stack.n_layers).map(block).collect::<Result<Vec<_>>>()
        };
        let embedding = parameters.weight("embedding")?;
        let injection = match config.injection {
            Injection::None => None,
            Injection::Linear => Some(parameters.linear("injection")?),
        };
        let prelude = match &config.prelude {
            Some(prelude) => stack(parameters, "prelude", prelude)?,
            None => Vec::new(),
        };
        let core = (0..config.core.n_layers).map(|layer| core(parameters, layer)).collect::<Result<Vec<K>>>()?;
        let (readout, shared) = match &config.readout {
            Readout::Head | Readout::NormHead => (Vec::new(), None),
            Readout::Coda(coda) => (stack(parameters, "coda", coda)?, None),
            Readout::CrossDecoder { layers, shared_key } => {
                let shared = SharedKv::load(parameters, layers, *shared_key)?;
                (stack(parameters, "cross", layers)?, Some(shared))
            }
        };
        Ok(Self {
            embedding,
            injection,
            prelude,
            core,
            readout,
            shared,
            final_norm: parameters.norm("final_norm")?,
            head: match config.head {
                OutputHead::Tied => None,
                OutputHead::Separate => Some(parameters.linear("head")?),
            },
            exit_gate: match config.exit_gate {
                ExitGate::None => None,
                ExitGate::Linear => Some(GateUnit {
                    weight: parameters.linear("exit_gate.weight")?,
                    bias: parameters.param("exit_gate.bias")?,
                }),
            },
            weights: parameters.kept_in(),
            config,
        })
    }

    /// The config it was built from.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The dtype its matrices are multiplied in; see [`weights`](Self::weights) for what they are kept in.
    pub fn dtype(&self) -> ComputeDtype {
        match self.embedding.dtype() {
            DType::F16 => ComputeDtype::F16,
            DType::BF16 => ComputeDtype::Bf16,
            _ => ComputeDtype::F32,
        }
    }

    /// What its matrices are kept in, the exceptions of [`ParameterSpec::kept_in`](depthscale_types::ParameterSpec::kept_in) aside.
    pub fn weights(&self) -> WeightFormat {
        self.weights
    }

    /// Whether weights were to be packed: kept in another format than the dtype's, and not trained.
    pub fn is_packed(&self) -> bool {
        self.weights != self.dtype().into()
    }

    /// The device its parameters are on.
    pub fn device(&self) -> B::Device {
        self.final_norm.weight().device()
    }

    /// Empty caches for one sequence.
    ///
    /// # Errors
    /// If the retention policy does not go with the model's mixer, it is to hold more than the model has positions, or the device does
    /// not keep rows in the dtype of its caches.
    pub fn new_sequence(&self, options: SequenceOptions) -> Result<SequenceCache<B>> {
        let limit = self.config.max_positions;
        let capacity = options.capacity.unwrap_or(limit);
        if options.reserve.max(capacity) > limit {
            return Err(DecoderError::PositionLimit { needed: options.reserve.max(capacity), limit });
        }
        let layout = self.cache_layout();
        if layout.core.contains(&SlotKind::Retention) {
            options.retention.validate_for_matrix_state()?;
        }
        if let Some(dtype) = options.cache_dtype
            && !KeptRows::<B>::keeps(&self.device(), dtype)
        {
            return Err(DecoderError::CacheDtype { dtype });
        }
        Ok(SequenceCache::new(options, capacity, layout))
    }

    pub(crate) fn cache_layout(&self) -> CacheLayout {
        let kinds = |blocks: &[Block<B>]| blocks.iter().map(RecurrentBlock::slot).collect::<Vec<_>>();
        let stacks = [self.config.prelude.as_ref(), Some(&self.config.core), self.config.readout_stack()];
        CacheLayout {
            heads: stacks.into_iter().flatten().map(|stack| (stack.n_kv_heads, stack.head_dim)).collect(),
            prelude: kinds(&self.prelude),
            core: self.core.iter().map(RecurrentBlock::slot).collect(),
            readout: match &self.shared {
                Some(_) => vec![SlotKind::Growing],
                None => kinds(&self.readout),
            },
        }
    }

    /// The exit gate before its sigmoid, `[rows]`, for states of `[rows, d_model]`; `None` in models without one.
    pub fn exit_gate_logits(&self, states: Tensor<B, 2>) -> Option<Tensor<B, 1>> {
        self.exit_gate.as_ref().map(|gate| gate.forward(states))
    }

    /// How many states of earlier steps its blocks look at.
    pub(crate) fn memory(&self) -> usize {
        self.core.iter().map(RecurrentBlock::memory).max().unwrap_or(0)
    }

    /// `[rows, d_model]` to `[rows, vocab_size]`, in f32.
    pub(crate) fn apply_head(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        let logits = match &self.head {
            Some(head) => head.forward(rows),
            None => self.embedding.project(rows),
        };
        logits.cast(FloatDType::F32)
    }
}

impl<B: Backend> SharedKv<B> {
    fn load(parameters: &mut Parameters<'_, B>, layers: &StackConfig, shared_key: QueryKey) -> Result<Self> {
        debug_assert_eq!(layers.mixer, MixerKind::SharedKv, "validated");
        Ok(Self {
            norm: parameters.norm("shared.norm")?,
            key: parameters.linear("shared.key")?,
            value: parameters.linear("shared.value")?,
            key_treatment: QueryKeyTreatment::load(parameters, "shared.key", shared_key)?,
            heads: HeadShape::of(layers),
        })
    }
}
