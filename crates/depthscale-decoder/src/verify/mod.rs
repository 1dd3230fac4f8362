//! Comparison with what a published implementation computed.
//!
//! An expected file holds `input_ids` and outputs for them, see [`verify`]. Two paths are compared: recomputation, in
//! which every call begins with empty caches, and the cached path, fed in chunks and then token by token.

mod entries;
mod own;
mod runs;

pub use own::own_outputs;

use burn::module::Module;
use burn::tensor::backend::Backend;
use depthscale_checkpoint::Checkpoint;
use depthscale_types::{CacheDtype, ComputeDtype, WeightFormat};

use crate::block::RecurrentBlock;
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use entries::{Entry, EntryKind};
use runs::Runs;

/// How outputs are computed before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerifyPath {
    /// Every call begins with empty caches and takes whole sequences.
    ExactForward,
    /// Sequences are fed in chunks, then token by token.
    Cached,
}

impl VerifyPath {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactForward => "exact",
            Self::Cached => "cached",
        }
    }
}

/// The comparison of one entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The entry's name in the expected file.
    pub entry: String,
    /// How the outputs were computed.
    pub path: VerifyPath,
    /// Largest absolute difference, or the relative error where [`Tolerance::Relative`] asks for it; for token ids, the number
    /// that differ.
    pub difference: f64,
    /// The largest difference allowed; infinite where there is no limit.
    pub tolerance: f64,
    /// Largest magnitude in the expected values; 0 for token ids.
    pub magnitude: f64,
}

impl Comparison {
    /// Whether token ids were compared.
    pub fn is_of_tokens(&self) -> bool {
        self.magnitude == 0.0 && self.entry.starts_with("greedy")
    }

    /// Whether the difference is within the tolerance.
    pub fn passes(&self) -> bool {
        self.difference.is_finite() && self.difference <= self.tolerance
    }
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Differences up to this times one plus the largest expected magnitude, see [`F32_TOLERANCE`].
    Largest(f64),
    /// Logits whose error relative to the expected ones, as roots of sums of squares, is up to this; the rest, and logits of
    /// steps that a gate chooses, is compared without a limit. For weights in blocks, see [`blocks_tolerance`].
    Relative(f64),
}

/// The relative error of logits that weights in blocks are meant to stay within: 2% in 8 bits, 8% in 4.
///
/// Trained models do. Rounding a matrix of normal draws costs a product about 0.5% and 8%, and random models multiply that
/// from block to block: by 5 over three layers of the `ouro-mha` fixture, by 12 in `yoco-gret`.
pub fn blocks_tolerance(weights: WeightFormat) -> Option<f64> {
    match weights {
        WeightFormat::Q8 => Some(0.02),
        WeightFormat::Q4 => Some(0.08),
        WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16 => None,
    }
}

/// Relative tolerance for f32: differences up to this times one plus the largest reference magnitude.
pub const F32_TOLERANCE: f64 = 2e-4;

/// The same on GPUs and what computes like them: other orders of summation, fused multiplications and approximate
/// exponentials.
pub const GPU_F32_TOLERANCE: f64 = 1e-3;

/// The largest difference in fewer bits from a published f32 output `x` after that many steps, over `1 + max |x|`:
/// `8 u steps^1.5`, but no more than a half, past which nothing would fail; in f32 [`F32_TOLERANCE`].
///
/// `u` is `2^-11` for f16, `2^-8` for bf16 and a 254th for q8, what one rounding may cost. Weights, products and caches, or some of
/// them, are rounded, the hidden stream is not: one step costs a few units. The fixtures' weights are random, so that nothing draws a
/// state back to where it should be, and each step adds to the errors it is fed. Their growth was measured on flex and on WGPU, which
/// agree to two digits since it is the rounding of the weights that decides: 4.7, 9.0, 27 and 103 units after 1, 2, 4
/// and 8 steps of the fixture that grows fastest.
pub fn rounding_tolerance(dtype: impl Into<CacheDtype>, steps: usize) -> f64 {
    let unit = match dtype.into() {
        CacheDtype::F32 => return F32_TOLERANCE,
        CacheDtype::F16 => 1.0 / 2048.0,
        CacheDtype::Bf16 => 1.0 / 256.0,
        CacheDtype::Q8 => 1.0 / 254.0,
    };
    (8.0 * unit * (steps as f64).powf(1.5)).min(0.5)
}

/// The largest difference in f32 from a published output `x` after that many steps, over `1 + max |x|`, on a device that
/// rounds the factors of its products to TF32: that of f16, whose mantissa TF32 has.
pub fn tf32_tolerance(steps: usize) -> f64 {
    rounding_tolerance(ComputeDtype::F16, steps)
}

