//! The parameters a config implies, by their names inside the decoder.
//!
//! The decoder asks for exactly these; families map them to the names of their published files; and their sizes give
//! parameter counts without allocating anything.

use crate::config::{
    BlockNorms, DecoderConfig, ExitGate, Injection, MixerKind, OutputHead, QueryKey, Readout, StackConfig,
};
use crate::weights::WeightFormat;

/// One parameter tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name inside the decoder, `core.0.mixer.query` for instance.
    pub path: String,
    /// Its shape; matrices are `[out, in]`.
    pub shape: Vec<usize>,
    /// What it is, which decides how it is initialised.
    pub role: ParameterRole,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterRole {
    /// The token embedding.
    Embedding,
    /// A matrix of a linear map.
    Linear,
    /// A matrix whose product is added to the hidden stream.
    BranchOutput,
    /// A matrix of few outputs on whose precision decays, gates and exits hang.
    Gate,
    /// The weight of a norm.
    NormWeight,
    /// A bias.
    Bias,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn count(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }

    /// What it is kept in where weights are kept in a format: that for matrices whose rows are whole blocks, f32 for the
    /// others and for norms, biases and gates.
    pub fn kept_in(&self, weights: WeightFormat) -> WeightFormat {
        match weights {
            _ if !self.is_weight() || !weights.divides(self.width()) => WeightFormat::F32,
            // What is read in and read out is met once a token, and its error is in every logit.
            WeightFormat::Q4 if self.path == "embedding" || self.path == "head" => WeightFormat::Q8,
            _ => weights,
        }
    }

    /// Bytes that it takes then.
    pub fn bytes(&self, weights: WeightFormat) -> u64 {
        let rows = self.count() / self.width().max(1) as u64;
        rows.saturating_mul(self.kept_in(weights).row_bytes(self.width()) as u64)
    }

    /// Whether it is one of the matrices that weight formats are for.
    fn is_weight(&self) -> bool {
        matches!(self.role, ParameterRole::Embedding | ParameterRole::Linear | ParameterRole::BranchOutput)
    }

    fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

impl DecoderConfig {
    /// Every parameter of the decoder, each once, whatever is stored twice in a published file.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut list = ParameterList { d_model: self.d_model, specs: Vec::new() };
        let d_model = self.d_model;
        list.push("embedding", &[self.vocab_size, d_model], ParameterRole::Embedding);
        if self.injection == Injection::Linear {
            list.push("injection", &[d_model, 2 * d_model], ParameterRole::Linear);
        }
        if let Some(prelude) = &self.prelude {
            list.stack("prelude", prelude);
        }
        list.stack("core", &self.core);
        match &self.readout {
            Readout::Head | Readout::NormHead => {}
            Readout::Coda(stack) => list.stack("coda", stack),
            Readout::CrossDecoder { layers, shared_key } => {
                list.norm("shared.norm");
                list.push("shared.key", &[layers.d_kv(), d_model], ParameterRole::Linear);
                list.push("shared.value", &[layers.d_kv(), d_model], ParameterRole::Linear);
                if *shared_key == QueryKey::Norm {
                    list.push("shared.key_norm", &[layers.head_dim], ParameterRole::NormWeight);
                }
                list.stack("cross", layers);
            }
        }
        list.norm("final_norm");
        if self.head == OutputHead::Separate {
            list.push("head", &[self.vocab_size, d_model], ParameterRole::Linear);
        }
        if self.exit_gate == ExitGate::Linear {
            list.push("exit_gate.weight", &[1, d_model], ParameterRole::Gate);
            list.push("exit_gate.bias", &[1], ParameterRole::Bias);
        }
        list.specs
    }

    /// Number of parameters, each counted once.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().iter().map(ParameterSpec::count).sum()
    }

    /// Bytes of all parameters where weights are kept in a format.
    pub fn parameter_bytes(&self, weights: WeightFormat) -> u64 {
        self.parameters().iter().map(|spec| spec.bytes(weights)).fold(0, u64::saturating_add)
    }

    /// The matrices that stay f32 where weights are kept in a format, because their rows are not whole blocks.
    pub fn left_in_f32(&self, weights: WeightFormat) -> Vec<ParameterSpec> {
        let left = |spec: &ParameterSpec| spec.is_weight() && !weights.divides(spec.width());
        self.parameters().into_iter().filter(left).collect()
    }

    /// Parameters that are not the embedding or an output head of its own.
    pub fn parameter_count_without_embeddings(&self) -> u64 {
        let outer = |spec: &&ParameterSpec| spec.path != "embedding" && spec.path != "head";
        self.parameters().iter().filter(outer).map(ParameterSpec::count).sum()
    }
}

