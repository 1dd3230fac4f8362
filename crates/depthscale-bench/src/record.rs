//! What is recorded: one self-contained JSON object for every case that was measured.

use std::fmt;

use depthscale_types::{
    BlockEvaluations, CacheDtype, ComputeDtype, DecoderConfig, KvRetention, MeasuredMemory, MemoryQuery, MemoryReport,
    WeightFormat, Work,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::statistics::Spread;
use crate::timing::Timing;

/// The format of a line, which names the project and the format's version.
pub const FORMAT: &str = "depthscale-bench/2";

/// One case: where it ran, what ran, every sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT`].
    pub format: String,
    /// When the run began that this case is of; the same in every record of a run.
    pub started: Timestamp,
    /// The machine.
    pub machine: Machine,
    /// The program.
    pub build: Build,
    /// The backend and its device.
    pub device: MeasuredDevice,
    /// The model.
    pub model: Model,
    /// What was asked of it.
    pub case: Case,
    /// What one sample computes.
    pub work: CaseWork,
    /// How samples were taken.
    pub timing: Timing,
    /// Seconds of every sample, in the order they were taken.
    pub seconds: Vec<f64>,
    /// What the device can do.
    pub ceiling: Ceiling,
    /// Memory of the case.
    pub memory: CaseMemory,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The operating system and its version.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
    /// The processor's name.
    pub processor: String,
    /// Threads that it runs at once.
    pub threads: usize,
    /// Bytes of memory.
    pub memory: u64,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The version of DepthScale.
    pub version: String,
    /// The git revision, with `-dirty` where files differed from it; `None` where it was built outside a repository.
    pub revision: Option<String>,
    /// The version of burn.
    pub burn: String,
    /// The version of the compiler.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// The compiler's optimisation level; figures below 3 say nothing of a release.
    pub opt_level: String,
    /// The cargo features that decide what runs.
    pub features: Vec<String>,
}

/// A backend and its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredDevice {
    /// The backend, as on the command line.
    pub backend: String,
    /// The device's name.
    pub name: String,
    /// `cpu`, `gpu` or `software`.
    pub class: String,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A preset, or the name of a model's directory.
    pub name: String,
    /// Its family.
    pub family: String,
    /// Parameters, each once.
    pub parameters: u64,
    /// Whether they are random.
    pub random: bool,
    /// Its decoder, whole: what was measured can be built again from it.
    pub config: DecoderConfig,
}

/// Which half of inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reading a prompt of `context` tokens into empty caches.
    Prefill,
    /// Taking in one token for every sequence after `context` tokens.
    Decode,
}

impl Phase {
    /// The name used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Which half of inference.
    pub phase: Phase,
    /// The dtype of products.
    pub dtype: ComputeDtype,
    /// What matrices are kept in.
    pub weights: WeightFormat,
    /// What keys and values are kept in, if not the dtype of products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_dtype: Option<CacheDtype>,
    /// Which keys and values are kept.
    pub retention: KvRetention,
    /// Steps of every token.
    pub depth: usize,
    /// Tokens of every sequence that were in its cache before (decode) or are read (prefill).
    pub context: usize,
    /// Sequences.
    pub batch: usize,
    /// Most token rows computed together.
    pub chunk: usize,
}

impl Case {
    /// What keys and values are kept in.
    pub fn cached_in(&self) -> CacheDtype {
        self.cache_dtype.unwrap_or(self.dtype.into())
    }
}

/// What one sample computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseWork {
    /// Tokens taken in, of all sequences together.
    pub tokens: u64,
    /// Blocks evaluated, summed over token rows, as the decoder counted them.
    pub evaluations: BlockEvaluations,
    /// Operations and bytes, counted from the config.
    pub least: Work,
}

/// What a device did at its best, measured in the same run through the same backend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Bytes per second. On processors the median of sums before, between and after the samples of the case; elsewhere the faster of a
    /// sum and a copy, whose bytes are read and written, right before it.
    pub bytes_per_second: f64,
    /// Floating-point operations per second of a large product in the case's dtype.
    pub flops_per_second: f64,
}

/// Memory of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseMemory {
    /// What the prediction was asked for.
    pub query: MemoryQuery,
    /// As predicted from the config.
    pub predicted: MemoryReport,
    /// As measured; `None` where nothing counts.
    pub measured: Option<MeasuredMemory>,
}

impl CaseMemory {
    /// The prediction of what was measured: pools keep no peak, and hold after a run all but the activations.
    pub fn comparable(&self) -> u64 {
        match self.measured {
            Some(MeasuredMemory { activations: None, .. }) => {
                self.predicted.total().saturating_sub(self.predicted.activations)
            }
            _ => self.predicted.total(),
        }
    }
}

impl Record {
    /// Whether another record measures the same: the same case of the same model on the same backend.
    pub fn measures_the_same(&self, other: &Self) -> bool {
        (self.case, &self.model, &self.device.backend) == (other.case, &other.model, &other.device.backend)
    }

    /// Whether another record was also taken under the same conditions: on the same machine and device, by a build with the
    /// same features.
    pub fn under_the_same_conditions(&self, other: &Self) -> bool {
        (&self.machine, &self.device, &self.build.features) == (&other.machine, &other.device, &other.build.features)
    }

    /// Seconds of a sample.
    pub fn time(&self) -> Spread {
        Spread::of(&self.seconds)
    }

    /// Tokens per second.
    pub fn tokens_per_second(&self) -> Spread {
        self.time().rate(self.work.tokens as f64)
    }

    /// Milliseconds for each token of one sequence: what someone waits for the next token, or a prompt's token costs.
    pub fn milliseconds_per_token(&self) -> f64 {
        self.time().median * 1e3 * self.case.batch as f64 / self.work.tokens as f64
    }

    /// Blocks evaluated per second.
    pub fn blocks_per_second(&self) -> f64 {
        self.work.evaluations.total() as f64 / self.time().median
    }

    /// Bytes per second that passed at the least.
    pub fn bytes_per_second(&self) -> f64 {
        self.work.least.bytes as f64 / self.time().median
    }

    /// Floating-point operations per second.
    pub fn flops_per_second(&self) -> f64 {
        self.work.least.flops as f64 / self.time().median
    }

    /// The share of the device's bandwidth.
    pub fn share_of_bandwidth(&self) -> f64 {
        self.bytes_per_second() / self.ceiling.bytes_per_second
    }

    /// The share of the rate of a large product.
    pub fn share_of_product(&self) -> f64 {
        self.flops_per_second() / self.ceiling.flops_per_second
    }

    /// What is wrong with a record that was read, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let counted = [self.case.depth, self.case.context, self.case.batch];
        if self.format != FORMAT {
            return Some(format!("format is {:?}, and this build reads {FORMAT:?}", self.format));
        }
        if self.seconds.is_empty() {
            return Some("seconds holds no samples".into());
        }
        if let Some(bad) = self.seconds.iter().find(|seconds| !(seconds.is_finite() && **seconds > 0.0)) {
            return Some(format!("seconds holds {bad}: must be finite and above zero"));
        }
        let rates = [self.ceiling.bytes_per_second, self.ceiling.flops_per_second];
        if let Some(bad) = rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Some(format!("a ceiling is {bad}: must be finite and above zero"));
        }
        if counted.contains(&0) || self.work.tokens == 0 {
            return Some("depth, context, batch and tokens must be at least 1".into());
        }
        self.model.config.validate().err().map(|error| format!("model.config.{error}"))
    }
}
