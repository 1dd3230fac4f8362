//! Results: what is written is read back, what is not ours is refused with its line, comparisons and reports say what is in
//! them.

mod comparing;
mod files;
mod measuring;
mod reporting;

use depthscale_bench::{
    Build, Case, CaseMemory, CaseWork, Ceiling, FORMAT, Machine, MeasuredDevice, Model, Phase, Preset, Record, Timing,
};
use depthscale_types::{
    BlockEvaluations, CacheDtype, ComputeDtype, KvRetention, MeasuredMemory, MemoryQuery, WeightFormat, Work,
};

/// A decoded token of one sequence in a tenth of a second: 100 MB and 50 MFLOP, on a device of 10 GB/s and 1 GFLOP/s.
fn record() -> Record {
    let config = Preset::Small20m.config();
    let case = Case {
        phase: Phase::Decode,
        dtype: ComputeDtype::F32,
        weights: WeightFormat::F32,
        cache_dtype: None,
        retention: KvRetention::PerStep,
        depth: 4,
        context: 128,
        batch: 1,
        chunk: 512,
    };
    let query = MemoryQuery {
        context: 144,
        batch: 1,
        depth: 4,
        chunk: 1,
        retention: KvRetention::PerStep,
        weights: WeightFormat::F32,
        caches: CacheDtype::F32,
    };
    Record {
        format: FORMAT.into(),
        started: "2026-11-25T12:00:00Z".parse().expect("a time"),
        machine: Machine {
            os: "an <os>".into(),
            arch: "x86_64".into(),
            processor: "a processor".into(),
            threads: 2,
            memory: 8 << 30,
        },
        build: Build {
            version: "0.1.0".into(),
            revision: None,
            burn: "0.21.0".into(),
            rustc: "1.95.0".into(),
            target: "x86_64-unknown-linux-gnu".into(),
            opt_level: "3".into(),
            features: vec!["flex".into()],
        },
        device: MeasuredDevice { backend: "flex".into(), name: "a processor".into(), class: "cpu".into() },
        model: Model {
            name: "small-20m".into(),
            family: config.family.to_string(),
            parameters: config.parameter_count(),
            random: true,
            config: config.clone(),
        },
        case,
        work: CaseWork {
            tokens: 1,
            evaluations: BlockEvaluations { prelude: 0, core: 32, readout: 0 },
            least: Work { flops: 50_000_000, bytes: 100_000_000 },
        },
        timing: Timing::default(),
        seconds: vec![0.1, 0.08, 0.12, 0.1, 0.1],
        ceiling: Ceiling { bytes_per_second: 10e9, flops_per_second: 1e9 },
        memory: CaseMemory {
            query,
            predicted: config.predict_memory(&query),
            measured: Some(MeasuredMemory {
                weights: 82 << 20,
                caches: 14 << 20,
                activations: Some(1 << 20),
                reserved: None,
            }),
        },
    }
}

/// The same case at another depth, so many times as fast.
fn at_depth(depth: usize, faster: f64) -> Record {
    let record = record();
    let seconds = record.seconds.iter().map(|seconds| seconds / faster).collect();
    Record { case: Case { depth, ..record.case }, seconds, ..record }
}

#[test]
fn figures_by_hand() {
    let record = record();
    assert_eq!(record.time().median, 0.1);
    assert_eq!(record.tokens_per_second().median, 10.0);
    assert_eq!(record.milliseconds_per_token(), 100.0);
    assert_eq!(record.blocks_per_second(), 320.0);
    // 1 GB/s of 10, 0.5 GFLOP/s of 1.
    assert!((record.share_of_bandwidth() - 0.1).abs() < 1e-12 && (record.share_of_product() - 0.5).abs() < 1e-12);
    // Eight sequences together take as long: each waits as long for its token.
    let batch =
        Record { case: Case { batch: 8, ..record.case }, work: CaseWork { tokens: 8, ..record.work }, ..record };
    assert_eq!((batch.tokens_per_second().median, batch.milliseconds_per_token()), (80.0, 100.0));
}
