//! The whole recipe.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::averaging::AveragingConfig;
use super::batch::BatchConfig;
use super::choice;
use super::data::DataConfig;
use super::depth::DepthConfig;
use super::error::{RecipeError, Result, require};
use super::evaluation::EvaluationConfig;
use super::guard::GuardConfig;
use super::loss::LossConfig;
use super::model::ModelConfig;
use super::optimizer::OptimizerConfig;
use super::output::OutputConfig;
use super::reading;
use super::schedule::ScheduleConfig;

/// A training recipe: everything a run depends on. Each field is a section of the file. Paths are as they were written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The seed of everything random, but for the choice of held-out problems. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// A running average of the weights. Default `none`.
    #[serde(default, deserialize_with = "choice::deserialize")]
    pub averaging: AveragingConfig,
    /// Where a run writes. Required.
    pub output: OutputConfig,
    /// What is trained. Required.
    pub model: ModelConfig,
    /// What it is trained on. Required.
    pub data: DataConfig,
    /// How many sequences make a step. Required.
    pub batch: BatchConfig,
    /// How many steps a sequence takes. Required.
    pub depth: DepthConfig,
    /// What is minimised. Default: the loss of the last step.
    #[serde(default)]
    pub loss: LossConfig,
    /// How gradients become steps. Required.
    pub optimizer: OptimizerConfig,
    /// How long the run is, and the learning rate over it. Required.
    pub schedule: ScheduleConfig,
    /// Which steps are not taken. Default: those that are not finite.
    #[serde(default)]
    pub guard: GuardConfig,
    /// How often the model is evaluated.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
}

