//! AdamW and Muon for the parameters that a recipe gives each.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamW, AdamWConfig, GradientsParams, Muon, MuonConfig, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder, RecorderError};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use depthscale_decoder::{RecurrentDecoder, build::param_id};

use crate::recipe::{Method, OptimizerConfig, ParameterPlan};

/// burn's optimizers, one for each rule, learning rate and decay that a recipe names.
pub struct Optimizers<B: AutodiffBackend> {
    groups: Vec<Group<B>>,
    group_of: HashMap<ParamId, usize>,
}

struct Group<B: AutodiffBackend> {
    plan: ParameterPlan,
    rule: Rule<B>,
}

#[allow(clippy::large_enum_variant, reason = "one for each group of parameters, a handful")]
enum Rule<B: AutodiffBackend> {
    AdamW(OptimizerAdaptor<AdamW, RecurrentDecoder<B>, B>),
    Muon(OptimizerAdaptor<Muon<B::InnerBackend>, RecurrentDecoder<B>, B>),
}

impl<B: AutodiffBackend> Rule<B> {
    fn new(config: &OptimizerConfig, plan: ParameterPlan) -> Self {
        match (plan.method, &config.muon) {
            (Method::Muon, Some(muon)) => {
                let momentum = MomentumConfig::new().with_momentum(muon.momentum).with_dampening(0.0);
                let rule = MuonConfig::new()
                    .with_momentum(momentum.with_nesterov(muon.nesterov))
                    .with_ns_steps(muon.newton_schulz_steps)
                    .with_weight_decay(Some(WeightDecayConfig::new(plan.weight_decay as f32)));
                Self::Muon(rule.init())
            }
            _ => {
                let rule = AdamWConfig::new()
                    .with_beta_1(config.betas[0] as f32)
                    .with_beta_2(config.betas[1] as f32)
                    .with_epsilon(config.epsilon as f32)
                    .with_weight_decay(plan.weight_decay as f32);
                Self::AdamW(rule.init())
            }
        }
    }
}

impl<B: AutodiffBackend> Optimizers<B> {
    /// The optimizers of a recipe for the parameters of a decoder.
    pub fn new(config: &OptimizerConfig, decoder: &RecurrentDecoder<B>) -> Self {
        let mut groups: Vec<Group<B>> = Vec::new();
        let mut group_of = HashMap::new();
        for spec in decoder.config().parameters() {
            let plan = config.plan(&spec.path, spec.shape.len());
            let known = groups.iter().position(|group| group.plan == plan);
            let group = known.unwrap_or_else(|| {
                groups.push(Group { plan, rule: Rule::new(config, plan) });
                groups.len() - 1
            });
            group_of.insert(param_id(&spec.path), group);
        }
        Self { groups, group_of }
    }

    /// One step with learning rates scaled by `factor`. Parameters without a gradient stay as they are.
    pub fn step(
        &mut self,
        factor: f64,
        mut decoder: RecurrentDecoder<B>,
        gradients: GradientsParams,
    ) -> RecurrentDecoder<B> {
        let parts = self.groups.iter().map(|_| GradientsParams::new()).collect();
        let mut split = Split { gradients, parts, group_of: &self.group_of };
        decoder.visit(&mut split);
        for (group, gradients) in self.groups.iter_mut().zip(split.parts) {
            let rate = group.plan.learning_rate * factor;
            decoder = match &mut group.rule {
                _ if gradients.is_empty() => decoder,
                Rule::AdamW(rule) => rule.step(rate, decoder, gradients),
                Rule::Muon(rule) => rule.step(rate, decoder, gradients),
            };
        }
        decoder
    }

    /// The moments of all parameters as bytes, one for each group.
    ///
    /// # Errors
    /// If burn's recorder fails.
    pub fn to_bytes(&self) -> Result<Vec<Vec<u8>>, RecorderError> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let bytes = |group: &Group<B>| match &group.rule {
            Rule::AdamW(rule) => Recorder::<B>::record(&recorder, rule.to_record(), ()),
            Rule::Muon(rule) => Recorder::<B>::record(&recorder, rule.to_record(), ()),
        };
        self.groups.iter().map(bytes).collect()
    }

    /// Takes back what [`Self::to_bytes`] gave.
    ///
    /// # Errors
    /// If the bytes are not those of as many groups.
    pub fn load_bytes(self, parts: Vec<Vec<u8>>, device: &B::Device) -> Result<Self, RecorderError> {
        if parts.len() != self.groups.len() {
            let message = format!("{} groups of parameters, expected {}", parts.len(), self.groups.len());
            return Err(RecorderError::Unknown(message));
        }
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let load = |(group, bytes): (Group<B>, Vec<u8>)| {
            let rule = match group.rule {
                Rule::AdamW(rule) => Rule::AdamW(rule.load_record(Recorder::<B>::load(&recorder, bytes, device)?)),
                Rule::Muon(rule) => Rule::Muon(rule.load_record(Recorder::<B>::load(&recorder, bytes, device)?)),
            };
            Ok(Group { rule, ..group })
        };
        let groups = self.groups.into_iter().zip(parts).map(load).collect::<Result<_, RecorderError>>()?;
        Ok(Self { groups, ..self })
    }
}

/// Hands every gradient to its group.
struct Split<'g> {
    gradients: GradientsParams,
    parts: Vec<GradientsParams>,
    group_of: &'g HashMap<ParamId, usize>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Split<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = self.gradients.remove::<B::InnerBackend, D>(param.id);
        if let (Some(gradient), Some(&group)) = (gradient, self.group_of.get(&param.id)) {
            self.parts[group].register(param.id, gradient);
        }
    }
}
