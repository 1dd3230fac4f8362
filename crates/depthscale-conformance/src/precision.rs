//! Computation in 16 bits.

use std::ops::ControlFlow;

use burn::tensor::DType;
use burn::tensor::backend::Backend;
use depthscale_checkpoint::Checkpoint;
use depthscale_decoder::build::float_dtype;
use depthscale_decoder::generate::{GenerateOptions, Request, generate};
use depthscale_decoder::verify::{Tolerance as Allowed, VerifyPath, rounding_tolerance, verify};
use depthscale_decoder::{DecoderError, ExitRule, ModelDirectory, RecurrentDecoder, SequenceOptions};
use depthscale_kernels::KeptRows;
use depthscale_types::{CacheDtype, ComputeDtype, SamplingParams};

use crate::{Site, fixture};

/// One fixture of each kind: grouped heads, injection, a window, gated retention.
const FIXTURES: [&str; 4] = ["ouro-gqa", "huginn-242", "yoco-swa", "yoco-gret"];

/// In f16 and bf16, where the device has them, logits and states stay near the published ones of f32. A dtype that it
/// does not have is refused with an error.
///
/// # Panics
/// With what differed.
pub fn stays_near_published<B: Backend>(site: &Site<B>) {
    for dtype in [ComputeDtype::F16, ComputeDtype::Bf16] {
        for name in FIXTURES {
            let Some(decoder) = open(site, name, dtype) else { continue };
            let expected = fixture(name).join("expected.safetensors");
            let expected = Checkpoint::open_file(&expected).expect("outputs are there");
            let allowed = |steps| rounding_tolerance(dtype, steps);
            stays_near(&decoder, &expected, &format!("{name} {dtype}"), (VerifyPath::Cached, None), allowed);
        }
    }
}

/// With caches in f16, bf16 and q8, where the device has them, logits and states that are computed in f32 stay near the published ones,
/// fed in chunks, token by token, and without earlier tokens. Where it has not, a sequence is refused with an error.
///
/// # Panics
/// With what differed.
pub fn rounded_caches_stay_near_published<B: Backend>(site: &Site<B>) {
    for dtype in [CacheDtype::F16, CacheDtype::Bf16, CacheDtype::Q8] {
        for name in FIXTURES.into_iter().chain(["yoco-u-gqa"]) {
            let decoder = open(site, name, ComputeDtype::F32).expect("every device computes in f32");
            let options = SequenceOptions { cache_dtype: Some(dtype), ..SequenceOptions::default() };
            if let Err(error) = decoder.new_sequence(options) {
                assert!(!KeptRows::<B>::keeps(&site.device, dtype), "{error}");
                assert!(matches!(error, DecoderError::CacheDtype { dtype: refused } if refused == dtype), "{error}");
                continue;
            }
            let expected = fixture(name).join("expected.safetensors");
            let expected = Checkpoint::open_file(&expected).expect("outputs are there");
            let allowed = |steps| site.tolerance.published(steps).max(rounding_tolerance(dtype, steps));
            for path in [VerifyPath::Cached, VerifyPath::ExactForward] {
                let context = format!("{name}, caches in {dtype}");
                stays_near(&decoder, &expected, &context, (path, Some(dtype)), allowed);
            }
        }
    }
}

/// Logits and states are within what is allowed after so many steps, with caches in a dtype.
pub(crate) fn stays_near<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    expected: &Checkpoint,
    context: &str,
    (path, caches): (VerifyPath, Option<CacheDtype>),
    allowed: impl Fn(usize) -> f64,
) {
    let comparisons = verify(decoder, expected, path, caches, Allowed::Largest(1.0), &mut |_| {});
    let comparisons = comparisons.expect("the fixture can be compared");
    let mut compared = 0;
    for comparison in comparisons {
        // Exit values subtract what is nearly equal, and the best of two logits that are near one another may change.
        let entry = &comparison.entry;
        if !entry.starts_with("logits") && !entry.starts_with("state") && !entry.starts_with("self_out") {
            continue;
        }
        let steps = steps_of(entry).unwrap_or(decoder.config().depth);
        let allowed = allowed(steps) * (1.0 + comparison.magnitude);
        println!("{context} {} {entry} {:.2e} of {allowed:.2e}", path.name(), comparison.difference);
        assert!(comparison.difference <= allowed, "{context}: {comparison:?} of {allowed}");
        compared += 1;
    }
    assert!(compared >= 2, "{context}: {compared} entries were compared");
}