/// Compares a decoder with an expected file, entry by entry. Entries, for `input_ids` of `[batch, seq]`:
///
/// | entry | what it holds |
/// |---|---|
/// | `logits_step_k` | logits after loop `k`, counted from 0 |
/// | `gates` | the exit gate before its sigmoid after every loop, `[batch, seq, loops]` |
/// | `logits_q_x` | for each position the logits of the step at which the cumulative gate reaches `x`, of a full run |
/// | `logits_weighted` | the mean of all steps' logits weighted by the gate's exit distribution |
/// | `logits_steps_k`, `logits_loops_k` | logits after `k` steps, from `s0` where the file has it |
/// | `logits_zero_init_steps_k` | the same from the zero state |
/// | `state_after_r`, `self_out_loops_k` | the state after the config's depth, after `k` steps |
/// | `criterion_NAME` | the exit value after every step, `[batch, seq, steps]` |
/// | `greedy`, `greedy_zero_init` | token ids that follow greedily at the config's depth |
///
/// Token ids must be equal under [`Tolerance::Largest`]. Keys and values are kept in `cache_dtype`, or as
/// [`SequenceOptions`](crate::SequenceOptions) says without one.
///
/// # Errors
/// If the file has no `input_ids`, an entry of another name or shape, or the decoder refuses the inputs or the caches.
pub fn verify<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    expected: &Checkpoint,
    path: VerifyPath,
    cache_dtype: Option<CacheDtype>,
    tolerance: Tolerance,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Comparison>> {
    let mut runs = Runs::new(decoder, expected, path, cache_dtype)?;
    let mut entries = Vec::new();
    for name in expected.names().filter(|name| !matches!(*name, "input_ids" | "s0")) {
        entries.push(Entry::parse(name, decoder.config()).ok_or_else(|| DecoderError::Expected {
            path: expected.path().to_path_buf(),
            message: format!("entry {name} is not one that can be compared with this model"),
        })?);
    }
    if entries.is_empty() {
        let message = "holds no entry to compare with".into();
        return Err(DecoderError::Expected { path: expected.path().to_path_buf(), message });
    }
    if matches!(tolerance, Tolerance::Relative(_)) && !entries.iter().any(|entry| entry.kind.is_logits()) {
        let message = "holds no logits, which are what weights in blocks are held to".into();
        return Err(DecoderError::Expected { path: expected.path().to_path_buf(), message });
    }
    let mut comparisons = Vec::with_capacity(entries.len());
    for entry in entries {
        progress(&entry.name);
        let (difference, magnitude) = match &entry.kind {
            EntryKind::Greedy { zero_initial_state } => {
                let (ids, shape) = runs.expected_ids(&entry.name)?;
                runs.check_batch(&entry.name, &shape)?;
                let found = runs.greedy(shape[1], *zero_initial_state)?;
                (found.iter().zip(&ids).filter(|(found, expected)| found != expected).count() as f64, 0.0)
            }
            kind => {
                let found = runs.values(kind)?;
                let expected = expected.read_f32(&entry.name, &found.shape)?;
                let difference = match tolerance {
                    Tolerance::Largest(_) => largest_difference(&found.values, &expected),
                    Tolerance::Relative(_) => relative_error(&found.values, &expected),
                };
                (difference, largest_magnitude(&expected))
            }
        };
        let tolerance = match (tolerance, &entry.kind) {
            (Tolerance::Largest(_), EntryKind::Greedy { .. }) => 0.0,
            (Tolerance::Largest(tolerance), _) => tolerance * (1.0 + magnitude),
            (Tolerance::Relative(tolerance), kind) if kind.is_logits() => tolerance,
            (Tolerance::Relative(_), _) => f64::INFINITY,
        };
        comparisons.push(Comparison { entry: entry.name, path, difference, tolerance, magnitude });
    }
    Ok(comparisons)
}

/// Values with their shape.
pub(crate) struct Values {
    pub(crate) values: Vec<f32>,
    pub(crate) shape: Vec<usize>,
}

/// Infinite where either side is not a number, so that it never passes.
fn largest_difference(found: &[f32], expected: &[f32]) -> f64 {
    let difference = |(a, b): (&f32, &f32)| {
        let difference = f64::from((a - b).abs());
        if difference.is_nan() { f64::INFINITY } else { difference }
    };
    found.iter().zip(expected).map(difference).fold(0.0, f64::max)
}

/// The root of the differences' squares over that of the expected values'; infinite where either side is not a number.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let differences = squares(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    let of_expected = squares(&mut expected.iter().map(|value| f64::from(*value)));
    match differences / of_expected {
        relative if relative.is_finite() => relative,
        // No difference from nothing but zeros.
        _ if differences == 0.0 => 0.0,
        _ => f64::INFINITY,
    }
}

fn largest_magnitude(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max)
}