impl TrainConfig {
    /// Reads a recipe from a TOML file, applies overrides of the form `key.path=value` in their order, and checks it.
    ///
    /// # Errors
    /// If the file cannot be read, or as [`TrainConfig::parse`].
    pub fn read(path: impl AsRef<Path>, overrides: &[String]) -> Result<Self> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| RecipeError::File { path: path.to_path_buf(), source })?;
        Self::parse(&text, &path.display().to_string(), overrides)
    }

    /// Reads a recipe from TOML, applies overrides of the form `key.path=value` in their order, and checks it. `name` is
    /// what errors call the text.
    ///
    /// An override that sets one of `model.config` and `model.from`, or one of `data.tasks`, `data.text` and `data.lines`,
    /// takes the others away.
    ///
    /// # Errors
    /// If the text is no TOML, a key is unknown or missing, or a value has the wrong type: with the line, the column and the
    /// key. If an override is none or names no key: with the override. If a value is not allowed: with the key.
    pub fn parse(text: &str, name: &str, overrides: &[String]) -> Result<Self> {
        let config = reading::parse(text, name, overrides)?;
        config.validate()?;
        Ok(config)
    }

    /// The recipe as TOML, with every key that has a value, defaults included. [`TrainConfig::parse`] reads it back.
    ///
    /// # Errors
    /// If a path is not Unicode, or a number is beyond what TOML holds, which [`TrainConfig::validate`] refuses too.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| RecipeError::Unwritable { message: error.to_string() })
    }

    /// Checks every key of every section; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        // TOML's integers end there.
        let most = i64::MAX as u64;
        require(self.seed <= most, "seed", self.seed, format!("must be at most {most}"))?;
        self.averaging.validate()?;
        self.output.validate()?;
        self.model.validate()?;
        self.data.validate()?;
        self.batch.validate()?;
        self.depth.validate()?;
        self.loss.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        self.guard.validate()?;
        self.evaluation.validate()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::averaging::ExponentialConfig;
    use super::super::data::{DataSource, FilesConfig, TaskConfig};
    use super::super::depth::{DepthCurriculum, DepthDistribution, DepthPer, LogNormalConfig};
    use super::super::guard::SpikeConfig;
    use super::super::loss::{EveryStepConfig, ExpectedExitConfig, GateOnlyConfig, LossKind, StepWeights};
    use super::super::model::ModelSource;
    use super::super::optimizer::{GroupConfig, MuonConfig};
    use super::super::ramp::{Ramp, RampShape};
    use super::super::schedule::{CosineConfig, ScheduleKind, WarmupStableDecayConfig};
    use super::*;

    const SHORT: &str = r#"
        output = { directory = "run" }
        model = { config = "config.json" }
        data = { lines = { files = ["a.txt"] }, sequence = 64 }
        batch = { sequences = 8 }
        depth = { mean = 4 }
        optimizer = { learning_rate = 1e-3 }
        schedule = { steps = 100 }
    "#;

    #[test]
    fn defaults_are_those_documented() {
        let config = TrainConfig::parse(SHORT, "short.toml", &[]).expect("a recipe");
        let output = OutputConfig { directory: "run".into(), checkpoint_every: 500, keep: 3, log_every: 10 };
        let model =
            ModelConfig { source: ModelSource::Fresh("config.json".into()), freeze: Vec::new(), tokenizer: None };
        let data = DataConfig {
            source: DataSource::Lines(FilesConfig { files: vec!["a.txt".into()], held_out: 0.01 }),
            sequence: 64,
            held_out_share: 0.1,
            held_out_seed: 0,
            hints: false,
            difficulty_curriculum: None,
        };
        let expected = TrainConfig {
            seed: 0,
            averaging: AveragingConfig::None,
            output,
            model,
            data,
            batch: BatchConfig { sequences: 8, accumulate: 1 },
            depth: DepthConfig::fixed(4),
            loss: LossConfig { kind: LossKind::LastStep, z_loss: 0.0 },
            optimizer: OptimizerConfig::adamw(1e-3),
            schedule: ScheduleConfig { steps: 100, warmup: 0, kind: ScheduleKind::Constant },
            guard: GuardConfig { spike: None, most_skipped_in_a_row: 10 },
            evaluation: EvaluationConfig { every: 500, problems: 50, max_depth: None },
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_short_choice_means_its_defaults() {
        let overrides = ["schedule.kind=warmup-stable-decay", "loss.kind=gate-only", "averaging=exponential"];
        let config = TrainConfig::parse(SHORT, "short.toml", &overrides.map(String::from)).expect("a recipe");
        assert_eq!(config.schedule.kind, ScheduleKind::WarmupStableDecay(WarmupStableDecayConfig::default()));
        assert_eq!(config.loss.kind, LossKind::GateOnly(GateOnlyConfig { gain_slope: 50.0, gain_threshold: 0.005 }));
        assert_eq!(config.averaging, AveragingConfig::Exponential(ExponentialConfig { decay: 0.999, start: 0 }));
    }

    fn source() -> impl Strategy<Value = DataSource> {
        let lasting = (prop_oneof![Just(0.0), 0.01..0.5f64], prop_oneof![Just(1.0), 0.5..0.99f64]);
        let task = ("[a-z\"\\\\ ]{1,6}", 0usize..5, 0usize..5, 0.1..9.0f64, lasting).prop_map(
            |(task, min, width, weight, (begin, end))| TaskConfig { task, min, max: min + width, weight, begin, end },
        );
        let files = || {
            (prop::collection::vec("[a-z/.' ]{1,8}", 1..3), 0.0..0.9f64).prop_map(|(files, held_out)| FilesConfig {
                files: files.into_iter().map(Into::into).collect(),
                held_out,
            })
        };
        prop_oneof![
            prop::collection::vec(task, 1..4).prop_map(always_some),
            files().prop_map(DataSource::Text),
            files().prop_map(DataSource::Lines),
        ]
    }

    /// Tasks of which the first is there from the first step to the last.
    fn always_some(mut tasks: Vec<TaskConfig>) -> DataSource {
        (tasks[0].begin, tasks[0].end) = (0.0, 1.0);
        DataSource::Tasks(tasks)
    }

    fn ramp() -> impl Strategy<Value = Option<Ramp>> {
        let shape = prop_oneof![Just(RampShape::Linear), Just(RampShape::OneMinusSqrt)];
        prop::option::of((shape, 0.01..=1.0f64).prop_map(|(shape, share)| Ramp { shape, share }))
    }

    fn depth() -> impl Strategy<Value = DepthConfig> {
        let distribution = prop_oneof![
            Just(DepthDistribution::Poisson),
            (0.0..2.0f64).prop_map(|sigma| DepthDistribution::LogNormalPoisson(LogNormalConfig { sigma })),
            Just(DepthDistribution::Uniform),
        ];
        (distribution, 1.0..50.0f64, 50usize..90, 1usize..9, ramp(), ramp()).prop_map(
            |(distribution, mean, max, backprop, of_mean, of_backprop)| DepthConfig {
                mean: (distribution != DepthDistribution::Uniform).then_some(mean),
                distribution,
                min: 1,
                max: Some(max),
                per: DepthPer::Sequence,
                backprop: Some(backprop),
                curriculum: DepthCurriculum { mean: of_mean, backprop: of_backprop },
            },
        )
    }

    fn loss() -> impl Strategy<Value = LossConfig> {
        let kind = prop_oneof![
            Just(LossKind::LastStep),
            Just(LossKind::EveryStep(EveryStepConfig { weights: StepWeights::Linear })),
            (0.0..1.0f64).prop_map(|entropy| LossKind::ExpectedExit(ExpectedExitConfig { entropy })),
            Just(LossKind::GateOnly(GateOnlyConfig::default())),
        ];
        (kind, 0.0..1e-3f64).prop_map(|(kind, z_loss)| {
            let gate_only = matches!(kind, LossKind::GateOnly(_));
            LossConfig { kind, z_loss: if gate_only { 0.0 } else { z_loss } }
        })
    }

    fn optimizer() -> impl Strategy<Value = OptimizerConfig> {
        let pattern = || prop::collection::vec("[a-z.*]{1,6}".prop_map(|text| text.parse().expect("a pattern")), 1..3);
        let muon = (pattern(), 0.1..0.9f64, any::<bool>()).prop_map(|(patterns, momentum, nesterov)| MuonConfig {
            patterns,
            momentum,
            nesterov,
            ..MuonConfig::default()
        });
        let group = (pattern(), 0.0..2.0f64, prop::option::of(0.0..1.0f64)).prop_map(
            |(patterns, learning_rate_scale, weight_decay)| GroupConfig { patterns, learning_rate_scale, weight_decay },
        );
        let clip = prop_oneof![Just(f64::INFINITY), 0.1..9.0f64];
        (1e-9..1.0f64, clip, prop::option::of(muon), prop::collection::vec(group, 0..3)).prop_map(
            |(learning_rate, clip, muon, groups)| OptimizerConfig {
                clip,
                muon,
                groups,
                ..OptimizerConfig::adamw(learning_rate)
            },
        )
    }

    fn schedule() -> impl Strategy<Value = ScheduleConfig> {
        let kind = prop_oneof![
            Just(ScheduleKind::Constant),
            (0.0..=1.0f64).prop_map(|floor| ScheduleKind::Cosine(CosineConfig { floor })),
            (0.01..=0.5f64, 0.0..=1.0f64).prop_map(|(decay, floor)| {
                ScheduleKind::WarmupStableDecay(WarmupStableDecayConfig {
                    decay,
                    floor,
                    shape: RampShape::OneMinusSqrt,
                })
            }),
        ];
        (100usize..10_000, 0usize..50, kind).prop_map(|(steps, warmup, kind)| ScheduleConfig { steps, warmup, kind })
    }

    prop_compose! {
        fn recipe()(
            seed in 0..=i64::MAX as u64, source in source(), share in prop::option::of(0.01..=1.0f64), depth in depth(),
            loss in loss(), optimizer in optimizer(), schedule in schedule(), averaged: bool, guarded: bool,
            freeze in prop::option::of("[a-z.*]{1,6}"),
        ) -> TrainConfig {
            let short = TrainConfig::parse(SHORT, "short.toml", &[]).expect("a recipe");
            TrainConfig {
                seed,
                averaging: if averaged { AveragingConfig::Exponential(Default::default()) } else { short.averaging },
                model: ModelConfig {
                    source: ModelSource::Checkpoint("run/last".into()),
                    freeze: freeze.into_iter().map(|text| text.parse().expect("a pattern")).collect(),
                    tokenizer: averaged.then(|| "tokenizer.json".into()),
                },
                data: DataConfig { source, difficulty_curriculum: share, ..short.data },
                depth: if guarded || depth.curriculum.backprop.is_some() { depth } else { short.depth },
                loss,
                optimizer,
                schedule,
                guard: GuardConfig { spike: guarded.then(SpikeConfig::default), ..GuardConfig::default() },
                evaluation: EvaluationConfig { max_depth: guarded.then_some(8), ..EvaluationConfig::default() },
                ..short
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(config in recipe()) {
            prop_assert!(config.validate().is_ok(), "{:?}", config.validate());
            let text = config.to_toml().expect("plain text");
            let read = TrainConfig::parse(&text, "written.toml", &[]).map_err(|error| error.to_string());
            prop_assert_eq!(read.as_ref(), Ok(&config), "{}", text);
            let again = read.expect("compared").to_toml().expect("plain text");
            prop_assert_eq!(again, text);
        }
    }
}