struct ParameterList {
    d_model: usize,
    specs: Vec<ParameterSpec>,
}

impl ParameterList {
    fn push(&mut self, path: impl Into<String>, shape: &[usize], role: ParameterRole) {
        self.specs.push(ParameterSpec { path: path.into(), shape: shape.to_vec(), role });
    }

    fn norm(&mut self, path: impl Into<String>) {
        self.push(path, &[self.d_model], ParameterRole::NormWeight);
    }

    fn stack(&mut self, name: &str, stack: &StackConfig) {
        for layer in 0..stack.n_layers {
            self.block(&format!("{name}.{layer}"), stack);
        }
    }

    fn block(&mut self, path: &str, stack: &StackConfig) {
        let d_model = self.d_model;
        let sandwich = stack.norms != BlockNorms::Pre;
        self.norm(format!("{path}.norm_mixer"));
        if sandwich {
            self.norm(format!("{path}.norm_mixer_after"));
        }
        self.mixer(&format!("{path}.mixer"), stack);
        self.norm(format!("{path}.norm_ffn"));
        if sandwich {
            self.norm(format!("{path}.norm_ffn_after"));
        }
        self.push(format!("{path}.ffn.gate"), &[stack.d_ffn, d_model], ParameterRole::Linear);
        self.push(format!("{path}.ffn.up"), &[stack.d_ffn, d_model], ParameterRole::Linear);
        self.push(format!("{path}.ffn.down"), &[d_model, stack.d_ffn], ParameterRole::BranchOutput);
    }

    fn mixer(&mut self, path: &str, stack: &StackConfig) {
        let (d_model, d_query, d_kv) = (self.d_model, stack.d_query(), stack.d_kv());
        let own_keys = stack.mixer != MixerKind::SharedKv;
        self.push(format!("{path}.query"), &[d_query, d_model], ParameterRole::Linear);
        if own_keys {
            self.push(format!("{path}.key"), &[d_kv, d_model], ParameterRole::Linear);
            self.push(format!("{path}.value"), &[d_kv, d_model], ParameterRole::Linear);
        }
        self.push(format!("{path}.output"), &[d_model, d_query], ParameterRole::BranchOutput);
        match stack.query_key {
            QueryKey::Plain => {}
            QueryKey::Bias => {
                self.push(format!("{path}.query_bias"), &[d_query], ParameterRole::Bias);
                if own_keys {
                    self.push(format!("{path}.key_bias"), &[d_kv], ParameterRole::Bias);
                }
            }
            QueryKey::Norm => {
                self.push(format!("{path}.query_norm"), &[stack.head_dim], ParameterRole::NormWeight);
                if own_keys {
                    self.push(format!("{path}.key_norm"), &[stack.head_dim], ParameterRole::NormWeight);
                }
            }
        }
        match stack.mixer {
            MixerKind::GatedRetention { .. } => {
                self.push(format!("{path}.gate"), &[d_query, d_model], ParameterRole::Linear);
                self.push(format!("{path}.decay"), &[stack.n_heads, d_model], ParameterRole::Gate);
            }
            MixerKind::MemoryGated(_) => {
                self.push(format!("{path}.memory_key"), &[d_kv, d_model], ParameterRole::Linear);
                self.push(format!("{path}.memory_value"), &[d_kv, d_model], ParameterRole::Linear);
                self.push(format!("{path}.memory_gate.weight"), &[stack.n_heads, d_model], ParameterRole::Gate);
                self.push(format!("{path}.memory_gate.bias"), &[stack.n_heads], ParameterRole::Bias);
            }
            MixerKind::FullAttention | MixerKind::SlidingWindow { .. } | MixerKind::SharedKv => {}
        }
    }
}
