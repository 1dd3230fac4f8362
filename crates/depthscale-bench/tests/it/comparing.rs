//! Results beside earlier ones.

use depthscale_bench::{Machine, Record, Verdict, compare};

use crate::{at_depth, record};

#[test]
fn ratios_and_what_they_say() {
    // Quartiles at 0.1 and 0.1: the spread of these samples is nil.
    let old = [at_depth(1, 1.0), at_depth(2, 1.0), at_depth(4, 1.0), at_depth(8, 1.0)];
    let new = [at_depth(2, 1.0), at_depth(4, 2.0), at_depth(8, 0.5), at_depth(16, 1.0)];
    let compared = compare(&old, &new);
    let found: Vec<_> = compared.both.iter().map(|c| (c.new.case.depth, c.speed.median, c.verdict)).collect();
    assert_eq!(found, [(2, 1.0, Verdict::Within), (4, 2.0, Verdict::Faster), (8, 0.5, Verdict::Slower)]);
    assert_eq!(compared.only_old.iter().map(|record| record.case.depth).collect::<Vec<_>>(), [1]);
    assert_eq!(compared.only_new.iter().map(|record| record.case.depth).collect::<Vec<_>>(), [16]);
    assert!(compared.differences.is_empty());
}

#[test]
fn a_ratio_inside_the_spread_is_no_verdict() {
    // Quartiles 0.09 and 0.11 before, 0.08 and 0.10 now: from 0.9 to 1.375 times as fast.
    let old = [Record { seconds: vec![0.08, 0.09, 0.10, 0.11, 0.12], ..record() }];
    let new = [Record { seconds: vec![0.07, 0.08, 0.09, 0.10, 0.11], ..record() }];
    let compared = compare(&old, &new);
    let [comparison] = compared.both.as_slice() else { panic!("one case") };
    assert!((comparison.speed.lower - 0.9).abs() < 1e-12 && (comparison.speed.upper - 1.375).abs() < 1e-12);
    assert_eq!(comparison.verdict, Verdict::Within);
}

#[test]
fn the_last_result_of_a_case_counts() {
    let old = [at_depth(4, 1.0), at_depth(4, 2.0)];
    let new = [at_depth(4, 2.0)];
    let compared = compare(&old, &new);
    assert_eq!(compared.both.len(), 1);
    assert_eq!(compared.both[0].speed.median, 1.0);
}

#[test]
fn what_was_measured_otherwise_is_another_case() {
    let (mut shape, mut chunk) = (record(), record());
    shape.model.config.core.d_ffn *= 2;
    chunk.case.chunk = 64;
    let (old, new) = ([record()], [shape, chunk]);
    let compared = compare(&old, &new);
    assert_eq!((compared.both.len(), compared.only_old.len(), compared.only_new.len()), (0, 1, 2));
}

#[test]
fn the_same_conditions_come_before_the_last() {
    let mut fused = at_depth(4, 4.0);
    fused.build.features.push("fusion".into());
    let (old, new) = ([record(), fused], [at_depth(4, 2.0)]);
    let compared = compare(&old, &new);
    assert_eq!((compared.both.len(), compared.both[0].speed.median), (1, 2.0));
    assert!(compared.differences.is_empty(), "{:?}", compared.differences);
}

#[test]
fn other_machines_and_builds_are_told() {
    let mut elsewhere = record();
    elsewhere.machine = Machine { processor: "another".into(), ..elsewhere.machine };
    elsewhere.build.opt_level = "1".into();
    elsewhere.build.features.push("fusion".into());
    let (old, new) = ([elsewhere], [record()]);
    let differences = compare(&old, &new).differences;
    assert_eq!(differences.len(), 3, "{differences:?}");
    assert!(differences[0].contains("another") && differences[2] == "optimisation: 1 before, 3 now");
    assert_eq!(differences[1], "features: flex+fusion before, flex now");
    let backend =
        Record { device: depthscale_bench::MeasuredDevice { backend: "wgpu:0".into(), ..record().device }, ..record() };
    assert!(compare(&old, &[backend]).both.is_empty(), "another backend is another case");
}
