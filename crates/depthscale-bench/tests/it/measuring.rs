//! Measuring the small checkpoint of the repository on the processor.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use depthscale_backends::BackendKind;
use depthscale_bench::{BenchError, Benchmark, Build, Event, Phase, Plan, Record, Subject, Timing};
use depthscale_types::{CacheDtype, ComputeDtype, KvRetention, WeightFormat};

fn subject() -> Subject {
    Subject::Directory(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ouro-arith"))
}

fn plan() -> Plan {
    let config = subject().config().expect("the fixture opens");
    let timing = Timing { warm_up: Duration::ZERO, samples: 2, budget: Duration::ZERO };
    Plan { contexts: vec![16], timing, ..Plan::quick(&config) }
}

/// One measures at a time: runs beside one another take each other's threads.
static MEASURING: Mutex<()> = Mutex::new(());

fn run(plan: Plan) -> (Vec<Record>, Vec<String>) {
    // There is nothing behind it that a failed test could have spoiled.
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut records, mut skipped) = (Vec::new(), Vec::new());
    let benchmark = Benchmark::new(subject(), plan, Build::this(&["flex"])).expect("the plan goes with the model");
    let device = BackendKind::Flex.probe().expect("the processor is there");
    let outcome = benchmark.run(&[device], &mut |event| {
        match event {
            Event::Measured(record) => records.push(record.clone()),
            Event::Skipped(_, _, _, _, why) => skipped.push(why),
            _ => {}
        }
        Ok(())
    });
    outcome.expect("it runs");
    (records, skipped)
}

#[test]
fn every_combination_is_measured_once() {
    let plan = Plan {
        depths: vec![1, 4],
        batches: vec![1, 3],
        retentions: vec![KvRetention::PerStep, KvRetention::Shared],
        ..plan()
    };
    let (records, skipped) = run(plan);
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(records.len(), 2 * 2 * 2 * 2);
    assert_eq!(depthscale_bench::latest(&records).len(), records.len(), "no case twice");
    for record in &records {
        let case = record.case;
        let tokens = if case.phase == Phase::Prefill { 16 * case.batch } else { case.batch };
        assert_eq!(record.work.tokens, tokens as u64);
        // Two layers in the loop, every step of every token.
        assert_eq!(record.work.evaluations.total(), (2 * case.depth * tokens) as u64, "{case:?}");
        assert_eq!(record.seconds.len(), 2);
        assert_eq!((record.model.name.as_str(), record.model.random), ("ouro-arith", false));
    }
}

#[test]
fn deeper_costs_more() {
    let timing = Timing { warm_up: Duration::from_millis(50), samples: 20, budget: Duration::from_secs(5) };
    let (records, _) = run(Plan { depths: vec![1, 16], phases: vec![Phase::Decode], timing, ..plan() });
    let [once, sixteen] = records.as_slice() else { panic!("two cases") };
    let fastest = |record: &Record| record.seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = fastest(sixteen) / fastest(once);
    // Sixteen times the blocks beside embedding, head and what every call costs; the fastest, for others may use the machine.
    assert!((2.0..64.0).contains(&ratio), "{ratio}");
}

#[test]
fn the_longest_context_is_measured() {
    let timing = Timing { warm_up: Duration::ZERO, samples: 5, budget: Duration::from_secs(5) };
    let (records, skipped) = run(Plan { contexts: vec![62], timing, ..plan() });
    assert_eq!((records.len(), skipped.len()), (2, 0), "{skipped:?}");
    // Two tokens fit: the sequences begin anew.
    assert_eq!(records[1].seconds.len(), 5);
}

#[test]
fn plans_that_do_not_go_with_the_model_are_refused() {
    let refused = |plan| Benchmark::new(subject(), plan, Build::this(&[])).expect_err("refused").to_string();
    assert!(refused(Plan { depths: Vec::new(), ..plan() }).contains("depths is empty"));
    assert!(refused(Plan { depths: vec![1, 0], ..plan() }).contains("depths is 0: must be from 1"));
    // 64 positions, and two tokens are decoded at the least.
    assert!(refused(Plan { contexts: vec![63], ..plan() }).contains("contexts is 63: must be from 1 to 62"));
    assert!(refused(Plan { batches: vec![0], ..plan() }).contains("batches is 0"));
    assert!(refused(Plan { chunk: 0, ..plan() }).contains("chunk is 0"));
}

#[test]
fn what_does_not_work_on_a_device_is_skipped_and_told() {
    let (records, skipped) = run(Plan { batches: vec![1, 4096], depths: vec![1024], contexts: vec![48], ..plan() });
    // 4096 sequences at 1024 steps need some 400 GB.
    assert_eq!(records.len(), 2);
    assert_eq!(skipped.len(), 2);
    assert!(skipped[0].contains("predicted to need"), "{skipped:?}");
}

#[test]
fn whoever_is_told_may_stop_it() {
    let benchmark = Benchmark::new(subject(), plan(), Build::this(&[])).expect("the plan goes with the model");
    let device = BackendKind::Flex.probe().expect("the processor is there");
    let stop = benchmark.run(&[device], &mut |event| match event {
        Event::Measuring(..) => Err(BenchError::Stopped),
        _ => Ok(()),
    });
    assert!(matches!(stop, Err(BenchError::Stopped)));
}

#[test]
fn caches_are_measured_in_their_own_right() {
    let cache_dtypes = vec![CacheDtype::F32, CacheDtype::F16];
    let (records, skipped) = run(Plan { cache_dtypes, phases: vec![Phase::Decode], ..plan() });
    assert!(skipped.is_empty(), "{skipped:?}");
    let [whole, half] = records.as_slice() else { panic!("two cases") };
    assert_eq!((whole.case.cache_dtype, half.case.cache_dtype), (None, Some(CacheDtype::F16)));
    assert_eq!(whole.memory.predicted.per_step_kv, 2 * half.memory.predicted.per_step_kv);
    assert!(whole.work.least.bytes > half.work.least.bytes);
}

#[test]
fn dtypes_and_weight_formats_are_measured_in_their_own_right() {
    let (records, _) = run(Plan { dtypes: vec![ComputeDtype::F32, ComputeDtype::F16], ..plan() });
    let formats = |records: &[Record]| records.iter().map(|record| record.case.weights).collect::<Vec<_>>();
    let halves = formats(&records);
    assert!(halves.contains(&WeightFormat::F32) && halves.contains(&WeightFormat::F16));
    let (blocks, skipped) = run(Plan { weights: vec![WeightFormat::Q8, WeightFormat::Q4], ..plan() });
    assert!(
        formats(&blocks).contains(&WeightFormat::Q8) && formats(&blocks).contains(&WeightFormat::Q4),
        "{skipped:?}"
    );
    for record in records.iter().chain(&blocks) {
        let expected = record.model.config.parameter_bytes(record.case.weights);
        assert_eq!(record.memory.predicted.weights, expected);
    }
    let (none, skipped) = run(Plan { dtypes: vec![ComputeDtype::F16], weights: vec![WeightFormat::Q8], ..plan() });
    assert!(none.is_empty() && skipped[0].contains("weights q8 does not go with dtype f16"), "{skipped:?}");
}
