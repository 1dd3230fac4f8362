//! What is to be measured.

use depthscale_types::{CacheDtype, ComputeDtype, DecoderConfig, Error, KvRetention, WeightFormat};

use crate::error::{BenchError, Result};
use crate::record::{Case, Phase};
use crate::timing::Timing;

/// What is to be measured of a model on every backend: each combination of the lists, prefill and decode.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Dtypes of products.
    pub dtypes: Vec<ComputeDtype>,
    /// What matrices are kept in under each dtype; the dtype's own format where none is named.
    pub weights: Vec<WeightFormat>,
    /// What keys and values are kept in under each dtype; the dtype itself where none is named.
    pub cache_dtypes: Vec<CacheDtype>,
    /// Which keys and values are kept.
    pub retentions: Vec<KvRetention>,
    /// Steps of every token.
    pub depths: Vec<usize>,
    /// Tokens of a prompt, after which decoding goes on.
    pub contexts: Vec<usize>,
    /// Sequences at once.
    pub batches: Vec<usize>,
    /// Prefill, decode or both.
    pub phases: Vec<Phase>,
    /// Most token rows computed together.
    pub chunk: usize,
    /// How samples are taken.
    pub timing: Timing,
}

impl Plan {
    /// One sequence after 128 tokens, at the model's own depth, in f32.
    pub fn quick(config: &DecoderConfig) -> Self {
        Self {
            dtypes: vec![ComputeDtype::F32],
            weights: Vec::new(),
            cache_dtypes: Vec::new(),
            retentions: vec![KvRetention::PerStep],
            depths: vec![config.depth],
            contexts: vec![128],
            batches: vec![1],
            phases: vec![Phase::Prefill, Phase::Decode],
            chunk: 512,
            timing: Timing::default(),
        }
    }

    /// Every dtype with what matrices are kept in under it.
    pub fn formats(&self) -> Vec<(ComputeDtype, WeightFormat)> {
        let of = |&dtype: &ComputeDtype| {
            let own = if self.weights.is_empty() { vec![dtype.into()] } else { self.weights.clone() };
            own.into_iter().map(move |weights| (dtype, weights))
        };
        self.dtypes.iter().flat_map(of).collect()
    }

    /// Every combination of the rest: prefill beside the decode that follows it.
    pub fn cases(&self, dtype: ComputeDtype, weights: WeightFormat) -> Vec<[Case; 2]> {
        let mut cases = Vec::new();
        let chunk = self.chunk;
        for cache_dtype in self.caches_under(dtype) {
            for &retention in &self.retentions {
                for &batch in &self.batches {
                    for &context in &self.contexts {
                        for &depth in &self.depths {
                            let case = |phase| Case {
                                phase,
                                dtype,
                                weights,
                                cache_dtype,
                                retention,
                                depth,
                                context,
                                batch,
                                chunk,
                            };
                            cases.push([case(Phase::Prefill), case(Phase::Decode)]);
                        }
                    }
                }
            }
        }
        cases
    }

    /// What keys and values are kept in under a dtype; `None` is the dtype itself.
    fn caches_under(&self, dtype: ComputeDtype) -> Vec<Option<CacheDtype>> {
        match self.cache_dtypes.as_slice() {
            [] => vec![None],
            named => named.iter().map(|&kept| (kept != dtype.into()).then_some(kept)).collect(),
        }
    }

    /// Checks the lists against a model.
    ///
    /// # Errors
    /// If a list is empty, a value is zero or more than the model has positions for, or a retention policy does not go with
    /// the model.
    pub fn validate(&self, config: &DecoderConfig) -> Result<()> {
        let lists = [
            ("dtypes", self.dtypes.len()),
            ("retentions", self.retentions.len()),
            ("depths", self.depths.len()),
            ("contexts", self.contexts.len()),
            ("batches", self.batches.len()),
            ("phases", self.phases.len()),
        ];
        for (setting, length) in lists {
            if length == 0 {
                let expected = "needs at least one value".into();
                return Err(BenchError::Setting { setting, found: "empty".into(), expected });
            }
        }
        let limits = [
            ("depths", &self.depths, Self::MOST_DEPTH),
            ("contexts", &self.contexts, config.max_positions.saturating_sub(Self::LEAST_DECODED)),
            ("batches", &self.batches, Self::MOST_BATCH),
        ];
        for (setting, values, limit) in limits {
            if let Some(&value) = values.iter().find(|&&value| value == 0 || value > limit) {
                let expected = format!("must be from 1 to {limit} for this model");
                return Err(BenchError::Setting { setting, found: value.to_string(), expected });
            }
        }
        for (setting, value) in [("chunk", self.chunk), ("samples", self.timing.samples)] {
            if value == 0 || value > Self::MOST_COUNT {
                let expected = format!("must be from 1 to {}", Self::MOST_COUNT);
                return Err(BenchError::Setting { setting, found: value.to_string(), expected });
            }
        }
        for retention in &self.retentions {
            retention.validate(config).map_err(|error: Error| BenchError::Setting {
                setting: "retentions",
                found: retention.to_string(),
                expected: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// One token off the clock for the first one's sake, and one for its memory.
    const LEAST_DECODED: usize = 2;
    const MOST_DEPTH: usize = 4096;
    const MOST_BATCH: usize = 4096;
    const MOST_COUNT: usize = 1 << 20;

    /// Tokens decoded after a context before a sequence begins anew: few, so that samples stay near the context they are
    /// named after, and no more than the model has positions left for.
    pub(crate) fn decoded(context: usize, max_positions: usize) -> usize {
        (context / 8).max(16).min(max_positions - context)
    }
}
