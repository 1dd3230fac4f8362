//! Memory as predicted from a config and as measured, on every backend that is compiled in.
//!
//! One test in a binary of its own: the count of the CPU's memory is the whole program's.

use std::time::Duration;

use depthscale_backends::{BackendKind, CountingAllocator, Device};
use depthscale_bench::{Benchmark, Build, Event, Phase, Plan, Record, Subject, Timing};
use depthscale_conformance::device;
use depthscale_decoder::Published;
use depthscale_types::{CacheDtype, DecoderConfig, KvRetention};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(std::alloc::System);

/// The most by which prediction and measurement may differ.
const TOLERANCE: f64 = 0.15;

/// Ouro's parts with 58.7M parameters, no single one of which is more than a software adapter takes.
fn config() -> DecoderConfig {
    let json = r#"{"model_type": "ouro", "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 2048,
        "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "total_ut_steps": 4}"#;
    Published::parse(json, "58.7M").expect("a published config").config
}

fn plan(config: &DecoderConfig, device: &Device) -> Plan {
    // Prompts long enough for caches to weigh something, where that takes no minutes.
    let context = if device.kind.is_cpu() { 256 } else { 32 };
    let timing = Timing { warm_up: Duration::ZERO, samples: 1, budget: Duration::ZERO };
    Plan { depths: vec![1, 4], contexts: vec![context], chunk: 64, timing, ..Plan::quick(config) }
}

fn measure(device: &Device) -> Vec<Record> {
    let config = config();
    assert!(config.parameter_count() >= 50_000_000);
    let per_step = plan(&config, device);
    // Its prompts are read token by token, which takes long and shows nothing more.
    let shared = Plan { retentions: vec![KvRetention::Shared], phases: vec![Phase::Decode], ..plan(&config, device) };
    let mut plans = vec![per_step, shared];
    let cache_dtypes = in_fewer_bits(device);
    if !cache_dtypes.is_empty() {
        plans.push(Plan { cache_dtypes, depths: vec![4], ..plan(&config, device) });
    }
    plans.into_iter().flat_map(|plan| run(device, plan)).collect()
}

/// What the device keeps caches in beside f32.
fn in_fewer_bits(device: &Device) -> Vec<CacheDtype> {
    [CacheDtype::F16, CacheDtype::Q8].into_iter().filter(|&dtype| device.check_caches(dtype).is_ok()).collect()
}

fn run(device: &Device, plan: Plan) -> Vec<Record> {
    let config = config();
    let subject = Subject::Shape { name: "58.7M".into(), config: Box::new(config) };
    let benchmark = Benchmark::new(subject, plan, Build::this(&[])).expect("the plan goes with the model");
    let mut records = Vec::new();
    let outcome = benchmark.run(std::slice::from_ref(device), &mut |event| {
        match event {
            Event::Measured(record) => records.push(record.clone()),
            Event::Skipped(_, _, _, _, why) => panic!("{why}"),
            _ => {}
        }
        Ok(())
    });
    outcome.expect("it runs");
    records
}

fn near(measured: u64, predicted: u64) -> bool {
    (measured as f64 / predicted as f64 - 1.0).abs() <= TOLERANCE
}

fn check(record: &Record) {
    let predicted = record.memory.predicted;
    let measured = record.memory.measured.expect("every backend counts here");
    let caches = predicted.global_kv + predicted.per_step_kv;
    // Pools keep no peak: what they hold after a run is all but the activations.
    let comparable = match measured.activations {
        Some(_) => predicted.total(),
        None => predicted.total() - predicted.activations,
    };
    println!("{} {:?}: {measured:?}, predicted {predicted:?}", record.device.backend, record.case);
    assert!(near(measured.total(), comparable), "in all {} of {comparable}", measured.total());
    assert!(near(measured.weights, predicted.weights), "weights");
    assert!(near(measured.caches, caches), "caches {} of {caches}", measured.caches);
    if let Some(reserved) = measured.reserved {
        assert!(reserved >= measured.total(), "pools hold what is in use");
    }
}

/// Caches of decoding at a depth.
fn caches(records: &[Record], retention: KvRetention, depth: usize) -> f64 {
    let is_it = |record: &&Record| {
        let case = record.case;
        (case.phase, case.retention, case.depth, case.cache_dtype) == (Phase::Decode, retention, depth, None)
    };
    let record = records.iter().find(is_it).expect("it was measured");
    record.memory.measured.expect("counted").caches as f64
}

#[test]
fn prediction_and_measurement_agree() {
    for kind in BackendKind::compiled_in() {
        let Some(device) = device(kind) else { continue };
        let records = measure(&device);
        assert_eq!(records.len(), 6 + 2 * in_fewer_bits(&device).len());
        records.iter().for_each(check);
        // Weights are shared by all steps. What grows is a slot for every step.
        let growth = |retention| caches(&records, retention, 4) / caches(&records, retention, 1);
        assert!((growth(KvRetention::PerStep) - 4.0).abs() < 0.2, "{}", growth(KvRetention::PerStep));
        assert!((growth(KvRetention::Shared) - 1.0).abs() < 0.05, "{}", growth(KvRetention::Shared));
    }
}
