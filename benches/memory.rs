//! Peak resident memory against depth, with one slot shared by all steps and with a slot for each.
//!
//! `cargo bench -p depthscale-benches --bench memory`. Every figure is the peak of a process of its own, which loads a model
//! of 21M parameters, reads 256 tokens and generates 64.

use std::ops::ControlFlow;
use std::process::Command;

use burn_flex::Flex;
use depthscale_bench::Preset;
use depthscale_decoder::generate::{GenerateOptions, Request, generate};
use depthscale_decoder::{ExitRule, Prefill};
use depthscale_types::{CacheDtype, KvRetention, MemoryQuery, SamplingParams, WeightFormat};

const PROMPT: usize = 256;
const GENERATED: usize = 64;
const CHUNK: usize = 64;
const DEPTHS: [usize; 4] = [1, 4, 16, 64];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--measure") {
        Some(at) => measure(&arguments[at + 1], &arguments[at + 2]),
        None => report(),
    }
}

/// Runs at one depth and prints the peak.
fn measure(retention: &str, depth: &str) {
    let retention: KvRetention = retention.parse().unwrap_or_else(|error| panic!("{error}"));
    let depth = depth.parse().unwrap_or_else(|error| panic!("{error}"));
    let decoder = depthscale_benches::random::<Flex>(Preset::Small20m.config(), &Default::default());
    let rule = ExitRule::fixed(depth);
    let request = Request {
        id: 0,
        prompt: (0..PROMPT as u32).map(|i| i * 7919 % 8192).collect(),
        max_new_tokens: GENERATED,
        sampling: SamplingParams::default(),
        end_tokens: Vec::new(),
    };
    // Together, so that every depth computes the same rows at once.
    let options = GenerateOptions {
        retention,
        chunk: CHUNK,
        prefill: Prefill::ApproximateParallel,
        ..GenerateOptions::new(&rule)
    };
    let output = generate(&decoder, &[request], &options, &mut |_, _| ControlFlow::Continue(()));
    let generations = output.unwrap_or_else(|error| panic!("{error}")).generations;
    assert_eq!(generations[0].tokens.len(), GENERATED);
    println!("{}", depthscale_backends::peak_resident_bytes().unwrap_or(0));
}

fn report() {
    let config = Preset::Small20m.config();
    println!("{} parameters, {PROMPT} + {GENERATED} tokens, f32, flex", config.parameter_count());
    println!("{:<10} {:>6} {:>14} {:>14} {:>10}", "retention", "depth", "peak MiB", "predicted MiB", "to depth 1");
    for retention in [KvRetention::Shared, KvRetention::PerStep] {
        let mut first = None;
        for depth in DEPTHS {
            let peak = peak(retention, depth);
            let predicted = config.predict_memory(&MemoryQuery {
                context: PROMPT + GENERATED,
                batch: 1,
                depth,
                chunk: CHUNK,
                retention,
                weights: WeightFormat::F32,
                caches: CacheDtype::F32,
            });
            let ratio = peak / *first.get_or_insert(peak);
            let mib = |bytes: f64| bytes / f64::from(1 << 20);
            let (peak, predicted) = (mib(peak), mib(predicted.total() as f64));
            println!("{:<10} {depth:>6} {peak:>14.1} {predicted:>14.1} {ratio:>10.3}", retention.name());
        }
    }
}

fn peak(retention: KvRetention, depth: usize) -> f64 {
    let itself = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(itself)
        .args(["--measure", retention.name(), &depth.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("{error}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.trim().parse().unwrap_or_else(|_| panic!("no figure: {printed}{}", String::from_utf8_lossy(&output.stderr)))
}
