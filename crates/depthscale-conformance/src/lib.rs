//! The suite that proves every burn backend computes what published looped language models compute.
//!
//! A *case* is a check of the decoder that is generic over burn's [`Backend`] and panics with what differed. [`cases`] lists
//! them all: outputs of published implementations ([`parity`]), early exits against a slow account of what must come out
//! ([`exits`]), batches, chunks and generation ([`batches`]), whole sequences as training runs them ([`unrolled`]), 16-bit computation ([`precision`]),
//! weights in fewer bits ([`weights`]), and the reasoning loop with a block, a mixer and a criterion of one's own ([`reasoning`]). The crate's own tests run them on
//! every backend of [`depthscale_backends`] that is compiled in; a backend of one's own is run like this:
//!
//! ```
//! use depthscale_backends::Flex;
//! use depthscale_conformance::{Site, Tolerance, cases};
//!
//! let site = Site::<Flex> { device: Default::default(), tolerance: Tolerance::Cpu };
//! for case in cases::<Flex>().iter().filter(|case| case.name == "chunks_equal_the_whole") {
//!     (case.run)(&site);
//! }
//! ```

pub mod batches;
pub mod exits;
pub mod models;
pub mod parity;
pub mod precision;
pub mod reasoning;
pub mod unrolled;
pub mod weights;

mod oracle;

use std::path::PathBuf;

use burn::tensor::backend::Backend;
use depthscale_backends::{BackendError, BackendKind, Device};
use depthscale_types::{Criterion, ExitPolicy, KvRetention};

/// Where cases run.
#[derive(Debug, Clone)]
pub struct Site<B: Backend> {
    /// The device.
    pub device: B::Device,
    /// How exact it is expected to be.
    pub tolerance: Tolerance,
}

/// How exact a backend is expected to be, and how much of the suite it can be asked in reasonable time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// A CPU: sums in nearly the order of the published implementations, exponentials from the standard library. Every
    /// combination of decoder, policy, retention and feeding is run.
    Cpu,
    /// A GPU or what computes like one: other orders of summation, fused multiplications and approximate exponentials. Every
    /// policy, retention and feeding is run on every decoder, but not every combination of the three.
    Gpu,
    /// A GPU that rounds the factors of its f32 products to TF32, see [`BackendKind::multiplies_in_tf32`]: as near as f16
    /// comes, whose mantissa it has. Every token takes as many steps as the others, since which step a criterion stops at
    /// hangs on values close to its threshold.
    Tf32,
}

impl Tolerance {
    /// What a device of that kind is held to.
    pub fn of(kind: BackendKind) -> Self {
        if kind.is_cpu() {
            Self::Cpu
        } else if kind.multiplies_in_tf32() {
            Self::Tf32
        } else {
            Self::Gpu
        }
    }

    /// The largest difference from a published output `x` in f32 after that many steps, over `1 + max |x|`.
    pub fn published(self, steps: usize) -> f64 {
        match self {
            Self::Cpu => depthscale_decoder::verify::F32_TOLERANCE,
            Self::Gpu => depthscale_decoder::verify::GPU_F32_TOLERANCE,
            Self::Tf32 => depthscale_decoder::verify::tf32_tolerance(steps),
        }
    }

    /// Whether tokens are expected to exit where they would elsewhere under a policy.
    pub(crate) fn compares_exits(self, policy: &ExitPolicy) -> bool {
        self != Self::Tf32 || policy.criterion == Criterion::Fixed
    }

    /// The largest difference between two ways of computing the same on one device, or from the oracle, over
    /// `1 + max |x|`.
    pub fn repeated(self) -> f64 {
        match self {
            Self::Cpu => 1e-4,
            Self::Gpu => 5e-4,
            // No run that is compared takes more steps; one way of two may multiply without rounding.
            Self::Tf32 => depthscale_decoder::verify::tf32_tolerance(3),
        }
    }