/// The trained checkpoint adds two numbers in every dtype of the device, and with caches in q8 where it keeps them: training makes
/// it draw states to the answer, and then rounding does not decide.
///
/// # Panics
/// With what was answered.
pub fn trained_model_answers<B: Backend>(site: &Site<B>) {
    const PROBLEMS: [(u32, u32); 8] = [(53, 93), (1, 38), (47, 24), (34, 72), (55, 20), (22, 78), (71, 80), (47, 38)];
    let in_bytes =
        KeptRows::<B>::keeps(&site.device, CacheDtype::Q8).then_some((ComputeDtype::F32, Some(CacheDtype::Q8)));
    for (dtype, cache_dtype) in ComputeDtype::ALL.map(|dtype| (dtype, None)).into_iter().chain(in_bytes) {
        let Some(decoder) = open(site, "ouro-arith", dtype) else { continue };
        let rule = ExitRule::new(&"q-exit:0.9".parse().expect("a policy")).expect("valid");
        let request = |(id, (a, b)): (usize, (u32, u32))| Request {
            id: id as u64,
            prompt: characters(&format!("\n{a}+{b}=")),
            max_new_tokens: 4,
            sampling: SamplingParams::default(),
            end_tokens: characters("\n"),
        };
        let requests: Vec<Request> = PROBLEMS.into_iter().enumerate().map(request).collect();
        let options = GenerateOptions { cache_dtype, ..GenerateOptions::new(&rule) };
        let output = generate(&decoder, &requests, &options, &mut |_, _| ControlFlow::Continue(()));
        for ((a, b), generation) in PROBLEMS.into_iter().zip(output.expect("generates").generations) {
            assert_eq!(
                generation.ids(),
                characters(&(a + b).to_string()),
                "{a}+{b} in {dtype}, caches {cache_dtype:?}"
            );
        }
    }
}

/// A fixture in a dtype; `None` if the device does not have it, which must be said in an error.
fn open<B: Backend>(site: &Site<B>, name: &str, dtype: ComputeDtype) -> Option<RecurrentDecoder<B>> {
    let supported = B::supports_dtype(&site.device, DType::from(float_dtype(dtype)));
    let directory = ModelDirectory::open(&fixture(name)).expect("the fixture opens").with_dtype(dtype);
    match directory.load(&site.device, &mut |_| {}) {
        Ok(decoder) => {
            assert!(supported && decoder.dtype() == dtype);
            Some(decoder)
        }
        Err(error) => {
            assert!(!supported, "{dtype} is there: {error}");
            assert!(error.to_string().contains(&format!("does not compute in {dtype}")), "{error}");
            println!("{dtype}: {error}");
            None
        }
    }
}

/// The steps after which an output was recorded, from its name.
fn steps_of(entry: &str) -> Option<usize> {
    let (name, number) = entry.rsplit_once('_')?;
    let number: usize = number.parse().ok()?;
    match name {
        "logits_step" => Some(number + 1),
        "logits_steps" | "logits_loops" | "logits_zero_init_steps" | "self_out_loops" => Some(number),
        _ => None,
    }
}

/// The tokens of the trained checkpoint: the newline is 1, digits follow from 2, then `+`, `*` and `=`.
fn characters(text: &str) -> Vec<u32> {
    let token = |character: char| match character {
        '\n' => 1,
        '+' => 12,
        '=' => 14,
        digit => digit.to_digit(10).expect("a digit") + 2,
    };
    text.chars().map(token).collect()
}
