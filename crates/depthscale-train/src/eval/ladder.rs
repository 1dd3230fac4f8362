//! Thresholds worth trying.

use depthscale_types::{Criterion, DecoderConfig, ExitGate, ExitPolicy, Metric};

/// The criteria a model can exit by, the ones that look at the state or a gate first: those of logits pay a readout at
/// every check.
pub fn applicable_criteria(config: &DecoderConfig) -> Vec<Criterion> {
    let gate = (config.exit_gate != ExitGate::None).then_some(Criterion::QExit);
    let others = [
        Criterion::LatentDiff,
        Criterion::Cosine,
        Criterion::Acceleration,
        Criterion::MetricDiff(Metric::LatentDiff),
        Criterion::EntropyDiff,
        Criterion::Kl,
        Criterion::MinpKl,
        Criterion::ArgmaxStability,
    ];
    gate.into_iter().chain(others).collect()
}

/// Thresholds of a criterion to try, from the strictest, under which tokens go deepest, to the loosest.
///
/// - `q-exit`: 0.99, 0.95, and down to 0.1 in steps of 0.1.
/// - `argmax-stability`: every run from `max_steps` down to 1.
/// - Others, by powers of ten: relative changes and their differences by 1, 2 and 5 from 1e-3 or 1e-4 to 1; cosine
///   distances, which go with the square of a change, by 1 and 3 from 1e-6 to 1; distributions by 1 and 3 from 1e-5 or
///   1e-6 to 10 nats. What a model does below these is full depth for all purposes.
/// - `fixed`: none, it has no threshold.
pub fn threshold_ladder(criterion: Criterion, max_steps: usize) -> Vec<f64> {
    match criterion {
        Criterion::Fixed => Vec::new(),
        Criterion::QExit => {
            [0.99, 0.95].into_iter().chain((1..=9).rev().map(|tenths| f64::from(tenths) / 10.0)).collect()
        }
        Criterion::ArgmaxStability => (1..=max_steps).rev().map(|run| run as f64).collect(),
        Criterion::LatentDiff | Criterion::Acceleration => decades(&[1, 2, 5], -3, 0),
        Criterion::MetricDiff(Metric::LatentDiff) => decades(&[1, 2, 5], -4, 0),
        Criterion::Cosine | Criterion::MetricDiff(Metric::Cosine) => decades(&[1, 3], -6, 0),
        Criterion::EntropyDiff => decades(&[1, 3], -5, 1),
        Criterion::Kl | Criterion::MinpKl => decades(&[1, 3], -6, 1),
    }
}

/// Digits times the powers of ten of a range, ascending, the last power only once.
fn decades(digits: &[u32], first: i32, last: i32) -> Vec<f64> {
    // Parsed, so that 3e-4 is the number that prints so.
    let number = |digit: u32, power: i32| format!("{digit}e{power}").parse().unwrap_or(f64::NAN);
    let decade = |power| digits.iter().map(move |&digit| number(digit, power));
    (first..last).flat_map(decade).chain([number(1, last)]).collect()
}

/// A policy for every threshold of the ladders of some criteria, all with at most `max_steps` steps.
pub fn ladder_policies(criteria: &[Criterion], max_steps: usize) -> Vec<ExitPolicy> {
    let of = |&criterion: &Criterion| {
        let policy =
            move |threshold| ExitPolicy { threshold, max_steps: Some(max_steps), ..ExitPolicy::new(criterion) };
        threshold_ladder(criterion, max_steps).into_iter().map(policy)
    };
    criteria.iter().flat_map(of).collect()
}

/// The threshold half way between a stricter and a looser one, to three digits; `None` where there is none between them.
/// Runs and probabilities are halved by their difference, other thresholds by their ratio.
pub(super) fn between(criterion: Criterion, strict: f64, loose: f64) -> Option<f64> {
    let middle = match criterion {
        Criterion::Fixed => return None,
        Criterion::ArgmaxStability => ((strict + loose) / 2.0).floor(),
        Criterion::QExit => rounded((strict + loose) / 2.0),
        _ => rounded((strict * loose).sqrt()),
    };
    let (low, high) = (strict.min(loose), strict.max(loose));
    (low < middle && middle < high).then_some(middle)
}

/// A number to three significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ladders_go_from_deep_to_shallow() {
        let gate = threshold_ladder(Criterion::QExit, 4);
        assert_eq!(gate, [0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]);
        assert_eq!(threshold_ladder(Criterion::ArgmaxStability, 3), [3.0, 2.0, 1.0]);
        let changes = threshold_ladder(Criterion::LatentDiff, 4);
        assert_eq!(changes, [1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]);
        assert_eq!(threshold_ladder(Criterion::Cosine, 4)[..4], [1e-6, 3e-6, 1e-5, 3e-5]);
        for policy in ladder_policies(&Criterion::ALL, 8) {
            policy.validate().expect("every rung is a policy");
            assert_eq!(policy.max_steps, Some(8));
        }
    }

    #[test]
    fn halves_by_hand() {
        // sqrt(1e-3 * 3e-3) = 1.7320e-3.
        assert_eq!(between(Criterion::LatentDiff, 1e-3, 3e-3), Some(1.73e-3));
        assert_eq!(between(Criterion::QExit, 0.5, 0.4), Some(0.45));
        assert_eq!(between(Criterion::ArgmaxStability, 4.0, 2.0), Some(3.0));
        assert_eq!(between(Criterion::ArgmaxStability, 3.0, 2.0), None);
        assert_eq!(between(Criterion::QExit, 0.5, 0.5), None);
    }
}