    /// The same under a retention policy. Where steps share a slot, what a token reads has gone through all steps of the tokens
    /// before it, and so has what rounding cost them. On an H200 the third token of a prompt under a shared slot was beyond the
    /// tolerance of three steps; flex computing in f16, whose mantissa is TF32's, is up to 4.3 times as far from the oracle there as at
    /// the first token. A slot that is shared after the prompt alone has kept to the tolerance.
    pub(crate) fn repeated_under(self, retention: KvRetention) -> f64 {
        match (self, retention) {
            (Self::Tf32, KvRetention::Shared | KvRetention::FirstThenShared) => 4.3 * self.repeated(),
            _ => self.repeated(),
        }
    }
}

/// A check that is generic over the backend.
#[derive(Debug, Clone)]
pub struct Case<B: Backend> {
    /// Its name.
    pub name: &'static str,
    /// Runs it; panics with what differed.
    pub run: fn(&Site<B>),
}

/// Every case.
pub fn cases<B: Backend>() -> Vec<Case<B>> {
    let case = |name, run| Case { name, run };
    vec![
        case("ouro_mha", |site| parity::matches_published(site, "ouro-mha")),
        case("ouro_gqa", |site| parity::matches_published(site, "ouro-gqa")),
        case("huginn_111", |site| parity::matches_published(site, "huginn-111")),
        case("huginn_242", |site| parity::matches_published(site, "huginn-242")),
        case("yoco_swa", |site| parity::matches_published(site, "yoco-swa")),
        case("yoco_gret", |site| parity::matches_published(site, "yoco-gret")),
        case("yoco_u_gqa", |site| parity::matches_published(site, "yoco-u-gqa")),
        case("exits_equal_the_oracle", exits::equal_the_oracle),
        case("ragged_batches_equal_sequences_alone", batches::equal_sequences_alone),
        case("chunks_equal_the_whole", batches::chunks_equal_the_whole),
        case("approximate_prefill_is_named_so", batches::approximate_prefill_is_named_so),
        case("requests_get_the_tokens_they_would_get_alone", batches::requests_get_their_own_tokens),
        case("random_states_follow_the_request", batches::random_states_follow_the_request),
        case("unrolled_steps_equal_runs", unrolled::steps_equal_runs),
        case("long_contexts_grow_and_wrap_caches", batches::long_contexts_grow_and_wrap_caches),
        case("backends_pass_their_own_check", batches::backends_pass_their_own_check),
        case("sixteen_bits_stay_near_published_outputs", precision::stays_near_published),
        case("caches_in_fewer_bits_stay_near_published_outputs", precision::rounded_caches_stay_near_published),
        case("a_trained_model_answers_in_every_dtype", precision::trained_model_answers),
        case("packed_weights_equal_the_same_numbers", weights::packed_equal_the_same_numbers),
        case("an_own_block_is_refined_until_it_converges", reasoning::refines_until_converged),
        case("an_own_mixer_and_criterion_run_inside", reasoning::own_mixer_and_criterion),
    ]
}

/// The device of a backend; `None`, and a line that says so, where there is none. Where the environment's
/// `DEPTHSCALE_REQUIRE` names the backend (`wgpu,cuda`) that is a failure, so that a machine that should have an adapter
/// cannot pass without one.
///
/// # Panics
/// If the device is required and not there, or is there and does not compute.
pub fn device(kind: BackendKind) -> Option<Device> {
    match kind.probe() {
        Ok(device) => Some(device),
        Err(error @ BackendError::NoDevice { .. }) => {
            let required = std::env::var("DEPTHSCALE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == kind.name()), "{error}");
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A model of the repository's `fixtures/`, or of the folder that `DEPTHSCALE_FIXTURES` names.
pub fn fixture(name: &str) -> PathBuf {
    let folder = match std::env::var_os("DEPTHSCALE_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"),
    };
    folder.join(name)
}

/// The largest difference between two lists over `1 + max |b|`.
///
/// # Panics
/// If they differ in length.
pub(crate) fn relative_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0f64, |largest, b| largest.max(f64::from(b.abs())));
    let difference = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    difference / (1.0 + largest)
}
